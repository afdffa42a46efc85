//! Devices that are slow, refuse, break off, let nobody in, talk nonsense, fall silent or vanish in the
//! middle of each command: the right code within 5 s, nothing hangs, nothing is left behind.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use camera::ptz::{Axes, Ptz};
use camera::{Camera, Config, Fault, Flip};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::harness::{PATIENCE, eventually, succeed};
use crate::site::{Site, text};

const PASSWORD: &str = "a long secret";
/// Promised for every answer.
const ANSWERED: Duration = Duration::from_secs(5);
/// A device that works answers in this even while others fail, on a loaded machine.
const NORMAL: Duration = Duration::from_secs(2);
/// Longer than anybody waits.
const SLOW: Duration = Duration::from_secs(60);

/// Every command to a device; each has a camera of its own, so that it is what meets the fault.
const COMMANDS: [(&str, &[(&str, &str)]); 11] = [
    ("device/ptz/start", &[("direction", "3"), ("speed", "0")]),
    ("device/ptz/stop", &[]),
    ("device/preset/add", &[]),
    ("device/preset/move", &[("index", "1")]),
    ("device/preset/clear", &[("index", "2")]),
    ("device/ptz/mirror", &[("command", "2")]),
    ("device/scene/switch/status", &[]),
    ("device/scene/switch/set", &[("enable", "1")]),
    ("device/capture", &[]),
    ("voice/send", &[]),
    ("voice/sendonce", &[]),
];

/// Codes of all commands, in their order.
type Codes = [&'static str; COMMANDS.len()];

fn serial(n: usize) -> String {
    format!("BAD0000{n:02}")
}

/// Who gives the commands.
#[derive(Clone)]
struct Owner {
    site: Arc<Site>,
    /// A phrase's address, and the sound that is sent otherwise.
    phrase: Arc<str>,
    sound: Arc<[u8]>,
}

impl Owner {
    /// Gives one command; tells its code and how long it took.
    async fn command(self, n: usize) -> (String, Duration) {
        let ((path, parameters), serial, began) = (COMMANDS[n], serial(n), Instant::now());
        let mut form = [&[("deviceSerial", serial.as_str())], parameters].concat();
        let answer = match path {
            "voice/sendonce" => {
                let content_type = "multipart/form-data; boundary=xXx";
                self.site.upload(path, content_type, &form, ("sound.wav", &self.sound)).await
            }
            "voice/send" => {
                form.push(("fileUrl", &self.phrase));
                self.site.call(path, &form).await
            }
            _ => self.site.call(path, &form).await,
        };
        (text(&answer, "code").to_owned(), began.elapsed())
    }
}

/// Cameras for all commands, and one that never fails.
struct World {
    owner: Owner,
    cameras: Vec<Arc<Camera>>,
    /// Where the cameras listen.
    ports: BTreeSet<u16>,
}

impl World {
    async fn start(driver: &str, address: fn(&Camera) -> String) -> World {
        let site = Site::start().await;
        let folder = TempDir::new().unwrap();
        let (clip, sound) = (folder.path().join("clip.flv"), folder.path().join("sound.wav"));
        // Nothing here is about media: a small picture, a short sound.
        let coder = ["-c:v", "libx264", "-g", "5", "-bf", "0", "-pix_fmt", "yuv420p"];
        make(&clip, "testsrc=s=320x240:r=5:d=2", &coder).await;
        make(&sound, "sine=r=8000:d=0.1", &[]).await;
        let config = |n: usize| Config {
            serial: serial(n),
            password: PASSWORD.into(),
            replay: Some(clip.clone()),
            ..Config::default()
        };
        let cameras = Camera::start_all((0..=COMMANDS.len()).map(config).collect()).await.unwrap();
        for camera in &cameras {
            let login = json!({ "user": "admin", "password": PASSWORD });
            site.attach(json!({ "driver": driver, "address": address(camera), "login": login })).await;
        }
        let platform = site.data("voice/query", &[("default", "true")]).await;
        let shortest = platform.as_array().unwrap().iter().min_by_key(|row| row["duration"].as_u64()).unwrap();
        let owner = Owner {
            phrase: text(shortest, "fileUrl").into(),
            sound: std::fs::read(sound).unwrap().into(),
            site: Arc::new(site),
        };
        let ports = |camera: &Camera| [camera.http_address().port(), camera.rtsp_address().port()];
        World {
            owner,
            ports: cameras.iter().flat_map(ports).collect(),
            cameras: cameras.into_iter().map(Arc::new).collect(),
        }
    }

    /// The cameras that fail.
    fn failing(&self) -> &[Arc<Camera>] {
        &self.cameras[..COMMANDS.len()]
    }

    fn set(&self, fault: Fault) {
        self.failing().iter().for_each(|camera| camera.faults().set(fault));
    }

    /// Gives all commands at once, each to its camera, while another device is served as always.
    async fn all(&self) -> Vec<String> {
        let mut commands = JoinSet::new();
        for n in 0..COMMANDS.len() {
            let command = self.owner.clone().command(n);
            commands.spawn(async move { (n, command.await) });
        }
        let mut codes = vec![String::new(); COMMANDS.len()];
        while !commands.is_empty() {
            let (healthy, began) = (serial(COMMANDS.len()), Instant::now());
            self.owner.site.data("device/ptz/stop", &[("deviceSerial", &healthy)]).await;
            assert!(began.elapsed() < NORMAL, "another device waits: {:?}", began.elapsed());
            while let Some(done) = commands.try_join_next() {
                let (n, (code, took)) = done.unwrap();
                assert!(took < ANSWERED, "{} is answered with {code} after {took:?}", COMMANDS[n].0);
                codes[n] = code;
            }
        }
        codes
    }

    /// Every camera does again what it is told.
    async fn recovers(&self) {
        self.set(Fault::None);
        let mut commands = JoinSet::new();
        for (n, camera) in self.failing().iter().cloned().enumerate() {
            let owner = self.owner.clone();
            commands.spawn(async move {
                let again = || async {
                    reset(&camera);
                    (owner.clone().command(n).await.0 == "200").then_some(())
                };
                eventually(&format!("{} is done again", COMMANDS[n].0), again).await;
            });
        }
        while let Some(done) = commands.join_next().await {
            done.unwrap();
        }
    }

    /// Nothing is open towards the cameras: no stream and no sound any more, and no look just now.
    async fn rests(&self) {
        eventually("connections end", || async { (self.descriptors().1 == 0).then_some(()) }).await;
    }

    /// Descriptors of the server but for what it is asked through, and how many of them are connections
    /// to cameras.
    fn descriptors(&self) -> (usize, usize) {
        let server = &self.owner.site.server;
        let process = format!("/proc/{}", server.pid());
        let port = |address: &str| u16::from_str_radix(address.rsplit(':').next()?, 16).ok();
        let served = server.http().rsplit(':').next().and_then(|port| port.parse().ok());
        let (mut asked, mut dialled) = (BTreeSet::new(), BTreeSet::new());
        for line in std::fs::read_to_string(format!("{process}/net/tcp")).unwrap().lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local, remote, inode) = (port(fields[1]), port(fields[2]), format!("socket:[{}]", fields[9]));
            if local == served {
                asked.insert(inode);
            } else if remote.is_some_and(|remote| self.ports.contains(&remote)) {
                dialled.insert(inode);
            }
        }
        let open = std::fs::read_dir(format!("{process}/fd")).unwrap();
        let open: Vec<String> = open
            .filter_map(|entry| Some(std::fs::read_link(entry.ok()?.path()).ok()?.to_string_lossy().into_owned()))
            .filter(|target| !asked.contains(target))
            .collect();
        let to_cameras = open.iter().filter(|target| dialled.contains(*target)).count();
        (open.len(), to_cameras)
    }
}

async fn make(file: &Path, source: &str, coder: &[&str]) {
    succeed(Command::new("ffmpeg").args(["-v", "error", "-f", "lavfi", "-i", source]).args(coder).arg(file)).await;
}

/// A camera is as it was before it was commanded: something is left to be done.
fn reset(camera: &Camera) {
    let channel = camera.channel(1).unwrap();
    channel.ptz(|motor, _| *motor = Ptz::new());
    [1, 2].into_iter().for_each(|number| channel.preset_set(number, None).unwrap());
    for other in channel.presets().iter().filter(|preset| preset.number > 2) {
        channel.preset_remove(other.number).unwrap();
    }
    channel.set_mask(false);
    channel.set_flip(Flip::default());
    // It has turned long ago, away from the presets.
    let aside = Axes { pan: Some(0.2), ..Axes::default() };
    channel.ptz(|motor, _| motor.move_to(Duration::ZERO, aside, Axes::default()));
}

/// What was told otherwise than expected.
fn differences(fault: &str, told: &[String], expected: &Codes) -> Vec<String> {
    let pairs = COMMANDS.iter().zip(told.iter().zip(expected)).filter(|(_, (told, expected))| told != expected);
    pairs.map(|((path, _), (told, expected))| format!("{fault}: {path} is {told}, expected {expected}")).collect()
}

async fn script(driver: &str, address: fn(&Camera) -> String, expected: &[(Fault, Codes)]) {
    let mut world = World::start(driver, address).await;
    world.recovers().await;
    world.rests().await;
    let base = world.descriptors().0;
    let mut wrong = Vec::new();
    for (fault, codes) in expected {
        world.failing().iter().for_each(|camera| reset(camera));
        world.set(*fault);
        wrong.extend(differences(&format!("{fault:?}"), &world.all().await, codes));
        world.recovers().await;
        world.rests().await;
    }
    eventually("descriptors are closed", || async { (world.descriptors().0 <= base).then_some(()) }).await;

    // And cameras that are gone for good.
    for camera in world.cameras.drain(..COMMANDS.len()) {
        Arc::into_inner(camera).expect("nobody else has it").stop().await;
    }
    wrong.extend(differences("gone", &world.all().await, &GONE));
    assert!(wrong.is_empty(), "{driver}:\n{}", wrong.join("\n"));
    for n in 0..COMMANDS.len() {
        world.owner.site.status_becomes(&serial(n), false, PATIENCE).await;
    }
    assert_eq!(world.all().await, ["20007"; COMMANDS.len()]);
    world.rests().await;
    Arc::into_inner(world.owner.site).expect("no command is left").ends_well(300).await;
}

/// Not reached: what the network says, but voice has one word for it.
const GONE: Codes =
    ["20006", "20006", "20006", "20006", "20006", "20006", "20006", "20006", "20006", "111012", "111012"];
/// No answer in time.
const LATE: Codes = ["20008"; COMMANDS.len()];
/// Would not; looking is not refused, and a picture comes from the stream then.
const REFUSED: Codes =
    ["60006", "60006", "60006", "60006", "60006", "60012", "200", "60012", "200", "111012", "111012"];
/// Broken off; likewise.
const DROPPED: Codes =
    ["20006", "20006", "20006", "20006", "20006", "20006", "200", "20006", "200", "111012", "111012"];
/// Answered with nonsense.
const NONSENSE: Codes =
    ["60006", "60006", "60006", "60006", "60006", "60012", "60012", "60012", "60017", "111012", "111012"];

/// The same of a device whose stream needs no asking for its address: a picture comes from that.
fn but_seen(mut codes: Codes) -> Codes {
    let capture = COMMANDS.iter().position(|(path, _)| *path == "device/capture");
    codes[capture.expect("one of them")] = "200";
    codes
}

#[tokio::test(flavor = "multi_thread")]
async fn onvif_cameras_that_fail() {
    let expected = [
        (Fault::Slow(SLOW), LATE),
        (Fault::Refuse, REFUSED),
        (Fault::Drop, DROPPED),
        (Fault::WrongPassword, GONE),
        (Fault::Malformed, NONSENSE),
        (Fault::Silent, LATE),
    ];
    script("onvif", Camera::onvif_url, &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn isapi_cameras_that_fail() {
    let expected = [
        (Fault::Slow(SLOW), but_seen(LATE)),
        (Fault::Refuse, REFUSED),
        (Fault::Drop, DROPPED),
        (Fault::WrongPassword, GONE),
        (Fault::Malformed, but_seen(NONSENSE)),
        (Fault::Silent, but_seen(LATE)),
    ];
    script("isapi", |camera| format!("http://{}", camera.http_address()), &expected).await;
}
