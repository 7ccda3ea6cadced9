//! Start and stop of all that runs behind a store: bus, relay, workers.

use std::sync::Arc;

use kernel::{Clock, Error, Result};
use storage::{Across, Store};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::contract::{Bus, Subscriber, Worker};
use crate::meter::{Meter, Metrics};
use crate::pace::Pace;
use crate::relay::{self, Ground};
use crate::schedule::Shift;
use crate::stop::Stop;

/// What is needed to run.
pub struct Start {
    /// Where documents, events and due times are. Collections defined later are found.
    pub store: Store,
    /// The right to reach across tenants.
    pub across: Across,
    /// How events travel.
    pub bus: Arc<dyn Bus>,
    /// Who hears them here.
    pub subscribers: Vec<Arc<dyn Subscriber>>,
    /// Who works at due documents here; one for each collection.
    pub workers: Vec<Arc<dyn Worker>>,
    /// Leases and waits are measured by it.
    pub clock: Clock,
    /// How often, how many, how long; `Pace::default()` but in tests.
    pub pace: Pace,
}

impl std::fmt::Debug for Start {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (subscribers, workers) = (self.subscribers.len(), self.workers.len());
        f.debug_struct("Start")
            .field("bus", &self.bus)
            .field("subscribers", &subscribers)
            .field("workers", &workers)
            .finish_non_exhaustive()
    }
}

/// Relay and scheduler at work, in the background. Dropped without `stop`, they end at once and leave their leases to run out.
#[derive(Debug)]
pub struct Running {
    bus: Arc<dyn Bus>,
    meter: Arc<Meter>,
    clock: Clock,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// Starts relay, bus and workers. The promise: an event of a change that was acknowledged reaches every subscriber of its kind at
/// least once, in order within its document. Errors: `SUBSCRIBERS_INVALID` for two of one name, `WORKERS_INVALID` for two of one
/// collection, those of the bus.
pub fn start(start: Start) -> Result<Running> {
    let Start { store, across, bus, subscribers, workers, clock, pace } = start;
    pace.check()?;
    if doubled(subscribers.iter().map(|subscriber| subscriber.name())) {
        return Err(Error::internal("SUBSCRIBERS_INVALID", "two subscribers have one name"));
    }
    if doubled(workers.iter().map(|worker| worker.kind().name)) {
        return Err(Error::internal("WORKERS_INVALID", "two workers have one collection"));
    }
    bus.attach(subscribers)?;
    let meter = Arc::new(Meter::default());
    let ground = Arc::new(Ground { store, across, bus: bus.clone(), clock: clock.clone(), pace, meter: meter.clone() });
    let (stop, stopped) = Stop::channel();
    let mut tasks = JoinSet::new();
    for worker in workers {
        tasks.spawn(Shift::new(ground.clone(), worker).run(stopped.clone()));
    }
    tasks.spawn(relay::run(ground, stopped));
    Ok(Running { bus, meter, clock, stop, tasks })
}

fn doubled<'a>(names: impl Iterator<Item = &'a str>) -> bool {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair[0] == pair[1])
}

impl Running {
    /// Begins nothing new, lets what is in flight end for ten seconds, gives leases back, and ends the bus.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(cause) = ended {
                tracing::error!(%cause, "relay or scheduler ended by itself");
            }
        }
        self.bus.stop().await
    }

    /// What has been done and what waits.
    pub fn metrics(&self) -> Metrics {
        self.meter.read(self.clock.now())
    }
}
