//! Compares two configurations, and selects the changes that a running hub applies at a reload.
//!
//! [`KEYS`] is the only place that defines when a changed key takes effect. No output of this module contains a secret;
//! it contains the SHA-256 of the secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Config, Secret};

/// When a changed value of a key takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// At a reload, for existing sessions too.
    AtOnce,
    /// At a reload, for new connections and sessions.
    New,
    /// At the next start.
    Restart,
}

use Effect::{AtOnce, New, Restart};

impl Effect {
    /// The effect in two or three words, for a table.
    pub fn in_short(self) -> &'static str {
        match self {
            AtOnce => "at a reload",
            New => "to new sessions",
            Restart => "at a restart",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AtOnce => "SIGHUP applies it at once",
            New => "SIGHUP applies it to new connections",
            Restart => "needs a restart",
        })
    }
}

/// Every key, without indices of list items, and when a changed value takes effect. A key stands for all keys within
/// it.
pub const KEYS: &[(&str, Effect)] = &[
    ("server.host", Restart),
    ("server.port", Restart),
    ("server.workers", Restart),
    ("server.max_connections", Restart),
    ("server.max_frame_size", Restart),
    ("server.heartbeat_interval_secs", Restart),
    ("server.client_timeout_secs", Restart),
    ("server.data_dir", Restart),
    ("server.allowed_origins", AtOnce),
    ("server.allow_credentials", AtOnce),
    ("server.hosts", AtOnce),
    ("server.base_path", Restart),
    ("server.trusted_proxies", AtOnce),
    ("server.shutdown_secs", AtOnce),
    ("server.drain_per_sec", AtOnce),
    ("server.max_body", AtOnce),
    ("server.head_secs", AtOnce),
    ("server.body_secs", AtOnce),
    ("server.environment", AtOnce),
    ("auth.jwt_secret", AtOnce),
    ("auth.algorithm", AtOnce),
    ("auth.public_key_file", AtOnce),
    ("auth.jwks", AtOnce),
    ("auth.require_exp", AtOnce),
    ("auth.issuer", AtOnce),
    ("auth.audience", AtOnce),
    ("auth.leeway_secs", AtOnce),
    ("auth.grace_secs", New),
    ("auth.required_permissions", AtOnce),
    ("auth.access_ttl_secs", AtOnce),
    ("auth.refresh_ttl_secs", AtOnce),
    ("auth.password_memory_kib", AtOnce),
    ("auth.password_passes", AtOnce),
    ("auth.backend", AtOnce),
    ("api.keys", AtOnce),
    ("backend", AtOnce),
    ("socketio.ping_interval_ms", Restart),
    ("socketio.ping_timeout_ms", Restart),
    ("socketio.connect_timeout_ms", New),
    ("socketio.max_payload", Restart),
    ("socketio.offsets", New),
    ("recovery.window_secs", Restart),
    ("recovery.queue", AtOnce),
    ("recovery.bytes", Restart),
    ("topics", AtOnce),
    ("chat.auto_create", AtOnce),
    ("chats", AtOnce),
    ("presence.audience", Restart),
    ("presence.linger_ms", AtOnce),
    ("presence.deliveries_per_second", AtOnce),
    ("limits.exempt_loopback", AtOnce),
    ("limits.outbox_bytes", New),
    ("limits.outbox_frames", New),
    ("limits.rooms", AtOnce),
    ("limits.rooms_per_user", AtOnce),
    ("limits.chats_per_user", AtOnce),
    ("limits.history_bytes", AtOnce),
    ("limits.rooms_per_session", AtOnce),
    ("limits.topics_per_request", AtOnce),
    ("limits.notification_bytes", AtOnce),
    ("limits.mailbox", Restart),
    ("limits.lag", AtOnce),
    ("limits.lag_bytes", AtOnce),
    ("limits.frames_per_second", AtOnce),
    ("limits.bytes_per_second", AtOnce),
    ("limits.raw", AtOnce),
    ("limits.push", AtOnce),
    ("limits.community", AtOnce),
    ("limits.chat", AtOnce),
    ("limits.http", AtOnce),
    ("limits.login", AtOnce),
    ("log.level", AtOnce),
    ("log.format", Restart),
    ("debug.open", AtOnce),
    ("cluster", Restart),
];

/// Lists of tables. Each item has keys of its own.
pub(super) const TABLES: [&str; 3] = ["topics", "api.keys", "chats"];

/// When a changed value of `key` takes effect; `None` for an unknown key. `topics[2].pattern` belongs to `topics`.
pub fn effect(key: &str) -> Option<Effect> {
    let key = without_numbers(key);
    let is_within = |outer: &str| key.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    KEYS.iter().find(|(outer, _)| is_within(outer)).map(|&(_, effect)| effect)
}

/// `topics[2].pattern` → `topics.pattern`.
pub(super) fn without_numbers(key: &str) -> String {
    let mut parts = key.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |key, part| key + part.split_once(']').map_or("", |(_, rest)| rest))
}

/// The values of a configuration by their dotted keys. A secret is a digest; a key without a value is absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Values(BTreeMap<String, Value>);

impl Values {
    /// The values of `config`.
    pub fn of(config: &Config) -> Self {
        let mut values = BTreeMap::new();
        // A configuration consists of plain structs, so this cannot fail.
        flatten(&mut values, "", serde_json::to_value(config).unwrap_or_default());
        for (key, secret) in secrets(config) {
            values.insert(key, json!(format!("sha256:{}", hex::encode(Sha256::digest(secret.expose())))));
        }
        Self(values)
    }

    /// Reads the output of [`Values::to_toml`].
    ///
    /// # Errors
    /// The problem, in one line.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        let values: BTreeMap<String, Value> =
            toml::from_str(text).map_err(|error| error.message().replace('\n', " "))?;
        Ok(Self(values))
    }

    /// One line a key.
    pub fn to_toml(&self) -> String {
        let line = |(key, value): (&String, &Value)| match toml::Value::try_from(value) {
            Ok(value) => format!("{} = {value}\n", toml::Value::String(key.clone())),
            Err(_) => String::new(),
        };
        self.0.iter().map(line).collect()
    }

    /// The value of a dotted key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// The keys with another value in `new`, in order.
    pub fn changes(&self, new: &Self) -> Vec<Change> {
        let keys: BTreeSet<_> = self.0.keys().chain(new.0.keys()).collect();
        let change = |key: &String| {
            let (from, to) = (self.0.get(key), new.0.get(key));
            let effect = effect(key).unwrap_or(Restart);
            (from != to).then(|| Change { key: key.clone(), effect, from: from.cloned(), to: to.cloned() })
        };
        keys.into_iter().filter_map(change).collect()
    }
}

/// A key with a changed value.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The dotted key.
    pub key: String,
    /// When the new value takes effect.
    pub effect: Effect,
    from: Option<Value>,
    to: Option<Value>,
}

impl Change {
    /// The key without the numbers of list items.
    pub fn name(&self) -> String {
        without_numbers(&self.key)
    }
}

/// One line. For a secret, it only reports the change.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<Value>| match value {
            None => "not set".to_owned(),
            Some(Value::String(text)) if text.starts_with("sha256:") => "[secret]".to_owned(),
            Some(value) => value.to_string(),
        };
        let Self { key, effect, from, to } = self;
        write!(f, "{key}: {} -> {}: {effect}", shown(from), shown(to))
    }
}

fn flatten(values: &mut BTreeMap<String, Value>, within: &str, value: Value) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (name, value) in fields {
                let key = if within.is_empty() { name } else { format!("{within}.{name}") };
                flatten(values, &key, value);
            }
        }
        Value::Array(items) if TABLES.contains(&within) => {
            for (index, item) in items.into_iter().enumerate() {
                flatten(values, &format!("{within}[{index}]"), item);
            }
        }
        value => drop(values.insert(within.to_owned(), value)),
    }
}

/// Every secret of a configuration that is set, by its key.
fn secrets(config: &Config) -> Vec<(String, &Secret)> {
    let single = [
        ("auth.jwt_secret", &config.auth.jwt_secret),
        ("backend.api_key", &config.backend.api_key),
        ("cluster.url", &config.cluster.url),
    ];
    let mut secrets: Vec<_> =
        single.into_iter().filter_map(|(key, secret)| Some((key.to_owned(), secret.as_ref()?))).collect();
    for (index, key) in config.api.keys.iter().enumerate() {
        for (name, secret) in [("key", &key.key), ("sha256", &key.sha256)] {
            secrets.extend(secret.as_ref().map(|secret| (format!("api.keys[{index}].{name}"), secret)));
        }
    }
    secrets
}

/// Replaces the values in `new` that need a restart by those of `running`. The result is the configuration after a
/// reload.
pub fn keep_until_restart(running: &Config, new: &mut Config) {
    let server = &running.server;
    new.server.host.clone_from(&server.host);
    new.server.port = server.port;
    new.server.workers = server.workers;
    new.server.max_connections = server.max_connections;
    new.server.max_frame_size = server.max_frame_size;
    new.server.heartbeat_interval_secs = server.heartbeat_interval_secs;
    new.server.client_timeout_secs = server.client_timeout_secs;
    new.server.data_dir.clone_from(&server.data_dir);
    new.server.base_path.clone_from(&server.base_path);
    new.socketio.ping_interval_ms = running.socketio.ping_interval_ms;
    new.socketio.ping_timeout_ms = running.socketio.ping_timeout_ms;
    new.socketio.max_payload = running.socketio.max_payload;
    new.recovery.window_secs = running.recovery.window_secs;
    new.recovery.bytes = running.recovery.bytes;
    new.presence.audience = running.presence.audience;
    new.limits.mailbox = running.limits.mailbox;
    new.log.format = running.log.format;
    new.cluster.clone_from(&running.cluster);
}

#[cfg(test)]
mod tests;
