//! Protobuf's own conformance suite over the codec that has the last word: this program is the testee, on stdin and stdout,
//! and the gate that starts the runner with it; without a runner (`fetch.sh`) it says SKIPPED. What fails today stands in
//! `known_failures.txt`, which only shrinks: the runner refuses a line too many.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod testee;

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Tests that have passed so far.
const AT_LEAST: usize = 2_749;

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some("testee") {
        return testee::serve();
    }
    let program = env::current_exe().unwrap();
    let target = program.ancestors().nth(3).unwrap();
    let runner = target.join("conformance/runner");
    if !runner.exists() {
        println!("protobuf conformance: SKIPPED, there is no runner; gateway/tests/conformance/fetch.sh gets it");
        println!("0 passed, 0 failed, 1 skipped");
        return ExitCode::SUCCESS;
    }
    let known = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/known_failures.txt");
    let reports = target.join("conformance/reports");
    std::fs::create_dir_all(&reports).unwrap();
    let told = Command::new(runner)
        .args(["--enforce_recommended", "--maximum_edition", "PROTO3"])
        .args(["--failure_list".as_ref(), known.as_os_str(), "--output_dir".as_ref(), reports.as_os_str()])
        .args([program.as_os_str(), "testee".as_ref()])
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    println!("{text}");
    // A testee that skipped everything would pass as well.
    let is_green = told.status.success() && successes(&text) >= AT_LEAST;
    println!("{}", if is_green { "1 passed, 0 failed" } else { "0 passed, 1 failed" });
    if is_green { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The number in `CONFORMANCE SUITE PASSED: 2745 successes, …`, of the suites that there are the largest.
fn successes(text: &str) -> usize {
    let counts = text.split("CONFORMANCE SUITE PASSED: ").skip(1).filter_map(|rest| rest.split(' ').next()?.parse().ok());
    counts.max().unwrap_or_default()
}
