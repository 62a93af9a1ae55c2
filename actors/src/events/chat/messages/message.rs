//! Messages of chats and their receipts as JSON.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::events::timestamp::Iso;
use crate::model::ids::{ChatId, ChatMessageId, UserId};
use crate::model::message::{ChatMessage, Content, ContentType, DeliveryStatus};

/// Implements `Serialize` and `JsonSchema` of a domain type by its JSON view.
macro_rules! serialize_as {
    ($type:ty => $view:ident) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $view::from(self).serialize(serializer)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $view::schema_name()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                $view::json_schema(generator)
            }
        }
    };
}

/// A text as JSON.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
struct TextView<'a>(&'a str);

impl<'a> From<&'a Content> for TextView<'a> {
    fn from(content: &'a Content) -> Self {
        Self(content.as_str())
    }
}

impl<'a> From<&'a ContentType> for TextView<'a> {
    fn from(content_type: &'a ContentType) -> Self {
        Self(content_type.as_str())
    }
}

serialize_as!(Content => TextView);
serialize_as!(ContentType => TextView);

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for ContentType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A message, as `message:new` delivers it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Message")]
struct MessageView<'a> {
    /// Its id.
    #[schemars(with = "String")]
    id: &'a ChatMessageId,
    /// Its content.
    content: &'a Content,
    /// The type of the content.
    #[serde(rename = "type")]
    content_type: &'a ContentType,
    /// The chat.
    #[schemars(with = "String")]
    chat_id: &'a ChatId,
    /// The author.
    #[schemars(with = "String")]
    user_id: &'a UserId,
    /// When it was sent.
    created_at: Iso,
    /// The author, with the name.
    user: AuthorView<'a>,
}

/// The author of a message.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Author")]
struct AuthorView<'a> {
    /// The user.
    #[schemars(with = "String")]
    id: &'a UserId,
    /// The user's name when the message was sent.
    username: &'a str,
}

impl<'a> From<&'a ChatMessage> for MessageView<'a> {
    fn from(message: &'a ChatMessage) -> Self {
        Self {
            id: &message.id,
            content: &message.content,
            content_type: &message.content_type,
            chat_id: &message.chat,
            user_id: &message.author,
            created_at: Iso(message.created_at),
            user: AuthorView { id: &message.author, username: &message.username },
        }
    }
}

serialize_as!(ChatMessage => MessageView);

/// The receipts of a message.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeliveryStatus")]
struct DeliveryStatusView<'a> {
    /// The message.
    #[schemars(with = "String")]
    message_id: &'a ChatMessageId,
    /// The users that received it, in order.
    #[schemars(with = "Vec<String>")]
    delivered_to: &'a [UserId],
    /// The users that read it, in order.
    #[schemars(with = "Vec<String>")]
    read_by: &'a [UserId],
    /// When it was sent.
    sent_at: Iso,
    /// When the last receipt arrived; without a receipt, when the message was sent.
    last_update: Iso,
    /// The number of users that received it, where `deliveredTo` does not list all.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered_count: Option<u64>,
    /// The number of users that read it, where `readBy` does not list all.
    #[serde(skip_serializing_if = "Option::is_none")]
    read_count: Option<u64>,
}

impl<'a> From<&'a DeliveryStatus> for DeliveryStatusView<'a> {
    fn from(status: &'a DeliveryStatus) -> Self {
        Self {
            message_id: &status.message,
            delivered_to: &status.delivered_to,
            read_by: &status.read_by,
            sent_at: Iso(status.sent_at),
            last_update: Iso(status.last_update),
            delivered_count: status.delivered_count,
            read_count: status.read_count,
        }
    }
}

serialize_as!(DeliveryStatus => DeliveryStatusView);
