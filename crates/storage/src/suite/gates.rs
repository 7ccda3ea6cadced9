//! What a store lets in at present, and the bell that rings when something is to be done.

use super::*;
use crate::{Ack, Patch, Removal};

pub(super) async fn hold(world: &World) {
    held_events(&world.store).await;
    read_only(&world.store).await;
    bells_ring(&world.store).await;
    assert_eq!(world.store.kinds().iter().map(|kind| kind.name).collect::<Vec<_>>(), ["items", "burnt", "tallies"]);
}

async fn held_events(store: &Store) {
    let cx = cx("gate-events");
    let seen = put(store, &cx, "one", Item::named("")).await;
    store.clone().hold_events(true);
    let refused = [
        store.insert(&cx, "two", Change::of(Item::named("")).event(event())).await.map(|_| ()),
        store.replace(&cx, &seen, Change::of(Item::named("")).event(event())).await.map(|_| ()),
        store.patch(&cx, "t", Patch::upsert(Tally::named("")).event(event())).await.map(|_| ()),
        store.remove(&cx, &seen, Removal::new().event(event())).await,
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert_eq!((error.kind(), error.reason(), error.wait().is_some()), (kernel::Kind::Exhausted, "OUTBOX_FULL", true));
    }
    let seen = store.replace(&cx, &seen, Change::of(Item::named(""))).await.expect("changes without events go on");
    store.hold_events(false);
    store.remove(&cx, &seen, Removal::new().event(event())).await.unwrap();
    store.drop_events(&across(), const { &Item::KIND }, cx.tenant(), "one").await.unwrap();
}

async fn read_only(store: &Store) {
    let cx = cx("gate-closed");
    let items = const { &Item::KIND };
    let seen = store.insert(&cx, "one", Change::of(Item::ranked("s", 1)).event(event())).await.unwrap();
    let before = store.export(&across(), items, None, 10).await.unwrap();
    store.clone().read_only(true);
    let ack = Ack { tenant: cx.tenant().clone(), id: "one".into(), lease: Time::default(), events: vec![before[0].events[0].id.clone()] };
    let refused = [
        store.insert(&cx, "two", Change::of(Item::named(""))).await.map(|_| ()),
        store.replace(&cx, &seen, Change::of(Item::named(""))).await.map(|_| ()),
        store.remove(&cx, &seen, Removal::new()).await,
        store.patch(&cx, "t", Patch::upsert(Tally::named(""))).await.map(|_| ()),
        store.sweep(&across(), 1).await.map(|_| ()),
        store.claim(&across(), items, 1, Duration::from_secs(1)).await.map(|_| ()),
        store.ack(&across(), items, vec![ack]).await,
        store.defer(&across(), items, Vec::new()).await,
        store.claim_due(&across(), items, 1, Duration::from_secs(1)).await.map(|_| ()),
        store.replay(&across(), items, cx.tenant(), "one").await.map(|_| ()),
        store.drop_events(&across(), items, cx.tenant(), "one").await.map(|_| ()),
        store.import(&across(), items, before.clone()).await,
        store.expunge(&across(), items, vec![(cx.tenant().clone(), "one".into())]).await,
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert_eq!((error.kind(), error.reason(), error.wait().is_some()), (kernel::Kind::Unavailable, "STORE_READ_ONLY", true));
    }
    assert_eq!(store.get::<Item>(&cx, "one").await.unwrap().unwrap().version, 1);
    assert_eq!(every::<Item>(store, &cx, 10, in_state("s", &ANY)).await.len(), 1);
    assert_eq!(store.export(&across(), items, None, 10).await.unwrap(), before, "nothing has moved");
    store.read_only(false);
    noted(store).await;
    store.remove(&cx, &seen, Removal::new()).await.unwrap();
    store.drop_events(&across(), items, cx.tenant(), "one").await.unwrap();
}

/// What is noted is for the next start: it refuses nothing until it is recalled.
async fn noted(store: &Store) {
    assert!(!store.recall_read_only().await.unwrap() && !store.is_read_only(), "nothing was noted");
    for _ in 0..2 {
        store.note_read_only(true).await.unwrap();
    }
    assert!(!store.is_read_only());
    assert!(store.recall_read_only().await.unwrap() && store.is_read_only());
    store.read_only(false);
    store.note_read_only(false).await.unwrap();
    assert!(!store.recall_read_only().await.unwrap() && !store.is_read_only(), "noted anew");
}

async fn bells_ring(store: &Store) {
    let cx = cx("gate-bells");
    let (mut one, mut other) = (store.watch(), store.watch());
    let rung = async |bell: &mut crate::Bell| tokio::time::timeout(Duration::from_secs(10), bell.rung()).await.expect("the bell rings");
    store.insert(&cx, "one", Change::of(Item::named("")).event(event())).await.unwrap();
    rung(&mut one).await;
    store.patch(&cx, "t", Patch::upsert(Tally::named("")).due(Time::from_seconds(1))).await.unwrap();
    rung(&mut one).await;
    rung(&mut other).await;
}
