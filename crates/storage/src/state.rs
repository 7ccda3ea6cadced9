//! What all clones of a store share: the kinds that were defined, and whether changes are let in at present.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kernel::{Error, Result};
use tokio::sync::Notify;

use crate::record::Collection;

/// A switch to read only is short, and a backlog is worked off in about this time.
const RETRY_AFTER: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(crate) struct State {
    kinds: Mutex<Vec<&'static Collection>>,
    holds_events: AtomicBool,
    read_only: AtomicBool,
    /// Changes that were let in and have not ended.
    under_way: AtomicUsize,
    ended: Notify,
}

/// A change that was let in, until it has ended in any way.
#[derive(Debug)]
pub(crate) struct UnderWay<'a>(&'a State);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.0.under_way.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

impl State {
    pub(crate) fn define(&self, kind: &'static Collection) {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        match kinds.iter_mut().find(|known| known.name == kind.name) {
            Some(known) => *known = kind,
            None => kinds.push(kind),
        }
    }

    pub(crate) fn kinds(&self) -> Vec<&'static Collection> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn hold_events(&self, hold: bool) {
        self.holds_events.store(hold, Ordering::Release);
    }

    pub(crate) fn read_only(&self, on: bool) {
        self.read_only.store(on, Ordering::SeqCst);
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::SeqCst)
    }

    /// Lets a change in, unless none is. Errors: `STORE_READ_ONLY`.
    pub(crate) fn enter(&self) -> Result<UnderWay<'_>> {
        // Counted before the switch is read: whoever throws it either refuses this change or sees that it is under way.
        self.under_way.fetch_add(1, Ordering::SeqCst);
        let entered = UnderWay(self);
        self.check_writable().map(|()| entered)
    }

    /// Returns once no change is under way.
    pub(crate) async fn idle(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.under_way.load(Ordering::SeqCst) == 0 {
                return;
            }
            ended.await;
        }
    }

    fn check_writable(&self) -> Result<()> {
        if self.is_read_only() {
            let error = Error::unavailable("STORE_READ_ONLY", "the store takes no changes at present; nothing was changed");
            return Err(error.retry_after(RETRY_AFTER));
        }
        Ok(())
    }

    /// Whether a change with so many events is let in. Errors: `OUTBOX_FULL`.
    pub(crate) fn check_events(&self, events: usize) -> Result<()> {
        if events > 0 && self.holds_events.load(Ordering::Acquire) {
            let error = Error::exhausted("OUTBOX_FULL", "too many events wait to be published; nothing was changed");
            return Err(error.retry_after(RETRY_AFTER));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn nothing_is_under_way_once_all_that_was_let_in_has_ended() {
        let state = State::default();
        let (one, other) = (state.enter().unwrap(), state.enter().unwrap());
        state.read_only(true);
        assert_eq!(state.enter().unwrap_err().reason(), "STORE_READ_ONLY");
        let mut idle = std::pin::pin!(state.idle());
        assert!(std::future::poll_fn(|cx| Poll::Ready(idle.as_mut().poll(cx))).await.is_pending());
        drop(one);
        assert!(std::future::poll_fn(|cx| Poll::Ready(idle.as_mut().poll(cx))).await.is_pending());
        drop(other);
        idle.await;
        state.read_only(false);
        assert!(state.enter().is_ok());
    }
}
