//! A change as one value (document, events, request id) and a document as it was seen. No I/O.

use std::sync::Arc;

use kernel::{Error, Etag, Result, id};

use crate::engine::{OnceEntry, Stored};
use crate::patch::Numbers;

/// What a domain event says about a change, published after the change is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened, such as `identity.user.created`.
    pub kind: &'static str,
    /// The protobuf message of that kind.
    pub payload: Vec<u8>,
}

/// The caller's intent: a request id and what was asked under it.
#[derive(Clone, Debug)]
pub struct Once {
    request_id: String,
    digest: [u8; 32],
}

impl Once {
    /// Reads a request id; empty = none was given. `digest` covers the request without its id and etag.
    /// Errors: `REQUEST_ID_INVALID` when it is not 1 to 64 printable ASCII characters.
    pub fn of(request_id: &str, digest: [u8; 32]) -> Result<Option<Self>> {
        if request_id.is_empty() {
            return Ok(None);
        }
        if request_id.len() > 64 || !request_id.bytes().all(|b| b.is_ascii_graphic()) {
            let error = Error::invalid("REQUEST_ID_INVALID", "a request id is 1 to 64 printable ASCII characters");
            return Err(error.field("request_id", "must be 1 to 64 printable ASCII characters"));
        }
        Ok(Some(Self { request_id: request_id.to_owned(), digest }))
    }

    /// What a document remembers of it. An actor's request ids are its own: another's equal id is another id.
    pub(crate) fn entry(&self, actor: &str) -> OnceEntry {
        OnceEntry { id: hex_half(&id::digest(&[actor, &self.request_id])), digest: hex_half(&self.digest), ..OnceEntry::default() }
    }
}

/// 128 bits in lower-case hex: enough that no two meet, and short, since a document keeps 16 of them.
fn hex_half(digest: &[u8; 32]) -> String {
    digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A new body with its events and its request id, to be applied together or not at all.
#[derive(Clone, Debug)]
pub struct Change<T> {
    pub(crate) body: T,
    pub(crate) numbers: Numbers,
    pub(crate) events: Vec<Event>,
    pub(crate) once: Option<Once>,
}

impl<T> Change<T> {
    /// A change to this body.
    pub fn of(body: T) -> Self {
        Self { body, numbers: Numbers::new(), events: Vec::new(), once: None }
    }

    /// Gives a new counter a number.
    #[must_use]
    pub fn number(mut self, name: &str, value: i64) -> Self {
        self.numbers.insert(name.to_owned(), value);
        self
    }

    /// Adds an event.
    #[must_use]
    pub fn event(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }

    /// Gives the request id, if the caller sent one.
    #[must_use]
    pub fn once(mut self, once: Option<Once>) -> Self {
        self.once = once;
        self
    }

    /// The new body.
    pub fn body(&self) -> &T {
        &self.body
    }
}

/// The events that go with a removal.
#[derive(Clone, Debug, Default)]
pub struct Removal {
    pub(crate) events: Vec<Event>,
}

impl Removal {
    /// A removal without events.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event.
    #[must_use]
    pub fn event(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }
}

/// Whether a document has met a request id, among the last 16 changes that had one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// No.
    No,
    /// Yes, for the same request.
    Same,
    /// Yes, for another request.
    Other,
}

/// A document as it was read or written.
#[derive(Clone, Debug)]
pub struct Seen<T> {
    /// Its id within tenant and collection.
    pub id: String,
    /// Its version, from 1.
    pub version: i64,
    /// Its body.
    pub body: T,
    /// The numbers of a counter; empty on all others.
    pub numbers: Numbers,
    /// Whether `Store::change` or `Store::patch` met a repeated request and applied nothing.
    pub repeat: bool,
    once: Vec<OnceEntry>,
    actor: Arc<str>,
}

impl<T> Seen<T> {
    pub(crate) fn new(stored: Stored, body: T, actor: Arc<str>) -> Self {
        Self { id: stored.id, version: stored.version, body, numbers: stored.numbers, repeat: false, once: stored.once, actor }
    }

    /// The version as callers see it.
    pub fn etag(&self) -> Etag {
        Etag::of(self.version)
    }

    /// Whether the document has met this request id of the actor that read it.
    pub fn remembers(&self, once: &Once) -> Remembered {
        let asked = once.entry(&self.actor);
        match self.once.iter().find(|known| known.id == asked.id) {
            None => Remembered::No,
            Some(known) if known.digest == asked.digest => Remembered::Same,
            Some(_) => Remembered::Other,
        }
    }
}

/// Which unique index an `ALREADY_EXISTS` error of a write met; `_id` for the id itself.
pub fn taken(error: &Error) -> Option<&str> {
    std::error::Error::source(error)?.downcast_ref::<Taken>().map(|taken| taken.0)
}

#[derive(Debug)]
struct Taken(&'static str);

impl std::fmt::Display for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "index {} holds another document", self.0)
    }
}

impl std::error::Error for Taken {}

/// The error of a write that met another document in this index.
pub(crate) fn already_exists(index: &'static str) -> Error {
    Error::exists("ALREADY_EXISTS", "it exists already").because(Taken(index))
}
