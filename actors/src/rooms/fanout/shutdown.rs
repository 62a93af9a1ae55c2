//! How the sessions of a worker go when the hub goes away: told when to come back, all of them, and then closed, a few
//! at a time. How many and when is [`DrainSchedule`]'s.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use actix::{AsyncContext, Context};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::Fanout;
use crate::connection::{SessionHandle, SlotId};
use crate::events::moment::Iso;
use crate::events::push::Draining;
use crate::events::raw::Status;
use crate::events::{ServerEvent, Surface, json};
use crate::model::close::Close;
use crate::publication::Encoder;
use crate::runtime::clock::Clock;
use crate::runtime::mailbox::Receive;
use crate::shutdown::schedule::{DrainSchedule, TICK_MS, Turn};

/// Ends every session of this worker, as planned, each once it answered what it owes.
#[derive(Debug)]
pub(crate) struct Drain {
    pub(crate) plan: DrainSchedule,
    /// How many workers do so.
    pub(crate) workers: usize,
    pub(crate) clock: Clock,
    /// Answered when the last one was closed.
    pub(crate) done: oneshot::Sender<()>,
}

/// Sessions on their way out.
struct Leaving {
    drain: Drain,
    turn: Turn,
    /// How many they were.
    all: usize,
    /// Those that are not closed yet.
    waiting: VecDeque<SlotId>,
    /// When it began, ms by [`Clock::elapsed_ms`].
    since: i64,
}

impl Fanout {
    /// Closes those whose time has come, and comes back for the others.
    fn let_go(&self, mut leaving: Leaving, ctx: &mut Context<Self>) {
        let elapsed = u64::try_from(leaving.drain.clock.elapsed_ms() - leaving.since).unwrap_or(0);
        let due = leaving.drain.plan.due(leaving.all, leaving.turn, elapsed);
        let closed = leaving.all - leaving.waiting.len();
        for key in leaving.waiting.drain(..due.saturating_sub(closed)) {
            if let Some(handle) = self.session_table.get(key) {
                handle.close_after_replies(Close::GoingAway);
            }
        }
        if leaving.waiting.is_empty() {
            let _ = leaving.drain.done.send(());
        } else {
            ctx.run_later(Duration::from_millis(TICK_MS), |fanout, ctx| fanout.let_go(leaving, ctx));
        }
    }

    /// Tells a client when to come back; whether it was told. One who is far behind is not, for what is accepted for it
    /// may need the place.
    fn tell_when(handle: &SessionHandle, plan: &DrainSchedule, now: i64) -> bool {
        let random = getrandom::u32().unwrap_or(u32::MAX);
        let Some(notice) = notice(handle.encoder(), plan.away_ms(random), now) else { return false };
        let is_told = handle.fits_within_half(1, notice.len());
        if is_told {
            // Past the answers that are promised: they may take as long as there is.
            handle.send_ahead(Rc::new(notice));
        }
        is_told
    }
}

/// What tells a client so, in the words of its surface.
fn notice(wire: &dyn Encoder, reconnect_after_ms: u64, now: i64) -> Option<Bytes> {
    let (name, data) = match wire.surface()? {
        Surface::Raw => (Status::NAME, json::encode(&Status::Draining { reconnect_after_ms })),
        Surface::Root | Surface::Chat => {
            (Draining::NAME, json::encode(&Draining { reconnect_after_ms, timestamp: Iso(now) }))
        }
    };
    Some(wire.answer(name, &data, &None, now))
}

impl Receive<Drain> for Fanout {
    fn receive(&mut self, drain: Drain, ctx: &mut Self::Context) {
        let (now, mut told, mut waiting) = (drain.clock.now_ms(), 0, VecDeque::new());
        self.session_table.for_each(|handle| {
            // Parked ones are closed already.
            if !handle.is_multiplexed() && handle.closed().is_none() {
                told += u64::from(Self::tell_when(handle, &drain.plan, now));
                waiting.push_back(handle.addr().slot);
            }
        });
        self.session_table.stats().sent.add(told);
        let turn = Turn { worker: self.session_table.worker(), of: drain.workers };
        let since = drain.clock.elapsed_ms();
        self.let_go(Leaving { turn, all: waiting.len(), waiting, since, drain }, ctx);
    }
}

#[cfg(test)]
mod tests;
