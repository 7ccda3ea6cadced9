//! The sweeper's work: removes documents whose time has passed, a few at a time. Runs on the writer's connection alone.

use kernel::{Result, Tenant, Time};
use rusqlite::Connection;

use super::changes::vacate_expired;
use super::fault::Fault;
use super::schema::index_name;
use super::sql::table;
use crate::engine::Place;
use crate::record::Collection;

/// Most documents of one piece of work, so that changes wait for a moment only.
pub(super) const BATCH: usize = 128;
/// The engine's own index of documents that expire and have no waiting events. No declared name begins like this.
pub(super) const INDEX: &str = "_sweep";
/// What puts a document into it.
pub(super) const PRESENCE: &str = "exp IS NOT NULL AND obn IS NULL";

/// Removes up to `limit` of the documents that expired first. How many went; fewer than `limit` at the end.
pub(super) fn sweep(conn: &Connection, collection: &'static Collection, limit: usize, now: Time) -> Result<usize, Fault> {
    let sql = format!(
        "SELECT t, id FROM {} INDEXED BY {} WHERE {PRESENCE} AND exp <= ?1 ORDER BY exp LIMIT ?2",
        table(collection),
        index_name(collection, INDEX)
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = statement.query_map((now.micros(), limit), |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    let mut swept = 0;
    for (tenant, id) in found.collect::<rusqlite::Result<Vec<_>>>()? {
        swept += usize::from(vacate_expired(conn, &Tenant::parse(&tenant)?, &Place { collection, id }, now)?);
    }
    Ok(swept)
}
