//! What is said in chats: messages, who types, and who got and read what.

mod message;
mod replay;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::Success;
use crate::events::json::Json;
use crate::events::moment::Iso;
use crate::events::naming::ClientId;
use crate::events::{PrecedingEvent, ServerEvent, acknowledgements};
use crate::model::identity::Identity;
use crate::model::ids::{ChatId, ChatMessageId, UserId};
use crate::model::message::{ChatMessage, Content, ContentType, DeliveryStatus};
use crate::model::surface::Surface;

/// Messages on a page of history, at most.
pub const PAGE_MAX: u32 = 100;
/// Messages on a page of history where nobody says how many.
const PAGE: u32 = 50;

/// Says something in a chat. Acknowledged once it is on the disk; the others do not wait for that.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SendMessage {
    /// A chat that the session is in.
    pub chat_id: ChatId,
    /// 1 to 10,000 characters; of control characters only newline and tab.
    pub content: Content,
    /// What the content is: `text`, `image`, `file` or another word of up to 50 characters. `text` by default.
    #[serde(default, rename = "type")]
    pub content_type: ContentType,
    /// What the client calls this message, so that it may send it again, as with `Broadcast`.
    #[serde(default, rename = "client_id", deserialize_with = "ClientId::given")]
    pub client_id: Option<ClientId>,
}

/// Says that the user types in a chat, or does not any more. A typist who falls silent for 30 seconds, leaves or is cut
/// off stops by that.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Type {
    /// A chat that the session is in.
    pub chat_id: ChatId,
    /// Whether the user types.
    pub is_typing: bool,
}

/// Asks who types in a chat.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskTyping {
    /// A chat that the session is in.
    pub chat_id: ChatId,
}

/// Says that a message has come. Acknowledged once that is on the disk.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfirmDelivered {
    /// The message.
    pub message_id: ChatMessageId,
    /// Its chat, which the session is in.
    pub chat_id: ChatId,
}

/// Says that a message was read, and with that, that it has come. Acknowledged once that is on the disk.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfirmRead {
    /// The message.
    pub message_id: ChatMessageId,
    /// Its chat, which the session is in.
    pub chat_id: ChatId,
}

/// Asks who got and who read a message: the first 1,000 of each.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskStatus {
    /// A message of a chat that the session is in.
    pub message_id: ChatMessageId,
}

/// Asks for the hub's figures of messages.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AskStats {}

/// Asks for messages that were said before: the last ones, or those before a message.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskHistory {
    /// A chat that the session is in.
    pub chat_id: ChatId,
    /// A message of the chat; those before it are meant.
    #[serde(default)]
    pub before: Option<ChatMessageId>,
    /// How many at most, 1 to 100; 50 by default.
    #[serde(default = "page", deserialize_with = "page_within")]
    pub limit: u32,
}

fn page() -> u32 {
    PAGE
}

fn page_within<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match Option::<u32>::deserialize(deserializer)? {
        None => Ok(PAGE),
        Some(limit @ 1..=PAGE_MAX) => Ok(limit),
        Some(_) => Err(serde::de::Error::custom("expected 1 to 100")),
    }
}

/// Answers `message:send`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    #[serde(flatten)]
    success: Success,
    #[schemars(with = "ChatMessage")]
    sent_message: Json,
    #[serde(skip)]
    sent: MessageSent,
}

impl Sent {
    /// The message, of the JSON text `data`, is on the disk.
    pub fn new(data: &[u8], id: ChatMessageId, chat_id: ChatId, at: i64) -> Self {
        Self {
            success: Success::saying("Message sent successfully"),
            sent_message: Json::text(data),
            sent: MessageSent { message_id: id, chat_id, timestamp: Iso(at) },
        }
    }
}

impl ServerEvent for Sent {
    const NAME: &'static str = "";
    const ON: &'static [Surface] = &[];

    fn preceding_events(&self) -> Vec<PrecedingEvent> {
        vec![PrecedingEvent::of(&self.sent)]
    }
}

/// Says to the session that sent a message that it is on the disk.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageSent {
    #[schemars(with = "String")]
    message_id: ChatMessageId,
    #[schemars(with = "String")]
    chat_id: ChatId,
    timestamp: Iso,
}

/// Brings a message to all in the chat, its sender too.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct MessageNew(pub ChatMessage);

/// Answers `message:typing`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Typed(Success);

impl Typed {
    /// The others are told, as far as they do not know.
    pub const DONE: Self = Self(Success::saying("Typing status updated"));
}

/// Says to the others in a chat that a user types there, or does not any more.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserTyping {
    /// The user.
    #[schemars(with = "String")]
    pub user_id: UserId,
    /// The user's name.
    #[schemars(with = "String")]
    pub username: Arc<str>,
    /// The chat.
    #[schemars(with = "String")]
    pub chat_id: ChatId,
    /// Whether the user types.
    pub is_typing: bool,
    /// When.
    pub timestamp: Iso,
}

/// A user who types.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TypingUser {
    /// The user.
    #[schemars(with = "String")]
    pub user_id: UserId,
    /// The user's name.
    #[schemars(with = "String")]
    pub username: Arc<str>,
    /// The chat.
    #[schemars(with = "String")]
    pub chat_id: ChatId,
    /// Since when.
    pub started_at: Iso,
}

/// Answers `message:typing-users`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TypingUsers {
    #[serde(flatten)]
    success: Success,
    typing_users: Vec<TypingUser>,
}

impl TypingUsers {
    /// These users type.
    pub fn new(typing_users: Vec<TypingUser>) -> Self {
        Self { success: Success::DONE, typing_users }
    }
}

/// Answers `message:delivered`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DeliveryConfirmed(Success);

impl DeliveryConfirmed {
    /// It is on the disk.
    pub const DONE: Self = Self(Success::saying("Delivery confirmed"));
}

/// Answers `message:read`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReadConfirmed(Success);

impl ReadConfirmed {
    /// It is on the disk.
    pub const DONE: Self = Self(Success::saying("Read confirmation recorded"));
}

/// Says to all in a chat that a message has come to a user. Where a large chat confirms more than can be told, only to
/// the author.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct MessageDelivered(pub Confirmed);

/// Says to all in a chat that a user has read a message. Where a large chat confirms more than can be told, only to the
/// author.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct MessageRead(pub Confirmed);

/// A user's receipt of a message.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Confirmed {
    /// The message.
    #[schemars(with = "String")]
    pub message_id: ChatMessageId,
    /// Its chat.
    #[schemars(with = "String")]
    pub chat_id: ChatId,
    /// Whose receipt it is.
    #[schemars(with = "String")]
    pub user_id: UserId,
    /// When it came.
    pub timestamp: Iso,
}

/// Answers `message:delivery-status`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Status {
    #[serde(flatten)]
    success: Success,
    status: DeliveryStatus,
}

impl Status {
    /// The receipts so far.
    pub fn new(status: DeliveryStatus) -> Self {
        Self { success: Success::DONE, status }
    }
}

/// The hub's figures of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Users who type in a chat, counted in each.
    pub active_typing_users: u64,
    /// Messages that are kept.
    pub tracked_messages: u64,
    /// Receipts of those.
    pub total_delivered: u64,
    /// Receipts of those that say that it was read.
    pub total_read: u64,
}

/// Answers `message:stats`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Stats {
    #[serde(flatten)]
    success: Success,
    stats: Figures,
}

impl Stats {
    /// The figures.
    pub fn new(stats: Figures) -> Self {
        Self { success: Success::DONE, stats }
    }
}

/// Answers `message:history`: messages in the order they were said, and whether there are earlier ones.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct History {
    #[serde(flatten)]
    success: Success,
    messages: Vec<ChatMessage>,
    has_more: bool,
}

impl History {
    /// A page.
    pub fn new(messages: Vec<ChatMessage>, has_more: bool) -> Self {
        Self { success: Success::DONE, messages, has_more }
    }
}

acknowledgements!(Typed, TypingUsers, DeliveryConfirmed, ReadConfirmed, Status, Stats, History);

impl SendMessage {
    /// The message that the user of `identity` sends at `now`.
    pub fn into_message(self, identity: &Identity, now: i64) -> ChatMessage {
        ChatMessage {
            id: ChatMessageId::random(),
            chat: self.chat_id,
            content: self.content,
            content_type: self.content_type,
            author: identity.user.clone(),
            username: identity.username().to_owned(),
            created_at: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::json;
    use crate::model::message::CONTENT_MAX;

    fn read(data: &str) -> Result<SendMessage, Option<String>> {
        json::parse(data.as_bytes()).map_err(|fault: crate::model::fault::Fault| fault.field)
    }

    #[test]
    fn content_and_type_are_checked_at_the_border() {
        let of = |content: &str| format!(r#"{{"chatId":"c","content":{}}}"#, serde_json::json!(content));
        assert_eq!(read(&of("Hello, 🌍!\n\tdone")).unwrap().content.as_str(), "Hello, 🌍!\n\tdone");
        assert_eq!(read(&of(&"é".repeat(CONTENT_MAX))).unwrap().content_type.as_str(), "text");
        for bad in ["", "a\u{0}", "a\rb", "\u{7f}", "\u{85}", &"é".repeat(CONTENT_MAX + 1)] {
            assert_eq!(read(&of(bad)).unwrap_err().as_deref(), Some("content"), "{bad:?}");
        }
        for (data, field) in [
            (r#"{"content":"x"}"#, "chatId"),
            (r#"{"chatId":"c"}"#, "content"),
            (r#"{"chatId":"","content":"x"}"#, "chatId"),
            (r#"{"chatId":"c","content":"x","type":7}"#, "type"),
            (r#"{"chatId":"c","content":"x","type":"a\nb"}"#, "type"),
        ] {
            assert_eq!(read(data).unwrap_err().as_deref(), Some(field), "{data}");
        }
        assert_eq!(read(r#"{"chatId":7,"content":"x","type":""}"#).unwrap().content_type, ContentType::default());
    }

    #[test]
    fn a_page_has_1_to_100_messages() {
        let read = |data: &str| json::parse::<AskHistory>(data.as_bytes()).map(|ask| ask.limit);
        assert_eq!(read(r#"{"chatId":"c"}"#), Ok(50));
        assert_eq!(read(r#"{"chatId":"c","limit":100}"#), Ok(100));
        for bad in ["0", "101", "-1", "1.5", "\"5\""] {
            let fault = read(&format!(r#"{{"chatId":"c","limit":{bad}}}"#)).unwrap_err();
            assert_eq!(fault.field.as_deref(), Some("limit"), "{bad}");
        }
    }
}
