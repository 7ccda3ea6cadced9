//! The `mozaiks` binary: reads the command line and hands over. The only crate that knows which services run here.

mod catalog;
mod clock;
mod commands;
mod config;
mod control;
mod keys;
mod run;
mod shutdown;

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = commands::run();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The operator at the terminal reads the whole chain; nobody else does.
            let _ = writeln!(std::io::stderr(), "mozaiks: {error:?}");
            ExitCode::FAILURE
        }
    }
}
