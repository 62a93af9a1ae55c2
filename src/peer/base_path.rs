//! `server.base_path`: the prefix of all routes of the hub.

use std::fmt;

/// Longest base path, bytes.
const LENGTH_MAX: usize = 256;

/// A path like `/hub`, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BasePath(Box<str>);

impl BasePath {
    /// Parses an empty text, `/`, or a path of one or more names. A slash at the end is ignored.
    ///
    /// # Errors
    /// If it is none of these, with the expected form.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let path = text.strip_suffix('/').unwrap_or(text);
        let is_name = |name: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            !matches!(name, "" | "." | "..") && name.bytes().all(is_plain)
        };
        let is_path = path.is_empty() || path.strip_prefix('/').is_some_and(|names| names.split('/').all(is_name));
        if is_path && path.len() <= LENGTH_MAX {
            Ok(Self(path.into()))
        } else {
            Err("expected a path like /hub, of letters, digits, `-`, `.`, `_` and `~`, at most 256 bytes")
        }
    }

    /// The path without a slash at its end; empty without a prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The route of `path`: the rest after the base path, without a slash at its end. `None` outside the base path.
    pub fn route<'a>(&self, path: &'a str) -> Option<&'a str> {
        match path.strip_prefix(self.as_str())? {
            "" | "/" => Some("/"),
            route if !route.starts_with('/') => None,
            route => match route.strip_suffix('/') {
                // With several slashes it is another route, so none is removed.
                Some(shorter) if !shorter.ends_with('/') => Some(shorter),
                _ => Some(route),
            },
        }
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_path_is_empty_or_names_after_slashes() {
        for (text, path) in
            [("", ""), ("/", ""), ("/hub", "/hub"), ("/hub/", "/hub"), ("/a/b-1/~c.d_e", "/a/b-1/~c.d_e")]
        {
            assert_eq!(BasePath::parse(text).unwrap().as_str(), path, "{text}");
        }
        let long = format!("/{}", "a".repeat(256));
        for bad in
            ["hub", "//", "//hub", "/a//b", "/a/../b", "/.", "/a b", "/a?b", "/a#b", "/a%20b", "/é", "/{a}", &long]
        {
            assert!(BasePath::parse(bad).is_err(), "{bad}");
        }
        assert!(BasePath::parse(&long[..256]).is_ok());
    }

    #[test]
    fn a_route_is_the_rest_of_the_path_without_a_slash_at_its_end() {
        for (base, path, route) in [
            ("", "/", Some("/")),
            ("", "/ws", Some("/ws")),
            ("", "/ws/", Some("/ws")),
            ("", "/ws//", Some("/ws//")),
            ("", "//", Some("//")),
            ("", "*", None),
            ("", "/api/rooms/a%2F/", Some("/api/rooms/a%2F")),
            ("/hub", "/hub", Some("/")),
            ("/hub", "/hub/", Some("/")),
            ("/hub", "/hub/ws/", Some("/ws")),
            ("/hub", "/hub/hub/ws", Some("/hub/ws")),
            ("/hub", "/hubs/ws", None),
            ("/hub", "/ws", None),
            ("/hub", "/", None),
            ("/hub", "/Hub/ws", None),
            ("/a/b", "/a/b/health/live/", Some("/health/live")),
        ] {
            assert_eq!(BasePath::parse(base).unwrap().route(path), route, "{path} under {base:?}");
        }
    }
}
