//! More than a user may say in a minute, over two sockets: what is refused is nobody else's loss.

use serde_json::{Value, json};
use std::collections::HashSet;

use super::{contents, heard};
use crate::support::Hub;
use crate::support::chat_client::{ChatClient, ChatTransport};

const CHAT: &str = "general";
const SENTENCE: &str = "Message rate limit exceeded. Please slow down.";

/// As configured by default, but for what the test itself asks over HTTP.
const DEFAULTS: &str = "[limits.http]\nrequests_per_minute = 0\n[presence]\naudience = \"off\"";

/// Asks on two sockets by turns, without waiting; which were done, in the order of asking, and the others' answers.
async fn ask_by_turns(
    sockets: &mut [ChatClient; 2],
    count: usize,
    event: &str,
    data: impl Fn(usize) -> Value,
) -> (Vec<usize>, Vec<Value>) {
    let mut numbers = Vec::new();
    for n in 0..count {
        numbers.push(sockets[n % 2].send_request(event, data(n)).await);
    }
    let (mut done, mut refused) = (Vec::new(), Vec::new());
    for (n, number) in numbers.into_iter().enumerate() {
        let answer = sockets[n % 2].reply(number).await;
        if answer["success"] == true { done.push(n) } else { refused.push(answer) }
    }
    (done, refused)
}

#[track_caller]
fn assert_refused(answers: Vec<Value>, count: usize) {
    assert_eq!(answers.len(), count, "{answers:?}");
    for mut answer in answers {
        let seconds = answer["details"]["retryAfter"].take().as_u64().unwrap();
        assert!((1..=60).contains(&seconds), "{answer}");
        let refusal = json!({"success": false, "message": SENTENCE, "code": "RATE_LIMITED",
                             "details": {"retryAfter": null}});
        assert_eq!(answer, refusal);
    }
}

#[tokio::test]
async fn of_105_messages_in_a_minute_over_two_sockets_100_are_accepted_and_heard_in_that_order() {
    let hub = Hub::with(DEFAULTS);
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    let mut carol = ChatClient::of(&hub, ChatTransport::Raw, "carol").await;
    let one = ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await;
    let mut sockets = [one, ChatClient::of(&hub, ChatTransport::Polling, "alice").await];
    for member in [&mut bob, &mut carol].into_iter().chain(&mut sockets) {
        member.join(CHAT).await;
    }
    let [one, two] = &mut sockets;
    heard(&hub, CHAT, [&mut bob, &mut carol, one, two]).await;

    let say = |n: usize| json!({"chatId": CHAT, "content": format!("message {n}")});
    let (accepted, refused) = ask_by_turns(&mut sockets, 105, "message:send", say).await;
    assert_refused(refused, 5);
    assert_eq!(accepted.len(), 100);
    let [one, two] = &mut sockets;
    let told = heard(&hub, CHAT, [&mut bob, &mut carol, one, two]).await;
    let heard_by = told.each_ref().map(|events| contents(events));
    assert_eq!(told[0].len(), 100, "nothing else is heard by the others");
    for order in &heard_by {
        assert_eq!(*order, heard_by[0], "one order for all");
    }
    let expected: HashSet<_> = accepted.iter().map(|n| format!("message {n}")).collect();
    let got: HashSet<_> = heard_by[0].iter().map(|&content| content.to_owned()).collect();
    assert_eq!(got, expected);
    // Of each socket, in the order it asked in.
    let number = |content: &&str| content.strip_prefix("message ").unwrap().parse::<usize>().unwrap();
    let numbers: Vec<_> = heard_by[0].iter().map(number).collect();
    for parity in 0..2 {
        assert!(numbers.iter().filter(|n| **n % 2 == parity).is_sorted(), "{numbers:?}");
    }
    let history = bob.request("message:history", json!({"chatId": CHAT, "limit": 100})).await;
    let kept: Vec<_> = history["messages"].as_array().unwrap().iter().map(|message| &message["content"]).collect();
    assert_eq!(kept, heard_by[0], "what is kept is what was heard");
    assert_eq!(history["hasMore"], false);

    // The limit is the user's: a new socket has none of its own, and others have theirs.
    let mut third = ChatClient::of(&hub, ChatTransport::Raw, "alice").await;
    third.join(CHAT).await;
    assert_eq!(third.request("message:send", say(105)).await["code"], "RATE_LIMITED");
    bob.send_message(CHAT, "still here").await;
}

#[tokio::test]
async fn of_12_typing_events_in_a_minute_over_two_sockets_10_are_accepted() {
    let hub = Hub::with(DEFAULTS);
    let mut bob = ChatClient::of(&hub, ChatTransport::Polling, "bob").await;
    let one = ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await;
    let mut sockets = [one, ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await];
    for member in std::iter::once(&mut bob).chain(&mut sockets) {
        member.join(CHAT).await;
    }
    heard(&hub, CHAT, [&mut bob]).await;
    // By turns on, and both off: the user starts and stops five times.
    let typing = |n: usize| json!({"chatId": CHAT, "isTyping": n % 4 < 2});
    let (accepted, refused) = ask_by_turns(&mut sockets, 12, "message:typing", typing).await;
    assert_refused(refused, 2);
    assert_eq!(accepted.len(), 10);
    let [told] = heard(&hub, CHAT, [&mut bob]).await;
    assert!(told.iter().all(|event| event[0] == "user:typing" && event[1]["userId"] == "alice"), "{told:?}");
    let changes: Vec<_> = told.iter().map(|event| event[1]["isTyping"].as_bool().unwrap()).collect();
    assert!(!changes.is_empty() && changes.iter().enumerate().all(|(n, on)| *on == (n % 2 == 0)), "{changes:?}");
}
