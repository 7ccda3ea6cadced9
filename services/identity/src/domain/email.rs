//! E-mail addresses: which are accepted, and when two of them are the same person's.

use std::fmt;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use kernel::{Error, Result};
use unicode_normalization::UnicodeNormalization;

use super::text::is_hidden;

/// Longest address, in bytes, as typed and in its normal form (RFC 5321, path length less the brackets).
const MAX_BYTES: usize = 254;
/// Longest part before the `@`, in bytes (RFC 5321).
const MAX_LOCAL_BYTES: usize = 64;

/// A well-formed address. That anybody reads mail there is another question.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Email {
    /// As typed, trimmed and in NFC.
    pub(crate) address: String,
    /// What makes two addresses equal: local part case-folded, domain by IDNA in lower case. No dot or plus folding.
    pub(crate) norm: String,
}

impl Email {
    /// Reads an address. Quoted local parts, comments and address literals are not accepted. Errors: `EMAIL_INVALID`.
    pub(crate) fn parse(raw: &str) -> Result<Self> {
        // NFC can shorten a text, at most to a third of its bytes.
        if raw.len() > 4 * MAX_BYTES {
            return Err(invalid());
        }
        let address: String = raw.trim().nfc().collect();
        let (local, domain) = address.rsplit_once('@').ok_or_else(invalid)?;
        if !is_local_part(local) {
            return Err(invalid());
        }
        let norm = format!("{}@{}", fold(local), ascii_domain(domain)?);
        if address.len() > MAX_BYTES || norm.len() > MAX_BYTES {
            return Err(invalid());
        }
        Ok(Self { address, norm })
    }

    /// The part before the `@`, in its normal form.
    pub(crate) fn local(&self) -> &str {
        self.norm.split_once('@').map_or("", |(local, _)| local)
    }
}

/// Addresses do not belong in logs.
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(…)")
    }
}

fn is_local_part(local: &str) -> bool {
    local.len() <= MAX_LOCAL_BYTES
        && local.split('.').all(|atom| !atom.is_empty())
        && !local.chars().any(|c| c.is_whitespace() || is_hidden(c) || r#""(),:;<>@[\]"#.contains(c))
}

fn fold(local: &str) -> String {
    local.chars().flat_map(char::to_lowercase).nfc().collect()
}

/// The domain in ASCII and lower case: at least two labels, none longer than 63 bytes, no root dot.
fn ascii_domain(domain: &str) -> Result<String> {
    if domain.chars().any(is_hidden) {
        return Err(invalid());
    }
    let ascii = Uts46::new().to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify);
    match ascii {
        Ok(ascii) if ascii.contains('.') && !has_numeric_top(&ascii) => Ok(ascii.into_owned()),
        _ => Err(invalid()),
    }
}

/// No top-level domain is a number; `a@10.0.0.1` is an address literal without its brackets.
fn has_numeric_top(ascii: &str) -> bool {
    ascii.rsplit('.').next().is_some_and(|top| top.bytes().all(|b| b.is_ascii_digit()))
}

fn invalid() -> Error {
    Error::invalid("EMAIL_INVALID", "this is not a valid e-mail address").field("email", "must be an e-mail address of at most 254 bytes")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn norm(raw: &str) -> String {
        Email::parse(raw).unwrap().norm
    }

    #[test]
    fn equal_when_only_case_form_or_spelling_of_the_domain_differ() {
        assert_eq!(norm("  Ann.Lee+news@Example.COM "), "ann.lee+news@example.com");
        assert_eq!(norm("zoe\u{308}@example.com"), norm("ZO\u{cb}@example.com"));
        assert_eq!(norm("ann@b\u{fc}cher.example"), "ann@xn--bcher-kva.example");
        assert_eq!(norm("ann@XN--BCHER-KVA.example"), norm("ann@BU\u{308}CHER.example"));
        assert_eq!(norm("ann@example。com"), "ann@example.com");
        assert_eq!(Email::parse(" Ann@Example.com").unwrap().address, "Ann@Example.com");
        assert_eq!(Email::parse("Ann.Lee@example.com").unwrap().local(), "ann.lee");
    }

    #[test]
    fn different_people_stay_different() {
        assert_ne!(norm("a.nn@example.com"), norm("ann@example.com"));
        assert_ne!(norm("ann+a@example.com"), norm("ann@example.com"));
        // Mail to the dotless letter goes to another mailbox; upper-casing would join the two.
        assert_ne!(norm("m\u{131}ke@example.com"), norm("mike@example.com"));
    }

    #[test]
    fn refuses_what_is_no_address() {
        let long_local = format!("{}@example.com", "a".repeat(65));
        let long = format!("{}@{}.example.com", "a".repeat(60), "b.".repeat(100));
        let bad = [
            "",
            "ann",
            "@example.com",
            "ann@",
            "ann@localhost",
            "ann@example.com.",
            "ann@.example.com",
            "ann@exa mple.com",
            "ann@exam_ple.com",
            "ann@-example.com",
            "ann@[10.0.0.1]",
            "ann@10.0.0.1",
            "a@b@example.com",
            "\"ann lee\"@example.com",
            "ann lee@example.com",
            ".ann@example.com",
            "ann.@example.com",
            "a..nn@example.com",
            "ann\u{0}@example.com",
            "ann\r\nBcc: x@example.com",
            "ann\u{200b}@example.com",
            "ann@exam\u{ad}ple.com",
            "ann@example.com\u{202e}",
            "<ann@example.com>",
            &long_local,
            &long,
            &"a".repeat(100_000),
        ];
        for raw in bad {
            let error = Email::parse(raw).unwrap_err();
            assert_eq!(error.reason(), "EMAIL_INVALID", "{raw}");
            assert!(raw.is_empty() || !format!("{error:?}").contains(raw), "the refusal repeats the address");
        }
        assert!(!format!("{:?}", Email::parse("ann@example.com").unwrap()).contains("ann"));
    }

    proptest! {
        #[test]
        fn reading_is_total_and_the_normal_form_is_stable(raw in "\\PC{0,12}@[a-zA-Z\u{fc}\u{e9}0-9-]{1,12}\\.[a-z]{2,6}") {
            if let Ok(email) = Email::parse(&raw) {
                prop_assert!(email.norm.len() <= MAX_BYTES && email.address.len() <= MAX_BYTES);
                prop_assert_eq!(&Email::parse(&email.norm).unwrap().norm, &email.norm);
                prop_assert_eq!(&Email::parse(&email.address).unwrap(), &email);
            }
        }

        #[test]
        fn nothing_panics(raw in "\\PC{0,300}") {
            let _ = Email::parse(&raw);
        }
    }
}
