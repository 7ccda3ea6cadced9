//! The tree as the rules see it: every file that git knows or would take, with its code apart from comments and strings.
//! Knows no rule.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::lexer::{self, Language};

/// What is wrong, and in which line (from 1).
pub(crate) type Fault = (usize, String);

/// One text file.
pub(crate) struct Source {
    /// From the root of the tree, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text with comments and the insides of strings blanked; as many bytes as the text.
    pub(crate) code: String,
    /// The code without what is compiled for tests alone; as many bytes as the text. Blank in files of tests.
    pub(crate) production: String,
    /// How many lines of the file are not for tests alone.
    pub(crate) production_lines: usize,
}

impl Source {
    pub(crate) fn of(path: &str, text: &str) -> Self {
        let code = match Language::of(path) {
            Some(language) => lexer::mask(text, language),
            None => text.to_owned(),
        };
        let (production, production_lines) = if is_test(path) {
            (lexer::blank(&code), 0)
        } else {
            let tests = if path.ends_with(".rs") { lexer::test_items(text, &code) } else { Vec::new() };
            let lines: usize = tests.iter().map(|range| text[range.clone()].lines().count()).sum();
            (lexer::without(&code, &tests), text.lines().count().saturating_sub(lines))
        };
        Self { path: path.to_owned(), text: text.to_owned(), code, production, production_lines }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Written in a language with functions: Rust, TypeScript, JavaScript.
    pub(crate) fn is_code(&self) -> bool {
        Language::of(&self.path).is_some()
    }

    pub(crate) fn is_under(&self, folders: &[&str]) -> bool {
        folders.iter().any(|folder| self.path.starts_with(folder))
    }

    /// The line (from 1) in which this byte stands.
    pub(crate) fn line_at(&self, byte: usize) -> usize {
        self.text[..byte].matches('\n').count() + 1
    }

    /// A fault for every place of production code at which the word stands, whole.
    pub(crate) fn production_words(&self, word: &str, why: &str) -> Vec<Fault> {
        lexer::words(&self.production, word).map(|at| (self.line_at(at), format!("`{word}`: {why}"))).collect()
    }
}

/// Files of tests: they may do what production code may not. The storage suite is the contract of engines as tests, and what
/// feeds targets is no part of what is shipped.
fn is_test(path: &str) -> bool {
    let stem = path.rsplit('/').next().and_then(|name| name.split('.').next()).unwrap_or_default();
    let named = stem == "tests" || stem.ends_with("_tests") || stem.starts_with("tests_");
    let folders = ["/tests/", "/benches/", "gateway/fuzz/", "crates/storage/src/suite/"];
    named || folders.iter().any(|folder| path.contains(folder))
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All text files of ours and of our making.
pub(crate) fn tree() -> &'static [Source] {
    static TREE: OnceLock<Vec<Source>> = OnceLock::new();
    TREE.get_or_init(|| paths().iter().filter_map(|path| read(path)).collect())
}

/// The file at this path, which must be there.
pub(crate) fn file(path: &str) -> &'static Source {
    tree().iter().find(|source| source.path == path).unwrap_or_else(|| panic!("{path} is missing"))
}

/// Paths of all files that git knows or would take with `add`.
fn paths() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git is installed");
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let mut paths: Vec<String> = String::from_utf8_lossy(&listed.stdout).split_terminator('\0').map(str::to_owned).collect();
    paths.sort();
    assert!(paths.len() > 100, "only {} files: this is not the tree", paths.len());
    paths
}

/// `None` for files that are no text, and for those deleted but still known to git.
fn read(path: &str) -> Option<Source> {
    let text = String::from_utf8(std::fs::read(root().join(path)).ok()?).ok()?;
    (!text.contains('\0')).then(|| Source::of(path, &text))
}

/// Fails with every fault in the tree, as `path:line: fault`.
pub(crate) fn hold(rule: &str, faults_in: impl Fn(&Source) -> Vec<Fault>) {
    let told =
        |source: &Source| faults_in(source).into_iter().map(|(line, fault)| format!("{}:{line}: {fault}", source.path)).collect::<Vec<_>>();
    fail_on(rule, &tree().iter().flat_map(told).collect::<Vec<_>>());
}

pub(crate) fn fail_on(rule: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{rule}\n  {}\n", faults.join("\n  "));
}

/// The lines in which a rule finds fault with this text.
pub(crate) fn lines_of(rule: impl Fn(&Source) -> Vec<Fault>, path: &str, text: &str) -> Vec<usize> {
    rule(&Source::of(path, text)).into_iter().map(|(line, _)| line).collect()
}
