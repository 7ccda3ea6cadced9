//! Limits with their numbers, each met by a client that goes beyond it. A healthy client beside it notices nothing.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::Frame;
use http_body_util::StreamBody;
use rpc::{Body, Caps};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::listener::Server;
use crate::wire::{Unfinished, ask, ask_raw, by, call, eventually, framed, in_two_pieces, named, string_field, with};

const NOTE: &str = "apps/acme/notes/n1";
const PATH: &str = "/mozaiks.sample.v1.NotesService/Hang";

fn prefix(bytes: u32) -> Vec<u8> {
    [&[0][..], &bytes.to_be_bytes()].concat()
}

#[tokio::test]
async fn a_hundred_headers_sixty_four_of_them_custom_sixteen_kibibytes() {
    let connection = Server::start(Caps::default()).await.connect().await;
    let many = |name: &'static str, count, length| {
        let value = "x".repeat(length);
        (0..count).fold(named("Look", NOTE), |request, _| with(request, name, &value))
    };
    // Beside them: content-type, te and content-length.
    for (request, reason) in [
        (many("x-more", 64, 1), ""),
        (many("x-more-bin", 65, 4), "HEADERS_TOO_LARGE"),
        (many("x-mozaiks-client", 97, 1), ""),
        (many("x-mozaiks-client", 98, 1), "HEADERS_TOO_LARGE"),
        (many("x-more", 8, 1_900), ""),
    ] {
        let entries = request.headers().len();
        assert_eq!(connection.call(request).await.reason(), reason, "{entries} entries");
    }
    assert_eq!(connection.call(many("x-more", 9, 1_900)).await.reason(), "HEADERS_TOO_LARGE");
    let bomb = connection.send.clone().send_request(many("x-more", 30, 1_900)).await.unwrap();
    assert_eq!(bomb.status(), 431);
    assert_eq!(connection.call(named("Look", NOTE)).await.code(), Code::Ok, "the connection lives on");
}

/// Resident memory of this process.
fn resident_bytes() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn two_hundred_claims_of_a_hundred_mebibytes_cost_nothing() {
    const CLAIM: u32 = 100 << 20;
    let server = Server::start(Caps::default()).await;
    let before = resident_bytes();
    let bare = || Body::new(Unfinished(Some(prefix(CLAIM))));
    let sent = || {
        let zeros = Bytes::from_static(&[0; 64 * 1024]);
        let frames = std::iter::once(Bytes::from(prefix(CLAIM))).chain(std::iter::repeat_n(zeros, 1_600));
        Body::new(StreamBody::new(tokio_stream::iter(frames.map(|bytes| Ok::<_, Status>(Frame::data(bytes))))))
    };
    for body in [&bare as &dyn Fn() -> Body, &sent] {
        let connection = server.connect().await;
        let calls: Vec<_> = (0..200).map(|_| connection.send.clone().send_request(named("Look", NOTE).map(|_| body()))).collect();
        let calls: Vec<_> = calls.into_iter().map(tokio::spawn).collect();
        for call in calls {
            let answer = crate::wire::read(call.await.unwrap().unwrap()).await;
            assert_eq!((answer.code(), answer.reason().as_str()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
        }
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 128 << 20, "{grown} bytes for a claim of 40 GiB");
    assert_eq!(server.connect().await.call(named("Look", NOTE)).await.code(), Code::Ok);
}

#[tokio::test]
async fn client_streams_share_the_budget_of_their_connection() {
    let server = Server::start(Caps::default()).await;
    let connection = server.connect().await;
    let claiming = || by("ann", ask("Upload", b"").map(|_| Body::new(Unfinished(Some(prefix(1 << 20))))));
    let held: Vec<_> = (0..16).map(|_| tokio::spawn(connection.send.clone().send_request(claiming()))).collect();
    let starved = || with(in_two_pieces(&framed(b"\x0a\x12apps/acme/notes/n1"), named("Look", NOTE)), "grpc-timeout", "500m");
    eventually(|| async { connection.call(starved()).await.code() == Code::DeadlineExceeded }).await;
    held.iter().for_each(tokio::task::JoinHandle::abort);
    eventually(|| async { connection.call(starved()).await.code() == Code::Ok }).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_stream_may_be_silent_between_messages_and_not_within_one() {
    let sample = crate::sample::Sample::new();
    let whole = framed(&string_field(1, NOTE));
    let upload = |bytes: Vec<u8>| by("ann", ask("Upload", b"").map(|_| Body::new(Unfinished(Some(bytes)))));
    let start = tokio::time::Instant::now();
    let within = call(&sample.service, upload([&whole[..], &whole[..9]].concat())).await;
    assert_eq!((within.reason().as_str(), start.elapsed()), ("BODY_TOO_SLOW", Duration::from_secs(10)));
    let between = call(&sample.service, upload(whole)).await;
    assert_eq!(between.reason(), "STREAM_LIFETIME");
}

#[tokio::test]
async fn a_deadline_is_read_strictly_over_sockets_too() {
    let connection = Server::start(Caps::default()).await.connect().await;
    for bad in ["soon", "123456789S", "-1S", "1.5S", ""] {
        let answer = connection.call(with(named("Look", NOTE), "grpc-timeout", bad)).await;
        assert_eq!((answer.code(), answer.reason().as_str(), answer.http), (Code::InvalidArgument, "DEADLINE_INVALID", 200), "{bad}");
    }
}

/// A client that writes frames itself.
struct Raw {
    socket: TcpStream,
    stream: u32,
}

impl Raw {
    async fn open(server: &Server) -> Self {
        let mut socket = server.socket().await;
        socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        Self { socket, stream: 1 }
    }

    /// The headers of a call to `Hang`.
    fn headers(&self, flags: u8) -> Vec<u8> {
        let text = |text: &str| [&[u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat();
        // POST, http, a path, an authority, content-type: indexed names of the static table, values as they are.
        let block = [&[0x83, 0x86, 0x04][..], &text(PATH), &[0x01], &text("x"), &[0x0f, 0x10], &text("application/grpc")].concat();
        frame(1, flags, self.stream, &block)
    }

    /// Whether the server closed the connection, within five seconds.
    async fn is_closed(&mut self) -> bool {
        crate::listener::is_closed(&mut self.socket).await
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Floods until the server closes, at most `most` times. True when it did.
async fn flooded(server: &Server, most: usize, burst: usize, mut frames: impl FnMut(&mut Raw) -> Vec<u8>) -> bool {
    let mut raw = Raw::open(server).await;
    for _ in 0..most.div_ceil(burst) {
        let bytes: Vec<u8> = (0..burst).flat_map(|_| frames(&mut raw)).collect();
        if raw.socket.write_all(&bytes).await.is_err() {
            return true;
        }
        // What the server says is read, as a client would.
        let mut heard = [0; 4096];
        loop {
            match timeout(Duration::from_millis(1), raw.socket.read(&mut heard)).await {
                Ok(Ok(0) | Err(_)) => return true,
                Ok(Ok(_)) => {}
                Err(_) => break,
            }
        }
    }
    raw.is_closed().await
}

async fn healthy(server: &Server) {
    let healthy = server.connect().await;
    for _ in 0..20 {
        let answer = timeout(Duration::from_secs(5), healthy.call(named("Look", NOTE))).await;
        assert_eq!(answer.expect("a healthy client waits").code(), Code::Ok);
    }
}

#[tokio::test]
async fn a_flood_of_resets_ends_its_connection() {
    let reset = |raw: &mut Raw| {
        let frames = [raw.headers(4), frame(3, 0, raw.stream, &8_u32.to_be_bytes())].concat();
        raw.stream += 2;
        frames
    };
    let server = Server::start(Caps::default()).await;
    let (closed, ()) = tokio::join!(flooded(&server, 10_000, 1_000, reset), healthy(&server));
    assert!(closed);
    eventually(|| async { server.sample.running() == 0 }).await;
    healthy(&server).await;
}

#[tokio::test]
async fn calls_that_are_only_begun_and_given_up_end_their_connection() {
    let server = Server::start(Caps::default()).await;
    // Each handler runs before its call is reset: nothing that the transport counts.
    let slowly = |raw: &mut Raw| {
        let before = frame(3, 0, raw.stream, &8_u32.to_be_bytes());
        raw.stream += 2;
        let message = frame(0, 1, raw.stream, &framed(&string_field(1, NOTE)));
        [if raw.stream > 3 { before } else { Vec::new() }, raw.headers(4), message].concat()
    };
    let (closed, ()) = tokio::join!(flooded(&server, 2_000, 1, slowly), healthy(&server));
    assert!(closed);
    eventually(|| async { server.sample.running() == 0 }).await;
}

#[tokio::test]
async fn a_flood_of_continuations_ends_its_connection() {
    let server = Server::start(Caps::default()).await;
    let mut begun = false;
    let more = |raw: &mut Raw| {
        // One header without its end, then pieces that never end it either.
        let first = if begun { Vec::new() } else { raw.headers(0) };
        begun = true;
        [first, frame(9, 0, raw.stream, &[&[0x00, 0x01, b'x', 0x7f, 0x01][..], &[b'y'; 128]].concat())].concat()
    };
    let (closed, ()) = tokio::join!(flooded(&server, 10_000, 50, more), healthy(&server));
    assert!(closed);
}

#[tokio::test]
async fn tiny_frames_are_one_message() {
    let connection = Server::start(Caps::default()).await.connect().await;
    let bytes = framed(&string_field(1, NOTE));
    let frames = bytes.iter().map(|byte| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(&[*byte])))).collect::<Vec<_>>();
    let request: Request<Body> = ask_raw("Look", Vec::new()).map(|_| Body::new(StreamBody::new(tokio_stream::iter(frames))));
    assert_eq!(connection.call(request).await.code(), Code::Ok);
}
