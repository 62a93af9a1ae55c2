//! The time of a request in a session (decode, dispatch, handle, reply), of a message from its publisher to the outboxes of a
//! room, and of a publication in the room actor. All in one process, without sockets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed bench panics")]

mod in_process;

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use actix_rt::System;
use actix_rt::time::sleep;
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use hubbub_actors::hub::{Hub, PublishTarget};
use hubbub_actors::model::ids::{EventName, RoomName};

use in_process::{BenchClient, ClientSurface, InProcessHub};

const ROOMS: usize = 100;
const MEMBERS: usize = 10;
/// Publications that wait at once: fewer than `limits.mailbox`.
const BATCH: usize = 500;
/// How often the members empty their outboxes.
const READS: Duration = Duration::from_millis(1);
/// What may wait for the other worker before a batch.
const LAG_BYTES: usize = 1 << 20;

/// An event of each family with an immediate reply, and an unknown event; each with a part of its reply.
const REQUESTS: [(&str, ClientSurface, &str, &str); 5] = [
    ("Ping", ClientSurface::Raw, r#"{"type":"Ping","data":{"timestamp":1}}"#, r#""type":"Pong""#),
    ("ping", ClientSurface::SocketIo, r#"21["ping",{"timestamp":1}]"#, "31[]"),
    (
        "client:event",
        ClientSurface::SocketIo,
        r#"21["client:event",{"type":"click","data":{"at":1}}]"#,
        r#""success":true"#,
    ),
    ("register", ClientSurface::Raw, r#"{"type":"register","data":{"userId":"user-1"},"id":1}"#, r#""type":"Reply""#),
    ("unknown", ClientSurface::Raw, r#"{"type":"no such event","data":{},"id":1}"#, r#""type":"Error""#),
];

async fn request(client: &BenchClient, text: &'static str) {
    client.send(text).await;
    client.wait_for_output().await;
}

async fn request_and_take(client: &BenchClient, text: &'static str) {
    request(client, text).await;
    client.take();
}

fn requests(criterion: &mut Criterion) {
    let system = System::new();
    let hub = system.block_on(async { InProcessHub::start() });
    let mut group = criterion.benchmark_group("request");
    for (name, surface, text, expected) in REQUESTS {
        let client = system.block_on(hub.client(surface, 1));
        client.take();
        system.block_on(request(&client, text));
        let waiting = client.waiting();
        assert!(waiting.contains(expected), "the reply to {name} is {waiting}");
        client.take();
        group.bench_function(name, |bencher| bencher.iter(|| system.block_on(request_and_take(&client, text))));
    }
    group.finish();
}

fn publishes(criterion: &mut Criterion) {
    const TEXT: &str = r#"{"type":"Broadcast","data":{"topic":"lobby","payload":{"text":"hello, everybody"}}}"#;
    let mut group = criterion.benchmark_group("publish");
    for count in [10, 1_000] {
        let system = System::new();
        let (_hub, publisher, members) = system.block_on(async {
            let hub = InProcessHub::start();
            let publisher = hub.client(ClientSurface::Raw, 0).await;
            publisher.take();
            let mut members = Vec::new();
            for number in 0..count {
                members.push(hub.member(ClientSurface::Raw, number + 1).await);
            }
            (hub, publisher, members)
        });
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("to {count}"), |bencher| {
            bencher.iter(|| {
                system.block_on(async {
                    request_and_take(&publisher, TEXT).await;
                    for member in &members {
                        member.wait_for_output().await;
                        member.take();
                    }
                });
            });
        });
    }
    group.finish();
}

/// Runs the second worker with the members of all rooms, until the process ends. Returns when they have joined.
fn start_members(hub: Arc<Hub>) {
    let (joined, all_joined) = mpsc::channel();
    thread::spawn(move || {
        System::new().block_on(async move {
            let worker = InProcessHub::of(hub);
            let mut members = Vec::new();
            for number in 0..ROOMS * MEMBERS {
                members.push(worker.member_of(ClientSurface::Raw, number, &room(number % ROOMS)).await);
            }
            joined.send(()).unwrap();
            loop {
                for member in &members {
                    member.take();
                }
                sleep(READS).await;
            }
        });
    });
    all_joined.recv().unwrap();
}

fn room(number: usize) -> String {
    format!("room-{number}")
}

/// Publishes `BATCH` messages, and waits until all have their place in the order.
async fn publish(hub: &Hub, rooms: &[RoomName], data: &Bytes) {
    let publications = (0..BATCH).map(|number| {
        let target = PublishTarget::Room(rooms[number % ROOMS].clone());
        hub.publish(target, EventName::parse("news", "event").unwrap(), data.clone())
    });
    for published in join_all(publications).await {
        assert_eq!(published.unwrap().recipients, MEMBERS);
    }
}

/// The room actor gives publications for 100 rooms of 10 members their order. The members are on another worker, on a thread
/// of its own, so their deliveries do not count.
fn order(criterion: &mut Criterion) {
    let system = System::new();
    let own = system.block_on(async { InProcessHub::start_with_workers(2) });
    let hub = own.worker.hub().clone();
    // The members join through the room actor of this thread.
    let members = thread::spawn({
        let hub = hub.clone();
        move || start_members(hub)
    });
    system.block_on(async {
        while !members.is_finished() {
            sleep(READS).await;
        }
    });
    members.join().unwrap();
    let rooms: Vec<_> = (0..ROOMS).map(|number| RoomName::parse(&room(number), "room").unwrap()).collect();
    let data = Bytes::from_static(br#"{"text":"hello, everybody"}"#);
    let mut group = criterion.benchmark_group("order");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("100 rooms of 10", |bencher| {
        bencher.iter_custom(|batches| {
            system.block_on(async {
                let mut passed = Duration::ZERO;
                for _ in 0..batches {
                    // The other worker has more to do for each publication. The time in which it catches up does not count.
                    while hub.lag_bytes() > LAG_BYTES {
                        sleep(READS).await;
                    }
                    let start = Instant::now();
                    publish(&hub, &rooms, &data).await;
                    passed += start.elapsed();
                }
                passed
            })
        });
    });
    group.finish();
}

criterion_group!(dispatch, requests, publishes, order);
criterion_main!(dispatch);
