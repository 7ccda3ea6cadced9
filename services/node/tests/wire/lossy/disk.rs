//! A disk that forgets: a file system of one folder in memory that keeps what was synced of each file beside what was
//! written, and after a power cut knows the first and as much of the second as the kind of the cut says. No test of a node.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyStatfs,
    ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::crash::Dice;

/// What is written or lost as one.
const SECTOR: usize = 512;
const FORMAT: u32 = 0o170_000;
const SOCKET: u32 = 0o140_000;
const LINK: u32 = 0o120_000;
/// The kernel asks again each time, and so never answers from before a cut.
const AT_ONCE: Duration = Duration::ZERO;

/// What a cut leaves of the unsynced writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    Nothing,
    /// Of each file the older ones.
    Beginning,
    /// Each write whole or not at all.
    Some,
    /// Each sector of each write.
    Sectors,
}

impl Cut {
    pub const ALL: [Self; 4] = [Self::Nothing, Self::Beginning, Self::Some, Self::Sectors];

    pub fn any(dice: &mut Dice) -> Self {
        Self::ALL[dice.up_to(4) as usize - 1]
    }

    /// Which of so many pieces are kept.
    fn keeps(self, pieces: usize, dice: &mut Dice) -> Vec<bool> {
        let beginning = dice.up_to(pieces as u64 + 1) as usize - 1;
        let keep = |at| match self {
            Self::Nothing => false,
            Self::Beginning => at < beginning,
            Self::Some | Self::Sectors => dice.up_to(2) == 1,
        };
        (0..pieces).map(keep).collect()
    }
}

/// A disk and its mount, until dropped.
///
/// The contents of a file last from `fsync` or `fdatasync` of that file; before that each write may be lost, in any order.
/// Names (made, moved, removed) last from `fsync` of the folder alone, which is stricter than most file systems are; what was
/// not synced of them survives as a beginning of the row, since file systems that journal keep its order. Modes last at once.
pub struct Disk {
    pub folder: PathBuf,
    state: Arc<Mutex<State>>,
    is_off: Arc<AtomicBool>,
    _mount: BackgroundSession,
}

struct State {
    owner: (u32, u32),
    files: HashMap<u64, File>,
    names: Names,
    synced_names: Names,
    unsynced_names: Vec<Naming>,
    next: u64,
    /// Changes until the power is cut.
    left: Option<u64>,
    is_off: Arc<AtomicBool>,
}

type Names = BTreeMap<OsString, u64>;

#[derive(Clone)]
enum Naming {
    Made(OsString, u64),
    Moved(OsString, OsString),
    Gone(OsString),
}

impl Naming {
    fn apply(self, names: &mut Names) {
        match self {
            Self::Made(name, number) => drop(names.insert(name, number)),
            Self::Moved(from, to) => drop(names.remove(&from).map(|number| names.insert(to, number))),
            Self::Gone(name) => drop(names.remove(&name)),
        }
    }
}

struct File {
    mode: u32,
    bytes: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Change>,
}

enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Write(offset, new) => {
                let end = offset + new.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*offset..end].copy_from_slice(new);
            }
        }
    }

    /// Cut where sectors of the disk meet.
    fn sectors(self) -> Vec<Self> {
        let Self::Write(mut offset, mut rest) = self else { return vec![self] };
        let mut sectors = Vec::new();
        while !rest.is_empty() {
            let after = rest.split_off((SECTOR - offset % SECTOR).min(rest.len()));
            let length = rest.len();
            sectors.push(Self::Write(offset, std::mem::replace(&mut rest, after)));
            offset += length;
        }
        sectors
    }
}

impl File {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.bytes);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.synced);
        }
    }

    /// How many changes were forgotten.
    fn lose(&mut self, cut: Cut, dice: &mut Dice) -> usize {
        let unsynced = std::mem::take(&mut self.unsynced).into_iter();
        let pieces: Vec<Change> = if cut == Cut::Sectors { unsynced.flat_map(Change::sectors).collect() } else { unsynced.collect() };
        let kept = cut.keeps(pieces.len(), dice);
        for (change, _) in pieces.iter().zip(&kept).filter(|(_, kept)| **kept) {
            change.apply(&mut self.synced);
        }
        self.bytes.clone_from(&self.synced);
        kept.iter().filter(|kept| !**kept).count()
    }
}

impl Disk {
    /// An empty disk. Errors: where the test may not mount.
    pub fn mounted(name: &str) -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("mozaiks-lossy-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let found = std::fs::metadata(&folder)?;
        let is_off = Arc::new(AtomicBool::new(false));
        let state = Arc::new(Mutex::new(State {
            owner: (found.uid(), found.gid()),
            files: HashMap::new(),
            names: Names::new(),
            synced_names: Names::new(),
            unsynced_names: Vec::new(),
            next: 2, // 1 is the folder
            left: None,
            is_off: is_off.clone(),
        }));
        let mut config = Config::default();
        config.mount_options.extend([MountOption::FSName("lossy".into()), MountOption::NoAtime]);
        let mount = fuser::spawn_mount(Lossy(state.clone()), &folder, &config)?;
        Ok(Self { folder, state, is_off, _mount: mount })
    }

    /// The power goes after so many changes from now on: writes, syncs, names.
    pub fn cut_after(&self, changes: u64) {
        self.state.lock().unwrap().left = Some(changes);
    }

    /// Whether the power is off. Every change is refused then, so that nothing is acknowledged any more.
    pub fn is_off(&self) -> Arc<AtomicBool> {
        self.is_off.clone()
    }

    /// The power goes, if it has not gone yet, and comes back; whoever used the disk must have ended. How much was forgotten.
    pub fn come_back(&self, cut: Cut, dice: &mut Dice) -> usize {
        let mut state = self.state.lock().unwrap();
        let mut names = std::mem::take(&mut state.synced_names);
        let unsynced = std::mem::take(&mut state.unsynced_names);
        let kept = if cut == Cut::Nothing { 0 } else { dice.up_to(unsynced.len() as u64 + 1) as usize - 1 };
        let mut forgotten = unsynced.len() - kept;
        unsynced.into_iter().take(kept).for_each(|naming| naming.apply(&mut names));
        let mut files = std::mem::take(&mut state.files);
        // New numbers: whatever the kernel still holds of a file from before belongs to none.
        for number in names.values_mut() {
            let mut file = files.remove(number).unwrap();
            forgotten += file.lose(cut, dice);
            *number = state.next;
            state.next += 1;
            state.files.insert(*number, file);
        }
        state.names.clone_from(&names);
        state.synced_names = names;
        state.left = None;
        self.is_off.store(false, Ordering::SeqCst);
        forgotten
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, also when a failed test has left somebody on it.
        let gone = std::process::Command::new("umount").arg("-l").arg(&self.folder).status();
        let _ = gone.and_then(|_| std::fs::remove_dir(&self.folder));
    }
}

impl State {
    fn attributes(&self, number: u64) -> Result<FileAttr, Errno> {
        let (mode, size) = match self.files.get(&number) {
            _ if number == INodeNo::ROOT.0 => (0o40_700, 0),
            Some(file) => (file.mode, file.bytes.len() as u64),
            None => return Err(Errno::ESTALE),
        };
        let kind = match mode & FORMAT {
            0o40_000 => FileType::Directory,
            LINK => FileType::Symlink,
            SOCKET => FileType::Socket,
            _ => FileType::RegularFile,
        };
        Ok(FileAttr {
            ino: INodeNo(number),
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm: (mode & 0o7777) as u16,
            nlink: 1,
            uid: self.owner.0,
            gid: self.owner.1,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    /// Counts a change. Errors: when the power is off.
    fn spend(&mut self) -> Result<(), Errno> {
        if self.is_off.load(Ordering::SeqCst) {
            return Err(Errno::EIO);
        }
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
            self.is_off.store(*left == 0, Ordering::SeqCst);
        }
        Ok(())
    }

    fn file(&mut self, number: INodeNo) -> Result<&mut File, Errno> {
        self.files.get_mut(&number.0).ok_or(Errno::ESTALE)
    }

    fn number(&self, name: &OsStr) -> Result<u64, Errno> {
        self.names.get(name).copied().ok_or(Errno::ENOENT)
    }

    fn name(&mut self, naming: Naming) {
        naming.clone().apply(&mut self.names);
        self.unsynced_names.push(naming);
    }

    fn make(&mut self, name: &OsStr, mode: u32, bytes: &[u8]) -> Result<FileAttr, Errno> {
        self.spend()?;
        let number = self.next;
        self.next += 1;
        self.files.insert(number, File { mode, bytes: bytes.to_vec(), synced: bytes.to_vec(), unsynced: Vec::new() });
        self.name(Naming::Made(name.to_owned(), number));
        self.attributes(number)
    }

    fn set(&mut self, number: INodeNo, mode: Option<u32>, size: Option<u64>) -> Result<FileAttr, Errno> {
        if mode.is_some() || size.is_some() {
            self.spend()?;
        }
        if let Some(mode) = mode {
            let file = self.file(number)?;
            file.mode = file.mode & FORMAT | mode & !FORMAT;
        }
        if let Some(size) = size {
            self.file(number)?.change(Change::Length(size as usize));
        }
        self.attributes(number.0)
    }

    fn write(&mut self, number: INodeNo, offset: u64, data: &[u8]) -> Result<u32, Errno> {
        self.file(number)?;
        self.spend()?;
        self.file(number)?.change(Change::Write(offset as usize, data.to_vec()));
        Ok(data.len() as u32)
    }

    fn sync(&mut self, number: INodeNo) -> Result<(), Errno> {
        self.spend()?;
        self.file(number)?.sync();
        Ok(())
    }

    fn sync_names(&mut self) -> Result<(), Errno> {
        self.spend()?;
        self.unsynced_names.clear();
        self.synced_names.clone_from(&self.names);
        Ok(())
    }

    fn rename(&mut self, from: &OsStr, to: &OsStr, flags: RenameFlags) -> Result<(), Errno> {
        self.number(from)?;
        if !flags.is_empty() {
            return Err(Errno::EINVAL);
        }
        self.spend()?;
        self.name(Naming::Moved(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn unlink(&mut self, name: &OsStr) -> Result<(), Errno> {
        self.number(name)?;
        self.spend()?;
        self.name(Naming::Gone(name.to_owned()));
        Ok(())
    }
}

/// The disk as the kernel asks it.
struct Lossy(Arc<Mutex<State>>);

impl Lossy {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> Result<T, Errno>) -> Result<T, Errno> {
        work(&mut self.0.lock().unwrap())
    }
}

fn entry(reply: ReplyEntry, found: Result<FileAttr, Errno>) {
    match found {
        Ok(attributes) => reply.entry(&AT_ONCE, &attributes, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn attributes(reply: ReplyAttr, found: Result<FileAttr, Errno>) {
    match found {
        Ok(attributes) => reply.attr(&AT_ONCE, &attributes),
        Err(error) => reply.error(error),
    }
}

fn done(reply: ReplyEmpty, outcome: Result<(), Errno>) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

#[allow(clippy::too_many_arguments)] // as the trait has it
impl Filesystem for Lossy {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(reply, self.with(|state| state.attributes(state.number(name)?)));
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        attributes(reply, self.with(|state| state.attributes(number.0)));
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<std::time::SystemTime>,
        _: Option<FileHandle>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        attributes(reply, self.with(|state| state.set(number, mode, size)));
    }

    fn create(&self, _: &Request, _: INodeNo, name: &OsStr, mode: u32, _: u32, _: i32, reply: ReplyCreate) {
        match self.with(|state| state.make(name, mode, &[])) {
            Ok(made) => reply.created(&AT_ONCE, &made, Generation(0), FileHandle(0), FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn mknod(&self, _: &Request, _: INodeNo, name: &OsStr, mode: u32, _: u32, _: u32, reply: ReplyEntry) {
        entry(reply, self.with(|state| state.make(name, mode, &[])));
    }

    fn symlink(&self, _: &Request, _: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        entry(reply, self.with(|state| state.make(name, LINK | 0o777, target.as_os_str().as_bytes())));
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        self.read(number, 0, u32::MAX, reply);
    }

    fn unlink(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.with(|state| state.unlink(name)));
    }

    fn rename(&self, _: &Request, _: INodeNo, from: &OsStr, _: INodeNo, to: &OsStr, flags: RenameFlags, reply: ReplyEmpty) {
        done(reply, self.with(|state| state.rename(from, to, flags)));
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.read(number, offset as usize, size, reply);
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.with(|state| state.write(number, offset, data)) {
            Ok(size) => reply.written(size),
            Err(error) => reply.error(error),
        }
    }

    fn fsync(&self, _: &Request, number: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(reply, self.with(|state| state.sync(number)));
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(reply, self.with(State::sync_names));
    }

    fn readdir(&self, _: &Request, _: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let state = self.0.lock().unwrap();
        for (at, (name, number)) in state.names.iter().enumerate().skip(offset as usize) {
            let kind = state.attributes(*number).map_or(FileType::RegularFile, |found| found.kind);
            if reply.add(INodeNo(*number), at as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 4096, 255, 4096);
    }
}

impl Lossy {
    fn read(&self, number: INodeNo, offset: usize, size: u32, reply: ReplyData) {
        let mut state = self.0.lock().unwrap();
        match state.file(number) {
            Ok(file) => {
                let end = offset.saturating_add(size as usize).min(file.bytes.len());
                reply.data(file.bytes.get(offset..end).unwrap_or_default());
            }
            Err(error) => reply.error(error),
        }
    }
}
