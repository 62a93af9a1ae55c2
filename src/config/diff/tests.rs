use super::super::{ApiKeyEntry, AudienceSetting, LogFormat};
use super::*;

fn key(name: &str, key: &str) -> ApiKeyEntry {
    ApiKeyEntry { key: Some(Secret::new(key)), ..ApiKeyEntry::named(name) }
}

/// Every key of the structs, including keys without a value.
fn all_keys(within: &str, value: &Value, keys: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let key = if within.is_empty() { name.clone() } else { format!("{within}.{name}") };
                all_keys(&key, value, keys);
            }
        }
        Value::Array(items) if items.first().is_some_and(Value::is_object) => all_keys(within, &items[0], keys),
        _ => keys.push(within.to_owned()),
    }
}

fn keys() -> Vec<String> {
    let mut config = Config::default();
    config.api.keys.push(key("a", "k"));
    let mut keys = Vec::new();
    all_keys("", &serde_json::to_value(config).unwrap(), &mut keys);
    keys
}

/// A configuration with another value for every key that needs a restart.
fn elsewhere() -> Config {
    let mut config = Config::default();
    let server = &mut config.server;
    (server.host, server.port, server.workers) = ("::1".into(), 1, 7);
    (server.max_connections, server.max_frame_size) = (2, 3_000);
    (server.heartbeat_interval_secs, server.client_timeout_secs) = (4, 5);
    server.data_dir = "elsewhere".into();
    server.base_path = "/elsewhere".into();
    let socketio = &mut config.socketio;
    (socketio.ping_interval_ms, socketio.ping_timeout_ms, socketio.max_payload) = (6, 7, 8_000);
    (config.recovery.window_secs, config.recovery.bytes) = (9, 10);
    config.presence.audience = AudienceSetting::Off;
    config.limits.mailbox = 11;
    config.log.format = LogFormat::Json;
    config.cluster.driver = "other".into();
    config.cluster.url = Some(Secret::new("postgres://u:p@h/"));
    config
}

#[test]
fn each_configuration_key_has_one_reload_effect() {
    let keys = keys();
    let covers = |outer: &str, key: &str| key == outer || key.starts_with(&format!("{outer}."));
    for key in &keys {
        let rows = KEYS.iter().filter(|(outer, _)| covers(outer, key)).count();
        assert_ne!(rows, 0, "`{key}` is in no row of diff::KEYS: add it in src/config/diff.rs");
        assert_eq!(rows, 1, "`{key}` is in several rows of diff::KEYS: keep one in src/config/diff.rs");
        assert!(effect(key).is_some(), "{key}");
    }
    for (outer, _) in KEYS {
        let exists = keys.iter().any(|key| covers(outer, key));
        assert!(exists, "`{outer}` is no configuration key: remove it from diff::KEYS in src/config/diff.rs");
    }
    assert_eq!(effect("server.portal"), None);
    assert_eq!(effect("topics[12].pattern"), Some(AtOnce));
}

#[test]
fn a_reload_keeps_keys_that_need_a_restart_and_applies_the_others() {
    let (running, new) = (Config::default(), elsewhere());
    let changed: Vec<_> = Values::of(&running).changes(&Values::of(&new)).into_iter().map(|it| it.key).collect();
    let restart: BTreeSet<_> = keys().into_iter().filter(|key| effect(key) == Some(Restart)).collect();
    let changed: BTreeSet<_> = changed.into_iter().collect();
    let unchanged: Vec<_> = restart.difference(&changed).collect();
    assert!(unchanged.is_empty(), "`elsewhere` in this file must set another value for {unchanged:?}");
    let applied: Vec<_> = changed.difference(&restart).collect();
    assert!(applied.is_empty(), "`elsewhere` in this file sets keys that need no restart: {applied:?}");

    let mut kept = new;
    kept.auth.leeway_secs = 77;
    kept.limits.outbox_frames = 78;
    keep_until_restart(&running, &mut kept);
    let left: Vec<_> = Values::of(&running).changes(&Values::of(&kept)).into_iter().map(|it| it.key).collect();
    assert_eq!(left, ["auth.leeway_secs", "limits.outbox_frames"]);
}

#[test]
fn a_change_names_its_key_and_shows_no_secret() {
    let mut old = Config::default();
    old.api.keys = vec![key("one", "first-secret-key")];
    old.auth.jwt_secret = Some(Secret::new("a jwt secret that is old"));
    let mut new = old.clone();
    new.api.keys = vec![key("one", "other-secret-key"), key("two", "third-secret-key")];
    new.auth.jwt_secret = Some(Secret::new("a jwt secret that is new"));
    new.topics[0].history = 5;
    new.server.port = 9_000;
    let changes: Vec<_> = Values::of(&old).changes(&Values::of(&new)).iter().map(ToString::to_string).collect();
    assert_eq!(
        changes,
        [
            "api.keys[0].key: [secret] -> [secret]: SIGHUP applies it at once",
            "api.keys[1].key: not set -> [secret]: SIGHUP applies it at once",
            "api.keys[1].name: not set -> \"two\": SIGHUP applies it at once",
            "api.keys[1].require_signature: not set -> false: SIGHUP applies it at once",
            "auth.jwt_secret: [secret] -> [secret]: SIGHUP applies it at once",
            "server.port: 8081 -> 9000: needs a restart",
            "topics[0].history: 0 -> 5: SIGHUP applies it at once",
        ]
    );
}

#[test]
fn written_values_are_read_again_and_contain_no_secret() {
    let mut config = elsewhere();
    config.api.keys = vec![key("one", "first-secret-key")];
    config.auth.jwt_secret = Some(Secret::new("a jwt secret \"of\" these tests"));
    config.backend.api_key = Some(Secret::new("backend-key"));
    config.server.allowed_origins = vec!["https://a.example".into()];
    let values = Values::of(&config);
    let text = values.to_toml();
    assert_eq!(Values::from_toml(&text).unwrap(), values, "{text}");
    for secret in ["first-secret-key", "of these tests", "\"of\"", "backend-key", "postgres", "[secret]"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert!(Values::from_toml("a = ").is_err());
}
