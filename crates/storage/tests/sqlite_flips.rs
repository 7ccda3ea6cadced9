//! Bytes that flip on the disk, one at a time: each is noticed by a read or by the check, or changes nothing that is served. A
//! body that was never committed under its id is never served, nor listed where it does not belong.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use kernel::{Clock, Cx, Page, Result};
use serde::{Deserialize, Serialize};
use storage::{Change, Collection, Durability, Event, Find, Index, Key, KeyType, Keys, Once, Record, Removal, Sqlite, Store};

/// Bytes that flip in each file, unless `WIRE_FLIPS` or `WIRE_CYCLES` says otherwise.
const FLIPS: u64 = 25;
/// Changes that the store has seen.
const CHANGES: u64 = 160;
/// Rows of a database.
const DOCUMENTS: &str = "SELECT rowid, * FROM notes";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    text: String,
    group: String,
}

impl Record for Note {
    const KIND: Collection = Collection {
        name: "notes",
        version: 1,
        keys: &[("text", KeyType::Str), ("group", KeyType::Str)],
        indexes: &[Index { name: "text", keys: &["text"], unique: true }, Index { name: "group", keys: &["group"], unique: false }],
        burns: false,
        max_bytes: 0,
        max_items: 0,
    };

    fn keys(&self) -> Keys {
        Keys::new().with("text", self.text.as_str()).with("group", self.group.as_str())
    }
}

/// What a store holds: bodies by id.
type Held = BTreeMap<String, Note>;

struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        // In memory where that is there: nothing here depends on syncs, and there are many.
        let memory = Path::new("/dev/shm");
        let above = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let dir = above.join(format!("mozaiks-flips-{:016x}", getrandom::u64().unwrap()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn holding(files: &[(&str, Vec<u8>)]) -> Self {
        let dir = Self::new();
        files.iter().for_each(|(name, bytes)| fs::write(dir.0.join(name), bytes).unwrap());
        dir
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Numbers that look random and come again with the seed (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

#[allow(clippy::disallowed_methods)] // whoever runs it chooses how often
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

fn cx() -> Cx {
    Cx::for_tests("flips").unwrap()
}

async fn opened(dir: &Path) -> Result<Store> {
    let store = Store::open(Arc::new(Sqlite::open(dir, Durability::Full)?), [7; 32], Clock::system());
    store.define::<Note>().await?;
    Ok(store)
}

/// The change with this number: half insert, the rest replace or remove what is there.
async fn change(store: &Store, number: u64, dice: &mut Dice, held: &mut Held) {
    let note = Note { text: format!("{number}").repeat(1 + dice.below(60) as usize), group: format!("g{}", dice.below(5)) };
    let ids: Vec<String> = held.keys().cloned().collect();
    let id = match dice.below(4) {
        0 | 1 => format!("n{number}"),
        _ if ids.is_empty() => return,
        _ => ids[dice.below(ids.len() as u64) as usize].clone(),
    };
    let once = Once::of(&format!("r{number}"), [1; 32]).unwrap();
    let changed = Change::of(note.clone()).once(once).event(Event { kind: "notes.changed", payload: number.to_be_bytes().to_vec() });
    match store.get::<Note>(&cx(), &id).await.unwrap() {
        None => drop(store.insert(&cx(), &id, changed).await.unwrap()),
        Some(seen) if dice.below(3) == 0 => {
            store.remove(&cx(), &seen, Removal::new()).await.unwrap();
            held.remove(&id);
            return;
        }
        Some(seen) => drop(store.replace(&cx(), &seen, changed).await.unwrap()),
    }
    held.insert(id, note);
}

/// A database whose log still holds the newer half of its changes, and what it held after each change.
struct Base {
    database: Vec<u8>,
    log: Vec<u8>,
    history: Vec<Held>,
}

impl Base {
    async fn new(dice: &mut Dice) -> Self {
        let dir = Dir::new();
        let (mut held, mut history) = (Held::new(), vec![Held::new()]);
        for half in [0..CHANGES / 2, CHANGES / 2..CHANGES] {
            // Opening moves the log into the database.
            let store = opened(&dir.0).await.unwrap();
            for number in half {
                change(&store, number, dice, &mut held).await;
                history.push(held.clone());
            }
            let (database, log) = (fs::read(dir.0.join("store.db")).unwrap(), fs::read(dir.0.join("store.db-wal")).unwrap());
            if history.len() as u64 == CHANGES + 1 {
                return Self { database, log, history };
            }
        }
        unreachable!()
    }

    /// The database alone, with all of the log in it.
    async fn whole(&self) -> Vec<u8> {
        let dir = Dir::holding(&[("store.db", self.database.clone()), ("store.db-wal", self.log.clone())]);
        drop(opened(&dir.0).await.unwrap());
        assert!(!dir.0.join("store.db-wal").exists());
        fs::read(dir.0.join("store.db")).unwrap()
    }

    fn newest(&self) -> &Held {
        &self.history[self.history.len() - 1]
    }

    fn ids(&self) -> impl Iterator<Item = &String> {
        self.history.iter().flat_map(Held::keys).collect::<std::collections::BTreeSet<_>>().into_iter()
    }
}

/// What a store serves: by id, and by each index.
#[derive(Default)]
struct Served {
    held: Vec<(String, Note)>,
    /// Whether any call said that something is wrong.
    told: bool,
}

impl Served {
    fn newest(&self) -> Held {
        self.held.iter().cloned().collect()
    }
}

async fn served(dir: &Path, base: &Base) -> Served {
    let Ok(store) = opened(dir).await else { return Served { told: true, ..Served::default() } };
    let mut served = Served::default();
    for id in base.ids() {
        match store.get::<Note>(&cx(), id).await {
            Ok(seen) => served.held.extend(seen.map(|seen| (id.clone(), seen.body))),
            Err(_) => served.told = true,
        }
    }
    for (index, prefixes) in [("text", vec![vec![]]), ("group", (0..5).map(|n| vec![Key::from(format!("g{n}"))]).collect())] {
        for prefix in prefixes {
            list(&store, (index, prefix), &mut served).await;
        }
    }
    served
}

async fn list(store: &Store, (index, prefix): (&'static str, Vec<Key>), served: &mut Served) {
    let mut page = Page { size: 1000, token: String::new() };
    loop {
        let question = Find { index, prefix: prefix.clone(), range: None, descending: false, page: &page };
        let Ok(part) = store.find::<Note>(&cx(), question).await else {
            served.told = true;
            return;
        };
        for seen in part.items {
            let fits = index == "text" || prefix == [Key::from(seen.body.group.as_str())];
            assert!(fits, "{} is listed where it does not belong", seen.id);
            served.held.push((seen.id, seen.body));
        }
        page.token = part.next_token;
        if page.token.is_empty() {
            return;
        }
    }
}

/// Whether the check of a whole store finds anything.
async fn finds(files: &[(&str, Vec<u8>)]) -> bool {
    let dir = Dir::holding(files);
    let Ok(engine) = Sqlite::open(&dir.0, Durability::Full) else { return true };
    let engine = Arc::new(engine);
    let store = Store::open(engine.clone(), [7; 32], Clock::system());
    if store.define::<Note>().await.is_err() {
        return true;
    }
    let Ok(found) = engine.inspect(&mut |_, _| {}) else { return true };
    let as_declared = found.kinds.len() == 1 && found.kinds.iter().all(|kind| kind.stored == kind.declared);
    !as_declared || !found.damage.is_empty() || !found.drift.is_empty()
}

/// The bare rows.
struct Looked {
    columns: Vec<String>,
    documents: Rows,
}

type Rows = Vec<Vec<String>>;

fn look(files: &[(&str, Vec<u8>)]) -> Looked {
    let dir = Dir::holding(files);
    let database = rusqlite::Connection::open(dir.0.join("store.db")).unwrap();
    let mut statement = database.prepare(DOCUMENTS).unwrap();
    let columns: Vec<_> = statement.column_names().map(str::to_owned).collect();
    let read = |row: &rusqlite::Row<'_>| (0..columns.len()).map(|column| Ok(format!("{:?}", row.get_ref(column)?))).collect();
    let documents = statement.query_map((), read).unwrap().collect::<rusqlite::Result<_>>().unwrap();
    Looked { columns, documents }
}

/// How flips ended.
#[derive(Debug, Default)]
struct Ends {
    /// A read or the opening said so.
    read: usize,
    /// Only the check of the whole store said so.
    checked: usize,
    /// The log ended before it: its checksums are those of whole changes.
    cut: usize,
    /// Everything reads as before: nothing uses the byte.
    unused: usize,
    /// All that is served is as before; only how often events were tried has changed.
    harmless: usize,
    /// Of those that were noticed: an earlier body of a document was served under its id.
    earlier: usize,
}

async fn flip(base: &Base, files: &[(&str, Vec<u8>)], at: usize, (offset, mask): (usize, u8), ends: &mut Ends) {
    let mut files = files.to_vec();
    let before = look(&files);
    files[at].1[offset] ^= mask;
    let shown = format!("{} byte {offset} ^ {mask}", files[at].0);
    let dir = Dir::holding(&files);
    let served = served(&dir.0, base).await;
    for (id, body) in &served.held {
        let had = base.history.iter().any(|held| held.get(id) == Some(body));
        assert!(had, "{shown}: {id} has a body that it never had: {body:?}");
    }
    let is_newest = |(id, body): &(String, Note)| base.newest().get(id) == Some(body);
    let told = served.told || finds(&files).await;
    ends.earlier += usize::from(at == 0 && !served.held.iter().all(is_newest));
    if served.told {
        ends.read += 1;
    } else if told {
        ends.checked += 1;
    } else if at == 1 && served.newest() != *base.newest() {
        assert!(base.history.contains(&served.newest()), "{shown}: what is left is not what was there after any change");
        ends.cut += 1;
    } else {
        assert_eq!(&served.newest(), base.newest(), "{shown}: nobody notices");
        let after = look(&files);
        let changed: Vec<&str> = columns_that_differ(&before, &after).collect();
        assert!(changed.iter().all(|column| *column == "tries"), "{shown}: nobody notices that {changed:?} differ");
        *if changed.is_empty() { &mut ends.unused } else { &mut ends.harmless } += 1;
    }
}

/// Columns of documents that differ in any row.
fn columns_that_differ<'a>(before: &'a Looked, after: &Looked) -> impl Iterator<Item = &'a str> {
    assert_eq!(before.documents.len(), after.documents.len());
    let pairs: Vec<_> = before.documents.iter().zip(&after.documents).map(|(before, after)| (before.clone(), after.clone())).collect();
    let differs = move |column: &usize| pairs.iter().any(|(before, after)| before[*column] != after[*column]);
    (0..before.columns.len()).filter(differs).map(|column| before.columns[column].as_str())
}

#[tokio::test]
async fn a_flipped_byte_is_noticed_or_of_no_use() {
    let (flips, seed, began) = (setting("WIRE_FLIPS", setting("WIRE_CYCLES", FLIPS)), setting("WIRE_SEED", 1), Instant::now());
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1));
    let base = Base::new(&mut dice).await;
    let database = vec![("store.db", base.whole().await)];
    let with_log = vec![("store.db", base.database.clone()), ("store.db-wal", base.log.clone())];
    let mut ends = Ends::default();
    for (files, at) in [(&database, 0), (&with_log, 1)] {
        for _ in 0..flips {
            let offset = dice.below(files[at].1.len() as u64) as usize;
            let mask = 1 << dice.below(8);
            flip(&base, files, at, (offset, mask), &mut ends).await;
        }
    }
    let Ends { read, checked, cut, unused, harmless, earlier } = ends;
    println!(
        "fault F6 seed={seed} cycles={} acknowledged=- lost=0 split=0 seconds={:.1} read={read} checked={checked} cut={cut} unused={unused} harmless={harmless} earlier={earlier}",
        2 * flips,
        began.elapsed().as_secs_f32()
    );
    assert!(read + checked > 0 && cut > 0 && unused > 0, "{flips} flips in each file have met everything");
}
