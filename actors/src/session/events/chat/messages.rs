//! Handlers for the message events of the chat document, on `/chat` and `/ws`: send, typing, receipts and
//! history. They require membership of the chat.
//!
//! An acknowledged message is on disk: see [`crate::store`]. Other members do not wait for the disk, so they may see a
//! message that a crash removes. Its sender then got no ack.

use actix::fut::{ActorFutureExt, WrapFuture};

use crate::chats::no_such_message;
use crate::events::chat::messages::{
    AskHistory, AskMessageStats, AskStatus, AskTyping, ConfirmDelivered, ConfirmRead, Confirmed, DeliveryConfirmed,
    History, MessageCounts, MessageDelivered, MessageNew, MessageRead, MessageStats, MessageStatus, ReadConfirmed,
    SendMessage, Sent, TypingUpdated, TypingUsers, UpdateTyping,
};
use crate::events::timestamp::Iso;
use crate::events::{ClientEvent, ServerEvent, json};
use crate::hub::Hub;
use crate::idempotency::digest;
use crate::model::fault::Fault;
use crate::model::ids::{ChatId, ChatMessageId, EventName, RoomName, UserId};
use crate::model::message::Receipt;
use crate::publication::Event;
use crate::session::{Handle, Outcome, Session};

/// A page of history may fill this fraction of an outbox (1/4).
const PAGE_SHARE: usize = 4;

impl Handle<SendMessage> for Session {
    fn handle(&mut self, request: SendMessage) -> Result<Outcome<Sent>, Fault> {
        let parts =
            [SendMessage::NAME, request.chat_id.as_str(), request.content_type.as_str(), request.content.as_str()];
        let named = self.idempotent_request(request.client_id.as_ref(), || digest(&parts.map(str::as_bytes)))?;
        self.run_once(named, move |session| {
            let (room, now) = (session.joined_chat(&request.chat_id)?, session.now());
            let message = request.into_message(session.identity()?, now);
            let (id, chat, data) = (message.id.clone(), message.chat.clone(), json::encode(&message));
            let name = EventName::of_hub(MessageNew::NAME);
            let event = Event { name, topic: Some(room.clone()), data: data.clone(), timestamp: now, offset: None };
            let posted = session.hub.rooms().post_message(room, message, event)?;
            Ok(async move {
                let stored = posted.await??;
                stored.0.await?;
                Ok(Sent::new(&data, id, chat, now))
            })
        })
    }
}

impl Handle<UpdateTyping> for Session {
    fn handle(&mut self, request: UpdateTyping) -> Result<Outcome<TypingUpdated>, Fault> {
        let room = self.joined_chat(&request.chat_id)?;
        let user = self.identity()?.user.clone();
        let set = self.hub.rooms().set_typing(room, user, self.handle.sender(), request.is_typing)?;
        let answer = async move { set.await?.map(|()| TypingUpdated::DONE) };
        Ok(Outcome::Async(Box::pin(answer.into_actor(self))))
    }
}

impl Handle<AskTyping> for Session {
    fn handle(&mut self, request: AskTyping) -> Result<Outcome<TypingUsers>, Fault> {
        let (room, hub) = (self.joined_chat(&request.chat_id)?, self.hub.clone());
        let answer = async move {
            let users = hub
                .rooms()
                .inspect(room, |chat_members| chat_members.map(|chat_members| chat_members.typing_users()))
                .await?;
            Ok(TypingUsers::new(users.unwrap_or_default()))
        };
        Ok(Outcome::Async(Box::pin(answer.into_actor(self))))
    }
}

/// A receipt to store.
struct PendingReceipt {
    room: RoomName,
    chat: ChatId,
    message: ChatMessageId,
    user: UserId,
    receipt: Receipt,
    at: i64,
}

impl PendingReceipt {
    /// Stores the receipt, and notifies the chat if it is new.
    async fn confirm(self, hub: &Hub) -> Result<(), Fault> {
        let Self { room, chat, message, user, receipt, at } = self;
        let confirmed = hub.store().confirm(chat.clone(), message.clone(), user.clone(), receipt, at).await?;
        if !confirmed.changed {
            return Ok(());
        }
        let event = Confirmed { message_id: message, chat_id: chat.clone(), user_id: user, timestamp: Iso(at) };
        let (name, data) = match receipt {
            Receipt::Delivered => (MessageDelivered::NAME, json::encode(&MessageDelivered(event))),
            Receipt::Read => (MessageRead::NAME, json::encode(&MessageRead(event))),
        };
        let name = EventName::of_hub(name);
        let event = Event { name, topic: Some(room.clone()), data, timestamp: at, offset: None };
        if let Some(event) = hub.rooms().publish_receipt(room, event).await?
            && hub.chats().may_join(chat.as_str(), &confirmed.author)
        {
            hub.rooms().publish_when_free(RoomName::of_user(&confirmed.author), event).await;
        }
        Ok(())
    }
}

impl Session {
    fn confirm(
        &self,
        chat: ChatId,
        message: ChatMessageId,
        receipt: Receipt,
    ) -> Result<impl Future<Output = Result<(), Fault>> + use<>, Fault> {
        let (room, user) = (self.joined_chat(&chat)?, self.identity()?.user.clone());
        let (hub, at) = (self.hub.clone(), self.now());
        let confirming = PendingReceipt { room, chat, message, user, receipt, at };
        // A task of its own: the receipt is stored even if the session ends meanwhile.
        let confirmed = actix::spawn(async move { confirming.confirm(&hub).await });
        Ok(async move { confirmed.await.unwrap_or_else(|_| Err(Fault::outcome_unknown())) })
    }
}

impl Handle<ConfirmDelivered> for Session {
    fn handle(&mut self, request: ConfirmDelivered) -> Result<Outcome<DeliveryConfirmed>, Fault> {
        let confirmed = self.confirm(request.chat_id, request.message_id, Receipt::Delivered)?;
        let answer = async move { confirmed.await.map(|()| DeliveryConfirmed::DONE) };
        Ok(Outcome::Async(Box::pin(answer.into_actor(self))))
    }
}

impl Handle<ConfirmRead> for Session {
    fn handle(&mut self, request: ConfirmRead) -> Result<Outcome<ReadConfirmed>, Fault> {
        let confirmed = self.confirm(request.chat_id, request.message_id, Receipt::Read)?;
        let answer = async move { confirmed.await.map(|()| ReadConfirmed::DONE) };
        Ok(Outcome::Async(Box::pin(answer.into_actor(self))))
    }
}

impl Handle<AskStatus> for Session {
    fn handle(&mut self, request: AskStatus) -> Result<Outcome<MessageStatus>, Fault> {
        let hub = self.hub.clone();
        let found = async move { hub.store().delivery_status(request.message_id).await?.ok_or_else(no_such_message) };
        let answer = found.into_actor(self).map(|found: Result<_, Fault>, session, _| {
            let (chat, status) = found?;
            session.accessible_chat(&chat).map_err(|_| no_such_message())?;
            session.joined_chat(&chat)?;
            Ok(MessageStatus::new(status))
        });
        Ok(Outcome::AsyncLarge(Box::pin(answer)))
    }
}

impl Handle<AskMessageStats> for Session {
    fn handle(&mut self, _: AskMessageStats) -> Result<Outcome<MessageStats>, Fault> {
        let hub = self.hub.clone();
        let answer = async move {
            let (messages, delivered, read) = hub.store().message_counts().await?;
            Ok(MessageStats::new(MessageCounts {
                active_typing_users: hub.stats().typing.get(),
                tracked_messages: messages,
                total_delivered: delivered,
                total_read: read,
            }))
        };
        Ok(Outcome::Async(Box::pin(answer.into_actor(self))))
    }
}

impl Handle<AskHistory> for Session {
    fn handle(&mut self, request: AskHistory) -> Result<Outcome<History>, Fault> {
        self.joined_chat(&request.chat_id)?;
        let hub = self.hub.clone();
        let answer = async move {
            let bytes = hub.settings().outbox.bytes / PAGE_SHARE;
            let AskHistory { chat_id, before, limit } = request;
            let (messages, has_more) = hub.store().history(chat_id, before, limit, bytes).await?;
            Ok(History::new(messages, has_more))
        };
        Ok(Outcome::AsyncLarge(Box::pin(answer.into_actor(self))))
    }
}
