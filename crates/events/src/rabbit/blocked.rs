//! Who waits behind a dead letter, as the dead-letter queue itself tells: after a restart, and where a partition comes over from
//! another process, nobody here remembers it. Whoever holds letters in the hand holds the lock of their queue.

use std::time::Duration;

use kernel::Result;
use lapin::message::BasicGetMessage;
use lapin::options::{BasicGetOptions, BasicNackOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection};

use super::gate::{Aggregate, MAX_BLOCKED};
use super::link::broken;
use super::{Shared, topology, wire};

/// Between two tries to get the lock.
const PAUSE: Duration = Duration::from_millis(100);
/// Letters that are read; more than these are a defect of the subscriber, as more blocked aggregates are.
const MAX_LETTERS: usize = 10 * MAX_BLOCKED;

/// The aggregates of the letters that are there now. All of them are put back as they were. Errors: `BROKER_UNAVAILABLE`.
pub(super) async fn read(shared: &Shared, connection: &Connection, group: &str) -> Result<Vec<Aggregate>> {
    let channel = locked(shared, connection, group).await?;
    let queue = topology::dead_queue(&shared.broker.namespace, group);
    let left = waiting(&channel, &queue).await? as usize;
    let letters = take(&channel, &queue, left.min(MAX_LETTERS)).await?;
    if left > MAX_LETTERS {
        tracing::error!(group, left, "too many dead letters: events of some of their documents may pass before a replay");
    }
    if let Some(last) = letters.last() {
        let all = BasicNackOptions { multiple: true, requeue: true };
        channel.basic_nack(last.delivery_tag, all).await.map_err(broken)?;
    }
    unlock(shared, &channel, group).await?;
    channel.close(200, "done".into()).await.map_err(broken)?;
    let events = letters.iter().filter_map(|letter| wire::event(&letter.properties, Vec::new()).ok());
    Ok(events.map(|event| (event.tenant.as_str().to_owned(), event.collection, event.aggregate)).collect())
}

/// A channel whose connection holds the letters of a group alone. Waits for as long as somebody else does; the lock goes with
/// its connection at the latest.
pub(super) async fn locked(shared: &Shared, connection: &Connection, group: &str) -> Result<Channel> {
    loop {
        let channel = connection.create_channel().await.map_err(broken)?;
        let exclusive = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let lock = topology::dead_lock(&shared.broker.namespace, group);
        // Refused, the broker closes the channel.
        match channel.queue_declare(lock.into(), exclusive, FieldTable::default()).await {
            Ok(_) => return Ok(channel),
            Err(cause) => tracing::debug!(group, %cause, "the dead letters are in other hands"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Lets others at the letters.
pub(super) async fn unlock(shared: &Shared, channel: &Channel, group: &str) -> Result<()> {
    let lock = topology::dead_lock(&shared.broker.namespace, group);
    channel.queue_delete(lock.into(), QueueDeleteOptions::default()).await.map(drop).map_err(broken)
}

/// Letters that are in nobody's hands.
pub(super) async fn waiting(channel: &Channel, queue: &str) -> Result<u32> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(queue.into(), passive, FieldTable::default()).await.map_err(broken)?;
    Ok(declared.message_count())
}

/// Up to so many letters, into the hands of this channel.
pub(super) async fn take(channel: &Channel, queue: &str, limit: usize) -> Result<Vec<BasicGetMessage>> {
    let mut letters = Vec::new();
    while letters.len() < limit {
        match channel.basic_get(queue.into(), BasicGetOptions::default()).await.map_err(broken)? {
            Some(letter) => letters.push(letter),
            None => break,
        }
    }
    Ok(letters)
}
