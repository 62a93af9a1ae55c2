use serde_json::Value as Json;

use super::super::ApiKeyEntry;
use super::*;

/// The default value of a key; `null` without one. A list of tables has its first item.
fn actual(key: &str) -> Json {
    let mut config = Config::default();
    config.api.keys.push(ApiKeyEntry::named("any"));
    let mut value = serde_json::to_value(config).unwrap();
    for part in key.split('.') {
        value = value[part].take();
        if value[0].is_object() {
            value = value[0].take();
        }
    }
    value
}

#[test]
fn every_key_has_a_row_with_its_values_its_default_and_its_meaning() {
    for KeyRow { key, values, default, meaning } in sections().into_iter().flat_map(|section| section.rows) {
        assert!(!values.is_empty() && !values.contains('|'), "{key}: {values}");
        assert!(meaning.ends_with('.') && !meaning.contains('|'), "{key}: {meaning}");
        assert!(!meaning.contains("[`") && !meaning.contains("Default"), "{key}: write plain code: {meaning}");
        assert!(diff::effect(&key).is_some(), "{key}");
        // The built-in items of the lists `topics` and `chats` are no defaults of their keys.
        let Some(default) = default.filter(|_| !["topics.", "chats."].iter().any(|list| key.starts_with(list))) else {
            continue;
        };
        let first = default.split([' ', ':']).next().unwrap().trim_matches('`').to_owned();
        let expected = match actual(&key) {
            Json::Null => ["none", "never", "all", "limits.http.requests_per_minute"].map(String::from).to_vec(),
            Json::Array(items) if items.is_empty() => vec!["none".into(), "empty".into()],
            Json::String(text) if text.is_empty() => vec!["empty".into()],
            Json::String(text) => vec![text],
            other => vec![other.to_string()],
        };
        assert!(expected.contains(&first), "{key}: the comment has the default {default}, the code has {expected:?}");
    }
}

#[test]
fn values_are_those_of_the_errors() {
    let rows: Vec<_> = sections().into_iter().flat_map(|section| section.rows).collect();
    for (key, values) in [
        ("server.host", "string"),
        ("server.port", "0 to 65535"),
        ("server.workers", "0 to 1024"),
        ("server.allow_credentials", "true or false"),
        ("server.hosts", "list"),
        ("auth.issuer", "string or list of strings"),
        ("auth.access_ttl_secs", "1 to 4294967295"),
        ("presence.audience", "`all`, `shared-rooms`, `off`"),
        ("limits.raw.messages_per_minute", "0 and more"),
        ("topics.history", "0 to 1000000"),
        ("api.keys.per_minute", "0 and more"),
        ("api.keys.scopes", "list"),
    ] {
        let row = rows.iter().find(|row| row.key == key).unwrap();
        assert_eq!(row.values, values, "{key}");
    }
}
