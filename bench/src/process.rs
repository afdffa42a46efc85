//! Programs under test: started, measured through `/proc`, stopped.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// `/proc` counts CPU time in these, on every Linux.
const TICKS_A_SECOND: f64 = 100.0;
/// How long a program may take to end when asked to.
const END_WITHIN: Duration = Duration::from_secs(12);

/// A running program. Dropping it ends it.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts `command`; what it says goes to `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command, log: &Path) -> Result<Process> {
        let log = std::fs::File::create(log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("{:?} cannot be started", command.get_program()))?;
        Ok(Process { child })
    }

    /// Starts `command` and reads the first line it prints.
    ///
    /// # Errors
    /// When it cannot be started or prints nothing.
    pub fn start_with_line(command: &mut Command) -> Result<(Process, String)> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut process = Process { child };
        let mut line = String::new();
        let stdout = process.child.stdout.take().context("no output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        Ok((process, line))
    }

    /// Whether it has not ended by itself.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// CPU time used so far by all its threads, user and system, in seconds; exact to 10 ms.
    ///
    /// # Errors
    /// When it is gone.
    pub fn cpu_s(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // proc(5): the name may hold anything, so fields are counted from its closing parenthesis.
        let fields: Vec<&str> = stat.rsplit_once(')').context("odd stat")?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).context("odd stat");
        Ok((ticks(11)? + ticks(12)?) / TICKS_A_SECOND)
    }

    /// Memory it holds, in KiB.
    ///
    /// # Errors
    /// When it is gone.
    pub fn rss_kib(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    }
}

impl Process {
    /// Ends it, and waits until it has.
    pub fn end(&mut self) {
        // Asked first, since it may have children of its own to end.
        Command::new("kill").arg(self.child.id().to_string()).status().ok();
        let deadline = Instant::now() + END_WITHIN;
        while self.is_running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
