//! One collection's events: claimed, flown, and then acknowledged, put back or parked, many documents at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kernel::{Error, Result, Tenant, Time};
use storage::{Ack, Bell, Claimed, Collection, Defer, PARKED};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Ground;
use super::flight::{End, Landed, fly};
use crate::appetite::Appetite;
use crate::meter::LaneMeter;
use crate::pace::{TRIES, later};
use crate::stop::Stop;

/// Documents claimed beyond what a busy tenant may have, to come to those of others behind it, and how often: what it has
/// already is put back, which is work for nothing when there are no others.
const EXPLORE: usize = 16;
const EXPLORE_EVERY: Duration = Duration::from_millis(50);
/// Most documents whose uncounted tries are remembered.
const MAX_EXCUSED: usize = 10_000;

type Document = (Tenant, String);

pub(super) struct Lane {
    ground: Arc<Ground>,
    kind: &'static Collection,
    meter: Arc<LaneMeter>,
    stop: Stop,
    flights: JoinSet<Landed>,
    /// Flights of each tenant.
    shares: HashMap<Tenant, usize>,
    /// Claims that were no try: the bus was down, or a tenant had its share.
    excused: HashMap<Document, i64>,
    appetite: Appetite,
    /// Whether the bell rang while documents were in flight: what was added to them waits for their landing.
    rung: bool,
    /// Whether the last claim met a tenant that has its share already.
    crowded: bool,
    /// When more was claimed than a busy tenant may have.
    explored: Instant,
    /// Whether the store failed at the last call: said once, not for as long as it is away.
    troubled: bool,
}

impl Lane {
    pub(super) fn new(ground: Arc<Ground>, kind: &'static Collection, stop: Stop) -> Self {
        let meter = ground.meter.lane(kind.name);
        Self {
            ground,
            kind,
            meter,
            stop,
            flights: JoinSet::new(),
            shares: HashMap::new(),
            excused: HashMap::new(),
            appetite: Appetite::new(),
            rung: false,
            crowded: false,
            explored: Instant::now(),
            troubled: false,
        }
    }

    /// Works until told to stop, then lets flights end their event and gives back what they leave.
    pub(super) async fn run(mut self) {
        let mut bell = self.ground.store.watch();
        while !self.stop.is_said() {
            if self.may_claim() {
                self.claim().await;
            }
            if let Some(landed) = self.wait(&mut bell).await {
                self.settle(landed).await;
            }
        }
        self.finish().await;
    }

    fn may_claim(&self) -> bool {
        self.has_room() && self.appetite.looks()
    }

    fn has_room(&self) -> bool {
        self.limit() > 0 && self.ground.bus.ready().is_ok()
    }

    /// How much may be claimed now.
    fn limit(&self) -> usize {
        let room = self.ground.pace.flights.saturating_sub(self.flights.len());
        if !self.crowded {
            return room;
        }
        let explore = if self.explored.elapsed() >= EXPLORE_EVERY { EXPLORE } else { 0 };
        room.min(self.headroom() + explore)
    }

    /// Until something happens; what landed meanwhile, if anything.
    async fn wait(&mut self, bell: &mut Bell) -> Option<Vec<Landed>> {
        let mut wake = self.appetite.next(self.has_room(), self.ground.pace.poll);
        if self.crowded && self.limit() == 0 && self.flights.len() < self.ground.pace.flights {
            wake = wake.min(self.explored + EXPLORE_EVERY);
        }
        tokio::select! {
            () = self.stop.said() => None,
            Some(first) = self.flights.join_next() => {
                let mut landed: Vec<_> = first.into_iter().collect();
                while let Some(next) = self.flights.try_join_next() {
                    landed.extend(next);
                }
                Some(landed)
            }
            () = bell.rung() => {
                self.appetite.wake();
                self.rung = !self.flights.is_empty();
                None
            }
            () = tokio::time::sleep_until(wake) => {
                self.appetite.wake();
                None
            }
        }
    }

    async fn claim(&mut self) {
        let Ground { store, across, pace, .. } = &*self.ground;
        let (limit, looks) = (self.limit(), !self.crowded || self.explored.elapsed() >= EXPLORE_EVERY);
        let claimed = match store.claim(across, self.kind, limit, pace.relay_lease).await {
            Ok(claimed) => claimed,
            Err(error) => {
                self.crowded = false;
                self.appetite.ate(false, false);
                return self.trouble(Some(error));
            }
        };
        self.trouble(None);
        // A claim may end early; only an empty one says that nothing is due.
        let found = !claimed.is_empty();
        self.appetite.ate(found, found);
        let surplus = self.launch(claimed);
        // Only a look beyond the share of the busiest can tell that it has no more than its share.
        if looks {
            self.crowded = !surplus.is_empty();
            self.explored = Instant::now();
        }
        self.put_back(surplus).await;
    }

    /// Leases run out and events come again, so nothing is lost when the store fails.
    fn trouble(&mut self, error: Option<Error>) {
        if let Some(error) = error.as_ref().filter(|_| !self.troubled) {
            tracing::warn!(collection = self.kind.name, ?error, "the store failed the relay, which goes on trying");
        }
        self.troubled = error.is_some();
    }

    /// Begins a flight for each document, except for those of a tenant that has its share.
    fn launch(&mut self, claimed: Vec<Claimed>) -> Vec<Claimed> {
        let share = self.share();
        let mut surplus = Vec::new();
        for document in claimed {
            let flying = self.shares.entry(document.tenant.clone()).or_default();
            if *flying >= share {
                surplus.push(document);
                continue;
            }
            *flying += 1;
            self.flights.spawn(fly(self.ground.clone(), self.kind, document, self.stop.clone()));
        }
        surplus
    }

    /// Flights that one tenant may have.
    fn share(&self) -> usize {
        (self.ground.pace.flights * 3 / 4).max(1)
    }

    /// Flights that the busiest tenant may still begin.
    fn headroom(&self) -> usize {
        self.share().saturating_sub(self.shares.values().copied().max().unwrap_or(0))
    }

    async fn put_back(&mut self, surplus: Vec<Claimed>) {
        let now = self.ground.clock.now();
        let mut defers = Vec::new();
        for Claimed { tenant, id, lease, .. } in surplus {
            self.excuse(&tenant, &id);
            defers.push(Defer { tenant, id, lease, until: now });
        }
        self.write_down(Vec::new(), defers).await;
    }

    fn excuse(&mut self, tenant: &Tenant, id: &str) {
        if self.excused.len() >= MAX_EXCUSED {
            self.excused.clear();
        }
        *self.excused.entry((tenant.clone(), id.to_owned())).or_default() += 1;
    }

    /// Writes down how flights ended, all of them in two calls.
    async fn settle(&mut self, landed: Vec<Landed>) {
        let (mut acks, mut defers, mut left) = (Vec::new(), Vec::new(), false);
        for Landed { tenant, id, lease, tries, taken, end } in landed {
            if let Some(flying) = self.shares.get_mut(&tenant) {
                *flying = flying.saturating_sub(1);
            }
            self.meter.published(taken.len());
            if taken.is_empty() {
                let until = self.verdict((&tenant, &id), tries, end);
                defers.push(Defer { tenant, id, lease, until });
                continue;
            }
            // What is left is due again at once, and its first event has its first try then.
            left |= !matches!(end, End::Whole);
            self.excused.remove(&(tenant.clone(), id.clone()));
            acks.push(Ack { tenant, id, lease, events: taken });
        }
        self.shares.retain(|_, flying| *flying > 0);
        if self.flights.is_empty() {
            // A flight that ended by itself landed nowhere.
            self.shares.clear();
        }
        self.write_down(acks, defers).await;
        if left || std::mem::take(&mut self.rung) {
            self.appetite.wake();
        }
    }

    /// When a document of which nothing was taken is tried again.
    fn verdict(&mut self, (tenant, id): (&Tenant, &str), tries: i64, end: End) -> Time {
        let Ground { clock, pace, .. } = &*self.ground;
        let now = clock.now();
        let (kind, error) = match end {
            End::Failed { kind, error } => (kind, error),
            End::Down(error) => {
                tracing::debug!(collection = self.kind.name, ?error, "the bus is down");
                self.appetite.rest(pace.poll);
                self.excuse(tenant, id);
                return now;
            }
            End::BrokenOff | End::Whole => {
                self.excuse(tenant, id);
                return now;
            }
        };
        self.meter.failed();
        let document = (tenant.clone(), id.to_owned());
        let tries = tries - self.excused.get(&document).copied().unwrap_or(0);
        if tries < TRIES {
            let wait = pace.backoff.after(tries);
            let millis = wait.as_millis();
            tracing::warn!(collection = self.kind.name, %tenant, id, event = kind, tries, millis, ?error, "an event was not taken");
            return later(now, wait);
        }
        self.excused.remove(&document);
        self.meter.parked();
        tracing::warn!(collection = self.kind.name, %tenant, id, event = kind, tries, ?error, "the events of a document are parked");
        PARKED
    }

    async fn write_down(&mut self, acks: Vec<Ack>, defers: Vec<Defer>) {
        let Ground { store, across, .. } = &*self.ground;
        let written = async {
            if !acks.is_empty() {
                store.ack(across, self.kind, acks).await?;
            }
            if !defers.is_empty() {
                store.defer(across, self.kind, defers).await?;
            }
            Ok::<_, Error>(())
        };
        let written: Result<()> = written.await;
        self.trouble(written.err());
    }

    async fn finish(&mut self) {
        let end = Instant::now() + self.ground.pace.finish;
        let mut landed = Vec::new();
        while let Ok(Some(flight)) = tokio::time::timeout_at(end, self.flights.join_next()).await {
            landed.extend(flight);
        }
        // Cut off, what they did is not known: their leases run out.
        self.flights.shutdown().await;
        self.settle(landed).await;
    }
}
