//! Changes of one document, inside the writer's transaction: each reads the envelope, decides, and writes one row with one
//! statement. All that a refused one may have done before is to remove expired documents, which were absent anyway.

use std::borrow::Cow;

use kernel::{Error, Tenant, Time};
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, params_from_iter};
use serde::Serialize;

use super::fault::Fault;
use super::reads::{self, holder, list};
use super::sql::{column, located, table, value, violated};
use crate::change::already_exists;
use crate::engine::{
    Amend, Amended, Erase, OnceEntry, PendingEvent, Place, Scan, Stored, Trail, Write, earlier, enqueue, remember, repeats, stale,
};
use crate::patch::Numbers;
use crate::record::{Index, Key};
use crate::sum::Covered;

/// Values of the column `del`.
pub(super) const DRAINING: i64 = 1;
pub(super) const BURNED: i64 = 2;
/// Where the keys stand behind the columns of an envelope.
const KEYS: usize = 11;

/// The envelope of a row, without its body.
struct Envelope {
    version: i64,
    writer: i64,
    deleted: bool,
    expires: Option<i64>,
    due: Option<i64>,
    publish: Option<i64>,
    waiting: Vec<PendingEvent>,
    once: Vec<OnceEntry>,
    /// As their column holds them.
    numbers: Option<String>,
    keys: Vec<Value>,
}

impl Envelope {
    fn read(conn: &Connection, tenant: &Tenant, place: &Place) -> Result<Option<Self>, Fault> {
        let keys: String = place.collection.keys.iter().map(|(name, _)| format!(", {}", column(name))).collect();
        let sql = format!("SELECT t, id, v, w, del, exp, due, obn, ob, once, n{keys} FROM {}", located(place.collection));
        let mut statement = conn.prepare_cached(&sql)?;
        let mut rows = statement.query((tenant.as_str(), &place.id))?;
        let Some(row) = rows.next()? else { return Ok(None) };
        reads::check_place(row, tenant, place)?;
        let keys = (0..place.collection.keys.len()).map(|at| row.get(KEYS + at)).collect::<rusqlite::Result<_>>()?;
        Ok(Some(Self {
            version: row.get(2)?,
            writer: row.get(3)?,
            deleted: row.get::<_, i64>(4)? != 0,
            expires: row.get(5)?,
            due: row.get(6)?,
            publish: row.get(7)?,
            waiting: list(row, 8)?,
            once: list(row, 9)?,
            numbers: row.get(10)?,
            keys,
        }))
    }

    fn expired(&self, now: Time) -> bool {
        self.expires.is_some_and(|expires| expires <= now.micros())
    }

    fn present(&self, now: Time) -> bool {
        !self.deleted && !self.expired(now)
    }
}

/// See `Engine::insert`. Nearly always nothing is in the way, so it is looked for only after the row was refused.
pub(super) fn insert(conn: &Connection, tenant: &Tenant, place: Place, write: Write) -> Result<Stored, Fault> {
    let waiting = enqueue(Vec::new(), write.events.clone(), 1)?;
    let once = remember(Vec::new(), write.once.clone(), 1, write.now);
    let mut row = Assignments::default();
    row.set("t", tenant.as_str().to_owned());
    row.set("id", place.id.clone());
    let numbers = numbers_column(&write.numbers)?;
    row.set("v", 1);
    row.set_document(&write, (tenant, &place.id), (1, numbers.as_deref()));
    row.set_all_keys(&place, &write.keys);
    row.set("exp", write.expires.map(Time::micros));
    row.set("due", write.due.map(Time::micros));
    row.set("obn", (!waiting.is_empty()).then(|| write.now.micros()));
    row.set("n", numbers);
    row.set_list("ob", &waiting)?;
    row.set_list("once", &once)?;
    let sql = row.insert(&place);
    let inserted = conn.prepare_cached(&sql)?.execute(params_from_iter(&row.values));
    if let Err(cause) = inserted {
        if cause.sqlite_error_code() != Some(ErrorCode::ConstraintViolation) {
            return Err(cause.into());
        }
        if let Some(found) = Envelope::read(conn, tenant, &place)? {
            if found.writer == write.writer {
                return Ok(applied(place, write, found.version, found.once));
            }
            if !vacate(conn, tenant, &place, &found, write.now)? || place.collection.burns {
                return Err(already_exists("_id").into());
            }
        }
        put(conn, tenant, &place, &write, (&sql, &row.values))?;
    }
    Ok(applied(place, write, 1, once))
}

/// See `Engine::replace`.
pub(super) fn replace(conn: &Connection, tenant: &Tenant, place: Place, seen: i64, write: Write) -> Result<Stored, Fault> {
    let found = present(conn, tenant, &place, write.now)?;
    let version = next_version(&found, seen)?;
    let mut row = Assignments::default();
    row.set("v", version);
    row.set_document(&write, (tenant, &place.id), (version, found.numbers.as_deref()));
    row.set_changed_keys(&place, &found.keys, &write.keys);
    row.set_changed("exp", found.expires, write.expires.map(Time::micros));
    row.set_changed("due", found.due, write.due.map(Time::micros));
    if !write.events.is_empty() {
        row.set_events(found.publish, found.waiting, write.events.clone(), (version, write.now))?;
    }
    let once = remember(found.once, write.once.clone(), version, write.now);
    if write.once.is_some() {
        row.set_list("once", &once)?;
    }
    let sql = row.update(tenant, &place);
    put(conn, tenant, &place, &write, (&sql, &row.values))?;
    Ok(applied(place, write, version, once))
}

/// See `Engine::patch`.
pub(super) fn patch(conn: &Connection, tenant: &Tenant, place: Place, amend: Amend) -> Result<Amended, Fault> {
    let absent = || Error::not_found(&place.id);
    let Some(found) = Envelope::read(conn, tenant, &place)?.filter(|found| found.present(amend.now)) else {
        let write = amend.inserted()?.ok_or_else(absent)?;
        return Ok(Amended { stored: insert(conn, tenant, place, write)?, repeat: false });
    };
    let (stored, _) = reads::get(conn, tenant, &place, amend.now)?.ok_or_else(absent)?;
    if repeats(&found.once, amend.once.as_ref())? {
        return Ok(Amended { stored, repeat: true });
    }
    let numbers = amend.apply(stored.numbers)?;
    let text = numbers_column(&numbers)?;
    let covered = Covered {
        tenant: tenant.as_str(),
        id: &place.id,
        version: found.version,
        writer: found.writer,
        expires: found.expires,
        numbers: text.as_deref().unwrap_or_default(),
        body: &stored.body,
    };
    let mut row = Assignments::default();
    row.set("crc", covered.sum());
    row.set("n", text);
    let due = earlier(found.due.map(Time::from_micros), amend.due);
    row.set_changed("due", found.due, due.map(Time::micros));
    if !amend.events.is_empty() {
        row.set_events(found.publish, found.waiting, amend.events, (found.version, amend.now))?;
    }
    let once = remember(found.once, amend.once, found.version, amend.now);
    row.set_list("once", &once)?;
    let sql = row.update(tenant, &place);
    conn.prepare_cached(&sql)?.execute(params_from_iter(row.values))?;
    Ok(Amended { stored: Stored { numbers, once, ..stored }, repeat: false })
}

/// See `Engine::remove`.
pub(super) fn remove(conn: &Connection, tenant: &Tenant, place: &Place, seen: i64, erase: Erase) -> Result<(), Fault> {
    let found = present(conn, tenant, place, erase.now)?;
    let version = next_version(&found, seen)?;
    if found.waiting.is_empty() && erase.events.is_empty() && !place.collection.burns {
        return delete(conn, tenant, place);
    }
    let mut row = Assignments::default();
    row.set("v", version);
    row.set("w", erase.writer);
    let draining = !found.waiting.is_empty() || !erase.events.is_empty();
    if !erase.events.is_empty() {
        row.set_events(found.publish, found.waiting, erase.events, (version, erase.now))?;
    }
    row.set("del", if draining { DRAINING } else { BURNED });
    bury(conn, (tenant, place), (version, erase.writer), row)
}

/// See `Engine::trail`.
pub(super) fn trail(conn: &Connection, tenant: &Tenant, place: &Place) -> Result<Option<Trail>, Fault> {
    let sql = format!("SELECT {}, del FROM {}", reads::COLUMNS, located(place.collection));
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query((tenant.as_str(), &place.id))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    reads::check_place(row, tenant, place)?;
    let Stored { version, body, numbers, once, .. } = reads::stored(row, place.collection)?;
    let deleted = row.get::<_, i64>(reads::WIDTH)? != 0;
    Ok(Some(Trail { version, writer: row.get(3)?, deleted, once, numbers, body }))
}

fn present(conn: &Connection, tenant: &Tenant, place: &Place, now: Time) -> Result<Envelope, Fault> {
    let found = Envelope::read(conn, tenant, place)?.filter(|found| found.present(now));
    found.ok_or_else(|| Error::not_found(&place.id).into())
}

fn next_version(found: &Envelope, seen: i64) -> Result<i64, Error> {
    if found.version == seen {
        return Ok(seen + 1);
    }
    Err(stale(seen, found.version))
}

fn applied(place: Place, write: Write, version: i64, once: Vec<OnceEntry>) -> Stored {
    Stored { id: place.id, version, body: write.body, numbers: write.numbers, once }
}

/// Runs an insert or update. Where a unique key is held by an expired document, that one goes first.
fn put(conn: &Connection, tenant: &Tenant, place: &Place, write: &Write, (sql, values): (&str, &[Value])) -> Result<(), Fault> {
    loop {
        let Err(cause) = conn.prepare_cached(sql)?.execute(params_from_iter(values)) else { return Ok(()) };
        let Some(index) = violated(&cause, place.collection) else { return Err(cause.into()) };
        if !vacate_key(conn, tenant, place, index, write)? {
            return Err(already_exists(index.name).into());
        }
    }
}

fn vacate_key(conn: &Connection, tenant: &Tenant, place: &Place, index: &'static Index, write: &Write) -> Result<bool, Fault> {
    let keys = |name: &&str| place.collection.keys.iter().zip(&write.keys).find(|((key, _), _)| key == name)?.1.clone();
    let prefix: Vec<Key> = index.keys.iter().filter_map(keys).collect();
    let scan = Scan { collection: place.collection, index, prefix, range: None, descending: false, after: None, limit: 1, now: write.now };
    let Some(id) = holder(conn, tenant, &scan)? else { return Ok(false) };
    vacate_expired(conn, tenant, &Place { id, ..place.clone() }, write.now)
}

/// Removes the document if it is expired and has no events. Whether it was so.
pub(super) fn vacate_expired(conn: &Connection, tenant: &Tenant, place: &Place, now: Time) -> Result<bool, Fault> {
    match Envelope::read(conn, tenant, place)? {
        Some(found) => vacate(conn, tenant, place, &found, now),
        None => Ok(false),
    }
}

/// Removes an expired document without events from its id and its unique keys. Whether it was one.
fn vacate(conn: &Connection, tenant: &Tenant, place: &Place, found: &Envelope, now: Time) -> Result<bool, Fault> {
    if found.deleted || !found.expired(now) || found.publish.is_some() {
        return Ok(false);
    }
    if place.collection.burns {
        let mut row = Assignments::default();
        row.set("del", BURNED);
        bury(conn, (tenant, place), (found.version, found.writer), row)?;
    } else {
        delete(conn, tenant, place)?;
    }
    Ok(true)
}

pub(super) fn delete(conn: &Connection, tenant: &Tenant, place: &Place) -> Result<(), Fault> {
    let sql = format!("DELETE FROM {} WHERE t = ?1 AND id = ?2", table(place.collection));
    conn.prepare_cached(&sql)?.execute((tenant.as_str(), &place.id))?;
    Ok(())
}

/// Leaves a tombstone: without body, keys, expiry, due time and request ids.
fn bury(conn: &Connection, (tenant, place): (&Tenant, &Place), (version, writer): (i64, i64), mut row: Assignments) -> Result<(), Fault> {
    for (name, _) in place.collection.keys {
        row.set(column(name), Value::Null);
    }
    for name in ["exp", "due", "n", "once"] {
        row.set(name, Value::Null);
    }
    let covered = Covered { tenant: tenant.as_str(), id: &place.id, version, writer, expires: None, numbers: "", body: "" };
    row.set("crc", covered.sum());
    row.set("b", String::new());
    let sql = row.update(tenant, place);
    conn.prepare_cached(&sql)?.execute(params_from_iter(row.values))?;
    Ok(())
}

/// A list as its column holds it; NULL = empty.
pub(super) fn list_column<T: Serialize>(items: &[T]) -> Result<Option<String>, Error> {
    if items.is_empty() { Ok(None) } else { json(items).map(Some) }
}

/// The numbers of a counter as their column holds them; NULL = none.
pub(super) fn numbers_column(numbers: &Numbers) -> Result<Option<String>, Error> {
    if numbers.is_empty() { Ok(None) } else { json(numbers).map(Some) }
}

fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|cause| Error::internal("STORE_FAILED", "a column was not encoded").because(cause))
}

/// Columns and what they are set to.
#[derive(Default)]
pub(super) struct Assignments {
    columns: Vec<Cow<'static, str>>,
    values: Vec<Value>,
}

impl Assignments {
    pub(super) fn set(&mut self, column: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        self.columns.push(column.into());
        self.values.push(value.into());
    }

    /// Indexed columns are named only when they change: naming one rewrites its index.
    fn set_changed(&mut self, column: &'static str, old: Option<i64>, new: Option<i64>) {
        if old != new {
            self.set(column, new);
        }
    }

    fn set_document(&mut self, write: &Write, (tenant, id): (&Tenant, &str), (version, numbers): (i64, Option<&str>)) {
        let covered = Covered {
            tenant: tenant.as_str(),
            id,
            version,
            writer: write.writer,
            expires: write.expires.map(Time::micros),
            numbers: numbers.unwrap_or_default(),
            body: &write.body,
        };
        self.set("w", write.writer);
        self.set("crc", covered.sum());
        self.set("b", write.body.clone());
    }

    pub(super) fn set_all_keys(&mut self, place: &Place, keys: &[Option<Key>]) {
        for ((name, _), key) in place.collection.keys.iter().zip(keys) {
            self.set(column(name), value(key));
        }
    }

    fn set_changed_keys(&mut self, place: &Place, old: &[Value], new: &[Option<Key>]) {
        for (((name, _), old), new) in place.collection.keys.iter().zip(old).zip(new.iter().map(value)) {
            if *old != new {
                self.set(column(name), new);
            }
        }
    }

    /// New events join those that wait; a relay's lease or back-off stays.
    fn set_events(
        &mut self,
        publish: Option<i64>,
        waiting: Vec<PendingEvent>,
        new: Vec<PendingEvent>,
        (version, now): (i64, Time),
    ) -> Result<(), Error> {
        let waiting = enqueue(waiting, new, version)?;
        self.set_changed("obn", publish, Some(publish.unwrap_or(now.micros()).max(now.micros())));
        self.set_list("ob", &waiting)
    }

    pub(super) fn set_list<T: Serialize>(&mut self, column: &'static str, items: &[T]) -> Result<(), Error> {
        self.set(column, list_column(items)?);
        Ok(())
    }

    pub(super) fn values(&self) -> &[Value] {
        &self.values
    }

    /// Inserts this document.
    pub(super) fn insert(&self, place: &Place) -> String {
        let marks = vec!["?"; self.columns.len()].join(", ");
        format!("INSERT INTO {} ({}) VALUES ({marks})", table(place.collection), self.columns.join(", "))
    }

    /// An update of this document; takes the place of the row as its last values.
    fn update(&mut self, tenant: &Tenant, place: &Place) -> String {
        let assignments: Vec<_> = self.columns.iter().map(|column| format!("{column} = ?")).collect();
        self.values.push(Value::Text(tenant.as_str().to_owned()));
        self.values.push(Value::Text(place.id.clone()));
        format!("UPDATE {} SET {} WHERE t = ? AND id = ?", table(place.collection), assignments.join(", "))
    }
}
