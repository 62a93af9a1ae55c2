//! docs/backup.md: its commands copy a running hub and restore the copy, and the data of the copy are there.

use serde_json::{Value, json};

use super::paste::{HubTerminal, first_start, paste_in};
use crate::support::chat_client::{ChatClient, ChatTransport};
use crate::support::{Client, Hub, tools};

const PAGE: &str = "backup";

/// Topics with a history.
const CONFIG: &str = "[[topics]]\npattern = \"*\"\nhistory = 10\n";

/// Sends a request with the key that the hub made; the body of the response, which must be a success.
#[track_caller]
fn api(hub: &Hub, method: &str, path: &str, body: &Value) -> Value {
    let key = std::fs::read_to_string(hub.data().join("api.key")).unwrap();
    let http = hub.http();
    let request = http.request(method, path).header("X-API-Key", key.trim());
    let answer = if body.is_null() { request.send() } else { request.json(body).send() };
    assert!(answer.status < 300, "{method} {path}: {answer:?}");
    answer.json()
}

/// A hub on the data of a hub that has stopped, with the configuration that is there.
#[track_caller]
fn start_again(dir: tempfile::TempDir) -> Hub {
    let hub = Hub::without_config_flag(dir, "");
    hub.wait_ready();
    hub
}

/// A token of zoe, by the command line.
#[track_caller]
fn token(hub: &Hub) -> String {
    let printed = super::paste::shell(hub.dir(), "hubbub token --user zoe");
    assert_eq!(printed.status, Some(0), "{printed:?}");
    printed.stdout.trim().to_owned()
}

#[track_caller]
fn sign_in(hub: &Hub) -> u16 {
    hub.http().post("/sessions", &json!({"username": "zoe", "password": "correct horse battery"})).status
}

#[tokio::test]
async fn a_restored_backup_has_the_accounts_chats_messages_and_notifications() {
    tools::debian_program("sqlite3", "sqlite3");
    let hub = first_start(CONFIG);
    api(&hub, "POST", "/api/users", &json!({"username": "zoe", "password": "correct horse battery"}));
    api(&hub, "PUT", "/api/chats/team", &json!({"name": "Team", "participants": ["zoe"]}));
    let note = json!({"userId": "zoe", "event": "notification", "data": {"id": "n1", "title": "kept"}});
    api(&hub, "POST", "/api/push", &note);
    let mut zoe = ChatClient::with_token(&hub, ChatTransport::WebSocket, &token(&hub)).await;
    zoe.request("join:chat", json!({"chatId": "team"})).await;
    zoe.request("message:send", json!({"chatId": "team", "content": "before the backup"})).await;

    let terminal = HubTerminal::new(&hub, PAGE);
    terminal.paste("backup");
    let verified = terminal.paste("verify");
    assert!(verified.starts_with("ok\n2 chats\nzoe\tuser_"), "{verified}");
    assert_eq!(terminal.paste("schema").trim(), "9", "correct the number in the refusal of the page, too");

    // The rest is lost with the disk.
    zoe.request("message:send", json!({"chatId": "team", "content": "after the backup"})).await;
    api(&hub, "DELETE", "/api/chats/team", &Value::Null);
    drop(zoe);
    let dir = hub.shut_down();
    let checked = paste_in(dir.path(), PAGE, &["names", "restore"]);
    assert!(checked.contains("store: ok, data/hubbub.db can be opened"), "{checked}");

    let hub = start_again(dir);
    let looked = HubTerminal::new(&hub, PAGE).paste("look");
    let lines: Vec<_> = looked.lines().collect();
    assert!(lines[0].starts_with(r#"{"status":"ready""#), "{looked}");
    let chat: Value = serde_json::from_str(lines[1]).unwrap();
    assert_eq!((&chat["chat"]["name"], &chat["chat"]["participants"]), (&json!("Team"), &json!(["zoe"])), "{looked}");
    assert!(lines[2].starts_with("zoe\tuser_") && lines[2].ends_with("\tactive"), "{looked}");
    assert_eq!(sign_in(&hub), 200);
    let mut client = Client::connect(&hub, &token(&hub)).await;
    assert_eq!(client.expect("notification").await["data"]["title"], "kept");
    let mut zoe = ChatClient::with_token(&hub, ChatTransport::WebSocket, &token(&hub)).await;
    zoe.request("join:chat", json!({"chatId": "team"})).await;
    let history = zoe.request("message:history", json!({"chatId": "team"})).await;
    let messages = history["messages"].as_array().unwrap();
    let contents: Vec<_> = messages.iter().map(|message| &message["content"]).collect();
    assert_eq!(contents, ["before the backup"]);
}

#[test]
fn a_backup_has_the_secrets_where_they_are() {
    tools::debian_program("sqlite3", "sqlite3");
    let hub = Hub::start();
    std::fs::write(hub.dir().join("hubbub.env"), "HUBBUB_LOG__LEVEL=info\n").unwrap();
    let terminal = HubTerminal::new(&hub, PAGE);
    terminal.paste("backup");
    let copy = hub.dir().join(terminal.value("BACKUP"));
    let mut copied: Vec<_> = std::fs::read_dir(copy).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    copied.sort();
    assert_eq!(copied, ["config.toml", "hubbub.db", "hubbub.env"], "both secrets are in the configuration");

    let dir = hub.shut_down();
    let checked = paste_in(dir.path(), PAGE, &["names", "restore"]);
    assert!(checked.contains("store: ok"), "{checked}");
}

/// Publishes once, and returns the epoch and the offset of the topic after that.
async fn publish(hub: &Hub) -> (String, u64) {
    api(hub, "POST", "/api/room", &json!({"room": "news", "event": "e", "data": {}}));
    let status = Client::connect(hub, &token(hub)).await.subscribe(&["news"]).await;
    let position = &status["data"]["details"]["positions"]["news"];
    (position["epoch"].as_str().unwrap().to_owned(), position["offset"].as_u64().unwrap())
}

#[tokio::test]
async fn a_used_copy_of_a_stopped_hub_starts_new_epochs_once_it_is_marked() {
    let hub = first_start(CONFIG);
    let (epoch, _) = publish(&hub).await;
    let dir = hub.shut_down();
    let copy = tempfile::tempdir().unwrap();
    let copied = super::paste::shell(dir.path(), &format!("cp -a . '{}'", copy.path().display()));
    assert_eq!(copied.status, Some(0), "{copied:?}");
    // A hub runs on the original data, and continues the topic.
    let hub = start_again(dir);
    assert_eq!(publish(&hub).await, (epoch.clone(), 2));
    hub.shut_down();

    paste_in(copy.path(), PAGE, &["names", "used"]);
    let (later, offset) = publish(&start_again(copy)).await;
    assert!(later != epoch && offset == 1, "{later} {offset}: the offset 2 of {epoch} is given once");
}
