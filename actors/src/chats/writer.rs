//! The actor that changes chats, one change at a time: in the store, then in the table, then for the sessions that may
//! no longer be in. A change that began is finished, whether or not who asked still waits.

use std::sync::Arc;
use std::time::Duration;

use actix::fut::WrapFuture;
use actix::{Actor, AsyncContext, Context};
use actix_rt::time::timeout;
use tokio::sync::oneshot;

use super::Chats;
use crate::events::chat::rooms::{FullRoomInfo, InfoChanged};
use crate::events::{ServerEvent, json};
use crate::model::fault::Fault;
use crate::model::ids::{ChatId, EventName, RoomName};
use crate::publication::Event;
use crate::registry::{AccessChanged, Registry};
use crate::rooms::Rooms;
use crate::runtime::clock::Clock;
use crate::runtime::mailbox::{Receive, receives_posts};
use crate::store::{Access, Chat, Store};

/// How long a change waits for the sessions that have to leave; no client may hold up the changes of others.
const LEAVE_TIME: Duration = Duration::from_secs(1);

/// Makes a chat or replaces it.
#[derive(Debug)]
pub(crate) struct PutChat {
    pub(crate) chat: Chat,
    /// What is kept now, and whether it was made.
    pub(crate) reply: oneshot::Sender<Result<(Chat, bool), Fault>>,
}

/// Makes a chat where there is none of its id.
#[derive(Debug)]
pub(crate) struct MakeChat {
    pub(crate) chat: Chat,
    pub(crate) reply: oneshot::Sender<Result<(), Fault>>,
}

/// Deletes a chat.
#[derive(Debug)]
pub(crate) struct DeleteChat {
    pub(crate) id: ChatId,
    /// Whether there was one.
    pub(crate) reply: oneshot::Sender<Result<bool, Fault>>,
}

/// Makes those of the chats that are not there, and fills the table again: the store opened late.
#[derive(Debug)]
pub(crate) struct OpenChats {
    pub(crate) configured: Vec<Chat>,
    pub(crate) reply: oneshot::Sender<Result<(), Fault>>,
}

/// The actor.
#[derive(Debug, Clone)]
pub struct ChatWriter {
    store: Store,
    chats: Arc<Chats>,
    rooms: Rooms,
    registry: Arc<Registry>,
    clock: Clock,
}

impl ChatWriter {
    pub(crate) fn new(store: Store, chats: Arc<Chats>, rooms: Rooms, registry: Arc<Registry>, clock: Clock) -> Self {
        Self { store, chats, rooms, registry, clock }
    }

    /// Makes those of the chats that are not there, and fills the table, also where none can be made now.
    pub(crate) async fn open(store: &Store, chats: &Chats, configured: Vec<Chat>) -> Result<(), Fault> {
        let added = store.add_chats(configured).await;
        for access in store.chat_access().await? {
            chats.set(access);
        }
        added
    }

    async fn put(self, chat: Chat) -> Result<(Chat, bool), Fault> {
        self.chats.check_room(&chat)?;
        let (chat, made) = self.store.put_chat(chat).await?;
        let participants = if chat.public { Vec::new() } else { chat.participants.clone() };
        let made_by = chat.made_by.clone();
        self.chats.set(Access { id: chat.id.clone(), public: chat.public, participants, made_by });
        if !chat.public {
            self.see_out(&chat.id).await;
        }
        if !made {
            self.tell_changed(&chat).await;
        }
        Ok((chat, made))
    }

    async fn make(self, chat: Chat) -> Result<(), Fault> {
        // Nobody else changes chats meanwhile.
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
        self.see_out(&id).await;
        Ok(deleted)
    }

    /// Tells all in the chat what it is now.
    async fn tell_changed(&self, chat: &Chat) {
        let room = RoomName::of_chat(&chat.id);
        let info =
            self.rooms.inspect(room.clone(), |chat_members| chat_members.map(|chat_members| chat_members.info())).await;
        // Without one nobody is there.
        if let Ok(Some(info)) = info {
            let changed = InfoChanged::new(FullRoomInfo::new(info, chat.name.clone(), chat.description.clone()));
            let (name, data) = (EventName::of_hub(InfoChanged::NAME), json::encode(&changed));
            let timestamp = self.clock.now_ms();
            let event = Event { name, topic: Some(room.clone()), data, timestamp, offset: None };
            self.rooms.publish_when_free(room, event).await;
        }
    }

    /// Lets the sessions leave that are in the chat and may not be, and waits until they have, but not for long: one that
    /// is waiting for its token to be judged leaves after that. One that joins meanwhile was not found, and looks again by
    /// itself once it is in.
    async fn see_out(&self, id: &ChatId) {
        let room = RoomName::of_chat(id);
        let mut told = Vec::new();
        for user in self.rooms.users_when_free(room.clone()).await {
            if !self.chats.may_join(id.as_str(), &user) {
                let sessions = self.registry.recipients_of(&user);
                told.extend(sessions.into_iter().map(|session| session.send(AccessChanged::One(room.clone()))));
            }
        }
        let all_left = async {
            for session in told {
                // An error is a session that ended, and left with that.
                let _ = session.await;
            }
        };
        let _ = timeout(LEAVE_TIME, all_left).await;
    }
}

impl Actor for ChatWriter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Its `Mailbox` keeps the bound.
        ctx.set_mailbox_capacity(0);
    }
}

receives_posts!(ChatWriter);

impl Receive<PutChat> for ChatWriter {
    fn receive(&mut self, PutChat { chat, reply }: PutChat, ctx: &mut Self::Context) {
        let keeper = self.clone();
        ctx.wait(async move { drop(reply.send(keeper.put(chat).await)) }.into_actor(self));
    }
}

impl Receive<MakeChat> for ChatWriter {
    fn receive(&mut self, MakeChat { chat, reply }: MakeChat, ctx: &mut Self::Context) {
        let keeper = self.clone();
        ctx.wait(async move { drop(reply.send(keeper.make(chat).await)) }.into_actor(self));
    }
}

impl Receive<DeleteChat> for ChatWriter {
    fn receive(&mut self, DeleteChat { id, reply }: DeleteChat, ctx: &mut Self::Context) {
        let keeper = self.clone();
        ctx.wait(async move { drop(reply.send(keeper.delete(id).await)) }.into_actor(self));
    }
}

impl Receive<OpenChats> for ChatWriter {
    fn receive(&mut self, OpenChats { configured, reply }: OpenChats, ctx: &mut Self::Context) {
        let keeper = self.clone();
        let open = async move { drop(reply.send(Self::open(&keeper.store, &keeper.chats, configured).await)) };
        ctx.wait(open.into_actor(self));
    }
}
