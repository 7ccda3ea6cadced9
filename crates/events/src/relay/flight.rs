//! The way of one document's events to the bus, one after the other, under its lease.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::{Error, Result, Tenant, Time};
use storage::{Claimed, Collection, PendingEvent};

use super::Ground;
use crate::contract::Refusal;
use crate::event::{Delivered, partition};
use crate::hear::HEARING;
use crate::stop::Stop;

/// What a lease must still have for another event to be begun: the time of a slow subscriber, and some to write it down.
const SPARE: Duration = HEARING.saturating_add(Duration::from_secs(2));

/// How a flight ended.
#[derive(Debug)]
pub(super) struct Landed {
    pub(super) tenant: Tenant,
    pub(super) id: String,
    pub(super) lease: Time,
    pub(super) tries: i64,
    /// Ids of the events that the bus took.
    pub(super) taken: Vec<String>,
    pub(super) end: End,
}

#[derive(Debug)]
pub(super) enum End {
    /// Every event was taken.
    Whole,
    /// Told to stop, or the lease is nearly over.
    BrokenOff,
    /// The bus takes nothing at present.
    Down(Error),
    /// This event was not taken.
    Failed { kind: String, error: Error },
}

/// Publishes the events of a document in order until one is not taken.
pub(super) async fn fly(ground: Arc<Ground>, kind: &'static Collection, claimed: Claimed, stop: Stop) -> Landed {
    let Claimed { tenant, id, tries, lease, events, .. } = claimed;
    let mut landed = Landed { tenant, id, lease, tries, taken: Vec::new(), end: End::Whole };
    for pending in events {
        let left = lease.since(ground.clock.now());
        if stop.is_said() || left < SPARE.min(ground.pace.relay_lease / 2) {
            landed.end = End::BrokenOff;
            break;
        }
        let event_kind = pending.kind.clone();
        let event_id = pending.id.clone();
        match publish(&ground, deliver(kind, &landed, pending), left).await {
            Ok(()) => landed.taken.push(event_id),
            Err(Refusal::Down(error)) => {
                landed.end = End::Down(error);
                break;
            }
            Err(Refusal::Failed(error)) => {
                landed.end = End::Failed { kind: event_kind, error };
                break;
            }
        }
    }
    landed
}

async fn publish(ground: &Ground, event: Result<Delivered>, left: Duration) -> Result<(), Refusal> {
    let event = Arc::new(event.map_err(Refusal::Failed)?);
    // Beyond the lease another relay may publish, and two at once would break the order.
    tokio::time::timeout(left, ground.bus.publish(&event)).await.unwrap_or_else(|_| Err(Refusal::Failed(Error::timeout())))
}

fn deliver(kind: &Collection, landed: &Landed, pending: PendingEvent) -> Result<Delivered> {
    let payload = URL_SAFE_NO_PAD.decode(pending.payload);
    let payload = payload.map_err(|cause| Error::internal("EVENT_INVALID", "the payload of an event is not base64url").because(cause))?;
    Ok(Delivered {
        id: pending.id,
        kind: pending.kind,
        payload,
        tenant: landed.tenant.clone(),
        collection: kind.name.to_owned(),
        aggregate: landed.id.clone(),
        version: pending.version,
        index: pending.index,
        at: Time::from_micros(pending.at),
        trace: pending.trace,
        partition: partition(&landed.tenant),
    })
}
