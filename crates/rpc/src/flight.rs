//! The calls in flight of one connection: counted, bounded, told when the connection is about to go. Knows nothing of
//! gRPC.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tonic::Status;
use tower::Service;

use crate::claims::Claims;
use crate::life::{Leave, Life};
use crate::listen::{Caps, Peer};
use crate::traffic::Traffic;
use crate::{Body, Http};

/// How long after its end an answer may still be on its way out. Then its reader does not read.
const READ_OUT: Duration = Duration::from_secs(1);
/// Bytes of an answer handed to the connection at once, so that a reader that takes nothing holds no more than this.
const PIECE_BYTES: usize = 16 * 1024;
/// Calls that a client may give up without one answered in between: more than fit into a connection at once.
const MAX_ABANDONED: u32 = 500;

/// One connection's side of the service.
#[derive(Clone)]
pub(crate) struct Line {
    service: Http,
    pub(crate) peer: SocketAddr,
    pub(crate) caps: Arc<Caps>,
    pub(crate) traffic: Arc<Traffic>,
    claims: Claims,
    calls: Arc<Semaphore>,
    pub(crate) flying: Arc<watch::Sender<Flying>>,
}

impl Line {
    pub(crate) fn new(peer: SocketAddr, service: Http, caps: Arc<Caps>, traffic: Arc<Traffic>) -> (Self, watch::Receiver<Flying>) {
        let (flying, in_flight) = watch::channel(Flying::default());
        let calls = Arc::new(Semaphore::new(caps.calls));
        (Self { service, peer, claims: Claims::new(caps.budget.clone()), caps, traffic, calls, flying: Arc::new(flying) }, in_flight)
    }

    /// Serves one request.
    pub(crate) async fn call(mut self, request: Request<Incoming>) -> Result<Response<Counted>, Infallible> {
        let mut flight = Flight::begin(&self.flying, &self.traffic);
        // The semaphore is never closed; without a permit the call would only be uncounted.
        let permit = self.calls.clone().acquire_owned().await.ok();
        let mut request = request.map(Body::new);
        if !self.caps.mesh {
            request.extensions_mut().insert(Peer(self.peer));
        }
        request.extensions_mut().insert(self.claims.clone());
        poll_fn(|cx| self.service.poll_ready(cx)).await?;
        let mut response = self.service.call(request).await?;
        flight.answered = true;
        if let Some(life) = response.extensions_mut().remove::<Life>() {
            flight.lasts(life);
        }
        Ok(response.map(|body| Counted { body, rest: Bytes::new(), waits: false, flight, _permit: permit }))
    }
}

/// The calls in flight of one connection.
#[derive(Debug, Default)]
pub(crate) struct Flying {
    begun: u64,
    count: usize,
    /// Those whose end is known.
    lives: BTreeMap<u64, Life>,
    /// When the last piece of an answer was handed over, while the next one waits for its reader.
    unread: BTreeMap<u64, Instant>,
    leaving: bool,
    /// Calls given up before their answer began; each one that was answered makes good for one.
    abandoned: u32,
}

impl Flying {
    /// Whether the client does little but begin calls and give them up.
    pub(crate) fn is_flood(&self) -> bool {
        self.abandoned > MAX_ABANDONED
    }

    /// Whether nothing is in flight, and when to look whether an answer is overdue. An end that becomes known meanwhile is
    /// not told, which would cost every call a wake: it is seen at the next look.
    pub(crate) fn state(&self, caps: &Caps) -> (bool, Option<Instant>) {
        let quiet = self.count == 0;
        let look = Instant::now() + READ_OUT;
        (quiet, (!quiet).then(|| self.overdue(caps).map_or(look, |overdue| overdue.min(look))))
    }

    pub(crate) fn is_overdue(&self, caps: &Caps) -> bool {
        self.overdue(caps).is_some_and(|overdue| overdue <= Instant::now())
    }

    fn overdue(&self, caps: &Caps) -> Option<Instant> {
        let ends = self.lives.values().filter_map(|life| life.ends).map(|ends| ends + READ_OUT);
        let unread = self.unread.values().map(|handed| *handed + caps.unread);
        ends.chain(unread).min()
    }

    /// Tells every stream, also those to come, that the connection is about to go.
    pub(crate) fn leave(&mut self) {
        self.leaving = true;
        self.lives.values().filter_map(|life| life.leave.as_ref()).for_each(Leave::ask);
    }
}

/// A call in flight, until its answer's last byte.
struct Flight {
    flying: Arc<watch::Sender<Flying>>,
    traffic: Arc<Traffic>,
    number: u64,
    answered: bool,
}

impl Flight {
    fn begin(flying: &Arc<watch::Sender<Flying>>, traffic: &Arc<Traffic>) -> Self {
        let mut number = 0;
        flying.send_modify(|flying| {
            flying.begun += 1;
            flying.count += 1;
            number = flying.begun;
        });
        traffic.calls.fetch_add(1, Ordering::Relaxed);
        Self { flying: flying.clone(), traffic: traffic.clone(), number, answered: false }
    }

    fn lasts(&mut self, life: Life) {
        self.flying.send_if_modified(|flying| {
            if let (true, Some(leave)) = (flying.leaving, &life.leave) {
                leave.ask();
            }
            flying.lives.insert(self.number, life);
            false
        });
    }
}

impl Flight {
    /// The connection has taken a piece. `more`: the next one waits for whoever reads.
    fn handed(&self, more: bool) {
        self.flying.send_if_modified(|flying| {
            if more {
                flying.unread.insert(self.number, Instant::now());
            } else {
                flying.unread.remove(&self.number);
            }
            false
        });
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.traffic.over.fetch_add(1, Ordering::Relaxed);
        self.flying.send_modify(|flying| {
            flying.count -= 1;
            flying.lives.remove(&self.number);
            flying.abandoned = if self.answered { flying.abandoned.saturating_sub(1) } else { flying.abandoned.saturating_add(1) };
            flying.unread.remove(&self.number);
        });
    }
}

/// An answer's body that keeps its call counted.
pub(crate) struct Counted {
    body: Body,
    /// Bytes not handed over yet.
    rest: Bytes,
    /// Whether it is known to its flight that some of the last data is left.
    waits: bool,
    flight: Flight,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Counted {
    fn piece(&mut self) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let (piece, more) = (self.rest.split_to(self.rest.len().min(PIECE_BYTES)), !self.rest.is_empty());
        if more || self.waits {
            self.flight.handed(more);
            self.waits = more;
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if !self.rest.is_empty() {
            return self.piece();
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx)?);
        match frame.map(Frame::into_data) {
            None => Poll::Ready(None),
            Some(Err(other)) => Poll::Ready(Some(Ok(other))),
            Some(Ok(data)) => {
                self.rest = data;
                self.piece()
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), u64::try_from(self.rest.len()).unwrap_or(u64::MAX));
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}
