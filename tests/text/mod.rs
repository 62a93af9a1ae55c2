//! JSON text on every surface. The hub refuses values that receivers cannot read, and names the field; or it writes them
//! in a form that they can read. The connection stays open.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::push::signed;
use crate::support::http::Response;
use crate::support::socketio::SocketPacket;
use crate::support::token::{now_ms, token};
use crate::support::{Client, Hub, Sio, SioTransport};

// Names with invisible characters.
mod names;

// The libraries of Node and Python.
mod libraries;

/// Nested arrays.
fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

/// JSON values that some receivers cannot read, and the invalid field if the value is a payload.
fn unreadable() -> [(String, &'static str); 4] {
    [
        ("1e400".into(), "payload"),
        (r#"{"n":[0,-1e999]}"#.into(), "payload.n[1]"),
        (format!("1{}", "0".repeat(309)), "payload"),
        (nested(128), "data"),
    ]
}

/// JSON with escapes as it is sent, and as it is delivered.
const RESOLVED: [(&str, &str); 5] = [
    (r#""cut \ud83d""#, "\"cut \u{fffd}\""),
    (r#""\udc00\ud800""#, "\"\u{fffd}\u{fffd}\""),
    (r#"{"caf\u00e9":"\/","pair":"\ud83e\udd80"}"#, r#"{"café":"/","pair":"🦀"}"#),
    (r#""needed: \" \\ \n \u0000""#, r#""needed: \" \\ \n \u0000""#),
    (r#"[1.50, 1e-400]"#, r#"[1.50, 1e-400]"#),
];

fn post(hub: &Hub, path: &str, body: &str) -> Response {
    hub.http().request("POST", path).key().header("Content-Type", "application/json").body(body).send()
}

#[tokio::test]
async fn ws_refuses_a_payload_that_receivers_cannot_read_and_names_the_field() {
    let hub = Hub::start();
    let mut client = Client::of(&hub, "alice").await;
    for (payload, field) in unreadable() {
        for event in ["Broadcast\",\"data\":{\"topic\":\"t\"", "DirectMessage\",\"data\":{\"target_user\":\"alice\""] {
            client.text(&format!("{{\"type\":\"{event},\"payload\":{payload}}},\"id\":7}}")).await;
            let error = client.expect("Error").await;
            assert_eq!((&error["id"], &error["data"]["code"]), (&json!(7), &json!("INVALID_REQUEST")), "{error}");
            assert_eq!(error["data"]["details"]["field"], field, "{error}");
        }
    }
    client.text(r#"{"type":"Ping","data":{"timestamp":1e400},"id":"x"}"#).await;
    assert_eq!(client.expect("Error").await["data"]["details"]["field"], "timestamp");
    client.text(r#"{"type":"Ping","data":{"timestamp":1},"id":1e400}"#).await;
    assert_eq!(client.expect("Error").await["data"]["details"]["field"], "id");
    client.expect_silence().await;
}

#[tokio::test]
async fn a_payload_from_any_surface_is_delivered_with_necessary_escapes_only() {
    let hub = Hub::start();
    let mut reader = Client::of(&hub, "reader").await;
    reader.subscribe(&["t"]).await;
    let mut raw = Client::of(&hub, "raw").await;
    for (payload, resolved) in RESOLVED {
        raw.text(&format!(r#"{{"type":"Broadcast","data":{{"topic":"t","payload":{payload}}}}}"#)).await;
        raw.expect("Ack").await;
        let got = reader.next_text().await;
        assert!(got.contains(&format!(r#""payload":{resolved},"#)), "{got}");
    }
    for transport in SioTransport::BOTH {
        let mut sio = Sio::of(&hub, transport, "sio").await;
        for (payload, resolved) in RESOLVED {
            sio.send(&format!(r#"42["Broadcast",{{"topic":"t","payload":{payload}}}]"#)).await;
            let got = reader.next_text().await;
            assert!(got.contains(&format!(r#""payload":{resolved},"#)), "{got}");
        }
    }
    for (data, resolved) in RESOLVED {
        for body in [
            format!(r#"{{"room":"t","event":"e","data":{data}}}"#),
            format!(r#"{{"commands":[{{"room":{{"room":"t","event":"e","data":{data}}}}}]}}"#),
        ] {
            let path = if body.contains("commands") { "/api/batch" } else { "/api/room" };
            let answer = post(&hub, path, &body);
            assert_eq!(answer.status, 200, "{answer:?}");
            let got = reader.next_text().await;
            assert!(got.contains(&format!(r#""data":{resolved},"#)), "{got}");
        }
    }
}

/// Sends a packet with an acknowledgement id, and returns the data of the acknowledgement.
async fn acknowledged(client: &mut Sio, packet: &str) -> Value {
    client.send(packet).await;
    loop {
        let packet = client.receive().await;
        if packet.kind == SocketPacket::ACK {
            return packet.data[0].clone();
        }
        assert_eq!(packet.event(), Some("error"), "{packet:?}");
    }
}

#[tokio::test]
async fn socket_io_answers_unreadable_events_and_keeps_the_connection() {
    let hub = Hub::start();
    for transport in SioTransport::BOTH {
        let mut root = Sio::of(&hub, transport, "alice").await;
        let mut chat = Sio::of_chat(&hub, transport, "alice").await;
        let mut packets: Vec<(String, &str)> = unreadable()
            .into_iter()
            .map(|(payload, field)| (format!(r#"["Broadcast",{{"topic":"t","payload":{payload}}}]"#), field))
            .collect();
        for (args, field) in [
            ("[]", "event"),
            ("[null,{}]", "event"),
            ("[7,{}]", "event"),
            (r#"["Broadcast",{"topic":"t","payload":NaN}]"#, "data"),
            (r#"["Broadcast",{"topic":"t","payload":01}]"#, "data"),
            (r#"["Broadcast",{"topic":"t""#, "data"),
        ] {
            packets.push((args.into(), field));
        }
        for (args, field) in packets {
            for (client, namespace) in [(&mut root, ""), (&mut chat, "/chat,")] {
                let answer = acknowledged(client, &format!("42{namespace}5{args}")).await;
                assert_eq!(answer["success"], false, "{answer}");
                assert_eq!(answer["code"], "INVALID_REQUEST", "{answer}");
                assert_eq!(answer["details"]["field"], field, "{args}: {answer}");
            }
        }
        // A packet with attachments is answered after they arrived.
        root.send_with_attachments(
            r#"451-6["Broadcast",{"topic":"t","payload":{"_placeholder":true,"num":0}"#,
            &[b"x"],
        )
        .await;
        assert_eq!(root.expect("error").await["details"]["field"], "data");
        assert_eq!(root.receive().await.id, Some(6));
        assert_eq!(root.request("ping", json!({})).await, json!([]));
    }
}

#[tokio::test]
async fn each_event_refuses_bad_data_with_its_own_code() {
    let hub = Hub::start();
    let mut client = Sio::of(&hub, SioTransport::WebSocket, "alice").await;
    for (event, answer, code) in [
        (r#"["client:event",{"type":"a","data":1e400}]"#, "error", "INVALID_EVENT_DATA"),
        (r#"["client:message",{"content":"a","metadata":{"n":1e400}}]"#, "error", "INVALID_MESSAGE_DATA"),
        (r#"["room:join",{"room":"a","n":1e400}]"#, "room:join:ack", "INVALID_REQUEST"),
        (r#"["typing_start",{"thread_id":1e400}]"#, "error", "VALIDATION_ERROR"),
    ] {
        client.send(&format!("42{event}")).await;
        let refused = client.expect(answer).await;
        assert_eq!(refused["code"], code, "{event}: {refused}");
    }
}

#[tokio::test]
async fn an_unreadable_connect_is_refused_and_the_next_one_succeeds() {
    let hub = Hub::start();
    for transport in SioTransport::BOTH {
        for namespace in ["/", "/chat"] {
            let prefix = if namespace == "/" { String::new() } else { format!("{namespace},") };
            let mut client = Sio::open(&hub, transport).await;
            for (auth, field) in [
                (r#"{"token":"a","n":1e400}"#.to_owned(), "auth.n"),
                (format!(r#"{{"token":"a","n":{}}}"#, nested(200)), "auth"),
                (r#"{"token":"a","n":NaN}"#.to_owned(), "auth"),
            ] {
                client.send(&format!("40{prefix}{auth}")).await;
                let packet = client.receive().await;
                assert_eq!(packet.kind, SocketPacket::CONNECT_ERROR, "{auth}: {packet:?}");
                assert_eq!(packet.data["data"]["details"]["field"], field, "{auth}: {packet:?}");
            }
            // A token cannot contain half a surrogate pair.
            client.send(&format!("40{prefix}{{\"token\":\"\\ud800\"}}")).await;
            assert_eq!(client.receive().await.data["message"], "Unauthorized");
            client.connect(namespace, &json!({"token": token("alice")})).await.unwrap();
        }
    }
}

#[tokio::test]
async fn http_refuses_a_value_that_receivers_cannot_read_and_names_its_path() {
    let hub = Hub::start();
    let deep = nested(129);
    for (data, field) in [("1e400", "data"), (r#"{"n":[0,-1e999]}"#, "data.n[1]"), (&deep, "data")] {
        for (path, body) in [
            ("/api/push", format!(r#"{{"userId":1,"event":"e","data":{data}}}"#)),
            ("/api/push", format!(r#"{{"userId":1,"event":"notification","data":{data}}}"#)),
            ("/api/broadcast", format!(r#"{{"event":"e","data":{data}}}"#)),
            ("/api/room", format!(r#"{{"room":"r","event":"e","data":{data}}}"#)),
        ] {
            let answer = post(&hub, path, &body);
            let details = &answer.json()["details"]["field"];
            assert_eq!((answer.status, details), (400, &json!(field)), "{body}: {answer:?}");
        }
    }
    // In a batch, only this command fails.
    let body =
        r#"{"commands":[{"room":{"room":"r","event":"e","data":1e400}},{"room":{"room":"r","event":"e","data":1}}]}"#;
    let answer = post(&hub, "/api/batch", body).json();
    assert_eq!(
        (&answer["results"][0]["code"], &answer["results"][1]["success"]),
        (&json!("INVALID_REQUEST"), &json!(true))
    );
    let answer = post(&hub, "/api/disconnect", r#"{"userId":1e400}"#);
    assert_eq!((answer.status, &answer.json()["details"]["field"]), (400, &json!("userId")), "{answer:?}");
}

#[tokio::test]
async fn a_signature_covers_the_body_as_it_was_sent() {
    let hub = Hub::start();
    let mut reader = Client::of(&hub, "7").await;
    let body = r#"{"userId":7,"event":"e","data":"caf\u00e9 \ud83d"}"#;
    let time = now_ms();
    let message = format!("POST/api/push{time}n-1{}", hex::encode(Sha256::digest(body)));
    let http = hub.http();
    let request = signed(http.request("POST", "/api/push"), message, "n-1", time, "v2");
    assert_eq!(request.body(body).send().status, 200);
    assert_eq!(reader.expect("e").await["data"], "café \u{fffd}");
}

#[tokio::test]
async fn an_empty_array_counts_as_an_empty_object_if_an_object_is_expected() {
    let hub = Hub::start();
    let mut raw = Client::of(&hub, "alice").await;
    raw.text(r#"{"type":"room:list","data":[],"id":1}"#).await;
    assert!(raw.next().await["data"]["rooms"].is_array());
    raw.text(r#"{"type":"Subscribe","data":{"topics":["t"],"since":[]}}"#).await;
    assert_eq!(raw.expect("Status").await["data"]["details"]["topics"], json!(["t"]));
    let mut chat = Sio::of_chat(&hub, SioTransport::WebSocket, "alice").await;
    assert_eq!(chat.request_on("/chat", "presence:stats", json!([])).await[0]["success"], true);
    let mut guest = Sio::open(&hub, SioTransport::WebSocket).await;
    guest.connect("/", &json!([])).await.unwrap();

    let answer = hub.http().request("PUT", "/api/chats/php").key().json(&json!([])).send();
    assert_eq!((answer.status, &answer.json()["chat"]["name"]), (201, &json!("php")), "{answer:?}");
    // The data of a push stay an array; the data of a notification become an object.
    for (event, data) in [("e", "[]"), ("notification", "[]")] {
        let answer = post(&hub, "/api/push", &format!(r#"{{"userId":"alice","event":"{event}","data":{data}}}"#));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(raw.expect("e").await["data"], json!([]));
    assert!(raw.expect("notification").await["data"]["id"].is_string());
    let answer = post(&hub, "/api/push", "[]");
    assert_eq!((answer.status, &answer.json()["details"]["field"]), (400, &json!("userId")), "{answer:?}");
}

#[tokio::test]
async fn the_limit_of_a_payload_counts_bytes_without_unnecessary_escapes() {
    let hub = Hub::start();
    let mut reader = Client::of(&hub, "reader").await;
    reader.subscribe(&["t"]).await;
    let mut sio = Sio::of(&hub, SioTransport::WebSocket, "php").await;
    let mut publish = async |characters: usize| {
        let payload = r"\u6f22".repeat(characters);
        sio.send(&format!(r#"421["Broadcast",{{"topic":"t","payload":"{payload}"}}]"#)).await;
        loop {
            let packet = sio.receive().await;
            if packet.kind == SocketPacket::ACK {
                return packet.data[0].clone();
            }
        }
    };
    // 66,000 bytes as sent, 33,000 bytes in UTF-8.
    assert_eq!(publish(11_000).await["recipients"], 1);
    assert_eq!(reader.expect("Broadcast").await["data"]["payload"], "漢".repeat(11_000));
    assert_eq!(publish(21_844).await["recipients"], 1, "65,534 bytes with the quotes");
    reader.expect("Broadcast").await;
    assert_eq!(publish(21_845).await["details"]["field"], "payload");
}

#[tokio::test]
async fn the_data_of_a_notification_are_limited_and_a_refusal_names_the_limit() {
    let hub = Hub::with("[limits]\nnotification_bytes = 100");
    let body = |length: usize, text: &str| {
        let data = format!(r#"{{"id":1,"a":"{}"}}"#, text.repeat(length));
        [
            ("/api/push", format!(r#"{{"userId":1,"event":"notification","data":{data}}}"#)),
            ("/api/broadcast", format!(r#"{{"to":"user","user_id":1,"event":"notification","data":{data}}}"#)),
            ("/api/room", format!(r#"{{"room":"user:1","event":"notification","data":{data}}}"#)),
        ]
    };
    for (path, body) in body(85, "x").into_iter().chain(body(28, r"\u6f22")) {
        let answer = post(&hub, path, &body);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    for (path, body) in body(86, "x") {
        let answer = post(&hub, path, &body);
        let details = json!({"field": "data", "limit": "limits.notification_bytes"});
        assert_eq!((answer.status, &answer.json()["details"]), (413, &details), "{answer:?}");
        assert_eq!(answer.json()["error"], "`data` may have at most 100 bytes of JSON and has 101");
    }
    let [(_, push), ..] = body(86, "x");
    let answer = post(&hub, "/api/batch", &format!(r#"{{"commands":[{{"push":{push}}}]}}"#)).json();
    assert_eq!(answer["results"][0]["details"]["limit"], "limits.notification_bytes", "{answer}");
}
