//! Feeds one target of gateway/tests/corpora what coverage makes of its corpus. `FUZZ_TARGET` says which.
//! Holds no target of its own.

#![no_main]

use std::env;
use std::sync::LazyLock;

use gateway::targets::{Contracts, TARGETS, Target};
use libfuzzer_sys::fuzz_target;

static CONTRACTS: LazyLock<Contracts> = LazyLock::new(|| Contracts::read(include_bytes!(concat!(env!("OUT_DIR"), "/contracts.binpb"))));

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let wanted = env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
    let found = TARGETS.into_iter().find(|(name, _)| *name == wanted);
    found.unwrap_or_else(|| panic!("there is no target {wanted}")).1
});

fuzz_target!(|input: &[u8]| TARGET(&CONTRACTS, input));
