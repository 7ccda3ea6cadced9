//! Refusals as gRPC answers without a message, and the id of a call.

use http::header::{ALLOW, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use kernel::{Clock, Error};
use tonic::Status;

use crate::Body;

/// The header that carries the id of a call.
pub(crate) const CALL_ID: &str = "x-request-id";

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

/// The id of a call: `x-request-id` or `x-correlation-id` when it is `[A-Za-z0-9_-]{8,64}`, else a new one.
pub fn call_id(headers: &HeaderMap) -> String {
    let given = [CALL_ID, "x-correlation-id"].into_iter().filter_map(|name| headers.get(name)?.to_str().ok());
    let mut usable = given.filter(|id| (8..=64).contains(&id.len()) && id.bytes().all(is_id_byte));
    usable.next().map_or_else(|| kernel::id::fresh("call", Clock::system().now()), str::to_owned)
}

fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}
