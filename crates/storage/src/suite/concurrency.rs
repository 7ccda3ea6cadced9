//! Section 2: many tasks on few documents. Nothing is lost, and each version and each unique key has one winner.

use std::collections::BTreeSet;

use super::*;

const SEEDS: u64 = 50;
const TASKS: u64 = 16;
const CALLS: u64 = 200;
const DOCUMENTS: u64 = 8;

pub(super) async fn holds(world: &World) {
    for seed in 0..world.scale.of(SEEDS) {
        no_update_is_lost(&world.store, seed).await;
    }
    one_winner_each(&world.store).await;
}

/// What was won: which version of which document.
type Won = Vec<(String, i64)>;

async fn no_update_is_lost(store: &Store, seed: u64) {
    let cx = cx(&format!("race-{seed}"));
    for n in 0..DOCUMENTS {
        put(store, &cx, &n.to_string(), Item::ranked("count", 0)).await;
    }
    let tasks: Vec<_> = (0..TASKS).map(|task| tokio::spawn(count(store.clone(), cx.clone(), seed * TASKS + task))).collect();
    let mut won = Won::new();
    for task in tasks {
        won.extend(task.await.unwrap());
    }
    let distinct: BTreeSet<_> = won.iter().collect();
    assert_eq!(distinct.len(), won.len(), "seed {seed}: a version was won twice");
    for n in 0..DOCUMENTS {
        let id = n.to_string();
        let wins = i64::try_from(won.iter().filter(|(winner, _)| *winner == id).count()).unwrap();
        let seen = store.get::<Item>(&cx, &id).await.unwrap().unwrap();
        assert_eq!((seen.version, seen.body.rank), (1 + wins, Some(wins)), "seed {seed}: an update was lost");
    }
}

async fn count(store: Store, cx: Cx, seed: u64) -> Won {
    let mut dice = Dice(seed);
    let mut won = Won::new();
    for _ in 0..CALLS {
        let id = dice.below(DOCUMENTS).to_string();
        let seen = store.get::<Item>(&cx, &id).await.unwrap().unwrap();
        let next = Item::ranked("count", seen.body.rank.unwrap() + 1);
        match store.replace(&cx, &seen, Change::of(next)).await {
            Ok(written) => won.push((id, written.version)),
            Err(error) => assert_eq!(error.reason(), "VERSION_STALE"),
        }
    }
    won
}

async fn one_winner_each(store: &Store) {
    let cx = cx("race-winners");
    let seen = put(store, &cx, "one", Item::named("")).await;
    let racers = (0..TASKS).map(|task| {
        let (store, cx, seen) = (store.clone(), cx.clone(), seen.clone());
        tokio::spawn(async move {
            let replaced = store.replace(&cx, &seen, Change::of(Item::named(&task.to_string()))).await;
            let inserted = store.insert(&cx, &format!("new-{task}"), Change::of(Item::with_email("a@x"))).await;
            (reason(replaced), reason(inserted))
        })
    });
    let mut outcomes = Vec::new();
    for racer in racers.collect::<Vec<_>>() {
        outcomes.push(racer.await.unwrap());
    }
    let count = |pick: fn(&(&'static str, &'static str)) -> &'static str, reason| outcomes.iter().filter(|o| pick(o) == reason).count();
    assert_eq!((count(|o| o.0, "OK"), count(|o| o.0, "VERSION_STALE")), (1, 15), "winners of one version");
    assert_eq!((count(|o| o.1, "OK"), count(|o| o.1, "ALREADY_EXISTS")), (1, 15), "winners of one unique key");
}
