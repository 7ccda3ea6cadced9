//! The description of the REST side (OpenAPI 3.1), written from the rules that route: what is not routed is not described.
//! Must not know any method.

mod comments;
mod operation;
mod shape;

use std::collections::BTreeMap;

use api::mozaiks::options::v1::Plane;
use bytes::Bytes;
use http::Response;
use http::header::{self, HeaderMap, HeaderValue};
use http_body_util::Full;
use rpc::{Body, Schema};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::rules::{Rule, Rules};
use crate::wires::rest;
use comments::Comments;
use operation::Operation;
use shape::Shapes;

/// Where the description is served.
pub(crate) const PATH: &str = "/api/core/openapi.json";

const INTRODUCTION: &str = "The REST side of the core: JSON as proto3 maps it, errors as the JSON form of `google.rpc.Status`. The same \
                            methods answer over gRPC and gRPC-Web. Written from the contracts; operators' methods are left out.";
const REASONS: &str = "The machine's word for what went wrong, such as `ETAG_STALE`. docs/ERRORS.md lists them all; more may be added, so a \
                       program treats one that it does not know by the `code`.";

/// Describes the REST side of the contracts. Errors: all faults of their rules.
pub fn openapi(schema: &Schema) -> Result<Value, Vec<String>> {
    Ok(describe(schema, &crate::rules(schema)?))
}

pub(crate) fn describe(schema: &Schema, rules: &Rules) -> Value {
    let comments = Comments::of(schema.pool());
    let mut shapes = Shapes::of(schema.pool(), &comments);
    let mut paths = Paths::default();
    let mut tags: BTreeMap<String, String> = BTreeMap::new();
    let mut bindings: BTreeMap<&str, usize> = BTreeMap::new();
    for rule in rules.iter().filter(|rule| is_public(rule)) {
        let binding = bindings.entry(&rule.method.path).or_default();
        *binding += 1;
        let service = rule.method.descriptor.parent_service();
        tags.entry(service.name().to_owned()).or_insert_with(|| comments.on(&service.parent_file(), service.path()));
        let mut operation = Operation { schema, comments: &comments, rule, binding: *binding };
        paths.add(rule, |names| operation.describe(names, &mut shapes));
    }
    let tags: Vec<Value> = tags.into_iter().map(|(name, text)| json!({ "name": name, "description": text })).collect();
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Mozaiks core", "version": env!("CARGO_PKG_VERSION"), "description": INTRODUCTION, "license": { "name": "MIT", "identifier": "MIT" } },
        "servers": [{ "url": "/" }],
        "tags": tags,
        "paths": paths.written,
        "components": {
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer", "description": "An access token, as sign-in and refresh answer it." } },
            "headers": headers(),
            "parameters": parameters(),
            "responses": { "Error": error() },
            "schemas": shapes.into_schemas([("Status", status())]),
        },
    })
}

fn is_public(rule: &Rule) -> bool {
    rule.method.access.as_ref().is_some_and(|access| access.plane() != Plane::Operator)
}

/// Paths with their operations. Two templates of one shape are one path, with the names that came first.
#[derive(Default)]
struct Paths {
    written: Map<String, Value>,
    /// By the path without names: the path as it is written, and its names.
    shapes: BTreeMap<String, (String, Vec<String>)>,
}

impl Paths {
    fn add(&mut self, rule: &Rule, describe: impl FnOnce(&[String]) -> Value) {
        let names = operation::names(rule);
        let spell = |names: &[String]| operation::spell(rule, names);
        let anonymous = spell(&vec![String::new(); names.len()]);
        let (path, names) = self.shapes.entry(anonymous).or_insert_with(|| (spell(&names), names));
        let item = self.written.entry(path.clone()).or_insert_with(|| json!({}));
        item[rule.verb.as_str().to_ascii_lowercase()] = describe(names);
    }
}

fn headers() -> Value {
    json!({
        "ETag": { "description": "The version of the answered resource, for `If-Match` and `If-None-Match`.", "schema": { "type": "string" } },
        "Location": { "description": "Where the created resource is read.", "schema": { "type": "string" } },
    })
}

fn parameters() -> Value {
    let header = |name: &str, text: &str| json!({ "name": name, "in": "header", "required": false, "description": text, "schema": { "type": "string" } });
    json!({
        "IdempotencyKey": header("Idempotency-Key", "Fills `requestId`: the caller's intent, 1-64 printable ASCII characters. A repeat answers the same."),
        "IfMatch": header("If-Match", "Fills `etag`: the version to change. Another one there by now is refused with 412."),
        "IfNoneMatch": header("If-None-Match", "The version held already: answered with 304 while it is the newest."),
    })
}

fn error() -> Value {
    let content = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Status" } } });
    json!({ "description": "The call failed. The HTTP status follows from the code and the reason.", "content": content })
}

/// `google.rpc.Status` as REST answers it.
fn status() -> Value {
    let detail = json!({
        "type": "object",
        "required": ["@type"],
        "properties": {
            "@type": { "type": "string", "description": "`type.googleapis.com/google.rpc.ErrorInfo` and its kin." },
            "reason": { "type": "string", "description": REASONS },
            "domain": { "type": "string", "description": "Who gives the reason its meaning." },
            "requestId": { "type": "string", "description": "The id of the call, to tell an operator." },
            "retryDelay": { "type": "string", "description": "How long to wait before a repeat, such as `1.500s`." },
        },
        "additionalProperties": true,
    });
    json!({
        "type": "object",
        "description": "Why a call failed.",
        "required": ["code", "message", "details"],
        "properties": {
            "code": { "type": "integer", "format": "int32", "description": "The gRPC code." },
            "message": { "type": "string", "description": "For people; may change." },
            "details": { "type": "array", "description": "An `ErrorInfo` first, a `RequestInfo`, and what else helps.", "items": detail },
        },
    })
}

/// The description as it is served.
#[derive(Debug)]
pub(crate) struct Document {
    text: Bytes,
    etag: HeaderValue,
}

impl Document {
    pub(crate) fn of(description: &Value) -> Self {
        let text = description.to_string();
        let digest: String = Sha256::digest(text.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        // Hexadecimal letters always make a header; without one the document would merely not be cached.
        let etag = HeaderValue::try_from(format!("\"{digest}\"")).unwrap_or(HeaderValue::from_static("\"\""));
        Self { text: text.into(), etag }
    }

    pub(crate) fn answer(&self, asked: &HeaderMap) -> Response<Body> {
        let mut response = if rest::knows(asked, &self.etag) {
            rest::not_modified()
        } else {
            let mut response = Response::new(Body::new(Full::new(self.text.clone())));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        };
        response.headers_mut().insert(header::ETAG, self.etag.clone());
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}
