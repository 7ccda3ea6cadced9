//! Power switches: whatever was acknowledged is there after the restart.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::faults::tell;
use crate::node::{Node, Person};
use crate::wires::{Caller, Wire};

/// How often the node dies in the middle of writes, unless `WIRE_CYCLES` says otherwise.
const CYCLES: u64 = 50;
/// The node dies after 1 to so many acknowledged writes.
const MOST_WRITES: u64 = 40;
/// Who writes what.
const LOADS: [Load; 8] = [Load::Profile, Load::Profile, Load::Profile, Load::Profile, Load::Apps, Load::Apps, Load::Refresh, Load::Refresh];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    /// Numbers the display name: one document replaced.
    Profile,
    /// Makes apps under request ids: a row of inserts in several tenants.
    Apps,
    /// Trades refresh tokens: a document whose next version depends on the one before.
    Refresh,
}

struct Writer {
    load: Load,
    person: Person,
    /// Number of the last acknowledged write.
    acknowledged: usize,
    apps: Vec<String>,
    /// What was acknowledged and is not there.
    lost: Vec<String>,
}

impl Writer {
    /// The write after the last acknowledged one.
    fn next(&self) -> (Caller, &'static str, Value) {
        let (caller, number) = (self.person.on(Wire::Grpc), self.acknowledged + 1);
        match self.load {
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
            Load::Profile => {}
            Load::Apps => self.apps.push(answer["app"]["name"].as_str().unwrap().to_owned()),
            Load::Refresh => self.person = Person::of(self.person.on(Wire::Grpc), answer),
        }
    }

    /// Writes until the node dies, and tells of every acknowledgement.
    async fn until_dead(mut self, killed: Arc<AtomicBool>, told: UnboundedSender<()>) -> Self {
        loop {
            let (caller, method, ask) = self.next();
            // A dead node's connection panics inside the client.
            match tokio::spawn(async move { caller.call(method, ask).await }).await {
                Ok(answer) => self.acknowledge(&answer.unwrap()),
                Err(_) => {
                    assert!(killed.load(Ordering::SeqCst), "a call broke off while the node lived");
                    return self;
                }
            }
            told.send(()).unwrap();
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
                self.acknowledged = found;
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
        self.lost.extend(self.apps.iter().filter(|app| !found.contains(*app)).cloned());
        assert_eq!(found.len(), self.apps.iter().collect::<HashSet<_>>().len() + self.lost.len(), "a repeat made a second app");
    }
}

/// Numbers that look random and come again with the seed (xorshift).
struct Dice(u64);

impl Dice {
    fn up_to(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        1 + self.0 % most
    }
}

/// A number from the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_node_is_killed() {
    let (cycles, seed, began) = (setting("WIRE_CYCLES", CYCLES), setting("WIRE_SEED", 1), Instant::now());
    let mut dice = Dice(seed.max(1));
    let mut node = Node::start();
    let mut writers = Vec::new();
    for (n, load) in LOADS.into_iter().enumerate() {
        let person = node.person(&format!("p{n}@example.com")).await;
        writers.push(Writer { load, person, acknowledged: 0, apps: vec![], lost: vec![] });
    }
    let (mut acknowledged, mut slowest) = (0, Duration::ZERO);
    for _ in 0..cycles {
        let (killed, (told, mut heard)) = (Arc::new(AtomicBool::new(false)), unbounded_channel());
        let running: Vec<_> = writers.drain(..).map(|writer| tokio::spawn(writer.until_dead(killed.clone(), told.clone()))).collect();
        drop(told);
        for _ in 0..dice.up_to(MOST_WRITES) {
            heard.recv().await.unwrap();
            acknowledged += 1;
        }
        killed.store(true, Ordering::SeqCst);
        let dead = Instant::now();
        node = node.killed_and_restarted();
        slowest = slowest.max(dead.elapsed());
        for writer in running {
            let mut writer = writer.await.unwrap();
            writer.compare(&node).await;
            writers.push(writer);
        }
        while heard.recv().await.is_some() {
            acknowledged += 1;
        }
    }
    for writer in writers.iter_mut().filter(|writer| writer.load == Load::Apps) {
        writer.compare_apps().await;
    }
    let lost: Vec<&String> = writers.iter().flat_map(|writer| &writer.lost).collect();
    tell(&format!(
        "fault F1 seed={seed} cycles={cycles} acknowledged={acknowledged} lost={} seconds={:.1} slowest_start_milliseconds={}",
        lost.len(),
        began.elapsed().as_secs_f32(),
        slowest.as_millis()
    ));
    assert_eq!(lost, Vec::<&String>::new());
    assert!(acknowledged >= cycles, "only {acknowledged} acknowledged writes were exercised");
}
