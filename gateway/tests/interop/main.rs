//! The standard cases of gRPC's own interoperability client through the gateway. Needs Go; without it, says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout)] // which cases ran, and why none did

#[path = "../../../crates/rpc/tests/interop/client.rs"]
mod client;
#[path = "../../../crates/rpc/tests/interop/messages.rs"]
mod messages;
#[path = "../../../crates/rpc/tests/interop/service.rs"]
mod service;

use std::sync::Arc;

use gateway::{Config, Start};
use http_body_util::BodyExt as _;
use rpc::{Body, Http, Hub, Schema};
use tokio::sync::watch;
use tower::ServiceExt as _;

use client::{listen, passes, schema, stacked};

/// The gateway before the service, in process.
fn door(schema: Schema) -> Http {
    let schema = Arc::new(schema);
    let hub = Hub::new();
    hub.install("testing", stacked(schema.clone()));
    let config = Config { secure_cookies: false, ..Config::default() };
    let (_, ready) = watch::channel(true);
    gateway::start(Start { config, schema, hub, ready }).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_passes_every_case() {
    passes([("through the gateway", listen(door(schema().adopting("grpc.testing", "testing"))).await)]).await;
}

/// A package that is not ours is served nowhere unless a test adopts it, though its service is there.
#[tokio::test]
async fn a_package_that_is_not_ours_is_not_served() {
    let call = || {
        let request = http::Request::post("/grpc.testing.TestService/EmptyCall").version(http::Version::HTTP_2);
        let body = Body::new(http_body_util::Full::new(bytes::Bytes::from_static(&[0; 5])));
        request.header("content-type", "application/grpc").header("te", "trailers").body(body).unwrap()
    };
    let Ok(refused) = door(schema()).oneshot(call()).await;
    assert_eq!(refused.headers()["grpc-status"], "12");
    let Ok(served) = door(schema().adopting("grpc.testing", "testing")).oneshot(call()).await;
    assert_eq!(served.into_body().collect().await.unwrap().trailers().unwrap()["grpc-status"], "0");
}
