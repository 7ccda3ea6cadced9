//! Where a request carries resource names, and what stands there. Names are read from the bytes, before any decoding.

use kernel::{Error, Name, Result};
use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// A field of a request that holds a resource name or a bare app id.
#[derive(Clone, Debug)]
pub struct NameField {
    /// Field numbers from the request down to the field.
    pub path: Vec<u32>,
    /// The same in proto spelling, such as `user.name`.
    pub field: String,
    /// The field holds a bare app id and not a name.
    pub app_id: bool,
    /// Patterns of which the name fits one, such as `apps/{app}/users/{user}`. Empty = any name.
    pub patterns: Vec<String>,
}

impl NameField {
    /// The name in this field. Errors: `NAME_INVALID`.
    pub(crate) fn read(&self, raw: &str) -> Result<Name> {
        let invalid = |wrong: &str| Error::invalid("NAME_INVALID", format!("{} {wrong}", self.field)).field(&self.field, wrong);
        let name = if self.app_id { Name::parse(&format!("apps/{raw}")) } else { Name::parse(raw) };
        let name = name.map_err(|_| invalid("is malformed"))?;
        if self.app_id && !name.segments().is_empty() {
            return Err(invalid("is not an app id"));
        }
        let fits = self.patterns.is_empty() || self.patterns.iter().any(|pattern| fits(pattern, name.as_str()));
        if fits { Ok(name) } else { Err(invalid("does not name such a resource")) }
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    let mut segments = name.split('/');
    let all = pattern.split('/').all(|want| segments.next().is_some_and(|segment| want.starts_with('{') || want == segment));
    all && segments.next().is_none()
}

/// Every non-empty value of these fields in an encoded message, in the order of the bytes. A field given twice is found
/// twice: whichever the handler's decoder keeps was looked at. Errors: `BODY_INVALID`, `NAME_INVALID`.
pub(crate) fn find<'a>(fields: &'a [NameField], message: &'a [u8]) -> Result<Vec<(&'a NameField, &'a str)>> {
    let mut search = Search { fields, above: Vec::new(), found: Vec::new() };
    if !fields.is_empty() {
        search.scan(message).map_err(|cause| Error::invalid("BODY_INVALID", "the message cannot be read").because(cause))?;
    }
    let text = |(field, bytes): (&'a NameField, &'a [u8])| match std::str::from_utf8(bytes) {
        Ok(raw) => Ok((field, raw)),
        Err(_) => Err(Error::invalid("NAME_INVALID", format!("{} is not text", field.field))),
    };
    search.found.into_iter().filter(|(_, bytes)| !bytes.is_empty()).map(text).collect()
}

struct Search<'a> {
    fields: &'a [NameField],
    /// Numbers of the fields that hold the message at hand.
    above: Vec<u32>,
    found: Vec<(&'a NameField, &'a [u8])>,
}

impl<'a> Search<'a> {
    fn scan(&mut self, mut bytes: &'a [u8]) -> Result<(), DecodeError> {
        while !bytes.is_empty() {
            let (number, wire_type) = decode_key(&mut bytes)?;
            if wire_type != WireType::LengthDelimited {
                skip_field(wire_type, number, &mut bytes, DecodeContext::default())?;
                continue;
            }
            // The length was read: a value that reaches beyond the end is left to the same refusal as `skip_field`'s.
            let mut rest = bytes;
            let length = usize::try_from(decode_varint(&mut rest)?).unwrap_or(usize::MAX);
            let Some((value, after)) = rest.split_at_checked(length) else {
                return skip_field(wire_type, number, &mut bytes, DecodeContext::default());
            };
            bytes = after;
            self.field(number, value)?;
        }
        Ok(())
    }

    fn field(&mut self, number: u32, value: &'a [u8]) -> Result<(), DecodeError> {
        let fields = self.fields;
        let mut holds_names = false;
        for field in fields {
            let Some((at, below)) = field.path.strip_prefix(self.above.as_slice()).and_then(<[u32]>::split_first) else { continue };
            match (*at == number, below) {
                (true, []) => self.found.push((field, value)),
                (true, _) => holds_names = true,
                (false, _) => {}
            }
        }
        if holds_names {
            self.above.push(number);
            self.scan(value)?;
            self.above.pop();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn field(path: &[u32], patterns: &[&str]) -> NameField {
        let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        NameField { path: path.to_vec(), field: "name".into(), app_id: false, patterns }
    }

    #[test]
    fn every_occurrence_at_every_depth_is_found() {
        let fields = [field(&[1], &[]), field(&[2, 1], &[])];
        // 1: "a", 1: "b", 2: { 1: "c" }, 3: varint 7, group 4 with a decoy, 2: { 1: "d" }
        let bytes = b"\x0a\x01a\x0a\x01b\x12\x03\x0a\x01c\x18\x07\x23\x0a\x01x\x24\x12\x03\x0a\x01d";
        let raw: Vec<_> = find(&fields, bytes).unwrap().into_iter().map(|(_, raw)| raw).collect();
        assert_eq!(raw, ["a", "b", "c", "d"]);
    }

    #[test]
    fn broken_bytes_are_refused() {
        let fields = [field(&[1], &[])];
        for (bytes, reason) in
            [(&b"\x0a\x05a"[..], "BODY_INVALID"), (b"\xff", "BODY_INVALID"), (b"\x0a\x01\xff", "NAME_INVALID"), (b"\x0c", "BODY_INVALID")]
        {
            assert_eq!(find(&fields, bytes).unwrap_err().reason(), reason, "{bytes:?}");
        }
    }

    #[test]
    fn names_fit_their_patterns() {
        let user = field(&[1], &["apps/{app}/users/{user}"]);
        assert!(user.read("apps/acme/users/usr_1").is_ok());
        for bad in
            ["apps/acme", "apps/acme/users", "apps/acme/users/usr_1/x", "apps/acme/teams/t1", "apps/-/users/usr_1", "apps/acme/users/-"]
        {
            assert_eq!(user.read(bad).unwrap_err().reason(), "NAME_INVALID", "{bad}");
        }
        let app = NameField { app_id: true, ..field(&[1], &[]) };
        assert_eq!(app.read("acme").unwrap().as_str(), "apps/acme");
        assert!(app.read("acme/users").is_err() && app.read("-").is_err());
    }
}
