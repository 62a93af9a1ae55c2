//! The event table: every event a client may send and every event the hub sends, each defined once.
//!
//! A row of [`client_event_table!`](crate::client_event_table) is all that dispatch, the access and limit checks, `hubbub events` and the README's
//! table know of an event. Adding one is a struct in a family's file, a row here, and a [`Handle`] for the session; a
//! row without its handler does not compile.
//!
//! [`Handle`]: crate::session::Handle

pub mod application;
pub mod catalogue;
pub mod chat;
pub mod community;
pub mod debug;
pub mod json;
pub mod moment;
pub mod naming;
pub mod push;
pub mod raw;
pub mod recovery;
pub mod text;
pub mod wording;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;

use self::json::{Entire, Readable};
use crate::model::fault::Fault;
use crate::model::ids::RoomName;

/// What a session speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Surface {
    /// The raw WebSocket on `/ws`.
    Raw,
    /// Socket.IO on the namespace `/`.
    Root,
    /// Socket.IO on the namespace `/chat`.
    Chat,
}

impl Surface {
    /// The name shown in answers and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Root => "/",
            Self::Chat => "/chat",
        }
    }
}

/// What carries a session when it starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transport {
    /// A WebSocket.
    #[default]
    WebSocket,
    /// Long polling, which may become a WebSocket later.
    Polling,
}

impl Transport {
    /// The name shown in labels and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Polling => "polling",
        }
    }
}

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
    /// Its name on the wire.
    const NAME: &'static str;
    /// Its row of the table, from 0.
    const ROW: usize;
    /// Where it is understood.
    const ON: &'static [Surface];
    /// Who may send it.
    const NEEDS: Access;
    /// The limit it draws from.
    const COSTS: Bucket;
    /// How `/` is told that it was refused.
    const REFUSED: Refused;
    /// What it writes to others.
    const WRITES: Writes;

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
            const ON: &'static [$crate::events::Surface] = &[];
        })*
    };
}
pub(crate) use acknowledgements;

/// Hands the table of client events to the macro named first.
///
/// Columns: wire name, type, its answer, the surfaces it is understood on, who may send it, the limit it draws from, how
/// `/` is told that it was refused, what it writes to others.
#[macro_export]
macro_rules! client_event_table {
    ($callback:ident) => {
        $callback! {
            // wire name       type                      reply                     surfaces           needs   limit     refused  writes to
            "Ping",            raw::Ping,                raw::Pong,                [Raw],             User,   Messages, Invalid, Nothing;
            "Subscribe",       raw::Subscribe,           raw::Status,              [Raw],             User,   Messages, Invalid, Nothing;
            "Unsubscribe",     raw::Unsubscribe,         raw::Status,              [Raw],             User,   Messages, Invalid, Nothing;
            "Broadcast",       raw::Broadcast,           raw::Ack,                 [Raw, Root, Chat], User,   Messages, Invalid, Topic;
            "DirectMessage",   raw::DirectMessage,       raw::Ack,                 [Raw, Root, Chat], User,   Messages, Invalid, User;
            "Authenticate",    raw::Authenticate,        raw::Status,              [Raw],             User,   Authentications, Invalid, Nothing;
            "register",        push::Register,           push::Registered,         [Raw, Root],       Anyone, Messages, Reply, Nothing;
            "room:join",       push::JoinRoom,           push::JoinedRoom,         [Raw, Root, Chat], User,   Messages, Reply, Nothing;
            "room:leave",      push::LeaveRoom,          push::LeftRoom,           [Raw, Root, Chat], User,   Messages, Reply, Nothing;
            "ping",            push::Ping,               Done,                     [Raw, Root],       Anyone, Messages, Invalid, Nothing;
            "authenticate",    community::Authenticate,  community::Authenticated, [Raw, Root, Chat], Anyone, Authentications, Authentication, Nothing;
            "typing_start",    community::TypingStart,   Done,                     [Raw, Root],       User,   Typing,   Validation, Thread;
            "typing_stop",     community::TypingStop,    Done,                     [Raw, Root],       User,   Typing,   Validation, Thread;
            "debug_mode",      debug::DebugMode,         Done,                     [Raw, Root],       User,   Messages, Validation, Nothing;
            "client:event",    Entire<application::Event>,   application::Response,     [Raw, Root],  User,   Messages, EventData, Any;
            "client:message",  Entire<application::Message>, application::MessageAck,   [Raw, Root],  User,   Messages, MessageData, Any;
            "client:action",   Entire<application::Action>,  application::ActionResult, [Raw, Root],  User,   Messages, ActionData, Any;
            "join:chat",       chat::rooms::JoinChat,    chat::rooms::JoinedChat,  [Raw, Chat],       User,   Messages, Invalid, Nothing;
            "leave:chat",      chat::rooms::LeaveChat,   chat::rooms::LeftChat,    [Raw, Chat],       User,   Messages, Invalid, Nothing;
            "room:info",       chat::rooms::AskInfo,     chat::rooms::Info,        [Raw, Chat],       User,   Messages, Invalid, Nothing;
            "room:list",       chat::rooms::ListRooms,   chat::rooms::Rooms,       [Raw, Chat],       User,   Messages, Invalid, Nothing;
            "room:online",     chat::rooms::AskOnline,   chat::rooms::Online,      [Raw, Chat],       User,   Messages, Invalid, Nothing;
            "message:send",    chat::messages::SendMessage, chat::messages::Sent,  [Raw, Chat],       User,   ChatMessages, Invalid, Chat;
            "message:typing",  chat::messages::Type,     chat::messages::Typed,    [Raw, Chat],       User,   ChatTyping, Invalid, Chat;
            "message:typing-users", chat::messages::AskTyping, chat::messages::TypingUsers, [Raw, Chat], User,   Messages, Invalid, Nothing;
            "message:delivered", chat::messages::ConfirmDelivered, chat::messages::DeliveryConfirmed, [Raw, Chat], User, Messages, Invalid, Chat;
            "message:read",    chat::messages::ConfirmRead, chat::messages::ReadConfirmed, [Raw, Chat], User,   Messages, Invalid, Chat;
            "message:delivery-status", chat::messages::AskStatus, chat::messages::Status, [Raw, Chat],  User,   Messages, Invalid, Nothing;
            "message:stats",   chat::messages::AskStats, chat::messages::Stats,    [Raw, Chat],       User,   Messages, Invalid, Nothing;
            "message:history", chat::messages::AskHistory, chat::messages::History, [Raw, Chat],      User,   Messages, Invalid, Nothing;
            "connection:create-session", chat::connection::CreateSession, chat::connection::CreatedSession, [Raw, Chat], User, Messages, Invalid, Nothing;
            "connection:recover", chat::connection::Recover, chat::connection::RecoveredSession, [Raw, Chat], User, Messages, Invalid, Nothing;
            "connection:session-info", chat::connection::AskSession, chat::connection::SessionInfo, [Raw, Chat], User, Messages, Invalid, Nothing;
            "connection:stats", chat::connection::AskRecovery, chat::connection::Stats, [Raw, Chat],    User,   Messages, Invalid, Nothing;
            "presence:update-status", chat::presence::UpdateStatus, chat::presence::StatusUpdated, [Raw, Chat], User, Messages, Invalid, Any;
            "presence:online-users", chat::presence::AskOnlineUsers, chat::presence::OnlineUsers, [Raw, Chat], User, Messages, Invalid, Nothing;
            "presence:user-status", chat::presence::AskUserStatus, chat::presence::UserStatus, [Raw, Chat], User, Messages, Invalid, Nothing;
            "presence:stats",  chat::presence::AskPresenceStats, chat::presence::PresenceStats, [Raw, Chat], User, Messages, Invalid, Nothing;
            "notification_read", community::NotificationRead, community::Marked,        [Raw, Root],       User,   Notifications, Validation, Nothing;
            "monitoring:metrics", chat::monitoring::AskMetrics, chat::monitoring::MetricsTold, [Raw, Chat], User,   Messages, Invalid, Nothing;
            "monitoring:events", chat::monitoring::AskEvents, chat::monitoring::EventsTold, [Raw, Chat],    User,   Messages, Invalid, Nothing;
            "monitoring:stats", chat::monitoring::AskStats, chat::monitoring::StatsTold, [Raw, Chat],       User,   Messages, Invalid, Nothing;
            "monitoring:health", chat::monitoring::AskHealth, chat::monitoring::HealthTold, [Raw, Chat],    User,   Messages, Invalid, Nothing;
        }
    };
}

/// Hands the table of server events to the macro named first. Columns: wire name, type, surfaces.
#[macro_export]
macro_rules! server_event_table {
    ($callback:ident) => {
        $callback! {
            "Pong",                 raw::Pong,                      [Raw];
            "Status",               raw::Status,                    [Raw];
            "Ack",                  raw::Ack,                       [Raw];
            "Reply",                raw::Reply,                     [Raw];
            "Error",                raw::Error,                     [Raw];
            "Broadcast",            raw::Broadcasted,               [Raw, Root, Chat];
            "DirectMessage",        raw::Directed,                  [Raw, Root, Chat];
            "connected",            community::Connected,           [Root];
            "system:welcome",       push::Welcome,                  [Root];
            "system:reconnect_status", recovery::ReconnectStatus,   [Root];
            "system:state_recovered", recovery::StateRecovered,     [Root];
            "system:state_recovery_failed", recovery::StateRecoveryFailed, [Root];
            "authenticated",        community::Authenticated,       [Root];
            "authentication_error", community::AuthenticationError, [Root];
            "notification",         community::Notification,        [Raw, Root, Chat];
            "system:notification",  push::SystemNotification,       [Raw, Root, Chat];
            "notification_updated", community::NotificationUpdated, [Raw, Root, Chat];
            "user_online",          community::UserOnline,          [Raw, Root];
            "user_offline",         community::UserOffline,         [Raw, Root];
            "user_typing",          community::UserTyping,          [Raw, Root];
            "connection_stats",     debug::ConnectionStats,         [Raw, Root];
            "memory_usage",         debug::MemoryUsage,             [Raw, Root];
            "event_metrics",        debug::EventMetrics,            [Raw, Root];
            "register:ack",         push::Registered,               [Root];
            "room:join:ack",        push::JoinedRoom,               [Root];
            "room:leave:ack",       push::LeftRoom,                 [Root];
            "server:response",      application::Response,          [Root];
            "message:ack",          application::MessageAck,        [Root];
            "action:result",        application::ActionResult,      [Root];
            "error",                push::Error,                    [Root, Chat];
            "system:draining",      push::Draining,                 [Root, Chat];
            "disconnected",         community::Disconnected,        [Root];
            "room:joined",          chat::rooms::RoomJoined,        [Raw, Chat];
            "room:left",            chat::rooms::RoomLeft,          [Raw, Chat];
            "user:joined",          chat::rooms::UserJoined,        [Raw, Root, Chat];
            "user:left",            chat::rooms::UserLeft,          [Raw, Root, Chat];
            "room:online-update",   chat::rooms::OnlineUpdate,      [Raw, Root, Chat];
            "room:info",            chat::rooms::InfoChanged,       [Raw, Root, Chat];
            "message:new",          chat::messages::MessageNew,     [Raw, Root, Chat];
            "message:sent",         chat::messages::MessageSent,    [Raw, Chat];
            "message:delivered",    chat::messages::MessageDelivered, [Raw, Root, Chat];
            "message:read",         chat::messages::MessageRead,    [Raw, Root, Chat];
            "user:typing",          chat::messages::UserTyping,     [Raw, Root, Chat];
            "connection:recovery-token", chat::connection::TokenMade, [Raw, Chat];
            "connection:recovered", chat::connection::Recovered,    [Raw, Chat];
            "connection:queued-messages", chat::connection::QueuedMessages, [Raw, Chat];
            "user:online",          chat::presence::UserOnline,     [Chat];
            "user:offline",         chat::presence::UserOffline,    [Chat];
            "user:status-changed",  chat::presence::UserStatusChanged, [Raw, Root, Chat];
            "users:online",         chat::presence::UsersOnline,    [Chat];
        }
    };
}

macro_rules! client_names {
    ($($name:literal, $event:ty, $reply:ty, [$($surface:ident),+], $needs:ident, $bucket:ident, $refused:ident, $writes:ident;)*) => {
        /// The names of the events that clients may send, in the order of the table.
        pub const NAMES: &[&str] = &[$($name),*];
    };
}

/// Where `name` is among [`NAMES`].
const fn row_of(name: &str) -> usize {
    let mut row = 0;
    while row < NAMES.len() && !same(NAMES[row].as_bytes(), name.as_bytes()) {
        row += 1;
    }
    row
}

const fn same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// The room that an event writes to, by the word in its row: each word needs a field of that event.
macro_rules! written_room {
    (Nothing, $event:expr) => {
        Ok(None)
    };
    (Any, $event:expr) => {
        Ok(None)
    };
    (Topic, $event:expr) => {
        RoomName::parse(&$event.topic, "topic").map(Some)
    };
    (User, $event:expr) => {
        Ok(Some(RoomName::of_user(&$event.target_user)))
    };
    (Thread, $event:expr) => {
        RoomName::of_thread($event.thread_id.as_str(), "thread_id").map(Some)
    };
    (Chat, $event:expr) => {
        Ok(Some(RoomName::of_chat(&$event.chat_id)))
    };
}

macro_rules! impl_client_events {
    ($($name:literal, $event:ty, $reply:ty, [$($surface:ident),+], $needs:ident, $bucket:ident, $refused:ident, $writes:ident;)*) => {
        $(impl ClientEvent for $event {
            type Reply = $reply;
            const NAME: &'static str = $name;
            const ROW: usize = row_of($name);
            const ON: &'static [Surface] = &[$(Surface::$surface),+];
            const NEEDS: Access = Access::$needs;
            const COSTS: Bucket = Bucket::$bucket;
            const REFUSED: Refused = Refused::$refused;
            const WRITES: Writes = Writes::$writes;

            fn written_room(&self) -> Result<Option<RoomName>, Fault> {
                written_room!($writes, self)
            }
        })*
    };
}

macro_rules! impl_server_events {
    ($($name:literal, $event:ty, [$($surface:ident),+];)*) => {
        $(impl ServerEvent for $event {
            const NAME: &'static str = $name;
            const ON: &'static [Surface] = &[$(Surface::$surface),+];
        })*
    };
}

client_event_table!(client_names);
client_event_table!(impl_client_events);
server_event_table!(impl_server_events);
