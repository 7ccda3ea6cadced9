//! From due documents to the workers that wait for them: a lane for each worker, so that none waits for another.

use std::sync::Arc;

use kernel::{Cx, Result};
use storage::{Bell, Due};
use tokio::task::JoinSet;

use crate::appetite::Appetite;
use crate::contract::Worker;
use crate::hear::within;
use crate::meter::LaneMeter;
use crate::relay::Ground;
use crate::stop::Stop;

/// The documents of one worker. What fails, panics or is too slow is due again when its lease ends: the lease is the wait.
pub(crate) struct Shift {
    ground: Arc<Ground>,
    worker: Arc<dyn Worker>,
    meter: Arc<LaneMeter>,
    works: JoinSet<()>,
    appetite: Appetite,
}

impl Shift {
    pub(crate) fn new(ground: Arc<Ground>, worker: Arc<dyn Worker>) -> Self {
        let meter = ground.meter.lane(worker.kind().name);
        Self { ground, worker, meter, works: JoinSet::new(), appetite: Appetite::new() }
    }

    /// Works until told to stop, then lets what was begun end.
    pub(crate) async fn run(mut self, mut stop: Stop) {
        let mut bell = self.ground.store.watch();
        while !stop.is_said() {
            if self.has_room() && self.appetite.looks() {
                self.claim().await;
            }
            tokio::select! {
                () = stop.said() => {}
                () = self.wait(&mut bell) => {}
            }
        }
        let all = async { while self.works.join_next().await.is_some() {} };
        if tokio::time::timeout(self.ground.pace.finish, all).await.is_err() {
            tracing::warn!(collection = self.worker.kind().name, "work was cut off; it is due again when its lease ends");
        }
    }

    fn has_room(&self) -> bool {
        self.works.len() < self.ground.pace.works
    }

    async fn wait(&mut self, bell: &mut Bell) {
        // Most documents become due by the passing of time alone, which rings no bell.
        let wake = self.appetite.next(self.has_room(), self.ground.pace.poll);
        tokio::select! {
            Some(_) = self.works.join_next() => {}
            () = bell.rung() => self.appetite.wake(),
            () = tokio::time::sleep_until(wake) => self.appetite.wake(),
        }
    }

    async fn claim(&mut self) {
        let Ground { store, across, pace, clock, .. } = &*self.ground;
        let room = pace.works - self.works.len();
        match store.claim_due(across, self.worker.kind(), room, pace.work_lease).await {
            Ok(due) => {
                let more = due.len() == room;
                self.appetite.ate(!due.is_empty(), more);
                self.meter.behind(more, clock.now());
                for document in due {
                    self.works.spawn(work(self.ground.clone(), self.worker.clone(), self.meter.clone(), document));
                }
            }
            Err(error) => {
                self.appetite.ate(false, false);
                tracing::warn!(collection = self.worker.kind().name, ?error, "due documents were not claimed");
            }
        }
    }
}

async fn work(ground: Arc<Ground>, worker: Arc<dyn Worker>, meter: Arc<LaneMeter>, due: Due) {
    let collection = worker.kind().name;
    let cx = Cx::system(due.tenant.clone(), collection);
    let done: Result<()> = within(ground.pace.work_limit, || worker.work(&cx, &due.id)).await;
    meter.ran(done.is_ok());
    if let Err(error) = done {
        let seconds = ground.pace.work_lease.as_secs();
        tracing::warn!(collection, tenant = %due.tenant, id = due.id, seconds, ?error, "due work failed; it is due again when its lease ends");
    }
}
