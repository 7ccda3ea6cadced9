//! From the credential in the headers to whoever calls. At most one credential; a malformed one is never anonymous.

use kernel::{Credential, Error, Result};

use crate::heads::Seen;

/// Longest bearer token.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The bearer token of a request, if it brings one. Errors: `CREDENTIALS_AMBIGUOUS`, `CREDENTIAL_MALFORMED`,
/// `CREDENTIAL_UNSUPPORTED`.
pub(crate) fn credential(seen: &Seen<'_>) -> Result<Option<Credential>> {
    match seen.credentials {
        0 => return Ok(None),
        1 => {}
        _ => return Err(Error::unauthenticated("CREDENTIALS_AMBIGUOUS", "more than one credential was sent")),
    }
    let malformed = || Error::unauthenticated("CREDENTIAL_MALFORMED", "the credential is malformed");
    let unsupported = || Error::unauthenticated("CREDENTIAL_UNSUPPORTED", "API keys are not accepted yet");
    let value = seen.authorization.first().ok_or_else(unsupported)?;
    let (scheme, token) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(malformed());
    }
    if ["mzk_", "moz_"].iter().any(|prefix| token.starts_with(prefix)) {
        return Err(unsupported());
    }
    if is_signed_token(token) { Ok(Some(Credential::new(token))) } else { Err(malformed()) }
}

/// Three parts of base64url: header, claims, signature (RFC 7515, compact).
fn is_signed_token(token: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    token.len() <= MAX_TOKEN_BYTES && token.split('.').count() == 3 && token.split('.').all(part)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::HeaderMap;

    use super::*;

    fn read(headers: &[(&'static str, &str)]) -> Result<Option<Credential>> {
        let headers = headers.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        let mut map = HeaderMap::new();
        headers.for_each(|(name, value): (_, http::HeaderValue)| _ = map.append(name, value));
        credential(&Seen::of(&map))
    }

    #[test]
    fn one_credential_or_none() {
        assert!(read(&[]).unwrap().is_none());
        assert_eq!(read(&[("authorization", "bearer a.b-_.c")]).unwrap().unwrap().expose(), "a.b-_.c");
        let bearer = ("authorization", "Bearer a.b.c");
        let cases = [
            (vec![bearer, bearer], "CREDENTIALS_AMBIGUOUS"),
            (vec![bearer, ("x-mozaiks-api-key", "mzk_live_acme_x")], "CREDENTIALS_AMBIGUOUS"),
            (vec![("x-mozaiks-app-key", "a"), ("x-mozaiks-api-key", "b")], "CREDENTIALS_AMBIGUOUS"),
            (vec![("x-mozaiks-app-key", "mzk_live_acme_x")], "CREDENTIAL_UNSUPPORTED"),
            (vec![("authorization", "Bearer mzk_live_acme_x")], "CREDENTIAL_UNSUPPORTED"),
        ];
        for (headers, reason) in cases {
            assert_eq!(read(&headers).unwrap_err().reason(), reason, "{headers:?}");
        }
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer  a.b.c",
            "Bearer a.b",
            "Bearer a.b.c.d",
            "Bearer a..c",
            "Bearer a.b.c=",
            "Basic YTpi",
            "a.b.c",
        ] {
            assert_eq!(read(&[("authorization", bad)]).unwrap_err().reason(), "CREDENTIAL_MALFORMED", "{bad}");
        }
        assert!(read(&[("authorization", &format!("Bearer a.{}.c", "b".repeat(9_000)))]).is_err());
    }
}
