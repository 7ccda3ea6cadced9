//! The way to the server: client options, and one time limit around every call of the driver. Knows no document.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kernel::{Error, Result};
use mongodb::bson::{Document, doc};
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use mongodb::event::sdam::SdamEvent;
use mongodb::options::{Acknowledgment, ClientOptions, DatabaseOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern};
use mongodb::{Client, Collection as Kind, Database, ServerType};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::Settings;
use super::fault::{Fault, Stake, failed, silence, unusable};
use super::health::Health;
use crate::record::Collection;

const HEARTBEAT: Duration = Duration::from_millis(500);
const MAX_POOL: u32 = 100;
/// Name servers may have to be asked for the list of servers.
const OPEN: Duration = Duration::from_secs(5);

/// How often something was asked of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Calls of this method of the engine.
    pub calls: u64,
    /// Operations that they sent.
    pub operations: u64,
}

/// A connected client.
pub(super) struct Link {
    pub(super) database: Database,
    /// Neither a replica set nor sharded: no change streams, no linearizable reads.
    pub(super) standalone: bool,
    pub(super) health: Arc<Health>,
    /// Longest time of one call of the engine.
    pub(super) longest_call: Duration,
    sent: Mutex<BTreeMap<&'static str, Sent>>,
    writes: AtomicU64,
}

/// Without what the driver would show: addresses and names.
impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("database", &self.database.name()).field("standalone", &self.standalone).finish_non_exhaustive()
    }
}

impl Link {
    /// Errors: `STORE_UNUSABLE`, never with the address.
    pub(super) async fn open(settings: &Settings) -> Result<Self> {
        let health = Arc::new(Health::new(settings.dead_after));
        let options = options(settings, &health).await?;
        let client = Client::with_options(options).map_err(|error| unusable(&error))?;
        let admin = client.database("admin");
        let asked = tokio::spawn(async move { admin.run_command(doc! { "hello": 1 }).await });
        let hello = timeout(OPEN, asked).await.map_err(|_| late())?.map_err(|_| late())?.map_err(|error| unusable(&error))?;
        if !hello.get_bool("isWritablePrimary").or_else(|_| hello.get_bool("ismaster")).unwrap_or_default() {
            return Err(Error::unavailable("STORE_UNUSABLE", "the MongoDB server takes no changes; it is not the primary"));
        }
        let routed = hello.get_str("msg").is_ok_and(|message| message == "isdbgrid");
        let standalone = !routed && hello.get_str("setName").is_err();
        health.note(true);
        let concern = if standalone { ReadConcern::local() } else { ReadConcern::majority() };
        let database = client.database_with_options(&settings.database, DatabaseOptions::builder().read_concern(concern).build());
        Ok(Self { database, standalone, health, longest_call: settings.longest_call, sent: Mutex::default(), writes: AtomicU64::new(0) })
    }

    /// One call of this method of the engine.
    pub(super) fn begin(&self, method: &'static str) -> Call<'_> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.entry(method).or_default().calls += 1;
        Call { link: self, method, began: Instant::now(), limit: self.longest_call }
    }

    /// What was asked so far, by method.
    pub(super) fn sent(&self) -> BTreeMap<&'static str, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Operations that change something.
    pub(super) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    pub(super) fn kind(&self, collection: &Collection) -> Kind<Document> {
        self.database.collection(collection.name)
    }
}

/// One call of the engine: its method and its time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) link: &'a Link,
    method: &'static str,
    began: Instant,
    limit: Duration,
}

impl Call<'_> {
    /// The same with a time of its own, for one piece of a work whose length nobody knows.
    pub(super) fn anew(self, limit: Duration) -> Self {
        Self { began: Instant::now(), limit, ..self }
    }

    pub(super) fn kind(&self, collection: &Collection) -> Kind<Document> {
        self.link.kind(collection)
    }

    /// The time that is left, as the server is told it.
    pub(super) fn left(&self) -> Duration {
        self.limit.saturating_sub(self.began.elapsed()).max(Duration::from_millis(1))
    }

    /// Whether it has not lasted so long yet, and the server answers.
    pub(super) fn is_younger(&self, age: Duration) -> bool {
        self.began.elapsed() < age && self.link.health.admit().is_ok()
    }

    /// The strongest read that the server has.
    pub(super) fn strongest(&self) -> ReadConcern {
        if self.link.standalone { ReadConcern::local() } else { ReadConcern::linearizable() }
    }

    /// Sends what only reads.
    pub(super) async fn read<T: Send + 'static>(&self, sends: impl Future<Output = Answer<T>> + Send + 'static) -> Result<T, Fault> {
        self.send(Stake::Read, sends).await
    }

    /// Sends what changes something.
    pub(super) async fn write<T: Send + 'static>(&self, sends: impl Future<Output = Answer<T>> + Send + 'static) -> Result<T, Fault> {
        self.link.writes.fetch_add(1, Ordering::Relaxed);
        self.send(Stake::Write, sends).await
    }

    /// As `write`, for operations of which none waits for another; their answers in their order.
    pub(super) async fn write_all<T, F>(&self, sends: Vec<F>) -> Vec<Result<T, Fault>>
    where
        T: Send + 'static,
        F: Future<Output = Answer<T>> + Send + 'static,
    {
        self.link.writes.fetch_add(sends.len() as u64, Ordering::Relaxed);
        let started: Vec<_> = sends.into_iter().map(|sends| self.start(sends)).collect();
        let mut answers = Vec::new();
        for running in started {
            answers.push(match running {
                Ok(running) => self.wait(Stake::Write, running).await,
                Err(error) => Err(error.into()),
            });
        }
        answers
    }

    async fn send<T: Send + 'static>(&self, stake: Stake, sends: impl Future<Output = Answer<T>> + Send + 'static) -> Result<T, Fault> {
        match self.start(sends) {
            Ok(running) => self.wait(stake, running).await,
            Err(refused) => {
                // Whoever asks again at once still lets the monitors run.
                tokio::task::yield_now().await;
                Err(refused.into())
            }
        }
    }

    /// The driver's futures are not made to be dropped half-way: each runs to its end by itself, and only the waiting ends.
    fn start<T: Send + 'static>(&self, sends: impl Future<Output = T> + Send + 'static) -> Result<JoinHandle<T>> {
        self.link.health.admit()?;
        if let Some(sent) = self.link.sent.lock().unwrap_or_else(PoisonError::into_inner).get_mut(self.method) {
            sent.operations += 1;
        }
        Ok(tokio::spawn(sends))
    }

    async fn wait<T>(&self, stake: Stake, running: JoinHandle<Answer<T>>) -> Result<T, Fault> {
        let health = &self.link.health;
        tokio::select! {
            ended = running => {
                let answer = ended.map_err(|cause| failed("a call of the driver ended early").because(cause))?;
                health.answered();
                answer.map_err(|error| Fault::of(&error, stake))
            }
            () = health.patience(self.began, self.limit) => {
                health.cut();
                Err(silence(stake).into())
            }
        }
    }
}

/// What the driver answers.
pub(super) type Answer<T> = mongodb::error::Result<T>;

async fn options(settings: &Settings, health: &Arc<Health>) -> Result<ClientOptions> {
    let uri = settings.uri.clone();
    let parsed = tokio::spawn(async move { ClientOptions::parse(uri).await });
    let parsed = timeout(OPEN, parsed).await.map_err(|_| late())?.map_err(|_| late())?;
    let mut options = parsed.map_err(|error| unusable(&error))?;
    options.app_name.get_or_insert_with(|| "mozaiks".to_owned());
    options.write_concern = Some(WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build());
    // Of each read by itself: it depends on what kind of server this is.
    options.read_concern = None;
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    (options.retry_writes, options.retry_reads) = (Some(true), Some(true));
    // How long a call looks for a server that takes it.
    options.server_selection_timeout = Some(settings.dead_after.mul_f32(0.9));
    options.heartbeat_freq = Some(HEARTBEAT);
    // Of a connection, and of each heartbeat beyond its interval.
    options.connect_timeout = Some(settings.dead_after.mul_f32(0.5));
    options.max_pool_size = Some(options.max_pool_size.filter(|size| *size > 0).unwrap_or(MAX_POOL).min(MAX_POOL));
    let health = health.clone();
    options.sdam_event_handler = Some(EventHandler::callback(move |event| {
        if let SdamEvent::TopologyDescriptionChanged(change) = event {
            health.note(change.new_description.servers().values().any(|server| takes_changes(server.server_type())));
        }
    }));
    if let Some(observer) = settings.observer.clone() {
        options.command_event_handler = Some(EventHandler::callback(move |event| {
            if let CommandEvent::Started(started) = event {
                observer(&started.command_name);
            }
        }));
    }
    Ok(options)
}

fn takes_changes(server: ServerType) -> bool {
    matches!(server, ServerType::Standalone | ServerType::RsPrimary | ServerType::Mongos | ServerType::LoadBalancer)
}

fn late() -> Error {
    Error::unavailable("STORE_UNUSABLE", "the MongoDB server did not answer in time")
}
