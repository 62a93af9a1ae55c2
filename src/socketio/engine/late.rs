//! Waits for messages that a client sent on its old connection before it resumed on a new one.

use std::time::Duration;

use actix_rt::time::{Instant, sleep, sleep_until};

use super::{Engine, TransportState};

/// A polling client sends each request on its own TCP connection, so an earlier request can arrive this much later than
/// the new handshake.
const LATE_REQUEST_TIME: Duration = Duration::from_secs(1);

/// How long the body of such a request is waited for.
const LATE_BODY_TIME: Duration = Duration::from_secs(5);

/// How long a WebSocket is read after the client reconnected. Data that has already arrived is read within this time.
const LATE_FRAME_TIME: Duration = Duration::from_millis(20);

impl Engine {
    /// Resolves when the messages that the client sent before it reconnected have been received.
    pub(in crate::socketio) async fn wait_for_late_messages(&self) {
        let deadline = Instant::now() + LATE_BODY_TIME;
        let is_polled = matches!(*self.state.borrow(), TransportState::Polling(_));
        sleep(if is_polled { LATE_REQUEST_TIME } else { LATE_FRAME_TIME }).await;
        loop {
            let progress = self.progress.notified();
            if !matches!(&*self.state.borrow(), TransportState::Polling(polling) if polling.posting) {
                return;
            }
            tokio::select! {
                () = progress => {}
                () = sleep_until(deadline) => return,
            }
        }
    }
}
