//! A whole document as every engine stores it, to be carried from one store into another. Plain data.

use kernel::{Error, Result, Tenant, Time, id};
use serde::{Deserialize, Serialize};

use crate::engine::{OnceEntry, PendingEvent};
use crate::patch::Numbers;
use crate::record::Key;
use crate::sum::Covered;

/// Whether a document is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Life {
    /// It is.
    Present,
    /// Removed, with events that wait.
    Draining,
    /// Removed, and kept because its id is never given twice.
    Burned,
}

/// A document, a tombstone or a burned id with all that belongs to it. Its checksum is checked when it is exported and made
/// anew when it is imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Whose document it is.
    pub tenant: String,
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: i64,
    /// The writer token of its last change.
    pub writer: i64,
    /// Whether it is there.
    pub life: Life,
    /// Canonical JSON; empty when removed.
    pub body: String,
    /// The numbers of a counter.
    pub numbers: Numbers,
    /// Values of the declared key fields, in their order.
    pub keys: Vec<Option<Key>>,
    /// When it expires, in microseconds.
    pub expires: Option<i64>,
    /// When it wants attention, in microseconds.
    pub due: Option<i64>,
    /// When its events are tried next, in microseconds; present exactly while some wait.
    pub publish: Option<i64>,
    /// Attempts since the last acknowledgement.
    pub tries: i64,
    /// Events that wait, in order.
    pub events: Vec<PendingEvent>,
    /// Remembered request ids, oldest first.
    pub once: Vec<OnceEntry>,
}

impl Envelope {
    /// The same for the same content in any engine and any process.
    pub fn digest(&self) -> Result<[u8; 32]> {
        let text =
            serde_json::to_string(self).map_err(|cause| Error::internal("STORE_FAILED", "an envelope was not encoded").because(cause))?;
        Ok(id::digest(&[&text]))
    }

    /// What a checksum of it covers, with its numbers in the words of the engine.
    pub(crate) fn covered<'a>(&'a self, numbers: &'a str) -> Covered<'a> {
        let Self { tenant, id, version, writer, expires, body, .. } = self;
        Covered { tenant, id, version: *version, writer: *writer, expires: *expires, numbers, body }
    }

    /// The tenant and the times in the words of the house. Errors: `RECORD_CORRUPT` when the tenant is none.
    pub(crate) fn owner(&self) -> Result<Tenant> {
        Tenant::parse(&self.tenant).map_err(|cause| Error::internal("RECORD_CORRUPT", "an envelope names no tenant").because(cause))
    }

    /// When it expires.
    pub fn expires(&self) -> Option<Time> {
        self.expires.map(Time::from_micros)
    }
}
