//! The wires: each is two functions, from a request to a call and from its reply to an answer. Places are kept here for
//! Connect and for streams over REST.

pub(crate) mod grpc;
pub(crate) mod grpc_web;
pub(crate) mod rest;

use http::header::{self, HeaderMap};

/// How a caller speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Grpc,
    GrpcWeb { text: bool },
    Rest,
}

/// What the RPC paths take.
pub(crate) const RPC_TYPES: &str = "application/grpc, application/grpc+proto, application/grpc-web, application/grpc-web+proto, \
                                    application/grpc-web-text, application/grpc-web-text+proto";

impl Wire {
    /// The wire that the content type belongs to; false when it is of a known family with an unknown codec.
    pub(crate) fn of(headers: &HeaderMap) -> (Self, bool) {
        let kind = media_type(headers).unwrap_or_default();
        let (family, codec) = kind.split_once('+').unwrap_or((kind, "proto"));
        let families = [
            ("application/grpc", Self::Grpc),
            ("application/grpc-web", Self::GrpcWeb { text: false }),
            ("application/grpc-web-text", Self::GrpcWeb { text: true }),
        ];
        let wire = families.into_iter().find(|(known, _)| family.eq_ignore_ascii_case(known));
        wire.map_or((Self::Rest, true), |(_, wire)| (wire, codec.eq_ignore_ascii_case("proto")))
    }

    /// The content type of this wire's answers.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Grpc => "application/grpc",
            Self::GrpcWeb { text: false } => "application/grpc-web+proto",
            Self::GrpcWeb { text: true } => "application/grpc-web-text+proto",
            Self::Rest => "application/json",
        }
    }
}

/// The media type of the body, as it was written and without parameters. None when there is none, several, or no text.
fn media_type(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let kind = value.to_str().ok()?;
    Some(kind.split_once(';').map_or(kind, |(kind, _)| kind).trim())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn content_types_choose_the_wire() {
        let table = [
            ("application/grpc", (Wire::Grpc, true)),
            ("Application/gRPC+proto", (Wire::Grpc, true)),
            ("application/grpc+thrift", (Wire::Grpc, false)),
            ("application/grpc-web", (Wire::GrpcWeb { text: false }, true)),
            ("application/grpc-web-text+proto", (Wire::GrpcWeb { text: true }, true)),
            ("application/grpc-web-text+json", (Wire::GrpcWeb { text: true }, false)),
            ("application/grpcx", (Wire::Rest, true)),
            ("application/json; charset=utf-8", (Wire::Rest, true)),
            ("text/plain", (Wire::Rest, true)),
            ("", (Wire::Rest, true)),
        ];
        for (kind, expected) in table {
            let headers = [(header::CONTENT_TYPE, kind.parse().unwrap())].into_iter().collect();
            assert_eq!(Wire::of(&headers), expected, "{kind}");
        }
        let mut two: HeaderMap = [(header::CONTENT_TYPE, "application/grpc".parse().unwrap())].into_iter().collect();
        two.append(header::CONTENT_TYPE, "text/plain".parse().unwrap());
        assert_eq!(Wire::of(&two), (Wire::Rest, true));
    }
}
