//! Presets, rotation, the mask and still pictures, seen in what comes out.

use bytes::Bytes;
use camera::marker::{SeenLandmark, estimate_view, read_landmarks};
use camera::{Camera, Config, Flip, Quality, VideoConfig};
use proto::onvif::schema::*;
use proto::onvif::{Error, media, media2, ptz};

use crate::player::{Over, Player, Seen};
use crate::soap::{ask, get};
use crate::{PASSWORD, config, start, until};

/// Large enough for landmarks, small enough for a slow machine.
fn visible() -> Config {
    let video = VideoConfig { width: 640, height: 360, frame_rate: 10, ..VideoConfig::SUB };
    Config { main: video, ..config() }
}

fn token() -> String {
    "main".into()
}

fn refused_for<T: std::fmt::Debug>(answer: Result<T, Error>) -> Vec<String> {
    let Err(Error::Fault(fault)) = answer else { panic!("{answer:?}") };
    fault.subcodes
}

/// Waits for a picture that shows what is looked for.
async fn see(player: &mut Player, what: &str, right: impl Fn(&Seen) -> bool) -> Seen {
    let mut seen = player.picture().await;
    for _ in 0..200 {
        if right(&seen) {
            return seen;
        }
        seen = player.picture().await;
    }
    panic!("{what}: still {:?}, luma {}", seen.landmarks, seen.luma);
}

/// Whether the landmarks are where `place` puts those seen before.
fn moved(before: &[SeenLandmark], now: &[SeenLandmark], place: impl Fn(&SeenLandmark) -> (f32, f32)) -> bool {
    let there = |(a, b): (&SeenLandmark, &SeenLandmark)| {
        let (x, y) = place(a);
        a.index == b.index && (x - b.x).abs() < 0.01 && (y - b.y).abs() < 0.01
    };
    before.len() == now.len() && before.iter().zip(now).all(there)
}

async fn move_to(camera: &Camera, x: f32, y: f32) {
    let position = PtzVector { pan_tilt: Some(Vector2D { x, y, space: None }), zoom: None };
    ask(camera, &ptz::AbsoluteMove { profile_token: token(), position, speed: None }).await.unwrap();
    until("it stands there", || !camera.ptz_status().pan_tilt_moving).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preset_is_recalled_until_it_is_removed() {
    let camera = start(visible()).await;
    let presets = async || ask(&camera, &ptz::GetPresets { profile_token: token() }).await.unwrap().presets;
    let set = |name: Option<&str>, preset: Option<&str>| ptz::SetPreset {
        profile_token: token(),
        preset_name: name.map(str::to_owned),
        preset_token: preset.map(str::to_owned),
    };
    let goto = |preset: &str| ptz::GotoPreset { profile_token: token(), preset_token: preset.into(), speed: None };
    let remove = |preset: &str| ptz::RemovePreset { profile_token: token(), preset_token: preset.into() };
    assert!(presets().await.is_empty());

    move_to(&camera, 0.4, 0.2).await;
    let stored = ask(&camera, &set(Some("Gate"), None)).await.unwrap().preset_token;
    move_to(&camera, -0.6, 0.0).await;
    let other = ask(&camera, &set(None, None)).await.unwrap().preset_token;
    assert_eq!((stored.as_str(), other.as_str()), ("1", "2"));
    let told: Vec<_> = presets().await.into_iter().map(|p| (p.token, p.name, p.position.unwrap().pan_tilt)).collect();
    let place = |x, y| Some(Vector2D { x, y, space: Some(ptz::spaces::PAN_TILT_POSITION.into()) });
    assert_eq!(told[0], (Some("1".into()), Some("Gate".into()), place(0.4, 0.2)));
    assert_eq!(told[1], (Some("2".into()), Some("2".into()), place(-0.6, 0.0)));

    ask(&camera, &goto("1")).await.unwrap();
    let at = |seen: &Seen, pan: f32, tilt: f32| {
        estimate_view(&seen.landmarks).is_some_and(|v| (v.pan - pan).abs() < 0.01 && (v.tilt - tilt).abs() < 0.03)
    };
    // A new player each time: one that waited would show where the camera was before.
    let player = async || Player::open(&camera.rtsp_url(Quality::Main), Over::Tcp).await.unwrap();
    see(&mut player().await, "the first preset", |seen| at(seen, 0.4, 0.2)).await;
    // Overwritten where it stands, under the name it has.
    ask(&camera, &set(None, Some("2"))).await.unwrap();
    move_to(&camera, 0.0, 0.0).await;
    ask(&camera, &goto("2")).await.unwrap();
    see(&mut player().await, "the second preset, moved", |seen| at(seen, 0.4, 0.2)).await;

    ask(&camera, &remove("1")).await.unwrap();
    for refused in [
        refused_for(ask(&camera, &goto("1")).await),
        refused_for(ask(&camera, &remove("1")).await),
        refused_for(ask(&camera, &set(None, Some("1"))).await),
        refused_for(ask(&camera, &goto("gate")).await),
    ] {
        assert_eq!(refused, ["InvalidArgVal", "NoToken"]);
    }
    // The lowest number that is free, until none is.
    assert_eq!(ask(&camera, &set(None, None)).await.unwrap().preset_token, "1");
    let node = ask(&camera, &ptz::GetNodes {}).await.unwrap().nodes.remove(0);
    for number in 3..=node.maximum_number_of_presets {
        assert_eq!(ask(&camera, &set(None, None)).await.unwrap().preset_token, number.to_string());
    }
    assert_eq!(refused_for(ask(&camera, &set(None, None)).await), ["Action", "TooManyPresets"]);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_turns_the_picture_and_nothing_else_is_offered() {
    let camera = start(visible()).await;
    let mut player = Player::open(&camera.rtsp_url(Quality::Main), Over::Tcp).await.unwrap();
    let before = player.picture().await.landmarks;
    assert!(before.len() >= 2, "{before:?}");
    let capabilities = ask(&camera, &media::GetServiceCapabilities {}).await.unwrap().capabilities;
    assert_eq!((capabilities.rotation, capabilities.snapshot_uri), (Some(true), Some(true)));
    let options = media::GetVideoSourceConfigurationOptions { configuration_token: None, profile_token: Some(token()) };
    let options = ask(&camera, &options).await.unwrap().options;
    let rotate = options.extension.unwrap().rotate.unwrap();
    assert_eq!(rotate.modes, [RotateMode::Off, RotateMode::On]);
    assert_eq!(rotate.degrees.unwrap().items, [180]);

    let present = media::GetVideoSourceConfiguration { configuration_token: "sensor".into() };
    let present = async || ask(&camera, &present).await.unwrap().configuration;
    let with = |configuration: &VideoSourceConfiguration, mode, degree| {
        let rotate = Some(Rotate { mode, degree });
        let extension = Some(VideoSourceConfigurationExtension { rotate });
        let configuration = VideoSourceConfiguration { extension, ..configuration.clone() };
        media::SetVideoSourceConfiguration { configuration, force_persistence: true }
    };
    let plain = present().await;
    ask(&camera, &with(&plain, RotateMode::On, Some(180))).await.unwrap();
    see(&mut player, "turned", |seen| moved(&before, &seen.landmarks, |s| (1.0 - s.x, 1.0 - s.y))).await;
    let turned = present().await;
    assert_eq!(turned.extension.unwrap().rotate.unwrap(), Rotate { mode: RotateMode::On, degree: Some(180) });
    for (mode, degree) in [(RotateMode::On, Some(90)), (RotateMode::Auto, None)] {
        let refused = refused_for(ask(&camera, &with(&plain, mode, degree)).await);
        assert_eq!(refused, ["InvalidArgVal", "ConfigModify"]);
    }
    assert_eq!(camera.channel(1).unwrap().flip(), Flip::CENTRE);
    ask(&camera, &with(&plain, RotateMode::Off, None)).await.unwrap();
    see(&mut player, "turned back", |seen| moved(&before, &seen.landmarks, |s| (s.x, s.y))).await;
    // Mirrored about one axis, which ISAPI can.
    let channel = camera.channel(1).unwrap();
    channel.set_flip(Flip { horizontal: true, vertical: false });
    let seen = see(&mut player, "left is right", |s| moved(&before, &s.landmarks, |s| (1.0 - s.x, s.y))).await;
    assert!(seen.counter.is_some(), "the strip is not mirrored");
    channel.set_flip(Flip { horizontal: false, vertical: true });
    see(&mut player, "up is down", |s| moved(&before, &s.landmarks, |s| (s.x, 1.0 - s.y))).await;
    camera.stop().await;
}

/// A mask between two corners.
fn mask(token: Option<&str>, (left, bottom): (f32, f32), (right, top): (f32, f32), enabled: bool) -> media2::Mask {
    let corners = [(left, bottom), (left, top), (right, top), (right, bottom)];
    media2::Mask {
        token: token.map(str::to_owned),
        configuration_token: "sensor".into(),
        polygon: Polygon { points: corners.map(|(x, y)| Vector { x, y }).into() },
        kind: "Color".into(),
        color: None,
        enabled,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mask_darkens_the_picture_and_the_stream_goes_on() {
    let camera = start(visible()).await;
    let mut player = Player::open(&camera.rtsp_url(Quality::Main), Over::Tcp).await.unwrap();
    let bright = player.picture().await;
    assert!(bright.luma > 60.0, "{}", bright.luma);
    let masks = async || {
        let all = media2::GetMasks { token: None, configuration_token: Some("sensor".into()) };
        ask(&camera, &all).await.unwrap().masks
    };
    assert!(ask(&camera, &media2::GetServiceCapabilities {}).await.unwrap().capabilities.mask.unwrap());
    let options = media2::GetMaskOptions { configuration_token: "sensor".into() };
    assert_eq!(ask(&camera, &options).await.unwrap().options.max_masks, 1);
    assert!(masks().await.is_empty());

    let full = |token, enabled| mask(token, (-1.0, -1.0), (1.0, 1.0), enabled);
    let token = ask(&camera, &media2::CreateMask { mask: full(None, true) }).await.unwrap().token;
    let dark = see(&mut player, "dark", |seen| seen.luma < 25.0).await;
    assert!(dark.landmarks.is_empty());
    assert!(dark.counter > bright.counter, "the strip is still there and counts");
    let refused = refused_for(ask(&camera, &media2::CreateMask { mask: full(None, true) }).await);
    assert_eq!(refused, ["Action", "MaxMasks"]);
    assert_eq!(masks().await.remove(0).polygon, full(None, true).polygon);

    ask(&camera, &media2::SetMask { mask: full(Some(&token), false) }).await.unwrap();
    see(&mut player, "bright again", |seen| (seen.luma - bright.luma).abs() < 10.0).await;
    assert!(!masks().await.remove(0).enabled);
    // The left half alone: what is seen there is hidden.
    let half = mask(Some(&token), (-1.0, -1.0), (0.0, 1.0), true);
    ask(&camera, &media2::SetMask { mask: half }).await.unwrap();
    let left_hidden = |seen: &Seen| !seen.landmarks.is_empty() && seen.landmarks.iter().all(|s| s.x > 0.5);
    see(&mut player, "the right half", left_hidden).await;

    let mut triangle = full(Some(&token), true);
    triangle.polygon.points.pop();
    let beyond = mask(Some(&token), (-1.0, -1.0), (1.5, 1.0), true);
    for wrong in [triangle, beyond, media2::Mask { kind: "Blurred".into(), ..full(Some(&token), true) }] {
        let refused = refused_for(ask(&camera, &media2::SetMask { mask: wrong }).await);
        assert_eq!(refused[0], "InvalidArgVal");
    }
    ask(&camera, &media2::DeleteMask { token: token.clone() }).await.unwrap();
    see(&mut player, "bright at last", |seen| seen.landmarks.iter().any(|s| s.x < 0.5)).await;
    let refused = refused_for(ask(&camera, &media2::DeleteMask { token }).await);
    assert_eq!(refused, ["InvalidArgVal", "NoConfig"]);
    camera.stop().await;
}

/// Size, landmarks and mean brightness of a JPEG.
fn look(jpeg: &Bytes) -> ((usize, usize), Vec<SeenLandmark>, f32) {
    let mut decoder = jpeg_decoder::Decoder::new(&jpeg[..]);
    let rgb = decoder.decode().unwrap();
    let info = decoder.info().unwrap();
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    let pixel = |x: usize, y: usize| -> [f32; 3] {
        let at = 3 * (y * width + x);
        [rgb[at], rgb[at + 1], rgb[at + 2]].map(f32::from)
    };
    // Back to BT.709, where landmarks have their colours.
    let luma = |[r, g, b]: [f32; 3]| 0.2126 * r + 0.7152 * g + 0.0722 * b;
    let (mut u, mut v) = (Vec::new(), Vec::new());
    for (x, y) in (0..height / 2).flat_map(|y| (0..width / 2).map(move |x| (2 * x, 2 * y))) {
        let [r, g, b] = pixel(x, y);
        let scaled = |difference: f32, range: f32| (128.0 + difference / range * 224.0 / 255.0).round() as u8;
        u.push(scaled(b - luma([r, g, b]), 1.8556));
        v.push(scaled(r - luma([r, g, b]), 1.5748));
    }
    let seen = read_landmarks(&u, &v, width / 2, height / 2, width / 2);
    let all = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let brightness = all.map(|(x, y)| luma(pixel(x, y))).sum::<f32>() / (width * height) as f32;
    ((width, height), seen, brightness)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_still_picture_shows_what_the_camera_sees_though_nobody_watches() {
    let camera = start(visible()).await;
    let uri = ask(&camera, &media::GetSnapshotUri { profile_token: token() }).await.unwrap().media_uri.uri;
    let still = async || {
        let answer = get(&camera, &uri, PASSWORD).await.unwrap();
        assert_eq!(answer.status, 200);
        look(&answer.body)
    };
    let (size, seen, brightness) = still().await;
    assert_eq!(size, (640, 360));
    let view = estimate_view(&seen).expect("landmarks in view");
    assert!(view.pan.abs() < 0.01 && (view.tilt + 0.5).abs() < 0.03, "{view:?}");
    assert!(brightness > 60.0);
    move_to(&camera, 0.5, 0.0).await;
    let view = estimate_view(&still().await.1).expect("landmarks in view");
    assert!((view.pan - 0.5).abs() < 0.01, "{view:?}");
    camera.channel(1).unwrap().set_mask(true);
    let (_, seen, brightness) = still().await;
    assert!(seen.is_empty() && brightness < 12.0, "{brightness}");
    assert_eq!(camera.stats().encoders_running, 0);

    assert_eq!(get(&camera, &uri, "wrong").await.unwrap().status, 401);
    assert_eq!(get(&camera, &uri.replace("main", "third"), PASSWORD).await.unwrap().status, 404);
    let sub = media::GetSnapshotUri { profile_token: "sub".into() };
    let sub = ask(&camera, &sub).await.unwrap().media_uri.uri;
    assert_eq!(get(&camera, &sub, PASSWORD).await.unwrap().status, 200);
    camera.stop().await;
}
