//! Requests to a test server with configured responses. The integration tests cover the clients' side.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use hubbub_actors::application::RequestBody;
use hubbub_actors::events::json::Json;
use hubbub_actors::events::timestamp::Iso;
use hubbub_actors::model::ids::{RequestId, SessionId, UserId};

use super::*;

fn question() -> ApplicationRequest {
    ApplicationRequest {
        user_id: UserId::parse("42", "user").unwrap(),
        socket_id: SessionId::random(),
        event: "client:event",
        sent: RequestBody::Event(Json::null()),
        request_id: RequestId::random(),
        timestamp: Iso(0),
    }
}

fn backend(url: String, timeout: Duration) -> UpstreamApplication {
    UpstreamApplication::new(&UpstreamSettings { url, api_key: Some(HeaderValue::from_static("s3cret")), timeout })
        .unwrap()
}

/// The URL of a port on which nothing listens.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Accepts connections and never answers.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

fn outcomes(backend: &UpstreamApplication) -> Vec<(&'static str, u64)> {
    let ended = backend.counts().ended();
    ended.filter(|(.., count)| *count > 0).map(|(_, outcome, count)| (outcome.as_str(), count)).collect()
}

#[tokio::test]
async fn an_unreachable_application_is_retried_until_the_breaker_opens() {
    let backend = backend(nowhere(), Duration::from_secs(10));
    let words = UpstreamOutcome::Unavailable.message();
    for _ in 0..3 {
        assert_eq!(backend.ask(question()).await.unwrap_err().message, words);
    }
    assert_eq!(outcomes(&backend), [("unavailable", 2), ("breaker_open", 1)]);
    // The fifth failure opens the breaker. It was a second attempt, and no third one follows.
    assert_eq!((backend.counts().retries(), backend.counts().opened()), (3, 1));
    assert_eq!(backend.status(), UpstreamStatus { in_flight: 0, waiting: 0, open: true });
}

#[tokio::test]
async fn a_request_that_times_out_is_not_repeated() {
    let (_listener, url) = silent();
    let backend = backend(url, Duration::from_millis(300));
    let started = Instant::now();
    assert_eq!(backend.ask(question()).await.unwrap_err().message, UpstreamOutcome::Timeout.message());
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert_eq!((outcomes(&backend), backend.counts().retries()), (vec![("timeout", 1)], 0));
}

#[tokio::test]
async fn a_request_is_sent_even_if_its_client_is_gone() {
    let (listener, url) = silent();
    let backend = backend(format!("{url}/base/"), Duration::from_secs(10));
    let question = question();
    let id = question.request_id;
    drop(backend.ask(question));
    let received = tokio::task::spawn_blocking(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut received = Vec::new();
        while !received.ends_with(b"}") {
            let mut bytes = [0; 1024];
            let read = stream.read(&mut bytes).unwrap();
            assert!(read > 0);
            received.extend_from_slice(&bytes[..read]);
        }
        stream.write_all(b"HTTP/1.1 204 Done\r\n\r\n").unwrap();
        String::from_utf8(received).unwrap()
    });
    let received = received.await.unwrap();
    assert!(received.starts_with("POST /base/api/events HTTP/1.1\r\n"), "{received}");
    for header in ["x-api-key: s3cret", &format!("idempotency-key: {id}"), "content-type: application/json"] {
        assert!(received.lines().any(|line| line == header), "{header} in {received}");
    }
}

#[tokio::test]
async fn requests_beyond_the_bound_are_not_sent() {
    let (_listener, url) = silent();
    let backend = backend(url, Duration::from_secs(10));
    let inner = backend.0.clone();
    let reserved: Vec<_> = (0..WAITING).map(|_| inner.reserve(1).unwrap()).collect();
    assert_eq!(backend.ask(question()).await.unwrap_err().message, UpstreamOutcome::Overloaded.message());
    assert_eq!(backend.status().waiting, WAITING);
    drop(reserved);
    let large = inner.reserve(WAITING_BYTES + 1);
    assert!(large.is_ok(), "a single request can have any size");
    assert!(inner.reserve(1).is_err());
    drop(large);
    assert_eq!((inner.in_progress.load(Ordering::Relaxed), inner.bytes.load(Ordering::Relaxed)), (0, 0));
}
