//! The ways of one and the same call: method, wire, protocol version, and what a right answer is. Sends nothing.

use std::sync::OnceLock;

use api::mozaiks::identity::v1 as pb;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Request, Version};
use http_body_util::Full;
use prost::Message;

use crate::line::{Answer, Ask};
use crate::servers::{self, EMAIL};

/// How a call travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Grpc,
    GrpcWeb,
    GrpcWebText,
    Rest,
}

/// What is called.
pub struct Method {
    path: &'static str,
    rest: String,
    message: Vec<u8>,
    token: Option<String>,
    /// Bytes that stand in every right answer over the RPC wires, and over REST.
    holds: (Vec<u8>, String),
}

impl Method {
    /// `ListSignInMethods`: open to anyone, 42 bytes asked.
    pub fn open() -> Self {
        let parent = format!("apps/{}", "a".repeat(35));
        Self {
            path: "/mozaiks.identity.v1.AuthService/ListSignInMethods",
            rest: format!("/api/core/identity/{parent}/auth/methods"),
            message: pb::ListSignInMethodsRequest { parent }.encode_to_vec(),
            token: None,
            holds: (servers::methods().encode_to_vec(), "\"registrationOpen\":true".into()),
        }
    }

    /// `GetMe`: for a signed-in person, who is answered.
    pub fn signed_in(token: &str) -> Self {
        Self {
            path: "/mozaiks.identity.v1.MeService/GetMe",
            rest: "/api/core/identity/apps/platform/me".into(),
            message: pb::GetMeRequest { name: "apps/platform/me".into() }.encode_to_vec(),
            token: Some(token.to_owned()),
            holds: (EMAIL.into(), format!("\"email\":\"{EMAIL}\"")),
        }
    }
}

/// One way.
pub struct Path {
    pub wire: Wire,
    pub version: Version,
    pub ask: Ask,
    pub ask_bytes: usize,
    holds: Vec<u8>,
    first: OnceLock<Bytes>,
}

impl Path {
    pub fn new(method: &Method, wire: Wire, version: Version, address: &str) -> Self {
        let path = if wire == Wire::Rest { &method.rest } else { method.path };
        let uri = if version == Version::HTTP_2 { format!("http://{address}{path}") } else { path.to_owned() };
        let mut ask = Request::builder().uri(uri).version(version);
        if version != Version::HTTP_2 {
            ask = ask.header("host", address);
        }
        if let Some(token) = &method.token {
            ask = ask.header("authorization", format!("Bearer {token}"));
        }
        let body = match wire {
            Wire::Rest => Vec::new(),
            Wire::GrpcWebText => BASE64_STANDARD.encode(framed(&method.message)).into_bytes(),
            Wire::Grpc | Wire::GrpcWeb => framed(&method.message),
        };
        ask = match wire {
            Wire::Rest => ask.header("accept", "application/json"),
            Wire::Grpc => ask.method("POST").header("content-type", "application/grpc").header("te", "trailers"),
            Wire::GrpcWeb => ask.method("POST").header("content-type", "application/grpc-web+proto"),
            Wire::GrpcWebText => ask.method("POST").header("content-type", "application/grpc-web-text+proto"),
        };
        let holds = if wire == Wire::Rest { method.holds.1.clone().into_bytes() } else { method.holds.0.clone() };
        let ask_bytes = body.len();
        Self { wire, version, ask: ask.body(Full::from(body)).unwrap(), ask_bytes, holds, first: OnceLock::new() }
    }

    /// Ends the bench unless the answer is right: its status, and the bytes of the first answer, which was read in full.
    pub fn check(&self, answer: &Answer) {
        assert_eq!(answer.status, 200, "{:?} {answer:?}", self.wire);
        if self.wire == Wire::Grpc {
            assert_eq!(answer.trailers.get("grpc-status").map(http::HeaderValue::as_bytes), Some(&b"0"[..]), "{answer:?}");
        }
        let first = self.first.get_or_init(|| {
            self.read(&answer.body);
            answer.body.clone()
        });
        assert_eq!(&answer.body, first, "{:?} answers differ", self.wire);
    }

    /// Bytes of the answer's body.
    pub fn answer_bytes(&self) -> usize {
        self.first.get().map_or(0, Bytes::len)
    }

    fn read(&self, body: &[u8]) {
        let body = if self.wire == Wire::GrpcWebText { unbase64(body) } else { body.to_vec() };
        let has = |part: &[u8]| body.windows(part.len()).any(|window| window == part);
        let text = || String::from_utf8_lossy(&body);
        assert!(has(&self.holds), "{:?} answers {}", self.wire, text());
        let in_body = matches!(self.wire, Wire::GrpcWeb | Wire::GrpcWebText);
        assert!(!in_body || has(b"grpc-status:0") || has(b"grpc-status: 0"), "{:?} answers {}", self.wire, text());
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    bytes.extend(message);
    bytes
}

/// Base64 in runs that are each padded by themselves.
fn unbase64(text: &[u8]) -> Vec<u8> {
    let groups = text.chunks(4).map(|group| BASE64_STANDARD.decode(group).unwrap());
    groups.collect::<Vec<_>>().concat()
}
