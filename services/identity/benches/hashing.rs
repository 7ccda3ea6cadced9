//! What the pool adds to the bare hash: argon2id on all cores with fresh and with reused buffers, against the pool.
//! Run with `cargo bench -p identity --bench hashing`. The ratios are of processor time a hash, which other work on the
//! machine disturbs least; the rates beside them are of wall time.
#![allow(dead_code, unused_imports, clippy::print_stdout, clippy::unwrap_used)] // includes modules whose tests stand beside them

#[path = "../src/hashing/mod.rs"]
mod hashing;

/// The one rule that hashing needs.
#[path = "../src/domain"]
mod domain {
    pub(crate) mod password;
}

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use kernel::Tenant;

use domain::password::Password;
use hashing::Pool;

const TURN: Duration = Duration::from_secs(2);
const TURNS: usize = 8;

fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(46 * 1024, 1, 1, Some(32)).unwrap())
}

/// Processor time that this process has used, in milliseconds, as Linux counts it.
fn used_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    // Fields 14 and 15, utime and stime, in hundredths of a second.
    after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap() * 10.0).sum()
}

/// What one turn measured.
#[derive(Clone, Copy)]
struct Turn {
    /// Hashes a second, of all threads together.
    rate: f64,
    /// Processor time a hash.
    cost_ms: f64,
}

fn turn(work: impl FnOnce(Instant) -> usize) -> Turn {
    let (started, used) = (Instant::now(), used_ms());
    let hashes = work(started) as f64;
    Turn { rate: hashes / started.elapsed().as_secs_f64(), cost_ms: (used_ms() - used) / hashes }
}

fn bare(threads: usize, make: impl Fn() -> Box<dyn FnMut()> + Sync) -> Turn {
    turn(|started| {
        let hashes = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let mut hash = make();
                    while started.elapsed() < TURN {
                        hash();
                        hashes.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        hashes.into_inner()
    })
}

fn fresh() -> Box<dyn FnMut()> {
    let argon2 = argon2();
    Box::new(move || {
        let mut out = [0; 32];
        argon2.hash_password_into(b"correct horse battery staple", &[5; 16], &mut out).unwrap();
        black_box(out);
    })
}

fn reused() -> Box<dyn FnMut()> {
    let argon2 = argon2();
    let mut blocks = vec![Block::new(); argon2.params().block_count()];
    Box::new(move || {
        let mut out = [0; 32];
        argon2.hash_password_into_with_memory(b"correct horse battery staple", &[5; 16], &mut out, &mut blocks).unwrap();
        black_box(out);
    })
}

fn pooled(runtime: &tokio::runtime::Runtime, pool: &Arc<Pool>, callers: usize) -> Turn {
    turn(|started| {
        let calls: Vec<_> = (0..callers).map(|n| runtime.spawn(call(pool.clone(), n, started))).collect();
        calls.into_iter().map(|call| runtime.block_on(call).unwrap()).sum()
    })
}

async fn call(pool: Arc<Pool>, n: usize, started: Instant) -> usize {
    let tenant = Tenant::parse(&format!("app-{}", n % 8)).unwrap();
    let mut hashes = 0;
    while started.elapsed() < TURN {
        let password = Password::presented("correct horse battery staple").unwrap();
        pool.verify(&tenant, password, None).await.unwrap();
        hashes += 1;
    }
    hashes
}

/// Of an even number of turns the lower middle one.
fn median_ms(turns: &[Turn]) -> f64 {
    let mut costs: Vec<f64> = turns.iter().map(|turn| turn.cost_ms).collect();
    costs.sort_by(f64::total_cmp);
    costs[(costs.len() - 1) / 2]
}

fn main() {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let pool = Arc::new(Pool::new(threads).unwrap());
    let mut turns = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..TURNS {
        let measured = [bare(threads, fresh), bare(threads, reused), pooled(&runtime, &pool, 4 * threads)];
        for ((name, turns), turn) in ["fresh", "reused", "pool"].into_iter().zip(&mut turns).zip(measured) {
            println!("{name:>6}: {:6.1} hashes/s on {threads} threads, {:5.1} ms of processor time each", turn.rate, turn.cost_ms);
            turns.push(turn);
        }
    }
    let [fresh, reused, pool] = turns.map(|turns| median_ms(&turns));
    println!("median processor time: fresh {fresh:.1} ms, reused {reused:.1} ms, pool {pool:.1} ms");
    println!(
        "hashes for the same time: reused / fresh {:.2}, pool / fresh {:.2}, pool / reused {:.2}",
        fresh / reused,
        fresh / pool,
        reused / pool
    );
}
