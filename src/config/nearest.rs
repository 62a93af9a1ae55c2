//! Suggests the known key that is nearest to a mistyped key.

use serde_json::Value;

use super::{ApiKeyEntry, Config};

/// The known key or section nearest to the unknown dotted key `typed`; `None` when none is near. Indices of lists stay
/// unchanged.
pub(super) fn key(typed: &str) -> Option<String> {
    let plain = without_indices(typed);
    let (section, name) = split(&plain);
    let most = (name.chars().count() / 3).max(1);
    let known = known();
    let near = known
        .iter()
        .map(|key| (strsim::osa_distance(&plain, key), key))
        .filter(|&(distance, key)| distance <= most && depth(key) == depth(&plain))
        .min_by_key(|&(distance, key)| (distance, split(key).0 != section));
    // The same name in another section.
    let elsewhere = || known.iter().find(|key| split(key).1 == name && !key.contains("[]"));
    let found = near.map(|(_, key)| key).or_else(elsewhere)?;
    let (found_section, found_name) = split(found);
    match split(typed).0 {
        typed_section if found_section == section && !section.is_empty() => {
            Some(format!("{typed_section}.{found_name}"))
        }
        _ => Some(found.clone()),
    }
}

/// The variable of the known key that is nearest to the variable `typed`, both without the prefix. A single underscore
/// may separate section and key there.
pub(super) fn variable(typed: &str) -> Option<String> {
    let flat = |key: &str| key.to_lowercase().replace("__", "_").replace('.', "_");
    let plain = flat(typed);
    let most =
        if typed.contains("__") { (split(&typed.to_lowercase().replace("__", ".")).1.len() / 3).max(1) } else { 1 };
    let keys = known().into_iter().filter(|key| key.contains('.') && !key.contains("[]"));
    let near = keys.map(|key| (strsim::osa_distance(&plain, &flat(&key)), key));
    let found = near.filter(|(distance, _)| *distance <= most).min().map(|(_, found)| found);
    let elsewhere =
        || key(&typed.to_lowercase().replace("__", ".")).filter(|key| key.contains('.') && !key.contains('['));
    Some(found.or_else(elsewhere)?.to_uppercase().replace('.', "__"))
}

/// Every dotted key and section, with `[]` after lists of tables.
fn known() -> Vec<String> {
    let mut config = Config::default();
    config.api.keys.push(ApiKeyEntry::named(""));
    let mut keys = Vec::new();
    collect("", &serde_json::to_value(config).unwrap_or_default(), &mut keys);
    keys
}

fn collect(within: &str, value: &Value, keys: &mut Vec<String>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let key = if within.is_empty() { name.clone() } else { format!("{within}.{name}") };
        match value {
            Value::Object(_) => collect(&key, value, keys),
            Value::Array(items) if items.first().is_some_and(Value::is_object) => {
                collect(&format!("{key}[]"), &items[0], keys);
            }
            _ => {}
        }
        keys.push(key);
    }
}

/// `topics[0].pattern` → `topics[].pattern`.
fn without_indices(key: &str) -> String {
    let mut plain = String::with_capacity(key.len());
    let mut in_brackets = false;
    for c in key.chars() {
        match c {
            '[' => in_brackets = true,
            ']' => in_brackets = false,
            _ if in_brackets => continue,
            _ => {}
        }
        plain.push(c);
    }
    plain
}

/// The section and the last part of a dotted key.
fn split(key: &str) -> (&str, &str) {
    key.rsplit_once('.').unwrap_or(("", key))
}

fn depth(key: &str) -> usize {
    key.matches('.').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_key_is_recognized_and_an_unrelated_one_is_not() {
        for (typed, meant) in [
            ("server.prot", Some("server.port")),
            ("server.hots", Some("server.host")),
            ("sever", Some("server")),
            ("log.levle", Some("log.level")),
            ("limits.raw.mesages_per_minute", Some("limits.raw.messages_per_minute")),
            ("limits.rae.messages_per_minute", Some("limits.raw.messages_per_minute")),
            ("topics[3].patern", Some("topics[3].pattern")),
            ("api.keys[1].nmae", Some("api.keys[1].name")),
            ("max_body", Some("server.max_body")),
            ("auth.backend.timeout_ms", Some("backend.timeout_ms")),
            ("server.frobnicate", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(key(typed).as_deref(), meant, "{typed}");
        }
    }

    #[test]
    fn a_variable_with_one_underscore_is_recognized() {
        for (typed, meant) in [
            ("SERVER_PORT", Some("SERVER__PORT")),
            ("SERVER__PROT", Some("SERVER__PORT")),
            ("SERVER_PROT", Some("SERVER__PORT")),
            ("AUTH_JWT_SECRET", Some("AUTH__JWT_SECRET")),
            ("LIMITS_RAW_MESSAGES_PER_MINUTE", Some("LIMITS__RAW__MESSAGES_PER_MINUTE")),
            ("LIMITS__RAW_MESSAGES_PER_MINUTE", Some("LIMITS__RAW__MESSAGES_PER_MINUTE")),
            ("SERVER__FROBNICATE", None),
            ("PORT", Some("SERVER__PORT")),
            ("FROBNICATE", None),
        ] {
            assert_eq!(variable(typed).as_deref(), meant, "{typed}");
        }
    }
}
