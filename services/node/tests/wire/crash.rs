//! Power switches: whatever was acknowledged is there after the restart.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::faults::tell;
use crate::lossy::database::Copied;
use crate::node::{Node, PASSWORD, Person};
use crate::wires::{Caller, Wire};

/// How often the node dies in the middle of writes, unless `WIRE_CYCLES` says otherwise.
const CYCLES: u64 = 50;
/// The node dies after 1 to so many acknowledged writes.
const MOST_WRITES: u64 = 40;
/// A start after a crash takes at most so long until the node says that it is ready.
const READY: Duration = Duration::from_secs(2);
/// Changes of one person: a document takes up to 32 events that nobody has heard.
const MOST_EVENTS: usize = 24;
/// Nobody hears of events, so that they can be counted: those who would look for them cannot.
pub const UNHEARD: (&str, &str) = ("FAILPOINTS", "storage::claim=return(unavailable)");
/// The code of an answer that says to ask again.
const UNAVAILABLE: i32 = 14;
/// Who writes what.
const LOADS: [Load; 8] = [Load::Profile, Load::Profile, Load::Profile, Load::Profile, Load::Apps, Load::Apps, Load::Refresh, Load::Refresh];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    /// Numbers the display name: one document replaced, with its event; now and then somebody new.
    Profile,
    /// Makes apps under request ids: a row of inserts in several tenants.
    Apps,
    /// Trades refresh tokens: a document whose next version depends on the one before.
    Refresh,
}

struct Writer {
    name: String,
    load: Load,
    person: Person,
    /// Whether they ask again, for the same, when the node could not answer.
    insists: bool,
    /// Number of the last acknowledged write, of this person where it numbers them.
    acknowledged: usize,
    /// How many people they have been.
    people: usize,
    apps: Vec<String>,
    /// Answers that only said to ask again.
    refusals: u64,
    /// What was acknowledged and is not there.
    lost: Vec<String>,
}

impl Writer {
    /// The write after the last acknowledged one.
    fn next(&self) -> (Caller, &'static str, Value) {
        let (caller, number) = (self.person.on(Wire::Grpc), self.acknowledged + 1);
        match self.load {
            Load::Profile if number > MOST_EVENTS => {
                let id = format!("{}-{}", self.name, self.people);
                let ask = json!({ "parent": "apps/platform", "email": format!("{id}@example.com"), "password": PASSWORD, "requestId": id });
                (caller.without_bearer(), "AuthService/Register", ask)
            }
            Load::Profile => {
                let user = json!({ "profile": { "displayName": number.to_string() } });
                (caller, "MeService/UpdateMe", json!({ "name": "apps/platform/me", "user": user, "updateMask": "profile.displayName" }))
            }
            Load::Apps => {
                let ask = json!({ "app": { "displayName": number.to_string() }, "requestId": format!("app-{number}") });
                (caller, "AppsService/CreateApp", ask)
            }
            Load::Refresh => {
                let ask = json!({ "parent": "apps/platform", "refreshToken": self.person.refresh_token });
                (caller.without_bearer(), "AuthService/RefreshSession", ask)
            }
        }
    }

    fn acknowledge(&mut self, answer: &Value) {
        self.acknowledged += 1;
        match self.load {
            Load::Profile if self.acknowledged > MOST_EVENTS => {
                self.person = Person::of(self.person.on(Wire::Grpc), answer);
                (self.people, self.acknowledged) = (self.people + 1, 0);
            }
            Load::Profile => {}
            Load::Apps => self.apps.push(answer["app"]["name"].as_str().unwrap().to_owned()),
            Load::Refresh => self.person = Person::of(self.person.on(Wire::Grpc), answer),
        }
    }

    /// Writes until the node fails, and tells of every acknowledgement; whoever insists writes until it is over.
    async fn until_over(mut self, over: Arc<AtomicBool>, told: UnboundedSender<()>) -> Self {
        loop {
            let (caller, method, ask) = self.next();
            // A dead node's connection panics inside the client.
            match tokio::spawn(async move { caller.call(method, ask).await }).await {
                Ok(Ok(answer)) => self.acknowledge(&answer),
                Ok(Err(failure)) if self.insists && failure.code == UNAVAILABLE && !over.load(Ordering::SeqCst) => {
                    self.refusals += 1;
                    continue;
                }
                failed => {
                    assert!(over.load(Ordering::SeqCst), "a call failed while the node lived: {failed:?}");
                    return self;
                }
            }
            told.send(()).unwrap();
            if self.insists && over.load(Ordering::SeqCst) {
                return self;
            }
        }
    }

    /// Compares with what is there after the restart, and takes up what was not acknowledged.
    async fn compare(&mut self, node: &Node) {
        self.person = self.person.at(node);
        // Whatever token was acknowledged last is good. The second one ends the row of answers that seemed lost.
        for _ in 0..2 {
            match self.person.refresh().await {
                Ok(person) => self.person = person,
                Err(failure) => return self.lost.push(format!("refresh {}: {failure:?}", self.acknowledged)),
            }
        }
        match self.load {
            Load::Profile => {
                let me = self.person.get_me().await.unwrap();
                let found: usize = me["user"]["profile"]["displayName"].as_str().unwrap_or("0").parse().unwrap();
                if ![self.acknowledged, self.acknowledged + 1].contains(&found) {
                    self.lost.push(format!("profile {}: found {found}", self.acknowledged));
                }
                self.acknowledged = found.min(MOST_EVENTS);
            }
            Load::Apps => {
                // The interrupted one is finished by its repeat, and is whole: it can be entered, and its key signs.
                let (caller, method, ask) = self.next();
                self.acknowledge(&caller.call(method, ask).await.unwrap());
                let name = self.apps.last().unwrap();
                let inside = self.person.entering(name.trim_start_matches("apps/")).await;
                assert_eq!(inside.call("AppsService/GetApp", json!({ "name": name })).await.unwrap()["app"]["name"], json!(name));
            }
            Load::Refresh => {}
        }
    }

    /// Every app that was acknowledged, against the list.
    async fn compare_apps(&mut self) {
        let (mut found, mut token) = (HashSet::new(), json!(""));
        loop {
            let page = self.person.call("AppsService/ListApps", json!({ "pageToken": token })).await.unwrap();
            found.extend(page["apps"].as_array().into_iter().flatten().map(|app| app["name"].as_str().unwrap().to_owned()));
            token = page["nextPageToken"].clone();
            if token.is_null() {
                break;
            }
        }
        let told: HashSet<String> = self.apps.iter().cloned().collect();
        self.lost.extend(told.difference(&found).cloned());
        assert_eq!(found.difference(&told).count(), 0, "a repeat made a second app");
    }
}

/// Everybody who writes, and what they were told.
pub struct Writers {
    all: Vec<Writer>,
    pub acknowledged: u64,
}

impl Writers {
    pub async fn of(node: &Node) -> Self {
        let mut all = Vec::new();
        for (n, load) in LOADS.into_iter().enumerate() {
            let name = format!("p{n}");
            let person = node.person(&format!("{name}@example.com")).await;
            let (apps, lost) = (vec![], vec![]);
            all.push(Writer { name, load, person, insists: false, acknowledged: 0, people: 0, apps, refusals: 0, lost });
        }
        Self { all, acknowledged: 0 }
    }

    /// From now on they ask again when the node could not answer.
    pub fn insist(&mut self) {
        self.all.iter_mut().for_each(|writer| writer.insists = true);
    }

    /// How often they had to.
    pub fn refusals(&self) -> u64 {
        self.all.iter().map(|writer| writer.refusals).sum()
    }

    /// The node has moved.
    pub fn follow(&mut self, node: &Node) {
        self.all.iter_mut().for_each(|writer| writer.person = writer.person.at(node));
    }

    /// They all write until the node fails them, which it may once it is `over`.
    pub fn begin(&mut self, over: &Arc<AtomicBool>) -> Writing {
        let (told, heard) = unbounded_channel();
        let tasks = self.all.drain(..).map(|writer| tokio::spawn(writer.until_over(over.clone(), told.clone()))).collect();
        Writing { tasks, heard, acknowledged: 0 }
    }

    /// Waits until all have been failed.
    pub async fn end(&mut self, mut writing: Writing) {
        for task in writing.tasks {
            self.all.push(task.await.unwrap());
        }
        while writing.heard.recv().await.is_some() {
            writing.acknowledged += 1;
        }
        self.acknowledged += writing.acknowledged;
    }

    /// Compares what they were told with what is there.
    pub async fn compare(&mut self, node: &Node) {
        for writer in &mut self.all {
            writer.compare(node).await;
        }
    }

    /// What was acknowledged and is not there, when all is done.
    pub async fn lost(&mut self) -> Vec<String> {
        for writer in self.all.iter_mut().filter(|writer| writer.load == Load::Apps) {
            writer.compare_apps().await;
        }
        self.all.iter().flat_map(|writer| writer.lost.clone()).collect()
    }
}

/// The writers at work.
pub struct Writing {
    tasks: Vec<JoinHandle<Writer>>,
    heard: UnboundedReceiver<()>,
    acknowledged: u64,
}

impl Writing {
    /// Waits for the next acknowledgement.
    pub async fn acknowledgement(&mut self) {
        self.heard.recv().await.unwrap();
        self.acknowledged += 1;
    }
}

/// Numbers that look random and come again with the seed (xorshift).
pub struct Dice(u64);

impl Dice {
    pub fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1))
    }

    pub fn up_to(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        1 + (self.0 >> 11) % most
    }
}

/// A number from the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_node_is_killed() {
    let (cycles, seed, began) = (setting("WIRE_CYCLES", CYCLES), setting("WIRE_SEED", 1), Instant::now());
    let mut dice = Dice::of(seed);
    let mut node = Node::start_with(&[UNHEARD]);
    let mut writers = Writers::of(&node).await;
    let (mut split, mut starts) = (Vec::new(), Vec::new());
    for _ in 0..cycles {
        let over = Arc::new(AtomicBool::new(false));
        let mut writing = writers.begin(&over);
        for _ in 0..dice.up_to(MOST_WRITES) {
            writing.acknowledgement().await;
        }
        over.store(true, Ordering::SeqCst);
        let folder = node.killed();
        writers.end(writing).await;
        let copied = Copied::of(&folder);
        assert_eq!(copied.integrity(), "ok");
        split.extend(copied.split());
        let dead = Instant::now();
        node = Node::on(folder, &[UNHEARD]);
        node.until_ready();
        starts.push(dead.elapsed());
        writers.compare(&node).await;
    }
    let lost = writers.lost().await;
    let slowest = starts.into_iter().max().unwrap();
    tell(&format!(
        "fault F1 seed={seed} cycles={cycles} acknowledged={} lost={} split={} seconds={:.1} slowest_start_milliseconds={}",
        writers.acknowledged,
        lost.len(),
        split.len(),
        began.elapsed().as_secs_f32(),
        slowest.as_millis()
    ));
    assert_eq!((lost, split), (vec![], vec![]));
    assert!(writers.acknowledged >= cycles, "only {} acknowledged writes were exercised", writers.acknowledged);
    assert!(slowest <= READY, "a start took {slowest:?}");
}
