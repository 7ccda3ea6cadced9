//! Section 7 in part: the sweeper takes what is expired and nothing else, and no event is lost to it.

use super::*;
use crate::{Patch, Removal, taken};

pub(super) async fn holds(world: &World) {
    takes_only_what_is_expired(world).await;
    keeps_to_its_limit(world).await;
    makes_way_beside_changes(world).await;
}

async fn takes_only_what_is_expired(world: &World) {
    let store = &world.store;
    let (ours, theirs) = (cx("sweep-a"), cx("sweep-b"));
    assert_eq!(store.sweep(&across(), 100).await.unwrap(), 0);
    let soon = Time::from_seconds(NOW_SECONDS).plus_seconds(10).micros();
    let until = |expires: i64| Item { expires: Some(expires), ..Item::ranked("s", 1) };
    for cx in [&ours, &theirs] {
        put(store, cx, "gone", until(soon)).await;
        put(store, cx, "later", until(soon + 1)).await;
        put(store, cx, "lasting", Item::ranked("s", 1)).await;
        store.insert(cx, "loud", Change::of(until(soon)).event(event())).await.unwrap();
        let tomb = store.insert(cx, "tomb", Change::of(until(soon)).event(event())).await.unwrap();
        store.remove(cx, &tomb, Removal::new()).await.unwrap();
        store.insert(cx, "burnt", Change::of(Burnt { expires: Some(soon) })).await.unwrap();
        let burned = store.insert(cx, "burned", Change::of(Burnt { expires: Some(soon) })).await.unwrap();
        store.remove(cx, &burned, Removal::new()).await.unwrap();
        store.patch(cx, "tally", Patch::upsert(Tally { expires: Some(soon), ..Tally::default() }).inc("x", 1)).await.unwrap();
        let seen = put(store, cx, "renewed", until(soon)).await;
        store.replace(cx, &seen, Change::of(until(soon + 1))).await.unwrap();
    }
    assert_eq!(store.sweep(&across(), 100).await.unwrap(), 0, "not before its time");
    world.advance_seconds(10);
    assert_eq!(store.sweep(&across(), 100).await.unwrap(), 6, "one item, one burnt and one tally in each tenant");
    assert_eq!(store.sweep(&across(), 100).await.unwrap(), 0);
    world.advance_seconds(-10);
    for cx in [&ours, &theirs] {
        let left = every::<Item>(store, cx, 10, in_state("s", &ANY)).await;
        let left: Vec<_> = left.iter().map(|seen| seen.id.as_str()).collect();
        assert_eq!(left, ["lasting", "later", "loud", "renewed"], "seen with the clock set back: the swept are gone, not hidden");
        assert!(store.get::<Tally>(cx, "tally").await.unwrap().is_none());
        for id in ["burnt", "burned"] {
            assert!(store.get::<Burnt>(cx, id).await.unwrap().is_none());
            let again = store.insert(cx, id, Change::of(Burnt { expires: None })).await.unwrap_err();
            assert_eq!(taken(&again), Some("_id"), "an id that burns is never given again");
        }
        for id in ["tomb", "loud"] {
            assert_eq!(taken(&store.insert(cx, id, Change::of(Item::named(""))).await.unwrap_err()), Some("_id"), "events wait there");
        }
        put(store, cx, "gone", Item::named("")).await;
    }
}

/// More expired documents with waiting events than one piece of work looks at do not stop a round.
async fn keeps_to_its_limit(world: &World) {
    let store = &world.store;
    let cx = cx("sweep-limit");
    let puts = (0..600).map(|n| {
        let (store, cx) = (store.clone(), cx.clone());
        let change = Change::of(Item { expires: Some(1), ..Item::ranked("old", n) });
        let change = if n < 300 { change.event(event()) } else { change };
        tokio::spawn(async move { store.insert(&cx, &format!("n{n}"), change).await.unwrap() })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.unwrap();
    }
    let mut rounds = Vec::new();
    while rounds.last() != Some(&0) {
        rounds.push(store.sweep(&across(), 130).await.unwrap());
    }
    assert_eq!(rounds, [130, 130, 40, 0]);
}

/// Documents that are renewed, removed and patched while a sweeper runs are never swept in their new state.
async fn makes_way_beside_changes(world: &World) {
    let store = &world.store;
    let cx = cx("sweep-races");
    let tasks = (0..8).map(|task| {
        let (store, cx) = (store.clone(), cx.clone());
        tokio::spawn(async move {
            for n in 0..30 {
                let id = format!("i{task}-{n}");
                put(&store, &cx, &id, Item { expires: Some(1), ..Item::named("dead") }).await;
                put(&store, &cx, &id, Item::named("alive")).await;
                store.sweep(&across(), 50).await.unwrap();
                assert_eq!(store.get::<Item>(&cx, &id).await.unwrap().unwrap().body.text, "alive");
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}
