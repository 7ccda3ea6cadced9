//! What services, buses and the relay promise each other. No behaviour.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use kernel::{Cx, Error, Result};
use storage::{Answer, Collection};

use crate::event::Delivered;

/// Hears events of some kinds. Called at least once for each event, in order within one aggregate, and for many aggregates
/// at once; an error, a panic or ten seconds without an answer make the event come again, later events of its aggregate
/// waiting behind it, until it is parked after eight tries.
///
/// `Ok` says that the effect is on disk. Duplicates are told by `Delivered::mark` in the document of the effect, written in
/// the same change; where there is no such document, by an `Inbox`.
pub trait Subscriber: Send + Sync + 'static {
    /// `area.purpose`, such as `identity.tidy`; also the consumer group at a broker, so it stays for ever.
    fn name(&self) -> &'static str;

    /// The exact kinds it wants to hear.
    fn kinds(&self) -> &'static [&'static str];

    /// Does what the event asks for. `cx` is `Cx::system` of the event's tenant under the subscriber's name.
    fn hear<'a>(&'a self, cx: &'a Cx, event: &'a Delivered) -> Answer<'a, ()>;
}

/// Does the work of documents whose `due` has come, under a lease of 60 seconds and within 45. Safe to run twice, also at
/// once. What fails or panics comes again when the lease is over.
pub trait Worker: Send + Sync + 'static {
    /// The kind of document; one worker each.
    fn kind(&self) -> &'static Collection;

    /// Reads the document, decides, and changes it so that its next `due` is set or cleared. `cx` is `Cx::system` of the
    /// document's tenant. A document that is gone, or no longer due, is no error.
    fn work<'a>(&'a self, cx: &'a Cx, id: &'a str) -> Answer<'a, ()>;
}

/// Why a bus did not take an event.
#[derive(Debug)]
pub enum Refusal {
    /// It takes nothing at present. Not the fault of the event, so no try is counted.
    Down(Error),
    /// It could not be brought home; the next try may.
    Failed(Error),
}

/// Whether a bus took an event, boxed, so that buses are objects.
pub type Taken<'a> = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>>;

/// Carries events from relays to subscribers.
pub trait Bus: fmt::Debug + Send + Sync + 'static {
    /// Begins to hand what comes to these subscribers, in the background where the bus has one. Called once, before the
    /// first `publish`.
    fn attach(&self, subscribers: Vec<Arc<dyn Subscriber>>) -> Result<()>;

    /// Whether events can be taken. Errors: `BROKER_UNAVAILABLE`.
    fn ready(&self) -> Result<()>;

    /// `Ok` once every subscriber has recorded the event, or a broker that keeps it for them has. Events of one aggregate are
    /// published one after the other.
    fn publish<'a>(&'a self, event: &'a Arc<Delivered>) -> Taken<'a>;

    /// Ends what `attach` began: subscribers at work finish, nothing new is handed to them.
    fn stop(&self) -> Answer<'_, ()>;
}
