//! The receiving side of one queue: many aggregates at once, one event of each at a time. A failing event is tried again here, so
//! that the order of its aggregate stays; after the last try it goes to the dead letters.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kernel::{Error, Result};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicRejectOptions};
use lapin::{Acker, Connection, Consumer};
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;

use super::blocked;
use super::gate::{Aggregate, Gate};
use super::link::{self, broken, unavailable};
use super::wire::{self, Replay};
use super::{Shared, count};
use crate::contract::Subscriber;
use crate::event::Delivered;
use crate::hear::hear;
use crate::pace::TRIES;
use crate::stop::Stop;

/// What all partitions of a group know.
pub(super) struct Member {
    pub(super) shared: Arc<Shared>,
    pub(super) subscriber: Arc<dyn Subscriber>,
    pub(super) stop: Stop,
    gate: Mutex<Gate>,
    /// Readings of the dead letters that have begun.
    begun: AtomicU64,
    /// The last of them that has ended.
    ended: tokio::sync::Mutex<u64>,
}

impl Member {
    pub(super) fn new(shared: Arc<Shared>, subscriber: Arc<dyn Subscriber>, stop: Stop) -> Self {
        Self { shared, subscriber, stop, gate: Mutex::default(), begun: AtomicU64::new(0), ended: tokio::sync::Mutex::default() }
    }

    /// Learns who waits behind a dead letter, by a reading that begins after this call; one serves all who wait for it.
    async fn learn(&self, connection: &Connection) -> Result<()> {
        let before = self.begun.load(Ordering::SeqCst);
        let mut ended = self.ended.lock().await;
        if *ended <= before {
            let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            let blocked = link::soon(blocked::read(&self.shared, connection, self.subscriber.name())).await?;
            self.gate().learn(blocked);
            *ended = number;
        }
        Ok(())
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Letter {
    event: Delivered,
    /// Deliveries before this one.
    tries: i64,
    replay: Option<Replay>,
    acker: Acker,
}

/// Consumes until told to stop, or until the connection ends, which is an error. Nobody works at an event of it afterwards; what
/// was not acknowledged comes again.
pub(super) async fn run((member, connection): (Arc<Member>, Arc<Connection>), mut consumer: Consumer) -> Result<()> {
    let mut stop = member.stop.clone();
    let mut is_first = true;
    let mut partition = Partition { member, waiting: HashMap::new(), works: JoinSet::new() };
    let ended = loop {
        tokio::select! {
            () = stop.said() => break Ok(()),
            next = consumer.next() => match next {
                Some(Ok(delivery)) => {
                    // The broker lets one process at a time consume: whoever was before us has left its letters by now.
                    if is_first && let Err(error) = partition.member.learn(&connection).await {
                        break Err(error);
                    }
                    is_first = false;
                    partition.take(delivery).await;
                }
                Some(Err(cause)) => break Err(broken(cause)),
                None => break Err(unavailable()),
            },
            Some(worked) = partition.works.join_next() => partition.next(worked.map_err(defect)),
        }
    };
    if ended.is_ok() {
        // Those at work end the event they are at, each within the time of a hearing.
        while partition.works.join_next().await.is_some() {}
    }
    partition.works.shutdown().await;
    ended
}

fn defect(cause: tokio::task::JoinError) -> Error {
    Error::internal("EVENT_FAILED", "the work at an event ended by itself").because(cause)
}

struct Partition {
    member: Arc<Member>,
    /// Aggregates that are worked at, and what waits behind.
    waiting: HashMap<Aggregate, VecDeque<Letter>>,
    works: JoinSet<Aggregate>,
}

impl Partition {
    async fn take(&mut self, delivery: Delivery) {
        let Member { shared, subscriber, .. } = &*self.member;
        let Delivery { properties, data, acker, .. } = delivery;
        let event = match wire::event(&properties, data) {
            Ok(event) => event,
            Err(error) => {
                tracing::error!(consumer = subscriber.name(), ?error, "a message is no event and goes to the dead letters");
                count(&shared.counts.dead);
                return answer(acker.reject(BasicRejectOptions { requeue: false }).await);
            }
        };
        if !subscriber.kinds().contains(&&*event.kind) {
            // A binding of an earlier version of the subscriber.
            return answer(acker.ack(BasicAckOptions::default()).await);
        }
        let aggregate = (event.tenant.as_str().to_owned(), event.collection.clone(), event.aggregate.clone());
        let letter = Letter { event, tries: wire::deliveries(&properties), replay: wire::replay(&properties), acker };
        match self.waiting.get_mut(&aggregate) {
            Some(waiting) => waiting.push_back(letter),
            None => {
                self.waiting.insert(aggregate.clone(), VecDeque::new());
                self.begin(aggregate, letter);
            }
        }
    }

    /// One event of an aggregate is through: the next one.
    fn next(&mut self, worked: Result<Aggregate>) {
        let aggregate = match worked {
            Ok(aggregate) => aggregate,
            Err(error) => return tracing::error!(?error, "an aggregate waits for the next connection"),
        };
        match self.waiting.get_mut(&aggregate).and_then(VecDeque::pop_front) {
            Some(letter) => self.begin(aggregate, letter),
            None => drop(self.waiting.remove(&aggregate)),
        }
    }

    fn begin(&mut self, aggregate: Aggregate, letter: Letter) {
        let member = self.member.clone();
        self.works.spawn(async move {
            member.work(&aggregate, letter).await;
            aggregate
        });
    }
}

impl Member {
    /// Until the event is recorded, dead, or left to the broker at a stop.
    async fn work(&self, aggregate: &Aggregate, letter: Letter) {
        let Letter { event, mut tries, replay, acker } = letter;
        let passes = self.gate().passes(aggregate, replay);
        while passes && tries < TRIES {
            let error = match hear(&*self.subscriber, &event).await {
                Ok(()) => {
                    self.gate().recorded(aggregate, replay);
                    count(&self.shared.counts.consumed);
                    return answer(acker.ack(BasicAckOptions::default()).await);
                }
                Err(error) => error,
            };
            tries += 1;
            count(&self.shared.counts.failed);
            let (consumer, kind) = (self.subscriber.name(), &*event.kind);
            tracing::warn!(consumer, kind, tenant = %event.tenant, id = event.aggregate, tries, ?error, "an event was not taken");
            if tries < TRIES && !self.rest(tries).await {
                return;
            }
        }
        self.gate().dead(aggregate.clone());
        count(&self.shared.counts.dead);
        let (consumer, kind) = (self.subscriber.name(), &*event.kind);
        tracing::warn!(consumer, kind, tenant = %event.tenant, id = event.aggregate, tries, "an event is a dead letter");
        answer(acker.reject(BasicRejectOptions { requeue: false }).await);
    }

    /// The wait before the next try; false at a stop.
    async fn rest(&self, tries: i64) -> bool {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = tokio::time::sleep(self.shared.broker.backoff.after(tries)) => true,
            () = stop.said() => false,
        }
    }
}

/// An answer that the broker did not get makes it deliver the message again.
fn answer(given: lapin::Result<bool>) {
    if let Err(cause) = given {
        tracing::debug!(%cause, "the broker did not hear what became of an event");
    }
}
