//! A message of a chat and its receipts.

use crate::model::ids::{ChatId, ChatMessageId, UserId, printable};

/// Longest content of a message, in characters.
pub const CONTENT_MAX: usize = 10_000;

/// Longest content type of a message, in characters.
pub const CONTENT_TYPE_MAX: usize = 50;

/// The content of a message: 1 to [`CONTENT_MAX`] characters, of control characters only newline and tab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content(pub(crate) String);

impl Content {
    /// Checks a text that a client sent.
    ///
    /// # Errors
    /// The text is empty, too long, or has a control character that is neither newline nor tab.
    pub fn parse(text: String) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("is empty; expected 1 to 10000 characters");
        }
        if text.len() > CONTENT_MAX && text.chars().count() > CONTENT_MAX {
            return Err("is longer than 10000 characters");
        }
        if text.chars().any(|char| char.is_control() && char != '\n' && char != '\t') {
            return Err("has a control character that is neither newline nor tab");
        }
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The type of a message's content, such as `text` or `image`: up to [`CONTENT_TYPE_MAX`] printable characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentType(pub(crate) String);

impl Default for ContentType {
    fn default() -> Self {
        Self("text".into())
    }
}

impl ContentType {
    /// Checks a text that a client sent. An empty text means the default, `text`.
    ///
    /// # Errors
    /// The text is too long, or has a character that is not printable.
    pub fn parse(text: String) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        printable(&text, "type", CONTENT_TYPE_MAX).map_err(|_| "expected up to 50 printable characters")?;
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A message of a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// Its id.
    pub id: ChatMessageId,
    /// Its chat.
    pub chat: ChatId,
    /// Its content.
    pub content: Content,
    /// The type of the content.
    pub content_type: ContentType,
    /// Its author.
    pub author: UserId,
    /// The author's name at that time.
    pub username: String,
    /// When it was sent, ms since the epoch.
    pub created_at: i64,
}

/// What a receipt confirms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// The message was delivered.
    Delivered,
    /// The message was read.
    Read,
}

/// The receipts of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryStatus {
    /// The message.
    pub message: ChatMessageId,
    /// The first users that received it, in order.
    pub delivered_to: Vec<UserId>,
    /// The first users that read it, in order.
    pub read_by: Vec<UserId>,
    /// When it was sent, ms since the epoch.
    pub sent_at: i64,
    /// When the last receipt arrived, ms since the epoch; without a receipt, when the message was sent.
    pub last_update: i64,
    /// The number of users that received it, where `delivered_to` does not list all.
    pub delivered_count: Option<u64>,
    /// The number of users that read it, where `read_by` does not list all.
    pub read_count: Option<u64>,
}
