//! Failures that only the inside of the engine can bring about, and columns that only it can see.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use kernel::{Error, Kind, Result, Tenant, Time};

use super::*;
use crate::record::{Collection, Key};

const NOTES: Collection = Collection { name: "notes", version: 1, keys: &[], indexes: &[], burns: false, max_bytes: 0, max_items: 0 };

fn keyless(_: &str) -> Result<Vec<Option<Key>>> {
    Ok(Vec::new())
}

fn empty() -> Write {
    Write {
        writer: 0,
        body: String::new(),
        numbers: Default::default(),
        keys: Vec::new(),
        expires: None,
        due: None,
        events: Vec::new(),
        once: None,
        now: Time::default(),
    }
}

async fn insert(engine: &Sqlite, id: &str, bytes: usize) -> Result<Stored> {
    let body = format!("{{\"text\":\"{}\"}}", "x".repeat(bytes));
    let write = Write { writer: 1, body, ..empty() };
    let place = Place { collection: const { &NOTES }, id: id.to_owned() };
    engine.insert(&Tenant::parse("faults")?, place, write).await
}

async fn has(engine: &Sqlite, id: &str) -> bool {
    let place = Place { collection: const { &NOTES }, id: id.to_owned() };
    engine.get(&Tenant::parse("faults").unwrap(), place, Time::default()).await.unwrap().is_some()
}

#[tokio::test]
async fn a_full_disk_refuses_the_batch_and_writes_resume_with_space() {
    for engine in [Sqlite::open_temporary().unwrap(), Sqlite::in_memory().unwrap()] {
        engine.define(const { &NOTES }, keyless).await.unwrap();
        insert(&engine, "before", 10).await.unwrap();
        let limit = |pages: u32| {
            engine.change(move |conn| Ok(conn.query_row(&format!("PRAGMA max_page_count = {pages}"), (), |row| row.get::<_, u32>(0))?))
        };
        let pages = limit(1).await.unwrap();
        let batch = tokio::join!(insert(&engine, "a", 60_000), insert(&engine, "b", 60_000), insert(&engine, "c", 60_000));
        for refused in [batch.0, batch.1, batch.2].map(Result::unwrap_err) {
            assert_eq!((refused.kind(), refused.reason()), (Kind::Exhausted, "DISK_FULL"));
        }
        engine.ready().unwrap();
        assert!(has(&engine, "before").await && !has(&engine, "a").await);
        limit(pages + 1_000).await.unwrap();
        insert(&engine, "a", 60_000).await.expect("writes resume");
        assert!(has(&engine, "a").await);
    }
}

#[tokio::test]
async fn a_refusal_costs_its_batch_nothing() {
    let engine = Sqlite::open_temporary().unwrap();
    engine.define(const { &NOTES }, keyless).await.unwrap();
    let refusing = engine.change(|conn| {
        conn.execute("DELETE FROM _collections", ())?;
        Err::<(), _>(Error::timeout().into())
    });
    let (before, refused, after) = tokio::join!(insert(&engine, "a", 1), refusing, insert(&engine, "b", 1));
    assert_eq!((before.is_ok(), refused.unwrap_err().reason(), after.is_ok()), (true, "DEADLINE_EXCEEDED", true));
    let collections = engine.read(|conn| Ok(conn.query_row("SELECT count(*) FROM _collections", (), |row| row.get::<_, i64>(0))?));
    assert_eq!(collections.await.unwrap(), 1);
}

#[tokio::test]
async fn a_broken_connection_stops_writes_until_it_is_opened_again() {
    let engine = Sqlite::open_temporary().unwrap();
    engine.define(const { &NOTES }, keyless).await.unwrap();
    let breaking = engine.change(|conn| {
        conn.execute_batch("ROLLBACK")?;
        Err::<(), _>(Error::internal("STORE_FAILED", "as if the driver had given up the transaction").into())
    });
    let (before, broken) = tokio::join!(insert(&engine, "a", 1), breaking);
    assert_eq!(broken.unwrap_err().reason(), "STORE_BROKEN");
    let acknowledged = before.is_ok();
    while engine.ready().is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(has(&engine, "a").await, acknowledged, "what was acknowledged stays, what was not is not there");
    insert(&engine, "b", 1).await.unwrap();

    let memory = Sqlite::in_memory().unwrap();
    let breaking = |conn: &Connection| Ok(conn.execute_batch("ROLLBACK")?);
    assert_eq!(memory.change(breaking).await.unwrap_err().reason(), "STORE_BROKEN");
    assert_eq!(memory.ready().unwrap_err().reason(), "STORE_BROKEN");
    assert_eq!(memory.change(|_| Ok(())).await.unwrap_err().reason(), "STORE_BROKEN");
}

#[tokio::test]
async fn work_that_nobody_waits_for_is_not_begun() {
    let engine = Sqlite::open_temporary().unwrap();
    engine.define(const { &NOTES }, keyless).await.unwrap();
    let (begun, begins) = std::sync::mpsc::channel::<()>();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let mut holding = Box::pin(engine.change(move |_| {
        drop(begun);
        let _ = gate.recv();
        Ok(())
    }));
    let mut abandoned = Box::pin(insert(&engine, "abandoned", 1));
    tokio::select! { biased; _ = &mut holding => {}, _ = &mut abandoned => {}, () = tokio::task::yield_now() => {} }
    assert!(begins.recv().is_err(), "the writer is held");
    drop(abandoned);
    drop(go);
    holding.await.unwrap();
    assert!(!has(&engine, "abandoned").await);
}

/// Reading and writing statements that would never end, each beside a change that is refused with it or not touched by it.
#[tokio::test]
async fn work_without_end_is_interrupted_and_changes_go_on() {
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";
    for engine in [Sqlite::open_temporary().unwrap(), Sqlite::in_memory().unwrap()] {
        engine.define(const { &NOTES }, keyless).await.unwrap();
        for sql in
            [format!("SELECT count(*) FROM ({endless} SELECT i FROM n)"), format!("CREATE TABLE endless AS {endless} SELECT i FROM n")]
        {
            let stuck = engine.change(move |conn| {
                let run = |conn: &Connection| Ok(conn.prepare(&sql)?.query(())?.next().map(|_| ())?);
                schema::bounded(conn, std::time::Duration::from_millis(1), || run(conn))
            });
            let (before, stuck, after) = tokio::join!(insert(&engine, "before", 1), stuck, insert(&engine, "after", 1));
            let stuck = stuck.unwrap_err();
            assert!(matches!(stuck.reason(), "STORE_SLOW" | "STORE_BUSY"), "{stuck:?}");
            for (id, change) in [("before", before), ("after", after)] {
                assert_eq!(has(&engine, id).await, change.is_ok());
                assert!(change.is_ok() || matches!(change.unwrap_err().reason(), "STORE_BUSY"));
            }
            engine.ready().unwrap();
            let tenant = Tenant::parse("faults").unwrap();
            for id in ["before", "after"] {
                let place = Place { collection: const { &NOTES }, id: id.to_owned() };
                let erase = Erase { writer: 2, events: Vec::new(), now: Time::default() };
                let removed = engine.remove(&tenant, place, 1, erase).await;
                assert!(removed.is_ok() || removed.unwrap_err().kind() == Kind::NotFound);
            }
        }
        assert_eq!(engine.metrics().stops, 0);
    }
}

#[tokio::test]
async fn what_the_engine_did_can_be_read_off() {
    let engine = Sqlite::open_temporary().unwrap();
    engine.define(const { &NOTES }, keyless).await.unwrap();
    let before = engine.metrics();
    let (one, two, three) = tokio::join!(insert(&engine, "a", 1), insert(&engine, "b", 1), insert(&engine, "b", 1));
    assert!(one.is_ok() && two.is_ok() && three.is_ok(), "the third repeats the second's writer");
    has(&engine, "a").await;
    let after = engine.metrics();
    assert_eq!((after.changes - before.changes, after.reads - before.reads), (3, 1));
    assert_eq!(after.batch.sum, after.changes);
    assert_eq!(after.batch.counts.iter().sum::<u64>(), after.commits);
    assert_eq!(after.commit_micros.counts.iter().sum::<u64>(), after.commits);
    assert!(after.commit_micros.sum > before.commit_micros.sum && after.wal_bytes > 0);
    assert_eq!((after.queued, after.reads_queued, after.stops, after.full, after.swept), (0, 0, 0, 0, 0));
    let (busy, free) = std::sync::mpsc::channel::<()>();
    let held = engine.change(move |_| {
        let _ = free.recv();
        Ok(())
    });
    let mut queued = Box::pin(async { tokio::join!(held, insert(&engine, "c", 1)) });
    tokio::select! { biased; _ = &mut queued => {}, () = tokio::task::yield_now() => {} }
    assert_eq!(engine.metrics().queued, 2);
    drop(busy);
    assert!(queued.await.1.is_ok());
}

/// The columns that no call reads back: version, writer, due time, numbers, and whether events wait.
async fn envelope(engine: &Sqlite, id: &'static str) -> (i64, i64, Option<i64>, Option<String>, bool) {
    let columns = engine.read(move |conn| {
        let sql = "SELECT v, w, due, n, obn IS NOT NULL FROM notes WHERE id = ?1";
        Ok(conn.query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?)
    });
    columns.await.unwrap()
}

#[tokio::test]
async fn a_patch_changes_numbers_and_an_earlier_due_time_alone() {
    let engine = Sqlite::open_temporary().unwrap();
    engine.define(const { &NOTES }, keyless).await.unwrap();
    let otherwise = || {
        let write = Write { writer: 7, body: "{}".to_owned(), due: Some(Time::from_micros(100)), now: Time::from_micros(1), ..empty() };
        Some(write)
    };
    let patch = async |due: Option<i64>| {
        let ops = vec![("x".to_owned(), crate::Op::Inc(2))];
        let due = due.map(Time::from_micros);
        let amend =
            crate::Amend { conditions: Vec::new(), otherwise: otherwise(), ops, due, events: Vec::new(), once: None, now: Time::default() };
        let place = Place { collection: const { &NOTES }, id: "one".to_owned() };
        engine.patch(&Tenant::parse("faults").unwrap(), place, amend).await.unwrap();
        envelope(&engine, "one").await
    };
    let stands = |due: i64, x: i64| (1, 7, Some(due), Some(format!("{{\"x\":{x}}}")), false);
    assert_eq!(patch(Some(200)).await, stands(100, 2), "an upsert's own due time is the earlier");
    assert_eq!(patch(Some(50)).await, stands(50, 4));
    assert_eq!(patch(Some(70)).await, stands(50, 6));
    assert_eq!(patch(None).await, stands(50, 8), "version and writer stay");
}
