//! People without an account: what a QR code opens, and what a trial's token does.

use serde_json::{Value, json};
use server::api::lapp::{ENTRY, ROUTES};
use server::api::{Access, Route};

use crate::http::send;
use crate::world::{MINE, OFFLINE, THEIRS, UNKNOWN, World, lapp, native, upload, wav};

/// Calls a route as a guest, about a channel.
async fn call(world: &World, token: &str, route: &Route, serial: &str, channel: &str) -> String {
    let mut parameters: Vec<(String, String)> =
        route.example.iter().map(|(name, value)| (name.to_string(), world.fill(value))).collect();
    parameters.push(("accessToken".into(), token.into()));
    if route.access == Access::Device {
        parameters.extend([("deviceSerial".into(), serial.into()), ("channelNo".into(), channel.into())]);
    }
    let pairs: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = match route.uploads {
        true => upload(world.http, route.path, &pairs, &wav(1)).await,
        false => lapp(world.http, route.path, &pairs).await,
    };
    answer["code"].as_str().unwrap().to_owned()
}

async fn enter(world: &World, uuid: &str) -> Value {
    let answer = lapp(world.http, ENTRY, &[("uuid", uuid)]).await;
    assert_eq!(answer["code"], "200", "{answer}");
    answer["data"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_opens_its_channel_and_nothing_else() {
    let world = World::start().await;
    let qr = format!("devices/{MINE}/channels/1/qr");
    let shown = native(world.http, &world.operator, "GET", &format!("{qr}?format=json"), &Value::Null).await.json();
    let id = shown["scene"].as_str().unwrap();
    assert!(id.len() <= 32 && id.bytes().all(|b| b.is_ascii_alphanumeric()), "WeChat carries it: {id}");
    assert!(shown["url"].as_str().unwrap().ends_with(&format!("/m/#/pages/live/live?scene={id}")), "{shown}");
    let again = native(world.http, &world.operator, "GET", &format!("{qr}?format=json"), &Value::Null).await.json();
    assert_eq!(again, shown, "a code on a wall goes on working");

    let entered = enter(&world, id).await;
    assert_eq!((&entered["deviceSerial"], &entered["channelNo"]), (&json!(MINE), &json!(1)));
    let token = entered["accessToken"].as_str().unwrap();
    assert_eq!(token.len(), 64);
    assert_ne!(enter(&world, id).await["accessToken"], token, "each visit is its own");
    for wrong in ["nothing", "constructor", &"x".repeat(5000), &id.to_uppercase(), &id[1..], token] {
        assert_eq!(enter(&world, wrong).await, Value::Null, "{wrong}");
    }

    for route in ROUTES.iter().filter(|route| route.access != Access::Anyone) {
        let path = route.path;
        // Of those for guests, some are about what was: for trials only.
        let past = path.contains("video/");
        let expected = if route.guests && !past { "200" } else { "10031" };
        assert_eq!(call(&world, token, route, MINE, "1").await, expected, "{path}");
        if route.guests && route.access == Access::Device {
            for serial in [THEIRS, OFFLINE, UNKNOWN] {
                assert_eq!(call(&world, token, route, serial, "1").await, "20018", "{path} of {serial}");
            }
        }
    }
    // What is made in a visit ends with it, whatever was asked for.
    let asked = [("accessToken", token), ("deviceSerial", MINE), ("protocol", "3"), ("expireTime", "86400")];
    let address = lapp(world.http, "v2/live/address/get", &asked).await;
    let url = url::Url::parse(address["data"]["url"].as_str().unwrap()).unwrap();
    let expire = url.query_pairs().find(|(name, _)| name == "expire").unwrap().1.parse::<u64>().unwrap();
    let left = expire - std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!((7_000..=7_200).contains(&left), "{left} s");

    // A token is sealed: no byte of it can be another.
    for at in 0..token.len() {
        let changed = if token.as_bytes()[at] == b'A' { 'B' } else { 'A' };
        let forged = format!("{}{changed}{}", &token[..at], &token[at + 1..]);
        let answer = lapp(world.http, "device/info", &[("accessToken", &forged), ("deviceSerial", MINE)]).await;
        assert_eq!(answer["code"], "10002", "byte {at}");
    }

    let gone = native(world.http, &world.operator, "DELETE", &qr, &Value::Null).await;
    assert_eq!((gone.status, gone.json()), (200, json!({ "revoked": 1 })));
    assert_eq!(enter(&world, id).await, Value::Null);
    let answer = lapp(world.http, "device/info", &[("accessToken", token), ("deviceSerial", MINE)]).await;
    assert_eq!(answer["code"], "10002", "the visit ends with the code");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_are_pictures_that_a_phone_reads() {
    let world = World::start().await;
    let get = async |path: &str| native(world.http, &world.operator, "GET", path, &Value::Null).await;
    let svg = get(&format!("devices/{MINE}/channels/1/qr")).await;
    assert_eq!((svg.status, svg.header("content-type")), (200, "image/svg+xml"));
    let drawn = get(&format!("devices/{}/channels/1/qr?format=png", MINE.to_lowercase())).await;
    assert_eq!((drawn.status, drawn.header("content-type")), (200, "image/png"));
    let mut reader = png::Decoder::new(std::io::Cursor::new(&drawn.bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert!(info.width == info.height && info.width >= 29 * 8, "{info:?}");
    // White around it, and the dark corner of a finder pattern inside (ISO/IEC 18004 §6.3.3).
    let bit = |x: usize, y: usize| pixels[y * info.line_size + x / 8] >> (7 - x % 8) & 1;
    assert_eq!((bit(0, 0), bit(31, 31), bit(32, 32), bit(40, 40)), (1, 1, 0, 1));

    for (path, status) in [
        (format!("devices/{MINE}/channels/2/qr"), 404),
        (format!("devices/{MINE}/channels/x/qr"), 400),
        (format!("devices/{MINE}/channels/1/qr?format=gif"), 400),
        (format!("devices/{UNKNOWN}/channels/1/qr"), 404),
        (format!("devices/{OFFLINE}/channels/1/qr"), 409),
        // No trial here.
        ("trial".into(), 404),
    ] {
        assert_eq!(get(&path).await.status, status, "{path}");
    }
    world.stop().await;
}

/// Guests take turns; who has an account need not wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_guest_turns_a_camera_at_a_time() {
    let world = World::start().await;
    let cloud = world.cloud();
    let operator = cloud.console();
    let account = cloud.account_of(&operator, MINE).await.unwrap();
    cloud.open_trial(&operator, &account);
    let visit = async || {
        let trial = send(world.http, "GET /api/v1/trial HTTP/1.1", b"").await.json();
        let devices: Vec<&str> =
            trial["devices"].as_array().unwrap().iter().map(|d| d["deviceSerial"].as_str().unwrap()).collect();
        assert_eq!(devices, [MINE, OFFLINE], "what the account has: {trial}");
        trial["accessToken"].as_str().unwrap().to_owned()
    };
    let (first, second) = (visit().await, visit().await);
    let turn = async |token: &str, path: &str| {
        let parameters =
            [("accessToken", token), ("deviceSerial", MINE), ("channelNo", "1"), ("direction", "0"), ("speed", "1")];
        lapp(world.http, path, &parameters).await["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(turn(&first, "device/ptz/start").await, "200");
    assert_eq!(turn(&second, "device/ptz/start").await, "60006", "somebody else is turning it");
    assert_eq!(turn(&second, "device/ptz/stop").await, "60006", "nor may they stop it");
    assert_eq!(turn(&first, "device/ptz/stop").await, "200");
    assert_eq!(turn(&world.me.token, "device/ptz/start").await, "200", "the owner need not wait");
    assert_eq!(turn(&world.me.token, "device/ptz/stop").await, "200");
    world.stop().await;
}
