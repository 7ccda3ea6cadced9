//! What a consumer has met, for effects that have no document of their own: one small document an event, gone after a week.

use kernel::{Clock, Cx, Kind, Result, Time};
use serde::{Deserialize, Serialize};
use storage::{Change, Collection, Keys, Record, Store};

use crate::event::Delivered;

/// How long an event is remembered. A duplicate that is later than this is a replay by an operator.
const REMEMBERED_SECONDS: i64 = 7 * 24 * 3_600;

/// Remembers which events were met. An effect whose document keeps the mark needs none.
#[derive(Clone, Debug)]
pub struct Inbox {
    store: Store,
    clock: Clock,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Met {
    until: i64,
}

impl Record for Met {
    const KIND: Collection =
        Collection { name: "events_inbox", version: 1, keys: &[], indexes: &[], burns: false, max_bytes: 0, max_items: 0 };

    fn keys(&self) -> Keys {
        Keys::new()
    }

    fn expires(&self) -> Option<Time> {
        Some(Time::from_micros(self.until))
    }
}

impl Inbox {
    /// Makes the inbox of this store servable; idempotent.
    pub async fn open(store: Store, clock: Clock) -> Result<Self> {
        store.define::<Met>().await?;
        Ok(Self { store, clock })
    }

    /// Runs `effect` unless the event was met by this consumer before, and remembers it then. Whether it ran. A crash between
    /// the effect and its memory runs it again: at least once, and nearly always once.
    pub async fn once(&self, cx: &Cx, event: &Delivered, effect: impl Future<Output = Result<()>>) -> Result<bool> {
        // The actor of a system context is its task: the consumer.
        let id = format!("{}/{}", cx.actor(), event.id);
        if self.store.get::<Met>(cx, &id).await?.is_some() {
            return Ok(false);
        }
        effect.await?;
        let met = Met { until: self.clock.now().plus_seconds(REMEMBERED_SECONDS).micros() };
        match self.store.insert(cx, &id, Change::of(met)).await {
            Err(error) if error.kind() != Kind::Exists => Err(error),
            _ => Ok(true),
        }
    }
}
