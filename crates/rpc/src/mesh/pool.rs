//! All endpoints of a peer, and which connection a call takes.

use std::collections::HashSet;
use std::fmt;
use std::num::NonZero;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::available_parallelism;
use std::time::Duration;

use kernel::Result;
use tokio::time::{Instant, timeout_at};

use crate::edge::not_ready;
use crate::jitter;
use crate::mesh::addresses::Addresses;
use crate::mesh::endpoint::{Endpoint, Signals};
use crate::mesh::health::Health;
use crate::mesh::line::{InFlight, Line};
use crate::mesh::{Task, Weight};

/// How long a call waits for a connection; a call with less than twice as much left waits half of that.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bounds of the connections to one endpoint.
const MOST_LINES: usize = 8;

/// A peer's endpoints. Connected in the background while it is there.
pub(crate) struct Pool {
    name: Arc<str>,
    shared: Arc<Shared>,
    _discovery: Task,
}

#[derive(Debug, Default)]
struct Shared {
    members: RwLock<Vec<Member>>,
    signals: Arc<Signals>,
}

/// An endpoint and the tasks that end with its membership.
#[derive(Debug)]
struct Member {
    endpoint: Arc<Endpoint>,
    _tasks: [Task; 2],
}

/// The connection that one call takes.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) line: Arc<Line>,
    _flight: InFlight,
}

/// How many endpoints there are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) known: usize,
    pub(crate) ready: usize,
    pub(crate) out: usize,
    pub(crate) ejections: usize,
}

impl Pool {
    /// Inside a runtime only.
    pub(crate) fn new(name: &str, addresses: Addresses) -> Self {
        let shared = Arc::new(Shared::default());
        shared.set(addresses.known());
        let told = shared.clone();
        let discovery = Task::spawn(async move { addresses.follow(&told.signals.trouble, |found| told.set(found)).await });
        Self { name: name.into(), shared, _discovery: discovery }
    }

    /// A connection for a call that ends then, of other endpoints than `tried` where there are any. Errors: `NO_READY_PEER`
    /// after a while without one.
    pub(crate) async fn draw(&self, ends: Option<Instant>, tried: &[Arc<str>]) -> Result<Drawn> {
        let begun = Instant::now();
        let half = ends.map_or(PATIENCE, |ends| ends.saturating_duration_since(begun) / 2);
        let limit = begun + PATIENCE.min(half);
        loop {
            let news = self.shared.signals.news.notified();
            if let Some(drawn) = self.pick(tried) {
                return Ok(drawn);
            }
            timeout_at(limit, news).await.map_err(|late| not_ready(&self.name).because(late))?;
        }
    }

    /// Whether a call would find another endpoint than these.
    pub(crate) fn has_other(&self, tried: &[Arc<str>]) -> bool {
        self.endpoints().iter().any(|endpoint| !tried.contains(&endpoint.address) && rank(endpoint) <= 1 && endpoint.line().is_some())
    }

    /// Whether an endpoint is connected and well. One that knows no health counts as well.
    pub(crate) fn is_ready(&self) -> bool {
        self.count().ready > 0
    }

    pub(crate) fn count(&self) -> Count {
        let endpoints = self.endpoints();
        let ready = endpoints.iter().filter(|endpoint| endpoint.health() == Health::Serving && endpoint.line().is_some()).count();
        let out = endpoints.iter().filter(|endpoint| endpoint.is_out()).count();
        Count { known: endpoints.len(), ready, out, ejections: self.shared.signals.ejections.load(Ordering::Relaxed) }
    }

    fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        let members = self.shared.members.read().unwrap_or_else(PoisonError::into_inner);
        members.iter().map(|member| member.endpoint.clone()).collect()
    }

    /// Of two by chance among the best, the one with fewer calls in flight.
    fn pick(&self, tried: &[Arc<str>]) -> Option<Drawn> {
        let endpoints = self.endpoints();
        let connected = endpoints.into_iter().filter_map(|endpoint| endpoint.line().map(|line| (endpoint, line)));
        let ranked = connected.map(|(endpoint, line)| ((tried.contains(&endpoint.address), rank(&endpoint)), endpoint, line));
        let ranked: Vec<_> = ranked.collect();
        let best = ranked.iter().map(|(rank, ..)| *rank).min()?;
        let mut best: Vec<_> = ranked.into_iter().filter(|(rank, ..)| *rank == best).collect();
        let first = best.swap_remove(jitter::below(best.len()));
        let second = (!best.is_empty()).then(|| best.swap_remove(jitter::below(best.len())));
        let (_, endpoint, line) = match second {
            Some(second) if second.2.in_flight() < first.2.in_flight() => second,
            _ => first,
        };
        let flight = line.enter();
        Some(Drawn { endpoint, line, _flight: flight })
    }
}

/// The lower, the better. While none is well, all are used: the fault is probably not theirs.
fn rank(endpoint: &Endpoint) -> u8 {
    match (endpoint.is_out(), endpoint.health()) {
        (false, Health::Serving) => 0,
        (false, Health::Unknown) => 1,
        (false, Health::NotServing) => 2,
        (true, _) => 3,
    }
}

impl Shared {
    /// These are the endpoints now. Connections to others take no more calls.
    fn set(&self, addresses: Vec<Arc<str>>) {
        let cores = available_parallelism().map_or(1, NonZero::get);
        let most = (2 * cores / addresses.len().max(1)).clamp(1, MOST_LINES);
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        let wanted: HashSet<_> = addresses.iter().cloned().collect();
        members.retain(|member| wanted.contains(&member.endpoint.address));
        for address in addresses {
            if members.iter().any(|member| member.endpoint.address == address) {
                continue;
            }
            let endpoint = Arc::new(Endpoint::new(&address, most, self.signals.clone()));
            let tasks = [Task::spawn(endpoint.clone().keep()), Task::spawn(endpoint.clone().watch())];
            members.push(Member { endpoint, _tasks: tasks });
        }
        drop(members);
        self.signals.news.notify_waiters();
    }
}

impl Drawn {
    /// The connection is about to go.
    pub(crate) fn leave(&self) {
        self.endpoint.leave(&self.line);
    }

    pub(crate) fn went_well(&self) {
        self.endpoint.went_well();
    }

    pub(crate) fn failed(&self, weight: Weight) {
        self.endpoint.failed(weight);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({}, {:?})", self.name, self.count())
    }
}
