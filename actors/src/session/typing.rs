//! Who types in which thread. A session is one typist; it stops by saying so, by falling silent, by leaving the thread and
//! by ending, and the others are told each time, once.
//!
//! One timer serves all that a session types at once, and runs only while it does.

use std::time::Duration;

use actix::Context;
use actix::fut::{ActorFutureExt, WrapFuture};

use super::joins::Verdict;
use super::{Answer, Handle, Outcome, Session};
use crate::events::community::{ThreadId, TypingStart, TypingStop, UserTyping};
use crate::events::{Done, ServerEvent, json};
use crate::model::fault::Fault;
use crate::model::ids::{EventName, RoomName};
use crate::publication::Event;

/// Threads that a session can type in at once; one more, and it stops in the one that it has been silent in for longest.
pub(super) const THREADS_MAX: usize = 16;

/// Typing in one thread.
#[derive(Debug)]
struct Typed {
    room: RoomName,
    thread: ThreadId,
    /// When the session last said so, ms by [`crate::runtime::clock::Clock::elapsed_ms`].
    said_at: i64,
    /// When the others were last told, likewise.
    told_at: i64,
}

/// What a session types.
#[derive(Debug, Default)]
pub(super) struct Typing {
    threads: Vec<Typed>,
    /// The timer runs.
    waits: bool,
}

impl Session {
    /// Notes that the session types, and tells the others unless they know. A client that goes by a time of its own hears
    /// it again in time, for one that types on is told twice in the time after which a typist stops.
    fn type_in(&mut self, room: RoomName, thread: ThreadId) -> Result<(), Fault> {
        let now = self.hub.clock().elapsed_ms();
        let again = self.hub.settings().typing_ms / 2;
        let threads = &mut self.typing.threads;
        let known = threads.iter().position(|typed| typed.room == room).map(|index| threads.swap_remove(index));
        let told_at = known.as_ref().map(|typed| typed.told_at).filter(|told_at| now - told_at < again);
        if known.is_none() && threads.len() >= THREADS_MAX {
            let longest = threads.iter().enumerate().min_by_key(|(_, typed)| typed.said_at);
            if let Some((index, _)) = longest {
                let typed = self.typing.threads.swap_remove(index);
                self.tell_stopped(&typed);
            }
        }
        let told_at = match told_at {
            Some(told_at) => told_at,
            None => {
                let event = self.typing_event(&room, &thread, true)?;
                if let Err(fault) = self.hub.rooms().publish(room.clone(), event, Some(self.handle.addr())) {
                    // It goes on where the others know of it, and stops where they do.
                    self.typing.threads.extend(known);
                    return Err(fault);
                }
                now
            }
        };
        self.typing.threads.push(Typed { room, thread, said_at: now, told_at });
        Ok(())
    }

    fn typing_event(&self, room: &RoomName, thread: &ThreadId, typing: bool) -> Result<Event, Fault> {
        let data = json::encode(&UserTyping::new(self.identity()?, thread, typing));
        let (name, topic) = (EventName::of_hub(UserTyping::NAME), Some(room.clone()));
        Ok(Event { name, topic, data, timestamp: self.now(), offset: None })
    }

    fn tell_stopped(&self, typed: &Typed) {
        if let Ok(event) = self.typing_event(&typed.room, &typed.thread, false) {
            self.hub.rooms().publish_end(typed.room.clone(), event, self.handle.addr());
        }
    }

    /// Stops typing in a thread. Before the session leaves it: it is not told itself.
    pub(super) fn stop_typing_in(&mut self, room: &RoomName) {
        let threads = &mut self.typing.threads;
        if let Some(index) = threads.iter().position(|typed| typed.room == *room) {
            let typed = threads.swap_remove(index);
            self.tell_stopped(&typed);
        }
    }

    /// Stops typing anywhere.
    pub(super) fn stop_typing(&mut self) {
        for typed in std::mem::take(&mut self.typing.threads) {
            self.tell_stopped(&typed);
        }
    }

    /// Has those threads stop in which the session fell silent, when it is time.
    fn await_silence(&mut self, ctx: &mut Context<Self>) {
        let first = self.typing.threads.iter().map(|typed| typed.said_at).min();
        let Some(first) = first.filter(|_| !self.typing.waits) else { return };
        let wait = first + self.hub.settings().typing_ms - self.hub.clock().elapsed_ms();
        self.typing.waits = true;
        let wait = Duration::from_millis(u64::try_from(wait.max(1)).unwrap_or(1));
        self.hub.clock().run_later(ctx, wait, |session: &mut Self, ctx| {
            session.typing.waits = false;
            let until = session.hub.clock().elapsed_ms() - session.hub.settings().typing_ms;
            let silent: Vec<_> = session.typing.threads.extract_if(.., |typed| typed.said_at <= until).collect();
            for typed in silent {
                session.tell_stopped(&typed);
            }
            session.await_silence(ctx);
        });
    }
}

impl Handle<TypingStart> for Session {
    fn handle(&mut self, request: TypingStart) -> Result<Outcome<Done>, Fault> {
        let room = RoomName::of_thread(request.thread_id.as_str(), "thread_id")?;
        let joining = self.ask_to_join_one(room.as_str(), "thread_id")?;
        let rooms = joining.iter().map(|joining| joining.room().clone()).collect();
        let typed = self.type_in(room.clone(), request.thread_id);
        let joined = async move {
            match joining {
                None => Ok(Verdict::In(None)),
                Some(joining) => joining.answer().await.map(|(decision, _)| decision),
            }
        };
        let answer = joined.into_actor(self).map(move |decision: Result<_, Fault>, session, ctx| {
            let joined = decision.and_then(|decision| session.review(room.as_str(), decision));
            if joined.is_err() {
                session.stop_typing_in(&room);
            }
            session.await_silence(ctx);
            joined.and(typed).map(|()| Done {})
        });
        let answer: Answer<Done> = Box::pin(answer);
        Ok(Outcome::Join(rooms, answer))
    }
}

impl Handle<TypingStop> for Session {
    fn handle(&mut self, request: TypingStop) -> Result<Outcome<Done>, Fault> {
        let room = RoomName::of_thread(request.thread_id.as_str(), "thread_id")?;
        self.stop_typing_in(&room);
        Ok(Outcome::Reply(Done {}))
    }
}
