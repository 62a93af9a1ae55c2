//! Names and ids: rooms, users, sessions, messages.
//!
//! A string from outside is parsed into one of these types where it enters the hub, and is not checked again.
//! Permissions are in [`crate::rooms::rules`].

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::sync::{Arc, LazyLock};

use bytestring::ByteString;
use serde::{Deserialize, Deserializer, Serialize};

use crate::model::fault::Fault;

pub use self::random::{Epoch, MessageId, RecoveryToken, RequestId, SessionId};
pub use self::rules::printable;
use self::rules::{checked, shown, visible};

mod random;
mod rules;

/// Longest room name, in characters.
pub const NAME_MAX: usize = 200;

/// Longest id of a user or a chat, in characters: `user:` or `chat:` and the id form the name of a room.
pub const OWNED_NAME_MAX: usize = NAME_MAX - "user:".len();

/// Longest event name a backend may push, in characters.
pub const EVENT_NAME_MAX: usize = 200;

/// Event names with a meaning in the Socket.IO libraries. A Socket.IO client that receives one closes its connection.
pub const EVENT_NAMES_RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// Makes a name a newtype of its text.
///
/// `checked` and `shown` are the rules of [`rules`] that `parse` applies, with the longest length. `json` gives the
/// name a `Deserialize` and a schema: of a `string`, or of an `id`, which is a string or an integer. The text is an
/// `Arc<str>`, or the type after `of`.
macro_rules! text_newtype {
    ($(#[$doc:meta])* $name:ident $(of $text:ty)? $(, $rule:ident($max:expr))? $(, json $form:ident($json_max:expr) $expected:literal)?) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(text_newtype!(@text $($text)?));

        impl $name {
            $(/// Parses a text of the request field `field`.
            ///
            /// # Errors
            /// [`Code::InvalidRequest`](crate::model::fault::Code::InvalidRequest) naming the field when the text
            /// breaks a rule of the name.
            pub fn parse(text: &str, field: &str) -> Result<Self, Fault> {
                $rule(text, field, $max).map(Self)
            })?

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

        $(impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = text_newtype!(@read $form, deserializer);
                Self::parse(&text, "id").map_err(|_| serde::de::Error::custom($expected))
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                text_newtype!(@schema $form, $json_max)
            }
        })?
    };
    (@text) => {
        Arc<str>
    };
    (@text $text:ty) => {
        $text
    };
    (@read string, $deserializer:ident) => {
        String::deserialize($deserializer)?
    };
    (@read id, $deserializer:ident) => {
        IdText::deserialize($deserializer)?.0
    };
    (@schema string, $max:expr) => {
        schemars::json_schema!({ "type": "string", "maxLength": $max })
    };
    (@schema id, $max:expr) => {
        schemars::json_schema!({ "type": ["string", "integer"], "maxLength": $max })
    };
}

text_newtype! {
    /// The name of a room, which raw clients call a topic: 1 to [`NAME_MAX`] printable characters.
    RoomName
}

text_newtype! {
    /// A user's id. Ids compare by their text: the number `42` and the string `"42"` are one user.
    UserId, shown(OWNED_NAME_MAX), json id(OWNED_NAME_MAX) "not a user id: 1 to 195 printable characters"
}

text_newtype! {
    /// A chat's id: 1 to 195 printable characters, so that it fits the name of its room.
    ChatId, shown(OWNED_NAME_MAX), json id(OWNED_NAME_MAX) "not a chat's id: 1 to 195 printable characters"
}

text_newtype! {
    /// The id of a message in a chat: 1 to [`NAME_MAX`] printable characters.
    ChatMessageId, checked(NAME_MAX), json string(NAME_MAX) "not a message's id: 1 to 200 printable characters"
}

text_newtype! {
    /// A notification's id: 1 to [`NAME_MAX`] printable characters. Ids compare by their text, as user ids do. Two
    /// users may have notifications with the same id.
    NotificationId, checked(NAME_MAX), json id(NAME_MAX) "not a notification's id: 1 to 200 printable characters"
}

text_newtype! {
    /// The name of an event that a backend pushes: 1 to [`EVENT_NAME_MAX`] printable characters, and none of
    /// [`EVENT_NAMES_RESERVED`]. A name of the hub's own is not copied for each event.
    EventName of ByteString
}

impl RoomName {
    /// Parses a room name of the request field `field`.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`](crate::model::fault::Code::InvalidRequest) naming the field when the name is empty, too
    /// long, not printable, only white space, or has a hidden character.
    pub fn parse(text: &str, field: &str) -> Result<Self, Fault> {
        let name = shown(text, field, NAME_MAX)?;
        // The prefix is visible, so only the rest is checked.
        let inside = Self::PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix));
        inside.filter(|inside| !inside.is_empty()).map_or(Ok(()), |inside| visible(inside, field))?;
        Ok(Self(name))
    }

    /// A name that was parsed before.
    pub(crate) fn of_store(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// The room of all authenticated sessions.
    pub fn everybody() -> Self {
        static EVERYBODY: LazyLock<RoomName> = LazyLock::new(|| RoomName(Arc::from("$all")));
        EVERYBODY.clone()
    }

    /// The topic of clients on `/ws` that follow the presence of all users.
    pub const PRESENCE: &'static str = "$presence";

    /// The prefix of the names of chat rooms.
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

    /// The room of a chat.
    pub fn of_chat(chat: &ChatId) -> Self {
        Self(Arc::from(format!("chat:{chat}")))
    }

    /// The chat of this room.
    pub fn chat(&self) -> Option<ChatId> {
        self.0.strip_prefix(Self::CHAT).filter(|id| !id.is_empty()).map(|id| ChatId(Arc::from(id)))
    }

    /// Whether a client can join and leave this room. A session never leaves its user's room, which receives direct
    /// messages.
    pub fn is_optional(&self) -> bool {
        !self.is_internal() || &*self.0 == Self::PRESENCE
    }

    /// Whether the room is the hub's own: the room of all sessions and each user's room. Lists omit these rooms.
    pub fn is_internal(&self) -> bool {
        self.0.starts_with('$') || self.0.starts_with("user:")
    }
}

impl ChatId {
    /// The id of an existing chat, to read or delete it. Earlier versions accepted hidden characters in ids.
    ///
    /// # Errors
    /// As [`ChatId::parse`], except for hidden characters.
    pub fn parse_existing(text: &str, field: &str) -> Result<Self, Fault> {
        checked(text, field, OWNED_NAME_MAX).map(Self)
    }
}

impl ChatMessageId {
    /// A new id.
    pub fn random() -> Self {
        Self(Arc::from(uuid::Uuid::new_v4().to_string()))
    }
}

impl UserId {
    /// An id that the store holds. Earlier versions accepted hidden characters in ids.
    ///
    /// # Errors
    /// As [`UserId::parse`], except for hidden characters.
    pub(crate) fn of_store(text: &str) -> Result<Self, Fault> {
        checked(text, "id", OWNED_NAME_MAX).map(Self)
    }
}

impl NotificationId {
    /// A new id.
    pub fn random() -> Self {
        Self(Arc::from(format!("notif_{}", uuid::Uuid::new_v4().simple())))
    }
}

/// An id in JSON: the integer `42` and the string `"42"` are the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdText(pub String);

impl schemars::JsonSchema for IdText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "IdText".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "integer"] })
    }
}

impl<'de> Deserialize<'de> for IdText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdReader;
        impl serde::de::Visitor<'_> for IdReader {
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
        deserializer.deserialize_any(IdReader)
    }
}

impl EventName {
    /// Parses an event name of the request field `field`.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`](crate::model::fault::Code::InvalidRequest) naming the field when the name is empty, too
    /// long, not printable, or one of [`EVENT_NAMES_RESERVED`].
    pub fn parse(text: &str, field: &str) -> Result<Self, Fault> {
        if EVENT_NAMES_RESERVED.contains(&text) {
            return Err(Fault::field(field, format!("`{field}`: \"{text}\" is reserved by Socket.IO")));
        }
        printable(text, field, EVENT_NAME_MAX).map(|()| Self(text.into()))
    }

    /// A name of the hub's own, which is valid.
    pub fn of_hub(name: &'static str) -> Self {
        Self(ByteString::from_static(name))
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
    fn reserved_event_names_are_rejected() {
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
