//! Where log lines go: JSON, one object a line, on stderr. Set up once by the process's own main.

use std::io::stderr;

use kernel::{Error, Result};
use tracing_subscriber::EnvFilter;

/// Starts logging. `filter` is a level or a list of `target=level`, such as `info,rpc=debug`.
/// Errors: `LOG_FILTER_INVALID`, also when logging was started before.
pub fn log(filter: &str) -> Result<()> {
    let invalid = || Error::invalid("LOG_FILTER_INVALID", format!("{filter:?} is no log filter such as `info,rpc=debug`"));
    let filter = EnvFilter::try_new(filter).map_err(|cause| invalid().because(cause))?;
    let lines = tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(stderr);
    lines.try_init().map_err(|cause| invalid().because(cause))
}
