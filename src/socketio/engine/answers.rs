//! The responses to the polls of an Engine.IO session, and the effect on the session when a response does not reach its
//! client.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::time::sleep;
use hubbub_actors::model::close::Close;

use super::{CLOSE, Engine, NOOP, TransportState};
use crate::codec::engineio;
use crate::socketio::polls::{PollChange, PollState, WaitingPoll};
use crate::socketio::timer::Timer;

/// How long the last packets of a closed session wait for the next poll.
const FINAL_POLL_TIME: Duration = Duration::from_secs(2);

/// How often an upgrade checks whether earlier requests are done.
const REQUESTS_WATCH: Duration = Duration::from_millis(10);

impl Engine {
    /// Answers the waiting poll with the outbox. If the session is closed, ends it.
    pub(super) fn answer_waiting(self: &Rc<Self>) {
        let mut transport = self.state.borrow_mut();
        let TransportState::Polling(polling) = &mut *transport else { return };
        if polling.waiting.as_ref().is_some_and(WaitingPoll::is_disconnected) && self.connection.closed().is_none() {
            drop(transport);
            return self.end();
        }
        let is_due = self.connection.closed().is_some() || !self.connection.is_drained();
        let waiting = if is_due { polling.take_waiting() } else { None };
        let Some(close) = self.connection.closed() else {
            drop(transport);
            if let Some(waiting) = waiting {
                waiting.answer(self.take_body());
                self.connection.note_polled();
            }
            return;
        };
        *transport = TransportState::Closing(self.end_after_delay());
        drop(transport);
        self.end_handler();
        let is_complete = waiting.is_some_and(|waiting| self.answer_final(waiting));
        if is_complete || matches!(close, Close::NoHeartbeat | Close::Malformed | Close::SlowConsumer) {
            self.end();
        }
    }

    /// Ends the session after a delay, unless the timer is dropped.
    fn end_after_delay(self: &Rc<Self>) -> Timer {
        let engine = self.clone();
        Timer::start(async move {
            sleep(FINAL_POLL_TIME).await;
            engine.end();
        })
    }

    /// The body of a response: at most [`engineio::ANSWER_PACKETS_MAX`] packets of the outbox. The rest waits for the
    /// next poll. These packets count as written, because the caller sends them now.
    fn take_body(&self) -> Vec<u8> {
        let (body, accepted_us) = self.connection.with_outbox(|outbox| {
            let count = engineio::fit(outbox.messages().map(|(kind, _)| kind));
            (engineio::polling_body(outbox.messages().take(count)), outbox.advance(count, 0))
        });
        if let Some(accepted_us) = accepted_us {
            self.connection.note_delivered(accepted_us);
        }
        body
    }

    /// Answers a poll of a closed session: with the rest of the outbox, or with the close packet. `true`: the close
    /// packet was sent. They are two responses, because socket.io-client drops packets that share a body with the close
    /// packet.
    fn answer_final(&self, waiting: WaitingPoll) -> bool {
        let rest = self.take_body();
        let is_complete = rest.is_empty();
        // A client that sent a close itself gets no close packet: its waiting poll gets a noop.
        let end = if self.connection.closed() == Some(Close::Left) { NOOP } else { CLOSE };
        waiting.answer(if is_complete { end.to_vec() } else { rest });
        is_complete
    }

    /// Answers a poll while the session is closing. Restarts the delay for the remaining packets.
    pub(super) fn answer_closing(self: &Rc<Self>, poll: WaitingPoll) {
        if self.answer_final(poll) {
            self.end();
        } else {
            let renewed = self.end_after_delay();
            *self.state.borrow_mut() = TransportState::Closing(renewed);
        }
    }

    /// Answers the waiting poll with a noop, so that the client can switch to its WebSocket.
    pub(in crate::socketio) fn release_poll(&self) {
        if let TransportState::Polling(polling) = &mut *self.state.borrow_mut()
            && let Some(waiting) = polling.take_waiting()
        {
            waiting.answer(NOOP.to_vec());
        }
    }

    /// Resolves when no request is in progress: POSTs are processed, and waiting polls were released and their responses
    /// written. Polls that arrive meanwhile are released too.
    pub(in crate::socketio) async fn finish_requests(&self) {
        loop {
            let progress = self.progress.notified();
            self.release_poll();
            let has_request = match &*self.state.borrow() {
                TransportState::Polling(polling) => self.connection.closed().is_none() && polling.has_request(),
                TransportState::Socket | TransportState::Closing(_) | TransportState::Ended => false,
            };
            if !has_request {
                return;
            }
            // The end of a POST notifies; a written response is found at the next check.
            tokio::select! {
                () = progress => {}
                () = sleep(REQUESTS_WATCH) => {}
            }
        }
    }

    /// Reacts to a change on the connection of a poll.
    pub(in crate::socketio) fn change_poll(self: &Rc<Self>, state: &Arc<PollState>, change: PollChange) {
        if change != PollChange::Lost {
            // Sends the outbox first.
            self.answer_waiting();
        }
        let mut transport = self.state.borrow_mut();
        let TransportState::Polling(polling) = &mut *transport else { return };
        let is_waiting = polling.waiting.as_ref().is_some_and(|poll| Arc::ptr_eq(&poll.state, state));
        let waiting = if is_waiting { polling.take_waiting() } else { None };
        match (change, waiting) {
            (PollChange::Followed, Some(waiting)) => waiting.answer(NOOP.to_vec()),
            (PollChange::Ended, Some(waiting)) => {
                drop(transport);
                waiting.answer(CLOSE.to_vec());
                self.end();
            }
            (PollChange::Lost, waiting) => {
                let is_answer = || polling.answered.as_ref().is_some_and(|answered| Arc::ptr_eq(answered, state));
                if waiting.is_some() || is_answer() {
                    drop(transport);
                    self.end();
                }
            }
            (PollChange::Followed | PollChange::Ended, None) => {}
        }
    }
}
