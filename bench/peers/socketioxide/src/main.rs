//! The peer: socketioxide on axum with the hub's events and nothing else: no tokens, rules, limits or presence.
//! `TCP_NODELAY` is on, a broadcast is encoded once, and the handlers spawn no task.

use std::collections::HashMap;
use std::future::Future;
use std::io::Read;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use socketioxide::extract::{AckSender, Data, SocketRef};
use socketioxide::{SocketIo, TransportType};
use tokio::net::TcpSocket;

#[derive(Deserialize)]
struct JoinRequest {
    room: String,
}

#[derive(Serialize)]
struct RoomJoinReply {
    success: bool,
    room: String,
}

#[derive(Deserialize)]
struct BroadcastRequest {
    topic: String,
    payload: Value,
}

#[derive(Serialize)]
struct BroadcastEvent<'a> {
    topic: &'a str,
    payload: &'a Value,
    from_user: &'a str,
    message_id: &'a str,
}

#[derive(Serialize)]
struct BroadcastAck<'a> {
    message_id: &'a str,
    recipients: usize,
}

/// The member count of each room. The library has no count: it would collect all members.
type MemberCounts = Arc<Mutex<HashMap<String, usize>>>;

fn count(counts: &MemberCounts, room: &str, change: isize) -> usize {
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    if change == 0 {
        return counts.get(room).copied().unwrap_or(0);
    }
    let count = counts.entry(room.to_owned()).or_default();
    *count = count.saturating_add_signed(change);
    *count
}

fn is_in(socket: &SocketRef, room: &str) -> bool {
    socket.rooms().iter().any(|joined| joined == room)
}

fn receive(socket: &SocketRef, user: Arc<str>, counts: MemberCounts) {
    let joins = counts.clone();
    socket.on("room:join", async move |socket: SocketRef, Data(join): Data<JoinRequest>, ack: AckSender| {
        if !is_in(&socket, &join.room) {
            count(&joins, &join.room, 1);
            socket.join(join.room.clone());
        }
        let _ = ack.send(&RoomJoinReply { success: true, room: join.room });
    });
    let leaves = counts.clone();
    socket.on_disconnect(async move |socket: SocketRef| {
        for room in socket.rooms() {
            count(&leaves, &room, -1);
        }
    });
    // The handler works before it returns its future, which the library spawns. So the messages of a client keep their
    // order and cost less.
    socket.on("Broadcast", move |socket: SocketRef, Data(broadcast): Data<BroadcastRequest>, ack: AckSender| {
        let message_id = uuid::Uuid::new_v4().to_string();
        let BroadcastRequest { topic, payload } = &broadcast;
        let itself = usize::from(is_in(&socket, topic));
        let recipients = count(&counts, topic, 0).saturating_sub(itself);
        let delivery = BroadcastEvent { topic, payload, from_user: &user, message_id: &message_id };
        // With the library's in-memory adapter, one poll completes this. The library drops the event for a slow client.
        let emitting = pin!(socket.to(topic.clone()).emit("Broadcast", &delivery));
        let _ = emitting.poll(&mut Context::from_waker(Waker::noop()));
        let _ = ack.send(&BroadcastAck { message_id: &message_id, recipients });
        std::future::ready(())
    });
    socket.on("ping", |ack: AckSender| {
        let _ = ack.send(&());
        std::future::ready(())
    });
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let heartbeat = std::env::args().nth(1).and_then(|millis| millis.parse().ok()).unwrap_or(25_000);
    let (layer, io) = SocketIo::builder()
        .transports([TransportType::Websocket])
        .ping_interval(Duration::from_millis(heartbeat))
        .max_payload(65_536)
        .build_layer();
    let (users, counts) = (Arc::new(AtomicUsize::new(0)), MemberCounts::default());
    io.ns("/", async move |socket: SocketRef| {
        let user = format!("bench-{}", users.fetch_add(1, Ordering::Relaxed));
        receive(&socket, user.into(), counts.clone());
    });

    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse()?)?;
    let listener = socket.listen(4_096)?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    // Exits when the bench exits, also after a crash.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    axum::serve(listener, Router::new().layer(layer)).await?;
    Ok(())
}
