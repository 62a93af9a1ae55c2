//! The time of a request in a session (decode, dispatch, handle, reply), and of a message from its publisher to the outboxes
//! of a room. All in one process, without sockets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed bench panics")]

mod in_process;

use actix_rt::System;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use in_process::{BenchClient, ClientSurface, InProcessHub};

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

criterion_group!(dispatch, requests, publishes);
criterion_main!(dispatch);
