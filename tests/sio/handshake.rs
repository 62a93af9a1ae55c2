//! The handshake: requests that open a session, its parameters, and requests that are refused.

use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Instant;

use crate::support::http::Response;
use crate::support::socketio::{ObservedEnd, POLLING, PollingSession, WEBSOCKET, open_websocket, unknown_sid};
use crate::support::{DEADLINE, Hub, Sio, SioTransport, Wire, eventually};

const SHORT: &str = "[socketio]\nping_interval_ms = 700\nping_timeout_ms = 600\nmax_payload = 5000";

#[track_caller]
fn assert_refused(answer: &Response, status: u16, body: &Value) {
    assert_eq!((answer.status, answer.json()), (status, body.clone()), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
}

#[tokio::test]
async fn a_handshake_has_the_configured_parameters_and_nothing_else() {
    let hub = Hub::with(SHORT);
    let expected = |sid: &str, upgrades: &[&str]| json!({"sid": sid, "upgrades": upgrades, "pingInterval": 700, "pingTimeout": 600, "maxPayload": 5000});
    let polling = PollingSession::open(&hub).await;
    assert_eq!(polling.handshake, expected(polling.sid(), &["websocket"]));
    let (_wire, handshake) = open_websocket(hub.address()).await;
    assert_eq!(handshake, expected(handshake["sid"].as_str().unwrap(), &[]));

    let answer = hub.get(POLLING);
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=UTF-8"), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
}

#[tokio::test]
async fn a_handshake_needs_no_trailing_slash_and_ignores_additional_parameters() {
    let hub = Hub::start();
    for path in ["/socket.io?EIO=4&transport=polling", "/socket.io/?transport=polling&t=oxh8s&b64=1&EIO=4"] {
        PollingSession::open_at(hub.address(), path).await;
    }
}

#[tokio::test]
async fn an_empty_sid_is_no_sid_and_the_first_version_counts() {
    let hub = Hub::start();
    for more in ["&sid=", "&EIO=4", "&EIO=3", "&sid=&EIO=4&sid="] {
        PollingSession::open_at(hub.address(), &format!("{POLLING}{more}")).await;
        let (answer, mut wire) = Wire::upgrade(&hub, &format!("{WEBSOCKET}{more}"), &[]).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        assert!(wire.text().await.starts_with("0{\"sid\":"), "{more}");
    }
}

#[tokio::test]
async fn a_request_for_the_client_library_is_answered_with_installation_advice() {
    let hub = Hub::start();
    for build in
        ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js", "socket.io.js.map"]
    {
        let answer = hub.get(&format!("/socket.io/{build}"));
        let error = answer.json()["error"].take();
        assert_eq!((answer.status, &error["code"]), (404, &json!("NOT_FOUND")), "{answer:?}");
        let message = "The hub does not serve the client library: run `npm install socket.io-client`, or load it from a CDN, \
            for example https://cdn.socket.io/4.8.1/socket.io.min.js";
        assert_eq!(error["message"], message);
    }
    let other = hub.get("/socket.io/other.js").json();
    assert!(!other["error"]["message"].as_str().unwrap().contains("npm"), "{other}");
}

#[tokio::test]
async fn session_ids_are_long_url_safe_and_unique() {
    let hub = Hub::start();
    let mut seen = HashSet::new();
    for n in 0..60 {
        let sid = if n % 2 == 0 {
            PollingSession::open(&hub).await.sid().to_owned()
        } else {
            open_websocket(hub.address()).await.1["sid"].as_str().unwrap().to_owned()
        };
        assert!(sid.len() >= 20, "{sid} is short");
        assert!(sid.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{sid}");
        // The second half alone is unique, so it is no counter and no time.
        assert!(seen.insert(sid[sid.len() / 2..].to_owned()), "{sid} is repeated");
    }
}

#[tokio::test]
async fn invalid_requests_are_refused_with_a_code_and_a_message() {
    let hub = Hub::start();
    let (version, transport) = ("Unsupported protocol version", "Transport unknown");
    let unknown = "AAAAAAAAAAAAAAAAAAAAAAAA";
    let mine = PollingSession::open(&hub).await;
    let (mine, http) = (mine.sid(), hub.http());
    for (method, query, code, message) in [
        ("GET", "transport=polling".to_owned(), 5, version),
        ("GET", "EIO=3&transport=polling".to_owned(), 5, version),
        ("GET", "EIO=abc&transport=polling".to_owned(), 5, version),
        ("GET", "EIO=4".to_owned(), 0, transport),
        ("GET", "EIO=4&transport=flashsocket".to_owned(), 0, transport),
        ("GET", String::new(), 0, transport),
        ("GET", format!("EIO=4&transport=polling&sid={unknown}"), 1, "Session ID unknown"),
        ("POST", format!("EIO=4&transport=polling&sid={unknown}"), 1, "Session ID unknown"),
        ("GET", "EIO=4&transport=polling&sid=abc".to_owned(), 1, "Session ID unknown"),
        ("POST", "EIO=4&transport=polling&sid=".to_owned(), 2, "Bad handshake method"),
        ("POST", "EIO=4&transport=polling".to_owned(), 2, "Bad handshake method"),
        ("PUT", "EIO=4&transport=polling".to_owned(), 2, "Bad handshake method"),
        ("PUT", format!("EIO=4&transport=polling&sid={mine}"), 2, "Bad handshake method"),
        ("DELETE", format!("EIO=4&transport=polling&sid={mine}"), 2, "Bad handshake method"),
        ("GET", "EIO=4&transport=websocket".to_owned(), 3, "Bad request: the transport websocket needs an upgrade"),
        (
            "GET",
            format!("EIO=4&transport=websocket&sid={mine}"),
            3,
            "Bad request: the transport websocket needs an upgrade",
        ),
    ] {
        let path = format!("/socket.io/?{query}");
        let body = if method == "POST" { "40" } else { "" };
        let request = http.request(method, &path);
        let answer = if body.is_empty() { request } else { request.body(body) }.send();
        assert_refused(&answer, 400, &json!({"code": code, "message": message}));
    }
}

#[tokio::test]
async fn invalid_upgrades_are_refused_before_the_switch_of_protocols() {
    let hub = Hub::start();
    let refused = async |path: &str, headers: &[(&str, &str)]| Wire::upgrade(&hub, path, headers).await.0;
    let sid = "AAAAAAAAAAAAAAAAAAAAAAAA";
    let answer = refused(&format!("{WEBSOCKET}&sid={sid}"), &[]).await;
    assert_refused(&answer, 400, &unknown_sid());
    let answer = refused(&format!("{WEBSOCKET}&sid=abc"), &[]).await;
    assert_refused(&answer, 400, &unknown_sid());
    let answer = refused("/socket.io/?EIO=3&transport=websocket", &[]).await;
    assert_refused(&answer, 400, &json!({"code": 5, "message": "Unsupported protocol version"}));
    let answer = refused("/socket.io/?EIO=4", &[]).await;
    assert_refused(&answer, 400, &json!({"code": 0, "message": "Transport unknown"}));
    let answer = refused(POLLING, &[]).await;
    assert_refused(&answer, 400, &json!({"code": 3, "message": "Bad request: the transport polling knows no upgrade"}));
    let answer = refused(WEBSOCKET, &[("Sec-WebSocket-Version", "8")]).await;
    assert_eq!(answer.status, 426, "{answer:?}");
    assert_eq!(hub.connections(), 0);
}

#[tokio::test]
async fn a_full_hub_refuses_sessions_until_one_has_ended() {
    let hub = Hub::with("[server]\nmax_connections = 2");
    let mut polling = Sio::guest(&hub, SioTransport::Polling).await;
    let _socket = Sio::guest(&hub, SioTransport::WebSocket).await;
    let full = json!({"code": 3, "message": "At capacity"});
    assert_refused(&hub.get(POLLING), 503, &full);
    assert_refused(&Wire::upgrade(&hub, WEBSOCKET, &[]).await.0, 503, &full);
    polling.send("1").await;
    // A closed polling session keeps its slot until it is polled once more or that poll times out.
    eventually(DEADLINE, "a slot is free", || hub.get(POLLING).status == 200).await;
}

#[tokio::test]
async fn a_client_that_joins_no_namespace_in_time_is_closed() {
    let hub = Hub::with("[socketio]\nconnect_timeout_ms = 2000");
    let started = Instant::now();
    let mut member = Sio::of(&hub, SioTransport::Polling, "alice").await;
    let mut polling = Sio::open(&hub, SioTransport::Polling).await;
    let mut socket = Sio::open(&hub, SioTransport::WebSocket).await;
    // A refused CONNECT does not count.
    let mut refused = Sio::open(&hub, SioTransport::WebSocket).await;
    refused.connect("/nowhere", &Value::Null).await.unwrap_err();
    // A namespace that was left does not count.
    let mut left = Sio::guest(&hub, SioTransport::WebSocket).await;
    left.send("41").await;
    assert_eq!(left.read_to_end().await, (vec![], ObservedEnd::Closed(Some(4408))));
    assert_eq!(polling.read_to_end().await, (vec![], ObservedEnd::ClosePacket));
    assert_eq!(socket.read_to_end().await, (vec![], ObservedEnd::Closed(Some(4408))));
    assert_eq!(refused.read_to_end().await, (vec![], ObservedEnd::Closed(Some(4408))));
    assert!(started.elapsed().as_millis() >= 2000, "closed after {:?}", started.elapsed());
    member.expect_silence().await;
}
