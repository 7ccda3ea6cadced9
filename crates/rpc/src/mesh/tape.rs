//! A request body that can be sent again: what has passed is kept while it is small.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::Status;

use crate::Body;

/// Largest body that is kept. What is longer is sent once.
const MAX_BYTES: usize = 64 * 1024;

/// A body, and what of it was read so far. All clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Tape(Arc<Mutex<Recorded>>);

#[derive(Debug)]
struct Recorded {
    body: Body,
    frames: Vec<Bytes>,
    bytes: usize,
    over: bool,
    ended: bool,
    /// The playing that may read on; those before it have lost their connection.
    playing: usize,
}

impl Tape {
    pub(crate) fn new(body: Body) -> Self {
        let ended = http_body::Body::is_end_stream(&body);
        Self(Arc::new(Mutex::new(Recorded { body, frames: Vec::new(), bytes: 0, over: false, ended, playing: 0 })))
    }

    /// The body from its beginning; none once too much of it has passed. Whoever plays it already reads no further.
    pub(crate) fn play(&self) -> Option<Body> {
        let (number, over) = {
            let mut recorded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            recorded.playing += 1;
            (recorded.playing, recorded.over)
        };
        // It asks at once whether it is at its end.
        (!over).then(|| Body::new(Playing { tape: self.clone(), number, at: 0 }))
    }

    /// The whole body, if it was read to its end and kept.
    pub(crate) fn whole(&self) -> Option<Vec<u8>> {
        let recorded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (recorded.ended && !recorded.over).then(|| recorded.frames.concat())
    }
}

impl Recorded {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(frame) = ready!(http_body::Body::poll_frame(Pin::new(&mut self.body), cx)?) else {
            self.ended = true;
            return Poll::Ready(None);
        };
        match frame.data_ref() {
            Some(data) => {
                self.bytes = self.bytes.saturating_add(data.len());
                self.over |= self.bytes > MAX_BYTES;
                if self.over {
                    self.frames.clear()
                } else {
                    self.frames.push(data.clone())
                }
                self.ended = http_body::Body::is_end_stream(&self.body);
            }
            // Trailers of a request mean nothing in gRPC; a repeat would not have them.
            None => self.over = true,
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

/// The body once more. Its length stands in no header, as none does in process.
struct Playing {
    tape: Tape,
    number: usize,
    at: usize,
}

impl http_body::Body for Playing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let mut recorded = this.tape.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recorded.playing != this.number {
            return Poll::Ready(None);
        }
        if let Some(frame) = recorded.frames.get(this.at) {
            this.at += 1;
            return Poll::Ready(Some(Ok(Frame::data(frame.clone()))));
        }
        if recorded.ended {
            return Poll::Ready(None);
        }
        let polled = recorded.poll_next(cx);
        this.at = recorded.frames.len();
        polled
    }

    fn is_end_stream(&self) -> bool {
        let recorded = self.tape.0.lock().unwrap_or_else(PoisonError::into_inner);
        recorded.ended && self.at >= recorded.frames.len()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http_body_util::{BodyExt as _, Full, StreamBody};

    use super::*;

    async fn read(body: Body) -> Bytes {
        body.collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn a_small_body_plays_again_also_from_its_middle() {
        let frames = ["one", "two", "three"].map(|text| Ok::<_, Status>(Frame::data(Bytes::from(text))));
        let tape = Tape::new(Body::new(StreamBody::new(tokio_stream::iter(frames))));
        let mut first = tape.play().unwrap();
        assert_eq!(first.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        assert_eq!(tape.whole(), None);
        let second = tape.play().unwrap();
        assert!(first.frame().await.is_none(), "the first reader is done");
        assert_eq!(read(second).await, "onetwothree");
        assert_eq!((tape.whole().unwrap(), read(tape.play().unwrap()).await), (b"onetwothree".to_vec(), "onetwothree".into()));
    }

    #[tokio::test]
    async fn a_large_body_passes_once() {
        let tape = Tape::new(Body::new(Full::new(Bytes::from(vec![7; MAX_BYTES + 1]))));
        assert_eq!(read(tape.play().unwrap()).await.len(), MAX_BYTES + 1);
        assert!(tape.play().is_none() && tape.whole().is_none());
    }
}
