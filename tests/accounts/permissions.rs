//! The permissions of accounts: granted by the command line and over HTTP, present in the tokens of a sign-in, and revoked.
//! And the hashes of passwords when their cost changes.

use crate::support::{Sio, SioTransport, eventually};

use super::*;

const REQUIRED: &str = "[auth]\nrequired_permissions = [\"connect\", \"realtime\"]";

#[tokio::test]
async fn an_account_with_the_required_permissions_connects_on_every_surface() {
    let hub = Hub::with(REQUIRED);
    let args = ["add", "alice", "--permission", "connect", "--role", "admin", "--permission", "realtime"];
    let added = user_command(&hub, &args, PASSWORD);
    let signed_in = sign_in(&hub, "alice");
    let id = signed_in.body["user"]["id"].as_str().unwrap();
    assert_eq!(added.stdout, format!("alice\t{id}\tadmin\tactive\tconnect,realtime\n"), "{added:?}");
    assert_eq!(user_command(&hub, &["list"], "").stdout, added.stdout);
    let permissions = json!(["connect", "realtime"]);
    let user = json!({"id": id, "username": "alice", "roles": ["admin"], "permissions": permissions});
    assert_eq!(signed_in.body["user"], user);

    Client::connect(&hub, &signed_in.access).await;
    Sio::with_token(&hub, SioTransport::Polling, &signed_in.access).await;
    let mut guest = Sio::guest(&hub, SioTransport::WebSocket).await;
    let known = guest.emit_and_expect("authenticated", "authenticate", json!({"token": signed_in.access})).await;
    assert_eq!(known["permissions"], permissions);
    let mut chat = Sio::open(&hub, SioTransport::WebSocket).await;
    chat.connect("/chat", &json!({"token": signed_in.access})).await.unwrap();
    let refreshed = refresh(&hub, &signed_in.refresh).json();
    Client::connect(&hub, refreshed["access_token"].as_str().unwrap()).await;

    let new = json!({"username": "bob", "password": PASSWORD, "permissions": ["realtime", "connect", "connect"]});
    let answer = add_user(&hub.http(), &new);
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.json()["user"]["permissions"], json!(["realtime", "connect"]));
    Client::connect(&hub, &sign_in(&hub, "bob").access).await;
    let is_logged = |line: &str| line.contains("account created") && line.contains("permissions=realtime,connect");
    eventually(DEADLINE, "the change is logged", || hub.output().lines().any(is_logged)).await;

    for (permissions, field) in [(json!(["a\n"]), "permissions[0]"), (json!("connect"), "permissions")] {
        let new = json!({"username": "eve", "password": PASSWORD, "permissions": permissions});
        let answer = add_user(&hub.http(), &new);
        assert_eq!((answer.status, &answer.json()["details"]["field"]), (400, &json!(field)), "{answer:?}");
    }
}

#[tokio::test]
async fn an_account_gets_permissions_with_its_next_token_and_loses_them_at_once() {
    let hub = Hub::with(REQUIRED);
    user(&hub, "alice");
    let before = sign_in(&hub, "alice");
    assert_eq!(upgrade(&hub, &before.access).await.status, 403);
    let id = before.body["user"]["id"].as_str().unwrap();
    let change = |args: &[&str]| user_command(&hub, &[&["change", "ALICE"], args].concat(), "");
    let given = change(&["--add-permission", "connect", "--add-permission", "realtime", "--add-role", "editor"]);
    assert_eq!(given.stdout, format!("alice\t{id}\teditor\tactive\tconnect,realtime\n"), "{given:?}");
    let refreshed = refresh(&hub, &before.refresh).json();
    let mut live = Client::connect(&hub, refreshed["access_token"].as_str().unwrap()).await;

    let taken = change(&["--remove-permission", "realtime"]);
    assert_eq!(taken.stdout, format!("alice\t{id}\teditor\tactive\tconnect\n"), "{taken:?}");
    assert_eq!(live.close_code().await, Some(4401));
    assert_revoked(&refresh(&hub, &before.refresh));
    assert_eq!(upgrade(&hub, &sign_in(&hub, "alice").access).await.status, 403);

    let nothing = change(&[]);
    assert_eq!(nothing.status, Some(2), "{nothing:?}");
    let unknown = change(&["--remove-role", "unknown"]);
    assert_eq!((unknown.status, &unknown.stdout), (Some(0), &taken.stdout));
}

#[tokio::test]
async fn the_hash_of_a_password_is_renewed_when_the_configured_cost_changes() {
    let hub = Hub::start();
    user(&hub, "alice");
    let hash = || {
        let store = rusqlite::Connection::open(hub.data().join("hubbub.db")).unwrap();
        store.query_row("SELECT password FROM users", (), |row| row.get::<_, String>(0)).unwrap()
    };
    let before = sign_in(&hub, "alice");
    assert!(hash().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash());
    let output = hub.reload("[auth]\npassword_memory_kib = 32768\npassword_passes = 3");
    assert!(output.contains("auth.password_passes"), "{output}");
    let mut live = Client::connect(&hub, &before.access).await;
    sign_in(&hub, "alice");
    let renewed = hash();
    assert!(renewed.starts_with("$argon2id$v=19$m=32768,t=3,p=1$"), "{renewed}");
    sign_in(&hub, "alice");
    assert_eq!(hash(), renewed);
    assert_eq!(refresh(&hub, &before.refresh).status, 200);
    live.expect_silence().await;
    assert!(!hub.output().contains(&renewed));
}
