//! The engine for clusters keeps the contract in every topology, and through the faults of networks and servers.
//! SecantusDB stands for the server; one thing it does otherwise than the contract asks: its `explain` is synthetic.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test

#[path = "mongo/counts.rs"]
mod counts;
#[path = "mongo/faults.rs"]
mod faults;
#[path = "mongo/proxy.rs"]
mod proxy;
#[path = "mongo/records.rs"]
mod records;
#[path = "mongo/server.rs"]
mod server;

use std::sync::Arc;
use std::time::Duration;

use kernel::Result;
use mongodb::Client;
use storage::Mongo;
use storage::mongo::Settings;
use storage::suite::{self, Scale};
use tokio::sync::RwLock;

use server::{Server, Topology};

/// Tests whose outcome depends on time run alone, the others beside each other.
static TURN: RwLock<()> = RwLock::const_new(());

fn fresh() -> String {
    format!("test_{:016x}", getrandom::u64().unwrap())
}

/// An engine on an empty database.
async fn engine(uri: &str, database: String) -> Result<Mongo> {
    Mongo::connect(Settings::new(uri, database)).await
}

/// A twentieth, or as many hundredths as the environment asks for: the server of the tests makes a thousand writes a second.
fn scale() -> Scale {
    #[allow(clippy::disallowed_methods)]
    let asked = std::env::var("STORE_TEST_SCALE").ok().and_then(|scale| scale.parse().ok());
    asked.map_or(Scale::SMALL, Scale)
}

/// All sections, or the one that the environment names, each on a database of its own.
async fn keeps_the_contract(uri: &str) {
    #[allow(clippy::disallowed_methods)]
    let only = std::env::var("STORE_TEST_SECTION").ok();
    for section in suite::SECTIONS.iter().filter(|section| only.as_ref().is_none_or(|only| only == section.name)) {
        let database = fresh();
        // On a machine that does other things besides, a server may be silent or slow for a while and is not dead.
        let [dead_after, longest_call] = [Duration::from_secs(30), Duration::from_secs(60)];
        let settings = Settings { dead_after, longest_call, ..Settings::new(uri, database.clone()) };
        let ran = section.hold(Arc::new(Mongo::connect(settings).await.unwrap()), scale()).await;
        println!("{ran}");
        // By a client of its own: a section may take so long that the server ends connections that were idle meanwhile.
        let client = Client::with_uri_str(uri).await.unwrap();
        client.database(&database).drop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_set_keeps_the_contract() {
    let _turn = TURN.read().await;
    let Some(server) = Server::start(Topology::ReplicaSet) else { return };
    keeps_the_contract(server.uri()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standalone_server_keeps_the_contract() {
    let _turn = TURN.read().await;
    let Some(server) = Server::start(Topology::Standalone) else { return };
    keeps_the_contract(server.uri()).await;
}
