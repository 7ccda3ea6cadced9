//! Whole stores, whatever their engine: read in order, digested, and one made equal to another. Knows no engine, no file and
//! no command.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::time::Duration;

use kernel::{Error, Kind, Result, Tenant};
use sha2::{Digest as _, Sha256};
use storage::{Across, Collection, Envelope, Life, Store};

use crate::manifest::{Collected, hex};

/// Envelopes read at once: at the usual size of a document half a megabyte.
const PAGE: usize = 500;
/// Envelopes written at once.
const BATCH: usize = 200;
/// Tries of a write that may succeed later.
const TRIES: u32 = 6;

/// A store and the right to read all of it.
#[derive(Clone)]
pub(crate) struct Whole {
    pub(crate) store: Store,
    pub(crate) across: Across,
}

/// What a pass over one collection, or over all, did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pass {
    pub(crate) read: u64,
    pub(crate) written: u64,
    pub(crate) removed: u64,
    /// Documents whose unique keys are held by one that has moved on since it was read: for the next pass.
    pub(crate) left: u64,
}

impl Pass {
    /// Whether anything differed.
    pub(crate) fn changes(&self) -> u64 {
        self.written + self.removed + self.left
    }
}

impl Whole {
    /// Whether nothing at all is stored.
    pub(crate) async fn is_empty(&self) -> Result<bool> {
        for kind in self.store.kinds() {
            if !self.store.export(&self.across, kind, None, 1).await?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Counts and digests every collection that `wanted` names. `told` hears how far it is.
    pub(crate) async fn digest(&self, wanted: &[&'static Collection], told: &mut dyn FnMut(&str, u64)) -> Result<Vec<Collected>> {
        let mut digested = Vec::new();
        for kind in wanted {
            let mut stream = Stream::of(self, kind);
            let (mut hash, mut documents, mut removed) = (Sha256::new(), 0, 0);
            while let Some(envelope) = stream.next().await? {
                hash.update(envelope.digest()?);
                *(if envelope.life == Life::Present { &mut documents } else { &mut removed }) += 1;
                told(kind.name, documents + removed);
            }
            let content = hex(&hash.finalize());
            digested.push(Collected { name: kind.name.into(), version: kind.version, documents, removed, content });
        }
        Ok(digested)
    }

    /// Makes this store's collection equal to that of `source`, as far as that stands still. Only what differs is written.
    pub(crate) async fn follow(&self, source: &Self, kind: &'static Collection, told: &mut dyn FnMut(&str, u64)) -> Result<Pass> {
        let (mut theirs, mut ours) = (Stream::of(source, kind), Stream::of(self, kind));
        let mut work = Work { target: self, kind, batch: Vec::new(), later: Vec::new(), pass: Pass::default() };
        loop {
            let order = match (theirs.peek().await?, ours.peek().await?) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(theirs), Some(ours)) => place(theirs).cmp(&place(ours)),
            };
            let their = if order == Ordering::Greater { None } else { theirs.next().await? };
            let our = if order == Ordering::Less { None } else { ours.next().await? };
            work.settle(their, our).await?;
            told(kind.name, work.pass.read);
        }
        work.finish().await
    }
}

fn place(envelope: &Envelope) -> (&[u8], &[u8]) {
    (envelope.tenant.as_bytes(), envelope.id.as_bytes())
}

/// A collection in the order of tenant and id.
struct Stream<'a> {
    whole: &'a Whole,
    kind: &'static Collection,
    page: VecDeque<Envelope>,
    after: Option<(String, String)>,
    ended: bool,
}

impl<'a> Stream<'a> {
    fn of(whole: &'a Whole, kind: &'static Collection) -> Self {
        Self { whole, kind, page: VecDeque::new(), after: None, ended: false }
    }

    async fn peek(&mut self) -> Result<Option<&Envelope>> {
        if self.page.is_empty() && !self.ended {
            let read = self.whole.store.export(&self.whole.across, self.kind, self.after.clone(), PAGE).await?;
            self.ended = read.is_empty();
            self.after = read.last().map(|last| (last.tenant.clone(), last.id.clone())).or(self.after.take());
            self.page = read.into();
        }
        Ok(self.page.front())
    }

    async fn next(&mut self) -> Result<Option<Envelope>> {
        self.peek().await?;
        Ok(self.page.pop_front())
    }
}

/// The writing half of a pass over one collection.
struct Work<'a> {
    target: &'a Whole,
    kind: &'static Collection,
    batch: Vec<Envelope>,
    /// Those that met a unique key held by another document.
    later: Vec<Envelope>,
    pass: Pass,
}

impl Work<'_> {
    /// Brings one place to what the source has there.
    async fn settle(&mut self, theirs: Option<Envelope>, ours: Option<Envelope>) -> Result<()> {
        self.pass.read += 1;
        match (theirs, ours) {
            (Some(theirs), ours) if ours.as_ref() != Some(&theirs) => {
                self.batch.push(theirs);
                if self.batch.len() >= BATCH { self.flush().await } else { Ok(()) }
            }
            (None, Some(gone)) => {
                self.pass.removed += 1;
                self.expunge(&gone).await
            }
            _ => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        if self.import(batch.clone()).await? {
            self.pass.written += batch.len() as u64;
            return Ok(());
        }
        for envelope in batch {
            if self.import(vec![envelope.clone()]).await? {
                self.pass.written += 1;
            } else {
                // What stands in its place is outdated, and may itself hold a key that another one waits for.
                self.expunge(&envelope).await?;
                self.later.push(envelope);
            }
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Pass> {
        self.flush().await?;
        for envelope in std::mem::take(&mut self.later) {
            let written = self.import(vec![envelope]).await?;
            *(if written { &mut self.pass.written } else { &mut self.pass.left }) += 1;
        }
        Ok(self.pass)
    }

    /// False when a unique key is held by another document.
    async fn import(&self, envelopes: Vec<Envelope>) -> Result<bool> {
        let target = self.target;
        match patiently(async || target.store.import(&target.across, self.kind, envelopes.clone()).await).await {
            Err(error) if error.kind() == Kind::Exists => Ok(false),
            done => done.map(|()| true),
        }
    }

    async fn expunge(&self, envelope: &Envelope) -> Result<()> {
        let (target, tenant) = (self.target, Tenant::parse(&envelope.tenant)?);
        let ids = vec![(tenant, envelope.id.clone())];
        patiently(async || target.store.expunge(&target.across, self.kind, ids.clone()).await).await
    }
}

/// Tries again what may succeed later; all that is tried here may be done twice.
async fn patiently<T>(work: impl AsyncFn() -> Result<T>) -> Result<T> {
    let mut tries = 1;
    loop {
        match work().await {
            Err(error) if tries < TRIES && passes(&error) => {
                tokio::time::sleep(Duration::from_millis(100) * 2_u32.pow(tries)).await;
                tries += 1;
            }
            done => return done,
        }
    }
}

fn passes(error: &Error) -> bool {
    matches!(error.kind(), Kind::Unavailable | Kind::Timeout)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kernel::{Clock, Cx, Time};
    use serde::{Deserialize, Serialize};
    use storage::{Change, Event, Index, KeyType, Keys, Record, Removal, Seen, Sqlite};

    use super::*;

    #[derive(Clone, Serialize, Deserialize)]
    struct Seat {
        number: String,
    }

    impl Record for Seat {
        const KIND: Collection = Collection {
            name: "seats",
            version: 1,
            keys: &[("number", KeyType::Str)],
            indexes: &[Index { name: "number", keys: &["number"], unique: true }],
            burns: true,
            max_bytes: 0,
            max_items: 0,
        };

        fn keys(&self) -> Keys {
            Keys::new().with("number", self.number.as_str())
        }
    }

    async fn fresh() -> Whole {
        let clock = Clock::manual(Time::from_seconds(1)).0;
        let store = Store::open(Arc::new(Sqlite::open_temporary().unwrap()), [0; 32], clock);
        store.define::<Seat>().await.unwrap();
        Whole { store, across: Across::granted() }
    }

    fn cx() -> Cx {
        Cx::system(Tenant::platform(), "test")
    }

    fn seat(number: &str) -> Change<Seat> {
        Change::of(Seat { number: number.into() }).event(Event { kind: "seat.taken", payload: vec![1] })
    }

    async fn moved(whole: &Whole, id: &str, number: &str) -> Seen<Seat> {
        let seen = whole.store.get::<Seat>(&cx(), id).await.unwrap().unwrap();
        whole.store.replace(&cx(), &seen, seat(number)).await.unwrap()
    }

    async fn followed(target: &Whole, source: &Whole) -> Pass {
        target.follow(source, target.store.kinds()[0], &mut |_, _| {}).await.unwrap()
    }

    async fn digest(whole: &Whole) -> String {
        whole.digest(&whole.store.kinds(), &mut |_, _| {}).await.unwrap().remove(0).content
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_target_follows_changes_removals_and_traded_keys() {
        let (source, target) = (fresh().await, fresh().await);
        assert!(target.is_empty().await.unwrap());
        for (id, number) in [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")] {
            source.store.insert(&cx(), id, seat(number)).await.unwrap();
        }
        let first = followed(&target, &source).await;
        assert_eq!((first.read, first.written, first.removed, first.left), (4, 4, 0, 0));
        assert_eq!(digest(&target).await, digest(&source).await);
        assert_eq!(followed(&target, &source).await.changes(), 0, "what is equal is not written");

        // Two trade their unique keys, one goes and leaves its key to a new one before it in the order.
        moved(&source, "a", "0").await;
        moved(&source, "b", "1").await;
        moved(&source, "a", "2").await;
        let gone = source.store.get::<Seat>(&cx(), "d").await.unwrap().unwrap();
        source.store.remove(&cx(), &gone, Removal::new()).await.unwrap();
        source.store.insert(&cx(), "aa", seat("4")).await.unwrap();
        let second = followed(&target, &source).await;
        assert_eq!((second.written, second.left), (4, 0), "{second:?}");
        assert_eq!(digest(&target).await, digest(&source).await);

        // What the target has and the source has not goes without a trace.
        target.store.insert(&cx(), "z", seat("9")).await.unwrap();
        assert_eq!(followed(&target, &source).await.removed, 1);
        assert_eq!(digest(&target).await, digest(&source).await);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_digest_tells_every_difference() {
        let (one, other) = (fresh().await, fresh().await);
        one.store.insert(&cx(), "a", seat("1")).await.unwrap();
        followed(&other, &one).await;
        let same = digest(&one).await;
        assert_eq!(digest(&other).await, same);
        let kind = other.store.kinds()[0];
        let envelope = other.store.export(&other.across, kind, None, 1).await.unwrap().remove(0);
        let changed = [
            Envelope { version: 7, ..envelope.clone() },
            Envelope { writer: 7, ..envelope.clone() },
            Envelope { due: Some(7), ..envelope.clone() },
            Envelope { tries: 7, ..envelope.clone() },
            Envelope { events: Vec::new(), publish: None, ..envelope.clone() },
        ];
        for envelope in changed {
            other.store.import(&other.across, kind, vec![envelope]).await.unwrap();
            assert_ne!(digest(&other).await, same);
        }
    }
}
