//! Sessions that came without a token and showed one later: such a client goes on as who it was, by its private id alone.

use serde_json::{Value, json};

use super::{RecoveryClient, SavedSession, greeting, hub, to_all, to_room, to_user, wait_until_empty};
use crate::support::token::{now, token, token_with};
use crate::support::{DEADLINE, Hub, Transport, eventually};

/// A client that came without a token, greeted.
async fn guest(hub: &Hub, transport: Transport) -> RecoveryClient {
    let mut guest = SavedSession::new("alice", None).connect(hub, transport, &Value::Null).await;
    assert_eq!(guest.next_events(2).await, greeting(&guest.saved.sid));
    guest
}

/// As [`guest`], who then showed this token.
async fn authenticated(hub: &Hub, transport: Transport, token: &str) -> RecoveryClient {
    let mut guest = guest(hub, transport).await;
    let answer = guest.sio.emit_and_expect("authenticated", "authenticate", json!({ "token": token })).await;
    assert_eq!(answer["user"]["id"], "alice", "{answer}");
    guest
}

#[tokio::test]
async fn one_that_authenticated_goes_on_as_who_it_was() {
    let hub = hub("");
    for transport in Transport::BOTH {
        let mut alice = authenticated(&hub, transport, &token("alice")).await;
        alice.sio.join("one").await;
        let received = to_room(&hub, "one", 0);
        alice.expect_exactly(&[received]).await;
        for n in 1..3 {
            let saved = alice.suspend(&hub, transport).await;
            assert_eq!(saved.token, None);
            let missed = [to_room(&hub, "one", n), to_user(&hub, "alice", n), to_all(&hub, n)];
            alice = saved.resume(&hub, transport).await;
            alice.expect_exactly(&missed).await;
            // It is alice, and may do what she may.
            alice.sio.join("another").await;
            let mut echo =
                alice.sio.emit_and_expect("action:result", "client:action", json!({"action": "whoami"})).await;
            assert_eq!(echo["result"]["userId"].take(), "alice", "{echo}");
        }
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn one_that_is_nobody_has_nothing_to_come_back_to() {
    let hub = hub("");
    for transport in Transport::BOTH {
        let guest = guest(&hub, transport).await;
        let saved = guest.cut(transport).await;
        eventually(DEADLINE, "nobody is there", || hub.connections() == 0).await;
        assert_eq!(hub.metric("hubbub_parked_sessions"), 0.0);
        let mut guest = saved.fail_to_resume(&hub, transport).await;
        // By its new private id it can be recovered, once it is somebody.
        guest.sio.emit_and_expect("authenticated", "authenticate", json!({"token": token("alice")})).await;
        let saved = guest.suspend(&hub, transport).await;
        let missed = to_user(&hub, "alice", 1);
        let mut alice = saved.resume(&hub, transport).await;
        alice.expect_exactly(&[missed]).await;
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn one_may_show_its_token_at_once_when_it_comes_back_and_nobody_anothers() {
    let hub = hub("");
    let alice = authenticated(&hub, Transport::WebSocket, &token("alice")).await;
    let saved = alice.suspend(&hub, Transport::WebSocket).await;
    let missed = to_user(&hub, "alice", 1);
    let bobs = SavedSession { user: "bob".to_owned(), token: Some(token("bob")), ..saved.clone() };
    bobs.fail_to_resume(&hub, Transport::WebSocket).await.disconnect().await;
    let shown = SavedSession { token: Some(token("alice")), ..saved };
    let mut alice = shown.resume_at_attempt(&hub, Transport::WebSocket, 2).await;
    alice.expect_exactly(&[missed]).await;
    // Now it is one that came with a token.
    let saved = alice.suspend(&hub, Transport::WebSocket).await;
    SavedSession { token: None, ..saved.clone() }.fail_to_resume(&hub, Transport::WebSocket).await.disconnect().await;
    let alice = saved.resume_at_attempt(&hub, Transport::WebSocket, 2).await;
    alice.disconnect().await;
    wait_until_empty(&hub).await;
}

#[tokio::test]
async fn whose_token_ran_out_meanwhile_is_nobody_any_more() {
    let hub = hub("auth.leeway_secs = 0");
    let exp = now() + 2;
    let alice = authenticated(&hub, Transport::WebSocket, &token_with(json!({"sub": "alice", "exp": exp}))).await;
    let saved = alice.suspend(&hub, Transport::WebSocket).await;
    eventually(DEADLINE, "the token has expired", || now() > exp).await;
    let mut guest = saved.fail_to_resume(&hub, Transport::WebSocket).await;
    to_user(&hub, "alice", 1);
    guest.sio.expect_silence().await;
    guest.disconnect().await;
    wait_until_empty(&hub).await;
}

#[tokio::test]
async fn one_that_finds_no_place_among_its_users_connections_goes_on_when_there_is_one() {
    let hub = hub("limits.exempt_loopback = false\nlimits.community.connections_per_minute = 0\n\
        limits.community.connections_per_address = 0\nlimits.community.connections_per_user = 1");
    let mut alice = authenticated(&hub, Transport::WebSocket, &token("alice")).await;
    alice.sio.join("one").await;
    let saved = alice.suspend(&hub, Transport::WebSocket).await;
    let other = authenticated(&hub, Transport::WebSocket, &token("alice")).await;
    to_room(&hub, "one", 1);
    let mut sio = crate::support::Sio::open(&hub, Transport::WebSocket).await;
    let error = sio.connect("/", &saved.auth()).await.unwrap_err();
    assert_eq!(error["data"]["code"], "LIMIT_REACHED", "{error}");
    drop(sio);
    to_room(&hub, "one", 2);
    other.disconnect().await;
    eventually(DEADLINE, "the other has left", || hub.connections() == 0).await;
    let mut alice = saved.resume_at_attempt(&hub, Transport::WebSocket, 2).await;
    let received = [alice.event().await, alice.event().await].map(|event| event[1]["n"].clone());
    assert_eq!(received, [1, 2]);
    alice.disconnect().await;
    wait_until_empty(&hub).await;
}
