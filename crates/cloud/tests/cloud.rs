//! The product's rules, over a database in a folder and a clock that moves when it is told to.
//! Names begin with the number of the rule in docs/tests.md.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use av::{CodecParameters, Frame, G711Law, G711Parameters, Pcm, Ticks, Track, TrackId, UnixMicros};
use bytes::Bytes;
use cloud::{
    App, Attach, Attached, Caller, CardAsk, CardState, Channel, Clock, Cloud, Error, LiveAsk, Operator, Phrases,
    PlanAsk, PlanState, PlayGrant, PlaybackAsk, PlaybackGrant, RecordSettings, RecorderSetting, Settings,
    SignedAddress, Storage,
};
use device::{
    ChannelFacts, ChannelNo, DeviceFacts, Driver, DriverError, DriverKind, Login, Quality, Speaker, StreamFacts,
    stream_id,
};
use media::{HubSettings, Item, StreamWriter};
use store::{AttemptRow, MetaStore, NewDevice, PlanRow, UnixMillis};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Not on a whole second, as times seldom are.
const START: UnixMillis = UnixMillis(1_790_000_000_123);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MS: Duration = Duration::from_millis(1);

const SERIAL: &str = "CAM00001A";
const OTHER: &str = "CAM00002B";
const UNKNOWN: &str = "CAM99999Z";
const CODE: &str = "QWERTY";
const WRONG: &str = "QWERTZ";

macro_rules! assert_err {
    ($result:expr, $error:pat) => {
        match $result {
            Err($error) => {}
            other => panic!("expected {}, got {other:?}", stringify!($error)),
        }
    };
}

struct World {
    folder: TempDir,
    time: Arc<AtomicI64>,
    cloud: Arc<Cloud>,
    operator_token: String,
}

async fn open(folder: &Path, time: &Arc<AtomicI64>) -> Result<(Arc<Cloud>, Option<String>), Error> {
    let time = time.clone();
    let clock = Clock::of(move || UnixMillis(time.load(Ordering::SeqCst)));
    let (data, ptz_watchdog) = (folder.to_owned(), device::PTZ_WATCHDOG);
    let hub = HubSettings::default();
    let (allow, record) = (Vec::new(), RecordSettings::default());
    Cloud::open(Settings { data, hub, allow, ptz_watchdog, clock, utc_offset_minutes: 480, record }).await
}

impl World {
    async fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let time = Arc::new(AtomicI64::new(START.0));
        let (cloud, operator_token) = open(folder.path(), &time).await.unwrap();
        World { folder, time, cloud, operator_token: operator_token.unwrap() }
    }

    /// As after a restart of the process.
    async fn reopen(&mut self) {
        self.cloud.shutdown().await;
        let (cloud, operator_token) = open(self.folder.path(), &self.time).await.unwrap();
        assert!(operator_token.is_none(), "an operator's token is made once");
        self.cloud = cloud;
    }

    fn now(&self) -> UnixMillis {
        UnixMillis(self.time.load(Ordering::SeqCst))
    }

    fn set(&self, now: UnixMillis) {
        self.time.store(now.0, Ordering::SeqCst);
    }

    fn pass(&self, span: Duration) {
        self.set(self.now() + span);
    }

    fn operator(&self) -> Operator {
        self.cloud.console()
    }

    /// Somebody else looking into the same database.
    async fn rows(&self) -> MetaStore {
        MetaStore::sqlite(&self.folder.path().join("meta.db")).await.unwrap()
    }

    async fn app(&self) -> App {
        let account = self.cloud.create_account(&self.operator()).await.unwrap();
        self.cloud.create_app(&self.operator(), &account).await.unwrap()
    }

    /// A new account with a valid token.
    async fn somebody(&self) -> Caller {
        let app = self.app().await;
        let token = self.cloud.token_get(&app.app_key, &app.app_secret).await.unwrap();
        self.cloud.caller(&token.access_token).await.unwrap()
    }

    async fn attach(&self, serial: &str) -> Attached {
        self.cloud.attach(&self.operator(), push(serial)).await.unwrap()
    }

    /// Attaches a device that is on line while the writer lives.
    async fn attach_online(&self, serial: &str) -> StreamWriter {
        let writer = self.publish(serial);
        self.attach(serial).await;
        self.until_online(serial, true).await;
        writer
    }

    fn publish(&self, serial: &str) -> StreamWriter {
        self.cloud.hub().publish(stream_id(serial, ChannelNo(1), Quality::Main)).unwrap()
    }

    async fn until_online(&self, serial: &str, online: bool) {
        until(serial, async || self.cloud.is_online(serial) == online).await;
    }

    /// Attaches a device, on line and bound to the caller.
    async fn bound(&self, caller: &Caller, serial: &str) -> (StreamWriter, Channel) {
        let writer = self.attach_online(serial).await;
        self.cloud.device_add(caller, serial, CODE).await.unwrap();
        (writer, self.cloud.channel(caller, serial, 1).await.unwrap())
    }

    async fn address(&self, caller: &Caller, channel: &Channel) -> SignedAddress {
        self.cloud.live_address(caller, channel, ask(None)).await.unwrap()
    }

    /// Lets a device be driven by this, and waits until it is.
    async fn drive(&self, serial: &str, driver: impl Driver) {
        self.cloud.drive(&self.operator(), serial, Arc::new(driver)).await.unwrap();
        until(serial, async || {
            let attached = self.cloud.attached(&self.operator()).await.unwrap();
            attached.iter().any(|a| a.device.serial == serial && a.device.model == "obedient" && a.device.online)
        })
        .await;
    }

    /// What an address of a file opens.
    async fn fetch(&self, address: &SignedAddress) -> Result<Bytes, Error> {
        self.cloud.open_file(&self.cloud.verify_file(&address.path, &address.query)?).await
    }

    fn verify(&self, address: &SignedAddress) -> Result<PlayGrant, Error> {
        self.cloud.verify_play(&address.path, &address.query)
    }
}

/// Waits for what other tasks do.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so().await {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

fn push(serial: &str) -> Attach {
    Attach {
        kind: DriverKind::RtmpPush,
        address: String::new(),
        login: None,
        serial: Some(serial.to_owned()),
        validate_code: Some(CODE.to_owned()),
        name: None,
        keep_live: false,
    }
}

fn ask(expire_s: Option<u64>) -> LiveAsk<'static> {
    LiveAsk { quality: Quality::Main, expire_s, code: None }
}

/// The name of the variant.
fn name(result: Result<(), Error>) -> String {
    match result {
        Ok(()) => "done".into(),
        Err(error) => format!("{error:?}"),
    }
}

/// `text` with the byte at `at` replaced.
fn replaced(text: &str, at: usize, byte: u8) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = byte;
    String::from_utf8(bytes).unwrap()
}

/// `text` with another character at `at`.
fn spoiled(text: &str, at: usize) -> String {
    replaced(text, at, if text.as_bytes()[at] == b'x' { b'y' } else { b'x' })
}

/// An address works as it is, and with no byte of it changed or missing.
fn all_signed(path: &str, query: &str, verify: impl Fn(&str, &str) -> Result<(), Error>) {
    verify(path, query).unwrap();
    let refused = |path: &str, query: &str| {
        let answer = verify(path, query);
        assert!(matches!(answer, Err(Error::GrantInvalid)), "{path}?{query}: {answer:?}");
    };
    for (at, byte) in (0..path.len()).flat_map(|at| (b' '..=b'~').map(move |byte| (at, byte))) {
        if path.as_bytes()[at] != byte {
            refused(&replaced(path, at, byte), query);
        }
    }
    for (at, byte) in (0..query.len()).flat_map(|at| (b' '..=b'~').map(move |byte| (at, byte))) {
        if query.as_bytes()[at] != byte {
            refused(path, &replaced(query, at, byte));
        }
    }
    for at in 0..path.len() {
        refused(&format!("{}{}", &path[..at], &path[at + 1..]), query);
        refused(&path[..at], query);
    }
    for at in 0..query.len() {
        refused(path, &format!("{}{}", &query[..at], &query[at + 1..]));
        refused(path, &query[..at]);
    }
}

/// A driver that does what it is told and remembers it.
#[derive(Clone, Default)]
struct Obedient {
    /// What it has instead of a snapshot.
    no_snapshot: Option<DriverError>,
    spoken: Arc<Mutex<Vec<Pcm>>>,
}

impl Obedient {
    fn spoken(&self) -> Vec<Pcm> {
        self.spoken.lock().unwrap().clone()
    }
}

struct Mouth(Arc<Mutex<Vec<Pcm>>>);

#[async_trait]
impl Speaker for Mouth {
    async fn play(self: Box<Self>, sound: Pcm) -> Result<(), DriverError> {
        self.0.lock().unwrap().push(sound);
        Ok(())
    }
}

#[async_trait]
impl Driver for Obedient {
    async fn probe(&self) -> Result<DeviceFacts, DriverError> {
        let main = StreamFacts::default();
        let channel = ChannelFacts { no: ChannelNo(1), name: "1".into(), main, sub: None };
        Ok(DeviceFacts { model: Some("obedient".into()), channels: vec![channel], ..DeviceFacts::default() })
    }

    async fn ping(&self) -> Result<(), DriverError> {
        Ok(())
    }

    async fn live(&self, _: ChannelNo, _: Quality, _: &mut StreamWriter) -> Result<(), DriverError> {
        Err(DriverError::Unsupported)
    }

    async fn snapshot(&self, _: ChannelNo) -> Result<Bytes, DriverError> {
        self.no_snapshot.clone().map_or(Ok(Bytes::from_static(JPEG)), Err)
    }

    async fn open_speaker(&self, _: ChannelNo) -> Result<Box<dyn Speaker>, DriverError> {
        Ok(Box::new(Mouth(self.spoken.clone())))
    }
}

/// Begins and ends as a JPEG does; nobody here looks inside.
const JPEG: &[u8] = b"\xff\xd8\xff picture \xff\xd9";

/// A WAV of so many seconds: 440 Hz at 16 kHz.
fn sound(seconds: u32) -> Bytes {
    let samples = (0..16_000 * seconds).flat_map(|n| (((f64::from(n) * 0.1728).sin() * 16_000.0) as i16).to_le_bytes());
    let data: Vec<u8> = samples.collect();
    let length = |more: u32| (data.len() as u32 + more).to_le_bytes();
    let head = [
        &b"RIFF"[..],
        &length(36),
        b"WAVEfmt \x10\0\0\0\x01\0\x01\0",
        &16_000_u32.to_le_bytes(),
        &32_000_u32.to_le_bytes(),
        b"\x02\0\x10\0data",
        &length(0),
    ];
    [head.concat(), data].concat().into()
}

// Who calls.

#[tokio::test]
async fn t18_a_token_has_the_form_that_clients_check() {
    let world = World::new().await;
    let app = world.app().await;
    let token = world.cloud.token_get(&app.app_key, &app.app_secret).await.unwrap();
    assert_eq!(token.access_token.len(), 64);
    let parts: Vec<&str> = token.access_token.strip_prefix("at.").unwrap().split('-').collect();
    assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [32, 10, 7, 9]);
    assert!(parts.concat().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    assert_eq!(token.expires_at, START + 7 * DAY);
    for credential in [&app.app_key, &app.app_secret] {
        assert!(credential.len() == 32 && credential.bytes().all(|b| b"0123456789abcdef".contains(&b)));
    }
}

#[tokio::test]
async fn t18_a_token_with_one_byte_changed_is_refused() {
    let world = World::new().await;
    let app = world.app().await;
    let mut seen = BTreeSet::new();
    for n in 0..200 {
        let token = world.cloud.token_get(&app.app_key, &app.app_secret).await.unwrap().access_token;
        let changed = spoiled(&token, n % token.len());
        // Before and after the right one is known: what is cached must not let its neighbours in.
        assert_err!(world.cloud.caller(&changed).await, Error::TokenInvalid);
        world.cloud.caller(&token).await.unwrap();
        assert_err!(world.cloud.caller(&changed).await, Error::TokenInvalid);
        assert!(seen.insert(token), "a token was given out twice");
    }
    let token = seen.pop_first().unwrap();
    let odd = [
        "".into(),
        "constructor".into(),
        "__proto__".into(),
        token[..63].to_owned(),
        format!("{token}x"),
        format!(" {token}"),
        token.to_uppercase(),
        "\0".repeat(64),
        "at.".to_owned() + &"é".repeat(30) + "x",
        world.operator_token.clone(),
        app.app_secret.clone(),
    ];
    for text in odd {
        assert_err!(world.cloud.caller(&text).await, Error::TokenInvalid);
    }
}

#[tokio::test]
async fn t18_a_token_ends_after_seven_days_and_not_with_the_next_one() {
    let mut world = World::new().await;
    let app = world.app().await;
    let first = world.cloud.token_get(&app.app_key, &app.app_secret).await.unwrap().access_token;
    world.pass(DAY);
    let second = world.cloud.token_get(&app.app_key, &app.app_secret).await.unwrap().access_token;
    world.cloud.caller(&first).await.unwrap();
    world.reopen().await;
    world.set(START + 7 * DAY - MS);
    world.cloud.caller(&first).await.unwrap();
    // Once from the cache, once from the database.
    world.pass(MS);
    assert_err!(world.cloud.caller(&first).await, Error::TokenInvalid);
    world.reopen().await;
    assert_err!(world.cloud.caller(&first).await, Error::TokenInvalid);
    world.cloud.caller(&second).await.unwrap();
    world.pass(DAY);
    assert_err!(world.cloud.caller(&second).await, Error::TokenInvalid);
}

#[tokio::test]
async fn t18_only_its_own_secret_opens_an_application() {
    let world = World::new().await;
    let (app, other) = (world.app().await, world.app().await);
    let spoiled_secret = spoiled(&app.app_secret, 31);
    for secret in [&other.app_secret, &spoiled_secret, &app.app_secret[..31], "", &app.app_secret.to_uppercase()] {
        assert_err!(world.cloud.token_get(&app.app_key, secret).await, Error::SecretMismatch);
    }
    for key in ["", "constructor", &app.app_secret, "' OR 1=1 --"] {
        assert_err!(world.cloud.token_get(key, &app.app_secret).await, Error::AppKeyUnknown);
    }
    world.cloud.token_get(&app.app_key, &app.app_secret).await.unwrap();
}

#[tokio::test]
async fn t18_a_disabled_application_is_out_at_once_and_comes_back() {
    let world = World::new().await;
    let app = world.app().await;
    let token = world.cloud.token_get(&app.app_key, &app.app_secret).await.unwrap().access_token;
    world.cloud.caller(&token).await.unwrap();
    world.cloud.enable_app(&world.operator(), &app.app_key, false).await.unwrap();
    assert_err!(world.cloud.caller(&token).await, Error::AppKeyDisabled);
    assert_err!(world.cloud.token_get(&app.app_key, &app.app_secret).await, Error::AppKeyDisabled);
    // That it is disabled is told only to who has the secret.
    assert_err!(world.cloud.token_get(&app.app_key, "guess").await, Error::SecretMismatch);
    world.cloud.enable_app(&world.operator(), &app.app_key, true).await.unwrap();
    world.cloud.caller(&token).await.unwrap();
    assert_err!(world.cloud.enable_app(&world.operator(), "nobody", false).await, Error::AppKeyUnknown);
}

#[tokio::test]
async fn t18_a_new_secret_ends_the_old_one_and_its_tokens() {
    let world = World::new().await;
    let (app, other) = (world.app().await, world.somebody().await);
    let token = world.cloud.token_get(&app.app_key, &app.app_secret).await.unwrap().access_token;
    world.cloud.caller(&token).await.unwrap();
    let changed = world.cloud.replace_app_secret(&world.operator(), &app.app_key).await.unwrap();
    assert_eq!(changed.app_key, app.app_key);
    assert_err!(world.cloud.caller(&token).await, Error::TokenInvalid);
    assert_err!(world.cloud.token_get(&app.app_key, &app.app_secret).await, Error::SecretMismatch);
    world.cloud.token_get(&app.app_key, &changed.app_secret).await.unwrap();
    assert_eq!(world.cloud.device_list(&other, 0, 10).await.unwrap().total, 0);
    assert_err!(world.cloud.replace_app_secret(&world.operator(), "nobody").await, Error::AppKeyUnknown);
}

#[tokio::test]
async fn t18_the_operator_has_one_token() {
    let mut world = World::new().await;
    let first = world.operator_token.clone();
    world.cloud.operator(&first).await.unwrap();
    world.reopen().await;
    world.cloud.operator(&first).await.unwrap();
    let app = world.app().await;
    let access = world.cloud.token_get(&app.app_key, &app.app_secret).await.unwrap().access_token;
    for token in ["", "op.", &access, &spoiled(&first, 10), &first[..first.len() - 1]] {
        assert_err!(world.cloud.operator(token).await, Error::TokenInvalid);
    }
    let second = world.cloud.replace_operator_token(&world.operator()).await.unwrap();
    assert_err!(world.cloud.operator(&first).await, Error::TokenInvalid);
    world.cloud.operator(&second).await.unwrap();
}

#[tokio::test]
async fn an_account_is_found_by_its_name_and_has_its_own_applications() {
    let world = World::new().await;
    let operator = world.operator();
    let account = world.cloud.create_account_named(&operator, "north").await.unwrap();
    assert_eq!(world.cloud.account_named(&operator, "north").await.unwrap(), Some(account.clone()));
    assert_eq!(world.cloud.account_named(&operator, "south").await.unwrap(), None);
    assert_err!(world.cloud.create_account_named(&operator, "north").await, Error::InvalidArgument { field: "name" });
    let app = world.cloud.create_app(&operator, &account).await.unwrap();
    world.app().await;
    let apps = world.cloud.apps(&operator, &account).await.unwrap();
    assert_eq!(apps.len(), 1);
    assert_eq!((&apps[0].app_key, &apps[0].app_secret), (&app.app_key, &app.app_secret));
}

// Devices.

#[tokio::test]
async fn the_operator_attaches_only_what_is_well_formed() {
    let world = World::new().await;
    let operator = world.operator();
    let attach = |attach: Attach| world.cloud.attach(&operator, attach);
    let made = attach(Attach { serial: None, validate_code: None, ..push(SERIAL) }).await.unwrap();
    assert!(made.device.serial.len() == 9);
    assert!(made.device.serial.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()));
    assert!(made.validate_code.len() == 6 && made.validate_code.bytes().all(|b| b.is_ascii_uppercase()));
    assert!(!made.device.bound && !made.device.online);

    assert_eq!(attach(push(" cam00001a ")).await.unwrap().device.serial, SERIAL);
    assert_err!(attach(push(SERIAL)).await, Error::SerialTaken);
    for serial in ["", "CAM00001", "CAM00001AB", "CAM0000-A", "CAM0000ÄA", "CAM0000'A"] {
        assert_err!(attach(push(serial)).await, Error::SerialMalformed);
    }
    for code in ["", "ABCDE", "ABCDEFG", "abcdef", "ABCDE1", "ÄBCDE"] {
        let asked = Attach { validate_code: Some(code.into()), ..push(OTHER) };
        assert_err!(attach(asked).await, Error::InvalidArgument { field: "validate_code" });
    }
    let login = Login { user: "a\nb".into(), password: "c".into() };
    let asked = Attach { login: Some(login), ..push(OTHER) };
    assert_err!(attach(asked).await, Error::InvalidArgument { field: "login" });
    assert_err!(attach(Attach { name: Some("<b>".into()), ..push(OTHER) }).await, Error::InvalidArgument { .. });
    // The policy for addresses holds, and a login has its own place (T26, T28).
    for address in ["rtsp://127.0.0.1:1/", "rtsp://169.254.169.254/", "rtsp://admin:secret@192.0.2.1/", ""] {
        let asked = Attach { kind: DriverKind::Rtsp, address: address.into(), ..push(OTHER) };
        assert_err!(attach(asked).await, Error::Device(DriverError::AddressRefused(_)));
    }
    assert_eq!(world.cloud.attached(&operator).await.unwrap().len(), 2, "what was refused was attached");
}

#[tokio::test]
async fn a_device_is_on_line_while_it_publishes() {
    let mut world = World::new().await;
    let alice = world.somebody().await;
    world.attach(SERIAL).await;
    world.cloud.device_add(&alice, SERIAL, CODE).await.unwrap();
    let channel = world.cloud.channel(&alice, SERIAL, 1).await.unwrap();
    assert_err!(world.cloud.live_address(&alice, &channel, ask(None)).await, Error::DeviceOffline);

    world.pass(MINUTE);
    let writer = world.publish(SERIAL);
    world.until_online(SERIAL, true).await;
    let device = world.cloud.device(&alice, SERIAL).await.unwrap();
    assert!(device.online && device.bound);
    assert_eq!((device.added_at, device.channels.len()), (START, 1));

    world.pass(MINUTE);
    drop(writer);
    world.until_online(SERIAL, false).await;
    assert_err!(world.cloud.live_address(&alice, &channel, ask(None)).await, Error::DeviceOffline);

    let _writer = world.publish(SERIAL);
    world.until_online(SERIAL, true).await;
    world.reopen().await;
    assert!(!world.cloud.is_online(SERIAL), "nobody publishes to a process that just started");
}

#[tokio::test]
async fn a_grant_opens_the_stream_it_names() {
    let world = World::new().await;
    let alice = world.somebody().await;
    let (mut writer, channel) = world.bound(&alice, SERIAL).await;
    let address = world.address(&alice, &channel).await;
    let grant = world.verify(&address).unwrap();
    assert_eq!((grant.serial.as_str(), grant.channel, grant.quality), (SERIAL, ChannelNo(1), Quality::Main));
    assert_eq!(grant.id.to_string(), address.id);

    let codec = CodecParameters::G711(G711Parameters { law: G711Law::A, sample_rate: 8000, channels: 1 });
    writer.set_tracks(vec![Track { id: TrackId::AUDIO, codec, clock_rate: 8000 }]);
    let wall = UnixMicros(0);
    let frame = Frame { track: TrackId::AUDIO, dts: Ticks(0), cts: 0, wall, key: true, data: vec![0; 160].into() };
    writer.write(frame).unwrap();
    let viewing = world.cloud.open_live(&grant).await.unwrap();
    assert_eq!(viewing.stream().id().as_str(), "CAM00001A_1_1");
    assert_err!(world.cloud.open_live(&grant.sub_stream()).await.map(drop), Error::DeviceOffline);
}

#[tokio::test]
async fn t22_a_foreign_device_is_not_yours_whether_it_exists_or_not() {
    let world = World::new().await;
    let (alice, bob) = (world.somebody().await, world.somebody().await);
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    world.attach(OTHER).await;
    for serial in [SERIAL, OTHER, UNKNOWN, "cam00001a"] {
        assert_err!(world.cloud.device(&bob, serial).await, Error::NotOwner);
        assert_err!(world.cloud.channel(&bob, serial, 1).await, Error::NotOwner);
        assert_err!(world.cloud.channel(&bob, serial, 2).await, Error::NotOwner);
        assert_err!(world.cloud.device_rename(&bob, serial, "mine").await, Error::NotOwner);
        assert_err!(world.cloud.channel_rename(&bob, serial, 1, "mine").await, Error::NotOwner);
        assert_err!(world.cloud.device_delete(&bob, serial).await, Error::NotOwner);
    }
    assert_err!(world.cloud.live_address(&bob, &channel, ask(None)).await, Error::NotOwner);
    assert_eq!(world.cloud.device_list(&bob, 0, 50).await.unwrap().total, 0);
    assert_eq!(world.cloud.camera_list(&bob, 0, 50).await.unwrap().total, 0);
    for serial in ["", "CAM00001", "CAM00001A:1", "../../../x", "CAM0000\u{0}A"] {
        assert_err!(world.cloud.device(&bob, serial).await, Error::SerialMalformed);
    }
    // Nothing of it had an effect.
    assert_ne!(world.cloud.device(&alice, " cam00001a\n").await.unwrap().name, "mine");
    for no in [0, 2, u16::MAX] {
        assert_err!(world.cloud.channel(&alice, SERIAL, no).await, Error::ChannelNotFound);
        assert_err!(world.cloud.channel_rename(&alice, SERIAL, no, "x").await, Error::ChannelNotFound);
    }
}

#[tokio::test]
async fn t22_a_device_that_was_detached_is_removed_for_who_had_it() {
    let mut world = World::new().await;
    let (alice, bob) = (world.somebody().await, world.somebody().await);
    world.attach(SERIAL).await;
    world.cloud.device_add(&alice, SERIAL, CODE).await.unwrap();
    world.cloud.detach(&world.operator(), SERIAL).await.unwrap();
    assert_err!(world.cloud.detach(&world.operator(), SERIAL).await, Error::NotOwner);
    world.reopen().await;
    assert_err!(world.cloud.device(&alice, SERIAL).await, Error::DeviceRemoved);
    assert_err!(world.cloud.device_rename(&alice, SERIAL, "x").await, Error::DeviceRemoved);
    assert_err!(world.cloud.device(&bob, SERIAL).await, Error::NotOwner);
    // Attached again it is nobody's.
    world.attach(SERIAL).await;
    assert_err!(world.cloud.device(&alice, SERIAL).await, Error::NotOwner);
    // One that was given up was not removed.
    world.cloud.device_add(&bob, SERIAL, CODE).await.unwrap();
    world.cloud.device_delete(&bob, SERIAL).await.unwrap();
    assert_err!(world.cloud.device(&bob, SERIAL).await, Error::NotOwner);
    assert_err!(world.cloud.device_delete(&bob, SERIAL).await, Error::NotOwner);
}

#[tokio::test]
async fn names_have_limits() {
    let world = World::new().await;
    let alice = world.somebody().await;
    world.attach(SERIAL).await;
    world.cloud.device_add(&alice, SERIAL, CODE).await.unwrap();
    let exact = "n".repeat(50);
    for name in ["门口", "Gate 1", "小".repeat(16).as_str(), exact.as_str(), "x", "#1 (东)-_.:"] {
        world.cloud.device_rename(&alice, SERIAL, &format!(" {name}\t")).await.unwrap();
        world.cloud.channel_rename(&alice, SERIAL, 1, name).await.unwrap();
        assert_eq!(world.cloud.device(&alice, SERIAL).await.unwrap().name, name);
        assert_eq!(world.cloud.channel(&alice, SERIAL, 1).await.unwrap().name, name);
    }
    let (long, long_chinese) = ("n".repeat(51), "小".repeat(17));
    let bad = ["", "  ", &long, &long_chinese, "a\nb", "a\0b", "<script>", "a\"b", "it's", "a&b", "a\\b", "\u{9d}"];
    for name in bad {
        let device = world.cloud.device_rename(&alice, SERIAL, name).await;
        assert_err!(device, Error::InvalidArgument { field: "deviceName" });
        let channel = world.cloud.channel_rename(&alice, SERIAL, 1, name).await;
        assert_err!(channel, Error::InvalidArgument { field: "name" });
    }
    assert_eq!(world.cloud.device(&alice, SERIAL).await.unwrap().name, "#1 (东)-_.:");
}

#[tokio::test]
async fn lists_come_in_pages_in_the_order_of_binding() {
    let world = World::new().await;
    let (alice, bob) = (world.somebody().await, world.somebody().await);
    let bound = ["CAM0000C3", "CAM0000A1", "CAM0000B2"];
    for serial in bound {
        world.attach(serial).await;
        world.pass(MS);
        world.cloud.device_add(&alice, serial, CODE).await.unwrap();
    }
    world.attach(OTHER).await;
    world.cloud.device_add(&bob, OTHER, CODE).await.unwrap();
    for (page, size, expected) in
        [(0, 2, &bound[..2]), (1, 2, &bound[2..]), (2, 2, &[]), (u32::MAX, u32::MAX, &[]), (0, 0, &[])]
    {
        let devices = world.cloud.device_list(&alice, page, size).await.unwrap();
        assert_eq!(devices.rows.iter().map(|device| device.serial.as_str()).collect::<Vec<_>>(), expected);
        let cameras = world.cloud.camera_list(&alice, page, size).await.unwrap();
        let serials = cameras.rows.iter().map(|(device, channel)| {
            assert_eq!((&device.serial, channel.no), (&channel.serial, ChannelNo(1)));
            device.serial.as_str()
        });
        assert_eq!(serials.collect::<Vec<_>>(), expected);
        assert_eq!((devices.total, cameras.total), (3, 3));
    }
}

// Binding.

#[tokio::test]
async fn t23_an_unknown_serial_and_a_wrong_code_look_alike() {
    let world = World::new().await;
    let (alice, bob) = (world.somebody().await, world.somebody().await);
    world.attach(SERIAL).await;
    world.attach(OTHER).await;
    world.cloud.device_add(&alice, OTHER, CODE).await.unwrap();
    let codes = [WRONG, "", "------", "qwerty", "QWERTYQ", "AAAAAA", "AAAAAB", "AAAAAC"];
    let mut answers = Vec::new();
    for serial in [SERIAL, OTHER, UNKNOWN] {
        let mut of_serial = Vec::new();
        for code in codes {
            of_serial.push(name(world.cloud.device_add(&bob, serial, code).await));
        }
        answers.push(of_serial);
    }
    assert_eq!(answers[0][..6], ["VerifyCodeWrong"; 5].into_iter().chain(["RateLimited"]).collect::<Vec<_>>());
    assert_eq!(answers[1], answers[0], "bound or not");
    assert_eq!(answers[2], answers[0], "known or not");
}

#[tokio::test]
async fn t23_whose_a_device_is_is_told_to_who_knows_its_code() {
    let world = World::new().await;
    let (alice, bob) = (world.somebody().await, world.somebody().await);
    world.attach(SERIAL).await;
    world.cloud.device_add(&alice, SERIAL, WRONG).await.unwrap_err();
    world.cloud.device_add(&alice, " cam00001a ", CODE).await.unwrap();
    assert_err!(world.cloud.device_add(&alice, SERIAL, WRONG).await, Error::VerifyCodeWrong);
    assert_err!(world.cloud.device_add(&bob, SERIAL, WRONG).await, Error::VerifyCodeWrong);
    assert_err!(world.cloud.device_add(&alice, SERIAL, CODE).await, Error::AlreadyYours);
    assert_err!(world.cloud.device_add(&bob, SERIAL, CODE).await, Error::OwnedByOther);
    assert_err!(world.cloud.device_add(&bob, "CAM", CODE).await, Error::SerialMalformed);
    world.cloud.device_delete(&alice, SERIAL).await.unwrap();
    world.cloud.device_add(&bob, SERIAL, CODE).await.unwrap();
    assert_err!(world.cloud.device(&alice, SERIAL).await, Error::NotOwner);
}

#[tokio::test]
async fn two_who_bind_at_once_do_not_both_get_the_device() {
    let world = World::new().await;
    world.attach(SERIAL).await;
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let (cloud, caller) = (world.cloud.clone(), world.somebody().await);
        tasks.spawn(async move { name(cloud.device_add(&caller, SERIAL, CODE).await) });
    }
    let mut answers = tasks.join_all().await;
    answers.sort();
    assert_eq!(answers, [vec!["OwnedByOther"; 7], vec!["done"]].concat());
}

#[tokio::test]
async fn a_device_that_must_be_dialled_and_is_off_line_cannot_be_bound() {
    let mut world = World::new().await;
    let alice = world.somebody().await;
    world.attach(SERIAL).await;
    // The same device, found by its address instead; nothing may be dialled there.
    let rows = world.rows().await;
    let row = rows.device(SERIAL).await.unwrap().unwrap();
    let channels = rows.channels(SERIAL).await.unwrap();
    rows.delete_device(SERIAL, &[], world.now()).await.unwrap();
    let dialled = NewDevice {
        serial: row.serial,
        code_sealed: row.code_sealed,
        driver: "rtsp".into(),
        address: "rtsp://127.0.0.1:1/".into(),
        login_sealed: None,
        name: row.name,
        facts: row.facts,
        keep_live: false,
        attached_at: row.attached_at,
        channels,
    };
    rows.insert_device(&dialled).await.unwrap();
    rows.close().await;
    world.reopen().await;
    assert_err!(world.cloud.device_add(&alice, SERIAL, WRONG).await, Error::VerifyCodeWrong);
    assert_err!(world.cloud.device_add(&alice, SERIAL, CODE).await, Error::DeviceOffline);
    assert_err!(world.cloud.device(&alice, SERIAL).await, Error::NotOwner);
}

/// Five wrong codes, of which none is refused as too many.
async fn five_wrong(world: &World, caller: &Caller) {
    for _ in 0..5 {
        assert_err!(world.cloud.device_add(caller, SERIAL, WRONG).await, Error::VerifyCodeWrong);
    }
}

#[tokio::test]
async fn t24_five_wrong_codes_lock_a_serial_longer_each_time_and_over_a_restart() {
    let mut world = World::new().await;
    world.attach(SERIAL).await;
    for minutes in [10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440] {
        // Another account each time: the lock is the device's.
        let (guesser, owner) = (world.somebody().await, world.somebody().await);
        five_wrong(&world, &guesser).await;
        let unlocked = world.now() + minutes * MINUTE;
        for caller in [&guesser, &owner] {
            assert_err!(world.cloud.device_add(caller, SERIAL, CODE).await, Error::RateLimited);
            assert_err!(world.cloud.device_add(caller, SERIAL, WRONG).await, Error::RateLimited);
        }
        world.reopen().await;
        world.set(unlocked - MS);
        assert_err!(world.cloud.device_add(&owner, SERIAL, CODE).await, Error::RateLimited);
        world.set(unlocked);
    }
    let owner = world.somebody().await;
    world.cloud.device_add(&owner, SERIAL, CODE).await.unwrap();
}

#[tokio::test]
async fn t24_a_right_code_and_a_quiet_week_wipe_the_slate() {
    let world = World::new().await;
    let (guesser, owner) = (world.somebody().await, world.somebody().await);
    world.attach(SERIAL).await;
    for _ in 0..4 {
        assert_err!(world.cloud.device_add(&guesser, SERIAL, WRONG).await, Error::VerifyCodeWrong);
    }
    world.cloud.device_add(&owner, SERIAL, CODE).await.unwrap();
    // Four do not count any more; nor do four of more than ten minutes ago.
    for _ in 0..4 {
        assert_err!(world.cloud.device_add(&guesser, SERIAL, WRONG).await, Error::VerifyCodeWrong);
    }
    world.pass(10 * MINUTE + MS);
    five_wrong(&world, &guesser).await;
    assert_err!(world.cloud.device_add(&owner, SERIAL, CODE).await, Error::RateLimited);
    // The second lock is longer, unless the serial was left alone for a week after the first.
    world.pass(10 * MINUTE + 7 * DAY + MS);
    five_wrong(&world, &guesser).await;
    world.pass(10 * MINUTE);
    assert_err!(world.cloud.device_add(&owner, SERIAL, CODE).await, Error::AlreadyYours);
}

#[tokio::test]
async fn t24_guesses_made_at_once_are_all_counted() {
    let world = World::new().await;
    world.attach(SERIAL).await;
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let caller = world.somebody().await;
        for _ in 0..5 {
            let (cloud, caller) = (world.cloud.clone(), caller.clone());
            tasks.spawn(async move { name(cloud.device_add(&caller, SERIAL, WRONG).await) });
        }
    }
    let answers = tasks.join_all().await;
    assert_eq!(answers.iter().filter(|answer| *answer == "VerifyCodeWrong").count(), 5);
    assert_eq!(answers.iter().filter(|answer| *answer == "RateLimited").count(), 35);
}

#[tokio::test]
async fn t24_an_account_cannot_try_one_code_on_every_serial() {
    let world = World::new().await;
    let (guesser, other) = (world.somebody().await, world.somebody().await);
    world.attach(SERIAL).await;
    world.cloud.device_add(&guesser, SERIAL, CODE).await.unwrap();
    for n in 0..100 {
        let answer = world.cloud.device_add(&guesser, &format!("TRY{n:06}"), "AAAAAA").await;
        assert_err!(answer, Error::VerifyCodeWrong);
        if n % 10 == 0 {
            // An own device's code buys no further guesses.
            assert_err!(world.cloud.device_add(&guesser, SERIAL, CODE).await, Error::AlreadyYours);
        }
    }
    assert_err!(world.cloud.device_add(&guesser, "TRY000100", "AAAAAA").await, Error::RateLimited);
    assert_err!(world.cloud.device_add(&guesser, SERIAL, CODE).await, Error::RateLimited);
    assert_err!(world.cloud.device_add(&other, SERIAL, CODE).await, Error::OwnedByOther);
    world.pass(10 * MINUTE);
    assert_err!(world.cloud.device_add(&guesser, SERIAL, CODE).await, Error::AlreadyYours);
}

#[tokio::test]
async fn t24_guesses_of_long_ago_leave_no_rows() {
    let mut world = World::new().await;
    let guesser = world.somebody().await;
    for _ in 0..5 {
        assert_err!(world.cloud.device_add(&guesser, UNKNOWN, "AAAAAA").await, Error::VerifyCodeWrong);
    }
    assert_err!(world.cloud.device_add(&guesser, OTHER, "AAAAAA").await, Error::VerifyCodeWrong);
    let unlocked = world.now() + 10 * MINUTE;
    let rows = world.rows().await;
    let kept = async |serial: &str| {
        let mut kept = AttemptRow::default();
        let look = |row| {
            kept = row;
            None
        };
        assert!(!rows.update_attempts(&format!("device:{serial}"), look).await.unwrap());
        kept
    };
    assert_eq!((kept(UNKNOWN).await.level, kept(OTHER).await.wrong), (1, 1));
    // Swept at start and each hour.
    world.set(unlocked + 7 * DAY);
    world.reopen().await;
    until("the sweep", async || kept(OTHER).await == AttemptRow::default()).await;
    assert_eq!(kept(UNKNOWN).await.level, 1, "forgotten too early");
    world.pass(MS);
    world.reopen().await;
    until("the sweep", async || kept(UNKNOWN).await == AttemptRow::default()).await;
}

// Play addresses.

#[tokio::test]
async fn t20_an_address_has_the_form_that_players_expect() {
    let world = World::new().await;
    let alice = world.somebody().await;
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    let mut ids = BTreeSet::new();
    for _ in 0..100 {
        let address = world.address(&alice, &channel).await;
        assert!(address.id.len() == 18 && address.id.bytes().all(|b| b.is_ascii_digit()));
        assert!(ids.last() < Some(&address.id), "ids rise");
        ids.insert(address.id);
    }
    let main = world.address(&alice, &channel).await;
    assert_eq!(main.path, "/v3/openlive/CAM00001A_1_1");
    let sub = LiveAsk { quality: Quality::Sub, expire_s: Some(60), code: None };
    let sub = world.cloud.live_address(&alice, &channel, sub).await.unwrap();
    assert_eq!(sub.path, "/v3/openlive/CAM00001A_1_2");
    assert_eq!(world.verify(&sub).unwrap().quality, Quality::Sub);
    // 60 s from 1,790,000,000.123 s.
    let t = sub.query.split_once("&t=").unwrap().1.split_once('&').unwrap().0;
    assert!(t.len() == 64 && t.bytes().all(|b| b"0123456789abcdef".contains(&b)));
    assert_eq!(sub.query, format!("expire=1790000060&id={}&t={t}&ev=100", sub.id));
    assert_eq!(sub.expires_at, UnixMillis(1_790_000_060_000));
}

#[tokio::test]
async fn t20_every_byte_of_path_and_query_is_signed() {
    let world = World::new().await;
    let alice = world.somebody().await;
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    let SignedAddress { path, query, .. } = world.address(&alice, &channel).await;
    all_signed(&path, &query, |path, query| world.cloud.verify_play(path, query).map(drop));
    // Other ways to say the same, and other things.
    let playback = path.replace("openlive", "openpb");
    let t = query.split_once("&t=").unwrap().1.split_once('&').unwrap().0;
    let loud = query.replace(t, &t.to_uppercase());
    for (path, query) in [
        (path.as_str(), ""),
        ("", query.as_str()),
        ("", ""),
        (&playback, &query),
        (&format!("{path}_1"), &query),
        (&format!("/{path}"), &query),
        (&format!("{path}.flv"), &query),
        (&path, &loud),
        (&path, &query.replace("ev=100", "ev=0100")),
        (&path, &query.replace("ev=100", "ev=+100")),
        (&path, &query.replace("ev=100", "ev=101")),
        (&path, &query.replace("ev=100", "ev=99999999999999999999")),
        (&path, &query.replace("expire=", "expire=0")),
        (&path, &query.replace("&id=", "&id=0")),
        (&path, &format!("{query}&x={}", "x".repeat(1 << 20))),
    ] {
        assert_err!(world.cloud.verify_play(path, query), Error::GrantInvalid);
    }
}

#[tokio::test]
async fn t20_another_platforms_signature_is_refused() {
    let (world, other) = (World::new().await, World::new().await);
    let mut addresses = Vec::new();
    let mut writers = Vec::new();
    for world in [&world, &other] {
        let caller = world.somebody().await;
        let (writer, channel) = world.bound(&caller, SERIAL).await;
        addresses.push(world.address(&caller, &channel).await);
        writers.push(writer);
    }
    world.verify(&addresses[0]).unwrap();
    assert_err!(world.verify(&addresses[1]), Error::GrantInvalid);
    assert_err!(other.verify(&addresses[0]), Error::GrantInvalid);
}

#[tokio::test]
async fn t20_other_parameters_and_any_order_are_accepted() {
    let world = World::new().await;
    let alice = world.somebody().await;
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    let SignedAddress { path, query, .. } = world.address(&alice, &channel).await;
    let expected = world.cloud.verify_play(&path, &query).unwrap();
    let parts: Vec<&str> = query.split('&').collect();
    let mut orders = 0;
    for order in (0..256).map(|n| [n & 3, n >> 2 & 3, n >> 4 & 3, n >> 6]) {
        if order.iter().collect::<BTreeSet<_>>().len() == 4 {
            let query = order.map(|n| parts[n]).join("&");
            assert_eq!(world.cloud.verify_play(&path, &query).unwrap(), expected);
            orders += 1;
        }
    }
    assert_eq!(orders, 24);
    for other in
        ["supportH265=1", "vc=3", "timeZone=8", "r=0.5", "", "=", "&&", "x", "T=1", "ids=2", "%FF=%zz", "e v=1"]
    {
        for query in
            [format!("{query}&{other}"), format!("{other}&{query}"), query.replacen('&', &format!("&{other}&"), 1)]
        {
            assert_eq!(world.cloud.verify_play(&path, &query).unwrap(), expected, "{query}");
        }
    }
    // The same parameter, written in another way, is the same.
    assert_eq!(world.cloud.verify_play(&path, &query.replace("expire", "%65xpire")).unwrap(), expected);
}

#[tokio::test]
async fn t20_a_signed_parameter_stands_there_once() {
    let world = World::new().await;
    let alice = world.somebody().await;
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    let SignedAddress { path, query, .. } = world.address(&alice, &channel).await;
    for part in query.split('&') {
        let (name, _) = part.split_once('=').unwrap();
        for again in [
            part.to_owned(),
            format!("{name}=1"),
            format!("{name}="),
            name.to_owned(),
            format!("%{:02x}{}=1", name.as_bytes()[0], &name[1..]),
        ] {
            for query in [format!("{query}&{again}"), format!("{again}&{query}")] {
                let answer = world.cloud.verify_play(&path, &query);
                assert!(matches!(answer, Err(Error::GrantInvalid)), "{query}");
            }
        }
    }
}

#[tokio::test]
async fn t20_an_address_lives_as_long_as_was_asked() {
    let mut world = World::new().await;
    let alice = world.somebody().await;
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    for expire_s in [0, 29, 62_208_001, u64::MAX] {
        let answer = world.cloud.live_address(&alice, &channel, ask(Some(expire_s))).await;
        assert_err!(answer, Error::InvalidArgument { field: "expireTime" });
    }
    let mut addresses = Vec::new();
    for (asked, lives) in [(Some(30), 30), (None, 7 * 24 * 3600), (Some(62_208_000), 62_208_000)] {
        let address = world.cloud.live_address(&alice, &channel, ask(asked)).await.unwrap();
        assert_eq!(address.expires_at, UnixMillis((START.as_secs() + lives) * 1000));
        addresses.push(address);
    }
    // Its expiry is a whole second, and at that second it is over.
    for address in &addresses {
        world.set(address.expires_at - MS);
        world.verify(address).unwrap();
        world.reopen().await;
        world.verify(address).unwrap();
        world.set(address.expires_at);
        assert_err!(world.verify(address), Error::GrantInvalid);
    }
}

#[tokio::test]
async fn t20_keys_rotate_without_ending_addresses() {
    let mut world = World::new().await;
    let alice = world.somebody().await;
    let (writer, channel) = world.bound(&alice, SERIAL).await;
    let first = world.address(&alice, &channel).await;
    assert_eq!(world.cloud.rotate_key(&world.operator()).await.unwrap(), 101);
    let second = world.address(&alice, &channel).await;
    assert!(first.query.ends_with("&ev=100") && second.query.ends_with("&ev=101"));
    for _ in 0..2 {
        world.verify(&first).unwrap();
        world.verify(&second).unwrap();
        let swapped =
            |query: &str, from: &str, to: &str| world.cloud.verify_play(&first.path, &query.replace(from, to));
        assert_err!(swapped(&first.query, "ev=100", "ev=101"), Error::GrantInvalid);
        assert_err!(swapped(&second.query, "ev=101", "ev=100"), Error::GrantInvalid);
        assert_err!(swapped(&second.query, "ev=101", "ev=102"), Error::GrantInvalid);
        world.reopen().await;
    }
    drop(writer);
    // A key that leaked ends with all it signed; the one that signs stays.
    assert_err!(world.cloud.retire_key(&world.operator(), 101).await, Error::InvalidArgument { field: "version" });
    world.cloud.retire_key(&world.operator(), 100).await.unwrap();
    for _ in 0..2 {
        assert_err!(world.verify(&first), Error::GrantInvalid);
        world.verify(&second).unwrap();
        world.reopen().await;
    }
    assert_eq!(world.cloud.rotate_key(&world.operator()).await.unwrap(), 102);
}

#[tokio::test]
async fn t20_a_key_goes_when_all_it_signed_has_expired() {
    let mut world = World::new().await;
    world.pass(DAY);
    world.cloud.rotate_key(&world.operator()).await.unwrap();
    let rows = world.rows().await;
    let versions = async || rows.grant_keys().await.unwrap().iter().map(|key| key.version).collect::<Vec<_>>();
    world.pass(720 * DAY);
    world.reopen().await;
    assert_eq!(versions().await, [100, 101]);
    world.pass(MS);
    world.reopen().await;
    until("the sweep", async || versions().await == [101]).await;
}

#[tokio::test]
async fn t20_one_address_or_all_are_taken_back_for_good() {
    let mut world = World::new().await;
    let alice = world.somebody().await;
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    let (_writer_of_other, other) = world.bound(&alice, OTHER).await;
    let [first, second, elsewhere] = [
        world.address(&alice, &channel).await,
        world.address(&alice, &channel).await,
        world.address(&alice, &other).await,
    ];
    let running = world.verify(&first).unwrap();
    assert!(!world.cloud.is_revoked(&running));
    let mut changes = world.cloud.revocations();
    changes.mark_unchanged();

    let id = first.id.parse().unwrap();
    world.cloud.revoke(&alice, &channel, Some(id)).await.unwrap();
    assert!(changes.has_changed().unwrap(), "running sessions must hear of it");
    assert!(world.cloud.is_revoked(&running) && world.cloud.is_revoked(&running.sub_stream()));
    world.cloud.revoke(&alice, &channel, Some(id)).await.unwrap();
    // Ids that were never given out do no harm.
    for id in [0, 1, id + 1_000_000_000, i64::MAX as u64, u64::MAX] {
        world.cloud.revoke(&alice, &channel, Some(id)).await.unwrap();
    }
    for _ in 0..2 {
        assert_err!(world.verify(&first), Error::GrantInvalid);
        world.verify(&second).unwrap();
        world.verify(&elsewhere).unwrap();
        world.reopen().await;
    }

    let mut changes = world.cloud.revocations();
    changes.mark_unchanged();
    world.cloud.revoke(&alice, &channel, None).await.unwrap();
    assert!(changes.has_changed().unwrap());
    world.cloud.revoke(&alice, &channel, None).await.unwrap();
    // One row says it all.
    let rows = world.rows().await;
    let kept = rows.revocations(world.now()).await.unwrap();
    assert_eq!(kept.iter().filter(|row| row.up_to).count(), 1, "{kept:?}");
    assert!(kept.iter().all(|row| row.grant_id != id), "{kept:?}");
    rows.close().await;
    for _ in 0..2 {
        assert_err!(world.verify(&first), Error::GrantInvalid);
        assert_err!(world.verify(&second), Error::GrantInvalid);
        world.verify(&elsewhere).unwrap();
        world.reopen().await;
    }
    // New ones work, also when the clock was set back meanwhile.
    world.set(START - DAY);
    world.reopen().await;
    let _writer = world.publish(SERIAL);
    world.until_online(SERIAL, true).await;
    let third = world.address(&alice, &channel).await;
    world.verify(&third).unwrap();
    world.cloud.revoke(&alice, &channel, None).await.unwrap();
    assert_err!(world.verify(&third), Error::GrantInvalid);
}

#[tokio::test]
async fn t20_nobody_takes_back_what_is_anothers() {
    let world = World::new().await;
    let (alice, bob) = (world.somebody().await, world.somebody().await);
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    let (_writer_of_bob, of_bob) = world.bound(&bob, OTHER).await;
    let address = world.address(&alice, &channel).await;
    // An id through one's own channel means nothing there; another's channel is not to be had.
    world.cloud.revoke(&bob, &of_bob, Some(address.id.parse().unwrap())).await.unwrap();
    world.cloud.revoke(&bob, &of_bob, None).await.unwrap();
    assert_err!(world.cloud.channel(&bob, SERIAL, 1).await, Error::NotOwner);
    world.verify(&address).unwrap();
}

#[tokio::test]
async fn t20_who_gives_a_device_up_cannot_watch_it_any_more() {
    let mut world = World::new().await;
    let (alice, bob) = (world.somebody().await, world.somebody().await);
    let (writer, channel) = world.bound(&alice, SERIAL).await;
    let of_alice = world.address(&alice, &channel).await;
    let running = world.verify(&of_alice).unwrap();
    let mut changes = world.cloud.revocations();
    changes.mark_unchanged();
    world.cloud.device_delete(&alice, SERIAL).await.unwrap();
    assert!(changes.has_changed().unwrap() && world.cloud.is_revoked(&running));
    assert_err!(world.verify(&of_alice), Error::GrantInvalid);
    // A channel looked up before gives no address after.
    assert_err!(world.cloud.live_address(&alice, &channel, ask(None)).await, Error::NotOwner);
    world.cloud.device_add(&bob, SERIAL, CODE).await.unwrap();
    let of_bob = world.address(&bob, &channel).await;
    for _ in 0..2 {
        assert_err!(world.verify(&of_alice), Error::GrantInvalid);
        world.verify(&of_bob).unwrap();
        world.reopen().await;
    }
    // No restart takes less than a millisecond, which ids count on.
    world.pass(MS);
    drop(writer);

    // Detached by the operator and attached again.
    world.cloud.detach(&world.operator(), SERIAL).await.unwrap();
    assert_err!(world.verify(&of_bob), Error::GrantInvalid);
    let (_writer, channel) = world.bound(&bob, SERIAL).await;
    let again = world.address(&bob, &channel).await;
    for _ in 0..2 {
        assert_err!(world.verify(&of_alice), Error::GrantInvalid);
        assert_err!(world.verify(&of_bob), Error::GrantInvalid);
        world.verify(&again).unwrap();
        world.reopen().await;
    }
}

// Footage.

const HOUR: Duration = Duration::from_secs(3600);

/// Two hours, the second of which has not come yet.
fn footage(storage: Storage) -> PlaybackAsk<'static> {
    PlaybackAsk { storage, from: START - HOUR, to: START + HOUR, expire_s: Some(60), code: None }
}

#[tokio::test]
async fn t20_an_address_of_footage_says_which_and_every_byte_of_it_is_signed() {
    let world = World::new().await;
    let alice = world.somebody().await;
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    // 1,790,000,000.123 s is 2026-09-21 22:13:20 at 8 hours east; the end is the second that it lies in.
    let played = world.cloud.playback_address(&alice, &channel, footage(Storage::Local)).await.unwrap();
    assert_eq!(played.path, "/v3/openpb/CAM00001A_1_1");
    let t = played.query.split_once("&t=").unwrap().1.split_once('&').unwrap().0;
    let span = "begin=20260921211320&end=20260921231321";
    assert_eq!(played.query, format!("{span}&expire=1790000060&id={}&rec=local&t={t}&ev=100", played.id));
    let expected = |storage| PlaybackGrant {
        id: 0,
        serial: SERIAL.into(),
        channel: ChannelNo(1),
        storage,
        from: UnixMillis(1_789_996_400_000),
        to: UnixMillis(1_790_003_601_000),
    };
    let grant = world.cloud.verify_playback(&played.path, &played.query).unwrap();
    assert_eq!(grant, PlaybackGrant { id: played.id.parse().unwrap(), ..expected(Storage::Local) });
    all_signed(&played.path, &played.query, |path, query| world.cloud.verify_playback(path, query).map(drop));

    // Of what we keep, nothing from before the caller had the device.
    let since = UnixMillis(1_790_000_001_000);
    let ours = world.cloud.playback_address(&alice, &channel, footage(Storage::Cloud)).await.unwrap();
    let grant = world.cloud.verify_playback(&ours.path, &ours.query).unwrap();
    let expected = PlaybackGrant { from: since, ..expected(Storage::Cloud) };
    assert_eq!(grant, PlaybackGrant { id: ours.id.parse().unwrap(), ..expected.clone() });

    let file = world.cloud.download_address(&alice, &channel, footage(Storage::Cloud)).await.unwrap();
    assert_eq!(file.path, "/v3/download/CAM00001A_1_1.mp4");
    let grant = world.cloud.verify_download(&file.path, &file.query).unwrap();
    assert_eq!(grant, PlaybackGrant { id: file.id.parse().unwrap(), ..expected });
    all_signed(&file.path, &file.query, |path, query| world.cloud.verify_download(path, query).map(drop));
    // What only the device has can be played, and not be had as a file.
    assert_err!(world.cloud.download_address(&alice, &channel, footage(Storage::Local)).await, Error::Unsupported);

    // What players add, and in which order, does not matter.
    let turned: Vec<&str> = played.query.rsplit('&').collect();
    let query = format!("playbackSpeed=4&{}&vc=1&containerFormat=1", turned.join("&"));
    world.cloud.verify_playback(&played.path, &query).unwrap();
    for twice in ["begin", "end", "rec", "expire", "id", "t", "ev"] {
        let query = format!("{}&{twice}=1", played.query);
        assert_err!(world.cloud.verify_playback(&played.path, &query), Error::GrantInvalid);
    }
}

#[tokio::test]
async fn t20_an_address_opens_what_it_was_made_for_only() {
    let world = World::new().await;
    let alice = world.somebody().await;
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    let live = world.address(&alice, &channel).await;
    let played = world.cloud.playback_address(&alice, &channel, footage(Storage::Cloud)).await.unwrap();
    let file = world.cloud.download_address(&alice, &channel, footage(Storage::Cloud)).await.unwrap();
    let made = [&live, &played, &file];
    for (n, of_path) in made.into_iter().enumerate() {
        for (m, of_query) in made.into_iter().enumerate() {
            let (path, query) = (&of_path.path, &of_query.query);
            let open = [
                world.cloud.verify_play(path, query).is_ok(),
                world.cloud.verify_playback(path, query).is_ok(),
                world.cloud.verify_download(path, query).is_ok(),
                world.cloud.verify_file(path, query).is_ok(),
            ];
            let expected = if n == m { [n == 0, n == 1, n == 2, false] } else { [false; 4] };
            assert_eq!(open, expected, "{path}?{query}");
        }
    }
    // A span beside what is signed is a player's own business.
    let (path, query) = (&live.path, format!("{}&begin=1&rec=cloud", live.query));
    world.cloud.verify_play(path, &query).unwrap();
}

#[tokio::test]
async fn t20_addresses_of_footage_end_as_others_do() {
    let mut world = World::new().await;
    let alice = world.somebody().await;
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    let make = async || world.cloud.playback_address(&alice, &channel, footage(Storage::Cloud)).await.unwrap();
    let [first, second, third] = [make().await, make().await, make().await];
    let verify = |world: &World, address: &SignedAddress| world.cloud.verify_playback(&address.path, &address.query);
    let running = verify(&world, &first).unwrap();
    world.cloud.revoke(&alice, &channel, Some(first.id.parse().unwrap())).await.unwrap();
    assert!(world.cloud.is_revoked(&running));
    assert_err!(verify(&world, &first), Error::GrantInvalid);
    verify(&world, &second).unwrap();
    world.reopen().await;
    assert_err!(verify(&world, &first), Error::GrantInvalid);
    // No restart takes less than a millisecond, which ids count on.
    world.pass(MS);
    world.cloud.revoke(&alice, &channel, None).await.unwrap();
    assert_err!(verify(&world, &second), Error::GrantInvalid);

    let fourth = world.cloud.playback_address(&alice, &channel, footage(Storage::Cloud)).await.unwrap();
    verify(&world, &fourth).unwrap();
    world.pass(Duration::from_secs(60));
    assert_err!(verify(&world, &fourth), Error::GrantInvalid);
    assert_err!(verify(&world, &third), Error::GrantInvalid);
}

#[tokio::test]
async fn an_address_of_footage_has_limits() {
    let world = World::new().await;
    let alice = world.somebody().await;
    let (writer, channel) = world.bound(&alice, SERIAL).await;
    let make = async |ask| world.cloud.playback_address(&alice, &channel, ask).await;
    let cloud = footage(Storage::Cloud);
    for to in [cloud.from, cloud.from - MS, UnixMillis(i64::MIN)] {
        assert_err!(make(PlaybackAsk { to, ..cloud }).await, Error::InvalidArgument { field: "stopTime" });
    }
    for from in [UnixMillis(i64::MIN), UnixMillis(-70_000_000_000_000)] {
        let ask = PlaybackAsk { from, ..footage(Storage::Local) };
        assert_err!(make(ask).await, Error::InvalidArgument { field: "startTime" });
    }
    for to in [UnixMillis(i64::MAX), UnixMillis(253_500_000_000_000)] {
        assert_err!(make(PlaybackAsk { to, ..cloud }).await, Error::InvalidArgument { field: "stopTime" });
    }
    for expire_s in [0, 29, 62_208_001, u64::MAX] {
        let ask = PlaybackAsk { expire_s: Some(expire_s), ..cloud };
        assert_err!(make(ask).await, Error::InvalidArgument { field: "expireTime" });
    }
    // What the device keeps is to be had while it is on line; what we keep, always.
    make(footage(Storage::Local)).await.unwrap();
    drop(writer);
    world.until_online(SERIAL, false).await;
    assert_err!(make(footage(Storage::Local)).await, Error::DeviceOffline);
    make(cloud).await.unwrap();

    world.cloud.encrypt(&alice, SERIAL).await.unwrap();
    assert_err!(make(cloud).await, Error::Encrypted);
    assert_err!(make(PlaybackAsk { code: Some(WRONG), ..cloud }).await, Error::Encrypted);
    make(PlaybackAsk { code: Some(CODE), ..cloud }).await.unwrap();
    let debug = format!("{:?}", PlaybackAsk { code: Some(CODE), ..cloud });
    assert!(!debug.contains(CODE), "{debug}");
}

// Plans and cards.

fn cards(count: u32) -> CardAsk {
    CardAsk { count, days: 30, retention_days: 7, batch: None, expires_at: START + 365 * DAY, bundled_with: None }
}

impl World {
    async fn card(&self, ask: CardAsk) -> String {
        self.cloud.make_cards(&self.operator(), ask).await.unwrap().keys.remove(0)
    }

    /// States and beginnings and ends, in days from the start.
    async fn plans(&self, caller: &Caller, channel: &Channel) -> Vec<(PlanState, i64, Option<i64>)> {
        let day = |at: UnixMillis| (at.0 - START.0) / DAY.as_millis() as i64;
        let plans = self.cloud.plans(caller, channel).await.unwrap();
        plans.into_iter().map(|plan| (plan.state, day(plan.starts_at), plan.expires_at.map(day))).collect()
    }

    /// Days that footage is kept by what records now.
    async fn recorded(&self) -> Vec<(String, u32)> {
        let rows = self.rows().await;
        let plans = rows.active_plans(self.now()).await.unwrap();
        rows.close().await;
        plans.into_iter().map(|plan| (plan.serial, plan.retention_days)).collect()
    }
}

#[tokio::test]
async fn a_card_opens_a_plan_that_waits_for_the_running_one_or_replaces_it() {
    let world = World::new().await;
    let alice = world.somebody().await;
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    assert_eq!(world.plans(&alice, &channel).await, []);
    assert_eq!(world.recorded().await, []);
    let first = world.card(cards(1)).await;
    world.cloud.open_card(&alice, &channel, &first, false).await.unwrap();
    assert_eq!(world.plans(&alice, &channel).await, [(PlanState::Active, 0, Some(30))]);
    assert_eq!(world.recorded().await, [(SERIAL.into(), 7)]);

    // As people type it.
    let queued = world.card(CardAsk { days: 10, ..cards(1) }).await.replace('-', "").to_lowercase();
    world.cloud.open_card(&alice, &channel, &format!(" {queued} "), false).await.unwrap();
    let waiting = (PlanState::Waiting, 30, Some(40));
    assert_eq!(world.plans(&alice, &channel).await, [(PlanState::Active, 0, Some(30)), waiting]);

    world.pass(5 * DAY);
    let replacing = world.card(CardAsk { days: 20, retention_days: 30, ..cards(1) }).await;
    world.cloud.open_card(&alice, &channel, &replacing, true).await.unwrap();
    let expected =
        [(PlanState::Expired, 0, Some(5)), (PlanState::Active, 5, Some(25)), (PlanState::Waiting, 25, Some(35))];
    assert_eq!(world.plans(&alice, &channel).await, expected);
    assert_eq!(world.recorded().await, [(SERIAL.into(), 30)]);
    world.pass(25 * DAY);
    assert_eq!(world.recorded().await, [(SERIAL.into(), 7)]);

    world.cloud.enable_plans(&alice, SERIAL, false).await.unwrap();
    assert_eq!(world.plans(&alice, &channel).await[2].0, PlanState::Paused);
    assert_eq!(world.recorded().await, []);
    world.cloud.enable_plans(&alice, SERIAL, true).await.unwrap();
    assert_eq!(world.recorded().await, [(SERIAL.into(), 7)]);
    world.pass(10 * DAY);
    assert_eq!(world.recorded().await, []);
}

#[tokio::test]
async fn a_card_is_good_once_in_time_and_where_it_belongs() {
    let world = World::new().await;
    let (alice, bob) = (world.somebody().await, world.somebody().await);
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    let (_writer_of_bob, of_bob) = world.bound(&bob, OTHER).await;
    let open = async |caller, channel, key: &str| world.cloud.open_card(caller, channel, key, false).await;

    let used = world.card(cards(1)).await;
    open(&alice, &channel, &used).await.unwrap();
    assert_err!(open(&alice, &channel, &used).await, Error::CardSpent);
    assert_err!(open(&bob, &of_bob, &used).await, Error::CardSpent);

    let bundled = world.card(CardAsk { bundled_with: Some(OTHER.to_lowercase()), ..cards(1) }).await;
    assert_err!(open(&alice, &channel, &bundled).await, Error::CardElsewhere);
    open(&bob, &of_bob, &bundled).await.unwrap();

    let withdrawn = world.card(CardAsk { batch: Some("spring".into()), ..cards(1) }).await;
    world.cloud.enable_cards(&world.operator(), "spring", false).await.unwrap();
    assert_err!(open(&alice, &channel, &withdrawn).await, Error::CardSpent);
    world.cloud.enable_cards(&world.operator(), "spring", true).await.unwrap();
    open(&alice, &channel, &withdrawn).await.unwrap();
    assert_err!(world.cloud.enable_cards(&world.operator(), "autumn", false).await, Error::CardUnknown);

    let expiring = world.card(CardAsk { expires_at: START + DAY, ..cards(1) }).await;
    world.pass(DAY);
    assert_err!(open(&alice, &channel, &expiring).await, Error::CardSpent);

    // What would never begin is not taken, nor is its card.
    let endless = PlanAsk { retention_days: 3, days: None };
    world.cloud.set_plan(&world.operator(), SERIAL, ChannelNo(1), endless).await.unwrap();
    let kept = world.card(cards(1)).await;
    assert_err!(open(&alice, &channel, &kept).await, Error::CardFailed);
    world.cloud.end_plans(&world.operator(), SERIAL, ChannelNo(1)).await.unwrap();
    open(&alice, &channel, &kept).await.unwrap();

    let gone = world.card(cards(1)).await;
    world.cloud.device_delete(&alice, SERIAL).await.unwrap();
    assert_err!(open(&alice, &channel, &gone).await, Error::NotOwner);
}

#[tokio::test]
async fn two_who_use_a_card_at_once_do_not_both_get_its_plan() {
    let world = World::new().await;
    let (alice, bob) = (world.somebody().await, world.somebody().await);
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    let (_writer_of_bob, of_bob) = world.bound(&bob, OTHER).await;
    let key = world.card(cards(1)).await;
    let (one, two) = tokio::join!(
        world.cloud.open_card(&alice, &channel, &key, false),
        world.cloud.open_card(&bob, &of_bob, &key, false)
    );
    let mut answers = [name(one), name(two)];
    answers.sort();
    assert_eq!(answers, ["CardSpent", "done"]);
    assert_eq!(world.recorded().await.len(), 1);
}

#[tokio::test]
async fn t24_five_unknown_cards_lock_an_account_out_of_a_device_for_a_day() {
    let mut world = World::new().await;
    let (alice, bob) = (world.somebody().await, world.somebody().await);
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    let (_writer_of_other, other) = world.bound(&alice, OTHER).await;
    let key = world.card(cards(1)).await;
    for wrong in ["", "x", "AAAA-BBBB-CCCC-DDDD", &key[..18], &"é".repeat(100)] {
        assert_err!(world.cloud.open_card(&alice, &channel, wrong, false).await, Error::CardUnknown);
    }
    // The right one does not help now, nor does a restart.
    assert_err!(world.cloud.open_card(&alice, &channel, &key, false).await, Error::CardLocked);
    world.reopen().await;
    world.pass(DAY - MS);
    assert_err!(world.cloud.open_card(&alice, &channel, &key, false).await, Error::CardLocked);
    // Others, and other devices, are not concerned.
    assert_err!(world.cloud.open_card(&alice, &other, "x", false).await, Error::CardUnknown);
    world.cloud.device_delete(&alice, OTHER).await.unwrap();
    let _writers = (world.publish(SERIAL), world.publish(OTHER));
    world.until_online(OTHER, true).await;
    world.cloud.device_add(&bob, OTHER, CODE).await.unwrap();
    let of_bob = world.cloud.channel(&bob, OTHER, 1).await.unwrap();
    assert_err!(world.cloud.open_card(&bob, &of_bob, "x", false).await, Error::CardUnknown);
    world.pass(MS);
    world.cloud.open_card(&alice, &channel, &key, false).await.unwrap();
}

#[tokio::test]
async fn cards_are_made_in_batches_and_their_keys_are_told_once() {
    let world = World::new().await;
    let operator = world.operator();
    let make = async |ask| world.cloud.make_cards(&operator, ask).await;
    let made = make(CardAsk { batch: Some("a.b_c-1".into()), ..cards(1000) }).await.unwrap();
    assert_eq!((made.batch.as_str(), made.keys.len()), ("a.b_c-1", 1000));
    let distinct: BTreeSet<&String> = made.keys.iter().collect();
    assert_eq!(distinct.len(), 1000);
    for key in &made.keys {
        let groups: Vec<&str> = key.split('-').collect();
        assert!(groups.len() == 4 && groups.iter().all(|group| group.len() == 4), "{key}");
    }
    let debug = format!("{made:?}");
    assert!(!debug.contains(&made.keys[0]), "{debug}");
    let other = make(cards(2)).await.unwrap();
    assert!(other.batch.starts_with("batch-"));

    let bad = [
        ("count", CardAsk { count: 0, ..cards(1) }),
        ("count", CardAsk { count: 1001, ..cards(1) }),
        ("days", CardAsk { days: 0, ..cards(1) }),
        ("days", CardAsk { days: 3651, ..cards(1) }),
        ("retention_days", CardAsk { retention_days: 0, ..cards(1) }),
        ("retention_days", CardAsk { retention_days: 3651, ..cards(1) }),
        ("expires", CardAsk { expires_at: START, ..cards(1) }),
        ("batch", CardAsk { batch: Some(String::new()), ..cards(1) }),
        ("batch", CardAsk { batch: Some("x".repeat(51)), ..cards(1) }),
        ("batch", CardAsk { batch: Some("a/b".into()), ..cards(1) }),
    ];
    for (expected, ask) in bad {
        match make(ask).await {
            Err(Error::InvalidArgument { field }) => assert_eq!(field, expected),
            answer => panic!("{expected}: {answer:?}"),
        }
    }
    assert_err!(make(CardAsk { bundled_with: Some("x".into()), ..cards(1) }).await, Error::SerialMalformed);

    let alice = world.somebody().await;
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    world.cloud.open_card(&alice, &channel, &other.keys[0], false).await.unwrap();
    let listed = world.cloud.cards(&operator, Some(&other.batch)).await.unwrap();
    assert_eq!(listed.iter().filter(|card| card.state == CardState::Used).count(), 1);
    assert_eq!(listed.iter().filter(|card| card.state == CardState::Unused).count(), 1);
    let used = listed.iter().find_map(|card| card.used.as_ref()).unwrap();
    assert_eq!((used.serial.as_str(), used.channel_no, used.at), (SERIAL, 1, START));
    world.pass(365 * DAY);
    let states: BTreeSet<String> =
        world.cloud.cards(&operator, None).await.unwrap().iter().map(|card| format!("{:?}", card.state)).collect();
    assert_eq!(states.into_iter().collect::<Vec<_>>(), ["Expired", "Used"]);
    let bytes = bytes_in(world.folder.path());
    for key in made.keys.iter().take(2).chain(&other.keys) {
        assert!(!contains(&bytes, key) && !contains(&bytes, &key.replace('-', "")), "a key is kept in clear");
    }
}

#[tokio::test]
async fn a_plan_is_its_accounts_and_rests_while_the_device_is_not() {
    let world = World::new().await;
    let (alice, bob) = (world.somebody().await, world.somebody().await);
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    let key = world.card(cards(1)).await;
    world.cloud.open_card(&alice, &channel, &key, false).await.unwrap();
    world.cloud.device_delete(&alice, SERIAL).await.unwrap();
    assert_eq!(world.recorded().await, []);
    world.cloud.device_add(&bob, SERIAL, CODE).await.unwrap();
    assert_eq!(world.recorded().await, []);
    assert_eq!(world.plans(&bob, &channel).await, []);
    world.cloud.device_delete(&bob, SERIAL).await.unwrap();
    world.cloud.device_add(&alice, SERIAL, CODE).await.unwrap();
    assert_eq!(world.recorded().await, [(SERIAL.into(), 7)]);
}

#[tokio::test]
async fn the_operator_sets_and_ends_plans() {
    let world = World::new().await;
    let (operator, one) = (world.operator(), ChannelNo(1));
    let ask = |retention_days, days| PlanAsk { retention_days, days };
    let set = async |serial, channel, ask| world.cloud.set_plan(&operator, serial, channel, ask).await;
    // While nobody has the device, for whoever does.
    world.attach(SERIAL).await;
    assert_eq!(set("cam00001a", one, ask(3, None)).await.unwrap().len(), 1);
    assert_eq!(world.recorded().await, [(SERIAL.into(), 3)]);
    let alice = world.somebody().await;
    world.cloud.device_add(&alice, SERIAL, CODE).await.unwrap();
    let channel = world.cloud.channel(&alice, SERIAL, 1).await.unwrap();
    assert_eq!(world.plans(&alice, &channel).await, [(PlanState::Active, 0, None)]);
    // Another takes its place, however many wait.
    world.pass(DAY);
    let set_now = set(SERIAL, one, ask(30, Some(10))).await.unwrap();
    assert_eq!(set_now.iter().map(|plan| plan.state).collect::<Vec<_>>(), [PlanState::Expired, PlanState::Active]);
    assert_eq!(world.recorded().await, [(SERIAL.into(), 30)]);
    let key = world.card(cards(1)).await;
    world.cloud.open_card(&alice, &channel, &key, false).await.unwrap();
    world.cloud.end_plans(&operator, SERIAL, one).await.unwrap();
    assert_eq!(world.recorded().await, []);
    let ended = world.cloud.channel_plans(&operator, SERIAL, one).await.unwrap();
    assert!(!ended.is_empty() && ended.iter().all(|plan| plan.state == PlanState::Expired), "{ended:?}");

    for (ask, field) in
        [(ask(0, None), "retention_days"), (ask(3651, None), "retention_days"), (ask(1, Some(0)), "days")]
    {
        match set(SERIAL, one, ask).await {
            Err(Error::InvalidArgument { field: told }) => assert_eq!(told, field),
            answer => panic!("{answer:?}"),
        }
    }
    assert_err!(set(UNKNOWN, one, ask(1, None)).await, Error::NotOwner);
    assert_err!(set("x", one, ask(1, None)).await, Error::SerialMalformed);
    assert_err!(set(SERIAL, ChannelNo(2), ask(1, None)).await, Error::ChannelNotFound);
    assert_err!(world.cloud.end_plans(&operator, UNKNOWN, one).await, Error::NotOwner);
}

// Publishing.

#[tokio::test]
async fn t20_a_device_publishes_with_its_own_key_only() {
    let mut world = World::new().await;
    let operator = world.operator();
    world.attach(SERIAL).await;
    world.attach(OTHER).await;
    let address = |world: &World, serial| world.cloud.push_address(&operator, serial, ChannelNo(1));
    let first = address(&world, SERIAL).unwrap();
    let (path, query) = first.split_once('?').unwrap();
    let key = query.strip_prefix("key=").unwrap();
    assert_eq!(path, "/push/CAM00001A_1");
    assert!(key.len() == 32 && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    assert_eq!(address(&world, UNKNOWN), None);
    assert_eq!(world.cloud.push_address(&operator, SERIAL, ChannelNo(2)), None);

    world.reopen().await;
    assert_eq!(address(&world, SERIAL).unwrap(), first);
    assert_eq!(world.cloud.verify_publish(path, query).unwrap().stream.as_str(), "CAM00001A_1_1");
    assert_eq!(world.cloud.verify_publish(path, &format!("a=b&{query}&c")).unwrap().stream.as_str(), "CAM00001A_1_1");

    let of_other = address(&world, OTHER).unwrap();
    let mut forged = vec![
        (path.to_owned(), of_other.split_once('?').unwrap().1.to_owned()),
        (path.to_owned(), String::new()),
        (path.to_owned(), "key=".into()),
        (path.to_owned(), format!("{query}&{query}")),
        (path.to_owned(), format!("key=&{query}")),
        (path.to_owned(), format!("KEY={key}")),
        (path.to_owned(), format!("key={}", key.to_uppercase())),
        (path.to_owned(), format!("{query}x")),
        ("/push/CAM99999Z_1".into(), "key=".into()),
        ("/push/CAM99999Z_1".into(), query.to_owned()),
        ("/push/_1".into(), "key=".into()),
        ("/push/CAM00001A".into(), query.to_owned()),
        ("/push/CAM00001A_".into(), query.to_owned()),
        ("/push/CAM00001A_2".into(), query.to_owned()),
        ("/push/CAM00001A_65537".into(), query.to_owned()),
        ("/push/CAM00001A_1_1".into(), query.to_owned()),
        ("/live/CAM00001A_1".into(), query.to_owned()),
        (String::new(), query.to_owned()),
    ];
    forged.extend((0..path.len()).map(|at| (spoiled(path, at), query.to_owned())));
    forged.extend((0..query.len()).map(|at| (path.to_owned(), spoiled(query, at))));
    for (path, query) in forged {
        let answer = world.cloud.verify_publish(&path, &query);
        assert!(matches!(answer, Err(Error::GrantInvalid)), "{path}?{query}");
    }

    world.cloud.detach(&operator, SERIAL).await.unwrap();
    assert_err!(world.cloud.verify_publish(path, query), Error::GrantInvalid);
    world.attach(SERIAL).await;
    assert_ne!(address(&world, SERIAL).unwrap(), first);
    assert_err!(world.cloud.verify_publish(path, query), Error::GrantInvalid);
}

// Secrets.

/// Everything in the folder, as one run of bytes.
fn bytes_in(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            bytes.extend(bytes_in(&path));
        } else {
            bytes.extend(path.file_name().unwrap().as_encoded_bytes());
            bytes.extend(std::fs::read(path).unwrap());
        }
    }
    bytes
}

fn contains(bytes: &[u8], text: &str) -> bool {
    let hex: String = text.bytes().map(|b| format!("{b:02x}")).collect();
    let hex_upper = hex.to_uppercase();
    [text, &hex, &hex_upper].iter().any(|needle| bytes.windows(needle.len()).any(|window| window == needle.as_bytes()))
}

#[tokio::test]
async fn t28_no_secret_lies_in_the_data_folder_in_clear() {
    let world = World::new().await;
    let app = world.app().await;
    let token = world.cloud.token_get(&app.app_key, &app.app_secret).await.unwrap().access_token;
    let alice = world.cloud.caller(&token).await.unwrap();
    let writer = world.publish(SERIAL);
    let login = Login { user: "camera-user-name".into(), password: "camera-password!".into() };
    let asked = Attach { login: Some(login), name: Some("a name in clear".into()), ..push(SERIAL) };
    world.cloud.attach(&world.operator(), asked).await.unwrap();
    world.until_online(SERIAL, true).await;
    world.cloud.device_add(&alice, SERIAL, WRONG).await.unwrap_err();
    world.cloud.device_add(&alice, SERIAL, CODE).await.unwrap();
    let channel = world.cloud.channel(&alice, SERIAL, 1).await.unwrap();
    let address = world.address(&alice, &channel).await;
    world.cloud.revoke(&alice, &channel, Some(address.id.parse().unwrap())).await.unwrap();
    let push_address = world.cloud.push_address(&world.operator(), SERIAL, ChannelNo(1)).unwrap();
    let replaced = world.cloud.replace_app_secret(&world.operator(), &app.app_key).await.unwrap();
    let operator_token = world.cloud.replace_operator_token(&world.operator()).await.unwrap();

    let t = address.query.split_once("&t=").unwrap().1.split_once('&').unwrap().0;
    let secrets = [
        &world.operator_token,
        &operator_token,
        &app.app_secret,
        &replaced.app_secret,
        &token,
        CODE,
        WRONG,
        "camera-user-name",
        "camera-password!",
        push_address.split_once("key=").unwrap().1,
        t,
    ];
    drop(writer);
    // While it runs, with what is still in the journal, and afterwards.
    for closed in [false, true] {
        if closed {
            world.cloud.shutdown().await;
        }
        let bytes = bytes_in(world.folder.path());
        for clear in [app.app_key.as_str(), "a name in clear", SERIAL] {
            assert!(contains(&bytes, clear), "this test does not look where it should: {clear}");
        }
        for secret in secrets {
            assert!(!contains(&bytes, secret), "{secret}");
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn t28_only_the_owner_may_read_the_data() {
    use std::os::unix::fs::PermissionsExt;

    let world = World::new().await;
    world.somebody().await;
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", entry.file_name());
    }
    let alice = world.somebody().await;
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    world.drive(SERIAL, Obedient::default()).await;
    world.cloud.capture(&alice, &channel).await.unwrap();
    world.cloud.voice_upload(&alice, sound(1), Some("gate"), "", false).await.unwrap();
    for folder in ["pictures", "voices"] {
        let files: Vec<_> = std::fs::read_dir(world.folder.path().join(folder)).unwrap().collect();
        assert_eq!(files.len(), 1);
        let mode = files[0].as_ref().unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "a file in {folder} has mode {mode:o}");
    }
}

#[tokio::test]
async fn t28_the_database_is_worth_nothing_without_its_key_file() {
    let world = World::new().await;
    world.app().await;
    world.cloud.shutdown().await;
    let key_file = world.folder.path().join("master.key");
    let key = std::fs::read(&key_file).unwrap();
    let attempt = async |bytes: Option<&[u8]>| {
        match bytes {
            Some(bytes) => std::fs::write(&key_file, bytes).unwrap(),
            None => std::fs::remove_file(&key_file).unwrap(),
        }
        open(world.folder.path(), &world.time).await.map(drop)
    };
    assert_err!(attempt(Some(&[7; 32])).await, Error::Internal(_));
    assert_err!(attempt(Some(&key[..31])).await, Error::Internal(_));
    assert_err!(attempt(None).await, Error::Internal(_));
    assert!(!key_file.exists(), "a new key would hide that the old one is lost");
    std::fs::write(&key_file, &key).unwrap();
    let (cloud, _) = open(world.folder.path(), &world.time).await.unwrap();
    cloud.shutdown().await;
}

#[tokio::test]
async fn t28_debug_output_shows_no_secret() {
    let world = World::new().await;
    let app = world.app().await;
    let token = world.cloud.token_get(&app.app_key, &app.app_secret).await.unwrap();
    let alice = world.cloud.caller(&token.access_token).await.unwrap();
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    let address = world.address(&alice, &channel).await;
    let attached = world.cloud.attached(&world.operator()).await.unwrap().remove(0);
    let attach = Attach { login: Some(Login { user: "u".into(), password: "hunter2".into() }), ..push(OTHER) };
    assert_eq!(attached.validate_code, CODE);
    let t = address.query.split_once("&t=").unwrap().1.split_once('&').unwrap().0;
    for (debug, secret) in [
        (format!("{app:?}{app:#?}"), app.app_secret.as_str()),
        (format!("{token:?}{token:#?}"), &token.access_token),
        (format!("{attached:?}{attached:#?}"), CODE),
        (format!("{attach:?}{attach:#?}"), CODE),
        (format!("{attach:?}{attach:#?}"), "hunter2"),
        (format!("{address:?}{address:#?}"), t),
    ] {
        assert!(debug.contains("***"), "{debug}");
        assert!(!debug.contains(secret), "{debug}");
    }
}

// Encryption.

fn with_code(code: &str) -> LiveAsk<'_> {
    LiveAsk { quality: Quality::Main, expire_s: None, code: Some(code) }
}

#[tokio::test]
async fn an_encrypted_device_gives_media_only_for_its_password() {
    let mut world = World::new().await;
    let alice = world.somebody().await;
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    let before = world.address(&alice, &channel).await;
    world.verify(&before).unwrap();
    assert_err!(world.cloud.decrypt(&alice, SERIAL, None).await, Error::NotEncrypted);

    world.cloud.encrypt(&alice, SERIAL).await.unwrap();
    assert_err!(world.cloud.encrypt(&alice, SERIAL).await, Error::AlreadyEncrypted);
    assert_err!(world.verify(&before), Error::GrantInvalid);
    for code in [None, Some(WRONG), Some(""), Some("qwerty")] {
        let asked = LiveAsk { code, ..ask(None) };
        assert_err!(world.cloud.live_address(&alice, &channel, asked).await, Error::Encrypted);
        assert_err!(world.cloud.standing_address(&alice, &channel, asked).await, Error::Encrypted);
        world.pass(11 * MINUTE);
    }
    let while_encrypted = world.cloud.live_address(&alice, &channel, with_code(CODE)).await.unwrap();
    world.verify(&while_encrypted).unwrap();
    assert!(world.cloud.device(&alice, SERIAL).await.unwrap().encrypted);

    // The password changes, and what was given for the old one ends, also after a restart.
    let change =
        async |world: &World, old: &str, new: &str| world.cloud.change_password(&alice, SERIAL, old, new).await;
    for new in ["", "thirteen byte", "口令口令口", "a\nb"] {
        assert_err!(change(&world, CODE, new).await, Error::InvalidArgument { field: "newPassword" });
    }
    assert_err!(change(&world, WRONG, "secret").await, Error::VerifyCodeWrong);
    world.verify(&while_encrypted).unwrap();
    change(&world, CODE, "口令口令").await.unwrap();
    assert_err!(world.verify(&while_encrypted), Error::GrantInvalid);
    world.reopen().await;
    assert_err!(world.verify(&while_encrypted), Error::GrantInvalid);
    let standing = async |code| world.cloud.standing_address(&alice, &channel, with_code(code)).await;
    assert_err!(standing(CODE).await, Error::Encrypted);
    world.verify(&standing("口令口令").await.unwrap()).unwrap();
    assert_err!(change(&world, CODE, "other").await, Error::VerifyCodeWrong);

    // Off again: with the password, with the code on the label, or with none.
    for code in [Some("口令口令"), Some(CODE), None] {
        world.cloud.decrypt(&alice, SERIAL, code).await.unwrap();
        world.verify(&world.cloud.standing_address(&alice, &channel, ask(None)).await.unwrap()).unwrap();
        world.cloud.encrypt(&alice, SERIAL).await.unwrap();
    }
    assert_err!(world.cloud.decrypt(&alice, SERIAL, Some(WRONG)).await, Error::VerifyCodeWrong);
}

#[tokio::test]
async fn what_an_account_set_does_not_outlive_its_binding() {
    let world = World::new().await;
    let (alice, bob) = (world.somebody().await, world.somebody().await);
    let (_writer, _) = world.bound(&alice, SERIAL).await;
    world.cloud.encrypt(&alice, SERIAL).await.unwrap();
    world.cloud.change_password(&alice, SERIAL, CODE, "secret").await.unwrap();
    world.cloud.set_defence(&alice, SERIAL, 16).await.unwrap();
    assert_err!(world.cloud.set_defence(&alice, SERIAL, 16).await, Error::DefenceUnchanged);
    assert_err!(world.cloud.set_defence(&alice, SERIAL, 2).await, Error::InvalidArgument { field: "isDefence" });
    assert_eq!(world.cloud.device(&alice, SERIAL).await.unwrap().defence, 16);
    for foreign in [
        world.cloud.encrypt(&bob, SERIAL).await,
        world.cloud.decrypt(&bob, SERIAL, Some("secret")).await,
        world.cloud.change_password(&bob, SERIAL, "secret", "mine").await,
        world.cloud.set_defence(&bob, SERIAL, 0).await,
    ] {
        assert_err!(foreign, Error::NotOwner);
    }
    world.cloud.device_delete(&alice, SERIAL).await.unwrap();
    world.cloud.device_add(&bob, SERIAL, CODE).await.unwrap();
    let device = world.cloud.device(&bob, SERIAL).await.unwrap();
    assert_eq!((device.encrypted, device.defence), (false, 0));
    world.cloud.change_password(&bob, SERIAL, CODE, "bobs").await.unwrap();
}

#[tokio::test]
async fn t24_stream_passwords_cannot_be_tried_out() {
    let world = World::new().await;
    let alice = world.somebody().await;
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    world.cloud.encrypt(&alice, SERIAL).await.unwrap();
    let try_code = async |code| world.cloud.live_address(&alice, &channel, with_code(code)).await.map(drop);
    // Who has it may use it as often as they like, and to ask without one is no guess.
    for _ in 0..50 {
        try_code(CODE).await.unwrap();
        assert_err!(world.cloud.live_address(&alice, &channel, ask(None)).await, Error::Encrypted);
    }
    for _ in 0..4 {
        assert_err!(try_code(WRONG).await, Error::Encrypted);
    }
    // Counted together, by whichever way it is tried.
    assert_err!(world.cloud.change_password(&alice, SERIAL, WRONG, "x").await, Error::VerifyCodeWrong);
    assert_err!(try_code(CODE).await, Error::RateLimited);
    assert_err!(world.cloud.decrypt(&alice, SERIAL, Some(CODE)).await, Error::RateLimited);
    world.pass(10 * MINUTE);
    try_code(CODE).await.unwrap();
}

#[tokio::test]
async fn t28_stream_passwords_are_sealed() {
    let world = World::new().await;
    let alice = world.somebody().await;
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    world.cloud.change_password(&alice, SERIAL, CODE, "hunter2hunt").await.unwrap();
    assert!(!format!("{:?}", with_code("hunter2hunt")).contains("hunter2"));
    drop(channel);
    world.cloud.shutdown().await;
    for entry in std::fs::read_dir(world.folder.path()).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_file() {
            let bytes = std::fs::read(&entry).unwrap();
            assert!(!bytes.windows(7).any(|window| window == b"hunter2"), "{entry:?}");
        }
    }
}

// Pictures.

#[tokio::test]
async fn t20_a_picture_opens_for_two_hours_and_opens_nothing_else() {
    let mut world = World::new().await;
    let alice = world.somebody().await;
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    world.drive(SERIAL, Obedient::default()).await;
    let picture = world.cloud.capture(&alice, &channel).await.unwrap();
    assert_eq!(picture.path, format!("/v3/picture/{SERIAL}_1.jpg"));
    assert_eq!(picture.expires_at, UnixMillis((START.as_secs() + 7200) * 1000));
    assert_eq!(world.fetch(&picture).await.unwrap(), JPEG);

    // One byte changed is another address.
    for at in 0..picture.path.len() {
        let changed = SignedAddress { path: spoiled(&picture.path, at), ..picture.clone() };
        assert_err!(world.fetch(&changed).await, Error::GrantInvalid);
    }
    for at in 0..picture.query.len() {
        let changed = SignedAddress { query: spoiled(&picture.query, at), ..picture.clone() };
        assert_err!(world.fetch(&changed).await, Error::GrantInvalid);
    }
    // What is signed for one thing opens no other.
    let live = world.cloud.standing_address(&alice, &channel, ask(None)).await.unwrap();
    let phrase = world.cloud.voices(&alice, Phrases::Platform, None).await.unwrap().remove(0).address;
    let all = [&picture, &live, &phrase];
    for (path, query) in all.iter().flat_map(|path| all.iter().map(move |query| (path, query))) {
        let same = std::ptr::eq(*path, *query);
        let is_live = std::ptr::eq(*path, &live);
        assert_eq!(world.cloud.verify_file(&path.path, &query.query).is_ok(), same && !is_live, "{path:?}");
        assert_eq!(world.cloud.verify_play(&path.path, &query.query).is_ok(), same && is_live, "{path:?}");
    }

    world.reopen().await;
    assert_eq!(world.fetch(&picture).await.unwrap(), JPEG);
    world.set(picture.expires_at - MS);
    assert_eq!(world.fetch(&picture).await.unwrap(), JPEG);
    world.set(picture.expires_at);
    assert_err!(world.fetch(&picture).await, Error::GrantInvalid);
    // Swept at start and each hour.
    let folder = world.folder.path().join("pictures");
    std::fs::write(folder.join("half.new"), b"x").unwrap();
    world.set(START + Duration::from_secs(7200) + MS);
    world.reopen().await;
    until("the sweep", async || std::fs::read_dir(&folder).unwrap().count() == 0).await;
}

#[tokio::test]
async fn t22_pictures_end_with_what_takes_addresses_back() {
    let world = World::new().await;
    let alice = world.somebody().await;
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    world.drive(SERIAL, Obedient::default()).await;
    let picture = world.cloud.capture(&alice, &channel).await.unwrap();
    world.cloud.encrypt(&alice, SERIAL).await.unwrap();
    assert_err!(world.fetch(&picture).await, Error::GrantInvalid);
    let picture = world.cloud.capture(&alice, &channel).await.unwrap();
    world.fetch(&picture).await.unwrap();
    world.cloud.device_delete(&alice, SERIAL).await.unwrap();
    assert_err!(world.fetch(&picture).await, Error::GrantInvalid);
    assert_err!(world.cloud.capture(&alice, &channel).await, Error::NotOwner);
}

#[tokio::test]
async fn an_account_keeps_a_thousand_pictures_and_does_not_push_out_others() {
    let world = World::new().await;
    let (alice, bob) = (world.somebody().await, world.somebody().await);
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    let (_other, bobs) = world.bound(&bob, OTHER).await;
    for serial in [SERIAL, OTHER] {
        world.drive(serial, Obedient::default()).await;
    }
    let kept = world.cloud.capture(&bob, &bobs).await.unwrap();
    let first = world.cloud.capture(&alice, &channel).await.unwrap();
    let second = world.cloud.capture(&alice, &channel).await.unwrap();
    for _ in 2..1000 {
        world.cloud.capture(&alice, &channel).await.unwrap();
    }
    world.fetch(&first).await.unwrap();
    world.cloud.capture(&alice, &channel).await.unwrap();
    assert_err!(world.fetch(&first).await, Error::GrantInvalid);
    world.fetch(&second).await.unwrap();
    world.fetch(&kept).await.unwrap();
    assert_eq!(std::fs::read_dir(world.folder.path().join("pictures")).unwrap().count(), 1001);
}

#[tokio::test]
async fn a_capture_fails_as_the_device_did_when_its_stream_shows_nothing_either() {
    let world = World::new().await;
    let alice = world.somebody().await;
    let (mut writer, channel) = world.bound(&alice, SERIAL).await;
    // Sound only, with the frames that would start a viewer.
    let codec = CodecParameters::G711(G711Parameters { law: G711Law::A, sample_rate: 8000, channels: 1 });
    writer.set_tracks(vec![Track { id: TrackId::AUDIO, codec, clock_rate: 8000 }]);
    let wall = UnixMicros(0);
    let frame = Frame { track: TrackId::AUDIO, dts: Ticks(0), cts: 0, wall, key: true, data: vec![0; 160].into() };
    writer.write(frame).unwrap();

    let refused = DriverError::Refused { step: "snapshot", cause: "no".into() };
    world.drive(SERIAL, Obedient { no_snapshot: Some(refused.clone()), ..Obedient::default() }).await;
    match world.cloud.capture(&alice, &channel).await {
        Err(Error::Refused(why)) => assert_eq!(why, refused),
        other => panic!("{other:?}"),
    }
    world.drive(SERIAL, Obedient { no_snapshot: Some(DriverError::Unsupported), ..Obedient::default() }).await;
    assert_err!(world.cloud.capture(&alice, &channel).await, Error::NoPicture { step: "video", .. });
}

// Voice.

#[tokio::test]
async fn a_phrase_is_kept_heard_spoken_renamed_and_forgotten() {
    let mut world = World::new().await;
    let alice = world.somebody().await;
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    let camera = Obedient::default();
    world.drive(SERIAL, camera.clone()).await;
    let gate = world.cloud.voice_upload(&alice, sound(2), None, "C:\\gate.wav", false).await.unwrap();
    assert_eq!((gate.name.as_str(), gate.duration_s), ("gate", 2));
    assert!(gate.address.path.starts_with("/v3/voice/") && gate.address.path.ends_with(".wav"));
    // Kept as it was heard, at 16 kHz.
    assert_eq!(world.fetch(&gate.address).await.unwrap(), sound(2));

    let url = |address: &SignedAddress| format!("https://any.example:8443{}?{}", address.path, address.query);
    world.cloud.voice_send(&alice, &channel, &url(&gate.address)).await.unwrap();
    until("the sound", async || camera.spoken().len() == 1).await;
    assert_eq!((camera.spoken()[0].samples.len(), camera.spoken()[0].sample_rate), (32_000, 16_000));

    assert_err!(world.cloud.voice_upload(&alice, sound(1), Some("gate"), "", false).await, Error::VoiceRefused(_));
    let louder = world.cloud.voice_upload(&alice, sound(1), Some("gate"), "", true).await.unwrap();
    assert_err!(world.fetch(&gate.address).await, Error::GrantInvalid);
    world.cloud.voice_rename(&alice, "gate", "门口").await.unwrap();
    assert_err!(world.cloud.voice_rename(&alice, "gate", "x").await, Error::VoiceRefused(_));
    let names = async |whose, name| {
        let phrases = world.cloud.voices(&alice, whose, name).await.unwrap();
        phrases.into_iter().map(|phrase| phrase.name).collect::<Vec<_>>()
    };
    assert_eq!(names(Phrases::Own, None).await, ["门口"]);
    assert_eq!(names(Phrases::Platform, None).await.len(), 7);
    assert_eq!(names(Phrases::All, None).await.len(), 8);
    assert_eq!(names(Phrases::All, Some("门口")).await, ["门口", "快递请放在门口"], "the very name comes first");

    // After a restart the file is there, and what no row names is not.
    let stray = world.folder.path().join("voices").join("stray.wav");
    std::fs::write(&stray, b"x").unwrap();
    world.reopen().await;
    assert!(!stray.exists());
    assert_eq!(world.fetch(&louder.address).await.unwrap(), sound(1));
    world.cloud.voice_delete(&alice, "门口").await.unwrap();
    assert_err!(world.cloud.voice_delete(&alice, "门口").await, Error::VoiceRefused(_));
    assert_err!(world.fetch(&louder.address).await, Error::GrantInvalid);
    assert_eq!(std::fs::read_dir(world.folder.path().join("voices")).unwrap().count(), 0);
}

#[tokio::test]
async fn t26_only_what_was_given_out_here_to_the_caller_is_spoken() {
    let world = World::new().await;
    let (alice, bob) = (world.somebody().await, world.somebody().await);
    let (_writer, channel) = world.bound(&alice, SERIAL).await;
    let camera = Obedient::default();
    world.drive(SERIAL, camera.clone()).await;
    let bobs = world.cloud.voice_upload(&bob, sound(1), Some("bobs"), "", false).await.unwrap().address;
    let platform = world.cloud.voices(&bob, Phrases::Platform, None).await.unwrap().remove(0).address;
    let picture = world.cloud.capture(&alice, &channel).await.unwrap();
    let url = |address: &SignedAddress| format!("http://here{}?{}", address.path, address.query);
    let refused = [
        url(&bobs),
        url(&picture),
        url(&platform).replace("&t=", "&t=0"),
        url(&platform).replace("/v3/voice/", "/v3/voice/../voice/x"),
        "http://169.254.169.254/latest/meta-data".into(),
        "file:///etc/passwd".into(),
        "https://voice.example/a.mp3?expire=1&id=2&t=3&ev=100".into(),
        platform.path.clone(),
        "constructor".into(),
    ];
    for url in refused {
        let answer = world.cloud.voice_send(&alice, &channel, &url).await;
        assert!(matches!(answer, Err(Error::InvalidArgument { field: "fileUrl" })), "{url}: {answer:?}");
    }
    // The platform's are everybody's, whoever was given the address.
    world.cloud.voice_send(&alice, &channel, &url(&platform)).await.unwrap();
    world.pass(DAY + Duration::from_secs(1));
    let expired = world.cloud.voice_send(&alice, &channel, &url(&platform)).await;
    assert_err!(expired, Error::InvalidArgument { field: "fileUrl" });
    until("the sound", async || camera.spoken().len() == 1).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_spoken_is_refused_when_it_comes() {
    let world = World::new().await;
    let alice = world.somebody().await;
    let upload = async |file: Bytes, name: &str| world.cloud.voice_upload(&alice, file, Some(name), "", false).await;
    let why = async |file: Bytes| match upload(file, "x").await {
        Err(Error::VoiceRefused(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(why(sound(61)).await.contains("longer"));
    assert!(why(vec![0; 5_000_001].into()).await.contains("larger"));
    assert!(why(Bytes::from_static(b"<html>")).await.contains("MP3"));
    assert!(!why(sound(0)).await.is_empty());
    for name in ["", " ", "<b>", "a/b", &"很".repeat(51)] {
        assert_err!(upload(sound(1), name).await, Error::InvalidArgument { field: "voiceName" });
    }
    for n in 0..100 {
        upload(sound(1), &format!("{n}{}", "很".repeat(47))).await.unwrap();
    }
    assert_err!(upload(sound(1), "one more").await, Error::VoicesFull);
    world.cloud.voice_upload(&alice, sound(1), Some(&format!("0{}", "很".repeat(47))), "", true).await.unwrap();
}

/// A channel is recorded while a plan says so, or its device's recorder on our disk is on; what was
/// recorded is there after a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recording_follows_plans_and_recorders() {
    let world = World::new().await;
    world.attach(SERIAL).await;
    let operator = &world.operator();
    let mut writer = world.publish(SERIAL);
    let publish = tokio::spawn(async move {
        let g711 = G711Parameters { law: G711Law::A, sample_rate: 8000, channels: 1 };
        writer.set_tracks(vec![Track { id: TrackId::AUDIO, codec: CodecParameters::G711(g711), clock_rate: 8000 }]);
        for n in 0i64.. {
            let (dts, wall) = (Ticks(n * 160), UnixMicros(START.0 * 1000 + n * 20_000));
            let data = Bytes::copy_from_slice(&n.to_be_bytes());
            writer.write(Frame { track: TrackId::AUDIO, dts, cts: 0, wall, key: true, data }).unwrap();
            // Three times as fast as it would happen.
            if n % 3 == 0 {
                sleep(20 * MS).await;
            }
        }
    });
    let kept = async |storage| {
        let found =
            world.cloud.kept_recordings(SERIAL, ChannelNo(1), storage, UnixMillis(0), UnixMillis(i64::MAX)).await;
        found.unwrap()
    };
    let ends = async |storage| kept(storage).await.last().map(|recording| recording.to);
    let channels = || {
        let state = world.cloud.recording_state(operator);
        state.channels.iter().map(|channel| channel.storage).collect::<Vec<_>>()
    };
    assert_eq!(channels(), []);

    let on = RecorderSetting { enabled: true, ..RecorderSetting::default() };
    world.cloud.set_recorder(operator, SERIAL, on).await.unwrap();
    assert_err!(world.cloud.set_recorder(operator, UNKNOWN, on).await, Error::NotOwner);
    until("local footage grows", async || ends(Storage::Local).await > Some(START + 5000 * MS)).await;
    assert_eq!((channels(), kept(Storage::Cloud).await), (vec![Storage::Local], vec![]));

    let other = MetaStore::sqlite(&world.folder.path().join("meta.db")).await.unwrap();
    let plan = PlanRow {
        id: 0,
        account_id: None,
        serial: SERIAL.into(),
        channel_no: 1,
        retention_days: 7,
        enabled: true,
        starts_at: START,
        expires_at: START + DAY,
    };
    assert!(other.change_plans(SERIAL, 1, None, None, |_| Some(vec![plan])).await.unwrap());
    other.close().await;
    world.cloud.recorder_changed();
    until("cloud footage grows", async || ends(Storage::Cloud).await.is_some()).await;
    world.cloud.set_recorder(operator, SERIAL, RecorderSetting::default()).await.unwrap();
    until("the recorder is off", async || channels() == [Storage::Cloud]).await;
    // The plan is over.
    world.time.fetch_add(DAY.as_millis() as i64, Ordering::SeqCst);
    world.cloud.recorder_changed();
    until("the plan is over", async || channels().is_empty()).await;
    publish.abort();
    until("all of it is listed", async || {
        let found = [kept(Storage::Local).await, kept(Storage::Cloud).await].concat();
        found.iter().all(|recording| recording.id.is_some())
    })
    .await;

    let (local, cloud) = (kept(Storage::Local).await, kept(Storage::Cloud).await);
    world.cloud.shutdown().await;
    let (reopened, _) = open(world.folder.path(), &world.time).await.unwrap();
    for (storage, before) in [(Storage::Local, local), (Storage::Cloud, cloud)] {
        let found =
            reopened.kept_recordings(SERIAL, ChannelNo(1), storage, UnixMillis(0), UnixMillis(i64::MAX)).await.unwrap();
        assert_eq!(found, before);
        let (from, to) = (found[0].from, found.last().unwrap().to);
        let mut footage = reopened.archive_footage(SERIAL, ChannelNo(1), storage, from, to);
        let mut items = Vec::new();
        while footage.read(&mut items).await.unwrap() {}
        let numbers: Vec<i64> = items
            .iter()
            .filter_map(|item| match item {
                Item::Frame(frame) => Some(i64::from_be_bytes(frame.data[..].try_into().unwrap())),
                _ => None,
            })
            .collect();
        assert!(numbers.len() > 25 && numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    }
    reopened.shutdown().await;
}
