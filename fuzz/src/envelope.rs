//! The raw envelope: a request equals its message, and a reply has its `id`.

use bytes::Bytes;
use hubbub::codec::raw::{self, ID_MAX, RAW};
use hubbub_actors::events::text;
use hubbub_actors::model::fault::Code;
use hubbub_actors::publication::{Correlation, Encoder as _};
use hubbub_actors::session::{Inbound, Request};
use serde_json::Value;

/// A message of a raw client.
pub(crate) fn raw_envelope(bytes: &[u8]) {
    match raw::decode(Bytes::copy_from_slice(bytes)) {
        Inbound::Request(request) => {
            check(&request);
            if let Ok(message) = serde_json::from_slice::<Value>(bytes) {
                assert_eq!(message.get("type").and_then(Value::as_str), Some(&*request.event));
                let data = message.get("data").filter(|data| !data.is_null()).cloned();
                let data = data.unwrap_or_else(|| Value::Object(Default::default()));
                assert_eq!(serde_json::from_str::<Value>(&request.data).ok(), Some(data));
                let id = request.correlation.as_ref().and_then(|id| serde_json::from_slice::<Value>(id).ok());
                assert_eq!(id.as_ref(), message.get("id").filter(|id| !id.is_null()));
            }
            check_round_trip(&request);
            check_reply(&request.correlation);
        }
        Inbound::Malformed { fault, correlation, .. } => {
            assert_eq!(fault.code, Code::InvalidRequest);
            assert!(!fault.message.is_empty());
            let field = fault.field.as_deref().expect("the invalid field");
            let field = field.split(['.', '[']).next();
            assert!(field.is_some_and(|field| ["message", "type", "data", "id"].contains(&field)), "{field:?}");
            check_reply(&correlation);
        }
        Inbound::Closing => panic!("a message does not end the connection"),
    }
}

fn check(request: &Request) {
    assert!(!request.event.is_empty());
    assert!(serde_json::from_str::<serde::de::IgnoredAny>(&request.data).is_ok());
    assert_eq!(text::resolve_str(request.data.clone()), request.data, "escapes that JSON does not need");
}

/// A request that is encoded again is decoded as the same request.
fn check_round_trip(request: &Request) {
    let event = serde_json::to_string(&*request.event).expect("a text");
    let mut parts: Vec<&[u8]> = vec![b"{\"type\":", event.as_bytes(), b",\"data\":", request.data.as_bytes()];
    if let Some(id) = &request.correlation {
        parts.extend([b",\"id\":" as &[u8], id]);
    }
    parts.push(b"}");
    match raw::decode(parts.concat().into()) {
        Inbound::Request(again) => {
            assert_eq!((&again.event, &again.data), (&request.event, &request.data));
            assert_eq!(again.correlation, request.correlation);
        }
        other => panic!("{other:?}"),
    }
}

/// A reply is JSON and has the id of its request.
fn check_reply(correlation: &Correlation) {
    if let Some(id) = correlation {
        assert!(id.len() <= ID_MAX);
        assert!(id.starts_with(b"\"") || id.starts_with(b"-") || id.first().is_some_and(u8::is_ascii_digit));
    }
    let answer = RAW.answer("Reply", b"{}", correlation, 7);
    let text = answer.bytes();
    let Ok(answer) = serde_json::from_slice::<Value>(text) else {
        // `Value` cannot represent all JSON: half a surrogate pair, a number out of range.
        assert!(serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok());
        return;
    };
    assert_eq!((&answer["type"], &answer["timestamp"]), (&Value::from("Reply"), &Value::from(7)));
    assert_eq!(answer.get("id").is_some(), correlation.is_some());
}
