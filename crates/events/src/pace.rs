//! How often, how many and how long: the numbers of relay, scheduler and brokers, each with its reason. No behaviour but chance.

use std::time::Duration;

use kernel::{Error, Result, Time};

/// Tries of an event, or of a dead letter, before it is set aside.
pub const TRIES: i64 = 8;

/// The numbers of relay and scheduler. `default()` is what a node runs with; tests shorten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Longest time between two looks at a collection; a bell shortens it.
    pub poll: Duration,
    /// How long the events of a document belong to one relay. Nothing is begun in its last 12 seconds, so that ten seconds
    /// of a slow subscriber end within it.
    pub relay_lease: Duration,
    /// Documents of one collection whose events are on their way. A tenant has three quarters of them at most.
    pub flights: usize,
    /// Waits after a failed event.
    pub backoff: Backoff,
    /// How long a due document belongs to one worker, and so how long a failed one waits.
    pub work_lease: Duration,
    /// Longest time for one document; shorter than the lease.
    pub work_limit: Duration,
    /// Documents of one collection that are worked at.
    pub works: usize,
    /// How often the backlog is looked at.
    pub watch: Duration,
    /// Waiting events, of all collections together, beyond which changes with events are refused; they are taken again below
    /// nine tenths of it.
    pub backlog: u64,
    /// How long what is in flight gets to end at a stop.
    pub finish: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(1),
            relay_lease: Duration::from_secs(30),
            // Enough for a commit of a store or broker to serve many at once.
            flights: 64,
            backoff: Backoff { least: Duration::from_secs(1), most: Duration::from_secs(300) },
            work_lease: Duration::from_secs(60),
            work_limit: Duration::from_secs(45),
            works: 8,
            watch: Duration::from_secs(2),
            backlog: 100_000,
            finish: Duration::from_secs(10),
        }
    }
}

/// Waits that double from `least` up to `most`, each shortened at random by up to a half so that those who failed together do not
/// return together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait.
    pub least: Duration,
    /// No wait is longer.
    pub most: Duration,
}

impl Backoff {
    /// The wait after so many tries, from 1.
    pub(crate) fn after(self, tries: i64) -> Duration {
        let doublings = u32::try_from(tries.clamp(1, 31) - 1).unwrap_or(0);
        let whole = self.least.saturating_mul(1 << doublings).min(self.most);
        jittered(whole)
    }
}

/// Between half of a wait and all of it.
pub(crate) fn jittered(whole: Duration) -> Duration {
    // Without randomness waits still end.
    let share = getrandom::u32().map_or(0.5, |drawn| f64::from(drawn) / f64::from(u32::MAX));
    whole.mul_f64(0.5 + share / 2.0)
}

/// A time so much later.
pub(crate) fn later(from: Time, wait: Duration) -> Time {
    Time::from_micros(from.micros().saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX)))
}

impl Pace {
    /// Refuses numbers under which nothing moves. Errors: `PACE_INVALID`.
    pub(crate) fn check(&self) -> Result<()> {
        let moves = self.flights > 0 && self.works > 0 && !self.poll.is_zero() && !self.watch.is_zero();
        if moves && self.work_limit < self.work_lease { Ok(()) } else { Err(Error::internal("PACE_INVALID", format!("{self:?}"))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most_and_vary() {
        let backoff = Backoff { least: Duration::from_secs(1), most: Duration::from_secs(300) };
        for (tries, whole) in [(1, 1), (2, 2), (3, 4), (8, 128), (9, 256), (10, 300), (i64::MAX, 300)] {
            let (whole, waits) = (Duration::from_secs(whole), (0..50).map(|_| backoff.after(tries)).collect::<Vec<_>>());
            assert!(waits.iter().all(|wait| (whole / 2..=whole).contains(wait)), "{tries}: {waits:?}");
            assert!(waits.iter().any(|wait| *wait != waits[0]), "{tries}: no chance in it");
        }
    }
}
