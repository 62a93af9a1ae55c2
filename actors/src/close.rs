//! Why a session ends, as codes with their words.

/// The reason the hub gives when it ends a session: the close code of the raw surface and its words (RFC 6455
/// section 7.4; 4000 to 4999 are the application's own).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// The hub is going away; come back.
    GoingAway,
    /// The client did not read what it was sent.
    SlowConsumer,
    /// The token expired.
    TokenExpired,
    /// The token was revoked: by itself, with its sign-in, or with all of its user.
    TokenRevoked,
    /// Disconnected by the application.
    Kicked,
    /// Nothing was heard for `server.client_timeout_secs`.
    NoHeartbeat,
    /// More than ten times its limit in a minute.
    Limit,
    /// The client took its leave in words of its own protocol.
    Left,
    /// The client broke the protocol that its connection speaks.
    Malformed,
    /// A connection that no session was opened on in time.
    Unused,
}

impl Close {
    /// All reasons, for documentation and tests.
    pub const ALL: [Self; 10] = [
        Self::GoingAway,
        Self::SlowConsumer,
        Self::TokenExpired,
        Self::TokenRevoked,
        Self::Kicked,
        Self::NoHeartbeat,
        Self::Limit,
        Self::Left,
        Self::Malformed,
        Self::Unused,
    ];

    /// The close code.
    pub const fn code(self) -> u16 {
        match self {
            Self::GoingAway => 1001,
            Self::SlowConsumer => 1008,
            Self::TokenExpired | Self::TokenRevoked => 4401,
            Self::Kicked => 4403,
            Self::NoHeartbeat | Self::Unused => 4408,
            Self::Limit => 4429,
            Self::Left => 1000,
            Self::Malformed => 1002,
        }
    }

    /// The words beside the code, at most 123 bytes.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::GoingAway => "server going away",
            Self::SlowConsumer => "slow consumer",
            Self::TokenExpired => "token expired",
            Self::TokenRevoked => "token revoked",
            Self::Kicked => "disconnected by the application",
            Self::NoHeartbeat => "no heartbeat",
            Self::Limit => "too many messages",
            Self::Left => "client left",
            Self::Malformed => "malformed packet",
            Self::Unused => "no namespace joined in time",
        }
    }
}
