//! Peers in other processes: where they are, the connections to them, which one a call takes, and when it is made again.
//! Knows no wire but HTTP/2, and of gRPC only health and what a repeat needs.

mod addresses;
mod endpoint;
mod health;
mod line;
mod pool;
mod retry;
mod tape;

pub use addresses::Addresses;

pub(crate) use endpoint::Weight;
pub(crate) use line::Lost;
pub(crate) use pool::{Count, Drawn, Pool};
pub(crate) use retry::{Budget, Repeats, is_idempotent, is_unavailable};
pub(crate) use tape::Tape;

use tokio::task::JoinHandle;

/// A task that ends with whoever holds this.
#[derive(Debug)]
pub(crate) struct Task(JoinHandle<()>);

impl Task {
    pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
