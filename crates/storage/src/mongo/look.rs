//! What a server is like, for whoever checks an installation: one question, and one order that changes nothing.

use std::time::Duration;

use kernel::{Result, Time};
use mongodb::bson::{Document, doc};
use tokio::time::{Instant, timeout};

use super::Settings;
use super::fault::{slow, unusable};
use super::link::{Answer, Link};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the server waits for its majority.
const MAJORITY_MILLIS: i32 = 2_000;

/// A server, seen once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// How it stands among others.
    pub shape: Shape,
    /// Its clock.
    pub time: Time,
    /// How long its answer took: its clock was read within.
    pub took: Duration,
    /// Why a change is not known to be on the disks of a majority, in the server's code; none when it is.
    pub doubt: Option<String>,
}

/// How a server stands among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// By itself.
    Standalone,
    /// The primary of a replica set.
    ReplicaSet {
        /// Members that keep documents.
        members: usize,
        /// Members that only vote.
        arbiters: usize,
    },
    /// A router of a sharded cluster.
    Sharded,
}

/// Looks at the server behind an address, and leaves it as it is. Errors: `STORE_UNUSABLE`, `STORE_SLOW`.
pub async fn look(settings: &Settings) -> Result<Look> {
    let link = Link::open(settings).await?;
    let asked = Instant::now();
    let hello = ask(&link, "admin", doc! { "hello": 1 }).await?.map_err(|error| unusable(&error))?;
    let took = asked.elapsed();
    let millis = hello.get_datetime("localTime").map_or(0, |time| time.timestamp_millis());
    // Nothing has this id. Its acknowledgement is that of every change before it.
    let removed = doc! { "q": { "_id": "_doctor" }, "limit": 1 };
    let concern = doc! { "w": "majority", "j": true, "wtimeout": MAJORITY_MILLIS };
    let order = doc! { "delete": "_collections", "deletes": [removed], "writeConcern": concern };
    let doubt = match ask(&link, &settings.database, order).await? {
        Err(error) => Some(format!("the server refused it ({})", code(&error))),
        Ok(answer) => answer.get_document("writeConcernError").ok().map(|error| format!("write concern error {}", number(error))),
    };
    Ok(Look { shape: shape(&hello), time: Time::from_micros(millis.saturating_mul(1_000)), took, doubt })
}

async fn ask(link: &Link, database: &str, command: Document) -> Result<Answer<Document>> {
    let database = link.database.client().database(database);
    let running = tokio::spawn(async move { database.run_command(command).await });
    timeout(PATIENCE, running).await.map_err(|_| slow())?.map_err(|_| slow())
}

fn shape(hello: &Document) -> Shape {
    let count = |list: &str| hello.get_array(list).map_or(0, Vec::len);
    if hello.get_str("msg").is_ok_and(|message| message == "isdbgrid") {
        return Shape::Sharded;
    }
    match hello.get_str("setName") {
        Ok(_) => Shape::ReplicaSet { members: count("hosts") + count("passives"), arbiters: count("arbiters") },
        Err(_) => Shape::Standalone,
    }
}

fn number(error: &Document) -> i64 {
    error.get_i32("code").map(i64::from).or_else(|_| error.get_i64("code")).unwrap_or_default()
}

/// Words of the server may quote addresses.
fn code(error: &mongodb::error::Error) -> String {
    match &*error.kind {
        mongodb::error::ErrorKind::Command(command) => command.code_name.clone(),
        _ => "no answer".to_owned(),
    }
}
