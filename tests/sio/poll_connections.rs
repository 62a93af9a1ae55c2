//! The TCP connection of a poll: its end, and further requests on it.

use serde_json::json;
use std::time::Duration;

use crate::support::socketio::PollingSession;
use crate::support::{DEADLINE, Hub, MockUpstream, Sio, SioTransport, UpstreamReply, Wire, eventually};

/// The heartbeat of a silent client times out long after the test has ended.
const PATIENT: &str = "[socketio]\nping_interval_ms = 120000\nping_timeout_ms = 120000";

/// A waiting poll of the session, on a connection of its own.
async fn waiting(hub: &Hub, polling: &PollingSession) -> Wire {
    let mut wire = Wire::connect(hub).await;
    wire.request("GET", &polling.path(), &[], b"").await;
    // The hub has read the poll when it has answered this POST.
    polling.send("6").await;
    wire
}

#[tokio::test]
async fn a_session_ends_with_the_connection_of_its_waiting_poll() {
    let hub = Hub::with(PATIENT);
    for end in ["closed", "half closed", "reset"] {
        let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
        let mut wire = waiting(&hub, client.polling()).await;
        match end {
            "closed" => drop(wire),
            "reset" => wire.reset(),
            _ => {
                wire.shut_down_write().await;
                let answer = wire.response().await;
                assert_eq!((answer.status, answer.body.as_str()), (200, "1"), "{answer:?}");
            }
        }
        eventually(DEADLINE, end, || hub.connections() == 0).await;
        client.polling().assert_gone().await;
    }
}

#[tokio::test]
async fn a_session_ends_when_a_response_cannot_be_written() {
    let hub = Hub::with(&format!("{PATIENT}\n[limits]\noutbox_bytes = 33554432"));
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    super::push_large(&hub, "alice", 16);
    let mut wire = Wire::connect_with_small_buffer(&hub);
    wire.request("GET", &client.polling().path(), &[], b"").await;
    while wire.quiet_for(Duration::from_millis(10)).await {}
    // The client has read the beginning of the response, and not the rest.
    wire.reset();
    eventually(DEADLINE, "the session ended", || hub.connections() == 0).await;
    client.polling().assert_gone().await;
}

#[tokio::test]
async fn a_client_that_half_closes_its_connection_gets_its_responses() {
    let hub = Hub::with(PATIENT);
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    let path = client.polling().path();
    let mut wire = Wire::connect(&hub).await;
    wire.request("POST", &path, &[], b"427[\"ping\",{}]").await;
    wire.shut_down_write().await;
    let answer = wire.response().await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{answer:?}");
    // A packet is queued, so this poll does not wait.
    let mut wire = Wire::connect(&hub).await;
    wire.request("GET", &path, &[], b"").await;
    wire.shut_down_write().await;
    let answer = wire.response().await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "437[]"), "{answer:?}");
    client.expect_silence().await;
}

#[tokio::test]
async fn a_session_survives_the_end_of_the_connection_of_a_post() {
    // The POST is pending while the application checks the token.
    let application = MockUpstream::replying(UpstreamReply::Silence);
    let hub = Hub::with(&format!("{PATIENT}\n[auth.backend]\nurl = {:?}", application.url("/user")));
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    let mut wire = Wire::connect(&hub).await;
    wire.request("POST", &client.polling().path(), &[], b"40/chat,{\"token\":\"1|opaque\"}").await;
    eventually(DEADLINE, "the application receives the request", || application.count() == 1).await;
    wire.reset();
    // The session receives an event.
    client.start_poll().await;
    let push = json!({"userId": "alice", "event": "still", "data": 1});
    let answer = hub.http().request("POST", "/api/push").key().json(&push).send();
    assert_eq!(answer.json()["recipients"], 1, "{answer:?}");
    assert_eq!(client.receive().await.event(), Some("still"));
}

#[tokio::test]
async fn a_post_that_is_not_handled_to_its_end_is_not_answered_with_ok() {
    let application = MockUpstream::replying(UpstreamReply::Silence);
    let hub = Hub::with(&format!("{PATIENT}\n[auth.backend]\nurl = {:?}", application.url("/user")));
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    let poll = waiting(&hub, client.polling()).await;
    let mut wire = Wire::connect(&hub).await;
    let body = b"40/chat,{\"token\":\"1|opaque\"}\x1e42[\"client:action\",{\"action\":\"a\"}]";
    wire.request("POST", &client.polling().path(), &[], body).await;
    eventually(DEADLINE, "the application receives the request", || application.count() == 1).await;
    drop(poll);
    let answer = wire.response().await;
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(1)), "{answer:?}");
}

#[tokio::test]
async fn a_request_after_a_waiting_poll_on_one_connection_ends_the_poll_with_a_noop() {
    let hub = Hub::with(PATIENT);
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    let path = client.polling().path();
    let mut wire = waiting(&hub, client.polling()).await;
    wire.request("POST", &path, &[], b"427[\"ping\",{}]").await;
    let answer = wire.response().await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "6"), "{answer:?}");
    assert_eq!(wire.response().await.body, "ok");
    wire.request("GET", &path, &[], b"").await;
    assert_eq!(wire.response().await.body, "437[]");
    // Two requests in one write, and the end of the client's sending side.
    let mut wire = Wire::connect(&hub).await;
    let get = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let post = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 14\r\n\r\n428[\"ping\",{{}}]");
    wire.send(format!("{get}{post}").as_bytes()).await;
    wire.shut_down_write().await;
    assert_eq!([wire.response().await.body, wire.response().await.body], ["6", "ok"]);
    assert_eq!(client.receive().await.id, Some(8));
    client.expect_silence().await;
}

#[tokio::test]
async fn a_session_survives_a_poll_with_an_incomplete_body() {
    let hub = Hub::with(PATIENT);
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    client.polling().send("427[\"ping\",{}]").await;
    let mut wire = Wire::connect(&hub).await;
    let get = format!("GET {} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n", client.polling().path());
    wire.send(get.as_bytes()).await;
    let answer = wire.response().await;
    assert_eq!((answer.header("connection"), answer.body.as_str()), (Some("close"), "437[]"), "{answer:?}");
    wire.wait_closed().await;
    client.expect_silence().await;
}

#[tokio::test]
async fn empty_lines_after_a_waiting_poll_are_no_request() {
    let hub = Hub::with(PATIENT);
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    let mut wire = waiting(&hub, client.polling()).await;
    wire.send(b"\r\n\r\n").await;
    client.polling().send("427[\"ping\",{}]").await;
    assert_eq!(wire.response().await.body, "437[]");
    // The hub detects the end of the client's sending side after them, too.
    let mut wire = waiting(&hub, client.polling()).await;
    wire.send(b"\r\n").await;
    wire.shut_down_write().await;
    assert_eq!(wire.response().await.body, "1");
    eventually(DEADLINE, "the session ended", || hub.connections() == 0).await;
}
