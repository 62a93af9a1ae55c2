//! Debug mode: the session receives metrics of the hub at an interval.

use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext as _, Context, SpawnHandle};

use crate::events::Done;
use crate::events::debug::{ConnectionStats, DebugMode, EventMetrics, MemoryUsage};
use crate::events::timestamp::Iso;
use crate::hub::Hub;
use crate::model::fault::{Code, Fault};
use crate::session::{Handle, Outcome, Session};

/// Sessions in debug mode at once, at most.
pub(in crate::session) const DEBUG_SESSIONS_MAX: u64 = 100;

/// A session's debug mode.
#[derive(Debug)]
pub(in crate::session) struct Debugging {
    hub: Arc<Hub>,
    /// Set once the timer runs.
    timer: Option<SpawnHandle>,
}

impl Debugging {
    fn begin(hub: &Arc<Hub>) -> Result<Self, Fault> {
        let debugging = &hub.stats().debugging;
        debugging.add(1);
        // From here on `Drop` undoes the count.
        let this = Self { hub: hub.clone(), timer: None };
        if debugging.get() > DEBUG_SESSIONS_MAX {
            let message = format!("{DEBUG_SESSIONS_MAX} sessions are in debug mode; try again later").into();
            return Err(Fault { message, ..Fault::limit_reached("debug.sessions") });
        }
        Ok(this)
    }
}

impl Drop for Debugging {
    fn drop(&mut self) {
        self.hub.stats().debugging.sub(1);
    }
}

impl Session {
    fn may_debug(&self) -> Result<(), Fault> {
        if self.hub.settings().debug.open || self.identity()?.has_role("admin") {
            return Ok(());
        }
        Err(Fault::new(Code::Forbidden, "Only for admins").by("debug.open"))
    }

    /// Sends the first metrics, after the reply, and more at the interval.
    fn debug(&mut self, ctx: &mut Context<Self>) {
        // The timer first: the interval starts before the client sees the metrics.
        self.start_timer(ctx);
        self.send_metrics();
    }

    /// Sends the next metrics after the interval, until debug mode ends.
    fn start_timer(&mut self, ctx: &mut Context<Self>) {
        let Some(debugging) = &mut self.debugging else { return };
        let interval = Duration::from_millis(self.hub.settings().debug.interval_ms.max(1));
        let timer = self.hub.clock().run_later(ctx, interval, |session: &mut Self, ctx| {
            // A renewed token may lack the role.
            if session.may_debug().is_ok() {
                session.start_timer(ctx);
                session.send_metrics();
            } else {
                session.stop_debugging(ctx);
            }
        });
        debugging.timer = Some(timer);
    }

    fn stop_debugging(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.debugging.take().and_then(|mut debugging| debugging.timer.take()) {
            ctx.cancel_future(timer);
        }
    }

    fn send_metrics(&self) {
        let (now, elapsed) = (self.now(), self.hub.clock().elapsed_ms());
        let hub = self.hub.clone();
        let (stats, settings) = (hub.stats(), hub.settings());
        if self.debugging.is_none() {
            return;
        }
        let connections = ConnectionStats {
            active_connections: stats.sessions.get(),
            total_connections: stats.sessions_opened.get(),
            max_connections: hub.max_connections(),
            users_online: stats.users.get(),
            rooms: stats.rooms.get(),
            timestamp: Iso(now),
        };
        let events = EventMetrics {
            events_received: stats.received.get(),
            events_sent: stats.sent.get(),
            events_published: stats.published.get(),
            events_per_minute: stats.minute.events(stats.handled(), elapsed),
            errors: stats.errors.get(),
            rate_limited: stats.rate_limited.get(),
            timestamp: Iso(now),
        };
        self.send_event(&connections, now);
        self.send_event(&MemoryUsage::new((settings.debug.memory)(), now), now);
        self.send_event(&events, now);
    }
}

impl Handle<DebugMode> for Session {
    fn handle(&mut self, request: DebugMode) -> Result<Outcome<Done>, Fault> {
        self.may_debug()?;
        if !request.enabled {
            return Ok(Outcome::ReplyThen(Done {}, Box::new(Self::stop_debugging)));
        }
        if self.debugging.is_some() {
            return Ok(Outcome::Reply(Done {}));
        }
        self.debugging = Some(Box::new(Debugging::begin(&self.hub)?));
        Ok(Outcome::ReplyThen(Done {}, Box::new(Self::debug)))
    }
}
