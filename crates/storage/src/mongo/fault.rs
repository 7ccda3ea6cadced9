//! Failures of the driver in the house's words. The only place that reads error codes. What the driver says in words stays
//! here: it may quote documents and addresses.

use std::fmt;
use std::time::Duration;

use kernel::{Error, Result};
use mongodb::error::{Error as DriverError, ErrorKind, WriteFailure};

use crate::resolve::maybe_applied;

/// A server is found again, and a busy one has worked off what it has, within about this time.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Codes of a server that found another document under a unique key.
const DUPLICATE: [i32; 3] = [11_000, 11_001, 12_582];
/// Codes of a server that gave up at the time limit.
const TOO_LATE: [i32; 3] = [50, 202, 262];
/// Codes of a server that is not the primary, or no longer, or goes down; of networks between servers.
const STEPPED_DOWN: [i32; 12] = [6, 7, 89, 91, 189, 9_001, 10_058, 10_107, 11_600, 11_602, 13_435, 13_436];
const DISK_FULL: i32 = 14_031;
const WRITE_CONFLICT: i32 = 112;
/// Codes of an index that differs from the one that stands under its name.
const INDEX_DIFFERS: [i32; 2] = [85, 86];

/// What is lost when no answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stake {
    /// An answer.
    Read,
    /// The knowledge whether a change was applied.
    Write,
}

/// A failure on its way out of a piece of work.
#[derive(Debug)]
pub(super) enum Fault {
    /// This index holds another document.
    Taken(String),
    /// An index of this name is there and differs.
    Differs,
    /// Anything else.
    House(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::House(error)
    }
}

impl Fault {
    pub(super) fn of(error: &DriverError, stake: Stake) -> Self {
        if let Some((code, message)) = refusal(error) {
            if DUPLICATE.contains(&code) {
                return Self::Taken(index_in(message).to_owned());
            }
            if INDEX_DIFFERS.contains(&code) {
                return Self::Differs;
            }
        }
        Self::House(in_house(error, stake).because(Cause(words(error))))
    }

    /// Outside of the places that know what to do with a taken key.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::House(error) => error,
            Self::Taken(_) | Self::Differs => failed("an index refused a statement"),
        }
    }
}

/// Ends a piece of work whose keys nobody can take.
pub(super) fn plainly<T>(done: Result<T, Fault>) -> Result<T> {
    done.map_err(Fault::into_error)
}

fn in_house(error: &DriverError, stake: Stake) -> Error {
    if error.contains_label("NoWritesPerformed") {
        return busy();
    }
    let lost = |read: fn() -> Error| if stake == Stake::Write { maybe_applied() } else { read() };
    match refusal(error).map(|(code, _)| code) {
        Some(DISK_FULL) => return Error::exhausted("DISK_FULL", "the disk of the server is full; nothing was changed"),
        Some(WRITE_CONFLICT) => return busy(),
        Some(code) if TOO_LATE.contains(&code) => return lost(slow),
        Some(code) if STEPPED_DOWN.contains(&code) => return lost(broken),
        _ => {}
    }
    match &*error.kind {
        ErrorKind::ServerSelection { .. } | ErrorKind::DnsResolve { .. } | ErrorKind::Authentication { .. } | ErrorKind::Shutdown => {
            broken()
        }
        ErrorKind::Write(WriteFailure::WriteConcernError(_)) => maybe_applied(),
        ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. } => lost(broken),
        _ if error.contains_label("RetryableWriteError") => lost(broken),
        _ => failed("the server refused a statement"),
    }
}

/// Code and message with which the server refused.
fn refusal(error: &DriverError) -> Option<(i32, &str)> {
    match &*error.kind {
        ErrorKind::Command(command) => Some((command.code, &command.message)),
        ErrorKind::Write(WriteFailure::WriteError(write)) => Some((write.code, &write.message)),
        _ => None,
    }
}

/// `… index: users_email dup key: { … }`
pub(super) fn index_in(message: &str) -> &str {
    let name = message.split_once("index: ").map_or("", |(_, rest)| rest);
    name.split_once(" dup key").map_or(name, |(name, _)| name).trim()
}

/// For the log: codes and kinds alone.
fn words(error: &DriverError) -> String {
    match &*error.kind {
        ErrorKind::Command(command) => format!("{} ({})", command.code_name, command.code),
        ErrorKind::Write(WriteFailure::WriteError(write)) => format!("write error {}", write.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(concern)) => format!("write concern error {}", concern.code),
        ErrorKind::Io(cause) => format!("connection: {}", cause.kind()),
        ErrorKind::ServerSelection { .. } => "no server was found in time".to_owned(),
        ErrorKind::ConnectionPoolCleared { .. } => "connections were given up".to_owned(),
        ErrorKind::DnsResolve { .. } => "no address was found".to_owned(),
        ErrorKind::Authentication { .. } => "the server refused the credentials".to_owned(),
        ErrorKind::BsonDeserialization(_) | ErrorKind::BsonSerialization(_) | ErrorKind::Bson(_) => "BSON".to_owned(),
        ErrorKind::InvalidResponse { .. } => "the answer could not be read".to_owned(),
        ErrorKind::InvalidArgument { .. } => "the driver refused a statement".to_owned(),
        ErrorKind::InvalidTlsConfig { .. } => "TLS could not be set up".to_owned(),
        ErrorKind::IncompatibleServer { .. } => "the server is too old".to_owned(),
        _ => "the driver failed".to_owned(),
    }
}

#[derive(Debug)]
struct Cause(String);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}

/// The store cannot be opened, for this reason.
pub(super) fn unusable(error: &DriverError) -> Error {
    Error::unavailable("STORE_UNUSABLE", "the MongoDB server cannot be used").because(Cause(words(error)))
}

pub(super) fn broken() -> Error {
    Error::unavailable("STORE_BROKEN", "the store does not answer at present; nothing was changed").retry_after(RETRY_AFTER)
}

pub(super) fn busy() -> Error {
    Error::unavailable("STORE_BUSY", "the store is busy; nothing was changed").retry_after(RETRY_AFTER)
}

pub(super) fn slow() -> Error {
    Error::unavailable("STORE_SLOW", "the store did not answer in time")
}

pub(super) fn failed(what: &'static str) -> Error {
    Error::internal("STORE_FAILED", what)
}

/// What no answer at all means.
pub(super) fn silence(stake: Stake) -> Error {
    if stake == Stake::Write { maybe_applied() } else { slow() }
}
