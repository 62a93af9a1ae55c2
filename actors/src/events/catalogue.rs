//! The event table as documentation: Markdown for people, JSON Schema for machines.

use std::fmt::Write as _;

use schemars::{Schema, SchemaGenerator};

use super::json::Entire;
use super::{
    Access, Bucket, ClientEvent, Done, ServerEvent, Surface, Writes, application, chat, community, debug, push, raw,
    recovery,
};
use crate::{client_event_table, server_event_table};

/// A row of the table of client events.
#[derive(Debug)]
pub struct ClientRow {
    /// The name on the wire.
    pub name: &'static str,
    /// The name of the event that answers it; `None` where it is only acknowledged.
    pub reply: Option<&'static str>,
    /// Where it is understood.
    pub on: &'static [Surface],
    /// Who may send it.
    pub needs: Access,
    /// The limit it draws from.
    pub costs: Bucket,
    /// What it writes to others.
    pub writes: Writes,
    /// The schema of its data.
    pub schema: fn() -> Schema,
    /// The schema of what answers it.
    pub answer: fn() -> Schema,
}

/// A row of the table of server events.
#[derive(Debug)]
pub struct ServerRow {
    /// The name on the wire.
    pub name: &'static str,
    /// Where it is sent.
    pub on: &'static [Surface],
    /// The schema of its data.
    pub schema: fn() -> Schema,
}

macro_rules! client_rows {
    ($($name:literal, $event:ty, $reply:ty, [$($surface:ident),+], $needs:ident, $bucket:ident, $refused:ident, $writes:ident;)*) => {
        /// Every event a client may send.
        pub const CLIENT: &[ClientRow] = &[$(ClientRow {
            name: <$event as ClientEvent>::NAME,
            reply: if <$reply as ServerEvent>::NAME.is_empty() { None } else { Some(<$reply as ServerEvent>::NAME) },
            on: <$event as ClientEvent>::ON,
            needs: <$event as ClientEvent>::NEEDS,
            costs: <$event as ClientEvent>::COSTS,
            writes: <$event as ClientEvent>::WRITES,
            schema: || SchemaGenerator::default().into_root_schema_for::<$event>(),
            answer: || SchemaGenerator::default().into_root_schema_for::<$reply>(),
        }),*];
    };
}

macro_rules! server_rows {
    ($($name:literal, $event:ty, [$($surface:ident),+];)*) => {
        /// Every event the hub sends of itself.
        pub const SERVER: &[ServerRow] = &[$(ServerRow {
            name: <$event as ServerEvent>::NAME,
            on: <$event as ServerEvent>::ON,
            schema: || SchemaGenerator::default().into_root_schema_for::<$event>(),
        }),*];
    };
}

client_event_table!(client_rows);
server_event_table!(server_rows);

/// The tables as Markdown, as the README shows them.
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
    text.push_str("\n| hub sends | surface | what it says |\n|---|---|---|\n");
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
                "answer_data": (row.answer)(),
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

    #[test]
    fn every_row_has_a_name_of_its_own_and_a_description() {
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

    #[test]
    fn the_markdown_names_required_and_optional_fields() {
        assert!(markdown().contains("| `Subscribe` | `topics` `since?` | `raw` | user | messages |  | `Status` |"));
    }
}
