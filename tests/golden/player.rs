//! Plays a script against a hub.

use std::collections::HashMap;

use hubbub_actors::model::surface::Surface;
use serde_json::{Value, json};

use super::placeholders::Placeholders;
use super::script::{ClientMessage, ExpectedLine, Received, Script, ScriptStep, StepAction};
use crate::support::client::without_time;
use crate::support::socketio::SocketPacket;
use crate::support::token::token_with;
use crate::support::wait::{DEADLINE, eventually};
use crate::support::{Client, Hub, Sio, SioTransport};

/// A connected client of a script.
enum Connection {
    /// A namespace of Socket.IO.
    Namespace { name: &'static str, client: Box<Sio> },
    /// `/ws`, spoken event by event, in a file that is played on `/chat` too.
    Events(Box<Client>),
    /// `/ws`, spoken message by message. Holds the greeting until it is expected.
    Frames { client: Box<Client>, greeting: Option<Value> },
}

impl Connection {
    async fn open(hub: &Hub, surface: Surface, named: bool, token: Option<String>) -> Self {
        if surface == Surface::Raw {
            let mut client = Box::new(Client::connect(hub, &token.expect("/ws needs a token")).await);
            let greeting = Some(without_time(client.welcome.take()));
            return if named { Self::Frames { client, greeting } } else { Self::Events(client) };
        }
        let mut client = Box::new(Sio::open(hub, SioTransport::WebSocket).await);
        let auth = token.map_or(Value::Null, |token| json!({ "token": token }));
        client.connect(surface.as_str(), &auth).await.unwrap();
        Self::Namespace { name: surface.as_str(), client }
    }

    async fn send(&mut self, message: ClientMessage) {
        match (self, message) {
            (Self::Namespace { name, client }, ClientMessage::Event(event, data)) => {
                client.emit_for_ack(name, &event, data).await;
            }
            (Self::Events(client), ClientMessage::Event(event, data)) => {
                client.send(json!({"type": event, "data": data, "id": 1})).await;
            }
            (Self::Frames { client, .. }, ClientMessage::Frame(frame)) => client.send(frame).await,
            (_, message) => panic!("this surface cannot send {message:?}"),
        }
    }

    async fn next(&mut self) -> Received {
        match self {
            Self::Namespace { name, client } => {
                let packet = client.receive_any().await;
                assert_eq!(packet.namespace, *name, "{packet:?}");
                match packet.data.as_array().unwrap().as_slice() {
                    [] if packet.kind == SocketPacket::ACK => Received::Reply(Value::Null),
                    [data] if packet.kind == SocketPacket::ACK => Received::Reply(data.clone()),
                    [Value::String(event), data] => Received::Event(event.clone(), data.clone()),
                    _ => panic!("neither an event with one argument nor an acknowledgement: {packet:?}"),
                }
            }
            Self::Events(client) => {
                let mut message = client.next_with_presence().await;
                let data = message["data"].take();
                match message["type"].as_str().unwrap() {
                    "Reply" => Received::Reply(data),
                    "Error" => {
                        let mut refusal = json!({"success": false});
                        refusal.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
                        Received::Reply(refusal)
                    }
                    event => Received::Event(event.to_owned(), data),
                }
            }
            Self::Frames { client, greeting } => match greeting.take() {
                Some(greeting) => Received::Frame(greeting),
                None => Received::Frame(without_time(client.next_with_presence().await)),
            },
        }
    }

    /// Fails if anything arrives before the reply to a request that is sent now.
    async fn expect_silence(&mut self) {
        match self {
            Self::Namespace { name, client } => {
                let probe = if *name == "/" { "ping" } else { "no:such:event" };
                let id = client.emit_for_ack(name, probe, json!({})).await;
                let packet = client.receive_any().await;
                assert_eq!((packet.kind, packet.id), (SocketPacket::ACK, Some(id)), "expected nothing: {packet:?}");
            }
            Self::Events(client) | Self::Frames { client, greeting: None } => client.expect_silence().await,
            Self::Frames { greeting: Some(greeting), .. } => panic!("expected nothing: {greeting}"),
        }
    }
}

/// Plays a file. Clients that name no surface connect on `surface`.
pub(super) async fn play(file: &str, surface: Option<Surface>) {
    let script = Script::parse(&super::text_of(file));
    assert!(!script.steps.is_empty(), "{file} has no steps");
    let hub = Hub::with(&script.config);
    let label = surface.map_or(file.to_owned(), |surface| format!("{file} on {}", surface.as_str()));
    let mut player = Player { hub, surface, clients: HashMap::new(), placeholders: Placeholders::default() };
    for step in script.steps {
        player.play(&label, step).await;
    }
    for client in player.clients.values_mut() {
        client.expect_silence().await;
    }
}

struct Player {
    hub: Hub,
    surface: Option<Surface>,
    clients: HashMap<String, Connection>,
    placeholders: Placeholders,
}

impl Player {
    async fn play(&mut self, label: &str, step: ScriptStep) {
        let mut response = self.act(step.action).await;
        let mut expected: HashMap<String, Vec<ExpectedLine>> = HashMap::new();
        for line in step.expected {
            let Received::Response(status, body) = &line.message else {
                expected.entry(line.recipient.clone()).or_default().push(line);
                continue;
            };
            let (actual_status, actual) = response.take().expect("no response to compare with");
            assert_eq!(*status, actual_status, "{label}, line {}: {actual}", line.line);
            let matches = self.placeholders.matches(body, &actual);
            let received = Received::Response(actual_status, actual);
            assert!(matches, "{label}, line {}: {}", line.line, differ(&received, "backend", &[&line]));
        }
        if let Some((status, body)) = response {
            let line = Received::Response(status, body).line("backend");
            panic!("{label}, line {}: the response is not listed; {PASTE}\n{line}", step.line);
        }
        for (client, mut expected) in expected {
            while !expected.is_empty() {
                let received = self.client(&client).next().await;
                let Some(index) = expected.iter().position(|line| self.accept(&line.message, &received)) else {
                    let expected: Vec<_> = expected.iter().collect();
                    panic!("{label}, line {}: {}", step.line, differ(&received, &client, &expected));
                };
                expected.remove(index);
            }
        }
    }

    /// The response, where the backend called the hub.
    async fn act(&mut self, action: StepAction) -> Option<(u16, Value)> {
        match action {
            StepAction::Connect { client, surface, claims } => {
                let token = claims.map(|mut claims| {
                    if claims.get("sub").is_none() {
                        claims["sub"] = json!(client);
                    }
                    token_with(claims)
                });
                let on = surface.or(self.surface).unwrap_or_else(|| panic!("{client} names no surface"));
                let connection = Connection::open(&self.hub, on, surface.is_some(), token).await;
                self.clients.insert(client, connection);
            }
            StepAction::Cut { client } => {
                let others = self.hub.connections() - 1;
                drop(self.clients.remove(&client));
                eventually(DEADLINE, "the hub ends the session", || self.hub.connections() <= others).await;
            }
            StepAction::Send { client, message } => {
                let message = match message {
                    ClientMessage::Event(event, data) => ClientMessage::Event(event, self.placeholders.fill(&data)),
                    ClientMessage::Frame(frame) => ClientMessage::Frame(self.placeholders.fill(&frame)),
                };
                self.client(&client).send(message).await;
            }
            StepAction::Call { method, path, body } => {
                let http = self.hub.http();
                let request = http.request(&method, &path).key();
                let body = self.placeholders.fill(&body);
                let response = if method == "DELETE" { request.send() } else { request.json(&body).send() };
                return Some((response.status, response.json()));
            }
        }
        None
    }

    fn client(&mut self, name: &str) -> &mut Connection {
        self.clients.get_mut(name).unwrap_or_else(|| panic!("{name} is not connected"))
    }

    /// Whether `received` is as expected. If so, its new placeholders are kept.
    fn accept(&mut self, expected: &Received, received: &Received) -> bool {
        let mut placeholders = self.placeholders.clone();
        let matches = match (expected, received) {
            (Received::Reply(expected), Received::Reply(received)) => {
                let expected = if self.surface == Some(Surface::Raw) { as_raw(expected) } else { expected.clone() };
                placeholders.matches(&expected, received)
            }
            (Received::Event(name, expected), Received::Event(event, received)) => {
                name == event && placeholders.matches(expected, received)
            }
            (Received::Frame(expected), Received::Frame(received)) => placeholders.matches(expected, received),
            _ => false,
        };
        if matches {
            self.placeholders = placeholders;
        }
        matches
    }
}

/// How to paste a received line into a golden file.
const PASTE: &str =
    "received (write `<time>` for a time and a word such as `<id>` for a generated value before you paste it):";

/// The received line and the expected lines, in the syntax of the golden files.
fn differ(received: &Received, recipient: &str, expected: &[&ExpectedLine]) -> String {
    let expected = expected.iter().map(|line| format!("{}    (line {})", line.message.line(recipient), line.line));
    let expected: Vec<_> = expected.collect();
    format!("expected one of\n{}\n{PASTE}\n{}", expected.join("\n"), received.line(recipient))
}

/// A refusal of `/chat` as `/ws` sends it: its message is the text of `details.reason`, or the hub's own text where
/// `/chat` uses the sentence of its document.
fn as_raw(reply: &Value) -> Value {
    let mut reply = reply.clone();
    if reply["success"] != false {
        return reply;
    }
    let details = reply.get_mut("details").and_then(Value::as_object_mut);
    if let Some(reason) = details.and_then(|details| details.remove("reason")) {
        reply["message"] = reason;
    } else if reply["code"] == "RATE_LIMITED" {
        reply["message"] = json!("Rate limit exceeded");
    }
    reply
}
