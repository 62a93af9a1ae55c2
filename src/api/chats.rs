//! `PUT`, `GET` and `DELETE /api/chats/{chatId}`: the chats that users may join.

use actix_web::web;
use hubbub_actors::events::timestamp::Iso;
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::model::ids::{ChatId, IdText, OWNED_NAME_MAX, UserId};
use hubbub_actors::store::{CHAT_DESCRIPTION_MAX, CHAT_NAME_MAX, Chat, PARTICIPANTS_MAX};
use log::Level;
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::audit;
use super::call::Call;
use super::request::{Body, body_types};
use crate::error::HttpError;
use crate::openapi::{Example, JsonReply, Operation, Saved, Tag, True};
use crate::state::SharedState;

/// A whole chat. Omitted fields have their default. Unknown fields are refused: a misspelt `participants` would remove
/// everyone. The response of `GET` can be sent back, with its `chatId` and `createdAt`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChatBody {
    /// The name to show. Default: the id.
    #[schemars(length(max = CHAT_NAME_MAX))]
    name: Option<String>,
    /// The description. Default: empty.
    #[schemars(length(max = CHAT_DESCRIPTION_MAX))]
    description: Option<String>,
    /// Whether every user may join. Default: `false`.
    public: Option<bool>,
    /// The ids of the users that may join a chat that is not public. Default: none.
    #[schemars(length(max = PARTICIPANTS_MAX))]
    participants: Option<Vec<IdText>>,
    /// The id. If it is present, it equals the one in the path.
    #[serde(rename = "chatId")]
    chat_id: Option<IdText>,
    /// Ignored, so that a response can be sent back.
    #[serde(rename = "createdAt")]
    #[schemars(with = "Option<serde_json::Value>")]
    #[expect(dead_code, reason = "accepted, so that an answer can be sent back; a caller cannot change it")]
    created_at: Option<IgnoredAny>,
}

body_types!(ChatBody);

/// The path.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ChatPath {
    /// The id of the chat.
    #[schemars(length(min = 1, max = OWNED_NAME_MAX))]
    #[serde(rename = "chatId")]
    chat: String,
}

fn read(id: &str, body: &Body<ChatBody>, now: i64) -> Result<Chat, Fault> {
    let id = ChatId::parse(id, "chatId")?;
    let chat_body = body.parse()?;
    if chat_body.chat_id.is_some_and(|other| other.0 != id.as_str()) {
        return Err(Fault::field("chatId", "`chatId` is not the one in the path"));
    }
    let users = chat_body.participants.unwrap_or_default().into_iter().enumerate();
    let users = users.map(|(index, user)| UserId::parse(&user.0, &format!("participants[{index}]")));
    let chat = Chat::new(id, chat_body.name.unwrap_or_default(), chat_body.description.unwrap_or_default(), now)?;
    let chat = chat.with_participants(users.collect::<Result<_, _>>()?)?;
    Ok(Chat { public: chat_body.public.unwrap_or_default(), ..chat })
}

/// A chat.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ChatContent {
    /// The id.
    #[schemars(with = "String")]
    chat_id: ChatId,
    /// The name to show.
    name: String,
    /// The description.
    description: String,
    /// Whether every user may join.
    public: bool,
    /// The ids of the users that may join a chat that is not public, sorted.
    #[schemars(with = "Vec<String>")]
    participants: Vec<UserId>,
    /// When the chat was created.
    created_at: Iso,
}

/// The response with a chat.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ChatReply {
    /// `true`.
    success: True,
    /// The chat.
    chat: ChatContent,
    /// The time of the response.
    timestamp: Iso,
}

impl ChatReply {
    fn of(chat: Chat, now: i64) -> Self {
        let Chat { id, name, description, public, participants, created_at, made_by: _ } = chat;
        let created_at = Iso(created_at);
        let chat = ChatContent { chat_id: id, name, description, public, participants, created_at };
        Self { success: True, chat, timestamp: Iso(now) }
    }
}

/// The response to a deletion.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DeletedReply {
    /// `true`.
    success: True,
    /// The time of the response.
    timestamp: Iso,
}

fn no_such_chat() -> Fault {
    Fault::new(Code::NotFound, "There is no such chat")
}

const EXAMPLE_ANSWER: &str = r#"{"success": true, "chat": {"chatId": "team", "name": "The team", "description": "",
    "public": false, "participants": ["u1", "u2"], "createdAt": "2026-01-02T03:04:05.678Z"},
    "timestamp": "2026-01-02T03:04:05.678Z"}"#;

pub(super) const PUT: Operation = Operation {
    id: "putChat",
    tag: Tag::Management,
    summary: "Creates a chat, or replaces it as a whole.",
    description: "An omitted field gets its default. An unknown field is refused: a misspelt `participants` would remove \
        everyone. The `chat` of a response can be sent back.",
    errors: &[Code::LimitReached, Code::StoreUnavailable, Code::OutcomeUnknown],
    example: Example {
        target: "/api/chats/team",
        body: r#"{"name": "The team", "participants": ["u1", "u2"]}"#,
        status: 201,
        answer: EXAMPLE_ANSWER,
    },
};

/// `PUT /api/chats/{chatId}`.
pub(super) async fn put(
    state: web::Data<SharedState>,
    call: Call,
    path: web::Path<ChatPath>,
    body: Body<ChatBody>,
) -> Result<Saved<ChatReply>, HttpError> {
    let (chat, made) = state.hub.put_chat(read(&path.chat, &body, state.now_ms())?).await?;
    let what = if made { "chat created" } else { "chat changed" };
    audit::log(Level::Info, &call, what, &[("chat", chat.id.as_str().into())]);
    let reply = ChatReply::of(chat, state.now_ms());
    Ok(if made { Saved::Created(reply) } else { Saved::Replaced(reply) })
}

pub(super) const GET: Operation = Operation {
    id: "getChat",
    tag: Tag::Management,
    summary: "Reads a chat.",
    description: "",
    errors: &[Code::NotFound, Code::StoreUnavailable],
    example: Example { target: "/api/chats/team", body: "", status: 200, answer: EXAMPLE_ANSWER },
};

/// `GET /api/chats/{chatId}`.
pub(super) async fn get(
    state: web::Data<SharedState>,
    path: web::Path<ChatPath>,
) -> Result<JsonReply<ChatReply>, HttpError> {
    let chat = state.hub.store().chat(ChatId::parse_existing(&path.chat, "chatId")?).await?.ok_or_else(no_such_chat)?;
    Ok(JsonReply(ChatReply::of(chat, state.now_ms())))
}

pub(super) const DELETE: Operation = Operation {
    id: "deleteChat",
    tag: Tag::Management,
    summary: "Deletes a chat and its messages.",
    description: "",
    errors: &[Code::NotFound, Code::StoreUnavailable, Code::OutcomeUnknown],
    example: Example {
        target: "/api/chats/team",
        body: "",
        status: 200,
        answer: r#"{"success": true, "timestamp": "2026-01-02T03:04:05.678Z"}"#,
    },
};

/// `DELETE /api/chats/{chatId}`.
pub(super) async fn delete(
    state: web::Data<SharedState>,
    call: Call,
    path: web::Path<ChatPath>,
) -> Result<JsonReply<DeletedReply>, HttpError> {
    match state.hub.delete_chat(ChatId::parse_existing(&path.chat, "chatId")?).await? {
        true => {
            audit::log(Level::Info, &call, "chat deleted", &[("chat", path.chat.as_str().into())]);
            Ok(JsonReply(DeletedReply { success: True, timestamp: Iso(state.now_ms()) }))
        }
        false => Err(no_such_chat().into()),
    }
}
