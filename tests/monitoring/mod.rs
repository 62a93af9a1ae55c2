//! `monitoring:metrics`, `:events`, `:stats` and `:health`: the connections on every surface.

use serde_json::{Value, json};

use crate::support::client::without_time;
use crate::support::token::{token, token_with};
use crate::support::{Client, DEADLINE, Hub, Sio};

// Counts, averages, top addresses, and health.
mod metrics;

// Events of sessions: they start, they end, and faults.
mod sessions;

// Events of refused connections and requests.
mod refusals;

/// Trusts `X-Forwarded-For`, so that clients can have any address.
const PROXIED: &str = "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n";

/// A hub with these keys that sends no presence events.
#[track_caller]
fn hub_with(config: &str) -> Hub {
    Hub::with(&format!("{config}\n[presence]\naudience = \"off\""))
}

/// A client that asks for monitoring data.
struct Watcher(Client);

impl Watcher {
    async fn admin(hub: &Hub) -> Self {
        Self(Client::connect(hub, &token_with(json!({"sub": "admin", "role": "admin"}))).await)
    }

    async fn of(hub: &Hub, user: &str) -> Self {
        Self(Client::of(hub, user).await)
    }

    /// The data of the `Reply` to this event.
    async fn ask(&mut self, event: &str, data: Value) -> Value {
        let request = json!({"type": event, "data": data, "id": 7});
        let reply = without_time(self.0.ask(request, "Reply").await);
        assert_eq!((&reply["id"], &reply["data"]["success"]), (&json!(7), &json!(true)), "{reply}");
        reply["data"].clone()
    }

    /// The selected events, newest first, without their timestamps.
    async fn events(&mut self, data: Value) -> Vec<Value> {
        let answer = self.ask("monitoring:events", data).await;
        assert_eq!(answer.as_object().unwrap().len(), 2, "{answer}");
        answer["events"].as_array().unwrap().iter().cloned().map(untimed).collect()
    }

    /// As [`Watcher::events`], once `count` of them are recorded.
    async fn wait_for_events(&mut self, data: Value, count: usize) -> Vec<Value> {
        let started = std::time::Instant::now();
        loop {
            let events = self.events(data.clone()).await;
            if events.len() >= count {
                assert_eq!(events.len(), count, "{events:?}");
                return events;
            }
            assert!(started.elapsed() < DEADLINE, "waited for {count} events, but there are {events:?}");
        }
    }
}

/// An event without its timestamp, which must be there.
#[track_caller]
fn untimed(mut event: Value) -> Value {
    let stamp = event.as_object_mut().unwrap().remove("timestamp").unwrap_or_default();
    assert!(is_time(&stamp), "{stamp} in {event}");
    event
}

fn is_time(stamp: &Value) -> bool {
    stamp.as_str().is_some_and(|stamp| stamp.ends_with('Z') && stamp.len() == 24)
}

/// An event without the duration of its session, which must be there.
#[track_caller]
fn without_duration(mut event: Value) -> Value {
    let duration = event["details"].as_object_mut().unwrap().remove("duration").unwrap_or_default();
    assert!(duration.as_u64().is_some_and(|ms| ms < 60_000), "{duration} in {event}");
    event
}

/// A session on `/chat` from this address with this user agent, and its id.
async fn chat_from(hub: &Hub, user: &str, address: &str, agent: &str) -> (Sio, Value) {
    let mut client = Sio::open_with(hub, &[("X-Forwarded-For", address), ("User-Agent", agent)]).await;
    let joined = client.connect("/chat", &json!({"token": token(user)})).await.unwrap();
    (client, joined["sid"].clone())
}

/// As [`chat_from`], on `/ws`.
async fn raw_from(hub: &Hub, user: &str, address: &str, agent: &str) -> (Client, Value) {
    let path = format!("/ws?token={}", token(user));
    let headers = [("X-Forwarded-For", address), ("User-Agent", agent)];
    let client = Client::open(hub, &path, &headers).await;
    let id = client.welcome["data"]["details"]["connection_id"].clone();
    (client, id)
}

fn event(kind: &str, socket: &Value, user: &str, peer: [&str; 2], details: Value) -> Value {
    let [address, agent] = peer;
    json!({
        "type": kind,
        "socketId": socket,
        "userId": user,
        "ipAddress": address,
        "userAgent": agent,
        "details": details,
    })
}

/// An event of another user, as users other than admins receive it.
fn masked(mut event: Value) -> Value {
    for field in ["socketId", "ipAddress", "userAgent"] {
        event[field] = Value::Null;
    }
    event
}
