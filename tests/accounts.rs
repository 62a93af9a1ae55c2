//! Users with a password: sign-ins, refreshes and sign-outs over HTTP, `POST /api/users`, `hubbub user`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::push::untimed;
use crate::support::account::{
    PASSWORD, UNLIMITED, add_user, refresh, sign_in, sign_out, try_sign_in, user, user_command,
};
use crate::support::http::Response;
use crate::support::token::token_with;
use crate::support::{Client, DEADLINE, Hub, Wire, eventually};

mod permissions;

fn invalid_credentials() -> Value {
    json!({"error": {"code": "INVALID_CREDENTIALS", "message": "Invalid user name or password", "details": {}}})
}

/// The answer to an upgrade with this token.
async fn upgrade(hub: &Hub, token: &str) -> Response {
    Wire::upgrade(hub, &format!("/ws?token={token}"), &[]).await.0
}

#[track_caller]
fn assert_revoked(answer: &Response) {
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (401, &json!("INVALID_TOKEN")), "{answer:?}");
}

#[tokio::test]
async fn a_user_signs_in_and_connects_with_the_token() {
    let hub = Hub::start();
    let new = json!({"username": "Alice", "password": PASSWORD, "roles": ["user", "admin"], "name": "Alice A."});
    let answer = add_user(&hub.http(), &new);
    let mut added = untimed(&answer);
    let id = added["user"]["id"].take();
    assert_eq!(answer.status, 201, "{answer:?}");
    let roles = json!(["user", "admin"]);
    assert_eq!(added, json!({"success": true, "user": {"id": null, "username": "Alice", "roles": roles}}));

    let signed_in = sign_in(&hub, "alice");
    assert_eq!(
        signed_in.body,
        json!({
            "access_token": signed_in.access,
            "refresh_token": signed_in.refresh,
            "expires_in": 3600,
            "token_type": "Bearer",
            "session_id": signed_in.id,
            "user": {"id": id, "username": "Alice", "roles": roles},
        })
    );
    let client = Client::connect(&hub, &signed_in.access).await;
    let known = json!({"id": id, "name": "Alice A.", "roles": roles});
    assert_eq!(client.welcome["data"]["details"]["user"], known);

    let refreshed = refresh(&hub, &signed_in.refresh);
    let body = refreshed.json();
    let access = body["access_token"].as_str().unwrap();
    assert_ne!(access, signed_in.access);
    assert_eq!(body, json!({"access_token": access, "expires_in": 3600, "token_type": "Bearer"}));
    let client = Client::connect(&hub, access).await;
    assert_eq!(client.welcome["data"]["details"]["user"], known);
    assert_eq!(refresh(&hub, &signed_in.refresh).status, 200, "a refresh token can be used again");
}

#[tokio::test]
async fn refresh_and_access_tokens_are_not_interchangeable() {
    let hub = Hub::start();
    user(&hub, "alice");
    let signed_in = sign_in(&hub, "alice");
    assert_revoked(&upgrade(&hub, &signed_in.refresh).await);
    assert_revoked(&sign_out(&hub, &signed_in.id, &signed_in.refresh));
    assert_revoked(&refresh(&hub, &signed_in.access));
    assert!(!hub.output().contains(&signed_in.refresh) && !hub.output().contains(PASSWORD));
}

#[tokio::test]
async fn the_connections_of_an_ended_sign_in_are_closed_with_4401_and_it_stays_ended_after_a_crash() {
    let hub = Hub::start();
    user(&hub, "alice");
    let (ended, other) = (sign_in(&hub, "alice"), sign_in(&hub, "alice"));
    let mut here = Client::connect(&hub, &ended.access).await;
    let mut there = Client::connect(&hub, &other.access).await;
    // A connection belongs to the sign-in of its last token.
    let mut moved = Client::connect(&hub, &other.access).await;
    let authenticate = |token: &str| json!({"type": "Authenticate", "data": {"token": token}});
    moved.ask(authenticate(&ended.access), "Status").await;

    let answer = sign_out(&hub, &ended.id, &ended.access);
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    for client in [&mut here, &mut moved] {
        assert_eq!(client.close_code().await, Some(4401));
    }
    let refused = there.ask(authenticate(&ended.access), "Error").await;
    assert_eq!(refused["data"]["code"], "INVALID_TOKEN");
    there.expect_silence().await;
    assert_revoked(&upgrade(&hub, &ended.access).await);
    assert_revoked(&refresh(&hub, &ended.refresh));
    assert_revoked(&sign_out(&hub, &ended.id, &ended.access));

    let hub = hub.restart();
    assert_revoked(&upgrade(&hub, &ended.access).await);
    assert_revoked(&refresh(&hub, &ended.refresh));
    assert_eq!(upgrade(&hub, &other.access).await.status, 101);
    assert_eq!(refresh(&hub, &other.refresh).status, 200);
}

#[test]
fn a_sign_in_is_ended_by_its_user_or_an_admin_and_not_found_by_other_users() {
    let hub = Hub::start();
    user(&hub, "alice");
    user(&hub, "eve");
    let (alice, eve) = (sign_in(&hub, "alice"), sign_in(&hub, "eve"));
    let none = json!({"error": {"code": "NOT_FOUND", "message": "There is no such session", "details": {}}});
    for session in [alice.id.as_str(), "session_of_nobody"] {
        let answer = sign_out(&hub, session, &eve.access);
        assert_eq!((answer.status, answer.json()), (404, none.clone()), "{session}");
    }
    let bare = hub.http().request("DELETE", &format!("/sessions/{}", alice.id)).send();
    assert_eq!((bare.status, &bare.json()["error"]["code"]), (401, &json!("INVALID_TOKEN")));
    assert_eq!(bare.header("WWW-Authenticate"), Some("Bearer"));
    assert_eq!(refresh(&hub, &alice.refresh).status, 200);
    let admin = token_with(json!({"sub": "root", "role": "admin"}));
    assert_eq!(sign_out(&hub, &alice.id, &admin).status, 204);
    assert_eq!(refresh(&hub, &alice.refresh).status, 401);
}

#[test]
fn an_unknown_name_a_wrong_password_and_a_disabled_user_get_one_answer() {
    let hub = Hub::start();
    user(&hub, "alice");
    user(&hub, "gone");
    assert_eq!(user_command(&hub, &["disable", "gone"], "").status, Some(0));
    for (name, password) in [("alice", "wrong password"), ("nobody", PASSWORD), ("gone", PASSWORD), ("alice", "")] {
        let answer = try_sign_in(&hub.http(), name, password);
        assert_eq!((answer.status, answer.json()), (401, invalid_credentials()), "{name}");
    }
}

#[test]
fn names_are_unique_and_found_in_every_spelling() {
    let hub = Hub::start();
    user(&hub, "Zoë@Example.com");
    assert_eq!(sign_in(&hub, "ZOE\u{308}@example.COM").body["user"]["username"], "Zoë@Example.com");
    let again = add_user(&hub.http(), &json!({"username": "zoë@example.com", "password": PASSWORD}));
    assert_eq!((again.status, &again.json()["code"]), (409, &json!("CONFLICT")));
}

#[test]
fn the_refusal_of_an_invalid_account_names_the_field() {
    let hub = Hub::start();
    let good = json!({"username": "alice", "password": PASSWORD});
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    for (body, field) in [
        (json!({"password": PASSWORD}), "username"),
        (with("username", json!("")), "username"),
        (with("username", json!("a\nb")), "username"),
        (with("username", json!("x".repeat(201))), "username"),
        (json!({"username": "alice"}), "password"),
        (with("password", json!("1234567")), "password"),
        (with("password", json!("x".repeat(1025))), "password"),
        (with("roles", json!(["a", ""])), "roles[1]"),
        (with("roles", json!("admin")), "roles"),
        (with("email", json!("")), "email"),
    ] {
        let answer = add_user(&hub.http(), &body);
        assert_eq!((answer.status, &answer.json()["details"]["field"]), (400, &json!(field)), "{body}");
    }
    let keyless = hub.http().post("/api/users", &good);
    assert_eq!((keyless.status, &keyless.json()["code"]), (401, &json!("UNAUTHORIZED")));
    for (body, field) in [(json!({"username": "a"}), "password"), (json!({"password": "p"}), "username")] {
        let answer = hub.http().post("/sessions", &body);
        assert_eq!((answer.status, &answer.json()["error"]["details"]["field"]), (400, &json!(field)));
    }
}

#[test]
fn attempts_are_counted_by_address_and_by_name() {
    let hub = Hub::with("[server]\ntrusted_proxies = [\"127.0.0.1\"]\n[limits.login]\nattempts_per_minute = 3");
    user(&hub, "alice");
    let attempt = |address: &str, name: &str| {
        let body = json!({"username": name, "password": "wrong password"});
        let answer = hub.http().request("POST", "/sessions").header("X-Forwarded-For", address).json(&body).send();
        if answer.status == 429 {
            assert_eq!(answer.json()["error"]["code"], "RATE_LIMITED");
            assert!(answer.header("Retry-After").is_some());
        }
        answer.status
    };
    let by_address: Vec<_> = (0..4).map(|number| attempt("192.0.2.1", &format!("user{number}"))).collect();
    assert_eq!(by_address, [401, 401, 401, 429]);
    let names = ["alice", "ALICE", "Alice", "aLICE"];
    let by_name: Vec<_> = (0..4).map(|number| attempt(&format!("198.51.100.{number}"), names[number])).collect();
    assert_eq!(by_name, [401, 401, 401, 429]);
    assert_eq!(attempt("198.51.100.9", "bob"), 401);
}

#[tokio::test]
async fn accounts_are_created_and_disabled_while_the_hub_runs() {
    let hub = Hub::start();
    let added = user_command(&hub, &["add", "Alice", "--role", "admin", "--name", "A."], &format!("{PASSWORD}\n"));
    assert_eq!(added.status, Some(0), "{added:?}");
    let signed_in = sign_in(&hub, "alice");
    let id = signed_in.body["user"]["id"].as_str().unwrap();
    assert_eq!(added.stdout, format!("Alice\t{id}\tadmin\tactive\n"));
    let listed = user_command(&hub, &["list"], "");
    assert_eq!((listed.status, listed.stdout), (Some(0), added.stdout));

    let mut live = Client::connect(&hub, &signed_in.access).await;
    let other = token_with(json!({"sub": id}));
    let mut without_sign_in = Client::connect(&hub, &other).await;
    let mut bystander = Client::of(&hub, "bystander").await;
    let disabled = user_command(&hub, &["disable", "ALICE"], "");
    assert_eq!((disabled.status, disabled.stdout.as_str()), (Some(0), ""), "{disabled:?}");
    for client in [&mut live, &mut without_sign_in] {
        assert_eq!(client.close_code().await, Some(4401));
    }
    bystander.expect_silence().await;
    assert_revoked(&upgrade(&hub, &signed_in.access).await);
    assert_revoked(&upgrade(&hub, &other).await);
    assert_revoked(&refresh(&hub, &signed_in.refresh));
    assert_eq!(try_sign_in(&hub.http(), "alice", PASSWORD).status, 401);
    assert!(user_command(&hub, &["list"], "").stdout.ends_with("\tdisabled\n"));

    assert_eq!(user_command(&hub, &["enable", "alice"], "").status, Some(0));
    let again = sign_in(&hub, "alice");
    eventually(DEADLINE, "the hub has read the change", || {
        sign_out(&hub, "session_of_nobody", &again.access).status == 404
    })
    .await;
    assert_eq!(upgrade(&hub, &again.access).await.status, 101);
    assert_revoked(&upgrade(&hub, &signed_in.access).await);
}

#[tokio::test]
async fn a_new_password_ends_the_sign_ins_of_the_old_one() {
    let hub = Hub::start();
    user(&hub, "alice");
    let old = sign_in(&hub, "alice");
    let mut live = Client::connect(&hub, &old.access).await;
    let changed = user_command(&hub, &["passwd", "alice"], "another password\r\n");
    assert_eq!((changed.status, changed.stdout.as_str()), (Some(0), ""), "{changed:?}");
    assert_eq!(live.close_code().await, Some(4401));
    assert_revoked(&refresh(&hub, &old.refresh));
    assert_eq!(try_sign_in(&hub.http(), "alice", PASSWORD).status, 401);
    assert_eq!(try_sign_in(&hub.http(), "alice", "another password").status, 200);
}

#[test]
fn a_failure_of_hubbub_user_is_one_line() {
    let hub = Hub::start();
    user(&hub, "alice");
    let long = "x".repeat(1025);
    let longer = "é".repeat(600);
    for (args, input, error) in [
        (&["add", "ALICE"][..], PASSWORD, "taken"),
        (&["add", "bob"], "short", "8 to 1024 bytes"),
        (&["add", "bob"], "", "8 to 1024 bytes"),
        (&["add", "bob"], &long, "8 to 1024 bytes"),
        (&["add", "bob"], &longer, "8 to 1024 bytes"),
        (&["add", ""], PASSWORD, "username"),
        (&["add", "bob", "--role", ""], PASSWORD, "roles[0]"),
        (&["add", "bob", "--permission", ""], PASSWORD, "permissions[0]"),
        (&["change", "alice", "--add-permission", "a\nb"], "", "permissions[0]"),
        (&["change", "nobody", "--add-role", "admin"], "", "no such user"),
        (&["passwd", "nobody"], PASSWORD, "no such user"),
        (&["disable", "nobody"], "", "no such user"),
    ] {
        let ended = user_command(&hub, args, input);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""), "{args:?}: {ended:?}");
        // The first line names the configuration file.
        assert_eq!(ended.stderr.lines().count(), 2, "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(error), "{args:?}: {ended:?}");
    }
    let in_the_open = user_command(&hub, &["add", "bob", "--password", PASSWORD], PASSWORD);
    assert_eq!(in_the_open.status, Some(2), "{in_the_open:?}");
    assert_eq!(user_command(&hub, &["list"], "").stdout.lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_sign_ins_at_once_do_not_block_deliveries() {
    const SIGN_INS: usize = 100;
    let hub = Hub::with(&format!("{UNLIMITED}\n[limits.raw]\nmessages_per_minute = 0"));
    user(&hub, "alice");
    let (mut publisher, mut subscriber) = (Client::of(&hub, "bob").await, Client::of(&hub, "carol").await);
    publisher.subscribe(&["lobby"]).await;
    subscriber.subscribe(&["lobby"]).await;
    let answered = std::sync::Arc::new(AtomicUsize::new(0));
    let attempts: Vec<_> = (0..SIGN_INS)
        .map(|_| {
            let (http, answered) = (hub.patient_http(), answered.clone());
            thread::spawn(move || {
                let answer = try_sign_in(&http, "alice", PASSWORD);
                answered.fetch_add(1, Ordering::Relaxed);
                answer.status
            })
        })
        .collect();
    eventually(DEADLINE, "passwords wait", || hub.metric("hubbub_mailbox_depth{actor=\"passwords\"}") > 0.0).await;
    let mut meanwhile = 0;
    while answered.load(Ordering::Relaxed) < SIGN_INS {
        publisher.broadcast("lobby", json!(meanwhile)).await;
        assert_eq!(subscriber.expect("Broadcast").await["data"]["payload"], meanwhile);
        meanwhile += 1;
    }
    for attempt in attempts {
        assert_eq!(attempt.join().unwrap(), 200);
    }
    // With the hashing on the workers, hardly any message would have been delivered.
    assert!(meanwhile > SIGN_INS / 4, "{meanwhile} deliveries during {SIGN_INS} sign-ins");
}
