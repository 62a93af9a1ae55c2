//! Handlers for the room events of the chat document, on `/chat` and `/ws`: join, leave, list and members. A session is
//! in a chat when it is in its room.

use std::sync::Arc;

use actix::fut::{ActorFutureExt, WrapFuture, ready, wrap_future};

use crate::chats::{no_such_chat, not_in_chat};
use crate::events::chat::rooms::{
    AskInfo, AskOnline, FullRoomInfo, JoinChat, JoinedChat, LeaveChat, LeftChat, ListRooms, ListedRoom, RoomInfo,
    RoomInfoReply, RoomLeft, RoomList, RoomOnlineUsers,
};
use crate::events::timestamp::Iso;
use crate::hub::Hub;
use crate::model::fault::{Code, Fault};
use crate::model::ids::{ChatId, RoomName};
use crate::rooms::chat_members::ONLINE_MAX;
use crate::session::{Handle, Outcome, ReplyFuture, Session};
use crate::store::Chat;

/// Chats in `room:list`, at most.
const LISTED_MAX: usize = 1_000;

impl Session {
    /// The room of a chat that the user may join.
    ///
    /// # Errors
    /// [`Code::NotFound`], also for a chat that only other users may join.
    pub(in crate::session) fn accessible_chat(&self, chat: &ChatId) -> Result<RoomName, Fault> {
        let room = RoomName::of_chat(chat);
        self.may_subscribe(&room).map_err(|fault| Fault { explanation: fault.explanation, ..no_such_chat() })?;
        Ok(room)
    }

    /// The room of a chat that the session is in.
    ///
    /// # Errors
    /// As [`Session::accessible_chat`]; [`Code::Forbidden`] for a chat that the session has not joined.
    pub(in crate::session) fn joined_chat(&self, chat: &ChatId) -> Result<RoomName, Fault> {
        let room = self.accessible_chat(chat)?;
        if self.rooms.contains_key(&room) { Ok(room) } else { Err(not_in_chat()) }
    }

    /// Joins an accessible chat.
    fn join_chat(&mut self, chat: &ChatId) -> Result<ReplyFuture<JoinedChat>, Fault> {
        let room = self.accessible_chat(chat)?;
        let Some(joining) = self.request_join(room.as_str(), "chatId")? else {
            return Err(Fault::new(Code::Conflict, "User already in this room"));
        };
        Ok(Box::pin(joining.outcome().into_actor(self).map(move |answer, session, _| {
            let (decision, membership) = answer?;
            let info = membership.and_then(|membership| membership.chat);
            let joined = session.confirm_join(room.as_str(), decision);
            joined.map_err(|fault| match fault.code {
                Code::Forbidden => Fault { explanation: fault.explanation, ..no_such_chat() },
                _ => fault,
            })?;
            Ok(JoinedChat::new(*info.ok_or_else(|| Fault::internal().caused_by("the join of a chat has no info"))?))
        })))
    }

    /// Notifies the client that it was removed from a chat.
    pub(in crate::session) fn send_chat_left(&self, chat: ChatId, users: usize) {
        self.send_event(&RoomLeft::access_lost(chat, users), self.now());
    }
}

/// The information about a chat: from its members, else from the store.
async fn describe(hub: &Hub, chat: Chat) -> Result<FullRoomInfo, Fault> {
    let from_members = hub
        .rooms()
        .inspect(RoomName::of_chat(&chat.id), |chat_members| chat_members.map(|chat_members| chat_members.info()))
        .await?;
    let info = match from_members {
        Some(info) => info,
        None => {
            let last_message_at = hub.store().last_message_at(chat.id.clone()).await?;
            empty_chat(chat.id, last_message_at.unwrap_or(chat.created_at))
        }
    };
    Ok(FullRoomInfo::new(info, chat.name, chat.description))
}

/// A chat without members.
fn empty_chat(chat_id: ChatId, last_activity: i64) -> RoomInfo {
    RoomInfo { chat_id, participant_count: 0, is_active: false, last_activity: Iso(last_activity) }
}

impl Handle<JoinChat> for Session {
    fn handle(&mut self, request: JoinChat) -> Result<Outcome<JoinedChat>, Fault> {
        let chat = request.chat_id;
        let room = RoomName::of_chat(&chat);
        if self.rooms.contains_key(&room) {
            return Err(Fault::new(Code::Conflict, "User already in this room"));
        }
        if !self.hub.settings().auto_create_chats || self.hub.chats().exists(chat.as_str()) {
            let answer = self.join_chat(&chat)?;
            return Ok(Outcome::Join(vec![room], answer));
        }
        // A user without access cannot create the chat either.
        self.hub.settings().rules.subscribe(self.identity()?, &room, |_| true).map_err(|_| no_such_chat())?;
        let (hub, now, made_by) = (self.hub.clone(), self.now(), Some(self.identity()?.user.clone()));
        let made = async move {
            let made = Chat { public: true, made_by, ..Chat::new(chat.clone(), String::new(), String::new(), now)? };
            hub.make_chat(made).await?;
            Ok(chat)
        };
        Ok(Outcome::Exclusive(Box::new(move |reply_slot| {
            let joined = wrap_future::<_, Self>(made).then(move |made: Result<ChatId, Fault>, session, _| {
                session.handle.defer([room], reply_slot);
                made.and_then(|chat| session.join_chat(&chat)).unwrap_or_else(|fault| Box::pin(ready(Err(fault))))
            });
            Box::pin(joined)
        })))
    }
}

impl Handle<LeaveChat> for Session {
    fn handle(&mut self, request: LeaveChat) -> Result<Outcome<LeftChat>, Fault> {
        let chat = request.chat_id;
        let Some(left) = self.leave_room(RoomName::of_chat(&chat).as_str()) else {
            return Err(self.accessible_chat(&chat).map_or_else(|fault| fault, |_| not_in_chat()));
        };
        let answer = async move { Ok(LeftChat::new(chat, left.await?)) };
        Ok(Outcome::Async(Box::pin(answer.into_actor(self))))
    }
}

impl Handle<AskInfo> for Session {
    fn handle(&mut self, request: AskInfo) -> Result<Outcome<RoomInfoReply>, Fault> {
        self.accessible_chat(&request.chat_id)?;
        let hub = self.hub.clone();
        let answer = async move {
            let chat = hub.store().chat(request.chat_id).await?.ok_or_else(no_such_chat)?;
            describe(&hub, chat).await.map(RoomInfoReply::new)
        };
        Ok(Outcome::Async(Box::pin(answer.into_actor(self))))
    }
}

impl Handle<ListRooms> for Session {
    fn handle(&mut self, _: ListRooms) -> Result<Outcome<RoomList>, Fault> {
        let (hub, user) = (self.hub.clone(), self.identity()?.user.clone());
        let listed = async move {
            let chats = hub.store().chats_of(user, LISTED_MAX).await?;
            let rooms: Arc<[_]> = chats.iter().map(|chat| RoomName::of_chat(&chat.id)).collect();
            let infos = hub.rooms().infos(rooms).await?;
            Ok(chats.into_iter().zip(infos))
        };
        let answer = listed.into_actor(self).map(|listed: Result<_, Fault>, session, _| {
            let rooms = listed?.filter(|(chat, _)| session.accessible_chat(&chat.id).is_ok()).map(|(chat, info)| {
                let info = info.unwrap_or_else(|| empty_chat(chat.id, chat.last_activity));
                let RoomInfo { chat_id, participant_count, last_activity, .. } = info;
                ListedRoom { chat_id, name: chat.name, participant_count, last_activity }
            });
            Ok(RoomList::new(rooms.collect()))
        });
        Ok(Outcome::AsyncLarge(Box::pin(answer)))
    }
}

impl Handle<AskOnline> for Session {
    fn handle(&mut self, request: AskOnline) -> Result<Outcome<RoomOnlineUsers>, Fault> {
        let room = self.accessible_chat(&request.chat_id)?;
        let (hub, registry, now) = (self.hub.clone(), self.hub.registry().clone(), self.now());
        let answer = async move {
            let online = hub.rooms().inspect(room, move |chat_members| {
                let chat_members = chat_members?;
                Some((
                    chat_members.online(ONLINE_MAX, now, |user| registry.availability_of(user)),
                    chat_members.users(),
                ))
            });
            let (users, count) = online.await?.unwrap_or_default();
            Ok(RoomOnlineUsers::new(users, count))
        };
        Ok(Outcome::AsyncLarge(Box::pin(answer.into_actor(self))))
    }
}
