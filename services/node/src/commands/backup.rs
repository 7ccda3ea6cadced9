//! `mozaiks backup`: a copy of everything that is stored, taken while a node runs or while none does, and its examination.
//! How it is brought back is in `restore`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use kernel::{Clock, Error, Result, Time};
use storage::{Across, Collection, Sqlite, Store};
use tokio::task::block_in_place;

use super::print;
use super::progress::Progress;
use crate::config::{Config, Engine};
use crate::content::Whole;
use crate::keys::Master;
use crate::manifest::{self, Collected, Draft, Manifest};
use crate::{catalog, run};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Line {
    /// The folder to make; nothing may be there yet. The master key is not in it: keep that elsewhere.
    #[arg(long, required = true)]
    to: Option<PathBuf>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Reads a backup from the first byte to the last and says whether all of it is as it was written.
    Verify {
        /// Its folder.
        folder: PathBuf,
    },
}

/// Errors: `BACKUP_EXISTS`, `BACKUP_FAILED`, `BACKUP_DAMAGED`, `DATA_DIR`, those of the store.
pub(super) async fn run(line: &Line, config: &Config) -> Result<()> {
    match (&line.action, &line.to) {
        (Some(Action::Verify { folder }), _) => verify(folder).await,
        (None, Some(to)) => make(to, config).await,
        (None, None) => Err(Error::invalid("CONFIG_INVALID", "say where the backup goes: --to FOLDER")),
    }
}

async fn make(to: &Path, config: &Config) -> Result<()> {
    check_engine(config)?;
    if !run::has_store(&config.data_dir) {
        let message = format!("no store stands in {}; name its folder with --data-dir", config.data_dir.display());
        return Err(Error::refused("DATA_DIR", message));
    }
    let mut progress = Progress::new();
    let clock = crate::clock::clock(&config.test_clock_file);
    let draft = Draft::begin(to)?;
    let (began, copy) = (clock.now(), draft.store());
    progress.stage("copying the store");
    block_in_place(|| Sqlite::copy(&Sqlite::file(&config.data_dir), &copy))?;
    progress.stage("reading the copy");
    let read = Copied::open(&copy, clock).await?;
    let collections = read.collections(&mut progress).await?;
    let manifest = Manifest::of(collections, rfc3339(began)?, fingerprint(&config.master_key_path())?);
    drop(read);
    draft.finish(&manifest)?;
    tell(to, &manifest)
}

/// Backups are of the embedded store. Errors: `ENGINE_UNSUITED`.
pub(super) fn check_engine(config: &Config) -> Result<()> {
    if config.store.engine == Engine::Sqlite {
        return Ok(());
    }
    Err(Error::refused(
        "ENGINE_UNSUITED",
        "documents are on a MongoDB server; back it up with mongodump, or move them with `mozaiks migrate store`",
    ))
}

async fn verify(folder: &Path) -> Result<()> {
    let mut progress = Progress::new();
    progress.stage("comparing digests");
    let manifest = block_in_place(|| manifest::open(folder))?;
    let copy = Copied::open(&folder.join(manifest::STORE), Clock::system()).await?;
    copy.examine(&manifest, &mut progress, true).await?;
    tell(folder, &manifest)
}

fn tell(folder: &Path, manifest: &Manifest) -> Result<()> {
    let documents: u64 = manifest.collections.iter().map(|collection| collection.documents).sum();
    print(&format!("backup     {}", folder.display()))?;
    print(&format!("time       {}", manifest.time))?;
    print(&format!("documents  {documents} in {} collections", manifest.collections.len()))?;
    print(&format!("content    {}", manifest.content))?;
    match &manifest.master_key {
        Some(named) => print(&format!("master key {named}, which is not in the backup: keep a copy of it elsewhere")),
        None => print("master key none was found, and none is in the backup"),
    }
}

/// Names the master key in this file without telling it; none when there is no such file.
pub(super) fn fingerprint(path: &Path) -> Result<Option<String>> {
    if !path.exists() {
        return Ok(None);
    }
    let derived = Master::open(path, false)?.derive("backup fingerprint")?;
    // 64 bits tell keys apart and are short enough to compare by eye.
    Ok(Some(manifest::hex(&derived[..8])))
}

pub(super) fn rfc3339(time: Time) -> Result<String> {
    let text = serde_json::to_value(api::wkt::Timestamp::from_micros(time.micros()));
    let text = text.map_err(|cause| Error::internal("STDOUT", "a time cannot be written").because(cause))?;
    Ok(text.as_str().unwrap_or_default().to_owned())
}

/// A database that nobody writes.
pub(super) struct Copied {
    file: PathBuf,
    engine: Arc<Sqlite>,
    whole: Whole,
}

impl Copied {
    pub(super) async fn open(file: &Path, clock: Clock) -> Result<Self> {
        let engine = Arc::new(block_in_place(|| Sqlite::reading(file))?);
        // No page token is ever made of it.
        let store = Store::open(engine.clone(), [0; 32], clock);
        catalog::define(&store).await?;
        Ok(Self { file: file.to_owned(), engine, whole: Whole { store, across: Across::granted() } })
    }

    /// Everything that is stored, digested where this program knows how to read it.
    async fn collections(&self, progress: &mut Progress) -> Result<Vec<Collected>> {
        let stored = block_in_place(|| Sqlite::versions(&self.file))?;
        let known: Vec<&'static Collection> =
            self.whole.store.kinds().into_iter().filter(|kind| stored.get(kind.name) == Some(&kind.version)).collect();
        let mut digested = self.whole.digest(&known, &mut |what, done| progress.at(what, done)).await?;
        let others = stored.into_iter().filter(|(name, _)| known.iter().all(|kind| kind.name != name.as_str()));
        digested.extend(others.map(|(name, version)| Collected { name, version, documents: 0, removed: 0, content: String::new() }));
        Ok(digested)
    }

    /// Reads all of it; with `content` a second time, to compare it with the manifest. Errors: `BACKUP_DAMAGED`.
    pub(super) async fn examine(&self, manifest: &Manifest, progress: &mut Progress, content: bool) -> Result<()> {
        let damaged = |what: String| Error::refused("BACKUP_DAMAGED", format!("{}: {what}", self.file.display()));
        progress.stage("looking at pages, indexes and documents");
        let found = block_in_place(|| self.engine.inspect(&mut |what, done| progress.at(what, done)))?;
        if let Some(first) = found.damage.first() {
            return Err(damaged(format!("{first} ({} findings)", found.damage.len())));
        }
        if !content {
            return Ok(());
        }
        progress.stage("comparing the content");
        for now in self.collections(progress).await? {
            let then = manifest.collections.iter().find(|then| then.name == now.name);
            let same = |then: &&Collected| then.content.is_empty() || now.content.is_empty() || then.content == now.content;
            if then.filter(same).is_none() {
                return Err(damaged(format!("{} differs from what the manifest says", now.name)));
            }
        }
        Ok(())
    }
}
