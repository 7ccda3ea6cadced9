//! Identity: apps and the people in them, how they sign in, what they may do.
//! Mounted by node; every other service meets it through its contracts only.

mod apps;
mod auth;
mod config;
mod device;
mod domain;
mod events;
mod founding;
mod hashing;
mod installation;
mod introspection;
mod invitations;
mod issue;
mod me;
mod offline;
mod platform;
mod proofs;
mod purge;
mod records;
mod refresh;
mod registration;
mod seal;
mod sessions;
mod sign_in;
mod signing_keys;
mod sources;
mod standing;
mod state;
mod tidy;
mod tokens;
mod users;
mod workers;

use std::fmt;
use std::sync::Arc;

use api::mozaiks::identity::v1::apps_service_server::AppsServiceServer;
use api::mozaiks::identity::v1::auth_service_server::AuthServiceServer;
use api::mozaiks::identity::v1::installation_service_server::InstallationServiceServer;
use api::mozaiks::identity::v1::me_service_server::MeServiceServer;
use api::mozaiks::identity::v1::sessions_service_server::SessionsServiceServer;
use api::mozaiks::identity::v1::signing_keys_service_server::SigningKeysServiceServer;
use api::mozaiks::identity::v1::tokens_service_server::TokensServiceServer;
use api::mozaiks::identity::v1::users_service_server::UsersServiceServer;
use kernel::{Clock, Result};
use rpc::{Service, Verifier};
use storage::Store;
use tonic::service::Routes;

pub use config::Config;
pub use offline::{define, end_sessions, founded, groups};

use crate::state::Core;

/// What identity is given.
#[derive(Debug)]
pub struct Start {
    /// Its settings.
    pub config: Config,
    /// Where browsers reach the gateway, without a slash at its end: tokens name their issuer below it.
    pub public_url: String,
    /// Where it keeps its documents.
    pub store: Store,
    /// The key under which secrets at rest are sealed; the same in every replica.
    pub sealing_key: [u8; 32],
    /// The time.
    pub clock: Clock,
}

/// The running service.
pub struct Identity {
    /// Its RPCs.
    pub service: Service,
    /// Decides what credentials are worth; every service of this node asks it.
    pub verifier: Arc<dyn Verifier>,
    /// What the operator at the machine itself may do.
    pub operators: Operators,
    /// What it hears of its own and of others' changes.
    pub subscribers: Vec<Arc<dyn ::events::Subscriber>>,
    /// What finishes work whose time has come: half-made apps, deleted apps and people.
    pub workers: Vec<Arc<dyn ::events::Worker>>,
    /// What its hashing pool counts.
    pub reader: rpc::Reader,
}

/// The rights of whoever holds the machine.
#[derive(Clone)]
pub struct Operators(Arc<Core>);

impl Operators {
    /// Makes a one-time invitation, good for 7 days, that `Register` in the platform app redeems. Told once.
    pub async fn invite(&self) -> Result<String> {
        self.0.invite_operator().await
    }
}

/// Declares the collections, makes the platform app if there is none, and hands over routes and verifier.
pub async fn start(start: Start) -> Result<Identity> {
    records::define(&start.store).await?;
    let core = Arc::new(Core {
        pool: hashing::Pool::new(start.config.hashing_threads)?,
        master: seal::Master::from_bytes(start.sealing_key),
        store: start.store,
        sources: sources::Sources::default(),
        proofs: proofs::Proofs::new(),
        clock: start.clock,
        config: start.config,
        public_url: start.public_url,
    });
    core.settle_installation().await?;
    let routes = Routes::new(AppsServiceServer::new(apps::Apps(core.clone())))
        .add_service(AuthServiceServer::new(auth::Auth(core.clone())))
        .add_service(InstallationServiceServer::new(installation::Installations(core.clone())))
        .add_service(UsersServiceServer::new(users::Users(core.clone())))
        .add_service(SessionsServiceServer::new(sessions::Sessions(core.clone())))
        .add_service(MeServiceServer::new(me::Me(core.clone())))
        .add_service(TokensServiceServer::new(tokens::Tokens(core.clone())))
        .add_service(SigningKeysServiceServer::new(signing_keys::SigningKeys(core.clone())));
    let service = Service { name: "identity", routes };
    let measured = core.clone();
    Ok(Identity {
        service,
        verifier: Arc::new(introspection::Introspection(core.clone())),
        subscribers: vec![Arc::new(tidy::Tidy(core.clone()))],
        workers: workers::all(&core),
        reader: Arc::new(move || measured.pool.reading()),
        operators: Operators(core),
    })
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

impl fmt::Debug for Operators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Operators")
    }
}
