//! The stored form of an [`Ack`], for a client that repeats its publish.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Ack;
use crate::events::client_id::StoredReply;
use crate::events::json;
use crate::model::ids::MessageId;

/// [`Ack`] as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredAck {
    id: String,
    recipients: usize,
}

impl StoredReply for Ack {
    fn to_bytes(&self) -> Bytes {
        let id = format!("{:032x}", self.message_id.to_bits());
        json::encode(&StoredAck { id, recipients: self.recipients })
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let StoredAck { id, recipients } = serde_json::from_slice(bytes).ok()?;
        let message_id = MessageId::of_bits(u128::from_str_radix(&id, 16).ok()?);
        Some(Self { message_id, recipients })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_acknowledgement_is_sent_again_unchanged() {
        let ack = Ack { message_id: MessageId::random(), recipients: 7 };
        let again = Ack::of_bytes(&ack.to_bytes()).unwrap();
        assert_eq!((again.message_id, again.recipients), (ack.message_id, 7));
        assert!(Ack::of_bytes(b"{}").is_none());
    }
}
