//! gRPC-Web, binary and text: the same envelopes, trailers as a last one in the body, in text all of it in base64. An error
//! before any message is headers with an empty body, because gRPC's own is.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderValue};
use http_body::{Body as _, Frame};
use kernel::Error;
use rpc::{Body, Method};
use tonic::Status;

use super::Wire;
use crate::call::{Call, Reply, Visit};
use crate::envelope::PREFIX_BYTES;
use crate::headers;

/// The flag of the envelope that holds trailers.
const TRAILERS: u8 = 0x80;

/// Errors: those of the headers. Text that is not base64 breaks the body off, which the service's guard refuses.
pub(crate) fn inward<'a>(visit: &Visit, method: &'a Method, body: Body) -> kernel::Result<Call<'a>> {
    let headers = headers::rpc(&visit.head, visit.call_id.header(), visit.address)?;
    let body = if visit.wire == (Wire::GrpcWeb { text: true }) { Body::new(FromText { body, held: BytesMut::new() }) } else { body };
    Ok(Call { method, headers, body, reading: visit.unread() })
}

/// The reply with its trailers in the body.
pub(crate) fn outward(visit: &Visit, reply: Reply) -> Reply {
    let text = answers_in_text(visit);
    let (mut head, body) = reply.into_parts();
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Wire::GrpcWeb { text }.content_type()));
    head.headers.remove(header::CONTENT_LENGTH);
    if body.is_end_stream() {
        return Reply::from_parts(head, Body::empty());
    }
    Reply::from_parts(head, Body::new(ToWeb { body, text }))
}

/// `accept` chooses; without a word there the answer is as the request was.
fn answers_in_text(visit: &Visit) -> bool {
    let accepts = visit.head.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let kinds: Vec<&str> = accepts.flat_map(|value| value.split(',')).map(|kind| kind.split(';').next().unwrap_or("").trim()).collect();
    let names = |family: &str| kinds.iter().any(|kind| kind.split('+').next() == Some(family));
    match (names("application/grpc-web-text"), names("application/grpc-web")) {
        (true, false) => true,
        (false, true) => false,
        _ => visit.wire == (Wire::GrpcWeb { text: true }),
    }
}

/// Bytes of a body in base64, whose pieces may be padded one by one.
struct FromText {
    body: Body,
    /// Less than four letters.
    held: BytesMut,
}

impl http_body::Body for FromText {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let malformed = || Status::from(Error::invalid("BODY_INVALID", "the body is not base64"));
        loop {
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)?) else {
                return Poll::Ready(if self.held.is_empty() { None } else { Some(Err(malformed())) });
            };
            let Ok(data) = frame.into_data() else { continue };
            self.held.extend_from_slice(&data);
            let whole = self.held.len() - self.held.len() % 4;
            let text = self.held.split_to(whole);
            if !text.is_empty() {
                return Poll::Ready(Some(from_text(&text).map(Frame::data).ok_or_else(malformed)));
            }
        }
    }
}

/// Decodes groups of four letters, each run of them up to its padding.
pub(crate) fn from_text(mut text: &[u8]) -> Option<Bytes> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    while !text.is_empty() {
        let padded = text.chunks(4).position(|group| group.last() == Some(&b'='));
        let (run, rest) = text.split_at(padded.map_or(text.len(), |at| (at + 1) * 4).min(text.len()));
        STANDARD.decode_vec(run, &mut bytes).ok()?;
        text = rest;
    }
    Some(bytes.into())
}

/// A gRPC body as one of gRPC-Web.
struct ToWeb {
    body: Body,
    text: bool,
}

impl http_body::Body for ToWeb {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)?) else { return Poll::Ready(None) };
        let bytes = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => pack(&frame.into_trailers().unwrap_or_default()),
        };
        Poll::Ready(Some(Ok(Frame::data(if self.text { STANDARD.encode(bytes).into() } else { bytes }))))
    }
}

fn pack(trailers: &HeaderMap) -> Bytes {
    let mut block = BytesMut::new();
    for (name, value) in trailers {
        block.put_slice(name.as_str().as_bytes());
        block.put_slice(b": ");
        block.put_slice(value.as_bytes());
        block.put_slice(b"\r\n");
    }
    let mut packed = BytesMut::with_capacity(PREFIX_BYTES + block.len());
    packed.put_u8(TRAILERS);
    packed.put_u32(u32::try_from(block.len()).unwrap_or(u32::MAX));
    packed.put(block);
    packed.freeze()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use http_body_util::{BodyExt, StreamBody};
    use proptest::prelude::*;

    async fn decoded(chunks: &[&str]) -> Result<Bytes, Status> {
        let frames: Vec<_> = chunks.iter().map(|chunk| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(chunk.as_bytes())))).collect();
        let body = Body::new(StreamBody::new(tokio_stream::iter(frames)));
        FromText { body, held: BytesMut::new() }.collect().await.map(|collected| collected.to_bytes())
    }

    #[tokio::test]
    async fn text_comes_in_pieces_padded_one_by_one() {
        assert_eq!(decoded(&["YWJj"]).await.unwrap(), "abc");
        assert_eq!(decoded(&["YQ==YmM=ZGVm"]).await.unwrap(), "abcdef");
        assert_eq!(decoded(&["Y", "WJ", "jZA", "=", "="]).await.unwrap(), "abcd");
        assert_eq!(decoded(&[]).await.unwrap(), "");
        for bad in ["YWJ", "Y===", "YW=j", "====", "YWJ\n", "YW-_", "YWJjY"] {
            assert_eq!(kernel::error_info(&decoded(&[bad]).await.unwrap_err()).as_deref(), Some("BODY_INVALID"), "{bad}");
        }
    }

    #[test]
    fn trailers_are_an_envelope_of_lines() {
        let mut trailers = HeaderMap::new();
        trailers.append("grpc-status", "0".parse().unwrap());
        trailers.append("x-two", "1".parse().unwrap());
        trailers.append("x-two", "2".parse().unwrap());
        assert_eq!(pack(&trailers), &b"\x80\0\0\0\x24grpc-status: 0\r\nx-two: 1\r\nx-two: 2\r\n"[..]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text: Vec<u8>) {
            from_text(&text);
        }

        #[test]
        fn pieces_come_back_whole(pieces: Vec<Vec<u8>>) {
            let text: String = pieces.iter().map(|piece| STANDARD.encode(piece)).collect();
            prop_assert_eq!(from_text(text.as_bytes()).unwrap(), pieces.concat());
        }
    }
}
