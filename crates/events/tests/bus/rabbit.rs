//! The bus over a real RabbitMQ: the suite, and what only a broker can do and suffer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use events::{Address, Backoff, Broker, Bus, Group, Rabbit, Refusal};
use tokio::sync::watch;

use crate::broker::Process;
use crate::suite::{Rig, all, event};
use crate::world::{CHANGED, Follower, Ledger, World, until};

static NUMBER: AtomicUsize = AtomicUsize::new(0);

struct OverRabbit {
    broker: Broker,
    operator: Rabbit,
}

pub(crate) fn broker(address: &str) -> Broker {
    let namespace = format!("test{}", NUMBER.fetch_add(1, Relaxed));
    let groups = vec![Group { name: "test.follower", kinds: &[CHANGED] }];
    let backoff = Backoff { least: Duration::from_millis(2), most: Duration::from_millis(50) };
    Broker { namespace, backoff, ..Broker::new(Address::parse(address, false).unwrap(), groups) }
}

impl OverRabbit {
    fn new(address: &str) -> Self {
        let broker = broker(address);
        Self { operator: Rabbit::new(broker.clone()), broker }
    }
}

impl Rig for OverRabbit {
    const NAME: &'static str = "rabbitmq";

    fn bus(&self) -> Arc<dyn Bus> {
        Arc::new(Rabbit::new(self.broker.clone()))
    }

    async fn aside(&self, _: &World) -> usize {
        self.operator.dead_letters().await.unwrap().iter().map(|(_, letters)| *letters as usize).sum()
    }

    async fn replay(&self, _: &World) {
        self.operator.replay("test.follower").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract() {
    let Some(process) = Process::start("suite over RabbitMQ") else { return };
    all(async || OverRabbit::new(&process.address)).await;
    what_is_published_before_a_group_runs_waits_for_it(&process.address).await;
    a_blocked_document_stays_blocked_in_the_next_process(&process.address).await;
}

/// The process that knows of the dead letters ends; the next one, and one that has stood by since, know of them all the same.
async fn a_blocked_document_stays_blocked_in_the_next_process(address: &str) {
    for stands_by in [false, true] {
        let (world, rig) = (World::new().await, OverRabbit::new(address));
        let sick = Follower::new(&world.store, "test.follower");
        sick.poison.lock().unwrap().push("acme-sick".to_owned());
        let first = world.start(rig.bus(), vec![sick.clone()]);
        for id in ["acme-sick", "acme-well"] {
            world.change("acme", id).await.unwrap();
        }
        until("the first process hears", async || world.ledger("acme", "acme-well").await == Ledger::of(1)).await;
        let (well, bus) = (Follower::new(&world.store, "test.follower"), rig.bus());
        if stands_by {
            bus.attach(vec![well.clone()]).unwrap();
            until("the next process is connected", async || bus.ready().is_ok()).await;
        }
        until("it is a dead letter", async || rig.aside(&world).await == 1).await;
        first.stop().await.unwrap();
        let relay = world.start(rig.bus(), Vec::new());
        if !stands_by {
            bus.attach(vec![well.clone()]).unwrap();
        }
        for n in 2..=3 {
            for id in ["acme-sick", "acme-well"] {
                world.change("acme", id).await.unwrap();
            }
            until("the next process hears", async || world.ledger("acme", "acme-well").await == Ledger::of(n)).await;
        }
        until("what comes later waits behind", async || rig.aside(&world).await == 3).await;
        assert_eq!(world.ledger("acme", "acme-sick").await, Ledger::default(), "stands by: {stands_by}");
        until("a replay heals", async || {
            rig.replay(&world).await;
            world.ledger("acme", "acme-sick").await.heard == 3
        })
        .await;
        assert_eq!(world.ledger("acme", "acme-sick").await, Ledger::of(3), "in order");
        well.assert_right();
        relay.stop().await.unwrap();
        bus.stop().await.unwrap();
    }
}

async fn what_is_published_before_a_group_runs_waits_for_it(address: &str) {
    let world = World::new().await;
    let rig = OverRabbit::new(address);
    let relay = world.start(rig.bus(), Vec::new());
    for _ in 0..3 {
        world.change("acme", "acme-1").await.unwrap();
    }
    world.drained().await;
    assert_eq!(world.ledger("acme", "acme-1").await, Ledger::default());
    let follower = Follower::new(&world.store, "test.follower");
    let bus = rig.bus();
    bus.attach(vec![follower.clone()]).unwrap();
    until("the group catches up", async || world.ledger("acme", "acme-1").await == Ledger::of(3)).await;
    bus.stop().await.unwrap();
    relay.stop().await.unwrap();
}

/// A queue of another type under a name of ours, as somebody might have made it by hand.
async fn classic_queue(address: &str, name: &str) {
    let runtime = lapin::runtime::default_runtime().unwrap();
    let uri = address.parse().unwrap();
    let properties = lapin::ConnectionProperties::default();
    let connection =
        lapin::Connection::connect_uri_with_config(uri, properties, lapin::tcp::OwnedTLSConfig::default(), runtime).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.queue_declare(name.into(), lapin::options::QueueDeclareOptions::default(), lapin::types::FieldTable::default()).await.unwrap();
    connection.close(200, "done".into()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_makes_nothing_and_tells_what_is_there() {
    let Some(process) = Process::start("a look at RabbitMQ") else { return };
    let rig = OverRabbit::new(&process.address);
    let all = 2 + 1 + usize::from(events::PARTITIONS);
    for _ in 0..2 {
        assert_eq!(rig.operator.look().await.unwrap(), events::Look { missing: all, ..events::Look::default() });
    }
    let name = format!("{}.test.follower.07", rig.broker.namespace);
    classic_queue(&process.address, &name).await;
    let differing = rig.operator.look().await.unwrap();
    assert_eq!((differing.sound, differing.missing, differing.differing.len()), (0, all - 1, 1));
    assert!(differing.differing[0].contains(&name) && differing.differing[0].contains("PRECONDITION_FAILED"), "{differing:?}");

    let rig = OverRabbit::new(&process.address);
    let world = World::new().await;
    let follower = Follower::new(&world.store, "test.follower");
    let relay = world.start(rig.bus(), vec![follower.clone()]);
    world.change("acme", "acme-1").await.unwrap();
    until("it is heard", async || world.ledger("acme", "acme-1").await == Ledger::of(1)).await;
    assert_eq!(rig.operator.look().await.unwrap(), events::Look { sound: all, ..events::Look::default() });
    follower.poison.lock().unwrap().push("acme-2".to_owned());
    world.change("acme", "acme-2").await.unwrap();
    until("it is set aside", async || rig.operator.look().await.unwrap().dead == 1).await;
    relay.stop().await.unwrap();
    let unheard = world.start(rig.bus(), Vec::new());
    world.change("acme", "acme-1").await.unwrap();
    until("it waits for nobody", async || rig.operator.look().await.unwrap().unheard == 1).await;
    unheard.stop().await.unwrap();
    let stranger = Rabbit::new(broker(&process.address.replace("guest:guest", "guest:secret")));
    let refused = stranger.look().await.unwrap_err();
    assert!(refused.reason() == "BROKER_UNAVAILABLE" && !format!("{refused:?}").contains("secret"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_publishing_fails_at_once_and_changes_go_on() {
    let world = World::new().await;
    // Nothing listens on port 1.
    let bus = Arc::new(Rabbit::new(broker("amqp://guest:guest@127.0.0.1:1/%2f")));
    let follower = Follower::new(&world.store, "test.follower");
    let relay = world.start(bus.clone(), vec![follower.clone()]);
    world.change("acme", "acme-1").await.unwrap();
    assert_eq!(bus.ready().unwrap_err().reason(), "BROKER_UNAVAILABLE");
    let begun = Instant::now();
    let refused = bus.publish(&event("acme", "acme-1", 1)).await;
    assert!(matches!(refused, Err(Refusal::Down(_))) && begun.elapsed() < Duration::from_millis(500));
    world.advance_seconds(3_600);
    for _ in 1..32 {
        world.change("acme", "acme-1").await.unwrap();
    }
    assert_eq!(world.change("acme", "acme-1").await.unwrap_err().reason(), "OUTBOX_FULL");
    let total = relay.metrics().total();
    assert_eq!((total.published, total.failed, total.parkings), (0, 0, 0), "no try is lost on a broker that is away");
    until("the age of the oldest is told", async || relay.metrics().total().oldest_seconds == 3_600.0).await;
    assert!(format!("{:?}", bus.ready().unwrap_err()).contains("BROKER_UNAVAILABLE"));
    relay.stop().await.unwrap();
}

#[tokio::test]
async fn amqps_never_speaks_plain() {
    use tokio::io::AsyncReadExt as _;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let bus = Rabbit::new(broker(&format!("amqps://ann:secret@localhost:{port}/%2f")));
    bus.attach(Vec::new()).unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut first = [0; 3];
    stream.read_exact(&mut first).await.unwrap();
    // A handshake of TLS, where AMQP would begin with its name.
    assert_eq!(first[..2], [22, 3], "{first:?}");
    drop(stream);
    bus.stop().await.unwrap();
}

/// A number from the environment, for runs that are longer than those of every change.
#[allow(clippy::disallowed_methods)] // how long a test runs is chosen by whoever runs it
fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

const THINGS: usize = 2_000;

/// Changes things, 200 times a second, until told to stop: how many changes, and how long the slowest took.
async fn load(world: World, stopped: watch::Receiver<bool>) -> (usize, Duration) {
    let mut beat = tokio::time::interval(Duration::from_millis(5));
    let (mut changes, mut slowest) = (0, Duration::ZERO);
    while !*stopped.borrow() {
        beat.tick().await;
        let change = Instant::now();
        world.change("acme", &format!("acme-{}", changes % THINGS)).await.unwrap();
        slowest = slowest.max(change.elapsed());
        changes += 1;
    }
    (changes, slowest)
}

/// Kills the broker four times, the last time for longer; returns each time when events are taken again.
async fn storm(mut process: Process, bus: &Rabbit, [between, away]: [u64; 2]) -> Process {
    for kill in 1..=4 {
        tokio::time::sleep(Duration::from_secs(between)).await;
        until("events are on their way", async || bus.traffic().confirmed > 0).await;
        let confirmed = bus.traffic().confirmed;
        process = tokio::task::spawn_blocking(move || {
            process.kill();
            process
        })
        .await
        .unwrap();
        if kill == 4 {
            tokio::time::sleep(Duration::from_secs(away)).await;
        }
        process = tokio::task::spawn_blocking(move || {
            process.up();
            process
        })
        .await
        .unwrap();
        until("it is taken up again", async || bus.traffic().confirmed > confirmed).await;
    }
    process
}

/// F16. The broker is killed three times and then away for a while, under 200 events a second.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_and_away_loses_nothing() {
    // As long as the matrix says where many cycles are asked for, shorter with every change.
    let spans = if setting("WIRE_CYCLES", 1) >= 100 { [10, 60] } else { [2, 2] };
    let Some(process) = Process::start("fault F16") else { return };
    let begun = Instant::now();
    let world = World::on_machine_time().await;
    let follower = Follower::new(&world.store, "test.follower");
    let bus = Arc::new(Rabbit::new(broker(&process.address)));
    let relay = world.start(bus.clone(), vec![follower.clone()]);
    let (stop, stopped) = watch::channel(false);
    let load = tokio::spawn(load(world.clone(), stopped));
    let _process = storm(process, &bus, spans).await;
    let back = Instant::now();
    tokio::time::sleep(Duration::from_secs(spans[0])).await;
    stop.send_replace(true);
    let (changes, slowest) = load.await.unwrap();
    world.drained().await;
    let drained = back.elapsed();
    let expected = |thing: usize| (changes / THINGS + usize::from(thing < changes % THINGS)) as i64;
    let whole = async || {
        let mut whole = 0;
        for thing in 0..THINGS.min(changes) {
            whole += usize::from(world.ledger("acme", &format!("acme-{thing}")).await == Ledger::of(expected(thing)));
        }
        whole
    };
    // Everything is with the broker; what it still has to bring gets as long as it needs, as long as some of it comes.
    let (mut heard, mut before) = (follower.calls.load(Relaxed), usize::MAX);
    while whole().await < THINGS.min(changes) && heard != before {
        tokio::time::sleep(Duration::from_secs(10)).await;
        (before, heard) = (heard, follower.calls.load(Relaxed));
    }
    let lost = THINGS.min(changes) - whole().await;
    let (duplicates, traffic) = (follower.duplicates.load(Relaxed), bus.traffic());
    println!(
        "fault F16 seed=0 cycles=4 acknowledged={changes} lost={lost} seconds={:.1} drained={:.1} duplicates={duplicates} dead={} connections={} consumed={} slowest_change_ms={}",
        begun.elapsed().as_secs_f64(),
        drained.as_secs_f64(),
        traffic.dead,
        traffic.connections,
        traffic.consumed,
        slowest.as_millis()
    );
    assert_eq!((lost, traffic.dead, relay.metrics().total().parkings), (0, 0, 0));
    assert!(drained < Duration::from_secs(60) && slowest < Duration::from_secs(5), "drained {drained:?}, slowest {slowest:?}");
    follower.assert_right();
    relay.stop().await.unwrap();
}
