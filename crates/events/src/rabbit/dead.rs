//! Dead letters, for an operator: how many there are, and sending them back.

use std::collections::HashMap;

use kernel::Result;
use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation};

use super::blocked::{self, take, waiting};
use super::link::{self, broken, unavailable};
use super::wire::{self, Replay};
use super::{Shared, topology};
use crate::event::Delivered;

/// Letters that are held in memory at once.
const BATCH: usize = 500;

/// The dead letters of each known group.
pub(super) async fn count(shared: &Shared) -> Result<Vec<(&'static str, u32)>> {
    let (connection, channel) = link::connect(shared, "operator").await?;
    let mut counts = Vec::new();
    for group in shared.groups() {
        counts.push((group.name, waiting(&channel, &topology::dead_queue(&shared.broker.namespace, group.name)).await?));
    }
    link::close(&connection).await;
    Ok(counts)
}

/// Sends the letters that are there now back to the queues they came from.
pub(super) async fn replay(shared: &Shared, group: &str) -> Result<usize> {
    let (connection, _channel) = link::connect(shared, "operator").await?;
    let channel = link::soon(blocked::locked(shared, &connection, group)).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(broken)?;
    let queue = topology::dead_queue(&shared.broker.namespace, group);
    // What fails again comes back to the end of this queue, and is left for the next time.
    let mut left = waiting(&channel, &queue).await? as usize;
    let mut sent = 0;
    while left > 0 {
        let letters = take(&channel, &queue, left.min(BATCH)).await?;
        if letters.is_empty() {
            break;
        }
        left -= letters.len();
        let readable: Vec<_> = letters.iter().filter_map(read).collect();
        for ((event, replay), letter) in marked(&readable).zip(readable.iter().map(|(_, letter)| letter)) {
            send(shared, &channel, group, (event, replay)).await?;
            letter.acker.ack(BasicAckOptions::default()).await.map_err(broken)?;
            sent += 1;
        }
    }
    link::close(&connection).await;
    Ok(sent)
}

/// A letter that is no event stays where it is.
fn read(letter: &BasicGetMessage) -> Option<(Delivered, &BasicGetMessage)> {
    match wire::event(&letter.properties, letter.data.clone()) {
        Ok(event) => Some((event, letter)),
        Err(error) => {
            tracing::warn!(?error, "a dead letter is no event and stays");
            None
        }
    }
}

/// Each event with its place among those of its aggregate.
fn marked<'a, L>(letters: &'a [(Delivered, L)]) -> impl Iterator<Item = (&'a Delivered, Replay)> {
    let aggregate = |event: &'a Delivered| (&event.tenant, &event.collection, &event.aggregate);
    let mut ends = HashMap::new();
    for (at, (event, _)) in letters.iter().enumerate() {
        ends.entry(aggregate(event)).or_insert((at, at)).1 = at;
    }
    letters.iter().enumerate().map(move |(at, (event, _))| {
        let (first, last) = ends.get(&aggregate(event)).copied().unwrap_or((at, at));
        (event, Replay { first: at == first, last: at == last })
    })
}

async fn send(shared: &Shared, channel: &Channel, group: &str, (event, replay): (&Delivered, Replay)) -> Result<()> {
    let queue = topology::queue(&shared.broker.namespace, group, event.partition);
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let sent = channel.basic_publish("".into(), queue.into(), options, &event.payload, wire::replayed(event, replay));
    match sent.await.map_err(broken)?.await.map_err(broken)? {
        Confirmation::Ack(None) => Ok(()),
        _ => Err(unavailable()),
    }
}
