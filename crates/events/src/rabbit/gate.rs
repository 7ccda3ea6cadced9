//! Which aggregates of a group wait behind a dead letter: their later events follow it, so that a replay finds them in order.
//! Kept in memory by whoever consumes, and read from the dead letters where a partition begins.

use std::collections::HashMap;

use super::wire::Replay;

/// Aggregates that are remembered; more than this many dead at once is a defect of the subscriber, not of an aggregate.
pub(super) const MAX_BLOCKED: usize = 10_000;

/// Tenant, collection, id.
pub(super) type Aggregate = (String, String, String);

#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Whether a letter of the present replay failed again.
    blocked: HashMap<Aggregate, bool>,
}

impl Gate {
    /// Whether an event of this aggregate may be heard.
    pub(super) fn passes(&mut self, aggregate: &Aggregate, replay: Option<Replay>) -> bool {
        let Some(failed_again) = self.blocked.get_mut(aggregate) else { return true };
        match replay {
            None => false,
            Some(Replay { first: true, .. }) => {
                *failed_again = false;
                true
            }
            Some(_) => !*failed_again,
        }
    }

    /// The event was recorded: with the last of a replay the aggregate goes on.
    pub(super) fn recorded(&mut self, aggregate: &Aggregate, replay: Option<Replay>) {
        if replay.is_some_and(|replay| replay.last) && self.blocked.get(aggregate) == Some(&false) {
            self.blocked.remove(aggregate);
        }
    }

    /// These have dead letters, as the broker tells; of one that is known here more is known.
    pub(super) fn learn(&mut self, aggregates: Vec<Aggregate>) {
        for aggregate in aggregates {
            if !self.blocked.contains_key(&aggregate) {
                self.dead(aggregate);
            }
        }
    }

    /// The event is a dead letter: what follows in its aggregate follows it.
    pub(super) fn dead(&mut self, aggregate: Aggregate) {
        if self.blocked.len() < MAX_BLOCKED || self.blocked.contains_key(&aggregate) {
            self.blocked.insert(aggregate, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Option<Replay> = Some(Replay { first: true, last: false });
    const NEXT: Option<Replay> = Some(Replay { first: false, last: false });
    const LAST: Option<Replay> = Some(Replay { first: false, last: true });
    const ONLY: Option<Replay> = Some(Replay { first: true, last: true });

    fn aggregate(id: &str) -> Aggregate {
        ("acme".to_owned(), "things".to_owned(), id.to_owned())
    }

    #[test]
    fn a_whole_replay_opens_the_gate_and_nothing_else_does() {
        let (mut gate, one) = (Gate::default(), aggregate("one"));
        assert!(gate.passes(&one, None));
        gate.dead(one.clone());
        assert!(!gate.passes(&one, None) && gate.passes(&aggregate("two"), None));
        for replay in [FIRST, NEXT] {
            assert!(gate.passes(&one, replay));
            gate.recorded(&one, replay);
            assert!(!gate.passes(&one, None), "what comes between waits");
        }
        assert!(gate.passes(&one, LAST));
        gate.recorded(&one, LAST);
        assert!(gate.passes(&one, None));
    }

    #[test]
    fn what_the_broker_tells_changes_nothing_that_is_known() {
        let (mut gate, one, two) = (Gate::default(), aggregate("one"), aggregate("two"));
        gate.dead(one.clone());
        assert!(gate.passes(&one, FIRST));
        gate.learn(vec![one.clone(), two.clone()]);
        assert!(gate.passes(&one, LAST) && !gate.passes(&two, None), "the replay goes on");
        gate.recorded(&one, LAST);
        assert!(gate.passes(&one, None));
    }

    #[test]
    fn a_letter_that_fails_again_takes_the_rest_with_it() {
        let (mut gate, one) = (Gate::default(), aggregate("one"));
        gate.dead(one.clone());
        assert!(gate.passes(&one, FIRST));
        gate.dead(one.clone());
        assert!(!gate.passes(&one, NEXT) && !gate.passes(&one, LAST) && !gate.passes(&one, None));
        assert!(gate.passes(&one, ONLY));
        gate.recorded(&one, ONLY);
        assert!(gate.passes(&one, None));
    }
}
