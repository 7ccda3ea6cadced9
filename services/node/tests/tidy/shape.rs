//! Sizes, nesting, the opening of files, documented contracts: the shape of code, whatever it says.

use std::ops::Range;

use crate::lexer::{self, Language};
use crate::source::{Fault, Source, fail_on, hold, lines_of, tree};

const FILE_LINES: usize = 600;
const FILE_LINES_OF_NINE_IN_TEN: usize = 400;
const FUNCTION_LINES: usize = 70;
const HANDLER_LINES: usize = 25;
const NESTING: usize = 3;
const KERNEL_LINES: usize = 1_200;
/// Crates whose public items are the floor that others stand on.
const CONTRACTED: [&str; 4] = ["crates/kernel/src/", "crates/storage/src/", "crates/events/src/", "crates/rpc/src/"];

fn long_file(source: &Source) -> Vec<Fault> {
    let lines = source.production_lines;
    let over = source.is_code() && lines > FILE_LINES;
    over.then(|| (FILE_LINES + 1, format!("{lines} lines, at most {FILE_LINES}"))).into_iter().collect()
}

fn language(source: &Source) -> Language {
    Language::of(&source.path).unwrap_or(Language::Script)
}

fn long_functions(source: &Source) -> Vec<Fault> {
    if !source.is_code() {
        return Vec::new();
    }
    let functions = lexer::functions(&source.code, language(source));
    let lines_in = |range: &Range<usize>| source.line_at(range.end) - source.line_at(range.start) + 1;
    let told = |function: &lexer::Function| {
        // A script's closures are counted by themselves, as the methods of a class would be.
        let inner = outermost(&functions, &function.range).filter(|_| !source.is_rust()).map(lines_in).sum::<usize>();
        let lines = lines_in(&function.range).saturating_sub(inner);
        (lines > FUNCTION_LINES)
            .then(|| (source.line_at(function.range.start), format!("{} has {lines} lines, at most {FUNCTION_LINES}", function.name)))
    };
    functions.iter().filter_map(told).collect()
}

/// The functions directly inside this one.
fn outermost<'a>(functions: &'a [lexer::Function], outer: &'a Range<usize>) -> impl Iterator<Item = &'a Range<usize>> {
    let within = |inner: &Range<usize>, outer: &Range<usize>| inner != outer && outer.start <= inner.start && inner.end <= outer.end;
    let all = functions.iter().map(|function| &function.range);
    all.clone().filter(move |range| within(range, outer) && !all.clone().any(|other| within(other, outer) && within(range, other)))
}

/// A handler is a method of the implementation of a generated service trait.
fn long_handlers(source: &Source) -> Vec<Fault> {
    if !source.is_rust() || !source.is_under(&["services/"]) {
        return Vec::new();
    }
    let code = &source.production;
    let blocks = lexer::words(code, "impl").filter_map(|at| {
        let open = at + code[at..].find('{')?;
        code[at..open].contains("Service for ").then(|| Some(open..lexer::closing(code, open)?))?
    });
    let blocks: Vec<_> = blocks.collect();
    let told = |function: lexer::Function| {
        let (first, last) = (source.line_at(function.body), source.line_at(function.range.end));
        let lines = last.saturating_sub(first + 1);
        (lines > HANDLER_LINES).then(|| (first, format!("handler {} has {lines} lines, at most {HANDLER_LINES}", function.name)))
    };
    let in_block = |function: &lexer::Function| blocks.iter().any(|block| block.contains(&function.range.start));
    lexer::functions(code, Language::Rust).into_iter().filter(in_block).filter_map(told).collect()
}

fn deep_nesting(source: &Source) -> Vec<Fault> {
    if !source.is_rust() {
        return Vec::new();
    }
    let code = &source.production;
    let (mut open, mut faults) = (Vec::new(), Vec::new());
    let mut header_start = 0;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'{' => {
                open.push(Brace::of(&code[header_start..at]));
                let depth =
                    open.iter().rev().take_while(|brace| **brace != Brace::Function).filter(|brace| **brace == Brace::Control).count();
                if open.last() == Some(&Brace::Control) && depth > NESTING {
                    faults.push((source.line_at(at), format!("nested {depth} deep, at most {NESTING}")));
                }
            }
            b'}' => drop(open.pop()),
            _ => {}
        }
        if matches!(byte, b'{' | b'}' | b';') {
            header_start = at + 1;
        }
    }
    faults
}

#[derive(PartialEq, Eq)]
enum Brace {
    Function,
    Control,
    Other,
}

impl Brace {
    /// By what stands before it in its statement.
    fn of(header: &str) -> Self {
        let has = |words: &[&str]| words.iter().any(|word| lexer::words(header, word).next().is_some());
        if has(&["fn"]) {
            Self::Function
        } else if has(&["impl", "trait"]) || header.trim_end().ends_with("=>") {
            Self::Other
        } else if has(&["if", "else", "match", "for", "while", "loop"]) {
            Self::Control
        } else {
            Self::Other
        }
    }
}

fn unopened(source: &Source) -> Vec<Fault> {
    if !source.is_code() {
        return Vec::new();
    }
    let text = source.text.strip_prefix("#!/usr/bin/env node\n").unwrap_or(&source.text);
    let opening = text.lines().take_while(|line| if source.is_rust() { line.starts_with("//!") } else { line.starts_with("//") }).count();
    let block = !source.is_rust() && text.starts_with("/**");
    let said = block || (1..=3).contains(&opening);
    let fault = "opens with one to three lines that say what lives here and what must not";
    (!said).then(|| (1, format!("{fault}, not {opening}"))).into_iter().collect()
}

fn undocumented(source: &Source) -> Vec<Fault> {
    if !source.is_rust() || !source.is_under(&CONTRACTED) {
        return Vec::new();
    }
    let lines: Vec<(&str, &str)> = source.text.lines().zip(source.production.lines()).collect();
    let mut faults = Vec::new();
    for (number, (_, code)) in lines.iter().enumerate() {
        let before =
            lines[..number].iter().rev().map(|(text, _)| text.trim()).find(|text| !text.starts_with("#[") && !text.starts_with("#!["));
        if is_public_item(code.trim()) && !before.is_some_and(|text| text.starts_with("///")) {
            faults.push((number + 1, "a public item states its contract (`///`)".to_owned()));
        }
    }
    faults
}

fn is_public_item(code: &str) -> bool {
    let Some(item) = code.strip_prefix("pub ") else { return false };
    ["fn", "async fn", "const", "static", "struct", "enum", "trait", "type", "unsafe fn"]
        .iter()
        .any(|word| item.starts_with(&format!("{word} ")))
}

#[test]
fn files_have_600_lines_at_most() {
    hold("a production file has 600 lines at most, tests aside (house 10)", long_file);
    let long = "x\n".repeat(601);
    assert_eq!(lines_of(long_file, "a/src/b.rs", &long), [601]);
    assert!(lines_of(long_file, "a/src/b.rs", &format!("x\n#[cfg(test)]\nmod tests {{\n{long}}}\n")).is_empty());
}

#[test]
fn nine_files_in_ten_have_400_lines_at_most() {
    let mut sizes: Vec<(usize, &str)> =
        tree().iter().filter(|source| source.is_code()).map(|source| (source.production_lines, source.path.as_str())).collect();
    sizes.sort_unstable();
    let (lines, path) = sizes[sizes.len() * 9 / 10];
    assert!(lines <= FILE_LINES_OF_NINE_IN_TEN, "one file in ten is longer than {path} with {lines} lines (house 10)");
}

#[test]
fn the_kernel_stays_small() {
    let lines: usize = tree().iter().filter(|source| source.is_under(&["crates/kernel/src/"])).map(|source| source.production_lines).sum();
    assert!((100..=KERNEL_LINES).contains(&lines), "crates/kernel has {lines} lines, at most {KERNEL_LINES} (house 2)");
}

#[test]
fn functions_have_70_lines_at_most() {
    hold("a function has 70 lines at most (house 10)", long_functions);
    let long = format!("fn a() {{}}\nfn b() {{\n{}}}\n", "x();\n".repeat(69));
    assert_eq!(lines_of(long_functions, "a/src/b.rs", &long), [2]);
    assert_eq!(lines_of(long_functions, "a/src/b.ts", &long.replace("fn", "function")), [2]);
    assert_eq!(lines_of(long_functions, "a/src/b.ts", &format!("const a = () => {{\n{}}};\n", "x();\n".repeat(69))), [1]);
}

#[test]
fn handlers_have_25_lines_at_most() {
    hold("a handler has 25 lines at most (house 10)", long_handlers);
    let handler = |lines| format!("impl pb::UsersService for Users {{\nasync fn a(&self) {{\n{}}}\n}}\n", "x();\n".repeat(lines));
    assert_eq!(lines_of(long_handlers, "services/a/src/b.rs", &handler(26)), [2]);
    assert!(lines_of(long_handlers, "services/a/src/b.rs", &handler(25)).is_empty());
}

#[test]
fn nesting_is_three_at_most() {
    hold("control flow is nested three deep at most, tests aside (house 10)", deep_nesting);
    let deep = "fn a() {\nif b {\nfor c in d {\nmatch e {\nF => {\nwhile g {}\n}\n}\n}\n}\n}\n";
    assert_eq!(lines_of(deep_nesting, "a/src/b.rs", deep), [6]);
    assert!(lines_of(deep_nesting, "a/src/b.rs", &deep.replace("while g {}", "g();")).is_empty());
}

#[test]
fn files_say_what_lives_in_them() {
    hold("every file opens with one to three lines of description (house 10)", unopened);
    assert_eq!(lines_of(unopened, "a/src/b.rs", "use x;\n"), [1]);
    assert_eq!(lines_of(unopened, "a/src/b.rs", "// x\n"), [1]);
    assert_eq!(lines_of(unopened, "a/src/b.rs", &"//! x\n".repeat(4)), [1]);
    assert_eq!(lines_of(unopened, "a/src/b.tsx", "import x;\n"), [1]);
    assert!(lines_of(unopened, "a/src/b.tsx", "// x\n").is_empty());
}

#[test]
fn public_items_of_the_floor_state_their_contract() {
    hold("public items of kernel, storage, events and rpc state their contract (house 10)", undocumented);
    assert_eq!(lines_of(undocumented, "crates/rpc/src/a.rs", "/// x\n#[must_use]\npub fn b() {}\npub struct C;\n"), [4]);
    assert!(lines_of(undocumented, "gateway/src/a.rs", "pub fn b() {}\n").is_empty());
}

#[test]
fn every_crate_obeys_the_lints_of_the_workspace() {
    let crates = tree().iter().filter(|source| source.path.ends_with("/Cargo.toml"));
    let loose = crates.filter(|source| !source.text.contains("[lints]\nworkspace = true"));
    fail_on("every crate has `[lints] workspace = true` (house 4)", &loose.map(|source| source.path.clone()).collect::<Vec<_>>());
}
