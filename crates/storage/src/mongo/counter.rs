//! Changes of the numbers of a counter: conditions, operations, events and request id as one conditional update.

use kernel::{Error, Result, Tenant};
use mongodb::bson::{Document, doc};

use super::changes::{TRIES, Update, apply, full, insert, judged, look};
use super::document::present;
use super::fault::{Fault, busy};
use super::link::Call;
use crate::engine::{Amend, Amended, Place, Stored, repeats};
use crate::patch::{MAX_NUMBERS, Op, Test};

/// See `Engine::patch`.
pub(super) async fn patch(call: Call<'_>, tenant: &Tenant, place: &Place, amend: Amend) -> Result<Amended, Fault> {
    // A counter is never replaced, so its version is 1. Events carry it, so it is made sure of.
    let mut version = 1;
    for _ in 0..TRIES {
        let (filter, update, fits) = prepared(tenant, place, &amend, version)?;
        if fits
            && !update.is_empty()
            && let Some(row) = apply(call, place, &filter, &update, Document::new()).await?
        {
            return Ok(Amended { stored: row.stored(place.collection)?, repeat: false });
        }
        let Some(found) = judged(look(call, tenant, place, None).await)?.filter(|found| found.is_present(amend.now)) else {
            match made(call, tenant, place, &amend).await? {
                Some(stored) => return Ok(Amended { stored, repeat: false }),
                None => continue,
            }
        };
        let stored = found.stored(place.collection)?;
        if repeats(&stored.once, amend.once.as_ref())? {
            return Ok(Amended { stored, repeat: true });
        }
        amend.apply(stored.numbers.clone())?;
        if !found.has_room(amend.events.len()) && !amend.events.is_empty() {
            return Err(full().into());
        }
        if update.is_empty() {
            return Ok(Amended { stored, repeat: false });
        }
        version = found.version();
    }
    Err(busy().into())
}

/// Makes the document where none is; none when somebody else has made it in between. Errors: `NOT_FOUND` when none was given,
/// `ALREADY_EXISTS` when it was removed and its events wait.
async fn made(call: Call<'_>, tenant: &Tenant, place: &Place, amend: &Amend) -> Result<Option<Stored>, Fault> {
    let write = amend.clone().inserted()?.ok_or_else(|| Error::not_found(&place.id))?;
    match insert(call, tenant, place, &write).await {
        Ok(stored) => Ok(Some(stored)),
        Err(Fault::House(error)) if crate::change::taken(&error) == Some("_id") => {
            let there = judged(look(call, tenant, place, Some(&["del", "exp"])).await)?;
            if there.is_none_or(|there| there.is_present(amend.now)) { Ok(None) } else { Err(error.into()) }
        }
        Err(fault) => Err(fault),
    }
}

/// The condition, the update, and whether the new events ever fit.
fn prepared(tenant: &Tenant, place: &Place, amend: &Amend, version: i64) -> Result<(Document, Update, bool)> {
    let mut filter = present(tenant, &place.id, amend.now);
    let mut terms: Vec<_> = amend.conditions.iter().map(|(name, test)| condition(name, *test)).collect();
    let mut update = Update::default();
    for (name, op) in &amend.ops {
        let number = number(name);
        match *op {
            Op::Inc(by) => {
                terms.extend(room(&number, by));
                update.inc.insert(number, by)
            }
            Op::Set(value) => update.set.insert(number, value),
            Op::Max(value) => update.max.insert(number, value),
            Op::Min(value) => update.min.insert(number, value),
        };
    }
    terms.extend(few(amend));
    if let Some(once) = &amend.once {
        terms.push(doc! { "once.id": { "$ne": &once.id } });
    }
    if let Some(due) = amend.due {
        update.min.insert("due", due.micros());
    }
    if !amend.events.is_empty() {
        filter.insert("v", version);
    }
    let fits = update.events(&mut filter, &amend.events, version, amend.now)?;
    update.once(amend.once.as_ref(), version, amend.now)?;
    if !terms.is_empty() {
        filter.insert("$and", terms);
    }
    Ok((filter, update, fits))
}

fn number(name: &str) -> String {
    format!("n.{name}")
}

fn condition(name: &str, test: Test) -> Document {
    let test = match test {
        Test::Equal(value) => doc! { "$eq": value },
        Test::Below(value) => doc! { "$lt": value },
        Test::AtMost(value) => doc! { "$lte": value },
        Test::Above(value) => doc! { "$gt": value },
        Test::AtLeast(value) => doc! { "$gte": value },
        Test::Exists(there) => doc! { "$exists": there },
    };
    doc! { number(name): test }
}

/// That an addition stays in the range of its type; an absent number has all of it.
fn room(number: &str, by: i64) -> Option<Document> {
    if by > 0 {
        Some(doc! { number: { "$not": { "$gt": i64::MAX - by } } })
    } else {
        (by < 0).then(|| doc! { number: { "$not": { "$lt": i64::MIN - by } } })
    }
}

/// That the numbers do not become too many: all of these are there already, or all together are few enough.
fn few(amend: &Amend) -> Option<Document> {
    let names: Vec<_> = amend.ops.iter().map(|(name, _)| name.as_str()).collect();
    let there: Vec<_> = names.iter().map(|name| doc! { number(name): { "$exists": true } }).collect();
    let present = doc! { "$map": { "input": { "$objectToArray": { "$ifNull": ["$n", {}] } }, "in": "$$this.k" } };
    let limit = i64::try_from(MAX_NUMBERS).unwrap_or(i64::MAX);
    let all = doc! { "$expr": { "$lte": [{ "$size": { "$setUnion": [present, { "$literal": &names }] } }, limit] } };
    (!names.is_empty()).then(|| doc! { "$or": [{ "$and": there }, all] })
}
