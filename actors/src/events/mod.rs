//! The event table: every event a client may send and every event the hub sends, each defined once.
//!
//! [`table`] has one row an event; the other files define the events' data, one file a family.

pub mod application;
pub mod catalogue;
pub mod chat;
pub mod community;
pub mod debug;
pub mod json;
pub mod moment;
pub mod naming;
mod position;
pub mod push;
pub mod raw;
pub mod recovery;
pub mod table;
pub mod text;
pub mod wording;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;

use self::json::Readable;
use self::table::ClientRow;
use crate::model::fault::Fault;
use crate::model::ids::RoomName;
use crate::model::surface::Surface;

/// Who may send an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Also a session that has not shown a token yet.
    Anyone,
    /// A session of a known user.
    User,
    /// A session whose user has the role `admin`.
    Admin,
}

impl Access {
    /// The word in the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::User => "user",
            Self::Admin => "admin",
        }
    }
}

/// The limit an event draws from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// The surface's messages a minute.
    Messages,
    /// Attempts to authenticate: as many a minute as messages, counted apart from them.
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

/// How `/` is told that an event was refused. On the other surfaces all refusals look alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// By `error`; `INVALID_REQUEST` where its data are to blame.
    Invalid,
    /// By `error`; `VALIDATION_ERROR` where its data are to blame, `PERMISSION_DENIED` where its sender is.
    Validation,
    /// By `error`; `INVALID_EVENT_DATA` where its data are to blame.
    EventData,
    /// By `error`; `INVALID_MESSAGE_DATA` where its data are to blame.
    MessageData,
    /// By `error`; `INVALID_ACTION_DATA` where its data are to blame.
    ActionData,
    /// By the event that would have answered it, with `success: false` and the `room` where it named one.
    Reply,
    /// By `authentication_error`.
    Authentication,
    /// By `error`, on `/chat` too where no acknowledgement was asked for: the event could not be read.
    Unread,
}

/// What an event writes to others. A token's claim `topics.publish` is matched against it before the event is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// Nothing.
    Nothing,
    /// To its `topic`.
    Topic,
    /// To the sessions of `target_user`: `user:TARGET`.
    User,
    /// To the participants of a thread: `thread:ID`.
    Thread,
    /// To the members of a chat: `chat:ID`.
    Chat,
    /// To others that no single topic names; a claim that lists any topic allows it.
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

/// An event a client may send.
pub trait ClientEvent: Readable + JsonSchema + Send + 'static {
    /// What answers it.
    type Reply: ServerEvent;
    /// Its index in [`table::CLIENT`].
    const INDEX: usize;
    /// Its row of the table.
    const ROW: &'static ClientRow;
    /// Its name on the wire.
    const NAME: &'static str = Self::ROW.name;

    /// The room that it writes to; `None` where it writes nothing, or to no single room.
    ///
    /// # Errors
    /// As [`RoomName::parse`].
    fn written_room(&self) -> Result<Option<RoomName>, Fault>;
}

/// An event the hub sends.
pub trait ServerEvent: Serialize + JsonSchema + 'static {
    /// Its name on the wire.
    const NAME: &'static str;
    /// Where it is sent by its name. As an answer it may go elsewhere too: see [`crate::session`].
    const ON: &'static [Surface];
    /// Whether there is anything in it: an acknowledgement of one without has no argument.
    const HAS_DATA: bool = true;

    /// Where it answers a request: events for the same session that go right before it.
    fn preceding_events(&self) -> Vec<PrecedingEvent> {
        Vec::new()
    }
}

/// An event that goes before an answer.
#[derive(Debug)]
pub struct PrecedingEvent {
    /// Its name on the wire.
    pub name: &'static str,
    /// Its data, JSON text.
    pub data: Bytes,
}

impl PrecedingEvent {
    /// The event as a herald.
    pub fn of<E: ServerEvent>(event: &E) -> Self {
        Self { name: E::NAME, data: json::encode(event) }
    }
}

/// Answers what needs no more than to be acknowledged.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Done {}

impl ServerEvent for Done {
    const NAME: &'static str = "";
    const ON: &'static [Surface] = &[];
    const HAS_DATA: bool = false;
}

/// Makes types the answers of events that are acknowledged with data and answered by no event.
macro_rules! acknowledgements {
    ($($type:ty),* $(,)?) => {
        $(impl $crate::events::ServerEvent for $type {
            const NAME: &'static str = "";
            const ON: &'static [$crate::model::surface::Surface] = &[];
        })*
    };
}
pub(crate) use acknowledgements;
