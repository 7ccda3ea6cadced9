//! Whole documents carried from one collection into another: nothing is lost, invented or changed on the way.

use super::*;
use crate::{Envelope, Life, Patch, Removal, Target, taken};

/// The target of a copy of `Item`: another table with the same declaration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Copied(Item);

impl Record for Copied {
    const KIND: Collection = Collection { name: "copied", ..Item::KIND };

    fn keys(&self) -> Keys {
        self.0.keys()
    }

    fn expires(&self) -> Option<Time> {
        self.0.expires()
    }
}

pub(super) async fn hold(world: &World) {
    world.store.define::<Copied>().await.unwrap();
    round_trip(world).await;
    replaces_what_stands(world).await;
    counters_and_burned_ids(world).await;
}

async fn exported(store: &Store, kind: &'static Collection, size: usize) -> Vec<Envelope> {
    let mut all = Vec::<Envelope>::new();
    loop {
        let after = all.last().map(|last| (last.tenant.clone(), last.id.clone()));
        let page = store.export(&across(), kind, after, size).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

fn digests(envelopes: &[Envelope]) -> Vec<[u8; 32]> {
    envelopes.iter().map(|envelope| envelope.digest().unwrap()).collect()
}

/// Documents in every state that there is.
async fn fill(world: &World) {
    let store = &world.store;
    let target = Target { id: "changed", name: "changed" };
    for (at, tenant) in ["copy-b", "copy", "copy-a", "copyb"].into_iter().enumerate() {
        let cx = cx(tenant);
        put(store, &cx, "plain", Item::named("ä\u{10000}\"\\")).await;
        put(store, &cx, "Keyed", Item { email: Some(format!("{at}@x")), ..Item::ranked("s", -5) }).await;
        put(store, &cx, "changed", Item::named("")).await;
        store.change(&cx, target, once("r1", 1), None, |_| Ok(Change::of(Item::named("x")).event(event()))).await.unwrap();
        let expired = Item { expires: Some(5), ..Item::with_email("old@x") };
        store.insert(&cx, "expired", Change::of(expired).event(event())).await.unwrap();
        let tomb = put(store, &cx, "tomb", Item::with_email("t@x")).await;
        store.remove(&cx, &tomb, Removal::new().event(event()).event(event())).await.unwrap();
        let gone = put(store, &cx, "gone", Item::named("")).await;
        store.remove(&cx, &gone, Removal::new()).await.unwrap();
    }
    store.claim(&across(), const { &Item::KIND }, 3, Duration::from_secs(30)).await.unwrap();
}

async fn round_trip(world: &World) {
    let store = &world.store;
    fill(world).await;
    let source = exported(store, const { &Item::KIND }, 1_000).await;
    let places: Vec<_> = source.iter().map(|envelope| (envelope.tenant.as_str(), envelope.id.as_str())).collect();
    assert_eq!((places.len(), places.is_sorted()), (20, true), "by tenant, then by id");
    for size in [1, 3] {
        assert_eq!(exported(store, const { &Item::KIND }, size).await, source, "pages of {size}");
    }
    let copy = const { &Copied::KIND };
    for _ in 0..2 {
        store.import(&across(), copy, source.clone()).await.unwrap();
        let copied = exported(store, copy, 7).await;
        assert_eq!((digests(&copied) == digests(&source), &copied), (true, &source), "the same, and twice is as once");
    }
    let cx = cx("copy-a");
    assert_eq!(every::<Copied>(store, &cx, 10, in_state("s", &ANY)).await.len(), 1, "found by its index");
    assert!(store.get::<Copied>(&cx, "expired").await.unwrap().is_none() && store.get::<Copied>(&cx, "tomb").await.unwrap().is_none());
    let target = Target { id: "changed", name: "changed" };
    let again = store.change::<Copied>(&cx, target, once("r1", 1), None, |_| Err(Error::timeout())).await.unwrap();
    assert!(again.repeat, "request ids are remembered in the copy");
    assert_eq!(store.outbox(&across(), copy).await.unwrap().documents, 12, "and events wait there");
    let mut spoilt = source[0].clone();
    spoilt.keys.pop();
    assert_eq!(reason(store.import(&across(), copy, vec![spoilt]).await), "ENVELOPE_INVALID");
}

async fn replaces_what_stands(world: &World) {
    let store = &world.store;
    let copy = const { &Copied::KIND };
    let cx = cx("copy-a");
    let before = exported(store, copy, 1_000).await;
    let seen = store.get::<Copied>(&cx, "plain").await.unwrap().unwrap();
    store.replace(&cx, &seen, Change::of(Copied(Item::ranked("s", 9))).event(event())).await.unwrap();
    store.insert(&cx, "extra", Change::of(Copied(Item::with_email("extra@x")))).await.unwrap();
    store.import(&across(), copy, before.clone()).await.unwrap();
    let after = exported(store, copy, 1_000).await;
    assert_eq!(after.len(), before.len() + 1, "an import takes nothing away");
    store.expunge(&across(), copy, vec![(cx.tenant().clone(), "extra".into()), (cx.tenant().clone(), "none".into())]).await.unwrap();
    assert_eq!(exported(store, copy, 1_000).await, before);

    let keyed = before.iter().find(|envelope| envelope.tenant == "copy-a" && envelope.id == "Keyed").unwrap();
    let thief = Envelope { id: "thief".into(), ..keyed.clone() };
    let refused = store.import(&across(), copy, vec![thief.clone()]).await.unwrap_err();
    assert_eq!((refused.reason(), taken(&refused)), ("ALREADY_EXISTS", Some("email")));
    store.expunge(&across(), copy, vec![(cx.tenant().clone(), "Keyed".into())]).await.unwrap();
    store.import(&across(), copy, vec![thief]).await.expect("the key is free");
}

async fn counters_and_burned_ids(world: &World) {
    let store = &world.store;
    let cx = cx("copy-more");
    let add = Patch::upsert(Tally { due: Some(7), ..Tally::named("t") }).inc("x", i64::MAX).inc("y", i64::MIN).once(once("r", 1));
    store.patch(&cx, "tally", add).await.unwrap();
    let burnt = store.insert(&cx, "burnt", Change::of(Burnt { expires: None })).await.unwrap();
    store.remove(&cx, &burnt, Removal::new()).await.unwrap();
    for (kind, id) in [(const { &Tally::KIND }, "tally"), (const { &Burnt::KIND }, "burnt")] {
        let before = exported(store, kind, 10).await;
        assert_eq!((before.len(), before[0].id.as_str()), (1, id));
        store.expunge(&across(), kind, vec![(cx.tenant().clone(), id.into())]).await.unwrap();
        assert!(exported(store, kind, 10).await.is_empty(), "without a trace");
        store.import(&across(), kind, before.clone()).await.unwrap();
        assert_eq!(exported(store, kind, 10).await, before);
    }
    let back = store.get::<Tally>(&cx, "tally").await.unwrap().unwrap();
    assert_eq!((back.numbers["x"], back.numbers["y"]), (i64::MAX, i64::MIN));
    assert_eq!(reason(store.insert(&cx, "burnt", Change::of(Burnt { expires: None })).await), "ALREADY_EXISTS");
    assert_eq!(exported(store, const { &Burnt::KIND }, 10).await[0].life, Life::Burned);
}
