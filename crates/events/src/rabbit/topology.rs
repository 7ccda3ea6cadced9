//! Exchanges and queues, declared again on each connection so that a broker that lost them gets them back. Names are for ever.

use kernel::Result;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ExchangeKind};

use super::Group;
use super::link::broken;
use crate::event::PARTITIONS;
use crate::pace::TRIES;

/// Times that a dead letter may be read: the broker's own limit may be 20.
const MAX_READINGS: i64 = 1_000_000_000;

/// Where events are published; the routing key is the partition and the kind.
pub(super) fn exchange(namespace: &str) -> String {
    format!("{namespace}.events")
}

fn dead_exchange(namespace: &str) -> String {
    format!("{namespace}.dead")
}

/// The queue of one partition of a group.
pub(super) fn queue(namespace: &str, group: &str, partition: u8) -> String {
    format!("{namespace}.{group}.{partition:02}")
}

/// Where the dead letters of a group are.
pub(super) fn dead_queue(namespace: &str, group: &str) -> String {
    format!("{namespace}.{group}.dead")
}

/// Who has this queue holds the dead letters of a group.
pub(super) fn dead_lock(namespace: &str, group: &str) -> String {
    format!("{namespace}.{group}.dead.lock")
}

pub(super) fn routing_key(partition: u8, kind: &str) -> String {
    format!("{partition:02}.{kind}")
}

/// Declares everything that the groups need; what is there already stays.
pub(super) async fn declare(channel: &Channel, namespace: &str, groups: &[Group]) -> Result<()> {
    for (name, kind) in exchanges(namespace) {
        declare_exchange(channel, &name, kind).await.map_err(broken)?;
    }
    for group in groups {
        for (name, arguments) in queues(namespace, group.name) {
            declare_queue(channel, &name, arguments).await.map_err(broken)?;
        }
        bind(channel, &dead_queue(namespace, group.name), &dead_exchange(namespace), group.name).await?;
        for partition in 0..PARTITIONS {
            let queue = queue(namespace, group.name, partition);
            for kind in group.kinds {
                bind(channel, &queue, &exchange(namespace), &routing_key(partition, kind)).await?;
            }
        }
    }
    Ok(())
}

pub(super) fn exchanges(namespace: &str) -> [(String, ExchangeKind); 2] {
    [(exchange(namespace), ExchangeKind::Topic), (dead_exchange(namespace), ExchangeKind::Direct)]
}

/// The queues of a group with their arguments, that of its dead letters first.
pub(super) fn queues(namespace: &str, group: &str) -> Vec<(String, FieldTable)> {
    let partitions = (0..PARTITIONS).map(|partition| (queue(namespace, group, partition), partition_arguments(namespace, group)));
    std::iter::once((dead_queue(namespace, group), dead_arguments())).chain(partitions).collect()
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    // Full, it refuses the newest instead of dropping the oldest.
    arguments.insert("x-overflow".into(), text("reject-publish"));
    arguments
}

/// Dead letters are read and put back at each start: however often, none may be dropped for it.
fn dead_arguments() -> FieldTable {
    let mut arguments = quorum();
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(MAX_READINGS));
    arguments
}

fn partition_arguments(namespace: &str, group: &str) -> FieldTable {
    let mut arguments = quorum();
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    // A limit of n allows n + 1 deliveries.
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(TRIES - 1));
    arguments.insert("x-dead-letter-exchange".into(), text(&dead_exchange(namespace)));
    arguments.insert("x-dead-letter-routing-key".into(), text(group));
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    arguments
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

/// Durable. Where one of this name is there, it has to be the same.
pub(super) async fn declare_exchange(channel: &Channel, name: &str, kind: ExchangeKind) -> lapin::Result<()> {
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(name.into(), kind, durable, FieldTable::default()).await
}

/// Durable. Where one of this name is there, it has to be the same.
pub(super) async fn declare_queue(channel: &Channel, name: &str, arguments: FieldTable) -> lapin::Result<()> {
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.into(), durable, arguments).await.map(drop)
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> Result<()> {
    let options = QueueBindOptions::default();
    channel.queue_bind(queue.into(), exchange.into(), key.into(), options, FieldTable::default()).await.map_err(broken)
}
