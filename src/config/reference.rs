//! The tables of keys in `docs/configuration-keys.md`.
//!
//! Nothing here is written twice: the meaning and the default are the doc comment of a key, its values are what the errors
//! about wrong values name, and [`diff`] knows the effect of a reload.

use toml::{Table, Value};

use super::keys::{DocumentedKeys as _, KeyDoc};
use super::{Config, check, diff, read};
use crate::auth::scope;

/// A key, as its row shows it.
#[derive(Debug)]
pub struct KeyRow {
    /// The dotted key, without indices of list items.
    pub key: String,
    /// Its values, in words.
    pub values: String,
    /// Its default, in words; `None` for a key that must be set.
    pub default: Option<String>,
    /// Its meaning, in Markdown.
    pub meaning: String,
}

/// The keys of one section, or of the items of a list of tables.
#[derive(Debug)]
pub struct Section {
    /// Its name as TOML writes it: `[server]`, `[[topics]]`.
    pub title: String,
    /// The variable that sets the whole list, if it is a list.
    pub variable: Option<String>,
    /// Its keys, in the order of the struct.
    pub rows: Vec<KeyRow>,
}

/// All sections with keys, in the order of the configuration.
pub fn sections() -> Vec<Section> {
    let mut sections = Vec::new();
    collect(&mut sections, "", Config::KEYS);
    sections
}

fn collect(sections: &mut Vec<Section>, within: &str, keys: &[KeyDoc]) {
    let (nested, plain): (Vec<&KeyDoc>, Vec<&KeyDoc>) = keys.iter().partition(|key| !key.keys.is_empty());
    let dotted = |name: &str| if within.is_empty() { name.to_owned() } else { format!("{within}.{name}") };
    if !plain.is_empty() {
        let required: Vec<_> = plain.iter().filter(|key| default(key.doc).is_none()).map(|key| key.name).collect();
        let is_list = diff::TABLES.contains(&within);
        sections.push(Section {
            title: if is_list { format!("[[{within}]]") } else { format!("[{within}]") },
            variable: is_list.then(|| variable(within)),
            rows: plain.iter().map(|key| row(dotted(key.name), key.doc, &required)).collect(),
        });
    }
    for key in nested {
        collect(sections, &dotted(key.name), key.keys);
    }
}

fn row(key: String, doc: &str, required: &[&str]) -> KeyRow {
    let (meaning, default) = default(doc).map_or((doc, None), |(meaning, default)| (meaning, Some(default)));
    let in_one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let default = default.map(|default| in_one_line(default).trim_end_matches('.').to_owned());
    KeyRow { values: values(&key, required), default, meaning: in_one_line(meaning), key }
}

/// A doc comment without its last sentence, and the default in that sentence.
fn default(doc: &str) -> Option<(&str, &str)> {
    doc.rsplit_once("Default ").or_else(|| doc.rsplit_once("Default\n "))
}

/// The variable that sets a key.
fn variable(key: &str) -> String {
    format!("HUBBUB_{}", key.to_uppercase().replace('.', "__"))
}

/// The values of a key, as the error about a wrong value names them.
fn values(key: &str, required: &[&str]) -> String {
    let expected = |value| expected(key, required, value);
    if let Some(names) = expected(Value::String("?".into())).and_then(|text| names(&text)) {
        return names;
    }
    // No key takes a fraction.
    let kind = expected(Value::Float(0.5)).unwrap_or_default();
    let Some(numbers) = kind.strip_prefix("an integer from ") else {
        return kind.trim_start_matches("a ").replace(" or a ", " or ");
    };
    let largest = match numbers.strip_prefix("0 to ") {
        Some(largest) => largest.parse().unwrap_or(i64::MAX),
        None => i64::MAX,
    };
    let mut refused = [largest, 0].into_iter().filter_map(|number| expected(Value::Integer(number)));
    match refused.find_map(|text| Some(text.strip_prefix("an integer from ")?.to_owned())) {
        Some(range) => range,
        None if largest > i64::from(u16::MAX) => "0 and more".to_owned(),
        None => numbers.to_owned(),
    }
}

/// `one of a, b` as code.
fn names(text: &str) -> Option<String> {
    let names = text.strip_prefix("one of ")?.split(", ").map(|name| format!("`{name}`"));
    Some(names.collect::<Vec<_>>().join(", "))
}

/// What the error about `value` for `key` expects; `None` if it is a valid value.
fn expected(key: &str, required: &[&str], value: Value) -> Option<String> {
    let text = match read::typed(&with(key, required, value)) {
        Err(problem) => problem.text,
        Ok(config) => {
            let mut problems = check::problems(&config).into_iter();
            problems.find(|problem| diff::without_numbers(&problem.key) == key)?.text
        }
    };
    let text = text.strip_prefix("expected ")?;
    Some(text.split(", got ").next().unwrap_or(text).to_owned())
}

/// A configuration with `value` for `key`. An item of a list has its required keys too.
fn with(key: &str, required: &[&str], value: Value) -> Table {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let mut table = Table::new();
    if diff::TABLES.contains(&section) {
        table.extend(required.iter().map(|required| ((*required).to_owned(), Value::String("any".into()))));
    }
    table.insert(name.to_owned(), value);
    let mut parts = section.rsplit('.');
    let innermost = parts.next().unwrap_or_default();
    let inner = match diff::TABLES.contains(&section) {
        true => Value::Array(vec![Value::Table(table)]),
        false => Value::Table(table),
    };
    let within = |inner, part: &str| Table::from_iter([(part.to_owned(), inner)]);
    parts.fold(within(inner, innermost), |table, part| within(Value::Table(table), part))
}

/// The tables as Markdown: one for each section, then the scopes of API keys.
pub fn markdown() -> String {
    let mut text = String::new();
    for Section { title, variable: list, rows } in sections() {
        text += &format!(
            "| `{title}` | values | default | variable | a change applies | meaning |\n|---|---|---|---|---|---|\n"
        );
        for KeyRow { key, values, default, meaning } in rows {
            let default = default.as_deref().unwrap_or("required");
            let variable = list.clone().unwrap_or_else(|| variable(&key));
            let effect = diff::effect(&key).map_or("", diff::Effect::in_short);
            text += &format!("| `{key}` | {values} | {default} | `{variable}` | {effect} | {meaning} |\n");
        }
        text.push('\n');
    }
    text + &scope::markdown()
}

#[cfg(test)]
mod tests;
