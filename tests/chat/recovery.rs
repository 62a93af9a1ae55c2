//! Sessions that are cut off and recovered by a token: nothing twice, nothing lost that came after the cut, and nothing
//! left over.

use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinHandle;

use super::{contents, heard, http, is_time, online_update, put, put_private, room_left, settled, timeless, unlimited};
use super::{user_joined, user_left};
use crate::support::member::{Member, Way};
use crate::support::token::{now, token_with};
use crate::support::{DEADLINE, Hub, eventually};

const CHAT: &str = "general";
const RECOVERED: &str = "Connection recovered successfully";

fn hub(more: &str) -> Hub {
    Hub::with(&unlimited(&format!("[presence]\naudience = \"off\"\n{more}")))
}

const TWO_WORKERS: &str = "[server]\nworkers = 2\n";

/// How often who listens while others talk is cut off.
const CUTS: usize = 25;

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
async fn recover(member: &mut Member, token: &str) -> Recovered {
    let number = member.say("connection:recover", json!({ "recoveryToken": token })).await;
    recovered(member, number).await
}

async fn recovered(member: &mut Member, number: u64) -> Recovered {
    let mut answer = member.answer(number).await;
    assert_eq!((&answer["success"], &answer["message"]), (&json!(true), &json!(RECOVERED)), "{answer}");
    let session = answer["session"].take();
    assert_eq!(session["messageQueue"], json!([]), "{session}");
    let mut events = member.take_heard();
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
    member.hear_again(events);
    Recovered { session, messages, dropped }
}

async fn assert_invalid(member: &mut Member, token: &str) {
    let answer = member.ask("connection:recover", json!({ "recoveryToken": token })).await;
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
async fn in_chat(hub: &Hub, way: Way, user: &str, chat: &str) -> (Member, String) {
    let mut member = Member::of(hub, way, user).await;
    member.join(chat).await;
    let token = member.token().await;
    (member, token)
}

#[tokio::test]
async fn a_session_goes_on_whichever_way_it_comes_back() {
    let hub = hub(TWO_WORKERS);
    let mut bob = Member::of(&hub, Way::WebSocket, "bob").await;
    bob.join(CHAT).await;
    let (mut alice, mut token) = in_chat(&hub, Way::WebSocket, "alice", CHAT).await;
    let before = alice.ask("connection:session-info", json!({})).await["sessionInfo"].clone();
    heard(&hub, CHAT, [&mut alice, &mut bob]).await;
    let mut said = 0;
    // On which of the two workers it comes back cannot be seen; it comes back often enough for both.
    for way in [Way::Raw, Way::WebSocket, Way::Raw, Way::Polling] {
        bob.send(CHAT, "live").await;
        assert_eq!(contents(&heard(&hub, CHAT, [&mut alice]).await[0]), ["live"], "to {way:?}");
        alice.vanish();
        settled(&hub, CHAT, json!({"bob": 1})).await;
        let missed: Vec<_> = (0..10).map(|n| format!("{}", said + n)).collect();
        said += 10;
        for content in &missed {
            bob.send(CHAT, content).await;
        }
        assert_eq!(hub.metric("hubbub_parked_messages"), 10.0);
        let [to_bob] = heard(&hub, CHAT, [&mut bob]).await;
        let gone = [user_left("alice", CHAT, 1), online_update(CHAT, &["bob"])];
        let at = to_bob.iter().position(|event| event[0] == "user:left").unwrap();
        assert_eq!(to_bob[at..at + 2], gone);

        alice = Member::of(&hub, way, "alice").await;
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
        let [to_bob, to_alice] = heard(&hub, CHAT, [&mut bob, &mut alice]).await;
        let both = online_update(CHAT, &["bob", "alice"]);
        assert_eq!((to_bob, to_alice), (vec![user_joined("alice", CHAT, 2), both.clone()], vec![both]));
        token = went_on.token();
    }
    assert_eq!(hub.metric("hubbub_sessions_recovered_total"), 4.0);
    drop((alice, bob));
}

/// Says things on a socket of its own, one after the other, until it is told to stop.
fn talk(mut member: Member, name: &'static str, stop: &Arc<AtomicBool>) -> JoinHandle<usize> {
    let stop = stop.clone();
    tokio::spawn(async move {
        member.join(CHAT).await;
        let mut said = 0;
        while !stop.load(Ordering::Relaxed) {
            member.send(CHAT, &format!("{name}-{said}")).await;
            member.take_heard();
            said += 1;
        }
        said
    })
}

/// The contents of all that is kept of a chat.
async fn history(hub: &Hub, chat: &str) -> Vec<String> {
    let mut reader = Member::of(hub, Way::WebSocket, "reader").await;
    reader.join(chat).await;
    let (mut all, mut before) = (Vec::new(), Value::Null);
    loop {
        let page = reader.ask_well("message:history", json!({"chatId": chat, "limit": 100, "before": before})).await;
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
async fn listen_cut_by_cut(hub: &Hub, ways: &[Way], cut: Cut) -> (Vec<Vec<String>>, Member) {
    let mut stretches = vec![Vec::new()];
    let (mut listener, mut token) = in_chat(hub, ways[0], "listener", CHAT).await;
    for number in 1..=CUTS {
        let mut stretch = stretches.pop().unwrap();
        for _ in 0..10 + number % 7 {
            stretch.extend(texts(&[listener.event().await]));
        }
        let mut overtaken = None;
        match cut {
            Cut::DriedUp => stretch.extend(texts(&listener.dry_up().await)),
            Cut::Reset => listener.vanish(),
            Cut::FellSilent => stretch.extend(texts(&listener.fall_silent())),
            Cut::Overtaken => overtaken = Some(listener),
        }
        listener = Member::of(hub, ways[number % ways.len()], "listener").await;
        let went_on = recover(&mut listener, &token).await;
        token = went_on.token();
        if let Some(mut overtaken) = overtaken {
            stretch.extend(texts(&overtaken.until_ended().await.0));
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
async fn assert_all_heard(ways: &[Way], cut: Cut) {
    let hub = hub(TWO_WORKERS);
    let stop = Arc::new(AtomicBool::new(false));
    let mut talkers = Vec::new();
    for (name, way) in [("a", Way::WebSocket), ("b", Way::Raw), ("c", Way::WebSocket)] {
        talkers.push(talk(Member::of(&hub, way, name).await, name, &stop));
    }
    let (mut stretches, mut listener) = listen_cut_by_cut(&hub, ways, cut).await;
    stop.store(true, Ordering::Relaxed);
    let mut said = 0;
    for talker in talkers {
        said += talker.await.unwrap();
    }
    stretches.last_mut().unwrap().extend(texts(&heard(&hub, CHAT, [&mut listener]).await[0]));
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
    assert_all_heard(&[Way::WebSocket], Cut::DriedUp).await;
}

#[tokio::test]
async fn who_is_cut_off_while_others_talk_misses_nothing_on_the_raw_wire() {
    assert_all_heard(&[Way::Raw], Cut::DriedUp).await;
}

#[tokio::test]
async fn who_goes_on_elsewhere_while_others_talk_misses_nothing() {
    assert_all_heard(&[Way::WebSocket, Way::Raw, Way::Raw, Way::Polling], Cut::Overtaken).await;
}

#[tokio::test]
async fn what_no_poll_fetched_is_brought_when_the_heartbeat_is_missed() {
    let hub = hub("[server]\nworkers = 2\n[socketio]\nping_interval_ms = 300\nping_timeout_ms = 300\n");
    let mut bob = Member::of(&hub, Way::Raw, "bob").await;
    bob.join(CHAT).await;
    for round in 0..3 {
        let (alice, token) = in_chat(&hub, Way::Polling, "alice", CHAT).await;
        alice.fall_silent();
        let mut said = Vec::new();
        while hub.metric("hubbub_parked_sessions") == 0.0 {
            for _ in 0..10 {
                said.push(format!("{round}-{}", said.len()));
                bob.send(CHAT, &said[said.len() - 1]).await;
            }
        }
        bob.take_heard();
        let mut alice = Member::of(&hub, Way::Raw, "alice").await;
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
    let mut bob = Member::of(&hub, Way::WebSocket, "bob").await;
    bob.join(CHAT).await;
    let (alice, token) = in_chat(&hub, Way::Polling, "alice", CHAT).await;
    alice.fall_silent();
    for content in ["1", "2", "3"] {
        bob.send(CHAT, content).await;
    }
    let mut alice = Member::of(&hub, Way::Polling, "alice").await;
    let went_on = recover(&mut alice, &token).await;
    assert_eq!((went_on.contents(), went_on.dropped), (vec!["1", "2", "3"], None));
    assert_eq!(hub.metric("hubbub_parked_messages"), 0.0);
}

#[tokio::test]
async fn of_what_no_poll_fetched_no_more_is_kept_than_of_what_came_later() {
    let hub = hub("[recovery]\nqueue = 3\n");
    let mut bob = Member::of(&hub, Way::WebSocket, "bob").await;
    bob.join(CHAT).await;
    let (alice, token) = in_chat(&hub, Way::Polling, "alice", CHAT).await;
    alice.fall_silent();
    for n in 0..5 {
        bob.send(CHAT, &n.to_string()).await;
    }
    let mut alice = Member::of(&hub, Way::WebSocket, "alice").await;
    let went_on = recover(&mut alice, &token).await;
    assert_eq!((went_on.contents(), went_on.dropped), (vec!["2", "3", "4"], Some(2)));
}

#[tokio::test]
async fn who_polls_no_more_while_others_talk_misses_nothing() {
    assert_all_heard(&[Way::Polling], Cut::FellSilent).await;
}

#[tokio::test]
async fn who_is_reset_while_others_talk_misses_only_what_was_on_its_way() {
    assert_all_heard(&[Way::WebSocket, Way::Raw], Cut::Reset).await;
}

#[tokio::test]
async fn a_token_serves_its_user_once_and_the_last_one_made() {
    let hub = hub("");
    let mut bob = Member::of(&hub, Way::WebSocket, "bob").await;
    bob.join(CHAT).await;
    let (mut alice, first) = in_chat(&hub, Way::WebSocket, "alice", CHAT).await;
    let second = alice.token().await;
    // A session cannot be its own.
    assert_invalid(&mut alice, &second).await;
    alice.vanish();
    parked(&hub, 1).await;
    bob.send(CHAT, "missed").await;
    let mut alice = Member::of(&hub, Way::WebSocket, "alice").await;
    for token in [first.as_str(), "", "nonsense", &"x".repeat(10_000)] {
        assert_invalid(&mut alice, token).await;
    }
    // Another user's tokens are nobody's, and serve their user still.
    assert_invalid(&mut bob, &second).await;
    let went_on = recover(&mut alice, &second).await;
    assert_eq!(went_on.contents(), ["missed"]);
    let mut other = Member::of(&hub, Way::Raw, "alice").await;
    for token in [&first, &second] {
        let answer = other.ask("connection:recover", json!({ "recoveryToken": token })).await;
        assert_eq!(answer["code"], "NOT_FOUND", "{answer}");
    }
    // The new token serves, even after attempts that failed.
    alice.vanish();
    parked(&hub, 1).await;
    assert_eq!(recover(&mut other, &went_on.token()).await.contents(), Vec::<&str>::new());
    drop((bob, other));
    let field = json!({"success": false, "message": "Invalid request data", "code": "INVALID_REQUEST"});
    let mut alice = Member::of(&hub, Way::WebSocket, "alice").await;
    for data in [json!({}), json!({"recoveryToken": 7}), json!({"recoveryToken": null})] {
        let mut answer = alice.ask("connection:recover", data.clone()).await;
        answer.as_object_mut().unwrap().remove("details");
        assert_eq!(answer, field, "{data}");
    }
}

#[tokio::test]
async fn nothing_of_a_session_is_left_when_its_time_has_passed() {
    let hub = hub("[recovery]\nwindow_secs = 1\n");
    let mut bob = Member::of(&hub, Way::WebSocket, "bob").await;
    bob.join(CHAT).await;
    let mut tokens = Vec::new();
    for way in [Way::WebSocket, Way::Raw] {
        let (alice, token) = in_chat(&hub, way, "alice", CHAT).await;
        alice.vanish();
        tokens.push(token);
    }
    settled(&hub, CHAT, json!({"bob": 1})).await;
    bob.send(CHAT, "too late").await;
    parked(&hub, 0).await;
    let mut alice = Member::of(&hub, Way::WebSocket, "alice").await;
    for token in &tokens {
        assert_invalid(&mut alice, token).await;
    }
    let info = alice.ask("connection:session-info", json!({})).await;
    assert_eq!(info["sessionInfo"]["rooms"], json!([]), "{info}");
    let stats = alice.ask("connection:stats", json!({})).await;
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
    let mut bob = Member::of(&hub, Way::Raw, "bob").await;
    bob.join(CHAT).await;
    let (alice, token) = in_chat(&hub, Way::WebSocket, "alice", CHAT).await;
    alice.vanish();
    parked(&hub, 1).await;
    for n in 0..5 {
        bob.send(CHAT, &n.to_string()).await;
    }
    let stats = bob.ask("connection:stats", json!({})).await;
    assert_eq!(stats["stats"]["queuedMessages"], 3, "{stats}");
    let mut alice = Member::of(&hub, Way::WebSocket, "alice").await;
    let went_on = recover(&mut alice, &token).await;
    assert_eq!((went_on.contents(), went_on.dropped), (vec!["2", "3", "4"], Some(2)));
    // What is missing can be read.
    let asked = json!({"chatId": CHAT, "before": went_on.messages[0]["id"]});
    let page = alice.ask("message:history", asked).await;
    let missing: Vec<_> = page["messages"].as_array().unwrap().iter().map(|message| &message["content"]).collect();
    assert_eq!(missing, ["0", "1"]);
    assert_eq!(hub.metric("hubbub_parked_messages"), 0.0);
    // Exactly as many are none too many.
    alice.vanish();
    parked(&hub, 1).await;
    for n in 5..8 {
        bob.send(CHAT, &n.to_string()).await;
    }
    let mut alice = Member::of(&hub, Way::Raw, "alice").await;
    let went_on = recover(&mut alice, &went_on.token()).await;
    assert_eq!((went_on.contents(), went_on.dropped), (vec!["5", "6", "7"], None));
}

#[tokio::test]
async fn of_large_messages_as_many_are_brought_as_half_an_outbox_holds() {
    let hub = hub(TWO_WORKERS);
    let mut bob = Member::of(&hub, Way::WebSocket, "bob").await;
    bob.join(CHAT).await;
    let (mut alice, mut token) = in_chat(&hub, Way::WebSocket, "alice", CHAT).await;
    for (way, count) in [(Way::Raw, 50), (Way::WebSocket, 90), (Way::Polling, 90)] {
        alice.vanish();
        settled(&hub, CHAT, json!({"bob": 1})).await;
        let sent: Vec<_> = (0..count).map(|n| format!("{n}: {}", "x".repeat(8_000))).collect();
        for content in &sent {
            bob.send(CHAT, content).await;
        }
        alice = Member::of(&hub, way, "alice").await;
        let went_on = recover(&mut alice, &token).await;
        let brought = went_on.contents().len();
        assert_eq!(went_on.contents(), sent[count - brought..], "{way:?}");
        assert_eq!(brought as u64 + went_on.dropped.unwrap_or_default(), count as u64);
        assert!(brought >= 50, "{brought} of {count}");
        token = went_on.token();
        bob.send(CHAT, "after").await;
        let [told] = heard(&hub, CHAT, [&mut alice]).await;
        assert_eq!(contents(&told), ["after"], "{way:?}");
    }
    assert_eq!((hub.metric("hubbub_parked_messages"), hub.metric("hubbub_parked_sessions")), (0.0, 0.0));
}

#[tokio::test]
async fn of_two_who_come_with_one_token_one_goes_on() {
    for is_alive in [true, false] {
        let hub = hub(TWO_WORKERS);
        let mut bob = Member::of(&hub, Way::WebSocket, "bob").await;
        bob.join(CHAT).await;
        let (old, token) = in_chat(&hub, Way::WebSocket, "alice", CHAT).await;
        let mut alive = Some(old);
        if !is_alive {
            alive.take().unwrap().vanish();
            parked(&hub, 1).await;
            bob.send(CHAT, "missed").await;
        }
        let mut rivals =
            [Member::of(&hub, Way::WebSocket, "alice").await, Member::of(&hub, Way::Polling, "alice").await];
        let asked = json!({ "recoveryToken": token });
        let numbers = [
            rivals[0].say("connection:recover", asked.clone()).await,
            rivals[1].say("connection:recover", asked).await,
        ];
        let mut brought = Vec::new();
        for (rival, number) in rivals.iter_mut().zip(numbers) {
            let answer = rival.answer(number).await;
            if answer["success"] == true {
                let queued = rival.take_heard().into_iter().find(|event| event[0] == "connection:queued-messages");
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
    let mut bob = Member::of(&hub, Way::WebSocket, "bob").await;
    bob.join(CHAT).await;
    for way in [Way::WebSocket, Way::Raw] {
        let short = token_with(json!({"sub": "alice", "exp": now() + 2}));
        let mut old = Member::with_token(&hub, way, &short).await;
        old.join(CHAT).await;
        let token = old.token().await;
        old.until_ended().await;
        settled(&hub, CHAT, json!({"bob": 1})).await;
        bob.send(CHAT, "missed").await;
        let mut alice = Member::of(&hub, way, "alice").await;
        assert_eq!(recover(&mut alice, &token).await.contents(), ["missed"], "{way:?}");
        http(&hub, "POST", "/api/disconnect", &json!({"userId": "alice"}));
        settled(&hub, CHAT, json!({"bob": 1})).await;
    }
}

#[tokio::test]
async fn a_connection_that_still_looks_alive_ends_when_its_session_goes_on_elsewhere() {
    for way in [Way::WebSocket, Way::Raw] {
        let hub = hub(TWO_WORKERS);
        let mut bob = Member::of(&hub, Way::WebSocket, "bob").await;
        bob.join(CHAT).await;
        let (mut old, token) = in_chat(&hub, way, "alice", CHAT).await;
        bob.send(CHAT, "live").await;
        let mut alice = Member::of(&hub, Way::WebSocket, "alice").await;
        let went_on = recover(&mut alice, &token).await;
        let (told, put_out) = old.until_ended().await;
        assert_eq!((contents(&told), put_out), (vec!["live"], way == Way::WebSocket));
        assert_eq!(went_on.contents(), Vec::<&str>::new());
        bob.send(CHAT, "after").await;
        assert_eq!(contents(&heard(&hub, CHAT, [&mut alice]).await[0]), ["after"]);
        settled(&hub, CHAT, json!({"alice": 1, "bob": 1})).await;
        assert_eq!(hub.metric("hubbub_parked_sessions"), 0.0);
    }
}

#[tokio::test]
async fn a_connection_that_reads_nothing_does_not_hold_up_its_session() {
    for way in [Way::WebSocket, Way::Raw] {
        let hub = hub(TWO_WORKERS);
        let mut bob = Member::of(&hub, Way::WebSocket, "bob").await;
        bob.join(CHAT).await;
        let mut old = Member::narrow(&hub, way, "alice").await;
        old.join(CHAT).await;
        let token = old.token().await;
        // More than the sockets hold, and less than an outbox.
        for n in 0..40 {
            bob.send(CHAT, &format!("{n}{}", "x".repeat(9_000))).await;
        }
        let mut alice = Member::of(&hub, Way::WebSocket, "alice").await;
        assert_eq!(recover(&mut alice, &token).await.session["rooms"], json!([CHAT]), "{way:?}");
        settled(&hub, CHAT, json!({"alice": 1, "bob": 1})).await;
        drop(old);
    }
}

#[tokio::test]
async fn who_lost_messages_by_reading_too_slowly_cannot_go_on_as_if_nothing_was_missing() {
    for way in [Way::WebSocket, Way::Raw] {
        let hub = hub("[limits]\noutbox_bytes = 100000\n");
        let mut bob = Member::of(&hub, Way::WebSocket, "bob").await;
        bob.join(CHAT).await;
        let mut old = Member::narrow(&hub, way, "alice").await;
        old.join(CHAT).await;
        let token = old.token().await;
        while hub.counters()["active_connections"] == 2 {
            bob.send(CHAT, &"x".repeat(9_000)).await;
            bob.take_heard();
        }
        let mut alice = Member::of(&hub, Way::WebSocket, "alice").await;
        assert_invalid(&mut alice, &token).await;
        drop(old);
    }
}

#[tokio::test]
async fn who_joined_a_chat_again_before_it_recovers_misses_nothing_and_hears_nothing_twice() {
    for way in [Way::WebSocket, Way::Raw] {
        let hub = hub(TWO_WORKERS);
        put(&hub, "other", &json!({"public": true}));
        let mut bob = Member::of(&hub, Way::WebSocket, "bob").await;
        for chat in [CHAT, "other"] {
            bob.join(chat).await;
        }
        let (mut old, token) = in_chat(&hub, way, "alice", CHAT).await;
        old.join("other").await;
        old.vanish();
        parked(&hub, 1).await;
        bob.send(CHAT, "missed").await;
        bob.send("other", "missed elsewhere").await;
        let mut alice = Member::of(&hub, way, "alice").await;
        alice.join(CHAT).await;
        bob.send(CHAT, "live").await;
        bob.send("other", "missed there, too").await;
        let [told] = heard(&hub, CHAT, [&mut alice]).await;
        assert_eq!(contents(&told), ["live"]);
        let went_on = recover(&mut alice, &token).await;
        assert_eq!(went_on.contents(), ["missed", "missed elsewhere", "missed there, too"]);
        assert_eq!(went_on.session["rooms"], json!([CHAT, "other"]));
        bob.send(CHAT, "after").await;
        bob.send("other", "after").await;
        assert_eq!(contents(&heard(&hub, CHAT, [&mut alice]).await[0]), ["after", "after"]);
        alice.disconnect().await;
        // That one may come back, too; its time has not passed.
        parked(&hub, 1).await;
        let mut again = Member::of(&hub, way, "alice").await;
        recover(&mut again, &went_on.token()).await;
    }
}

#[tokio::test]
async fn who_joins_and_recovers_in_one_breath_misses_nothing_and_hears_nothing_twice() {
    let hub = hub(TWO_WORKERS);
    let mut talker = Member::of(&hub, Way::WebSocket, "talker").await;
    talker.join(CHAT).await;
    for round in 0..10 {
        let way = if round % 2 == 0 { Way::WebSocket } else { Way::Raw };
        let (old, token) = in_chat(&hub, way, "alice", CHAT).await;
        old.vanish();
        parked(&hub, 1).await;
        let expected: Vec<_> = (0..30).map(|n| format!("{round}-{n}")).collect();
        for content in &expected[..10] {
            talker.send(CHAT, content).await;
        }
        let talking = {
            let rest = expected[10..].to_vec();
            tokio::spawn(async move {
                for content in &rest {
                    talker.send(CHAT, content).await;
                }
                talker
            })
        };
        let mut alice = Member::of(&hub, way, "alice").await;
        let joining = alice.say("join:chat", json!({"chatId": CHAT})).await;
        let recovering = alice.say("connection:recover", json!({"recoveryToken": token})).await;
        assert_eq!(alice.answer(joining).await["success"], true);
        let live_before = alice.take_heard();
        let went_on = recovered(&mut alice, recovering).await;
        talker = talking.await.unwrap();
        let [live] = heard(&hub, CHAT, [&mut alice]).await;
        let mut all = went_on.contents();
        all.extend(contents(&live_before));
        all.extend(contents(&live));
        let distinct: HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "something came twice: {all:?}");
        assert_eq!(all, expected, "of round {round}, {way:?}");
        http(&hub, "POST", "/api/disconnect", &json!({"userId": "alice"}));
        talker.take_heard();
    }
}

#[tokio::test]
async fn a_chat_that_was_closed_to_the_user_meanwhile_is_not_recovered() {
    let hub = hub("");
    for chat in ["team", "gone"] {
        put_private(&hub, chat, &["alice", "bob"]);
    }
    let mut bob = Member::of(&hub, Way::WebSocket, "bob").await;
    let (mut alice, token) = in_chat(&hub, Way::WebSocket, "alice", CHAT).await;
    for chat in ["team", "gone", CHAT] {
        bob.join(chat).await;
        if chat != CHAT {
            alice.join(chat).await;
        }
    }
    alice.vanish();
    parked(&hub, 1).await;
    for chat in ["team", "gone", CHAT] {
        bob.send(chat, &format!("{chat} before")).await;
    }
    put_private(&hub, "team", &["bob"]);
    http(&hub, "DELETE", "/api/chats/gone", &Value::Null);
    for chat in ["team", CHAT] {
        bob.send(chat, &format!("{chat} after")).await;
    }
    let mut alice = Member::of(&hub, Way::Polling, "alice").await;
    let went_on = recover(&mut alice, &token).await;
    assert_eq!(went_on.contents(), ["general before", "general after"]);
    assert_eq!(went_on.session["rooms"], json!([CHAT]));
    bob.send("team", "not for her").await;
    bob.send(CHAT, "for her").await;
    let [told] = heard(&hub, CHAT, [&mut alice]).await;
    assert_eq!(contents(&told), ["for her"]);
    let [told] = heard(&hub, "team", [&mut bob]).await;
    assert!(told.contains(&room_left("gone", "Chat not found or access denied", 0)), "{told:?}");
    alice.disconnect().await;
    drop(bob);
    eventually(DEADLINE, "the connections are gone", || hub.connections() == 0).await;
    parked(&hub, 1).await;
}

#[tokio::test]
async fn a_session_that_the_application_ended_is_over() {
    let hub = hub("[recovery]\nwindow_secs = 600\n");
    for way in [Way::WebSocket, Way::Raw] {
        let (mut alice, token) = in_chat(&hub, way, "alice", CHAT).await;
        let (bob, _) = in_chat(&hub, way, "bob", CHAT).await;
        http(&hub, "POST", "/api/disconnect", &json!({"userId": "alice"}));
        alice.until_ended().await;
        settled(&hub, CHAT, json!({"bob": 1})).await;
        let mut alice = Member::of(&hub, way, "alice").await;
        let answer = alice.ask("connection:recover", json!({ "recoveryToken": token })).await;
        assert_eq!(answer["code"], "NOT_FOUND", "{way:?}: {answer}");

        // Also one that was cut off when it was ended.
        alice.join(CHAT).await;
        let token = alice.token().await;
        alice.vanish();
        parked(&hub, 1).await;
        http(&hub, "POST", "/api/disconnect", &json!({"userId": "alice"}));
        let mut alice = Member::of(&hub, way, "alice").await;
        let answer = alice.ask("connection:recover", json!({ "recoveryToken": token })).await;
        assert_eq!(answer["code"], "NOT_FOUND", "{way:?}: {answer}");
        parked(&hub, 0).await;
        drop((alice, bob));
        eventually(DEADLINE, "the connections are gone", || hub.connections() == 0).await;
        // Bob's may come back; nobody ended that.
        parked(&hub, 1).await;
        http(&hub, "POST", "/api/disconnect", &json!({"userId": "bob"}));
        assert_nothing_left(&hub).await;
    }
}

#[tokio::test]
async fn one_who_leaves_its_chats_first_has_nothing_queued() {
    let hub = hub(TWO_WORKERS);
    let mut bob = Member::of(&hub, Way::WebSocket, "bob").await;
    bob.join(CHAT).await;
    let (mut alice, token) = in_chat(&hub, Way::Raw, "alice", CHAT).await;
    alice.ask_well("leave:chat", json!({"chatId": CHAT})).await;
    alice.vanish();
    parked(&hub, 1).await;
    bob.send(CHAT, "not for her").await;
    assert_eq!(hub.metric("hubbub_parked_messages"), 0.0);
    let mut alice = Member::of(&hub, Way::WebSocket, "alice").await;
    let went_on = recover(&mut alice, &token).await;
    assert_eq!((went_on.contents(), &went_on.session["rooms"]), (vec![], &json!([])));
    let typing = json!({"chatId": CHAT, "isTyping": true});
    assert_eq!(alice.ask("message:typing", typing).await["message"], "User not in this room");
}

#[tokio::test]
async fn typing_ends_with_the_connection_and_is_not_recovered() {
    let hub = hub("");
    let mut bob = Member::of(&hub, Way::WebSocket, "bob").await;
    bob.join(CHAT).await;
    let (mut alice, token) = in_chat(&hub, Way::WebSocket, "alice", CHAT).await;
    heard(&hub, CHAT, [&mut bob]).await;
    alice.ask_well("message:typing", json!({"chatId": CHAT, "isTyping": true})).await;
    alice.vanish();
    parked(&hub, 1).await;
    let [told] = heard(&hub, CHAT, [&mut bob]).await;
    let typing = |typing: bool| {
        json!(["user:typing", {"userId": "alice", "username": "alice", "chatId": CHAT,
                                                       "isTyping": typing, "timestamp": "T"}])
    };
    let gone = [user_left("alice", CHAT, 1), online_update(CHAT, &["bob"])];
    assert_eq!(told, [vec![typing(true), typing(false)], gone.to_vec()].concat());
    let mut alice = Member::of(&hub, Way::Raw, "alice").await;
    recover(&mut alice, &token).await;
    let typing = bob.ask("message:typing-users", json!({"chatId": CHAT})).await;
    assert_eq!(typing, json!({"success": true, "typingUsers": []}));
}

#[tokio::test]
async fn whoever_goes_without_a_token_leaves_nothing() {
    let hub = hub(TWO_WORKERS);
    for way in [Way::WebSocket, Way::Raw] {
        let mut member = Member::of(&hub, way, "alice").await;
        member.join(CHAT).await;
        member.send(CHAT, "hello").await;
        member.vanish();
    }
    let mut member = Member::of(&hub, Way::Polling, "alice").await;
    member.join(CHAT).await;
    member.disconnect().await;
    eventually(DEADLINE, "the session is gone", || hub.metric("hubbub_users") == 0.0).await;
    assert_eq!((hub.metric("hubbub_parked_sessions"), hub.metric("hubbub_rooms")), (0.0, 0.0));
}

#[tokio::test]
async fn what_is_asked_behind_a_recovery_is_answered_behind_it() {
    let hub = hub(TWO_WORKERS);
    let (old, token) = in_chat(&hub, Way::WebSocket, "alice", CHAT).await;
    let mut alice = Member::of(&hub, Way::Raw, "alice").await;
    let recovering = alice.say("connection:recover", json!({"recoveryToken": token})).await;
    let sending = alice.say("message:send", json!({"chatId": CHAT, "content": "behind it"})).await;
    recovered(&mut alice, recovering).await;
    assert_eq!(alice.answer(sending).await["success"], true);
    assert_eq!(contents(&heard(&hub, CHAT, [&mut alice]).await[0]), ["behind it"]);
    drop(old);
}
