//! The log line of a start: the version, the configuration, the transports and the authentication. Contains no secret.

use std::net::SocketAddr;

use crate::config::source::absolute;
use crate::config::topic_rules::in_force;
use crate::config::{Auth, Config, Sources};

/// The line without the address, which the system may choose.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StartLine {
    configuration: String,
    data: String,
    workers: usize,
    surfaces: String,
    origins: String,
    authentication: String,
    topics: String,
}

impl StartLine {
    pub(super) fn of(config: &Config, sources: &Sources) -> Self {
        let origins = &config.server.allowed_origins;
        Self {
            configuration: sources.found().map_or_else(|| "defaults".to_owned(), |file| file.display().to_string()),
            data: absolute(&config.server.data_dir).display().to_string(),
            workers: config.server.worker_count(),
            surfaces: surfaces(&config.server.base_path),
            origins: if origins.is_empty() { "the same host".into() } else { origins.join(", ") },
            authentication: authentication(&config.auth),
            topics: in_force(&config.topics),
        }
    }

    /// Logs the line and the topic rules, once the hub accepts connections at `addresses`.
    pub(super) fn log(&self, addresses: &[SocketAddr]) {
        let joined = |before: &str, between: &str| {
            let addresses: Vec<_> = addresses.iter().map(|address| format!("{before}{address}")).collect();
            addresses.join(between)
        };
        let (address, urls) = (joined("", ", "), joined("http://", " and "));
        log::info!(
            target: "hubbub::server",
            version = env!("CARGO_PKG_VERSION"),
            configuration = self.configuration,
            data = self.data,
            address = address.as_str(),
            workers = self.workers,
            surfaces = self.surfaces,
            origins = self.origins,
            authentication = self.authentication;
            "listening on {urls}"
        );
        log::info!(target: "hubbub::server", "{}", self.topics);
    }
}

/// The transports and their paths.
fn surfaces(base_path: &str) -> String {
    let base = base_path.trim_end_matches('/');
    let http = if base.is_empty() { "HTTP".to_owned() } else { format!("HTTP under {base}") };
    format!("{base}/ws, {base}/socket.io/ (/ and /chat), {http}")
}

/// The configured kinds of authentication.
fn authentication(auth: &Auth) -> String {
    let algorithm = format!("{:?}", auth.algorithm.to_jwt());
    let mut ways = Vec::new();
    match (&auth.public_key_file, &auth.jwks) {
        (Some(file), _) => ways.push(format!("{algorithm} tokens by auth.public_key_file {}", file.display())),
        (None, Some(from)) => ways.push(format!("{algorithm} tokens by auth.jwks {}", without_query(from))),
        (None, None) => {
            ways.push(format!("{algorithm} tokens by a shared secret"));
            ways.push("accounts".into());
        }
    }
    if let Some(url) = &auth.backend.url {
        ways.push(format!("opaque tokens by auth.backend.url {}", without_query(url)));
    }
    ways.join(", ")
}

/// A URL without its query, which may contain a key; or the name of a file.
fn without_query(from: &str) -> &str {
    match from.split_once('?') {
        Some((before, _)) if from.contains("://") => before,
        _ => from,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TopicRuleEntry;

    fn line(text: &str, file: Option<&str>) -> StartLine {
        let config = toml::from_str(text).unwrap();
        StartLine::of(&config, &Sources { file: file.map(Into::into), ..Sources::default() })
    }

    #[test]
    fn the_line_names_the_configuration_and_the_authentication() {
        let config = "[server]\nworkers = 3\ndata_dir = '/var/hubbub'\n[auth]\njwt_secret = 'not-for-the-log-0123'";
        let expected = StartLine {
            configuration: "/etc/hubbub.toml".into(),
            data: "/var/hubbub".into(),
            workers: 3,
            surfaces: "/ws, /socket.io/ (/ and /chat), HTTP".into(),
            origins: "the same host".into(),
            authentication: "HS256 tokens by a shared secret, accounts".into(),
            topics: in_force(&[TopicRuleEntry::any()]),
        };
        assert_eq!(line(config, Some("/etc/hubbub.toml")), expected);
    }

    #[test]
    fn origins_and_authentication_urls_are_named_without_queries() {
        let config = "[server]\nallowed_origins = ['https://a.example', 'https://b.example']\n\
                      [auth]\nalgorithm = 'ES256'\njwks = 'https://id.example/keys?code=1234'\n\
                      [auth.backend]\nurl = 'https://app.example/user?key=1234'";
        let line = line(config, None);
        assert_eq!(line.origins, "https://a.example, https://b.example");
        let expected = "ES256 tokens by auth.jwks https://id.example/keys, \
                        opaque tokens by auth.backend.url https://app.example/user";
        assert_eq!(line.authentication, expected);
        let file = authentication(&toml::from_str("algorithm = 'EdDSA'\npublic_key_file = 'key.pem'").unwrap());
        assert_eq!(file, "EdDSA tokens by auth.public_key_file key.pem");
    }
}
