//! Claims across tenants: events to publish, documents that are due. Each document is moved by a conditional update of its own.

use kernel::{Result, Tenant, Time};
use mongodb::Collection as Kind;
use mongodb::bson::{Document, doc};
use mongodb::options::{Hint, ReturnDocument};

use super::document::{DRAINING, Row, name, under, unexpired};
use super::fault::Fault;
use super::link::Call;
use super::reads::one;
use super::schema::{DUE, OUTBOX, drained, index_name};
use crate::engine::{PendingEvent, Place};
use crate::outbox::{Ack, Claimed, Defer, Due, Lease, MAX_CLAIM_BYTES, Outbox, PARKED};
use crate::record::Collection;

/// Operations on their way at once.
const ABREAST: usize = 16;
/// Documents that are asked for the age of their events.
const MAX_AGED: i64 = 10_000;

/// See `Engine::claim`.
pub(super) async fn claim(call: Call<'_>, collection: &'static Collection, lease: Lease) -> Result<Vec<Claimed>, Fault> {
    let waiting = doc! { "obn": { "$lte": lease.now.micros() } };
    let parts = doc! { "_id": 1, "t": 1, "obn": 1 };
    let found = listed(call, collection, (waiting, "obn", OUTBOX), parts, lease.limit).await?;
    let (mut claimed, mut bytes) = (Vec::new(), 0);
    for few in found.chunks(ABREAST) {
        if bytes > MAX_CLAIM_BYTES {
            break;
        }
        let update = doc! { "$set": { "obn": lease.until.micros() }, "$inc": { "tries": 1_i64 } };
        let parts = doc! { "t": 1, "v": 1, "obn": 1, "tries": 1, "ob": 1 };
        for moved in moved(call, collection, few, ("obn", None), (update, parts)).await {
            let row = match moved {
                Ok(Some(row)) => row,
                Ok(None) => continue,
                // What was claimed before is handed out; the rest comes again when its lease is over.
                Err(_) if !claimed.is_empty() => return Ok(claimed),
                Err(fault) => return Err(fault),
            };
            match document(&row) {
                Ok(document) => {
                    bytes += document.events.iter().map(|event| event.payload.len()).sum::<usize>();
                    claimed.push(document);
                }
                Err(_) => park(call, collection, &row).await?,
            }
        }
    }
    Ok(claimed)
}

/// The first documents of one of the engine's own indexes.
async fn listed(
    call: Call<'_>,
    collection: &Collection,
    (filter, order, index): (Document, &'static str, &str),
    parts: Document,
    limit: usize,
) -> Result<Vec<Row>, Fault> {
    let (kind, hint, left) = (call.kind(collection), Hint::Name(index_name(collection, index)), call.left());
    let sends = async move {
        let batch = u32::try_from(limit).unwrap_or(u32::MAX);
        let found = kind.find(filter).hint(hint).sort(doc! { order: 1 }).limit(batch.into()).batch_size(batch);
        let mut cursor = found.projection(parts).max_time(left).await?;
        let mut rows = Vec::new();
        while cursor.advance().await? {
            rows.push(Row::new(cursor.deserialize_current()?));
        }
        Ok(rows)
    };
    call.read(sends).await
}

/// Updates documents whose field is still what was read. Of each, the parts that were asked for as they are now.
async fn moved(
    call: Call<'_>,
    collection: &Collection,
    rows: &[Row],
    (field, now): (&'static str, Option<Time>),
    (update, parts): (Document, Document),
) -> Vec<Result<Option<Row>, Fault>> {
    let sends = rows.iter().map(|row| {
        let mut filter = doc! { "_id": row.name(), "t": row.tenant_text(), field: row.whole(field) };
        if let Some(now) = now {
            filter.insert("exp", unexpired(now));
        }
        let (kind, update, parts, left) = (call.kind(collection), update.clone(), parts.clone(), call.left());
        async move {
            let sent = kind.find_one_and_update(filter, update).return_document(ReturnDocument::After);
            Ok(sent.projection(parts).max_time(left).await?.map(Row::new))
        }
    });
    call.write_all(sends.collect()).await
}

fn document(row: &Row) -> Result<Claimed> {
    Ok(Claimed {
        tenant: row.tenant()?,
        id: row.id().to_owned(),
        version: row.version(),
        tries: row.whole("tries").unwrap_or_default(),
        lease: Time::from_micros(row.whole("obn").unwrap_or_default()),
        events: row.list("ob")?,
    })
}

/// One document with unreadable events must not hold up all others.
async fn park(call: Call<'_>, collection: &Collection, row: &Row) -> Result<(), Fault> {
    tracing::error!(kind = collection.name, name = row.name(), "events of a document cannot be read; it is parked");
    let (kind, filter) = (call.kind(collection), doc! { "_id": row.name(), "t": row.tenant_text() });
    call.write(async move { kind.update_one(filter, doc! { "$set": { "obn": PARKED.micros() } }).await }).await?;
    Ok(())
}

/// See `Engine::ack`.
pub(super) async fn ack(call: Call<'_>, collection: &'static Collection, acks: Vec<Ack>, now: Time) -> Result<(), Fault> {
    for few in acks.chunks(ABREAST) {
        let sends: Vec<_> = few.iter().map(|ack| acknowledged(call.kind(collection), collection, ack.clone(), now)).collect();
        for done in call.write_all(sends).await {
            done?;
        }
    }
    Ok(())
}

/// One update that drops the events; where a tombstone would be left without any, one delete instead.
async fn acknowledged(kind: Kind<Document>, collection: &'static Collection, ack: Ack, now: Time) -> mongodb::error::Result<()> {
    let mut filter = under(&ack.tenant, &ack.id);
    filter.insert("ob.id", doc! { "$in": &ack.events });
    let rest = doc! { "$elemMatch": { "id": { "$nin": &ack.events } } };
    let mut stays = filter.clone();
    if !collection.burns {
        stays.insert("$or", vec![doc! { "del": { "$exists": false } }, doc! { "ob": rest.clone() }]);
    }
    let updated = kind.update_one(stays, without(collection, &ack, now)).await?;
    if updated.matched_count == 0 && !collection.burns {
        filter.extend(doc! { "del": DRAINING, "ob": { "$not": rest } });
        kind.delete_one(filter).await?;
    }
    Ok(())
}

/// The update of an acknowledgement.
fn without(collection: &Collection, ack: &Ack, now: Time) -> Vec<Document> {
    let dropped = doc! { "$in": ["$$this.id", { "$literal": &ack.events }] };
    let none_left = doc! { "$eq": [{ "$size": "$ob" }, 0] };
    let held = doc! { "$eq": ["$obn", ack.lease.micros()] };
    let mut ends = doc! {
        "obn": { "$switch": {
            "branches": [{ "case": none_left.clone(), "then": "$$REMOVE" }, { "case": held.clone(), "then": now.micros() }],
            "default": "$obn",
        } },
        "tries": { "$cond": [{ "$or": [none_left.clone(), held] }, "$$REMOVE", "$tries"] },
    };
    if let Some(burned) = drained(collection) {
        ends.insert("del", doc! { "$cond": [{ "$and": [none_left.clone(), { "$eq": ["$del", DRAINING] }] }, burned, "$del"] });
    }
    vec![
        doc! { "$set": { "ob": { "$filter": { "input": "$ob", "cond": { "$not": [dropped] } } } } },
        doc! { "$set": ends },
        doc! { "$set": { "ob": { "$cond": [none_left, "$$REMOVE", "$ob"] } } },
    ]
}

/// See `Engine::defer`.
pub(super) async fn defer(call: Call<'_>, collection: &Collection, defers: Vec<Defer>) -> Result<(), Fault> {
    for few in defers.chunks(ABREAST) {
        let sends = few.iter().map(|defer| {
            let mut filter = under(&defer.tenant, &defer.id);
            filter.insert("obn", defer.lease.micros());
            let (kind, update) = (call.kind(collection), doc! { "$set": { "obn": defer.until.micros() } });
            async move { kind.update_one(filter, update).await }
        });
        for done in call.write_all(sends.collect()).await {
            done?;
        }
    }
    Ok(())
}

/// See `Engine::claim_due`.
pub(super) async fn claim_due(call: Call<'_>, collection: &Collection, lease: Lease) -> Result<Vec<Due>, Fault> {
    let due = doc! { "due": { "$lte": lease.now.micros() }, "exp": unexpired(lease.now) };
    let found = listed(call, collection, (due, "due", DUE), doc! { "_id": 1, "t": 1, "due": 1 }, lease.limit).await?;
    let mut claimed = Vec::new();
    for few in found.chunks(ABREAST) {
        let update = doc! { "$set": { "due": lease.until.micros() } };
        for moved in moved(call, collection, few, ("due", Some(lease.now)), (update, doc! { "t": 1, "v": 1 })).await {
            match moved {
                Ok(Some(row)) => claimed.push(Due { tenant: row.tenant()?, id: row.id().to_owned(), version: row.version() }),
                Ok(None) => {}
                Err(_) if !claimed.is_empty() => return Ok(claimed),
                Err(fault) => return Err(fault),
            }
        }
    }
    Ok(claimed)
}

/// See `Engine::outbox`.
pub(super) async fn outbox(call: Call<'_>, collection: &Collection, parked_from: Time) -> Result<Outbox, Fault> {
    let parked = parked_from.micros();
    let counts = vec![
        doc! { "$match": { "obn": { "$exists": true } } },
        doc! { "$group": { "_id": 1, "documents": { "$sum": 1 }, "parked": { "$sum": { "$cond": [{ "$gte": ["$obn", parked] }, 1, 0] } } } },
    ];
    let first = doc! { "$let": { "vars": { "first": { "$arrayElemAt": ["$ob", 0] } }, "in": "$$first.at" } };
    let aged = vec![
        doc! { "$match": { "obn": { "$exists": true, "$lt": parked } } },
        doc! { "$sort": { "obn": 1 } },
        doc! { "$limit": MAX_AGED },
        doc! { "$group": { "_id": 1, "oldest": { "$min": first } } },
    ];
    let index = index_name(collection, OUTBOX);
    let Some(counted) = one(call, call.kind(collection), counts, index.clone()).await?.map(Row::new) else {
        return Ok(Outbox::default());
    };
    let aged = one(call, call.kind(collection), aged, index).await?.map(Row::new);
    let size = |field| counted.whole(field).and_then(|size| usize::try_from(size).ok()).unwrap_or_default();
    let oldest = aged.and_then(|aged| aged.whole("oldest")).map(Time::from_micros);
    Ok(Outbox { documents: size("documents"), parked: size("parked"), oldest })
}

/// See `Engine::parked`.
pub(super) async fn parked(call: Call<'_>, collection: &Collection, parked_from: Time, limit: usize) -> Result<Vec<Claimed>, Fault> {
    let waiting = doc! { "obn": { "$gte": parked_from.micros() } };
    let parts = doc! { "t": 1, "v": 1, "obn": 1, "tries": 1, "ob": 1 };
    let rows = listed(call, collection, (waiting, "obn", OUTBOX), parts, limit).await?;
    let unread = |row: &Row| -> Result<Claimed> {
        let lease = Time::from_micros(row.whole("obn").unwrap_or_default());
        let tries = row.whole("tries").unwrap_or_default();
        Ok(Claimed { tenant: row.tenant()?, id: row.id().to_owned(), version: row.version(), tries, lease, events: Vec::new() })
    };
    Ok(rows.iter().map(|row| document(row).or_else(|_| unread(row))).collect::<Result<_>>()?)
}

/// See `Engine::replay`.
pub(super) async fn replay(call: Call<'_>, tenant: &Tenant, place: &Place, now: Time) -> Result<bool, Fault> {
    let kind = call.kind(place.collection);
    let mut filter = under(tenant, &place.id);
    filter.insert("obn", doc! { "$exists": true });
    let update = doc! { "$set": { "obn": now.micros() }, "$unset": { "tries": "" } };
    Ok(call.write(async move { kind.update_one(filter, update).await }).await?.matched_count == 1)
}

/// See `Engine::drop_events`. Works on events that cannot be read, too.
pub(super) async fn drop_events(call: Call<'_>, tenant: &Tenant, place: &Place) -> Result<usize, Fault> {
    let mut filter = doc! { "_id": name(tenant, &place.id), "t": tenant.as_str() };
    filter.insert("obn", doc! { "$exists": true });
    let mut removed = filter.clone();
    filter.insert("del", doc! { "$exists": false });
    removed.insert("del", DRAINING);
    let mut update = doc! { "$unset": { "ob": "", "obn": "", "tries": "" } };
    let (kind, left, lasting) = (call.kind(place.collection), call.left(), update.clone());
    let parts = doc! { "ob": 1 };
    let sends = async move { kind.find_one_and_update(filter, lasting).projection(parts).max_time(left).await };
    let mut before = call.write(sends).await?;
    if before.is_none() {
        let kind = call.kind(place.collection);
        before = match drained(place.collection) {
            Some(burned) => {
                update.insert("$set", doc! { "del": burned });
                call.write(async move { kind.find_one_and_update(removed, update).max_time(left).await }).await?
            }
            None => call.write(async move { kind.find_one_and_delete(removed).max_time(left).await }).await?,
        };
    }
    Ok(before.and_then(|before| Some(before.get_array("ob").ok()?.len())).unwrap_or_default())
}

/// Whether these events are worth a ring.
pub(super) fn rings(events: &[PendingEvent], due: Option<Time>) -> bool {
    !events.is_empty() || due.is_some()
}
