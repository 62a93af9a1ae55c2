//! Refuses a configuration: impossible values, contradictions, and keys without any effect.

mod addresses;

use std::collections::HashMap;

use hubbub_actors::limits::traffic::{TrafficRule, WINDOW_SECS};
use hubbub_actors::model::ids::RoomName;
use reqwest::Url;
use sha2::{Digest, Sha256};

use super::{ApiKeyEntry, Auth, Config, TopicRuleEntry};
use crate::auth::api_key::KEY_MAX;

/// Bytes of a WebSocket control frame's payload. With a smaller bound, a message could not carry a ping.
const FRAME_MIN: u64 = 125;
/// Most bytes of one message.
const FRAME_MAX: u64 = 16 << 20;
/// Most bytes of a WebSocket frame's head.
const FRAME_HEAD_MAX: usize = 14;
/// Fewest bytes of a signing secret; a shorter one is easy to guess.
const SECRET_MIN: usize = 16;
/// Most issuers and most audiences, and the longest name of each, in characters.
const NAMES_MAX: usize = 16;
const NAME_MAX: usize = 1_024;
/// Longest name of an environment, in characters.
const ENVIRONMENT_MAX: usize = 64;
/// Prefixes of rooms with rules of their own; the configured patterns do not apply to them.
const RESERVED: [&str; 4] = ["user:", "chat:", "thread:", "$"];

/// The start of a problem's text when the key does not exist.
pub(super) const UNKNOWN: &str = "unknown key";

/// A problem in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The dotted key: `api.keys[1].sha256`.
    pub key: String,
    /// The description of the problem. Contains no secret.
    pub text: String,
    /// Another key that this key contradicts. If this key was not set, the error names the position of the other key.
    pub about: Option<&'static str>,
    /// The position to name in the error, if it is known.
    pub position: Option<String>,
}

impl Problem {
    pub(super) fn new(key: impl Into<String>, text: impl Into<String>) -> Self {
        Self { key: key.into(), text: text.into(), about: None, position: None }
    }

    /// Whether the key does not exist.
    pub(super) fn is_unknown(&self) -> bool {
        self.text.starts_with(UNKNOWN)
    }

    /// Replaces serde's list of known keys by a better text for an unknown key.
    pub(super) fn with_text(self, text: String) -> Self {
        Self { text: format!("{UNKNOWN}; {text}"), ..self }
    }

    pub(super) fn at(mut self, position: String) -> Self {
        self.position = Some(position);
        self
    }
}

/// Returns all problems of a configuration.
pub fn problems(config: &Config) -> Vec<Problem> {
    let mut problems = Problems::default();
    problems.server(config);
    problems.auth(config);
    problems.keys(&config.api.keys);
    problems.surfaces(config);
    problems.topics(&config.topics);
    problems.chats(config);
    problems.limits(config);
    problems.log(config);
    problems.cluster(config);
    problems.0
}

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, key: impl Into<String>, text: impl Into<String>) {
        self.0.push(Problem::new(key, text));
    }

    fn range(&mut self, key: &str, value: impl TryInto<u64>, from: u64, to: u64) {
        let value = value.try_into().unwrap_or(u64::MAX);
        if !(from..=to).contains(&value) {
            self.add(key, format!("expected an integer from {from} to {to}, got {value}"));
        }
    }

    fn not_yet(&mut self, key: &str, set: bool) {
        if set {
            self.add(key, "not supported yet");
        }
    }

    fn server(&mut self, config: &Config) {
        let server = &config.server;
        self.range("server.workers", server.workers, 0, 1_024);
        self.range("server.max_connections", server.max_connections, 1, 100_000_000);
        self.range("server.max_frame_size", server.max_frame_size, FRAME_MIN, FRAME_MAX);
        self.range("server.heartbeat_interval_secs", server.heartbeat_interval_secs, 1, 86_400);
        let (interval, timeout) = (server.heartbeat_interval_secs, server.client_timeout_secs);
        if timeout <= interval {
            self.0.push(Problem {
                about: Some("server.heartbeat_interval_secs"),
                ..Problem::new(
                    "server.client_timeout_secs",
                    format!("expected more than server.heartbeat_interval_secs ({interval}), got {timeout}"),
                )
            });
        }
        self.range("server.client_timeout_secs", timeout, 1, 86_400 * 7);
        if server.data_dir.as_os_str().is_empty() {
            self.add("server.data_dir", "expected a directory, got \"\"");
        }
        self.addresses(server);
        self.range("server.shutdown_secs", server.shutdown_secs, 1, 3_600);
        self.range("server.drain_per_sec", server.drain_per_sec, 0, 1_000_000);
        self.range("server.max_body", server.max_body, 1, 256 << 20);
        self.range("server.head_secs", server.head_secs, 1, 3600);
        self.range("server.body_secs", server.body_secs, 1, 3600);
        let environment = &server.environment;
        if !(1..=ENVIRONMENT_MAX).contains(&environment.chars().count()) || environment.contains(char::is_control) {
            self.add("server.environment", format!("expected 1 to {ENVIRONMENT_MAX} printable characters"));
        }
    }

    fn auth(&mut self, config: &Config) {
        let auth = &config.auth;
        if let Some(secret) = &auth.jwt_secret {
            let bytes = secret.expose().len();
            if bytes < SECRET_MIN {
                self.add("auth.jwt_secret", format!("expected at least {SECRET_MIN} bytes, got {bytes}"));
            }
        }
        self.token_keys(auth);
        self.range("auth.leeway_secs", auth.leeway_secs, 0, 3_600);
        self.range("auth.grace_secs", auth.grace_secs, 1, 3_600);
        for (key, texts) in [("auth.issuer", &auth.issuer), ("auth.audience", &auth.audience)] {
            if texts.len() > NAMES_MAX {
                self.add(key, format!("expected at most {NAMES_MAX}, got {}", texts.len()));
            }
            let is_wrong =
                |text: &String| text.is_empty() || text.chars().count() > NAME_MAX || text.contains(char::is_control);
            if texts.iter().any(is_wrong) {
                self.add(key, format!("expected 1 to {NAME_MAX} printable characters"));
            }
        }
        for (index, permission) in auth.required_permissions.iter().enumerate() {
            if permission.is_empty() {
                self.add(format!("auth.required_permissions[{index}]"), "is empty");
            }
        }
        self.range("auth.access_ttl_secs", auth.access_ttl_secs, 1, u64::from(u32::MAX));
        self.range("auth.refresh_ttl_secs", auth.refresh_ttl_secs, 1, u64::from(u32::MAX));
        // The OWASP cheat sheet on password storage gives the defaults as the minimum.
        self.range("auth.password_memory_kib", auth.password_memory_kib, 19_456, 262_144);
        self.range("auth.password_passes", auth.password_passes, 2, 16);
        if let Some(url) = &auth.backend.url {
            self.url("auth.backend.url", url);
        }
        self.range("auth.backend.cache_secs", auth.backend.cache_secs, 0, 86_400);
    }

    /// The keys that verify tokens: a shared secret, or either a public key or a key set, as the algorithm requires. A
    /// key that would be ignored is refused, because the operator expects it to work.
    fn token_keys(&mut self, auth: &Auth) {
        let public = [("auth.public_key_file", auth.public_key_file.is_some()), ("auth.jwks", auth.jwks.is_some())];
        if auth.algorithm.is_symmetric() {
            for (key, _) in public.into_iter().filter(|(_, set)| *set) {
                self.0.push(Problem {
                    about: Some("auth.algorithm"),
                    ..Problem::new(key, "does nothing while auth.algorithm is HS256, HS384 or HS512")
                });
            }
        } else {
            match (&auth.public_key_file, &auth.jwks) {
                (Some(_), Some(_)) => self.add("auth.jwks", "auth.public_key_file is set too; set only one of them"),
                (None, None) => {
                    self.add("auth.algorithm", "needs auth.public_key_file or auth.jwks, and neither is set");
                }
                _ => {}
            }
        }
        if auth.public_key_file.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            self.add("auth.public_key_file", "expected a file, got \"\"");
        }
        match auth.jwks.as_deref() {
            Some("") => self.add("auth.jwks", "expected a file or a URL, got \"\""),
            Some(url) if url.contains("://") => self.url("auth.jwks", url),
            _ => {}
        }
    }

    /// A URL that the hub requests. A password in it is refused, because the hub shows its URLs.
    fn url(&mut self, key: &str, text: &str) {
        match Url::parse(text) {
            Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
                self.add(key, "expected an http:// or https:// URL");
            }
            Err(_) => self.add(key, "expected an http:// or https:// URL"),
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                self.add(key, "contains a user name or a password");
            }
            Ok(url) if url.fragment().is_some() => self.add(key, "contains a fragment (#), which is never sent"),
            Ok(_) => {}
        }
    }

    fn keys(&mut self, keys: &[ApiKeyEntry]) {
        let (mut names, mut digests) = (HashMap::new(), HashMap::new());
        for (index, key) in keys.iter().enumerate() {
            let at = format!("api.keys[{index}]");
            if key.name.is_empty() || key.name.contains(char::is_control) {
                self.add(format!("{at}.name"), "expected a printable name");
            } else if let Some(first) = names.insert(&key.name, index) {
                self.add(format!("{at}.name"), format!("api.keys[{first}] has the name {:?} too", key.name));
            }
            if key.scopes.as_ref().is_some_and(Vec::is_empty) {
                self.add(format!("{at}.scopes"), "is empty; remove the key to allow everything");
            }
            match (&key.key, &key.sha256) {
                (Some(_), Some(_)) => self.add(at.as_str(), "has both key and sha256; set only one of them"),
                (None, None) => self.add(at.as_str(), "has neither key nor sha256; set one of them"),
                (Some(raw), None) if !raw.expose().bytes().all(|byte| byte.is_ascii_graphic()) => {
                    self.add(format!("{at}.key"), "expected printable ASCII without spaces");
                }
                (Some(raw), None) if raw.expose().is_empty() => self.add(format!("{at}.key"), "is empty"),
                (Some(raw), None) if raw.expose().len() > KEY_MAX => {
                    self.add(format!("{at}.key"), format!("is longer than {KEY_MAX} bytes"));
                }
                (None, Some(_)) if key.digest().is_none() => {
                    self.add(format!("{at}.sha256"), "expected 64 hex digits");
                }
                _ => {
                    if let Some((first, name)) = digests.insert(key.digest(), (index, &key.name)) {
                        let text = format!("{:?} is the same key as {name:?} (api.keys[{first}])", key.name);
                        self.add(at.as_str(), text);
                    }
                }
            }
        }
    }

    fn surfaces(&mut self, config: &Config) {
        if let Some(url) = &config.backend.url {
            self.url("backend.url", url);
        }
        if let Some(key) = &config.backend.api_key
            && (key.expose().is_empty() || !key.expose().bytes().all(|byte| byte.is_ascii_graphic()))
        {
            self.add("backend.api_key", "expected printable ASCII without spaces");
        }
        self.range("backend.timeout_ms", config.backend.timeout_ms, 1, 600_000);
        let socketio = &config.socketio;
        self.range("socketio.ping_interval_ms", socketio.ping_interval_ms, 1, 86_400_000);
        self.range("socketio.ping_timeout_ms", socketio.ping_timeout_ms, 1, 86_400_000);
        self.range("socketio.connect_timeout_ms", socketio.connect_timeout_ms, 1, 86_400_000);
        self.range("socketio.max_payload", socketio.max_payload, FRAME_MIN, FRAME_MAX);
        self.range("recovery.window_secs", config.recovery.window_secs, 0, 86_400);
        self.range("recovery.queue", config.recovery.queue, 0, 1_000_000);
        self.range("recovery.bytes", config.recovery.bytes, 0, 1 << 40);
    }

    fn topics(&mut self, rules: &[TopicRuleEntry]) {
        let mut patterns = HashMap::new();
        for (index, rule) in rules.iter().enumerate() {
            let at = format!("topics[{index}]");
            if let Err(fault) = RoomName::parse(&rule.pattern, "pattern") {
                self.add(format!("{at}.pattern"), fault.message.trim_start_matches("`pattern` "));
            } else if let Some(prefix) = RESERVED.iter().find(|prefix| rule.pattern.starts_with(*prefix)) {
                self.add(
                    format!("{at}.pattern"),
                    format!("{prefix:?} is reserved: such topics have rules of their own"),
                );
            } else if let Some(first) = patterns.insert(&rule.pattern, index) {
                let text = format!("topics[{first}] has the pattern {:?} too; the first one applies", rule.pattern);
                self.add(format!("{at}.pattern"), text);
            }
            for (access, key) in [(&rule.subscribe, "subscribe"), (&rule.publish, "publish")] {
                if access.is_empty() {
                    self.add(format!("{at}.{key}"), "is empty; use \"server\" for backends only");
                }
            }
            if rule.presence {
                let text = "not supported yet: clients receive no joins and leaves of a topic; remove the key";
                self.add(format!("{at}.presence"), text);
            }
            self.range(&format!("{at}.history"), rule.history, 0, 1_000_000);
            if rule.history == 0 && rule.history_secs > 0 {
                self.add(format!("{at}.history_secs"), "does nothing while history, the count, is 0");
            }
        }
    }

    fn chats(&mut self, config: &Config) {
        let mut ids = HashMap::new();
        for (index, chat) in config.chats.iter().enumerate() {
            let at = format!("chats[{index}]");
            match chat.made(0) {
                Err(fault) if fault.field.as_deref() == Some("id") => {
                    self.add(format!("{at}.id"), "expected 1 to 195 printable characters");
                }
                Err(fault) => {
                    let field = fault.field.as_deref().unwrap_or_default();
                    self.add(format!("{at}.{field}"), fault.message.replacen(&format!("`{field}` "), "", 1));
                }
                Ok(_) => {
                    if let Some(first) = ids.insert(&chat.id, index) {
                        self.add(format!("{at}.id"), format!("chats[{first}] has the id {:?} too", chat.id));
                    }
                }
            }
        }
    }

    fn limits(&mut self, config: &Config) {
        let limits = &config.limits;
        self.range("limits.chat.attempts_window_secs", limits.chat.attempts_window_secs, 1, 86_400);
        let frame = config.server.max_frame_size;
        if limits.outbox_bytes < frame {
            self.0.push(Problem {
                about: Some("server.max_frame_size"),
                ..Problem::new(
                    "limits.outbox_bytes",
                    format!("expected at least server.max_frame_size ({frame}), got {}", limits.outbox_bytes),
                )
            });
        }
        self.range("limits.outbox_bytes", limits.outbox_bytes, 1, 1 << 30);
        self.range("limits.outbox_frames", limits.outbox_frames, 1, 1 << 20);
        self.range("limits.notification_bytes", limits.notification_bytes, 1, FRAME_MAX);
        self.range("limits.mailbox", limits.mailbox, 1, 1 << 20);
        self.range("limits.lag", limits.lag, 1, 1 << 30);
        self.range("limits.lag_bytes", limits.lag_bytes, 1, 1 << 40);
        self.traffic(config);
        self.range("limits.rooms", limits.rooms, 1, 1 << 30);
        self.range("limits.history_bytes", limits.history_bytes, 1, 1 << 40);
        self.range("presence.linger_ms", config.presence.linger_ms, 0, 60_000);
    }

    /// The largest message must fit into the budget of a connection, or no client could send it.
    fn traffic(&mut self, config: &Config) {
        let TrafficRule { frames_per_second, bytes_per_second } = config.limits.traffic();
        self.range("limits.frames_per_second", frames_per_second, 0, 1_000_000);
        self.range("limits.bytes_per_second", bytes_per_second, 0, 1 << 30);
        let messages = [
            ("server.max_frame_size", config.server.max_frame_size),
            ("socketio.max_payload", config.socketio.max_payload),
        ];
        let in_a_window = u64::from(bytes_per_second) * u64::from(WINDOW_SECS);
        let is_larger =
            |&(_, bytes): &(_, usize)| bytes_per_second > 0 && (bytes + FRAME_HEAD_MAX) as u64 > in_a_window;
        if let Some((about, bytes)) = messages.into_iter().find(is_larger) {
            let text =
                format!("expected at least a fifth of {about} ({bytes}) and of a frame's head, got {bytes_per_second}");
            self.0.push(Problem { about: Some(about), ..Problem::new("limits.bytes_per_second", text) });
        }
    }

    fn log(&mut self, config: &Config) {
        if let Err(why) = crate::logging::check_level(&config.log.level) {
            self.add("log.level", why);
        }
    }

    fn cluster(&mut self, config: &Config) {
        let driver = &config.cluster.driver;
        if driver != "local" {
            self.add("cluster.driver", format!("{driver:?} is not supported yet (expected local)"));
        }
        self.not_yet("cluster.url", config.cluster.url.is_some());
    }
}

impl ApiKeyEntry {
    /// The SHA-256 of the key, for comparisons. `None` only before the configuration is checked.
    pub fn digest(&self) -> Option<[u8; 32]> {
        if let Some(key) = &self.key {
            return Some(Sha256::digest(key.expose()).into());
        }
        let mut digest = [0; 32];
        hex::decode_to_slice(self.sha256.as_ref()?.expose(), &mut digest).ok()?;
        Some(digest)
    }
}

#[cfg(test)]
mod tests;
