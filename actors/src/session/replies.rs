//! How what a session has to say reaches its client: the one place that knows it for all surfaces.
//!
//! | | raw | `/`, `/chat` |
//! |---|---|---|
//! | an answer that is an event of the surface | by its name, with the request's `id` | by its name, and as the acknowledgement where one was asked for |
//! | any other answer | as `Reply` with the request's `id`; none without an `id` | as the acknowledgement, where one was asked for |
//! | the [heralds](ServerEvent::heralds) of an answer | before it, by their names | before it, by their names |
//! | a refusal | as `Error` | by the event that [`Refused`] says (on `/`), and as the acknowledgement where one was asked for |
//!
//! On `/chat` every acknowledgement has `success`: see [`successful`].

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Session;
use crate::events::chat::answer::successful;
use crate::events::chat::rooms::JoinChat;
use crate::events::push::JoinRoom;
use crate::events::{ClientEvent, Refused, ServerEvent, Surface, json};
use crate::model::fault::Fault;
use crate::model::ids::RoomName;
use crate::publication::{Correlation, EventError};

/// Longest part of a client's name of an event that is given back, in characters.
const ECHO_MAX: usize = 64;

/// The name of an event as it is given back.
pub(super) fn truncated_name(name: &str) -> String {
    name.chars().take(ECHO_MAX).collect()
}

/// What is kept of a request until it is answered.
#[derive(Debug)]
pub(super) struct RequestContext {
    /// The event's name; `None` where it could not be read.
    event: Option<Cow<'static, str>>,
    refused: Refused,
    /// The name of the event that answers it.
    reply: &'static str,
    /// Its data, where a refusal repeats some of it, or tells which room was not joined.
    data: Option<Bytes>,
    pub(super) correlation: Correlation,
}

impl RequestContext {
    /// A request of the table.
    pub(super) fn of<E: ClientEvent>(data: &Bytes, correlation: Correlation) -> Self {
        let is_wanted = E::REFUSED == Refused::Reply || E::NAME == JoinChat::NAME;
        let data = is_wanted.then(|| data.clone());
        let (event, reply) = (Some(E::NAME.into()), <E::Reply as ServerEvent>::NAME);
        Self { event, refused: E::REFUSED, reply, data, correlation }
    }

    /// One that is not in the table.
    pub(super) fn unknown(event: &str, correlation: Correlation) -> Self {
        let event = Some(truncated_name(event).into());
        Self { event, refused: Refused::Invalid, reply: "", data: None, correlation }
    }

    /// One that could not be read, with as much of its name as could.
    pub(super) fn unreadable(event: Option<&str>, correlation: Correlation) -> Self {
        let event = event.map(|event| truncated_name(event).into());
        Self { event, refused: Refused::Unread, reply: "", data: None, correlation }
    }

    pub(super) fn event(&self) -> Option<&str> {
        self.event.as_deref()
    }

    pub(super) fn refused(&self) -> Refused {
        self.refused
    }

    /// The room that the request would join, as far as it can be read.
    pub(super) fn joined_room(&self) -> Option<String> {
        let data = self.data.as_deref()?;
        match self.event.as_deref()? {
            JoinRoom::NAME => room_in(data),
            JoinChat::NAME => {
                json::parse::<JoinChat>(data).ok().map(|join| RoomName::of_chat(&join.chat_id).to_string())
            }
            _ => None,
        }
    }
}

impl Session {
    /// Says an event that answers nothing.
    pub(super) fn send_event<E: ServerEvent>(&self, event: &E, now: i64) {
        self.handle.send(self.handle.encoder().answer(E::NAME, &json::encode(event), &None, now));
    }

    /// Answers a request at once.
    pub(super) fn reply<R: ServerEvent>(&self, reply: &R, correlation: &Correlation, now: i64) {
        if let Some(frame) = self.reply_frame(reply, correlation, now) {
            self.handle.send(frame);
        }
    }

    /// The bytes that answer a request; `None` where there is nothing to say.
    pub(super) fn reply_frame<R: ServerEvent>(&self, reply: &R, correlation: &Correlation, now: i64) -> Option<Bytes> {
        let wire = self.handle.encoder();
        let data = json::encode(reply);
        let by_name = R::ON.contains(&self.surface).then(|| wire.answer(R::NAME, &data, correlation, now));
        // On the raw surface the event bears the request's `id` itself.
        let is_answered = by_name.is_some() && self.surface == Surface::Raw;
        let asked_for = correlation.as_ref().filter(|_| !is_answered);
        let argument = R::HAS_DATA.then_some(&data[..]);
        let acknowledged = asked_for.map(|id| match self.surface {
            Surface::Chat => wire.acknowledgement(Some(&*successful(argument)), id, now),
            Surface::Raw | Surface::Root => wire.acknowledgement(argument, id, now),
        });
        let preceding_events = reply
            .preceding_events()
            .into_iter()
            .map(|preceding_event| wire.answer(preceding_event.name, &preceding_event.data, &None, now));
        let mut frames = preceding_events.chain([by_name, acknowledged].into_iter().flatten());
        let first = frames.next()?;
        let Some(second) = frames.next() else { return Some(first) };
        let mut all = BytesMut::with_capacity(first.len() + 2 * second.len());
        for frame in [first, second].into_iter().chain(frames) {
            all.extend_from_slice(&frame);
        }
        Some(all.freeze())
    }

    /// The bytes that say what became of a request; `None` where there is nothing to say.
    pub(super) fn result_frame<R: ServerEvent>(
        &self,
        result: Result<R, Fault>,
        asked: &RequestContext,
    ) -> Option<Bytes> {
        let now = self.now();
        match result {
            Ok(reply) => self.reply_frame(&reply, &asked.correlation, now),
            Err(fault) => self.refusal_frame(asked, &fault, now),
        }
    }

    /// Refuses a request at once.
    pub(super) fn refuse(&self, asked: &RequestContext, fault: &Fault, now: i64) {
        if let Some(frame) = self.refusal_frame(asked, fault, now) {
            self.handle.send(frame);
        }
    }

    /// The bytes that refuse a request; `None` where its client is told nothing.
    pub(super) fn refusal_frame(&self, asked: &RequestContext, fault: &Fault, now: i64) -> Option<Bytes> {
        self.note_refused(asked, fault);
        let room = asked.data.as_deref().filter(|_| asked.refused == Refused::Reply).and_then(room_in);
        let refusal = EventError {
            fault,
            event: asked.event.as_deref(),
            refused: asked.refused,
            audience: self.audience(),
            reply: asked.reply,
            room: room.as_deref(),
            correlation: &asked.correlation,
        };
        self.handle.refusal(&refusal, now)
    }
}

/// The room that a request names, as far as it can be read.
fn room_in(data: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct RoomField<'a> {
        #[serde(borrow)]
        room: &'a RawValue,
    }

    let named: RoomField<'_> = json::parse(data).ok()?;
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
            (r#"["lobby"]"#, None),
            ("{}", None),
        ] {
            assert_eq!(room_in(data.as_bytes()).as_deref(), room, "{data}");
        }
    }
}
