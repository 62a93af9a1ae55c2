//! Admission of a handshake: capacity, attempts of an address, and `Origin`.

use super::*;
use crate::support::{Client, DEADLINE, eventually};

#[tokio::test]
async fn a_full_hub_refuses_connections_until_one_is_closed() {
    let hub = Hub::with("[server]\nmax_connections = 2");
    let first = Client::of(&hub, "first").await;
    let _second = Client::of(&hub, "second").await;
    let path = format!("/ws?token={}", token("third"));
    assert_refusal(&refused(&hub, &path, &[]).await, 503, "SERVER_FULL");

    first.close().await;
    eventually(DEADLINE, "the place is free", || hub.connections() == 1).await;
    Client::of(&hub, "third").await;
}

#[tokio::test]
async fn connections_of_an_address_are_limited_by_the_minute() {
    let hub = Hub::with("[limits]\nexempt_loopback = false\n[limits.raw]\nconnections_per_minute = 3");
    for _ in 0..3 {
        Client::of(&hub, "alice").await;
    }
    let answer = refused(&hub, &format!("/ws?token={}", token("alice")), &[]).await;
    assert_refusal(&answer, 429, "RATE_LIMITED");
    let wait: u64 = answer.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{answer:?}");
    assert_eq!(answer.json()["error"]["details"]["retryAfter"], wait);
}

#[tokio::test]
async fn connections_from_loopback_are_not_counted() {
    let hub = Hub::with("[limits.raw]\nconnections_per_minute = 1");
    for _ in 0..3 {
        Client::of(&hub, "alice").await;
    }
    // A forwarding header marks a proxy, so that these connections are counted even if the header is ignored.
    let path = format!("/ws?token={}", token("alice"));
    let forwarded = [("X-Forwarded-For", "198.51.100.7")];
    assert_eq!(Wire::upgrade(&hub, &path, &forwarded).await.0.status, 101);
    assert_refusal(&refused(&hub, &path, &forwarded).await, 429, "RATE_LIMITED");
}

#[tokio::test]
async fn addresses_behind_a_trusted_proxy_are_counted_separately() {
    let hub = Hub::with("[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[limits.raw]\nconnections_per_minute = 1");
    let path = format!("/ws?token={}", token("alice"));
    // Addresses further left are written by clients and ignored.
    for address in ["198.51.100.7", "10.0.0.1, 198.51.100.8", "198.51.100.9, 127.0.0.2"] {
        let (answer, _) = Wire::upgrade(&hub, &path, &[("X-Forwarded-For", address)]).await;
        assert_eq!(answer.status, 101, "{address}: {answer:?}");
    }
    for address in ["198.51.100.7", "10.0.0.2, 198.51.100.8", "198.51.100.9"] {
        let answer = refused(&hub, &path, &[("X-Forwarded-For", address)]).await;
        assert_refusal(&answer, 429, "RATE_LIMITED");
    }
}

#[tokio::test]
async fn an_origin_has_to_be_the_same_host_or_listed() {
    let hub = Hub::with("[server]\nallowed_origins = [\"https://app.example.com\"]");
    let path = format!("/ws?token={}", token("alice"));
    let own = format!("http://{}", hub.address());
    for origin in [own.as_str(), "https://app.example.com"] {
        let (answer, _) = Wire::upgrade(&hub, &path, &[("Origin", origin)]).await;
        assert_eq!(answer.status, 101, "{origin}: {answer:?}");
    }
    let others = [
        "https://evil.example.com",
        "http://app.example.com",
        "https://app.example.com.evil.org",
        "https://app.example.com:8443",
        "http://127.0.0.1:1",
        "null",
    ];
    for origin in others {
        let answer = refused(&hub, &path, &[("Origin", origin)]).await;
        assert_eq!(answer.status, 403, "{origin}: {answer:?}");
        assert_refusal(&answer, 403, "FORBIDDEN");
    }
}

#[tokio::test]
async fn the_same_host_is_the_one_of_the_host_header() {
    let hub = Hub::start();
    let path = format!("/ws?token={}", token("alice"));
    // As behind a proxy that ends TLS and does not change `Host`.
    let headers = |origin: &'static str| [("Host", "hub.example.com"), ("Origin", origin)];
    let (answer, _) = Wire::upgrade(&hub, &path, &headers("https://hub.example.com")).await;
    assert_eq!(answer.status, 101, "{answer:?}");
    for origin in ["https://hub.example.com:8443", "https://example.com", "https://hub.example.com.evil.org"] {
        assert_refusal(&refused(&hub, &path, &headers(origin)).await, 403, "FORBIDDEN");
    }
}

#[tokio::test]
async fn refused_and_lost_connections_do_not_count_as_connections() {
    let hub = Hub::with("[server]\nmax_connections = 2\n[limits.raw]\nconnections_per_minute = 0");
    for _ in 0..20 {
        refused(&hub, "/ws?token=nonsense", &[]).await;
        refused(&hub, &format!("/ws?token={}", token("alice")), &[("Origin", "https://evil.example.com")]).await;
        drop(Wire::of(&hub, "alice").await);
        eventually(DEADLINE, "the place is free", || hub.connections() == 0).await;
    }
    let _first = Client::of(&hub, "first").await;
    let _second = Client::of(&hub, "second").await;
}
