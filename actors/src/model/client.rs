//! The client of a connection: its address and its `User-Agent`. Neither identifies the user or decides anything.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use ahash::AHashSet;

/// Longest stored `User-Agent`, in characters; a longer one is cut.
pub const USER_AGENT_MAX: usize = 256;

/// Most shared user agents, at most 1 KiB each. Beyond this bound, each session has its own copy.
pub const USER_AGENTS_MAX: usize = 2_048;

/// The client of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its address, behind trusted proxies; `None` where it is unknown.
    pub address: Option<IpAddr>,
    /// Its `User-Agent`, at most [`USER_AGENT_MAX`] characters, as sent.
    pub user_agent: Option<Arc<str>>,
}

/// The user agents of connected clients, each stored once. Shared by all workers and read once a handshake.
#[derive(Debug, Default)]
pub struct UserAgents(Mutex<AHashSet<Arc<str>>>);

impl UserAgents {
    /// The text of a `User-Agent`, cut where it is too long; `None` for an empty one. Invalid UTF-8 is replaced.
    pub fn share(&self, header: &[u8]) -> Option<Arc<str>> {
        // A character has at most 4 bytes, so the cut below removes all later bytes anyway.
        let text = String::from_utf8_lossy(header.get(..4 * USER_AGENT_MAX).unwrap_or(header));
        let end = text.char_indices().nth(USER_AGENT_MAX).map_or(text.len(), |(end, _)| end);
        let text = text.get(..end).unwrap_or_default().trim();
        if text.is_empty() {
            return None;
        }
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shared.get(text) {
            return Some(known.clone());
        }
        let text: Arc<str> = text.into();
        if shared.len() >= USER_AGENTS_MAX {
            shared.retain(|kept| Arc::strong_count(kept) > 1);
        }
        if shared.len() < USER_AGENTS_MAX {
            shared.insert(text.clone());
        }
        Some(text)
    }
}

/// The key of an address in limits: the /64 of an IPv6 address, because one host has a whole /64.
pub fn limit_key(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_count_an_ipv6_host_once() {
        for (address, key) in [
            ("203.0.113.7", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2::", "2001:db8:1:2::"),
        ] {
            assert_eq!(limit_key(address.parse().unwrap()), key.parse::<IpAddr>().unwrap());
        }
    }

    #[test]
    fn equal_user_agents_are_stored_once() {
        let agents = UserAgents::default();
        let (one, other) = (agents.share(b"curl/8").unwrap(), agents.share(b" curl/8 ").unwrap());
        assert!(Arc::ptr_eq(&one, &other));
        assert_eq!(&*one, "curl/8");
    }

    #[test]
    fn a_long_user_agent_is_cut_and_an_empty_one_is_none() {
        let agents = UserAgents::default();
        let long = "ü".repeat(USER_AGENT_MAX + 1);
        assert_eq!(*agents.share(long.as_bytes()).unwrap(), *"ü".repeat(USER_AGENT_MAX));
        assert_eq!(agents.share(&[b'a'; 100_000]).unwrap().len(), USER_AGENT_MAX);
        assert_eq!(agents.share(b"a\xffb").as_deref(), Some("a\u{fffd}b"));
        assert_eq!(agents.share(b" \t"), None);
        assert_eq!(agents.share(b""), None);
    }

    #[test]
    fn a_full_table_evicts_unused_user_agents_and_keeps_its_bound() {
        let agents = UserAgents::default();
        let held: Vec<_> = (0..USER_AGENTS_MAX).filter_map(|n| agents.share(n.to_string().as_bytes())).collect();
        let (one, other) = (agents.share(b"new").unwrap(), agents.share(b"new").unwrap());
        assert!(!Arc::ptr_eq(&one, &other), "the table was full");
        drop(held);
        let (one, other) = (agents.share(b"new").unwrap(), agents.share(b"new").unwrap());
        assert!(Arc::ptr_eq(&one, &other));
        assert_eq!(agents.0.lock().unwrap().len(), 1);
    }
}
