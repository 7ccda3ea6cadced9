//! Section 5: a request id takes effect once, however often and by however many it is repeated.

use super::*;
use crate::{Remembered, Target, taken};

const ONE: Target<'static> = Target { id: "one", name: "apps/x/items/one" };

fn longer(item: &Item) -> Result<Change<Item>> {
    Ok(Change::of(Item::named(&format!("{}x", item.text))).event(event()))
}

pub(super) async fn holds(world: &World) {
    repeats(&world.store).await;
    creations(&world.store).await;
    seventeenth_change_forgets(&world.store).await;
    races(&world.store).await;
}

async fn repeats(store: &Store) {
    let cx = cx("once-repeats");
    let seen = put(store, &cx, "one", Item::named("")).await;
    let first = store.change(&cx, ONE, once("r1", 1), Some(seen.etag()), longer).await.unwrap();
    assert_eq!((first.version, first.repeat), (2, false));
    let again = store.change(&cx, ONE, once("r1", 1), Some(seen.etag()), longer).await.unwrap();
    assert_eq!((again.version, again.repeat, &again.body), (2, true, &first.body), "a repeat is neither stale nor decided twice");
    assert_eq!(reason(store.change(&cx, ONE, once("r1", 2), None, longer).await), "REQUEST_ID_REUSED");

    store.change(&cx, ONE, once("r2", 1), None, longer).await.unwrap();
    let late = store.change(&cx, ONE, once("r1", 1), None, longer).await.unwrap();
    assert_eq!((late.version, late.repeat, late.body.text.as_str()), (3, true, "xx"), "a late repeat shows the present state");
    assert_eq!(late.remembers(&once("r2", 1).unwrap()), Remembered::Same);
    assert_eq!(late.remembers(&once("r2", 9).unwrap()), Remembered::Other);
    assert_eq!(late.remembers(&once("r3", 1).unwrap()), Remembered::No);

    let long_form = store.replace(&cx, &seen, Change::of(Item::named("no")).once(once("r1", 1))).await;
    assert_eq!(reason(long_form), "VERSION_STALE", "in the long form the check belongs to the read");
    let task = Cx::system(cx.tenant().clone(), "task");
    let other = store.change(&task, ONE, once("r1", 2), None, longer).await.unwrap();
    assert_eq!((other.version, other.repeat), (4, false), "another actor's equal id is another id");
    for bad in ["ä", "a b", &"x".repeat(65)] {
        assert_eq!(reason(Once::of(bad, [0; 32])), "REQUEST_ID_INVALID");
    }
    assert!(Once::of("", [0; 32]).unwrap().is_none() && Once::of(&"x".repeat(64), [0; 32]).unwrap().is_some());
}

async fn creations(store: &Store) {
    let cx = cx("once-creates");
    let create = async |id: &'static str| store.insert(&cx, "one", Change::of(Item::named("a")).once(once(id, 1))).await;
    assert_eq!(create("r1").await.unwrap().remembers(&once("r1", 1).unwrap()), Remembered::Same);
    for again in ["r1", "r2"] {
        assert_eq!(taken(&create(again).await.unwrap_err()), Some("_id"), "the replay check of an insert is that it exists");
    }
    let seen = store.get::<Item>(&cx, "one").await.unwrap().unwrap();
    let met = [once("r1", 1), once("r1", 2), once("r2", 1)].map(|once| seen.remembers(&once.unwrap()));
    assert_eq!(met, [Remembered::Same, Remembered::Other, Remembered::No]);
}

async fn seventeenth_change_forgets(store: &Store) {
    let cx = cx("once-forgets");
    put(store, &cx, "one", Item::named("")).await;
    let plain = |item: &Item| Ok(Change::of(item.clone()));
    store.change(&cx, ONE, once("r0", 1), None, plain).await.unwrap();
    for n in 1..16 {
        store.change(&cx, ONE, once(&format!("r{n}"), 1), None, plain).await.unwrap();
    }
    assert!(store.change(&cx, ONE, once("r0", 1), None, plain).await.unwrap().repeat, "16 ids are remembered");
    store.change(&cx, ONE, once("r16", 1), None, plain).await.unwrap();
    let forgotten = store.change(&cx, ONE, once("r0", 1), None, plain).await.unwrap();
    assert_eq!((forgotten.repeat, forgotten.version), (false, 19), "the 17th change with an id forgets the oldest: it takes effect again");
}

/// Sixteen times the same request at once: one effect.
async fn races(store: &Store) {
    let cx = cx("once-races");
    put(store, &cx, "one", Item::named("")).await;
    let racers = (0..16).map(|_| {
        let (store, cx) = (store.clone(), cx.clone());
        tokio::spawn(async move {
            let changed = store.change(&cx, ONE, once("r1", 1), Some(kernel::Etag::of(1)), longer).await.unwrap();
            let created = store.insert(&cx, "two", Change::of(Item::named("")).once(once("r2", 1))).await;
            (changed, created.is_ok())
        })
    });
    let mut originals = (0, 0);
    for racer in racers.collect::<Vec<_>>() {
        let (changed, created) = racer.await.unwrap();
        assert_eq!((changed.version, changed.body.text.as_str()), (2, "x"));
        originals.0 += i32::from(!changed.repeat);
        originals.1 += i32::from(created);
    }
    assert_eq!(originals, (1, 1));
}
