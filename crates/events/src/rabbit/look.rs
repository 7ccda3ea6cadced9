//! What a broker has of what the groups need, for whoever checks an installation. Makes nothing: what is there is declared
//! once more as it should be, which the broker compares, and what is not there is left so.

use kernel::Result;
use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};

use super::link::{self, broken};
use super::{Shared, topology};

/// A broker, seen once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Exchanges and queues that are durable, of our type and with our arguments.
    pub sound: usize,
    /// Those that are not there: they are made at the first connection of a node.
    pub missing: usize,
    /// Those that are another thing under the same name, in the broker's words.
    pub differing: Vec<String>,
    /// Events in the dead-letter queues.
    pub dead: u32,
    /// Events in queues that nobody consumes.
    pub unheard: u32,
}

struct Looking<'a> {
    connection: &'a Connection,
    channel: Channel,
    found: Look,
}

pub(super) async fn look(shared: &Shared) -> Result<Look> {
    let (connection, channel) = link::open(shared, "doctor").await?;
    let mut looking = Looking { connection: &connection, channel, found: Look::default() };
    let namespace = &shared.broker.namespace;
    let looked = async {
        for (name, kind) in topology::exchanges(namespace) {
            looking.exchange(&name, kind).await?;
        }
        for group in shared.groups() {
            let dead = topology::dead_queue(namespace, group.name);
            for (name, arguments) in topology::queues(namespace, group.name) {
                looking.queue(&name, arguments, name == dead).await?;
            }
        }
        Ok(())
    };
    link::soon(looked).await?;
    let found = looking.found;
    link::close(&connection).await;
    Ok(found)
}

impl Looking<'_> {
    async fn exchange(&mut self, name: &str, kind: ExchangeKind) -> Result<()> {
        let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let there = self.channel.exchange_declare(name.into(), kind.clone(), passive, FieldTable::default()).await;
        if self.is_there(there).await?.is_some() {
            let declared = topology::declare_exchange(&self.channel, name, kind).await;
            self.compare(declared).await?;
        }
        Ok(())
    }

    async fn queue(&mut self, name: &str, arguments: FieldTable, is_dead: bool) -> Result<()> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let there = self.channel.queue_declare(name.into(), passive, FieldTable::default()).await;
        let Some(queue) = self.is_there(there).await? else { return Ok(()) };
        match (is_dead, queue.consumer_count()) {
            (true, _) => self.found.dead += queue.message_count(),
            (false, 0) => self.found.unheard += queue.message_count(),
            (false, _) => {}
        }
        let declared = topology::declare_queue(&self.channel, name, arguments).await;
        self.compare(declared).await
    }

    /// A refusal costs the channel, so that a new one is needed.
    async fn is_there<T>(&mut self, asked: lapin::Result<T>) -> Result<Option<T>> {
        match asked {
            Ok(there) => Ok(Some(there)),
            Err(error) if refusal(&error) == Some(AMQPSoftError::NOTFOUND) => {
                self.found.missing += 1;
                self.renew().await.map(|()| None)
            }
            Err(error) => Err(broken(error)),
        }
    }

    async fn compare(&mut self, declared: lapin::Result<()>) -> Result<()> {
        match declared {
            Ok(()) => {
                self.found.sound += 1;
                Ok(())
            }
            Err(error) if refusal(&error) == Some(AMQPSoftError::PRECONDITIONFAILED) => {
                self.found.differing.push(error.to_string());
                self.renew().await
            }
            Err(error) => Err(broken(error)),
        }
    }

    async fn renew(&mut self) -> Result<()> {
        self.channel = self.connection.create_channel().await.map_err(broken)?;
        Ok(())
    }
}

fn refusal(error: &lapin::Error) -> Option<AMQPSoftError> {
    match error.kind() {
        ErrorKind::ProtocolError(refused) => match refused.kind() {
            AMQPErrorKind::Soft(soft) => Some(soft.clone()),
            AMQPErrorKind::Hard(_) => None,
        },
        _ => None,
    }
}
