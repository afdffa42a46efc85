//! ISAPI, the second dialect at the same HTTP port: what the camera says of itself, and which resource
//! is meant.
//!
//! With one channel it is a dome, with several a recorder: then its channels are cameras behind it. It
//! has no resource of its own making, and answers `notSupport` to what it does not have, as devices do.

mod control;
mod storage;
mod talk;

use std::sync::atomic::Ordering::Relaxed;

use hyper::{Method, Response, StatusCode};
use proto::isapi::{
    AdminAccessProtocol, AdminAccessProtocolList, CONTENT_TYPE, ControlProtocol, DeviceInfo, DeviceStatus, Document,
    Error, InputProxyChannel, InputProxyChannelList, InputProxyChannelStatus, InputProxyChannelStatusList, Refusal,
    ResponseStatus, SourceInputPort, StreamAudio, StreamTransport, StreamVideo, StreamingChannel, StreamingChannelList,
    UserCheck, VideoInputChannel, VideoInputChannelList, path,
};

pub use self::talk::Sessions;
use crate::channel::Channel;
use crate::clock;
use crate::config::{Quality, SoundConfig};
use crate::faults::Fault;
use crate::http::{Ask, Content, Site, cut, empty, picture, read, whole};

/// What a resource says.
enum Said {
    /// A document.
    Document(String),
    /// That it was done.
    Done,
}

fn document(document: &impl Document) -> Result<Said, Refusal> {
    Ok(Said::Document(document.to_document()))
}

/// Answers one request under `/ISAPI/`, login passed.
pub async fn answer(site: &Site, ask: Ask) -> Response<Content> {
    let path = ask.head.path().to_owned();
    let segments: Vec<&str> = path.trim_end_matches('/').split('/').skip(2).collect();
    let method = ask.head.method.clone();
    if let ["Streaming", "channels", id, "picture"] = segments[..] {
        return match stream(site, id) {
            Ok((channel, _)) if method == Method::GET => picture(site, channel).await,
            Ok(_) => refused(&path, Refusal::Method),
            Err(refusal) => refused(&path, refusal),
        };
    }
    // A search is posted and changes nothing.
    if method != Method::GET && segments != ["ContentMgmt", "search"] {
        match site.faults.get() {
            Fault::Refuse => return refused(&path, Refusal::Failed),
            Fault::Drop => return cut(CONTENT_TYPE),
            _ => {}
        }
    }
    let said = if let ["System", "TwoWayAudio", "channels", id, "audioData"] = segments[..] {
        talk::listen(site, id, &method, ask.head.query(), ask.body).await
    } else {
        match read(site, ask.body).await {
            Ok(body) => resource(site, ask.head.hostname(), &method, &segments, &body),
            Err(status) => return empty(status),
        }
    };
    match said {
        Ok(Said::Document(document)) => whole(StatusCode::OK, CONTENT_TYPE, document),
        Ok(Said::Done) => whole(StatusCode::OK, CONTENT_TYPE, ResponseStatus::ok(&path).to_document()),
        Err(refusal) => refused(&path, refusal),
    }
}

fn refused(path: &str, refusal: Refusal) -> Response<Content> {
    let status = StatusCode::from_u16(refusal.http_status()).expect("a refusal has a status of HTTP");
    whole(status, CONTENT_TYPE, ResponseStatus::refused(path, refusal).to_document())
}

/// Reads the body of a request.
fn parse<D: Document>(site: &Site, body: &[u8]) -> Result<D, Refusal> {
    D::parse(body).map_err(|error| match error {
        Error::Missing(..) | Error::Value(..) => Refusal::Parameters,
        _ => {
            site.counters.malformed.fetch_add(1, Relaxed);
            Refusal::Malformed
        }
    })
}

/// The channel of a number in a path.
fn channel<'a>(site: &'a Site, id: &str) -> Result<&'a Channel, Refusal> {
    let number = id.parse().map_err(|_| Refusal::Parameters)?;
    site.channel(number).map(|channel| &**channel).ok_or(Refusal::Parameters)
}

/// The stream of a number in a path.
fn stream<'a>(site: &'a Site, id: &str) -> Result<(&'a Channel, Quality), Refusal> {
    let (number, sub) = id.parse().ok().and_then(path::stream_of).ok_or(Refusal::Parameters)?;
    let channel = site.channel(number).ok_or(Refusal::Parameters)?;
    Ok((channel, if sub { Quality::Sub } else { Quality::Main }))
}

fn is_recorder(site: &Site) -> bool {
    site.channels.len() > 1
}

fn resource(site: &Site, host: &str, method: &Method, segments: &[&str], body: &[u8]) -> Result<Said, Refusal> {
    let get = || (method == Method::GET).then_some(()).ok_or(Refusal::Method);
    match segments {
        ["PTZCtrl", "channels", id, rest @ ..] => control::motor(site, channel(site, id)?, method, rest, body),
        ["Image", "channels", id, "imageFlip" | "ImageFlip", rest @ ..] => {
            control::mirror(site, channel(site, id)?, method, rest, body)
        }
        ["System", "Video", "inputs", "channels", id, "privacyMask"] => {
            control::mask(site, channel(site, id)?, method, body)
        }
        ["System", "TwoWayAudio", "channels", rest @ ..] => talk::session(site, method, rest),
        ["Streaming", "channels", id, "requestKeyFrame"] => {
            let (channel, quality) = stream(site, id)?;
            if method != Method::PUT {
                return Err(Refusal::Method);
            }
            channel.request_key_frame(quality);
            Ok(Said::Done)
        }
        ["Streaming", "channels", id] => {
            get()?;
            let (channel, quality) = stream(site, id)?;
            document(&streaming(site, channel, quality))
        }
        ["Streaming", "channels"] => {
            get()?;
            let of = |channel: &'_ Channel| Quality::ALL.map(|quality| streaming(site, channel, quality));
            document(&StreamingChannelList { streams: site.channels.iter().flat_map(|channel| of(channel)).collect() })
        }
        ["System", "deviceInfo"] => get().and_then(|()| document(&about(site))),
        ["System", "status"] => {
            get()?;
            let up = site.channels.first().map_or(0, |channel| channel.clock().elapsed().as_secs() as i32);
            let now = clock::iso_local(site.clock.wall(), site.config.utc_offset_minutes);
            document(&DeviceStatus { current_device_time: Some(now), device_up_time: Some(up) })
        }
        // Nobody gets here whose login is not right.
        ["Security", "userCheck"] => {
            get()?;
            document(&UserCheck { status_value: 200, status_string: Some("OK".into()) })
        }
        ["Security", "adminAccesses"] => get().and_then(|()| document(&ports(site))),
        ["System", "Video", "inputs", "channels"] => {
            get()?;
            // A recorder has no sensor of its own.
            let own = site.channels.iter().filter(|_| !is_recorder(site));
            document(&VideoInputChannelList { channels: own.map(|channel| input(channel)).collect() })
        }
        ["System", "Video", "inputs", "channels", id] if !is_recorder(site) => {
            get()?;
            document(&input(channel(site, id)?))
        }
        ["ContentMgmt", "InputProxy", "channels", rest @ ..] if is_recorder(site) => {
            get()?;
            match rest {
                [] => document(&InputProxyChannelList { channels: site.channels.iter().map(|c| proxy(c)).collect() }),
                ["status"] => {
                    let channels = site.channels.iter().map(|channel| proxy_status(channel)).collect();
                    document(&InputProxyChannelStatusList { channels })
                }
                [id] => document(&proxy(channel(site, id)?)),
                [id, "status"] => document(&proxy_status(channel(site, id)?)),
                _ => Err(Refusal::NotSupported),
            }
        }
        ["ContentMgmt", rest @ ..] => storage::resource(site, host, method, rest, body),
        _ => Err(Refusal::NotSupported),
    }
}

fn about(site: &Site) -> DeviceInfo {
    let (model, kind) = if is_recorder(site) { ("Virtual Recorder", "NVR") } else { ("Virtual Camera", "IPDome") };
    DeviceInfo {
        device_name: Some(site.config.name.clone()),
        device_id: Some(site.config.serial.clone()),
        model: Some(model.into()),
        serial_number: Some(site.config.serial.clone()),
        mac_address: None,
        firmware_version: Some(concat!("V", env!("CARGO_PKG_VERSION")).into()),
        firmware_released_date: None,
        device_type: Some(kind.into()),
        manufacturer: Some("Fluorite".into()),
    }
}

fn ports(site: &Site) -> AdminAccessProtocolList {
    let protocol = |id: i32, name: &str, port: u16| AdminAccessProtocol {
        id,
        enabled: Some(true),
        protocol: name.into(),
        port: Some(i32::from(port)),
    };
    AdminAccessProtocolList {
        protocols: vec![protocol(1, "HTTP", site.http_port), protocol(2, "RTSP", site.rtsp_port)],
    }
}

fn input(channel: &Channel) -> VideoInputChannel {
    let id = i32::from(channel.number());
    VideoInputChannel {
        id,
        input_port: Some(id),
        name: Some(channel.name().to_owned()),
        video_format: Some("PAL".into()),
    }
}

fn proxy(channel: &Channel) -> InputProxyChannel {
    let source = SourceInputPort {
        proxy_protocol: Some("HIKVISION".into()),
        addressing_format_type: Some("ipaddress".into()),
        // Behind the recorder's own switch, where nobody else gets.
        ip_address: Some(format!("192.168.254.{}", channel.number() + 1)),
        manage_port: Some(8000),
        source_input_port: Some(1),
    };
    InputProxyChannel { id: i32::from(channel.number()), name: Some(channel.name().to_owned()), source: Some(source) }
}

fn proxy_status(channel: &Channel) -> InputProxyChannelStatus {
    InputProxyChannelStatus {
        id: i32::from(channel.number()),
        online: Some(true),
        detect_result: Some("connect".into()),
    }
}

fn streaming(site: &Site, channel: &Channel, quality: Quality) -> StreamingChannel {
    let video = channel.video(quality);
    let number = i32::from(channel.number());
    let codec = match site.config.sound {
        SoundConfig::Aac => Some("AAC"),
        SoundConfig::Alaw => Some("G.711alaw"),
        SoundConfig::None => None,
    };
    StreamingChannel {
        id: path::stream_id(channel.number(), quality == Quality::Sub) as i32,
        channel_name: Some(channel.name().to_owned()),
        enabled: Some(true),
        transport: Some(StreamTransport {
            rtsp_port: Some(i32::from(site.rtsp_port)),
            protocols: vec![ControlProtocol { streaming_transport: "RTSP".into() }],
        }),
        video: Some(StreamVideo {
            enabled: Some(true),
            input: Some(number),
            codec: Some("H.264".into()),
            width: Some(video.width as i32),
            height: Some(video.height as i32),
            max_frame_rate: Some(video.frame_rate as i32 * 100),
            gov_length: Some(video.gop_frames() as i32),
            snapshot_type: Some("JPEG".into()),
        }),
        audio: codec.map(|codec| StreamAudio { enabled: Some(true), input: Some(number), codec: Some(codec.into()) }),
    }
}
