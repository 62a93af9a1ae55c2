//! A client that upgrades to a WebSocket by the packet `5` alone, without a probe, as Elephant.io does.

use serde_json::json;
use std::time::Duration;

use crate::support::socketio::PollingSession;
use crate::support::wire::RawFrame;
use crate::support::{DEADLINE, Hub, MockUpstream, Sio, SioTransport, UpstreamReply, Wire, eventually};

#[tokio::test]
async fn an_upgrade_packet_without_a_probe_upgrades_the_session() {
    let hub = Hub::start();
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    let path = client.polling().path();
    let mut wire = client.polling().start_upgrade().await;
    // A message may follow in the same write.
    wire.send(&["5", "427[\"ping\",{}]"].map(|text| RawFrame::text(text).encode()).concat()).await;
    assert_eq!(wire.text().await, "437[]");
    let answer = hub.get(&path);
    let refusal = json!({"code": 3, "message": "Bad request: the session is on a socket now"});
    assert_eq!((answer.status, answer.json()), (400, refusal));
}

#[tokio::test]
async fn a_waiting_poll_ends_with_a_noop_and_later_packets_use_the_websocket() {
    let hub = Hub::start();
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    client.start_poll().await;
    let mut wire = client.polling().start_upgrade().await;
    wire.send_text("5").await;
    assert_eq!(client.polling().poll_body().await, "6");
    wire.send_text("427[\"ping\",{}]").await;
    assert_eq!(wire.text().await, "437[]");
}

#[tokio::test]
async fn packets_that_waited_for_a_poll_use_the_websocket_and_come_once() {
    let hub = Hub::start();
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    let pings: Vec<_> = (0..40).map(|n| format!("42{n}[\"ping\",{{}}]")).collect();
    client.send(&pings.join("\u{1e}")).await;
    let first = client.polling().poll_body().await;
    let mut received: Vec<_> = first.split('\u{1e}').map(str::to_owned).collect();
    assert_eq!(received.len(), 16);
    let mut wire = client.polling().start_upgrade().await;
    wire.send_text("5").await;
    while received.len() < 40 {
        received.push(wire.text().await);
    }
    assert_eq!(received, (0..40).map(|n| format!("43{n}[]")).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_websocket_sends_nothing_before_the_response_to_the_poll_is_written() {
    let hub = Hub::with("[limits]\noutbox_bytes = 33554432");
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    super::push_large(&hub, "alice", 17);
    let mut poll = Wire::connect_with_small_buffer(&hub);
    poll.request("GET", &client.polling().path(), &[], b"").await;
    while poll.quiet_for(Duration::from_millis(10)).await {}
    // The response with 16 packets is being written.
    let mut wire = client.polling().start_upgrade().await;
    wire.send_text("5").await;
    assert!(wire.quiet_for(Duration::from_millis(300)).await);
    assert_eq!(poll.response().await.body.split('\u{1e}').count(), 16);
    assert!(wire.text().await.starts_with("42[\"large\","));
}

#[tokio::test]
async fn a_pending_post_is_handled_before_packets_of_the_websocket() {
    let hub = Hub::start();
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    let path = client.polling().path();
    let mut post = Wire::connect(&hub).await;
    let body = "421[\"ping\",{}]";
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n", body.len());
    post.send(head.as_bytes()).await;
    // The hub waits for the body now.
    assert_eq!(post.response().await.status, 100);
    let mut wire = client.polling().start_upgrade().await;
    wire.send(&["5", "422[\"ping\",{}]"].map(|text| RawFrame::text(text).encode()).concat()).await;
    post.send(body.as_bytes()).await;
    assert_eq!(post.response().await.body, "ok");
    assert_eq!([wire.text().await, wire.text().await], ["431[]", "432[]"]);
}

#[tokio::test]
async fn a_post_that_waits_for_the_application_is_handled_to_its_end() {
    let application = MockUpstream::replying(UpstreamReply::Silence);
    let hub = Hub::with(&format!("[auth.backend]\nurl = {:?}", application.url("/user")));
    let polling = PollingSession::open(&hub).await;
    let mut post = Wire::connect(&hub).await;
    post.request("POST", &polling.path(), &[], b"40{\"token\":\"1|opaque\"}").await;
    eventually(DEADLINE, "the application receives the request", || application.count() == 1).await;
    let mut wire = polling.start_upgrade().await;
    wire.send_text("5").await;
    // The application does not answer, so the CONNECT is refused.
    assert_eq!(post.response().await.body, "ok");
    let refused = wire.text().await;
    assert!(refused.starts_with("44{"), "{refused}");
}
