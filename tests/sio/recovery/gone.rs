//! When a session can be recovered no more: its client took leave, too much or too long was missed, or its user was put
//! out.

use serde_json::json;

use super::{RecoveryClient, SavedSession, hub, many_to_room, post, to_room, wait_until_empty};
use crate::support::account::{sign_in, sign_out, user};
use crate::support::token::{now, token_with};
use crate::support::{DEADLINE, Sio, Transport, eventually};

#[tokio::test]
async fn who_took_leave_does_not_come_back_to_it() {
    let hub = hub("");
    for transport in Transport::BOTH {
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        alice.sio.join("one").await;
        let saved = alice.disconnect().await;
        wait_until_empty(&hub).await;
        to_room(&hub, "one", 1);
        let mut alice = saved.fail_to_resume(&hub, transport).await;
        assert_ne!(alice.saved.sid, saved.sid);
        alice.sio.expect_silence().await;
        // On the same connection too.
        alice.sio.send("41").await;
        let answer = alice.sio.connect("/", &alice.saved.auth()).await.unwrap();
        assert!(answer["pid"].is_string() && answer["pid"] != alice.saved.pid.as_str(), "{answer}");
        assert_eq!(alice.next_events(4).await[1], super::recovery_failed());
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn as_many_as_are_kept_may_be_missed_and_not_one_more() {
    let hub = hub("recovery.queue = 20");
    for (transport, received) in [(Transport::WebSocket, 0), (Transport::Polling, 0), (Transport::WebSocket, 3)] {
        for missed in [20, 21] {
            let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
            alice.sio.join("one").await;
            let before = many_to_room(&hub, "one", 0..received, "");
            alice.expect_exactly(&before).await;
            let saved = alice.suspend(&hub, transport).await;
            let sent = many_to_room(&hub, "one", 0..missed, "");
            assert_eq!(hub.metric("hubbub_parked_messages"), 20.0);
            let mut alice = if missed == 20 {
                let mut alice = saved.resume(&hub, transport).await;
                alice.expect_exactly(&sent).await;
                alice
            } else {
                saved.fail_to_resume(&hub, transport).await
            };
            alice.sio.expect_silence().await;
            alice.disconnect().await;
            wait_until_empty(&hub).await;
        }
    }
}

#[tokio::test]
async fn where_nothing_is_kept_one_that_missed_nothing_goes_on() {
    let hub = hub("recovery.queue = 0");
    let mut alice = RecoveryClient::of(&hub, Transport::WebSocket, "alice").await;
    alice.sio.join("one").await;
    let received = to_room(&hub, "one", 1);
    alice.expect_exactly(&[received]).await;
    let saved = alice.suspend(&hub, Transport::WebSocket).await;
    let alice = saved.resume(&hub, Transport::WebSocket).await;
    let saved = alice.suspend(&hub, Transport::WebSocket).await;
    to_room(&hub, "one", 2);
    let alice = saved.fail_to_resume(&hub, Transport::WebSocket).await;
    alice.disconnect().await;
    wait_until_empty(&hub).await;
}

#[tokio::test]
async fn when_its_time_has_passed_it_is_gone() {
    let hub = hub("recovery.window_secs = 1");
    for transport in Transport::BOTH {
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        alice.sio.join("one").await;
        let saved = alice.cut(transport).await;
        wait_until_empty(&hub).await;
        let mut alice = saved.fail_to_resume(&hub, transport).await;
        assert_ne!(alice.saved.sid, saved.sid);
        to_room(&hub, "one", 1);
        alice.sio.expect_silence().await;
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn whose_user_was_put_out_does_not_come_back_to_it() {
    let hub = hub("");
    for transport in Transport::BOTH {
        for is_cut_off in [false, true] {
            let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
            alice.sio.join("one").await;
            let mut saved = alice.saved.clone();
            if is_cut_off {
                saved = alice.suspend(&hub, transport).await;
            }
            post(&hub, "/api/disconnect", &json!({"userId": "alice"}));
            wait_until_empty(&hub).await;
            let mut alice = saved.fail_to_resume(&hub, transport).await;
            to_room(&hub, "one", 1);
            alice.sio.expect_silence().await;
            alice.disconnect().await;
            wait_until_empty(&hub).await;
        }
    }
}

#[tokio::test]
async fn whose_token_was_revoked_does_not_come_back_to_it() {
    let hub = hub("");
    for (transport, user) in Transport::BOTH.into_iter().zip(["alice", "bob"]) {
        for is_cut_off in [false, true] {
            let user = &format!("{user}-{is_cut_off}");
            let old = token_with(json!({"sub": user, "iat": now() - 60}));
            let mut client = RecoveryClient::with_token(&hub, transport, user, &old).await;
            client.sio.join("one").await;
            let mut saved = client.saved.clone();
            if is_cut_off {
                saved = client.suspend(&hub, transport).await;
            }
            post(&hub, "/api/revoke", &json!({ "userId": user, "issuedBefore": now() }));
            eventually(DEADLINE, "nobody is there", || hub.connections() == 0).await;
            // Its own token opens nothing, and with a newer one its user comes to another session.
            let mut sio = Sio::open(&hub, transport).await;
            assert_eq!(sio.connect("/", &saved.auth()).await.unwrap_err()["message"], "Unauthorized");
            let newer = SavedSession { token: Some(token_with(json!({"sub": user, "iat": now() + 2}))), ..saved };
            newer.fail_to_resume(&hub, transport).await.disconnect().await;
            wait_until_empty(&hub).await;
        }
    }
}

#[tokio::test]
async fn whose_sign_in_ended_does_not_come_back_to_it() {
    let hub = hub("");
    let id = user(&hub, "alice");
    let signed_in = sign_in(&hub, "alice");
    let alice = RecoveryClient::with_token(&hub, Transport::WebSocket, &id, &signed_in.access).await;
    let saved = alice.saved.clone();
    sign_out(&hub, &signed_in.id, &signed_in.access);
    wait_until_empty(&hub).await;
    let saved = SavedSession { token: Some(sign_in(&hub, "alice").access), ..saved };
    saved.fail_to_resume(&hub, Transport::WebSocket).await.disconnect().await;
    wait_until_empty(&hub).await;
}
