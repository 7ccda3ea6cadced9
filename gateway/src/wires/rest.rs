//! REST on the wire level: the request is the body's bytes followed by those of path, query and headers; the answer is the
//! message's bytes, or one field's of them, as JSON or as they are. Must not know any method.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use kernel::Error;
use rpc::{Body, Mark, Method};

use super::media_type;
use crate::call::{Answer, Call, Reading, Reply, Visit};
use crate::envelope;
use crate::headers;
use crate::json::{self, Codec, Form};
use crate::protobuf::{self, Malformed};
use crate::refuse::Refusal;
use crate::rules::{Rule, Rules, Takes, bind};

/// JSON is about twice as long as the binary form that the method's limit speaks of.
const JSON_GROWTH: usize = 2;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// `segments`: the path's, as the rule matched them.
pub(crate) async fn inward<'a>(visit: &Visit, rule: &'a Rule, segments: &[&str], body: Body) -> Result<Call<'a>, Refusal> {
    let head = &visit.head;
    let values = rule.path.capture(segments)?;
    content(&rule.takes, &head.headers)?;
    let (body, claim) = envelope::read(body, rule.method.call.max_request_bytes, visit.claims()).await?;
    let mut message = message(rule, body, &head.headers)?;
    for (field, value) in rule.variables.iter().zip(values) {
        let name = || field.last().map(|field| field.name().to_owned()).unwrap_or_default();
        field.append(&value, &mut message).ok_or_else(|| bind::invalid(&name(), "does not fit its type"))?;
    }
    bind::query(head.uri.query().unwrap_or_default(), |key| rule.query_field(key), &mut message)?;
    for (name, field) in [(header::IF_MATCH, &rule.etag), (IDEMPOTENCY_KEY, &rule.request_id)] {
        if let Some(text) = single(&head.headers, &name)? {
            bind::header(name.as_str(), text, field.as_ref(), &mut message)?;
        }
    }
    let mut headers = headers::rest(head, visit.call_id.header(), visit.address)?;
    for name in &rule.method.call.request_headers {
        if let (Some(value), Ok(name)) = (head.headers.get(name), HeaderName::try_from(name)) {
            headers.insert(name, value.clone());
        }
    }
    Ok(Call { method: &rule.method, headers, body: Body::new(Full::new(envelope::pack(&message))), reading: Reading::Done(claim) })
}

/// Uncompressed, and only JSON in UTF-8 unless the method takes bodies as they are. A body without a type is judged when it
/// is there.
fn content(takes: &Takes, headers: &HeaderMap) -> Result<(), Refusal> {
    let is_raw = matches!(takes, Takes::Whole(Form::Raw) | Takes::Field(_, Form::Raw));
    if !is_raw && headers.contains_key(header::CONTENT_TYPE) && !is_json(headers) {
        return Err(unsupported());
    }
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => {
            let refusal = Refusal::from(Error::unsupported("ENCODING_UNSUPPORTED", "compressed bodies are not accepted"));
            Err(refusal.with(header::ACCEPT_ENCODING, HeaderValue::from_static("identity")))
        }
        _ => Ok(()),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let parameters = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(|value| value.split(';').skip(1));
    let is_utf8 = |parameter: &str| {
        let parameter = parameter.trim().to_ascii_lowercase();
        parameter.is_empty() || parameter.strip_prefix("charset=").is_some_and(|charset| charset.trim_matches('"') == "utf-8")
    };
    media_type(headers).is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
        && parameters.is_some_and(|mut parameters| parameters.all(is_utf8))
}

fn unsupported() -> Refusal {
    let refusal = Refusal::from(Error::unsupported("CONTENT_TYPE_UNSUPPORTED", "the body must be application/json in UTF-8"));
    refusal.with(HeaderName::from_static("accept-post"), HeaderValue::from_static("application/json"))
}

fn message(rule: &Rule, body: Bytes, headers: &HeaderMap) -> Result<Vec<u8>, Refusal> {
    match &rule.takes {
        Takes::Nothing if body.is_empty() => Ok(Vec::new()),
        Takes::Nothing => Err(Error::invalid("BODY_INVALID", "this call takes no body").into()),
        Takes::Whole(form) => read(&rule.method, form, &body, headers),
        Takes::Field(number, form) => {
            let inner = read(&rule.method, form, &body, headers)?;
            let mut message = Vec::with_capacity(inner.len() + 16);
            protobuf::put(*number, &inner, &mut message);
            Ok(message)
        }
    }
}

fn read(method: &Method, form: &Form, body: &[u8], headers: &HeaderMap) -> Result<Vec<u8>, Refusal> {
    match form {
        Form::Raw => Ok(json::pack_raw(single(headers, &header::CONTENT_TYPE)?.unwrap_or_default(), body)),
        Form::Json(_) if body.is_empty() => Ok(Vec::new()),
        Form::Json(_) if !headers.contains_key(header::CONTENT_TYPE) => Err(unsupported()),
        Form::Json(codec) => Ok(codec.read(body, || method.mark(Mark::JsonFallback))?),
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> kernel::Result<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let (value, more) = (values.next(), values.next());
    let text = value.filter(|_| more.is_none()).and_then(|value| value.to_str().ok());
    if value.is_some() && text.is_none() { Err(bind::invalid(name.as_str(), "is not one text")) } else { Ok(text) }
}

pub(crate) async fn outward(visit: &Visit, rules: &Rules, rule: &Rule, reply: Reply) -> Result<Response<Body>, Refusal> {
    let max_bytes = rule.method.call.max_answer_bytes;
    let answer = Answer::read(reply, max_bytes).await?;
    let mut message = answer.message()?;
    if let Some(number) = rule.gives.field {
        let malformed = |Malformed| Error::internal("ANSWER_MALFORMED", "the answer cannot be read");
        message = protobuf::message(&message, number).map_err(malformed)?.into();
    }
    let text = |number: Option<u32>| number.and_then(|number| protobuf::find(&message, &[number])).filter(|text| !text.is_empty());
    let etag = text(rule.gives.etag).and_then(|etag| HeaderValue::from_bytes(etag).ok());
    let is_known = etag.as_ref().is_some_and(|etag| is_read(&visit.head.method) && knows(&visit.head.headers, etag));
    let mut response = if is_known { not_modified() } else { content_of(rule, &message)? };
    let location = text(rule.gives.made).and_then(|name| rules.location(&rule.method.area, std::str::from_utf8(name).ok()?));
    let headers = response.headers_mut();
    headers.extend(location.and_then(|path| HeaderValue::try_from(path).ok()).map(|path| (header::LOCATION, path)));
    headers.extend(etag.map(|etag| (header::ETAG, etag)));
    headers::told(&answer.headers, &rule.method.call.request_headers, headers);
    Ok(response)
}

fn content_of(rule: &Rule, message: &[u8]) -> kernel::Result<Response<Body>> {
    let codec = match &rule.gives.form {
        Form::Json(codec) => codec,
        Form::Raw => return Ok(raw(message)),
    };
    let mut response = Response::new(Body::new(Full::new(text(&rule.method, codec, message)?)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Bytes that a caller may have brought stand on our own origin here: a browser shows them, and runs nothing in them.
fn raw(message: &[u8]) -> Response<Body> {
    let (kind, data) = json::unpack_raw(message);
    let kind = HeaderValue::from_bytes(kind).ok().filter(|kind| !kind.is_empty());
    let mut response = Response::new(Body::new(Full::new(Bytes::copy_from_slice(data))));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    response
}

fn text(method: &Method, codec: &Codec, message: &[u8]) -> kernel::Result<Bytes> {
    let text = codec.write(message, || method.mark(Mark::JsonFallback))?;
    let is_too_large = text.len() > method.call.max_answer_bytes.saturating_mul(JSON_GROWTH);
    if is_too_large { Err(Error::internal("ANSWER_TOO_LARGE", "the answer is too large as JSON")) } else { Ok(text.into()) }
}

pub(crate) fn not_modified() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

fn is_read(verb: &http::Method) -> bool {
    matches!(*verb, http::Method::GET | http::Method::HEAD)
}

/// Whether the caller holds this version already (weak comparison, RFC 9110).
pub(crate) fn knows(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let held = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut held = held.flat_map(|value| value.split(',')).map(str::trim);
    held.any(|held| held == "*" || held.strip_prefix("W/").unwrap_or(held).as_bytes() == etag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_no_header_can_hold_is_none() {
        for kind in ["text/html\r\nset-cookie: a=b", "\u{0}", ""] {
            let headers = raw(&json::pack_raw(kind, b"x")).into_parts().0.headers;
            assert_eq!(headers["content-type"], "application/octet-stream", "{kind:?}");
            assert!(!headers.contains_key("set-cookie"));
        }
        assert_eq!(raw(&json::pack_raw("text/html", b"x")).headers()["content-security-policy"], "default-src 'none'; sandbox");
    }
}
