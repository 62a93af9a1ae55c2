//! The raw envelope `{"type": T, "data": {...}}`: one JSON object per message.

use std::fmt::Display;

use bytes::Bytes;
use bytestring::ByteString;
use hubbub_actors::events::json;
use hubbub_actors::events::raw::{Error, EventReply};
use hubbub_actors::events::{ServerEvent, text};
use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::surface::Surface;
use hubbub_actors::publication::{Correlation, Encoder, Event, EventError, Format, Offset, Payload};
use hubbub_actors::session::{Inbound, Request};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::quoted;

/// Longest `id` of a request, in bytes of JSON text.
pub const ID_MAX: usize = 256;

/// The wire format of `/ws`.
pub static RAW: RawWire = RawWire;

/// The raw envelope in text messages.
#[derive(Debug)]
pub struct RawWire;

#[derive(Deserialize)]
struct RawEnvelope<'a> {
    #[serde(rename = "type", borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// Parses a client's message, with its escapes [resolved](text::resolve_str). A malformed message is part of the result,
/// because the connection stays open.
pub fn decode(message: Bytes) -> Inbound {
    let text = ByteString::try_from(message).map_err(|error| (not_json(error), None));
    match text.and_then(|text| read(&text::resolve_str(text))) {
        Ok(request) => Inbound::Request(request),
        Err((fault, correlation)) => Inbound::Malformed { event: None, fault, correlation },
    }
}

fn read(message: &ByteString) -> Result<Request, (Fault, Correlation)> {
    if !message.trim_ascii_start().starts_with('{') {
        return Err((malformed(message), None));
    }
    let envelope: RawEnvelope<'_> = serde_json::from_str(message).map_err(|_| (malformed(message), None))?;
    let correlation = match envelope.id.map(RawValue::get) {
        None | Some("null") => None,
        Some(id)
            if id.len() <= ID_MAX && id.starts_with(['"', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) =>
        {
            text::check_value(id.as_bytes(), "id").map_err(|fault| (fault, None))?;
            // A copy, because a slice would keep the whole message until the reply is sent.
            Some(Bytes::copy_from_slice(id.as_bytes()))
        }
        Some(_) => {
            let reason = format!("`id`: expected a string or a number of at most {ID_MAX} bytes");
            return Err((Fault::field("id", reason), None));
        }
    };
    let refuse = |fault| (fault, correlation.clone());
    let event = envelope.event.ok_or_else(|| refuse(Fault::field("type", "`type` is missing")))?;
    let event =
        super::text_in(message, event).map_err(|_| refuse(Fault::field("type", "`type`: expected a string")))?;
    if event.is_empty() {
        return Err(refuse(Fault::field("type", "`type` is missing")));
    }
    let data = envelope.data.map_or(ByteString::from_static("{}"), |data| message.slice_ref(data.get()));
    Ok(Request { event, data, correlation })
}

/// The reason why a message is not an envelope.
fn malformed(message: &str) -> Fault {
    match serde_json::from_str::<serde::de::IgnoredAny>(message) {
        Err(error) => not_json(error),
        Ok(_) => match serde_json::from_str::<RawEnvelope<'_>>(message) {
            Err(error) if message.trim_ascii_start().starts_with('{') => {
                Fault::field("message", format!("The message is not a valid envelope: {error}"))
            }
            _ => Fault::field("message", "The message is not a JSON object"),
        },
    }
}

fn not_json(error: impl Display) -> Fault {
    Fault::field("message", format!("The message is not JSON: {error}"))
}

impl Encoder for RawWire {
    fn format(&self) -> Format {
        Format::Raw
    }

    fn surface(&self) -> Surface {
        Surface::Raw
    }

    fn event(&self, event: &Event, _: Offset) -> Payload {
        let name = quoted(event.name.as_str());
        let topic = event.topic.as_ref().map(|topic| [",\"topic\":", &quoted(topic.as_str())].concat());
        let offset = event.offset.map(|offset| format!(",\"offset\":{offset}"));
        let timestamp = event.timestamp.to_string();
        let parts: [&[u8]; 9] = [
            b"{\"type\":",
            name.as_bytes(),
            topic.as_deref().unwrap_or_default().as_bytes(),
            b",\"data\":",
            &event.data,
            b",\"timestamp\":",
            timestamp.as_bytes(),
            offset.as_deref().unwrap_or_default().as_bytes(),
            b"}",
        ];
        Payload::text(parts)
    }

    fn answer(&self, name: &str, data: &[u8], correlation: &Correlation, timestamp: i64) -> Payload {
        let name = quoted(name);
        let timestamp = timestamp.to_string();
        let (label, id): (&[u8], &[u8]) = match correlation {
            Some(id) => (b",\"id\":", id),
            None => (b"", b""),
        };
        let parts: [&[u8]; 9] = [
            b"{\"type\":",
            name.as_bytes(),
            b",\"data\":",
            data,
            label,
            id,
            b",\"timestamp\":",
            timestamp.as_bytes(),
            b"}",
        ];
        Payload::text(parts)
    }

    fn acknowledgement(&self, data: Option<&[u8]>, correlation: &Bytes, timestamp: i64) -> Payload {
        self.answer(EventReply::NAME, data.unwrap_or(b"{}"), &Some(correlation.clone()), timestamp)
    }

    fn refusal(&self, refusal: &EventError<'_>, timestamp: i64) -> Option<Payload> {
        let fault = refusal.fault;
        let error = Error { code: fault.code, message: fault.message.clone(), details: fault.details() };
        Some(self.answer(Error::NAME, &json::encode(&error), refusal.correlation, timestamp))
    }
}

#[cfg(test)]
mod tests {
    use hubbub_actors::model::ids::{EventName, RoomName};

    use super::*;

    fn text(payload: &Payload) -> &str {
        std::str::from_utf8(payload.bytes()).unwrap()
    }

    fn request(message: &str) -> Request {
        match decode(Bytes::copy_from_slice(message.as_bytes())) {
            Inbound::Request(request) => request,
            other => panic!("{other:?}"),
        }
    }

    fn reported(message: &str) -> (String, Option<String>) {
        match decode(Bytes::copy_from_slice(message.as_bytes())) {
            Inbound::Malformed { fault, correlation, .. } => {
                (fault.field.unwrap_or_default(), correlation.map(|id| String::from_utf8_lossy(&id).into_owned()))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_keeps_its_data_and_id_unchanged() {
        let request = request(r#" {"id": 1e3, "type":"P\u0069ng", "timestamp": 7, "data": {"timestamp": 1.50} } "#);
        assert_eq!(&*request.event, "Ping");
        assert_eq!(&*request.data, r#"{"timestamp": 1.50}"#);
        assert_eq!(request.correlation.as_deref(), Some(&b"1e3"[..]));
    }

    #[test]
    fn unnecessary_escapes_in_a_request_are_resolved() {
        let request =
            request(r#"{"type":"Ping","id":"\u0061","data":{"a":"\u00e9\ud800\n","\u0062":"\/"},"\ud800":1}"#);
        assert_eq!(request.data, "{\"a\":\"é\u{fffd}\\n\",\"b\":\"/\"}");
        assert_eq!(request.correlation.as_deref(), Some(&b"\"a\""[..]));
    }

    #[test]
    fn missing_data_is_an_empty_object() {
        assert_eq!(&*request(r#"{"type":"Ping"}"#).data, "{}");
    }

    #[test]
    fn a_malformed_envelope_is_reported_with_its_field_and_id() {
        for (message, field, id) in [
            ("{", "message", None),
            ("[1]", "message", None),
            ("\"x\"", "message", None),
            ("", "message", None),
            (r#"{"data":{}}"#, "type", None),
            (r#"{"type":7,"id":"a"}"#, "type", Some("\"a\"")),
            (r#"{"type":"","id":5}"#, "type", Some("5")),
            (r#"{"type":"Ping","id":{}}"#, "id", None),
            (r#"{"type":"Ping","type":"Ping"}"#, "message", None),
        ] {
            assert_eq!(reported(message), (field.into(), id.map(Into::into)), "{message}");
        }
        assert_eq!(reported(r#"{"type":"Ping","id":1e400}"#), ("id".into(), None));
        assert_eq!(reported(&format!("{{\"type\":\"Ping\",\"id\":\"{}\"}}", "x".repeat(300))).0, "id");
    }

    #[test]
    fn an_event_has_a_topic_and_an_offset_only_if_they_exist() {
        let mut event = Event {
            name: EventName::parse("greeting", "event").unwrap(),
            topic: Some(RoomName::parse("a \"room\"", "room").unwrap()),
            data: Bytes::from_static(b"[1]"),
            timestamp: 7,
            offset: Some(3),
        };
        let with = r#"{"type":"greeting","topic":"a \"room\"","data":[1],"timestamp":7,"offset":3}"#;
        assert_eq!(text(&RAW.event(&event, Offset::NONE)), with);
        event.topic = None;
        event.offset = None;
        assert_eq!(text(&RAW.event(&event, Offset::NONE)), r#"{"type":"greeting","data":[1],"timestamp":7}"#);
    }

    #[test]
    fn an_answer_carries_the_id_of_its_request() {
        let frame = RAW.answer("Pong", b"{\"timestamp\":1}", &Some(Bytes::from_static(b"\"x\"")), 7);
        assert_eq!(text(&frame), r#"{"type":"Pong","data":{"timestamp":1},"id":"x","timestamp":7}"#);
        let frame = RAW.refusal(&EventError::of(&Fault::rate_limited(3), &None), 7).unwrap();
        let want = r#"{"type":"Error","data":{"code":"RATE_LIMITED","message":"Rate limit exceeded","details":{"retryAfter":3}},"timestamp":7}"#;
        assert_eq!(text(&frame), want);
    }
}
