//! `POST /api/batch`: up to [`COMMANDS_MAX`] commands in one request, executed in order. A failed command does not stop the
//! others. Each result is the response of the command's own endpoint.

use std::borrow::Cow;
use std::fmt;

use actix_web::web;
use bytes::Bytes;
use hubbub_actors::events::timestamp::Iso;
use hubbub_actors::model::fault::{Code, Fault};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::call::Call;
use super::json;
use super::push::{self, BroadcastBody, DisconnectBody, PushBody, RoomBody};
use super::push_command::{CommandReply, PushCommand};
use super::request::{Body, body_types};
use crate::error::HttpError;
use crate::error::body::ApiError;
use crate::openapi::{Example, JsonReply, Operation, Tag, True};
use crate::state::SharedState;

/// Most commands in a batch.
const COMMANDS_MAX: usize = 1_000;

/// Commands that are executed before the first of them is awaited on disk: the store writes them together.
const GROUP_MAX: usize = 100;

/// Commands.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Batch<'a> {
    /// The commands, in order. Each has one member: `push`, `broadcast`, `room` or `disconnect`, with the body of that endpoint.
    #[serde(borrow)]
    #[schemars(schema_with = "commands_schema")]
    commands: Vec<&'a RawValue>,
}

body_types!(Batch<'a>);

/// A command of a batch is read on its own, so that its refusal is its own result.
fn commands_schema(generator: &mut SchemaGenerator) -> Schema {
    let mut command = |name: &str, body: fn(&mut SchemaGenerator) -> Schema| {
        let mut properties = serde_json::Map::new();
        properties.insert(name.to_owned(), body(generator).into());
        json_schema!({"type": "object", "required": [name], "properties": properties, "additionalProperties": false})
    };
    let commands = [
        command("push", |generator| generator.subschema_for::<PushBody<'_>>()),
        command("broadcast", |generator| generator.subschema_for::<BroadcastBody<'_>>()),
        command("room", |generator| generator.subschema_for::<RoomBody<'_>>()),
        command("disconnect", |generator| generator.subschema_for::<DisconnectBody>()),
    ];
    json_schema!({"type": "array", "minItems": 1, "maxItems": COMMANDS_MAX, "items": {"oneOf": commands}})
}

/// The results of a batch.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct BatchReply {
    /// `true`, whatever the results are.
    success: True,
    /// A result for each command, in the same order: the response that its own endpoint would give.
    #[schemars(with = "Vec<CommandResult>")]
    results: Vec<Box<RawValue>>,
    /// The time of the response.
    timestamp: Iso,
}

/// The result of a command in a batch.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum CommandResult<'a> {
    /// It was executed.
    Done(&'a CommandReply),
    /// It was refused.
    Refused(ApiError<'a>),
}

pub(super) const BATCH: Operation = Operation {
    id: "batch",
    tag: Tag::Commands,
    summary: "Executes up to 1,000 commands in order.",
    description: "A refused command does not stop the others, and the status stays 200: read `success` of each result. The \
        body of the whole request has at most `server.max_body`.",
    errors: &[],
    example: Example {
        target: "/api/batch",
        body: r#"{"commands": [{"push": {"userId": "u1", "event": "greet", "data": 1}}, {"disconnect": {}}]}"#,
        status: 200,
        answer: r#"{"success": true, "results": [
            {"success": true, "recipients": 1, "delivered": true, "timestamp": "2026-01-02T03:04:05.678Z"},
            {"success": false, "error": "`userId` is missing", "code": "INVALID_REQUEST", "requestId": "r-1",
             "details": {"field": "userId"}}
        ], "timestamp": "2026-01-02T03:04:05.678Z"}"#,
    },
};

/// `POST /api/batch`.
pub(super) async fn batch(
    call: Call,
    state: web::Data<SharedState>,
    body: Body<Batch<'static>>,
) -> Result<JsonReply<BatchReply>, HttpError> {
    let batch = body.parse()?;
    check_count(batch.commands.len())?;
    let most = push::notification_bytes(&state);
    let mut results = Vec::with_capacity(batch.commands.len());
    for group in batch.commands.chunks(GROUP_MAX) {
        let mut executed = Vec::with_capacity(group.len());
        for (command, item) in group.iter().zip(results.len()..) {
            executed.push(match read(command, body.bytes(), most).and_then(|command| allowed(&call, command)) {
                Ok(command) => command.execute(&state, &call, Some(item)).await,
                Err(fault) => Err(fault),
            });
        }
        for result in executed {
            let result = match result {
                Ok(executed) => executed.answer(&state).await,
                Err(fault) => Err(fault),
            };
            if let Err(fault) = &result {
                call.log_item_refused(&state, results.len(), fault);
            }
            results.push(written(result.as_ref(), call.id().as_str())?);
        }
    }
    Ok(JsonReply(BatchReply { success: True, results, timestamp: Iso(state.now_ms()) }))
}

fn written(result: Result<&CommandReply, &Fault>, request_id: &str) -> Result<Box<RawValue>, Fault> {
    let result = match result {
        Ok(reply) => CommandResult::Done(reply),
        Err(fault) => CommandResult::Refused(ApiError::of(fault, request_id)),
    };
    to_raw_value(&result).map_err(|error| Fault::internal().caused_by(error.to_string()))
}

fn check_count(count: usize) -> Result<(), Fault> {
    if (1..=COMMANDS_MAX).contains(&count) {
        return Ok(());
    }
    Err(Fault::field("commands", format!("`commands` has {count} commands, not 1 to {COMMANDS_MAX}")))
}

/// The members of a command. A map would hide the first of two with the same name.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersReader;

        impl<'de> Visitor<'de> for MembersReader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersReader)
    }
}

fn read(command: &RawValue, body: &Bytes, most: usize) -> Result<PushCommand, Fault> {
    let Members(members) = json::parse(command.get().as_bytes())?;
    let [(name, part)] = &members[..] else {
        return Err(unknown());
    };
    let part = part.get().as_bytes();
    match name.as_ref() {
        "push" => push::read_push(&json::parse(part)?, body, most),
        "broadcast" => push::read_broadcast(&json::parse(part)?, body, most),
        "room" => push::read_room(&json::parse(part)?, body, most),
        "disconnect" => push::read_disconnect(&json::parse(part)?),
        _ => Err(unknown()),
    }
}

/// Refuses a command that its own endpoint would refuse for the caller's key. The guard has checked the scope of the batch.
fn allowed(call: &Call, command: PushCommand) -> Result<PushCommand, Fault> {
    call.check_scope(command.scope())?;
    Ok(command)
}

fn unknown() -> Fault {
    Fault::new(
        Code::InvalidRequest,
        "A command is one of push, broadcast, room and disconnect, with the body of its endpoint",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_command(command: &str) -> Result<PushCommand, Fault> {
        let body = Bytes::from(format!("{{\"commands\":[{command}]}}"));
        let batch: Batch<'_> = json::parse(&body).unwrap();
        read(batch.commands[0], &body, 100)
    }

    #[test]
    fn a_batch_has_1_to_1000_commands() {
        assert!(check_count(1).is_ok());
        assert!(check_count(1_000).is_ok());
        for count in [0, 1_001] {
            let fault = check_count(count).unwrap_err();
            assert_eq!(fault.field.as_deref(), Some("commands"));
        }
    }

    #[test]
    fn a_command_is_read_like_the_body_of_its_endpoint() {
        for (command, body) in [
            ("push", r#"{"userId":1,"event":"e","data":[1, 2]}"#),
            ("broadcast", r#"{"event":"e","data":1}"#),
            ("room", r#"{"room":"lobby","event":"e","data":1}"#),
            ("disconnect", r#"{"userId":1}"#),
            ("push", r#"{"userId":1,"event":5,"data":1}"#),
            ("room", r#"{"event":"e","data":1}"#),
            ("disconnect", "[]"),
        ] {
            let alone = Bytes::from(body);
            let alone = match command {
                "push" => json::parse(&alone).and_then(|body| push::read_push(&body, &alone, 100)),
                "broadcast" => json::parse(&alone).and_then(|body| push::read_broadcast(&body, &alone, 100)),
                "room" => json::parse(&alone).and_then(|body| push::read_room(&body, &alone, 100)),
                _ => json::parse(&alone).and_then(|body| push::read_disconnect(&body)),
            };
            assert_eq!(read_command(&format!("{{\"{command}\":{body}}}")), alone);
        }
    }

    #[test]
    fn an_unknown_command_is_refused() {
        for command in ["{}", r#"{"shout":{}}"#, "5", "null"] {
            assert_eq!(read_command(command).unwrap_err().code, Code::InvalidRequest);
        }
    }

    #[test]
    fn two_commands_in_one_are_refused() {
        let (push, broadcast) =
            (r#""push":{"userId":1,"event":"e","data":1}"#, r#""broadcast":{"event":"e","data":1}"#);
        for command in [push, broadcast] {
            assert!(read_command(&format!("{{{command}}}")).is_ok());
        }
        for (first, second) in [(push, push), (push, broadcast), (broadcast, push)] {
            assert_eq!(read_command(&format!("{{{first},{second}}}")), Err(unknown()));
        }
    }
}
