//! Faults on demand: replies that are lost, and a process that ends at the worst moments of a commit. The points are those
//! of the whole process, so the tests of this file run one after the other.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock};

use fail::FailScenario;
use kernel::{Clock, Cx};
use serde::{Deserialize, Serialize};
use storage::suite::{LOST_REPLIES, Scale};
use storage::{Across, Change, Collection, Durability, Event, Index, KeyType, Keys, Life, Once, Record, Sqlite, Store, Target, faults};
use tokio::sync::Mutex;

static ONE_AT_A_TIME: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);

const CHANGES: [&str; 4] = ["storage::insert", "storage::replace", "storage::remove", "storage::patch"];

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_lost_replies_make_no_false_conflict_and_no_second_effect() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let scenario = FailScenario::setup();
    let engine = Sqlite::open_temporary().unwrap();
    for point in CHANGES {
        fail::cfg(point, "25%return(lost)->5%return(maybe)").unwrap();
    }
    // Others change the document between the lost reply and the look at what is there.
    fail::cfg("storage::trail", "30%sleep(2)").unwrap();
    let before = faults();
    LOST_REPLIES.hold(Arc::new(engine), Scale::FULL).await;
    let lost = faults() - before;
    assert!(lost >= 950, "{lost} replies were lost");
    scenario.teardown();
}

/// The same where the writer itself loses them.
#[tokio::test(flavor = "multi_thread")]
async fn replies_that_the_writer_loses_are_found_again() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let scenario = FailScenario::setup();
    let engine = Sqlite::open_temporary().unwrap();
    fail::cfg("storage::reply", "1*off->20%return").unwrap();
    LOST_REPLIES.hold(Arc::new(engine), Scale(30)).await;
    scenario.teardown();
}

/// Without a look at what is there a lost reply stays unknown; a store that is busy is not asked twice.
#[tokio::test]
async fn what_cannot_be_told_is_not_guessed() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let scenario = FailScenario::setup();
    let engine = Sqlite::in_memory().unwrap();
    let store = Store::open(Arc::new(engine), [7; 32], Clock::system());
    store.define::<Note>().await.unwrap();
    let cx = Cx::for_tests("faults").unwrap();
    fail::cfg("storage::insert", "return(unavailable)").unwrap();
    let busy = store.insert(&cx, "one", Change::of(Note::new("a"))).await.unwrap_err();
    fail::cfg("storage::insert", "1*return(lost)->off").unwrap();
    fail::cfg("storage::trail", "return(unavailable)").unwrap();
    let unknown = store.insert(&cx, "one", Change::of(Note::new("a"))).await.unwrap_err();
    assert_eq!((busy.reason(), unknown.reason()), ("STORE_BUSY", "MAYBE_APPLIED"));
    fail::cfg("storage::insert", "return(maybe)").unwrap();
    fail::remove("storage::trail");
    let hopeless = store.insert(&cx, "two", Change::of(Note::new("b"))).await.unwrap_err();
    assert_eq!(hopeless.reason(), "MAYBE_APPLIED", "it is not tried for ever");
    fail::cfg("storage::get", "return(lost)").unwrap();
    assert_eq!(store.get::<Note>(&cx, "one").await.unwrap_err().reason(), "STORE_BUSY");
    scenario.teardown();
    assert!(store.get::<Note>(&cx, "one").await.unwrap().is_some() && store.get::<Note>(&cx, "two").await.unwrap().is_none());
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    text: String,
}

impl Note {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned() }
    }
}

impl Record for Note {
    const KIND: Collection = Collection {
        name: "notes",
        version: 1,
        keys: &[("text", KeyType::Str)],
        indexes: &[Index { name: "text", keys: &["text"], unique: false }],
        burns: false,
        max_bytes: 0,
        max_items: 0,
    };

    fn keys(&self) -> Keys {
        Keys::new().with("text", self.text.as_str())
    }
}

const DIR: &str = "STORE_CRASH_DIR";
const ROUND: &str = "STORE_CRASH_ROUND";
/// One document that every round lengthens, once.
const LONG: Target<'static> = Target { id: "long", name: "long" };

fn open(dir: &Path) -> Store {
    Store::open(Arc::new(Sqlite::open(dir, Durability::Full).unwrap()), [7; 32], Clock::system())
}

fn event() -> Event {
    Event { kind: "notes.note.changed", payload: vec![1] }
}

async fn lengthen(store: &Store, cx: &Cx, round: usize) -> kernel::Result<bool> {
    let once = Once::of(&format!("round{round}"), [1; 32]).unwrap();
    let longer = |note: &Note| Ok(Change::of(Note::new(&format!("{}x", note.text))));
    store.change(cx, LONG, once, None, longer).await.map(|seen| seen.repeat)
}

/// Writes until a point of the writer ends the process, and says what was acknowledged.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the other half of a_crash_around_a_commit_loses_and_splits_nothing"]
#[allow(clippy::disallowed_methods)] // the other half says where
async fn write_until_a_crash() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let round: usize = std::env::var(ROUND).unwrap().parse().unwrap();
    let store = open(Path::new(&dir));
    store.define::<Note>().await.unwrap();
    let _scenario = FailScenario::setup();
    let cx = Cx::for_tests("crash").unwrap();
    let tasks = (0..8).map(|task| {
        let (store, cx) = (store.clone(), cx.clone());
        tokio::spawn(async move {
            for n in 0.. {
                let id = format!("r{round}t{task}n{n}");
                let seen = store.insert(&cx, &id, Change::of(Note::new("a")).event(event())).await.unwrap();
                say(&format!("{id} 1"));
                store.replace(&cx, &seen, Change::of(Note::new("b")).event(event()).event(event())).await.unwrap();
                say(&format!("{id} 2"));
            }
        })
    });
    let tasks: Vec<_> = tasks.collect();
    lengthen(&store, &cx, round).await.unwrap();
    for task in tasks {
        task.await.unwrap();
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "said {line}").unwrap();
    out.flush().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_around_a_commit_loses_and_splits_nothing() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let dir = Dir::new();
    let cx = Cx::for_tests("crash").unwrap();
    {
        let store = open(&dir.0);
        store.define::<Note>().await.unwrap();
        store.insert(&cx, LONG.id, Change::of(Note::new(""))).await.unwrap();
    }
    let mut acknowledged = BTreeMap::<String, i64>::new();
    const ROUNDS: usize = 20;
    for round in 0..ROUNDS {
        let point = if round % 2 == 0 { "storage::before_commit" } else { "storage::after_commit" };
        let after = 3 + round * 7 % 40;
        acknowledged.extend(crash(&dir.0, round, &format!("{point}={after}*off->return")));
        let store = open(&dir.0);
        store.define::<Note>().await.unwrap();
        check(&store, &cx, &acknowledged).await;
        lengthen(&store, &cx, round).await.unwrap();
        assert!(lengthen(&store, &cx, round).await.unwrap(), "the same request again changes nothing");
    }
    let store = open(&dir.0);
    store.define::<Note>().await.unwrap();
    let long = store.get::<Note>(&cx, LONG.id).await.unwrap().unwrap();
    assert_eq!(long.body.text.len(), ROUNDS, "each round once, whether its reply came or not");
    assert!(acknowledged.len() > ROUNDS, "the crashes left no time to write");
}

/// What the child said before it crashed.
fn crash(dir: &Path, round: usize, points: &str) -> Vec<(String, i64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "write_until_a_crash"])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .env("FAILPOINTS", points)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = lines.filter_map(|line| {
        let line = line.unwrap();
        let (id, version) = line.split_once("said ")?.1.split_once(' ')?;
        Some((id.to_owned(), version.parse().unwrap()))
    });
    let said = said.collect();
    let status = child.wait().unwrap();
    assert!(!status.success(), "{points} was never reached");
    said
}

/// Every acknowledged change is there, and every document has exactly the events of its changes.
async fn check(store: &Store, cx: &Cx, acknowledged: &BTreeMap<String, i64>) {
    let kind = const { &Note::KIND };
    let mut found = BTreeMap::new();
    let mut after = None;
    loop {
        let page = store.export(&Across::granted(), kind, after, 1_000).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.tenant.clone(), last.id.clone()));
        for envelope in page.into_iter().filter(|envelope| envelope.id != LONG.id) {
            let marks: Vec<_> = envelope.events.iter().map(|event| (event.version, event.index)).collect();
            let expected = [(1, 0), (2, 0), (2, 1)];
            let expected = if envelope.version == 1 { &expected[..1] } else { &expected[..] };
            assert_eq!((marks.as_slice(), envelope.life), (expected, Life::Present), "{} and its events were split", envelope.id);
            found.insert(envelope.id, envelope.version);
        }
    }
    for (id, version) in acknowledged {
        assert!(found.get(id).is_some_and(|found| found >= version), "{id} at version {version} was acknowledged and is lost");
    }
    assert!(store.get::<Note>(cx, LONG.id).await.unwrap().is_some());
}

struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("mozaiks-crash-{:016x}", getrandom::u64().unwrap())))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}
