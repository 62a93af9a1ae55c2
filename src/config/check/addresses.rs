//! Checks the addresses in `[server]`: the listening host, the accepted hosts, the base path and the allowed origins.

use std::net::Ipv6Addr;

use super::Problems;
use crate::config::Server;
use crate::peer::{AllowedHosts, AllowedOrigins, BadEntry, BasePath};

impl Problems {
    pub(super) fn addresses(&mut self, server: &Server) {
        self.listening_host(&server.host);
        self.entry("server.allowed_origins", AllowedOrigins::parse(&server.allowed_origins).err());
        self.entry("server.hosts", AllowedHosts::parse(&server.hosts).err());
        if let Err(expected) = BasePath::parse(&server.base_path) {
            self.add("server.base_path", format!("{expected}, got {:?}", server.base_path));
        }
    }

    /// `::1` and `[::1]` are equal.
    fn listening_host(&mut self, host: &str) {
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
            self.add("server.host", format!("expected an address or a host name, got {host:?}"));
        }
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let address = bare.split('%').next().unwrap_or_default();
        if host.contains([':', '[', ']']) && address.parse::<Ipv6Addr>().is_err() {
            self.add("server.host", format!("expected an address or a host name without a port, got {host:?}"));
        }
    }

    fn entry(&mut self, key: &str, bad: Option<BadEntry>) {
        if let Some(bad) = bad {
            self.add(format!("{key}[{}]", bad.index), bad.to_string());
        }
    }
}
