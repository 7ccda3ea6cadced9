//! Etags: the version of a document as callers see it.

use crate::{Error, Result};

/// The version of a resource, written as a strong HTTP entity tag: `"7"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Etag(i64);

impl Etag {
    /// The etag of a version, from 1.
    pub const fn of(version: i64) -> Self {
        Self(version)
    }

    /// Reads what a caller sent. Empty = no condition. Errors: `ETAG_INVALID`.
    pub fn parse(text: &str) -> Result<Option<Self>> {
        if text.is_empty() {
            return Ok(None);
        }
        let digits = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or("");
        let canonical = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        match digits.parse() {
            Ok(version) if canonical => Ok(Some(Self(version))),
            _ => Err(Error::invalid("ETAG_INVALID", "the etag is not one that this server gave")),
        }
    }

    /// The version behind this etag.
    pub const fn version(self) -> i64 {
        self.0
    }

    /// Refuses a condition that does not meet the present version. Errors: `ETAG_STALE`.
    pub fn check(wanted: Option<Self>, present: i64) -> Result<()> {
        match wanted {
            Some(etag) if etag.0 != present => Err(Error::stale("ETAG_STALE", "the resource has changed since it was read")),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Display for Etag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_only_what_it_wrote() {
        assert_eq!(Etag::parse(&Etag::of(7).to_string()).unwrap(), Some(Etag::of(7)));
        assert_eq!(Etag::parse("").unwrap(), None);
        for bad in ["7", "\"\"", "\"07\"", "\"+7\"", "W/\"7\"", "\"9999999999999999999\"", "\"a\""] {
            assert_eq!(Etag::parse(bad).unwrap_err().reason(), "ETAG_INVALID", "{bad}");
        }
    }
}
