//! Durable inserts through `Store` at `Full` beside the rate that SQLite itself reaches with commits of the same size, on
//! the same table and file system, in one run; then reads beside writes, and reads of many documents.
//! `cargo bench -p storage`
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kernel::{Clock, Cx, Page};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use storage::{Change, Collection, Durability, Find, Index, Key, KeyType, Keys, Record, Sqlite, Store};

const CALLERS: [usize; 4] = [1, 8, 64, 256];
/// Each measurement, and five of each: one alone would show the disk's mood.
const SPAN: Duration = Duration::from_secs(2);
const ROUNDS: usize = 5;
const DOCUMENTS: usize = 100_000;

#[derive(Clone, Serialize, Deserialize)]
struct Person {
    email: String,
    state: String,
    created: i64,
    profile: String,
}

impl Record for Person {
    const KIND: Collection = Collection {
        name: "people",
        version: 1,
        keys: &[("email", KeyType::Str), ("state", KeyType::Str), ("created", KeyType::I64)],
        indexes: &[
            Index { name: "email", keys: &["email"], unique: true },
            Index { name: "state_created", keys: &["state", "created"], unique: false },
        ],
        burns: false,
        max_bytes: 0,
        max_items: 0,
    };

    fn keys(&self) -> Keys {
        Keys::new().with("email", self.email.as_str()).with("state", self.state.as_str()).with("created", self.created)
    }
}

impl Person {
    fn of(id: &str, created: i64) -> Self {
        Self { email: format!("{id}@example.com"), state: "active".to_owned(), created, profile: "p".repeat(300) }
    }
}

fn id(caller: usize, n: usize) -> String {
    format!("usr_{caller:08x}-0000-7000-8000-{n:012x}")
}

fn cx() -> Cx {
    Cx::for_tests("bench").unwrap()
}

async fn open(dir: &Path) -> Store {
    let store = Store::open(Arc::new(Sqlite::open(dir, Durability::Full).unwrap()), [7; 32], Clock::system());
    store.define::<Person>().await.unwrap();
    store
}

fn main() {
    let root = std::env::temp_dir().join(format!("mozaiks-bench-{:016x}", getrandom::u64().unwrap()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let body = serde_json::to_string(&Person::of(&id(0, 0), 1)).unwrap();
    println!("SQLite {}, storage {}, body {} bytes, {}", rusqlite::version(), env!("CARGO_PKG_VERSION"), body.len(), root.display());
    group_commit(&runtime, &root, &body);
    runtime.block_on(reads_beside_writes(&root.join("beside")));
    runtime.block_on(many_documents(&root.join("many")));
    std::fs::remove_dir_all(root).unwrap();
}

fn group_commit(runtime: &tokio::runtime::Runtime, root: &Path, body: &str) {
    println!("\ninserts at FULL, medians of {ROUNDS} rounds of {SPAN:?}; raw = one connection, commits of as many rows as callers");
    println!("callers      store/s        raw/s  ratio (rounds)          per sync   p50 ms   p99 ms");
    for callers in CALLERS {
        let mut rates = Vec::new();
        for round in 0..ROUNDS {
            let dir = |kind: &str| root.join(format!("{kind}-{callers}-{round}"));
            let store = runtime.block_on(through_store(&dir("store"), callers));
            let raw = directly(&dir("store"), &dir("raw"), callers, body);
            rates.push((store, raw));
        }
        rates.sort_by(|a, b| (a.0.rate / a.1).total_cmp(&(b.0.rate / b.1)));
        let ratio = |at: usize| rates[at].0.rate / rates[at].1;
        let (store, raw) = &rates[ROUNDS / 2];
        println!(
            "{callers:>7} {:>12.0} {raw:>12.0} {:>6.2} ({:.2} - {:.2}) {:>16.1} {:>8.2} {:>8.2}",
            store.rate,
            ratio(ROUNDS / 2),
            ratio(0),
            ratio(ROUNDS - 1),
            store.per_sync,
            store.latency.at(50),
            store.latency.at(99)
        );
    }
}

/// Sorted.
struct Latency(Vec<Duration>);

impl Latency {
    fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        Self(all)
    }

    /// Milliseconds that so many hundredths do not pass.
    fn at(&self, hundredths: usize) -> f64 {
        self.0.get((self.0.len() * hundredths / 100).min(self.0.len().saturating_sub(1))).map_or(0.0, |took| took.as_secs_f64() * 1e3)
    }
}

struct Rate {
    rate: f64,
    per_sync: f64,
    latency: Latency,
}

async fn through_store(dir: &Path, callers: usize) -> Rate {
    let store = open(dir).await;
    let before = store.engine().metrics();
    let start = Instant::now();
    let tasks = (0..callers).map(|caller| {
        let store = store.clone();
        tokio::spawn(async move { insert_until(&store, caller, || start.elapsed() >= SPAN).await })
    });
    let mut took = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        took.extend(task.await.unwrap());
    }
    let seconds = start.elapsed().as_secs_f64();
    let after = store.engine().metrics();
    let per_sync = (after.changes - before.changes) as f64 / (after.commits - before.commits) as f64;
    Rate { rate: took.len() as f64 / seconds, per_sync, latency: Latency::of(took) }
}

async fn insert_until(store: &Store, caller: usize, ended: impl Fn() -> bool) -> Vec<Duration> {
    let cx = cx();
    let mut took = Vec::new();
    while !ended() {
        let id = id(caller, took.len());
        let began = Instant::now();
        store.insert(&cx, &id, Change::of(Person::of(&id, 1))).await.unwrap();
        took.push(began.elapsed());
    }
    took
}

/// The same table and indexes, filled by one connection in commits of `batch` rows.
fn directly(model: &Path, dir: &Path, batch: usize, body: &str) -> f64 {
    std::fs::create_dir(dir).unwrap();
    let file = |dir: &Path| -> PathBuf { dir.join("store.db") };
    let conn = Connection::open(file(dir)).unwrap();
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -16000",
    )
    .unwrap();
    let model = Connection::open(file(model)).unwrap();
    let mut schema = model.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type DESC").unwrap();
    for sql in schema.query_map((), |row| row.get::<_, String>(0)).unwrap() {
        conn.execute_batch(&sql.unwrap()).unwrap();
    }
    let insert = "INSERT INTO people (t, id, v, w, crc, b, k_email, k_state, k_created) VALUES ('bench', ?1, 1, 1, 1, ?2, ?3, 'active', 1)";
    let mut insert = conn.prepare(insert).unwrap();
    let (mut inserts, start) = (0, Instant::now());
    while start.elapsed() < SPAN {
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        for caller in 0..batch {
            let id = id(caller, inserts);
            insert.execute(params![id, body, format!("{id}@example.com")]).unwrap();
        }
        conn.execute_batch("COMMIT").unwrap();
        inserts += batch;
    }
    inserts as f64 / start.elapsed().as_secs_f64()
}

/// 64 writers alone, one reader alone, and both at once.
async fn reads_beside_writes(dir: &Path) {
    let store = open(dir).await;
    let cx = cx();
    for n in 0..1_000 {
        let id = id(99_999, n);
        store.insert(&cx, &id, Change::of(Person::of(&id, 1))).await.unwrap();
    }
    println!("\n{:>22} {:>10} {:>10} {:>10} {:>10}", "", "writes/s", "reads/s", "p50 ms", "p99 ms");
    let mut first = 0;
    for (what, writers, reads) in [("64 writers", 64, false), ("1 reader", 0, true), ("64 writers, 1 reader", 64, true)] {
        let ended = Arc::new(AtomicBool::new(false));
        let writing: Vec<_> = (first..first + writers)
            .map(|caller| {
                let (store, ended) = (store.clone(), ended.clone());
                tokio::spawn(async move { insert_until(&store, caller, || ended.load(Ordering::Relaxed)).await.len() })
            })
            .collect();
        first += writers;
        let (start, mut took) = (Instant::now(), Vec::new());
        while start.elapsed() < SPAN {
            if reads {
                let began = Instant::now();
                store.get::<Person>(&cx, &id(99_999, took.len() * 7 % 1_000)).await.unwrap().unwrap();
                took.push(began.elapsed());
            } else {
                tokio::task::yield_now().await;
            }
        }
        ended.store(true, Ordering::Relaxed);
        let mut writes = 0;
        for writer in writing {
            writes += writer.await.unwrap();
        }
        let seconds = start.elapsed().as_secs_f64();
        let (reads, latency) = (took.len(), Latency::of(took));
        println!(
            "{what:>22} {:>10.0} {:>10.0} {:>10.3} {:>10.3}",
            writes as f64 / seconds,
            reads as f64 / seconds,
            latency.at(50),
            latency.at(99)
        );
    }
}

/// A document by id, the first page of 20 and a page deep in the list.
async fn many_documents(dir: &Path) {
    let store = open(dir).await;
    let cx = cx();
    let fill = (0..256).map(|caller| {
        let (store, cx) = (store.clone(), cx.clone());
        tokio::spawn(async move {
            for n in (caller..DOCUMENTS).step_by(256) {
                let id = id(0, n);
                store.insert(&cx, &id, Change::of(Person::of(&id, i64::try_from(n).unwrap()))).await.unwrap();
            }
        })
    });
    for task in fill.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    println!("\n{DOCUMENTS} documents{:>25} {:>10}", "p50 ms", "p99 ms");
    let get = timed(async |n| drop(store.get::<Person>(&cx, &id(0, n * 7_919 % DOCUMENTS)).await.unwrap().unwrap())).await;
    let page = async |token: &str| {
        let page = Page { size: 20, token: token.to_owned() };
        let question = Find { index: "state_created", prefix: vec![Key::from("active")], range: None, descending: false, page: &page };
        let found = store.find::<Person>(&cx, question).await.unwrap();
        assert_eq!(found.items.len(), 20);
        found.next_token
    };
    let mut deep = Page { size: 1_000, token: String::new() };
    for _ in 0..90 {
        let question = Find { index: "state_created", prefix: vec![Key::from("active")], range: None, descending: false, page: &deep };
        deep.token = store.find::<Person>(&cx, question).await.unwrap().next_token;
    }
    let mut ratios = Vec::new();
    let (mut firsts, mut deeps) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let first = timed(async |_| drop(page("").await)).await;
        let late = timed(async |_| drop(page(&deep.token).await)).await;
        ratios.push(late.at(50) / first.at(50));
        firsts.extend(first.0);
        deeps.extend(late.0);
    }
    ratios.sort_by(f64::total_cmp);
    for (what, latency) in [("get", get), ("first page of 20", Latency::of(firsts)), ("page behind 90,000", Latency::of(deeps))] {
        println!("{what:>30} {:>10.3} {:>10.3}", latency.at(50), latency.at(99));
    }
    println!("deep page / first page, medians: {:.2} ({:.2} - {:.2})", ratios[ROUNDS / 2], ratios[0], ratios[ROUNDS - 1]);
}

async fn timed(call: impl AsyncFn(usize)) -> Latency {
    let mut took = Vec::new();
    for n in 0..2_000 {
        let began = Instant::now();
        call(n).await;
        took.push(began.elapsed());
    }
    Latency::of(took)
}
