//! A peer in another process: one HTTP/2 connection, made when it is first needed and again after it broke. Whatever goes
//! wrong is a gRPC answer, so that no caller can tell this peer from one in process.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, DATE, HeaderMap};
use http::uri::{PathAndQuery, Scheme, Uri};
use http::{Request, Response, StatusCode, Version};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kernel::{Error, Result};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, Sleep, sleep_until, timeout, timeout_at};
use tonic::Status;
use tower::service_fn;
use tracing::{debug, info};

use crate::edge::{failed, not_ready};
use crate::envelope::Boundary;
use crate::life::{Leave, Life};
use crate::{Body, Http, deadline, jitter};

/// How long a call waits for a connection; a call with less than twice as much left waits half of that.
const PATIENCE: Duration = Duration::from_secs(1);
/// How much longer than the deadline a peer is waited for: its own word on the matter is better than ours.
const LAST_WORD: Duration = Duration::from_millis(10);
/// An answer of one message may take so long from there to its end; one that is silent for longer is a stream.
const SETTLED: Duration = Duration::from_secs(1);
/// Pauses between attempts to connect, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(crate) struct Remote {
    name: Arc<str>,
    address: Arc<str>,
    line: RwLock<Option<SendRequest<Body>>>,
    attempts: Mutex<Attempts>,
}

/// Attempts to connect, one at a time.
#[derive(Default)]
struct Attempts {
    failed: u32,
    not_before: Option<Instant>,
}

impl Remote {
    pub(crate) fn new(name: &str, address: &str) -> Self {
        Self { name: name.into(), address: address.into(), line: RwLock::default(), attempts: Mutex::default() }
    }

    pub(crate) fn into_http(self) -> Http {
        let remote = Arc::new(self);
        Http::new(service_fn(move |request| {
            let remote = remote.clone();
            async move { Ok::<_, Infallible>(remote.answer(request).await) }
        }))
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let headers = request.headers().clone();
        // A deadline that cannot be read is refused by the peer.
        let asked = deadline::asked(&headers).ok().flatten();
        let ends = asked.map(|asked| Instant::now() + asked);
        let response = match ends {
            None => self.send(request, ends).await,
            Some(ends) => timeout_at(ends + LAST_WORD, self.send(request, Some(ends))).await.unwrap_or_else(|_| Err(Error::timeout())),
        };
        match response {
            Ok(response) => answered(response, ends, &headers),
            Err(error) => {
                info!(peer = &*self.name, %error, "peer failed");
                failed(error, &headers)
            }
        }
    }

    /// Errors: `NO_READY_PEER` when nothing was sent, `PEER_BROKEN` when it is not known what the peer did.
    async fn send(&self, request: Request<Body>, ends: Option<Instant>) -> Result<Response<Incoming>> {
        let mut request = self.addressed(request)?;
        let mut tries = 0;
        loop {
            tries += 1;
            let mut line = self.line(ends).await?;
            let mut failure = match line.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            // What was not sent may be sent again, whatever it is: the connection went just before.
            let unsent = failure.take_message().filter(|_| tries < 2);
            let broken = Error::unavailable("PEER_BROKEN", format!("the connection to {} broke", self.name));
            request = unsent.ok_or_else(|| broken.retry_after(Duration::ZERO).because(failure.into_error()))?;
        }
    }

    fn addressed(&self, request: Request<Body>) -> Result<Request<Body>> {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(&*self.address).path_and_query(path);
        head.uri = uri.build().map_err(|cause| not_ready(&self.name).because(cause))?;
        head.version = Version::HTTP_2;
        Ok(Request::from_parts(head, Body::new(Unsized(body))))
    }

    async fn line(&self, ends: Option<Instant>) -> Result<SendRequest<Body>> {
        if let Some(line) = self.open_line() {
            return Ok(line);
        }
        let half = ends.map_or(PATIENCE, |ends| ends.saturating_duration_since(Instant::now()) / 2);
        match timeout(PATIENCE.min(half), self.connect()).await {
            Ok(line) => line,
            Err(_) => Err(not_ready(&self.name)),
        }
    }

    fn open_line(&self) -> Option<SendRequest<Body>> {
        let line = self.line.read().unwrap_or_else(PoisonError::into_inner);
        line.as_ref().filter(|line| !line.is_closed()).cloned()
    }

    async fn connect(&self) -> Result<SendRequest<Body>> {
        let mut attempts = self.attempts.lock().await;
        if let Some(line) = self.open_line() {
            return Ok(line);
        }
        if let Some(not_before) = attempts.not_before {
            sleep_until(not_before).await;
        }
        // Written down before the attempt, since whoever makes it may not wait for its end.
        let pause = FIRST_PAUSE.saturating_mul(1 << attempts.failed.min(8)).min(LONGEST_PAUSE);
        attempts.failed = attempts.failed.saturating_add(1);
        attempts.not_before = Some(Instant::now() + jitter::around(pause));
        let unreachable = |cause: Box<dyn std::error::Error + Send + Sync>| not_ready(&self.name).because(cause);
        let socket = TcpStream::connect(&*self.address).await.map_err(|cause| unreachable(cause.into()))?;
        socket.set_nodelay(true).map_err(|cause| unreachable(cause.into()))?;
        let (line, driver) = builder().handshake(TokioIo::new(socket)).await.map_err(|cause| unreachable(cause.into()))?;
        let peer = self.name.clone();
        tokio::spawn(async move {
            if let Err(cause) = driver.await {
                debug!(%peer, %cause, "connection broke");
            }
        });
        *self.line.write().unwrap_or_else(PoisonError::into_inner) = Some(line.clone());
        *attempts = Attempts { failed: 0, not_before: Some(Instant::now() + FIRST_PAUSE) };
        Ok(line)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({} at {})", self.name, self.address)
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(1 << 20)
        // Many streams share the connection, and one that is read slowly must not stop the others.
        .initial_connection_window_size(16 << 20)
        .max_header_list_size(16 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

/// What the peer answered, without what only a socket adds.
fn answered(response: Response<Incoming>, ends: Option<Instant>, request: &HeaderMap) -> Response<Body> {
    let (mut head, inner) = response.into_parts();
    if head.status == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE && !head.headers.contains_key(Status::GRPC_STATUS) {
        return failed(Error::exhausted("HEADERS_TOO_LARGE", "the headers are larger than the peer takes"), request);
    }
    head.headers.remove(DATE);
    head.headers.remove(CONTENT_LENGTH);
    head.extensions.clear();
    if head.headers.contains_key(Status::GRPC_STATUS) {
        return Response::from_parts(head, Body::new(Unsized(Body::new(inner))));
    }
    let call_id = crate::call_id(request);
    let sleep = ends.map(|ends| Box::pin(sleep_until(ends + LAST_WORD)));
    let settled = Box::pin(sleep_until(Instant::now() + SETTLED));
    let answer = FromPeer { inner: Some(inner), sleep, settled, boundary: Boundary::default(), leave: Leave::default(), call_id };
    head.extensions.insert(Life { ends, leave: Some(answer.leave.clone()) });
    Response::from_parts(head, Body::new(answer))
}

/// The body of an answer from a peer. A connection that breaks, a deadline that passes and a door that closes end it with
/// trailers, as they would in process.
struct FromPeer {
    inner: Option<Incoming>,
    sleep: Option<Pin<Box<Sleep>>>,
    settled: Pin<Box<Sleep>>,
    boundary: Boundary,
    leave: Leave,
    call_id: String,
}

impl FromPeer {
    fn end(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.inner = None;
        let mut trailers = HeaderMap::new();
        let written = kernel::stamp(&Status::from(error), &self.call_id).add_header(&mut trailers);
        Poll::Ready(Some(written.map(|()| Frame::trailers(trailers))))
    }

    /// A stream ends between two messages; what may be the answer of a unary call is left to finish.
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let Poll::Ready(error) = self.leave.poll(cx) else { return Poll::Pending };
        let is_stream = self.boundary.messages > 1 || self.settled.as_mut().poll(cx).is_ready();
        if is_stream && self.boundary.is_between() { Poll::Ready(error) } else { Poll::Pending }
    }

    fn passed(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        if let Some(data) = frame.data_ref() {
            self.boundary.pass(data);
            self.settled.as_mut().reset(Instant::now() + SETTLED);
        }
        frame
    }
}

impl http_body::Body for FromPeer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.inner.is_some()
            && let Poll::Ready(error) = this.poll_leave(cx)
        {
            return this.end(error);
        }
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        match Pin::new(inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => return Poll::Ready(Some(Ok(this.passed(frame)))),
            Poll::Ready(Some(Err(cause))) => {
                let broken = Error::unavailable("PEER_BROKEN", "the connection to the peer broke");
                return this.end(broken.retry_after(Duration::ZERO).because(cause));
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        match this.sleep.as_mut().map(|sleep| sleep.as_mut().poll(cx)) {
            Some(Poll::Ready(())) => this.end(Error::timeout()),
            _ => Poll::Pending,
        }
    }
}

/// A body whose length nobody writes into a header, as none is written in process.
struct Unsized(Body);

impl http_body::Body for Unsized {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
