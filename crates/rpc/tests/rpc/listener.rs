//! The accept loop over real sockets: rows 15 and 16 of the table of tonic's faults, caps, slow clients, drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rpc::{Caps, Listener, Traffic};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tonic::Code;
use tonic_types::StatusExt;

use crate::sample::Sample;
use crate::wire::{Connection, eventually, framed, named, string_field, with};

const NOTE: &str = "apps/acme/notes/n1";

/// The sample service on a free port.
pub(crate) struct Server {
    pub(crate) sample: Sample,
    pub(crate) address: SocketAddr,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) served: JoinHandle<()>,
    pub(crate) traffic: Arc<Traffic>,
}

impl Server {
    pub(crate) async fn start(caps: Caps) -> Self {
        Self::at("127.0.0.1:0", caps).await
    }

    pub(crate) async fn at(address: &str, caps: Caps) -> Self {
        let sample = Sample::new();
        let listener = Listener::bind(address, caps).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let address = listener.address();
        let shutdown = async {
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let traffic = listener.traffic();
        let served = tokio::spawn(listener.serve(sample.service.clone(), shutdown));
        Self { sample, address, stop, served, traffic }
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.address).await
    }

    pub(crate) async fn socket(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

pub(crate) async fn is_closed(socket: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    timeout(Duration::from_secs(5), socket.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test]
async fn fault_15_an_old_connection_goes_gently_and_then_at_once() {
    let age = Duration::from_millis(200);
    let grace = Duration::from_millis(800);
    let server = Server::start(Caps { age, grace, ..Caps::default() }).await;
    let start = Instant::now();
    let connection = server.connect().await;
    let stuck = tokio::spawn(connection.send.clone().send_request(named("Hang", NOTE)));
    eventually(|| async { server.sample.running() == 1 }).await;
    // GOAWAY: no new calls, but the old one goes on.
    eventually(|| async { connection.send.clone().send_request(named("Look", NOTE)).await.is_err() }).await;
    assert!(start.elapsed() >= age - age / 10 && !stuck.is_finished());
    // Then the cut, and the handler is dropped with it.
    assert!(stuck.await.unwrap().is_err());
    assert!(start.elapsed() >= age - age / 10 + grace);
    eventually(|| async { server.sample.running() == 0 }).await;
    assert_eq!(server.connect().await.call(named("Look", NOTE)).await.code(), Code::Ok);
}

#[tokio::test]
async fn a_call_that_ends_within_grace_is_not_lost() {
    let server = Server::start(Caps { age: Duration::from_millis(100), ..Caps::default() }).await;
    let connection = server.connect().await;
    let answer = connection.call(with(named("Tick", NOTE), "grpc-timeout", "350m")).await;
    assert_eq!(answer.code(), Code::DeadlineExceeded);
    assert!(timeout(Duration::from_secs(5), connection.driver).await.is_ok(), "closed once the call is over");
}

#[tokio::test]
async fn fault_16_limits_are_announced() {
    let server = Server::start(Caps::default()).await;
    let mut socket = server.socket().await;
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut head = [0; 9];
    socket.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4, "the first frame is SETTINGS");
    let mut settings = vec![0; usize::from(head[2])];
    socket.read_exact(&mut settings).await.unwrap();
    let value = |id: u8| settings.chunks(6).find(|entry| entry[1] == id).map(|entry| u32::from_be_bytes(entry[2..].try_into().unwrap()));
    assert_eq!((value(3), value(6)), (Some(128), Some(32 * 1024)));
}

#[tokio::test]
async fn calls_beyond_the_limit_of_a_connection_wait() {
    let server = Server::start(Caps { calls: 2, ..Caps::default() }).await;
    let connection = server.connect().await;
    let stuck: Vec<_> = (0..3).map(|_| tokio::spawn(connection.send.clone().send_request(named("Hang", NOTE)))).collect();
    eventually(|| async { server.sample.running() == 2 }).await;
    stuck[0].abort();
    stuck[1].abort();
    eventually(|| async { server.sample.running() == 1 }).await;
}

#[tokio::test]
async fn one_address_has_so_many_connections() {
    let server = Server::start(Caps { connections_per_address: 2, ..Caps::default() }).await;
    let (first, _second) = (server.connect().await, server.connect().await);
    assert_eq!(first.call(named("Look", NOTE)).await.code(), Code::Ok);
    assert!(is_closed(&mut server.socket().await).await);
    first.driver.abort();
    eventually(|| async { server.connect().await.send.send_request(named("Look", NOTE)).await.is_ok() }).await;
}

#[tokio::test]
async fn slow_and_silent_clients_are_closed() {
    let short = Duration::from_millis(100);
    let server = Server::start(Caps { header_timeout: short, idle: short, grace: short, ..Caps::default() }).await;
    let mut slow = server.socket().await;
    slow.write_all(b"POST / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let mut silent = server.socket().await;
    let mut half = server.socket().await;
    half.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
    assert!(is_closed(&mut slow).await && is_closed(&mut silent).await && is_closed(&mut half).await);
    let idle = server.connect().await;
    assert!(timeout(Duration::from_secs(5), idle.driver).await.is_ok());
}

#[tokio::test]
async fn a_call_in_flight_keeps_its_connection() {
    let server = Server::start(Caps { idle: Duration::from_millis(50), ..Caps::default() }).await;
    let answer = server.connect().await.call(with(named("Tick", NOTE), "grpc-timeout", "250m")).await;
    assert_eq!(answer.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn headers_beyond_twice_their_limit_are_refused_unread() {
    let server = Server::start(Caps::default()).await;
    let big = with(named("Look", NOTE), "x-big", &"x".repeat(40_000));
    let response = server.connect().await.send.send_request(big).await;
    assert!(response.is_ok_and(|response| response.status() == 431));
    let mut socket = server.socket().await;
    socket.write_all(format!("POST / HTTP/1.1\r\nx-big: {}\r\n\r\n", "x".repeat(40_000)).as_bytes()).await.unwrap();
    let mut start = [0; 12];
    socket.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 431");
}

#[tokio::test]
async fn a_drain_finishes_calls_and_then_returns() {
    let server = Server::start(Caps::default()).await;
    let connection = server.connect().await;
    let running = tokio::spawn(async move { connection.call(with(named("Hang", NOTE), "grpc-timeout", "250m")).await });
    eventually(|| async { server.sample.running() == 1 }).await;
    server.stop.send(()).unwrap();
    assert_eq!(running.await.unwrap().code(), Code::DeadlineExceeded);
    timeout(Duration::from_secs(5), server.served).await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_drain_tells_streams_to_come_again() {
    let server = Server::start(Caps::default()).await;
    let connection = server.connect().await;
    let stream = tokio::spawn(async move { connection.call(named("Tick", NOTE)).await });
    eventually(|| async { server.sample.running() == 1 }).await;
    let start = Instant::now();
    server.stop.send(()).unwrap();
    let answer = stream.await.unwrap();
    assert_eq!((answer.code(), answer.reason().as_str()), (Code::Unavailable, "DRAINING"));
    let wait = answer.status.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(wait <= Duration::from_secs(2) && !answer.messages.is_empty(), "{wait:?}");
    timeout(Duration::from_secs(5), server.served).await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(2), "nothing is waited for");
}

#[tokio::test]
async fn a_stream_on_an_old_connection_is_told_before_the_cut() {
    let (age, grace) = (Duration::from_millis(100), Duration::from_millis(500));
    let server = Server::start(Caps { age, grace, ..Caps::default() }).await;
    let start = Instant::now();
    let answer = server.connect().await.call(named("Tick", NOTE)).await;
    assert_eq!((answer.code(), answer.reason().as_str()), (Code::Unavailable, "DRAINING"));
    assert!(start.elapsed() >= age - age / 10 + grace / 10 * 9, "the grace is used");
    assert!(answer.messages.len() >= 4);
}

#[tokio::test]
async fn a_drain_closes_connections_of_http_1() {
    let server = Server::start(Caps::default()).await;
    let mut socket = server.socket().await;
    let body = framed(&string_field(1, NOTE));
    let head = "POST /mozaiks.sample.v1.NotesService/Hang HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc\r\ngrpc-timeout: 250m\r\n";
    let request = [format!("{head}content-length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat();
    socket.write_all(&request).await.unwrap();
    eventually(|| async { server.sample.running() == 1 }).await;
    server.stop.send(()).unwrap();
    let mut answer = String::new();
    timeout(Duration::from_secs(5), socket.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(answer.contains("\r\ngrpc-status: 4\r\n"), "{answer}");
}

/// A client whose windows never open.
async fn blind(server: &Server) -> Connection {
    let mut builder = hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
    let io = hyper_util::rt::TokioIo::new(server.socket().await);
    let (send, driver) = builder.initial_stream_window_size(0).handshake(io).await.unwrap();
    Connection { send, driver: tokio::spawn(driver) }
}

#[tokio::test]
async fn who_does_not_read_cannot_hold_a_stream_past_its_end() {
    let server = Server::start(Caps::default()).await;
    for method in ["Tick", "Big"] {
        let start = Instant::now();
        let connection = blind(&server).await;
        let request = with(named(method, NOTE), "grpc-timeout", "250m");
        let response = connection.send.clone().send_request(request).await.unwrap();
        assert!(timeout(Duration::from_secs(5), connection.driver).await.is_ok(), "{method} is held");
        assert!(start.elapsed() >= Duration::from_millis(1_250), "a reader has a second more");
        drop(response);
        eventually(|| async { server.sample.running() == 0 }).await;
    }
    assert_eq!(server.connect().await.call(named("Big", NOTE)).await.messages[0].len(), (1 << 20) + 4);
}

#[tokio::test]
async fn a_drain_cuts_what_does_not_end() {
    let server = Server::start(Caps { drain: Duration::from_millis(100), ..Caps::default() }).await;
    let connection = server.connect().await;
    let stuck = tokio::spawn(connection.send.clone().send_request(named("Hang", NOTE)));
    eventually(|| async { server.sample.running() == 1 }).await;
    server.stop.send(()).unwrap();
    timeout(Duration::from_secs(5), server.served).await.unwrap().unwrap();
    assert!(stuck.await.unwrap().is_err());
}

#[tokio::test]
async fn the_client_address_is_that_of_the_socket() {
    let server = Server::start(Caps::default()).await;
    let forged = with(named("Look", NOTE), "mozaiks-client-address", "10.9.9.9");
    assert!(server.connect().await.call(forged).await.text().ends_with(" 127.0.0.1"));
}

#[tokio::test]
async fn plain_text_stays_on_loopback() {
    let refused = Listener::bind("0.0.0.0:0", Caps::default()).await.unwrap_err();
    assert_eq!(refused.reason(), "ADDRESS_EXPOSED");
    let broken = Listener::bind("127.0.0.1:99999", Caps::default()).await.unwrap_err();
    assert_eq!(broken.reason(), "ADDRESS_UNUSABLE");
}
