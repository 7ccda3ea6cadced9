//! An engine that fails on demand, for tests of everything above it: each method asks the fail point `storage::{method}`.
//! Arguments: `unavailable` and `maybe` (not applied), `lost` (applied, and the reply goes astray).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kernel::{Error, Result, Tenant, Time};

use crate::bell::Bell;
use crate::engine::{Amend, Amended, Answer, Engine, Erase, Metrics, Part, Place, Rekey, Rows, Scan, Stored, Trail, Write};
use crate::envelope::Envelope;
use crate::outbox::{Ack, Across, Claimed, Defer, Due, Lease, Outbox};
use crate::record::Collection;
use crate::resolve::maybe_applied;

/// Stands before an engine. `FAILPOINTS="storage::insert=0.5%return(lost)"` loses one reply of 200; reads know
/// `unavailable` alone and take any argument for it. A point that is not set, or has another argument, changes nothing.
/// Every store that is opened has one before its engine.
#[derive(Clone, Debug)]
pub struct FaultStore(Arc<dyn Engine>);

/// Counts for the whole process, as its points do.
static FAULTS: AtomicU64 = AtomicU64::new(0);

/// How often a method of an engine has failed on demand in this process.
pub fn faults() -> u64 {
    FAULTS.load(Ordering::Relaxed)
}

enum Fault {
    Unavailable,
    Maybe,
    Lost,
}

impl FaultStore {
    /// Stands before this engine.
    pub fn over(engine: Arc<dyn Engine>) -> Self {
        Self(engine)
    }
}

fn asked(point: &str) -> Option<Fault> {
    let fault = at(point);
    FAULTS.fetch_add(fault.is_some().into(), Ordering::Relaxed);
    fault
}

fn at(point: &str) -> Option<Fault> {
    fail::fail_point!(point, |argument| match argument.as_deref() {
        Some("unavailable") => Some(Fault::Unavailable),
        Some("maybe") => Some(Fault::Maybe),
        Some("lost") => Some(Fault::Lost),
        _ => None,
    });
    None
}

fn unavailable() -> Error {
    Error::unavailable("STORE_BUSY", "the store is busy; nothing was changed")
}

fn change<'a, T: Send + 'a>(point: &'static str, call: Answer<'a, T>) -> Answer<'a, T> {
    Box::pin(async move {
        match asked(point) {
            None => call.await,
            Some(Fault::Unavailable) => Err(unavailable()),
            Some(Fault::Maybe) => Err(maybe_applied()),
            Some(Fault::Lost) => call.await.and_then(|_| Err(maybe_applied())),
        }
    })
}

fn read<'a, T: Send + 'a>(point: &'static str, call: Answer<'a, T>) -> Answer<'a, T> {
    Box::pin(async move { if asked(point).is_some() { Err(unavailable()) } else { call.await } })
}

impl Engine for FaultStore {
    fn define(&self, collection: &'static Collection, rekey: Rekey) -> Answer<'_, ()> {
        change("storage::define", self.0.define(collection, rekey))
    }

    fn insert<'a>(&'a self, tenant: &'a Tenant, place: Place, write: Write) -> Answer<'a, Stored> {
        change("storage::insert", self.0.insert(tenant, place, write))
    }

    fn get<'a>(&'a self, tenant: &'a Tenant, place: Place, now: Time) -> Answer<'a, Option<Stored>> {
        read("storage::get", self.0.get(tenant, place, now))
    }

    fn replace<'a>(&'a self, tenant: &'a Tenant, place: Place, seen: i64, write: Write) -> Answer<'a, Stored> {
        change("storage::replace", self.0.replace(tenant, place, seen, write))
    }

    fn remove<'a>(&'a self, tenant: &'a Tenant, place: Place, seen: i64, erase: Erase) -> Answer<'a, ()> {
        change("storage::remove", self.0.remove(tenant, place, seen, erase))
    }

    fn patch<'a>(&'a self, tenant: &'a Tenant, place: Place, amend: Amend) -> Answer<'a, Amended> {
        change("storage::patch", self.0.patch(tenant, place, amend))
    }

    fn sweep<'a>(&'a self, across: &'a Across, limit: usize, now: Time) -> Answer<'a, usize> {
        change("storage::sweep", self.0.sweep(across, limit, now))
    }

    fn find<'a>(&'a self, tenant: &'a Tenant, scan: Scan) -> Answer<'a, Rows> {
        read("storage::find", self.0.find(tenant, scan))
    }

    fn count<'a>(&'a self, tenant: &'a Tenant, scan: Scan) -> Answer<'a, usize> {
        read("storage::count", self.0.count(tenant, scan))
    }

    fn explain<'a>(&'a self, tenant: &'a Tenant, scan: Scan) -> Answer<'a, String> {
        read("storage::explain", self.0.explain(tenant, scan))
    }

    fn trail<'a>(&'a self, tenant: &'a Tenant, place: Place) -> Answer<'a, Option<Trail>> {
        read("storage::trail", self.0.trail(tenant, place))
    }

    fn claim<'a>(&'a self, across: &'a Across, collection: &'static Collection, lease: Lease) -> Answer<'a, Vec<Claimed>> {
        change("storage::claim", self.0.claim(across, collection, lease))
    }

    fn ack<'a>(&'a self, across: &'a Across, collection: &'static Collection, acks: Vec<Ack>, now: Time) -> Answer<'a, ()> {
        change("storage::ack", self.0.ack(across, collection, acks, now))
    }

    fn defer<'a>(&'a self, across: &'a Across, collection: &'static Collection, defers: Vec<Defer>) -> Answer<'a, ()> {
        change("storage::defer", self.0.defer(across, collection, defers))
    }

    fn claim_due<'a>(&'a self, across: &'a Across, collection: &'static Collection, lease: Lease) -> Answer<'a, Vec<Due>> {
        change("storage::claim_due", self.0.claim_due(across, collection, lease))
    }

    fn outbox<'a>(&'a self, across: &'a Across, collection: &'static Collection, parked_from: Time) -> Answer<'a, Outbox> {
        read("storage::outbox", self.0.outbox(across, collection, parked_from))
    }

    fn parked<'a>(
        &'a self,
        across: &'a Across,
        collection: &'static Collection,
        parked_from: Time,
        limit: usize,
    ) -> Answer<'a, Vec<Claimed>> {
        read("storage::parked", self.0.parked(across, collection, parked_from, limit))
    }

    fn replay<'a>(&'a self, tenant: &'a Tenant, place: Place, now: Time) -> Answer<'a, bool> {
        change("storage::replay", self.0.replay(tenant, place, now))
    }

    fn drop_events<'a>(&'a self, tenant: &'a Tenant, place: Place) -> Answer<'a, usize> {
        change("storage::drop_events", self.0.drop_events(tenant, place))
    }

    fn export<'a>(&'a self, across: &'a Across, collection: &'static Collection, part: Part) -> Answer<'a, Vec<Envelope>> {
        read("storage::export", self.0.export(across, collection, part))
    }

    fn import<'a>(&'a self, across: &'a Across, collection: &'static Collection, envelopes: Vec<Envelope>) -> Answer<'a, ()> {
        change("storage::import", self.0.import(across, collection, envelopes))
    }

    fn expunge<'a>(&'a self, across: &'a Across, collection: &'static Collection, ids: Vec<(Tenant, String)>) -> Answer<'a, ()> {
        change("storage::expunge", self.0.expunge(across, collection, ids))
    }

    fn note_read_only(&self, on: bool) -> Answer<'_, ()> {
        change("storage::note_read_only", self.0.note_read_only(on))
    }

    fn is_noted_read_only(&self) -> Answer<'_, bool> {
        read("storage::is_noted_read_only", self.0.is_noted_read_only())
    }

    fn watch(&self) -> Bell {
        self.0.watch()
    }

    fn ready(&self) -> Result<()> {
        self.0.ready()
    }

    fn metrics(&self) -> Metrics {
        self.0.metrics()
    }
}
