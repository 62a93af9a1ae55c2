//! A start on a full disk, and files that are removed or replaced while the hub runs.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use serde_json::json;

use crate::support::account::{PASSWORD, UNLIMITED, add_user, sign_in, user, user_command};
use crate::support::chat_client::{ChatClient, ChatTransport};
use crate::support::hub::configuration;
use crate::support::run::{FULL_DISK, hubbub_after};
use crate::support::token::token;
use crate::support::{Client, DEADLINE, Hub, Wire, eventually, wait_until};

/// A directory with this configuration.
fn dir(config: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.toml"), configuration(config)).unwrap();
    dir
}

fn reason(hub: &Hub) -> Option<String> {
    let ready = hub.get("/health/ready");
    (ready.status != 200).then(|| ready.json()["reason"].as_str().unwrap().to_owned())
}

/// The status of an upgrade with this token.
async fn upgrade(hub: &Hub, token: &str) -> u16 {
    Wire::upgrade(hub, "/ws", &[("Authorization", &format!("Bearer {token}"))]).await.0.status
}

/// Log lines that report an unwritable store.
fn store_errors(hub: &Hub) -> usize {
    hub.output().lines().filter(|line| line.contains("ERROR") && line.contains("the store cannot write")).count()
}

#[track_caller]
fn assert_no_store(hub: &Hub) {
    let refused = add_user(&hub.http(), &json!({"username": "nobody", "password": PASSWORD}));
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("STORE_UNAVAILABLE")), "{refused:?}");
}

#[tokio::test]
async fn a_hub_on_a_full_disk_delivers_events_and_opens_its_store_once_there_is_space() {
    let hub = Hub::on_full_disk(dir(UNLIMITED));
    let why = reason(&hub).unwrap();
    assert!(why.starts_with("Store: hubbub.db: the disk is full"), "{why}");
    let health = hub.get("/health");
    assert_eq!((health.status, &health.json()["store"]["status"]), (200, &json!("unavailable")), "{health:?}");
    assert_eq!(hub.metric("hubbub_ready"), 0.0);

    let (mut alice, mut bob) = (Client::of(&hub, "alice").await, Client::of(&hub, "bob").await);
    alice.subscribe(&["lobby"]).await;
    bob.broadcast("lobby", json!("still here")).await;
    assert_eq!(alice.expect("Broadcast").await["data"]["payload"], "still here");
    let mut dave = ChatClient::of(&hub, ChatTransport::Raw, "dave").await;
    dave.join("general").await;
    let pushed = json!({"room": "lobby", "event": "news", "data": 1});
    let pushed = hub.http().request("POST", "/api/room").key().json(&pushed).send();
    assert_eq!((pushed.status, &pushed.json()["recipients"]), (200, &json!(1)));
    alice.expect("news").await;
    assert_no_store(&hub);
    let signing_in = json!({"username": "carol", "password": PASSWORD});
    assert!(hub.http().request("POST", "/sessions").json(&signing_in).send().status >= 400);
    assert_eq!(store_errors(&hub), 1, "{}", hub.output());

    hub.lift_file_limit();
    eventually(DEADLINE, "the store is opened", || reason(&hub).is_none()).await;
    user(&hub, "carol");
    sign_in(&hub, "carol");
    let chat = hub.http().request("GET", "/api/chats/general").key().send();
    assert_eq!((chat.status, &chat.json()["chat"]["name"]), (200, &json!("General")), "{chat:?}");
    bob.broadcast("lobby", json!("and now")).await;
    assert_eq!(alice.expect("Broadcast").await["data"]["payload"], "and now");
    hub.shut_down();
}

#[tokio::test]
async fn a_full_disk_does_not_hide_the_content_of_the_store() {
    let history = "[[topics]]\npattern = \"*\"\nsubscribe = \"anyone\"\npublish = \"authenticated\"\nhistory = 5\n";
    let config = format!("{UNLIMITED}\n{history}");
    let hub = Hub::with(&config);
    user(&hub, "carol");
    let signed_in = sign_in(&hub, "carol");
    let mut bob = Client::of(&hub, "bob").await;
    bob.broadcast("lobby", json!(1)).await;
    let revoked = hub.http().request("POST", "/api/revoke").key().json(&json!({"userId": "mallory"})).send();
    assert_eq!(revoked.status, 200, "{revoked:?}");
    let mallory = token("mallory");
    drop(bob);

    let history = |hub: &Hub| {
        let page = hub.http().request("GET", "/api/rooms/lobby/history").key().send();
        if page.status == 200 { page.json()["messages"].as_array().map_or(0, Vec::len) } else { 0 }
    };
    let hub = Hub::on_full_disk(hub.shut_down());
    assert!(reason(&hub).unwrap().contains("the disk is full"));
    assert_eq!(upgrade(&hub, &mallory).await, 401, "the token was revoked before the start");
    assert_eq!(upgrade(&hub, &signed_in.access).await, 101);
    assert_eq!(history(&hub), 1);
    assert_no_store(&hub);
    let ended = user_command(&hub, &["list"], "");
    assert_eq!(ended.status, Some(0), "reading needs no space: {ended:?}");

    // The history could not be removed from the store. It is not loaded again: newer messages may be missing in it.
    let hub = Hub::in_dir(hub.shut_down());
    assert_eq!(history(&hub), 0);
    assert_eq!(upgrade(&hub, &mallory).await, 401);
    sign_in(&hub, "carol");
}

#[tokio::test]
async fn a_store_that_opens_but_cannot_be_written_does_not_stop_the_start() {
    let mut hub = Hub::with(UNLIMITED);
    let revoked = hub.http().request("POST", "/api/revoke").key().json(&json!({"userId": "mallory"})).send();
    assert_eq!(revoked.status, 200, "{revoked:?}");
    // After a crash all files of SQLite exist, and opening needs no more space.
    hub.signal("KILL");
    hub.exit_status(DEADLINE);
    let hub = Hub::on_full_disk(hub.into_dir());
    assert!(reason(&hub).unwrap().starts_with("Store: "));
    assert_eq!(upgrade(&hub, &token("mallory")).await, 401);
    let mut dave = ChatClient::of(&hub, ChatTransport::Raw, "dave").await;
    dave.join("general").await;
    let mut alice = Client::of(&hub, "alice").await;
    alice.subscribe(&["lobby"]).await;
    assert_no_store(&hub);
    assert_eq!(store_errors(&hub), 1, "{}", hub.output());
    hub.lift_file_limit();
    eventually(DEADLINE, "the store is written", || reason(&hub).is_none()).await;
    user(&hub, "carol");
    alice.close().await;
    hub.shut_down();
}

#[tokio::test]
async fn no_token_is_accepted_while_the_revocations_are_unknown() {
    let dir = Hub::with(UNLIMITED).shut_down();
    // A file of an earlier version must be migrated before it can be read. Migration needs space.
    let database = Connection::open(dir.path().join("data/hubbub.db")).unwrap();
    let version: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 9, "undo here what the newest migration does");
    let undo = "DROP TABLE suspended_sessions; DROP TABLE log_head; DROP TABLE log_rooms; DROP TABLE log_segments;
                CREATE TABLE parked (a); CREATE TABLE parked_deliveries (a); PRAGMA user_version = 8";
    database.execute_batch(undo).unwrap();
    database.close().unwrap();

    let hub = Hub::on_full_disk(dir);
    assert_eq!(upgrade(&hub, &token("alice")).await, 503);
    let pushed = json!({"room": "lobby", "event": "news", "data": 1});
    assert_eq!(hub.http().request("POST", "/api/room").key().json(&pushed).send().status, 200);
    hub.lift_file_limit();
    eventually(DEADLINE, "the store is migrated", || reason(&hub).is_none()).await;
    Client::of(&hub, "alice").await;
}

#[test]
fn a_secret_that_cannot_be_written_stops_the_start_and_names_the_key_to_set() {
    for (config, key) in [
        ("[server]\nport = 0\n[[api.keys]]\nname = \"a\"\nkey = \"b\"", "auth.jwt_secret"),
        ("[server]\nport = 0\n[auth]\njwt_secret = \"0123456789abcdef\"", "[[api.keys]]"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.toml"), config).unwrap();
        let ended = hubbub_after(dir.path(), FULL_DISK).output().unwrap();
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{stderr}");
        let last = stderr.lines().last().unwrap();
        assert!(last.starts_with("hubbub: data/") && last.contains(&format!("set {key} instead")), "{stderr}");
        // The log is on the same disk: no line can be written, and the hub does not crash.
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let status = hubbub_after(dir.path(), FULL_DISK).stderr(log).status().unwrap();
        assert_eq!(status.code(), Some(1));
    }
}

fn move_to(from: &Path, to: &Path) {
    fs::rename(from, to).unwrap();
}

#[tokio::test]
async fn a_removed_database_refuses_writes_until_it_is_back() {
    let hub = Hub::with(UNLIMITED);
    user(&hub, "alice");
    let (mut alice, mut bob) = (Client::of(&hub, "alice").await, Client::of(&hub, "bob").await);
    alice.subscribe(&["lobby"]).await;
    let (file, aside) = (hub.data().join("hubbub.db"), hub.dir().join("aside"));

    // The first write is refused, also before the next check of the file.
    move_to(&file, &aside);
    assert_no_store(&hub);
    assert!(reason(&hub).unwrap().contains("hubbub.db was removed while the hub runs"));
    bob.broadcast("lobby", json!("still here")).await;
    assert_eq!(alice.expect("Broadcast").await["data"]["payload"], "still here");
    assert_eq!(store_errors(&hub), 1);
    move_to(&aside, &file);
    eventually(DEADLINE, "the file is back", || reason(&hub).is_none()).await;
    user(&hub, "carol");

    // Another file replaces it, without any write.
    move_to(&file, &aside);
    fs::copy(&aside, &file).unwrap();
    eventually(DEADLINE, "the file is another one", || reason(&hub).is_some()).await;
    assert!(reason(&hub).unwrap().contains("hubbub.db was replaced while the hub runs; restart the hub"));
    assert_no_store(&hub);
    move_to(&aside, &file);
    eventually(DEADLINE, "the file is back", || reason(&hub).is_none()).await;

    // The whole data directory is moved.
    let (directory, aside) = (hub.data(), hub.dir().join("elsewhere"));
    move_to(&directory, &aside);
    eventually(DEADLINE, "the directory is missing", || reason(&hub).is_some()).await;
    assert_no_store(&hub);
    move_to(&aside, &directory);
    wait_until(DEADLINE, "the data directory is back", || reason(&hub).is_none());
    sign_in(&hub, "carol");
}
