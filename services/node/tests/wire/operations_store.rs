//! What the doctor and the checks of the store find, each finding provoked, and the way out of parked events.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output};

use rusqlite::Connection;
use serde_json::Value;

use crate::crash::UNHEARD;
use crate::node::Node;
use crate::operations_backup::{Folder, mozaiks, refused, well};

/// As if the events of people could not be published.
const PARKED: &str = "UPDATE users SET obn = 253402300799000000, tries = 8";

pub fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A store that nobody has open any more, with one person in it.
async fn stopped() -> Folder {
    stopped_with(&[]).await
}

async fn stopped_with(environment: &[(&str, &str)]) -> Folder {
    let node = Node::start_with(environment);
    node.person("ann@example.com").await;
    let folder = Folder(node.folder.clone());
    node.terminated_keeping();
    folder
}

fn sql(folder: &Path, text: &str) {
    let changed = Connection::open(folder.join("store.db")).unwrap().execute_batch(text);
    changed.unwrap();
}

pub fn doctor(folder: &Path, environment: &[(&str, &str)]) -> Output {
    let arguments = ["doctor", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"];
    Command::new(env!("CARGO_BIN_EXE_mozaiks")).args(arguments).arg(folder).envs(environment.iter().copied()).output().unwrap()
}

#[tokio::test]
async fn a_changed_byte_of_a_document_is_found_and_named() {
    let folder = stopped().await;
    let told = well(&mozaiks(&["db", "check"], &folder.0));
    assert!(told.contains("users") && told.contains("1 documents"), "{told}");
    let file = folder.0.join("store.db");
    let mut bytes = fs::read(&file).unwrap();
    let word = b"ann@example.com\",\"norm\"";
    // Pages keep what was there before, where nobody reads it: each occurrence is changed.
    let places: Vec<usize> = (0..bytes.len() - word.len()).filter(|at| bytes[*at..].starts_with(word)).collect();
    assert!(!places.is_empty(), "the body stands in the file");
    places.iter().for_each(|at| bytes[*at] ^= 1);
    fs::write(&file, bytes).unwrap();
    let checked = mozaiks(&["db", "check"], &folder.0);
    refused(&checked, "STORE_UNSOUND");
    assert!(out(&checked).contains("FAULT   users platform/usr_") && out(&checked).contains("checksum"), "{}", out(&checked));
    assert!(!out(&checked).contains('@'), "a finding shows no content");
    refused(&mozaiks(&["backup", "--to", &folder.path("copy")], &folder.0), "RECORD_CORRUPT");
    assert!(!folder.0.join("copy").exists() && !folder.0.join("copy.unfinished").exists());
}

#[tokio::test]
async fn wrong_keys_and_broken_outboxes_are_found() {
    let folder = stopped().await;
    sql(&folder.0, "UPDATE users SET k_email = 'else@example.com'");
    let keys = mozaiks(&["db", "check"], &folder.0);
    assert!(out(&keys).contains("has keys other than those of its body"), "{keys:?}");
    sql(&folder.0, "UPDATE users SET k_email = 'ann@example.com', obn = NULL, ob = '[]'");
    well(&mozaiks(&["db", "check"], &folder.0));
    sql(&folder.0, "UPDATE users SET obn = 1");
    assert!(out(&mozaiks(&["db", "check"], &folder.0)).contains("the outbox"), "{keys:?}");
    sql(&folder.0, "UPDATE users SET obn = NULL, n = '[1'");
    let numbers = out(&mozaiks(&["db", "check"], &folder.0));
    assert!(numbers.contains("does not agree with its checksum"), "{numbers}");
}

#[tokio::test]
async fn a_missing_index_is_found_and_mended() {
    let folder = stopped().await;
    sql(&folder.0, "DROP INDEX users_created; CREATE INDEX strange ON users(v)");
    let checked = mozaiks(&["db", "check"], &folder.0);
    refused(&checked, "STORE_UNSOUND");
    assert!(out(&checked).contains("users: index created is missing"), "{}", out(&checked));
    assert!(out(&checked).contains("users: index strange is not declared"), "{}", out(&checked));
    let found = doctor(&folder.0, &[]);
    assert!(!found.status.success() && out(&found).contains("index created is missing"), "{found:?}");
    sql(&folder.0, "DROP INDEX strange");
    let upgraded = well(&mozaiks(&["db", "upgrade"], &folder.0));
    assert!(upgraded.contains("users            at version 1, unchanged"), "{upgraded}");
    well(&mozaiks(&["db", "check"], &folder.0));
    assert!(out(&doctor(&folder.0, &[])).contains("are as declared"));
}

#[tokio::test]
async fn an_older_and_a_newer_store_are_told_apart() {
    let folder = stopped().await;
    sql(&folder.0, "UPDATE _collections SET version = 7 WHERE name = 'teams'");
    let newer = well(&mozaiks(&["db", "check"], &folder.0));
    assert!(newer.contains("warning teams has version 7, this program only 1"), "{newer}");
    assert!(out(&doctor(&folder.0, &[])).contains("teams has version 7"));
    let left = well(&mozaiks(&["db", "upgrade"], &folder.0));
    assert!(left.contains("left at version 7: a newer program wrote it"), "{left}");
    well(&mozaiks(&["backup", "--to", &folder.path("copy")], &folder.0));
    sql(&folder.0, "UPDATE _collections SET version = 0 WHERE name = 'teams'");
    let older = well(&mozaiks(&["db", "check"], &folder.0));
    assert!(older.contains("teams has version 0, this program 1"), "{older}");
    let brought = well(&mozaiks(&["db", "upgrade"], &folder.0));
    assert!(brought.contains("brought from version 0 to 1"), "{brought}");
    sql(&folder.0, "PRAGMA user_version = 99");
    for command in [&["db", "check"][..], &["db", "upgrade"], &["backup", "--to", &folder.path("never")]] {
        refused(&mozaiks(command, &folder.0), "STORE_NEWER");
    }
}

#[tokio::test]
async fn a_check_reads_beside_a_running_node_and_an_upgrade_does_not() {
    let node = Node::start();
    node.person("ann@example.com").await;
    assert!(well(&node.shell(&["db", "check"])).contains("ok      users"));
    refused(&node.shell(&["db", "upgrade"]), "STORE_LOCKED");
}

#[tokio::test]
async fn changes_are_refused_while_an_operator_says_so() {
    let node = Node::start();
    let ann = node.person("ann@example.com").await;
    well(&node.shell(&["db", "read-only", "on"]));
    let refusal = crate::operations_backup::renamed(&ann, "Ann").await.unwrap_err();
    assert_eq!(refusal.reason, "STORE_READ_ONLY");
    assert!(ann.get_me().await.is_ok(), "reads go on");
    well(&node.shell(&["db", "read-only", "off"]));
    crate::operations_backup::renamed(&ann, "Ann").await.unwrap();
}

#[tokio::test]
async fn a_restart_takes_no_changes_that_an_operator_refused() {
    let node = Node::start();
    well(&node.shell(&["db", "read-only", "on"]));
    let node = node.killed_and_restarted();
    node.until_ready();
    refused(&node.shell(&["operator", "invite"]), "STORE_READ_ONLY");
    well(&node.shell(&["db", "read-only", "off"]));
    well(&node.shell(&["operator", "invite"]));
    let node = node.killed_and_restarted();
    well(&node.shell(&["operator", "invite"]));
}

#[tokio::test]
async fn the_doctor_finds_each_fault_of_a_folder() {
    let folder = stopped().await;
    let mode = |name: &str, mode| fs::set_permissions(folder.0.join(name), fs::Permissions::from_mode(mode)).unwrap();
    mode("store.db", 0o640);
    let open = doctor(&folder.0, &[]);
    assert!(!open.status.success() && out(&open).contains("store.db is open to others"), "{open:?}");
    mode("store.db", 0o600);

    let clock = folder.path("clock");
    fs::write(&clock, "3600").unwrap();
    let ahead = out(&doctor(&folder.0, &[("MOZAIKS_TEST_CLOCK_FILE", &clock)]));
    assert!(ahead.contains("warning clock") && ahead.contains("3600 s apart"), "{ahead}");
    fs::write(&clock, "-3600").unwrap();
    let back = out(&doctor(&folder.0, &[("MOZAIKS_TEST_CLOCK_FILE", &clock)]));
    assert!(back.contains("warning time") && back.contains("the clock was set back"), "{back}");

    let few = format!(
        "ulimit -n 256; exec {} doctor --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --data-dir {}",
        env!("CARGO_BIN_EXE_mozaiks"),
        folder.0.display()
    );
    let few = Command::new("sh").args(["-c", &few]).output().unwrap();
    assert!(out(&few).contains("warning open files") && out(&few).contains("at most 256"), "{few:?}");

    fs::rename(folder.0.join("master.key"), folder.0.join("elsewhere")).unwrap();
    let keyless = doctor(&folder.0, &[]);
    assert!(!keyless.status.success() && out(&keyless).contains("is gone, and the store was sealed with it"), "{keyless:?}");
    fs::rename(folder.0.join("elsewhere"), folder.0.join("master.key")).unwrap();

    fs::write(folder.0.join("store.db"), "no database").unwrap();
    let broken = doctor(&folder.0, &[]);
    assert!(!broken.status.success() && out(&broken).contains("FAULT   store"), "{broken:?}");
}

#[tokio::test]
async fn the_doctor_finds_servers_that_do_not_answer_and_secrets_that_others_read() {
    let folder = Folder::new();
    let file = folder.path("uri");
    fs::write(&file, "mongodb://ann:hidden@127.0.0.1:1/").unwrap();
    let engine = ("MOZAIKS_STORE__ENGINE", "mongodb");
    let exposed = doctor(&folder.0, &[engine, ("MOZAIKS_STORE__URI_FILE", &file)]);
    assert!(!exposed.status.success() && out(&exposed).contains("FAULT   secrets"), "{exposed:?}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let silent = doctor(&folder.0, &[engine, ("MOZAIKS_STORE__URI_FILE", &file)]);
    assert!(!silent.status.success() && out(&silent).contains("FAULT   store"), "{silent:?}");
    assert!(!out(&silent).contains("hidden"));
    let mut backup = Command::new(env!("CARGO_BIN_EXE_mozaiks"));
    backup.args(["backup", "--to", &folder.path("copy")]);
    refused(&backup.env(engine.0, engine.1).env("MOZAIKS_STORE__URI_FILE", &file).output().unwrap(), "ENGINE_UNSUITED");
}

#[tokio::test]
async fn parked_events_are_listed_replayed_and_dropped() {
    let folder = stopped_with(&[UNHEARD]).await;
    sql(&folder.0, PARKED);
    let listed = well(&mozaiks(&["events", "list"], &folder.0));
    let line = listed.lines().find(|line| line.starts_with("parked")).expect("one is parked");
    assert!(line.contains("1 events after 8 tries, the first identity.user.created at 20"), "{line}");
    let document = line.split_whitespace().nth(2).unwrap();
    assert!(out(&doctor(&folder.0, &[])).contains("the events of 1 documents are parked"));
    refused(&mozaiks(&["events", "drop", "users", "platform/usr_none"], &folder.0), "EVENTS_ABSENT");
    refused(&mozaiks(&["events", "drop", "nothings", document], &folder.0), "AGGREGATE_INVALID");
    well(&mozaiks(&["events", "replay", "--all"], &folder.0));
    assert!(!well(&mozaiks(&["events", "list"], &folder.0)).contains("parked  "), "it is tried again");

    sql(&folder.0, PARKED);
    let node = Node::on(folder.0.clone(), &[]);
    let dropped = well(&node.shell(&["events", "drop", "users", document]));
    assert_eq!(dropped, "1 events are dropped\n");
    refused(&node.shell(&["events", "replay", "users", document]), "EVENTS_ABSENT");
}

/// One question over the control socket, as bytes.
fn asked(node: &Node, line: &[u8]) -> String {
    let mut stream = UnixStream::connect(node.folder.join("control.sock")).unwrap();
    // A question that is too long is answered before it ends.
    let _ = stream.write_all(line);
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap_or_default();
    answer
}

#[tokio::test]
async fn the_control_socket_is_closed_to_others_and_takes_no_nonsense() {
    let node = Node::start();
    let mode = fs::metadata(node.folder.join("control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(asked(&node, b"{\"ask\":\"ping\"}\n"), "\"done\"\n");
    for nonsense in [&b"operator invite\n"[..], b"{\"ask\":\"shut_down\"}\n", b"{\"ask\":\"ping\",\"more\":1}\n", b"\xff\xfe\n"] {
        let answer = asked(&node, nonsense);
        assert!(answer.is_empty() || serde_json::from_str::<Value>(&answer).unwrap()["refused"].is_string(), "{answer}");
    }
    let long = [b"{\"ask\":\"".as_slice(), &b"x".repeat(1 << 20), b"\"}\n"].concat();
    assert!(!asked(&node, &long).contains("done"));
    assert_eq!(asked(&node, b"{\"ask\":\"ping\"}\n"), "\"done\"\n", "it goes on");
}
