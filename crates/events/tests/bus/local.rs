//! The bus inside one process, and what the relay does whatever the bus.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use events::{Bus, Inbox, Local, TRIES};
use kernel::Tenant;
use storage::Change;

use crate::suite::{Refusing, Rig, THINGS, all};
use crate::world::{Follower, Ledger, Other, World, changed, cx, until};

struct InProcess;

impl Rig for InProcess {
    const NAME: &'static str = "in-process";

    fn bus(&self) -> Arc<dyn Bus> {
        Arc::new(Local::new())
    }

    async fn aside(&self, world: &World) -> usize {
        world.outbox().await.parked
    }

    async fn replay(&self, world: &World) {
        for parked in world.store.parked(&world.across, THINGS, 100).await.unwrap() {
            assert!(world.store.replay(&world.across, THINGS, &parked.tenant, &parked.id).await.unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract() {
    all(async || InProcess).await;
}

#[tokio::test]
async fn the_33rd_waiting_event_is_refused_and_room_comes_with_a_relay() {
    let world = World::new().await;
    for _ in 0..32 {
        world.change("acme", "acme-1").await.unwrap();
    }
    assert_eq!(world.change("acme", "acme-1").await.unwrap_err().reason(), "OUTBOX_FULL");
    world.change("acme", "acme-2").await.unwrap();
    let follower = Follower::new(&world.store, "test.follower");
    let relay = world.start(Arc::new(Local::new()), vec![follower]);
    world.drained().await;
    world.change("acme", "acme-1").await.unwrap();
    until("all are heard", async || world.ledger("acme", "acme-1").await == Ledger::of(33)).await;
    relay.stop().await.unwrap();
}

#[tokio::test]
async fn eight_tries_with_growing_waits_then_parked_and_later_events_wait() {
    let world = World::new().await;
    let relay = world.start(Arc::new(Refusing), Vec::new());
    world.change("acme", "acme-1").await.unwrap();
    let mut waited = 0;
    for tries in 1..=TRIES as u64 {
        until("the next try", async || relay.metrics().total().failed == tries).await;
        // Half of the wait is never enough, all of it always is.
        let whole = 1 << (tries - 1);
        world.advance_seconds(whole);
        waited += whole;
    }
    assert_eq!(waited, 255);
    until("it is parked", async || relay.metrics().total().parked == 1).await;
    world.advance_seconds(30 * 86_400);
    world.change("acme", "acme-1").await.unwrap();
    world.change("acme", "acme-2").await.unwrap();
    until("others are tried", async || relay.metrics().total().failed == TRIES as u64 + 1).await;
    let parked = world.store.parked(&world.across, THINGS, 10).await.unwrap();
    assert_eq!((parked.len(), parked[0].tries, parked[0].events.len()), (1, TRIES, 2));
    let metrics = relay.metrics();
    assert_eq!((metrics.total().parkings, metrics.total().published, metrics.held), (1, 0, false));
    relay.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_slow_collection_and_one_slow_tenant_starve_nobody() {
    let world = World::new().await;
    let follower = Follower::new(&world.store, "test.follower");
    *follower.slow_collection.lock().unwrap() = Some("others".to_owned());
    *follower.slow_tenant.lock().unwrap() = Some("greedy".to_owned());
    for n in 0..200 {
        let change = Change::of(Other { n: 1 }).event(changed(1));
        world.store.insert(&cx("acme"), &format!("any-{n}"), change).await.unwrap();
        world.change("greedy", &format!("greedy-{n}")).await.unwrap();
    }
    world.advance_seconds(1);
    for n in 0..20 {
        world.change("modest", &format!("modest-{n}")).await.unwrap();
    }
    let relay = world.start(Arc::new(Local::new()), vec![follower.clone()]);
    for n in 0..20 {
        until("the others are heard", async || world.ledger("modest", &format!("modest-{n}")).await.heard == 1).await;
    }
    assert_eq!(world.ledger("greedy", "greedy-0").await.heard, 0, "the slow one still is");
    follower.permits.add_permits(10_000);
    for n in 0..200 {
        // Those that were silent for ten seconds had a failed try and wait for the next.
        until("the slow ones come, too", async || {
            world.advance_seconds(1);
            world.ledger("greedy", &format!("greedy-{n}")).await.heard == 1
        })
        .await;
    }
    world.drained().await;
    assert_eq!((world.outbox().await.parked, relay.metrics().total().parkings), (0, 0));
    relay.stop().await.unwrap();
    follower.assert_right();
}

#[tokio::test]
async fn a_backlog_holds_new_events_and_lets_go_when_it_is_worked_off() {
    let mut world = World::new().await;
    world.pace.backlog = 20;
    let follower = Follower::new(&world.store, "test.follower");
    *follower.slow_tenant.lock().unwrap() = Some("acme".to_owned());
    let relay = world.start(Arc::new(Local::new()), vec![follower.clone()]);
    for n in 0..21 {
        world.change("acme", &format!("acme-{n}")).await.unwrap();
    }
    until("it holds", async || relay.metrics().held).await;
    assert_eq!(world.change("acme", "acme-new").await.unwrap_err().reason(), "OUTBOX_FULL");
    assert_eq!(relay.metrics().total().waiting, 21);
    follower.permits.add_permits(1_000);
    until("it lets go", async || !relay.metrics().held).await;
    world.change("acme", "acme-new").await.unwrap();
    world.drained().await;
    until("nothing waits", async || relay.metrics().total().waiting == 0).await;
    relay.stop().await.unwrap();
}

#[tokio::test]
async fn two_subscribers_hear_and_one_that_fails_makes_both_hear_again() {
    let world = World::new().await;
    let (well, ill) = (Follower::new(&world.store, "test.well"), Follower::new(&world.store, "test.ill"));
    ill.poison.lock().unwrap().push("acme-1".to_owned());
    let relay = world.start(Arc::new(Local::new()), vec![well.clone(), ill.clone()]);
    world.change("acme", "acme-1").await.unwrap();
    until("it failed", async || relay.metrics().total().failed == 1).await;
    assert_eq!(well.calls.load(Relaxed), 1);
    ill.heal();
    world.advance_seconds(1);
    world.drained().await;
    assert_eq!((well.calls.load(Relaxed), ill.calls.load(Relaxed)), (2, 2));
    assert_eq!(world.ledger("acme", "acme-1").await, Ledger::of(1));
    relay.stop().await.unwrap();
}

#[tokio::test]
async fn an_inbox_lets_an_effect_happen_once_for_each_consumer() {
    let world = World::new().await;
    let inbox = Inbox::open(world.store.clone(), world.clock.clone()).await.unwrap();
    let event = events::Delivered {
        id: "evt_1".to_owned(),
        kind: "test".to_owned(),
        payload: Vec::new(),
        tenant: Tenant::parse("acme").unwrap(),
        collection: "things".to_owned(),
        aggregate: "acme-1".to_owned(),
        version: 1,
        index: 0,
        at: world.clock.now(),
        trace: String::new(),
        partition: 0,
    };
    let one = kernel::Cx::system(event.tenant.clone(), "test.one");
    let two = kernel::Cx::system(event.tenant.clone(), "test.two");
    let well = || std::future::ready(Ok(()));
    let ill = || std::future::ready(Err(kernel::Error::unavailable("TEST_DOWN", "")));
    assert_eq!(inbox.once(&one, &event, ill()).await.unwrap_err().reason(), "TEST_DOWN");
    assert!(inbox.once(&one, &event, well()).await.unwrap(), "a failure is not remembered");
    assert!(!inbox.once(&one, &event, well()).await.unwrap());
    assert!(inbox.once(&two, &event, well()).await.unwrap(), "each consumer for itself");
    world.advance_seconds(7 * 86_400);
    assert!(inbox.once(&one, &event, well()).await.unwrap(), "after a week it is forgotten");
    assert!(world.store.sweep(&world.across, 100).await.unwrap() > 0);
}

#[tokio::test]
async fn a_collection_that_is_defined_later_has_its_events_told() {
    #[derive(Clone, serde::Serialize, serde::Deserialize)]
    struct Late {}
    impl storage::Record for Late {
        const KIND: storage::Collection = storage::Collection { name: "late", ..<Other as storage::Record>::KIND };
        fn keys(&self) -> storage::Keys {
            storage::Keys::new()
        }
    }
    let world = World::new().await;
    let follower = Follower::new(&world.store, "test.follower");
    let relay = world.start(Arc::new(Local::new()), vec![follower]);
    world.store.define::<Late>().await.unwrap();
    world.store.insert(&cx("acme"), "acme-1", Change::of(Late {}).event(changed(1))).await.unwrap();
    until("it is heard", async || world.ledger("acme", "acme-1").await.heard == 1).await;
    relay.stop().await.unwrap();
}

#[tokio::test]
async fn what_cannot_run_is_refused() {
    let world = World::new().await;
    let start = |pace, subscribers: Vec<Arc<dyn events::Subscriber>>| {
        let (store, across, clock) = (world.store.clone(), world.across.clone(), world.clock.clone());
        let start = events::Start { store, across, bus: Arc::new(Local::new()), subscribers, workers: Vec::new(), clock, pace };
        events::start(start).map(drop).map_err(|error| error.reason())
    };
    let twice = || Follower::new(&world.store, "test.twice");
    assert_eq!(start(world.pace, vec![twice(), twice()]), Err("SUBSCRIBERS_INVALID"));
    assert_eq!(start(events::Pace { flights: 0, ..world.pace }, Vec::new()), Err("PACE_INVALID"));
    assert_eq!(start(events::Pace { work_limit: Duration::from_secs(61), ..world.pace }, Vec::new()), Err("PACE_INVALID"));
}
