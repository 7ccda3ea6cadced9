//! gRPC: the body passes untouched in both directions, trailers and all; the service's own guard counts and measures it.

use http::Version;
use kernel::Error;
use rpc::{Body, Method};

use crate::call::{Call, Reply, Visit};
use crate::headers;

/// Errors: `CONTENT_TYPE_UNSUPPORTED` below HTTP/2, where trailers get lost, and those of the headers.
pub(crate) fn inward<'a>(visit: &Visit, method: &'a Method, body: Body) -> kernel::Result<Call<'a>> {
    if visit.head.version < Version::HTTP_2 {
        return Err(Error::unsupported("CONTENT_TYPE_UNSUPPORTED", "gRPC needs HTTP/2; gRPC-Web and REST do not"));
    }
    Ok(Call { method, headers: headers::rpc(&visit.head, visit.call_id.header(), visit.address)?, body, reading: visit.unread() })
}

pub(crate) fn outward(reply: Reply) -> Reply {
    reply
}
