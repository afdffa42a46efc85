//! The program itself: its command line, its files, its signals.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::http::DEADLINE;

fn fluorite(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fluorite"));
    command
        .env_clear()
        .env("FLUORITE_DATA", data)
        .env("FLUORITE_HTTP__LISTEN", "127.0.0.1:0")
        .env("FLUORITE_RTMP__LISTEN", "127.0.0.1:0")
        .env("LANG", "en_GB.UTF-8")
        .current_dir(data.parent().unwrap());
    command
}

fn output(mut command: Command) -> (bool, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.success(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

/// A server that has written its ready file.
struct Running {
    child: Child,
    ready: Value,
    file: PathBuf,
}

impl Running {
    fn start(data: &Path) -> Running {
        let file = data.parent().unwrap().join("ready.json");
        // A restart must not read the file of the run before it.
        drop(std::fs::remove_file(&file));
        let mut command = fluorite(data);
        let mut child = command.args(["serve", "--ready-file"]).arg(&file).stdout(Stdio::piped()).spawn().unwrap();
        let started = Instant::now();
        while !file.exists() {
            assert!(started.elapsed() < DEADLINE && child.try_wait().unwrap().is_none(), "the server does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        let ready = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        Running { child, ready, file }
    }

    fn command(&self, data: &Path, arguments: &[&str]) -> (bool, String) {
        let mut command = fluorite(data);
        command.env("FLUORITE_SERVER", self.ready["http"].as_str().unwrap());
        command.env("FLUORITE_TOKEN", self.ready["admin_token"].as_str().unwrap());
        command.args(arguments).stdin(Stdio::null());
        output(command)
    }

    /// Sends a signal and waits for the end.
    fn end(&mut self, signal: Signal) -> (bool, Duration, String) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
        let sent = Instant::now();
        let status = self.child.wait().unwrap();
        let mut said = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        (status.success(), sent.elapsed(), said)
    }
}

impl Drop for Running {
    /// A test that failed leaves no server behind.
    fn drop(&mut self) {
        // It has ended already where all is well.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn serves_until_a_signal_and_keeps_its_secrets() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut running = Running::start(&data);
    let token = running.ready["admin_token"].as_str().unwrap().to_owned();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&running.file), 0o600);
    assert_eq!(mode(&data), 0o700);
    for file in std::fs::read_dir(&data).unwrap() {
        let file = file.unwrap().path();
        if file.is_dir() {
            assert_eq!(mode(&file), 0o700, "{}", file.display());
            continue;
        }
        assert_eq!(mode(&file), 0o600, "{}", file.display());
        let content = std::fs::read(&file).unwrap();
        assert!(!content.windows(token.len()).any(|w| w == token.as_bytes()), "the token is in {}", file.display());
    }

    let (ok, said) =
        running.command(&data, &["attach", "--driver", "push", "--serial", "ENC000001", "--name", "Encoder"]);
    assert!(ok && said.contains("ENC000001") && said.contains("/push/ENC000001_1?key="), "{said}");
    let (ok, said) = running.command(&data, &["devices"]);
    assert!(ok && said.contains("SERIAL") && said.contains("ENC000001  Encoder  offline  push"), "{said}");
    let (ok, said) = running.command(&data, &["app", "new"]);
    assert!(ok && said.starts_with("appKey     "), "{said}");
    let (ok, said) = running.command(&data, &["sessions", "list"]);
    assert!(ok && said == "none\n", "{said}");
    let (ok, said) = running.command(&data, &["keys", "rotate"]);
    assert!(ok && said.contains("key version"), "{said}");
    let (ok, said) = running.command(&data, &["detach", "ENC000001"]);
    assert!(ok && said == "ENC000001 is detached\n", "{said}");
    let (ok, said) = running.command(&data, &["detach", "ENC000001"]);
    assert!(!ok && said.contains("HTTP 404"), "{said}");
    let (ok, said) = running.command(&data, &["devices", "--token", "wrong"]);
    assert!(!ok && said.contains("HTTP 401"), "{said}");

    let (ok, took, said) = running.end(Signal::SIGTERM);
    assert!(ok && took < Duration::from_secs(10), "{took:?}");
    assert!(said.contains(&token), "the first start prints the token: {said}");

    let mut again = Running::start(&data);
    assert_eq!(again.ready["admin_token"], Value::Null);
    let (ok, _, said) = again.end(Signal::SIGINT);
    assert!(ok && !said.contains("operator token"), "it is printed once: {said}");
}

#[test]
fn bad_configuration_refuses_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    std::fs::write(&file, "[http]\nlistn = \"0.0.0.0:1\"\n").unwrap();
    for check in [true, false] {
        let mut command = fluorite(&folder.path().join("data"));
        command.args(["serve", "--config"]).arg(&file).args(check.then_some("--check-config"));
        let (ok, said) = output(command);
        assert!(
            !ok && said.contains("bad.toml:2: unknown key \"listn\" in [http]; the nearest is \"listen\""),
            "{said}"
        );
    }
    let mut command = fluorite(&folder.path().join("data"));
    command.args(["serve", "--check-config"]);
    assert_eq!(output(command), (true, "the configuration is good\n".into()));
    let mut command = fluorite(&folder.path().join("data"));
    command.args(["serve", "--print-config"]);
    let (ok, said) = output(command);
    assert!(ok && said.contains("listen = \"127.0.0.1:0\"  # environment variable FLUORITE_HTTP__LISTEN"), "{said}");
    assert!(!folder.path().join("data").exists(), "looking at the configuration changes nothing");
    // The file in the current folder is read without being named.
    std::fs::rename(&file, folder.path().join("fluorite.toml")).unwrap();
    let mut command = fluorite(&folder.path().join("data"));
    command.args(["serve", "--check-config"]);
    let (ok, said) = output(command);
    assert!(!ok && said.contains("fluorite.toml:2: "), "{said}");
}

#[test]
fn what_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = fluorite(&folder.path().join("data"));
    command.arg("serve").env("FLUORITE_HTTP__LISTEN", &address);
    let (ok, said) = output(command);
    assert!(!ok && said.contains(&format!("cannot listen on {address}")), "{said}");
    let mut command = fluorite(Path::new("/proc/fluorite"));
    command.arg("serve").current_dir("/");
    let (ok, said) = output(command);
    assert!(!ok && said.contains("cannot use data folder /proc/fluorite"), "{said}");
    let mut command = fluorite(&folder.path().join("data"));
    command.args(["devices", "--server", "http://127.0.0.1:1", "--token", "x"]);
    let (ok, said) = output(command);
    assert!(!ok && said.contains("no server at http://127.0.0.1:1"), "{said}");
}

#[test]
fn check_tells_whether_footage_is_what_it_should_be() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let check = |arguments: &[&str]| {
        let mut command = fluorite(&data);
        command.arg("check").args(arguments);
        output(command)
    };
    let (ok, said) = check(&[]);
    assert!(!ok && said.contains("there is no ") && !data.exists(), "{said}");
    let mut server = Running::start(&data);
    assert_eq!(check(&[]), (true, "0 segments, 0 bytes, 0 faults\n".into()), "beside a running server");
    server.end(Signal::SIGTERM);
    assert_eq!(check(&["--repair"]), (true, "0 segments, 0 bytes, 0 faults\n".into()));
    std::fs::create_dir(data.join("blobs/cloud")).unwrap();
    std::fs::write(data.join("blobs/cloud/stray.mp4"), "what is this").unwrap();
    let (ok, said) = check(&["--quick", "--repair"]);
    assert!(!ok && said.contains("unknown") && said.contains("cloud/stray.mp4"), "{said}");
    assert!(said.contains("0 segments, 0 bytes, 1 faults\n"), "{said}");
}
