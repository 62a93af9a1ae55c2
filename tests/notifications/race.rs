//! Pushes while the user connects: each notification reaches each session once.

use std::collections::BTreeMap;
use std::sync::Arc;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};
use tokio::task::{JoinSet, spawn_blocking};

use super::{UNLIMITED, notify};
use crate::support::{Client, DEADLINE, Hub, wait_until};

/// How often the hub is killed, and what is to be answered before each time.
const KILLS: usize = 5;
const BEFORE_A_KILL: usize = 20;

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

#[tokio::test]
async fn whatever_was_answered_is_delivered_after_kills() {
    let mut hub = Hub::with(UNLIMITED);
    for kill in 0..KILLS {
        let answered = [(); 4].map(|()| AtomicUsize::new(0));
        thread::scope(|scope| {
            for (number, answered) in answered.iter().enumerate() {
                let http = hub.http();
                scope.spawn(move || {
                    // No more than are kept, and no answer any more when the hub is gone.
                    for id in 0..100 {
                        let user = format!("{kill}-{number}");
                        let push = json!({"userId": user, "event": "notification", "data": {"id": id}});
                        match http.request("POST", "/api/push").key().json(&push).try_send() {
                            Some(answer) => assert_eq!(answer.status, 200, "{answer:?}"),
                            None => return,
                        }
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let all = || answered.iter().map(|count| count.load(Ordering::Relaxed)).sum::<usize>();
            wait_until(DEADLINE, "notifications are sent", || all() >= BEFORE_A_KILL);
            hub.signal("KILL");
        });
        hub = hub.restart();
        for (number, answered) in answered.iter().enumerate() {
            let mut client = Client::of(&hub, &format!("{kill}-{number}")).await;
            for id in 0..answered.load(Ordering::Relaxed) {
                assert_eq!(client.expect("notification").await["data"]["id"], id);
            }
        }
    }
}
