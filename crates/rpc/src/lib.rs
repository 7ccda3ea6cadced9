//! From the socket to the handler: listener, guard, trace, deadline, auth, access, `open()`, and the way to peers.
//! Called by services, gateway and node; knows no method and no service by name: everything comes from a `Schema`.

mod access;
mod admin;
mod answer;
mod auth;
mod claims;
mod deadline;
mod edge;
mod envelope;
mod flight;
mod guard;
mod heads;
mod health;
mod http;
mod hub;
mod jitter;
mod json;
mod life;
mod listen;
mod log;
mod mesh;
mod metrics;
mod names;
mod open;
mod options;
mod refuse;
mod remote;
mod schema;
mod service;
mod socket;
mod start;
mod trace;
mod traffic;

use std::future::Future;
use std::pin::Pin;

pub use admin::{admin, meshed, nothing};
pub use claims::{Budget, Claim, Claims};
pub use deadline::{Deadline, time_left};
pub use edge::{Channel, Edge};
pub use health::Waiting;
pub use http::Http;
pub use hub::Hub;
pub use json::{json_to_wire, wire_to_json};
pub use listen::{Caps, Listener, Peer, address_header};
pub use log::{lines, log};
pub use mesh::Addresses;
pub use metrics::{Histogram, Mark, Meters, Number, Reader, Reading, Times};
pub use names::NameField;
pub use open::Open;
pub use refuse::{CallId, call_id, refuse};
pub use schema::{Limits, Method, Schema};
pub use service::{Service, Stack, Verifier, caught};
pub use trace::trace_id;
pub use traffic::Traffic;

/// The body of every request and answer in here.
pub type Body = tonic::body::Body;

/// A future in a box.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
