//! JSON text to wire bytes and back for one message: the typed codec first, the dynamic one on any refusal, and then its
//! verdict counts. Must not know rules.

use std::collections::BTreeSet;

use prost_reflect::{Kind, MessageDescriptor};

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

    /// Errors: `BODY_INVALID`, `DUPLICATE_KEY`, `FIELD_UNKNOWN`.
    pub(crate) fn read(&self, text: &[u8]) -> kernel::Result<Vec<u8>> {
        let typed = self.typed.filter(|_| !self.has_map).and_then(|typed| (typed.read)(text).ok());
        typed.map_or_else(|| rpc::json_to_wire(&self.message, text), Ok)
    }

    /// Errors: Internal, when the bytes are no such message.
    pub(crate) fn write(&self, bytes: &[u8]) -> kernel::Result<Vec<u8>> {
        let typed = self.typed.and_then(|typed| (typed.write)(bytes));
        typed.map_or_else(|| rpc::wire_to_json(&self.message, bytes), Ok)
    }
}

fn holds_map(message: &MessageDescriptor, seen: &mut BTreeSet<String>) -> bool {
    seen.insert(message.full_name().to_owned())
        && message.fields().any(|field| field.is_map() || matches!(field.kind(), Kind::Message(inner) if holds_map(&inner, seen)))
}
