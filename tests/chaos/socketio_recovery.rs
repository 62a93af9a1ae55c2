//! The same tests with `socket.io-client`, which recovers by itself. Its `recovered` states whether messages are lost; so
//! does the event `system:state_recovery_failed`.

use super::scene::ReaderKind;
use super::{READERS, crashes, network_faults, restarts};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socketio_clients_receive_every_message_once_and_in_order_over_network_faults() {
    let audit = network_faults(ReaderKind::SocketIo).await;
    assert!(audit.counted("socket.io: recovered") > READERS as u64 / 2, "too few clients recovered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_planned_restarts_lose_nothing_for_socketio_clients() {
    restarts(ReaderKind::SocketIo).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_reports_each_loss_to_socketio_clients() {
    crashes(ReaderKind::SocketIo).await;
}
