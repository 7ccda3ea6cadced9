//! What a raised declaration does to the documents of the embedded engine: keys written anew, indexes built, broken off and
//! taken up again, beside an older program.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kernel::{Clock, Cx, Error, Page};
use serde::{Deserialize, Serialize};
use storage::{Change, Collection, Durability, Find, Index, Key, KeyType, Keys, Record, Sqlite, Store};

#[derive(Clone, Serialize, Deserialize)]
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

/// `Note` as a later version declares it: found by length, too, and by another text.
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
            Index { name: "length_text", keys: &["length", "text"], unique: true },
        ],
        ..Note::KIND
    };

    fn keys(&self) -> Keys {
        let length = i64::try_from(self.text.len()).unwrap();
        Keys::new().with("text", self.text.to_uppercase()).with("length", length)
    }
}

struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("mozaiks-raise-{:016x}", getrandom::u64().unwrap())))
    }

    fn store(&self) -> Store {
        Store::open(Arc::new(Sqlite::open(&self.0, Durability::Full).unwrap()), [7; 32], Clock::system())
    }

    /// Runs SQL behind the engine's back.
    fn execute(&self, sql: &str) {
        rusqlite::Connection::open(self.0.join("store.db")).unwrap().execute_batch(sql).unwrap();
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(dir: &Path) {
    std::fs::remove_dir_all(dir).unwrap();
}

fn cx() -> Cx {
    Cx::for_tests("raise").unwrap()
}

async fn list<T: Record>(store: &Store, index: &'static str, prefix: Vec<Key>) -> Result<Vec<String>, Error> {
    let page = Page::of(1_000, "").unwrap();
    let found = store.find::<T>(&cx(), Find { index, prefix, range: None, descending: false, page: &page }).await?;
    Ok(found.items.into_iter().map(|seen| seen.id).collect())
}

/// 500 notes, then a raise that is broken off at a document that cannot be read; 200 are done by then.
async fn broken_off(dir: &Dir) -> Result<(), Error> {
    let store = dir.store();
    store.define::<Note>().await?;
    for n in 0..500 {
        store.insert(&cx(), &format!("n{n:03}"), Change::of(Note { text: format!("a{n}") })).await?;
    }
    drop(store);
    dir.execute("UPDATE notes SET crc = crc + 1 WHERE id = 'n250'");
    let store = dir.store();
    assert_eq!(store.define::<Raised>().await.unwrap_err().reason(), "RECORD_CORRUPT");
    drop(store);
    dir.execute("UPDATE notes SET crc = crc - 1 WHERE id = 'n250'; UPDATE notes SET k_length = -1 WHERE id = 'n007'");
    Ok(())
}

#[tokio::test]
async fn a_raise_that_was_broken_off_goes_on_where_it_was() {
    let dir = Dir::new();
    broken_off(&dir).await.unwrap();
    let store = dir.store();
    store.define::<Raised>().await.unwrap();
    assert_eq!(list::<Raised>(&store, "length", vec![(-1).into()]).await.unwrap(), ["n007"], "what was done is not done again");
    assert_eq!(list::<Raised>(&store, "text", vec!["A250".into()]).await.unwrap(), ["n250"]);
    assert_eq!(list::<Raised>(&store, "length_text", vec![4.into()]).await.unwrap().len(), 400);
    assert_eq!(store.get::<Raised>(&cx(), "n300").await.unwrap().unwrap().version, 1, "versions stay");
    assert_eq!(store.count::<Raised>(&cx(), "length", Vec::new(), 1_000).await.unwrap(), storage::Count::Exactly(500));
}

#[tokio::test]
async fn an_older_program_in_between_makes_a_raise_begin_again() {
    let dir = Dir::new();
    broken_off(&dir).await.unwrap();
    let older = dir.store();
    older.define::<Note>().await.unwrap();
    older.insert(&cx(), "n000a", Change::of(Note { text: "late".to_owned() })).await.unwrap();
    drop(older);
    let store = dir.store();
    store.define::<Raised>().await.unwrap();
    assert!(list::<Raised>(&store, "length", vec![(-1).into()]).await.unwrap().is_empty());
    assert_eq!(list::<Raised>(&store, "length_text", vec![4.into(), "LATE".into()]).await.unwrap(), ["n000a"]);
    drop(store);

    let older = dir.store();
    older.define::<Note>().await.expect("a lower version succeeds");
    older.insert(&cx(), "older", Change::of(Note { text: "older".to_owned() })).await.expect("and goes on writing the keys it knows");
    assert_eq!(list::<Note>(&older, "text", vec!["older".into()]).await.unwrap(), ["older"]);
    drop(older);
    let store = dir.store();
    store.define::<Raised>().await.unwrap();
    assert_eq!(list::<Raised>(&store, "length", vec![2.into()]).await.unwrap().len(), 10, "and changes nothing");
}

#[tokio::test]
async fn a_store_from_before_raises_were_resumable_opens() {
    let dir = Dir::new();
    dir.store().define::<Note>().await.unwrap();
    dir.execute("DROP TABLE _rekeys");
    let store = dir.store();
    store.define::<Raised>().await.unwrap();
}
