//! A connection to the broker: made within a bounded time, declared anew each time, watched until it ends, made again after a
//! pause. The client's own recovery is not used.

use std::time::Duration;

use kernel::{Error, Result};
use lapin::tcp::OwnedTLSConfig;
use lapin::{Channel, Connection, ConnectionProperties, Event};
use tokio_stream::StreamExt as _;

use super::{Shared, count, topology};
use crate::pace::Backoff;
use crate::stop::Stop;

/// Longest time to connect and to declare, and then to subscribe.
const CONNECTING: Duration = Duration::from_secs(20);
/// Pauses between connections.
const RECONNECT: Backoff = Backoff { least: Duration::from_millis(200), most: Duration::from_secs(5) };

pub(super) fn unavailable() -> Error {
    Error::unavailable("BROKER_UNAVAILABLE", "the broker of events is not reachable")
}

/// The same error with what the client says, which holds no credentials.
pub(super) fn broken(cause: lapin::Error) -> Error {
    unavailable().because(cause)
}

/// A fresh connection, and a channel on it, with everything declared that the groups need.
pub(super) async fn connect(shared: &Shared, side: &str) -> Result<(Connection, Channel)> {
    let declared = async {
        let (connection, channel) = open(shared, side).await?;
        topology::declare(&channel, &shared.broker.namespace, &shared.groups()).await?;
        count(&shared.counts.connections);
        Ok((connection, channel))
    };
    soon(declared).await
}

/// A fresh connection, and a channel on it. Declares nothing.
pub(super) async fn open(shared: &Shared, side: &str) -> Result<(Connection, Channel)> {
    let open = async {
        let name = format!("{} {side}", shared.broker.namespace);
        let properties = ConnectionProperties::default().with_connection_name(name.as_str().into());
        let tls = OwnedTLSConfig { identity: None, cert_chain: shared.broker.authority.clone() };
        let runtime = lapin::runtime::default_runtime().map_err(broken)?;
        let address = shared.broker.address.0.clone();
        let connection = Connection::connect_uri_with_config(address, properties, tls, runtime).await.map_err(broken)?;
        let channel = connection.create_channel().await.map_err(broken)?;
        Ok((connection, channel))
    };
    soon(open).await
}

/// What the broker answers, unless it does not: a client may wait for ever on a connection that broke at the wrong moment.
pub(super) async fn soon<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(CONNECTING, answer).await.unwrap_or_else(|_| Err(unavailable()))
}

/// Until the connection ends by itself.
pub(super) async fn ended(connection: &Connection) {
    let mut events = std::pin::pin!(connection.events_listener());
    while connection.status().connected() {
        let next = tokio::time::timeout(Duration::from_secs(1), events.next()).await;
        if matches!(next, Ok(None | Some(Event::Error(_)))) {
            return;
        }
    }
}

/// The pauses between one connection and the next.
pub(super) struct Pauses {
    side: &'static str,
    failures: i64,
    stop: Stop,
}

impl Pauses {
    pub(super) fn new(side: &'static str, stop: Stop) -> Self {
        Self { side, failures: 0, stop }
    }

    /// Waits before the next connection, longer after each that was not made.
    pub(super) async fn after(&mut self, outcome: Result<()>) {
        match outcome {
            Ok(()) => self.failures = 0,
            Err(error) => {
                self.failures += 1;
                // The first says what is wrong; the others would say it for as long as the broker is away.
                if self.failures == 1 {
                    tracing::warn!(side = self.side, ?error, "no connection to the broker; trying again");
                }
            }
        }
        tokio::select! {
            () = self.stop.said() => {}
            () = tokio::time::sleep(RECONNECT.after(self.failures.max(1))) => {}
        }
    }
}

/// Says good-bye, if the broker still listens.
pub(super) async fn close(connection: &Connection) {
    let closing = connection.close(200, "done".into());
    if let Ok(Err(cause)) = tokio::time::timeout(Duration::from_secs(1), closing).await {
        tracing::debug!(%cause, "a connection to the broker was not closed");
    }
}
