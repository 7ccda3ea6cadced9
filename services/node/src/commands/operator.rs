//! `mozaiks operator`: the first operator, and any further one, comes from whoever holds the machine.

use std::io::Write as _;
use std::sync::Arc;

use clap::Subcommand;
use kernel::{Error, Result};
use rpc::{Hub, Schema};

use crate::catalog::{self, Shared};
use crate::config::Config;
use crate::{control, run};

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Prints a one-time link, good for 7 days, that makes whoever registers through it an operator.
    Invite,
}

/// Asks the node that runs on the data folder; opens the store itself when none does.
pub(super) async fn run(action: &Action, config: Config) -> Result<()> {
    let Action::Invite = action;
    let link = match control::ask(&config.data_dir, "operator invite").await? {
        Some(answer) => answer.link.ok_or_else(|| {
            let why = answer.error.unwrap_or_default();
            Error::unavailable("CONTROL_SOCKET", format!("the running node refuses: {why}"))
        })?,
        None => alone(&config).await?,
    };
    writeln!(std::io::stdout(), "{link}").map_err(|cause| Error::internal("STDOUT", "stdout is closed").because(cause))
}

async fn alone(config: &Config) -> Result<String> {
    if !run::has_store(&config.data_dir) {
        let message = format!("no installation stands in {}; name its folder with --data-dir", config.data_dir.display());
        return Err(Error::refused("DATA_DIR", message));
    }
    let ground = run::ground(config)?;
    let public_url = if config.public_url.is_empty() { format!("http://{}", config.listen.gateway) } else { config.public_url.clone() };
    let schema = Schema::read(api::DESCRIPTORS).map_err(|faults| Error::internal("CONTRACT_REFUSED", faults.join("; ")))?;
    let shared = Shared {
        config,
        public_url: &public_url,
        schema: Arc::new(schema),
        store: ground.store,
        master: &ground.master,
        clock: ground.clock,
    };
    let operators = catalog::start(shared, &Hub::new()).await?;
    Ok(control::link(&public_url, &operators.invite().await?))
}
