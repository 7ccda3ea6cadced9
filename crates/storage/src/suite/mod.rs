//! The contract of `Engine` as tests, seen through `Store`. An engine is done when `all` passes; it names no engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // this module is a test

mod bounds;
mod concurrency;
mod copies;
mod counters;
mod documents;
mod due;
mod events;
mod gates;
mod lost;
mod model;
mod once;
mod order;
mod pages;
mod raise;
mod relays;
mod sweep;
mod tally_model;
mod tenancy;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use kernel::{Clock, Cx, Error, Page, Result, Time};
use serde::{Deserialize, Serialize};

use crate::{Across, Change, Collection, Engine, Event, Find, Found, Index, Key, KeyType, Keys, Once, Record, Seen, Store};

/// Each part of the contract, in the order in which they are best run.
pub static SECTIONS: &[Section] = &[
    Section { name: "documents", holds: |world| Box::pin(documents::hold(world)) },
    Section { name: "counters", holds: |world| Box::pin(counters::hold(world)) },
    Section { name: "events", holds: |world| Box::pin(events::hold(world)) },
    Section { name: "relays", holds: |world| Box::pin(relays::hold(world)) },
    Section { name: "due", holds: |world| Box::pin(due::hold(world)) },
    Section { name: "gates", holds: |world| Box::pin(gates::hold(world)) },
    Section { name: "copies", holds: |world| Box::pin(copies::hold(world)) },
    Section { name: "raise", holds: |world| Box::pin(raise::holds(world)) },
    Section { name: "model", holds: |world| Box::pin(model::holds(world)) },
    Section { name: "tally_model", holds: |world| Box::pin(tally_model::holds(world)) },
    Section { name: "concurrency", holds: |world| Box::pin(concurrency::holds(world)) },
    Section { name: "order", holds: |world| Box::pin(order::holds(world)) },
    Section { name: "pages", holds: |world| Box::pin(pages::hold(world)) },
    Section { name: "once", holds: |world| Box::pin(once::holds(world)) },
    Section { name: "sweep", holds: |world| Box::pin(sweep::holds(world)) },
    Section { name: "bounds", holds: |world| Box::pin(bounds::hold(world)) },
    Section { name: "tenancy", holds: |world| Box::pin(tenancy::holds(world)) },
];

/// Section 4, apart from the others: it is run on an engine that loses replies.
pub static LOST_REPLIES: Section = Section { name: "lost replies", holds: |world| Box::pin(lost::holds(world)) };

/// Runs every section against engines made by `make`, each with an empty store of its own, and prints what each has done.
/// Panics at the first broken promise.
pub async fn all<E: Engine>(make: impl Fn() -> Result<E>, scale: Scale) {
    for section in SECTIONS {
        let ran = section.hold(Arc::new(make().expect("an engine")), scale).await;
        println!("{ran}");
    }
}

/// A part of the contract.
pub struct Section {
    /// Its name, for picking one.
    pub name: &'static str,
    holds: for<'a> fn(&'a World) -> Pin<Box<dyn Future<Output = ()> + 'a>>,
}

impl Section {
    /// Runs this section on an engine whose store is empty. Panics at the first broken promise.
    pub async fn hold(&self, engine: Arc<dyn Engine>, scale: Scale) -> Ran {
        let world = World::new(engine, scale).await;
        let before = world.store.engine().metrics();
        let started = Instant::now();
        (self.holds)(&world).await;
        let after = world.store.engine().metrics();
        Ran {
            section: self.name,
            changes: after.changes - before.changes,
            reads: after.reads + after.cache_hits - before.reads - before.cache_hits,
            took: started.elapsed(),
        }
    }
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Section({})", self.name)
    }
}

/// What a section has done, as the engine counts it.
#[derive(Clone, Copy, Debug)]
pub struct Ran {
    /// Its name.
    pub section: &'static str,
    /// Changes that were asked for.
    pub changes: u64,
    /// Reads.
    pub reads: u64,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12}: {:>7} changes, {:>7} reads, {:>6.1} s", self.section, self.changes, self.reads, self.took.as_secs_f64())
    }
}

/// How much of the random sections is run, in hundredths of what the contract asks for. A server of a thousand writes a
/// second takes ten minutes for all of it.
#[derive(Clone, Copy, Debug)]
pub struct Scale(pub u64);

impl Scale {
    /// All of it.
    pub const FULL: Self = Self(100);
    /// A twentieth, in which every kind of call still meets every other.
    pub const SMALL: Self = Self(5);

    fn of(self, full: u64) -> u64 {
        (full * self.0 / 100).max(1)
    }
}

/// What the clock shows at first.
const NOW_SECONDS: i64 = 1_800_000_000;
/// For questions whose page is given later.
static ANY: Page = Page { size: 1, token: String::new() };

/// A fresh store and a clock that stands still.
struct World {
    store: Store,
    seconds: Arc<AtomicI64>,
    scale: Scale,
}

impl World {
    async fn new(engine: Arc<dyn Engine>, scale: Scale) -> Self {
        let seconds = Arc::new(AtomicI64::new(NOW_SECONDS));
        let hands = seconds.clone();
        let clock = Clock::from_fn(move || Time::from_seconds(hands.load(Ordering::Relaxed)));
        let store = Store::open(engine, [7; 32], clock);
        store.define::<Item>().await.unwrap();
        store.define::<Burnt>().await.unwrap();
        store.define::<Tally>().await.unwrap();
        Self { store, seconds, scale }
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

fn across() -> Across {
    Across::granted()
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
