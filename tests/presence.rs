//! Presence on `/chat` beyond single events, which tests/golden plays.

use serde_json::{Value, json};

use crate::support::token::{token, token_with};
use crate::support::wait::within;
use crate::support::{Client, DEADLINE, Hub, Sio, SioTransport, eventually};

/// A session on `/chat` with this token, and its first `users:online`.
async fn chat(hub: &Hub, token: &str) -> (Sio, Value) {
    let mut client = Sio::open(hub, SioTransport::WebSocket).await;
    client.connect("/chat", &json!({ "token": token })).await.unwrap();
    let packet = client.receive_any().await;
    assert_eq!(packet.event(), Some("users:online"), "the first event: {packet:?}");
    (client, packet.data[1].clone())
}

/// The data without its ISO times.
#[track_caller]
fn timeless(mut data: Value) -> Value {
    for field in ["lastSeen", "connectedAt"] {
        if let Some(time) = data.as_object_mut().unwrap().remove(field) {
            assert!(time.as_str().is_some_and(|text| text.len() == 24 && text.ends_with('Z')), "{field} is {time}");
        }
    }
    data
}

/// The name and status of each listed user.
#[track_caller]
fn listed(data: &Value) -> Vec<(String, String)> {
    let text = |user: &Value, field: &str| user[field].as_str().unwrap().to_owned();
    let users = data["users"].as_array().unwrap();
    let names_and_statuses = users.iter().map(|user| {
        let keys: Vec<_> = user.as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["connectedAt", "lastSeen", "status", "userId", "username"], "{user}");
        (text(user, "username"), text(user, "status"))
    });
    names_and_statuses.collect()
}

fn named(users: &[(&str, &str)]) -> Vec<(String, String)> {
    users.iter().map(|&(user, status)| (user.to_owned(), status.to_owned())).collect()
}

/// The data of the next event of this name.
async fn next(client: &mut Sio, event: &str) -> Value {
    let event_data = async {
        loop {
            let mut packet = client.receive_any().await;
            if packet.event() == Some(event) {
                return packet.data[1].take();
            }
        }
    };
    within(DEADLINE, event, event_data).await
}

async fn ask(client: &mut Sio, event: &str, data: Value) -> Value {
    client.request_on("/chat", event, data).await[0].take()
}

fn seen(user: &str, status: &str) -> Value {
    json!({"userId": user, "username": user, "status": status})
}

#[tokio::test]
async fn two_sessions_of_a_user_share_one_status() {
    let hub = Hub::with("[presence]\nlinger_ms = 0");
    let (mut bob, alone) = chat(&hub, &token("bob")).await;
    assert_eq!(listed(&alone), named(&[("bob", "online")]));
    let (mut one, both) = chat(&hub, &token("alice")).await;
    assert_eq!(listed(&both), named(&[("bob", "online"), ("alice", "online")]));
    assert_eq!(timeless(next(&mut bob, "user:online").await), seen("alice", "online"));
    let (mut two, _) = chat(&hub, &token("alice")).await;

    let updated = json!({"success": true, "message": "Status updated successfully"});
    assert_eq!(ask(&mut two, "presence:update-status", json!({"status": "busy"})).await, updated);
    for client in [&mut bob, &mut one, &mut two] {
        assert_eq!(timeless(next(client, "user:status-changed").await), seen("alice", "busy"));
    }
    assert_eq!(listed(&next(&mut bob, "users:online").await), named(&[("bob", "online"), ("alice", "busy")]));
    let stats = json!({"totalUsers": 2, "onlineUsers": 1, "awayUsers": 0, "busyUsers": 1, "offlineUsers": 0});
    assert_eq!(ask(&mut bob, "presence:stats", json!({})).await, json!({"success": true, "stats": stats}));

    two.send("1").await;
    eventually(DEADLINE, "the second is gone", || hub.connections() == 2).await;
    let still = ask(&mut bob, "presence:user-status", json!({"userId": "alice"})).await;
    assert_eq!(still["presence"]["status"], "busy", "the other session keeps the status");
    one.send("1").await;
    assert_eq!(timeless(next(&mut bob, "user:offline").await), seen("alice", "offline"));
    let stats = json!({"totalUsers": 2, "onlineUsers": 1, "awayUsers": 0, "busyUsers": 0, "offlineUsers": 1});
    assert_eq!(ask(&mut bob, "presence:stats", json!({})).await, json!({"success": true, "stats": stats}));
    let (_again, list) = chat(&hub, &token("alice")).await;
    assert_eq!(
        listed(&list),
        named(&[("bob", "online"), ("alice", "online")]),
        "the status ended with the last session"
    );
}

#[tokio::test]
async fn only_admins_see_private_fields_of_other_users() {
    let hub = Hub::with("[presence]\naudience = \"off\"");
    let alice = token_with(json!({"sub": "alice", "username": "al", "email": "alice@example.com"}));
    let agent = [("User-Agent", "Mozilla/5.0 (X11)")];
    let mut first = Client::of(&hub, "alice").await;
    let newest = Client::open(&hub, &format!("/ws?token={alice}"), &agent).await;
    let id = newest.welcome["data"]["details"]["connection_id"].clone();
    let mut bob = Sio::of_chat(&hub, SioTransport::Polling, "bob").await;
    let mut admin = Sio::open(&hub, SioTransport::WebSocket).await;
    let auth = json!({"token": token_with(json!({"sub": "root", "roles": ["x", "admin"]}))});
    admin.connect("/chat", &auth).await.unwrap();

    let about = json!({"userId": "alice"});
    let of = |mut answer: Value| {
        assert_eq!(answer["success"], true, "{answer}");
        timeless(answer["presence"].take())
    };
    let all = json!({
        "userId": "alice", "username": "al", "email": "alice@example.com", "status": "online", "socketId": id,
        "userAgent": "Mozilla/5.0 (X11)", "ipAddress": "127.0.0.1",
    });
    assert_eq!(of(ask(&mut admin, "presence:user-status", about.clone()).await), all);
    let own = json!({"type": "presence:user-status", "data": about, "id": 1});
    assert_eq!(of(first.ask(own, "Reply").await["data"].take()), all, "her own fields on another session and surface");
    let masked = json!({
        "userId": "alice", "username": "al", "email": null, "status": "online", "socketId": null, "userAgent": null,
        "ipAddress": null,
    });
    assert_eq!(of(ask(&mut bob, "presence:user-status", about.clone()).await), masked);

    first.close().await;
    eventually(DEADLINE, "the first is gone", || hub.connections() == 3).await;
    newest.close().await;
    eventually(DEADLINE, "alice is gone", || hub.connections() == 2).await;
    for (client, email) in [(&mut bob, Value::Null), (&mut admin, json!("alice@example.com"))] {
        let mut answer = ask(client, "presence:user-status", about.clone()).await;
        let seen = answer["presence"]["lastSeen"].take();
        assert!(seen.as_str().is_some_and(|text| text.len() == 24), "{seen}");
        let gone = json!({
            "userId": "alice", "username": "al", "email": email, "status": "offline", "lastSeen": null,
            "connectedAt": null, "socketId": null, "userAgent": null, "ipAddress": null,
        });
        assert_eq!(answer, json!({"success": true, "presence": gone}));
    }
}

#[tokio::test]
async fn an_offline_user_is_known_only_with_an_account() {
    let hub = Hub::start();
    let (mut bob, _) = chat(&hub, &token("bob")).await;
    let account = json!({"username": "Carol", "password": "correct horse", "email": "carol@example.com"});
    let made = hub.http().request("POST", "/api/users").key().json(&account).send();
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.json()["user"]["id"].clone();
    let answer = ask(&mut bob, "presence:user-status", json!({ "userId": id })).await;
    let presence = json!({
        "userId": id, "username": "Carol", "email": null, "status": "offline", "lastSeen": null, "connectedAt": null,
        "socketId": null, "userAgent": null, "ipAddress": null,
    });
    assert_eq!(answer, json!({"success": true, "presence": presence}));
    let unknown = json!({"success": false, "message": "User not found", "code": "NOT_FOUND"});
    assert_eq!(ask(&mut bob, "presence:user-status", json!({"userId": 7})).await, unknown);
}

#[tokio::test]
async fn users_online_lists_100_users_and_changes_are_sent_up_to_that_number() {
    let hub = Hub::start();
    let mut clients = Vec::new();
    for number in 0..99 {
        clients.push(Client::of(&hub, &format!("u{number}")).await);
    }
    let (mut alice, list) = chat(&hub, &token("alice")).await;
    assert_eq!((listed(&list).len(), &listed(&list)[99].0[..]), (100, "alice"));
    assert_eq!(listed(&next(&mut alice, "users:online").await).len(), 100);
    let (mut bob, list) = chat(&hub, &token("bob")).await;
    let list = listed(&list);
    assert_eq!(
        (list.len(), &list[98].0[..], &list[99].0[..]),
        (100, "u98", "bob"),
        "its own user replaces the last one"
    );
    let answer = ask(&mut bob, "presence:online-users", json!({})).await;
    assert_eq!((listed(&answer).len(), &answer["success"], answer.get("count")), (101, &json!(true), None));
    assert_eq!(timeless(next(&mut alice, "user:online").await), seen("bob", "online"));
    alice.send("1").await;
    assert_eq!(timeless(next(&mut bob, "user:offline").await), seen("alice", "offline"));
    let list = listed(&next(&mut bob, "users:online").await);
    assert_eq!((list.len(), list.iter().any(|(user, _)| user == "alice")), (100, false));
    drop(clients);
}

#[tokio::test]
async fn audience_shared_rooms_notifies_only_users_of_a_shared_chat() {
    let hub = Hub::with("[presence]\naudience = \"shared-rooms\"\nlinger_ms = 0");
    let (mut alice, list) = chat(&hub, &token("alice")).await;
    assert_eq!(listed(&list), named(&[("alice", "online")]));
    let (mut bob, list) = chat(&hub, &token("bob")).await;
    assert_eq!(listed(&list), named(&[("bob", "online")]));
    let (mut far, _) = chat(&hub, &token("far")).await;
    for client in [&mut alice, &mut bob] {
        let id = client.emit_for_ack("/chat", "join:chat", json!({"chatId": "general"})).await;
        while client.receive().await.id != Some(id) {}
    }
    assert_eq!(timeless(next(&mut alice, "user:online").await), seen("bob", "online"));
    bob.emit_for_ack("/chat", "presence:update-status", json!({"status": "away"})).await;
    for client in [&mut alice, &mut bob] {
        assert_eq!(timeless(next(client, "user:status-changed").await), seen("bob", "away"));
    }
    bob.send("1").await;
    assert_eq!(timeless(next(&mut alice, "user:offline").await), seen("bob", "offline"));
    let id = far.emit_for_ack("/chat", "presence:online-users", json!({})).await;
    let packet = far.receive_any().await;
    assert_eq!(packet.id, Some(id), "the first event: {packet:?}");
    assert_eq!(listed(&packet.data[0]), named(&[("alice", "online"), ("far", "online")]), "the answer lists all users");
}

#[tokio::test]
async fn status_changes_are_sent_at_most_once_a_second_and_end_with_the_last() {
    let hub = Hub::with_manual_clock("");
    let (mut bob, _) = chat(&hub, &token("bob")).await;
    let mut flood = Client::of(&hub, "flood").await;
    let status = |status: &str| json!({"type": "presence:update-status", "data": {"status": status}, "id": status});
    let started = hub.clock().elapsed_ms();
    for _ in 0..100 {
        flood.ask(status("away"), "Reply").await;
        flood.ask(status("online"), "Reply").await;
        hub.advance(10);
    }
    flood.ask(status("busy"), "Reply").await;
    hub.advance(1_000);
    let (mut announced, mut last) = (0, Value::Null);
    while last != "busy" {
        last = next(&mut bob, "user:status-changed").await["status"].take();
        announced += 1;
    }
    let seconds = (hub.clock().elapsed_ms() - started) / 1_000;
    assert!(announced <= seconds + 1, "{announced} announcements in {seconds} s");
    assert!(hub.metric("hubbub_presence_changes_total{outcome=\"coalesced\"}") >= 100.0);
}
