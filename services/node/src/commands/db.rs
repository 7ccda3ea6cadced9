//! `mozaiks db`: whether what is stored is sound, and what a newer program makes of it. Backups are in `backup`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use kernel::{Clock, Error, Result};
use storage::mongo::Settings;
use storage::{Across, Collection, Inspection, Mongo, Sqlite, Store};
use tokio::task::block_in_place;

use super::operator::asked;
use super::print;
use super::progress::Progress;
use crate::config::{Config, Engine};
use crate::content::Whole;
use crate::control::Ask;
use crate::{catalog, control, run};

/// Age of events that wait, from which on something is wrong with whoever publishes them.
const OLD: Duration = Duration::from_secs(60);

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Reads the whole store, beside a running node or alone: pages, indexes, every document, what waits to be published.
    Check,
    /// Brings keys and indexes to what this program declares; no node may run. The next start would do the same.
    Upgrade,
    /// Makes the running node refuse all changes, or take them again.
    ReadOnly {
        /// Which.
        switch: Switch,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

/// Errors: `STORE_UNSOUND` when a check has findings that are no warnings, `STORE_LOCKED`, those of the store.
pub(super) async fn run(action: &Action, config: &Config) -> Result<()> {
    match action {
        Action::Check => check(config).await,
        Action::Upgrade => upgrade(config).await,
        Action::ReadOnly { switch } => read_only(config, matches!(switch, Switch::On)).await,
    }
}

async fn check(config: &Config) -> Result<()> {
    let mut progress = Progress::new();
    if config.store.engine == Engine::MongoDb {
        return check_server(config, &mut progress).await;
    }
    let (engine, store) = beside(&config.data_dir).await?;
    let found = block_in_place(|| engine.inspect(&mut |what, done| progress.at(what, done)))?;
    for kind in &found.kinds {
        print(&format!("ok      {:<16} {} documents, {} removed, version {}", kind.name, kind.documents, kind.removed, kind.stored))?;
    }
    let mut warnings = if found.damage.is_empty() { outbox(&store, &found).await? } else { Vec::new() };
    warnings.extend(versions(&found));
    for warning in &warnings {
        print(&format!("warning {warning}"))?;
    }
    let faults: Vec<&String> = found.damage.iter().chain(&found.drift).collect();
    for fault in &faults {
        print(&format!("FAULT   {fault}"))?;
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::refused("STORE_UNSOUND", format!("{} faults; see above", faults.len()))) }
}

/// A server looks after its own files and indexes; every document is read and compared with its checksum.
async fn check_server(config: &Config, progress: &mut Progress) -> Result<()> {
    let engine = Arc::new(Mongo::connect(Settings::new(config.store_uri()?, config.store.database.clone())).await?);
    let whole = Whole { store: Store::open(engine, [0; 32], Clock::system()), across: Across::granted() };
    catalog::define(&whole.store).await?;
    let mut faults = 0;
    for kind in whole.store.kinds() {
        match whole.digest(&[kind], &mut |what, done| progress.at(what, done)).await {
            Ok(read) => {
                for kind in read {
                    print(&format!(
                        "ok      {:<16} {} documents, {} removed, version {}",
                        kind.name, kind.documents, kind.removed, kind.version
                    ))?;
                }
            }
            Err(error) if error.reason() == "RECORD_CORRUPT" => {
                faults += 1;
                print(&format!("FAULT   {error}"))?;
            }
            Err(error) => return Err(error),
        }
    }
    for warning in late(&whole.store, whole.store.kinds()).await? {
        print(&format!("warning {warning}"))?;
    }
    if faults == 0 { Ok(()) } else { Err(Error::refused("STORE_UNSOUND", format!("{faults} faults; see above"))) }
}

/// The store in this folder, read beside whoever writes it.
pub(super) async fn beside(folder: &Path) -> Result<(Arc<Sqlite>, Store)> {
    if !run::has_store(folder) {
        return Err(Error::refused("DATA_DIR", format!("no store stands in {}; name its folder with --data-dir", folder.display())));
    }
    let engine = Arc::new(block_in_place(|| Sqlite::reading(&Sqlite::file(folder)))?);
    let store = Store::open(engine.clone(), [0; 32], Clock::system());
    catalog::define(&store).await?;
    Ok((engine, store))
}

/// Collections of another version than this program's.
pub(super) fn versions(found: &Inspection) -> Vec<String> {
    let differing = found.kinds.iter().filter(|kind| kind.stored != kind.declared);
    let told = |kind: &storage::Inspected| {
        let (name, stored, declared) = (kind.name, kind.stored, kind.declared);
        if stored < declared {
            format!("{name} has version {stored}, this program {declared}: the next start, or `mozaiks db upgrade`, brings it up")
        } else {
            format!("{name} has version {stored}, this program only {declared}: it was written by a newer one")
        }
    };
    differing.map(told).collect()
}

/// What waits too long to be published.
pub(super) async fn outbox(store: &Store, found: &Inspection) -> Result<Vec<String>> {
    let current = |kind: &&'static Collection| found.kinds.iter().any(|found| found.name == kind.name && found.stored == kind.version);
    late(store, store.kinds().into_iter().filter(current).collect()).await
}

async fn late(store: &Store, kinds: Vec<&'static Collection>) -> Result<Vec<String>> {
    let across = Across::granted();
    let mut warnings = Vec::new();
    for kind in kinds {
        let waiting = store.outbox(&across, kind).await?;
        if waiting.parked > 0 {
            warnings.push(format!("{}: the events of {} documents are parked; see `mozaiks events list`", kind.name, waiting.parked));
        }
        let age = waiting.oldest.map(|at| Clock::system().now().since(at)).filter(|age| *age > OLD);
        if let Some(age) = age {
            warnings.push(format!("{}: an event has waited for {} s to be published", kind.name, age.as_secs()));
        }
    }
    Ok(warnings)
}

async fn upgrade(config: &Config) -> Result<()> {
    if control::is_running(&config.data_dir).await? {
        return Err(Error::refused("STORE_LOCKED", "a node runs on this folder; stop it first"));
    }
    let mut progress = Progress::new();
    let before = match config.store.engine {
        Engine::Sqlite => block_in_place(|| Sqlite::versions(&Sqlite::file(&config.data_dir)))?,
        Engine::MongoDb => BTreeMap::new(),
    };
    progress.stage("opening the store");
    let ground = run::ground(config).await?;
    progress.stage("bringing up keys and indexes");
    catalog::define(&ground.store).await?;
    for kind in ground.store.kinds() {
        let told = match before.get(kind.name) {
            None => format!("at version {}", kind.version),
            Some(version) if *version < kind.version => format!("brought from version {version} to {}", kind.version),
            Some(version) if *version > kind.version => {
                format!("left at version {version}: a newer program wrote it, this one knows {}", kind.version)
            }
            Some(version) => format!("at version {version}, unchanged"),
        };
        print(&format!("{:<16} {told}", kind.name))?;
    }
    Ok(())
}

async fn read_only(config: &Config, on: bool) -> Result<()> {
    if !control::is_running(&config.data_dir).await? {
        return Err(Error::unavailable("CONTROL_SOCKET", "no node runs on this folder"));
    }
    asked(config, Ask::ReadOnly { on, seconds: 0 }).await?;
    print(if on { "changes are refused until `mozaiks db read-only off`, also after a restart" } else { "changes are taken" })
}
