//! A delivery allocates nothing. A publish allocates a fixed number of times, for any number of members. This test has the
//! numbers, so a change of them shows.
//!
//! It counts from the text of the publisher's message to the frames in every member's outbox, with decoding and encoding,
//! on one thread. With a member on Socket.IO, two allocations are the copy of the publication for recovery.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

#[path = "../benches/in_process/mod.rs"]
mod in_process;

use actix_rt::System;
use allocation_counter::measure;

use in_process::{BenchClient, ClientSurface, InProcessHub};

/// Publishes before the count, until buffers have their final size.
const WARM_UP: usize = 600;
/// Publishes that are counted.
const COUNTED: usize = 256;

/// Allowed difference. Timers and queues that grow rarely add less than one allocation a publish.
const SLACK: f64 = 0.5;

const RAW: &str = r#"{"type":"Broadcast","data":{"topic":"lobby","payload":{"text":"hello, everybody"}}}"#;
const SOCKET_IO: &str = r#"27["Broadcast",{"topic":"lobby","payload":{"text":"hello, everybody"}}]"#;

/// Publishes once, and has every member's outbox emptied once it holds the message.
async fn publish(publisher: &BenchClient, text: &'static str, members: &[BenchClient]) {
    publisher.send(text).await;
    publisher.wait_for_output().await;
    publisher.take();
    for member in members {
        member.wait_for_output().await;
        assert!(member.take() > 0);
    }
}

/// Allocations that one publish takes, on average, with so many members of a wire.
fn allocations(publisher: ClientSurface, text: &'static str, members: &[(ClientSurface, usize)]) -> f64 {
    let system = System::new();
    let (_inside, publisher, members) = system.block_on(async {
        let inside = InProcessHub::start();
        let publisher = inside.client(publisher, 0).await;
        publisher.take();
        let mut all = Vec::new();
        for &(surface, count) in members {
            for _ in 0..count {
                all.push(inside.member(surface, all.len() + 1).await);
            }
        }
        (inside, publisher, all)
    });
    let publish_many = |count: usize| {
        system.block_on(async {
            for _ in 0..count {
                publish(&publisher, text, &members).await;
            }
        });
    };
    system.block_on(async {
        publisher.send(text).await;
        publisher.wait_for_output().await;
        publisher.take();
        for member in &members {
            member.wait_for_output().await;
            assert!(member.waiting().contains("hello, everybody"), "{}", member.waiting());
            member.take();
        }
    });
    publish_many(WARM_UP);
    measure(|| publish_many(COUNTED)).count_total as f64 / COUNTED as f64
}

#[test]
fn a_delivery_allocates_nothing_and_a_publish_a_known_number_of_times() {
    for (publisher, text, members, known) in [
        (ClientSurface::Raw, RAW, &[ClientSurface::Raw][..], 23.0),
        (ClientSurface::SocketIo, SOCKET_IO, &[ClientSurface::SocketIo], 28.0),
        (ClientSurface::Raw, RAW, &[ClientSurface::Raw, ClientSurface::SocketIo], 33.0),
    ] {
        let of = |count| {
            let members: Vec<_> = members.iter().map(|&surface| (surface, count / members.len())).collect();
            allocations(publisher, text, &members)
        };
        let (few, many) = (of(10), of(1_000));
        println!("{publisher:?} to {members:?}: {few} allocations a publish to 10, {many} to 1,000");
        assert!((many - few).abs() < SLACK, "a delivery allocates: {few} to 10 members, {many} to 1,000");
        assert!((many - known).abs() < SLACK, "a publish allocates {many} times, where {known} are known");
    }
}
