//! The scopes of an API key: which endpoints the key opens. The route table names the scope of each endpoint.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! scopes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)*) => {
        /// What an API key may do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Scope {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $variant,)*
        }

        impl Scope {
            /// All scopes, for documentation and tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in the configuration.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What it allows, in Markdown.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($doc),+),)*
                }
            }
        }
    };
}

scopes! {
    /// Send events and notifications: `POST /api/push`, `/api/room`, `/api/broadcast`, `/api/batch`.
    Push = "push",
    /// End sessions and revoke tokens: `POST /api/disconnect`, `/api/revoke`. `disconnect` in a batch needs it too.
    Sessions = "sessions",
    /// Create accounts: `POST /api/users`.
    Users = "users",
    /// Create, change, delete and read chats: `PUT`, `DELETE`, `GET /api/chats/{chatId}`.
    Chats = "chats",
    /// Read chats: `GET /api/chats/{chatId}`.
    ChatsRead = "chats:read",
    /// Read rooms, their members and histories: `GET /api/rooms`, `/api/rooms/{room}`, `/api/rooms/{room}/history`.
    RoomsRead = "rooms:read",
    /// Read the presence of users: `GET /api/presence/{userId}`.
    PresenceRead = "presence:read",
    /// Read connection events: `GET /api/events`.
    EventsRead = "events:read",
    /// Read the state of the hub: `GET /api/status`.
    StatusRead = "status:read",
}

impl Scope {
    /// The scope that reading an endpoint of this scope needs.
    pub fn to_read(self) -> Self {
        match self {
            Self::Chats => Self::ChatsRead,
            other => other,
        }
    }

    /// Whether a key with this scope may do what `needed` allows.
    pub fn includes(self, needed: Self) -> bool {
        self == needed || self.to_read() == needed
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The scopes as a table in Markdown.
pub fn markdown() -> String {
    let row = |scope: &Scope| format!("| `{scope}` | {} |\n", scope.meaning().trim());
    String::from("| scope | allows |\n|---|---|\n") + &Scope::ALL.iter().map(row).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_includes_reading_and_nothing_else() {
        for &held in Scope::ALL {
            for &needed in Scope::ALL {
                let expected = held == needed || (held, needed) == (Scope::Chats, Scope::ChatsRead);
                assert_eq!(held.includes(needed), expected, "{held} for {needed}");
            }
        }
    }

    #[test]
    fn a_scope_is_read_by_its_name() {
        for scope in Scope::ALL {
            let name = serde_json::to_string(scope).unwrap();
            assert_eq!(name, format!("\"{scope}\""));
            assert_eq!(serde_json::from_str::<Scope>(&name).unwrap(), *scope);
        }
        assert!(serde_json::from_str::<Scope>("\"all\"").is_err());
    }
}
