//! The fields of a JSON schema as rows of a table.

use serde_json::{Map, Value};

/// A text in one line, for the cell of a table.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// A field.
#[derive(Debug)]
pub(super) struct Row {
    /// Its path: `chat.name`, `rooms[].users`.
    pub(super) name: String,
    /// Its type with its bounds.
    pub(super) kind: String,
    /// Whether it is always present.
    pub(super) is_required: bool,
    /// Its meaning.
    pub(super) meaning: String,
}

/// The schemas that others refer to, by name.
type Definitions = Map<String, Value>;

/// The fields of an object, those of nested objects after their own field.
pub(super) fn rows(schema: &Value, definitions: &Definitions) -> Vec<Row> {
    let mut rows = Vec::new();
    collect(schema, "", definitions, &mut rows);
    rows
}

fn collect(schema: &Value, prefix: &str, definitions: &Definitions, rows: &mut Vec<Row>) {
    let schema = resolved(schema, definitions);
    let Some(properties) = schema["properties"].as_object() else { return };
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let optional = properties.keys().map(String::as_str).filter(|name| !required.contains(name));
    for name in required.iter().copied().chain(optional) {
        let (field, path) = (&properties[name], format!("{prefix}{name}"));
        let inner = resolved(field, definitions);
        let is_required = required.contains(&name);
        let meaning = field["description"].as_str().or(inner["description"].as_str()).unwrap_or_default();
        rows.push(Row {
            kind: kind(field, definitions) + null(field, is_required),
            is_required,
            meaning: one_line(meaning),
            name: path.clone(),
        });
        match inner.get("items") {
            Some(items) => collect(items, &format!("{path}[]."), definitions, rows),
            None => collect(inner, &format!("{path}."), definitions, rows),
        }
    }
}

/// The words for a field that is always present and can be `null`. An optional field is absent instead.
fn null(field: &Value, is_required: bool) -> &'static str {
    let is_null = |schema: &Value| schema["type"] == "null";
    let in_types = field["type"].as_array().is_some_and(|names| names.iter().any(|name| name == "null"));
    let in_alternatives = field["anyOf"].as_array().is_some_and(|schemas| schemas.iter().any(is_null));
    if is_required && (in_types || in_alternatives) { " or `null`" } else { "" }
}

/// The schema that a reference means; of an alternative with `null`, the other.
fn resolved<'a>(schema: &'a Value, definitions: &'a Definitions) -> &'a Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return definitions.get(name).map_or(schema, |schema| resolved(schema, definitions));
    }
    match schema["anyOf"].as_array().map(Vec::as_slice) {
        Some([schema, null]) if null["type"] == "null" => resolved(schema, definitions),
        _ => schema,
    }
}

/// The type of a field with its bounds, in words.
pub(super) fn kind(field: &Value, definitions: &Definitions) -> String {
    let schema = resolved(field, definitions);
    if let Some(choices) = choices(schema, definitions) {
        return choices;
    }
    let names: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => return "any JSON".to_owned(),
    };
    let names: Vec<String> = names
        .into_iter()
        .filter(|name| *name != "null")
        .map(|name| match (name, schema.get("items")) {
            ("array", Some(items)) => format!("list of {}", kind(items, definitions)),
            ("string", _) if schema["format"] == "date-time" => "ISO date".to_owned(),
            (name, _) => name.to_owned(),
        })
        .collect();
    let bound = |least: &str, most: &str, unit: &str| match (number(&schema[least]), number(&schema[most])) {
        (Some(least), Some(most)) if least == most => format!(", {most}{unit}"),
        (Some(least), Some(most)) => format!(", {least} to {most}{unit}"),
        (None, Some(most)) => format!(", at most {most}{unit}"),
        _ => String::new(),
    };
    let bounds = [
        bound("minLength", "maxLength", " characters"),
        bound("minItems", "maxItems", " entries"),
        if schema["maximum"].as_u64().is_some_and(|most| most <= 1_000_000) {
            bound("minimum", "maximum", "")
        } else {
            String::new()
        },
    ];
    names.join(" or ") + &bounds.concat()
}

/// The values or the types that a schema allows, if it is a list of these.
fn choices(schema: &Value, definitions: &Definitions) -> Option<String> {
    if let Some(value) = schema.get("const") {
        return Some(format!("`{value}`"));
    }
    if let Some(values) = schema["enum"].as_array() {
        let values = values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`"));
        return Some(values.collect::<Vec<_>>().join(", "));
    }
    let alternatives = schema["anyOf"].as_array().or(schema["oneOf"].as_array())?;
    if alternatives.iter().all(|it| it.get("const").is_some()) {
        let values = alternatives.iter().filter_map(|it| it["const"].as_str()).map(|value| format!("`{value}`"));
        return Some(values.collect::<Vec<_>>().join(", "));
    }
    let mut kinds: Vec<_> = alternatives.iter().map(|it| kind(it, definitions)).collect();
    kinds.dedup();
    Some(kinds.join(" or "))
}

/// A number with its thousands separated.
fn number(value: &Value) -> Option<String> {
    let digits = value.as_u64()?.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    Some(text)
}
