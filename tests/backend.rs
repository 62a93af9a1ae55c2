//! Client events that go to the application: without an application, and with a slow, failing, faulty or recovered one.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::socketio::SocketPacket;
use crate::support::wait::within;
use crate::support::wire::{RawFrame, opcode};
use crate::support::{Client, DEADLINE, Hub, MockUpstream, Sio, SioTransport, UpstreamReply, eventually};

/// The events, the answer to each, and the code of a failure.
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

fn with_backend(backend: &MockUpstream, more: &str) -> String {
    format!("[backend]\nurl = \"{}\"\napi_key = \"the-backends-key\"\n{more}", backend.url("/hub/"))
}

fn hub_of(backend: &MockUpstream, timeout_ms: u32) -> Hub {
    Hub::with(&with_backend(backend, &format!("timeout_ms = {timeout_ms}")))
}

/// The id of a request, which is a uuid; taken out.
fn take_id(answer: &mut Value) -> String {
    let id = answer["requestId"].take().as_str().unwrap().to_owned();
    assert_eq!(id.len(), 36, "{id}");
    id
}

/// Sends each event in turn; each has to fail with this error.
async fn assert_failures(socket: &mut Sio, error: &str) {
    for (event, answer, code) in EVENTS {
        let mut failed = socket.emit_and_expect(answer, event, something(event)).await;
        take_id(&mut failed);
        assert_eq!(failed, json!({"success": false, "requestId": null, "error": error, "code": code}));
    }
}

const UNREACHABLE: &str = "The application cannot be reached at the moment; try again";

#[tokio::test]
async fn without_a_backend_the_hub_answers_by_itself() {
    let hub = Hub::start();
    let mut socket = Sio::of(&hub, SioTransport::WebSocket, "42").await;
    let mut answer = socket.emit_and_expect("server:response", "client:event", something("client:event")).await;
    take_id(&mut answer);
    assert_eq!(answer, json!({"success": true, "requestId": null, "data": {"n": 1}}));

    let id = socket.emit_for_ack("/", "client:message", something("client:message")).await;
    let mut answer = socket.expect("message:ack").await;
    let ack = socket.receive().await;
    assert_eq!((ack.kind, ack.id, ack.data), (SocketPacket::ACK, Some(id), json!([answer])));
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
async fn an_invalid_request_is_an_error_with_the_code_of_its_event() {
    let backend = MockUpstream::replying(UpstreamReply::Json(200, json!({})));
    let hub = hub_of(&backend, 5_000);
    let mut socket = Sio::of(&hub, SioTransport::WebSocket, "42").await;
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
        let received = (&error["data"]["code"], &error["data"]["details"]["field"], &error["id"]);
        assert_eq!(received, (&json!("INVALID_REQUEST"), &json!(field), &json!(1)), "{error}");
    }
    assert_eq!(backend.count(), 0);
}

#[tokio::test]
async fn the_backend_gets_the_whole_request_and_the_client_gets_its_answer() {
    let backend = MockUpstream::new(|request| match request.path.as_str() {
        "/hub/api/events" => {
            UpstreamReply::Json(200, json!({"data": {"seen": request.json()["data"]}, "messageId": "no"}))
        }
        "/hub/api/messages" => UpstreamReply::Json(201, json!({"data": {"messageId": 17}})),
        "/hub/api/actions" => UpstreamReply::Json(200, json!({"shipped": true})),
        _ => UpstreamReply::Json(404, json!({})),
    });
    let hub = hub_of(&backend, 5_000);
    let mut socket = Sio::of(&hub, SioTransport::WebSocket, "42").await;
    for (event, answer, member, path, found) in [
        ("client:event", "server:response", "data", "events", ("data", json!({"seen": something("client:event")}))),
        ("client:message", "message:ack", "message", "messages", ("messageId", json!("17"))),
        ("client:action", "action:result", "action", "actions", ("result", json!({"shipped": true}))),
    ] {
        let mut answered = socket.emit_and_expect(answer, event, something(event)).await;
        let id = take_id(&mut answered);
        assert_eq!(answered, json!({"success": true, "requestId": null, found.0: found.1}));
        let request = backend.requests().pop().unwrap();
        assert_eq!(request.path, format!("/hub/api/{path}"));
        assert_eq!(request.header("x-api-key"), Some("the-backends-key"));
        assert_eq!(request.header("idempotency-key"), Some(id.as_str()));
        assert_eq!(request.header("content-type"), Some("application/json"));
        let mut received = request.json();
        let timestamp = received["timestamp"].take();
        assert!(timestamp.as_str().is_some_and(|text| text.len() == 24 && text.ends_with('Z')), "{timestamp}");
        assert_eq!(
            received,
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
async fn an_unusable_answer_fails_the_request_and_is_not_retried() {
    let backend = MockUpstream::replying(UpstreamReply::Json(500, json!({"data": 1})));
    let hub = hub_of(&backend, 5_000);
    let mut socket = Sio::of(&hub, SioTransport::WebSocket, "42").await;
    let elsewhere = MockUpstream::replying(UpstreamReply::Json(200, json!({})));
    let mut sent = 0;
    for (reply, error) in [
        (UpstreamReply::Json(500, json!({"data": 1})), "The application failed"),
        (UpstreamReply::Json(404, json!({"data": 1})), "The application refused the request"),
        (UpstreamReply::Json(422, json!({"data": 1})), "The application refused the request"),
        (UpstreamReply::Text(200, "<html>".into()), "The application sent a response that the hub cannot forward"),
        (UpstreamReply::Text(200, String::new()), "The application sent a response that the hub cannot forward"),
        (UpstreamReply::Text(200, "[".repeat(100_000)), "The application sent a response that the hub cannot forward"),
        (
            UpstreamReply::Text(200, format!("\"{}\"", "a".repeat(300_000))),
            "The application sent a response that the hub cannot forward",
        ),
        (UpstreamReply::Redirect(elsewhere.url("/")), "The application sent a response that the hub cannot forward"),
    ] {
        backend.set_reply(reply);
        assert_failures(&mut socket, error).await;
        sent += EVENTS.len();
        assert_eq!(backend.count(), sent);
    }
    assert_eq!(elsewhere.count(), 0);
    let logged =
        hub.output().lines().filter(|line| line.contains("hubbub::upstream::application: backend.url: ")).count();
    assert!((1..=EVENTS.len()).contains(&logged), "at most one line a minute, and not {logged} of {sent}");
    // The line of each refusal has its cause, so a wrong key of the application is found.
    let causes: Vec<_> =
        hub.output().lines().filter_map(|line| line.split_once("cause=").map(|(_, cause)| cause.to_owned())).collect();
    assert!(causes.iter().any(|cause| cause.starts_with("\"status 4")), "{causes:?}");
    assert_eq!((hub.metric("hubbub_backend_opened_total"), hub.metric("hubbub_backend_retries_total")), (0.0, 0.0));
    backend.set_reply(UpstreamReply::Text(204, String::new()));
    let answer = socket.emit_and_expect("server:response", "client:event", something("client:event")).await;
    assert_eq!((&answer["success"], answer.get("data")), (&json!(true), Some(&Value::Null)));
}

#[tokio::test]
async fn a_retry_has_the_idempotency_key_of_the_first_attempt() {
    let turn = Mutex::new(0);
    let backend = MockUpstream::new(move |_| {
        let mut turn = turn.lock().unwrap();
        *turn += 1;
        match *turn % 3 {
            1 => UpstreamReply::Json(503, json!({})),
            2 => UpstreamReply::HangUp,
            _ => UpstreamReply::Json(200, json!({"messageId": "at last"})),
        }
    });
    let hub = hub_of(&backend, 10_000);
    let mut socket = Sio::of(&hub, SioTransport::WebSocket, "42").await;
    for round in 1..=5 {
        let answer = socket.emit_and_expect("message:ack", "client:message", something("client:message")).await;
        assert_eq!((&answer["success"], &answer["messageId"]), (&json!(true), &json!("at last")), "{answer}");
        let requests = backend.requests();
        assert_eq!(requests.len(), 3 * round);
        for attempt in &requests[requests.len() - 3..] {
            assert_eq!(attempt.json()["requestId"], answer["requestId"]);
            assert_eq!(attempt.header("idempotency-key"), answer["requestId"].as_str());
        }
    }
    assert_eq!((hub.metric("hubbub_backend_opened_total"), hub.metric("hubbub_backend_retries_total")), (0.0, 10.0));
}

#[tokio::test]
async fn a_request_that_waits_for_the_backend_delays_no_other_request() {
    let backend = MockUpstream::replying(UpstreamReply::Silence);
    // Longer than the test takes: the slow reply never comes first.
    let hub = hub_of(&backend, 600_000);
    let mut client = Client::of(&hub, "alice").await;
    let mut bob = Client::of(&hub, "bob").await;
    client.send(json!({"type": "client:message", "data": {"content": "hi"}, "id": "slow"})).await;
    eventually(DEADLINE, "the backend receives the request", || backend.count() == 1).await;
    client.subscribe(&["news"]).await;
    bob.broadcast("news", json!(1)).await;
    client.expect("Broadcast").await;
    let reply = client.ask(json!({"type": "ping", "data": {}, "id": "quick"}), "Reply").await;
    assert_eq!(reply["id"], "quick");
}

#[tokio::test]
async fn a_request_without_an_answer_fails_after_its_timeout_and_is_not_retried() {
    for reply in [UpstreamReply::Silence, UpstreamReply::PartialBody] {
        let backend = MockUpstream::replying(reply);
        let hub = hub_of(&backend, 300);
        let mut client = Client::of(&hub, "alice").await;
        let message = json!({"type": "client:message", "data": {"content": "hi"}, "id": "slow"});
        let failed = client.ask(message, "Reply").await;
        assert_eq!((&failed["id"], &failed["data"]["code"]), (&json!("slow"), &json!("MESSAGE_PROCESSING_ERROR")));
        assert_eq!(failed["data"]["error"], "The application did not answer in time");
        assert_eq!(backend.count(), 1, "the attempt had all the time there is");
    }
}

#[tokio::test]
async fn requests_to_a_backend_that_is_down_pause_until_it_is_back() {
    let backend = MockUpstream::replying(UpstreamReply::Json(200, json!({"data": "here"})));
    let hub = hub_of(&backend, 5_000);
    let mut socket = Sio::of(&hub, SioTransport::WebSocket, "42").await;
    backend.go_down();
    // Three attempts of the first event and two of the second open the circuit breaker.
    assert_failures(&mut socket, UNREACHABLE).await;
    assert_eq!((hub.metric("hubbub_backend_open"), hub.metric("hubbub_backend_opened_total")), (1.0, 1.0));
    assert_eq!(hub.metric(r#"hubbub_backend_requests_total{kind="action",outcome="breaker_open"}"#), 1.0);
    let ready = hub.get("/health/ready");
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("backend.url does not answer"), "{}", ready.body);

    backend.come_back();
    let answered = async {
        loop {
            let answer = socket.emit_and_expect("server:response", "client:event", something("client:event")).await;
            if answer["success"] == true {
                return answer["data"].clone();
            }
            assert_eq!(answer["error"], UNREACHABLE);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert_eq!(within(DEADLINE, "the application receives another request", answered).await, "here");
    assert_eq!((hub.metric("hubbub_backend_open"), hub.metric("hubbub_backend_opened_total")), (0.0, 1.0));
    assert_eq!(hub.get("/health/ready").status, 200);
}

#[tokio::test]
async fn requests_in_flight_are_bounded_for_a_client_and_for_the_hub() {
    let backend = MockUpstream::replying(UpstreamReply::Silence);
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
    eventually(DEADLINE, "64 are in flight", || hub.metric("hubbub_backend_in_flight") == 64.0).await;
    eventually(DEADLINE, "the others wait", || hub.metric(r#"hubbub_mailbox_depth{actor="backend"}"#) == 32.0).await;
    eventually(DEADLINE, "64 requests have arrived", || backend.count() == 64).await;
    assert_eq!(backend.count(), 64);
}

#[tokio::test]
async fn a_request_reaches_the_backend_after_its_client_has_left() {
    let late = UpstreamReply::Delayed(Duration::from_secs(30), Box::new(UpstreamReply::Json(200, json!({}))));
    let backend = MockUpstream::replying(late);
    let hub = hub_of(&backend, 60_000);
    let mut client = Client::of(&hub, "alice").await;
    let mut socket = Sio::of(&hub, SioTransport::WebSocket, "alice").await;
    client.send(json!({"type": "client:message", "data": {"content": "over /ws"}})).await;
    client.close().await;
    // The message, the end of the namespace and the close frame in one write.
    let message = format!("42{}", json!(["client:message", {"content": "over Socket.IO"}]));
    let frames = [RawFrame::text(message), RawFrame::text("41"), RawFrame::new(opcode::CLOSE, 1000_u16.to_be_bytes())];
    socket.wire().send(&frames.each_ref().map(RawFrame::encode).concat()).await;
    drop(socket);
    eventually(DEADLINE, "both messages are there", || backend.count() == 2).await;
    eventually(DEADLINE, "both are gone", || hub.connections() == 0).await;
}

#[tokio::test]
async fn accepted_requests_are_answered_before_the_shutdown_closes_the_session() {
    let late = UpstreamReply::Delayed(
        Duration::from_millis(500),
        Box::new(UpstreamReply::Json(200, json!({"data": "in time"}))),
    );
    let backend = MockUpstream::replying(late);
    let mut hub = hub_of(&backend, 5_000);
    let mut client = Client::of(&hub, "alice").await;
    client.send(json!({"type": "client:event", "data": {"type": "a"}, "id": 1})).await;
    eventually(DEADLINE, "the backend receives the request", || backend.count() == 1).await;
    hub.signal("TERM");
    let (messages, code) = client.until_closed().await;
    assert_eq!(messages.iter().find(|message| message["id"] == 1).unwrap()["data"]["data"], "in time", "{messages:?}");
    assert_eq!(code, Some(1001));
    assert_eq!(hub.exit_status(DEADLINE), Some(0));
}

#[tokio::test]
async fn an_unrequested_content_encoding_is_logged() {
    let backend = MockUpstream::replying(UpstreamReply::WithHeader("Content-Encoding: deflate", json!({"data": 1})));
    let hub = hub_of(&backend, 5_000);
    let mut socket = Sio::of(&hub, SioTransport::WebSocket, "42").await;
    let answer = socket.emit_and_expect("server:response", "client:event", something("client:event")).await;
    assert_eq!(answer["success"], false, "{answer}");
    assert_eq!(answer["error"], "The application sent a response that the hub cannot forward");
    assert_eq!(backend.requests()[0].header("accept-encoding"), Some("identity"));
    let line = "unusable: an answer in the content encoding deflate, although the request had";
    eventually(DEADLINE, "it is logged", || hub.output().contains(line)).await;
}
