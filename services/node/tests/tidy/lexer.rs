//! Just enough of Rust and TypeScript to tell code from comments and strings, and to find where functions and test items end.
//! Works on bytes and keeps every offset and line; no rule stands here.

use std::ops::Range;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Rust,
    Script,
}

impl Language {
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path.rsplit_once('.')?.1 {
            "rs" => Some(Self::Rust),
            "ts" | "tsx" | "js" | "mjs" => Some(Self::Script),
            _ => None,
        }
    }
}

/// The text with comments and the insides of strings as blanks; quotes and line ends stay.
pub(crate) fn mask(text: &str, language: Language) -> String {
    let bytes = text.as_bytes();
    let mut kept = bytes.to_vec();
    // Depth of braces at which the code inside `${…}` of a template ends.
    let (mut templates, mut depth, mut at) = (Vec::new(), 0_usize, 0);
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => line_end(bytes, at),
            b'/' if bytes[at..].starts_with(b"/*") => comment_end(bytes, at, language),
            b'"' => string_end(bytes, at, b'"', language),
            b'r' | b'b' if language == Language::Rust => raw_string_end(bytes, at),
            b'\'' if language == Language::Rust => char_end(text, at),
            b'\'' => string_end(bytes, at, b'\'', language),
            b'`' if language == Language::Script => template_end(bytes, at + 1, depth, &mut templates),
            b'}' if templates.last() == Some(&depth) => {
                templates.pop();
                template_end(bytes, at + 1, depth, &mut templates)
            }
            other => {
                match other {
                    b'{' => depth += 1,
                    b'}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                at + 1
            }
        };
        if end > at + 1 {
            let quote = u8::from(bytes[at] != b'/' && !is_word(bytes[at]));
            blank_range(&mut kept, at + usize::from(quote)..end - usize::from(quote));
        }
        at = end;
    }
    String::from_utf8(kept).expect("whole characters were blanked")
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| at + length)
}

fn comment_end(bytes: &[u8], start: usize, language: Language) -> usize {
    let (mut at, mut depth) = (start + 2, 1);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else if language == Language::Rust && bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// After the closing quote. A script's string ends in its line, else the quote is an apostrophe in the text of a page.
fn string_end(bytes: &[u8], start: usize, quote: u8, language: Language) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'\n' if language == Language::Script => return start + 1,
            byte if byte == quote => return at + 1,
            _ => {}
        }
        at += 1;
    }
    start + 1
}

/// After `r"…"`, `r#"…"#`, `b"…"`, `br"…"`; the next byte when none stands here.
fn raw_string_end(bytes: &[u8], start: usize) -> usize {
    if start > 0 && is_word(bytes[start - 1]) {
        return start + 1;
    }
    let prefix = bytes[start..].iter().take_while(|byte| matches!(byte, b'r' | b'b')).count();
    let raw = bytes[start..start + prefix].contains(&b'r');
    let hashes = bytes[start + prefix..].iter().take_while(|byte| **byte == b'#').count();
    let open = start + prefix + hashes;
    if bytes.get(open) != Some(&b'"') || (hashes > 0 && !raw) {
        return start + 1;
    }
    if !raw {
        return string_end(bytes, open, b'"', Language::Rust);
    }
    let close = format!("\"{}", "#".repeat(hashes)).into_bytes();
    let found = bytes[open + 1..].windows(close.len()).position(|window| window == close);
    found.map_or(bytes.len(), |length| open + 1 + length + close.len())
}

/// After a character literal; the next byte when the quote begins a lifetime.
fn char_end(text: &str, start: usize) -> usize {
    let rest = &text[start + 1..];
    if rest.starts_with('\\') {
        let after = rest.char_indices().skip(2).find(|(_, letter)| *letter == '\'');
        return after.map_or(start + 1, |(length, _)| start + 1 + length + 1);
    }
    let Some(letter) = rest.chars().next() else { return start + 1 };
    if rest[letter.len_utf8()..].starts_with('\'') { start + letter.len_utf8() + 2 } else { start + 1 }
}

/// After the backtick or the `${` that ends this stretch of a template.
fn template_end(bytes: &[u8], start: usize, depth: usize, templates: &mut Vec<usize>) -> usize {
    let mut at = start;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'`' => return at + 1,
            b'$' if bytes.get(at + 1) == Some(&b'{') => {
                templates.push(depth);
                return at + 2;
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn blank_range(bytes: &mut [u8], range: Range<usize>) {
    bytes[range].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
}

/// The code with these ranges blanked.
pub(crate) fn without(code: &str, ranges: &[Range<usize>]) -> String {
    let mut bytes = code.as_bytes().to_vec();
    for range in ranges {
        blank_range(&mut bytes, range.clone());
    }
    String::from_utf8(bytes).expect("whole characters were blanked")
}

/// Nothing but line ends.
pub(crate) fn blank(code: &str) -> String {
    without(code, std::slice::from_ref(&(0..code.len())))
}

/// Where the word stands, not as a part of a longer one.
pub(crate) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = code.as_bytes();
    let opens = word.bytes().next().is_some_and(is_word);
    let closes = word.bytes().last().is_some_and(is_word);
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = *at > 0 && is_word(bytes[*at - 1]);
        let after = bytes.get(*at + word.len()).is_some_and(|byte| is_word(*byte));
        !(opens && before || closes && after)
    })
}

/// Items that are compiled for tests alone: `#[cfg(test)]` and what it stands on.
pub(crate) fn test_items(text: &str, code: &str) -> Vec<Range<usize>> {
    let mut items: Vec<Range<usize>> = Vec::new();
    for (start, _) in code.match_indices("#[cfg(") {
        if items.last().is_some_and(|last| start < last.end) {
            continue;
        }
        let Some(end) = closing(code, start + 1) else { continue };
        let condition = &text[start..end];
        if condition == "#[cfg(test)]" || condition.contains("feature = \"suite\"") || condition.contains("(test,") {
            items.push(start..item_end(code, end));
        }
    }
    items
}

/// After the `;` or the closing brace of the item that begins here, attributes before it included.
fn item_end(code: &str, start: usize) -> usize {
    let mut at = start;
    while at < code.len() {
        match code.as_bytes()[at] {
            b'(' | b'[' => at = closing(code, at).unwrap_or(code.len()),
            b'{' => return closing(code, at).unwrap_or(code.len()),
            b';' => return at + 1,
            _ => at += 1,
        }
    }
    code.len()
}

/// After the bracket that closes the one standing here.
pub(crate) fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// A function with a body.
pub(crate) struct Function {
    pub(crate) name: String,
    /// From its first word to after its closing brace.
    pub(crate) range: Range<usize>,
    /// Where its body opens.
    pub(crate) body: usize,
}

/// The functions with a body, nested ones too; closures are not counted in Rust, arrows with a block are in scripts.
pub(crate) fn functions(code: &str, language: Language) -> Vec<Function> {
    let keyword = if language == Language::Rust { "fn" } else { "function" };
    let mut found: Vec<Function> = words(code, keyword).filter_map(|at| function_at(code, at, keyword.len())).collect();
    if language == Language::Script {
        found.extend(code.match_indices("=> {").filter_map(|(at, _)| {
            let (start, body) = (code[..at].rfind('\n').map_or(0, |line| line + 1), at + 3);
            Some(Function { name: "an arrow".to_owned(), range: start..closing(code, body)?, body })
        }));
    }
    found
}

fn function_at(code: &str, start: usize, keyword: usize) -> Option<Function> {
    let name: String =
        code[start + keyword..].trim_start().chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    if name.is_empty() && keyword == "fn".len() {
        return None; // the type of a function pointer
    }
    let mut at = start + keyword;
    while at < code.len() {
        match code.as_bytes()[at] {
            b'(' | b'[' => at = closing(code, at)?,
            b'{' => return Some(Function { name, range: start..closing(code, at)?, body: at }),
            b';' => return None,
            _ => at += 1,
        }
    }
    None
}

#[test]
fn code_is_told_from_comments_and_strings() {
    let rust = "let a = \"{ // x\"; // it's {\nlet b = '{'; let c: &'a str = r#\"{\"}\"#; /* { /* } */ */ b\"{\"";
    let masked = mask(rust, Language::Rust);
    assert_eq!((masked.len(), masked.matches(['{', '}']).count()), (rust.len(), 0), "{masked}");
    assert!(masked.contains("let a = \"      \";") && masked.contains("&'a str"), "{masked}");
    let script = "const a = `x ${ {b: 'it'} } {`; // {\nconst t = <p>don't { c }</p>;";
    let masked = mask(script, Language::Script);
    assert_eq!((masked.len(), masked.matches('{').count()), (script.len(), 3), "{masked}");
    assert!(masked.contains("{b: '  '}") && masked.contains("{ c }"), "{masked}");
}

#[test]
fn test_items_and_functions_are_found_whole() {
    let text = "fn a() {\n  b();\n}\n#[cfg(test)]\nmod tests {\n  fn c() { d(\"}\") }\n}\nfn e(x: [u8; 2]) -> fn(u8) -> u8 { f }\n";
    let code = mask(text, Language::Rust);
    let production = without(&code, &test_items(text, &code));
    let names: Vec<String> = functions(&production, Language::Rust).into_iter().map(|function| function.name).collect();
    assert_eq!(names, ["a", "e"]);
    assert!(!production.contains("mod tests"));
}
