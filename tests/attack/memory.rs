//! The memory that an anonymous client can make the hub hold, as the table in docs/limits.md states it. 100 connections run each
//! attack at once, and the test reads the hub's resident memory.

use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::wire::{RawFrame, opcode};
use crate::support::{DEADLINE, Hub, wait_until};

/// Connections in each attack.
const CONNECTIONS: usize = 100;

/// Bytes that each connection sends. It reads only the response to its first request.
struct Attack {
    /// Its row in the table.
    name: &'static str,
    /// A request; the connection waits for its response.
    first: Option<Vec<u8>>,
    /// Bytes that follow it.
    then: Vec<u8>,
}

fn plain(name: &'static str, then: impl Into<Vec<u8>>) -> Attack {
    Attack { name, first: None, then: then.into() }
}

fn engine(name: &'static str, frames: &[RawFrame]) -> Attack {
    let first = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    Attack { name, first: Some(first.into()), then: frames.iter().flat_map(RawFrame::encode).collect() }
}

fn post(path: &str, head: &str, body: usize) -> Vec<u8> {
    [format!("POST {path} HTTP/1.1\r\nHost: h\r\n{head}\r\n\r\n").into_bytes(), vec![b'x'; body]].concat()
}

fn attacks() -> Vec<Attack> {
    let polling = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\n\r\n";
    vec![
        plain("a connection that sends nothing", ""),
        plain("a head without its end", format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(32_000))),
        plain("pipelined requests with unread responses", "GET /health/live HTTP/1.1\r\nHost: h\r\n\r\n".repeat(7_500)),
        plain("unread responses of `/openapi.json`", "GET /openapi.json HTTP/1.1\r\nHost: h\r\n\r\n".repeat(100)),
        plain("unread responses of `/metrics`", "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n".repeat(100)),
        plain("an announced body that is never sent", post("/api/push", "Content-Length: 1000000", 0)),
        plain("a body without a key", post("/api/room", "X-API-Key: wrong\r\nContent-Length: 1000000", 999_999)),
        plain("the body of a sign-in", post("/sessions", "Content-Length: 8192", 8_191)),
        plain(
            "a polling body for no session",
            post(
                "/socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAAAAAA",
                "Content-Length: 1000000",
                999_999,
            ),
        ),
        Attack { name: "a polling session", first: Some(polling.into()), then: Vec::new() },
        engine("an Engine.IO WebSocket", &[]),
        engine(
            "announced attachments that are never complete",
            &[RawFrame::text(r#"4510-["x"]"#), RawFrame::new(opcode::BINARY, vec![0; 990_000])],
        ),
        engine(
            "a message that never ends",
            &[RawFrame::text("4").unfinished(), RawFrame::new(opcode::CONTINUATION, vec![b'x'; 990_000]).unfinished()],
        ),
        engine("CONNECTs to unknown namespaces", &vec![RawFrame::text("40/none,"); 2_000]),
    ]
}

/// A connection that has sent its first request and read the response.
fn connect(hub: &Hub, attack: &Attack) -> TcpStream {
    let mut socket = TcpStream::connect(hub.address()).unwrap();
    SockRef::from(&socket).set_recv_buffer_size(4_096).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    if let Some(first) = &attack.first {
        socket.write_all(first).unwrap();
        assert!(socket.read(&mut [0; 4_096]).unwrap() > 0, "{}", attack.name);
    }
    socket.set_nonblocking(true).unwrap();
    socket
}

/// Sends as much as the hub takes in 20 rounds of 25 ms.
fn push(sockets: &[TcpStream], bytes: &[u8]) {
    let mut sent = vec![0; sockets.len()];
    for _ in 0..20 {
        for (mut socket, sent) in sockets.iter().zip(&mut sent) {
            match socket.write(&bytes[*sent..]) {
                Ok(written) => *sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The hub has closed this connection and holds nothing for it.
                Err(_) => *sent = bytes.len(),
            }
        }
        std::thread::sleep(Duration::from_millis(25));
    }
}

/// The documented bounds in KiB, by attack.
fn stated() -> Vec<(String, u64)> {
    let page = include_str!("../../docs/limits.md");
    let table = page.split("| an anonymous client sends |").nth(1).unwrap().split("\n\n").next().unwrap();
    let rows = table.lines().skip(2).map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    rows.map(|row| (row[0].to_owned(), row[1].parse().unwrap())).collect()
}

#[test]
fn the_hub_holds_no_more_for_an_anonymous_client_than_is_documented() {
    let (attacks, stated) = (attacks(), stated());
    let names: Vec<_> = attacks.iter().map(|attack| attack.name.to_owned()).collect();
    assert_eq!(stated.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), names);
    for (attack, (_, most)) in attacks.iter().zip(stated) {
        // A new hub for each attack: memory that the allocator kept would hide the next growth.
        let hub = Hub::start();
        drop((0..CONNECTIONS).map(|_| connect(&hub, attack)).collect::<Vec<_>>());
        wait_until(DEADLINE, "the warm-up's connections are closed", || hub.connections() == 0);
        let before = hub.rss_kib();
        let sockets: Vec<_> = (0..CONNECTIONS).map(|_| connect(&hub, attack)).collect();
        push(&sockets, &attack.then);
        let held = hub.rss_kib().saturating_sub(before) / CONNECTIONS as u64;
        eprintln!("{}: {held} KiB of {most}", attack.name);
        assert!(held <= most, "{}: {held} KiB a connection, docs/limits.md states {most}", attack.name);
    }
}
