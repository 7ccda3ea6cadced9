//! The command line. One file a command.

mod backup;
mod config;
mod db;
mod dev;
mod doctor;
mod events;
mod health;
mod migrate;
mod openapi;
mod operator;
mod progress;
mod restore;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use kernel::{Error, Result};

use crate::config::{Loaded, PREFIX, Sources, load};
use crate::run;

/// The open-source core for multi-tenant products: identity, gateway and shell in one binary.
#[derive(Parser)]
#[command(name = "mozaiks", version, disable_help_subcommand = true)]
struct Line {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every command takes; they win over environment and file.
#[derive(Args)]
struct Settings {
    /// Configuration file (TOML).
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    /// Folder of the database, keys, lock and control socket.
    #[arg(long, global = true)]
    data_dir: Option<PathBuf>,
    /// Address of gateway and shell; port 0 takes a free one.
    #[arg(long, global = true)]
    listen: Option<String>,
    /// Address of reflection and health; loopback only. Each process on a machine needs its own.
    #[arg(long, global = true)]
    admin_listen: Option<String>,
    /// What runs in this process, such as `gateway` or `identity`; without it, everything. Services named here listen for
    /// their peers too: identity on `listen.identity`.
    #[arg(long, global = true, value_delimiter = ',')]
    services: Vec<String>,
    /// Where a service runs that does not run here: `identity=static:10.0.0.1:8001,10.0.0.2:8001`, or
    /// `identity=dns:///identity:8001` for every address of a name.
    #[arg(long = "peer", global = true, value_name = "SERVICE=WHERE")]
    peers: Vec<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Runs everything in this process, or what --services names.
    Serve,
    /// Runs everything for trying out: state in `.mozaiks/`, a demo app, people with printed passwords.
    Dev,
    /// Shows or checks the configuration.
    #[command(subcommand)]
    Config(config::Action),
    /// Prints the description of the REST side (OpenAPI 3.1).
    Openapi,
    /// What only whoever holds the machine may do.
    #[command(subcommand)]
    Operator(operator::Action),
    /// Copies everything that is stored into a new folder, whether a node runs or not.
    Backup(backup::Line),
    /// Makes a store of a backup, in a data folder that has none.
    Restore(restore::Line),
    /// Moves everything into another store.
    #[command(subcommand)]
    Migrate(migrate::Action),
    /// Checks or upgrades the store.
    #[command(subcommand)]
    Db(db::Action),
    /// Events that could not be published.
    #[command(subcommand)]
    Events(events::Action),
    /// Says what is wrong with this machine or folder: rights, keys, lock, ports, how fast the disk syncs.
    Doctor,
    /// Asks a running node whether it is well; exit code 0 = yes.
    Health {
        /// Asks whether it takes calls, not only whether it lives.
        #[arg(long)]
        ready: bool,
    },
}

/// What trying out needs.
const DEV: &[(&str, &str)] = &[("data_dir", ".mozaiks"), ("drain_seconds", "0"), ("log", "warn")];

/// Reads the command line and does it.
pub(crate) fn run() -> Result<()> {
    let line = Line::parse();
    let dev = matches!(line.command, Command::Dev);
    let loaded = settings(&line.settings, dev)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| Error::internal("RUNTIME", "threads cannot be started").because(cause))?;
    runtime.block_on(async {
        match line.command {
            Command::Serve => {
                rpc::log(&loaded.config.log)?;
                run::run(loaded.config, |_| async { Ok(()) }).await
            }
            Command::Dev => {
                rpc::log(&loaded.config.log)?;
                dev::run(loaded.config).await
            }
            Command::Config(action) => {
                rpc::log(&loaded.config.log)?;
                config::run(&action, &loaded)
            }
            Command::Operator(action) => operator::run(&action, loaded.config).await,
            Command::Openapi => openapi::run(),
            Command::Backup(line) => backup::run(&line, &loaded.config).await,
            Command::Restore(line) => restore::run(&line, &loaded.config).await,
            Command::Migrate(action) => migrate::run(&action, &loaded.config).await,
            Command::Db(action) => db::run(&action, &loaded.config).await,
            Command::Events(action) => events::run(action, &loaded.config).await,
            Command::Doctor => doctor::run(&loaded.config).await,
            Command::Health { ready } => health::run(&loaded.config, ready).await,
        }
    })
}

/// One line of a result.
fn print(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").map_err(|cause| Error::internal("STDOUT", "stdout is closed").because(cause))
}

/// Our own variables. Others may hold anything. Errors: `CONFIG_INVALID` when one of ours is no UTF-8.
fn environment() -> Result<Vec<(String, String)>> {
    let ours = std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()));
    let read = |(name, value): (OsString, OsString)| match (name.into_string(), value.into_string()) {
        (Ok(name), Ok(value)) => Ok((name, value)),
        (Ok(name), Err(_)) | (Err(_), Ok(name)) => Err(Error::invalid("CONFIG_INVALID", format!("{name} is not UTF-8"))),
        (Err(name), Err(_)) => Err(Error::invalid("CONFIG_INVALID", format!("{name:?} is not UTF-8"))),
    };
    ours.map(read).collect()
}

fn settings(settings: &Settings, dev: bool) -> Result<Loaded> {
    let mut flags = Vec::new();
    for (key, value) in [("listen.gateway", &settings.listen), ("listen.admin", &settings.admin_listen)] {
        flags.extend(value.clone().map(|value| (key.to_owned(), value)));
    }
    if let Some(folder) = &settings.data_dir {
        flags.push(("data_dir".to_owned(), folder.display().to_string()));
    }
    if !settings.services.is_empty() {
        flags.push(("services".to_owned(), settings.services.join(",")));
    }
    for peer in &settings.peers {
        let (service, at) = peer.split_once('=').ok_or_else(|| {
            Error::invalid("CONFIG_INVALID", format!("--peer {peer}: say which service and where, such as identity=static:127.0.0.1:8001"))
        })?;
        flags.push((format!("peers.{service}"), at.to_owned()));
    }
    let command = if dev { DEV } else { &[] };
    load(Sources { command, file: settings.config.as_deref(), environment: environment()?, flags })
}
