//! The details of a `google.rpc.Status` in proto3 JSON, as far as callers may read them. A table and its reader: the
//! contracts do not import these messages, so no codec knows them.

use std::time::Duration;

use prost::encoding::decode_varint;
use serde_json::{Map, Value};

use crate::wire;

const PREFIX: &str = "type.googleapis.com/google.rpc.";

type Field = (u32, &'static str, Shape);

enum Shape {
    Text,
    Duration,
    /// From text to text.
    Map,
    Many(&'static [Field]),
}

const MESSAGES: [(&str, &[Field]); 9] = [
    ("ErrorInfo", &[(1, "reason", Shape::Text), (2, "domain", Shape::Text), (3, "metadata", Shape::Map)]),
    ("RequestInfo", &[(1, "requestId", Shape::Text), (2, "servingData", Shape::Text)]),
    ("RetryInfo", &[(1, "retryDelay", Shape::Duration)]),
    (
        "BadRequest",
        &[(1, "fieldViolations", Shape::Many(&[(1, "field", Shape::Text), (2, "description", Shape::Text), (3, "reason", Shape::Text)]))],
    ),
    ("QuotaFailure", &[(1, "violations", Shape::Many(&[(1, "subject", Shape::Text), (2, "description", Shape::Text)]))]),
    (
        "PreconditionFailure",
        &[(1, "violations", Shape::Many(&[(1, "type", Shape::Text), (2, "subject", Shape::Text), (3, "description", Shape::Text)]))],
    ),
    (
        "ResourceInfo",
        &[(1, "resourceType", Shape::Text), (2, "resourceName", Shape::Text), (3, "owner", Shape::Text), (4, "description", Shape::Text)],
    ),
    ("Help", &[(1, "links", Shape::Many(&[(1, "description", Shape::Text), (2, "url", Shape::Text)]))]),
    ("LocalizedMessage", &[(1, "locale", Shape::Text), (2, "message", Shape::Text)]),
];

/// The details in an encoded `google.rpc.Status`, each with its `@type`, in the order of the table. Unknown ones are left
/// out.
pub(crate) fn entries(status: &[u8]) -> Vec<Value> {
    let entry = |name: &str, fields: &[Field], bytes: &[u8]| {
        let mut entry = object(bytes, fields);
        entry.insert("@type".to_owned(), format!("{PREFIX}{name}").into());
        Value::Object(entry)
    };
    let of = |(name, fields): &(&'static str, &'static [Field])| {
        each(status).filter(|(kind, _)| kind == name).map(|(_, bytes)| entry(name, fields, bytes)).collect::<Vec<_>>()
    };
    MESSAGES.iter().flat_map(of).collect()
}

/// How long the caller should wait, if the status says so.
pub(crate) fn retry_delay(status: &[u8]) -> Option<Duration> {
    let (_, bytes) = each(status).find(|(kind, _)| *kind == "RetryInfo")?;
    duration(wire::find(bytes, &[1])?)
}

/// Name and bytes of each detail.
fn each(status: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    let details = wire::fields(status).map_while(Result::ok).filter(|field| field.number == 3);
    details.filter_map(|detail| {
        let kind = std::str::from_utf8(wire::find(detail.value, &[1])?).ok()?.strip_prefix(PREFIX)?;
        Some((kind, wire::find(detail.value, &[2]).unwrap_or_default()))
    })
}

fn object(bytes: &[u8], fields: &[Field]) -> Map<String, Value> {
    let mut entry = Map::new();
    for found in wire::fields(bytes).map_while(Result::ok) {
        let Some((_, name, shape)) = fields.iter().find(|(number, ..)| *number == found.number) else { continue };
        match shape {
            Shape::Text => _ = entry.insert((*name).to_owned(), text(found.value).into()),
            Shape::Duration => _ = duration(found.value).map(|wait| entry.insert((*name).to_owned(), seconds(wait).into())),
            Shape::Map => {
                let [key, value] = [1, 2].map(|number| text(wire::find(found.value, &[number]).unwrap_or_default()));
                if let Value::Object(map) = entry.entry(*name).or_insert_with(|| Value::Object(Map::new())) {
                    map.insert(key, value.into());
                }
            }
            Shape::Many(inner) => {
                if let Value::Array(list) = entry.entry(*name).or_insert_with(|| Value::Array(Vec::new())) {
                    list.push(object(found.value, inner).into());
                }
            }
        }
    }
    entry
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn duration(bytes: &[u8]) -> Option<Duration> {
    let [seconds, nanos] = [1, 2].map(|number| wire::find(bytes, &[number]).map_or(Ok(0), |mut varint| decode_varint(&mut varint)));
    Some(Duration::new(seconds.ok()?, u32::try_from(nanos.ok()?).ok().filter(|nanos| *nanos < 1_000_000_000)?))
}

/// `google.protobuf.Duration` in proto3 JSON: whole seconds, or with milli-, micro- or nanoseconds.
fn seconds(wait: Duration) -> String {
    let (whole, nanos) = (wait.as_secs(), wait.subsec_nanos());
    match nanos {
        0 => format!("{whole}s"),
        _ if nanos % 1_000_000 == 0 => format!("{whole}.{:03}s", nanos / 1_000_000),
        _ if nanos % 1_000 == 0 => format!("{whole}.{:06}s", nanos / 1_000),
        _ => format!("{whole}.{nanos:09}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_have_the_digits_they_need() {
        for (nanos, expected) in [(0, "2s"), (500_000_000, "2.500s"), (1_000, "2.000001s"), (1, "2.000000001s")] {
            assert_eq!(seconds(Duration::new(2, nanos)), expected);
        }
    }

    #[test]
    fn maps_and_unknown_details() {
        let mut pair = Vec::new();
        wire::put(1, b"limit", &mut pair);
        wire::put(2, b"3", &mut pair);
        let mut info = Vec::new();
        wire::put(1, b"TRY_LATER", &mut info);
        wire::put(3, &pair, &mut info);
        let mut status = Vec::new();
        for kind in ["google.rpc.DebugInfo", "google.rpc.ErrorInfo", "example.Own"] {
            let mut any = Vec::new();
            wire::put(1, format!("type.googleapis.com/{kind}").as_bytes(), &mut any);
            wire::put(2, &info, &mut any);
            wire::put(3, &any, &mut status);
        }
        let expected = serde_json::json!([{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "TRY_LATER", "metadata": { "limit": "3" } }]);
        assert_eq!(Value::from(entries(&status)), expected);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            entries(&bytes);
            retry_delay(&bytes);
            duration(&bytes);
        }
    }
}
