//! Golden files as steps: reads the blocks of a Markdown file. Knows nothing of clients or of the hub.

use hubbub_actors::model::surface::Surface;
use serde_json::{Value, json};

/// The configuration and the steps of a golden file.
pub(super) struct Script {
    pub(super) config: String,
    pub(super) steps: Vec<ScriptStep>,
}

/// One action, and everything that the clients and the backend receive after it.
#[derive(Debug)]
pub(super) struct ScriptStep {
    pub(super) line: usize,
    pub(super) action: StepAction,
    pub(super) expected: Vec<ExpectedLine>,
}

#[derive(Debug)]
pub(super) enum StepAction {
    /// `claims` is `None` for a client without a token, `surface` for the surface on which the file is played.
    Connect {
        client: String,
        surface: Option<Surface>,
        claims: Option<Value>,
    },
    Cut {
        client: String,
    },
    Send {
        client: String,
        message: ClientMessage,
    },
    Call {
        method: String,
        path: String,
        body: Value,
    },
}

/// A message from a client.
#[derive(Debug)]
pub(super) enum ClientMessage {
    /// An event that requests a reply.
    Event(String, Value),
    /// A whole message of `/ws`.
    Frame(Value),
}

impl ClientMessage {
    /// The name of the event.
    pub(super) fn event(&self) -> &str {
        match self {
            Self::Event(event, _) => event,
            Self::Frame(frame) => frame["type"].as_str().unwrap_or_default(),
        }
    }
}

/// A message that a client or the backend must receive, and its line.
#[derive(Debug)]
pub(super) struct ExpectedLine {
    pub(super) line: usize,
    pub(super) recipient: String,
    pub(super) message: Received,
}

/// A message to a client or the backend.
#[derive(Debug, PartialEq)]
pub(super) enum Received {
    /// The data of an acknowledgement; `null` where it has none.
    Reply(Value),
    Event(String, Value),
    /// A whole message of `/ws` without its `timestamp`.
    Frame(Value),
    /// The status and the body of an HTTP response.
    Response(u16, Value),
}

impl Received {
    /// The message as a line of a golden file.
    pub(super) fn line(&self, recipient: &str) -> String {
        match self {
            Self::Reply(Value::Null) => format!("{recipient} ="),
            Self::Reply(data) => format!("{recipient} = {data}"),
            Self::Event(name, data) => format!("{recipient} < {name} {data}"),
            Self::Frame(frame) => format!("{recipient} < {frame}"),
            Self::Response(status, body) => format!("{recipient} = {status} {body}"),
        }
    }
}

impl Script {
    /// # Panics
    /// With the number of the line, if a line is no step.
    pub(super) fn parse(text: &str) -> Self {
        let (config, lines) = blocks(text);
        let mut steps = Vec::<ScriptStep>::new();
        for (line, text) in lines {
            match (StepLine { line, text: &text }).parse() {
                ParsedLine::Action(action) => steps.push(ScriptStep { line, action, expected: Vec::new() }),
                ParsedLine::Expected(expected) => {
                    let step = steps.last_mut().unwrap_or_else(|| panic!("line {line}: expected before any action"));
                    step.expected.push(expected);
                }
            }
        }
        Self { config, steps }
    }
}

/// The `toml` blocks of a Markdown file joined, and the lines of its `chat` blocks with their numbers.
fn blocks(text: &str) -> (String, Vec<(usize, String)>) {
    let mut config = String::new();
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut block = None;
    for (number, line) in text.lines().enumerate() {
        match (block, line.strip_prefix("```")) {
            (None, Some(language)) => block = Some(language),
            (Some(_), Some(_)) => block = None,
            (Some("toml"), None) => config.extend([line, "\n"]),
            (Some("chat"), None) if line.starts_with("  ") => {
                let last = lines.last_mut().unwrap_or_else(|| panic!("line {}: continues no line", number + 1));
                last.1.push_str(line);
            }
            (Some("chat"), None) if !line.is_empty() => lines.push((number + 1, line.to_owned())),
            _ => {}
        }
    }
    (config, lines)
}

/// A line of a `chat` block.
struct StepLine<'a> {
    line: usize,
    text: &'a str,
}

enum ParsedLine {
    Action(StepAction),
    Expected(ExpectedLine),
}

impl StepLine<'_> {
    fn parse(&self) -> ParsedLine {
        let (name, rest) = self.split(self.text);
        let (verb, rest) = self.split(rest);
        let (first, data) = self.split(rest);
        let client = name.to_owned();
        let message = match (name, verb) {
            (_, "connects") => return ParsedLine::Action(self.connect(client, rest)),
            (_, "drops") => return ParsedLine::Action(StepAction::Cut { client }),
            ("backend", ">") => {
                let (path, body) = self.split(data);
                let (method, path) = (first.to_owned(), path.to_owned());
                return ParsedLine::Action(StepAction::Call { method, path, body: self.json(body) });
            }
            (_, ">") => {
                let message = if rest.starts_with('{') {
                    ClientMessage::Frame(self.json(rest))
                } else {
                    ClientMessage::Event(first.to_owned(), self.json(data))
                };
                return ParsedLine::Action(StepAction::Send { client, message });
            }
            ("backend", "=") => Received::Response(first.parse().unwrap(), self.json(data)),
            (_, "=") if rest.is_empty() => Received::Reply(Value::Null),
            (_, "=") => Received::Reply(self.json(rest)),
            (_, "<") if rest.starts_with('{') => Received::Frame(self.json(rest)),
            (_, "<") => Received::Event(first.to_owned(), self.json(data)),
            _ => panic!("line {}: no such step: {}", self.line, self.text),
        };
        ParsedLine::Expected(ExpectedLine { line: self.line, recipient: client, message })
    }

    /// Reads what follows `connects`.
    fn connect(&self, client: String, rest: &str) -> StepAction {
        let (surface, claims) = match rest.strip_prefix("on ") {
            None => (None, rest),
            Some(rest) => {
                let (surface, claims) = self.split(rest);
                let surface = match surface {
                    "/" => Surface::Root,
                    "/chat" => Surface::Chat,
                    "/ws" => Surface::Raw,
                    _ => panic!("line {}: no such surface: {surface}", self.line),
                };
                (Some(surface), claims)
            }
        };
        let claims = (claims != "without a token").then(|| self.json(claims));
        StepAction::Connect { client, surface, claims }
    }

    /// The first word, and what follows it.
    fn split<'t>(&self, text: &'t str) -> (&'t str, &'t str) {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        (word, rest.trim())
    }

    /// An empty object where nothing is written.
    fn json(&self, text: &str) -> Value {
        if text.is_empty() {
            return json!({});
        }
        serde_json::from_str(text).unwrap_or_else(|error| panic!("line {}: {error}: {text}", self.line))
    }
}
