//! The standard cases of gRPC's own interoperability client against our listener and stack. Needs Go; without it, says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout)] // which cases ran, and why none did

mod client;
mod messages;
mod service;

use std::net::SocketAddr;
use std::sync::Arc;

use rpc::Hub;

use client::{listen, passes, schema, stacked};

/// The service on a port of its own.
async fn direct() -> SocketAddr {
    listen(stacked(Arc::new(schema()))).await
}

/// A door whose only peer is the service, reached over a connection.
async fn over_an_edge() -> SocketAddr {
    let hub = Hub::new();
    hub.peer("testing", direct().await.into(), &Arc::new(schema()));
    listen(hub.edge("testing").raw()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_passes_every_case() {
    passes([("direct", direct().await), ("over an edge", over_an_edge().await)]).await;
}
