//! The database beside whoever writes it: read in place, copied while it is written, put where no store is. Changes nothing
//! that it reads.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use kernel::{Error, Result};
use rusqlite::{Connection, OpenFlags};

use super::fault::{Fault, plainly};
use super::files::{Location, Lock, configure, sync, unusable};
use super::{Durability, Sqlite, schema, start_readers};
use crate::bell::Ringer;

impl Sqlite {
    /// Reads this database, which another process may be writing, or which lies in a backup: takes no lock, changes nothing,
    /// and refuses all changes. `define` only learns of a kind: ask `versions` whether it is stored. Blocks.
    /// Errors: `STORE_UNUSABLE`, `STORE_NEWER`, `STORE_CORRUPT`.
    pub fn reading(file: &Path) -> Result<Self> {
        let location = reachable(file)?;
        let readers = start_readers(&location)?;
        Ok(Self {
            writer: None,
            readers,
            health: Arc::default(),
            cache: None,
            reads: AtomicU64::new(0),
            defined: Mutex::default(),
            bell: Ringer::new(),
            location,
            _lock: None,
            temporary: None,
        })
    }

    /// The database file of a store in this directory.
    pub fn file(dir: &Path) -> PathBuf {
        dir.join("store.db")
    }

    /// Names and stored versions of the collections in this file. Blocks. Errors: as `reading`.
    pub fn versions(file: &Path) -> Result<BTreeMap<String, u32>> {
        let location = reachable(file)?;
        let versions = plainly(|| {
            let conn = connect(file)?;
            let mut statement = conn.prepare("SELECT name, version FROM _collections")?;
            let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        });
        versions.map_err(|error| location.name(error))
    }

    /// Copies what is committed at this moment into a new file of mode 0600, and syncs it. Writers go on; until it has ended
    /// their log only grows. The copy needs no log. Blocks for as long as it takes.
    /// Errors: `STORE_UNUSABLE` when the file cannot be made, `DISK_FULL`, those of `reading`.
    pub fn copy(file: &Path, to: &Path) -> Result<()> {
        let location = reachable(file)?;
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
        made.map_err(|cause| unusable(to, cause))?;
        let copied = plainly(|| {
            let name = to.to_str().ok_or_else(|| Error::invalid("PATH_INVALID", "the path of a copy is not UTF-8"))?;
            connect(file)?.execute("VACUUM INTO ?1", [name])?;
            Ok(())
        });
        copied.map_err(|error| location.name(error))?;
        File::open(to).and_then(|copy| copy.sync_all()).map_err(|cause| unusable(to, cause))
    }

    /// Puts a copy into a directory where no store is, under the lock of that directory, synced. Whole or not at all. Blocks.
    /// Errors: `STORE_EXISTS`, `STORE_LOCKED`, `STORE_UNUSABLE`.
    pub fn restore(copy: &Path, dir: &Path) -> Result<()> {
        Location::in_directory(dir, Durability::Full)?;
        let _lock = Lock::take(dir)?;
        let (target, draft) = (Self::file(dir), dir.join("store.db.unfinished"));
        // Beside a log of its own a restored database would be mixed with what that log holds.
        let others = ["db-wal", "db-shm", "db-journal"].map(|suffix| target.with_extension(suffix));
        if let Some(found) = [&target].into_iter().chain(&others).find(|path| fs::symlink_metadata(path).is_ok()) {
            return Err(Error::refused("STORE_EXISTS", format!("{} is there already; restore into an empty folder", found.display())));
        }
        let write = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            std::io::copy(&mut File::open(copy)?, &mut file)?;
            file.sync_all()?;
            fs::rename(&draft, &target)?;
            sync(&target)
        };
        write().map_err(|cause| unusable(&target, cause))
    }
}

/// Errors: `STORE_UNUSABLE` when nothing is there, `STORE_NEWER`.
fn reachable(file: &Path) -> Result<Location> {
    fs::metadata(file).map_err(|cause| unusable(file, cause))?;
    let location = Location::File(file.to_owned(), Durability::Full);
    let checked = plainly(|| schema::layout(&connect(file)?));
    checked.map_err(|error| location.name(error))?;
    Ok(location)
}

/// A connection that cannot change anything.
pub(super) fn connect(file: &Path) -> Result<Connection, Fault> {
    let conn = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    configure(&conn)?;
    Ok(conn)
}
