//! What the engine counts about itself. Plain counters that any thread reads; nothing here decides.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::engine::{Histogram, Metrics};

/// Shared by writer and engine.
#[derive(Debug, Default)]
pub(super) struct Health {
    pub(super) broken: AtomicBool,
    /// Broken for good: what is on the disk is no sound database.
    pub(super) damaged: AtomicBool,
    changes: AtomicU64,
    commits: AtomicU64,
    stops: AtomicU64,
    full: AtomicU64,
    swept: AtomicU64,
    log_moves: AtomicU64,
    batch: Series,
    commit_micros: Series,
}

impl Health {
    /// A batch that came to an end; `commit` is how long its commit took, where it succeeded.
    pub(super) fn served(&self, changes: usize, commit: Option<Duration>) {
        let changes = changes as u64;
        self.changes.fetch_add(changes, Ordering::Relaxed);
        let Some(took) = commit else { return };
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.batch.add(changes, &Metrics::BATCH_BOUNDS);
        self.commit_micros.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), &Metrics::COMMIT_MICROS_BOUNDS);
    }

    /// Changes are no longer acknowledged.
    pub(super) fn stopped(&self) {
        self.broken.store(true, Ordering::Release);
        self.stops.fetch_add(1, Ordering::Relaxed);
    }

    /// A batch had a change that the full disk refused.
    pub(super) fn filled(&self) {
        self.full.fetch_add(1, Ordering::Relaxed);
    }

    /// The log was moved into the database, as far as readers allowed.
    pub(super) fn moved(&self) {
        self.log_moves.fetch_add(1, Ordering::Relaxed);
    }

    /// So many documents went to the sweeper.
    pub(super) fn swept(&self, documents: usize) {
        self.swept.fetch_add(documents as u64, Ordering::Relaxed);
    }

    /// The part of the metrics that is counted here.
    pub(super) fn metrics(&self) -> Metrics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Metrics {
            changes: read(&self.changes),
            commits: read(&self.commits),
            stops: read(&self.stops),
            full: read(&self.full),
            swept: read(&self.swept),
            log_moves: read(&self.log_moves),
            batch: self.batch.histogram(),
            commit_micros: self.commit_micros.histogram(),
            ..Metrics::default()
        }
    }
}

#[derive(Debug, Default)]
struct Series {
    counts: [AtomicU64; Histogram::BUCKETS],
    sum: AtomicU64,
}

impl Series {
    fn add(&self, value: u64, bounds: &[u64]) {
        let bucket = bounds.iter().take_while(|bound| **bound < value).count();
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    fn histogram(&self) -> Histogram {
        Histogram { counts: self.counts.each_ref().map(|count| count.load(Ordering::Relaxed)), sum: self.sum.load(Ordering::Relaxed) }
    }
}
