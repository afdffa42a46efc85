//! A real server, real tools, and waiting for what should be.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// Longest that anything in these tests may take on a loaded two-core machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A program built beside this test.
pub fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("a test knows its own path");
    let folder = tests.ancestors().nth(2).expect("tests are built in target/PROFILE/deps");
    let path = folder.join(name);
    assert!(path.exists(), "{} is not built; run `cargo build --workspace --bins`", path.display());
    path
}

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("e2e lies in the repository")
}

/// Python with the packages of `e2e/requirements.txt`.
pub fn python() -> PathBuf {
    let python = root().join(".cache/venv/bin/python");
    assert!(python.exists(), "run scripts/setup.sh test first");
    python
}

/// Starts a program that prints `port N` once it listens there, and ends when its standard input closes
/// or the value is dropped.
pub async fn listening(command: &mut Command) -> (Child, u16) {
    let shown = format!("{:?}", command.as_std());
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut process = piped.spawn().unwrap_or_else(|e| panic!("{shown}: {e}"));
    let mut line = String::new();
    let mut said = BufReader::new(process.stdout.take().expect("piped"));
    timeout(PATIENCE, said.read_line(&mut line)).await.expect("it listens in time").expect("it prints text");
    let port = line.trim().strip_prefix("port ").and_then(|port| port.parse().ok());
    (process, port.unwrap_or_else(|| panic!("{shown} tells no port: {line:?}")))
}

/// Asks until the answer is there, at most [`PATIENCE`].
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(30)).await;
    }
}

/// Runs a tool to its end.
pub async fn run(command: &mut Command) -> Output {
    let shown = format!("{:?}", command.as_std());
    let child = command.stdin(Stdio::null()).kill_on_drop(true).output();
    match timeout(PATIENCE * 3, child).await {
        Ok(output) => output.unwrap_or_else(|e| panic!("{shown}: {e}")),
        Err(_) => panic!("{shown}: still running"),
    }
}

/// Runs a tool that must succeed; gives its standard output.
pub async fn succeed(command: &mut Command) -> String {
    let shown = format!("{:?}", command.as_std());
    let output = run(command).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}: {}\n{said}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A server with its own data folder, ended with the value.
pub struct Server {
    child: Child,
    /// Data folder, ready-file and logs.
    pub folder: TempDir,
    arguments: Vec<String>,
    /// What the ready-file said.
    pub ready: Value,
    /// The operator's token, which only the first ready-file tells.
    operator: Option<String>,
    client: reqwest::Client,
}

impl Server {
    /// A trial server with two virtual cameras, which rest while nobody watches.
    pub async fn trial() -> Server {
        Server::start(&["--trial", "--no-cards"]).await
    }

    /// A server started with these arguments on free loopback ports.
    pub async fn start(arguments: &[&str]) -> Server {
        Server::on_disk(None, arguments).await
    }

    /// The same, with its data on a disk of its own of so many MB.
    pub async fn on_disk(megabytes: Option<u32>, arguments: &[&str]) -> Server {
        let folder = TempDir::new().expect("temporary folder");
        let arguments: Vec<String> = arguments.iter().map(|a| a.to_string()).collect();
        let (child, ready) = launch(&folder, megabytes, &arguments).await;
        let client =
            reqwest::Client::builder().danger_accept_invalid_certs(true).timeout(PATIENCE).build().expect("client");
        let operator = ready["admin_token"].as_str().map(str::to_owned);
        Server { child, folder, arguments, ready, operator, client }
    }

    /// Kills the server without warning and starts it again over the same data.
    pub async fn crash_and_restart(&mut self) {
        self.child.kill().await.expect("kill");
        let (child, ready) = launch(&self.folder, None, &self.arguments).await;
        (self.child, self.ready) = (child, ready);
    }

    /// Asks it to stop and waits until it has.
    pub async fn stop(mut self) -> std::process::ExitStatus {
        self.terminate().await
    }

    /// The same, and keeps its data.
    pub async fn terminate(&mut self) -> std::process::ExitStatus {
        let pid = self.child.id().expect("running").to_string();
        succeed(Command::new("kill").args(["-TERM", &pid])).await;
        timeout(PATIENCE, self.child.wait()).await.expect("stops in time").expect("wait")
    }

    /// `http://host:port`.
    pub fn http(&self) -> &str {
        self.ready["http"].as_str().expect("http in the ready-file")
    }

    /// The trial account's access token.
    pub fn token(&self) -> &str {
        self.ready["trial"]["access_token"].as_str().expect("access_token in the ready-file")
    }

    /// The serial of trial device `n`.
    pub fn serial(&self, n: usize) -> &str {
        self.ready["trial"]["devices"][n]["serial"].as_str().expect("serial in the ready-file")
    }

    /// The data folder as the server sees it, while it runs.
    pub fn data(&self) -> PathBuf {
        let data = self.folder.path().join("data");
        Path::new(&format!("/proc/{}/root", self.pid())).join(data.strip_prefix("/").expect("an absolute path"))
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("running")
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Calls `/api/lapp/PATH` with a form, the trial token added unless one is given.
    pub async fn lapp(&self, path: &str, form: &[(&str, &str)]) -> Value {
        let mut form = form.to_vec();
        if !form.iter().any(|(key, _)| *key == "accessToken") && path != "token/get" {
            form.push(("accessToken", self.token()));
        }
        let url = format!("{}/api/lapp/{path}", self.http());
        let answer = self.client.post(url).form(&form).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "lapp answers are always HTTP 200");
        answer.json().await.expect("JSON")
    }

    /// As [`Server::lapp`], where the answer must be success; gives its data.
    pub async fn lapp_ok(&self, path: &str, form: &[(&str, &str)]) -> Value {
        let answer = self.lapp(path, form).await;
        assert_eq!(answer["code"], "200", "{path} {form:?}: {answer}");
        answer["data"].clone()
    }

    /// The native API with the operator's token.
    pub async fn native(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = method.parse().expect("method");
        let token = self.operator.as_ref().expect("admin_token in the first ready-file");
        let mut request = self.client.request(method, format!("{}/api/v1/{path}", self.http())).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    /// A play address: protocol 3 RTMP, 4 FLV; quality 1 main, 2 sub.
    pub async fn address(&self, serial: &str, protocol: u8, quality: u8) -> String {
        let (protocol, quality) = (protocol.to_string(), quality.to_string());
        let form = [
            ("deviceSerial", serial),
            ("protocol", protocol.as_str()),
            ("quality", quality.as_str()),
            ("expireTime", "3600"),
        ];
        let data = self.lapp_ok("v2/live/address/get", &form).await;
        data["url"].as_str().expect("url").to_owned()
    }

    /// Any HTTP client settings, for requests the helpers do not cover.
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }
}

/// Mounts an empty file system over `$1`, seen by the server alone, and becomes the server.
const ON_DISK: &str = r#"mount -t tmpfs -o size="$0" tmpfs "$1" && shift && exec "$@""#;

async fn launch(folder: &TempDir, megabytes: Option<u32>, arguments: &[String]) -> (Child, Value) {
    let (ready_file, log) = (folder.path().join("ready.json"), folder.path().join("log"));
    // The file of an earlier life must not be taken for this one's.
    std::fs::remove_file(&ready_file).ok();
    let output = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("log file");
    let data = folder.path().join("data");
    let mut command = match megabytes {
        None => Command::new(program("fluorite")),
        Some(megabytes) => {
            std::fs::create_dir_all(&data).expect("data folder");
            let mut command = Command::new("unshare");
            command.args(["--map-root-user", "--mount", "sh", "-c", ON_DISK]).arg(format!("{megabytes}m"));
            command.arg(&data).arg(program("fluorite"));
            command
        }
    };
    let mut child = command
        .arg("serve")
        .args(arguments)
        .arg("--ready-file")
        .arg(&ready_file)
        .env("FLUORITE_DATA", &data)
        .env("FLUORITE_HTTP__LISTEN", "127.0.0.1:0")
        .env("FLUORITE_RTMP__LISTEN", "127.0.0.1:0")
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("log file"))
        .stderr(output)
        .kill_on_drop(true)
        .spawn()
        .expect("server starts");
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(text) = std::fs::read_to_string(&ready_file)
            && let Ok(ready) = serde_json::from_str(&text)
        {
            return (child, ready);
        }
        let ended = child.try_wait().expect("wait");
        if ended.is_some() || Instant::now() > deadline {
            panic!("server is not ready ({ended:?}):\n{}", std::fs::read_to_string(&log).unwrap_or_default());
        }
        sleep(Duration::from_millis(20)).await;
    }
}
