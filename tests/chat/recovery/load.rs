//! A client that is cut while others send misses nothing, whatever its transport had not delivered.

use super::*;

/// How often the listener is cut.
const CUTS: usize = 25;

/// Sends messages one after the other until `stop` is set. The result is their number.
fn send_until(mut client: ChatClient, name: &'static str, stop: &Arc<AtomicBool>) -> JoinHandle<usize> {
    let stop = stop.clone();
    tokio::spawn(async move {
        client.join(CHAT).await;
        let mut sent = 0;
        while !stop.load(Ordering::Relaxed) {
            client.send_message(CHAT, &format!("{name}-{sent}")).await;
            client.take_events();
            sent += 1;
        }
        sent
    })
}

/// The contents of all stored messages of a chat.
async fn history(hub: &Hub, chat: &str) -> Vec<String> {
    let mut reader = ChatClient::of(hub, ChatTransport::WebSocket, "reader").await;
    reader.join(chat).await;
    let (mut all, mut before) = (Vec::new(), Value::Null);
    loop {
        let page = reader.request_ok("message:history", json!({"chatId": chat, "limit": 100, "before": before})).await;
        let messages = page["messages"].as_array().unwrap();
        all.splice(0..0, messages.iter().map(|message| message["content"].as_str().unwrap().to_owned()));
        if page["hasMore"] == false {
            return all;
        }
        before = messages[0]["id"].clone();
    }
}

/// How a listener is cut.
#[derive(Debug, Clone, Copy, PartialEq)]
enum ListenerCut {
    /// It shuts down its sending side and reads to the end, so that no bytes in flight are lost.
    HalfClosed,
    /// The connection is reset. Bytes in flight are lost, and nothing else.
    Reset,
    /// It stops polling. Messages that no poll fetched are not lost.
    StoppedPolling,
    /// It recovers on another connection while the old one is open, and reads the old one to its end.
    StillOpen,
}

/// Listens while others send, with many cuts and recoveries. The result: the messages of each stretch between two cuts, and
/// the connected listener.
async fn listen_cut_by_cut(
    hub: &Hub,
    transports: &[ChatTransport],
    cut: ListenerCut,
) -> (Vec<Vec<String>>, ChatClient) {
    let mut stretches = vec![Vec::new()];
    let (mut listener, mut token) = in_chat(hub, transports[0], "listener", CHAT).await;
    for number in 1..=CUTS {
        let mut stretch = stretches.pop().unwrap();
        for _ in 0..10 + number % 7 {
            stretch.extend(texts(&[listener.event().await]));
        }
        let mut open = None;
        match cut {
            ListenerCut::HalfClosed => stretch.extend(texts(&listener.half_close().await)),
            ListenerCut::Reset => listener.reset(),
            ListenerCut::StoppedPolling => stretch.extend(texts(&listener.stop_polling())),
            ListenerCut::StillOpen => open = Some(listener),
        }
        listener = ChatClient::of(hub, transports[number % transports.len()], "listener").await;
        let recovered = recover(&mut listener, &token).await;
        token = recovered.token();
        if let Some(mut open) = open {
            stretch.extend(texts(&open.read_to_end().await.0));
        }
        stretches.extend([stretch, recovered.contents().into_iter().map(str::to_owned).collect()]);
    }
    // No cut follows, so no message is lost from here on.
    while stretches.last().is_none_or(Vec::is_empty) {
        stretches.last_mut().unwrap().extend(texts(&[listener.event().await]));
    }
    (stretches, listener)
}

fn texts(events: &[Value]) -> Vec<String> {
    contents(events).into_iter().map(str::to_owned).collect()
}

/// Asserts that a listener receives all messages of three senders, except messages that a reset lost in flight.
async fn assert_all_received(transports: &[ChatTransport], cut: ListenerCut) {
    let hub = hub(TWO_WORKERS);
    let stop = Arc::new(AtomicBool::new(false));
    let mut senders = Vec::new();
    for (name, transport) in
        [("a", ChatTransport::WebSocket), ("b", ChatTransport::Raw), ("c", ChatTransport::WebSocket)]
    {
        senders.push(send_until(ChatClient::of(&hub, transport, name).await, name, &stop));
    }
    let (mut stretches, mut listener) = listen_cut_by_cut(&hub, transports, cut).await;
    stop.store(true, Ordering::Relaxed);
    let mut sent = 0;
    for sender in senders {
        sent += sender.await.unwrap();
    }
    stretches.last_mut().unwrap().extend(texts(&received_by(&hub, CHAT, [&mut listener]).await[0]));
    let stored = history(&hub, CHAT).await;
    assert_eq!(stored.len(), sent);
    let position = |content: &String| stored.iter().position(|other| other == content).unwrap();
    let mut next = None;
    let mut lost = Vec::new();
    for (number, stretch) in stretches.iter().enumerate() {
        for (at, content) in stretch.iter().enumerate() {
            let position = position(content);
            let expected = next.unwrap_or(position);
            assert!(position >= expected, "stretch {number}: {content} is repeated or out of order");
            let may_miss = at == 0 && number > 0 && cut == ListenerCut::Reset;
            assert!(position == expected || may_miss, "stretch {number}: {} are missing", position - expected);
            lost.push(position - expected);
            next = Some(position + 1);
        }
    }
    assert_eq!(next, Some(stored.len()), "the last message was received");
    let lost: usize = lost.iter().sum();
    eprintln!("{CUTS} cuts ({cut:?}) while {sent} messages were sent: {lost} were lost in flight");
}

#[tokio::test]
async fn a_socket_io_client_that_is_cut_under_load_misses_nothing() {
    assert_all_received(&[ChatTransport::WebSocket], ListenerCut::HalfClosed).await;
}

#[tokio::test]
async fn a_raw_client_that_is_cut_under_load_misses_nothing() {
    assert_all_received(&[ChatTransport::Raw], ListenerCut::HalfClosed).await;
}

#[tokio::test]
async fn a_session_that_moves_to_another_connection_under_load_misses_nothing() {
    assert_all_received(
        &[ChatTransport::WebSocket, ChatTransport::Raw, ChatTransport::Raw, ChatTransport::Polling],
        ListenerCut::StillOpen,
    )
    .await;
}

#[tokio::test]
async fn messages_that_no_poll_fetched_are_recovered_after_a_heartbeat_timeout() {
    let hub = hub("[server]\nworkers = 2\n[socketio]\nping_interval_ms = 300\nping_timeout_ms = 1000\n");
    let mut bob = ChatClient::of(&hub, ChatTransport::Raw, "bob").await;
    bob.join(CHAT).await;
    for round in 0..3 {
        let (alice, token) = in_chat(&hub, ChatTransport::Polling, "alice", CHAT).await;
        alice.stop_polling();
        let mut sent = Vec::new();
        while hub.metric("hubbub_suspended_sessions") == 0.0 || sent.len() < 30 {
            for _ in 0..10 {
                sent.push(format!("{round}-{}", sent.len()));
                bob.send_message(CHAT, &sent[sent.len() - 1]).await;
            }
        }
        bob.take_events();
        let mut alice = ChatClient::of(&hub, ChatTransport::Raw, "alice").await;
        let recovered = recover(&mut alice, &token).await;
        let dropped = recovered.dropped.unwrap_or_default() as usize;
        assert_eq!(recovered.contents(), sent[dropped..]);
        http(&hub, "POST", "/api/disconnect", &json!({"userId": "alice"}));
        settled(&hub, CHAT, json!({"bob": 1})).await;
    }
}

#[tokio::test]
async fn a_client_that_stops_polling_under_load_misses_nothing() {
    assert_all_received(&[ChatTransport::Polling], ListenerCut::StoppedPolling).await;
}

#[tokio::test]
async fn a_reset_under_load_loses_only_bytes_in_flight() {
    assert_all_received(&[ChatTransport::WebSocket, ChatTransport::Raw], ListenerCut::Reset).await;
}
