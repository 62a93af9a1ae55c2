//! The store survives crashes, protects its files, and reports damage; and the hub works without it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::json;

use crate::support::account::{PASSWORD, UNLIMITED, add_user, sign_in, user, user_command};
use crate::support::run::{CommandOutput, run};
use crate::support::{Client, DEADLINE, Hub, eventually, wait_until};

/// Number of kills.
const KILLS: usize = 20;
/// Concurrent writers.
const WRITERS: usize = 4;
/// Accounts that are created before each kill.
const BEFORE_A_KILL: usize = 4;

fn database(hub: &Hub) -> Connection {
    Connection::open(hub.data().join("hubbub.db")).unwrap()
}

/// Fails unless the start failed and the last line contains these texts.
#[track_caller]
fn assert_refused(ended: &CommandOutput, texts: &[&str]) {
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("hubbub: "), "{ended:?}");
    for text in texts {
        assert!(last.contains(text), "{text} is not in {last}");
    }
}

/// Kills the hub, changes its files, and starts it again. The start must fail.
#[track_caller]
fn start_on(mut hub: Hub, change: impl FnOnce(&std::path::Path)) -> CommandOutput {
    hub.signal("KILL");
    hub.exit_status(DEADLINE);
    change(&hub.data());
    run(hub.dir(), &[])
}

#[test]
fn every_acknowledged_account_survives_twenty_kills_and_no_account_is_incomplete() {
    let mut hub = Hub::with(UNLIMITED);
    let answered = Mutex::new(Vec::new());
    let requested = AtomicUsize::new(0);
    for kill in 0..KILLS {
        let before = answered.lock().unwrap().len();
        thread::scope(|scope| {
            for _ in 0..WRITERS {
                let (http, answered, requested) = (hub.http(), &answered, &requested);
                scope.spawn(move || {
                    loop {
                        let name = format!("user-{}", requested.fetch_add(1, Ordering::Relaxed));
                        let body = json!({"username": name, "password": PASSWORD, "roles": ["a", "b"]});
                        let request = http.request("POST", "/api/users").key().json(&body);
                        // No response: the hub is gone.
                        let Some(answer) = request.try_send() else { return };
                        assert_eq!(answer.status, 201, "{answer:?}");
                        answered.lock().unwrap().push(name);
                    }
                });
            }
            wait_until(DEADLINE, "accounts are created", || answered.lock().unwrap().len() >= before + BEFORE_A_KILL);
            hub.signal("KILL");
        });
        hub = hub.restart();
        let listed = user_command(&hub, &["list"], "");
        assert_eq!(listed.status, Some(0), "after kill {kill}: {listed:?}");
        let mut stored = Vec::new();
        for line in listed.stdout.lines() {
            let [name, id, roles, state] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
            assert!(id.starts_with("user_") && (roles, state) == ("a,b", "active"), "{line:?}");
            stored.push(name.to_owned());
        }
        let answered = answered.lock().unwrap();
        let lost: Vec<_> = answered.iter().filter(|name| !stored.contains(name)).collect();
        assert!(lost.is_empty(), "lost at kill {kill}: {lost:?}");
        assert!(stored.len() <= requested.load(Ordering::Relaxed));
        sign_in(&hub, answered.last().unwrap());
    }
}

#[test]
fn only_the_owner_can_read_the_files() {
    let hub = Hub::start();
    user(&hub, "alice");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&hub.data()), 0o700);
    let files: Vec<_> = fs::read_dir(hub.data()).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.iter().any(|file| file.ends_with("hubbub.db")), "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{file:?}");
    }
}

#[test]
fn a_file_that_others_can_read_causes_a_warning() {
    let mut hub = Hub::start();
    hub.signal("KILL");
    hub.exit_status(DEADLINE);
    fs::set_permissions(hub.data().join("hubbub.db"), fs::Permissions::from_mode(0o644)).unwrap();
    let hub = hub.restart();
    assert!(hub.output().contains("other users may read data/hubbub.db; chmod 600 it"), "{}", hub.output());
}

#[test]
fn passwords_and_refresh_tokens_are_stored_only_as_hashes() {
    let hub = Hub::start();
    user(&hub, "alice");
    let signed_in = sign_in(&hub, "alice");
    for file in fs::read_dir(hub.data()).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!has(PASSWORD) && !has(&signed_in.refresh) && !has(&signed_in.access));
    }
}

#[test]
fn two_hubs_do_not_share_a_data_directory() {
    let hub = Hub::start();
    assert_refused(&run(hub.dir(), &[]), &["hubbub.lock", "another hub uses this data directory"]);
    user(&hub, "alice");
}

#[test]
fn a_file_of_a_later_version_stops_the_start() {
    let ended = start_on(Hub::start(), |data| {
        let database = Connection::open(data.join("hubbub.db")).unwrap();
        database.pragma_update(None, "user_version", 9_000).unwrap();
    });
    assert_refused(&ended, &["hubbub.db", "later version", "9000"]);
}

#[test]
fn a_damaged_file_stops_the_start() {
    let ended = start_on(Hub::start(), |data| {
        for file in ["hubbub.db-wal", "hubbub.db-shm"] {
            fs::remove_file(data.join(file)).unwrap();
        }
        fs::write(data.join("hubbub.db"), "no database, but a text of some length ".repeat(200)).unwrap();
    });
    assert_refused(&ended, &["hubbub.db", "damaged"]);
}

#[test]
fn a_file_locked_by_another_program_stops_the_start() {
    let mut holder = None;
    let ended = start_on(Hub::start(), |data| {
        let database = Connection::open(data.join("hubbub.db")).unwrap();
        database.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
        holder = Some(database);
    });
    assert_refused(&ended, &["hubbub.db", "locked by another program"]);
}

#[tokio::test]
async fn an_unwritable_store_is_reported_and_realtime_delivery_continues() {
    let hub = Hub::with(UNLIMITED);
    user(&hub, "alice");
    let signed_in = sign_in(&hub, "alice");
    let mut alice = Client::connect(&hub, &signed_in.access).await;
    alice.subscribe(&["lobby"]).await;
    let blocker = database(&hub);
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();

    let refused = add_user(&hub.http(), &json!({"username": "bob", "password": PASSWORD}));
    let mut body = refused.json();
    assert!(body["requestId"].take().is_string());
    assert_eq!(
        (refused.status, body),
        (
            503,
            json!({
                "success": false,
                "error": "The store is unavailable; try again",
                "code": "STORE_UNAVAILABLE",
                "retryAfter": 1,
                "requestId": null,
            })
        )
    );
    assert_eq!(refused.header("Retry-After"), Some("1"));
    let ready = hub.get("/health/ready");
    assert_eq!(ready.status, 503);
    let reason = ready.json()["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("Store: the file is locked by another program"), "{reason}");
    assert_eq!(hub.get("/status").json()["database"]["status"], "unavailable");
    assert_eq!(hub.get("/status").json()["status"], "degraded");
    assert_eq!(hub.metric("hubbub_ready"), 0.0);
    assert!(hub.metric("hubbub_store_failures_total") >= 1.0);
    assert_eq!(hub.get("/health").status, 200, "connected clients are served");

    let mut bob = Client::of(&hub, "bob").await;
    bob.broadcast("lobby", json!("still here")).await;
    assert_eq!(alice.expect("Broadcast").await["data"]["payload"], "still here");
    let pushed = json!({"room": "lobby", "event": "news", "data": 1});
    let pushed = hub.http().request("POST", "/api/room").key().json(&pushed).send();
    assert_eq!((pushed.status, &pushed.json()["recipients"]), (200, &json!(1)));

    blocker.execute_batch("ROLLBACK").unwrap();
    eventually(DEADLINE, "the store writes again", || hub.get("/health/ready").status == 200).await;
    user(&hub, "bob");
    assert_eq!(hub.get("/status").json()["database"]["status"], "connected");
}

#[test]
fn a_shutdown_leaves_one_database_file() {
    let mut hub = Hub::start();
    user(&hub, "alice");
    hub.signal("TERM");
    assert_eq!(hub.exit_status(Duration::from_secs(15)), Some(0));
    assert!(!hub.data().join("hubbub.db-wal").exists());
    let hub = hub.restart();
    sign_in(&hub, "alice");
}
