//! The event table: every event a client may send and every event the hub sends, each defined once.
//!
//! A row of [`client_event_table!`](crate::client_event_table) is all that dispatch, the access and limit checks, `hubbub events` and the README's
//! table know of an event. Adding one is a struct in a family's file, a row here, and a [`Handle`] for the session; a
//! row without its handler does not compile.
//!
//! [`Handle`]: crate::session::Handle

pub mod catalogue;
pub mod json;
pub mod raw;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

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
}

impl Bucket {
    /// The word in the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "messages",
        }
    }
}

/// An event a client may send.
pub trait ClientEvent: DeserializeOwned + JsonSchema + Send + 'static {
    /// What answers it.
    type Reply: ServerEvent;
    /// Its name on the wire.
    const NAME: &'static str;
    /// Where it is understood.
    const ON: &'static [Surface];
    /// Who may send it.
    const NEEDS: Access;
    /// The limit it draws from.
    const COSTS: Bucket;
}

/// An event the hub sends.
pub trait ServerEvent: Serialize + JsonSchema + 'static {
    /// Its name on the wire.
    const NAME: &'static str;
}

/// Hands the table of client events to the macro named first.
///
/// Columns: wire name, type, its answer, the surfaces it is understood on, who may send it, the limit it draws from.
#[macro_export]
macro_rules! client_event_table {
    ($callback:ident) => {
        $callback! {
            // wire name       type                 reply        surfaces  needs  limit
            "Ping",            raw::Ping,           raw::Pong,   [Raw],    User,  Messages;
            "Subscribe",       raw::Subscribe,      raw::Status, [Raw],    User,  Messages;
            "Unsubscribe",     raw::Unsubscribe,    raw::Status, [Raw],    User,  Messages;
            "Broadcast",       raw::Broadcast,      raw::Ack,    [Raw],    User,  Messages;
            "DirectMessage",   raw::DirectMessage,  raw::Ack,    [Raw],    User,  Messages;
            "Authenticate",    raw::Authenticate,   raw::Status, [Raw],    User,  Messages;
        }
    };
}

/// Hands the table of server events to the macro named first. Columns: wire name, type, surfaces.
#[macro_export]
macro_rules! server_event_table {
    ($callback:ident) => {
        $callback! {
            "Pong",            raw::Pong,           [Raw];
            "Status",          raw::Status,         [Raw];
            "Ack",             raw::Ack,            [Raw];
            "Error",           raw::Error,          [Raw];
            "Broadcast",       raw::Broadcasted,    [Raw];
            "DirectMessage",   raw::Directed,       [Raw];
        }
    };
}

macro_rules! impl_client_events {
    ($($name:literal, $event:ty, $reply:ty, [$($surface:ident),+], $needs:ident, $bucket:ident;)*) => {
        $(impl ClientEvent for $event {
            type Reply = $reply;
            const NAME: &'static str = $name;
            const ON: &'static [Surface] = &[$(Surface::$surface),+];
            const NEEDS: Access = Access::$needs;
            const COSTS: Bucket = Bucket::$bucket;
        })*
    };
}

macro_rules! impl_server_events {
    ($($name:literal, $event:ty, [$($surface:ident),+];)*) => {
        $(impl ServerEvent for $event {
            const NAME: &'static str = $name;
        })*
    };
}

client_event_table!(impl_client_events);
server_event_table!(impl_server_events);
