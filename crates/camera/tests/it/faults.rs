//! Failing as told, and only so.

use std::time::Duration;

use camera::{Camera, Fault};
use proto::onvif::schema::*;
use proto::onvif::{Envelope, Error, device, media, ptz};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::soap::{ask, get, send, try_ask};
use crate::{PASSWORD, PATIENCE, small, start, until};

/// Long enough that an answer would have come.
const A_WHILE: Duration = Duration::from_millis(300);

fn turn() -> ptz::ContinuousMove {
    let velocity = PtzSpeed { pan_tilt: Some(Vector2D { x: 1.0, y: 0.0, space: None }), zoom: None };
    ptz::ContinuousMove { profile_token: "main".into(), velocity, timeout: None }
}

fn still(camera: &Camera) -> String {
    format!("http://{}/onvif/snapshot/main", camera.http_address())
}

#[tokio::test(flavor = "multi_thread")]
async fn refusing_and_dropping_is_for_commands() {
    let camera = start(small()).await;
    let looks = async || ask(&camera, &media::GetProfiles {}).await.unwrap().profiles.len();
    camera.faults().set(Fault::Refuse);
    let Err(Error::Fault(fault)) = ask(&camera, &turn()).await else { panic!("it is refused") };
    assert!(fault.is("Action"), "{fault:?}");
    assert_eq!(get(&camera, &still(&camera), PASSWORD).await.unwrap().status, 400);
    assert_eq!(looks().await, 2);

    camera.faults().set(Fault::Drop);
    assert!(try_ask(&camera, &turn(), PASSWORD).await.is_err(), "the answer ends in its middle");
    assert!(get(&camera, &still(&camera), PASSWORD).await.is_err());
    assert_eq!(looks().await, 2);
    assert!(!camera.ptz_status().pan_tilt_moving, "neither was carried out");

    camera.faults().set(Fault::None);
    ask(&camera, &turn()).await.unwrap();
    until("it turns", || camera.ptz_status().pan > 0.0).await;
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_login_is_right() {
    let camera = start(small()).await;
    camera.faults().set(Fault::WrongPassword);
    let Err(Error::Fault(fault)) = ask(&camera, &media::GetProfiles {}).await else { panic!("it is refused") };
    assert!(fault.is("NotAuthorized"), "{fault:?}");
    assert_eq!(get(&camera, &still(&camera), PASSWORD).await.unwrap().status, 401);
    ask(&camera, &device::GetSystemDateAndTime {}).await.expect("which needs no login");
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_answers_are_no_xml() {
    let camera = start(small()).await;
    camera.faults().set(Fault::Malformed);
    let answer = ask(&camera, &media::GetProfiles {}).await;
    assert!(matches!(answer, Err(Error::Xml(_))), "{answer:?}");
    let picture = get(&camera, &still(&camera), PASSWORD).await.unwrap();
    assert!(picture.status == 200 && !picture.body.starts_with(&[0xFF, 0xD8]));
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_answers_come_late_and_silence_lasts_until_it_ends() {
    let camera = start(small()).await;
    camera.faults().set(Fault::Slow(A_WHILE));
    let begun = Instant::now();
    ask(&camera, &media::GetProfiles {}).await.unwrap();
    assert!(begun.elapsed() >= A_WHILE);

    camera.faults().set(Fault::Silent);
    let body = Envelope::of(&device::GetSystemDateAndTime {}).write();
    let mut asked = Box::pin(send(&camera, "POST", "/onvif/device_service", &[], body.as_bytes()));
    assert!(timeout(A_WHILE, &mut asked).await.is_err(), "it says nothing");
    camera.faults().set(Fault::None);
    let answer = timeout(PATIENCE, asked).await.expect("it speaks again").unwrap();
    assert_eq!(answer.status, 200);

    // A silent camera stops all the same.
    camera.faults().set(Fault::Silent);
    let mut asking = TcpStream::connect(camera.http_address()).await.unwrap();
    asking.write_all(b"GET /onvif/snapshot/main HTTP/1.1\r\nHost: camera\r\n\r\n").await.unwrap();
    assert!(timeout(A_WHILE, asking.readable()).await.is_err(), "it says nothing");
    timeout(PATIENCE, camera.stop()).await.expect("stopping waits for nobody");
}
