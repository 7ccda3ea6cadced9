//! The testee: a length-prefixed `ConformanceRequest` on stdin, a `ConformanceResponse` on stdout, until stdin ends.

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, Value};

const PROTOBUF: i32 = 1;
const JSON: i32 = 2;
/// Tests that want unknown fields of JSON ignored. Here they are refused, always.
const IGNORES_UNKNOWN: i32 = 3;

/// Answers one request after another.
pub(crate) fn serve() -> ExitCode {
    let pool = contracts();
    let mut length = [0; 4];
    while io::stdin().read_exact(&mut length).is_ok() {
        let mut bytes = vec![0; usize::try_from(u32::from_le_bytes(length)).unwrap()];
        io::stdin().read_exact(&mut bytes).unwrap();
        let request = DynamicMessage::decode(message(&pool, "conformance.ConformanceRequest"), bytes.as_slice()).unwrap();
        let (field, value) = answer(&pool, &request);
        let mut response = DynamicMessage::new(message(&pool, "conformance.ConformanceResponse"));
        response.set_field_by_name(field, value);
        let response = response.encode_to_vec();
        let mut out = io::stdout().lock();
        out.write_all(&u32::try_from(response.len()).unwrap().to_le_bytes()).unwrap();
        out.write_all(&response).unwrap();
        out.flush().unwrap();
    }
    ExitCode::SUCCESS
}

fn contracts() -> DescriptorPool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/proto");
    let mut compiler = protox::Compiler::new([root]).unwrap();
    compiler.include_imports(true);
    for file in ["conformance/conformance", "google/protobuf/test_messages_proto2", "google/protobuf/test_messages_proto3"] {
        compiler.open_file(format!("{file}.proto")).unwrap();
    }
    DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).unwrap()
}

fn message(pool: &DescriptorPool, name: &str) -> MessageDescriptor {
    pool.get_message_by_name(name).unwrap()
}

/// The field of the response and what is in it.
fn answer(pool: &DescriptorPool, request: &DynamicMessage) -> (&'static str, Value) {
    let get = |name: &str| request.get_field_by_name(name).unwrap().into_owned();
    let name = get("message_type").as_str().unwrap().to_owned();
    let Some(message) = pool.get_message_by_name(&name) else { return ("skipped", Value::String(format!("{name} is of an edition"))) };
    let wire = if request.has_field_by_name("json_payload") {
        if get("test_category").as_enum_number() == Some(IGNORES_UNKNOWN) {
            return ("skipped", Value::String("unknown fields are refused".into()));
        }
        rpc::json_to_wire(&message, get("json_payload").as_str().unwrap().as_bytes()).map_err(|error| error.to_string())
    } else if request.has_field_by_name("protobuf_payload") {
        Ok(get("protobuf_payload").as_bytes().unwrap().to_vec())
    } else if name == "conformance.FailureSet" {
        Ok(Vec::new())
    } else {
        return ("skipped", Value::String("neither protobuf nor JSON".into()));
    };
    let read = wire.and_then(|wire| DynamicMessage::decode(message.clone(), wire.as_slice()).map_err(|error| error.to_string()));
    let read = match read {
        Ok(read) => read.encode_to_vec(),
        Err(fault) => return ("parse_error", Value::String(fault)),
    };
    match get("requested_output_format").as_enum_number() {
        Some(PROTOBUF) => ("protobuf_payload", Value::Bytes(read.into())),
        Some(JSON) => match rpc::wire_to_json(&message, &read) {
            Ok(text) => ("json_payload", Value::String(String::from_utf8(text).unwrap())),
            Err(fault) => ("serialize_error", Value::String(fault.to_string())),
        },
        _ => ("skipped", Value::String("neither protobuf nor JSON".into())),
    }
}
