//! Lost replies: whether a change was applied, told from what it left under its id. One rule for all engines, which answer
//! `MAYBE_APPLIED` for every reply that they lost and keep `Engine::trail`. No guess: where it cannot be told, the caller
//! reads `MAYBE_APPLIED`; never a false conflict, never a second effect.
//
// A change carries a writer token, the same for all of its tries. Looked at once after a lost reply, in this order:
// the token stands there, or the request id is remembered: applied; nothing has happened since: sent again; another
// change is provably there in its place: the conflict is a true one; all else: not known.

use std::time::Duration;

use kernel::{Error, Kind, Result, Tenant};
use tokio::time::{Instant, sleep, timeout_at};

use crate::engine::{Amend, Amended, Answer, Engine, Erase, MAX_REMEMBERED, OnceEntry, Place, Stored, Trail, Write, stale};
use crate::patch::Op;

/// After so long a change is not sent again: a store that is late is not helped by more.
const LATEST_TRY: Duration = Duration::from_secs(8);
/// So long all tries may take together, so that the answer comes within ten seconds.
const LONGEST: Duration = Duration::from_millis(9_500);
/// So long a look may take, however late it is.
const LEAST_LOOK: Duration = Duration::from_secs(2);
/// Between two tries: the first after so long, each later one after twice as long, up to the most.
const LEAST_PAUSE: Duration = Duration::from_millis(1);
const MOST_PAUSE: Duration = Duration::from_millis(200);
/// How far the clocks of two nodes may be apart.
const CLOCKS_APART_MICROS: i64 = 60_000_000;

/// Changes after which a request id may be forgotten.
const MAX_CHANGES: i64 = 16;

/// The error of a change whose reply was lost.
pub(crate) fn maybe_applied() -> Error {
    Error::unavailable("MAYBE_APPLIED", "it is not known whether the change was applied; read before trying again")
}

/// What a look under the id of a change tells of it.
#[derive(Debug)]
enum Verdict<R> {
    /// It was applied, with this result.
    Applied(R),
    /// It was not, and may be sent again.
    Open,
    /// It was not, and cannot be any more.
    Refused(Error),
    /// Nobody knows.
    Unknown,
}

/// Which document a change is about.
struct Look<'a> {
    engine: &'a dyn Engine,
    tenant: &'a Tenant,
    place: &'a Place,
}

/// One change on its way: whether a reply was lost, and how long to wait before it is sent again.
struct Doubt {
    began: Instant,
    pause: Duration,
    raised: bool,
}

impl Doubt {
    fn new() -> Self {
        Self { began: Instant::now(), pause: LEAST_PAUSE, raised: false }
    }

    /// A try, or a look after one, as long as there is time.
    async fn within<R>(&self, call: Answer<'_, R>) -> Result<R> {
        if !self.raised {
            return call.await; // it keeps a limit of its own
        }
        let end = (self.began + LONGEST).max(Instant::now() + LEAST_LOOK);
        timeout_at(end, call).await.unwrap_or_else(|_| Err(maybe_applied()))
    }

    /// The final answer; none when the change is to be sent again. After the first lost reply every refusal is looked into,
    /// too: it may be the change itself that stands in the way.
    async fn settle<R>(
        &mut self,
        answer: Result<R>,
        look: Look<'_>,
        judge: impl FnOnce(Option<Trail>) -> Verdict<R> + Send,
    ) -> Option<Result<R>> {
        let Err(error) = answer else { return Some(answer) };
        let lost = error.reason() == "MAYBE_APPLIED";
        if !lost && !self.raised {
            return Some(Err(error));
        }
        self.raised = true;
        let trail = match self.within(look.engine.trail(look.tenant, look.place.clone())).await {
            Ok(trail) => trail,
            Err(cause) => return Some(Err(maybe_applied().because(cause))),
        };
        let in_vain = matches!(error.kind(), Kind::Unavailable | Kind::Timeout);
        match judge(trail) {
            Verdict::Applied(result) => Some(Ok(result)),
            Verdict::Refused(refusal) => Some(Err(refusal)),
            Verdict::Open if in_vain && self.began.elapsed() + self.pause < LATEST_TRY => {
                sleep(self.pause).await;
                self.pause = (2 * self.pause).min(MOST_PAUSE);
                None
            }
            Verdict::Open if !in_vain && error.kind() != Kind::Internal => Some(Err(error)),
            Verdict::Open | Verdict::Unknown => Some(Err(maybe_applied().because(error))),
        }
    }
}

/// See `Engine::insert`.
pub(crate) async fn insert(engine: &dyn Engine, tenant: &Tenant, place: &Place, write: Write) -> Result<Stored> {
    let mut doubt = Doubt::new();
    loop {
        let answer = doubt.within(engine.insert(tenant, place.clone(), write.clone())).await;
        let judge = |trail| judge_insert(trail, place, &write);
        if let Some(settled) = doubt.settle(answer, Look { engine, tenant, place }, judge).await {
            return settled;
        }
    }
}

/// See `Engine::replace`.
pub(crate) async fn replace(engine: &dyn Engine, tenant: &Tenant, place: &Place, seen: i64, write: Write) -> Result<Stored> {
    let mut doubt = Doubt::new();
    loop {
        let answer = doubt.within(engine.replace(tenant, place.clone(), seen, write.clone())).await;
        let judge = |trail| judge_replace(trail, place, seen, &write);
        if let Some(settled) = doubt.settle(answer, Look { engine, tenant, place }, judge).await {
            return settled;
        }
    }
}

/// See `Engine::remove`.
pub(crate) async fn remove(engine: &dyn Engine, tenant: &Tenant, place: &Place, seen: i64, erase: Erase) -> Result<()> {
    let mut doubt = Doubt::new();
    loop {
        let answer = doubt.within(engine.remove(tenant, place.clone(), seen, erase.clone())).await;
        let judge = |trail| judge_remove(trail, place, seen, &erase);
        if let Some(settled) = doubt.settle(answer, Look { engine, tenant, place }, judge).await {
            return settled;
        }
    }
}

/// See `Engine::patch`.
pub(crate) async fn patch(engine: &dyn Engine, tenant: &Tenant, place: &Place, amend: Amend) -> Result<Amended> {
    let mut doubt = Doubt::new();
    loop {
        let mut answer = doubt.within(engine.patch(tenant, place.clone(), amend.clone())).await;
        if let (true, Ok(amended)) = (doubt.raised, &mut answer) {
            amended.repeat = false; // what it met was itself
        }
        let judge = |trail| judge_patch(trail, place, &amend);
        if let Some(settled) = doubt.settle(answer, Look { engine, tenant, place }, judge).await {
            return settled;
        }
    }
}

fn judge_insert(trail: Option<Trail>, place: &Place, write: &Write) -> Verdict<Stored> {
    let Some(trail) = trail else { return Verdict::Open };
    if let Some(version) = made(&trail, write.writer, write.once.as_ref()) {
        return Verdict::Applied(written(trail, place, write, version));
    }
    // The first version is not ours, or the engine would say so: it decides itself whether what stands there gives way.
    if trail.version == 1 || is_absent_from(&trail, 0, write) { Verdict::Open } else { Verdict::Unknown }
}

fn judge_replace(trail: Option<Trail>, place: &Place, seen: i64, write: &Write) -> Verdict<Stored> {
    let Some(trail) = trail else { return Verdict::Unknown };
    if let Some(version) = made(&trail, write.writer, write.once.as_ref()) {
        return Verdict::Applied(written(trail, place, write, version));
    }
    if trail.version > seen && is_absent_from(&trail, seen, write) {
        return Verdict::Refused(stale(seen, trail.version));
    }
    judge_other(&trail, place, seen)
}

fn judge_remove(trail: Option<Trail>, place: &Place, seen: i64, erase: &Erase) -> Verdict<()> {
    match trail {
        None => Verdict::Applied(()),
        Some(trail) if trail.writer == erase.writer => Verdict::Applied(()),
        Some(trail) => judge_other(&trail, place, seen),
    }
}

/// A change of version `seen`, when another's change is what stands there.
fn judge_other<R>(trail: &Trail, place: &Place, seen: i64) -> Verdict<R> {
    match trail.version.checked_sub(seen) {
        Some(0) => Verdict::Open,
        Some(1) if trail.deleted => Verdict::Refused(Error::not_found(&place.id)),
        Some(1) => Verdict::Refused(stale(seen, trail.version)),
        _ => Verdict::Unknown,
    }
}

/// A patch leaves neither version nor token. What was forgotten, and what adds to what is there, is not sent again.
fn judge_patch(trail: Option<Trail>, place: &Place, amend: &Amend) -> Verdict<Amended> {
    let Some(trail) = trail.filter(|trail| !trail.deleted) else { return Verdict::Open };
    let inserted = amend.otherwise.as_ref().is_some_and(|write| write.writer == trail.writer);
    if inserted || remembered(&trail, amend.once.as_ref()).is_some() {
        let Trail { version, body, numbers, once, .. } = trail;
        let stored = Stored { id: place.id.clone(), version, body, numbers, once };
        return Verdict::Applied(Amended { stored, repeat: false });
    }
    let harmless = |(_, op): &(String, Op)| !matches!(op, Op::Inc(_));
    let repeatable = amend.conditions.is_empty() && amend.events.is_empty() && amend.ops.iter().all(harmless);
    let unforgotten = amend.once.is_some() && remembers_since(&trail.once, amend.now.micros());
    if unforgotten || repeatable { Verdict::Open } else { Verdict::Unknown }
}

/// The version that our change made, where it is found.
fn made(trail: &Trail, writer: i64, once: Option<&OnceEntry>) -> Option<i64> {
    if trail.writer == writer {
        return Some(trail.version);
    }
    remembered(trail, once).map(|entry| entry.version)
}

fn remembered<'a>(trail: &'a Trail, once: Option<&OnceEntry>) -> Option<&'a OnceEntry> {
    let once = once?;
    trail.once.iter().find(|entry| entry.id == once.id && entry.digest == once.digest)
}

/// Whether the request id would be remembered, had the change of version `seen` been applied.
fn is_absent_from(trail: &Trail, seen: i64, write: &Write) -> bool {
    write.once.is_some() && !trail.deleted && trail.version.saturating_sub(seen) < MAX_CHANGES
}

/// Whether all request ids since this time are remembered.
fn remembers_since(once: &[OnceEntry], micros: i64) -> bool {
    once.len() < MAX_REMEMBERED || once.first().is_some_and(|oldest| oldest.at < micros.saturating_sub(CLOCKS_APART_MICROS))
}

fn written(trail: Trail, place: &Place, write: &Write, version: i64) -> Stored {
    Stored { id: place.id.clone(), version, body: write.body.clone(), numbers: write.numbers.clone(), once: trail.once }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use kernel::Time;

    use super::*;
    use crate::record::Collection;

    const KIND: Collection = Collection { name: "k", version: 1, keys: &[], indexes: &[], burns: false, max_bytes: 0, max_items: 0 };
    const OURS: i64 = 7;

    fn place() -> Place {
        Place { collection: const { &KIND }, id: "one".into() }
    }

    fn asked(id: &str, version: i64) -> OnceEntry {
        OnceEntry { id: id.into(), digest: "d".into(), version, ..OnceEntry::default() }
    }

    fn write(once: Option<OnceEntry>) -> Write {
        let (body, numbers, now) = ("{}".into(), BTreeMap::new(), Time::from_seconds(1_000));
        Write { writer: OURS, body, numbers, keys: Vec::new(), expires: None, due: None, events: Vec::new(), once, now }
    }

    fn trail(version: i64, writer: i64, once: Vec<OnceEntry>) -> Trail {
        Trail { version, writer, deleted: false, once, numbers: BTreeMap::new(), body: "{}".into() }
    }

    fn word<R>(verdict: Verdict<R>) -> &'static str {
        match verdict {
            Verdict::Applied(_) => "applied",
            Verdict::Open => "open",
            Verdict::Refused(error) => error.reason(),
            Verdict::Unknown => "unknown",
        }
    }

    #[test]
    fn a_replaced_version_is_told_by_what_it_left() {
        let cases = [
            (None, None, "unknown"),
            (Some(trail(4, OURS, Vec::new())), None, "applied"),
            (Some(trail(9, 1, vec![asked("r", 4)])), Some(asked("r", 0)), "applied"),
            (Some(trail(3, 1, Vec::new())), None, "open"),
            (Some(trail(4, 1, Vec::new())), None, "VERSION_STALE"),
            (Some(trail(5, 1, Vec::new())), None, "unknown"),
            (Some(trail(5, 1, vec![asked("s", 5)])), Some(asked("r", 0)), "VERSION_STALE"),
            (Some(trail(18, 1, Vec::new())), Some(asked("r", 0)), "VERSION_STALE"),
            (Some(trail(19, 1, Vec::new())), Some(asked("r", 0)), "unknown"),
            (Some(Trail { deleted: true, ..trail(4, 1, Vec::new()) }), Some(asked("r", 0)), "NOT_FOUND"),
            (Some(Trail { deleted: true, ..trail(5, 1, Vec::new()) }), Some(asked("r", 0)), "unknown"),
            (Some(trail(1, 1, Vec::new())), Some(asked("r", 0)), "unknown"),
        ];
        for (trail, once, expected) in cases {
            let shown = format!("{trail:?} {once:?}");
            assert_eq!(word(judge_replace(trail, &place(), 3, &write(once))), expected, "{shown}");
        }
    }

    #[test]
    fn an_insert_or_a_removal_is_told_by_what_stands_there() {
        let inserts = [
            (None, "open"),
            (Some(trail(1, OURS, Vec::new())), "applied"),
            (Some(trail(3, 1, vec![asked("r", 1)])), "applied"),
            (Some(trail(1, 1, Vec::new())), "open"),
            (Some(trail(3, 1, Vec::new())), "open"),
            (Some(Trail { deleted: true, ..trail(2, 1, Vec::new()) }), "unknown"),
        ];
        for (trail, expected) in inserts {
            let shown = format!("{trail:?}");
            assert_eq!(word(judge_insert(trail, &place(), &write(Some(asked("r", 0))))), expected, "{shown}");
        }
        let erase = Erase { writer: OURS, events: Vec::new(), now: Time::default() };
        let removals = [
            (None, "applied"),
            (Some(Trail { deleted: true, ..trail(4, OURS, Vec::new()) }), "applied"),
            (Some(Trail { deleted: true, ..trail(4, 1, Vec::new()) }), "NOT_FOUND"),
            (Some(trail(3, 1, Vec::new())), "open"),
            (Some(trail(4, 1, Vec::new())), "VERSION_STALE"),
            (Some(trail(6, 1, Vec::new())), "unknown"),
        ];
        for (trail, expected) in removals {
            let shown = format!("{trail:?}");
            assert_eq!(word(judge_remove(trail, &place(), 3, &erase)), expected, "{shown}");
        }
    }

    #[test]
    fn a_patch_that_adds_is_sent_again_only_where_it_would_be_remembered() {
        let amend = |op, once| Amend {
            conditions: Vec::new(),
            otherwise: None,
            ops: vec![("x".to_owned(), op)],
            due: None,
            events: Vec::new(),
            once,
            now: Time::from_seconds(1_000),
        };
        let many = |at: i64| (0..16).map(|n| OnceEntry { at, ..asked(&format!("o{n}"), 1) }).collect::<Vec<_>>();
        let (before, after) = (Time::from_seconds(900).micros(), Time::from_seconds(999).micros());
        let cases = [
            (Op::Inc(1), None, Vec::new(), "unknown"),
            (Op::Max(1), None, Vec::new(), "open"),
            (Op::Inc(1), Some("r"), vec![asked("r", 1)], "applied"),
            (Op::Inc(1), Some("r"), vec![asked("s", 1)], "open"),
            (Op::Inc(1), Some("r"), many(before), "open"),
            (Op::Inc(1), Some("r"), many(after), "unknown"),
        ];
        for (op, once, known, expected) in cases {
            let shown = format!("{op:?} {once:?} {known:?}");
            let verdict = judge_patch(Some(trail(1, 1, known)), &place(), &amend(op, once.map(|id| asked(id, 0))));
            assert_eq!(word(verdict), expected, "{shown}");
        }
        let conditional = Amend { conditions: vec![("x".into(), crate::Test::Equal(1))], ..amend(Op::Set(2), None) };
        assert_eq!(
            word(judge_patch(Some(trail(1, 1, Vec::new())), &place(), &conditional)),
            "unknown",
            "its condition may be its own doing"
        );
    }
}
