//! Documents read lately, as the database has them: a hit costs neither a thread nor a statement. Exact, since one process owns
//! the file, and its one writer says beforehand what a commit changes.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashlink::LruCache;
use kernel::{Tenant, Time};

use crate::engine::{Place, Stored};

/// Parts with a lock each.
const SHARDS: usize = 64;
/// Documents of each part; with `MAX_BODY_BYTES` some 16 MiB in all, if every one is as large as may be.
const SHARD_DOCUMENTS: usize = 128;
/// Larger documents are read anew each time.
const MAX_BODY_BYTES: usize = 2 * 1024;

/// Which document is meant: its collection, tenant and id.
#[derive(Clone, Debug)]
pub(super) struct Key {
    shard: usize,
    name: Box<str>,
}

/// What a piece of work may change of what readers by id see.
#[derive(Clone, Debug)]
pub(super) enum Touches {
    Nothing,
    One(Key),
    All,
}

/// What the cache knows of a document.
pub(super) enum Look {
    Hit(Stored),
    Miss(Ticket),
}

/// The right to keep what is read now, unless a commit comes between.
pub(super) struct Ticket(Option<u64>);

#[derive(Debug)]
struct Kept {
    stored: Stored,
    expires: Option<Time>,
}

#[derive(Debug)]
struct Shard {
    kept: LruCache<Box<str>, Kept>,
    /// Commits on their way that change something here: until they are through, nobody knows which state a reader saw.
    changing: usize,
    /// Commits that changed something here.
    changes: u64,
}

/// A bounded cache of documents by id.
#[derive(Debug)]
pub(super) struct Cache {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    /// The latest time that anybody named. What was over then stays over, wherever the clock goes.
    latest: AtomicI64,
    hits: AtomicU64,
}

impl Cache {
    pub(super) fn new() -> Self {
        let shard = || Mutex::new(Shard { kept: LruCache::new(SHARD_DOCUMENTS), changing: 0, changes: 0 });
        let shards = std::iter::repeat_with(shard).take(SHARDS).collect();
        Self { shards, hasher: RandomState::new(), latest: AtomicI64::new(i64::MIN), hits: AtomicU64::new(0) }
    }

    pub(super) fn key(&self, tenant: &Tenant, place: &Place) -> Key {
        let name = format!("{}\0{tenant}\0{}", place.collection.name, place.id).into_boxed_str();
        let shard = self.hasher.hash_one(&name) % SHARDS as u64;
        Key { shard: usize::try_from(shard).unwrap_or_default(), name }
    }

    /// Reads that were answered from here.
    pub(super) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Notes that it was as late as this somewhere. Whether something that ends at `expires` lives yet.
    pub(super) fn lives(&self, now: Time, expires: Option<Time>) -> bool {
        let latest = self.latest.fetch_max(now.micros(), Ordering::Relaxed).max(now.micros());
        expires.is_none_or(|expires| expires.micros() > latest)
    }

    /// The document as the last commit left it, or the right to keep it once it was read.
    pub(super) fn look(&self, key: &Key, now: Time) -> Look {
        let mut shard = self.shard(key.shard);
        match shard.kept.get(&key.name) {
            Some(kept) if self.lives(now, kept.expires) => {
                self.hits.fetch_add(1, Ordering::Relaxed);
                Look::Hit(kept.stored.clone())
            }
            _ => Look::Miss(Ticket((shard.changing == 0).then_some(shard.changes))),
        }
    }

    /// Keeps what was read after `ticket` was drawn.
    pub(super) fn keep(&self, key: Key, Ticket(drawn): Ticket, stored: &Stored, expires: Option<Time>) {
        if stored.body.len() > MAX_BODY_BYTES {
            return;
        }
        let mut shard = self.shard(key.shard);
        if shard.changing == 0 && drawn == Some(shard.changes) {
            shard.kept.insert(key.name, Kept { stored: stored.clone(), expires });
        }
    }

    /// Runs a commit that changes this. Of what it changes nothing is known here from its beginning on, and only what is
    /// read after its end is kept again.
    pub(super) fn around<R>(&self, touched: &[Touches], commit: impl FnOnce() -> R) -> R {
        self.each(touched, |shard, name| {
            shard.changing += 1;
            shard.forget(name);
        });
        let committed = commit();
        self.each(touched, |shard, _| {
            shard.changing -= 1;
            shard.changes += 1;
        });
        committed
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.around(&[Touches::All], || ());
    }

    fn each(&self, touched: &[Touches], mut act: impl FnMut(&mut Shard, Option<&str>)) {
        for touches in touched {
            match touches {
                Touches::Nothing => {}
                Touches::One(key) => act(&mut self.shard(key.shard), Some(&key.name)),
                Touches::All => (0..SHARDS).for_each(|at| act(&mut self.shard(at), None)),
            }
        }
    }

    fn shard(&self, at: usize) -> MutexGuard<'_, Shard> {
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn forget(&mut self, name: Option<&str>) {
        match name {
            Some(name) => drop(self.kept.remove(name)),
            None => self.kept.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;
    use std::thread;

    use super::*;
    use crate::patch::Numbers;
    use crate::record::Collection;

    static SUBJECT: Collection =
        Collection { name: "subject", version: 1, keys: &[], indexes: &[], burns: false, max_bytes: 0, max_items: 0 };

    fn stored(version: i64) -> Stored {
        Stored { id: "one".into(), version, body: format!("{{\"v\":{version}}}"), numbers: Numbers::default(), once: Vec::new() }
    }

    fn one(cache: &Cache) -> Key {
        cache.key(&Tenant::platform(), &Place { collection: &SUBJECT, id: "one".into() })
    }

    fn version(look: Look) -> Option<i64> {
        match look {
            Look::Hit(stored) => Some(stored.version),
            Look::Miss(_) => None,
        }
    }

    fn ticket(cache: &Cache, key: &Key) -> Ticket {
        let Look::Miss(ticket) = cache.look(key, Time::from_micros(0)) else { unreachable!("nothing is kept yet") };
        ticket
    }

    #[test]
    fn what_was_read_before_a_commit_is_not_kept_after_it() {
        let (cache, now) = (Cache::new(), Time::from_micros(0));
        let key = one(&cache);
        let (before, within) = (ticket(&cache, &key), Mutex::new(None));
        cache.around(&[Touches::One(key.clone())], || *within.lock().unwrap() = Some(ticket(&cache, &key)));
        cache.keep(key.clone(), before, &stored(1), None);
        cache.keep(key.clone(), within.into_inner().unwrap().unwrap(), &stored(1), None);
        assert_eq!(version(cache.look(&key, now)), None);
        cache.keep(key.clone(), ticket(&cache, &key), &stored(2), None);
        assert_eq!(version(cache.look(&key, now)), Some(2));
        cache.around(&[Touches::Nothing], || ());
        assert_eq!(version(cache.look(&key, now)), Some(2));
        cache.around(&[Touches::All], || assert_eq!(version(cache.look(&key, now)), None));
        assert_eq!(version(cache.look(&key, now)), None);
    }

    #[test]
    fn what_has_expired_stays_so_when_the_clock_goes_back() {
        let cache = Cache::new();
        let (key, at) = (one(&cache), Time::from_micros);
        cache.keep(key.clone(), ticket(&cache, &key), &stored(1), Some(at(10)));
        assert_eq!(version(cache.look(&key, at(9))), Some(1));
        assert_eq!(version(cache.look(&key, at(10))), None);
        assert_eq!(version(cache.look(&key, at(9))), None);
    }

    /// A database of one number. Nobody may read less than what was committed before he began, nor less than he has read.
    #[test]
    fn no_reader_goes_back() {
        let (cache, database) = (Arc::new(Cache::new()), Arc::new(AtomicI64::new(0)));
        let told = Arc::new(AtomicI64::new(0));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (cache, database, told) = (cache.clone(), database.clone(), told.clone());
                thread::spawn(move || {
                    let (key, mut last, mut hits) = (one(&cache), 0, 0);
                    while last < 20_000 {
                        let floor = told.load(Ordering::SeqCst).max(last);
                        last = match cache.look(&key, Time::from_micros(0)) {
                            Look::Hit(stored) => {
                                hits += 1;
                                stored.version
                            }
                            Look::Miss(ticket) => {
                                let found = database.load(Ordering::SeqCst);
                                cache.keep(key.clone(), ticket, &stored(found), None);
                                found
                            }
                        };
                        assert!(last >= floor, "{last} after {floor}");
                    }
                    hits
                })
            })
            .collect();
        for next in 1..=20_000 {
            cache.around(&[Touches::One(one(&cache))], || database.store(next, Ordering::SeqCst));
            told.store(next, Ordering::SeqCst);
            if next % 16 == 0 {
                thread::yield_now();
            }
        }
        assert!(readers.into_iter().map(|reader| reader.join().unwrap()).sum::<u64>() > 0);
    }
}
