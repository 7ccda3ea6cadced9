//! One running node: doors bound early, services behind them, a drain at the end.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kernel::{Clock, Error, Result};
use rpc::{Http, Hub, Meters, Schema};
use storage::mongo::Settings;
use storage::{Durability, Engine, Mongo, Sqlite, Store};
use tokio::sync::watch;
use tokio::task::{JoinHandle, block_in_place};

use crate::catalog::{self, GATEWAY, Shared, Started};
use crate::config::{self, Config};
use crate::control;
use crate::desk::Desk;
use crate::doors::{ADMIN, Doors};
use crate::keys::Master;
use crate::numbers::Counted;
use crate::readiness::Readiness;
use crate::shutdown::Signals;
use crate::upkeep::Upkeep;

/// A node that is up: everything a command needs that works inside it.
pub(crate) struct Up {
    pub(crate) admin: String,
    pub(crate) public_url: String,
    /// Where identity runs here.
    pub(crate) operators: Option<identity::Operators>,
    pub(crate) hub: Hub,
}

/// The parts of a node that stand on its data folder alone.
pub(crate) struct Ground {
    pub(crate) store: Store,
    pub(crate) master: Master,
    pub(crate) clock: Clock,
}

/// Opens keys and database. Errors: `DATA_DIR`, those of the master key, `STORE_LOCKED` while another process has it,
/// `STORE_UNUSABLE` when the server does not answer.
pub(crate) async fn ground(config: &Config) -> Result<Ground> {
    make_folder(&config.data_dir)?;
    let clock = crate::clock::clock(&config.test_clock_file);
    // A key is made beside a new store in this folder alone: what a server holds was sealed with one that is elsewhere.
    let is_new = config.store.engine == config::Engine::Sqlite && !has_store(&config.data_dir);
    // The key comes first: a store that is there has one, also when the power went in between.
    let master = Master::open(&config.master_key_path(), is_new && !config.production)?;
    let store = Store::open(engine(config).await?, master.derive("page tokens")?, clock.clone());
    Ok(Ground { store, master, clock })
}

/// Refuses changes where an operator said so before this start. Comes once the services have settled what a start settles.
pub(crate) async fn recall(store: &Store) -> Result<()> {
    if store.recall_read_only().await? {
        tracing::warn!("changes are refused since before this start, until `mozaiks db read-only off`");
    }
    Ok(())
}

async fn engine(config: &Config) -> Result<Arc<dyn Engine>> {
    let durability = match config.store.durability {
        config::Durability::Full => Durability::Full,
        config::Durability::Normal => Durability::Normal,
    };
    Ok(match config.store.engine {
        config::Engine::Sqlite => Arc::new(block_in_place(|| Sqlite::open(&config.data_dir, durability))?),
        config::Engine::MongoDb => Arc::new(Mongo::connect(Settings::new(config.store_uri()?, config.store.database.clone())).await?),
    })
}

/// Runs until it is told to stop. `when_up` is called once, as soon as calls are answered.
pub(crate) async fn run<F: Future<Output = Result<()>>>(config: Config, when_up: impl FnOnce(Up) -> F) -> Result<()> {
    let mut signals = Signals::listen()?;
    let ground = if config.has_services() { Some(ground(&config).await?) } else { None };
    let (running, up) = start(&config, ground.as_ref()).await?;
    tokio::select! {
        outcome = async { when_up(up).await?; std::future::pending::<Result<()>>().await } => outcome?,
        () = signals.next() => {}
    }
    tracing::info!(seconds = config.drain_seconds, "draining");
    tokio::select! {
        () = running.drain(Duration::from_secs(config.drain_seconds)) => {}
        () = signals.next() => tracing::warn!("calls were cut"),
    }
    tracing::info!("stopped");
    Ok(())
}

/// What runs until the node stops.
struct Running {
    readiness: Readiness,
    stop: watch::Sender<bool>,
    doors: Vec<JoinHandle<()>>,
    control: Option<control::Server>,
    upkeep: Option<Upkeep>,
    watch: JoinHandle<()>,
}

/// What everything in a node is made from.
struct Parts<'a> {
    config: &'a Config,
    ground: Option<&'a Ground>,
    public_url: String,
    schema: Arc<Schema>,
    hub: Hub,
    readiness: Readiness,
}

async fn start(config: &Config, ground: Option<&Ground>) -> Result<(Running, Up)> {
    let doors = Doors::bind(config).await?;
    let public_url = Some(config.public_url.clone()).filter(|url| !url.is_empty());
    let public_url = public_url.or_else(|| doors.url(GATEWAY)).unwrap_or_default();
    let schema = Schema::read(api::DESCRIPTORS).map_err(|faults| Error::internal("CONTRACT_REFUSED", faults.join("; ")))?;
    let parts = Parts { config, ground, public_url, schema: Arc::new(schema), hub: Hub::new(), readiness: Readiness::new() };
    for (service, at) in config.elsewhere() {
        parts.hub.peer(service, at.parse()?, &parts.schema);
    }
    let mut started = parts.services().await?;
    let upkeep = ground.map(|ground| Upkeep::start(config, ground, &mut started)).transpose()?;
    let behind = parts.behind(&started, &doors, upkeep.clone())?;
    let control = parts.control(&started)?;
    let watch = parts.watch();
    let up = Up { admin: doors.url(ADMIN).unwrap_or_default(), public_url: parts.public_url, operators: started.operators, hub: parts.hub };
    let (stop, stopped) = watch::channel(false);
    doors.announce()?;
    let doors = doors.open(|door| behind.get(door).cloned().unwrap_or_else(rpc::nothing), &stopped);
    Ok((Running { readiness: parts.readiness, stop, doors, control, upkeep, watch }, up))
}

impl Parts<'_> {
    async fn services(&self) -> Result<Started> {
        let Some(ground) = self.ground else { return Ok(Started::default()) };
        let shared = Shared {
            config: self.config,
            public_url: &self.public_url,
            schema: self.schema.clone(),
            store: ground.store.clone(),
            master: &ground.master,
            clock: ground.clock.clone(),
        };
        let started = catalog::start(shared, &self.hub).await?;
        recall(&ground.store).await?;
        Ok(started)
    }

    /// What stands behind each door.
    fn behind(&self, started: &Started, doors: &Doors, upkeep: Option<Upkeep>) -> Result<HashMap<&'static str, Http>> {
        let mut behind = HashMap::new();
        for (service, http) in &started.services {
            behind.insert(*service, rpc::meshed(&self.schema, service, self.readiness.waiting(), http.clone()));
        }
        let mut inner = rpc::nothing();
        if self.config.runs(GATEWAY) {
            let config = self.config.gateway_config(&self.public_url);
            let (schema, hub, ready) = (self.schema.clone(), self.hub.clone(), self.readiness.ready());
            let door = gateway::start(gateway::Start { config, schema, hub, ready })?;
            behind.insert(GATEWAY, door.clone());
            inner = marked(door);
        }
        let store = self.ground.map(|ground| ground.store.clone());
        let counted = Counted { hub: self.hub.clone(), store, upkeep, services: started.readers.clone() };
        let meters = Meters { listeners: doors.traffic(), others: counted.reader() };
        behind.insert(ADMIN, rpc::admin(&self.schema, self.readiness.waiting(), meters, inner)?);
        Ok(behind)
    }

    fn control(&self, started: &Started) -> Result<Option<control::Server>> {
        let Some(ground) = self.ground else { return Ok(None) };
        let desk = Desk::new(ground.store.clone(), started.operators.clone(), self.public_url.clone(), ground.clock.clone());
        control::serve(&self.config.data_dir, desk).map(Some)
    }

    fn watch(&self) -> JoinHandle<()> {
        let store = self.ground.map(|ground| ground.store.clone());
        self.readiness.look(store.as_ref(), &self.hub);
        tokio::spawn(self.readiness.clone().watch(store, self.hub.clone()))
    }
}

impl Running {
    /// Not ready at once; normal service while routers notice; then no new connections, calls in flight finish and leases
    /// are given back.
    async fn drain(self, notice: Duration) {
        self.watch.abort();
        self.readiness.drains();
        tokio::time::sleep(notice).await;
        self.stop.send_replace(true);
        drop(self.control);
        let closing = async {
            for door in self.doors {
                if let Err(cause) = door.await {
                    tracing::error!(%cause, "a door failed");
                }
            }
        };
        let release = async {
            if let Some(upkeep) = self.upkeep {
                upkeep.stop().await;
            }
        };
        tokio::join!(closing, release);
    }
}

/// The same door for whoever reaches the admin listener: operators' methods are served there too.
fn marked(door: Http) -> Http {
    Http::of(move |mut request: http::Request<rpc::Body>| {
        request.extensions_mut().insert(gateway::Admin);
        door.answer(request)
    })
}

/// Whether an installation stands in this folder.
pub(crate) fn has_store(folder: &Path) -> bool {
    folder.join("store.db").exists()
}

/// Longest path of a data folder: a socket's address in it has room for 108 bytes.
const MAX_FOLDER_BYTES: usize = 90;

fn make_folder(folder: &Path) -> Result<()> {
    let failed = |cause| Error::refused("DATA_DIR", format!("{} cannot be used as data folder", folder.display())).because(cause);
    if folder.as_os_str().len() > MAX_FOLDER_BYTES {
        let message = format!("{} is longer than {MAX_FOLDER_BYTES} bytes; choose a shorter data_dir", folder.display());
        return Err(Error::refused("DATA_DIR", message));
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let mode = fs::metadata(folder).map_err(failed)?.permissions().mode();
    if mode & 0o022 != 0 {
        return Err(Error::refused("DATA_DIR", format!("{} may be written by others; run chmod 700 on it", folder.display())));
    }
    Ok(())
}
