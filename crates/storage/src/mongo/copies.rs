//! Whole documents carried out of the server and into it. Knows all fields of the envelope.

use kernel::{Result, Tenant};
use mongodb::bson::{Document, doc};
use mongodb::options::Hint;

use super::document::{self, BURNED, DRAINING, Row, keys, name, numbers, put_list};
use super::fault::Fault;
use super::link::Call;
use super::schema::{ALL, index_name};
use crate::change::already_exists;
use crate::engine::Part;
use crate::envelope::{Envelope, Life};
use crate::record::Collection;

/// Bytes of documents after which a part ends early.
const MAX_PART_BYTES: usize = 8 * 1024 * 1024;
/// Documents that are taken away in one operation.
const EXPUNGE_BATCH: usize = 200;

/// See `Engine::export`. First the rest of one tenant, then the tenants behind it: there is no comparison of two fields at once.
pub(super) async fn export(call: Call<'_>, collection: &'static Collection, part: Part) -> Result<Vec<Envelope>, Fault> {
    let filters = match &part.after {
        None => vec![Document::new()],
        Some((tenant, id)) => vec![doc! { "t": tenant, "_id": { "$gt": format!("{tenant}/{id}") } }, doc! { "t": { "$gt": tenant } }],
    };
    let mut envelopes = Vec::new();
    for filter in filters {
        let (rows, cut) = rows(call, collection, filter, part.limit - envelopes.len()).await?;
        for row in rows {
            envelopes.push(envelope(collection, &row)?);
        }
        if cut || envelopes.len() == part.limit {
            break;
        }
    }
    Ok(envelopes)
}

async fn rows(call: Call<'_>, collection: &Collection, filter: Document, limit: usize) -> Result<(Vec<Row>, bool), Fault> {
    let (kind, hint, left) = (call.kind(collection), Hint::Name(index_name(collection, ALL)), call.left());
    let sends = async move {
        let wanted = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut cursor = kind.find(filter).hint(hint).sort(doc! { "t": 1, "_id": 1 }).limit(wanted).max_time(left).await?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while cursor.advance().await? {
            bytes += cursor.current().as_bytes().len();
            rows.push(Row::new(cursor.deserialize_current()?));
            if bytes >= MAX_PART_BYTES {
                return Ok((rows, true));
            }
        }
        Ok((rows, false))
    };
    call.read(sends).await
}

fn envelope(collection: &'static Collection, row: &Row) -> Result<Envelope> {
    let life = match row.whole("del") {
        None => Life::Present,
        Some(BURNED) => Life::Burned,
        Some(_) => Life::Draining,
    };
    Ok(Envelope {
        tenant: row.tenant()?.as_str().to_owned(),
        id: row.id().to_owned(),
        version: row.version(),
        writer: row.whole("w").unwrap_or_default(),
        life,
        body: if life == Life::Present { row.body(collection)? } else { String::new() },
        numbers: row.numbers()?,
        keys: collection.keys.iter().map(|(name, _)| row.key(collection, name)).collect::<Result<_>>()?,
        expires: row.whole("exp"),
        due: row.whole("due"),
        publish: row.whole("obn"),
        tries: row.whole("tries").unwrap_or_default(),
        events: row.list("ob")?,
        once: row.list("once")?,
    })
}

/// See `Engine::import`. The only place that puts a whole document in the place of another.
pub(super) async fn import(call: Call<'_>, collection: &'static Collection, envelopes: Vec<Envelope>) -> Result<(), Fault> {
    for envelope in envelopes {
        let call = call.anew(call.link.longest_call);
        let tenant = envelope.owner()?;
        let (kind, filter) = (call.kind(collection), document::under(&tenant, &envelope.id));
        let written = written(collection, &tenant, &envelope)?;
        let done = call.write(async move { kind.replace_one(filter, written).upsert(true).await }).await;
        match done {
            Ok(_) => {}
            Err(Fault::Taken(taken)) => {
                let index = collection.indexes.iter().find(|index| index_name(collection, index.name) == taken);
                return Err(already_exists(index.map_or("_id", |index| index.name)).into());
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(())
}

fn written(collection: &Collection, tenant: &Tenant, envelope: &Envelope) -> Result<Document> {
    let mut written = document::under(tenant, &envelope.id);
    let present = envelope.life == Life::Present;
    let (body, crc) = if present { (document::body(&envelope.body)?, envelope.covered("").sum()) } else { (Document::new(), 0) };
    written.extend(doc! { "v": envelope.version, "w": envelope.writer, "crc": crc, "b": body });
    if present {
        written.insert("k", keys(collection, &envelope.keys));
    } else {
        written.insert("del", if envelope.life == Life::Burned { BURNED } else { DRAINING });
    }
    let tries = (envelope.tries != 0).then_some(envelope.tries);
    for (field, value) in [("exp", envelope.expires), ("due", envelope.due), ("obn", envelope.publish), ("tries", tries)] {
        if let Some(value) = value {
            written.insert(field, value);
        }
    }
    if !envelope.numbers.is_empty() {
        written.insert("n", numbers(&envelope.numbers));
    }
    put_list(&mut written, "ob", &envelope.events)?;
    put_list(&mut written, "once", &envelope.once)?;
    Ok(written)
}

/// See `Engine::expunge`.
pub(super) async fn expunge(call: Call<'_>, collection: &'static Collection, ids: Vec<(Tenant, String)>) -> Result<(), Fault> {
    for few in ids.chunks(EXPUNGE_BATCH) {
        let names: Vec<_> = few.iter().map(|(tenant, id)| name(tenant, id)).collect();
        let mut tenants: Vec<_> = few.iter().map(|(tenant, _)| tenant.as_str()).collect();
        tenants.dedup();
        let (call, filter) = (call.anew(call.link.longest_call), doc! { "_id": { "$in": names }, "t": { "$in": tenants } });
        let kind = call.kind(collection);
        call.write(async move { kind.delete_many(filter).await }).await?;
    }
    Ok(())
}
