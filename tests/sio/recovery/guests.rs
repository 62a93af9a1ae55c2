//! Sessions of guests. A guest that authenticated resumes as its user, by its private id alone. More cases are in
//! [`cases`](super::cases).

use serde_json::json;

use super::{RecoveryClient, hub, to_room, to_user, wait_until_empty};
use crate::support::token::{now, token, token_with};
use crate::support::{DEADLINE, Hub, Sio, SioTransport, eventually};

/// A guest that authenticated with this token of alice.
async fn authenticated(hub: &Hub, token: &str) -> RecoveryClient {
    let mut guest = RecoveryClient::guest(hub, SioTransport::WebSocket, "alice").await;
    let reply = guest.sio.emit_and_expect("authenticated", "authenticate", json!({ "token": token })).await;
    assert_eq!(reply["user"]["id"], "alice", "{reply}");
    guest
}

#[tokio::test]
async fn an_anonymous_session_is_not_suspended() {
    let hub = hub("");
    for transport in SioTransport::BOTH {
        let guest = RecoveryClient::guest(&hub, transport, "alice").await;
        let saved = guest.cut(transport).await;
        eventually(DEADLINE, "no session is connected", || hub.connections() == 0).await;
        assert_eq!(hub.metric("hubbub_suspended_sessions"), 0.0);
        let mut guest = saved.fail_to_resume(&hub, transport).await;
        // Its new session can be recovered once it has a user.
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
async fn a_guest_with_an_expired_token_does_not_resume() {
    let hub = hub("auth.leeway_secs = 0");
    let exp = now() + 2;
    let alice = authenticated(&hub, &token_with(json!({"sub": "alice", "exp": exp}))).await;
    let saved = alice.suspend(&hub, SioTransport::WebSocket).await;
    eventually(DEADLINE, "the token has expired", || now() > exp).await;
    let mut guest = saved.fail_to_resume(&hub, SioTransport::WebSocket).await;
    to_user(&hub, "alice", 1);
    guest.sio.expect_silence().await;
    guest.disconnect().await;
    wait_until_empty(&hub).await;
}

#[tokio::test]
async fn a_guest_resumes_once_its_user_is_below_the_connection_limit() {
    let hub = hub("limits.exempt_loopback = false\nlimits.community.connections_per_minute = 0\n\
        limits.community.connections_per_address = 0\nlimits.community.connections_per_user = 1");
    let mut alice = authenticated(&hub, &token("alice")).await;
    alice.sio.join("one").await;
    let saved = alice.suspend(&hub, SioTransport::WebSocket).await;
    let other = authenticated(&hub, &token("alice")).await;
    let first = to_room(&hub, "one", 1);
    let mut sio = Sio::open(&hub, SioTransport::WebSocket).await;
    let error = sio.connect("/", &saved.auth()).await.unwrap_err();
    assert_eq!(error["data"]["code"], "LIMIT_REACHED", "{error}");
    drop(sio);
    let second = to_room(&hub, "one", 2);
    other.disconnect().await;
    eventually(DEADLINE, "the other session has ended", || hub.connections() == 0).await;
    let mut alice = saved.resume_at_attempt(&hub, SioTransport::WebSocket, 2).await;
    alice.expect(&[first, second]).await;
    alice.disconnect().await;
    wait_until_empty(&hub).await;
}
