//! Counts and sizes of relay and scheduler. Labels are collections, a closed set; never a tenant.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use kernel::Time;
use storage::Outbox;

/// What relay and scheduler have done since they were started, and what waits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// By collection, those with a relay or a worker.
    pub collections: Vec<(&'static str, Lane)>,
    /// Whether changes with events are refused because too many wait.
    pub held: bool,
}

/// The numbers of one collection.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lane {
    /// Events that the bus took, also when it took them before.
    pub published: u64,
    /// Tries that failed.
    pub failed: u64,
    /// Documents parked since the start.
    pub parkings: u64,
    /// Documents that are parked now.
    pub parked: u64,
    /// Documents with events that wait, parked ones included.
    pub waiting: u64,
    /// Age of the oldest event that waits and is not parked.
    pub oldest_seconds: f64,
    /// Due documents that were worked at.
    pub runs: u64,
    /// Of them, those whose work failed.
    pub run_failures: u64,
    /// For how long, without a break, more documents have been due than could be begun.
    pub due_lag_seconds: f64,
}

impl Metrics {
    /// All collections together: sums, and the greatest of the ages.
    pub fn total(&self) -> Lane {
        self.collections.iter().fold(Lane::default(), |sum, (_, lane)| Lane {
            published: sum.published + lane.published,
            failed: sum.failed + lane.failed,
            parkings: sum.parkings + lane.parkings,
            parked: sum.parked + lane.parked,
            waiting: sum.waiting + lane.waiting,
            oldest_seconds: sum.oldest_seconds.max(lane.oldest_seconds),
            runs: sum.runs + lane.runs,
            run_failures: sum.run_failures + lane.run_failures,
            due_lag_seconds: sum.due_lag_seconds.max(lane.due_lag_seconds),
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct Meter {
    lanes: Mutex<BTreeMap<&'static str, Arc<LaneMeter>>>,
    held: AtomicBool,
}

impl Meter {
    pub(crate) fn lane(&self, collection: &'static str) -> Arc<LaneMeter> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).entry(collection).or_default().clone()
    }

    pub(crate) fn held(&self, held: bool) {
        self.held.store(held, Relaxed);
    }

    pub(crate) fn read(&self, now: Time) -> Metrics {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let collections = lanes.iter().map(|(name, lane)| (*name, lane.read(now))).collect();
        Metrics { collections, held: self.held.load(Relaxed) }
    }
}

#[derive(Debug, Default)]
pub(crate) struct LaneMeter {
    published: AtomicU64,
    failed: AtomicU64,
    parkings: AtomicU64,
    parked: AtomicU64,
    waiting: AtomicU64,
    /// Microseconds; 0 = nothing waits.
    oldest: AtomicI64,
    runs: AtomicU64,
    run_failures: AtomicU64,
    /// Microseconds; 0 = all that is due is begun.
    behind_since: AtomicI64,
}

impl LaneMeter {
    pub(crate) fn published(&self, events: usize) {
        self.published.fetch_add(events as u64, Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    pub(crate) fn parked(&self) {
        self.parkings.fetch_add(1, Relaxed);
    }

    pub(crate) fn waiting(&self, outbox: &Outbox) {
        self.waiting.store(outbox.documents as u64, Relaxed);
        self.parked.store(outbox.parked as u64, Relaxed);
        self.oldest.store(outbox.oldest.map_or(0, Time::micros), Relaxed);
    }

    pub(crate) fn ran(&self, well: bool) {
        self.runs.fetch_add(1, Relaxed);
        self.run_failures.fetch_add(u64::from(!well), Relaxed);
    }

    /// Whether more is due than can be begun.
    pub(crate) fn behind(&self, behind: bool, now: Time) {
        let since = match (behind, self.behind_since.load(Relaxed)) {
            (false, _) => 0,
            (true, 0) => now.micros(),
            (true, since) => since,
        };
        self.behind_since.store(since, Relaxed);
    }

    fn read(&self, now: Time) -> Lane {
        let age = |micros: i64| if micros == 0 { 0.0 } else { now.since(Time::from_micros(micros)).as_secs_f64() };
        Lane {
            published: self.published.load(Relaxed),
            failed: self.failed.load(Relaxed),
            parkings: self.parkings.load(Relaxed),
            parked: self.parked.load(Relaxed),
            waiting: self.waiting.load(Relaxed),
            oldest_seconds: age(self.oldest.load(Relaxed)),
            runs: self.runs.load(Relaxed),
            run_failures: self.run_failures.load(Relaxed),
            due_lag_seconds: age(self.behind_since.load(Relaxed)),
        }
    }
}
