//! What every bus keeps. Generic over a rig: how a bus is made, and how what was set aside is counted and replayed.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use events::{Bus, Delivered, Subscriber, partition};
use kernel::{Tenant, Time};
use storage::{Change, Record as _};

use crate::world::{CHANGED, Draw, Follower, IGNORED, Ledger, Thing, World, changed, cx, until};

/// One way for events.
pub(crate) trait Rig {
    /// Its name in what is printed.
    const NAME: &'static str;

    /// A bus on this way; all of one rig lead to the same subscribers.
    fn bus(&self) -> Arc<dyn Bus>;

    /// Documents or letters that were set aside.
    async fn aside(&self, world: &World) -> usize;

    /// Sends them on their way again.
    async fn replay(&self, world: &World);
}

pub(crate) async fn all<R: Rig>(rig: impl AsyncFn() -> R) {
    order_is_kept_under_eight_relays(&rig().await).await;
    duplicates_and_shuffles_change_nothing(&rig().await).await;
    a_poisoned_event_blocks_its_aggregate_alone(&rig().await).await;
    what_nobody_hears_is_done_with(&rig().await).await;
    a_relay_that_is_stopped_gives_back_and_one_that_dies_lets_lapse(&rig().await).await;
}

/// Eight relays, five tenants, 40 things, 1,200 events, changed while they are told.
async fn order_is_kept_under_eight_relays<R: Rig>(rig: &R) {
    const CHANGES: i64 = 30;
    let begun = Instant::now();
    let world = World::new().await;
    let follower = Follower::new(&world.store, "test.follower");
    let relays: Vec<_> = (0..8).map(|_| world.start(rig.bus(), vec![follower.clone()])).collect();
    let things: Vec<(String, String)> = (0..40).map(|n| (format!("app-{}", n % 5), format!("app-{}-thing-{n}", n % 5))).collect();
    let writers: Vec<_> = things
        .iter()
        .cloned()
        .map(|(tenant, id)| {
            let world = world.clone();
            tokio::spawn(async move {
                for _ in 0..CHANGES {
                    world.change_patiently(&tenant, &id).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    for (tenant, id) in &things {
        until("all events of a thing are heard", async || world.ledger(tenant, id).await.heard >= CHANGES).await;
        assert_eq!(world.ledger(tenant, id).await, Ledger::of(CHANGES), "{id}");
    }
    world.drained().await;
    follower.assert_right();
    let published: u64 = relays.iter().map(|relay| relay.metrics().total().published).sum();
    assert!(published >= 40 * CHANGES as u64, "{published}");
    for relay in relays {
        relay.stop().await.unwrap();
    }
    let (calls, duplicates) = (follower.calls.load(Relaxed), follower.duplicates.load(Relaxed));
    println!("order over {}: 1200 events by 8 relays, {calls} calls, {duplicates} duplicates, {:?}", R::NAME, begun.elapsed());
}

pub(crate) fn event(tenant: &str, id: &str, n: i64) -> Arc<Delivered> {
    let tenant = Tenant::parse(tenant).unwrap();
    Arc::new(Delivered {
        id: format!("evt_{tenant}_{id}_{n}"),
        kind: CHANGED.to_owned(),
        payload: n.to_le_bytes().to_vec(),
        partition: partition(&tenant),
        tenant,
        collection: "things".to_owned(),
        aggregate: id.to_owned(),
        version: n,
        index: 0,
        at: Time::from_seconds(n),
        trace: String::new(),
    })
}

/// F17. Each event comes three times, the repeats after later ones of its aggregate, shuffled across aggregates.
async fn duplicates_and_shuffles_change_nothing<R: Rig>(rig: &R) {
    const CHANGES: i64 = 12;
    let begun = Instant::now();
    let seed = 17;
    let world = World::new().await;
    let follower = Follower::new(&world.store, "test.follower");
    let bus = rig.bus();
    bus.attach(vec![follower.clone()]).unwrap();
    until("the bus is ready", async || bus.ready().is_ok()).await;
    let mut draw = Draw::of(seed);
    let things: Vec<(String, String)> = (0..25).map(|n| (format!("app-{}", n % 4), format!("app-{}-thing-{n}", n % 4))).collect();
    // Of each thing 1 2 1 3 2 1 4 3 2 …: every first time in order, every repeat late.
    let mut queues: Vec<Vec<i64>> = things
        .iter()
        .map(|_| {
            let mut order: Vec<i64> = (1..=CHANGES + 2).flat_map(|n| [n, n - 1, n - 2]).filter(|n| (1..=CHANGES).contains(n)).collect();
            order.reverse();
            order
        })
        .collect();
    let mut sent = 0;
    while queues.iter().any(|queue| !queue.is_empty()) {
        let at = draw.below(things.len());
        let Some(n) = queues[at].pop() else { continue };
        let (tenant, id) = &things[at];
        bus.publish(&event(tenant, id, n)).await.unwrap();
        sent += 1;
    }
    assert_eq!(sent, 3 * 25 * CHANGES);
    until("everything was heard", async || follower.calls.load(Relaxed) >= sent as usize).await;
    for (tenant, id) in &things {
        until("the ledger is whole", async || world.ledger(tenant, id).await.heard == CHANGES).await;
        assert_eq!(world.ledger(tenant, id).await, Ledger::of(CHANGES), "seed {seed}, {id}");
    }
    follower.assert_right();
    bus.stop().await.unwrap();
    let (duplicates, seconds) = (follower.duplicates.load(Relaxed), begun.elapsed().as_secs_f64());
    println!("fault F17 seed={seed} cycles=1 acknowledged={sent} lost=0 seconds={seconds:.1} bus={} duplicates={duplicates}", R::NAME);
}

/// F25. One thing of a hundred makes the subscriber panic.
async fn a_poisoned_event_blocks_its_aggregate_alone<R: Rig>(rig: &R) {
    let begun = Instant::now();
    let world = World::new().await;
    let follower = Follower::new(&world.store, "test.follower");
    let poisoned = "app-0-thing-0".to_owned();
    follower.poison.lock().unwrap().push(poisoned.clone());
    let relay = world.start(rig.bus(), vec![follower.clone()]);
    let things: Vec<(String, String)> = (0..100).map(|n| (format!("app-{}", n % 5), format!("app-{}-thing-{n}", n % 5))).collect();
    for _ in 0..3 {
        for (tenant, id) in &things {
            world.change(tenant, id).await.unwrap();
        }
    }
    for (tenant, id) in things.iter().skip(1) {
        until("the others are heard", async || world.ledger(tenant, id).await == Ledger::of(3)).await;
    }
    until("the poisoned one is set aside", async || {
        world.advance_seconds(400);
        rig.aside(&world).await > 0
    })
    .await;
    assert_eq!(world.ledger("app-0", &poisoned).await, Ledger::default());
    // What comes later waits behind, and nobody else does.
    world.change("app-0", &poisoned).await.unwrap();
    world.change("app-0", "app-0-thing-5").await.unwrap();
    until("the worker lives", async || world.ledger("app-0", "app-0-thing-5").await == Ledger::of(4)).await;
    assert_eq!(world.ledger("app-0", &poisoned).await, Ledger::default());

    follower.heal();
    until("a replay heals", async || {
        rig.replay(&world).await;
        world.ledger("app-0", &poisoned).await.heard == 4
    })
    .await;
    assert_eq!(world.ledger("app-0", &poisoned).await, Ledger::of(4), "in order");
    world.drained().await;
    assert_eq!(rig.aside(&world).await, 0);
    follower.assert_right();
    relay.stop().await.unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    println!("fault F25 seed=0 cycles=1 acknowledged=302 lost=0 seconds={seconds:.1} bus={} parked=1", R::NAME);
}

async fn what_nobody_hears_is_done_with(rig: &impl Rig) {
    let world = World::new().await;
    let follower = Follower::new(&world.store, "test.follower");
    let relay = world.start(rig.bus(), vec![follower.clone()]);
    let ignored = storage::Event { kind: IGNORED, payload: Vec::new() };
    let change = Change::of(Thing { n: 2 }).event(changed(1)).event(ignored.clone()).event(changed(2)).event(ignored);
    world.store.insert(&cx("acme"), "acme-1", change).await.unwrap();
    world.drained().await;
    until("what is heard was heard", async || world.ledger("acme", "acme-1").await.heard == 2).await;
    assert_eq!(world.ledger("acme", "acme-1").await.index, 2, "marks tell the events of one change apart");
    relay.stop().await.unwrap();
}

async fn a_relay_that_is_stopped_gives_back_and_one_that_dies_lets_lapse(rig: &impl Rig) {
    let world = World::new().await;
    let stuck = Arc::new(Stuck::default());
    let first = world.start(stuck.clone(), Vec::new());
    for n in 0..10 {
        world.change("acme", &format!("acme-{n}")).await.unwrap();
    }
    until("a relay has them all", async || stuck.0.load(Relaxed) == 10).await;
    let follower = Follower::new(&world.store, "test.follower");
    let second = world.start(rig.bus(), vec![follower.clone()]);
    drop(first);
    world.change("acme", "acme-10").await.unwrap();
    until("the next relay works", async || world.ledger("acme", "acme-10").await.heard == 1).await;
    until("its event is acknowledged", async || world.outbox().await.documents == 10).await;
    assert!(world.ledger("acme", "acme-0").await == Ledger::default(), "leases are kept");
    world.advance_seconds(31);
    for n in 0..10 {
        until("leases lapse", async || world.ledger("acme", &format!("acme-{n}")).await == Ledger::of(1)).await;
    }
    second.stop().await.unwrap();
    world.change("acme", "acme-11").await.unwrap();
    let mut hurried = world.clone();
    hurried.pace.finish = Duration::from_millis(50);
    hurried.pace.relay_lease = Duration::from_secs(3_600);
    let third = hurried.start(Arc::new(Refusing), Vec::new());
    until("it was tried", async || third.metrics().total().failed == 1).await;
    third.stop().await.unwrap();
    world.advance_seconds(2);
    let fourth = world.start(rig.bus(), vec![follower.clone()]);
    until("a stop gives back", async || world.ledger("acme", "acme-11").await.heard == 1).await;
    world.drained().await;
    fourth.stop().await.unwrap();
    follower.assert_right();
}

/// Takes nothing and never says so.
#[derive(Debug, Default)]
pub(crate) struct Stuck(pub std::sync::atomic::AtomicUsize);

impl Bus for Stuck {
    fn attach(&self, _: Vec<Arc<dyn Subscriber>>) -> kernel::Result<()> {
        Ok(())
    }

    fn ready(&self) -> kernel::Result<()> {
        Ok(())
    }

    fn publish<'a>(&'a self, _: &'a Arc<Delivered>) -> events::Taken<'a> {
        self.0.fetch_add(1, Relaxed);
        Box::pin(std::future::pending())
    }

    fn stop(&self) -> storage::Answer<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Takes nothing and says so.
#[derive(Debug)]
pub(crate) struct Refusing;

impl Bus for Refusing {
    fn attach(&self, _: Vec<Arc<dyn Subscriber>>) -> kernel::Result<()> {
        Ok(())
    }

    fn ready(&self) -> kernel::Result<()> {
        Ok(())
    }

    fn publish<'a>(&'a self, _: &'a Arc<Delivered>) -> events::Taken<'a> {
        Box::pin(std::future::ready(Err(events::Refusal::Failed(kernel::Error::refused("TEST_REFUSED", "no")))))
    }

    fn stop(&self) -> storage::Answer<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// So that rigs need not know the record.
pub(crate) const THINGS: &storage::Collection = &Thing::KIND;
