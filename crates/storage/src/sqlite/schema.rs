//! Tables and indexes: made, compared with the declaration, and filled anew when a declaration is raised. Runs on the
//! writer's connection alone.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use kernel::{Error, Result};
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::expiry;
use super::fault::Fault;
use super::reads::{COLUMNS, stored};
use super::spawn;
use super::sql::{column, presence, table, value, violated};
use crate::engine::Rekey;
use crate::record::{Collection, Index, KeyType};

/// Layout of the database file that this code reads and writes.
const LAYOUT: i64 = 1;
/// The mark of a store that takes no changes.
const READ_ONLY: &str = "read_only";
/// A column as SQLite tells it: name, type, whether it is never NULL, default, place in the primary key.
type Column = (String, String, bool, Option<String>, i64);
/// The columns of the envelope, in the order in which `table_sql` makes them.
const OWN_COLUMNS: [(&str, &str, bool, Option<&str>, i64); 14] = [
    ("t", "TEXT", true, None, 1),
    ("id", "TEXT", true, None, 2),
    ("v", "INTEGER", true, None, 0),
    ("w", "INTEGER", true, None, 0),
    ("crc", "INTEGER", true, None, 0),
    ("del", "INTEGER", true, Some("0"), 0),
    ("exp", "INTEGER", false, None, 0),
    ("due", "INTEGER", false, None, 0),
    ("obn", "INTEGER", false, None, 0),
    ("tries", "INTEGER", true, Some("0"), 0),
    ("n", "TEXT", false, None, 0),
    ("b", "TEXT", true, None, 0),
    ("ob", "TEXT", false, None, 0),
    ("once", "TEXT", false, None, 0),
];
/// Documents whose keys are written anew in one piece of work.
const REKEY_BATCH: usize = 200;
/// Longest time that building an index may hold up changes: an index over a hundred million documents takes less.
pub(super) const MAX_BUILD_TIME: Duration = Duration::from_secs(300);

/// The last document, tenant and id, whose keys were written anew.
pub(super) type Reached = (String, String);

/// Makes the tables about collections. Errors: `STORE_NEWER` when a newer version of this software has changed the layout.
pub(super) fn prepare(conn: &Connection) -> Result<(), Fault> {
    if layout(conn)? < LAYOUT {
        conn.execute_batch(
            "CREATE TABLE IF NOT EXISTS _collections (name TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT; \
             PRAGMA user_version = 1",
        )?;
    }
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS _rekeys (name TEXT PRIMARY KEY, version INTEGER NOT NULL, t TEXT NOT NULL, id TEXT NOT NULL) STRICT; \
         CREATE TABLE IF NOT EXISTS _marks (name TEXT PRIMARY KEY) STRICT",
    )?;
    Ok(())
}

/// See `Engine::note_read_only`.
pub(super) fn note_read_only(conn: &Connection, on: bool) -> Result<(), Fault> {
    let sql = if on { "INSERT OR IGNORE INTO _marks VALUES (?1)" } else { "DELETE FROM _marks WHERE name = ?1" };
    conn.execute(sql, [READ_ONLY])?;
    Ok(())
}

/// See `Engine::is_noted_read_only`.
pub(super) fn is_noted_read_only(conn: &Connection) -> Result<bool, Fault> {
    Ok(conn.query_row("SELECT count(*) FROM _marks WHERE name = ?1", [READ_ONLY], |row| row.get(0))?)
}

/// The layout of this database; 0 of an empty one. Errors: `STORE_NEWER`.
pub(super) fn layout(conn: &Connection) -> Result<i64, Fault> {
    let layout: i64 = conn.query_row("PRAGMA user_version", (), |row| row.get(0))?;
    if layout > LAYOUT {
        return Err(Error::refused("STORE_NEWER", format!("the store has layout {layout}, this program knows {LAYOUT}")).into());
    }
    Ok(layout)
}

/// The engine's own indexes: name, definition.
fn own_indexes(collection: &Collection) -> [(&'static str, String); 3] {
    let own = [("obn", "obn", "obn IS NOT NULL"), ("due", "due", "due IS NOT NULL"), (expiry::INDEX, "exp", expiry::PRESENCE)];
    own.map(|(name, column, presence)| {
        let sql = format!("CREATE INDEX {} ON {}({column}) WHERE {presence}", index_name(collection, name), table(collection));
        (name, sql)
    })
}

/// In what columns and indexes of a collection differ from the declaration.
pub(super) fn drift(conn: &Connection, collection: &Collection) -> Result<Vec<String>, Fault> {
    let mut found = own_columns_drift(conn, collection)?;
    for (key, kind) in collection.keys {
        match column_type(conn, collection, key)? {
            Some(present) if present == sql_type(*kind) => {}
            Some(_) => found.push(format!("{}: key {key} has another type", collection.name)),
            None => found.push(format!("{}: key {key} has no column", collection.name)),
        }
    }
    let declared = collection.indexes.iter().map(|index| (index.name, index_sql(collection, index)));
    let declared: Vec<(&str, String)> = declared.chain(own_indexes(collection)).collect();
    let mut statement = conn.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL")?;
    let present = statement.query_map([collection.name], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut present: BTreeMap<String, String> = present.collect::<rusqlite::Result<_>>()?;
    for (name, sql) in declared {
        match present.remove(&format!("{}_{name}", collection.name)) {
            Some(as_is) if as_is == sql => {}
            Some(_) => found.push(format!("{}: index {name} is not as declared", collection.name)),
            None => found.push(format!("{}: index {name} is missing", collection.name)),
        }
    }
    found.extend(present.into_keys().map(|name| format!("{}: index {name} is not declared", collection.name)));
    Ok(found)
}

/// In what the columns of the envelope differ from those that `table_sql` makes.
fn own_columns_drift(conn: &Connection, collection: &Collection) -> Result<Vec<String>, Fault> {
    let mut statement =
        conn.prepare("SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info(?1) WHERE name NOT LIKE 'k\\_%' ESCAPE '\\'")?;
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?));
    let present = statement.query_map([collection.name], read)?.collect::<rusqlite::Result<Vec<Column>>>()?;
    let strict = "SELECT strict FROM pragma_table_list(?1)";
    let strict: Option<bool> = conn.query_row(strict, [collection.name], |row| row.get(0)).optional()?;
    let own =
        OWN_COLUMNS.map(|(name, kind, notnull, default, key)| (name.to_owned(), kind.to_owned(), notnull, default.map(str::to_owned), key));
    let same = present == own && strict == Some(true);
    Ok(if same { Vec::new() } else { vec![format!("{}: the columns of the envelope are not as they were made", collection.name)] })
}

/// Makes the table, or compares it with the declaration. After which document keys must be written anew before `finish`;
/// none when they need not be.
pub(super) fn begin(conn: &Connection, collection: &Collection) -> Result<Option<Reached>, Fault> {
    let Some(version) = stored_version(conn, collection)? else {
        conn.execute_batch(&table_sql(collection))?;
        complete(conn, collection)?;
        return Ok(None);
    };
    if version > collection.version {
        return Ok(None);
    }
    let raised = version < collection.version;
    for (name, kind) in collection.keys {
        match column_type(conn, collection, name)? {
            Some(present) if present == sql_type(*kind) => {}
            None if raised => {
                let sql = format!("ALTER TABLE {} ADD COLUMN {} {}", table(collection), column(name), sql_type(*kind));
                conn.execute_batch(&sql)?;
            }
            _ => return Err(differs(collection, name).into()),
        }
    }
    if raised {
        return Ok(Some(progress(conn, collection)?));
    }
    complete(conn, collection)?;
    Ok(None)
}

/// The stored version of a collection; none where it is not stored.
pub(super) fn stored_version(conn: &Connection, collection: &Collection) -> rusqlite::Result<Option<u32>> {
    conn.query_row("SELECT version FROM _collections WHERE name = ?1", [collection.name], |row| row.get(0)).optional()
}

/// Where this raise was broken off, or the beginning. A program of the stored version that ran in between has forgotten it,
/// since it wrote documents with the old keys alone.
fn progress(conn: &Connection, collection: &Collection) -> rusqlite::Result<Reached> {
    let sql = "SELECT t, id FROM _rekeys WHERE name = ?1 AND version = ?2";
    let reached = conn.query_row(sql, (collection.name, collection.version), |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(reached.optional()?.unwrap_or_default())
}

fn complete(conn: &Connection, collection: &Collection) -> Result<(), Fault> {
    for index in collection.indexes {
        build_declared(conn, collection, index)?;
    }
    finish(conn, collection)
}

/// Builds a declared index if it is missing. Errors: `DUPLICATES` naming up to 10 documents.
pub(super) fn build_declared(conn: &Connection, collection: &Collection, index: &Index) -> Result<(), Fault> {
    let built = build(conn, collection, index.name, &index_sql(collection, index));
    if built.is_err() && index.unique {
        let ids = duplicates(conn, collection, index)?;
        if !ids.is_empty() {
            return Err(duplicated(collection, index, &ids).into());
        }
    }
    built
}

/// Builds the engine's own indexes where they are missing, and notes the version.
pub(super) fn finish(conn: &Connection, collection: &Collection) -> Result<(), Fault> {
    for (name, sql) in own_indexes(collection) {
        build(conn, collection, name, &sql)?;
    }
    let sql = "INSERT INTO _collections VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET version = excluded.version";
    conn.execute(sql, (collection.name, collection.version))?;
    conn.execute("DELETE FROM _rekeys WHERE name = ?1", [collection.name])?;
    Ok(())
}

/// Writes the keys of the next documents anew, leaving version and writer. The last document done; none at the end.
pub(super) fn rekey(conn: &Connection, collection: &'static Collection, after: &Reached, rekey: Rekey) -> Result<Option<Reached>, Fault> {
    let sql =
        format!("SELECT {COLUMNS} FROM {} WHERE (t, id) > (?1, ?2) AND del = 0 ORDER BY t, id LIMIT {REKEY_BATCH}", table(collection));
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query((&after.0, &after.1))?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let (tenant, stored) = (row.get::<_, String>(0)?, stored(row, collection)?);
        let values = rekey(&stored.body)?;
        let assignments: Vec<_> = collection.keys.iter().map(|(name, _)| format!("{} = ?", column(name))).collect();
        if !assignments.is_empty() {
            let sql = format!("UPDATE {} SET {} WHERE t = ? AND id = ? AND v = ?", table(collection), assignments.join(", "));
            let place = [tenant.clone().into(), stored.id.clone().into(), stored.version.into()];
            let written = conn.prepare_cached(&sql)?.execute(params_from_iter(values.iter().map(value).chain(place)));
            if let Some(index) = written.as_ref().err().and_then(|cause| violated(cause, collection)) {
                return Err(duplicated(collection, index, &[format!("{tenant}/{}", stored.id)]).into());
            }
            written?;
        }
        last = Some((tenant, stored.id));
    }
    if let Some((tenant, id)) = &last {
        let sql = "INSERT OR REPLACE INTO _rekeys (name, version, t, id) VALUES (?1, ?2, ?3, ?4)";
        conn.execute(sql, (collection.name, collection.version, tenant, id))?;
    }
    Ok(last)
}

/// Interrupts the work when it takes longer than `limit`. Errors: `STORE_SLOW`, those of the work.
pub(super) fn bounded<T>(conn: &Connection, limit: Duration, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    let handle = conn.get_interrupt_handle();
    let (running, ended) = mpsc::channel::<()>();
    let watch = spawn("store-watch", move || {
        let mut wait = limit;
        while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            handle.interrupt();
            wait = Duration::from_millis(1); // an interrupt between two statements is forgotten
        }
    })?;
    let result = work();
    drop(running);
    if watch.join().is_err() {
        tracing::error!("a thread of the store had panicked");
    }
    result
}

fn table_sql(collection: &Collection) -> String {
    let keys: String = collection.keys.iter().map(|(name, kind)| format!("{} {}, ", column(name), sql_type(*kind))).collect();
    format!(
        "CREATE TABLE {} (t TEXT NOT NULL, id TEXT NOT NULL, v INTEGER NOT NULL, w INTEGER NOT NULL, crc INTEGER NOT NULL, \
         del INTEGER NOT NULL DEFAULT 0, exp INTEGER, due INTEGER, obn INTEGER, tries INTEGER NOT NULL DEFAULT 0, {keys}\
         n TEXT, b TEXT NOT NULL, ob TEXT, once TEXT, PRIMARY KEY (t, id)) STRICT",
        table(collection)
    )
}

fn index_sql(collection: &Collection, index: &Index) -> String {
    let columns: Vec<_> = index.keys.iter().map(|name| column(name)).collect();
    let (unique, tie) = if index.unique { ("UNIQUE ", "") } else { ("", ", id") };
    format!(
        "CREATE {unique}INDEX {} ON {}(t, {}{tie}) WHERE {}",
        index_name(collection, index.name),
        table(collection),
        columns.join(", "),
        presence(index)
    )
}

/// `users_email`, quoted.
pub(super) fn index_name(collection: &Collection, index: &str) -> String {
    format!("\"{}_{index}\"", collection.name)
}

const fn sql_type(kind: KeyType) -> &'static str {
    match kind {
        KeyType::Str | KeyType::Bytes => "TEXT",
        KeyType::I64 | KeyType::Bool => "INTEGER",
    }
}

fn column_type(conn: &Connection, collection: &Collection, key: &str) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT type FROM pragma_table_info(?1) WHERE name = ?2";
    conn.query_row(sql, (collection.name, format!("k_{key}")), |row| row.get(0)).optional()
}

fn build(conn: &Connection, collection: &Collection, index: &str, sql: &str) -> Result<(), Fault> {
    let name = format!("{}_{index}", collection.name);
    let present = conn.query_row("SELECT sql FROM sqlite_schema WHERE name = ?1", [&name], |row| row.get::<_, String>(0)).optional()?;
    match present {
        Some(present) if present == sql => Ok(()),
        Some(_) => Err(differs(collection, index).into()),
        None => bounded(conn, MAX_BUILD_TIME, || Ok(conn.execute_batch(sql)?)),
    }
}

fn differs(collection: &Collection, what: &str) -> Error {
    let message = format!("{what} of {} differs from the stored one; give it a new name and raise the version", collection.name);
    Error::invalid("COLLECTION_INVALID", message)
}

fn duplicates(conn: &Connection, collection: &Collection, index: &Index) -> rusqlite::Result<Vec<String>> {
    let keys = index.keys.iter().map(|name| column(name)).collect::<Vec<_>>().join(", ");
    let (table, presence) = (table(collection), presence(index));
    let sql = format!(
        "SELECT t || '/' || id FROM {table} WHERE (t, {keys}) IN \
         (SELECT t, {keys} FROM {table} WHERE {presence} GROUP BY t, {keys} HAVING count(*) > 1) ORDER BY t, {keys}, id LIMIT 10"
    );
    conn.prepare(&sql)?.query_map((), |row| row.get(0))?.collect()
}

fn duplicated(collection: &Collection, index: &Index, ids: &[String]) -> Error {
    Error::refused("DUPLICATES", format!("index {} of {} cannot be unique: {}", index.name, collection.name, ids.join(", ")))
}
