//! REST: what path, query, headers and body become, what is refused, and what the answer says beside its body.

use bytes::Bytes;
use http::Request;
use http_body::Frame;
use http_body_util::StreamBody;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::peer::{Door, full};

type Headers<'a> = &'a [(&'a str, &'a str)];

const THING: &str = "/api/core/probe/apps/acme/things/one";

#[tokio::test]
async fn path_query_and_body_become_one_message() {
    let door = Door::open();
    let get = |query: &str| (format!("GET {THING}?{query}"), "");
    let named = |more: Value| {
        let mut ask = json!({ "name": "apps/acme/things/one" });
        ask.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ask
    };
    let table = [
        (get(""), named(json!({}))),
        (get("count=-3&&deep=true"), named(json!({ "count": -3, "deep": true }))),
        (get("tags=a%26b&tags=c+d"), named(json!({ "tags": ["a&b", "c d"] }))),
        (get("kind=KIND_ROUND"), named(json!({ "kind": "KIND_ROUND" }))),
        (get("kind=1"), named(json!({ "kind": "KIND_ROUND" }))),
        (get("filter.depth=2&filter.owner_name=x&filter.ownerName="), Value::Null),
        (get("filter.depth=2&filter.ownerName=x"), named(json!({ "filter": { "depth": 2, "ownerName": "x" } }))),
        (get("readMask=title,ownerName.x"), named(json!({ "readMask": "title,ownerName.x" }))),
        (get("read_mask=owner_name"), named(json!({ "readMask": "ownerName" }))),
        (get("since=2026-01-02T03:04:05Z&wait=1.5s"), named(json!({ "since": "2026-01-02T03:04:05Z", "wait": "1.500s" }))),
        (get("cursor=-_8"), named(json!({ "cursor": "+/8=" }))),
        (get("cursor=%2B/8="), named(json!({ "cursor": "+/8=" }))),
        (get("left=a"), named(json!({ "left": "a" }))),
        (get("limit=0"), named(json!({ "limit": 0 }))),
        (get("big=0"), named(json!({ "big": "0" }))),
        (get("ratio=1.5"), named(json!({ "ratio": 1.5 }))),
        (("GET /api/core/probe/byCount/5".into(), ""), json!({ "count": 5 })),
        (("GET /api/core/probe/apps/a%2Fb/things/c%3Ad".into(), ""), json!({ "name": "apps/a%2Fb/things/c:d" })),
        (
            ("POST /api/core/probe/apps/acme/things?thingId=t".into(), "{\"title\":\"T\",\"size\":\"9\"}"),
            json!({ "parent": "apps/acme", "thingId": "t", "thing": { "title": "T", "size": "9" } }),
        ),
        (("POST /api/core/probe/apps/acme/things".into(), ""), json!({ "parent": "apps/acme", "thing": {} })),
        (
            ("POST /api/core/probe/apps/acme/things".into(), "{\"labels\":{\"a\":\"b\"}}"),
            json!({ "parent": "apps/acme", "thing": { "labels": { "a": "b" } } }),
        ),
        (
            (format!("PATCH {THING}?updateMask=title"), "{\"name\":\"apps/other/things/x\",\"title\":\"T\"}"),
            json!({ "thing": { "name": "apps/acme/things/one", "title": "T" }, "updateMask": "title" }),
        ),
        ((format!("POST {THING}:suspend"), "{\"name\":\"apps/other/things/x\",\"reason\":\"r\"}"), named(json!({ "reason": "r" }))),
        ((format!("POST {THING}:suspend"), ""), named(json!({}))),
    ];
    for ((line, body), expected) in table {
        let told = door.rest(&line, &[], body).await;
        let seen = door.seen();
        let ask = seen.first().map_or(&Value::Null, |seen| &seen.ask);
        assert_eq!(ask, &expected, "{line} {body} {told:?}");
    }
}

#[tokio::test]
async fn what_fits_no_field_is_refused_before_the_peer() {
    let door = Door::open();
    let get = |query: &str| format!("GET {THING}?{query}");
    let suspend = format!("POST {THING}:suspend");
    let json: &[(&str, &str)] = &[];
    let table = [
        (get("nope=1"), json, "", 400, "UNKNOWN_PARAMETER"),
        (get("name=apps/x"), json, "", 400, "UNKNOWN_PARAMETER"),
        (get("filter.nope=1"), json, "", 400, "UNKNOWN_PARAMETER"),
        (get("filter.depth.x=1"), json, "", 400, "UNKNOWN_PARAMETER"),
        (format!("{suspend}?reason=x"), json, "", 400, "UNKNOWN_PARAMETER"),
        ("POST /api/core/probe/apps/acme/things?thing.title=x".into(), json, "", 400, "UNKNOWN_PARAMETER"),
        (get("count=1&count=2"), json, "", 400, "PARAMETER_INVALID"),
        (get("filter.owner_name=x&filter.ownerName=y"), json, "", 400, "PARAMETER_INVALID"),
        (get("left=a&right=b"), json, "", 400, "PARAMETER_INVALID"),
        (get("filter=x"), json, "", 400, "PARAMETER_INVALID"),
        (get("count=x"), json, "", 400, "PARAMETER_INVALID"),
        (get("count=%2B1"), json, "", 400, "PARAMETER_INVALID"),
        (get("count=99999999999"), json, "", 400, "PARAMETER_INVALID"),
        (get("deep=1"), json, "", 400, "PARAMETER_INVALID"),
        (get("kind=NOPE"), json, "", 400, "PARAMETER_INVALID"),
        (get("since=yesterday"), json, "", 400, "PARAMETER_INVALID"),
        (get("readMask=a__b"), json, "", 400, "PARAMETER_INVALID"),
        (get("readMask=a%20b"), json, "", 400, "PARAMETER_INVALID"),
        (get("cursor=%25%25"), json, "", 400, "PARAMETER_INVALID"),
        (get("ratio=NaN"), json, "", 400, "PARAMETER_INVALID"),
        (get("count=%zz"), json, "", 400, "PARAMETER_INVALID"),
        (get("tags=%ff"), json, "", 400, "PARAMETER_INVALID"),
        ("GET /api/core/probe/byCount/five".into(), json, "", 400, "PARAMETER_INVALID"),
        ("GET /api/core/probe/apps/../things/one".into(), json, "", 400, "PARAMETER_INVALID"),
        ("GET /api/core/probe/apps/%2e%2e/things/one".into(), json, "", 400, "PARAMETER_INVALID"),
        ("GET /api/core/probe/apps//things/one".into(), json, "", 400, "PARAMETER_INVALID"),
        ("GET /api/core/probe/apps/%00/things/one".into(), json, "", 400, "PARAMETER_INVALID"),
        (get(""), json, "{}", 400, "BODY_INVALID"),
        (suspend.clone(), json, "{", 400, "BODY_INVALID"),
        (suspend.clone(), json, "{}{}", 400, "BODY_INVALID"),
        (suspend.clone(), json, "[]", 400, "BODY_INVALID"),
        (suspend.clone(), json, "{\"reason\":7}", 400, "BODY_INVALID"),
        (suspend.clone(), json, "{\"nope\":1}", 400, "FIELD_UNKNOWN"),
        (suspend.clone(), json, "{\"reason\":\"a\",\"reason\":\"b\"}", 400, "DUPLICATE_KEY"),
        ("POST /api/core/probe/apps/acme/things".into(), json, "{\"labels\":{\"a\":\"1\",\"a\":\"2\"}}", 400, "DUPLICATE_KEY"),
        (suspend.clone(), &[("content-type", "text/plain")], "{}", 415, "CONTENT_TYPE_UNSUPPORTED"),
        (suspend.clone(), &[("content-type", "text/plain")], "", 415, "CONTENT_TYPE_UNSUPPORTED"),
        (suspend.clone(), &[("content-type", "application/json; charset=latin1")], "{}", 415, "CONTENT_TYPE_UNSUPPORTED"),
        (suspend.clone(), &[("content-type", "application/json; boundary=x")], "{}", 415, "CONTENT_TYPE_UNSUPPORTED"),
        (suspend.clone(), &[("content-encoding", "gzip")], "{}", 415, "ENCODING_UNSUPPORTED"),
        (suspend.clone(), &[("connect-timeout-ms", "soon")], "{}", 400, "DEADLINE_INVALID"),
        ("GET /api/core/probe/nothing".into(), json, "", 404, "ROUTE_UNKNOWN"),
        ("GET /api/core/probe/apps/acme/things/one/".into(), json, "", 404, "ROUTE_UNKNOWN"),
        ("POST /nothing".into(), json, "{}", 404, "ROUTE_UNKNOWN"),
        ("GET /nothing.js".into(), json, "", 404, "ROUTE_UNKNOWN"),
    ];
    for (line, headers, body, status, reason) in table {
        let told = door.rest(&line, headers, body).await;
        assert_eq!((told.status, told.reason().as_str()), (status, reason), "{line} {headers:?} {body}");
        assert!(told.header("x-request-id").is_some_and(|id| told.json().to_string().contains(id)), "{line}");
    }
    assert!(door.seen().is_empty());
    for kind in ["application/json", "application/json;charset=UTF-8", "Application/JSON; charset=\"utf-8\""] {
        assert_eq!(door.rest(&suspend, &[("content-type", kind)], "{}").await.status, 200, "{kind}");
    }
}

#[tokio::test]
async fn a_faulty_parameter_is_named() {
    let body = Door::open().rest(&format!("GET {THING}?filter.depth=x"), &[], "").await.json();
    let bad = body["details"].as_array().unwrap().iter().find(|entry| entry["@type"].as_str().unwrap().ends_with("BadRequest")).unwrap();
    assert_eq!(bad["fieldViolations"], json!([{ "field": "filter.depth", "description": "does not fit its type" }]));
}

#[tokio::test]
async fn conditions_and_intents_come_by_header_or_by_field() {
    let door = Door::open();
    let suspend = format!("POST {THING}:suspend");
    door.rest(&suspend, &[("if-match", "\"3\""), ("idempotency-key", "k1")], "{}").await;
    door.rest(&suspend, &[("if-match", "\"3\""), ("idempotency-key", "k1")], "{\"etag\":\"\\\"3\\\"\",\"requestId\":\"k1\"}").await;
    for seen in door.seen() {
        assert_eq!((&seen.ask["etag"], &seen.ask["requestId"]), (&json!("\"3\""), &json!("k1")));
    }
    door.rest(&format!("PATCH {THING}?updateMask=title"), &[("if-match", "\"3\"")], "{\"title\":\"T\"}").await;
    door.rest("POST /api/core/probe/apps/acme/things?requestId=k1", &[("idempotency-key", "k1")], "{}").await;
    let seen = door.seen();
    assert_eq!((&seen[0].ask["thing"]["etag"], &seen[1].ask["requestId"]), (&json!("\"3\""), &json!("k1")));
    let refused: [(&str, Headers, &str); 5] = [
        (&suspend, &[("if-match", "\"3\"")], "{\"etag\":\"\\\"4\\\"\"}"),
        (&suspend, &[("idempotency-key", "k1")], "{\"requestId\":\"k2\"}"),
        (&suspend, &[("if-match", "\"3\""), ("if-match", "\"4\"")], "{}"),
        (&format!("GET {THING}"), &[("if-match", "\"3\"")], ""),
        ("POST /api/core/probe/session:open", &[("idempotency-key", "k1")], "{}"),
    ];
    for (line, headers, body) in refused {
        assert_eq!(door.rest(line, headers, body).await.reason(), "PARAMETER_INVALID", "{line} {headers:?} {body}");
    }
    assert!(door.seen().is_empty());
}

#[tokio::test]
async fn etags_save_bodies_and_lost_updates() {
    let door = Door::open();
    let told = door.rest(&format!("GET {THING}"), &[], "").await;
    assert_eq!((told.header("etag"), told.header("cache-control")), (Some("\"7\""), Some("private, no-cache")));
    for held in ["\"7\"", "W/\"7\"", "\"1\", \"7\"", "*"] {
        let told = door.rest(&format!("GET {THING}"), &[("if-none-match", held)], "").await;
        assert_eq!((told.status, told.body.len(), told.header("etag")), (304, 0, Some("\"7\"")), "{held}");
    }
    assert_eq!(door.rest(&format!("GET {THING}"), &[("if-none-match", "\"8\"")], "").await.status, 200);
    let told = door.rest(&format!("PATCH {THING}?updateMask=title"), &[("if-none-match", "\"7\"")], "{}").await;
    assert_eq!(told.status, 200);
    let stale = "PATCH /api/core/probe/apps/acme/things/stale?updateMask=title";
    assert_eq!(door.rest(stale, &[("if-match", "\"1\"")], "{}").await.status, 412);
    assert_eq!(door.rest(stale, &[], "{}").await.status, 409);
    let told = door.rest(&format!("POST {THING}:suspend"), &[], "{}").await;
    assert_eq!((told.header("etag"), told.header("cache-control")), (None, Some("no-store")));
}

#[tokio::test]
async fn verbs_of_a_path() {
    let door = Door::open();
    let told = door.rest(&format!("DELETE {THING}"), &[], "").await;
    assert_eq!((told.status, told.reason().as_str(), told.header("allow")), (405, "VERB_NOT_ALLOWED", Some("GET, HEAD, OPTIONS, PATCH")));
    let told = door.rest(&format!("GET {THING}:suspend"), &[], "").await;
    assert_eq!((told.status, told.header("allow")), (405, Some("OPTIONS, POST")));
    let told = door.rest(&format!("OPTIONS {THING}"), &[], "").await;
    assert_eq!((told.status, told.header("allow")), (204, Some("GET, HEAD, OPTIONS, PATCH")));
    assert!(door.seen().is_empty());
    let told = door.rest(&format!("HEAD {THING}"), &[], "").await;
    assert_eq!((told.status, told.body.len(), told.header("etag")), (200, 0, Some("\"7\"")));
    let told = door.rest(&format!("GET {THING}"), &[("x-http-method-override", "DELETE")], "").await;
    assert_eq!(told.status, 200);
}

#[tokio::test]
async fn limits_are_told_in_json() {
    let door = Door::open();
    let suspend = format!("POST {THING}:suspend");
    let long = format!("{{\"reason\":\"{}\"}}", "x".repeat(2_000));
    let told = door.rest(&suspend, &[], &long).await;
    assert_eq!((told.status, told.reason().as_str(), told.header("retry-after")), (413, "MESSAGE_TOO_LARGE", None));
    let pieces: Vec<_> = (0..300).map(|_| Ok::<_, tonic::Status>(Frame::data(Bytes::from_static(b"          ")))).collect();
    let body = rpc::Body::new(StreamBody::new(tokio_stream::iter(pieces)));
    let request = Request::post(format!("{THING}:suspend")).header("content-type", "application/json").body(body).unwrap();
    assert_eq!(door.send(request).await.status, 413);
    let told = door.rest(&format!("GET {THING}?tags={}", "x".repeat(8_192)), &[], "").await;
    assert_eq!((told.status, told.reason().as_str()), (414, "URL_TOO_LONG"));
    let told = door.rest(&format!("GET {THING}"), &[("x-big", &"x".repeat(17_000))], "").await;
    assert_eq!((told.status, told.reason().as_str()), (431, "HEADERS_TOO_LARGE"));
    assert!(door.seen().is_empty());
}

#[tokio::test]
async fn health_and_readiness() {
    let door = Door::open();
    assert_eq!(door.rest("GET /healthz", &[], "").await.body, "ok\n");
    let told = door.rest("GET /readyz", &[], "").await;
    assert_eq!((told.status, told.reason().as_str(), told.header("retry-after")), (503, "NOT_READY", Some("1")));
    door.ready.send(true).unwrap();
    assert_eq!(door.rest("GET /readyz", &[], "").await.status, 200);
    let told = door.send(Request::post("/healthz").body(full("")).unwrap()).await;
    assert_eq!(told.reason(), "ROUTE_UNKNOWN");
}

proptest! {
    #[test]
    fn any_address_and_body_is_answered(query in "[a-zA-Z0-9_.=&%+:/-]{0,60}", segment in "[a-zA-Z0-9.%:~-]{0,20}", body in "[\\[{}\\]\",:a-z0-9]{0,40}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let door = Door::open();
        for line in [format!("GET {THING}?{query}"), format!("GET /api/core/probe/apps/{segment}/things/{segment}?{query}"), format!("POST {THING}:suspend")] {
            let told = runtime.block_on(door.rest(&line, &[], if line.starts_with("POST") { &body } else { "" }));
            prop_assert!(told.status < 500, "{} {:?}", line, told);
        }
    }
}
