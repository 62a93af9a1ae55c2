use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use super::{HEALTH, answered};
use crate::support::{DEADLINE, Hub, Wire, eventually};

#[tokio::test]
async fn pipelined_requests_wait_while_the_client_reads_no_responses() {
    const REQUESTS: usize = 5_000;
    let hub = Hub::start();
    let socket = TcpStream::connect(hub.address()).unwrap();
    SockRef::from(&socket).set_recv_buffer_size(2_048).unwrap();
    socket.set_nonblocking(true).unwrap();
    let burst = HEALTH.repeat(REQUESTS);
    let before = answered(&hub);
    let mut sent = 0;
    let push = |sent: &mut usize| match (&socket).write(&burst[*sent..]) {
        Ok(written) => *sent += written,
        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
    };
    // Send until the hub reads no more bytes and its count of responses is steady.
    let mut last = (0, 0);
    eventually(DEADLINE, "the hub takes no more bytes", || {
        push(&mut sent);
        let now = (sent, answered(&hub));
        // Reading the count is a request itself.
        let is_steady = now.0 == last.0 && now.1 <= last.1 + 1;
        last = now;
        is_steady
    })
    .await;
    let done = answered(&hub) - before;
    // The kernel holds at most 128 KiB of responses on the hub's side, and the client's receive buffer.
    assert!(done < 2_000, "the hub made {done} responses for a client that reads none");

    // A receive window of 2 KiB would slow down the rest.
    SockRef::from(&socket).set_recv_buffer_size(1 << 20).unwrap();
    let mut received = Vec::new();
    let end = Instant::now() + DEADLINE;
    while count(&received) < REQUESTS {
        assert!(Instant::now() < end, "{} of {REQUESTS} responses arrived", count(&received));
        if sent < burst.len() {
            push(&mut sent);
        }
        let mut part = [0; 65_536];
        match (&socket).read(&mut part) {
            Ok(read) => received.extend_from_slice(&part[..read]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    assert_eq!(count(&received), REQUESTS);
}

#[tokio::test]
async fn heads_of_pipelined_requests_are_not_queued() {
    const CONNECTIONS: usize = 50;
    let hub = Hub::start();
    let burst = HEALTH.repeat(7_500);
    let before = hub.rss_kib();
    let sockets: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let socket = TcpStream::connect(hub.address()).unwrap();
            SockRef::from(&socket).set_recv_buffer_size(2_048).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = (&socket).write(&burst);
            socket
        })
        .collect();
    let mut last = 0;
    // The anonymous rate limit delays some 30,000 responses.
    eventually(DEADLINE * 4, "the count of responses is steady", || {
        let now = answered(&hub);
        now <= std::mem::replace(&mut last, now) + 1
    })
    .await;
    // A connection needs about 70 KiB: 40 KiB of its own and the buffers of actix-http. Queued heads would need
    // 18,000 KiB. The bound leaves room for pages that the allocator has not returned yet.
    let grown = hub.rss_kib().saturating_sub(before);
    assert!(grown < 250 * CONNECTIONS as u64, "{grown} KiB for {CONNECTIONS} connections");
    drop(sockets);
}

fn count(responses: &[u8]) -> usize {
    responses.windows(15).filter(|window| window == b"HTTP/1.1 200 OK").count()
}

#[tokio::test]
async fn a_half_closed_connection_gets_its_responses() {
    let hub = Hub::start();
    let mut wire = Wire::connect(&hub).await;
    wire.send(&HEALTH.repeat(2)).await;
    wire.shut_down_write().await;
    assert_eq!(wire.response().await.status, 200);
    // Its `Connection` header is `close` only if the client's FIN arrived before the response was made.
    assert_eq!(wire.response().await.status, 200);
    wire.wait_closed().await;
}
