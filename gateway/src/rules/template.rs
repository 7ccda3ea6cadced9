//! Path templates of `google.api.http` and percent-decoding. Knows no rules and no messages.

use kernel::Error;

/// One step of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// Exactly this text.
    Literal(String),
    /// One segment, whatever it is.
    Any,
    /// All that is left.
    Rest,
}

/// A run of segments bound to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    /// Field path in proto spelling.
    pub(crate) path: String,
    from: usize,
    /// Segments of the run; none = all that are left.
    count: Option<usize>,
    /// The pattern is one `*`: the value is decoded whole, slashes too.
    is_single: bool,
}

impl Variable {
    /// Whether the run is this segment and no other, whatever stands in it.
    pub(crate) fn is_alone_at(&self, segment: usize) -> bool {
        self.from == segment && (self.is_single || self.count.is_none())
    }
}

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) segments: Vec<Segment>,
    /// What stands behind the colon.
    pub(crate) verb: Option<String>,
    pub(crate) variables: Vec<Variable>,
}

impl Template {
    /// Reads `/a/{b=c/*}/**:verb`. The fault is told to whoever wrote the rule.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let path = text.strip_prefix('/').ok_or("must begin with a slash")?;
        let (path, verb) = match path.rfind(':') {
            Some(at) if !path[at..].contains(['}', '/']) => (&path[..at], Some(path[at + 1..].to_owned())),
            _ => (path, None),
        };
        if verb.as_deref().is_some_and(|verb| !is_literal(verb)) {
            return Err("its verb is malformed");
        }
        let mut template = Self { segments: Vec::new(), verb, variables: Vec::new() };
        let mut rest = path;
        loop {
            rest = template.step(rest)?;
            match rest.strip_prefix('/') {
                Some(next) => rest = next,
                None if rest.is_empty() => break,
                None => return Err("a segment is malformed"),
            }
        }
        let depth = template.segments.len();
        if template.segments.iter().position(|segment| *segment == Segment::Rest).is_some_and(|at| at + 1 < depth) {
            return Err("`**` must be the last segment");
        }
        Ok(template)
    }

    /// Reads one segment or variable and returns what follows it.
    fn step<'a>(&mut self, rest: &'a str) -> Result<&'a str, &'static str> {
        let Some(inner) = rest.strip_prefix('{') else {
            let end = rest.find('/').unwrap_or(rest.len());
            self.segments.push(segment(&rest[..end])?);
            return Ok(&rest[end..]);
        };
        let (inner, after) = inner.split_once('}').ok_or("a variable has no end")?;
        let (path, pattern) = inner.split_once('=').unwrap_or((inner, "*"));
        let is_path = path.split('.').all(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
        if !is_path || self.variables.iter().any(|variable| variable.path == path) {
            return Err("a variable has no field path of its own");
        }
        let from = self.segments.len();
        for part in pattern.split('/') {
            self.segments.push(segment(part)?);
        }
        let is_open = self.segments.last() == Some(&Segment::Rest);
        let count = (!is_open).then(|| self.segments.len() - from);
        self.variables.push(Variable { path: path.to_owned(), from, count, is_single: pattern == "*" });
        Ok(after)
    }

    /// The decoded value of each variable in a path that this template matches.
    pub(crate) fn capture(&self, segments: &[&str]) -> kernel::Result<Vec<String>> {
        let values = self.variables.iter().map(|variable| {
            let to = variable.count.map_or(segments.len(), |count| variable.from + count);
            let run = segments.get(variable.from..to).unwrap_or_default();
            let decoded: Option<Vec<String>> = run.iter().map(|raw| decode(raw, variable.is_single)).collect();
            decoded.map(|parts| parts.join("/"))
        });
        values.collect::<Option<_>>().ok_or_else(malformed)
    }
}

fn segment(text: &str) -> Result<Segment, &'static str> {
    match text {
        "*" => Ok(Segment::Any),
        "**" => Ok(Segment::Rest),
        literal if is_literal(literal) => Ok(Segment::Literal(literal.to_owned())),
        _ => Err("a segment is malformed"),
    }
}

fn is_literal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~'))
}

/// Refuses paths that could be read in two ways. Errors: `PARAMETER_INVALID`.
pub(crate) fn check(path: &str) -> kernel::Result<()> {
    let is_plain = |segment: &str| {
        decode(segment, true)
            .is_some_and(|text| !text.chars().any(char::is_control) && !text.split('/').any(|part| matches!(part, "." | "..")))
    };
    if path.contains("//") || !path.split('/').all(is_plain) { Err(malformed()) } else { Ok(()) }
}

fn malformed() -> Error {
    Error::invalid("PARAMETER_INVALID", "the path is malformed")
}

/// Percent-decodes once. Without `slashes`, `%2F` stays as it came. None for broken escapes and for what is not UTF-8.
pub(crate) fn decode(raw: &str, slashes: bool) -> Option<String> {
    if !raw.contains('%') {
        return Some(raw.to_owned());
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (escape, after) = rest.split_first_chunk::<2>()?;
        rest = after;
        let [high, low] = escape.map(|digit| char::from(digit).to_digit(16));
        let byte = u8::try_from(high? * 16 + low?).ok()?;
        if byte == b'/' && !slashes {
            bytes.push(b'%');
            bytes.extend_from_slice(escape);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn captured(template: &str, path: &str) -> Vec<String> {
        Template::parse(template).unwrap().capture(&path[1..].split('/').collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn reads_the_grammar() {
        let template = Template::parse("/api/{name=apps/*/users/*}/x:suspend").unwrap();
        assert_eq!((template.segments.len(), template.verb.as_deref()), (6, Some("suspend")));
        assert_eq!(template.variables, [Variable { path: "name".into(), from: 1, count: Some(4), is_single: false }]);
        assert_eq!(Template::parse("/{user.name=**}:go").unwrap().variables[0].count, None);
        assert_eq!(Template::parse("/.well-known/{a}").unwrap().variables[0].path, "a");
    }

    #[test]
    fn refuses_what_it_cannot_match() {
        for bad in [
            "",
            "a",
            "/",
            "/a/",
            "//a",
            "/a//b",
            "/{a",
            "/{a}b",
            "/a{b}",
            "/{}",
            "/{=x}",
            "/{a=}",
            "/{a={b}}",
            "/{a}/{a}",
            "/**/b",
            "/{a=**}/b",
            "/a:",
            "/a:b:c",
            "/a b",
            "/%41",
            "/{a..b}",
            "/***",
            "/a*",
        ] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_are_decoded_once_and_slashes_only_where_they_are_data() {
        assert_eq!(captured("/x/{id}", "/x/a%2Fb%3Ac%20%2541"), ["a/b:c %41"]);
        assert_eq!(captured("/{name=apps/*}/y", "/apps/a%2Fb%3Ac/y"), ["apps/a%2Fb:c"]);
        assert_eq!(captured("/{path=**}", "/a/b%2fc"), ["a/b%2fc"]);
        assert_eq!(captured("/{a}/{b}", "/1/2"), ["1", "2"]);
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        for bad in
            ["/a//b", "/a/../b", "/a/./b", "/a/%2e%2E/b", "/a/..%2Fb", "/a/%00", "/a/%0a", "/a/%7f", "/a/%ff", "/a/%4", "/a/%zz", "/a/%"]
        {
            assert_eq!(check(bad).unwrap_err().reason(), "PARAMETER_INVALID", "{bad}");
        }
        for good in ["/", "/a/b/", "/a/...", "/a/%252e", "/a/%C3%A4", "/a/b:c"] {
            assert!(check(good).is_ok(), "{good}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text: String, path: String) {
            if let Ok(template) = Template::parse(&text) {
                let _ = template.capture(&path.split('/').collect::<Vec<_>>());
            }
            let _ = check(&path);
        }

        #[test]
        fn escaped_text_comes_back(text: String) {
            let escaped: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            prop_assert_eq!(decode(&escaped, true), Some(text));
        }
    }
}
