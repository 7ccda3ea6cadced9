//! What a slow, large or broken request cannot do to the door, whatever wire it comes over.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use gateway::{Config, Start};
use http::Request;
use http_body::Frame;
use rpc::{Body, Budget, Caps, Claims, Http, Hub, Listener};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tonic::Status;
use tower::{ServiceExt, service_fn};

use crate::peer::{Door, SCHEMA, full, pack};
use crate::wires::{RPC_WIRES, THINGS, call, message, outcome};

const RENEW: &str = "/mozaiks.probe.v1.SessionsService/RenewSession";
const COOKIE: [(&str, &str); 4] =
    [("sec-fetch-site", "same-origin"), ("x-mozaiks-client", "test/1"), ("x-mozaiks-session", "cookie"), ("cookie", "mozaiks=T1")];

/// A letter every second, without end.
struct Trickle(Pin<Box<Sleep>>);

impl Trickle {
    fn body() -> Body {
        Body::new(Self(Box::pin(sleep(Duration::from_secs(1)))))
    }
}

impl http_body::Body for Trickle {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        std::task::ready!(self.0.as_mut().poll(cx));
        self.0.as_mut().reset(Instant::now() + Duration::from_secs(1));
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"A")))))
    }
}

/// A first piece, then nothing for ever.
struct Stuck(Option<Bytes>);

impl http_body::Body for Stuck {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.0.take().map_or(Poll::Pending, |piece| Poll::Ready(Some(Ok(Frame::data(piece)))))
    }
}

fn post(path: &str, kind: &str, headers: &[(&str, &str)], body: Body) -> Request<Body> {
    let request = Request::post(path).version(http::Version::HTTP_2).header("host", "here").header("content-type", kind);
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(body).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_ends_with_the_deadline() {
    let door = Door::open();
    for (asked, seconds) in [(Some("2S"), 2), (None, 10)] {
        let headers: Vec<_> = asked.map(|asked| ("grpc-timeout", asked)).into_iter().collect();
        let start = Instant::now();
        let told = door.send(post("/api/core/probe/session:renew", "application/json", &headers, Trickle::body())).await;
        assert_eq!((told.status, told.reason().as_str(), start.elapsed().as_secs()), (504, "DEADLINE_EXCEEDED", seconds));
        for wire in RPC_WIRES {
            let start = Instant::now();
            let told = door.send(post(RENEW, wire, &[&COOKIE[..], &headers[..]].concat(), Trickle::body())).await;
            let (code, reason, _) = outcome(wire, RENEW, &told).unwrap_err();
            assert_eq!((code, reason.as_str(), start.elapsed().as_secs()), (4, "DEADLINE_EXCEEDED", seconds), "{wire}");
        }
    }
    assert!(door.seen().is_empty());
}

#[tokio::test]
async fn bodies_read_at_the_door_are_within_the_budget_of_their_connection() {
    let door = Door::open();
    let claims = Claims::new(Budget::default());
    let mut reading = Vec::new();
    for n in 0..16 {
        let mut request = if n % 2 == 0 {
            post("/api/core/probe/session:renew", "application/json", &[], Body::new(Stuck(Some(Bytes::from_static(b"{")))))
        } else {
            post(RENEW, RPC_WIRES[0], &COOKIE, Body::new(Stuck(Some(pack(b"")))))
        };
        request.extensions_mut().insert(claims.clone());
        reading.push(tokio::spawn(door.http().oneshot(request)));
    }
    let is_spent = timeout(Duration::from_secs(5), async { while timeout(Duration::from_millis(20), claims.take(1)).await.is_ok() {} });
    is_spent.await.expect("bodies are read without a claim");
    reading.iter().for_each(tokio::task::JoinHandle::abort);
    timeout(Duration::from_secs(5), claims.take(16 << 20)).await.expect("a claim was kept").unwrap();
}

#[tokio::test]
async fn bodies_read_at_the_door_are_within_the_budget_of_all() {
    let door = Door::open();
    let claims = Claims::new(Budget::of(10));
    let mut large = post("/api/core/probe/session:renew", "application/json", &[], full(json!({ "user": "somebody" }).to_string()));
    large.extensions_mut().insert(claims.clone());
    let told = door.send(large).await;
    assert_eq!((told.status, told.reason().as_str(), told.header("retry-after")), (503, "OVERLOADED", Some("1")));
    let mut small = post("/api/core/probe/session:renew", "application/json", &[], full("{}"));
    small.extensions_mut().insert(claims);
    assert_eq!(door.send(small).await.status, 200);
}

/// Whether a peer behind the gateway was told the budgets of the caller's connection.
async fn is_told_claims(kind: &str, path: &str, body: Bytes) -> bool {
    let (told, mut seen) = watch::channel(None);
    let peer = Http::new(service_fn(move |request: Request<Body>| {
        told.send_replace(Some(request.extensions().get::<Claims>().is_some()));
        async { Ok::<_, Infallible>(rpc::refuse(kernel::Error::timeout(), "a-call-id")) }
    }));
    let hub = Hub::new();
    hub.install("probe", peer);
    let (_ready, ready) = watch::channel(true);
    let start = Start { config: Config::default(), schema: SCHEMA.clone(), hub, ready };
    let listener = Listener::bind("127.0.0.1:0", Caps::default()).await.unwrap();
    let (address, (_stop, stopped)) = (listener.address(), oneshot::channel::<()>());
    tokio::spawn(listener.serve(gateway::start(start).unwrap(), async { drop(stopped.await) }));
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: here\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
    socket.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
    let told = *timeout(Duration::from_secs(5), seen.wait_for(Option::is_some)).await.unwrap().unwrap();
    told.unwrap()
}

#[tokio::test]
async fn whoever_reads_a_body_is_told_the_budgets_and_nobody_else() {
    let ask = message(&format!("{THINGS}/GetThing"), &json!({ "name": "apps/acme/things/one" }));
    assert!(is_told_claims(RPC_WIRES[1], &format!("{THINGS}/GetThing"), ask).await, "the peer reads it");
    let rest = is_told_claims("application/json", "/api/core/probe/session:renew", Bytes::from_static(b"{}"));
    assert!(!rest.await, "it was read and claimed at the door");
}

#[tokio::test]
async fn a_panic_at_the_door_is_an_answer_in_the_callers_protocol() {
    let hub = Hub::new();
    hub.install("probe", Http::new(service_fn(|_| async { panic!("the way to the peer broke") })));
    let (_ready, ready) = watch::channel(true);
    let door = gateway::start(Start { config: Config::default(), schema: SCHEMA.clone(), hub, ready }).unwrap();
    let door = Door::around(door);
    let told = door.rest("GET /api/core/probe/apps/acme/things/one", &[("x-request-id", "panicking")], "").await;
    assert_eq!((told.status, told.reason().as_str(), told.header("x-request-id")), (500, "PANIC", Some("panicking")));
    for wire in RPC_WIRES {
        let path = format!("{THINGS}/GetThing");
        let told = call(&door, wire, &path, &json!({ "name": "apps/acme/things/one" }), &[]).await;
        let (code, reason, _) = outcome(wire, &path, &told).unwrap_err();
        assert_eq!((code, reason.as_str()), (13, "PANIC"), "{wire}");
    }
}

#[tokio::test]
async fn what_is_a_little_too_long_is_refused_with_a_reason_over_sockets() {
    let door = Door::open();
    let listener = Listener::bind("127.0.0.1:0", Caps::default()).await.unwrap();
    let (address, (_stop, stopped)) = (listener.address(), oneshot::channel::<()>());
    tokio::spawn(listener.serve(door.http(), async { drop(stopped.await) }));
    let long = "x".repeat(20_000);
    for (line, header, status, reason) in [("/", &*long, 431, "HEADERS_TOO_LARGE"), (&*format!("/{long}"), "x", 414, "URL_TOO_LONG")] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let request =
            format!("GET {line} HTTP/1.1\r\nhost: here\r\nconnection: close\r\nx-request-id: too-long-1\r\nx-big: {header}\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(reason), "{answer}");
        assert!(answer.contains("x-request-id: too-long-1"), "{answer}");
    }
}

#[tokio::test]
async fn foreign_cookies_are_nobodys_business_and_a_corrupt_one_of_ours_goes() {
    let door = Door::open();
    let ask = pack(b"");
    let foreign = http::HeaderValue::from_bytes(b"theme=\xe4\xff; mozaiks=T1; lang=\xc3\xa4").unwrap();
    let mut request = post(RENEW, RPC_WIRES[0], &COOKIE[..3], full(ask.clone()));
    request.headers_mut().insert("cookie", foreign);
    let told = door.send(request).await;
    assert!(outcome(RPC_WIRES[0], RENEW, &told).is_ok(), "{told:?}");
    assert!(told.header("set-cookie").unwrap().starts_with("mozaiks=after-T1;"));
    let mut request = post(RENEW, RPC_WIRES[0], &COOKIE[..3], full(ask));
    request.headers_mut().insert("cookie", "mozaiks=corrupt".parse().unwrap());
    let told = door.send(request).await;
    assert_eq!(outcome(RPC_WIRES[0], RENEW, &told).unwrap_err().1, "CREDENTIAL_MALFORMED");
    assert!(told.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")), "{told:?}");
}

#[tokio::test]
async fn who_asks_twice_for_a_session_gets_none() {
    let door = Door::open();
    for second in ["cookie", "none"] {
        let headers = [&COOKIE[..], &[("x-mozaiks-session", second)]].concat();
        let told = door.rest("POST /api/core/probe/session:renew", &headers, "{}").await;
        assert_eq!((told.status, told.reason().as_str()), (401, "CREDENTIALS_AMBIGUOUS"), "{second}");
    }
    assert!(door.seen().is_empty());
}
