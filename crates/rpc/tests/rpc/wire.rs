//! A gRPC client that can also be wrong: raw requests over a socket or straight into a service, answers taken apart.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rpc::{Body, Http};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::{Code, Status};
use tower::ServiceExt;

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) http: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) messages: Vec<Bytes>,
    pub(crate) status: Status,
}

impl Answer {
    pub(crate) fn code(&self) -> Code {
        self.status.code()
    }

    pub(crate) fn reason(&self) -> String {
        kernel::error_info(&self.status).unwrap_or_default()
    }

    /// The text of the first message.
    pub(crate) fn text(&self) -> String {
        assert_eq!(self.code(), Code::Ok, "{:?}", self.status);
        told(&self.messages[0])
    }
}

/// The text in an encoded `Told`.
pub(crate) fn told(message: &[u8]) -> String {
    if message.is_empty() { String::new() } else { String::from_utf8(message[2..].to_vec()).unwrap() }
}

/// A message of one short string field.
pub(crate) fn string_field(number: u8, text: &str) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2, u8::try_from(text.len()).unwrap()];
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(message);
    bytes
}

/// A call to `NotesService/{method}` with one message.
pub(crate) fn ask(method: &str, message: &[u8]) -> Request<Body> {
    ask_raw(method, framed(message))
}

/// A call whose body is exactly these bytes.
pub(crate) fn ask_raw(method: &str, body: Vec<u8>) -> Request<Body> {
    let uri = format!("http://test/mozaiks.sample.v1.NotesService/{method}");
    let request = Request::post(uri).header("content-type", "application/grpc").header("te", "trailers");
    request.body(Body::new(Full::new(Bytes::from(body)))).unwrap()
}

pub(crate) fn named(method: &str, name: &str) -> Request<Body> {
    ask(method, &string_field(1, name))
}

pub(crate) fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

pub(crate) fn by(who: &str, request: Request<Body>) -> Request<Body> {
    with(request, "authorization", &format!("Bearer test.{who}.sig"))
}

/// The same call, its prefix in one frame and its message in the next: in between, the message is claimed and not there.
pub(crate) fn in_two_pieces(bytes: &[u8], request: Request<Body>) -> Request<Body> {
    let (prefix, message) = bytes.split_at(5);
    let frames = [prefix, message].map(|piece| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(piece))));
    request.map(|_| Body::new(StreamBody::new(tokio_stream::iter(frames))))
}

/// A body that gives these bytes and then stays open for ever.
pub(crate) struct Unfinished(pub(crate) Option<Vec<u8>>);

impl http_body::Body for Unfinished {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.take().map_or(Poll::Pending, |bytes| Poll::Ready(Some(Ok(Frame::data(bytes.into())))))
    }
}

pub(crate) async fn call(service: &Http, request: Request<Body>) -> Answer {
    let Ok(response) = service.clone().oneshot(request).await;
    read(response).await
}

pub(crate) async fn read<B>(response: Response<B>) -> Answer
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let (head, body) = response.into_parts();
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let told = Status::from_header_map(&trailers).or_else(|| Status::from_header_map(&head.headers));
    let status = told.unwrap_or_else(|| panic!("no grpc-status: {head:?}"));
    Answer { http: head.status.as_u16(), headers: head.headers, messages: unframed(&collected.to_bytes()), status }
}

fn unframed(bytes: &Bytes) -> Vec<Bytes> {
    let mut rest = BytesMut::from(&bytes[..]);
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let prefix = rest.split_to(5);
        assert_eq!(prefix[0], 0);
        let length = u32::from_be_bytes(prefix[1..].try_into().unwrap());
        messages.push(rest.split_to(usize::try_from(length).unwrap()).freeze());
    }
    messages
}

/// One HTTP/2 connection.
pub(crate) struct Connection {
    pub(crate) send: SendRequest<Body>,
    pub(crate) driver: JoinHandle<hyper::Result<()>>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        let (send, driver) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
        Self { send, driver: tokio::spawn(driver) }
    }

    pub(crate) async fn call(&self, request: Request<Body>) -> Answer {
        read(self.send.clone().send_request(request).await.unwrap()).await
    }
}

/// Tries until it succeeds, for at most five seconds.
pub(crate) async fn eventually<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    let tried = tokio::time::timeout(Duration::from_secs(5), async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    });
    tried.await.expect("did not come true within five seconds");
}
