//! Refusals as gRPC answers without a message, and the id of a call.

use std::sync::LazyLock;

use http::header::{ALLOW, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use kernel::{Clock, Error};
use tonic::Status;

use crate::Body;

/// The header that carries the id of a call.
pub(crate) const CALL_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The same by the name that others give it.
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// A gRPC answer without a message: status, reason, details and call id in the headers. Whoever did not speak gRPC at all
/// (verb, content type) reads it in the HTTP status too.
pub fn refuse(error: Error, call_id: &str) -> Response<Body> {
    let reason = error.reason();
    let status = Status::from(error);
    let mut response = kernel::stamp(&status, call_id).into_http::<Body>();
    // In place of the stamped one: this one still has its cause, for the log.
    response.extensions_mut().insert(status);
    let (code, hint) = match reason {
        "VERB_NOT_ALLOWED" => (StatusCode::METHOD_NOT_ALLOWED, Some((ALLOW, "POST"))),
        "CONTENT_TYPE_UNSUPPORTED" => (StatusCode::UNSUPPORTED_MEDIA_TYPE, Some((ACCEPT_POST, "application/grpc, application/grpc+proto"))),
        "ENCODING_UNSUPPORTED" => (StatusCode::OK, Some((ACCEPT_ENCODING, "identity"))),
        _ => (StatusCode::OK, None),
    };
    *response.status_mut() = code;
    if let Some((name, value)) = hint {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The id of a call, as a header holds it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CallId(HeaderValue);

impl CallId {
    /// `x-request-id` or `x-correlation-id` when it is `[A-Za-z0-9_-]{8,64}`, else a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        let given = [CALL_ID, CORRELATION_ID].into_iter().filter_map(|name| headers.get(name));
        let mut usable = given.filter(|id| (8..=64).contains(&id.len()) && id.as_bytes().iter().copied().all(is_id_byte));
        let mut id = usable.next().map_or_else(fresh, HeaderValue::clone);
        // No secret, but another one each time: HTTP/2 shall not give it a place in its table for it to be asked for again.
        id.set_sensitive(true);
        Self(id)
    }

    /// The id itself.
    pub fn as_str(&self) -> &str {
        // Every id is made of letters that a header may hold.
        self.0.to_str().unwrap_or_default()
    }

    /// The value of a header.
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// Whether these headers carry it already, and no other one.
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(CALL_ID).iter();
        given.next() == Some(&self.0) && given.next().is_none()
    }
}

fn fresh() -> HeaderValue {
    static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::system);
    let id = kernel::id::fresh("call", CLOCK.now());
    HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("call"))
}

/// The id of a call: `x-request-id` or `x-correlation-id` when it is `[A-Za-z0-9_-]{8,64}`, else a new one.
pub fn call_id(headers: &HeaderMap) -> String {
    CallId::of(headers).as_str().to_owned()
}

fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}
