//! Counters: numbers beside a body, the operations that change them and the conditions on which they do. No I/O.

use std::collections::BTreeMap;

use kernel::{Error, Result, Time};

use crate::change::{Event, Once};
use crate::record::is_field_name;

/// Most numbers of a document.
pub const MAX_NUMBERS: usize = 100;
/// Longest name of a number.
const MAX_NUMBER_NAME_BYTES: usize = 64;

/// The numbers of a counter by name, `[a-z][a-z0-9_]*` of at most 64 bytes; at most 100.
pub type Numbers = BTreeMap<String, i64>;

/// What happens to one number. On an absent one each operation leaves its own value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Adds; a negative value takes away.
    Inc(i64),
    /// Takes the place of what was there.
    Set(i64),
    /// Keeps the greater.
    Max(i64),
    /// Keeps the smaller.
    Min(i64),
}

/// What a number must be. An absent one passes `Exists(false)` alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// `=`
    Equal(i64),
    /// `<`
    Below(i64),
    /// `<=`
    AtMost(i64),
    /// `>`
    Above(i64),
    /// `>=`
    AtLeast(i64),
    /// Whether it is there.
    Exists(bool),
}

impl Test {
    fn passes(self, number: Option<i64>) -> bool {
        match self {
            Self::Equal(other) => number.is_some_and(|number| number == other),
            Self::Below(other) => number.is_some_and(|number| number < other),
            Self::AtMost(other) => number.is_some_and(|number| number <= other),
            Self::Above(other) => number.is_some_and(|number| number > other),
            Self::AtLeast(other) => number.is_some_and(|number| number >= other),
            Self::Exists(there) => number.is_some() == there,
        }
    }
}

/// Operations on the numbers of one counter, applied together or not at all. Version and body stay.
#[derive(Clone, Debug)]
pub struct Patch<T> {
    pub(crate) given: Given<T>,
    pub(crate) ops: Vec<(String, Op)>,
    pub(crate) due: Option<Time>,
    pub(crate) events: Vec<Event>,
    pub(crate) once: Option<Once>,
}

/// When a patch is applied. Conditions and upsert exclude each other: an upsert whose condition fails looks like a race.
#[derive(Clone, Debug)]
pub(crate) enum Given<T> {
    /// When the document is there and all of these hold.
    Conditions(Vec<(String, Test)>),
    /// In any case; where no document is, one with this body is made.
    Upsert(T),
}

impl<T> Patch<T> {
    /// A patch of a document that is there and whose numbers pass all these tests; none = always.
    pub fn given<'a>(tests: impl IntoIterator<Item = (&'a str, Test)>) -> Self {
        Self::when(Given::Conditions(tests.into_iter().map(|(name, test)| (name.to_owned(), test)).collect()))
    }

    /// A patch that makes the document with this body where none is.
    pub fn upsert(body: T) -> Self {
        Self::when(Given::Upsert(body))
    }

    fn when(given: Given<T>) -> Self {
        Self { given, ops: Vec::new(), due: None, events: Vec::new(), once: None }
    }

    /// Adds an operation; each number has one.
    #[must_use]
    pub fn op(mut self, number: &str, op: Op) -> Self {
        self.ops.push((number.to_owned(), op));
        self
    }

    /// Adds to a number.
    #[must_use]
    pub fn inc(self, number: &str, by: i64) -> Self {
        self.op(number, Op::Inc(by))
    }

    /// Sees to it that the document wants attention at this time, unless it does earlier.
    #[must_use]
    pub fn due(mut self, at: Time) -> Self {
        self.due = Some(at);
        self
    }

    /// Adds an event.
    #[must_use]
    pub fn event(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }

    /// Gives the request id, if the caller sent one: where it is remembered nothing is applied.
    #[must_use]
    pub fn once(mut self, once: Option<Once>) -> Self {
        self.once = once;
        self
    }
}

/// Refuses names that not every engine could keep and two operations on one number. Errors: `NUMBERS_INVALID`.
pub(crate) fn check_names<'a>(names: impl Iterator<Item = &'a String> + Clone) -> Result<()> {
    let well_named = |name: &String| name.len() <= MAX_NUMBER_NAME_BYTES && is_field_name(name);
    let distinct = names.clone().collect::<std::collections::BTreeSet<_>>().len() == names.clone().count();
    if names.clone().all(well_named) && distinct {
        return check_count(names.count());
    }
    Err(Error::invalid("NUMBERS_INVALID", "a number is not named [a-z][a-z0-9_]{0,63}, or stands twice"))
}

fn check_count(count: usize) -> Result<()> {
    if count <= MAX_NUMBERS {
        return Ok(());
    }
    Err(Error::invalid("NUMBERS_INVALID", format!("a counter has at most {MAX_NUMBERS} numbers")))
}

/// Errors: `CONDITION_FALSE` with the numbers as they are.
pub(crate) fn admit(conditions: &[(String, Test)], numbers: &Numbers) -> Result<()> {
    match conditions.iter().find(|(name, test)| !test.passes(numbers.get(name).copied())) {
        None => Ok(()),
        Some((name, test)) => {
            let error = Error::refused("CONDITION_FALSE", format!("the condition {test:?} on {name} does not hold"));
            Err(error.because(Standing(numbers.clone())))
        }
    }
}

/// The numbers after the operations. Errors: `NUMBER_OVERFLOW`, `NUMBERS_INVALID` when they are too many.
pub(crate) fn apply(mut numbers: Numbers, ops: &[(String, Op)]) -> Result<Numbers> {
    for (name, op) in ops {
        let next = match (numbers.get(name).copied(), *op) {
            (_, Op::Set(value)) | (None, Op::Inc(value) | Op::Max(value) | Op::Min(value)) => Some(value),
            (Some(old), Op::Inc(by)) => old.checked_add(by),
            (Some(old), Op::Max(value)) => Some(old.max(value)),
            (Some(old), Op::Min(value)) => Some(old.min(value)),
        };
        let next = next.ok_or_else(|| Error::refused("NUMBER_OVERFLOW", format!("{name} would leave the range of its type")))?;
        numbers.insert(name.clone(), next);
    }
    check_count(numbers.len())?;
    Ok(numbers)
}

/// The numbers that stood when a patch was refused with `CONDITION_FALSE`.
pub fn standing(error: &Error) -> Option<&Numbers> {
    std::error::Error::source(error)?.downcast_ref::<Standing>().map(|standing| &standing.0)
}

#[derive(Debug)]
struct Standing(Numbers);

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the numbers are {:?}", self.0)
    }
}

impl std::error::Error for Standing {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn numbers(of: &[(&str, i64)]) -> Numbers {
        of.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect()
    }

    #[test]
    fn operations_are_checked_and_apply_to_absent_numbers() {
        let ops = |op| [("x".to_owned(), op)];
        let cases = [
            (Op::Inc(-3), Some(2), -3),
            (Op::Set(7), Some(7), 7),
            (Op::Max(4), Some(5), 4),
            (Op::Min(4), Some(4), 4),
            (Op::Inc(i64::MAX - 5), Some(i64::MAX), i64::MAX - 5),
            (Op::Inc(i64::MAX - 4), None, i64::MAX - 4),
        ];
        for (op, present, absent) in cases {
            let after = apply(numbers(&[("x", 5), ("y", 1)]), &ops(op));
            assert_eq!(after.as_ref().ok().map(|after| (after["x"], after["y"])), present.map(|x| (x, 1)), "{op:?}");
            assert!(after.is_ok() || after.unwrap_err().reason() == "NUMBER_OVERFLOW");
            assert_eq!(apply(Numbers::new(), &ops(op)).unwrap(), numbers(&[("x", absent)]), "{op:?}");
        }
    }

    #[test]
    fn tests_pass_on_their_side_of_the_value_and_never_on_an_absent_number() {
        let passes = |test: fn(i64) -> Test| [4, 5, 6].map(|number| test(5).passes(Some(number)));
        assert_eq!(passes(Test::Equal), [false, true, false]);
        assert_eq!(passes(Test::Below), [true, false, false]);
        assert_eq!(passes(Test::AtMost), [true, true, false]);
        assert_eq!(passes(Test::Above), [false, false, true]);
        assert_eq!(passes(Test::AtLeast), [false, true, true]);
        let absent = [Test::Equal(0), Test::Below(0), Test::AtMost(0), Test::Above(0), Test::AtLeast(0), Test::Exists(true)];
        assert!(absent.iter().all(|test| !test.passes(None)));
        assert!(Test::Exists(false).passes(None) && Test::Exists(true).passes(Some(0)) && !Test::Exists(false).passes(Some(0)));

        let refused = admit(&[("x".to_owned(), Test::AtMost(4))], &numbers(&[("x", 5)])).unwrap_err();
        assert_eq!((refused.reason(), standing(&refused)), ("CONDITION_FALSE", Some(&numbers(&[("x", 5)]))));
    }
}
