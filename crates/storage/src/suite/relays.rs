//! Section 7 with many at once: relays and writers on the same documents. Every event arrives once and in its order.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use super::events::items;
use super::*;
use crate::{Ack, Claimed};

const RELAYS: usize = 8;
const WRITERS: u64 = 4;
const DOCUMENTS: u64 = 12;
const CHANGES: u64 = 500;

/// Version and place of each event, by document, as they arrived.
type Heard = Arc<Mutex<BTreeMap<String, Vec<(i64, u32)>>>>;

pub(super) async fn hold(world: &World) {
    let store = &world.store;
    for n in 0..DOCUMENTS {
        put(store, &cx("relays"), &n.to_string(), Item::named("")).await;
    }
    let changes = world.scale.of(CHANGES);
    let (heard, ended) = (Heard::default(), Arc::new(AtomicBool::new(false)));
    let relays: Vec<_> = (0..RELAYS).map(|_| tokio::spawn(relay(store.clone(), heard.clone(), ended.clone()))).collect();
    let writers: Vec<_> = (0..WRITERS).map(|seed| tokio::spawn(write(store.clone(), seed, changes))).collect();
    let mut told = BTreeMap::<String, Vec<(i64, u32)>>::new();
    for writer in writers {
        for (id, mark) in writer.await.unwrap() {
            told.entry(id).or_default().push(mark);
        }
    }
    ended.store(true, Ordering::Release);
    for relay in relays {
        relay.await.unwrap();
    }
    for marks in told.values_mut() {
        marks.sort_unstable();
    }
    assert_eq!(*heard.lock().unwrap(), told, "while no lease ran out every event arrived once, in the order of its document");
    assert_eq!(store.outbox(&across(), items()).await.unwrap().documents, 0);
}

async fn write(store: Store, seed: u64, changes: u64) -> Vec<(String, (i64, u32))> {
    let cx = cx("relays");
    let mut dice = Dice(seed);
    let mut told = Vec::new();
    for _ in 0..changes {
        let id = dice.below(DOCUMENTS).to_string();
        let events = u32::try_from(1 + dice.below(3)).unwrap();
        loop {
            let seen = store.get::<Item>(&cx, &id).await.unwrap().unwrap();
            let change = (0..events).fold(Change::of(Item::named("")), |change, _| change.event(event()));
            match store.replace(&cx, &seen, change).await {
                Ok(written) => {
                    told.extend((0..events).map(|index| (id.clone(), (written.version, index))));
                    break;
                }
                Err(error) => assert!(matches!(error.reason(), "VERSION_STALE" | "OUTBOX_FULL"), "{error:?}"),
            }
            tokio::task::yield_now().await;
        }
    }
    told
}

async fn relay(store: Store, heard: Heard, ended: Arc<AtomicBool>) {
    let mut bell = store.watch();
    loop {
        let last = ended.load(Ordering::Acquire);
        let claimed = store.claim(&across(), items(), 3, Duration::from_secs(30)).await.unwrap();
        if claimed.is_empty() && last && store.outbox(&across(), items()).await.unwrap().documents == 0 {
            return;
        }
        let idle = claimed.is_empty();
        for claim in claimed {
            let published = publish(&heard, &claim);
            store.ack(&across(), items(), vec![published]).await.unwrap();
        }
        if idle {
            // The bell is a hint: what it does not tell is found a moment later.
            let _ = tokio::time::timeout(Duration::from_millis(20), bell.rung()).await;
        }
    }
}

fn publish(heard: &Heard, claim: &Claimed) -> Ack {
    let marks = claim.events.iter().map(|event| (event.version, event.index));
    heard.lock().unwrap().entry(claim.id.clone()).or_default().extend(marks);
    let events = claim.events.iter().map(|event| event.id.clone()).collect();
    Ack { tenant: claim.tenant.clone(), id: claim.id.clone(), lease: claim.lease, events }
}
