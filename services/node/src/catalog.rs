//! Which services there are, and which of them run in this node. A new service is one more entry here.

use std::sync::Arc;

use events::{Group, Subscriber, Worker};
use kernel::{Clock, Result, Time};
use rpc::{Http, Hub, Reader, Schema, Stack};
use storage::Store;

use crate::config::Config;
use crate::keys::Master;

/// The door for browsers and clients: keeps nothing, needs every service.
pub(crate) const GATEWAY: &str = "gateway";
/// The services by area, each of which may run in a process of its own.
pub(crate) const SERVICES: [&str; 1] = ["identity"];

/// What every service is started with.
pub(crate) struct Shared<'a> {
    pub(crate) config: &'a Config,
    pub(crate) public_url: &'a str,
    pub(crate) schema: Arc<Schema>,
    pub(crate) store: Store,
    pub(crate) master: &'a Master,
    pub(crate) clock: Clock,
}

/// What runs here.
#[derive(Default)]
pub(crate) struct Started {
    /// By area, each behind its stack.
    pub(crate) services: Vec<(&'static str, Http)>,
    pub(crate) operators: Option<identity::Operators>,
    pub(crate) subscribers: Vec<Arc<dyn Subscriber>>,
    pub(crate) workers: Vec<Arc<dyn Worker>>,
    pub(crate) readers: Vec<Reader>,
}

/// Starts the services of this node and makes them reachable through the hub.
pub(crate) async fn start(shared: Shared<'_>, hub: &Hub) -> Result<Started> {
    let mut started = Started::default();
    if shared.config.runs("identity") {
        let identity = identity::start(identity::Start {
            config: shared.config.identity.clone(),
            public_url: shared.public_url.to_owned(),
            store: shared.store,
            sealing_key: shared.master.derive("identity sealing")?,
            clock: shared.clock.clone(),
        })
        .await?;
        let stack = Stack { schema: shared.schema, verifier: identity.verifier, clock: shared.clock };
        started.services.push((identity.service.name, stack.wrap(identity.service)));
        started.operators = Some(identity.operators);
        started.subscribers.extend(identity.subscribers);
        started.workers.extend(identity.workers);
        started.readers.push(identity.reader);
    }
    for (area, service) in &started.services {
        hub.install(area, service.clone());
    }
    Ok(started)
}

/// Declares what the services of this program store, whether they run here or not.
pub(crate) async fn define(store: &Store) -> Result<()> {
    identity::define(store).await
}

/// When the installation that stands here was founded: tells one from another.
pub(crate) async fn founded(store: &Store) -> Result<Option<Time>> {
    identity::founded(store).await
}

/// The consumer groups of all services, whether they run here or not.
pub(crate) fn groups() -> Vec<Group> {
    identity::groups()
}

/// Ends every session that is stored here.
pub(crate) async fn end_sessions(store: &Store) -> Result<()> {
    identity::end_sessions(store).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use storage::{Across, Sqlite};

    use super::*;

    #[tokio::test]
    async fn every_declared_index_serves_its_lists() {
        let store = Store::open(Arc::new(Sqlite::in_memory().unwrap()), [7; 32], Clock::system());
        define(&store).await.unwrap();
        let plans = store.plans(&Across::granted()).await.unwrap();
        let unserved: Vec<_> = plans.iter().filter(|plan| !plan.served).collect();
        assert!(unserved.is_empty(), "sorted, scanned or read from the start: {unserved:#?}");
        let indexes = store.kinds().iter().map(|kind| kind.indexes.len()).sum::<usize>();
        assert!(indexes > 5 && plans.len() >= 4 * indexes, "{} plans of {indexes} indexes", plans.len());
    }
}
