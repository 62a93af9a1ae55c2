//! The source of a request: the client's address behind proxies, the host it names, and the origin of its page.
//!
//! These are pure rules over headers and the peer's address, the same for plain HTTP and WebSockets. They know no limits and
//! no sockets. The configuration uses the same types to check its entries.

mod address;
mod authority;
mod base_path;
mod hosts;
mod origin;

use std::fmt;

pub use address::{ClientAddress, TrustedProxies};
pub use base_path::BasePath;
pub use hosts::AllowedHosts;
pub use hubbub_actors::model::client::limit_key;
pub use origin::{AllowedOrigins, OriginAccess};

/// An invalid entry of a configured list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadEntry {
    /// Its index in the list.
    pub index: usize,
    /// Its text.
    pub entry: String,
    /// What is wrong with it: "is neither …".
    pub reason: &'static str,
}

impl fmt::Display for BadEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.entry, self.reason)
    }
}

impl std::error::Error for BadEntry {}

/// Whether `text` is a token (RFC 9110 section 5.6.2), as the names of headers and subprotocols are.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Parses every entry of a configured list, or returns the first invalid one.
fn parse_all<T>(entries: &[String], parse: impl Fn(&str) -> Result<T, &'static str>) -> Result<Vec<T>, BadEntry> {
    let parsed = entries
        .iter()
        .enumerate()
        .map(|(index, entry)| parse(entry.trim()).map_err(|reason| BadEntry { index, entry: entry.clone(), reason }));
    parsed.collect()
}
