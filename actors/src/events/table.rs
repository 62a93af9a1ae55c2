//! The event table: one row per event, from which dispatch, the access and limit checks, `hubbub events` and the
//! tables of docs/events.md derive.
//!
//! `docs/contributing.md` has the recipe for a new event: which files in which order, and what guards each.

use schemars::{Schema, SchemaGenerator};

use super::chat::{connection, messages, monitoring, presence, rooms};
use super::json::Entire;
use super::{
    Access, Bucket, ClientEvent, Done, RefusalForm, ServerEvent, Writes, application, community, debug, push, raw,
    recovery,
};
use crate::model::fault::Fault;
use crate::model::ids::RoomName;
use crate::model::surface::Surface;

/// Passes the event table to a macro.
#[macro_export]
macro_rules! event_table {
    ($callback:ident) => {
        $callback! {
            // name, type => type of the reply, surfaces, access, limit, form of a refusal on `/`, target of a publication
            client {
                ("Ping", raw::Ping => raw::Pong, [Raw], User, Messages, Invalid, Nothing)
                ("Subscribe", raw::Subscribe => raw::Status, [Raw], User, Messages, Invalid, Nothing)
                ("Unsubscribe", raw::Unsubscribe => raw::Status, [Raw], User, Messages, Invalid, Nothing)
                ("Broadcast", raw::Broadcast => raw::Ack, [Raw, Root, Chat], User, Messages, Invalid, Topic)
                ("DirectMessage", raw::DirectMessage => raw::Ack, [Raw, Root, Chat], User, Messages, Invalid, User)
                ("Authenticate", raw::RenewToken => raw::Status, [Raw], User, Authentications, Invalid, Nothing)
                ("register", push::Register => push::Registered, [Raw, Root], Anyone, Messages, Reply, Nothing)
                ("room:join", push::JoinRoom => push::JoinedRoom, [Raw, Root, Chat], User, Messages, Reply, Nothing)
                ("room:leave", push::LeaveRoom => push::LeftRoom, [Raw, Root, Chat], User, Messages, Reply, Nothing)
                ("ping", push::AckedPing => Done, [Raw, Root], Anyone, Messages, Invalid, Nothing)
                ("authenticate", community::Authenticate => community::Authenticated, [Raw, Root, Chat], Anyone, Authentications, Authentication, Nothing)
                ("typing_start", community::TypingStart => Done, [Raw, Root], User, Typing, Validation, Thread)
                ("typing_stop", community::TypingStop => Done, [Raw, Root], User, Typing, Validation, Thread)
                ("debug_mode", debug::DebugMode => Done, [Raw, Root], User, Messages, Validation, Nothing)
                ("client:event", Entire<application::CustomEvent> => application::Response, [Raw, Root], User, Messages, EventData, Any)
                ("client:message", Entire<application::Message> => application::MessageAck, [Raw, Root], User, Messages, MessageData, Any)
                ("client:action", Entire<application::Action> => application::ActionResult, [Raw, Root], User, Messages, ActionData, Any)
                ("join:chat", rooms::JoinChat => rooms::JoinedChat, [Raw, Chat], User, Messages, Invalid, Nothing)
                ("leave:chat", rooms::LeaveChat => rooms::LeftChat, [Raw, Chat], User, Messages, Invalid, Nothing)
                ("room:info", rooms::AskInfo => rooms::RoomInfoReply, [Raw, Chat], User, Messages, Invalid, Nothing)
                ("room:list", rooms::ListRooms => rooms::RoomList, [Raw, Chat], User, Messages, Invalid, Nothing)
                ("room:online", rooms::AskOnline => rooms::RoomOnlineUsers, [Raw, Chat], User, Messages, Invalid, Nothing)
                ("message:send", messages::SendMessage => messages::Sent, [Raw, Chat], User, ChatMessages, Invalid, Chat)
                ("message:typing", messages::UpdateTyping => messages::TypingUpdated, [Raw, Chat], User, ChatTyping, Invalid, Chat)
                ("message:typing-users", messages::AskTyping => messages::TypingUsers, [Raw, Chat], User, Messages, Invalid, Nothing)
                ("message:delivered", messages::ConfirmDelivered => messages::DeliveryConfirmed, [Raw, Chat], User, Messages, Invalid, Chat)
                ("message:read", messages::ConfirmRead => messages::ReadConfirmed, [Raw, Chat], User, Messages, Invalid, Chat)
                ("message:delivery-status", messages::AskStatus => messages::MessageStatus, [Raw, Chat], User, Messages, Invalid, Nothing)
                ("message:stats", messages::AskMessageStats => messages::MessageStats, [Raw, Chat], User, Messages, Invalid, Nothing)
                ("message:history", messages::AskHistory => messages::History, [Raw, Chat], User, Messages, Invalid, Nothing)
                ("connection:create-session", connection::CreateSession => connection::CreatedSession, [Raw, Chat], User, Messages, Invalid, Nothing)
                ("connection:recover", connection::Recover => connection::RecoveredSession, [Raw, Chat], User, Messages, Invalid, Nothing)
                ("connection:session-info", connection::AskSession => connection::SessionInfo, [Raw, Chat], User, Messages, Invalid, Nothing)
                ("connection:stats", connection::AskRecoveryStats => connection::RecoveryStats, [Raw, Chat], User, Messages, Invalid, Nothing)
                ("presence:update-status", presence::UpdateStatus => presence::StatusUpdated, [Raw, Chat], User, Messages, Invalid, Any)
                ("presence:online-users", presence::AskOnlineUsers => presence::OnlineUsers, [Raw, Chat], User, Messages, Invalid, Nothing)
                ("presence:user-status", presence::AskUserStatus => presence::UserStatus, [Raw, Chat], User, Messages, Invalid, Nothing)
                ("presence:stats", presence::AskPresenceStats => presence::PresenceStats, [Raw, Chat], User, Messages, Invalid, Nothing)
                ("notification_read", community::NotificationRead => community::MarkedRead, [Raw, Root], User, Notifications, Validation, Nothing)
                ("monitoring:metrics", monitoring::AskMetrics => monitoring::MetricsReply, [Raw, Chat], User, Messages, Invalid, Nothing)
                ("monitoring:events", monitoring::AskEvents => monitoring::EventsReply, [Raw, Chat], User, Messages, Invalid, Nothing)
                ("monitoring:stats", monitoring::AskStats => monitoring::StatsReply, [Raw, Chat], User, Messages, Invalid, Nothing)
                ("monitoring:health", monitoring::AskHealth => monitoring::HealthReply, [Raw, Chat], User, Messages, Invalid, Nothing)
            }
            // name, type, surfaces
            server {
                ("Pong", raw::Pong, [Raw])
                ("Status", raw::Status, [Raw])
                ("Ack", raw::Ack, [Raw])
                ("Reply", raw::EventReply, [Raw])
                ("Error", raw::Error, [Raw])
                ("Broadcast", raw::Broadcasted, [Raw, Root, Chat])
                ("DirectMessage", raw::Directed, [Raw, Root, Chat])
                ("connected", community::Connected, [Root])
                ("system:welcome", push::Welcome, [Root])
                ("system:reconnect_status", recovery::ReconnectStatus, [Root])
                ("system:state_recovered", recovery::StateRecovered, [Root])
                ("system:state_recovery_failed", recovery::StateRecoveryFailed, [Root])
                ("authenticated", community::Authenticated, [Root])
                ("authentication_error", community::AuthenticationError, [Root])
                ("notification", community::UserNotification, [Raw, Root, Chat])
                ("system:notification", push::SystemNotification, [Raw, Root, Chat])
                ("notification_updated", community::NotificationUpdated, [Raw, Root, Chat])
                ("user_online", community::UserOnline, [Raw, Root])
                ("user_offline", community::UserOffline, [Raw, Root])
                ("user_typing", community::UserTyping, [Raw, Root])
                ("connection_stats", debug::ConnectionStats, [Raw, Root])
                ("memory_usage", debug::MemoryUsage, [Raw, Root])
                ("event_metrics", debug::EventMetrics, [Raw, Root])
                ("register:ack", push::Registered, [Root])
                ("room:join:ack", push::JoinedRoom, [Root])
                ("room:leave:ack", push::LeftRoom, [Root])
                ("server:response", application::Response, [Root])
                ("message:ack", application::MessageAck, [Root])
                ("action:result", application::ActionResult, [Root])
                ("error", push::ErrorEvent, [Root, Chat])
                ("system:draining", push::Draining, [Root, Chat])
                ("disconnected", community::Disconnected, [Root])
                ("room:joined", rooms::RoomJoined, [Raw, Chat])
                ("room:left", rooms::RoomLeft, [Raw, Chat])
                ("user:joined", rooms::UserJoined, [Raw, Root, Chat])
                ("user:left", rooms::UserLeft, [Raw, Root, Chat])
                ("room:online-update", rooms::OnlineUpdate, [Raw, Root, Chat])
                ("room:info", rooms::InfoChanged, [Raw, Root, Chat])
                ("message:new", messages::MessageNew, [Raw, Root, Chat])
                ("message:sent", messages::MessageSent, [Raw, Chat])
                ("message:delivered", messages::MessageDelivered, [Raw, Root, Chat])
                ("message:read", messages::MessageRead, [Raw, Root, Chat])
                ("user:typing", messages::ChatUserTyping, [Raw, Root, Chat])
                ("connection:recovery-token", connection::RecoveryTokenIssued, [Raw, Chat])
                ("connection:recovered", connection::Recovered, [Raw, Chat])
                ("connection:queued-messages", connection::QueuedMessages, [Raw, Chat])
                ("user:online", presence::ChatUserOnline, [Chat])
                ("user:offline", presence::ChatUserOffline, [Chat])
                ("user:status-changed", presence::UserStatusChanged, [Raw, Root, Chat])
                ("users:online", presence::UsersOnline, [Chat])
            }
        }
    };
}

/// An event that clients send.
#[derive(Debug)]
pub struct ClientRow {
    /// The name on the wire.
    pub name: &'static str,
    /// The name of the event that replies; `None` for an acknowledgement.
    pub reply: Option<&'static str>,
    /// The surfaces that accept it.
    pub on: &'static [Surface],
    /// The access it needs.
    pub needs: Access,
    /// The limit it counts against.
    pub costs: Bucket,
    /// The form of a refusal on `/`.
    pub refused: RefusalForm,
    /// The target of its publications.
    pub writes: Writes,
    /// The schema of its data.
    pub schema: fn() -> Schema,
    /// The schema of the reply's data.
    pub reply_schema: fn() -> Schema,
}

/// An event that the hub sends.
#[derive(Debug)]
pub struct ServerRow {
    /// The name on the wire.
    pub name: &'static str,
    /// The surfaces it is sent on.
    pub on: &'static [Surface],
    /// The schema of its data.
    pub schema: fn() -> Schema,
}

/// The schema of the data of `T`.
fn schema_of<T: schemars::JsonSchema>() -> Schema {
    SchemaGenerator::default().into_root_schema_for::<T>()
}

macro_rules! define_rows {
    (
        client {$((
            $name:literal, $event:ty => $reply:ty,
            [$($surface:ident),+], $needs:ident, $bucket:ident, $refused:ident, $writes:ident
        ))*}
        server {$(($server_name:literal, $server_event:ty, [$($server_surface:ident),+]))*}
    ) => {
        /// Every event that clients send.
        pub const CLIENT: &[ClientRow] = &[$(ClientRow {
            name: $name,
            reply: if <$reply as ServerEvent>::NAME.is_empty() { None } else { Some(<$reply as ServerEvent>::NAME) },
            on: &[$(Surface::$surface),+],
            needs: Access::$needs,
            costs: Bucket::$bucket,
            refused: RefusalForm::$refused,
            writes: Writes::$writes,
            schema: schema_of::<$event>,
            reply_schema: schema_of::<$reply>,
        }),*];

        /// Every event that the hub sends.
        pub const SERVER: &[ServerRow] = &[$(ServerRow {
            name: $server_name,
            on: &[$(Surface::$server_surface),+],
            schema: schema_of::<$server_event>,
        }),*];

        $(impl ClientEvent for $event {
            type Reply = $reply;
            const INDEX: usize = index_of($name);
            const ROW: &'static ClientRow = &CLIENT[Self::INDEX];

            fn written_room(&self) -> Result<Option<RoomName>, Fault> {
                written_room!($writes, self)
            }
        })*

        $(impl ServerEvent for $server_event {
            const NAME: &'static str = $server_name;
            const ON: &'static [Surface] = &[$(Surface::$server_surface),+];
        })*
    };
}

/// The room that an event publishes to, by the word in its row. `Topic`, `User`, `Thread` and `Chat` read a field of the
/// event.
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

event_table!(define_rows);

/// The index of `name` in [`CLIENT`].
const fn index_of(name: &str) -> usize {
    let mut index = 0;
    while index < CLIENT.len() && !is_same(CLIENT[index].name.as_bytes(), name.as_bytes()) {
        index += 1;
    }
    index
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}
