//! An overloaded hub refuses connections, and still serves every connection that it accepted.

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::token::token;
use crate::support::{Client, DEADLINE, Hub, Wire, eventually};

#[tokio::test]
async fn accepted_connections_receive_messages_although_others_were_refused() {
    // The queues are short, so many connections find one full.
    let hub = Hub::with(
        "[server]\nworkers = 2\n[limits]\nmailbox = 2\n[limits.raw]\nconnections_per_minute = 0\nmessages_per_minute = 0",
    );
    let path = format!("/ws?token={}", token("alice"));
    let mut members = Vec::new();
    let mut refused = 0;
    while members.len() < 40 || refused == 0 {
        let mut wires = Vec::new();
        for _ in 0..100 {
            wires.push(Wire::connect(&hub).await);
        }
        let mut connecting = JoinSet::new();
        for mut wire in wires {
            let (address, path) = (hub.address(), path.clone());
            connecting.spawn(async move { (wire.request_upgrade(address, &path, &[]).await, wire) });
        }
        while let Some(connected) = connecting.join_next().await {
            match connected.unwrap() {
                (answer, mut wire) if answer.status == 101 => {
                    assert_eq!(wire.message().await["type"], "Status");
                    members.push(wire);
                }
                (answer, _) => {
                    assert_eq!((answer.status, &answer.json()["error"]["code"]), (503, &json!("OVERLOADED")));
                    refused += 1;
                }
            }
        }
    }
    eventually(DEADLINE, "the refused connections are closed", || hub.connections() == members.len() as u64).await;
    let mut sender = Client::of(&hub, "sender").await;
    for n in 0..3 {
        let direct = json!({"type": "DirectMessage", "data": {"target_user": "alice", "payload": n}});
        let ack = sender.ask(direct, "Ack").await;
        assert_eq!(ack["data"]["recipients"], members.len(), "{refused} were refused");
        for member in &mut members {
            assert_eq!(member.message().await["data"]["payload"], n);
        }
    }
}
