//! A call over an `Edge`: the service in the same process, and over loopback TCP. What counts is the CPU time of caller and
//! service together, and the time that one call takes alone. `cargo bench -p node --bench edge` Reports and judges nothing.
#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub, missing_debug_implementations)] // a bench: what fails ends it

#[path = "measured/machine.rs"]
mod machine;
#[path = "measured/process.rs"]
mod process;
#[allow(dead_code)] // its other users serve in processes of their own
#[path = "calls/servers.rs"]
mod servers;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use api::mozaiks::identity::v1 as pb;
use api::mozaiks::identity::v1::auth_service_client::AuthServiceClient;
use api::mozaiks::identity::v1::me_service_client::MeServiceClient;
use kernel::{Credential, Cx};
use rpc::{Caps, Channel, Edge, Hub, Listener, Waiting};
use tokio::sync::watch;
use tokio::task::JoinSet;

const WARM_UP: usize = 1_000;
const CALLS: usize = 20_000;
/// Every row once a round, so that a busy machine is busy for all of them.
const ROUNDS: usize = 7;
/// Calls at once.
const CALLERS: usize = 256;
/// Calls of which each is alone, for their time.
const ALONE: usize = 2_000;

fn main() {
    // Test runs start benches too, without this.
    if std::env::args().any(|argument| argument == "--bench") {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(measure());
    }
}

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// Open to anyone.
    ListSignInMethods,
    /// For somebody who is signed in.
    GetMe,
}

struct Row {
    method: Method,
    way: &'static str,
    edge: Edge,
    micros: Vec<f64>,
    alone: Vec<f64>,
}

impl Method {
    async fn call(self, channel: Channel) {
        match self {
            Self::ListSignInMethods => {
                let ask = pb::ListSignInMethodsRequest { parent: "apps/platform".into() };
                let answer = AuthServiceClient::new(channel).list_sign_in_methods(ask).await.unwrap().into_inner();
                assert_eq!(answer, servers::methods());
            }
            Self::GetMe => {
                let ask = pb::GetMeRequest { name: "apps/platform/me".into() };
                assert_eq!(MeServiceClient::new(channel).get_me(ask).await.unwrap().into_inner(), servers::me());
            }
        }
    }
}

async fn measure() {
    println!("{}", machine::describe());
    let (near, far) = (Hub::new(), Hub::new());
    near.install("identity", servers::behind_stack());
    // Its end is the end of the bench.
    let (_well, waiting) = watch::channel(Waiting::default());
    let listener = Listener::bind("127.0.0.1:0", Caps::mesh()).await.unwrap();
    far.peer("identity", listener.address().into(), &servers::schema());
    let service = rpc::meshed(&servers::schema(), "identity", waiting, servers::behind_stack());
    tokio::spawn(listener.serve(service, std::future::pending()));
    while !far.unready().is_empty() {
        tokio::task::yield_now().await;
    }
    let row = |method, way, hub: &Hub| Row { method, way, edge: hub.edge("identity"), micros: Vec::new(), alone: Vec::new() };
    let of = |method| [row(method, "in process", &near), row(method, "loopback TCP", &far)];
    let mut rows: Vec<Row> = [Method::ListSignInMethods, Method::GetMe].into_iter().flat_map(of).collect();
    for _ in 0..ROUNDS {
        for row in &mut rows {
            drive(row, WARM_UP).await;
            let before = process::cpu_of(std::process::id());
            drive(row, CALLS).await;
            row.micros.push(micros(process::cpu_of(std::process::id()) - before, CALLS));
            let began = Instant::now();
            for _ in 0..ALONE {
                row.method.call(row.edge.on(&cx())).await;
            }
            row.alone.push(micros(began.elapsed(), ALONE));
        }
    }
    print(&rows);
}

fn micros(time: Duration, calls: usize) -> f64 {
    time.as_secs_f64() * 1e6 / calls as f64
}

fn cx() -> Cx {
    Cx::verified(servers::known(), Credential::new("e30.e30.e30"), "bench-call-0001")
}

/// So many calls by many callers, each one call at a time.
async fn drive(row: &Row, calls: usize) {
    let left = Arc::new(AtomicUsize::new(calls));
    let mut running = JoinSet::new();
    for _ in 0..CALLERS {
        let (left, edge, method) = (left.clone(), row.edge.clone(), row.method);
        running.spawn(async move {
            let cx = cx();
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                method.call(edge.on(&cx)).await;
            }
        });
    }
    running.join_all().await;
}

fn print(rows: &[Row]) {
    println!("{CALLS} calls a round by {CALLERS} callers after {WARM_UP} to warm up, {ALONE} alone; medians of {ROUNDS} rounds");
    println!(
        "{:<18} {:<13} {:>5} {:>15} {:>10} {:>12} {:>10}",
        "call", "edge", "ratio", "ratios between", "CPU us", "ratio alone", "us alone"
    );
    for pair in rows.chunks(2) {
        for row in pair {
            let against = |own: &[f64], base: &[f64]| sorted(own.iter().zip(base).map(|(own, base)| own / base).collect());
            let (ratios, alone) = (against(&row.micros, &pair[0].micros), against(&row.alone, &pair[0].alone));
            let middle = |values: &[f64]| sorted(values.to_vec())[ROUNDS / 2];
            println!(
                "{:<18} {:<13} {:>5.2} {:>15} {:>10.1} {:>12.2} {:>10.1}",
                format!("{:?}", row.method),
                row.way,
                ratios[ROUNDS / 2],
                format!("{:.2} - {:.2}", ratios[0], ratios[ROUNDS - 1]),
                middle(&row.micros),
                alone[ROUNDS / 2],
                middle(&row.alone)
            );
        }
    }
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}
