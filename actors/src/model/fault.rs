//! What can go wrong, as data: one stable code each, and the words for the caller.
//!
//! Knows no status and no close code: the edge that answers chooses those by an exhaustive match on [`Code`].

use std::borrow::Cow;
use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Every reason for a refusal. The names are part of the contract with clients.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// All codes, for documentation and tests.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The name clients see.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Code::$variant => $name,)*
                }
            }
        }
    };
}

codes! {
    /// Malformed input, a missing field, a wrong type, a value out of bounds.
    InvalidRequest = "INVALID_REQUEST",
    /// No token, or one that does not hold.
    InvalidToken = "INVALID_TOKEN",
    /// The token was good once.
    TokenExpired = "TOKEN_EXPIRED",
    /// The token was revoked.
    TokenRevoked = "INVALID_TOKEN",
    /// The user name and the password do not belong together; which of them is wrong is not said.
    InvalidCredentials = "INVALID_CREDENTIALS",
    /// Whoever could judge the token cannot be asked now; nobody is let in on trust.
    AuthUnavailable = "AUTH_FAILED",
    /// No API key came with the request.
    Unauthorized = "UNAUTHORIZED",
    /// The API key is not one of ours.
    InvalidApiKey = "INVALID_API_KEY",
    /// The request's signature is missing where required, wrong, stale or replayed.
    InvalidSignature = "INVALID_SIGNATURE",
    /// No token was shown yet.
    Unauthenticated = "PERMISSION_DENIED",
    /// Known, but not allowed.
    Forbidden = "FORBIDDEN",
    /// The page that the request comes from is not among those that may.
    OriginNotAllowed = "FORBIDDEN",
    /// `Host` bears a name that is not among the hub's.
    HostNotAllowed = "FORBIDDEN",
    /// There is no such thing.
    NotFound = "NOT_FOUND",
    /// The path exists, the method does not.
    MethodNotAllowed = "METHOD_NOT_ALLOWED",
    /// A plain request where a WebSocket is spoken, or another version of it.
    UpgradeRequired = "UPGRADE_REQUIRED",
    /// The name is taken, or the same request is still under way.
    Conflict = "CONFLICT",
    /// More bytes than the stated bound.
    PayloadTooLarge = "PAYLOAD_TOO_LARGE",
    /// A request's head or body did not come in time.
    RequestTimeout = "REQUEST_TIMEOUT",
    /// The target of a request is longer than the stated bound.
    UriTooLong = "URI_TOO_LONG",
    /// The head of a request is longer than the stated bound.
    HeadersTooLarge = "HEADERS_TOO_LARGE",
    /// A body is in an encoding that is not read.
    UnsupportedEncoding = "UNSUPPORTED_ENCODING",
    /// Over a limit; `retry_after` says when to come back.
    RateLimited = "RATE_LIMITED",
    /// A configured limit of how many there may be is reached; `limit` names its key.
    LimitReached = "LIMIT_REACHED",
    /// `server.max_connections` are connected.
    ServerFull = "SERVER_FULL",
    /// A queue inside is full; nothing was accepted.
    Overloaded = "OVERLOADED",
    /// The store cannot be read or written now; nothing was done.
    StoreUnavailable = "STORE_UNAVAILABLE",
    /// The work was begun and its result was lost: it may have been done or not.
    OutcomeUnknown = "OUTCOME_UNKNOWN",
    /// The hub is going away.
    ShuttingDown = "SHUTTING_DOWN",
    /// A defect of the hub.
    Internal = "INTERNAL_ERROR",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A refusal: its code, the words for the caller, and what helps the caller to mend it.
#[derive(Debug, Clone, Eq)]
pub struct Fault {
    /// The stable code.
    pub code: Code,
    /// A sentence for the caller. Holds no secret.
    pub message: Cow<'static, str>,
    /// The offending field, where one is to blame: `topics[3]`, `data.payload`.
    pub field: Option<String>,
    /// Seconds until another attempt can succeed, at least 1.
    pub retry_after: Option<u32>,
    /// The limit that is reached, by its configuration key: `limits.rooms`.
    pub limit: Option<&'static str>,
    /// What decided the refusal, or why an internal fault happened. For the log alone: callers do not receive it, and it does
    /// not count in comparisons. Read it by [`Fault::rule`] and [`Fault::cause`]. Boxed, because most results are no fault.
    pub decided_by: Option<Box<Explanation>>,
}

/// The explanation of a fault, for the log. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Explanation {
    /// What decided: a configuration key, a topic rule, a claim of the token.
    Rule(Cow<'static, str>),
    /// Why an internal fault happened.
    Cause(Cow<'static, str>),
}

/// Compares what the caller is told.
impl PartialEq for Fault {
    fn eq(&self, other: &Self) -> bool {
        let Self { code, message, field, retry_after, limit, decided_by: _ } = self;
        (code, message, field, retry_after, limit)
            == (&other.code, &other.message, &other.field, &other.retry_after, &other.limit)
    }
}

impl Fault {
    /// A refusal with its words.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), field: None, retry_after: None, limit: None, decided_by: None }
    }

    /// Adds the cause, for the log. It holds no secret.
    #[must_use]
    pub fn caused_by(self, cause: impl Into<Cow<'static, str>>) -> Self {
        Self { decided_by: Some(Box::new(Explanation::Cause(cause.into()))), ..self }
    }

    /// The cause, where it is known.
    pub fn cause(&self) -> Option<&str> {
        match self.decided_by.as_deref() {
            Some(Explanation::Cause(cause)) => Some(cause),
            Some(Explanation::Rule(_)) | None => None,
        }
    }

    /// Says what decided: a configuration key (`server.allowed_origins`), a topic rule (`topics "news.*" subscribe`) or a
    /// claim (`token exp`). No secret.
    #[must_use]
    pub fn by(self, rule: impl Into<Cow<'static, str>>) -> Self {
        Self { decided_by: Some(Box::new(Explanation::Rule(rule.into()))), ..self }
    }

    /// What decided, where that is known: the limit's key where nothing else is said.
    pub fn rule(&self) -> Option<&str> {
        match self.decided_by.as_deref() {
            Some(Explanation::Rule(rule)) => Some(rule),
            Some(Explanation::Cause(_)) | None => self.limit,
        }
    }

    /// The origin of a request is not in `server.allowed_origins`.
    pub fn origin_not_allowed() -> Self {
        Self::new(Code::OriginNotAllowed, "This origin is not allowed").by("server.allowed_origins")
    }

    /// The `Host` of a request is not in `server.hosts`.
    pub fn host_not_allowed() -> Self {
        let fault = Self::new(Code::HostNotAllowed, "The name in `Host` is none of this hub's");
        Self { field: Some("Host".into()), ..fault.by("server.hosts") }
    }

    /// Bad input, and the field that is to blame.
    pub fn field(field: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { field: Some(field.into()), ..Self::new(Code::InvalidRequest, message) }
    }

    /// Over a limit until `seconds` have passed.
    pub fn rate_limited(seconds: u32) -> Self {
        Self { retry_after: Some(seconds.max(1)), ..Self::new(Code::RateLimited, "Rate limit exceeded") }
    }

    /// The limit under the configuration key `key` is reached.
    pub fn limit_reached(key: &'static str) -> Self {
        Self { limit: Some(key), ..Self::new(Code::LimitReached, format!("The limit `{key}` is reached")) }
    }

    /// No token was shown yet.
    pub fn unauthenticated() -> Self {
        Self::new(Code::Unauthenticated, "Authentication required").by("token")
    }

    /// A queue inside is full.
    pub fn overloaded() -> Self {
        Self { retry_after: Some(1), ..Self::new(Code::Overloaded, "The hub is overloaded; try again") }
    }

    /// So many requests of one session are under way that another has to wait for an answer.
    pub fn too_many_under_way() -> Self {
        let words = "Too many requests are under way; wait for an answer";
        Self { retry_after: Some(1), ..Self::new(Code::Overloaded, words) }
    }

    /// The hub is going away; another one may be there in a moment.
    pub fn shutting_down() -> Self {
        Self { retry_after: Some(1), ..Self::new(Code::ShuttingDown, "The hub is going away") }
    }

    /// A defect, or an actor ended without a reply: nothing was changed. Add the [cause](Fault::caused_by): the line of the
    /// refusal shows it.
    pub fn internal() -> Self {
        Self::new(Code::Internal, "Internal error")
    }

    /// The work was begun, and what came of it is not known: who did it is gone, or does not answer.
    pub fn outcome_unknown() -> Self {
        Self::new(Code::OutcomeUnknown, "The outcome is not known: it may have been done or not")
    }

    /// What an error body's `details` holds: the field, the limit's key, and the wait in seconds.
    pub fn details(&self) -> Option<serde_json::Value> {
        let mut details = serde_json::Map::new();
        if let Some(field) = &self.field {
            details.insert("field".into(), field.as_str().into());
        }
        if let Some(limit) = self.limit {
            details.insert("limit".into(), limit.into());
        }
        if let Some(seconds) = self.retry_after {
            details.insert("retryAfter".into(), seconds.into());
        }
        (!details.is_empty()).then_some(serde_json::Value::Object(details))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        self.cause().map_or(Ok(()), |cause| write!(f, " ({cause})"))
    }
}

impl std::error::Error for Fault {}
