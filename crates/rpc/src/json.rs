//! The dynamic codec: canonical proto3 JSON to wire bytes and back by descriptor alone. Its verdict counts.
//! What prost-reflect lets through (a key twice, in one spelling or two) is looked for before.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::ops::RangeInclusive;

use kernel::{Error, Result};
use prost::Message;
use prost_reflect::{
    DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, SerializeOptions, Value,
};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Deepest nesting of a body.
const MAX_DEPTH: usize = 64;

/// From year 1 to year 9999.
const SECONDS_OF_TIMES: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// About 10,000 years.
const SECONDS_OF_DURATIONS: u64 = 315_576_000_000;
const NANOS: i64 = 1_000_000_000;

/// JSON text of a message as wire bytes. Both spellings of a field are read. Errors: `BODY_INVALID`, `DUPLICATE_KEY`,
/// `FIELD_UNKNOWN` naming the field. None repeats what stands in the text.
pub fn json_to_wire(message: &MessageDescriptor, text: &[u8]) -> Result<Vec<u8>> {
    scan(message, text)?;
    let mut json = serde_json::Deserializer::from_slice(text);
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let read = DynamicMessage::deserialize_with_options(message.clone(), &mut json, &options);
    Ok(read.map_err(|cause| invalid(&cause, message))?.encode_to_vec())
}

/// Wire bytes of a message as canonical JSON: camelCase, defaults left out, 64-bit integers as strings, unknown fields
/// dropped. Errors: `ANSWER_UNREADABLE`, a defect of whoever made the bytes; times and durations out of range are one too.
pub fn wire_to_json(message: &MessageDescriptor, bytes: &[u8]) -> Result<Vec<u8>> {
    let unreadable = || Error::internal("ANSWER_UNREADABLE", format!("bytes are no {}", message.full_name()));
    let read = DynamicMessage::decode(message.clone(), bytes).map_err(|cause| unreadable().because(cause))?;
    if !is_in_range(&read) {
        return Err(unreadable());
    }
    let mut text = Vec::with_capacity(bytes.len() * 2);
    let mut json = serde_json::Serializer::new(&mut text);
    read.serialize_with_options(&mut json, &SerializeOptions::new()).map_err(|cause| unreadable().because(cause))?;
    Ok(text)
}

/// Whether every time and duration in it has a JSON form.
fn is_in_range(message: &DynamicMessage) -> bool {
    let number = |field| message.get_field_by_number(field).and_then(|value| value.as_i64().or(value.as_i32().map(i64::from))).unwrap_or(0);
    match message.descriptor().full_name() {
        "google.protobuf.Timestamp" => SECONDS_OF_TIMES.contains(&number(1)) && (0..NANOS).contains(&number(2)),
        "google.protobuf.Duration" => {
            let (seconds, nanos) = (number(1), number(2));
            seconds.unsigned_abs() <= SECONDS_OF_DURATIONS
                && nanos.unsigned_abs() < NANOS.unsigned_abs()
                && seconds.signum() * nanos.signum() >= 0
        }
        _ => message.fields().all(|(_, value)| is_value_in_range(value)),
    }
}

fn is_value_in_range(value: &Value) -> bool {
    match value {
        Value::Message(message) => is_in_range(message),
        Value::List(values) => values.iter().all(is_value_in_range),
        Value::Map(entries) => entries.values().all(is_value_in_range),
        _ => true,
    }
}

/// Where it goes wrong, never what stands there: it may be a password.
fn invalid(cause: &serde_json::Error, message: &MessageDescriptor) -> Error {
    let place = format!("the body is not the JSON of {}: line {} column {}", message.name(), cause.line(), cause.column());
    Error::invalid("BODY_INVALID", place)
}

fn scan(message: &MessageDescriptor, text: &[u8]) -> Result<()> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let fault = RefCell::new(None);
    let root = Scan { shape: Shape::of_message(message), path: &Path::Root, depth: 1, fault: &fault };
    let scanned = root.deserialize(&mut json).and_then(|()| json.end());
    match (fault.into_inner(), scanned) {
        (Some(fault), _) => Err(fault),
        (None, Err(cause)) => Err(invalid(&cause, message)),
        (None, Ok(())) => Ok(()),
    }
}

/// What the descriptor says about a value.
#[derive(Clone)]
enum Shape {
    Message(MessageDescriptor),
    /// Keys are data, values of this kind.
    Map(Box<Shape>),
    /// Scalars, and well-known types with a JSON of their own.
    Free,
}

impl Shape {
    fn of_message(message: &MessageDescriptor) -> Self {
        if message.package_name() == "google.protobuf" { Self::Free } else { Self::Message(message.clone()) }
    }

    fn of_field(field: &FieldDescriptor) -> Self {
        match field.kind() {
            Kind::Message(entry) if field.is_map() => Self::Map(Box::new(Self::of_field(&entry.map_entry_value_field()))),
            Kind::Message(message) => Self::of_message(&message),
            _ => Self::Free,
        }
    }
}

/// The way to a value, spelled only when something is wrong there.
enum Path<'a> {
    Root,
    Below(&'a Path<'a>, &'a str),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Below(Path::Root, key) => f.write_str(key),
            Path::Below(above, key) => write!(f, "{above}.{key}"),
        }
    }
}

struct Scan<'a> {
    shape: Shape,
    path: &'a Path<'a>,
    depth: usize,
    fault: &'a RefCell<Option<Error>>,
}

impl Scan<'_> {
    fn stop<E: serde::de::Error>(&self, fault: Error) -> E {
        *self.fault.borrow_mut() = Some(fault);
        E::custom("refused")
    }

    fn below<'b>(&'b self, shape: Shape, path: &'b Path<'b>) -> Scan<'b> {
        Scan { shape, path, depth: self.depth + 1, fault: self.fault }
    }

    fn check_depth<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.depth <= MAX_DEPTH {
            return Ok(());
        }
        Err(self.stop(Error::invalid("BODY_INVALID", format!("the body is nested deeper than {MAX_DEPTH}"))))
    }

    /// The shape below a key, and the key in the one spelling by which doubles are found.
    fn key<E: serde::de::Error>(&self, key: &str) -> Result<(Shape, String), E> {
        let message = match &self.shape {
            Shape::Message(message) => message,
            Shape::Map(value) => return Ok((Shape::clone(value), key.to_owned())),
            Shape::Free => return Ok((Shape::Free, key.to_owned())),
        };
        let field = message.get_field_by_json_name(key).or_else(|| message.get_field_by_name(key));
        let Some(field) = field else {
            let path = spelled(&Path::Below(self.path, key));
            return Err(self.stop(Error::invalid("FIELD_UNKNOWN", format!("there is no field {path}")).field(path, "is unknown")));
        };
        Ok((Shape::of_field(&field), field.name().to_owned()))
    }
}

/// Paths are told back; a hostile key is not told whole.
fn spelled(path: &Path<'_>) -> String {
    let path = path.to_string();
    path[..path.floor_char_boundary(100)].to_owned()
}

impl<'de> DeserializeSeed<'de> for Scan<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Scan<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.check_depth()?;
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let (shape, field) = self.key(&key)?;
            let path = Path::Below(self.path, &key);
            if !seen.insert(field) {
                let path = spelled(&path);
                return Err(self.stop(Error::invalid("DUPLICATE_KEY", format!("{path} stands twice")).field(path, "stands twice")));
            }
            map.next_value_seed(self.below(shape, &path))?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.check_depth()?;
        while list.next_element_seed(self.below(self.shape.clone(), self.path))?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
