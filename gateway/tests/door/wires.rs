//! The same call over every wire; what is refused before it reaches the peer, in the caller's own words.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gateway::{Admin, Config};
use http::{HeaderMap, Request, Version};
use serde_json::{Value, json};

use crate::peer::{Door, SCHEMA, Told, full, pack};

pub(crate) const THINGS: &str = "/mozaiks.probe.v1.ThingsService";
pub(crate) const RPC_WIRES: [&str; 3] = ["application/grpc", "application/grpc-web+proto", "application/grpc-web-text"];

pub(crate) fn message(path: &str, ask: &Value) -> Bytes {
    let method = SCHEMA.method(path).unwrap();
    pack(&rpc::json_to_wire(&method.descriptor.input(), ask.to_string().as_bytes()).unwrap())
}

pub(crate) fn request(wire: &str, path: &str, envelopes: &Bytes, headers: &[(&str, &str)]) -> Request<rpc::Body> {
    let text = if wire.contains("text") { Bytes::from(STANDARD.encode(envelopes)) } else { envelopes.clone() };
    let version = if wire == "application/grpc" { Version::HTTP_2 } else { Version::HTTP_11 };
    let request = Request::post(path).version(version).header("host", "here").header("content-type", wire);
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(full(text)).unwrap()
}

/// The messages and the trailers of an answer, whatever the wire.
pub(crate) fn unfold(wire: &str, told: &Told) -> (Vec<Bytes>, HeaderMap) {
    assert_eq!(told.status, 200, "{told:?}");
    let mut trailers = told.trailers.clone().unwrap_or_default();
    let mut rest = told.body.clone();
    if wire.contains("text") {
        let groups = told.body.chunks(4).map(|group| STANDARD.decode(group).unwrap());
        rest = groups.collect::<Vec<_>>().concat().into();
    }
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
        let frame = rest.split_to(5 + length);
        if frame[0] == 0x80 {
            for line in std::str::from_utf8(&frame[5..]).unwrap().lines() {
                let (name, value) = line.split_once(": ").unwrap();
                trailers.append(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
            }
        } else {
            messages.push(frame.slice(5..));
        }
    }
    if trailers.is_empty() {
        trailers = told.headers.clone();
    }
    (messages, trailers)
}

/// The answer as JSON, or code, reason and message of the failure.
pub(crate) fn outcome(wire: &str, path: &str, told: &Told) -> Result<Value, (i32, String, String)> {
    let (messages, trailers) = unfold(wire, told);
    let status = tonic::Status::from_header_map(&trailers).unwrap();
    if status.code() != tonic::Code::Ok {
        return Err((status.code() as i32, kernel::error_info(&status).unwrap(), status.message().to_owned()));
    }
    let output = SCHEMA.method(path).unwrap().descriptor.output();
    Ok(serde_json::from_slice(&rpc::wire_to_json(&output, &messages[0]).unwrap()).unwrap())
}

pub(crate) async fn call(door: &Door, wire: &str, path: &str, ask: &Value, headers: &[(&str, &str)]) -> Told {
    door.send(request(wire, path, &message(path, ask), headers)).await
}

#[tokio::test]
async fn equal_answers_over_every_wire() {
    let (door, path) = (Door::open(), format!("{THINGS}/GetThing"));
    let ask = json!({ "name": "apps/acme/things/one", "count": 7, "tags": ["a", "b"], "filter": { "depth": 2 } });
    let rest = door.rest("GET /api/core/probe/apps/acme/things/one?count=7&tags=a&tags=b&filter.depth=2", &[], "").await;
    assert_eq!((rest.status, rest.header("content-type")), (200, Some("application/json")));
    for wire in RPC_WIRES {
        let told = call(&door, wire, &path, &ask, &[]).await;
        assert_eq!(outcome(wire, &path, &told).unwrap()["thing"], rest.json(), "{wire}");
        let kind = if wire == "application/grpc" {
            "application/grpc"
        } else if wire.contains("text") {
            "application/grpc-web-text+proto"
        } else {
            "application/grpc-web+proto"
        };
        assert_eq!((told.header("content-type"), told.header("x-leading")), (Some(kind), Some("kept")));
        assert_eq!(unfold(wire, &told).1["x-trailing"], "kept");
    }
    assert!(door.seen().iter().all(|seen| seen.ask == ask));
}

#[tokio::test]
async fn equal_errors_over_every_wire() {
    let (door, path) = (Door::open(), format!("{THINGS}/GetThing"));
    let table = [
        ("missing", 404, 5, "NOT_FOUND"),
        ("stale", 409, 10, "ETAG_STALE"),
        ("busy", 429, 8, "TRY_LATER"),
        ("invalid", 400, 3, "FIELDS_INVALID"),
        ("broken", 500, 13, "RECORD_CORRUPT"),
        ("ended", 401, 16, "SESSION_ENDED"),
    ];
    for (name, status, code, reason) in table {
        let name = format!("apps/acme/things/{name}");
        let rest = door.rest(&format!("GET /api/core/probe/{name}"), &[("x-request-id", "call-0001")], "").await;
        let body = rest.json();
        assert_eq!((rest.status, body["code"].as_i64(), rest.reason().as_str()), (status, Some(code.into()), reason));
        assert_eq!(
            body["details"].as_array().unwrap().iter().find(|entry| entry["requestId"].is_string()).unwrap()["requestId"],
            "call-0001"
        );
        for wire in RPC_WIRES {
            let told = call(&door, wire, &path, &json!({ "name": name }), &[]).await;
            assert_eq!(
                outcome(wire, &path, &told).unwrap_err(),
                (code, reason.to_owned(), body["message"].as_str().unwrap().to_owned()),
                "{wire}"
            );
            assert!(
                told.body.is_empty() && told.headers.contains_key("grpc-status"),
                "{wire}: an error before any message has an empty body"
            );
        }
        assert!(!body.to_string().contains("page 7"));
    }
}

#[tokio::test]
async fn streams_pass_with_the_error_behind_their_messages() {
    let (door, path) = (Door::open(), format!("{THINGS}/WatchThings"));
    for wire in RPC_WIRES {
        let told = call(&door, wire, &path, &json!({ "name": "apps/acme/things/one" }), &[]).await;
        let (messages, trailers) = unfold(wire, &told);
        assert_eq!((messages.len(), trailers["grpc-status"].to_str().unwrap()), (2, "14"), "{wire}");
    }
}

#[tokio::test]
async fn accept_picks_text_or_binary() {
    let (door, path) = (Door::open(), format!("{THINGS}/GetThing"));
    for (wire, accept, kind) in [
        (RPC_WIRES[1], "application/grpc-web-text", "application/grpc-web-text+proto"),
        (RPC_WIRES[2], "application/grpc-web+proto", "application/grpc-web+proto"),
        (RPC_WIRES[2], "*/*", "application/grpc-web-text+proto"),
    ] {
        let told = call(&door, wire, &path, &json!({}), &[("accept", accept)]).await;
        assert_eq!(told.header("content-type"), Some(kind), "{wire} {accept}");
        assert!(outcome(kind, &path, &told).is_ok());
    }
}

#[tokio::test]
async fn what_is_no_rpc_is_refused_in_the_callers_words() {
    let (door, path) = (Door::open(), format!("{THINGS}/GetThing"));
    let ask = message(&path, &json!({}));
    for kind in ["text/plain", "application/json", "image/jpeg", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let told = door.send(request(kind, &path, &ask, &[("cookie", "mozaiks=t")])).await;
        assert_eq!(
            (told.status, told.reason().as_str(), told.json()["code"].as_i64()),
            (415, "CONTENT_TYPE_UNSUPPORTED", Some(12)),
            "{kind}"
        );
        assert!(told.header("accept-post").unwrap().contains("application/grpc-web-text"));
    }
    for kind in ["application/grpc+thrift", "application/grpc-web+json", "application/grpc-web-text+x"] {
        let told = door.send(request(kind, &path, &ask, &[])).await;
        assert_eq!(outcome("", &path, &told).unwrap_err().1, "CONTENT_TYPE_UNSUPPORTED", "{kind}");
    }
    for wire in RPC_WIRES {
        let told = door.send(request(wire, &format!("{THINGS}/Nothing"), &ask, &[])).await;
        let (code, reason, _) = outcome(wire, &path, &told).unwrap_err();
        assert_eq!((code, reason.as_str()), (12, "METHOD_UNKNOWN"), "{wire}");
    }
    for verb in ["GET", "DELETE", "PUT", "HEAD", "OPTIONS"] {
        let told = door.rest(&format!("{verb} {path}"), &[("content-type", "application/grpc")], "").await;
        assert_eq!((told.status, told.header("allow")), (405, Some("POST")), "{verb}");
    }
    let mut over_http1 = request(RPC_WIRES[0], &path, &ask, &[]);
    *over_http1.version_mut() = Version::HTTP_11;
    assert_eq!(outcome("", &path, &door.send(over_http1).await).unwrap_err().0, 12);
    assert!(door.seen().is_empty());
}

#[tokio::test]
async fn text_that_is_not_base64_reaches_no_handler() {
    let (door, path) = (Door::open(), format!("{THINGS}/GetThing"));
    let request = Request::post(&path).header("content-type", RPC_WIRES[2]).body(full("AAAA*AAA")).unwrap();
    assert_eq!(outcome("", &path, &door.send(request).await).unwrap_err().1, "BODY_INVALID");
    assert!(door.seen().is_empty());
}

#[tokio::test]
async fn headers_travel_by_the_table() {
    let (door, path) = (Door::open(), format!("{THINGS}/GetThing"));
    let sent = [
        ("authorization", "Bearer a.b.c"),
        ("x-request-id", "call-0001"),
        ("grpc-timeout", "5S"),
        ("accept-language", "de"),
        ("x-mozaiks-client", "test/1"),
        ("x-custom", "1"),
        ("x-signature", "s"),
        ("cookie", "mozaiks=t"),
        ("mozaiks-client-address", "6.6.6.6"),
        ("x-forwarded-for", "6.6.6.6"),
        ("baggage", "a=b"),
    ];
    let rest = door.rest("GET /api/core/probe/apps/acme/things/one", &sent, "").await;
    let mut tolds = vec![rest];
    for wire in RPC_WIRES {
        tolds.push(call(&door, wire, &path, &json!({ "name": "apps/acme/things/one" }), &sent).await);
    }
    for told in &tolds {
        assert_eq!(
            (told.header("x-request-id"), told.header("x-correlation-id"), told.header("set-cookie")),
            (Some("call-0001"), Some("call-0001"), None)
        );
        assert_eq!(told.header("x-content-type-options"), Some("nosniff"));
    }
    for (at, seen) in door.seen().iter().enumerate() {
        let timeout = seen.headers["grpc-timeout"].to_str().unwrap();
        assert!(timeout == "5S" || (at == 0 && timeout.ends_with('m')), "{timeout}");
        for name in ["authorization", "x-request-id", "accept-language", "x-mozaiks-client", "x-signature"] {
            let expected = sent.iter().find(|(sent, _)| *sent == name).unwrap().1;
            assert_eq!(seen.headers[name], expected, "{name}");
        }
        for name in ["cookie", "mozaiks-client-address", "x-forwarded-for", "baggage", "host"] {
            assert!(!seen.headers.contains_key(name), "{name}");
        }
        assert_eq!(
            (&seen.headers["content-type"], &seen.headers["te"]),
            (&"application/grpc".parse().unwrap(), &"trailers".parse().unwrap())
        );
        assert_eq!(seen.headers.contains_key("x-custom"), at > 0);
    }
}

#[tokio::test]
async fn the_address_is_the_peers_or_what_a_trusted_proxy_says() {
    let door = Door::with(Config { trusted_proxies: vec!["10.0.0.0/8".into()], ..Config::default() });
    for (peer, expected) in [("9.9.9.9:1", "9.9.9.9"), ("10.0.0.1:1", "1.2.3.4")] {
        let mut request = Request::get("/api/core/probe/byCount/1").header("x-forwarded-for", "6.6.6.6, 1.2.3.4").body(full("")).unwrap();
        request.extensions_mut().insert(rpc::Peer(peer.parse().unwrap()));
        assert_eq!(door.send(request).await.status, 200);
        assert_eq!(door.seen()[0].headers["mozaiks-client-address"], expected);
    }
}

#[tokio::test]
async fn operators_are_served_on_the_admin_listener_alone() {
    let (door, path) = (Door::open(), format!("{THINGS}/Operate"));
    assert_eq!(door.rest("GET /api/core/probe/operate", &[], "").await.reason(), "ROUTE_UNKNOWN");
    for wire in RPC_WIRES {
        let told = call(&door, wire, &path, &json!({}), &[]).await;
        assert_eq!(outcome(wire, &path, &told).unwrap_err().1, "METHOD_UNKNOWN", "{wire}");
        let mut request = request(wire, &path, &message(&path, &json!({})), &[]);
        request.extensions_mut().insert(Admin);
        assert!(outcome(wire, &path, &door.send(request).await).is_ok(), "{wire}");
    }
    let mut request = Request::get("/api/core/probe/operate").body(full("")).unwrap();
    request.extensions_mut().insert(Admin);
    assert_eq!(door.send(request).await.status, 200);
}
