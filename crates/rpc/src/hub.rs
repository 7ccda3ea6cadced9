//! Which services run in this process. The only place that asks "is it here?".

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::{Edge, Http};

/// The services of this process by area. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    local: Arc<RwLock<HashMap<&'static str, Http>>>,
}

impl Hub {
    /// A hub without services.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a service reachable, from now on also for edges made before.
    pub fn install(&self, name: &'static str, service: Http) {
        self.local.write().unwrap_or_else(PoisonError::into_inner).insert(name, service);
    }

    /// The way to a service, whether it runs already or not.
    pub fn edge(&self, name: &str) -> Edge {
        Edge::new(self.clone(), name)
    }

    pub(crate) fn find(&self, name: &str) -> Option<Http> {
        self.local.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}
