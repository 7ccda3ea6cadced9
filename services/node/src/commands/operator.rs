//! `mozaiks operator`: the first operator, and any further one, comes from whoever holds the machine.

use std::io::Write as _;
use std::sync::Arc;

use clap::Subcommand;
use kernel::{Error, Result};
use rpc::{Hub, Schema};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::catalog::{self, Shared};
use crate::config::{Config, Engine};
use crate::control::{self, Ask};
use crate::desk::Desk;
use crate::run;

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Prints a one-time link, good for 7 days, that makes whoever registers through it an operator.
    Invite,
}

/// Asks the node that runs on the data folder; opens the store itself when none does.
pub(super) async fn run(action: &Action, config: Config) -> Result<()> {
    let Action::Invite = action;
    let rows = asked(&config, Ask::InviteOperator {}).await?;
    let link = rows.first().and_then(|row| row["link"].as_str());
    let link = link.ok_or_else(|| Error::unavailable("CONTROL_SOCKET", "the running node answers without a link"))?;
    writeln!(std::io::stdout(), "{link}").map_err(|cause| Error::internal("STDOUT", "stdout is closed").because(cause))
}

/// The answer of the node that runs on the data folder; of the store that stands there when none does.
pub(super) async fn asked(config: &Config, ask: Ask) -> Result<Vec<Value>> {
    match control::ask(&config.data_dir, &ask).await? {
        Some(rows) => Ok(rows),
        None => alone(config, ask).await,
    }
}

async fn alone(config: &Config, ask: Ask) -> Result<Vec<Value>> {
    if config.store.engine == Engine::Sqlite && !run::has_store(&config.data_dir) {
        let message = format!("no installation stands in {}; name its folder with --data-dir", config.data_dir.display());
        return Err(Error::refused("DATA_DIR", message));
    }
    let ground = run::ground(config).await?;
    let public_url = if config.public_url.is_empty() { format!("http://{}", config.listen.gateway) } else { config.public_url.clone() };
    let schema = Schema::read(api::DESCRIPTORS).map_err(|faults| Error::internal("CONTRACT_REFUSED", faults.join("; ")))?;
    let shared = Shared {
        config,
        public_url: &public_url,
        schema: Arc::new(schema),
        store: ground.store.clone(),
        master: &ground.master,
        clock: ground.clock.clone(),
    };
    let operators = catalog::start(shared, &Hub::new()).await?.operators;
    run::recall(&ground.store).await?;
    let desk = Desk::new(ground.store, operators, public_url, ground.clock);
    let (rows, mut told) = mpsc::channel(1);
    let collect = async {
        let mut collected = Vec::new();
        while let Some(row) = told.recv().await {
            collected.push(row);
        }
        collected
    };
    let (answered, collected) = tokio::join!(desk.answer(ask, rows), collect);
    answered.map(|()| collected)
}
