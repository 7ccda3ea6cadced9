//! From the outbox to the bus: a lane for each collection, so that none waits for another, and a watch over the backlog.
//! What a bus does with an event is its own business.

mod flight;
mod lane;

use std::collections::HashSet;
use std::sync::Arc;

use kernel::{Clock, Result};
use storage::{Across, Collection, Store};
use tokio::task::JoinSet;

use crate::contract::Bus;
use crate::meter::Meter;
use crate::pace::{Pace, jittered};
use crate::stop::Stop;

/// What all lanes stand on.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) store: Store,
    pub(crate) across: Across,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) clock: Clock,
    pub(crate) pace: Pace,
    pub(crate) meter: Arc<Meter>,
}

/// Runs a lane for each collection, also those defined later, and holds new events back while too many wait. Ends when told
/// to stop and all lanes have ended.
pub(crate) async fn run(ground: Arc<Ground>, mut stop: Stop) {
    let mut lanes = JoinSet::new();
    let mut known = HashSet::new();
    let mut backlog = Backlog { ground: ground.clone(), next: tokio::time::Instant::now(), held: false };
    while !stop.is_said() {
        for kind in ground.store.kinds() {
            if known.insert(kind.name) {
                lanes.spawn(lane::Lane::new(ground.clone(), kind, stop.clone()).run());
            }
        }
        backlog.look().await;
        tokio::select! {
            () = stop.said() => {}
            () = tokio::time::sleep(jittered(ground.pace.poll)) => {}
        }
    }
    while lanes.join_next().await.is_some() {}
    if backlog.held {
        ground.store.hold_events(false);
    }
}

struct Backlog {
    ground: Arc<Ground>,
    next: tokio::time::Instant,
    held: bool,
}

impl Backlog {
    async fn look(&mut self) {
        if tokio::time::Instant::now() < self.next {
            return;
        }
        self.next = tokio::time::Instant::now() + self.ground.pace.watch;
        let mut waiting = 0;
        for kind in self.ground.store.kinds() {
            match self.measure(kind).await {
                Ok(documents) => waiting += documents,
                // What is not known holds nothing back and lets nothing go.
                Err(error) => return tracing::warn!(collection = kind.name, ?error, "the backlog is not known"),
            }
        }
        let Pace { backlog, .. } = self.ground.pace;
        let hold = if self.held { waiting >= backlog / 10 * 9 } else { waiting > backlog };
        if hold != self.held {
            self.held = hold;
            self.ground.store.hold_events(hold);
            tracing::warn!(waiting, hold, "too many events wait, or no longer");
        }
        self.ground.meter.held(self.held);
    }

    async fn measure(&self, kind: &'static Collection) -> Result<u64> {
        let outbox = self.ground.store.outbox(&self.ground.across, kind).await?;
        self.ground.meter.lane(kind.name).waiting(&outbox);
        Ok(outbox.documents as u64)
    }
}
