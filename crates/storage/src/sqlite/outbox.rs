//! Claims across tenants: events to publish, documents that are due. Runs on the writer's connection, but for the counts.

use kernel::{Result, Tenant, Time};
use rusqlite::{Connection, OptionalExtension, Row};

use super::changes::list_column;
use super::fault::Fault;
use super::reads::list;
use super::schema::index_name;
use super::sql::{located, table};
use crate::engine::{PendingEvent, Place};
use crate::outbox::{Ack, Claimed, Defer, Due, Lease, MAX_CLAIM_BYTES, Outbox, PARKED};
use crate::record::Collection;

/// Acknowledgements, and the like, of one piece of work, so that changes wait for a moment only.
pub(super) const BATCH: usize = 128;
/// Documents that are asked for the age of their events.
const MAX_AGED: usize = 10_000;
const BURNED: i64 = 2;

/// Whether a claim would find anything. Asked beside the writer, so that an empty round costs it nothing.
pub(super) fn waits(conn: &Connection, collection: &Collection, column: &str, now: Time) -> Result<bool, Fault> {
    let sql = format!("SELECT 1 FROM {} WHERE {column} IS NOT NULL AND {column} <= ?1 LIMIT 1", indexed(collection, column));
    Ok(conn.prepare_cached(&sql)?.query_row([now.micros()], |_| Ok(())).optional()?.is_some())
}

/// See `Engine::claim`.
pub(super) fn claim(conn: &Connection, collection: &'static Collection, lease: Lease) -> Result<Vec<Claimed>, Fault> {
    let sql = format!(
        "SELECT t, id, v, obn, tries, ob FROM {} WHERE obn IS NOT NULL AND obn <= ?1 ORDER BY obn LIMIT ?2",
        indexed(collection, "obn")
    );
    let found = listed(conn, &sql, lease.now, lease.limit)?;
    let mut claimed = Vec::new();
    for (document, readable) in found {
        if !readable {
            park(conn, collection, &document)?;
            continue;
        }
        let sql = format!("UPDATE {} SET obn = ?1, tries = tries + 1 WHERE t = ?2 AND id = ?3 AND obn = ?4", table(collection));
        let until = lease.until.micros();
        let moved = conn.prepare_cached(&sql)?.execute((until, document.tenant.as_str(), &document.id, document.lease.micros()))?;
        if moved == 1 {
            claimed.push(Claimed { tries: document.tries + 1, lease: lease.until, ..document });
        }
    }
    Ok(claimed)
}

/// Documents with their events, and whether these can be read. Ends early when they are many bytes.
fn listed(conn: &Connection, sql: &str, bound: Time, limit: usize) -> Result<Vec<(Claimed, bool)>, Fault> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query((bound.micros(), i64::try_from(limit).unwrap_or(i64::MAX)))?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        bytes += row.get_ref(5)?.as_bytes_or_null().ok().flatten().map_or(0, <[u8]>::len);
        if bytes > MAX_CLAIM_BYTES && !found.is_empty() {
            break;
        }
        let events: Option<Vec<PendingEvent>> = list(row, 5).ok();
        let readable = events.is_some();
        found.push((Claimed { events: events.unwrap_or_default(), ..document(row)? }, readable));
    }
    Ok(found)
}

fn document(row: &Row<'_>) -> Result<Claimed, Fault> {
    let tenant = Tenant::parse(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?;
    let lease = Time::from_micros(row.get(3)?);
    Ok(Claimed { tenant, id: row.get(1)?, version: row.get(2)?, tries: row.get(4)?, lease, events: Vec::new() })
}

/// One document with unreadable events must not hold up all others.
fn park(conn: &Connection, collection: &Collection, document: &Claimed) -> Result<(), Fault> {
    let Claimed { tenant, id, .. } = document;
    tracing::error!(kind = collection.name, %tenant, id, "events of a document cannot be read; it is parked");
    let sql = format!("UPDATE {} SET obn = ?1 WHERE t = ?2 AND id = ?3", table(collection));
    conn.prepare_cached(&sql)?.execute((PARKED.micros(), tenant.as_str(), id))?;
    Ok(())
}

/// See `Engine::ack`.
pub(super) fn ack(conn: &Connection, collection: &'static Collection, acks: &[Ack], now: Time) -> Result<(), Fault> {
    for ack in acks {
        let place = Place { collection, id: ack.id.clone() };
        let Some(waiting) = Waiting::read(conn, &ack.tenant, &place)? else { continue };
        let (dropped, left): (Vec<_>, Vec<_>) = waiting.events.iter().cloned().partition(|event| ack.events.contains(&event.id));
        if !dropped.is_empty() {
            waiting.keep(conn, (&ack.tenant, &place), &left, (ack.lease, now))?;
        }
    }
    Ok(())
}

/// The outbox of one document.
struct Waiting {
    deleted: bool,
    publish: i64,
    events: Vec<PendingEvent>,
}

impl Waiting {
    fn read(conn: &Connection, tenant: &Tenant, place: &Place) -> Result<Option<Self>, Fault> {
        let sql = format!("SELECT del, obn, ob FROM {} WHERE t = ?1 AND id = ?2 AND obn IS NOT NULL", table(place.collection));
        let mut statement = conn.prepare_cached(&sql)?;
        let mut rows = statement.query((tenant.as_str(), &place.id))?;
        let Some(row) = rows.next()? else { return Ok(None) };
        Ok(Some(Self { deleted: row.get::<_, i64>(0)? != 0, publish: row.get(1)?, events: list(row, 2)? }))
    }

    fn keep(
        &self,
        conn: &Connection,
        (tenant, place): (&Tenant, &Place),
        left: &[PendingEvent],
        (lease, now): (Time, Time),
    ) -> Result<(), Fault> {
        if left.is_empty() {
            return drain(conn, tenant, place, self.deleted);
        }
        let held = self.publish == lease.micros();
        let publish = if held { now.micros() } else { self.publish };
        let sql = format!("UPDATE {} SET ob = ?1, obn = ?2, tries = iif(?3, 0, tries) WHERE t = ?4 AND id = ?5", table(place.collection));
        conn.prepare_cached(&sql)?.execute((list_column(left)?, publish, held, tenant.as_str(), &place.id))?;
        Ok(())
    }
}

/// The last event has gone, and with it the tombstone that was kept for it.
fn drain(conn: &Connection, tenant: &Tenant, place: &Place, deleted: bool) -> Result<(), Fault> {
    let table = table(place.collection);
    let sql = match (deleted, place.collection.burns) {
        (true, false) => format!("DELETE FROM {table} WHERE t = ?1 AND id = ?2"),
        (true, true) => format!("UPDATE {table} SET del = {BURNED}, ob = NULL, obn = NULL, tries = 0 WHERE t = ?1 AND id = ?2"),
        (false, _) => format!("UPDATE {table} SET ob = NULL, obn = NULL, tries = 0 WHERE t = ?1 AND id = ?2"),
    };
    conn.prepare_cached(&sql)?.execute((tenant.as_str(), &place.id))?;
    Ok(())
}

/// See `Engine::defer`.
pub(super) fn defer(conn: &Connection, collection: &Collection, defers: &[Defer]) -> Result<(), Fault> {
    let sql = format!("UPDATE {} SET obn = ?1 WHERE t = ?2 AND id = ?3 AND obn = ?4", table(collection));
    let mut statement = conn.prepare_cached(&sql)?;
    for Defer { tenant, id, lease, until } in defers {
        statement.execute((until.micros(), tenant.as_str(), id, lease.micros()))?;
    }
    Ok(())
}

/// See `Engine::claim_due`.
pub(super) fn claim_due(conn: &Connection, collection: &Collection, lease: Lease) -> Result<Vec<Due>, Fault> {
    let sql = format!(
        "SELECT t, id, v FROM {} WHERE due IS NOT NULL AND due <= ?1 AND (exp IS NULL OR exp > ?1) ORDER BY due LIMIT ?2",
        indexed(collection, "due")
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let limit = i64::try_from(lease.limit).unwrap_or(i64::MAX);
    let rows = statement.query_map((lease.now.micros(), limit), |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?)))?;
    let found = rows.collect::<rusqlite::Result<Vec<(String, String, i64)>>>()?;
    // Also of the row itself: a damaged index may lead to another one.
    let sql = format!("UPDATE {} SET due = ?1 WHERE t = ?2 AND id = ?3 AND due <= ?4", table(collection));
    let mut statement = conn.prepare_cached(&sql)?;
    let mut claimed = Vec::new();
    for (tenant, id, version) in found {
        if statement.execute((lease.until.micros(), &tenant, &id, lease.now.micros()))? == 1 {
            claimed.push(Due { tenant: Tenant::parse(&tenant)?, id, version });
        }
    }
    Ok(claimed)
}

/// See `Engine::outbox`.
pub(super) fn outbox(conn: &Connection, collection: &Collection, parked_from: Time) -> Result<Outbox, Fault> {
    let source = indexed(collection, "obn");
    let counts = format!("SELECT count(*), count(*) FILTER (WHERE obn >= ?1) FROM {source} WHERE obn IS NOT NULL");
    let aged = format!(
        "SELECT min(CASE WHEN json_valid(ob) THEN json_extract(ob, '$[0].at') END) FROM \
         (SELECT ob FROM {source} WHERE obn IS NOT NULL AND obn < ?1 ORDER BY obn LIMIT {MAX_AGED})"
    );
    let count = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
    let (documents, parked) = conn.prepare_cached(&counts)?.query_row([parked_from.micros()], count)?;
    let oldest: Option<i64> = conn.prepare_cached(&aged)?.query_row([parked_from.micros()], |row| row.get(0))?;
    let size = |count: i64| usize::try_from(count).unwrap_or_default();
    Ok(Outbox { documents: size(documents), parked: size(parked), oldest: oldest.map(Time::from_micros) })
}

/// See `Engine::parked`.
pub(super) fn parked(conn: &Connection, collection: &Collection, parked_from: Time, limit: usize) -> Result<Vec<Claimed>, Fault> {
    let sql = format!(
        "SELECT t, id, v, obn, tries, ob FROM {} WHERE obn IS NOT NULL AND obn >= ?1 ORDER BY obn LIMIT ?2",
        indexed(collection, "obn")
    );
    let found = listed(conn, &sql, parked_from, limit)?;
    Ok(found.into_iter().map(|(document, _)| document).collect())
}

/// See `Engine::replay`.
pub(super) fn replay(conn: &Connection, tenant: &Tenant, place: &Place, now: Time) -> Result<bool, Fault> {
    let sql = format!("UPDATE {} SET obn = ?1, tries = 0 WHERE t = ?2 AND id = ?3 AND obn IS NOT NULL", table(place.collection));
    Ok(conn.prepare_cached(&sql)?.execute((now.micros(), tenant.as_str(), &place.id))? == 1)
}

/// See `Engine::drop_events`. Works on events that cannot be read, too.
pub(super) fn drop_events(conn: &Connection, tenant: &Tenant, place: &Place) -> Result<usize, Fault> {
    let sql = format!(
        "SELECT del, iif(json_valid(ob), json_array_length(ob), 0) FROM {} AND t = ?1 AND id = ?2 AND obn IS NOT NULL",
        located(place.collection)
    );
    let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)? != 0, row.get::<_, i64>(1)?));
    let Some((deleted, events)) = conn.prepare_cached(&sql)?.query_row((tenant.as_str(), &place.id), read).optional()? else {
        return Ok(0);
    };
    drain(conn, tenant, place, deleted)?;
    Ok(usize::try_from(events).unwrap_or_default())
}

fn indexed(collection: &Collection, column: &str) -> String {
    format!("{} INDEXED BY {}", table(collection), index_name(collection, column))
}
