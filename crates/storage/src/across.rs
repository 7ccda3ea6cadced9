//! The calls of a store that reach across tenants: for relay, scheduler, sweeper and backup. Each needs an `Across`.

use std::time::Duration;

use kernel::{Error, Result, Tenant, Time};

use crate::bell::Bell;
use crate::engine::{Cursor, Part, Place, Scan};
use crate::envelope::Envelope;
use crate::outbox::{Ack, Across, Claimed, Defer, Due, Lease, MAX_CLAIM, Outbox, Plan};
use crate::record::{Collection, Index, Key, KeyType};
use crate::store::Store;

/// What is to be tried later than this from now is parked.
const PARKED_AFTER_SECONDS: i64 = 365 * 86_400;
/// Most envelopes of one call.
const MAX_PART: usize = 1_000;

/// Each call takes the right to make it:
/// ```compile_fail,E0061
/// # use {kernel::Result, storage::Store};
/// async fn sweep(store: &Store) -> Result<usize> {
///     store.sweep(1).await
/// }
/// ```
impl Store {
    /// The kinds of document that were defined, in their order.
    pub fn kinds(&self) -> Vec<&'static Collection> {
        self.state.kinds()
    }

    /// One round of the sweeper, over all tenants and all kinds that were defined: removes up to `limit` expired documents in
    /// small pieces between other changes and says how many went. Fewer than `limit` = nothing more to sweep at present.
    /// Who calls it in a loop is the caller's business; running it twice at once does no harm.
    pub async fn sweep(&self, across: &Across, limit: usize) -> Result<usize> {
        let _under_way = self.state.enter()?;
        self.engine.sweep(across, limit, self.clock.now()).await
    }

    /// Leases documents whose events are to be published, oldest first; at most `MAX_CLAIM`, and fewer when their events are
    /// large. Until the lease is over nobody else gets them; afterwards anybody does. Nothing waits when nothing comes.
    pub async fn claim(&self, across: &Across, kind: &'static Collection, limit: usize, lease: Duration) -> Result<Vec<Claimed>> {
        let _under_way = self.state.enter()?;
        self.engine.claim(across, kind, self.lease(limit, lease)).await
    }

    /// Drops events that were published. A document without events leaves the outbox; a removed one is gone then. Where events
    /// are left and the lease is still this claim's, they can be claimed at once. Twice is as once. After any error some
    /// events may come again.
    pub async fn ack(&self, across: &Across, kind: &'static Collection, acks: Vec<Ack>) -> Result<()> {
        let _under_way = self.state.enter()?;
        self.engine.ack(across, kind, acks, self.clock.now()).await
    }

    /// Sets the time of the next attempt, where the lease is still this claim's.
    pub async fn defer(&self, across: &Across, kind: &'static Collection, defers: Vec<Defer>) -> Result<()> {
        let _under_way = self.state.enter()?;
        self.engine.defer(across, kind, defers).await
    }

    /// Documents whose `due` has come, oldest first, each put off for as long as the lease. Late is possible, missing is not,
    /// twice is possible.
    pub async fn claim_due(&self, across: &Across, kind: &'static Collection, limit: usize, lease: Duration) -> Result<Vec<Due>> {
        let _under_way = self.state.enter()?;
        self.engine.claim_due(across, kind, self.lease(limit, lease)).await
    }

    /// What waits to be published.
    pub async fn outbox(&self, across: &Across, kind: &'static Collection) -> Result<Outbox> {
        self.engine.outbox(across, kind, self.parked_from()).await
    }

    /// Documents whose events wait for an operator; at most `MAX_CLAIM`.
    pub async fn parked(&self, across: &Across, kind: &'static Collection, limit: usize) -> Result<Vec<Claimed>> {
        self.engine.parked(across, kind, self.parked_from(), limit.clamp(1, MAX_CLAIM)).await
    }

    /// Lets the events of one document be published again, from the first try on. Whether any wait there.
    pub async fn replay(&self, _across: &Across, kind: &'static Collection, tenant: &Tenant, id: &str) -> Result<bool> {
        let _under_way = self.state.enter()?;
        self.engine.replay(tenant, Place { collection: kind, id: id.to_owned() }, self.clock.now()).await
    }

    /// Drops the events of one document for ever, unpublished. How many there were.
    pub async fn drop_events(&self, _across: &Across, kind: &'static Collection, tenant: &Tenant, id: &str) -> Result<usize> {
        let _under_way = self.state.enter()?;
        self.engine.drop_events(tenant, Place { collection: kind, id: id.to_owned() }).await
    }

    /// Rings when something may wait to be published or be due. A hint: whoever listens looks by itself now and then.
    pub fn watch(&self) -> Bell {
        self.engine.watch()
    }

    /// While it holds, changes that bring events answer `OUTBOX_FULL` with a time to wait: too many wait already. For all
    /// clones of this store.
    pub fn hold_events(&self, hold: bool) {
        self.state.hold_events(hold);
    }

    /// While it is on, every change answers `STORE_READ_ONLY` with a time to wait, and nothing that is stored moves: no claim,
    /// no acknowledgement, no sweep. Changes that have begun end as they will. For all clones of this store.
    pub fn read_only(&self, on: bool) {
        self.state.read_only(on);
    }

    /// Notes for every later start whether changes are refused; `read_only` alone lasts until this process ends.
    pub async fn note_read_only(&self, on: bool) -> Result<()> {
        self.engine.note_read_only(on).await
    }

    /// At a start: refuses changes, where that was noted. Whether it was.
    pub async fn recall_read_only(&self) -> Result<bool> {
        let on = self.engine.is_noted_read_only().await?;
        if on {
            self.read_only(true);
        }
        Ok(on)
    }

    /// Whether changes are refused.
    pub fn is_read_only(&self) -> bool {
        self.state.is_read_only()
    }

    /// Returns once every change that this store let in has ended, whatever came of it. After `read_only(true)`: once nothing
    /// moves any more. Errors: those of reading.
    pub async fn settled(&self) -> Result<()> {
        self.state.idle().await;
        // Whose caller has gone is no longer counted, and is in the engine's queue at worst: this read comes behind it.
        match self.kinds().first() {
            Some(kind) => self.engine.trail(&Tenant::system(), Place { collection: kind, id: "none".to_owned() }).await.map(drop),
            None => Ok(()),
        }
    }

    /// Whole documents behind this tenant and id, in the order of tenant and id, at most 1,000: removed and expired ones, too.
    /// The end is where nothing comes. Each is as it was at one moment; all together only while nothing changes. Errors:
    /// `RECORD_CORRUPT`.
    pub async fn export(
        &self,
        across: &Across,
        kind: &'static Collection,
        after: Option<(String, String)>,
        limit: usize,
    ) -> Result<Vec<Envelope>> {
        self.engine.export(across, kind, Part { after, limit: limit.clamp(1, MAX_PART) }).await
    }

    /// Puts whole documents in the place of whatever stands under their ids. Twice is as once; some may be written when it
    /// fails. Errors: `ALREADY_EXISTS` when another document holds a unique key: expunge what differs before.
    pub async fn import(&self, across: &Across, kind: &'static Collection, envelopes: Vec<Envelope>) -> Result<()> {
        let _under_way = self.state.enter()?;
        if envelopes.iter().any(|envelope| envelope.keys.len() != kind.keys.len()) {
            return Err(Error::invalid("ENVELOPE_INVALID", format!("an envelope has other keys than {} declares", kind.name)));
        }
        self.engine.import(across, kind, envelopes).await
    }

    /// Takes documents away without a trace, whatever they hold: for the target of a copy, where its source no longer has them
    /// or has others.
    pub async fn expunge(&self, across: &Across, kind: &'static Collection, ids: Vec<(Tenant, String)>) -> Result<()> {
        let _under_way = self.state.enter()?;
        self.engine.expunge(across, kind, ids).await
    }

    /// How the engine reads every declared index of every kind: each length of prefix, each direction, from within a list. No
    /// document is read. For a check of what is deployed.
    pub async fn plans(&self, _across: &Across) -> Result<Vec<Plan>> {
        let mut plans = Vec::new();
        for kind in self.kinds() {
            for (index, given) in kind.indexes.iter().flat_map(|index| (0..=index.keys.len()).map(move |given| (index, given))) {
                for descending in [false, true] {
                    let scan = sample(kind, index, given, descending);
                    let words = self.engine.explain(&Tenant::system(), scan).await?;
                    let served = is_served(&words, kind, index, (given, descending));
                    plans.push(Plan { kind: kind.name, index: index.name, words, served });
                }
            }
        }
        Ok(plans)
    }

    fn lease(&self, limit: usize, lease: Duration) -> Lease {
        let now = self.clock.now();
        let micros = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX).max(1);
        Lease { limit: limit.clamp(1, MAX_CLAIM), now, until: Time::from_micros(now.micros().saturating_add(micros)) }
    }

    fn parked_from(&self) -> Time {
        self.clock.now().plus_seconds(PARKED_AFTER_SECONDS)
    }
}

/// A page in the middle of a list, with some value for every key.
fn sample(collection: &'static Collection, index: &'static Index, given: usize, descending: bool) -> Scan {
    let value = |name: &&str| match collection.key_type(name) {
        Some(KeyType::I64) => Key::from(7),
        Some(KeyType::Bool) => Key::from(true),
        Some(KeyType::Bytes) => Key::Bytes(vec![7]),
        Some(KeyType::Str) | None => Key::from("m"),
    };
    let mut prefix: Vec<_> = index.keys.iter().map(value).collect();
    let after = Some(Cursor { keys: prefix.split_off(given), id: "m".to_owned() });
    Scan { collection, index, prefix, range: None, descending, after, limit: 10, now: Time::default() }
}

/// Where an engine knows no bounds, since its server only pretends to plan, the name of the index is all there is to ask for.
fn is_served(words: &str, kind: &Collection, index: &Index, (given, descending): (usize, bool)) -> bool {
    let one_at_most = index.unique && given == index.keys.len();
    let by_range = words.contains(if descending { '<' } else { '>' });
    let reads_more = ["TEMP B-TREE", "SCAN", "SORT"].iter().any(|word| words.contains(word));
    let named = words.contains(&format!("{}_{}", kind.name, index.name));
    named && (words.contains("synthetic") || (!reads_more && (by_range || one_at_most)))
}
