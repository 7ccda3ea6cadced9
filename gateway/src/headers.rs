//! Which headers travel, in both directions. Must not read a credential or a body.

use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use kernel::Error;

const MAX_URL_BYTES: usize = 8 * 1024;
const MAX_BLOCK_BYTES: usize = 16 * 1024;
const MAX_ENTRIES: usize = 100;
/// Of all entries, those that RPC wires hand on as metadata.
const MAX_METADATA: usize = 64;

/// What a REST call hands on. The RPC wires hand on all that is not reserved.
fn is_rest(name: &str) -> bool {
    matches!(
        name,
        "authorization"
            | "x-mozaiks-api-key"
            | "x-mozaiks-app-key"
            | "x-mozaiks-app-id"
            | "x-mozaiks-publishable-key"
            | "traceparent"
            | "tracestate"
            | "accept-language"
            | "user-agent"
            | "x-mozaiks-client"
    )
}

/// Never handed on: what the gateway says itself, what speaks of one connection or of the browser, cookies.
fn is_reserved(name: &str) -> bool {
    let by_name = matches!(
        name,
        "forwarded"
            | "x-real-ip"
            | "x-request-id"
            | "x-correlation-id"
            | "grpc-timeout"
            | "connect-timeout-ms"
            | "grpc-previous-rpc-attempts"
            | "baggage"
            | "cookie"
            | "set-cookie"
            | "x-mozaiks-session"
            | "content-type"
            | "content-length"
            | "content-encoding"
            | "accept"
            | "accept-encoding"
            | "host"
            | "origin"
            | "referer"
            | "if-match"
            | "if-none-match"
            | "idempotency-key"
            | "x-http-method-override"
            | "expect"
            | "proxy-authorization"
    );
    by_name
        || is_of_connection(name)
        || ["x-forwarded-", "mozaiks-", "sec-", "access-control-"].iter().any(|prefix| name.starts_with(prefix))
}

/// Headers that speak of one connection.
fn is_of_connection(name: &str) -> bool {
    matches!(
        name,
        "connection" | "keep-alive" | "proxy-authenticate" | "proxy-connection" | "te" | "trailer" | "transfer-encoding" | "upgrade"
    )
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("mozaiks-client-address");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The deadline of gRPC, and the one of Connect.
pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const CONNECT_TIMEOUT: HeaderName = HeaderName::from_static("connect-timeout-ms");

/// What a REST answer says of a peer's headers, besides those that the method's `call` option names.
const TOLD: [HeaderName; 3] = [header::SET_COOKIE, HeaderName::from_static("ratelimit"), HeaderName::from_static("ratelimit-policy")];

/// Refuses what is too long. Errors: `URL_TOO_LONG`, `HEADERS_TOO_LARGE`.
pub(crate) fn check(head: &Parts) -> kernel::Result<()> {
    let url = head.uri.path_and_query().map_or(0, |url| url.as_str().len());
    if url > MAX_URL_BYTES {
        return Err(Error::exhausted("URL_TOO_LONG", format!("the address is longer than {MAX_URL_BYTES} bytes")));
    }
    let bytes: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if head.headers.len() > MAX_ENTRIES || bytes > MAX_BLOCK_BYTES {
        return Err(Error::exhausted(
            "HEADERS_TOO_LARGE",
            format!("there are more than {MAX_ENTRIES} headers or {MAX_BLOCK_BYTES} bytes of them"),
        ));
    }
    Ok(())
}

/// What the RPC wires hand on. Errors: `HEADERS_TOO_LARGE` above 64 entries of metadata, `DEADLINE_INVALID`.
pub(crate) fn rpc(head: &Parts, call_id: HeaderValue, address: Option<IpAddr>) -> kernel::Result<HeaderMap> {
    let named = named_by_connection(&head.headers);
    let mut inward = HeaderMap::with_capacity(head.headers.len() + STAMPED);
    for (name, value) in &head.headers {
        if !is_reserved(name.as_str()) && !named.contains(name) {
            inward.append(name.clone(), value.clone());
        }
    }
    if inward.len() > MAX_METADATA {
        return Err(Error::exhausted("HEADERS_TOO_LARGE", format!("there are more than {MAX_METADATA} entries of metadata")));
    }
    stamp(&mut inward, head, call_id, address)?;
    Ok(inward)
}

/// What a REST call hands on. Errors: `DEADLINE_INVALID`.
pub(crate) fn rest(head: &Parts, call_id: HeaderValue, address: Option<IpAddr>) -> kernel::Result<HeaderMap> {
    let mut inward = HeaderMap::with_capacity(head.headers.len() + STAMPED);
    for (name, value) in head.headers.iter().filter(|(name, _)| is_rest(name.as_str())) {
        inward.append(name.clone(), value.clone());
    }
    stamp(&mut inward, head, call_id, address)?;
    Ok(inward)
}

/// Headers that `stamp` adds at most.
const STAMPED: usize = 6;

/// What the gateway says itself: a call of gRPC, its id, its deadline, where it comes from.
fn stamp(inward: &mut HeaderMap, head: &Parts, call_id: HeaderValue, address: Option<IpAddr>) -> kernel::Result<()> {
    inward.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    inward.insert(header::TE, HeaderValue::from_static("trailers"));
    inward.insert(REQUEST_ID, call_id);
    if let Some(address) = address {
        inward.insert(CLIENT_ADDRESS, rpc::address_header(address));
    }
    // Whether a trace is kept is decided here and not by whoever calls; nothing is kept yet.
    match head.headers.get(TRACEPARENT).and_then(|trace| unsampled(trace.to_str().ok()?)) {
        Some(trace) => _ = inward.insert(TRACEPARENT, value(&trace)?),
        None => [TRACEPARENT, TRACESTATE].into_iter().for_each(|name| _ = inward.remove(name)),
    }
    if let Some(timeout) = timeout(&head.headers)? {
        inward.insert(GRPC_TIMEOUT, timeout);
    }
    Ok(())
}

/// The deadline that the caller asks for, as gRPC says it. Errors: `DEADLINE_INVALID`.
pub(crate) fn timeout(headers: &HeaderMap) -> kernel::Result<Option<HeaderValue>> {
    match (headers.get(GRPC_TIMEOUT), headers.get(CONNECT_TIMEOUT)) {
        (Some(timeout), _) => Ok(Some(timeout.clone())),
        (None, Some(timeout)) => from_milliseconds(timeout).map(Some),
        (None, None) => Ok(None),
    }
}

/// `00-<trace>-<span>-<flags>` (W3C Trace Context) with its flags cleared; none when it is malformed.
fn unsampled(trace: &str) -> Option<String> {
    rpc::trace_id(trace)?;
    let (named, _flags) = trace.rsplit_once('-')?;
    Some(format!("{named}-00"))
}

fn value(text: &str) -> kernel::Result<HeaderValue> {
    HeaderValue::try_from(text).map_err(|cause| Error::internal("HEADER_UNWRITABLE", "a header of ours cannot be written").because(cause))
}

/// Connect's up to ten digits of milliseconds as gRPC's up to eight digits of a unit.
fn from_milliseconds(timeout: &HeaderValue) -> kernel::Result<HeaderValue> {
    let invalid = || Error::invalid("DEADLINE_INVALID", "connect-timeout-ms is not 1 to 10 digits");
    let digits = timeout.to_str().map_err(|_| invalid())?;
    if digits.len() > 10 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid());
    }
    let milliseconds: u64 = digits.parse().map_err(|_| invalid())?;
    value(&if milliseconds < 100_000_000 { format!("{milliseconds}m") } else { format!("{}S", milliseconds / 1_000) })
}

/// Headers that `connection` names belong to the connection as well.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect()
}

/// Takes from a peer's answer what only the gateway may say.
pub(crate) fn outward(headers: &mut HeaderMap) {
    let is_ours = |name: &HeaderName| *name == header::SET_COOKIE || is_of_connection(name.as_str());
    if headers.keys().any(is_ours) {
        let ours: Vec<HeaderName> = headers.keys().filter(|name| is_ours(name)).cloned().collect();
        ours.into_iter().for_each(|name| _ = headers.remove(name));
    }
}

/// Hands on what a REST answer tells of its peer's headers; `named`: further ones, in lower case.
pub(crate) fn told(from: &HeaderMap, named: &[String], to: &mut HeaderMap) {
    for (name, value) in from.iter().filter(|(name, _)| TOLD.contains(name) || named.iter().any(|named| *named == name.as_str())) {
        to.append(name.clone(), value.clone());
    }
}

/// What every answer carries.
pub(crate) fn finish(headers: &mut HeaderMap, call_id: HeaderValue) {
    headers.insert(CORRELATION_ID, call_id.clone());
    headers.insert(REQUEST_ID, call_id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // What has an etag may be kept by the caller alone, and is asked for again before each use.
    let cache = if headers.contains_key(header::ETAG) { "private, no-cache" } else { "no-store" };
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static(cache));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ID: HeaderValue = HeaderValue::from_static("call-0001");

    fn head(headers: &[(&str, &str)]) -> Parts {
        let request = headers.iter().fold(http::Request::post("/x"), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    const SPOOFED: [(&str, &str); 14] = [
        ("mozaiks-client-address", "6.6.6.6"),
        ("mozaiks-subject", "usr_1"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=6.6.6.6"),
        ("x-real-ip", "6.6.6.6"),
        ("cookie", "mozaiks=token"),
        ("grpc-previous-rpc-attempts", "3"),
        ("baggage", "a=b"),
        ("connection", "close, x-hop"),
        ("x-hop", "1"),
        ("sec-fetch-site", "cross-site"),
        ("transfer-encoding", "chunked"),
        ("x-http-method-override", "DELETE"),
    ];

    #[test]
    fn spoofed_and_reserved_headers_never_travel() {
        for inward in
            [rpc(&head(&SPOOFED), ID, "1.2.3.4".parse().ok()).unwrap(), rest(&head(&SPOOFED), ID, "1.2.3.4".parse().ok()).unwrap()]
        {
            let mut names: Vec<&str> = inward.keys().map(HeaderName::as_str).collect();
            names.sort_unstable();
            assert_eq!(names, ["content-type", "mozaiks-client-address", "te", "x-request-id"]);
            assert_eq!(inward["mozaiks-client-address"], "1.2.3.4");
        }
    }

    #[test]
    fn rpc_wires_hand_on_metadata_and_rest_its_list() {
        let head = head(&[
            ("authorization", "Bearer t"),
            ("x-custom", "1"),
            ("trace-bin", "AA=="),
            ("grpc-accept-encoding", "gzip"),
            ("accept-language", "de"),
        ]);
        let (rpc, rest) = (rpc(&head, ID, None).unwrap(), rest(&head, ID, None).unwrap());
        for name in ["authorization", "accept-language"] {
            assert!(rpc.contains_key(name) && rest.contains_key(name));
        }
        for name in ["x-custom", "trace-bin", "grpc-accept-encoding"] {
            assert!(rpc.contains_key(name) && !rest.contains_key(name));
        }
        assert!(!rpc.contains_key("mozaiks-client-address"));
    }

    #[test]
    fn either_deadline_becomes_the_one_of_grpc() {
        let timeout = |headers: &[(&str, &str)]| rest(&head(headers), ID, None).map(|inward| inward["grpc-timeout"].clone());
        assert_eq!(timeout(&[("grpc-timeout", "5S"), ("connect-timeout-ms", "1")]).unwrap(), "5S");
        assert_eq!(timeout(&[("connect-timeout-ms", "1500")]).unwrap(), "1500m");
        assert_eq!(timeout(&[("connect-timeout-ms", "9999999999")]).unwrap(), "9999999S");
        for bad in ["", "-1", "1.5", "12345678901", "1s", "+1"] {
            assert_eq!(timeout(&[("connect-timeout-ms", bad)]).unwrap_err().reason(), "DEADLINE_INVALID", "{bad}");
        }
    }

    #[test]
    fn long_addresses_and_many_headers_are_refused() {
        let mut long = head(&[]);
        long.uri = format!("/{}", "x".repeat(MAX_URL_BYTES)).parse().unwrap();
        assert_eq!(check(&long).unwrap_err().reason(), "URL_TOO_LONG");
        assert_eq!(check(&head(&[("x-big", &"x".repeat(MAX_BLOCK_BYTES))])).unwrap_err().reason(), "HEADERS_TOO_LARGE");
        let many = |count: usize| head(&vec![("x-many", "1"); count]);
        assert_eq!(check(&many(MAX_ENTRIES + 1)).unwrap_err().reason(), "HEADERS_TOO_LARGE");
        assert_eq!(rpc(&many(MAX_METADATA + 1), ID, None).unwrap_err().reason(), "HEADERS_TOO_LARGE");
        assert!(check(&many(MAX_ENTRIES)).is_ok() && rpc(&many(MAX_METADATA), ID, None).is_ok());
    }
}
