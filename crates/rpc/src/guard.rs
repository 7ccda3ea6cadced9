//! What a request must be before anybody looks into it: a POST of gRPC to a known method, with as many messages as the
//! method takes, each within its limit. Knows nothing of callers.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Method as Verb;
use http::header::HeaderValue;
use http_body::Frame;
use kernel::{Error, Result};
use tokio::time::{Sleep, sleep};
use tonic::Status;

use crate::BoxFuture;
use crate::claims::{Claim, Claims};
use crate::envelope::{Envelopes, PREFIX_BYTES};
use crate::heads::Seen;
use crate::schema::Method;

/// A body without progress is given up.
const STALL: Duration = Duration::from_secs(10);
/// Header entries of one request.
const MAX_HEADERS: usize = 100;
/// Of them, those that no protocol of ours knows.
const MAX_CUSTOM_HEADERS: usize = 64;
/// All header entries of one request, counted as HTTP/2 does: 32 bytes each beside name and value.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Judges a request by its head. Errors: `VERB_NOT_ALLOWED`, `CONTENT_TYPE_UNSUPPORTED`, `HEADERS_TOO_LARGE`,
/// `METHOD_UNKNOWN`, `ENCODING_UNSUPPORTED`.
pub(crate) fn head<'a>(verb: &Verb, seen: &Seen<'_>, method: Option<&'a Arc<Method>>) -> Result<&'a Arc<Method>> {
    if *verb != Verb::POST {
        return Err(Error::unsupported("VERB_NOT_ALLOWED", "calls are POST"));
    }
    sizes(seen)?;
    if !seen.content_type.only().is_some_and(is_grpc) {
        return Err(Error::unsupported("CONTENT_TYPE_UNSUPPORTED", "the content type is not application/grpc or application/grpc+proto"));
    }
    let method = method.ok_or_else(|| Error::unsupported("METHOD_UNKNOWN", "there is no such method"))?;
    match seen.encoding.first().map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(method),
        Some(_) => Err(Error::unsupported("ENCODING_UNSUPPORTED", "compressed messages are not accepted")),
    }
}

fn sizes(seen: &Seen<'_>) -> Result<()> {
    let too_large = |what: String| Err(Error::exhausted("HEADERS_TOO_LARGE", what));
    // The id of the call is ours to add.
    if seen.entries - seen.ids.min(1) > MAX_HEADERS {
        return too_large(format!("more than {MAX_HEADERS} headers"));
    }
    if seen.custom > MAX_CUSTOM_HEADERS {
        return too_large(format!("more than {MAX_CUSTOM_HEADERS} custom headers"));
    }
    if seen.bytes > MAX_HEADER_BYTES { too_large(format!("more than {MAX_HEADER_BYTES} bytes of headers")) } else { Ok(()) }
}

fn is_grpc(kind: &HeaderValue) -> bool {
    ["application/grpc", "application/grpc+proto"].iter().any(|known| kind.as_bytes().eq_ignore_ascii_case(known.as_bytes()))
}

/// A message with its prefix, and what it holds of the budgets until it is passed on.
pub(crate) type Held = (Bytes, Option<Claim>);

/// The one message of a unary or server-stream request, with its prefix. Nothing is reserved before it arrives.
/// Errors: `CARDINALITY`, `BODY_TOO_SLOW`, and those of `Envelopes`.
pub(crate) async fn hold(envelopes: &mut Envelopes, claims: Option<&Claims>) -> Result<Held> {
    let one = || Error::unsupported("CARDINALITY", "the method takes exactly one message");
    let (message, claim) = next(envelopes, claims).await?.ok_or_else(one)?;
    if envelopes.has_rest() || (!envelopes.is_over() && read(envelopes).await?) {
        return Err(one());
    }
    Ok((message, claim))
}

/// The next message, or none at the end of the body.
pub(crate) async fn next(envelopes: &mut Envelopes, claims: Option<&Claims>) -> Result<Option<Held>> {
    let mut claim = None;
    loop {
        if let Some(message) = envelopes.whole()? {
            return Ok(Some((message, claim)));
        }
        if let (Some(claims), Some(bytes), None) = (claims, envelopes.claimed_bytes()?, &claim) {
            claim = Some(claims.take(bytes).await?);
        }
        if let Some(claim) = &mut claim {
            claim.holds(envelopes.held_bytes())?;
        }
        if !read(envelopes).await? {
            return if envelopes.has_rest() { Err(Error::invalid("BODY_INVALID", "the message ends early")) } else { Ok(None) };
        }
    }
}

/// Reads on. False at the end of the body. Errors: `BODY_TOO_SLOW`, `BODY_INVALID`.
async fn read(envelopes: &mut Envelopes) -> Result<bool> {
    let slow = || Error::unavailable("BODY_TOO_SLOW", format!("no byte of the body in {} seconds", STALL.as_secs()));
    // What is there already needs no timer.
    let mut stall: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| match envelopes.poll_read(cx) {
        Poll::Pending => stall.get_or_insert_with(|| Box::pin(sleep(STALL))).as_mut().poll(cx).map(|()| Err(slow())),
        read => read,
    })
    .await
}

/// The body of a client stream: messages pass one by one, each within the connection's budget and checked before the
/// handler can see it. Between messages the client may be silent; within one it may not.
pub(crate) struct Checked<C> {
    first: Option<Held>,
    claims: Option<Claims>,
    state: State,
    check: C,
}

type Reading = BoxFuture<'static, (Envelopes, Result<Option<Held>>)>;

enum State {
    Between(Envelopes),
    Within(Reading),
    Over,
}

impl<C: FnMut(&[u8]) -> Result<()>> Checked<C> {
    /// `first` was checked already.
    pub(crate) fn new(first: Option<Held>, rest: Envelopes, claims: Option<Claims>, check: C) -> Self {
        Self { first, claims, state: State::Between(rest), check }
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        if let Some((message, _)) = self.first.take() {
            return Poll::Ready(Ok(Some(message)));
        }
        let mut reading = match std::mem::replace(&mut self.state, State::Over) {
            State::Over => return Poll::Ready(Ok(None)),
            State::Within(reading) => reading,
            State::Between(mut envelopes) => {
                let begun = if envelopes.has_rest() { Poll::Ready(Ok(true)) } else { envelopes.poll_read(cx) };
                match begun? {
                    Poll::Ready(false) => return Poll::Ready(Ok(None)),
                    Poll::Ready(true) => within(envelopes, self.claims.clone()),
                    Poll::Pending => {
                        self.state = State::Between(envelopes);
                        return Poll::Pending;
                    }
                }
            }
        };
        let Poll::Ready((envelopes, message)) = reading.as_mut().poll(cx) else {
            self.state = State::Within(reading);
            return Poll::Pending;
        };
        let Some((message, _claim)) = message? else { return Poll::Ready(Ok(None)) };
        self.state = State::Between(envelopes);
        (self.check)(&message[PREFIX_BYTES..])?;
        Poll::Ready(Ok(Some(message)))
    }
}

fn within(mut envelopes: Envelopes, claims: Option<Claims>) -> Reading {
    Box::pin(async move {
        let message = next(&mut envelopes, claims.as_ref()).await;
        (envelopes, message)
    })
}

impl<C: FnMut(&[u8]) -> Result<()> + Unpin> http_body::Body for Checked<C> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.poll_message(cx).map(|message| message.map_err(Status::from).transpose().map(|message| message.map(Frame::data)))
    }
}
