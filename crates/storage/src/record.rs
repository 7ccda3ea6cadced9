//! What a service declares about a kind of document: its name, version, keys, indexes and bounds. Plain data, no I/O.

use std::ops::Bound;

use kernel::{Error, Result, Time};
use serde::{Deserialize, Serialize};

/// A domain type that is stored. The body is what serde makes of it: objects whose fields match `[a-z][a-z0-9_]*`, arrays
/// of scalars or objects, strings without NUL, i64, bool, null and finite doubles. Bytes are written as base64url strings.
pub trait Record: Serialize + serde::de::DeserializeOwned + Clone + Send + Sync + 'static {
    /// Where it is stored and how it is found.
    const KIND: Collection;
    /// Whether it is a counter: beside its body it has numbers, which `patch` changes, and it is never replaced.
    /// ```compile_fail,E0080
    /// # use {kernel::{Cx, Result}, serde::{Deserialize, Serialize}, storage::{Answer, Change, Collection, Keys, Record, Seen, Store}};
    /// #[derive(Clone, Serialize, Deserialize)]
    /// struct Hits {}
    ///
    /// impl Record for Hits {
    ///     const KIND: Collection =
    ///         Collection { name: "hits", version: 1, keys: &[], indexes: &[], burns: false, max_bytes: 0, max_items: 0 };
    ///     const COUNTER: bool = true;
    ///
    ///     fn keys(&self) -> Keys {
    ///         Keys::new()
    ///     }
    /// }
    ///
    /// fn replaced<'a>(store: &'a Store, cx: &'a Cx, seen: &'a Seen<Hits>) -> Answer<'a, Seen<Hits>> {
    ///     Box::pin(store.replace(cx, seen, Change::of(Hits {})))
    /// }
    /// # std::hint::black_box(replaced as for<'a> fn(&'a _, &'a _, &'a _) -> Answer<'a, _>);
    /// ```
    const COUNTER: bool = false;

    /// The declared key fields of this body. A field left out keeps the document out of the indexes that need it.
    fn keys(&self) -> Keys;

    /// From when on the document counts as absent.
    fn expires(&self) -> Option<Time> {
        None
    }

    /// When the document next wants attention.
    fn due(&self) -> Option<Time> {
        None
    }
}

/// One kind of document.
#[derive(Debug)]
pub struct Collection {
    /// `[a-z][a-z0-9_]*`, the name for ever.
    pub name: &'static str,
    /// From 1; raised whenever keys or indexes change.
    pub version: u32,
    /// Key fields and their types.
    pub keys: &'static [(&'static str, KeyType)],
    /// At most 8.
    pub indexes: &'static [Index],
    /// Whether ids are never given twice, also after removal.
    pub burns: bool,
    /// Most bytes of a body; 0 = 256 KiB, at most 1 MiB.
    pub max_bytes: usize,
    /// Most items of any array in a body; 0 = 100.
    pub max_items: usize,
}

/// An ordered list of key fields to find by. A document is in it only when it has all of them.
#[derive(Debug)]
pub struct Index {
    /// Unique within the collection; named by `Find` and by `taken`.
    pub name: &'static str,
    /// Key fields, most significant first. Ties are broken by id.
    pub keys: &'static [&'static str],
    /// Whether two documents of a tenant may not have equal keys.
    pub unique: bool,
}

/// The type of a key field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// Ordered by UTF-8 bytes.
    Str,
    /// Ordered as numbers.
    I64,
    /// False before true.
    Bool,
    /// Ordered as bytes.
    Bytes,
}

/// The value of a key field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Key {
    /// Text without NUL, at most 512 bytes.
    Str(String),
    /// A number.
    I64(i64),
    /// A truth value.
    Bool(bool),
    /// At most 256 bytes: they are stored as lower-case hex.
    Bytes(Vec<u8>),
}

impl Key {
    /// The type of this value.
    pub fn kind(&self) -> KeyType {
        match self {
            Self::Str(_) => KeyType::Str,
            Self::I64(_) => KeyType::I64,
            Self::Bool(_) => KeyType::Bool,
            Self::Bytes(_) => KeyType::Bytes,
        }
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}

impl From<i64> for Key {
    fn from(number: i64) -> Self {
        Self::I64(number)
    }
}

impl From<bool> for Key {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<Time> for Key {
    fn from(time: Time) -> Self {
        Self::I64(time.micros())
    }
}

/// The key fields that one body has.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<(&'static str, Key)>);

impl Keys {
    /// No key field.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, field: &'static str, value: impl Into<Key>) -> Self {
        self.0.push((field, value.into()));
        self
    }

    /// Adds a field when there is a value.
    #[must_use]
    pub fn maybe(self, field: &'static str, value: Option<impl Into<Key>>) -> Self {
        match value {
            Some(value) => self.with(field, value),
            None => self,
        }
    }
}

/// A part of an index along one key field.
#[derive(Clone, Debug, Serialize)]
pub struct Range {
    /// Where it begins.
    pub low: Bound<Key>,
    /// Where it ends.
    pub high: Bound<Key>,
}

impl Range {
    /// From this value on, upwards.
    pub fn from(low: impl Into<Key>) -> Self {
        Self { low: Bound::Included(low.into()), high: Bound::Unbounded }
    }

    /// Everything below this value.
    pub fn below(high: impl Into<Key>) -> Self {
        Self { low: Bound::Unbounded, high: Bound::Excluded(high.into()) }
    }

    /// From `low` on, below `high`.
    pub fn between(low: impl Into<Key>, high: impl Into<Key>) -> Self {
        Self { low: Bound::Included(low.into()), high: Bound::Excluded(high.into()) }
    }
}

/// Most bytes of one key value as stored.
const MAX_KEY_BYTES: usize = 512;
const MAX_INDEXES: usize = 8;
const MAX_BODY_BYTES: usize = 1024 * 1024;

impl Collection {
    /// Most bytes of a body.
    pub fn max_bytes(&self) -> usize {
        if self.max_bytes == 0 { 256 * 1024 } else { self.max_bytes }
    }

    /// Most items of an array.
    pub fn max_items(&self) -> usize {
        if self.max_items == 0 { 100 } else { self.max_items }
    }

    /// The index of this name. Errors: `INDEX_UNKNOWN`.
    pub fn index(&'static self, name: &str) -> Result<&'static Index> {
        let found = self.indexes.iter().find(|index| index.name == name);
        found.ok_or_else(|| Error::invalid("INDEX_UNKNOWN", format!("{} has no index {name}", self.name)))
    }

    /// The type of a declared key field.
    pub fn key_type(&self, field: &str) -> Option<KeyType> {
        self.keys.iter().find(|(name, _)| *name == field).map(|(_, kind)| *kind)
    }

    /// Refuses a declaration that no engine can keep. Errors: `COLLECTION_INVALID`.
    pub fn check(&self) -> Result<()> {
        let names = self.keys.iter().map(|(name, _)| *name).chain(self.indexes.iter().map(|index| index.name));
        let well_named = is_field_name(self.name) && names.into_iter().all(is_field_name);
        let distinct = all_distinct(self.keys.iter().map(|(name, _)| *name)) && all_distinct(self.indexes.iter().map(|i| i.name));
        let served = self.indexes.iter().all(|index| {
            !index.keys.is_empty() && all_distinct(index.keys.iter().copied()) && index.keys.iter().all(|k| self.key_type(k).is_some())
        });
        let bounded = self.version > 0 && self.indexes.len() <= MAX_INDEXES && self.max_bytes() <= MAX_BODY_BYTES;
        if well_named && distinct && served && bounded {
            return Ok(());
        }
        Err(Error::invalid("COLLECTION_INVALID", format!("the declaration of {} breaks a rule for names, indexes or bounds", self.name)))
    }

    /// The values of the declared key fields in their order. Errors: `KEY_INVALID`, `KEY_TOO_LONG`.
    pub(crate) fn arrange(&self, keys: Keys) -> Result<Vec<Option<Key>>> {
        let mut arranged = vec![None; self.keys.len()];
        for (field, value) in keys.0 {
            let place = self.keys.iter().position(|(name, kind)| *name == field && *kind == value.kind());
            let Some(place) = place else {
                return Err(Error::invalid("KEY_INVALID", format!("{field} is no key of {} or has another type", self.name)));
            };
            check_key(field, &value)?;
            arranged[place] = Some(value);
        }
        Ok(arranged)
    }
}

fn check_key(field: &str, value: &Key) -> Result<()> {
    let bytes = match value {
        Key::Str(text) if text.contains('\0') => return Err(Error::invalid("KEY_INVALID", format!("{field} contains a NUL"))),
        Key::Str(text) => text.len(),
        Key::Bytes(bytes) => bytes.len() * 2,
        Key::I64(_) | Key::Bool(_) => 0,
    };
    if bytes > MAX_KEY_BYTES {
        return Err(Error::invalid("KEY_TOO_LONG", format!("{field} is longer than {MAX_KEY_BYTES} bytes")));
    }
    Ok(())
}

pub(crate) fn is_field_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_lowercase) && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_')
}

fn all_distinct<'a>(names: impl Iterator<Item = &'a str> + Clone) -> bool {
    names.clone().enumerate().all(|(at, name)| names.clone().take(at).all(|earlier| earlier != name))
}
