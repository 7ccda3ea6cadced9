//! A broker that takes no more: queues that are full, and memory that is used up.

use std::sync::Arc;

use events::{Bus, Rabbit, Refusal};

use crate::broker::Process;
use crate::rabbit::broker;
use crate::suite::event;
use crate::world::{Follower, Ledger, World, until};

const CHANGES: i64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_broker_loses_nothing_and_changes_go_on() {
    let Some(process) = Process::start("full broker") else { return };
    for is_read in [true, false] {
        full_queues(&process, is_read).await;
    }
    no_memory(&process).await;
}

/// Nobody reads, and a queue holds two; until somebody does, or the limit is lifted.
async fn full_queues(process: &Process, is_read: bool) {
    let (world, broker) = (World::new().await, broker(&process.address));
    process.control(&["set_policy", "full", "^test", r#"{"max-length":2}"#, "--apply-to", "queues"]);
    let bus = Arc::new(Rabbit::new(broker.clone()));
    let relay = world.start(bus.clone(), Vec::new());
    for _ in 0..CHANGES {
        world.change("acme", "acme-1").await.unwrap();
    }
    until(
        "the broker refuses",
        async || matches!(bus.publish(&event("acme", "acme-probe", 1)).await, Err(Refusal::Down(error)) if error.reason() == "BROKER_FULL"),
    )
    .await;
    assert_eq!(world.outbox().await.documents, 1, "what was refused waits in its document");
    assert_eq!(relay.metrics().total().parkings, 0, "nor is a try lost on it");
    if !is_read {
        process.control(&["clear_policy", "full"]);
        until("everything is taken", async || {
            world.advance_seconds(1);
            world.outbox().await.documents == 0
        })
        .await;
    }
    let follower = Follower::new(&world.store, "test.follower");
    let reader = Rabbit::new(broker);
    reader.attach(vec![follower.clone()]).unwrap();
    heal(&world).await;
    follower.assert_right();
    if is_read {
        process.control(&["clear_policy", "full"]);
    }
    reader.stop().await.unwrap();
    relay.stop().await.unwrap();
}

/// The broker stops reading from whoever publishes.
async fn no_memory(process: &Process) {
    let world = World::new().await;
    let follower = Follower::new(&world.store, "test.follower");
    let bus = Arc::new(Rabbit::new(broker(&process.address)));
    let relay = world.start(bus.clone(), vec![follower.clone()]);
    until("it is connected", async || bus.ready().is_ok()).await;
    process.control(&["set_vm_memory_high_watermark", "0"]);
    for _ in 0..CHANGES {
        world.change("acme", "acme-1").await.unwrap();
    }
    let before = world.ledger("acme", "acme-1").await.heard;
    assert!(before < CHANGES, "the broker took everything");
    process.control(&["set_vm_memory_high_watermark", "0.4"]);
    heal(&world).await;
    follower.assert_right();
    relay.stop().await.unwrap();
}

async fn heal(world: &World) {
    let mut looks = 0;
    until("the outbox drains and is heard, in order and once", async || {
        // What was put off is due again, now and then: a lease shall not be over at once.
        looks += 1;
        world.advance_seconds(if looks % 200 == 1 { 60 } else { 0 });
        world.ledger("acme", "acme-1").await == Ledger::of(CHANGES)
    })
    .await;
    world.drained().await;
}
