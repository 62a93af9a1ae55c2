//! Who is cut off while others talk misses nothing, whatever its transport had not handed over.

use super::*;

/// How often who listens while others talk is cut off.
const CUTS: usize = 25;

/// Says things on a socket of its own, one after the other, until it is told to stop.
fn talk(mut member: ChatClient, name: &'static str, stop: &Arc<AtomicBool>) -> JoinHandle<usize> {
    let stop = stop.clone();
    tokio::spawn(async move {
        member.join(CHAT).await;
        let mut said = 0;
        while !stop.load(Ordering::Relaxed) {
            member.send_message(CHAT, &format!("{name}-{said}")).await;
            member.take_events();
            said += 1;
        }
        said
    })
}

/// The contents of all that is kept of a chat.
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

/// How a listener is cut off.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cut {
    /// It sends no more, and hears what still comes: then nothing is lost on the way.
    DriedUp,
    /// It is reset: what is on its way is lost, and that alone.
    Reset,
    /// It polls no more: what it had not fetched is not lost.
    FellSilent,
    /// It is overtaken: it goes on elsewhere while it is there, and hears what still comes.
    Overtaken,
}

/// Listens while others talk, is cut off again and again, and recovers; the stretches of what it heard between two cuts.
/// It goes on to listen.
async fn listen_cut_by_cut(hub: &Hub, ways: &[ChatTransport], cut: Cut) -> (Vec<Vec<String>>, ChatClient) {
    let mut stretches = vec![Vec::new()];
    let (mut listener, mut token) = in_chat(hub, ways[0], "listener", CHAT).await;
    for number in 1..=CUTS {
        let mut stretch = stretches.pop().unwrap();
        for _ in 0..10 + number % 7 {
            stretch.extend(texts(&[listener.event().await]));
        }
        let mut overtaken = None;
        match cut {
            Cut::DriedUp => stretch.extend(texts(&listener.half_close().await)),
            Cut::Reset => listener.reset(),
            Cut::FellSilent => stretch.extend(texts(&listener.stop_polling())),
            Cut::Overtaken => overtaken = Some(listener),
        }
        listener = ChatClient::of(hub, ways[number % ways.len()], "listener").await;
        let went_on = recover(&mut listener, &token).await;
        token = went_on.token();
        if let Some(mut overtaken) = overtaken {
            stretch.extend(texts(&overtaken.read_to_end().await.0));
        }
        stretches.extend([stretch, went_on.contents().into_iter().map(str::to_owned).collect()]);
    }
    // What is said from here on is not lost on any way.
    while stretches.last().is_none_or(Vec::is_empty) {
        stretches.last_mut().unwrap().extend(texts(&[listener.event().await]));
    }
    (stretches, listener)
}

fn texts(events: &[Value]) -> Vec<String> {
    contents(events).into_iter().map(str::to_owned).collect()
}

/// Who listens while three talk hears all of it, but for what a reset took away on the way.
async fn assert_all_heard(ways: &[ChatTransport], cut: Cut) {
    let hub = hub(TWO_WORKERS);
    let stop = Arc::new(AtomicBool::new(false));
    let mut talkers = Vec::new();
    for (name, way) in [("a", ChatTransport::WebSocket), ("b", ChatTransport::Raw), ("c", ChatTransport::WebSocket)] {
        talkers.push(talk(ChatClient::of(&hub, way, name).await, name, &stop));
    }
    let (mut stretches, mut listener) = listen_cut_by_cut(&hub, ways, cut).await;
    stop.store(true, Ordering::Relaxed);
    let mut said = 0;
    for talker in talkers {
        said += talker.await.unwrap();
    }
    stretches.last_mut().unwrap().extend(texts(&received_by(&hub, CHAT, [&mut listener]).await[0]));
    let whole = history(&hub, CHAT).await;
    assert_eq!(whole.len(), said);
    let place = |content: &String| whole.iter().position(|other| other == content).unwrap();
    let mut next = None;
    let mut lost = Vec::new();
    for (number, stretch) in stretches.iter().enumerate() {
        for (at, content) in stretch.iter().enumerate() {
            let place = place(content);
            let expected = next.unwrap_or(place);
            assert!(place >= expected, "stretch {number}: {content} came again, or late");
            let may_miss = at == 0 && number > 0 && cut == Cut::Reset;
            assert!(place == expected || may_miss, "stretch {number}: {} are missing", place - expected);
            lost.push(place - expected);
            next = Some(place + 1);
        }
    }
    assert_eq!(next, Some(whole.len()), "all was heard to the end");
    let lost: usize = lost.iter().sum();
    eprintln!("{CUTS} cuts ({cut:?}) while {said} messages were said: {lost} were lost on their way");
}

#[tokio::test]
async fn who_is_cut_off_while_others_talk_misses_nothing_on_socket_io() {
    assert_all_heard(&[ChatTransport::WebSocket], Cut::DriedUp).await;
}

#[tokio::test]
async fn who_is_cut_off_while_others_talk_misses_nothing_on_the_raw_wire() {
    assert_all_heard(&[ChatTransport::Raw], Cut::DriedUp).await;
}

#[tokio::test]
async fn who_goes_on_elsewhere_while_others_talk_misses_nothing() {
    assert_all_heard(
        &[ChatTransport::WebSocket, ChatTransport::Raw, ChatTransport::Raw, ChatTransport::Polling],
        Cut::Overtaken,
    )
    .await;
}

#[tokio::test]
async fn what_no_poll_fetched_is_brought_when_the_heartbeat_is_missed() {
    let hub = hub("[server]\nworkers = 2\n[socketio]\nping_interval_ms = 300\nping_timeout_ms = 300\n");
    let mut bob = ChatClient::of(&hub, ChatTransport::Raw, "bob").await;
    bob.join(CHAT).await;
    for round in 0..3 {
        let (alice, token) = in_chat(&hub, ChatTransport::Polling, "alice", CHAT).await;
        alice.stop_polling();
        let mut said = Vec::new();
        while hub.metric("hubbub_parked_sessions") == 0.0 {
            for _ in 0..10 {
                said.push(format!("{round}-{}", said.len()));
                bob.send_message(CHAT, &said[said.len() - 1]).await;
            }
        }
        bob.take_events();
        let mut alice = ChatClient::of(&hub, ChatTransport::Raw, "alice").await;
        let went_on = recover(&mut alice, &token).await;
        assert!(said.len() > 20, "{} messages are no load", said.len());
        let dropped = went_on.dropped.unwrap_or_default() as usize;
        assert_eq!(went_on.contents(), said[dropped..]);
        http(&hub, "POST", "/api/disconnect", &json!({"userId": "alice"}));
        settled(&hub, CHAT, json!({"bob": 1})).await;
    }
}

#[tokio::test]
async fn what_no_poll_fetched_is_brought_to_one_who_comes_back_at_once() {
    let hub = hub(TWO_WORKERS);
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    bob.join(CHAT).await;
    let (alice, token) = in_chat(&hub, ChatTransport::Polling, "alice", CHAT).await;
    alice.stop_polling();
    for content in ["1", "2", "3"] {
        bob.send_message(CHAT, content).await;
    }
    let mut alice = ChatClient::of(&hub, ChatTransport::Polling, "alice").await;
    let went_on = recover(&mut alice, &token).await;
    assert_eq!((went_on.contents(), went_on.dropped), (vec!["1", "2", "3"], None));
    assert_eq!(hub.metric("hubbub_parked_messages"), 0.0);
}

#[tokio::test]
async fn of_what_no_poll_fetched_no_more_is_kept_than_of_what_came_later() {
    let hub = hub("[recovery]\nqueue = 3\n");
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    bob.join(CHAT).await;
    let (alice, token) = in_chat(&hub, ChatTransport::Polling, "alice", CHAT).await;
    alice.stop_polling();
    for n in 0..5 {
        bob.send_message(CHAT, &n.to_string()).await;
    }
    let mut alice = ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await;
    let went_on = recover(&mut alice, &token).await;
    assert_eq!((went_on.contents(), went_on.dropped), (vec!["2", "3", "4"], Some(2)));
}

#[tokio::test]
async fn who_polls_no_more_while_others_talk_misses_nothing() {
    assert_all_heard(&[ChatTransport::Polling], Cut::FellSilent).await;
}

#[tokio::test]
async fn who_is_reset_while_others_talk_misses_only_what_was_on_its_way() {
    assert_all_heard(&[ChatTransport::WebSocket, ChatTransport::Raw], Cut::Reset).await;
}
