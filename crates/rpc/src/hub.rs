//! Which services run in this process, and where the others are. The only place that asks "is it here?".

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::remote::Remote;
use crate::{Edge, Http};

/// The services that can be reached, by area. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    services: Arc<RwLock<HashMap<Arc<str>, Http>>>,
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

    /// Makes a service of another process reachable in the same way, at `host:port`. Nothing is connected before the first
    /// call, and nothing is checked: an address where nobody answers is a peer that is not ready.
    pub fn peer(&self, name: &str, address: &str) {
        self.install(name, Remote::new(name, address).into_http());
    }

    /// The way to a service, whether it runs already or not.
    pub fn edge(&self, name: &str) -> Edge {
        Edge::new(self.clone(), name)
    }

    pub(crate) fn find(&self, name: &str) -> Option<Http> {
        self.services.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}
