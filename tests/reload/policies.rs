//! Limits, origins, proxies, the log level and more, before and after a reload.

use serde_json::{Value, json};
use std::fs;

use crate::support::http::Response;
use crate::support::hub::configuration;
use crate::support::token::{token, token_with};
use crate::support::{API_KEY, Client, DEADLINE, Hub, Wire, eventually};

async fn upgrade(hub: &Hub, headers: &[(&str, &str)]) -> u16 {
    let (answer, _) = Wire::upgrade(hub, &format!("/ws?token={}", token("alice")), headers).await;
    answer.status
}

fn push(hub: &Hub, key: &str) -> Response {
    let body = json!({"userId": "u", "event": "e", "data": {}});
    hub.http().request("POST", "/api/push").header("X-API-Key", key).json(&body).send()
}

#[tokio::test]
async fn limits_of_a_connected_session_are_raised_and_lowered() {
    let limits = |most: u32| format!("[limits.raw]\nmessages_per_minute = {most}");
    let hub = Hub::with(&limits(3));
    let mut alice = Client::of(&hub, "alice").await;
    let ping = json!({"type": "Ping", "data": {"timestamp": 1}});
    for _ in 0..3 {
        alice.ask(ping.clone(), "Pong").await;
    }
    assert_eq!(alice.ask(ping.clone(), "Error").await["data"]["code"], "RATE_LIMITED");
    hub.reload(&limits(40));
    for _ in 0..37 {
        alice.ask(ping.clone(), "Pong").await;
    }
    assert_eq!(alice.ask(ping.clone(), "Error").await["data"]["code"], "RATE_LIMITED");
    // The 40 accepted messages count as no flood under a limit of one.
    hub.reload(&limits(1));
    assert_eq!(alice.ask(ping.clone(), "Error").await["data"]["code"], "RATE_LIMITED");
    hub.reload(&limits(0));
    alice.ask(ping, "Pong").await;
}

#[tokio::test]
async fn the_frame_budget_of_a_connected_client_is_replaced() {
    let hub = Hub::with("[limits]\nframes_per_second = 0\n[limits.raw]\nmessages_per_minute = 0");
    let mut alice = Client::of(&hub, "alice").await;
    let ping = json!({"type": "Ping", "data": {"timestamp": 1}});
    for _ in 0..100 {
        alice.ask(ping.clone(), "Pong").await;
    }
    hub.reload("[limits]\nframes_per_second = 1\n[limits.raw]\nmessages_per_minute = 0");
    for _ in 0..20 {
        alice.try_send(ping.clone()).await;
    }
    assert_eq!(alice.close_code().await, Some(4429));
}

#[tokio::test]
async fn origins_and_proxies_apply_from_the_next_request() {
    let page = [("Origin", "https://app.example")];
    let hub = Hub::start();
    assert_eq!(upgrade(&hub, &page).await, 403);
    hub.reload("[server]\nallowed_origins = [\"https://app.example\"]");
    assert_eq!(upgrade(&hub, &page).await, 101);
    hub.reload("");
    assert_eq!(upgrade(&hub, &page).await, 403);

    let limited = "[limits.raw]\nconnections_per_minute = 1\n";
    hub.reload(&format!("[server]\ntrusted_proxies = [\"127.0.0.1\"]\n{limited}"));
    let forwarded = [("X-Forwarded-For", "192.0.2.7")];
    assert_eq!((upgrade(&hub, &forwarded).await, upgrade(&hub, &forwarded).await), (101, 429));
    let other = [("X-Forwarded-For", "192.0.2.8")];
    assert_eq!(upgrade(&hub, &other).await, 101, "each address has its own limit");
    // The hub ignores the header now. Loopback with such a header is not exempt: both requests have one address.
    hub.reload(limited);
    assert_eq!((upgrade(&hub, &forwarded).await, upgrade(&hub, &other).await), (101, 429));
}

#[tokio::test]
async fn api_keys_are_added_and_removed_and_their_limits_change() {
    let keys = |keys: &[(&str, &str, u32)]| {
        let table = |(name, key, most): &(&str, &str, u32)| {
            format!("[[api.keys]]\nname = \"{name}\"\nkey = \"{key}\"\nper_minute = {most}\n")
        };
        keys.iter().map(table).collect::<String>()
    };
    let (first, second) = (("first", API_KEY, 2), ("second", "another-key-0123456789", 100));
    let hub = Hub::with(&keys(&[first]));
    let push_idempotent = |key: &str| {
        let body = json!({"userId": "u", "event": "e", "data": {}});
        let request = hub.http();
        let request = request.request("POST", "/api/push").header("X-API-Key", key).header("Idempotency-Key", "n");
        request.json(&body).send()
    };
    assert_eq!(
        (push_idempotent(API_KEY).status, push(&hub, second.1).json()["code"].clone()),
        (200, json!("INVALID_API_KEY"))
    );
    hub.reload(&keys(&[first, second]));
    assert_eq!((push(&hub, second.1).status, push(&hub, API_KEY).status), (200, 200));
    assert_eq!(push(&hub, API_KEY).status, 429, "the current minute still counts");
    hub.reload(&keys(&[("first", API_KEY, 4), second]));
    let replayed = push_idempotent(API_KEY);
    assert_eq!(
        (replayed.status, replayed.header("idempotency-replayed")),
        (200, Some("true")),
        "stored responses stay"
    );
    assert_eq!((push(&hub, API_KEY).status, push(&hub, API_KEY).status), (200, 429));
    let log = hub.reload(&keys(&[second]));
    assert_eq!(push(&hub, API_KEY).json()["code"], "INVALID_API_KEY");
    assert!(!log.contains(second.1) && !log.contains(API_KEY), "{log}");
}

#[tokio::test]
async fn a_new_required_permission_applies_to_new_tokens_and_keeps_connected_clients() {
    let hub = Hub::start();
    let mut alice = Client::of(&hub, "alice").await;
    hub.reload("[auth]\nrequired_permissions = [\"enter\"]");
    assert_eq!(upgrade(&hub, &[]).await, 403);
    alice.expect_silence().await;
    let late = json!({"type": "Authenticate", "data": {"token": token("alice")}});
    assert_eq!(alice.ask(late, "Error").await["data"]["code"], "FORBIDDEN");
    Client::connect(&hub, &token_with(json!({"sub": "bob", "permissions": ["enter"]}))).await;
}

#[tokio::test]
async fn a_reload_changes_the_log_level_and_debug_mode() {
    let hub = Hub::start();
    let debug = json!({"type": "debug_mode", "data": {"enabled": true}, "id": 1});
    let mut alice = Client::of(&hub, "alice").await;
    assert_eq!(alice.ask(debug.clone(), "Error").await["data"]["code"], "FORBIDDEN");
    hub.reload("[debug]\nopen = true");
    alice.send(debug).await;
    while alice.next().await["id"] != 1 {}

    // The new level applies to the result of the reload: at `error` it is not logged. The metric shows it.
    let reloads = hub.metric("hubbub_reloads_total");
    fs::write(hub.dir().join("config.toml"), configuration("[log]\nlevel = \"error\"")).unwrap();
    hub.signal("HUP");
    eventually(DEADLINE, "the reload is counted", || hub.metric("hubbub_reloads_total") == reloads + 1.0).await;
    hub.signal("USR1");
    let log = hub.reload("[log]\nlevel = \"info,hubbub=loud\"");
    assert!(log.contains("ERROR") && !log.contains("INFO"), "{log}");
    assert!(hub.reload("[log]\nlevel = \"info\"").contains("INFO"));
}

#[tokio::test]
async fn reloads_are_counted_by_result() {
    let hub = Hub::start();
    let of = |result: &str| hub.metric(&format!("hubbub_reloads_total{{result=\"{result}\"}}"));
    assert_eq!((of("ok"), of("failed"), hub.metric("hubbub_last_reload_timestamp_seconds")), (0.0, 0.0, 0.0));
    hub.sighup();
    hub.reload("[limits]\nrooms = 0");
    assert_eq!((of("ok"), of("failed"), hub.metric("hubbub_reload_failed")), (1.0, 1.0, 1.0));
    hub.reload("");
    assert_eq!((of("ok"), hub.metric("hubbub_reload_failed")), (2.0, 0.0));
    let at = hub.metric("hubbub_last_reload_timestamp_seconds");
    // Whole seconds, rounded down.
    let now = crate::support::token::now() as f64;
    assert!((now - 60.0..now + 1.0).contains(&at), "{at}");
}

#[tokio::test]
async fn a_reload_replaces_the_application_url() {
    let answer = |text: &'static str| {
        crate::support::MockUpstream::replying(crate::support::UpstreamReply::Json(
            200,
            json!({"data": {"from": text}}),
        ))
    };
    let (one, two) = (answer("one"), answer("two"));
    let config = |of: &crate::support::MockUpstream| format!("[backend]\nurl = \"{}\"", of.url(""));
    let hub = Hub::with(&config(&one));
    let mut alice = Client::of(&hub, "alice").await;
    let mut ask = async || -> Value {
        alice.send(json!({"type": "client:event", "data": {"type": "e", "data": {}}, "id": 1})).await;
        alice.next().await
    };
    assert!(ask().await.to_string().contains("one"));
    hub.reload(&config(&two));
    assert!(ask().await.to_string().contains("two"));
    eventually(DEADLINE, "each application got one request", || (one.count(), two.count()) == (1, 1)).await;
}
