//! How long an answer may go on once its headers are out: what its maker tells whoever holds the connection, and how that
//! one asks it to end earlier.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use kernel::Error;
use tokio::time::Instant;

use crate::jitter;

/// Longest pause that a stream which had to end is told to make: many come back, but not at once.
const COME_BACK: Duration = Duration::from_secs(2);

/// In the extensions of every answer with a body.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    /// When the answer ends by itself. A reader that lets it go on longer does not read.
    pub(crate) ends: Option<Instant>,
    /// Asks a stream of messages to end; a single message is left to finish.
    pub(crate) leave: Option<Leave>,
}

/// Asks a stream to end with UNAVAILABLE, since its connection is about to. All clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leave(Arc<Mutex<Asked>>);

#[derive(Debug, Default)]
struct Asked {
    asked: bool,
    waker: Option<Waker>,
}

impl Leave {
    /// Asks; the stream ends as soon as it is polled.
    pub(crate) fn ask(&self) {
        let waker = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.asked = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether it was asked: `DRAINING`.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Error> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.asked {
            let error = Error::unavailable("DRAINING", "the server is about to go; open the stream again");
            return Poll::Ready(error.retry_after(jitter::up_to(COME_BACK)));
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}
