//! The comments of the contracts, which are the documentation of the API. Knows no JSON.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, FileDescriptor};

/// Leading comments by file and place.
#[derive(Debug)]
pub(crate) struct Comments(HashMap<(String, Vec<i32>), String>);

impl Comments {
    pub(crate) fn of(pool: &DescriptorPool) -> Self {
        let mut comments = HashMap::new();
        for file in pool.files().filter(|file| file.package_name().starts_with("mozaiks.")) {
            let proto = file.file_descriptor_proto();
            for location in proto.source_code_info.iter().flat_map(|info| &info.location) {
                if let Some(text) = location.leading_comments.as_deref() {
                    comments.insert((file.name().to_owned(), location.path.clone()), paragraphs(text));
                }
            }
        }
        Self(comments)
    }

    /// The comment on what stands at this place; empty without one.
    pub(crate) fn on(&self, file: &FileDescriptor, path: &[i32]) -> String {
        self.0.get(&(file.name().to_owned(), path.to_vec())).cloned().unwrap_or_default()
    }
}

/// Lines of a paragraph joined, paragraphs kept apart.
fn paragraphs(comment: &str) -> String {
    let lines: Vec<&str> = comment.lines().map(str::trim).collect();
    let paragraphs = lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty()).map(|lines| lines.join(" "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// The first sentence, without its stop.
pub(crate) fn summary(text: &str) -> &str {
    let first = text.split("\n\n").next().unwrap_or_default();
    first.find(". ").map_or(first, |end| &first[..end]).trim_end_matches('.')
}

/// The reasons that a comment names behind `Errors:`.
pub(crate) fn reasons(text: &str) -> Vec<&str> {
    let named = text.split_once("Errors:").map_or("", |(_, named)| named);
    let is_reason =
        |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    named.split('`').skip(1).step_by(2).filter(is_reason).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_become_text() {
        let text = paragraphs(" Makes one. With care,\n and slowly.\n\n Errors: `APP_ID_TAKEN`, see `x`,\n `ETAG_STALE`.\n");
        assert_eq!(text, "Makes one. With care, and slowly.\n\nErrors: `APP_ID_TAKEN`, see `x`, `ETAG_STALE`.");
        assert_eq!((summary(&text), reasons(&text)), ("Makes one", vec!["APP_ID_TAKEN", "ETAG_STALE"]));
        assert_eq!((summary("Reads one."), reasons("Reads `A`.")), ("Reads one", vec![]));
    }
}
