//! Sessions that are cut off and recovered by a token: nothing twice, nothing lost that came after the cut, and nothing
//! left over.

mod cut;
mod gone;

use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinHandle;

use super::{
    contents, http, is_time, online_update, put, put_private, received_by, room_left, settled, timeless, unlimited,
};
use super::{user_joined, user_left};
use crate::support::chat_client::{ChatClient, ChatTransport};
use crate::support::token::{now, token_with};
use crate::support::{DEADLINE, Hub, eventually};

const CHAT: &str = "general";
const RECOVERED: &str = "Connection recovered successfully";

fn hub(more: &str) -> Hub {
    Hub::with(&unlimited(&format!("[presence]\naudience = \"off\"\n{more}")))
}

const TWO_WORKERS: &str = "[server]\nworkers = 2\n";

/// What a recovery brought.
struct Recovered {
    /// The answer's session.
    session: Value,
    /// The messages that had been queued.
    messages: Vec<Value>,
    dropped: Option<u64>,
}

impl Recovered {
    fn contents(&self) -> Vec<&str> {
        self.messages.iter().map(|message| message["content"].as_str().unwrap()).collect()
    }

    fn token(&self) -> String {
        self.session["recoveryToken"].as_str().unwrap().to_owned()
    }
}

/// Recovers a session, which works; what was heard before the answer has to be what the answer says.
async fn recover(member: &mut ChatClient, token: &str) -> Recovered {
    let number = member.send_request("connection:recover", json!({ "recoveryToken": token })).await;
    recovered(member, number).await
}

async fn recovered(member: &mut ChatClient, number: u64) -> Recovered {
    let mut answer = member.reply(number).await;
    assert_eq!((&answer["success"], &answer["message"]), (&json!(true), &json!(RECOVERED)), "{answer}");
    let session = answer["session"].take();
    assert_eq!(session["messageQueue"], json!([]), "{session}");
    let mut events = member.take_events();
    let at = events.iter().position(|event| event[0] == "connection:recovered").unwrap();
    let told = events.remove(at);
    let (mut messages, mut dropped) = (Vec::new(), None);
    if let Some(queued) = events.get_mut(at).filter(|event| event[0] == "connection:queued-messages") {
        dropped = queued[1]["dropped"].as_u64();
        let Value::Array(brought) = queued[1]["messages"].take() else { panic!("{queued}") };
        assert_eq!(queued[1]["count"], brought.len(), "{queued}");
        assert!(!brought.is_empty() || dropped.is_some(), "{queued}");
        messages = brought;
        events.remove(at);
    }
    let expected = json!({"message": RECOVERED, "rooms": session["rooms"], "queuedMessages": messages.len()});
    assert_eq!(told[1], expected);
    member.put_back_events(events);
    Recovered { session, messages, dropped }
}

async fn assert_invalid(member: &mut ChatClient, token: &str) {
    let answer = member.request("connection:recover", json!({ "recoveryToken": token })).await;
    assert_eq!(answer, json!({"success": false, "message": "Invalid recovery token", "code": "NOT_FOUND"}));
}

/// Waits until so many sessions are parked.
async fn parked(hub: &Hub, sessions: u32) {
    let what = format!("{sessions} sessions are parked");
    eventually(DEADLINE, &what, || hub.metric("hubbub_parked_sessions") == f64::from(sessions)).await;
}

/// Nobody is there, and nothing of anybody is left.
async fn assert_nothing_left(hub: &Hub) {
    eventually(DEADLINE, "nothing is left", || {
        ["hubbub_parked_sessions", "hubbub_parked_messages", "hubbub_rooms", "websocket_connections_active"]
            .iter()
            .all(|name| hub.metric(name) == 0.0)
    })
    .await;
}

/// A member in a chat, with a token.
async fn in_chat(hub: &Hub, way: ChatTransport, user: &str, chat: &str) -> (ChatClient, String) {
    let mut member = ChatClient::of(hub, way, user).await;
    member.join(chat).await;
    let token = member.recovery_token().await;
    (member, token)
}

#[tokio::test]
async fn a_session_goes_on_whichever_way_it_comes_back() {
    let hub = hub(TWO_WORKERS);
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    bob.join(CHAT).await;
    let (mut alice, mut token) = in_chat(&hub, ChatTransport::WebSocket, "alice", CHAT).await;
    let before = alice.request("connection:session-info", json!({})).await["sessionInfo"].clone();
    received_by(&hub, CHAT, [&mut alice, &mut bob]).await;
    let mut said = 0;
    // On which of the two workers it comes back cannot be seen; it comes back often enough for both.
    for way in [ChatTransport::Raw, ChatTransport::WebSocket, ChatTransport::Raw, ChatTransport::Polling] {
        bob.send_message(CHAT, "live").await;
        assert_eq!(contents(&received_by(&hub, CHAT, [&mut alice]).await[0]), ["live"], "to {way:?}");
        alice.reset();
        settled(&hub, CHAT, json!({"bob": 1})).await;
        let missed: Vec<_> = (0..10).map(|n| format!("{}", said + n)).collect();
        said += 10;
        for content in &missed {
            bob.send_message(CHAT, content).await;
        }
        assert_eq!(hub.metric("hubbub_parked_messages"), 10.0);
        let [to_bob] = received_by(&hub, CHAT, [&mut bob]).await;
        let gone = [user_left("alice", CHAT, 1), online_update(CHAT, &["bob"])];
        let at = to_bob.iter().position(|event| event[0] == "user:left").unwrap();
        assert_eq!(to_bob[at..at + 2], gone);

        alice = ChatClient::of(&hub, way, "alice").await;
        let went_on = recover(&mut alice, &token).await;
        assert_eq!(
            (went_on.contents(), went_on.dropped),
            (missed.iter().map(String::as_str).collect(), None),
            "{way:?}"
        );
        let theirs = to_bob.iter().filter(|event| event[0] == "message:new" && event[1]["content"] != "live");
        let brought: Vec<_> = went_on.messages.iter().cloned().map(timeless).collect();
        assert_eq!(brought, theirs.map(|event| event[1].clone()).collect::<Vec<_>>(), "as others heard them");
        assert_ne!(went_on.token(), token);
        let session = &went_on.session;
        assert_ne!(session["socketId"], before["socketId"]);
        for (field, value) in [
            ("userId", json!("alice")),
            ("connectedAt", before["connectedAt"].clone()),
            ("rooms", json!([CHAT])),
            ("messageQueue", json!([])),
        ] {
            assert_eq!(session[field], value, "{field} in {session}");
        }
        assert!(is_time(session["lastActivity"].as_str().unwrap()), "{session}");
        assert_eq!(session.as_object().unwrap().len(), 7, "{session}");
        let [to_bob, to_alice] = received_by(&hub, CHAT, [&mut bob, &mut alice]).await;
        let both = online_update(CHAT, &["bob", "alice"]);
        assert_eq!((to_bob, to_alice), (vec![user_joined("alice", CHAT, 2), both.clone()], vec![both]));
        token = went_on.token();
    }
    assert_eq!(hub.metric("hubbub_sessions_recovered_total"), 4.0);
    drop((alice, bob));
}

#[tokio::test]
async fn a_token_serves_its_user_once_and_the_last_one_made() {
    let hub = hub("");
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    bob.join(CHAT).await;
    let (mut alice, first) = in_chat(&hub, ChatTransport::WebSocket, "alice", CHAT).await;
    let second = alice.recovery_token().await;
    // A session cannot be its own.
    assert_invalid(&mut alice, &second).await;
    alice.reset();
    parked(&hub, 1).await;
    bob.send_message(CHAT, "missed").await;
    let mut alice = ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await;
    for token in [first.as_str(), "", "nonsense", &"x".repeat(10_000)] {
        assert_invalid(&mut alice, token).await;
    }
    // Another user's tokens are nobody's, and serve their user still.
    assert_invalid(&mut bob, &second).await;
    let went_on = recover(&mut alice, &second).await;
    assert_eq!(went_on.contents(), ["missed"]);
    let mut other = ChatClient::of(&hub, ChatTransport::Raw, "alice").await;
    for token in [&first, &second] {
        let answer = other.request("connection:recover", json!({ "recoveryToken": token })).await;
        assert_eq!(answer["code"], "NOT_FOUND", "{answer}");
    }
    // The new token serves, even after attempts that failed.
    alice.reset();
    parked(&hub, 1).await;
    assert_eq!(recover(&mut other, &went_on.token()).await.contents(), Vec::<&str>::new());
    drop((bob, other));
    let field = json!({"success": false, "message": "Invalid request data", "code": "INVALID_REQUEST"});
    let mut alice = ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await;
    for data in [json!({}), json!({"recoveryToken": 7}), json!({"recoveryToken": null})] {
        let mut answer = alice.request("connection:recover", data.clone()).await;
        answer.as_object_mut().unwrap().remove("details");
        assert_eq!(answer, field, "{data}");
    }
}

#[tokio::test]
async fn nothing_of_a_session_is_left_when_its_time_has_passed() {
    let hub = hub("[recovery]\nwindow_secs = 1\n");
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    bob.join(CHAT).await;
    let mut tokens = Vec::new();
    for way in [ChatTransport::WebSocket, ChatTransport::Raw] {
        let (alice, token) = in_chat(&hub, way, "alice", CHAT).await;
        alice.reset();
        tokens.push(token);
    }
    settled(&hub, CHAT, json!({"bob": 1})).await;
    bob.send_message(CHAT, "too late").await;
    parked(&hub, 0).await;
    let mut alice = ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await;
    for token in &tokens {
        assert_invalid(&mut alice, token).await;
    }
    let info = alice.request("connection:session-info", json!({})).await;
    assert_eq!(info["sessionInfo"]["rooms"], json!([]), "{info}");
    let stats = alice.request("connection:stats", json!({})).await;
    assert_eq!(
        (&stats["stats"]["recoveryTokens"], &stats["stats"]["queuedMessages"]),
        (&json!(0), &json!(0)),
        "{stats}"
    );
    drop((alice, bob));
    assert_nothing_left(&hub).await;
}

#[tokio::test]
async fn of_more_messages_than_are_kept_the_last_ones_are_brought() {
    let hub = hub("[recovery]\nqueue = 3\n");
    let mut bob = ChatClient::of(&hub, ChatTransport::Raw, "bob").await;
    bob.join(CHAT).await;
    let (alice, token) = in_chat(&hub, ChatTransport::WebSocket, "alice", CHAT).await;
    alice.reset();
    parked(&hub, 1).await;
    for n in 0..5 {
        bob.send_message(CHAT, &n.to_string()).await;
    }
    let stats = bob.request("connection:stats", json!({})).await;
    assert_eq!(stats["stats"]["queuedMessages"], 3, "{stats}");
    let mut alice = ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await;
    let went_on = recover(&mut alice, &token).await;
    assert_eq!((went_on.contents(), went_on.dropped), (vec!["2", "3", "4"], Some(2)));
    // What is missing can be read.
    let asked = json!({"chatId": CHAT, "before": went_on.messages[0]["id"]});
    let page = alice.request("message:history", asked).await;
    let missing: Vec<_> = page["messages"].as_array().unwrap().iter().map(|message| &message["content"]).collect();
    assert_eq!(missing, ["0", "1"]);
    assert_eq!(hub.metric("hubbub_parked_messages"), 0.0);
    // Exactly as many are none too many.
    alice.reset();
    parked(&hub, 1).await;
    for n in 5..8 {
        bob.send_message(CHAT, &n.to_string()).await;
    }
    let mut alice = ChatClient::of(&hub, ChatTransport::Raw, "alice").await;
    let went_on = recover(&mut alice, &went_on.token()).await;
    assert_eq!((went_on.contents(), went_on.dropped), (vec!["5", "6", "7"], None));
}

#[tokio::test]
async fn of_large_messages_as_many_are_brought_as_half_an_outbox_holds() {
    let hub = hub(TWO_WORKERS);
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    bob.join(CHAT).await;
    let (mut alice, mut token) = in_chat(&hub, ChatTransport::WebSocket, "alice", CHAT).await;
    for (way, count) in [(ChatTransport::Raw, 50), (ChatTransport::WebSocket, 90), (ChatTransport::Polling, 90)] {
        alice.reset();
        settled(&hub, CHAT, json!({"bob": 1})).await;
        let sent: Vec<_> = (0..count).map(|n| format!("{n}: {}", "x".repeat(8_000))).collect();
        for content in &sent {
            bob.send_message(CHAT, content).await;
        }
        alice = ChatClient::of(&hub, way, "alice").await;
        let went_on = recover(&mut alice, &token).await;
        let brought = went_on.contents().len();
        assert_eq!(went_on.contents(), sent[count - brought..], "{way:?}");
        assert_eq!(brought as u64 + went_on.dropped.unwrap_or_default(), count as u64);
        assert!(brought >= 50, "{brought} of {count}");
        token = went_on.token();
        bob.send_message(CHAT, "after").await;
        let [told] = received_by(&hub, CHAT, [&mut alice]).await;
        assert_eq!(contents(&told), ["after"], "{way:?}");
    }
    assert_eq!((hub.metric("hubbub_parked_messages"), hub.metric("hubbub_parked_sessions")), (0.0, 0.0));
}

#[tokio::test]
async fn of_two_who_come_with_one_token_one_goes_on() {
    for is_alive in [true, false] {
        let hub = hub(TWO_WORKERS);
        let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
        bob.join(CHAT).await;
        let (old, token) = in_chat(&hub, ChatTransport::WebSocket, "alice", CHAT).await;
        let mut alive = Some(old);
        if !is_alive {
            alive.take().unwrap().reset();
            parked(&hub, 1).await;
            bob.send_message(CHAT, "missed").await;
        }
        let mut rivals = [
            ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await,
            ChatClient::of(&hub, ChatTransport::Polling, "alice").await,
        ];
        let asked = json!({ "recoveryToken": token });
        let numbers = [
            rivals[0].send_request("connection:recover", asked.clone()).await,
            rivals[1].send_request("connection:recover", asked).await,
        ];
        let mut brought = Vec::new();
        for (rival, number) in rivals.iter_mut().zip(numbers) {
            let answer = rival.reply(number).await;
            if answer["success"] == true {
                let queued = rival.take_events().into_iter().find(|event| event[0] == "connection:queued-messages");
                brought.push(queued.map_or(0, |queued| queued[1]["messages"].as_array().unwrap().len()));
            } else {
                // Who comes while the other still waits for the end of the connection is told so.
                let told = ["Invalid recovery token", "Too many requests are under way; wait for an answer"];
                assert!(told.iter().any(|told| answer["message"] == *told), "{answer}");
            }
        }
        assert_eq!(brought, [usize::from(!is_alive)]);
        settled(&hub, CHAT, json!({"alice": 1, "bob": 1})).await;
    }
}

#[tokio::test]
async fn who_comes_back_with_a_fresh_token_when_the_old_one_expired_goes_on() {
    let hub = hub("[auth]\nleeway_secs = 0\n");
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    bob.join(CHAT).await;
    for way in [ChatTransport::WebSocket, ChatTransport::Raw] {
        let short = token_with(json!({"sub": "alice", "exp": now() + 2}));
        let mut old = ChatClient::with_token(&hub, way, &short).await;
        old.join(CHAT).await;
        let token = old.recovery_token().await;
        old.read_to_end().await;
        settled(&hub, CHAT, json!({"bob": 1})).await;
        bob.send_message(CHAT, "missed").await;
        let mut alice = ChatClient::of(&hub, way, "alice").await;
        assert_eq!(recover(&mut alice, &token).await.contents(), ["missed"], "{way:?}");
        http(&hub, "POST", "/api/disconnect", &json!({"userId": "alice"}));
        settled(&hub, CHAT, json!({"bob": 1})).await;
    }
}

#[tokio::test]
async fn a_connection_that_still_looks_alive_ends_when_its_session_goes_on_elsewhere() {
    for way in [ChatTransport::WebSocket, ChatTransport::Raw] {
        let hub = hub(TWO_WORKERS);
        let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
        bob.join(CHAT).await;
        let (mut old, token) = in_chat(&hub, way, "alice", CHAT).await;
        bob.send_message(CHAT, "live").await;
        let mut alice = ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await;
        let went_on = recover(&mut alice, &token).await;
        let (told, put_out) = old.read_to_end().await;
        assert_eq!((contents(&told), put_out), (vec!["live"], way == ChatTransport::WebSocket));
        assert_eq!(went_on.contents(), Vec::<&str>::new());
        bob.send_message(CHAT, "after").await;
        assert_eq!(contents(&received_by(&hub, CHAT, [&mut alice]).await[0]), ["after"]);
        settled(&hub, CHAT, json!({"alice": 1, "bob": 1})).await;
        assert_eq!(hub.metric("hubbub_parked_sessions"), 0.0);
    }
}

#[tokio::test]
async fn a_connection_that_reads_nothing_does_not_hold_up_its_session() {
    for way in [ChatTransport::WebSocket, ChatTransport::Raw] {
        let hub = hub(TWO_WORKERS);
        let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
        bob.join(CHAT).await;
        let mut old = ChatClient::with_small_buffers(&hub, way, "alice").await;
        old.join(CHAT).await;
        let token = old.recovery_token().await;
        // More than the sockets hold, and less than an outbox.
        for n in 0..40 {
            bob.send_message(CHAT, &format!("{n}{}", "x".repeat(9_000))).await;
        }
        let mut alice = ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await;
        assert_eq!(recover(&mut alice, &token).await.session["rooms"], json!([CHAT]), "{way:?}");
        settled(&hub, CHAT, json!({"alice": 1, "bob": 1})).await;
        drop(old);
    }
}

#[tokio::test]
async fn who_lost_messages_by_reading_too_slowly_cannot_go_on_as_if_nothing_was_missing() {
    for way in [ChatTransport::WebSocket, ChatTransport::Raw] {
        let hub = hub("[limits]\noutbox_bytes = 100000\n");
        let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
        bob.join(CHAT).await;
        let mut old = ChatClient::with_small_buffers(&hub, way, "alice").await;
        old.join(CHAT).await;
        let token = old.recovery_token().await;
        while hub.counters()["active_connections"] == 2 {
            bob.send_message(CHAT, &"x".repeat(9_000)).await;
            bob.take_events();
        }
        let mut alice = ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await;
        assert_invalid(&mut alice, &token).await;
        drop(old);
    }
}
