//! The comparison, proved: one change of a small contract for every promise, and the changes that break none.

use std::path::Path;

use prost_reflect::DescriptorPool;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};

use crate::diff;

const SAMPLE: &str = r#"
syntax = "proto3";
package mozaiks.sample.v1;
import "google/api/annotations.proto";
import "google/api/field_behavior.proto";
import "google/api/resource.proto";
import "mozaiks/options/v1/access.proto";
import "mozaiks/options/v1/call.proto";
import "mozaiks/options/v1/stability.proto";

service NotesService {
  rpc GetNote(GetNoteRequest) returns (GetNoteResponse) {
    option (google.api.http) = {
      get: "/api/core/sample/{name=apps/*/notes/*}" response_body: "note"
      additional_bindings { get: "/api/core/sample/old/{name=apps/*/notes/*}" response_body: "note" }
    };
    option (mozaiks.options.v1.access) = {
      plane: PLANE_APP caller: CALLER_USER permission: "sample.notes.read" within: WITHIN_TEAM tenancy: TENANCY_NAME
      max_auth_age_seconds: 900 min_aal: 2 fresh: true test_apps_only: true
    };
    option (mozaiks.options.v1.call) = {
      deadline_milliseconds: 5000 max_deadline_milliseconds: 9000 stream_lifetime_seconds: 60 max_request_bytes: 2000 max_answer_bytes: 3000
    };
  }
  rpc PutNote(PutNoteRequest) returns (GetNoteResponse) {
    option (google.api.http) = { custom { kind: "REPORT" path: "/api/core/sample/report" } body: "note" };
  }
}
message GetNoteRequest { string name = 1 [(google.api.field_behavior) = REQUIRED]; string view = 2; }
message PutNoteRequest { Note note = 1; }
message GetNoteResponse { Note note = 1; }
message Note {
  option (google.api.resource) = { type: "core.mozaiks.dev/Note" pattern: "apps/{app}/notes/{note}" };
  string name = 1 [(google.api.field_behavior) = IDENTIFIER];
  string text = 2;
}
"#;

/// The sample and the options, with one text in one file replaced by another.
struct Edited<'a>(&'a str, &'a str, &'a str);

impl FileResolver for Edited<'_> {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let text = match name {
            "sample.proto" => SAMPLE.to_owned(),
            name if name.starts_with("mozaiks/options/") => std::fs::read_to_string(protos().join(name)).unwrap(),
            _ => return Err(protox::Error::file_not_found(name)),
        };
        let Self(file, from, to) = self;
        assert!(*file != name || text.contains(from), "{name} has no {from}");
        File::from_source(name, &if *file == name { text.replace(from, to) } else { text })
    }
}

fn protos() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto")
}

fn image(file: &'static str, from: &'static str, to: &'static str) -> DescriptorPool {
    let mut resolver = ChainFileResolver::new();
    resolver.add(Edited(file, from, to));
    resolver.add(IncludeFileResolver::new(protos()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file("sample.proto").unwrap();
    DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).unwrap()
}

fn sample(from: &'static str, to: &'static str) -> DescriptorPool {
    image("sample.proto", from, to)
}

const GET: &str = "mozaiks.sample.v1.NotesService.GetNote";

#[test]
fn every_broken_promise_is_named() {
    let released = sample("", "");
    let table = [
        ("get: \"/api/core/sample/{", "get: \"/api/core/sample/moved/{", "is not at GET /api/core/sample/{name=apps/*/notes/*} any more"),
        ("get: \"/api/core/sample/{", "post: \"/api/core/sample/{", "is not at GET /api/core/sample/{name=apps/*/notes/*} any more"),
        ("sample/old/", "sample/older/", "is not at GET /api/core/sample/old/{name=apps/*/notes/*} any more"),
        ("notes/*}\" response_body: \"note\"\n", "notes/*}\"\n", "has other bodies at GET /api/core/sample/{name=apps/*/notes/*}"),
        ("plane: PLANE_APP", "plane: PLANE_PUBLIC", "has another plane: `App` became `Public`"),
        ("caller: CALLER_USER", "caller: CALLER_ANYONE", "has another caller: `User` became `Anyone`"),
        ("\"sample.notes.read\"", "\"sample.read\"", "has another permission: `sample.notes.read` became `sample.read`"),
        ("\"sample.notes.read\"", "\"\"", "has another permission: `sample.notes.read` became ``"),
        ("within: WITHIN_TEAM", "within: WITHIN_SELF", "has another within: `Team` became `Self_`"),
        ("tenancy: TENANCY_NAME", "tenancy: TENANCY_SECRET", "has another tenancy: `Name` became `Secret`"),
        ("max_auth_age_seconds: 900", "max_auth_age_seconds: 901", "asks for less assurance: max_auth_age_seconds"),
        ("max_auth_age_seconds: 900", "", "asks for less assurance: max_auth_age_seconds"),
        ("min_aal: 2", "min_aal: 1", "asks for less assurance: min_aal"),
        ("fresh: true", "", "asks for less assurance: fresh"),
        ("test_apps_only: true", "", "asks for less assurance: test_apps_only"),
        (" deadline_milliseconds: 5000", " deadline_milliseconds: 4999", "has a lower deadline_milliseconds: 5000 became 4999"),
        ("max_deadline_milliseconds: 9000", "max_deadline_milliseconds: 1", "has a lower max_deadline_milliseconds: 9000 became 1"),
        ("stream_lifetime_seconds: 60", "stream_lifetime_seconds: 59", "has a lower stream_lifetime_seconds: 60 became 59"),
        ("max_request_bytes: 2000", "max_request_bytes: 1999", "has a lower max_request_bytes: 2000 became 1999"),
        ("max_answer_bytes: 3000", "max_answer_bytes: 2999", "has a lower max_answer_bytes: 3000 became 2999"),
        ("rpc GetNote(", "rpc ReadNote(", "is gone"),
    ];
    for (from, to, fault) in table {
        assert_eq!(diff::broken(&released, &sample(from, to)), [format!("{GET} {fault}")], "{from} became {to}");
    }
    let custom = diff::broken(&released, &sample("sample/report", "sample/reports"));
    assert_eq!(custom, ["mozaiks.sample.v1.NotesService.PutNote is not at REPORT /api/core/sample/report any more"]);
}

#[test]
fn messages_keep_their_promises_too() {
    let released = sample("", "");
    let table = [
        ("string view = 2;", "string view = 2 [(google.api.field_behavior) = REQUIRED];", "GetNoteRequest requires view now"),
        (
            "string view = 2;",
            "string view = 2; string more = 3 [(google.api.field_behavior) = REQUIRED];",
            "GetNoteRequest requires more now",
        ),
        ("/notes/{note}", "/memos/{note}", "Note has other names: apps/{app}/notes/{note} became apps/{app}/memos/{note}"),
        (
            "pattern: \"apps",
            "pattern: \"teams/{team}\" pattern: \"apps",
            "Note has other names: apps/{app}/notes/{note} became teams/{team}, apps/{app}/notes/{note}",
        ),
        ("mozaiks.dev/Note", "mozaiks.dev/Memo", "Note is another resource: core.mozaiks.dev/Note became core.mozaiks.dev/Memo"),
    ];
    for (from, to, fault) in table {
        assert_eq!(diff::broken(&released, &sample(from, to)), [format!("mozaiks.sample.v1.{fault}")], "{from} became {to}");
    }
    let moved = image("mozaiks/options/v1/call.proto", "Call call = 51701", "Call call = 51799");
    assert!(diff::broken(&released, &moved).contains(&"mozaiks.options.v1.call had the number 51701 and has Some(51799)".to_owned()));
}

#[test]
fn more_than_was_promised_is_fine() {
    let released = sample("", "");
    let table = [
        ("additional_bindings {", "additional_bindings { get: \"/api/core/sample/new\" } additional_bindings {"),
        ("max_auth_age_seconds: 900", "max_auth_age_seconds: 60"),
        ("min_aal: 2", "min_aal: 3"),
        (" deadline_milliseconds: 5000", ""),
        ("max_request_bytes: 2000", "max_request_bytes: 2001"),
        ("max_answer_bytes: 3000", ""),
        ("string view = 2;", "string view = 2; string more = 3;"),
        ("[(google.api.field_behavior) = REQUIRED]", ""),
        ("notes/{note}\" }", "notes/{note}\" pattern: \"apps/{app}/teams/{team}/notes/{note}\" }"),
        ("message Note {", "message More {} message Note {"),
    ];
    for (from, to) in table {
        assert_eq!(diff::broken(&released, &sample(from, to)), Vec::<String>::new(), "{from} became {to}");
    }
}

#[test]
fn unstable_packages_promise_nothing() {
    for package in ["mozaiks.sample.v1alpha", "mozaiks.sample.v1beta1"] {
        let unstable =
            sample("mozaiks.sample.v1;", if package.ends_with('a') { "mozaiks.sample.v1alpha;" } else { "mozaiks.sample.v1beta1;" });
        assert_eq!(diff::broken(&unstable, &sample("", "")), Vec::<String>::new(), "{package}");
    }
}

#[test]
fn a_deprecation_says_until_when() {
    let deprecated = |said: &'static str| diff::deprecations(&sample("rpc PutNote(PutNoteRequest) returns (GetNoteResponse) {", said));
    let endless = "rpc PutNote(PutNoteRequest) returns (GetNoteResponse) { option (mozaiks.options.v1.stability) = { deprecated_since: \"2026-07-01\" };";
    let ending = "rpc PutNote(PutNoteRequest) returns (GetNoteResponse) { option (mozaiks.options.v1.stability) = { deprecated_since: \"2026-07-01\" sunset: \"2027-07-01\" };";
    assert_eq!(deprecated(endless), ["mozaiks.sample.v1.NotesService.PutNote is deprecated without a sunset"]);
    assert_eq!(deprecated(ending), Vec::<String>::new());
    let field =
        sample("string text = 2;", "string text = 2 [(mozaiks.options.v1.field_stability) = { deprecated_since: \"2026-07-01\" }];");
    assert_eq!(diff::deprecations(&field), ["mozaiks.sample.v1.Note.text is deprecated without a sunset"]);
}
