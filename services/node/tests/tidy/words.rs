//! Names and words that the tree does without: vague names, own macros, panics, leftovers, paths and hosts of one machine.

use crate::lexer;
use crate::source::{Fault, Source, file, hold, lines_of};

const VAGUE: [&str; 10] = ["base", "common", "commons", "helper", "helpers", "manager", "managers", "types", "util", "utils"];
/// Lints that production code may switch off only with a reason on the same line.
const REASONED: [&str; 6] = ["disallowed_methods", "expect_used", "panic", "too_many_arguments", "too_many_lines", "unwrap_used"];
/// The rules themselves name what they forbid.
const OURSELVES: &[&str] = &["services/node/tests/tidy"];
/// Written elsewhere, never edited here.
const VENDORED: &[&str] = &["proto/google/", "proto/grpc/"];

fn vague_names(source: &Source) -> Vec<Fault> {
    let vague = |name: &str| VAGUE.contains(&name.to_lowercase().as_str());
    let mut faults = Vec::new();
    let named = source.is_code() || source.path.ends_with("Cargo.toml") || source.path.ends_with("package.json");
    if named {
        let segments = source.path.split('/').map(|segment| segment.split('.').next().unwrap_or_default());
        faults.extend(segments.filter(|name| vague(name)).map(|name| (1, format!("`{name}` names nothing"))));
    }
    if source.is_rust() {
        for at in lexer::words(&source.code, "mod") {
            let name: String =
                source.code[at + 3..].trim_start().chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
            if vague(&name) {
                faults.push((source.line_at(at), format!("module `{name}` names nothing")));
            }
        }
    }
    faults
}

fn own_macros(source: &Source) -> Vec<Fault> {
    let found = if source.is_rust() { lexer::words(&source.code, "macro_rules!").collect() } else { Vec::new() };
    found.into_iter().map(|at| (source.line_at(at), "no own macros".to_owned())).collect()
}

fn panics(source: &Source) -> Vec<Fault> {
    if !source.is_rust() {
        return Vec::new();
    }
    let banned = [".unwrap()", ".unwrap_err()", ".expect(", ".expect_err(", "panic!", "todo!", "unimplemented!", "dbg!"];
    banned.iter().flat_map(|word| source.production_words(word, "production code answers an error")).collect()
}

fn leftovers(source: &Source) -> Vec<Fault> {
    if source.is_under(VENDORED) || source.is_under(OURSELVES) || source.path.ends_with(".lock") || source.path.ends_with(".json") {
        return Vec::new();
    }
    let places = ["TODO", "FIXME", "XXX", "HACK"].into_iter().flat_map(|word| lexer::words(&source.text, word).map(move |at| (at, word)));
    places.map(|(at, word)| (source.line_at(at), format!("`{word}`: do it, or leave it out"))).collect()
}

/// Comment lines that are code or ornament.
fn idle_comments(source: &Source) -> Vec<Fault> {
    if !source.is_code() {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (number, line) in source.text.lines().enumerate() {
        let Some(comment) = line.trim_start().strip_prefix("//").filter(|rest| !rest.starts_with(['/', '!'])) else { continue };
        let comment = comment.trim();
        let ornament = comment.len() > 3 && comment.chars().all(|letter| "=-*#~_/ ".contains(letter));
        let boxed = comment.starts_with("---") || comment.starts_with("===") || comment.starts_with("***");
        let code = comment.ends_with(';') || comment.ends_with('{') || comment == "}" || comment.ends_with(");");
        if ornament || boxed {
            faults.push((number + 1, "a banner".to_owned()));
        } else if code {
            faults.push((number + 1, "commented-out code".to_owned()));
        }
    }
    faults
}

fn silent_exceptions(source: &Source) -> Vec<Fault> {
    if !source.is_rust() {
        return Vec::new();
    }
    let lines = source.text.lines().zip(source.production.lines()).enumerate();
    let silent = lines.filter(|(_, (text, code))| {
        let allows = code.trim_start().starts_with("#[allow(") || code.trim_start().starts_with("#![allow(");
        allows && REASONED.iter().any(|lint| code.contains(lint)) && !text.contains(" // ") && !code.contains("reason =")
    });
    silent.map(|(number, _)| (number + 1, "an exception from the lints says why on its line".to_owned())).collect()
}

fn machine_traces(source: &Source) -> Vec<Fault> {
    if source.is_under(VENDORED) || source.is_under(OURSELVES) {
        return Vec::new();
    }
    let folders = ["/work/", "/home/", "/root/", "/Users/", "C:\\"].into_iter();
    let hosts = [
        "crates.io",
        "npmjs.org",
        "npmjs.com",
        "pypi.org",
        "pythonhosted.org",
        "proxy.golang.org",
        "maven.org",
        "deb.debian.org",
        "yarnpkg.com",
    ];
    let mut faults = Vec::new();
    for (number, line) in source.text.lines().enumerate() {
        // Cargo writes the registry's name for every package, wherever it came from.
        if source.path.ends_with("Cargo.lock") && line == "source = \"registry+https://github.com/rust-lang/crates.io-index\"" {
            continue;
        }
        for found in
            folders.clone().filter(|folder| begins_a_path(line, folder)).chain(hosts.into_iter().filter(|host| line.contains(host)))
        {
            faults.push((number + 1, format!("`{found}` belongs to one machine or one registry")));
        }
    }
    faults
}

fn begins_a_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| !line[..at].ends_with(|before: char| before.is_alphanumeric() || "._-}*".contains(before)))
}

fn resolved_packages(source: &Source) -> Vec<Fault> {
    let locked = ["package-lock.json", "Cargo.lock"].iter().any(|name| source.path.ends_with(name));
    let lines =
        source.text.lines().enumerate().filter(|(_, line)| locked && (line.contains("\"resolved\": \"http") || line.contains("http://")));
    lines.map(|(number, _)| (number + 1, "a lock file names packages and digests, not where they were fetched".to_owned())).collect()
}

#[test]
fn names_say_something() {
    hold("no crate or module is named common, util, helper, manager, base or types (house 4)", vague_names);
    assert_eq!(lines_of(vague_names, "crates/rpc/src/util.rs", "//! x\nmod helpers;\n"), [1, 2]);
    assert_eq!(lines_of(vague_names, "runtime/shell/src/utils/a.ts", "// x\n"), [1]);
    assert_eq!(lines_of(vague_names, "crates/common/Cargo.toml", ""), [1]);
    assert!(lines_of(vague_names, "proto/mozaiks/common/v1/subject.proto", "").is_empty());
}

#[test]
fn there_are_no_own_macros() {
    hold("no own macros (house 10)", own_macros);
    assert_eq!(lines_of(own_macros, "a/src/b.rs", "//! macro_rules!\nmacro_rules! c { () => {} }\n"), [2]);
}

#[test]
fn production_code_does_not_panic() {
    hold("no unwrap, expect or panic outside tests (house 10)", panics);
    let code = "//! .unwrap()\nfn a() { b.unwrap(); c.expect(\"d\"); panic!(\"\"); e.unwrap_or(f); }\n";
    assert_eq!(lines_of(panics, "a/src/b.rs", code), [2, 2, 2]);
    assert!(
        lines_of(panics, "a/tests/b.rs", code).is_empty()
            && lines_of(panics, "a/src/b.rs", &format!("#[cfg(test)]\nmod tests {{ {code} }}")).is_empty()
    );
}

#[test]
fn nothing_is_left_for_later() {
    hold("no TODO and its kin (house 10)", leftovers);
    assert_eq!(lines_of(leftovers, "a/src/b.rs", "//! x\n// TODO: y\nlet todos = 1;\n// FIXME\n"), [2, 4]);
}

#[test]
fn comments_are_neither_code_nor_ornament() {
    hold("no banners, no commented-out code (house 10)", idle_comments);
    assert_eq!(
        lines_of(idle_comments, "a/src/b.rs", "//! x\n// ------\n// let a = 1;\n// if b {\n// why; it is so\n// === c\n"),
        [2, 3, 4, 6]
    );
}

#[test]
fn exceptions_from_the_lints_say_why() {
    hold("an exception from the house's lints says why on its line", silent_exceptions);
    assert_eq!(lines_of(silent_exceptions, "a/src/b.rs", "#[allow(clippy::panic)]\n#[allow(clippy::panic)] // because\n"), [1]);
}

#[test]
fn nothing_points_at_one_machine() {
    hold("no absolute paths, no hosts of registries", machine_traces);
    let text = "cd /home/ann/x\nhttps://index.crates.io/a\n/api/work/home/x\ntests/work/\n";
    assert_eq!(lines_of(machine_traces, "README.md", text), [1, 2]);
}

#[test]
fn lock_files_name_no_places() {
    hold("lock files hold no addresses", resolved_packages);
    assert_eq!(lines_of(resolved_packages, "package-lock.json", "{\n\"resolved\": \"https://x/y.tgz\"\n}"), [2]);
    assert!(file("package-lock.json").text.contains("\"integrity\""), "the lock file is the one npm writes");
}
