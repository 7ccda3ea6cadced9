//! What the contracts say about the end of a method: `deprecation` (RFC 9745), `sunset` (RFC 8594) and `link` on every answer
//! of it, in every wire. Must not know any wire.

use std::collections::HashMap;

use api::mozaiks::options::v1::Stability;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use prost_reflect::prost_types::Timestamp;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use rpc::{Method, Schema};

const SECONDS_PER_DAY: i64 = 24 * 60 * 60;
/// The first of January 1970 was the fifth day of its week.
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The headers of every method that is on its way out, by its path.
#[derive(Debug, Default)]
pub(crate) struct Notices(HashMap<String, HeaderMap>);

impl Notices {
    /// Errors: dates that are none, each naming its method.
    pub(crate) fn of(schema: &Schema) -> Result<Self, Vec<String>> {
        let (mut notices, mut faults) = (HashMap::new(), Vec::new());
        for method in schema.methods() {
            let Some(stability) = stability(schema.pool(), &method.descriptor) else { continue };
            match headers(&stability) {
                Ok(headers) => _ = notices.insert(method.path.clone(), headers),
                Err(fault) => faults.push(format!("{}: stability {fault}", method.path)),
            }
        }
        if faults.is_empty() { Ok(Self(notices)) } else { Err(faults) }
    }

    /// What answers of this method carry, if it is on its way out.
    pub(crate) fn on(&self, method: &Method) -> Option<&HeaderMap> {
        self.0.get(&method.path)
    }
}

/// How long a method can be relied on, if its contract says so.
pub(crate) fn stability(pool: &DescriptorPool, method: &MethodDescriptor) -> Option<Stability> {
    let option = pool.get_extension_by_name("mozaiks.options.v1.stability")?;
    let options = method.options();
    let value = options.has_extension(&option).then(|| options.get_extension(&option))?;
    value.as_message()?.transcode_to().ok()
}

fn headers(stability: &Stability) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let unwritable = |_| "cannot stand in a header".to_owned();
    let mut say =
        |name: HeaderName, text: String| HeaderValue::try_from(text).map(|text| _ = headers.insert(name, text)).map_err(unwritable);
    if !stability.deprecated_since.is_empty() {
        say(HeaderName::from_static("deprecation"), format!("@{}", Day::read(&stability.deprecated_since)?.seconds))?;
    }
    if !stability.sunset.is_empty() {
        say(HeaderName::from_static("sunset"), Day::read(&stability.sunset)?.http_date())?;
    }
    if let Some(target) = link(&stability.replacement) {
        say(header::LINK, format!("<{target}>; rel=\"successor-version\""))?;
    }
    Ok(headers)
}

/// Where the replacement is called: an address as it stands, a method `package.Service.Method` by its path. Prose is no link.
fn link(replacement: &str) -> Option<String> {
    let is_address = replacement.starts_with('/') || replacement.starts_with("https://");
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_');
    if is_address && !replacement.contains([' ', '<', '>', '"']) {
        return Some(replacement.to_owned());
    }
    let (service, method) = replacement.rsplit_once('.')?;
    (service.contains('.') && !method.is_empty() && replacement.bytes().all(is_name)).then(|| format!("/{service}/{method}"))
}

/// A day, at its first second in UTC.
#[derive(Debug, PartialEq, Eq)]
struct Day {
    seconds: i64,
    year: i64,
    month: u8,
    day: u8,
}

impl Day {
    /// Reads `YYYY-MM-DD`.
    fn read(text: &str) -> Result<Self, String> {
        let fault = || format!("has a date that is not YYYY-MM-DD: {text}");
        let is_shaped = text.len() == 10
            && text.bytes().enumerate().all(|(at, byte)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() });
        let mut parts = text.split('-').map(str::parse::<u16>).filter(|_| is_shaped);
        let (Some(Ok(year)), Some(Ok(month)), Some(Ok(day))) = (parts.next(), parts.next(), parts.next()) else { return Err(fault()) };
        let narrow = |number: u16| u8::try_from(number).map_err(|_| fault());
        let (year, month, day) = (i64::from(year), narrow(month)?, narrow(day)?);
        let seconds = Timestamp::date(year, month, day).map_err(|_| fault())?.seconds;
        Ok(Self { seconds, year, month, day })
    }

    fn http_date(&self) -> String {
        let names = |names: &[&'static str], at: i64| usize::try_from(at).ok().and_then(|at| names.get(at).copied()).unwrap_or_default();
        let weekday = names(&WEEKDAYS, (self.seconds / SECONDS_PER_DAY).rem_euclid(7));
        format!("{weekday}, {:02} {} {:04} 00:00:00 GMT", self.day, names(&MONTHS, i64::from(self.month) - 1), self.year)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn days_are_read_strictly_and_written_for_http() {
        assert_eq!(Day::read("2026-07-01").unwrap().seconds, 1_782_864_000);
        assert_eq!(Day::read("1994-11-06").unwrap().http_date(), "Sun, 06 Nov 1994 00:00:00 GMT");
        assert_eq!(Day::read("2024-02-29").unwrap().http_date(), "Thu, 29 Feb 2024 00:00:00 GMT");
        for bad in [
            "",
            "2026",
            "2026-13-01",
            "2026-02-30",
            "2025-02-29",
            "26-01-01",
            "2026-1-01",
            "2026-01-01T",
            "2026/01/01",
            "x026-01-01",
            "+026-01-01",
        ] {
            assert!(Day::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn replacements_that_can_be_called_are_links() {
        let table = [
            ("mozaiks.probe.v2.ThingsService.GetThing", Some("/mozaiks.probe.v2.ThingsService/GetThing")),
            ("/api/core/probe/v2/things", Some("/api/core/probe/v2/things")),
            ("https://example.com/new", Some("https://example.com/new")),
            ("GetThing", None),
            ("Use GetThing.", None),
            ("/a>; rel=\"x", None),
            ("", None),
        ];
        for (replacement, expected) in table {
            assert_eq!(link(replacement).as_deref(), expected, "{replacement}");
        }
    }

    proptest! {
        #[test]
        fn any_date_is_judged_without_panic(text: String) {
            if let Ok(day) = Day::read(&text) {
                day.http_date();
            }
        }
    }
}
