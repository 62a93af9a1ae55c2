//! docs/troubleshooting.md: a hub with the described fault, the page's command, and the output that the page shows.

use serde_json::{Value, json};

use super::paste::{HubTerminal, first_start, paste_in};
use crate::support::token::{now, signed};
use crate::support::tools::debian_program;
use crate::support::{Client, DEADLINE, Hub, Sio, SioTransport, eventually};

const PAGE: &str = "troubleshooting";

/// A topic that only users with a role join.
const RULES: &str = "[[topics]]\npattern = \"staff.*\"\nsubscribe = \"role:staff\"\n\
                     [[topics]]\npattern = \"news.*\"";

/// The whole output as one JSON value.
#[track_caller]
fn answer(output: &str) -> Value {
    serde_json::from_str(output).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// A token of alice with more claims, signed by the secret that the hub made.
fn alice(hub: &Hub, more: &Value) -> String {
    let secret = std::fs::read_to_string(hub.data().join("jwt.secret")).unwrap();
    let mut claims = json!({"sub": "alice", "exp": now() + 3600});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    signed(jsonwebtoken::Algorithm::HS256, secret.trim(), &claims)
}

/// Disconnects alice, as a backend does.
#[track_caller]
fn disconnect_alice(hub: &Hub, terminal: &HubTerminal<'_>) {
    let (http, key) = (hub.http(), terminal.value("KEY"));
    let disconnect = http.request("POST", "/api/disconnect").header("X-API-Key", &key);
    assert_eq!(disconnect.json(&json!({"userId": "alice"})).send().status, 200);
}

/// Waits until the log has this text.
async fn logged(hub: &Hub, text: &str) {
    eventually(DEADLINE, &format!("the log has {text:?}"), || hub.output().contains(text)).await;
}

#[tokio::test]
async fn a_receiving_user_passes_every_step() {
    let hub = first_start("");
    let terminal = HubTerminal::new(&hub, PAGE);
    let mut client = Client::connect(&hub, &terminal.value("TOKEN")).await;
    client.subscribe(&["lobby"]).await;

    let pushed = answer(&terminal.paste("push to the user"));
    assert_eq!((&pushed["recipients"], &pushed["delivered"]), (&json!(1), &json!(true)), "{pushed}");
    client.expect("test").await;
    let presence = answer(&terminal.paste("presence"));
    assert_eq!((&presence["online"], &presence["sessions"][0]["surface"]), (&json!(true), &json!("raw")));
    let session = &client.welcome["data"]["details"]["connection_id"];
    assert_eq!(&presence["sessions"][0]["sessionId"], session, "the page compares these two");
    let room = answer(&terminal.paste("members"));
    assert_eq!(room["members"], json!([{"sessions": 1, "userId": "alice"}]), "{room}");
    assert_eq!(answer(&terminal.paste("push to the room"))["recipients"], 1);
    client.expect("test-room").await;
    client.subscribe(&["Lobby", "other"]).await;
    assert_eq!(sorted(&terminal.paste("similar rooms")), [r#""room":"Lobby""#, r#""room":"lobby""#]);
    let claims = terminal.paste("claims");
    let (claims, time) = claims.trim().split_once('\n').unwrap_or_else(|| panic!("{claims}"));
    let (claims, time) = (answer(claims), time.parse::<u64>().unwrap());
    assert!(claims["sub"] == "alice" && claims["exp"].as_u64().unwrap() > time, "{claims} {time}");
    assert!(terminal.paste("try the token").ends_with("}404\n"));

    let same = terminal.paste("the same hub");
    let (status, line) = same.trim().split_once("listening on ").unwrap_or_else(|| panic!("{same}"));
    assert_eq!((&answer(status)["connections"], &answer(status)["rooms"]), (&json!(1), &json!(3)), "{status}");
    let data = format!("data={}", hub.data().canonicalize().unwrap().display());
    assert!(line.starts_with(&format!("http://{}", hub.address())) && line.contains(&data), "{line}");
    assert!(terminal.paste("handshake").starts_with("HTTP/1.1 101 Switching Protocols"));
}

#[test]
fn a_user_without_a_connection_has_no_recipients_no_session_and_no_room() {
    let hub = first_start("");
    let terminal = HubTerminal::new(&hub, PAGE);
    assert_eq!(answer(&terminal.paste("push to the user"))["recipients"], 0);
    let presence = answer(&terminal.paste("presence"));
    assert_eq!((&presence["online"], &presence["sessions"]), (&json!(false), &json!([])), "{presence}");
    let room = answer(&terminal.paste("members"));
    assert_eq!((&room["code"], &room["error"]), (&json!("NOT_FOUND"), &json!("No such room")), "{room}");
    assert_eq!(answer(&terminal.paste("events of the user"))["events"], json!([]));
}

#[tokio::test]
async fn the_log_has_the_rule_that_refused_a_join() {
    let hub = first_start(RULES);
    let terminal = HubTerminal::new(&hub, PAGE);
    let token = alice(&hub, &json!({"topics": {"subscribe": ["staff.*", "lobby"]}}));
    let mut client = Client::connect(&hub, &token).await;
    let topics = json!({"topics": ["staff.a", "lobby", "news.a", "user:bob"]});
    client.ask(json!({"type": "Subscribe", "data": topics}), "Status").await;
    logged(&hub, "room=user:bob").await;
    let lines = terminal.paste("refusals of the user");
    for (room, rule) in [
        ("staff.a", "rule=\"topics \\\"staff.*\\\" subscribe\""),
        ("lobby", "rule=\"topics: no pattern matches\""),
        ("news.a", "rule=\"token topics.subscribe\""),
        ("user:bob", "rule=\"reserved user:\""),
    ] {
        let line = lines.lines().find(|line| line.contains(&format!("room={room} ")));
        assert!(line.is_some_and(|line| line.trim_end().ends_with(rule)), "{room} {rule}: {lines}");
    }
}

#[tokio::test]
async fn refused_tokens_and_ended_sessions_are_found_in_the_events_and_in_the_log() {
    let hub = first_start("");
    let terminal = HubTerminal::new(&hub, PAGE);
    let expired = alice(&hub, &json!({"exp": now() - 600}));
    let refused = terminal.paste_changed("handshake", "$TOKEN", &expired);
    assert!(refused.starts_with("HTTP/1.1 401 ") && refused.contains("x-request-id: "), "{refused}");
    logged(&hub, "TOKEN_EXPIRED").await;
    let found = terminal.paste("events of the address");
    let (events, lines) = found.split_once('\n').unwrap();
    let event = &answer(events)["events"][0];
    assert_eq!(event["details"], json!({"code": "TOKEN_EXPIRED", "surface": "raw"}), "{found}");
    assert_eq!((&event["userId"], lines.lines().count()), (&json!("alice"), 1), "{found}");
    let line = "1 surface=raw address=127.0.0.1 user=alice method=GET path=/ws code=TOKEN_EXPIRED \
                reason=\"The token has expired\" rule=\"token exp\"";
    assert_eq!(lines.trim(), line);

    let client = Client::connect(&hub, &terminal.value("TOKEN")).await;
    disconnect_alice(&hub, &terminal);
    drop(client);
    eventually(DEADLINE, "the disconnect is recorded", || {
        let events = answer(&terminal.paste("events of the user"))["events"].clone();
        events[0]["type"] == "disconnect" && events[0]["details"]["reason"] == "disconnected by the application"
    })
    .await;
    let counted = terminal.paste("reasons");
    assert_eq!(counted.trim(), "1 \"reason\":\"disconnected by the application\"");
    logged(&hub, "hubbub::audit").await;
    let changed = terminal.paste("changes of the user");
    assert!(changed.trim_end().ends_with(" address=127.0.0.1 key=default user=alice recipients=1"), "{changed}");
    assert!(changed.contains(" hubbub::audit: user disconnected requestId="), "{changed}");
}

#[tokio::test]
async fn a_chat_client_over_the_limit_of_its_address_is_found_by_the_address() {
    let hub = first_start("[limits]\nexempt_loopback = false\n[limits.chat]\nconnection_attempts = 1");
    let terminal = HubTerminal::new(&hub, PAGE);
    let auth = json!({"token": terminal.value("TOKEN")});
    let mut accepted = Sio::open(&hub, SioTransport::WebSocket).await;
    accepted.connect("/chat", &auth).await.unwrap();
    let refused = Sio::open(&hub, SioTransport::WebSocket).await.connect("/chat", &auth).await.unwrap_err();
    assert_eq!(refused["data"]["code"], "RATE_LIMITED", "{refused}");
    logged(&hub, "limits.chat.connection_attempts").await;
    let found = terminal.paste("events of the address");
    let (events, lines) = found.split_once('\n').unwrap();
    let event = &answer(events)["events"][0];
    assert_eq!((&event["type"], &event["userId"]), (&json!("rate_limit"), &json!(null)), "{found}");
    assert!(lines.trim().starts_with("1 surface=/chat address=127.0.0.1 code=RATE_LIMITED "), "{found}");
    assert!(lines.trim().ends_with(" rule=limits.chat.connection_attempts"), "{found}");
}

#[tokio::test]
async fn the_log_names_the_limit_that_closed_a_session() {
    let hub = first_start("[limits.raw]\nmessages_per_minute = 1");
    let mut client = Client::connect(&hub, &alice(&hub, &json!({}))).await;
    for _ in 0..11 {
        client.try_send(json!({"type": "Ping", "data": {"timestamp": 1}})).await;
    }
    logged(&hub, "close=4429").await;
    let output = hub.output();
    let line = output.lines().find(|line| line.contains("close=4429")).unwrap();
    assert!(line.contains(" user=alice ") && line.ends_with("rule=limits.raw.messages_per_minute"), "{line}");
}

/// The lines, sorted.
fn sorted(output: &str) -> Vec<&str> {
    let mut lines: Vec<_> = output.lines().collect();
    lines.sort_unstable();
    lines
}

#[tokio::test]
async fn the_refusals_of_a_user_are_found_by_any_id_and_not_by_a_similar_one() {
    let hub = first_start("");
    let ids = ["al+x@example.com", "auth0|abc", "Jo Doe", "tina"];
    for id in ids {
        let token = alice(&hub, &json!({"sub": id}));
        let mut client = Client::connect(&hub, &token).await;
        client.ask(json!({"type": "Subscribe", "data": {"topics": ["user:bob"]}}), "Status").await;
    }
    for id in ids {
        let user = if id.contains(' ') { format!("user=\"{id}\" ") } else { format!("user={id} ") };
        logged(&hub, &user).await;
        let found = HubTerminal::new(&hub, PAGE).paste_for("refusals of the user", id);
        assert!(found.lines().count() == 1 && found.contains(&user), "{id}: {found}");
    }
    for other in ["al.x@example.com", "auth0|ab", "Doe", "tin"] {
        assert_eq!(HubTerminal::new(&hub, PAGE).paste_for("refusals of the user", other), "", "{other}");
    }
}

#[tokio::test]
async fn a_log_in_json_is_searched_after_its_conversion() {
    debian_program("jq", "jq");
    let hub = first_start("[log]\nformat = \"json\"");
    let mut client = Client::connect(&hub, &alice(&hub, &json!({}))).await;
    let topics = json!({"topics": ["user:bob"]});
    client.ask(json!({"type": "Subscribe", "data": topics}), "Status").await;
    disconnect_alice(&hub, &HubTerminal::new(&hub, PAGE));
    logged(&hub, "user disconnected").await;
    logged(&hub, "\"close\":4403").await;
    std::fs::write(hub.dir().join("hubbub.json"), hub.output()).unwrap();
    let found = paste_in(hub.dir(), PAGE, &["names", "log from JSON", "refusals of the user", "changes of the user"]);
    let lines: Vec<_> = found.lines().collect();
    assert!(lines.len() == 3 && lines[0].contains(" INFO hubbub::refused: refused connection="), "{found}");
    assert!(lines[0].contains(" user=alice event=Subscribe room=user:bob code=FORBIDDEN "), "{found}");
    assert!(lines[2].contains(" hubbub::audit: user disconnected requestId="), "{found}");
}

#[test]
fn a_proxy_that_drops_the_upgrade_gets_426() {
    let hub = first_start("");
    let terminal = HubTerminal::new(&hub, PAGE);
    let refused = terminal.paste_changed("handshake", "-H \"Upgrade: websocket\" ", "");
    assert!(refused.starts_with("HTTP/1.1 426 ") && refused.contains("x-request-id: "), "{refused}");
}

#[tokio::test]
async fn a_page_of_an_unknown_origin_is_in_the_log() {
    let hub = first_start("");
    let terminal = HubTerminal::new(&hub, PAGE);
    let first = terminal.paste_changed("origin", "grep ", "true ");
    assert_eq!(first.trim(), r#"{"code":4,"message":"This origin is not allowed"}"#);
    logged(&hub, "rule=server.allowed_origins").await;
    assert!(terminal.paste("origin").contains(" origin=https://app.example.com code=FORBIDDEN "));
}

#[tokio::test]
async fn a_repeated_push_with_a_key_arrives_once() {
    let hub = first_start("");
    let terminal = HubTerminal::new(&hub, PAGE);
    let mut client = Client::connect(&hub, &terminal.value("TOKEN")).await;
    let output = terminal.paste("once");
    let (first, second) = output.split_at(output.len() / 2);
    assert_eq!((first, &answer(first)["recipients"]), (second, &json!(1)));
    client.expect("paid").await;
    client.expect_silence().await;
}

#[tokio::test]
async fn the_metrics_of_recoveries_queues_events_and_memory_are_shown() {
    let hub = first_start("");
    let terminal = HubTerminal::new(&hub, PAGE);
    let mut client = Sio::open(&hub, SioTransport::WebSocket).await;
    let unknown = json!({"token": terminal.value("TOKEN"), "pid": "unknown", "offset": "0"});
    client.connect("/", &unknown).await.unwrap();
    client.emit("room:join", json!({"room": "lobby"})).await;
    eventually(DEADLINE, "the client is in the room", || hub.metric("hubbub_rooms") == 1.0).await;
    let recoveries = terminal.paste("recoveries");
    assert!(recoveries.contains("hubbub_sessions_not_recovered_total 1\n"), "{recoveries}");
    assert_eq!(recoveries.lines().count(), 6, "{recoveries}");
    let slow = terminal.paste("slow");
    for series in
        ["hubbub_mailbox_depth{actor=\"store", "hubbub_overloads_total 0", "hubbub_delivery_latency_seconds_sum"]
    {
        assert!(slow.contains(series), "{series}: {slow}");
    }
    let busy = terminal.paste("busy");
    assert!(busy.contains("socket_server_events_total{event=\"room:join\"} 1"), "{busy}");
    let memory = terminal.paste("memory");
    assert!(memory.contains("hubbub_rooms 1\n") && memory.contains("websocket_connections_active 1\n"), "{memory}");
    assert_eq!(memory.lines().count(), 9, "{memory}");
}

#[tokio::test]
async fn a_reload_logs_the_sessions_that_follow() {
    let hub = first_start("[log]\nlevel = \"info\"");
    let terminal = HubTerminal::new(&hub, PAGE);
    std::fs::write(hub.dir().join("config.toml"), "[log]\nlevel = \"info,hubbub::session=debug\"").unwrap();
    terminal.paste("debug");
    logged(&hub, "reloaded changed=log.level").await;
    drop(Client::connect(&hub, &terminal.value("TOKEN")).await);
    logged(&hub, "hubbub::session: disconnected ").await;
    let output = hub.output();
    let line = output.lines().find(|line| line.contains("hubbub::session: disconnected ")).unwrap();
    assert!(line.contains(" user=alice ") && line.contains(" reason=\"connection lost\" durationMs="), "{line}");
}

#[test]
fn the_time_of_the_hub_is_shown_beside_the_own() {
    let hub = first_start("");
    let output = HubTerminal::new(&hub, PAGE).paste("clock");
    assert!(output.lines().count() == 2 && output.to_lowercase().starts_with("date: "), "{output}");
}

#[test]
fn a_hub_that_is_not_ready_reports_the_reason() {
    let hub = Hub::unready("[auth]\nalgorithm = \"RS256\"\njwks = \"http://127.0.0.1:1/keys\"");
    let output = answer(&HubTerminal::new(&hub, PAGE).paste("ready"));
    let reason = (&output["status"], &output["reason"]);
    assert_eq!(reason, (&json!("not ready"), &json!("auth.jwks is not loaded yet")), "{output}");
}
