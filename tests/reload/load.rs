//! 100 reloads with 1,000 connections, while clients publish.

use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

use crate::support::{Client, DEADLINE, Hub, eventually};

const MEMBERS: usize = 1_000;
const ROOMS: usize = 100;
const RELOADS: usize = 100;
const PUBLISHERS: usize = 4;

/// The deadline of a message, while other tests compete for the processor.
const MESSAGE_DEADLINE: Duration = Duration::from_secs(60);

/// A configuration that differs from the one before, also in the topic rules. So every session checks its topics again.
fn config(number: usize) -> String {
    let any = "subscribe = \"anyone\"\npublish = \"anyone\"\n";
    format!(
        "[limits]\nrooms = {}\n[limits.raw]\nmessages_per_minute = 0\n[server]\nallowed_origins = [\"https://{number}.example\"]\n\
         [[topics]]\npattern = \"closed.{number}.*\"\nsubscribe = \"server\"\npublish = \"server\"\n\
         [[topics]]\npattern = \"*\"\n{any}",
        5_000 + number
    )
}

fn room(number: usize) -> String {
    format!("room.{}", number % ROOMS)
}

/// Receives the messages of its room until the last, asserts their order, and returns their count.
async fn listen(mut member: Client) -> (u64, Client) {
    let mut received = 0;
    loop {
        let message = member.next_within(MESSAGE_DEADLINE).await;
        assert_eq!(message["type"], "Broadcast", "{message}");
        match &message["data"]["payload"] {
            Value::Null => return (received, member),
            payload => assert_eq!(payload, &json!(received), "a message is missing, or out of order"),
        }
        received += 1;
    }
}

/// Publishes numbered messages to its share of the rooms until `stop`, then one `null` to each room.
async fn publish(mut client: Client, first: usize, stop: Arc<AtomicBool>) -> Vec<(usize, u64)> {
    let mut counts: Vec<_> = (first..ROOMS).step_by(PUBLISHERS).map(|room| (room, 0)).collect();
    while !stop.load(Ordering::Relaxed) {
        for (number, count) in &mut counts {
            client.broadcast(&room(*number), json!(count)).await;
            *count += 1;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for (number, _) in &counts {
        client.broadcast(&room(*number), Value::Null).await;
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_reloads_close_no_connection_and_lose_no_message() {
    let hub = Arc::new(Hub::with(&config(RELOADS)));
    let mut connecting = JoinSet::new();
    let mut members = Vec::new();
    for number in 0..MEMBERS {
        let hub = hub.clone();
        connecting.spawn(async move {
            let mut member = Client::of(&hub, &format!("member-{number}")).await;
            member.subscribe(&[&room(number)]).await;
            (number, member)
        });
        if connecting.len() == 50 {
            members.extend(connecting.join_next().await.map(Result::unwrap));
        }
    }
    members.extend(connecting.join_all().await);
    let stop = Arc::new(AtomicBool::new(false));
    let mut publishers = JoinSet::new();
    for first in 0..PUBLISHERS {
        let client = Client::of(&hub, &format!("publisher-{first}")).await;
        publishers.spawn(publish(client, first, stop.clone()));
    }
    let listening: Vec<_> =
        members.into_iter().map(|(number, member)| (number, tokio::spawn(listen(member)))).collect();

    let reloading = hub.clone();
    let reloaded = tokio::task::spawn_blocking(move || {
        for number in 0..RELOADS {
            let log = reloading.reload(&config(number));
            assert!(log.contains("reloaded changed="), "{log}");
        }
    });
    reloaded.await.unwrap();
    stop.store(true, Ordering::Relaxed);

    let mut published = vec![0; ROOMS];
    for (room, count) in publishers.join_all().await.into_iter().flatten() {
        published[room] = count;
    }
    assert!(published.iter().sum::<u64>() > 1_000, "{published:?}: the publishers were idle");
    let mut members = Vec::new();
    for (number, member) in listening {
        let (received, member) = member.await.unwrap();
        assert_eq!(received, published[number % ROOMS], "member {number}");
        members.push(member);
    }
    assert_eq!(hub.metric("hubbub_reloads_total"), RELOADS as f64);
    eventually(DEADLINE, "the publishers are disconnected, and no member is", || hub.connections() == MEMBERS as u64)
        .await;
    drop(members);
}
