//! What an anonymous client can make the hub hold: the README's table, kept true. Each way in is taken by a hundred
//! connections at once, and the hub's resident memory is measured.

use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::wire::{Frame, opcode};
use crate::support::{DEADLINE, Hub, wait_until};

/// Connections of each attack.
const CONNECTIONS: usize = 100;

/// What each connection sends without reading more than the answer to its first request.
struct WayIn {
    /// Its row in the README's table.
    name: &'static str,
    /// A request whose answer is awaited, where there is one.
    first: Option<Vec<u8>>,
    /// What follows it.
    then: Vec<u8>,
}

fn way(name: &'static str, then: impl Into<Vec<u8>>) -> WayIn {
    WayIn { name, first: None, then: then.into() }
}

fn engine(name: &'static str, frames: &[Frame]) -> WayIn {
    let first = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    WayIn { name, first: Some(first.into()), then: frames.iter().flat_map(Frame::encode).collect() }
}

fn post(path: &str, head: &str, body: usize) -> Vec<u8> {
    [format!("POST {path} HTTP/1.1\r\nHost: h\r\n{head}\r\n\r\n").into_bytes(), vec![b'x'; body]].concat()
}

fn ways_in() -> Vec<WayIn> {
    let polling = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\n\r\n";
    vec![
        way("a connection that says nothing", ""),
        way("a head without its end", format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(32_000))),
        way(
            "pipelined requests whose answers are not read",
            "GET /health/live HTTP/1.1\r\nHost: h\r\n\r\n".repeat(7_500),
        ),
        way("a body that is announced and does not come", post("/api/push", "Content-Length: 1000000", 0)),
        way("a body without a key", post("/api/room", "X-API-Key: wrong\r\nContent-Length: 1000000", 999_999)),
        way("the body of a sign-in", post("/sessions", "Content-Length: 8192", 8_191)),
        way(
            "a polling body for no session",
            post(
                "/socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAAAAAA",
                "Content-Length: 1000000",
                999_999,
            ),
        ),
        WayIn { name: "a polling session", first: Some(polling.into()), then: Vec::new() },
        engine("an Engine.IO WebSocket", &[]),
        engine(
            "attachments that never come",
            &[Frame::text(r#"4510-["x"]"#), Frame::new(opcode::BINARY, vec![0; 990_000])],
        ),
        engine(
            "a message that never ends",
            &[Frame::text("4").unfinished(), Frame::new(opcode::CONTINUATION, vec![b'x'; 990_000]).unfinished()],
        ),
        engine("CONNECTs to namespaces that are none", &vec![Frame::text("40/none,"); 2_000]),
    ]
}

/// A connection on which all was sent that the hub takes.
fn attack(hub: &Hub, way: &WayIn) -> TcpStream {
    let mut socket = TcpStream::connect(hub.address()).unwrap();
    SockRef::from(&socket).set_recv_buffer_size(4_096).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    if let Some(first) = &way.first {
        socket.write_all(first).unwrap();
        assert!(socket.read(&mut [0; 4_096]).unwrap() > 0, "{}", way.name);
    }
    socket.set_nonblocking(true).unwrap();
    socket
}

/// Sends on until the hub takes nothing more for a while.
fn push(sockets: &[TcpStream], bytes: &[u8]) {
    let mut sent = vec![0; sockets.len()];
    for _ in 0..20 {
        for (mut socket, sent) in sockets.iter().zip(&mut sent) {
            match socket.write(&bytes[*sent..]) {
                Ok(written) => *sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The hub has hung up: it holds nothing of this one.
                Err(_) => *sent = bytes.len(),
            }
        }
        std::thread::sleep(Duration::from_millis(25));
    }
}

/// The README's bounds, KiB, by way in.
fn stated() -> Vec<(String, u64)> {
    let readme = include_str!("../../README.md");
    let table = readme.split("| an anonymous client sends |").nth(1).unwrap().split("\n\n").next().unwrap();
    let rows = table.lines().skip(2).map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    rows.map(|row| (row[0].to_owned(), row[1].parse().unwrap())).collect()
}

#[test]
fn the_readme_says_what_the_hub_holds_for_an_anonymous_client() {
    let (ways, stated) = (ways_in(), stated());
    let names: Vec<_> = ways.iter().map(|way| way.name.to_owned()).collect();
    assert_eq!(stated.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), names);
    for (way, (_, most)) in ways.iter().zip(stated) {
        // Freed memory that the process keeps would hide the next growth.
        let hub = Hub::start();
        drop((0..CONNECTIONS).map(|_| attack(&hub, way)).collect::<Vec<_>>());
        wait_until(DEADLINE, "the connections of the warm-up are gone", || hub.connections() == 0);
        let before = hub.rss_kib();
        let sockets: Vec<_> = (0..CONNECTIONS).map(|_| attack(&hub, way)).collect();
        push(&sockets, &way.then);
        let held = hub.rss_kib().saturating_sub(before) / CONNECTIONS as u64;
        eprintln!("{}: {held} KiB of {most}", way.name);
        assert!(held <= most, "{}: {held} KiB a connection, stated are {most}", way.name);
    }
}
