//! The worker's part of the shutdown: each session gets a notice when to reconnect, and is then closed on schedule.
//! [`DrainSchedule`] computes when.

use std::collections::VecDeque;
use std::time::Duration;

use actix::{AsyncContext, Context};

use super::Fanout;
use super::messages::Drain;
use crate::connection::{SessionHandle, SlotId};
use crate::events::push::Draining;
use crate::events::raw::Status;
use crate::events::timestamp::Iso;
use crate::events::{ServerEvent, json};
use crate::model::close::Close;
use crate::model::surface::Surface;
use crate::publication::{Encoder, Payload};
use crate::runtime::mailbox::Receive;
use crate::shutdown::schedule::{DrainSchedule, TICK_MS, WorkerTurn};

/// The sessions that are being closed.
struct DrainState {
    drain: Drain,
    turn: WorkerTurn,
    /// Their number at the start.
    total: usize,
    /// Sessions not closed yet.
    open: VecDeque<SlotId>,
    /// The start, ms by [`Clock::elapsed_ms`](crate::runtime::clock::Clock::elapsed_ms).
    since: i64,
}

impl Fanout {
    /// Closes the sessions that are due, and starts a timer for the rest.
    fn close_due(&self, mut state: DrainState, ctx: &mut Context<Self>) {
        let elapsed = u64::try_from(state.drain.clock.elapsed_ms() - state.since).unwrap_or(0);
        let due = state.drain.schedule.due(state.total, state.turn, elapsed);
        let closed = state.total - state.open.len();
        for key in state.open.drain(..due.saturating_sub(closed)) {
            if let Some(handle) = self.session_table.get(key) {
                handle.close_after_replies(Close::GoingAway);
            }
        }
        if state.open.is_empty() {
            let _ = state.drain.reply.send(());
        } else {
            ctx.run_later(Duration::from_millis(TICK_MS), |fanout, ctx| fanout.close_due(state, ctx));
        }
    }

    /// Sends a client the `draining` notice with the time to reconnect; returns whether it was sent. A client with an
    /// outbox more than half full gets no notice: accepted publications may need the space.
    fn send_notice(handle: &SessionHandle, schedule: &DrainSchedule, now: i64) -> bool {
        let random = getrandom::u32().unwrap_or(u32::MAX);
        let notice = notice(handle.encoder(), schedule.away_ms(random), now);
        // Before the pending replies, which may take the whole time of the drain.
        handle.fits_within_half(1, notice.len()) && handle.send_ahead(notice)
    }
}

/// The notice in the form of a surface.
fn notice(encoder: &dyn Encoder, reconnect_after_ms: u64, now: i64) -> Payload {
    let (name, data) = match encoder.surface() {
        Surface::Raw => (Status::NAME, json::encode(&Status::Draining { reconnect_after_ms })),
        Surface::Root | Surface::Chat => {
            (Draining::NAME, json::encode(&Draining { reconnect_after_ms, timestamp: Iso(now) }))
        }
    };
    encoder.answer(name, &data, &None, now)
}

impl Receive<Drain> for Fanout {
    fn receive(&mut self, drain: Drain, ctx: &mut Self::Context) {
        let (now, mut sent, mut open) = (drain.clock.now_ms(), 0, VecDeque::new());
        self.session_table.for_each(|handle| {
            // Suspended sessions are closed already.
            if handle.closed().is_none() {
                sent += u64::from(Self::send_notice(handle, &drain.schedule, now));
                open.push_back(handle.addr().slot);
            }
        });
        self.session_table.stats().sent.add(sent);
        let turn = WorkerTurn { worker: self.session_table.worker(), of: drain.workers };
        let since = drain.clock.elapsed_ms();
        self.close_due(DrainState { turn, total: open.len(), open, since, drain }, ctx);
    }
}

#[cfg(test)]
mod tests;
