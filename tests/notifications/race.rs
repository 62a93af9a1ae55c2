//! Pushes while the user connects: each session receives each notification once.

use std::collections::BTreeMap;
use std::sync::Arc;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};
use tokio::task::{JoinSet, spawn_blocking};

use super::{UNLIMITED, notify};
use crate::support::{Client, DEADLINE, Hub, wait_until};

/// Number of kills.
const KILLS: usize = 5;
/// Acknowledged pushes before each kill.
const BEFORE_A_KILL: usize = 20;

/// Users that connect while notifications are sent to them.
const USERS: usize = 200;
/// Concurrent users.
const AT_ONCE: usize = 8;
/// Notifications per user.
const EACH: usize = 6;

/// Connects a user twice while notifications are sent. Returns the ids that each session received.
async fn connect_while_sending(hub: Arc<Hub>, user: String) -> [Vec<Value>; 2] {
    let (sender, name) = (hub.clone(), user.clone());
    let sending = spawn_blocking(move || {
        for id in 0..EACH {
            notify(&sender, &name, json!({ "id": id }));
        }
    });
    let mut received = [Vec::new(), Vec::new()];
    let mut clients = [Client::of(&hub, &user).await, Client::of(&hub, &user).await];
    sending.await.unwrap();
    for (client, received) in clients.iter_mut().zip(&mut received) {
        while received.len() < EACH {
            received.push(client.expect("notification").await["data"]["id"].take());
        }
        client.expect_silence().await;
    }
    received
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_sent_during_a_connect_reach_each_session_once() {
    let hub = Arc::new(Hub::with(UNLIMITED));
    let mut running = JoinSet::new();
    let mut done = 0;
    let check = |received: [Vec<Value>; 2]| {
        for received in received {
            let mut counts = BTreeMap::new();
            for id in &received {
                *counts.entry(id.as_u64().unwrap()).or_insert(0) += 1;
            }
            let once: BTreeMap<u64, i32> = (0..EACH as u64).map(|id| (id, 1)).collect();
            assert_eq!(counts, once, "{received:?}");
        }
    };
    for number in 0..USERS {
        if running.len() >= AT_ONCE {
            check(running.join_next().await.unwrap().unwrap());
            done += 1;
        }
        running.spawn(connect_while_sending(hub.clone(), format!("user-{number}")));
    }
    while let Some(received) = running.join_next().await {
        check(received.unwrap());
        done += 1;
    }
    assert_eq!(done, USERS);
    // Some notifications must come from the backlog and some live; otherwise the test shows nothing.
    let again = hub.metric("hubbub_notifications_redelivered_total");
    let all = (USERS * EACH * 2) as f64;
    assert!(again > 0.0 && again < all, "{again} of {all} came from the backlog");
    assert_eq!(hub.metric("hubbub_notifications_kept_total"), (USERS * EACH) as f64);
}

#[tokio::test]
async fn acknowledged_notifications_are_delivered_after_kills() {
    let mut hub = Hub::with(UNLIMITED);
    for kill in 0..KILLS {
        let answered = [(); 4].map(|()| AtomicUsize::new(0));
        thread::scope(|scope| {
            for (number, answered) in answered.iter().enumerate() {
                let http = hub.http();
                scope.spawn(move || {
                    // At most as many as are stored. There is no response once the hub is gone.
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
