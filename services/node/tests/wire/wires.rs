//! One call in any of the wires: the request and the answer are proto3 JSON, what travels is the wire's own form.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MethodDescriptor, SerializeOptions};
use serde_json::{Value, json};

use crate::{faults_store, rest};

/// The contracts, read by the tests as a client would.
pub static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| DescriptorPool::decode(api::DESCRIPTORS).unwrap());

/// How a call travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Grpc,
    GrpcWeb,
    GrpcWebText,
    Rest,
}

impl Wire {
    pub const ALL: [Self; 4] = [Self::Grpc, Self::GrpcWeb, Self::GrpcWebText, Self::Rest];
}

/// A refused call, in any wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: i32,
    pub reason: String,
    pub message: String,
    pub call_id: String,
    /// Faulty fields.
    pub fields: Vec<String>,
    pub retry_after_seconds: Option<i64>,
    pub http: u16,
}

pub type Answer = Result<Value, Failure>;

/// Whoever calls: address, wire, headers.
#[derive(Clone)]
pub struct Caller {
    address: String,
    wire: Wire,
    headers: HeaderMap,
    h1: Client<HttpConnector, Full<Bytes>>,
    h2: Client<HttpConnector, Full<Bytes>>,
}

/// What came back, untouched.
#[derive(Debug)]
pub struct Raw {
    pub http: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: HeaderMap,
}

impl Caller {
    pub fn new(address: &str, wire: Wire) -> Self {
        let mut connector = HttpConnector::new();
        // Without it every call over HTTP/2 waits 40 ms for an acknowledgement that is held back.
        connector.set_nodelay(true);
        let h1 = Client::builder(TokioExecutor::new()).build(connector.clone());
        let h2 = Client::builder(TokioExecutor::new()).http2_only(true).build(connector);
        Self { address: address.to_owned(), wire, headers: HeaderMap::new(), h1, h2 }
    }

    pub fn on(mut self, wire: Wire) -> Self {
        self.wire = wire;
        self
    }

    /// The same caller at another address.
    pub fn to(mut self, address: &str) -> Self {
        address.clone_into(&mut self.address);
        self
    }

    pub fn with(mut self, header: &'static str, value: &str) -> Self {
        self.headers.insert(header, value.parse().unwrap());
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    pub fn without_bearer(mut self) -> Self {
        self.headers.remove("authorization");
        self
    }

    /// The access token in use.
    pub fn token(&self) -> String {
        self.headers["authorization"].to_str().unwrap().trim_start_matches("Bearer ").to_owned()
    }

    /// Calls `AuthService/SignIn` and the like.
    pub async fn call(&self, method: &str, ask: Value) -> Answer {
        let (ask, mut asked) = (faults_store::identified(method, ask), 1);
        loop {
            match self.call_raw(method, ask.clone()).await.1 {
                Err(failure) if faults_store::again(&failure, asked) => asked += 1,
                answer => return answer,
            }
        }
    }

    /// The same, with what came back beside it.
    pub async fn call_raw(&self, method: &str, ask: Value) -> (Raw, Answer) {
        let method = method_of(method);
        let ask = DynamicMessage::deserialize_with_options(method.input(), ask, &DeserializeOptions::new()).unwrap();
        let raw = match self.wire {
            Wire::Rest => {
                let parts = rest::transcode(&method, &ask);
                self.send(parts.verb, &parts.path, "application/json", parts.body).await
            }
            wire => self.send(Method::POST, &path_of(&method), content_type(wire), framed(wire, &ask.encode_to_vec())).await,
        };
        let answer = match self.wire {
            Wire::Rest => rest::answer(&method, &raw),
            wire => grpc_answer(&method, wire, &raw),
        };
        (raw, answer)
    }

    /// Any request at all.
    pub async fn send(&self, verb: Method, path: &str, content_type: &str, body: Vec<u8>) -> Raw {
        let mut request = Request::builder().method(verb).uri(format!("{}{path}", self.address));
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        if content_type == "application/grpc" {
            request = request.header("te", "trailers");
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let client = if content_type == "application/grpc" { &self.h2 } else { &self.h1 };
        let (parts, body) = client.request(request.body(Full::from(body)).unwrap()).await.unwrap().into_parts();
        let collected = body.collect().await.unwrap();
        let trailers = collected.trailers().cloned().unwrap_or_default();
        Raw { http: parts.status.as_u16(), headers: parts.headers, body: collected.to_bytes(), trailers }
    }
}

/// `AuthService/SignIn` among the contracts.
pub fn method_of(method: &str) -> MethodDescriptor {
    let (service, name) = method.split_once('/').unwrap();
    let found = POOL.services().find(|found| found.name() == service).unwrap_or_else(|| panic!("no service {service}"));
    found.methods().find(|found| found.name() == name).unwrap_or_else(|| panic!("no method {method}"))
}

/// `/mozaiks.identity.v1.AuthService/SignIn`.
pub fn path_of(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

pub fn content_type(wire: Wire) -> &'static str {
    match wire {
        Wire::Grpc => "application/grpc",
        Wire::GrpcWeb => "application/grpc-web+proto",
        Wire::GrpcWebText => "application/grpc-web-text+proto",
        Wire::Rest => "application/json",
    }
}

/// One message with its prefix.
pub fn framed(wire: Wire, message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    bytes.extend(message);
    if wire == Wire::GrpcWebText { BASE64_STANDARD.encode(bytes).into_bytes() } else { bytes }
}

fn grpc_answer(method: &MethodDescriptor, wire: Wire, raw: &Raw) -> Answer {
    let mut message = None;
    let mut trailers = raw.headers.clone();
    trailers.extend(raw.trailers.clone());
    let body = if wire == Wire::GrpcWebText { unbase64(&raw.body) } else { raw.body.to_vec() };
    let mut rest = body.as_slice();
    while let Some((prefix, after)) = rest.split_first_chunk::<5>() {
        let length = u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize;
        let (frame, after) = after.split_at(length);
        if prefix[0] & 0x80 == 0 {
            message = Some(frame.to_vec())
        } else {
            trailers.extend(trailer_lines(frame))
        }
        rest = after;
    }
    assert_eq!(raw.http, 200, "gRPC wires answer 200: {raw:?}");
    let code: i32 = trailers.get("grpc-status").unwrap_or_else(|| panic!("no grpc-status in {raw:?}")).to_str().unwrap().parse().unwrap();
    if code != 0 {
        let details = trailers.get("grpc-status-details-bin").map(|value| unbase64(value.as_bytes())).unwrap_or_default();
        return Err(failure(code, &details, raw.http));
    }
    let message = DynamicMessage::decode(method.output(), message.unwrap().as_slice()).unwrap();
    Ok(message.serialize_with_options(serde_json::value::Serializer, &SerializeOptions::new()).unwrap())
}

fn trailer_lines(frame: &[u8]) -> HeaderMap {
    let text = std::str::from_utf8(frame).unwrap();
    let pairs = text.split("\r\n").filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.trim().parse().unwrap())).collect()
}

/// Base64 in separately padded chunks, padded or not.
fn unbase64(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in text.split_inclusive(|byte| *byte == b'=').filter(|chunk| chunk.iter().any(|byte| *byte != b'=')) {
        let bare: Vec<u8> = chunk.iter().copied().filter(|byte| *byte != b'=').collect();
        bytes.extend(base64::prelude::BASE64_STANDARD_NO_PAD.decode(bare).unwrap());
    }
    bytes
}

/// Reads a `google.rpc.Status` by way of tonic's own reader of details.
fn failure(code: i32, details: &[u8], http: u16) -> Failure {
    use tonic_types::StatusExt as _;
    let status = tonic_types::pb::Status::decode(details).unwrap();
    let as_status = crate::status_with(code, &status.message, details);
    let found = as_status.get_error_details();
    Failure {
        code,
        reason: found.error_info().map(|info| info.reason.clone()).unwrap_or_default(),
        message: status.message,
        call_id: found.request_info().map(|info| info.request_id.clone()).unwrap_or_default(),
        fields: found.bad_request().map(|bad| bad.field_violations.iter().map(|fault| fault.field.clone()).collect()).unwrap_or_default(),
        retry_after_seconds: found.retry_info().and_then(|info| info.retry_delay).map(|wait| wait.as_secs().try_into().unwrap()),
        http,
    }
}

/// Reads the JSON form of a `google.rpc.Status`.
pub fn failure_of_json(body: &Value, http: u16) -> Failure {
    let empty = Vec::new();
    let details = body["details"].as_array().unwrap_or(&empty);
    let detail = |kind: &str| {
        details.iter().find(|detail| detail["@type"] == format!("type.googleapis.com/google.rpc.{kind}")).cloned().unwrap_or(json!({}))
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let violations = detail("BadRequest")["fieldViolations"].as_array().cloned().unwrap_or_default();
    let delay = text(&detail("RetryInfo")["retryDelay"]);
    Failure {
        code: i32::try_from(body["code"].as_i64().unwrap_or_else(|| panic!("no google.rpc.Status: {body}"))).unwrap(),
        reason: text(&detail("ErrorInfo")["reason"]),
        message: text(&body["message"]),
        call_id: text(&detail("RequestInfo")["requestId"]),
        fields: violations.iter().map(|fault| text(&fault["field"])).collect(),
        retry_after_seconds: delay.trim_end_matches('s').split('.').next().and_then(|seconds| seconds.parse().ok()),
        http,
    }
}
