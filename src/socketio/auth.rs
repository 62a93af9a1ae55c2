//! The `auth` of a CONNECT. Token checks happen elsewhere.

use bytes::Bytes;
use hubbub_actors::events::{json, text};
use hubbub_actors::model::fault::{Code, Fault};
use serde::Deserialize;
use serde_json::Value;
use serde_json::error::Category;

/// The keys of a client's `auth` that the hub reads.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Auth {
    /// The client's token.
    pub(super) token: Option<String>,
    /// The private id of the session to recover. Values other than strings count as absent.
    pub(super) pid: Option<Value>,
    /// The offset of the last event that the client received in that session.
    pub(super) offset: Option<Value>,
}

impl Auth {
    /// Parses the JSON text of an object. An empty array counts as an empty object, because PHP writes one.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`] naming `auth` if it is not JSON or exceeds the limits of receivers;
    /// [`Code::InvalidToken`] if its token is not a string.
    pub(super) fn read(auth: Bytes) -> Result<Self, Fault> {
        let auth = text::resolve(auth);
        text::check_value(&auth, "auth")?;
        serde_json::from_slice(json::object(&auth)).map_err(|error| match error.classify() {
            Category::Data => unauthorized(),
            Category::Syntax | Category::Eof | Category::Io => {
                Fault::field("auth", format!("`auth` is not JSON: {error}"))
            }
        })
    }
}

/// The client sent no token where one is required.
pub(super) fn unauthorized() -> Fault {
    Fault::new(Code::InvalidToken, "Authentication token is missing").by("token")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(auth: &'static str) -> Result<Auth, (Code, Option<String>)> {
        Auth::read(Bytes::from_static(auth.as_bytes())).map_err(|fault| (fault.code, fault.field))
    }

    #[test]
    fn an_auth_may_have_no_token() {
        for auth in ["{}", "[]", "[ ]", r#"{"token":null,"more":[1]}"#] {
            assert_eq!(read(auth).unwrap().token, None, "{auth}");
        }
    }

    #[test]
    fn escapes_are_resolved_and_half_a_surrogate_pair_is_replaced() {
        assert_eq!(read(r#"{"token":"\u0061\ud800"}"#).unwrap().token.as_deref(), Some("a\u{fffd}"));
        assert_eq!(read(r#"{"\ud800":1,"t\u006fken":"a"}"#).unwrap().token.as_deref(), Some("a"));
    }

    #[test]
    fn an_unreadable_field_is_named() {
        let named = |field: &str| (Code::InvalidRequest, Some(field.to_owned()));
        for (auth, field) in [
            ("{", "auth"),
            (r#"{"token"}"#, "auth"),
            (r#"{"token":"a"}{}"#, "auth"),
            (r#"{"token":"a","offset":1e400}"#, "auth.offset"),
        ] {
            assert_eq!(read(auth).unwrap_err(), named(field), "{auth}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(128), "]".repeat(128));
        let fault = Auth::read(deep.into()).unwrap_err();
        assert_eq!(fault.message, "`auth` is nested more than 128 levels deep");
        assert_eq!(read(r#"{"token":7}"#).unwrap_err(), (Code::InvalidToken, None));
    }
}
