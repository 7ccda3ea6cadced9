//! Peers with several endpoints: who gets a call, who is left out, what is made once more, and how a replica goes.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, Request};
use kernel::Error;
use rpc::{Addresses, Body, Caps, Http, Hub, Listener, Waiting, meshed, refuse};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::Code;
use tower::{ServiceExt, service_fn};

use crate::contracts;
use crate::listener::Server;
use crate::sample::Sample;
use crate::wire::{ask, by, call, eventually, named, string_field, with};

const NOTE: &str = "apps/acme/notes/n1";

/// One replica of a peer: the sample service as its listener for peers serves it.
struct Replica {
    address: SocketAddr,
    waiting: watch::Sender<Waiting>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
    calls: Arc<AtomicUsize>,
}

impl Replica {
    async fn start() -> Self {
        Self::serving(Sample::new().service).await
    }

    async fn serving(service: Http) -> Self {
        Self::at("127.0.0.1:0", service).await
    }

    async fn at(address: &str, service: Http) -> Self {
        let listener = Listener::bind(address, Caps::mesh()).await.unwrap();
        let (waiting, receiver) = watch::channel(Waiting::default());
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let service = service.map_request(move |request: Request<Body>| {
            counted.fetch_add(1, Ordering::SeqCst);
            request
        });
        let service = meshed(&contracts::sample(), "sample", receiver, Http::new(service));
        let (stop, stopped) = oneshot::channel();
        let address = listener.address();
        let served = tokio::spawn(listener.serve(service, async move { drop(stopped.await) }));
        Self { address, waiting, stop, served, calls }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Not serving at first, then no door any more, then gone.
    async fn drain(self, notice: Duration) {
        self.waiting.send_replace(Waiting(vec!["draining".into()]));
        tokio::time::sleep(notice).await;
        self.stop.send(()).unwrap();
        timeout(Duration::from_secs(5), self.served).await.expect("a watch of health holds no door open").unwrap();
    }
}

fn peers(addresses: &[SocketAddr]) -> (Hub, Http) {
    let hub = Hub::new();
    let all: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    hub.peer("sample", format!("static:{}", all.join(",")).parse().unwrap(), &Arc::new(contracts::sample()));
    let http = hub.edge("sample").raw();
    (hub, http)
}

fn number(hub: &Hub, name: &str) -> f64 {
    hub.numbers().into_iter().find(|number| number.name == name).unwrap().value
}

async fn all_ready(hub: &Hub, count: usize) {
    eventually(|| async { number(hub, "mesh_endpoints_ready") == count as f64 }).await;
}

/// Calls that change something under a request id.
fn update(id: &str) -> Request<Body> {
    by("ann", ask("UpdateNote", &string_field(4, id)))
}

/// Answers UNAVAILABLE while told to, and keeps the headers of what it got.
fn failing(fails: &Arc<AtomicBool>, seen: &Arc<Mutex<Vec<HeaderMap>>>, well: Http) -> Http {
    let (fails, seen) = (fails.clone(), seen.clone());
    Http::new(service_fn(move |request: Request<Body>| {
        let (fails, seen, well) = (fails.clone(), seen.clone(), well.clone());
        async move {
            seen.lock().unwrap().push(request.headers().clone());
            match fails.load(Ordering::SeqCst) {
                true => Ok(refuse(Error::unavailable("OVERLOADED", "not now"), "call-of-test")),
                false => well.oneshot(request).await,
            }
        }
    }))
}

#[tokio::test]
async fn endpoints_share_the_calls() {
    let (one, two) = (Replica::start().await, Replica::start().await);
    let (hub, peer) = peers(&[one.address, two.address]);
    all_ready(&hub, 2).await;
    for _ in 0..60 {
        assert_eq!(call(&peer, named("Look", NOTE)).await.code(), Code::Ok);
    }
    assert_eq!(one.calls() + two.calls(), 60);
    assert!(one.calls() >= 10 && two.calls() >= 10, "{} and {}", one.calls(), two.calls());
}

#[tokio::test]
async fn a_busy_endpoint_gets_fewer() {
    let (one, two) = (Replica::start().await, Replica::start().await);
    let (hub, peer) = peers(&[one.address, two.address]);
    all_ready(&hub, 2).await;
    let hanging: Vec<_> =
        (0..10).map(|_| peer.clone()).map(|peer| tokio::spawn(async move { call(&peer, named("Hang", NOTE)).await })).collect();
    eventually(|| async { one.calls() + two.calls() == 10 }).await;
    assert_eq!((one.calls(), two.calls()), (5, 5));
    hanging.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn who_does_not_serve_is_left_out_while_another_does() {
    let (one, two) = (Replica::start().await, Replica::start().await);
    let (hub, peer) = peers(&[one.address, two.address]);
    all_ready(&hub, 2).await;
    assert!(hub.unready().is_empty());
    one.waiting.send_replace(Waiting(vec!["store".into()]));
    all_ready(&hub, 1).await;
    let before = one.calls();
    for _ in 0..20 {
        assert_eq!(call(&peer, named("Look", NOTE)).await.code(), Code::Ok);
    }
    assert_eq!(one.calls(), before);
    two.waiting.send_replace(Waiting(vec!["store".into()]));
    all_ready(&hub, 0).await;
    assert_eq!(&*hub.unready()[0], "sample");
    assert_eq!(call(&peer, named("Look", NOTE)).await.code(), Code::Ok, "what nobody can do better is asked of them all the same");
    one.waiting.send_replace(Waiting::default());
    all_ready(&hub, 1).await;
}

#[tokio::test]
async fn a_peer_is_ready_when_one_endpoint_is() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (hub, peer) = peers(&[gone]);
    assert_eq!(&*hub.unready()[0], "sample");
    let replica = Replica::at(&gone.to_string(), Sample::new().service).await;
    eventually(|| async { hub.unready().is_empty() }).await;
    assert_eq!(call(&peer, named("Look", NOTE)).await.code(), Code::Ok);
    replica.drain(Duration::ZERO).await;
    eventually(|| async { !hub.unready().is_empty() }).await;
}

#[tokio::test]
async fn an_answer_that_another_endpoint_may_better_is_asked_for_there() {
    let (fails, seen) = (Arc::new(AtomicBool::new(true)), Arc::default());
    let broken = Replica::serving(failing(&fails, &seen, Sample::new().service)).await;
    let well = Replica::start().await;
    let (hub, peer) = peers(&[broken.address, well.address]);
    all_ready(&hub, 2).await;
    for n in 0..20 {
        assert_eq!(call(&peer, by("ann", named("GetNote", NOTE))).await.code(), Code::NotFound);
        assert_eq!(call(&peer, update(&format!("update-{n}"))).await.code(), Code::Ok);
    }
    let repeats = number(&hub, "mesh_retries_total");
    assert!(broken.calls() > 0 && repeats == broken.calls() as f64, "each failure was made good: {} {repeats}", broken.calls());
    let mut refused = 0;
    for _ in 0..40 {
        refused += usize::from(call(&peer, named("Look", NOTE)).await.reason() == "OVERLOADED");
        refused += usize::from(call(&peer, update("")).await.reason() == "OVERLOADED");
    }
    assert!(refused > 0, "nothing is known of what these may do twice");
    assert_eq!(number(&hub, "mesh_retries_total"), repeats);
}

#[tokio::test]
async fn repeats_stay_within_their_budget_and_do_not_multiply() {
    let (fails, seen) = (Arc::new(AtomicBool::new(true)), Arc::default());
    let (one, two) = (
        Replica::serving(failing(&fails, &seen, Sample::new().service)).await,
        Replica::serving(failing(&fails, &seen, Sample::new().service)).await,
    );
    let (hub, peer) = peers(&[one.address, two.address]);
    all_ready(&hub, 2).await;
    let callers: Vec<_> = (0..100)
        .map(|_| peer.clone())
        .map(|peer| tokio::spawn(async move { call(&peer, by("ann", named("GetNote", NOTE))).await.reason() }))
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), "OVERLOADED");
    }
    let attempts = one.calls() + two.calls();
    assert!((110..=140).contains(&attempts), "{attempts} attempts at 100 calls: a tenth, and 3 a second of ten");
    let told: Vec<_> = seen.lock().unwrap().iter().filter_map(|headers| headers.get("grpc-previous-rpc-attempts").cloned()).collect();
    assert_eq!(told.len(), attempts - 100);
    let before = attempts;
    assert_eq!(call(&peer, with(by("ann", named("GetNote", NOTE)), "grpc-previous-rpc-attempts", "1")).await.reason(), "OVERLOADED");
    assert_eq!(one.calls() + two.calls(), before + 1, "somebody repeats already");
}

/// A server that refuses the first streams of calls unread, and then answers the rest.
async fn refusing(refusals: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = asked.clone();
    tokio::spawn(async move {
        loop {
            let (socket, counted) = (listener.accept().await.unwrap().0, counted.clone());
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(socket).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let is_call = !request.uri().path().starts_with("/grpc.health.");
                    if is_call && counted.fetch_add(1, Ordering::SeqCst) < refusals {
                        respond.send_reset(h2::Reason::REFUSED_STREAM);
                        continue;
                    }
                    let answer = http::Response::builder().header("content-type", "application/grpc");
                    let status = if is_call { "0" } else { "12" };
                    respond.send_response(answer.header("grpc-status", status).body(()).unwrap(), true).unwrap();
                }
            });
        }
    });
    (address, asked)
}

#[tokio::test]
async fn a_stream_refused_unread_is_sent_once_more_whatever_it_is() {
    for (refusals, code, sent) in [(1, Code::Ok, 2), (2, Code::Unavailable, 2)] {
        let (address, asked) = refusing(refusals).await;
        let (hub, peer) = peers(&[address]);
        all_ready(&hub, 1).await;
        assert_eq!(call(&peer, named("Look", NOTE)).await.code(), code);
        assert_eq!(asked.load(Ordering::SeqCst), sent);
    }
}

/// A server that answers health and breaks off at the first call.
async fn breaking() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let socket = listener.accept().await.unwrap().0;
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(socket).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    if !request.uri().path().starts_with("/grpc.health.") {
                        return;
                    }
                    let answer = http::Response::builder().header("content-type", "application/grpc").header("grpc-status", "12");
                    respond.send_response(answer.body(()).unwrap(), true).unwrap();
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn an_endpoint_that_keeps_breaking_is_out_for_a_while_but_never_the_last() {
    let (broken, well) = (breaking().await, Replica::start().await);
    let (hub, peer) = peers(&[broken, well.address]);
    all_ready(&hub, 2).await;
    let out = || async {
        assert_eq!(call(&peer, by("ann", named("GetNote", NOTE))).await.code(), Code::NotFound, "made good at the other one");
        number(&hub, "mesh_endpoints_out") == 1.0
    };
    eventually(out).await;
    for _ in 0..50 {
        assert_eq!(call(&peer, named("Look", NOTE)).await.code(), Code::Ok, "the broken one is asked no more");
    }
    let (alone, peer) = peers(&[broken]);
    for _ in 0..8 {
        all_ready(&alone, 1).await;
        assert_eq!(call(&peer, named("Look", NOTE)).await.reason(), "PEER_BROKEN");
    }
}

#[tokio::test]
async fn a_long_answer_keeps_its_connection_when_the_endpoint_goes() {
    let replica = Replica::start().await;
    let (hub, peer) = peers(&[replica.address]);
    all_ready(&hub, 1).await;
    let running = tokio::spawn(async move { call(&peer, with(named("Hang", NOTE), "grpc-timeout", "400m")).await });
    eventually(|| async { replica.calls() == 1 }).await;
    replica.drain(Duration::ZERO).await;
    assert_eq!(running.await.unwrap().code(), Code::DeadlineExceeded, "it ended by its own deadline");
}

/// How often one of two replicas is replaced under load.
const ROUNDS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_are_replaced_one_by_one_without_a_failed_call() {
    let (one, two) = (Replica::start().await, Replica::start().await);
    let addresses = [one.address, two.address];
    let (hub, peer) = peers(&addresses);
    all_ready(&hub, 2).await;
    let (done, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..8)
        .map(|_| (peer.clone(), done.clone(), made.clone()))
        .map(|(peer, done, made)| {
            tokio::spawn(async move {
                while !done.load(Ordering::SeqCst) {
                    // Not one that may be made twice: what fails is seen.
                    let answer = call(&peer, named("Look", NOTE)).await;
                    assert_eq!(answer.code(), Code::Ok, "{answer:?}");
                    made.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let mut replicas = [Some(one), Some(two)];
    for round in 0..ROUNDS {
        let at = round % 2;
        replicas[at].take().unwrap().drain(Duration::from_millis(20)).await;
        replicas[at] = Some(Replica::at(&addresses[at].to_string(), Sample::new().service).await);
        all_ready(&hub, 2).await;
    }
    done.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(made.load(Ordering::SeqCst) > 0, "nobody called");
}

#[tokio::test]
async fn a_name_leads_to_every_address_it_has() {
    let server = Server::start(Caps::default()).await;
    let hub = Hub::new();
    let at: Addresses = format!("dns:///localhost:{}", server.address.port()).parse().unwrap();
    hub.peer("sample", at, &server.sample.schema);
    eventually(|| async { hub.unready().is_empty() }).await;
    assert_eq!(call(&hub.edge("sample").raw(), named("Look", NOTE)).await.code(), Code::Ok);
}
