//! Tests of rpc over its public face: small contracts, hand-made services, real sockets on free ports.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod admin;
mod contracts;
mod deadlines;
mod edge;
mod exposition;
mod faults;
mod handmade;
mod json;
mod layout;
mod limits;
mod listener;
mod log;
mod mesh;
mod metrics;
mod pressure;
mod remote;
mod sample;
mod wire;
