//! One process or several: what starts, what does not, and what a caller sees when a process goes. Run in every layout.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::contract_rpcs::Rpc;
use crate::faults::tell;
use crate::node::{Layout, Node, Person, Process, fresh_folder};
use crate::stores;
use crate::wires::{Caller, Wire};

/// How often a process is replaced under load, unless `WIRE_DRAINS` says otherwise.
const DRAINS: usize = 4;
/// Calls that are made at once.
const CALLERS: usize = 8;

/// A process that may be replaced by another one like it.
struct Replica {
    folder: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    process: Process,
}

impl Replica {
    fn start(arguments: &[&str], environment: &[(String, String)]) -> Self {
        let (folder, arguments) = (fresh_folder(), arguments.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>());
        let process = Self::process(&folder, &arguments, environment);
        Self { folder, arguments, environment: environment.to_vec(), process }
    }

    fn process(folder: &Path, arguments: &[String], environment: &[(String, String)]) -> Process {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        Process::start(folder, &arguments, environment)
    }

    /// The address of a part, kept for the next process.
    fn keeps(mut self, part: &str, variable: &str) -> Self {
        let address = self.process.url(part).trim_start_matches("http://").to_owned();
        self.environment.push((variable.to_owned(), address));
        self
    }

    /// Waits until the process, which was told to go, has gone, and starts the next one. How long that took.
    fn replace(&mut self) -> Duration {
        let start = Instant::now();
        let status = self.process.wait();
        let took = start.elapsed();
        assert!(status.success() && took <= Duration::from_secs(25), "{status:?} after {took:?}");
        self.process = Self::process(&self.folder, &self.arguments, &self.environment);
        self.process.until_ready();
        took
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

fn address(url: &str) -> &str {
    url.trim_start_matches("http://")
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn what_runs_in_every_layout_calls_every_rpc() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/wire/identity");
    let sources: String = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let missing: Vec<_> = Rpc::all().iter().map(Rpc::label).filter(|label| !sources.contains(&format!("\"{label}\""))).collect();
    assert!(missing.is_empty(), "no test of identity:: calls {missing:?}");
}

#[test]
fn what_is_neither_here_nor_elsewhere_ends_the_start() {
    let start = |arguments: &[&str]| {
        let ended = Command::new(env!("CARGO_BIN_EXE_mozaiks")).arg("serve").args(arguments).output().unwrap();
        assert!(!ended.status.success(), "{arguments:?}");
        String::from_utf8(ended.stderr).unwrap()
    };
    assert!(start(&["--services", "gateway"]).contains("identity runs neither here nor elsewhere"));
    assert!(start(&["--services", "gateway", "--peer", "identity=127.0.0.1:8001"]).contains("peers.identity"));
    assert!(start(&["--services", "gateway", "--peer", "billing=static:a:1"]).contains("unknown key peers.billing"));
    assert!(start(&["--services", "gateways"]).contains("there is no \"gateways\""));
    assert!(start(&["--services", "identity"]).contains("public_url"));
    assert!(start(&["--peer", "identity"]).contains("say which service and where"));
}

#[tokio::test]
async fn a_gateway_alone_keeps_nothing_and_says_whom_it_waits_for() {
    let folder = fresh_folder();
    let stored = stores::settings(&folder);
    let identity = Process::start(&folder, &["serve", "--services", "identity"], &stored);
    assert_eq!(identity.parts(), ["admin", "identity"]);
    let peer = format!("identity=static:{}", address(&identity.url("identity")));
    let mut gateway = Replica::start(&["serve", "--services", "gateway", "--peer", &peer], &[]);
    gateway.process.until_ready();
    assert_eq!(gateway.process.parts(), ["admin", "gateway"]);
    let kept: Vec<_> = std::fs::read_dir(&gateway.folder).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(kept, ["log"], "neither a store nor a key");
    let anyone = Caller::new(&gateway.process.url("gateway"), Wire::Grpc);
    let asked = json!({ "appId": "platform" });
    assert!(anyone.call("SigningKeysService/GetDiscovery", asked.clone()).await.is_ok());
    let at = pair("MOZAIKS_LISTEN__IDENTITY", address(&identity.url("identity")));
    drop(identity);
    gateway.process.until(|answer| answer.starts_with("HTTP/1.1 503") && answer.contains("peer identity"));
    let failure = anyone.call("SigningKeysService/GetDiscovery", asked.clone()).await.unwrap_err();
    assert_eq!((failure.code, failure.reason.as_str()), (14, "NO_READY_PEER"));
    let identity = Process::start(&folder, &["serve", "--services", "identity"], &[stored, vec![at]].concat());
    gateway.process.until_ready();
    assert!(anyone.call("SigningKeysService/GetDiscovery", asked).await.is_ok());
    assert!(gateway.process.terminate().success());
    drop(identity);
    std::fs::remove_dir_all(folder).unwrap();
}

/// A load that goes on until told, to whichever of these doors is open; every call that fails is told.
struct Load {
    done: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
    callers: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    /// `doors` says where to call next: a router that has looked at what is ready.
    fn begin(person: &Person, doors: Arc<dyn Fn(usize) -> String + Send + Sync>) -> Self {
        let (done, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let callers = (0..CALLERS).map(|_| tokio::spawn(load(person.on(Wire::Grpc), doors.clone(), done.clone(), made.clone()))).collect();
        Self { done, made, callers }
    }

    async fn end(self) -> (usize, Vec<String>) {
        self.done.store(true, Ordering::SeqCst);
        let mut failed = Vec::new();
        for caller in self.callers {
            failed.extend(caller.await.unwrap());
        }
        (self.made.load(Ordering::SeqCst), failed)
    }
}

async fn load(
    caller: Caller,
    doors: Arc<dyn Fn(usize) -> String + Send + Sync>,
    done: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
) -> Vec<String> {
    // About 200 calls a second together.
    let mut beat = tokio::time::interval(Duration::from_millis(40));
    let mut failed = Vec::new();
    while !done.load(Ordering::SeqCst) {
        beat.tick().await;
        let number = made.fetch_add(1, Ordering::SeqCst);
        let caller = caller.clone().to(&doors(number));
        // A connection that breaks panics inside the client.
        match tokio::spawn(async move { caller.call("MeService/GetMe", json!({ "name": "apps/platform/me" })).await }).await {
            Ok(Ok(_)) => {}
            other => failed.push(format!("{other:?}")),
        }
    }
    failed
}

fn drains() -> usize {
    std::env::var("WIRE_DRAINS").ok().and_then(|count| count.parse().ok()).unwrap_or(DRAINS)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn gateways_are_replaced_one_by_one_without_a_failed_call() {
    let node = Node::laid_out(Layout::Split, fresh_folder(), &[]);
    let ann = node.person("ann@example.com").await;
    let peer = format!("identity=static:{}", address(&node.service("identity")));
    let notice = [pair("MOZAIKS_DRAIN_SECONDS", "1")];
    let start =
        || Replica::start(&["serve", "--services", "gateway", "--peer", &peer], &notice).keeps("gateway", "MOZAIKS_LISTEN__GATEWAY");
    let mut gateways = [start(), start()];
    gateways.iter().for_each(|gateway| gateway.process.until_ready());
    let urls = [gateways[0].process.url("gateway"), gateways[1].process.url("gateway")];
    // The router: what is about to go gets nothing new once its probe says so.
    let open = Arc::new([AtomicBool::new(true), AtomicBool::new(true)]);
    let seen = open.clone();
    let doors = Arc::new(move |number: usize| {
        let wanted = number % 2;
        let at = if seen[wanted].load(Ordering::SeqCst) { wanted } else { 1 - wanted };
        urls[at].clone()
    });
    let load = Load::begin(&ann, doors);
    let (began, mut longest) = (Instant::now(), Duration::ZERO);
    for round in 0..drains() {
        let at = round % 2;
        gateways[at].process.signal();
        gateways[at].process.until(|answer| answer.starts_with("HTTP/1.1 503"));
        open[at].store(false, Ordering::SeqCst);
        longest = longest.max(gateways[at].replace());
        open[at].store(true, Ordering::SeqCst);
    }
    let (made, failed) = load.end().await;
    assert!(failed.is_empty(), "{} of {made} failed: {:?}", failed.len(), &failed[..failed.len().min(3)]);
    tell(&format!(
        "fault F20 seed=- cycles={} acknowledged={made} lost=0 seconds={:.1} replaced=gateways longest_drain_seconds={:.1}",
        drains(),
        began.elapsed().as_secs_f32(),
        longest.as_secs_f32()
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn services_are_replaced_one_by_one_without_a_failed_call() {
    if stores::in_folders() {
        return tell("SKIPPED: an embedded store has one process; run with WIRE_ENGINE=mongo");
    }
    let shared = fresh_folder();
    let mut environment = stores::settings(&shared);
    environment.push(pair("MOZAIKS_DRAIN_SECONDS", "1"));
    environment.push(pair("MOZAIKS_MASTER_KEY_FILE", shared.join("master.key").to_str().unwrap()));
    let start = || Replica::start(&["serve", "--services", "identity"], &environment).keeps("identity", "MOZAIKS_LISTEN__IDENTITY");
    let mut services = [start(), start()];
    let all: Vec<_> = services.iter().map(|service| address(&service.process.url("identity")).to_owned()).collect();
    let peer = format!("identity=static:{}", all.join(","));
    let gateway = Replica::start(&["serve", "--services", "gateway", "--peer", &peer], &[]);
    gateway.process.until_ready();
    let url = gateway.process.url("gateway");
    let anyone = Caller::new(&url, Wire::Grpc);
    let ask = json!({ "parent": "apps/platform", "email": "ann@example.com", "password": crate::node::PASSWORD });
    let ann = Person::of(anyone.clone(), &anyone.call("AuthService/Register", ask).await.unwrap());
    let load = Load::begin(&ann, Arc::new(move |_| url.clone()));
    let (began, mut longest) = (Instant::now(), Duration::ZERO);
    for round in 0..drains() {
        services[round % 2].process.signal();
        longest = longest.max(services[round % 2].replace());
    }
    let (made, failed) = load.end().await;
    assert!(failed.is_empty(), "{} of {made} failed: {:?}", failed.len(), &failed[..failed.len().min(3)]);
    tell(&format!(
        "fault F20 seed=- cycles={} acknowledged={made} lost=0 seconds={:.1} replaced=services longest_drain_seconds={:.1}",
        drains(),
        began.elapsed().as_secs_f32(),
        longest.as_secs_f32()
    ));
    std::fs::remove_dir_all(shared).unwrap();
}
