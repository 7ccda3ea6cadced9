//! The writer: the one thread that changes the database. Groups changes into one commit, answers after it, and stops
//! acknowledging when a commit fails for any reason but a full disk. Knows no table.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use kernel::Error;
use rusqlite::{Connection, ErrorCode};

use super::fault::{broken, busy, disk_full, maybe_applied, plainly};
use super::files::Location;
use super::queue::Job;

/// Most changes of one commit.
const MAX_BATCH: usize = 512;
/// Longest time that a commit waits for changes to join.
const MAX_BATCH_TIME: Duration = Duration::from_millis(2);
/// After so much idle time the log is moved into the database.
const IDLE: Duration = Duration::from_millis(200);
/// Between two attempts to open a broken store again.
const REOPEN_EVERY: Duration = Duration::from_secs(1);

/// What the writer tells the rest of the engine.
#[derive(Debug, Default)]
pub(super) struct Health {
    pub(super) broken: AtomicBool,
    pub(super) changes: AtomicU64,
    pub(super) commits: AtomicU64,
}

/// Why a whole batch came to nothing.
enum Lost {
    /// The disk is full, or another process holds the database. Nothing was changed, and the next batch may succeed.
    Refused(fn() -> Error),
    /// What stands on the disk is not known to be sound.
    Broken(fn() -> Error),
}

pub(super) struct Writer {
    conn: Connection,
    location: Location,
    health: Arc<Health>,
    jobs: Receiver<Box<dyn Job>>,
    last_batch: usize,
}

impl Writer {
    pub(super) fn new(conn: Connection, location: Location, health: Arc<Health>, jobs: Receiver<Box<dyn Job>>) -> Self {
        Self { conn, location, health, jobs, last_batch: 0 }
    }

    /// Serves until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let mut log_has_pages = false;
        loop {
            let idle = log_has_pages.then_some(IDLE);
            match receive(&self.jobs, idle) {
                Ok(first) => {
                    self.serve(first);
                    log_has_pages = true;
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.move_log();
                    log_has_pages = false;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn serve(&mut self, first: Box<dyn Job>) {
        let mut batch = Vec::new();
        let lost = self.commit(first, &mut batch).err();
        self.last_batch = batch.len();
        self.health.changes.fetch_add(batch.len() as u64, Ordering::Relaxed);
        self.health.commits.fetch_add(u64::from(lost.is_none()), Ordering::Relaxed);
        let failure = lost.as_ref().map(|lost| match lost {
            Lost::Refused(error) | Lost::Broken(error) => error,
        });
        if matches!(lost, Some(Lost::Broken(_))) {
            self.health.broken.store(true, Ordering::Release);
        }
        for job in batch {
            job.answer(failure.map(|error| error()));
        }
        if matches!(lost, Some(Lost::Broken(_))) {
            self.recover();
        }
    }

    /// As far as readers allow. A full disk leaves the rest for later; any other failure is that of a sync.
    fn move_log(&mut self) {
        if let Err(Lost::Broken(_)) = self.execute("PRAGMA wal_checkpoint(PASSIVE)") {
            self.health.broken.store(true, Ordering::Release);
            self.recover();
        }
    }

    /// Runs the first change and all that join in time, and commits them together.
    fn commit(&self, first: Box<dyn Job>, batch: &mut Vec<Box<dyn Job>>) -> Result<(), Lost> {
        let began = self.execute("BEGIN IMMEDIATE");
        let started = Instant::now();
        batch.push(first);
        began?;
        let outcome = self.fill(batch, started);
        let outcome = outcome.and_then(|()| self.execute("COMMIT").map_err(Lost::uncertain));
        if outcome.is_err() && !self.conn.is_autocommit() {
            self.execute("ROLLBACK")?;
        }
        outcome
    }

    fn fill(&self, batch: &mut Vec<Box<dyn Job>>, started: Instant) -> Result<(), Lost> {
        while let Some(job) = batch.last_mut() {
            self.operate(job.as_mut())?;
            match self.joining(batch.len(), started) {
                Some(next) => batch.push(next),
                None => break,
            }
        }
        Ok(())
    }

    /// One change in its savepoint, so that its refusal costs the others nothing.
    fn operate(&self, job: &mut dyn Job) -> Result<(), Lost> {
        self.execute("SAVEPOINT one")?;
        if let Some(reason) = job.run(&self.conn) {
            if self.conn.is_autocommit() {
                return Err(if reason == "DISK_FULL" { Lost::Refused(disk_full) } else { Lost::Broken(broken) });
            }
            self.execute("ROLLBACK TO one")?;
        }
        self.execute("RELEASE one")
    }

    /// The next change of this batch. Waits for as many as the last batch had: their callers have just been answered and
    /// are about to ask again, and a sync that carries them all is cheaper than two.
    fn joining(&self, taken: usize, started: Instant) -> Option<Box<dyn Job>> {
        let left = MAX_BATCH_TIME.checked_sub(started.elapsed())?;
        if taken == MAX_BATCH {
            return None;
        }
        self.jobs.try_recv().ok().or_else(|| if taken < self.last_batch { self.jobs.recv_timeout(left).ok() } else { None })
    }

    fn execute(&self, sql: &str) -> Result<(), Lost> {
        let done = self.conn.prepare_cached(sql).and_then(|mut statement| statement.query(())?.next().map(|_| ()));
        done.map_err(|cause| match cause.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Lost::Refused(disk_full),
            Some(ErrorCode::DatabaseBusy) => Lost::Refused(busy),
            _ => {
                tracing::error!(%cause, sql, "the database failed");
                Lost::Broken(broken)
            }
        })
    }

    /// Refuses changes until the database was opened anew and all of its log was moved and synced: a sync that failed once
    /// cannot be repeated and believed.
    fn recover(&mut self) {
        tracing::error!("changes are refused until the database can be opened again");
        let mut next_try = Instant::now();
        loop {
            if Instant::now() >= next_try {
                match plainly(|| self.location.reopen()) {
                    Ok(conn) => {
                        self.conn = conn;
                        self.health.broken.store(false, Ordering::Release);
                        tracing::warn!("the database was opened again; changes are accepted");
                        return;
                    }
                    Err(error) => tracing::error!(?error, "the database cannot be opened again"),
                }
                next_try = Instant::now() + REOPEN_EVERY;
            }
            match self.jobs.recv_timeout(next_try.saturating_duration_since(Instant::now())) {
                Ok(job) => job.answer(Some(broken())),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

impl Lost {
    /// A commit that broke may have reached the disk.
    fn uncertain(self) -> Self {
        match self {
            Self::Broken(_) => Self::Broken(maybe_applied),
            refused @ Self::Refused(_) => refused,
        }
    }
}

/// The next job; `Timeout` after `wait`, if it is given.
fn receive(jobs: &Receiver<Box<dyn Job>>, wait: Option<Duration>) -> Result<Box<dyn Job>, RecvTimeoutError> {
    match wait {
        Some(wait) => jobs.recv_timeout(wait),
        None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
    }
}
