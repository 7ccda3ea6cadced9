//! The gateway from outside, over a contract of its own and over the real one of identity: requests go in, answers come
//! out, and a peer says what reached it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod browser;
mod identity;
mod peer;
mod rest;
mod sockets;
mod start;
mod wires;
