//! The actor that changes chats, one change at a time: first the store, then the table, then the sessions that lost
//! access. A started change is finished even when its caller no longer waits.

use std::sync::Arc;
use std::time::Duration;

use actix::fut::WrapFuture;
use actix::{Actor, AsyncContext, Context};
use actix_rt::time::timeout;

use super::Chats;
use crate::events::chat::rooms::{FullRoomInfo, InfoChanged};
use crate::events::{ServerEvent, json};
use crate::facts::{ChatChange, Fact, Observers};
use crate::model::fault::Fault;
use crate::model::ids::{ChatId, EventName, RoomName, UserId};
use crate::publication::Event;
use crate::recovery::{CloseRoom, Recovery};
use crate::registry::{AccessChanged, Registry};
use crate::rooms::Rooms;
use crate::runtime::clock::Clock;
use crate::runtime::mailbox::{Mailbox, Receive, ReplySender, receives_posts};
use crate::store::{Chat, ChatAccessRules, Store};

/// How long a change waits for sessions to leave. The bound keeps one client from delaying other changes.
const LEAVE_TIME: Duration = Duration::from_secs(1);

/// Creates or replaces a chat.
#[derive(Debug)]
pub(crate) struct PutChat {
    pub(crate) chat: Chat,
    /// The stored chat, and whether it was created.
    pub(crate) reply: ReplySender<Result<(Chat, bool), Fault>>,
}

/// Creates a chat unless its id exists.
#[derive(Debug)]
pub(crate) struct MakeChat {
    pub(crate) chat: Chat,
    pub(crate) reply: ReplySender<Result<(), Fault>>,
}

/// Deletes a chat.
#[derive(Debug)]
pub(crate) struct DeleteChat {
    pub(crate) id: ChatId,
    /// Whether it existed.
    pub(crate) reply: ReplySender<Result<bool, Fault>>,
}

/// Creates the configured chats that do not exist, and fills the table again, after a store that opened late.
#[derive(Debug)]
pub(crate) struct OpenChats {
    pub(crate) configured: Vec<Chat>,
    pub(crate) reply: ReplySender<Result<(), Fault>>,
}

/// The actor.
#[derive(Debug, Clone)]
pub struct ChatWriter {
    store: Store,
    chats: Arc<Chats>,
    rooms: Rooms,
    recovery: Mailbox<Recovery>,
    registry: Arc<Registry>,
    clock: Clock,
    observers: Observers,
}

impl ChatWriter {
    pub(crate) fn new(
        store: Store,
        chats: Arc<Chats>,
        rooms: Rooms,
        recovery: Mailbox<Recovery>,
        registry: Arc<Registry>,
        clock: Clock,
        observers: Observers,
    ) -> Self {
        Self { store, chats, rooms, recovery, registry, clock, observers }
    }

    /// Creates the configured chats that do not exist, and fills the table. A chat that cannot be created does not
    /// prevent that.
    pub(crate) async fn open(store: &Store, chats: &Chats, configured: Vec<Chat>) -> Result<(), Fault> {
        let added = store.add_chats(configured).await;
        for access in store.chat_access().await? {
            chats.set(access);
        }
        added
    }

    async fn put(self, chat: Chat) -> Result<(Chat, bool), Fault> {
        self.chats.check_limits(&chat)?;
        let (chat, made) = self.store.put_chat(chat).await?;
        let participants = if chat.public { Vec::new() } else { chat.participants.clone() };
        let made_by = chat.made_by.clone();
        self.chats.set(ChatAccessRules { id: chat.id.clone(), public: chat.public, participants, made_by });
        let change = if made { ChatChange::Created } else { ChatChange::Replaced };
        self.observers.observe(Fact::ChatChanged { chat: &chat.id, change });
        if !chat.public {
            self.remove_excluded(&chat.id).await;
        }
        if !made {
            self.publish_change(&chat).await;
        }
        Ok((chat, made))
    }

    async fn make(self, chat: Chat) -> Result<(), Fault> {
        // This actor alone changes chats.
        if self.chats.exists(chat.id.as_str()) {
            return Ok(());
        }
        if let Some(user) = &chat.made_by {
            self.chats.check_made_by(user)?;
        }
        self.put(chat).await.map(drop)
    }

    async fn delete(self, id: ChatId) -> Result<bool, Fault> {
        let deleted = self.store.delete_chat(id.clone()).await?;
        self.chats.remove(&id);
        if deleted {
            self.observers.observe(Fact::ChatChanged { chat: &id, change: ChatChange::Deleted });
        }
        self.remove_excluded(&id).await;
        Ok(deleted)
    }

    /// Publishes the changed chat to its members.
    async fn publish_change(&self, chat: &Chat) {
        let room = RoomName::of_chat(&chat.id);
        let info =
            self.rooms.inspect(room.clone(), |chat_members| chat_members.map(|chat_members| chat_members.info())).await;
        // Without info the chat has no members.
        if let Ok(Some(info)) = info {
            let changed = InfoChanged::new(FullRoomInfo::new(info, chat.name.clone(), chat.description.clone()));
            let (name, data) = (EventName::of_hub(InfoChanged::NAME), json::encode(&changed));
            let timestamp = self.clock.now_ms();
            let event = Event { name, topic: Some(room.clone()), data, timestamp, offset: None };
            self.rooms.publish_when_free(room, event).await;
        }
    }

    /// Makes sessions without access leave the chat, and waits for that at most [`LEAVE_TIME`]. Records of suspended
    /// sessions leave it, too. A session that waits for the verification of its token leaves after that. A session that
    /// joins meanwhile checks its access again after the join.
    async fn remove_excluded(&self, id: &ChatId) {
        let room = RoomName::of_chat(id);
        let mut replies = Vec::new();
        for user in self.rooms.users_when_free(room.clone()).await {
            if !self.chats.may_join(id.as_str(), &user) {
                let sessions = self.registry.recipients_of(&user);
                replies.extend(sessions.into_iter().map(|session| session.send(AccessChanged::One(room.clone()))));
            }
        }
        let all_left = async {
            for reply in replies {
                // On an error the session has ended, so it is no longer in the chat.
                let _ = reply.await;
            }
        };
        let _ = timeout(LEAVE_TIME, all_left).await;
        // The records of sessions that ended meanwhile pass through the room actor.
        let _ = self.rooms.inspect(room.clone(), |_| ()).await;
        let (chats, id) = (self.chats.clone(), id.clone());
        let may_join = Box::new(move |user: &UserId| chats.may_join(id.as_str(), user));
        self.recovery.post_departure(CloseRoom { room, may_join });
    }
}

impl Actor for ChatWriter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // The `Mailbox` enforces the bound.
        ctx.set_mailbox_capacity(0);
    }
}

receives_posts!(ChatWriter);

impl ChatWriter {
    /// Finishes `change` before the next message, and replies with its result.
    fn finish<T: 'static>(
        &self,
        change: impl Future<Output = T> + 'static,
        reply: ReplySender<T>,
        ctx: &mut Context<Self>,
    ) {
        ctx.wait(async move { drop(reply.send(change.await)) }.into_actor(self));
    }
}

impl Receive<PutChat> for ChatWriter {
    fn receive(&mut self, PutChat { chat, reply }: PutChat, ctx: &mut Self::Context) {
        self.finish(self.clone().put(chat), reply, ctx);
    }
}

impl Receive<MakeChat> for ChatWriter {
    fn receive(&mut self, MakeChat { chat, reply }: MakeChat, ctx: &mut Self::Context) {
        self.finish(self.clone().make(chat), reply, ctx);
    }
}

impl Receive<DeleteChat> for ChatWriter {
    fn receive(&mut self, DeleteChat { id, reply }: DeleteChat, ctx: &mut Self::Context) {
        self.finish(self.clone().delete(id), reply, ctx);
    }
}

impl Receive<OpenChats> for ChatWriter {
    fn receive(&mut self, OpenChats { configured, reply }: OpenChats, ctx: &mut Self::Context) {
        let (store, chats) = (self.store.clone(), self.chats.clone());
        self.finish(async move { Self::open(&store, &chats, configured).await }, reply, ctx);
    }
}
