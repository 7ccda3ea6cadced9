//! The wire suite: the real executable, called as users call it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    unreachable_pub,
    missing_debug_implementations
)]

mod access;
mod bad_input;
mod contract_rpcs;
mod crash;
mod faults;
mod faults_store;
// The same reader of the text format that the tests of rpc have.
#[path = "../../../../crates/rpc/tests/rpc/exposition.rs"]
mod exposition;
mod identity;
mod layouts;
mod lossy;
mod matrix;
#[path = "../../../../crates/storage/tests/mongo/server.rs"]
mod mongo;
mod node;
mod numbers;
mod operations;
mod operations_backup;
mod operations_migrate;
mod operations_servers;
mod operations_store;
mod rest;
mod stores;
mod traces;
mod wires;

/// A status as a client library would hold it.
#[allow(clippy::disallowed_methods)] // a client's side of the wire
fn status_with(code: i32, message: &str, details: &[u8]) -> tonic::Status {
    tonic::Status::with_details(tonic::Code::from_i32(code), message, bytes::Bytes::copy_from_slice(details))
}
