//! What an engine promises. Bodies are canonical JSON text here; types and contexts are the business of `Store`.
//! Every call that touches documents takes the tenant first, and no driver type appears.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use kernel::{Error, Result, Tenant, Time};
use serde::{Deserialize, Serialize};

use crate::bell::Bell;
use crate::envelope::Envelope;
use crate::outbox::{Ack, Across, Claimed, Defer, Due, Lease, Outbox};
use crate::patch::{self, Numbers, Op, Test};
use crate::record::{Collection, Index, Key, Range};
use crate::sum::Summed as _;

/// Most events of a document that wait to be published.
pub const MAX_EVENTS: usize = 32;
/// Request ids that a document remembers.
pub const MAX_REMEMBERED: usize = 16;

/// A boxed answer, so that engines are objects.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Computes the key fields of a stored body, in the order of the declaration.
pub type Rekey = fn(&str) -> Result<Vec<Option<Key>>>;

/// A store of documents. Each call ends within ten seconds; only `define` and `sweep` are many calls in a row, and an index
/// over many documents takes as long as it takes, up to a bound of the engine's.
///
/// Errors of every call: `STORE_BUSY` (not begun), `STORE_SLOW` (a read that took too long), `STORE_BROKEN` (writes have
/// stopped), `STORE_FAILED` and `STORE_CORRUPT` (defects); of every write: `DISK_FULL` (not applied), `MAYBE_APPLIED`.
///
/// Documents are reached within one tenant only:
/// ```
/// # use {kernel::{Result, Tenant, Time}, storage::{Engine, Place, Stored}};
/// async fn get(engine: &dyn Engine, tenant: &Tenant, place: Place) -> Result<Option<Stored>> {
///     engine.get(tenant, place, Time::default()).await
/// }
/// ```
/// ```compile_fail,E0061
/// # use {kernel::{Result, Tenant, Time}, storage::{Engine, Place, Stored}};
/// async fn get(engine: &dyn Engine, place: Place) -> Result<Option<Stored>> {
///     engine.get(place, Time::default()).await
/// }
/// ```
pub trait Engine: fmt::Debug + Send + Sync + 'static {
    /// Makes the collection servable; idempotent. On a higher version than the stored one the keys of all documents are
    /// written anew by `rekey`, in small pieces between other changes and leaving versions, then missing indexes are built;
    /// broken off, it goes on where it was. A lower version than the stored one changes nothing.
    /// Errors: `COLLECTION_INVALID`, `DUPLICATES`.
    fn define(&self, collection: &'static Collection, rekey: Rekey) -> Answer<'_, ()>;

    /// Writes version 1 where no document, tombstone or burned id stands. An expired document without events gives way,
    /// also where it holds a unique key. Errors: `ALREADY_EXISTS`, `OUTBOX_FULL`.
    fn insert<'a>(&'a self, tenant: &'a Tenant, place: Place, write: Write) -> Answer<'a, Stored>;

    /// The document; none when absent, removed, or expired at `now`. Errors: `RECORD_CORRUPT`.
    fn get<'a>(&'a self, tenant: &'a Tenant, place: Place, now: Time) -> Answer<'a, Option<Stored>>;

    /// Writes the next version when the present one is `seen`; unique keys as in `insert`.
    /// Errors: `NOT_FOUND`, `VERSION_STALE`, `ALREADY_EXISTS`, `OUTBOX_FULL`.
    fn replace<'a>(&'a self, tenant: &'a Tenant, place: Place, seen: i64, write: Write) -> Answer<'a, Stored>;

    /// Removes the document when its version is `seen`; a tombstone stays while events wait or when ids burn.
    /// Errors: `NOT_FOUND`, `VERSION_STALE`, `OUTBOX_FULL`.
    fn remove<'a>(&'a self, tenant: &'a Tenant, place: Place, seen: i64, erase: Erase) -> Answer<'a, ()>;

    /// Changes the numbers of a counter: all conditions hold at the instant of the operations, and nothing else changes but
    /// an earlier due time, new events and the request id. Version and writer stay. A request id that is remembered
    /// changes nothing. Where no document is and one is given to be written, it is inserted with the operations applied
    /// to no numbers; any race makes one document.
    /// Errors: `NOT_FOUND`, `CONDITION_FALSE`, `NUMBER_OVERFLOW`, `NUMBERS_INVALID` when they become too many,
    /// `REQUEST_ID_REUSED`, `OUTBOX_FULL`, those of `insert`.
    fn patch<'a>(&'a self, tenant: &'a Tenant, place: Place, amend: Amend) -> Answer<'a, Amended>;

    /// Removes up to `limit` documents that are expired at `now` and have no waiting events, of all collections that were
    /// defined, in small pieces between other changes. Tombstones and burned ids stay; an expired document of a kind that
    /// burns its ids becomes a burned one. How many went.
    fn sweep<'a>(&'a self, across: &'a Across, limit: usize, now: Time) -> Answer<'a, usize>;

    /// One page in the order of an index. A page may be short; the end is where no cursor comes. Errors: `RECORD_CORRUPT`.
    fn find<'a>(&'a self, tenant: &'a Tenant, scan: Scan) -> Answer<'a, Rows>;

    /// How many documents a scan would list in all, counted up to its limit.
    fn count<'a>(&'a self, tenant: &'a Tenant, scan: Scan) -> Answer<'a, usize>;

    /// How the engine would serve this scan, in its own words.
    fn explain<'a>(&'a self, tenant: &'a Tenant, scan: Scan) -> Answer<'a, String>;

    /// What the last changes left under this id, whatever stands there: also a tombstone, a burned id or an expired document.
    /// The strongest read that the engine has, made after everything that this process sent before: linearizable with a time
    /// limit on a replica set, in the writer's own order on SQLite. `resolve` asks it after a lost reply; nothing else does.
    /// An engine answers `MAYBE_APPLIED` for every reply that it lost and need not look itself.
    fn trail<'a>(&'a self, tenant: &'a Tenant, place: Place) -> Answer<'a, Option<Trail>>;

    /// Leases up to `lease.limit` documents and tombstones whose time to publish (`obn`) has come at `lease.now`, those first
    /// that came first: `obn` moves to `lease.until` and `tries` grows by one, conditional on `obn` being what was read, so of
    /// many claims at once one gets a document. Version and writer stay. Also expired documents: expiry never eats events.
    /// May end early, after `MAX_CLAIM_BYTES` of events; nothing is due when nothing comes.
    ///
    /// Elsewhere a change with new events sets `obn` to its time only where that is later: it never cuts a lease short.
    fn claim<'a>(&'a self, across: &'a Across, collection: &'static Collection, lease: Lease) -> Answer<'a, Vec<Claimed>>;

    /// Drops these events by id; each document is one conditional update. None left: `obn` goes and `tries` is 0, and a
    /// tombstone goes, too, or becomes burned when its kind burns. Some left, and `obn` is still `ack.lease`: `obn` is `now`
    /// and `tries` is 0; under another lease both stay. An acknowledgement that drops nothing, or whose document is gone,
    /// changes nothing and is no error. Version and writer stay.
    fn ack<'a>(&'a self, across: &'a Across, collection: &'static Collection, acks: Vec<Ack>, now: Time) -> Answer<'a, ()>;

    /// Moves `obn` of each document to `until`, if it is still `lease`; `tries` stays. Another lease, or no document, is no
    /// error.
    fn defer<'a>(&'a self, across: &'a Across, collection: &'static Collection, defers: Vec<Defer>) -> Answer<'a, ()>;

    /// Documents that are due at `lease.now`, oldest first, each moved by a conditional update to be due at `lease.until`.
    /// Tombstones have no due time; expired documents are passed over. Version and writer stay.
    fn claim_due<'a>(&'a self, across: &'a Across, collection: &'static Collection, lease: Lease) -> Answer<'a, Vec<Due>>;

    /// How much waits to be published. What is tried at `parked_from` or later counts as parked.
    fn outbox<'a>(&'a self, across: &'a Across, collection: &'static Collection, parked_from: Time) -> Answer<'a, Outbox>;

    /// Up to `limit` documents whose next attempt is at `parked_from` or later, those first that come first. Leases nothing.
    fn parked<'a>(
        &'a self,
        across: &'a Across,
        collection: &'static Collection,
        parked_from: Time,
        limit: usize,
    ) -> Answer<'a, Vec<Claimed>>;

    /// Lets the events of a document be tried again: `obn` is `now`, `tries` is 0. Whether any wait there.
    fn replay<'a>(&'a self, tenant: &'a Tenant, place: Place, now: Time) -> Answer<'a, bool>;

    /// Drops all events of a document as if they had been acknowledged. How many.
    fn drop_events<'a>(&'a self, tenant: &'a Tenant, place: Place) -> Answer<'a, usize>;

    /// Up to `limit` envelopes behind this tenant and id, ordered by the bytes of the tenant, then of the id: of whatever
    /// stands there, removed and expired ones included. May be short; the end is where nothing comes. Errors:
    /// `RECORD_CORRUPT`, also where a body does not agree with its checksum.
    fn export<'a>(&'a self, across: &'a Across, collection: &'static Collection, part: Part) -> Answer<'a, Vec<Envelope>>;

    /// Puts each envelope in the place of whatever stands under its id, exactly as it is; one after the other, so some may be
    /// written when it fails. Twice is as once. Errors: `ALREADY_EXISTS` when another document holds a unique key.
    fn import<'a>(&'a self, across: &'a Across, collection: &'static Collection, envelopes: Vec<Envelope>) -> Answer<'a, ()>;

    /// Takes whatever stands under these ids away without a trace: events, tombstones and burned ids, too. For the target of
    /// a copy, when its source no longer has them.
    fn expunge<'a>(&'a self, across: &'a Across, collection: &'static Collection, ids: Vec<(Tenant, String)>) -> Answer<'a, ()>;

    /// Notes in the store, for whoever opens it next, whether it takes changes. Refuses nothing by itself.
    fn note_read_only(&self, on: bool) -> Answer<'_, ()>;

    /// What `note_read_only` noted last; not, where it never did.
    fn is_noted_read_only(&self) -> Answer<'_, bool>;

    /// A bell that rings after changes that brought events or a due time: on SQLite after their commit in this process, on a
    /// replica set by a change stream, else now and then.
    fn watch(&self) -> Bell;

    /// Whether the engine serves. Errors: `STORE_BROKEN`.
    fn ready(&self) -> Result<()>;

    /// What it has done since it was opened.
    fn metrics(&self) -> Metrics;
}

/// Where a document stands within its tenant.
#[derive(Clone, Debug)]
pub struct Place {
    /// The kind of document.
    pub collection: &'static Collection,
    /// Its id.
    pub id: String,
}

/// A document ready to be written.
#[derive(Clone, Debug)]
pub struct Write {
    /// Drawn once per change: tells our own write from another's.
    pub writer: i64,
    /// Canonical JSON.
    pub body: String,
    /// The numbers of a new counter.
    pub numbers: Numbers,
    /// Values of the declared key fields, in their order.
    pub keys: Vec<Option<Key>>,
    /// When it expires.
    pub expires: Option<Time>,
    /// When it wants attention.
    pub due: Option<Time>,
    /// New events.
    pub events: Vec<PendingEvent>,
    /// The request id; its version and time are set by `remember`.
    pub once: Option<OnceEntry>,
    /// The time of the change.
    pub now: Time,
}

/// A removal ready to be written.
#[derive(Clone, Debug)]
pub struct Erase {
    /// Drawn once per change.
    pub writer: i64,
    /// New events.
    pub events: Vec<PendingEvent>,
    /// The time of the change.
    pub now: Time,
}

/// A patch ready to be applied.
#[derive(Clone, Debug)]
pub struct Amend {
    /// All of them hold, or nothing changes.
    pub conditions: Vec<(String, Test)>,
    /// Written where no document is; its numbers, events and request id are those of this patch.
    pub otherwise: Option<Write>,
    /// At most one for each number.
    pub ops: Vec<(String, Op)>,
    /// When the document wants attention, unless it does earlier.
    pub due: Option<Time>,
    /// New events.
    pub events: Vec<PendingEvent>,
    /// The request id.
    pub once: Option<OnceEntry>,
    /// The time of the change.
    pub now: Time,
}

impl Amend {
    /// The numbers after this patch. Errors: `CONDITION_FALSE`, `NUMBER_OVERFLOW`, `NUMBERS_INVALID`.
    pub(crate) fn apply(&self, numbers: Numbers) -> Result<Numbers> {
        patch::admit(&self.conditions, &numbers)?;
        patch::apply(numbers, &self.ops)
    }

    /// The document to write where none is.
    pub(crate) fn inserted(mut self) -> Result<Option<Write>> {
        let Some(write) = self.otherwise.take() else { return Ok(None) };
        let numbers = self.apply(Numbers::new())?;
        Ok(Some(Write { numbers, due: earlier(write.due, self.due), events: self.events, once: self.once, ..write }))
    }
}

/// A document after a patch.
#[derive(Clone, Debug)]
pub struct Amended {
    /// As it is now.
    pub stored: Stored,
    /// Whether the request id was remembered and nothing was applied.
    pub repeat: bool,
}

/// An event that waits in its document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingEvent {
    /// `evt_…`, by which subscribers tell duplicates.
    pub id: String,
    /// What happened.
    pub kind: String,
    /// The protobuf message in base64url.
    pub payload: String,
    /// The version that the change made; a patch leaves the version that was.
    pub version: i64,
    /// When, in microseconds.
    pub at: i64,
    /// Its place among the events of its change, from 0.
    #[serde(default, skip_serializing_if = "is_first")]
    pub index: u32,
    /// The `traceparent` of the call that made the change; empty when it had none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trace: String,
    /// The checksum of all other fields, once `version` is set.
    pub sum: i64,
}

impl PendingEvent {
    /// This event of the change that made this version.
    pub(crate) fn at_version(self, version: i64) -> Self {
        let event = Self { version, ..self };
        Self { sum: event.expected(), ..event }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde asks
fn is_first(index: &u32) -> bool {
    *index == 0
}

/// What the last changes of a document left, for telling whether a change of ours is among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trail {
    /// Its version; a tombstone has one, too.
    pub version: i64,
    /// The writer token of the last change.
    pub writer: i64,
    /// Whether it is a tombstone or a burned id.
    pub deleted: bool,
    /// Remembered request ids, oldest first.
    pub once: Vec<OnceEntry>,
    /// The numbers of a counter.
    pub numbers: Numbers,
    /// Canonical JSON.
    pub body: String,
}

/// A part of a collection, to be exported.
#[derive(Clone, Debug)]
pub struct Part {
    /// Tenant and id after which it begins; none = at the beginning.
    pub after: Option<(String, String)>,
    /// Most envelopes, from 1.
    pub limit: usize,
}

/// A remembered request id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnceEntry {
    /// Actor and request id, hashed.
    pub id: String,
    /// What was asked, hashed.
    pub digest: String,
    /// The version that the change made.
    pub version: i64,
    /// When, in microseconds.
    pub at: i64,
    /// The checksum of all other fields, once `version` and `at` are set.
    pub sum: i64,
}

/// A document as stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its id.
    pub id: String,
    /// Its version, from 1.
    pub version: i64,
    /// Canonical JSON.
    pub body: String,
    /// The numbers of a counter.
    pub numbers: Numbers,
    /// Remembered request ids, oldest first.
    pub once: Vec<OnceEntry>,
}

/// A part of an index, to be read in order.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The kind of document.
    pub collection: &'static Collection,
    /// The index that serves.
    pub index: &'static Index,
    /// Values of the first keys of the index.
    pub prefix: Vec<Key>,
    /// A part of the next key.
    pub range: Option<Range>,
    /// From the end.
    pub descending: bool,
    /// Where the page before ended.
    pub after: Option<Cursor>,
    /// Most documents wanted, from 1.
    pub limit: usize,
    /// Documents expired at this time are skipped.
    pub now: Time,
}

/// A place in an index: the keys after the prefix, and the id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Values of the keys after the prefix.
    pub keys: Vec<Key>,
    /// The tie-breaker.
    pub id: String,
}

/// One page of documents.
#[derive(Clone, Debug)]
pub struct Rows {
    /// In the order of the index.
    pub items: Vec<Stored>,
    /// Where to go on; none at the end.
    pub next: Option<Cursor>,
}

/// Counters since the engine was opened, and sizes now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Changes asked for, refused ones included.
    pub changes: u64,
    /// Commits that held them.
    pub commits: u64,
    /// Reads that asked the database.
    pub reads: u64,
    /// Reads that a cache answered; not among `reads`.
    pub cache_hits: u64,
    /// Changes that wait for the writer.
    pub queued: u64,
    /// Reads that wait for a reader.
    pub reads_queued: u64,
    /// Bytes of the write-ahead log.
    pub wal_bytes: u64,
    /// Times that the log was moved into the database, as far as readers allowed.
    pub log_moves: u64,
    /// Times that changes were no longer acknowledged.
    pub stops: u64,
    /// Batches with a change that the full disk refused.
    pub full: u64,
    /// Documents that the sweeper removed.
    pub swept: u64,
    /// Changes of each commit.
    pub batch: Histogram,
    /// Microseconds of each commit: writing and syncing the log.
    pub commit_micros: Histogram,
}

impl Metrics {
    /// Upper bounds, inclusive, of the buckets of `batch`; the last bucket has none.
    pub const BATCH_BOUNDS: [u64; Histogram::BUCKETS - 1] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
    /// Upper bounds, inclusive, of the buckets of `commit_micros`; the last bucket has none.
    pub const COMMIT_MICROS_BOUNDS: [u64; Histogram::BUCKETS - 1] = [100, 250, 500, 1_000, 2_500, 10_000, 50_000, 250_000, 1_000_000];
}

/// How often values fell between bounds, and their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Values of each bucket, not added up.
    pub counts: [u64; Self::BUCKETS],
    /// Of all values.
    pub sum: u64,
}

impl Histogram {
    /// Buckets of each histogram.
    pub const BUCKETS: usize = 10;
}

/// The events that wait after new ones have joined. Errors: `OUTBOX_FULL`.
pub(crate) fn enqueue(mut waiting: Vec<PendingEvent>, new: Vec<PendingEvent>, version: i64) -> Result<Vec<PendingEvent>> {
    if waiting.len() + new.len() > MAX_EVENTS {
        return Err(Error::exhausted("OUTBOX_FULL", format!("more than {MAX_EVENTS} events wait to be published")));
    }
    waiting.extend(new.into_iter().map(|event| event.at_version(version)));
    Ok(waiting)
}

/// A change of a version that is no longer the present one.
pub(crate) fn stale(seen: i64, present: i64) -> Error {
    Error::stale("VERSION_STALE", format!("version {seen} was read, version {present} is present"))
}

/// The earlier of two times; a time is earlier than none.
pub(crate) fn earlier(one: Option<Time>, other: Option<Time>) -> Option<Time> {
    one.into_iter().chain(other).min()
}

/// Whether this request was met before. Errors: `REQUEST_ID_REUSED`.
pub(crate) fn repeats(known: &[OnceEntry], new: Option<&OnceEntry>) -> Result<bool> {
    let Some(new) = new else { return Ok(false) };
    match known.iter().find(|entry| entry.id == new.id) {
        None => Ok(false),
        Some(entry) if entry.digest == new.digest => Ok(true),
        Some(_) => Err(reused()),
    }
}

pub(crate) fn reused() -> Error {
    Error::refused("REQUEST_ID_REUSED", "the request id was used for another request")
}

/// The request ids remembered after a change, the oldest forgotten.
pub(crate) fn remember(mut known: Vec<OnceEntry>, new: Option<OnceEntry>, version: i64, now: Time) -> Vec<OnceEntry> {
    let entry = new.map(|entry| OnceEntry { version, at: now.micros(), ..entry });
    known.extend(entry.map(|entry| OnceEntry { sum: entry.expected(), ..entry }));
    let surplus = known.len().saturating_sub(MAX_REMEMBERED);
    known.drain(..surplus);
    known
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn events_without_a_place_or_a_trace_are_read_and_written_as_they_were() {
        let old = r#"{"id":"evt_1","kind":"a.b.c","payload":"CAE","version":2,"at":7,"sum":5}"#;
        let event: PendingEvent = serde_json::from_str(old).unwrap();
        assert_eq!((event.index, event.trace.as_str(), event.version), (0, "", 2));
        assert_eq!(serde_json::to_string(&event).unwrap(), old);
    }
}
