//! docs/ERRORS.md against the code and the one status table: every reason that the code can give has a row, and no other.

use std::collections::BTreeSet;

use kernel::{Error, Kind};
use tonic::Status;

use crate::lexer;
use crate::source::{Fault, Source, fail_on, file, hold, lines_of, tree};

/// Constructors of `kernel::Error`, the kind each makes, and its reason where it brings one.
const CONSTRUCTORS: [(&str, Kind, Option<&str>); 13] = [
    ("invalid", Kind::Invalid, None),
    ("unauthenticated", Kind::Unauthenticated, None),
    ("forbidden", Kind::Forbidden, None),
    ("not_found", Kind::NotFound, Some("NOT_FOUND")),
    ("route_unknown", Kind::NotFound, Some("ROUTE_UNKNOWN")),
    ("exists", Kind::Exists, None),
    ("stale", Kind::Stale, None),
    ("refused", Kind::Refused, None),
    ("exhausted", Kind::Exhausted, None),
    ("unavailable", Kind::Unavailable, None),
    ("timeout", Kind::Timeout, Some("DEADLINE_EXCEEDED")),
    ("unsupported", Kind::Unsupported, None),
    ("internal", Kind::Internal, None),
];

/// Functions that are handed a reason and make an error of this kind: call, where it is written, kind.
const CARRIERS: [(&str, &str, Kind); 1] = [(".finish(", "services/identity/src/domain/text.rs", Kind::Invalid)];

/// A reason, its kind, and the line it stands in.
#[derive(Debug, PartialEq, Eq)]
struct Raised {
    reason: Option<String>,
    kind: &'static str,
    line: usize,
}

/// Every error that this file's production code makes.
fn raised(source: &Source) -> Vec<Raised> {
    if !source.is_rust() || source.path == "crates/kernel/src/error.rs" {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (constructor, kind, brought) in CONSTRUCTORS {
        let call = format!("Error::{constructor}(");
        for at in lexer::words(&source.production, &call) {
            let reason = brought.map(str::to_owned).or_else(|| literal(&source.text[at + call.len()..]));
            let carried = reason.is_none() && CARRIERS.iter().any(|(_, path, of)| *path == source.path && *of == kind);
            if !carried {
                found.push(Raised { reason, kind: name(kind), line: source.line_at(at) });
            }
        }
    }
    for (call, _, kind) in CARRIERS {
        let reasons = lexer::words(&source.production, call).filter_map(|at| Some((at, literal(&source.text[at + call.len()..])?)));
        found.extend(reasons.map(|(at, reason)| Raised { reason: Some(reason), kind: name(kind), line: source.line_at(at) }));
    }
    found
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Invalid => "Invalid",
        Kind::Unauthenticated => "Unauthenticated",
        Kind::Forbidden => "Forbidden",
        Kind::NotFound => "NotFound",
        Kind::Exists => "Exists",
        Kind::Stale => "Stale",
        Kind::Refused => "Refused",
        Kind::Exhausted => "Exhausted",
        Kind::Unavailable => "Unavailable",
        Kind::Timeout => "Timeout",
        Kind::Unsupported => "Unsupported",
        Kind::Internal => "Internal",
    }
}

fn literal(rest: &str) -> Option<String> {
    let (reason, _) = rest.trim_start().strip_prefix('"')?.split_once('"')?;
    is_reason(reason).then(|| reason.to_owned())
}

fn is_reason(word: &str) -> bool {
    word.starts_with(|letter: char| letter.is_ascii_uppercase())
        && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Errors whose reason the reader, and this test, cannot see where the error is made.
fn hidden_reasons(source: &Source) -> Vec<Fault> {
    let hidden = raised(source).into_iter().filter(|error| error.reason.is_none());
    hidden.map(|error| (error.line, "the reason is a literal, UPPER_SNAKE, where the error is made".to_owned())).collect()
}

/// Rows of the tables: line, reason, kind, gRPC code, HTTP status.
fn rows(text: &str) -> Vec<(usize, [String; 4])> {
    let cells = |line: &str| -> Option<[String; 4]> {
        let cells: Vec<&str> = line.strip_prefix("| `")?.split('|').map(str::trim).collect();
        let reason = cells.first()?.trim_end_matches('`');
        let meaning = cells.get(4).is_some_and(|meaning| meaning.len() > 5);
        (is_reason(reason) && meaning).then(|| [reason.to_owned(), cells[1].to_owned(), cells[2].to_owned(), cells[3].to_owned()])
    };
    text.lines().enumerate().filter_map(|(number, line)| Some((number + 1, cells(line)?))).collect()
}

/// Code and status of a kind and reason, from the kernel's table, as the document writes them.
fn told_by_kernel(kind: &str, reason: &str) -> Option<(String, String)> {
    let (_, kind, _) = CONSTRUCTORS.into_iter().find(|(_, of, _)| name(*of) == kind)?;
    let error = match kind {
        Kind::Invalid => Error::invalid("X", ""),
        Kind::Unauthenticated => Error::unauthenticated("X", ""),
        Kind::Forbidden => Error::forbidden("X", ""),
        Kind::NotFound => Error::not_found(""),
        Kind::Exists => Error::exists("X", ""),
        Kind::Stale => Error::stale("X", ""),
        Kind::Refused => Error::refused("X", ""),
        Kind::Exhausted => Error::exhausted("X", ""),
        Kind::Unavailable => Error::unavailable("X", ""),
        Kind::Timeout => Error::timeout(),
        Kind::Unsupported => Error::unsupported("X", ""),
        Kind::Internal => Error::internal("X", ""),
    };
    let code = Status::from(error).code();
    let words = format!("{code:?}").chars().enumerate().fold(String::new(), |mut word, (at, letter)| {
        if at > 0 && letter.is_uppercase() {
            word.push('_');
        }
        word.extend(letter.to_uppercase());
        word
    });
    Some((words, kernel::http_status(code, Some(reason)).to_string()))
}

#[test]
fn reasons_stand_where_errors_are_made() {
    hold("every error is made with its reason in sight (house 7)", hidden_reasons);
    let code = "//! x\nfn a() {\n    Error::invalid(reason, \"b\");\n    kernel::Error::stale(\n        \"C_D\", \"e\");\n}\n";
    assert_eq!(lines_of(hidden_reasons, "a/src/b.rs", code), [3]);
    let known = raised(&Source::of("a/src/b.rs", code)).pop().expect("two errors are made");
    assert_eq!(known, Raised { reason: Some("C_D".to_owned()), kind: "Stale", line: 4 });
}

#[test]
fn the_document_lists_the_reasons_of_the_code() {
    let documented: BTreeSet<(String, String)> =
        rows(&file("docs/ERRORS.md").text).into_iter().map(|(_, [reason, kind, ..])| (reason, kind)).collect();
    let mut coded = BTreeSet::new();
    let mut faults = Vec::new();
    for source in tree() {
        for error in raised(source) {
            let Some(reason) = error.reason else { continue };
            let pair = (reason, error.kind.to_owned());
            if !documented.contains(&pair) {
                faults.push(format!("{}:{}: `{}` of kind {} has no row", source.path, error.line, pair.0, pair.1));
            }
            coded.insert(pair);
        }
    }
    faults.extend(documented.difference(&coded).map(|(reason, kind)| format!("docs/ERRORS.md: nothing raises `{reason}` of kind {kind}")));
    fail_on("docs/ERRORS.md lists exactly the reasons of the code (house 7)", &faults);
    assert!(coded.len() > 20, "only {} reasons were found: the scan is broken", coded.len());
}

#[test]
fn the_document_repeats_the_status_table() {
    let mut faults = Vec::new();
    for (line, [reason, kind, code, status]) in rows(&file("docs/ERRORS.md").text) {
        let told = told_by_kernel(&kind, &reason);
        if told != Some((code.clone(), status.clone())) {
            faults.push(format!("docs/ERRORS.md:{line}: `{reason}` is {kind}, {code}, {status}; the kernel says {told:?}"));
        }
    }
    fail_on("docs/ERRORS.md repeats kernel::status (house 7)", &faults);
    assert_eq!(told_by_kernel("NotFound", "NOT_FOUND"), Some(("NOT_FOUND".to_owned(), "404".to_owned())));
    assert_eq!(rows("| `A_B` | Stale | ABORTED | 409 | What it means. |\n").len(), 1);
}

#[test]
fn contracts_name_documented_reasons() {
    let documented: BTreeSet<String> = rows(&file("docs/ERRORS.md").text).into_iter().map(|(_, [reason, ..])| reason).collect();
    let mut faults = Vec::new();
    for source in tree().iter().filter(|source| source.path.starts_with("proto/mozaiks/")) {
        for (number, line) in source.text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("//")) {
            let words = line.split('`').skip(1).step_by(2).filter(|word| is_reason(word) && word.contains('_'));
            let unknown = words.filter(|word| !documented.contains(*word) && !is_value(word));
            faults.extend(unknown.map(|word| format!("{}:{}: `{word}` is not in docs/ERRORS.md", source.path, number + 1)));
        }
    }
    fail_on("reasons in the comments of contracts are documented (gateway 3.1)", &faults);
}

/// A value of an enum or of an option, which are written like reasons.
fn is_value(word: &str) -> bool {
    let declares = |source: &Source| source.text.contains(&format!("{word} ="));
    word == "NO_SIDE_EFFECTS" || tree().iter().any(|source| source.path.starts_with("proto/mozaiks/") && declares(source))
}
