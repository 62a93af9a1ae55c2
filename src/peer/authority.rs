//! The authority of a URL, as it is in `Origin` and `Host`.

use std::net::Ipv6Addr;

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`. The host is in lower case, an IPv6 address in its canonical form.
pub(super) fn split_authority(text: &str) -> Option<(String, Option<u16>)> {
    if let Some(inner) = text.strip_prefix('[') {
        let (address, rest) = inner.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        let port = match rest {
            "" => None,
            _ => Some(parse_port(rest.strip_prefix(':')?)?),
        };
        return Some((format!("[{address}]"), port));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(parse_port(port)?)),
        None => (text, None),
    };
    let named = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    if host.is_empty() || !host.chars().all(named) {
        return None;
    }
    Some((host.to_ascii_lowercase(), port))
}

/// A port in digits. `str::parse` alone would accept a sign.
fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}
