//! What goes on behind the store of a node: events from their documents to whoever hears them, work whose time has come, and
//! the sweep of what has expired. Stops as one.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use events::{Address, Broker, Bus, Local, Rabbit, Running};
use kernel::Result;
use rpc::Number;
use storage::{Across, Store};
use tokio::task::JoinHandle;

use crate::catalog::Started;
use crate::config::Config;
use crate::run::Ground;

/// How often expired documents are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Expired documents of one round: a few milliseconds of the writer's time.
const SWEEP_LIMIT: usize = 200;

/// Relay, workers and sweeper at work. All clones are one.
#[derive(Clone)]
pub(crate) struct Upkeep {
    running: Arc<RwLock<Option<Running>>>,
    broker: Option<Arc<Rabbit>>,
    sweeper: Arc<JoinHandle<()>>,
}

impl Upkeep {
    /// Takes subscribers and workers of the services that were started. Errors: those of the broker's address.
    pub(crate) fn start(config: &Config, ground: &Ground, started: &mut Started) -> Result<Self> {
        let address = config.broker()?.map(|broker| Address::parse(&broker, config.insecure)).transpose()?;
        let namespace = config.events.namespace.clone();
        let broker = address.map(|address| Arc::new(Rabbit::new(Broker { namespace, ..Broker::new(address, Vec::new()) })));
        let bus: Arc<dyn Bus> = match &broker {
            Some(broker) => broker.clone(),
            None => Arc::new(Local::new()),
        };
        let running = events::start(events::Start {
            store: ground.store.clone(),
            across: Across::granted(),
            bus,
            subscribers: std::mem::take(&mut started.subscribers),
            workers: std::mem::take(&mut started.workers),
            clock: ground.clock.clone(),
            pace: events::Pace::default(),
        })?;
        let sweeper = Arc::new(tokio::spawn(sweep(ground.store.clone())));
        Ok(Self { running: Arc::new(RwLock::new(Some(running))), broker, sweeper })
    }

    /// Begins nothing new, lets what is in flight end and gives leases back.
    pub(crate) async fn stop(self) {
        self.sweeper.abort();
        let running = self.running.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running
            && let Err(error) = running.stop().await
        {
            tracing::warn!(?error, "the bus did not stop well");
        }
    }

    /// What has been done and what waits.
    pub(crate) fn numbers(&self) -> Vec<Number> {
        let Some(metrics) = self.running.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(Running::metrics) else {
            return Vec::new();
        };
        let lane = metrics.total();
        let told = |name, help, value: f64| Number { name, help, value };
        let mut numbers = vec![
            Number::count("outbox_published_total", "Events that the bus took.", lane.published),
            Number::count("outbox_failures_total", "Tries to publish that failed.", lane.failed),
            Number::count("outbox_parkings_total", "Documents whose events were parked.", lane.parkings),
            Number::count("outbox_parked", "Documents whose events are parked.", lane.parked),
            Number::count("outbox_documents", "Documents with events that wait.", lane.waiting),
            told("outbox_oldest_seconds", "Age of the oldest event that waits and is not parked.", lane.oldest_seconds),
            told("outbox_held", "1 while changes with events are refused: too many wait.", f64::from(u8::from(metrics.held))),
            Number::count("due_runs_total", "Due documents that were worked at.", lane.runs),
            Number::count("due_failures_total", "Of them, those whose work failed.", lane.run_failures),
            told("due_lag_seconds", "For how long more has been due than could be begun.", lane.due_lag_seconds),
        ];
        if let Some(broker) = &self.broker {
            let traffic = broker.traffic();
            numbers.extend([
                told("broker_connected", "1 while the broker takes events.", f64::from(u8::from(broker.ready().is_ok()))),
                Number::count("broker_connections_total", "Connections made to the broker.", traffic.connections),
                Number::count("broker_confirmed_total", "Events that the broker keeps.", traffic.confirmed),
                Number::count("broker_consumed_total", "Events that subscribers here recorded.", traffic.consumed),
                Number::count("broker_failures_total", "Tries of subscribers here that failed.", traffic.failed),
                Number::count("broker_dead_total", "Events that went to a dead-letter queue.", traffic.dead),
            ]);
        }
        numbers
    }
}

/// Takes what has expired out of the store, a little at a time: guards of addresses, ended sessions, old intents.
async fn sweep(store: Store) {
    let mut beat = tokio::time::interval(SWEEP_EVERY);
    loop {
        beat.tick().await;
        loop {
            match store.sweep(&storage::Across::granted(), SWEEP_LIMIT).await {
                Ok(swept) if swept >= SWEEP_LIMIT => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(?error, "sweep");
                    break;
                }
            }
        }
    }
}
