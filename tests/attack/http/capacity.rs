use socket2::SockRef;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{HEALTH, answered};
use crate::support::{API_KEY, Client, DEADLINE, Hub, Wire, eventually};

#[tokio::test]
async fn idle_connections_are_evicted_for_sessions_and_counted() {
    // 100 sessions and the hub's 256 files leave 244 of 600 descriptors. The least number of plain connections is 256,
    // and one more for each session: 356.
    let hub = Hub::with_descriptors(600, "[server]\nworkers = 2\nmax_connections = 100\nhead_secs = 600");
    let mut idle = Vec::new();
    // 170 of them have had a response. A second connection between each two of them puts all on one worker.
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
async fn a_connection_above_the_limit_gets_503() {
    let hub = Hub::with_descriptors(
        600,
        "[server]\nworkers = 2\nmax_connections = 10\nbody_secs = 600\n[limits.http]\nrequests_per_minute = 0",
    );
    let stalled_request = || {
        let mut socket = TcpStream::connect(hub.address()).unwrap();
        let head = "POST /api/room HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX-API-Key: ";
        socket.write_all(format!("{head}{API_KEY}\r\n\r\n").as_bytes()).unwrap();
        socket
    };
    let mut busy: Vec<_> = (0..10 + 334).map(|_| stalled_request()).collect();
    let mut refused = Vec::new();
    eventually(DEADLINE, "every connection has a request in progress", || {
        let mut socket = TcpStream::connect(hub.address()).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let _ = socket.write_all(b"GET /health/live HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let mut response = String::new();
        socket.read_to_string(&mut response).unwrap();
        if response.starts_with("HTTP/1.1 503 ") && response.contains("SERVER_FULL") {
            let id = response.lines().find_map(|line| line.strip_prefix("X-Request-Id: ")).unwrap();
            refused.push(id.to_owned());
        } else {
            // It evicted a connection without a request in progress.
            busy.push(stalled_request());
        }
        refused.len() == 20
    })
    .await;
    let lines_of = |id: &String| hub.output().lines().filter(|line| line.contains(id.as_str())).count();
    eventually(DEADLINE, "each refusal is one log line", || refused.iter().all(|id| lines_of(id) == 1)).await;
    drop(busy);
    let counted = "hubbub_connections_refused_total{surface=\"http\",reason=\"full\"}";
    eventually(DEADLINE, "the refusals are counted", || hub.metric(counted) >= 20.0).await;
}

#[tokio::test]
async fn clients_that_read_nothing_are_evicted_at_the_limit() {
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
async fn anonymous_requests_are_rate_limited_on_each_worker() {
    const WORKERS: u64 = 2;
    let hub = Hub::with("[server]\nworkers = 2");
    let (started, before) = (Instant::now(), answered(&hub));
    let sockets: Vec<_> = (0..50)
        .map(|_| {
            let socket = TcpStream::connect(hub.address()).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        })
        .collect();
    while started.elapsed() < Duration::from_secs(3) {
        for mut socket in &sockets {
            let _ = socket.read(&mut [0; 65_536]);
            let _ = socket.write(&HEALTH.repeat(20));
        }
    }
    let most = WORKERS * (500 + 2_000 * (started.elapsed().as_secs() + 1));
    let done = answered(&hub) - before;
    assert!(done <= most, "{done} responses, at most {most} are allowed");
}
