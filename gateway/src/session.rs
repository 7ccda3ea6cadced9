//! The session cookie: the refresh token moves between it and the messages of methods that say so, when the caller asks for
//! it. On wire bytes, so that it works the same in every wire. Must not know what a token means.

use std::collections::HashMap;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http_body_util::Full;
use kernel::Error;
use prost_reflect::{Kind, MessageDescriptor};
use rpc::{Body, Method, Schema};
use tonic::Code;

use crate::call::{Answer, Call, Reading, Reply, Visit};
use crate::cors::Origins;
use crate::envelope;
use crate::protobuf::{self, Malformed};
use crate::refuse::Refusal;
use crate::rules::bind::{self, FieldPath};

/// Longest cookie that browsers keep.
const MAX_TOKEN_BYTES: usize = 4_000;

/// How long a device's own cookie is kept, in seconds: as long as its token is good, 180 days.
const DEVICE_MAX_AGE_SECONDS: u32 = 180 * 24 * 60 * 60;

/// A call that fails for one of these will never succeed with this cookie.
const DEAD: [&str; 5] = ["SESSION_ENDED", "REFRESH_REUSED", "TOKEN_EXPIRED", "TOKEN_REVOKED", "CREDENTIAL_MALFORMED"];

/// The header by which a caller asks for the cookie.
pub(crate) const MODE: HeaderName = HeaderName::from_static("x-mozaiks-session");

/// The methods that know the cookie, and how it is spelled.
#[derive(Debug)]
pub(crate) struct Sessions {
    methods: HashMap<String, Places>,
    name: &'static str,
    /// The cookie of the device, which outlives sessions.
    device_name: &'static str,
    is_secure: bool,
    max_age_seconds: u32,
}

/// Where one method holds the token.
#[derive(Debug)]
struct Places {
    /// Field of the request; none = it takes none.
    ask: Option<u32>,
    /// Field path in the answer; empty = it holds none.
    answer: Vec<u32>,
    /// Field path of the truth value that lets the cookie outlive the browser; empty = it always does.
    lasting: Vec<u32>,
    /// Success ends the session.
    clear: bool,
    /// Field of the request that takes the device's token.
    device_ask: Option<u32>,
    /// Field path of the device's token in the answer; empty = it holds none.
    device_answer: Vec<u32>,
}

/// One call that uses the cookie.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    sessions: &'a Sessions,
    places: &'a Places,
    /// The cookie's token, on methods that take it.
    token: Option<String>,
    /// The device's token, on methods that take it, if the browser has one.
    device: Option<String>,
}

impl Sessions {
    /// Reads the option of every method. Errors: the paths that lead to no text field, each naming its method.
    pub(crate) fn of(schema: &Schema, is_secure: bool, max_age_seconds: u32) -> Result<Self, Vec<String>> {
        let (mut methods, mut faults) = (HashMap::new(), Vec::new());
        for method in schema.methods() {
            match Places::of(method) {
                Ok(None) => {}
                Ok(Some(places)) => _ = methods.insert(method.path.clone(), places),
                Err(fault) => faults.push(format!("{}: session_cookie {fault}", method.path)),
            }
        }
        // Browsers take the prefix as a promise that only a page over TLS on this host can keep.
        let (name, device_name) = names(is_secure);
        if faults.is_empty() { Ok(Self { methods, name, device_name, is_secure, max_age_seconds }) } else { Err(faults) }
    }

    /// The use of the cookie by this call, if its method knows it and the caller asks for it. Errors:
    /// `CROSS_SITE_REFUSED` when a foreign page may have sent it, `CREDENTIAL_MISSING`, `CREDENTIAL_MALFORMED`,
    /// `CREDENTIALS_AMBIGUOUS` when the caller asks more than once.
    pub(crate) fn open(&self, visit: &Visit, method: &Method, origins: &Origins) -> Result<Option<Session<'_>>, Refusal> {
        let headers = &visit.head.headers;
        let mut modes = headers.get_all(MODE).iter();
        let is_asked = modes.next().is_some_and(|mode| mode == "cookie");
        if modes.next().is_some() {
            return Err(Error::unauthenticated("CREDENTIALS_AMBIGUOUS", "x-mozaiks-session was sent more than once").into());
        }
        let Some(places) = self.methods.get(&method.path).filter(|_| is_asked) else { return Ok(None) };
        let is_same_site = match headers.get("sec-fetch-site") {
            Some(site) => site == "same-origin" || site == "none",
            None => origins.own(&visit.head),
        };
        if !is_same_site || headers.get("x-mozaiks-client").is_none_or(HeaderValue::is_empty) {
            let rule = "calls with the session cookie come from pages of this site and name their client";
            return Err(Error::forbidden("CROSS_SITE_REFUSED", rule).into());
        }
        let token = places.ask.map(|_| self.token(headers)).transpose()?;
        let device = places.device_ask.and_then(|_| self.device(headers));
        Ok(Some(Session { sessions: self, places, token, device }))
    }

    fn token(&self, headers: &HeaderMap) -> Result<String, Refusal> {
        let malformed = || Error::unauthenticated("CREDENTIAL_MALFORMED", "the session cookie is malformed");
        let mut ours = values(headers, self.name);
        let first = ours.next().map(std::str::from_utf8);
        match (first, ours.next()) {
            (None, _) => Err(Error::unauthenticated("CREDENTIAL_MISSING", "there is no session cookie").into()),
            (Some(Ok(token)), None) if is_token(token) => Ok(token.to_owned()),
            _ => Err(Refusal::from(malformed()).with(header::SET_COOKIE, self.removal())),
        }
    }

    /// The device's token. It is no credential: without a readable one the device is unknown.
    fn device(&self, headers: &HeaderMap) -> Option<String> {
        let token = values(headers, self.device_name).next()?;
        std::str::from_utf8(token).ok().filter(|token| is_token(token)).map(str::to_owned)
    }

    /// The cookie with its token; without an age it ends with the browser.
    fn cookie(&self, name: &str, token: &str, max_age_seconds: Option<u32>) -> Option<HeaderValue> {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let age = max_age_seconds.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
        let text = format!("{name}={token}{age}; Path=/; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::try_from(text).ok()
    }

    fn removal(&self) -> HeaderValue {
        self.cookie(self.name, "", Some(0)).unwrap_or_else(|| HeaderValue::from_static(""))
    }
}

/// The names of both cookies.
fn names(is_secure: bool) -> (&'static str, &'static str) {
    if is_secure { ("__Host-mozaiks", "__Host-mozaiks-device") } else { ("mozaiks", "mozaiks-device") }
}

/// The values of the cookie of this name, in bytes: what other cookies of the site hold is none of our business.
fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let pairs = headers.get_all(header::COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

impl Places {
    fn of(method: &Method) -> Result<Option<Self>, &'static str> {
        let Some(cookie) = method.access.as_ref().and_then(|access| access.session_cookie.as_ref()) else { return Ok(None) };
        if method.descriptor.is_client_streaming() || method.descriptor.is_server_streaming() {
            return Err("stands on a stream");
        }
        let find = |message: MessageDescriptor, path: &str| match path {
            "" => Ok(Vec::new()),
            path => FieldPath::find(&message, path).filter(is_text).map(|path| path.numbers()).ok_or("names no text field"),
        };
        let lasting = match cookie.lasting.as_str() {
            "" => Vec::new(),
            path => FieldPath::find(&method.descriptor.output(), path).filter(is_truth).ok_or("names no truth value")?.numbers(),
        };
        let own = |path: &str| match find(method.descriptor.input(), path)?.as_slice() {
            [] => Ok(None),
            [number] => Ok(Some(*number)),
            _ => Err("names a field below the request's own"),
        };
        Ok(Some(Self {
            ask: own(&cookie.ask)?,
            answer: find(method.descriptor.output(), &cookie.answer)?,
            lasting,
            clear: cookie.clear,
            device_ask: own(&cookie.device_ask)?,
            device_answer: find(method.descriptor.output(), &cookie.device_answer)?,
        }))
    }

    /// Whether the cookie of this answer outlives the browser.
    fn outlives_browser(&self, message: &[u8]) -> bool {
        self.lasting.is_empty() || protobuf::find(message, &self.lasting).is_some_and(|value| value.iter().any(|byte| byte & 0x7f != 0))
    }
}

fn is_text(path: &FieldPath) -> bool {
    path.last().is_some_and(|field| bind::is_scalar(field) && matches!(field.kind(), Kind::String))
}

fn is_truth(path: &FieldPath) -> bool {
    path.last().is_some_and(|field| bind::is_scalar(field) && matches!(field.kind(), Kind::Bool))
}

/// The octets a cookie may have (RFC 6265), and no more of them than browsers keep.
fn is_token(token: &str) -> bool {
    let is_octet = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\');
    (1..=MAX_TOKEN_BYTES).contains(&token.len()) && token.bytes().all(is_octet)
}

impl Session<'_> {
    /// The request with the tokens of the cookies. Errors: `CREDENTIALS_AMBIGUOUS` when it holds one already,
    /// `BODY_INVALID`, and those of reading it.
    pub(crate) async fn inward(&self, call: &mut Call<'_>) -> Result<(), Refusal> {
        let pairs = [(self.places.ask, &self.token), (self.places.device_ask, &self.device)];
        let tokens: Vec<_> = pairs.into_iter().filter_map(|(number, token)| number.zip(token.as_ref())).collect();
        if tokens.is_empty() {
            return Ok(());
        }
        let max_bytes = call.method.call.max_request_bytes + envelope::PREFIX_BYTES;
        let claims = if let Reading::Peer(claims) = &call.reading { claims.as_ref() } else { None };
        let (body, claim) = envelope::read(std::mem::take(&mut call.body), max_bytes, claims).await?;
        let mut message = envelope::unpack(&body)?;
        for (number, token) in tokens {
            message = with_token(&message, number, token)?.into();
        }
        call.body = Body::new(Full::new(envelope::pack(&message)));
        if let Reading::Peer(_) = call.reading {
            call.reading = Reading::Done(claim);
        }
        Ok(())
    }

    /// The answer without the tokens, and the cookies with them; or the cookie's end.
    pub(crate) async fn outward(self, reply: Reply, max_bytes: usize) -> Result<Reply, Refusal> {
        let mut answer = Answer::read(reply, max_bytes).await?;
        let cookies = match &answer.failure {
            Some(failure) => {
                let is_dead = || kernel::error_info(failure).is_some_and(|reason| DEAD.contains(&reason.as_str()));
                let is_over = self.token.is_some() && failure.code() == Code::Unauthenticated && is_dead();
                if is_over { vec![self.sessions.removal()] } else { Vec::new() }
            }
            None if self.places.clear => vec![self.sessions.removal()],
            None => self.take(&mut answer)?,
        };
        for cookie in cookies {
            answer.headers.append(header::SET_COOKIE, cookie);
        }
        Ok(answer.into_reply())
    }

    fn take(&self, answer: &mut Answer) -> Result<Vec<HeaderValue>, Refusal> {
        if self.places.answer.is_empty() {
            return Ok(Vec::new());
        }
        let (sessions, message) = (self.sessions, answer.message()?);
        let (message, token) = cut(&message, &self.places.answer)?;
        let (message, device) =
            if self.places.device_answer.is_empty() { (message, None) } else { cut(&message, &self.places.device_answer)? };
        answer.body = envelope::pack(&message);
        let age = self.places.outlives_browser(&message).then_some(sessions.max_age_seconds);
        let cookies = [(sessions.name, token, age), (sessions.device_name, device, Some(DEVICE_MAX_AGE_SECONDS))];
        let mut told = Vec::new();
        for (name, token, age) in cookies {
            let Some(token) = token.filter(|token| !token.is_empty()) else { continue };
            let token = String::from_utf8(token).ok().filter(|token| is_token(token));
            let cookie = token.and_then(|token| sessions.cookie(name, &token, age));
            told.push(cookie.ok_or_else(|| Error::internal("COOKIE_UNWRITABLE", "a token does not fit a cookie"))?);
        }
        Ok(told)
    }
}

fn cut(message: &[u8], path: &[u32]) -> kernel::Result<(Vec<u8>, Option<Vec<u8>>)> {
    protobuf::cut(message, path).map_err(|Malformed| Error::internal("ANSWER_MALFORMED", "the answer cannot be read"))
}

/// Prepends the token: an unfinished field at the end of a hostile message would swallow what is appended.
fn with_token(message: &Bytes, number: u32, token: &str) -> kernel::Result<Vec<u8>> {
    for field in protobuf::fields(message) {
        let field = field.map_err(|Malformed| Error::invalid("BODY_INVALID", "the message cannot be read"))?;
        if field.number == number {
            return Err(Error::unauthenticated("CREDENTIALS_AMBIGUOUS", "there is a token in the request and one in the cookie"));
        }
    }
    let mut whole = Vec::with_capacity(message.len() + token.len() + 8);
    protobuf::put(number, token.as_bytes(), &mut whole);
    whole.extend_from_slice(message);
    Ok(whole)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn sessions(is_secure: bool) -> Sessions {
        let (name, device_name) = names(is_secure);
        Sessions { methods: HashMap::new(), name, device_name, is_secure, max_age_seconds: 60 }
    }

    fn token(cookies: &[&[u8]]) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append("cookie", HeaderValue::from_bytes(cookie).unwrap());
        }
        sessions(false).token(&headers).map_err(|refusal| refusal.reason())
    }

    #[test]
    fn one_well_formed_cookie_or_a_failed_credential() {
        assert_eq!(token(&[b"a=1; mozaiks=t.o-k_e~n=; b=2"]).unwrap(), "t.o-k_e~n=");
        assert_eq!(token(&[b"a=1", b"mozaiks=token"]).unwrap(), "token");
        assert_eq!(token(&[]).unwrap_err(), "CREDENTIAL_MISSING");
        assert_eq!(token(&["a=\u{e4}\u{fffd}; mozaiks=t; b=\u{e4}".as_bytes(), &[b'c', b'=', 0xff]]).unwrap(), "t");
        for absent in ["a=1", "mozaiks", "xmozaiks=t", "__Host-mozaiks=t"] {
            assert_eq!(token(&[absent.as_bytes()]).unwrap_err(), "CREDENTIAL_MISSING");
        }
        for bad in ["mozaiks=", "mozaiks=\"t\"", "mozaiks=a b", "mozaiks=a; mozaiks=b", "mozaiks=ä"] {
            assert_eq!(token(&[bad.as_bytes()]).unwrap_err(), "CREDENTIAL_MALFORMED", "{bad}");
        }
        assert_eq!(token(&[b"mozaiks=a", b"mozaiks=a"]).unwrap_err(), "CREDENTIAL_MALFORMED");
        assert_eq!(token(&[&[b"mozaiks=", &[b'x'; 4_001][..]].concat()]).unwrap_err(), "CREDENTIAL_MALFORMED");
    }

    #[test]
    fn the_cookie_is_spelled_for_its_transport() {
        assert_eq!(
            sessions(true).cookie("__Host-mozaiks", "t", Some(60)).unwrap(),
            "__Host-mozaiks=t; Max-Age=60; Path=/; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(sessions(false).cookie("mozaiks", "t", None).unwrap(), "mozaiks=t; Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(sessions(false).removal(), "mozaiks=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax");
    }

    #[test]
    fn a_device_without_a_readable_token_is_unknown() {
        let device = |cookie: &'static str| {
            let headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static(cookie))]);
            sessions(false).device(&headers)
        };
        assert_eq!(device("mozaiks=t; mozaiks-device=mzd_u.d.1.m; x=1").as_deref(), Some("mzd_u.d.1.m"));
        for unknown in ["", "mozaiks=t", "mozaiks-device=", "mozaiks-device=\"x\"", "mozaiks-devices=x"] {
            assert_eq!(device(unknown), None, "{unknown}");
        }
    }

    fn refused(message: &[u8]) -> &'static str {
        with_token(&Bytes::copy_from_slice(message), 2, "token").unwrap_err().reason()
    }

    #[test]
    fn hostile_messages_get_no_token() {
        let mut taken = Vec::new();
        protobuf::put(2, b"mine", &mut taken);
        assert_eq!(refused(&taken), "CREDENTIALS_AMBIGUOUS");
        assert_eq!(refused(&[0x10, 1]), "CREDENTIALS_AMBIGUOUS");
        // An unfinished field at the end, as long as an appended token would be.
        assert_eq!(refused(&[0x0a, 7]), "BODY_INVALID");
        assert_eq!(refused(&[0x1b, 0x12, 1, b'x', 0x1c]), "BODY_INVALID");
        assert_eq!(refused(&[0xff]), "BODY_INVALID");
    }

    proptest! {
        #[test]
        fn whatever_passes_reads_the_cookies_token(message: Vec<u8>) {
            if let Ok(whole) = with_token(&Bytes::from(message.clone()), 2, "token") {
                prop_assert_eq!(protobuf::find(&whole, &[2]), Some(&b"token"[..]));
                prop_assert!(whole.ends_with(&message));
            }
        }
    }
}
