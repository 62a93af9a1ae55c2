//! A session on its worker: its output and the reason of its end.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use ahash::{AHashMap, AHashSet};
use bytes::Bytes;

use super::liveness::{DueTimes, Liveness};
use super::memory::Memory;
use super::noted::Noted;
use super::outbox::{Frame, Offer, Outbox};
use super::output_state::OutputState;
use super::replies::PendingReply;
use super::{OutboxSink, SessionAddr, SessionSpec, SlotId};
use crate::model::close::Close;
use crate::model::fault::Code;
use crate::model::ids::{RoomName, SessionId, UserId};
use crate::model::surface::Surface;
use crate::publication::{Encoder, EventError};
use crate::runtime::clock::Clock;
use crate::runtime::counters::Stats;

/// A session on its worker.
pub struct SessionHandle {
    pub(super) session: SessionId,
    pub(super) addr: SessionAddr,
    pub(super) encoder: &'static dyn Encoder,
    pub(super) multiplexed: bool,
    pub(super) output: RefCell<OutputState>,
    pub(super) sink: RefCell<Option<Rc<dyn OutboxSink>>>,
    /// Why the connection ended, when the session was not closed.
    pub(super) connection_end: Cell<Option<Close>>,
    /// The configuration key that caused the close, when it is not the usual one for this close.
    pub(super) closed_by: Cell<Option<&'static str>>,
    /// Whether the reason of the close was already logged.
    pub(super) is_close_logged: Cell<bool>,
    pub(super) paused: Cell<bool>,
    pub(super) noted: RefCell<Noted>,
    /// Buffers for the recovery of the session.
    pub(super) memory: RefCell<Option<Box<Memory>>>,
    /// Joined chats, each with the number of the last publication before the join.
    pub(super) chats: RefCell<Option<Box<AHashMap<RoomName, u64>>>>,
    pub(super) liveness: Liveness,
    /// The user and the surface of a session that receives presence events.
    pub(super) presence_listener: RefCell<Option<(UserId, Surface)>>,
    pub(super) common: Rc<Common>,
}

/// State that all session handles of a worker share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) worker: usize,
    pub(super) clock: Clock,
    pub(super) stats: Arc<Stats>,
    /// Sessions that receive presence events.
    pub(super) presence_listeners: RefCell<AHashSet<SlotId>>,
    /// When each session is checked next.
    pub(super) due_times: DueTimes,
}

impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionHandle")
            .field("session", &self.session)
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

impl SessionHandle {
    pub(super) fn new(spec: SessionSpec, addr: SessionAddr, common: Rc<Common>) -> Self {
        Self {
            session: spec.session,
            addr,
            encoder: spec.encoder,
            multiplexed: spec.multiplexed,
            output: RefCell::new(OutputState::new(spec.bound)),
            sink: RefCell::new(None),
            connection_end: Cell::new(None),
            closed_by: Cell::new(None),
            is_close_logged: Cell::new(false),
            paused: Cell::new(false),
            noted: RefCell::default(),
            memory: RefCell::default(),
            chats: RefCell::default(),
            liveness: Liveness::new(spec.heartbeat, spec.elapsed, spec.expiry),
            presence_listener: RefCell::default(),
            common,
        }
    }

    /// The session.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The address of the session.
    pub fn addr(&self) -> SessionAddr {
        self.addr
    }

    /// Encodes for the client.
    pub fn encoder(&self) -> &'static dyn Encoder {
        self.encoder
    }

    /// Whether it is a physical connection of several sessions.
    pub fn is_multiplexed(&self) -> bool {
        self.multiplexed
    }

    /// Attaches the transport, and lets it write the outbox.
    pub fn attach(&self, sink: Rc<dyn OutboxSink>) {
        *self.sink.borrow_mut() = Some(sink);
        self.wake();
    }

    /// Detaches the transport.
    pub fn detach(&self) {
        self.sink.borrow_mut().take();
    }

    /// Ends the output after the connection ended.
    pub fn end_connection(&self) {
        self.keep();
        self.detach();
    }

    /// Suspends the session after its connection was cut. Pending replies are dropped, and the outbox is closed.
    pub fn suspend(&self) {
        self.keep();
        self.set_presence_listener(None);
        let mut output = self.output.borrow_mut();
        output.replies = VecDeque::new();
        (output.large, output.answered) = (0, 0);
        output.deferred_rooms = Vec::new();
        drop(output);
        self.close(Close::Left);
    }

    /// The session receives the messages of a chat after the publication
    /// [number](crate::publication::Publication::number) `number`.
    pub fn join_chat(&self, chat: RoomName, number: u64) {
        self.chats.borrow_mut().get_or_insert_default().insert(chat, number);
    }

    /// The session receives no more messages of a room.
    pub fn leave_chat(&self, room: &RoomName) {
        let mut chats = self.chats.borrow_mut();
        if let Some(joined) = chats.as_deref_mut() {
            joined.remove(room);
            if joined.is_empty() {
                *chats = None;
            }
        }
    }

    /// The number of the last publication of a chat before the session joined it; `None` when it is not in the chat.
    pub fn last_before_join(&self, chat: &RoomName) -> Option<u64> {
        self.chats.borrow().as_ref()?.get(chat).copied()
    }

    /// Offers a frame of `room`. `true` when the outbox took it; the caller counts deliveries in one step.
    pub fn deliver(&self, room: &RoomName, frame: Frame) -> bool {
        self.deliver_after(self.behind(room), frame, None)
    }

    /// Offers a frame; with `behind`, it waits for that reply. With `accepted_us`, the frame is marked for measurement
    /// unless it waits.
    pub(super) fn deliver_after(&self, behind: Option<u64>, frame: Frame, accepted_us: Option<u64>) -> bool {
        let mut output = self.output.borrow_mut();
        let offer = output.outbox.offer(frame, behind);
        if let (Offer::Queued, None, Some(accepted_us)) = (offer, behind, accepted_us) {
            output.outbox.mark(accepted_us);
        }
        drop(output);
        self.handle_offer(offer, 0);
        offer == Offer::Queued
    }

    /// The number of the reply that the messages of `room` wait for.
    pub(super) fn behind(&self, room: &RoomName) -> Option<u64> {
        self.output.borrow().behind(room)
    }

    /// Sends a frame after the pending replies.
    pub fn send(&self, frame: Bytes) {
        let frame = Rc::new(frame);
        let mut output = self.output.borrow_mut();
        if output.replies.is_empty() {
            let offer = output.outbox.offer(frame, None);
            drop(output);
            self.handle_offer(offer, 1);
        } else {
            output.answered += frame.len();
            output.replies.push_back(PendingReply::fulfilled(frame));
        }
    }

    /// Sends a refusal.
    pub fn refuse(&self, refusal: &EventError<'_>, now: i64) {
        if let Some(frame) = self.refusal(refusal, now) {
            self.send(frame);
        }
    }

    /// Counts a refusal and encodes it; `None` when the client receives no message.
    pub fn refusal(&self, refusal: &EventError<'_>, now: i64) -> Option<Bytes> {
        self.common.stats.errors.add(1);
        match refusal.fault.code {
            Code::RateLimited | Code::LimitReached => self.common.stats.rate_limited.add(1),
            Code::Overloaded => self.common.stats.overloads.add(1),
            _ => {}
        }
        self.encoder.refusal(refusal, now)
    }

    /// Sends a frame of the transport before the pending replies.
    pub fn send_ahead(&self, frame: Frame) {
        self.forward(frame, None);
    }

    /// Closes the session if its close waited for replies and all were sent.
    pub(super) fn close_if_due(&self) {
        let due = if self.has_sent_all_replies() { self.output.borrow_mut().closing.take() } else { None };
        if let Some(close) = due {
            self.close(close);
        }
    }

    /// Counts `frames` sent frames, or closes the session when its outbox overflowed.
    pub(super) fn handle_offer(&self, offer: Offer, frames: u64) {
        match offer {
            Offer::Queued => {
                if frames > 0 {
                    self.common.stats.sent.add(frames);
                }
                self.note_queue_use();
                self.wake();
            }
            Offer::Overflowed { dropped } => {
                self.common.stats.slow_consumers.add(1);
                self.common.stats.dropped_slow_consumer.add(dropped as u64);
                self.close(Close::SlowConsumer);
            }
            Offer::Closed => {}
        }
    }

    /// Closes the session: the outbox is written, then the close reason. Only the first reason counts.
    pub fn close(&self, close: Close) {
        let mut output = self.output.borrow_mut();
        if output.closed.is_none() {
            output.closed = Some(close);
            drop(output);
            self.keep();
            self.with_outbox(|outbox| outbox.close());
            self.wake();
        }
    }

    /// Closes the session because its client recovers it on another connection. A disconnect that the client sent
    /// before has priority.
    pub fn supersede(&self) {
        let sink = self.sink.borrow().clone();
        if !sink.is_some_and(OutboxSink::supersede) {
            self.close(Close::Recovered);
        }
    }

    /// As [`SessionHandle::close`], with the configuration key for the log.
    pub fn close_by(&self, close: Close, rule: &'static str) {
        if self.closed().is_none() {
            self.closed_by.set(Some(rule));
        }
        self.close(close);
    }

    /// The configuration key that caused the close, when it is not the usual one for this close.
    pub fn closed_by(&self) -> Option<&'static str> {
        self.closed_by.get()
    }

    /// Marks the close as logged: by the refused request, or by another session of the connection.
    pub fn mark_close_logged(&self) {
        self.is_close_logged.set(true);
    }

    /// Whether the log has the reason of the close already.
    pub fn is_close_logged(&self) -> bool {
        self.is_close_logged.get()
    }

    /// Closes the session with the reason of its physical connection.
    pub fn close_as(&self, physical: &Self) {
        let Some(close) = physical.closed() else { return };
        if self.closed().is_none() {
            self.closed_by.set(physical.closed_by());
            self.is_close_logged.set(physical.is_close_logged());
        }
        self.close(close);
    }

    /// As [`SessionHandle::close`], after all pending replies were sent.
    pub fn close_after_replies(&self, close: Close) {
        if self.has_sent_all_replies() {
            self.close(close);
        } else {
            self.output.borrow_mut().closing = Some(close);
        }
    }

    /// The reason of the close; `None` while the session is open.
    pub fn closed(&self) -> Option<Close> {
        self.output.borrow().closed
    }

    /// Records why the connection ended, when its client ended it. Only the first reason counts.
    pub fn note_end(&self, close: Close) {
        self.connection_end.set(self.connection_end.get().or(Some(close)));
    }

    /// Why the session or its connection ended; `None` when the connection was lost, or is open.
    pub fn end_reason(&self) -> Option<Close> {
        self.closed().or(self.connection_end.get())
    }

    /// Notifications that changed while the session waits for its unread ones.
    pub fn noted(&self) -> RefMut<'_, Noted> {
        self.noted.borrow_mut()
    }

    /// Sets the user and the surface for presence events; `None` stops them.
    pub fn set_presence_listener(&self, listener: Option<(UserId, Surface)>) {
        if listener.is_some() {
            self.common.presence_listeners.borrow_mut().insert(self.addr.slot);
        } else {
            self.common.presence_listeners.borrow_mut().remove(&self.addr.slot);
        }
        *self.presence_listener.borrow_mut() = listener;
    }

    /// The surface for presence events, if the session receives them. A session receives none about its own user
    /// `except`.
    pub fn presence_surface(&self, except: Option<&UserId>) -> Option<Surface> {
        let listener = self.presence_listener.borrow();
        listener.as_ref().filter(|(own, _)| except != Some(own)).map(|&(_, surface)| surface)
    }

    /// Whether the outbox is less than half full.
    pub fn is_under_half(&self) -> bool {
        self.output.borrow().outbox.is_under_half()
    }

    /// Whether `frames` more frames of `bytes` bytes leave half of the capacity free, here and in the transport.
    pub fn fits_within_half(&self, frames: usize, bytes: usize) -> bool {
        let sink = self.sink.borrow().clone();
        self.with_outbox(|outbox| outbox.fits_within_half(frames, bytes))
            && sink.is_none_or(|sink| sink.fits_within_half(frames, bytes))
    }

    /// Gives access to the outbox.
    pub fn with_outbox<T>(&self, take: impl FnOnce(&mut Outbox) -> T) -> T {
        take(&mut self.output.borrow_mut().outbox)
    }

    pub(super) fn wake(&self) {
        self.with_sink(OutboxSink::wake);
    }

    pub(super) fn with_sink(&self, act: impl FnOnce(Rc<dyn OutboxSink>)) {
        let sink = self.sink.borrow().clone();
        if let Some(sink) = sink {
            act(sink);
        }
    }
}
