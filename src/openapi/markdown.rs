//! The description as the page `docs/http-api.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hubbub_actors::model::fault::Code;
use serde_json::{Map, Value};

use super::fields::{one_line, rows};
use super::{AllowedCaller, EVERYWHERE, Route, Schemas, Tag};
use crate::error;
use crate::error::body::code_name;

/// Most columns of a line.
const COLUMNS: usize = 128;

/// The page of the routes.
pub fn of(routes: &[Route]) -> String {
    let mut text = String::from(include_str!("http-api.head.md"));
    let _ = writeln!(text, "\n## Routes\n\n| route | summary | caller |\n|---|---|---|");
    let mut schemas = Schemas::new();
    for route in routes {
        let access = route.access(&route.parts(&mut schemas));
        let caller = match access {
            AllowedCaller::Public if route.operation.tag == Tag::Connections => "client".to_owned(),
            AllowedCaller::Public => "anyone".to_owned(),
            AllowedCaller::ApiKey(scope) => format!("API key: `{scope}`"),
            AllowedCaller::Token => "access token".to_owned(),
        };
        let _ = writeln!(
            text,
            "| [`{} {}`](#{}) | {} | {caller} |",
            route.method,
            route.path,
            anchor(route),
            route.operation.summary
        );
    }
    let sections: Vec<_> = routes.iter().map(PageSection::of).collect();
    for tag in Tag::ALL {
        let _ = write!(text, "\n## {}\n\n{}\n", tag.name(), tag.description());
        for (route, section) in routes.iter().zip(&sections).filter(|(route, _)| route.operation.tag == tag) {
            section.write(route, &mut text);
        }
    }
    text
}

/// The anchor of a heading, as GitHub and mdBook make it.
fn anchor(route: &Route) -> String {
    let heading = format!("{} {}", route.method, route.path).to_lowercase().replace(' ', "-");
    heading.chars().filter(|char| char.is_ascii_alphanumeric() || *char == '-' || *char == '_').collect()
}

/// The parts of a route's section.
struct PageSection {
    parameters: Vec<Value>,
    body: Option<Value>,
    /// The status, its meaning and the schema of its JSON body.
    answers: Vec<(u16, &'static str, Option<Value>)>,
    definitions: Map<String, Value>,
}

impl PageSection {
    fn of(route: &Route) -> Self {
        let mut schemas = Schemas::new();
        let parts = route.parts(&mut schemas);
        let (parameters, body) = ([parts.path, parts.query].concat(), parts.body);
        let answers = route.successes(&mut schemas).into_iter().map(|success| {
            let schema = success.content.into_iter().next().map(|(_, schema)| schema);
            (success.status, success.meaning, schema)
        });
        let answers = answers.collect();
        Self { parameters, body, answers, definitions: schemas.into_definitions() }
    }

    fn write(&self, route: &Route, text: &mut String) {
        let operation = route.operation;
        let _ = write!(text, "\n### {} {}\n\n", route.method, route.path);
        *text += &wrapped(&format!("{} {}", operation.summary, operation.description));
        self.write_fields(text);
        let errors = errors(route);
        if !errors.is_empty() {
            *text += "\n";
            *text += &wrapped(&format!("Further errors: {errors}."));
        }
        let example = &operation.example;
        let mut request = format!("{} {}\n", route.method, example.target);
        if !example.body.is_empty() {
            request += &format!("\n{}", wrapped_json(example.body));
        }
        let mut answer = format!("{}\n", example.status);
        if !example.answer.is_empty() {
            answer += "\n";
            // Text has its own lines.
            answer += &match serde_json::from_str::<Value>(example.answer) {
                Ok(_) => wrapped_json(example.answer),
                Err(_) => format!("{}\n", example.answer),
            };
        }
        let _ = write!(text, "\n```text\n{request}```\n\n```text\n{answer}```\n");
    }

    fn write_fields(&self, text: &mut String) {
        if !self.parameters.is_empty() {
            *text += "\n| parameter | in | type | meaning |\n|---|---|---|---|\n";
            for parameter in &self.parameters {
                let kind = super::fields::kind(&parameter["schema"], &self.definitions);
                let (name, place, meaning) = (&parameter["name"], &parameter["in"], &parameter["description"]);
                let text_of = |value: &Value| one_line(value.as_str().unwrap_or_default());
                let _ = writeln!(text, "| `{}` | {} | {kind} | {} |", text_of(name), text_of(place), text_of(meaning));
            }
        }
        if let Some(body) = &self.body {
            *text += "\n| body field | type | required | meaning |\n|---|---|---|---|\n";
            for row in rows(body, &self.definitions) {
                let required = if row.is_required { "yes" } else { "" };
                let _ = writeln!(text, "| `{}` | {} | {required} | {} |", row.name, row.kind, row.meaning);
            }
        }
        let statuses: Vec<_> = match &self.answers[..] {
            [(status, ..)] => vec![status.to_string()],
            answers => answers.iter().map(|(status, meaning, _)| format!("{status} ({meaning})")).collect(),
        };
        let _ = writeln!(text, "\nResponse: {}.", statuses.join(" or "));
        let schema = self.answers.first().and_then(|(_, _, schema)| schema.as_ref());
        let rows = schema.map(|schema| rows(schema, &self.definitions)).unwrap_or_default();
        if !rows.is_empty() {
            *text += "\n| response field | type | meaning |\n|---|---|---|\n";
            for row in rows {
                let meaning = if row.is_required { row.meaning } else { format!("Optional. {}", row.meaning) };
                let _ = writeln!(text, "| `{}` | {} | {meaning} |", row.name, row.kind);
            }
        }
    }
}

/// The refusals of a route that other routes do not have, by status.
fn errors(route: &Route) -> String {
    let own = |code: &&Code| route.operation.errors.contains(code) && !EVERYWHERE.contains(code);
    let mut by_status: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for &code in Code::ALL.iter().filter(own) {
        by_status
            .entry(error::status(code).as_u16())
            .or_default()
            .push(format!("`{}`", code_name(code, route.shape())));
    }
    let errors = by_status.into_iter().map(|(status, mut names)| {
        names.dedup();
        format!("{status} {}", names.join(" or "))
    });
    errors.collect::<Vec<_>>().join(", ")
}

/// A text in lines of at most [`COLUMNS`] columns, each with a line feed.
fn wrapped(text: &str) -> String {
    in_lines(text.split_whitespace(), " ")
}

/// JSON in lines of at most [`COLUMNS`] columns. A line ends with a comma.
fn wrapped_json(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace("[ ", "[").replace(" ]", "]");
    in_lines(text.split(", "), ", ")
}

fn in_lines<'a>(words: impl Iterator<Item = &'a str>, between: &str) -> String {
    let (mut lines, mut columns) = (String::new(), 0);
    for word in words {
        let length = word.chars().count() + between.len();
        if columns > 0 && columns + length > COLUMNS {
            lines.push_str(between.trim_end());
            lines.push('\n');
            columns = 0;
        } else if columns > 0 {
            lines.push_str(between);
        }
        lines.push_str(word);
        columns += length;
    }
    lines.push('\n');
    lines
}
