//! Who may import whom: the table of the house, read against every crate's Cargo.toml, and the words that stand for an import.

use toml::{Table, Value};

use crate::source::{Fault, Source, fail_on, hold, lines_of, tree};

/// Crate, and what it may import from the workspace.
const MAY_IMPORT: [(&str, &[&str]); 13] = [
    ("kernel", &[]),
    ("api", &[]),
    ("storage", &["kernel"]),
    ("events", &["kernel", "storage"]),
    ("rpc", &["kernel", "api"]),
    ("identity", SERVICE),
    ("billing", SERVICE),
    ("insights", SERVICE),
    ("plugins", SERVICE),
    ("ai", SERVICE),
    ("gateway", &["kernel", "api", "rpc"]),
    ("fuzz", &["gateway"]),
    ("node", &["kernel", "api", "storage", "events", "rpc", "identity", "billing", "insights", "plugins", "ai", "gateway"]),
];
const SERVICE: &[&str] = &["kernel", "api", "rpc", "storage", "events"];

/// Package, and the crates that alone may use it, tests and builds aside.
const ALONE: [(&str, &[&str]); 29] = [
    // The gateway reads the details of a failure to spell them in JSON: docs/decisions/0005.
    ("tonic-types", &["kernel", "gateway"]),
    ("uuid", &["kernel"]),
    ("pbjson", &["api"]),
    ("rusqlite", &["storage"]),
    ("mongodb", &["storage"]),
    ("lapin", &["events"]),
    // What a peer says of a stream that it refused unread.
    ("h2", &["rpc"]),
    ("hyper", &["rpc"]),
    ("hyper-util", &["rpc"]),
    ("rustls", &["rpc"]),
    ("governor", &["rpc"]),
    ("tracing-subscriber", &["rpc"]),
    ("tonic-reflection", &["rpc"]),
    ("tonic-health", &["rpc"]),
    // The gateway turns JSON into messages and back: docs/decisions/0005.
    ("prost-reflect", &["rpc", "gateway"]),
    ("jsonwebtoken", &["rpc", "identity"]),
    ("argon2", &["identity"]),
    ("ed25519-dalek", &["identity"]),
    ("arrow", &["insights"]),
    ("parquet", &["insights"]),
    ("wasmtime", &["plugins"]),
    ("reqwest", &["ai"]),
    ("rmcp", &["ai"]),
    ("axum", &["gateway"]),
    ("rust-embed", &["gateway"]),
    ("tonic-web", &["gateway"]),
    ("libfuzzer-sys", &["fuzz"]),
    ("clap", &["node"]),
    ("notify", &["node"]),
];
/// Packages that only builds may use.
const BUILD_ONLY: [&str; 3] = ["protox", "tonic-prost-build", "pbjson-build"];

/// A word of code, and the folders in which alone it may stand.
const WORDS: [(&str, &[&str], &str); 12] = [
    ("DESCRIPTORS", &["services/node/", "crates/api/"], "only node reads the descriptors; others are given a Schema"),
    ("Cx::verified", &["crates/rpc/src/", "crates/kernel/"], "only auth makes the context of a verified caller"),
    ("Cx::anonymous", &["crates/rpc/src/", "crates/kernel/"], "only auth makes the context of an anonymous call"),
    (".entering()", &["crates/rpc/src/", "crates/kernel/"], "only access lets a context enter other tenants"),
    (".pass_on(", &["gateway/", "crates/rpc/src/"], "an Edge is called through a context; the gateway alone has the raw form"),
    (".raw()", &[], "an Edge is called through a context; the gateway alone has the raw form"),
    ("tokio::signal", &["services/node/"], "only node listens to signals"),
    (".adopting(", &["crates/rpc/src/schema.rs"], "only tests serve packages that are not ours"),
    ("Across::granted", &["services/node/", "crates/storage/"], "only node reaches across tenants"),
    ("env::var", &["services/node/", "crates/api/build.rs", "gateway/build.rs"], "only node reads the environment"),
    ("env::args", &["services/node/"], "only node reads arguments"),
    ("Sqlite", &["services/node/", "crates/storage/"], "only node names an engine"),
];
/// What rules of a domain must not know.
const DOMAIN_KNOWS_NOT: [&str; 5] = ["tokio::", "tonic::", "storage::", "api::", "rpc::"];

fn manifest(source: &Source) -> Option<Table> {
    let is_crate = source.path.ends_with("/Cargo.toml");
    is_crate.then(|| source.text.parse::<Table>().unwrap_or_else(|error| panic!("{}: {error}", source.path)))
}

/// Names of the packages that a crate links, tests aside; also those for one platform alone.
fn dependencies(manifest: &Table, section: &str) -> Vec<String> {
    let mut tables: Vec<&Value> = manifest.get(section).into_iter().collect();
    if let Some(targets) = manifest.get("target").and_then(Value::as_table) {
        tables.extend(targets.values().filter_map(|target| target.get(section)));
    }
    let entries = tables.into_iter().filter_map(Value::as_table).flatten();
    entries.map(|(name, entry)| entry.get("package").and_then(Value::as_str).unwrap_or(name).to_owned()).collect()
}

fn faulty_imports(source: &Source) -> Vec<Fault> {
    let Some(manifest) = manifest(source) else { return Vec::new() };
    let name = manifest["package"]["name"].as_str().unwrap_or_default();
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(of, _)| *of == name) else {
        return vec![(1, format!("crate {name} has no row in the import table"))];
    };
    let is_ours = |package: &str| MAY_IMPORT.iter().any(|(of, _)| *of == package);
    let mut faults = Vec::new();
    for package in dependencies(&manifest, "dependencies").iter().chain(&dependencies(&manifest, "build-dependencies")) {
        if is_ours(package) && !allowed.contains(&package.as_str()) {
            faults.push(format!("{name} must not import {package}"));
        }
    }
    for package in dependencies(&manifest, "dependencies") {
        if let Some((_, alone)) = ALONE.iter().find(|(of, _)| *of == package)
            && !alone.contains(&name)
        {
            faults.push(format!("{name} must not use {package}: that is for {} alone", alone.join(" and ")));
        }
        if BUILD_ONLY.contains(&package.as_str()) {
            faults.push(format!("{package} is for builds alone"));
        }
    }
    faults.into_iter().map(|fault| (1, fault)).collect()
}

fn misplaced_words(source: &Source) -> Vec<Fault> {
    if !source.is_rust() {
        return Vec::new();
    }
    let misplaced = WORDS.iter().filter(|(_, folders, _)| !source.is_under(folders));
    misplaced.flat_map(|(word, _, why)| source.production_words(word, why)).collect()
}

fn worldly_domain(source: &Source) -> Vec<Fault> {
    if !source.is_rust() || !source.path.starts_with("services/") || !source.path.contains("/src/domain") {
        return Vec::new();
    }
    let why = "rules of a domain know nothing of it";
    DOMAIN_KNOWS_NOT.iter().flat_map(|word| source.production_words(word, why)).collect()
}

#[test]
fn crates_import_what_the_table_allows() {
    hold("who may import whom (house 4)", faulty_imports);
    let storage = "[package]\nname = \"storage\"\n[dependencies]\nkernel.workspace = true\n";
    assert!(lines_of(faulty_imports, "crates/storage/Cargo.toml", storage).is_empty());
    for wrong in [
        "rpc.workspace = true\n",
        "hyper = \"1\"\n",
        "x = { package = \"rusqlite\", version = \"1\" }\nprotox = \"1\"\n",
        "[target.'cfg(unix)'.dependencies]\nclap = \"4\"\n",
    ] {
        assert!(!lines_of(faulty_imports, "crates/storage/Cargo.toml", &format!("{storage}{wrong}")).is_empty(), "{wrong}");
    }
    assert!(lines_of(faulty_imports, "crates/storage/Cargo.toml", &format!("{storage}[dev-dependencies]\nhyper = \"1\"\n")).is_empty());
    assert_eq!(lines_of(faulty_imports, "crates/new/Cargo.toml", "[package]\nname = \"new\"\n"), [1]);
}

#[test]
fn words_of_one_place_stand_there_alone() {
    hold("what only one crate may say (house 4, 6)", misplaced_words);
    let code = "//! x\nfn a() { api::DESCRIPTORS; Cx::verified(b); edge.raw(); }\n#[cfg(test)]\nmod tests { use api::DESCRIPTORS; }\n";
    assert_eq!(lines_of(misplaced_words, "services/identity/src/a.rs", code), [2, 2, 2]);
    assert!(lines_of(misplaced_words, "services/identity/tests/a.rs", code).is_empty());
}

#[test]
fn domains_know_no_world() {
    hold("`domain/` knows no tonic, tokio, storage, api or rpc (house 4)", worldly_domain);
    assert_eq!(lines_of(worldly_domain, "services/identity/src/domain/a.rs", "use kernel::Time;\nuse tonic::Status;\n"), [2]);
}

#[test]
fn a_proto_service_is_one_file() {
    let mut faults = Vec::new();
    for proto in tree().iter().filter(|source| source.path.starts_with("proto/mozaiks/") && source.text.contains("\nservice ")) {
        let mut segments = proto.path.split('/').skip(2);
        let (area, file) =
            (segments.next().unwrap_or_default(), proto.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".proto"));
        let services = proto.text.matches("\nservice ").count();
        let (file, folder) = (format!("services/{area}/src/{file}.rs"), format!("services/{area}/src/{file}/"));
        if services != 1 || !tree().iter().any(|source| source.path == file || source.path.starts_with(&folder)) {
            faults.push(format!("{}: {services} services, and {file} should hold the one", proto.path));
        }
    }
    fail_on("one proto service a resource, one Rust file a proto service (house 1)", &faults);
}
