//! What the writer does and says when the disk or the file fails it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fmt::{Debug, Write as _};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{LazyLock, Mutex};
use std::time::Instant;

use rusqlite::limits::Limit;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::*;
use kernel::Kind;

/// Everything that the process logged at ERROR. Tests find their own lines by their folder.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static LOGGING: LazyLock<()> = LazyLock::new(|| tracing::subscriber::set_global_default(Errors).unwrap());

struct Errors;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

impl Subscriber for Errors {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        LINES.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn logged(engine: &Sqlite) -> Vec<String> {
    let folder = engine.location.folder();
    LINES.lock().unwrap().iter().filter(|line| line.contains(&folder)).cloned().collect()
}

async fn fill(engine: &Sqlite, bytes: i64) -> Result<()> {
    engine.change(move |conn| Ok(conn.execute("INSERT INTO filler VALUES (zeroblob(?1))", [bytes]).map(|_| ())?)).await
}

async fn with_filler() -> Sqlite {
    LazyLock::force(&LOGGING);
    let engine = Sqlite::open_temporary().unwrap();
    engine.change(|conn| Ok(conn.execute_batch("CREATE TABLE filler (b BLOB)")?)).await.unwrap();
    engine
}

#[tokio::test]
async fn a_full_disk_is_logged_when_it_comes_and_when_it_goes() {
    let engine = with_filler().await;
    let limit = |pages: u32| {
        engine.change(move |conn| Ok(conn.query_row(&format!("PRAGMA max_page_count = {pages}"), (), |row| row.get::<_, u32>(0))?))
    };
    let pages = limit(1).await.unwrap();
    for _ in 0..3 {
        assert_eq!(fill(&engine, 100_000).await.unwrap_err().reason(), "DISK_FULL");
    }
    let lines = logged(&engine);
    assert!(lines.len() == 1 && lines[0].contains("full"), "{lines:?}");
    limit(pages + 1_000).await.unwrap();
    let start = Instant::now();
    while logged(&engine).len() < 2 && start.elapsed().as_secs() < 5 {
        fill(&engine, 1).await.unwrap();
    }
    let lines = logged(&engine);
    assert!(lines.len() == 2 && lines[1].contains("space again"), "{lines:?}");
}

#[tokio::test]
async fn a_commit_that_cannot_be_rolled_back_is_uncertain_and_its_connection_goes() {
    let engine = with_filler().await;
    fill(&engine, 1).await.unwrap();
    // COMMIT fails for a broken reference, and ROLLBACK is longer than a statement may now be.
    let uncertain = engine.change(|conn| {
        conn.execute_batch(
            "CREATE TABLE father (id INTEGER PRIMARY KEY); \
             CREATE TABLE child (id INTEGER REFERENCES father DEFERRABLE INITIALLY DEFERRED); INSERT INTO child VALUES (1)",
        )?;
        conn.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, 7)?;
        Ok(())
    });
    assert_eq!(uncertain.await.unwrap_err().reason(), "MAYBE_APPLIED");
    let start = Instant::now();
    while engine.ready().is_err() && start.elapsed().as_secs() < 4 {
        tokio::task::yield_now().await;
    }
    engine.ready().expect("the old connection keeps the new one out");
    let lines = logged(&engine);
    assert!(lines.len() == 2 && lines[0].contains("broken") && lines[1].contains("opened again"), "{lines:?}");
    fill(&engine, 1).await.unwrap();
}

fn damage(file: &Path, from: u64) {
    let length = fs::metadata(file).unwrap().len();
    let noise = vec![0xA5; usize::try_from(length - from).unwrap()];
    OpenOptions::new().write(true).open(file).unwrap().write_all_at(&noise, from).unwrap();
}

#[tokio::test]
async fn a_damaged_file_takes_no_change_ever_again() {
    let engine = with_filler().await;
    for _ in 0..200 {
        fill(&engine, 3_000).await.unwrap();
    }
    // All but the first page, once the log is in the file and its pages have left the cache.
    engine.change(|conn| Ok(conn.execute_batch("PRAGMA cache_size = 0; PRAGMA shrink_memory")?)).await.unwrap();
    let start = Instant::now();
    let Location::File(file, _) = engine.location.clone() else { unreachable!() };
    while fs::metadata(&file).unwrap().len() < 500_000 && start.elapsed().as_secs() < 5 {
        tokio::task::yield_now().await;
    }
    damage(&file, 4096);
    let sum = || engine.change(|conn| Ok(conn.query_row("SELECT sum(length(b)) FROM filler", (), |row| row.get::<_, i64>(0))?));
    let error = sum().await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (Kind::Internal, "STORE_CORRUPT"));
    for error in [engine.ready().unwrap_err(), engine.change(|_| Ok(())).await.unwrap_err()] {
        assert_eq!(error.reason(), "STORE_CORRUPT");
        let text = error.to_string();
        assert!(text.contains(&*file.to_string_lossy()) && text.contains("restore a backup"), "{text}");
    }
    let lines = logged(&engine);
    assert!(lines.len() == 1 && lines[0].contains("damaged"), "{lines:?}");
}

#[tokio::test]
async fn damage_met_while_defining_is_told_as_such() {
    const NOTES: Collection = Collection { name: "notes", version: 1, keys: &[], indexes: &[], burns: false, max_bytes: 0, max_items: 0 };
    let engine = with_filler().await;
    let Location::File(file, _) = engine.location.clone() else { unreachable!() };
    // The root page of the table that `define` reads first; no cache hides it, and nothing of it is in the log.
    let root = engine.change(|conn| {
        conn.execute_batch("PRAGMA cache_size = 0; PRAGMA shrink_memory")?;
        Ok(conn.query_row("SELECT rootpage FROM sqlite_schema WHERE name = '_collections'", (), |row| row.get::<_, i64>(0))?)
    });
    let root = u64::try_from(root.await.unwrap()).unwrap();
    OpenOptions::new().write(true).open(&file).unwrap().write_all_at(&[0xA5; 4096], (root - 1) * 4096).unwrap();
    let error = engine.define(const { &NOTES }, |_| Ok(Vec::new())).await.unwrap_err();
    assert_eq!(error.reason(), "STORE_CORRUPT", "{error}");
    assert!(error.to_string().contains("restore a backup"), "{error}");
    assert_eq!(engine.ready().unwrap_err().reason(), "STORE_CORRUPT");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named() {
    let dir = std::env::temp_dir().join(format!("mozaiks-faults-{:016x}", getrandom::u64().unwrap()));
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("store.db"), "no database, but longer than a header of a hundred bytes ".repeat(4)).unwrap();
    let error = Sqlite::open(&dir, Durability::Full).unwrap_err();
    fs::remove_dir_all(&dir).unwrap();
    assert_eq!(error.reason(), "STORE_CORRUPT");
    assert!(error.to_string().contains("store.db is damaged; restore a backup"), "{error}");
}

#[test]
fn whoever_holds_the_lock_without_a_name_is_another_process() {
    let dir = std::env::temp_dir().join(format!("mozaiks-faults-{:016x}", getrandom::u64().unwrap()));
    fs::create_dir(&dir).unwrap();
    let held = OpenOptions::new().write(true).create_new(true).open(dir.join("store.lock")).unwrap();
    held.lock().unwrap();
    let refused = Sqlite::open(&dir, Durability::Full).unwrap_err();
    fs::remove_dir_all(&dir).unwrap();
    assert_eq!(refused.reason(), "STORE_LOCKED");
    assert!(refused.message().ends_with("is held by another process"), "{}", refused.message());
}
