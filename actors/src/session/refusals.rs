//! Records refusals of a session: a log line, and an event for `monitoring:events`.

use super::Session;
use super::replies::RequestContext;
use crate::events::chat::monitoring::ConnectionEventKind;
use crate::events::wording::ErrorStyle;
use crate::facts::{Fact, RequestRefused};
use crate::model::close::Close;
use crate::model::fault::{Code, Fault};
use crate::model::ids::RequestId;
use crate::model::surface::Surface;
use crate::monitor::{kind_of_join, kind_of_request};
use crate::refusal_log::Refusal;
use crate::refusal_log::closes::of_close;

/// Longest room name in a report, in characters.
const ROOM_MAX: usize = 200;

/// Least time between two reports of one kind, ms. To keep one client from filling the event log, at most one refusal
/// of a kind is reported a minute.
const REFUSAL_MS: i64 = 60_000;

impl Session {
    /// Records a refused request.
    pub(super) fn note_refused(&self, context: &RequestContext, fault: &Fault) {
        let room = context.joined_room();
        let code = match self.surface {
            Surface::Root => context.refused().code(fault, self.error_style()),
            Surface::Raw | Surface::Chat => fault.code.as_str(),
        };
        let (event, room) = (context.event(), room.as_deref());
        self.log_refusal(|of_session| Refusal { event, room, code, ..of_session }, fault);
        self.report_refusal(fault.code, room);
    }

    /// Records one denied room of a request that succeeds otherwise.
    pub(super) fn note_denied(&self, event: &'static str, room: &str, fault: &Fault) {
        self.hub.count(fault);
        self.log_refusal(|of_session| Refusal { event: Some(event), room: Some(room), ..of_session }, fault);
        self.report_refusal(fault.code, Some(room));
    }

    /// Records a request that the application, or the hub for it, did not perform. The client receives `code` and the
    /// id `request`.
    pub(super) fn note_failed(&self, event: &'static str, request: RequestId, code: &'static str, fault: &Fault) {
        let id = request.to_string();
        self.log_refusal(|of_session| Refusal { request: Some(&id), event: Some(event), code, ..of_session }, fault);
    }

    /// Records a close that refuses something, unless it is logged already.
    pub(super) fn note_closed(&self, close: Close) {
        if self.handle.is_close_logged() {
            return;
        }
        if let Some(fault) = of_close(close, self.surface.into(), self.handle.closed_by()) {
            self.log_refusal(|of_session| Refusal { close: Some(close.code()), ..of_session }, &fault);
        }
    }

    /// The document that the client follows on `/`.
    pub(super) fn error_style(&self) -> ErrorStyle {
        if self.started_as_guest { ErrorStyle::Community } else { ErrorStyle::Push }
    }

    fn log_refusal<'a>(&self, with: impl FnOnce(Refusal<'a>) -> Refusal<'a>, fault: &'a Fault) {
        let (connection, user) =
            (self.handle.session().to_string(), self.identity.as_ref().map(|own| own.user.clone()));
        let refusal = with(Refusal::new(self.surface.as_str(), fault));
        self.hub.log_refusal(&Refusal {
            connection: Some(&connection),
            address: self.peer.address,
            user: user.as_ref().map(|user| user.as_str()),
            ..refusal
        });
    }

    /// Reports a refusal to the monitor, at most once a minute for each kind. `room` is the denied room.
    fn report_refusal(&self, code: Code, room: Option<&str>) {
        let joins = room.and_then(|_| kind_of_join(code));
        let Some(kind) = joins.or(kind_of_request(code)) else { return };
        let reported_at = match kind {
            _ if joins.is_some() => &self.monitor_reports.join_denied_at,
            ConnectionEventKind::RateLimit => &self.monitor_reports.rate_limited_at,
            _ => &self.monitor_reports.unauthorized_at,
        };
        let elapsed = self.hub.clock().elapsed_ms();
        if elapsed.saturating_sub(reported_at.get()) >= REFUSAL_MS {
            reported_at.set(elapsed);
            let room = room.filter(|_| joins.is_some()).map(|room| room.chars().take(ROOM_MAX).collect::<String>());
            let refused = RequestRefused { session: self.summary(), code, room: room.map(Into::into) };
            self.hub.observe(Fact::RequestRefused(&refused));
        }
    }
}
