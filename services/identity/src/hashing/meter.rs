//! What the pool counts about itself. Numbers without labels: never whose password it was. Nothing here decides.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kernel::Error;
use rpc::{Number, Reading, Times};

/// Written by callers and threads alike.
#[derive(Debug, Default)]
pub(super) struct Meter {
    refused: AtomicU64,
    waits: Times,
    hashes: Times,
}

/// How the pool stands at one moment.
pub(super) struct Standing {
    pub(super) threads: usize,
    pub(super) waiting: usize,
    pub(super) running: usize,
}

impl Meter {
    /// A password was turned away.
    pub(super) fn refused(&self, error: Error) -> Error {
        self.refused.fetch_add(1, Ordering::Relaxed);
        error
    }

    /// A thread took a password that had waited for so long.
    pub(super) fn waited(&self, time: Duration) {
        self.waits.add(time);
    }

    /// A password was hashed.
    pub(super) fn hashed(&self, took: Duration) {
        self.hashes.add(took);
    }

    pub(super) fn reading(&self, standing: &Standing) -> Reading {
        let number = |name, help, value: f64| Number { name, help, value };
        let numbers = vec![
            number("hashing_threads", "Threads that hash passwords.", standing.threads as f64),
            number("hashing_queue", "Passwords that wait for a thread.", standing.waiting as f64),
            number("hashing_running", "Passwords that are being hashed.", standing.running as f64),
            number("hashing_refused_total", "Passwords turned away: too many waited.", self.refused.load(Ordering::Relaxed) as f64),
        ];
        let histograms = vec![
            self.waits.histogram("hashing_wait_seconds", "Time that passwords waited for a thread."),
            self.hashes.histogram("hashing_seconds", "Time that hashing a password took."),
        ];
        Reading { numbers, histograms }
    }
}
