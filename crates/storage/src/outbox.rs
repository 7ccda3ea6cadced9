//! What is carried between a store and those who work across tenants: claims on events and on due documents. Plain data.

use kernel::{Tenant, Time};

use crate::engine::PendingEvent;

/// The right to reach across tenants: for relay, scheduler, sweeper and backup.
/// Nobody makes one but by `granted`:
/// ```
/// let across = storage::Across::granted();
/// ```
/// ```compile_fail,E0423
/// let across = storage::Across(());
/// ```
#[derive(Clone, Debug)]
pub struct Across(());

impl Across {
    /// Grants the right. For node alone, and for tests.
    pub fn granted() -> Self {
        Self(())
    }
}

/// Where a relay parks a document whose events cannot be published: the year 9999. `Store::parked` lists what waits more
/// than a year ahead.
pub const PARKED: Time = Time::from_seconds(253_402_300_799);

/// How much is claimed and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// Most documents, from 1 to `MAX_CLAIM`.
    pub limit: usize,
    /// The present time: what is due by now is claimed.
    pub now: Time,
    /// When the lease ends; later than `now`.
    pub until: Time,
}

/// Most documents of one claim.
pub const MAX_CLAIM: usize = 512;
/// Bytes of events after which a claim ends early.
pub const MAX_CLAIM_BYTES: usize = 4 * 1024 * 1024;

/// A document whose events are to be published, leased to whoever claimed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Whose document it is.
    pub tenant: Tenant,
    /// Its id.
    pub id: String,
    /// Its version now.
    pub version: i64,
    /// Claims since the last acknowledgement or replay, this one included.
    pub tries: i64,
    /// When the lease ends; names this claim in `Ack` and `Defer`. In `Store::parked`: the time of the next attempt.
    pub lease: Time,
    /// All that wait, in the order in which they happened.
    pub events: Vec<PendingEvent>,
}

/// Events of one document that were published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Whose document it is.
    pub tenant: Tenant,
    /// Its id.
    pub id: String,
    /// The lease under which they were published.
    pub lease: Time,
    /// Their ids.
    pub events: Vec<String>,
}

/// A document whose events are to be tried again later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defer {
    /// Whose document it is.
    pub tenant: Tenant,
    /// Its id.
    pub id: String,
    /// The lease of the claim.
    pub lease: Time,
    /// When to try again; `PARKED` to wait for an operator.
    pub until: Time,
}

/// A document that wants attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Whose document it is.
    pub tenant: Tenant,
    /// Its id.
    pub id: String,
    /// Its version when it was claimed.
    pub version: i64,
}

/// What waits to be published in one kind of document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outbox {
    /// Documents with events that wait, parked ones included.
    pub documents: usize,
    /// Those among them whose next attempt is more than a year ahead.
    pub parked: usize,
    /// When the oldest event happened that is not parked. Of more than 10,000 documents those next in turn are looked at.
    pub oldest: Option<Time>,
}

/// How one part of an index is read, in the engine's words.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The kind of document.
    pub kind: &'static str,
    /// The index.
    pub index: &'static str,
    /// How the engine would read it.
    pub words: String,
    /// Whether it reads that index alone, from the place where the page before ended, and sorts nothing.
    pub served: bool,
}
