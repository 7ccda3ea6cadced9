//! Section 1: random sequences of calls against an ordered map. A failing sequence is made shorter before it is shown.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::{Ack, Claimed, Count, Envelope, Life, Removal, taken};

const SEQUENCES: u64 = 2_000;
const CALLS: usize = 50;
/// Sequences that run side by side, each in a tenant of its own.
const BESIDE: u64 = 40;
const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];
const EMAILS: [Option<&str>; 4] = [None, Some("a@x"), Some("b@x"), Some("c@x")];
const STATES: [Option<&str>; 3] = [None, Some("off"), Some("on")];

#[derive(Clone, Debug)]
enum Call {
    Insert(&'static str, Item, usize),
    Replace(&'static str, Item, usize, usize),
    Remove(&'static str, usize, usize),
    Get(&'static str),
    Find(&'static str, bool, usize),
    Count(&'static str, usize),
    /// Of all tenants, and seen by none.
    Sweep,
    /// What waits in each document, removed ones included.
    Outbox,
    /// Leases documents of all tenants; those of this one are compared.
    Claim,
    /// The oldest events of a document, as if they had been published.
    Ack(&'static str, usize),
}

#[derive(Debug, PartialEq)]
enum Answer {
    Version(i64),
    Removed,
    Document(Option<(i64, Item)>),
    Ids(Vec<String>),
    Count(Count),
    /// By id: how many events, and whether the document was removed.
    Waiting(Vec<(String, usize, bool)>),
    Failed(&'static str, Option<String>),
    Skipped,
}

/// Calls to a store and what they are compared with.
pub(super) trait Game: 'static {
    type Call: Clone + Debug + Send + Sync;

    fn draw(dice: &mut Dice) -> Self::Call;

    /// The first difference between store and model, in a tenant of its own.
    fn run(store: &Store, cx: Cx, calls: &[Self::Call]) -> impl Future<Output = Option<String>> + Send;
}

pub(super) async fn holds(world: &World) {
    play::<Documents>(&world.store, world.scale.of(SEQUENCES)).await;
}

pub(super) async fn play<G: Game>(store: &Store, sequences: u64) {
    let seeds: Vec<_> = (0..sequences).collect();
    for beside in seeds.chunks(usize::try_from(BESIDE).unwrap()) {
        let runs = beside.iter().map(|seed| tokio::spawn(check::<G>(store.clone(), *seed)));
        for run in runs.collect::<Vec<_>>() {
            run.await.unwrap();
        }
    }
}

async fn check<G: Game>(store: Store, seed: u64) {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let fresh = || cx(&format!("model-{}", RUNS.fetch_add(1, Ordering::Relaxed)));
    let mut dice = Dice(seed);
    let mut calls: Vec<_> = (0..CALLS).map(|_| G::draw(&mut dice)).collect();
    let Some(mut difference) = G::run(&store, fresh(), &calls).await else { return };
    let mut at = 0;
    while at < calls.len() {
        let mut fewer = calls.clone();
        fewer.remove(at);
        match G::run(&store, fresh(), &fewer).await {
            Some(found) => (calls, difference) = (fewer, found),
            None => at += 1,
        }
    }
    panic!("seed {seed}: {difference} after {calls:#?}");
}

/// Ordinary documents.
struct Documents;

impl Game for Documents {
    type Call = Call;

    fn draw(dice: &mut Dice) -> Call {
        draw(dice)
    }

    /// Leaves nothing: calls for all tenants would take the longer the more sequences there were before.
    async fn run(store: &Store, cx: Cx, calls: &[Call]) -> Option<String> {
        let ids = IDS.map(|id| (cx.tenant().clone(), id.to_owned())).to_vec();
        let difference = run(store, cx, calls).await;
        store.expunge(&across(), kind(), ids).await.unwrap();
        difference
    }
}

fn draw(dice: &mut Dice) -> Call {
    let id = *dice.pick(&IDS);
    let item = Item {
        email: dice.pick(&EMAILS).map(str::to_owned),
        state: dice.pick(&STATES).map(str::to_owned),
        rank: Some(i64::try_from(dice.below(3)).unwrap()),
        expires: (dice.below(6) == 0).then_some(1),
        text: dice.below(1_000).to_string(),
    };
    let events = usize::try_from(dice.below(12) / 10 * 3).unwrap();
    let back = usize::try_from(dice.below(8) / 7).unwrap();
    match dice.below(16) {
        12 => Call::Outbox,
        13 => Call::Claim,
        14..16 => Call::Ack(id, 1 + usize::try_from(dice.below(4)).unwrap()),
        10 => Call::Count(if dice.below(2) == 0 { "on" } else { "off" }, usize::try_from(dice.below(4)).unwrap()),
        11 => Call::Sweep,
        0..3 => Call::Insert(id, item, events),
        3..6 => Call::Replace(id, item, events, back),
        6 => Call::Remove(id, events, back),
        7 => Call::Find(if dice.below(2) == 0 { "on" } else { "off" }, dice.below(2) == 0, 1 + usize::try_from(dice.below(3)).unwrap()),
        _ => Call::Get(id),
    }
}

async fn run(store: &Store, cx: Cx, calls: &[Call]) -> Option<String> {
    let (mut model, mut seen) = (Model::default(), Vec::<Seen<Item>>::new());
    for (at, call) in calls.iter().enumerate() {
        let picked = match call {
            Call::Replace(id, _, _, back) | Call::Remove(id, _, back) => seen.iter().rev().filter(|s| s.id == *id).nth(*back).cloned(),
            _ => None,
        };
        let expected = model.answer(call, picked.as_ref().map(|picked| picked.version));
        let actual = ask(store, &cx, call, picked, &mut seen).await;
        if actual != expected {
            return Some(format!("call {at} {call:?} answered {actual:?}, expected {expected:?}"));
        }
    }
    None
}

async fn ask(store: &Store, cx: &Cx, call: &Call, picked: Option<Seen<Item>>, seen: &mut Vec<Seen<Item>>) -> Answer {
    let with = |item: &Item, events: usize| (0..events).fold(Change::of(item.clone()), |change, _| change.event(event()));
    let written = |answer: Result<Seen<Item>>, seen: &mut Vec<Seen<Item>>| match answer {
        Ok(written) => {
            seen.push(written.clone());
            Answer::Version(written.version)
        }
        Err(error) => failed(&error),
    };
    match (call, picked) {
        (Call::Insert(id, item, events), _) => written(store.insert(cx, id, with(item, *events)).await, seen),
        (Call::Replace(_, item, events, _), Some(from)) => written(store.replace(cx, &from, with(item, *events)).await, seen),
        (Call::Remove(_, events, _), Some(from)) => {
            let removal = (0..*events).fold(Removal::new(), |removal, _| removal.event(event()));
            store.remove(cx, &from, removal).await.map_or_else(|error| failed(&error), |()| Answer::Removed)
        }
        (Call::Get(id), _) => Answer::Document(store.get::<Item>(cx, id).await.unwrap().map(|seen| (seen.version, seen.body))),
        (Call::Find(state, descending, size), _) => {
            let found = every::<Item>(store, cx, *size, Find { descending: *descending, ..in_state(state, &ANY) }).await;
            Answer::Ids(found.into_iter().map(|seen| seen.id).collect())
        }
        (Call::Count(state, cap), _) => Answer::Count(store.count::<Item>(cx, "state_rank", vec![Key::from(*state)], *cap).await.unwrap()),
        (Call::Sweep, _) => {
            store.sweep(&across(), 20).await.unwrap();
            Answer::Skipped
        }
        (Call::Outbox, _) => Answer::Waiting(waiting(store, cx).await.iter().map(counted).collect()),
        (Call::Claim, _) => {
            let claimed = store.claim(&across(), kind(), 8, Duration::from_secs(1)).await.unwrap();
            Answer::Waiting(claimed_unlike(claimed, &waiting(store, cx).await, cx))
        }
        (Call::Ack(id, count), _) => acknowledge(store, cx, id, *count).await,
        (_, None) => Answer::Skipped,
    }
}

fn kind() -> &'static Collection {
    const { &Item::KIND }
}

/// The documents of this tenant that have events.
async fn waiting(store: &Store, cx: &Cx) -> Vec<Envelope> {
    let tenant = cx.tenant().to_string();
    let page = store.export(&across(), kind(), Some((tenant.clone(), String::new())), IDS.len()).await.unwrap();
    let ours = page.into_iter().filter(|envelope| envelope.tenant == tenant);
    let (loud, quiet): (Vec<_>, Vec<_>) = ours.partition(|envelope| envelope.publish.is_some());
    assert!(loud.iter().all(|envelope| !envelope.events.is_empty()) && quiet.iter().all(|envelope| envelope.events.is_empty()));
    loud
}

fn counted(envelope: &Envelope) -> (String, usize, bool) {
    (envelope.id.clone(), envelope.events.len(), envelope.life != Life::Present)
}

/// Claims of this tenant that are not what waits there; none of them is right.
fn claimed_unlike(claimed: Vec<Claimed>, waiting: &[Envelope], cx: &Cx) -> Vec<(String, usize, bool)> {
    let same = |claim: &Claimed| waiting.iter().any(|envelope| envelope.id == claim.id && envelope.events == claim.events);
    let unlike = claimed.into_iter().filter(|claim| claim.tenant == *cx.tenant() && !same(claim));
    unlike.map(|claim| (claim.id, claim.events.len(), false)).collect()
}

async fn acknowledge(store: &Store, cx: &Cx, id: &str, count: usize) -> Answer {
    let Some(envelope) = waiting(store, cx).await.into_iter().find(|envelope| envelope.id == id) else { return Answer::Skipped };
    let versions: Vec<_> = envelope.events.iter().map(|event| event.version).collect();
    assert!(versions.is_sorted(), "events wait in their order");
    let events = envelope.events.into_iter().take(count).map(|event| event.id).collect();
    let lease = Time::from_micros(envelope.publish.unwrap());
    let ack = Ack { tenant: cx.tenant().clone(), id: id.to_owned(), lease, events };
    store.ack(&across(), kind(), vec![ack]).await.map_or_else(|error| failed(&error), |()| Answer::Skipped)
}

fn failed(error: &Error) -> Answer {
    Answer::Failed(error.reason(), taken(error).map(str::to_owned))
}

/// What the contract says, for one tenant. An `expires` of 1 is always past: such a document is written and gone.
#[derive(Default)]
struct Model(BTreeMap<&'static str, Document>);

struct Document {
    version: i64,
    item: Option<Item>,
    events: usize,
}

impl Document {
    fn present(&self) -> Option<&Item> {
        self.item.as_ref().filter(|item| item.expires.is_none())
    }

    fn swept(&self) -> bool {
        self.events == 0 && self.item.as_ref().is_some_and(|item| item.expires.is_some())
    }
}

impl Model {
    fn answer(&mut self, call: &Call, seen: Option<i64>) -> Answer {
        match (call, seen) {
            (Call::Insert(id, item, events), _) => self.insert(id, item, *events),
            (Call::Replace(id, item, events, _), Some(seen)) => self.replace(id, item, *events, seen),
            (Call::Remove(id, events, _), Some(seen)) => self.remove(id, *events, seen),
            (Call::Get(id), _) => {
                let found = self.0.get(id).and_then(|document| Some((document.version, document.present()?.clone())));
                Answer::Document(found)
            }
            (Call::Find(state, descending, _), _) => Answer::Ids(self.find(state, *descending)),
            (Call::Count(state, cap), _) => {
                let count = self.find(state, false).len();
                Answer::Count(if count > *cap { Count::MoreThan(*cap) } else { Count::Exactly(count) })
            }
            (Call::Outbox, _) => {
                let waiting = self.0.iter().filter(|(_, document)| document.events > 0);
                Answer::Waiting(waiting.map(|(id, document)| ((*id).to_owned(), document.events, document.item.is_none())).collect())
            }
            (Call::Claim, _) => Answer::Waiting(Vec::new()),
            (Call::Ack(id, count), _) => {
                if let Some(document) = self.0.get_mut(id) {
                    document.events = document.events.saturating_sub(*count);
                    if document.events == 0 && document.item.is_none() {
                        self.0.remove(id);
                    }
                }
                Answer::Skipped
            }
            (Call::Sweep, _) | (_, None) => Answer::Skipped,
        }
    }

    fn insert(&mut self, id: &'static str, item: &Item, events: usize) -> Answer {
        if self.0.get(id).is_some_and(|document| !document.swept()) {
            return exists("_id");
        }
        self.write(id, item, Document { version: 1, item: None, events })
    }

    fn replace(&mut self, id: &'static str, item: &Item, events: usize, seen: i64) -> Answer {
        match self.writable(id, events, seen) {
            Ok(document) => self.write(id, item, document),
            Err(failure) => failure,
        }
    }

    fn remove(&mut self, id: &'static str, events: usize, seen: i64) -> Answer {
        match self.writable(id, events, seen) {
            Ok(document) if document.events == 0 => drop(self.0.remove(id)),
            Ok(document) => drop(self.0.insert(id, document)),
            Err(failure) => return failure,
        }
        Answer::Removed
    }

    fn writable(&self, id: &str, events: usize, seen: i64) -> Result<Document, Answer> {
        let document = self.0.get(id).filter(|document| document.present().is_some());
        let document = document.ok_or(Answer::Failed("NOT_FOUND", None))?;
        if document.version != seen {
            return Err(Answer::Failed("VERSION_STALE", None));
        }
        if document.events + events > 32 {
            return Err(Answer::Failed("OUTBOX_FULL", None));
        }
        Ok(Document { version: seen + 1, item: None, events: document.events + events })
    }

    fn write(&mut self, id: &'static str, item: &Item, document: Document) -> Answer {
        let holds = |(other, held): &(&&str, &Document)| **other != id && held.item.as_ref().is_some_and(|held| held.email == item.email);
        let holder = self.0.iter().filter(|_| item.email.is_some()).find(holds).map(|(other, held)| (*other, held.swept()));
        match holder {
            Some((_, false)) => return exists("email"),
            Some((other, true)) => drop(self.0.remove(other)),
            None => {}
        }
        let version = document.version;
        self.0.insert(id, Document { item: Some(item.clone()), ..document });
        Answer::Version(version)
    }

    fn find(&self, state: &str, descending: bool) -> Vec<String> {
        let listed = self.0.iter().filter_map(|(id, document)| Some((document.present()?, id)));
        let mut listed: Vec<_> =
            listed.filter(|(item, _)| item.state.as_deref() == Some(state)).map(|(item, id)| (item.rank, (*id).to_owned())).collect();
        listed.sort();
        if descending {
            listed.reverse();
        }
        listed.into_iter().map(|(_, id)| id).collect()
    }
}

fn exists(index: &str) -> Answer {
    Answer::Failed("ALREADY_EXISTS", Some(index.to_owned()))
}
