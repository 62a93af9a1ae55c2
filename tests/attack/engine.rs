//! Anonymous connections on Socket.IO, and connections that send too much: the frames and bytes that the hub accepts,
//! its replies, and the close codes.

use serde_json::json;

use crate::support::socketio::{ObservedEnd, PollingSession, SEPARATOR};
use crate::support::wire::{RawFrame, opcode};
use crate::support::{DEADLINE, Hub, Sio, SioTransport, Wire, eventually};

/// A budget of 50 frames at once on a connection, and of 10 a second.
const FEW_FRAMES: &str = "[limits]\nframes_per_second = 10";
/// A budget for one message of `socketio.max_payload`, not for two.
const FEW_BYTES: &str = "[limits]\nbytes_per_second = 200100";

/// The number of connections closed for this reason.
fn closed(hub: &Hub, reason: &str) -> f64 {
    hub.metric(&format!("hubbub_connections_closed_total{{reason=\"{reason}\"}}"))
}

/// Frames that no message limit counts.
fn idle_frames() -> [(&'static str, RawFrame); 5] {
    [
        ("a noop", RawFrame::text("6")),
        ("a pong", RawFrame::text("3")),
        ("a disconnect", RawFrame::text("41/nowhere,")),
        ("a WebSocket ping", RawFrame::new(opcode::PING, "")),
        ("a WebSocket pong", RawFrame::new(opcode::PONG, "")),
    ]
}

#[tokio::test]
async fn frames_without_a_message_count_and_close_the_connection_with_4429() {
    let hub = Hub::with(FEW_FRAMES);
    for (n, (what, frame)) in idle_frames().into_iter().enumerate() {
        let mut client = Sio::of(&hub, SioTransport::WebSocket, "alice").await;
        client.wire().send(&frame.encode().repeat(45)).await;
        client.expect_silence().await;
        client.wire().try_send(&frame.encode().repeat(1_000)).await;
        assert_eq!(client.read_to_end().await.1, ObservedEnd::Closed(Some(4429)), "{what}");
        client.wire().wait_closed().await;
        assert_eq!(closed(&hub, "budget"), n as f64 + 1.0, "{what}");
    }
    eventually(DEADLINE, "no session is left", || hub.connections() == 0).await;
}

#[tokio::test]
async fn a_raw_connection_has_the_same_budget_and_counts_fragments() {
    let hub = Hub::with(FEW_FRAMES);
    let pieces = |count: usize| {
        let mut bytes = RawFrame::text("").unfinished().encode();
        bytes.extend(RawFrame::new(opcode::CONTINUATION, "").unfinished().encode().repeat(count));
        bytes
    };
    for (what, few, many) in [
        ("fragments", pieces(40), RawFrame::new(opcode::CONTINUATION, "").unfinished().encode().repeat(1_000)),
        (
            "pongs",
            RawFrame::new(opcode::PONG, "").encode().repeat(40),
            RawFrame::new(opcode::PONG, "").encode().repeat(1_000),
        ),
    ] {
        let mut wire = Wire::of(&hub, "alice").await;
        assert_eq!(wire.message().await["type"], "Status");
        wire.send(&few).await;
        wire.send_frame(&RawFrame::new(opcode::PING, "there?")).await;
        assert_eq!(wire.frame().await.unwrap().payload, b"there?", "{what}");
        wire.try_send(&many).await;
        assert_eq!(wire.close_code().await, Some(4429), "{what}");
        wire.wait_closed().await;
    }
    assert_eq!(closed(&hub, "budget"), 2.0);
}

#[tokio::test]
async fn bytes_over_the_budget_close_the_connection_with_4429() {
    let hub = Hub::with(FEW_BYTES);
    let mut wire = Wire::of(&hub, "alice").await;
    let large = RawFrame::text(format!("\"{}\"", "x".repeat(60_000))).encode();
    for _ in 0..20 {
        wire.try_send(&large).await;
    }
    assert_eq!(wire.close_code().await, Some(4429));
    for transport in SioTransport::BOTH {
        let mut client = Sio::of(&hub, transport, "alice").await;
        client.send(&ping_of(0, 900_000)).await;
        assert_eq!(client.receive().await.id, Some(0), "one packet is within the budget");
        assert_eq!(client.try_send(&ping_of(1, 900_000)).await, transport == SioTransport::WebSocket);
        let (events, end) = client.read_to_end().await;
        assert_eq!(events, vec![], "{transport:?}");
        assert!(matches!(end, ObservedEnd::ClosePacket | ObservedEnd::Closed(Some(4429))), "{end:?}");
    }
    assert_eq!(closed(&hub, "budget"), 3.0);
}

#[tokio::test]
async fn each_polling_request_and_each_packet_in_it_is_a_frame() {
    let hub = Hub::with(FEW_FRAMES);
    let many = |count: usize| vec!["6"; count].join(&SEPARATOR.to_string());
    let mut polling = PollingSession::open(&hub).await;
    polling.send(many(40)).await;
    let answer = polling.post(many(1_000)).await;
    let refusal = json!({"code": 3, "message": "Rate limit exceeded"});
    assert_eq!((answer.status, answer.json()), (429, refusal));
    assert_eq!(polling.poll_body().await, "1");
    polling.assert_gone().await;

    let mut polling = PollingSession::open(&hub).await;
    let mut statuses = Vec::new();
    for _ in 0..1_000 {
        let answer = polling.post("6").await;
        statuses.push(answer.status);
        if answer.status != 200 {
            break;
        }
    }
    let taken = statuses.iter().filter(|&&status| status == 200).count();
    assert!(
        (25..500).contains(&taken) && statuses.last() == Some(&429),
        "{taken} requests of two frames were accepted"
    );
    polling.poll().await;
    polling.assert_gone().await;

    // On one connection, each poll replaces the one before it.
    let mut polling = PollingSession::open(&hub).await;
    let mut wire = Wire::connect(&hub).await;
    let poll = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", polling.path());
    wire.try_send(poll.repeat(1_000).as_bytes()).await;
    let mut taken = 0;
    let last = loop {
        let answer = wire.response().await;
        if answer.body != "6" {
            break answer;
        }
        taken += 1;
    };
    assert!((40..500).contains(&taken), "{taken} polls were accepted");
    assert_eq!((last.status, last.body.as_str()), (200, "1"));
    polling.assert_gone().await;
    assert_eq!(closed(&hub, "budget"), 3.0);
}

#[tokio::test]
async fn a_probing_socket_has_the_same_budget_and_keeps_the_session() {
    let hub = Hub::with(FEW_FRAMES);
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    let mut wire = client.polling().start_upgrade().await;
    wire.try_send(&RawFrame::new(opcode::PING, "").encode().repeat(1_000)).await;
    let mut pongs = 0;
    let code = loop {
        match wire.frame().await {
            Some(frame) if frame.opcode == opcode::PONG => pongs += 1,
            frame => break frame.and_then(|frame| frame.close_code()),
        }
    };
    // Unread frames in the hub's receive buffer can reset the connection before the close frame arrives.
    assert!(matches!(code, None | Some(1002)), "{code:?}");
    assert!(pongs <= 60, "{pongs} of 1,000 pings were answered");
    client.expect_silence().await;
    client.upgrade().await;
    client.expect_silence().await;
}

#[tokio::test]
async fn a_budget_of_zero_is_no_limit() {
    let hub = Hub::with("[limits]\nframes_per_second = 0\nbytes_per_second = 0");
    let mut client = Sio::of(&hub, SioTransport::WebSocket, "alice").await;
    client.wire().send(&RawFrame::text("6").encode().repeat(20_000)).await;
    client.expect_silence().await;
    assert_eq!(closed(&hub, "budget"), 0.0);
}

/// A packet of this length with an ack id.
fn ping_of(id: u64, length: usize) -> String {
    let packet = |padding: &str| format!("42{id}[\"ping\",{{\"timestamp\":\"{padding}\"}}]");
    packet(&"x".repeat(length - packet("").len()))
}

#[tokio::test]
async fn a_burst_of_connects_gets_90_replies_and_closes_the_connection() {
    let hub = Hub::start();
    for namespace in ["/nowhere,", "/chat,", ""] {
        let mut client = Sio::open(&hub, SioTransport::WebSocket).await;
        // A second CONNECT to a joined namespace costs nothing. The hub checks a broken token each time.
        let connect = RawFrame::text(format!("40{namespace}{}", json!({"token": "x"}))).encode();
        client.wire().try_send(&connect.repeat(2_000)).await;
        let (replies, end) = client.read_to_end().await;
        assert_eq!(end, ObservedEnd::Closed(Some(4429)), "{namespace}");
        let limited = replies.iter().filter(|reply| reply.data["data"]["code"] == "RATE_LIMITED").count();
        assert_eq!((replies.len(), limited), (90, 30), "{namespace}");
    }
    let mut polling = PollingSession::open(&hub).await;
    let body = vec!["40/nowhere,"; 700].join(&SEPARATOR.to_string());
    assert_eq!(polling.post(body).await.status, 429);
    let mut packets = Vec::new();
    while packets.last().is_none_or(|last| last != "1") {
        packets.extend(polling.poll_body().await.split(SEPARATOR).map(str::to_owned));
    }
    assert_eq!(packets.len(), 90 + 1, "{packets:?}");
    polling.assert_gone().await;
}

/// The first `size` bytes of a fragmented message without its final fragment.
fn unfinished(opcode: u8, size: usize) -> Vec<u8> {
    let first = RawFrame::new(opcode, vec![b'4'; size / 2]).unfinished().encode();
    [first, RawFrame::new(opcode::CONTINUATION, vec![b'4'; size - size / 2]).unfinished().encode()].concat()
}

#[tokio::test]
async fn before_its_first_namespace_a_connection_sends_at_most_16_kib() {
    let hub = Hub::start();
    let largest = |extra: usize| {
        let connect = |token: &str| format!("40{}", json!({ "token": token }));
        connect(&"x".repeat(16_384 + extra - connect("").len()))
    };
    let mut client = Sio::open(&hub, SioTransport::WebSocket).await;
    client.send(&largest(0)).await;
    assert_eq!(client.receive().await.data["message"], "Unauthorized");
    client.send(&largest(1)).await;
    assert_eq!(client.read_to_end().await, (vec![], ObservedEnd::Closed(Some(1009))));

    let mut client = Sio::open(&hub, SioTransport::Polling).await;
    client.send(&largest(0)).await;
    assert_eq!(client.receive().await.data["message"], "Unauthorized");
    let answer = client.polling().post(largest(1)).await;
    let refusal = json!({"code": 3, "message": "Payload too large: at most 16384 bytes"});
    assert_eq!((answer.status, answer.json()), (413, refusal));

    // The same bound holds for the buffered fragments of an unfinished message.
    for (opcode, size, code) in [(opcode::TEXT, 16_385, 1009), (opcode::BINARY, 1_000_000, 1009)] {
        let mut client = Sio::open(&hub, SioTransport::WebSocket).await;
        client.wire().send(&unfinished(opcode, 16_384)).await;
        client.wire().send_frame(&RawFrame::new(opcode::PING, "there?")).await;
        assert_eq!(client.wire().frame().await.unwrap().payload, b"there?");
        let mut client = Sio::open(&hub, SioTransport::WebSocket).await;
        client.wire().try_send(&unfinished(opcode, size)).await;
        assert_eq!(client.read_to_end().await, (vec![], ObservedEnd::Closed(Some(code))), "{size} bytes");
    }
}

#[tokio::test]
async fn before_its_first_namespace_a_connection_sends_only_connects_and_pongs() {
    let hub = Hub::start();
    let packets = [
        "42[\"ping\"]",
        "420[\"ping\"]",
        "430[]",
        "4510-[\"x\"]",
        "451-[\"ping\",{\"_placeholder\":true,\"num\":0}]",
        "461-0[]",
        "4",
        "44{\"message\":\"no\"}",
        "b",
        "bAQID",
    ];
    for packet in packets {
        let mut client = Sio::open(&hub, SioTransport::WebSocket).await;
        client.send(packet).await;
        assert_eq!(client.read_to_end().await, (vec![], ObservedEnd::Closed(Some(1002))), "{packet}");
        // A refused CONNECT joins no namespace.
        let mut client = Sio::open(&hub, SioTransport::WebSocket).await;
        client.connect("/nowhere", &json!(null)).await.unwrap_err();
        client.send(packet).await;
        assert_eq!(client.read_to_end().await, (vec![], ObservedEnd::Closed(Some(1002))), "{packet}");
        let mut client = Sio::open(&hub, SioTransport::Polling).await;
        assert_eq!(client.polling().post(packet).await.status, 400, "{packet}");
        client.polling().assert_gone().await;
    }
    let mut client = Sio::open(&hub, SioTransport::WebSocket).await;
    client.wire().send_frame(&RawFrame::new(opcode::BINARY, "x")).await;
    assert_eq!(client.read_to_end().await, (vec![], ObservedEnd::Closed(Some(1002))));
    // Engine.IO's own packets and a DISCONNECT are allowed.
    for transport in SioTransport::BOTH {
        let mut client = Sio::open(&hub, transport).await;
        for packet in ["3", "6", "41"] {
            client.send(packet).await;
        }
        client.connect("/", &json!(null)).await.unwrap();
    }
}

#[tokio::test]
async fn the_hub_buffers_at_most_16_kib_for_an_anonymous_connection() {
    let hub = Hub::start();
    let (mut held, before) = (Vec::new(), hub.rss_kib());
    for _ in 0..100 {
        for (first, then) in [
            (RawFrame::text("4510-[\"x\"]").encode(), RawFrame::new(opcode::BINARY, vec![0; 990_000]).encode()),
            (unfinished(opcode::TEXT, 16_000), vec![]),
            (vec![], RawFrame::new(opcode::BINARY, vec![0; 990_000]).unfinished().encode()),
        ] {
            let mut client = Sio::open(&hub, SioTransport::WebSocket).await;
            client.wire().try_send(&first).await;
            client.wire().try_send(&then).await;
            held.push(client);
        }
    }
    let grown = hub.rss_kib().saturating_sub(before);
    // Without a bound, 300 sockets would hold 400 MB. One that may buffer holds 16 KiB, and its bookkeeping.
    assert!(grown < 16 * 1024, "the hub grew by {grown} KiB");
}

#[tokio::test]
async fn no_body_is_read_for_an_unknown_session() {
    let hub = Hub::start();
    let mut polling = PollingSession::open(&hub).await;
    let foreign = polling.path().replace(polling.sid(), &format!("{}AAAA", &polling.sid()[..20]));
    let unknown = json!({"code": 1, "message": "Session ID unknown"});
    let too_large = json!({"code": 3, "message": "Payload too large: at most 16384 bytes"});
    let own = polling.path();
    // The client sends no body; the response arrives without it.
    for (path, size, status, body) in
        [(&foreign, 1_000_000, 400, &unknown), (&foreign, 10, 400, &unknown), (&own, 16_385, 413, &too_large)]
    {
        let mut wire = Wire::connect(&hub).await;
        wire.send(format!("POST {path} HTTP/1.1\r\nHost: hub\r\nContent-Length: {size}\r\n\r\n").as_bytes()).await;
        let answer = wire.response().await;
        assert_eq!((answer.status, &answer.json()), (status, body), "{path}");
    }
    polling.send("40").await;
    assert!(polling.poll_body().await.starts_with("40{"));
}

#[tokio::test]
async fn a_request_that_overlaps_another_is_refused_before_its_body_is_read() {
    let hub = Hub::start();
    let mut polling = PollingSession::open(&hub).await;
    let head = |size: u32| format!("POST {} HTTP/1.1\r\nHost: hub\r\nContent-Length: {size}\r\n\r\n", polling.path());
    let (first, second) = (head(2), head(1_000));
    let mut waiting = Wire::connect(&hub).await;
    waiting.send(first.as_bytes()).await;
    // Both are in progress at once. The hub refuses the second and ends the session.
    let mut overlapping = Wire::connect(&hub).await;
    overlapping.send(second.as_bytes()).await;
    let answers = [waiting.response().await, overlapping.response().await];
    let refusal = json!({"code": 3, "message": "Bad request: two requests overlap"});
    assert!(answers.iter().all(|answer| answer.status == 400), "{answers:?}");
    assert!(answers.iter().any(|answer| answer.json() == refusal), "{answers:?}");
    polling.assert_gone().await;
}

#[tokio::test]
async fn the_end_of_a_session_ends_its_unfinished_request() {
    let hub = Hub::with("[socketio]\nping_interval_ms = 300\nping_timeout_ms = 300");
    let polling = PollingSession::open(&hub).await;
    let mut wire = Wire::connect(&hub).await;
    let head = format!("POST {} HTTP/1.1\r\nHost: hub\r\nContent-Length: 10000\r\n\r\n", polling.path());
    wire.send(head.as_bytes()).await;
    let answer = wire.response().await;
    assert_eq!((answer.status, answer.json()["code"].as_u64()), (400, Some(1)), "{answer:?}");
}

#[tokio::test]
async fn a_connection_closed_in_a_body_keeps_the_session() {
    let hub = Hub::start();
    let mut polling = PollingSession::open(&hub).await;
    let mut wire = Wire::connect(&hub).await;
    let head = format!("POST {} HTTP/1.1\r\nHost: hub\r\nContent-Length: 10\r\n\r\n40", polling.path());
    wire.send(head.as_bytes()).await;
    drop(wire);
    // Until the hub sees the close, a second request overlaps and ends the session. Both statuses are correct; a timeout
    // is not.
    let answer = polling.post("40").await;
    assert!(matches!(answer.status, 200 | 400), "{answer:?}");
    if answer.status == 200 {
        assert!(polling.poll_body().await.starts_with("40{"));
    }
}
