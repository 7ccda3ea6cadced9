//! What the door notices of calls, as the numbers of the process tell it.

use http::Request;
use http_body_util::BodyExt;
use rpc::{Body, Meters, Waiting};
use tokio::sync::watch;
use tower::ServiceExt;

use crate::peer::{Door, SCHEMA};

/// A counter of this method now. Other tests call the same methods.
async fn count(name: &str, rpc: &str) -> u64 {
    let admin = rpc::admin(&SCHEMA, watch::channel(Waiting::default()).1, Meters::default(), rpc::nothing()).unwrap();
    let Ok(response) = admin.oneshot(Request::get("/metrics").body(Body::empty()).unwrap()).await;
    let text = String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let series = format!("{name}{{rpc=\"{rpc}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn json_that_no_typed_codec_takes_is_counted() {
    const RPC: &str = "mozaiks.identity.v1.AppsService/CreateApp";
    let (door, before) = (Door::open(), count("json_fallback_total", RPC).await);
    let told = door.rest("POST /api/core/identity/apps", &[], "{\"displayName\":\"Acme\",\"description\":null}").await;
    assert_eq!(told.status, 200);
    assert!(count("json_fallback_total", RPC).await > before);
}

#[tokio::test]
async fn calls_of_what_is_on_its_way_out_are_counted() {
    const RPC: &str = "mozaiks.probe.v1.ThingsService/ReadThing";
    let (door, before) = (Door::open(), count("deprecated_calls_total", RPC).await);
    door.rest("GET /api/core/probe/old/apps/acme/things/one", &[], "").await;
    assert!(count("deprecated_calls_total", RPC).await > before);
}
