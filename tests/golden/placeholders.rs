//! The words in angle brackets: compares JSON with them, and fills them in.

use std::collections::HashMap;

use serde_json::Value;

use crate::support::token::token;

/// The texts that words in angle brackets stand for so far.
#[derive(Clone, Default)]
pub(super) struct Placeholders(HashMap<String, String>);

impl Placeholders {
    /// Whether `actual` is as expected. A new word stands for the text at its position from then on.
    pub(super) fn matches(&mut self, expected: &Value, actual: &Value) -> bool {
        match (expected, actual) {
            (Value::Object(expected), Value::Object(actual)) => {
                expected.len() == actual.len()
                    && expected
                        .iter()
                        .all(|(key, value)| actual.get(key).is_some_and(|actual| self.matches(value, actual)))
            }
            (Value::Array(expected), Value::Array(actual)) => {
                expected.len() == actual.len()
                    && expected.iter().zip(actual).all(|(value, actual)| self.matches(value, actual))
            }
            (Value::String(text), actual) => match (word(text), actual) {
                (None, actual) => actual == text,
                (Some("any"), _) => true,
                (Some("number"), actual) => actual.is_number(),
                (Some("time"), actual) => actual.as_str().is_some_and(is_time),
                (Some(word), Value::String(actual)) => {
                    self.0.entry(word.to_owned()).or_insert_with(|| actual.clone()) == actual
                }
                (Some(_), _) => false,
            },
            (expected, actual) => expected == actual,
        }
    }

    /// `value` with the texts in the place of the words.
    pub(super) fn fill(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => match word(text) {
                None => value.clone(),
                Some(word) => match word.strip_prefix("token of ") {
                    Some(user) => token(user).into(),
                    None => {
                        self.0.get(word).unwrap_or_else(|| panic!("nothing was received for <{word}>")).as_str().into()
                    }
                },
            },
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect(),
            Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), self.fill(value))).collect(),
            _ => value.clone(),
        }
    }
}

fn word(text: &str) -> Option<&str> {
    text.strip_prefix('<')?.strip_suffix('>')
}

fn is_time(text: &str) -> bool {
    let pattern = "0000-00-00T00:00:00.000Z";
    let fits = |(actual, expected): (char, char)| actual == expected || (expected == '0' && actual.is_ascii_digit());
    text.len() == pattern.len() && text.chars().zip(pattern.chars()).all(fits)
}
