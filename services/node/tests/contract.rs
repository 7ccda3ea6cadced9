//! What a release promised and this tree breaks, in the options that the contract's own linter does not look into: paths,
//! permissions, limits, field behaviour. Compares the contracts with the newest image under `proto/releases/`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "contract/diff.rs"]
mod diff;
#[path = "contract/fixtures.rs"]
mod fixtures;
#[path = "contract/options.rs"]
mod options;

use std::fs;
use std::path::{Path, PathBuf};

use prost_reflect::DescriptorPool;
use toml::Table;

fn releases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/releases")
}

/// The image with the highest version in its name, such as `0.10.0.binpb`.
fn newest(files: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    let version = |path: &Path| -> Option<Vec<u32>> {
        let name = path.file_name()?.to_str()?.strip_suffix(".binpb")?;
        name.split('.').map(|part| part.parse().ok()).collect()
    };
    files.into_iter().filter_map(|path| Some((version(&path)?, path))).max().map(|(_, path)| path)
}

/// What stays wrong once the exceptions are taken out: each names a fault of today and says why it may be.
fn unaccepted(faults: Vec<String>, accepted: &Table) -> Vec<String> {
    let reasonless = accepted.iter().filter(|(_, reason)| reason.as_str().is_none_or(|reason| reason.len() < 10));
    let mut left: Vec<String> = reasonless.map(|(fault, _)| format!("accepted without a reason: {fault}")).collect();
    left.extend(accepted.keys().filter(|fault| !faults.contains(fault)).map(|fault| format!("accepted and not there any more: {fault}")));
    left.extend(faults.into_iter().filter(|fault| !accepted.contains_key(fault)));
    left
}

#[test]
fn no_promise_of_the_last_release_is_broken() {
    let today = DescriptorPool::decode(api::DESCRIPTORS).unwrap();
    let mut faults = diff::deprecations(&today);
    let files = fs::read_dir(releases()).into_iter().flatten().map(|entry| entry.unwrap().path());
    match newest(files) {
        None => println!("there is no release to compare with yet"),
        Some(image) => {
            let released = DescriptorPool::decode(fs::read(&image).unwrap().as_slice()).unwrap();
            faults.extend(diff::broken(&released, &today));
        }
    }
    let accepted = fs::read_to_string(releases().join("accepted.toml")).unwrap_or_default();
    let left = unaccepted(faults, &accepted.parse().unwrap());
    assert!(
        left.is_empty(),
        "promises are broken; an exception is a line `\"<fault>\" = \"<reason>\"` in proto/releases/accepted.toml:\n{}",
        left.join("\n")
    );
}

#[test]
fn the_contracts_break_nothing_of_themselves() {
    let today = DescriptorPool::decode(api::DESCRIPTORS).unwrap();
    assert_eq!(diff::broken(&today, &today), Vec::<String>::new());
}

#[test]
fn versions_are_numbers() {
    let files = ["0.9.0.binpb", "0.10.0.binpb", "0.2.0.binpb", "accepted.toml", "next.binpb"];
    assert_eq!(newest(files.map(PathBuf::from)), Some(PathBuf::from("0.10.0.binpb")));
    assert_eq!(newest(files[3..].iter().map(PathBuf::from)), None);
}

#[test]
fn exceptions_are_of_today_and_have_a_reason() {
    let accepted = |lines: &str| lines.parse::<Table>().unwrap();
    let faults = || vec!["a is gone".to_owned(), "b is gone".to_owned()];
    assert_eq!(unaccepted(faults(), &accepted("\"a is gone\" = \"nobody ever called it\"")), ["b is gone"]);
    assert_eq!(unaccepted(faults(), &accepted("\"a is gone\" = \"\"")), ["accepted without a reason: a is gone", "b is gone"]);
    let stale = unaccepted(Vec::new(), &accepted("\"a is gone\" = \"nobody ever called it\""));
    assert_eq!(stale, ["accepted and not there any more: a is gone"]);
}
