//! A camera of several channels.

use camera::{Config, Quality};
use proto::onvif::schema::*;
use proto::onvif::{media, ptz};
use proto::rtsp::client::Error;

use crate::player::{Over, Player};
use crate::soap::ask;
use crate::{small, start, until};

#[tokio::test(flavor = "multi_thread")]
async fn channels_are_sources_of_their_own() {
    let camera = start(Config { channels: 4, name: "Yard".into(), ..small() }).await;
    let profiles = ask(&camera, &media::GetProfiles {}).await.unwrap().profiles;
    let tokens: Vec<_> = profiles.iter().map(|profile| profile.token.as_str()).collect();
    assert_eq!(tokens, ["main", "sub", "main2", "sub2", "main3", "sub3", "main4", "sub4"]);
    let sources = ask(&camera, &media::GetVideoSources {}).await.unwrap().video_sources;
    let sources: Vec<_> = sources.iter().map(|source| source.token.as_str()).collect();
    assert_eq!(sources, ["sensor", "sensor2", "sensor3", "sensor4"]);
    assert_eq!(profiles[5].video_source.as_ref().unwrap().source_token, "sensor3");
    assert_eq!(profiles[5].video_source.as_ref().unwrap().name, "Yard 3");

    // One turns, the others do not.
    let velocity = PtzSpeed { pan_tilt: Some(Vector2D { x: 1.0, y: 0.0, space: None }), zoom: None };
    let turn = ptz::ContinuousMove { profile_token: "sub3".into(), velocity, timeout: None };
    ask(&camera, &turn).await.unwrap();
    let channel = |number: u16| camera.channel(number).unwrap();
    until("the third turns", || channel(3).ptz_status().pan > 0.1).await;
    for number in [1, 2, 4] {
        assert_eq!(channel(number).ptz_status().pan, 0.0, "channel {number}");
    }
    channel(2).set_mask(true);
    assert!(!channel(1).mask() && !channel(3).mask());
    assert!(camera.channel(0).is_none() && camera.channel(5).is_none());
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_have_two_kinds_of_names_at_one_port() {
    let camera = start(Config { channels: 2, ..small() }).await;
    let base = format!("rtsp://{}", camera.rtsp_address());
    camera.channel(2).unwrap().set_mask(true);
    for (path, covered) in [
        ("main", false),
        ("Streaming/Channels/102", false),
        ("streaming/channels/101?transportmode=unicast", false),
        ("main2", true),
        ("Streaming/Channels/201", true),
        ("streaming/channels/202/", true),
    ] {
        let mut player = Player::open(&format!("{base}/{path}"), Over::Tcp).await.unwrap();
        let picture = player.picture().await;
        assert_eq!(picture.luma < 30.0, covered, "{path}: {}", picture.luma);
    }
    for path in ["main3", "Streaming/Channels/301", "Streaming/Channels/103", "Streaming/Channels/001", "main1"] {
        let missing = Player::open(&format!("{base}/{path}"), Over::Tcp).await.err();
        assert!(matches!(missing, Some(Error::Status { status: 404, .. })), "{path}: {missing:?}");
    }
    assert_eq!(camera.rtsp_url(Quality::Main), format!("{base}/main"));
    camera.stop().await;
}
