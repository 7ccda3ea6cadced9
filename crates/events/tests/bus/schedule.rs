//! Due documents and their workers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use events::{Local, Worker};
use kernel::{Cx, Error, Result, Time};
use serde::{Deserialize, Serialize};
use storage::{Answer, Change, Collection, Keys, Record, Store};
use tokio::sync::Semaphore;

use crate::world::{World, cx, until};

/// Wants attention until it was given so often.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Task {
    left: i64,
    due: Option<i64>,
}

impl Record for Task {
    const KIND: Collection = Collection { name: "tasks", version: 1, keys: &[], indexes: &[], burns: false, max_bytes: 0, max_items: 0 };

    fn keys(&self) -> Keys {
        Keys::new()
    }

    fn due(&self) -> Option<Time> {
        self.due.map(Time::from_micros)
    }
}

/// The same under another name.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Chore(Task);

impl Record for Chore {
    const KIND: Collection = Collection { name: "chores", ..Task::KIND };

    fn keys(&self) -> Keys {
        Keys::new()
    }

    fn due(&self) -> Option<Time> {
        self.0.due()
    }
}

struct Hands {
    store: Store,
    kind: &'static Collection,
    runs: Mutex<HashMap<String, usize>>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    gate: Semaphore,
    /// What happens to ids that begin so: `panic`, `fail`.
    troubles: bool,
}

impl Hands {
    fn new(store: &Store, kind: &'static Collection, open: bool) -> Arc<Self> {
        Arc::new(Self {
            store: store.clone(),
            kind,
            runs: Mutex::default(),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            gate: Semaphore::new(if open { Semaphore::MAX_PERMITS } else { 0 }),
            troubles: true,
        })
    }

    fn runs(&self, id: &str) -> usize {
        self.runs.lock().unwrap().get(id).copied().unwrap_or(0)
    }

    async fn attend(&self, cx: &Cx, id: &str) -> Result<()> {
        *self.runs.lock().unwrap().entry(id.to_owned()).or_default() += 1;
        assert!(!(self.troubles && id.starts_with("panic")), "told to");
        if self.troubles && id.starts_with("fail") {
            return Err(Error::unavailable("TEST_DOWN", "told to"));
        }
        self.most_at_once.fetch_max(self.at_once.fetch_add(1, Relaxed) + 1, Relaxed);
        let passed = self.gate.acquire().await.map(|permit| permit.forget());
        self.at_once.fetch_sub(1, Relaxed);
        passed.unwrap();
        let Some(seen) = self.store.get::<Task>(cx, id).await? else { return Ok(()) };
        let left = seen.body.left - 1;
        let due = (left > 0).then_some(0);
        self.store.replace(cx, &seen, Change::of(Task { left, due })).await.map(drop)
    }
}

impl Worker for Hands {
    fn kind(&self) -> &'static Collection {
        self.kind
    }

    fn work<'a>(&'a self, cx: &'a Cx, id: &'a str) -> Answer<'a, ()> {
        Box::pin(self.attend(cx, id))
    }
}

async fn world() -> World {
    let world = World::new().await;
    world.store.define::<Task>().await.unwrap();
    world.store.define::<Chore>().await.unwrap();
    world
}

async fn task(world: &World, tenant: &str, id: &str, due_in_seconds: i64) {
    let due = Some(world.clock.now().plus_seconds(due_in_seconds).micros());
    world.store.insert(&cx(tenant), id, Change::of(Task { left: 1, due })).await.unwrap();
}

#[tokio::test]
async fn what_is_due_is_done_once_and_what_is_not_waits() {
    let world = world().await;
    let hands = Hands::new(&world.store, &Task::KIND, true);
    let one = world.start_with(Arc::new(Local::new()), Vec::new(), vec![hands.clone()]);
    let two = world.start_with(Arc::new(Local::new()), Vec::new(), vec![hands.clone()]);
    for n in 0..40 {
        task(&world, &format!("app-{}", n % 3), &format!("now-{n}"), 0).await;
        task(&world, "acme", &format!("later-{n}"), 3_600).await;
    }
    until("all that is due is done", async || (0..40).all(|n| hands.runs(&format!("now-{n}")) == 1)).await;
    assert!((0..40).all(|n| hands.runs(&format!("later-{n}")) == 0));
    world.advance_seconds(3_600);
    until("its time has come", async || (0..40).all(|n| hands.runs(&format!("later-{n}")) == 1)).await;
    until("it is counted", async || one.metrics().total().runs + two.metrics().total().runs == 80).await;
    assert_eq!(hands.runs.lock().unwrap().values().copied().max(), Some(1), "by one of the two schedulers");
    one.stop().await.unwrap();
    two.stop().await.unwrap();
}

#[tokio::test]
async fn a_failure_and_a_panic_come_again_after_the_lease_and_disturb_nobody() {
    let world = world().await;
    let hands = Hands::new(&world.store, &Task::KIND, true);
    let running = world.start_with(Arc::new(Local::new()), Vec::new(), vec![hands.clone()]);
    for id in ["panic-1", "fail-1", "well-1"] {
        task(&world, "acme", id, 0).await;
    }
    until("each had a try", async || ["panic-1", "fail-1", "well-1"].iter().all(|id| hands.runs(id) == 1)).await;
    until("failures are counted", async || running.metrics().total().run_failures == 2).await;
    world.advance_seconds(59);
    task(&world, "acme", "well-2", 0).await;
    until("the worker lives", async || hands.runs("well-2") == 1).await;
    assert_eq!((hands.runs("panic-1"), hands.runs("fail-1")), (1, 1), "the lease is the wait");
    world.advance_seconds(1);
    until("they come again", async || hands.runs("panic-1") == 2 && hands.runs("fail-1") == 2).await;
    assert_eq!(hands.runs("well-1"), 1);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn so_many_at_once_and_one_slow_worker_stops_no_other() {
    let world = world().await;
    let (slow, quick) = (Hands::new(&world.store, &Task::KIND, false), Hands::new(&world.store, &Chore::KIND, true));
    let running = world.start_with(Arc::new(Local::new()), Vec::new(), vec![slow.clone(), quick.clone()]);
    for n in 0..30 {
        task(&world, "acme", &format!("slow-{n}"), 0).await;
    }
    until("so many are at it", async || slow.at_once.load(Relaxed) == world.pace.works).await;
    let due = Some(world.clock.now().micros());
    world.store.insert(&cx("acme"), "quick", Change::of(Chore(Task { left: 1, due }))).await.unwrap();
    until("the other is done", async || quick.runs("quick") == 1).await;
    world.advance_seconds(5);
    assert_eq!(running.metrics().collections.iter().find(|(name, _)| *name == "tasks").unwrap().1.due_lag_seconds, 5.0);
    slow.gate.add_permits(1_000);
    until("all are done", async || (0..30).all(|n| slow.runs(&format!("slow-{n}")) == 1)).await;
    assert_eq!(slow.most_at_once.load(Relaxed), world.pace.works);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn work_that_takes_too_long_is_cut_and_comes_again() {
    let mut world = world().await;
    world.pace.work_limit = Duration::from_millis(50);
    let hands = Hands::new(&world.store, &Task::KIND, false);
    let running = world.start_with(Arc::new(Local::new()), Vec::new(), vec![hands.clone()]);
    task(&world, "acme", "slow", 0).await;
    until("it was cut", async || running.metrics().total().run_failures == 1).await;
    hands.gate.add_permits(1);
    world.advance_seconds(60);
    until("it is done", async || running.metrics().total().runs == 2 && running.metrics().total().run_failures == 1).await;
    let task = world.store.get::<Task>(&cx("acme"), "slow").await.unwrap().unwrap();
    assert_eq!((task.body.left, task.body.due), (0, None));
    running.stop().await.unwrap();
}
