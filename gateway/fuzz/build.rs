//! Compiles the contracts of the targets, as the tests do. Generates nothing else.

#[path = "../tests/corpora/contracts.rs"]
mod contracts;

use std::path::Path;
use std::{env, fs};

fn main() {
    let gateway = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for read in ["tests/door/probe.proto", "tests/corpora/contracts.rs", "../proto"] {
        println!("cargo:rerun-if-changed={}", gateway.join(read).display());
    }
    let out = env::var_os("OUT_DIR").unwrap();
    fs::write(Path::new(&out).join("contracts.binpb"), contracts::compile(gateway)).unwrap();
}
