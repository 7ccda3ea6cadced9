//! Whole rows to and from other stores. Reads run beside the writer; the rest on its connection.

use kernel::{Error, Result, Tenant};
use rusqlite::{Connection, Row, params_from_iter};

use super::changes::{Assignments, delete, numbers_column};
use super::fault::Fault;
use super::reads::{COLUMNS, WIDTH, list, stored};
use super::sql::{column, key, table, violated};
use crate::change::already_exists;
use crate::engine::{Part, Place};
use crate::envelope::{Envelope, Life};
use crate::record::Collection;

/// Envelopes of one piece of work, so that changes wait for a moment only.
pub(super) const BATCH: usize = 64;
/// Bytes of bodies and events after which a part ends early.
const MAX_PART_BYTES: usize = 3 * 1024 * 1024;
/// Where the keys stand behind the columns of the envelope.
const KEYS: usize = WIDTH + 5;

/// See `Engine::export`.
pub(super) fn export(conn: &Connection, collection: &'static Collection, part: &Part) -> Result<Vec<Envelope>, Fault> {
    let keys: String = collection.keys.iter().map(|(name, _)| format!(", {}", column(name))).collect();
    let sql = format!(
        "SELECT {COLUMNS}, del, due, obn, tries, ob{keys} FROM {} WHERE (t, id) > (?1, ?2) ORDER BY t, id LIMIT ?3",
        table(collection)
    );
    let (tenant, id) = part.after.clone().unwrap_or_default();
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query((tenant, id, i64::try_from(part.limit).unwrap_or(i64::MAX)))?;
    let (mut envelopes, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let envelope = envelope(row, collection)?;
        bytes += envelope.body.len() + envelope.events.iter().map(|event| event.payload.len()).sum::<usize>();
        envelopes.push(envelope);
        if bytes >= MAX_PART_BYTES {
            break;
        }
    }
    Ok(envelopes)
}

fn envelope(row: &Row<'_>, collection: &Collection) -> Result<Envelope, Fault> {
    let stored = stored(row, collection)?;
    let life = match row.get(WIDTH)? {
        0 => Life::Present,
        1 => Life::Draining,
        2 => Life::Burned,
        other => return Err(corrupt(collection, format!("{other} is no state of a document")).into()),
    };
    let keys = collection.keys.iter().enumerate().map(|(at, (_, kind))| match row.get_ref(KEYS + at)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        present => key(*kind, present).map(Some),
    });
    Ok(Envelope {
        tenant: row.get(0)?,
        id: stored.id,
        version: stored.version,
        writer: row.get(3)?,
        life,
        body: stored.body,
        numbers: stored.numbers,
        keys: keys.collect::<Result<_, Fault>>()?,
        expires: row.get(4)?,
        due: row.get(WIDTH + 1)?,
        publish: row.get(WIDTH + 2)?,
        tries: row.get(WIDTH + 3)?,
        events: list(row, WIDTH + 4)?,
        once: stored.once,
    })
}

fn corrupt(collection: &Collection, what: String) -> Error {
    Error::internal("RECORD_CORRUPT", format!("{}: {what}", collection.name))
}

/// See `Engine::import`.
pub(super) fn import(conn: &Connection, collection: &'static Collection, envelopes: &[Envelope]) -> Result<(), Fault> {
    for envelope in envelopes {
        let tenant = envelope.owner()?;
        let place = Place { collection, id: envelope.id.clone() };
        delete(conn, &tenant, &place)?;
        let mut row = Assignments::default();
        row.set("t", envelope.tenant.clone());
        row.set("id", envelope.id.clone());
        row.set("v", envelope.version);
        row.set("w", envelope.writer);
        let numbers = numbers_column(&envelope.numbers)?;
        let deleted = match envelope.life {
            Life::Present => 0,
            Life::Draining => 1,
            Life::Burned => 2,
        };
        row.set("del", deleted);
        row.set("crc", envelope.covered(numbers.as_deref().unwrap_or_default()).sum());
        row.set_all_keys(&place, &envelope.keys);
        row.set("exp", envelope.expires);
        row.set("due", envelope.due);
        row.set("obn", envelope.publish);
        row.set("tries", envelope.tries);
        row.set("n", numbers);
        row.set("b", envelope.body.clone());
        row.set_list("ob", &envelope.events)?;
        row.set_list("once", &envelope.once)?;
        let sql = row.insert(&place);
        if let Err(cause) = conn.prepare_cached(&sql)?.execute(params_from_iter(row.values())) {
            let index = violated(&cause, collection);
            return Err(index.map_or_else(|| cause.into(), |index| already_exists(index.name).into()));
        }
    }
    Ok(())
}

/// See `Engine::expunge`.
pub(super) fn expunge(conn: &Connection, collection: &'static Collection, ids: &[(Tenant, String)]) -> Result<(), Fault> {
    ids.iter().try_for_each(|(tenant, id)| delete(conn, tenant, &Place { collection, id: id.clone() }))
}
