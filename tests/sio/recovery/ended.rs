//! Sessions that cannot be recovered: a later CONNECT gets a new session. Most cases are in [`cases`](super::cases).

use serde_json::json;

use super::{ClientState, RecoveryClient, hub, post, recovery_failed, wait_until_empty};
use crate::support::account::{sign_in, sign_out, user};
use crate::support::token::{now, token_with};
use crate::support::{DEADLINE, Sio, SioTransport, eventually};

#[tokio::test]
async fn a_client_that_disconnects_gets_a_new_session_on_the_same_connection() {
    let hub = hub("");
    for transport in SioTransport::BOTH {
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        alice.sio.send("41").await;
        let answer = alice.sio.connect("/", &alice.saved.auth()).await.unwrap();
        assert!(answer["pid"].is_string() && answer["pid"] != alice.saved.pid.as_str(), "{answer}");
        assert_eq!(alice.next_events(4).await[1], recovery_failed());
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn a_session_ends_when_its_token_is_revoked() {
    let hub = hub("");
    for (transport, user) in SioTransport::BOTH.into_iter().zip(["alice", "bob"]) {
        for is_suspended in [false, true] {
            let user = &format!("{user}-{is_suspended}");
            let old = token_with(json!({"sub": user, "iat": now() - 60}));
            let mut client = RecoveryClient::with_token(&hub, transport, user, &old).await;
            client.sio.join("one").await;
            let mut saved = client.saved.clone();
            if is_suspended {
                saved = client.suspend(&hub, transport).await;
            }
            post(&hub, "/api/revoke", &json!({ "userId": user, "issuedBefore": now() }));
            eventually(DEADLINE, "no session is connected", || hub.connections() == 0).await;
            // The old token is refused. A newer one gets a new session.
            let mut sio = Sio::open(&hub, transport).await;
            assert_eq!(sio.connect("/", &saved.auth()).await.unwrap_err()["message"], "Unauthorized");
            let token = Some(token_with(json!({"sub": user, "iat": now() + 2})));
            ClientState { token, ..saved }.fail_to_resume(&hub, transport).await.disconnect().await;
            wait_until_empty(&hub).await;
        }
    }
}

#[tokio::test]
async fn a_session_ends_when_its_user_signs_out() {
    let hub = hub("");
    let id = user(&hub, "alice");
    let signed_in = sign_in(&hub, "alice");
    let alice = RecoveryClient::with_token(&hub, SioTransport::WebSocket, &id, &signed_in.access).await;
    let saved = alice.saved.clone();
    sign_out(&hub, &signed_in.id, &signed_in.access);
    wait_until_empty(&hub).await;
    let token = Some(sign_in(&hub, "alice").access);
    ClientState { token, ..saved }.fail_to_resume(&hub, SioTransport::WebSocket).await.disconnect().await;
    wait_until_empty(&hub).await;
}
