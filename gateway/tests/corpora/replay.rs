//! Hostile input for everything that reads what strangers send: each file of a corpus and mutations of it go through its
//! target, which must neither panic nor make more of it than it is. A new finding becomes a file beside the others.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request};
use proptest::prelude::*;
use proptest::sample::Index;
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

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compiler = protox::Compiler::new([root.join("tests/door"), root.join("../proto")]).unwrap();
    compiler.include_imports(true).open_file("probe.proto").unwrap();
    for file in ["apps", "auth"] {
        compiler.open_file(format!("mozaiks/identity/v1/{file}.proto")).unwrap();
    }
    Schema::read(&compiler.encode_file_descriptor_set()).unwrap()
});
static RULES: LazyLock<Rules> = LazyLock::new(|| rules(&SCHEMA).unwrap());

fn message(name: &str) -> MessageDescriptor {
    SCHEMA.pool().get_message_by_name(name).unwrap()
}

fn asks() -> [MessageDescriptor; 2] {
    [message("mozaiks.probe.v1.GetThingRequest"), message("mozaiks.identity.v1.RegisterRequest")]
}

fn envelope(input: &[u8]) {
    if let Ok(message) = envelope::unpack(&Bytes::copy_from_slice(input)) {
        assert_eq!(envelope::pack(&message), input);
    }
}

fn base64(input: &[u8]) {
    if let Some(bytes) = grpc_web::from_text(input) {
        assert!(bytes.len() <= input.len() / 4 * 3);
    }
}

fn template(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Ok(template) = Template::parse(&text) {
        assert!(template.segments.len() <= text.len() && template.variables.len() <= template.segments.len());
        let _ = template.capture(&["a", "b%2Fc", "%"]);
    }
}

fn path(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let is_plain = template::check(&text).is_ok();
    if let Found::Rule(rule, segments) = RULES.find(&text, &Method::GET)
        && is_plain
    {
        let values = rule.path.capture(&segments).unwrap();
        assert!(values.iter().map(String::len).sum::<usize>() <= text.len());
        assert!(!values.iter().flat_map(|value| value.split('/')).any(|part| matches!(part, "." | "..")), "{text}");
    }
}

fn query(input: &[u8]) {
    let (text, ask) = (String::from_utf8_lossy(input), &asks()[0]);
    let mut bytes = Vec::new();
    if bind::query(&text, |key| FieldPath::find(ask, key), &mut bytes).is_ok() {
        assert!(bytes.len() <= 16 * text.len() + 16, "{} bytes of {text}", bytes.len());
        rpc::wire_to_json(ask, &bytes).unwrap();
    }
}

/// Both codecs; what the typed one reads, the dynamic one reads to the same message.
fn json(input: &[u8]) {
    for ask in asks() {
        let dynamic = rpc::json_to_wire(&ask, input);
        let read = Codec::of(ask.clone()).read(input, || ());
        assert_eq!(read.is_ok(), dynamic.is_ok(), "{} of {input:?}", ask.name());
        if let (Ok(read), Ok(dynamic)) = (read, dynamic) {
            assert_eq!(rpc::wire_to_json(&ask, &read).unwrap(), rpc::wire_to_json(&ask, &dynamic).unwrap());
            assert!(read.len() <= 4 * input.len() + 64);
        }
    }
}

fn wire(input: &[u8]) {
    let whole: usize = protobuf::fields(input).map_while(Result::ok).map(|field| field.whole.len()).sum();
    assert!(whole <= input.len());
    protobuf::find(input, &[5, 2]);
    if let Ok((kept, _)) = protobuf::cut(input, &[5, 2]) {
        assert!(kept.len() <= input.len() + 8 && protobuf::find(&kept, &[5, 2]).is_none());
    }
    for ask in asks() {
        if let Ok(text) = Codec::of(ask.clone()).write(input, || ()) {
            serde_json::from_slice::<serde_json::Value>(&text).unwrap();
        }
    }
}

fn timeout(input: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(input) else { return };
    let method = SCHEMA.method("/mozaiks.probe.v1.ThingsService/GetThing").unwrap();
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

fn forwarded(input: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(input) else { return };
    let headers: HeaderMap = [(http::HeaderName::from_static("x-forwarded-for"), value)].into_iter().collect();
    let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
    let client = address::client(Some("10.0.0.1:1".parse().unwrap()), &headers, &trusted);
    assert_ne!(client, "10.0.0.1".parse().ok(), "the proxy's own address is nobody's");
    let direct = address::client(Some("9.9.9.9:1".parse().unwrap()), &headers, &trusted);
    assert_eq!(direct, "9.9.9.9".parse().ok());
}

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 9] = [
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

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpora").join(name);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

#[test]
fn every_corpus_is_replayed() {
    for (name, target) in TARGETS {
        let inputs = corpus(name);
        assert!(inputs.len() >= 10, "{name} has only {} inputs", inputs.len());
        inputs.iter().for_each(|input| target(input));
    }
}

/// One change: put a byte, drop one, double a piece, cut the rest off.
fn mutate(input: &mut Vec<u8>, (kind, at, byte): (u8, Index, u8)) {
    let at = at.index(input.len() + 1);
    match kind % 4 {
        0 => input.insert(at, byte),
        1 if at < input.len() => _ = input.remove(at),
        2 => {
            let piece: Vec<u8> = input[at..].iter().take(usize::from(byte)).copied().collect();
            input.splice(at..at, piece);
        }
        _ => input.truncate(at.max(usize::from(byte))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn mutations_of_every_corpus_are_judged(pick: Index, changes in prop::collection::vec((any::<u8>(), any::<Index>(), any::<u8>()), 1..6)) {
        for (name, target) in TARGETS {
            let inputs = corpus(name);
            let mut input = pick.get(&inputs).clone();
            changes.iter().for_each(|change| mutate(&mut input, *change));
            target(&input);
        }
    }
}
