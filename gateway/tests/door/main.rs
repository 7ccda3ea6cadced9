//! The gateway from outside, over a contract of its own and over the real one of identity: requests go in, answers come
//! out, and a peer says what reached it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bodies;
mod browser;
mod codecs;
mod counted;
mod headers;
mod identity;
mod openapi;
mod peer;
mod pressure;
mod rest;
mod sockets;
mod start;
mod transcoding;
mod wires;
