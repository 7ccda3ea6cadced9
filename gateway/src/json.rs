//! How a message stands in an HTTP body: as JSON, by the typed codec first and the dynamic one on any refusal, whose verdict
//! then counts; or, for `google.api.HttpBody`, as the body itself. Must not know rules.

use std::collections::BTreeSet;

use prost_reflect::{Kind, MessageDescriptor};

use crate::protobuf;

/// The message that is an HTTP body: `content_type` is field 1, `data` is field 2.
const HTTP_BODY: &str = "google.api.HttpBody";

/// What an HTTP body holds.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    /// The message as JSON.
    Json(Codec),
    /// The message's own bytes, of its own type.
    Raw,
}

impl Form {
    pub(crate) fn of(message: MessageDescriptor) -> Self {
        if message.full_name() == HTTP_BODY { Self::Raw } else { Self::Json(Codec::of(message)) }
    }
}

/// A `google.api.HttpBody` of these bytes.
pub(crate) fn pack_raw(content_type: &str, data: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(content_type.len() + data.len() + 16);
    protobuf::put(1, content_type.as_bytes(), &mut message);
    protobuf::put(2, data, &mut message);
    message
}

/// Type and bytes of a `google.api.HttpBody`.
pub(crate) fn unpack_raw(message: &[u8]) -> (&[u8], &[u8]) {
    (protobuf::find(message, &[1]).unwrap_or_default(), protobuf::find(message, &[2]).unwrap_or_default())
}

/// Both codecs of one message.
#[derive(Clone, Debug)]
pub(crate) struct Codec {
    message: MessageDescriptor,
    typed: Option<api::Codec>,
    /// The typed codec keeps the last of duplicate map keys, so it may not read these.
    has_map: bool,
}

impl Codec {
    pub(crate) fn of(message: MessageDescriptor) -> Self {
        let has_map = holds_map(&message, &mut BTreeSet::new());
        Self { typed: api::codec(message.full_name()), has_map, message }
    }

    /// What is read and written.
    pub(crate) fn message(&self) -> &MessageDescriptor {
        &self.message
    }

    /// `fell_back` is called when no typed codec could. Errors: `BODY_INVALID`, `DUPLICATE_KEY`, `FIELD_UNKNOWN`.
    pub(crate) fn read(&self, text: &[u8], fell_back: impl FnOnce()) -> kernel::Result<Vec<u8>> {
        let typed = self.typed.filter(|_| !self.has_map).and_then(|typed| (typed.read)(text).ok());
        typed.map_or_else(
            || {
                fell_back();
                rpc::json_to_wire(&self.message, text)
            },
            Ok,
        )
    }

    /// `fell_back` as above. Errors: Internal, when the bytes are no such message.
    pub(crate) fn write(&self, bytes: &[u8], fell_back: impl FnOnce()) -> kernel::Result<Vec<u8>> {
        let typed = self.typed.and_then(|typed| (typed.write)(bytes));
        typed.map_or_else(
            || {
                fell_back();
                rpc::wire_to_json(&self.message, bytes)
            },
            Ok,
        )
    }
}

fn holds_map(message: &MessageDescriptor, seen: &mut BTreeSet<String>) -> bool {
    seen.insert(message.full_name().to_owned())
        && message.fields().any(|field| field.is_map() || matches!(field.kind(), Kind::Message(inner) if holds_map(&inner, seen)))
}
