//! The one table from kinds of failure to gRPC codes and HTTP statuses, and the one way from an `Error` to a `Status`.
#![allow(clippy::disallowed_methods)] // the only place that may build a Status

use std::collections::HashMap;
use std::sync::Arc;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{Error, Kind};

/// `domain` of every `google.rpc.ErrorInfo` of ours.
pub const DOMAIN: &str = "core.mozaiks.dev";

/// Longest message that a caller reads, in bytes: larger header blocks arrive as a bare HTTP/2 error.
const MAX_MESSAGE_BYTES: usize = 1024;
/// Most field violations told: keeps the details below 4 KiB.
const MAX_FIELDS: usize = 16;
/// Longest text of one field violation, in bytes.
const MAX_FIELD_BYTES: usize = 200;

const fn code(kind: Kind) -> Code {
    match kind {
        Kind::Invalid => Code::InvalidArgument,
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::Forbidden => Code::PermissionDenied,
        Kind::NotFound => Code::NotFound,
        Kind::Exists => Code::AlreadyExists,
        Kind::Stale => Code::Aborted,
        Kind::Refused => Code::FailedPrecondition,
        Kind::Exhausted => Code::ResourceExhausted,
        Kind::Unavailable => Code::Unavailable,
        Kind::Timeout => Code::DeadlineExceeded,
        Kind::Unsupported => Code::Unimplemented,
        Kind::Internal => Code::Internal,
    }
}

/// The HTTP status of a gRPC code, unless its reason has one of its own.
pub fn http_status(code: Code, reason: Option<&str>) -> u16 {
    match reason {
        Some("VERB_NOT_ALLOWED") => return 405,
        Some("MESSAGE_TOO_LARGE") => return 413,
        Some("URL_TOO_LONG") => return 414,
        Some("CONTENT_TYPE_UNSUPPORTED" | "ENCODING_UNSUPPORTED") => return 415,
        Some("HEADERS_TOO_LARGE") => return 431,
        Some("CARDINALITY") => return 400,
        Some("BODY_TOO_SLOW") => return 408,
        _ => {}
    }
    match code {
        Code::Ok => 200,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::ResourceExhausted => 429,
        Code::Cancelled => 499,
        Code::Internal | Code::Unknown | Code::DataLoss => 500,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let mut details = ErrorDetails::with_error_info(error.reason(), DOMAIN, HashMap::new());
        for (path, description) in error.fields().iter().take(MAX_FIELDS) {
            details.add_bad_request_violation(cut(path, MAX_FIELD_BYTES), cut(description, MAX_FIELD_BYTES));
        }
        if let Some(wait) = error.wait() {
            details.set_retry_info(Some(wait));
        }
        if error.kind() == Kind::Exhausted && waiting_helps(error.reason()) {
            details.add_quota_failure_violation(error.reason(), cut(error.message(), MAX_FIELD_BYTES));
        }
        let mut status = Self::with_error_details(code(error.kind()), cut(error.message(), MAX_MESSAGE_BYTES), details);
        status.set_source(Arc::new(error));
        status
    }
}

/// Whether a limit is one of time and not one of size.
fn waiting_helps(reason: &str) -> bool {
    !matches!(reason, "MESSAGE_TOO_LARGE" | "URL_TOO_LONG" | "HEADERS_TOO_LARGE")
}

/// The machine's word in a status of ours, if it has one.
pub fn error_info(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// The status with the id of its call, so that a caller can name it to an operator. A status that is not ours (made by
/// the transport or by a peer's library) gets a reason of its own first: `TRANSPORT`.
#[must_use]
pub fn stamp(status: &Status, call_id: &str) -> Status {
    let mut details = status.get_error_details();
    if details.error_info().is_none() {
        details.set_error_info("TRANSPORT", DOMAIN, HashMap::new());
    }
    details.set_request_info(call_id, "");
    Status::with_error_details_and_metadata(status.code(), cut(status.message(), MAX_MESSAGE_BYTES), details, status.metadata().clone())
}

fn cut(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn defects_are_not_explained_to_callers() {
        let status = Status::from(Error::internal("RECORD_CORRUPT", "crc of usr_1 differs").because("sqlite page 7"));
        assert_eq!((status.code(), status.message()), (Code::Internal, "internal error"));
        assert_eq!(error_info(&status).as_deref(), Some("RECORD_CORRUPT"));
        assert!(!String::from_utf8_lossy(status.details()).contains("crc"));
        assert!(format!("{:?}", std::error::Error::source(&status).unwrap()).contains("sqlite page 7"));
    }

    #[test]
    fn messages_and_details_stay_small_and_carry_the_call() {
        let mut error = Error::invalid("FIELDS_INVALID", "ä".repeat(2_000));
        for n in 0..100 {
            error = error.field(format!("field_{n}"), "x".repeat(1_000));
        }
        let status = stamp(&Status::from(error), "call-1");
        assert!(status.message().len() <= MAX_MESSAGE_BYTES && status.details().len() <= 6 * 1024);
        assert_eq!(status.get_details_request_info().unwrap().request_id, "call-1");
        assert_eq!(status.get_details_bad_request().unwrap().field_violations.len(), MAX_FIELDS);
    }

    #[test]
    fn reasons_with_a_status_of_their_own() {
        assert_eq!(http_status(Code::ResourceExhausted, Some("MESSAGE_TOO_LARGE")), 413);
        assert_eq!(http_status(Code::ResourceExhausted, Some("TRY_LATER")), 429);
        assert_eq!(http_status(Code::Unimplemented, Some("CONTENT_TYPE_UNSUPPORTED")), 415);
    }
}
