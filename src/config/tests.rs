use super::*;

const SHIPPED: &str = include_str!("../../config.toml");

/// Every dotted key in the text of a file in order, commented-out keys included.
fn keys_in(text: &str) -> Vec<String> {
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in text.lines() {
        let line = line.trim_start_matches("# ");
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_matches(['[', ']']).to_owned();
        } else if let Some((key, _)) = line.split_once(" = ")
            && !key.contains(' ')
        {
            keys.push(format!("{section}.{key}"));
        }
    }
    keys
}

/// Every dotted key of the structs; for a list of tables, the keys of its first item.
fn keys_of(within: &str, value: &serde_json::Value, keys: &mut Vec<String>) {
    for (name, value) in value.as_object().unwrap() {
        let key = format!("{within}{name}");
        match value {
            serde_json::Value::Object(_) => keys_of(&format!("{key}."), value, keys),
            serde_json::Value::Array(items) if items.first().is_some_and(|it| it.is_object()) => {
                keys_of(&format!("{key}."), &items[0], keys);
            }
            _ => keys.push(key),
        }
    }
}

#[test]
fn the_shipped_file_is_the_defaults() {
    assert_eq!(toml::from_str::<Config>(SHIPPED).unwrap(), Config::default());
}

#[test]
fn the_shipped_file_has_every_key_once_with_a_comment() {
    let mut config = Config::default();
    config.api.keys.push(ApiKeyEntry::named("any"));
    let mut expected = Vec::new();
    keys_of("", &serde_json::to_value(config).unwrap(), &mut expected);
    let found = keys_in(SHIPPED);
    let missing: Vec<_> = expected.iter().filter(|key| !found.contains(key)).collect();
    assert!(missing.is_empty(), "config.toml lacks {missing:?}: add each with a comment above it");
    let unknown: Vec<_> = found.iter().filter(|key| !expected.contains(key)).collect();
    assert!(unknown.is_empty(), "config.toml has keys that do not exist: {unknown:?}");
    assert_eq!(found.len(), expected.len(), "config.toml has a key twice: {found:?}");

    let lines: Vec<_> = SHIPPED.lines().collect();
    for (above, line) in lines.iter().zip(&lines[1..]) {
        if keys_in(line).len() == 1 {
            assert!(above.starts_with("# ") && keys_in(above).is_empty(), "config.toml: no comment above {line}");
        }
    }
}

#[test]
fn the_defaults_are_valid() {
    assert_eq!(check::problems(&Config::default()), vec![]);
}

#[test]
fn zero_workers_means_one_for_each_core() {
    let mut server = Server::default();
    assert!(server.worker_count() >= 1);
    server.workers = 3;
    assert_eq!(server.worker_count(), 3);
}
