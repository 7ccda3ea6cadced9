//! Refusals and failures in the caller's own protocol: a trailers-only answer for the gRPC wires, the JSON of
//! `google.rpc.Status` for everybody else. Must not decide what is refused.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use rpc::Body;
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::wires::Wire;

/// Seconds named in `retry-after` when nobody knows better.
const RETRY_AFTER_SECONDS: u64 = 1;

/// Why a call ends without an answer, and the headers that go with that.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: Box<Status>,
    pub(crate) headers: Box<HeaderMap>,
}

impl Refusal {
    /// The same refusal with one more header.
    pub(crate) fn with(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    #[cfg(test)]
    pub(crate) fn reason(&self) -> String {
        kernel::error_info(&self.status).unwrap_or_default()
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self { status: Box::new(status), headers: Box::default() }
    }
}

impl From<kernel::Error> for Refusal {
    fn from(error: kernel::Error) -> Self {
        Status::from(error).into()
    }
}

/// The refusal as this wire says it. `conditional`: the request came with `if-match`.
pub(crate) fn answer(refusal: Refusal, wire: Wire, call_id: &str, conditional: bool) -> Response<Body> {
    let status = kernel::stamp(&refusal.status, call_id);
    let mut response = match wire {
        Wire::Rest => rest(&status, conditional),
        // Building these headers fails only on text that no header can hold; the code alone is then the answer.
        Wire::Grpc | Wire::GrpcWeb { .. } => {
            let mut response = Response::new(Body::empty());
            if status.add_header(response.headers_mut()).is_err() {
                response.headers_mut().insert("grpc-status", HeaderValue::from(status.code() as i32));
            }
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(wire.content_type()));
            response
        }
    };
    response.headers_mut().extend(*refusal.headers);
    response
}

fn rest(status: &Status, conditional: bool) -> Response<Body> {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.as_str());
    let code = match status.code() {
        Code::Aborted if conditional => StatusCode::PRECONDITION_FAILED,
        code => StatusCode::from_u16(kernel::http_status(code, reason)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    };
    let text = json!({ "code": status.code() as i32, "message": status.message(), "details": entries(&details) }).to_string();
    let mut response = Response::new(Body::new(Full::new(Bytes::from(text))));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    match code {
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let seconds = details
                .retry_info()
                .and_then(|info| info.retry_delay)
                .map_or(RETRY_AFTER_SECONDS, |wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        _ => {}
    }
    response
}

/// The details in proto3 JSON, the reason first. Written by hand: the contracts do not import these messages.
fn entries(details: &ErrorDetails) -> Vec<Value> {
    let mut entries = Vec::new();
    let mut add = |name: &str, mut entry: Value| {
        entry["@type"] = format!("type.googleapis.com/google.rpc.{name}").into();
        entries.push(entry);
    };
    if let Some(info) = details.error_info() {
        let mut entry = json!({ "reason": info.reason, "domain": info.domain });
        if !info.metadata.is_empty() {
            entry["metadata"] = json!(info.metadata);
        }
        add("ErrorInfo", entry);
    }
    if let Some(info) = details.request_info() {
        add("RequestInfo", json!({ "requestId": info.request_id }));
    }
    if let Some(wait) = details.retry_info().and_then(|info| info.retry_delay) {
        add("RetryInfo", json!({ "retryDelay": format!("{}.{:03}s", wait.as_secs(), wait.subsec_millis()) }));
    }
    if let Some(bad) = details.bad_request() {
        let each = bad.field_violations.iter().map(|one| json!({ "field": one.field, "description": one.description }));
        add("BadRequest", json!({ "fieldViolations": each.collect::<Vec<_>>() }));
    }
    if let Some(quota) = details.quota_failure() {
        let each = quota.violations.iter().map(|one| json!({ "subject": one.subject, "description": one.description }));
        add("QuotaFailure", json!({ "violations": each.collect::<Vec<_>>() }));
    }
    if let Some(failure) = details.precondition_failure() {
        let each = failure.violations.iter();
        let each = each.map(|one| json!({ "type": one.r#type, "subject": one.subject, "description": one.description }));
        add("PreconditionFailure", json!({ "violations": each.collect::<Vec<_>>() }));
    }
    if let Some(info) = details.resource_info() {
        let named = json!({ "resourceType": info.resource_type, "resourceName": info.resource_name, "description": info.description });
        add("ResourceInfo", named);
    }
    entries
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use http_body_util::BodyExt;
    use kernel::Error;
    use std::time::Duration;

    async fn told(error: Error, conditional: bool) -> (u16, HeaderMap, Value) {
        let (head, body) = answer(error.into(), Wire::Rest, "call-0001", conditional).into_parts();
        (head.status.as_u16(), head.headers, serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap())
    }

    #[tokio::test]
    async fn rest_reads_the_status_as_json_with_its_details() {
        let error = Error::exhausted("TRY_LATER", "too many tries").retry_after(Duration::from_millis(1_500)).field("password", "wrong");
        let (code, headers, body) = told(error, false).await;
        assert_eq!((code, headers["retry-after"].to_str().unwrap()), (429, "2"));
        assert_eq!((&body["code"], &body["message"]), (&json!(8), &json!("too many tries")));
        let of = |name: &str| {
            body["details"].as_array().unwrap().iter().find(|entry| entry["@type"].as_str().unwrap().ends_with(name)).unwrap().clone()
        };
        assert_eq!(of(".ErrorInfo")["reason"], "TRY_LATER");
        assert_eq!(of(".RequestInfo")["requestId"], "call-0001");
        assert_eq!(of(".RetryInfo")["retryDelay"], "1.500s");
        assert_eq!(of(".BadRequest")["fieldViolations"][0]["field"], "password");
        assert_eq!(of(".QuotaFailure")["violations"][0]["subject"], "TRY_LATER");
    }

    #[tokio::test]
    async fn statuses_that_depend_on_more_than_the_code() {
        let (code, headers, _) = told(Error::unauthenticated("TOKEN_EXPIRED", "expired"), false).await;
        assert_eq!((code, headers["www-authenticate"].to_str().unwrap()), (401, "Bearer"));
        assert_eq!(told(Error::stale("ETAG_STALE", "changed"), false).await.0, 409);
        assert_eq!(told(Error::stale("ETAG_STALE", "changed"), true).await.0, 412);
        assert_eq!(told(Error::exhausted("MESSAGE_TOO_LARGE", "too large"), false).await.0, 413);
    }

    #[tokio::test]
    async fn grpc_wires_read_headers_and_an_empty_body() {
        for wire in [Wire::Grpc, Wire::GrpcWeb { text: true }] {
            let (head, body) = answer(Error::not_found("apps/x").into(), wire, "call-0001", false).into_parts();
            assert_eq!((head.status, head.headers["grpc-status"].to_str().unwrap()), (StatusCode::OK, "5"));
            assert_eq!(head.headers["content-type"], wire.content_type());
            assert!(head.headers.contains_key("grpc-status-details-bin") && body.collect().await.unwrap().to_bytes().is_empty());
        }
    }
}
