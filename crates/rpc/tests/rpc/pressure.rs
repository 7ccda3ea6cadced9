//! What a client cannot make a listener hold, and what it reads when it tries.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::Frame;
use kernel::{Credential, Result, Verified};
use rpc::{Body, BoxFuture, Budget, Caps, Claims, Http, Listener, Service, Stack, Verifier};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::contracts;
use crate::listener::Server;
use crate::sample::{Sample, bytes};
use crate::wire::{ask_raw, by, call, eventually, framed, named, read, with};

const NOTE: &str = "apps/acme/notes/n1";

/// A body whose bytes come when the test sends them.
struct Fed(mpsc::UnboundedReceiver<Bytes>);

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// A message of a megabyte that lacks its last byte, and the means to send that.
fn unfinished() -> (Request<Body>, mpsc::UnboundedSender<Bytes>) {
    let mut bytes = framed(&[b"\x0a\x12apps/acme/notes/n1\x7a\xe8\xff\x3f".to_vec(), vec![b'x'; 1_048_552]].concat());
    bytes.truncate(bytes.len() - 1);
    let (feed, fed) = mpsc::unbounded_channel();
    feed.send(bytes.into()).unwrap();
    (ask_raw("Look", Vec::new()).map(|_| Body::new(Fed(fed))), feed)
}

/// Whether a connection may claim no byte more.
async fn is_spent(claims: &Claims) -> bool {
    timeout(Duration::from_millis(50), claims.take(1)).await.is_err()
}

#[tokio::test]
async fn the_gateways_edge_keeps_the_budget_of_the_connection() {
    let sample = Sample::new();
    sample.hub.install("sample", sample.service.clone());
    let (edge, claims) = (sample.hub.edge("sample").raw(), Claims::new(Budget::default()));
    let mut calls = Vec::new();
    for _ in 0..16 {
        let (mut request, feed) = unfinished();
        request.extensions_mut().insert(claims.clone());
        let edge = edge.clone();
        calls.push((tokio::spawn(async move { call(&edge, request).await }), feed));
    }
    eventually(|| is_spent(&claims)).await;
    for (call, feed) in calls {
        feed.send(Bytes::from_static(b"x")).unwrap();
        drop(feed);
        assert_eq!(call.await.unwrap().code(), Code::Ok);
    }
    assert!(!is_spent(&claims).await);
}

#[tokio::test]
async fn what_all_connections_hold_is_bounded() {
    let budget = Budget::of(1_500_000);
    let server = Server::start(Caps { budget: budget.clone(), ..Caps::default() }).await;
    let (one, other) = (server.connect().await, server.connect().await);
    let (request, feed) = unfinished();
    let first = tokio::spawn(one.send.clone().send_request(request));
    eventually(|| async { Claims::new(budget.clone()).take(1).await.unwrap().holds(600_000).is_err() }).await;
    let (request, _second) = unfinished();
    let refused = timeout(Duration::from_secs(5), other.call(request)).await.expect("nothing was refused");
    assert_eq!((refused.code(), refused.reason().as_str()), (Code::Unavailable, "OVERLOADED"));
    assert!(refused.status.get_details_retry_info().is_some());
    feed.send(Bytes::from_static(b"x")).unwrap();
    drop(feed);
    let answer = read(first.await.unwrap().unwrap()).await;
    assert_eq!(answer.code(), Code::Ok, "{:?}", answer.status);
}

#[tokio::test]
async fn headers_a_little_too_long_are_refused_with_a_reason() {
    let server = Server::start(Caps::default()).await;
    let connection = server.connect().await;
    let long = with(with(named("Look", NOTE), "x-big", &"x".repeat(20_000)), "x-request-id", "long-headers");
    let refused = connection.call(long).await;
    assert_eq!((refused.reason().as_str(), refused.headers["x-request-id"].to_str().unwrap()), ("HEADERS_TOO_LARGE", "long-headers"));
}

struct Panicking;

impl Verifier for Panicking {
    fn verify<'a>(&'a self, _: &'a Credential) -> BoxFuture<'a, Result<Verified>> {
        Box::pin(async { panic!("the verifier broke") })
    }
}

#[tokio::test]
async fn a_panic_before_the_handler_is_an_answer() {
    let stack = Stack { schema: Arc::new(contracts::sample()), verifier: Arc::new(Panicking), clock: kernel::Clock::system() };
    let service = stack.wrap(Service { name: "sample", routes: axum::Router::new().into() });
    let asked = with(by("ann", named("GetNote", NOTE)), "x-request-id", "panicking-call");
    let answer = call(&service, asked).await;
    assert_eq!((answer.code(), answer.reason().as_str()), (Code::Internal, "PANIC"));
    assert_eq!(answer.status.get_details_request_info().unwrap().request_id, "panicking-call");
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_cut() {
    let big = Http::new(tower::service_fn(|_| async { Ok(http::Response::new(bytes(vec![b'x'; 32 << 20]))) }));
    let caps = Caps { unread: Duration::from_millis(200), connections_per_address: 1, ..Caps::default() };
    let listener = Listener::bind("127.0.0.1:0", caps).await.unwrap();
    let (address, (_stop, stopped)) = (listener.address(), oneshot::channel::<()>());
    tokio::spawn(listener.serve(big, async { drop(stopped.await) }));
    let mut deaf = TcpStream::connect(address).await.unwrap();
    deaf.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // Nobody else is let in while it is there.
    eventually(|| async {
        let mut next = TcpStream::connect(address).await.unwrap();
        next.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.is_ok() && next.read_u8().await.is_ok()
    })
    .await;
}
