//! What the hub says and hears in a Socket.IO namespace: its events as packets, and a client's packets as requests. Knows
//! no connection: how packets travel is [`super::engineio`]'s, how they are written [`super::socketio`]'s.

use bytes::{Bytes, BytesMut};
use hubbub_actors::events::chat::Failed;
use hubbub_actors::events::community::{AuthenticationError, Disconnected};
use hubbub_actors::events::moment::Iso;
use hubbub_actors::events::push::{Error, NotDone};
use hubbub_actors::events::{Refused, ServerEvent, Surface, json};
use hubbub_actors::model::close::Close;
use hubbub_actors::model::fault::Fault;
use hubbub_actors::publication::{Correlation, Encoder, Event, EventError, Format};
use hubbub_actors::session::{Inbound, Request};

use super::quoted;
use super::socketio::{self, Malformed, Packet, Whole};

/// The wire of `/`.
pub static ROOT: NamespaceWire = NamespaceWire { format: Format::Root, surface: Surface::Root, is_numbered: false };

/// The wire of `/` for clients that come back with the number of the last event they got: it is the last argument of each
/// (Socket.IO, "Connection state recovery").
pub static ROOT_NUMBERED: NamespaceWire =
    NamespaceWire { format: Format::RootNumbered, surface: Surface::Root, is_numbered: true };

/// The wire of `/chat`.
pub static CHAT: NamespaceWire = NamespaceWire { format: Format::Chat, surface: Surface::Chat, is_numbered: false };

/// The events of a namespace as packets, each in its WebSocket frames.
#[derive(Debug)]
pub struct NamespaceWire {
    format: Format,
    surface: Surface,
    is_numbered: bool,
}

impl NamespaceWire {
    /// The namespace's name.
    pub const fn namespace(&self) -> &'static str {
        self.surface.as_str()
    }

    /// What a session here speaks.
    pub const fn surface(&self) -> Surface {
        self.surface
    }

    /// The last event before the hub closes the connection for this reason, where the namespace has one.
    pub fn close_state(&self, close: Close, timestamp: i64) -> Option<Bytes> {
        let close_state = || self.emit(Disconnected::NAME, &json::encode(&Disconnected::new(close, timestamp)));
        Disconnected::ON.contains(&self.surface).then(close_state)
    }

    fn emit(&self, name: &str, data: &[u8]) -> Bytes {
        self.emit_with(name, data, b"")
    }

    /// The event with further arguments.
    fn emit_with(&self, name: &str, data: &[u8], further: &[u8]) -> Bytes {
        let name = quoted(name);
        let (data, attachments) = socketio::extract(data);
        let parts = [b"[", name.as_bytes(), b",", &data, further, b"]"];
        socketio::emit_parts(self.namespace(), &parts, None, &attachments)
    }

    fn ack(&self, data: Option<&[u8]>, correlation: &Bytes) -> Bytes {
        // It is what `request` made of a number.
        let id = std::str::from_utf8(correlation).ok().and_then(|id| id.parse().ok()).unwrap_or_default();
        let (data, attachments) = socketio::extract(data.unwrap_or_default());
        socketio::ack_parts(self.namespace(), id, &[b"[", &data, b"]"], &attachments)
    }

    /// The event that `/` is told a refusal by.
    fn refusal_event(&self, refusal: &EventError<'_>, not_done: &[u8], timestamp: i64) -> Bytes {
        let EventError { fault, refused, audience, .. } = refusal;
        let (code, details) = (refused.code(fault, *audience), fault.details());
        match refused {
            Refused::Reply => self.emit(refusal.reply, not_done),
            Refused::Authentication => {
                let error = AuthenticationError { error: fault.message.clone(), code, details };
                self.emit(AuthenticationError::NAME, &json::encode(&error))
            }
            Refused::Invalid
            | Refused::Unread
            | Refused::Validation
            | Refused::EventData
            | Refused::MessageData
            | Refused::ActionData => {
                let message = refused.message(fault);
                let error = Error {
                    event: refusal.event.map(str::to_owned),
                    message: message.clone(),
                    error: message,
                    code,
                    details,
                    timestamp: Iso(timestamp),
                };
                self.emit(Error::NAME, &json::encode(&error))
            }
        }
    }
}

impl Encoder for NamespaceWire {
    fn format(&self) -> Format {
        self.format
    }

    fn surface(&self) -> Option<Surface> {
        Some(self.surface)
    }

    fn event(&self, event: &Event, number: u64) -> Bytes {
        if self.is_numbered && number > 0 {
            return self.emit_with(event.name.as_str(), &event.data, format!(",\"{number:x}\"").as_bytes());
        }
        self.emit(event.name.as_str(), &event.data)
    }

    fn is_numbered(&self) -> bool {
        self.is_numbered
    }

    fn answer(&self, name: &str, data: &[u8], _: &Correlation, _: i64) -> Bytes {
        self.emit(name, data)
    }

    fn acknowledgement(&self, data: Option<&[u8]>, correlation: &Bytes, _: i64) -> Bytes {
        self.ack(data, correlation)
    }

    fn refusal(&self, refusal: &EventError<'_>, timestamp: i64) -> Option<Bytes> {
        let acked = |data: &[u8]| refusal.correlation.as_ref().map(|id| self.ack(Some(data), id));
        if self.surface == Surface::Chat {
            // An event tells what nobody asked for, such as the end of a token, and what could not be read.
            let is_told = refusal.event.is_none() || refusal.refused == Refused::Unread;
            let unasked = is_told && refusal.correlation.is_none();
            let told = unasked.then(|| self.refusal_event(refusal, b"", timestamp));
            return told.or_else(|| acked(&json::encode(&Failed::new(refusal.fault))));
        }
        let not_done = json::encode(&NotDone::new(refusal.fault, refusal.refused, refusal.audience, refusal.room));
        let mut frames = BytesMut::from(self.refusal_event(refusal, &not_done, timestamp));
        frames.extend_from_slice(&acked(&not_done).unwrap_or_default());
        Some(frames.freeze())
    }
}

/// The number that a client gives back of the last event it got. What is none was the last argument of an event without.
pub fn number(offset: &str) -> u64 {
    // Digits alone: `from_str_radix` takes a sign.
    let is_number = offset.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(offset, 16).ok().filter(|_| is_number).unwrap_or(u64::MAX)
}

/// Reads an event as a request: its first argument is the data, `{}` where there is none; further ones are not looked at.
/// What is wrong with it is part of the result: the connection stays.
pub fn request(whole: Whole) -> Inbound {
    let named = |ack: Option<u64>| ack.map(|id| Bytes::from(id.to_string()));
    let (args, correlation) = match whole.packet {
        Packet::Event { args, ack, .. } => (args, named(ack)),
        Packet::Unreadable { event, fault, ack, .. } => {
            return Inbound::Malformed { event, fault: *fault, correlation: named(ack) };
        }
        Packet::Connect { .. } | Packet::Disconnect { .. } | Packet::Ack { .. } => {
            let fault = Fault::field("event", "The packet is no event");
            return Inbound::Malformed { event: None, fault, correlation: None };
        }
    };
    // A copy of the reference, for an event that cannot be read.
    let text = args.clone();
    match read(args, &whole.attachments) {
        Ok((event, data)) => Inbound::Request(Request { event, data, correlation }),
        Err(Malformed(why)) => {
            let fault = Fault::field("data", format!("The event cannot be read: {why}"));
            Inbound::Malformed { event: socketio::event_name(&text), fault, correlation }
        }
    }
}

fn read(args: Bytes, attachments: &[Bytes]) -> Result<(Box<str>, Bytes), Malformed> {
    let (event, arguments) = socketio::event(&socketio::embed(args, attachments)?)?;
    let data = arguments.into_iter().next().filter(|data| &data[..] != b"null");
    Ok((event, data.unwrap_or(Bytes::from_static(b"{}"))))
}

#[cfg(test)]
mod tests {
    use hubbub_actors::events::wording::Audience;
    use hubbub_actors::model::ids::{EventName, RoomName};

    use super::super::frame;
    use super::*;

    /// The payloads of frames, text as it is and bytes in hex.
    fn frames(bytes: &Bytes) -> Vec<String> {
        let (mut payloads, mut rest) = (Vec::new(), &bytes[..]);
        while let Some((opcode, payload, behind)) = frame::split(rest) {
            payloads.push(match opcode {
                frame::Opcode::Text => String::from_utf8(payload.to_vec()).unwrap(),
                _ => hex::encode(payload),
            });
            rest = behind;
        }
        assert!(rest.is_empty());
        payloads
    }

    fn ack(number: &'static str) -> Correlation {
        Some(Bytes::from_static(number.as_bytes()))
    }

    fn event(name: &str, data: &'static str) -> Event {
        Event {
            name: EventName::parse(name, "event").unwrap(),
            topic: Some(RoomName::parse("lobby", "room").unwrap()),
            data: Bytes::from_static(data.as_bytes()),
            timestamp: 7,
            offset: Some(3),
        }
    }

    #[test]
    fn an_event_is_its_name_and_data_whatever_its_room() {
        let event = event("say \"hi\"", "{\"a\":[1, 2]}");
        assert_eq!(frames(&ROOT.event(&event, 0)), [r#"42["say \"hi\"",{"a":[1, 2]}]"#]);
        assert_eq!(frames(&CHAT.event(&event, 0)), [r#"42/chat,["say \"hi\"",{"a":[1, 2]}]"#]);
    }

    #[test]
    fn the_number_of_an_event_is_its_last_argument_for_those_who_give_it_back() {
        let event = event("say", "[1]");
        assert_eq!(frames(&ROOT_NUMBERED.event(&event, 0)), [r#"42["say",[1]]"#]);
        let numbered = frames(&ROOT_NUMBERED.event(&event, u64::MAX - 1));
        assert_eq!(numbered, [r#"42["say",[1],"fffffffffffffffe"]"#]);
        assert_eq!((number("fffffffffffffffe"), number("10"), number("no number")), (u64::MAX - 1, 16, u64::MAX));
        assert_eq!(number("+5"), u64::MAX, "the hub writes no sign");
    }

    #[test]
    fn bytes_leave_as_attachments_of_events_and_acknowledgements() {
        let event = event("image", r#"{"of":{"$binary":"AQI="}}"#);
        let placed = r#"{"of":{"_placeholder":true,"num":0}}"#;
        assert_eq!(frames(&ROOT.event(&event, 0)), [&format!("451-[\"image\",{placed}]"), "0102"]);
        let answer = CHAT.acknowledgement(Some(&event.data), &ack("5").unwrap(), 7);
        assert_eq!(frames(&answer), [&format!("461-/chat,5[{placed}]"), "0102"]);
    }

    #[test]
    fn an_acknowledgement_without_data_has_no_argument() {
        let of = |data| frames(&ROOT.acknowledgement(data, &ack("18446744073709551615").unwrap(), 7));
        assert_eq!(of(None), ["4318446744073709551615[]"]);
        assert_eq!(of(Some(b"{}")), ["4318446744073709551615[{}]"]);
    }

    fn refused(wire: &NamespaceWire, refused: Refused, fault: &Fault, correlation: &Correlation) -> Vec<String> {
        let event = Some("asked");
        let audience = Audience::Push;
        let refusal = EventError { fault, event, refused, audience, reply: "asked:ack", room: Some("r"), correlation };
        wire.refusal(&refusal, 7).map(|bytes| frames(&bytes)).unwrap_or_default()
    }

    #[test]
    fn a_refusal_on_the_main_namespace_is_an_event_and_an_acknowledgement_where_one_was_asked_for() {
        let bad = Fault::field("content", "`content` is missing");
        let room = EventError { room: None, ..EventError::of(&bad, &None) };
        assert_eq!(
            frames(
                &ROOT
                    .refusal(&EventError { event: Some("client:message"), refused: Refused::MessageData, ..room }, 7)
                    .unwrap()
            ),
            [concat!(
                r#"42["error",{"event":"client:message","message":"Invalid message data. Missing content.","#,
                r#""error":"Invalid message data. Missing content.","code":"INVALID_MESSAGE_DATA","#,
                r#""details":{"field":"content"},"timestamp":"1970-01-01T00:00:00.007Z"}]"#
            )]
        );
        let not_done = r#"{"success":false,"room":"r","error":"Rate limit exceeded","code":"RATE_LIMITED","details":{"retryAfter":3}}"#;
        assert_eq!(
            refused(&ROOT, Refused::Reply, &Fault::rate_limited(3), &ack("9")),
            [format!("42[\"asked:ack\",{not_done}]"), format!("439[{not_done}]")]
        );
        let unasked = frames(&ROOT.refusal(&EventError::of(&Fault::unauthenticated(), &None), 0).unwrap());
        assert!(
            unasked[0].starts_with(r#"42["error",{"event":null,"message":"Authentication required""#),
            "{unasked:?}"
        );
    }

    #[test]
    fn a_token_that_was_good_once_is_told_from_one_that_never_was() {
        use hubbub_actors::model::fault::Code;

        for (code, told) in [
            (Code::InvalidToken, "AUTH_FAILED"),
            (Code::AuthUnavailable, "AUTH_FAILED"),
            (Code::TokenExpired, "INVALID_TOKEN"),
            (Code::TokenRevoked, "INVALID_TOKEN"),
            (Code::Forbidden, "PERMISSION_DENIED"),
            (Code::InvalidRequest, "VALIDATION_ERROR"),
            (Code::Overloaded, "OVERLOADED"),
        ] {
            let frames = refused(&ROOT, Refused::Authentication, &Fault::new(code, "no"), &None);
            assert_eq!(frames, [format!(r#"42["authentication_error",{{"error":"no","code":"{told}"}}]"#)]);
        }
    }

    #[test]
    fn a_defect_goes_by_the_name_that_the_clients_document_gives_it() {
        for (audience, code) in [(Audience::Community, "SERVER_ERROR"), (Audience::Push, "INTERNAL_SERVER_ERROR")] {
            for kind in [Refused::Invalid, Refused::Validation, Refused::Reply, Refused::Authentication] {
                let (fault, correlation) = (Fault::internal(), ack("0"));
                let refusal =
                    EventError { refused: kind, audience, reply: "asked:ack", ..EventError::of(&fault, &correlation) };
                let told = frames(&ROOT.refusal(&refusal, 0).unwrap());
                let code = format!("\"code\":\"{code}\"");
                assert!(told.len() == 2 && told.iter().all(|frame| frame.contains(&code)), "{told:?}");
            }
        }
    }

    #[test]
    fn an_event_that_cannot_be_read_is_named_on_both_namespaces() {
        let fault = Fault::field("data", "no");
        let refusal = EventError { event: Some("x"), refused: Refused::Unread, ..EventError::of(&fault, &None) };
        for (wire, prefix) in [(&ROOT, "42"), (&CHAT, "42/chat,")] {
            let told = frames(&wire.refusal(&refusal, 0).unwrap());
            assert!(told[0].starts_with(&format!(r#"{prefix}["error",{{"event":"x","#)), "{told:?}");
        }
        assert_eq!(socketio::event_name(br#" [ "n\u0061me" ,{"broken"#).as_deref(), Some("name"));
        assert_eq!(socketio::event_name(b"[7,{\"broken\"").as_deref(), Some("7"));
        for text in ["[]", "[{}]", "{}", "", "[\"x"] {
            assert_eq!(socketio::event_name(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_limit_that_is_reached_is_named_whatever_refuses() {
        let fault = Fault::limit_reached("limits.rooms");
        let details = r#""code":"LIMIT_REACHED","details":{"limit":"limits.rooms"}"#;
        for kind in [Refused::Invalid, Refused::Validation, Refused::EventData, Refused::Reply, Refused::Authentication]
        {
            let frames = refused(&ROOT, kind, &fault, &ack("0"));
            assert!(!frames.is_empty() && frames.iter().all(|frame| frame.contains(details)), "{frames:?}");
        }
    }

    #[test]
    fn a_refusal_on_chat_is_told_to_those_who_asked_for_an_acknowledgement() {
        let fault = Fault::rate_limited(3);
        let told = [concat!(
            r#"43/chat,0[{"success":false,"message":"Message rate limit exceeded. Please slow down.","#,
            r#""code":"RATE_LIMITED","details":{"retryAfter":3}}]"#
        )];
        assert_eq!(refused(&CHAT, Refused::Reply, &fault, &ack("0")), told);
        assert_eq!(refused(&CHAT, Refused::Reply, &fault, &None), Vec::<String>::new());
        let expired = Fault::new(hubbub_actors::model::fault::Code::TokenExpired, "The token has expired");
        let told = frames(&CHAT.refusal(&EventError::of(&expired, &None), 0).unwrap());
        assert_eq!(
            told,
            [concat!(
                r#"42/chat,["error",{"event":null,"message":"The token has expired","error":"The token has expired","#,
                r#""code":"TOKEN_EXPIRED","timestamp":"1970-01-01T00:00:00.000Z"}]"#
            )]
        );
    }

    #[test]
    fn the_main_namespace_has_a_last_event() {
        let close_state = ROOT.close_state(Close::GoingAway, 7).unwrap();
        let told = r#"42["disconnected",{"reason":"server_shutdown","timestamp":"1970-01-01T00:00:00.007Z"}]"#;
        assert_eq!(frames(&close_state), [told]);
        assert_eq!(CHAT.close_state(Close::GoingAway, 7), None);
    }

    fn asked(text: &'static str, attachments: &[&'static [u8]]) -> Inbound {
        let packet = socketio::decode(Bytes::from_static(text.as_bytes())).unwrap();
        let attachments = attachments.iter().map(|bytes| Bytes::from_static(bytes)).collect();
        request(Whole { packet, attachments })
    }

    #[test]
    fn the_first_argument_of_an_event_is_the_data_of_a_request() {
        for (text, event, data, correlation) in [
            (r#"2["ping",{"timestamp": 1.50}]"#, "ping", r#"{"timestamp": 1.50}"#, None),
            (r#"2/chat,12["p\u0069ng"]"#, "ping", "{}", Some("12")),
            (r#"20["x",null,1]"#, "x", "{}", Some("0")),
            (r#"2["x",[1],{"a":1}]"#, "x", "[1]", None),
        ] {
            let Inbound::Request(request) = asked(text, &[]) else { panic!("{text}") };
            assert_eq!((&*request.event, &request.data[..]), (event, data.as_bytes()), "{text}");
            assert_eq!(request.correlation.as_deref(), correlation.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn attachments_are_part_of_the_data_and_stray_ones_a_fault() {
        let text = r#"51-3["x",{"of":{"_placeholder":true,"num":0}}]"#;
        let Inbound::Request(request) = asked(text, &[b"\x01\x02"]) else { panic!("no request") };
        assert_eq!(&request.data[..], br#"{"of":{"$binary":"AQI="}}"#);
        let text = r#"51-3["x",{"of":{"_placeholder":true,"num":7}}]"#;
        let Inbound::Malformed { event, fault, correlation } = asked(text, &[b"\x01\x02"]) else { panic!("a request") };
        let blamed = (event.as_deref(), fault.field.as_deref(), correlation);
        assert_eq!(blamed, (Some("x"), Some("data"), ack("3")));
        assert!(matches!(asked("31[]", &[]), Inbound::Malformed { correlation: None, .. }));
    }
}
