//! The state of a poll, shared by its request, which waits; by its connection, on which the client may send another
//! request, end or fail; and by its session, which answers it.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::{Actor, Context, Handler};
use hubbub_actors::runtime::mailbox::{Mailbox, Posted};
use tokio::sync::oneshot;

use super::error::EngineError;
use super::sid::Sid;
use crate::http_stream::exchange::{Exchange, NextInput, WatchAnswer};

/// The response to a poll.
pub(super) type PollResult = Result<Vec<u8>, EngineError>;

/// The shared state of a poll. Its address identifies the poll.
#[derive(Debug, Default)]
pub(super) struct PollState {
    is_written: AtomicBool,
}

impl PollState {
    /// Whether the response was written to the client's socket, or no response will be written.
    pub(super) fn is_written(&self) -> bool {
        self.is_written.load(Ordering::Acquire)
    }
}

/// The session's side of a poll.
#[derive(Debug)]
pub(super) struct WaitingPoll {
    pub(super) state: Arc<PollState>,
    answer: oneshot::Sender<PollResult>,
}

impl WaitingPoll {
    /// Answers with a body.
    pub(super) fn answer(self, body: Vec<u8>) {
        // A disconnected request reports itself.
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

/// An event on the connection of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PollChange {
    /// Another request follows the poll.
    Followed,
    /// The client closed its sending side.
    Ended,
    /// The connection ended before the response was written.
    Lost,
}

/// Reports a change of a poll to its session.
pub(super) struct ChangePoll {
    pub(super) sid: Sid,
    pub(super) state: Arc<PollState>,
    pub(super) change: PollChange,
}

/// The actor of the sessions, which receives the changes of their polls.
pub(super) trait ReceivesPollChanges: Actor<Context = Context<Self>> + Handler<Posted<ChangePoll>> {}

impl<A: Actor<Context = Context<A>> + Handler<Posted<ChangePoll>>> ReceivesPollChanges for A {}

/// The request's side of a poll. Dropping it before the response is written reports [`PollChange::Lost`].
pub(super) struct PollRequest<A: ReceivesPollChanges> {
    mailbox: Mailbox<A>,
    sid: Sid,
    state: Arc<PollState>,
}

impl<A: ReceivesPollChanges> PollRequest<A> {
    /// Both sides of a poll of the session `sid`.
    pub(super) fn new(mailbox: &Mailbox<A>, sid: Sid) -> (Self, WaitingPoll, oneshot::Receiver<PollResult>) {
        let (answer, answered) = oneshot::channel();
        let state = Arc::new(PollState::default());
        let poll = WaitingPoll { state: state.clone(), answer };
        (Self { mailbox: mailbox.clone(), sid, state }, poll, answered)
    }

    /// Waits for the response, and registers with `exchange` to learn when it is written.
    ///
    /// # Errors
    /// The reason of the refusal.
    pub(super) async fn finish(
        self,
        answered: oneshot::Receiver<PollResult>,
        exchange: Option<&Exchange>,
    ) -> PollResult {
        // A session that ends during a poll drops the response.
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

    /// The poll gets no response or an error, so the session ignores later changes of the poll.
    pub(super) fn disarm(&self) {
        self.state.is_written.store(true, Ordering::Release);
    }

    /// A poll reports each change at most once and occupied a slot of the mailbox itself, so the reports are bounded too.
    fn report(&self, change: PollChange) {
        self.mailbox.post_departure(ChangePoll { sid: self.sid, state: self.state.clone(), change });
    }
}

impl<A: ReceivesPollChanges> WatchAnswer for PollRequest<A> {
    fn mark_written(&self) {
        self.state.is_written.store(true, Ordering::Release);
    }
}

impl<A: ReceivesPollChanges> Drop for PollRequest<A> {
    fn drop(&mut self) {
        if !self.state.is_written() {
            self.report(PollChange::Lost);
        }
    }
}

impl<A: ReceivesPollChanges> fmt::Debug for PollRequest<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollRequest").field("state", &self.state).finish_non_exhaustive()
    }
}
