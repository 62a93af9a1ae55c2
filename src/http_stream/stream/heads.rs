//! Reads request heads, and passes them to the application when it is their turn.

use std::future::Future;
use std::io;
use std::task::Context;
use std::time::Duration;

use bytes::BytesMut;
use hubbub_actors::model::fault::{Code, Fault};
use tokio::time::Instant;

use super::{DeadlineKind, HttpStream, KEEP_ALIVE, ReadStep};
use crate::http_stream::body::RemainingBody;
use crate::http_stream::exchange::RefusedRequest;
use crate::http_stream::head;

impl HttpStream {
    pub(super) fn next_head(&mut self, cx: &mut Context<'_>) -> io::Result<ReadStep> {
        loop {
            if self.registration.is_evicted(cx) {
                return Ok(ReadStep::End);
            }
            if self.awaits_turn {
                return Ok(if self.deadline.as_mut().poll(cx).is_ready() { self.begin() } else { ReadStep::Wait });
            }
            if self.is_last {
                // The service closes by itself once the last response is written.
                self.await_close();
                return Ok(if self.deadline.as_mut().poll(cx).is_ready() { ReadStep::End } else { ReadStep::Wait });
            }
            match self.take_head() {
                Ok(true) if self.await_turn() => continue,
                Ok(true) => return Ok(self.begin()),
                Ok(false) => {}
                Err(fault) => {
                    self.refuse(fault);
                    continue;
                }
            }
            if self.has_ended {
                return Ok(ReadStep::End);
            }
            self.await_head();
            if self.deadline.as_mut().poll(cx).is_ready() {
                if self.buffer.is_empty() {
                    return Ok(ReadStep::End);
                }
                self.refuse(head::too_slow());
                continue;
            }
            if self.fill(cx)?.is_pending() {
                return Ok(ReadStep::Wait);
            }
        }
    }

    /// Sets the deadline for the expected input, once.
    fn await_head(&mut self) {
        let times = self.context.connections.times();
        let (waiting, time) = match (self.waiting, self.buffer.is_empty()) {
            (DeadlineKind::FirstHead | DeadlineKind::Idle | DeadlineKind::Head, true)
            | (DeadlineKind::FirstHead | DeadlineKind::Head, false) => {
                return;
            }
            (_, true) => (DeadlineKind::Idle, KEEP_ALIVE),
            (_, false) => (DeadlineKind::Head, times.head),
        };
        self.set_deadline(waiting, time);
    }

    /// Sets the deadline for the close, once.
    fn await_close(&mut self) {
        if self.waiting != DeadlineKind::Close {
            self.set_deadline(DeadlineKind::Close, self.context.connections.times().head);
        }
    }

    /// Moves a whole head from the buffer to `output`.
    fn take_head(&mut self) -> Result<bool, Fault> {
        self.skip_empty_lines();
        if !head::has_end(&self.buffer, &mut self.scanned)? {
            head::check_partial(&self.buffer)?;
            return Ok(false);
        }
        let Some(head) = head::parse_under(&self.context.base, &self.buffer)? else { return Ok(false) };
        let original = self.buffer.split_to(head.length);
        self.exchange.set_host_last(head.upgrades && head::is_host_last(&original));
        self.output = head.rewritten.map_or(original, |head| BytesMut::from(&head[..]));
        // The rest must not keep the memory of the head.
        self.buffer = BytesMut::from(&self.buffer[..]);
        self.scanned = 0;
        self.rest = RemainingBody::of(head.framing);
        self.expects_continue = head.expects_continue;
        self.is_last = head.is_last;
        self.upgrades = head.upgrades;
        Ok(true)
    }

    /// Lets `output` wait for its turn; `false` if it need not. Upgrades have other limits.
    fn await_turn(&mut self) -> bool {
        if self.exchange.take_known() || self.upgrades {
            return false;
        }
        let Some((at, turn)) = self.context.pacer.reserve(Instant::now()) else { return false };
        self.turn = Some(turn);
        self.waiting = DeadlineKind::Turn;
        self.deadline.as_mut().reset(at);
        self.awaits_turn = true;
        true
    }

    /// Passes a request to the application.
    fn begin(&mut self) -> ReadStep {
        self.awaits_turn = false;
        if let Some(turn) = self.turn.take() {
            turn.mark_used();
        }
        self.waiting = DeadlineKind::Nothing;
        self.registration.protect();
        match self.refusal.take() {
            Some(refused) => self.exchange.begin_refused(refused),
            None => self.exchange.begin(self.rest != RemainingBody::Done),
        }
        ReadStep::Ready
    }

    /// Passes on a stand-in for the refused request, when its turn comes.
    fn refuse(&mut self, fault: Fault) {
        let is_http = fault.code != Code::InvalidRequest || head::is_http(&self.buffer);
        if !is_http {
            self.context.notices.not_http(self.socket.peer_addr().ok().map(|peer| peer.ip()));
        }
        self.output = BytesMut::from(&head::stand_in(&self.context.base, &self.buffer)[..]);
        self.buffer = BytesMut::new();
        self.rest = RemainingBody::Done;
        self.is_last = true;
        self.has_unread = true;
        self.refusal = Some(RefusedRequest { fault, is_http });
        if !self.await_turn() {
            self.set_deadline(DeadlineKind::Turn, Duration::ZERO);
            self.awaits_turn = true;
        }
    }
}
