//! Random ids: sessions, messages, requests, epochs and recovery tokens.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::model::fault::Fault;

/// Serializes an id as its text.
macro_rules! serialize_as_text {
    ($($name:ident),*) => {
        $(impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        })*
    };
}

serialize_as_text!(SessionId, Epoch, MessageId, RequestId);

/// The id of a session: one WebSocket, or one namespace of a Socket.IO connection. 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(uuid::Uuid);

impl SessionId {
    /// A new id, from the operating system's randomness.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4())
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.simple())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        uuid::Uuid::parse_str(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// The numbering of a room's messages that an offset belongs to: 128 random bits in hex. A new numbering has a new
/// epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch(Arc<str>);

impl Epoch {
    /// A new epoch.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string().into())
    }

    /// An epoch that was created before.
    pub fn of(text: &str) -> Self {
        Self(text.into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The token that recovers a suspended session: 256 random bits in hex. Together with a token of the session's user it
/// gives access to the session's messages, so only the session's client receives it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RecoveryToken(Arc<str>);

impl RecoveryToken {
    /// A token received from a client.
    pub fn read(text: &str) -> Self {
        Self(text.into())
    }

    /// A new token, from the operating system's randomness.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Internal`] when the operating system has no randomness.
    pub fn random() -> Result<Self, Fault> {
        let mut bits = [0; 32];
        getrandom::fill(&mut bits)
            .map_err(|error| Fault::internal().caused_by(format!("the system has no randomness: {error}")))?;
        Ok(Self(bits.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()))
    }

    /// Its text, a secret of its client.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RecoveryToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryToken(…)")
    }
}

impl Serialize for RecoveryToken {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl schemars::JsonSchema for RecoveryToken {
    fn schema_name() -> Cow<'static, str> {
        "RecoveryToken".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })
    }
}

/// The id of one published message, the same for all recipients.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MessageId(uuid::Uuid);

impl MessageId {
    /// A new id.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4())
    }

    /// Its bits.
    pub fn to_bits(self) -> u128 {
        self.0.as_u128()
    }

    /// The id of these bits.
    pub fn of_bits(bits: u128) -> Self {
        Self(uuid::Uuid::from_u128(bits))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "msg_{}", self.0.simple())
    }
}

/// The id of one request to the application. The reply to the client and every attempt carry it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RequestId(uuid::Uuid);

impl RequestId {
    /// A new id.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
