//! `mozaiks restore`: a backup becomes a store again, in a folder that has none. Never touches the backup.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use kernel::{Error, Result};
use storage::{Durability, Sqlite, Store};
use tokio::task::block_in_place;

use super::backup::{Copied, check_engine, fingerprint};
use super::print;
use super::progress::Progress;
use crate::config::Config;
use crate::manifest::{self, Manifest};
use crate::{catalog, control};

#[derive(Args)]
pub(crate) struct Line {
    /// The folder of the backup.
    #[arg(long)]
    from: PathBuf,
    /// Afterwards compares the content of every document with the manifest, too.
    #[arg(long)]
    verify: bool,
    /// Leaves sessions as they were at the time of the backup. Those that were ended since then are open again.
    #[arg(long)]
    keep_sessions: bool,
}

/// Errors: `ENGINE_UNSUITED`, `BACKUP_DAMAGED`, `BACKUP_NEWER`, `MASTER_KEY_DIFFERS`, `STORE_EXISTS`, `STORE_LOCKED`, those of the store.
pub(super) async fn run(line: &Line, config: &Config) -> Result<()> {
    check_engine(config)?;
    let began = Instant::now();
    let mut progress = Progress::new();
    if control::is_running(&config.data_dir).await? {
        let message = format!("a node runs on {}; restore into an empty folder", config.data_dir.display());
        return Err(Error::refused("STORE_EXISTS", message));
    }
    progress.stage("comparing digests");
    let manifest = block_in_place(|| manifest::open(&line.from))?;
    check_key(&manifest, config)?;
    progress.stage("copying the store");
    block_in_place(|| Sqlite::restore(&line.from.join(manifest::STORE), &config.data_dir))?;
    if let Err(error) = finish(line, config, &manifest, &mut progress).await {
        let file = Sqlite::file(&config.data_dir);
        return match fs::remove_file(&file) {
            Ok(()) => Err(error),
            Err(cause) => {
                let message = format!("{} is not sound ({error}), and cannot be removed", file.display());
                Err(Error::refused("BACKUP_DAMAGED", message).because(cause))
            }
        };
    }
    print(&format!("restored   {} to the state of {}", config.data_dir.display(), manifest.time))?;
    print(&format!("took       {:.1} s", began.elapsed().as_secs_f32()))?;
    print(match (line.keep_sessions, &manifest.master_key) {
        (true, _) => "sessions   as they were: also those that were ended after the backup are open again",
        (false, _) => "sessions   all are ended; people sign in again",
    })?;
    match &manifest.master_key {
        Some(named) if !config.master_key_path().exists() => {
            print(&format!("next       put the master key {named} to {}, then start the node", config.master_key_path().display()))
        }
        _ => print("next       start the node"),
    }
}

/// A key that is there must be the one that the backup was sealed with. Errors: `MASTER_KEY_DIFFERS`.
fn check_key(manifest: &Manifest, config: &Config) -> Result<()> {
    let path = config.master_key_path();
    match (fingerprint(&path)?, &manifest.master_key) {
        (Some(here), Some(sealed)) if here != *sealed => {
            let message = format!("{} is the master key {here}; the backup was sealed with {sealed}", path.display());
            Err(Error::refused("MASTER_KEY_DIFFERS", message))
        }
        _ => Ok(()),
    }
}

async fn finish(line: &Line, config: &Config, manifest: &Manifest, progress: &mut Progress) -> Result<()> {
    let (file, clock) = (Sqlite::file(&config.data_dir), crate::clock::clock(&config.test_clock_file));
    Copied::open(&file, clock.clone()).await?.examine(manifest, progress, line.verify).await?;
    if line.keep_sessions {
        return Ok(());
    }
    progress.stage("ending sessions");
    let engine = block_in_place(|| Sqlite::open(&config.data_dir, Durability::Full))?;
    let store = Store::open(Arc::new(engine), [0; 32], clock);
    catalog::define(&store).await?;
    catalog::end_sessions(&store).await
}
