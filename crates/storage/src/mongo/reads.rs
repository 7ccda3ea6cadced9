//! Reads: one document by id, one page of an index. Every question begins with the tenant and names its index.

use std::ops::Bound;
use std::time::Duration;

use kernel::{Result, Tenant, Time};
use mongodb::Collection as Kind;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{FindOptions, Hint};
use tokio::time::sleep;

use super::changes::look;
use super::document::{self, Row, field, name, under, unexpired, value};
use super::fault::Fault;
use super::link::{Answer, Call};
use super::schema::{index_name, presence};
use crate::engine::{Cursor, Place, Rows, Scan, Stored, Trail};
use crate::record::{Key, Range};

/// Bytes of bodies after which a page ends early: it has to fit into one message.
const MAX_PAGE_BYTES: usize = 3 * 1024 * 1024;
/// Expired documents passed over before a page ends early, so that every read is short.
const MAX_SKIPPED: usize = 1_000;
/// After so long the trail of a change is not asked for again, and how long it waits in between.
const LATEST_LOOK: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(100);

/// See `Engine::get`.
pub(super) async fn get(call: Call<'_>, tenant: &Tenant, place: &Place, now: Time) -> Result<Option<Stored>, Fault> {
    let (kind, left) = (call.kind(place.collection), call.left());
    let mut filter = under(tenant, &place.id);
    filter.insert("del", doc! { "$exists": false });
    let sends = async move { kind.find_one(filter).projection(doc! { "ob": 0, "k": 0 }).max_time(left).await };
    let found = call.read(sends).await?.map(Row::new).filter(|found| !found.is_expired(now));
    let Some(found) = found else { return Ok(None) };
    found.check_place(tenant, place)?;
    Ok(Some(found.stored(place.collection)?))
}

/// See `Engine::trail`. What cut the change off cuts the next call off, too, more often than not: it asks again for a while.
pub(super) async fn trail(call: Call<'_>, tenant: &Tenant, place: &Place) -> Result<Option<Trail>, Fault> {
    let found = loop {
        match look(call.anew(call.left()), tenant, place, None).await {
            Err(Fault::House(error)) if error.reason() == "STORE_BROKEN" && call.is_younger(LATEST_LOOK) => sleep(PAUSE).await,
            looked => break looked?,
        }
    };
    let Some(found) = found else { return Ok(None) };
    let deleted = found.is_deleted();
    Ok(Some(Trail {
        version: found.version(),
        writer: found.whole("w").unwrap_or_default(),
        deleted,
        once: found.list("once")?,
        numbers: found.numbers()?,
        body: if deleted { String::new() } else { found.body(place.collection)? },
    }))
}

/// See `Engine::find`. A page that goes on is read in parts, each of them one range of the index; see `parts`.
pub(super) async fn find(call: Call<'_>, tenant: &Tenant, scan: &Scan) -> Result<Rows, Fault> {
    let mut page = Rows { items: Vec::new(), next: None };
    let (mut bytes, mut skipped) = (0, 0);
    let mut last = scan.after.clone();
    let mut parts = parts(scan, last.as_ref());
    while !parts.is_empty() {
        let wanted = scan.limit - page.items.len() + 1;
        let (rows, cut) = fetched(call, filter(tenant, scan, parts.remove(0)), scan, wanted).await?;
        let full = cut || rows.len() == wanted;
        for row in rows {
            if page.items.len() == scan.limit || bytes >= MAX_PAGE_BYTES || skipped == MAX_SKIPPED {
                page.next = last;
                return Ok(page);
            }
            row.check_entry(tenant, scan)?;
            last = Some(cursor(&row, scan)?);
            if row.is_expired(scan.now) {
                skipped += 1;
            } else {
                let item = row.stored(scan.collection)?;
                bytes += item.body.len();
                page.items.push(item);
            }
        }
        // A full page ends behind its last document also where the next part begins.
        if full {
            parts = self::parts(scan, last.as_ref());
        } else if !parts.is_empty() && page.items.len() == scan.limit {
            page.next = last;
            return Ok(page);
        }
    }
    Ok(page)
}

/// Up to so many documents, and whether the rest was left because they are many bytes.
async fn fetched(call: Call<'_>, filter: Document, scan: &Scan, wanted: usize) -> Result<(Vec<Row>, bool), Fault> {
    let (kind, options) = (call.kind(scan.collection), options(call, scan, wanted));
    let sends = async move {
        let mut cursor = kind.find(filter).with_options(options).await?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while bytes < MAX_PAGE_BYTES {
            if !cursor.advance().await? {
                return Ok((rows, false));
            }
            bytes += cursor.current().as_bytes().len();
            rows.push(Row::new(cursor.deserialize_current()?));
        }
        Ok((rows, true))
    };
    call.read(sends).await
}

fn options(call: Call<'_>, scan: &Scan, wanted: usize) -> FindOptions {
    let hint = Hint::Name(index_name(scan.collection, scan.index.name));
    let projection = doc! { "ob": 0 };
    let batch = u32::try_from(wanted).unwrap_or(u32::MAX);
    let options = FindOptions::builder().hint(hint).sort(sort(scan)).limit(i64::from(batch)).batch_size(batch);
    options.projection(projection).max_time(call.left()).build()
}

fn sort(scan: &Scan) -> Document {
    let direction = if scan.descending { -1 } else { 1 };
    let mut order: Document = scan.index.keys.iter().skip(scan.prefix.len()).map(|key| (field(key), direction.into())).collect();
    if !scan.index.unique {
        order.insert("_id", direction);
    }
    order
}

/// See `Engine::count`.
pub(super) async fn count(call: Call<'_>, tenant: &Tenant, scan: &Scan) -> Result<usize, Fault> {
    let part = parts(scan, None).into_iter().next().unwrap_or_default();
    let mut filter = filter(tenant, scan, part);
    filter.insert("exp", unexpired(scan.now));
    let limit = i64::try_from(scan.limit).unwrap_or(i64::MAX);
    let pipeline = [doc! { "$match": filter }, doc! { "$limit": limit }, doc! { "$count": "n" }];
    let counted = one(call, call.kind(scan.collection), pipeline.to_vec(), index_name(scan.collection, scan.index.name)).await?;
    Ok(counted.and_then(|counted| usize::try_from(Row::new(counted).whole("n")?).ok()).unwrap_or_default())
}

/// The one document that a pipeline makes, if it makes one.
pub(super) async fn one(call: Call<'_>, kind: Kind<Document>, pipeline: Vec<Document>, index: String) -> Result<Option<Document>, Fault> {
    let left = call.left();
    let sends = async move {
        let mut cursor = kind.aggregate(pipeline).hint(Hint::Name(index)).max_time(left).await?;
        let answer: Answer<Option<Document>> = if cursor.advance().await? { cursor.deserialize_current().map(Some) } else { Ok(None) };
        answer
    };
    call.read(sends).await
}

/// How the server would serve the last part of this scan, its stages from the index on.
pub(super) async fn explain(call: Call<'_>, tenant: &Tenant, scan: &Scan) -> Result<String, Fault> {
    let part = parts(scan, scan.after.as_ref()).pop().unwrap_or_default();
    let find = doc! {
        "find": scan.collection.name,
        "filter": filter(tenant, scan, part),
        "hint": index_name(scan.collection, scan.index.name),
        "sort": sort(scan),
    };
    let database = call.link.database.clone();
    let explained = call.read(async move { database.run_command(doc! { "explain": find, "verbosity": "queryPlanner" }).await }).await?;
    let planner = explained.get_document("queryPlanner").ok();
    let plan = planner.and_then(|planner| planner.get_document("winningPlan").ok());
    let mut stages = Vec::new();
    if let Some(plan) = plan {
        describe(plan.get_document("queryPlan").unwrap_or(plan), scan, &mut stages);
    }
    Ok(stages.join(", then "))
}

/// Stages in the order in which they work. Bounds that are no single value are told as a comparison.
fn describe(stage: &Document, scan: &Scan, stages: &mut Vec<String>) {
    let inputs = stage.get_array("inputStages").into_iter().flatten().filter_map(Bson::as_document);
    for input in stage.get_document("inputStage").into_iter().chain(inputs) {
        describe(input, scan, stages);
    }
    match stage.get_str("stage").unwrap_or_default() {
        "IXSCAN" | "EXPRESS_IXSCAN" => {
            let index = stage.get_str("indexName").unwrap_or_default();
            let Ok(bounds) = stage.get_document("indexBounds") else {
                return stages.push(format!("index {index} by a synthetic plan without bounds"));
            };
            let direction = if scan.descending { "<" } else { ">" };
            let bounds = bounds.iter().map(|(key, bounds)| format!("{key} {direction} {bounds}"));
            stages.push(format!("index {index}: {}", bounds.collect::<Vec<_>>().join(", ")));
        }
        "COLLSCAN" => stages.push("SCAN of all documents".to_owned()),
        "SORT" => stages.push("TEMP B-TREE for the order".to_owned()),
        _ => {}
    }
}

fn cursor(row: &Row, scan: &Scan) -> Result<Cursor> {
    let rest = scan.index.keys.iter().skip(scan.prefix.len());
    let keys = rest.map(|name| row.key(scan.collection, name)?.ok_or_else(|| document::corrupt(format!("{name} is absent in its index"))));
    Ok(Cursor { keys: keys.collect::<Result<_>>()?, id: row.id().to_owned() })
}

/// What the index holds of this tenant, and of it this part. The presence terms are what lets a partial index serve.
fn filter(tenant: &Tenant, scan: &Scan, part: Part) -> Document {
    let mut filter = presence(scan.index);
    filter.insert("t", tenant.as_str());
    for (key, bounds) in scan.index.keys.iter().zip(equal(&scan.prefix).chain(part.keys)) {
        if let Ok(terms) = filter.get_document_mut(field(key)) {
            terms.extend(bounds);
        }
    }
    if let Some((operator, id)) = part.id {
        filter.insert("_id", doc! { operator: name(tenant, &id) });
    }
    filter
}

fn equal(keys: &[Key]) -> impl Iterator<Item = Document> {
    keys.iter().map(|key| doc! { "$eq": value(key) })
}

/// One range of an index: terms for the keys after the prefix, then for the id.
#[derive(Debug, Default)]
struct Part {
    keys: Vec<Document>,
    id: Option<(&'static str, String)>,
}

/// The ranges that together are what comes after a cursor, in their order. There is no comparison of several fields at once,
/// and a choice of terms would be read from the first tie on; so: equal keys and a later id, equal keys but a later last
/// one, and so on.
fn parts(scan: &Scan, after: Option<&Cursor>) -> Vec<Part> {
    let range = limits(scan.range.as_ref());
    let Some(after) = after else { return vec![Part { keys: vec![range], id: None }] };
    let beyond = if scan.descending { "$lt" } else { "$gt" };
    let mut parts = Vec::new();
    if !scan.index.unique {
        parts.push(Part { keys: equal(&after.keys).collect(), id: Some((beyond, after.id.clone())) });
    }
    for (at, key) in after.keys.iter().enumerate().rev() {
        let mut keys: Vec<_> = equal(&after.keys[..at]).collect();
        let mut term = if at == 0 { range.clone() } else { Document::new() };
        // The cursor takes the place of the end that it lies beyond.
        for end in if scan.descending { ["$lte", "$lt"] } else { ["$gte", "$gt"] } {
            term.remove(end);
        }
        term.insert(beyond, value(key));
        keys.push(term);
        parts.push(Part { keys, id: None });
    }
    parts
}

fn limits(range: Option<&Range>) -> Document {
    let mut terms = Document::new();
    let Some(range) = range else { return terms };
    for (bound, [included, excluded]) in [(&range.low, ["$gte", "$gt"]), (&range.high, ["$lte", "$lt"])] {
        match bound {
            Bound::Included(key) => terms.insert(included, value(key)),
            Bound::Excluded(key) => terms.insert(excluded, value(key)),
            Bound::Unbounded => None,
        };
    }
    terms
}
