//! Messages of chats, typing and receipts.

mod message;
mod stored_reply;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::Success;
use crate::events::client_id::ClientId;
use crate::events::json::Json;
use crate::events::timestamp::Iso;
use crate::events::{PrecedingEvent, ServerEvent, acknowledgements};
use crate::model::identity::Identity;
use crate::model::ids::{ChatId, ChatMessageId, UserId};
use crate::model::message::{ChatMessage, Content, ContentType, DeliveryStatus};
use crate::model::surface::Surface;

/// Messages on a page of history, at most.
pub const PAGE_MAX: u32 = 100;
/// Messages on a page of history by default.
const PAGE: u32 = 50;

/// Sends a message to a chat. The acknowledgement follows once the message is stored; delivery does not wait for that.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SendMessage {
    /// A chat that the session is in.
    pub chat_id: ChatId,
    /// 1 to 10,000 characters; of control characters only newline and tab.
    pub content: Content,
    /// The type of the content: `text`, `image`, `file` or another word of up to 50 characters. `text` by default.
    #[serde(default, rename = "type")]
    pub content_type: ContentType,
    /// The client's id of this message, so that the client can repeat it, as with `Broadcast`.
    #[serde(default, rename = "client_id", deserialize_with = "ClientId::given")]
    pub client_id: Option<ClientId>,
}

/// Starts or stops typing in a chat. Typing also stops after 30 seconds, and when the session leaves or ends.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateTyping {
    /// A chat that the session is in.
    pub chat_id: ChatId,
    /// Whether the user types.
    pub is_typing: bool,
}

/// Requests the users that are typing in a chat.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskTyping {
    /// A chat that the session is in.
    pub chat_id: ChatId,
}

/// Confirms the delivery of a message. The acknowledgement follows once the receipt is stored.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfirmDelivered {
    /// The message.
    pub message_id: ChatMessageId,
    /// Its chat, which the session is in.
    pub chat_id: ChatId,
}

/// Confirms that a message was read, and so delivered. The acknowledgement follows once the receipt is stored.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfirmRead {
    /// The message.
    pub message_id: ChatMessageId,
    /// Its chat, which the session is in.
    pub chat_id: ChatId,
}

/// Requests the receipts of a message: the first 1,000 users of each kind.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskStatus {
    /// A message of a chat that the session is in.
    pub message_id: ChatMessageId,
}

/// Requests the hub's message statistics.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AskMessageStats {}

/// Requests earlier messages of a chat: the latest ones, or the latest before a message.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskHistory {
    /// A chat that the session is in.
    pub chat_id: ChatId,
    /// A message of the chat; the page ends before it.
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
    /// The reply for a stored message of the JSON text `data`.
    pub fn new(data: &[u8], id: ChatMessageId, chat_id: ChatId, at: i64) -> Self {
        Self {
            success: Success::with_message("Message sent successfully"),
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

/// Tells the sending session that its message is stored.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageSent {
    #[schemars(with = "String")]
    message_id: ChatMessageId,
    #[schemars(with = "String")]
    chat_id: ChatId,
    timestamp: Iso,
}

/// A message, to all members of the chat, including the sender.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct MessageNew(pub ChatMessage);

/// Answers `message:typing`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TypingUpdated(Success);

impl TypingUpdated {
    /// The reply.
    pub const DONE: Self = Self(Success::with_message("Typing status updated"));
}

/// Sent to the other members of a chat when a user started or stopped typing.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChatUserTyping {
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

/// A user that is typing.
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
    /// When typing started.
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
    /// The reply with these users.
    pub fn new(typing_users: Vec<TypingUser>) -> Self {
        Self { success: Success::DONE, typing_users }
    }
}

/// Answers `message:delivered`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DeliveryConfirmed(Success);

impl DeliveryConfirmed {
    /// The receipt is stored.
    pub const DONE: Self = Self(Success::with_message("Delivery confirmed"));
}

/// Answers `message:read`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReadConfirmed(Success);

impl ReadConfirmed {
    /// The receipt is stored.
    pub const DONE: Self = Self(Success::with_message("Read confirmation recorded"));
}

/// Sent to all members of a chat when a message was delivered to a user; only to the author if a large chat has too
/// many receipts.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct MessageDelivered(pub Confirmed);

/// Sent to all members of a chat when a user read a message; only to the author if a large chat has too many receipts.
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
    /// The user.
    #[schemars(with = "String")]
    pub user_id: UserId,
    /// When the receipt arrived.
    pub timestamp: Iso,
}

/// Answers `message:delivery-status`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MessageStatus {
    #[serde(flatten)]
    success: Success,
    status: DeliveryStatus,
}

impl MessageStatus {
    /// The receipts so far.
    pub fn new(status: DeliveryStatus) -> Self {
        Self { success: Success::DONE, status }
    }
}

/// The hub's message statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageCounts {
    /// Users that are typing, counted once for each chat.
    pub active_typing_users: u64,
    /// Stored messages.
    pub tracked_messages: u64,
    /// Delivery receipts of stored messages.
    pub total_delivered: u64,
    /// Read receipts of stored messages.
    pub total_read: u64,
}

/// Answers `message:stats`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MessageStats {
    #[serde(flatten)]
    success: Success,
    stats: MessageCounts,
}

impl MessageStats {
    /// The reply with these statistics.
    pub fn new(stats: MessageCounts) -> Self {
        Self { success: Success::DONE, stats }
    }
}

/// Answers `message:history`: messages in their order, and whether earlier ones exist.
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

acknowledgements!(TypingUpdated, TypingUsers, DeliveryConfirmed, ReadConfirmed, MessageStatus, MessageStats, History);

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
    fn content_and_type_are_checked_when_parsed() {
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
