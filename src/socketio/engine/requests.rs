//! An Engine.IO session that is reached by polling: the requests of its client, what they may bring, and how long it is
//! waited for them.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::time::sleep;
use bytes::Bytes;
use hubbub_actors::connection::OutboxSink;
use hubbub_actors::limits::traffic::{TrafficBudget, TrafficLimit, WINDOW_SECS};
use hubbub_actors::model::close::Close;
use hubbub_actors::model::fault::Fault;
use tokio::sync::oneshot;

use super::{CLOSED, Engine, Stage};
use crate::codec::engineio;
use crate::socketio::polls::{PollState, WaitingPoll};
use crate::socketio::refusal::EngineError;
use crate::socketio::timer::Timer;

/// How long a client may take from its polling handshake to its next request.
const FIRST_REQUEST_TIME: Duration = Duration::from_secs(10);

/// What the log calls that limit.
const FIRST_REQUEST_RULE: &str = "10 seconds from a polling handshake to the next request";

/// The requests of a session's client.
pub(super) struct Polling {
    /// The request that waits for something to be said.
    pub(super) waiting: Option<WaitingPoll>,
    /// The last request that was answered.
    pub(super) answered: Option<Arc<PollState>>,
    /// A request's packets are being heard.
    pub(super) posting: bool,
    /// A socket is being tried out.
    pub(super) probing: bool,
    /// Ends the session unless a request comes, after the handshake.
    pub(super) unused: Option<Timer>,
    /// What the client sent by requests.
    pub(super) budget: TrafficBudget,
}

impl Polling {
    pub(super) fn new(traffic: TrafficLimit) -> Self {
        let budget = TrafficBudget::new(traffic);
        Self { waiting: None, answered: None, posting: false, probing: false, unused: None, budget }
    }

    /// Takes the poll that waits; it counts as the last one that was answered.
    pub(super) fn take_waiting(&mut self) -> Option<WaitingPoll> {
        let poll = self.waiting.take()?;
        self.answered = Some(poll.state.clone());
        Some(poll)
    }

    /// Whether a POST is being heard, a poll waits, or the answer to the last poll is not written yet.
    pub(super) fn has_request(&self) -> bool {
        self.posting || self.waiting.is_some() || self.answered.as_ref().is_some_and(|poll| !poll.is_written())
    }
}

impl Engine {
    /// Ends the session unless a request of its client comes in time.
    pub(in crate::socketio) fn await_request(self: &Rc<Self>) {
        let engine = Rc::downgrade(self);
        let unused = Timer::start(async move {
            sleep(FIRST_REQUEST_TIME).await;
            if let Some(engine) = engine.upgrade() {
                engine.ground.session_table.stats().closed_unused.add(1);
                engine.give_way(FIRST_REQUEST_RULE);
            }
        });
        if let Stage::Polling(polling) = &mut *self.stage.borrow_mut() {
            polling.unused = Some(unused);
        }
    }

    /// Ends the session of a client that joined nothing, at once, by this rule: it has nothing to be told but that, by a
    /// poll that waits.
    pub(in crate::socketio) fn give_way(&self, rule: &'static str) {
        self.handle.close_by(Close::Unused, rule);
        let waiting = match &mut *self.stage.borrow_mut() {
            Stage::Polling(polling) => polling.waiting.take(),
            // The pipe says it.
            Stage::Socket => return,
            Stage::Leaving(_) | Stage::Ended => None,
        };
        if let Some(waiting) = waiting {
            waiting.answer(CLOSED.to_vec());
        }
        self.end();
    }

    /// Counts what a request brings, and that one came; over the limits, the session ends. A POST is answered with that.
    fn spend(&self, frames: u32, bytes: usize, is_post: bool) {
        let now = self.ground.clock.begin_ms();
        let is_within = match &mut *self.stage.borrow_mut() {
            Stage::Polling(polling) => {
                polling.unused = None;
                polling.budget.spend(now, frames, bytes)
            }
            Stage::Socket | Stage::Leaving(_) | Stage::Ended => true,
        };
        if !is_within {
            if is_post {
                self.handle.mark_close_logged();
            }
            self.handle.close_over_budget();
        }
    }

    /// Begins to hear a request whose body comes later, by [`Engine::post`].
    ///
    /// # Errors
    /// When the session is not reached by polling, or hears another request still.
    pub(in crate::socketio) fn begin_post(self: &Rc<Self>) -> Result<(), EngineError> {
        self.spend(1, 0, true);
        self.judge();
        let overlaps = match &mut *self.stage.borrow_mut() {
            Stage::Polling(polling) => std::mem::replace(&mut polling.posting, true),
            Stage::Socket => return Err(EngineError::bad_request("the session is on a socket now")),
            Stage::Leaving(_) | Stage::Ended => return Err(self.gone()),
        };
        if overlaps {
            self.handle.mark_close_logged();
            self.handle.close(Close::Malformed);
            return Err(EngineError::bad_request("two requests overlap"));
        }
        Ok(())
    }

    /// Waits for the body of the request that was begun, and reads its packets one after the other.
    ///
    /// # Errors
    /// When the session ends meanwhile, or by a broken packet.
    pub(in crate::socketio) async fn post(
        self: &Rc<Self>,
        coming: oneshot::Receiver<Bytes>,
    ) -> Result<(), EngineError> {
        let body = tokio::select! {
            body = coming => body.ok(),
            () = self.closing() => None,
        };
        // Nobody waits for the answer to one that did not come.
        let heard = match body {
            Some(body) => self.hear_all(body).await,
            None => Err(self.gone()),
        };
        if let Stage::Polling(polling) = &mut *self.stage.borrow_mut() {
            polling.posting = false;
        }
        self.rested.notify_waiters();
        heard
    }

    /// Resolves when the session is over.
    async fn closing(&self) {
        loop {
            let rested = self.rested.notified();
            if self.is_over() {
                return;
            }
            rested.await;
        }
    }

    /// What a request is told that comes after the end.
    fn gone(&self) -> EngineError {
        match self.handle.closed() {
            Some(Close::Limit) => {
                let fault = Fault::rate_limited(WINDOW_SECS);
                EngineError::of(&match self.handle.closed_by() {
                    Some(rule) => fault.by(rule),
                    None => fault,
                })
            }
            _ => EngineError::unknown_sid(),
        }
    }

    async fn hear_all(self: &Rc<Self>, body: Bytes) -> Result<(), EngineError> {
        self.judge();
        if self.is_over() {
            return Err(self.gone());
        }
        self.spend(0, body.len(), true);
        for packet in engineio::payload(body) {
            self.spend(1, 0, true);
            if !self.is_over() {
                self.hear(packet);
            }
            self.rest().await;
            if self.is_over() {
                break;
            }
        }
        self.rest_while(|engine| engine.is_busy() || engine.is_connecting()).await;
        match self.handle.closed() {
            Some(Close::Malformed) => {
                self.handle.mark_close_logged();
                Err(EngineError::bad_request("a packet that is none"))
            }
            Some(Close::Limit) => Err(self.gone()),
            // The connection of its poll ended, and the session with it.
            None if self.is_over() => Err(self.gone()),
            _ => Ok(()),
        }
    }

    /// Has a polling request wait for what is said next.
    pub(in crate::socketio) fn poll(self: &Rc<Self>, poll: WaitingPoll) {
        self.spend(1, 0, false);
        self.judge();
        let mut stage = self.stage.borrow_mut();
        match &mut *stage {
            Stage::Polling(polling) => match &polling.waiting {
                None => {
                    polling.waiting = Some(poll);
                    drop(stage);
                    self.clone().wake();
                }
                Some(waiting) if waiting.is_abandoned() => {
                    drop(stage);
                    self.end();
                    poll.refuse(EngineError::unknown_sid());
                }
                Some(_) => {
                    drop(stage);
                    self.handle.mark_close_logged();
                    self.handle.close(Close::Malformed);
                    poll.refuse(EngineError::bad_request("two polls overlap"));
                }
            },
            Stage::Socket => poll.refuse(EngineError::bad_request("the session is on a socket now")),
            Stage::Leaving(_) => {
                drop(stage);
                self.say_more(poll);
            }
            Stage::Ended => poll.refuse(EngineError::unknown_sid()),
        }
    }
}
