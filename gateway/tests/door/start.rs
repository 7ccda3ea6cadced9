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
    schema_of("probe", methods)
}

fn schema_of(area: &str, methods: &str) -> Arc<Schema> {
    let area = if area.contains('.') { area.to_owned() } else { format!("{area}.v1") };
    let source = format!(
        r#"syntax = "proto3";
        package mozaiks.{area};
        import "google/api/annotations.proto";
        import "mozaiks/options/v1/access.proto";
        import "mozaiks/options/v1/stability.proto";
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

#[test]
fn paths_of_earlier_products_are_served_where_the_list_has_them() {
    let unary = ("Ask", "Ask");
    let alias = |path: &str| {
        let http = format!("post: \"/api/core/billing/x\" body: \"*\" additional_bindings {{ post: \"{path}\" body: \"*\" }}");
        method("Checkout", unary, &http, "")
    };
    let rules = gateway::rules(&schema_of("billing", &alias("/api/mozaiks/pay/checkout"))).unwrap();
    assert_eq!(rules.iter().map(|rule| rule.template.as_str()).collect::<Vec<_>>(), ["/api/core/billing/x", "/api/mozaiks/pay/checkout"]);
    for path in ["/api/mozaiks/pay/other", "/api/mozaiks/pay/checkout/{name}", "/api/insights/ingest/kpis"] {
        let faults = gateway::rules(&schema_of("billing", &alias(path))).unwrap_err();
        assert!(faults[0].contains("outside of its area"), "{faults:?}");
    }
    assert!(gateway::rules(&schema_of("insights", &alias("/api/mozaiks/pay/checkout"))).is_err());
}

#[test]
fn dates_that_are_none_are_named() {
    for (field, date) in [("deprecated_since", "soon"), ("sunset", "2026-02-30"), ("sunset", "01.07.2026")] {
        let rule = format!("option (mozaiks.options.v1.stability) = {{ {field}: \"{date}\" }};");
        let method = format!("rpc One(Ask) returns (Ask) {{ {rule} option (mozaiks.options.v1.access) = {{ {ACCESS} }}; }}");
        let message = refused(schema(&method), Config::default());
        assert!(message.contains("/mozaiks.probe.v1.Broken/One: stability has a date that is not YYYY-MM-DD"), "{message}");
    }
}

#[test]
fn later_versions_stand_behind_the_area_and_the_first_stays_bare() {
    let rule =
        |package: &str, path: &str| gateway::rules(&schema_of(package, &method("One", ("Ask", "Ask"), &format!("get: \"{path}\""), "")));
    for (package, path) in
        [("probe.v1", "/api/core/probe/x"), ("probe.v2", "/api/core/probe/v2/x"), ("probe.v1", "/api/core/probe/vx/v/{name}")]
    {
        assert!(rule(package, path).is_ok(), "{package} {path}");
    }
    for (package, path) in [
        ("probe.v1", "/api/core/probe/v1/x"),
        ("probe.v1", "/api/core/probe/v2/x"),
        ("probe.v1", "/api/core/probe/x/v2"),
        ("probe.v2", "/api/core/probe/x"),
        ("probe.v2", "/api/core/probe/v3/x"),
        ("probe.v2", "/api/core/probe/x/v2"),
        ("probe.v2", "/api/core/probe/v2/{name=v3/*}"),
    ] {
        assert!(rule(package, path).unwrap_err()[0].contains("a segment like v2"), "{package} {path}");
    }
}
