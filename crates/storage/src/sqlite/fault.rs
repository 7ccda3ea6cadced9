//! Failures of the driver in the house's words. The only place that reads result codes.

use std::time::Duration;

use kernel::{Error, Result};
use rusqlite::ErrorCode;

/// A queue is worked off, and a broken store tried again, within about this time.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An error on its way out of a piece of work; lets `?` take driver errors.
#[derive(Debug)]
pub(super) struct Fault(pub(super) Error);

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(cause: rusqlite::Error) -> Self {
        use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
        let error = match cause.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => disk_full(),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => busy(),
            Some(ErrorCode::OperationInterrupted) => slow(),
            Some(code) if is_damage(code) => damaged(),
            None if matches!(cause, FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..)) => {
                Error::internal("RECORD_CORRUPT", "a column holds what was never written")
            }
            _ => Error::internal("STORE_FAILED", "the database refused a statement"),
        };
        Self(error.because(cause))
    }
}

/// Whether the database file itself is at fault. What it holds is lost in part; only a backup helps.
pub(super) fn is_damage(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
}

/// Runs a piece of setting up, outside of any queue.
pub(super) fn plainly<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T> {
    work().map_err(|fault| fault.0)
}

pub(super) fn disk_full() -> Error {
    Error::exhausted("DISK_FULL", "the disk is full; nothing was changed")
}

pub(super) fn busy() -> Error {
    Error::unavailable("STORE_BUSY", "the store is busy; nothing was changed").retry_after(RETRY_AFTER)
}

pub(super) fn slow() -> Error {
    Error::unavailable("STORE_SLOW", "the store did not answer in time")
}

pub(super) fn broken() -> Error {
    Error::unavailable("STORE_BROKEN", "the store does not take changes at present; nothing was changed").retry_after(RETRY_AFTER)
}

/// `Location::name` adds where.
pub(super) fn damaged() -> Error {
    Error::internal("STORE_CORRUPT", "the database file is damaged")
}
