//! Whether a node is ready: what it cannot do without, looked at again and again. A broker is not among it: without one, events
//! wait in their documents.

use std::time::Duration;

use rpc::{Hub, Waiting};
use storage::Store;
use tokio::sync::watch;

/// How long an answer stands while all is well, and while something is missing.
const WELL: Duration = Duration::from_secs(1);
const UNWELL: Duration = Duration::from_millis(100);

/// What a node is waiting for. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct Readiness {
    waiting: watch::Sender<Waiting>,
    ready: watch::Sender<bool>,
}

impl Readiness {
    /// Of a node that starts.
    pub(crate) fn new() -> Self {
        Self { waiting: watch::Sender::new(Waiting(vec!["starting".into()])), ready: watch::Sender::new(false) }
    }

    /// What is missing, by name.
    pub(crate) fn waiting(&self) -> watch::Receiver<Waiting> {
        self.waiting.subscribe()
    }

    /// Whether nothing is.
    pub(crate) fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Looks at everything once.
    pub(crate) fn look(&self, store: Option<&Store>, hub: &Hub) {
        let mut missing: Vec<_> = hub.unready().iter().map(|peer| format!("peer {peer}")).collect();
        if let Some(Err(error)) = store.map(|store| store.engine().ready()) {
            tracing::debug!(?error, "the store takes no changes");
            missing.push("store".into());
        }
        self.tell(Waiting(missing));
    }

    /// Looks until dropped.
    pub(crate) async fn watch(self, store: Option<Store>, hub: Hub) {
        loop {
            tokio::time::sleep(if *self.ready.borrow() { WELL } else { UNWELL }).await;
            self.look(store.as_ref(), &hub);
        }
    }

    /// The node is about to go.
    pub(crate) fn drains(&self) {
        self.tell(Waiting(vec!["draining".into()]));
    }

    fn tell(&self, now: Waiting) {
        self.ready.send_if_modified(|ready| std::mem::replace(ready, now.is_over()) != now.is_over());
        self.waiting.send_if_modified(|before| {
            let changed = *before != now;
            match now.is_over() {
                true if changed => tracing::info!("ready"),
                false if changed => tracing::warn!(waiting = now.0.join(", "), "not ready"),
                _ => {}
            }
            *before = now;
            changed
        });
    }
}
