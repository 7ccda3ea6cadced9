//! Documents on disk: typed reads and versioned writes of one document at a time, per tenant.
//! Handlers hold a `Store`; engines stand behind the `Engine` trait; no driver type leaves this crate.

mod across;
mod bell;
mod change;
mod engine;
mod envelope;
#[cfg(feature = "failpoints")]
mod fault;
pub mod mongo;
mod outbox;
mod patch;
mod record;
mod resolve;
pub mod sqlite;
mod state;
mod store;
#[cfg(feature = "suite")]
pub mod suite;
mod sum;
mod token;
mod value;

pub use bell::Bell;
pub use change::{Change, Event, Once, Remembered, Removal, Seen, taken};
pub use engine::{
    Amend, Amended, Answer, Cursor, Engine, Erase, Histogram, MAX_EVENTS, MAX_REMEMBERED, Metrics, OnceEntry, Part, PendingEvent, Place,
    Rekey, Rows, Scan, Stored, Trail, Write,
};
pub use envelope::{Envelope, Life};
#[cfg(feature = "failpoints")]
pub use fault::{FaultStore, faults};
pub use mongo::Mongo;
pub use outbox::{Ack, Across, Claimed, Defer, Due, Lease, MAX_CLAIM, MAX_CLAIM_BYTES, Outbox, PARKED, Plan};
pub use patch::{MAX_NUMBERS, Numbers, Op, Patch, Test, standing};
pub use record::{Collection, Index, Key, KeyType, Keys, Range, Record};
pub use sqlite::{Durability, Inspected, Inspection, Sqlite};
pub use store::{Count, Find, Found, Store, Target};
