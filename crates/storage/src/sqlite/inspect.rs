//! What is wrong with a database: its pages, its indexes, each of its documents. Reads beside whoever writes, a few documents
//! at a time, and changes nothing.

use std::time::Duration;

use kernel::{Error, Result, Tenant};
use rusqlite::types::Value;
use rusqlite::{Connection, Row};

use super::backup::connect;
use super::changes::{BURNED, DRAINING};
use super::fault::{Fault, plainly};
use super::reads::{COLUMNS, WIDTH, covered, list, stored};
use super::schema::{bounded, drift, stored_version};
use super::sql::{column, table, value};
use super::{Location, Sqlite};
use crate::engine::{MAX_EVENTS, MAX_REMEMBERED, PendingEvent, Rekey};
use crate::record::Collection;

/// Documents read in one piece, so that the log can be emptied in between.
const PIECE: usize = 500;
/// Findings that are told of one collection; damage comes in heaps.
const MAX_FINDINGS: usize = 20;
/// Longest time that looking at every page may take.
const MAX_PAGES_TIME: Duration = Duration::from_secs(3600);

/// What was found in a database.
#[derive(Clone, Debug, Default)]
pub struct Inspection {
    /// One for each kind that was defined and is stored.
    pub kinds: Vec<Inspected>,
    /// What is damaged, in plain words without content: a backup is needed.
    pub damage: Vec<String>,
    /// Indexes and keys that are not as declared: `define` mends what is missing.
    pub drift: Vec<String>,
}

/// One collection.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// Its name.
    pub name: &'static str,
    /// As this program declares it.
    pub declared: u32,
    /// As it is stored.
    pub stored: u32,
    /// Documents that are there.
    pub documents: u64,
    /// Tombstones and burned ids.
    pub removed: u64,
}

impl Sqlite {
    /// Looks at every page, every index and every document of the kinds that were defined; `told` hears the collection and how
    /// many of its documents were read. Blocks for as long as it takes. Errors: those of opening; damage is a finding.
    pub fn inspect(&self, told: &mut dyn FnMut(&str, u64)) -> Result<Inspection> {
        let mut found = self.inspect_indexes()?;
        let Location::File(path, _) = &self.location else { return Ok(found) };
        let pages = plainly(|| pages(&connect(path)?));
        match pages {
            Ok(damage) => found.damage.extend(damage),
            Err(error) if is_damage(&error) => found.damage.push(format!("pages: {error}")),
            Err(error) => return Err(error),
        }
        for (collection, rekey) in self.learnt() {
            let Some(kind) = found.kinds.iter_mut().find(|kind| kind.name == collection.name) else { continue };
            let mut reading = Reading { collection, rekey, kind, findings: Vec::new(), untold: 0 };
            match plainly(|| reading.all(&connect(path)?, told)) {
                Ok(()) => {}
                Err(error) if is_damage(&error) => reading.findings.push(format!("{} cannot be read on: {error}", collection.name)),
                Err(error) => return Err(error),
            }
            let untold = Some(reading.untold).filter(|untold| *untold > 0);
            let rest = untold.map(|untold| format!("{}: {untold} more of its documents", collection.name));
            found.damage.extend(reading.findings.into_iter().chain(rest));
        }
        Ok(found)
    }

    /// As `inspect`, but reads no document and no page: stored versions, and indexes that are not as declared. Fast.
    pub fn inspect_indexes(&self) -> Result<Inspection> {
        let mut found = Inspection::default();
        let Location::File(path, _) = &self.location else { return Ok(found) };
        let looked = plainly(|| {
            let conn = connect(path)?;
            for (collection, _) in self.learnt() {
                let Some(stored) = stored_version(&conn, collection)? else { continue };
                let (name, declared) = (collection.name, collection.version);
                found.kinds.push(Inspected { name, declared, stored, documents: 0, removed: 0 });
                if stored == declared {
                    found.drift.extend(drift(&conn, collection)?);
                }
            }
            Ok(())
        });
        match looked {
            Err(error) if is_damage(&error) => found.damage.push(format!("the list of tables: {error}")),
            Err(error) => return Err(self.location.name(error)),
            Ok(()) => {}
        }
        Ok(found)
    }
}

fn is_damage(error: &Error) -> bool {
    matches!(error.reason(), "STORE_CORRUPT" | "RECORD_CORRUPT")
}

/// What SQLite itself finds wrong.
fn pages(conn: &Connection) -> Result<Vec<String>, Fault> {
    bounded(conn, MAX_PAGES_TIME, || {
        let mut statement = conn.prepare("PRAGMA integrity_check(20)")?;
        let told = statement.query_map((), |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(told.into_iter().filter(|line| line != "ok").map(|line| format!("pages: {line}")).collect())
    })
}

/// One collection while its documents are read.
struct Reading<'a> {
    collection: &'static Collection,
    rekey: Rekey,
    kind: &'a mut Inspected,
    findings: Vec<String>,
    /// Damaged documents that are not named.
    untold: u64,
}

/// Columns before the keys, as `look` reads them.
const REST: &str = "del, obn, tries, ob";
const KEYS: usize = WIDTH + 4;
/// No document is tried more often between two acknowledgements.
const MAX_TRIES: i64 = 1_000_000;

impl Reading<'_> {
    fn all(&mut self, conn: &Connection, told: &mut dyn FnMut(&str, u64)) -> Result<(), Fault> {
        // Of another version the keys are others, and so are the columns.
        let comparable = self.kind.stored == self.kind.declared;
        let keys: String = self.collection.keys.iter().filter(|_| comparable).map(|(name, _)| format!(", {}", column(name))).collect();
        let sql =
            format!("SELECT {COLUMNS}, {REST}{keys} FROM {} WHERE (t, id) > (?1, ?2) ORDER BY t, id LIMIT {PIECE}", table(self.collection));
        let mut statement = conn.prepare(&sql)?;
        let mut after = (String::new(), String::new());
        loop {
            let mut rows = statement.query((&after.0, &after.1))?;
            let mut read = 0;
            while let Some(row) = rows.next()? {
                let place: (String, String) = (row.get(0)?, row.get(1)?);
                self.look(row, &place, comparable)?;
                (after, read) = (place, read + 1);
            }
            told(self.collection.name, self.kind.documents + self.kind.removed);
            if read < PIECE {
                return Ok(());
            }
        }
    }

    fn look(&mut self, row: &Row<'_>, place: &(String, String), comparable: bool) -> Result<(), Fault> {
        let removed = row.get::<_, i64>(WIDTH)? != 0;
        *(if removed { &mut self.kind.removed } else { &mut self.kind.documents }) += 1;
        let wrong = match self.wrong(row, removed, comparable) {
            Ok(wrong) => wrong,
            Err(Fault(error)) if error.reason() == "RECORD_CORRUPT" => Some("holds what was never written"),
            Err(fault) => return Err(fault),
        };
        let Some(wrong) = wrong.or_else(|| Tenant::parse(&place.0).err().map(|_| "belongs to no app")) else { return Ok(()) };
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(format!("{} {}/{} {wrong}", self.collection.name, place.0, place.1));
        } else {
            self.untold += 1;
        }
        Ok(())
    }

    /// In what a document differs from what was written, if it does.
    fn wrong(&self, row: &Row<'_>, removed: bool, comparable: bool) -> Result<Option<&'static str>, Fault> {
        if covered(row)?.check(self.collection, row.get(5).ok()).is_err() {
            return Ok(Some("does not agree with its checksum"));
        }
        let stored = stored(row, self.collection)?;
        let (life, next, tries): (i64, Option<i64>, i64) = (row.get(WIDTH)?, row.get(WIDTH + 1)?, row.get(WIDTH + 2)?);
        let events: Vec<PendingEvent> = list(row, WIDTH + 3)?;
        if stored.version < 1 || !(0..=MAX_TRIES).contains(&tries) || stored.once.len() > MAX_REMEMBERED {
            return Ok(Some("holds what was never written"));
        }
        if next.is_some() == events.is_empty() || events.len() > MAX_EVENTS {
            return Ok(Some("has events that the outbox does not know, or knows without having any"));
        }
        if removed {
            let fits = life == if events.is_empty() { BURNED } else { DRAINING } && stored.body.is_empty();
            return Ok((!fits).then_some("is removed and not as a removal leaves it"));
        }
        if !comparable {
            return Ok(None);
        }
        let Ok(keys) = (self.rekey)(&stored.body) else { return Ok(Some("cannot be decoded")) };
        let present = (0..keys.len()).map(|at| row.get::<_, Value>(KEYS + at)).collect::<rusqlite::Result<Vec<_>>>()?;
        Ok((present != keys.iter().map(value).collect::<Vec<_>>()).then_some("has keys other than those of its body"))
    }
}
