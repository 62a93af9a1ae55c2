//! docs/security.md: keys and secrets are replaced by its commands, and users can do what it says.

use std::collections::BTreeSet;

use serde_json::json;

use super::paste::{first_start, paste_in, shell};
use crate::support::blocks::{block, page};
use crate::support::{Client, DEADLINE, Hub, eventually};

const PAGE: &str = "security";

/// Pastes a block of the page beside the hub, and waits for the reload that it causes.
async fn paste_and_reload(hub: &Hub, name: &str, changed: &str) {
    let before = hub.output().len();
    let script = format!("HUB_PID={}\n{}", hub.pid(), block(PAGE, name).text);
    let ended = shell(hub.dir(), &script);
    assert_eq!(ended.status, Some(0), "{name}: {ended:?}");
    let reloaded =
        || hub.output()[before..].lines().any(|line| line.contains("reloaded changed=") && line.contains(changed));
    eventually(DEADLINE, "the hub reloads", reloaded).await;
}

/// The status of a request with this key.
#[track_caller]
fn status(hub: &Hub, key: &str) -> u16 {
    hub.http().request("GET", "/api/status").header("X-API-Key", key).send().status
}

/// A token of alice, by the command line.
#[track_caller]
fn token(hub: &Hub) -> String {
    shell(hub.dir(), "hubbub token --user alice").stdout.trim().to_owned()
}

/// Whether the hub accepts this token for a connection.
async fn accepts(hub: &Hub, token: &str) -> bool {
    let headers = [("Authorization", format!("Bearer {token}"))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    crate::support::Wire::upgrade(hub, "/ws", &headers).await.0.status == 101
}

#[tokio::test]
async fn an_api_key_is_replaced_while_both_keys_work() {
    let hub = first_start("# The configuration.\n");
    let first = std::fs::read_to_string(hub.data().join("api.key")).unwrap();
    paste_in(hub.dir(), PAGE, &["keep the first key"]);
    paste_and_reload(&hub, "add a key", "api.keys").await;
    let printed = std::fs::read_to_string(hub.dir().join("new.key")).unwrap();
    let second = printed.lines().find_map(|line| line.strip_prefix("key: ")).unwrap();
    assert_eq!((status(&hub, first.trim()), status(&hub, second)), (200, 200));

    let config = std::fs::read_to_string(hub.dir().join("config.toml")).unwrap();
    let entries: Vec<_> = config.split("[[api.keys]]").collect();
    assert_eq!(entries.len(), 3, "{config}");
    std::fs::write(hub.dir().join("config.toml"), format!("[[api.keys]]{}", entries[2])).unwrap();
    std::fs::remove_file(hub.data().join("api.key")).unwrap();
    hub.sighup();
    assert_eq!((status(&hub, first.trim()), status(&hub, second)), (401, 200));
}

#[tokio::test]
async fn a_new_jwt_secret_refuses_old_tokens_keeps_sessions_and_refreshes() {
    let hub = first_start("");
    let add = "printf 'correct horse battery\\n' | hubbub user add zoe";
    assert_eq!(shell(hub.dir(), add).status, Some(0));
    let password = json!({"username": "zoe", "password": "correct horse battery"});
    let signed_in = hub.http().post("/sessions", &password).json();
    let old = token(&hub);
    let mut connected = Client::connect(&hub, &old).await;

    paste_and_reload(&hub, "replace the JWT secret", "auth.jwt_secret").await;
    assert!(!accepts(&hub, &old).await, "a token of the old secret");
    assert!(accepts(&hub, &token(&hub)).await, "a token of the new secret");
    connected.subscribe(&["lobby"]).await;
    let refresh = json!({"refresh_token": signed_in["refresh_token"]});
    let refreshed = hub.http().post("/sessions/refresh", &refresh).json();
    assert!(accepts(&hub, refreshed["access_token"].as_str().unwrap()).await, "{refreshed}");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&hub.data().join("jwt.secret").metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn users_join_topics_and_threads_and_no_room_of_another_user() {
    let hub = first_start("");
    let mut client = Client::connect(&hub, &token(&hub)).await;
    let topics = json!({"topics": ["lobby", "thread:1", "user:bob", "chat:private"]});
    let answer = client.ask(json!({"type": "Subscribe", "data": topics}), "Status").await;
    let details = &answer["data"]["details"];
    assert_eq!(details["topics"], json!(["lobby", "thread:1"]), "{answer}");
    assert_eq!(details["denied"][0], json!({"topic": "user:bob", "code": "FORBIDDEN"}), "{answer}");
    let publish = json!({"type": "Broadcast", "data": {"topic": "thread:1", "payload": 1}});
    assert_eq!(client.ask(publish, "Error").await["data"]["code"], "FORBIDDEN");
}

#[test]
fn an_anonymous_client_reads_the_endpoints_that_the_page_names_and_no_others() {
    let page = page(PAGE);
    let named = paths_between(&page, "| **Anonymous clients** | read ", ";");
    let mut kept_inside = paths_between(&page, "Keep ", " inside");
    assert!(kept_inside.remove("/api"));
    assert_eq!(named, kept_inside);

    let hub = first_start("");
    let mut read = BTreeSet::new();
    for route in hubbub::api::described().into_iter().filter(|route| route.method == "GET") {
        let status = hub.get(&route.path.replace(['{', '}'], "")).status;
        let expected = match (route.scope, route.path.as_str()) {
            (Some(_), _) => 401,
            (None, "/ws") => 426,
            (None, _) => 200,
        };
        assert_eq!(status, expected, "{}", route.path);
        if status == 200 {
            // `/health` names `/health/live` too.
            read.insert(format!("/{}", route.path.split('/').nth(1).unwrap_or_default()));
        }
    }
    assert_eq!(read, named);
}

/// The paths that the page names in this part.
#[track_caller]
fn paths_between(page: &str, start: &str, end: &str) -> BTreeSet<String> {
    let part = page.split_once(start).unwrap().1.split_once(end).unwrap().0;
    part.split('`').filter(|text| text.starts_with('/')).map(str::to_owned).collect()
}
