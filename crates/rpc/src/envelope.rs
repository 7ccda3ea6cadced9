//! Cuts a gRPC request body into its length-prefixed messages, bounded before anything is held.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body as _, Frame};
use kernel::{Error, Result};
use tonic::Status;

use crate::Body;

/// Flag and length before each message.
pub(crate) const PREFIX_BYTES: usize = 5;

/// A request body, message by message.
pub(crate) struct Envelopes {
    body: Body,
    buffer: BytesMut,
    max_bytes: usize,
}

impl Envelopes {
    pub(crate) fn new(body: Body, max_bytes: usize) -> Self {
        Self { body, buffer: BytesMut::new(), max_bytes }
    }

    /// Reads on. False at the end of the body.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool>> {
        loop {
            let data = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => return Poll::Ready(Ok(false)),
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                Some(Err(cause)) => return Poll::Ready(Err(Error::invalid("BODY_INVALID", "the body broke off").because(cause))),
            };
            if data.has_remaining() {
                self.buffer.extend_from_slice(&data);
                return Poll::Ready(Ok(true));
            }
        }
    }

    /// Bytes of the message that its prefix claims, once that is there. Errors: `MESSAGE_TOO_LARGE`,
    /// `ENCODING_UNSUPPORTED`, `BODY_INVALID`.
    pub(crate) fn claimed_bytes(&self) -> Result<Option<usize>> {
        let Some((prefix, _)) = self.buffer.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let [flag, length @ ..] = *prefix;
        match flag {
            0 => {}
            1 => return Err(Error::unsupported("ENCODING_UNSUPPORTED", "compressed messages are not accepted")),
            _ => return Err(Error::invalid("BODY_INVALID", "the message has an unknown flag")),
        }
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > self.max_bytes {
            return Err(Error::exhausted("MESSAGE_TOO_LARGE", format!("the message is larger than {} bytes", self.max_bytes)));
        }
        Ok(Some(length))
    }

    /// The next message with its prefix, if all of it was read. Errors: as `claimed_bytes`.
    pub(crate) fn whole(&mut self) -> Result<Option<Bytes>> {
        let Some(length) = self.claimed_bytes()? else { return Ok(None) };
        let whole = PREFIX_BYTES + length;
        Ok((self.buffer.len() >= whole).then(|| self.buffer.split_to(whole).freeze()))
    }

    /// Whether bytes are held that belong to no whole message yet.
    pub(crate) fn has_rest(&self) -> bool {
        !self.buffer.is_empty()
    }
}

/// The body of a client stream: messages pass one by one, each checked before the handler can see it.
pub(crate) struct Checked<C> {
    first: Option<Bytes>,
    rest: Envelopes,
    check: C,
}

impl<C: FnMut(&[u8]) -> Result<()>> Checked<C> {
    /// `first` was checked already.
    pub(crate) fn new(first: Option<Bytes>, rest: Envelopes, check: C) -> Self {
        Self { first, rest, check }
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Ok(Some(first)));
        }
        loop {
            if let Some(message) = self.rest.whole()? {
                (self.check)(&message[PREFIX_BYTES..])?;
                return Poll::Ready(Ok(Some(message)));
            }
            if ready!(self.rest.poll_read(cx))? {
                continue;
            }
            let broken = self.rest.has_rest();
            return Poll::Ready(if broken { Err(Error::invalid("BODY_INVALID", "a message ends early")) } else { Ok(None) });
        }
    }
}

impl<C: FnMut(&[u8]) -> Result<()> + Unpin> http_body::Body for Checked<C> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.poll_message(cx).map(|message| message.map_err(Status::from).transpose().map(|message| message.map(Frame::data)))
    }
}
