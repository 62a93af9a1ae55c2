//! JSON text of every way in: what receivers could not read is refused by its field or written so that they can, and the
//! connection stays.

use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::clients::socketio::{VERSIONS, base, fixture, node_with};
use crate::push::signed;
use crate::support::http::Response;
use crate::support::socketio::SocketPacket;
use crate::support::token::{now_ms, token};
use crate::support::tools::{Program, python};
use crate::support::{Client, Hub, Sio, Transport, Wire};

/// Arrays within arrays.
fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

/// Values that are JSON and that some receivers could not hold, and the field that is to blame where it is a payload.
fn unfit() -> [(String, &'static str); 4] {
    [
        ("1e400".into(), "payload"),
        (r#"{"n":[0,-1e999]}"#.into(), "payload.n[1]"),
        (format!("1{}", "0".repeat(309)), "payload"),
        (nested(128), "data"),
    ]
}

/// What comes in with escapes, and what is sent on.
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
async fn on_ws_a_payload_that_receivers_cannot_hold_is_refused_by_its_field() {
    let hub = Hub::start();
    let mut client = Client::of(&hub, "alice").await;
    for (payload, field) in unfit() {
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
async fn a_payload_is_sent_on_with_the_escapes_that_json_needs_whichever_way_it_came() {
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
    for transport in Transport::BOTH {
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

/// Says an event with an acknowledgement on a namespace; the acknowledgement's data.
async fn acknowledged(client: &mut Sio, packet: &str) -> Value {
    client.send(packet).await;
    loop {
        let said = client.receive().await;
        if said.kind == SocketPacket::ACK {
            return said.data[0].clone();
        }
        assert_eq!(said.event(), Some("error"), "{said:?}");
    }
}

#[tokio::test]
async fn on_socket_io_what_cannot_be_read_is_answered_and_the_connection_stays() {
    let hub = Hub::start();
    for transport in Transport::BOTH {
        let mut root = Sio::of(&hub, transport, "alice").await;
        let mut chat = Sio::of_chat(&hub, transport, "alice").await;
        let mut packets: Vec<(String, &str)> = unfit()
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
        // One whose attachments follow is answered behind them.
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
async fn an_event_is_refused_for_its_data_in_its_own_words() {
    let hub = Hub::start();
    let mut client = Sio::of(&hub, Transport::WebSocket, "alice").await;
    for (event, told, code) in [
        (r#"["client:event",{"type":"a","data":1e400}]"#, "error", "INVALID_EVENT_DATA"),
        (r#"["client:message",{"content":"a","metadata":{"n":1e400}}]"#, "error", "INVALID_MESSAGE_DATA"),
        (r#"["room:join",{"room":"a","n":1e400}]"#, "room:join:ack", "INVALID_REQUEST"),
        (r#"["typing_start",{"thread_id":1e400}]"#, "error", "VALIDATION_ERROR"),
    ] {
        client.send(&format!("42{event}")).await;
        let refused = client.expect(told).await;
        assert_eq!(refused["code"], code, "{event}: {refused}");
    }
}

#[tokio::test]
async fn a_connect_that_cannot_be_read_is_refused_by_its_field_and_another_one_is_heard() {
    let hub = Hub::start();
    for transport in Transport::BOTH {
        for namespace in ["/", "/chat"] {
            let prefix = if namespace == "/" { String::new() } else { format!("{namespace},") };
            let mut client = Sio::open(&hub, transport).await;
            for (auth, field) in [
                (r#"{"token":"a","n":1e400}"#.to_owned(), "auth.n"),
                (format!(r#"{{"token":"a","n":{}}}"#, nested(200)), "auth"),
                (r#"{"token":"a","n":NaN}"#.to_owned(), "auth"),
            ] {
                client.send(&format!("40{prefix}{auth}")).await;
                let said = client.receive().await;
                assert_eq!(said.kind, SocketPacket::CONNECT_ERROR, "{auth}: {said:?}");
                assert_eq!(said.data["data"]["details"]["field"], field, "{auth}: {said:?}");
            }
            // Half a surrogate pair is no part of any token.
            client.send(&format!("40{prefix}{{\"token\":\"\\ud800\"}}")).await;
            assert_eq!(client.receive().await.data["message"], "Unauthorized");
            client.connect(namespace, &json!({"token": token("alice")})).await.unwrap();
        }
    }
}

#[tokio::test]
async fn over_http_a_value_that_receivers_cannot_hold_is_refused_by_its_path() {
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
    // In a batch, one command; the others are carried out.
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
async fn an_empty_array_is_an_empty_object_where_an_object_is_meant() {
    let hub = Hub::start();
    let mut raw = Client::of(&hub, "alice").await;
    raw.text(r#"{"type":"room:list","data":[],"id":1}"#).await;
    assert!(raw.next().await["data"]["rooms"].is_array());
    raw.text(r#"{"type":"Subscribe","data":{"topics":["t"],"since":[]}}"#).await;
    assert_eq!(raw.expect("Status").await["data"]["details"]["topics"], json!(["t"]));
    let mut chat = Sio::of_chat(&hub, Transport::WebSocket, "alice").await;
    assert_eq!(chat.request_on("/chat", "presence:stats", json!([])).await[0]["success"], true);
    let mut guest = Sio::open(&hub, Transport::WebSocket).await;
    guest.connect("/", &json!([])).await.unwrap();

    let answer = hub.http().request("PUT", "/api/chats/php").key().json(&json!([])).send();
    assert_eq!((answer.status, &answer.json()["chat"]["name"]), (201, &json!("php")), "{answer:?}");
    // The data of a push stay what they are; those of a notification are an object.
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
async fn a_payload_is_counted_without_the_escapes_that_json_does_not_need() {
    let hub = Hub::start();
    let mut reader = Client::of(&hub, "reader").await;
    reader.subscribe(&["t"]).await;
    let mut sio = Sio::of(&hub, Transport::WebSocket, "php").await;
    let mut publish = async |characters: usize| {
        let payload = r"\u6f22".repeat(characters);
        sio.send(&format!(r#"421["Broadcast",{{"topic":"t","payload":"{payload}"}}]"#)).await;
        loop {
            let said = sio.receive().await;
            if said.kind == SocketPacket::ACK {
                return said.data[0].clone();
            }
        }
    };
    // 66,000 bytes as they come, 33,000 in UTF-8.
    assert_eq!(publish(11_000).await["recipients"], 1);
    assert_eq!(reader.expect("Broadcast").await["data"]["payload"], "漢".repeat(11_000));
    assert_eq!(publish(21_844).await["recipients"], 1, "65,534 bytes with the quotes");
    reader.expect("Broadcast").await;
    assert_eq!(publish(21_845).await["details"]["field"], "payload");
}

#[tokio::test]
async fn the_data_of_a_notification_have_a_limit_that_a_refusal_tells() {
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
        let told = json!({"field": "data", "limit": "limits.notification_bytes"});
        assert_eq!((answer.status, &answer.json()["details"]), (413, &told), "{answer:?}");
        assert_eq!(
            answer.json()["error"],
            "The `data` of a notification may have 100 bytes of JSON, and these have 101"
        );
    }
    let [(_, push), ..] = body(86, "x");
    let answer = post(&hub, "/api/batch", &format!(r#"{{"commands":[{{"push":{push}}}]}}"#)).json();
    assert_eq!(answer["results"][0]["details"]["limit"], "limits.notification_bytes", "{answer}");
}

#[tokio::test]
async fn names_that_do_not_show_are_refused_on_every_surface() {
    let hub = Hub::start();
    let hidden = ["a\u{200b}b", "a\u{202e}b", "a\u{e0041}b", "\u{feff}", "a\u{ad}", "a\u{2060}b", " ", "\u{3000}"];
    let mut raw = Client::of(&hub, "alice").await;
    let mut root = Sio::of(&hub, Transport::WebSocket, "alice").await;
    let mut chat = Sio::of_chat(&hub, Transport::WebSocket, "alice").await;
    for name in hidden {
        let subscribe = json!({"type": "Subscribe", "data": {"topics": [name, "fine"]}});
        let status = raw.ask(subscribe, "Status").await["data"]["details"].take();
        assert_eq!((&status["topics"], &status["denied"][0]["topic"]), (&json!(["fine"]), &json!(name)), "{status}");
        let direct = json!({"type": "DirectMessage", "data": {"target_user": name, "payload": 1}});
        assert_eq!(raw.ask(direct, "Error").await["data"]["details"]["field"], "target_user");
        root.emit("room:join", json!({"room": name})).await;
        assert_eq!(root.expect("room:join:ack").await["details"]["field"], "room");
        root.emit("typing_start", json!({"thread_id": name})).await;
        assert_eq!(root.expect("error").await["details"]["field"], "thread_id");
        assert_eq!(chat.request_on("/chat", "join:chat", json!({"chatId": name})).await[0]["success"], false);

        for (path, body, field) in [
            ("/api/push", json!({"userId": name, "event": "e", "data": 1}), "userId"),
            ("/api/room", json!({"room": name, "event": "e", "data": 1}), "room"),
            ("/api/broadcast", json!({"to": "thread", "thread_id": name, "event": "e", "data": 1}), "thread_id"),
            ("/api/disconnect", json!({"userId": name}), "userId"),
        ] {
            let answer = hub.http().request("POST", path).key().json(&body).send();
            assert_eq!((answer.status, &answer.json()["details"]["field"]), (400, &json!(field)), "{answer:?}");
        }
        let mut sio = Sio::open(&hub, Transport::WebSocket).await;
        let refused = sio.connect("/chat", &json!({"token": token(name)})).await.unwrap_err();
        assert_eq!(refused["message"], "Unauthorized", "{refused}");
        let (answer, _) = Wire::upgrade(&hub, &format!("/ws?token={}", token(name)), &[]).await;
        assert_eq!(answer.status, 401, "{name:?}: {answer:?}");
    }
    let answer = hub.http().request("PUT", "/api/chats/a%E2%80%8Bb").key().json(&json!({})).send();
    assert_eq!((answer.status, &answer.json()["details"]["field"]), (400, &json!("chatId")), "{answer:?}");
    // What scripts and emoji need is let in.
    raw.subscribe(&["👩\u{200d}💻", "می\u{200c}خواهم"]).await;
    Client::of(&hub, "👩\u{200d}💻").await;
}

#[test]
fn a_chat_whose_name_does_not_show_can_be_read_and_deleted_where_an_earlier_version_made_it() {
    let hub = Hub::start();
    let http = hub.http();
    let made = http.request("PUT", "/api/chats/old").key().json(&json!({"participants": ["old"]})).send();
    assert_eq!(made.status, 201, "{made:?}");
    let data = hub.data();
    let dir = hub.end();
    let store = rusqlite::Connection::open(data.join("hubbub.db")).unwrap();
    let renamed = "PRAGMA foreign_keys = OFF; UPDATE chats SET id = 'a\u{200b}b' WHERE id = 'old';
        UPDATE chat_participants SET chat_id = 'a\u{200b}b', user_id = 'u\u{200b}u';";
    store.execute_batch(renamed).unwrap();
    drop(store);

    let hub = Hub::in_dir(dir);
    let asked = |method: &str| hub.http().request(method, "/api/chats/a%E2%80%8Bb").key().send();
    let chat = asked("GET");
    let told = (&chat.json()["chat"]["chatId"], &chat.json()["chat"]["participants"]);
    assert_eq!((chat.status, told), (200, (&json!("a\u{200b}b"), &json!(["u\u{200b}u"]))), "{chat:?}");
    assert_eq!(asked("DELETE").status, 200);
    assert_eq!(asked("GET").status, 404);
}

/// What a client of socket.io-client was told by odd_text.js.
fn assert_told(told: &Value, what: &str) {
    let refused = |field: &str| json!([field, false, field]);
    let auth = json!({
        "message": "`auth` is nested more than 128 levels deep",
        "data": {"code": "INVALID_REQUEST", "details": {"field": "auth"}},
    });
    assert_eq!(told["errors"], json!([refused("event"), refused("data"), refused("topic")]), "{what}: {told}");
    assert_eq!((&told["half"], &told["deepest"]), (&json!(1), &json!(1)), "{what}: {told}");
    assert_eq!(told["auth"], auth, "{what}: {told}");
    // The test connects the other one twice; since 4.4, the library closes a connection that is in no namespace.
    assert_eq!(told["connections"], 1, "{what}: {told}");
    assert!(told["attempts"].as_u64().is_some_and(|attempts| attempts <= 2), "{what}: {told}");
}

#[tokio::test]
async fn every_version_of_socket_io_client_is_answered_and_stays() {
    let hub = Hub::start();
    for version in VERSIONS {
        for transports in ["polling", "websocket"] {
            let mut reader = Client::of(&hub, "reader").await;
            reader.subscribe(&["first"]).await;
            let mut node = node_with(version, "odd_text.js");
            let driver = Program::start(node.args([&base(&hub), transports, &token("alice")]));
            assert_told(&driver.report(), &format!("{version} {transports}"));
            assert_eq!(reader.expect("Broadcast").await["data"]["payload"], "cut \u{fffd}");
        }
    }
}

#[tokio::test]
async fn python_is_answered_and_stays_whatever_its_json_module_writes() {
    let requirements = python(&fixture("requirements.txt"));
    let hub = Hub::start();
    for mode in ["polling", "websocket"] {
        let mut reader = Client::of(&hub, "reader").await;
        reader.subscribe(&["first"]).await;
        let mut python = Command::new(&requirements);
        python.env("PYTHONDONTWRITEBYTECODE", "1").arg(fixture("odd_text.py"));
        let told = Program::start(python.args([&base(&hub), mode, &token("alice")])).report();
        let want = json!({
            "infinity": {"field": "data"},
            "chinese": 1,
            "half": 1,
            "too long": {"field": "payload"},
            "integer": 1,
            "connections": 1,
        });
        assert_eq!(told, want, "{mode}");
        assert_eq!(reader.expect("Broadcast").await["data"]["payload"], "漢".repeat(11_000));
        assert_eq!(reader.expect("Broadcast").await["data"]["payload"], "cut \u{fffd}");
    }
}
