//! Section 3: page tokens. Lists stay whole while others write, and a token opens its own question only.

use super::*;
use crate::Removal;

pub(super) async fn hold(world: &World) {
    whole_under_writes(&world.store).await;
    bound_to_the_question(world).await;
    short_pages(world).await;
}

/// Between any two pages a document is inserted, one is removed and one moves; the others come exactly once, in order.
async fn whole_under_writes(store: &Store) {
    let cx = cx("pages-moving");
    let mut movers = Vec::new();
    for rank in 0..60 {
        let seen = put(store, &cx, &format!("i{rank:02}"), Item::ranked("s", rank * 10)).await;
        if rank % 3 == 1 {
            movers.push(seen);
        }
    }
    let mut ids = Vec::new();
    let mut page = Page { size: 7, token: String::new() };
    for round in 0.. {
        let found = store.find::<Item>(&cx, in_state("s", &page)).await.unwrap();
        ids.extend(found.items.into_iter().map(|seen| seen.id));
        page.token = found.next_token;
        if page.token.is_empty() {
            break;
        }
        put(store, &cx, &format!("new{round}"), Item::ranked("s", (round * 137) % 600 + 5)).await;
        let (gone, moved) = (movers.remove(0), movers.remove(movers.len() / 2));
        store.remove(&cx, &gone, Removal::new()).await.unwrap();
        store.replace(&cx, &moved, Change::of(Item::ranked("s", (round * 211) % 600 + 3))).await.unwrap();
    }
    let still: Vec<_> = (0..60).filter(|rank| rank % 3 != 1).map(|rank| format!("i{rank:02}")).collect();
    let listed: Vec<_> = ids.iter().filter(|id| still.contains(id)).cloned().collect();
    assert_eq!(listed, still);
    assert!(ids.iter().all(|id| ids.iter().filter(|other| *other == id).count() <= 2));
}

async fn bound_to_the_question(world: &World) {
    let store = &world.store;
    let ours = cx("pages-own");
    for (tenant, rank) in [("pages-own", 1), ("pages-own", 2), ("pages-own", 3), ("pages-other", 1), ("pages-other", 2)] {
        put(store, &cx(tenant), &rank.to_string(), Item { email: Some(rank.to_string()), ..Item::ranked("s", rank) }).await;
    }
    let first = Page::of(1, "").unwrap();
    let token = store.find::<Item>(&ours, in_state("s", &first)).await.unwrap().next_token;
    let page = Page { size: 2, token: token.clone() };
    let next = store.find::<Item>(&ours, in_state("s", &page)).await.unwrap();
    assert_eq!(next.items.iter().map(|seen| seen.id.as_str()).collect::<Vec<_>>(), ["2", "3"], "another size is the same question");

    let refused = async |cx: &Cx, question: Find<'_>| assert_eq!(reason(store.find::<Item>(cx, question).await), "PAGE_TOKEN");
    refused(&cx("pages-other"), in_state("s", &page)).await;
    refused(&Cx::system(ours.tenant().clone(), "task"), in_state("s", &page)).await;
    refused(&ours, in_state("t", &page)).await;
    refused(&ours, Find { descending: true, ..in_state("s", &page) }).await;
    refused(&ours, Find { range: Some(crate::Range::from(0)), ..in_state("s", &page) }).await;
    refused(&ours, Find { index: "email", prefix: Vec::new(), ..in_state("s", &page) }).await;
    for broken in [&token[1..], "x", &format!("{token}AAAA")] {
        refused(&ours, in_state("s", &Page { size: 2, token: broken.to_owned() })).await;
    }
    world.advance_seconds(24 * 3_600 + 1);
    refused(&ours, in_state("s", &page)).await;
    world.advance_seconds(-(24 * 3_600 + 1));
}

/// A page ends early rather than passing over thousands of expired documents or filling memory; the list does not.
async fn short_pages(World { store, .. }: &World) {
    let cx = cx("pages-short");
    let text = "x".repeat(250 * 1024);
    for rank in 0..20 {
        put(store, &cx, &format!("{rank:02}"), Item { text: text.clone(), ..Item::ranked("big", rank) }).await;
    }
    let page = Page::of(1_000, "").unwrap();
    let found = store.find::<Item>(&cx, in_state("big", &page)).await.unwrap();
    assert!((1..20).contains(&found.items.len()) && !found.next_token.is_empty());
    assert_eq!(every::<Item>(store, &cx, 1_000, in_state("big", &ANY)).await.len(), 20);

    let puts = (0..1_100).map(|n| {
        let (store, cx) = (store.clone(), cx.clone());
        let item = Item { expires: Some(1), ..Item::ranked("old", n) };
        tokio::spawn(async move { put(&store, &cx, &format!("old{n}"), item).await })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.unwrap();
    }
    put(store, &cx, "last", Item::ranked("old", 5_000)).await;
    let found = store.find::<Item>(&cx, in_state("old", &page)).await.unwrap();
    assert!(found.items.is_empty() && !found.next_token.is_empty(), "an empty page is not the end");
    assert_eq!(every::<Item>(store, &cx, 50, in_state("old", &ANY)).await.len(), 1);
}
