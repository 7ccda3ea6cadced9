//! What stands in the database of a node that has ended: read from a copy, so that nothing is recovered in its place.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::Connection;

/// What must be true of a row while nobody has heard of any event: an app was made with one, and each change of a user has one.
const UNHEARD: [(&str, &str); 2] = [
    ("apps", "EXISTS (SELECT 1 FROM json_each(ob) WHERE value ->> 'kind' = 'identity.app.created')"),
    (
        "users",
        "(SELECT group_concat(value ->> 'version') FROM json_each(ob)) = (WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n \
     WHERE v < users.v) SELECT group_concat(v) FROM n)",
    ),
];

static COPIES: AtomicUsize = AtomicUsize::new(0);

/// A copy of a node's database, until dropped.
pub struct Copied {
    folder: PathBuf,
    database: Connection,
}

impl Copied {
    pub fn of(data: &Path) -> Self {
        let number = COPIES.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("mozaiks-copy-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for name in ["store.db", "store.db-wal"] {
            match fs::read(data.join(name)) {
                Ok(bytes) => fs::write(folder.join(name), bytes).unwrap(),
                Err(cause) => assert_eq!(cause.kind(), std::io::ErrorKind::NotFound, "{name}"),
            }
        }
        let database = Connection::open(folder.join("store.db")).unwrap();
        Self { folder, database }
    }

    /// `ok`, or what SQLite finds wrong.
    pub fn integrity(&self) -> String {
        self.database.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap_or_else(|cause| cause.to_string())
    }

    /// Events of versions that are not there, and events that nobody will look for.
    pub fn astray(&self) -> Vec<String> {
        let mut astray = Vec::new();
        for table in self.collections() {
            let lonely = "SELECT t || '/' || id FROM {} WHERE (obn IS NULL) <> (coalesce(ob, '[]') = '[]') \
                 OR EXISTS (SELECT 1 FROM json_each(ob) WHERE value ->> 'version' > v)";
            astray.extend(self.texts(&lonely.replace("{}", &table)).into_iter().map(|id| format!("{table} {id}: events")));
        }
        astray
    }

    /// The same, and changes without their event, of a node that let nobody hear of any.
    pub fn split(&self) -> Vec<String> {
        let mut split = self.astray();
        for (table, holds) in UNHEARD {
            let bare = format!("SELECT t || '/' || id FROM {table} WHERE del = 0 AND ({holds}) IS NOT TRUE");
            split.extend(self.texts(&bare).into_iter().map(|id| format!("{table} {id}: a change without its event")));
        }
        split
    }

    /// Every document as text, by collection, tenant and id. What the relay moves is left out.
    pub fn documents(&self) -> BTreeMap<String, String> {
        let mut documents = BTreeMap::new();
        for table in self.collections() {
            let columns = self.texts(&format!("SELECT name FROM pragma_table_info('{table}') WHERE name NOT IN ('ob', 'obn', 'tries')"));
            let pairs: Vec<String> = columns.iter().map(|column| format!("'{column}', {column}")).collect();
            for document in self.texts(&format!("SELECT json_object({}) FROM {table}", pairs.join(", "))) {
                let read: serde_json::Value = serde_json::from_str(&document).unwrap();
                documents.insert(format!("{table} {}/{}", read["t"], read["id"]), document);
            }
        }
        documents
    }

    /// Events that wait, each as its kind and its trace.
    pub fn traces(&self) -> Vec<String> {
        let waiting = |table: &String| {
            self.texts(&format!("SELECT value ->> 'kind' || ' ' || coalesce(value ->> 'trace', '') FROM {table}, json_each({table}.ob)"))
        };
        self.collections().iter().flat_map(waiting).collect()
    }

    /// Changes the copy.
    pub fn change(&self, sql: &str) {
        self.database.execute(sql, ()).unwrap();
    }

    fn collections(&self) -> Vec<String> {
        self.texts("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite%'")
    }

    fn texts(&self, sql: &str) -> Vec<String> {
        let mut statement = self.database.prepare(sql).unwrap();
        statement.query_map((), |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
