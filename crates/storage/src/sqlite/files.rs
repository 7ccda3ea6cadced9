//! Files of the embedded engine: the directory, the lock against a second process, opening and syncing. No table, no thread.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use kernel::{Clock, Error, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::fault::{Fault, broken, plainly};
use super::{Durability, schema};

/// How long a statement waits for a lock that a backup or an operator's shell holds.
const LOCK_WAIT_MS: u32 = 5_000;
/// Prepared statements kept by each connection.
const STATEMENTS: usize = 256;

/// Where the database is and how it is opened.
#[derive(Clone, Debug)]
pub(super) enum Location {
    /// Nowhere: gone with its only connection.
    Memory,
    /// In this file.
    File(PathBuf, Durability),
}

impl Location {
    /// The file of a database in this directory, which is made if need be.
    pub(super) fn in_directory(dir: &Path, durability: Durability) -> Result<Self> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|cause| unusable(dir, cause))?;
        Ok(Self::File(dir.join("store.db"), durability))
    }

    /// Opens for writing. All that is found or made is in the database file and synced before this returns: beside a main
    /// file that was never synced a valid log may be discarded.
    pub(super) fn open(&self) -> Result<Connection> {
        let Self::File(path, durability) = self else {
            return plainly(|| prepared(Connection::open_in_memory()?));
        };
        let is_new = fs::metadata(path).map_or(true, |file| file.len() == 0);
        create(path).map_err(|cause| unusable(path, cause))?;
        let opened = plainly(|| {
            let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
            log_ahead(&conn)?;
            conn.execute_batch("PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 67108864")?;
            conn.execute_batch(match durability {
                Durability::Full => "PRAGMA synchronous = FULL",
                Durability::Normal => "PRAGMA synchronous = NORMAL",
            })?;
            let conn = prepared(conn)?;
            move_log(&conn, is_new)?;
            Ok(conn)
        });
        let conn = opened.map_err(|error| self.name(error))?;
        // What stays in the log was read on opening: it must not go with the power after somebody has seen it.
        let log = path.with_extension("db-wal");
        let synced = if log.exists() { File::open(&log).and_then(|log| log.sync_all()) } else { Ok(()) };
        synced.and_then(|()| sync(path)).map_err(|cause| unusable(path, cause))?;
        Ok(conn)
    }

    /// Opens once more after writes have failed. What is in memory only is lost with its connection and cannot be.
    pub(super) fn reopen(&self) -> Result<Connection, Fault> {
        match self {
            Self::Memory => Err(broken().into()),
            Self::File(..) => Ok(self.open()?),
        }
    }

    /// Opens for reading; none where only the writer can read.
    pub(super) fn reader(&self) -> Result<Option<Connection>> {
        let Self::File(path, _) = self else { return Ok(None) };
        let opened = plainly(|| {
            let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
            configure(&conn)?;
            Ok(Some(conn))
        });
        opened.map_err(|error| self.name(error))
    }

    /// Says of a damaged database where it is and what helps.
    pub(super) fn name(&self, error: Error) -> Error {
        match self {
            Self::File(path, _) if error.reason() == "STORE_CORRUPT" => {
                Error::internal("STORE_CORRUPT", format!("{} is damaged; restore a backup", path.display())).because(error)
            }
            _ => error,
        }
    }

    /// Where it is, for the log.
    pub(super) fn folder(&self) -> String {
        match self {
            Self::Memory => "memory".to_owned(),
            Self::File(path, _) => path.parent().unwrap_or(path).display().to_string(),
        }
    }

    /// Bytes of the log.
    pub(super) fn wal_bytes(&self) -> u64 {
        match self {
            Self::Memory => 0,
            Self::File(path, _) => fs::metadata(path.with_extension("db-wal")).map_or(0, |log| log.len()),
        }
    }
}

pub(super) fn configure(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // Plans do not depend on the values bound, or every statement out of the cache would be prepared again.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.busy_timeout(std::time::Duration::from_millis(LOCK_WAIT_MS.into()))?;
    conn.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; PRAGMA cache_size = -16000")
}

fn prepared(conn: Connection) -> Result<Connection, Fault> {
    configure(&conn)?;
    schema::prepare(&conn)?;
    Ok(conn)
}

/// A failure on the way is not an error to SQLite: it would go on with a journal, and none of our promises.
fn log_ahead(conn: &Connection) -> Result<(), Fault> {
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))?;
    if mode == "wal" {
        return Ok(());
    }
    Err(Error::unavailable("STORE_UNUSABLE", format!("the database keeps no write-ahead log, its mode stays {mode}")).into())
}

/// A backup that reads beside us holds the log. Only beside a main file that was never synced must it be moved all the same.
fn move_log(conn: &Connection, is_new: bool) -> Result<(), Fault> {
    let held: i64 = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0))?;
    if held == 0 || !is_new { Ok(()) } else { Err(super::fault::busy().into()) }
}

/// SQLite gives its log the permissions of the database file.
fn create(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map(|_| ())
}

pub(super) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()?;
    match dir.parent() {
        Some(above) if !above.as_os_str().is_empty() => File::open(above)?.sync_all(),
        _ => Ok(()),
    }
}

pub(super) fn unusable(path: &Path, cause: io::Error) -> Error {
    Error::unavailable("STORE_UNUSABLE", format!("{} cannot be used", path.display())).because(cause)
}

/// Keeps other processes out of a directory for as long as it lives; a process that ends in any way lets go.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Errors: `STORE_LOCKED` naming the holder.
    pub(super) fn take(dir: &Path) -> Result<Self> {
        let path = dir.join("store.lock");
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = opened.map_err(|cause| unusable(&path, cause))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(locked(&path, &mut file)),
            Err(TryLockError::Error(cause)) => return Err(unusable(&path, cause)),
        }
        // Never empty on the way: whoever comes second reads it at any moment.
        let holder = holder();
        let named = file.write_all(holder.as_bytes()).and_then(|()| file.set_len(holder.len() as u64)).and_then(|()| file.sync_all());
        named.map_err(|cause| unusable(&path, cause))?;
        Ok(Self { _file: file })
    }
}

fn holder() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "unknown".to_owned());
    format!("host {} pid {} since {}\n", host.trim(), std::process::id(), Clock::system().now().seconds())
}

/// A line that is not whole was caught while it was written, or before.
fn locked(path: &Path, file: &mut File) -> Error {
    let mut text = String::new();
    let read = file.read_to_string(&mut text);
    let holder = text.split_once('\n').map_or("another process", |(holder, _)| holder);
    let locked = Error::refused("STORE_LOCKED", format!("{} is held by {holder}", path.display()));
    match read {
        Ok(_) => locked,
        Err(cause) => locked.because(cause),
    }
}
