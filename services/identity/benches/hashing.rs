//! What the pool adds to the bare hash: rates of argon2id on all cores with fresh and with reused buffers, against the pool.
//! Run with `cargo bench -p identity --bench hashing`. Prints ratios, the same on every machine as long as nothing is wrong.
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

const TURN: Duration = Duration::from_secs(4);
const TURNS: usize = 4;

fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(46 * 1024, 1, 1, Some(32)).unwrap())
}

/// Hashes a second, of all threads together.
fn rate(threads: usize, make: impl Fn() -> Box<dyn FnMut()> + Sync) -> f64 {
    let hashes = AtomicUsize::new(0);
    let started = Instant::now();
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
    hashes.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64()
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

fn pooled(runtime: &tokio::runtime::Runtime, pool: &Arc<Pool>, callers: usize) -> f64 {
    let started = Instant::now();
    let calls: Vec<_> = (0..callers)
        .map(|n| {
            let pool = pool.clone();
            let tenant = Tenant::parse(&format!("app-{}", n % 8)).unwrap();
            runtime.spawn(async move {
                let mut hashes = 0_usize;
                while started.elapsed() < TURN {
                    let password = Password::presented("correct horse battery staple").unwrap();
                    pool.verify(&tenant, password, None).await.unwrap();
                    hashes += 1;
                }
                hashes
            })
        })
        .collect();
    let hashes: usize = calls.into_iter().map(|call| runtime.block_on(call).unwrap()).sum();
    hashes as f64 / started.elapsed().as_secs_f64()
}

fn main() {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let pool = Arc::new(Pool::new(threads).unwrap());
    let mut best = [0.0_f64; 3];
    for _ in 0..TURNS {
        let turn = [rate(threads, fresh), rate(threads, reused), pooled(&runtime, &pool, 4 * threads)];
        println!("{threads} threads, hashes/s: fresh {:.1}, reused {:.1}, pool {:.1}", turn[0], turn[1], turn[2]);
        best = std::array::from_fn(|n| best[n].max(turn[n]));
    }
    println!(
        "reused / fresh = {:.2}   pool / fresh = {:.2}   pool / reused = {:.2}",
        best[1] / best[0],
        best[2] / best[0],
        best[2] / best[1]
    );
}
