//! `mozaiks doctor`: what is wrong with this machine or this folder, before it hurts. Changes nothing.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use kernel::{Error, Result};

use crate::config::Config;
use crate::{control, run};

/// Syncs a second below which a disk makes every change slow.
const SLOW_SYNCS: u32 = 100;
/// How long syncs are counted.
const MEASURED: Duration = Duration::from_millis(300);
/// Open files below which connections run out before memory does: our 10,000 connections and some room.
const FEW_FILES: u64 = 11_000;

/// One finding.
struct Finding {
    grade: Grade,
    about: &'static str,
    told: String,
}

#[derive(PartialEq)]
enum Grade {
    Well,
    Warning,
    Fault,
}

/// Prints one line a finding. Errors: `NOT_HEALTHY` when one of them keeps a node from working.
pub(super) async fn run(config: &Config) -> Result<()> {
    let running = control::ask(&config.data_dir, "ping").await?.is_some();
    let mut findings =
        vec![folder(&config.data_dir), master_key(config), lock(&config.data_dir, running), sync_rate(&config.data_dir), open_files()];
    findings.extend(
        [("listen.gateway", &config.listen.gateway), ("listen.admin", &config.listen.admin)]
            .map(|(key, address)| port(key, address, running)),
    );
    let mut out = std::io::stdout().lock();
    for Finding { grade, about, told } in &findings {
        let mark = match grade {
            Grade::Well => "ok     ",
            Grade::Warning => "warning",
            Grade::Fault => "FAULT  ",
        };
        writeln!(out, "{mark} {about:<15} {told}").map_err(|cause| Error::internal("STDOUT", "stdout is closed").because(cause))?;
    }
    let faults = findings.iter().filter(|finding| finding.grade == Grade::Fault).count();
    if faults == 0 { Ok(()) } else { Err(Error::unavailable("NOT_HEALTHY", format!("{faults} faults; see above"))) }
}

fn finding(grade: Grade, about: &'static str, told: impl Into<String>) -> Finding {
    Finding { grade, about, told: told.into() }
}

fn mode(path: &Path) -> Option<u32> {
    Some(fs::metadata(path).ok()?.permissions().mode() & 0o777)
}

fn folder(folder: &Path) -> Finding {
    match mode(folder) {
        None => finding(Grade::Warning, "folder", format!("{} is not there yet; the first start makes it", folder.display())),
        Some(mode) if mode & 0o022 != 0 => {
            finding(Grade::Fault, "folder", format!("{} may be written by others; run chmod 700 on it", folder.display()))
        }
        Some(_) => finding(Grade::Well, "folder", folder.display().to_string()),
    }
}

fn master_key(config: &Config) -> Finding {
    let path = config.master_key_path();
    let shown = path.display();
    match mode(&path) {
        Some(mode) if mode & 0o077 != 0 => {
            finding(Grade::Fault, "master key", format!("{shown} may be read by others; run chmod 600 on it"))
        }
        Some(_) => finding(Grade::Well, "master key", format!("{shown}; keep a copy apart from the backups")),
        None if run::has_store(&config.data_dir) => {
            finding(Grade::Fault, "master key", format!("{shown} is gone, and the store was sealed with it"))
        }
        None => finding(Grade::Warning, "master key", format!("{shown} is not there yet; the first start makes it")),
    }
}

fn lock(folder: &Path, running: bool) -> Finding {
    let holder = fs::read_to_string(folder.join("store.lock")).unwrap_or_default();
    match (running, holder.trim()) {
        (true, holder) => finding(Grade::Well, "lock", format!("a node runs here: {holder}")),
        (false, "") => finding(Grade::Well, "lock", "no node runs here"),
        (false, holder) => finding(Grade::Well, "lock", format!("no node runs here; the last one was {holder}")),
    }
}

/// Counts how often a second this disk promises that something is on it.
fn sync_rate(folder: &Path) -> Finding {
    let file = folder.join("doctor.tmp");
    let measured = fs::File::create(&file).and_then(|mut file| {
        let (began, mut syncs) = (Instant::now(), 0_u32);
        while began.elapsed() < MEASURED {
            file.write_all(&[0; 512])?;
            file.sync_data()?;
            syncs += 1;
        }
        Ok(f64::from(syncs) / began.elapsed().as_secs_f64())
    });
    let removed = fs::remove_file(&file);
    match (measured, removed) {
        (Ok(rate), Ok(())) if rate < f64::from(SLOW_SYNCS) => {
            finding(Grade::Warning, "disk", format!("only {rate:.0} syncs a second: every change waits for one"))
        }
        (Ok(rate), Ok(())) => finding(Grade::Well, "disk", format!("{rate:.0} syncs a second")),
        (Err(_), _) if !folder.exists() => finding(Grade::Warning, "disk", "not measured: the folder is not there yet"),
        (Err(cause), _) | (_, Err(cause)) => finding(Grade::Fault, "disk", format!("{} cannot be written: {cause}", folder.display())),
    }
}

fn open_files() -> Finding {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    match line.and_then(|line| line.split_whitespace().nth(3)).map(str::parse::<u64>) {
        Some(Ok(limit)) if limit < FEW_FILES => finding(
            Grade::Warning,
            "open files",
            format!("at most {limit}; raise it (ulimit -n) for more than {} connections", limit.saturating_sub(64)),
        ),
        Some(Ok(limit)) => finding(Grade::Well, "open files", format!("at most {limit}")),
        _ => finding(Grade::Well, "open files", "no limit known"),
    }
}

fn port(key: &'static str, address: &str, running: bool) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => finding(Grade::Well, key, format!("{address} is free")),
        Err(_) if running => finding(Grade::Well, key, format!("{address} is taken, and a node runs here")),
        Err(cause) => finding(Grade::Fault, key, format!("{address} cannot be used: {cause}")),
    }
}
