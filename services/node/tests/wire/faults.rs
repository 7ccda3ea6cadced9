//! Faults from outside: a full disk, a second process, claims of size, a clock set back, files of the operator that are wrong.

use std::convert::Infallible;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, Output};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, SizeHint};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::crash::setting;
use crate::node::{Node, PASSWORD, Person};
use crate::wires::{Answer, Wire, content_type, method_of, path_of};

/// What a request of F10 claims to be long.
const CLAIMED_BYTES: u32 = 100 << 20;
/// What a full disk has left at first, so that it fills in the middle of writes.
const ROOM_BYTES: u64 = 1 << 20;
/// Growth that 200 such claims may cause.
const GROWTH_KIB: u64 = 32 << 10;

/// A line for whoever runs the suite with `--nocapture`, as `scripts/faults.sh` does.
#[allow(clippy::print_stdout)] // what a test has measured
pub fn tell(line: &str) {
    println!("{line}");
}

fn mozaiks(arguments: &[&str], folder: &Path) -> Output {
    let doors = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    Command::new(env!("CARGO_BIN_EXE_mozaiks")).args(arguments).args(doors).arg("--data-dir").arg(folder).output().unwrap()
}

fn refused(output: &Output, reason: &str) -> String {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains(reason), "{output:?}");
    told
}

async fn rename(person: &Person, name: &str, wire: Wire) -> Answer {
    let ask = json!({ "name": "apps/platform/me", "user": { "profile": { "displayName": name } }, "updateMask": "profile.displayName" });
    person.on(wire).call("MeService/UpdateMe", ask).await
}

async fn display_name(person: &Person) -> Value {
    person.get_me().await.unwrap()["user"]["profile"]["displayName"].clone()
}

#[tokio::test]
async fn a_second_process_is_refused_and_a_dead_ones_lock_is_taken_over() {
    let (cycles, began) = (setting("WIRE_CYCLES", 5).min(20), Instant::now());
    let mut node = Node::start();
    let ann = node.person("ann@example.com").await;
    for cycle in 0..cycles {
        refused(&mozaiks(&["serve"], &node.folder), "STORE_LOCKED");
        rename(&ann.at(&node), &cycle.to_string(), Wire::Grpc).await.expect("the first process goes on");
        node = node.killed_and_restarted();
        assert_eq!(display_name(&ann.at(&node)).await, json!(cycle.to_string()));
    }
    tell(&format!("fault F27 seed=- cycles={cycles} acknowledged={cycles} lost=0 seconds={:.1}", began.elapsed().as_secs_f32()));
}

/// A file system of its own, 16 MiB large, until dropped.
struct Disk(PathBuf);

impl Disk {
    /// None where the test may not mount.
    fn mounted() -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("mozaiks-disk-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs"]).arg(&folder).output();
        if mount.is_ok_and(|output| output.status.success()) { Some(Self(folder)) } else { None }
    }

    /// Takes whatever is free, but for so many bytes.
    fn fill_but(&self, left: u64) {
        let mut ballast = fs::OpenOptions::new().create(true).append(true).open(self.0.join("ballast")).unwrap();
        for bytes in [64 << 10, 1 << 10] {
            while ballast.write_all(&vec![1; bytes]).is_ok() {}
        }
        let size = ballast.metadata().unwrap().len();
        ballast.set_len(size - left).unwrap();
    }

    fn empty(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Trades refresh tokens until there is no room: a change that nobody hears of, so only the disk can refuse it. How many were made.
async fn until_full(ann: &mut Person) -> usize {
    for made in 0..20_000 {
        match ann.refresh().await {
            Ok(next) => *ann = next,
            Err(failure) => {
                assert_eq!((failure.code, failure.reason.as_str()), (8, "DISK_FULL"), "{failure:?}");
                return made;
            }
        }
    }
    panic!("the disk never fills")
}

/// Makes the write, on a disk that is full: one that succeeds all the same has found room in the log, which is filled again.
async fn until_refused(ann: &mut Person, wire: Wire, kind: usize) {
    for _ in 0..20 {
        let name = getrandom::u64().unwrap().to_string();
        let Err(failure) = write(ann, wire, kind, &name).await else {
            until_full(ann).await;
            continue;
        };
        assert_eq!((failure.code, failure.reason.as_str()), (8, "DISK_FULL"), "{wire:?} {kind}");
        assert_ne!(display_name(ann).await, json!(name), "what was refused was not done");
        return;
    }
    panic!("a write of kind {kind} is never refused")
}

const KINDS_OF_WRITES: usize = 5;

/// Each makes something new, so none can be answered without a write.
async fn write(ann: &Person, wire: Wire, kind: usize, name: &str) -> Answer {
    let anyone = ann.on(wire).without_bearer();
    match kind {
        0 => ann.on(wire).call("AppsService/CreateApp", json!({ "app": { "displayName": "Any" } })).await,
        1 => {
            let ask = json!({ "parent": "apps/platform", "email": format!("{name}@example.com"), "password": PASSWORD });
            anyone.call("AuthService/Register", ask).await
        }
        2 => {
            let ask = json!({ "parent": "apps/platform", "identifier": { "email": "ann@example.com" }, "check": { "password": PASSWORD } });
            anyone.call("AuthService/SignIn", ask).await
        }
        3 => anyone.call("AuthService/RefreshSession", json!({ "parent": "apps/platform", "refreshToken": ann.refresh_token })).await,
        _ => rename(ann, name, wire).await,
    }
}

async fn reads(ann: &Person, wire: Wire) -> Vec<Answer> {
    let caller = ann.on(wire);
    vec![
        caller.call("MeService/GetMe", json!({ "name": "apps/platform/me" })).await,
        caller.call("AppsService/ListApps", json!({})).await,
        caller.call("MeService/ListMySessions", json!({ "parent": "apps/platform/me" })).await,
        caller.call("TokensService/EnterApp", json!({ "parent": "apps/platform", "target": "apps/shop" })).await,
    ]
}

#[tokio::test]
async fn a_full_disk_refuses_writes_answers_reads_and_loses_nothing() {
    let Some(disk) = Disk::mounted() else {
        tell("fault F5 SKIPPED: mounting a file system needs root");
        return;
    };
    let (cycles, began) = (setting("WIRE_CYCLES", 3).min(10), Instant::now());
    // The log goes elsewhere, as an operator's does.
    let log = std::env::temp_dir().join(format!("mozaiks-disk-{}.log", std::process::id()));
    std::os::unix::fs::symlink(&log, disk.0.join("log")).unwrap();
    let mut node = Node::on(disk.0.clone(), &[]);
    let mut ann = node.person("ann@example.com").await;
    node.app(&ann, "shop").await;
    let (mut acknowledged, mut full) = (0_usize, 0_usize);
    for _ in 0..cycles {
        disk.fill_but(ROOM_BYTES);
        acknowledged += until_full(&mut ann).await;
        // What the last try has freed is taken too.
        disk.fill_but(0);
        for wire in Wire::ALL {
            for kind in 0..KINDS_OF_WRITES {
                until_refused(&mut ann, wire, kind).await;
                full += 1;
            }
            for answer in reads(&ann, wire).await {
                answer.unwrap_or_else(|failure| panic!("a read fails: {wire:?} {failure:?}"));
            }
        }
        disk.empty();
        let freed = Instant::now();
        while rename(&ann, "again", Wire::Grpc).await.is_err() {
            assert!(freed.elapsed() < Duration::from_secs(5), "no write succeeds although there is room again");
        }
        acknowledged += 1;
        ann = ann.refresh().await.unwrap();
        node = node.killed_and_restarted();
        ann = ann.at(&node);
        assert_eq!(display_name(&ann).await, json!("again"));
    }
    tell(&format!(
        "fault F5 seed=- cycles={cycles} acknowledged={acknowledged} lost=0 seconds={:.1} refused={full}",
        began.elapsed().as_secs_f32()
    ));
    drop(node);
    fs::remove_file(log).unwrap();
}

/// A body whose first bytes claim much. What follows is as long as claimed, or nothing, without an end.
struct Claim {
    first: Option<Bytes>,
    follows: bool,
    left: u32,
    /// The claim is that of `content-length`.
    by_header: bool,
}

impl Body for Claim {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if !self.follows {
            return Poll::Pending;
        }
        let bytes = self.left.min(64 << 10);
        self.left -= bytes;
        Poll::Ready((bytes > 0).then(|| Ok(Frame::data(Bytes::from_static(&[b' '; 64 << 10]).slice(..bytes as usize)))))
    }

    fn size_hint(&self) -> SizeHint {
        if self.by_header { SizeHint::with_exact(u64::from(CLAIMED_BYTES)) } else { SizeHint::default() }
    }
}

/// How a claim ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// Refused as too large, in its own wire.
    Refused,
    /// HTTP/1.1 alone: the server closed while the client was still sending, so the answer was not read.
    Cut,
    Otherwise(String),
}

async fn claim(client: Client<HttpConnector, Claim>, gateway: String, wire: Wire, follows: bool) -> Ended {
    let rest = wire == Wire::Rest;
    let path = if rest { "/api/core/identity/apps/platform/auth:register".to_owned() } else { path_of(&method_of("AuthService/Register")) };
    let first = if rest { b"{".to_vec() } else { [&[0][..], &CLAIMED_BYTES.to_be_bytes()].concat() };
    let left = CLAIMED_BYTES - if rest { 1 } else { 0 };
    let body = Claim { first: Some(first.into()), follows, left, by_header: rest };
    let request = Request::builder().method(Method::POST).uri(format!("{gateway}{path}")).header("content-type", content_type(wire));
    let request = if wire == Wire::Grpc { request.header("te", "trailers") } else { request };
    let answer = async {
        let (head, body) = client.request(request.body(body).unwrap()).await.map_err(|cause| format!("{cause:?}"))?.into_parts();
        Ok::<_, String>((head, body.collect().await.map_err(|cause| format!("{cause:?}"))?))
    };
    let (head, collected) = match answer.await {
        Ok(answer) => answer,
        Err(cause) if follows && (cause.contains("BrokenPipe") || cause.contains("ConnectionReset")) => return Ended::Cut,
        Err(cause) => return Ended::Otherwise(cause),
    };
    let mut told = format!("{:?} {:?} ", head.headers, collected.trailers());
    told += &String::from_utf8_lossy(&collected.to_bytes());
    let exhausted = if rest {
        head.status == 413 && told.contains("\"code\":8")
    } else {
        ["grpc-status\": \"8\"", "grpc-status:8"].iter().any(|status| told.contains(status))
    };
    if exhausted { Ended::Refused } else { Ended::Otherwise(format!("{} {told}", head.status)) }
}

/// `VmRSS` or `VmHWM`, its peak.
fn memory_kib(pid: u32, which: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(which)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_of_100_mib_is_refused_before_it_is_held() {
    let began = Instant::now();
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    let (mut refused, mut cut, before) = (0, 0, memory_kib(node.pid(), "VmRSS"));
    // Forgets the peak so far.
    fs::write(format!("/proc/{}/clear_refs", node.pid()), "5").unwrap();
    // 4 connections of 50 calls over HTTP/2; over HTTP/1.1 one connection a call, of which an address has 200.
    for follows in [false, true] {
        for wires in [vec![Wire::Grpc; 200], [vec![Wire::GrpcWeb; 90], vec![Wire::Rest; 90]].concat()] {
            let h2: Vec<Client<HttpConnector, Claim>> =
                (0..4).map(|_| Client::builder(TokioExecutor::new()).http2_only(true).build_http()).collect();
            let h1 = Client::builder(TokioExecutor::new()).build_http();
            let calls: Vec<_> = wires
                .into_iter()
                .enumerate()
                .map(|(n, wire)| (wire, if wire == Wire::Grpc { h2[n % 4].clone() } else { h1.clone() }))
                .map(|(wire, client)| (wire, tokio::spawn(claim(client, node.gateway.clone(), wire, follows))))
                .collect();
            for (wire, call) in calls {
                match call.await.unwrap() {
                    Ended::Refused => refused += 1,
                    Ended::Cut if wire != Wire::Grpc => cut += 1,
                    ended => panic!("{wire:?}, the rest follows: {follows}: {ended:?}"),
                }
            }
        }
    }
    assert!(ann.get_me().await.is_ok(), "others are served");
    let grown = memory_kib(node.pid(), "VmHWM").saturating_sub(before);
    tell(&format!(
        "fault F10 seed=- cycles=4 acknowledged=- lost=- seconds={:.1} refused={refused} cut={cut} grown_kib={grown}",
        began.elapsed().as_secs_f32()
    ));
    assert!(grown < GROWTH_KIB, "the node grew by {grown} KiB");
    assert!(refused >= 2 * 200 + 180, "{refused} refused, {cut} cut");
}

#[tokio::test]
async fn an_earlier_refresh_token_is_believed_for_two_minutes_and_an_older_one_never() {
    let node = Node::start();
    for (seconds, previous) in [(1, ""), (60, ""), (600, "REFRESH_REUSED")] {
        for (generations, expected) in [(1, previous), (2, "REFRESH_REUSED")] {
            let first = node.person(&format!("{seconds}-{generations}@example.com")).await;
            let mut newest = first.clone();
            for _ in 0..generations {
                newest = newest.refresh().await.unwrap();
            }
            node.advance_seconds(seconds);
            let again = first.refresh().await;
            let reason = again.as_ref().err().map_or("", |failure| failure.reason.as_str());
            assert_eq!(reason, expected, "{generations} generations back after {seconds} s");
            match again {
                Ok(again) => assert_eq!(again.refresh_token, newest.refresh_token, "the lost answer is given again"),
                Err(_) => assert_eq!(newest.refresh().await.err().unwrap().reason, "SESSION_ENDED", "whoever holds the newest is out too"),
            }
        }
    }
}

#[tokio::test]
async fn a_clock_set_back_an_hour_breaks_nothing() {
    let node = Node::start();
    let founder = node.person("ann@example.com").await;
    node.app(&founder, "shop").await;
    let sign_in = json!({ "parent": "apps/platform", "identifier": { "email": "ann@example.com" }, "check": { "password": PASSWORD } });
    let ann = Person::of(node.anyone(), &node.anyone().call("AuthService/SignIn", sign_in.clone()).await.unwrap());
    node.advance_seconds(-3600);
    // Issued in what is now the future: refused, and never as a defect of ours.
    let told = ann.get_me().await.unwrap_err();
    assert_eq!((told.code, told.reason.as_str()), (16, "CREDENTIAL_MALFORMED"));
    let ann = ann.refresh().await.unwrap();
    for wire in Wire::ALL {
        let ann = Person::of(ann.on(wire), &json!({ "session": session_of(&ann, wire) }));
        assert!(rename(&ann, "Ann", wire).await.is_ok(), "{wire:?}");
        for answer in reads(&ann, wire).await {
            answer.unwrap_or_else(|failure| panic!("{wire:?} {failure:?}"));
        }
    }
    let ben = node.person("ben@example.com").await;
    node.app(&ben, "bens").await;
    node.advance_seconds(20 * 60);
    let ann = ann.refresh().await.unwrap();
    node.advance_seconds(40 * 60);
    assert_eq!(ann.refresh().await.err().unwrap().reason, "SESSION_ENDED", "idle for 40 minutes by the clock there is now");
    assert!(node.anyone().call("AuthService/SignIn", sign_in).await.is_ok());
}

fn session_of(person: &Person, wire: Wire) -> Value {
    json!({ "user": person.name, "accessToken": person.on(wire).token(), "refreshToken": person.refresh_token, "session": person.session })
}

#[tokio::test]
async fn a_master_key_that_others_may_read_is_refused_untold() {
    let node = Node::start();
    node.person("ann@example.com").await;
    let folder = node.folder.clone();
    node.terminated_keeping();
    let key = folder.join("master.key");
    let secret = fs::read_to_string(&key).unwrap();
    for mode in [0o644, 0o640, 0o604] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let told = refused(&mozaiks(&["serve"], &folder), "MASTER_KEY_EXPOSED");
        assert!(!told.contains(secret.trim()));
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    drop(Node::on(folder, &[]));
}

#[test]
fn an_unknown_key_in_the_configuration_file_is_named() {
    let folder = std::env::temp_dir().join(format!("mozaiks-config-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("mozaiks.toml");
    for (text, key) in [
        ("lisen = 1", "lisen"),
        ("[listen]\ngatewey = \"127.0.0.1:0\"", "gatewey"),
        ("[store]\ndurabilty = \"full\"", "durabilty"),
        ("[identity]\nself_servce = true", "self_servce"),
    ] {
        fs::write(&file, text).unwrap();
        for command in [&["config", "check"][..], &["serve"]] {
            let told = refused(&mozaiks(&[command, &["--config", file.to_str().unwrap()]].concat(), &folder), "CONFIG_INVALID");
            assert!(told.contains(key), "{told}");
        }
    }
    assert!(!folder.join("store.lock").exists(), "nothing was opened");
    fs::remove_dir_all(&folder).unwrap();
}
