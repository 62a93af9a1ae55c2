//! The requests of an Engine.IO session on polling: their limits and their timeouts.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hubbub_actors::limits::traffic::{TrafficBudget, TrafficLimit, WINDOW_SECS};
use hubbub_actors::model::close::Close;
use hubbub_actors::model::fault::Fault;
use tokio::sync::oneshot;

use super::{CLOSE, Engine, TransportState};
use crate::codec::engineio;
use crate::socketio::error::EngineError;
use crate::socketio::polls::{PollState, WaitingPoll};
use crate::socketio::timer::Timer;

/// Longest time from a polling handshake to the client's next request.
const FIRST_REQUEST_TIME: Duration = Duration::from_secs(10);

/// The name of that limit in the log.
const FIRST_REQUEST_RULE: &str = "10 seconds from a polling handshake to the next request";

/// The state of a session on polling.
pub(super) struct PollingState {
    /// The poll that waits for packets.
    pub(super) waiting: Option<WaitingPoll>,
    /// The last poll that was answered.
    pub(super) answered: Option<Arc<PollState>>,
    /// The packets of a POST are being processed.
    pub(super) posting: bool,
    /// A WebSocket is being probed.
    pub(super) probing: bool,
    /// Ends the session unless a request follows the handshake.
    pub(super) unused: Option<Timer>,
    /// The traffic of the client's requests.
    pub(super) budget: TrafficBudget,
}

impl PollingState {
    pub(super) fn new(traffic: TrafficLimit) -> Self {
        let budget = TrafficBudget::new(traffic);
        Self { waiting: None, answered: None, posting: false, probing: false, unused: None, budget }
    }

    /// Takes the waiting poll. It becomes the last answered poll.
    pub(super) fn take_waiting(&mut self) -> Option<WaitingPoll> {
        let poll = self.waiting.take()?;
        self.answered = Some(poll.state.clone());
        Some(poll)
    }

    /// Whether a POST is in progress, a poll waits, or the last response is not written yet.
    pub(super) fn has_request(&self) -> bool {
        self.posting || self.waiting.is_some() || self.answered.as_ref().is_some_and(|poll| !poll.is_written())
    }
}

impl Engine {
    /// Ends the session unless the client sends a request in time.
    pub(in crate::socketio) fn await_request(self: &Rc<Self>) {
        let (engine, in_time) = (Rc::downgrade(self), self.context.clock.sleep(FIRST_REQUEST_TIME));
        let unused = Timer::start(async move {
            in_time.await;
            if let Some(engine) = engine.upgrade() {
                engine.context.session_table.stats().closed_unused.add(1);
                engine.end_unjoined(FIRST_REQUEST_RULE);
            }
        });
        if let TransportState::Polling(polling) = &mut *self.state.borrow_mut() {
            polling.unused = Some(unused);
        }
    }

    /// Ends at once the session of a client that joined no namespace, because of `rule`. A waiting poll is answered
    /// with a close packet.
    pub(in crate::socketio) fn end_unjoined(&self, rule: &'static str) {
        self.connection.close_by(Close::Unused, rule);
        let waiting = match &mut *self.state.borrow_mut() {
            TransportState::Polling(polling) => polling.waiting.take(),
            // The socket writer sends the close frame.
            TransportState::Socket => return,
            TransportState::Closing(_) | TransportState::Ended => None,
        };
        if let Some(waiting) = waiting {
            waiting.answer(CLOSE.to_vec());
        }
        self.end();
    }

    /// Counts a request and its size. Over the limits the session ends, and a POST is answered with that error.
    fn spend(&self, frames: u32, bytes: usize, is_post: bool) {
        let now = self.context.clock.begin_ms();
        let is_within = match &mut *self.state.borrow_mut() {
            TransportState::Polling(polling) => {
                polling.unused = None;
                polling.budget.spend(now, frames, bytes)
            }
            TransportState::Socket | TransportState::Closing(_) | TransportState::Ended => true,
        };
        if !is_within {
            if is_post {
                self.connection.end().mark_logged();
            }
            self.connection.close_over_budget();
        }
    }

    /// Begins a POST. Its body arrives later, in [`Engine::post`].
    ///
    /// # Errors
    /// The session does not use polling, or another POST is in progress.
    pub(in crate::socketio) fn begin_post(self: &Rc<Self>) -> Result<(), EngineError> {
        self.spend(1, 0, true);
        self.check_heartbeat();
        let overlaps = match &mut *self.state.borrow_mut() {
            TransportState::Polling(polling) => std::mem::replace(&mut polling.posting, true),
            TransportState::Socket => return Err(EngineError::bad_request("the session is on a socket now")),
            TransportState::Closing(_) | TransportState::Ended => return Err(self.ended_error()),
        };
        if overlaps {
            self.connection.end().mark_logged();
            self.connection.close(Close::Malformed);
            return Err(EngineError::bad_request("two requests overlap"));
        }
        Ok(())
    }

    /// Waits for the body of a POST and processes its packets in order.
    ///
    /// # Errors
    /// The session ended meanwhile, or a packet is malformed.
    pub(in crate::socketio) async fn post(
        self: &Rc<Self>,
        body_receiver: oneshot::Receiver<Bytes>,
    ) -> Result<(), EngineError> {
        let body = tokio::select! {
            body = body_receiver => body.ok(),
            () = self.closing() => None,
        };
        // No request waits for the result of a POST without a body.
        let result = match body {
            Some(body) => self.receive_all(body).await,
            None => Err(self.ended_error()),
        };
        if let TransportState::Polling(polling) = &mut *self.state.borrow_mut() {
            polling.posting = false;
        }
        self.progress.notify_waiters();
        result
    }

    /// Resolves when the session is over.
    async fn closing(&self) {
        loop {
            let progress = self.progress.notified();
            if self.is_over() {
                return;
            }
            progress.await;
        }
    }

    /// The error for a request after the end of the session.
    fn ended_error(&self) -> EngineError {
        match self.connection.closed() {
            Some(Close::Limit) => {
                let fault = Fault::rate_limited(WINDOW_SECS);
                EngineError::of(&match self.connection.end().rule() {
                    Some(rule) => fault.by(rule),
                    None => fault,
                })
            }
            _ => EngineError::unknown_sid(),
        }
    }

    async fn receive_all(self: &Rc<Self>, body: Bytes) -> Result<(), EngineError> {
        self.check_heartbeat();
        if self.is_over() {
            return Err(self.ended_error());
        }
        self.spend(0, body.len(), true);
        for packet in engineio::packets(body) {
            self.spend(1, 0, true);
            if !self.is_over() {
                self.receive(packet);
            }
            self.wait_until_idle().await;
            if self.is_over() {
                break;
            }
        }
        self.wait_while(|engine| engine.is_busy() || engine.is_connecting()).await;
        match self.connection.closed() {
            Some(Close::Malformed) => {
                self.connection.end().mark_logged();
                Err(EngineError::bad_request("a malformed packet"))
            }
            Some(Close::Limit) => Err(self.ended_error()),
            // The connection of its poll ended, which ended the session.
            None if self.is_over() => Err(self.ended_error()),
            _ => Ok(()),
        }
    }

    /// Lets a poll wait for the next packets.
    pub(in crate::socketio) fn poll(self: &Rc<Self>, poll: WaitingPoll) {
        self.spend(1, 0, false);
        self.check_heartbeat();
        let mut transport = self.state.borrow_mut();
        match &mut *transport {
            TransportState::Polling(polling) => match &polling.waiting {
                None => {
                    polling.waiting = Some(poll);
                    drop(transport);
                    self.connection.wake();
                }
                Some(waiting) if waiting.is_disconnected() => {
                    drop(transport);
                    self.end();
                    poll.refuse(EngineError::unknown_sid());
                }
                Some(_) => {
                    drop(transport);
                    self.connection.end().mark_logged();
                    self.connection.close(Close::Malformed);
                    poll.refuse(EngineError::bad_request("two polls overlap"));
                }
            },
            TransportState::Socket => poll.refuse(EngineError::bad_request("the session is on a socket now")),
            TransportState::Closing(_) => {
                drop(transport);
                self.answer_closing(poll);
            }
            TransportState::Ended => poll.refuse(EngineError::unknown_sid()),
        }
    }
}
