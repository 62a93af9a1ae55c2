//! The same for `socket.io-client`, which is recovered without a word of its own: its `recovered` says whether it missed
//! anything, and `system:state_recovery_failed` that it did.

use super::scene::Who;
use super::{READERS, crashes, restarts, storm};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_socketio_clients_that_are_cut_off_at_random_hear_everything_once_and_in_order() {
    let audit = storm(Who::SocketIo).await;
    assert!(audit.counted("socket.io: recovered") > READERS as u64 / 2, "that was no trouble");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_planned_restarts_lose_nothing_for_socketio_clients() {
    restarts(Who::SocketIo).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socketio_client_that_misses_something_for_a_crash_is_told_so() {
    crashes(Who::SocketIo).await;
}
