//! Reads what a node tells of itself in numbers, as strictly as the specification of the text format has it.

use std::collections::{BTreeMap, BTreeSet};

/// Samples by name and labels. Panics at the first fault.
pub(crate) fn parsed(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with('\n'));
    let (mut types, mut helped, mut samples) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            assert!(helped.insert(help.split_once(' ').unwrap().0.to_owned()), "helped twice: {line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind) && types.insert(name.to_owned(), kind).is_none(), "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
            let labels = series[name.len()..].strip_prefix('{').map_or("", |rest| rest.strip_suffix('}').unwrap());
            for label in labels.split(',').filter(|label| !label.is_empty()) {
                let (key, value) = label.split_once('=').unwrap();
                let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap();
                assert!(is_word(key) && !value.contains(['"', '\\']), "{line}");
            }
            let family =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).filter(|name| types.contains_key(*name));
            assert!(is_word(name) && types.contains_key(family.unwrap_or(name)), "untyped: {line}");
            assert!(samples.insert(series.to_owned(), value.parse().unwrap()).is_none(), "twice: {line}");
        }
    }
    // Stricter readers know a counter by its name without `_total`.
    let families: BTreeSet<_> = types.keys().map(|name| name.trim_end_matches("_total")).collect();
    assert_eq!(families.len(), types.len(), "{families:?}");
    assert_eq!(helped, types.into_keys().collect());
    samples
}
