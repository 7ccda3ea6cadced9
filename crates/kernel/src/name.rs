//! Resource names: `apps/{app}/users/{user}`, the only key by which callers address anything.

use std::fmt;

use crate::{Error, Result, Tenant};

/// A well-formed resource name inside an app. Whether anything stands under it is another question.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name {
    raw: String,
    tenant: Tenant,
}

impl Name {
    /// Reads a name: `apps/{app}` and further segments of `[A-Za-z0-9._~-]`, at most 200 bytes, no dot segments, no
    /// wildcard `-`. Errors: `NAME_INVALID`.
    pub fn parse(raw: &str) -> Result<Self> {
        let invalid = || Error::invalid("NAME_INVALID", "the resource name is malformed");
        if raw.len() > 200 || !raw.as_bytes().split(|byte| *byte == b'/').all(is_segment) {
            return Err(invalid());
        }
        let below = raw.strip_prefix("apps/").ok_or_else(invalid)?;
        let app = below.split_once('/').map_or(below, |(app, _)| app);
        let tenant = Tenant::parse(app).map_err(|_| invalid())?;
        Ok(Self { raw: raw.to_owned(), tenant })
    }

    /// The app the name lies in.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The segments after `apps/{app}`.
    pub fn segments(&self) -> Vec<&str> {
        self.raw.split('/').skip(2).collect()
    }

    /// The id in a name of exactly this pattern, such as `users` for `apps/{app}/users/{user}` or `me/sessions` for
    /// `apps/{app}/me/sessions/{session}`. Errors: `NAME_INVALID`.
    pub fn id_in(&self, collection: &str) -> Result<&str> {
        let below = self.raw.splitn(3, '/').nth(2).unwrap_or("");
        below
            .strip_prefix(collection)
            .and_then(|rest| rest.strip_prefix('/'))
            .filter(|id| !id.contains('/'))
            .ok_or_else(|| Error::invalid("NAME_INVALID", format!("the resource name does not name one of {collection}")))
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.raw
    }
}

fn is_segment(segment: &[u8]) -> bool {
    !matches!(segment, b"" | b"-" | b"." | b"..")
        && segment.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b'-'))
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.raw)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({})", self.raw)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_names_and_refuses_everything_else() {
        let name = Name::parse("apps/acme/me/sessions/ses_1").unwrap();
        assert_eq!((name.tenant().as_str(), name.id_in("me/sessions").unwrap()), ("acme", "ses_1"));
        assert!(name.id_in("sessions").is_err() && name.id_in("me").is_err());
        let bad = [
            "",
            "apps",
            "apps/",
            "apps/-",
            "apps/ACME",
            "apps/ab",
            "users/usr_1",
            "apps/acme/",
            "apps//users",
            "/apps/acme",
            "apps/acme/../x",
            "apps/acme/a b",
            "apps/acme/ä",
            "apps/acme/%41",
        ];
        for raw in bad {
            assert_eq!(Name::parse(raw).unwrap_err().reason(), "NAME_INVALID", "{raw}");
        }
        assert!(Name::parse(&format!("apps/acme/users/{}", "x".repeat(200))).is_err());
    }
}
