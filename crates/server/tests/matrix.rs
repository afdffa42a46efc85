//! Every route times every wrong caller (T22), generated from the routers' own lists.

use serde_json::{Value, json};
use server::api::code::Family;
use server::api::lapp::{ENTRY, ROUTES};
use server::api::reply::Envelope;
use server::api::{Access, Route, native};

use crate::http::send;
use crate::world::{FREE, MINE, REMOVED, THEIRS, UNKNOWN, World, lapp, native as call_native, upload, wav};

/// Routes that do not look at a channel.
const OF_WHOLE_DEVICES: [&str; 11] = [
    "device/delete",
    "device/name/update",
    "device/info",
    "device/capacity",
    "device/camera/list",
    "device/version/info",
    "device/encrypt/on",
    "device/encrypt/off",
    "device/password/update",
    "device/defence/set",
    "cloud/storage/enable",
];

/// Calls a route, with a file if it wants one.
async fn call(world: &World, route: &Route, parameters: &[(&str, &str)]) -> Value {
    let mut answer = match route.uploads {
        true => upload(world.http, route.path, parameters, &wav(1)).await,
        false => lapp(world.http, route.path, parameters).await,
    };
    if Envelope::of(route.path) == Envelope::Meta && route.path.starts_with('/') {
        // A number here; for the tests as everywhere else.
        assert!(answer["meta"]["code"].is_u64(), "{}: {answer}", route.path);
        answer["code"] = answer["meta"]["code"].to_string().into();
        answer["msg"] = answer["meta"]["message"].take();
    }
    answer
}

/// What a route answers to parameters of a good call, with these changed; an empty value removes one.
async fn code(world: &World, route: &Route, changed: &[(&str, &str)]) -> Value {
    let mut parameters: Vec<(String, String)> =
        route.example.iter().map(|(name, value)| (name.to_string(), world.fill(value))).collect();
    if route.access != Access::Anyone {
        parameters.push(("accessToken".into(), world.me.token.clone()));
    }
    if route.access == Access::Device {
        parameters.push(("deviceSerial".into(), MINE.into()));
    }
    for (name, value) in changed {
        parameters.retain(|(have, _)| have != name);
        parameters.push((name.to_string(), value.to_string()));
    }
    let parameters: Vec<(&str, &str)> =
        parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut answer = call(world, route, &parameters).await;
    assert!(answer["msg"].is_string(), "{}: {answer}", route.path);
    answer["code"].take()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_callers_of_the_open_api() {
    let world = World::start().await;
    let one_byte_changed =
        format!("{}{}", &world.me.token[..63], if world.me.token.ends_with('a') { 'b' } else { 'a' });
    for route in ROUTES {
        let path = route.path;
        if route.access == Access::Anyone {
            continue;
        }
        for token in
            [one_byte_changed.as_str(), "constructor", "at.", "null", world.operator.as_str(), &"a".repeat(4096)]
        {
            assert_eq!(code(&world, route, &[("accessToken", token)]).await, "10002", "{path} with token {token}");
        }
        assert_eq!(code(&world, route, &[("accessToken", "")]).await, "10001", "{path} without token");
        if route.access == Access::Device {
            // Whether the platform knows a serial is not told: all three look the same.
            for serial in [THEIRS, FREE, UNKNOWN] {
                assert_eq!(code(&world, route, &[("deviceSerial", serial)]).await, "20018", "{path} of {serial}");
            }
            assert_eq!(code(&world, route, &[("deviceSerial", REMOVED)]).await, "20002", "{path} of a removed device");
            assert_eq!(
                code(&world, route, &[("deviceSerial", "D1234-678")]).await,
                "20014",
                "{path} of a malformed serial"
            );
            assert_eq!(code(&world, route, &[("deviceSerial", "")]).await, "10001", "{path} without serial");
            // A channel that is not there, where one is looked for.
            if !OF_WHOLE_DEVICES.contains(&path) {
                let expected = if matches!(route.family, Family::Address | Family::Voice) { "20001" } else { "20032" };
                let missing = code(&world, route, &[("channelNo", "99")]).await;
                assert_eq!(missing, expected, "{path} of a missing channel");
            }
        }
    }
    // The same calls work for the right caller, or the test would prove nothing. Deleting comes last.
    for route in ROUTES.iter().filter(|route| route.path != "device/delete") {
        // Nothing is recorded here, and only the right caller is told so.
        let expected = if route.path == "video/by/id" { "20301" } else { "200" };
        assert_eq!(code(&world, route, &[]).await, expected, "{}", route.path);
    }
    let delete = ROUTES.iter().find(|route| route.path == "device/delete").unwrap();
    assert_eq!(code(&world, delete, &[]).await, "200");
    assert_eq!(code(&world, delete, &[]).await, "20018", "deleting unbinds");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_is_kept_out_and_let_in_again() {
    let world = World::start().await;
    world.let_in(false).await;
    // Who comes by a code comes by no application.
    for route in ROUTES.iter().filter(|route| route.path != ENTRY) {
        assert_eq!(code(&world, route, &[]).await, "10005", "{}", route.path);
    }
    world.let_in(true).await;
    assert_eq!(world.call("device/info", &[("deviceSerial", MINE)]).await["code"], "200");
    world.stop().await;
}

/// What is ours to repair is nobody else's business: the code tells no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_kept_is_an_internal_error() {
    let world = World::start().await;
    for folder in ["pictures", "voices"] {
        std::fs::remove_dir_all(world.data.path().join(folder)).unwrap();
    }
    for path in ["device/capture", "voice/upload"] {
        let route = ROUTES.iter().find(|route| route.path == path).unwrap();
        assert_eq!(code(&world, route, &[]).await, "50000", "{path}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_callers_of_the_native_api() {
    let world = World::start().await;
    for route in native::ROUTES.iter().filter(|route| !route.open) {
        let path =
            route.path.replace("{serial}", MINE).replace("{id}", "1").replace("{no}", "1").replace("{batch}", "x");
        for token in ["", "constructor", world.me.token.as_str(), &world.operator[..world.operator.len() - 1]] {
            let answer = call_native(world.http, token, route.method, &path, &json!({})).await;
            assert_eq!(answer.status, 401, "{} {path} with token {token:?}: {answer:?}", route.method);
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
        // Another scheme with the right token is still no bearer token.
        let head = format!("{} /api/v1/{path} HTTP/1.1\nAuthorization: Basic {}", route.method, world.operator);
        assert_eq!(send(world.http, &head, b"").await.status, 401, "{path}");
        // Nor does the token count anywhere else.
        let head = format!("{} /api/v1/{path}?token={}&access_token={1} HTTP/1.1", route.method, world.operator);
        assert_eq!(send(world.http, &head, b"").await.status, 401, "{path}");
    }
    assert_eq!(call_native(world.http, "", "GET", "health", &Value::Null).await.status, 200);
    assert_eq!(call_native(world.http, "", "GET", "nothing", &Value::Null).await.status, 404);
    world.stop().await;
}

/// A missing or malformed parameter is told by its name; what nobody asks for is ignored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_required_parameter_is_named() {
    let world = World::start().await;
    for route in ROUTES.iter().filter(|route| route.uploads) {
        let parameters = [("accessToken", world.me.token.as_str()), ("deviceSerial", MINE)];
        let answer = lapp(world.http, route.path, &parameters).await;
        assert_eq!(answer["code"], "10001", "{} without file: {answer}", route.path);
        assert!(answer["msg"].as_str().unwrap().ends_with("voiceFile"), "{answer}");
    }
    for route in ROUTES {
        let mut required: Vec<&str> =
            route.example.iter().map(|(name, _)| *name).filter(|name| *name != "protocol").collect();
        match route.access {
            Access::Anyone => {}
            Access::Account => required.push("accessToken"),
            Access::Device => required.extend(["accessToken", "deviceSerial"]),
        }
        for missing in required {
            let mut parameters: Vec<(String, String)> =
                route.example.iter().map(|(name, value)| (name.to_string(), world.fill(value))).collect();
            parameters.extend([("accessToken".into(), world.me.token.clone()), ("deviceSerial".into(), MINE.into())]);
            parameters.retain(|(name, _)| name != missing);
            let pairs: Vec<(&str, &str)> =
                parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let answer = call(&world, route, &pairs).await;
            assert_eq!(answer["code"], "10001", "{} without {missing}: {answer}", route.path);
            assert!(answer["msg"].as_str().unwrap().ends_with(missing), "{} without {missing}: {answer}", route.path);
        }
    }
    let malformed = [
        ("device/list", "pageStart", "-1"),
        ("device/list", "pageStart", "400"),
        ("device/list", "pageSize", "51"),
        ("device/list", "pageSize", "0"),
        ("camera/list", "pageSize", "ten"),
        ("v2/live/address/get", "channelNo", "x"),
        ("v2/live/address/get", "protocol", "9"),
        ("v2/live/address/get", "type", "4"),
        ("v2/live/address/get", "quality", "3"),
        ("v2/live/address/get", "expireTime", "29"),
        ("v2/live/address/get", "expireTime", "62208001"),
        ("v2/live/address/get", "expireTime", "1.5"),
        ("v2/live/address/get", "supportH265", "maybe"),
        ("v2/live/address/disable", "urlId", "abc"),
        ("live/address/get", "source", "nothing"),
        ("device/name/update", "deviceName", &"很".repeat(17)),
        ("device/ptz/start", "direction", "12"),
        ("device/ptz/start", "direction", "up"),
        ("device/ptz/start", "speed", "3"),
        ("device/ptz/start", "speed", "-1"),
        ("device/ptz/stop", "direction", "17"),
        ("device/ptz/mirror", "command", "3"),
        ("device/preset/move", "index", "0"),
        ("device/preset/move", "index", "65536"),
        ("device/scene/switch/set", "enable", "2"),
        ("device/defence/set", "isDefence", "2"),
        ("device/password/update", "newPassword", "thirteen byte"),
        ("voice/query", "default", "maybe"),
        ("voice/query", "pageSize", "51"),
        ("voice/send", "fileUrl", "https://voice.example/a.mp3"),
        ("voice/rename", "newVoiceName", "<b>"),
    ];
    let usual = [
        ("deviceSerial", MINE),
        ("urlId", "1"),
        ("protocol", "3"),
        ("direction", "0"),
        ("speed", "1"),
        ("oldPassword", "x"),
        ("voiceName", "x"),
    ];
    for (path, name, value) in malformed {
        let answer = world.call(path, &[&usual[..], &[(name, value)]].concat()).await;
        assert_eq!(answer["code"], "10001", "{path} {name}={value}: {answer}");
        assert!(answer["msg"].as_str().unwrap().ends_with(name), "{path} {name}={value}: {answer}");
    }
    let tolerated = [
        ("deviceSerial", " d12345678 "),
        ("channelNo", " 1.0 "),
        ("protocol", "4"),
        ("addressTypes", "x"),
        ("userAgent", "y"),
    ];
    assert_eq!(world.call("v2/live/address/get", &tolerated).await["code"], "200");
    world.stop().await;
}

/// The answer's parts agree with each other, and each call makes an address of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn address_and_its_parts_agree() {
    let world = World::with(|config| config.node.utc_offset = server::config::UtcOffset(0)).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let asked = [("deviceSerial", MINE), ("protocol", "3"), ("expireTime", "86400")];
        let answer = world.call("v2/live/address/get", &asked).await;
        let data = &answer["data"];
        let url = url::Url::parse(data["url"].as_str().unwrap()).unwrap();
        let query: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(query["id"], data["id"].as_str().unwrap());
        let expire: i64 = query["expire"].parse().unwrap();
        let left = expire - std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
        assert!((86_340..=86_400).contains(&left), "{left}");
        // In UTC the clock's part of the text is the rest of the day.
        let clock: Vec<i64> =
            data["expireTime"].as_str().unwrap()[11..].split(':').map(|n| n.parse().unwrap()).collect();
        assert_eq!(clock[0] * 3600 + clock[1] * 60 + clock[2], expire % 86_400);
        ids.push(query["id"].clone());
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
    world.stop().await;
}
