//! Cuts a gRPC request body into its length-prefixed messages, bounded before anything is held.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body as _;
use kernel::{Error, Result};

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

    /// Whether it is known already that no byte follows.
    pub(crate) fn is_over(&self) -> bool {
        self.body.is_end_stream()
    }

    /// Bytes read and not cut off yet.
    pub(crate) fn held_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Whether bytes are held that belong to no whole message yet.
    pub(crate) fn has_rest(&self) -> bool {
        !self.buffer.is_empty()
    }
}

/// Follows the messages of an answer without holding them.
#[derive(Debug, Default)]
pub(crate) struct Boundary {
    prefix: Vec<u8>,
    missing_bytes: usize,
    /// Messages passed whole.
    pub(crate) messages: usize,
}

impl Boundary {
    /// Whether the last message passed is whole, or none began.
    pub(crate) fn is_between(&self) -> bool {
        self.prefix.is_empty()
    }

    pub(crate) fn pass(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let wanted = if self.prefix.len() < PREFIX_BYTES { PREFIX_BYTES - self.prefix.len() } else { self.missing_bytes };
            let (now, later) = data.split_at(wanted.min(data.len()));
            data = later;
            if self.prefix.len() == PREFIX_BYTES {
                self.missing_bytes -= now.len();
            } else {
                self.prefix.extend_from_slice(now);
                let length = self.prefix.get(1..).and_then(|length| length.first_chunk());
                self.missing_bytes = length.map_or(0, |length| usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX));
            }
            if self.prefix.len() == PREFIX_BYTES && self.missing_bytes == 0 {
                self.prefix.clear();
                self.messages += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_are_found_in_any_pieces() {
        let bytes = b"\0\0\0\0\x02ab\0\0\0\0\0\0\0\0\0\x03abc";
        for size in 1..=bytes.len() {
            let mut boundary = Boundary::default();
            let seen: Vec<_> = bytes.chunks(size).map(|piece| (boundary.pass(piece), boundary.is_between()).1).collect();
            assert_eq!((boundary.messages, seen.last()), (3, Some(&true)), "{size}");
        }
        let mut boundary = Boundary::default();
        boundary.pass(&bytes[..6]);
        assert_eq!((boundary.messages, boundary.is_between()), (0, false));
    }
}
