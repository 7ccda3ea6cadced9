//! A peer in other processes, as if it were in this one: whatever goes wrong is a gRPC answer. Which connection a call takes
//! is the mesh's.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, DATE, HeaderMap};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use hyper::body::Incoming;
use kernel::{Error, Result};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout_at};
use tonic::Status;
use tracing::{debug, info};

use crate::edge::failed;
use crate::envelope::Boundary;
use crate::life::{Leave, Life};
use crate::mesh::{Addresses, Budget, Drawn, Lost, Pool, Repeats, Tape, Weight, is_idempotent, is_unavailable};
use crate::{Body, Schema, deadline};

/// How much longer than the deadline a peer is waited for: its own word on the matter is better than ours.
const LAST_WORD: Duration = Duration::from_millis(10);
/// An answer of one message may take so long from there to its end; one that is silent for longer is a stream.
const SETTLED: Duration = Duration::from_secs(1);
/// Connections that may turn out to be gone, one after another, before a call is given up.
const MOST_GONE: usize = 16;

pub(crate) struct Remote {
    name: Arc<str>,
    pub(crate) pool: Pool,
    schema: Arc<Schema>,
    budget: Budget,
    pub(crate) repeats: AtomicUsize,
}

/// One call on its way.
struct Journey {
    head: Parts,
    tape: Tape,
    ends: Option<Instant>,
    repeats: Repeats,
    /// Endpoints that failed it.
    tried: Vec<Arc<str>>,
    gone: usize,
}

/// How an attempt went.
enum Attempt {
    Answered(Response<Incoming>, Drawn),
    Lost(Lost, Drawn),
}

impl Remote {
    /// Inside a runtime only.
    pub(crate) fn new(name: &str, addresses: Addresses, schema: Arc<Schema>) -> Self {
        Self { name: name.into(), pool: Pool::new(name, addresses), schema, budget: Budget::new(), repeats: AtomicUsize::new(0) }
    }

    pub(crate) async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let headers = head.headers.clone();
        // A deadline that cannot be read is refused by the peer.
        let ends = deadline::asked(&headers).ok().flatten().map(|asked| Instant::now() + asked);
        let repeats = Repeats::of(&headers);
        let journey = Journey { head, tape: Tape::new(body), ends, repeats, tried: Vec::new(), gone: 0 };
        match self.travel(journey).await {
            Ok((response, drawn)) => answered(response, drawn, ends, &headers),
            Err(error) => {
                info!(peer = &*self.name, %error, "peer failed");
                failed(error, &headers)
            }
        }
    }

    /// Errors: `NO_READY_PEER` when nothing was sent, `PEER_BROKEN` when it is not known what the peer did,
    /// `DEADLINE_EXCEEDED`.
    async fn travel(&self, mut journey: Journey) -> Result<(Response<Incoming>, Drawn)> {
        self.budget.called();
        loop {
            match self.attempt(&journey).await? {
                Attempt::Answered(response, drawn) => {
                    drawn.went_well();
                    let pause = if is_unavailable(&response) { self.pause(&mut journey, &drawn, Some(response.headers())) } else { None };
                    let Some(pause) = pause else { return Ok((response, drawn)) };
                    drop((response, drawn));
                    sleep(pause).await;
                }
                Attempt::Lost(lost, drawn) => self.after(lost, drawn, &mut journey).await?,
            }
        }
    }

    async fn attempt(&self, journey: &Journey) -> Result<Attempt> {
        let drawn = self.pool.draw(journey.ends, &journey.tried).await?;
        let body = journey.tape.play().ok_or_else(|| self.broken())?;
        let carried = drawn.line.carry(&journey.head, body);
        let carried = match journey.ends {
            None => carried.await,
            Some(ends) => timeout_at(ends + LAST_WORD, carried).await.map_err(|_| {
                drawn.failed(Weight::Silent);
                Error::timeout()
            })?,
        };
        Ok(match carried {
            Ok(response) => Attempt::Answered(response, drawn),
            Err(lost) => Attempt::Lost(lost, drawn),
        })
    }

    /// Returns when there may be another attempt.
    async fn after(&self, lost: Lost, drawn: Drawn, journey: &mut Journey) -> Result<()> {
        debug!(peer = &*self.name, endpoint = &*drawn.endpoint.address, cause = &lost as &dyn std::error::Error, "attempt failed");
        drawn.leave();
        let may_go_on = match &lost {
            // The connection went just before.
            Lost::Unsent(_) => {
                journey.gone += 1;
                journey.gone < MOST_GONE
            }
            Lost::Refused(_) => journey.repeats.may_send_again(),
            Lost::Broken(_) => {
                drawn.failed(Weight::Broken);
                match self.pause(journey, &drawn, None) {
                    Some(pause) => {
                        sleep(pause).await;
                        true
                    }
                    None => false,
                }
            }
        };
        if may_go_on { Ok(()) } else { Err(self.broken().because(lost)) }
    }

    /// The pause before the call is made once more, if it is to be: idempotent, kept whole, in time, within the budget. An
    /// answer is asked for again at another endpoint only.
    fn pause(&self, journey: &mut Journey, drawn: &Drawn, answer: Option<&HeaderMap>) -> Option<Duration> {
        let body = journey.tape.whole()?;
        let method = self.schema.method(journey.head.uri.path())?;
        if !is_idempotent(&method.descriptor, &body) {
            return None;
        }
        journey.tried.push(drawn.endpoint.address.clone());
        if answer.is_some() && !self.pool.has_other(&journey.tried) {
            return None;
        }
        let pause = journey.repeats.pause(answer, &self.budget, journey.ends)?;
        self.repeats.fetch_add(1, Ordering::Relaxed);
        journey.repeats.stamp(&mut journey.head.headers);
        Some(pause)
    }

    fn broken(&self) -> Error {
        Error::unavailable("PEER_BROKEN", format!("the connection to {} broke", self.name)).retry_after(Duration::ZERO)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({:?})", self.pool)
    }
}

/// What the peer answered, without what only a socket adds.
fn answered(response: Response<Incoming>, drawn: Drawn, ends: Option<Instant>, request: &HeaderMap) -> Response<Body> {
    let (mut head, inner) = response.into_parts();
    if head.status == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE && !head.headers.contains_key(Status::GRPC_STATUS) {
        return failed(Error::exhausted("HEADERS_TOO_LARGE", "the headers are larger than the peer takes"), request);
    }
    head.headers.remove(DATE);
    head.headers.remove(CONTENT_LENGTH);
    head.extensions.clear();
    if head.headers.contains_key(Status::GRPC_STATUS) {
        return Response::from_parts(head, Body::empty());
    }
    let call_id = crate::call_id(request);
    let sleep = ends.map(|ends| Box::pin(sleep_until(ends + LAST_WORD)));
    let settled = Box::pin(sleep_until(Instant::now() + SETTLED));
    let answer = FromPeer { inner: Some(inner), drawn, sleep, settled, boundary: Boundary::default(), leave: Leave::default(), call_id };
    head.extensions.insert(Life { ends, leave: Some(answer.leave.clone()) });
    Response::from_parts(head, Body::new(answer))
}

/// The body of an answer from a peer. A connection that breaks, a deadline that passes and a door that closes end it with
/// trailers, as they would in process.
struct FromPeer {
    inner: Option<Incoming>,
    drawn: Drawn,
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
                this.drawn.failed(Weight::Broken);
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
