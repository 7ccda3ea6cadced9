//! One running node: doors bound early, services behind them, a drain at the end.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kernel::{Clock, Error, Result};
use rpc::{Caps, Http, Hub, Listener, Meters, Number, Schema};
use storage::{Durability, Sqlite, Store};
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::catalog::{self, Shared};
use crate::config::{self, Config};
use crate::control;
use crate::keys::Master;
use crate::shutdown::Signals;

/// How often expired documents are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Expired documents of one round: a few milliseconds of the writer's time.
const SWEEP_LIMIT: usize = 200;
/// Longest time that calls in flight get after the doors have closed.
const FINISH: Duration = Duration::from_secs(20);

/// A node that is up: everything a command needs that works inside it.
pub(crate) struct Up {
    pub(crate) admin: String,
    pub(crate) public_url: String,
    pub(crate) operators: identity::Operators,
    pub(crate) hub: Hub,
}

/// The parts of a node that stand on its data folder alone.
pub(crate) struct Ground {
    pub(crate) store: Store,
    pub(crate) master: Master,
    pub(crate) clock: Clock,
}

/// Opens keys and database. Errors: `DATA_DIR`, those of the master key, `STORE_LOCKED` while another process has it.
pub(crate) fn ground(config: &Config) -> Result<Ground> {
    make_folder(&config.data_dir)?;
    let is_new = !has_store(&config.data_dir);
    let clock = crate::clock::clock(&config.test_clock_file);
    let durability = match config.store.durability {
        config::Durability::Full => Durability::Full,
        config::Durability::Normal => Durability::Normal,
    };
    // The lock comes first: of two nodes that start at once only one may make the key.
    let engine = Sqlite::open(&config.data_dir, durability)?;
    let master = Master::open(&config.master_key_path(), is_new && !config.production)?;
    let store = Store::open(Arc::new(engine), master.derive("page tokens")?, clock.clone());
    Ok(Ground { store, master, clock })
}

/// Runs until it is told to stop. `when_up` is called once, as soon as calls are answered.
pub(crate) async fn run<F: Future<Output = Result<()>>>(config: Config, when_up: impl FnOnce(Up) -> F) -> Result<()> {
    let mut signals = Signals::listen()?;
    let ground = ground(&config)?;
    let caps = Caps { insecure: config.insecure, ..Caps::default() };
    let admin_caps = Caps { budget: caps.budget.clone(), ..Caps::default() };
    let (public, admin) = (Listener::bind(&config.listen.gateway, caps).await?, Listener::bind(&config.listen.admin, admin_caps).await?);
    let (gateway_url, admin_url) = (format!("http://{}", public.address()), format!("http://{}", admin.address()));
    let public_url = if config.public_url.is_empty() { gateway_url.clone() } else { config.public_url.clone() };

    let schema = Schema::read(api::DESCRIPTORS).map_err(|faults| Error::internal("CONTRACT_REFUSED", faults.join("; ")))?;
    let schema = Arc::new(schema);
    let hub = Hub::new();
    let shared = Shared {
        config: &config,
        public_url: &public_url,
        schema: schema.clone(),
        store: ground.store.clone(),
        master: &ground.master,
        clock: ground.clock.clone(),
    };
    let operators = catalog::start(shared, &hub).await?;
    let (ready, readiness) = watch::channel(false);
    let door = gateway::start(gateway::Start {
        config: config.gateway_config(&public_url),
        schema: schema.clone(),
        hub: hub.clone(),
        ready: readiness.clone(),
    })?;
    let inner_door = rpc::admin(&schema, readiness, meters(&public, &admin, ground.store.clone()), marked(door.clone()))?;
    let control = control::serve(&config.data_dir, operators.clone(), public_url.clone())?;

    let (stop, stopped) = watch::channel(false);
    let doors = [serve(public, door, stopped.clone()), serve(admin, inner_door, stopped)];
    ready.send_replace(true);
    announce(&gateway_url, &admin_url)?;
    let sweep = tokio::spawn(sweep(ground.store.clone()));
    let watch = tokio::spawn(watch_store(ground.store, ready.clone()));
    tracing::info!(gateway = gateway_url, admin = admin_url, "ready");
    let up = Up { admin: admin_url, public_url, operators, hub };
    tokio::select! {
        outcome = async { when_up(up).await?; std::future::pending::<Result<()>>().await } => outcome?,
        () = signals.next() => {}
    }

    tracing::info!(seconds = config.drain_seconds, "draining");
    watch.abort();
    sweep.abort();
    ready.send_replace(false);
    tokio::select! {
        () = tokio::time::sleep(Duration::from_secs(config.drain_seconds)) => {}
        () = signals.next() => {}
    }
    stop.send_replace(true);
    drop(control);
    let finished = async {
        for door in doors {
            if let Err(cause) = door.await {
                tracing::error!(%cause, "a door failed");
            }
        }
    };
    tokio::select! {
        () = finished => {}
        () = tokio::time::sleep(FINISH) => tracing::warn!("calls were cut after {} s", FINISH.as_secs()),
        () = signals.next() => tracing::warn!("calls were cut"),
    }
    tracing::info!("stopped");
    Ok(())
}

fn serve(listener: Listener, service: Http, mut stopped: watch::Receiver<bool>) -> tokio::task::JoinHandle<()> {
    tokio::spawn(listener.serve(service, async move {
        // An error means that the sender is gone, which is a stop too.
        let _ = stopped.wait_for(|stop| *stop).await;
    }))
}

/// What the admin listener tells beside the calls.
fn meters(public: &Listener, admin: &Listener, store: Store) -> Meters {
    let others = move || {
        let metrics = store.engine().metrics();
        let number = |name, help, value: u64| Number { name, help, value: value as f64 };
        vec![
            number("storage_changes_total", "Changes asked for, refused ones included.", metrics.changes),
            number("storage_commits_total", "Commits that held them.", metrics.commits),
            number("storage_reads_total", "Reads.", metrics.reads),
            number("storage_queue", "Changes that wait for the writer.", metrics.queued),
            number("storage_reads_queue", "Reads that wait for a reader.", metrics.reads_queued),
            number("storage_stops_total", "Times that changes were no longer acknowledged.", metrics.stops),
            number("storage_full_total", "Batches refused because the disk was full.", metrics.full),
            number("storage_wal_bytes", "Size of the write-ahead log.", metrics.wal_bytes),
        ]
    };
    Meters { listeners: vec![("public", public.traffic()), ("admin", admin.traffic())], others: Arc::new(others) }
}

/// The same door for whoever reaches the admin listener: operators' methods are served there too.
fn marked(door: Http) -> Http {
    Http::new(door.map_request(|mut request: http::Request<rpc::Body>| {
        request.extensions_mut().insert(gateway::Admin);
        request
    }))
}

/// The first line on stdout: whoever started us reads the addresses from it.
fn announce(gateway: &str, admin: &str) -> Result<()> {
    let line = serde_json::json!({ "gateway": gateway, "admin": admin });
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|cause| Error::internal("STDOUT", "stdout is closed").because(cause))
}

/// A node whose store takes no changes is alive and not ready.
async fn watch_store(store: Store, ready: watch::Sender<bool>) {
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    loop {
        beat.tick().await;
        let well = store.engine().ready();
        let changed = ready.send_if_modified(|ready| std::mem::replace(ready, well.is_ok()) != well.is_ok());
        match well {
            Err(error) if changed => tracing::error!(?error, "not ready"),
            Ok(()) if changed => tracing::warn!("ready again"),
            _ => {}
        }
    }
}

/// Takes what has expired out of the store, a little at a time: guards of addresses, ended sessions, old intents.
async fn sweep(store: Store) {
    let mut beat = tokio::time::interval(SWEEP_EVERY);
    loop {
        beat.tick().await;
        loop {
            match store.sweep(SWEEP_LIMIT).await {
                Ok(swept) if swept >= SWEEP_LIMIT => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(?error, "sweep");
                    break;
                }
            }
        }
    }
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
