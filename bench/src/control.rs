//! What the server adds to a command: cameras that tell how long they took themselves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use camera::{Camera, Config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::server::Fluorite;

/// Login of cameras.
pub const USER: &str = "admin";
/// Its password.
pub const PASSWORD: &str = "bench-of-cameras";
/// Clients at once; each has devices of its own.
pub const CLIENTS: usize = 4;
/// Time from a client's command to its next, unless the answer takes longer: 400 commands a second in all,
/// as hundreds of people at their keys send. A machine kept full would show how long its queues are.
pub const PACE: Duration = Duration::from_millis(10);

/// What commands cost.
pub struct Control {
    /// Answer time less the device's own, a command each.
    pub own: Vec<Duration>,
    /// The device's own time, a command each.
    pub device: Vec<Duration>,
    /// What the server's memory grew by over the commands, KiB.
    pub grown_kib: f64,
}

/// A camera, and before it who looks at the clock.
struct Timed {
    address: SocketAddr,
    /// Microseconds the camera has spent answering.
    busy_us: Arc<AtomicU64>,
    _camera: Camera,
}

impl Timed {
    async fn start() -> Result<Timed> {
        let camera = Camera::start(Config { password: PASSWORD.into(), ..Config::default() }).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let timed = Timed { address: listener.local_addr()?, busy_us: Arc::default(), _camera: camera };
        let (to, busy_us) = (timed._camera.http_address(), timed.busy_us.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, to, busy_us.clone()));
            }
        });
        Ok(timed)
    }

    fn busy(&self) -> Duration {
        Duration::from_micros(self.busy_us.load(Ordering::Relaxed))
    }
}

/// Hands bytes on both ways, and counts what passes between those of a question and those of its answer.
async fn relay(mut client: TcpStream, to: SocketAddr, busy_us: Arc<AtomicU64>) -> std::io::Result<()> {
    let mut camera = TcpStream::connect(to).await?;
    client.set_nodelay(true)?;
    camera.set_nodelay(true)?;
    let (mut question, mut answer) = ([0; 4096], [0; 4096]);
    let mut since = Instant::now();
    loop {
        tokio::select! {
            n = client.read(&mut question) => match n? {
                0 => return Ok(()),
                n => {
                    camera.write_all(&question[..n]).await?;
                    since = Instant::now();
                }
            },
            n = camera.read(&mut answer) => match n? {
                0 => return Ok(()),
                n => {
                    busy_us.fetch_add(since.elapsed().as_micros() as u64, Ordering::Relaxed);
                    since = Instant::now();
                    client.write_all(&answer[..n]).await?;
                }
            },
        }
    }
}

/// Starts and stops motors of `devices` cameras, `pairs` times in all.
///
/// # Errors
/// When a camera or the server does not do as it is told.
pub fn measure(fluorite: &Fluorite, devices: usize, pairs: usize) -> Result<Control> {
    let runtime = Runtime::new()?;
    let cameras: Vec<(Timed, String)> = (0..devices)
        .map(|_| {
            let camera = runtime.block_on(Timed::start())?;
            let serial = fluorite.attach_camera(&format!("http://{}", camera.address), USER, PASSWORD)?;
            Ok((camera, serial))
        })
        .collect::<Result<_>>()?;
    // The first round makes connections and whatever else is made once.
    turn(fluorite, &cameras, 2)?;
    let before = fluorite.process.rss_kib()?;
    let (own, device) = turn(fluorite, &cameras, pairs / devices)?.into_iter().unzip();
    let grown_kib = fluorite.process.rss_kib()? - before;
    Ok(Control { own, device, grown_kib })
}

/// Starts and stops each motor `rounds` times; gives for each command what the server and the device took.
fn turn(fluorite: &Fluorite, cameras: &[(Timed, String)], rounds: usize) -> Result<Vec<(Duration, Duration)>> {
    let one = |(camera, serial): &(Timed, String), path: &str, more: &str| {
        let (busy, at) = (camera.busy(), Instant::now());
        let answer = fluorite.lapp(path, &format!("deviceSerial={serial}&channelNo=1{more}"))?;
        let (took, device) = (at.elapsed(), camera.busy() - busy);
        thread::sleep(PACE.saturating_sub(took));
        ensure!(answer["code"] == "200", "{path}: {answer}");
        Ok((took.saturating_sub(device), device))
    };
    let client = |cameras: &[(Timed, String)]| {
        let mut seen = Vec::with_capacity(2 * rounds * cameras.len());
        for round in 0..rounds {
            for camera in cameras {
                // There and back, so that no end of travel is reached.
                let direction = if round % 2 == 0 { 2 } else { 3 };
                seen.push(one(camera, "device/ptz/start", &format!("&direction={direction}&speed=0"))?);
                seen.push(one(camera, "device/ptz/stop", "")?);
            }
        }
        anyhow::Ok(seen)
    };
    thread::scope(|scope| {
        let share = cameras.len().div_ceil(CLIENTS);
        let clients: Vec<_> = cameras.chunks(share).map(|cameras| scope.spawn(move || client(cameras))).collect();
        let mut seen = Vec::new();
        for client in clients {
            seen.extend(client.join().ok().context("a client panicked")??);
        }
        Ok(seen)
    })
}
