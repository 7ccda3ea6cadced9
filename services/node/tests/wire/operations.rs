//! What an operator does with the binary itself.

use std::process::{Command, Output};

use http::Method;

use crate::node::Node;
use crate::wires::Wire;

fn mozaiks(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mozaiks")).args(arguments).envs(environment.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_configuration_is_printed_with_its_origins_and_faults_are_named() {
    let printed = mozaiks(&["config", "print", "--listen", "127.0.0.1:7"], &[("MOZAIKS_DRAIN_SECONDS", "9")]);
    let lines = text(&printed.stdout);
    assert!(printed.status.success() && lines.contains("listen.gateway = \"127.0.0.1:7\"  # command line"), "{lines}");
    assert!(lines.contains("drain_seconds = 9  # MOZAIKS_DRAIN_SECONDS") && lines.contains("production = false  # default"), "{lines}");
    let refused = mozaiks(&["config", "check"], &[("MOZAIKS_LISTEN__GATEWEY", "127.0.0.1:7")]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("gatewey"), "{refused:?}");
    assert!(mozaiks(&["config", "check"], &[]).status.success());
}

#[tokio::test]
async fn health_says_whether_it_lives_and_takes_calls() {
    let node = Node::start();
    let admin = node.admin.trim_start_matches("http://");
    for arguments in [&["health"][..], &["health", "--ready"]] {
        assert!(node.shell(&[arguments, &["--admin-listen", admin]].concat()).status.success());
    }
    let nowhere = mozaiks(&["health", "--admin-listen", "127.0.0.1:1"], &[]);
    assert!(!nowhere.status.success() && text(&nowhere.stderr).contains("NOT_HEALTHY"));
}

#[test]
fn one_store_has_one_process_and_a_dead_ones_lock_is_taken_over() {
    let node = Node::start();
    let second = node.shell(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let told = text(&second.stderr);
    assert!(!second.status.success() && told.contains("STORE_LOCKED"), "{told}");
    drop(node.killed_and_restarted());
}

#[tokio::test]
async fn a_term_signal_ends_it_well() {
    let node = Node::start();
    node.person("ann@example.com").await;
    let (status, log) = node.terminated();
    assert!(status.success(), "{status:?}");
    assert!(log.contains("stopped"), "{log}");
}

#[tokio::test]
async fn without_a_master_key_production_does_not_start() {
    let folder = std::env::temp_dir().join(format!("mozaiks-production-{}", std::process::id()));
    let started = mozaiks(
        &["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir", folder.to_str().unwrap()],
        &[("MOZAIKS_PRODUCTION", "true")],
    );
    assert!(!started.status.success() && text(&started.stderr).contains("MASTER_KEY_MISSING"), "{started:?}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_lost_master_key_is_not_replaced_beside_its_store() {
    let node = Node::start();
    let folder = node.folder.clone();
    let (_, _) = node.terminated_keeping();
    std::fs::remove_file(folder.join("master.key")).unwrap();
    let started =
        mozaiks(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir", folder.to_str().unwrap()], &[]);
    assert!(!started.status.success() && text(&started.stderr).contains("MASTER_KEY_MISSING"), "{started:?}");
    assert!(!folder.join("master.key").exists());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_doctor_finds_what_would_hurt() {
    use std::os::unix::fs::PermissionsExt as _;
    let node = Node::start();
    let (gateway, admin) = (node.gateway.trim_start_matches("http://"), node.admin.trim_start_matches("http://"));
    let addresses = ["doctor", "--listen", gateway, "--admin-listen", admin];
    let well = node.shell(&addresses);
    assert!(well.status.success() && text(&well.stdout).contains("syncs a second"), "{well:?}");
    let key = node.folder.join("master.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let exposed = node.shell(&addresses);
    assert!(!exposed.status.success() && text(&exposed.stdout).contains("may be read by others"), "{exposed:?}");
    let elsewhere = std::env::temp_dir().join(format!("mozaiks-doctor-{}", std::process::id()));
    let taken = mozaiks(&["doctor", "--listen", gateway, "--admin-listen", "127.0.0.1:0", "--data-dir", elsewhere.to_str().unwrap()], &[]);
    assert!(!taken.status.success() && text(&taken.stdout).contains("cannot be used"), "{taken:?}");
    assert!(!elsewhere.exists(), "it changes nothing");
}

#[test]
fn a_foreign_variable_may_hold_anything() {
    use std::os::unix::ffi::OsStrExt as _;
    let broken = std::ffi::OsStr::from_bytes(b"\xff");
    let checked = Command::new(env!("CARGO_BIN_EXE_mozaiks")).args(["config", "check"]).env("FOREIGN", broken).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

#[tokio::test]
async fn the_public_door_answers_pages_and_probes_without_details() {
    let node = Node::start();
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/metrics", 404), ("/nothing.txt", 404)] {
        let raw = node.anyone().on(Wire::Rest).send(Method::GET, path, "", vec![]).await;
        assert_eq!(raw.http, status, "{path}");
    }
    let page = node.anyone().with("accept", "text/html").send(Method::GET, "/apps/shop", "", vec![]).await;
    assert!([200, 503].contains(&page.http), "the shell, or how to build it");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
}
