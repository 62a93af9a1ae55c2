//! The client's address. Any client can send `X-Forwarded-For`, so it counts only from trusted proxies.

use std::net::{IpAddr, SocketAddr};

use actix_http::header::HeaderMap;
use ipnet::{IpNet, Ipv4Net};

/// The header to which each proxy appends the address of its peer.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Its standard replacement (RFC 7239). The hub does not read it.
const FORWARDED: &str = "forwarded";

/// Any of these headers means that a proxy forwarded the request.
const FORWARDING: [&str; 3] = [FORWARDED_FOR, FORWARDED, "x-real-ip"];

/// The address of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress {
    /// The address; never an IPv4 address mapped to IPv6.
    pub ip: IpAddr,
    /// Whether the peer is this machine and forwards for no other client.
    pub direct_loopback: bool,
}

/// The proxies that are trusted to send `X-Forwarded-For`.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies {
    nets: Vec<IpNet>,
}

impl TrustedProxies {
    /// Trusts parsed blocks.
    pub fn new(nets: impl IntoIterator<Item = IpNet>) -> Self {
        Self { nets: nets.into_iter().map(canonical_net).collect() }
    }

    /// Parses addresses and CIDR blocks.
    ///
    /// # Errors
    /// The first entry that is neither.
    pub fn parse(entries: &[String]) -> Result<Self, super::BadEntry> {
        let nets = super::parse_all(entries, |entry| {
            let address = entry.parse::<IpAddr>().map(IpNet::from);
            address.or_else(|_| entry.parse()).map_err(|_| "is neither an address nor a CIDR block like 10.0.0.0/8")
        })?;
        Ok(Self::new(nets))
    }

    /// The client's address: if the peer is a trusted proxy, the right-most address of `X-Forwarded-For` that is not one.
    ///
    /// Several such headers form one list in their order (RFC 9110, section 5.3). An invalid entry ends the search at the
    /// entry to its right, or at the peer.
    pub fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let peer = peer.to_canonical();
        let mut ip = peer;
        let mut entries =
            headers.get_all(FORWARDED_FOR).rev().flat_map(|header| header.as_bytes().rsplit(|&byte| byte == b','));
        while self.trusts(ip) {
            match entries.next().and_then(forwarded_address) {
                Some(address) => ip = address,
                None => break,
            }
        }
        let forwarded = FORWARDING.iter().any(|&name| headers.contains_key(name));
        ClientAddress { ip, direct_loopback: peer.is_loopback() && !forwarded }
    }

    /// Whether a request has a forwarding header that is ignored because `peer` is not trusted.
    pub fn is_ignored(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        let has_header = headers.contains_key(FORWARDED_FOR) || headers.contains_key(FORWARDED);
        has_header && !self.trusts(peer)
    }

    /// Whether `ip` is a trusted proxy.
    pub fn trusts(&self, ip: IpAddr) -> bool {
        self.nets.iter().any(|net| net.contains(&ip))
    }
}

/// An entry of the list: an address, with or without brackets and port.
fn forwarded_address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let address = text.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address: IpAddr = address.ok().or_else(bracketed)?;
    Some(address.to_canonical())
}

/// A block of IPv4 addresses written as IPv6 (`::ffff:10.0.0.0/104`), as an IPv4 block.
fn canonical_net(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else {
        return net;
    };
    let v4 = v6.addr().to_ipv4_mapped().and_then(|address| {
        let prefix = v6.prefix_len().checked_sub(96)?;
        Ipv4Net::new(address, prefix).ok()
    });
    v4.map_or(net, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use actix_http::header::{HeaderName, HeaderValue};

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            map.append(HeaderName::from_static(name), value);
        }
        map
    }

    fn proxies(entries: &[&str]) -> TrustedProxies {
        let entries: Vec<String> = entries.iter().map(|&entry| entry.into()).collect();
        TrustedProxies::parse(&entries).unwrap()
    }

    #[test]
    fn the_client_is_the_right_most_address_that_is_no_trusted_proxy() {
        let trusted = proxies(&["10.0.0.0/8", "127.0.0.1", "fd00::/8", "::ffff:192.168.0.0/112"]);
        for (peer, forwarded, client) in [
            ("10.0.0.1", &["203.0.113.7"][..], "203.0.113.7"),
            ("10.0.0.1", &["6.6.6.6, 203.0.113.7"], "203.0.113.7"),
            ("10.0.0.1", &["6.6.6.6, 203.0.113.7, 10.1.1.1"], "203.0.113.7"),
            ("10.0.0.1", &["6.6.6.6", "203.0.113.7", "10.2.2.2,fd00::1"], "203.0.113.7"),
            ("203.0.113.9", &["6.6.6.6"], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
            ("10.0.0.1", &["203.0.113.7:4711"], "203.0.113.7"),
            ("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]"], "2001:db8::7"),
            ("10.0.0.1", &["2001:db8::7"], "2001:db8::7"),
            ("10.0.0.1", &["::ffff:203.0.113.7"], "203.0.113.7"),
            ("::ffff:10.0.0.1", &["203.0.113.7"], "203.0.113.7"),
            ("192.168.0.9", &["203.0.113.7"], "203.0.113.7"),
            ("10.0.0.1", &["203.0.113.7, unknown, 10.2.2.2"], "10.2.2.2"),
            ("10.0.0.1", &["203.0.113.7, , 10.2.2.2"], "10.2.2.2"),
            ("10.0.0.1", &["203.0.113.7,"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.7", ""], "10.0.0.1"),
            ("10.0.0.1", &["not an address"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.7:port"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.7, \u{fc}"], "10.0.0.1"),
            ("127.0.0.1", &[" 203.0.113.7\t"], "203.0.113.7"),
        ] {
            let pairs: Vec<_> = forwarded.iter().map(|&value| (FORWARDED_FOR, value)).collect();
            let found = trusted.client_address(ip(peer), &headers(&pairs));
            assert_eq!(found.ip, ip(client), "{peer} for {forwarded:?}");
        }
    }

    #[test]
    fn without_trusted_proxies_the_header_is_ignored() {
        let found =
            TrustedProxies::default().client_address(ip("127.0.0.1"), &headers(&[(FORWARDED_FOR, "203.0.113.7")]));
        assert_eq!(found.ip, ip("127.0.0.1"));
    }

    #[test]
    fn direct_loopback_is_a_loopback_peer_without_forwarding_headers() {
        for (peer, pairs, direct) in [
            ("127.0.0.1", &[][..], true),
            ("127.8.8.8", &[], true),
            ("::1", &[], true),
            ("::ffff:127.0.0.1", &[], true),
            ("127.0.0.1", &[("host", "localhost")], true),
            ("127.0.0.1", &[("x-forwarded-for", "127.0.0.1")], false),
            ("127.0.0.1", &[("x-forwarded-for", "")], false),
            ("127.0.0.1", &[("forwarded", "for=203.0.113.7")], false),
            ("127.0.0.1", &[("x-real-ip", "203.0.113.7")], false),
            ("203.0.113.7", &[], false),
        ] {
            let found = proxies(&["127.0.0.1"]).client_address(ip(peer), &headers(pairs));
            assert_eq!(found.direct_loopback, direct, "{peer} with {pairs:?}");
        }
    }

    #[test]
    fn a_forwarding_header_of_a_peer_that_is_not_trusted_is_ignored() {
        let trusted = proxies(&["10.0.0.0/8"]);
        for (peer, pairs, ignored) in [
            ("10.0.0.1", &[("x-forwarded-for", "203.0.113.7")][..], false),
            ("127.0.0.1", &[("x-forwarded-for", "203.0.113.7")], true),
            ("192.168.0.1", &[("forwarded", "for=203.0.113.7")], true),
            ("192.168.0.1", &[("host", "localhost")], false),
        ] {
            assert_eq!(trusted.is_ignored(ip(peer), &headers(pairs)), ignored, "{peer} with {pairs:?}");
        }
    }

    #[test]
    fn an_invalid_address_or_block_is_named() {
        for bad in ["localhost", "10.0.0.0/33", "10.0.0", "*", "", "10.0.0.1:80"] {
            let entries = ["10.0.0.0/8".to_owned(), bad.to_owned()];
            let error = TrustedProxies::parse(&entries).unwrap_err();
            assert_eq!((error.index, error.entry.as_str()), (1, bad));
        }
    }
}
