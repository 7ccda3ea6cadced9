//! What the tests of this engine store.
#![allow(clippy::unwrap_used)] // a test

use serde::{Deserialize, Serialize};
use storage::{Change, Collection, Event, Index, KeyType, Keys, Record};

/// A document with a key of each kind of index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) text: String,
    pub(crate) rank: Option<i64>,
}

impl Record for Note {
    const KIND: Collection = Collection {
        name: "notes",
        version: 1,
        keys: &[("text", KeyType::Str), ("rank", KeyType::I64)],
        indexes: &[Index { name: "text", keys: &["text"], unique: false }, Index { name: "rank", keys: &["rank"], unique: true }],
        burns: false,
        max_bytes: 0,
        max_items: 0,
    };

    fn keys(&self) -> Keys {
        Keys::new().with("text", self.text.as_str()).maybe("rank", self.rank)
    }
}

pub(crate) fn note(text: &str) -> Change<Note> {
    Change::of(Note { text: text.to_owned(), rank: None })
}

/// A counter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sum {}

impl Record for Sum {
    const KIND: Collection = Collection { name: "sums", version: 1, keys: &[], indexes: &[], burns: false, max_bytes: 0, max_items: 0 };
    const COUNTER: bool = true;

    fn keys(&self) -> Keys {
        Keys::new()
    }
}

pub(crate) fn event() -> Event {
    Event { kind: "notes.note.changed", payload: vec![8, 1] }
}
