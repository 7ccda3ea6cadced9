//! Contracts compiled from source, and what a node refuses to start on: one broken contract per refusal.

use std::path::{Path, PathBuf};

use protox::Error;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};
use rpc::Schema;

fn folder(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

struct Source(String);

impl FileResolver for Source {
    fn open_file(&self, name: &str) -> Result<File, Error> {
        if name == "broken.proto" { File::from_source(name, &self.0) } else { Err(Error::file_not_found(name)) }
    }
}

fn compile(file: &str, source: &str) -> Vec<u8> {
    let mut resolver = ChainFileResolver::new();
    resolver.add(Source(source.to_owned()));
    resolver.add(IncludeFileResolver::new(folder("tests/proto")));
    resolver.add(IncludeFileResolver::new(folder("../../proto")));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file(file).unwrap();
    compiler.encode_file_descriptor_set()
}

pub(crate) fn sample() -> Schema {
    Schema::read(&compile("mozaiks/sample/v1/notes.proto", "")).unwrap()
}

const GOOD: &str = r#"plane: PLANE_APP caller: CALLER_SUBJECT permission: "x.read" tenancy: TENANCY_NAME"#;
const NAMED: &str = r#"string name = 1 [(google.api.resource_reference) = {type: "App"}];"#;

struct Contract<'a> {
    package: &'a str,
    access: Option<&'a str>,
    more: &'a str,
    fields: &'a str,
    pattern: &'a str,
}

impl Default for Contract<'_> {
    fn default() -> Self {
        Self { package: "mozaiks.broken.v1", access: Some(GOOD), more: "", fields: NAMED, pattern: "apps/{app}" }
    }
}

impl Contract<'_> {
    fn faults(&self) -> Vec<String> {
        let access = self.access.map(|access| format!("option (mozaiks.options.v1.access) = {{{access}}};")).unwrap_or_default();
        let source = format!(
            r#"syntax = "proto3"; package {}; import "google/api/field_behavior.proto"; import "google/api/resource.proto";
            import "mozaiks/options/v1/access.proto"; import "mozaiks/options/v1/field.proto";
            service S {{ rpc M(Ask) returns (Answer) {{ {access} {} }} }}
            message App {{ option (google.api.resource) = {{type: "App" pattern: "{}"}}; string name = 1; }}
            message Ask {{ {} }} message Answer {{}}"#,
            self.package, self.more, self.pattern, self.fields
        );
        Schema::read(&compile("broken.proto", &source)).err().unwrap_or_default()
    }
}

fn with_access(access: &str) -> Vec<String> {
    Contract { access: Some(access), ..Contract::default() }.faults()
}

fn with_fields(fields: &str) -> Vec<String> {
    Contract { fields, ..Contract::default() }.faults()
}

#[test]
fn whole_contracts_are_read() {
    assert_eq!(Contract::default().faults(), [""; 0]);
    let real = Schema::read(api::DESCRIPTORS).unwrap();
    let me = real.method("/mozaiks.identity.v1.MeService/UpdateMe").unwrap();
    let names: Vec<_> = me.names.iter().map(|name| (name.field.as_str(), name.path.as_slice())).collect();
    assert_eq!(names, [("name", &[1][..]), ("user.name", &[2, 1])]);
    assert_eq!((&*me.area, me.call.max_request_bytes), ("identity", 1 << 20));
    assert!(real.methods().all(|method| method.access.is_some()));
}

#[test]
fn each_broken_rule_is_named_with_its_method() {
    let cases = [
        (Contract { access: None, ..Contract::default() }.faults(), "no access option"),
        (with_access(&GOOD.replace("plane: PLANE_APP", "")), "plane is unspecified"),
        (with_access(&GOOD.replace("caller: CALLER_SUBJECT", "")), "caller is unspecified"),
        (with_access(&GOOD.replace("tenancy: TENANCY_NAME", "")), "tenancy is unspecified"),
        (with_access(&GOOD.replace(r#"permission: "x.read""#, "")), "permission is empty"),
        (with_access(&format!("{GOOD} test_apps_only: true")), "test_apps_only is not enforced yet"),
        (with_access(&GOOD.replace("CALLER_SUBJECT", "CALLER_ANYONE")), "only the PUBLIC plane is open to anyone"),
        (with_access("plane: PLANE_PUBLIC caller: CALLER_PROOF tenancy: TENANCY_CREATES"), "the rule needs a caller, but anyone may call"),
        (with_access(&GOOD.replace("TENANCY_NAME", "TENANCY_CALLER")), "tenancy CALLER, but the request names resources"),
        (with_access(&GOOD.replace("TENANCY_NAME", "TENANCY_INSTALLATION")), "tenancy INSTALLATION is for services and operators"),
        (with_fields(""), "tenancy NAME, but no field of the request names a resource"),
        (
            Contract {
                access: Some(&GOOD.replace(".read", ".write")),
                more: "option idempotency_level = NO_SIDE_EFFECTS;",
                ..Contract::default()
            }
            .faults(),
            "NO_SIDE_EFFECTS with a permission to write",
        ),
        (
            with_fields(&format!("{NAMED} bool sure = 2 [(google.api.field_behavior) = REQUIRED];")),
            "sure is REQUIRED and needs `optional`, its absence cannot be seen otherwise",
        ),
        (
            with_fields(&format!("{NAMED} Inner inner = 2; message Inner {{ int64 n = 1 [(google.api.field_behavior) = REQUIRED]; }}")),
            "inner.n is REQUIRED and needs `optional`, its absence cannot be seen otherwise",
        ),
        (Contract { pattern: "users/{user}", ..Contract::default() }.faults(), "name has a name pattern that does not start with apps/"),
        (with_fields(&NAMED.replace("App", "Gone")), "name refers to a resource that no message declares"),
        (with_fields(&format!("{NAMED} repeated Ask more = 2;")), "mozaiks.broken.v1.Ask holds names and contains itself"),
    ];
    for (faults, fault) in cases {
        assert_eq!(faults, [format!("/mozaiks.broken.v1.S/M: {fault}")]);
    }
}

#[test]
fn what_is_allowed_stays_allowed() {
    assert_eq!(with_fields(&format!("{NAMED} optional bool sure = 2 [(google.api.field_behavior) = REQUIRED];")), [""; 0]);
    assert_eq!(with_access("plane: PLANE_PUBLIC caller: CALLER_ANYONE tenancy: TENANCY_NAME"), [""; 0]);
    assert_eq!(with_access("plane: PLANE_PUBLIC caller: CALLER_USER within: WITHIN_SELF tenancy: TENANCY_NAME"), [""; 0]);
    assert_eq!(Contract { package: "grpc.foreign", access: None, ..Contract::default() }.faults(), [""; 0]);
}

#[test]
fn all_faults_are_told_at_once() {
    assert_eq!(with_access("").len(), 4);
    assert_eq!(Schema::read(b"\xff").unwrap_err().len(), 1);
}
