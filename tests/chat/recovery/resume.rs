//! Sessions that resume on other transports, over full sockets, and for rival clients.

use super::*;

#[tokio::test]
async fn a_session_resumes_on_every_transport() {
    let hub = hub(TWO_WORKERS);
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    bob.join(CHAT).await;
    let (mut alice, mut token) = in_chat(&hub, ChatTransport::WebSocket, "alice", CHAT).await;
    let before = alice.request("connection:session-info", json!({})).await["sessionInfo"].clone();
    received_by(&hub, CHAT, [&mut alice, &mut bob]).await;
    let mut sent = 0;
    // The hub chooses the worker. Four returns most likely meet both.
    for transport in [ChatTransport::Raw, ChatTransport::WebSocket, ChatTransport::Raw, ChatTransport::Polling] {
        bob.send_message(CHAT, "live").await;
        assert_eq!(contents(&received_by(&hub, CHAT, [&mut alice]).await[0]), ["live"], "to {transport:?}");
        alice.reset();
        settled(&hub, CHAT, json!({"bob": 1})).await;
        let missed: Vec<_> = (0..10).map(|n| format!("{}", sent + n)).collect();
        sent += 10;
        for content in &missed {
            bob.send_message(CHAT, content).await;
        }
        assert_eq!(queued(&mut bob).await, 10);
        let [to_bob] = received_by(&hub, CHAT, [&mut bob]).await;
        let left = [user_left("alice", CHAT, 1), online_update(CHAT, &["bob"])];
        let at = to_bob.iter().position(|event| event[0] == "user:left").unwrap();
        assert_eq!(to_bob[at..at + 2], left);

        alice = ChatClient::of(&hub, transport, "alice").await;
        let recovered = recover(&mut alice, &token).await;
        assert_eq!(
            (recovered.contents(), recovered.dropped),
            (missed.iter().map(String::as_str).collect(), None),
            "{transport:?}"
        );
        let to_others = to_bob.iter().filter(|event| event[0] == "message:new" && event[1]["content"] != "live");
        let replayed: Vec<_> = recovered.messages.iter().cloned().map(timeless).collect();
        assert_eq!(
            replayed,
            to_others.map(|event| event[1].clone()).collect::<Vec<_>>(),
            "the same messages as bob received"
        );
        assert_ne!(recovered.token(), token);
        let session = &recovered.session;
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
        token = recovered.token();
    }
    assert_eq!((hub.metric("hubbub_sessions_recovered_total"), queued(&mut bob).await), (4.0, json!(0)));
    end_all(&hub, &["alice", "bob"]).await;
}

#[tokio::test]
async fn recovered_messages_fill_at_most_half_of_the_outbox() {
    let hub = hub(TWO_WORKERS);
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    bob.join(CHAT).await;
    let (mut alice, mut token) = in_chat(&hub, ChatTransport::WebSocket, "alice", CHAT).await;
    for (transport, count) in [(ChatTransport::Raw, 50), (ChatTransport::WebSocket, 90), (ChatTransport::Polling, 90)] {
        alice.reset();
        settled(&hub, CHAT, json!({"bob": 1})).await;
        let sent: Vec<_> = (0..count).map(|n| format!("{n}: {}", "x".repeat(8_000))).collect();
        for content in &sent {
            bob.send_message(CHAT, content).await;
        }
        alice = ChatClient::of(&hub, transport, "alice").await;
        let recovered = recover(&mut alice, &token).await;
        let replayed = recovered.contents().len();
        assert_eq!(recovered.contents(), sent[count - replayed..], "{transport:?}");
        assert_eq!(replayed as u64 + recovered.dropped.unwrap_or_default(), count as u64);
        assert!(replayed >= 50, "{replayed} of {count}");
        token = recovered.token();
        bob.send_message(CHAT, "after").await;
        let [received] = received_by(&hub, CHAT, [&mut alice]).await;
        assert_eq!(contents(&received), ["after"], "{transport:?}");
    }
    assert_eq!((queued(&mut bob).await, hub.metric("hubbub_suspended_sessions")), (json!(0), 0.0));
    end_all(&hub, &["alice", "bob"]).await;
}

#[tokio::test]
async fn one_of_two_clients_with_one_token_recovers_the_session() {
    for is_alive in [true, false] {
        let hub = hub(TWO_WORKERS);
        let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
        bob.join(CHAT).await;
        let (old, token) = in_chat(&hub, ChatTransport::WebSocket, "alice", CHAT).await;
        let mut alive = Some(old);
        if !is_alive {
            alive.take().unwrap().reset();
            wait_until_suspended(&hub, 1).await;
            bob.send_message(CHAT, "missed").await;
        }
        let mut rivals = [
            ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await,
            ChatClient::of(&hub, ChatTransport::Polling, "alice").await,
        ];
        let request = json!({ "recoveryToken": token });
        let numbers = [
            rivals[0].send_request("connection:recover", request.clone()).await,
            rivals[1].send_request("connection:recover", request).await,
        ];
        let mut replayed = Vec::new();
        for (rival, number) in rivals.iter_mut().zip(numbers) {
            let answer = rival.reply(number).await;
            if answer["success"] == true {
                let queued = rival.take_events().into_iter().find(|event| event[0] == "connection:queued-messages");
                replayed.push(queued.map_or(0, |queued| queued[1]["messages"].as_array().unwrap().len()));
            } else {
                // The second client is refused while the first waits for the end of the old connection.
                let refusals = ["Invalid recovery token", "Too many requests are in progress; wait for a reply"];
                assert!(refusals.iter().any(|refusal| answer["message"] == *refusal), "{answer}");
            }
        }
        assert_eq!(replayed, [usize::from(!is_alive)]);
        settled(&hub, CHAT, json!({"alice": 1, "bob": 1})).await;
    }
}

#[tokio::test]
async fn a_session_with_an_expired_token_resumes_with_a_fresh_one() {
    let hub = hub("[auth]\nleeway_secs = 0\n");
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    bob.join(CHAT).await;
    for transport in [ChatTransport::WebSocket, ChatTransport::Raw] {
        let short = token_with(json!({"sub": "alice", "exp": now() + 2}));
        let mut old = ChatClient::with_token(&hub, transport, &short).await;
        old.join(CHAT).await;
        let token = old.recovery_token().await;
        old.read_to_end().await;
        settled(&hub, CHAT, json!({"bob": 1})).await;
        bob.send_message(CHAT, "missed").await;
        let mut alice = ChatClient::of(&hub, transport, "alice").await;
        assert_eq!(recover(&mut alice, &token).await.contents(), ["missed"], "{transport:?}");
        http(&hub, "POST", "/api/disconnect", &json!({"userId": "alice"}));
        settled(&hub, CHAT, json!({"bob": 1})).await;
    }
}

#[tokio::test]
async fn a_session_resumes_while_its_old_socket_is_full() {
    for transport in [ChatTransport::WebSocket, ChatTransport::Raw] {
        let hub = hub(TWO_WORKERS);
        let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
        bob.join(CHAT).await;
        let mut old = ChatClient::with_small_buffers(&hub, transport, "alice").await;
        old.join(CHAT).await;
        let token = old.recovery_token().await;
        // More than the buffers of the sockets hold, and less than an outbox.
        for n in 0..40 {
            bob.send_message(CHAT, &format!("{n}{}", "x".repeat(9_000))).await;
        }
        let mut alice = ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await;
        assert_eq!(recover(&mut alice, &token).await.session["rooms"], json!([CHAT]), "{transport:?}");
        settled(&hub, CHAT, json!({"alice": 1, "bob": 1})).await;
        drop(old);
    }
}

#[tokio::test]
async fn the_session_of_a_slow_consumer_cannot_be_recovered() {
    for transport in [ChatTransport::WebSocket, ChatTransport::Raw] {
        let hub = hub("[limits]\noutbox_bytes = 100000\n");
        let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
        bob.join(CHAT).await;
        let mut old = ChatClient::with_small_buffers(&hub, transport, "alice").await;
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
