//! The reasons for the end of a session, with their close codes and reason phrases.

/// The reason for the end of a session. It determines the close code of the raw surface and the reason phrase (RFC 6455
/// section 7.4; 4000 to 4999 are the application's own).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// The hub shuts down; the client can reconnect.
    GoingAway,
    /// The client did not read its messages fast enough.
    SlowConsumer,
    /// The token expired.
    TokenExpired,
    /// The token was revoked: alone, with its sign-in, or with all tokens of its user.
    TokenRevoked,
    /// Disconnected by a backend. Its reason phrase, which clients know, has the word `application`.
    DisconnectedByBackend,
    /// No data arrived within the timeout of the surface: `server.client_timeout_secs`, or Engine.IO's interval and
    /// timeout.
    NoHeartbeat,
    /// No token arrived within `auth.grace_secs`.
    NotAuthenticated,
    /// The client exceeded ten times its limit in a minute.
    Limit,
    /// The client ended the session with a message of its protocol.
    Left,
    /// The client violated the protocol of its connection.
    Malformed,
    /// A text message was not UTF-8.
    NotUtf8,
    /// A message exceeded the maximum size.
    TooLarge,
    /// A part of the hub that the session needs failed.
    Failed,
    /// No session was opened on the connection in time.
    Unused,
    /// The client resumed the session on another connection.
    Recovered,
}

impl Close {
    /// All reasons, for documentation and tests.
    pub const ALL: [Self; 15] = [
        Self::GoingAway,
        Self::SlowConsumer,
        Self::TokenExpired,
        Self::TokenRevoked,
        Self::DisconnectedByBackend,
        Self::NoHeartbeat,
        Self::NotAuthenticated,
        Self::Limit,
        Self::Left,
        Self::Malformed,
        Self::NotUtf8,
        Self::TooLarge,
        Self::Failed,
        Self::Unused,
        Self::Recovered,
    ];

    /// The close code.
    pub const fn code(self) -> u16 {
        match self {
            Self::GoingAway => 1001,
            Self::SlowConsumer => 1008,
            Self::TokenExpired | Self::TokenRevoked => 4401,
            Self::DisconnectedByBackend => 4403,
            Self::NoHeartbeat | Self::NotAuthenticated | Self::Unused => 4408,
            Self::Limit => 4429,
            Self::Left | Self::Recovered => 1000,
            Self::Malformed => 1002,
            Self::NotUtf8 => 1007,
            Self::TooLarge => 1009,
            Self::Failed => 1011,
        }
    }

    /// The reason phrase, at most 123 bytes.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::GoingAway => "server going away",
            Self::SlowConsumer => "slow consumer",
            Self::TokenExpired => "token expired",
            Self::TokenRevoked => "token revoked",
            Self::DisconnectedByBackend => "disconnected by the application",
            Self::NoHeartbeat => "no heartbeat",
            Self::NotAuthenticated => "not authenticated in time",
            Self::Limit => "too many messages",
            Self::Left => "client left",
            Self::Malformed => "malformed packet",
            Self::NotUtf8 => "invalid UTF-8",
            Self::TooLarge => "message too big",
            Self::Failed => "internal error",
            Self::Unused => "no namespace joined in time",
            Self::Recovered => "recovered on another connection",
        }
    }

    /// Whether a session that ended for this reason can be recovered with its recovery token. It can after a lost
    /// connection, a leave, a protocol violation, an expired token and a shutdown of the hub. It cannot after the hub
    /// disconnected the client on purpose or lost messages.
    pub const fn may_be_recovered(self) -> bool {
        match self {
            Self::GoingAway
            | Self::Left
            | Self::NoHeartbeat
            | Self::Malformed
            | Self::NotUtf8
            | Self::TooLarge
            | Self::TokenExpired
            | Self::Recovered => true,
            Self::SlowConsumer
            | Self::TokenRevoked
            | Self::DisconnectedByBackend
            | Self::NotAuthenticated
            | Self::Limit
            | Self::Failed
            | Self::Unused => false,
        }
    }

    /// As [`Close::may_be_recovered`], for a client that is recovered by its private id: it reports the messages it
    /// received. Messages that were not written are not lost for it, so it can also resume after
    /// [`Close::SlowConsumer`].
    pub const fn may_be_caught_up(self) -> bool {
        self.may_be_recovered() || matches!(self, Self::SlowConsumer)
    }

    /// Whether the client is assumed to read no more messages, so that unwritten messages have no reader.
    pub const fn leaves_no_reader(self) -> bool {
        matches!(self, Self::Left | Self::NoHeartbeat | Self::Recovered)
    }

    /// Whether the client can reconnect unchanged, because only its connection ended. Otherwise the hub rejects the
    /// client or its token.
    pub const fn may_return(self) -> bool {
        match self {
            Self::GoingAway
            | Self::SlowConsumer
            | Self::NoHeartbeat
            | Self::Left
            | Self::Malformed
            | Self::NotUtf8
            | Self::TooLarge
            | Self::Failed
            | Self::Unused => true,
            Self::TokenExpired
            | Self::TokenRevoked
            | Self::DisconnectedByBackend
            | Self::NotAuthenticated
            | Self::Limit
            | Self::Recovered => false,
        }
    }
}
