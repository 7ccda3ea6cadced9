//! What documents point at exists: links, paths of the tree, the tests that hold the invariants, the settings.

use std::collections::BTreeSet;
use std::path::Path;

use crate::source::{Fault, Source, fail_on, file, hold, lines_of, root, tree};

const ARCHITECTURE: &str = "docs/ARCHITECTURE.md";
const ARCHITECTURE_LINES: usize = 250;
/// First words of resource names and media types, which look like paths.
const NO_FOLDERS: [&str; 5] = ["application", "apps", "grpc-web", "mozaiks.identity.v1", "text"];
/// Types of the configuration that hold settings and are none.
const GROUPS: [&str; 6] = ["Events", "Gateway", "Listen", "Peers", "Store", "identity::Config"];
/// Made by a build, so absent from a fresh clone.
const BUILT: [&str; 7] =
    [".mozaiks", "clients/typescript/dist", "clients/typescript/gen", "gateway/fuzz/finds", "node_modules", "runtime/dist", "target"];

fn is_document(source: &Source) -> bool {
    source.path == "README.md" || (source.path.starts_with("docs/") && source.path.ends_with(".md"))
}

/// Lines outside of fenced code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(number, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((number + 1, line))
    })
}

fn broken_links(source: &Source) -> Vec<Fault> {
    if !is_document(source) {
        return Vec::new();
    }
    let folder = Path::new(&source.path).parent().unwrap_or(Path::new(""));
    let mut faults = Vec::new();
    for (number, line) in prose(&source.text) {
        for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            let elsewhere = path.is_empty() || path.starts_with("https://");
            if !elsewhere && !root().join(folder).join(path).exists() {
                faults.push((number, format!("the link to {target} leads nowhere")));
            }
        }
    }
    faults
}

fn absent_paths(source: &Source) -> Vec<Fault> {
    if !is_document(source) {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (number, line) in prose(&source.text) {
        for span in line.split('`').skip(1).step_by(2).filter(|span| is_path(span)) {
            let path = span.trim_start_matches("./").split(':').next().unwrap_or_default();
            let built = BUILT.iter().any(|built| path.starts_with(built));
            if !built && !root().join(path).exists() {
                faults.push((number, format!("{span} does not exist")));
            }
        }
    }
    faults
}

fn is_path(span: &str) -> bool {
    let plain = span.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./:".contains(&byte));
    plain
        && span.contains('/')
        && !span.starts_with('/')
        && !span.contains("//")
        && !NO_FOLDERS.contains(&span.split('/').next().unwrap_or_default())
}

/// Rows of the invariants name their tests as `path:name`: a function in Rust, a quoted title elsewhere.
fn absent_tests(source: &Source) -> Vec<Fault> {
    if source.path != ARCHITECTURE {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (number, line) in invariants(&source.text) {
        let cell = line.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let mut named = 0;
        for (path, name) in cell.split('`').skip(1).step_by(2).filter_map(|span| span.split_once(':')) {
            named += 1;
            let found = tree().iter().find(|file| file.path == path).is_some_and(|file| holds_test(file, name));
            if !found {
                faults.push((number, format!("there is no test `{name}` in {path}")));
            }
        }
        if named == 0 {
            faults.push((number, "an invariant names the test that holds it, as `path:name`".to_owned()));
        }
    }
    faults
}

/// The rows of the table under `## Invariants`, its head aside.
fn invariants(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let section =
        text.lines().enumerate().skip_while(|(_, line)| *line != "## Invariants").skip(1).take_while(|(_, line)| !line.starts_with("## "));
    section.filter(|(_, line)| line.starts_with('|')).skip(2).map(|(number, line)| (number + 1, line))
}

fn holds_test(file: &Source, name: &str) -> bool {
    if file.is_rust() {
        return file.code.contains(&format!("fn {name}("));
    }
    ["'", "\"", "`"].iter().any(|quote| file.text.contains(&format!("{quote}{name}{quote}")))
}

#[test]
fn links_lead_somewhere() {
    hold("links of documents lead somewhere", broken_links);
    let text = "[a](nowhere.md) [b](decisions#x) [c](https://example.com)\n```\n[d](nowhere.md)\n```\n";
    assert_eq!(lines_of(broken_links, "docs/a.md", text), [1]);
}

#[test]
fn paths_in_documents_exist() {
    hold("paths that documents mention exist", absent_paths);
    let text = "`crates/nowhere.rs` `crates/kernel/` `./scripts/none.sh` `apps/a` `/api/b` `a b/c`\n`runtime/dist/x`\n";
    assert_eq!(lines_of(absent_paths, "README.md", text), [1, 1]);
}

#[test]
fn invariants_are_held_by_tests() {
    hold("every invariant names a test that exists (house 12)", absent_tests);
    let row = |test: &str| format!("## Invariants\n| what | test |\n|---|---|\n| x | {test} |\n");
    let ours = "`services/node/tests/tidy/documents.rs:invariants_are_held_by_tests`";
    assert!(lines_of(absent_tests, ARCHITECTURE, &row(ours)).is_empty());
    assert_eq!(lines_of(absent_tests, ARCHITECTURE, &row(&ours.replace("held", "hold"))), [4]);
    assert_eq!(lines_of(absent_tests, ARCHITECTURE, &row("by hand")), [4]);
    assert!(invariants(&file(ARCHITECTURE).text).count() >= 10, "the table of invariants was not found");
}

#[test]
fn the_architecture_can_be_read_in_one_go() {
    let lines = file(ARCHITECTURE).text.lines().count();
    assert!(lines <= ARCHITECTURE_LINES, "{ARCHITECTURE} has {lines} lines, at most {ARCHITECTURE_LINES} (house 12)");
}

#[test]
fn the_example_names_every_setting() {
    let example: BTreeSet<String> = file(".env.example").text.lines().filter_map(setting_in_example).collect();
    let declared: BTreeSet<String> = [("services/node/src/config.rs", "pub(crate) "), ("services/identity/src/config.rs", "pub ")]
        .into_iter()
        .flat_map(|(path, public)| settings(&file(path).text, public))
        .collect();
    let faults: Vec<String> = example.symmetric_difference(&declared).map(|name| format!("`{name}` is in one alone")).collect();
    fail_on(".env.example names the settings that the configuration has", &faults);
    assert!(declared.len() > 10, "the settings were not found: {declared:?}");
}

/// The last part of `MOZAIKS_LISTEN__GATEWAY=…`, in lower case.
fn setting_in_example(line: &str) -> Option<String> {
    let (name, _) = line.strip_prefix("MOZAIKS_")?.split_once('=')?;
    Some(name.rsplit("__").next().unwrap_or(name).to_lowercase())
}

/// Fields of the configuration's structs, which stand before the first `impl`; groups of settings aside.
fn settings(text: &str, public: &str) -> Vec<String> {
    let structs = text.lines().take_while(|line| !line.starts_with("impl "));
    let fields = structs.filter_map(|line| line.strip_prefix("    ")?.strip_prefix(public)?.trim_end_matches(',').split_once(": "));
    fields.filter(|(_, kind)| !GROUPS.contains(kind)).map(|(name, _)| name.to_owned()).collect()
}
