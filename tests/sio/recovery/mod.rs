//! A session on `/` that was cut off and goes on: Socket.IO's connection state recovery, as a client written from the
//! protocol does it. It names its session by the private id that it was told, and says the number of the last event it got.

// What it missed comes, once and in order.
mod missed;

// Who goes on with a session, and who does not.
mod refused;

// When a session can be recovered no more.
mod gone;

// The rooms that it is in, and who is there.
mod rooms;

// Sessions that came without a token.
mod guests;

// A goodbye that comes later than its client's next connection.
mod goodbye;

// CONNECT and DISCONNECT before the answer.
mod orders;

// Notifications that are not read.
mod notified;

// What is kept, within its bound.
mod bound;

// Over the end of the hub and its next start.
mod restart;

use serde_json::{Value, json};

use crate::support::socketio::{SocketPacket, events};
use crate::support::token::token;
use crate::support::wait::within;
use crate::support::{DEADLINE, Hub, Sio, Transport, eventually};

/// These tests' client sends no `User-Agent`, and expects numbers; they push as fast as they can.
const NUMBERED: [(&str, &str); 6] = [
    ("socketio.offsets", r#""always""#),
    ("server.workers", "2"),
    ("presence.audience", r#""off""#),
    ("limits.push.messages_per_minute", "0"),
    ("limits.push.connections_per_minute", "0"),
    ("limits.http.requests_per_minute", "0"),
];

/// [`NUMBERED`] where `more` says nothing else, and `more`: keys with dots.
fn config(more: &str) -> String {
    let kept = NUMBERED.iter().filter(|(key, _)| !more.contains(key));
    let numbered: String = kept.map(|(key, value)| format!("{key} = {value}\n")).collect();
    format!("{numbered}{more}")
}

#[track_caller]
fn hub(more: &str) -> Hub {
    Hub::with(&config(more))
}

/// A client of `/` that remembers what it needs to go on.
struct RecoveryClient {
    sio: Sio,
    saved: SavedSession,
}

/// What a client knows of its session.
#[derive(Debug, Clone)]
struct SavedSession {
    user: String,
    token: Option<String>,
    sid: String,
    pid: String,
    /// The number of the last event that it got.
    last: Option<String>,
}

impl RecoveryClient {
    async fn of(hub: &Hub, transport: Transport, user: &str) -> Self {
        Self::with_token(hub, transport, user, &token(user)).await
    }

    /// A client that comes for the first time, greeted.
    async fn with_token(hub: &Hub, transport: Transport, user: &str, token: &str) -> Self {
        let saved = SavedSession::new(user, Some(token));
        let mut client = saved.connect(hub, transport, &json!({ "token": token })).await;
        let told = client.next_events(2).await;
        assert_eq!(told, greeting(&client.saved.sid));
        client
    }

    /// The next packet that is said, other people's coming and going included; its number is taken out and remembered.
    async fn receive(&mut self) -> SocketPacket {
        let mut said = within(DEADLINE, "something is said", self.sio.receive_any()).await;
        if said.event().is_some() {
            let arguments = said.data.as_array_mut().unwrap();
            if arguments.len() == 3 {
                let number = arguments.pop().unwrap();
                assert!(u64::from_str_radix(number.as_str().unwrap(), 16).is_ok(), "{number} behind {said:?}");
                self.saved.last = Some(number.as_str().unwrap().to_owned());
            } else {
                assert_eq!(arguments.len(), 2, "{said:?}");
            }
        }
        said
    }

    /// The next event: `[name, data]`.
    async fn event(&mut self) -> Value {
        let said = self.receive().await;
        assert_eq!((said.kind, said.namespace.as_str()), (SocketPacket::EVENT, "/"), "{said:?}");
        said.data
    }

    /// That these events come next.
    async fn expect(&mut self, expected: &[Value]) {
        let mut received = Vec::new();
        while received.len() < expected.len() {
            received.push(self.event().await);
        }
        assert_eq!(received, expected);
    }

    /// That these events come next, and nothing behind them.
    async fn expect_exactly(&mut self, expected: &[Value]) {
        self.expect(expected).await;
        self.sio.expect_silence().await;
    }

    /// The next events, which the hub says of itself, without their timestamps.
    async fn next_events(&mut self, count: usize) -> Vec<Value> {
        let mut told = Vec::new();
        for _ in 0..count {
            told.push(self.sio.receive().await);
        }
        events(&told)
    }

    /// Its connection ends without a word: by WebSocket it is reset, which loses what is on its way; by polling it closes
    /// as a client does that tries another connection.
    async fn cut(mut self, transport: Transport) -> SavedSession {
        match transport {
            Transport::WebSocket => self.sio.into_wire().reset(),
            Transport::Polling => self.sio.send("1").await,
        }
        self.saved
    }

    /// As [`RecoveryClient::cut`]; waits until the hub has noticed.
    async fn suspend(self, hub: &Hub, transport: Transport) -> SavedSession {
        let before = hub.metric("hubbub_parked_sessions");
        let saved = self.cut(transport).await;
        wait_until_suspended(hub, before + 1.0).await;
        saved
    }

    /// Leaves the namespace, as `socket.disconnect()` does.
    async fn disconnect(mut self) -> SavedSession {
        self.sio.send("41").await;
        self.saved
    }
}

impl SavedSession {
    fn new(user: &str, token: Option<&str>) -> Self {
        let (sid, pid) = (String::new(), String::new());
        Self { user: user.to_owned(), token: token.map(str::to_owned), sid, pid, last: None }
    }

    /// What a client says that comes back.
    fn auth(&self) -> Value {
        let mut auth = json!({ "pid": self.pid });
        if let Some(token) = &self.token {
            auth["token"] = token.as_str().into();
        }
        if let Some(last) = &self.last {
            auth["offset"] = last.as_str().into();
        }
        auth
    }

    /// A client that is let in with this; it has received nothing more yet.
    async fn connect(&self, hub: &Hub, transport: Transport, auth: &Value) -> RecoveryClient {
        let mut sio = Sio::open(hub, transport).await;
        let answer = sio.connect("/", auth).await.unwrap_or_else(|error| panic!("was not let in: {error}"));
        let text = |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}")).to_owned();
        let (sid, pid) = (text("sid"), text("pid"));
        sio.id.clone_from(&sid);
        RecoveryClient { sio, saved: Self { sid, pid, ..self.clone() } }
    }

    /// Comes back, and goes on: what is received next is what it missed.
    async fn resume(&self, hub: &Hub, transport: Transport) -> RecoveryClient {
        self.resume_at_attempt(hub, transport, 1).await
    }

    /// As [`SavedSession::back`], after so many attempts, this one included.
    async fn resume_at_attempt(&self, hub: &Hub, transport: Transport, attempt: u32) -> RecoveryClient {
        let mut client = self.connect(hub, transport, &self.auth()).await;
        let told = client.next_events(4).await;
        let recovered = json!(["system:state_recovered", {"userId": self.user}]);
        assert_eq!(told, [vec![reconnect_status(attempt), recovered], greeting(&self.sid)].concat());
        assert_eq!((&client.saved.sid, &client.saved.pid), (&self.sid, &self.pid));
        client
    }

    /// Comes back, and is told that its session does not go on: it has another.
    async fn fail_to_resume(&self, hub: &Hub, transport: Transport) -> RecoveryClient {
        self.fail_to_resume_at_attempt(hub, transport, 1).await
    }

    async fn fail_to_resume_at_attempt(&self, hub: &Hub, transport: Transport, attempt: u32) -> RecoveryClient {
        let mut client = self.connect(hub, transport, &self.auth()).await;
        assert_ne!(client.saved.pid, self.pid, "it is another session");
        let told = client.next_events(4).await;
        assert_eq!(told, [vec![reconnect_status(attempt), recovery_failed()], greeting(&client.saved.sid)].concat());
        client
    }
}

/// What a client hears first that comes back.
fn reconnect_status(attempt: u32) -> Value {
    let delay = (1_000.0 * 1.5_f64.powi(attempt as i32 - 1)) as u64;
    json!(["system:reconnect_status", {"attempt": attempt, "delay": delay}])
}

fn recovery_failed() -> Value {
    json!(["system:state_recovery_failed", {"message": "Failed to recover connection state"}])
}

fn greeting(sid: &str) -> Vec<Value> {
    let server = json!({"version": env!("CARGO_PKG_VERSION"), "environment": "production"});
    let welcome = json!({"message": "Welcome to the Socket.IO server", "socketId": sid, "serverInfo": server});
    vec![json!(["connected", {"socketId": sid}]), json!(["system:welcome", welcome])]
}

/// Waits until so many sessions are wait_until_suspended.
async fn wait_until_suspended(hub: &Hub, sessions: f64) {
    let what = format!("{sessions} sessions are wait_until_suspended");
    eventually(DEADLINE, &what, || hub.metric("hubbub_parked_sessions") == sessions).await;
}

/// Waits until nothing is kept for anybody, and nobody is there.
async fn wait_until_empty(hub: &Hub) {
    const COUNTED: [&str; 5] = [
        "hubbub_parked_sessions",
        "hubbub_parked_messages",
        "hubbub_recovery_bytes",
        "hubbub_rooms",
        "websocket_connections_active",
    ];
    let left = || COUNTED.map(|name| hub.metric(name));
    let began = std::time::Instant::now();
    while left() != [0.0; 5] {
        assert!(began.elapsed() < DEADLINE, "{COUNTED:?} are {:?} after {DEADLINE:?}", left());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[track_caller]
fn post(hub: &Hub, path: &str, body: &Value) -> Value {
    let answer = hub.http().request("POST", path).key().json(body).send();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Sends to a room; the event as its members hear it.
#[track_caller]
fn to_room(hub: &Hub, room: &str, n: usize) -> Value {
    let data = json!({"n": n, "in": room});
    post(hub, "/api/room", &json!({"room": room, "event": "to-room", "data": data}));
    json!(["to-room", data])
}

/// As [`to_room`], to a user.
#[track_caller]
fn to_user(hub: &Hub, user: &str, n: usize) -> Value {
    let data = json!({"n": n, "to": user});
    post(hub, "/api/push", &json!({"userId": user, "event": "to-user", "data": data}));
    json!(["to-user", data])
}

/// As [`to_room`], to everybody.
#[track_caller]
fn to_all(hub: &Hub, n: usize) -> Value {
    let data = json!({ "n": n });
    post(hub, "/api/broadcast", &json!({"event": "to-all", "data": data}));
    json!(["to-all", data])
}

/// Sends these to a room, in few requests; the events as its members hear them.
#[track_caller]
fn many_to_room(hub: &Hub, room: &str, numbers: std::ops::Range<usize>, text: &str) -> Vec<Value> {
    let data: Vec<_> = numbers.map(|n| json!({"n": n, "text": text})).collect();
    // A request has at most 1 MiB.
    for data in data.chunks((800_000 / (text.len() + 100)).clamp(1, 200)) {
        let command = |data| json!({"room": {"room": room, "event": "many", "data": data}});
        let commands: Vec<_> = data.iter().map(command).collect();
        let answer = post(hub, "/api/batch", &json!({ "commands": commands }));
        assert!(answer["results"].as_array().unwrap().iter().all(|result| result["success"] == true), "{answer}");
    }
    data.into_iter().map(|data| json!(["many", data])).collect()
}
