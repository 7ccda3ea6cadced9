//! The contract of `Engine` as tests, seen through `Store`. An engine is done when `all` passes; it names no engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // this module is a test

mod bounds;
mod concurrency;
mod counters;
mod documents;
mod model;
mod once;
mod order;
mod pages;
mod sweep;
mod tally_model;
mod tenancy;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use kernel::{Clock, Cx, Error, Page, Result, Time};
use serde::{Deserialize, Serialize};

use crate::{Change, Collection, Engine, Event, Find, Found, Index, Key, KeyType, Keys, Once, Record, Seen, Store};

/// Runs every section against engines made by `make`, each with a store of its own. Panics at the first broken promise.
pub async fn all<E: Engine>(make: impl Fn() -> Result<E>) {
    let world = || World::new(make().expect("an engine"));
    documents::hold(&world().await).await;
    counters::hold(&world().await).await;
    model::holds(&world().await).await;
    tally_model::holds(&world().await).await;
    concurrency::holds(&world().await).await;
    order::holds(&world().await).await;
    pages::hold(&world().await).await;
    once::holds(&world().await).await;
    sweep::holds(&world().await).await;
    bounds::hold(&world().await).await;
    tenancy::holds(&world().await).await;
}

/// What the clock shows at first.
const NOW_SECONDS: i64 = 1_800_000_000;
/// For questions whose page is given later.
static ANY: Page = Page { size: 1, token: String::new() };

/// A fresh store and a clock that stands still.
struct World {
    store: Store,
    seconds: Arc<AtomicI64>,
}

impl World {
    async fn new(engine: impl Engine) -> Self {
        let seconds = Arc::new(AtomicI64::new(NOW_SECONDS));
        let hands = seconds.clone();
        let clock = Clock::from_fn(move || Time::from_seconds(hands.load(Ordering::Relaxed)));
        let store = Store::open(Arc::new(engine), [7; 32], clock);
        store.define::<Item>().await.unwrap();
        store.define::<Burnt>().await.unwrap();
        store.define::<Tally>().await.unwrap();
        Self { store, seconds }
    }

    fn advance_seconds(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }
}

fn cx(tenant: &str) -> Cx {
    Cx::for_tests(tenant).unwrap()
}

/// The document that most sections store: a unique key, a compound index, an expiry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Item {
    email: Option<String>,
    state: Option<String>,
    rank: Option<i64>,
    expires: Option<i64>,
    text: String,
}

impl Record for Item {
    const KIND: Collection = Collection {
        name: "items",
        version: 1,
        keys: &[("email", KeyType::Str), ("state", KeyType::Str), ("rank", KeyType::I64)],
        indexes: &[
            Index { name: "email", keys: &["email"], unique: true },
            Index { name: "state_rank", keys: &["state", "rank"], unique: false },
        ],
        burns: false,
        max_bytes: 0,
        max_items: 0,
    };

    fn keys(&self) -> Keys {
        Keys::new().maybe("email", self.email.clone()).maybe("state", self.state.clone()).maybe("rank", self.rank)
    }

    fn expires(&self) -> Option<Time> {
        self.expires.map(Time::from_micros)
    }
}

impl Item {
    fn named(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }

    fn ranked(state: &str, rank: i64) -> Self {
        Self { state: Some(state.to_owned()), rank: Some(rank), ..Self::default() }
    }

    fn with_email(email: &str) -> Self {
        Self { email: Some(email.to_owned()), ..Self::default() }
    }
}

/// A document whose ids are never given twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Burnt {
    expires: Option<i64>,
}

impl Record for Burnt {
    const KIND: Collection = Collection { name: "burnt", version: 1, keys: &[], indexes: &[], burns: true, max_bytes: 0, max_items: 0 };

    fn keys(&self) -> Keys {
        Keys::new()
    }

    fn expires(&self) -> Option<Time> {
        self.expires.map(Time::from_micros)
    }
}

/// A counter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tally {
    text: String,
    expires: Option<i64>,
    due: Option<i64>,
}

impl Record for Tally {
    const KIND: Collection = Collection { name: "tallies", version: 1, keys: &[], indexes: &[], burns: false, max_bytes: 0, max_items: 0 };
    const COUNTER: bool = true;

    fn keys(&self) -> Keys {
        Keys::new()
    }

    fn expires(&self) -> Option<Time> {
        self.expires.map(Time::from_micros)
    }

    fn due(&self) -> Option<Time> {
        self.due.map(Time::from_micros)
    }
}

impl Tally {
    fn named(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }
}

fn event() -> Event {
    Event { kind: "items.item.changed", payload: vec![8, 1] }
}

fn once(id: &str, request: u8) -> Option<Once> {
    Once::of(id, [request; 32]).unwrap()
}

fn reason<T>(answer: Result<T, Error>) -> &'static str {
    answer.err().map_or("OK", |error| error.reason())
}

/// The whole list, page by page; panics when it does not end.
async fn every<T: Record>(store: &Store, cx: &Cx, size: usize, question: Find<'_>) -> Vec<Seen<T>> {
    let mut all = Vec::new();
    let mut page = Page { size, token: String::new() };
    for _ in 0..10_000 {
        let Found { items, next_token } = store.find::<T>(cx, Find { page: &page, ..question.clone() }).await.unwrap();
        all.extend(items);
        page.token = next_token;
        if page.token.is_empty() {
            return all;
        }
    }
    panic!("the list does not end");
}

fn in_state<'a>(state: &str, page: &'a Page) -> Find<'a> {
    Find { index: "state_rank", prefix: vec![Key::from(state)], range: None, descending: false, page }
}

/// A small deterministic source of choices (splitmix64), the same on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let at = self.below(from.len() as u64);
        &from[usize::try_from(at).unwrap()]
    }
}

async fn put(store: &Store, cx: &Cx, id: &str, item: Item) -> Seen<Item> {
    store.insert(cx, id, Change::of(item)).await.unwrap()
}
