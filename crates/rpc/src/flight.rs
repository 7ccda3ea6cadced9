//! The calls in flight of one connection: counted, bounded, told when the connection is about to go. Knows nothing of
//! gRPC.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tonic::Status;

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
    pub(crate) shared: Arc<Shared>,
}

/// What the calls of a connection have in common.
pub(crate) struct Shared {
    pub(crate) peer: SocketAddr,
    pub(crate) caps: Arc<Caps>,
    pub(crate) traffic: Arc<Traffic>,
    claims: Claims,
    calls: Arc<Semaphore>,
    flying: Mutex<Flying>,
    /// Rung when the connection has to be looked at before its time.
    pub(crate) bell: Notify,
}

impl Shared {
    pub(crate) fn flying(&self) -> MutexGuard<'_, Flying> {
        self.flying.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    pub(crate) fn new(peer: SocketAddr, service: Http, caps: Arc<Caps>, traffic: Arc<Traffic>) -> Self {
        let calls = Arc::new(Semaphore::new(caps.calls));
        let claims = Claims::new(caps.budget.clone());
        let (flying, bell) = (Mutex::new(Flying::new()), Notify::new());
        Self { service, shared: Arc::new(Shared { peer, caps, traffic, claims, calls, flying, bell }) }
    }

    /// Serves one request.
    pub(crate) async fn call(self, request: Request<Incoming>) -> Result<Response<Counted>, Infallible> {
        let mut flight = Flight::begin(&self.shared);
        // The semaphore is never closed; without a permit the call would only be uncounted.
        let permit = self.shared.calls.clone().acquire_owned().await.ok();
        let mut request = request.map(Body::new);
        if !self.shared.caps.mesh {
            request.extensions_mut().insert(Peer(self.shared.peer));
        }
        request.extensions_mut().insert(self.shared.claims.clone());
        let mut response = self.service.answer(request).await;
        flight.answered = true;
        if let Some(life) = response.extensions_mut().remove::<Life>() {
            flight.lasts(life);
        }
        Ok(response.map(|body| Counted { body, rest: Bytes::new(), waits: false, flight, _permit: permit }))
    }
}

/// The calls in flight of one connection.
#[derive(Debug)]
pub(crate) struct Flying {
    count: usize,
    /// Since when none is in flight.
    quiet_since: Instant,
    seats: Vec<Seat>,
    /// Seats that nobody has.
    free: Vec<usize>,
    leaving: bool,
    /// Whether nobody looks until the connection is idle for too long.
    rests: bool,
    /// Calls given up before their answer began; each one that was answered makes good for one.
    abandoned: u32,
}

/// What a look at a connection leads to.
pub(crate) enum Look {
    /// It is cut, for this reason.
    Cut(&'static str),
    /// Nothing was in flight for too long.
    Idle,
    /// All is well; look again then.
    Again(Instant),
}

/// A call in flight.
#[derive(Debug, Default)]
struct Seat {
    /// Once its end is known.
    life: Option<Life>,
    /// When the last piece of its answer was handed over, while the next one waits for its reader.
    unread: Option<Instant>,
}

impl Flying {
    fn new() -> Self {
        Self { count: 0, quiet_since: Instant::now(), seats: Vec::new(), free: Vec::new(), leaving: false, rests: false, abandoned: 0 }
    }

    /// What is to become of the connection. Only a call that ends a long rest rings the bell, which costs a wake; others that
    /// begin, end, or tell their end are seen at the next look.
    pub(crate) fn look(&mut self, caps: &Caps, now: Instant) -> Look {
        self.rests = self.count == 0;
        // A peer carries the calls of many callers, each of whom may give up.
        if self.is_flood() && !caps.mesh {
            return Look::Cut("too many calls were given up");
        }
        if self.count == 0 {
            let end = self.quiet_since + caps.idle;
            return if end <= now { Look::Idle } else { Look::Again(end) };
        }
        match self.overdue(caps) {
            Some(overdue) if overdue <= now => Look::Cut("an answer is not read"),
            overdue => Look::Again(overdue.unwrap_or(now + READ_OUT).min(now + READ_OUT.min(caps.idle))),
        }
    }

    /// Whether the client does little but begin calls and give them up.
    fn is_flood(&self) -> bool {
        self.abandoned > MAX_ABANDONED
    }

    fn overdue(&self, caps: &Caps) -> Option<Instant> {
        let ends = self.seats.iter().filter_map(|seat| seat.life.as_ref()?.ends).map(|ends| ends + READ_OUT);
        let unread = self.seats.iter().filter_map(|seat| seat.unread).map(|handed| handed + caps.unread);
        ends.chain(unread).min()
    }

    /// Tells every stream, also those to come, that the connection is about to go.
    pub(crate) fn leave(&mut self) {
        self.leaving = true;
        self.seats.iter().filter_map(|seat| seat.life.as_ref()?.leave.as_ref()).for_each(Leave::ask);
    }
}

/// A call in flight, until its answer's last byte.
struct Flight {
    shared: Arc<Shared>,
    seat: usize,
    answered: bool,
}

impl Flight {
    fn begin(shared: &Arc<Shared>) -> Self {
        let mut flying = shared.flying();
        flying.count += 1;
        if std::mem::take(&mut flying.rests) {
            shared.bell.notify_one();
        }
        let seat = flying.free.pop().unwrap_or_else(|| {
            flying.seats.push(Seat::default());
            flying.seats.len() - 1
        });
        drop(flying);
        shared.traffic.calls.fetch_add(1, Ordering::Relaxed);
        Self { shared: shared.clone(), seat, answered: false }
    }

    fn lasts(&mut self, life: Life) {
        let mut flying = self.shared.flying();
        if let (true, Some(leave)) = (flying.leaving, &life.leave) {
            leave.ask();
        }
        flying.seats[self.seat].life = Some(life);
    }

    /// The connection has taken a piece. `more`: the next one waits for whoever reads.
    fn handed(&self, more: bool) {
        self.shared.flying().seats[self.seat].unread = more.then(Instant::now);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.shared.traffic.over.fetch_add(1, Ordering::Relaxed);
        let mut flying = self.shared.flying();
        flying.count -= 1;
        if flying.count == 0 {
            flying.quiet_since = Instant::now();
        }
        flying.seats[self.seat] = Seat::default();
        flying.free.push(self.seat);
        flying.abandoned = if self.answered { flying.abandoned.saturating_sub(1) } else { flying.abandoned.saturating_add(1) };
        if flying.is_flood() {
            self.shared.bell.notify_one();
        }
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
