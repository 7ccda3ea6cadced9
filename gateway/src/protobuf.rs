//! Protobuf bytes as a row of tagged fields: find, cut, put. Must not know a message type.

use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};

/// Bytes that are no protobuf message, or hold a group.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// One field as it stands in the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    pub(crate) wire: WireType,
    /// The value alone; without its length when it is length-delimited.
    pub(crate) value: &'a [u8],
    /// Key, length and value.
    pub(crate) whole: &'a [u8],
}

/// The fields of a message, in their order. Ends after the first fault.
pub(crate) fn fields(bytes: &[u8]) -> impl Iterator<Item = Result<Field<'_>, Malformed>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = next(&mut rest).ok_or(Malformed);
        if field.is_err() {
            rest = &[];
        }
        Some(field)
    })
}

fn next<'a>(rest: &mut &'a [u8]) -> Option<Field<'a>> {
    let start = *rest;
    let (number, wire) = decode_key(rest).ok()?;
    let value = match wire {
        WireType::Varint => {
            let before = *rest;
            decode_varint(rest).ok()?;
            before.get(..before.len() - rest.len())?
        }
        WireType::SixtyFourBit => rest.split_off(..8)?,
        WireType::ThirtyTwoBit => rest.split_off(..4)?,
        WireType::LengthDelimited => {
            let length = usize::try_from(decode_varint(rest).ok()?).ok()?;
            rest.split_off(..length)?
        }
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    Some(Field { number, wire, value, whole: start.get(..start.len() - rest.len())? })
}

/// The value under a path of field numbers; the last one wins, as it does when the message is decoded.
pub(crate) fn find<'a>(bytes: &'a [u8], path: &[u32]) -> Option<&'a [u8]> {
    let (first, below) = path.split_first()?;
    let mut found = None;
    for field in fields(bytes).map_while(Result::ok).filter(|field| field.number == *first) {
        found = match below {
            [] => Some(field.value),
            below if field.wire == WireType::LengthDelimited => find(field.value, below).or(found),
            _ => found,
        };
    }
    found
}

/// The message without the field under a path of field numbers, and that field's last value.
pub(crate) fn cut(bytes: &[u8], path: &[u32]) -> Result<(Vec<u8>, Option<Vec<u8>>), Malformed> {
    let mut kept = Vec::with_capacity(bytes.len());
    let mut found = None;
    for field in fields(bytes) {
        let field = field?;
        match path {
            [last] if field.number == *last => found = Some(field.value.to_vec()),
            [first, below @ ..] if field.number == *first && field.wire == WireType::LengthDelimited => {
                let (inner, cut) = cut(field.value, below)?;
                put(*first, &inner, &mut kept);
                found = cut.or(found);
            }
            _ => kept.extend_from_slice(field.whole),
        }
    }
    Ok((kept, found))
}

/// The bytes of one message field. Several occurrences are one message in pieces.
pub(crate) fn message(bytes: &[u8], number: u32) -> Result<Vec<u8>, Malformed> {
    let mut merged = Vec::new();
    for field in fields(bytes) {
        let field = field?;
        if field.number == number && field.wire == WireType::LengthDelimited {
            merged.extend_from_slice(field.value);
        }
    }
    Ok(merged)
}

/// Appends a length-delimited field.
pub(crate) fn put(number: u32, value: &[u8], into: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, into);
    encode_varint(value.len() as u64, into);
    into.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_and_cuts_by_path() {
        let (mut inner, mut outer) = (Vec::new(), Vec::new());
        put(1, b"kept", &mut inner);
        put(3, b"secret", &mut inner);
        put(1, &inner, &mut outer);
        put(2, b"beside", &mut outer);
        assert_eq!(find(&outer, &[1, 3]), Some(&b"secret"[..]));
        let (rest, found) = cut(&outer, &[1, 3]).unwrap();
        assert_eq!(found.as_deref(), Some(&b"secret"[..]));
        assert_eq!((find(&rest, &[1, 3]), find(&rest, &[1, 1]), find(&rest, &[2])), (None, Some(&b"kept"[..]), Some(&b"beside"[..])));
        assert_eq!(message(&[outer.clone(), outer].concat(), 1).unwrap(), [inner.clone(), inner].concat());
    }

    #[test]
    fn the_last_occurrence_wins_also_below() {
        let (mut one, mut two, mut outer) = (Vec::new(), Vec::new(), Vec::new());
        put(2, b"first", &mut one);
        put(2, b"last", &mut two);
        put(1, &one, &mut outer);
        put(1, &two, &mut outer);
        put(1, b"", &mut outer);
        assert_eq!(find(&outer, &[1, 2]), Some(&b"last"[..]));
        let (rest, found) = cut(&outer, &[1, 2]).unwrap();
        assert_eq!((find(&rest, &[1, 2]), found.as_deref()), (None, Some(&b"last"[..])));
    }

    #[test]
    fn only_what_is_length_delimited_holds_fields() {
        // Eight bytes of a number that would read as a text field.
        let number = b"\x29\x12\x06abcdef";
        assert_eq!((find(number, &[5, 2]), cut(number, &[5, 2]).unwrap()), (None, (number.to_vec(), None)));
    }

    #[test]
    fn groups_and_unfinished_fields_are_malformed() {
        for bad in [&[0x0b_u8, 0x0c][..], &[0x0a, 5, b'x'], &[0x08], &[0x00, 0x00], &[0x09, 1], &[0x0d, 1], &[0xff; 11]] {
            assert_eq!(fields(bad).last(), Some(Err(Malformed)), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_without_panic(bytes: Vec<u8>) {
            let whole: usize = fields(&bytes).map_while(Result::ok).map(|field| field.whole.len()).sum();
            prop_assert!(whole <= bytes.len());
            find(&bytes, &[1, 2]);
            if let Ok((kept, _)) = cut(&bytes, &[1, 2]) {
                prop_assert!(find(&kept, &[1, 2]).is_none());
            }
        }
    }
}
