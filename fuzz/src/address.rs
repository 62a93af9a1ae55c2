//! The client's address behind proxies: only a trusted proxy can set it.

use std::net::{IpAddr, Ipv6Addr};

use actix_http::header::{HeaderMap, HeaderName, HeaderValue};
use hubbub::peer::{TrustedProxies, limit_key};

use super::lines;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The peer's address, and on the next lines the values of `X-Forwarded-For`. Other headers have
/// their name and a colon before the value.
pub(crate) fn client_address(bytes: &[u8]) {
    let [peer, values] = lines(bytes);
    let Some(peer) = std::str::from_utf8(peer).ok().and_then(|peer| peer.trim().parse::<IpAddr>().ok()) else {
        let entries = [String::from_utf8_lossy(bytes).into_owned()];
        if let Ok(proxies) = TrustedProxies::parse(&entries) {
            let direct = proxies.client_address(Ipv6Addr::LOCALHOST.into(), &HeaderMap::new());
            assert!(direct.direct_loopback);
        }
        return;
    };
    let entries = ["10.0.0.0/8", "127.0.0.1", "fd00::/8", "::ffff:192.168.0.0/112"].map(String::from);
    let proxies = TrustedProxies::parse(&entries).expect("addresses and blocks");
    let headers = headers(values.split(|&byte| byte == b'\n'));
    let found = proxies.client_address(peer, &headers);

    assert_eq!(found.ip, found.ip.to_canonical());
    let peer_itself = peer.to_canonical();
    if !is_trusted(peer_itself) {
        assert_eq!(found.ip, peer_itself, "only a trusted peer can set the address");
    }
    assert_eq!(found.direct_loopback, peer_itself.is_loopback() && headers.is_empty());
    let without = TrustedProxies::default().client_address(peer, &headers);
    assert_eq!((without.ip, without.direct_loopback), (peer_itself, found.direct_loopback));

    if headers.contains_key(&FORWARDED_FOR) {
        // The client can write all values left of the first untrusted address.
        let mut forged = HeaderMap::new();
        forged.append(FORWARDED_FOR, HeaderValue::from_static("6.6.6.6, 10.6.6.6"));
        for value in headers.get_all(FORWARDED_FOR) {
            forged.append(FORWARDED_FOR, value.clone());
        }
        let forged = proxies.client_address(peer, &forged);
        if is_trusted(found.ip) {
            assert!(forged.ip == found.ip || forged.ip == IpAddr::from([6, 6, 6, 6]));
        } else {
            assert_eq!(forged.ip, found.ip);
        }
        // One more trusted proxy on the right changes nothing.
        let mut behind_one_more = HeaderMap::new();
        for value in headers.get_all(FORWARDED_FOR) {
            behind_one_more.append(FORWARDED_FOR, value.clone());
        }
        if let Ok(value) = HeaderValue::from_str(&peer.to_string()) {
            behind_one_more.append(FORWARDED_FOR, value);
            let one_more = proxies.client_address(IpAddr::from([10, 9, 9, 9]), &behind_one_more);
            assert_eq!(one_more.ip, found.ip);
        }
    }

    let key = limit_key(found.ip);
    assert_eq!(limit_key(key), key);
    assert!(key == found.ip || key.is_ipv6());
}

fn headers<'a>(values: impl Iterator<Item = &'a [u8]>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        let others = [HeaderName::from_static("forwarded"), HeaderName::from_static("x-real-ip")];
        let other = others
            .into_iter()
            .find_map(|name| Some((value.strip_prefix(name.as_str().as_bytes())?.strip_prefix(b":")?, name)));
        let (value, name) = other.unwrap_or((value, FORWARDED_FOR));
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    headers
}

/// Whether an address is one of the proxies of this target.
fn is_trusted(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => matches!(ip.octets(), [10, ..] | [127, 0, 0, 1] | [192, 168, ..]),
        IpAddr::V6(ip) => ip.octets()[0] == 0xFD,
    }
}
