//! `mozaiks config`: what is set, and by whom.

use std::io::Write as _;

use clap::Subcommand;
use kernel::{Error, Result};

use crate::config::Loaded;

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Prints every key with its value and where the value comes from.
    Print,
    /// Says whether the configuration is sound. Faults end any command, all of them named at once.
    Check,
}

/// Errors of the configuration itself have ended the program before this.
pub(super) fn run(action: &Action, loaded: &Loaded) -> Result<()> {
    let text = match action {
        Action::Print => loaded.print()?,
        Action::Check => "the configuration is sound".to_owned(),
    };
    writeln!(std::io::stdout(), "{text}").map_err(|cause| Error::internal("STDOUT", "stdout is closed").because(cause))
}
