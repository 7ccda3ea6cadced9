//! How much failing one network may do: budgets that fill again, and the trace of somebody who tries many accounts.
//! Rules on plain values; who keeps them is decided elsewhere.

use std::net::{IpAddr, Ipv6Addr};

use kernel::Time;

/// Different accounts that may fail from one network within `WINDOW_SECONDS` before it counts as stuffing.
pub(crate) const MAX_DISTINCT: usize = 20;
/// How long a failing account is remembered, and how long a network stays slow after the last one too many, in seconds.
const WINDOW_SECONDS: i64 = 600;

/// Failures of one IPv4 address or one IPv6 /64: a household, an office. Typing errors of a hundred people at nine o'clock pass.
const NEAR: Rate = Rate { burst: 100, refill_seconds: 6 };
/// Failures of an IPv6 /48: whoever has one has 65,536 of the smaller networks.
const WIDE: Rate = Rate { burst: 400, refill_seconds: 2 };
/// Failures of one account from one network; filled again at the longest pace of an account's own guard, so that an attacker
/// gains nothing from the owner's successes.
pub(crate) const PAIR: Rate = Rate { burst: 20, refill_seconds: 300 };
/// Tries of a network that stuffs, for all accounts together.
const SLOW: Rate = Rate { burst: 1, refill_seconds: 10 };

/// A network that calls come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Net {
    /// One IPv4 address.
    V4(u32),
    /// The first 64 bits of an IPv6 address.
    V6(u64),
    /// The first 48 bits of one.
    Wide(u64),
    /// Everybody whose address is not known.
    Unknown,
}

impl Net {
    /// The networks that answer for this address, the smallest first.
    pub(crate) fn of(address: Option<IpAddr>) -> Vec<Self> {
        match address.map(|address| address.to_canonical()) {
            None => vec![Self::Unknown],
            Some(IpAddr::V4(address)) => vec![Self::V4(address.to_bits())],
            Some(IpAddr::V6(address)) => vec![Self::V6(upper(address)), Self::Wide(upper(address) >> 16)],
        }
    }

    /// The budget of its failures.
    pub(crate) fn rate(self) -> Rate {
        if matches!(self, Self::Wide(_)) { WIDE } else { NEAR }
    }
}

fn upper(address: Ipv6Addr) -> u64 {
    u64::try_from(address.to_bits() >> 64).unwrap_or(u64::MAX)
}

/// So many at once, and one more each so many seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    burst: i64,
    refill_seconds: i64,
}

/// What is left of a budget, kept as the one instant at which it is full again. The default is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    full_at: i64,
}

impl Bucket {
    /// How long to wait, in microseconds, until one can be taken; 0 = now.
    pub(crate) fn wait_micros(self, rate: Rate, now: Time) -> i64 {
        let missing = self.missing(rate, now);
        (missing - (rate.burst - 1) * rate.refill_micros()).max(0)
    }

    /// Takes one, whether or not it is there.
    pub(crate) fn take(&mut self, rate: Rate, now: Time) {
        let most = rate.burst * rate.refill_micros();
        self.full_at = now.micros() + (self.missing(rate, now) + rate.refill_micros()).min(most);
    }

    /// Puts back one that was taken.
    pub(crate) fn give_back(&mut self, rate: Rate) {
        self.full_at -= rate.refill_micros();
    }

    /// What is missing from it, in microseconds of refilling. More than it holds can only be missing where the clock was set
    /// back: then what is known of it means nothing, and it is full.
    fn missing(self, rate: Rate, now: Time) -> i64 {
        let missing = (self.full_at - now.micros()).max(0);
        if missing > rate.burst * rate.refill_micros() { 0 } else { missing }
    }
}

impl Rate {
    fn refill_micros(self) -> i64 {
        self.refill_seconds * 1_000_000
    }
}

/// What is known of one network.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    bucket: Bucket,
    /// Accounts that failed of late and when, in microseconds; at most one more than are allowed.
    failing: Vec<(u64, i64)>,
    slow: Bucket,
    slow_until: i64,
}

impl Source {
    /// How long this network has to wait before its next try, in microseconds; 0 = not at all.
    pub(crate) fn wait_micros(&self, rate: Rate, now: Time) -> i64 {
        let slow = if self.is_slow(now) { self.slow.wait_micros(SLOW, now) } else { 0 };
        self.bucket.wait_micros(rate, now).max(slow)
    }

    /// A try begins. Whether it was one of a slow network.
    pub(crate) fn take(&mut self, rate: Rate, now: Time) -> bool {
        self.bucket.take(rate, now);
        let slow = self.is_slow(now);
        if slow {
            self.slow.take(SLOW, now);
        }
        slow
    }

    /// The try was no failure.
    pub(crate) fn give_back(&mut self, rate: Rate, was_slow: bool) {
        self.bucket.give_back(rate);
        if was_slow {
            self.slow.give_back(SLOW);
        }
    }

    /// The try failed, for this account.
    pub(crate) fn failed(&mut self, account: u64, now: Time) {
        let oldest = now.plus_seconds(-WINDOW_SECONDS).micros();
        self.failing.retain(|(known, at)| *known != account && *at > oldest);
        if self.failing.len() > MAX_DISTINCT {
            self.failing.remove(0);
        }
        self.failing.push((account, now.micros()));
        if self.failing.len() > MAX_DISTINCT {
            self.slow_until = now.plus_seconds(WINDOW_SECONDS).micros();
        }
    }

    fn is_slow(&self, now: Time) -> bool {
        now.micros() < self.slow_until && self.slow_until <= now.plus_seconds(WINDOW_SECONDS).micros()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const START: Time = Time::from_seconds(1_000_000);

    fn failing(source: &mut Source, account: u64, now: Time) {
        source.take(NEAR, now);
        source.failed(account, now);
    }

    #[test]
    fn rule_33_addresses_are_canonical_and_networks_nested() {
        let nets = |text: &str| Net::of(Some(text.parse().unwrap()));
        assert_eq!(nets("::ffff:9.8.7.6"), nets("9.8.7.6"));
        assert_eq!(nets("2001:db8:1:2:3::1"), [Net::V6(0x2001_0db8_0001_0002), Net::Wide(0x2001_0db8_0001)]);
        assert_eq!(nets("2001:db8:1:2::")[0], nets("2001:db8:1:2:ffff::")[0]);
        assert_eq!((nets("2001:db8:1:9::")[1], Net::of(None)), (nets("2001:db8:1:2::")[1], vec![Net::Unknown]));
    }

    #[test]
    fn a_budget_is_spent_waits_as_told_and_fills_again() {
        let mut bucket = Bucket::default();
        for _ in 0..NEAR.burst {
            assert_eq!(bucket.wait_micros(NEAR, START), 0);
            bucket.take(NEAR, START);
        }
        let wait = bucket.wait_micros(NEAR, START);
        assert_eq!(wait, 6_000_000);
        let later = Time::from_micros(START.micros() + wait);
        assert_eq!((bucket.wait_micros(NEAR, later), bucket.wait_micros(NEAR, START.plus_seconds(3))), (0, 3_000_000));
        bucket.give_back(NEAR);
        assert_eq!(bucket.wait_micros(NEAR, START), 0);
    }

    #[test]
    fn twenty_accounts_may_fail_and_the_next_one_slows_the_network() {
        let mut source = Source::default();
        for account in 0..20 {
            failing(&mut source, account, START);
            failing(&mut source, account, START);
        }
        assert_eq!(source.wait_micros(NEAR, START), 0);
        failing(&mut source, 20, START);
        assert!(source.take(NEAR, START) && source.wait_micros(NEAR, START) == 10_000_000);
        assert_eq!(source.wait_micros(NEAR, START.plus_seconds(601)), 0);
    }

    #[test]
    fn accounts_that_failed_long_ago_do_not_count() {
        let mut source = Source::default();
        (0..40).for_each(|n| failing(&mut source, n, START.plus_seconds(i64::try_from(n).unwrap() * 60)));
        assert!(!source.is_slow(START.plus_seconds(40 * 60)) && source.failing.len() <= MAX_DISTINCT + 1);
    }

    proptest! {
        #[test]
        fn no_clock_locks_a_network_out(moves in prop::collection::vec(-100_000_i64..100_000, 1..300)) {
            let (mut source, mut now) = (Source::default(), START);
            for (account, seconds) in moves.into_iter().enumerate() {
                now = now.plus_seconds(seconds);
                failing(&mut source, account as u64, now);
                let wait = source.wait_micros(NEAR, now);
                prop_assert!(wait <= 10_000_000 && source.failing.len() <= MAX_DISTINCT + 1);
            }
        }

        #[test]
        fn never_more_than_the_burst_and_the_refill(gaps in prop::collection::vec(0_i64..20, 1..400)) {
            let (mut bucket, mut now, mut taken) = (Bucket::default(), START, 0_i64);
            for gap in gaps {
                now = now.plus_seconds(gap);
                if bucket.wait_micros(NEAR, now) == 0 {
                    bucket.take(NEAR, now);
                    taken += 1;
                }
            }
            let elapsed = i64::try_from(now.since(START).as_secs()).unwrap();
            prop_assert!(taken <= NEAR.burst + elapsed / NEAR.refill_seconds);
        }
    }
}
