//! A session on its worker: what it sends, and the reason of its end.

use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::rc::Rc;

use super::cut::{Cut, Recoverability};
use super::end::EndState;
use super::idle::QueueMemory;
use super::noted::Noted;
use super::outbox::{Content, Entry, Hold};
use super::output_state::{OutputState, PendingReply};
use super::table::Common;
use super::{Connection, Sender, SessionAddr, SessionSpec, SessionTransport, SlotId};
use crate::model::close::Close;
use crate::model::fault::Code;
use crate::model::ids::{RoomName, SessionId, UserId};
use crate::model::surface::Surface;
use crate::publication::{Encoder, EventError, Payload};
use crate::runtime::clock::Expiry;

/// A session on its worker.
pub struct SessionHandle {
    pub(super) session: SessionId,
    pub(super) slot: SlotId,
    pub(super) encoder: &'static dyn Encoder,
    /// Its connection, until it ends.
    connection: RefCell<Option<Rc<Connection>>>,
    /// Its transport, from its start to its end.
    transport: Cell<Option<Rc<dyn SessionTransport>>>,
    /// The client knows the session. Before, its entries are held.
    has_started: Cell<bool>,
    pub(super) output: RefCell<OutputState>,
    end: EndState,
    pub(super) expiry: Cell<Expiry>,
    pub(super) queue_memory: QueueMemory,
    pub(super) noted: RefCell<Noted>,
    pub(super) recoverable: Cell<Recoverability>,
    /// The last publication that was for the session.
    pub(super) offered: Cell<u64>,
    /// Set once the connection of a recoverable session is cut.
    pub(super) cut: Cell<Option<Box<Cut>>>,
    /// The user and the surface of a session that receives presence events.
    pub(super) presence_listener: RefCell<Option<Box<(UserId, Surface)>>>,
    pub(super) common: Rc<Common>,
}

impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionHandle")
            .field("session", &self.session)
            .field("addr", &self.addr())
            .finish_non_exhaustive()
    }
}

impl SessionHandle {
    pub(super) fn new(spec: SessionSpec, slot: SlotId, common: Rc<Common>) -> Self {
        Self {
            session: spec.session,
            slot,
            encoder: spec.encoder,
            connection: RefCell::new(Some(spec.connection)),
            transport: Cell::default(),
            has_started: Cell::default(),
            output: RefCell::default(),
            end: EndState::default(),
            expiry: Cell::new(spec.expiry),
            queue_memory: QueueMemory::default(),
            noted: RefCell::default(),
            recoverable: Cell::default(),
            offered: Cell::default(),
            cut: Cell::default(),
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
        SessionAddr { worker: self.common.worker, slot: self.slot }
    }

    /// The session as the sender of a publication.
    pub fn sender(&self) -> Sender {
        Sender { session: self.session, addr: self.addr() }
    }

    /// Encodes for the client.
    pub fn encoder(&self) -> &'static dyn Encoder {
        self.encoder
    }

    /// The connection; `None` after its end.
    pub fn connection(&self) -> Option<Rc<Connection>> {
        self.connection.borrow().clone()
    }

    pub(super) fn with_connection<T>(&self, access: impl FnOnce(&Connection) -> T) -> Option<T> {
        self.connection.borrow().as_deref().map(access)
    }

    /// Attaches the transport: the session starts, and its entries can be written.
    pub fn attach(&self, transport: Rc<dyn SessionTransport>) {
        self.transport.set(Some(transport));
        self.has_started.set(true);
        self.with_connection(|connection| connection.release_held(self.slot, Hold::Start, None));
        if let Some(close) = self.closed() {
            self.with_transport(|transport| transport.closed(close));
        }
    }

    /// Detaches the transport and the connection.
    pub fn detach(&self) {
        drop(self.transport.take());
        let connection = self.connection.borrow_mut().take();
        if let Some(connection) = connection {
            self.end.inherit(&connection.end);
            connection.with_outbox(|outbox| outbox.remove_held(self.slot));
            connection.remove_session(self);
        }
    }

    /// Ends the output after the connection ended.
    pub fn end_connection(&self) {
        self.note_cut();
        self.detach();
    }

    /// The client left the session, and reads no more of it. Drops its unwritten entries.
    pub fn leave(&self) {
        self.note_cut();
        self.with_connection(|connection| connection.with_outbox(|outbox| outbox.remove_session(self.slot)));
    }

    /// Offers a message that only the replies of `room` hold back, such as an announcement. `true` when the outbox took
    /// it; the caller counts deliveries in one step.
    pub fn deliver(&self, room: &RoomName, content: Rc<Content>) -> bool {
        let behind = self.output.borrow().behind(room);
        self.offer(Entry::new(self.slot, content), behind, None)
    }

    /// Offers an entry; with `behind`, it waits for that reply. With `accepted_us`, it is marked for measurement unless
    /// it waits.
    pub(super) fn offer(&self, entry: Entry, behind: Option<u64>, accepted_us: Option<u64>) -> bool {
        if self.closed().is_some() {
            return false;
        }
        let hold = match behind {
            Some(reply) => Some(Hold::Reply(reply)),
            None => (!self.has_started.get()).then_some(Hold::Start),
        };
        self.with_connection(|connection| connection.offer(entry, hold, accepted_us)).unwrap_or(false)
    }

    /// The number of the reply that a publication of `room` with this number waits for. On a numbered wire, it waits
    /// behind the earlier publications, too, because the client names the last one that it received.
    pub(super) fn behind(&self, room: &RoomName, number: u64) -> Option<u64> {
        let mut output = self.output.borrow_mut();
        match output.deferred_rooms.is_empty() && output.numbers_wait_for.is_none() {
            true => None,
            false if self.encoder.is_numbered() => output.behind_in_order(room, number),
            false => output.behind(room),
        }
    }

    /// Releases the messages that wait for this reply.
    pub(super) fn release_held(&self, reply: u64) {
        let next = (!self.has_started.get()).then_some(Hold::Start);
        self.with_connection(|connection| connection.release_held(self.slot, Hold::Reply(reply), next));
    }

    /// Sends a message after the pending replies.
    pub fn send(&self, payload: Payload) {
        let mut output = self.output.borrow_mut();
        if output.replies.is_empty() {
            drop(output);
            let sent = self.send_ahead(payload);
            self.common.stats.sent.add(u64::from(sent));
        } else {
            output.answered += payload.len();
            output.replies.push_back(PendingReply::fulfilled(payload));
        }
    }

    /// As [`SessionHandle::send`], for a message with offsets: publications with a number that arrive later follow it.
    pub fn send_in_order(&self, payload: Payload) {
        self.send(payload);
        if self.encoder.is_numbered() {
            let mut output = self.output.borrow_mut();
            output.numbers_wait_for = output.last_reply();
        }
    }

    /// Sends a message before the pending replies. `true` when the outbox took it.
    pub fn send_ahead(&self, payload: Payload) -> bool {
        self.offer(Entry::new(self.slot, Content::of(payload)), None, None)
    }

    /// Sends a refusal.
    pub fn refuse(&self, refusal: &EventError<'_>, now: i64) {
        if let Some(payload) = self.refusal(refusal, now) {
            self.send(payload);
        }
    }

    /// Counts a refusal and encodes it; `None` when the client receives no message.
    pub fn refusal(&self, refusal: &EventError<'_>, now: i64) -> Option<Payload> {
        self.common.stats.errors.add(1);
        match refusal.fault.code {
            Code::RateLimited | Code::LimitReached => self.common.stats.rate_limited.add(1),
            Code::Overloaded => self.common.stats.overloads.add(1),
            _ => {}
        }
        self.encoder.refusal(refusal, now)
    }

    /// Closes the session if its close waited for replies and all were sent.
    pub(super) fn close_if_due(&self) {
        let due = if self.has_sent_all_replies() { self.output.borrow_mut().closing.take() } else { None };
        if let Some(close) = due {
            self.close(close);
        }
    }

    /// Closes the session: its ready entries are written, then its transport ends it. Only the first reason counts.
    pub fn close(&self, close: Close) {
        self.close_with_rule(close, None);
    }

    /// As [`SessionHandle::close`], with the configuration key for the log.
    pub fn close_by(&self, close: Close, rule: &'static str) {
        self.close_with_rule(close, Some(rule));
    }

    fn close_with_rule(&self, close: Close, rule: Option<&'static str>) {
        if self.end.close(close, rule) {
            self.note_cut();
            self.with_connection(|connection| connection.with_outbox(|outbox| outbox.remove_behind_replies(self.slot)));
            self.with_transport(|transport| transport.closed(close));
        }
    }

    /// The connection was closed, and the session with it. Takes back unwritten publications before the transport writes
    /// again.
    pub(super) fn connection_closed(&self, connection: &EndState) {
        self.end.inherit(connection);
        self.note_cut();
    }

    /// Closes the session because its client recovers it on another connection. A disconnect that the client sent
    /// before has priority.
    pub fn supersede(&self) {
        if !self.transport().is_some_and(SessionTransport::supersede) {
            self.close(Close::Recovered);
        }
    }

    /// The configuration key that caused the close, when it is not the usual one for this close.
    pub fn closed_by(&self) -> Option<&'static str> {
        self.end.rule()
    }

    /// Marks the close as logged: by the refused request, or by another session of the connection.
    pub fn mark_close_logged(&self) {
        self.end.mark_logged();
    }

    /// Whether the log has the reason of the close already.
    pub fn is_close_logged(&self) -> bool {
        self.end.is_logged()
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
        self.end.closed()
    }

    /// Records why the client ended the session. Only the first reason counts.
    pub fn note_end(&self, close: Close) {
        self.end.note(close);
    }

    /// Why the session or its connection ended; `None` when the connection was lost, or is open.
    pub fn end_reason(&self) -> Option<Close> {
        self.end.reason().or_else(|| self.with_connection(|connection| connection.end.reason()).flatten())
    }

    /// Notifications that changed while the session waits for its unread ones.
    pub fn noted(&self) -> RefMut<'_, Noted> {
        self.noted.borrow_mut()
    }

    /// Sets the user and the surface for presence events; `None` stops them.
    pub fn set_presence_listener(&self, listener: Option<(UserId, Surface)>) {
        if listener.is_some() {
            self.common.presence_listeners.borrow_mut().insert(self.slot);
        } else {
            self.common.presence_listeners.borrow_mut().remove(&self.slot);
        }
        *self.presence_listener.borrow_mut() = listener.map(Box::new);
    }

    /// The surface for presence events, if the session receives them. A session receives none about its own user
    /// `except`.
    pub fn presence_surface(&self, except: Option<&UserId>) -> Option<Surface> {
        let listener = self.presence_listener.borrow();
        listener.as_deref().filter(|(own, _)| except != Some(own)).map(|&(_, surface)| surface)
    }

    /// Whether `entries` more entries of `bytes` bytes leave half of the connection's outbox free.
    pub fn fits_within_half(&self, entries: usize, bytes: usize) -> bool {
        self.with_connection(|connection| connection.fits_within_half(entries, bytes)).unwrap_or(true)
    }

    fn transport(&self) -> Option<Rc<dyn SessionTransport>> {
        let transport = self.transport.take();
        self.transport.set(transport.clone());
        transport
    }

    pub(super) fn with_transport(&self, act: impl FnOnce(Rc<dyn SessionTransport>)) {
        if let Some(transport) = self.transport() {
            act(transport);
        }
    }
}
