//! Where a request comes from: the client's address behind proxies, and the page that a browser sends it for.
//!
//! Pure policies over what came with the handshake, the same for plain HTTP and for WebSockets. Knows no limit and no
//! socket: it is told the peer's address and the headers.

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
pub use origin::{Access, AllowedOrigins};

/// An entry of a configured list that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadEntry {
    /// Its place in the list, from 0.
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

/// Whether `text` is a token (RFC 9110 section 5.6.2), as the names of headers and of subprotocols are.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Reads every entry of a configured list, or names the first that cannot be read.
fn parse_all<T>(entries: &[String], parse: impl Fn(&str) -> Result<T, &'static str>) -> Result<Vec<T>, BadEntry> {
    let parsed = entries
        .iter()
        .enumerate()
        .map(|(index, entry)| parse(entry.trim()).map_err(|reason| BadEntry { index, entry: entry.clone(), reason }));
    parsed.collect()
}
