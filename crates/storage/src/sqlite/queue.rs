//! Work for a thread that owns a connection: a bounded queue, a deadline, one answer each. Knows no SQL.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use kernel::{Error, Result};
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

use super::cache::Touches;
use super::fault::{Fault, broken, busy};
use crate::bell::Ringer;

/// Pieces of work that may wait for one thread.
const CAPACITY: usize = 4_096;
/// Longest time that a caller waits for room and answer together.
const CALL_DEADLINE: Duration = Duration::from_secs(10);

/// One piece of work: run once, then answered once.
pub(super) trait Job: Send {
    /// Does the work, unless nobody waits for it any more. The reason of the failure, if it failed.
    fn run(&mut self, conn: &Connection) -> Option<&'static str>;

    /// The reason of the failure, once it has run and failed.
    fn reason(&self) -> Option<&'static str>;

    /// Whether it leaves nothing behind when it fails.
    fn is_clean(&self) -> bool;

    /// What readers by id may see changed by it.
    fn touches(&self) -> Touches;

    /// Gives the result to the caller, or `failure` in its place.
    fn answer(self: Box<Self>, failure: Option<Error>);
}

struct Task<R, W> {
    work: Option<W>,
    result: Option<Result<R>>,
    reply: oneshot::Sender<Result<R>>,
    room: OwnedSemaphorePermit,
    news: Option<Ringer>,
    clean: bool,
    touches: Touches,
}

impl<R: Send, W: FnOnce(&Connection) -> Result<R, Fault> + Send> Job for Task<R, W> {
    fn run(&mut self, conn: &Connection) -> Option<&'static str> {
        if self.reply.is_closed() {
            return None;
        }
        let result = self.work.take()?(conn).map_err(|fault| fault.0);
        self.result = Some(result);
        self.reason()
    }

    fn reason(&self) -> Option<&'static str> {
        self.result.as_ref()?.as_ref().err().map(Error::reason)
    }

    fn is_clean(&self) -> bool {
        self.clean
    }

    fn touches(&self) -> Touches {
        self.touches.clone()
    }

    fn answer(self: Box<Self>, failure: Option<Error>) {
        let Self { result, reply, room, news, .. } = *self;
        drop(room); // whoever has an answer waits no longer
        let Some(result) = failure.map(Err).or(result) else { return };
        if let (Some(bell), Ok(_)) = (news, &result) {
            bell.ring();
        }
        drop(reply.send(result)); // fails only when the caller has gone
    }
}

/// How a piece of work is done.
pub(super) struct Way {
    /// Longest time that its caller waits for room and answer together.
    pub(super) limit: Duration,
    /// Rung once it is done and committed.
    pub(super) news: Option<Ringer>,
    /// Whether it leaves nothing behind when it fails, so that it needs no savepoint.
    pub(super) clean: bool,
    /// What readers by id may see changed by it.
    pub(super) touches: Touches,
}

impl Default for Way {
    fn default() -> Self {
        Self { limit: CALL_DEADLINE, news: None, clean: false, touches: Touches::All }
    }
}

/// The caller's end of a queue. The thread ends when this is dropped and the queue is empty.
pub(super) struct Queue {
    sender: mpsc::Sender<Box<dyn Job>>,
    room: Arc<Semaphore>,
    late: fn() -> Error,
}

impl Queue {
    /// A queue; `late` is what a caller reads whose work was accepted but not answered in time.
    pub(super) fn new(late: fn() -> Error) -> (Self, mpsc::Receiver<Box<dyn Job>>) {
        let (sender, receiver) = mpsc::channel();
        (Self { sender, room: Arc::new(Semaphore::new(CAPACITY)), late }, receiver)
    }

    /// Has this reading done. Errors: `STORE_BUSY` when no room came free in time, `STORE_BROKEN` when the thread is gone,
    /// the queue's own when the answer did not come in time, and those of the work.
    pub(super) async fn call<R: Send + 'static>(&self, work: impl FnOnce(&Connection) -> Result<R, Fault> + Send + 'static) -> Result<R> {
        self.call_as(Way { touches: Touches::Nothing, ..Way::default() }, work).await
    }

    /// Has a change done in this way, as `call` does.
    pub(super) async fn call_as<R: Send + 'static>(
        &self,
        way: Way,
        work: impl FnOnce(&Connection) -> Result<R, Fault> + Send + 'static,
    ) -> Result<R> {
        let Way { limit, news, clean, touches } = way;
        let deadline = Instant::now() + limit;
        let room = timeout_at(deadline, self.room.clone().acquire_owned()).await.map_err(|_| busy())?;
        let room = room.map_err(|closed| broken().because(closed))?;
        let (reply, answer) = oneshot::channel();
        let task = Task { work: Some(work), result: None, reply, room, news, clean, touches };
        self.sender.send(Box::new(task)).map_err(|_| broken())?;
        match timeout_at(deadline, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err((self.late)()),
        }
    }

    /// Pieces of work that wait or run.
    pub(super) fn len(&self) -> usize {
        CAPACITY.saturating_sub(self.room.available_permits())
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queue({})", self.len())
    }
}
