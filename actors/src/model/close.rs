//! The reasons for the end of a session, with their close codes and reason phrases.

macro_rules! closes {
    ($($(#[doc = $meaning:literal])+ $variant:ident = $code:literal, $reason:literal, $reconnect:literal;)*) => {
        /// The reason for the end of a session. It determines the close code of the raw surface and the reason phrase
        /// (RFC 6455 section 7.4; 4000 to 4999 are the application's own).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Close {
            $($(#[doc = $meaning])+ $variant,)*
        }

        impl Close {
            /// All reasons, for documentation and tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The close code.
            pub const fn code(self) -> u16 {
                match self {
                    $(Self::$variant => $code,)*
                }
            }

            /// The reason phrase, at most 123 bytes.
            pub const fn reason(self) -> &'static str {
                match self {
                    $(Self::$variant => $reason,)*
                }
            }

            /// The meaning, in Markdown.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($meaning),+),)*
                }
            }

            /// Whether the client reconnects, in Markdown.
            pub const fn reconnect(self) -> &'static str {
                match self {
                    $(Self::$variant => $reconnect,)*
                }
            }
        }
    };
}

// The meaning; the close code, the reason phrase, and whether the client reconnects.
closes! {
    /// The hub shuts down; the client can reconnect.
    GoingAway = 1001, "server going away", "yes, after the time in the notice";
    /// The client did not read its messages fast enough.
    SlowConsumer = 1008, "slow consumer", "yes";
    /// The token expired.
    TokenExpired = 4401, "token expired", "with a new token";
    /// The token was revoked: by itself, with its sign-in, or with all tokens of its user.
    TokenRevoked = 4401, "token revoked", "after a new sign-in";
    /// Disconnected by a backend.
    DisconnectedByBackend = 4403, "disconnected by the application", "no";
    /// No data arrived within the timeout of the surface: `server.client_timeout_secs`, or the interval and timeout
    /// of Engine.IO.
    NoHeartbeat = 4408, "no heartbeat", "yes";
    /// No token arrived within `auth.grace_secs`.
    NotAuthenticated = 4408, "not authenticated in time", "with a token";
    /// The client exceeded ten times its limit in a minute, or its frames or bytes a second.
    Limit = 4429, "too many messages", "after a minute, if it sends less";
    /// The client ended the session with a message of its protocol.
    Left = 1000, "client left", "when the user wants to";
    /// The client violated the protocol of its connection.
    Malformed = 1002, "malformed packet", "yes, without that message";
    /// A text message was not UTF-8.
    NotUtf8 = 1007, "invalid UTF-8", "yes, without that message";
    /// A message exceeded the maximum size.
    TooLarge = 1009, "message too big", "yes, without that message";
    /// The session failed, by a defect of the hub.
    Failed = 1011, "internal error", "yes";
    /// No session was opened on the connection in time.
    Unused = 4408, "no namespace joined in time", "yes";
    /// The client resumed the session on another connection.
    Recovered = 1000, "recovered on another connection", "no: the other connection has the session";
}

impl Close {
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
