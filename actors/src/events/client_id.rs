//! The `client_id` of a publish: a repeated publish gets the stored reply and is not delivered again.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Deserializer};

use super::ServerEvent;
use super::json::Json;

/// Longest `client_id`, in characters.
pub const CLIENT_ID_MAX: usize = 64;

/// The id that a client assigns to a publish: 1 to [`CLIENT_ID_MAX`] characters. All sessions of a user share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientId(Arc<str>);

impl ClientId {
    /// Its text.
    pub fn text(&self) -> &Arc<str> {
        &self.0
    }

    /// Reads an id that is present.
    ///
    /// # Errors
    /// The id does not have 1 to [`CLIENT_ID_MAX`] characters.
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

/// The JSON text `json` without white space between its tokens, because clients of one user may format it differently.
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

/// A reply that can be stored and sent again.
pub trait StoredReply: ServerEvent + Sized {
    /// The stored bytes of the reply.
    fn to_bytes(&self) -> Bytes;

    /// The reply from its stored bytes; `None` if they are invalid.
    fn of_bytes(bytes: &[u8]) -> Option<Self>;
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
    fn a_client_id_has_1_to_64_characters() {
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
    fn white_space_between_tokens_does_not_change_a_payload() {
        let text = |text: &str| compact(&Json::text(text.as_bytes()));
        assert_eq!(text("{ \"a b\" :\t[1,\n\"\\\" \" ] }"), b"{\"a b\":[1,\"\\\" \"]}");
        assert_ne!(text("\"a b\""), text("\"ab\""));
    }
}
