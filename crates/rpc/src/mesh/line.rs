//! One HTTP/2 connection to an endpoint, and how far a request came on it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;

use crate::Body;

/// Why there is no connection.
pub(crate) type Unreachable = Box<dyn std::error::Error + Send + Sync>;
/// What moves the bytes of a connection until it ends.
pub(crate) type Driver = Connection<TokioIo<TcpStream>, Body, TokioExecutor>;

/// An open connection.
#[derive(Debug)]
pub(crate) struct Line {
    send: SendRequest<Body>,
    authority: Authority,
    in_flight: Arc<AtomicUsize>,
    /// The peer wants no more calls on it.
    left: AtomicBool,
}

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) enum Lost {
    /// Nothing of it was sent.
    Unsent(hyper::Error),
    /// The peer says that it has not looked at it.
    Refused(hyper::Error),
    /// Nobody knows what the peer did.
    Broken(hyper::Error),
}

/// A call on a connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<AtomicUsize>);

impl Line {
    pub(crate) async fn open(address: &str) -> Result<(Self, Driver), Unreachable> {
        let authority = Authority::try_from(address)?;
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let (send, driver) = builder().handshake(TokioIo::new(socket)).await?;
        Ok((Self { send, authority, in_flight: Arc::default(), left: AtomicBool::new(false) }, driver))
    }

    /// Whether calls may begin on it.
    pub(crate) fn is_open(&self) -> bool {
        !self.left.load(Ordering::Relaxed) && !self.send.is_closed()
    }

    /// No call begins on it any more; those in flight go on.
    pub(crate) fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) fn enter(&self) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.in_flight.clone())
    }

    pub(crate) async fn carry(&self, head: &Parts, body: Body) -> Result<Response<Incoming>, Lost> {
        let request = self.addressed(head, body);
        let mut failure = match self.send.clone().try_send_request(request).await {
            Ok(response) => return Ok(response),
            Err(failure) => failure,
        };
        let unsent = failure.take_message().is_some();
        let cause = failure.into_error();
        Err(match () {
            () if unsent => Lost::Unsent(cause),
            () if was_refused(&cause) => Lost::Refused(cause),
            () => Lost::Broken(cause),
        })
    }

    fn addressed(&self, head: &Parts, body: Body) -> Request<Body> {
        let mut request = Request::new(body);
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.authority.clone());
        uri.path_and_query = head.uri.path_and_query().cloned().or(Some(PathAndQuery::from_static("/")));
        // Of a scheme, an authority and a path there is always an address.
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
        *request.method_mut() = head.method.clone();
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = head.headers.clone();
        request
    }
}

/// A stream that the peer refused before it looked at it: reset so, or above the last one that a GOAWAY lets through.
fn was_refused(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| cause.is_remote() && (cause.is_go_away() || cause.reason() == Some(h2::Reason::REFUSED_STREAM)))
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(1 << 20)
        // Many streams share the connection, and one that is read slowly must not stop the others.
        .initial_connection_window_size(16 << 20)
        .max_header_list_size(16 * 1024)
        // A peer that has fallen silent is noticed within ten seconds.
        .keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(5));
    builder
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsent(_) => "not sent",
            Self::Refused(_) => "refused unread",
            Self::Broken(_) => "broken off",
        })
    }
}

impl std::error::Error for Lost {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let (Self::Unsent(cause) | Self::Refused(cause) | Self::Broken(cause)) = self;
        Some(cause)
    }
}
