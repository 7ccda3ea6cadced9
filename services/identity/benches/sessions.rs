//! What a sign-in costs beside its hash, and a refresh beside the commit that it needs. Calls are whole gRPC calls within this
//! process, through the stack to a durable store; the bare sides do the same work without us. In one run, in turns.
//! `cargo bench -p identity --bench sessions`
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use api::mozaiks::identity::v1 as pb;
use api::mozaiks::identity::v1::auth_service_client::AuthServiceClient;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use kernel::{Clock, Cx, Tenant};
use mimalloc::MiMalloc;
use rpc::{Channel, Hub, Schema, Stack};
use rusqlite::{Connection, params};
use storage::{Durability, Sqlite, Store};
use tokio::runtime::Runtime;

/// As the product has it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const TURN: Duration = Duration::from_secs(3);
const TURNS: usize = 5;
const CLIENTS: usize = 64;
const PASSWORD: &str = "correct horse battery staple";
const APP: &str = "apps/platform";

/// What one turn measured.
#[derive(Clone, Copy)]
struct Turn {
    rate: f64,
    cost_ms: f64,
    /// Of it, what was not spent on the threads of the hashing pool.
    rest_ms: f64,
}

fn turn(work: impl FnOnce(Instant) -> usize) -> Turn {
    let (started, used, hashed) = (Instant::now(), used_ms(), hashing_ms());
    let count = work(started) as f64;
    let (used, hashed) = (used_ms() - used, hashing_ms() - hashed);
    Turn { rate: count / started.elapsed().as_secs_f64(), cost_ms: used / count, rest_ms: (used - hashed) / count }
}

/// Processor time of the threads of the hashing pool, in milliseconds, from the scheduler's account.
fn hashing_ms() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let pool = tasks.filter(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with("hashing-")));
    let spent = pool.map(|task| std::fs::read_to_string(task.join("schedstat")).unwrap());
    spent.map(|spent| spent.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e6).sum()
}

/// Processor time that this process has used, in milliseconds, as Linux counts it.
fn used_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    // Fields 14 and 15, utime and stime, in hundredths of a second.
    after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap() * 10.0).sum()
}

/// An identity on a durable store in this folder.
async fn identity(folder: &Path, threads: usize) -> Hub {
    let clock = Clock::system();
    let store = Store::open(Arc::new(Sqlite::open(folder, Durability::Full).unwrap()), [7; 32], clock.clone());
    let config = identity::Config { hashing_threads: threads, ..identity::Config::default() };
    let public_url = "http://mozaiks.test".to_owned();
    let start = identity::Start { config, public_url, store, sealing_key: [9; 32], clock: clock.clone() };
    let identity = identity::start(start).await.unwrap();
    let schema = Arc::new(Schema::read(api::DESCRIPTORS).unwrap());
    let hub = Hub::new();
    hub.install("identity", Stack { schema, verifier: identity.verifier, clock }.wrap(identity.service));
    hub
}

fn auth(hub: &Hub) -> AuthServiceClient<Channel> {
    AuthServiceClient::new(hub.edge("identity").on(&Cx::anonymous(Tenant::platform(), "bench-call")))
}

fn email(n: usize) -> String {
    format!("person{n}@example.com")
}

async fn sign_in(hub: Hub, n: usize) -> pb::SessionTokens {
    let ask = pb::SignInRequest {
        parent: APP.to_owned(),
        identifier: Some(pb::Identifier { kind: Some(pb::identifier::Kind::Email(email(n))) }),
        check: Some(pb::Check { kind: Some(pb::check::Kind::Password(PASSWORD.to_owned())) }),
        ..pb::SignInRequest::default()
    };
    let Some(pb::sign_in_response::Result::Session(session)) = auth(&hub).sign_in(ask).await.unwrap().into_inner().result else {
        panic!("no session")
    };
    session
}

async fn refresh(hub: &Hub, token: String) -> String {
    let ask = pb::RefreshSessionRequest { parent: APP.to_owned(), refresh_token: token };
    auth(hub).refresh_session(ask).await.unwrap().into_inner().session.unwrap().refresh_token
}

/// So many callers at once, each calling until the turn is over.
fn callers<F: Future<Output = usize> + Send + 'static>(runtime: &Runtime, count: usize, call: impl Fn(usize) -> F) -> usize {
    let calls: Vec<_> = (0..count).map(|n| runtime.spawn(call(n))).collect();
    calls.into_iter().map(|call| runtime.block_on(call).unwrap()).sum()
}

fn signing_in(runtime: &Runtime, hub: &Hub, count: usize) -> Turn {
    turn(|started| {
        callers(runtime, count, |n| {
            let hub = hub.clone();
            async move {
                let mut done = 0;
                while started.elapsed() < TURN {
                    sign_in(hub.clone(), n).await;
                    done += 1;
                }
                done
            }
        })
    })
}

/// The hash alone, on as many threads, each with a buffer that it keeps.
fn hashing(threads: usize) -> Turn {
    turn(|started| {
        let hashes = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(46 * 1024, 1, 1, Some(32)).unwrap());
                    let mut blocks = vec![Block::new(); argon2.params().block_count()];
                    while started.elapsed() < TURN {
                        let mut out = [0; 32];
                        argon2.hash_password_into_with_memory(PASSWORD.as_bytes(), &[5; 16], &mut out, &mut blocks).unwrap();
                        black_box(out);
                        hashes.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        hashes.into_inner()
    })
}

fn refreshing(runtime: &Runtime, hub: &Hub, tokens: &[String]) -> (Turn, Vec<String>) {
    let mut next = Vec::new();
    let measured = turn(|started| {
        let calls: Vec<_> = tokens
            .iter()
            .map(|token| {
                let (hub, mut token) = (hub.clone(), token.clone());
                runtime.spawn(async move {
                    let mut done = 0;
                    while started.elapsed() < TURN {
                        token = refresh(&hub, token).await;
                        done += 1;
                    }
                    (done, token)
                })
            })
            .collect();
        let ended: Vec<(usize, String)> = calls.into_iter().map(|call| runtime.block_on(call).unwrap()).collect();
        next = ended.iter().map(|(_, token)| token.clone()).collect();
        ended.iter().map(|(done, _)| done).sum()
    });
    (measured, next)
}

/// The same table, indexes and documents: one connection replaces them all, commit after commit.
fn committing(model: &Path, folder: &Path) -> Turn {
    let (model, file) = (Connection::open(model.join("store.db")).unwrap(), folder.join("bare.db"));
    let conn = Connection::open(&file).unwrap();
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -16000",
    )
    .unwrap();
    let mut schema =
        model.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND tbl_name = 'sessions' ORDER BY type DESC").unwrap();
    for sql in schema.query_map((), |row| row.get::<_, String>(0)).unwrap() {
        conn.execute_batch(&sql.unwrap()).unwrap();
    }
    let mut bodies = model.prepare("SELECT b FROM sessions ORDER BY id DESC LIMIT ?1").unwrap();
    let bodies: Vec<String> = bodies.query_map([i64::try_from(CLIENTS).unwrap()], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let insert = "INSERT INTO sessions (t, id, v, w, crc, b, k_user, k_created, k_open) VALUES ('bench', ?1, 1, 1, 1, ?2, ?1, 1, ?1)";
    for (n, body) in bodies.iter().enumerate() {
        conn.execute(insert, params![n.to_string(), body]).unwrap();
    }
    let mut update =
        conn.prepare("UPDATE sessions SET v = v + 1, w = ?3, crc = ?3, exp = ?3, b = ?2 WHERE t = 'bench' AND id = ?1").unwrap();
    let measured = turn(|started| {
        let mut done = 0;
        while started.elapsed() < TURN {
            conn.execute_batch("BEGIN IMMEDIATE").unwrap();
            for (n, body) in bodies.iter().enumerate() {
                update.execute(params![n.to_string(), body, i64::try_from(done).unwrap()]).unwrap();
            }
            conn.execute_batch("COMMIT").unwrap();
            done += bodies.len();
        }
        done
    });
    drop(update);
    drop(conn);
    std::fs::remove_file(file).unwrap();
    measured
}

fn median(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

fn print_ratio(what: &str, pairs: &[(Turn, Turn)], unit: &str) {
    for (ours, bare) in pairs {
        println!(
            "  {what}: {:8.1} {unit}/s ({:6.3} ms of processor time each), bare {:8.1}/s ({:6.3} ms)",
            ours.rate, ours.cost_ms, bare.rate, bare.cost_ms
        );
    }
    let (middle, low, high) = median(pairs.iter().map(|(ours, bare)| ours.rate / bare.rate).collect());
    println!("{what} / bare: {middle:.2} ({low:.2} - {high:.2})");
}

fn main() {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let folder = std::env::temp_dir().join(format!("mozaiks-bench-sessions-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "identity {}, SQLite {} at FULL, argon2id 46 MiB t=1 p=1, {threads} cores, load {}",
        env!("CARGO_PKG_VERSION"),
        rusqlite::version(),
        load.trim()
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let hub = runtime.block_on(identity(&folder, threads));
    for n in 0..CLIENTS {
        let ask = pb::RegisterRequest {
            parent: APP.to_owned(),
            email: email(n),
            password: PASSWORD.to_owned(),
            ..pb::RegisterRequest::default()
        };
        runtime.block_on(auth(&hub).register(ask)).unwrap();
    }

    println!("\n{TURNS} turns of {TURN:?}, {} callers sign in, each to an account of their own", 4 * threads);
    let (mut pairs, mut rests) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let (ours, bare) = (signing_in(&runtime, &hub, 4 * threads), hashing(threads));
        pairs.push((ours, bare));
        rests.push(ours.rest_ms);
    }
    print_ratio("sign-in", &pairs, "sign-ins");
    let (rest, low, high) = median(rests);
    println!("processor time beside the hashing threads: {rest:.2} ms ({low:.2} - {high:.2}), caller and service together");

    println!(
        "\n{TURNS} turns of {TURN:?}, {CLIENTS} clients refresh, each a session of their own; bare = commits of {CLIENTS} replaced documents"
    );
    let mut tokens: Vec<String> = (0..CLIENTS).map(|n| runtime.block_on(sign_in(hub.clone(), n)).refresh_token).collect();
    let mut pairs = Vec::new();
    for _ in 0..TURNS {
        let (ours, next) = refreshing(&runtime, &hub, &tokens);
        tokens = next;
        pairs.push((ours, committing(&folder, &folder)));
    }
    print_ratio("refresh", &pairs, "refreshes");
    drop((hub, runtime));
    std::fs::remove_dir_all(folder).unwrap();
}
