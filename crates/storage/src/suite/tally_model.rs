//! Section 1 for counters: random sequences of inserts, patches and removals against an ordered map.

use std::collections::BTreeMap;

use super::model::{Game, play};
use super::*;
use crate::{Numbers, Op, Patch, Removal, Test, standing};

const SEQUENCES: u64 = 1_000;
const IDS: [&str; 3] = ["a", "b", "c"];
const NAMES: [&str; 3] = ["x", "y", "z"];
const VALUES: [i64; 7] = [i64::MIN, -2, -1, 0, 1, 3, i64::MAX];
const REQUESTS: [&str; 4] = ["", "r1", "r2", "r3"];

#[derive(Clone, Debug)]
enum Call {
    Insert(&'static str, Vec<(&'static str, i64)>),
    /// No conditions = upsert.
    Patch {
        id: &'static str,
        tests: Option<Vec<(&'static str, Test)>>,
        ops: Vec<(&'static str, Op)>,
        request: (&'static str, u8),
    },
    Remove(&'static str),
    Get(&'static str),
}

#[derive(Debug, PartialEq)]
enum Answer {
    Numbers(Numbers, bool),
    Absent,
    Removed,
    Failed(&'static str, Option<Numbers>),
}

struct Tallies;

pub(super) async fn holds(world: &World) {
    play::<Tallies>(&world.store, world.scale.of(SEQUENCES)).await;
}

impl Game for Tallies {
    type Call = Call;

    fn draw(dice: &mut Dice) -> Call {
        let id = *dice.pick(&IDS);
        match dice.below(10) {
            0 => Call::Insert(id, vec![(*dice.pick(&NAMES), *dice.pick(&VALUES))]),
            1 => Call::Remove(id),
            2..4 => Call::Get(id),
            _ => Call::Patch { id, tests: tests(dice), ops: ops(dice), request: (*dice.pick(&REQUESTS), u8::from(dice.below(8) == 0)) },
        }
    }

    /// Leaves nothing, as the model of documents.
    async fn run(store: &Store, cx: Cx, calls: &[Call]) -> Option<String> {
        let ids = IDS.map(|id| (cx.tenant().clone(), id.to_owned())).to_vec();
        let difference = compared(store, cx, calls).await;
        store.expunge(&across(), const { &Tally::KIND }, ids).await.unwrap();
        difference
    }
}

async fn compared(store: &Store, cx: Cx, calls: &[Call]) -> Option<String> {
    let mut model = Model::default();
    for (at, call) in calls.iter().enumerate() {
        let (expected, actual) = (model.answer(call), ask(store, &cx, call).await);
        if actual != expected {
            return Some(format!("call {at} {call:?} answered {actual:?}, expected {expected:?}"));
        }
    }
    None
}

fn ops(dice: &mut Dice) -> Vec<(&'static str, Op)> {
    let mut ops = Vec::new();
    for name in NAMES {
        let op = *dice.pick(&[Op::Inc, Op::Set, Op::Max, Op::Min]);
        let value = *dice.pick(&VALUES);
        if dice.below(2) == 0 {
            ops.push((name, op(value)));
        }
    }
    ops
}

fn tests(dice: &mut Dice) -> Option<Vec<(&'static str, Test)>> {
    let drawn = |dice: &mut Dice| {
        let value = *dice.pick(&VALUES);
        let exists = Test::Exists(value > 0);
        let test =
            *dice.pick(&[Test::Equal(value), Test::Below(value), Test::AtMost(value), Test::Above(value), Test::AtLeast(value), exists]);
        (*dice.pick(&NAMES), test)
    };
    let count = dice.below(4);
    (count < 3).then(|| (0..count).map(|_| drawn(dice)).collect())
}

async fn ask(store: &Store, cx: &Cx, call: &Call) -> Answer {
    let answer = match call {
        Call::Insert(id, numbers) => {
            let change = numbers.iter().fold(Change::of(Tally::named("")), |change, (name, value)| change.number(name, *value));
            store.insert(cx, id, change).await
        }
        Call::Patch { id, tests, ops, request } => {
            let patch = match tests {
                Some(tests) => Patch::given(tests.iter().copied()),
                None => Patch::upsert(Tally::named("")),
            };
            let patch = ops.iter().fold(patch, |patch, (name, op)| patch.op(name, *op));
            store.patch(cx, id, patch.once(once(request.0, request.1))).await
        }
        Call::Remove(id) => {
            let Some(seen) = store.get::<Tally>(cx, id).await.unwrap() else { return Answer::Absent };
            store.remove(cx, &seen, Removal::new()).await.unwrap();
            return Answer::Removed;
        }
        Call::Get(id) => match store.get::<Tally>(cx, id).await.unwrap() {
            Some(seen) => Ok(seen),
            None => return Answer::Absent,
        },
    };
    match answer {
        Ok(seen) => {
            assert_eq!(seen.version, 1);
            Answer::Numbers(seen.numbers, seen.repeat)
        }
        Err(error) => Answer::Failed(error.reason(), standing(&error).cloned()),
    }
}

/// What the contract says, for one tenant.
#[derive(Default)]
struct Model(BTreeMap<&'static str, Document>);

#[derive(Clone, Default)]
struct Document {
    numbers: Numbers,
    met: Vec<(&'static str, u8)>,
}

impl Model {
    fn answer(&mut self, call: &Call) -> Answer {
        match call {
            Call::Insert(id, _) if self.0.contains_key(id) => Answer::Failed("ALREADY_EXISTS", None),
            Call::Insert(id, given) => {
                let numbers: Numbers = given.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
                self.0.insert(id, Document { numbers: numbers.clone(), met: Vec::new() });
                Answer::Numbers(numbers, false)
            }
            Call::Patch { id, tests, ops, request } => self.patch(id, tests.as_deref(), ops, *request),
            Call::Remove(id) => self.0.remove(id).map_or(Answer::Absent, |_| Answer::Removed),
            Call::Get(id) => self.0.get(id).map_or(Answer::Absent, |document| Answer::Numbers(document.numbers.clone(), false)),
        }
    }

    fn patch(
        &mut self,
        id: &'static str,
        tests: Option<&[(&'static str, Test)]>,
        ops: &[(&'static str, Op)],
        request: (&'static str, u8),
    ) -> Answer {
        let mut document = match (self.0.get(id), tests) {
            (Some(document), _) => document.clone(),
            (None, None) => Document::default(),
            (None, Some(_)) => return Answer::Failed("NOT_FOUND", None),
        };
        match document.met.iter().find(|(met, _)| *met == request.0) {
            Some((_, digest)) if *digest == request.1 => return Answer::Numbers(document.numbers, true),
            Some(_) => return Answer::Failed("REQUEST_ID_REUSED", None),
            None => {}
        }
        if tests.into_iter().flatten().any(|(name, test)| !passes(*test, document.numbers.get(*name))) {
            return Answer::Failed("CONDITION_FALSE", Some(document.numbers));
        }
        for (name, op) in ops {
            let old = document.numbers.get(*name).copied().map(i128::from);
            let new = match *op {
                Op::Inc(by) => old.unwrap_or(0) + i128::from(by),
                Op::Set(value) => value.into(),
                Op::Max(value) => old.unwrap_or(i128::MIN).max(value.into()),
                Op::Min(value) => old.unwrap_or(i128::MAX).min(value.into()),
            };
            let Ok(new) = i64::try_from(new) else { return Answer::Failed("NUMBER_OVERFLOW", None) };
            document.numbers.insert((*name).to_owned(), new);
        }
        document.met.extend(Some(request).filter(|(id, _)| !id.is_empty()));
        self.0.insert(id, document.clone());
        Answer::Numbers(document.numbers, false)
    }
}

fn passes(test: Test, number: Option<&i64>) -> bool {
    let Some(number) = number else { return test == Test::Exists(false) };
    match test {
        Test::Equal(other) => *number == other,
        Test::Below(other) => *number < other,
        Test::AtMost(other) => *number <= other,
        Test::Above(other) => *number > other,
        Test::AtLeast(other) => *number >= other,
        Test::Exists(there) => there,
    }
}
