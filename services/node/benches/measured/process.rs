//! A server as a child of the bench: when it said its first line, what the kernel charged it for. Knows no protocol.
#![allow(dead_code)] // each bench uses its part

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server. Ends with the value.
pub struct Process {
    /// Its first line on stdout: it is ready and says where.
    pub line: String,
    /// From the start to that line.
    pub ready_after: Duration,
    child: Child,
    /// Servers of the bench run until this is closed.
    _stdin: ChildStdin,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let started = Instant::now();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready_after = started.elapsed();
        assert!(!line.is_empty(), "{command:?} ended before it was ready");
        let stdin = child.stdin.take().unwrap();
        Self { line: line.trim_end().to_owned(), ready_after, child, _stdin: stdin }
    }

    /// `mozaiks serve` with its defaults on free ports.
    pub fn product(folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mozaiks"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"]).arg(folder);
        Self::start(command.env("MOZAIKS_DRAIN_SECONDS", "0"))
    }

    /// `127.0.0.1:1234`, where the product takes calls.
    pub fn gateway(&self) -> String {
        let addresses: serde_json::Value = serde_json::from_str(&self.line).unwrap();
        addresses["gateway"].as_str().unwrap().trim_start_matches("http://").to_owned()
    }

    /// Time on a processor of all its threads, to the nanosecond, in user space and in the kernel.
    pub fn cpu(&self) -> Duration {
        cpu_of(self.child.id())
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Ends it by SIGTERM and waits.
    pub fn terminate(mut self) {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

/// The same of any process.
pub fn cpu_of(process: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let spent = threads.map(|thread| {
        // A thread may end in between; its share is lost, which only idle threads do.
        let statistics = std::fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap_or_default();
        statistics.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
    });
    Duration::from_nanos(spent.sum())
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder of its own that goes with the value.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("mozaiks-bench-{}-{name}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
