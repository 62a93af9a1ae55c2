//! Handlers for the monitoring events of the chat document, on `/chat` and `/ws`: metrics, recent connection
//! events and health.

use actix::fut::WrapFuture;

use crate::events::ServerEvent;
use crate::events::chat::monitoring::{
    AskEvents, AskHealth, AskMetrics, AskStats, EventsReply, HealthReply, MetricsReply, StatsReply,
};
use crate::model::fault::Fault;
use crate::monitor::event_log::Viewer;
use crate::monitor::{FindEvents, GetFullMetrics, GetMetrics, GetRequestCounts, Monitor, health};
use crate::runtime::mailbox::{Receive, ReplySender};
use crate::session::{Handle, Outcome, ReplyFuture, Session};

impl Session {
    fn viewer(&self) -> Result<Viewer, Fault> {
        Ok(Viewer::new(self.identity()?))
    }

    /// Queries the monitor, and replies with the result.
    fn ask_monitor<M, T, R>(
        &self,
        ask: impl FnOnce(ReplySender<T>) -> M,
        answer: impl FnOnce(T) -> R + 'static,
    ) -> Result<Outcome<R>, Fault>
    where
        Monitor: Receive<M>,
        M: Send + 'static,
        T: 'static,
        R: ServerEvent,
    {
        let reply = self.hub.monitor().ask(ask)?;
        let answered = async move { reply.await.map(answer) };
        let answered: ReplyFuture<R> = Box::pin(answered.into_actor(self));
        Ok(Outcome::AsyncLarge(answered))
    }
}

impl Handle<AskMetrics> for Session {
    fn handle(&mut self, _: AskMetrics) -> Result<Outcome<MetricsReply>, Fault> {
        self.ask_monitor(GetMetrics, MetricsReply::new)
    }
}

impl Handle<AskEvents> for Session {
    fn handle(&mut self, ask: AskEvents) -> Result<Outcome<EventsReply>, Fault> {
        let viewer = self.viewer()?;
        self.ask_monitor(|reply| FindEvents { ask, viewer, reply }, EventsReply::new)
    }
}

impl Handle<AskStats> for Session {
    fn handle(&mut self, _: AskStats) -> Result<Outcome<StatsReply>, Fault> {
        let viewer = self.viewer()?;
        self.ask_monitor(|reply| GetFullMetrics { viewer, reply }, StatsReply::new)
    }
}

impl Handle<AskHealth> for Session {
    fn handle(&mut self, _: AskHealth) -> Result<Outcome<HealthReply>, Fault> {
        let hub = self.hub.clone();
        self.ask_monitor(GetRequestCounts, move |requests| {
            HealthReply::new(health::check(&hub.health_inputs(requests)))
        })
    }
}
