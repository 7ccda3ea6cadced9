//! Durable inserts through `Store` at `Full` beside the rate that SQLite itself reaches with commits of the same size, on
//! the same table and file system, in one run. `cargo bench -p storage`
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel::{Clock, Cx};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use storage::{Change, Collection, Durability, Index, KeyType, Keys, Record, Sqlite, Store};

const CALLERS: [usize; 4] = [1, 8, 64, 256];
/// Each measurement, and three of each: one alone would show the disk's mood.
const SPAN: Duration = Duration::from_secs(3);
const ROUNDS: usize = 3;

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

struct Rate {
    inserts: f64,
    per_sync: f64,
}

fn main() {
    let root = std::env::temp_dir().join(format!("mozaiks-bench-{:016x}", getrandom::u64().unwrap()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let body = serde_json::to_string(&Person::of(&id(0, 0), 1)).unwrap();
    println!("SQLite {}, storage {}, body {} bytes, {}", rusqlite::version(), env!("CARGO_PKG_VERSION"), body.len(), root.display());
    println!("{:>7} {:>12} {:>12} {:>10} {:>7}   medians of {ROUNDS} x {SPAN:?}", "callers", "store/s", "raw/s", "per sync", "ratio");
    for callers in CALLERS {
        let mut rates = Vec::new();
        for round in 0..ROUNDS {
            let dir = |kind: &str| root.join(format!("{kind}-{callers}-{round}"));
            let store = runtime.block_on(through_store(&dir("store"), callers));
            let raw = directly(&dir("store"), &dir("raw"), callers, &body);
            rates.push((store, raw));
        }
        rates.sort_by(|a, b| (a.0.inserts / a.1).total_cmp(&(b.0.inserts / b.1)));
        let (store, raw) = &rates[ROUNDS / 2];
        println!("{callers:>7} {:>12.0} {raw:>12.0} {:>10.1} {:>7.2}", store.inserts, store.per_sync, store.inserts / raw);
    }
    std::fs::remove_dir_all(root).unwrap();
}

async fn through_store(dir: &Path, callers: usize) -> Rate {
    let store = Store::open(Arc::new(Sqlite::open(dir, Durability::Full).unwrap()), [7; 32], Clock::system());
    store.define::<Person>().await.unwrap();
    let cx = Cx::for_tests("bench").unwrap();
    let before = store.engine().metrics();
    let start = Instant::now();
    let tasks = (0..callers).map(|caller| {
        let (store, cx) = (store.clone(), cx.clone());
        tokio::spawn(async move {
            let mut n = 0;
            while start.elapsed() < SPAN {
                let id = id(caller, n);
                store.insert(&cx, &id, Change::of(Person::of(&id, 1))).await.unwrap();
                n += 1;
            }
            n
        })
    });
    let mut inserts = 0;
    for task in tasks.collect::<Vec<_>>() {
        inserts += task.await.unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    let after = store.engine().metrics();
    let per_sync = (after.changes - before.changes) as f64 / (after.commits - before.commits) as f64;
    Rate { inserts: inserts as f64 / seconds, per_sync }
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
