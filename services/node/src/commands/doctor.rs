//! `mozaiks doctor`: what is wrong with this machine or this folder, before it hurts. Changes nothing.

mod servers;

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kernel::{Clock, Error, Result};
use tokio::task::block_in_place;

use super::db;
use crate::config::{Config, Engine};
use crate::{control, run};

/// Syncs a second below which a disk makes every change slow.
const SLOW_SYNCS: f64 = 100.0;
/// How long syncs are counted.
const MEASURED: Duration = Duration::from_millis(300);
/// Difference of clocks from which on times in tokens are noticeably wrong.
const MUCH_SKEW_MICROS: u64 = 5_000_000;
/// File systems on which a store must not be.
const NETWORKED: [&str; 8] = ["nfs", "cifs", "smb", "9p", "ceph", "fuse.sshfs", "glusterfs", "afs"];
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
    let running = control::is_running(&config.data_dir).await?;
    let mut findings = vec![folder(&config.data_dir), file_system(&config.data_dir), master_key(config)];
    findings.extend(rights(&config.data_dir));
    findings.push(lock(&config.data_dir, running));
    findings.extend(disk(config));
    findings.push(open_files());
    findings.extend(
        [("listen.gateway", &config.listen.gateway), ("listen.admin", &config.listen.admin)]
            .map(|(key, address)| port(key, address, running)),
    );
    findings.extend(secrets(config));
    match config.store.engine {
        Engine::Sqlite if run::has_store(&config.data_dir) => findings.extend(stored(&config.data_dir).await),
        Engine::Sqlite => {}
        Engine::MongoDb => findings.extend(servers::store(config).await),
    }
    findings.extend(servers::broker(config).await);
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

/// Files that hold what nobody else may read.
fn rights(folder: &Path) -> Vec<Finding> {
    let exposed = ["store.db", "store.db-wal", "control.sock", "dev.json"].into_iter().filter_map(|name| {
        let path = folder.join(name);
        let open = mode(&path)? & 0o077 != 0;
        open.then(|| finding(Grade::Fault, "rights", format!("{} is open to others; run chmod 600 on it", path.display())))
    });
    exposed.collect()
}

/// A write-ahead log is shared memory between processes, which no network carries.
fn file_system(folder: &Path) -> Finding {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let absolute = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    match kind_of_mount(&mounts, &absolute) {
        Some(kind) if NETWORKED.iter().any(|networked| kind.starts_with(networked)) => {
            finding(Grade::Fault, "file system", format!("{} is on {kind}; the store needs a local disk", folder.display()))
        }
        Some("tmpfs") => finding(Grade::Warning, "file system", format!("{} is in memory: nothing survives a restart", folder.display())),
        Some(kind) => finding(Grade::Well, "file system", kind),
        None => finding(Grade::Well, "file system", "not known"),
    }
}

/// The type of the file system that a path is on: that of the longest mount point above it.
fn kind_of_mount<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let mounted = mounts.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        Some((Path::new(before.split(' ').nth(4)?), after.split(' ').next()?))
    });
    mounted.filter(|(point, _)| path.starts_with(point)).max_by_key(|(point, _)| point.components().count()).map(|(_, kind)| kind)
}

/// Counts how often a second this disk promises that something is on it, and compares its clock with ours.
fn disk(config: &Config) -> Vec<Finding> {
    let (folder, clock) = (&config.data_dir, crate::clock::clock(&config.test_clock_file));
    let file = folder.join("doctor.tmp");
    let measured = fs::File::create(&file).and_then(|mut file| {
        let (began, mut syncs) = (Instant::now(), 0_u32);
        while began.elapsed() < MEASURED {
            file.write_all(&[0; 512])?;
            file.sync_data()?;
            syncs += 1;
        }
        let now = clock.now();
        Ok((f64::from(syncs) / began.elapsed().as_secs_f64(), micros(file.metadata()?.modified()?) - now.micros()))
    });
    match (measured, fs::remove_file(&file)) {
        (Ok((rate, skew)), Ok(())) => vec![graded_rate(rate), graded_skew("the disk", skew), written(folder, &clock)],
        (Err(_), _) if !folder.exists() => vec![finding(Grade::Warning, "disk", "not measured: the folder is not there yet")],
        (Err(cause), _) | (_, Err(cause)) => {
            vec![finding(Grade::Fault, "disk", format!("{} cannot be written: {cause}", folder.display()))]
        }
    }
}

fn graded_rate(rate: f64) -> Finding {
    if rate < SLOW_SYNCS {
        finding(Grade::Warning, "disk", format!("only {rate:.0} syncs a second: every change waits for one"))
    } else {
        finding(Grade::Well, "disk", format!("{rate:.0} syncs a second"))
    }
}

/// By how many microseconds somebody's clock is ahead of ours.
fn graded_skew(whose: &str, micros: i64) -> Finding {
    let seconds = micros as f64 / 1e6;
    match micros.unsigned_abs() {
        0..MUCH_SKEW_MICROS => finding(Grade::Well, "clock", format!("within {:.1} s of that of {whose}", seconds.abs())),
        _ => finding(
            Grade::Warning,
            "clock",
            format!("{:.0} s apart from that of {whose}: is the time of both machines set?", seconds.abs()),
        ),
    }
}

/// A store that was written later than now was written before the clock was set back.
fn written(folder: &Path, clock: &Clock) -> Finding {
    let times =
        ["store.db", "store.db-wal"].iter().filter_map(|name| fs::metadata(folder.join(name)).and_then(|file| file.modified()).ok());
    let ahead = times.map(micros).max().unwrap_or(0) - clock.now().micros();
    if ahead >= MUCH_SKEW_MICROS.cast_signed() {
        let told = format!(
            "the store was last written {} s from now: the clock was set back, and tokens seem younger than they are",
            ahead / 1_000_000
        );
        return finding(Grade::Warning, "time", told);
    }
    finding(Grade::Well, "time", "the store was written in the past")
}

fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Addresses with passwords in them, each in a file of its own.
fn secrets(config: &Config) -> Vec<Finding> {
    let read = [config.store_uri().map(drop), config.broker().map(drop)];
    read.into_iter().filter_map(Result::err).map(|error| finding(Grade::Fault, "secrets", error.to_string())).collect()
}

/// Versions and indexes of the store, read beside whoever writes it.
async fn stored(folder: &Path) -> Vec<Finding> {
    let looked = async {
        let (engine, store) = db::beside(folder).await?;
        let found = block_in_place(|| engine.inspect_indexes())?;
        let waiting = db::outbox(&store, &found).await?;
        Ok::<_, Error>((found, waiting))
    };
    match looked.await {
        Err(error) => vec![finding(Grade::Fault, "store", error.to_string())],
        Ok((found, waiting)) => {
            let faults = found.damage.iter().chain(&found.drift).map(|told| finding(Grade::Fault, "indexes", told));
            let warnings = db::versions(&found).into_iter().chain(waiting).map(|told| finding(Grade::Warning, "store", told));
            let mut findings: Vec<_> = faults.chain(warnings).collect();
            if findings.is_empty() {
                findings.push(finding(Grade::Well, "indexes", format!("of {} collections are as declared", found.kinds.len())));
            }
            findings
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_disk_and_a_wrong_clock_are_found() {
        assert!(graded_rate(99.0).grade == Grade::Warning && graded_rate(100.0).grade == Grade::Well);
        let skew = |micros| graded_skew("the disk", micros).grade;
        assert!(skew(4_999_999) == Grade::Well && skew(-4_999_999) == Grade::Well);
        assert!(skew(5_000_000) == Grade::Warning && skew(-5_000_000) == Grade::Warning);
    }

    #[test]
    fn a_store_on_a_network_is_found_by_its_mount() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 0:40 / /srv/data rw,relatime shared:9 - nfs4 host:/x rw\n";
        assert_eq!(kind_of_mount(mounts, Path::new("/srv/data/node")), Some("nfs4"));
        assert_eq!(kind_of_mount(mounts, Path::new("/srv/database")), Some("ext4"));
        assert_eq!(kind_of_mount("", Path::new("/srv")), None);
    }
}
