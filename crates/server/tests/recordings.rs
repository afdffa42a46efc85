//! Footage: found by time, opened by cards, and addressed.

use std::time::{SystemTime, UNIX_EPOCH};

use device::DriverError;
use serde_json::{Value, json};
use server::config::UtcOffset;
use store::{MetaStore, SegmentRow, Shelf, UnixMillis};

use crate::http::send;
use crate::scripted::Scripted;
use crate::world::{MINE, OFFLINE, World, lapp, native};

const HOUR: i64 = 3_600_000;
/// Of rows in the cloud.
const CLOUD: u8 = 2;

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// Lists a minute of cloud footage from each of these moments on.
async fn keep(world: &World, serial: &str, starts: &[i64]) {
    let rows = MetaStore::sqlite(&world.data.path().join("meta.db")).await.unwrap();
    let segment = |start: &i64| SegmentRow {
        id: 0,
        shelf: Shelf { serial: serial.into(), channel_no: 1, storage: CLOUD },
        starts_at: UnixMillis(*start),
        ends_at: UnixMillis(*start + 60_000),
        bytes: 1000,
        sha256: [0; 32],
    };
    rows.insert_segments(&starts.iter().map(segment).collect::<Vec<_>>(), 1).await.unwrap();
    rows.close().await;
}

/// `video/by/time` of a device.
async fn by_time(world: &World, serial: &str, kind: &str, from: i64, to: i64) -> Value {
    let (from, to) = (from.to_string(), to.to_string());
    let asked = [("deviceSerial", serial), ("recType", kind), ("startTime", &from), ("endTime", &to)];
    world.call("video/by/time", &asked).await
}

fn starts(answer: &Value) -> Vec<(i64, i64)> {
    assert_eq!(answer["code"], "200", "{answer}");
    let rows = answer["data"].as_array().into_iter().flatten();
    rows.map(|row| (row["recType"].as_i64().unwrap(), row["startTime"].as_i64().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_index_is_of_the_card_and_of_the_cloud() {
    let world = World::start().await;
    let began = now() + 1000;
    keep(&world, MINE, &[began, began + 60_000, began + 10 * 60_000]).await;
    let mut clip = crate::scripted::card().remove(0);
    (clip.from.0, clip.to.0) = ((began + 30_000) * 1000, (began + 90_000) * 1000);
    world.camera.keeps(vec![clip]);
    // Consecutive minutes are one row; both storages, by time.
    let (from, to) = (began - HOUR, began + HOUR);
    let all = by_time(&world, MINE, "0", from, to).await;
    assert_eq!(starts(&all), [(1, began), (2, began + 30_000), (1, began + 600_000)]);
    assert_eq!(starts(&by_time(&world, MINE, "1", from, to).await), [(1, began), (1, began + 600_000)]);
    assert_eq!(starts(&by_time(&world, MINE, "2", from, to).await), [(2, began + 30_000)]);

    // What players of the cloud read is there, and of its type.
    let row = &all["data"][0];
    assert_eq!((&row["endTime"], &row["videoLong"]), (&json!(began + 120_000), &json!(120_000)));
    assert_eq!((&row["fileSize"], &row["fileType"], &row["cloudType"]), (&json!(2000), &json!(1), &json!(1)));
    assert!(row["id"].is_u64() && row["fileId"].is_string() && row["ownerId"].is_string(), "{row}");
    assert!(row["iStorageVersion"].is_u64() && row["videoType"].is_u64() && row["createTime"].is_i64(), "{row}");
    assert_eq!(row["fileIndex"].as_str().unwrap().len(), 36);
    assert_eq!(row["downloadPath"], world.http.to_string());

    // The same row by its number, of its own device alone.
    let by_id = async |serial: &str, id: &str| {
        world.call("video/by/id", &[("deviceSerial", serial), ("channelNo", "1"), ("alarmId", id)]).await
    };
    let id = row["id"].to_string();
    assert_eq!(by_id(MINE, &id).await["data"], *row);
    for (serial, id, code) in [(OFFLINE, id.as_str(), "20301"), (MINE, "987654321", "20301"), (MINE, "x_1", "20301")] {
        assert_eq!(by_id(serial, id).await["code"], code, "{serial} {id}");
    }
    assert_eq!(world.call("video/by/id", &[("deviceSerial", MINE)]).await["code"], "10001");

    // Pages of the cloud, whether a size is asked for or not.
    let pages = async |more: &[(&str, &str)]| {
        let (from, to) = (from.to_string(), to.to_string());
        let asked =
            [("deviceSerial", MINE), ("recType", "1"), ("version", "2.0"), ("startTime", &from), ("endTime", &to)];
        world.call("video/by/time", &[&asked, more].concat()).await["data"].take()
    };
    let whole = pages(&[]).await;
    assert_eq!((whole["files"].as_array().unwrap().len(), &whole["isAll"]), (2, &json!(true)));
    assert_eq!(whole["nextFileTime"], 0);
    let first = pages(&[("pageSize", "1")]).await;
    assert_eq!((&first["isAll"], &first["nextFileTime"]), (&json!(false), &json!(began + 600_000)));
    let second = pages(&[("pageSize", "1"), ("startTime", &first["nextFileTime"].to_string())]).await;
    assert_eq!((second["files"].as_array().unwrap().len(), &second["isAll"]), (1, &json!(true)));

    // A device that is off line hides nothing of ours.
    keep(&world, OFFLINE, &[began]).await;
    assert_eq!(starts(&by_time(&world, OFFLINE, "0", from, to).await), [(1, began)]);
    assert_eq!(by_time(&world, OFFLINE, "2", from, to).await["code"], "20007");
    assert_eq!(by_time(&world, OFFLINE, "0", from, began).await["code"], "20007", "nothing of ours, and no answer");
    world.camera.fails("recordings", DriverError::Timeout { step: "search" });
    assert_eq!(starts(&by_time(&world, MINE, "0", from + 1, to + 1).await).len(), 2);
    assert_eq!(by_time(&world, MINE, "2", from + 2, to + 2).await["code"], "20008");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_what_was_recorded_while_the_device_was_anothers() {
    let world = World::start().await;
    let (before, after) = (now() - HOUR, now() + 1000);
    keep(&world, MINE, &[before, after]).await;
    let (from, to) = (before - HOUR, after + HOUR);
    assert_eq!(starts(&by_time(&world, MINE, "1", from, to).await), [(1, after)]);
    // Freed and taken back: nothing is lost. Somebody else gets nothing.
    let rebind = async |token: &str| {
        let add = [("accessToken", token), ("deviceSerial", MINE), ("validateCode", crate::world::CODE)];
        assert_eq!(lapp(world.http, "device/add", &add).await["code"], "200");
    };
    assert_eq!(world.call("device/delete", &[("deviceSerial", MINE)]).await["code"], "200");
    rebind(&world.me.token).await;
    assert_eq!(starts(&by_time(&world, MINE, "1", from, to).await), [(1, after)]);
    assert_eq!(world.call("device/delete", &[("deviceSerial", MINE)]).await["code"], "200");
    world.until(|| async { now() > after }).await;
    rebind(&world.other.token).await;
    let (from, to) = (from.to_string(), (after + 500).to_string());
    let asked = [
        ("accessToken", world.other.token.as_str()),
        ("deviceSerial", MINE),
        ("recType", "1"),
        ("startTime", &from),
        ("endTime", &to),
    ];
    let seen = lapp(world.http, "video/by/time", &asked).await;
    let bound = seen["data"].as_array().map_or(i64::MAX, |rows| rows[0]["startTime"].as_i64().unwrap());
    assert!(bound > after, "what was recorded before it was bound is seen: {seen}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_searched_once_for_what_a_page_asks_again_and_again() {
    let world = World::start().await;
    world.camera.asked();
    let month =
        [("accessToken", world.me.token.as_str()), ("deviceSerial", MINE), ("recType", "2"), ("queryMonth", "202411")];
    let days = lapp(world.http, "/api/v3/open/cloud/video/exist/query/month", &month).await;
    assert_eq!(days["data"].as_array().unwrap().len(), 2, "{days}");
    // 1 November 2024 in China, and a month later.
    assert_eq!(world.camera.asked(), ["recordings 1 1730390400 1732982400"]);
    for _ in 0..3 {
        let day = by_time(&world, MINE, "2", 1_731_859_200_000, 1_731_945_600_000).await;
        assert_eq!(starts(&day), [(2, 1_731_858_600_000), (2, 1_731_888_000_250)]);
        let ends: Vec<&Value> = day["data"].as_array().unwrap().iter().map(|row| &row["endTime"]).collect();
        assert_eq!(ends, [1_731_859_800_000_i64, 1_731_888_060_500], "not cut at midnight");
    }
    assert_eq!(world.camera.asked(), [] as [String; 0], "it said so just now");
    let without = by_time(&world, MINE, "2", 1_732_982_400_000, 1_733_000_000_000).await;
    assert_eq!((&without["code"], &without["data"]), (&json!("200"), &Value::Null), "a day without footage");
    assert_eq!(world.camera.asked(), ["recordings 1 1732982400 1733000000"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_without_a_card_has_recorded_nothing() {
    let world = World::start().await;
    world.drive(Scripted::unable()).await;
    let day = (1_731_859_200_000, 1_731_945_600_000);
    for kind in ["0", "1", "2"] {
        let answer = by_time(&world, MINE, kind, day.0, day.1).await;
        assert_eq!((&answer["code"], &answer["data"]), (&json!("200"), &Value::Null), "{answer}");
        assert!(answer.as_object().unwrap().contains_key("data"), "{answer}");
    }
    let query = format!("accessToken={}&deviceSerial={MINE}&startTime=1731859200&endTime=1731945600", world.me.token);
    let head = format!("GET /api/v3/device/local/video/unify/query?{query} HTTP/1.1");
    let answer = send(world.http, &head, b"").await.json();
    assert_eq!((&answer["meta"]["code"], &answer["code"]), (&json!(20015), &json!("20015")), "{answer}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_and_addresses_are_of_the_zone_that_is_set() {
    let world = World::with(|config| config.node.utc_offset = UtcOffset(0)).await;
    // The clip over midnight in China is within one day in London.
    let month =
        [("accessToken", world.me.token.as_str()), ("deviceSerial", MINE), ("recType", "2"), ("queryMonth", "202411")];
    let days = lapp(world.http, "/api/v3/open/cloud/video/exist/query/month", &month).await;
    let days: Vec<&str> = days["data"].as_array().unwrap().iter().map(|d| d["recDay"].as_str().unwrap()).collect();
    assert_eq!(days, ["20241117", "20241118"]);
    world.camera.keeps(crate::scripted::card()[..1].to_vec());
    world
        .until(|| async {
            // What the card said a moment ago counts for some seconds.
            let days = lapp(world.http, "/api/v3/open/cloud/video/exist/query/month", &month).await;
            days["data"].as_array().unwrap().len() == 1
        })
        .await;
    let asked = [
        ("deviceSerial", MINE),
        ("protocol", "3"),
        ("type", "2"),
        ("startTime", "2024-11-17 15:50:00"),
        ("stopTime", "1731859800000"),
    ];
    let address = world.call("v2/live/address/get", &asked).await;
    let url = address["data"]["url"].as_str().unwrap();
    assert!(url.contains("?begin=20241117155000&end=20241117161000&expire="), "{url}");
    let (path, query) = url.split_once("/v3/").unwrap().1.split_once('?').unwrap();
    let grant = world.cloud().verify_playback(&format!("/v3/{path}"), query).unwrap();
    assert_eq!((grant.from, grant.to), (UnixMillis(1_731_858_600_000), UnixMillis(1_731_859_800_000)));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn footage_of_an_encrypted_device_wants_its_password() {
    let world = World::start().await;
    assert_eq!(world.call("device/encrypt/on", &[("deviceSerial", MINE)]).await["code"], "200");
    for kind in ["2", "3"] {
        let ask = async |code: &str| {
            let asked = [("deviceSerial", MINE), ("protocol", "3"), ("type", kind), ("code", code)];
            world.call("v2/live/address/get", &asked).await["code"].take()
        };
        assert_eq!([ask("").await, ask("WRONGG").await, ask(crate::world::CODE).await], ["60019", "60019", "200"]);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_of_footage_is_taken_back_by_its_id() {
    let world = World::start().await;
    let asked = [("deviceSerial", MINE), ("protocol", "4"), ("type", "3")];
    let address = world.call("v2/live/address/get", &asked).await["data"].take();
    let url = address["url"].as_str().unwrap();
    let (path, query) = url.split_once("/v3/").unwrap().1.split_once(".flv?").unwrap();
    let path = format!("/v3/{path}");
    world.cloud().verify_playback(&path, query).unwrap();
    let disable = [("deviceSerial", MINE), ("urlId", address["id"].as_str().unwrap())];
    assert_eq!(world.call("v2/live/address/disable", &disable).await["code"], "200");
    assert!(world.cloud().verify_playback(&path, query).is_err());
    world.stop().await;
}

/// Makes one card.
async fn card(world: &World, ask: Value) -> String {
    let mut asked = json!({ "count": 1, "days": 30, "retention_days": 7 });
    asked.as_object_mut().unwrap().extend(ask.as_object().unwrap().clone());
    let made = native(world.http, &world.operator, "POST", "cards", &asked).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json()["keys"][0].as_str().unwrap().to_owned()
}

async fn open(world: &World, key: &str, more: &[(&str, &str)]) -> Value {
    let asked = [("deviceSerial", MINE), ("cardPassword", key)];
    world.call("cloud/storage/open", &[&asked, more].concat()).await["code"].take()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_card_has_its_code() {
    let world = World::start().await;
    let used = card(&world, json!({})).await;
    assert_eq!(open(&world, &used, &[]).await, "200");
    assert_eq!(open(&world, &used, &[]).await, "60032");
    let bundled = card(&world, json!({ "serial": OFFLINE })).await;
    assert_eq!(open(&world, &bundled, &[]).await, "60033");
    let withdrawn = card(&world, json!({ "batch": "spring" })).await;
    let disable = native(world.http, &world.operator, "PUT", "cards/spring", &json!({ "enabled": false })).await;
    assert_eq!(disable.status, 204);
    assert_eq!(open(&world, &withdrawn, &[]).await, "60032");
    let soon = now() + 1500;
    let expiring = card(&world, json!({ "expires": soon })).await;
    world.until(|| async { now() >= soon }).await;
    assert_eq!(open(&world, &expiring, &[]).await, "60032");

    // Queued behind the first, then in its place.
    let info = async || world.call("cloud/storage/device/info", &[("deviceSerial", MINE)]).await["data"].take();
    let first = info().await;
    assert_eq!((&first["status"], &first["totalDays"], &first["validDays"]), (&json!(1), &json!(7), &json!(30)));
    assert_eq!(open(&world, &card(&world, json!({})).await, &[]).await, "200");
    assert_eq!(info().await, first);
    let longer = card(&world, json!({ "retention_days": 30, "days": 10 })).await;
    assert_eq!(open(&world, &longer, &[("isImmediately", "1")]).await, "200");
    let replaced = info().await;
    assert_eq!((&replaced["totalDays"], &replaced["validDays"]), (&json!(30), &json!(10)));
    assert!(replaced["startTime"].as_i64() > first["startTime"].as_i64());
    let v2 = world.call("cloud/v2/storage/device/info", &[("deviceSerial", MINE)]).await["data"].take();
    let services = v2[0]["cloudStorageServiceRespList"].as_array().unwrap();
    assert_eq!(services.iter().map(|s| s["status"].as_i64().unwrap()).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!((&v2[0]["userEnable"], &v2[0]["serviceType"]), (&json!(1), &json!("3")));
    assert_eq!(world.call("cloud/storage/enable", &[("deviceSerial", MINE), ("enable", "0")]).await["code"], "200");
    assert_eq!(info().await["status"], 0);

    let endless = json!({ "retention_days": 3 });
    let plan = format!("devices/{MINE}/channels/1/plan");
    assert_eq!(native(world.http, &world.operator, "PUT", &plan, &endless).await.status, 200);
    let kept = card(&world, json!({})).await;
    assert_eq!(open(&world, &kept, &[]).await, "60035");

    for n in 0..5 {
        assert_eq!(open(&world, &format!("WRONG{n}"), &[]).await, "60031");
    }
    assert_eq!(open(&world, &kept, &[]).await, "60030");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_makes_cards_and_plans() {
    let world = World::start().await;
    let call =
        async |method: &str, path: &str, body: Value| native(world.http, &world.operator, method, path, &body).await;
    let made = call("POST", "cards", json!({ "count": 3, "days": 30, "retention_days": 7, "batch": "b1" })).await;
    let made = (made.status, made.json());
    assert_eq!((made.0, made.1["keys"].as_array().unwrap().len(), &made.1["batch"]), (201, 3, &json!("b1")));
    assert_eq!(open(&world, made.1["keys"][1].as_str().unwrap(), &[]).await, "200");
    let listed = call("GET", "cards?batch=b1", Value::Null).await.json();
    let cards = listed["cards"].as_array().unwrap();
    assert_eq!(cards.iter().filter(|card| card["state"] == "unused").count(), 2);
    let used = cards.iter().find(|card| card["state"] == "used").unwrap();
    assert_eq!((&used["used"]["serial"], &used["used"]["channel"]), (&json!(MINE), &json!(1)));
    for key in made.1["keys"].as_array().unwrap() {
        assert!(!listed.to_string().contains(key.as_str().unwrap()), "a key is told again");
    }
    let plan = format!("devices/{MINE}/channels/1/plan");
    let states = |answer: &Value| -> Vec<String> {
        let plans = answer["plans"].as_array().unwrap();
        plans.iter().map(|plan| plan["state"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(states(&call("GET", &plan, Value::Null).await.json()), ["active"]);
    let set = call("PUT", &plan, json!({ "retention_days": 30, "days": 365 })).await.json();
    assert_eq!(states(&set), ["expired", "active"]);
    assert_eq!(call("DELETE", &plan, Value::Null).await.status, 204);
    assert_eq!(states(&call("GET", &plan, Value::Null).await.json()), ["expired", "expired"]);

    for (method, path, body, status) in [
        ("POST", "cards", json!({ "count": 0, "days": 30, "retention_days": 7 }), 400),
        ("POST", "cards", json!({ "count": 1, "days": 30 }), 400),
        ("POST", "cards", json!({ "count": 1, "days": 30, "retention_days": 7, "serial": "x" }), 400),
        ("GET", "cards?x=1", Value::Null, 400),
        ("PUT", "cards/none", json!({ "enabled": true }), 404),
        ("PUT", &plan, json!({ "retention_days": 0 }), 400),
        ("PUT", "devices/Z99999999/channels/1/plan", json!({ "retention_days": 1 }), 404),
        ("GET", &plan.replace("/1/", "/9/"), Value::Null, 404),
        ("GET", &plan.replace("/1/", "/x/"), Value::Null, 400),
    ] {
        let answer = call(method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
    }
    world.stop().await;
}

/// Whoever the operator lets try a device by a code sees what is now, not what was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_opens_no_past() {
    let world = World::start().await;
    let qr = format!("devices/{MINE}/channels/1/qr?format=json");
    let entry = native(world.http, &world.operator, "GET", &qr, &Value::Null).await.json();
    let entered = lapp(world.http, "/device/getWxaInfo", &[("uuid", entry["scene"].as_str().unwrap())]).await;
    let token = entered["data"]["accessToken"].as_str().unwrap_or_else(|| panic!("{entered}")).to_owned();
    let ask = async |path: &str, more: &[(&str, &str)]| {
        let asked = [("accessToken", token.as_str()), ("deviceSerial", MINE)];
        lapp(world.http, path, &[&asked, more].concat()).await["code"].take()
    };
    assert_eq!(ask("v2/live/address/get", &[("protocol", "3")]).await, "200");
    assert_eq!(ask("v2/live/address/get", &[("protocol", "3"), ("type", "3")]).await, "10031");
    assert_eq!(ask("video/by/time", &[]).await, "10031");
    assert_eq!(ask("video/download/address", &[]).await, "10031");
    world.stop().await;
}
