//! What the gateway refuses to start on: all of it in one error, each fault with its method.

use std::path::Path;
use std::sync::Arc;

use gateway::{Config, Start};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};
use rpc::{Hub, Schema};
use tokio::sync::watch;

struct Source(String);

impl FileResolver for Source {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == "broken.proto" { File::from_source(name, &self.0) } else { Err(protox::Error::file_not_found(name)) }
    }
}

fn schema(methods: &str) -> Arc<Schema> {
    let source = format!(
        r#"syntax = "proto3";
        package mozaiks.probe.v1;
        import "google/api/annotations.proto";
        import "mozaiks/options/v1/access.proto";
        message Inner {{ string text = 1; }}
        message Ask {{ string name = 1; repeated string list = 2; map<string, string> map = 3; Inner inner = 4; oneof pick {{ string left = 5; Inner right = 6; }} repeated Inner inners = 7; int32 count = 8; }}
        service Broken {{ {methods} }}"#
    );
    let mut resolver = ChainFileResolver::new();
    resolver.add(Source(source));
    resolver.add(IncludeFileResolver::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto")));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file("broken.proto").unwrap();
    Arc::new(Schema::read(&compiler.encode_file_descriptor_set()).unwrap())
}

const ACCESS: &str = "plane: PLANE_PUBLIC caller: CALLER_PROOF tenancy: TENANCY_SECRET";

fn method(name: &str, types: (&str, &str), http: &str, access: &str) -> String {
    let rule = if http.is_empty() { String::new() } else { format!("option (google.api.http) = {{ {http} }};") };
    format!("rpc {name}({}) returns ({}) {{ {rule} option (mozaiks.options.v1.access) = {{ {ACCESS} {access} }}; }}", types.0, types.1)
}

fn refused(schema: Arc<Schema>, config: Config) -> String {
    let start = Start { config, schema, hub: Hub::new(), ready: watch::channel(true).1 };
    let error = gateway::start(start).unwrap_err();
    assert_eq!(error.reason(), "CONFIG_INVALID");
    error.message().to_owned()
}

#[test]
fn every_broken_rule_is_named() {
    let unary = ("Ask", "Ask");
    let table = [
        ("get: \"/api/other/probe/x\"", "outside of its area"),
        ("get: \"/api/core/identity/x\"", "outside of its area"),
        ("get: \"/api/core/probe/{list}\"", "list is repeated, a message, or in a oneof"),
        ("get: \"/api/core/probe/{map}\"", "map is repeated, a message, or in a oneof"),
        ("get: \"/api/core/probe/{inner}\"", "inner is repeated, a message, or in a oneof"),
        ("get: \"/api/core/probe/{left}\"", "left is repeated, a message, or in a oneof"),
        ("get: \"/api/core/probe/{right.text}\"", "right.text is repeated, a message, or in a oneof"),
        ("get: \"/api/core/probe/{inners.text}\"", "inners.text is no field"),
        ("get: \"/api/core/probe/{nope}\"", "nope is no field"),
        ("get: \"/api/core/probe/{name=**}/x\"", "`**` must be the last segment"),
        ("get: \"/api/core/probe/x{name}\"", "a segment is malformed"),
        ("post: \"/api/core/probe/b\" body: \"list\"", "body list is repeated"),
        ("post: \"/api/core/probe/b\" body: \"map\"", "body map is repeated, a map"),
        ("post: \"/api/core/probe/b\" body: \"right\"", "body right is repeated, a map, in a oneof"),
        ("post: \"/api/core/probe/b\" body: \"nope\"", "body nope is no field"),
        ("get: \"/api/core/probe/r\" response_body: \"inners\"", "response_body inners is repeated"),
        ("body: \"*\"", "a rule has no path"),
    ];
    for (rule, fault) in table {
        let message = refused(schema(&method("One", unary, rule, "")), Config::default());
        assert!(message.contains("/mozaiks.probe.v1.Broken/One: ") && message.contains(fault), "{rule}: {message}");
    }
}

#[test]
fn one_path_and_verb_has_one_rule_and_streams_have_none() {
    let unary = ("Ask", "Ask");
    let double = [
        method("One", unary, "get: \"/api/core/probe/{name}\"", ""),
        method("Two", unary, "get: \"/api/core/probe/{left=*}\" ", "").replace("left", "name"),
    ];
    assert!(
        refused(schema(&double.concat()), Config::default())
            .contains("Two: GET /api/core/probe/{name=*} is also /api/core/probe/{name} of /mozaiks.probe.v1.Broken/One")
    );
    for types in [("stream Ask", "Ask"), ("Ask", "stream Ask")] {
        let message = refused(schema(&method("One", types, "get: \"/api/core/probe/s\"", "")), Config::default());
        assert!(message.contains("streams are not offered over REST"), "{message}");
    }
}

#[test]
fn all_faults_come_at_once() {
    let methods = [
        method("One", ("Ask", "Ask"), "get: \"/x\" additional_bindings { get: \"/y\" }", ""),
        method("Two", ("Ask", "Ask"), "", "session_cookie: { ask: \"count\" }"),
        method("Three", ("Ask", "Ask"), "", "session_cookie: { ask: \"inner.text\" }"),
        method("Four", ("Ask", "stream Ask"), "", "session_cookie: { clear: true }"),
    ];
    let message = refused(schema(&methods.concat()), Config { public_origins: vec!["*".into()], ..Config::default() });
    for fault in [
        "GET /x: ",
        "GET /y: ",
        "Two: session_cookie names no text field",
        "Three: session_cookie names a field below",
        "Four: session_cookie stands on a stream",
        "public_origins: * is not",
    ] {
        assert!(message.contains(fault), "{fault} in {message}");
    }
    assert_eq!(message.lines().count(), 6);
}
