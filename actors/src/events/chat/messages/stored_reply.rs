//! The stored form of the reply to `message:send`, for a client that repeats the request.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Sent;
use crate::events::client_id::StoredReply;
use crate::events::json;
use crate::model::ids::{ChatId, ChatMessageId};

/// [`Sent`] as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    id: ChatMessageId,
    chat: ChatId,
    at: i64,
    #[serde(borrow)]
    message: &'a RawValue,
}

impl StoredReply for Sent {
    fn to_bytes(&self) -> Bytes {
        let message = serde_json::from_str(self.sent_message.as_str()).unwrap_or(RawValue::NULL);
        let (id, chat) = (self.sent.message_id.clone(), self.sent.chat_id.clone());
        json::encode(&Stored { id, chat, at: self.sent.timestamp.0, message })
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let Stored { id, chat, at, message } = serde_json::from_slice(bytes).ok()?;
        Some(Self::new(message.get().as_bytes(), id, chat, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::ServerEvent as _;

    #[test]
    fn a_stored_reply_is_sent_again_unchanged() {
        let (id, chat) = (ChatMessageId::random(), ChatId::parse("general", "id").unwrap());
        let sent = Sent::new(br#"{"id": 1}"#, id, chat, 7);
        let again = Sent::of_bytes(&sent.to_bytes()).unwrap();
        assert_eq!(json::encode(&again), json::encode(&sent));
        assert_eq!(again.preceding_events()[0].data, sent.preceding_events()[0].data);
        assert!(Sent::of_bytes(b"{}").is_none());
    }
}
