//! A request's way through a session: read, dispatched by the event table, served, answered; and a message's way from
//! its publisher to the outboxes of a room. All in this process, without sockets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a bench that cannot go on says so by panicking")]

mod inside;

use actix_rt::System;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use inside::{Client, Inside, Speaks};

/// An event of each family that answers at once, and the question that nobody knows; with what each answer says.
const QUESTIONS: [(&str, Speaks, &str, &str); 5] = [
    ("Ping", Speaks::Raw, r#"{"type":"Ping","data":{"timestamp":1}}"#, r#""type":"Pong""#),
    ("ping", Speaks::SocketIo, r#"21["ping",{"timestamp":1}]"#, "31[]"),
    ("client:event", Speaks::SocketIo, r#"21["client:event",{"type":"click","data":{"at":1}}]"#, r#""success":true"#),
    ("register", Speaks::Raw, r#"{"type":"register","data":{"userId":"user-1"},"id":1}"#, r#""type":"Reply""#),
    ("unknown", Speaks::Raw, r#"{"type":"no such event","data":{},"id":1}"#, r#""type":"Error""#),
];

async fn answer(client: &Client, text: &'static str) {
    client.ask(text).await;
    client.answered().await;
}

async fn ask(client: &Client, text: &'static str) {
    answer(client, text).await;
    client.take();
}

fn requests(criterion: &mut Criterion) {
    let system = System::new();
    let inside = system.block_on(async { Inside::start() });
    let mut group = criterion.benchmark_group("request");
    for (name, speaks, text, says) in QUESTIONS {
        let client = system.block_on(inside.client(speaks, 1));
        client.take();
        system.block_on(answer(&client, text));
        let waiting = client.waiting();
        assert!(waiting.contains(says), "{name} is answered with {waiting}");
        client.take();
        group.bench_function(name, |bencher| bencher.iter(|| system.block_on(ask(&client, text))));
    }
    group.finish();
}

fn publishes(criterion: &mut Criterion) {
    const TEXT: &str = r#"{"type":"Broadcast","data":{"topic":"lobby","payload":{"text":"hello, everybody"}}}"#;
    let mut group = criterion.benchmark_group("publish");
    for count in [10, 1_000] {
        let system = System::new();
        let (_inside, publisher, members) = system.block_on(async {
            let inside = Inside::start();
            let publisher = inside.client(Speaks::Raw, 0).await;
            publisher.take();
            let mut members = Vec::new();
            for number in 0..count {
                members.push(inside.member(Speaks::Raw, number + 1).await);
            }
            (inside, publisher, members)
        });
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("to {count}"), |bencher| {
            bencher.iter(|| {
                system.block_on(async {
                    ask(&publisher, TEXT).await;
                    for member in &members {
                        member.answered().await;
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
