//! Peers in other processes: connected when first needed, again after a break, and never a failure but an answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use rpc::{Body, Caps, Http, Hub, Listener};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};
use tonic::Code;
use tonic_types::StatusExt;
use tower::{ServiceExt, service_fn};

use crate::contracts;
use crate::listener::Server;
use crate::wire::{Answer, by, call, eventually, named, with};

const NOTE: &str = "apps/acme/notes/n1";

fn peer(address: SocketAddr) -> Http {
    let hub = Hub::new();
    hub.peer("sample", address.into(), &Arc::new(contracts::sample()));
    hub.edge("sample").raw()
}

fn outcome(answer: &Answer) -> (Code, String) {
    (answer.code(), answer.reason())
}

fn short(method: &str) -> http::Request<rpc::Body> {
    with(named(method, NOTE), "grpc-timeout", "200m")
}

#[tokio::test]
async fn nobody_there_is_an_answer_and_somebody_later_is_found() {
    let address = Server::start(Caps::default()).await.address;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = gone.local_addr().unwrap();
    assert_ne!(address, free);
    drop(gone);
    let peer = peer(free);
    let refused = call(&peer, with(short("Look"), "x-request-id", "missing-peer")).await;
    assert_eq!(outcome(&refused), (Code::Unavailable, "NO_READY_PEER".into()));
    assert_eq!(refused.headers["x-request-id"], "missing-peer");
    let _server = Server::at(&free.to_string(), Caps::default()).await;
    eventually(|| async { call(&peer, short("Look")).await.code() == Code::Ok }).await;
}

#[tokio::test]
async fn attempts_to_connect_keep_their_distance() {
    let closing = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (start, _peer) = (Instant::now(), peer(closing.local_addr().unwrap()));
    for _ in 0..4 {
        drop(closing.accept().await.unwrap());
    }
    // 50, 100 and 200 ms, each give or take a tenth.
    assert!(start.elapsed() >= Duration::from_millis(310), "{:?}", start.elapsed());
}

#[tokio::test]
async fn one_connection_serves_all_calls_where_there_may_be_no_more() {
    let server = Server::start(Caps { connections_per_address: 1, ..Caps::default() }).await;
    let peer = peer(server.address);
    let calls: Vec<_> = (0..20)
        .map(|_| (peer.clone(), named("Look", NOTE)))
        .map(|(peer, ask)| tokio::spawn(async move { call(&peer, ask).await }))
        .collect();
    for answer in calls {
        assert_eq!(answer.await.unwrap().code(), Code::Ok);
    }
}

#[tokio::test]
async fn an_old_connection_is_replaced_without_a_failed_call() {
    let server = Server::start(Caps { age: Duration::from_millis(20), ..Caps::default() }).await;
    let (peer, start) = (peer(server.address), Instant::now());
    let callers = (0..8).map(|_| peer.clone()).map(|peer| async move {
        while start.elapsed() < Duration::from_millis(500) {
            assert_eq!(outcome(&call(&peer, named("Look", NOTE)).await).0, Code::Ok);
        }
    });
    for caller in callers.map(tokio::spawn).collect::<Vec<_>>() {
        caller.await.unwrap();
    }
}

#[tokio::test]
async fn a_peer_that_is_silent_meets_the_callers_own_clock() {
    let silent = Listener::bind("127.0.0.1:0", Caps::default()).await.unwrap();
    let address = silent.address();
    let service = Http::new(service_fn(async |request: Request<Body>| {
        if !request.uri().path().starts_with("/grpc.health.") {
            std::future::pending::<()>().await;
        }
        Ok(rpc::refuse(kernel::Error::unsupported("METHOD_UNKNOWN", "no health here"), "call"))
    }));
    tokio::spawn(silent.serve(service, std::future::pending()));
    let start = Instant::now();
    let answer = call(&peer(address), short("Look")).await;
    assert_eq!(outcome(&answer), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".into()));
    assert!((200..2_000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_socket_that_nobody_reads_is_no_connection() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let start = Instant::now();
    let answer = call(&peer(silent.local_addr().unwrap()), short("Look")).await;
    assert_eq!(outcome(&answer), (Code::Unavailable, "NO_READY_PEER".into()));
    assert!((100..1_000).contains(&start.elapsed().as_millis()), "half the deadline: {:?}", start.elapsed());
}

#[tokio::test]
async fn a_connection_that_breaks_is_an_answer() {
    let broken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = broken.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = broken.accept().await.unwrap();
        socket.read_exact(&mut [0; 24]).await.unwrap();
    });
    let answer = call(&peer(address), named("Look", NOTE)).await;
    assert_eq!(answer.code(), Code::Unavailable, "{answer:?}");
    assert!(["PEER_BROKEN", "NO_READY_PEER"].contains(&answer.reason().as_str()), "{answer:?}");
}

#[tokio::test]
async fn a_stream_whose_peer_goes_ends_with_a_status() {
    let server = Server::start(Caps { drain: Duration::from_millis(50), ..Caps::default() }).await;
    let peer = peer(server.address);
    let (stream, stuck) = (peer.clone(), peer.clone());
    let stream = tokio::spawn(async move { call(&stream, named("Tick", NOTE)).await });
    let stuck = tokio::spawn(async move { call(&stuck, named("Hang", NOTE)).await });
    eventually(|| async { server.sample.running() == 2 }).await;
    server.stop.send(()).unwrap();
    let told = stream.await.unwrap();
    assert_eq!(outcome(&told), (Code::Unavailable, "DRAINING".into()));
    assert!(told.status.get_details_retry_info().is_some());
    assert_eq!(outcome(&stuck.await.unwrap()), (Code::Unavailable, "PEER_BROKEN".into()));
}

#[tokio::test]
async fn a_call_that_is_dropped_drops_the_handler() {
    let server = Server::start(Caps::default()).await;
    let peer = peer(server.address);
    let hanging = tokio::spawn(async move { call(&peer, named("Hang", NOTE)).await });
    eventually(|| async { server.sample.running() == 1 }).await;
    hanging.abort();
    eventually(|| async { server.sample.running() == 0 }).await;
}

#[tokio::test]
async fn a_door_that_drains_ends_streams_from_peers_but_no_unary_call() {
    let server = Server::start(Caps::default()).await;
    let door = rpc::Listener::bind("127.0.0.1:0", Caps::default()).await.unwrap();
    let (address, (stop, stopped)) = (door.address(), tokio::sync::oneshot::channel::<()>());
    let served = tokio::spawn(door.serve(peer(server.address), async move { drop(stopped.await) }));
    let client = crate::wire::Connection::open(address).await;
    let send = client.send.clone();
    let stream = tokio::spawn(async move { client.call(named("Tick", NOTE)).await });
    let unary = tokio::spawn(async move { crate::wire::read(send.clone().send_request(short("Hang")).await.unwrap()).await });
    eventually(|| async { server.sample.running() == 2 }).await;
    stop.send(()).unwrap();
    assert_eq!(outcome(&stream.await.unwrap()), (Code::Unavailable, "DRAINING".into()));
    assert_eq!(unary.await.unwrap().code(), Code::DeadlineExceeded);
    timeout(Duration::from_secs(5), served).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_rest_of_the_deadline_travels_to_other_processes_too() {
    let server = Server::start(Caps::mesh()).await;
    server.sample.hub.peer("sample", server.address.into(), &server.sample.schema);
    let request = with(by("ann", named("Relay", NOTE)), "x-request-id", "first-call");
    let text = call(&server.sample.service, with(request, "grpc-timeout", "1S")).await.text();
    let timeout: u32 = text.split(' ').nth(6).unwrap().strip_suffix('m').unwrap().parse().unwrap();
    assert!((800..=900).contains(&timeout), "{text}");
    assert!(text.starts_with("acme nobody first-call enters=false Bearer test.ann.sig "), "{text}");
}

#[tokio::test]
async fn headers_that_no_socket_takes_are_refused_as_in_process() {
    let server = Server::start(Caps::default()).await;
    let big = || with(named("Look", NOTE), "x-big", &"x".repeat(20_000));
    let (near, far) = (call(&server.sample.service, big()).await, call(&peer(server.address), big()).await);
    assert_eq!((outcome(&near), outcome(&far)), ((Code::ResourceExhausted, "HEADERS_TOO_LARGE".into()), outcome(&near)));
    let Ok(response) = peer(server.address).oneshot(named("Look", NOTE)).await;
    assert!(!response.headers().contains_key("date"));
}
