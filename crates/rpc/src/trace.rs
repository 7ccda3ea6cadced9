//! One call in the log: what every line says that is written while it is served, each failure logged once, with its causes,
//! and stamped with the call's id. Never tokens or bodies.

use std::error::Error as StdError;
use std::fmt::{self, Write as _};
use std::sync::{Arc, OnceLock};

use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use http::{Response, request};
use kernel::{Cx, Error, Tenant};
use tokio::time::Instant;
use tonic::{Code, Status};
use tracing::{error, info, warn};

use crate::refuse::{CALL_ID, CallId};
use crate::schema::{Method, Schema};

tokio::task_local! {
    /// The call that this task is serving.
    static SERVED: Call;
}

/// One call. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Call(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    id: CallId,
    /// None while it is no method of ours.
    method: Option<Arc<Method>>,
    by: OnceLock<(Tenant, Option<String>)>,
    ends: OnceLock<Instant>,
    /// The `traceparent` that it came with.
    trace: OnceLock<String>,
    schema: Arc<Schema>,
}

impl Call {
    /// Names the call; the request carries its id from here on.
    pub(crate) fn begin(head: &mut request::Parts, schema: &Arc<Schema>) -> Self {
        let id = CallId::of(&head.headers);
        if !id.is_in(&head.headers) {
            head.headers.insert(CALL_ID, id.header());
        }
        let method = schema.method(head.uri.path()).cloned();
        Self(Arc::new(Facts { id, method, by: OnceLock::new(), ends: OnceLock::new(), trace: OnceLock::new(), schema: schema.clone() }))
    }

    pub(crate) fn id(&self) -> &str {
        self.0.id.as_str()
    }

    /// What is called, if there is such a method.
    pub(crate) fn method(&self) -> Option<&Arc<Method>> {
        self.0.method.as_ref()
    }

    pub(crate) fn is_by(&self, cx: &Cx) {
        // A call is verified once.
        let _ = self.0.by.set((cx.tenant().clone(), cx.subject().map(|subject| subject.id.clone())));
    }

    /// Part of a trace if this `traceparent` is sound. A call without one pays nothing, and gets none.
    pub(crate) fn is_traced(&self, traceparent: Option<&HeaderValue>) {
        let sound = traceparent.and_then(|value| value.to_str().ok()).filter(|text| trace_id(text).is_some());
        if let Some(text) = sound {
            // Its headers are looked at once.
            let _ = self.0.trace.set(text.to_owned());
        }
    }

    /// The context with the trace of the call, if that has one.
    pub(crate) fn trace(&self, cx: Cx) -> Cx {
        match self.0.trace.get() {
            Some(traceparent) => cx.traced(traceparent),
            None => cx,
        }
    }

    /// Known from here on: when the call ends.
    pub(crate) fn ends(&self, at: Instant) {
        let _ = self.0.ends.set(at);
    }

    /// Lets what runs in here log as this call, and see its end.
    pub(crate) fn serve<T>(&self, work: impl FnOnce() -> T) -> T {
        SERVED.sync_scope(self.clone(), work)
    }

    /// When the call that this task is serving ends. None in background tasks.
    pub(crate) fn end_of_this() -> Option<Instant> {
        SERVED.try_with(|call| call.0.ends.get().copied()).ok().flatten()
    }

    /// The call that this task is serving, for a line of the log.
    pub(crate) fn this() -> Option<Self> {
        SERVED.try_with(Self::clone).ok()
    }

    /// Logs and stamps an answer that is a failure already in its headers.
    pub(crate) fn close<B>(&self, response: &mut Response<B>) {
        let status = response.extensions_mut().remove::<Status>();
        let headers = response.headers_mut();
        // A router adds it to answers without a message; refusals of ours have none, and must look the same.
        headers.remove(CONTENT_LENGTH);
        self.fail(headers, status);
        headers.insert(CALL_ID, self.0.id.header());
    }

    /// Logs and stamps the failure in these headers or trailers, if they hold one. `status` is the same failure with its
    /// causes, where it is known.
    pub(crate) fn fail(&self, headers: &mut HeaderMap, status: Option<Status>) {
        if headers.get(Status::GRPC_STATUS).is_none_or(|code| code == "0") {
            return;
        }
        let Some(told) = Status::from_header_map(headers) else { return };
        self.serve(|| {
            self.report(status.as_ref().unwrap_or(&told));
            if let Err(status) = kernel::stamp(&told, self.id()).add_header(headers) {
                self.report(&status);
            }
        });
    }

    fn report(&self, status: &Status) {
        self.0.schema.refusals.count(reason(status));
        let (reason, causes) = (kernel::error_info(status).unwrap_or_default(), causes(status));
        let code = status.code();
        match code {
            Code::Internal | Code::Unknown | Code::DataLoss => error!(?code, reason, causes, "call failed"),
            _ if is_ours_to_mend(code, &reason) => warn!(?code, reason, causes, "call failed for now"),
            _ => info!(?code, reason, causes, "call refused"),
        }
    }
}

/// The call as one member of a line's JSON.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |text: &str| serde_json::Value::from(text);
        write!(f, "\"call\":{{\"call_id\":{}", text(self.id()))?;
        if let Some(method) = self.method() {
            write!(f, ",\"rpc\":{}", text(&method.path))?;
        }
        if let Some((tenant, subject)) = self.0.by.get() {
            write!(f, ",\"tenant\":{}", text(tenant.as_str()))?;
            subject.iter().try_for_each(|subject| write!(f, ",\"subject\":{}", text(subject)))?;
        }
        if let Some(id) = self.0.trace.get().and_then(|traceparent| trace_id(traceparent)) {
            write!(f, ",\"trace\":{}", text(id))?;
        }
        f.write_char('}')
    }
}

/// The id of the trace that a W3C `traceparent` of version 00 names; none when it is malformed.
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.split('-');
    let (version, id, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, digits: usize| text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_named = |text: &str| text.bytes().any(|byte| byte != b'0');
    let is_sound = version == "00" && is_hex(id, 32) && is_hex(span, 16) && is_hex(flags, 2) && is_named(id) && is_named(span);
    (is_sound && parts.next().is_none()).then_some(id)
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
