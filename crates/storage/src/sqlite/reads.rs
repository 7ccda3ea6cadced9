//! Reads: one document by id, one page of an index. Every statement begins with the tenant.

use std::ops::Bound;
use std::time::{Duration, Instant};

use kernel::{Error, Result, Tenant, Time};
use rusqlite::types::{FromSqlError, Value};
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use serde::de::DeserializeOwned;

use super::fault::{Fault, slow};
use super::schema::index_name;
use super::sql::{column, key, located, present, table};
use crate::engine::{Cursor, Place, Rows, Scan, Stored};
use crate::patch::Numbers;
use crate::record::{Collection, Key, Range};
use crate::sum::{Covered, Summed};

/// Bytes of bodies after which a page ends early: it has to fit into one message.
const MAX_PAGE_BYTES: usize = 3 * 1024 * 1024;
/// Expired documents passed over before a page ends early, so that every read is short.
const MAX_SKIPPED: usize = 1_000;

/// Longest time of a read: while it lasts the log cannot be emptied.
const MAX_READ_TIME: Duration = Duration::from_secs(5);

/// Columns of a stored document, as `stored` reads them.
pub(super) const COLUMNS: &str = "t, id, v, w, exp, crc, n, b, once";
/// How many they are.
pub(super) const WIDTH: usize = 9;
/// Where `exp` stands among them.
const EXPIRES: usize = 4;
/// Where the keys of a cursor stand in a page of documents, behind whether the row is the one that its entry tells of.
const KEYS: usize = WIDTH + 1;

/// A document and when it expires.
pub(super) type Lasting = (Stored, Option<Time>);

pub(super) fn get(conn: &Connection, tenant: &Tenant, place: &Place, now: Time) -> Result<Option<Lasting>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM {} AND del = 0", located(place.collection));
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query((tenant.as_str(), &place.id))?;
    match rows.next()? {
        Some(row) if !expired(row, EXPIRES, now)? => {
            check_place(row, tenant, place)?;
            Ok(Some((stored(row, place.collection)?, row.get::<_, Option<i64>>(EXPIRES)?.map(Time::from_micros))))
        }
        _ => Ok(None),
    }
}

/// That a row which begins with tenant and id is the one that was asked for: a damaged index leads to a whole document that is
/// another one, perhaps of another tenant. Errors: `RECORD_CORRUPT`.
pub(super) fn check_place(row: &Row<'_>, tenant: &Tenant, place: &Place) -> Result<(), Fault> {
    let is = |at: usize, text: &str| row.get_ref(at).is_ok_and(|found| found.as_str().is_ok_and(|found| found == text));
    if is(0, tenant.as_str()) && is(1, &place.id) { Ok(()) } else { Err(astray(place.collection, &place.id)) }
}

fn astray(collection: &Collection, id: &str) -> Fault {
    Error::internal("RECORD_CORRUPT", format!("{} {id} is not where its index says", collection.name)).into()
}

fn expired(row: &Row<'_>, at: usize, now: Time) -> rusqlite::Result<bool> {
    Ok(row.get::<_, Option<i64>>(at)?.is_some_and(|expires| expires <= now.micros()))
}

/// A row that begins with `COLUMNS`, once it agrees with its checksum. Errors: `RECORD_CORRUPT`.
pub(super) fn stored(row: &Row<'_>, collection: &Collection) -> Result<Stored, Fault> {
    let id: String = row.get(1)?;
    let unreadable = |cause: rusqlite::Error| {
        Error::internal("RECORD_CORRUPT", format!("{} {id} holds what was never written", collection.name)).because(cause)
    };
    covered(row).map_err(unreadable)?.check(collection, row.get(5).ok())?;
    let read = || Ok(Stored { id: id.clone(), version: row.get(2)?, body: row.get(7)?, numbers: numbers(row, 6)?, once: list(row, 8)? });
    Ok(read().map_err(unreadable)?)
}

/// What the checksum of a row that begins with `COLUMNS` covers.
pub(super) fn covered<'a>(row: &'a Row<'_>) -> rusqlite::Result<Covered<'a>> {
    let text = |at: usize| Ok::<_, rusqlite::Error>(row.get_ref(at)?.as_str_or_null()?.unwrap_or_default());
    let (tenant, id, numbers, body) = (text(0)?, text(1)?, text(6)?, text(7)?);
    Ok(Covered { tenant, id, version: row.get(2)?, writer: row.get(3)?, expires: row.get(4)?, numbers, body })
}

/// A column that holds a JSON array of items that agree with their sums; NULL = empty.
pub(super) fn list<T: DeserializeOwned + Summed>(row: &Row<'_>, at: usize) -> rusqlite::Result<Vec<T>> {
    let items: Vec<T> = json(row, at)?;
    if items.iter().all(Summed::is_whole) {
        return Ok(items);
    }
    Err(FromSqlError::Other("an item does not agree with its checksum".into()).into())
}

/// The column of the numbers.
pub(super) fn numbers(row: &Row<'_>, at: usize) -> rusqlite::Result<Numbers> {
    json(row, at)
}

fn json<T: DeserializeOwned + Default>(row: &Row<'_>, at: usize) -> rusqlite::Result<T> {
    let Some(text) = row.get_ref(at)?.as_str_or_null()? else { return Ok(T::default()) };
    serde_json::from_str(text).map_err(|cause| FromSqlError::Other(Box::new(cause)).into())
}

/// One page, in the order of the index; see `Engine::find`.
pub(super) fn find(conn: &Connection, tenant: &Tenant, scan: &Scan) -> Result<Rows, Fault> {
    let (sql, values) = statement(tenant, scan, &page_columns(scan));
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut page = Rows { items: Vec::new(), next: None };
    let (mut bytes, mut skipped) = (0, 0);
    let mut last = None;
    while let Some(row) = rows.next()? {
        if page.items.len() == scan.limit || bytes >= MAX_PAGE_BYTES || skipped == MAX_SKIPPED {
            page.next = last;
            break;
        }
        if !row.get::<_, bool>(WIDTH)? {
            return Err(astray(scan.collection, &row.get::<_, String>(1)?));
        }
        last = Some(cursor(row, scan)?);
        if expired(row, EXPIRES, scan.now)? {
            skipped += 1;
        } else {
            let item = stored(row, scan.collection)?;
            bytes += item.body.len();
            page.items.push(item);
        }
    }
    Ok(page)
}

/// See `Engine::count`. Given up after a while: expired documents are passed over, and there may be many.
pub(super) fn count(conn: &Connection, tenant: &Tenant, scan: &Scan) -> Result<usize, Fault> {
    let (sql, values) = statement(tenant, scan, "d.exp");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let (mut counted, started) = (0, Instant::now());
    while let Some(row) = rows.next()? {
        if counted == scan.limit {
            break;
        }
        if started.elapsed() > MAX_READ_TIME {
            return Err(slow().into());
        }
        counted += usize::from(!expired(row, 0, scan.now)?);
    }
    Ok(counted)
}

/// How SQLite would serve this scan.
pub(super) fn explain(conn: &Connection, tenant: &Tenant, scan: &Scan) -> Result<String, Fault> {
    let (sql, values) = statement(tenant, scan, &page_columns(scan));
    let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    let steps: Vec<String> = statement.query_map(params_from_iter(values), |row| row.get(3))?.collect::<rusqlite::Result<_>>()?;
    Ok(steps.join("; "))
}

fn cursor(row: &Row<'_>, scan: &Scan) -> Result<Cursor, Fault> {
    let rest = scan.index.keys.iter().skip(scan.prefix.len());
    let kinds = rest.filter_map(|name| scan.collection.key_type(name));
    let keys = kinds.enumerate().map(|(at, kind)| key(kind, row.get_ref(KEYS + at)?)).collect::<Result<_, Fault>>()?;
    Ok(Cursor { keys, id: row.get(1)? })
}

/// The columns of a document, and whether its row has the keys that the entry of the index has.
fn page_columns(scan: &Scan) -> String {
    let columns: Vec<_> = COLUMNS.split(", ").map(|name| format!("d.{name}")).collect();
    let id = (!scan.index.unique).then(|| "id".to_owned());
    let keys = scan.index.keys.iter().map(|name| column(name)).chain(["t".to_owned()]).chain(id);
    let same: Vec<_> = keys.map(|name| format!("d.{name} IS i.{name}")).collect();
    format!("{}, {}", columns.join(", "), same.join(" AND "))
}

/// Entries of the index (`i`), and of each the row that it leads to (`d`): the entry alone is not believed, since a damaged one
/// leads elsewhere. `INDEXED BY` fails where the index cannot serve; the presence terms are what lets a partial index serve.
fn statement(tenant: &Tenant, scan: &Scan, select: &str) -> (String, Vec<Value>) {
    let columns: Vec<_> = scan.index.keys.iter().map(|name| format!("i.{}", column(name))).collect();
    let (fixed, order) = columns.split_at(scan.prefix.len());
    let mut values = vec![Value::Text(tenant.as_str().to_owned())];
    let mut terms = vec!["i.t = ?".to_owned()];
    terms.extend(columns.iter().map(|name| format!("{name} IS NOT NULL")));
    for (name, key) in fixed.iter().zip(&scan.prefix) {
        terms.push(format!("{name} = ?"));
        values.push(present(key));
    }
    for (term, bounds) in limits(scan, order) {
        terms.push(term);
        values.extend(bounds);
    }
    let mut sorted = order.to_vec();
    if !scan.index.unique {
        sorted.push("i.id".to_owned());
    }
    let direction = if scan.descending { " DESC" } else { "" };
    let sorted: Vec<_> = sorted.iter().map(|name| format!("{name}{direction}")).collect();
    let keys: String = order.iter().map(|name| format!(", {name}")).collect();
    let order_by = if sorted.is_empty() { String::new() } else { format!(" ORDER BY {}", sorted.join(", ")) };
    let table = table(scan.collection);
    let sql = format!(
        "SELECT {select}{keys} FROM {table} AS i INDEXED BY {} CROSS JOIN {table} AS d ON d.rowid = i.rowid WHERE {}{order_by}",
        index_name(scan.collection, scan.index.name),
        terms.join(" AND ")
    );
    (sql, values)
}

/// The terms that bound the keys after the prefix. The cursor takes the place of the end that it lies beyond.
fn limits(scan: &Scan, order: &[String]) -> Vec<(String, Vec<Value>)> {
    let Range { low, high } = scan.range.clone().unwrap_or(Range { low: Bound::Unbounded, high: Bound::Unbounded });
    let (low, high) = match (&scan.after, scan.descending) {
        (None, _) => (low, high),
        (Some(_), false) => (Bound::Unbounded, high),
        (Some(_), true) => (low, Bound::Unbounded),
    };
    let beyond = if scan.descending { "<" } else { ">" };
    let after = scan.after.as_ref().and_then(|cursor| past(cursor, order, beyond, scan.index.unique));
    let first = order.first();
    let ends = [end(first, &low, [">=", ">"]), end(first, &high, ["<=", "<"])];
    after.into_iter().chain(ends.into_iter().flatten()).collect()
}

fn end(column: Option<&String>, bound: &Bound<Key>, operators: [&str; 2]) -> Option<(String, Vec<Value>)> {
    let (operator, key) = match bound {
        Bound::Included(key) => (operators[0], key),
        Bound::Excluded(key) => (operators[1], key),
        Bound::Unbounded => return None,
    };
    Some((format!("{} {operator} ?", column?), vec![present(key)]))
}

/// `(k_a, k_b, id) > (?, ?, ?)`; the id takes part where keys can tie.
fn past(cursor: &Cursor, order: &[String], operator: &str, unique: bool) -> Option<(String, Vec<Value>)> {
    let mut columns = order.to_vec();
    let mut values: Vec<_> = cursor.keys.iter().map(present).collect();
    if !unique {
        columns.push("i.id".to_owned());
        values.push(Value::Text(cursor.id.clone()));
    }
    match columns.as_slice() {
        [] => None,
        [one] => Some((format!("{one} {operator} ?"), values)),
        many => Some((format!("({}) {operator} ({})", many.join(", "), vec!["?"; many.len()].join(", ")), values)),
    }
}

/// The id of the document that holds these keys of a unique index.
pub(super) fn holder(conn: &Connection, tenant: &Tenant, scan: &Scan) -> Result<Option<String>, Fault> {
    let (sql, values) = statement(tenant, scan, "d.id");
    Ok(conn.prepare_cached(&sql)?.query_row(params_from_iter(values), |row| row.get(0)).optional()?)
}
