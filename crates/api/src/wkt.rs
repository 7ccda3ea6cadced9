//! Well-known types with the JSON that proto3 prescribes: a mask is `"a,b.c"`, a time ends with `Z`.

use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Timestamp {
    /// Seconds since the Unix epoch, from year 1 to year 9999.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds of the second, 0 to 999,999,999.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// 0001-01-01T00:00:00Z.
const FIRST_SECOND: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z.
const LAST_SECOND: i64 = 253_402_300_799;

impl Timestamp {
    /// From microseconds since the Unix epoch.
    pub fn from_micros(micros: i64) -> Self {
        let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
        Self { seconds: micros.div_euclid(1_000_000), nanos }
    }

    fn is_valid(self) -> bool {
        (FIRST_SECOND..=LAST_SECOND).contains(&self.seconds) && (0..1_000_000_000).contains(&self.nanos)
    }

    fn parse(text: &str) -> Option<Self> {
        if !has_time_shape(text) {
            return None;
        }
        let parsed = prost_types::Timestamp::from_str(text).ok()?;
        Some(Self { seconds: parsed.seconds, nanos: parsed.nanos }).filter(|time| time.is_valid())
    }
}

/// `YYYY-MM-DDThh:mm:ss[.1-9 digits](Z|±hh:mm)`, the only form that proto3 JSON allows.
fn has_time_shape(text: &str) -> bool {
    let Some((clock, zone)) = text.split_at_checked(19) else { return false };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let pattern = "dddd-dd-ddTdd:dd:dd";
    let clock_fits = clock.bytes().zip(pattern.bytes()).all(|(byte, want)| if want == b'd' { byte.is_ascii_digit() } else { byte == want });
    let zone = match zone.strip_prefix('.') {
        Some(fraction) => {
            let end = fraction.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(fraction.len());
            if !(1..=9).contains(&end) {
                return false;
            }
            &fraction[end..]
        }
        None => zone,
    };
    let offset = |rest: &str| rest.len() == 5 && rest.as_bytes()[2] == b':' && digits(&rest[..2]) && digits(&rest[3..]);
    clock_fits && (zone == "Z" || zone.strip_prefix(['+', '-']).is_some_and(|rest| rest.is_ascii() && offset(rest)))
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.is_valid() {
            return Err(serde::ser::Error::custom("time out of range"));
        }
        serializer.collect_str(&prost_types::Timestamp { seconds: self.seconds, nanos: self.nanos })
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("not a time"))
    }
}

/// `google.protobuf.FieldMask`.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct FieldMask {
    /// Field paths in proto spelling, such as `profile.display_name`.
    #[prost(string, repeated, tag = "1")]
    pub paths: Vec<String>,
}

impl Serialize for FieldMask {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let camel: Option<Vec<String>> = self.paths.iter().map(|path| camel(path)).collect();
        let camel = camel.ok_or_else(|| serde::ser::Error::custom("path does not survive camelCase"))?;
        serializer.serialize_str(&camel.join(","))
    }
}

impl<'de> Deserialize<'de> for FieldMask {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let paths: Option<Vec<String>> = text.split(',').filter(|path| !path.is_empty()).map(snake).collect();
        Ok(Self { paths: paths.ok_or_else(|| D::Error::custom("not a field mask"))? })
    }
}

/// `display_name` to `displayName`; none when the way back would lead elsewhere.
fn camel(path: &str) -> Option<String> {
    let mut text = String::with_capacity(path.len());
    let mut letters = path.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '_' => text.push(letters.next().filter(char::is_ascii_lowercase)?.to_ascii_uppercase()),
            letter if letter.is_ascii_uppercase() => return None,
            letter => text.push(letter),
        }
    }
    Some(text)
}

/// `displayName` to `display_name`; none for text that no path turns into.
fn snake(path: &str) -> Option<String> {
    let mut text = String::with_capacity(path.len() + 4);
    for letter in path.chars() {
        match letter {
            '_' => return None,
            letter if letter.is_ascii_uppercase() => text.extend(['_', letter.to_ascii_lowercase()]),
            letter => text.push(letter),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn time(text: &str) -> Result<Timestamp, serde_json::Error> {
        serde_json::from_str(&format!("\"{text}\""))
    }

    #[test]
    fn times_are_read_strictly_and_written_with_z() {
        let second = time("1970-01-01T00:00:01.500Z").unwrap();
        assert_eq!(second, Timestamp::from_micros(1_500_000));
        assert_eq!(serde_json::to_string(&second).unwrap(), "\"1970-01-01T00:00:01.500Z\"");
        assert_eq!(time("1970-01-01T01:00:01.5+01:00").unwrap(), second);
        assert_eq!(serde_json::to_string(&Timestamp::from_micros(-1)).unwrap(), "\"1969-12-31T23:59:59.999999Z\"");
        for bad in [
            "1970-01-01",
            "1970-01-01 00:00:01Z",
            "1970-01-01T00:00:01",
            "1970-13-01T00:00:01Z",
            "1970-01-01T00:00:01.Z",
            "0000-01-01T00:00:00Z",
            "1970-01-01t00:00:01z",
            "1970-01-01T00:00:01.1234567890Z",
        ] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn masks_are_one_string() {
        let mask: FieldMask = serde_json::from_str("\"user.displayName,locale\"").unwrap();
        assert_eq!(mask.paths, ["user.display_name", "locale"]);
        assert_eq!(serde_json::to_string(&mask).unwrap(), "\"user.displayName,locale\"");
        assert!(serde_json::from_str::<FieldMask>("\"display_name\"").is_err());
        assert!(serde_json::to_string(&FieldMask { paths: vec!["a__b".into()] }).is_err());
    }
}
