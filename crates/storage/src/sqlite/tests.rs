//! Failures that only the inside of the engine can bring about.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use kernel::{Error, Kind, Result, Tenant, Time};

use super::*;
use crate::record::{Collection, Key};

const NOTES: Collection = Collection { name: "notes", version: 1, keys: &[], indexes: &[], burns: false, max_bytes: 0, max_items: 0 };

fn keyless(_: &str) -> Result<Vec<Option<Key>>> {
    Ok(Vec::new())
}

async fn insert(engine: &Sqlite, id: &str, bytes: usize) -> Result<Stored> {
    let body = format!("{{\"text\":\"{}\"}}", "x".repeat(bytes));
    let write = Write { writer: 1, body, keys: Vec::new(), expires: None, due: None, events: Vec::new(), once: None, now: Time::default() };
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
