//! What reads what strangers send, each as a target for hostile input: replay.rs feeds them in tests, gateway/fuzz by
//! coverage. A target must neither panic nor make more of its input than it is.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request};
use prost_reflect::MessageDescriptor;
use rpc::Schema;

use crate::address;
use crate::envelope;
use crate::headers;
use crate::json::Codec;
use crate::protobuf;
use crate::rules::bind::{self, FieldPath};
use crate::rules::template::{self, Template};
use crate::rules::{Found, Rules, rules};
use crate::wires::grpc_web;

/// What targets read their input against.
#[derive(Debug)]
pub struct Contracts {
    schema: Schema,
    rules: Rules,
    asks: [MessageDescriptor; 2],
}

impl Contracts {
    /// From the descriptors that `contracts::compile` makes.
    pub fn read(descriptors: &[u8]) -> Self {
        let schema = Schema::read(descriptors).unwrap();
        let message = |name: &str| schema.pool().get_message_by_name(name).unwrap();
        let asks = [message("mozaiks.probe.v1.GetThingRequest"), message("mozaiks.identity.v1.RegisterRequest")];
        Self { rules: rules(&schema).unwrap(), asks, schema }
    }
}

fn envelope(_: &Contracts, input: &[u8]) {
    if let Ok(message) = envelope::unpack(&Bytes::copy_from_slice(input)) {
        assert_eq!(envelope::pack(&message), input);
    }
}

fn base64(_: &Contracts, input: &[u8]) {
    if let Some(bytes) = grpc_web::from_text(input) {
        assert!(bytes.len() <= input.len() / 4 * 3);
    }
}

fn template(_: &Contracts, input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Ok(template) = Template::parse(&text) {
        assert!(template.segments.len() <= text.len() && template.variables.len() <= template.segments.len());
        let _ = template.capture(&["a", "b%2Fc", "%"]);
    }
}

fn path(contracts: &Contracts, input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let is_plain = template::check(&text).is_ok();
    if let Found::Rule(rule, segments) = contracts.rules.find(&text, &Method::GET)
        && is_plain
    {
        let values = rule.path.capture(&segments).unwrap();
        assert!(values.iter().map(String::len).sum::<usize>() <= text.len());
        assert!(!values.iter().flat_map(|value| value.split('/')).any(|part| matches!(part, "." | "..")), "{text}");
    }
}

fn query(contracts: &Contracts, input: &[u8]) {
    let (text, ask) = (String::from_utf8_lossy(input), &contracts.asks[0]);
    let mut bytes = Vec::new();
    if bind::query(&text, |key| FieldPath::find(ask, key), &mut bytes).is_ok() {
        assert!(bytes.len() <= 16 * text.len() + 16, "{} bytes of {text}", bytes.len());
        rpc::wire_to_json(ask, &bytes).unwrap();
    }
}

/// Both codecs; what the typed one reads, the dynamic one reads to the same message.
fn json(contracts: &Contracts, input: &[u8]) {
    for ask in &contracts.asks {
        let dynamic = rpc::json_to_wire(ask, input);
        let read = Codec::of(ask.clone()).read(input, || ());
        assert_eq!(read.is_ok(), dynamic.is_ok(), "{} of {input:?}", ask.name());
        if let (Ok(read), Ok(dynamic)) = (read, dynamic) {
            assert_eq!(rpc::wire_to_json(ask, &read).unwrap(), rpc::wire_to_json(ask, &dynamic).unwrap());
            assert!(read.len() <= 4 * input.len() + 64);
        }
    }
}

fn wire(contracts: &Contracts, input: &[u8]) {
    let whole: usize = protobuf::fields(input).map_while(Result::ok).map(|field| field.whole.len()).sum();
    assert!(whole <= input.len());
    protobuf::find(input, &[5, 2]);
    if let Ok((kept, _)) = protobuf::cut(input, &[5, 2]) {
        assert!(kept.len() <= input.len() + 8 && protobuf::find(&kept, &[5, 2]).is_none());
    }
    for ask in &contracts.asks {
        if let Ok(text) = Codec::of(ask.clone()).write(input, || ()) {
            serde_json::from_slice::<serde_json::Value>(&text).unwrap();
        }
    }
}

fn timeout(contracts: &Contracts, input: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(input) else { return };
    let method = contracts.schema.method("/mozaiks.probe.v1.ThingsService/GetThing").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _inside = runtime.enter();
    for name in ["connect-timeout-ms", "grpc-timeout"] {
        let head = Request::get("/x").header(name, &value).body(()).unwrap().into_parts().0;
        let Ok(inward) = headers::rest(&head, HeaderValue::from_static("call-0001"), None) else { continue };
        // What is made of milliseconds is a deadline; what comes as one is judged by the service.
        let deadline = rpc::Deadline::of(method, &inward);
        assert!(deadline.is_ok() || name == "grpc-timeout", "{value:?}");
    }
}

fn forwarded(_: &Contracts, input: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(input) else { return };
    let headers: HeaderMap = [(http::HeaderName::from_static("x-forwarded-for"), value)].into_iter().collect();
    let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
    let client = address::client(Some("10.0.0.1:1".parse().unwrap()), &headers, &trusted);
    assert_ne!(client, "10.0.0.1".parse().ok(), "the proxy's own address is nobody's");
    let direct = address::client(Some("9.9.9.9:1".parse().unwrap()), &headers, &trusted);
    assert_eq!(direct, "9.9.9.9".parse().ok());
}

/// Panics when an input makes more of it than it is.
pub type Target = fn(&Contracts, &[u8]);

/// Every target by the name of its corpus.
pub const TARGETS: [(&str, Target); 9] = [
    ("envelope", envelope),
    ("base64", base64),
    ("template", template),
    ("path", path),
    ("query", query),
    ("json", json),
    ("protobuf", wire),
    ("timeout", timeout),
    ("forwarded", forwarded),
];
