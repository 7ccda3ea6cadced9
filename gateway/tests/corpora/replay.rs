//! Hostile input in every test run: each file of a corpus and mutations of it go through the target of that name.
//! A new finding, of these mutations or of scripts/fuzz.sh, becomes a file beside the others.

mod contracts;

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;

use crate::targets::{Contracts, TARGETS};

static CONTRACTS: LazyLock<Contracts> = LazyLock::new(|| Contracts::read(&contracts::compile(gateway())));

fn gateway() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = gateway().join("tests/corpora").join(name);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

#[test]
fn every_corpus_is_of_a_target() {
    let entries = fs::read_dir(gateway().join("tests/corpora")).unwrap().map(Result::unwrap);
    let mut folders: Vec<String> =
        entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().into_string().unwrap()).collect();
    let mut names = TARGETS.map(|(name, _)| name);
    folders.sort_unstable();
    names.sort_unstable();
    assert_eq!(folders, names);
}

#[test]
fn every_corpus_is_replayed() {
    for (name, target) in TARGETS {
        let inputs = corpus(name);
        assert!(inputs.len() >= 10, "{name} has only {} inputs", inputs.len());
        inputs.iter().for_each(|input| target(&CONTRACTS, input));
    }
}

/// One change: put a byte, drop one, double a piece, cut the rest off.
fn mutate(input: &mut Vec<u8>, (kind, at, byte): (u8, Index, u8)) {
    let at = at.index(input.len() + 1);
    match kind % 4 {
        0 => input.insert(at, byte),
        1 if at < input.len() => _ = input.remove(at),
        2 => {
            let piece: Vec<u8> = input[at..].iter().take(usize::from(byte)).copied().collect();
            input.splice(at..at, piece);
        }
        _ => input.truncate(at.max(usize::from(byte))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn mutations_of_every_corpus_are_judged(pick: Index, changes in prop::collection::vec((any::<u8>(), any::<Index>(), any::<u8>()), 1..6)) {
        for (name, target) in TARGETS {
            let inputs = corpus(name);
            let mut input = pick.get(&inputs).clone();
            changes.iter().for_each(|change| mutate(&mut input, *change));
            target(&CONTRACTS, &input);
        }
    }
}
