//! One trace from whoever calls to whoever hears of it: through the gateway, the service, the stored event and a restart.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::crash::UNHEARD;
use crate::faults::tell;
use crate::lossy::database::Copied;
use crate::node::{Layout, Node, Person, fresh_folder};
use crate::stores;
use crate::wires::{Caller, Wire};

/// The id of the trace that a wire's call is made in.
fn id(wire: usize) -> String {
    format!("0af7651916cd43dd8448eb211c8031{wire:02}")
}

fn parent(id: &str) -> String {
    format!("00-{id}-b7ad6b7169203331-01")
}

/// Lines of the log, as they stand there.
fn lines(node: &Node) -> Vec<Value> {
    node.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn heard(node: &Node, id: &str) -> bool {
    let of_it = |line: &Value| line["fields"]["message"] == "heard" && line["span"]["consumer"] == "identity.tidy";
    lines(node).iter().any(|line| of_it(line) && line["span"]["trace"].as_str().is_some_and(|trace| rpc::trace_id(trace) == Some(id)))
}

/// A change that is heard of. The person in the session that takes the place of the others, in the same trace.
async fn cut(caller: &Caller) -> Person {
    let answer = caller.call("MeService/RevokeMyOtherSessions", json!({ "parent": "apps/platform/me" })).await.unwrap();
    Person::of(caller.clone(), &answer)
}

async fn one_trace(layout: Layout) {
    let node = Node::laid_out(layout, fresh_folder(), &[UNHEARD]);
    let mut ann = node.person("ann@example.com").await;
    for (n, wire) in Wire::ALL.into_iter().enumerate() {
        ann = cut(&ann.on(wire).with("traceparent", &parent(&id(n)))).await;
        let traced = ann.on(wire);
        let call_id = traced.call("UsersService/GetUser", json!({ "name": "apps/platform/users/usr_nobody" })).await.unwrap_err().call_id;
        let told = lines(&node).into_iter().find(|line| line["call"]["call_id"] == call_id.as_str()).unwrap();
        assert_eq!(told["call"]["trace"], id(n), "{layout:?} {wire:?} {told}");
    }
    cut(&ann.on(Wire::Grpc).with("traceparent", "00-nonsense")).await;
    let folder = node.killed();
    let mut kept: Vec<_> = Copied::of(&folder).traces().into_iter().filter(|event| event.contains("sessions_cut")).collect();
    kept.sort();
    let traced = (0..Wire::ALL.len()).map(|n| format!("identity.user.sessions_cut {}", parent(&id(n)).replace("-01", "-00")));
    assert_eq!(kept, ["identity.user.sessions_cut ".to_owned()].into_iter().chain(traced).collect::<Vec<_>>(), "{layout:?}");
    let node = Node::laid_out(layout, folder, &[]);
    let begun = Instant::now();
    while !(0..Wire::ALL.len()).all(|n| heard(&node, &id(n))) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{layout:?}: not heard: {}", node.log());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_trace_spans_gateway_service_stored_event_and_subscriber() {
    if !stores::in_folders() {
        return tell("SKIPPED: reads the store from its file; run with WIRE_ENGINE=sqlite");
    }
    one_trace(Layout::One).await;
    one_trace(Layout::Split).await;
}
