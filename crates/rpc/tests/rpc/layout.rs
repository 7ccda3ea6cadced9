//! The same calls in process and over a connection. Nobody who makes them can tell which it was.

use std::fmt::Write as _;
use std::time::Duration;

use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use rpc::{Body, Caps, Http, Hub};
use tokio::time::timeout;
use tower::ServiceExt;

use crate::listener::Server;
use crate::sample::bytes as bytes_of;
use crate::wire::{ask, ask_raw, by, eventually, framed, named, string_field, with};

const NOTE: &str = "apps/acme/notes/n1";

/// Everything that a caller sees of an answer, as text.
async fn seen(service: &Http, request: Request<Body>) -> String {
    let Ok(response) = service.clone().oneshot(request).await;
    let (head, body) = response.into_parts();
    let mut text = format!("{} {:?}\n", head.status, sorted(&head.headers));
    let whole = body.collect().await.expect("an answer never breaks");
    let trailers = whole.trailers().map(sorted);
    let bytes = whole.to_bytes();
    write!(text, "{} bytes {:?}\n{trailers:?}", bytes.len(), &bytes[..bytes.len().min(600)]).unwrap();
    text
}

fn sorted(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut headers: Vec<_> =
        headers.iter().map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect();
    headers.sort();
    headers
}

fn stream(method: &str, names: &[&str]) -> Request<Body> {
    let body = names.iter().flat_map(|name| framed(&string_field(1, name))).collect();
    by("ann", ask(method, b"").map(|_| bytes_of(body)))
}

/// A request for the note with so many bytes beside the name.
fn padded(bytes: usize) -> Vec<u8> {
    let mut message = string_field(1, NOTE);
    // Field 9, which nobody knows, and its length as a varint of three bytes.
    message.push(9 << 3 | 2);
    message.extend([bytes & 0x7f | 0x80, bytes >> 7 & 0x7f | 0x80, bytes >> 14].map(|part| u8::try_from(part).unwrap()));
    message.extend(vec![b'x'; bytes]);
    message
}

/// Messages around what a frame, a window and a kept body hold, alone and in a row, by each kind of method.
fn sized() -> Vec<(&'static str, Request<Body>)> {
    let mut calls = Vec::new();
    for bytes in [0, 1_000, 16_384, 65_000, 70_000, 300_000, 1_000_000] {
        calls.push(("unary of a size", by("ann", ask("Look", &padded(bytes)))));
        for method in ["Chat", "Upload"] {
            let body = framed(&padded(bytes)).repeat(3);
            calls.push(("a stream of a size", by("ann", ask(method, b"").map(|_| bytes_of(body)))));
        }
    }
    calls.push(("larger than any", by("ann", ask("Look", &padded(1 << 20)))));
    calls.push(("a stream of one that is larger", by("ann", ask("Chat", b"").map(|_| bytes_of(framed(&padded(1 << 20)))))));
    calls
}

fn others() -> Vec<(&'static str, Request<Body>)> {
    vec![
        ("both ways, cut", stream_raw("Chat", &framed(&string_field(1, NOTE))[..7])),
        ("up, cut", stream_raw("Upload", &framed(&string_field(1, NOTE))[..7])),
        ("no permission for a stream", by("guest", ask("Chat", b"").map(|_| bytes_of(framed(&string_field(1, NOTE)))))),
        ("traced", with(named("Look", NOTE), "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
        ("metadata", with(named("Look", NOTE), "x-trace-bin", "AAEC")),
    ]
}

fn stream_raw(method: &str, body: &[u8]) -> Request<Body> {
    by("ann", ask(method, b"").map(|_| bytes_of(body.to_vec())))
}

fn calls() -> Vec<(&'static str, Request<Body>)> {
    [plain(), sized(), others()].into_iter().flatten().collect()
}

fn plain() -> Vec<(&'static str, Request<Body>)> {
    let many = |name: &'static str, count| (0..count).fold(named("Look", NOTE), |request, _| with(request, name, "1"));
    let mut get = named("Look", NOTE);
    *get.method_mut() = http::Method::GET;
    let mut image = named("Look", NOTE);
    image.headers_mut().insert("content-type", "image/jpeg".parse().unwrap());
    let mut unknown = named("Look", NOTE);
    *unknown.uri_mut() = "http://test/x.Y/Z".parse().unwrap();
    vec![
        ("ok", named("Look", NOTE)),
        ("signed in", by("ann", ask("Own", b""))),
        ("nobody", ask("Own", b"")),
        ("expired", by("expired", ask("Own", b""))),
        ("two credentials", by("ann", by("ann", ask("Own", b"")))),
        ("malformed credential", with(ask("Own", b""), "authorization", "Bearer nonsense")),
        ("no permission", by("guest", ask("Own", b""))),
        ("absent", by("ann", named("GetNote", NOTE))),
        ("foreign", by("ann", named("GetNote", "apps/other/notes/n1"))),
        ("malformed name", by("ann", named("GetNote", "apps/-/notes/n1"))),
        ("broken", named("Fail", NOTE)),
        ("panic", named("Panic", NOTE)),
        ("panic within a stream", named("Trip", NOTE)),
        ("deadline", with(named("Hang", NOTE), "grpc-timeout", "150m")),
        ("deadline of a stream", with(named("Stall", NOTE), "grpc-timeout", "150m")),
        ("nothing left", with(named("Look", NOTE), "grpc-timeout", "0n")),
        ("malformed deadline", with(named("Look", NOTE), "grpc-timeout", "soon")),
        ("verb", get),
        ("type", image),
        ("method", unknown),
        ("no message", ask_raw("Look", Vec::new())),
        ("two messages", ask_raw("Look", framed(&string_field(1, NOTE)).repeat(2))),
        ("half a message", ask_raw("Look", framed(&string_field(1, NOTE))[..9].to_vec())),
        ("compressed", with(named("Look", NOTE), "grpc-encoding", "gzip")),
        ("too large", by("ann", ask("UpdateNote", &[&[0x1a, 0xfe, 0x07][..], &[b'x'; 1022]].concat()))),
        ("65 custom headers", many("x-more", 65)),
        ("101 headers", many("mozaiks-more", 101)),
        ("a large answer", named("Big", NOTE)),
        ("a large request", by("ann", ask("Own", &[&[0x3a, 0x80, 0x80, 0x38][..], &[b'x'; 14 << 16]].concat()))),
        ("client stream", stream("Upload", &[NOTE, "apps/acme/notes/n2"])),
        ("client stream that strays", stream("Upload", &[NOTE, "apps/other/notes/n1"])),
        ("empty client stream", stream("Upload", &[])),
        ("both ways", stream("Chat", &[NOTE, "apps/acme/notes/n2", "apps/acme/notes/n3"])),
        ("both ways, nothing", stream("Chat", &[])),
    ]
}

#[tokio::test]
async fn layout_cannot_be_told() {
    let server = Server::start(Caps::mesh()).await;
    let (near, far) = (Hub::new(), Hub::new());
    near.install("sample", server.sample.service.clone());
    far.peer("sample", server.address.into(), &server.sample.schema);
    let (near, far) = (near.edge("sample").raw(), far.edge("sample").raw());
    assert!(calls().len() >= 60, "{} calls", calls().len());
    for ((what, nearly), (_, farly)) in calls().into_iter().zip(calls()) {
        let id = |request| with(request, "x-request-id", "same-call");
        let (near, far) = (seen(&near, id(nearly)).await, seen(&far, id(farly)).await);
        assert_eq!(near, far, "{what}");
    }
    for service in [near, far] {
        let hanging = timeout(Duration::from_millis(50), seen(&service, named("Hang", NOTE))).await;
        assert!(hanging.is_err());
        eventually(|| async { server.sample.running() == 0 }).await;
    }
}
