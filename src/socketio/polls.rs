//! A poll between three that know of it: its request, which waits; the connection of that, on which another request, the
//! client's end or a cut may come; and its session, which answers it.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hubbub_actors::runtime::mailbox::Mailbox;
use tokio::sync::oneshot;

use super::error::EngineError;
use super::router::EngineMailbox;
use super::sid::Sid;
use crate::http_stream::exchange::{Exchange, NextInput, WatchAnswer};

/// What a poll is answered with.
pub(super) type PollResult = Result<Vec<u8>, EngineError>;

/// What all three know of a poll. Its address tells one poll from another.
#[derive(Debug, Default)]
pub(super) struct PollState {
    is_written: AtomicBool,
}

impl PollState {
    /// Whether the answer was written to the client's socket, or there is no answer to be written.
    pub(super) fn is_written(&self) -> bool {
        self.is_written.load(Ordering::Acquire)
    }
}

/// A poll as its session has it.
#[derive(Debug)]
pub(super) struct WaitingPoll {
    pub(super) state: Arc<PollState>,
    answer: oneshot::Sender<PollResult>,
}

impl WaitingPoll {
    /// Answers with a body.
    pub(super) fn answer(self, body: Vec<u8>) {
        // A request that does not wait any more tells so by itself.
        let _ = self.answer.send(Ok(body));
    }

    /// Answers with an error.
    pub(super) fn refuse(self, refusal: EngineError) {
        let _ = self.answer.send(Err(refusal));
    }

    /// Whether the connection of the request is gone.
    pub(super) fn is_disconnected(&self) -> bool {
        self.answer.is_closed()
    }
}

/// What happened on the connection of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PollChange {
    /// Another request came behind it.
    Followed,
    /// The client sends nothing more.
    Ended,
    /// The connection ended before the answer was written.
    Lost,
}

/// Tells a session of a change of its poll.
pub(super) struct ChangePoll {
    pub(super) sid: Sid,
    pub(super) state: Arc<PollState>,
    pub(super) change: PollChange,
}

/// A poll as its request has it. Dropped before the answer is written, it tells the session that its client is gone.
pub(super) struct PollRequest {
    engine_mailbox: Mailbox<EngineMailbox>,
    sid: Sid,
    state: Arc<PollState>,
}

impl PollRequest {
    /// A poll of the session `sid`, and the session's side of it.
    pub(super) fn new(
        engine_mailbox: &Mailbox<EngineMailbox>,
        sid: Sid,
    ) -> (Self, WaitingPoll, oneshot::Receiver<PollResult>) {
        let (answer, answered) = oneshot::channel();
        let state = Arc::new(PollState::default());
        let poll = WaitingPoll { state: state.clone(), answer };
        (Self { engine_mailbox: engine_mailbox.clone(), sid, state }, poll, answered)
    }

    /// Waits for the answer, and has `exchange` tell when that is written.
    ///
    /// # Errors
    /// Why the session does not answer.
    pub(super) async fn finish(
        self,
        answered: oneshot::Receiver<PollResult>,
        exchange: Option<&Exchange>,
    ) -> PollResult {
        // A session that ends while it is polled drops the answer.
        let answer = self.wait(answered, exchange).await.unwrap_or_else(|_| Err(EngineError::unknown_sid()));
        match exchange {
            Some(exchange) if answer.is_ok() => exchange.watch_answer(Box::new(self)),
            _ => self.disarm(),
        }
        answer
    }

    async fn wait(
        &self,
        answered: oneshot::Receiver<PollResult>,
        exchange: Option<&Exchange>,
    ) -> Result<PollResult, oneshot::error::RecvError> {
        let Some(exchange) = exchange else { return answered.await };
        let mut answered = pin!(answered);
        let mut seen = NextInput::Nothing;
        loop {
            tokio::select! {
                biased;
                answer = &mut answered => return answer,
                behind = exchange.next_input(seen) => {
                    seen = behind;
                    self.report(if behind == NextInput::End { PollChange::Ended } else { PollChange::Followed });
                }
            }
        }
    }

    /// A poll that is not answered, or answered with an error: what becomes of that is nothing to the session.
    pub(super) fn disarm(&self) {
        self.state.is_written.store(true, Ordering::Release);
    }

    /// A poll tells each of the three changes at most once. It had a place in the mailbox itself, so these are bounded, too.
    fn report(&self, change: PollChange) {
        self.engine_mailbox.post_departure(ChangePoll { sid: self.sid, state: self.state.clone(), change });
    }
}

impl WatchAnswer for PollRequest {
    fn mark_written(&self) {
        self.state.is_written.store(true, Ordering::Release);
    }
}

impl Drop for PollRequest {
    fn drop(&mut self) {
        if !self.state.is_written() {
            self.report(PollChange::Lost);
        }
    }
}

impl fmt::Debug for PollRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollRequest").field("state", &self.state).finish_non_exhaustive()
    }
}
