//! Documents that are due: late and twice are possible, missing is not.

use std::collections::BTreeSet;

use super::*;
use crate::{Due, Patch, Removal};

const LEASE: Duration = Duration::from_secs(60);

/// A document that wants attention.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Chore {
    due: Option<i64>,
    expires: Option<i64>,
}

impl Record for Chore {
    const KIND: Collection = Collection { name: "chores", version: 1, keys: &[], indexes: &[], burns: false, max_bytes: 0, max_items: 0 };

    fn keys(&self) -> Keys {
        Keys::new()
    }

    fn expires(&self) -> Option<Time> {
        self.expires.map(Time::from_micros)
    }

    fn due(&self) -> Option<Time> {
        self.due.map(Time::from_micros)
    }
}

pub(super) async fn hold(world: &World) {
    world.store.define::<Chore>().await.unwrap();
    oldest_first_and_again(world).await;
    only_what_is_there(world).await;
    counters(world).await;
    shared_among_many(world).await;
}

fn chores() -> &'static Collection {
    const { &Chore::KIND }
}

/// A chore due in so many seconds.
fn due_in(world: &World, seconds: i64) -> Chore {
    Chore { due: Some(world.store.clock.now().plus_seconds(seconds).micros()), expires: None }
}

async fn claim(world: &World, limit: usize) -> Vec<String> {
    let due: Vec<Due> = world.store.claim_due(&across(), chores(), limit, LEASE).await.unwrap();
    due.into_iter().map(|due| due.id).collect()
}

async fn oldest_first_and_again(world: &World) {
    let store = &world.store;
    let (ours, theirs) = (cx("due-a"), cx("due-b"));
    let first = store.insert(&ours, "late", Change::of(due_in(world, 20))).await.unwrap();
    store.insert(&theirs, "early", Change::of(due_in(world, 10))).await.unwrap();
    store.insert(&ours, "never", Change::of(Chore { due: None, expires: None })).await.unwrap();
    store.insert(&ours, "later", Change::of(due_in(world, 30))).await.unwrap();
    world.advance_seconds(9);
    assert!(claim(world, 10).await.is_empty());
    world.advance_seconds(11);
    assert_eq!(claim(world, 1).await, ["early"]);
    let due = store.claim_due(&across(), chores(), 10, LEASE).await.unwrap();
    assert_eq!(due, [Due { tenant: ours.tenant().clone(), id: "late".into(), version: first.version }]);
    assert!(claim(world, 10).await.is_empty(), "put off for the lease");

    let seen = store.replace(&ours, &first, Change::of(Chore { due: None, expires: None })).await.expect("a claim leaves the version");
    world.advance_seconds(60);
    assert_eq!(claim(world, 10).await, ["later", "early"], "the worker's change cleared one; an unfinished one comes again");
    world.advance_seconds(60);
    assert_eq!(claim(world, 10).await.len(), 2, "and again");
    for (cx, id) in [(&ours, "later"), (&theirs, "early")] {
        let seen = store.get::<Chore>(cx, id).await.unwrap().unwrap();
        store.replace(cx, &seen, Change::of(Chore { due: None, expires: None })).await.unwrap();
    }
    store.replace(&ours, &seen, Change::of(due_in(world, 5))).await.unwrap();
    world.advance_seconds(5);
    assert_eq!(claim(world, 10).await, ["late"], "or set the next time");
    let seen = store.get::<Chore>(&ours, "late").await.unwrap().unwrap();
    store.remove(&ours, &seen, Removal::new()).await.unwrap();
    world.advance_seconds(60);
    assert!(claim(world, 10).await.is_empty());
}

async fn only_what_is_there(world: &World) {
    let store = &world.store;
    let cx = cx("due-gone");
    let seen = store.insert(&cx, "tomb", Change::of(due_in(world, 1))).await.unwrap();
    store.remove(&cx, &seen, Removal::new().event(event())).await.unwrap();
    let soon = world.store.clock.now().plus_seconds(1);
    let expiring = Chore { due: Some(soon.micros()), expires: Some(soon.micros()) };
    store.insert(&cx, "expired", Change::of(expiring.clone()).event(event())).await.unwrap();
    store.insert(&cx, "there", Change::of(Chore { expires: Some(soon.plus_seconds(1).micros()), ..expiring })).await.unwrap();
    world.advance_seconds(1);
    assert_eq!(claim(world, 10).await, ["there"], "neither a tombstone nor an expired document is due");
    world.advance_seconds(100);
    for id in ["tomb", "expired"] {
        store.drop_events(&across(), chores(), cx.tenant(), id).await.unwrap();
    }
    store.sweep(&across(), 10).await.unwrap();
}

async fn counters(world: &World) {
    let store = &world.store;
    let cx = cx("due-tally");
    let at = |seconds| world.store.clock.now().plus_seconds(seconds);
    store.patch(&cx, "one", Patch::upsert(Tally::named("")).inc("x", 1).due(at(50))).await.unwrap();
    store.patch(&cx, "one", Patch::upsert(Tally::named("")).inc("x", 1).due(at(10))).await.unwrap();
    store.patch(&cx, "one", Patch::upsert(Tally::named("")).inc("x", 1).due(at(90))).await.unwrap();
    world.advance_seconds(10);
    let due = store.claim_due(&across(), const { &Tally::KIND }, 10, LEASE).await.unwrap();
    assert_eq!(due.len(), 1, "the earliest of all that were asked for");
    assert_eq!(store.get::<Tally>(&cx, "one").await.unwrap().unwrap().numbers["x"], 3);
}

/// Eight claim at once: each document once while the lease lasts, and none is forgotten.
async fn shared_among_many(world: &World) {
    let store = &world.store;
    let cx = cx("due-many");
    let count = world.scale.of(400).max(40);
    let puts = (0..count).map(|n| {
        let (store, cx, chore) = (store.clone(), cx.clone(), due_in(world, i64::try_from(n % 7).unwrap()));
        tokio::spawn(async move { store.insert(&cx, &format!("c{n}"), Change::of(chore)).await.unwrap() })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.unwrap();
    }
    world.advance_seconds(7);
    let claimers = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut claimed = Vec::new();
            loop {
                let due = store.claim_due(&across(), chores(), 10, LEASE).await.unwrap();
                if due.is_empty() {
                    return claimed;
                }
                claimed.extend(due.into_iter().map(|due| due.id));
            }
        })
    });
    let mut all = Vec::new();
    for claimer in claimers.collect::<Vec<_>>() {
        all.extend(claimer.await.unwrap());
    }
    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!((all.len(), distinct.len()), (usize::try_from(count).unwrap(), usize::try_from(count).unwrap()));
}
