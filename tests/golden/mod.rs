//! The golden files: `tests/golden/*.md` document the events of clients with whole bodies: what the sender receives, what
//! others receive, and how a request is refused. These tests play the files word for word against the real hub.
//!
//! A block marked `toml` is the hub's configuration. A block marked `chat` holds steps, one per line:
//!
//! | line | meaning |
//! |---|---|
//! | `alice connects {claims}` | a client connects, with a token of the user `alice` and these claims |
//! | `alice connects on / {claims}` | the same, on this surface: `/` or `/chat` (Socket.IO), or `/ws` |
//! | `alice connects on / without a token` | a client connects that shows no token |
//! | `alice drops` | its connection is cut; the next step begins when the hub has ended the session |
//! | `alice > event {data}` | it sends an event and requests a reply |
//! | `alice = {…}` | it receives the reply: the data of the acknowledgement; `alice =` for a reply without data |
//! | `alice < event {data}` | it receives an event |
//! | `alice > {message}` | it sends this whole message on `/ws` |
//! | `alice < {message}` | it receives this whole message on `/ws`; the `timestamp` of each is checked and left out |
//! | `backend > PUT /path {body}` | a backend calls the HTTP API with its key |
//! | `backend = 200 {…}` | it receives this status and body |
//!
//! A line that begins with two spaces continues the line before it. The lines between two actions arrive in any order, and
//! nothing else arrives.
//!
//! The name of a client is its user, unless its claims have a `sub`. The list in `golden!` below says on which surfaces a
//! file is played: `on_chat` connects the clients that name no surface to `/chat`, and `on_raw` to `/ws`, where they send
//! the same events. A file with both is played twice. A client that names its surface (`connects on`) uses it each time; a
//! file may mix such clients with others. Its steps also list the hub's greeting on that surface. With `as_written`, every
//! client must name its surface.
//!
//! Clients that name no surface have refusals in the form of `/chat` in the file; for `/ws`, the player converts them.
//!
//! `<time>` is an ISO 8601 time with milliseconds, `<number>` any number, `<any>` anything, and, where a client sends it,
//! `<token of alice>` a valid token. Any other `<word>` is a text that is the same wherever the word stands.

mod placeholders;
mod player;
mod script;

use std::collections::BTreeMap;

use hubbub_actors::events::table::{CLIENT, SERVER};
use hubbub_actors::model::surface::Surface;
use serde_json::Value;

use self::script::{ClientMessage, Received, Script, StepAction};

/// Clients that name no surface connect on `/chat`.
const fn on_chat() -> Option<Surface> {
    Some(Surface::Chat)
}

/// Clients that name no surface connect on `/ws`.
const fn on_raw() -> Option<Surface> {
    Some(Surface::Raw)
}

/// Every client names its surface.
const fn as_written() -> Option<Surface> {
    None
}

macro_rules! golden {
    ($($name:ident: $file:literal $($played:ident),+;)*) => {
        $(mod $name {
            $(#[tokio::test]
            async fn $played() {
                super::player::play($file, super::$played()).await;
            })+
        })*

        /// Every file, and the surfaces on which it is played.
        const FILES: &[(&str, &[Option<Surface>])] = &[$(($file, &[$($played()),+])),*];
    };
}

golden! {
    rooms: "rooms.md" on_chat, on_raw;
    messages: "messages.md" on_chat, on_raw;
    connection: "connection.md" on_chat, on_raw;
    presence: "presence.md" on_chat, on_raw;
    online: "online.md" on_chat;
    monitoring: "monitoring.md" on_chat, on_raw;
    websocket: "websocket.md" as_written;
    topics: "topics.md" as_written;
    sessions: "sessions.md" as_written;
    threads: "threads.md" as_written;
    notifications: "notifications.md" as_written;
    application: "application.md" as_written;
}

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

fn text_of(file: &str) -> String {
    std::fs::read_to_string(format!("{DIRECTORY}/{file}")).unwrap()
}

#[test]
fn every_golden_file_is_played() {
    let files = std::fs::read_dir(DIRECTORY).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<_> = files.filter(|name| name.ends_with(".md")).collect();
    files.sort();
    let mut played: Vec<_> = FILES.iter().map(|(file, _)| *file).collect();
    played.sort_unstable();
    assert_eq!(files, played);
}

#[test]
fn a_received_message_is_printed_as_a_line_of_a_golden_file() {
    for (file, _) in FILES {
        for expected in Script::parse(&text_of(file)).steps.into_iter().flat_map(|step| step.expected) {
            let line = expected.message.line(&expected.recipient);
            let steps = Script::parse(&format!("```chat\nalice drops\n{line}\n```")).steps;
            assert_eq!(steps[0].expected[0].message, expected.message, "{file}, line {}", expected.line);
        }
    }
}

#[test]
fn every_event_of_the_hub_on_the_main_namespace_ends_in_an_object() {
    let events: Vec<_> = SERVER.iter().filter(|row| row.on.contains(&Surface::Root)).map(|row| row.name).collect();
    let mut seen = 0;
    for (file, _) in FILES {
        for expected in Script::parse(&text_of(file)).steps.into_iter().flat_map(|step| step.expected) {
            let Received::Event(name, data) = &expected.message else { continue };
            // The client library takes a string at the end for the offset of a publication.
            let is_placeholder = data == "<any>";
            assert!(!events.contains(&&**name) || is_placeholder || data.is_object(), "{file}, line {}", expected.line);
            seen += usize::from(data.is_object());
        }
    }
    assert!(seen > 50, "{seen} events");
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum RequestOutcome {
    Success,
    Refusal,
}

/// Whether a reply or a message with its whole body accepts or refuses a request; `None` for anything else.
fn outcome(message: &Received) -> Option<RequestOutcome> {
    let refused = match message {
        Received::Reply(Value::String(_)) => return None,
        Received::Reply(data) => data["success"] == false,
        Received::Frame(frame) if frame["id"].is_null() || frame["data"].is_string() => return None,
        Received::Frame(frame) => frame["type"] == "Error",
        Received::Event(..) | Received::Response(..) => return None,
    };
    Some(if refused { RequestOutcome::Refusal } else { RequestOutcome::Success })
}

#[test]
fn every_client_event_succeeds_and_is_refused_in_a_golden_file_on_each_of_its_surfaces() {
    let mut played: BTreeMap<(String, &str), Vec<RequestOutcome>> = BTreeMap::new();
    for (file, surfaces) in FILES {
        let mut named: BTreeMap<String, Option<Surface>> = BTreeMap::new();
        for step in Script::parse(&text_of(file)).steps {
            let (client, message): (String, ClientMessage) = match step.action {
                StepAction::Connect { client, surface, .. } => {
                    named.insert(client, surface);
                    continue;
                }
                StepAction::Send { client, message } => (client, message),
                StepAction::Cut { .. } | StepAction::Call { .. } => continue,
            };
            let replies = step.expected.iter().filter(|expected| expected.recipient == client);
            let outcomes: Vec<_> = replies.filter_map(|expected| outcome(&expected.message)).collect();
            for surface in surfaces.iter().filter_map(|surface| named[&client].or(*surface)) {
                played.entry((message.event().to_owned(), surface.as_str())).or_default().extend(&outcomes);
            }
        }
    }
    let mut missing = Vec::new();
    for row in CLIENT {
        for surface in row.on {
            let outcomes = played.get(&(row.name.to_owned(), surface.as_str())).map_or(&[][..], Vec::as_slice);
            for outcome in [RequestOutcome::Success, RequestOutcome::Refusal] {
                if !outcomes.contains(&outcome) {
                    missing.push(format!("`{}` on `{}`: {outcome:?}", row.name, surface.as_str()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "add these to a file in tests/golden:\n{}", missing.join("\n"));
}
