//! The sending side: one connection, one channel with confirms. An event counts as taken when the broker says that it is on disk
//! in a queue.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kernel::Error;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation};
use tokio::sync::{Notify, watch};

use super::link::{self, Pauses, broken, unavailable};
use super::{Shared, count, topology, wire};
use crate::contract::Refusal;
use crate::event::Delivered;
use crate::stop::Stop;

/// Longest wait for a confirm; a line that is silent for longer is given up.
const CONFIRM: Duration = Duration::from_secs(10);

/// So long one channel is believed that the broker is full. The broker tells it when a queue is read again, but not when a limit
/// was lifted: only another channel finds that out.
const FULL: Duration = Duration::from_secs(5);

/// A channel that takes events as long as nothing went wrong on it.
pub(super) struct Line {
    channel: Channel,
    open: AtomicBool,
    hung_up: Notify,
    /// Since when the broker has refused everything.
    refused: Mutex<Option<Instant>>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line(open: {})", self.is_open())
    }
}

impl Line {
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Relaxed) && self.channel.status().connected()
    }

    /// Sends one event and waits for its confirm.
    pub(super) async fn publish(&self, shared: &Shared, event: &Delivered) -> Result<(), Refusal> {
        let confirmation = match tokio::time::timeout(CONFIRM, self.send(shared, event)).await {
            Ok(Ok(confirmation)) => confirmation,
            Ok(Err(cause)) => return Err(self.hang_up(broken(cause))),
            Err(_) => return Err(self.hang_up(unavailable())),
        };
        match confirmation {
            Confirmation::Ack(None) => {
                *self.refused() = None;
                count(&shared.counts.confirmed);
            }
            Confirmation::Ack(Some(_)) if !shared.is_heard(&event.kind) => count(&shared.counts.unheard),
            // A queue that was declared is gone: it comes back with the next connection.
            Confirmation::Ack(Some(_)) => return Err(self.hang_up(unavailable())),
            Confirmation::Nack(_) => {
                let full = Error::unavailable("BROKER_FULL", "the broker takes no more events at present");
                let since = *self.refused().get_or_insert_with(Instant::now);
                return Err(if since.elapsed() < FULL { Refusal::Down(full) } else { self.hang_up(full) });
            }
            Confirmation::NotRequested => return Err(self.hang_up(unavailable())),
        }
        Ok(())
    }

    fn refused(&self) -> MutexGuard<'_, Option<Instant>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, shared: &Shared, event: &Delivered) -> lapin::Result<Confirmation> {
        let exchange = topology::exchange(&shared.broker.namespace);
        let key = topology::routing_key(event.partition, &event.kind);
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = wire::properties(event);
        self.channel.basic_publish(exchange.into(), key.into(), options, &event.payload, properties).await?.await
    }

    fn hang_up(&self, error: Error) -> Refusal {
        self.open.store(false, Relaxed);
        self.hung_up.notify_one();
        Refusal::Down(error)
    }
}

/// Keeps a line open until told to stop.
pub(super) async fn keep(shared: Arc<Shared>, line: watch::Sender<Option<Arc<Line>>>, mut stop: Stop) {
    let mut pauses = Pauses::new("relay", stop.clone());
    while !stop.is_said() {
        let outcome = hold(&shared, &line, &mut stop).await;
        line.send_replace(None);
        pauses.after(outcome).await;
    }
}

/// One line, for as long as it lives.
async fn hold(shared: &Shared, line: &watch::Sender<Option<Arc<Line>>>, stop: &mut Stop) -> kernel::Result<()> {
    let (connection, channel) = link::connect(shared, "relay").await?;
    link::soon(async { channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(broken) }).await?;
    let open = Arc::new(Line { channel, open: AtomicBool::new(true), hung_up: Notify::new(), refused: Mutex::default() });
    line.send_replace(Some(open.clone()));
    tracing::info!("connected to the broker, to publish");
    tokio::select! {
        () = link::ended(&connection) => tracing::warn!("the connection to the broker ended"),
        () = open.hung_up.notified() => tracing::warn!("the connection to the broker is given up"),
        () = stop.said() => {}
    }
    line.send_replace(None);
    link::close(&connection).await;
    Ok(())
}
