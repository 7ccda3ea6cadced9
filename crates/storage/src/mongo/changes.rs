//! Changes of one document: each is one conditional update, insert or delete. What the server did not apply is looked at once
//! to name the reason.

use kernel::{Error, Kind, Result, Tenant, Time};
use mongodb::bson::{Document, doc};
use mongodb::options::{Hint, ReturnDocument};

use super::document::{self, BURNED, DRAINING, Row, field, present, put_list, under, value};
use super::fault::{Fault, busy, failed};
use super::link::Call;
use super::schema::{index_name, presence};
use crate::change::already_exists;
use crate::engine::{Erase, MAX_EVENTS, MAX_REMEMBERED, OnceEntry, PendingEvent, Place, Stored, Write, enqueue, remember, stale};
use crate::record::{Collection, Index};
use crate::resolve::maybe_applied;

/// Times that a change goes out of the way of what comes between.
pub(super) const TRIES: usize = 12;

/// See `Engine::insert`. Nearly always nothing is in the way, so it is looked for only after the insert was refused.
pub(super) async fn insert(call: Call<'_>, tenant: &Tenant, place: &Place, write: &Write) -> Result<Stored, Fault> {
    let waiting = enqueue(Vec::new(), write.events.clone(), 1)?;
    let once = remember(Vec::new(), write.once.clone(), 1, write.now);
    let document = document::fresh(tenant, place, write, &waiting, &once)?;
    for _ in 0..TRIES {
        let (kind, document) = (call.kind(place.collection), document.clone());
        match call.write(async move { kind.insert_one(document).await }).await {
            Ok(_) => return Ok(applied(place, write, 1, once)),
            Err(Fault::Taken(index)) => {
                if let Some(found) = judged(look(call, tenant, place, Some(BARE)).await)? {
                    if found.whole("w") == Some(write.writer) {
                        return Ok(applied(place, write, found.version(), found.list("once")?));
                    }
                    if !vacate(call, place.collection, &found, write.now).await? || place.collection.burns {
                        return Err(already_exists("_id").into());
                    }
                } else if index != "_id_" {
                    make_way(call, tenant, place, &index, write).await?;
                }
            }
            Err(fault) => return Err(fault),
        }
    }
    Err(busy().into())
}

/// See `Engine::replace`.
pub(super) async fn replace(call: Call<'_>, tenant: &Tenant, place: &Place, seen: i64, write: &Write) -> Result<Stored, Fault> {
    let mut filter = present(tenant, &place.id, write.now);
    filter.insert("v", seen);
    let mut update = Update::default();
    update.set.extend(
        doc! { "b": document::body(&write.body)?, "crc": document::covered(tenant, place, write, seen + 1).sum(), "w": write.writer },
    );
    update.keys(place.collection, write);
    update.time("exp", write.expires);
    update.time("due", write.due);
    update.inc.insert("v", 1_i64);
    let fits = update.events(&mut filter, &write.events, seen + 1, write.now)?;
    update.once(write.once.as_ref(), seen + 1, write.now)?;
    let after = doc! { "_id": 1, "v": 1, "n": 1, "once": 1 };
    for _ in 0..TRIES {
        let changed = if fits { apply(call, place, &filter, &update, after.clone()).await } else { Ok(None) };
        match changed {
            Ok(Some(row)) => {
                let numbers = row.numbers()?;
                return Ok(Stored { numbers, ..applied(place, write, row.version(), row.list("once")?) });
            }
            Ok(None) => {
                let found = in_the_way(call, tenant, place, write.now).await?;
                if found.whole("w") == Some(write.writer) {
                    return Ok(applied(place, write, found.version(), found.list("once")?));
                }
                check(&found, seen, write.events.len())?;
            }
            Err(Fault::Taken(index)) => make_way(call, tenant, place, &index, write).await?,
            Err(fault) => return Err(fault),
        }
    }
    Err(busy().into())
}

/// See `Engine::remove`. Which of the ways is taken is decided by the server: each has a condition on what waits.
pub(super) async fn remove(call: Call<'_>, tenant: &Tenant, place: &Place, seen: i64, erase: &Erase) -> Result<(), Fault> {
    let mut filter = present(tenant, &place.id, erase.now);
    filter.insert("v", seen);
    let mut tombstone = Update::tombstone(place.collection);
    tombstone.set.insert("w", erase.writer);
    tombstone.inc.insert("v", 1_i64);
    let with = |waiting: bool| {
        let mut filter = filter.clone();
        filter.insert("ob.0", doc! { "$exists": waiting });
        filter
    };
    for _ in 0..TRIES {
        let gone = if erase.events.is_empty() {
            let empty = with(false);
            (if place.collection.burns { bury(call, place, empty, &tombstone, BURNED).await? } else { delete(call, place, empty).await? })
                || bury(call, place, with(true), &tombstone, DRAINING).await?
        } else {
            let (mut filter, mut tombstone) = (filter.clone(), tombstone.clone());
            tombstone.events(&mut filter, &erase.events, seen + 1, erase.now)? && bury(call, place, filter, &tombstone, DRAINING).await?
        };
        if gone {
            return Ok(());
        }
        match in_the_way(call, tenant, place, erase.now).await {
            Ok(found) => check(&found, seen, erase.events.len())?,
            Err(fault) => return Err(fault),
        }
    }
    Err(busy().into())
}

async fn bury(call: Call<'_>, place: &Place, filter: Document, tombstone: &Update, del: i64) -> Result<bool, Fault> {
    let mut tombstone = tombstone.clone();
    tombstone.set.insert("del", del);
    Ok(apply(call, place, &filter, &tombstone, doc! { "_id": 1 }).await?.is_some())
}

async fn delete(call: Call<'_>, place: &Place, filter: Document) -> Result<bool, Fault> {
    let kind = call.kind(place.collection);
    Ok(call.write(async move { kind.delete_one(filter).await }).await?.deleted_count == 1)
}

/// One conditional update; the parts of the document that `after` names, as they are now, when it was applied.
pub(super) async fn apply(
    call: Call<'_>,
    place: &Place,
    filter: &Document,
    update: &Update,
    after: Document,
) -> Result<Option<Row>, Fault> {
    let (kind, filter, update, left) = (call.kind(place.collection), filter.clone(), update.clone().document(), call.left());
    let sends = async move {
        let sent = kind.find_one_and_update(filter, update).return_document(ReturnDocument::After).max_time(left);
        if after.is_empty() { sent.await } else { sent.projection(after).await }
    };
    Ok(call.write(sends).await?.map(Row::new))
}

/// What tells why a change was not applied.
pub(super) const BARE: &[&str] = &["_id", "t", "v", "w", "del", "exp", "obn", "ob.id", "once"];

/// Whatever stands under this id, by the strongest read: the whole of it, or these fields.
pub(super) async fn look(call: Call<'_>, tenant: &Tenant, place: &Place, fields: Option<&[&str]>) -> Result<Option<Row>, Fault> {
    let (kind, filter) = (call.kind(place.collection), under(tenant, &place.id));
    let (concern, left) = (call.strongest(), call.left());
    let projection: Document = fields.unwrap_or_default().iter().map(|field| ((*field).to_owned(), 1.into())).collect();
    let sends = async move { kind.find_one(filter).projection(projection).read_concern(concern).max_time(left).await };
    Ok(call.read(sends).await?.map(Row::new))
}

/// A look that names the reason of a refusal. Where it fails nothing is known: the driver may have sent the change twice, and
/// what was refused is the second.
pub(super) fn judged<T>(looked: Result<T, Fault>) -> Result<T, Fault> {
    match looked {
        Err(Fault::House(error)) if error.kind() == Kind::Unavailable => Err(maybe_applied().because(error).into()),
        looked => looked,
    }
}

async fn in_the_way(call: Call<'_>, tenant: &Tenant, place: &Place, now: Time) -> Result<Row, Fault> {
    let found = judged(look(call, tenant, place, Some(BARE)).await)?.filter(|found| found.is_present(now));
    found.ok_or_else(|| Error::not_found(&place.id).into())
}

/// Errors: `VERSION_STALE`, `OUTBOX_FULL`; none when whatever was in the way has gone.
fn check(found: &Row, seen: i64, events: usize) -> Result<()> {
    if found.version() != seen {
        return Err(stale(seen, found.version()));
    }
    if found.has_room(events) { Ok(()) } else { Err(full()) }
}

pub(super) fn full() -> Error {
    Error::exhausted("OUTBOX_FULL", format!("more than {MAX_EVENTS} events wait to be published"))
}

fn applied(place: &Place, write: &Write, version: i64, once: Vec<OnceEntry>) -> Stored {
    Stored { id: place.id.clone(), version, body: write.body.clone(), numbers: write.numbers.clone(), once }
}

/// Where a unique key is held by an expired document, that one goes. Errors: `ALREADY_EXISTS`.
async fn make_way(call: Call<'_>, tenant: &Tenant, place: &Place, taken: &str, write: &Write) -> Result<(), Fault> {
    let collection = place.collection;
    let index = collection.indexes.iter().find(|index| index_name(collection, index.name) == taken);
    let index: &'static Index = index.ok_or_else(|| failed("a unique index is taken that nobody declares"))?;
    let mut filter = presence(index);
    filter.insert("t", tenant.as_str());
    for ((name, _), key) in collection.keys.iter().zip(&write.keys) {
        if let (true, Some(key)) = (index.keys.contains(name), key) {
            filter.insert(field(name), value(key));
        }
    }
    let (kind, hint, left) = (call.kind(collection), Hint::Name(taken.to_owned()), call.left());
    let bare: Document = BARE.iter().map(|field| ((*field).to_owned(), 1.into())).collect();
    let holder = call.read(async move { kind.find_one(filter).hint(hint).projection(bare).max_time(left).await }).await?;
    match holder.map(Row::new) {
        Some(holder) if !vacate(call, collection, &holder, write.now).await? => Err(already_exists(index.name).into()),
        _ => Ok(()),
    }
}

/// Removes an expired document without events from its id and its unique keys. Whether it was one; somebody else may have been
/// faster, which the next try finds out.
async fn vacate(call: Call<'_>, collection: &'static Collection, found: &Row, now: Time) -> Result<bool, Fault> {
    if found.is_deleted() || !found.is_expired(now) || found.whole("obn").is_some() {
        return Ok(false);
    }
    let place = Place { collection, id: found.id().to_owned() };
    let mut filter = under(&found.tenant()?, &place.id);
    filter.extend(doc! { "exp": found.whole("exp"), "obn": { "$exists": false } });
    if collection.burns {
        bury(call, &place, filter, &Update::tombstone(collection), BURNED).await?;
    } else {
        delete(call, &place, filter).await?;
    }
    Ok(true)
}

/// The operators of one update.
#[derive(Clone, Debug, Default)]
pub(super) struct Update {
    pub(super) set: Document,
    pub(super) unset: Document,
    pub(super) inc: Document,
    pub(super) max: Document,
    pub(super) min: Document,
    pub(super) push: Document,
}

impl Update {
    /// What a tombstone lacks: checksum, body, keys, expiry, due time, numbers and request ids.
    pub(super) fn tombstone(_: &Collection) -> Self {
        let unset = doc! { "k": "", "exp": "", "due": "", "n": "", "once": "" };
        Self { set: doc! { "b": {}, "crc": 0_i64 }, unset, ..Self::default() }
    }

    fn keys(&mut self, collection: &Collection, write: &Write) {
        for ((name, _), key) in collection.keys.iter().zip(&write.keys) {
            match key {
                Some(key) => self.set.insert(field(name), value(key)),
                None => self.unset.insert(field(name), ""),
            };
        }
    }

    fn time(&mut self, field: &str, time: Option<Time>) {
        match time {
            Some(time) => self.set.insert(field, time.micros()),
            None => self.unset.insert(field, ""),
        };
    }

    /// New events join those that wait, where they find room; a relay's lease or back-off stays. Whether they ever fit.
    pub(super) fn events(&mut self, filter: &mut Document, new: &[PendingEvent], version: i64, now: Time) -> Result<bool> {
        if new.is_empty() {
            return Ok(true);
        }
        let Some(room) = MAX_EVENTS.checked_sub(new.len()) else { return Ok(false) };
        filter.insert(format!("ob.{room}"), doc! { "$exists": false });
        let mut pushed = Document::new();
        let new: Vec<_> = new.iter().map(|event| event.clone().at_version(version)).collect();
        put_list(&mut pushed, "$each", &new)?;
        self.push.insert("ob", pushed);
        self.max.insert("obn", now.micros());
        Ok(true)
    }

    /// A request id joins those that are remembered, and the oldest is forgotten.
    pub(super) fn once(&mut self, once: Option<&OnceEntry>, version: i64, now: Time) -> Result<()> {
        let entries = remember(Vec::new(), once.cloned(), version, now);
        if entries.is_empty() {
            return Ok(());
        }
        let mut pushed = Document::new();
        put_list(&mut pushed, "$each", &entries)?;
        pushed.insert("$slice", -i64::try_from(MAX_REMEMBERED).unwrap_or(i64::MAX));
        self.push.insert("once", pushed);
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        [&self.set, &self.unset, &self.inc, &self.max, &self.min, &self.push].into_iter().all(Document::is_empty)
    }

    /// Without operators that have nothing to do: older servers refuse those.
    pub(super) fn document(self) -> Document {
        let operators =
            [("$set", self.set), ("$unset", self.unset), ("$inc", self.inc), ("$max", self.max), ("$min", self.min), ("$push", self.push)];
        operators.into_iter().filter(|(_, fields)| !fields.is_empty()).map(|(name, fields)| (name.to_owned(), fields.into())).collect()
    }
}

/// See `Engine::sweep`: up to `limit` of the documents of one kind that expired first.
pub(super) async fn sweep(call: Call<'_>, collection: &'static Collection, limit: usize, now: Time) -> Result<(usize, bool), Fault> {
    let (kind, left) = (call.kind(collection), call.left());
    let hint = Hint::Name(index_name(collection, super::schema::SWEEP));
    let expired = doc! { "exp": { "$exists": true, "$lte": now.micros() }, "obn": { "$exists": false } };
    let found = expired.clone();
    let sends = async move {
        let wanted = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut cursor =
            kind.find(found).hint(hint).sort(doc! { "exp": 1 }).projection(doc! { "_id": 1, "t": 1 }).limit(wanted).max_time(left).await?;
        let mut names = Vec::new();
        while cursor.advance().await? {
            names.push(cursor.deserialize_current()?);
        }
        Ok(names)
    };
    let names: Vec<Document> = call.read(sends).await?;
    if names.is_empty() {
        return Ok((0, false));
    }
    let more = names.len() == limit;
    let ids: Vec<_> = names.iter().filter_map(|found| found.get("_id").cloned()).collect();
    let mut tenants: Vec<_> = names.iter().filter_map(|found| found.get_str("t").ok()).collect();
    tenants.dedup();
    let mut filter = doc! { "_id": { "$in": ids }, "t": { "$in": tenants } };
    filter.extend(expired);
    let kind = call.kind(collection);
    let gone = if collection.burns {
        let mut tombstone = Update::tombstone(collection);
        tombstone.set.insert("del", BURNED);
        call.write(async move { kind.update_many(filter, tombstone.document()).await }).await?.modified_count
    } else {
        call.write(async move { kind.delete_many(filter).await }).await?.deleted_count
    };
    Ok((usize::try_from(gone).unwrap_or(usize::MAX), more))
}
