//! One look at the headers of a request, for all layers of the stack. Judges nothing.

use http::header::{HeaderMap, HeaderValue};

/// What the headers of a request hold that a layer asks about.
#[derive(Debug, Default)]
pub(crate) struct Seen<'a> {
    pub(crate) entries: usize,
    /// Entries that no protocol of ours knows.
    pub(crate) custom: usize,
    /// All entries, counted as HTTP/2 does: 32 bytes each beside name and value.
    pub(crate) bytes: usize,
    /// How often the id of the call stands there.
    pub(crate) ids: usize,
    /// Bearer tokens and keys.
    pub(crate) credentials: usize,
    pub(crate) authorization: One<'a>,
    pub(crate) content_type: One<'a>,
    pub(crate) encoding: One<'a>,
    pub(crate) timeout: One<'a>,
    pub(crate) trace: One<'a>,
}

/// A header that should stand there once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct One<'a> {
    first: Option<&'a HeaderValue>,
    is_ambiguous: bool,
}

impl<'a> One<'a> {
    fn add(&mut self, value: &'a HeaderValue) {
        self.is_ambiguous = self.first.is_some();
        self.first = self.first.or(Some(value));
    }

    /// The first, others or not.
    pub(crate) fn first(&self) -> Option<&'a HeaderValue> {
        self.first
    }

    /// The only one.
    pub(crate) fn only(&self) -> Option<&'a HeaderValue> {
        self.first.filter(|_| !self.is_ambiguous)
    }

    pub(crate) fn is_ambiguous(&self) -> bool {
        self.is_ambiguous
    }
}

impl<'a> Seen<'a> {
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        let mut seen = Self::default();
        for (name, value) in headers {
            let name = name.as_str();
            seen.entries += 1;
            seen.bytes += name.len() + value.len() + 32;
            match name {
                "authorization" => {
                    seen.authorization.add(value);
                    seen.credentials += 1;
                }
                "content-type" => seen.content_type.add(value),
                "grpc-encoding" => seen.encoding.add(value),
                "grpc-timeout" => seen.timeout.add(value),
                "traceparent" => seen.trace.add(value),
                "x-request-id" => seen.ids += 1,
                "x-mozaiks-api-key" | "x-mozaiks-app-key" | "x-mozaiks-publishable-key" => seen.credentials += 1,
                "accept" | "accept-encoding" | "accept-language" | "connection" | "content-length" | "host" | "te" | "tracestate"
                | "user-agent" | "x-correlation-id" => {}
                name if ["grpc-", "mozaiks-", "x-mozaiks-"].iter().any(|known| name.starts_with(known)) => {}
                _ => seen.custom += 1,
            }
        }
        seen
    }
}
