//! Which services run in this process, and where the others are. The only place that asks "is it here?".

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};

use crate::mesh::Addresses;
use crate::remote::Remote;
use crate::{Edge, Http, Number, Schema};

/// The services that can be reached, by area. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    services: Arc<RwLock<HashMap<Arc<str>, Http>>>,
    peers: Arc<RwLock<HashMap<Arc<str>, Arc<Remote>>>>,
}

impl Hub {
    /// A hub without services.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a service of this process reachable, from now on also for edges made before.
    pub fn install(&self, name: &str, service: Http) {
        self.services.write().unwrap_or_else(PoisonError::into_inner).insert(name.into(), service);
    }

    /// Makes a service of other processes reachable in the same way. They are connected in the background from now on, for
    /// as long as the hub is there: inside a runtime only. The schema says which calls may be made twice.
    pub fn peer(&self, name: &str, at: Addresses, schema: &Arc<Schema>) {
        let remote = Arc::new(Remote::new(name, at, schema.clone()));
        self.peers.write().unwrap_or_else(PoisonError::into_inner).insert(name.into(), remote.clone());
        let service = Http::of(move |request| {
            let remote = remote.clone();
            async move { remote.answer(request).await }
        });
        self.install(name, service);
    }

    /// The peers of which no endpoint is connected and well, by name.
    pub fn unready(&self) -> Vec<Arc<str>> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        let mut unready: Vec<_> = peers.iter().filter(|(_, peer)| !peer.pool.is_ready()).map(|(name, _)| name.clone()).collect();
        unready.sort_unstable();
        unready
    }

    /// The state of the connections to all peers, in numbers.
    pub fn numbers(&self) -> Vec<Number> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        let counts: Vec<_> = peers.values().map(|peer| (peer.pool.count(), peer.repeats.load(Ordering::Relaxed))).collect();
        if counts.is_empty() {
            return Vec::new();
        }
        let number = |name, help, value: usize| Number { name, help, value: value as f64 };
        let sum = |of: fn(&(crate::mesh::Count, usize)) -> usize| counts.iter().map(of).sum();
        vec![
            number("mesh_endpoints", "Endpoints of all peers.", sum(|(count, _)| count.known)),
            number("mesh_endpoints_ready", "Endpoints that are connected and well.", sum(|(count, _)| count.ready)),
            number("mesh_endpoints_out", "Endpoints left out after failures in a row.", sum(|(count, _)| count.out)),
            number("mesh_ejections_total", "Times that an endpoint was left out.", sum(|(count, _)| count.ejections)),
            number("mesh_retries_total", "Calls made once more.", sum(|(_, repeats)| *repeats)),
        ]
    }

    /// The way to a service, whether it runs already or not.
    pub fn edge(&self, name: impl Into<Arc<str>>) -> Edge {
        Edge::new(self.clone(), name.into())
    }

    pub(crate) fn find(&self, name: &str) -> Option<Http> {
        self.services.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}
