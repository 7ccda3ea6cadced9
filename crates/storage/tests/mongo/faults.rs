//! Servers that are gone, silent or half there, and replies that are lost: each call ends in time with the truth, nothing takes
//! effect twice, and all goes on when the fault is over.

use std::time::Instant;

use kernel::{Clock, Cx};
use mongodb::Client;
use mongodb::bson::{Document, doc};
use storage::suite::LOST_REPLIES;
use storage::{Engine as _, Once, Patch, Record, Seen, Store};

use super::proxy::{Loss, Proxy, Weather, mongo_frames};
use super::records::{Note, Sum, note};
use super::server::{Server, Topology};
use super::*;

/// A call that waits on a dead server ends within so long.
const PROMISED: Duration = Duration::from_secs(2);
/// The same beside other tests, which take the machine's time.
const AT_MOST: Duration = Duration::from_secs(4);
/// So long may it take until a server that came back is used again.
const RECOVERY: Duration = Duration::from_secs(5);

/// A server behind a proxy, and a store on it.
struct Scene {
    _server: Server,
    past: Client,
    proxy: Proxy,
    engine: Arc<Mongo>,
    store: Store,
    cx: Cx,
}

impl Scene {
    async fn new(topology: Topology) -> Option<Self> {
        Some(Self::on(Server::start_own(topology)?).await)
    }

    async fn on(server: Server) -> Self {
        Self::with(server, Settings::new("", fresh())).await
    }

    /// For replies that are lost by a server that is well, however busy the machine is: no call gives it up.
    async fn patient(server: Server) -> Self {
        Self::with(server, Settings { dead_after: Duration::from_secs(30), ..Settings::new("", fresh()) }).await
    }

    async fn with(server: Server, settings: Settings) -> Self {
        let proxy = Proxy::before(server.address(), mongo_frames).await;
        let uri = format!("mongodb://{}/?directConnection=true", proxy.address);
        let engine = Arc::new(Mongo::connect(Settings { uri, ..settings }).await.unwrap());
        let store = Store::open(engine.clone(), [7; 32], Clock::system());
        store.define::<Note>().await.unwrap();
        store.define::<Sum>().await.unwrap();
        let past = Client::with_uri_str(format!("{}?directConnection=true", server.uri())).await.unwrap();
        Self { _server: server, past, proxy, engine, store, cx: Cx::for_tests("faults").unwrap() }
    }

    /// `configureFailPoint`, past the proxy.
    async fn fail(&self, mode: impl Into<mongodb::bson::Bson>, data: Document) {
        let mut command = doc! { "configureFailPoint": "failCommand", "mode": mode.into() };
        if !data.is_empty() {
            command.insert("data", data);
        }
        self.past.database("admin").run_command(command).await.unwrap();
    }

    /// Asks until the store serves again.
    async fn recovers(&self) {
        let began = Instant::now();
        while self.engine.ready().is_err() || self.store.get::<Note>(&self.cx, "none").await.is_err() {
            assert!(began.elapsed() < RECOVERY, "it does not come back");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        println!("back after {:.1} s", began.elapsed().as_secs_f64());
    }

    /// The document, once it can be read.
    async fn reads<T: Record>(&self, id: &str) -> Seen<T> {
        loop {
            a_moment().await;
            match self.store.get::<T>(&self.cx, id).await {
                Ok(found) => return found.unwrap(),
                Err(error) => assert!(retried(&error, &mut 0), "{error:?}"),
            }
        }
    }

    /// A document that is replaced so often, each time from the version before, and a counter beside it. Every reply is the
    /// truth or says that it is not known; no conflict is told where there is none, and the sums are exact.
    async fn lead_a_life(&self, id: &str, changes: usize) -> (usize, usize) {
        let (mut done, mut unknown) = (0, 0);
        let mut seen = loop {
            match self.store.insert(&self.cx, id, note("0")).await {
                Ok(seen) => break seen,
                // Told as unknown before, and it was applied after all.
                Err(error) if error.reason() == "ALREADY_EXISTS" && unknown > 0 => break self.reads::<Note>(id).await,
                Err(error) => {
                    assert!(retried(&error, &mut unknown), "{error:?}");
                    a_moment().await;
                }
            }
        };
        for step in 1..=changes {
            let (text, before) = (step.to_string(), unknown);
            while seen.body.text != text {
                match self.store.replace(&self.cx, &seen, note(&text)).await {
                    Ok(written) => seen = written,
                    Err(error) => {
                        let late = error.reason() == "VERSION_STALE" && unknown > before;
                        assert!(late || retried(&error, &mut unknown), "a false conflict: {error:?}");
                        seen = self.reads::<Note>(id).await;
                        assert!(!late || seen.body.text == text, "a false conflict: {error:?}");
                    }
                }
            }
            let add = || Patch::upsert(Sum {}).inc("x", 1).once(Once::of(&text, [0; 32]).unwrap());
            let mut tries = 0;
            while let Err(error) = self.store.patch(&self.cx, id, add()).await {
                tries += 1;
                assert!(retried(&error, &mut unknown) && tries < 1_000, "{error:?}");
                a_moment().await;
            }
            done += 2;
            assert_eq!((seen.version, seen.body.text.as_str()), (1 + i64::try_from(step).unwrap(), text.as_str()), "a second effect");
        }
        let sum = self.reads::<Sum>(id).await;
        assert_eq!(sum.numbers["x"], i64::try_from(changes).unwrap(), "totals are exact");
        (done, unknown)
    }

    /// So many documents at once. How many changes, and how many of them were told as unknown.
    async fn lead_lives(self: &Arc<Self>, documents: usize, changes: usize) -> (usize, usize) {
        let lives = (0..documents).map(|n| {
            let scene = self.clone();
            tokio::spawn(async move { scene.lead_a_life(&fresh(), changes + n % 2).await })
        });
        let mut sum = (0, 0);
        for life in lives.collect::<Vec<_>>() {
            let (done, unknown) = life.await.unwrap();
            sum = (sum.0 + done, sum.1 + unknown);
        }
        sum
    }
}

/// Before a caller asks again.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

fn retried(error: &kernel::Error, unknown: &mut usize) -> bool {
    *unknown += usize::from(error.reason() == "MAYBE_APPLIED");
    matches!(error.reason(), "MAYBE_APPLIED" | "STORE_BROKEN" | "STORE_BUSY" | "STORE_SLOW")
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listens() {
    let _turn = TURN.write().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let began = Instant::now();
    let refused = engine(&format!("mongodb://{free}/"), fresh()).await.unwrap_err();
    assert_eq!(refused.reason(), "STORE_UNUSABLE");
    assert!(began.elapsed() < AT_MOST);
}

/// A server that refuses, falls silent, or hears and does not answer: calls end within two seconds, then at once; nothing that
/// was acknowledged is lost, nothing is done twice, and it is used again within five seconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_is_found_out_and_found_again() {
    let _turn = TURN.write().await;
    for (topology, weather) in [
        (Topology::ReplicaSet, Weather::Silent),
        (Topology::Standalone, Weather::Silent),
        (Topology::ReplicaSet, Weather::Closed),
        (Topology::Standalone, Weather::Closed),
        (Topology::ReplicaSet, Weather::Deaf),
    ] {
        let Some(scene) = Scene::new(topology).await.map(Arc::new) else { return };
        let seen = scene.store.insert(&scene.cx, "one", note("0")).await.unwrap();
        scene.proxy.set(weather);
        let calls = (0..8).map(|n| {
            let (scene, seen) = (scene.clone(), seen.clone());
            tokio::spawn(async move {
                let began = Instant::now();
                let read = scene.store.get::<Note>(&scene.cx, "one").await.map(|_| ());
                let read_took = began.elapsed();
                let began = Instant::now();
                let written = match n {
                    0 => scene.store.replace(&scene.cx, &seen, note("1")).await.map(|_| ()),
                    _ => scene.store.insert(&scene.cx, &format!("new{n}"), note("0")).await.map(|_| ()),
                };
                assert!(read_took < AT_MOST && began.elapsed() < AT_MOST, "{weather:?}: {read_took:?}, {:?}", began.elapsed());
                (read.unwrap_err().reason(), written.unwrap_err().reason())
            })
        });
        for call in calls.collect::<Vec<_>>() {
            let (read, written) = call.await.unwrap();
            assert!(matches!(read, "STORE_BROKEN" | "STORE_SLOW"), "{read}");
            assert!(matches!(written, "STORE_BROKEN" | "MAYBE_APPLIED"), "{written}");
        }
        let began = Instant::now();
        assert_eq!(scene.engine.ready().unwrap_err().reason(), "STORE_BROKEN", "{weather:?}");
        assert!(scene.store.get::<Note>(&scene.cx, "one").await.is_err());
        assert!(began.elapsed() < Duration::from_millis(100), "the breaker is open");
        scene.proxy.set(Weather::Fair);
        print!("{topology:?}, {weather:?}: ");
        scene.recovers().await;
        let now = scene.store.get::<Note>(&scene.cx, "one").await.unwrap().unwrap();
        assert!(now.version <= 2, "nothing is done twice");
        scene.store.replace(&scene.cx, &now, note("2")).await.unwrap();
    }
}

/// A change that waits when the server falls silent ends in time.
#[tokio::test(flavor = "multi_thread")]
async fn calls_on_their_way_are_cut_off() {
    let _turn = TURN.write().await;
    let Some(scene) = Scene::new(Topology::ReplicaSet).await else { return };
    let seen = scene.store.insert(&scene.cx, "one", note("0")).await.unwrap();
    scene.proxy.set(Weather::Deaf);
    let began = Instant::now();
    let lost = scene.store.replace(&scene.cx, &seen, note("1")).await.unwrap_err();
    assert!(began.elapsed() < AT_MOST, "{:?}", began.elapsed());
    assert_eq!(lost.reason(), "MAYBE_APPLIED");
    scene.proxy.set(Weather::Fair);
    scene.recovers().await;
    assert_eq!(
        scene.store.get::<Note>(&scene.cx, "one").await.unwrap().unwrap().version,
        2,
        "it was applied, and nobody claimed otherwise"
    );
}

/// 50 replies that the network loses after their effect, 64 documents at once: each change says what it did.
#[tokio::test(flavor = "multi_thread")]
async fn replies_lost_on_the_way() {
    let _turn = TURN.write().await;
    for topology in [Topology::ReplicaSet, Topology::Standalone] {
        for (loss, count) in [(Loss::Whole, 50), (Loss::Half, 10)] {
            let Some(server) = Server::start_own(topology) else { return };
            let scene = Arc::new(Scene::patient(server).await);
            scene.proxy.lose(count, "findAndModify", loss);
            let (done, unknown) = scene.lead_lives(64, 4).await;
            assert_eq!(scene.proxy.left(), 0, "all were lost");
            println!("{topology:?}, {loss:?}: {done} changes, {count} replies lost, {unknown} told as unknown");
            assert_eq!(unknown, 0, "a look tells what became of each");
        }
    }
}

/// 950 replies that say only that the change may not last, after their effect.
#[tokio::test(flavor = "multi_thread")]
async fn replies_that_leave_it_open() {
    let _turn = TURN.write().await;
    let Some(server) = Server::start_own(Topology::Standalone) else { return };
    let scene = Arc::new(Scene::patient(server).await);
    let concern = doc! { "code": 64, "errmsg": "waiting for replication timed out" };
    let data = doc! { "failCommands": ["findAndModify", "insert", "delete"], "writeConcernError": concern };
    scene.fail(doc! { "times": 950 }, data).await;
    let (done, unknown) = scene.lead_lives(64, 15).await;
    scene.fail("off", Document::new()).await;
    println!("{done} changes, 950 replies left it open, {unknown} told as unknown");
    assert!(done > 950);
    assert_eq!(unknown, 0, "a look tells what became of each");
}

/// What an operator is told of it, by a look that makes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_majority_that_does_not_acknowledge_is_seen() {
    use storage::mongo::{Shape, look};
    let _turn = TURN.read().await;
    for (topology, shape) in
        [(Topology::Standalone, Shape::Standalone), (Topology::ReplicaSet, Shape::ReplicaSet { members: 1, arbiters: 0 })]
    {
        let Some(scene) = Scene::new(topology).await else { return };
        let settings = Settings::new(format!("mongodb://{}/?directConnection=true", scene.proxy.address), fresh());
        let seen = look(&settings).await.unwrap();
        assert_eq!((seen.shape, seen.doubt), (shape, None));
        assert!(seen.time.micros().abs_diff(Clock::system().now().micros()) < 5_000_000, "{:?}", seen.time);
        let concern = doc! { "code": 64, "errmsg": "waiting for replication timed out" };
        scene.fail("alwaysOn", doc! { "failCommands": ["delete"], "writeConcernError": concern }).await;
        assert_eq!(look(&settings).await.unwrap().doubt.as_deref(), Some("write concern error 64"));
        scene.fail("alwaysOn", doc! { "failCommands": ["delete"], "errorCode": 13 }).await;
        assert!(look(&settings).await.unwrap().doubt.is_some_and(|doubt| doubt.contains("refused")));
        scene.fail("off", Document::new()).await;
        assert_eq!(scene.past.database(&settings.database).list_collection_names().await.unwrap(), [""; 0]);
    }
}

/// The contract for lost replies, where some of all replies leave it open.
#[tokio::test(flavor = "multi_thread")]
async fn the_contract_holds_where_replies_are_lost() {
    let _turn = TURN.read().await;
    let Some(scene) = Scene::new(Topology::ReplicaSet).await.map(Arc::new) else { return };
    let server = scene.clone();
    let losing = tokio::spawn(async move {
        let concern = doc! { "code": 64, "errmsg": "waiting for replication timed out" };
        let data = doc! { "failCommands": ["findAndModify", "insert", "delete"], "writeConcernError": concern };
        loop {
            server.fail(doc! { "skip": 5, "times": 3 }, data.clone()).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let ran = LOST_REPLIES.hold(scene.engine.clone(), scale()).await;
    losing.abort();
    println!("{ran}");
    let sent = scene.engine.sent();
    println!("{} trails", sent.get("trail").map_or(0, |sent| sent.calls));
    assert!(sent.contains_key("trail"), "replies were lost");
}

/// Cycles that the caller wants; few in an ordinary run.
fn cycles() -> u64 {
    #[allow(clippy::disallowed_methods)]
    let asked = std::env::var("WIRE_CYCLES").ok().and_then(|cycles| cycles.parse().ok());
    asked.unwrap_or(20)
}

/// Replies that go astray after their effect, 50 by the network and 950 by the server, and a primary that steps down 1,000 times.
/// Told as unknown is at most a change that met nothing else for as long as a call may take.
#[tokio::test(flavor = "multi_thread")]
async fn f15_replies_are_lost() {
    let _turn = TURN.write().await;
    let server = match Server::own(Topology::ReplicaSet) {
        Ok(server) => server,
        Err(why) => return println!("fault F15 SKIPPED: {why}"),
    };
    let scene = Arc::new(Scene::patient(server).await);
    let began = Instant::now();
    scene.proxy.lose(50, "findAndModify", Loss::Whole);
    let mut all = vec![scene.lead_lives(64, 2).await];
    assert_eq!(scene.proxy.left(), 0);
    let concern = doc! { "writeConcernError": { "code": 64, "errmsg": "waiting for replication timed out" } };
    for (times, failure) in [(950, concern), (1_000, doc! { "errorCode": 10_107 })] {
        let mut data = doc! { "failCommands": ["findAndModify"] };
        data.extend(failure);
        scene.fail(doc! { "times": times }, data).await;
        all.push(scene.lead_lives(160, 3).await);
        scene.fail("off", Document::new()).await;
    }
    let acknowledged: usize = all.iter().map(|(done, _)| done).sum();
    let [lost, left_open, refused] = [all[0].1, all[1].1, all[2].1];
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "fault F15 seed=0 cycles=2000 acknowledged={acknowledged} lost=0 split=0 seconds={seconds:.1} false_conflicts=0 doubled=0 told_unknown={} of them by a primary that stepped down={refused}",
        lost + left_open
    );
    assert_eq!((lost, left_open), (0, 0), "a look tells what became of each");
}

/// What callers met while the server was down.
#[derive(Clone, Copy, Debug, Default)]
struct Met {
    acknowledged: usize,
    /// Of the answers that were failures.
    slowest: Duration,
    /// From the fall of the server to the first refusal that took no time.
    opened: Option<Duration>,
}

/// A server that refuses, or swallows everything, while a hundred calls a second go on: each ends within its time, none that was
/// acknowledged is lost, and none takes effect twice.
#[tokio::test(flavor = "multi_thread")]
async fn f14_the_server_is_down() {
    let _turn = TURN.write().await;
    let server = match Server::own(Topology::ReplicaSet) {
        Ok(server) => server,
        Err(why) => return println!("fault F14 SKIPPED: {why}"),
    };
    let scene = Arc::new(Scene::on(server).await);
    let (times, down) = if cycles() >= 200 { (5, Duration::from_secs(30)) } else { (1, Duration::from_secs(4)) };
    let (began, mut all, mut back) = (Instant::now(), Met::default(), Duration::ZERO);
    for (round, weather) in [Weather::Closed, Weather::Silent].into_iter().cycle().take(2 * times).enumerate() {
        let fell = Instant::now();
        let callers = (0..20).map(|n| {
            let scene = scene.clone();
            tokio::spawn(async move { scene.goes_on(&format!("r{round}-{n}"), fell, down).await })
        });
        let callers: Vec<_> = callers.collect();
        scene.proxy.set(weather);
        tokio::time::sleep(down).await;
        scene.proxy.set(Weather::Fair);
        let rose = Instant::now();
        scene.recovers().await;
        back = back.max(rose.elapsed());
        for caller in callers {
            let met = caller.await.unwrap();
            all.acknowledged += met.acknowledged;
            all.slowest = all.slowest.max(met.slowest);
            all.opened = all.opened.max(met.opened);
        }
    }
    let opened = all.opened.unwrap();
    assert!(opened < Duration::from_secs(5) && back < RECOVERY, "{opened:?} {back:?}");
    println!(
        "fault F14 seed=0 cycles={} acknowledged={} lost=0 split=0 seconds={:.1} slowest_answer={:.2} breaker_open={:.2} recovery={:.2}",
        2 * times,
        all.acknowledged,
        began.elapsed().as_secs_f64(),
        all.slowest.as_secs_f64(),
        opened.as_secs_f64(),
        back.as_secs_f64()
    );
}

impl Scene {
    /// Five changes a second of a document of its own until a while after the fault. What was acknowledged is there, and what was
    /// not is there at most once.
    async fn goes_on(&self, id: &str, fell: Instant, down: Duration) -> Met {
        let mut met = Met::default();
        let (mut told, mut unknown) = (0, 0);
        let mut beat = tokio::time::interval(Duration::from_millis(200));
        while fell.elapsed() < down + Duration::from_secs(3) {
            beat.tick().await;
            let began = Instant::now();
            let change = Patch::upsert(Sum {}).inc("x", 1);
            let answer = self.store.patch(&self.cx, id, change).await;
            let took = began.elapsed();
            match answer {
                Ok(_) => told += 1,
                Err(error) => {
                    met.slowest = met.slowest.max(took);
                    assert!(retried(&error, &mut unknown), "{error:?}");
                    if took < Duration::from_millis(20) && met.opened.is_none() {
                        met.opened = Some(fell.elapsed());
                    }
                }
            }
        }
        assert!(met.slowest <= PROMISED, "{:?}", met.slowest);
        let there = self.store.get::<Sum>(&self.cx, id).await.unwrap().map_or(0, |sum| sum.numbers["x"]);
        let there = usize::try_from(there).unwrap();
        assert!((told..=told + unknown).contains(&there), "{told} acknowledged, {unknown} unknown, {there} there");
        Met { acknowledged: told, ..met }
    }
}
