//! The hub logs one line for each refusal: with the id that the caller has, and the rule that decided.

mod changes;
mod closed;
mod http;
mod rate;
mod sessions;
mod socketio;

use serde_json::Value;

use crate::support::{DEADLINE, Hub, wait_until};

/// A part of each token, key, password and payload in these tests. No log line may contain it.
const SECRET: &str = "s3cret-marker";

/// A hub with a JSON log and a trusted proxy, and with a topic rule, an API key and a limit of each kind.
const CONFIG: &str = r#"
[log]
format = "json"
[server]
trusted_proxies = ["127.0.0.1"]
allowed_origins = ["https://app.example"]
head_secs = 1
body_secs = 1
[auth]
leeway_secs = 0
[[api.keys]]
name = "tests"
key = "test-key-0123456789abcdef0123456789abcdef"
per_minute = 0
[[api.keys]]
name = "slow"
key = "slow-key-0123456789abcdef0123456789abcdef"
per_minute = 1
[[api.keys]]
name = "plain"
key = "plain-key-0123456789abcdef0123456789abcde"
[[api.keys]]
name = "signed"
key = "signed-key-0123456789abcdef0123456789abcd"
require_signature = true
[[topics]]
pattern = "news.*"
subscribe = ["role:staff"]
publish = ["server"]
[[topics]]
pattern = "*"
subscribe = ["authenticated"]
publish = ["authenticated"]
[limits]
rooms_per_session = 3
[limits.http]
requests_per_minute = 4
[limits.login]
attempts_per_minute = 2
[limits.raw]
connections_per_minute = 3
messages_per_minute = 12
[limits.push]
messages_per_minute = 12
[limits.chat]
messages_per_minute = 2
[limits.community]
connections_per_minute = 2
connections_per_address = 3
"#;

/// The expected log line of a refusal.
#[derive(Debug, Clone)]
struct RefusalLine {
    /// The name and value of the id: `requestId` or `connection`.
    id: (&'static str, String),
    surface: &'static str,
    code: &'static str,
    /// Empty where the request is invalid by itself.
    rule: String,
    /// Other expected fields.
    fields: Vec<(&'static str, Value)>,
}

impl RefusalLine {
    fn request(id: &str, surface: &'static str, code: &'static str, rule: &str) -> Self {
        Self { id: ("requestId", id.to_owned()), surface, code, rule: rule.to_owned(), fields: Vec::new() }
    }

    fn connection(id: &str, surface: &'static str, code: &'static str, rule: &str) -> Self {
        Self { id: ("connection", id.to_owned()), ..Self::request("", surface, code, rule) }
    }

    fn with(mut self, field: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push((field, value.into()));
        self
    }
}

/// The log lines of a target.
fn lines(hub: &Hub, target: &str) -> Vec<Value> {
    let lines = hub.output();
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["target"] == target).collect()
}

/// The log lines of refusals.
fn refused(hub: &Hub) -> Vec<Value> {
    lines(hub, "hubbub::refused").into_iter().filter(|line| line["message"] == "refused").collect()
}

/// Asserts that the log has exactly one line for each of these refusals, no other, and no secret.
#[track_caller]
fn assert_logged(hub: &Hub, expected: &[RefusalLine]) {
    wait_until(DEADLINE, "all refusals are logged", || refused(hub).len() >= expected.len());
    let lines = refused(hub);
    for RefusalLine { id: (name, id), surface, code, rule, fields } in expected {
        let found: Vec<_> = lines.iter().filter(|line| line[*name] == **id).collect();
        let [line] = found[..] else { panic!("{name}={id} ({code}, {rule}) is in {} lines: {found:#?}", found.len()) };
        assert_eq!((&line["surface"], &line["code"]), (&Value::from(*surface), &Value::from(*code)), "{line}");
        assert_eq!(line["rule"].as_str().unwrap_or_default(), rule, "{line}");
        assert!(line["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{line}");
        for (field, value) in fields {
            assert_eq!(&line[*field], value, "{field} of {line}");
        }
    }
    let is_expected = |line: &&Value| expected.iter().any(|RefusalLine { id: (name, id), .. }| line[*name] == **id);
    let others: Vec<_> = lines.iter().filter(|line| !is_expected(line)).collect();
    assert!(others.is_empty(), "{others:#?}");
    assert!(!hub.output().contains(SECRET), "{}", hub.output());
    for line in &lines {
        assert!(line["address"].is_string(), "{line}");
    }
}
