//! What the embedded engine does when its disk fails: a sync that reports an error, a disk that is full and is given space.
//! Needs `strace` for the one and root for the other; says SKIPPED and why where it has not got them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel::{Clock, Cx, Kind, Result};
use serde::{Deserialize, Serialize};
use storage::{Change, Collection, Durability, Engine, Keys, Record, Sqlite, Store};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    text: String,
}

impl Record for Note {
    const KIND: Collection = Collection { name: "notes", version: 1, keys: &[], indexes: &[], burns: false, max_bytes: 0, max_items: 0 };

    fn keys(&self) -> Keys {
        Keys::new()
    }
}

/// A directory that goes with the test, and with it what was mounted on its `data`.
struct Dir(PathBuf, bool);

impl Dir {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("mozaiks-disk-{:016x}", getrandom::u64().unwrap()));
        std::fs::create_dir_all(dir.join("data")).unwrap();
        Self(dir, false)
    }

    fn data(&self) -> PathBuf {
        self.0.join("data")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let unmounted = !self.1 || Command::new("umount").arg(self.data()).status().is_ok_and(|status| status.success());
        if unmounted && !std::thread::panicking() {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }
}

fn cx() -> Cx {
    Cx::for_tests("disk").unwrap()
}

async fn defined(engine: Sqlite) -> Store {
    let store = Store::open(Arc::new(engine), [7; 32], Clock::system());
    store.define::<Note>().await.unwrap();
    store
}

async fn insert(store: &Store, id: &str, bytes: usize) -> Result<()> {
    store.insert(&cx(), id, Change::of(Note { text: "x".repeat(bytes) })).await.map(|_| ())
}

async fn has(store: &Store, id: &str) -> bool {
    store.get::<Note>(&cx(), id).await.unwrap().is_some()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(30), "{what}");
        tokio::task::yield_now().await;
    }
}

/// Opens, writes and goes idle until a sync fails under it, and says what it saw. Run by the tests below in a process of its
/// own, whose syncs are tampered with: in each thread the same one fails.
#[tokio::test]
#[ignore = "the other half of after_a_failed_sync_nothing_is_acknowledged"]
async fn write_until_a_sync_fails() {
    if !Path::new("data").is_dir() {
        return; // asked for by hand, without the other half
    }
    println!(); // the runner has begun a line
    let engine = match Sqlite::open(Path::new("data"), Durability::Full) {
        Ok(engine) => engine,
        Err(error) => {
            println!("unopened {}", error.reason());
            Sqlite::open(Path::new("data"), Durability::Full).expect("the failure was a single one")
        }
    };
    let store = Store::open(Arc::new(engine), [7; 32], Clock::system());
    let stopped = || store.engine().metrics().stops > 0;
    if let Err(error) = store.define::<Note>().await {
        println!("undefined {}", error.reason());
    }
    for n in 0..90 {
        if n == 8 || stopped() {
            let moves = store.engine().metrics().log_moves;
            until("the idle writer moves the log", || stopped() || store.engine().metrics().log_moves > moves).await;
        }
        if stopped() {
            break;
        }
        match insert(&store, &format!("n{n}"), 400).await {
            // Its reply was lost with the sync; once the database was opened again it was looked for, and maybe sent again.
            Ok(()) if stopped() => println!("resolved n{n}"),
            Ok(()) => println!("acknowledged n{n}"),
            Err(error) => println!("refused n{n} {}", error.reason()),
        }
    }
    println!("stops {}", store.engine().metrics().stops);
    if Path::new("for-good").exists() {
        for n in 0..20 {
            assert_eq!(store.engine().ready().unwrap_err().reason(), "STORE_BROKEN");
            assert_eq!(insert(&store, &format!("late{n}"), 400).await.unwrap_err().reason(), "STORE_BROKEN");
        }
    } else {
        until("the database is opened again", || store.engine().ready().is_ok()).await;
        store.define::<Note>().await.unwrap();
        insert(&store, "after", 400).await.unwrap();
        println!("acknowledged after");
    }
}

/// Runs the other half in this directory with syncs failing as `when` says.
fn with_failing_syncs(dir: &Dir, when: &str) -> Output {
    Command::new("strace")
        .args(["-f", "-y", "-qq", "--seccomp-bpf", "-o", "trace", "-e", "trace=fsync,fdatasync"])
        .args(["-e", &format!("inject=fsync,fdatasync:error=EIO:when={when}"), "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "write_until_a_sync_fails", "--nocapture", "--test-threads=1"])
        .current_dir(&dir.0)
        .output()
        .unwrap()
}

/// Whether the sync that failed in the writer was one of the folder.
fn a_folder_failed_last(dir: &Dir) -> bool {
    let trace = std::fs::read_to_string(dir.0.join("trace")).unwrap();
    trace.lines().rfind(|line| line.contains("INJECTED")).unwrap().contains("/data>)")
}

fn syncs_can_be_failed() -> bool {
    let tried = Command::new("strace")
        .args(["-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=1", "--", "true"])
        .output();
    let can = tried.as_ref().is_ok_and(|output| output.status.success());
    if !can {
        println!("SKIPPED: strace is not there or may not trace: {tried:?}");
    }
    can
}

/// What the other half said, as (word, id, reason).
fn said(output: &Output) -> Vec<(String, String, String)> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let words = ["acknowledged", "resolved", "refused", "unopened", "undefined", "stops"];
    let lines = text.lines().filter_map(|line| line.split_once(' ')).filter(|(word, _)| words.contains(word));
    let parts = |(word, rest): (&str, &str)| {
        let (id, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        (word.to_owned(), id.to_owned(), reason.to_owned())
    };
    lines.map(parts).collect()
}

async fn check_what_is_left(dir: &Dir, said: &[(String, String, String)], shown: &str) {
    let store = defined(Sqlite::open(&dir.data(), Durability::Full).unwrap()).await;
    for (word, id, reason) in said {
        match (word.as_str(), reason.as_str()) {
            ("acknowledged" | "resolved", _) => assert!(has(&store, id).await, "{shown}: {id} was acknowledged"),
            ("refused", "MAYBE_APPLIED") => {}
            ("refused", "STORE_BROKEN") => assert!(!has(&store, id).await, "{shown}: {id} was refused and is there"),
            ("unopened" | "undefined" | "stops", _) => {}
            other => panic!("{shown}: {other:?}"),
        }
    }
    insert(&store, "opened-again", 400).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_sync_nothing_is_acknowledged() {
    if !syncs_can_be_failed() {
        println!("fault F4 SKIPPED: strace is not there or may not trace");
        return;
    }
    let (mut seen, mut told, mut runs_done, began) = (BTreeSet::new(), 0, 0, Instant::now());
    for eight in (1..=60).collect::<Vec<u32>>().chunks(8) {
        let runs = eight.iter().copied().map(|nth| {
            tokio::task::spawn_blocking(move || {
                let dir = Dir::new();
                let output = with_failing_syncs(&dir, &nth.to_string());
                (nth, dir, output)
            })
        });
        for run in runs.collect::<Vec<_>>() {
            let (nth, dir, output) = run.await.unwrap();
            let (said, shown) = (said(&output), format!("sync {nth}"));
            told += said.iter().filter(|(word, ..)| word == "acknowledged").count();
            runs_done += 1;
            let stops: Vec<_> = said.iter().filter(|(word, ..)| word == "stops").map(|(_, count, _)| count.as_str()).collect();
            if a_folder_failed_last(&dir) {
                assert_eq!(stops, ["0"], "{shown}: the engine has synced its folder before, and SQLite forgives that it does again");
                check_what_is_left(&dir, &said, &shown).await;
                continue;
            }
            assert_eq!(stops, ["1"], "{shown} fails once in the writer");
            let at = said.iter().position(|(word, ..)| word == "stops").unwrap();
            let broken = said[..at].iter().position(|(word, ..)| matches!(word.as_str(), "refused" | "resolved"));
            let acknowledged = |(word, ..): &(String, String, String)| word == "acknowledged";
            assert!(!said[broken.unwrap_or(at)..at].iter().any(acknowledged), "{shown}: acknowledged after it: {said:?}");
            assert!(said[at..].iter().any(acknowledged), "{shown}: changes are taken again");
            seen.extend(said[..at].iter().filter(|(word, ..)| word != "acknowledged").map(|(word, ..)| word.clone()));
            seen.extend(broken.is_none().then(|| "idle".to_owned()));
            check_what_is_left(&dir, &said, &shown).await;
        }
    }
    let seconds = began.elapsed().as_secs_f32();
    println!("fault F4 seed=- cycles={runs_done} acknowledged={told} lost=0 split=0 seconds={seconds:.1}");
    seen.remove("refused"); // when the store was not opened again at once, the change stays unknown
    let every = ["idle", "resolved", "undefined", "unopened"];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), every, "syncs fail in opening, defining, committing and idling");
}

#[tokio::test]
async fn while_syncs_fail_the_store_is_not_ready() {
    if !syncs_can_be_failed() {
        return;
    }
    let dir = Dir::new();
    std::fs::write(dir.0.join("for-good"), "").unwrap();
    let said = said(&with_failing_syncs(&dir, "20+"));
    assert_eq!(said.iter().filter(|(word, ..)| word == "refused").count(), 1, "{said:?}");
    check_what_is_left(&dir, &said, "all from the 20th").await;
    let store = defined(Sqlite::open(&dir.data(), Durability::Full).unwrap()).await;
    assert!(!has(&store, "late0").await && !has(&store, "late19").await);
}

fn mount(dir: &mut Dir, options: &str) -> bool {
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir.data()).output();
    let can = mounted.as_ref().is_ok_and(|output| output.status.success());
    if !can {
        println!("SKIPPED: a file system of a few MiB cannot be mounted here: {mounted:?}");
    }
    dir.1 |= can;
    can
}

/// Inserts until this many were refused for want of space. What was acknowledged and what was not.
async fn fill(store: Store, task: usize, refusals: usize) -> (Vec<String>, Vec<String>) {
    let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
    while refused.len() < refusals {
        let id = format!("t{task}n{}", acknowledged.len() + refused.len());
        match insert(&store, &id, 20_000).await {
            Ok(()) => acknowledged.push(id),
            Err(error) => {
                assert_eq!((error.kind(), error.reason()), (Kind::Exhausted, "DISK_FULL"), "{error:?}");
                refused.push(id);
            }
        }
        if let Some(known) = acknowledged.first() {
            assert!(has(&store, known).await, "reads go on");
        }
        store.engine().ready().unwrap();
    }
    (acknowledged, refused)
}

async fn check_all(store: &Store, acknowledged: &[String], refused: &[String]) {
    for id in acknowledged {
        assert!(has(store, id).await, "{id} was acknowledged");
    }
    for id in refused {
        assert!(!has(store, id).await, "{id} was refused and is there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_cleanly_and_writes_resume_with_space() {
    let mut dir = Dir::new();
    if !mount(&mut dir, "size=16m,mode=700") {
        return;
    }
    let store = defined(Sqlite::open(&dir.data(), Durability::Full).unwrap()).await;
    let tasks: Vec<_> = (0..8).map(|task| tokio::spawn(fill(store.clone(), task, 20))).collect();
    let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
    for task in tasks {
        let (kept, lost) = task.await.unwrap();
        acknowledged.extend(kept);
        refused.extend(lost);
    }
    assert!(acknowledged.len() > 100 && store.engine().metrics().full > 0);
    let grown = Command::new("mount").args(["-o", "remount,size=64m"]).arg(dir.data()).status().unwrap();
    assert!(grown.success());
    let started = Instant::now();
    while let Err(error) = insert(&store, "resumed", 20_000).await {
        assert_eq!(error.reason(), "DISK_FULL");
        assert!(started.elapsed() < Duration::from_secs(5), "writes resume within five seconds");
    }
    assert_eq!(store.engine().metrics().stops, 0);
    check_all(&store, &acknowledged, &refused).await;
    drop(store);
    let store = defined(Sqlite::open(&dir.data(), Durability::Full).unwrap()).await;
    check_all(&store, &acknowledged, &refused).await;
    assert!(has(&store, "resumed").await);
}

#[tokio::test]
async fn traffic_begins_on_a_synced_main_file() {
    let dir = Dir::new();
    let engine = Sqlite::open(&dir.data(), Durability::Full).unwrap();
    // As if the log had been lost: the main file alone is a database of ours.
    let alone = dir.0.join("alone.db");
    std::fs::copy(dir.data().join("store.db"), &alone).unwrap();
    let layout = |path: &Path| -> i64 {
        let database = rusqlite::Connection::open(path).unwrap();
        assert_eq!(database.query_row("PRAGMA integrity_check", (), |row| row.get::<_, String>(0)).unwrap(), "ok");
        database.query_row("PRAGMA user_version", (), |row| row.get(0)).unwrap()
    };
    assert_eq!((layout(&alone), engine.metrics().wal_bytes), (1, 0));
}
