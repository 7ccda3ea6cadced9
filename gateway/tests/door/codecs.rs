//! The typed codec against the dynamic one, for every message of the real contracts: what both can do they do alike, and
//! what the typed one reads the dynamic one reads too. Values come from bytes, so that a failure shrinks.

use std::collections::HashMap;

use proptest::prelude::*;
use prost::Message;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

use crate::peer::SCHEMA;

/// Choices, one a byte; all zero once the bytes are spent.
pub(crate) struct Choices<'a>(pub(crate) &'a [u8]);

impl Choices<'_> {
    fn next(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or_default()
    }

    fn number(&mut self) -> i64 {
        match self.next() % 6 {
            0 => 0,
            1 => i64::from(self.next()) - 128,
            2 => i64::MAX,
            3 => i64::MIN,
            4 => 1 << 53,
            _ => i64::from_le_bytes(std::array::from_fn(|_| self.next())),
        }
    }

    fn text(&mut self) -> String {
        let alphabet = ['a', 'Z', '0', '"', '\\', '/', '\n', '\u{7f}', 'ä', '\u{2028}', '😀', '\u{0}', '<', ' ', '.', '_'];
        (0..self.next() % 9).map(|_| alphabet[usize::from(self.next() % 16)]).collect()
    }

    pub(crate) fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[usize::from(self.next()) % of.len()].clone()
    }
}

/// `wild`: also numbers that no enum names.
pub(crate) fn message(descriptor: &MessageDescriptor, choices: &mut Choices<'_>, depth: usize, wild: bool) -> DynamicMessage {
    let mut made = DynamicMessage::new(descriptor.clone());
    if let Some(value) = well_known(descriptor, choices) {
        return value;
    }
    for field in descriptor.fields() {
        let is_deep = depth > 3 && matches!(field.kind(), Kind::Message(_));
        if choices.next().is_multiple_of(3) || is_deep {
            continue;
        }
        let value = if field.is_map() {
            Value::Map(
                (0..choices.next() % 3).map(|_| (key(&field, choices), entry(&field, choices, depth, wild))).collect::<HashMap<_, _>>(),
            )
        } else if field.is_list() {
            Value::List((0..choices.next() % 3).map(|_| single(&field, choices, depth, wild)).collect())
        } else {
            single(&field, choices, depth, wild)
        };
        made.set_field(&field, value);
    }
    made
}

/// A message and its bytes; read back, since a default that was set is not there afterwards.
fn made(descriptor: &MessageDescriptor, bytes: &[u8], wild: bool) -> (DynamicMessage, Vec<u8>) {
    let wire = message(descriptor, &mut Choices(bytes), 0, wild).encode_to_vec();
    (read(descriptor, &wire), wire)
}

fn key(field: &FieldDescriptor, choices: &mut Choices<'_>) -> MapKey {
    let Kind::Message(entry) = field.kind() else { unreachable!() };
    assert!(matches!(entry.map_entry_key_field().kind(), Kind::String), "keys of another kind need a generator");
    MapKey::String(choices.text())
}

fn entry(field: &FieldDescriptor, choices: &mut Choices<'_>, depth: usize, wild: bool) -> Value {
    let Kind::Message(entry) = field.kind() else { unreachable!() };
    single(&entry.map_entry_value_field(), choices, depth, wild)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // any number of the width will do
fn single(field: &FieldDescriptor, choices: &mut Choices<'_>, depth: usize, wild: bool) -> Value {
    match field.kind() {
        Kind::Bool => Value::Bool(choices.next().is_multiple_of(2)),
        Kind::String => Value::String(choices.text()),
        Kind::Bytes => Value::Bytes(choices.text().into_bytes().into()),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(choices.number() as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(choices.number()),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(choices.number() as u32),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(choices.number() as u64),
        Kind::Float => Value::F32(f32::from(choices.next()) / 7.0),
        Kind::Double => Value::F64(f64::from(choices.next()) / 7.0),
        Kind::Enum(values) if wild => Value::EnumNumber(choices.one(&[0, 1, 99, -1, values.values().count() as i32])),
        Kind::Enum(values) => Value::EnumNumber(choices.one(&values.values().map(|value| value.number()).collect::<Vec<_>>())),
        Kind::Message(inner) => Value::Message(message(&inner, choices, depth + 1, wild)),
    }
}

fn well_known(descriptor: &MessageDescriptor, choices: &mut Choices<'_>) -> Option<DynamicMessage> {
    let text = match descriptor.full_name() {
        "google.protobuf.Timestamp" => choices.one(&[
            "\"1970-01-01T00:00:00Z\"",
            "\"0001-01-01T00:00:00Z\"",
            "\"9999-12-31T23:59:59.999999999Z\"",
            "\"2026-02-28T23:59:59.120Z\"",
            "\"1969-12-31T23:59:59.999999Z\"",
        ]),
        "google.protobuf.Duration" => choices.one(&["\"0s\"", "\"1.500s\"", "\"-315576000000s\"", "\"0.000000001s\""]),
        "google.protobuf.Int32Value" => choices.one(&["0", "-1", "2147483647"]),
        "google.protobuf.FieldMask" => choices.one(&["\"\"", "\"displayName\"", "\"profile.displayName,etag\"", "\"a,a\""]),
        name => {
            assert!(!name.starts_with("google."), "{name} needs a generator");
            return None;
        }
    };
    Some(DynamicMessage::decode(descriptor.clone(), rpc::json_to_wire(descriptor, text.as_bytes()).unwrap().as_slice()).unwrap())
}

fn messages() -> Vec<(MessageDescriptor, api::Codec)> {
    let messages = SCHEMA.pool().all_messages();
    let typed: Vec<_> = messages.filter_map(|message| Some((message.clone(), api::codec(message.full_name())?))).collect();
    assert!(typed.len() > 50, "only {} messages have a typed codec", typed.len());
    typed
}

fn parsed(text: &[u8]) -> serde_json::Value {
    serde_json::from_slice(text).unwrap()
}

fn read(descriptor: &MessageDescriptor, bytes: &[u8]) -> DynamicMessage {
    DynamicMessage::decode(descriptor.clone(), bytes).unwrap()
}

#[test]
fn every_routed_message_of_ours_has_a_typed_codec() {
    for rule in gateway::rules(&SCHEMA).unwrap().iter().filter(|rule| &*rule.method.area != "probe") {
        for message in [rule.method.descriptor.input(), rule.method.descriptor.output()] {
            assert!(api::codec(message.full_name()).is_some(), "{}", message.full_name());
        }
    }
}

#[test]
fn times_out_of_range_have_no_json() {
    let app = SCHEMA.pool().get_message_by_name("mozaiks.identity.v1.App").unwrap();
    let created = |time: &[u8]| {
        let mut bytes = vec![0x32, u8::try_from(time.len()).unwrap()];
        bytes.extend_from_slice(time);
        rpc::wire_to_json(&app, &bytes).map_err(|error| error.reason())
    };
    assert!(created(&[0x10, 1]).is_ok());
    let nanos_too_large: &[u8] = &[0x10, 0x80, 0x94, 0xeb, 0xdc, 3];
    let nanos_negative: &[u8] = &[0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let year_too_late: &[u8] = &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    for time in [nanos_too_large, nanos_negative, year_too_late] {
        assert_eq!(created(time), Err("ANSWER_UNREADABLE"), "{time:?}");
    }
}

/// Puts something else in a random place: another type, another spelling, a key that nobody knows.
fn disturb(value: &mut serde_json::Value, choices: &mut Choices<'_>) {
    use serde_json::json;
    let stop = choices.next().is_multiple_of(3);
    match value {
        serde_json::Value::Object(fields) if !fields.is_empty() && !stop => {
            let keys: Vec<String> = fields.keys().cloned().collect();
            let key = choices.one(&keys);
            match choices.next() % 6 {
                0 => _ = fields.insert("nope".to_owned(), json!(1)),
                1 => {
                    let inner = fields.remove(&key).unwrap();
                    let snake = key
                        .chars()
                        .flat_map(|letter| if letter.is_ascii_uppercase() { vec!['_', letter.to_ascii_lowercase()] } else { vec![letter] });
                    fields.insert(snake.collect(), inner);
                }
                _ => disturb(fields.get_mut(&key).unwrap(), choices),
            }
        }
        serde_json::Value::Array(items) if !items.is_empty() && !stop => {
            let at = usize::from(choices.next()) % items.len();
            disturb(&mut items[at], choices);
        }
        other => {
            *other = choices.one(&[
                json!(null),
                json!(0),
                json!(1.0),
                json!(1.5),
                json!("1"),
                json!("1.0"),
                json!(""),
                json!(" 1"),
                json!(true),
                json!("true"),
                json!([]),
                json!([null]),
                json!({}),
                json!(-1),
                json!(1e30),
                json!("NaN"),
                json!("AA"),
                json!("2026-01-01T00:00:00Z"),
                json!("2026-01-01T24:00:00Z"),
                json!("displayName,"),
                json!("APP_MODE_TEST"),
            ]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn known_values_are_read_and_written_alike(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for (descriptor, typed) in messages() {
            let (value, wire) = made(&descriptor, &bytes, false);
            let dynamic = rpc::wire_to_json(&descriptor, &wire).unwrap();
            let written = (typed.write)(&wire);
            prop_assert!(written.is_some(), "{} is not written: {value:?}", descriptor.full_name());
            prop_assert_eq!(parsed(&written.unwrap()), parsed(&dynamic), "{}", descriptor.full_name());
            let back = (typed.read)(&dynamic);
            prop_assert!(back.is_ok(), "{} is not read: {}", descriptor.full_name(), String::from_utf8_lossy(&dynamic));
            prop_assert!(read(&descriptor, &back.unwrap()) == value, "{}", descriptor.full_name());
            prop_assert!(read(&descriptor, &rpc::json_to_wire(&descriptor, &dynamic).unwrap()) == value, "{}", descriptor.full_name());
        }
    }

    #[test]
    fn values_newer_than_the_contract_survive(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for (descriptor, typed) in messages() {
            let (value, wire) = made(&descriptor, &bytes, true);
            let dynamic = rpc::wire_to_json(&descriptor, &wire).unwrap();
            if let Some(written) = (typed.write)(&wire) {
                prop_assert_eq!(parsed(&written), parsed(&dynamic), "{}", descriptor.full_name());
            }
            if let Ok(back) = (typed.read)(&dynamic) {
                prop_assert!(read(&descriptor, &back) == value, "{}", descriptor.full_name());
            }
            prop_assert!(read(&descriptor, &rpc::json_to_wire(&descriptor, &dynamic).unwrap()) == value, "{}", descriptor.full_name());
        }
    }

    #[test]
    fn what_the_typed_codec_reads_the_dynamic_one_reads_alike(bytes in prop::collection::vec(any::<u8>(), 0..400), disturbances in prop::collection::vec(any::<u8>(), 24)) {
        for (descriptor, typed) in messages() {
            let mut text = parsed(&rpc::wire_to_json(&descriptor, &made(&descriptor, &bytes, false).1).unwrap());
            disturb(&mut text, &mut Choices(&disturbances));
            let text = text.to_string();
            if let Ok(wire) = (typed.read)(text.as_bytes()) {
                let dynamic = rpc::json_to_wire(&descriptor, text.as_bytes());
                prop_assert!(dynamic.is_ok(), "{} {text}: only the typed codec reads it", descriptor.full_name());
                prop_assert!(read(&descriptor, &wire) == read(&descriptor, &dynamic.unwrap()), "{} {text}", descriptor.full_name());
            }
        }
    }
}
