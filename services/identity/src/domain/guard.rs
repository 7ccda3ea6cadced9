//! The failure budget of an account: four free failures, then a delay that doubles. It delays, it never locks for ever.

use std::time::Duration;

use kernel::{Error, Result, Time};
use serde::{Deserialize, Serialize};

/// Failures that cost nothing: people mistype.
const FREE_FAILURES: u32 = 4;
/// Delay after the first failure that is not free.
const FIRST_DELAY_SECONDS: i64 = 10;
/// Longest delay: an attacker must not be able to lock the owner out.
const LONGEST_DELAY_SECONDS: i64 = 300;
/// After this time without a failure all are forgotten.
const FORGOTTEN_AFTER_SECONDS: i64 = 24 * 3600;

/// Failures of one account over all factors and paths. Instants in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Guard {
    /// Failures in a row.
    pub(crate) failures: u32,
    /// When the next try is allowed; none = now.
    pub(crate) next_at: Option<i64>,
    pub(crate) last_failure_at: i64,
}

impl Guard {
    /// The first failure.
    pub(crate) fn first(now: Time) -> Self {
        Self { failures: 1, next_at: None, last_failure_at: now.micros() }
    }

    /// Lets a try through. Errors: `TRY_LATER` with the time to wait.
    pub(crate) fn open(&self, now: Time) -> Result<()> {
        match self.next_at.map(Time::from_micros) {
            Some(next) if next > now && !self.is_forgotten(now) => {
                let error = Error::exhausted("TRY_LATER", "too many failed tries; wait before the next one");
                Err(error.retry_after(whole_seconds_up(next.since(now))))
            }
            _ => Ok(()),
        }
    }

    /// One more failure.
    #[must_use]
    pub(crate) fn failed(&self, now: Time) -> Self {
        if self.is_forgotten(now) {
            return Self::first(now);
        }
        let failures = self.failures.saturating_add(1);
        let next = (failures > FREE_FAILURES).then(|| now.plus_seconds(delay_seconds(failures - FREE_FAILURES)).micros());
        // A clock that was set back must not shorten a delay that stands.
        Self { failures, next_at: next.max(self.next_at), last_failure_at: now.micros().max(self.last_failure_at) }
    }

    /// Whether this failure is told to others: the first, the fourth, and each doubling of it, so that they stay few.
    pub(crate) fn is_told(&self) -> bool {
        self.failures == 1 || (self.failures >= FREE_FAILURES && self.failures.is_power_of_two())
    }

    /// Whether this failure is the first of its row that costs time.
    pub(crate) fn has_just_closed(&self) -> bool {
        self.failures == FREE_FAILURES + 1
    }

    fn is_forgotten(&self, now: Time) -> bool {
        now >= Time::from_micros(self.last_failure_at).plus_seconds(FORGOTTEN_AFTER_SECONDS)
    }
}

/// Delay after the nth failure that is not free, n from 1.
fn delay_seconds(nth: u32) -> i64 {
    let doublings = (nth - 1).min(10);
    (FIRST_DELAY_SECONDS << doublings).min(LONGEST_DELAY_SECONDS)
}

/// A caller that waits as long as told must find the guard open.
fn whole_seconds_up(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use kernel::Kind;
    use proptest::prelude::*;

    use super::*;

    const START: Time = Time::from_seconds(1_000_000);

    #[test]
    fn four_are_free_then_ten_seconds_double_to_five_minutes() {
        let mut guard = Guard::first(START);
        let mut now = START;
        let mut waits = Vec::new();
        for _ in 1..12 {
            waits.push(guard.open(now).map_or_else(|error| error.wait().unwrap().as_secs(), |()| 0));
            now = guard.next_at.map_or(now, Time::from_micros).plus_seconds(1);
            guard.open(now).unwrap();
            guard = guard.failed(now);
        }
        assert_eq!(waits, [0, 0, 0, 0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn says_how_long_to_wait_and_keeps_the_word() {
        let closed = (1..5).fold(Guard::first(START), |guard, _| guard.failed(START));
        let early = Time::from_micros(START.micros() + 500_000);
        let error = closed.open(early).unwrap_err();
        assert_eq!((error.kind(), error.reason(), error.wait()), (Kind::Exhausted, "TRY_LATER", Some(Duration::from_secs(10))));
        closed.open(early.plus_seconds(10)).unwrap();
    }

    #[test]
    fn forgets_a_day_after_the_last_failure() {
        let guard = (1..9).fold(Guard::first(START), |guard, _| guard.failed(START));
        let day = START.plus_seconds(FORGOTTEN_AFTER_SECONDS);
        assert_eq!(guard.failed(day), Guard::first(day));
        let just_before = START.plus_seconds(FORGOTTEN_AFTER_SECONDS - 1);
        assert_eq!(guard.failed(just_before).failures, 10);
    }

    #[test]
    fn few_failures_are_told() {
        let told: Vec<u32> = (1..=100).filter(|failures| Guard { failures: *failures, ..Guard::first(START) }.is_told()).collect();
        assert_eq!(told, [1, 4, 8, 16, 32, 64]);
    }

    proptest! {
        #[test]
        fn never_more_than_the_budget_and_never_locked_out(gaps in prop::collection::vec(0_i64..400, 1..200)) {
            let (mut guard, mut now, mut tries) = (Guard::first(START), START, 1_u32);
            for gap in gaps {
                now = now.plus_seconds(gap);
                if guard.open(now).is_ok() {
                    tries += 1;
                    guard = guard.failed(now);
                }
                let wait = guard.open(now).map_or_else(|error| error.wait().unwrap(), |()| Duration::ZERO);
                prop_assert!(wait <= Duration::from_secs(300));
                prop_assert!(guard.open(now.plus_seconds(i64::try_from(wait.as_secs()).unwrap())).is_ok());
            }
            let elapsed = now.since(START).as_secs();
            // Five tries at once, five more while the delay doubles to its longest, then one each five minutes.
            prop_assert!(u64::from(tries) <= 11 + elapsed / 300, "{tries} in {elapsed} s");
        }

        #[test]
        fn a_failure_never_opens_what_was_closed(failures in 1_u32..40, back in 0_i64..100) {
            let guard = (1..failures).fold(Guard::first(START), |guard, _| guard.failed(START));
            let next = guard.failed(START.plus_seconds(-back));
            prop_assert!(next.next_at >= guard.next_at && next.failures == guard.failures + 1);
        }
    }
}
