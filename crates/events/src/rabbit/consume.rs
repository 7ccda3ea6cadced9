//! The receiving side: one connection, one channel for each subscriber here, one consumer for each partition.

use std::sync::Arc;
use std::time::Duration;

use kernel::Result;
use lapin::Connection;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use tokio::task::JoinSet;

use super::link::{self, Pauses, broken};
use super::partition::{self, Member};
use super::{Shared, topology};
use crate::contract::Subscriber;
use crate::event::PARTITIONS;
use crate::hear::HEARING;
use crate::stop::Stop;

/// Most events of a partition that are here and not yet acknowledged; so many may wait behind a failing one.
const PREFETCH: u16 = 64;
/// How long partitions get to notice that their connection has ended.
const NOTICE: Duration = Duration::from_secs(5);

/// Consumes until told to stop.
pub(super) async fn keep(shared: Arc<Shared>, subscribers: Vec<Arc<dyn Subscriber>>, mut stop: Stop) {
    let members = subscribers.into_iter();
    let members: Vec<_> = members.map(|subscriber| Arc::new(Member::new(shared.clone(), subscriber, stop.clone()))).collect();
    let mut pauses = Pauses::new("subscribers", stop.clone());
    while !stop.is_said() {
        let outcome = hold(&shared, &members, &mut stop).await;
        pauses.after(outcome).await;
    }
}

/// One connection, for as long as it lives. Nobody works at its events afterwards.
async fn hold(shared: &Shared, members: &[Arc<Member>], stop: &mut Stop) -> Result<()> {
    let (connection, _channel) = link::connect(shared, "subscribers").await?;
    let connection = Arc::new(connection);
    let mut partitions = JoinSet::new();
    for member in members {
        link::soon(consume(&connection, member, &mut partitions)).await?;
    }
    tracing::info!("connected to the broker, to subscribe");
    tokio::select! {
        () = link::ended(&connection) => {}
        // A queue was deleted, or the channel refused something: all of it is made anew.
        _ = partitions.join_next() => {}
        () = stop.said() => {}
    }
    let notice = if stop.is_said() { HEARING } else { NOTICE };
    if !stop.is_said() {
        tracing::warn!("the connection of the subscribers to the broker ended");
        link::close(&connection).await;
    }
    let all = async { while partitions.join_next().await.is_some() {} };
    if tokio::time::timeout(notice, all).await.is_err() {
        partitions.shutdown().await;
    }
    link::close(&connection).await;
    Ok(())
}

async fn consume(connection: &Arc<Connection>, member: &Arc<Member>, partitions: &mut JoinSet<Result<()>>) -> Result<()> {
    let (namespace, group) = (&member.shared.broker.namespace, member.subscriber.name());
    let channel = connection.create_channel().await.map_err(broken)?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.map_err(broken)?;
    for part in 0..PARTITIONS {
        let queue = topology::queue(namespace, group, part);
        let tag = format!("{group}.{part:02}");
        let consumer = channel.basic_consume(queue.into(), tag.into(), BasicConsumeOptions::default(), FieldTable::default());
        partitions.spawn(partition::run((member.clone(), connection.clone()), consumer.await.map_err(broken)?));
    }
    Ok(())
}
