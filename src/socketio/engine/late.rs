//! What a client sent on a connection before it came back on another one, and what is not heard yet.

use std::time::Duration;

use actix_rt::time::{Instant, sleep, sleep_until};

use super::{Engine, TransportState};

/// A polling client sends each request on its own TCP connection. A request before the new handshake may come this much later
/// than the handshake.
const LATE_REQUEST_TIME: Duration = Duration::from_secs(1);

/// How long the body of such a request is waited for.
const LATE_BODY_TIME: Duration = Duration::from_secs(5);

/// How long a socket is read on: what has come is read within it.
const LATE_FRAME_TIME: Duration = Duration::from_millis(20);

impl Engine {
    /// Resolves when the client can have said all that it said before it went to another connection.
    pub(in crate::socketio) async fn wait_for_late_messages(&self) {
        let deadline = Instant::now() + LATE_BODY_TIME;
        let is_polled = matches!(*self.state.borrow(), TransportState::Polling(_));
        sleep(if is_polled { LATE_REQUEST_TIME } else { LATE_FRAME_TIME }).await;
        loop {
            let heard = self.progress.notified();
            if !matches!(&*self.state.borrow(), TransportState::Polling(polling) if polling.posting) {
                return;
            }
            tokio::select! {
                () = heard => {}
                () = sleep_until(deadline) => return,
            }
        }
    }
}
