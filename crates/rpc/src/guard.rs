//! What a request must be before anybody looks into it: a POST of gRPC to a known method, with as many messages as the
//! method takes, each within its limit. Knows nothing of callers.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap};
use http::{Method as Verb, request};
use kernel::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::envelope::Envelopes;
use crate::schema::{Method, Schema};

/// A body without progress is given up.
const STALL: Duration = Duration::from_secs(10);
/// Header entries of one request.
const MAX_HEADERS: usize = 100;

/// How many bytes the messages of one connection may claim at once; put into its requests by the listener.
#[derive(Clone, Debug)]
pub(crate) struct Claims(pub(crate) Arc<Semaphore>);

impl Claims {
    /// 16 messages of the usual largest size.
    const BYTES: usize = 16 << 20;

    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(Self::BYTES)))
    }

    async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes.min(Self::BYTES)).unwrap_or(u32::MAX);
        let permit = self.0.clone().acquire_many_owned(bytes).await;
        permit.map_err(|cause| Error::internal("CLAIMS_CLOSED", "the connection's budget is gone").because(cause))
    }
}

/// Judges a request by its head. Errors: `VERB_NOT_ALLOWED`, `CONTENT_TYPE_UNSUPPORTED`, `HEADERS_TOO_LARGE`,
/// `METHOD_UNKNOWN`, `ENCODING_UNSUPPORTED`.
pub(crate) fn head(schema: &Schema, head: &request::Parts) -> Result<Arc<Method>> {
    if head.method != Verb::POST {
        return Err(Error::unsupported("VERB_NOT_ALLOWED", "calls are POST"));
    }
    if head.headers.len() > MAX_HEADERS {
        return Err(Error::exhausted("HEADERS_TOO_LARGE", format!("more than {MAX_HEADERS} headers")));
    }
    content_type(&head.headers)?;
    let method = schema.method(head.uri.path());
    let method = method.ok_or_else(|| Error::unsupported("METHOD_UNKNOWN", "there is no such method"))?;
    match head.headers.get("grpc-encoding").map(|encoding| encoding.as_bytes()) {
        None | Some(b"identity") => Ok(method.clone()),
        Some(_) => Err(Error::unsupported("ENCODING_UNSUPPORTED", "compressed messages are not accepted")),
    }
}

fn content_type(headers: &HeaderMap) -> Result<()> {
    let mut types = headers.get_all(CONTENT_TYPE).iter().map(|value| value.as_bytes().to_ascii_lowercase());
    match (types.next().as_deref(), types.next()) {
        (Some(b"application/grpc" | b"application/grpc+proto"), None) => Ok(()),
        _ => Err(Error::unsupported("CONTENT_TYPE_UNSUPPORTED", "the content type is not application/grpc or application/grpc+proto")),
    }
}

/// The one message of a unary or server-stream request, with its prefix. Nothing is reserved before it arrives.
/// Errors: `CARDINALITY`, `BODY_TOO_SLOW`, and those of `Envelopes`.
pub(crate) async fn hold(envelopes: &mut Envelopes, claims: Option<&Claims>) -> Result<(Bytes, Option<OwnedSemaphorePermit>)> {
    let one = || Error::unsupported("CARDINALITY", "the method takes exactly one message");
    let (message, claim) = next(envelopes, claims).await?.ok_or_else(one)?;
    if envelopes.has_rest() || read(envelopes).await? {
        return Err(one());
    }
    Ok((message, claim))
}

/// The next message, or none at the end of the body.
pub(crate) async fn next(envelopes: &mut Envelopes, claims: Option<&Claims>) -> Result<Option<(Bytes, Option<OwnedSemaphorePermit>)>> {
    let mut claim = None;
    loop {
        if let Some(message) = envelopes.whole()? {
            return Ok(Some((message, claim)));
        }
        if let (Some(claims), Some(bytes), None) = (claims, envelopes.claimed_bytes()?, &claim) {
            claim = Some(claims.take(bytes).await?);
        }
        if !read(envelopes).await? {
            return if envelopes.has_rest() { Err(Error::invalid("BODY_INVALID", "the message ends early")) } else { Ok(None) };
        }
    }
}

async fn read(envelopes: &mut Envelopes) -> Result<bool> {
    let read = timeout(STALL, poll_fn(|cx| envelopes.poll_read(cx))).await;
    read.unwrap_or_else(|_| Err(Error::unavailable("BODY_TOO_SLOW", format!("no byte of the body in {} seconds", STALL.as_secs()))))
}
