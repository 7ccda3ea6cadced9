//! Events from the commit of their change to a subscriber, in process and through RabbitMQ: how many a second, at what cost, and
//! how late at a thousand a second. `cargo bench -p events --bench relay`; without RabbitMQ its part says SKIPPED.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[allow(dead_code)] // the bench kills no broker
#[path = "../tests/bus/broker.rs"]
mod broker;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use events::{Address, Broker, Bus, Delivered, Local, Pace, Rabbit, Start, Subscriber};
use kernel::{Clock, Cx, Tenant};
use serde::{Deserialize, Serialize};
use storage::{Across, Answer, Change, Collection, Event, Keys, Record, Sqlite, Store};

const KIND: &str = "bench.thing.made";
/// Events of the throughput rounds; each document has one.
const EVENTS: usize = 20_000;
/// The body of a document and the payload of an event.
const BYTES: usize = 300;
const ROUNDS: usize = 3;
const LAG_SECONDS: usize = 5;
const LAG_RATE: usize = 1_000;
/// Writers at once: their changes share commits.
const WRITERS: usize = 64;

#[derive(Clone, Serialize, Deserialize)]
struct Thing {
    text: String,
}

impl Record for Thing {
    const KIND: Collection = Collection { name: "things", version: 1, keys: &[], indexes: &[], burns: false, max_bytes: 0, max_items: 0 };

    fn keys(&self) -> Keys {
        Keys::new()
    }
}

/// Counts, and keeps how long each event was on its way.
struct Counter {
    heard: AtomicUsize,
    begun: Instant,
    micros: Mutex<Vec<u64>>,
}

impl Subscriber for Counter {
    fn name(&self) -> &'static str {
        "bench.counter"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &[KIND]
    }

    fn hear<'a>(&'a self, _: &'a Cx, event: &'a Delivered) -> Answer<'a, ()> {
        let sent = u64::from_le_bytes(event.payload[..8].try_into().unwrap());
        self.micros.lock().unwrap().push(self.begun.elapsed().as_micros() as u64 - sent);
        self.heard.fetch_add(1, Relaxed);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// CPU time of this process, all threads, from the scheduler's account.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

struct Round {
    per_second: f64,
    cpu_micros: f64,
}

struct Bench {
    store: Store,
    across: Across,
    counter: Arc<Counter>,
    tenants: usize,
}

impl Bench {
    async fn new(tenants: usize) -> Self {
        let store = Store::open(Arc::new(Sqlite::open_temporary().unwrap()), [7; 32], Clock::system());
        store.define::<Thing>().await.unwrap();
        let counter = Counter { heard: AtomicUsize::new(0), begun: Instant::now(), micros: Mutex::default() };
        Self { store, across: Across::granted(), counter: Arc::new(counter), tenants }
    }

    async fn write(&self, from: usize, to: usize) {
        let writers = (0..WRITERS).map(|writer| {
            let (store, counter, tenants) = (self.store.clone(), self.counter.clone(), self.tenants);
            tokio::spawn(async move {
                for n in (from..to).skip(writer).step_by(WRITERS) {
                    write(&store, &counter, (n, tenants)).await;
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
    }

    fn relay(&self, bus: Arc<dyn Bus>) -> events::Running {
        let subscribers: Vec<Arc<dyn Subscriber>> = vec![self.counter.clone()];
        let (store, across) = (self.store.clone(), self.across.clone());
        events::start(Start { store, across, bus, subscribers, workers: Vec::new(), clock: Clock::system(), pace: Pace::default() })
            .unwrap()
    }

    async fn heard(&self, count: usize) {
        let mut beat = tokio::time::interval(Duration::from_millis(1));
        while self.counter.heard.load(Relaxed) < count {
            beat.tick().await;
        }
    }
}

async fn write(store: &Store, counter: &Counter, (n, tenants): (usize, usize)) {
    let cx = Cx::system(Tenant::parse(&format!("app-{}", n % tenants)).unwrap(), "bench");
    let mut payload = vec![0; BYTES];
    payload[..8].copy_from_slice(&(counter.begun.elapsed().as_micros() as u64).to_le_bytes());
    let change = Change::of(Thing { text: "t".repeat(BYTES) }).event(Event { kind: KIND, payload });
    store.insert(&cx, &format!("thing-{n}"), change).await.unwrap();
}

/// Events that wait, from when the bus takes them until the last is heard and acknowledged.
async fn backlog(bus: Arc<dyn Bus>, tenants: usize) -> Round {
    let bench = Bench::new(tenants).await;
    bench.write(0, EVENTS).await;
    let relay = bench.relay(bus.clone());
    let mut beat = tokio::time::interval(Duration::from_millis(1));
    while bus.ready().is_err() {
        beat.tick().await;
    }
    // Connecting and declaring queues is no part of it.
    let (begun, spent) = (Instant::now(), cpu());
    bench.heard(EVENTS).await;
    while bench.store.outbox(&bench.across, &Thing::KIND).await.unwrap().documents > 0 {
        beat.tick().await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let round = Round { per_second: EVENTS as f64 / seconds, cpu_micros: (cpu() - spent).as_micros() as f64 / EVENTS as f64 };
    relay.stop().await.unwrap();
    round
}

/// A thousand changes a second; how late the subscriber is, from before the change to the call.
async fn lag(bus: Arc<dyn Bus>, tenants: usize) -> [f64; 3] {
    let bench = Bench::new(tenants).await;
    let relay = bench.relay(bus.clone());
    let mut beat = tokio::time::interval(Duration::from_millis(1));
    while bus.ready().is_err() {
        beat.tick().await;
    }
    let count = LAG_SECONDS * LAG_RATE;
    let mut beat = tokio::time::interval(Duration::from_micros(1_000_000 / LAG_RATE as u64));
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..count {
        beat.tick().await;
        let (store, counter) = (bench.store.clone(), bench.counter.clone());
        writers.spawn(async move { write(&store, &counter, (n, tenants)).await });
    }
    while writers.join_next().await.is_some() {}
    bench.heard(count).await;
    relay.stop().await.unwrap();
    let mut micros = bench.counter.micros.lock().unwrap().clone();
    micros.sort_unstable();
    [50, 95, 99].map(|percent| micros[micros.len() * percent / 100] as f64 / 1_000.0)
}

async fn report(name: &str, tenants: usize, bus: impl Fn() -> Arc<dyn Bus>) {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(backlog(bus(), tenants).await);
    }
    rounds.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    let [p50, p95, p99] = lag(bus(), tenants).await;
    let Round { per_second, cpu_micros } = rounds[ROUNDS / 2];
    println!("{name:<12} {tenants:>7} {per_second:>10.0} {cpu_micros:>12.1} {p50:>9.1} {p95:>9.1} {p99:>9.1}");
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("events {}, SQLite FULL, {EVENTS} documents of one event, body and payload {BYTES} bytes each", env!("CARGO_PKG_VERSION"));
    println!(
        "median of {ROUNDS} rounds; lag over {LAG_SECONDS} s at {LAG_RATE} changes a second, from before the change to the subscriber"
    );
    println!("{:<12} {:>7} {:>10} {:>12} {:>9} {:>9} {:>9}", "bus", "tenants", "events/s", "cpu us/event", "p50 ms", "p95 ms", "p99 ms");
    for tenants in [50, 1] {
        runtime.block_on(report("in process", tenants, || Arc::new(Local::new())));
    }
    let Some(process) = broker::Process::start("bench") else { return };
    println!("RabbitMQ, one node, quorum queues; the broker's own CPU is not counted");
    let number = AtomicUsize::new(0);
    let over = || -> Arc<dyn Bus> {
        let namespace = format!("bench{}", number.fetch_add(1, Relaxed));
        Arc::new(Rabbit::new(Broker { namespace, ..Broker::new(Address::parse(&process.address, false).unwrap(), Vec::new()) }))
    };
    runtime.block_on(report("RabbitMQ", 50, over));
}
