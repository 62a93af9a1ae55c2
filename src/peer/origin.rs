//! The pages that may use the hub from a browser: checks `Origin` against a list (RFC 6454, section 7).
//!
//! Other clients send the header too: their own `ws://` address (Starscream, IXWebSocket), a whole URL
//! (`golang.org/x/net/websocket`) or `file://` (arduinoWebSockets). So host and port decide, and a path is ignored.

use super::authority::split_authority;

/// The origins that may connect, in addition to the hub's own host.
#[derive(Debug, Clone, Default)]
pub struct AllowedOrigins {
    any: bool,
    listed: Vec<PageOrigin>,
    credentials: bool,
}

/// The result of the origin check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginAccess {
    /// The request has no `Origin`, so no page sent it.
    NoPage,
    /// The page may read the response.
    Allowed {
        /// Whether the browser may send cookies with the request.
        credentials: bool,
    },
    /// The page may not read the response.
    Foreign,
}

/// An origin.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PageOrigin {
    /// `null`: a sandboxed frame, a `data:` URL, a local file and others.
    Null,
    /// `file://`.
    File,
    /// `scheme://host:port` in lower case, `ws` as `http` and `wss` as `https`. The port is `None` if none was given and the
    /// scheme has no default port.
    Server { scheme: String, host: String, port: Option<u16> },
}

impl AllowedOrigins {
    /// Parses `*` for all, `null`, `file://`, and origins like `https://example.com`, `http://localhost:3000` or
    /// `capacitor://localhost`. A slash at the end is ignored.
    ///
    /// # Errors
    /// The first entry that is none of these.
    pub fn parse(entries: &[String]) -> Result<Self, super::BadEntry> {
        const EXPECTED: &str = "is none of `*`, `null`, `file://` and an origin like https://example.com, \
                                http://localhost:3000 or capacitor://localhost";
        let parsed = super::parse_all(entries, |entry| match PageOrigin::split(entry) {
            _ if entry == "*" => Ok(None),
            Some((origin, "" | "/")) => Ok(Some(origin)),
            _ => Err(EXPECTED),
        })?;
        let any = parsed.iter().any(Option::is_none);
        Ok(Self { any, listed: parsed.into_iter().flatten().collect(), credentials: false })
    }

    /// Lets the pages of listed origins send credentials, except `null` and `file://`.
    #[must_use]
    pub fn with_credentials(self, credentials: bool) -> Self {
        Self { credentials, ..self }
    }

    /// Whether every page may connect.
    pub fn allows_any(&self) -> bool {
        self.any
    }

    /// Whether `null` is listed. Any page can get the origin `null`.
    pub fn lists_null(&self) -> bool {
        self.listed.contains(&PageOrigin::Null)
    }

    /// Whether a listed origin may send credentials.
    pub fn lists_server(&self) -> bool {
        self.listed.iter().any(PageOrigin::is_server)
    }

    /// Checks a request with these headers.
    ///
    /// A request without `Origin` passes. Otherwise the origin must be listed, or have the host and port of `Host` with the
    /// scheme `http`, `https`, `ws` or `wss`. A missing port, on either side, is the default port of the origin's scheme.
    pub fn check(&self, origin: Option<&str>, host: Option<&str>) -> OriginAccess {
        let Some(text) = origin else {
            return OriginAccess::NoPage;
        };
        let origin = PageOrigin::split(text).map(|(origin, _)| origin);
        let is_listed = origin.as_ref().is_some_and(|origin| self.listed.contains(origin));
        let is_same_host = || origin.as_ref().zip(host).is_some_and(|(origin, host)| origin.is_same_host(host));
        if is_listed || self.any || is_same_host() {
            let credentials = self.credentials && is_listed && origin.as_ref().is_some_and(PageOrigin::is_server);
            OriginAccess::Allowed { credentials }
        } else {
            OriginAccess::Foreign
        }
    }

    /// Whether a request with these headers passes.
    pub fn allows(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        self.check(origin, host) != OriginAccess::Foreign
    }
}

impl PageOrigin {
    /// Parses an origin; returns it with the rest after its authority.
    fn split(text: &str) -> Option<(Self, &str)> {
        if text == "null" {
            return Some((Self::Null, ""));
        }
        let (scheme, rest) = text.split_once("://")?;
        let is_named = scheme.starts_with(|first: char| first.is_ascii_alphabetic());
        let may_follow = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        if !is_named || !scheme.chars().all(may_follow) {
            return None;
        }
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "ws" => "http".to_owned(),
            "wss" => "https".to_owned(),
            other => other.to_owned(),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if scheme == "file" {
            return authority.is_empty().then_some((Self::File, path));
        }
        let (host, port) = split_authority(authority)?;
        let port = port.or_else(|| default_port(&scheme));
        Some((Self::Server { scheme, host, port }, path))
    }

    fn is_server(&self) -> bool {
        matches!(self, Self::Server { .. })
    }

    /// Whether this origin has the host and port of `Host`. Origins of extensions and apps never have.
    fn is_same_host(&self, host: &str) -> bool {
        let Self::Server { scheme, host: name, port } = self else {
            return false;
        };
        let Some(default) = default_port(scheme) else {
            return false;
        };
        split_authority(host.trim()).is_some_and(|host| (&host.0, host.1.or(Some(default))) == (name, *port))
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
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
            (Some("ws://hub.example"), Some("hub.example"), true),
            (Some("WSS://hub.example"), Some("hub.example"), true),
            (Some("ws://hub.example:8081"), Some("hub.example:8081"), true),
            (Some("wss://hub.example:8081"), Some("hub.example:8081"), true),
            (Some("wss://hub.example"), Some("hub.example:443"), true),
            (Some("wss://hub.example:443"), Some("hub.example"), true),
            (Some("ws://hub.example:80"), Some("hub.example"), true),
            (Some("http://hub.example/"), Some("hub.example"), true),
            (Some("http://hub.example/path?a=b#c"), Some("hub.example"), true),
            (Some("http://hub.example:8081/@evil.example"), Some("hub.example:8081"), true),
            (Some("https://hub.example:80"), Some("hub.example"), false),
            (Some("wss://hub.example"), Some("hub.example:80"), false),
            (Some("ftp://hub.example"), Some("hub.example"), false),
            (Some("http://evil.example/hub.example"), Some("hub.example"), false),
            (Some("http://evil.example#hub.example"), Some("hub.example"), false),
            (Some("http://evil.example\\hub.example"), Some("hub.example"), false),
            (Some("http://user@hub.example"), Some("hub.example"), false),
            (Some("http://user:pass@hub.example/"), Some("hub.example"), false),
            (Some("http://hub.example:80@evil.example"), Some("hub.example"), false),
            (Some("file://"), Some("hub.example"), false),
            (Some("file://hub.example"), Some("hub.example"), false),
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
    fn a_websocket_scheme_matches_its_http_scheme() {
        for (listed, origin) in [
            ("https://app.example", "wss://app.example"),
            ("wss://app.example", "https://app.example:443"),
            ("http://app.example:3000", "ws://app.example:3000/path"),
            ("ws://app.example", "http://app.example"),
        ] {
            assert!(allowed(&[listed]).allows(Some(origin), None), "{origin} by {listed}");
        }
        assert!(!allowed(&["https://app.example"]).allows(Some("ws://app.example"), None));
        assert!(!allowed(&["http://app.example"]).allows(Some("wss://app.example"), None));
    }

    #[test]
    fn files_apps_and_null_can_be_listed() {
        for (listed, origin, passes) in [
            ("null", "null", true),
            ("null", "NULL", false),
            ("null", "file://", false),
            ("file://", "file://", true),
            ("file:///", "file:///android_asset/www/index.html", true),
            ("file://", "null", false),
            ("file://", "file://share", false),
            ("capacitor://localhost", "capacitor://localhost", true),
            ("ionic://localhost", "ionic://localhost", true),
            ("tauri://localhost", "tauri://localhost/", true),
            ("capacitor://localhost", "ionic://localhost", false),
            ("capacitor://localhost", "http://localhost", false),
        ] {
            assert_eq!(allowed(&[listed]).allows(Some(origin), Some("hub.example")), passes, "{origin} by {listed}");
        }
    }

    #[test]
    fn only_listed_servers_may_send_credentials() {
        let list = ["https://app.example", "capacitor://localhost", "null", "file://"];
        let access = |list: &[&str], credentials, origin| {
            allowed(list).with_credentials(credentials).check(Some(origin), Some("hub.example"))
        };
        for (origin, credentials) in [
            ("https://app.example", true),
            ("wss://app.example", true),
            ("capacitor://localhost", true),
            ("null", false),
            ("file://", false),
            ("http://hub.example", false),
        ] {
            assert_eq!(access(&list, true, origin), OriginAccess::Allowed { credentials }, "{origin}");
            assert_eq!(access(&list, false, origin), OriginAccess::Allowed { credentials: false }, "{origin}");
        }
        assert_eq!(access(&list, true, "https://other.example"), OriginAccess::Foreign);
        assert_eq!(access(&["*"], true, "https://app.example"), OriginAccess::Allowed { credentials: false });
        let both = access(&["*", "https://app.example"], true, "https://app.example");
        assert_eq!(both, OriginAccess::Allowed { credentials: true }, "an origin that is listed beside `*`");
        assert_eq!(AllowedOrigins::default().check(None, None), OriginAccess::NoPage);
    }

    #[test]
    fn a_star_allows_every_page() {
        let all = allowed(&["https://app.example", "*"]);
        for origin in ["https://evil.example", "null", "no origin at all"] {
            assert!(all.allows(Some(origin), Some("hub.example")), "{origin}");
        }
        assert!(all.allows_any());
    }

    #[test]
    fn an_invalid_origin_is_named() {
        for bad in [
            "app.example",
            "https://",
            "https://app.example/path",
            "https://*.app.example",
            "https://user@app.example",
            "https://app.example:port",
            "https://bücher.example",
            "https://app.example/?",
            "file://share",
            "file:///path",
            "NULL",
            "",
        ] {
            let entries = ["*".to_owned(), bad.to_owned()];
            let error = AllowedOrigins::parse(&entries).unwrap_err();
            assert_eq!((error.index, error.entry.as_str()), (1, bad));
        }
    }
}
