//! The `mozaiks` binary: reads the command line and hands over. The only crate that knows which services run here.

mod catalog;
mod clock;
mod commands;
mod config;
mod content;
mod control;
mod desk;
mod doors;
mod keys;
mod layout;
mod manifest;
mod numbers;
mod readiness;
mod run;
mod secrets;
mod shutdown;
mod upkeep;

use std::io::Write as _;
use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A call takes and gives back some seventy small pieces of memory, on whichever thread it is at that moment.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // In binaries that tests build, faults come from the environment.
    let points = fail::has_failpoints().then(fail::FailScenario::setup);
    let outcome = commands::run();
    drop(points);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The operator at the terminal reads the whole chain; nobody else does.
            let _ = writeln!(std::io::stderr(), "mozaiks: {error:?}");
            ExitCode::FAILURE
        }
    }
}
