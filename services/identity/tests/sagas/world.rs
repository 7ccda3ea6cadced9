//! An identity on a store that outlives it: started, called as its callers do, stopped at a point, started again.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::mozaiks::identity::v1 as pb;
use api::mozaiks::identity::v1::auth_service_client::AuthServiceClient;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use events::{Delivered, Subscriber, Worker, partition};
use identity::{Config, Operators};
use kernel::{Clock, Credential, Cx, Hand, Subject, SubjectKind, Tenant, Time, Verified};
use rpc::{Channel, Hub, Schema, Stack};
use serde_json::Value;
use storage::mongo::Settings;
use storage::{Ack, Across, Durability, Engine, Mongo, Sqlite, Store};

pub const PASSWORD: &str = "correct horse battery staple";

/// A folder of its own, which goes with the last who uses it.
#[derive(Debug)]
pub struct Folder(pub PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Where documents are kept.
#[derive(Clone, Debug)]
pub enum Ground {
    Sqlite(Arc<Folder>),
    Mongo { uri: String, database: String },
}

impl Ground {
    async fn engine(&self) -> Arc<dyn Engine> {
        match self {
            Self::Sqlite(folder) => {
                std::fs::create_dir_all(&folder.0).unwrap();
                Arc::new(Sqlite::open(&folder.0, Durability::Normal).unwrap())
            }
            Self::Mongo { uri, database } => {
                let settings = Settings::new(uri.clone(), database.clone());
                Arc::new(Mongo::connect(settings).await.unwrap())
            }
        }
    }
}

pub struct World {
    pub store: Store,
    pub operators: Operators,
    workers: Vec<Arc<dyn Worker>>,
    subscribers: Vec<Arc<dyn Subscriber>>,
    hub: Hub,
    ground: Ground,
    time: (Clock, Hand),
}

impl World {
    pub async fn new(ground: Ground) -> Self {
        Self::open(ground, Clock::manual(Time::from_seconds(1_800_000_000))).await
    }

    async fn open(ground: Ground, time: (Clock, Hand)) -> Self {
        let clock = time.0.clone();
        let store = Store::open(ground.engine().await, [7; 32], clock.clone());
        let start = identity::Start {
            config: Config { hashing_threads: 1, ..Config::default() },
            public_url: "http://mozaiks.test".to_owned(),
            store: store.clone(),
            sealing_key: [9; 32],
            clock: clock.clone(),
        };
        let identity = identity::start(start).await.unwrap();
        let schema = Arc::new(Schema::read(api::DESCRIPTORS).unwrap());
        let (hub, stack) = (Hub::new(), Stack { schema, verifier: identity.verifier, clock });
        hub.install("identity", stack.wrap(identity.service));
        let (workers, subscribers) = (identity.workers, identity.subscribers);
        Self { store, operators: identity.operators, workers, subscribers, hub, ground, time }
    }

    /// The process is gone; another one starts on its documents, a while later.
    pub async fn restarted(self) -> Self {
        let (ground, time) = (self.ground.clone(), self.time.clone());
        drop(self);
        time.1.advance_seconds(61);
        Self::open(ground, time).await
    }

    pub fn advance_seconds(&self, seconds: i64) {
        self.time.1.advance_seconds(seconds);
    }

    pub fn anyone(&self) -> Channel {
        self.hub.edge("identity").on(&Cx::anonymous(Tenant::platform(), "call-anyone"))
    }

    /// Calls with this token; what else the context says does not travel.
    pub fn by(&self, token: &str) -> Channel {
        let subject = Subject { id: "usr_0".to_owned(), kind: SubjectKind::User, home: Tenant::platform(), session: None };
        let verified = Verified { tenant: Tenant::platform(), subject, permissions: vec![], aal: 1, auth_time: Time::default() };
        self.hub.edge("identity").on(&Cx::verified(verified, Credential::new(token), "call-somebody"))
    }

    pub async fn register(&self, app: &str, name: &str, invitation: &str) -> pb::SessionTokens {
        let ask = pb::RegisterRequest {
            parent: format!("apps/{app}"),
            email: format!("{name}@example.com"),
            password: PASSWORD.to_owned(),
            invitation: invitation.to_owned(),
            remember: true,
            request_id: name.to_owned(),
            ..pb::RegisterRequest::default()
        };
        let answer = AuthServiceClient::new(self.anyone()).register(ask).await.unwrap().into_inner();
        let Some(pb::register_response::Result::Session(session)) = answer.result else { panic!("no session") };
        session
    }

    /// Does all that is due, as the scheduler would. Whether nothing stopped it.
    pub async fn settle(&self) -> bool {
        let across = Across::granted();
        loop {
            let mut idle = true;
            for worker in &self.workers {
                for due in self.store.claim_due(&across, worker.kind(), 100, Duration::from_secs(60)).await.unwrap() {
                    idle = false;
                    let worker = worker.clone();
                    let work = async move { worker.work(&Cx::system(due.tenant, worker.kind().name), &due.id).await };
                    match tokio::spawn(work).await {
                        Ok(worked) => worked.unwrap(),
                        Err(stopped) => {
                            assert!(stopped.is_panic());
                            return false;
                        }
                    }
                }
            }
            if idle {
                return true;
            }
        }
    }

    /// Hands every event that waits to whoever hears it, as the relay would, and drops it. How many there were.
    pub async fn deliver(&self) -> usize {
        let (across, mut count) = (Across::granted(), 0);
        // Sessions before apps and people, so that what is told of them by the way waits for the next round.
        for kind in self.store.kinds().into_iter().rev() {
            for claimed in self.store.claim(&across, kind, 512, Duration::from_secs(60)).await.unwrap() {
                let mut ids = Vec::new();
                for pending in claimed.events {
                    let event = Delivered {
                        payload: BASE64_URL_SAFE_NO_PAD.decode(&pending.payload).unwrap(),
                        tenant: claimed.tenant.clone(),
                        collection: kind.name.to_owned(),
                        aggregate: claimed.id.clone(),
                        version: pending.version,
                        index: pending.index,
                        at: Time::from_micros(pending.at),
                        trace: pending.trace,
                        partition: partition(&claimed.tenant),
                        id: pending.id,
                        kind: pending.kind,
                    };
                    for subscriber in self.subscribers.iter().filter(|subscriber| subscriber.kinds().contains(&&*event.kind)) {
                        let cx = Cx::system(event.tenant.clone(), subscriber.name());
                        // Twice, as may happen.
                        subscriber.hear(&cx, &event).await.unwrap();
                        subscriber.hear(&cx, &event).await.unwrap();
                    }
                    ids.push(event.id);
                }
                count += ids.len();
                let ack = Ack { tenant: claimed.tenant, id: claimed.id, lease: claimed.lease, events: ids };
                self.store.ack(&across, kind, vec![ack]).await.unwrap();
            }
        }
        count
    }

    /// Every document with its version and its events, one a line; without times and secrets, which differ from run to run.
    pub async fn documents(&self) -> BTreeSet<String> {
        let (mut lines, mut names) = (Vec::new(), Vec::new());
        for kind in self.store.kinds() {
            for envelope in self.store.export(&Across::granted(), kind, None, 1_000).await.unwrap() {
                let body: Value = serde_json::from_str(&envelope.body).unwrap_or_default();
                if kind.name == "memberships" {
                    names.push((envelope.id.clone(), format!("<membership of {}>", body["subject"])));
                }
                let events = envelope.events.iter().map(|event| format!("{} {:?}", event.kind, payload(&event.payload)));
                let events: Vec<_> = events.collect();
                let (place, life) = (format!("{} {}/{}", kind.name, envelope.tenant, envelope.id), envelope.life);
                let due = envelope.due.is_some();
                lines.push(format!("{place} v{} {life:?} due={due} {} {events:?}", envelope.version, masked(body)));
            }
        }
        let renamed = |line: String| names.iter().fold(line, |line, (id, name)| line.replace(id, name));
        lines.into_iter().map(renamed).collect()
    }
}

fn payload(text: &str) -> String {
    String::from_utf8_lossy(&BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()).into_owned()
}

fn masked(mut body: Value) -> Value {
    const SECRETS: [&str; 5] = ["data_key", "key", "private", "public", "phc"];
    if let Some(fields) = body.as_object_mut() {
        for (name, value) in fields.iter_mut() {
            let is_time = (name.ends_with("_at") || name == "at" || name == "active_from") && value.is_number();
            let is_secret = SECRETS.contains(&name.as_str()) && value.as_str().is_some_and(|text| !text.is_empty());
            *value = if is_time || is_secret { Value::from("*") } else { masked(value.take()) };
        }
    }
    if let Some(items) = body.as_array_mut() {
        items.iter_mut().for_each(|item| *item = masked(item.take()));
    }
    body
}
