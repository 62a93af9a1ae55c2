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
    /// Nothing was heard for so long as its surface bears: `server.client_timeout_secs`, or Engine.IO's interval and timeout.
    NoHeartbeat,
    /// No token was shown within `auth.grace_secs`.
    NotAuthenticated,
    /// More than ten times its limit in a minute.
    Limit,
    /// The client took its leave in words of its own protocol.
    Left,
    /// The client broke the protocol that its connection speaks.
    Malformed,
    /// A text message was not UTF-8.
    NotUtf8,
    /// A message had more bytes than one may.
    TooLarge,
    /// What the session ran on failed.
    Failed,
    /// A connection that no session was opened on in time.
    Unused,
    /// The client goes on with the session on another connection.
    Recovered,
}

impl Close {
    /// All reasons, for documentation and tests.
    pub const ALL: [Self; 15] = [
        Self::GoingAway,
        Self::SlowConsumer,
        Self::TokenExpired,
        Self::TokenRevoked,
        Self::Kicked,
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
            Self::Kicked => 4403,
            Self::NoHeartbeat | Self::NotAuthenticated | Self::Unused => 4408,
            Self::Limit => 4429,
            Self::Left | Self::Recovered => 1000,
            Self::Malformed => 1002,
            Self::NotUtf8 => 1007,
            Self::TooLarge => 1009,
            Self::Failed => 1011,
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

    /// Whether a session with a token for that may be recovered that ended so: its client was cut off, left or was not
    /// understood, or its time was up, or the hub's. What was put out, or lost messages, is over.
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
            | Self::Kicked
            | Self::NotAuthenticated
            | Self::Limit
            | Self::Failed
            | Self::Unused => false,
        }
    }

    /// Likewise of a session whose client says what it got: of such a one nothing is lost by not being written.
    pub const fn may_be_caught_up(self) -> bool {
        self.may_be_recovered() || matches!(self, Self::SlowConsumer)
    }

    /// Whether nobody is thought to read any more what was not written.
    pub const fn leaves_no_reader(self) -> bool {
        matches!(self, Self::Left | Self::NoHeartbeat | Self::Recovered)
    }

    /// Whether the client may come back as it is: what ended was its connection. Otherwise it is the client that is not
    /// wanted, or its token.
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
            | Self::Kicked
            | Self::NotAuthenticated
            | Self::Limit
            | Self::Recovered => false,
        }
    }
}
