//! The writer: the one thread that changes the database. Groups changes into one commit, answers after it, and stops
//! acknowledging when a commit fails for any reason but a full disk. Knows no table.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use kernel::Error;
use rusqlite::{Connection, ErrorCode};

use super::cache::{Cache, Touches};
use super::fault::{broken, busy, damaged, disk_full, is_damage, plainly};
use super::files::Location;
use super::meter::Health;
use super::queue::Job;
use crate::resolve::maybe_applied;

/// Most changes of one commit.
const MAX_BATCH: usize = 512;
/// Longest time that a commit waits for changes to join.
const MAX_WAIT: Duration = Duration::from_millis(2);
/// After so long even changes that wait already are left to the next commit.
const MAX_BATCH_TIME: Duration = Duration::from_millis(10);
/// After so much idle time the log is moved into the database.
const IDLE: Duration = Duration::from_millis(200);
/// Pages of the log that are moved into the database without waiting for an idle moment: 16 MiB.
const MAX_LOG_PAGES: i64 = 4_000;
/// Between two attempts to open a broken store again. A disk counts as full for as long after it refused a change.
const REOPEN_EVERY: Duration = Duration::from_secs(1);

/// What the writer does after a batch that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Goes on: nothing was changed, and the next batch may succeed.
    GoOn,
    /// Opens the database again: what stands on the disk is not known to be sound.
    Reopen,
    /// Takes no change ever again: what stands on the disk is known not to be sound.
    Stop,
}

/// Why a whole batch came to nothing.
struct Lost {
    error: fn() -> Error,
    next: Next,
}

pub(super) struct Writer {
    /// None while it is opened again.
    conn: Option<Connection>,
    location: Location,
    health: Arc<Health>,
    cache: Arc<Cache>,
    jobs: Receiver<Box<dyn Job>>,
    last_batch: usize,
    /// When the disk last refused a change, until it takes them again.
    full: Option<Instant>,
}

impl Writer {
    pub(super) fn new(
        conn: Connection,
        location: Location,
        (health, cache): (Arc<Health>, Arc<Cache>),
        jobs: Receiver<Box<dyn Job>>,
    ) -> Self {
        Self { conn: Some(conn), location, health, cache, jobs, last_batch: 0, full: None }
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
        let committed = self.commit(first, &mut batch);
        self.last_batch = batch.len();
        self.health.served(batch.len(), committed.as_ref().ok().copied());
        let lost = committed.err();
        self.note_space(&batch, lost.as_ref());
        self.mark(lost.as_ref());
        for job in batch {
            job.answer(lost.as_ref().map(|lost| (lost.error)()));
        }
        match lost {
            None => self.move_long_log(),
            lost => self.follow(lost),
        }
    }

    /// Here and not at a commit, where SQLite would do it and keep a failed sync to itself.
    fn move_long_log(&mut self) {
        let waiting = |conn: &Connection| -> rusqlite::Result<i64> {
            let mut state = conn.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?;
            state.query_row((), |row| Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?))
        };
        match self.conn.as_ref().map(waiting) {
            Some(Ok(pages)) if pages < MAX_LOG_PAGES => {}
            _ => self.move_log(),
        }
    }

    /// As far as readers allow. A full disk leaves the rest for later; any other failure is that of a sync.
    fn move_log(&mut self) {
        let lost = self.execute("PRAGMA wal_checkpoint(PASSIVE)").err();
        if lost.is_none() {
            self.health.moved();
        }
        self.mark(lost.as_ref());
        self.follow(lost);
    }

    /// Tells the rest of the engine before any caller reads the failure.
    fn mark(&self, lost: Option<&Lost>) {
        let next = lost.map_or(Next::GoOn, |lost| lost.next);
        self.health.damaged.fetch_or(next == Next::Stop, Ordering::Release);
        if next != Next::GoOn {
            self.health.stopped();
        }
    }

    fn follow(&mut self, lost: Option<Lost>) {
        match lost.map_or(Next::GoOn, |lost| lost.next) {
            Next::GoOn => {}
            Next::Reopen => self.recover(),
            Next::Stop => self.stop(),
        }
    }

    /// Says once that the disk is full and once that it no longer is.
    fn note_space(&mut self, batch: &[Box<dyn Job>], lost: Option<&Lost>) {
        let refused = lost.map_or(batch.iter().any(|job| job.reason() == Some("DISK_FULL")), |lost| (lost.error)().reason() == "DISK_FULL");
        if refused {
            self.health.filled();
            if self.full.is_none() {
                tracing::error!(folder = self.location.folder(), "the disk is full; changes are refused");
            }
            self.full = Some(Instant::now());
        } else if lost.is_none() && self.full.is_some_and(|last| last.elapsed() >= REOPEN_EVERY) {
            self.full = None;
            tracing::error!(folder = self.location.folder(), "the disk has space again; changes are accepted");
        }
    }

    /// Runs the first change and all that join in time, and commits them together. How long the commit itself took.
    fn commit(&self, first: Box<dyn Job>, batch: &mut Vec<Box<dyn Job>>) -> Result<Duration, Lost> {
        let began = self.execute("BEGIN IMMEDIATE");
        let started = Instant::now();
        batch.push(first);
        began?;
        let filled = self.fill(batch, started);
        let commits = Instant::now();
        crash_before_commit();
        let touched: Vec<Touches> = batch.iter().map(|job| job.touches()).collect();
        let outcome = filled.and_then(|()| self.cache.around(&touched, || self.execute("COMMIT")).map_err(Lost::uncertain));
        crash_after_commit();
        match outcome {
            Err(lost) if !self.is_autocommit() => Err(lost.after(self.execute("ROLLBACK"))),
            outcome => outcome.map(|()| commits.elapsed()),
        }
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

    /// One change, in a savepoint where it needs one, so that its refusal costs the others nothing. A savepoint is dear: each
    /// page that a change touches is copied for it. A statement that fails takes back itself alone.
    fn operate(&self, job: &mut dyn Job) -> Result<(), Lost> {
        let saved = !job.is_clean();
        if saved {
            self.execute("SAVEPOINT one")?;
        }
        if let Some(reason) = self.conn.as_ref().and_then(|conn| job.run(conn)) {
            match reason {
                "STORE_CORRUPT" => return Err(Lost { error: damaged, next: Next::Stop }),
                "DISK_FULL" if self.is_autocommit() => return Err(Lost { error: disk_full, next: Next::GoOn }),
                "STORE_SLOW" if self.is_autocommit() => return Err(Lost { error: busy, next: Next::GoOn }),
                _ if self.is_autocommit() => return Err(Lost { error: broken, next: Next::Reopen }),
                _ => {}
            }
            if saved {
                self.execute("ROLLBACK TO one")?;
            }
        }
        if saved { self.execute("RELEASE one") } else { Ok(()) }
    }

    /// The next change of this batch. Waits for as many as the last batch had: their callers have just been answered and
    /// are about to ask again, and a sync that carries them all is cheaper than two.
    fn joining(&self, taken: usize, started: Instant) -> Option<Box<dyn Job>> {
        let spent = started.elapsed();
        if taken == MAX_BATCH || spent >= MAX_BATCH_TIME {
            return None;
        }
        let wait = || MAX_WAIT.checked_sub(spent).filter(|_| taken < self.last_batch);
        self.jobs.try_recv().ok().or_else(|| self.jobs.recv_timeout(wait()?).ok())
    }

    fn is_autocommit(&self) -> bool {
        self.conn.as_ref().is_none_or(Connection::is_autocommit)
    }

    fn execute(&self, sql: &str) -> Result<(), Lost> {
        let Some(conn) = &self.conn else { return Err(Lost { error: broken, next: Next::Reopen }) };
        let done = conn.prepare_cached(sql).and_then(|mut statement| statement.query(())?.next().map(|_| ()));
        done.map_err(|cause| match cause.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Lost { error: disk_full, next: Next::GoOn },
            Some(ErrorCode::DatabaseBusy) => Lost { error: busy, next: Next::GoOn },
            code => {
                tracing::warn!(%cause, sql, "the database failed");
                if code.is_some_and(is_damage) {
                    Lost { error: damaged, next: Next::Stop }
                } else {
                    Lost { error: broken, next: Next::Reopen }
                }
            }
        })
    }

    /// Refuses changes until the database was opened anew and all of its log was moved and synced: a sync that failed once
    /// cannot be repeated and believed.
    fn recover(&mut self) {
        tracing::error!(folder = self.location.folder(), "the store is broken; changes are refused until it can be opened again");
        // What the old connection holds would keep the new one out.
        self.conn = None;
        let mut next_try = Instant::now();
        loop {
            if Instant::now() >= next_try {
                match plainly(|| self.location.reopen()) {
                    Ok(conn) => {
                        self.conn = Some(conn);
                        self.cache.clear();
                        tracing::error!(folder = self.location.folder(), "the store was opened again; changes are accepted");
                        self.health.broken.store(false, Ordering::Release);
                        return;
                    }
                    Err(error) if error.reason() == "STORE_CORRUPT" => {
                        self.health.damaged.store(true, Ordering::Release);
                        return self.stop();
                    }
                    Err(error) => tracing::warn!(?error, "the store cannot be opened again"),
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

    /// Refuses changes until the queue is closed: writing into a damaged file would spread the damage.
    fn stop(&mut self) {
        let folder = self.location.folder();
        tracing::error!(folder, "the database file is damaged; changes are refused until a backup is restored");
        self.conn = None;
        while let Ok(job) = self.jobs.recv() {
            job.answer(Some(damaged()));
        }
    }
}

impl Lost {
    /// A commit that broke may have reached the disk.
    fn uncertain(self) -> Self {
        if self.next == Next::GoOn { self } else { Self { error: maybe_applied, ..self } }
    }

    /// The same after an attempt to roll back. A transaction that stays open spoils its connection, and tells nothing of a
    /// commit before it.
    fn after(self, rolled_back: Result<(), Self>) -> Self {
        match (self.next, rolled_back) {
            (Next::GoOn, Err(lost)) => Self { error: broken, next: if lost.next == Next::Stop { Next::Stop } else { Next::Reopen } },
            _ => self,
        }
    }
}

fn crash_before_commit() {
    fail::fail_point!("storage::before_commit", |_| std::process::abort());
}

/// On the disk, and nobody was told.
fn crash_after_commit() {
    fail::fail_point!("storage::after_commit", |_| std::process::abort());
}

/// The next job; `Timeout` after `wait`, if it is given.
fn receive(jobs: &Receiver<Box<dyn Job>>, wait: Option<Duration>) -> Result<Box<dyn Job>, RecvTimeoutError> {
    match wait {
        Some(wait) => jobs.recv_timeout(wait),
        None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
    }
}
