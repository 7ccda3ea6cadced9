//! Moving everything into another store while people write, and what stands in its way.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel::Clock;
use serde_json::json;
use storage::{Across, Durability, Envelope, Sqlite, Store};

use crate::crash::setting;
use crate::faults::tell;
use crate::node::{Node, Person};
use crate::operations_backup::{Folder, made, mozaiks, numbers, refused, renamed, signed_in, well};
use crate::wires::Caller;

/// Who writes while everything moves.
const WRITERS: usize = 6;
/// How often each of them does, at most: slower than the slowest target takes copies.
const PACE: Duration = Duration::from_millis(50);
/// Lines of progress of a move beside a node at the least.
const LINES: usize = 3;

struct Written {
    person: Person,
    row: String,
    /// People made and acknowledged.
    acknowledged: usize,
}

/// Makes people and trades refresh tokens, a document that is changed over and over, until changes are refused.
async fn write(mut person: Person, staff: Caller, row: String) -> Written {
    let (mut acknowledged, mut beat) = (0, tokio::time::interval(PACE));
    loop {
        beat.tick().await;
        let refusal = match made(&staff, &row, acknowledged + 1).await {
            Err(failure) => failure,
            Ok(_) => {
                acknowledged += 1;
                match person.refresh().await {
                    Ok(next) => {
                        person = next;
                        continue;
                    }
                    Err(failure) => failure,
                }
            }
        };
        assert_eq!((refusal.reason.as_str(), refusal.retry_after_seconds), ("STORE_READ_ONLY", Some(5)), "{refusal:?}");
        return Written { person, row, acknowledged };
    }
}

async fn writers(node: &Node) -> Vec<tokio::task::JoinHandle<Written>> {
    let staff = node.app(&node.person("staff@example.com").await, "shop").await;
    let mut writing = Vec::new();
    for at in 0..WRITERS {
        let (row, person) = (format!("w{at}"), node.person(&format!("w{at}@example.com")).await);
        writing.push(tokio::spawn(write(person, staff.clone(), row)));
    }
    writing
}

/// A node that has so many documents besides what people make: copies of one.
async fn crowded(documents: u64) -> Node {
    let node = Node::start();
    let owner = node.person("owner@example.com").await;
    let ask = json!({ "app": { "displayName": "Shop" }, "requestId": "first" });
    owner.call("AppsService/CreateApp", ask).await.unwrap();
    let folder = node.folder.clone();
    node.terminated_keeping();
    copy_an_intent(&folder, documents).await;
    Node::on(folder, &[])
}

async fn copy_an_intent(folder: &Path, documents: u64) {
    let (engine, across) = (Sqlite::open(folder, Durability::Full).unwrap(), Across::granted());
    let store = Store::open(Arc::new(engine), [0; 32], Clock::system());
    identity::define(&store).await.unwrap();
    let kind = store.kinds().into_iter().find(|kind| kind.name == "intents").unwrap();
    let one = store.export(&across, kind, None, 1).await.unwrap().remove(0);
    let copies: Vec<_> =
        (1..=documents).map(|at| Envelope { id: format!("copy-{at}"), keys: vec![None; kind.keys.len()], ..one.clone() }).collect();
    store.import(&across, kind, copies).await.unwrap();
}

fn arguments<'a>(from: &'a str, to: &'a str) -> [&'a str; 6] {
    ["migrate", "store", "--from", from, "--to", to]
}

/// Compares with what everybody was told; how much was acknowledged and how much of it is not there.
async fn compare(written: &mut [Written], moved: &Node) -> (usize, usize) {
    let (mut lost, mut acknowledged) = (0, 0);
    let staff = signed_in(moved, "staff@example.com").await.entering("shop").await;
    for writer in written {
        let found = numbers(&staff, &writer.row).await;
        lost += (1..=writer.acknowledged).filter(|number| !found.contains(number)).count();
        assert!(found.len() <= writer.acknowledged, "what was refused is not there");
        acknowledged += writer.acknowledged;
        writer.person = writer.person.at(moved).refresh().await.expect("the last token that was acknowledged is good");
    }
    (acknowledged, lost)
}

/// Moves everything away from a node on which people write. What the command said, and who wrote what.
async fn moved_beside(node: &Node, to: [&str; 2]) -> (String, Vec<Written>) {
    let (writing, from) = (writers(node).await, format!("sqlite:{}", node.folder.display()));
    let told = tokio::task::block_in_place(|| {
        // However busy this machine is: what a pause may take is not tested here.
        mozaiks(&["migrate", "store", "--from", &from, to[0], to[1], "--max-pause-seconds", "300"], &node.folder)
    });
    let told = well(&told);
    let mut written = Vec::new();
    for writer in writing {
        written.push(writer.await.unwrap());
    }
    assert!(written.iter().all(|writer| writer.acknowledged > 0), "all wrote until the pause");
    assert!(written[0].person.get_me().await.is_ok(), "reads go on in the pause");
    (told, written)
}

/// The lines that say what is equal on both sides.
fn contents(told: &str) -> Vec<&str> {
    told.lines().filter(|line| line.starts_with("equal")).collect()
}

fn pause(told: &str) -> String {
    let pause = told.lines().find_map(|line| line.strip_prefix("pause      changes are refused since ")).unwrap();
    pause.replace(' ', "")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_moves_while_people_write_and_nothing_is_lost() {
    let (began, folder) = (Instant::now(), Folder::new());
    let documents = setting("WIRE_DOCUMENTS", 2_000);
    let node = crowded(documents).await;
    let target = folder.path("target");
    let (told, mut written) = moved_beside(&node, ["--to", &format!("sqlite:{target}")]).await;
    assert!(told.contains("equal      users") && told.contains("stop the node"), "{told}");
    fs::copy(node.folder.join("master.key"), Path::new(&target).join("master.key")).unwrap();
    drop(node);
    let (acknowledged, lost) = compare(&mut written, &Node::on(target.into(), &[])).await;
    tell(&format!(
        "fault F23-move seed=- cycles=1 acknowledged={acknowledged} lost={lost} seconds={:.1} documents={documents} pause={}",
        began.elapsed().as_secs_f32(),
        pause(&told)
    ));
    assert_eq!(lost, 0);
}

/// The MongoDB-protocol server of the tests, which ends with its standard input.
struct Cluster {
    script: Child,
    uri: String,
}

impl Cluster {
    /// None where it is not installed.
    fn start() -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut script = Command::new(root.join("scripts/test/secantus.sh"));
        let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut uri = String::new();
        BufReader::new(script.stdout.take().unwrap()).read_line(&mut uri).unwrap();
        let uri = uri.trim().to_owned();
        if uri.is_empty() {
            assert_eq!(script.wait().unwrap().code(), Some(3), "it is installed and does not start");
            return None;
        }
        Some(Self { script, uri })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_store_moves_to_a_cluster_and_back() {
    let Some(cluster) = Cluster::start() else {
        return tell("fault F23-cluster SKIPPED: SecantusDB is not installed; scripts/test/secantus.sh --install");
    };
    let (began, folder, node) = (Instant::now(), Folder::new(), Node::start());
    let address = folder.path("address");
    fs::write(&address, format!("{}core\n", cluster.uri)).unwrap();
    let from = format!("sqlite:{}", node.folder.display());
    refused(&mozaiks(&["migrate", "store", "--from", &from, "--to-file", &address], &folder.0), "SECRET_EXPOSED");
    fs::set_permissions(&address, fs::Permissions::from_mode(0o600)).unwrap();
    let (away, mut written) = moved_beside(&node, ["--to-file", &address]).await;
    assert!(away.contains("set store.engine to mongodb"), "{away}");
    let (there, back) = (folder.path("there"), folder.path("back"));
    for folder in [&there, &back] {
        fs::create_dir(folder).unwrap();
        fs::copy(node.folder.join("master.key"), Path::new(folder).join("master.key")).unwrap();
    }
    drop(node);
    let environment = [("MOZAIKS_STORE__ENGINE", "mongodb"), ("MOZAIKS_STORE__URI", &cluster.uri), ("MOZAIKS_STORE__DATABASE", "core")];
    let clustered = Node::on(there.clone().into(), &environment);
    let (acknowledged, lost) = compare(&mut written, &clustered).await;
    assert_eq!(lost, 0, "on the cluster");

    let to = format!("sqlite:{back}");
    let told = well(&mozaiks(
        &["migrate", "store", "--from-file", &address, "--to", &to, "--node", &there, "--max-pause-seconds", "300"],
        &folder.0,
    ));
    assert_eq!(contents(&told).len(), contents(&away).len());
    assert_eq!(renamed(&written[0].person, "Ann").await.unwrap_err().reason, "STORE_READ_ONLY");
    drop(clustered);
    well(&mozaiks(&["db", "check"], Path::new(&back)));
    let (_, lost) = compare(&mut written, &Node::on(back.into(), &[])).await;
    tell(&format!(
        "fault F23-cluster seed=- cycles=1 acknowledged={acknowledged} lost={lost} seconds={:.1} pause={}",
        began.elapsed().as_secs_f32(),
        pause(&away)
    ));
    assert_eq!(lost, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_broke_off_goes_on_and_the_node_is_never_left_refusing() {
    let (node, folder) = (Node::start(), Folder::new());
    let ann = node.person("ann@example.com").await;
    let (from, to) = (format!("sqlite:{}", node.folder.display()), format!("sqlite:{}", folder.path("target")));
    // Killed after so many lines of progress: passes, the rehearsal, the pause.
    for stages in 0..=LINES {
        let mut moving = Command::new(env!("CARGO_BIN_EXE_mozaiks"));
        moving.args(arguments(&from, &to)).args(["--max-pause-seconds", "2"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut moving = moving.spawn().unwrap();
        let lines = BufReader::new(moving.stderr.take().unwrap()).lines().take(stages).count();
        assert_eq!(lines, stages, "it has said less than it should before it was killed");
        moving.kill().unwrap();
        if moving.wait().unwrap().success() {
            // It was quicker than the kill: then the old store refuses changes until it is told otherwise.
            well(&node.shell(&["db", "read-only", "off"]));
        }
        // Where the kill came in the pause, until it ends by itself.
        let ended = Instant::now();
        while let Err(failure) = renamed(&ann, &format!("Ann {stages}")).await {
            assert_eq!(failure.reason, "STORE_READ_ONLY");
            assert!(ended.elapsed() < Duration::from_secs(10), "the pause does not end");
        }
        node.person(&format!("p{stages}@example.com")).await;
    }
    let told = tokio::task::block_in_place(|| well(&mozaiks(&arguments(&from, &to), &node.folder)));
    assert!(told.contains("equal      sessions"), "{told}");
    well(&node.shell(&["db", "read-only", "off"]));
    renamed(&ann, "Ann B.").await.expect("an operator may stay with the old store");
}

#[tokio::test]
async fn a_stopped_store_moves_there_and_back() {
    let (node, folder) = (Node::start(), Folder::new());
    node.person("ann@example.com").await;
    let stands = Folder(node.folder.clone());
    node.terminated_keeping();
    let (here, there) = (format!("sqlite:{}", stands.0.display()), format!("sqlite:{}", folder.path("there")));
    let away = well(&mozaiks(&arguments(&here, &there), &stands.0));
    assert!(!away.contains("pause"), "nobody writes: {away}");
    fs::remove_file(stands.0.join("store.db")).unwrap();
    let back = well(&mozaiks(&arguments(&there, &here), &stands.0));
    assert_eq!(contents(&away), contents(&back));
    well(&mozaiks(&["db", "check"], &stands.0));
}

#[tokio::test]
async fn a_target_that_is_in_use_or_another_installation_is_left_alone() {
    let (node, other, folder) = (Node::start(), Node::start(), Folder::new());
    node.person("ann@example.com").await;
    other.person("ben@example.com").await;
    let (from, to) = (format!("sqlite:{}", node.folder.display()), format!("sqlite:{}", other.folder.display()));
    refused(&mozaiks(&arguments(&from, &to), &node.folder), "STORE_LOCKED");
    let target = Folder(other.folder.clone());
    other.terminated_keeping();
    refused(&mozaiks(&arguments(&from, &to), &node.folder), "TARGET_TAKEN");
    assert!(well(&mozaiks(&["db", "check"], &target.0)).contains("users            1 documents"));
    refused(&mozaiks(&arguments(&from, &from), &node.folder), "STORE_ADDRESS_INVALID");
    let secret = "mongodb://root:hunter2@127.0.0.1/x";
    let told = refused(&mozaiks(&arguments(&from, secret), &node.folder), "STORE_ADDRESS_INVALID");
    assert!(!told.contains("hunter2"), "{told}");
    let nowhere = format!("sqlite:{}", folder.path("nowhere"));
    refused(&mozaiks(&arguments(&nowhere, &from), &node.folder), "DATA_DIR");
}
