//! Typing in threads. A session stops typing by request, after a silence, when it leaves the thread, or at its end.
//! Each start and each stop is announced once to the other members.
//!
//! One timer serves all threads of a session, and runs only while it types.

use std::time::Duration;

use actix::Context;
use actix::fut::{ActorFutureExt, WrapFuture};

use crate::events::community::{ThreadId, TypingStart, TypingStop, UserTyping};
use crate::events::{Done, ServerEvent, json};
use crate::model::fault::{Code, Fault};
use crate::model::ids::{EventName, RoomName};
use crate::publication::Event;
use crate::rooms::replies::PublishReply;
use crate::session::pending_joins::JoinOutcome;
use crate::session::{Handle, Outcome, ReplyFuture, Session};

/// Threads that a session can type in at once. One more stops the thread with the longest silence.
pub(in crate::session) const THREADS_MAX: usize = 16;

/// Typing in one thread.
#[derive(Debug)]
struct TypingThread {
    room: RoomName,
    thread: ThreadId,
    /// The last typing request, ms by [`crate::runtime::clock::Clock::elapsed_ms`].
    typed_at: i64,
    /// The last notice to the others, likewise.
    notified_at: i64,
}

/// The typing state of a session.
#[derive(Debug, Default)]
pub(in crate::session) struct Typing {
    threads: Vec<TypingThread>,
    /// Whether the timer runs.
    has_timer: bool,
}

impl Session {
    fn typing_threads(&mut self) -> &mut Vec<TypingThread> {
        &mut self.typing.get_or_insert_default().threads
    }

    /// Records typing. Announces it unless the last announcement is younger than half of the timeout. So clients with a
    /// timeout of their own get the next announcement in time.
    fn type_in(&mut self, room: RoomName, thread: ThreadId) -> Result<Option<PublishReply>, Fault> {
        let now = self.hub.clock().elapsed_ms();
        let again = self.hub.settings().typing_ms / 2;
        let threads = self.typing_threads();
        let known = threads.iter().position(|typed| typed.room == room).map(|index| threads.swap_remove(index));
        let notified_at = known.as_ref().map(|typed| typed.notified_at).filter(|notified_at| now - notified_at < again);
        if known.is_none() && threads.len() >= THREADS_MAX {
            let longest = threads.iter().enumerate().min_by_key(|(_, typed)| typed.typed_at);
            if let Some((index, _)) = longest {
                let typed = threads.swap_remove(index);
                self.publish_stopped(&typed);
            }
        }
        let announcement = match notified_at {
            Some(_) => None,
            None => {
                let event = self.typing_event(&room, &thread, true)?;
                let announced = self.hub.rooms().publish(room.clone(), event, Some(self.handle.sender()));
                // The earlier announcement is still valid, so the thread keeps its state.
                Some(announced.inspect_err(|_| self.typing_threads().extend(known))?)
            }
        };
        let notified_at = notified_at.unwrap_or(now);
        self.typing_threads().push(TypingThread { room, thread, typed_at: now, notified_at });
        Ok(announcement)
    }

    fn is_typing_in(&self, room: &RoomName) -> bool {
        self.typing.as_ref().is_some_and(|typing| typing.threads.iter().any(|typed| typed.room == *room))
    }

    /// The first announcement of typing was refused: nobody was told, so nobody is told of its end.
    fn forget_typing_in(&mut self, room: &RoomName) {
        self.typing_threads().retain(|typed| typed.room != *room);
    }

    fn typing_event(&self, room: &RoomName, thread: &ThreadId, typing: bool) -> Result<Event, Fault> {
        let data = json::encode(&UserTyping::new(self.identity()?, thread, typing));
        let (name, topic) = (EventName::of_hub(UserTyping::NAME), Some(room.clone()));
        Ok(Event { name, topic, data, timestamp: self.now(), offset: None })
    }

    fn publish_stopped(&self, typed: &TypingThread) {
        if let Ok(event) = self.typing_event(&typed.room, &typed.thread, false) {
            self.hub.rooms().publish_end(typed.room.clone(), event, self.handle.sender());
        }
    }

    /// Stops typing in a thread. Runs before the session leaves it.
    pub(in crate::session) fn stop_typing_in(&mut self, room: &RoomName) {
        let Some(threads) = self.typing.as_mut().map(|typing| &mut typing.threads) else { return };
        if let Some(index) = threads.iter().position(|typed| typed.room == *room) {
            let typed = threads.swap_remove(index);
            self.publish_stopped(&typed);
        }
    }

    /// Stops typing in all threads.
    pub(in crate::session) fn stop_typing(&mut self) {
        let threads = self.typing.as_mut().map(|typing| std::mem::take(&mut typing.threads));
        for typed in threads.into_iter().flatten() {
            self.publish_stopped(&typed);
        }
    }

    /// Stops silent threads when their timeout ends.
    fn schedule_timeout(&mut self, ctx: &mut Context<Self>) {
        let Some(typing) = self.typing.as_mut().filter(|typing| !typing.has_timer) else { return };
        let Some(first) = typing.threads.iter().map(|typed| typed.typed_at).min() else { return };
        typing.has_timer = true;
        let wait = first + self.hub.settings().typing_ms - self.hub.clock().elapsed_ms();
        let wait = Duration::from_millis(u64::try_from(wait.max(1)).unwrap_or(1));
        self.hub.clock().run_later(ctx, wait, |session: &mut Self, ctx| {
            let until = session.hub.clock().elapsed_ms() - session.hub.settings().typing_ms;
            let Some(typing) = session.typing.as_mut() else { return };
            typing.has_timer = false;
            let silent: Vec<_> = typing.threads.extract_if(.., |typed| typed.typed_at <= until).collect();
            for typed in silent {
                session.publish_stopped(&typed);
            }
            session.schedule_timeout(ctx);
        });
    }
}

impl Handle<TypingStart> for Session {
    fn handle(&mut self, request: TypingStart) -> Result<Outcome<Done>, Fault> {
        let room = RoomName::of_thread(request.thread_id.as_str(), "thread_id")?;
        let joining = self.request_join(room.as_str(), "thread_id")?;
        let rooms = joining.iter().map(|joining| joining.room().clone()).collect();
        // Then the others know of it, and a refused announcement changes nothing.
        let was_typing = self.is_typing_in(&room);
        let typed = self.type_in(room.clone(), request.thread_id);
        let joined = async move {
            let joined = match joining {
                None => Ok(JoinOutcome::Joined(None)),
                Some(joining) => joining.outcome().await.map(|(decision, _)| decision),
            };
            let announced = match typed {
                Ok(Some(announcement)) => announcement.await.and_then(|published| published.map(drop)),
                Ok(None) => Ok(()),
                Err(fault) => Err(fault),
            };
            (joined, announced)
        };
        let answer = joined.into_actor(self).map(move |(decision, announced): (Result<_, Fault>, _), session, ctx| {
            let joined = decision.and_then(|decision| session.confirm_join(room.as_str(), decision));
            match (&joined, &announced) {
                (_, Err(fault)) if fault.code == Code::Overloaded && !was_typing => session.forget_typing_in(&room),
                (Err(_), _) => session.stop_typing_in(&room),
                _ => {}
            }
            session.schedule_timeout(ctx);
            joined.and(announced).map(|()| Done {})
        });
        let answer: ReplyFuture<Done> = Box::pin(answer);
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
