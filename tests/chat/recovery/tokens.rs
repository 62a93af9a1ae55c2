//! Recovery tokens: their owner, their lifetime, and the messages that they recover.

use super::*;

#[tokio::test]
async fn only_the_newest_token_recovers_a_session_once_for_its_user() {
    let hub = hub("");
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    bob.join(CHAT).await;
    let (mut alice, first) = in_chat(&hub, ChatTransport::WebSocket, "alice", CHAT).await;
    let second = alice.recovery_token().await;
    // A session cannot recover itself.
    assert_invalid(&mut alice, &second).await;
    alice.reset();
    wait_until_suspended(&hub, 1).await;
    bob.send_message(CHAT, "missed").await;
    let mut alice = ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await;
    for token in [first.as_str(), "", "nonsense", &"x".repeat(10_000)] {
        assert_invalid(&mut alice, token).await;
    }
    // Another user cannot use the token, and the attempt does not spend it.
    assert_invalid(&mut bob, &second).await;
    let recovered = recover(&mut alice, &second).await;
    assert_eq!(recovered.contents(), ["missed"]);
    let mut other = ChatClient::of(&hub, ChatTransport::Raw, "alice").await;
    for token in [&first, &second] {
        let answer = other.request("connection:recover", json!({ "recoveryToken": token })).await;
        assert_eq!(answer["code"], "NOT_FOUND", "{answer}");
    }
    // The new token is valid after failed attempts.
    alice.reset();
    wait_until_suspended(&hub, 1).await;
    assert_eq!(recover(&mut other, &recovered.token()).await.contents(), Vec::<&str>::new());
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
async fn an_expired_session_frees_all_its_state() {
    let hub = hub("[recovery]\nwindow_secs = 1\n");
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    bob.join(CHAT).await;
    let mut tokens = Vec::new();
    for transport in [ChatTransport::WebSocket, ChatTransport::Raw] {
        let (alice, token) = in_chat(&hub, transport, "alice", CHAT).await;
        alice.reset();
        tokens.push(token);
    }
    settled(&hub, CHAT, json!({"bob": 1})).await;
    bob.send_message(CHAT, "too late").await;
    wait_until_suspended(&hub, 0).await;
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
    wait_until_empty(&hub).await;
}

#[tokio::test]
async fn messages_that_the_queue_dropped_are_in_the_history() {
    let hub = hub("[recovery]\nqueue = 3\n");
    let mut bob = ChatClient::of(&hub, ChatTransport::Raw, "bob").await;
    bob.join(CHAT).await;
    let (alice, token) = in_chat(&hub, ChatTransport::WebSocket, "alice", CHAT).await;
    alice.reset();
    wait_until_suspended(&hub, 1).await;
    for n in 0..5 {
        bob.send_message(CHAT, &n.to_string()).await;
    }
    assert_eq!(queued(&mut bob).await, 3);
    let mut alice = ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await;
    let recovered = recover(&mut alice, &token).await;
    assert_eq!((recovered.contents(), recovered.dropped), (vec!["2", "3", "4"], Some(2)));
    let request = json!({"chatId": CHAT, "before": recovered.messages[0]["id"]});
    let page = alice.request("message:history", request).await;
    let missing: Vec<_> = page["messages"].as_array().unwrap().iter().map(|message| &message["content"]).collect();
    assert_eq!(missing, ["0", "1"]);
    assert_eq!(queued(&mut bob).await, 0);
    end_all(&hub, &["alice", "bob"]).await;
}
