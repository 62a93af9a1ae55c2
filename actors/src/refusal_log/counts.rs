//! Counts refusals by code, and refused connections by surface and reason. The labels are closed sets, so clients
//! cannot create labels.

use crate::model::fault::Code;
use crate::model::surface::Surface;
use crate::runtime::count::Count;

/// Where a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedAt {
    /// At `/ws`.
    Raw,
    /// At the handshake of Socket.IO, or before its namespace is known.
    SocketIo,
    /// At the namespace `/`.
    Root,
    /// At the namespace `/chat`.
    Chat,
    /// At accept, or at another path.
    Http,
}

impl RefusedAt {
    /// All values.
    pub const ALL: [Self; 5] = [Self::Raw, Self::SocketIo, Self::Root, Self::Chat, Self::Http];

    /// The name in the log and in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => Surface::Raw.as_str(),
            Self::SocketIo => "socket.io",
            Self::Root => Surface::Root.as_str(),
            Self::Chat => Surface::Chat.as_str(),
            Self::Http => "http",
        }
    }
}

impl From<Surface> for RefusedAt {
    fn from(surface: Surface) -> Self {
        match surface {
            Surface::Raw => Self::Raw,
            Surface::Root => Self::Root,
            Surface::Chat => Self::Chat,
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The reason for a refused connection. Each reason needs a different action by the operator.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// All values.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The label.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

reasons! {
    /// The page's origin is not allowed.
    Origin = "origin",
    /// `Host` is not a name of the hub.
    Host = "host",
    /// The token is missing or invalid.
    Token = "token",
    /// The API key or the signature is invalid.
    Key = "key",
    /// The token does not permit the connection.
    Permission = "permission",
    /// A rate limit is exceeded.
    RateLimit = "rate_limit",
    /// A limit of simultaneous connections or sessions is reached.
    Limit = "limit",
    /// `server.max_connections` is reached.
    Full = "full",
    /// The request is malformed.
    Malformed = "malformed",
    /// The requested name does not exist.
    NotFound = "not_found",
    /// The request did not arrive in time.
    Timeout = "timeout",
    /// The hub shuts down.
    Draining = "draining",
    /// A service that the hub needs does not reply.
    Unavailable = "unavailable",
    /// A defect of the hub.
    Error = "error",
}

impl Reason {
    /// The reason for a code.
    pub const fn of(code: Code) -> Self {
        match code {
            Code::OriginNotAllowed => Self::Origin,
            Code::HostNotAllowed => Self::Host,
            Code::InvalidToken
            | Code::TokenExpired
            | Code::TokenRevoked
            | Code::Unauthenticated
            | Code::InvalidCredentials => Self::Token,
            Code::Unauthorized | Code::InvalidApiKey | Code::InvalidSignature => Self::Key,
            Code::Forbidden => Self::Permission,
            Code::RateLimited => Self::RateLimit,
            Code::LimitReached => Self::Limit,
            Code::ServerFull => Self::Full,
            Code::InvalidRequest
            | Code::MethodNotAllowed
            | Code::UpgradeRequired
            | Code::Conflict
            | Code::PayloadTooLarge
            | Code::UriTooLong
            | Code::HeadersTooLarge
            | Code::UnsupportedEncoding => Self::Malformed,
            Code::NotFound => Self::NotFound,
            Code::RequestTimeout => Self::Timeout,
            Code::ShuttingDown => Self::Draining,
            Code::AuthUnavailable | Code::Overloaded | Code::StoreUnavailable | Code::OutcomeUnknown => {
                Self::Unavailable
            }
            Code::Internal => Self::Error,
        }
    }
}

/// One counter for each code.
#[derive(Debug)]
pub struct ByCode(Box<[Count]>);

impl Default for ByCode {
    fn default() -> Self {
        Self(Code::ALL.iter().map(|_| Count::default()).collect())
    }
}

impl ByCode {
    /// Counts a refusal.
    pub fn count(&self, code: Code) {
        if let Some(count) = self.0.get(code as usize) {
            count.add(1);
        }
    }

    /// The counts by the names that clients receive. Zeros are included: a rate shows the first refusal only after a 0.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let mut sums: Vec<(&'static str, u64)> = Vec::new();
        for (code, count) in Code::ALL.iter().zip(&self.0) {
            // Several codes can have the same name.
            match sums.iter_mut().find(|(name, _)| *name == code.as_str()) {
                Some((_, sum)) => *sum += count.get(),
                None => sums.push((code.as_str(), count.get())),
            }
        }
        sums.into_iter()
    }
}

/// One counter for each surface and each reason.
#[derive(Debug)]
pub struct RefusedConnections(Box<[Count]>);

impl Default for RefusedConnections {
    fn default() -> Self {
        Self((0..RefusedAt::ALL.len() * Reason::ALL.len()).map(|_| Count::default()).collect())
    }
}

impl RefusedConnections {
    /// Counts a refused connection.
    pub fn count(&self, at: RefusedAt, reason: Reason) {
        if let Some(count) = self.0.get(at as usize * Reason::ALL.len() + reason as usize) {
            count.add(1);
        }
    }

    /// The number of all refused connections.
    pub fn get(&self) -> u64 {
        self.0.iter().map(Count::get).sum()
    }

    /// The counts, zeros included.
    pub fn iter(&self) -> impl Iterator<Item = (RefusedAt, Reason, u64)> {
        let labels = RefusedAt::ALL.into_iter().flat_map(|at| Reason::ALL.iter().map(move |&reason| (at, reason)));
        labels.zip(&self.0).map(|((at, reason), count)| (at, reason, count.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_connections_are_counted_by_surface_and_reason() {
        let refused = RefusedConnections::default();
        for at in RefusedAt::ALL {
            for &reason in Reason::ALL {
                refused.count(at, reason);
            }
        }
        refused.count(RefusedAt::Chat, Reason::Token);
        let all: Vec<_> = refused.iter().collect();
        assert_eq!(all.len(), RefusedAt::ALL.len() * Reason::ALL.len());
        let twice: Vec<_> = all.into_iter().filter(|&(_, _, count)| count == 2).collect();
        assert_eq!(twice, [(RefusedAt::Chat, Reason::Token, 2)]);
        assert_eq!(refused.get(), 71);
    }

    #[test]
    fn codes_with_the_same_client_name_share_one_count() {
        let counts = ByCode::default();
        for code in [Code::InvalidToken, Code::TokenRevoked, Code::Forbidden, Code::OriginNotAllowed, Code::Internal] {
            counts.count(code);
        }
        let names = Code::ALL.iter().map(|code| code.as_str()).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(counts.iter().count(), names.len());
        let counted: Vec<_> = counts.iter().filter(|&(_, count)| count > 0).collect();
        assert_eq!(counted, [("INVALID_TOKEN", 2), ("FORBIDDEN", 2), ("INTERNAL_ERROR", 1)]);
    }
}
