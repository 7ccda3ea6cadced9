//! Passwords: which may be chosen, and how they are held in memory. How they are hashed is not decided here.

use std::fmt;

use kernel::{Error, Result};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// Longest password, in bytes after NFC.
const MAX_BYTES: usize = 1024;
/// Shortest password that may be chosen, in characters.
const MIN_CHARS: usize = 8;
/// Longest unit whose mere repetition is refused, in characters: `abcdabcd` is no better than `abcd`.
const MAX_UNIT_CHARS: usize = 4;

/// Common passwords of eight characters and more, in lower case, one a line, sorted by bytes.
/// From zxcvbn and zxcvbn-ts, MIT licence: see `COMMON_PASSWORDS_LICENSE.txt`.
const COMMON: &str = include_str!("common_passwords.txt");

/// A password in NFC. Wiped when dropped; cannot be printed.
#[derive(Clone)]
pub(crate) struct Password(Zeroizing<String>);

impl Password {
    /// A password that somebody chooses: 1 to 1,024 bytes after NFC, at least 8 characters, no common one, no mere
    /// repetition or run. No rule about its composition. Errors: `PASSWORD_WEAK`.
    pub(crate) fn parse(raw: &str) -> Result<Self> {
        let password = Self::presented(raw).ok_or_else(|| weak("must be 1 to 1,024 bytes long"))?;
        let folded = password.folded();
        let chars: Zeroizing<Vec<char>> = Zeroizing::new(folded.chars().collect());
        if chars.len() < MIN_CHARS {
            return Err(weak("must be at least 8 characters long"));
        }
        if is_repetition(&chars) || is_run(&chars) {
            return Err(weak("must not be a mere repetition or sequence"));
        }
        if is_listed(&folded, COMMON) {
            return Err(weak("is one of the most common passwords"));
        }
        Ok(password)
    }

    /// A password that somebody signs in with: 1 to 1,024 bytes after NFC, else none.
    pub(crate) fn presented(raw: &str) -> Option<Self> {
        // NFC can shorten a text, at most to a third of its bytes; longer ones are not worth normalising.
        if raw.is_empty() || raw.len() > 4 * MAX_BYTES {
            return None;
        }
        // NFC makes no text longer than three times its bytes, so no copy is left behind by growing.
        let mut text = Zeroizing::new(String::with_capacity(3 * raw.len()));
        text.extend(raw.nfc());
        (text.len() <= MAX_BYTES).then_some(Self(text))
    }

    /// Refuses a chosen password that is one of these words, whatever the case: the address, its local part, the app.
    /// Errors: `PASSWORD_WEAK`.
    pub(crate) fn unlike(self, words: &[&str]) -> Result<Self> {
        let folded = self.folded();
        if words.iter().any(|word| word.to_lowercase() == *folded) {
            return Err(weak("must not be your address or the app's name"));
        }
        Ok(self)
    }

    /// What is hashed: all of it and nothing else.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn folded(&self) -> Zeroizing<String> {
        let mut folded = Zeroizing::new(String::with_capacity(3 * self.0.len()));
        folded.extend(self.0.chars().flat_map(char::to_lowercase));
        folded
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

fn weak(what: &str) -> Error {
    Error::invalid("PASSWORD_WEAK", format!("this password {what}")).field("password", what)
}

fn is_repetition(chars: &[char]) -> bool {
    (1..=MAX_UNIT_CHARS.min(chars.len() / 2)).any(|unit| chars.iter().zip(&chars[unit..]).all(|(one, next)| one == next))
}

/// `abcdefgh`, `87654321`: every character follows the one before by the same single step.
fn is_run(chars: &[char]) -> bool {
    let steps = |by: i64| chars.windows(2).all(|pair| i64::from(u32::from(pair[1])) - i64::from(u32::from(pair[0])) == by);
    steps(1) || steps(-1)
}

/// Binary search over sorted lines, without an index in memory. The list is ASCII.
fn is_listed(word: &str, list: &str) -> bool {
    let (mut low, mut high) = (0, list.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let start = list[low..middle].rfind('\n').map_or(low, |at| low + at + 1);
        let end = list[middle..].find('\n').map_or(list.len(), |at| middle + at);
        match list[start..end].cmp(word) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => low = end + 1,
            std::cmp::Ordering::Greater => high = start,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_length_over_composition() {
        for good in ["correct horse battery staple", "zw\u{f6}lfBoxk\u{e4}mpfer", "пароль-для-нас", "        x       y", "k3yb04rdk3ys!"]
        {
            assert!(Password::parse(good).is_ok(), "{good}");
        }
        assert!(Password::parse(&"ab c".repeat(256).replace("ab cab c", "ab cabxc")).is_ok());
    }

    #[test]
    fn refuses_short_common_repeated_and_oversized_ones() {
        let long = "x1 y".repeat(257);
        let bad = [
            "",
            "short 7",
            "password",
            "PassWord1",
            "qwertyuiop",
            "iloveyou",
            "aaaaaaaaaa",
            "abababab",
            "abcdabcdabcd",
            "12345678",
            "abcdefghij",
            "987654321",
            &long,
        ];
        for raw in bad {
            assert_eq!(Password::parse(raw).unwrap_err().reason(), "PASSWORD_WEAK", "{raw}");
        }
        assert_eq!(Password::parse("e\u{301}e\u{301}x\u{301}y1").unwrap_err().reason(), "PASSWORD_WEAK", "characters, not bytes");
    }

    #[test]
    fn refuses_what_everybody_would_guess_of_this_person() {
        let words = ["ann.margret@example.com", "ann.margret", "bakery-shop"];
        let chosen = |raw: &str| Password::parse(raw).unwrap().unlike(&words);
        for raw in ["Ann.Margret", "ANN.MARGRET@example.com", "Bakery-Shop"] {
            assert_eq!(chosen(raw).unwrap_err().reason(), "PASSWORD_WEAK");
        }
        assert!(chosen("Ann.Margret sings").is_ok());
    }

    #[test]
    fn signing_in_takes_whatever_could_have_been_chosen_once() {
        assert_eq!(Password::presented("e\u{301}").unwrap().bytes(), "\u{e9}".as_bytes());
        assert!(Password::presented("x").is_some() && Password::presented(&"x".repeat(1024)).is_some());
        assert!(Password::presented("").is_none() && Password::presented(&"x".repeat(1025)).is_none());
        assert!(Password::presented(&"e\u{301}".repeat(512)).is_some() && Password::presented(&"x".repeat(1 << 20)).is_none());
    }

    #[test]
    fn errors_and_debug_do_not_repeat_it() {
        let password = Password::presented("hunter2 hunter3").unwrap();
        assert!(!format!("{password:?}").contains("hunter"));
        assert!(!format!("{:?}", Password::parse("hunter2").unwrap_err()).contains("hunter"));
    }

    #[test]
    fn every_line_of_the_list_is_found_and_nothing_else() {
        let lines: Vec<&str> = COMMON.lines().collect();
        assert!(COMMON.is_ascii() && lines.len() > 17_000 && lines.is_sorted());
        for line in &lines {
            assert!(line.len() >= MIN_CHARS && *line == line.to_lowercase() && is_listed(line, COMMON), "{line}");
            assert!(!is_listed(&format!("{line}\u{7f}"), COMMON));
        }
        assert!(!is_listed("", COMMON) && !is_listed("\n", COMMON) && !is_listed("zzzzzzzzzzzzzzzzzz", COMMON) && !is_listed("pass", ""));
    }

    proptest! {
        #[test]
        fn the_search_agrees_with_a_plain_one(words in prop::collection::btree_set("[a-c]{1,4}", 0..20), asked in "[a-c]{0,4}") {
            let list: String = words.iter().map(|word| format!("{word}\n")).collect();
            prop_assert_eq!(is_listed(&asked, &list), words.contains(&asked));
        }

        #[test]
        fn the_form_typed_does_not_matter(raw in "\\PC{1,40}") {
            let composed: String = raw.nfc().collect();
            let decomposed: String = raw.nfd().collect();
            let bytes = |text: &str| Password::presented(text).map(|password| password.bytes().to_vec());
            prop_assert_eq!(bytes(&composed), bytes(&decomposed));
        }
    }
}
