//! Reports the session to the monitor.

use std::cell::Cell;

use log::kv::Value;

use super::Session;
use crate::facts::{Fact, SessionClosed, SessionOpened, SessionSummary};
use crate::model::close::Close;
use crate::model::surface::Transport;
use crate::monitor::LOST;

/// The initial time of the last report: no report was sent yet.
const NEVER: i64 = i64::MIN;

/// The reports about a session.
#[derive(Debug)]
pub(super) struct MonitorReports {
    /// When the session was reported as open, ms by [`crate::runtime::clock::Clock::elapsed_ms`].
    opened_at: Option<i64>,
    /// The transport.
    transport: Transport,
    /// The last report of a rate limit, of a missing permission, and of a denied join.
    pub(super) rate_limited_at: Cell<i64>,
    pub(super) unauthorized_at: Cell<i64>,
    pub(super) join_denied_at: Cell<i64>,
}

impl MonitorReports {
    /// No report yet.
    pub(super) fn none(transport: Transport) -> Self {
        let [rate_limited_at, unauthorized_at, join_denied_at] = [(); 3].map(|()| Cell::new(NEVER));
        Self { opened_at: None, transport, rate_limited_at, unauthorized_at, join_denied_at }
    }
}

/// Why a session ends; `None` when its connection was lost.
#[derive(Debug, Clone, Copy)]
pub(super) struct SessionEnd(Option<Close>);

impl Session {
    pub(super) fn summary(&self) -> SessionSummary {
        SessionSummary {
            surface: self.surface,
            session: self.handle.session(),
            user: self.identity.as_ref().map(|identity| identity.user.clone()),
            peer: self.peer.clone(),
        }
    }

    /// Reports that the session is open.
    pub(super) fn report_opened(&mut self) {
        self.monitor_reports.opened_at = Some(self.hub.clock().elapsed_ms());
        self.log("connected", None);
        let opened = SessionOpened { session: self.summary(), active: self.hub.stats().sessions.get() };
        self.hub.observe(Fact::SessionOpened(&opened));
    }

    /// Records why the session ends, before the cleanup changes it.
    pub(super) fn note_end(&mut self) {
        self.end.get_or_insert(SessionEnd(self.handle.end_reason()));
    }

    /// Reports the end of a reported session, and logs an end that is a refusal.
    pub(super) fn report_ended(&mut self) {
        let Some(opened_at) = self.monitor_reports.opened_at.take() else { return };
        let close = if std::thread::panicking() { Some(Close::Failed) } else { self.end.and_then(|end| end.0) };
        if let Some(close) = close {
            self.note_closed(close);
        }
        let duration_ms = (self.hub.clock().elapsed_ms() - opened_at).max(0);
        self.log("disconnected", Some((close.map_or(LOST, Close::reason), duration_ms)));
        let closed = SessionClosed { session: self.summary(), close, duration_ms };
        self.hub.observe(Fact::SessionClosed(&closed));
    }

    /// Logs an event of the session at debug level; at its end with the reason and the duration, ms.
    pub(super) fn log(&self, event: &str, end: Option<(&str, i64)>) {
        log::debug!(
            target: "hubbub::session",
            connection:% = self.handle.session(),
            surface = self.surface.as_str(),
            transport = self.monitor_reports.transport.as_str(),
            user = self.identity.as_ref().map(|identity| identity.user.as_str()),
            address = self.peer.address.as_ref().map(Value::from_display),
            reason = end.map(|(reason, _)| reason),
            durationMs = end.map(|(_, duration_ms)| duration_ms);
            "{event}"
        );
    }
}
