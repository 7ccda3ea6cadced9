//! The body of an answer on its way out: cut when time is up or its connection goes, panics caught, failures in its
//! trailers logged and stamped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use kernel::Error;
use tonic::{Code, Status};

use crate::Body;
use crate::deadline::Deadline;
use crate::life::{Leave, Life};
use crate::metrics::Timer;
use crate::service::panicked;
use crate::trace::Call;

/// An answer's body. `inner` is gone once trailers are out: the handler's stream is dropped at that moment.
pub(crate) struct Answer {
    inner: Option<Body>,
    deadline: Deadline,
    leave: Option<Leave>,
    call: Call,
    timer: Timer,
}

impl Answer {
    /// `is_stream`: more than one message may follow, so the answer can be asked to end before its time.
    pub(crate) fn new(inner: Body, deadline: Deadline, is_stream: bool, call: Call, timer: Timer) -> Self {
        Self { inner: Some(inner), deadline, leave: is_stream.then(Leave::default), call, timer }
    }

    /// What whoever holds the connection has to know.
    pub(crate) fn life(&self) -> Life {
        Life { ends: Some(self.deadline.ends()), leave: self.leave.clone() }
    }

    /// Ends the answer with a failure of ours.
    fn end(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.inner = None;
        let status = Status::from(error);
        self.timer.end(status.code());
        let mut trailers = HeaderMap::new();
        let written = status.add_header(&mut trailers);
        self.call.fail(&mut trailers, Some(status));
        Poll::Ready(Some(written.map(|()| Frame::trailers(trailers))))
    }

    /// Why the answer must end now, if it must.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if let Some(Poll::Ready(error)) = self.leave.as_ref().map(|leave| leave.poll(cx)) {
            return Poll::Ready(error);
        }
        self.deadline.poll(cx)
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.inner.is_none() {
            return Poll::Ready(None);
        }
        // What a stream has ready is no reason to let it go on; a single message that is ready was made in time.
        if this.leave.is_some()
            && let Poll::Ready(error) = this.poll_end(cx)
        {
            return this.end(error);
        }
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        let polled = this.call.serve(|| catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll_frame(cx))));
        let frame = match polled {
            Err(panic) => return this.end(panicked(&*panic)),
            Ok(Poll::Ready(Some(Ok(frame)))) => frame,
            Ok(Poll::Pending) if this.leave.is_none() => {
                return match this.poll_end(cx) {
                    Poll::Ready(error) => this.end(error),
                    Poll::Pending => Poll::Pending,
                };
            }
            Ok(other) => return other,
        };
        Poll::Ready(Some(Ok(match frame.into_trailers() {
            Ok(mut trailers) => {
                this.timer.end(code(&trailers).unwrap_or(Code::Unknown));
                this.call.fail(&mut trailers, None);
                this.inner = None;
                Frame::trailers(trailers)
            }
            Err(data) => data,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or(SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

/// The code in these headers or trailers.
pub(crate) fn code(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()))
}
