//! What the doctor finds about the servers that a node stands on, each finding provoked.

use crate::faults::tell;
use crate::mongo::{Server, Topology};
use crate::node::{Layout, Node, fresh_folder};
use crate::operations_backup::Folder;
use crate::operations_store::{doctor, out};
use crate::stores;

/// What it prints of a node whose documents are on this server.
fn store(folder: &Folder, uri: &str, more: &[(&str, &str)]) -> (bool, String) {
    let told = [("MOZAIKS_STORE__ENGINE", "mongodb"), ("MOZAIKS_STORE__URI", uri), ("MOZAIKS_STORE__DATABASE", "doctor")];
    let output = doctor(&folder.0, &[&told[..], more].concat());
    (output.status.success(), out(&output))
}

#[test]
fn a_server_that_stands_alone_and_one_whose_clock_is_apart_are_found() {
    let folder = Folder::new();
    for (topology, told) in [(Topology::Standalone, "stands alone"), (Topology::ReplicaSet, "is a replica set of one")] {
        let Some(server) = Server::start_own(topology) else { return };
        let (well, found) = store(&folder, server.uri(), &[]);
        assert!(well && found.contains("warning store") && found.contains(told), "{found}");
        assert!(found.contains("ok      durability"), "{found}");
        assert!(found.contains("s of that of the MongoDB server"), "{found}");
        let clock = folder.path("clock");
        std::fs::write(&clock, "3600").unwrap();
        let (_, apart) = store(&folder, server.uri(), &[("MOZAIKS_TEST_CLOCK_FILE", &clock)]);
        assert!(apart.contains("3600 s apart from that of the MongoDB server"), "{apart}");
        let (_, unused) = store(&folder, &format!("{}?journal=false", server.uri()), &[]);
        assert!(unused.contains("journal in the address is not used"), "{unused}");
    }
}

/// What it prints of a node whose events go over this broker.
fn events(folder: &Folder, broker: &str, namespace: &str) -> (bool, String) {
    let output = doctor(&folder.0, &[("MOZAIKS_EVENTS__BROKER", broker), ("MOZAIKS_EVENTS__NAMESPACE", namespace)]);
    (output.status.success(), out(&output))
}

#[tokio::test]
async fn a_broker_is_found_away_new_and_in_use() {
    let folder = Folder::new();
    let (well, away) = events(&folder, "amqp://guest:guest@127.0.0.1:1/%2f", "away");
    assert!(!well && away.contains("FAULT   broker") && away.contains("not reachable"), "{away}");
    let Some(broker) = stores::broker() else {
        return tell("SKIPPED: RabbitMQ is not installed");
    };
    let (well, refused) = events(&folder, &broker.replace("guest:guest", "guest:hidden"), "doctor");
    assert!(!well && refused.contains("FAULT   broker") && !refused.contains("hidden"), "{refused}");
    let (_, new) = events(&folder, broker, "doctor");
    assert!(new.contains("ok      broker") && new.contains("35 are made when a node connects"), "{new}");
    let node = Node::laid_out(Layout::One, fresh_folder(), &[("MOZAIKS_EVENTS__BROKER", broker), ("MOZAIKS_EVENTS__NAMESPACE", "doctor")]);
    while !events(&folder, broker, "doctor").1.contains("35 exchanges and queues are durable and as declared") {
        assert!(!node.log().contains("ERROR"), "{}", node.log());
        tokio::task::yield_now().await;
    }
}
