//! The allowed names in `Host` (`server.hosts`), against DNS rebinding: a page of another name that resolves to the hub's
//! address has the same origin as the hub for its browser, but its name is not in the list.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::authority::split_authority;

/// Most names.
const NAMES_MAX: usize = 256;
/// Longest name, bytes.
const NAME_MAX: usize = 253;

/// The allowed host names. An empty list allows any name.
#[derive(Debug, Clone, Default)]
pub struct AllowedHosts {
    names: Vec<String>,
}

impl AllowedHosts {
    /// Parses host names and addresses without a port; at most 256 of at most 253 bytes.
    ///
    /// # Errors
    /// The first invalid entry, or the first beyond the bound.
    pub fn parse(entries: &[String]) -> Result<Self, super::BadEntry> {
        if let Some(entry) = entries.get(NAMES_MAX) {
            return Err(super::BadEntry { index: NAMES_MAX, entry: entry.clone(), reason: "is one more than 256" });
        }
        let names = super::parse_all(entries, |entry| {
            let address = entry.parse::<Ipv6Addr>().map(|address| format!("[{address}]"));
            let name = match address {
                Ok(address) => Some(address),
                Err(_) => split_authority(entry).filter(|(_, port)| port.is_none()).map(|(name, _)| name),
            };
            let name = name.filter(|name| name.len() <= NAME_MAX);
            name.map(without_last_dot)
                .ok_or("is no host name like hub.example.com and no address, without scheme and port")
        })?;
        Ok(Self { names })
    }

    /// Whether a request with this `Host` is served. The port does not matter.
    pub fn allows(&self, host: Option<&str>) -> bool {
        self.names.is_empty() || host.and_then(name_of).is_some_and(|name| self.names.contains(&name))
    }

    /// As [`Self::allows`], for a health check, which may also use an address or omit `Host`. DNS rebinding needs a name.
    pub fn allows_health_check(&self, host: Option<&str>) -> bool {
        self.allows(host) || host.is_none_or(|host| name_of(host).is_some_and(|name| is_address(&name)))
    }
}

/// The name in a `Host`, in lower case, without its port.
fn name_of(host: &str) -> Option<String> {
    split_authority(host.trim()).map(|(name, _)| without_last_dot(name))
}

/// Removes the dot that a fully qualified name may end with.
fn without_last_dot(mut name: String) -> String {
    if name.ends_with('.') {
        name.pop();
    }
    name
}

fn is_address(name: &str) -> bool {
    name.starts_with('[') || name.parse::<Ipv4Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(entries: &[&str]) -> AllowedHosts {
        let entries: Vec<String> = entries.iter().map(|&entry| entry.into()).collect();
        AllowedHosts::parse(&entries).unwrap()
    }

    #[test]
    fn a_host_matches_a_name_with_any_port() {
        let list = hosts(&["hub.example", "Other.Example.", "10.0.0.7", "::1", "[fd00::2]"]);
        for (host, allows) in [
            (Some("hub.example"), true),
            (Some("HUB.example:8081"), true),
            (Some("hub.example."), true),
            (Some("other.example:443"), true),
            (Some("10.0.0.7:8081"), true),
            (Some("[0:0::1]:8081"), true),
            (Some("[fd00::2]"), true),
            (Some("evil.example"), false),
            (Some("hub.example.evil.example"), false),
            (Some("sub.hub.example"), false),
            (Some("hub.example@evil.example"), false),
            (Some("hub.example:port"), false),
            (Some("10.0.0.8"), false),
            (Some("[::2]"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(list.allows(host), allows, "{host:?}");
            assert!(AllowedHosts::default().allows(host), "{host:?}");
        }
    }

    #[test]
    fn a_health_check_may_use_any_address() {
        let list = hosts(&["hub.example"]);
        for host in [Some("10.0.0.8:8081"), Some("[fd00::3]:8081"), Some("hub.example"), None] {
            assert!(list.allows_health_check(host), "{host:?}");
        }
        for host in ["evil.example", "10.0.0.8.evil.example", "2130706433", "", "[evil]"] {
            assert!(!list.allows_health_check(Some(host)), "{host}");
        }
    }

    #[test]
    fn an_invalid_host_is_named() {
        let long = "a".repeat(254);
        for bad in
            ["", "*", "https://hub.example", "hub.example:8081", "hub example", "hub.example/", "bücher.example", &long]
        {
            let entries = ["hub.example".to_owned(), bad.to_owned()];
            let error = AllowedHosts::parse(&entries).unwrap_err();
            assert_eq!((error.index, error.entry.as_str()), (1, bad));
        }
        let many = vec!["hub.example".to_owned(); 257];
        assert_eq!(AllowedHosts::parse(&many).unwrap_err().index, 256);
        assert!(AllowedHosts::parse(&many[..256]).is_ok());
    }
}
