//! Plain HTTP: pipelining without reading, heads and bodies that drip or never come, bodies of callers without a key,
//! offers to upgrade to something else, and refusals to clients that are still sending.

use serde_json::{Value, json};
use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::http::Response;
use crate::support::{API_KEY, Client, DEADLINE, Hub, Wire, eventually};

/// A hub that waits one second for a head and one for a body.
fn impatient() -> Hub {
    Hub::with("[server]\nhead_secs = 1\nbody_secs = 1")
}

const HEALTH: &[u8] = b"GET /health/live HTTP/1.1\r\nHost: hub\r\n\r\n";

/// How many HTTP requests the hub has answered.
fn answered(hub: &Hub) -> u64 {
    let metrics = hub.get("/metrics").body;
    let lines = metrics.lines().filter(|line| line.starts_with("http_requests_total{"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
}

/// The error body of a refusal by the raw shape.
fn code(answer: &Response) -> Value {
    answer.json()["error"]["code"].clone()
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn pipelined_requests_are_answered_one_at_a_time_and_none_while_answers_are_unread() {
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
    // Until the hub takes no more: what it has answered does not change while nothing is read.
    let mut last = (0, 0);
    eventually(DEADLINE, "the hub takes no more", || {
        push(&mut sent);
        let now = (sent, answered(&hub));
        // The look at the count is itself a request.
        let is_steady = now.0 == last.0 && now.1 <= last.1 + 1;
        last = now;
        is_steady
    })
    .await;
    let done = answered(&hub) - before;
    // What the hub may put into the kernel for one socket: 128 KiB, and what the client's own holds.
    assert!(done < 2_000, "{done} answers were made for a client that reads none");

    // A window of 2 KiB would make the rest slow.
    SockRef::from(&socket).set_recv_buffer_size(1 << 20).unwrap();
    let mut got = Vec::new();
    let end = Instant::now() + DEADLINE;
    while count(&got) < REQUESTS {
        assert!(Instant::now() < end, "{} of {REQUESTS} answers came", count(&got));
        if sent < burst.len() {
            push(&mut sent);
        }
        let mut part = [0; 65_536];
        match (&socket).read(&mut part) {
            Ok(read) => got.extend_from_slice(&part[..read]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    assert_eq!(count(&got), REQUESTS);
}

#[tokio::test]
async fn the_heads_of_pipelined_requests_are_not_held() {
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
    eventually(DEADLINE, "the hub answers no more", || {
        let now = answered(&hub);
        now <= std::mem::replace(&mut last, now) + 1
    })
    .await;
    // A connection needs about 70 KiB: 40 of its own and the buffers of actix-http. If the heads were held, it would need
    // 18,000. The bound leaves room for pages that the allocator has not given back yet.
    let grown = hub.rss_kib().saturating_sub(before);
    assert!(grown < 250 * CONNECTIONS as u64, "{grown} KiB for {CONNECTIONS} connections");
    drop(sockets);
}

fn count(answers: &[u8]) -> usize {
    answers.windows(15).filter(|window| window == b"HTTP/1.1 200 OK").count()
}

#[tokio::test]
async fn a_head_has_a_deadline_whether_it_is_the_first_or_a_later_one() {
    let hub = impatient();
    for whole in [0, 1, 5] {
        for half in ["GET /health/live HTTP/1.1\r\nX-Request-Id: r-1\r\nX-A: ", "G"] {
            let mut wire = Wire::connect(&hub).await;
            for _ in 0..whole {
                wire.send(HEALTH).await;
                assert_eq!(wire.response().await.status, 200);
            }
            wire.send(half.as_bytes()).await;
            let answer = wire.response().await;
            assert_eq!((answer.status, code(&answer)), (408, json!("REQUEST_TIMEOUT")), "{whole} {half}");
            assert_eq!(header(&answer, "connection"), "close");
            if half.len() > 1 {
                assert_eq!(header(&answer, "x-request-id"), "r-1");
            }
            wire.wait_closed().await;
        }
    }
    // A client that sent nothing asked nothing: an answer would be taken for that to its first request.
    let mut silent = Wire::connect(&hub).await;
    assert_eq!(silent.read_to_end().await, "");
}

#[tokio::test]
async fn a_head_that_drips_is_late() {
    let hub = impatient();
    let mut wire = Wire::connect(&hub).await;
    wire.send(b"GET /health/live HTTP/1.1\r\nX-A: ").await;
    let said = drip(&mut wire, b"x").await;
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
}

#[tokio::test]
async fn a_body_that_drips_or_stops_is_late_counted_or_chunked() {
    let hub = impatient();
    let rest = format!("Host: hub\r\nX-API-Key: {API_KEY}\r\n");
    for (framing, piece) in [
        ("Content-Length: 1000000\r\n\r\n{", &b"x"[..]),
        ("Content-Length: 1000000\r\n\r\n{", b""),
        ("Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", b"1\r\nx\r\n"),
        ("Transfer-Encoding: chunked\r\n\r\n", b""),
    ] {
        for line in ["POST /api/room HTTP/1.1", "POST /sessions HTTP/1.1"] {
            let mut wire = Wire::connect(&hub).await;
            let framing = framing.replace("1000000", "8000");
            wire.send(format!("{line}\r\n{rest}{framing}").as_bytes()).await;
            let said = drip(&mut wire, piece).await;
            assert!(said.starts_with("HTTP/1.1 408 "), "{line} {framing}: {said}");
            assert!(said.contains("connection: close") && said.contains("REQUEST_TIMEOUT"), "{said}");
        }
    }
}

/// Sends a piece every tenth of a second until the hub hangs up; what it said.
async fn drip(wire: &mut Wire, piece: &[u8]) -> String {
    for _ in 0..15 {
        if !piece.is_empty() {
            wire.try_send(piece).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    wire.read_to_end().await
}

#[tokio::test]
async fn nothing_of_a_body_is_awaited_from_a_caller_who_is_refused() {
    let hub = Hub::with("[limits.http]\nrequests_per_minute = 10\n[limits.login]\nattempts_per_minute = 1");
    let keyless =
        |framing: &str| format!("POST /api/room HTTP/1.1\r\nHost: h\r\nX-API-Key: wrong\r\n{framing}\r\n\r\n");
    for (request, status) in [
        (keyless("Content-Length: 1000000"), 401),
        (keyless("Transfer-Encoding: chunked"), 401),
        ("POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n".to_owned(), 404),
        ("PUT /health HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), 405),
        (format!("POST /api/room HTTP/1.1\r\nHost: h\r\nX-API-Key: {API_KEY}\r\nContent-Length: 9000000\r\n\r\n"), 413),
        ("POST /sessions HTTP/1.1\r\nHost: h\r\nContent-Length: 8193\r\n\r\n".to_owned(), 413),
        ("POST /sessions HTTP/1.1\r\nHost: h\r\nContent-Length: 8192\r\n\r\n".to_owned(), 429),
        (
            "POST /sessions HTTP/1.1\r\nHost: h\r\nOrigin: https://evil.example\r\nContent-Length: 5\r\n\r\n"
                .to_owned(),
            403,
        ),
    ] {
        let mut wire = Wire::connect(&hub).await;
        wire.send(request.as_bytes()).await;
        let answer = wire.response().await;
        assert_eq!((answer.status, header(&answer, "connection")), (status, "close"), "{request}");
    }
}

#[tokio::test]
async fn a_sign_in_reads_8_kib_at_most() {
    let hub = Hub::start();
    let mut wire = Wire::connect(&hub).await;
    wire.send(b"POST /sessions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    wire.try_send(format!("2400\r\n{}", "x".repeat(0x2400)).as_bytes()).await;
    assert_eq!(wire.response().await.status, 413);
}

#[tokio::test]
async fn continue_is_said_only_to_a_caller_whose_body_may_come() {
    let hub = Hub::start();
    let body = json!({"room": "lobby", "event": "greeting", "data": 1}).to_string();
    let ask = |line: &str, key: &str, length: usize| {
        format!(
            "{line} HTTP/1.1\r\nHost: h\r\nX-API-Key: {key}\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let mut wire = Wire::connect(&hub).await;
    for _ in 0..2 {
        wire.send(ask("POST /api/room", API_KEY, body.len()).as_bytes()).await;
        assert_eq!(wire.response().await.status, 100);
        wire.send(body.as_bytes()).await;
        assert_eq!(wire.response().await.status, 200);
    }
    for (request, status) in [
        (ask("POST /api/room", "wrong", body.len()), 401),
        (ask("POST /nowhere", API_KEY, body.len()), 404),
        (ask("POST /api/room", API_KEY, 2_000_000), 413),
        (ask("POST /sessions", "", 8_193), 413),
    ] {
        let mut wire = Wire::connect(&hub).await;
        wire.send(request.as_bytes()).await;
        assert_eq!(wire.response().await.status, status, "{request}");
    }
    // A body that has come needs no leave.
    let mut eager = Wire::connect(&hub).await;
    eager.send(format!("{}{body}", ask("POST /api/room", API_KEY, body.len())).as_bytes()).await;
    assert_eq!(eager.response().await.status, 200);
}

#[test]
fn a_refusal_reaches_a_client_that_sends_all_of_its_body_first() {
    let hub = Hub::start();
    for size in [900_000, 1_100_000, 3_900_000] {
        let body = vec![b'x'; size];
        let chunk = [format!("{size:x}\r\n").as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
        for (line, status) in [
            ("POST /api/room HTTP/1.1\r\nX-API-Key: wrong", "401"),
            ("POST /nowhere HTTP/1.1", "404"),
            ("DELETE /health HTTP/1.1", "405"),
            ("POST /sessions HTTP/1.1", "413"),
            ("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade", "426"),
        ] {
            for (framing, body) in
                [(format!("Content-Length: {size}"), &body), ("Transfer-Encoding: chunked".to_owned(), &chunk)]
            {
                let mut socket = TcpStream::connect(hub.address()).unwrap();
                socket.set_read_timeout(Some(DEADLINE)).unwrap();
                socket.write_all(format!("{line}\r\nHost: h\r\n{framing}\r\n\r\n").as_bytes()).unwrap();
                socket.write_all(body).unwrap_or_else(|error| panic!("{line} {framing}: {error}"));
                let mut said = String::new();
                socket.read_to_string(&mut said).unwrap_or_else(|error| panic!("{line} {framing}: {error}"));
                assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{line} {framing}: {said}");
            }
        }
    }
}

#[tokio::test]
async fn a_small_body_that_came_with_its_head_costs_no_connection() {
    let hub = Hub::start();
    let mut wire = Wire::connect(&hub).await;
    for (path, status) in [("/nowhere", 404), ("/health", 405), ("/api/room", 401), ("/nowhere", 404)] {
        wire.request("POST", path, &[], &[b'x'; 500]).await;
        let answer = wire.response().await;
        assert_eq!((answer.status, header(&answer, "connection")), (status, ""), "{path}");
    }
    wire.send(b"POST /nowhere HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n").await;
    assert_eq!(wire.response().await.status, 404);
    wire.send(HEALTH).await;
    assert_eq!(wire.response().await.status, 200);
}

#[tokio::test]
async fn offers_of_http_2_are_ignored_and_the_connection_is_kept() {
    let hub = Hub::start();
    let body = json!({"room": "lobby", "event": "greeting", "data": 1}).to_string();
    for offer in [
        &[("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAEA")][..],
        &[("Connection", "upgrade")],
        &[("Connection", "Upgrade"), ("Upgrade", "websocket")],
    ] {
        let mut wire = Wire::connect(&hub).await;
        for _ in 0..20 {
            let headers = [offer, &[("X-API-Key", API_KEY)]].concat();
            wire.request("POST", "/api/room", &headers, body.as_bytes()).await;
            let answer = wire.response().await;
            let names = ["connection", "upgrade"].map(|name| header(&answer, name));
            assert_eq!((answer.status, names), (200, ["", ""]), "{offer:?}");
        }
        let closing = [("Connection", "close, upgrade"), ("Upgrade", "h2c")];
        wire.request("GET", "/health/live", &closing, b"").await;
        let answer = wire.response().await;
        assert_eq!((answer.status, header(&answer, "connection")), (200, "close"));
        wire.wait_closed().await;
    }
}

#[tokio::test]
async fn a_websocket_is_taken_from_among_other_offers_and_not_over_http_1_0() {
    let hub = Hub::start();
    let path = format!("/ws?token={}", crate::support::token::token("alice"));
    let (answer, _) = Wire::upgrade(&hub, &path, &[("Upgrade", "h2c, websocket")]).await;
    assert_eq!((answer.status, header(&answer, "upgrade")), (101, "websocket"));
    let mut old = Wire::connect(&hub).await;
    let ask = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
               Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    old.send(format!("GET {path} HTTP/1.0\r\nHost: h\r\n{ask}").as_bytes()).await;
    assert_eq!(old.response().await.status, 426);
}

#[tokio::test]
async fn the_answers_before_an_upgrade_on_one_connection_come_before_its_own() {
    let hub = Hub::start();
    let mut wire = Wire::connect(&hub).await;
    wire.send(&HEALTH.repeat(3)).await;
    let path = format!("/ws?token={}", crate::support::token::token("alice"));
    let upgrade = wire.request_upgrade(hub.address(), &path, &[]).await;
    assert_eq!(upgrade.status, 200);
    for status in [200, 200, 101] {
        assert_eq!(wire.response().await.status, status);
    }
    assert_eq!(wire.message().await["type"], "Status");
}

#[tokio::test]
async fn a_request_that_is_none_is_told_why_with_an_id() {
    let hub = Hub::start();
    let long = "x".repeat(40_000);
    for (request, status, expected) in [
        ("GET / HTTP/1.1\nHost: h\n\n".to_owned(), 400, "INVALID_REQUEST"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400, "INVALID_REQUEST"),
        ("GET /%ff HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), 400, "INVALID_REQUEST"),
        ("\u{16}\u{3}\u{1}".to_owned(), 400, "INVALID_REQUEST"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 400, "INVALID_REQUEST"),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            400,
            "INVALID_REQUEST",
        ),
        ("CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), 405, "METHOD_NOT_ALLOWED"),
        (format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n"), 414, "URI_TOO_LONG"),
        (format!("GET / HTTP/1.1\r\nHost: h\r\nA: {long}\r\n\r\n"), 431, "HEADERS_TOO_LARGE"),
        (format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(100)), 431, "HEADERS_TOO_LARGE"),
    ] {
        let mut wire = Wire::connect(&hub).await;
        wire.try_send(request.as_bytes()).await;
        let answer = wire.response().await;
        assert_eq!((answer.status, code(&answer)), (status, json!(expected)), "{request}");
        assert_eq!(header(&answer, "connection"), "close");
        assert!(!header(&answer, "x-request-id").is_empty());
        wire.wait_closed().await;
    }
    let mut wire = Wire::connect(&hub).await;
    wire.send(b"POST /api/room HTTP/1.1\r\nX-Request-Id: r-7\r\nContent-Length: x\r\nHost: h\r\n\r\n").await;
    let answer = wire.response().await;
    assert_eq!(answer.json()["requestId"], "r-7");
    assert_eq!((answer.json()["code"].clone(), header(&answer, "x-request-id")), (json!("INVALID_REQUEST"), "r-7"));
}

#[tokio::test]
async fn an_encoded_body_is_refused_with_the_encodings_that_are_read() {
    let hub = Hub::start();
    for (path, key) in [("/api/room", API_KEY), ("/sessions", "")] {
        for body in [&b"\x1f\x8b\x08"[..], b"{}"] {
            let mut wire = Wire::connect(&hub).await;
            wire.request("POST", path, &[("X-API-Key", key), ("Content-Encoding", "gzip")], body).await;
            let answer = wire.response().await;
            assert_eq!((answer.status, header(&answer, "accept-encoding")), (415, "identity"), "{path}");
            assert!(answer.body.contains("UNSUPPORTED_ENCODING"), "{}", answer.body);
        }
    }
}

#[tokio::test]
async fn a_half_closed_connection_still_gets_its_answer() {
    let hub = Hub::start();
    let mut wire = Wire::connect(&hub).await;
    wire.send(&HEALTH.repeat(2)).await;
    wire.shut_down_write().await;
    assert_eq!(wire.response().await.status, 200);
    // Its header says `close` only if the end of the client's side came before the answer.
    assert_eq!(wire.response().await.status, 200);
    wire.wait_closed().await;
}

#[tokio::test]
async fn an_empty_line_behind_a_request_is_no_head() {
    let hub = impatient();
    let mut wire = Wire::connect(&hub).await;
    for _ in 0..2 {
        wire.send(&[HEALTH, b"\r\n"].concat()).await;
        assert_eq!(wire.response().await.status, 200);
        // Longer than a head may take.
        assert!(wire.quiet_for(Duration::from_millis(1_500)).await);
    }
}

#[tokio::test]
async fn what_the_hub_lets_through_actix_reads_alike() {
    let hub = Hub::start();
    let lines = "A: b\r\n".repeat(93);
    for (rest, status, connection) in [
        ("Connection: close, \u{e9}\r\n".to_owned(), 200, ""),
        ("Connection: close\u{a0}\r\n".to_owned(), 200, ""),
        (format!("{lines}Connection: keep-alive, te, x, upgrade\r\n"), 200, ""),
        (format!("Connection: upgrade{}\r\n", ",a".repeat(15_000)), 200, ""),
        ("Content-Length: \u{a0}5\r\n".to_owned(), 400, "close"),
        ("Transfer-Encoding: \u{a0}chunked\r\n".to_owned(), 400, "close"),
    ] {
        let mut wire = Wire::connect(&hub).await;
        wire.send(format!("GET /health/live HTTP/1.1\r\nHost: h\r\n{rest}\r\n").as_bytes()).await;
        let answer = wire.response().await;
        assert_eq!((answer.status, header(&answer, "connection")), (status, connection), "{rest}");
        assert!(!header(&answer, "x-request-id").is_empty(), "{rest}");
        if status == 200 {
            wire.send(HEALTH).await;
            assert_eq!(wire.response().await.status, 200, "{rest}");
        }
    }
}

#[tokio::test]
async fn idle_connections_give_way_to_sessions_and_are_counted() {
    // 600 descriptors, 100 of them for sessions and 256 for the hub: no more than 356 plain connections.
    let hub = Hub::with_descriptors(600, "[server]\nworkers = 2\nmax_connections = 100\nhead_secs = 600");
    let mut idle = Vec::new();
    // Half of them have had an answer, and are all of one worker.
    for _ in 0..170 {
        let mut wire = Wire::connect(&hub).await;
        wire.send(HEALTH).await;
        assert_eq!(wire.response().await.status, 200);
        Wire::connect(&hub).await.shut_down_write().await;
        idle.push(wire);
    }
    for _ in 0..230 {
        idle.push(Wire::connect(&hub).await);
    }
    let mut alice = Client::of(&hub, "alice").await;
    alice.expect_silence().await;
    let metrics = hub.get("/metrics").body;
    let number = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse::<f64>().unwrap() as u64
    };
    assert_eq!(number("hubbub_http_connections_max "), 356);
    assert!(number("hubbub_http_connections ") <= 357);
    assert!(number("hubbub_http_connections_dropped_total{reason=\"evicted\"} ") >= 44);
    for wire in idle.iter_mut().take(40) {
        wire.wait_closed().await;
    }
    let last = idle.last_mut().unwrap();
    last.send(HEALTH).await;
    assert_eq!(last.response().await.status, 200);
}

#[tokio::test]
async fn a_connection_for_which_there_is_no_place_is_told_so() {
    let hub = Hub::with_descriptors(
        600,
        "[server]\nworkers = 2\nmax_connections = 10\nbody_secs = 600\n[limits.http]\nrequests_per_minute = 0",
    );
    let waits = || {
        let mut socket = TcpStream::connect(hub.address()).unwrap();
        let head = "POST /api/room HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX-API-Key: ";
        socket.write_all(format!("{head}{API_KEY}\r\n\r\n").as_bytes()).unwrap();
        socket
    };
    let mut busy: Vec<_> = (0..10 + 334).map(|_| waits()).collect();
    let mut refused = Vec::new();
    eventually(DEADLINE, "all have a request in work", || {
        let mut socket = TcpStream::connect(hub.address()).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let _ = socket.write_all(b"GET /health/live HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let mut said = String::new();
        socket.read_to_string(&mut said).unwrap();
        if said.starts_with("HTTP/1.1 503 ") && said.contains("SERVER_FULL") {
            let id = said.lines().find_map(|line| line.strip_prefix("X-Request-Id: ")).unwrap();
            refused.push(id.to_owned());
        } else {
            // It took the place of one that had no request in work yet.
            busy.push(waits());
        }
        refused.len() == 20
    })
    .await;
    let lines_of = |id: &String| hub.output().lines().filter(|line| line.contains(id.as_str())).count();
    eventually(DEADLINE, "each refusal is one line", || refused.iter().all(|id| lines_of(id) == 1)).await;
    drop(busy);
    let counted = "hubbub_connections_refused_total{surface=\"http\",reason=\"full\"}";
    eventually(DEADLINE, "they are counted", || hub.metric(counted) >= 20.0).await;
}

#[tokio::test]
async fn clients_that_do_not_read_give_way_when_places_are_short() {
    let hub = Hub::with_descriptors(600, "[server]\nworkers = 2\nmax_connections = 10");
    let unread: Vec<_> = (0..344)
        .map(|_| {
            let socket = TcpStream::connect(hub.address()).unwrap();
            SockRef::from(&socket).set_recv_buffer_size(2_048).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = (&socket).write(&b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n".repeat(100));
            socket
        })
        .collect();
    for _ in 0..20 {
        let mut wire = Wire::connect(&hub).await;
        wire.send(HEALTH).await;
        assert_eq!(wire.response().await.status, 200);
    }
    drop(unread);
}

#[tokio::test]
async fn requests_of_strangers_take_turns() {
    const WORKERS: u64 = 2;
    let hub = Hub::with("[server]\nworkers = 2");
    let (began, before) = (Instant::now(), answered(&hub));
    let sockets: Vec<_> = (0..50)
        .map(|_| {
            let socket = TcpStream::connect(hub.address()).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        })
        .collect();
    while began.elapsed() < Duration::from_secs(3) {
        for mut socket in &sockets {
            let _ = socket.read(&mut [0; 65_536]);
            let _ = socket.write(&HEALTH.repeat(20));
        }
    }
    let most = WORKERS * (500 + 2_000 * (began.elapsed().as_secs() + 1));
    let done = answered(&hub) - before;
    assert!(done <= most, "{done} answers where {most} may be");
}
