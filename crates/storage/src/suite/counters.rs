//! Section 2 for counters: what a patch does to one document, alone and with others at once; counting by index.

use super::*;
use crate::{Count, MAX_NUMBERS, Numbers, Op, Patch, Remembered, Removal, Test, standing, taken};

pub(super) async fn hold(world: &World) {
    operations_and_conditions(&world.store).await;
    refusals_change_nothing(&world.store).await;
    upserts(world).await;
    patches_take_effect_once(&world.store).await;
    nothing_is_lost_in_races(&world.store).await;
    counting(world).await;
}

fn numbers(of: &[(&str, i64)]) -> Numbers {
    of.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect()
}

async fn stands(store: &Store, cx: &Cx, id: &str) -> Option<Numbers> {
    store.get::<Tally>(cx, id).await.unwrap().map(|seen| seen.numbers)
}

async fn operations_and_conditions(store: &Store) {
    let cx = cx("tally-ops");
    let made = store.insert(&cx, "one", Change::of(Tally::named("a")).number("x", 5).number("y", -1)).await.unwrap();
    assert_eq!((made.version, &made.numbers), (1, &numbers(&[("x", 5), ("y", -1)])));
    let every = Patch::given([]).inc("x", 2).op("y", Op::Max(3)).op("low", Op::Min(7)).op("set", Op::Set(i64::MIN));
    let after = store.patch::<Tally>(&cx, "one", every).await.unwrap();
    let expected = numbers(&[("x", 7), ("y", 3), ("low", 7), ("set", i64::MIN)]);
    assert_eq!((after.version, &after.numbers, &after.body, after.repeat), (1, &expected, &Tally::named("a"), false));
    let read = store.get::<Tally>(&cx, "one").await.unwrap().unwrap();
    assert_eq!((read.version, read.etag(), read.numbers), (1, made.etag(), expected), "version and etag stay");

    let bounded = || Patch::given([("x", Test::AtMost(10)), ("none", Test::Exists(false))]).inc("x", 2);
    for expected in [9, 11] {
        assert_eq!(store.patch::<Tally>(&cx, "one", bounded()).await.unwrap().numbers["x"], expected);
    }
    let refused = store.patch::<Tally>(&cx, "one", bounded()).await.unwrap_err();
    assert_eq!((refused.kind(), refused.reason()), (kernel::Kind::Refused, "CONDITION_FALSE"));
    assert_eq!(standing(&refused), stands(store, &cx, "one").await.as_ref(), "with the present image");
    store.remove(&cx, &made, Removal::new()).await.expect("patches leave the version");
    assert_eq!(reason(store.patch::<Tally>(&cx, "one", Patch::given([]).inc("x", 1)).await), "NOT_FOUND");
}

async fn refusals_change_nothing(store: &Store) {
    let cx = cx("tally-refused");
    let before = numbers(&[("a", 1), ("big", i64::MAX - 1), ("small", i64::MIN)]);
    let change = before.iter().fold(Change::of(Tally::named("")), |change, (name, number)| change.number(name, *number));
    store.insert(&cx, "one", change).await.unwrap();
    let long = "n".repeat(65);
    let refused = [
        ("NUMBER_OVERFLOW", Patch::given([]).inc("a", 1).inc("big", 2)),
        ("NUMBER_OVERFLOW", Patch::given([]).inc("a", 1).inc("small", -1)),
        ("CONDITION_FALSE", Patch::given([("a", Test::Equal(1)), ("b", Test::AtLeast(0))]).inc("a", 1)),
        ("NUMBERS_INVALID", Patch::given([]).inc("a", 1).op("a", Op::Set(2))),
        ("NUMBERS_INVALID", Patch::given([]).inc("A", 1)),
        ("NUMBERS_INVALID", Patch::given([]).inc("a.b", 1)),
        ("NUMBERS_INVALID", Patch::given([]).inc("", 1)),
        ("NUMBERS_INVALID", Patch::given([]).inc(&long, 1)),
    ];
    for (expected, patch) in refused {
        let shown = format!("{patch:?}");
        assert_eq!(reason(store.patch::<Tally>(&cx, "one", patch.event(event())).await), expected, "{shown}");
        assert_eq!(stands(store, &cx, "one").await.unwrap(), before, "{shown}");
    }
    store.patch::<Tally>(&cx, "one", Patch::given([]).inc("big", 1)).await.expect("up to the end of the range");
    store.patch::<Tally>(&cx, "one", Patch::given([]).inc(&long[1..], 1)).await.expect("a name of 64 bytes");
    assert_eq!(reason(store.insert(&cx, "no", Change::of(Item::named("")).number("x", 1)).await), "NUMBERS_INVALID");

    let many = |from: usize, to: usize| (from..to).fold(Patch::given([]), |patch, n| patch.inc(&format!("n{n}"), 1));
    store.insert(&cx, "many", Change::of(Tally::named(""))).await.unwrap();
    assert_eq!(reason(store.patch::<Tally>(&cx, "many", many(0, MAX_NUMBERS + 1)).await), "NUMBERS_INVALID");
    assert_eq!(store.patch::<Tally>(&cx, "many", many(0, MAX_NUMBERS)).await.unwrap().numbers.len(), MAX_NUMBERS);
    assert_eq!(reason(store.patch::<Tally>(&cx, "many", many(MAX_NUMBERS, MAX_NUMBERS + 1)).await), "NUMBERS_INVALID");
    store.patch::<Tally>(&cx, "many", many(0, 1)).await.expect("a full counter counts on");
}

async fn upserts(world: &World) {
    let store = &world.store;
    let cx = cx("tally-upsert");
    let add = |text: &str| Patch::upsert(Tally::named(text)).inc("x", 1);
    let made = store.patch(&cx, "one", add("first")).await.unwrap();
    assert_eq!((made.version, made.body.text.as_str(), made.numbers["x"]), (1, "first", 1));
    let again = store.patch(&cx, "one", add("second")).await.unwrap();
    assert_eq!((again.version, again.body.text.as_str(), again.numbers["x"]), (1, "first", 2), "the body stays");
    assert_eq!(reason(store.patch::<Tally>(&cx, "none", Patch::given([("x", Test::Exists(false))]).inc("x", 1)).await), "NOT_FOUND");
    assert_eq!(reason(store.patch(&cx, "a\nb", add("")).await), "ID_INVALID");

    store.patch(&cx, "tomb", add("").event(event())).await.unwrap();
    let tomb = store.get::<Tally>(&cx, "tomb").await.unwrap().unwrap();
    store.remove(&cx, &tomb, Removal::new()).await.unwrap();
    assert_eq!(taken(&store.patch(&cx, "tomb", add("")).await.unwrap_err()), Some("_id"), "events that wait keep the id");

    let soon = Time::from_seconds(NOW_SECONDS).plus_seconds(10).micros();
    store.patch(&cx, "short", Patch::upsert(Tally { expires: Some(soon), ..Tally::named("old") }).inc("x", 9)).await.unwrap();
    world.advance_seconds(10);
    assert_eq!(reason(store.patch::<Tally>(&cx, "short", Patch::given([]).inc("x", 1)).await), "NOT_FOUND");
    let renewed = store.patch(&cx, "short", add("new")).await.unwrap();
    assert_eq!((renewed.body.text.as_str(), renewed.numbers["x"]), ("new", 1), "an expired document gives way");
    world.advance_seconds(-10);
}

async fn patches_take_effect_once(store: &Store) {
    let cx = cx("tally-once");
    let ask = |id: &str, request| Patch::upsert(Tally::named("")).inc("x", 1).event(event()).once(once(id, request));
    let first = store.patch(&cx, "one", ask("r1", 1)).await.unwrap();
    store.patch(&cx, "one", ask("r2", 1)).await.unwrap();
    let again = store.patch(&cx, "one", ask("r1", 1)).await.unwrap();
    assert_eq!((first.repeat, again.repeat, again.numbers["x"]), (false, true, 2), "a repeat shows the present numbers");
    assert_eq!(again.remembers(&once("r2", 1).unwrap()), Remembered::Same);
    assert_eq!(reason(store.patch(&cx, "one", ask("r1", 2)).await), "REQUEST_ID_REUSED");
    let bounded = || Patch::given([("x", Test::Below(3))]).inc("x", 1).once(once("r3", 1));
    store.patch::<Tally>(&cx, "one", bounded()).await.unwrap();
    assert!(store.patch::<Tally>(&cx, "one", bounded()).await.unwrap().repeat, "a repeat is not judged by its conditions again");
    for n in 4..19 {
        store.patch(&cx, "one", ask(&format!("r{n}"), 1)).await.unwrap();
    }
    assert!(store.patch(&cx, "one", ask("r3", 1)).await.unwrap().repeat, "16 ids are remembered");
    assert!(!store.patch(&cx, "one", ask("r2", 1)).await.unwrap().repeat, "and a 17th takes effect again");

    let full = |n: usize| (0..n).fold(Patch::upsert(Tally::named("")), |patch, _| patch.event(event()));
    store.patch(&cx, "events", full(31)).await.unwrap();
    assert_eq!(reason(store.patch(&cx, "events", full(2).inc("x", 1)).await), "OUTBOX_FULL");
    assert!(stands(store, &cx, "events").await.unwrap().is_empty());
    store.patch(&cx, "events", full(1)).await.unwrap();
}

/// Sixteen tasks: every addition counts, an upsert makes one document, a limit is never passed, a request takes effect once.
async fn nothing_is_lost_in_races(store: &Store) {
    let cx = cx("tally-races");
    let tasks = (0..16).map(|task| {
        let (store, cx) = (store.clone(), cx.clone());
        tokio::spawn(async move {
            let mut within = 0;
            for n in 0..40 {
                let add = Patch::upsert(Tally::named("")).inc("x", 1).op("high", Op::Max(task * 100 + n));
                store.patch(&cx, "sum", add).await.unwrap();
                let limited = Patch::<Tally>::given([("x", Test::Below(100))]).inc("x", 1);
                within += i32::from(match store.patch(&cx, "limit", limited).await {
                    Ok(after) => after.numbers["x"] <= 100,
                    Err(error) => error.reason() != "CONDITION_FALSE",
                });
            }
            let same = Patch::upsert(Tally::named("")).inc("x", 1).once(once("same", 1));
            (within, store.patch(&cx, "once", same).await.unwrap().repeat)
        })
    });
    store.insert(&cx, "limit", Change::of(Tally::named("")).number("x", 0)).await.unwrap();
    let mut outcomes = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        outcomes.push(task.await.unwrap());
    }
    assert_eq!(stands(store, &cx, "sum").await, Some(numbers(&[("x", 640), ("high", 1_539)])));
    assert_eq!((outcomes.iter().map(|(within, _)| within).sum::<i32>(), stands(store, &cx, "limit").await.unwrap()["x"]), (100, 100));
    assert_eq!((outcomes.iter().filter(|(_, repeat)| !repeat).count(), stands(store, &cx, "once").await.unwrap()["x"]), (1, 1));
}

async fn counting(world: &World) {
    let store = &world.store;
    let cx = cx("counting");
    let soon = Time::from_seconds(NOW_SECONDS).plus_seconds(10).micros();
    for n in 0..7 {
        put(store, &cx, &format!("s{n}"), Item { email: Some(n.to_string()), ..Item::ranked("s", n % 2) }).await;
    }
    put(store, &cx, "other", Item::ranked("t", 0)).await;
    put(store, &cx, "short", Item { expires: Some(soon), ..Item::ranked("s", 0) }).await;
    put(store, &cx, "keyless", Item::named("")).await;
    let count = async |index: &str, prefix: Vec<Key>, cap| store.count::<Item>(&cx, index, prefix, cap).await;
    let state = |state: &str| vec![Key::from(state)];
    assert_eq!(count("state_rank", state("s"), 9).await.unwrap(), Count::Exactly(8));
    assert_eq!(count("state_rank", state("s"), 8).await.unwrap(), Count::Exactly(8), "exact up to the cap");
    assert_eq!(count("state_rank", state("s"), 7).await.unwrap(), Count::MoreThan(7));
    assert_eq!(count("state_rank", state("s"), 0).await.unwrap(), Count::MoreThan(0));
    assert_eq!(count("state_rank", state("none"), 0).await.unwrap(), Count::Exactly(0));
    assert_eq!(count("state_rank", vec!["s".into(), 1.into()], 10_000).await.unwrap(), Count::Exactly(3));
    assert_eq!(count("state_rank", Vec::new(), 10_000).await.unwrap(), Count::Exactly(9));
    assert_eq!(count("email", Vec::new(), 100).await.unwrap(), Count::Exactly(7), "who lacks a key is not in its index");
    world.advance_seconds(10);
    assert_eq!(count("state_rank", state("s"), 100).await.unwrap(), Count::Exactly(7), "expired documents do not count");
    world.advance_seconds(-10);
    assert_eq!(reason(count("rank", Vec::new(), 1).await), "INDEX_UNKNOWN");
    assert_eq!(reason(count("state_rank", vec![1.into()], 1).await), "FIND_INVALID");
    assert_eq!(reason(count("state_rank", Vec::new(), 10_001).await), "FIND_INVALID");
}
