//! The one accept loop of gateway and services: HTTP/1.1 and 2 by preface, caps, age, drain. Knows nothing of gRPC.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use kernel::{Error, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tonic::Status;
use tower::Service;
use tracing::{debug, error, info, warn};

use crate::guard::Claims;
use crate::{Body, Http};

/// Who sits at the other end of the socket. In the extensions of every request that a listener took.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

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
    /// Header block of one request.
    pub header_bytes: u32,
    /// From the first byte of a request's headers to the last.
    pub header_timeout: Duration,
    /// A connection without a call in flight is closed after this.
    pub idle: Duration,
    /// A connection is asked to go (GOAWAY, `Connection: close`) at this age, give or take a tenth.
    pub age: Duration,
    /// How long calls may still run on a connection that was asked to go; then it is cut.
    pub grace: Duration,
    /// The same when the whole listener shuts down.
    pub drain: Duration,
    /// Plain text may be spoken on addresses that are not loopback.
    pub insecure: bool,
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
            insecure: false,
        }
    }
}

/// A bound address.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    caps: Caps,
}

impl Listener {
    /// Binds `address`, such as `127.0.0.1:0`. Errors: `ADDRESS_UNUSABLE`, `ADDRESS_EXPOSED` for plain text beyond
    /// loopback without `insecure`.
    pub async fn bind(address: &str, caps: Caps) -> Result<Self> {
        let unusable = |cause| Error::internal("ADDRESS_UNUSABLE", format!("cannot listen on {address}")).because(cause);
        let socket = TcpListener::bind(address).await.map_err(unusable)?;
        let bound = socket.local_addr().map_err(unusable)?;
        if !bound.ip().is_loopback() && !caps.insecure {
            return Err(Error::refused("ADDRESS_EXPOSED", format!("{bound} is not loopback: plain text there needs `insecure`")));
        }
        Ok(Self { socket, address: bound, caps })
    }

    /// The address it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then drains: no new connections, calls in flight finish within `Caps::drain`, the rest is
    /// cut. Returns when the last connection is gone.
    pub async fn serve(self, service: Http, shutdown: impl Future<Output = ()> + Send + 'static) {
        let mut shutdown = pin!(shutdown);
        let (stop, stopping) = watch::channel(false);
        let door = Door::new(self.caps, service, stopping);
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
    service: Http,
    stopping: watch::Receiver<bool>,
    total: Arc<Semaphore>,
    inside: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Door {
    fn new(caps: Caps, service: Http, stopping: watch::Receiver<bool>) -> Self {
        let total = Arc::new(Semaphore::new(caps.connections));
        Self { caps: Arc::new(caps), service, stopping, total, inside: Arc::default() }
    }

    fn enter(&self, stream: TcpStream, peer: SocketAddr, open: &mut JoinSet<()>) {
        let Some(place) = self.place(peer) else { return info!(%peer, "connection refused: too many") };
        if let Err(cause) = stream.set_nodelay(true) {
            debug!(%peer, %cause, "connection is gone already");
        }
        let (caps, service, stopping) = (self.caps.clone(), self.service.clone(), self.stopping.clone());
        open.spawn(async move {
            connection(stream, peer, service, &caps, stopping).await;
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
        Some(Place { inside: self.inside.clone(), address, _total: total })
    }
}

/// A place inside; given back when dropped.
struct Place {
    inside: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
    _total: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
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

async fn connection(stream: TcpStream, peer: SocketAddr, service: Http, caps: &Caps, mut stopping: watch::Receiver<bool>) {
    let (flying, mut in_flight) = watch::channel(0_usize);
    let line = Line { service, peer, claims: Claims::new(), calls: Arc::new(Semaphore::new(caps.calls)), flying: Arc::new(flying) };
    let builder = builder(caps);
    let serve = hyper::service::service_fn(move |request| line.clone().call(request));
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), serve));
    let mut old = pin!(sleep(jittered(caps.age)));
    let mut stop = pin!(stopping.wait_for(|stopping| *stopping));
    let grace = loop {
        let quiet = *in_flight.borrow_and_update() == 0;
        tokio::select! {
            ended = &mut serving => return ended.unwrap_or_else(|cause| debug!(%peer, cause, "connection broke")),
            _ = &mut stop => break caps.drain,
            () = &mut old => break caps.grace,
            () = sleep(caps.idle), if quiet => break caps.grace,
            _ = in_flight.changed() => {}
        }
    };
    serving.as_mut().graceful_shutdown();
    match timeout(grace, serving).await {
        Ok(ended) => ended.unwrap_or_else(|cause| debug!(%peer, cause, "connection broke")),
        Err(_) => info!(%peer, "connection cut with calls in flight"),
    }
}

fn builder(caps: &Caps) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    let header_bytes = usize::try_from(caps.header_bytes).unwrap_or(usize::MAX);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(caps.header_timeout)
        .max_headers(100)
        .max_buf_size(header_bytes.max(8 * 1024))
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(caps.streams)
        .max_header_list_size(caps.header_bytes)
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

/// Give or take a tenth, so that connections opened together do not end together.
fn jittered(age: Duration) -> Duration {
    let tenth = age / 10;
    let random = RandomState::new().build_hasher().finish();
    let span = u64::try_from((tenth * 2).as_millis()).unwrap_or(u64::MAX).saturating_add(1);
    age - tenth + Duration::from_millis(random % span)
}

/// One connection's side of the service.
#[derive(Clone)]
struct Line {
    service: Http,
    peer: SocketAddr,
    claims: Claims,
    calls: Arc<Semaphore>,
    flying: Arc<watch::Sender<usize>>,
}

impl Line {
    async fn call(mut self, request: Request<Incoming>) -> Result<Response<Counted>, Infallible> {
        let flight = Flight::begin(&self.flying);
        // The semaphore is never closed; without a permit the call would only be uncounted.
        let permit = self.calls.clone().acquire_owned().await.ok();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(self.peer));
        request.extensions_mut().insert(self.claims.clone());
        poll_fn(|cx| self.service.poll_ready(cx)).await?;
        let response = self.service.call(request).await?;
        Ok(response.map(|body| Counted { body, _flight: flight, _permit: permit }))
    }
}

/// A call in flight, until its answer's last byte.
struct Flight(Arc<watch::Sender<usize>>);

impl Flight {
    fn begin(flying: &Arc<watch::Sender<usize>>) -> Self {
        flying.send_modify(|count| *count += 1);
        Self(flying.clone())
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// An answer's body that keeps its call counted.
struct Counted {
    body: Body,
    _flight: Flight,
    _permit: Option<OwnedSemaphorePermit>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_and_ages() {
        let near = |text: &str| neighbourhood(text.parse().unwrap()).to_string();
        assert_eq!(near("::ffff:10.0.0.1"), "10.0.0.1");
        assert_eq!(near("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        let ages: Vec<_> = (0..100).map(|_| jittered(Duration::from_secs(100))).collect();
        assert!(ages.iter().all(|age| (Duration::from_secs(90)..=Duration::from_secs(110)).contains(age)));
        assert!(ages.iter().any(|age| age != &ages[0]));
    }

    #[test]
    fn places_are_counted_and_given_back() {
        let nothing = Http::new(tower::service_fn(|_| async { Ok(Response::new(Body::empty())) }));
        let caps = Caps { connections: 3, connections_per_address: 2, ..Caps::default() };
        let door = Door::new(caps, nothing, watch::channel(false).1);
        let place = |text: &str| door.place(text.parse().unwrap());
        let (one, _two) = (place("10.0.0.1:1").unwrap(), place("10.0.0.1:2").unwrap());
        assert!(place("10.0.0.1:3").is_none());
        let _other = place("10.0.0.2:1").unwrap();
        assert!(place("10.0.0.3:1").is_none(), "the listener is full");
        drop(one);
        assert!(place("10.0.0.1:3").is_some());
    }
}
