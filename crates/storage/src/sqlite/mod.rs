//! The embedded engine: SQLite in one directory, one writer thread, reader threads beside it. The default of every node.

mod changes;
mod expiry;
mod fault;
mod files;
mod meter;
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

use self::fault::{Fault, broken, damaged, maybe_applied, slow};
use self::files::{Location, Lock};
use self::meter::Health;
use self::queue::{Job, Queue};
use self::writer::Writer;
use crate::engine::{Amend, Amended, Answer, Engine, Erase, Metrics, Place, Rekey, Rows, Scan, Stored, Write};
use crate::record::Collection;

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
    reads: AtomicU64,
    defined: Mutex<Vec<&'static Collection>>,
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
        let health = Arc::new(Health::default());
        let (queue, jobs) = Queue::new(maybe_applied);
        let writer = Writer::new(conn, location.clone(), health.clone(), jobs);
        let writer = Some(Served { queue, threads: vec![spawn("store-writer", move || writer.run())?] });
        let readers = start_readers(&location)?;
        Ok(Self { writer, readers, health, reads: AtomicU64::new(0), defined: Mutex::default(), location, _lock: lock, temporary })
    }

    async fn change<R: Send + 'static>(&self, work: impl FnOnce(&Connection) -> Result<R, Fault> + Send + 'static) -> Result<R> {
        self.writer.as_ref().ok_or_else(broken)?.queue.call(work).await.map_err(|error| self.location.name(error))
    }

    /// In memory the writer reads, too, and answers after its commit.
    async fn read<R: Send + 'static>(&self, work: impl FnOnce(&Connection) -> Result<R, Fault> + Send + 'static) -> Result<R> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let served = self.readers.as_ref().or(self.writer.as_ref()).ok_or_else(broken)?;
        served.queue.call(work).await.map_err(|error| self.location.name(error))
    }

    /// As `change`, for work whose length nobody knows.
    async fn change_patiently<R: Send + 'static>(&self, work: impl FnOnce(&Connection) -> Result<R, Fault> + Send + 'static) -> Result<R> {
        let done = self.writer.as_ref().ok_or_else(broken)?.queue.call_within(2 * schema::MAX_BUILD_TIME, work).await;
        done.map_err(|error| self.location.name(error))
    }

    async fn define_now(&self, collection: &'static Collection, rekey: Rekey) -> Result<()> {
        collection.check()?;
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
        let mut defined = self.defined.lock().unwrap_or_else(PoisonError::into_inner);
        if defined.iter().all(|known| known.name != collection.name) {
            defined.push(collection);
        }
        Ok(())
    }

    async fn sweep_now(&self, limit: usize, now: Time) -> Result<usize> {
        let defined = self.defined.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut swept = 0;
        for collection in defined {
            let mut more = true;
            while more && swept < limit {
                let few = (limit - swept).min(expiry::BATCH);
                let gone = self.change(move |conn| expiry::sweep(conn, collection, few, now)).await?;
                self.health.swept(gone);
                (swept, more) = (swept + gone, gone == few);
            }
        }
        Ok(swept)
    }
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

impl Engine for Sqlite {
    fn define(&self, collection: &'static Collection, rekey: Rekey) -> Answer<'_, ()> {
        Box::pin(self.define_now(collection, rekey))
    }

    fn insert<'a>(&'a self, tenant: &'a Tenant, place: Place, write: Write) -> Answer<'a, Stored> {
        let tenant = tenant.clone();
        Box::pin(self.change(move |conn| changes::insert(conn, &tenant, place, write)))
    }

    fn get<'a>(&'a self, tenant: &'a Tenant, place: Place, now: Time) -> Answer<'a, Option<Stored>> {
        let tenant = tenant.clone();
        Box::pin(self.read(move |conn| reads::get(conn, &tenant, &place, now)))
    }

    fn replace<'a>(&'a self, tenant: &'a Tenant, place: Place, seen: i64, write: Write) -> Answer<'a, Stored> {
        let tenant = tenant.clone();
        Box::pin(self.change(move |conn| changes::replace(conn, &tenant, place, seen, write)))
    }

    fn remove<'a>(&'a self, tenant: &'a Tenant, place: Place, seen: i64, erase: Erase) -> Answer<'a, ()> {
        let tenant = tenant.clone();
        Box::pin(self.change(move |conn| changes::remove(conn, &tenant, &place, seen, erase)))
    }

    fn patch<'a>(&'a self, tenant: &'a Tenant, place: Place, amend: Amend) -> Answer<'a, Amended> {
        let tenant = tenant.clone();
        Box::pin(self.change(move |conn| changes::patch(conn, &tenant, place, amend)))
    }

    fn sweep(&self, limit: usize, now: Time) -> Answer<'_, usize> {
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
