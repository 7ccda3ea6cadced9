//! One span per call; each failure logged once, with its causes, and stamped with the call's id. Never tokens or bodies.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use http::{Request, Response};
use kernel::{Cx, Error};
use tonic::{Code, Status};
use tracing::field::Empty;
use tracing::{Span, error, info, info_span, record_all, warn};

use crate::refuse::{CALL_ID, call_id};
use crate::schema::Schema;

/// One call in the log.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) span: Span,
    schema: Arc<Schema>,
}

impl Call {
    /// Names the call; the request carries its id from here on.
    pub(crate) fn begin<B>(request: &mut Request<B>, schema: Arc<Schema>) -> Self {
        let id = call_id(request.headers());
        if let Ok(value) = HeaderValue::from_str(&id) {
            request.headers_mut().insert(CALL_ID, value);
        }
        // Known now or never: a field that comes later has the span written again.
        let rpc = schema.method(request.uri().path()).map_or("", |method| method.path.as_str());
        let span = info_span!("call", call_id = %id, %rpc, tenant = Empty, subject = Empty);
        Self { id, span, schema }
    }

    pub(crate) fn is_by(&self, cx: &Cx) {
        match cx.subject() {
            Some(subject) => record_all!(self.span, tenant = %cx.tenant(), subject = %subject.id),
            None => record_all!(self.span, tenant = %cx.tenant()),
        };
    }

    /// Logs and stamps an answer that is a failure already in its headers.
    pub(crate) fn close<B>(&self, response: &mut Response<B>) {
        let status = response.extensions_mut().remove::<Status>();
        // A router adds it to answers without a message; refusals of ours have none, and must look the same.
        response.headers_mut().remove(CONTENT_LENGTH);
        self.fail(response.headers_mut(), status);
        if let Ok(value) = HeaderValue::from_str(&self.id) {
            response.headers_mut().insert(CALL_ID, value);
        }
    }

    /// Logs and stamps the failure in these headers or trailers, if they hold one. `status` is the same failure with its
    /// causes, where it is known.
    pub(crate) fn fail(&self, headers: &mut HeaderMap, status: Option<Status>) {
        if headers.get(Status::GRPC_STATUS).is_none_or(|code| code == "0") {
            return;
        }
        let Some(told) = Status::from_header_map(headers) else { return };
        self.report(status.as_ref().unwrap_or(&told));
        if let Err(status) = kernel::stamp(&told, &self.id).add_header(headers) {
            self.report(&status);
        }
    }

    fn report(&self, status: &Status) {
        self.schema.refusals.count(reason(status));
        let (span, reason, causes) = (&self.span, kernel::error_info(status).unwrap_or_default(), causes(status));
        let code = status.code();
        match code {
            Code::Internal | Code::Unknown | Code::DataLoss => error!(parent: span, ?code, reason, causes, "call failed"),
            _ if is_ours_to_mend(code, &reason) => warn!(parent: span, ?code, reason, causes, "call failed for now"),
            _ => info!(parent: span, ?code, reason, causes, "call refused"),
        }
    }
}

/// Whether the cause is on our side, though it may pass. A body that does not come and a stream that has lived its time are
/// the caller's doing.
fn is_ours_to_mend(code: Code, reason: &str) -> bool {
    reason == "DISK_FULL" || (code == Code::Unavailable && !matches!(reason, "BODY_TOO_SLOW" | "STREAM_LIFETIME" | "DRAINING"))
}

/// The reason of a failure of ours, as it stands in the code: a closed set. A status that somebody else made has none.
fn reason(status: &Status) -> &'static str {
    let ours = status.source().and_then(|source| source.downcast_ref::<Error>());
    ours.map_or("OTHER", Error::reason)
}

fn causes(status: &Status) -> String {
    let mut text = String::new();
    let mut cause = status.source();
    if cause.is_none() {
        text.push_str(status.message());
    }
    while let Some(next) = cause {
        let arrow = if text.is_empty() { "" } else { " <- " };
        let _ = write!(text, "{arrow}{next}");
        cause = next.source();
    }
    text
}
