use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;

use super::{HEALTH, header};
use crate::support::{API_KEY, DEADLINE, Hub, Wire};

#[tokio::test]
async fn a_refused_caller_gets_its_response_before_it_sends_a_body() {
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
async fn a_sign_in_body_is_at_most_8_kib() {
    let hub = Hub::start();
    let mut wire = Wire::connect(&hub).await;
    wire.send(b"POST /sessions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    wire.try_send(format!("2400\r\n{}", "x".repeat(0x2400)).as_bytes()).await;
    assert_eq!(wire.response().await.status, 413);
}

#[tokio::test]
async fn only_an_accepted_request_gets_100_continue() {
    let hub = Hub::start();
    let body = json!({"room": "lobby", "event": "greeting", "data": 1}).to_string();
    let request = |line: &str, key: &str, length: usize| {
        format!(
            "{line} HTTP/1.1\r\nHost: h\r\nX-API-Key: {key}\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let mut wire = Wire::connect(&hub).await;
    for _ in 0..2 {
        wire.send(request("POST /api/room", API_KEY, body.len()).as_bytes()).await;
        assert_eq!(wire.response().await.status, 100);
        wire.send(body.as_bytes()).await;
        assert_eq!(wire.response().await.status, 200);
    }
    for (request, status) in [
        (request("POST /api/room", "wrong", body.len()), 401),
        (request("POST /nowhere", API_KEY, body.len()), 404),
        (request("POST /api/room", API_KEY, 2_000_000), 413),
        (request("POST /sessions", "", 8_193), 413),
    ] {
        let mut wire = Wire::connect(&hub).await;
        wire.send(request.as_bytes()).await;
        assert_eq!(wire.response().await.status, status, "{request}");
    }
    // A body that arrives with its head needs no 100.
    let mut eager = Wire::connect(&hub).await;
    eager.send(format!("{}{body}", request("POST /api/room", API_KEY, body.len())).as_bytes()).await;
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
                let mut response = String::new();
                socket.read_to_string(&mut response).unwrap_or_else(|error| panic!("{line} {framing}: {error}"));
                assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{line} {framing}: {response}");
            }
        }
    }
}

#[tokio::test]
async fn a_small_body_sent_with_a_refused_request_keeps_the_connection() {
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
async fn an_encoded_body_is_refused_with_the_accepted_encodings() {
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
