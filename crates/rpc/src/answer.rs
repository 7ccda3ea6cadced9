//! The body of an answer on its way out: cut when time is up, panics caught, failures in its trailers logged and stamped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use kernel::Error;
use tonic::Status;

use crate::Body;
use crate::deadline::Deadline;
use crate::service::panicked;
use crate::trace::Call;

/// An answer's body. `inner` is gone once trailers are out: the handler's stream is dropped at that moment.
pub(crate) struct Answer {
    inner: Option<Body>,
    deadline: Deadline,
    call: Call,
}

impl Answer {
    pub(crate) fn new(inner: Body, deadline: Deadline, call: Call) -> Self {
        Self { inner: Some(inner), deadline, call }
    }

    /// Ends the answer with a failure of ours.
    fn end(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.inner = None;
        let status = Status::from(error);
        let mut trailers = HeaderMap::new();
        let written = status.add_header(&mut trailers);
        self.call.fail(&mut trailers, Some(status));
        Poll::Ready(Some(written.map(|()| Frame::trailers(trailers))))
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        let span = this.call.span.clone();
        let _entered = span.enter();
        if let Poll::Ready(error) = this.deadline.poll(cx) {
            return this.end(error);
        }
        let polled = this.deadline.within(|| catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll_frame(cx))));
        let frame = match polled {
            Err(panic) => return this.end(panicked(&*panic)),
            Ok(Poll::Ready(Some(Ok(frame)))) => frame,
            Ok(other) => return other,
        };
        Poll::Ready(Some(Ok(match frame.into_trailers() {
            Ok(mut trailers) => {
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
