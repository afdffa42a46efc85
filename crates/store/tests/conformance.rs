//! One suite, every engine: each method of the store over memory and over a file, then what only a
//! file can do. Another engine joins by one line in [`conformance`].
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use store::{
    AccountRow, AppRow, AttemptRow, CardRow, CardUse, ChannelFacts, ChannelRow, Condemn, DeviceFacts, Error,
    GrantKeyRow, MetaStore, NewDevice, PlanRow, PushKeyRow, QuarantineRow, RecorderRow, RevocationRow, SegmentRow,
    Shelf, Spending, StreamFacts, TokenRow, UnixMillis, VoiceRow,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

const NOW: UnixMillis = UnixMillis(1_795_435_200_000);
const ANNA: &str = "anna";
const BERT: &str = "bert";

fn at(offset_ms: i64) -> UnixMillis {
    UnixMillis(NOW.0 + offset_ms)
}

fn account(id: &str) -> AccountRow {
    AccountRow { id: id.into(), name: format!("name of {id}"), created_at: NOW }
}

fn app(key: &str, account: &str) -> AppRow {
    AppRow {
        app_key: key.into(),
        account_id: account.into(),
        name: "app".into(),
        secret_sealed: vec![0, 255, 1],
        enabled: true,
        created_at: NOW,
    }
}

fn channel(serial: &str, no: u16) -> ChannelRow {
    let main = StreamFacts { video_codec: Some("H265".into()), size: Some((1280, 720)), audio: Some(true) };
    let facts = ChannelFacts { main, sub: Some(StreamFacts::default()) };
    ChannelRow { serial: serial.into(), no, name: format!("channel {no}"), facts }
}

fn device(serial: &str) -> NewDevice {
    NewDevice {
        serial: serial.into(),
        code_sealed: vec![1, 2, 3],
        driver: "onvif".into(),
        address: "http://192.0.2.7/onvif/device_service".into(),
        login_sealed: Some(vec![4, 5]),
        name: "Gate 门口 'quoted'".into(),
        facts: DeviceFacts {
            manufacturer: Some("Maker".into()),
            model: Some("M1".into()),
            firmware: None,
            serial: Some("0815".into()),
            capabilities: BTreeMap::from([("support_ptz".into(), "1".into())]),
        },
        keep_live: true,
        attached_at: NOW,
        channels: vec![channel(serial, 2), channel(serial, 1)],
    }
}

fn revocation(serial: &str, grant_id: u64, up_to: bool, expires_at: UnixMillis) -> RevocationRow {
    RevocationRow { serial: serial.into(), channel_no: 1, grant_id, up_to, expires_at }
}

/// A store with two accounts.
async fn with_accounts(store: MetaStore) -> MetaStore {
    store.insert_account(&account(ANNA)).await.unwrap();
    store.insert_account(&account(BERT)).await.unwrap();
    store
}

fn serials(rows: &[store::DeviceRow]) -> Vec<&str> {
    rows.iter().map(|row| row.serial.as_str()).collect()
}

async fn accounts_and_apps(store: MetaStore) {
    let store = with_accounts(store).await;
    assert_eq!(store.accounts().await.unwrap(), [account(ANNA), account(BERT)]);
    assert!(matches!(store.insert_account(&account(ANNA)).await, Err(Error::Conflict)));
    let same_name = AccountRow { id: "other".into(), ..account(ANNA) };
    assert!(matches!(store.insert_account(&same_name).await, Err(Error::Conflict)));

    store.insert_app(&app("k1", ANNA)).await.unwrap();
    store.insert_app(&app("k2", BERT)).await.unwrap();
    assert!(matches!(store.insert_app(&app("k1", BERT)).await, Err(Error::Conflict)));
    assert!(matches!(store.insert_app(&app("k3", "nobody")).await, Err(Error::Conflict)));
    assert_eq!(store.app("k1").await.unwrap(), Some(app("k1", ANNA)));
    assert_eq!(store.app("k1' OR '1'='1").await.unwrap(), None);
    assert_eq!(store.apps().await.unwrap(), [app("k1", ANNA), app("k2", BERT)]);

    store.set_app_enabled("k1", false).await.unwrap();
    assert!(!store.app("k1").await.unwrap().unwrap().enabled);
    assert!(matches!(store.set_app_enabled("k3", false).await, Err(Error::NotFound)));
}

async fn tokens(store: MetaStore) {
    let store = with_accounts(store).await;
    store.insert_app(&app("k1", ANNA)).await.unwrap();
    store.insert_app(&app("k2", BERT)).await.unwrap();
    let (first, second, others) = ([1; 32], [2; 32], [3; 32]);
    store.insert_token(&first, "k1", NOW, at(1000)).await.unwrap();
    store.insert_token(&second, "k1", NOW, at(2000)).await.unwrap();
    store.insert_token(&others, "k2", NOW, at(2000)).await.unwrap();
    assert!(matches!(store.insert_token(&first, "k1", NOW, at(1000)).await, Err(Error::Conflict)));
    assert!(matches!(store.insert_token(&[4; 32], "k3", NOW, at(1000)).await, Err(Error::Conflict)));
    let row = TokenRow { app_key: "k1".into(), account_id: ANNA.into(), app_enabled: true, expires_at: at(1000) };
    assert_eq!(store.token(&first).await.unwrap(), Some(row.clone()));
    assert_eq!(store.token(&[9; 32]).await.unwrap(), None);
    store.set_app_enabled("k1", false).await.unwrap();
    assert_eq!(store.token(&first).await.unwrap(), Some(TokenRow { app_enabled: false, ..row }));

    assert_eq!(store.purge_expired(at(1000), NOW).await.unwrap(), 0, "kept until the moment has passed");
    assert_eq!(store.purge_expired(at(1001), NOW).await.unwrap(), 1);
    assert_eq!(store.token(&first).await.unwrap(), None);

    store.replace_app_secret("k1", &[7]).await.unwrap();
    assert_eq!(store.app("k1").await.unwrap().unwrap().secret_sealed, [7]);
    assert_eq!(store.token(&second).await.unwrap(), None);
    assert!(store.token(&others).await.unwrap().is_some());
    assert!(matches!(store.replace_app_secret("k3", &[7]).await, Err(Error::NotFound)));
}

async fn operators(store: MetaStore) {
    assert!(!store.is_operator(&[1; 32]).await.unwrap());
    assert!(store.insert_first_operator(&[1; 32], NOW).await.unwrap());
    assert!(!store.insert_first_operator(&[2; 32], NOW).await.unwrap());
    assert!(store.is_operator(&[1; 32]).await.unwrap());
    assert!(!store.is_operator(&[2; 32]).await.unwrap());
    store.replace_operator(&[3; 32], NOW).await.unwrap();
    assert!(!store.is_operator(&[1; 32]).await.unwrap());
    assert!(store.is_operator(&[3; 32]).await.unwrap());
}

async fn attempts_are_counted_one_by_one(store: MetaStore) {
    let one_more = |before: AttemptRow| Some(AttemptRow { wrong: before.wrong + 1, window_start: NOW, ..before });
    let mut writers = JoinSet::new();
    for _ in 0..50 {
        let store = store.clone();
        writers.spawn(async move { store.update_attempts("device:A", one_more).await.unwrap() });
    }
    assert!(writers.join_all().await.into_iter().all(|counted| counted));
    let mut seen = None;
    let refused = store.update_attempts("device:A", |before| {
        seen = Some(before);
        None
    });
    assert!(!refused.await.unwrap());
    assert_eq!(seen, Some(AttemptRow { wrong: 50, window_start: NOW, ..AttemptRow::default() }));

    let locked = AttemptRow { wrong: 0, window_start: NOW, level: 3, locked_until: at(5000) };
    assert!(store.update_attempts("device:A", |_| Some(locked)).await.unwrap());
    assert!(store.update_attempts("device:B", one_more).await.unwrap());
    assert_eq!(store.purge_expired(NOW, at(5000)).await.unwrap(), 1, "B is quiet, A locked until then");
    for (subject, kept) in [("device:A", locked), ("device:B", AttemptRow::default())] {
        let mut seen = None;
        let look = |before: AttemptRow| {
            seen = Some(before);
            None
        };
        store.update_attempts(subject, look).await.unwrap();
        assert_eq!(seen, Some(kept));
    }
}

async fn devices(store: MetaStore) {
    let store = with_accounts(store).await;
    assert_eq!(store.device("A").await.unwrap(), None);
    store.insert_device(&device("A")).await.unwrap();
    assert!(matches!(store.insert_device(&device("A")).await, Err(Error::Conflict)));
    let bare = NewDevice { login_sealed: None, facts: DeviceFacts::default(), channels: Vec::new(), ..device("B") };
    store.insert_device(&bare).await.unwrap();

    let (row, new) = (store.device("A").await.unwrap().unwrap(), device("A"));
    assert_eq!(
        (&row.code_sealed, &row.driver, &row.address, &row.login_sealed, &row.name, &row.facts, row.keep_live),
        (&new.code_sealed, &new.driver, &new.address, &new.login_sealed, &new.name, &new.facts, true)
    );
    assert_eq!((row.online, row.changed_at, row.attached_at, row.bound_at), (false, NOW, NOW, None));
    let row = store.device("B").await.unwrap().unwrap();
    assert_eq!((row.login_sealed, row.facts, row.account_id), (None, DeviceFacts::default(), None));
    assert_eq!(serials(&store.devices().await.unwrap()), ["A", "B"]);

    for (online, when, since) in [(true, 10, 10), (true, 20, 10), (false, 30, 30), (false, 40, 30)] {
        store.set_device_online("A", online, at(when)).await.unwrap();
        let row = store.device("A").await.unwrap().unwrap();
        assert_eq!((row.online, row.changed_at), (online, at(since)));
    }
    store.set_device_online("C", true, NOW).await.unwrap();

    let facts = DeviceFacts { firmware: Some("2".into()), ..DeviceFacts::default() };
    let seen = ChannelRow { name: "said by the device".into(), facts: ChannelFacts::default(), ..channel("A", 1) };
    store.set_device_facts("A", &facts, &[seen, channel("A", 3)]).await.unwrap();
    assert_eq!(store.device("A").await.unwrap().unwrap().facts, facts);
    let known = ChannelRow { facts: ChannelFacts::default(), ..channel("A", 1) };
    assert_eq!(store.channels("A").await.unwrap(), [known, channel("A", 2), channel("A", 3)]);
    assert!(matches!(store.set_device_facts("C", &facts, &[]).await, Err(Error::NotFound)));
}

async fn binding(store: MetaStore) {
    let store = with_accounts(store).await;
    for serial in ["A", "B", "C"] {
        store.insert_device(&device(serial)).await.unwrap();
    }
    assert!(store.bind_device("B", ANNA, at(1)).await.unwrap());
    assert!(store.bind_device("A", ANNA, at(2)).await.unwrap());
    assert!(!store.bind_device("A", BERT, at(3)).await.unwrap());
    assert!(!store.bind_device("A", ANNA, at(3)).await.unwrap());
    assert!(!store.bind_device("X", ANNA, at(3)).await.unwrap());
    assert!(matches!(store.bind_device("C", "nobody", at(3)).await, Err(Error::Conflict)));
    let row = store.device("A").await.unwrap().unwrap();
    assert_eq!((row.account_id.as_deref(), row.bound_at), (Some(ANNA), Some(at(2))));

    for (offset, limit, expected) in [(0, 9, &["B", "A"][..]), (1, 1, &["A"]), (2, 9, &[]), (0, 0, &[])] {
        let (rows, total) = store.devices_of(ANNA, offset, limit).await.unwrap();
        assert_eq!((serials(&rows).as_slice(), total), (expected, 2));
    }
    for (after, limit, expected) in [("0", 9, &["A", "B"][..]), ("0", 1, &["A"]), ("A", 9, &["B"]), ("B", 9, &[])] {
        let (rows, total) = store.devices_after(ANNA, after, limit).await.unwrap();
        assert_eq!((serials(&rows).as_slice(), total), (expected, 2));
    }
    let (channels, total) = store.channels_of(ANNA, 1, 2).await.unwrap();
    assert_eq!((channels, total), (vec![channel("B", 2), channel("A", 1)], 4));
    assert_eq!(store.channels_of(BERT, 0, 9).await.unwrap(), (Vec::new(), 0));

    store.rename_device("A", ANNA, "mine").await.unwrap();
    assert!(matches!(store.rename_device("A", BERT, "mine").await, Err(Error::NotFound)));
    assert_eq!(store.device("A").await.unwrap().unwrap().name, "mine");

    let taken_back = [revocation("A", 5, true, at(9))];
    assert!(matches!(store.unbind_device("A", BERT, &taken_back).await, Err(Error::NotFound)));
    assert_eq!(store.revocations(NOW).await.unwrap(), [], "both or neither");
    store.unbind_device("A", ANNA, &taken_back).await.unwrap();
    assert_eq!(store.revocations(NOW).await.unwrap(), taken_back);
    assert_eq!(store.device("A").await.unwrap().unwrap().account_id, None);
}

async fn detaching(store: MetaStore) {
    let store = with_accounts(store).await;
    store.insert_device(&device("A")).await.unwrap();
    store.insert_device(&device("B")).await.unwrap();
    store.bind_device("A", ANNA, NOW).await.unwrap();
    let key = PushKeyRow { serial: "A".into(), channel_no: 1, key_sealed: vec![1], created_at: NOW };
    store.insert_push_key(&key).await.unwrap();

    store.delete_device("A", &[revocation("A", 5, true, at(9))], NOW).await.unwrap();
    store.delete_device("B", &[], NOW).await.unwrap();
    let again = store.delete_device("A", &[revocation("A", 6, true, at(9))], NOW).await;
    assert!(matches!(again, Err(Error::NotFound)));
    assert_eq!(store.revocations(NOW).await.unwrap(), [revocation("A", 5, true, at(9))]);
    assert!(store.was_removed(ANNA, "A").await.unwrap());
    for (account, serial) in [(BERT, "A"), (ANNA, "B"), (ANNA, "C")] {
        assert!(!store.was_removed(account, serial).await.unwrap());
    }
    assert_eq!((store.channels("A").await.unwrap(), store.push_key("A", 1).await.unwrap()), (Vec::new(), None));

    store.insert_device(&device("A")).await.unwrap();
    assert!(!store.was_removed(ANNA, "A").await.unwrap());
    assert_eq!(store.device("A").await.unwrap().unwrap().account_id, None);
}

async fn settings_of_devices(store: MetaStore) {
    let store = with_accounts(store).await;
    store.insert_device(&device("A")).await.unwrap();
    let settings = async || {
        let row = store.device("A").await.unwrap().unwrap();
        (row.encrypted, row.password_sealed, row.defence)
    };
    assert_eq!(settings().await, (false, None, 0));
    assert!(!store.set_device_defence("A", ANNA, 1).await.unwrap(), "nobody has it");
    store.bind_device("A", ANNA, NOW).await.unwrap();

    for (account, defence, changed) in [(BERT, 1, false), (ANNA, 0, false), (ANNA, 16, true), (ANNA, 16, false)] {
        assert_eq!(store.set_device_defence("A", account, defence).await.unwrap(), changed, "{account} {defence}");
    }
    let taken_back = |id| [revocation("A", id, true, at(9))];
    for (account, encrypted, id, changed) in
        [(BERT, true, 1, false), (ANNA, false, 2, false), (ANNA, true, 3, true), (ANNA, true, 4, false)]
    {
        let set = store.set_device_encrypted("A", account, encrypted, &taken_back(id)).await.unwrap();
        assert_eq!(set, changed, "{account} {encrypted}");
    }
    assert_eq!(store.revocations(NOW).await.unwrap(), taken_back(3), "only what was a change takes back");
    assert!(matches!(store.set_device_password("A", BERT, &[1], &taken_back(5)).await, Err(Error::NotFound)));
    assert_eq!(store.revocations(NOW).await.unwrap(), taken_back(3), "both or neither");
    store.set_device_password("A", ANNA, &[1, 2], &taken_back(6)).await.unwrap();
    assert_eq!(store.revocations(NOW).await.unwrap(), taken_back(6));
    assert_eq!(settings().await, (true, Some(vec![1, 2]), 16));

    store.unbind_device("A", ANNA, &[]).await.unwrap();
    assert_eq!(settings().await, (false, None, 0), "the next account does not inherit them");
}

async fn voices(store: MetaStore) {
    let store = with_accounts(store).await;
    let voice = |id: &str, account: &str, name: &str| VoiceRow {
        id: id.into(),
        account_id: account.into(),
        name: name.into(),
        duration_s: 3,
        bytes: 96_044,
        created_at: NOW,
    };
    let (gate, gate2, theirs) = (voice("1", ANNA, "门口"), voice("2", ANNA, "门口"), voice("3", BERT, "门口"));
    store.insert_voice(&gate, false).await.unwrap();
    store.insert_voice(&theirs, false).await.unwrap();
    for refused in [&gate2, &voice("1", ANNA, "other"), &voice("4", "nobody", "x")] {
        assert!(matches!(store.insert_voice(refused, false).await, Err(Error::Conflict)), "{refused:?}");
    }
    assert!(matches!(store.insert_voice(&voice("3", ANNA, "门口"), true).await, Err(Error::Conflict)));
    assert_eq!(
        store.voices(ANNA).await.unwrap(),
        std::slice::from_ref(&gate),
        "what was to be replaced is still there"
    );
    store.insert_voice(&gate2, true).await.unwrap();
    let yard = VoiceRow { created_at: at(-1), ..voice("5", ANNA, "yard") };
    store.insert_voice(&yard, true).await.unwrap();
    assert_eq!(store.voices(ANNA).await.unwrap(), [yard.clone(), gate2.clone()]);
    assert_eq!((store.voice("3").await.unwrap(), store.voice("1").await.unwrap()), (Some(theirs.clone()), None));

    assert!(matches!(store.rename_voice(ANNA, "2", "yard").await, Err(Error::Conflict)));
    assert!(matches!(store.rename_voice(ANNA, "3", "mine").await, Err(Error::NotFound)));
    store.rename_voice(ANNA, "2", "gate").await.unwrap();
    assert!(matches!(store.delete_voice(ANNA, "3").await, Err(Error::NotFound)));
    store.delete_voice(ANNA, "5").await.unwrap();
    assert!(matches!(store.delete_voice(ANNA, "5").await, Err(Error::NotFound)));
    assert_eq!(store.voices(ANNA).await.unwrap(), [VoiceRow { name: "gate".into(), ..gate2 }]);
    assert_eq!(store.voices(BERT).await.unwrap(), [theirs]);
}

async fn channels_and_push_keys(store: MetaStore) {
    store.insert_device(&device("A")).await.unwrap();
    assert_eq!(store.channels("A").await.unwrap(), [channel("A", 1), channel("A", 2)]);
    assert_eq!(store.channel("A", 2).await.unwrap(), Some(channel("A", 2)));
    assert_eq!((store.channel("A", 3).await.unwrap(), store.channel("B", 1).await.unwrap()), (None, None));
    store.rename_channel("A", 2, "yard").await.unwrap();
    assert_eq!(store.channel("A", 2).await.unwrap().unwrap().name, "yard");
    assert!(matches!(store.rename_channel("A", 3, "yard").await, Err(Error::NotFound)));

    let key = |byte: u8, serial: &str| PushKeyRow {
        serial: serial.into(),
        channel_no: 1,
        key_sealed: vec![byte],
        created_at: NOW,
    };
    assert_eq!(store.push_key("A", 1).await.unwrap(), None);
    assert!(store.insert_push_key(&key(1, "A")).await.unwrap());
    assert!(!store.insert_push_key(&key(2, "A")).await.unwrap());
    assert_eq!(store.push_key("A", 1).await.unwrap(), Some(key(1, "A")));
    store.replace_push_key(&key(3, "A")).await.unwrap();
    assert_eq!(store.push_key("A", 1).await.unwrap(), Some(key(3, "A")));
    assert_eq!(store.push_key("A", 2).await.unwrap(), None);
    assert!(matches!(store.insert_push_key(&key(1, "B")).await, Err(Error::Conflict)));
    assert!(matches!(store.replace_push_key(&key(1, "B")).await, Err(Error::Conflict)));
}

async fn grant_keys_and_revocations(store: MetaStore) {
    let key = |version| GrantKeyRow { version, key_sealed: vec![version as u8; 60], created_at: NOW };
    for version in [101, 100] {
        store.insert_grant_key(&key(version)).await.unwrap();
    }
    assert!(matches!(store.insert_grant_key(&key(100)).await, Err(Error::Conflict)));
    assert_eq!(store.grant_keys().await.unwrap(), [key(100), key(101)]);
    store.delete_grant_key(100).await.unwrap();
    store.delete_grant_key(100).await.unwrap();
    assert_eq!(store.grant_keys().await.unwrap(), [key(101)]);

    let largest = i64::MAX as u64;
    for row in
        [revocation("A", largest, false, at(10)), revocation("A", 7, true, at(20)), revocation("A", 7, false, at(30))]
    {
        store.insert_revocation(&row).await.unwrap();
    }
    store.insert_revocation(&revocation("A", 7, true, at(25))).await.unwrap();
    assert!(matches!(store.insert_revocation(&revocation("A", largest + 1, false, NOW)).await, Err(Error::Conflict)));
    let mut alive = store.revocations(at(10)).await.unwrap();
    alive.sort_by_key(|row| row.expires_at);
    let expected =
        [revocation("A", largest, false, at(10)), revocation("A", 7, true, at(25)), revocation("A", 7, false, at(30))];
    assert_eq!(alive, expected);
    assert_eq!(store.revocations(at(11)).await.unwrap().len(), 2);
    assert_eq!(store.purge_expired(at(26), NOW).await.unwrap(), 2);
    assert_eq!(store.revocations(NOW).await.unwrap(), expected[2..]);

    // What a newer row covers for as long goes; what lives longer, is later or is another channel's stays.
    let later =
        [revocation("A", 7, false, at(30)), revocation("A", 9, true, at(29)), revocation("A", 10, false, at(29))];
    let elsewhere = revocation("B", 8, true, at(29));
    for row in [&elsewhere, &revocation("A", 8, true, at(29)), &revocation("A", 9, false, at(28)), &later[2], &later[1]]
    {
        store.insert_revocation(row).await.unwrap();
    }
    assert_eq!(store.revocations(NOW).await.unwrap(), [&later[..], &[elsewhere]].concat());
}

/// 2026-11-24 00:00 UTC: an hour begins.
const HOUR: i64 = 1_795_478_400_000;

fn shelf(serial: &str, channel_no: u16) -> Shelf {
    Shelf { serial: serial.into(), channel_no, storage: 2 }
}

/// A segment of channel 1 of `serial`, times in seconds after [`HOUR`]; a kilobyte.
fn segment(serial: &str, from_s: i64, to_s: i64) -> SegmentRow {
    let at = |s: i64| UnixMillis(HOUR + s * 1000);
    let sha256 = [from_s as u8; 32];
    SegmentRow { id: 0, shelf: shelf(serial, 1), starts_at: at(from_s), ends_at: at(to_s), bytes: 1024, sha256 }
}

const ALL: (UnixMillis, UnixMillis) = (UnixMillis(0), UnixMillis(i64::MAX));

/// Recordings of channel 1 as start, end in seconds after [`HOUR`], and kilobytes.
async fn runs(store: &MetaStore, serial: &str) -> Vec<(i64, i64, u64)> {
    let rows = store.recordings(&shelf(serial, 1), ALL.0, ALL.1).await.unwrap();
    let s = |at: UnixMillis| (at.0 - HOUR) / 1000;
    rows.iter().map(|row| (s(row.starts_at), s(row.ends_at), row.bytes / 1024)).collect()
}

async fn starts(store: &MetaStore, serial: &str, from_s: i64, to_s: i64) -> Vec<i64> {
    let (from, to) = (UnixMillis(HOUR + from_s * 1000), UnixMillis(HOUR + to_s * 1000));
    let rows = store.segments(&shelf(serial, 1), from, to, 100).await.unwrap();
    rows.iter().map(|row| (row.starts_at.0 - HOUR) / 1000).collect()
}

async fn segments_make_recordings(store: MetaStore) {
    assert_eq!(store.newest_recording().await.unwrap(), None);
    let inserted = async |segments: &[SegmentRow]| store.insert_segments(segments, 1).await.unwrap();
    assert_eq!(inserted(&[segment("A", 3480, 3540), segment("A", 3540, 3605)]).await, [true, true]);
    // The hour cuts; a hole cuts; two seconds do not.
    assert_eq!(
        inserted(&[segment("A", 3605, 3660), segment("A", 3662, 3720), segment("A", 3730, 3790)]).await,
        [true; 3]
    );
    let expected = [(3480, 3605, 2), (3605, 3720, 2), (3730, 3790, 1)];
    assert_eq!(runs(&store, "A").await, expected);
    // Listed again, also beside a new one: nothing twice.
    assert_eq!(
        inserted(&[segment("A", 3540, 3605), segment("B", 0, 60), segment("A", 3730, 3790)]).await,
        [false, true, false]
    );
    assert_eq!(runs(&store, "A").await, expected);
    assert_eq!(runs(&store, "B").await, [(0, 60, 1)]);
    // A clock that was set back makes recordings that overlap; what goes on goes on with its own.
    assert_eq!(inserted(&[segment("A", 3500, 3510), segment("A", 3510, 3520)]).await, [true, true]);
    assert_eq!(runs(&store, "A").await[..2], [(3480, 3605, 2), (3500, 3520, 2)]);
    // Another kind is another recording.
    assert_eq!(store.insert_segments(&[segment("B", 60, 120)], 2).await.unwrap(), [true]);
    assert_eq!(runs(&store, "B").await, [(0, 60, 1), (60, 120, 1)]);

    // What touches the range, its ends left out.
    for (from, to, expected) in [
        (3605, 3662, &[3605][..]),
        (3604, 3663, &[3540, 3605, 3662]),
        (3515, 3516, &[3480, 3510]),
        (3720, 3730, &[]),
        (3700, 9999, &[3662, 3730]),
    ] {
        assert_eq!(starts(&store, "A", from, to).await, expected, "{from} to {to}");
    }
    assert_eq!(store.segments(&shelf("A", 1), ALL.0, ALL.1, 2).await.unwrap().len(), 2);
    assert_eq!(store.segments(&shelf("A", 2), ALL.0, ALL.1, 9).await.unwrap(), []);
    let found = &store.segments(&shelf("B", 1), ALL.0, ALL.1, 9).await.unwrap()[0];
    assert_eq!(SegmentRow { id: 0, ..found.clone() }, segment("B", 0, 60));
    assert_eq!(store.shelves().await.unwrap(), [shelf("A", 1), shelf("B", 1)]);
    assert_eq!(store.newest_recording().await.unwrap(), Some(segment("A", 3730, 0).starts_at));
    assert_eq!(store.recorded_bytes("A", 2).await.unwrap(), 7 * 1024);
    assert_eq!((store.recorded_bytes("A", 1).await.unwrap(), store.recorded_bytes("C", 2).await.unwrap()), (0, 0));

    let everything = store.segments_after(0, 100).await.unwrap();
    assert_eq!(everything.len(), 9);
    assert_eq!(store.segments_after(everything[6].id, 100).await.unwrap(), everything[7..]);
    assert!(store.knows_segment(&shelf("A", 1), segment("A", 3605, 0).starts_at).await.unwrap());
    assert!(!store.knows_segment(&shelf("A", 1), segment("A", 3606, 0).starts_at).await.unwrap());
}

async fn segments_leave_by_the_garbage(store: MetaStore) {
    let minutes = |serial: &str, hour: i64| -> Vec<SegmentRow> {
        (0..3).map(|n| segment(serial, hour * 3600 + n * 60, hour * 3600 + n * 60 + 60)).collect()
    };
    for (serial, hour) in [("A", 0), ("A", 1), ("A", 2), ("B", 0)] {
        store.insert_segments(&minutes(serial, hour), 1).await.unwrap();
    }
    let of_a = store.recordings(&shelf("A", 1), ALL.0, ALL.1).await.unwrap();
    store.set_recording_locked(of_a[0].id, true).await.unwrap();
    assert!(store.recording(of_a[0].id).await.unwrap().unwrap().locked);
    assert!(matches!(store.set_recording_locked(999, true).await, Err(Error::NotFound)));
    assert!(matches!(store.set_recording_locked(u64::MAX, true).await, Err(Error::NotFound)));
    assert_eq!(store.recording(u64::MAX).await.unwrap(), None);

    let taken = async |of, ended_by_s: i64, bytes| {
        let what = Condemn { of, ended_by: UnixMillis(HOUR + ended_by_s * 1000), bytes };
        let taken = store.condemn(what).await.unwrap();
        taken.iter().map(|s| (s.shelf.serial.clone(), (s.starts_at.0 - HOUR) / 1000)).collect::<Vec<_>>()
    };
    let a = |s: i64| ("A".to_owned(), s);
    assert_eq!(taken(Some(("A", 1, 2)), 3719, u64::MAX).await, [a(3600)]);
    assert_eq!(runs(&store, "A").await, [(0, 180, 3), (3660, 3780, 2), (7200, 7380, 3)]);
    assert_eq!(taken(Some(("A", 0, 2)), 9999, 1025).await, [a(3660), a(3720)], "until there is that much");
    assert_eq!(runs(&store, "A").await, [(0, 180, 3), (7200, 7380, 3)]);
    for nothing in [("A", 2, 2), ("A", 1, 1), ("C", 0, 2)] {
        assert_eq!(taken(Some(nothing), 9999, u64::MAX).await, []);
    }
    assert_eq!(taken(None, 9999, 0).await, []);
    let everybodys = taken(None, 7259, u64::MAX).await;
    assert_eq!(everybodys, [("B".into(), 0), ("B".into(), 60), ("B".into(), 120)], "the lock holds");
    assert_eq!(taken(None, 9999, u64::MAX).await, [a(7200), a(7260), a(7320)]);
    assert_eq!(taken(None, 9999, u64::MAX).await, []);
    assert_eq!(runs(&store, "A").await, [(0, 180, 3)]);
    assert_eq!(store.recording(of_a[1].id).await.unwrap(), None);

    let garbage = store.garbage(100).await.unwrap();
    assert_eq!(garbage.len(), 9);
    assert!(store.knows_segment(&garbage[0].0, garbage[0].1).await.unwrap());
    assert_eq!(store.garbage(2).await.unwrap().len(), 2);
    store.delete_garbage(&garbage[1..]).await.unwrap();
    assert_eq!(store.garbage(100).await.unwrap(), garbage[..1]);
}

async fn segments_leave_by_the_quarantine(store: MetaStore) {
    store.insert_segments(&[segment("A", 0, 60), segment("A", 60, 120), segment("A", 120, 180)], 1).await.unwrap();
    let listed = store.segments_after(0, 9).await.unwrap();
    let row = |n: usize| QuarantineRow { segment: listed[n].clone(), cause: "changed".into(), found_at: NOW };
    assert!(store.quarantine(&row(1)).await.unwrap());
    assert!(!store.quarantine(&row(1)).await.unwrap(), "once");
    assert_eq!(runs(&store, "A").await, [(0, 60, 1), (120, 180, 1)], "no recording spans a hole");
    assert_eq!(starts(&store, "A", 0, 999).await, [0, 120]);
    assert!(store.quarantine(&row(2)).await.unwrap());
    assert_eq!(runs(&store, "A").await, [(0, 60, 1)]);
    assert!(store.quarantine(&row(0)).await.unwrap());
    assert_eq!(runs(&store, "A").await, []);
    let expected: Vec<QuarantineRow> =
        (0..3).map(|n| QuarantineRow { segment: SegmentRow { id: 0, ..listed[n].clone() }, ..row(n) }).collect();
    assert_eq!(store.quarantined().await.unwrap(), expected);
    assert!(store.knows_segment(&shelf("A", 1), listed[0].starts_at).await.unwrap());
}

async fn recorders(store: MetaStore) {
    store.insert_device(&device("A")).await.unwrap();
    assert_eq!(store.retention_days("A", 1, NOW).await.unwrap(), None);
    let plan = |retention_days, starts: i64, ends: i64| PlanRow {
        id: 0,
        account_id: None,
        serial: "A".into(),
        channel_no: 1,
        retention_days,
        enabled: false,
        starts_at: at(starts),
        expires_at: at(ends),
    };
    let plans = vec![plan(7, -20, -10), plan(30, -10, -5), plan(90, 10, 20)];
    assert!(store.change_plans("A", 1, None, None, |_| Some(plans)).await.unwrap());
    for (when, days) in [(-21, None), (-15, Some(7)), (-6, Some(30)), (9, Some(30)), (10, Some(90)), (99, Some(90))] {
        assert_eq!(store.retention_days("A", 1, at(when)).await.unwrap(), days, "{when}");
    }
    assert_eq!(store.retention_days("A", 2, NOW).await.unwrap(), None);
    let row = |serial: &str, enabled| RecorderRow { serial: serial.into(), enabled, bytes_max: 1 << 40, days_max: 7 };
    assert_eq!(store.recorders().await.unwrap(), []);
    store.set_recorder(&row("A", false)).await.unwrap();
    store.set_recorder(&row("A", true)).await.unwrap();
    assert!(matches!(store.set_recorder(&row("B", true)).await, Err(Error::Conflict)));
    assert_eq!(store.recorders().await.unwrap(), [row("A", true)]);
    store.delete_device("A", &[], NOW).await.unwrap();
    assert_eq!(store.recorders().await.unwrap(), []);
}

/// Writers and readers at once: nobody fails, nothing is lost.
fn plan(account: Option<&str>, from: i64, to: i64, retention_days: u32) -> PlanRow {
    PlanRow {
        id: 0,
        account_id: account.map(str::to_owned),
        serial: "D1".into(),
        channel_no: 1,
        retention_days,
        enabled: true,
        starts_at: at(from),
        expires_at: at(to),
    }
}

/// Adds a plan as it is.
async fn add_plan(store: &MetaStore, plan: PlanRow) {
    let account = plan.account_id.clone();
    let add = |mut plans: Vec<PlanRow>| {
        plans.push(plan);
        Some(plans)
    };
    assert!(store.change_plans("D1", 1, account.as_deref(), None, add).await.unwrap());
}

async fn plans(store: MetaStore) {
    let store = with_accounts(store).await;
    store.insert_device(&device("D1")).await.unwrap();
    store.bind_device("D1", ANNA, NOW).await.unwrap();
    let active = async |now| {
        let plans = store.active_plans(at(now)).await.unwrap();
        plans.iter().map(|plan| (plan.serial.clone(), plan.channel_no, plan.retention_days)).collect::<Vec<_>>()
    };
    assert_eq!(store.retention_days("D1", 1, NOW).await.unwrap(), None);
    add_plan(&store, plan(Some(ANNA), 10, 20, 7)).await;
    add_plan(&store, plan(Some(BERT), 10, 20, 365)).await;
    assert_eq!(active(9).await, []);
    assert_eq!(active(10).await, [("D1".into(), 1, 7)]);
    assert_eq!(active(19).await, [("D1".into(), 1, 7)]);
    assert_eq!(active(20).await, []);
    // Nobody's counts for everybody; of two that run, the one that keeps longer.
    add_plan(&store, plan(None, 15, 20, 30)).await;
    assert_eq!(active(15).await, [("D1".into(), 1, 30)]);

    let rows = store.plans("D1", 1, Some(ANNA)).await.unwrap();
    assert_eq!(rows.iter().map(|plan| plan.retention_days).collect::<Vec<_>>(), [7, 30]);
    assert!(rows.iter().all(|plan| plan.id > 0));
    assert_eq!(store.plans("D1", 2, Some(ANNA)).await.unwrap(), []);
    assert_eq!(store.plans("D1", 1, None).await.unwrap().len(), 1);

    // One is changed, one goes, one comes, and those of others stay.
    let change = |mut plans: Vec<PlanRow>| {
        plans.remove(1);
        plans[0].expires_at = at(12);
        plans.push(plan(Some(ANNA), 12, 30, 3));
        Some(plans)
    };
    assert!(store.change_plans("D1", 1, Some(ANNA), None, change).await.unwrap());
    let kept: Vec<_> = store.plans("D1", 1, Some(ANNA)).await.unwrap();
    assert_eq!(kept[0], PlanRow { expires_at: at(12), ..rows[0].clone() });
    assert_eq!(kept[1], PlanRow { id: kept[1].id, ..plan(Some(ANNA), 12, 30, 3) });
    assert_eq!(store.plans("D1", 1, Some(BERT)).await.unwrap().len(), 1);
    assert!(!store.change_plans("D1", 1, Some(ANNA), None, |_| None).await.unwrap());
    assert_eq!(store.plans("D1", 1, Some(ANNA)).await.unwrap(), kept);

    // A plan rests while it is paused, and while the device is not its account's.
    let pause = |mut plans: Vec<PlanRow>| {
        plans[1].enabled = false;
        Some(plans)
    };
    store.change_plans("D1", 1, Some(ANNA), None, pause).await.unwrap();
    assert_eq!(active(15).await, []);
    store.unbind_device("D1", ANNA, &[]).await.unwrap();
    assert_eq!(active(11).await, []);
    store.bind_device("D1", BERT, at(1)).await.unwrap();
    assert_eq!(active(11).await, [("D1".into(), 1, 365)]);

    // Footage of every plan is kept as long as that promised, and no longer once the last is over.
    let day = 86_400_000;
    assert_eq!(store.retention_days("D1", 1, at(15)).await.unwrap(), Some(365));
    assert_eq!(store.retention_days("D1", 1, at(20 + 364 * day)).await.unwrap(), Some(365));
    assert_eq!(store.retention_days("D1", 1, at(20 + 366 * day)).await.unwrap(), Some(3), "the last to end");
    assert_eq!(store.retention_days("D1", 1, at(9)).await.unwrap(), None, "none has begun");

    store.delete_device("D1", &[], NOW).await.unwrap();
    assert_eq!(store.plans("D1", 1, Some(BERT)).await.unwrap(), []);
    let nowhere = store.change_plans("D1", 1, None, None, |_| Some(vec![plan(None, 0, 1, 1)])).await;
    assert!(matches!(nowhere, Err(Error::Conflict)));
}

async fn owners(store: MetaStore) {
    let store = with_accounts(store).await;
    store.insert_device(&device("D1")).await.unwrap();
    let since = async |account: &str, now| {
        assert!(store.bind_device("D1", account, at(now)).await.unwrap());
        let row = store.device("D1").await.unwrap().unwrap();
        assert_eq!(row.bound_at, Some(at(now)));
        store.unbind_device("D1", account, &[]).await.unwrap();
        row.owner_since
    };
    assert_eq!(since(ANNA, 10).await, at(10));
    assert_eq!(since(ANNA, 20).await, at(10), "nobody else had it");
    assert_eq!(since(BERT, 30).await, at(30));
    assert_eq!(since(ANNA, 40).await, at(40), "somebody else had it");
}

fn card(n: u8, batch: &str) -> CardRow {
    CardRow {
        hash: vec![n; 32],
        batch: batch.into(),
        days: 30,
        retention_days: 7,
        bundled_with: (n == 2).then(|| "D1".into()),
        enabled: true,
        created_at: NOW,
        expires_at: at(1000),
        used: None,
    }
}

async fn cards(store: MetaStore) {
    let store = with_accounts(store).await;
    store.insert_device(&device("D1")).await.unwrap();
    store.insert_cards(&[card(1, "a"), card(2, "a"), card(3, "b")]).await.unwrap();
    let again = store.insert_cards(&[card(4, "c"), card(1, "c")]).await;
    assert!(matches!(again, Err(Error::Conflict)), "all or none");
    assert_eq!(store.cards(None).await.unwrap(), [card(1, "a"), card(2, "a"), card(3, "b")]);
    assert_eq!(store.cards(Some("a")).await.unwrap(), [card(1, "a"), card(2, "a")]);
    assert_eq!(store.cards(Some("c")).await.unwrap(), []);
    assert_eq!(store.card(&[2; 32]).await.unwrap(), Some(card(2, "a")));
    assert_eq!(store.card(&[9; 32]).await.unwrap(), None);

    // Spent with the plan it makes, or not at all.
    let spend = async |n: u8, made: Option<PlanRow>| {
        let spending = Spending { hash: &[n; 32], account_id: ANNA, at: at(5) };
        store.change_plans("D1", 1, Some(ANNA), Some(&spending), |_| made.map(|plan| vec![plan])).await
    };
    assert!(!spend(1, None).await.unwrap());
    assert_eq!(store.card(&[1; 32]).await.unwrap(), Some(card(1, "a")));
    assert!(spend(1, Some(plan(Some(ANNA), 5, 10, 7))).await.unwrap());
    let used = CardUse { at: at(5), account_id: ANNA.into(), serial: "D1".into(), channel_no: 1 };
    assert_eq!(store.card(&[1; 32]).await.unwrap().unwrap().used, Some(used));
    for n in [1, 9] {
        let refused = spend(n, Some(plan(Some(ANNA), 10, 20, 7))).await;
        assert!(matches!(refused, Err(Error::Conflict)), "card {n}");
    }
    assert_eq!(store.plans("D1", 1, Some(ANNA)).await.unwrap().len(), 1);

    store.set_cards_enabled("a", false).await.unwrap();
    assert!(!store.card(&[2; 32]).await.unwrap().unwrap().enabled);
    assert!(store.card(&[3; 32]).await.unwrap().unwrap().enabled);
    assert!(matches!(spend(2, Some(plan(Some(ANNA), 10, 20, 7))).await, Err(Error::Conflict)), "kept from being used");
    assert!(matches!(store.set_cards_enabled("c", false).await, Err(Error::NotFound)));
}

async fn many_at_once(store: MetaStore) {
    let store = with_accounts(store).await;
    let mut tasks = JoinSet::new();
    for n in 0..40 {
        let store = store.clone();
        tasks.spawn(async move {
            let serial = format!("S{n}");
            store.insert_device(&device(&serial)).await.unwrap();
            assert!(store.bind_device(&serial, ANNA, NOW).await.unwrap());
            assert!(store.devices_of(ANNA, 0, 100).await.unwrap().1 >= 1, "one's own writes are seen");
            store.set_device_online(&serial, true, NOW).await.unwrap();
        });
    }
    tasks.join_all().await;
    let (rows, total) = store.devices_of(ANNA, 0, 100).await.unwrap();
    assert_eq!(total, 40);
    assert!(rows.iter().all(|row| row.online));
}

macro_rules! conformance {
    ($($case:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(super::MetaStore::memory().await.unwrap()).await;
            })+
        }
        mod sqlite_file {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let folder = super::TempDir::new().unwrap();
                let store = super::MetaStore::sqlite(&folder.path().join("meta.db")).await.unwrap();
                super::$case(store.clone()).await;
                store.close().await;
            })+
        }
    };
}

conformance!(
    accounts_and_apps,
    tokens,
    operators,
    attempts_are_counted_one_by_one,
    devices,
    binding,
    detaching,
    settings_of_devices,
    voices,
    channels_and_push_keys,
    grant_keys_and_revocations,
    segments_make_recordings,
    segments_leave_by_the_garbage,
    segments_leave_by_the_quarantine,
    recorders,
    plans,
    owners,
    cards,
    many_at_once,
);

async fn open(folder: &Path, name: &str) -> Result<MetaStore, Error> {
    MetaStore::sqlite(&folder.join(name)).await
}

#[tokio::test]
async fn a_file_keeps_what_was_written_whatever_it_is_called() {
    let folder = TempDir::new().unwrap();
    for name in ["meta.db", "a?mode=ro#b%20c &.db", "数据.db"] {
        let store = open(folder.path(), name).await.unwrap();
        store.insert_account(&account(ANNA)).await.unwrap();
        store.close().await;
        assert!(folder.path().join(name).exists());
        let store = open(folder.path(), name).await.unwrap();
        assert_eq!(store.accounts().await.unwrap(), [account(ANNA)]);
        store.close().await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_and_its_journal_are_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = TempDir::new().unwrap();
    let store = open(folder.path(), "meta.db").await.unwrap();
    store.insert_account(&account(ANNA)).await.unwrap();
    let modes: Vec<(String, u32)> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().permissions().mode() & 0o777))
        .collect();
    assert!(modes.iter().any(|(name, _)| name == "meta.db-wal"), "{modes:?}");
    assert!(modes.iter().all(|(_, mode)| *mode == 0o600), "{modes:?}");
    store.close().await;
}

#[tokio::test]
async fn what_is_no_database_is_told_so_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("meta.db");
    let text = "this was a letter ".repeat(100);
    fs::write(&path, &text).unwrap();
    assert!(matches!(open(folder.path(), "meta.db").await, Err(Error::Corrupt { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    let nowhere = open(&folder.path().join("missing"), "meta.db").await;
    assert!(matches!(nowhere, Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn t32_a_file_of_a_newer_release_is_refused() {
    use sqlx::Connection;

    let folder = TempDir::new().unwrap();
    open(folder.path(), "meta.db").await.unwrap().close().await;
    let url = format!("sqlite://{}", folder.path().join("meta.db").to_str().unwrap());
    let mut newer = sqlx::AnyConnection::connect(&url).await.unwrap();
    let migration = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                     VALUES (9999, 'tomorrow', 1, x'00', 0)";
    sqlx::query(migration).execute(&mut newer).await.unwrap();
    newer.close().await.unwrap();
    let refused = open(folder.path(), "meta.db").await;
    assert!(matches!(&refused, Err(Error::Corrupt { what }) if what.contains("newer")), "{refused:?}");
}

/// Two processes on one file, as when a command line tool looks in: both get through.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_waits_its_turn() {
    let folder = TempDir::new().unwrap();
    let (first, second) =
        (open(folder.path(), "meta.db").await.unwrap(), open(folder.path(), "meta.db").await.unwrap());
    let mut tasks = JoinSet::new();
    for n in 0..40 {
        let store = if n % 2 == 0 { first.clone() } else { second.clone() };
        tasks.spawn(async move {
            let counted = |before: AttemptRow| Some(AttemptRow { wrong: before.wrong + 1, ..before });
            store.update_attempts("subject", counted).await.unwrap();
        });
    }
    tasks.join_all().await;
    let mut wrong = 0;
    let look = |before: AttemptRow| {
        wrong = before.wrong;
        None
    };
    second.update_attempts("subject", look).await.unwrap();
    assert_eq!(wrong, 40);
    first.close().await;
    second.close().await;
}

#[test]
fn times_stop_at_the_ends_of_their_range() {
    assert_eq!(UnixMillis(i64::MAX) + Duration::from_secs(1), UnixMillis(i64::MAX));
    assert_eq!(UnixMillis(i64::MIN) - Duration::MAX, UnixMillis(i64::MIN));
    assert_eq!(UnixMillis(-1).as_secs(), -1);
    assert_eq!(UnixMillis(1999).as_secs(), 1);
}
