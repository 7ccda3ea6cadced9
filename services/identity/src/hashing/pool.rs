//! The threads that hash passwords, and nothing else. Bounded, fair between apps, each with one buffer of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kernel::{Error, Result, Tenant};
use tokio::sync::oneshot;

use super::Cost;
use super::meter::{Meter, Standing};
use super::queue::Queue;
use super::verify::{self, Buffer, Phc, SALT_BYTES};
use crate::domain::password::Password;

/// Passwords that wait for each thread: about two seconds of work.
const QUEUE_PER_THREAD: usize = 64;
/// A buffer that nobody needed for this long is given back.
const IDLE: Duration = Duration::from_secs(60);
/// What a hash is expected to take before one was measured.
const FIRST_GUESS: Duration = Duration::from_millis(50);
/// Longest wait of a task that serves no call: the default deadline of calls.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much lower than the rest of the process hashing ranks, in steps of `nice`: a flood of sign-ins leaves refreshes alone.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// The pool. Its threads end when it is dropped; whoever waits then is told `HASHING_BUSY`.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    cost: Cost,
}

/// What checking a password found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// It is the password.
    pub(crate) ok: bool,
    /// It is, and its hash should be made anew at the present cost.
    pub(crate) rehash: bool,
}

impl Pool {
    /// Starts this many threads, which hash at the default cost; 0 = one a core. Errors: `HASHING_THREADS` when the system
    /// gives none.
    pub(crate) fn new(threads: usize) -> Result<Self> {
        Self::start(threads, Cost::DEFAULT)
    }

    /// Hashes a new password under a fresh salt and answers the PHC form. The turn of `tenant` is used.
    /// Errors: `HASHING_BUSY` at once when the wait would exceed the call's deadline.
    pub(crate) async fn hash(&self, tenant: &Tenant, password: Password) -> Result<String> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(|cause| Error::internal("RANDOM", "the system gives no random bytes").because(cause))?;
        let cost = self.cost;
        let phc = self.run(tenant, patience()?, move |buffer| verify::hash(buffer, cost, &password, &salt)).await?;
        Ok(phc.to_string())
    }

    /// Checks a password. Without a stored hash the same work is done against a dummy, and the answer is no.
    /// Errors: `HASHING_BUSY` at once when the wait would exceed the call's deadline.
    pub(crate) async fn verify(&self, tenant: &Tenant, password: Password, phc: Option<String>) -> Result<Verdict> {
        let stored = phc.as_deref().map(Phc::parse).transpose();
        let stored = stored.map_err(|cause| Error::internal("HASH_UNREADABLE", "a stored password hash cannot be read").because(cause))?;
        let exists = stored.is_some();
        let against = stored.unwrap_or_else(|| Phc::dummy(self.cost));
        let differs = against.differs_from(self.cost);
        let matches = self.run(tenant, patience()?, move |buffer| verify::matches(buffer, &against, &password)).await?;
        Ok(Verdict { ok: exists && matches, rehash: exists && matches && differs })
    }

    /// What it has done and what waits.
    pub(crate) fn reading(&self) -> rpc::Reading {
        let (waiting, running) = {
            let state = self.shared.lock();
            (state.queue.len(), state.busy)
        };
        self.shared.meter.reading(&Standing { threads: self.shared.threads, waiting, running })
    }

    fn start(threads: usize, cost: Cost) -> Result<Self> {
        let threads = if threads == 0 { default_threads() } else { threads };
        let state = State { queue: Queue::new(threads * QUEUE_PER_THREAD), busy: 0, typical: FIRST_GUESS, closed: false };
        let pool = Self {
            shared: Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new(), threads, idle: IDLE, meter: Meter::default() }),
            cost,
        };
        for n in 0..threads {
            let shared = pool.shared.clone();
            let spawned = std::thread::Builder::new().name(format!("hashing-{n}")).spawn(move || serve(&shared, cost));
            spawned.map_err(|cause| Error::internal("HASHING_THREADS", "a hashing thread could not be started").because(cause))?;
        }
        Ok(pool)
    }

    async fn run<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        patience: Duration,
        work: impl FnOnce(&mut Buffer) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let (shared, asked) = (self.shared.clone(), Instant::now());
        let task = move |buffer: &mut Buffer| {
            let began = Instant::now();
            shared.meter.waited(began - asked);
            if reply.is_closed() {
                return false;
            }
            let failed = |_| Err(Error::internal("HASHING_FAILED", "a hashing thread panicked"));
            let outcome = catch_unwind(AssertUnwindSafe(|| work(buffer))).unwrap_or_else(failed);
            shared.meter.hashed(began.elapsed());
            // A caller that left meanwhile has nobody to read the answer.
            drop(reply.send(outcome));
            true
        };
        self.shared.submit(tenant, patience, Box::new(task)).map_err(|error| self.shared.meter.refused(error))?;
        // A task that is dropped unserved had to go for another app's, or the pool was dropped.
        answer.await.unwrap_or_else(|_| Err(self.shared.meter.refused(busy(self.shared.lock().typical))))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        while state.queue.pop().is_some() {}
        drop(state);
        self.shared.wake.notify_all();
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.shared.threads).field("cost", &self.cost).finish_non_exhaustive()
    }
}

/// Work for one thread. Answers whether there was any: whoever asked may have left.
type Task = Box<dyn FnOnce(&mut Buffer) -> bool + Send>;

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    threads: usize,
    idle: Duration,
    meter: Meter,
}

struct State {
    queue: Queue<Task>,
    /// Threads at work.
    busy: usize,
    /// Moving average of what one task takes.
    typical: Duration,
    closed: bool,
}

impl State {
    /// How long the next task of this tenant would wait for a thread.
    fn expected_wait(&self, tenant: &Tenant, threads: usize) -> Duration {
        let before = self.queue.ahead(tenant) + self.busy;
        let rounds = u32::try_from((before + 1).saturating_sub(threads)).unwrap_or(u32::MAX);
        self.typical.saturating_mul(rounds) / u32::try_from(threads).unwrap_or(1).max(1)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; were it otherwise, the numbers of a queue are still numbers.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(&self, tenant: &Tenant, patience: Duration, task: Task) -> Result<()> {
        let mut state = self.lock();
        let wait = state.expected_wait(tenant, self.threads);
        if !wait.is_zero() && wait + state.typical > patience {
            return Err(busy(wait));
        }
        // Dropping what had to go tells whoever waits for it.
        let displaced = state.queue.push(tenant, task).map_err(|_| busy(wait))?;
        drop(state);
        drop(displaced);
        self.wake.notify_one();
        Ok(())
    }

    /// The next task; none when the pool is closed.
    fn next(&self, buffer: &mut Buffer) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if let Some(task) = state.queue.pop() {
                state.busy += 1;
                return Some(task);
            }
            if state.closed {
                return None;
            }
            state = self.rest(state, buffer);
        }
    }

    /// Waits until something may have changed. A buffer that stayed idle is given back first.
    fn rest<'a>(&self, state: MutexGuard<'a, State>, buffer: &mut Buffer) -> MutexGuard<'a, State> {
        if buffer.is_released() {
            return self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let (state, waited) = self.wake.wait_timeout(state, self.idle).unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            buffer.release();
        }
        state
    }

    fn finished(&self, took: Option<Duration>) {
        let mut state = self.lock();
        state.busy -= 1;
        if let Some(took) = took {
            state.typical = (state.typical * 7 + took) / 8;
        }
    }
}

fn serve(shared: &Shared, cost: Cost) {
    lower_priority();
    let mut buffer = Buffer::for_cost(cost);
    while let Some(task) = shared.next(&mut buffer) {
        let started = Instant::now();
        let worked = task(&mut buffer);
        if worked {
            buffer.wipe();
        }
        shared.finished(worked.then(|| started.elapsed()));
    }
}

/// One a core; where the priority of a thread cannot be lowered, one core stays free for everything else.
fn default_threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if cfg!(target_os = "linux") { cores } else { cores.saturating_sub(1).max(1) }
}

/// On Linux this concerns the calling thread alone.
#[cfg(target_os = "linux")]
fn lower_priority() {
    if let Err(cause) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!(error = %cause, "the priority of a hashing thread could not be lowered");
    }
}

#[cfg(not(target_os = "linux"))]
fn lower_priority() {}

/// How long the call that this task serves can wait. Errors: `DEADLINE_EXCEEDED`.
fn patience() -> Result<Duration> {
    Ok(rpc::time_left()?.unwrap_or(PATIENCE))
}

fn busy(wait: Duration) -> Error {
    let wait = Duration::from_secs(wait.as_secs() + 1);
    Error::unavailable("HASHING_BUSY", "too many passwords are being checked right now; try again later").retry_after(wait)
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
