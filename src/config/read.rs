//! Turns TOML and variables into typed values, and serde's errors into texts for operators.

use std::fmt::Write as _;

use toml::{Table, Value};

use super::check::{Problem, UNKNOWN};
use super::{Config, nearest};

/// Keys with values that no error may show, and all keys below them.
const HIDDEN: [&str; 5] = ["api", "auth.jwt_secret", "backend.api_key", "backend.url", "cluster.url"];

/// Keys that accept a text or a list of texts.
const TEXTS: [&str; 2] = ["auth.issuer", "auth.audience"];

/// Keys with a list of tables, and an example of a table.
const TABLES: [(&str, &str); 3] = [
    ("api.keys", r#"[{name = "app", sha256 = "…"}]"#),
    ("topics", r#"[{pattern = "news.*", publish = "server"}]"#),
    ("chats", r#"[{id = "general", public = true}]"#),
];

/// Turns the merged table into a configuration.
pub(super) fn typed(merged: &Table) -> Result<Config, Problem> {
    serde_path_to_error::deserialize(Value::Table(merged.clone())).map_err(|error| {
        let key = error.path().to_string();
        explain(&key, error.inner().message(), find(merged, &key))
    })
}

/// Parses a variable's text as the type of `key`: numbers, booleans and texts as they are, lists as [`list`] reads them.
pub(super) fn variable(key: &str, text: &str) -> Result<Value, Problem> {
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut known = &defaults;
    for part in key.split('.') {
        let Some(section) = known.as_object() else {
            return Err(Problem::new(key, UNKNOWN));
        };
        known = section.get(part).ok_or_else(|| {
            let keys: Vec<_> = section.keys().map(String::as_str).collect();
            Problem::new(key, unknown_key(key, &keys.join(", ")))
        })?;
    }
    // A text instead of a number stays a text: the typed read reports the expected type.
    let as_text = || Value::String(text.to_owned());
    match known {
        serde_json::Value::Null | serde_json::Value::String(_) => Ok(as_text()),
        serde_json::Value::Number(_) => Ok(text.trim().parse().map_or_else(|_| as_text(), Value::Integer)),
        serde_json::Value::Bool(_) => Ok(text.trim().parse().map_or_else(|_| as_text(), Value::Boolean)),
        serde_json::Value::Array(_) => list(key, text.trim()),
        serde_json::Value::Object(section) => {
            let keys: Vec<_> = section.keys().map(String::as_str).collect();
            Err(Problem::new(key, format!("a section, not a key (it has {})", keys.join(", "))))
        }
    }
}

/// Parses a list: in TOML, in JSON, or texts with commas between them. Names of [`TEXTS`] may contain commas, so a text
/// without brackets is one name.
fn list(key: &str, text: &str) -> Result<Value, Problem> {
    let tables = TABLES.iter().find(|(name, _)| *name == key);
    if text.starts_with('[') {
        let parsed = text.parse().ok().or_else(|| serde_json::from_str(text).ok());
        if let Some(list @ Value::Array(_)) = parsed {
            return Ok(list);
        }
    } else if TEXTS.contains(&key) {
        return Ok(Value::String(text.to_owned()));
    } else if tables.is_none() && !text.contains(['"', '\'', '{']) {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        if items.clone().next().is_none() {
            // An unset variable of a script must not open what the file closes.
            return Err(Problem::new(key, "is empty; write [] for an empty list"));
        }
        return Ok(items.map(|item| Value::String(item.to_owned())).collect::<Vec<_>>().into());
    }
    let example = tables.map_or(r#"["a", "b"]"#, |(_, example)| example);
    Err(Problem::new(key, format!("expected a list in TOML or JSON syntax, like {example}")))
}

fn unknown_key(key: &str, expected: &str) -> String {
    match nearest::key(key) {
        Some(meant) => format!("{UNKNOWN}; did you mean {meant}?"),
        None if expected.contains(',') => format!("{UNKNOWN} (expected one of {expected})"),
        None => format!("{UNKNOWN} (expected {expected})"),
    }
}

/// Translates serde's message about `key`.
fn explain(key: &str, message: &str, value: Option<&Value>) -> Problem {
    let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let names = expected.trim_start_matches("one of ").replace('`', "").replace(" or ", ", ");
    if what.starts_with("unknown field") {
        Problem::new(key, unknown_key(key, &names))
    } else if let Some(field) = what.strip_prefix("missing field ") {
        Problem::new(format!("{key}.{}", field.trim_matches('`')), "missing")
    } else if what.starts_with("unknown variant") {
        Problem::new(key, format!("expected one of {names}{}", got(key, value)))
    } else if what.starts_with("invalid ") && !expected.is_empty() {
        Problem::new(key, format!("expected {}{}", kind(expected), got(key, value)))
    } else {
        Problem::new(key, message)
    }
}

/// Translates serde's name of a type.
fn kind(expected: &str) -> String {
    match expected {
        "u16" => "an integer from 0 to 65535".into(),
        "u32" => "an integer from 0 to 4294967295".into(),
        "u64" | "usize" => "an integer from 0 up".into(),
        "a boolean" => "true or false".into(),
        "a sequence" => "a list".into(),
        "path string" => "a string".into(),
        _ if expected.starts_with("struct ") => "a section".into(),
        _ => expected.into(),
    }
}

/// `, got "abc"`; for lists, tables and hidden keys only their kind.
fn got(key: &str, value: Option<&Value>) -> String {
    let mut got = String::new();
    let Some(value) = value else { return got };
    let hidden = HIDDEN
        .iter()
        .any(|hidden| key.strip_prefix(hidden).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])));
    let _ = match value {
        Value::Array(_) => write!(got, ", got a list"),
        Value::Table(_) => write!(got, ", got a section"),
        _ if hidden => write!(got, ", got a value of type {}", value.type_str()),
        Value::String(text) => {
            let start: String = text.chars().take(80).collect();
            write!(got, ", got {start:?}")
        }
        other => write!(got, ", got {other}"),
    };
    got
}

/// The value at a dotted key with indices: `topics[0].history`.
fn find<'a>(merged: &'a Table, key: &str) -> Option<&'a Value> {
    let mut value: Option<&Value> = None;
    for part in key.split(['.', '[']) {
        let next = match (value, part.strip_suffix(']')) {
            (Some(value), Some(index)) => value.get(index.parse::<usize>().ok()?),
            (Some(value), None) => value.get(part),
            (None, _) => merged.get(part),
        };
        value = Some(next?);
    }
    value
}
