//! The push document: `POST /api/push`, `/api/broadcast`, `/api/room` and `GET /api/status`; and the endpoints that
//! Hubbub adds to it.

use std::sync::Barrier;
use std::thread;

use serde_json::{Value, json};

use crate::support::http::Response;
use crate::support::{Client, DEADLINE, Hub, eventually};

// API keys: their limits, signed requests, and secrets that stay out of responses and logs.
mod keys;

pub(crate) use keys::signed;

/// The body without its `timestamp`, which must be an ISO date with milliseconds.
#[track_caller]
pub(crate) fn untimed(answer: &Response) -> Value {
    let mut body = answer.json();
    let stamp = body.as_object_mut().and_then(|body| body.remove("timestamp"));
    let stamp = stamp.as_ref().and_then(Value::as_str).unwrap_or_default();
    let shape: String = stamp.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{}", answer.body);
    body
}

/// The response to a delivery.
fn reached(recipients: usize) -> Value {
    json!({"success": true, "recipients": recipients, "delivered": recipients > 0})
}

#[track_caller]
fn post(hub: &Hub, path: &str, body: Value) -> Response {
    hub.http().request("POST", path).key().json(&body).send()
}

#[track_caller]
fn read(hub: &Hub, path: &str) -> Response {
    hub.http().request("GET", path).key().send()
}

/// The next message without its timestamp.
async fn next(client: &mut Client) -> Value {
    crate::support::client::without_time(client.next().await)
}

#[tokio::test]
async fn a_push_reaches_every_session_of_the_user_and_no_other_user() {
    let hub = Hub::start();
    let mut phone = Client::of(&hub, "alice").await;
    let mut laptop = Client::of(&hub, "alice").await;
    let mut bob = Client::of(&hub, "bob").await;
    let answer = post(&hub, "/api/push", json!({"userId": "alice", "event": "greet", "data": {"hello": 1}}));
    assert_eq!((answer.status, untimed(&answer)), (200, reached(2)));
    for client in [&mut phone, &mut laptop] {
        assert_eq!(next(client).await, json!({"type": "greet", "data": {"hello": 1}}));
    }
    bob.expect_silence().await;
}

#[tokio::test]
async fn a_push_to_an_offline_user_succeeds_with_no_recipients() {
    let hub = Hub::start();
    let answer = post(&hub, "/api/push", json!({"userId": "nobody", "event": "greet", "data": {}}));
    assert_eq!((answer.status, untimed(&answer)), (200, reached(0)));
}

#[tokio::test]
async fn data_keeps_its_json_text() {
    let hub = Hub::start();
    let mut client = Client::of(&hub, "42").await;
    let data = r#"{"b": 1.0, "a":"\u0041", "big":12345678901234567890123}"#;
    let body = format!(r#"{{"userId":42,"event":"exact","data":{data}}}"#);
    let answer = hub.http().request("POST", "/api/push").key().body(body).send();
    assert_eq!((answer.status, untimed(&answer)), (200, reached(1)));
    let text = client.next_text().await;
    // The hub resolves escapes that JSON does not need, and changes nothing else.
    let data = data.replace(r"\u0041", "A");
    assert!(text.contains(&format!("\"data\":{data}")), "{text}");
}

#[tokio::test]
async fn a_broadcast_reaches_every_session_once() {
    let hub = Hub::start();
    let mut alice = Client::of(&hub, "alice").await;
    alice.subscribe(&["one", "two"]).await;
    let mut bob = Client::of(&hub, "bob").await;
    let answer = post(&hub, "/api/broadcast", json!({"event": "news", "data": [1, null]}));
    assert_eq!((answer.status, untimed(&answer)), (200, reached(2)));
    for client in [&mut alice, &mut bob] {
        assert_eq!(next(client).await, json!({"type": "news", "data": [1, null]}));
        client.expect_silence().await;
    }
}

#[tokio::test]
async fn a_room_push_reaches_its_members_with_the_room_as_topic() {
    let hub = Hub::start();
    let mut alice = Client::of(&hub, "alice").await;
    alice.subscribe(&["lobby"]).await;
    let mut bob = Client::of(&hub, "bob").await;
    let answer = post(&hub, "/api/room", json!({"room": "lobby", "event": "news", "data": {"n": 1}}));
    assert_eq!((answer.status, untimed(&answer)), (200, reached(1)));
    assert_eq!(next(&mut alice).await, json!({"type": "news", "topic": "lobby", "data": {"n": 1}}));
    bob.expect_silence().await;
}

#[tokio::test]
async fn disconnect_closes_every_session_of_the_user() {
    let hub = Hub::start();
    let mut phone = Client::of(&hub, "alice").await;
    let mut laptop = Client::of(&hub, "alice").await;
    let mut bob = Client::of(&hub, "bob").await;
    let answer = post(&hub, "/api/disconnect", json!({"userId": "alice"}));
    assert_eq!((answer.status, untimed(&answer)), (200, reached(2)));
    assert_eq!(phone.close_code().await, Some(4403));
    assert_eq!(laptop.close_code().await, Some(4403));
    bob.expect_silence().await;
}

#[tokio::test]
async fn a_batch_runs_in_order_and_continues_after_a_failed_command() {
    let hub = Hub::start();
    let mut alice = Client::of(&hub, "alice").await;
    alice.subscribe(&["lobby"]).await;
    let commands = json!({"commands": [
        {"push": {"userId": "alice", "event": "first", "data": 1}},
        {"room": {"room": "lobby", "data": 2}},
        {"room": {"room": "lobby", "event": "second", "data": 2}},
        {"broadcast": {"event": "third", "to": "all", "data": 3}},
        {"shout": {}},
        {"disconnect": {"userId": "alice"}},
    ]});
    let answer = hub.http().request("POST", "/api/batch").key().header("X-Request-Id", "r-1").json(&commands).send();
    assert_eq!(answer.status, 200);
    let mut body = untimed(&answer);
    for result in body["results"].as_array_mut().unwrap() {
        if result["success"] == true {
            result.as_object_mut().unwrap().remove("timestamp").unwrap();
        }
    }
    let unknown = "A command is one of push, broadcast, room and disconnect, with the body of its endpoint";
    assert_eq!(
        body,
        json!({"success": true, "results": [
            reached(1),
            {
                "success": false,
                "error": "`event` is missing",
                "code": "INVALID_REQUEST",
                "requestId": "r-1",
                "details": {"field": "event"},
            },
            reached(1),
            reached(1),
            {"success": false, "error": unknown, "code": "INVALID_REQUEST", "requestId": "r-1"},
            reached(1),
        ]})
    );
    let (messages, code) = alice.until_closed().await;
    let kinds: Vec<_> = messages.iter().map(|message| message["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["first", "second", "third"]);
    assert_eq!(code, Some(4403));
}

#[tokio::test]
async fn rooms_and_their_members_are_listed() {
    let hub = Hub::start();
    let mut alice = Client::of(&hub, "alice").await;
    alice.subscribe(&["lobby", "a/b c"]).await;
    let mut again = Client::of(&hub, "alice").await;
    again.subscribe(&["lobby"]).await;
    let mut bob = Client::of(&hub, "bob").await;
    bob.subscribe(&["lobby"]).await;
    assert_eq!(
        untimed(&read(&hub, "/api/rooms")),
        json!({"success": true, "total": 2, "rooms": [
            {"room": "a/b c", "sessions": 1, "users": 1},
            {"room": "lobby", "sessions": 3, "users": 2},
        ]})
    );
    let mut paged: Vec<Value> = Vec::new();
    for offset in 0..3 {
        let page = untimed(&read(&hub, &format!("/api/rooms?limit=1&offset={offset}")));
        assert_eq!(page["total"], 2, "{page}");
        paged.extend(page["rooms"].as_array().unwrap().iter().map(|room| room["room"].clone()));
    }
    paged.sort_by_key(Value::to_string);
    assert_eq!(paged, ["a/b c", "lobby"], "each room is on one page");
    assert_eq!(
        untimed(&read(&hub, "/api/rooms/lobby")),
        json!({
            "success": true,
            "room": "lobby",
            "sessions": 3,
            "users": 2,
            "members": [{"userId": "alice", "sessions": 2}, {"userId": "bob", "sessions": 1}],
        })
    );
    for path in ["/api/rooms/a%2Fb%20c", "/api/rooms/a/b%20c"] {
        assert_eq!(untimed(&read(&hub, path))["room"], "a/b c", "{path}");
    }
    assert_eq!(read(&hub, "/api/rooms/nowhere").status, 404);
    let mut members = Vec::new();
    for offset in 0..3 {
        let page = untimed(&read(&hub, &format!("/api/rooms/lobby?limit=1&offset={offset}")));
        assert_eq!((&page["sessions"], &page["users"]), (&json!(3), &json!(2)), "{page}");
        members.extend(page["members"].as_array().unwrap().iter().map(|member| member["userId"].to_string()));
    }
    members.sort();
    assert_eq!(members, [r#""alice""#, r#""bob""#]);
}

#[tokio::test]
async fn presence_lists_the_sessions_and_the_time_of_the_last_one() {
    let hub = Hub::start();
    let alice = Client::of(&hub, "alice").await;
    let id = alice.welcome["data"]["details"]["connection_id"].clone();
    let mut body = untimed(&read(&hub, "/api/presence/alice"));
    assert!(body["lastSeen"].take().is_string());
    assert!(body["sessions"][0]["connectedAt"].take().is_string());
    assert_eq!(
        body,
        json!({
            "success": true,
            "userId": "alice",
            "online": true,
            "status": "online",
            "lastSeen": null,
            "sessions": [{"sessionId": id, "surface": "raw", "connectedAt": null}],
        })
    );
    alice.close().await;
    eventually(DEADLINE, "alice is offline", || read(&hub, "/api/presence/alice").json()["online"] == false).await;
    let mut body = untimed(&read(&hub, "/api/presence/alice"));
    assert!(body["lastSeen"].take().is_string());
    assert_eq!(
        body,
        json!({
            "success": true,
            "userId": "alice",
            "online": false,
            "status": "offline",
            "lastSeen": null,
            "sessions": [],
        })
    );
}

#[tokio::test]
async fn the_status_has_the_documents_shape() {
    let hub = Hub::start();
    let mut alice = Client::of(&hub, "alice").await;
    alice.subscribe(&["lobby"]).await;
    let mut body = untimed(&read(&hub, "/api/status"));
    assert!(body["uptime"].take().is_u64());
    for field in ["rss", "heapTotal", "heapUsed", "external"] {
        assert!(body["memory"][field].take().is_u64(), "{field}");
    }
    assert_eq!(
        body,
        json!({
            "success": true,
            "status": "ok",
            "connections": 1,
            "rooms": 1,
            "uptime": null,
            "memory": {"rss": null, "heapTotal": null, "heapUsed": null, "external": null},
        })
    );
}

#[tokio::test]
async fn concurrent_requests_with_one_idempotency_key_deliver_once() {
    let hub = Hub::start();
    let mut alice = Client::of(&hub, "alice").await;
    let barrier = Barrier::new(8);
    let answers: Vec<String> = thread::scope(|scope| {
        let send = || {
            barrier.wait();
            let push = json!({"userId": "alice", "event": "once", "data": 1});
            let http = hub.http();
            let request = http.request("POST", "/api/push").key();
            request.header("Idempotency-Key", "order-1").json(&push).send().body
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(send)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(alice.next().await["type"], "once");
    alice.expect_silence().await;
}

#[tokio::test]
async fn pushes_before_a_disconnect_arrive_before_the_close() {
    let hub = Hub::start();
    let mut alice = Client::of(&hub, "alice").await;
    let pushes = (0..50).map(|number| json!({"push": {"userId": "alice", "event": "last words", "data": number}}));
    let commands: Vec<Value> = pushes.chain([json!({"disconnect": {"userId": "alice"}})]).collect();
    let answer = post(&hub, "/api/batch", json!({ "commands": commands }));
    assert_eq!(answer.json()["results"][50]["recipients"], 1, "{}", answer.body);
    let (messages, code) = alice.until_closed().await;
    let received: Vec<&Value> = messages.iter().map(|message| &message["data"]).collect();
    assert_eq!(received, (0..50).map(Value::from).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    assert_eq!(code, Some(4403));
}
