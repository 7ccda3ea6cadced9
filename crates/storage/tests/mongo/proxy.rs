//! A TCP proxy that brings the weather of networks: delay, silence, deafness, refusal, and single replies that are lost after
//! their effect or cut in their middle. Knows no protocol but where a frame ends, so that other tests may include it by its path.
#![allow(dead_code, clippy::unwrap_used)] // a test

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Everything.
    Fair,
    /// Everything, each frame so much later.
    Slow(Duration),
    /// Nothing, and nobody is told: a black hole.
    Silent,
    /// Requests; no reply.
    Deaf,
    /// Nobody: connections are cut, new ones refused.
    Closed,
}

/// What happens to the reply to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It arrives at the proxy, and the connection ends.
    Whole,
    /// Its first half is passed on, and the connection ends.
    Half,
}

/// The length of the first frame, once enough of it is there to tell.
pub(crate) type Frames = fn(&[u8]) -> Option<usize>;

/// Frames of MongoDB's wire protocol: they begin with their length.
pub(crate) fn mongo_frames(bytes: &[u8]) -> Option<usize> {
    let length = i32::from_le_bytes(*bytes.first_chunk::<4>()?);
    Some(usize::try_from(length).unwrap().max(4))
}

/// No frames: what was read at once is passed on at once.
pub(crate) fn no_frames(bytes: &[u8]) -> Option<usize> {
    (!bytes.is_empty()).then_some(bytes.len())
}

struct Plan {
    needle: Vec<u8>,
    loss: Loss,
    left: AtomicUsize,
}

struct Shared {
    target: SocketAddr,
    frames: Frames,
    weather: watch::Sender<Weather>,
    plan: Mutex<Option<Arc<Plan>>>,
}

/// Listens on a port of its own until it is dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    accepts: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn before(target: &str, frames: Frames) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let weather = watch::Sender::new(Weather::Fair);
        let shared = Arc::new(Shared { target: target.parse().unwrap(), frames, weather, plan: Mutex::new(None) });
        let accepts = tokio::spawn(accept(listener, shared.clone()));
        Self { address, shared, accepts }
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.shared.weather.send_replace(weather);
    }

    /// Loses the replies to the next `count` requests that contain these bytes.
    pub(crate) fn lose(&self, count: usize, needle: &str, loss: Loss) {
        let plan = Plan { needle: needle.as_bytes().to_vec(), loss, left: AtomicUsize::new(count) };
        *self.shared.plan.lock().unwrap() = Some(Arc::new(plan));
    }

    /// How many of those are still to be lost.
    pub(crate) fn left(&self) -> usize {
        self.shared.plan.lock().unwrap().as_ref().map_or(0, |plan| plan.left.load(Ordering::SeqCst))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepts.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let address = listener.local_addr().unwrap();
    let mut listener = Some(listener);
    let mut weather = shared.weather.subscribe();
    let mut connections = JoinSet::new();
    loop {
        let closed = *weather.borrow_and_update() == Weather::Closed;
        if closed {
            listener = None;
            connections.shutdown().await;
        } else if listener.is_none() {
            listener = Some(TcpListener::bind(address).await.unwrap());
        }
        let next = async {
            match &listener {
                Some(listener) => listener.accept().await.unwrap().0,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            client = next => {
                connections.spawn(serve(client, shared.clone()));
            }
            _ = weather.changed() => {}
            _ = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

/// Both directions until one ends, and with it the connection.
async fn serve(client: TcpStream, shared: Arc<Shared>) {
    pass(&shared, Direction::Request).await;
    let Ok(server) = TcpStream::connect(shared.target).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let doomed = Arc::new(Mutex::new(None));
    let requests = pump(shared.clone(), Direction::Request, (from_client, to_server), doomed.clone());
    let replies = pump(shared, Direction::Reply, (from_server, to_client), doomed);
    tokio::select! {
        () = requests => {}
        () = replies => {}
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    Reply,
}

async fn pump(
    shared: Arc<Shared>,
    direction: Direction,
    (mut from, mut to): (OwnedReadHalf, OwnedWriteHalf),
    doomed: Arc<Mutex<Option<Loss>>>,
) {
    let mut buffer = Vec::new();
    while let Some(frame) = next_frame(&mut from, &mut buffer, shared.frames).await {
        if direction == Direction::Request {
            if let Some(loss) = hit(&shared, &frame) {
                *doomed.lock().unwrap() = Some(loss);
            }
        } else if let Some(loss) = *doomed.lock().unwrap() {
            if loss == Loss::Half {
                // The peer sees a frame that never ends.
                drop(to.try_write(&frame[..frame.len() / 2]));
            }
            return;
        }
        pass(&shared, direction).await;
        if to.write_all(&frame).await.is_err() {
            return;
        }
    }
}

async fn next_frame(from: &mut OwnedReadHalf, buffer: &mut Vec<u8>, frames: Frames) -> Option<Vec<u8>> {
    loop {
        if let Some(length) = frames(buffer).filter(|length| buffer.len() >= *length) {
            let rest = buffer.split_off(length);
            return Some(std::mem::replace(buffer, rest));
        }
        if from.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn hit(shared: &Shared, frame: &[u8]) -> Option<Loss> {
    let plan = shared.plan.lock().unwrap().clone()?;
    let meant = frame.windows(plan.needle.len()).any(|window| window == plan.needle);
    let counts = || plan.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    (meant && counts()).then_some(plan.loss)
}

/// Returns when the weather lets a frame of this direction through.
async fn pass(shared: &Shared, direction: Direction) {
    let mut weather = shared.weather.subscribe();
    let now = *weather.borrow_and_update();
    match now {
        Weather::Slow(delay) => tokio::time::sleep(delay).await,
        Weather::Silent => drop(weather.wait_for(|now| *now != Weather::Silent).await),
        Weather::Deaf if direction == Direction::Reply => drop(weather.wait_for(|now| *now != Weather::Deaf).await),
        Weather::Fair | Weather::Deaf | Weather::Closed => {}
    }
}
