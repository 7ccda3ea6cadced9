//! The one accept loop of gateway and services: HTTP/1.1 and 2 by preface, caps, age, drain. Knows nothing of gRPC.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use kernel::{Error, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, error, info, warn};

use crate::claims::Budget;
use crate::flight::{Line, Look, Shared};
use crate::socket::Metered;
use crate::traffic::{Traffic, add};
use crate::{Http, jitter};

/// Who sits at the other end of the socket. In the extensions of every request that a listener took.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// An address as the value of a header.
pub fn address_header(address: IpAddr) -> HeaderValue {
    let IpAddr::V4(v4) = address else {
        return HeaderValue::try_from(address.to_string()).unwrap_or(HeaderValue::from_static("::"));
    };
    // By hand: with the formatter of the standard library it was a tenth of what the stack adds to a call.
    let mut text = Vec::with_capacity(15);
    for octet in v4.octets() {
        if !text.is_empty() {
            text.push(b'.');
        }
        for (least, unit) in [(100, 100), (10, 10), (0, 1)] {
            if octet >= least {
                text.push(b'0' + octet / unit % 10);
            }
        }
    }
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static("0.0.0.0"))
}

/// Limits of one listener.
#[derive(Clone, Debug)]
pub struct Caps {
    /// Connections at once; one more is closed unanswered.
    pub connections: usize,
    /// Connections at once from one IPv4 address or one IPv6 /64.
    pub connections_per_address: usize,
    /// HTTP/2 streams of one connection.
    pub streams: u32,
    /// Calls in flight of one connection; further ones wait.
    pub calls: usize,
    /// Header block of one request. The transport takes twice as much, so that what is a little too long is refused by
    /// those behind it, with a reason; what is longer yet gets a bare 431.
    pub header_bytes: u32,
    /// From the first byte of a request's headers to the last.
    pub header_timeout: Duration,
    /// A connection without a call in flight is closed after this.
    pub idle: Duration,
    /// A connection is asked to go (GOAWAY, `Connection: close`) at this age, give or take a tenth.
    pub age: Duration,
    /// How long calls may still run on a connection that was asked to go. Streams are ended after nine tenths of it; what
    /// is left at its end is cut.
    pub grace: Duration,
    /// The same when the whole listener shuts down, but streams are ended at once.
    pub drain: Duration,
    /// How long a piece of an answer may wait for its reader; then the connection is cut.
    pub unread: Duration,
    /// Bytes of unfinished requests of all its connections; shared with every listener that has a clone of it.
    pub budget: Budget,
    /// Plain text may be spoken on addresses that are not loopback.
    pub insecure: bool,
    /// Whoever connects is a peer of ours: what it says of a client's address stands. Until peers prove who they are, a
    /// network in which others could connect is not one for it.
    pub mesh: bool,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: 200,
            streams: 128,
            calls: 64,
            header_bytes: 16 * 1024,
            header_timeout: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            age: Duration::from_secs(30 * 60),
            grace: Duration::from_secs(30),
            drain: Duration::from_secs(20),
            unread: Duration::from_secs(30),
            budget: Budget::default(),
            insecure: false,
            mesh: false,
        }
    }
}

impl Caps {
    /// Limits of a listener for peers of ours: one connection carries the calls of a whole process.
    pub fn mesh() -> Self {
        Self { streams: 1024, calls: 1024, mesh: true, ..Self::default() }
    }
}

/// A bound address.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    caps: Caps,
    traffic: Arc<Traffic>,
}

impl Listener {
    /// Binds `address`, such as `127.0.0.1:0`. Errors: `ADDRESS_UNUSABLE`, `ADDRESS_EXPOSED` beyond loopback for plain text
    /// without `insecure`.
    pub async fn bind(address: &str, caps: Caps) -> Result<Self> {
        let unusable = |cause| Error::internal("ADDRESS_UNUSABLE", format!("cannot listen on {address}")).because(cause);
        let socket = TcpListener::bind(address).await.map_err(unusable)?;
        let bound = socket.local_addr().map_err(unusable)?;
        if !bound.ip().is_loopback() && !caps.insecure {
            return Err(Error::refused("ADDRESS_EXPOSED", format!("{bound} is not loopback: plain text there needs `insecure`")));
        }
        Ok(Self { socket, address: bound, caps, traffic: Arc::default() })
    }

    /// The address it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What passes this listener, counted from now on.
    pub fn traffic(&self) -> Arc<Traffic> {
        self.traffic.clone()
    }

    /// Serves until `shutdown`, then drains: no new connections, streams are told to come again, other calls finish within
    /// `Caps::drain`, the rest is cut. Returns when the last connection is gone.
    pub async fn serve(self, service: Http, shutdown: impl Future<Output = ()> + Send + 'static) {
        let mut shutdown = pin!(shutdown);
        let (stop, stopping) = watch::channel(false);
        let door = Door::new(self.caps, self.traffic, service, stopping);
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, peer)) => door.enter(stream, peer, &mut open),
                    Err(cause) => {
                        warn!(%cause, "cannot accept");
                        // Out of file handles, most likely: at once again would spin.
                        sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(ended) = open.join_next() => note(ended),
            }
        }
        drop(self.socket);
        stop.send_replace(true);
        while let Some(ended) = open.join_next().await {
            note(ended);
        }
    }
}

fn note(ended: std::result::Result<(), JoinError>) {
    if let Err(cause) = ended {
        error!(%cause, "a connection's task broke");
    }
}

/// Lets connections in and counts them.
struct Door {
    caps: Arc<Caps>,
    traffic: Arc<Traffic>,
    service: Http,
    stopping: watch::Receiver<bool>,
    total: Arc<Semaphore>,
    inside: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Door {
    fn new(caps: Caps, traffic: Arc<Traffic>, service: Http, stopping: watch::Receiver<bool>) -> Self {
        let total = Arc::new(Semaphore::new(caps.connections));
        Self { caps: Arc::new(caps), traffic, service, stopping, total, inside: Arc::default() }
    }

    fn enter(&self, stream: TcpStream, peer: SocketAddr, open: &mut JoinSet<()>) {
        let Some(place) = self.place(peer) else {
            add(&self.traffic.refused, 1);
            return info!(%peer, "connection refused: too many");
        };
        add(&self.traffic.connections, 1);
        if let Err(cause) = stream.set_nodelay(true) {
            debug!(%peer, %cause, "connection is gone already");
        }
        let line = Line::new(peer, self.service.clone(), self.caps.clone(), self.traffic.clone());
        let stopping = self.stopping.clone();
        open.spawn(async move {
            connection(stream, line, stopping).await;
            drop(place);
        });
    }

    fn place(&self, peer: SocketAddr) -> Option<Place> {
        let total = self.total.clone().try_acquire_owned().ok()?;
        let address = neighbourhood(peer.ip());
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let count = inside.entry(address).or_default();
        if *count >= self.caps.connections_per_address {
            return None;
        }
        *count += 1;
        Some(Place { inside: self.inside.clone(), address, traffic: self.traffic.clone(), _total: total })
    }
}

/// A place inside; given back when dropped.
struct Place {
    inside: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
    traffic: Arc<Traffic>,
    _total: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        add(&self.traffic.closed, 1);
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = inside.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                inside.remove(&self.address);
            }
        }
    }
}

/// What counts as one address: IPv4 as it is, also inside IPv6; of IPv6 the /64.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

async fn connection(stream: TcpStream, line: Line, mut stopping: watch::Receiver<bool>) {
    let shared = line.shared.clone();
    let Shared { peer, caps, traffic, .. } = &*shared;
    let builder = builder(caps);
    let serve = hyper::service::service_fn(move |request| line.clone().call(request));
    let socket = TokioIo::new(Metered::new(stream, traffic.clone()));
    let mut serving = pin!(builder.serve_connection(socket, serve));
    let mut old = pin!(sleep(jitter::around(caps.age)));
    let mut stop = pin!(stopping.wait_for(|stopping| *stopping));
    let (streams_end, cut) = loop {
        let again = match shared.flying().look(caps, Instant::now()) {
            Look::Again(at) => at,
            Look::Idle => break (Duration::ZERO, caps.grace),
            Look::Cut(why) => {
                add(&traffic.cut, 1);
                return info!(%peer, "connection cut: {why}");
            }
        };
        tokio::select! {
            ended = &mut serving => return ended.unwrap_or_else(|cause| debug!(%peer, cause, "connection broke")),
            _ = &mut stop => break (Duration::ZERO, caps.drain),
            () = &mut old => break (caps.grace / 10 * 9, caps.grace),
            () = sleep_until(again) => {}
            () = shared.bell.notified() => {}
        }
    };
    serving.as_mut().graceful_shutdown();
    let now = Instant::now();
    let (mut streams_end, mut cut) = (pin!(sleep_until(now + streams_end)), pin!(sleep_until(now + cut)));
    let mut told = false;
    loop {
        tokio::select! {
            ended = &mut serving => return ended.unwrap_or_else(|cause| debug!(%peer, cause, "connection broke")),
            () = &mut streams_end, if !told => {
                told = true;
                shared.flying().leave();
            }
            () = &mut cut => {
                add(&traffic.cut, 1);
                return info!(%peer, "connection cut with calls in flight");
            }
        }
    }
}

fn builder(caps: &Caps) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    let list_bytes = caps.header_bytes.saturating_mul(2);
    let header_bytes = usize::try_from(list_bytes).unwrap_or(usize::MAX);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(caps.header_timeout)
        .max_headers(200)
        .max_buf_size(header_bytes.max(8 * 1024))
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(caps.streams)
        .max_header_list_size(list_bytes)
        .max_frame_size(16 * 1024)
        // One message of the usual largest size may be on its way per stream; a connection holds as much unread.
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(1 << 20)
        .max_send_buf_size(64 * 1024)
        // Rapid resets, from either side, end the connection.
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::Response;

    use super::*;
    use crate::Body;

    #[test]
    fn addresses_are_written_as_they_are_read() {
        for text in ["0.0.0.0", "127.0.0.1", "10.20.109.255", "100.9.90.1", "::1", "2001:db8::"] {
            assert_eq!(address_header(text.parse().unwrap()), text);
        }
    }

    #[test]
    fn what_is_one_address() {
        let near = |text: &str| neighbourhood(text.parse().unwrap()).to_string();
        assert_eq!(near("::ffff:10.0.0.1"), "10.0.0.1");
        assert_eq!(near("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }

    #[test]
    fn places_are_counted_and_given_back() {
        let nothing = Http::new(tower::service_fn(|_| async { Ok(Response::new(Body::empty())) }));
        let caps = Caps { connections: 3, connections_per_address: 2, ..Caps::default() };
        let door = Door::new(caps, Arc::default(), nothing, watch::channel(false).1);
        let place = |text: &str| door.place(text.parse().unwrap());
        let (one, _two) = (place("10.0.0.1:1").unwrap(), place("10.0.0.1:2").unwrap());
        assert!(place("10.0.0.1:3").is_none());
        let _other = place("10.0.0.2:1").unwrap();
        assert!(place("10.0.0.3:1").is_none(), "the listener is full");
        drop(one);
        assert!(place("10.0.0.1:3").is_some());
    }
}
