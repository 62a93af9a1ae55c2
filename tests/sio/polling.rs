//! Requests: several packets in one body, bytes in text, what may not overlap, and how much is too much.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::time::Duration;

use crate::support::socketio::{End, Polling, SEPARATOR};
use crate::support::token::token;
use crate::support::wire::Frame;
use crate::support::{Client, DEADLINE, Hub, Outside, Reply, Sio, Transport, eventually};

#[tokio::test]
async fn a_body_holds_several_packets_in_their_order_both_ways() {
    let hub = Hub::start();
    let mut polling = Polling::open(&hub).await;
    let auth = json!({"token": token("alice")});
    let join = json!(["room:join", {"room": "lobby"}]);
    let packets = [format!("40{auth}"), "420[\"ping\"]".to_owned(), format!("42{join}"), "421[\"ping\"]".to_owned()];
    polling.say(packets.join(&SEPARATOR.to_string())).await;
    let first = polling.body().await;
    let mut heard: Vec<_> = first.split(SEPARATOR).map(str::to_owned).collect();
    assert!(heard.len() > 1, "what was there at once came one by one: {first}");
    while heard.len() < 6 {
        heard.extend(polling.body().await.split(SEPARATOR).map(str::to_owned));
    }
    let starts =
        ["40{\"sid\":", "42[\"connected\",", "42[\"system:welcome\",", "430[]", "42[\"room:join:ack\",", "431[]"];
    assert_eq!(heard.len(), starts.len(), "{heard:?}");
    for (packet, start) in heard.iter().zip(starts) {
        assert!(packet.starts_with(start), "{packet} where {start} was awaited");
    }
}

#[tokio::test]
async fn bytes_travel_as_base64_in_a_body_and_as_they_are_on_a_websocket() {
    let hub = Hub::start();
    let mut raw = Client::of(&hub, "raw").await;
    raw.subscribe(&["images"]).await;
    let mut members = Vec::new();
    for transport in Transport::BOTH {
        let mut member = Sio::of(&hub, transport, "member").await;
        member.join("images").await;
        members.push(member);
    }
    for transport in Transport::BOTH {
        let mut sender = Sio::of(&hub, transport, "sender").await;
        let data =
            r#"{"topic":"images","payload":{"a":{"_placeholder":true,"num":1},"b":[{"_placeholder":true,"num":0}]}}"#;
        sender.say_with(&format!("452-7[\"Broadcast\",{data}]"), &[b"\x00\xFF\x1e", b""]).await;
        let acked = sender.hear().await;
        assert_eq!((acked.id, &acked.data[0]["recipients"]), (Some(7), &json!(3)), "{acked:?}");

        let heard = raw.expect("Broadcast").await;
        assert_eq!(heard["data"]["payload"], json!({"a": {"$binary": ""}, "b": [{"$binary": "AP8e"}]}), "{heard}");
        for member in &mut members {
            let said = member.hear().await;
            assert_eq!(said.event(), Some("Broadcast"), "{said:?}");
            let placed = |number: u8| json!({"_placeholder": true, "num": number});
            assert_eq!(said.data[1]["payload"], json!({"a": placed(0), "b": [placed(1)]}), "{said:?}");
            assert_eq!(said.attachments, [b"".to_vec(), b"\x00\xFF\x1e".to_vec()], "{said:?}");
        }
    }
}

#[tokio::test]
async fn base64_is_read_in_every_form_that_clients_write() {
    let hub = Hub::start();
    let mut raw = Client::of(&hub, "raw").await;
    raw.subscribe(&["images"]).await;
    let mut sender = Sio::of(&hub, Transport::Polling, "sender").await;
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
        sender.say(&format!("451-7[\"Broadcast\",{data}]{SEPARATOR}b{text}")).await;
        assert_eq!(sender.hear().await.id, Some(7), "{text}");
        assert_eq!(raw.expect("Broadcast").await["data"]["payload"], json!({"$binary": plain}), "{text}");
    }
}

#[tokio::test]
async fn a_broken_body_ends_the_session() {
    let hub = Hub::start();
    let join = format!("40{}", json!({"token": token("alice")}));
    for broken in ["", "abc", "7", "4\u{1e}", "\u{1e}4", "b?", "bA", "bAQ=", "5", "2", "2probe", "0", "1x", "6x"] {
        let mut polling = Polling::open(&hub).await;
        polling.say(&join).await;
        let answer = polling.post(broken).await;
        let refusal = json!({"code": 3, "message": "Bad request: a malformed packet"});
        assert_eq!((answer.status, answer.json()), (400, refusal), "{broken:?}");
        polling.assert_gone().await;
    }
    let mut polling = Polling::open(&hub).await;
    let answer = polling.post(b"4\xFF\xFE").await;
    assert_eq!(answer.status, 400, "{answer:?}");
    polling.assert_gone().await;
    eventually(DEADLINE, "no session is left", || hub.connections() == 0).await;
}

#[tokio::test]
async fn two_polls_at_once_end_the_session() {
    let hub = Hub::start();
    let mut first = Polling::open(&hub).await;
    let path = first.path();
    // Which of them comes second is not for the client to say.
    first.ask().await;
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
    // While somebody else is asked about a token, the request that brought it is not finished.
    let judge = Outside::that_says(Reply::Silence);
    let hub = Hub::with(&format!("[auth.backend]\nurl = {:?}", judge.url("/user")));
    let mut polling = Polling::open(&hub).await;
    let first = tokio::task::spawn_blocking({
        let (http, path) = (hub.http(), polling.path());
        move || http.request("POST", &path).body("40{\"token\":\"1|opaque\"}").send()
    });
    eventually(DEADLINE, "the token is being judged", || judge.count() == 1).await;
    let second = polling.post("4").await;
    let refusal = json!({"code": 3, "message": "Bad request: two requests overlap"});
    assert_eq!((second.status, second.json()), (400, refusal));
    polling.assert_gone().await;
    assert_eq!(first.await.unwrap().status, 400);
}

#[tokio::test]
async fn a_poll_that_hung_up_costs_no_more_than_the_session() {
    let hub = Hub::with("[socketio]\nping_interval_ms = 300\nping_timeout_ms = 300");
    let mut client = Sio::of(&hub, Transport::Polling, "alice").await;
    client.begin_poll().await;
    client.polling().hang_up();
    // Which of the two comes first, and whether the hub has seen that one hung up, is not for the client to say.
    let answer = client.polling().poll().await;
    assert!(matches!((answer.status, answer.body.as_str()), (200, "1" | "2") | (400, _)), "{answer:?}");
    eventually(DEADLINE, "nothing is left of it", || hub.connections() == 0).await;
    client.polling().assert_gone().await;
}

#[tokio::test]
async fn a_body_over_max_payload_is_refused_and_the_session_lives_on() {
    let hub = Hub::with("[socketio]\nmax_payload = 5000");
    let mut client = Sio::of(&hub, Transport::Polling, "alice").await;
    let refusal = json!({"code": 3, "message": "Payload too large: at most 5000 bytes"});
    let answer = client.polling().post("4".repeat(5001)).await;
    assert_eq!((answer.status, answer.json()), (413, refusal));
    client.expect_silence().await;
    // A body of exactly the bound is taken.
    client.say(&ping_of(5000)).await;
    assert_eq!(client.hear().await.id, Some(0));
}

/// A packet of this length that asks for an acknowledgement by the id 0.
fn ping_of(length: usize) -> String {
    let packet = |padding: &str| format!("420[\"ping\",{{\"timestamp\":\"{padding}\"}}]");
    packet(&"x".repeat(length - packet("").len()))
}

#[tokio::test]
async fn a_websocket_message_over_max_payload_closes_it_with_1009() {
    let hub = Hub::with("[socketio]\nmax_payload = 5000");
    let mut client = Sio::of(&hub, Transport::WebSocket, "alice").await;
    client.say(&ping_of(5000)).await;
    assert_eq!(client.hear().await.id, Some(0));
    // Neither in one frame nor in two.
    let (half, other_half) = ("4".repeat(2500), "4".repeat(2501));
    client.wire().offer(&Frame::text(half).unfinished().encode()).await;
    client.wire().offer(&Frame::new(0, other_half).encode()).await;
    assert_eq!(client.until_ended().await.1, End::Closed(Some(1009)));
    eventually(DEADLINE, "no session is left", || hub.connections() == 0).await;
}

#[tokio::test]
async fn a_packet_and_its_bytes_are_together_not_over_max_payload() {
    let hub = Hub::with("[socketio]\nmax_payload = 5000");
    for transport in Transport::BOTH {
        let mut client = Sio::of(&hub, transport, "alice").await;
        let packet = r#"452-["ping",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
        let half = vec![1; 2600];
        match transport {
            Transport::Polling => {
                client.say(packet).await;
                let bytes = format!("b{}", "AQEB".repeat(2600 / 3 + 1));
                client.say(&bytes).await;
                assert!(!client.try_say(&bytes).await);
                client.polling().assert_gone().await;
            }
            Transport::WebSocket => {
                client.say_with(packet, &[&half, &half]).await;
                assert_eq!(client.until_ended().await.1, End::Closed(Some(1002)));
            }
        }
    }
}

#[tokio::test]
async fn who_takes_leave_by_a_close_packet_is_gone() {
    let hub = Hub::start();
    let mut client = Sio::of(&hub, Transport::Polling, "alice").await;
    client.begin_poll().await;
    let polling = client.polling();
    polling.say("1").await;
    assert_eq!(polling.body().await, "6");
    polling.assert_gone().await;

    let mut client = Sio::of(&hub, Transport::WebSocket, "alice").await;
    client.say("1").await;
    assert_eq!(client.until_ended().await, (vec![], End::Closed(Some(1000))));
    eventually(Duration::from_secs(2), "no session is left", || hub.connections() == 0).await;
}

#[tokio::test]
async fn who_has_joined_sends_nearly_as_much_as_max_payload_at_once() {
    let hub = Hub::start();
    for transport in Transport::BOTH {
        let mut client = Sio::guest(&hub, transport).await;
        client.say(&ping_of(900_000)).await;
        assert_eq!(client.hear().await.id, Some(0), "{transport:?}");
        // Having left, too, and being in again.
        client.say("41").await;
        client.connect("/", &serde_json::Value::Null).await.unwrap();
        client.expect("connected").await;
        client.expect("system:welcome").await;
        client.say(&ping_of(900_000)).await;
        assert_eq!(client.hear().await.id, Some(0), "{transport:?}");
    }
    let mut client = Sio::of(&hub, Transport::Polling, "alice").await;
    client.upgrade().await;
    client.say(&ping_of(900_000)).await;
    assert_eq!(client.hear().await.id, Some(0), "behind an upgrade");
}

#[tokio::test]
async fn what_comes_right_behind_a_connect_is_heard_once_that_is_judged() {
    let hub = Hub::start();
    let connect = format!("40{}", json!({"token": token("alice")}));
    let mut client = Sio::open(&hub, Transport::WebSocket).await;
    let burst = [Frame::text(connect.as_str()).encode(), Frame::text(ping_of(900_000)).encode()];
    client.wire().send(&burst.concat()).await;
    assert_eq!(client.hear().await.kind, '0');
    client.expect("connected").await;
    client.expect("system:welcome").await;
    assert_eq!(client.hear().await.id, Some(0));

    let mut client = Sio::open(&hub, Transport::Polling).await;
    client.say(&[connect, ping_of(1_000), ping_of(1_000)].join(&SEPARATOR.to_string())).await;
    assert_eq!(client.hear().await.kind, '0');
    client.expect("connected").await;
    client.expect("system:welcome").await;
    assert_eq!([client.hear().await.id, client.hear().await.id], [Some(0); 2]);
}

#[tokio::test]
async fn a_burst_of_a_client_that_was_away_is_within_the_budget() {
    let hub = Hub::with("[limits.push]\nmessages_per_minute = 0");
    for transport in Transport::BOTH {
        let mut client = Sio::of(&hub, transport, "alice").await;
        let packets = vec!["42[\"register\",{\"userId\":\"alice\"}]"; 2_000];
        match transport {
            Transport::Polling => client.say(&packets.join(&SEPARATOR.to_string())).await,
            Transport::WebSocket => client.wire().send(&Frame::text(packets[0]).encode().repeat(2_000)).await,
        }
        for _ in 0..2_000 {
            client.expect("register:ack").await;
        }
    }
}
