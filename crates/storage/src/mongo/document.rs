//! Documents as the server keeps them: the envelope and its fields, the body as BSON and back as canonical JSON. No I/O.

use std::fmt::Write as _;

use kernel::{Error, Result, Tenant, Time};
use mongodb::bson::{Bson, Document, deserialize_from_bson, doc, serialize_to_bson};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Number, Value};

use super::fault::failed;
use crate::engine::{MAX_EVENTS, OnceEntry, PendingEvent, Place, Scan, Stored, Write};
use crate::patch::Numbers;
use crate::record::{Collection, Key, KeyType};
use crate::sum::{Covered, Summed};

/// Values of the field `del`.
pub(super) const DRAINING: i64 = 1;
pub(super) const BURNED: i64 = 2;

/// `{tenant}/{id}`, unique across shards although documents are spread by tenant.
pub(super) fn name(tenant: &Tenant, id: &str) -> String {
    format!("{tenant}/{id}")
}

/// Whatever stands under this id.
pub(super) fn under(tenant: &Tenant, id: &str) -> Document {
    doc! { "_id": name(tenant, id), "t": tenant.as_str() }
}

/// The document under this id that is neither removed nor expired.
pub(super) fn present(tenant: &Tenant, id: &str, now: Time) -> Document {
    let mut filter = under(tenant, id);
    filter.insert("del", doc! { "$exists": false });
    filter.insert("exp", unexpired(now));
    filter
}

/// The term for `exp` of what is not expired.
pub(super) fn unexpired(now: Time) -> Document {
    doc! { "$not": { "$lte": now.micros() } }
}

/// A field of the index keys.
pub(super) fn field(key: &str) -> String {
    format!("k.{key}")
}

/// A document on its way in: version 1.
pub(super) fn fresh(tenant: &Tenant, place: &Place, write: &Write, waiting: &[PendingEvent], once: &[OnceEntry]) -> Result<Document> {
    let mut document = under(tenant, &place.id);
    document.extend(doc! { "v": 1_i64, "w": write.writer, "crc": covered(tenant, place, write, 1).sum(), "b": body(&write.body)? });
    document.insert("k", keys(place.collection, &write.keys));
    for (name, time) in [("exp", write.expires), ("due", write.due), ("obn", (!waiting.is_empty()).then_some(write.now))] {
        if let Some(time) = time {
            document.insert(name, time.micros());
        }
    }
    if !write.numbers.is_empty() {
        document.insert("n", numbers(&write.numbers));
    }
    put_list(&mut document, "ob", waiting)?;
    put_list(&mut document, "once", once)?;
    Ok(document)
}

/// The present keys of a document.
pub(super) fn keys(collection: &Collection, keys: &[Option<Key>]) -> Document {
    let present = collection.keys.iter().zip(keys).filter_map(|((name, _), key)| Some(((*name).to_owned(), value(key.as_ref()?))));
    present.collect()
}

/// A list, left out when it is empty.
pub(super) fn put_list<T: Serialize>(document: &mut Document, field: &str, items: &[T]) -> Result<()> {
    if !items.is_empty() {
        document.insert(field, list(items)?);
    }
    Ok(())
}

pub(super) fn list<T: Serialize>(items: &[T]) -> Result<Vec<Bson>> {
    let encoded = items.iter().map(serialize_to_bson).collect::<Result<_, _>>();
    encoded.map_err(|cause| failed("a list was not encoded").because(cause))
}

pub(super) fn numbers(numbers: &Numbers) -> Document {
    numbers.iter().map(|(name, number)| (name.clone(), Bson::Int64(*number))).collect()
}

/// A key as its field holds it; bytes as lower-case hex, which orders as they do.
pub(super) fn value(key: &Key) -> Bson {
    match key {
        Key::Str(text) => Bson::String(text.clone()),
        Key::I64(number) => Bson::Int64(*number),
        Key::Bool(truth) => Bson::Boolean(*truth),
        Key::Bytes(bytes) => Bson::String(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
    }
}

/// A key read back from its field.
pub(super) fn key(kind: KeyType, field: &Bson) -> Option<Key> {
    match (kind, field) {
        (KeyType::Str, Bson::String(text)) => Some(Key::Str(text.clone())),
        (KeyType::I64, Bson::Int64(number)) => Some(Key::I64(*number)),
        (KeyType::Bool, Bson::Boolean(truth)) => Some(Key::Bool(*truth)),
        (KeyType::Bytes, Bson::String(hex)) => unhex(hex.as_bytes()).map(Key::Bytes),
        _ => None,
    }
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    text.chunks(2).map(|pair| u8::try_from(digit(pair.first()?)? * 16 + digit(pair.get(1)?)?).ok()).collect()
}

/// What the checksum of a document covers that is written as this version. Without numbers: the server changes them.
pub(super) fn covered<'a>(tenant: &'a Tenant, place: &'a Place, write: &'a Write, version: i64) -> Covered<'a> {
    let expires = write.expires.map(Time::micros);
    Covered { tenant: tenant.as_str(), id: &place.id, version, writer: write.writer, expires, numbers: "", body: &write.body }
}

/// A body as the server keeps it. Whole numbers are 64 bits wide, all others doubles, so that it reads back as it was.
pub(super) fn body(text: &str) -> Result<Document> {
    let parsed = serde_json::from_str(text).map_err(|cause| failed("a body is no JSON").because(cause))?;
    match encoded(parsed) {
        Some(Bson::Document(document)) => Ok(document),
        _ => Err(failed("a body holds what no engine could keep")),
    }
}

fn encoded(value: Value) -> Option<Bson> {
    Some(match value {
        Value::Null => Bson::Null,
        Value::Bool(truth) => Bson::Boolean(truth),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Bson::Int64(whole),
            None => Bson::Double(number.as_f64()?),
        },
        Value::String(text) => Bson::String(text),
        Value::Array(items) => Bson::Array(items.into_iter().map(encoded).collect::<Option<_>>()?),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| Some((name, encoded(value)?)));
            Bson::Document(fields.collect::<Option<_>>()?)
        }
    })
}

/// A body as canonical JSON; none when it holds what was never written.
pub(super) fn text(body: &Document) -> Option<String> {
    let mut text = String::new();
    write_object(&mut text, body)?;
    Some(text)
}

fn write_object(text: &mut String, object: &Document) -> Option<()> {
    let mut fields: Vec<_> = object.iter().collect();
    fields.sort_unstable_by_key(|(name, _)| name.as_bytes());
    text.push('{');
    for (at, (name, value)) in fields.into_iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        write!(text, "\"{name}\":").ok()?;
        write_value(text, value)?;
    }
    text.push('}');
    Some(())
}

fn write_value(text: &mut String, value: &Bson) -> Option<()> {
    match value {
        Bson::Null => text.push_str("null"),
        Bson::Boolean(truth) => write!(text, "{truth}").ok()?,
        Bson::Int64(number) => write!(text, "{number}").ok()?,
        Bson::Double(number) => write!(text, "{}", Number::from_f64(*number)?).ok()?,
        Bson::String(string) => text.push_str(&serde_json::to_string(string).ok()?),
        Bson::Document(object) => write_object(text, object)?,
        Bson::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                write_value(text, item)?;
            }
            text.push(']');
        }
        _ => return None,
    }
    Some(())
}

/// A document as read, in whole or in part: fields that were not asked for count as absent.
#[derive(Debug)]
pub(super) struct Row(Document);

impl Row {
    pub(super) fn new(document: Document) -> Self {
        Self(document)
    }

    pub(super) fn whole(&self, field: &str) -> Option<i64> {
        match self.0.get(field)? {
            Bson::Int64(number) => Some(*number),
            Bson::Int32(number) => Some((*number).into()),
            _ => None,
        }
    }

    pub(super) fn is_true(&self, field: &str) -> bool {
        self.0.get_bool(field).unwrap_or_default()
    }

    fn inner(&self, object: &str, field: &str) -> Option<&Bson> {
        self.0.get_document(object).ok()?.get(field)
    }

    pub(super) fn whole_in(&self, object: &str, field: &str) -> Option<i64> {
        self.inner(object, field)?.as_i64()
    }

    pub(super) fn text_in(&self, object: &str, field: &str) -> Option<&str> {
        self.inner(object, field)?.as_str()
    }

    /// Whether the index keys are these, in whatever order.
    pub(super) fn has_keys(&self, keys: &Document) -> bool {
        let empty = Document::new();
        let present = self.0.get_document("k").unwrap_or(&empty);
        present.len() == keys.len() && keys.iter().all(|(name, key)| present.get(name) == Some(key))
    }

    pub(super) fn version(&self) -> i64 {
        self.whole("v").unwrap_or_default()
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.0.contains_key("del")
    }

    pub(super) fn is_expired(&self, now: Time) -> bool {
        self.whole("exp").is_some_and(|expires| expires <= now.micros())
    }

    pub(super) fn is_present(&self, now: Time) -> bool {
        !self.is_deleted() && !self.is_expired(now)
    }

    /// Whether so many new events find room. How many wait is told by `ob`.
    pub(super) fn has_room(&self, new: usize) -> bool {
        self.0.get_array("ob").map_or(0, Vec::len) + new <= MAX_EVENTS
    }

    /// `{tenant}/{id}`.
    pub(super) fn name(&self) -> &str {
        self.0.get_str("_id").unwrap_or_default()
    }

    pub(super) fn id(&self) -> &str {
        self.name().split_once('/').map_or("", |(_, id)| id)
    }

    pub(super) fn tenant_text(&self) -> &str {
        self.0.get_str("t").unwrap_or_default()
    }

    pub(super) fn tenant(&self) -> Result<Tenant> {
        Tenant::parse(self.tenant_text()).map_err(|cause| corrupt("a document names no tenant").because(cause))
    }

    /// The items of a list, once each agrees with its sum.
    pub(super) fn list<T: DeserializeOwned + Summed>(&self, field: &str) -> Result<Vec<T>> {
        let Some(items) = self.0.get(field) else { return Ok(Vec::new()) };
        let items: Vec<T> = deserialize_from_bson(items.clone()).map_err(|cause| self.unreadable(field).because(cause))?;
        if items.iter().all(Summed::is_whole) { Ok(items) } else { Err(self.unreadable(field)) }
    }

    pub(super) fn numbers(&self) -> Result<Numbers> {
        let Ok(numbers) = self.0.get_document("n") else { return Ok(Numbers::new()) };
        let read = |(name, number): (&String, &Bson)| Some((name.clone(), number.as_i64()?));
        numbers.iter().map(read).collect::<Option<_>>().ok_or_else(|| self.unreadable("n"))
    }

    /// A key of the index keys.
    pub(super) fn key(&self, collection: &Collection, name: &str) -> Result<Option<Key>> {
        let (Ok(keys), Some(kind)) = (self.0.get_document("k"), collection.key_type(name)) else { return Ok(None) };
        keys.get(name).map(|value| key(kind, value).ok_or_else(|| self.unreadable(name))).transpose()
    }

    /// The body as canonical JSON, once the document agrees with its checksum. Needs all that the checksum covers. Errors: `RECORD_CORRUPT`.
    pub(super) fn body(&self, collection: &Collection) -> Result<String> {
        let body = self.0.get_document("b").ok().and_then(text).ok_or_else(|| self.unreadable("b"))?;
        let (tenant, id, version, expires) = (self.tenant_text(), self.id(), self.version(), self.whole("exp"));
        let writer = self.whole("w").unwrap_or_default();
        let covered = Covered { tenant, id, version, writer, expires, numbers: "", body: &body };
        covered.check(collection, self.whole("crc"))?;
        Ok(body)
    }

    /// That this is the document that was asked for, whatever an index led to. Errors: `RECORD_CORRUPT`.
    pub(super) fn check_place(&self, tenant: &Tenant, place: &Place) -> Result<()> {
        if self.tenant_text() == tenant.as_str() && self.name() == name(tenant, &place.id) { Ok(()) } else { Err(self.astray()) }
    }

    /// That this is a document of the tenant with the keys that were asked for. Errors: `RECORD_CORRUPT`.
    pub(super) fn check_entry(&self, tenant: &Tenant, scan: &Scan) -> Result<()> {
        let is_prefixed = self.name().strip_prefix(tenant.as_str()).is_some_and(|rest| rest.starts_with('/'));
        let empty = Document::new();
        let keys = self.0.get_document("k").unwrap_or(&empty);
        let fits = |(at, name): (usize, &&str)| match (keys.get(name), scan.prefix.get(at)) {
            (None, _) => false,
            (Some(present), Some(asked)) => *present == value(asked),
            (Some(_), None) => true,
        };
        let is_entry = is_prefixed && self.tenant_text() == tenant.as_str() && scan.index.keys.iter().enumerate().all(fits);
        if is_entry { Ok(()) } else { Err(self.astray()) }
    }

    fn astray(&self) -> Error {
        corrupt(format!("{} is not where its index says", self.id()))
    }

    /// Errors: `RECORD_CORRUPT`.
    pub(super) fn stored(&self, collection: &Collection) -> Result<Stored> {
        Ok(Stored {
            id: self.id().to_owned(),
            version: self.version(),
            body: self.body(collection)?,
            numbers: self.numbers()?,
            once: self.list("once")?,
        })
    }

    fn unreadable(&self, field: &str) -> Error {
        corrupt(format!("{field} of {} holds what was never written", self.id()))
    }
}

pub(super) fn corrupt(message: impl Into<String>) -> Error {
    Error::internal("RECORD_CORRUPT", message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bodies_read_back_as_they_were_written() {
        let cases = [
            r#"{"a":1,"b":[{"c":null},true,"ä\"\n"],"z":{"y":-9223372036854775808}}"#,
            r#"{"a":1.0,"b":-0.0,"c":5e-324,"d":1.7976931348623157e+308,"e":9.223372036854776e+18,"f":0.1}"#,
            r#"{"a":[],"b":{},"c":""}"#,
        ];
        for case in cases {
            assert_eq!(text(&body(case).unwrap()).unwrap(), case);
        }
        let shuffled = doc! { "b": 1_i64, "a": { "d": 2_i64, "c": 3_i64 } };
        assert_eq!(text(&shuffled).unwrap(), r#"{"a":{"c":3,"d":2},"b":1}"#, "fields are sorted whatever the server did");
        assert!(text(&doc! { "a": mongodb::bson::DateTime::MIN }).is_none(), "what was never written is not served");
    }

    #[test]
    fn keys_read_back_as_they_were_written() {
        for sample in [Key::from("ä"), i64::MIN.into(), true.into(), Key::Bytes(vec![0, 171, 255]), Key::Bytes(Vec::new())] {
            assert_eq!(key(sample.kind(), &value(&sample)), Some(sample));
        }
        assert!(key(KeyType::I64, &Bson::String("1".to_owned())).is_none());
    }
}
