//! What handlers hold: typed documents of the caller's tenant. Encoding, bounds, request ids and page tokens are decided
//! here; how bytes reach a disk is the engine's business.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::{Clock, Cx, Error, Etag, Kind, Page, Result, id};

use crate::change::{Change, Event, Once, Remembered, Removal, Seen};
use crate::engine::{Amend, Engine, Erase, PendingEvent, Place, Scan, Stored, Write, reused};
use crate::patch::{self, Given, Patch};
use crate::record::{Collection, Index, Key, Range, Record};
use crate::resolve;
use crate::state::State;
use crate::token::Tokens;
use crate::value::canonical;

/// Most bytes of `{tenant}/{id}`.
const MAX_NAME_BYTES: usize = 200;
/// Most documents that are counted one by one.
const MAX_COUNT: usize = 10_000;
/// Reads and decisions made for a change before a busy document is given up.
const CHANGE_TRIES: usize = 3;

/// Typed documents. Cheap to clone. Besides its own errors every call can fail as `Engine` says.
///
/// Every call but `define` takes the context, and with it the tenant, first:
/// ```
/// # use {kernel::{Cx, Result}, storage::{Change, Find, Record, Seen, Store}};
/// async fn twice<T: Record>(store: &Store, cx: &Cx, seen: Seen<T>) -> Result<Seen<T>> {
///     store.get::<T>(cx, "usr_1").await?;
///     store.insert(cx, "usr_1", Change::of(seen.body)).await
/// }
/// ```
/// A call without one does not compile:
/// ```compile_fail,E0061
/// # use {kernel::{Cx, Result}, storage::{Change, Find, Record, Seen, Store}};
/// async fn get<T: Record>(store: &Store) -> Result<Option<Seen<T>>> {
///     store.get::<T>("usr_1").await
/// }
/// ```
/// ```compile_fail,E0061
/// # use {kernel::{Cx, Result}, storage::{Change, Find, Record, Seen, Store}};
/// async fn insert<T: Record>(store: &Store, seen: Seen<T>) -> Result<Seen<T>> {
///     store.insert("usr_1", Change::of(seen.body)).await
/// }
/// ```
/// ```compile_fail,E0061
/// # use {kernel::Result, storage::{Patch, Record, Seen, Store}};
/// async fn patch<T: Record>(store: &Store, patch: Patch<T>) -> Result<Seen<T>> {
///     store.patch("usr_1", patch).await
/// }
/// ```
/// ```compile_fail,E0061
/// # use {kernel::Result, storage::{Count, Record, Store}};
/// async fn count<T: Record>(store: &Store) -> Result<Count> {
///     store.count::<T>("state", Vec::new(), 100).await
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) clock: Clock,
    pub(crate) state: Arc<State>,
    tokens: Tokens,
}

/// What `change` changes.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The document's id.
    pub id: &'a str,
    /// The resource name to put into `NOT_FOUND`.
    pub name: &'a str,
}

/// A question for a list: an equality prefix over the first keys of an index, then maybe a part of the next key.
#[derive(Clone, Debug)]
pub struct Find<'a> {
    /// A declared index.
    pub index: &'static str,
    /// Values of its first keys.
    pub prefix: Vec<Key>,
    /// A part of the key after the prefix.
    pub range: Option<Range>,
    /// From the end.
    pub descending: bool,
    /// Size and token as the caller gave them.
    pub page: &'a Page,
}

/// One page of documents.
#[derive(Clone, Debug)]
pub struct Found<T> {
    /// In the order of the index; ties by id.
    pub items: Vec<Seen<T>>,
    /// Opens the next page; empty at the end.
    pub next_token: String,
}

/// How many documents a part of an index has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// So many.
    Exactly(usize),
    /// More than were to be counted.
    MoreThan(usize),
}

impl Store {
    /// A store on this engine. `page_key` seals page tokens and is the same in every replica.
    pub fn open(engine: Arc<dyn Engine>, page_key: [u8; 32], clock: Clock) -> Self {
        #[cfg(feature = "failpoints")]
        let engine: Arc<dyn Engine> = Arc::new(crate::fault::FaultStore::over(engine));
        Self { engine, tokens: Tokens::new(page_key), clock, state: Arc::default() }
    }

    /// The engine, for readiness and metrics.
    pub fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    /// Makes a kind of document servable; idempotent. Errors: `COLLECTION_INVALID`, `DUPLICATES` when a unique index
    /// cannot be built.
    pub async fn define<T: Record>(&self) -> Result<()> {
        const { &T::KIND }.check()?;
        self.engine.define(const { &T::KIND }, rekey::<T>).await?;
        self.state.define(const { &T::KIND });
        Ok(())
    }

    /// Writes a new document. Under an id derived from the request, `ALREADY_EXISTS` at `_id` is how a repeat is met: read
    /// the document and ask what it remembers. Errors: `ALREADY_EXISTS` (`taken` says where), `OUTBOX_FULL`, and the bounds:
    /// `DOCUMENT_TOO_LARGE`, `ARRAY_TOO_LONG`, `KEY_TOO_LONG`, `VALUE_INVALID`, `KEY_INVALID`, `ID_INVALID`.
    pub async fn insert<T: Record>(&self, cx: &Cx, id: &str, change: Change<T>) -> Result<Seen<T>> {
        let _under_way = self.state.enter()?;
        let place = place::<T>(cx, id)?;
        let write = self.encode(cx, &change)?;
        let stored = resolve::insert(&*self.engine, cx.tenant(), &place, write).await?;
        Ok(Seen::new(stored, change.body, actor(cx)))
    }

    /// The document; none when it is absent or expired. Errors: `RECORD_CORRUPT`.
    pub async fn get<T: Record>(&self, cx: &Cx, id: &str) -> Result<Option<Seen<T>>> {
        let Ok(place) = place::<T>(cx, id) else { return Ok(None) };
        let stored = self.engine.get(cx.tenant(), place, self.clock.now()).await?;
        stored.map(|stored| decode(stored, actor(cx))).transpose()
    }

    /// Writes the next version of what was seen; a counter has no such call. Errors: `NOT_FOUND`, `VERSION_STALE`, and those
    /// of `insert`.
    pub async fn replace<T: Record>(&self, cx: &Cx, seen: &Seen<T>, change: Change<T>) -> Result<Seen<T>> {
        const { assert!(!T::COUNTER, "a counter is patched, not replaced") };
        let _under_way = self.state.enter()?;
        let place = place::<T>(cx, &seen.id)?;
        let write = self.encode(cx, &change)?;
        let stored = resolve::replace(&*self.engine, cx.tenant(), &place, seen.version, write).await?;
        Ok(Seen::new(stored, change.body, actor(cx)))
    }

    /// Removes what was seen; its unique keys are free at once. Errors: `NOT_FOUND`, `VERSION_STALE`, `OUTBOX_FULL`.
    pub async fn remove<T: Record>(&self, cx: &Cx, seen: &Seen<T>, removal: Removal) -> Result<()> {
        check_size(const { &T::KIND }, 0, &removal.events)?;
        let _under_way = self.state.enter()?;
        self.state.check_events(removal.events.len())?;
        let erase = Erase { writer: writer()?, events: self.pending(cx, removal.events), now: self.clock.now() };
        resolve::remove(&*self.engine, cx.tenant(), &place::<T>(cx, &seen.id)?, seen.version, erase).await
    }

    /// Changes the numbers of a counter, all operations at once and as conditions hold at that instant; other kinds have no
    /// such call. Version and etag stay. The document as it is now; `repeat` when the request id was met before and nothing
    /// was applied. Errors: `NOT_FOUND`, `CONDITION_FALSE` (`standing` has the numbers), `NUMBER_OVERFLOW`,
    /// `NUMBERS_INVALID`, `REQUEST_ID_REUSED`, and those of `insert`.
    pub async fn patch<T: Record>(&self, cx: &Cx, id: &str, patch: Patch<T>) -> Result<Seen<T>> {
        const { assert!(T::COUNTER, "only a counter is patched") };
        let Patch { given, ops, due, events, once } = patch;
        patch::check_names(ops.iter().map(|(name, _)| name))?;
        check_size(const { &T::KIND }, 0, &events)?;
        let _under_way = self.state.enter()?;
        self.state.check_events(events.len())?;
        let (conditions, otherwise) = match given {
            Given::Conditions(conditions) => (conditions, None),
            Given::Upsert(body) => (Vec::new(), Some(self.encode(cx, &Change::of(body))?)),
        };
        let once = once.map(|once| once.entry(&cx.actor()));
        let amend = Amend { conditions, otherwise, ops, due, events: self.pending(cx, events), once, now: self.clock.now() };
        let amended = resolve::patch(&*self.engine, cx.tenant(), &place::<T>(cx, id)?, amend).await?;
        let mut seen = decode(amended.stored, actor(cx))?;
        seen.repeat = amended.repeat;
        Ok(seen)
    }

    /// How many documents have these first keys of an index; counted up to `cap`, at most 10,000. Errors: `INDEX_UNKNOWN`,
    /// `FIND_INVALID`.
    pub async fn count<T: Record>(&self, cx: &Cx, index: &str, prefix: Vec<Key>, cap: usize) -> Result<Count> {
        let index = const { &T::KIND }.index(index)?;
        check_question::<T>(index, &prefix, None)?;
        if cap > MAX_COUNT {
            return Err(Error::invalid("FIND_INVALID", format!("at most {MAX_COUNT} documents are counted")));
        }
        let (collection, now) = (const { &T::KIND }, self.clock.now());
        let scan = Scan { collection, index, prefix, range: None, descending: false, after: None, limit: cap + 1, now };
        let counted = self.engine.count(cx.tenant(), scan).await?;
        Ok(if counted > cap { Count::MoreThan(cap) } else { Count::Exactly(counted) })
    }

    /// One page of a list. A page may be short; only an empty token means the end. A document that matches during the
    /// whole list comes exactly once, one whose key moves 0 to 2 times. Errors: `INDEX_UNKNOWN`, `FIND_INVALID`,
    /// `PAGE_TOKEN`, `RECORD_CORRUPT`.
    pub async fn find<T: Record>(&self, cx: &Cx, question: Find<'_>) -> Result<Found<T>> {
        let index = const { &T::KIND }.index(question.index)?;
        check_question::<T>(index, &question.prefix, question.range.as_ref())?;
        let now = self.clock.now();
        let digest = question_digest::<T>(cx, &question)?;
        let token = &question.page.token;
        let after = if token.is_empty() { None } else { Some(self.tokens.open(&digest, token, now)?) };
        let scan = Scan {
            collection: const { &T::KIND },
            index,
            prefix: question.prefix,
            range: question.range,
            descending: question.descending,
            after,
            limit: question.page.size.clamp(1, Page::MAX_SIZE),
            now,
        };
        let rows = self.engine.find(cx.tenant(), scan).await?;
        let actor = actor(cx);
        let items = rows.items.into_iter().map(|stored| decode(stored, actor.clone())).collect::<Result<_>>()?;
        let next = rows.next.map(|cursor| self.tokens.seal(&digest, cursor, now)).transpose()?;
        Ok(Found { items, next_token: next.unwrap_or_default() })
    }

    /// Get, repeat check, etag, rule, replace. Another's write between is met by deciding again, up to three times in all;
    /// an etag then refuses. Errors: `NOT_FOUND` naming the target, `ETAG_STALE`, `VERSION_STALE` after the third time, `REQUEST_ID_REUSED`, those of the rule
    /// and of `replace`.
    #[allow(clippy::too_many_arguments)] // five besides the store
    pub async fn change<T: Record>(
        &self,
        cx: &Cx,
        target: Target<'_>,
        once: Option<Once>,
        etag: Option<Etag>,
        rule: impl Fn(&T) -> Result<Change<T>> + Send,
    ) -> Result<Seen<T>> {
        let absent = || Error::not_found(target.name);
        let mut tries = 1;
        loop {
            let mut seen = self.get::<T>(cx, target.id).await?.ok_or_else(absent)?;
            match once.as_ref().map_or(Remembered::No, |once| seen.remembers(once)) {
                Remembered::Same => {
                    seen.repeat = true;
                    return Ok(seen);
                }
                Remembered::Other => return Err(reused()),
                Remembered::No => {}
            }
            Etag::check(etag, seen.version)?;
            let change = rule(&seen.body)?.once(once.clone());
            match self.replace(cx, &seen, change).await {
                Err(error) if error.kind() == Kind::NotFound => return Err(absent()),
                Err(error) if error.kind() == Kind::Stale && tries < CHANGE_TRIES => tries += 1,
                answer => return answer,
            }
        }
    }

    fn encode<T: Record>(&self, cx: &Cx, change: &Change<T>) -> Result<Write> {
        let kind = const { &T::KIND };
        let body = canonical(&change.body, kind.max_items())?;
        check_size(kind, body.len(), &change.events)?;
        self.state.check_events(change.events.len())?;
        patch::check_names(change.numbers.keys())?;
        if !T::COUNTER && !change.numbers.is_empty() {
            return Err(Error::invalid("NUMBERS_INVALID", format!("{} is no counter and has no numbers", kind.name)));
        }
        Ok(Write {
            writer: writer()?,
            body,
            numbers: change.numbers.clone(),
            keys: kind.arrange(change.body.keys())?,
            expires: change.body.expires(),
            due: change.body.due(),
            events: self.pending(cx, change.events.clone()),
            once: change.once.as_ref().map(|once| once.entry(&cx.actor())),
            now: self.clock.now(),
        })
    }

    fn pending(&self, cx: &Cx, events: Vec<Event>) -> Vec<PendingEvent> {
        let now = self.clock.now();
        let pending = |(index, event): (u32, Event)| PendingEvent {
            id: id::fresh("evt", now),
            kind: event.kind.to_owned(),
            payload: URL_SAFE_NO_PAD.encode(event.payload),
            version: 0,
            at: now.micros(),
            index,
            trace: cx.trace().to_owned(),
            sum: 0,
        };
        (0..).zip(events).map(pending).collect()
    }
}

fn place<T: Record>(cx: &Cx, id: &str) -> Result<Place> {
    let bytes = cx.tenant().as_str().len() + 1 + id.len();
    if id.is_empty() || bytes > MAX_NAME_BYTES || id.chars().any(char::is_control) {
        return Err(Error::invalid("ID_INVALID", format!("an id of {} is empty, too long or not printable", T::KIND.name)));
    }
    Ok(Place { collection: const { &T::KIND }, id: id.to_owned() })
}

fn check_size(kind: &Collection, body_bytes: usize, events: &[Event]) -> Result<()> {
    let bytes = body_bytes + events.iter().map(|event| event.payload.len()).sum::<usize>();
    if bytes <= kind.max_bytes() {
        return Ok(());
    }
    let message = format!("a document of {} with its new events is larger than {} bytes", kind.name, kind.max_bytes());
    Err(Error::invalid("DOCUMENT_TOO_LARGE", message))
}

fn writer() -> Result<i64> {
    let drawn = getrandom::u64().map_err(|cause| Error::internal("RANDOM_FAILED", "no random number was drawn").because(cause))?;
    Ok(drawn.cast_signed())
}

fn actor(cx: &Cx) -> Arc<str> {
    cx.actor().into()
}

fn rekey<T: Record>(body: &str) -> Result<Vec<Option<Key>>> {
    T::KIND.arrange(parse::<T>(body)?.keys())
}

fn parse<T: Record>(body: &str) -> Result<T> {
    serde_json::from_str(body)
        .map_err(|cause| Error::internal("RECORD_CORRUPT", format!("a document of {} cannot be decoded", T::KIND.name)).because(cause))
}

fn decode<T: Record>(stored: Stored, actor: Arc<str>) -> Result<Seen<T>> {
    let body = parse(&stored.body)?;
    Ok(Seen::new(stored, body, actor))
}

fn check_question<T: Record>(index: &Index, prefix: &[Key], range: Option<&Range>) -> Result<()> {
    let typed = |(key, value): (&&str, &Key)| T::KIND.key_type(key) == Some(value.kind());
    let ends = range.into_iter().flat_map(|range| [&range.low, &range.high]).filter_map(|bound| match bound {
        std::ops::Bound::Included(key) | std::ops::Bound::Excluded(key) => Some(key),
        std::ops::Bound::Unbounded => None,
    });
    let next_key = index.keys.get(prefix.len());
    let fits = prefix.len() <= index.keys.len()
        && index.keys.iter().zip(prefix).all(typed)
        && ends.into_iter().all(|end| next_key.is_some_and(|key| typed((key, end))));
    if fits { Ok(()) } else { Err(Error::invalid("FIND_INVALID", format!("the question does not fit index {}", index.name))) }
}

/// What a page token belongs to: collection, index, tenant, actor and filter. The size of pages may change on the way.
fn question_digest<T: Record>(cx: &Cx, question: &Find<'_>) -> Result<[u8; 32]> {
    let filter = serde_json::to_string(&(&question.prefix, &question.range, question.descending))
        .map_err(|cause| Error::internal("PAGE_TOKEN_FAILED", "a question was not digested").because(cause))?;
    Ok(id::digest(&[T::KIND.name, question.index, cx.tenant().as_str(), &cx.actor(), &filter]))
}
