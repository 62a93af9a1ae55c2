//! The surfaces and the transports of sessions.

/// The protocol of a session.
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
    /// The name in replies and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Root => "/",
            Self::Chat => "/chat",
        }
    }
}

/// The transport of a session when it starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transport {
    /// A WebSocket.
    #[default]
    WebSocket,
    /// Long polling, which can upgrade to a WebSocket later.
    Polling,
}

impl Transport {
    /// The name in labels and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Polling => "polling",
        }
    }
}
