//! Sections 2 and 7 in small: what each call does to one document, tombstones, burned ids and expiry.

use super::*;
use crate::{Removal, Target, taken};

pub(super) async fn hold(world: &World) {
    versions_and_absence(world).await;
    unique_keys(world).await;
    tombstones_and_burned_ids(world).await;
    expiry(world).await;
    change_decides_again(world).await;
    definitions(world).await;
}

async fn versions_and_absence(World { store, .. }: &World) {
    let cx = cx("versions");
    assert!(store.get::<Item>(&cx, "one").await.unwrap().is_none());
    assert!(store.get::<Item>(&cx, &"x".repeat(500)).await.unwrap().is_none(), "an impossible id is absent");
    let first = put(store, &cx, "one", Item::named("a")).await;
    assert_eq!((first.version, first.etag().to_string().as_str(), first.repeat), (1, "\"1\"", false));
    let second = store.replace(&cx, &first, Change::of(Item::named("b"))).await.unwrap();
    let read = store.get::<Item>(&cx, "one").await.unwrap().unwrap();
    assert_eq!((read.version, read.body, second.version), (2, Item::named("b"), 2));

    let stale = store.replace(&cx, &first, Change::of(Item::named("c"))).await;
    assert!(format!("{:?}", stale.as_ref().unwrap_err()).contains("version 2 is present"));
    assert_eq!(reason(stale), "VERSION_STALE");
    assert_eq!(reason(store.remove(&cx, &first, Removal::new()).await), "VERSION_STALE");
    store.remove(&cx, &second, Removal::new()).await.unwrap();
    assert_eq!(reason(store.remove(&cx, &second, Removal::new()).await), "NOT_FOUND");
    assert_eq!(reason(store.replace(&cx, &second, Change::of(Item::named("d"))).await), "NOT_FOUND");
    assert_eq!(put(store, &cx, "one", Item::named("again")).await.version, 1, "a removed id without events is free");
}

async fn unique_keys(World { store, .. }: &World) {
    let cx = cx("unique");
    let ann = put(store, &cx, "ann", Item::with_email("a@x")).await;
    let bob = put(store, &cx, "bob", Item::with_email("b@x")).await;
    let _ = (put(store, &cx, "no1", Item::named("")).await, put(store, &cx, "no2", Item::named("")).await);
    for error in [
        store.insert(&cx, "eve", Change::of(Item::with_email("a@x"))).await.unwrap_err(),
        store.replace(&cx, &bob, Change::of(Item::with_email("a@x"))).await.unwrap_err(),
    ] {
        assert_eq!((error.reason(), taken(&error)), ("ALREADY_EXISTS", Some("email")));
    }
    let error = store.insert(&cx, "ann", Change::of(Item::with_email("c@x"))).await.unwrap_err();
    assert_eq!((error.reason(), taken(&error)), ("ALREADY_EXISTS", Some("_id")));
    assert!(store.get::<Item>(&cx, "eve").await.unwrap().is_none(), "a refused insert leaves nothing");

    let ann = store.replace(&cx, &ann, Change::of(Item::with_email("a2@x"))).await.unwrap();
    let bob = store.replace(&cx, &bob, Change::of(Item::with_email("a@x"))).await.unwrap();
    store.remove(&cx, &bob, Removal::new().event(event())).await.unwrap();
    store.replace(&cx, &ann, Change::of(Item::with_email("a@x"))).await.expect("keys of a tombstone are free at once");
}

async fn tombstones_and_burned_ids(World { store, .. }: &World) {
    let cx = cx("tombs");
    for (id, on_insert, on_remove) in [("before", true, false), ("with", false, true)] {
        let change = Change::of(Item::named(id));
        let seen = store.insert(&cx, id, if on_insert { change.event(event()) } else { change }).await.unwrap();
        let removal = if on_remove { Removal::new().event(event()) } else { Removal::new() };
        store.remove(&cx, &seen, removal).await.unwrap();
        assert!(store.get::<Item>(&cx, id).await.unwrap().is_none());
        assert_eq!(reason(store.remove(&cx, &seen, Removal::new()).await), "NOT_FOUND");
        let again = store.insert(&cx, id, Change::of(Item::named(id))).await.unwrap_err();
        assert_eq!(taken(&again), Some("_id"), "events that wait keep the id");
    }
    let seen = store.insert(&cx, "burn", Change::of(Burnt { expires: None })).await.unwrap();
    store.remove(&cx, &seen, Removal::new()).await.unwrap();
    assert!(store.get::<Burnt>(&cx, "burn").await.unwrap().is_none());
    assert_eq!(reason(store.insert(&cx, "burn", Change::of(Burnt { expires: None })).await), "ALREADY_EXISTS");
}

async fn expiry(world: &World) {
    let store = &world.store;
    let cx = cx("expiry");
    let soon = Time::from_seconds(NOW_SECONDS).plus_seconds(10).micros();
    let short = |email: &str| Item { expires: Some(soon), state: Some("s".into()), rank: Some(1), ..Item::with_email(email) };
    let seen = put(store, &cx, "quiet", short("q@x")).await;
    store.insert(&cx, "loud", Change::of(short("l@x")).event(event())).await.unwrap();
    let held = put(store, &cx, "held", short("h@x")).await;
    put(store, &cx, "lasting", Item::ranked("s", 2)).await;
    store.insert(&cx, "burn", Change::of(Burnt { expires: Some(soon) })).await.unwrap();

    world.advance_seconds(10);
    assert!(store.get::<Item>(&cx, "quiet").await.unwrap().is_none(), "expired at its time, swept or not");
    let left = every::<Item>(store, &cx, 1, in_state("s", &ANY)).await;
    assert_eq!(left.iter().map(|seen| seen.id.as_str()).collect::<Vec<_>>(), ["lasting"]);
    assert_eq!(reason(store.replace(&cx, &seen, Change::of(Item::named(""))).await), "NOT_FOUND");
    assert_eq!(reason(store.remove(&cx, &held, Removal::new()).await), "NOT_FOUND");

    put(store, &cx, "quiet", Item::with_email("h@x")).await;
    assert!(store.get::<Item>(&cx, "held").await.unwrap().is_none());
    let loud = store.insert(&cx, "loud", Change::of(Item::named(""))).await.unwrap_err();
    let key = store.insert(&cx, "other", Change::of(Item::with_email("l@x"))).await.unwrap_err();
    assert_eq!((taken(&loud), taken(&key)), (Some("_id"), Some("email")), "expiry never eats events");
    assert_eq!(reason(store.insert(&cx, "burn", Change::of(Burnt { expires: None })).await), "ALREADY_EXISTS", "burned");
    world.advance_seconds(-10);
}

async fn change_decides_again(World { store, .. }: &World) {
    let cx = cx("change");
    let target = Target { id: "one", name: "apps/change/items/one" };
    let absent = store.change::<Item>(&cx, target, None, None, |_| Ok(Change::of(Item::named("")))).await.unwrap_err();
    assert_eq!((absent.reason(), absent.message()), ("NOT_FOUND", "apps/change/items/one was not found"));
    let seen = put(store, &cx, "one", Item::named("a")).await;
    let longer = |item: &Item| Ok(Change::of(Item::named(&format!("{}b", item.text))).event(event()));
    let changed = store.change(&cx, target, None, Some(seen.etag()), longer).await.unwrap();
    assert_eq!((changed.version, changed.body.text.as_str()), (2, "ab"));
    assert_eq!(reason(store.change(&cx, target, None, Some(seen.etag()), longer).await), "ETAG_STALE");
    let refused = store.change::<Item>(&cx, target, None, None, |_| Err(Error::timeout())).await;
    assert_eq!(reason(refused), "DEADLINE_EXCEEDED", "what the rule says");
}

async fn definitions(World { store, .. }: &World) {
    store.define::<Item>().await.expect("defining again changes nothing");
    let page = Page::of(0, "").unwrap();
    let other = Find { index: "rank", prefix: Vec::new(), range: None, descending: false, page: &page };
    assert_eq!(reason(store.find::<Item>(&cx("versions"), other).await), "INDEX_UNKNOWN");
    for prefix in [vec![Key::from(1)], vec!["s".into(), "s".into()], vec!["s".into(), 1.into(), 1.into()]] {
        let question = Find { index: "state_rank", prefix, range: None, descending: false, page: &page };
        assert_eq!(reason(store.find::<Item>(&cx("versions"), question).await), "FIND_INVALID");
    }
    store.engine().ready().unwrap();
}
