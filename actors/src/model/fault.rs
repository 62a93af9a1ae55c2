//! Refusals as data: a stable code and a message for the caller.
//!
//! The surface that replies chooses the HTTP status or the close code by an exhaustive match on [`Code`].

use std::borrow::Cow;
use std::fmt;

macro_rules! codes {
    ($($(#[doc = $meaning:literal])+ $variant:ident = $name:literal, $advice:literal;)*) => {
        /// Every reason for a refusal. The names are part of the contract with clients.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $meaning])+ $variant,)*
        }

        impl Code {
            /// All codes, for documentation and tests.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The name that clients receive.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Code::$variant => $name,)*
                }
            }

            /// The meaning, in Markdown.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Code::$variant => concat!($($meaning),+),)*
                }
            }

            /// What a client does after the refusal, in Markdown.
            pub const fn advice(self) -> &'static str {
                match self {
                    $(Code::$variant => $advice,)*
                }
            }
        }
    };
}

// The meaning; the name that clients receive, and what a client does.
codes! {
    /// Malformed input, a missing field, a wrong type, a value out of bounds.
    InvalidRequest = "INVALID_REQUEST", "change the request; `details.field` names the field, if it is one";
    /// No token, or an invalid token.
    InvalidToken = "INVALID_TOKEN", "send a valid token: refresh it, or sign in again";
    /// The token was valid and has expired.
    TokenExpired = "TOKEN_EXPIRED", "get a new token";
    /// The token was revoked.
    TokenRevoked = "INVALID_TOKEN", "sign in again";
    /// The user name or the password is wrong, or the account is disabled; the response does not tell which.
    InvalidCredentials = "INVALID_CREDENTIALS", "ask the user again";
    /// The token cannot be checked now, so it is refused.
    AuthUnavailable = "AUTH_FAILED", "keep the token, and try again after `retryAfter`; without it, a retry does not help";
    /// No API key came with the request.
    Unauthorized = "UNAUTHORIZED", "send the API key in `X-API-Key`";
    /// The hub does not know the API key, or the key has expired.
    InvalidApiKey = "INVALID_API_KEY", "use a configured API key that has not expired";
    /// The request's signature is missing where required, wrong, stale or replayed.
    InvalidSignature = "INVALID_SIGNATURE", "correct the signature or the clock, and use a new nonce";
    /// The session has not sent a token yet. On `/` also: the user has no permission.
    Unauthenticated = "PERMISSION_DENIED", "authenticate first";
    /// The caller is known, but has no permission.
    Forbidden = "FORBIDDEN", "do not repeat it: permissions must change first";
    /// The request's origin is not allowed.
    OriginNotAllowed = "FORBIDDEN", "do not repeat it: `server.allowed_origins` must list the page";
    /// `Host` is not a name of the hub.
    HostNotAllowed = "FORBIDDEN", "do not repeat it: `server.hosts` must list the name";
    /// The requested object does not exist.
    NotFound = "NOT_FOUND", "do not repeat it";
    /// The path exists, but not with this method.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", "use another method";
    /// The path needs a WebSocket handshake of version 13.
    UpgradeRequired = "UPGRADE_REQUIRED", "connect with a WebSocket client";
    /// The name is taken, the user is already in the chat, or the `client_id` or `Idempotency-Key` belongs to a different
    /// request.
    Conflict = "CONFLICT", "use another name, `client_id` or key; a chat that was joined needs no second join";
    /// More bytes than the stated bound.
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", "send less";
    /// The head or the body of a request did not arrive in time.
    RequestTimeout = "REQUEST_TIMEOUT", "send the request again, on a new connection";
    /// The target of a request is longer than the stated bound.
    UriTooLong = "URI_TOO_LONG", "shorten the target";
    /// The head of a request is longer than the stated bound.
    HeadersTooLarge = "HEADERS_TOO_LARGE", "shorten the head";
    /// The body's encoding is not supported.
    UnsupportedEncoding = "UNSUPPORTED_ENCODING", "send the body without `Content-Encoding`";
    /// A rate limit is exceeded; `details.retryAfter` has the wait.
    RateLimited = "RATE_LIMITED", "wait for that time";
    /// A maximum is reached; `details.limit` has its key, or the limited resource.
    LimitReached = "LIMIT_REACHED", "release something first; at a connect, try again after `retryAfter`";
    /// `server.max_connections` connections are open.
    ServerFull = "SERVER_FULL", "try again after a pause";
    /// A queue of the hub, or the client's own requests in progress, are at their bound; the request was not accepted.
    Overloaded = "OVERLOADED", "try again after a pause";
    /// The store cannot be read or written now; nothing was stored.
    StoreUnavailable = "STORE_UNAVAILABLE", "try again after a pause";
    /// The work began and its result was lost: it may be done or not.
    OutcomeUnknown = "OUTCOME_UNKNOWN", "read the state; repeat the request, with a new `client_id` or `Idempotency-Key`, only if it had no effect";
    /// The hub shuts down, or a part of it failed and it is about to end.
    ShuttingDown = "SHUTTING_DOWN", "over HTTP, try again after a pause; on a socket, reconnect after the time in the notice";
    /// A defect of the hub.
    Internal = "INTERNAL_ERROR", "try again after a pause; the log has the cause under the request id";
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

/// A refusal: its code, its message and the details that help the caller.
#[derive(Debug, Clone, Eq)]
pub struct Fault {
    /// The stable code.
    pub code: Code,
    /// A sentence for the caller. Holds no secret.
    pub message: Cow<'static, str>,
    /// The invalid field, if any: `topics[3]`, `data.payload`.
    pub field: Option<String>,
    /// Seconds until another attempt can succeed, at least 1.
    pub retry_after: Option<u32>,
    /// The configuration key of the reached limit: `limits.rooms`.
    pub limit: Option<&'static str>,
    /// Facts for the operator. Only the log and the connection events have them: callers do not receive them, and
    /// comparisons ignore them. Boxed, because most results are no fault.
    pub explanation: Option<Box<Explanation>>,
}

/// The explanation of a fault, for the log. It has no secret. Read it with the methods of [`Fault`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explanation {
    rule: Option<Cow<'static, str>>,
    cause: Option<Cow<'static, str>>,
    user: Option<Box<str>>,
    header: Option<(&'static str, String)>,
}

/// Compares the parts that the caller receives.
impl PartialEq for Fault {
    fn eq(&self, other: &Self) -> bool {
        let Self { code, message, field, retry_after, limit, explanation: _ } = self;
        (code, message, field, retry_after, limit)
            == (&other.code, &other.message, &other.field, &other.retry_after, &other.limit)
    }
}

impl Fault {
    /// A refusal with a code and a message.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), field: None, retry_after: None, limit: None, explanation: None }
    }

    /// Adds the cause, for the log. It must not have a secret.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Cow<'static, str>>) -> Self {
        self.explanation.get_or_insert_default().cause = Some(cause.into());
        self
    }

    /// The cause, where known.
    pub fn cause(&self) -> Option<&str> {
        self.explanation.as_ref()?.cause.as_deref()
    }

    /// Adds the rule that decided: a configuration key (`server.allowed_origins`), a topic rule (`topics "news.*"
    /// subscribe`) or a claim (`token exp`). It must not have a secret.
    #[must_use]
    pub fn by(mut self, rule: impl Into<Cow<'static, str>>) -> Self {
        self.explanation.get_or_insert_default().rule = Some(rule.into());
        self
    }

    /// The rule that decided, where known; by default the key of the limit.
    pub fn rule(&self) -> Option<&str> {
        self.explanation.as_ref().and_then(|explanation| explanation.rule.as_deref()).or(self.limit)
    }

    /// Adds the id of the user of a refused token. Its signature must be valid.
    #[must_use]
    pub fn of_user(mut self, user: &str) -> Self {
        self.explanation.get_or_insert_default().user = Some(user.into());
        self
    }

    /// The user of a refused token with a valid signature.
    pub fn user(&self) -> Option<&str> {
        self.explanation.as_ref()?.user.as_deref()
    }

    /// The `Origin` of a request is not in `server.allowed_origins`.
    pub fn origin_not_allowed(origin: Option<&[u8]>) -> Self {
        let mut refused = Self::new(Code::OriginNotAllowed, "This origin is not allowed").by("server.allowed_origins");
        refused.explanation.get_or_insert_default().header = authority("origin", origin);
        refused
    }

    /// The refused origin or host, and its name in the log: `origin` or `host`.
    pub fn header(&self) -> Option<(&'static str, &str)> {
        self.explanation.as_ref()?.header.as_ref().map(|(name, value)| (*name, value.as_str()))
    }

    /// The `Host` of a request is not in `server.hosts`.
    pub fn host_not_allowed(host: Option<&[u8]>) -> Self {
        let message = "`Host` is not a name of this hub: `server.hosts` does not list it";
        let mut refused = Self::new(Code::HostNotAllowed, message).in_field("Host").by("server.hosts");
        refused.explanation.get_or_insert_default().header = authority("host", host);
        refused
    }

    /// Invalid input, with the field.
    pub fn field(field: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest, message).in_field(field)
    }

    /// Names the field that caused the refusal. For invalid input, use [`Fault::field`].
    #[must_use]
    pub fn in_field(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self }
    }

    /// A rate limit is exceeded for `seconds` more seconds.
    pub fn rate_limited(seconds: u32) -> Self {
        Self { retry_after: Some(seconds.max(1)), ..Self::new(Code::RateLimited, "Rate limit exceeded") }
    }

    /// The limit under the configuration key `key` is reached.
    pub fn limit_reached(key: &'static str) -> Self {
        Self { limit: Some(key), ..Self::new(Code::LimitReached, format!("The limit `{key}` is reached")) }
    }

    /// The session has not sent a token yet.
    pub fn unauthenticated() -> Self {
        Self::new(Code::Unauthenticated, "Authentication required").by("token")
    }

    /// An internal queue is full.
    pub fn overloaded() -> Self {
        Self { retry_after: Some(1), ..Self::new(Code::Overloaded, "The hub is overloaded; try again") }
    }

    /// The session has too many requests in progress; the next request must wait for a reply.
    pub fn too_many_in_progress() -> Self {
        let words = "Too many requests are in progress; wait for a reply";
        Self { retry_after: Some(1), ..Self::new(Code::Overloaded, words) }
    }

    /// The hub shuts down; its successor may accept the client soon.
    pub fn shutting_down() -> Self {
        Self { retry_after: Some(1), ..Self::new(Code::ShuttingDown, "The hub is shutting down") }
    }

    /// A defect, or an actor that ended without a reply; nothing was changed. Add the [cause](Fault::caused_by): the
    /// log line of the refusal shows it.
    pub fn internal() -> Self {
        Self::new(Code::Internal, "Internal error")
    }

    /// The work began and its result is unknown: the actor or thread that did it ended or does not reply.
    pub fn outcome_unknown() -> Self {
        Self::new(Code::OutcomeUnknown, "The outcome is unknown: the request may have been carried out")
    }

    /// The `details` of an error body: the field, the limit's key, and the wait in seconds.
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

/// Longest origin or host in the log, in bytes.
const AUTHORITY_MAX: usize = 200;

/// An `Origin` or a `Host` for the log: the scheme, the host and the port. A path, a query and user information can contain a
/// secret.
fn authority(name: &'static str, value: Option<&[u8]>) -> Option<(&'static str, String)> {
    const INVALID: &str = "[invalid]";
    let value = std::str::from_utf8(value?).unwrap_or(INVALID);
    let (scheme, rest) = match value.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, value),
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]+".contains(&byte));
    let is_valid =
        is_plain(host) && scheme.is_none_or(is_plain) && (name == "host" || scheme.is_some() || value == "null");
    let shown = match scheme {
        _ if !is_valid || value.len() > AUTHORITY_MAX => INVALID.to_owned(),
        Some(scheme) => format!("{scheme}://{host}"),
        None => host.to_owned(),
    };
    Some((name, shown))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        self.cause().map_or(Ok(()), |cause| write!(f, " ({cause})"))
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_the_scheme_and_the_host_of_a_refused_origin_and_nothing_else() {
        let long = format!("https://{}", "a".repeat(200));
        for (sent, logged) in [
            ("https://evil.example:8443", "https://evil.example:8443"),
            ("https://evil.example/?token=secret", "https://evil.example"),
            ("https://user:secret@evil.example#a", "https://evil.example"),
            ("null", "null"),
            ("file://", "file://"),
            ("http://[::1]:80", "http://[::1]:80"),
            ("full-key-0123456789", "[invalid]"),
            ("12|opaque", "[invalid]"),
            ("https://evil example", "[invalid]"),
            (&long, "[invalid]"),
        ] {
            let fault = Fault::origin_not_allowed(Some(sent.as_bytes()));
            assert_eq!(fault.header(), Some(("origin", logged)), "{sent}");
        }
        assert_eq!(Fault::origin_not_allowed(Some(b"https://\xff")).header(), Some(("origin", "[invalid]")));
        assert_eq!(Fault::origin_not_allowed(None).header(), None);
        for (sent, logged) in
            [("hub.example:81", "hub.example:81"), ("user:pw@hub.example", "hub.example"), ("a b", "[invalid]")]
        {
            assert_eq!(Fault::host_not_allowed(Some(sent.as_bytes())).header(), Some(("host", logged)), "{sent}");
        }
    }
}
