//! The bus over RabbitMQ: what it is given, who publishes and who consumes. Quorum queues, confirms, our own reconnecting.
//! No type of the client leaves this folder.

mod blocked;
mod consume;
mod dead;
mod gate;
mod link;
mod look;
mod partition;
mod publish;
mod topology;
mod wire;

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kernel::{Error, Result};
use lapin::uri::{AMQPScheme, AMQPUri};
use storage::Answer;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::contract::{Bus, Refusal, Subscriber, Taken};
use crate::event::Delivered;
use crate::pace::Backoff;
use crate::stop::Stop;
pub use look::Look;
use publish::Line;

/// Most events that are sent and not yet confirmed.
const UNCONFIRMED: usize = 256;
/// Seconds without a sign of life after which a connection is given up.
const HEARTBEAT_SECONDS: u16 = 10;

/// A consumer group: every subscriber of one name, in whichever process. Its queues are there from the first connection of
/// anybody who knows it, so what is published before it runs waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The subscriber's name.
    pub name: &'static str,
    /// The kinds it hears.
    pub kinds: &'static [&'static str],
}

impl Group {
    /// The group of this subscriber.
    pub fn of(subscriber: &dyn Subscriber) -> Self {
        Self { name: subscriber.name(), kinds: subscriber.kinds() }
    }
}

/// The address of a broker with its credentials, `amqps://user:password@host/vhost`. Cannot be printed.
#[derive(Clone)]
pub struct Address(AMQPUri);

impl Address {
    /// Reads an address. Plain `amqp` is for loopback alone unless `insecure`. Errors: `BROKER_INVALID`, which does not repeat it.
    pub fn parse(raw: &str, insecure: bool) -> Result<Self> {
        let invalid = |message: &str| Error::invalid("BROKER_INVALID", message);
        let mut uri: AMQPUri = raw.parse().map_err(|_| invalid("the address of the broker is malformed"))?;
        let host = &uri.authority.host;
        let near = host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if uri.scheme == AMQPScheme::AMQP && !near && !insecure {
            return Err(invalid("a broker beyond loopback is reached by amqps"));
        }
        uri.query.heartbeat = Some(HEARTBEAT_SECONDS);
        Ok(Self(uri))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({}:{})", self.0.authority.host, self.0.authority.port)
    }
}

/// Which broker, and what is known of its users.
#[derive(Clone, Debug)]
pub struct Broker {
    /// Where it is.
    pub address: Address,
    /// Certificates, in PEM, of an authority of one's own that is believed beside the public ones.
    pub authority: Option<String>,
    /// First part of the name of every queue and exchange; `mozaiks` but in tests.
    pub namespace: String,
    /// Groups besides those of `attach`: of the services that run elsewhere. An event of a kind that none of the known groups
    /// hears and the broker can bring nowhere is done with.
    pub groups: Vec<Group>,
    /// Waits of a consumer after a failed event.
    pub backoff: Backoff,
}

impl Broker {
    /// A broker with the usual settings.
    pub fn new(address: Address, groups: Vec<Group>) -> Self {
        let backoff = Backoff { least: Duration::from_secs(1), most: Duration::from_secs(300) };
        Self { address, authority: None, namespace: "mozaiks".to_owned(), groups, backoff }
    }
}

/// What a broker's adapter has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Events that the broker keeps.
    pub confirmed: u64,
    /// Events that nobody hears.
    pub unheard: u64,
    /// Events that subscribers here recorded.
    pub consumed: u64,
    /// Tries of subscribers here that failed.
    pub failed: u64,
    /// Events that went to a dead-letter queue.
    pub dead: u64,
    /// Connections made.
    pub connections: u64,
}

#[derive(Debug, Default)]
struct Counts {
    confirmed: AtomicU64,
    unheard: AtomicU64,
    consumed: AtomicU64,
    failed: AtomicU64,
    dead: AtomicU64,
    connections: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// The bus over RabbitMQ. It connects in the background and for ever; while there is no connection, publishing fails at once.
#[derive(Debug)]
pub struct Rabbit {
    shared: Arc<Shared>,
    line: watch::Receiver<Option<Arc<Line>>>,
    line_sender: Mutex<Option<watch::Sender<Option<Arc<Line>>>>>,
    permits: Semaphore,
    stop: watch::Sender<bool>,
    stopped: Stop,
    tasks: Mutex<JoinSet<()>>,
}

/// What publisher and consumer know both.
#[derive(Debug)]
struct Shared {
    broker: Broker,
    /// Those of the broker's settings and those of `attach`.
    groups: Mutex<Vec<Group>>,
    counts: Counts,
}

impl Shared {
    fn groups(&self) -> Vec<Group> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_heard(&self, kind: &str) -> bool {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|group| group.kinds.contains(&kind))
    }
}

impl Rabbit {
    /// A bus that begins to connect when subscribers are attached.
    pub fn new(broker: Broker) -> Self {
        let groups = Mutex::new(broker.groups.clone());
        let (sender, line) = watch::channel(None);
        let (stop, stopped) = Stop::channel();
        Self {
            shared: Arc::new(Shared { broker, groups, counts: Counts::default() }),
            line,
            line_sender: Mutex::new(Some(sender)),
            permits: Semaphore::new(UNCONFIRMED),
            stop,
            stopped,
            tasks: Mutex::default(),
        }
    }

    /// What it has done.
    pub fn traffic(&self) -> Traffic {
        let counts = &self.shared.counts;
        Traffic {
            confirmed: counts.confirmed.load(Relaxed),
            unheard: counts.unheard.load(Relaxed),
            consumed: counts.consumed.load(Relaxed),
            failed: counts.failed.load(Relaxed),
            dead: counts.dead.load(Relaxed),
            connections: counts.connections.load(Relaxed),
        }
    }

    /// How many dead letters each known group has. Errors: `BROKER_UNAVAILABLE`.
    pub async fn dead_letters(&self) -> Result<Vec<(&'static str, u32)>> {
        dead::count(&self.shared).await
    }

    /// Compares what the known groups need with what the broker has, and leaves it as it is. Errors: `BROKER_UNAVAILABLE`.
    pub async fn look(&self) -> Result<Look> {
        look::look(&self.shared).await
    }

    /// Sends the dead letters of a group back to its queues, in their order, and lets their aggregates go on. How many. What
    /// fails again comes back here. Run by one operator at a time. Errors: `BROKER_UNAVAILABLE`.
    pub async fn replay(&self, group: &str) -> Result<usize> {
        dead::replay(&self.shared, group).await
    }
}

impl Bus for Rabbit {
    fn attach(&self, subscribers: Vec<Arc<dyn Subscriber>>) -> Result<()> {
        let Some(line) = self.line_sender.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Err(Error::internal("BUS_ATTACHED", "the bus has its subscribers already"));
        };
        let mut groups = self.shared.groups();
        groups.retain(|group| subscribers.iter().all(|subscriber| subscriber.name() != group.name));
        groups.extend(subscribers.iter().map(|subscriber| Group::of(&**subscriber)));
        *self.shared.groups.lock().unwrap_or_else(PoisonError::into_inner) = groups;
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(publish::keep(self.shared.clone(), line, self.stopped.clone()));
        if !subscribers.is_empty() {
            tasks.spawn(consume::keep(self.shared.clone(), subscribers, self.stopped.clone()));
        }
        Ok(())
    }

    fn ready(&self) -> Result<()> {
        if self.line.borrow().as_ref().is_some_and(|line| line.is_open()) { Ok(()) } else { Err(link::unavailable()) }
    }

    fn publish<'a>(&'a self, event: &'a Arc<Delivered>) -> Taken<'a> {
        Box::pin(async move {
            let Ok(_permit) = self.permits.acquire().await else { return Err(Refusal::Down(link::unavailable())) };
            let line = self.line.borrow().clone();
            let line = line.filter(|line| line.is_open()).ok_or_else(|| Refusal::Down(link::unavailable()))?;
            line.publish(&self.shared, event).await
        })
    }

    fn stop(&self) -> Answer<'_, ()> {
        self.stop.send_replace(true);
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        Box::pin(async move {
            while let Some(ended) = tasks.join_next().await {
                if let Err(cause) = ended {
                    tracing::error!(%cause, "a side of the bus ended by itself");
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_address_is_not_printed_and_plain_text_stays_on_loopback() {
        let address = Address::parse("amqps://ann:secret@broker.example.com/%2f", false).unwrap();
        assert_eq!(format!("{address:?}"), "Address(broker.example.com:5671)");
        for near in ["amqp://127.0.0.1:5672", "amqp://localhost", "amqp://[::1]"] {
            assert!(Address::parse(near, false).is_ok(), "{near}");
        }
        for bad in ["amqp://ann:secret@broker.example.com", "http://ann:secret@broker", "ann:secret"] {
            let error = Address::parse(bad, false).unwrap_err();
            assert!(error.reason() == "BROKER_INVALID" && !format!("{error:?}").contains("secret"), "{bad}");
        }
        assert!(Address::parse("amqp://broker.example.com", true).is_ok());
    }
}
