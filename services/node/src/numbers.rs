//! What the admin listener tells beside the calls: of peers, store, events and services, each as it counts itself. A new
//! number is described in docs/guides/operations.md.

use std::sync::Arc;

use rpc::{Histogram, Hub, Number, Reader, Reading};
use storage::{Metrics, Store};

use crate::upkeep::Upkeep;

/// Whoever counts something in this process.
pub(crate) struct Counted {
    pub(crate) hub: Hub,
    pub(crate) store: Option<Store>,
    pub(crate) upkeep: Option<Upkeep>,
    pub(crate) services: Vec<Reader>,
}

impl Counted {
    /// Reads them all.
    pub(crate) fn reader(self) -> Reader {
        Arc::new(move || {
            let mut reading = Reading { numbers: self.hub.numbers(), histograms: Vec::new() };
            if let Some(store) = &self.store {
                let metrics = store.engine().metrics();
                reading.numbers.extend(stored(&metrics));
                reading.histograms.extend(spread(&metrics));
            }
            reading.numbers.extend(self.upkeep.iter().flat_map(Upkeep::numbers));
            for Reading { numbers, histograms } in self.services.iter().map(|reader| reader()) {
                reading.numbers.extend(numbers);
                reading.histograms.extend(histograms);
            }
            reading
        })
    }
}

fn stored(metrics: &Metrics) -> [Number; 11] {
    [
        Number::count("storage_changes_total", "Changes asked for, refused ones included.", metrics.changes),
        Number::count("storage_commits_total", "Commits that held them.", metrics.commits),
        Number::count("storage_reads_total", "Reads that asked the database.", metrics.reads),
        Number::count("storage_cache_hits_total", "Reads that were answered from memory; not among the others.", metrics.cache_hits),
        Number::count("storage_queue", "Changes that wait for the writer.", metrics.queued),
        Number::count("storage_reads_queue", "Reads that wait for a reader.", metrics.reads_queued),
        Number::count("storage_stops_total", "Times that changes were no longer acknowledged.", metrics.stops),
        Number::count("storage_full_total", "Batches refused because the disk was full.", metrics.full),
        Number::count("storage_wal_bytes", "Size of the write-ahead log.", metrics.wal_bytes),
        Number::count("storage_wal_moves_total", "Times that the log was moved into the database.", metrics.log_moves),
        Number::count("storage_swept_total", "Documents removed because they had expired.", metrics.swept),
    ]
}

fn spread(metrics: &Metrics) -> [Histogram; 2] {
    let scaled = |name, help, bounds: &[u64], of: storage::Histogram, unit: f64| Histogram {
        name,
        help,
        bounds: bounds.iter().map(|bound| *bound as f64 / unit).collect(),
        counts: of.counts.to_vec(),
        sum: of.sum as f64 / unit,
    };
    let commits = "Time of commits: writing the log and syncing it.";
    [
        scaled("storage_commit_seconds", commits, &Metrics::COMMIT_MICROS_BOUNDS, metrics.commit_micros, 1e6),
        scaled("storage_commit_changes", "Changes of each commit.", &Metrics::BATCH_BOUNDS, metrics.batch, 1.0),
    ]
}
