//! Documents on disk: typed reads and versioned writes of one document at a time, per tenant.
//! Handlers hold a `Store`; engines stand behind the `Engine` trait; no driver type leaves this crate.

mod change;
mod engine;
mod patch;
mod record;
pub mod sqlite;
mod store;
#[cfg(feature = "suite")]
pub mod suite;
mod token;
mod value;

pub use change::{Change, Event, Once, Remembered, Removal, Seen, taken};
pub use engine::{
    Amend, Amended, Answer, Cursor, Engine, Erase, Histogram, MAX_EVENTS, MAX_REMEMBERED, Metrics, OnceEntry, PendingEvent, Place, Rekey,
    Rows, Scan, Stored, Write,
};
pub use patch::{MAX_NUMBERS, Numbers, Op, Patch, Test, standing};
pub use record::{Collection, Index, Key, KeyType, Keys, Range, Record};
pub use sqlite::{Durability, Sqlite};
pub use store::{Count, Find, Found, Store, Target};
