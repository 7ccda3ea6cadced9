//! The networks that tries come from, in the memory of this process and of bounded size. What must survive a restart is in the
//! guards of accounts; this is what keeps one network from working through many of them.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kernel::{Error, Result, Time};

use crate::domain::source::{Bucket, Net, PAIR, Source};

/// Networks of one generation; two generations are kept, each at most 0.5 KiB a network.
const MAX_NETS: usize = 8_192;
/// Pairs of network and account of one generation.
const MAX_PAIRS: usize = 32_768;

/// All that is known of them.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    known: Mutex<Known>,
    /// So that nobody outside can choose accounts that look alike.
    seed: RandomState,
}

#[derive(Debug)]
struct Known {
    nets: Recent<Net, Source>,
    pairs: Recent<(Net, u64), Bucket>,
}

impl Default for Known {
    fn default() -> Self {
        Self { nets: Recent::new(MAX_NETS), pairs: Recent::new(MAX_PAIRS) }
    }
}

/// One try of somebody. Costs its network nothing unless `failed` is told.
#[derive(Debug)]
pub(crate) struct Try<'a> {
    sources: &'a Sources,
    /// Each network, and whether it was slow.
    nets: Vec<(Net, bool)>,
    account: u64,
    is_paired: bool,
    is_over: bool,
}

impl Sources {
    /// Lets a try through, for this account of this app; `is_paired` also within the budget of the two together.
    /// Errors: `TRY_LATER` with the time to wait.
    pub(crate) fn begin(&self, address: Option<IpAddr>, account: (&str, &str), is_paired: bool, now: Time) -> Result<Try<'_>> {
        let (nets, account) = (Net::of(address), self.seed.hash_one(account));
        let mut known = self.known();
        let mut wait = if is_paired { known.pairs.at((nets[0], account)).wait_micros(PAIR, now) } else { 0 };
        for net in &nets {
            wait = wait.max(known.nets.at(*net).wait_micros(net.rate(), now));
        }
        if wait > 0 {
            let seconds = u64::try_from(wait).unwrap_or(0).div_ceil(1_000_000);
            let error = Error::exhausted("TRY_LATER", "too many failed tries from this network; wait before the next one");
            return Err(error.retry_after(Duration::from_secs(seconds)));
        }
        if is_paired {
            known.pairs.at((nets[0], account)).take(PAIR, now);
        }
        let nets = nets.into_iter().map(|net| (net, known.nets.at(net).take(net.rate(), now))).collect();
        Ok(Try { sources: self, nets, account, is_paired, is_over: false })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Counts are never half-written: each change is one call.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Try<'_> {
    /// It was wrong: what it took stays taken.
    pub(crate) fn failed(&mut self, now: Time) {
        self.is_over = true;
        let mut known = self.sources.known();
        for (net, _) in &self.nets {
            known.nets.at(*net).failed(self.account, now);
        }
    }

    /// It was right: earlier failures of this account from here are forgotten, and of no other.
    pub(crate) fn succeeded(&mut self) {
        if self.is_paired {
            *self.sources.known().pairs.at((self.nets[0].0, self.account)) = Bucket::default();
            self.is_paired = false;
        }
    }
}

impl Drop for Try<'_> {
    /// What was not judged, or was right, gives back what it took.
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut known = self.sources.known();
        for (net, was_slow) in &self.nets {
            known.nets.at(*net).give_back(net.rate(), *was_slow);
        }
        if self.is_paired {
            known.pairs.at((self.nets[0].0, self.account)).give_back(PAIR);
        }
    }
}

/// Values by key, of which those used last are kept: at most two generations of `limit`.
#[derive(Debug)]
struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    limit: usize,
}

impl<K: Hash + Eq, V: Default> Recent<K, V> {
    fn new(limit: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), limit }
    }

    fn at(&mut self, key: K) -> &mut V {
        if self.young.len() >= self.limit && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        let old = &mut self.old;
        self.young.entry(key).or_insert_with_key(|key| old.remove(key).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOW: Time = Time::from_seconds(1_000);

    fn begin<'a>(sources: &'a Sources, address: &str, account: &str) -> Result<Try<'a>> {
        sources.begin(Some(address.parse().unwrap()), ("shop", account), true, NOW)
    }

    fn fail(sources: &Sources, address: &str, account: &str) {
        begin(sources, address, account).unwrap().failed(NOW);
    }

    #[test]
    fn rule_34_a_success_clears_its_own_pair_and_nothing_else() {
        let sources = Sources::default();
        for _ in 0..20 {
            fail(&sources, "9.9.9.9", "ann");
            fail(&sources, "9.9.9.9", "ben");
        }
        for account in ["ann", "ben"] {
            let refused = begin(&sources, "9.9.9.9", account).unwrap_err();
            assert_eq!((refused.reason(), refused.wait().unwrap().as_secs()), ("TRY_LATER", 300));
        }
        begin(&sources, "9.9.9.8", "ann").unwrap().succeeded();
        assert!(begin(&sources, "9.9.9.9", "ann").is_err(), "another network's success is no help");
        let later = NOW.plus_seconds(300);
        sources.begin(Some("9.9.9.9".parse().unwrap()), ("shop", "ann"), true, later).unwrap().succeeded();
        assert!(begin(&sources, "9.9.9.9", "ann").is_ok() && begin(&sources, "9.9.9.9", "ben").is_err());
    }

    #[test]
    fn rule_34_a_success_clears_nothing_of_its_network() {
        let sources = Sources::default();
        (0..20).for_each(|_| fail(&sources, "9.9.9.9", "ann"));
        begin(&sources, "9.9.9.9", "ben").unwrap().succeeded();
        let tries = (0..200).take_while(|_| {
            let next = sources.begin(Some("9.9.9.9".parse().unwrap()), ("shop", "cara"), false, NOW);
            next.map(|mut next| next.failed(NOW)).is_ok()
        });
        assert_eq!(tries.count(), 100 - 20);
    }

    #[test]
    fn what_is_not_judged_costs_nothing() {
        let sources = Sources::default();
        (0..1_000).for_each(|_| drop(begin(&sources, "9.9.9.9", "ann").unwrap()));
        let held: Vec<_> = (0..20).map(|_| begin(&sources, "9.9.9.9", "ann").unwrap()).collect();
        assert!(begin(&sources, "9.9.9.9", "ann").is_err(), "tries that run count while they run");
        drop(held);
        assert!(begin(&sources, "9.9.9.9", "ann").is_ok());
    }

    #[test]
    fn twenty_one_accounts_slow_a_network_and_no_other() {
        let sources = Sources::default();
        (0..21).for_each(|n| fail(&sources, "2001:db8:1:2::", &format!("p{n}")));
        fail(&sources, "2001:db8:1:2::", "one more");
        assert_eq!(begin(&sources, "2001:db8:1:2::", "ann").unwrap_err().wait().unwrap().as_secs(), 10);
        assert!(begin(&sources, "2001:db8:1:3::", "ann").is_err(), "nor one beside it in the same /48");
        assert!(begin(&sources, "2001:db8:2:2::", "ann").is_ok());
    }

    #[test]
    fn memory_is_bounded_and_keeps_what_is_used() {
        let mut recent: Recent<usize, usize> = Recent::new(10);
        *recent.at(0) = 7;
        for key in 1..1_000 {
            recent.at(key);
            assert_eq!(*recent.at(0), 7);
            assert!(recent.young.len() + recent.old.len() <= 20);
        }
    }
}
