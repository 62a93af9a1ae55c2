//! What there is more to a room that is a chat: its members hear who comes, who goes and who types, and what is said there is
//! kept.

use std::time::Duration;

use actix::{AsyncContext, Context};
use ahash::AHashMap;

use super::messages::{Inspect, PostMessage, TellReceipt, Type};
use super::{Room, RoomShard};
use crate::chats::members::{AnnouncementRate, ChatMembers};
use crate::connection::SessionAddr;
use crate::events::{ServerEvent, json};
use crate::model::ids::{EventName, RoomName, UserId};
use crate::publication::{Event, Publication};
use crate::rooms::Stored;
use crate::rooms::timers::TimerKind;
use crate::runtime::mailbox::Receive;

/// Chats that are come back to at once, at most.
const AT_ONCE_MAX: usize = 64;

/// The chats of a shard that somebody is in.
pub(crate) struct Chats<'a>(&'a AHashMap<RoomName, Room>);

impl Chats<'_> {
    /// Who is in the chat of that room.
    pub(crate) fn chat_members(&self, room: &RoomName) -> Option<&ChatMembers> {
        self.0.get(room).and_then(|room| room.chat_members.as_deref())
    }
}

impl RoomShard {
    /// Publishes an event of the hub's own to a chat.
    fn tell<E: ServerEvent>(
        &mut self,
        room: &RoomName,
        event: &E,
        except: Option<SessionAddr>,
        ctx: &mut Context<Self>,
    ) {
        let (name, data) = (EventName::of_hub(E::NAME), json::encode(event));
        let event = Event { name, topic: Some(room.clone()), data, timestamp: self.clock.now_ms(), offset: None };
        self.publish(room, Publication::new(event), except, ctx);
    }

    /// Tells the others in a chat that a user came or went, as far as that may be told one by one, and all who is there.
    pub(super) fn tell_coming<E: ServerEvent>(
        &mut self,
        room: &RoomName,
        event: &E,
        place: SessionAddr,
        ctx: &mut Context<Self>,
    ) {
        let elapsed = self.clock.elapsed_ms();
        let deliveries = self.rooms.get(room).map_or(0, |room| room.sessions);
        if self.chat_members(room).is_some_and(|chat_members| chat_members.may_tell_of_coming(deliveries, elapsed)) {
            self.tell(room, event, Some(place), ctx);
        } else {
            self.stats.comings_untold.add(1);
        }
        self.tell_online(room, ctx);
    }

    fn chat_members(&mut self, room: &RoomName) -> Option<&mut ChatMembers> {
        self.rooms.get_mut(room)?.chat_members.as_deref_mut()
    }

    /// Tells all in a chat who is there, now or as soon as the chat's pace allows.
    fn tell_online(&mut self, room: &RoomName, ctx: &mut Context<Self>) {
        let elapsed = self.clock.elapsed_ms();
        match self.chat_members(room).map(|chat_members| chat_members.pace(elapsed)) {
            Some(AnnouncementRate::Now) => self.tell_online_now(room, ctx),
            Some(AnnouncementRate::In(wait)) => self.come_back(elapsed + wait, room.clone(), TimerKind::Online, ctx),
            Some(AnnouncementRate::Waits) | None => {}
        }
    }

    fn tell_online_now(&mut self, room: &RoomName, ctx: &mut Context<Self>) {
        let (now, elapsed, registry) = (self.clock.now_ms(), self.clock.elapsed_ms(), self.registry.clone());
        let update = self
            .chat_members(room)
            .map(|chat_members| chat_members.update(now, elapsed, |user| registry.availability_of(user)));
        if let Some(update) = update {
            self.tell(room, &update, None, ctx);
        }
    }

    /// A session went out of a room: of a chat, the others are told.
    pub(super) fn exit(&mut self, name: &RoomName, user: &UserId, place: SessionAddr, ctx: &mut Context<Self>) {
        let now = self.clock.now_ms();
        let Some(room) = self.rooms.get_mut(name) else { return };
        let was_last = room.exit(user);
        if room.sessions == 0 {
            self.listed.remove(name);
        }
        let Some(chat_members) = room.chat_members.as_deref_mut() else { return };
        let stopped = chat_members.stops(place, user, now);
        let left = was_last.then(|| chat_members.went(user, now)).flatten();
        if let Some(stopped) = stopped {
            self.stats.typing.sub(1);
            self.tell(name, &stopped, Some(place), ctx);
        }
        if let Some(left) = left {
            self.tell_coming(name, &left, place, ctx);
        }
    }

    /// Comes back to a chat when those who type there may have fallen silent.
    fn await_silence(&mut self, room: RoomName, ctx: &mut Context<Self>) {
        let elapsed = self.clock.elapsed_ms();
        if let Some(wait) = self.chat_members(&room).and_then(|chat_members| chat_members.watch(elapsed)) {
            self.come_back(elapsed + wait, room, TimerKind::Silence, ctx);
        }
    }

    fn fall_silent(&mut self, room: RoomName, ctx: &mut Context<Self>) {
        let (now, elapsed) = (self.clock.now_ms(), self.clock.elapsed_ms());
        let silent = self.chat_members(&room).map(|chat_members| chat_members.fall_silent(now, elapsed));
        for (stopped, place) in silent.into_iter().flatten() {
            self.stats.typing.sub(1);
            self.tell(&room, &stopped, Some(place), ctx);
        }
        self.await_silence(room, ctx);
    }

    /// Comes back to a chat at `at`, ms by [`Clock::elapsed_ms`].
    fn come_back(&mut self, at: i64, room: RoomName, matter: TimerKind, ctx: &mut Context<Self>) {
        self.timers.note(at, room, matter);
        self.await_agenda(ctx);
    }

    /// Sees that the timer runs which is due first.
    fn await_agenda(&mut self, ctx: &mut Context<Self>) {
        let Some(next) = self.timers.next() else { return };
        if self.waking.is_some_and(|(at, _)| at <= next) {
            return;
        }
        if let Some((_, later)) = self.waking.take() {
            ctx.cancel_future(later);
        }
        let wait = u64::try_from(next - self.clock.elapsed_ms()).unwrap_or(0);
        let waking = self.clock.run_later(ctx, Duration::from_millis(wait), |shard: &mut Self, ctx| {
            shard.waking = None;
            // What comes in between is not kept waiting for long, and a fan-out that is full is waited for.
            for _ in 0..AT_ONCE_MAX {
                if !shard.backlog.is_empty() {
                    break;
                }
                match shard.timers.take(shard.clock.elapsed_ms()) {
                    Some((room, TimerKind::Online)) => shard.tell_online_now(&room, ctx),
                    Some((room, TimerKind::Silence)) => shard.fall_silent(room, ctx),
                    None => break,
                }
            }
            shard.await_agenda(ctx);
        });
        self.waking = Some((next, waking));
    }
}

impl Receive<PostMessage> for RoomShard {
    fn receive(&mut self, say: PostMessage, ctx: &mut Self::Context) {
        let PostMessage { room, message, event, done } = say;
        let now = self.clock.now_ms();
        // Kept first: what cannot be is not delivered either.
        let kept = self.store.keep_message(message, ());
        let kept = kept.map(|kept| {
            if let Some(chat_members) = self.chat_members(&room) {
                chat_members.said(now);
            }
            self.publish(&room, Publication::new(event), None, ctx);
            Stored(Box::pin(kept))
        });
        let _ = done.send(kept);
    }
}

impl Receive<Type> for RoomShard {
    fn receive(&mut self, Type { room, user, place, typing, done }: Type, ctx: &mut Self::Context) {
        let (now, elapsed) = (self.clock.now_ms(), self.clock.elapsed_ms());
        if let Some(chat_members) = self.chat_members(&room) {
            if let Some(told) = chat_members.types(place, &user, typing, now, elapsed) {
                if typing {
                    self.stats.typing.add(1)
                } else {
                    self.stats.typing.sub(1)
                }
                self.tell(&room, &told, Some(place), ctx);
            }
            self.await_silence(room, ctx);
        }
        let _ = done.send(());
    }
}

impl Receive<TellReceipt> for RoomShard {
    fn receive(&mut self, TellReceipt { room, event, done }: TellReceipt, ctx: &mut Self::Context) {
        let elapsed = self.clock.elapsed_ms();
        let deliveries = self.rooms.get(&room).map_or(0, |room| room.sessions);
        let may_tell =
            self.chat_members(&room).is_none_or(|chat_members| chat_members.may_tell_of_receipt(deliveries, elapsed));
        let untold = if may_tell {
            self.publish(&room, Publication::new(event), None, ctx);
            None
        } else {
            self.stats.receipts_narrowed.add(1);
            Some(event)
        };
        let _ = done.send(untold);
    }
}

impl Receive<Inspect> for RoomShard {
    fn receive(&mut self, Inspect(look): Inspect, _: &mut Self::Context) {
        look(&Chats(&self.rooms));
    }
}
