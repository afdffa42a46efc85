//! `fluorite-camera`: the virtual camera as a program of its own.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use camera::{Camera, CardConfig, Config, Fault, Quality, SoundConfig, VideoConfig};
use clap::{Parser, ValueEnum};
use tracing_subscriber::EnvFilter;

/// A network camera in software: looks at a drawn street, speaks ONVIF and RTSP.
///
/// Give it a password and it prints the addresses under which any ONVIF client, player or recorder
/// finds it. It listens on this machine only, unless told otherwise with --listen.
#[derive(Parser)]
#[command(name = "fluorite-camera", version, after_long_help = EXAMPLES)]
struct Arguments {
    /// Password of the user; asked for by everything but the camera's clock
    #[arg(long, env = "FLUORITE_CAMERA_PASSWORD", hide_env_values = true)]
    password: String,
    /// The one user that may log in
    #[arg(long, default_value = "admin")]
    user: String,
    /// Serial number: nine characters A-Z and 0-9; further cameras count up from it
    #[arg(long, default_value = "CAM000001")]
    serial: String,
    /// Name shown in the picture
    #[arg(long, default_value = "Street")]
    name: String,
    /// Address to listen on; 0.0.0.0 for all networks of this machine
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
    /// TCP port of ONVIF, 0 for any; further cameras take the next ones
    #[arg(long, default_value_t = 8000)]
    http_port: u16,
    /// TCP port of RTSP, 0 for any; further cameras take the next ones
    #[arg(long, default_value_t = 8554)]
    rtsp_port: u16,
    /// Answer WS-Discovery, so that others find the camera by searching the network
    #[arg(long)]
    discovery: bool,
    /// Codec of the sound
    #[arg(long, value_enum, default_value_t = Sound::Aac)]
    sound: Sound,
    /// Main stream: WIDTHxHEIGHT@RATE
    #[arg(long, default_value = "1280x720@20", value_parser = size)]
    main: Size,
    /// Bit rate of the main stream, kbit/s
    #[arg(long, default_value_t = 2000)]
    main_kbps: u32,
    /// Sub stream: WIDTHxHEIGHT@RATE
    #[arg(long, default_value = "640x360@20", value_parser = size)]
    sub: Size,
    /// Bit rate of the sub stream, kbit/s
    #[arg(long, default_value_t = 400)]
    sub_kbps: u32,
    /// Seconds from key frame to key frame
    #[arg(long, default_value_t = 2.0)]
    gop: f64,
    /// Which street: another number gives other houses
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Local time minus UTC, such as +08:00
    #[arg(long, default_value = "+00:00", allow_hyphen_values = true, value_parser = offset)]
    utc_offset: i16,
    /// How far the camera's clock is ahead of this machine's, seconds; negative if it is slow
    #[arg(long, value_name = "SECONDS", default_value_t = 0, allow_hyphen_values = true)]
    clock_offset: i64,
    /// Send this file (FLV, or H.264 with start codes) again and again instead of drawing and encoding
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Write what the speaker hears into this WAV file; further channels add their number to its name
    #[arg(long, value_name = "FILE", conflicts_with = "count")]
    speaker: Option<PathBuf>,
    /// Put in an SD card: record in this folder, and let others find and play what is there
    #[arg(long, value_name = "DIR")]
    card: Option<PathBuf>,
    /// Size of the card, MiB; when it is full the oldest clips make room
    #[arg(long, value_name = "N", default_value_t = 512, requires = "card")]
    card_mb: u32,
    /// What a card holds when it is new: clips of yesterday and today, or nothing
    #[arg(long, value_enum, default_value_t = NewCard::Samples, requires = "card")]
    card_new: NewCard,
    /// Leave what is on the card as it is
    #[arg(long, requires = "card")]
    no_record: bool,
    /// So many sessions at a time may play what is on the card; further ones are told that it is busy
    #[arg(long, value_name = "N", default_value_t = 8)]
    replays: usize,
    /// So many channels: with more than one it is a recorder
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(Config::CHANNELS_MAX)))]
    channels: u16,
    /// Fail from the beginning: slow=SECONDS, refuse, drop, wrong-password, malformed or silent
    #[arg(long, value_name = "NAME[=SECONDS]", default_value = "none")]
    fault: Fault,
    /// So many cameras in one process
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    count: u16,
    /// Print addresses and nothing else, one camera a line: serial, ONVIF, main stream, sub stream
    #[arg(long)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  A camera for a look around; play it with `ffplay rtsp://admin:secret12@127.0.0.1:8554/main`:
    fluorite-camera --password secret12
  A camera for the whole network, found by searching:
    fluorite-camera --password secret12 --listen 0.0.0.0 --discovery
  A recorder of four channels, whose speakers write heard.wav, heard-2.wav and so on:
    fluorite-camera --password secret12 --channels 4 --speaker heard.wav
  A camera with a card that holds clips of yesterday; ONVIF and ISAPI find them, and this plays what there is:
    fluorite-camera --password secret12 --card card
    ffplay 'rtsp://admin:secret12@127.0.0.1:8554/Streaming/tracks/101?starttime=20260101T000000Z'
  Five hundred cameras for a load test, at next to no cost each:
    ffmpeg -f lavfi -i testsrc2=s=1280x720:r=25 -t 10 -c:v libx264 -g 50 -bf 0 clip.flv
    fluorite-camera --password secret12 --replay clip.flv --count 500 --http-port 0 --rtsp-port 0 --quiet";

#[derive(Clone, Copy, ValueEnum)]
enum Sound {
    Aac,
    Alaw,
    None,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum NewCard {
    Samples,
    Blank,
}

#[derive(Clone, Copy)]
struct Size {
    width: u32,
    height: u32,
    rate: u32,
}

fn size(text: &str) -> Result<Size, String> {
    let parse = || {
        let (size, rate) = text.split_once('@')?;
        let (width, height) = size.split_once('x')?;
        Some(Size { width: width.parse().ok()?, height: height.parse().ok()?, rate: rate.parse().ok()? })
    };
    parse().ok_or_else(|| "expected something like 1280x720@20".into())
}

fn offset(text: &str) -> Result<i16, String> {
    let parse = || {
        let (sign, rest) = match text.split_at_checked(1)? {
            ("+", rest) => (1, rest),
            ("-", rest) => (-1, rest),
            _ => return None,
        };
        let (hours, minutes) = rest.split_once(':')?;
        let (hours, minutes): (i16, i16) = (hours.parse().ok()?, minutes.parse().ok()?);
        ((0..=24).contains(&hours) && (0..60).contains(&minutes)).then_some(sign * (hours * 60 + minutes))
    };
    parse().ok_or_else(|| "expected something like +08:00".into())
}

/// The serial `n` places after `first`, counting in base 36 with the digits before the letters.
fn nth_serial(first: &str, n: u16) -> Option<String> {
    let number = u64::from_str_radix(first, 36).ok()? + u64::from(n);
    let digit = |place: u32| char::from_digit((number / 36u64.pow(place) % 36) as u32, 36);
    let digits: Option<String> = (0..9).rev().map(digit).collect();
    (number < 36u64.pow(9)).then_some(digits?.to_ascii_uppercase())
}

impl Arguments {
    fn config(&self, n: u16) -> anyhow::Result<Config> {
        ensure!(self.gop.is_finite() && self.gop > 0.0, "--gop must be positive");
        let gop = Duration::try_from_secs_f64(self.gop).context("--gop is too long")?;
        let video = |size: Size, kbps: u32| VideoConfig {
            width: size.width,
            height: size.height,
            frame_rate: size.rate,
            bitrate_bps: kbps.saturating_mul(1000),
            gop,
        };
        let port = |first: u16| match first {
            0 => Ok(0),
            first => first.checked_add(n).context("not enough ports for so many cameras"),
        };
        let serial = match n {
            0 => self.serial.clone(),
            n => nth_serial(&self.serial, n).context("--serial leaves no room for so many cameras")?,
        };
        Ok(Config {
            serial: serial.clone(),
            name: if self.count > 1 { format!("{} {}", self.name, n + 1) } else { self.name.clone() },
            user: self.user.clone(),
            password: self.password.clone(),
            listen: self.listen,
            http_port: port(self.http_port)?,
            rtsp_port: port(self.rtsp_port)?,
            discovery: self.discovery,
            sound: match self.sound {
                Sound::Aac => SoundConfig::Aac,
                Sound::Alaw => SoundConfig::Alaw,
                Sound::None => SoundConfig::None,
            },
            main: video(self.main, self.main_kbps),
            sub: video(self.sub, self.sub_kbps),
            channels: self.channels,
            replay: self.replay.clone(),
            speaker: self.speaker.clone(),
            card: self.card.as_ref().map(|folder| CardConfig {
                // Cameras do not share a card.
                folder: if self.count > 1 { folder.join(&serial) } else { folder.clone() },
                bytes_max: u64::from(self.card_mb) << 20,
                record: !self.no_record,
                samples: self.card_new == NewCard::Samples,
            }),
            replays_max: self.replays,
            scene_seed: self.seed.wrapping_add(u64::from(n)),
            utc_offset_minutes: self.utc_offset,
            clock_ahead_s: self.clock_offset,
            ..Config::default()
        })
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let configs = (0..arguments.count).map(|n| arguments.config(n)).collect::<anyhow::Result<Vec<_>>>()?;
    let cameras = Camera::start_all(configs).await?;
    for camera in &cameras {
        camera.faults().set(arguments.fault);
        let [main, sub] = Quality::ALL.map(|quality| camera.rtsp_url(quality));
        let (serial, onvif) = (&camera.config().serial, camera.onvif_url());
        match arguments.quiet {
            true => println!("{serial} {onvif} {main} {sub}"),
            false => println!("{serial}\n  ONVIF  {onvif}\n  main   {main}\n  sub    {sub}"),
        }
    }
    if !arguments.quiet {
        println!("Log in as {}. Ctrl-C ends it.", arguments.user);
    }
    until_told_to_stop().await?;
    for camera in cameras {
        camera.stop().await;
    }
    Ok(())
}

/// Waits for Ctrl-C, or what service managers send.
async fn until_told_to_stop() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_count_up() {
        assert_eq!(nth_serial("CAM000001", 0).as_deref(), Some("CAM000001"));
        assert_eq!(nth_serial("CAM000009", 1).as_deref(), Some("CAM00000A"));
        assert_eq!(nth_serial("CAM00000Z", 1).as_deref(), Some("CAM000010"));
        assert_eq!(nth_serial("ZZZZZZZZZ", 1), None);
        assert_eq!(nth_serial("not one", 1), None);
    }

    #[test]
    fn sizes_and_offsets() {
        assert!(size("1280x720@25").is_ok_and(|s| (s.width, s.height, s.rate) == (1280, 720, 25)));
        assert!(size("1280x720").is_err() && size("x@").is_err());
        assert_eq!(offset("+08:00"), Ok(480));
        assert_eq!(offset("-03:30"), Ok(-210));
        assert!(offset("8").is_err() && offset("").is_err() && offset("+8:99").is_err());
    }
}
