//! Which origins may call from a browser, and the answers that tell the browser so. Knows no routes and no credentials.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use rpc::Body;

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

/// Request headers a foreign page may send, besides `x-mozaiks-*`.
const ALLOWED: [&str; 15] = [
    "content-type",
    "authorization",
    "x-request-id",
    "if-match",
    "if-none-match",
    "idempotency-key",
    "grpc-timeout",
    "x-grpc-web",
    "x-user-agent",
    "connect-protocol-version",
    "connect-timeout-ms",
    "connect-content-encoding",
    "connect-accept-encoding",
    "last-event-id",
    "traceparent",
];

const EXPOSED: &str = "grpc-status, grpc-message, grpc-status-details-bin, content-encoding, connect-content-encoding, x-request-id, \
                       etag, retry-after, ratelimit, ratelimit-policy, deprecation, sunset, link";

/// How long a browser may remember a preflight.
const MAX_AGE_SECONDS: u32 = 7_200;

/// The origins that are ours.
#[derive(Debug)]
pub(crate) struct Origins {
    pub(crate) public: Vec<String>,
    /// `https` where cookies are secure, else `http`.
    pub(crate) scheme: &'static str,
}

impl Origins {
    /// Whether the request's `origin` is one of ours: the host it was sent to, or a configured one.
    pub(crate) fn own(&self, head: &Parts) -> bool {
        let Some(origin) = head.headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()) else { return false };
        let host = head.uri.authority().map(|authority| authority.as_str());
        let host = host.or_else(|| head.headers.get(header::HOST).and_then(|host| host.to_str().ok()));
        let at_host = host.is_some_and(|host| {
            origin.strip_prefix(self.scheme).and_then(|rest| rest.strip_prefix("://")).is_some_and(|rest| rest.eq_ignore_ascii_case(host))
        });
        at_host || self.public.iter().any(|public| public == origin)
    }

    /// The answer to a preflight, if this is one.
    pub(crate) fn preflight(&self, head: &Parts) -> Option<Response<Body>> {
        let is_preflight = head.method == Method::OPTIONS
            && head.headers.contains_key(header::ORIGIN)
            && head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !is_preflight {
            return None;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("origin, access-control-request-headers"));
        if self.own(head) {
            admit(head, headers);
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(MAX_AGE_SECONDS));
            if let Ok(allowed) = HeaderValue::try_from(allowed(&head.headers).join(", ")) {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
            }
        }
        Some(response)
    }

    /// Lets a page of ours read the answer.
    pub(crate) fn expose(&self, head: &Parts, response: &mut HeaderMap) {
        response.append(header::VARY, HeaderValue::from_static("origin"));
        if self.own(head) {
            admit(head, response);
            response.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        }
    }
}

fn admit(head: &Parts, response: &mut HeaderMap) {
    if let Some(origin) = head.headers.get(header::ORIGIN) {
        response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        response.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
}

/// Those of the headers asked for that may be sent.
fn allowed(headers: &HeaderMap) -> Vec<String> {
    let asked = headers.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).iter().filter_map(|value| value.to_str().ok());
    let names = asked.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse::<HeaderName>().ok());
    names.map(|name| name.as_str().to_owned()).filter(|name| ALLOWED.contains(&name.as_str()) || name.starts_with("x-mozaiks-")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn head(headers: &[(&str, &str)]) -> Parts {
        let request = headers.iter().fold(http::Request::options("/x"), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn origins() -> Origins {
        Origins { public: vec!["https://app.example.com".into()], scheme: "http" }
    }

    #[test]
    fn own_is_the_host_asked_or_a_configured_origin() {
        let table = [
            ("http://here:8010", true),
            ("http://HERE:8010", true),
            ("https://app.example.com", true),
            ("https://here:8010", false),
            ("http://here", false),
            ("http://here:8010.evil.com", false),
            ("https://app.example.com.evil.com", false),
            ("null", false),
            ("http://", false),
        ];
        for (origin, own) in table {
            assert_eq!(origins().own(&head(&[("host", "here:8010"), ("origin", origin)])), own, "{origin}");
        }
        assert!(!origins().own(&head(&[("host", "here:8010")])));
    }

    #[test]
    fn a_preflight_names_only_what_may_be_sent() {
        let asked = "Content-Type, x-mozaiks-session, x-evil, grpc-timeout, cookie";
        let ask = |origin| {
            head(&[
                ("host", "here"),
                ("origin", origin),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", asked),
            ])
        };
        let answer = origins().preflight(&ask("http://here")).unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        assert_eq!(answer.headers()["access-control-allow-headers"], "content-type, x-mozaiks-session, grpc-timeout");
        assert_eq!(answer.headers()["access-control-allow-origin"], "http://here");
        let refused = origins().preflight(&ask("http://evil.com")).unwrap();
        assert!(refused.status() == StatusCode::NO_CONTENT && !refused.headers().contains_key("access-control-allow-origin"));
        assert!(origins().preflight(&head(&[("host", "here"), ("origin", "http://here")])).is_none());
    }
}
