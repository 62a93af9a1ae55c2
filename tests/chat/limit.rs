//! The limits of messages and typing per minute, over two sessions of a user. Refused requests do not affect other users.

use serde_json::{Value, json};
use std::collections::HashSet;

use super::{contents, received_by};
use crate::support::Hub;
use crate::support::chat_client::{ChatClient, ChatTransport};

const CHAT: &str = "general";
const MESSAGE: &str = "Message rate limit exceeded. Please slow down.";

/// The default limits, except for the HTTP requests of the test itself.
const DEFAULTS: &str = "[limits.http]\nrequests_per_minute = 0\n[presence]\naudience = \"off\"";

/// Sends requests on two sessions in turn without waiting. Returns the accepted ones in order, and the refusals.
async fn ask_in_turn(
    sockets: &mut [ChatClient; 2],
    count: usize,
    event: &str,
    data: impl Fn(usize) -> Value,
) -> (Vec<usize>, Vec<Value>) {
    let mut numbers = Vec::new();
    for n in 0..count {
        numbers.push(sockets[n % 2].send_request(event, data(n)).await);
    }
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    for (n, number) in numbers.into_iter().enumerate() {
        let answer = sockets[n % 2].reply(number).await;
        if answer["success"] == true { accepted.push(n) } else { refused.push(answer) }
    }
    (accepted, refused)
}

#[track_caller]
fn assert_refused(answers: Vec<Value>, count: usize) {
    assert_eq!(answers.len(), count, "{answers:?}");
    for mut answer in answers {
        let seconds = answer["details"]["retryAfter"].take().as_u64().unwrap();
        assert!((1..=60).contains(&seconds), "{answer}");
        let refusal = json!({"success": false, "message": MESSAGE, "code": "RATE_LIMITED",
                             "details": {"retryAfter": null}});
        assert_eq!(answer, refusal);
    }
}

#[tokio::test]
async fn of_105_messages_in_a_minute_over_two_sessions_100_are_accepted_and_delivered_in_order() {
    let hub = Hub::with(DEFAULTS);
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    let mut carol = ChatClient::of(&hub, ChatTransport::Raw, "carol").await;
    let one = ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await;
    let mut sockets = [one, ChatClient::of(&hub, ChatTransport::Polling, "alice").await];
    for member in [&mut bob, &mut carol].into_iter().chain(&mut sockets) {
        member.join(CHAT).await;
    }
    let [one, two] = &mut sockets;
    received_by(&hub, CHAT, [&mut bob, &mut carol, one, two]).await;

    let message = |n: usize| json!({"chatId": CHAT, "content": format!("message {n}")});
    let (accepted, refused) = ask_in_turn(&mut sockets, 105, "message:send", message).await;
    assert_refused(refused, 5);
    assert_eq!(accepted.len(), 100);
    let [one, two] = &mut sockets;
    let received = received_by(&hub, CHAT, [&mut bob, &mut carol, one, two]).await;
    let contents_by_member = received.each_ref().map(|events| contents(events));
    assert_eq!(received[0].len(), 100, "the others receive nothing else");
    for order in &contents_by_member {
        assert_eq!(*order, contents_by_member[0], "one order for all");
    }
    let expected: HashSet<_> = accepted.iter().map(|n| format!("message {n}")).collect();
    let delivered: HashSet<_> = contents_by_member[0].iter().map(|&content| content.to_owned()).collect();
    assert_eq!(delivered, expected);
    // The messages of each session keep their order.
    let number = |content: &&str| content.strip_prefix("message ").unwrap().parse::<usize>().unwrap();
    let numbers: Vec<_> = contents_by_member[0].iter().map(number).collect();
    for parity in 0..2 {
        assert!(numbers.iter().filter(|n| **n % 2 == parity).is_sorted(), "{numbers:?}");
    }
    let history = bob.request("message:history", json!({"chatId": CHAT, "limit": 100})).await;
    let stored: Vec<_> = history["messages"].as_array().unwrap().iter().map(|message| &message["content"]).collect();
    assert_eq!(stored, contents_by_member[0], "the stored messages are the delivered ones");
    assert_eq!(history["hasMore"], false);

    // The limit is per user: it also applies to a new session, but not to other users.
    let mut third = ChatClient::of(&hub, ChatTransport::Raw, "alice").await;
    third.join(CHAT).await;
    assert_eq!(third.request("message:send", message(105)).await["code"], "RATE_LIMITED");
    bob.send_message(CHAT, "still here").await;
}

#[tokio::test]
async fn of_12_typing_events_in_a_minute_over_two_sessions_10_are_accepted() {
    let hub = Hub::with(DEFAULTS);
    let mut bob = ChatClient::of(&hub, ChatTransport::Polling, "bob").await;
    let one = ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await;
    let mut sockets = [one, ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await];
    for member in std::iter::once(&mut bob).chain(&mut sockets) {
        member.join(CHAT).await;
    }
    received_by(&hub, CHAT, [&mut bob]).await;
    // Both sessions start, then both stop.
    let typing = |n: usize| json!({"chatId": CHAT, "isTyping": n % 4 < 2});
    let (accepted, refused) = ask_in_turn(&mut sockets, 12, "message:typing", typing).await;
    assert_refused(refused, 2);
    assert_eq!(accepted.len(), 10);
    let [received] = received_by(&hub, CHAT, [&mut bob]).await;
    assert!(received.iter().all(|event| event[0] == "user:typing" && event[1]["userId"] == "alice"), "{received:?}");
    let changes: Vec<_> = received.iter().map(|event| event[1]["isTyping"].as_bool().unwrap()).collect();
    assert!(!changes.is_empty() && changes.iter().enumerate().all(|(n, on)| *on == (n % 2 == 0)), "{changes:?}");
}
