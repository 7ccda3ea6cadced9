//! The contracts of `proto/` in Rust: messages, clients, servers, their JSON, and the checks of field behaviour.
//! Everything below `mozaiks` is generated at build time; nothing here knows a rule of any service.

mod ask;
mod codec;
pub mod wkt;

pub use ask::{Ask, Faults};
pub use codec::{Codec, codec};

/// Packages as modules.
#[allow(clippy::all, clippy::pedantic, missing_docs, missing_debug_implementations, unreachable_pub, rustdoc::all)]
mod tree {
    include!(concat!(env!("OUT_DIR"), "/tree.rs"));
    include!(concat!(env!("OUT_DIR"), "/asks.rs"));
    include!(concat!(env!("OUT_DIR"), "/codecs.rs"));
}

pub use tree::mozaiks;

/// The encoded `google.protobuf.FileDescriptorSet` of all contracts, with comments and options. Read by `node` alone.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/contract.binpb"));
