//! What the embedded engine does with its files: keeps them across restarts and kills, keeps others out, sees damage.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use kernel::{Clock, Cx, Error, Page};
use serde::{Deserialize, Serialize};
use storage::{Change, Collection, Durability, Find, Index, Key, KeyType, Keys, Once, Patch, Record, Seen, Sqlite, Store, taken};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    text: String,
}

impl Record for Note {
    const KIND: Collection = Collection {
        name: "notes",
        version: 1,
        keys: &[("text", KeyType::Str)],
        indexes: &[Index { name: "text", keys: &["text"], unique: false }],
        burns: false,
        max_bytes: 0,
        max_items: 0,
    };

    fn keys(&self) -> Keys {
        Keys::new().with("text", self.text.as_str())
    }
}

/// A counter.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sum {}

impl Record for Sum {
    const KIND: Collection = Collection { name: "sums", version: 1, keys: &[], indexes: &[], burns: false, max_bytes: 0, max_items: 0 };
    const COUNTER: bool = true;

    fn keys(&self) -> Keys {
        Keys::new()
    }
}

/// A directory that goes with the test.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("mozaiks-files-{:016x}", getrandom::u64().unwrap()));
        std::fs::create_dir(&dir).unwrap();
        Self(dir)
    }

    fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    /// The database, opened behind the engine's back.
    fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.data().join("store.db")).unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

async fn open(dir: &Path) -> Result<Store, Error> {
    let store = Store::open(Arc::new(Sqlite::open(dir, Durability::Full)?), [7; 32], Clock::system());
    store.define::<Note>().await?;
    store.define::<Sum>().await?;
    Ok(store)
}

fn cx() -> Cx {
    Cx::for_tests("files").unwrap()
}

async fn put(store: &Store, id: &str, text: &str) -> Seen<Note> {
    store.insert(&cx(), id, Change::of(Note { text: text.to_owned() })).await.unwrap()
}

async fn list<T: Record>(store: &Store, index: &'static str, prefix: Vec<Key>) -> Result<Vec<String>, Error> {
    let page = Page { size: 1_000, token: String::new() };
    let found = store.find::<T>(&cx(), Find { index, prefix, range: None, descending: false, page: &page }).await?;
    Ok(found.items.into_iter().map(|seen| seen.id).collect())
}

#[tokio::test]
async fn reopening_keeps_documents_and_files_are_private() {
    let dir = Dir::new();
    let store = open(&dir.data()).await.unwrap();
    let seen = put(&store, "one", "a").await;
    store.replace(&cx(), &seen, Change::of(Note { text: "b".to_owned() })).await.unwrap();
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(dir.data()), 0o700);
    for file in ["store.db", "store.db-wal", "store.db-shm", "store.lock"] {
        assert_eq!(mode(dir.data().join(file)), 0o600, "{file}");
    }
    assert!(store.engine().metrics().wal_bytes > 0);
    drop(store);
    assert!(!dir.data().join("store.db-wal").exists(), "closing moves the log into the database");
    let seen = open(&dir.data()).await.unwrap().get::<Note>(&cx(), "one").await.unwrap().unwrap();
    assert_eq!((seen.version, seen.body.text.as_str()), (2, "b"));
}

#[tokio::test]
async fn a_store_opens_beside_a_backup_that_reads_it() {
    let dir = Dir::new();
    put(&open(&dir.data()).await.unwrap(), "one", "first").await;
    let backup = rusqlite::Connection::open(dir.data().join("store.db")).unwrap();
    backup.execute_batch("BEGIN").unwrap();
    let count = || backup.query_row("SELECT count(*) FROM notes", (), |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count(), 1);
    let store = open(&dir.data()).await.unwrap();
    put(&store, "two", "second").await;
    drop(store);
    // Opened once more, with a log that cannot be moved away.
    let store = open(&dir.data()).await.unwrap();
    assert!(store.get::<Note>(&cx(), "two").await.unwrap().is_some());
    assert_eq!(count(), 1, "what is read beside stays as it was");
}

#[tokio::test]
async fn a_second_opener_is_told_who_holds_the_store() {
    let dir = Dir::new();
    let store = open(&dir.data()).await.unwrap();
    let refused = Sqlite::open(&dir.data(), Durability::Full).unwrap_err();
    assert_eq!((refused.kind(), refused.reason()), (kernel::Kind::Refused, "STORE_LOCKED"));
    assert!(refused.message().contains(&format!("pid {} since", std::process::id())), "{}", refused.message());
    drop(store);
    Sqlite::open(&dir.data(), Durability::Full).unwrap();
}

/// Writes until it is killed and says what was acknowledged. Run by the test below in a process of its own.
#[tokio::test]
#[ignore = "the other half of a_kill_loses_nothing_acknowledged"]
#[allow(clippy::print_stdout)]
async fn write_until_killed() {
    if !Path::new("data").is_dir() {
        return; // asked for by hand, without the other half
    }
    let store = open(Path::new("data")).await.unwrap();
    let start = list::<Note>(&store, "text", Vec::new()).await.unwrap().len();
    for n in start.. {
        put(&store, &format!("n{n:06}"), &format!("{n:06}")).await;
        store.patch(&cx(), "sum", counted(n)).await.unwrap();
        println!("acknowledged {n}");
    }
}

/// One more, once for each number.
fn counted(n: usize) -> Patch<Sum> {
    Patch::upsert(Sum {}).inc("written", 1).once(Once::of(&format!("write-{n}"), [7; 32]).unwrap())
}

#[tokio::test]
async fn a_kill_loses_nothing_acknowledged() {
    let dir = Dir::new();
    std::fs::create_dir(dir.data()).unwrap();
    for round in 1..=5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "write_until_killed", "--nocapture"])
            .current_dir(&dir.0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let acknowledged = |line: &String| line.rsplit_once("acknowledged ").and_then(|(_, n)| n.parse::<usize>().ok());
        let mut last = lines.by_ref().filter_map(|line| acknowledged(&line)).nth(7 * round).unwrap();
        assert_eq!(Sqlite::open(&dir.data(), Durability::Full).unwrap_err().reason(), "STORE_LOCKED");
        child.kill().unwrap();
        last = lines.filter_map(|line| acknowledged(&line)).last().unwrap_or(last);
        child.wait().unwrap();
        let store = open(&dir.data()).await.expect("the lock of a killed process is taken over");
        let kept = list::<Note>(&store, "text", Vec::new()).await.unwrap().len();
        assert!(kept > last, "round {round}: {last} was acknowledged, {kept} are there");
        let repeated = store.patch(&cx(), "sum", counted(last)).await.unwrap();
        assert!(repeated.repeat, "round {round}: a repeat after the crash takes no second effect");
        let sum = store.patch(&cx(), "sum", counted(kept - 1)).await.unwrap().numbers["written"];
        assert_eq!(usize::try_from(sum).unwrap(), kept, "round {round}: each took effect once");
    }
}

/// Meets a real write error, has it taken away, and checks what was acknowledged. Run by the test below in a process whose
/// files may not grow beyond a limit.
#[tokio::test]
#[ignore = "the other half of a_write_error_stops_acknowledging"]
async fn write_against_a_limit() {
    if !Path::new("data").is_dir() {
        return; // asked for by hand, without the other half
    }
    let store = open(Path::new("data")).await.unwrap();
    let text = "x".repeat(400);
    let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
    while refused.len() < 50 {
        let id = format!("n{}", acknowledged.len() + refused.len());
        let change = Change::of(Note { text: text.clone() });
        match store.insert(&cx(), &id, change).await.map_err(|error| error.reason()) {
            Ok(_) => acknowledged.push(id),
            Err(reason @ ("STORE_BROKEN" | "MAYBE_APPLIED")) => refused.push((id, reason)),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(store.engine().ready().unwrap_err().reason(), "STORE_BROKEN");
    assert!(acknowledged.len() > 100 && refused.iter().any(|(_, reason)| *reason == "STORE_BROKEN"));
    assert!(store.get::<Note>(&cx(), "n0").await.unwrap().is_some(), "reads go on");

    let pid = std::process::id().to_string();
    assert!(Command::new("prlimit").args(["--fsize=unlimited:unlimited", "--pid", &pid]).status().unwrap().success());
    while store.engine().ready().is_err() {
        tokio::task::yield_now().await;
    }
    put(&store, "after", "writes resume").await;
    for id in acknowledged {
        assert!(store.get::<Note>(&cx(), &id).await.unwrap().is_some(), "{id} was acknowledged");
    }
    for (id, reason) in refused {
        let there = store.get::<Note>(&cx(), &id).await.unwrap().is_some();
        assert!(!there || reason == "MAYBE_APPLIED", "{id} was answered {reason} and is there");
    }
}

#[test]
fn a_write_error_stops_acknowledging() {
    let dir = Dir::new();
    std::fs::create_dir(dir.data()).unwrap();
    let script = r#"trap "" XFSZ; ulimit -S -f 1000; exec "$0" --ignored --exact write_against_a_limit"#;
    let output = Command::new("sh").args(["-c", script]).arg(std::env::current_exe().unwrap()).current_dir(&dir.0).output().unwrap();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_damaged_document_is_never_served() {
    let dir = Dir::new();
    let store = open(&dir.data()).await.unwrap();
    for id in ["good", "flipped", "broken", "list"] {
        put(&store, id, "ab").await;
    }
    drop(store);
    let database = dir.database();
    database.execute("UPDATE notes SET b = replace(b, 'ab', 'ac') WHERE id = 'flipped'", ()).unwrap();
    database.execute(r#"UPDATE notes SET b = CAST(X'7B2274657874223A22FF227D' AS TEXT) WHERE id = 'broken'"#, ()).unwrap();
    database.execute("UPDATE notes SET once = '[{' WHERE id = 'list'", ()).unwrap();
    drop(database);

    let store = open(&dir.data()).await.unwrap();
    assert_eq!(store.get::<Note>(&cx(), "good").await.unwrap().unwrap().body.text, "ab");
    for id in ["flipped", "broken", "list"] {
        let error = store.get::<Note>(&cx(), id).await.unwrap_err();
        assert_eq!((error.kind(), error.reason()), (kernel::Kind::Internal, "RECORD_CORRUPT"), "{id}");
    }
    assert_eq!(list::<Note>(&store, "text", vec!["ab".into()]).await.unwrap_err().reason(), "RECORD_CORRUPT");
}

#[tokio::test]
async fn a_newer_layout_is_refused() {
    let dir = Dir::new();
    drop(open(&dir.data()).await.unwrap());
    dir.database().execute_batch("PRAGMA user_version = 2").unwrap();
    assert_eq!(open(&dir.data()).await.unwrap_err().reason(), "STORE_NEWER");
}

/// `Note` as a later version declares it: another key, and texts that may not occur twice.
#[derive(Clone, Serialize, Deserialize)]
struct Raised {
    text: String,
}

impl Record for Raised {
    const KIND: Collection = Collection {
        version: 2,
        keys: &[("text", KeyType::Str), ("length", KeyType::I64)],
        indexes: &[
            Index { name: "text", keys: &["text"], unique: false },
            Index { name: "length", keys: &["length"], unique: false },
            Index { name: "once", keys: &["text"], unique: true },
        ],
        ..Note::KIND
    };

    fn keys(&self) -> Keys {
        let length = i64::try_from(self.text.len()).unwrap();
        Keys::new().with("text", self.text.as_str()).with("length", length)
    }
}

/// `Note` with another key and the old version.
#[derive(Clone, Serialize, Deserialize)]
struct Unraised {
    text: String,
}

impl Record for Unraised {
    const KIND: Collection = Collection { version: 1, ..Raised::KIND };

    fn keys(&self) -> Keys {
        Keys::new()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raised_version_finds_old_documents_by_the_new_index() {
    let dir = Dir::new();
    let store = open(&dir.data()).await.unwrap();
    for n in 0..450 {
        put(&store, &format!("n{n}"), &"x".repeat(n)).await;
    }
    let twin = put(&store, "twin", "x").await;
    assert_eq!(store.define::<Unraised>().await.unwrap_err().reason(), "COLLECTION_INVALID");
    let refused = store.define::<Raised>().await.unwrap_err();
    assert_eq!((refused.reason(), refused.message().ends_with("files/n1, files/twin")), ("DUPLICATES", true), "{refused}");

    store.remove(&cx(), &twin, storage::Removal::new()).await.unwrap();
    store.define::<Raised>().await.unwrap();
    assert_eq!(list::<Raised>(&store, "length", vec![449.into()]).await.unwrap(), ["n449"]);
    assert_eq!(store.get::<Raised>(&cx(), "n7").await.unwrap().unwrap().version, 1, "versions stay");
    let again = store.insert(&cx(), "more", Change::of(Raised { text: "x".to_owned() })).await.err().unwrap();
    assert_eq!(taken(&again), Some("once"));
    store.define::<Note>().await.expect("an older program beside a newer one changes nothing");
    drop(store);
    let store = open(&dir.data()).await.unwrap();
    store.define::<Raised>().await.unwrap();
    assert_eq!(list::<Raised>(&store, "length", vec![3.into()]).await.unwrap(), ["n3"]);
}
