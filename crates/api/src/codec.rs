//! Typed JSON: per message, proto3 JSON text to wire bytes and back.

use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The typed JSON codec of one message. A refusal carries no text of the input.
#[derive(Clone, Copy, Debug)]
pub struct Codec {
    /// JSON text to wire bytes.
    pub read: fn(&[u8]) -> Result<Vec<u8>, serde_json::Error>,
    /// Wire bytes to JSON text. `None` when the bytes are no such message.
    pub write: fn(&[u8]) -> Option<Vec<u8>>,
}

impl Codec {
    pub(crate) const fn of<M: Message + Default + Serialize + DeserializeOwned>() -> Self {
        Self {
            read: |text| Ok(serde_json::from_slice::<M>(text)?.encode_to_vec()),
            write: |bytes| serde_json::to_vec(&M::decode(bytes).ok()?).ok(),
        }
    }
}

/// The typed codec of a message by its full proto name.
pub fn codec(message: &str) -> Option<Codec> {
    let table = crate::tree::CODECS;
    let at = table.binary_search_by(|(name, _)| (*name).cmp(message)).ok()?;
    table.get(at).map(|(_, codec)| *codec)
}
