//! Section 7: events stand and fall with their change, leave in order under leases, and none is lost on the way.

use super::*;
use crate::{Ack, Claimed, Defer, Life, Outbox, PARKED, Patch, Removal, taken};

const LEASE: Duration = Duration::from_secs(30);
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

pub(super) async fn hold(world: &World) {
    stand_and_fall_with_their_change(world).await;
    leave_in_order(world).await;
    leases_are_kept(world).await;
    late_acknowledgements(world).await;
    deferred(world).await;
    tombstones_drain(world).await;
    expiry_eats_no_event(world).await;
    parked(world).await;
    claims_are_bounded(world).await;
}

pub(super) fn items() -> &'static Collection {
    const { &Item::KIND }
}

pub(super) async fn claim(world: &World, kind: &'static Collection) -> Vec<Claimed> {
    world.store.claim(&across(), kind, 100, LEASE).await.unwrap()
}

/// Acknowledges these events of a claim.
pub(super) async fn ack(world: &World, kind: &'static Collection, claim: &Claimed, events: &[usize]) {
    let events = events.iter().map(|at| claim.events[*at].id.clone()).collect();
    let ack = Ack { tenant: claim.tenant.clone(), id: claim.id.clone(), lease: claim.lease, events };
    world.store.ack(&across(), kind, vec![ack]).await.unwrap();
}

async fn ack_all(world: &World, kind: &'static Collection, claim: &Claimed) {
    ack(world, kind, claim, &(0..claim.events.len()).collect::<Vec<_>>()).await;
}

async fn outbox(world: &World, kind: &'static Collection) -> Outbox {
    world.store.outbox(&across(), kind).await.unwrap()
}

fn with(item: Item, events: usize) -> Change<Item> {
    (0..events).fold(Change::of(item), |change, _| change.event(event()))
}

/// Of each event: the version and the place among the events of its change.
fn marks(claim: &Claimed) -> Vec<(i64, u32)> {
    claim.events.iter().map(|event| (event.version, event.index)).collect()
}

async fn stand_and_fall_with_their_change(world: &World) {
    let store = &world.store;
    let cx = cx("ev-together").traced(TRACE);
    assert_eq!(outbox(world, items()).await, Outbox::default());
    let one = store.insert(&cx, "one", with(Item::with_email("a@x"), 2)).await.unwrap();
    let stale = store.insert(&cx, "two", with(Item::named(""), 0)).await.unwrap();
    let two = store.replace(&cx, &stale, with(Item::named(""), 0)).await.unwrap();
    let refused = [
        reason(store.insert(&cx, "one", with(Item::named(""), 1)).await),
        reason(store.insert(&cx, "three", with(Item::with_email("a@x"), 1)).await),
        reason(store.replace(&cx, &two, with(Item::with_email("a@x"), 1)).await),
        reason(store.remove(&cx, &stale, Removal::new().event(event())).await),
    ];
    assert_eq!(refused, ["ALREADY_EXISTS", "ALREADY_EXISTS", "ALREADY_EXISTS", "VERSION_STALE"]);
    store.replace(&cx, &one, with(Item::with_email("b@x"), 0)).await.unwrap();

    let claimed = claim(world, items()).await;
    assert_eq!(claimed.len(), 1, "what was refused left no event, and no event was invented");
    let [first, second] = claimed[0].events.as_slice() else { panic!("{claimed:?}") };
    assert_eq!((claimed[0].tenant.as_str(), claimed[0].id.as_str(), claimed[0].version, claimed[0].tries), ("ev-together", "one", 2, 1));
    assert_eq!(marks(&claimed[0]), [(1, 0), (1, 1)]);
    assert_eq!((first.kind.as_str(), first.payload.as_str(), first.trace.as_str()), ("items.item.changed", "CAE", TRACE));
    assert_eq!(first.at, Time::from_seconds(NOW_SECONDS).micros());
    assert!(first.id != second.id && first.id.starts_with("evt_"));
    ack_all(world, items(), &claimed[0]).await;
    assert_eq!(outbox(world, items()).await, Outbox::default());
    assert_eq!(store.get::<Item>(&cx, "one").await.unwrap().unwrap().version, 2, "an acknowledgement leaves the version");
    world.advance_seconds(100);
    assert!(claim(world, items()).await.is_empty());
}

async fn leave_in_order(world: &World) {
    let store = &world.store;
    let (ours, theirs) = (cx("ev-order-a"), cx("ev-order-b"));
    let mut seen = store.insert(&theirs, "z", with(Item::named(""), 1)).await.unwrap();
    world.advance_seconds(1);
    store.insert(&ours, "a", with(Item::named(""), 1)).await.unwrap();
    world.advance_seconds(1);
    for events in [3, 0, 2] {
        seen = store.replace(&theirs, &seen, with(Item::named(""), events)).await.unwrap();
    }
    let waits = outbox(world, items()).await;
    assert_eq!((waits.documents, waits.parked), (2, 0));
    assert_eq!(waits.oldest, Some(world.store.clock.now().plus_seconds(-2)), "when the oldest event happened");
    let first = store.claim(&across(), items(), 1, LEASE).await.unwrap();
    assert_eq!(first[0].id, "a", "who waited longest without a new event");
    let second = claim(world, items()).await;
    assert_eq!((second.len(), second[0].id.as_str()), (1, "z"));
    assert_eq!(marks(&second[0]), [(1, 0), (2, 0), (2, 1), (2, 2), (4, 0), (4, 1)]);
    for claimed in [&first[0], &second[0]] {
        ack_all(world, items(), claimed).await;
    }

    let upsert = || Patch::upsert(Tally::named("")).inc("x", 1).event(event());
    for _ in 0..3 {
        store.patch(&ours, "tally", upsert()).await.unwrap();
    }
    let claimed = claim(world, const { &Tally::KIND }).await;
    assert_eq!(claimed[0].events.iter().map(|event| event.version).collect::<Vec<_>>(), [1, 1, 1], "a patch leaves the version");
    ack_all(world, const { &Tally::KIND }, &claimed[0]).await;
}

async fn leases_are_kept(world: &World) {
    let store = &world.store;
    let cx = cx("ev-leases");
    let seen = store.insert(&cx, "one", with(Item::named(""), 1)).await.unwrap();
    let claimed = claim(world, items()).await;
    assert_eq!(claimed[0].lease, world.store.clock.now().plus_seconds(30));
    let seen = store.replace(&cx, &seen, with(Item::named(""), 1)).await.unwrap();
    assert!(claim(world, items()).await.is_empty(), "a new event does not cut a lease short");
    world.advance_seconds(29);
    store.replace(&cx, &seen, with(Item::named(""), 1)).await.unwrap();
    assert!(claim(world, items()).await.is_empty());
    world.advance_seconds(1);
    let again = claim(world, items()).await;
    assert_eq!((again.len(), again[0].tries, again[0].events.len()), (1, 2, 3), "when it is over anybody gets it, with all that waits");
    ack(world, items(), &again[0], &[0]).await;
    let rest = claim(world, items()).await;
    assert_eq!((rest[0].tries, rest[0].events.len()), (1, 2), "what is left comes at once, and tries begin anew");
    ack_all(world, items(), &rest[0]).await;
}

async fn late_acknowledgements(world: &World) {
    let store = &world.store;
    store.insert(&cx("ev-late"), "one", with(Item::named(""), 3)).await.unwrap();
    let lapsed = claim(world, items()).await.remove(0);
    world.advance_seconds(31);
    let held = claim(world, items()).await.remove(0);
    ack(world, items(), &lapsed, &[0]).await;
    assert!(claim(world, items()).await.is_empty(), "a late acknowledgement drops its event and leaves another's lease");
    ack(world, items(), &lapsed, &[0]).await;
    ack(world, items(), &Claimed { id: "none".into(), ..lapsed.clone() }, &[1]).await;
    world.advance_seconds(31);
    let last = claim(world, items()).await.remove(0);
    assert_eq!((last.tries, last.events.len()), (3, 2), "twice is as once, and a document that is gone is no error");
    ack(world, items(), &held, &[0, 1, 2]).await;
    assert_eq!(outbox(world, items()).await.documents, 0, "who published the last event ends the lease, whoever holds it");
}

async fn deferred(world: &World) {
    let store = &world.store;
    let cx = cx("ev-defer");
    let seen = store.insert(&cx, "one", with(Item::named(""), 1)).await.unwrap();
    let lapsed = claim(world, items()).await.remove(0);
    world.advance_seconds(31);
    let held = claim(world, items()).await.remove(0);
    let defer = |claim: &Claimed, until| {
        let defer = Defer { tenant: claim.tenant.clone(), id: claim.id.clone(), lease: claim.lease, until };
        let store = store.clone();
        async move { store.defer(&across(), items(), vec![defer]).await.unwrap() }
    };
    defer(&lapsed, world.store.clock.now()).await;
    assert!(claim(world, items()).await.is_empty(), "another's lease is not deferred");
    defer(&held, world.store.clock.now().plus_seconds(5)).await;
    world.advance_seconds(4);
    store.replace(&cx, &seen, with(Item::named(""), 1)).await.unwrap();
    assert!(claim(world, items()).await.is_empty(), "a new event does not cut a back-off short");
    world.advance_seconds(1);
    let again = claim(world, items()).await.remove(0);
    assert_eq!((again.tries, again.events.len()), (3, 2), "a back-off counts on");
    ack_all(world, items(), &again).await;
}

async fn tombstones_drain(world: &World) {
    let store = &world.store;
    let cx = cx("ev-tombs");
    let loud = store.insert(&cx, "loud", with(Item::with_email("t@x"), 1)).await.unwrap();
    store.remove(&cx, &loud, Removal::new().event(event()).event(event())).await.unwrap();
    let quiet = store.insert(&cx, "quiet", with(Item::with_email("t@x"), 1)).await.unwrap();
    store.remove(&cx, &quiet, Removal::new()).await.unwrap();
    let claimed = claim(world, items()).await;
    let of = |id: &str| claimed.iter().find(|claim| claim.id == id).unwrap();
    assert_eq!((marks(of("loud")), marks(of("quiet"))), (vec![(1, 0), (2, 0), (2, 1)], vec![(1, 0)]));
    ack(world, items(), of("loud"), &[0, 1]).await;
    assert_eq!(taken(&store.insert(&cx, "loud", with(Item::named(""), 0)).await.unwrap_err()), Some("_id"), "one event still waits");
    for id in ["loud", "quiet"] {
        ack_all(world, items(), of(id)).await;
        assert_eq!(put(store, &cx, id, Item::named("")).await.version, 1, "a drained tombstone goes");
    }

    let burnt = const { &Burnt::KIND };
    let seen = store.insert(&cx, "burn", Change::of(Burnt { expires: None }).event(event())).await.unwrap();
    store.remove(&cx, &seen, Removal::new().event(event())).await.unwrap();
    let claimed = claim(world, burnt).await;
    ack_all(world, burnt, &claimed[0]).await;
    assert_eq!(reason(store.insert(&cx, "burn", Change::of(Burnt { expires: None })).await), "ALREADY_EXISTS", "or burns");
    let left = store.export(&across(), burnt, Some((cx.tenant().to_string(), String::new())), 1).await.unwrap();
    assert_eq!((left[0].life, left[0].events.len(), left[0].publish, left[0].tries), (Life::Burned, 0, None, 0));
    assert_eq!(outbox(world, burnt).await, Outbox::default());
}

async fn expiry_eats_no_event(world: &World) {
    let store = &world.store;
    let cx = cx("ev-expiry");
    let soon = world.store.clock.now().plus_seconds(10).micros();
    store.insert(&cx, "loud", with(Item { expires: Some(soon), ..Item::with_email("e@x") }, 1)).await.unwrap();
    world.advance_seconds(10);
    assert_eq!(store.sweep(&across(), 100).await.unwrap(), 0);
    assert!(store.get::<Item>(&cx, "loud").await.unwrap().is_none());
    let claimed = claim(world, items()).await;
    assert_eq!(claimed[0].events.len(), 1, "an expired document still says what happened to it");
    assert_eq!(taken(&store.insert(&cx, "other", with(Item::with_email("e@x"), 0)).await.unwrap_err()), Some("email"));
    ack_all(world, items(), &claimed[0]).await;
    put(store, &cx, "other", Item::with_email("e@x")).await;
    assert_eq!(store.sweep(&across(), 100).await.unwrap(), 0, "the insert had it removed");
}

async fn parked(world: &World) {
    let store = &world.store;
    let cx = cx("ev-parked");
    for id in ["one", "two"] {
        let seen = store.insert(&cx, id, with(Item::named(""), 2)).await.unwrap();
        store.remove(&cx, &seen, Removal::new()).await.unwrap();
        world.advance_seconds(1);
    }
    store.insert(&cx, "lively", with(Item::named(""), 1)).await.unwrap();
    let claimed = claim(world, items()).await;
    let park = claimed.iter().filter(|claim| claim.id != "lively");
    let park = park.map(|c| Defer { tenant: c.tenant.clone(), id: c.id.clone(), lease: c.lease, until: PARKED });
    store.defer(&across(), items(), park.collect()).await.unwrap();
    let waits = outbox(world, items()).await;
    assert_eq!((waits.documents, waits.parked, waits.oldest), (3, 2, Some(world.store.clock.now())), "what is parked ages for nobody");
    world.advance_seconds(86_400);
    assert_eq!(claim(world, items()).await.iter().map(|claim| claim.id.as_str()).collect::<Vec<_>>(), ["lively"]);

    let listed = store.parked(&across(), items(), 10).await.unwrap();
    let mut listed: Vec<_> = listed.iter().map(|claim| (claim.id.as_str(), claim.tries, claim.events.len())).collect();
    listed.sort_unstable();
    assert_eq!(listed, [("one", 1, 2), ("two", 1, 2)]);
    assert_eq!(store.parked(&across(), items(), 1).await.unwrap().len(), 1);
    assert!(store.replay(&across(), items(), cx.tenant(), "one").await.unwrap());
    assert!(!store.replay(&across(), items(), cx.tenant(), "none").await.unwrap());
    let again = claim(world, items()).await;
    assert_eq!((again.len(), again[0].id.as_str(), again[0].tries), (1, "one", 1), "tries begin anew");
    ack_all(world, items(), &again[0]).await;
    for expected in [2, 0] {
        assert_eq!(store.drop_events(&across(), items(), cx.tenant(), "two").await.unwrap(), expected);
    }
    assert_eq!(put(store, &cx, "two", Item::named("")).await.version, 1, "a tombstone goes with its last event");
    assert_eq!(store.drop_events(&across(), items(), cx.tenant(), "lively").await.unwrap(), 1);
    assert!(store.get::<Item>(&cx, "lively").await.unwrap().is_some(), "a document stays");
    assert_eq!(outbox(world, items()).await, Outbox::default());
}

async fn claims_are_bounded(world: &World) {
    let store = &world.store;
    let cx = cx("ev-bounds");
    for n in 0..30 {
        let change = Change::of(Item::named("")).event(Event { kind: "items.item.changed", payload: vec![0; 200_000] });
        store.insert(&cx, &format!("{n:02}"), change).await.unwrap();
    }
    let mut sizes = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    while sizes.last() != Some(&0) {
        let claimed = claim(world, items()).await;
        sizes.push(claimed.len());
        for claim in claimed {
            ack_all(world, items(), &claim).await;
            ids.insert(claim.id);
        }
    }
    assert!(sizes[0] < 30 && ids.len() == 30, "large events come in several claims: {sizes:?}");
}
