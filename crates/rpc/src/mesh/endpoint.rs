//! One address of a peer: its connections, kept open in the background, what it says of its health, and how calls to it went.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info};

use crate::jitter;
use crate::mesh::health::{self, Health};
use crate::mesh::line::{Line, Unreachable};

/// Pauses between attempts to connect, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Longest time that one attempt takes.
const ATTEMPT: Duration = Duration::from_secs(5);
/// A connection that ended before was no success.
const LIVED: Duration = Duration::from_secs(1);
/// When every connection has so many calls in flight, one more is opened: one connection is the work of one core.
const BUSY: usize = 16;
/// Failures in a row, by weight, that take an endpoint out.
const TOO_MANY: u32 = 10;
/// How long it is out, times how often it was.
const OUT: Duration = Duration::from_secs(5);
const LONGEST_OUT: Duration = Duration::from_secs(300);
/// Pause after a watch of its health ended, and after one that it does not know.
const WATCH_AGAIN: Duration = Duration::from_millis(500);
const NO_WATCH: Duration = Duration::from_secs(30);

/// What a failure counts: the connection broke, or nobody answered in time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Weight {
    Broken = 2,
    Silent = 1,
}

/// An address, shared by everybody who calls it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: Arc<str>,
    lines: RwLock<Vec<Arc<Line>>>,
    wanted: AtomicUsize,
    most: usize,
    health: AtomicU8,
    standing: Mutex<Standing>,
    /// Rung when a connection is missing.
    missing: Notify,
    signals: Arc<Signals>,
}

/// What the endpoints of one peer tell those who wait.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// Rung whenever a connection or a health has changed.
    pub(crate) news: Notify,
    /// Rung when a connection could not be made or was lost.
    pub(crate) trouble: Notify,
    pub(crate) ejections: AtomicUsize,
}

#[derive(Debug, Default)]
struct Standing {
    failures: u32,
    times: u32,
    until: Option<Instant>,
}

impl Endpoint {
    /// `most`: connections at once.
    pub(crate) fn new(address: &str, most: usize, signals: Arc<Signals>) -> Self {
        let (lines, health) = (RwLock::default(), AtomicU8::new(Health::Unknown as u8));
        Self {
            address: address.into(),
            lines,
            wanted: AtomicUsize::new(1),
            most,
            health,
            standing: Mutex::default(),
            missing: Notify::new(),
            signals,
        }
    }

    /// The open connection with the fewest calls in flight. Asks for one more when even that one has many.
    pub(crate) fn line(&self) -> Option<Arc<Line>> {
        let lines = self.lines.read().unwrap_or_else(PoisonError::into_inner);
        let open = lines.iter().filter(|line| line.is_open());
        let least = open.min_by_key(|line| line.in_flight()).cloned();
        let has_room = lines.len() < self.most;
        drop(lines);
        match &least {
            Some(line) if line.in_flight() >= BUSY && has_room => {
                self.wanted.fetch_max(self.open_lines() + 1, Ordering::Relaxed);
                self.missing.notify_one();
            }
            Some(_) => {}
            None => self.missing.notify_one(),
        }
        least
    }

    /// No call begins on this connection any more.
    pub(crate) fn leave(&self, line: &Line) {
        line.leave();
        self.missing.notify_one();
    }

    pub(crate) fn health(&self) -> Health {
        Health::from(self.health.load(Ordering::Relaxed))
    }

    pub(crate) fn is_out(&self) -> bool {
        let until = self.standing.lock().unwrap_or_else(PoisonError::into_inner).until;
        until.is_some_and(|until| until > Instant::now())
    }

    pub(crate) fn went_well(&self) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.failures = 0;
        // Well for as long again as it was out: the next time counts as the first.
        if standing.until.is_some_and(|until| until + out(standing.times) < Instant::now()) {
            *standing = Standing::default();
        }
    }

    pub(crate) fn failed(&self, weight: Weight) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.failures = standing.failures.saturating_add(weight as u32);
        if standing.failures >= TOO_MANY {
            standing.failures = 0;
            standing.times = standing.times.saturating_add(1);
            let length = out(standing.times);
            standing.until = Some(Instant::now() + length);
            self.signals.ejections.fetch_add(1, Ordering::Relaxed);
            info!(endpoint = &*self.address, seconds = length.as_secs(), times = standing.times, "endpoint out");
        }
    }

    fn open_lines(&self) -> usize {
        self.lines.read().unwrap_or_else(PoisonError::into_inner).iter().filter(|line| line.is_open()).count()
    }

    /// Keeps as many connections open as are wanted, for ever.
    pub(crate) async fn keep(self: Arc<Self>) {
        let (mut failed, mut opened) = (0_u32, None::<Instant>);
        loop {
            while self.open_lines() >= self.wanted.load(Ordering::Relaxed) {
                self.missing.notified().await;
                self.lines.write().unwrap_or_else(PoisonError::into_inner).retain(|line| line.is_open());
            }
            if opened.take().is_some_and(|opened| opened.elapsed() >= LIVED) {
                failed = 0;
            }
            match timeout(ATTEMPT, self.open()).await {
                Ok(Ok(())) => opened = Some(Instant::now()),
                Ok(Err(cause)) => self.unreachable(&*cause),
                Err(late) => self.unreachable(&late),
            }
            let pause = FIRST_PAUSE.saturating_mul(1 << failed.min(8)).min(LONGEST_PAUSE);
            failed = failed.saturating_add(1);
            sleep(jitter::around(pause)).await;
        }
    }

    async fn open(self: &Arc<Self>) -> Result<(), Unreachable> {
        let (line, driver) = Line::open(&self.address).await?;
        let endpoint = Arc::downgrade(self);
        tokio::spawn(async move {
            let ended = driver.await;
            let Some(endpoint) = endpoint.upgrade() else { return };
            if let Err(cause) = ended {
                debug!(endpoint = &*endpoint.address, %cause, "connection broke");
                endpoint.signals.trouble.notify_one();
            }
            endpoint.missing.notify_one();
            endpoint.signals.news.notify_waiters();
        });
        health::answers(&line).await?;
        self.lines.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(line));
        self.signals.news.notify_waiters();
        Ok(())
    }

    fn unreachable(&self, cause: &(dyn std::error::Error + Send + Sync)) {
        debug!(endpoint = &*self.address, cause = %cause, "not reachable");
        self.signals.trouble.notify_one();
    }

    /// Follows what the endpoint says of its health, for ever.
    pub(crate) async fn watch(self: Arc<Self>) {
        loop {
            let line = self.some_line().await;
            let knows = health::follow(&line, |health| self.is(health)).await;
            if knows {
                self.is(Health::Unknown);
                sleep(jitter::around(WATCH_AGAIN)).await;
            } else {
                self.is(Health::Serving);
                sleep(NO_WATCH).await;
            }
        }
    }

    fn is(&self, health: Health) {
        let before = Health::from(self.health.swap(health as u8, Ordering::Relaxed));
        if before != health {
            debug!(endpoint = &*self.address, ?health, "health");
            self.signals.news.notify_waiters();
        }
    }

    async fn some_line(&self) -> Arc<Line> {
        loop {
            let news = self.signals.news.notified();
            if let Some(line) = self.line() {
                return line;
            }
            news.await;
        }
    }
}

fn out(times: u32) -> Duration {
    OUT.saturating_mul(times).min(LONGEST_OUT)
}
