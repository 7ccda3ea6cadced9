//! The embedded engine: SQLite in one directory, one writer thread, reader threads beside it. The default of every node.

mod backup;
mod cache;
mod changes;
mod copies;
mod expiry;
mod fault;
mod files;
mod inspect;
mod meter;
mod outbox;
mod queue;
mod reads;
mod schema;
mod sql;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_faults;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use kernel::{Error, Result, Tenant, Time};
use rusqlite::Connection;

use self::cache::{Cache, Look, Touches};
use self::fault::{Fault, broken, damaged, slow};
use self::files::{Location, Lock};
use self::meter::Health;
use self::queue::{Job, Queue, Way};
use self::writer::Writer;
use crate::bell::{Bell, Ringer};
use crate::engine::{Amend, Amended, Answer, Engine, Erase, Metrics, Part, Place, Rekey, Rows, Scan, Stored, Trail, Write};
use crate::envelope::Envelope;
use crate::outbox::{Ack, Across, Claimed, Defer, Due, Lease, Outbox};
use crate::record::Collection;
use crate::resolve::maybe_applied;

pub use self::inspect::{Inspected, Inspection};

/// Threads that read beside the writer.
const READERS: usize = 2;

/// When a change is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After its log was synced: it survives a power cut.
    Full,
    /// After its log was written: it survives the end of the process, and a power cut may take the newest.
    Normal,
}

/// A database in one directory. Dropping it finishes what was accepted, moves the log into the database and lets go of
/// the lock.
#[derive(Debug)]
pub struct Sqlite {
    writer: Option<Served>,
    readers: Option<Served>,
    health: Arc<Health>,
    /// None where another process may write.
    cache: Option<Arc<Cache>>,
    reads: AtomicU64,
    defined: Mutex<Vec<(&'static Collection, Rekey)>>,
    bell: Ringer,
    location: Location,
    _lock: Option<Lock>,
    temporary: Option<PathBuf>,
}

impl Sqlite {
    /// Opens the database in this directory, or makes it: directory mode 0700, files 0600. Blocks.
    /// Errors: `STORE_LOCKED` naming the process that has it, `STORE_UNUSABLE`, `STORE_NEWER`, `STORE_CORRUPT`, `DISK_FULL`.
    pub fn open(dir: &Path, durability: Durability) -> Result<Self> {
        let location = Location::in_directory(dir, durability)?;
        let lock = Lock::take(dir)?;
        Self::start(location, Some(lock), None)
    }

    /// A database in memory, for tests.
    pub fn in_memory() -> Result<Self> {
        Self::start(Location::Memory, None, None)
    }

    /// A database in a directory of its own that goes with it, at `Full`; for tests.
    pub fn open_temporary() -> Result<Self> {
        Self::temporary(Durability::Full)
    }

    /// As `open_temporary`, with this durability.
    pub fn temporary(durability: Durability) -> Result<Self> {
        let number = getrandom::u64().map_err(|cause| Error::internal("RANDOM_FAILED", "no random number was drawn").because(cause))?;
        let dir = std::env::temp_dir().join(format!("mozaiks-{number:016x}"));
        let location = Location::in_directory(&dir, durability)?;
        let lock = Lock::take(&dir)?;
        Self::start(location, Some(lock), Some(dir))
    }

    fn start(location: Location, lock: Option<Lock>, temporary: Option<PathBuf>) -> Result<Self> {
        let conn = location.open()?;
        let (health, cache) = (Arc::new(Health::default()), Arc::new(Cache::new()));
        let (queue, jobs) = Queue::new(maybe_applied);
        let writer = Writer::new(conn, location.clone(), (health.clone(), cache.clone()), jobs);
        let writer = Some(Served { queue, threads: vec![spawn("store-writer", move || writer.run())?] });
        let readers = start_readers(&location)?;
        Ok(Self {
            writer,
            readers,
            health,
            cache: Some(cache),
            reads: AtomicU64::new(0),
            defined: Mutex::default(),
            bell: Ringer::new(),
            location,
            _lock: lock,
            temporary,
        })
    }

    async fn change<R: Send + 'static>(&self, work: impl FnOnce(&Connection) -> Result<R, Fault> + Send + 'static) -> Result<R> {
        self.change_as(Way::default(), work).await
    }

    /// A change of one document, of which a refusal leaves nothing behind. Rings where there is something to publish or to
    /// attend to.
    async fn write<R: Send + 'static>(
        &self,
        touches: Touches,
        news: bool,
        work: impl FnOnce(&Connection) -> Result<R, Fault> + Send + 'static,
    ) -> Result<R> {
        let news = news.then(|| self.bell.clone());
        self.change_as(Way { news, clean: true, touches, ..Way::default() }, work).await
    }

    /// A change of nothing that a reader by id may still see: of what waits for relays, or has expired.
    async fn attend<R: Send + 'static>(&self, work: impl FnOnce(&Connection) -> Result<R, Fault> + Send + 'static) -> Result<R> {
        self.change_as(Way { touches: Touches::Nothing, ..Way::default() }, work).await
    }

    /// What a change of this document at this time touches.
    fn touches(&self, tenant: &Tenant, place: &Place, now: Time) -> Touches {
        self.passed(now);
        self.cache.as_ref().map_or(Touches::Nothing, |cache| Touches::One(cache.key(tenant, place)))
    }

    /// Nothing that expires until now is answered from memory any more.
    fn passed(&self, now: Time) {
        if let Some(cache) = &self.cache {
            cache.lives(now, None);
        }
    }

    async fn get_now(&self, tenant: Tenant, place: Place, now: Time) -> Result<Option<Stored>> {
        let Some(cache) = &self.cache else {
            return Ok(self.read(move |conn| reads::get(conn, &tenant, &place, now)).await?.map(|(stored, _)| stored));
        };
        let key = cache.key(&tenant, &place);
        let ticket = match cache.look(&key, now) {
            Look::Hit(stored) => return Ok(Some(stored)),
            Look::Miss(ticket) => ticket,
        };
        let found = self.read(move |conn| reads::get(conn, &tenant, &place, now)).await?;
        Ok(found.map(|(stored, expires)| {
            cache.keep(key, ticket, &stored, expires);
            stored
        }))
    }

    async fn change_as<R: Send + 'static>(
        &self,
        way: Way,
        work: impl FnOnce(&Connection) -> Result<R, Fault> + Send + 'static,
    ) -> Result<R> {
        let done = self.writer.as_ref().ok_or_else(broken)?.queue.call_as(way, work).await;
        done.and_then(unless_lost).map_err(|error| self.location.name(error))
    }

    /// In memory the writer reads, too, and answers after its commit.
    async fn read<R: Send + 'static>(&self, work: impl FnOnce(&Connection) -> Result<R, Fault> + Send + 'static) -> Result<R> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let served = self.readers.as_ref().or(self.writer.as_ref()).ok_or_else(broken)?;
        served.queue.call(work).await.map_err(|error| self.location.name(error))
    }

    /// As `change`, for work whose length nobody knows.
    async fn change_patiently<R: Send + 'static>(&self, work: impl FnOnce(&Connection) -> Result<R, Fault> + Send + 'static) -> Result<R> {
        let way = Way { limit: 2 * schema::MAX_BUILD_TIME, ..Way::default() };
        let done = self.writer.as_ref().ok_or_else(broken)?.queue.call_as(way, work).await;
        done.map_err(|error| self.location.name(error))
    }

    async fn define_now(&self, collection: &'static Collection, rekey: Rekey) -> Result<()> {
        collection.check()?;
        if self.writer.is_none() {
            self.learn(collection, rekey);
            return Ok(());
        }
        let mut reached = self.change_patiently(move |conn| schema::begin(conn, collection)).await?;
        let raised = reached.is_some();
        while let Some(after) = reached {
            reached = self.change_patiently(move |conn| schema::rekey(conn, collection, &after, rekey)).await?;
        }
        if raised {
            for index in collection.indexes {
                self.change_patiently(move |conn| schema::build_declared(conn, collection, index)).await?;
            }
            self.change_patiently(move |conn| schema::finish(conn, collection)).await?;
        }
        self.learn(collection, rekey);
        Ok(())
    }

    fn learn(&self, collection: &'static Collection, rekey: Rekey) {
        let mut defined = self.defined.lock().unwrap_or_else(PoisonError::into_inner);
        if defined.iter().all(|(known, _)| known.name != collection.name) {
            defined.push((collection, rekey));
        }
    }

    /// The kinds that were defined.
    fn learnt(&self) -> Vec<(&'static Collection, Rekey)> {
        self.defined.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn sweep_now(&self, limit: usize, now: Time) -> Result<usize> {
        let mut swept = 0;
        self.passed(now);
        for (collection, _) in self.learnt() {
            let mut more = true;
            while more && swept < limit {
                let few = (limit - swept).min(expiry::BATCH);
                let gone = self.attend(move |conn| expiry::sweep(conn, collection, few, now)).await?;
                self.health.swept(gone);
                (swept, more) = (swept + gone, gone == few);
            }
        }
        Ok(swept)
    }
}

/// Where a fault is asked for: the change was applied, and its reply goes astray.
#[allow(clippy::unnecessary_wraps)] // as the fault asks
fn unless_lost<R>(done: R) -> Result<R> {
    fail::fail_point!("storage::reply", |_| Err(maybe_applied()));
    Ok(done)
}

/// A queue and the threads that serve it.
#[derive(Debug)]
struct Served {
    queue: Queue,
    threads: Vec<JoinHandle<()>>,
}

impl Served {
    fn has_stopped(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Ends once all that was accepted is done.
    fn close(self) {
        drop(self.queue);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the store had panicked");
            }
        }
    }
}

/// None in memory, where only the writer can read.
fn start_readers(location: &Location) -> Result<Option<Served>> {
    let (queue, jobs) = Queue::new(slow);
    let jobs = Arc::new(Mutex::new(jobs));
    let mut threads = Vec::new();
    for _ in 0..READERS {
        let Some(conn) = location.reader()? else { return Ok(None) };
        let jobs = jobs.clone();
        threads.push(spawn("store-reader", move || read(&conn, &jobs))?);
    }
    Ok(Some(Served { queue, threads }))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map_err(|cause| Error::unavailable("STORE_UNUSABLE", "a thread of the store was not started").because(cause))
}

/// Serves reads until the queue is closed and empty. Each statement is one short read transaction.
fn read(conn: &Connection, jobs: &Mutex<Receiver<Box<dyn Job>>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut job) = job else { return };
        job.run(conn);
        job.answer(None);
    }
}

fn is_news(write: &Write) -> bool {
    !write.events.is_empty() || write.due.is_some()
}

fn pieces<T>(mut all: Vec<T>, size: usize) -> impl Iterator<Item = Vec<T>> {
    std::iter::from_fn(move || {
        let rest = all.split_off(all.len().min(size));
        let few = std::mem::replace(&mut all, rest);
        (!few.is_empty()).then_some(few)
    })
}

impl Engine for Sqlite {
    fn define(&self, collection: &'static Collection, rekey: Rekey) -> Answer<'_, ()> {
        Box::pin(self.define_now(collection, rekey))
    }

    fn insert<'a>(&'a self, tenant: &'a Tenant, place: Place, write: Write) -> Answer<'a, Stored> {
        let (tenant, touches) = (tenant.clone(), self.touches(tenant, &place, write.now));
        Box::pin(self.write(touches, is_news(&write), move |conn| changes::insert(conn, &tenant, place, write)))
    }

    fn get<'a>(&'a self, tenant: &'a Tenant, place: Place, now: Time) -> Answer<'a, Option<Stored>> {
        Box::pin(self.get_now(tenant.clone(), place, now))
    }

    fn replace<'a>(&'a self, tenant: &'a Tenant, place: Place, seen: i64, write: Write) -> Answer<'a, Stored> {
        let (tenant, touches) = (tenant.clone(), self.touches(tenant, &place, write.now));
        Box::pin(self.write(touches, is_news(&write), move |conn| changes::replace(conn, &tenant, place, seen, write)))
    }

    fn remove<'a>(&'a self, tenant: &'a Tenant, place: Place, seen: i64, erase: Erase) -> Answer<'a, ()> {
        let (tenant, touches) = (tenant.clone(), self.touches(tenant, &place, erase.now));
        Box::pin(self.write(touches, !erase.events.is_empty(), move |conn| changes::remove(conn, &tenant, &place, seen, erase)))
    }

    fn patch<'a>(&'a self, tenant: &'a Tenant, place: Place, amend: Amend) -> Answer<'a, Amended> {
        let (tenant, touches) = (tenant.clone(), self.touches(tenant, &place, amend.now));
        let news = !amend.events.is_empty() || amend.due.is_some() || amend.otherwise.as_ref().is_some_and(is_news);
        Box::pin(self.write(touches, news, move |conn| changes::patch(conn, &tenant, place, amend)))
    }

    fn sweep<'a>(&'a self, _across: &'a Across, limit: usize, now: Time) -> Answer<'a, usize> {
        Box::pin(self.sweep_now(limit, now))
    }

    fn find<'a>(&'a self, tenant: &'a Tenant, scan: Scan) -> Answer<'a, Rows> {
        let tenant = tenant.clone();
        Box::pin(self.read(move |conn| reads::find(conn, &tenant, &scan)))
    }

    fn count<'a>(&'a self, tenant: &'a Tenant, scan: Scan) -> Answer<'a, usize> {
        let tenant = tenant.clone();
        Box::pin(self.read(move |conn| reads::count(conn, &tenant, &scan)))
    }

    fn explain<'a>(&'a self, tenant: &'a Tenant, scan: Scan) -> Answer<'a, String> {
        let tenant = tenant.clone();
        Box::pin(self.read(move |conn| reads::explain(conn, &tenant, &scan)))
    }

    /// By the writer, behind everything that was sent before.
    fn trail<'a>(&'a self, tenant: &'a Tenant, place: Place) -> Answer<'a, Option<Trail>> {
        let tenant = tenant.clone();
        Box::pin(async move {
            let read = self.writer.as_ref().ok_or_else(broken)?.queue.call(move |conn| changes::trail(conn, &tenant, &place)).await;
            read.map_err(|error| self.location.name(error))
        })
    }

    fn claim<'a>(&'a self, _across: &'a Across, collection: &'static Collection, lease: Lease) -> Answer<'a, Vec<Claimed>> {
        Box::pin(async move {
            if !self.read(move |conn| outbox::waits(conn, collection, "obn", lease.now)).await? {
                return Ok(Vec::new());
            }
            self.attend(move |conn| outbox::claim(conn, collection, lease)).await
        })
    }

    fn ack<'a>(&'a self, _across: &'a Across, collection: &'static Collection, acks: Vec<Ack>, now: Time) -> Answer<'a, ()> {
        Box::pin(async move {
            for few in pieces(acks, outbox::BATCH) {
                self.attend(move |conn| outbox::ack(conn, collection, &few, now)).await?;
            }
            Ok(())
        })
    }

    fn defer<'a>(&'a self, _across: &'a Across, collection: &'static Collection, defers: Vec<Defer>) -> Answer<'a, ()> {
        Box::pin(async move {
            for few in pieces(defers, outbox::BATCH) {
                self.attend(move |conn| outbox::defer(conn, collection, &few)).await?;
            }
            Ok(())
        })
    }

    fn claim_due<'a>(&'a self, _across: &'a Across, collection: &'static Collection, lease: Lease) -> Answer<'a, Vec<Due>> {
        Box::pin(async move {
            if !self.read(move |conn| outbox::waits(conn, collection, "due", lease.now)).await? {
                return Ok(Vec::new());
            }
            self.attend(move |conn| outbox::claim_due(conn, collection, lease)).await
        })
    }

    fn outbox<'a>(&'a self, _across: &'a Across, collection: &'static Collection, parked_from: Time) -> Answer<'a, Outbox> {
        Box::pin(self.read(move |conn| outbox::outbox(conn, collection, parked_from)))
    }

    fn parked<'a>(&'a self, _: &'a Across, collection: &'static Collection, parked_from: Time, limit: usize) -> Answer<'a, Vec<Claimed>> {
        Box::pin(self.read(move |conn| outbox::parked(conn, collection, parked_from, limit)))
    }

    fn replay<'a>(&'a self, tenant: &'a Tenant, place: Place, now: Time) -> Answer<'a, bool> {
        let tenant = tenant.clone();
        Box::pin(self.write(Touches::Nothing, true, move |conn| outbox::replay(conn, &tenant, &place, now)))
    }

    fn drop_events<'a>(&'a self, tenant: &'a Tenant, place: Place) -> Answer<'a, usize> {
        let tenant = tenant.clone();
        Box::pin(self.attend(move |conn| outbox::drop_events(conn, &tenant, &place)))
    }

    fn export<'a>(&'a self, _across: &'a Across, collection: &'static Collection, part: Part) -> Answer<'a, Vec<Envelope>> {
        Box::pin(self.read(move |conn| copies::export(conn, collection, &part)))
    }

    fn import<'a>(&'a self, _across: &'a Across, collection: &'static Collection, envelopes: Vec<Envelope>) -> Answer<'a, ()> {
        Box::pin(async move {
            for few in pieces(envelopes, copies::BATCH) {
                let way = Way { news: Some(self.bell.clone()), ..Way::default() };
                self.change_as(way, move |conn| copies::import(conn, collection, &few)).await?;
            }
            Ok(())
        })
    }

    fn expunge<'a>(&'a self, _across: &'a Across, collection: &'static Collection, ids: Vec<(Tenant, String)>) -> Answer<'a, ()> {
        Box::pin(async move {
            for few in pieces(ids, copies::BATCH) {
                self.change(move |conn| copies::expunge(conn, collection, &few)).await?;
            }
            Ok(())
        })
    }

    fn note_read_only(&self, on: bool) -> Answer<'_, ()> {
        Box::pin(self.attend(move |conn| schema::note_read_only(conn, on)))
    }

    fn is_noted_read_only(&self) -> Answer<'_, bool> {
        Box::pin(self.read(schema::is_noted_read_only))
    }

    fn watch(&self) -> Bell {
        self.bell.bell()
    }

    fn ready(&self) -> Result<()> {
        if self.health.damaged.load(Ordering::Acquire) {
            return Err(self.location.name(damaged()));
        }
        let stopped = [&self.writer, &self.readers].into_iter().flatten().any(Served::has_stopped);
        if stopped || self.health.broken.load(Ordering::Acquire) { Err(broken()) } else { Ok(()) }
    }

    fn metrics(&self) -> Metrics {
        Metrics {
            reads: self.reads.load(Ordering::Relaxed),
            cache_hits: self.cache.as_ref().map_or(0, |cache| cache.hits()),
            queued: self.writer.as_ref().map_or(0, |writer| writer.queue.len() as u64),
            reads_queued: self.readers.as_ref().map_or(0, |readers| readers.queue.len() as u64),
            wal_bytes: self.location.wal_bytes(),
            ..self.health.metrics()
        }
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        // The writer goes last: only it can move the log into the database.
        for served in [self.readers.take(), self.writer.take()].into_iter().flatten() {
            served.close();
        }
        if let Some(dir) = self.temporary.take()
            && let Err(cause) = std::fs::remove_dir_all(&dir)
        {
            tracing::warn!(%cause, "a temporary store was not removed");
        }
    }
}
