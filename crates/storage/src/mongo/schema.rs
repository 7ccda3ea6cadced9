//! Indexes and the versions of collections: made, compared with the declaration, and keys written anew when a declaration is
//! raised. The only place that knows the engine's own collection.

use std::time::Duration;

use kernel::{Error, Result};
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{Hint, IndexOptions};
use mongodb::{Collection as Kind, IndexModel};

use super::document::{BURNED, Row, field, keys};
use super::fault::{Fault, Stake, failed, index_in, plainly};
use super::link::Call;
use crate::engine::Rekey;
use crate::record::{Collection, Index, KeyType};

/// Where versions are noted. No declared name begins like this.
const COLLECTIONS: &str = "_collections";
/// The name there of the layout of all others.
const LAYOUT_NAME: &str = "_layout";
/// The name there of whether changes are taken.
const READ_ONLY_NAME: &str = "_read_only";
/// Layout of the documents that this code reads and writes.
const LAYOUT: i64 = 1;
/// Documents whose keys are written anew in one operation.
const REKEY_BATCH: usize = 200;
/// Times that such an operation is repeated for documents that were changed meanwhile.
const REKEY_TRIES: usize = 5;
/// Longest time of one piece of the work: an index over a hundred million documents takes less.
const MAX_PIECE: Duration = Duration::from_secs(300);

/// The engine's own indexes: documents with events, documents that are due, documents that expire, all by tenant and id.
pub(super) const OUTBOX: &str = "_obn";
pub(super) const DUE: &str = "_due";
pub(super) const SWEEP: &str = "_sweep";
pub(super) const ALL: &str = "_all";

/// `users_email`
pub(super) fn index_name(collection: &Collection, index: &str) -> String {
    format!("{}_{index}", collection.name)
}

/// What puts a document into an index: all of its keys. Partial filters know `$exists: true` alone.
pub(super) fn presence(index: &Index) -> Document {
    index.keys.iter().map(|key| (field(key), doc! { "$exists": true }.into())).collect()
}

/// All indexes of a collection.
pub(super) fn indexes(collection: &Collection) -> Vec<IndexModel> {
    let declared = collection.indexes.iter().map(|index| {
        let mut keys = doc! { "t": 1 };
        keys.extend(index.keys.iter().map(|key| (field(key), Bson::Int32(1))));
        if !index.unique {
            keys.insert("_id", 1);
        }
        let options = IndexOptions::builder().name(index_name(collection, index.name)).partial_filter_expression(presence(index));
        let options = if index.unique { options.unique(true).build() } else { options.build() };
        IndexModel::builder().keys(keys).options(options).build()
    });
    let own = [
        (OUTBOX, doc! { "obn": 1 }, Some("obn")),
        (DUE, doc! { "due": 1 }, Some("due")),
        // Of documents that expire, those without events stand first: they have no `obn`.
        (SWEEP, doc! { "obn": 1, "exp": 1 }, Some("exp")),
        (ALL, doc! { "t": 1, "_id": 1 }, None),
    ];
    let own = own.into_iter().map(|(name, keys, present)| {
        let filter = present.map(|field| doc! { field: { "$exists": true } });
        let options = IndexOptions::builder().name(index_name(collection, name)).partial_filter_expression(filter).build();
        IndexModel::builder().keys(keys).options(options).build()
    });
    declared.chain(own).collect()
}

fn notes(call: Call<'_>) -> Kind<Document> {
    call.link.database.collection(COLLECTIONS)
}

/// Errors: `STORE_NEWER` when a newer version of this software has changed the layout.
pub(super) async fn prepare(call: Call<'_>) -> Result<(), Fault> {
    let kind = notes(call);
    let made = doc! { "$setOnInsert": { "version": LAYOUT } };
    call.write(async move { kind.update_one(doc! { "_id": LAYOUT_NAME }, made).upsert(true).await }).await?;
    let layout = noted(call, LAYOUT_NAME).await?.and_then(|noted| noted.whole("version")).unwrap_or(LAYOUT);
    if layout > LAYOUT {
        return Err(Error::refused("STORE_NEWER", format!("the store has layout {layout}, this program knows {LAYOUT}")).into());
    }
    Ok(())
}

/// See `Engine::note_read_only`.
pub(super) async fn note_read_only(call: Call<'_>, on: bool) -> Result<(), Fault> {
    let (kind, filter, set) = (notes(call), doc! { "_id": READ_ONLY_NAME }, doc! { "$set": { "on": on } });
    call.write(async move { kind.update_one(filter, set).upsert(true).await }).await?;
    Ok(())
}

/// See `Engine::is_noted_read_only`.
pub(super) async fn is_noted_read_only(call: Call<'_>) -> Result<bool, Fault> {
    Ok(noted(call, READ_ONLY_NAME).await?.is_some_and(|noted| noted.is_true("on")))
}

async fn noted(call: Call<'_>, name: &str) -> Result<Option<Row>, Fault> {
    let (kind, filter) = (notes(call), doc! { "_id": name });
    Ok(call.read(async move { kind.find_one(filter).await }).await?.map(Row::new))
}

async fn note(call: Call<'_>, collection: &Collection, update: Document) -> Result<(), Fault> {
    let (kind, filter) = (notes(call), doc! { "_id": collection.name });
    call.write(async move { kind.update_one(filter, update).upsert(true).await }).await?;
    Ok(())
}

/// See `Engine::define`.
pub(super) async fn define(call: Call<'_>, collection: &'static Collection, rekey: Rekey) -> Result<()> {
    collection.check()?;
    let call = call.anew(MAX_PIECE);
    let noted = plainly(noted(call, collection.name).await)?;
    let declared = i64::from(collection.version);
    let stored = noted.as_ref().and_then(|noted| noted.whole("version"));
    if stored.is_some_and(|stored| stored > declared) {
        return Ok(());
    }
    let raised = stored.is_some_and(|stored| stored < declared);
    if let Some(noted) = &noted {
        compare_keys(collection, noted, raised)?;
        if raised {
            write_keys_anew(call, collection, rekey, reached(noted, declared)).await?;
        }
    }
    build(call.anew(MAX_PIECE), collection).await?;
    let types: Document = collection.keys.iter().map(|(name, kind)| ((*name).to_owned(), type_name(*kind).into())).collect();
    // A program of the stored version writes documents with the old keys alone: a raise that was broken off begins anew.
    let update = doc! { "$max": { "version": declared }, "$set": { "keys": types }, "$unset": { "rekey": "" } };
    plainly(note(call.anew(MAX_PIECE), collection, update).await)
}

fn type_name(kind: KeyType) -> &'static str {
    match kind {
        KeyType::Str => "str",
        KeyType::I64 => "i64",
        KeyType::Bool => "bool",
        KeyType::Bytes => "bytes",
    }
}

/// Errors: `COLLECTION_INVALID` when a key has another type than the stored one, or is new without a raised version.
fn compare_keys(collection: &Collection, noted: &Row, raised: bool) -> Result<()> {
    for (name, kind) in collection.keys {
        match noted.text_in("keys", name) {
            Some(stored) if stored == type_name(*kind) => {}
            None if raised => {}
            _ => return Err(differs(collection, name)),
        }
    }
    Ok(())
}

fn differs(collection: &Collection, what: &str) -> Error {
    let message = format!("{what} of {} differs from the stored one; give it a new name and raise the version", collection.name);
    Error::invalid("COLLECTION_INVALID", message)
}

/// The name of the last document that a raise to this version has done; empty at the beginning.
fn reached(noted: &Row, declared: i64) -> String {
    let after = noted.text_in("rekey", "after").filter(|_| noted.whole_in("rekey", "version") == Some(declared));
    after.unwrap_or_default().to_owned()
}

/// Builds what is missing. Errors: `DUPLICATES` naming up to 10 documents, `COLLECTION_INVALID`.
async fn build(call: Call<'_>, collection: &'static Collection) -> Result<()> {
    let (kind, models) = (call.kind(collection), indexes(collection));
    match call.write(async move { kind.create_indexes(models).await }).await {
        Ok(_) => Ok(()),
        Err(Fault::Taken(name)) => {
            let unique = collection.indexes.iter().filter(|index| index.unique);
            for index in unique.filter(|index| name.is_empty() || index_name(collection, index.name) == name) {
                let ids = plainly(duplicates(call.anew(MAX_PIECE), collection, index).await)?;
                if !ids.is_empty() {
                    return Err(duplicated(collection, index, &ids));
                }
            }
            Err(failed("an index was not built"))
        }
        Err(Fault::Differs) => Err(differs(collection, "an index")),
        Err(Fault::House(error)) => Err(error),
    }
}

async fn duplicates(call: Call<'_>, collection: &Collection, index: &Index) -> Result<Vec<String>, Fault> {
    let mut group = doc! { "t": "$t" };
    group.extend(index.keys.iter().map(|key| ((*key).to_owned(), format!("${}", field(key)).into())));
    let pipeline = [
        doc! { "$match": presence(index) },
        doc! { "$group": { "_id": group, "n": { "$sum": 1 }, "ids": { "$push": "$_id" } } },
        doc! { "$match": { "n": { "$gt": 1 } } },
        doc! { "$sort": { "_id": 1 } },
        doc! { "$limit": 10 },
        doc! { "$unwind": "$ids" },
        doc! { "$limit": 10 },
    ];
    let kind = call.kind(collection);
    let sends = async move {
        let mut cursor = kind.aggregate(pipeline).allow_disk_use(true).await?;
        let mut ids = Vec::new();
        while cursor.advance().await? {
            let found: Document = cursor.deserialize_current()?;
            ids.extend(found.get_str("ids").map(str::to_owned));
        }
        Ok(ids)
    };
    let mut ids = call.read(sends).await?;
    ids.sort_unstable();
    Ok(ids)
}

fn duplicated(collection: &Collection, index: &Index, ids: &[String]) -> Error {
    Error::refused("DUPLICATES", format!("index {} of {} cannot be unique: {}", index.name, collection.name, ids.join(", ")))
}

/// Leaves versions and writers. A document that is changed meanwhile is looked at again: an older program may have done it.
async fn write_keys_anew(call: Call<'_>, collection: &'static Collection, rekey: Rekey, mut after: String) -> Result<()> {
    let mut tries = 0;
    loop {
        let rows = plainly(next_rows(call.anew(MAX_PIECE), collection, &after).await)?;
        let Some(last) = rows.last().map(|last| last.name().to_owned()) else { return Ok(()) };
        let updates: Vec<_> = rows.iter().map(|row| updated(collection, row, rekey)).collect::<Result<_>>()?;
        let (updates, names): (Vec<_>, Vec<_>) =
            updates.into_iter().zip(&rows).filter_map(|(update, row)| Some((update?, row.name()))).unzip();
        let missed = plainly(send(call.anew(MAX_PIECE), collection, updates, &names).await)?;
        tries += 1;
        if missed && tries < REKEY_TRIES {
            continue;
        }
        (after, tries) = (last, 0);
        let progress = doc! { "$set": { "rekey": { "version": i64::from(collection.version), "after": &after } } };
        plainly(note(call.anew(MAX_PIECE), collection, progress).await)?;
    }
}

async fn next_rows(call: Call<'_>, collection: &Collection, after: &str) -> Result<Vec<Row>, Fault> {
    let (kind, filter) = (call.kind(collection), doc! { "_id": { "$gt": after }, "del": { "$exists": false } });
    let sends = async move {
        let wanted = i64::try_from(REKEY_BATCH).unwrap_or(i64::MAX);
        let parts = doc! { "t": 1, "v": 1, "w": 1, "exp": 1, "b": 1, "crc": 1, "k": 1 };
        let mut cursor =
            kind.find(filter).hint(Hint::Keys(doc! { "_id": 1 })).sort(doc! { "_id": 1 }).limit(wanted).projection(parts).await?;
        let mut rows = Vec::new();
        while cursor.advance().await? {
            rows.push(Row::new(cursor.deserialize_current()?));
        }
        Ok(rows)
    };
    call.read(sends).await
}

/// The statement that writes the keys of one document anew, unless they are as they should be.
fn updated(collection: &'static Collection, row: &Row, rekey: Rekey) -> Result<Option<Document>> {
    let wanted = keys(collection, &rekey(&row.body(collection)?)?);
    if row.has_keys(&wanted) {
        return Ok(None);
    }
    let (set, unset): (Vec<_>, Vec<_>) =
        collection.keys.iter().map(|(name, _)| (*name, wanted.get(name))).partition(|(_, key)| key.is_some());
    let mut update = Document::new();
    let set: Document = set.into_iter().filter_map(|(name, key)| Some((field(name), key?.clone()))).collect();
    let unset: Document = unset.into_iter().map(|(name, _)| (field(name), "".into())).collect();
    for (operator, fields) in [("$set", set), ("$unset", unset)] {
        if !fields.is_empty() {
            update.insert(operator, fields);
        }
    }
    Ok(Some(doc! { "q": { "_id": row.name(), "t": row.tenant()?.as_str(), "v": row.version() }, "u": update }))
}

/// All statements in one operation. Whether some found their document changed. Errors: `DUPLICATES`.
async fn send(call: Call<'_>, collection: &'static Collection, updates: Vec<Document>, names: &[&str]) -> Result<bool, Fault> {
    if updates.is_empty() {
        return Ok(false);
    }
    let (database, count) = (call.link.database.clone(), i64::try_from(updates.len()).unwrap_or(i64::MAX));
    let concern = doc! { "w": "majority", "j": true };
    let command = doc! { "update": collection.name, "updates": updates, "ordered": false, "writeConcern": concern };
    let answer = call.write(async move { database.run_command(command).await }).await?;
    if let Some(refused) = answer.get_array("writeErrors").ok().and_then(|errors| errors.first()?.as_document()) {
        let taken = index_in(refused.get_str("errmsg").unwrap_or_default());
        let index = collection.indexes.iter().find(|index| index_name(collection, index.name) == taken);
        let at = Row::new(refused.clone()).whole("index").and_then(|at| usize::try_from(at).ok()).unwrap_or_default();
        return Err(match index {
            Some(index) => duplicated(collection, index, &[names.get(at).copied().unwrap_or_default().to_owned()]).into(),
            None => failed("keys were not written anew").into(),
        });
    }
    if answer.contains_key("writeConcernError") {
        return Err(super::fault::silence(Stake::Write).into());
    }
    Ok(Row::new(answer).whole("n") != Some(count))
}

/// What a drained tombstone of this kind becomes; none when it goes.
pub(super) fn drained(collection: &Collection) -> Option<i64> {
    collection.burns.then_some(BURNED)
}
