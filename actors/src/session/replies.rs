//! Encodes events, replies and refusals for all surfaces.
//!
//! | | raw | `/`, `/chat` |
//! |---|---|---|
//! | a reply that is an event of the surface | by its name, with the request's `id` | by its name, and as the acknowledgement if requested |
//! | any other reply | as `Reply` with the request's `id`; none without an `id` | as the acknowledgement, if requested |
//! | the [preceding events](ServerEvent::preceding_events) of a reply | before it, by their names | before it, by their names |
//! | a refusal | as `Error` | by the event of its [`RefusalForm`] (on `/`), and as the acknowledgement if requested |
//!
//! On `/chat` every acknowledgement has `success`: see [`successful`].

use std::borrow::Cow;

use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Session;
use crate::events::chat::answer::successful;
use crate::events::chat::rooms::JoinChat;
use crate::events::push::JoinRoom;
use crate::events::{ClientEvent, RefusalForm, ServerEvent, json};
use crate::model::fault::Fault;
use crate::model::ids::RoomName;
use crate::model::surface::Surface;
use crate::publication::{Correlation, EventError, Payload};

/// Longest event name that a reply repeats, in characters.
const ECHO_MAX: usize = 64;

/// An event name, truncated for a reply.
pub(super) fn truncated_name(name: &str) -> String {
    name.chars().take(ECHO_MAX).collect()
}

/// The parts of a request that its reply needs.
#[derive(Debug)]
pub(super) struct RequestContext {
    /// The event's name, if readable.
    event: Option<Cow<'static, str>>,
    refused: RefusalForm,
    /// The name of the reply event.
    reply: &'static str,
    /// The data, when a refusal repeats part of it or names the denied room.
    data: Option<ByteString>,
    pub(super) correlation: Correlation,
}

impl RequestContext {
    /// A request in the event table.
    pub(super) fn of<E: ClientEvent>(data: &ByteString, correlation: Correlation) -> Self {
        let is_wanted = E::ROW.refused == RefusalForm::Reply || E::NAME == JoinChat::NAME;
        let data = is_wanted.then(|| data.clone());
        let (event, reply) = (Some(E::NAME.into()), <E::Reply as ServerEvent>::NAME);
        Self { event, refused: E::ROW.refused, reply, data, correlation }
    }

    /// A request that is not in the event table.
    pub(super) fn unknown(event: &str, correlation: Correlation) -> Self {
        let event = Some(truncated_name(event).into());
        Self { event, refused: RefusalForm::Invalid, reply: "", data: None, correlation }
    }

    /// An unreadable request, with its name if readable.
    pub(super) fn unreadable(event: Option<&str>, correlation: Correlation) -> Self {
        let event = event.map(|event| truncated_name(event).into());
        Self { event, refused: RefusalForm::Unread, reply: "", data: None, correlation }
    }

    pub(super) fn event(&self) -> Option<&str> {
        self.event.as_deref()
    }

    pub(super) fn refused(&self) -> RefusalForm {
        self.refused
    }

    /// The room that the request would join, if readable.
    pub(super) fn joined_room(&self) -> Option<String> {
        let data = self.data.as_deref()?;
        match self.event.as_deref()? {
            JoinRoom::NAME => room_in(data),
            JoinChat::NAME => {
                json::parse_str::<JoinChat>(data).ok().map(|join| RoomName::of_chat(&join.chat_id).to_string())
            }
            _ => None,
        }
    }
}

impl Session {
    /// Sends an event that is no reply.
    pub(super) fn send_event<E: ServerEvent>(&self, event: &E, now: i64) {
        self.handle.send(self.handle.encoder().answer(E::NAME, &json::to_vec(event), &None, now));
    }

    /// Replies to a request.
    pub(super) fn reply<R: ServerEvent>(&self, reply: &R, correlation: &Correlation, now: i64) {
        if let Some(payload) = self.reply_payload(reply, correlation, now) {
            self.handle.send(payload);
        }
    }

    /// The messages of a reply; `None` when the client receives none.
    pub(super) fn reply_payload<R: ServerEvent>(
        &self,
        reply: &R,
        correlation: &Correlation,
        now: i64,
    ) -> Option<Payload> {
        let wire = self.handle.encoder();
        let data = json::to_vec(reply);
        let by_name = R::ON.contains(&self.surface).then(|| wire.answer(R::NAME, &data, correlation, now));
        // On the raw surface the event itself has the request's `id`.
        let is_answered = by_name.is_some() && self.surface == Surface::Raw;
        let requested = correlation.as_ref().filter(|_| !is_answered);
        let argument = R::HAS_DATA.then_some(&data[..]);
        let acknowledged = requested.map(|id| match self.surface {
            Surface::Chat => wire.acknowledgement(Some(&*successful(argument)), id, now),
            Surface::Raw | Surface::Root => wire.acknowledgement(argument, id, now),
        });
        let preceding_events = reply
            .preceding_events()
            .into_iter()
            .map(|preceding_event| wire.answer(preceding_event.name, &preceding_event.data, &None, now));
        Payload::concat(preceding_events.chain([by_name, acknowledged].into_iter().flatten()))
    }

    /// The messages of a result; `None` when the client receives none.
    pub(super) fn result_payload<R: ServerEvent>(
        &self,
        result: Result<R, Fault>,
        context: &RequestContext,
    ) -> Option<Payload> {
        let now = self.now();
        match result {
            Ok(reply) => self.reply_payload(&reply, &context.correlation, now),
            Err(fault) => self.refusal_payload(context, &fault, now),
        }
    }

    /// Refuses a request.
    pub(super) fn refuse(&self, context: &RequestContext, fault: &Fault, now: i64) {
        if let Some(payload) = self.refusal_payload(context, fault, now) {
            self.handle.send(payload);
        }
    }

    /// The messages of a refusal; `None` when the client receives none.
    pub(super) fn refusal_payload(&self, context: &RequestContext, fault: &Fault, now: i64) -> Option<Payload> {
        self.note_refused(context, fault);
        let room = context.data.as_deref().filter(|_| context.refused == RefusalForm::Reply).and_then(room_in);
        let refusal = EventError {
            fault,
            event: context.event.as_deref(),
            refused: context.refused,
            style: self.error_style(),
            reply: context.reply,
            room: room.as_deref(),
            correlation: &context.correlation,
        };
        self.handle.refusal(&refusal, now)
    }
}

/// The room of a request, if readable.
fn room_in(data: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct RoomField<'a> {
        #[serde(borrow)]
        room: &'a RawValue,
    }

    let named: RoomField<'_> = json::parse_str(data).ok()?;
    serde_json::from_str(named.room.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_repeats_a_room_that_is_a_text() {
        for (data, room) in [
            (r#"{"a":[1],"room":"caf\u00e9"}"#, Some("café")),
            (r#"{"room":7}"#, None),
            (r#"{"room":null}"#, None),
            (r#"["room"]"#, None),
            ("{}", None),
        ] {
            assert_eq!(room_in(data).as_deref(), room, "{data}");
        }
    }
}
