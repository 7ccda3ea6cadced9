//! Bodies that are no JSON (`google.api.HttpBody`), what a created resource says of itself, further bindings of a method.

use bytes::Bytes;
use http::Request;
use serde_json::json;

use crate::peer::{Door, Told, full};

const FILE: &str = "/api/core/probe/apps/acme/things/one/file";
/// No text, no JSON, no protobuf.
const BYTES: &[u8] = b"\xff\x00{\"a\":1,\"a\":2}\r\n\x0b";

async fn post(door: &Door, path: &str, kind: Option<&str>, body: &'static [u8]) -> Told {
    let mut request = Request::post(path).header("host", "here").header("x-signature", "of the bytes");
    if let Some(kind) = kind {
        request = request.header("content-type", kind);
    }
    door.send(request.body(full(Bytes::from_static(body))).unwrap()).await
}

#[tokio::test]
async fn bytes_and_their_type_go_in_and_out_as_they_are() {
    let door = Door::open();
    for kind in ["image/png", "text/plain; charset=latin1", "application/json", "multipart/form-data; boundary=x"] {
        for path in [format!("{FILE}?label=l"), "/api/core/probe/echo".to_owned()] {
            let told = post(&door, &path, Some(kind), BYTES).await;
            assert_eq!((told.status, told.header("content-type"), &told.body[..]), (200, Some(kind), BYTES), "{path}");
            assert_eq!(told.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(told.header("content-security-policy"), Some("default-src 'none'; sandbox"));
        }
    }
    let seen = door.seen();
    assert_eq!((&seen[0].ask["name"], &seen[0].ask["label"]), (&json!("apps/acme/things/one"), &json!("l")));
    assert_eq!(seen[0].headers["x-signature"], "of the bytes");
}

#[tokio::test]
async fn a_body_without_a_type_is_bytes() {
    let door = Door::open();
    let told = post(&door, FILE, None, BYTES).await;
    assert_eq!((told.status, told.header("content-type"), &told.body[..]), (200, Some("application/octet-stream"), BYTES));
    assert_eq!(door.seen()[0].ask["file"].get("contentType"), None);
    let told = post(&door, FILE, None, b"").await;
    assert_eq!((told.status, told.body.len()), (200, 0));
    assert_eq!(door.seen()[0].ask["file"], json!({}), "an empty file is a file");
}

#[tokio::test]
async fn what_no_file_may_be_is_refused() {
    let door = Door::open();
    let told = door.rest(&format!("POST {FILE}"), &[("content-type", "image/png")], &"x".repeat(2_001)).await;
    assert_eq!((told.status, told.reason().as_str()), (413, "MESSAGE_TOO_LARGE"));
    let told = door.rest(&format!("POST {FILE}"), &[("content-encoding", "gzip"), ("content-type", "image/png")], "x").await;
    assert_eq!((told.status, told.reason().as_str()), (415, "ENCODING_UNSUPPORTED"));
    let told = door.rest(&format!("POST {FILE}"), &[("content-type", "image/png"), ("content-type", "text/html")], "x").await;
    assert_eq!((told.status, told.reason().as_str()), (400, "PARAMETER_INVALID"));
    assert!(door.seen().is_empty());
}

#[tokio::test]
async fn what_was_made_says_where_it_is_read() {
    let door = Door::open();
    let create = "POST /api/core/probe/apps/acme/things";
    let told = door.rest(create, &[], "{\"name\":\"apps/acme/things/new\"}").await;
    assert_eq!((told.status, told.header("location")), (200, Some("/api/core/probe/apps/acme/things/new")));
    for hostile in ["apps/acme", "apps/acme/things/a b", "apps/acme/things/x%0d", "../x", "//evil.com/x/y", "apps/acme/things/a:suspend"] {
        let told = door.rest(create, &[], &json!({ "name": hostile }).to_string()).await;
        assert_eq!((told.status, told.header("location")), (200, None), "{hostile}");
    }
    let told = door.rest("PATCH /api/core/probe/apps/acme/things/one?updateMask=title", &[], "{}").await;
    assert_eq!((told.status, told.header("location")), (200, None));
}

#[tokio::test]
async fn a_further_binding_is_the_same_call() {
    let door = Door::open();
    let first = door.rest("GET /api/core/probe/apps/acme/things/one?count=5", &[], "").await;
    let second = door.rest("GET /api/core/probe/byCount/5?name=apps/acme/things/one", &[], "").await;
    assert_eq!((first.status, first.json()), (second.status, second.json()));
    let seen = door.seen();
    assert_eq!(seen[0].ask, seen[1].ask);
}
