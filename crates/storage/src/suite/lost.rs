//! Section 4: replies that are lost after, or before, their effect. Run on an engine that loses them: no conflict is told
//! that is none, nothing takes effect twice, and where it cannot be told another writer was in between.

use std::collections::BTreeMap;

use super::events::items;
use super::*;
use crate::{Op, Patch, Removal};

const TASKS: u64 = 8;
const ROUNDS: u64 = 60;
/// Documents that all tasks change.
const SHARED: u64 = 3;

pub(super) async fn holds(world: &World) {
    alone(world).await;
    contended(world).await;
    additions(world).await;
}

/// A document that nobody else writes: every change says what it did.
async fn alone(world: &World) {
    let rounds = world.scale.of(ROUNDS);
    let tasks = (0..TASKS).map(|task| tokio::spawn(lead_a_life(world.store.clone(), task, rounds)));
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

async fn lead_a_life(store: Store, task: u64, rounds: u64) {
    let cx = cx(&format!("lost-{task}"));
    let text = |text: &str| Change::of(Item { text: text.to_owned(), ..Item::with_email(&format!("{task}@x")) });
    for round in 0..rounds {
        let (id, asked) = (format!("r{round}"), if round % 2 == 0 { once("create", 1) } else { None });
        let mut seen = store.insert(&cx, &id, text("").event(event()).once(asked)).await.unwrap();
        let stale = seen.clone();
        for step in 0..4_i64 {
            let asked = if step % 2 == 0 { once(&format!("s{step}"), 1) } else { None };
            seen = store.replace(&cx, &seen, text(&step.to_string()).event(event()).once(asked)).await.unwrap();
            assert_eq!(seen.version, step + 2);
        }
        assert_ne!(reason(store.replace(&cx, &stale, text("stale")).await), "OK", "what is truly stale is refused");
        let read = store.get::<Item>(&cx, &id).await.unwrap().unwrap();
        assert_eq!((read.version, read.body.text.as_str()), (5, "3"));
        let key = store.insert(&cx, "thief", text("")).await.unwrap_err();
        assert!(matches!(key.reason(), "ALREADY_EXISTS" | "MAYBE_APPLIED"), "{key:?}");
        if round % 3 == 0 {
            store.remove(&cx, &seen, Removal::new().event(event())).await.unwrap();
        } else {
            assert_eq!(store.drop_events(&across(), items(), cx.tenant(), &id).await.unwrap_or(5), 5, "one event for each change");
            store.remove(&cx, &seen, Removal::new()).await.unwrap();
        }
        assert!(store.get::<Item>(&cx, &id).await.unwrap().is_none());
    }
}

#[derive(Debug, Default)]
struct Told {
    done: Vec<String>,
    refused: Vec<String>,
    unknown: Vec<String>,
}

/// Documents that all write: each change leaves its tag in the text, so what was told can be compared with what was done.
async fn contended(world: &World) {
    let store = &world.store;
    let cx = cx("lost-shared");
    for n in 0..SHARED {
        store.insert(&cx, &n.to_string(), Change::of(Item::named(""))).await.unwrap();
    }
    let rounds = world.scale.of(ROUNDS * 2);
    let tasks = (0..TASKS).map(|task| tokio::spawn(leave_tags(store.clone(), cx.clone(), task, rounds)));
    let mut told = BTreeMap::<String, Told>::new();
    for task in tasks.collect::<Vec<_>>() {
        for (id, tag, answer) in task.await.unwrap() {
            let told = told.entry(id).or_default();
            match answer {
                "OK" => told.done.push(tag),
                "VERSION_STALE" => told.refused.push(tag),
                "MAYBE_APPLIED" => told.unknown.push(tag),
                other => panic!("{other}"),
            }
        }
    }
    let (all, unknown) =
        told.values().fold((0, 0), |(all, unknown), told| (all + told.done.len() + told.unknown.len(), unknown + told.unknown.len()));
    println!("{unknown} of {all} changes of documents that others write at the same time were told as unknown");
    for (id, told) in told {
        let seen = store.get::<Item>(&cx, &id).await.unwrap().unwrap();
        let there: Vec<_> = seen.body.text.split_whitespace().collect();
        let times = |tag: &String| there.iter().filter(|found| *found == tag).count();
        assert!(told.done.iter().all(|tag| times(tag) == 1), "what was acknowledged took effect once");
        assert!(told.refused.iter().all(|tag| times(tag) == 0), "a false conflict");
        assert!(told.unknown.iter().all(|tag| times(tag) <= 1), "a second effect");
        let unknown = told.unknown.iter().filter(|tag| times(tag) == 1).count();
        assert_eq!(there.len(), told.done.len() + unknown);
        assert_eq!(seen.version, 1 + i64::try_from(there.len()).unwrap(), "every version is somebody's");
    }
}

async fn leave_tags(store: Store, cx: Cx, task: u64, rounds: u64) -> Vec<(String, String, &'static str)> {
    let mut dice = Dice(task);
    let mut told = Vec::new();
    for round in 0..rounds {
        let (id, tag) = (dice.below(SHARED).to_string(), format!("t{task}r{round}"));
        let seen = store.get::<Item>(&cx, &id).await.unwrap().unwrap();
        let asked = if dice.below(2) == 0 { once(&tag, 1) } else { None };
        let change = Change::of(Item::named(&format!("{} {tag}", seen.body.text))).once(asked);
        let answer = reason(store.replace(&cx, &seen, change).await);
        told.push((id, tag, answer));
    }
    told
}

/// Additions under a request id are exact, however often they are repeated; without one a lost reply is told as unknown.
async fn additions(world: &World) {
    let store = &world.store;
    let cx = cx("lost-sums");
    let rounds = world.scale.of(ROUNDS);
    let tasks = (0..TASKS).map(|task| {
        let (store, cx) = (store.clone(), cx.clone());
        tokio::spawn(async move {
            let mut unknown = 0;
            for round in 0..rounds {
                let add = || Patch::upsert(Tally::named("")).inc("x", 1);
                let asked = format!("t{task}r{round}");
                // A repeat is answered from the last 16 request ids, so each task has its own sum.
                while let Err(error) = store.patch(&cx, &format!("sum{task}"), add().once(once(&asked, 1))).await {
                    assert_eq!(error.reason(), "MAYBE_APPLIED");
                }
                let most = || Patch::<Tally>::given([]).op("most", Op::Max(7));
                while let Err(error) = store.patch(&cx, &format!("sum{task}"), most()).await {
                    assert_eq!(error.reason(), "MAYBE_APPLIED");
                }
                if let Err(error) = store.patch(&cx, "shared", add()).await {
                    assert_eq!(error.reason(), "MAYBE_APPLIED");
                    unknown += 1;
                }
            }
            unknown
        })
    });
    let mut unknown = 0;
    for task in tasks.collect::<Vec<_>>() {
        unknown += task.await.unwrap();
    }
    let all = i64::try_from(rounds).unwrap();
    for task in 0..TASKS {
        assert_eq!(store.get::<Tally>(&cx, &format!("sum{task}")).await.unwrap().unwrap().numbers["x"], all);
    }
    let shared = store.get::<Tally>(&cx, "shared").await.unwrap().unwrap().numbers["x"];
    let sent = all * i64::try_from(TASKS).unwrap();
    assert!((sent - unknown..=sent).contains(&shared), "{shared} of {sent}, {unknown} unknown");
}
