//! A hundred reloads under a thousand connections, while messages flow.

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

/// A message comes within that, while others compete for the processor.
const PATIENCE: Duration = Duration::from_secs(60);

/// Each differs from the one before, in the rules of topics too: every session looks at its topics each time.
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

/// Hears its room to the end; how many messages that were, each the one after the one before.
async fn listen(mut member: Client) -> (u64, Client) {
    let mut heard = 0;
    loop {
        let message = member.next_within(PATIENCE).await;
        assert_eq!(message["type"], "Broadcast", "{message}");
        match &message["data"]["payload"] {
            Value::Null => return (heard, member),
            payload => assert_eq!(payload, &json!(heard), "a message is missing, or out of order"),
        }
        heard += 1;
    }
}

/// Publishes to its share of the rooms, each message numbered in its room, until told to stop; then says so to each.
async fn publish(mut client: Client, first: usize, stop: Arc<AtomicBool>) -> Vec<(usize, u64)> {
    let mut said: Vec<_> = (first..ROOMS).step_by(PUBLISHERS).map(|room| (room, 0)).collect();
    while !stop.load(Ordering::Relaxed) {
        for (number, count) in &mut said {
            client.broadcast(&room(*number), json!(count)).await;
            *count += 1;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for (number, _) in &said {
        client.broadcast(&room(*number), Value::Null).await;
    }
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_reloads_disconnect_nobody_and_lose_no_message() {
    let hub = Arc::new(Hub::with(&config(RELOADS)));
    let mut coming = JoinSet::new();
    let mut members = Vec::new();
    for number in 0..MEMBERS {
        let hub = hub.clone();
        coming.spawn(async move {
            let mut member = Client::of(&hub, &format!("member-{number}")).await;
            member.subscribe(&[&room(number)]).await;
            (number, member)
        });
        if coming.len() == 50 {
            members.extend(coming.join_next().await.map(Result::unwrap));
        }
    }
    members.extend(coming.join_all().await);
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
            let said = reloading.reload(&config(number));
            assert!(said.contains("reloaded changed="), "{said}");
        }
    });
    reloaded.await.unwrap();
    stop.store(true, Ordering::Relaxed);

    let mut said = vec![0; ROOMS];
    for (room, count) in publishers.join_all().await.into_iter().flatten() {
        said[room] = count;
    }
    assert!(said.iter().sum::<u64>() > 1_000, "{said:?} is no flow");
    let mut members = Vec::new();
    for (number, member) in listening {
        let (heard, member) = member.await.unwrap();
        assert_eq!(heard, said[number % ROOMS], "member {number}");
        members.push(member);
    }
    assert_eq!(hub.metric("hubbub_reloads_total"), RELOADS as f64);
    eventually(DEADLINE, "the publishers alone are gone", || hub.connections() == MEMBERS as u64).await;
    drop(members);
}
