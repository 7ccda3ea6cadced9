//! Whether the server answers at present, as its monitors and the calls themselves tell. The circuit breaker: while nobody
//! answers, calls are refused at once instead of waiting one by one. Sends nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kernel::Result;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::fault::broken;

/// Calls in a row that got no answer from a server whose monitors find it well.
const MAX_SILENT_CALLS: u32 = 5;
/// Between two probes of such a server.
const PROBE_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Health {
    /// A call that waits on a server that no longer answers is cut off after so long.
    lost_after: Duration,
    /// After so long without a server that takes changes, calls no longer wait for one.
    given_up_after: Duration,
    well: watch::Sender<bool>,
    state: Mutex<State>,
    stops: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Since when no server takes changes.
    unwell: Option<Instant>,
    /// A call was cut off since.
    tripped: bool,
    /// Calls in a row without an answer.
    silent: u32,
    /// When the next call may try whether a silent server answers again.
    next_probe: Option<Instant>,
}

impl State {
    fn is_open(&self, given_up_after: Duration) -> bool {
        self.unwell.is_some_and(|since| self.tripped || since.elapsed() >= given_up_after)
    }
}

impl Health {
    /// Well until told otherwise. A server that does not answer for `dead_after` is dead.
    pub(super) fn new(dead_after: Duration) -> Self {
        // The rest of the time is for what a busy machine takes to tell the caller.
        let (lost_after, given_up_after) = (dead_after.mul_f32(0.85), dead_after.mul_f32(0.75));
        Self { lost_after, given_up_after, well: watch::Sender::new(true), state: Mutex::default(), stops: AtomicU64::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the monitors see: whether some server takes changes.
    pub(super) fn note(&self, well: bool) {
        let changed = {
            let mut state = self.state();
            let changed = state.unwell.is_none() != well;
            if well {
                *state = State { silent: state.silent, next_probe: state.next_probe, ..State::default() };
            } else if changed {
                state.unwell = Some(Instant::now());
            }
            changed
        };
        if changed {
            self.well.send_replace(well);
            if well {
                tracing::info!("the MongoDB server takes changes again");
            } else {
                self.stops.fetch_add(1, Ordering::Relaxed);
                tracing::warn!("no MongoDB server takes changes at present");
            }
        }
    }

    /// Lets a call through, or refuses it without sending anything. Errors: `STORE_BROKEN`.
    pub(super) fn admit(&self) -> Result<()> {
        let mut state = self.state();
        let now = Instant::now();
        if state.is_open(self.given_up_after) {
            return Err(broken());
        }
        match state.next_probe {
            Some(at) if now < at => Err(broken()),
            Some(_) => {
                state.next_probe = Some(now + PROBE_EVERY);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A call was answered, whatever the answer.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        (state.silent, state.next_probe) = (0, None);
    }

    /// A call was cut off without an answer.
    pub(super) fn cut(&self) {
        let mut state = self.state();
        state.tripped = true;
        state.silent += 1;
        if state.unwell.is_none() && state.silent == MAX_SILENT_CALLS {
            state.next_probe = Some(Instant::now() + PROBE_EVERY);
            self.stops.fetch_add(1, Ordering::Relaxed);
            tracing::warn!("the MongoDB server answers its monitors but no call");
        }
        if state.unwell.is_none() {
            state.tripped = false;
        }
    }

    /// Returns when a call that began then has waited long enough: `limit`, or less while nobody answers.
    pub(super) async fn patience(&self, began: Instant, limit: Duration) {
        let end = began + limit;
        let mut well = self.well.subscribe();
        loop {
            let until = if *well.borrow_and_update() { end } else { end.min(began + self.lost_after) };
            tokio::select! {
                () = sleep_until(until) => return,
                changed = well.changed() => if changed.is_err() {
                    return sleep_until(end).await;
                }
            }
        }
    }

    /// Errors: `STORE_BROKEN`.
    pub(super) fn ready(&self) -> Result<()> {
        let state = self.state();
        if state.unwell.is_some() || state.next_probe.is_some() { Err(broken()) } else { Ok(()) }
    }

    /// Times that it went from well to unwell.
    pub(super) fn stops(&self) -> u64 {
        self.stops.load(Ordering::Relaxed)
    }
}
