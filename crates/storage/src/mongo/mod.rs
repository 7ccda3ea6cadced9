//! The engine for clusters: MongoDB, standalone, replica set or sharded. One document is one conditional operation, acknowledged
//! by a majority that has it on disk. No type of the driver leaves this module.

mod bell;
mod changes;
mod copies;
mod counter;
mod document;
mod fault;
mod health;
mod link;
mod look;
mod outbox;
mod reads;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kernel::{Result, Tenant, Time};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use self::fault::plainly;
pub use self::link::Sent;
use self::link::{Call, Link};
pub use self::look::{Look, Shape, look};
use crate::bell::{Bell, Ringer};
use crate::engine::{Amend, Amended, Answer, Engine, Erase, Metrics, Part, Place, Rekey, Rows, Scan, Stored, Trail, Write};
use crate::envelope::Envelope;
use crate::outbox::{Ack, Across, Claimed, Defer, Due, Lease, Outbox};
use crate::record::Collection;

/// Documents of one piece of the sweeper's work.
const SWEEP_BATCH: usize = 128;

/// Hears the name of each command that is sent, tries of the driver included: for counting round trips.
pub type Observer = Arc<dyn Fn(&str) + Send + Sync>;

/// Where the documents are.
#[derive(Clone)]
pub struct Settings {
    /// `mongodb://…` or `mongodb+srv://…`. A secret: it holds credentials, and is never shown.
    pub uri: String,
    /// The database that holds the collections.
    pub database: String,
    /// How long a server may be silent before it counts as dead; calls that wait on it end then. 2 s.
    pub dead_after: Duration,
    /// After how long a call is given up whose server lives, so that its answer comes within ten seconds. 9.5 s.
    pub longest_call: Duration,
    /// For tests and measurements.
    pub observer: Option<Observer>,
}

impl Settings {
    /// A database of this server.
    pub fn new(uri: impl Into<String>, database: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            database: database.into(),
            dead_after: Duration::from_secs(2),
            longest_call: Duration::from_millis(9_500),
            observer: None,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("database", &self.database).finish_non_exhaustive()
    }
}

/// A database of a MongoDB server. Dropping it lets go of the connections.
#[derive(Debug)]
pub struct Mongo {
    link: Link,
    defined: Mutex<Vec<&'static Collection>>,
    ringer: Ringer,
    /// Rings for the changes of others, from the first bell on.
    watcher: Mutex<Option<JoinHandle<()>>>,
    runtime: Handle,
    changes: AtomicU64,
    reads: AtomicU64,
    swept: AtomicU64,
}

impl Mongo {
    /// Connects and finds out what kind of server it is. Whatever the address says, changes are acknowledged by a majority
    /// that has them on disk, and reads go to the primary. Errors: `STORE_UNUSABLE` when nobody answers within two seconds
    /// or the credentials are refused, `STORE_NEWER`; none names the address.
    pub async fn connect(settings: Settings) -> Result<Self> {
        let link = Link::open(&settings).await?;
        plainly(schema::prepare(link.begin("connect")).await)?;
        Ok(Self {
            link,
            defined: Mutex::default(),
            ringer: Ringer::new(),
            watcher: Mutex::default(),
            runtime: Handle::current(),
            changes: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            swept: AtomicU64::new(0),
        })
    }

    /// Whether it is a server by itself: neither a replica set nor sharded.
    pub fn is_standalone(&self) -> bool {
        self.link.standalone
    }

    /// What was asked of the server so far, by method.
    pub fn sent(&self) -> BTreeMap<&'static str, Sent> {
        self.link.sent()
    }

    fn change(&self, method: &'static str) -> Call<'_> {
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.link.begin(method)
    }

    fn read(&self, method: &'static str) -> Call<'_> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.link.begin(method)
    }

    fn defined(&self) -> Vec<&'static Collection> {
        self.defined.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn define_now(&self, collection: &'static Collection, rekey: Rekey) -> Result<()> {
        schema::define(self.link.begin("define"), collection, rekey).await?;
        let mut defined = self.defined.lock().unwrap_or_else(PoisonError::into_inner);
        if defined.iter().all(|known| known.name != collection.name) {
            defined.push(collection);
        }
        Ok(())
    }

    async fn sweep_now(&self, limit: usize, now: Time) -> Result<usize> {
        let mut swept = 0;
        for collection in self.defined() {
            let mut more = true;
            while more && swept < limit {
                let few = (limit - swept).min(SWEEP_BATCH);
                let (gone, rest) = plainly(changes::sweep(self.link.begin("sweep"), collection, few, now).await)?;
                self.swept.fetch_add(gone as u64, Ordering::Relaxed);
                (swept, more) = (swept + gone, rest);
            }
        }
        Ok(swept)
    }

    /// Rings for a change of this process, without waiting for the server to tell.
    fn rung<T>(&self, worth: bool, done: Result<T>) -> Result<T> {
        if worth {
            self.ringer.ring();
        }
        done
    }
}

impl Engine for Mongo {
    fn define(&self, collection: &'static Collection, rekey: Rekey) -> Answer<'_, ()> {
        Box::pin(self.define_now(collection, rekey))
    }

    fn insert<'a>(&'a self, tenant: &'a Tenant, place: Place, write: Write) -> Answer<'a, Stored> {
        Box::pin(async move {
            let worth = outbox::rings(&write.events, write.due);
            self.rung(worth, plainly(changes::insert(self.change("insert"), tenant, &place, &write).await))
        })
    }

    fn get<'a>(&'a self, tenant: &'a Tenant, place: Place, now: Time) -> Answer<'a, Option<Stored>> {
        Box::pin(async move { plainly(reads::get(self.read("get"), tenant, &place, now).await) })
    }

    fn replace<'a>(&'a self, tenant: &'a Tenant, place: Place, seen: i64, write: Write) -> Answer<'a, Stored> {
        Box::pin(async move {
            let worth = outbox::rings(&write.events, write.due);
            self.rung(worth, plainly(changes::replace(self.change("replace"), tenant, &place, seen, &write).await))
        })
    }

    fn remove<'a>(&'a self, tenant: &'a Tenant, place: Place, seen: i64, erase: Erase) -> Answer<'a, ()> {
        Box::pin(async move {
            let worth = outbox::rings(&erase.events, None);
            self.rung(worth, plainly(changes::remove(self.change("remove"), tenant, &place, seen, &erase).await))
        })
    }

    fn patch<'a>(&'a self, tenant: &'a Tenant, place: Place, amend: Amend) -> Answer<'a, Amended> {
        Box::pin(async move {
            let worth = outbox::rings(&amend.events, amend.due) || amend.otherwise.as_ref().is_some_and(|write| write.due.is_some());
            self.rung(worth, plainly(counter::patch(self.change("patch"), tenant, &place, amend).await))
        })
    }

    fn sweep<'a>(&'a self, _: &'a Across, limit: usize, now: Time) -> Answer<'a, usize> {
        Box::pin(self.sweep_now(limit, now))
    }

    fn find<'a>(&'a self, tenant: &'a Tenant, scan: Scan) -> Answer<'a, Rows> {
        Box::pin(async move { plainly(reads::find(self.read("find"), tenant, &scan).await) })
    }

    fn count<'a>(&'a self, tenant: &'a Tenant, scan: Scan) -> Answer<'a, usize> {
        Box::pin(async move { plainly(reads::count(self.read("count"), tenant, &scan).await) })
    }

    fn explain<'a>(&'a self, tenant: &'a Tenant, scan: Scan) -> Answer<'a, String> {
        Box::pin(async move { plainly(reads::explain(self.read("explain"), tenant, &scan).await) })
    }

    fn trail<'a>(&'a self, tenant: &'a Tenant, place: Place) -> Answer<'a, Option<Trail>> {
        Box::pin(async move { plainly(reads::trail(self.read("trail"), tenant, &place).await) })
    }

    fn claim<'a>(&'a self, _: &'a Across, collection: &'static Collection, lease: Lease) -> Answer<'a, Vec<Claimed>> {
        Box::pin(async move { plainly(outbox::claim(self.link.begin("claim"), collection, lease).await) })
    }

    fn ack<'a>(&'a self, _: &'a Across, collection: &'static Collection, acks: Vec<Ack>, now: Time) -> Answer<'a, ()> {
        Box::pin(async move { plainly(outbox::ack(self.link.begin("ack"), collection, acks, now).await) })
    }

    fn defer<'a>(&'a self, _: &'a Across, collection: &'static Collection, defers: Vec<Defer>) -> Answer<'a, ()> {
        Box::pin(async move { plainly(outbox::defer(self.link.begin("defer"), collection, defers).await) })
    }

    fn claim_due<'a>(&'a self, _: &'a Across, collection: &'static Collection, lease: Lease) -> Answer<'a, Vec<Due>> {
        Box::pin(async move { plainly(outbox::claim_due(self.link.begin("claim_due"), collection, lease).await) })
    }

    fn outbox<'a>(&'a self, _: &'a Across, collection: &'static Collection, parked_from: Time) -> Answer<'a, Outbox> {
        Box::pin(async move { plainly(outbox::outbox(self.link.begin("outbox"), collection, parked_from).await) })
    }

    fn parked<'a>(&'a self, _: &'a Across, collection: &'static Collection, parked_from: Time, limit: usize) -> Answer<'a, Vec<Claimed>> {
        Box::pin(async move { plainly(outbox::parked(self.link.begin("parked"), collection, parked_from, limit).await) })
    }

    fn replay<'a>(&'a self, tenant: &'a Tenant, place: Place, now: Time) -> Answer<'a, bool> {
        Box::pin(async move { self.rung(true, plainly(outbox::replay(self.link.begin("replay"), tenant, &place, now).await)) })
    }

    fn drop_events<'a>(&'a self, tenant: &'a Tenant, place: Place) -> Answer<'a, usize> {
        Box::pin(async move { plainly(outbox::drop_events(self.link.begin("drop_events"), tenant, &place).await) })
    }

    fn export<'a>(&'a self, _: &'a Across, collection: &'static Collection, part: Part) -> Answer<'a, Vec<Envelope>> {
        Box::pin(async move { plainly(copies::export(self.link.begin("export"), collection, part).await) })
    }

    fn import<'a>(&'a self, _: &'a Across, collection: &'static Collection, envelopes: Vec<Envelope>) -> Answer<'a, ()> {
        Box::pin(async move { self.rung(true, plainly(copies::import(self.link.begin("import"), collection, envelopes).await)) })
    }

    fn expunge<'a>(&'a self, _: &'a Across, collection: &'static Collection, ids: Vec<(Tenant, String)>) -> Answer<'a, ()> {
        Box::pin(async move { plainly(copies::expunge(self.link.begin("expunge"), collection, ids).await) })
    }

    fn note_read_only(&self, on: bool) -> Answer<'_, ()> {
        Box::pin(async move { plainly(schema::note_read_only(self.link.begin("note_read_only"), on).await) })
    }

    fn is_noted_read_only(&self) -> Answer<'_, bool> {
        Box::pin(async move { plainly(schema::is_noted_read_only(self.link.begin("is_noted_read_only")).await) })
    }

    fn watch(&self) -> Bell {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        watcher.get_or_insert_with(|| {
            let rings = bell::ring(self.link.database.clone(), self.link.standalone, self.ringer.clone());
            self.runtime.spawn(rings)
        });
        self.ringer.bell()
    }

    fn ready(&self) -> Result<()> {
        self.link.health.ready()
    }

    fn metrics(&self) -> Metrics {
        Metrics {
            changes: self.changes.load(Ordering::Relaxed),
            commits: self.link.writes(),
            reads: self.reads.load(Ordering::Relaxed),
            stops: self.link.health.stops(),
            swept: self.swept.load(Ordering::Relaxed),
            ..Metrics::default()
        }
    }
}

impl Drop for Mongo {
    fn drop(&mut self) {
        if let Some(watcher) = self.watcher.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            watcher.abort();
        }
    }
}
