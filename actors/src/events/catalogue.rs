//! The event table as documentation: Markdown for people, JSON Schema for machines.

use std::fmt::Write as _;

use schemars::Schema;

use super::table::{CLIENT, SERVER};
use crate::model::surface::Surface;

/// The tables as Markdown, as docs/events.md shows them.
pub fn markdown() -> String {
    let mut text = String::from(
        "| client sends | fields | surface | may send | limit | writes to | answer | what it does |\n|---|---|---|---|---|---|---|---|\n",
    );
    for row in CLIENT {
        let schema = (row.schema)();
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {} | {} | {} |",
            row.name,
            fields(&schema),
            surfaces(row.on),
            row.needs.as_str(),
            row.costs.as_str(),
            row.writes.as_str(),
            row.reply.map_or("acknowledgement".into(), |name| format!("`{name}`")),
            summary(&schema),
        );
    }
    text.push_str("\n| hub sends | surface | meaning |\n|---|---|---|\n");
    for row in SERVER {
        let _ = writeln!(text, "| `{}` | {} | {} |", row.name, surfaces(row.on), summary(&(row.schema)()));
    }
    text
}

/// The tables as one JSON document: the schema of each event's data by its name.
pub fn json_schema() -> serde_json::Value {
    let client: serde_json::Map<_, _> = CLIENT
        .iter()
        .map(|row| {
            let entry = serde_json::json!({
                "surfaces": row.on.iter().map(|on| on.as_str()).collect::<Vec<_>>(),
                "needs": row.needs.as_str(),
                "limit": row.costs.as_str(),
                "writes_to": row.writes.as_str().trim_matches('`'),
                "answer": row.reply,
                "answer_data": (row.reply_schema)(),
                "data": (row.schema)(),
            });
            (row.name.to_owned(), entry)
        })
        .collect();
    let server: serde_json::Map<_, _> = SERVER
        .iter()
        .map(|row| {
            let entry = serde_json::json!({
                "surfaces": row.on.iter().map(|on| on.as_str()).collect::<Vec<_>>(),
                "data": (row.schema)(),
            });
            (row.name.to_owned(), entry)
        })
        .collect();
    serde_json::json!({ "client": client, "server": server })
}

fn surfaces(on: &[Surface]) -> String {
    on.iter().map(|on| format!("`{}`", on.as_str())).collect::<Vec<_>>().join(" ")
}

fn summary(schema: &Schema) -> String {
    let text = schema.get("description").and_then(|value| value.as_str()).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn fields(schema: &Schema) -> String {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(|value| value.as_array())
        .map(|names| names.iter().filter_map(|name| name.as_str()).collect())
        .unwrap_or_default();
    let Some(properties) = schema.get("properties").and_then(|value| value.as_object()) else {
        return String::new();
    };
    let mut names: Vec<String> = required.iter().map(|name| format!("`{name}`")).collect();
    names.extend(properties.keys().filter(|name| !required.contains(&name.as_str())).map(|name| format!("`{name}?`")));
    names.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notifications::Notification;

    #[test]
    fn every_row_has_a_unique_name_and_a_description() {
        let mut names: Vec<_> = CLIENT.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CLIENT.len());
        for row in CLIENT {
            assert!(!summary(&(row.schema)()).is_empty(), "{}", row.name);
        }
        for row in SERVER {
            assert!(!summary(&(row.schema)()).is_empty(), "{}", row.name);
        }
    }

    /// Whether all data of this schema are objects. `all` has the definitions.
    fn is_object(schema: &serde_json::Value, all: &Schema) -> bool {
        if let Some(name) = schema["$ref"].as_str() {
            return all.pointer(name.trim_start_matches('#')).is_some_and(|schema| is_object(schema, all));
        }
        let mut choices = ["oneOf", "anyOf"].iter().filter_map(|choice| schema[*choice].as_array());
        match choices.next() {
            Some(choices) => choices.iter().all(|schema| is_object(schema, all)),
            None => schema["type"] == "object",
        }
    }

    /// The client library takes a string at the end of an event for the offset of a publication.
    #[test]
    fn every_event_without_a_number_on_the_main_namespace_ends_in_an_object() {
        // A backend sends the data. This one always has a number.
        let numbered = ["system:notification"];
        // A backend sends the data, and a stored one is sent without a number.
        let checked = ["notification"];
        for data in ["\"text\"", "7", "null", "true", "[\"text\"]"] {
            assert!(Notification::parse(data.as_bytes(), 100).is_err(), "{data}");
        }
        let any: Vec<_> = SERVER
            .iter()
            .filter(|row| row.on.contains(&Surface::Root))
            .filter(|row| {
                let schema = (row.schema)();
                !is_object(schema.as_value(), &schema)
            })
            .map(|row| row.name)
            .collect();
        assert_eq!(any, [checked, numbered].concat());
    }

    #[test]
    fn the_markdown_names_required_and_optional_fields() {
        assert!(markdown().contains("| `Subscribe` | `topics` `since?` | `raw` | user | messages |  | `Status` |"));
    }
}
