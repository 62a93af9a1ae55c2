//! The room actor's part for chats: it announces members and typing, publishes receipts at a limited rate, and stores
//! messages.

use std::time::Duration;

use actix::{AsyncContext, Context};

use super::RoomActor;
use super::chat_view::ChatView;
use super::messages::{Inspect, PostMessage, PublishReceipt, SetTyping};
use crate::connection::{Sender, SessionAddr};
use crate::events::chat::messages::ChatUserTyping;
use crate::events::chat::rooms::OnlineUpdate;
use crate::events::{ServerEvent, json};
use crate::facts::Fact;
use crate::model::ids::{EventName, RoomName, UserId};
use crate::publication::{Event, Publication};
use crate::rooms::chat_members::{AnnouncementRate, ChatMembers};
use crate::rooms::replies::PendingWrite;
use crate::rooms::timers::TimerKind;
use crate::runtime::mailbox::Receive;

/// The most timers that are handled at once.
const TIMERS_AT_ONCE: usize = 64;

impl RoomActor {
    /// An event of the hub about a chat.
    fn chat_event<E: ServerEvent>(&self, room: &RoomName, event: &E) -> Publication {
        let (name, data) = (EventName::of_hub(E::NAME), json::encode(event));
        Publication::new(Event { name, topic: Some(room.clone()), data, timestamp: self.clock.now_ms(), offset: None })
    }

    /// Announces that a session types or stopped.
    fn announce_typing(&mut self, room: &RoomName, typing: &ChatUserTyping, sender: Sender, ctx: &mut Context<Self>) {
        let publication = self.chat_event(room, typing);
        self.publish(room, publication, Some(sender), ctx);
    }

    /// Announces a user that joined or left, unless the chat's rate of such announcements is exceeded. Announces the
    /// users of the chat in any case.
    pub(super) fn announce_member<E: ServerEvent>(
        &mut self,
        room: &RoomName,
        event: &E,
        addr: SessionAddr,
        ctx: &mut Context<Self>,
    ) {
        let elapsed = self.clock.elapsed_ms();
        let deliveries = self.rooms.get(room).map_or(0, |room| room.sessions);
        if self.chat_members(room).is_some_and(|chat_members| chat_members.may_announce_member(deliveries, elapsed)) {
            let publication = self.chat_event(room, event);
            self.publish_derived(room, publication, Some(addr), ctx);
        } else {
            self.stats.join_leave_suppressed.add(1);
        }
        self.announce_online(room, ctx);
    }

    fn chat_members(&mut self, room: &RoomName) -> Option<&mut ChatMembers> {
        self.rooms.get_mut(room)?.chat_members.as_deref_mut()
    }

    /// Announces the users of a chat, now or as soon as the chat's rate allows.
    fn announce_online(&mut self, room: &RoomName, ctx: &mut Context<Self>) {
        let elapsed = self.clock.elapsed_ms();
        match self.chat_members(room).map(|chat_members| chat_members.announcement_rate(elapsed)) {
            Some(AnnouncementRate::Now) => self.announce_online_now(room, ctx),
            Some(AnnouncementRate::In(wait)) => self.schedule(elapsed + wait, room.clone(), TimerKind::Online, ctx),
            Some(AnnouncementRate::Scheduled) | None => {}
        }
    }

    fn announce_online_now(&mut self, room: &RoomName, ctx: &mut Context<Self>) {
        let (now, elapsed, registry) = (self.clock.now_ms(), self.clock.elapsed_ms(), self.registry.clone());
        let update = self
            .chat_members(room)
            .map(|chat_members| chat_members.update(now, elapsed, |user| registry.availability_of(user)));
        if let Some(update) = update {
            let publication = self.chat_event(room, &update);
            self.publish_derived(room, publication, None, ctx);
        }
    }

    /// The users of a chat, for one session; `None` for another room.
    pub(super) fn online_users(&self, room: &RoomName) -> Option<OnlineUpdate> {
        let chat_members = self.rooms.get(room)?.chat_members.as_deref()?;
        Some(chat_members.online_update(self.clock.now_ms(), |user| self.registry.availability_of(user)))
    }

    /// Removes a session from a room. In a chat, announces that it stopped typing and that its user left.
    pub(super) fn exit(&mut self, name: &RoomName, user: &UserId, addr: SessionAddr, ctx: &mut Context<Self>) {
        let now = self.clock.now_ms();
        let Some(room) = self.rooms.get_mut(name) else { return };
        let Some(was_last) = room.exit(user) else { return };
        self.observers.observe(Fact::Left { room: name, user });
        if room.sessions == 0 {
            self.listed.remove(name);
        }
        let Some(chat_members) = room.chat_members.as_deref_mut() else { return };
        let stopped = chat_members.stop_typing(addr, now);
        let left = was_last.then(|| chat_members.leave(user, now)).flatten();
        if let Some((stopped, sender)) = stopped {
            self.stats.typing.sub(1);
            self.announce_typing(name, &stopped, sender, ctx);
        }
        if let Some(left) = left {
            self.announce_member(name, &left, addr, ctx);
        }
    }

    /// Starts the timer after which typing in a chat may have stopped.
    fn schedule_silence(&mut self, room: RoomName, ctx: &mut Context<Self>) {
        let elapsed = self.clock.elapsed_ms();
        if let Some(wait) = self.chat_members(&room).and_then(|chat_members| chat_members.silence_wait(elapsed)) {
            self.schedule(elapsed + wait, room, TimerKind::Silence, ctx);
        }
    }

    fn end_silent_typing(&mut self, room: RoomName, ctx: &mut Context<Self>) {
        let (now, elapsed) = (self.clock.now_ms(), self.clock.elapsed_ms());
        let silent = self.chat_members(&room).map(|chat_members| chat_members.take_silent(now, elapsed));
        for (stopped, sender) in silent.into_iter().flatten() {
            self.stats.typing.sub(1);
            self.announce_typing(&room, &stopped, sender, ctx);
        }
        self.schedule_silence(room, ctx);
    }

    /// Adds a timer for a chat at `at`, ms by [`Clock::elapsed_ms`](crate::runtime::clock::Clock::elapsed_ms).
    fn schedule(&mut self, at: i64, room: RoomName, kind: TimerKind, ctx: &mut Context<Self>) {
        self.timers.add(at, room, kind);
        self.start_timer(ctx);
    }

    /// Starts the timer that is due first, unless it runs.
    fn start_timer(&mut self, ctx: &mut Context<Self>) {
        let Some(next) = self.timers.next() else { return };
        if self.waking.is_some_and(|(at, _)| at <= next) {
            return;
        }
        if let Some((_, later)) = self.waking.take() {
            ctx.cancel_future(later);
        }
        let wait = u64::try_from(next - self.clock.elapsed_ms()).unwrap_or(0);
        let waking = self.clock.run_later(ctx, Duration::from_millis(wait), |actor: &mut Self, ctx| {
            actor.waking = None;
            // Messages do not wait long behind timers.
            for _ in 0..TIMERS_AT_ONCE {
                match actor.timers.take(actor.clock.elapsed_ms()) {
                    Some((room, TimerKind::Online)) => actor.announce_online_now(&room, ctx),
                    Some((room, TimerKind::Silence)) => actor.end_silent_typing(room, ctx),
                    None => break,
                }
            }
            actor.start_timer(ctx);
        });
        self.waking = Some((next, waking));
    }
}

impl Receive<PostMessage> for RoomActor {
    fn receive(&mut self, post: PostMessage, ctx: &mut Self::Context) {
        let PostMessage { room, message, event, reply } = post;
        let now = self.clock.now_ms();
        if let Err(fault) = self.check_lag(&room) {
            return drop(reply.send(Err(fault)));
        }
        // Stored first: a message that cannot be stored is not delivered.
        let stored = self.store.keep_message(message, ());
        let pending = stored.map(|stored| {
            if let Some(chat_members) = self.chat_members(&room) {
                chat_members.note_activity(now);
            }
            self.publish(&room, Publication::new(event), None, ctx);
            PendingWrite(Box::pin(stored))
        });
        let _ = reply.send(pending);
    }
}

impl Receive<SetTyping> for RoomActor {
    fn receive(&mut self, set: SetTyping, ctx: &mut Self::Context) {
        let SetTyping { room, user, sender, is_typing, reply } = set;
        // The end of typing is not refused.
        if is_typing && let Err(fault) = self.check_lag(&room) {
            return drop(reply.send(Err(fault)));
        }
        let (now, elapsed) = (self.clock.now_ms(), self.clock.elapsed_ms());
        if let Some(chat_members) = self.chat_members(&room) {
            if let Some(changed) = chat_members.set_typing(sender, &user, is_typing, now, elapsed) {
                if is_typing {
                    self.stats.typing.add(1)
                } else {
                    self.stats.typing.sub(1)
                }
                self.announce_typing(&room, &changed, sender, ctx);
            }
            self.schedule_silence(room, ctx);
        }
        let _ = reply.send(Ok(()));
    }
}

impl Receive<PublishReceipt> for RoomActor {
    fn receive(&mut self, PublishReceipt { room, event, reply }: PublishReceipt, ctx: &mut Self::Context) {
        let elapsed = self.clock.elapsed_ms();
        let deliveries = self.rooms.get(&room).map_or(0, |room| room.sessions);
        let chat_members = self.chat_members(&room);
        let is_within = chat_members.is_none_or(|chat_members| chat_members.may_announce_receipt(deliveries, elapsed));
        let unpublished = if is_within {
            self.publish(&room, Publication::new(event), None, ctx);
            None
        } else {
            self.stats.receipts_narrowed.add(1);
            Some(event)
        };
        let _ = reply.send(unpublished);
    }
}

impl Receive<Inspect> for RoomActor {
    fn receive(&mut self, Inspect(look): Inspect, _: &mut Self::Context) {
        look(&ChatView::new(&self.rooms));
    }
}
