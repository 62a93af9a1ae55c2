//! What the polls of an Engine.IO session are answered with, and what it means for the session when an answer does not
//! reach its client.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::time::sleep;
use hubbub_actors::model::close::Close;

use super::{CLOSE, Engine, NOOP, TransportState};
use crate::codec::engineio;
use crate::socketio::polls::{PollChange, PollState, WaitingPoll};
use crate::socketio::timer::Timer;

/// How long what a session was told last waits for the next poll to fetch it.
const FINAL_POLL_TIME: Duration = Duration::from_secs(2);

/// How often an upgrade looks whether the requests before it are done.
const REQUESTS_WATCH: Duration = Duration::from_millis(10);

impl Engine {
    /// Answers the request that waits with what is to be said; and, where the session was closed, ends it.
    pub(super) fn answer_waiting(self: &Rc<Self>) {
        let mut stage = self.state.borrow_mut();
        let TransportState::Polling(polling) = &mut *stage else { return };
        if polling.waiting.as_ref().is_some_and(WaitingPoll::is_disconnected) && self.handle.closed().is_none() {
            drop(stage);
            return self.end();
        }
        let is_due = self.handle.closed().is_some() || !self.handle.with_outbox(|outbox| outbox.is_empty());
        let waiting = if is_due { polling.take_waiting() } else { None };
        let Some(close) = self.handle.closed() else {
            drop(stage);
            if let Some(waiting) = waiting {
                waiting.answer(self.take_body());
                self.handle.note_polled();
                self.note_written();
            }
            return;
        };
        *stage = TransportState::Closing(self.end_after_delay());
        drop(stage);
        self.end_handler();
        let said_all = waiting.is_some_and(|waiting| self.answer_final(waiting));
        if said_all || matches!(close, Close::NoHeartbeat | Close::Malformed | Close::SlowConsumer) {
            self.end();
        }
    }

    /// Ends the session after a time, unless the timer is dropped.
    fn end_after_delay(self: &Rc<Self>) -> Timer {
        let engine = self.clone();
        Timer::start(async move {
            sleep(FINAL_POLL_TIME).await;
            engine.end();
        })
    }

    /// The body of an answer: what waits, up to [`engineio::ANSWER_PACKETS_MAX`] packets; the rest waits for the next poll. It
    /// counts as written: the caller sends it now.
    fn take_body(&self) -> Vec<u8> {
        let (body, accepted_us) = self.handle.with_outbox(|outbox| {
            let (mut parts, mut length, mut packets) = (Vec::new(), 0, 0);
            for waiting in outbox.slices() {
                let (fits, count) = engineio::fit(waiting, engineio::ANSWER_PACKETS_MAX.saturating_sub(packets));
                parts.push(&waiting[..fits]);
                length += fits;
                packets += count;
                if fits < waiting.len() {
                    break;
                }
            }
            (engineio::polling_body(parts.into_iter()), outbox.advance(length))
        });
        if let Some(accepted_us) = accepted_us {
            self.handle.note_delivered(accepted_us);
        }
        body
    }

    /// Answers a poll at the end: with what waits, or that nothing follows. `true` when that was all. These are two answers,
    /// for socket.io-client forgets what comes in one body with the close packet.
    fn answer_final(&self, waiting: WaitingPoll) -> bool {
        let rest = self.take_body();
        let said_all = rest.is_empty();
        // Who took leave itself is told nothing: a poll that was under way comes back empty.
        let end = if self.handle.closed() == Some(Close::Left) { NOOP } else { CLOSE };
        waiting.answer(if said_all { end.to_vec() } else { rest });
        said_all
    }

    /// Answers a poll of a session that leaves. What is left has its time anew.
    pub(super) fn answer_closing(self: &Rc<Self>, poll: WaitingPoll) {
        if self.answer_final(poll) {
            self.end();
        } else {
            let renewed = self.end_after_delay();
            *self.state.borrow_mut() = TransportState::Closing(renewed);
        }
    }

    /// Answers the request that waits with nothing, so that the client can go over to its socket.
    pub(in crate::socketio) fn release_poll(&self) {
        if let TransportState::Polling(polling) = &mut *self.state.borrow_mut()
            && let Some(waiting) = polling.take_waiting()
        {
            waiting.answer(NOOP.to_vec());
        }
    }

    /// Resolves when no request is under way: a POST was heard, a poll was released and its answer is written. Polls that come
    /// meanwhile are released too.
    pub(in crate::socketio) async fn finish_requests(&self) {
        loop {
            let heard = self.progress.notified();
            self.release_poll();
            let has_request = match &*self.state.borrow() {
                TransportState::Polling(polling) => self.handle.closed().is_none() && polling.has_request(),
                TransportState::Socket | TransportState::Closing(_) | TransportState::Ended => false,
            };
            if !has_request {
                return;
            }
            // The end of a POST is told; that an answer is written is seen on the next look.
            tokio::select! {
                () = heard => {}
                () = sleep(REQUESTS_WATCH) => {}
            }
        }
    }

    /// Draws the consequence of what happened on the connection of a poll.
    pub(in crate::socketio) fn change_poll(self: &Rc<Self>, state: &Arc<PollState>, change: PollChange) {
        if change != PollChange::Lost {
            // What is there is said first.
            self.answer_waiting();
        }
        let mut stage = self.state.borrow_mut();
        let TransportState::Polling(polling) = &mut *stage else { return };
        let is_waiting = polling.waiting.as_ref().is_some_and(|poll| Arc::ptr_eq(&poll.state, state));
        let waiting = if is_waiting { polling.take_waiting() } else { None };
        match (change, waiting) {
            (PollChange::Followed, Some(waiting)) => waiting.answer(NOOP.to_vec()),
            (PollChange::Ended, Some(waiting)) => {
                drop(stage);
                waiting.answer(CLOSE.to_vec());
                self.end();
            }
            (PollChange::Lost, waiting) => {
                let is_answer = || polling.answered.as_ref().is_some_and(|answered| Arc::ptr_eq(answered, state));
                if waiting.is_some() || is_answer() {
                    drop(stage);
                    self.end();
                }
            }
            (PollChange::Followed | PollChange::Ended, None) => {}
        }
    }
}
