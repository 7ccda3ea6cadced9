//! A store that fails now and then under the real node: changes that it could not make, and changes that it made without saying
//! so. Callers ask again as clients must, with the same request id.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use crate::crash::{UNHEARD, Writers, setting};
use crate::faults::tell;
use crate::lossy::database::Copied;
use crate::node::Node;
use crate::wires::{Failure, method_of};

/// Acknowledged writes for each of the cycles that `WIRE_CYCLES` says.
const WRITES: u64 = 20;
const CYCLES: u64 = 40;
/// What a store does for callers; starting and the work behind them are spared, so that every test begins with a node.
const METHODS: [&str; 6] = ["insert", "replace", "remove", "patch", "get", "find"];
/// So often a caller asks again before it gives up.
const PATIENCE: usize = 10;

/// Of 200 calls of each method one fails and one may have been applied, as `fail` reads it; not of the first, which a start makes.
/// `scripts/faults.sh` sets the same for the whole suite.
fn points() -> String {
    let point = |method| format!("storage::{method}=100*off->0.5%return(unavailable)->0.25%return(maybe)->0.25%return(lost)");
    METHODS.map(point).join(";")
}

/// Whether the whole suite runs over such a store, and its callers are as patient as clients must be.
fn is_asked() -> bool {
    std::env::var("WIRE_FAULTS").is_ok()
}

/// What such a caller sends: with a request id, where the method knows one.
pub fn identified(method: &str, mut ask: Value) -> Value {
    if is_asked() && ask.get("requestId").is_none() && method_of(method).input().get_field_by_name("request_id").is_some() {
        ask["requestId"] = json!(format!("{:016x}", getrandom::u64().unwrap()));
    }
    ask
}

/// Whether they ask again, for the same.
pub fn again(failure: &Failure, asked: usize) -> bool {
    is_asked() && ["STORE_BUSY", "MAYBE_APPLIED"].contains(&failure.reason.as_str()) && asked < PATIENCE
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_now_and_then_makes_each_change_once() {
    let (cycles, began) = (setting("WIRE_CYCLES", CYCLES), Instant::now());
    let node = Node::start_with(&[UNHEARD]);
    let mut writers = Writers::of(&node).await;
    let node = Node::on(node.killed(), &[(UNHEARD.0, &format!("{};{}", points(), UNHEARD.1))]);
    writers.follow(&node);
    writers.insist();
    let over = Arc::new(AtomicBool::new(false));
    let mut writing = writers.begin(&over);
    for _ in 0..cycles * WRITES {
        writing.acknowledgement().await;
    }
    over.store(true, Ordering::SeqCst);
    writers.end(writing).await;
    let folder = node.killed();
    let split = Copied::of(&folder).split();
    let node = Node::on(folder, &[]);
    writers.compare(&node).await;
    let (lost, refusals, acknowledged) = (writers.lost().await, writers.refusals(), writers.acknowledged);
    let (gone, torn, seconds) = (lost.len(), split.len(), began.elapsed().as_secs_f32());
    tell(&format!(
        "fault F28 seed=- cycles={cycles} acknowledged={acknowledged} lost={gone} split={torn} seconds={seconds:.1} asked_again={refusals}"
    ));
    assert_eq!((lost, split), (vec![], vec![]));
    assert!(refusals > 0, "the store has not failed once in {acknowledged} changes");
}
