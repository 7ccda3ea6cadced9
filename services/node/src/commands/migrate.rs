//! `mozaiks migrate store`: everything that is stored moves into another store, while the node goes on; changes are refused
//! for the last moments only. Run again after any failure, it goes on where it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use kernel::{Clock, Error, Result};
use storage::mongo::Settings;
use storage::{Across, Collection, Durability, Engine, Mongo, Sqlite, Store};
use tokio::task::block_in_place;

use super::print;
use super::progress::Progress;
use crate::config::Config;
use crate::content::{Pass, Whole};
use crate::control::{self, Ask};
use crate::manifest::Collected;
use crate::secrets::secret;
use crate::{catalog, run};

/// Differences that are left for the pause: they are copied in a moment.
const FEW: u64 = 200;
/// Passes beside a writing node, after which whatever differs is left for the pause.
const MAX_PASSES: usize = 12;

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Copies a store into another one, makes sure that both are equal, and says what to do next.
    Store(Line),
}

#[derive(Args)]
pub(crate) struct Line {
    /// Where everything is: `sqlite:FOLDER` or `mongodb://HOST/DATABASE`.
    #[arg(long, required_unless_present = "from_file", conflicts_with = "from_file")]
    from: Option<String>,
    /// A file that says where everything is: for addresses with a password in them.
    #[arg(long)]
    from_file: Option<PathBuf>,
    /// Where everything is to be: `sqlite:FOLDER` or `mongodb://HOST/DATABASE`.
    #[arg(long, required_unless_present = "to_file", conflicts_with = "to_file")]
    to: Option<String>,
    /// A file that says where everything is to be.
    #[arg(long)]
    to_file: Option<PathBuf>,
    /// Data folder of a node that writes to the source, once for each; the one of an embedded store is found without.
    #[arg(long)]
    node: Vec<PathBuf>,
    /// Longest time for which nodes refuse changes.
    #[arg(long, default_value_t = 30)]
    max_pause_seconds: u64,
}

/// Errors: `STORE_ADDRESS_INVALID`, `TARGET_TAKEN`, `VERSION_DIFFERS`, `PAUSE_TOO_SHORT`, `PAUSE_LOST`, `COPY_DIFFERS`,
/// those of the stores.
pub(super) async fn run(action: &Action, config: &Config) -> Result<()> {
    let Action::Store(line) = action;
    let clock = crate::clock::clock(&config.test_clock_file);
    let from = Address::read(line.from.as_deref(), line.from_file.as_deref())?;
    let to = Address::read(line.to.as_deref(), line.to_file.as_deref())?;
    if from == to {
        return Err(Error::invalid("STORE_ADDRESS_INVALID", "a store cannot be moved into itself"));
    }
    let nodes = from.running_nodes(&line.node).await?;
    let (source, kinds) = from.source(!nodes.is_empty(), &clock).await?;
    let target = to.target(&clock).await?;
    check_target(&source, &target).await?;
    let mut work = Move { source, target, kinds, progress: Progress::new(), passes: 0 };
    work.copy_beside(!nodes.is_empty()).await?;
    let mut pause = Pause { nodes };
    if !pause.nodes.is_empty() {
        let expected = work.rehearse().await?;
        pause.begin(line.max_pause_seconds, expected).await?;
    }
    let began = Instant::now();
    let moved = match work.finish().await {
        Ok(moved) => pause.keep().await.map(|()| moved)?,
        Err(error) => return Err(pause.end(error).await),
    };
    report(&moved, work.passes)?;
    if !pause.nodes.is_empty() {
        print(&format!("pause      changes are refused since {:.2} s", began.elapsed().as_secs_f32()))?;
        print("next       stop the node; to go on with the old store instead: mozaiks db read-only off")?;
    }
    to.advise()
}

/// A place where everything may be stored. Cannot be printed: it may hold a password.
#[derive(PartialEq, Eq)]
enum Address {
    Sqlite(PathBuf),
    Mongo { uri: String, database: String },
}

impl Address {
    /// Errors: `STORE_ADDRESS_INVALID`, which shows nothing of what a file says, and those of a secret in a file.
    fn read(said: Option<&str>, file: Option<&Path>) -> Result<Self> {
        let invalid = |what: String| Error::invalid("STORE_ADDRESS_INVALID", what);
        let text = match (said, file) {
            (Some(said), _) if said.contains("://") && said.contains('@') => {
                return Err(invalid(
                    "a password on the command line is read by every user of the machine; put the address into a file".into(),
                ));
            }
            (Some(said), _) => said.to_owned(),
            (None, Some(file)) => secret("", file)?,
            (None, None) => String::new(),
        };
        Self::parse(text.trim()).ok_or_else(|| invalid("say where a store is: sqlite:FOLDER or mongodb://HOST/DATABASE".into()))
    }

    fn parse(text: &str) -> Option<Self> {
        if let Some(folder) = text.strip_prefix("sqlite:").filter(|folder| !folder.is_empty()) {
            return Some(Self::Sqlite(folder.into()));
        }
        let rest = text.strip_prefix("mongodb://").or_else(|| text.strip_prefix("mongodb+srv://"))?;
        let (_, behind) = rest.split_once('/')?;
        let database = behind.split('?').next().filter(|database| !database.is_empty())?;
        Some(Self::Mongo { uri: text.to_owned(), database: database.to_owned() })
    }

    /// Data folders of the nodes that write here, over whose control sockets they can be reached. `named` are those that only
    /// the operator knows. Errors: `CONTROL_SOCKET`.
    async fn running_nodes(&self, named: &[PathBuf]) -> Result<Vec<PathBuf>> {
        let mut running = Vec::new();
        if let Self::Sqlite(folder) = self
            && control::is_running(folder).await?
        {
            running.push(folder.clone());
        }
        for folder in named.iter().filter(|folder| !matches!(self, Self::Sqlite(own) if own == *folder)) {
            if !control::is_running(folder).await? {
                return Err(Error::unavailable("CONTROL_SOCKET", format!("no node runs on {}", folder.display())));
            }
            running.push(folder.clone());
        }
        Ok(running)
    }

    /// All that is stored, to be read; an embedded store is locked against a node unless one runs.
    /// Errors: `DATA_DIR`, `VERSION_DIFFERS`.
    async fn source(&self, beside_node: bool, clock: &Clock) -> Result<(Whole, Vec<&'static Collection>)> {
        let Self::Sqlite(folder) = self else {
            let source = self.target(clock).await?;
            let kinds = source.store.kinds();
            return Ok((source, kinds));
        };
        if !run::has_store(folder) {
            return Err(Error::refused("DATA_DIR", format!("no store stands in {}", folder.display())));
        }
        let stored = block_in_place(|| Sqlite::versions(&Sqlite::file(folder)))?;
        let reading = whole(Arc::new(block_in_place(|| Sqlite::reading(&Sqlite::file(folder)))?), clock).await?;
        let kinds = known(&reading, &stored)?;
        if beside_node { Ok((reading, kinds)) } else { Ok((self.target(clock).await?, kinds)) }
    }

    async fn target(&self, clock: &Clock) -> Result<Whole> {
        let engine: Arc<dyn Engine> = match self {
            Self::Sqlite(folder) => Arc::new(block_in_place(|| Sqlite::open(folder, Durability::Full))?),
            Self::Mongo { uri, database } => Arc::new(Mongo::connect(Settings::new(uri, database)).await?),
        };
        whole(engine, clock).await
    }

    /// How a node is started on what is here now.
    fn advise(&self) -> Result<()> {
        match self {
            Self::Sqlite(folder) => print(&format!(
                "next       put the master key to {}, then start the node with --data-dir {}",
                folder.join("master.key").display(),
                folder.display()
            )),
            Self::Mongo { database, .. } => print(&format!(
                "next       set store.engine to mongodb, store.uri_file and store.database ({database}), keep the master key, start the node"
            )),
        }
    }
}

async fn whole(engine: Arc<dyn Engine>, clock: &Clock) -> Result<Whole> {
    // No page token is ever made of it.
    let store = Store::open(engine, [0; 32], clock.clone());
    catalog::define(&store).await?;
    Ok(Whole { store, across: Across::granted() })
}

/// The kinds that are stored, all of them known to this program as they are. Errors: `VERSION_DIFFERS`.
fn known(source: &Whole, stored: &BTreeMap<String, u32>) -> Result<Vec<&'static Collection>> {
    let kinds: Vec<&'static Collection> =
        source.store.kinds().into_iter().filter(|kind| stored.get(kind.name) == Some(&kind.version)).collect();
    let others: Vec<&str> = stored.keys().map(String::as_str).filter(|name| kinds.iter().all(|kind| kind.name != *name)).collect();
    if others.is_empty() {
        return Ok(kinds);
    }
    let message = format!(
        "the source keeps {} in another version than this program; run `mozaiks db upgrade` on it, or move it with the program that writes it",
        others.join(", ")
    );
    Err(Error::refused("VERSION_DIFFERS", message))
}

/// A target is empty, or what an earlier run left there. Errors: `TARGET_TAKEN`.
async fn check_target(source: &Whole, target: &Whole) -> Result<()> {
    let (ours, theirs) = (catalog::founded(&source.store).await?, catalog::founded(&target.store).await?);
    if target.is_empty().await? || (ours.is_some() && ours == theirs) {
        return Ok(());
    }
    Err(Error::refused("TARGET_TAKEN", "the target holds another installation; nothing was changed"))
}

/// One move from store to store.
struct Move {
    source: Whole,
    target: Whole,
    kinds: Vec<&'static Collection>,
    progress: Progress,
    passes: usize,
}

impl Move {
    /// Copies while changes go on, until few differences are left.
    async fn copy_beside(&mut self, writes_go_on: bool) -> Result<()> {
        loop {
            let pass = self.pass().await?;
            self.progress.stage(&format!("pass {}: {} read, {} written, {} removed", self.passes, pass.read, pass.written, pass.removed));
            if !writes_go_on || pass.changes() <= FEW || self.passes >= MAX_PASSES {
                return Ok(());
            }
        }
    }

    /// How long the pause will take, by doing what it does.
    async fn rehearse(&mut self) -> Result<Duration> {
        self.progress.stage("rehearsing the pause");
        let began = Instant::now();
        self.pass().await?;
        self.digests().await?;
        Ok(began.elapsed())
    }

    /// The last pass and the proof, while nothing changes. Errors: `COPY_DIFFERS`.
    async fn finish(&mut self) -> Result<Vec<Collected>> {
        self.progress.stage("last pass, and comparing all content");
        let pass = self.pass().await?;
        let (ours, theirs) = self.digests().await?;
        let differing: Vec<&str> =
            ours.iter().zip(&theirs).filter(|(our, their)| our.content != their.content).map(|(our, _)| our.name.as_str()).collect();
        if differing.is_empty() && pass.left == 0 {
            return Ok(theirs);
        }
        Err(Error::refused("COPY_DIFFERS", format!("source and target differ in {}; run it again", differing.join(", "))))
    }

    async fn pass(&mut self) -> Result<Pass> {
        let mut all = Pass::default();
        for kind in &self.kinds {
            let progress = &mut self.progress;
            let pass = self.target.follow(&self.source, kind, &mut |what, done| progress.at(what, done)).await?;
            all = Pass {
                read: all.read + pass.read,
                written: all.written + pass.written,
                removed: all.removed + pass.removed,
                left: all.left + pass.left,
            };
        }
        self.passes += 1;
        Ok(all)
    }

    async fn digests(&self) -> Result<(Vec<Collected>, Vec<Collected>)> {
        let (mut silent, mut as_silent) = (|_: &str, _: u64| {}, |_: &str, _: u64| {});
        let (ours, theirs) = tokio::join!(self.source.digest(&self.kinds, &mut silent), self.target.digest(&self.kinds, &mut as_silent));
        Ok((ours?, theirs?))
    }
}

/// Nodes that refuse changes for a while; of none nothing is asked.
struct Pause {
    nodes: Vec<PathBuf>,
}

impl Pause {
    /// `expected` is how long it will take. Errors: `PAUSE_TOO_SHORT`, `PAUSE_LOST` when a node has stopped.
    async fn begin(&mut self, longest_seconds: u64, expected: Duration) -> Result<()> {
        if expected.as_secs_f64() > longest_seconds as f64 / 2.0 {
            let message = format!(
                "changes would be refused for about {:.0} s; stop the node and run this again, or allow more than twice that with --max-pause-seconds",
                expected.as_secs_f32().ceil()
            );
            return Err(Error::refused("PAUSE_TOO_SHORT", message));
        }
        self.switch(true, longest_seconds).await.map(drop)
    }

    /// Goes on until somebody takes changes again: what would be changed here from now on would not be in the target.
    async fn keep(&self) -> Result<()> {
        let lost = match self.switch(true, 0).await {
            Ok(true) => return Ok(()),
            Ok(false) => Error::refused("PAUSE_LOST", "a node took changes before the copy was complete; run it again"),
            Err(error) => error,
        };
        Err(self.end(lost).await)
    }

    /// Takes changes again, after this error.
    async fn end(&self, error: Error) -> Error {
        match self.switch(false, 0).await {
            Ok(_) => error,
            Err(also) => {
                let message = format!("{error}; and a node does not answer: see `mozaiks db read-only off`");
                Error::refused("PAUSE_LOST", message).because(also)
            }
        }
    }

    /// Whether all of them refused changes before.
    async fn switch(&self, on: bool, seconds: u64) -> Result<bool> {
        let mut all = true;
        for node in &self.nodes {
            let rows = control::ask(node, &Ask::ReadOnly { on, seconds }).await?;
            let lost = || Error::refused("PAUSE_LOST", "a node has stopped meanwhile; run it again");
            all &= rows.ok_or_else(lost)?.iter().any(|row| row["was"] == true);
        }
        Ok(all)
    }
}

fn report(moved: &[Collected], passes: usize) -> Result<()> {
    for Collected { name, documents, removed, content, .. } in moved {
        print(&format!("equal      {name:<16} {documents} documents, {removed} removed, content {content}"))?;
    }
    let documents: u64 = moved.iter().map(|collection| collection.documents).sum();
    print(&format!("moved      {documents} documents in {passes} passes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_store_and_no_password_on_the_command_line() {
        let mongo = |uri: &str, database: &str| Some(Address::Mongo { uri: uri.into(), database: database.into() });
        assert!(Address::parse("sqlite:/var/lib/x") == Some(Address::Sqlite("/var/lib/x".into())));
        let uri = "mongodb://a:b@one:1,two:2/core?replicaSet=rs0";
        assert!(Address::parse(uri) == mongo(uri, "core"));
        assert!(Address::parse("mongodb+srv://host/core") == mongo("mongodb+srv://host/core", "core"));
        for wrong in ["", "sqlite:", "/var/lib/x", "mongodb://host", "mongodb://host/", "mongodb://host/?a=b", "postgres://host/x"] {
            assert!(Address::parse(wrong).is_none(), "{wrong}");
        }
        let refused = Address::read(Some(uri), None).err().unwrap();
        assert!(refused.reason() == "STORE_ADDRESS_INVALID" && !format!("{refused:?}").contains("a:b"));
    }
}
