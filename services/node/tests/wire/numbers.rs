//! What a node tells of itself in numbers: whether they move as it works, and that each is described.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::json;

use crate::crash::UNHEARD;
use crate::exposition::parsed;
use crate::node::{Layout, Node, PASSWORD, fresh_folder};
use crate::stores;
use crate::wires::{Caller, Wire};

const GUIDE: &str = include_str!("../../../../docs/guides/operations.md");

async fn text(admin: &str) -> String {
    let raw = Caller::new(admin, Wire::Rest).send(Method::GET, "/metrics", "", vec![]).await;
    String::from_utf8(raw.body.to_vec()).unwrap()
}

async fn samples(node: &Node) -> BTreeMap<String, f64> {
    parsed(&text(&node.admin).await)
}

#[tokio::test]
async fn hashes_and_commits_are_counted_and_timed() {
    // Without a relay nothing is committed but what is asked for here.
    let node = Node::laid_out(Layout::One, fresh_folder(), &[UNHEARD]);
    let before = samples(&node).await;
    node.person("ann@example.com").await;
    let sign_in = |password: &str| json!({ "parent": "apps/platform", "identifier": { "email": "ann@example.com" }, "check": { "password": password } });
    node.anyone().call("AuthService/SignIn", sign_in(PASSWORD)).await.unwrap();
    node.anyone().call("AuthService/SignIn", sign_in("another password 1")).await.unwrap_err();
    let after = samples(&node).await;
    let grown = |name: &str| after[name] - before[name];
    for name in ["hashing_seconds_count", "hashing_wait_seconds_count", "hashing_wait_seconds_bucket{le=\"+Inf\"}"] {
        assert_eq!(grown(name), 3.0, "{name}");
    }
    assert!(grown("hashing_seconds_sum") > grown("hashing_wait_seconds_sum"), "{after:?}");
    assert!(after["hashing_threads"] >= 1.0 && after["hashing_queue"] == 0.0 && after["hashing_refused_total"] == 0.0, "{after:?}");
    if stores::in_folders() {
        assert_eq!(after["storage_commit_seconds_count"], after["storage_commits_total"]);
        assert!(grown("storage_commit_seconds_count") >= 3.0 && grown("storage_commit_seconds_sum") > 0.0);
        assert!(grown("storage_commit_changes_sum") >= grown("storage_commits_total"));
        assert!(after["storage_wal_bytes"] + after["storage_wal_moves_total"] > 0.0, "what is in no log was moved out of it");
    }
}

/// The names in the first column of the guide's table of numbers.
fn described() -> BTreeSet<&'static str> {
    let (_, table) = GUIDE.split_once("\n## Numbers\n").unwrap();
    let rows = table.split("\n## ").next().unwrap().lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split(['`', '{']).next().unwrap()).collect()
}

#[tokio::test]
async fn every_number_is_described_and_none_else() {
    let (one, split) = (Node::laid_out(Layout::One, fresh_folder(), &[]), Node::laid_out(Layout::Split, fresh_folder(), &[]));
    let told = [text(&one.admin).await, text(&split.admin).await].concat();
    let told: BTreeSet<_> = told.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let of_broker = |name: &&&str| name.starts_with("broker_");
    let described = described();
    assert_eq!(described.iter().filter(of_broker).count(), 6, "told where there is a broker");
    let without = |names: &BTreeSet<&'static str>| {
        names.iter().filter(|name| !of_broker(name)).map(|name| (*name).to_owned()).collect::<BTreeSet<_>>()
    };
    let told: BTreeSet<_> = told.iter().filter(|name| !of_broker(name)).map(|name| (*name).to_owned()).collect();
    assert_eq!(told, without(&described));
}
