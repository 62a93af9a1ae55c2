//! Pushes while the user connects: each notification reaches each session once.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::{JoinSet, spawn_blocking};

use super::{UNLIMITED, notify};
use crate::support::{Client, Hub};

/// Users that connect while they are sent something.
const USERS: usize = 200;
/// How many of them at once.
const AT_ONCE: usize = 8;
/// What each is sent.
const EACH: usize = 6;

/// Connects a user once, and a second time, in the middle of what the user is sent. What the first session heard, and the
/// second.
async fn meet(hub: Arc<Hub>, user: String) -> [Vec<Value>; 2] {
    let (sender, name) = (hub.clone(), user.clone());
    let sending = spawn_blocking(move || {
        for id in 0..EACH {
            notify(&sender, &name, json!({ "id": id }));
        }
    });
    let mut heard = [Vec::new(), Vec::new()];
    let mut clients = [Client::of(&hub, &user).await, Client::of(&hub, &user).await];
    sending.await.unwrap();
    for (client, heard) in clients.iter_mut().zip(&mut heard) {
        while heard.len() < EACH {
            heard.push(client.expect("notification").await["data"]["id"].take());
        }
        client.expect_silence().await;
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_while_the_user_connects_reaches_each_session_once() {
    let hub = Arc::new(Hub::with(UNLIMITED));
    let mut meetings = JoinSet::new();
    let mut met = 0;
    let check = |heard: [Vec<Value>; 2]| {
        for heard in heard {
            let mut counts = BTreeMap::new();
            for id in &heard {
                *counts.entry(id.as_u64().unwrap()).or_insert(0) += 1;
            }
            let once: BTreeMap<u64, i32> = (0..EACH as u64).map(|id| (id, 1)).collect();
            assert_eq!(counts, once, "{heard:?}");
        }
    };
    for number in 0..USERS {
        if meetings.len() >= AT_ONCE {
            check(meetings.join_next().await.unwrap().unwrap());
            met += 1;
        }
        meetings.spawn(meet(hub.clone(), format!("user-{number}")));
    }
    while let Some(heard) = meetings.join_next().await {
        check(heard.unwrap());
        met += 1;
    }
    assert_eq!(met, USERS);
    // Some were caught on both sides of the connect, or the test shows nothing.
    let again = hub.metric("hubbub_notifications_redelivered_total");
    let all = (USERS * EACH * 2) as f64;
    assert!(again > 0.0 && again < all, "{again} of {all} came behind a connect");
    assert_eq!(hub.metric("hubbub_notifications_kept_total"), (USERS * EACH) as f64);
}
