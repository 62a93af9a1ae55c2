//! The golden files: `tests/golden/*.md` say what each event of the chat system is answered with and what others get, in
//! whole bodies, and are read by people as its documentation. Here they are played against the real hub, word for word,
//! once over Socket.IO on `/chat` and once over `/ws`.
//!
//! A block marked `toml` is the hub's configuration. A block marked `chat` is played, a line a step:
//!
//! | line | what it is |
//! |---|---|
//! | `alice connects {claims}` | a client with a token of the user `alice` and those claims connects |
//! | `alice drops` | its connection is cut |
//! | `alice > event {data}` | it sends an event and wants an answer |
//! | `alice = {…}` | the answer: the acknowledgement's data |
//! | `alice < event {data}` | it gets an event |
//! | `backend > PUT /path {body}` | a backend calls the HTTP API with its key |
//! | `backend = 200 {…}` | the answer: status and body |
//!
//! A line that begins with two spaces goes on with the one before. What comes between two things that are done comes in
//! any order, and nothing else comes. `<time>` is a moment in ISO 8601, `<number>` any number, `<any>` anything; any other
//! `<word>` is a text that is the same wherever the word stands.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use crate::support::socketio::Said;
use crate::support::token::token_with;
use crate::support::{Client, Hub, Sio, Transport};

/// Something that is done, and what is to come of it.
#[derive(Debug)]
struct Step {
    line: usize,
    act: Act,
    expected: Vec<(usize, String, Expected)>,
}

#[derive(Debug)]
enum Act {
    Connects(String, Value),
    Drops(String),
    Sends(String, String, Value),
    Calls(String, String, Value),
}

#[derive(Debug)]
enum Expected {
    Answer(Value),
    Event(String, Value),
    Response(u16, Value),
}

/// What a golden file says.
struct Script {
    config: String,
    steps: Vec<Step>,
}

fn read(text: &str) -> Script {
    let (mut config, mut steps) = (String::new(), Vec::<Step>::new());
    let mut block = None;
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        match (block, line.strip_prefix("```")) {
            (None, Some(language)) => block = Some(language),
            (Some(_), Some(_)) => block = None,
            (Some("toml"), None) => config.extend([line, "\n"]),
            (Some("chat"), None) if line.starts_with("  ") => {
                let (_, last) =
                    lines.last_mut().unwrap_or_else(|| panic!("line {}: nothing to go on with", number + 1));
                last.push_str(line);
            }
            (Some("chat"), None) if !line.is_empty() => lines.push((number + 1, line.to_owned())),
            _ => {}
        }
    }
    for (line, text) in lines {
        let (who, rest) = text.split_once(' ').unwrap_or_else(|| panic!("line {line}: {text}"));
        let (verb, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let who = who.to_owned();
        let json = |text: &str| -> Value {
            if text.is_empty() {
                return json!({});
            }
            serde_json::from_str(text).unwrap_or_else(|error| panic!("line {line}: {error}: {text}"))
        };
        let named = || {
            let (name, data) = rest.split_once(' ').unwrap_or((rest, ""));
            (name.to_owned(), data.trim())
        };
        let (act, expected) = match (who.as_str(), verb) {
            (_, "connects") => (Some(Act::Connects(who.clone(), json(rest))), None),
            (_, "drops") => (Some(Act::Drops(who.clone())), None),
            ("backend", ">") => {
                let (method, rest) = named();
                let (path, body) = rest.split_once(' ').unwrap_or((rest, ""));
                (Some(Act::Calls(method, path.to_owned(), json(body))), None)
            }
            ("backend", "=") => {
                let (status, body) = named();
                (None, Some(Expected::Response(status.parse().unwrap(), json(body))))
            }
            (_, ">") => {
                let (event, data) = named();
                (Some(Act::Sends(who.clone(), event, json(data))), None)
            }
            (_, "=") => (None, Some(Expected::Answer(json(rest)))),
            (_, "<") => {
                let (event, data) = named();
                (None, Some(Expected::Event(event, json(data))))
            }
            _ => panic!("line {line}: no such step: {text}"),
        };
        if let Some(act) = act {
            steps.push(Step { line, act, expected: Vec::new() });
        }
        if let Some(expected) = expected {
            let step = steps.last_mut().unwrap_or_else(|| panic!("line {line}: nothing was done yet"));
            step.expected.push((line, who, expected));
        }
    }
    Script { config, steps }
}

/// What the words in angle brackets stand for.
type Bound = HashMap<String, Value>;

/// Whether `got` is what is expected, with what the words stand for already or from then on.
fn is_as(expected: &Value, got: &Value, bound: &mut Bound) -> bool {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            expected.len() == got.len()
                && expected.iter().all(|(key, value)| got.get(key).is_some_and(|got| is_as(value, got, bound)))
        }
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len() && expected.iter().zip(got).all(|(value, got)| is_as(value, got, bound))
        }
        (Value::String(text), got) => match (word(text), got) {
            (None, got) => got == text,
            (Some("any"), _) => true,
            (Some("number"), got) => got.is_number(),
            (Some("time"), got) => got.as_str().is_some_and(is_time),
            (Some(word), Value::String(_)) => *bound.entry(word.to_owned()).or_insert_with(|| got.clone()) == *got,
            (Some(_), _) => false,
        },
        (expected, got) => expected == got,
    }
}

fn word(text: &str) -> Option<&str> {
    text.strip_prefix('<')?.strip_suffix('>')
}

fn is_time(text: &str) -> bool {
    let pattern = "0000-00-00T00:00:00.000Z";
    let fits = |(got, like): (char, char)| got == like || (like == '0' && got.is_ascii_digit());
    text.len() == pattern.len() && text.chars().zip(pattern.chars()).all(fits)
}

/// The words of a request with what they stand for.
fn filled(value: &Value, bound: &Bound) -> Value {
    match value {
        Value::String(text) => word(text).and_then(|word| bound.get(word)).unwrap_or(value).clone(),
        Value::Array(items) => items.iter().map(|item| filled(item, bound)).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), filled(value, bound))).collect(),
        _ => value.clone(),
    }
}

/// Something a client got.
#[derive(Debug)]
enum Got {
    Answer(Value),
    Event(String, Value),
}

/// Where a golden file is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    Chat,
    Raw,
}

enum Player {
    Sio(Box<Sio>),
    Raw(Box<Client>),
}

impl Player {
    async fn connect(hub: &Hub, on: On, token: &str) -> Self {
        match on {
            On::Raw => Self::Raw(Box::new(Client::connect(hub, token).await)),
            On::Chat => {
                let mut client = Sio::open(hub, Transport::WebSocket).await;
                client.connect("/chat", &json!({ "token": token })).await.unwrap();
                Self::Sio(Box::new(client))
            }
        }
    }

    async fn send(&mut self, event: &str, data: Value) {
        match self {
            Self::Sio(client) => drop(client.emit_for_ack("/chat", event, data).await),
            Self::Raw(client) => client.send(json!({"type": event, "data": data, "id": 1})).await,
        }
    }

    async fn next(&mut self) -> Got {
        match self {
            Self::Sio(client) => {
                let said = client.hear_of_all().await;
                assert_eq!(said.namespace, "/chat", "{said:?}");
                match said.kind {
                    Said::ACK => Got::Answer(said.data[0].clone()),
                    _ => Got::Event(said.event().unwrap().to_owned(), said.data[1].clone()),
                }
            }
            Self::Raw(client) => {
                let message = client.next_of_all().await;
                let data = message["data"].clone();
                match message["type"].as_str().unwrap() {
                    "Reply" => Got::Answer(data),
                    "Error" => {
                        let mut refusal = json!({"success": false});
                        refusal.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
                        Got::Answer(refusal)
                    }
                    event => Got::Event(event.to_owned(), data),
                }
            }
        }
    }

    async fn expect_silence(&mut self) {
        match self {
            Self::Sio(client) => {
                // What it is told next is the answer to this.
                let id = client.emit_for_ack("/chat", "no:such:event", json!({})).await;
                let said = client.hear_of_all().await;
                assert_eq!((said.kind, said.id), (Said::ACK, Some(id)), "expected nothing: {said:?}");
            }
            Self::Raw(client) => client.expect_silence().await,
        }
    }
}

/// An answer of `/chat` as `/ws` has it: a refusal says by its message what `details.reason` says there, and has no
/// sentence of the document.
fn as_raw(answer: &Value) -> Value {
    let mut answer = answer.clone();
    if answer["success"] != false {
        return answer;
    }
    let details = answer.get_mut("details").and_then(Value::as_object_mut);
    if let Some(reason) = details.and_then(|details| details.remove("reason")) {
        answer["message"] = reason;
    } else if answer["code"] == "RATE_LIMITED" {
        answer["message"] = json!("Rate limit exceeded");
    }
    answer
}

async fn play(name: &str, text: &str, on: On) {
    let script = read(text);
    let hub = Hub::with(&script.config);
    let (mut players, mut bound) = (HashMap::<String, Player>::new(), Bound::new());
    let steps = script.steps.len();
    for step in script.steps {
        let at = |line: usize| format!("{name}:{line} on {on:?}");
        let mut response = None;
        match step.act {
            Act::Connects(who, mut claims) => {
                claims["sub"] = json!(who.clone());
                players.insert(who, Player::connect(&hub, on, &token_with(claims)).await);
            }
            Act::Drops(who) => drop(players.remove(&who)),
            Act::Sends(who, event, data) => {
                let player = players.get_mut(&who).unwrap_or_else(|| panic!("{}: who is {who}?", at(step.line)));
                player.send(&event, filled(&data, &bound)).await;
            }
            Act::Calls(method, path, body) => {
                let request = hub.http();
                let request = request.request(&method, &path).key();
                let got = if method == "DELETE" { request.send() } else { request.json(&body).send() };
                response = Some((got.status, got.json()));
            }
        }
        let mut waited: HashMap<String, VecDeque<(usize, Expected)>> = HashMap::new();
        for (line, who, expected) in step.expected {
            if let Expected::Response(status, body) = &expected {
                let (got_status, got) = response.take().unwrap_or_else(|| panic!("{}: nothing was called", at(line)));
                assert_eq!(*status, got_status, "{}: {got}", at(line));
                assert!(is_as(body, &got, &mut bound), "{}: expected\n{body}\ngot\n{got}", at(line));
            } else {
                waited.entry(who).or_default().push_back((line, expected));
            }
        }
        for (who, mut expected) in waited {
            let player = players.get_mut(&who).unwrap_or_else(|| panic!("{}: who is {who}?", at(step.line)));
            while !expected.is_empty() {
                let got = player.next().await;
                let fits = |(_, expected): &(usize, Expected)| {
                    let mut tried = bound.clone();
                    let fits = match (expected, &got) {
                        (Expected::Answer(expected), Got::Answer(got)) => {
                            let expected = if on == On::Raw { as_raw(expected) } else { expected.clone() };
                            is_as(&expected, got, &mut tried)
                        }
                        (Expected::Event(name, expected), Got::Event(event, got)) => {
                            name == event && is_as(expected, got, &mut tried)
                        }
                        _ => false,
                    };
                    fits.then_some(tried)
                };
                let found = expected.iter().enumerate().find_map(|(index, one)| Some((index, fits(one)?)));
                let Some((index, tried)) = found else {
                    panic!("{}: {who} got\n{got:#?}\nand waited for\n{expected:#?}", at(step.line));
                };
                bound = tried;
                expected.remove(index);
            }
        }
    }
    assert!(steps > 0, "{name} plays nothing");
    for player in players.values_mut() {
        player.expect_silence().await;
    }
}

macro_rules! golden {
    ($($name:ident: $file:literal on $($on:ident),+;)*) => {
        $(mod $name {
            $(#[tokio::test]
            #[expect(non_snake_case, reason = "named by where it is played")]
            async fn $on() {
                super::play($file, include_str!($file), super::On::$on).await;
            })+
        })*

        /// Every file, and where it is played.
        const FILES: &[&str] = &[$($file),*];
    };
}

golden! {
    rooms: "rooms.md" on Chat, Raw;
    messages: "messages.md" on Chat, Raw;
    connection: "connection.md" on Chat, Raw;
    presence: "presence.md" on Chat, Raw;
    online: "online.md" on Chat;
    monitoring: "monitoring.md" on Chat, Raw;
}

#[test]
fn every_golden_file_is_played() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<_> = files.filter(|name| name.ends_with(".md")).collect();
    files.sort();
    let mut played = FILES.to_vec();
    played.sort_unstable();
    assert_eq!(files, played);
}

/// Every event of the chat system is sent by a golden file, and succeeds and fails there; what cannot fail by itself is
/// listed.
#[test]
fn every_event_of_the_chat_system_has_a_success_and_a_failure() {
    use hubbub_actors::events::table;
    use hubbub_actors::model::surface::Surface;

    let mut seen: HashMap<String, (bool, bool)> = HashMap::new();
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/");
    for file in FILES {
        for step in read(&std::fs::read_to_string(format!("{directory}{file}")).unwrap()).steps {
            let Act::Sends(_, event, _) = &step.act else { continue };
            let (succeeded, failed) = seen.entry(event.clone()).or_default();
            for (_, _, expected) in &step.expected {
                if let Expected::Answer(answer) = expected {
                    *(if answer["success"] == true { &mut *succeeded } else { &mut *failed }) = true;
                }
            }
        }
    }
    for row in table::CLIENT.iter().filter(|row| row.on == [Surface::Raw, Surface::Chat]) {
        let both = seen.get(row.name).copied().unwrap_or_default();
        assert_eq!(both, (true, true), "{}: (a success, a failure) in the golden files", row.name);
    }
}
