//! A store with things that change and ledgers that follow them. A ledger folds the events of its thing in their order, so a lost,
//! doubled or misplaced one shows.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use events::{Bus, Delivered, Pace, Running, Start, Subscriber, Worker};
use kernel::{Clock, Cx, Error, Hand, Kind, Result, Tenant, Time};
use serde::{Deserialize, Serialize};
use storage::{Across, Answer, Change, Collection, Event, Keys, Outbox, Record, Seen, Sqlite, Store};
use tokio::sync::Semaphore;

pub(crate) const CHANGED: &str = "test.thing.changed";
/// Nobody hears it.
pub(crate) const IGNORED: &str = "test.thing.ignored";

const fn plain(name: &'static str) -> Collection {
    Collection { name, version: 1, keys: &[], indexes: &[], burns: false, max_bytes: 0, max_items: 0 }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Thing {
    pub(crate) n: i64,
}

impl Record for Thing {
    const KIND: Collection = plain("things");

    fn keys(&self) -> Keys {
        Keys::new()
    }
}

/// A second collection with the same events.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Other {
    pub(crate) n: i64,
}

impl Record for Other {
    const KIND: Collection = plain("others");

    fn keys(&self) -> Keys {
        Keys::new()
    }
}

/// What a subscriber made of the events of one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    pub(crate) version: i64,
    pub(crate) index: u32,
    pub(crate) heard: i64,
    pub(crate) fold: i64,
}

impl Record for Ledger {
    const KIND: Collection = plain("ledgers");

    fn keys(&self) -> Keys {
        Keys::new()
    }
}

impl Ledger {
    pub(crate) fn followed_by(&self, mark: (i64, u32), n: i64) -> Self {
        Self { version: mark.0, index: mark.1, heard: self.heard + 1, fold: self.fold.wrapping_mul(31).wrapping_add(n) % 1_000_000_007 }
    }

    /// The ledger of a thing that counted from 1 up to `changes`.
    pub(crate) fn of(changes: i64) -> Self {
        (1..=changes).fold(Self::default(), |ledger, n| ledger.followed_by((n, 0), n))
    }
}

/// In which the world changes things.
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

pub(crate) fn changed(n: i64) -> Event {
    Event { kind: CHANGED, payload: n.to_le_bytes().to_vec() }
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) across: Across,
    pub(crate) clock: Clock,
    pub(crate) hand: Option<Hand>,
    pub(crate) pace: Pace,
}

impl World {
    pub(crate) async fn new() -> Self {
        let (clock, hand) = Clock::manual(Time::from_seconds(1_800_000_000));
        Self::with(clock, Some(hand)).await
    }

    /// On the machine's clock, for what takes as long as it takes.
    pub(crate) async fn on_machine_time() -> Self {
        Self::with(Clock::system(), None).await
    }

    async fn with(clock: Clock, hand: Option<Hand>) -> Self {
        let store = Store::open(Arc::new(Sqlite::open_temporary().unwrap()), [7; 32], clock.clone());
        store.define::<Thing>().await.unwrap();
        store.define::<Other>().await.unwrap();
        store.define::<Ledger>().await.unwrap();
        let pace = Pace { poll: Duration::from_millis(20), watch: Duration::from_millis(20), ..Pace::default() };
        Self { store, across: Across::granted(), clock, hand, pace }
    }

    pub(crate) fn advance_seconds(&self, seconds: i64) {
        self.hand.as_ref().expect("a clock that is moved by hand").advance_seconds(seconds);
    }

    pub(crate) fn start(&self, bus: Arc<dyn Bus>, subscribers: Vec<Arc<dyn Subscriber>>) -> Running {
        self.start_with(bus, subscribers, Vec::new())
    }

    pub(crate) fn start_with(&self, bus: Arc<dyn Bus>, subscribers: Vec<Arc<dyn Subscriber>>, workers: Vec<Arc<dyn Worker>>) -> Running {
        let (store, across, clock) = (self.store.clone(), self.across.clone(), self.clock.clone());
        events::start(Start { store, across, bus, subscribers, workers, clock, pace: self.pace }).unwrap()
    }

    /// Makes the thing, or counts it up by one, and says so.
    pub(crate) async fn change(&self, tenant: &str, id: &str) -> Result<Seen<Thing>> {
        let cx = cx(tenant).traced(TRACE);
        match self.store.get::<Thing>(&cx, id).await? {
            None => self.store.insert(&cx, id, Change::of(Thing { n: 1 }).event(changed(1))).await,
            Some(seen) => {
                let n = seen.body.n + 1;
                self.store.replace(&cx, &seen, Change::of(Thing { n }).event(changed(n))).await
            }
        }
    }

    /// As `change`; while 32 events of the thing wait, it tries again.
    pub(crate) async fn change_patiently(&self, tenant: &str, id: &str) {
        let mut beat = tokio::time::interval(Duration::from_millis(5));
        while let Err(error) = self.change(tenant, id).await {
            assert_eq!(error.reason(), "OUTBOX_FULL");
            beat.tick().await;
        }
    }

    pub(crate) async fn ledger(&self, tenant: &str, id: &str) -> Ledger {
        self.store.get::<Ledger>(&cx(tenant), id).await.unwrap().map(|seen| seen.body).unwrap_or_default()
    }

    pub(crate) async fn outbox(&self) -> Outbox {
        self.store.outbox(&self.across, &Thing::KIND).await.unwrap()
    }

    pub(crate) async fn drained(&self) {
        until("the outbox is empty", async || self.outbox().await.documents == 0).await;
    }
}

pub(crate) fn cx(tenant: &str) -> Cx {
    Cx::system(Tenant::parse(tenant).unwrap(), "test")
}

/// Polls for up to half a minute.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = std::time::Instant::now();
    let mut beat = tokio::time::interval(Duration::from_millis(5));
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
        beat.tick().await;
    }
}

/// Follows things. Each event is applied once, by the mark in the ledger; what is not right is written down as a fault.
pub(crate) struct Follower {
    pub(crate) name: &'static str,
    pub(crate) store: Store,
    /// Things whose events make it panic, by id.
    pub(crate) poison: Mutex<Vec<String>>,
    /// Whether things of this tenant wait for a permit.
    pub(crate) slow_tenant: Mutex<Option<String>>,
    /// Whether things of this collection wait for a permit.
    pub(crate) slow_collection: Mutex<Option<String>>,
    pub(crate) permits: Semaphore,
    pub(crate) calls: AtomicUsize,
    pub(crate) duplicates: AtomicUsize,
    pub(crate) faults: Mutex<Vec<String>>,
    /// Aggregates that are being heard now.
    hearing: Mutex<HashMap<(Tenant, String), usize>>,
    pub(crate) never: AtomicBool,
}

impl Follower {
    pub(crate) fn new(store: &Store, name: &'static str) -> Arc<Self> {
        Arc::new(Self {
            name,
            store: store.clone(),
            poison: Mutex::default(),
            slow_tenant: Mutex::default(),
            slow_collection: Mutex::default(),
            permits: Semaphore::new(0),
            calls: AtomicUsize::new(0),
            duplicates: AtomicUsize::new(0),
            faults: Mutex::default(),
            hearing: Mutex::default(),
            never: AtomicBool::new(false),
        })
    }

    pub(crate) fn assert_right(&self) {
        let faults = self.faults.lock().unwrap();
        assert!(faults.is_empty(), "{faults:?}");
    }

    pub(crate) fn heal(&self) {
        self.poison.lock().unwrap().clear();
    }

    fn fault(&self, what: String) {
        self.faults.lock().unwrap().push(what);
    }

    fn is_slow(&self, event: &Delivered) -> bool {
        self.slow_tenant.lock().unwrap().as_deref() == Some(event.tenant.as_str())
            || self.slow_collection.lock().unwrap().as_deref() == Some(&*event.collection)
    }

    async fn follow(&self, cx: &Cx, event: &Delivered) -> Result<()> {
        let poisoned = self.poison.lock().unwrap().contains(&event.aggregate);
        assert!(!poisoned, "poison");
        if self.never.load(Relaxed) {
            std::future::pending::<()>().await;
        }
        if self.is_slow(event) {
            self.permits.acquire().await.unwrap().forget();
        }
        let n = i64::from_le_bytes(event.payload.clone().try_into().unwrap());
        match self.store.get::<Ledger>(cx, &event.aggregate).await? {
            Some(seen) if event.mark() <= (seen.body.version, seen.body.index) => {
                self.duplicates.fetch_add(1, Relaxed);
                Ok(())
            }
            Some(seen) => {
                let next = seen.body.followed_by(event.mark(), n);
                self.store.replace(cx, &seen, Change::of(next)).await.map(drop)
            }
            None => {
                let first = Ledger::default().followed_by(event.mark(), n);
                self.store.insert(cx, &event.aggregate, Change::of(first)).await.map(drop)
            }
        }
    }
}

impl Subscriber for Follower {
    fn name(&self) -> &'static str {
        self.name
    }

    fn kinds(&self) -> &'static [&'static str] {
        &[CHANGED]
    }

    fn hear<'a>(&'a self, cx: &'a Cx, event: &'a Delivered) -> Answer<'a, ()> {
        Box::pin(async move {
            self.calls.fetch_add(1, Relaxed);
            if cx.tenant() != &event.tenant || cx.actor() != format!("task:{}", self.name) {
                self.fault(format!("{} heard as {} by {}", event.tenant, cx.tenant(), cx.actor()));
            }
            if cx.trace() != event.trace {
                self.fault(format!("{} heard in {:?}, and was made in {:?}", event.id, cx.trace(), event.trace));
            }
            if !event.aggregate.starts_with(event.tenant.as_str()) && !event.aggregate.starts_with("any") {
                self.fault(format!("{} of another tenant than {}", event.aggregate, event.tenant));
            }
            let place = (event.tenant.clone(), event.aggregate.clone());
            let at_once = {
                let mut hearing = self.hearing.lock().unwrap();
                let count = hearing.entry(place.clone()).or_default();
                *count += 1;
                *count
            };
            let _left = Left { follower: self, place };
            let answer = self.follow(cx, event).await;
            match answer {
                // Two relays whose leases overlap may tell one event twice at once; the version decides.
                Err(error) if matches!(error.kind(), Kind::Stale | Kind::Exists) && at_once > 1 => Err(Error::unavailable("TEST_RACE", "")),
                answer => answer,
            }
        })
    }
}

struct Left<'a> {
    follower: &'a Follower,
    place: (Tenant, String),
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.follower.hearing.lock().unwrap().get_mut(&self.place) {
            *count -= 1;
        }
    }
}

/// Numbers that follow from a seed.
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}
