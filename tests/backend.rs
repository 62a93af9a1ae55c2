//! What clients send to the application: with one and without one, and with one that is slow, down, wrong and back again.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::socketio::SocketPacket;
use crate::support::wire::{Frame, opcode};
use crate::support::{Client, DEADLINE, Hub, Reply, Sio, Transport, Upstream, eventually};

/// The events, what clients send with them, what answers, and the code of a failure.
const EVENTS: [(&str, &str, &str); 3] = [
    ("client:event", "server:response", "EVENT_PROCESSING_ERROR"),
    ("client:message", "message:ack", "MESSAGE_PROCESSING_ERROR"),
    ("client:action", "action:result", "ACTION_PROCESSING_ERROR"),
];

fn something(event: &str) -> Value {
    match event {
        "client:event" => json!({"type": "order", "data": {"n": 1}, "more": [true]}),
        "client:message" => json!({"content": "hello", "type": "text", "metadata": {"to": "bob"}}),
        _ => json!({"action": "ship", "params": {"order": 7}}),
    }
}

fn with_backend(backend: &Upstream, more: &str) -> String {
    format!("[backend]\nurl = \"{}\"\napi_key = \"the-backends-key\"\n{more}", backend.url("/hub/"))
}

fn hub_of(backend: &Upstream, timeout_ms: u32) -> Hub {
    Hub::with(&with_backend(backend, &format!("timeout_ms = {timeout_ms}")))
}

/// The id of a request, which is a uuid; taken out.
fn take_id(answer: &mut Value) -> String {
    let id = answer["requestId"].take().as_str().unwrap().to_owned();
    assert_eq!(id.len(), 36, "{id}");
    id
}

/// Asks with each event in turn; each has to fail in these words within `bound`.
async fn assert_failures(socket: &mut Sio, words: &str, bound: Duration) {
    for (event, answer, code) in EVENTS {
        let asked = Instant::now();
        let mut failed = socket.emit_and_expect(answer, event, something(event)).await;
        take_id(&mut failed);
        assert_eq!(failed, json!({"success": false, "requestId": null, "error": words, "code": code}));
        assert!(asked.elapsed() < bound, "{event} took {:?}", asked.elapsed());
    }
}

const UNREACHABLE: &str = "The application cannot be reached at the moment; try again";

/// Generous, as the machine may be busy.
const SOON: Duration = Duration::from_secs(3);

#[tokio::test]
async fn without_a_backend_the_hub_answers_by_itself() {
    let hub = Hub::start();
    let mut socket = Sio::of(&hub, Transport::WebSocket, "42").await;
    let mut answer = socket.emit_and_expect("server:response", "client:event", something("client:event")).await;
    take_id(&mut answer);
    assert_eq!(answer, json!({"success": true, "requestId": null, "data": {"n": 1}}));

    let asked = socket.emit_for_ack("/", "client:message", something("client:message")).await;
    let mut answer = socket.expect("message:ack").await;
    let ack = socket.receive().await;
    assert_eq!((ack.kind, ack.id, ack.data), (SocketPacket::ACK, Some(asked), json!([answer])));
    take_id(&mut answer);
    assert!(answer["messageId"].take().as_str().unwrap().starts_with("msg_"));
    assert_eq!(answer, json!({"success": true, "requestId": null, "messageId": null}));

    socket.join("lobby").await;
    for (action, params, result) in [
        ("echo", json!({"a": 1.5}), json!({"a": 1.5})),
        ("rooms", Value::Null, json!({"rooms": ["lobby"]})),
        (
            "whoami",
            Value::Null,
            json!({"userId": "42", "name": "42", "roles": [], "permissions": [], "socketId": socket.id}),
        ),
    ] {
        let action = json!({"action": action, "params": params});
        let mut answer = socket.emit_and_expect("action:result", "client:action", action).await;
        take_id(&mut answer);
        assert_eq!(answer, json!({"success": true, "requestId": null, "result": result}));
    }
    let mut unknown = socket.emit_and_expect("action:result", "client:action", something("client:action")).await;
    take_id(&mut unknown);
    let error = "There is no action \"ship\"";
    assert_eq!(unknown, json!({"success": false, "requestId": null, "error": error, "code": "UNKNOWN_ACTION"}));

    let data = json!({"type": "a", "data": {"_placeholder": true, "num": 0}});
    socket.send_with_attachments(&format!("451-{}", json!(["client:event", data])), &[b"\x01\x02"]).await;
    let answer = socket.receive().await;
    assert_eq!((answer.event(), &answer.data[1]["success"]), (Some("server:response"), &json!(true)), "{answer:?}");
    assert_eq!(answer.data[1]["data"], json!({"_placeholder": true, "num": 0}), "{answer:?}");
    assert_eq!(answer.attachments, [b"\x01\x02"]);
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_with_the_code_of_its_event() {
    let backend = Upstream::replying(Reply::Json(200, json!({})));
    let hub = hub_of(&backend, 5_000);
    let mut socket = Sio::of(&hub, Transport::WebSocket, "42").await;
    let mut client = Client::of(&hub, "42").await;
    for (event, data, code, field) in [
        ("client:event", json!({"data": {}}), "INVALID_EVENT_DATA", "type"),
        ("client:event", json!({"type": ""}), "INVALID_EVENT_DATA", "type"),
        ("client:event", json!([1]), "INVALID_EVENT_DATA", "data"),
        ("client:message", json!({"content": ""}), "INVALID_MESSAGE_DATA", "content"),
        ("client:message", json!({"content": {}}), "INVALID_MESSAGE_DATA", "content"),
        ("client:action", json!({}), "INVALID_ACTION_DATA", "action"),
        ("client:action", json!({"action": ""}), "INVALID_ACTION_DATA", "action"),
    ] {
        let error = socket.emit_and_expect("error", event, data.clone()).await;
        assert_eq!((&error["event"], &error["code"]), (&json!(event), &json!(code)), "{error}");
        assert_eq!((&error["details"]["field"], &error["message"]), (&json!(field), &error["error"]), "{error}");
        let error = client.ask(json!({"type": event, "data": data, "id": 1}), "Error").await;
        let told = (&error["data"]["code"], &error["data"]["details"]["field"], &error["id"]);
        assert_eq!(told, (&json!("INVALID_REQUEST"), &json!(field), &json!(1)), "{error}");
    }
    assert_eq!(backend.count(), 0);
}

#[tokio::test]
async fn a_backend_is_told_all_and_its_answer_is_the_clients() {
    let backend = Upstream::new(|asked| match asked.path.as_str() {
        "/hub/api/events" => Reply::Json(200, json!({"data": {"seen": asked.json()["data"]}, "messageId": "no"})),
        "/hub/api/messages" => Reply::Json(201, json!({"data": {"messageId": 17}})),
        "/hub/api/actions" => Reply::Json(200, json!({"shipped": true})),
        _ => Reply::Json(404, json!({})),
    });
    let hub = hub_of(&backend, 5_000);
    let mut socket = Sio::of(&hub, Transport::WebSocket, "42").await;
    for (event, answer, member, path, found) in [
        ("client:event", "server:response", "data", "events", ("data", json!({"seen": something("client:event")}))),
        ("client:message", "message:ack", "message", "messages", ("messageId", json!("17"))),
        ("client:action", "action:result", "action", "actions", ("result", json!({"shipped": true}))),
    ] {
        let mut answered = socket.emit_and_expect(answer, event, something(event)).await;
        let id = take_id(&mut answered);
        assert_eq!(answered, json!({"success": true, "requestId": null, found.0: found.1}));
        let asked = backend.requests().pop().unwrap();
        assert_eq!(asked.path, format!("/hub/api/{path}"));
        assert_eq!(asked.header("x-api-key"), Some("the-backends-key"));
        assert_eq!(asked.header("idempotency-key"), Some(id.as_str()));
        assert_eq!(asked.header("content-type"), Some("application/json"));
        let mut told = asked.json();
        let timestamp = told["timestamp"].take();
        assert!(timestamp.as_str().is_some_and(|text| text.len() == 24 && text.ends_with('Z')), "{timestamp}");
        assert_eq!(
            told,
            json!({
                "userId": "42", "socketId": socket.id, "event": event, member: something(event),
                "requestId": id, "timestamp": null,
            })
        );
    }
    let data = json!({"type": "a", "of": {"_placeholder": true, "num": 0}});
    socket.send_with_attachments(&format!("451-{}", json!(["client:event", data])), &[b"\x01\x02"]).await;
    socket.expect("server:response").await;
    assert_eq!(backend.requests().pop().unwrap().json()["data"]["of"], json!({"$binary": "AQI="}));

    let mut client = Client::of(&hub, "bob").await;
    let action = json!({"type": "client:action", "data": something("client:action"), "id": "a"});
    let reply = client.ask(action, "Reply").await;
    assert_eq!((&reply["id"], &reply["data"]["result"]), (&json!("a"), &json!({"shipped": true})));
    assert_eq!(hub.metric(r#"hubbub_backend_requests_total{kind="action",outcome="answered"}"#), 2.0);
    assert_eq!(hub.metric("hubbub_backend_seconds_count"), 5.0);
    assert!(!hub.output().contains("the-backends-key"));
}

#[tokio::test]
async fn an_answer_that_is_none_fails_at_once_and_is_not_asked_for_again() {
    let backend = Upstream::replying(Reply::Json(500, json!({"data": 1})));
    let hub = hub_of(&backend, 5_000);
    let mut socket = Sio::of(&hub, Transport::WebSocket, "42").await;
    let elsewhere = Upstream::replying(Reply::Json(200, json!({})));
    let mut asked = 0;
    for (reply, words) in [
        (Reply::Json(500, json!({"data": 1})), "The application failed"),
        (Reply::Json(404, json!({"data": 1})), "The application refused the request"),
        (Reply::Json(422, json!({"data": 1})), "The application refused the request"),
        (Reply::Text(200, "<html>".into()), "The application gave no answer that can be passed on"),
        (Reply::Text(200, String::new()), "The application gave no answer that can be passed on"),
        (Reply::Text(200, "[".repeat(100_000)), "The application gave no answer that can be passed on"),
        (
            Reply::Text(200, format!("\"{}\"", "a".repeat(300_000))),
            "The application gave no answer that can be passed on",
        ),
        (Reply::Redirect(elsewhere.url("/")), "The application gave no answer that can be passed on"),
    ] {
        backend.set_reply(reply);
        assert_failures(&mut socket, words, SOON).await;
        asked += EVENTS.len();
        assert_eq!(backend.count(), asked);
    }
    assert_eq!(elsewhere.count(), 0);
    let told =
        hub.output().lines().filter(|line| line.contains("hubbub::upstream::application: backend.url: ")).count();
    assert!((1..=EVENTS.len()).contains(&told), "at most one line a minute, and not {told} of {asked}");
    assert_eq!((hub.metric("hubbub_backend_opened_total"), hub.metric("hubbub_backend_retries_total")), (0.0, 0.0));
    backend.set_reply(Reply::Text(204, String::new()));
    let answer = socket.emit_and_expect("server:response", "client:event", something("client:event")).await;
    assert_eq!((&answer["success"], answer.get("data")), (&json!(true), Some(&Value::Null)));
}

#[tokio::test]
async fn a_backend_that_flaps_is_asked_again_by_the_same_name() {
    let turn = Mutex::new(0);
    let backend = Upstream::new(move |_| {
        let mut turn = turn.lock().unwrap();
        *turn += 1;
        match *turn % 3 {
            1 => Reply::Json(503, json!({})),
            2 => Reply::HangUp,
            _ => Reply::Json(200, json!({"messageId": "at last"})),
        }
    });
    let hub = hub_of(&backend, 10_000);
    let mut socket = Sio::of(&hub, Transport::WebSocket, "42").await;
    for round in 1..=5 {
        let answer = socket.emit_and_expect("message:ack", "client:message", something("client:message")).await;
        assert_eq!((&answer["success"], &answer["messageId"]), (&json!(true), &json!("at last")), "{answer}");
        let asked = backend.requests();
        assert_eq!(asked.len(), 3 * round);
        for attempt in &asked[asked.len() - 3..] {
            assert_eq!(attempt.json()["requestId"], answer["requestId"]);
            assert_eq!(attempt.header("idempotency-key"), answer["requestId"].as_str());
        }
    }
    assert_eq!((hub.metric("hubbub_backend_opened_total"), hub.metric("hubbub_backend_retries_total")), (0.0, 10.0));
}

#[tokio::test]
async fn a_backend_that_is_silent_or_half_answers_fails_in_time_and_holds_nothing_up() {
    for reply in [Reply::Silence, Reply::PartialBody] {
        let backend = Upstream::replying(reply);
        let hub = hub_of(&backend, 4_000);
        let mut client = Client::of(&hub, "alice").await;
        let mut bob = Client::of(&hub, "bob").await;
        let asked = Instant::now();
        client.send(json!({"type": "client:message", "data": {"content": "hi"}, "id": "slow"})).await;
        client.subscribe(&["news"]).await;
        bob.broadcast("news", json!(1)).await;
        client.expect("Broadcast").await;
        let reply = client.ask(json!({"type": "ping", "data": {}, "id": "quick"}), "Reply").await;
        assert_eq!(reply["id"], "quick");
        assert!(asked.elapsed() < Duration::from_millis(3_500), "{:?}", asked.elapsed());
        let failed = client.expect("Reply").await;
        assert!(asked.elapsed() < Duration::from_millis(4_000) + SOON, "{:?}", asked.elapsed());
        assert_eq!((&failed["id"], &failed["data"]["code"]), (&json!("slow"), &json!("MESSAGE_PROCESSING_ERROR")));
        assert_eq!(failed["data"]["error"], "The application did not answer in time");
        assert_eq!(backend.count(), 1, "it had all the time there is");
    }
}

#[tokio::test]
async fn a_backend_that_is_down_is_left_alone_and_taken_back() {
    let backend = Upstream::replying(Reply::Json(200, json!({"data": "here"})));
    let hub = hub_of(&backend, 5_000);
    let mut socket = Sio::of(&hub, Transport::WebSocket, "42").await;
    backend.go_down();
    // Three attempts, then two more, and from then on none.
    assert_failures(&mut socket, UNREACHABLE, SOON).await;
    assert_eq!((hub.metric("hubbub_backend_open"), hub.metric("hubbub_backend_opened_total")), (1.0, 1.0));
    assert_eq!(hub.metric(r#"hubbub_backend_requests_total{kind="action",outcome="breaker_open"}"#), 1.0);
    let ready = hub.get("/health/ready");
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("backend.url does not answer"), "{}", ready.body);

    backend.come_back();
    let opened = Instant::now();
    loop {
        let answer = socket.emit_and_expect("server:response", "client:event", something("client:event")).await;
        if answer["success"] == true {
            assert_eq!(answer["data"], "here");
            break;
        }
        assert_eq!(answer["error"], UNREACHABLE);
        assert!(opened.elapsed() < DEADLINE, "it was not taken back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((hub.metric("hubbub_backend_open"), hub.metric("hubbub_backend_opened_total")), (0.0, 1.0));
    assert_eq!(hub.get("/health/ready").status, 200);
}

#[tokio::test]
async fn only_so_many_requests_of_one_client_and_of_all_are_under_way() {
    let backend = Upstream::replying(Reply::Silence);
    let hub = hub_of(&backend, 60_000);
    let mut clients = Vec::new();
    for user in ["alice", "bob", "carol"] {
        let mut client = Client::of(&hub, user).await;
        for id in 0..33 {
            client.send(json!({"type": "client:event", "data": {"type": "a"}, "id": id})).await;
        }
        let refused = client.expect("Error").await;
        assert_eq!((&refused["data"]["code"], &refused["id"]), (&json!("OVERLOADED"), &json!(32)), "{refused}");
        client.expect_silence().await;
        clients.push(client);
    }
    eventually(DEADLINE, "64 are on their way", || hub.metric("hubbub_backend_in_flight") == 64.0).await;
    eventually(DEADLINE, "the others wait", || hub.metric(r#"hubbub_mailbox_depth{actor="backend"}"#) == 32.0).await;
    eventually(DEADLINE, "64 were asked", || backend.count() == 64).await;
    assert_eq!(backend.count(), 64);
}

#[tokio::test]
async fn who_sends_and_leaves_has_sent_and_does_not_wait() {
    let late = Reply::Delayed(Duration::from_secs(30), Box::new(Reply::Json(200, json!({}))));
    let backend = Upstream::replying(late);
    let hub = hub_of(&backend, 60_000);
    let mut client = Client::of(&hub, "alice").await;
    let mut socket = Sio::of(&hub, Transport::WebSocket, "alice").await;
    client.send(json!({"type": "client:message", "data": {"content": "over /ws"}})).await;
    client.close().await;
    // Says it, leaves the namespace and hangs up, all at once.
    let message = format!("42{}", json!(["client:message", {"content": "over Socket.IO"}]));
    let frames = [Frame::text(message), Frame::text("41"), Frame::new(opcode::CLOSE, 1000_u16.to_be_bytes())];
    socket.wire().send(&frames.each_ref().map(Frame::encode).concat()).await;
    drop(socket);
    eventually(DEADLINE, "both messages are there", || backend.count() == 2).await;
    eventually(DEADLINE, "both are gone", || hub.connections() == 0).await;
}

#[tokio::test]
async fn what_was_accepted_is_answered_before_the_hub_goes_away() {
    let late = Reply::Delayed(Duration::from_millis(500), Box::new(Reply::Json(200, json!({"data": "in time"}))));
    let backend = Upstream::replying(late);
    let mut hub = hub_of(&backend, 5_000);
    let mut client = Client::of(&hub, "alice").await;
    client.send(json!({"type": "client:event", "data": {"type": "a"}, "id": 1})).await;
    eventually(DEADLINE, "the backend is asked", || backend.count() == 1).await;
    hub.signal("TERM");
    let (messages, code) = client.until_closed().await;
    assert_eq!(messages.iter().find(|message| message["id"] == 1).unwrap()["data"]["data"], "in time", "{messages:?}");
    assert_eq!(code, Some(1001));
    assert_eq!(hub.exit_status(DEADLINE), Some(0));
}

#[tokio::test]
async fn an_answer_that_is_compressed_although_none_asked_for_it_is_told_so_in_the_log() {
    let backend = Upstream::replying(Reply::WithHeader("Content-Encoding: deflate", json!({"data": 1})));
    let hub = hub_of(&backend, 5_000);
    let mut socket = Sio::of(&hub, Transport::WebSocket, "42").await;
    let answer = socket.emit_and_expect("server:response", "client:event", something("client:event")).await;
    assert_eq!(answer["success"], false, "{answer}");
    assert_eq!(answer["error"], "The application gave no answer that can be passed on");
    assert_eq!(backend.requests()[0].header("accept-encoding"), Some("identity"));
    let told = "unusable: an answer in the content encoding deflate, although the request had";
    eventually(DEADLINE, "the log tells it", || hub.output().contains(told)).await;
}
