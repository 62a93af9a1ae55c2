//! Deliveries to a room, to a user and to all users reach every surface: `/ws`, `/chat`, and `/` by polling and by
//! WebSocket, with a token at connect or later.

use serde_json::{Value, json};

use crate::support::client::without_time;
use crate::support::token::token;
use crate::support::{Client, Hub, Sio, SioTransport};

/// One session of a user on each surface.
struct All {
    raw: Client,
    /// With a token at connect by polling and by WebSocket, and authenticated later.
    root: [Sio; 3],
    chat: Sio,
    /// Has not authenticated, and must receive nothing.
    guest: Sio,
}

impl All {
    async fn of(hub: &Hub, user: &str) -> Self {
        let mut late = Sio::guest(hub, SioTransport::WebSocket).await;
        late.emit("authenticate", json!({"token": token(user)})).await;
        late.expect("authenticated").await;
        Self {
            raw: Client::of(hub, user).await,
            root: [
                Sio::of(hub, SioTransport::Polling, user).await,
                Sio::of(hub, SioTransport::WebSocket, user).await,
                late,
            ],
            chat: Sio::of_chat(hub, SioTransport::WebSocket, user).await,
            guest: Sio::guest(hub, SioTransport::WebSocket).await,
        }
    }

    async fn join(&mut self, room: &str) {
        self.raw.subscribe(&[room]).await;
        for client in &mut self.root {
            client.join(room).await;
        }
        let joined = json!([{"success": true, "room": room}]);
        assert_eq!(self.chat.request_on("/chat", "room:join", json!({ "room": room })).await, joined);
    }

    /// The next event of every authenticated session is this one.
    async fn expect(&mut self, event: &str, room: Option<&str>, data: &Value) {
        let mut pushed = json!({"type": event, "data": data});
        if let Some(room) = room {
            pushed["topic"] = json!(room);
        }
        assert_eq!(self.chat.expect_on("/chat", event).await, *data);
        assert_eq!(without_time(self.raw.next().await), pushed);
        for client in &mut self.root {
            assert_eq!(client.expect(event).await, *data);
        }
    }

    /// The next event of every authenticated session is this `Broadcast`.
    async fn expect_broadcast(&mut self, data: &Value) {
        assert_eq!(without_time(self.raw.next().await), json!({"type": "Broadcast", "data": data}));
        assert_eq!(self.chat.expect_on("/chat", "Broadcast").await, *data);
        for client in &mut self.root {
            assert_eq!(client.expect("Broadcast").await, *data);
        }
    }

    /// Fails if any session receives anything more.
    async fn expect_silence(&mut self) {
        let left = json!([{"success": true, "room": "nowhere"}]);
        assert_eq!(self.chat.request_on("/chat", "room:leave", json!({"room": "nowhere"})).await, left);
        self.raw.expect_silence().await;
        for client in self.root.iter_mut().chain([&mut self.guest]) {
            client.expect_silence().await;
        }
    }
}

/// Posts to the HTTP API, and checks the number of recipients.
#[track_caller]
fn send(hub: &Hub, path: &str, body: &Value, recipients: usize) {
    let answer = hub.http().request("POST", path).key().json(body).send();
    assert_eq!((answer.status, &answer.json()["recipients"]), (200, &json!(recipients)), "{answer:?}");
}

#[tokio::test]
async fn pushes_to_a_room_a_user_and_everybody_reach_each_session_once() {
    let hub = Hub::start();
    let mut alice = All::of(&hub, "alice").await;
    let mut bob = All::of(&hub, "bob").await;
    alice.join("lobby").await;
    let data = |n: u8| json!({"n": n, "text": "ünï ☃", "list": [1, 2.5, null, {"deep": true}]});

    send(&hub, "/api/room", &json!({"room": "lobby", "event": "to-room", "data": data(1)}), 5);
    alice.expect("to-room", Some("lobby"), &data(1)).await;
    bob.expect_silence().await;
    bob.join("lobby").await;
    send(&hub, "/api/broadcast", &json!({"to": "room", "room": "lobby", "event": "to-room", "data": data(2)}), 10);
    alice.expect("to-room", Some("lobby"), &data(2)).await;
    bob.expect("to-room", Some("lobby"), &data(2)).await;
    send(&hub, "/api/push", &json!({"userId": "alice", "event": "to-user", "data": data(3)}), 5);
    send(&hub, "/api/broadcast", &json!({"to": "user", "user_id": "bob", "event": "to-user", "data": data(4)}), 5);
    send(&hub, "/api/broadcast", &json!({"event": "to-all", "data": data(5)}), 10);
    for (session, n) in [(&mut alice, 3), (&mut bob, 4)] {
        session.expect("to-user", None, &data(n)).await;
        session.expect("to-all", None, &data(5)).await;
        session.expect_silence().await;
    }
}

#[tokio::test]
async fn a_publication_reaches_clients_of_all_surfaces() {
    let hub = Hub::start();
    let mut alice = All::of(&hub, "alice").await;
    alice.join("lobby").await;
    let mut carol = Client::of(&hub, "carol").await;
    let mut dave = Sio::of_chat(&hub, SioTransport::Polling, "dave").await;
    let publish = |n: u8| json!({"topic": "lobby", "payload": {"n": n}});
    let published = |n: u8, from: &str, id: &Value| json!({"topic": "lobby", "payload": {"n": n}, "from_user": from, "message_id": id});

    let ack = carol.broadcast("lobby", publish(1)["payload"].clone()).await["data"].take();
    assert_eq!(ack["recipients"], 5, "{ack}");
    alice.expect_broadcast(&published(1, "carol", &ack["message_id"])).await;

    let id = dave.emit_for_ack("/chat", "Broadcast", publish(2)).await;
    let packet = dave.receive().await;
    let ack = &packet.data[0];
    assert_eq!((packet.id, &ack["recipients"]), (Some(id), &json!(5)), "{packet:?}");
    alice.expect_broadcast(&published(2, "dave", &ack["message_id"])).await;

    let direct = json!({"type": "DirectMessage", "data": {"target_user": "dave", "payload": "hi"}});
    assert_eq!(carol.ask(direct, "Ack").await["data"]["recipients"], 1);
    let direct = dave.expect_on("/chat", "DirectMessage").await;
    assert_eq!((&direct["from_user"], &direct["payload"]), (&json!("carol"), &json!("hi")), "{direct}");
    alice.expect_silence().await;
}
