//! `POST /api/batch`: up to [`COMMANDS_MAX`] commands in one request, executed in order. A failed command does not stop the
//! others. Each result is the response of the command's own endpoint.

use std::borrow::Cow;
use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use hubbub_actors::model::fault::{Code, Fault};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::call::Call;
use super::guard::AdmittedBody;
use super::push;
use super::push_command::PushCommand;
use super::{HandlerResult, iso, json};
use crate::error::{self, Shape};
use crate::state::SharedState;

/// Most commands in a batch.
const COMMANDS_MAX: usize = 1_000;

/// Commands that are executed before the first of them is awaited on disk: the store writes them together.
const GROUP_MAX: usize = 100;

#[derive(Debug, Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    commands: Vec<&'a RawValue>,
}

/// `POST /api/batch`.
pub(super) async fn batch(
    call: Call,
    state: web::Data<SharedState>,
    AdmittedBody(body): AdmittedBody,
) -> HandlerResult {
    let batch: Batch<'_> = json::parse(&body)?;
    check_count(batch.commands.len())?;
    let most = push::notification_bytes(&state);
    let mut results = Vec::with_capacity(batch.commands.len());
    for group in batch.commands.chunks(GROUP_MAX) {
        let mut executed = Vec::with_capacity(group.len());
        for (command, item) in group.iter().zip(results.len()..) {
            executed.push(match read(command, &body, most).and_then(|command| allowed(&call, command)) {
                Ok(command) => command.execute(&state, &call, Some(item)).await,
                Err(fault) => Err(fault),
            });
        }
        for result in executed {
            let result = match result {
                Ok(executed) => executed.answer(&state).await,
                Err(fault) => Err(fault),
            };
            results.push(result.unwrap_or_else(|fault| {
                call.log_item_refused(&state, results.len(), &fault);
                error::body(&fault, Shape::Api, call.id().as_str())
            }));
        }
    }
    Ok(HttpResponse::Ok().json(json!({
        "success": true,
        "results": results,
        "timestamp": iso(state.now_ms()),
    })))
}

fn check_count(count: usize) -> Result<(), Fault> {
    if (1..=COMMANDS_MAX).contains(&count) {
        return Ok(());
    }
    Err(Fault::field("commands", format!("`commands` has {count} commands, not 1 to {COMMANDS_MAX}")))
}

fn read(command: &RawValue, body: &Bytes, most: usize) -> Result<PushCommand, Fault> {
    let named: BTreeMap<Cow<'_, str>, &RawValue> = json::parse(command.get().as_bytes())?;
    let mut named = named.iter();
    let (Some((name, part)), None) = (named.next(), named.next()) else {
        return Err(unknown());
    };
    let part = part.get().as_bytes();
    match name.as_ref() {
        "push" => push::read_push(part, body, most),
        "broadcast" => push::read_broadcast(part, body, most),
        "room" => push::read_room(part, body, most),
        "disconnect" => push::read_disconnect(part),
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
                "push" => push::read_push(&alone, &alone, 100),
                "broadcast" => push::read_broadcast(&alone, &alone, 100),
                "room" => push::read_room(&alone, &alone, 100),
                _ => push::read_disconnect(&alone),
            };
            assert_eq!(read_command(&format!("{{\"{command}\":{body}}}")), alone);
        }
    }

    #[test]
    fn an_unknown_command_is_refused() {
        for command in ["{}", r#"{"shout":{}}"#, r#"{"push":{},"room":{}}"#, "5", "null"] {
            assert_eq!(read_command(command).unwrap_err().code, Code::InvalidRequest);
        }
    }
}
