//! `mozaiks openapi`: the description of the REST side, as the gateway serves it, laid out for people.

use std::io::Write as _;

use kernel::{Error, Result};
use rpc::Schema;

/// Prints the description to stdout.
pub(super) fn run() -> Result<()> {
    let refused = |faults: Vec<String>| Error::internal("CONTRACT_REFUSED", faults.join("; "));
    let schema = Schema::read(api::DESCRIPTORS).map_err(refused)?;
    let description = gateway::openapi(&schema).map_err(refused)?;
    writeln!(std::io::stdout(), "{description:#}").map_err(|cause| Error::internal("STDOUT", "stdout is closed").because(cause))
}
