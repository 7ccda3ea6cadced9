//! Backups and what becomes of them: taken during writes, damaged, brought back, signed in to.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::crash::setting;
use crate::faults::tell;
use crate::node::{Node, PASSWORD, Person};
use crate::wires::{Answer, Caller, Wire};

/// Backups of F23.
const BACKUPS: u64 = 6;
/// People who write beside them, for load.
const CROWD: usize = 6;

pub fn mozaiks(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mozaiks")).args(arguments).arg("--data-dir").arg(folder).output().unwrap()
}

pub fn well(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn refused(output: &Output, reason: &str) -> String {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains(reason), "{output:?}");
    told
}

/// A folder of its own, gone with the value.
pub struct Folder(pub PathBuf);

static MADE: AtomicUsize = AtomicUsize::new(0);

impl Folder {
    pub fn new() -> Self {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("mozaiks-ops-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

pub async fn renamed(person: &Person, name: &str) -> Answer {
    let user = json!({ "profile": { "displayName": name } });
    let ask = json!({ "name": "apps/platform/me", "user": user, "updateMask": "profile.displayName" });
    person.on(Wire::Grpc).call("MeService/UpdateMe", ask).await
}

/// Makes the nth person of a row in the shop: one new document with its event.
pub async fn made(staff: &Caller, row: &str, number: usize) -> Answer {
    let user = json!({ "email": format!("{row}-{number}@example.com") });
    staff.call("UsersService/CreateUser", json!({ "parent": "apps/shop", "user": user })).await
}

/// The numbers of a row that are there, in order.
pub async fn numbers(staff: &Caller, row: &str) -> Vec<usize> {
    let (mut found, mut token) = (Vec::new(), json!(""));
    loop {
        let ask = json!({ "parent": "apps/shop", "pageSize": 1000, "pageToken": token });
        let page = staff.call("UsersService/ListUsers", ask).await.unwrap();
        for user in page["users"].as_array().into_iter().flatten() {
            let name = user["email"].as_str().unwrap().split('@').next().unwrap();
            found.extend(name.split_once('-').filter(|(of, _)| *of == row).map(|(_, number)| number.parse::<usize>().unwrap()));
        }
        token = page["nextPageToken"].clone();
        if token.as_str().unwrap_or_default().is_empty() {
            found.sort_unstable();
            return found;
        }
    }
}

pub async fn signed_in(node: &Node, email: &str) -> Person {
    let ask = json!({ "parent": "apps/platform", "identifier": { "email": email }, "check": { "password": PASSWORD } });
    Person::of(node.anyone(), &node.anyone().call("AuthService/SignIn", ask).await.unwrap())
}

/// Makes one person after the other until told to stop. When each was acknowledged.
async fn history(staff: Caller, stop: Arc<AtomicBool>, told: Arc<AtomicUsize>) -> Vec<Instant> {
    let mut acknowledged = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        made(&staff, "h", acknowledged.len() + 1).await.unwrap();
        acknowledged.push(Instant::now());
        told.store(acknowledged.len(), Ordering::SeqCst);
    }
    acknowledged
}

/// Changes one document over and over.
async fn crowd(mut person: Person, stop: Arc<AtomicBool>) -> usize {
    let mut written = 0;
    while !stop.load(Ordering::SeqCst) {
        person = person.refresh().await.unwrap();
        written += 1;
    }
    written
}

/// The person up to whom this node's history goes: what came later is absent, what came before is not.
async fn prefix(node: &Node) -> usize {
    let staff = signed_in(node, "owner@example.com").await.entering("shop").await;
    let found = numbers(&staff, "h").await;
    assert_eq!(found, (1..=found.len()).collect::<Vec<_>>(), "no state that ever was");
    found.len()
}

/// Brings a backup back into a folder of its own, with the master key of the node it came from.
fn restored(backup: &str, key: &Path) -> PathBuf {
    let folder = Folder::new();
    let path = folder.0.clone();
    well(&mozaiks(&["restore", "--from", backup, "--verify"], &path));
    fs::copy(key, path.join("master.key")).unwrap();
    std::mem::forget(folder);
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_during_writes_is_a_state_that_was() {
    let (cycles, began) = (setting("WIRE_BACKUPS", BACKUPS), Instant::now());
    let (node, folder) = (Node::start(), Folder::new());
    let (stop, told) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let staff = node.app(&node.person("owner@example.com").await, "shop").await;
    let mut others = Vec::new();
    for at in 0..CROWD {
        let person = node.person(&format!("c{at}@example.com")).await;
        others.push(tokio::spawn(crowd(person, stop.clone())));
    }
    let writes = Instant::now();
    let writer = tokio::spawn(history(staff, stop.clone(), told.clone()));
    let mut taken = Vec::new();
    for at in 0..cycles {
        let (backup, before) = (folder.path(&at.to_string()), told.load(Ordering::SeqCst));
        well(&tokio::task::block_in_place(|| node.shell(&["backup", "--to", &backup])));
        taken.push((backup, before, Instant::now()));
    }
    stop.store(true, Ordering::SeqCst);
    let acknowledged = writer.await.unwrap();
    let mut written = acknowledged.len();
    for other in others {
        written += other.await.unwrap();
    }
    let rate = written as f32 / writes.elapsed().as_secs_f32();
    let (mut worst_rpo, mut worst_rto) = (Duration::ZERO, Duration::ZERO);
    for (backup, before, ended) in taken {
        let begins = Instant::now();
        let copy = Node::on(restored(&backup, &node.folder.join("master.key")), &[]);
        let last = prefix(&copy).await;
        worst_rto = worst_rto.max(begins.elapsed());
        assert!(last >= before, "what was acknowledged before the backup began is in it: {before} but {last}");
        // A change may have been stored whose answer was still on its way.
        assert!(last <= acknowledged.len() + 1);
        let missing = acknowledged.get(last).filter(|at| **at < ended);
        worst_rpo = worst_rpo.max(missing.map_or(Duration::ZERO, |at| ended - *at));
    }
    tell(&format!(
        "fault F23 seed=- cycles={cycles} acknowledged={written} lost=0 seconds={:.1} writes_a_second={rate:.0} rpo_milliseconds={} rto_milliseconds={}",
        began.elapsed().as_secs_f32(),
        worst_rpo.as_millis(),
        worst_rto.as_millis()
    ));
}

#[tokio::test]
async fn a_restored_node_lets_people_in_and_no_old_session() {
    let (node, folder) = (Node::start(), Folder::new());
    let ann = node.person("ann@example.com").await;
    renamed(&ann, "Ann").await.unwrap();
    let backup = folder.path("monday");
    let told = well(&node.shell(&["backup", "--to", &backup]));
    assert!(told.contains("in 11 collections") || told.contains("collections"), "{told}");
    assert!(!Path::new(&backup).join("master.key").exists(), "the key is kept apart");
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o700);
    refused(&node.shell(&["backup", "--to", &backup]), "BACKUP_EXISTS");
    well(&mozaiks(&["backup", "verify", &backup], &folder.0));
    refused(&node.shell(&["restore", "--from", &backup]), "STORE_EXISTS");

    let key = node.folder.join("master.key");
    let copy = Node::on(restored(&backup, &key), &[]);
    assert_eq!(ann.at(&copy).get_me().await.unwrap_err().reason, "TOKEN_REVOKED");
    assert!(ann.at(&copy).refresh().await.is_err(), "a session of before the backup is over");
    let me = signed_in(&copy, "ann@example.com").await.get_me().await.unwrap();
    assert_eq!(me["user"]["profile"]["displayName"], "Ann");
    assert_eq!(ann.get_me().await.unwrap()["user"]["profile"]["displayName"], "Ann", "the old node goes on");

    let kept = folder.path("kept");
    fs::create_dir(&kept).unwrap();
    fs::copy(&key, Path::new(&kept).join("master.key")).unwrap();
    well(&mozaiks(&["restore", "--from", &backup, "--keep-sessions"], Path::new(&kept)));
    let copy = Node::on(kept.clone().into(), &[]);
    assert!(ann.at(&copy).get_me().await.is_ok(), "who asks for it keeps the sessions");

    let other = folder.path("other");
    fs::create_dir(&other).unwrap();
    fs::write(Path::new(&other).join("master.key"), "ab".repeat(32)).unwrap();
    fs::set_permissions(Path::new(&other).join("master.key"), fs::Permissions::from_mode(0o600)).unwrap();
    refused(&mozaiks(&["restore", "--from", &backup], Path::new(&other)), "MASTER_KEY_DIFFERS");
    assert!(!Path::new(&other).join("store.db").exists());
}

#[tokio::test]
async fn a_backup_of_a_node_that_does_not_run_is_the_same() {
    let (node, folder) = (Node::start(), Folder::new());
    node.person("ann@example.com").await;
    well(&node.shell(&["backup", "--to", &folder.path("running")]));
    let stands = Folder(node.folder.clone());
    node.terminated_keeping();
    for name in ["stopped", "again"] {
        well(&mozaiks(&["backup", "--to", &folder.path(name)], &stands.0));
    }
    let manifest = |name: &str| -> Value { serde_json::from_slice(&fs::read(folder.0.join(name).join("manifest.json")).unwrap()).unwrap() };
    assert_eq!(manifest("stopped")["content"], manifest("again")["content"]);
    let documents = |name: &str| -> u64 {
        manifest(name)["collections"].as_array().unwrap().iter().map(|kind| kind["documents"].as_u64().unwrap()).sum()
    };
    // Between the two the events were published, which is no change of a document's version but of its envelope.
    assert_eq!(documents("running"), documents("stopped"));
}

#[tokio::test]
async fn every_flipped_byte_of_a_backup_is_found() {
    let (flips, seed) = (setting("WIRE_FLIPS", 40), setting("WIRE_SEED", 1));
    let (node, folder) = (Node::start(), Folder::new());
    node.person("ann@example.com").await;
    let backup = folder.path("backup");
    well(&node.shell(&["backup", "--to", &backup]));
    let (mut state, mut found) = (seed.max(1), 0);
    for flip in 0..flips {
        let name = if flip < 10 {
            "manifest.json"
        } else if flip < 16 {
            "SHA256SUMS"
        } else {
            "store.db"
        };
        let file = Path::new(&backup).join(name);
        let sound = fs::read(&file).unwrap();
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(state >> 33).unwrap() % sound.len();
        let mut flipped = sound.clone();
        flipped[at] ^= 1 << (state % 8);
        fs::write(&file, flipped).unwrap();
        let target = folder.path("target");
        refused(&mozaiks(&["backup", "verify", &backup], &folder.0), "BACKUP_DAMAGED");
        refused(&mozaiks(&["restore", "--from", &backup], Path::new(&target)), "BACKUP_DAMAGED");
        assert!(!Path::new(&target).join("store.db").exists(), "nothing damaged is put anywhere");
        fs::write(&file, sound).unwrap();
        found += 1;
    }
    well(&mozaiks(&["backup", "verify", &backup], &folder.0));
    tell(&format!("flips of a backup seed={seed} flips={flips} found={found}"));
}
