//! Power switches: whatever was acknowledged is there after the restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::node::{Node, Person};
use crate::wires::Wire;

/// How often the node dies in the middle of writes.
const CYCLES: usize = 20;
const WRITERS: usize = 8;

/// Writes until the node dies; answers the number of the last acknowledged write.
async fn write_until_dead(person: Person, started: Arc<AtomicBool>, from: usize) -> usize {
    let caller = person.on(Wire::Grpc);
    let mut number = from;
    loop {
        let ask = json!({ "name": "apps/platform/me", "user": { "profile": { "displayName": format!("{}", number + 1) } }, "updateMask": "profile.displayName" });
        let call = tokio::spawn({
            let caller = caller.clone();
            async move { caller.call("MeService/UpdateMe", ask).await }
        });
        // A dead node's connection panics inside the client.
        match call.await {
            Ok(Ok(_)) => number += 1,
            Ok(Err(failure)) => panic!("{failure:?}"),
            Err(_) => return number,
        }
        started.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_node_is_killed() {
    let mut node = Node::start();
    let mut people = Vec::new();
    for n in 0..WRITERS {
        people.push((node.person(&format!("p{n}@example.com")).await, 0));
    }
    let mut written = 0;
    for cycle in 0..CYCLES {
        let started = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> =
            people.iter().map(|(person, from)| tokio::spawn(write_until_dead(person.at(&node), started.clone(), *from))).collect();
        while !started.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        node = node.killed_and_restarted();
        for ((person, last), writer) in people.iter_mut().zip(writers) {
            let acknowledged = writer.await.unwrap();
            let me = person.at(&node).get_me().await.unwrap();
            let found: usize = me["user"]["profile"]["displayName"].as_str().unwrap_or("0").parse().unwrap();
            assert!(found == acknowledged || found == acknowledged + 1, "cycle {cycle}: {acknowledged} acknowledged, {found} found");
            written += acknowledged - *last;
            *last = found;
        }
    }
    assert!(written >= CYCLES, "only {written} acknowledged writes were exercised");
}
