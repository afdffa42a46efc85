//! What the camera says of itself, and turning it.

use camera::marker::estimate_view;
use camera::scene::View;
use camera::{Camera, Config, Quality, VideoConfig};
use proto::onvif::schema::*;
use proto::onvif::{Envelope, Error, device, imaging, media, media2, ptz};

use crate::player::{Over, Player};
use crate::soap::{ask, ask_as, ask_with_digest, post};
use crate::{config, small, start, until};

fn pan_tilt(x: f32, y: f32) -> Option<Vector2D> {
    Some(Vector2D { x, y, space: None })
}

fn zoom(x: f32) -> Option<Vector1D> {
    Some(Vector1D { x, space: None })
}

fn is_refused<T: std::fmt::Debug>(answer: Result<T, Error>, subcode: &str) {
    let Err(Error::Fault(fault)) = answer else { panic!("{answer:?}") };
    assert!(fault.is(subcode), "{fault:?}");
}

async fn moving(camera: &Camera) -> bool {
    let status = ask(camera, &ptz::GetStatus { profile_token: "main".into() }).await.unwrap().status;
    status.move_status.unwrap().pan_tilt == Some(MoveStatus::Moving)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_describes_itself() {
    let camera = start(Config { serial: "ABC123XYZ".into(), ..config() }).await;
    let about = ask(&camera, &device::GetDeviceInformation {}).await.unwrap();
    assert_eq!(about.serial_number, "ABC123XYZ");
    let services = ask(&camera, &device::GetServices { include_capability: false }).await.unwrap().services;
    let base = format!("http://{}/onvif/", camera.http_address());
    assert_eq!(services.len(), 5);
    assert!(services.iter().all(|service| service.xaddr.starts_with(&base)), "{services:?}");
    let profiles = ask(&camera, &media::GetProfiles {}).await.unwrap().profiles;
    let sizes: Vec<_> = profiles.iter().map(|p| p.video_encoder.as_ref().unwrap().resolution.width).collect();
    assert_eq!(sizes, [1280, 640]);
    assert!(profiles.iter().all(|p| p.ptz.is_some() && p.audio_encoder.is_some()));
    for (profile, quality) in profiles.iter().zip(Quality::ALL) {
        let stream_setup =
            StreamSetup { stream: StreamType::RtpUnicast, transport: Transport { protocol: TransportProtocol::Rtsp } };
        let uri = media::GetStreamUri { stream_setup, profile_token: profile.token.clone() };
        assert_eq!(ask(&camera, &uri).await.unwrap().media_uri.uri, camera.rtsp_url(quality));
        let uri = media2::GetStreamUri { protocol: "RTSP".into(), profile_token: profile.token.clone() };
        assert_eq!(ask(&camera, &uri).await.unwrap().uri, camera.rtsp_url(quality));
    }
    // Version 2 tells those configurations of the same profiles that it is asked for.
    let again = async |kinds: &[&str]| {
        let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        ask(&camera, &media2::GetProfiles { token: Some("sub".into()), kinds }).await.unwrap().profiles.remove(0)
    };
    assert_eq!(again(&[]).await.configurations, None);
    let sub = again(&["VideoEncoder", "PTZ"]).await.configurations.unwrap();
    let encoder = sub.video_encoder.unwrap();
    assert_eq!((encoder.encoding.as_str(), encoder.resolution.width), ("H264", 640));
    assert!(sub.ptz.is_some() && sub.video_source.is_none() && sub.audio_output.is_none());
    assert_eq!(again(&["All"]).await.configurations.unwrap().audio_encoder.unwrap().encoding, "MPEG4-GENERIC");
    let clock = ask(&camera, &device::GetSystemDateAndTime {}).await.unwrap().system_date_and_time.utc.unwrap();
    assert!(clock.to_unix().unwrap().abs_diff(crate::soap::now().as_secs() as i64) < 5);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_clock_and_addresses_are_public() {
    let camera = start(small()).await;
    let status = async |body: String| post(&camera, "/onvif/device_service", &[], body.as_bytes()).await.0;
    assert_eq!(status(Envelope::of(&device::GetSystemDateAndTime {}).write()).await, 200);
    assert_eq!(status(Envelope::of(&device::GetCapabilities { category: vec![] }).write()).await, 200);
    let stop = ptz::Stop { profile_token: "main".into(), pan_tilt: None, zoom: None };
    assert_eq!(status(Envelope::of(&device::GetDeviceInformation {}).write()).await, 401);
    assert_eq!(status(Envelope::of(&device::GetUsers {}).write()).await, 401);
    assert_eq!(status(Envelope::of(&media::GetProfiles {}).write()).await, 401);
    assert_eq!(status(Envelope::of(&stop).write()).await, 401);
    assert_eq!(status(Envelope::of(&stop).write().replace("Stop", "SelfDestruct")).await, 401);
    is_refused(ask_as(&camera, &stop, "wrong").await, "NotAuthorized");
    assert_eq!(ask_with_digest(&camera, &stop, "wrong").await.0, 401);
    assert_eq!(ask_with_digest(&camera, &stop, crate::PASSWORD).await.0, 200);
    assert_eq!(camera.stats().logins_refused, 2);
    camera.stop().await;
}

/// Where the decoded picture says that the camera looks.
async fn seen_view(player: &mut Player) -> View {
    estimate_view(&player.picture().await.landmarks).expect("landmarks in view")
}

/// Waits for a picture that shows what is looked for.
async fn see(player: &mut Player, what: &str, right: impl Fn(View) -> bool) -> View {
    let mut view = seen_view(player).await;
    for _ in 0..400 {
        if right(view) {
            return view;
        }
        view = seen_view(player).await;
    }
    panic!("{what}: still at {view:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn turning_it_moves_the_landmarks_and_ends_at_the_edges() {
    let camera = start(Config { main: VideoConfig { width: 640, height: 360, ..VideoConfig::MAIN }, ..config() }).await;
    let mut player = Player::open(&camera.rtsp_url(Quality::Main), Over::Tcp).await.unwrap();
    let token = || "main".to_owned();
    let home = seen_view(&mut player).await;
    assert!(home.pan.abs() < 0.01, "{home:?}");
    let turn = |x: f32, y: f32| ptz::ContinuousMove {
        profile_token: token(),
        velocity: PtzSpeed { pan_tilt: pan_tilt(x, y), zoom: None },
        timeout: None,
    };
    let stop = ptz::Stop { profile_token: token(), pan_tilt: Some(true), zoom: None };

    // Right, and stop on the way.
    ask(&camera, &turn(0.5, 0.0)).await.unwrap();
    see(&mut player, "turning right", |view| view.pan > 0.2).await;
    assert!(moving(&camera).await);
    ask(&camera, &stop).await.unwrap();
    let status = ask(&camera, &ptz::GetStatus { profile_token: token() }).await.unwrap().status;
    let told = status.position.unwrap().pan_tilt.unwrap();
    assert!(told.x > 0.2 && told.x < 0.99 && (told.y - home.tilt).abs() < 0.02, "{told:?}");
    see(&mut player, "where it says it is", |view| (view.pan - told.x).abs() < 0.01).await;
    for _ in 0..10 {
        let view = seen_view(&mut player).await;
        assert!((view.pan - told.x).abs() < 0.01, "it stays: {view:?}");
    }

    // Up and left, to the corner and no further.
    ask(&camera, &turn(-1.0, 1.0)).await.unwrap();
    let corner = see(&mut player, "the corner", |view| view.pan < -0.99 && view.tilt > 0.97).await;
    assert!(corner.pan > -1.02 && corner.tilt < 1.04, "{corner:?}");
    until("it knows that it is at the edge", || !camera.ptz_status().pan_tilt_moving).await;
    assert!(!moving(&camera).await);

    // To a place, by a distance, and not beyond the world.
    let position = PtzVector { pan_tilt: pan_tilt(0.4, 0.0), zoom: None };
    ask(&camera, &ptz::AbsoluteMove { profile_token: token(), position, speed: None }).await.unwrap();
    see(&mut player, "the place", |view| (view.pan - 0.4).abs() < 0.01 && view.tilt.abs() < 0.03).await;
    let translation = PtzVector { pan_tilt: pan_tilt(-0.2, 0.1), zoom: None };
    ask(&camera, &ptz::RelativeMove { profile_token: token(), translation, speed: None }).await.unwrap();
    see(&mut player, "further on", |view| (view.pan - 0.2).abs() < 0.01 && (view.tilt - 0.1).abs() < 0.03).await;
    let position = PtzVector { pan_tilt: pan_tilt(1.5, 0.0), zoom: None };
    is_refused(
        ask(&camera, &ptz::AbsoluteMove { profile_token: token(), position, speed: None }).await,
        "InvalidPosition",
    );

    // In: landmarks grow apart.
    let apart = |landmarks: &[camera::marker::SeenLandmark]| match landmarks {
        [a, .., b] => Some((b.x - a.x) / (b.index - a.index) as f32),
        _ => None,
    };
    let wide = apart(&player.picture().await.landmarks).expect("two in view");
    let velocity = PtzSpeed { pan_tilt: None, zoom: zoom(0.5) };
    ask(&camera, &ptz::ContinuousMove { profile_token: token(), velocity, timeout: None }).await.unwrap();
    let mut near = wide;
    for _ in 0..200 {
        near = apart(&player.picture().await.landmarks).unwrap_or(near);
        if near > wide * 1.2 {
            break;
        }
    }
    assert!(near > wide * 1.2, "{wide} to {near}");
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_tokens_and_spaces_are_faults() {
    let camera = start(small()).await;
    is_refused(ask(&camera, &ptz::GetStatus { profile_token: "third".into() }).await, "NoProfile");
    is_refused(ask(&camera, &ptz::GetConfiguration { configuration_token: "x".into() }).await, "NoConfig");
    is_refused(ask(&camera, &ptz::GetNode { node_token: "x".into() }).await, "NoEntity");
    let space = Some("urn:degrees".to_owned());
    let velocity = PtzSpeed { pan_tilt: Some(Vector2D { x: 1.0, y: 0.0, space }), zoom: None };
    let odd = ptz::ContinuousMove { profile_token: "main".into(), velocity, timeout: None };
    is_refused(ask(&camera, &odd).await, "SpaceNotSupported");
    assert!(!camera.ptz_status().pan_tilt_moving);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn brightness_is_kept_and_checked() {
    let camera = start(small()).await;
    let set = |brightness: f32| imaging::SetImagingSettings {
        video_source_token: "sensor".into(),
        imaging_settings: ImagingSettings { brightness: Some(brightness), ..ImagingSettings::default() },
        force_persistence: None,
    };
    ask(&camera, &set(80.0)).await.unwrap();
    is_refused(ask(&camera, &set(101.0)).await, "SettingsInvalid");
    let get = imaging::GetImagingSettings { video_source_token: "sensor".into() };
    let settings = ask(&camera, &get).await.unwrap().imaging_settings;
    assert_eq!((settings.brightness, settings.contrast), (Some(80.0), Some(50.0)));
    camera.stop().await;
}
