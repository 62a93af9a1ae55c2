//! `Origin` and `Host`: the pages that may connect.

use hubbub::peer::{AllowedHosts, AllowedOrigins, OriginAccess};

use super::lines;

fn allowed(entries: &[&str]) -> AllowedOrigins {
    let entries: Vec<_> = entries.iter().map(|&entry| entry.to_owned()).collect();
    AllowedOrigins::parse(&entries).expect("origins")
}

/// The value of `Origin`, a line break, and the value of `Host`.
pub(crate) fn origins(bytes: &[u8]) {
    let [origin, host] = lines(bytes).map(|part: &[u8]| String::from_utf8_lossy(part).into_owned());
    let (origin, host) = (origin.as_str(), host.as_str());
    let (none, some) = (allowed(&[]), allowed(&["https://app.example", "http://localhost:3000", "app://desktop"]));
    let any = allowed(&["*"]);
    let passes = none.allows(Some(origin), Some(host));
    for list in [&none, &any] {
        let access = list.clone().with_credentials(true).check(Some(origin), Some(host));
        assert_ne!(access, OriginAccess::Allowed { credentials: true }, "credentials without a listed origin");
    }

    assert!(none.allows(None, Some(host)), "a request without an origin is not from a browser");
    assert!(any.allows(Some(origin), Some(host)) && any.allows_any() && !some.allows_any());
    if passes {
        assert!(some.allows(Some(origin), Some(host)), "a list removes no permission");
        let (scheme, rest) = origin.split_once("://").expect("an origin");
        assert!(["http", "https", "ws", "wss"].contains(&scheme.to_ascii_lowercase().as_str()));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        assert!(!authority.contains('@'), "user information is not part of the host");
        assert_eq!(host_of(authority), host_of(host.trim()), "only pages of the same host");
        assert!(!none.allows(Some(origin), Some(&format!("other.{host}"))));
        assert!(!none.allows(Some(&format!("{scheme}://evil.example.{rest}")), Some(host)) || rest.starts_with('['));
    }
    assert!(!none.allows(Some(origin), None), "without a host there is no same origin");
    assert!(!none.allows(Some(origin), Some("")));
    let listed = some.allows(Some(origin), None);
    let is_ascii = origin.is_ascii() && host.is_ascii();
    if is_ascii {
        assert_eq!(none.allows(Some(&origin.to_ascii_uppercase()), Some(&host.to_ascii_uppercase())), passes);
        assert_eq!(some.allows(Some(&origin.to_ascii_uppercase()), None), listed);
    }
    if listed {
        let authority = origin.split_once("://").map(|(_, rest)| host_of(rest));
        assert!(["app.example", "localhost", "desktop"].map(Some).contains(&authority.as_deref()), "{authority:?}");
    }

    let named = AllowedHosts::parse(&["hub.example".to_owned()]).expect("a host");
    if named.allows(Some(host)) {
        assert_eq!(host_of(host.trim()).trim_end_matches('.'), "hub.example", "only listed names");
    }
    let requested = host_of(host.trim());
    assert!(
        !named.allows_health_check(Some(host)) || named.allows(Some(host)) || is_address(&requested),
        "{requested}"
    );

    if let Ok(own) = AllowedOrigins::parse(&[origin.to_owned()]) {
        let listed = origin.trim();
        assert!(own.allows(Some(listed), None), "a listed origin passes");
        let access = own.clone().with_credentials(true).check(Some(listed), Some(host));
        let credentials = !["*", "null"].contains(&listed) && !listed.to_ascii_lowercase().starts_with("file:");
        assert_eq!(access, OriginAccess::Allowed { credentials }, "only listed servers get credentials");
        assert!(own.allows_any() == (origin.trim() == "*"));
    }
}

fn is_address(host: &str) -> bool {
    host.parse::<std::net::IpAddr>().is_ok()
}

/// The host of an authority without the port, in lower case; an IPv6 address in canonical form.
fn host_of(authority: &str) -> String {
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    if let Some((address, _)) = authority.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        return address
            .parse::<std::net::Ipv6Addr>()
            .map_or_else(|_| address.to_owned(), |address| address.to_string());
    }
    authority.split(':').next().unwrap_or_default().to_owned()
}
