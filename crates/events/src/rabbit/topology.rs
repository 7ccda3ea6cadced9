//! Exchanges and queues, declared again on each connection so that a broker that lost them gets them back. Names are for ever.

use kernel::Result;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ExchangeKind};

use super::Group;
use super::link::broken;
use crate::event::PARTITIONS;
use crate::pace::TRIES;

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

pub(super) fn routing_key(partition: u8, kind: &str) -> String {
    format!("{partition:02}.{kind}")
}

/// Declares everything that the groups need; what is there already stays.
pub(super) async fn declare(channel: &Channel, namespace: &str, groups: &[Group]) -> Result<()> {
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    for (name, kind) in [(exchange(namespace), ExchangeKind::Topic), (dead_exchange(namespace), ExchangeKind::Direct)] {
        channel.exchange_declare(name.into(), kind, durable, FieldTable::default()).await.map_err(broken)?;
    }
    for group in groups {
        let dead = dead_queue(namespace, group.name);
        declare_queue(channel, &dead, quorum()).await?;
        bind(channel, &dead, &dead_exchange(namespace), group.name).await?;
        for partition in 0..PARTITIONS {
            let queue = queue(namespace, group.name, partition);
            declare_queue(channel, &queue, partition_arguments(namespace, group.name)).await?;
            for kind in group.kinds {
                bind(channel, &queue, &exchange(namespace), &routing_key(partition, kind)).await?;
            }
        }
    }
    Ok(())
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    // Full, it refuses the newest instead of dropping the oldest.
    arguments.insert("x-overflow".into(), text("reject-publish"));
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

async fn declare_queue(channel: &Channel, name: &str, arguments: FieldTable) -> Result<()> {
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.into(), durable, arguments).await.map(drop).map_err(broken)
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> Result<()> {
    let options = QueueBindOptions::default();
    channel.queue_bind(queue.into(), exchange.into(), key.into(), options, FieldTable::default()).await.map_err(broken)
}
