//! What people may type as a name or a description, and how all faults of a form are told at once.

use kernel::{Error, Result};
use unicode_normalization::UnicodeNormalization;

/// Reads the free-text fields of one form and collects what is wrong with them.
#[derive(Debug, Default)]
pub(crate) struct Form {
    faults: Vec<(String, String)>,
}

impl Form {
    /// One line: trimmed, NFC, at most `max_chars` characters, no control or invisible formatting characters.
    pub(crate) fn line(&mut self, path: &str, raw: &str, max_chars: usize) -> String {
        self.read(path, raw, max_chars, is_hidden)
    }

    /// Several lines: as `line`, with line feeds and tabs allowed.
    pub(crate) fn prose(&mut self, path: &str, raw: &str, max_chars: usize) -> String {
        self.read(path, raw, max_chars, |c| is_hidden(c) && !matches!(c, '\n' | '\r' | '\t'))
    }

    /// Notes a fault.
    pub(crate) fn refuse(&mut self, path: &str, what: impl Into<String>) {
        self.faults.push((path.to_owned(), what.into()));
    }

    /// Refuses the form when anything is wrong with it, naming every faulty field.
    pub(crate) fn finish(self, reason: &'static str, message: &str) -> Result<()> {
        if self.faults.is_empty() {
            return Ok(());
        }
        Err(self.faults.into_iter().fold(Error::invalid(reason, message), |error, (path, what)| error.field(path, what)))
    }

    fn read(&mut self, path: &str, raw: &str, max_chars: usize, forbidden: impl Fn(char) -> bool) -> String {
        // NFC makes no text longer than three times its bytes, so the work is bounded before it is done.
        if raw.len() > max_chars.saturating_mul(16) {
            self.refuse(path, format!("must be at most {max_chars} characters"));
            return String::new();
        }
        let text: String = raw.trim().nfc().collect();
        if text.chars().count() > max_chars {
            self.refuse(path, format!("must be at most {max_chars} characters"));
        }
        if text.chars().any(forbidden) {
            self.refuse(path, "must not contain control or invisible formatting characters");
        }
        text
    }
}

/// Characters that no reader sees: controls, line separators, zero-width and direction marks.
/// The joiners U+200C and U+200D stay allowed: several scripts and emoji need them.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn tells_every_fault_at_once() {
        let mut form = Form::default();
        assert_eq!(form.line("a", "  Zoe\u{308} ", 80), "Zo\u{eb}");
        form.line("b", &"x".repeat(81), 80);
        form.line("c", "Ann\u{202e}nnA", 80);
        form.line("d", "two\nlines", 80);
        assert_eq!(form.prose("e", "two\nlines\tand a tab", 80), "two\nlines\tand a tab");
        let error = form.finish("PROFILE_INVALID", "no").unwrap_err();
        let paths: Vec<&str> = error.fields().iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["b", "c", "d"]);
    }

    #[test]
    fn counts_characters_not_bytes_and_bounds_the_work() {
        let mut form = Form::default();
        form.line("a", &"語".repeat(80), 80);
        assert!(form.faults.is_empty());
        assert_eq!(form.line("b", &"x".repeat(1 << 20), 80), "");
        assert_eq!(form.faults.len(), 1);
    }
}
