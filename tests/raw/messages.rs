//! Every message of a raw client with its whole answer, and the errors for invalid ones. A refused message does not end
//! the connection.

use serde_json::{Value, json};

use crate::support::client::without_time;
use crate::support::{Client, DEADLINE, Hub, eventually};

/// Removes the `message_id` from a message's data: a text that is not empty.
#[track_caller]
fn without_id(message: Value) -> (Value, String) {
    let mut message = without_time(message);
    let id = message["data"].as_object_mut().unwrap().remove("message_id");
    let id = id.unwrap_or_else(|| panic!("no message_id in {message}"));
    let id = id.as_str().unwrap_or_else(|| panic!("message_id is {id}")).to_owned();
    assert!(!id.is_empty());
    (message, id)
}

/// Asserts that `text` is refused for `field`, and that the connection stays open.
async fn refused(client: &mut Client, text: &str, field: &str) -> Value {
    client.text(text).await;
    let error = client.expect("Error").await;
    assert_eq!(error["data"]["code"], "INVALID_REQUEST", "{text}: {error}");
    assert!(error["data"]["message"].as_str().is_some_and(|words| !words.is_empty()), "{error}");
    if !field.is_empty() {
        let named = error["data"]["details"]["field"].as_str().unwrap_or_default();
        assert!(named == field || named.ends_with(&format!(".{field}")), "{text}: {error}");
    }
    client.expect_silence().await;
    error
}

#[tokio::test]
async fn a_pong_has_the_number_of_its_ping_unchanged() {
    let hub = Hub::start();
    let mut client = Client::of(&hub, "alice").await;
    let numbers = [
        "1",
        "0",
        "-1",
        "1.5",
        "1.0",
        "1e3",
        "1E+3",
        "-0",
        "0.1e-7",
        "1703980800000",
        "18446744073709551616",
        "123456789012345678901234567890.123456789",
    ];
    for number in numbers {
        client.text(&format!(r#"{{"type":"Ping","data":{{"timestamp":{number}}}}}"#)).await;
        let pong = client.next_text().await;
        let back = format!(r#""data":{{"timestamp":{number}}}"#);
        assert!(pong.contains(&back), "sent {number}, got {pong}");
        let pong: Value = serde_json::from_str(&pong).unwrap();
        assert_eq!(pong["type"], "Pong");
        assert!(pong["timestamp"].is_u64(), "{pong}");
    }
}

#[tokio::test]
async fn the_id_of_a_request_is_at_the_top_of_its_answer() {
    let hub = Hub::start();
    let mut client = Client::of(&hub, "alice").await;
    for id in [json!("a"), json!(""), json!(7), json!(-1.5), json!(u64::MAX)] {
        let messages = [
            ("Pong", json!({"type": "Ping", "data": {"timestamp": 1}})),
            ("Status", json!({"type": "Subscribe", "data": {"topics": ["t"]}})),
            ("Ack", json!({"type": "Broadcast", "data": {"topic": "t", "payload": 1}})),
            ("Error", json!({"type": "Broadcast", "data": {"topic": "t"}})),
            ("Error", json!({"type": "DirectMessage", "data": {"target_user": "x", "payload": 1}})),
            ("Error", json!({"type": "NoSuchThing", "data": {}})),
            ("Status", json!({"type": "Unsubscribe", "data": {"topics": ["t"]}})),
        ];
        for (kind, mut message) in messages {
            message["id"] = id.clone();
            let answer = client.ask(message, kind).await;
            assert_eq!(answer["id"], id, "{answer}");
        }
    }
    let answer = client.ask(json!({"type": "Ping", "data": {"timestamp": 1}}), "Pong").await;
    assert!(answer.get("id").is_none(), "none was given: {answer}");
}

#[tokio::test]
async fn subscribing_and_unsubscribing_are_answered_with_their_result() {
    let hub = Hub::start();
    let mut client = Client::of(&hub, "alice").await;
    let subscribe = json!({"type": "Subscribe", "data": {"topics": ["a", "b"]}, "id": 1});
    assert_eq!(
        without_time(client.ask(subscribe, "Status").await),
        json!({"type": "Status", "id": 1, "data": {"status": "subscribed", "details": {
            "topics": ["a", "b"], "denied": [], "positions": {}, "recovered": {},
        }}})
    );
    let unsubscribe = json!({"type": "Unsubscribe", "data": {"topics": ["a", "never"]}, "id": 2});
    assert_eq!(
        without_time(client.ask(unsubscribe, "Status").await),
        json!({"type": "Status", "id": 2, "data": {
            "status": "unsubscribed", "details": {"topics": ["a", "never"]},
        }})
    );
    let none = json!({"type": "Subscribe", "data": {"topics": []}});
    let status = client.ask(none, "Status").await;
    assert_eq!(status["data"]["details"]["topics"], json!([]));
}

#[tokio::test]
async fn a_broadcast_is_delivered_to_every_other_member_only() {
    let hub = Hub::start();
    let mut sender = Client::of(&hub, "sender").await;
    let mut sender_too = Client::of(&hub, "sender").await;
    let mut member = Client::of(&hub, "member").await;
    let mut stranger = Client::of(&hub, "stranger").await;
    for client in [&mut sender, &mut sender_too, &mut member] {
        client.subscribe(&["lobby"]).await;
    }
    stranger.subscribe(&["lobby2"]).await;

    let payload = json!({"text": "héllo ☃", "n": [1, 2.5, null, true]});
    let (ack, id) = without_id(sender.broadcast("lobby", payload.clone()).await);
    assert_eq!(ack, json!({"type": "Ack", "data": {"recipients": 2}}));
    for other in [&mut sender_too, &mut member] {
        let (message, its_id) = without_id(other.expect("Broadcast").await);
        assert_eq!(its_id, id);
        let data = json!({"topic": "lobby", "payload": payload, "from_user": "sender"});
        assert_eq!(message, json!({"type": "Broadcast", "data": data}));
    }
    sender.expect_silence().await;
    stranger.expect_silence().await;
}

#[tokio::test]
async fn a_client_can_publish_to_a_topic_without_a_subscription() {
    let hub = Hub::start();
    let mut member = Client::of(&hub, "member").await;
    member.subscribe(&["lobby"]).await;
    let mut passer = Client::of(&hub, "passer").await;
    let ack = passer.broadcast("lobby", json!("hi")).await;
    assert_eq!(ack["data"]["recipients"], 1);
    assert_eq!(member.expect("Broadcast").await["data"]["payload"], "hi");
    let ack = passer.broadcast("nobody", json!("hi")).await;
    assert_eq!(ack["data"]["recipients"], 0);
}

#[tokio::test]
async fn a_payload_is_any_json_and_is_delivered_unchanged() {
    let hub = Hub::start();
    let mut sender = Client::of(&hub, "sender").await;
    let mut member = Client::of(&hub, "member").await;
    member.subscribe(&["t"]).await;
    let payloads = [
        "null",
        "true",
        "0",
        "\"\"",
        "[]",
        "{}",
        "12345678901234567890123",
        "1.10",
        r#"{"z":1,"a":{"b":[null,{"c":"d"}]}}"#,
        r#""☃ 😀 \\ \" \n\u0000""#,
    ];
    for payload in payloads {
        let text = format!(r#"{{"type":"Broadcast","data":{{"topic":"t","payload":{payload}}}}}"#);
        sender.text(&text).await;
        assert_eq!(sender.expect("Ack").await["data"]["recipients"], 1, "{payload}");
        let received = member.next_text().await;
        assert!(received.contains(&format!(r#""payload":{payload}"#)), "sent {payload}, got {received}");
    }
}

#[tokio::test]
async fn no_message_is_delivered_after_unsubscribing() {
    let hub = Hub::start();
    let mut sender = Client::of(&hub, "sender").await;
    let mut member = Client::of(&hub, "member").await;
    member.subscribe(&["t", "u"]).await;
    let leave = json!({"type": "Unsubscribe", "data": {"topics": ["t"]}});
    member.ask(leave, "Status").await;
    assert_eq!(sender.broadcast("t", json!(1)).await["data"]["recipients"], 0);
    assert_eq!(sender.broadcast("u", json!(2)).await["data"]["recipients"], 1);
    assert_eq!(member.expect("Broadcast").await["data"]["payload"], 2);
    member.expect_silence().await;
}

#[tokio::test]
async fn subscribing_twice_delivers_one_copy() {
    let hub = Hub::start();
    let mut sender = Client::of(&hub, "sender").await;
    let mut member = Client::of(&hub, "member").await;
    member.subscribe(&["t"]).await;
    member.subscribe(&["t"]).await;
    member.ask(json!({"type": "Subscribe", "data": {"topics": ["t", "t"]}}), "Status").await;
    assert_eq!(sender.broadcast("t", json!(1)).await["data"]["recipients"], 1);
    member.expect("Broadcast").await;
    member.expect_silence().await;
}

#[tokio::test]
async fn a_closed_session_is_no_recipient() {
    let hub = Hub::start();
    let mut sender = Client::of(&hub, "sender").await;
    let mut member = Client::of(&hub, "member").await;
    member.subscribe(&["t"]).await;
    assert_eq!(sender.broadcast("t", json!(1)).await["data"]["recipients"], 1);
    member.close().await;
    eventually(DEADLINE, "the hub notices", || hub.connections() == 1).await;
    assert_eq!(sender.broadcast("t", json!(1)).await["data"]["recipients"], 0);
}

#[tokio::test]
async fn invalid_json_is_refused_and_the_connection_stays_open() {
    let hub = Hub::start();
    let mut client = Client::of(&hub, "alice").await;
    let bad = [
        "",
        " ",
        "{",
        "nonsense",
        r#"{"type":"Ping","data":{"timestamp":1}"#,
        "{'type':1}",
        r#"{"type":"Ping","data":{"timestamp":01}}"#,
        r#"{"type":"Ping","data":{"timestamp":1}} x"#,
    ];
    for text in bad {
        refused(&mut client, text, "").await;
    }
}

#[tokio::test]
async fn an_invalid_envelope_is_refused_and_the_connection_stays_open() {
    let hub = Hub::start();
    let mut client = Client::of(&hub, "alice").await;
    for text in ["null", "1", "\"Ping\"", "[]", r#"[{"type":"Ping","data":{"timestamp":1}}]"#] {
        refused(&mut client, text, "").await;
    }
    for text in
        ["{}", r#"{"data":{}}"#, r#"{"type":"","data":{}}"#, r#"{"type":7,"data":{}}"#, r#"{"type":null,"data":{}}"#]
    {
        refused(&mut client, text, "type").await;
    }
}

#[tokio::test]
async fn the_refusal_of_an_unknown_type_names_it() {
    let hub = Hub::start();
    let mut client = Client::of(&hub, "alice").await;
    for name in ["Nonsense", "PING", "Status", "Pong", "Ack", "Error"] {
        let error = refused(&mut client, &json!({"type": name, "data": {}}).to_string(), "type").await;
        assert!(error["data"]["message"].as_str().unwrap().contains(name), "{error}");
    }
}

#[tokio::test]
async fn the_refusal_of_a_missing_or_mistyped_field_names_it() {
    let hub = Hub::start();
    let mut client = Client::of(&hub, "alice").await;
    let wrong = [
        ("timestamp", json!({"type": "Ping", "data": {}})),
        ("timestamp", json!({"type": "Ping", "data": {"timestamp": "1"}})),
        ("timestamp", json!({"type": "Ping", "data": {"timestamp": null}})),
        ("data", json!({"type": "Ping", "data": 1})),
        ("data", json!({"type": "Broadcast", "data": "x"})),
        ("topics", json!({"type": "Subscribe", "data": {}})),
        ("topics", json!({"type": "Subscribe", "data": {"topics": "t"}})),
        ("since", json!({"type": "Subscribe", "data": {"topics": ["t"], "since": 5}})),
        ("topics", json!({"type": "Unsubscribe", "data": {}})),
        ("topic", json!({"type": "Broadcast", "data": {"payload": 1}})),
        ("topic", json!({"type": "Broadcast", "data": {"topic": 5, "payload": 1}})),
        ("topic", json!({"type": "Broadcast", "data": {"topic": "", "payload": 1}})),
        ("topic", json!({"type": "Broadcast", "data": {"topic": "a\u{7}", "payload": 1}})),
        ("topic", json!({"type": "Broadcast", "data": {"topic": "x".repeat(201), "payload": 1}})),
        ("payload", json!({"type": "Broadcast", "data": {"topic": "t"}})),
        ("target_user", json!({"type": "DirectMessage", "data": {"payload": 1}})),
        ("target_user", json!({"type": "DirectMessage", "data": {"target_user": [], "payload": 1}})),
        ("payload", json!({"type": "DirectMessage", "data": {"target_user": "x"}})),
        ("token", json!({"type": "Authenticate", "data": {}})),
        ("token", json!({"type": "Authenticate", "data": {"token": 5}})),
    ];
    for (field, message) in wrong {
        refused(&mut client, &message.to_string(), field).await;
    }
    let strange = json!({"type": "Subscribe", "data": {"topics": ["a", 5]}});
    let error = client.ask(strange, "Error").await;
    let field = error["data"]["details"]["field"].as_str().unwrap_or_default();
    assert!(field.contains("topics[1]"), "{error}");
}

#[tokio::test]
async fn a_message_without_data_lacks_its_fields() {
    let hub = Hub::start();
    let mut client = Client::of(&hub, "alice").await;
    let error = client.ask(json!({"type": "Subscribe"}), "Error").await;
    assert_eq!(error["data"]["code"], "INVALID_REQUEST", "{error}");
    let field = error["data"]["details"]["field"].as_str().unwrap_or_default();
    assert!(field.contains("data") || field.contains("topics"), "{error}");
    client.expect_silence().await;
}

#[tokio::test]
async fn unknown_fields_of_an_envelope_are_ignored() {
    let hub = Hub::start();
    let mut client = Client::of(&hub, "alice").await;
    for stamp in [json!(1), json!("yesterday"), json!(null), json!({"a": 1})] {
        let ping = json!({"type": "Ping", "timestamp": stamp, "version": 2, "data": {"timestamp": 5, "more": 1}});
        let pong = without_time(client.ask(ping, "Pong").await);
        assert_eq!(pong, json!({"type": "Pong", "data": {"timestamp": 5}}));
    }
}

#[tokio::test]
async fn an_envelope_may_have_its_fields_in_any_order_and_escaped() {
    let hub = Hub::start();
    let mut client = Client::of(&hub, "alice").await;
    client.text(r#" {"data" : {"timestamp": 5}, "id":"x",	"type":"Ping"} "#).await;
    let pong = without_time(client.expect("Pong").await);
    assert_eq!(pong, json!({"type": "Pong", "id": "x", "data": {"timestamp": 5}}));
    client.text(r#"{"\u0074ype":"\u0050ing","\u0064ata":{"time\u0073tamp":5},"\u0069d":"\u0078"}"#).await;
    let pong = without_time(client.expect("Pong").await);
    assert_eq!(pong, json!({"type": "Pong", "id": "x", "data": {"timestamp": 5}}));
}

#[tokio::test]
async fn a_deeply_nested_message_is_answered_and_the_session_stays_open() {
    let hub = Hub::start();
    let mut client = Client::of(&hub, "alice").await;
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    for text in [
        format!(r#"{{"type":"Broadcast","data":{{"topic":"t","payload":{deep}}}}}"#),
        format!(r#"{{"type":"Ping","data":{deep}}}"#),
        format!(r#"{{"type":{deep}}}"#),
    ] {
        client.text(&text).await;
        let answer = client.next().await;
        assert!(answer["type"] == "Ack" || answer["type"] == "Error", "{answer}");
    }
    client.expect_silence().await;
}
