//! Which pages may speak to the hub through a browser: the `Origin` header against a list (RFC 6454, section 7).

use std::net::Ipv6Addr;

/// The origins that may connect, beside the hub's own host.
#[derive(Debug, Clone, Default)]
pub struct AllowedOrigins {
    any: bool,
    listed: Vec<Origin>,
}

/// `scheme://host:port`, in lower case; the port is `None` only where the scheme has no usual one and none was given.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl AllowedOrigins {
    /// Reads origins like `https://example.com` or `http://localhost:3000`, or `*` for all. A slash at the end is passed over.
    ///
    /// # Errors
    /// The first entry that is neither.
    pub fn parse(entries: &[String]) -> Result<Self, super::BadEntry> {
        let parsed = super::parse_all(entries, |entry| match entry {
            "*" => Ok(None),
            _ => Origin::parse(entry.strip_suffix('/').unwrap_or(entry))
                .map(Some)
                .ok_or("is neither `*` nor an origin like https://example.com or http://localhost:3000"),
        })?;
        Ok(Self { any: parsed.iter().any(Option::is_none), listed: parsed.into_iter().flatten().collect() })
    }

    /// Whether every page may connect.
    pub fn allows_any(&self) -> bool {
        self.any
    }

    /// Whether a request with these headers may go on.
    ///
    /// Without `Origin` no browser sent it, and it passes. Otherwise the origin must be on the list, or be the host and
    /// port of `Host`, where a port that is not written is the usual one of the origin's scheme. What is no origin, `null`
    /// above all, passes only with `*`.
    pub fn allows(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else {
            return true;
        };
        if self.any {
            return true;
        }
        let Some(origin) = Origin::parse(origin) else {
            return false;
        };
        self.listed.contains(&origin) || host.is_some_and(|host| origin.is_same_host(host))
    }
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let named = scheme.starts_with(|first: char| first.is_ascii_alphabetic());
        let rest = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        if !named || !scheme.chars().all(rest) {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = split_authority(authority)?;
        Some(Self { port: port.or_else(|| usual_port(&scheme)), scheme, host })
    }

    /// A page of another kind than http (an extension, an app) has no host in our sense, whatever it calls itself.
    fn is_same_host(&self, host: &str) -> bool {
        let web = matches!(self.scheme.as_str(), "http" | "https");
        let Some((host, port)) = split_authority(host.trim()) else {
            return false;
        };
        web && self.host == host && self.port == port.or_else(|| usual_port(&self.scheme))
    }
}

fn usual_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`, the host in lower case and an IPv6 address in its one spelling.
fn split_authority(text: &str) -> Option<(String, Option<u16>)> {
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

/// Digits alone: `str::parse` would take a sign.
fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(entries: &[&str]) -> AllowedOrigins {
        let entries: Vec<String> = entries.iter().map(|&entry| entry.into()).collect();
        AllowedOrigins::parse(&entries).unwrap()
    }

    #[test]
    fn with_an_empty_list_only_pages_of_the_same_host_connect() {
        for (origin, host, passes) in [
            (None, Some("hub.example"), true),
            (None, None, true),
            (Some("http://hub.example"), Some("hub.example"), true),
            (Some("https://hub.example"), Some("hub.example"), true),
            (Some("https://hub.example"), Some("hub.example:443"), true),
            (Some("http://hub.example:80"), Some("hub.example"), true),
            (Some("http://Hub.Example"), Some("hUB.eXAMPLE"), true),
            (Some("http://localhost:8081"), Some("localhost:8081"), true),
            (Some("http://[::1]:8081"), Some("[0:0::1]:8081"), true),
            (Some("http://localhost:3000"), Some("localhost:8081"), false),
            (Some("http://localhost"), Some("localhost:8081"), false),
            (Some("https://hub.example"), Some("hub.example:80"), false),
            (Some("http://evil.example"), Some("hub.example"), false),
            (Some("http://hub.example.evil.example"), Some("hub.example"), false),
            (Some("http://hub.example@evil.example"), Some("hub.example"), false),
            (Some("http://hub.example"), None, false),
            (Some("http://hub.example"), Some(""), false),
            (Some("null"), Some("null"), false),
            (Some(""), Some(""), false),
            (Some("app://localhost"), Some("localhost"), false),
            (Some("http://hub.example/path"), Some("hub.example"), false),
            (Some("http://hub.example:+80"), Some("hub.example"), false),
            (Some("http://hub.example:99999"), Some("hub.example"), false),
            (Some("http://hub.example:"), Some("hub.example"), false),
        ] {
            assert_eq!(allowed(&[]).allows(origin, host), passes, "{origin:?} at {host:?}");
        }
    }

    #[test]
    fn a_listed_origin_passes_exactly_and_so_does_the_same_host() {
        let list = allowed(&["https://App.example", "http://localhost:3000/", "app://desktop"]);
        for (origin, passes) in [
            ("https://app.example", true),
            ("HTTPS://APP.EXAMPLE", true),
            ("https://app.example:443", true),
            ("http://localhost:3000", true),
            ("app://desktop", true),
            ("http://hub.example", true),
            ("http://app.example", false),
            ("https://app.example:8443", false),
            ("https://sub.app.example", false),
            ("https://app.example.evil.example", false),
            ("http://localhost", false),
            ("app://other", false),
            ("null", false),
            ("*", false),
        ] {
            assert_eq!(list.allows(Some(origin), Some("hub.example")), passes, "{origin}");
        }
        assert!(!list.allows_any());
    }

    #[test]
    fn a_star_lets_every_page_in() {
        let all = allowed(&["https://app.example", "*"]);
        for origin in ["https://evil.example", "null", "no origin at all"] {
            assert!(all.allows(Some(origin), Some("hub.example")), "{origin}");
        }
        assert!(all.allows_any());
    }

    #[test]
    fn an_entry_that_is_no_origin_is_named() {
        for bad in [
            "app.example",
            "https://",
            "https://app.example/path",
            "https://*.app.example",
            "https://user@app.example",
            "https://app.example:port",
            "https://bücher.example",
            "null",
            "",
        ] {
            let entries = ["*".to_owned(), bad.to_owned()];
            let error = AllowedOrigins::parse(&entries).unwrap_err();
            assert_eq!((error.index, error.entry.as_str()), (1, bad));
        }
    }
}
