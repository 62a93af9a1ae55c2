//! Publishes that their clients name, so that one sent again gets the first answer again and delivers nothing twice: the
//! name, what tells a publish from another of its name, and how its answer is remembered.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};

use super::ServerEvent;
use super::json::Json;
use super::raw::Ack;
use crate::model::ids::MessageId;

/// Longest name of a publish, in characters.
pub const CLIENT_ID_MAX: usize = 64;

/// What a client calls a publish: 1 to [`CLIENT_ID_MAX`] characters. It is the user's: all sessions of a user share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientId(Arc<str>);

impl ClientId {
    /// The name.
    pub fn text(&self) -> &Arc<str> {
        &self.0
    }

    /// Reads a name that is there.
    ///
    /// # Errors
    /// It is not 1 to [`CLIENT_ID_MAX`] characters.
    pub fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        match text.chars().take(CLIENT_ID_MAX + 1).count() {
            1..=CLIENT_ID_MAX => Ok(Some(Self(Arc::from(text)))),
            _ => Err(serde::de::Error::custom("expected 1 to 64 characters")),
        }
    }
}

impl schemars::JsonSchema for ClientId {
    fn schema_name() -> Cow<'static, str> {
        "ClientId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "minLength": 1, "maxLength": CLIENT_ID_MAX })
    }
}

/// The JSON text `json` without white space between its tokens: clients of one user may write it differently.
pub fn compact(json: &Json) -> Vec<u8> {
    let text = json.as_str().as_bytes();
    let (mut compact, mut in_string, mut escaped) = (Vec::with_capacity(text.len()), false, false);
    for &byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b' ' | b'\t' | b'\n' | b'\r' if !in_string => continue,
            _ => {}
        }
        compact.push(byte);
    }
    compact
}

/// An answer that can be given again.
pub trait Replay: ServerEvent + Sized {
    /// The bytes by which it is remembered.
    fn to_bytes(&self) -> Bytes;

    /// The answer that was remembered by these bytes.
    fn of_bytes(bytes: &[u8]) -> Option<Self>;
}

/// [`Ack`] as it is remembered.
#[derive(Serialize, Deserialize)]
struct StoredAck {
    id: String,
    recipients: usize,
}

impl Replay for Ack {
    fn to_bytes(&self) -> Bytes {
        let id = format!("{:032x}", self.message_id.to_bits());
        super::json::encode(&StoredAck { id, recipients: self.recipients })
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let StoredAck { id, recipients } = serde_json::from_slice(bytes).ok()?;
        let message_id = MessageId::of_bits(u128::from_str_radix(&id, 16).ok()?);
        Some(Self { message_id, recipients })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::json;
    use crate::events::raw::Broadcast;

    fn named(client_id: &str) -> Result<Option<ClientId>, crate::model::fault::Fault> {
        let data = format!(r#"{{"topic":"t","payload":1{client_id}}}"#);
        json::parse::<Broadcast>(data.as_bytes()).map(|broadcast| broadcast.client_id)
    }

    #[test]
    fn a_publish_may_have_a_name_of_1_to_64_characters() {
        assert_eq!(named("").unwrap(), None);
        for name in ["a", "é", &"é".repeat(64)] {
            assert_eq!(&**named(&format!(r#","client_id":"{name}""#)).unwrap().unwrap().text(), name);
        }
        for bad in [r#""""#, "7", "null", "{}", &format!(r#""{}""#, "é".repeat(65))] {
            let fault = named(&format!(r#","client_id":{bad}"#)).unwrap_err();
            assert_eq!(fault.field.as_deref(), Some("client_id"), "{bad}");
        }
    }

    #[test]
    fn an_acknowledgement_is_given_again_as_it_was() {
        let ack = Ack { message_id: MessageId::random(), recipients: 7 };
        let again = Ack::of_bytes(&ack.to_bytes()).unwrap();
        assert_eq!((again.message_id, again.recipients), (ack.message_id, 7));
        assert!(Ack::of_bytes(b"{}").is_none());
    }

    #[test]
    fn white_space_between_tokens_makes_no_other_payload() {
        let text = |text: &str| compact(&Json::text(text.as_bytes()));
        assert_eq!(text("{ \"a b\" :\t[1,\n\"\\\" \" ] }"), b"{\"a b\":[1,\"\\\" \"]}");
        assert_ne!(text("\"a b\""), text("\"ab\""));
    }
}
