//! The event table: every event that clients or the hub send, each defined once. It knows no session and no store.
//!
//! [`table`] has one row per event. The other files define the data of the events, one
//! file per family: the events of a document (raw, push, community, chat), or of a part of one (application, debug, recovery).

pub mod application;
pub mod catalogue;
pub mod chat;
pub mod client_id;
pub mod community;
pub mod debug;
pub mod json;
mod position;
pub mod push;
pub mod raw;
pub mod recovery;
pub mod table;
pub mod text;
pub mod timestamp;
pub mod wording;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;

use self::json::Readable;
use self::table::ClientRow;
use crate::model::fault::Fault;
use crate::model::ids::RoomName;
use crate::model::surface::Surface;

/// The access that an event needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Every session, also one without a token.
    Anyone,
    /// A session with an accepted token.
    User,
}

impl Access {
    /// The word in the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::User => "user",
        }
    }
}

/// The limit that an event counts against. `limit_of` in `session/rate_limits.rs` gives each its requests a minute and its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// The surface's messages a minute.
    Messages,
    /// Attempts to authenticate: as many a minute as messages, counted separately.
    Authentications,
    /// `limits.community.notifications_per_minute`, on every surface.
    Notifications,
    /// `limits.community.typing_per_minute`, on every surface.
    Typing,
    /// `limits.chat.messages_per_minute`, of a user on every surface.
    ChatMessages,
    /// `limits.chat.typing_per_minute`, of a user on every surface.
    ChatTyping,
}

impl Bucket {
    /// The word in the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Authentications => "authentications",
            Self::Notifications => "notifications",
            Self::Typing => "typing",
            Self::ChatMessages => "chat messages",
            Self::ChatTyping => "chat typing",
        }
    }
}

/// The form of a refusal on `/`. The other surfaces have one form for all refusals. New events use
/// [`RefusalForm::Invalid`]; the other forms reproduce a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalForm {
    /// `error`, with the code `INVALID_REQUEST` for invalid data. For new events.
    Invalid,
    /// `error`, with `VALIDATION_ERROR` for invalid data and `PERMISSION_DENIED` for a sender without permission. For the
    /// events of the community document.
    Validation,
    /// `error`, with `INVALID_EVENT_DATA` for invalid data. For `client:event` of the push document.
    EventData,
    /// `error`, with `INVALID_MESSAGE_DATA` for invalid data. For `client:message` of the push document.
    MessageData,
    /// `error`, with `INVALID_ACTION_DATA` for invalid data. For `client:action` of the push document.
    ActionData,
    /// The event of the reply, with `success: false` and the `room` of the request, if it named one. For `register`,
    /// `room:join` and `room:leave` of the push document.
    Reply,
    /// `authentication_error`. For `authenticate` of the community document.
    Authentication,
    /// `error`, because the event could not be parsed; on `/chat` too, if the client requested no acknowledgement. No row
    /// uses it.
    Unread,
}

/// The target of what an event publishes. The claim `topics.publish` of a token is checked against it before the event
/// is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// No other session receives anything.
    Nothing,
    /// Its `topic`.
    Topic,
    /// The sessions of `target_user`: `user:TARGET`.
    User,
    /// The participants of a thread: `thread:ID`.
    Thread,
    /// The members of a chat: `chat:ID`.
    Chat,
    /// Other sessions, but no single topic; a claim that lists any topic allows it.
    Any,
}

impl Writes {
    /// The word in the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Topic => "`TOPIC`",
            Self::User => "`user:TARGET`",
            Self::Thread => "`thread:ID`",
            Self::Chat => "`chat:ID`",
            Self::Any => "any",
        }
    }
}

/// An event that clients send. A row in [`table`] implements it.
#[diagnostic::on_unimplemented(note = "add a row for the event to `client` in `actors/src/events/table.rs`")]
pub trait ClientEvent: Readable + JsonSchema + Send + 'static {
    /// The data of the reply.
    type Reply: ServerEvent;
    /// The index in [`table::CLIENT`].
    const INDEX: usize;
    /// The row of the table.
    const ROW: &'static ClientRow;
    /// The name on the wire.
    const NAME: &'static str = Self::ROW.name;

    /// The room that it publishes to; `None` if it publishes nothing, or to no single room.
    ///
    /// # Errors
    /// As [`RoomName::parse`].
    fn written_room(&self) -> Result<Option<RoomName>, Fault>;
}

/// An event that the hub sends, or the data of an acknowledgement. A row in [`table`] or `acknowledgements!` implements it.
#[diagnostic::on_unimplemented(
    note = "a reply that is sent only as an acknowledgement: add the type to `acknowledgements!` in its file",
    note = "an event that the hub sends under its own name: add a row to `server` in `actors/src/events/table.rs`"
)]
pub trait ServerEvent: Serialize + JsonSchema + 'static {
    /// The name on the wire.
    const NAME: &'static str;
    /// The surfaces that receive it under its name. As a reply it may go to others: see [`crate::session`].
    const ON: &'static [Surface];
    /// Whether it has data. The acknowledgement of an event without data has no argument.
    const HAS_DATA: bool = true;

    /// For a reply: the events that the same session receives right before it.
    fn preceding_events(&self) -> Vec<PrecedingEvent> {
        Vec::new()
    }
}

/// An event that the session receives right before a reply.
#[derive(Debug)]
pub struct PrecedingEvent {
    /// The name on the wire.
    pub name: &'static str,
    /// The data as JSON text.
    pub data: Bytes,
}

impl PrecedingEvent {
    /// Encodes `event`.
    pub fn of<E: ServerEvent>(event: &E) -> Self {
        Self { name: E::NAME, data: json::encode(event) }
    }
}

/// The reply to a request that needs only an acknowledgement without data.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Done {}

impl ServerEvent for Done {
    const NAME: &'static str = "";
    const ON: &'static [Surface] = &[];
    const HAS_DATA: bool = false;
}

/// Makes types replies that are sent as acknowledgements only, never as events.
macro_rules! acknowledgements {
    ($($type:ty),* $(,)?) => {
        $(impl $crate::events::ServerEvent for $type {
            const NAME: &'static str = "";
            const ON: &'static [$crate::model::surface::Surface] = &[];
        })*
    };
}
pub(crate) use acknowledgements;
