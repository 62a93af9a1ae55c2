//! The names things go by: rooms, users, sessions, messages.
//!
//! A string from outside becomes one of these at the border, or is refused there; inside the hub nobody checks a name
//! again. Knows nothing of who may use a name: that is [`crate::rooms::rules`].

use std::borrow::Borrow;
use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Deserializer, Serialize};

use crate::model::fault::Fault;

pub use self::rules::printable;
use self::rules::{checked, shown, visible};

mod rules;

/// Longest room name and user id, in characters.
pub const NAME_MAX: usize = 200;

/// Longest event name a backend may push, in characters.
pub const EVENT_NAME_MAX: usize = 200;

/// Names of events that mean something to the Socket.IO libraries on both sides. A client of theirs that is sent one closes
/// its connection.
pub const EVENT_NAMES_RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

macro_rules! text_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text of the name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

text_newtype! {
    /// The name of a room, which raw clients call a topic: 1 to [`NAME_MAX`] printable characters.
    RoomName
}

text_newtype! {
    /// A user's id. Ids compare by their text: the number `42` and the string `"42"` are one user.
    UserId
}

text_newtype! {
    /// A chat's id: 1 to 195 printable characters, so that it fits its room's name.
    ChatId
}

text_newtype! {
    /// The id of a message in a chat: 1 to [`NAME_MAX`] printable characters.
    ChatMessageId
}

text_newtype! {
    /// A notification's id: 1 to [`NAME_MAX`] printable characters. Ids compare by their text, as those of users do, and one
    /// is one user's: two users may have the same.
    NotificationId
}

text_newtype! {
    /// The name of an event that a backend pushes: 1 to [`EVENT_NAME_MAX`] printable characters, and none of
    /// [`EVENT_NAMES_RESERVED`].
    EventName
}

impl RoomName {
    /// Parses a room name that came in as `field`.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::InvalidRequest`] naming the field when the name is empty, too long, not printable, white space
    /// alone, or has a character that does not show.
    pub fn parse(text: &str, field: &str) -> Result<Self, Fault> {
        let name = shown(text, field, NAME_MAX)?;
        // Else the prefix would make any name one that shows.
        let inside = Self::PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix));
        inside.filter(|inside| !inside.is_empty()).map_or(Ok(()), |inside| visible(inside, field))?;
        Ok(Self(name))
    }

    /// A name that was one before.
    pub(crate) fn of_store(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// The room that every authenticated session is in: what goes there goes to everybody.
    pub fn everybody() -> Self {
        static EVERYBODY: LazyLock<RoomName> = LazyLock::new(|| RoomName(Arc::from("$all")));
        EVERYBODY.clone()
    }

    /// The topic of those who hear of all users on `/ws`.
    pub const PRESENCE: &'static str = "$presence";

    /// What the name of a chat's room begins with.
    pub const CHAT: &'static str = "chat:";

    /// The prefixes of rooms that belong to a user, a chat or a thread. The rest of such a name is its id.
    const PREFIXES: [&'static str; 3] = ["user:", Self::CHAT, "thread:"];

    /// The room of all sessions of one user.
    pub fn of_user(user: &UserId) -> Self {
        Self(Arc::from(format!("user:{user}")))
    }

    /// The room of the participants of a thread.
    ///
    /// # Errors
    /// As [`RoomName::parse`], for the whole name.
    pub fn of_thread(thread: &str, field: &str) -> Result<Self, Fault> {
        Self::parse(&format!("thread:{thread}"), field)
    }

    /// The room of the sessions that are in a chat.
    pub fn of_chat(chat: &ChatId) -> Self {
        Self(Arc::from(format!("chat:{chat}")))
    }

    /// The chat whose room this is.
    pub fn chat(&self) -> Option<ChatId> {
        self.0.strip_prefix(Self::CHAT).filter(|id| !id.is_empty()).map(|id| ChatId(Arc::from(id)))
    }

    /// Whether a session joins and leaves this room when it is asked to: one's own is not left, for direct messages come
    /// there.
    pub fn is_optional(&self) -> bool {
        !self.is_internal() || &*self.0 == Self::PRESENCE
    }

    /// Whether the hub keeps this room for itself: everybody's and each user's own. Such rooms are not listed.
    pub fn is_internal(&self) -> bool {
        self.0.starts_with('$') || self.0.starts_with("user:")
    }
}

impl ChatId {
    /// Parses a chat's id that came in as `field`.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::InvalidRequest`] naming the field when the id is empty, longer than fits a room name, not
    /// printable, white space alone, or has a character that does not show.
    pub fn parse(text: &str, field: &str) -> Result<Self, Fault> {
        shown(text, field, NAME_MAX - "chat:".len()).map(Self)
    }

    /// The id of a chat that exists, to look at it or delete it. Earlier versions took ids that do not show.
    ///
    /// # Errors
    /// As [`ChatId::parse`], but for what does not show.
    pub fn parse_existing(text: &str, field: &str) -> Result<Self, Fault> {
        checked(text, field, NAME_MAX - "chat:".len()).map(Self)
    }
}

/// A chat's id as clients write it: a string or a JSON number.
impl<'de> Deserialize<'de> for ChatId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = IdText::deserialize(deserializer)?.0;
        Self::parse(&text, "id").map_err(|_| serde::de::Error::custom("not a chat's id: 1 to 195 printable characters"))
    }
}

impl schemars::JsonSchema for ChatId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ChatId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "integer"], "maxLength": NAME_MAX - 5 })
    }
}

impl ChatMessageId {
    /// Parses a message's id that came in as `field`.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::InvalidRequest`] naming the field when the id is empty, too long or not printable.
    pub fn parse(text: &str, field: &str) -> Result<Self, Fault> {
        checked(text, field, NAME_MAX).map(Self)
    }

    /// A new id.
    pub fn random() -> Self {
        Self(Arc::from(uuid::Uuid::new_v4().to_string()))
    }
}

impl<'de> Deserialize<'de> for ChatMessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = |_| serde::de::Error::custom("not a message's id: 1 to 200 printable characters");
        Self::parse(&text, "id").map_err(wrong)
    }
}

impl schemars::JsonSchema for ChatMessageId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ChatMessageId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "maxLength": NAME_MAX })
    }
}

impl UserId {
    /// Parses a user id that came in as `field`.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::InvalidRequest`] naming the field when the id is empty, longer than fits a room name, not
    /// printable, white space alone, or has a character that does not show.
    pub fn parse(text: &str, field: &str) -> Result<Self, Fault> {
        // `user:` and the id make a room name together.
        shown(text, field, NAME_MAX - "user:".len()).map(Self)
    }

    /// An id that the store holds. Earlier versions took ids that do not show.
    ///
    /// # Errors
    /// As [`UserId::parse`], but for what does not show.
    pub(crate) fn of_store(text: &str) -> Result<Self, Fault> {
        checked(text, "id", NAME_MAX - "user:".len()).map(Self)
    }
}

/// A user id as clients and backends write it: a JSON number or a string.
impl<'de> Deserialize<'de> for UserId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = IdText::deserialize(deserializer)?.0;
        Self::parse(&text, "id").map_err(|_| serde::de::Error::custom("not a user id: 1 to 195 printable characters"))
    }
}

impl schemars::JsonSchema for UserId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "UserId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "integer"], "maxLength": NAME_MAX - 5 })
    }
}

impl NotificationId {
    /// Parses a notification's id that came in as `field`.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::InvalidRequest`] naming the field when the id is empty, too long or not printable.
    pub fn parse(text: &str, field: &str) -> Result<Self, Fault> {
        checked(text, field, NAME_MAX).map(Self)
    }

    /// A new id, for a notification that has none.
    pub fn random() -> Self {
        Self(Arc::from(format!("notif_{}", uuid::Uuid::new_v4().simple())))
    }
}

/// A notification's id as clients and backends write it: a JSON number or a string.
impl<'de> Deserialize<'de> for NotificationId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = IdText::deserialize(deserializer)?.0;
        let wrong = |_| serde::de::Error::custom("not a notification's id: 1 to 200 printable characters");
        Self::parse(&text, "id").map_err(wrong)
    }
}

impl schemars::JsonSchema for NotificationId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NotificationId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "integer"], "maxLength": NAME_MAX })
    }
}

/// An id as it is written outside, where `42` and `"42"` mean the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdText(pub String);

impl<'de> Deserialize<'de> for IdText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = IdText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an integer")
            }

            fn visit_str<E>(self, text: &str) -> Result<IdText, E> {
                Ok(IdText(text.to_owned()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<IdText, E> {
                Ok(IdText(number.to_string()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<IdText, E> {
                Ok(IdText(number.to_string()))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl EventName {
    /// Parses an event name that came in as `field`.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::InvalidRequest`] naming the field when the name is empty, too long or not printable, or one of
    /// [`EVENT_NAMES_RESERVED`].
    pub fn parse(text: &str, field: &str) -> Result<Self, Fault> {
        if EVENT_NAMES_RESERVED.contains(&text) {
            return Err(Fault::field(field, format!("`{field}`: \"{text}\" is a name of Socket.IO's own")));
        }
        checked(text, field, EVENT_NAME_MAX).map(Self)
    }

    /// A name the hub itself gives; it is known to be well formed.
    pub fn of_hub(name: &'static str) -> Self {
        Self(Arc::from(name))
    }
}

/// A session of a client: one WebSocket, or one namespace of a Socket.IO connection. 128 random bits.
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

impl Serialize for SessionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        uuid::Uuid::parse_str(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Which numbering of a room's messages an offset belongs to: 128 random bits in hex, others whenever numbers begin anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch(Arc<str>);

impl Epoch {
    /// A new one.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string().into())
    }

    /// One that was given before.
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

impl Serialize for Epoch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// What recovers a session that was cut off: 256 random bits in hex. Whoever has it and is the session's user gets what
/// was meant for the session, so it is shown to nobody else.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RecoveryToken(Arc<str>);

impl RecoveryToken {
    /// A token that came from a client.
    pub fn read(text: &str) -> Self {
        Self(text.into())
    }

    /// A new token, from the operating system's randomness.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Internal`] when there is none.
    pub fn random() -> Result<Self, Fault> {
        let mut bits = [0; 32];
        getrandom::fill(&mut bits).map_err(|error| {
            log::error!("the system has no randomness: {error}");
            Fault::internal()
        })?;
        Ok(Self(bits.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()))
    }
}

impl RecoveryToken {
    /// Its text: a secret of its client.
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
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RecoveryToken".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })
    }
}

/// The id of one published message, the same for all who get it.
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

impl Serialize for MessageId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What one question to the application goes by: the client sees it in the answer, the application in each attempt.
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

impl Serialize for RequestId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::Code;

    #[test]
    fn a_room_name_has_1_to_200_printable_characters() {
        assert!(RoomName::parse("chat.général 🦀", "topic").is_ok());
        assert!(RoomName::parse(&"é".repeat(200), "topic").is_ok());
        for bad in ["", "a\u{0}b", "line\nbreak", "line\u{2028}break", &"é".repeat(201)] {
            let fault = RoomName::parse(bad, "topics[0]").unwrap_err();
            assert_eq!(fault.code, Code::InvalidRequest);
            assert_eq!(fault.field.as_deref(), Some("topics[0]"));
        }
    }

    #[test]
    fn an_event_has_no_name_that_ends_connections() {
        assert!(EventName::parse("connected", "event").is_ok());
        for name in EVENT_NAMES_RESERVED {
            assert_eq!(EventName::parse(name, "event").unwrap_err().field.as_deref(), Some("event"));
        }
    }

    #[test]
    fn the_number_42_and_the_string_42_are_one_user() {
        let number: UserId = serde_json::from_str("42").unwrap();
        let text: UserId = serde_json::from_str("\"42\"").unwrap();
        assert_eq!(number, text);
        assert!(serde_json::from_str::<UserId>("4.5").is_err());
        assert!(serde_json::from_str::<UserId>("null").is_err());
    }
}
