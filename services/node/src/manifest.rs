//! What stands in a backup: its manifest and its digests, written once and checked before anything of it is used.
//! How documents are copied or read is none of its business.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use kernel::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Layout of a backup folder that this code reads and writes.
const FORMAT: u32 = 1;
/// The database.
pub(crate) const STORE: &str = "store.db";
const MANIFEST: &str = "manifest.json";
/// As `sha256sum --check` reads it.
const DIGESTS: &str = "SHA256SUMS";
/// Largest manifest or list of digests that is read.
const MAX_TEXT_BYTES: u64 = 1 << 20;

/// What a backup holds.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    /// Of the program that made it.
    pub(crate) version: String,
    /// When the copy was begun: every change acknowledged before is in it. RFC 3339, UTC.
    pub(crate) time: String,
    /// Names the master key without telling it; none when there was none to be read.
    pub(crate) master_key: Option<String>,
    pub(crate) collections: Vec<Collected>,
    /// SHA-256 over the content of all collections: equal in any engine that holds the same documents.
    pub(crate) content: String,
}

/// One collection of a backup.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Collected {
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) documents: u64,
    /// Tombstones and burned ids.
    pub(crate) removed: u64,
    /// SHA-256 over its documents in the order of tenant and id.
    pub(crate) content: String,
}

/// A backup that is being made under another name.
pub(crate) struct Draft {
    folder: PathBuf,
    target: PathBuf,
    done: bool,
}

impl Draft {
    /// Begins one. Errors: `BACKUP_EXISTS` when something stands where it is to be, `BACKUP_FAILED`.
    pub(crate) fn begin(target: &Path) -> Result<Self> {
        let taken =
            |path: &Path| Err(Error::refused("BACKUP_EXISTS", format!("{} is there already; a backup overwrites nothing", path.display())));
        if fs::symlink_metadata(target).is_ok() {
            return taken(target);
        }
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(".unfinished");
        let folder = target.with_file_name(name);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => Ok(Self { folder, target: target.to_owned(), done: false }),
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => taken(&folder),
            Err(cause) => Err(failed(&folder, cause)),
        }
    }

    /// Where the database goes.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.join(STORE)
    }

    /// Adds the manifest and the digests, and gives the backup its name once all of it is on the disk.
    pub(crate) fn finish(mut self, manifest: &Manifest) -> Result<()> {
        let text = serde_json::to_vec_pretty(manifest).map_err(|cause| failed(&self.folder, cause.into()))?;
        self.write(MANIFEST, &text)?;
        let mut digests = String::new();
        for name in [STORE, MANIFEST] {
            digests.push_str(&format!("{}  {name}\n", digest_file(&self.folder.join(name))?));
        }
        self.write(DIGESTS, digests.as_bytes())?;
        let above = self.target.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let sync = |folder: &Path| File::open(folder).and_then(|folder| folder.sync_all());
        sync(&self.folder).and_then(|()| fs::rename(&self.folder, &self.target)).map_err(|cause| failed(&self.target, cause))?;
        self.done = true;
        sync(above).map_err(|cause| failed(&self.target, cause))
    }

    fn write(&self, name: &str, text: &[u8]) -> Result<()> {
        let path = self.folder.join(name);
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        opened.and_then(|mut file| file.write_all(text).and_then(|()| file.sync_all())).map_err(|cause| failed(&path, cause))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.done
            && let Err(cause) = fs::remove_dir_all(&self.folder)
        {
            tracing::warn!(%cause, folder = %self.folder.display(), "an unfinished backup cannot be removed");
        }
    }
}

/// Reads a backup's manifest, once every file agrees with its digest. `each` is told the bytes read so far.
/// Errors: `BACKUP_DAMAGED` naming what differs, `BACKUP_NEWER`.
pub(crate) fn open(folder: &Path) -> Result<Manifest> {
    let digests = text(&folder.join(DIGESTS))?;
    let mut listed: Vec<&str> = Vec::new();
    for line in digests.lines() {
        let (digest, name) = line.split_once("  ").ok_or_else(|| damaged(folder, "its list of digests cannot be read"))?;
        if ![STORE, MANIFEST].contains(&name) {
            return Err(damaged(folder, "its list of digests names a file that no backup has"));
        }
        if digest_file(&folder.join(name))? != digest {
            return Err(damaged(folder, &format!("{name} does not agree with its digest")));
        }
        listed.push(name);
    }
    if listed != [STORE, MANIFEST] {
        return Err(damaged(folder, "its list of digests is not whole"));
    }
    let manifest: Manifest = serde_json::from_str(&text(&folder.join(MANIFEST))?)
        .map_err(|cause| damaged(folder, "its manifest cannot be read").because(cause))?;
    if manifest.format > FORMAT {
        let message = format!("the backup was made by version {}, which writes them in another way", manifest.version);
        return Err(Error::refused("BACKUP_NEWER", message));
    }
    Ok(manifest)
}

impl Manifest {
    /// Of what was just copied.
    pub(crate) fn of(collections: Vec<Collected>, time: String, master_key: Option<String>) -> Self {
        let content = content_of(&collections);
        Self { format: FORMAT, version: env!("CARGO_PKG_VERSION").into(), time, master_key, collections, content }
    }
}

/// One digest over those of all collections.
pub(crate) fn content_of(collections: &[Collected]) -> String {
    let mut hash = Sha256::new();
    for collection in collections {
        hash.update(format!("{} {} {}\n", collection.name, collection.version, collection.content));
    }
    hex(&hash.finalize())
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_TEXT_BYTES).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text),
        Err(cause) => Err(damaged(path, "it cannot be read").because(cause)),
    }
}

fn digest_file(path: &Path) -> Result<String> {
    let unreadable = |cause| damaged(path, "it cannot be read").because(cause);
    let mut file = File::open(path).map_err(unreadable)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(bytes) => hash.update(&buffer[..bytes]),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(unreadable(cause)),
        }
    }
}

fn damaged(path: &Path, what: &str) -> Error {
    Error::refused("BACKUP_DAMAGED", format!("{}: {what}", path.display()))
}

fn failed(path: &Path, cause: io::Error) -> Error {
    Error::unavailable("BACKUP_FAILED", format!("{} cannot be written", path.display())).because(cause)
}
