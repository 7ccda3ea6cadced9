//! What a call costs: operations and round trips, counted and not timed; and that others' changes ring the bell.

use std::collections::BTreeMap;
use std::sync::Mutex;

use kernel::{Clock, Cx, Page};
use storage::{Ack, Across, Claimed, Engine as _, Find, Patch, Removal, Store};

use super::records::{Note, Sum, event, note};
use super::server::{Server, Topology};
use super::*;

/// A store whose commands are counted.
struct Counted {
    store: Store,
    engine: Arc<Mongo>,
    commands: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Counted {
    async fn new(uri: &str) -> Self {
        let commands = Arc::new(Mutex::new(BTreeMap::new()));
        let heard = commands.clone();
        let observer = Arc::new(move |name: &str| *heard.lock().unwrap().entry(name.to_owned()).or_default() += 1);
        let settings = Settings { observer: Some(observer), ..Settings::new(uri, fresh()) };
        let engine = Arc::new(Mongo::connect(settings).await.unwrap());
        let store = Store::open(engine.clone(), [7; 32], Clock::system());
        store.define::<Note>().await.unwrap();
        store.define::<Sum>().await.unwrap();
        Self { store, engine, commands }
    }

    /// The commands that a call sent, as `find, insert`; one for each round trip.
    async fn of<T>(&self, what: &str, call: impl Future<Output = T>) -> (T, String) {
        self.commands.lock().unwrap().clear();
        let operations = |engine: &Mongo| engine.sent().values().map(|sent| sent.operations).sum::<u64>();
        let before = operations(&self.engine);
        let answer = call.await;
        let commands = self.commands.lock().unwrap().clone();
        let sent: usize = commands.values().sum();
        println!("{what:>44}: {} operations, {sent} round trips  {commands:?}", operations(&self.engine) - before);
        assert_eq!(u64::try_from(sent).unwrap(), operations(&self.engine) - before, "each operation is one round trip");
        let names = commands.into_iter().flat_map(|(name, count)| vec![name; count]);
        (answer, names.collect::<Vec<_>>().join(", "))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_one_round_trip() {
    let _turn = TURN.read().await;
    let Some(server) = Server::start(Topology::ReplicaSet) else { return };
    let counted = Counted::new(server.uri()).await;
    assert!(!format!("{:?}", counted.store).contains(server.address()), "the address is a secret");
    let (store, cx) = (&counted.store, Cx::for_tests("counts").unwrap());
    let ranked = |rank| storage::Change::of(Note { text: "r".to_owned(), rank: Some(rank) });

    let (one, sent) = counted.of("insert", store.insert(&cx, "one", note("a").event(event()))).await;
    assert_eq!(sent, "insert");
    let (read, sent) = counted.of("get", store.get::<Note>(&cx, "one")).await;
    assert!(read.unwrap().is_some() && sent == "find");
    let stale = one.unwrap();
    let (two, sent) = counted.of("replace", store.replace(&cx, &stale, note("b").event(event()))).await;
    let two = two.unwrap();
    assert_eq!(sent, "findAndModify");
    assert_eq!(counted.of("replace, stale", store.replace(&cx, &stale, note("c"))).await.1, "find, findAndModify");
    assert_eq!(counted.of("insert, id taken", store.insert(&cx, "one", note("a"))).await.1, "find, insert");
    store.insert(&cx, "ranked", ranked(1)).await.unwrap();
    let taken = counted.of("insert, key taken", store.insert(&cx, "other", ranked(1))).await;
    assert_eq!((taken.0.unwrap_err().reason(), taken.1.as_str()), ("ALREADY_EXISTS", "find, find, insert"));

    let across = Across::granted();
    let kind = const { &<Note as storage::Record>::KIND };
    let (claimed, sent) = counted.of("claim of one", store.claim(&across, kind, 10, Duration::from_secs(30))).await;
    assert_eq!(sent, "find, findAndModify");
    let Claimed { tenant, id, lease, events, .. } = claimed.unwrap().remove(0);
    let acks = vec![Ack { tenant, id, lease, events: events.into_iter().map(|event| event.id).collect() }];
    assert_eq!(counted.of("ack of one", store.ack(&across, kind, acks)).await.1, "update");
    assert_eq!(counted.of("remove", store.remove(&cx, &two, Removal::new())).await.1, "delete");
    let (loud, _) = counted.of("insert", store.insert(&cx, "loud", note("a").event(event()))).await;
    assert_eq!(
        counted.of("remove with events that wait", store.remove(&cx, &loud.unwrap(), Removal::new())).await.1,
        "delete, findAndModify"
    );
    let quiet = store.insert(&cx, "quiet", note("a")).await.unwrap();
    assert_eq!(counted.of("remove with an event", store.remove(&cx, &quiet, Removal::new().event(event()))).await.1, "findAndModify");

    let add = || Patch::upsert(Sum {}).inc("x", 1);
    assert_eq!(counted.of("patch, absent", store.patch(&cx, "sum", add())).await.1, "find, findAndModify, insert");
    assert_eq!(counted.of("patch", store.patch(&cx, "sum", add())).await.1, "findAndModify");

    for n in 10..20 {
        store.insert(&cx, &format!("n{n}"), ranked(n)).await.unwrap();
    }
    fn find<'a>(index: &'static str, page: &'a Page) -> Find<'a> {
        Find { index, prefix: Vec::new(), range: None, descending: false, page }
    }
    for (index, later) in [("rank", "find"), ("text", "find, find")] {
        let first = Page::of(3, "").unwrap();
        let (found, sent) = counted.of(&format!("first page by {index}"), store.find::<Note>(&cx, find(index, &first))).await;
        assert_eq!(sent, "find");
        let page = Page { size: 3, token: found.unwrap().next_token };
        let (found, sent) = counted.of(&format!("next page by {index}"), store.find::<Note>(&cx, find(index, &page))).await;
        assert!(found.unwrap().items.len() == 3 && later.starts_with(&sent), "{sent}");
    }
    assert_eq!(counted.of("count", store.count::<Note>(&cx, "rank", Vec::new(), 100)).await.1, "aggregate");
}

/// What another process changes is heard by a change stream, or by and by.
#[tokio::test(flavor = "multi_thread")]
async fn others_ring_the_bell() {
    let _turn = TURN.read().await;
    for topology in [Topology::ReplicaSet, Topology::Standalone] {
        let Some(server) = Server::start(topology) else { return };
        let database = fresh();
        let [ours, theirs] = [engine(server.uri(), database.clone()).await.unwrap(), engine(server.uri(), database).await.unwrap()];
        let mut bell = ours.watch();
        let ours = Store::open(Arc::new(ours), [7; 32], Clock::system());
        let theirs = Store::open(Arc::new(theirs), [7; 32], Clock::system());
        ours.define::<Note>().await.unwrap();
        for n in 0..3 {
            theirs.insert(&Cx::for_tests("bells").unwrap(), &n.to_string(), note("a").event(event())).await.unwrap();
            tokio::time::timeout(Duration::from_secs(5), bell.rung()).await.expect("it rings");
        }
    }
}
