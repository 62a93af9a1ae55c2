//! Polling requests: several packets in one body, attachments, requests that overlap, and the bound of a body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::socketio::{ObservedEnd, PollingSession, SEPARATOR};
use crate::support::token::token;
use crate::support::wire::RawFrame;
use crate::support::{Client, DEADLINE, Hub, MockUpstream, Sio, SioTransport, UpstreamReply, eventually};

#[tokio::test]
async fn a_body_has_several_packets_in_order_in_both_directions() {
    let hub = Hub::start();
    let mut polling = PollingSession::open(&hub).await;
    let auth = json!({"token": token("alice")});
    let join = json!(["room:join", {"room": "lobby"}]);
    let packets = [format!("40{auth}"), "420[\"ping\"]".to_owned(), format!("42{join}"), "421[\"ping\"]".to_owned()];
    polling.send(packets.join(&SEPARATOR.to_string())).await;
    let first = polling.poll_body().await;
    let mut received: Vec<_> = first.split(SEPARATOR).map(str::to_owned).collect();
    assert!(received.len() > 1, "queued packets came one by one: {first}");
    while received.len() < 6 {
        received.extend(polling.poll_body().await.split(SEPARATOR).map(str::to_owned));
    }
    let starts =
        ["40{\"sid\":", "42[\"connected\",", "42[\"system:welcome\",", "430[]", "42[\"room:join:ack\",", "431[]"];
    assert_eq!(received.len(), starts.len(), "{received:?}");
    for (packet, start) in received.iter().zip(starts) {
        assert!(packet.starts_with(start), "{packet} does not start with {start}");
    }
}

#[tokio::test]
async fn attachments_are_base64_in_a_body_and_binary_on_a_websocket() {
    let hub = Hub::start();
    let mut raw = Client::of(&hub, "raw").await;
    raw.subscribe(&["images"]).await;
    let mut members = Vec::new();
    for transport in SioTransport::BOTH {
        let mut member = Sio::of(&hub, transport, "member").await;
        member.join("images").await;
        members.push(member);
    }
    for transport in SioTransport::BOTH {
        let mut sender = Sio::of(&hub, transport, "sender").await;
        let data =
            r#"{"topic":"images","payload":{"a":{"_placeholder":true,"num":1},"b":[{"_placeholder":true,"num":0}]}}"#;
        sender.send_with_attachments(&format!("452-7[\"Broadcast\",{data}]"), &[b"\x00\xFF\x1e", b""]).await;
        let acked = sender.receive().await;
        assert_eq!((acked.id, &acked.data[0]["recipients"]), (Some(7), &json!(3)), "{acked:?}");

        let received = raw.expect("Broadcast").await;
        assert_eq!(
            received["data"]["payload"],
            json!({"a": {"$binary": ""}, "b": [{"$binary": "AP8e"}]}),
            "{received}"
        );
        for member in &mut members {
            let packet = member.receive().await;
            assert_eq!(packet.event(), Some("Broadcast"), "{packet:?}");
            let placeholder = |number: u8| json!({"_placeholder": true, "num": number});
            assert_eq!(packet.data[1]["payload"], json!({"a": placeholder(0), "b": [placeholder(1)]}), "{packet:?}");
            assert_eq!(packet.attachments, [b"".to_vec(), b"\x00\xFF\x1e".to_vec()], "{packet:?}");
        }
    }
}

#[tokio::test]
async fn every_common_form_of_base64_is_accepted() {
    let hub = Hub::start();
    let mut raw = Client::of(&hub, "raw").await;
    raw.subscribe(&["images"]).await;
    let mut sender = Sio::of(&hub, SioTransport::Polling, "sender").await;
    let bytes: Vec<u8> = (0..=255).chain([0xfb, 0xff, 0xfe, 0xff]).collect();
    let plain = STANDARD.encode(&bytes);
    let lines: Vec<_> = plain.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let url_safe = plain.replace('+', "-").replace('/', "_");
    for text in [
        plain.clone(),
        lines.join("\n") + "\n",
        lines.join("\r\n") + "\r\n",
        plain.trim_end_matches('=').to_owned(),
        url_safe.clone(),
        url_safe.trim_end_matches('=').to_owned(),
    ] {
        let data = json!({"topic": "images", "payload": {"_placeholder": true, "num": 0}});
        sender.send(&format!("451-7[\"Broadcast\",{data}]{SEPARATOR}b{text}")).await;
        assert_eq!(sender.receive().await.id, Some(7), "{text}");
        assert_eq!(raw.expect("Broadcast").await["data"]["payload"], json!({"$binary": plain}), "{text}");
    }
}

#[tokio::test]
async fn a_broken_body_ends_the_session() {
    let hub = Hub::start();
    let join = format!("40{}", json!({"token": token("alice")}));
    for broken in ["", "abc", "7", "4\u{1e}", "\u{1e}4", "b?", "bA", "bAQ=", "5", "2", "2probe", "0", "1x", "6x"] {
        let mut polling = PollingSession::open(&hub).await;
        polling.send(&join).await;
        let answer = polling.post(broken).await;
        let refusal = json!({"code": 3, "message": "Bad request: a malformed packet"});
        assert_eq!((answer.status, answer.json()), (400, refusal), "{broken:?}");
        polling.assert_gone().await;
    }
    let mut polling = PollingSession::open(&hub).await;
    let answer = polling.post(b"4\xFF\xFE").await;
    assert_eq!(answer.status, 400, "{answer:?}");
    polling.assert_gone().await;
    eventually(DEADLINE, "no session is left", || hub.connections() == 0).await;
}

#[tokio::test]
async fn two_polls_at_once_end_the_session() {
    let hub = Hub::start();
    let mut first = PollingSession::open(&hub).await;
    let path = first.path();
    // The order in which they arrive is unknown.
    first.start_poll().await;
    let other = tokio::task::spawn_blocking({
        let http = hub.http();
        move || http.get(&path)
    });
    let mut answers = [first.poll().await, other.await.unwrap()].map(|answer| (answer.status, answer.body));
    answers.sort();
    let refusal = json!({"code": 3, "message": "Bad request: two polls overlap"}).to_string();
    assert_eq!(answers, [(200, "1".to_owned()), (400, refusal)]);
    first.assert_gone().await;
}

#[tokio::test]
async fn two_posts_at_once_end_the_session() {
    // The POST is pending while the application checks the token.
    let application = MockUpstream::replying(UpstreamReply::Silence);
    let hub = Hub::with(&format!("[auth.backend]\nurl = {:?}", application.url("/user")));
    let mut polling = PollingSession::open(&hub).await;
    let first = tokio::task::spawn_blocking({
        let (http, path) = (hub.http(), polling.path());
        move || http.request("POST", &path).body("40{\"token\":\"1|opaque\"}").send()
    });
    eventually(DEADLINE, "the application receives the request", || application.count() == 1).await;
    let second = polling.post("4").await;
    let refusal = json!({"code": 3, "message": "Bad request: two requests overlap"});
    assert_eq!((second.status, second.json()), (400, refusal));
    polling.assert_gone().await;
    assert_eq!(first.await.unwrap().status, 400);
}

#[tokio::test]
async fn an_aborted_poll_ends_only_its_session() {
    let hub = Hub::with("[socketio]\nping_interval_ms = 300\nping_timeout_ms = 2000");
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    client.start_poll().await;
    client.polling().abort_poll();
    // The order of the two polls, and whether the hub has detected the end of the first, are unknown.
    let answer = client.polling().poll().await;
    assert!(matches!((answer.status, answer.body.as_str()), (200, "1" | "2") | (400, _)), "{answer:?}");
    eventually(DEADLINE, "the session has ended", || hub.connections() == 0).await;
    client.polling().assert_gone().await;
}

#[tokio::test]
async fn a_session_survives_a_body_over_max_payload() {
    let hub = Hub::with("[socketio]\nmax_payload = 5000");
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    let refusal = json!({"code": 3, "message": "Payload too large: at most 5000 bytes"});
    let answer = client.polling().post("4".repeat(5001)).await;
    assert_eq!((answer.status, answer.json()), (413, refusal));
    client.expect_silence().await;
    // A body of exactly the bound is accepted.
    client.send(&ping_of(5000)).await;
    assert_eq!(client.receive().await.id, Some(0));
}

/// A packet of this length that asks for an acknowledgement with the id 0.
fn ping_of(length: usize) -> String {
    let packet = |padding: &str| format!("420[\"ping\",{{\"timestamp\":\"{padding}\"}}]");
    packet(&"x".repeat(length - packet("").len()))
}

#[tokio::test]
async fn a_websocket_message_over_max_payload_closes_it_with_1009() {
    let hub = Hub::with("[socketio]\nmax_payload = 5000");
    let mut client = Sio::of(&hub, SioTransport::WebSocket, "alice").await;
    client.send(&ping_of(5000)).await;
    assert_eq!(client.receive().await.id, Some(0));
    // In two frames.
    let (half, other_half) = ("4".repeat(2500), "4".repeat(2501));
    client.wire().try_send(&RawFrame::text(half).unfinished().encode()).await;
    client.wire().try_send(&RawFrame::new(0, other_half).encode()).await;
    assert_eq!(client.read_to_end().await.1, ObservedEnd::Closed(Some(1009)));
    eventually(DEADLINE, "no session is left", || hub.connections() == 0).await;
}

#[tokio::test]
async fn a_packet_and_its_attachments_count_together_against_max_payload() {
    let hub = Hub::with("[socketio]\nmax_payload = 5000");
    for transport in SioTransport::BOTH {
        let mut client = Sio::of(&hub, transport, "alice").await;
        let packet = r#"452-["ping",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
        let half = vec![1; 2600];
        match transport {
            SioTransport::Polling => {
                client.send(packet).await;
                let bytes = format!("b{}", "AQEB".repeat(2600 / 3 + 1));
                client.send(&bytes).await;
                assert!(!client.try_send(&bytes).await);
                client.polling().assert_gone().await;
            }
            SioTransport::WebSocket => {
                client.send_with_attachments(packet, &[&half, &half]).await;
                assert_eq!(client.read_to_end().await.1, ObservedEnd::Closed(Some(1002)));
            }
        }
    }
}

#[tokio::test]
async fn a_close_packet_ends_the_session() {
    let hub = Hub::start();
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    client.start_poll().await;
    let polling = client.polling();
    polling.send("1").await;
    assert_eq!(polling.poll_body().await, "6");
    polling.assert_gone().await;

    let mut client = Sio::of(&hub, SioTransport::WebSocket, "alice").await;
    client.send("1").await;
    assert_eq!(client.read_to_end().await, (vec![], ObservedEnd::Closed(Some(1000))));
    eventually(DEADLINE, "no session is left", || hub.connections() == 0).await;
}

#[tokio::test]
async fn a_client_that_has_joined_can_send_a_packet_of_almost_max_payload() {
    let hub = Hub::start();
    for transport in SioTransport::BOTH {
        let mut client = Sio::guest(&hub, transport).await;
        client.send(&ping_of(900_000)).await;
        assert_eq!(client.receive().await.id, Some(0), "{transport:?}");
        // The same after it has left and joined again.
        client.send("41").await;
        client.connect("/", &serde_json::Value::Null).await.unwrap();
        client.expect("connected").await;
        client.expect("system:welcome").await;
        client.send(&ping_of(900_000)).await;
        assert_eq!(client.receive().await.id, Some(0), "{transport:?}");
    }
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    client.upgrade().await;
    client.send(&ping_of(900_000)).await;
    assert_eq!(client.receive().await.id, Some(0), "after an upgrade");
}

#[tokio::test]
async fn packets_right_after_a_connect_are_handled_after_its_outcome() {
    let hub = Hub::start();
    let connect = format!("40{}", json!({"token": token("alice")}));
    let mut client = Sio::open(&hub, SioTransport::WebSocket).await;
    let burst = [RawFrame::text(connect.as_str()).encode(), RawFrame::text(ping_of(900_000)).encode()];
    client.wire().send(&burst.concat()).await;
    assert_eq!(client.receive().await.kind, '0');
    client.expect("connected").await;
    client.expect("system:welcome").await;
    assert_eq!(client.receive().await.id, Some(0));

    let mut client = Sio::open(&hub, SioTransport::Polling).await;
    client.send(&[connect, ping_of(1_000), ping_of(1_000)].join(&SEPARATOR.to_string())).await;
    assert_eq!(client.receive().await.kind, '0');
    client.expect("connected").await;
    client.expect("system:welcome").await;
    assert_eq!([client.receive().await.id, client.receive().await.id], [Some(0); 2]);
}

#[tokio::test]
async fn a_client_can_send_two_thousand_packets_at_once() {
    let hub = Hub::with("[limits.push]\nmessages_per_minute = 0");
    for transport in SioTransport::BOTH {
        let mut client = Sio::of(&hub, transport, "alice").await;
        let packets = vec!["42[\"register\",{\"userId\":\"alice\"}]"; 2_000];
        match transport {
            SioTransport::Polling => client.send(&packets.join(&SEPARATOR.to_string())).await,
            SioTransport::WebSocket => client.wire().send(&RawFrame::text(packets[0]).encode().repeat(2_000)).await,
        }
        for _ in 0..2_000 {
            client.expect("register:ack").await;
        }
    }
}
