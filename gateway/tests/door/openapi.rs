//! The description of the REST side: what stands in it, how it is served, and that the snapshot is today's.

use std::path::Path;
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::peer::{Door, SCHEMA};

static DESCRIBED: LazyLock<Value> = LazyLock::new(|| gateway::openapi(&SCHEMA).unwrap());

fn operation(path: &str, verb: &str) -> &'static Value {
    let operation = &DESCRIBED["paths"][path][verb];
    assert!(
        operation.is_object(),
        "{verb} {path} is not described: {:?}",
        DESCRIBED["paths"].as_object().unwrap().keys().collect::<Vec<_>>()
    );
    operation
}

fn parameters(operation: &Value) -> Vec<String> {
    let name = |parameter: &Value| {
        let reference = parameter["$ref"].as_str().map(|path| path.rsplit('/').next().unwrap());
        reference.or(parameter["name"].as_str()).unwrap().to_owned()
    };
    operation["parameters"].as_array().unwrap().iter().map(name).collect()
}

#[test]
fn an_operation_says_what_its_rule_takes_and_gives() {
    let get = operation("/api/core/probe/apps/{app}/things/{thing}", "get");
    assert_eq!(
        (&get["operationId"], &get["summary"], &get["security"]),
        (&json!("ThingsService_GetThing"), &json!("Reads one"), &json!([]))
    );
    let expected = [
        "app",
        "thing",
        "count",
        "tags",
        "kind",
        "filter.depth",
        "filter.ownerName",
        "readMask",
        "since",
        "wait",
        "cursor",
        "deep",
        "left",
        "right",
        "limit",
        "ratio",
        "big",
        "IfNoneMatch",
    ];
    assert_eq!(parameters(get), expected);
    assert_eq!(get["responses"]["200"]["content"]["application/json"]["schema"], json!({ "$ref": "#/components/schemas/probe.v1.Thing" }));
    assert!(get["responses"]["304"].is_object() && get["responses"]["200"]["headers"]["ETag"].is_object());
    let schemas: Vec<&Value> = get["parameters"].as_array().unwrap().iter().map(|parameter| &parameter["schema"]).collect();
    assert_eq!((schemas[0], &schemas[2]["type"]), (&json!({ "type": "string", "pattern": "^[A-Za-z0-9._~-]+$" }), &json!("integer")));
    assert_eq!(get["responses"]["default"], json!({ "$ref": "#/components/responses/Error" }));

    let create = operation("/api/core/probe/apps/{app}/things", "post");
    assert_eq!(parameters(create), ["app", "thingId", "requestId", "IdempotencyKey"]);
    assert!(create["responses"]["200"]["headers"]["Location"].is_object());
    let suspend = operation("/api/core/probe/apps/{app}/things/{thing}:suspend", "post");
    assert_eq!(parameters(suspend), ["app", "thing", "IfMatch", "IdempotencyKey"]);
    let body = &suspend["requestBody"]["content"]["application/json"]["schema"]["properties"];
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["etag", "reason", "requestId"], "the path has the name");
    for closed in [create, suspend] {
        assert_eq!(closed["requestBody"]["content"]["application/json"]["schema"]["unevaluatedProperties"], false);
    }
    assert!(operation("/api/core/probe/apps/{app}/things/{thing}/file", "post")["requestBody"]["content"]["*/*"].is_object());
    assert_eq!(operation("/api/core/probe/byCount/{count}", "get")["operationId"], "ThingsService_GetThing_2");
}

#[test]
fn access_and_stability_are_told() {
    let app = operation("/api/core/identity/apps/{app}", "get");
    assert_eq!((&app["security"], &app["x-mozaiks-permission"]), (&json!([{ "bearer": [] }]), &json!("identity.apps.read")));
    let old = operation("/api/core/probe/old/apps/{app}/things/{thing}", "get");
    let expected =
        json!([true, "stable", "2026-07-01", "2027-07-01", "mozaiks.probe.v1.ThingsService.GetThing", ["NOT_FOUND", "ETAG_STALE"]]);
    let keys = [
        "deprecated",
        "x-mozaiks-stability",
        "x-mozaiks-deprecated-since",
        "x-mozaiks-sunset",
        "x-mozaiks-replacement",
        "x-mozaiks-reasons",
    ];
    assert_eq!(json!(keys.map(|key| &old[key])), expected);
    assert!(operation("/api/core/probe/byCount/{count}", "get").get("deprecated").is_none());
}

#[test]
fn fields_say_how_they_behave() {
    let app = &DESCRIBED["components"]["schemas"]["identity.v1.App"];
    assert!(app["required"].as_array().unwrap().contains(&json!("displayName")));
    assert_eq!(app["properties"]["createTime"]["readOnly"], true);
    assert_eq!(app["properties"]["createTime"]["format"], "date-time");
    assert_eq!(app["properties"]["mode"]["x-mozaiks-immutable"], true);
    assert!(
        DESCRIBED["components"]["schemas"]["identity.v1.AppMode"]["description"].as_str().unwrap().contains("`APP_MODE_TEST`: For trying")
    );
    let patch = &operation("/api/core/identity/apps/{app}", "patch")["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(patch.get("required"), None, "a change leaves out what stays");
}

#[test]
fn what_is_routed_is_described_and_nothing_else() {
    let rules = gateway::rules(&SCHEMA).unwrap();
    let is_public = |rule: &&gateway::Rule| rule.method.access.as_ref().unwrap().plane != 3;
    let described: usize = DESCRIBED["paths"].as_object().unwrap().values().map(|item| item.as_object().unwrap().len()).sum();
    assert_eq!(described, rules.iter().filter(is_public).count());
    let text = DESCRIBED.to_string();
    assert!(!text.contains("ThingsService_Operate") && !text.contains("ListAllApps") && !text.contains("\"operator."));
    let references = text.split("\"$ref\":\"#/").skip(1).map(|rest| rest.split('"').next().unwrap());
    for reference in references {
        assert!(DESCRIBED.pointer(&format!("/{reference}")).is_some(), "{reference} leads nowhere");
    }
}

#[tokio::test]
async fn the_description_is_served_with_its_version() {
    let door = Door::open();
    let told = door.rest("GET /api/core/openapi.json", &[], "").await;
    assert_eq!((told.status, told.header("content-type"), &told.json()), (200, Some("application/json"), &*DESCRIBED));
    let etag = told.header("etag").unwrap();
    let again = door.rest("GET /api/core/openapi.json", &[("if-none-match", etag)], "").await;
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(etag)));
    assert_eq!(door.rest("HEAD /api/core/openapi.json", &[], "").await.status, 200);
    assert_eq!(door.rest("POST /api/core/openapi.json", &[], "{}").await.status, 404);
}

#[test]
fn the_snapshot_is_todays_description() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut compiler = protox::Compiler::new([root.join("proto")]).unwrap();
    compiler.include_imports(true).include_source_info(true);
    let mut folders = vec![root.join("proto/mozaiks")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                compiler.open_file(path.strip_prefix(root.join("proto")).unwrap()).unwrap();
            }
        }
    }
    let today = gateway::openapi(&rpc::Schema::read(&compiler.encode_file_descriptor_set()).unwrap()).unwrap();
    let kept = std::fs::read_to_string(root.join("docs/architecture/openapi.json")).unwrap_or_default();
    let is_kept = serde_json::from_str::<Value>(&kept).is_ok_and(|kept| kept == today);
    let beside = Path::new(env!("CARGO_TARGET_TMPDIR")).join("openapi.json");
    std::fs::write(&beside, format!("{today:#}\n")).unwrap();
    assert!(
        is_kept,
        "the REST side has changed; review the difference after: cargo run -p node -- openapi > docs/architecture/openapi.json (the same text is in {})",
        beside.display()
    );
}
