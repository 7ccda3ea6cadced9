//! Tests of the pool: what it answers, whom it serves first, whom it refuses, what it survives.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};

use kernel::Kind;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn pool() -> Pool {
    Pool::start(1, Cost::for_tests()).unwrap()
}

fn acme() -> Tenant {
    Tenant::parse("acme").unwrap()
}

fn password(text: &str) -> Password {
    Password::presented(text).unwrap()
}

/// Starts a call without waiting for it.
fn begun<T>(call: &mut Pin<&mut impl Future<Output = Result<T>>>) -> Poll<Result<T>> {
    call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Keeps the only thread at work until the sender is dropped. Returns once it is at work.
async fn occupy(pool: &Pool) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel::<()>();
    let (started, at_work) = oneshot::channel();
    let task = move |_: &mut Buffer| {
        assert!(started.send(()).is_ok());
        held.recv().is_ok()
    };
    pool.shared.submit(&Tenant::platform(), MINUTE, Box::new(task)).unwrap();
    at_work.await.unwrap();
    release
}

#[tokio::test]
async fn hashes_and_checks() {
    let pool = pool();
    let phc = pool.hash(&acme(), password("correct horse")).await.unwrap();
    assert_ne!(phc, pool.hash(&acme(), password("correct horse")).await.unwrap(), "each hash has its own salt");
    let check = async |text: &str, phc: Option<&str>| pool.verify(&acme(), password(text), phc.map(str::to_owned)).await.unwrap();
    assert_eq!(check("correct horse", Some(&phc)).await, Verdict { ok: true, rehash: false });
    assert_eq!(check("correct horsf", Some(&phc)).await, Verdict { ok: false, rehash: false });
    assert_eq!(check("correct horse", None).await, Verdict { ok: false, rehash: false });
}

#[tokio::test]
async fn a_hash_of_another_cost_wants_to_be_made_anew() {
    let other = Cost { memory_kib: 128, ..Cost::for_tests() };
    let old = Pool::start(1, other).unwrap().hash(&acme(), password("correct horse")).await.unwrap();
    let verdict = pool().verify(&acme(), password("correct horse"), Some(old.clone())).await.unwrap();
    assert_eq!(verdict, Verdict { ok: true, rehash: true });
    let wrong = pool().verify(&acme(), password("wrong horse"), Some(old)).await.unwrap();
    assert_eq!(wrong, Verdict { ok: false, rehash: false });
}

#[tokio::test]
async fn an_unreadable_hash_is_a_defect_not_a_wrong_password() {
    let error = pool().verify(&acme(), password("correct horse"), Some("$2b$10$…".to_owned())).await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (Kind::Internal, "HASH_UNREADABLE"));
}

/// What the pool counts, by the ends of their names.
fn numbers(pool: &Pool) -> Vec<(&'static str, f64)> {
    pool.reading().numbers.iter().map(|number| (number.name.trim_start_matches("hashing_"), number.value)).collect()
}

#[tokio::test]
async fn refuses_at_once_whoever_cannot_be_served_in_time() {
    let pool = pool();
    let release = occupy(&pool).await;
    let acme = acme();
    let impatient = pool.run(&acme, Duration::from_millis(60), |_| Ok(()));
    let error = impatient.await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (Kind::Unavailable, "HASHING_BUSY"));
    assert!(error.wait().unwrap() >= Duration::from_secs(1));
    let mut patient = pin!(pool.run(&acme, MINUTE, |_| Ok(())));
    assert!(begun(&mut patient).is_pending());
    assert_eq!(numbers(&pool), [("threads", 1.0), ("queue", 1.0), ("running", 1.0), ("refused_total", 1.0)]);
    drop(release);
    patient.await.unwrap();
    assert_eq!(numbers(&pool)[1], ("queue", 0.0));
    let waits = &pool.reading().histograms[0];
    assert_eq!((waits.name, waits.counts.iter().sum::<u64>()), ("hashing_wait_seconds", 1));
}

#[tokio::test]
async fn an_idle_pool_serves_even_the_impatient() {
    pool().run(&acme(), Duration::ZERO, |_| Ok(())).await.unwrap();
}

/// Rule 38: the flood of one app leaves the others their turn, in the queue and before it.
#[tokio::test]
async fn rule_38_a_flood_starves_nobody() {
    let pool = pool();
    let release = occupy(&pool).await;
    let (log, served) = mpsc::channel();
    let call = |app: &str, n: usize| {
        let (log, entry) = (log.clone(), (app.to_owned(), n));
        let tenant = Tenant::parse(app).unwrap();
        let shared = pool.shared.clone();
        async move { shared.submit(&tenant, MINUTE, Box::new(move |_| log.send(entry).is_ok())) }
    };
    for n in 0..QUEUE_PER_THREAD {
        call("flood", n).await.unwrap();
    }
    assert_eq!(call("flood", 64).await.unwrap_err().reason(), "HASHING_BUSY");
    call("quiet", 0).await.unwrap();
    drop((release, call));
    drop(log);
    let order: Vec<(String, usize)> = served.into_iter().collect();
    assert_eq!(order.len(), QUEUE_PER_THREAD);
    assert_eq!(order[1], ("quiet".to_owned(), 0));
    assert!(!order.contains(&("flood".to_owned(), 63)), "the newest of the flood made room");
}

#[tokio::test]
async fn whoever_made_room_is_told() {
    let pool = pool();
    let release = occupy(&pool).await;
    let (acme, flood) = (acme(), Tenant::parse("flood").unwrap());
    for _ in 1..QUEUE_PER_THREAD {
        pool.shared.submit(&flood, MINUTE, Box::new(|_| true)).unwrap();
    }
    let mut newest = pin!(pool.run(&flood, MINUTE, |_| Ok(())));
    assert!(begun(&mut newest).is_pending());
    let mut other = pin!(pool.run(&acme, MINUTE, |_| Ok(())));
    assert!(begun(&mut other).is_pending());
    assert_eq!(newest.await.unwrap_err().reason(), "HASHING_BUSY");
    drop(release);
    other.await.unwrap();
}

#[tokio::test]
async fn nothing_is_done_for_callers_that_left() {
    let pool = pool();
    let release = occupy(&pool).await;
    let (acme, (log, done)) = (acme(), mpsc::channel());
    {
        let mut gone = pin!(pool.run(&acme, MINUTE, move |_| Ok(log.send(()).is_ok())));
        assert!(begun(&mut gone).is_pending());
    }
    let mut stays = pin!(pool.run(&acme, MINUTE, |_| Ok(())));
    assert!(begun(&mut stays).is_pending());
    drop(release);
    stays.await.unwrap();
    assert!(done.recv().is_err(), "the work of the caller that left was dropped undone");
}

#[tokio::test]
async fn dropping_the_pool_tells_whoever_waits() {
    let pool = pool();
    let release = occupy(&pool).await;
    let (reply, answer) = oneshot::channel::<()>();
    pool.shared.submit(&acme(), MINUTE, Box::new(move |_| reply.send(()).is_ok())).unwrap();
    let shared = Arc::downgrade(&pool.shared);
    drop(pool);
    assert!(answer.await.is_err());
    drop(release);
    while shared.upgrade().is_some() {
        tokio::task::yield_now().await;
    }
}

/// Rule 40: a panic is caught, told as a defect, and the thread goes on.
#[tokio::test]
async fn rule_40_a_panic_costs_one_answer() {
    let pool = pool();
    let error = pool.run::<()>(&acme(), MINUTE, |_| panic!("a defect")).await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (Kind::Internal, "HASHING_FAILED"));
    pool.hash(&acme(), password("correct horse")).await.unwrap();
}

#[test]
fn idle_memory_is_given_back() {
    let state = State { queue: Queue::new(1), busy: 0, typical: FIRST_GUESS, closed: false };
    let shared = Shared { state: Mutex::new(state), wake: Condvar::new(), threads: 1, idle: Duration::ZERO, meter: Meter::default() };
    let mut buffer = Buffer::for_cost(Cost::for_tests());
    verify::hash(&mut buffer, Cost::for_tests(), &password("correct horse"), &[5; SALT_BYTES]).unwrap();
    assert!(!buffer.is_released());
    while !buffer.is_released() {
        drop(shared.rest(shared.lock(), &mut buffer));
    }
    assert!(shared.lock().queue.pop().is_none());
}

#[test]
fn the_wait_grows_with_what_stands_before() {
    let mut state = State { queue: Queue::new(64), busy: 0, typical: Duration::from_millis(40), closed: false };
    assert_eq!(state.expected_wait(&acme(), 2), Duration::ZERO);
    state.busy = 2;
    assert_eq!(state.expected_wait(&acme(), 2), Duration::from_millis(20));
    for _ in 0..3 {
        assert!(state.queue.push(&acme(), Box::new(|_| true)).is_ok());
    }
    assert_eq!(state.expected_wait(&acme(), 2), Duration::from_millis(80));
    assert_eq!(state.expected_wait(&Tenant::platform(), 2), Duration::from_millis(40), "another app waits for one turn only");
}
