//! What requests that are still being read may hold: all of one connection by what they claim, all of a process by what has
//! arrived. Reads nothing itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kernel::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Unfinished requests end, one way or the other, within about this time.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How many bytes of unfinished requests may be held at once by all who share it. All clones are one.
#[derive(Clone, Debug)]
pub struct Budget {
    held: Arc<AtomicUsize>,
    max_bytes: usize,
}

impl Budget {
    /// A budget of its own.
    pub fn of(max_bytes: usize) -> Self {
        Self { held: Arc::default(), max_bytes }
    }

    fn hold(&self, bytes: usize) -> Result<()> {
        let held = self.held.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if held <= self.max_bytes {
            return Ok(());
        }
        self.release(bytes);
        Err(Error::unavailable("OVERLOADED", "too many requests are being read at present").retry_after(RETRY_AFTER))
    }

    fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Default for Budget {
    /// 256 MiB.
    fn default() -> Self {
        Self::of(256 << 20)
    }
}

/// The budgets of the connection that a request came over. A listener puts them into its requests; whoever reads a body
/// takes from them, once for each body.
#[derive(Clone, Debug)]
pub struct Claims {
    line: Arc<Semaphore>,
    all: Budget,
}

impl Claims {
    /// 16 messages of the usual largest size.
    const LINE_BYTES: usize = 16 << 20;

    /// Those of a new connection.
    pub fn new(all: Budget) -> Self {
        Self { line: Arc::new(Semaphore::new(Self::LINE_BYTES)), all }
    }

    /// Claims so many bytes of the connection's budget, or all of it for more. Waits until they are free.
    pub async fn take(&self, bytes: usize) -> Result<Claim> {
        let bytes = u32::try_from(bytes.min(Self::LINE_BYTES)).unwrap_or(u32::MAX);
        let permit = self.line.clone().acquire_many_owned(bytes).await;
        let permit = permit.map_err(|cause| Error::internal("CLAIMS_CLOSED", "the connection's budget is gone").because(cause))?;
        Ok(Claim { _line: permit, all: self.all.clone(), held_bytes: 0 })
    }
}

/// A part of both budgets; given back when dropped.
#[derive(Debug)]
pub struct Claim {
    _line: OwnedSemaphorePermit,
    all: Budget,
    held_bytes: usize,
}

impl Claim {
    /// So many bytes have arrived in all. Errors: `OVERLOADED` when that is too much for the budget of all.
    pub fn holds(&mut self, bytes: usize) -> Result<()> {
        self.all.hold(bytes.saturating_sub(self.held_bytes))?;
        self.held_bytes = self.held_bytes.max(bytes);
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.all.release(self.held_bytes);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn what_arrives_is_counted_once_and_given_back() {
        let budget = Budget::of(100);
        let (one, other) = (Claims::new(budget.clone()), Claims::new(budget));
        let (mut first, mut second) = (one.take(1_000).await.unwrap(), other.take(1_000).await.unwrap());
        first.holds(30).unwrap();
        first.holds(60).unwrap();
        let error = second.holds(41).unwrap_err();
        assert_eq!((error.reason(), error.wait().is_some()), ("OVERLOADED", true));
        second.holds(40).unwrap();
        drop(first);
        second.holds(100).unwrap();
    }
}
