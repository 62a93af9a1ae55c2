use serde_json::json;

use super::{HEALTH, code, header};
use crate::support::{Hub, Wire};

#[tokio::test]
async fn a_malformed_request_gets_an_error_code_and_a_request_id() {
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
async fn the_hub_and_actix_parse_a_request_alike() {
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
