//! `PUT`, `GET` and `DELETE /api/chats/{chatId}`: the chats that users may join.

use actix_web::{HttpResponse, web};
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::model::ids::{ChatId, IdText, UserId};
use hubbub_actors::store::Chat;
use log::Level;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::call::Call;
use super::guard::AdmittedBody;
use super::{HandlerResult, audit, iso, json};
use crate::state::SharedState;

/// A whole chat. Omitted fields have their default. Unknown fields are refused: a misspelt `participants` would remove
/// everyone. The response of `GET` can be sent back, with its `chatId` and `createdAt`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChatBody {
    name: Option<String>,
    description: Option<String>,
    public: Option<bool>,
    participants: Option<Vec<IdText>>,
    #[serde(rename = "chatId")]
    chat_id: Option<IdText>,
    #[serde(rename = "createdAt")]
    #[expect(dead_code, reason = "accepted, so that an answer can be sent back; a caller cannot change it")]
    created_at: Option<IgnoredAny>,
}

fn read(id: &str, body: &[u8], now: i64) -> Result<Chat, Fault> {
    let id = ChatId::parse(id, "chatId")?;
    let chat_body: ChatBody = json::parse(body)?;
    if chat_body.chat_id.is_some_and(|other| other.0 != id.as_str()) {
        return Err(Fault::field("chatId", "`chatId` is not the one in the path"));
    }
    let users = chat_body.participants.unwrap_or_default().into_iter().enumerate();
    let users = users.map(|(index, user)| UserId::parse(&user.0, &format!("participants[{index}]")));
    let chat = Chat::new(id, chat_body.name.unwrap_or_default(), chat_body.description.unwrap_or_default(), now)?;
    let chat = chat.with_participants(users.collect::<Result<_, _>>()?)?;
    Ok(Chat { public: chat_body.public.unwrap_or_default(), ..chat })
}

fn chat_json(chat: &Chat, now: i64) -> Value {
    json!({
        "success": true,
        "chat": {
            "chatId": chat.id,
            "name": chat.name,
            "description": chat.description,
            "public": chat.public,
            "participants": chat.participants,
            "createdAt": iso(chat.created_at),
        },
        "timestamp": iso(now),
    })
}

fn no_such_chat() -> Fault {
    Fault::new(Code::NotFound, "There is no such chat")
}

/// `PUT /api/chats/{chatId}`: 201 if the chat was created, 200 if it was replaced.
pub(super) async fn put(
    state: web::Data<SharedState>,
    call: Call,
    id: web::Path<String>,
    AdmittedBody(body): AdmittedBody,
) -> HandlerResult {
    let (chat, made) = state.hub.put_chat(read(&id, &body, state.now_ms())?).await?;
    let what = if made { "chat created" } else { "chat changed" };
    audit::log(Level::Info, &call, what, &[("chat", chat.id.as_str().into())]);
    let mut answer = if made { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(answer.json(chat_json(&chat, state.now_ms())))
}

/// `GET /api/chats/{chatId}`.
pub(super) async fn get(state: web::Data<SharedState>, id: web::Path<String>) -> HandlerResult {
    let chat = state.hub.store().chat(ChatId::parse_existing(&id, "chatId")?).await?.ok_or_else(no_such_chat)?;
    Ok(HttpResponse::Ok().json(chat_json(&chat, state.now_ms())))
}

/// `DELETE /api/chats/{chatId}`: deletes the chat and its messages.
pub(super) async fn delete(state: web::Data<SharedState>, call: Call, id: web::Path<String>) -> HandlerResult {
    match state.hub.delete_chat(ChatId::parse_existing(&id, "chatId")?).await? {
        true => {
            audit::log(Level::Info, &call, "chat deleted", &[("chat", id.as_str().into())]);
            Ok(HttpResponse::Ok().json(json!({"success": true, "timestamp": iso(state.now_ms())})))
        }
        false => Err(no_such_chat().into()),
    }
}
