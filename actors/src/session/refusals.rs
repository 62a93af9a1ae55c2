//! Records what a session refuses its client: a line in the log, and an event for `monitoring:events`.

use super::Session;
use super::replies::RequestContext;
use crate::events::Bucket;
use crate::events::Surface;
use crate::events::chat::monitoring::Kind;
use crate::events::wording::Audience;
use crate::model::close::Close;
use crate::model::fault::{Code, Fault};
use crate::model::ids::RequestId;
use crate::monitor::{RequestRefused, kind_of_join, kind_of_request};
use crate::refusal_log::Refusal;
use crate::refusal_log::closes::of_close;

/// Longest room that the monitor is told of, in characters.
const ROOM_MAX: usize = 200;

/// Least time between two refusals of one kind that the monitor is told of, ms: who has a thousand requests refused is
/// not to push everything else out of what it remembers.
const REFUSAL_MS: i64 = 60_000;

impl Session {
    /// Notes that a request is refused.
    pub(super) fn note_refused(&self, asked: &RequestContext, fault: &Fault) {
        let room = asked.joined_room();
        let code = match self.surface {
            Surface::Root => asked.refused().code(fault, self.audience()),
            Surface::Raw | Surface::Chat => fault.code.as_str(),
        };
        let (event, room) = (asked.event(), room.as_deref());
        self.log_refusal(|of_session| Refusal { event, room, code, ..of_session }, fault);
        self.report_refusal(fault.code, room);
    }

    /// Notes that one room of several was not joined, by the request `event`, which is answered all the same.
    pub(super) fn note_denied(&self, event: &'static str, room: &str, fault: &Fault) {
        self.log_refusal(|of_session| Refusal { event: Some(event), room: Some(room), ..of_session }, fault);
        self.report_refusal(fault.code, Some(room));
    }

    /// Notes that the application, or the hub in its stead, did not do what `event` asked. `code` is what the client is
    /// told, with the id `request`.
    pub(super) fn note_failed(&self, event: &'static str, request: RequestId, code: &'static str, fault: &Fault) {
        let id = request.to_string();
        self.log_refusal(|of_session| Refusal { request: Some(&id), event: Some(event), code, ..of_session }, fault);
    }

    /// Notes that the session was ended, where that refuses its client something and was not noted yet.
    pub(super) fn note_closed(&self, close: Close) {
        if self.handle.is_close_logged() {
            return;
        }
        if let Some(fault) = of_close(close, self.surface.into(), self.handle.closed_by()) {
            self.log_refusal(|of_session| Refusal { close: Some(close.code()), ..of_session }, &fault);
        }
    }

    /// The document that the client was written by, on `/`.
    pub(super) fn audience(&self) -> Audience {
        if self.started_as_guest { Audience::Community } else { Audience::Push }
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

    /// Tells the monitor that a request was refused, where it wants to know and was told of none lately. `room` is what
    /// the client wanted to join.
    fn report_refusal(&self, code: Code, room: Option<&str>) {
        let joins = room.and_then(|_| kind_of_join(code));
        let Some(kind) = joins.or(kind_of_request(code)) else { return };
        let told_at = match kind {
            _ if joins.is_some() => &self.monitor_reports.join_denied_at,
            Kind::RateLimit => &self.monitor_reports.rate_limited_at,
            _ => &self.monitor_reports.unauthorized_at,
        };
        let elapsed = self.hub.clock().elapsed_ms();
        if elapsed.saturating_sub(told_at.get()) >= REFUSAL_MS {
            told_at.set(elapsed);
            let room = room.filter(|_| joins.is_some()).map(|room| room.chars().take(ROOM_MAX).collect::<String>());
            let session = self.observed();
            self.hub.observe(RequestRefused { session, kind, code, room: room.map(Into::into) });
        }
    }

    /// The configuration key of the limit that an event of `bucket` draws from.
    pub(super) fn limit_rule(&self, bucket: Bucket) -> &'static str {
        match (bucket, self.surface) {
            (Bucket::Notifications, _) => "limits.community.notifications_per_minute",
            (Bucket::Typing, _) => "limits.community.typing_per_minute",
            (Bucket::ChatMessages, _) if self.identity.is_some() => "limits.chat.messages_per_minute",
            (Bucket::ChatTyping, _) if self.identity.is_some() => "limits.chat.typing_per_minute",
            (_, Surface::Raw) => "limits.raw.messages_per_minute",
            (_, Surface::Root) if self.started_as_guest => "limits.community.messages_per_minute",
            (_, Surface::Root) => "limits.push.messages_per_minute",
            (_, Surface::Chat) => "limits.chat.requests_per_minute",
        }
    }
}
