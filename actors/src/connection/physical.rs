//! A physical connection on its worker: its outbox, its heartbeat and its end. It has one session, or one for each
//! namespace that its client joined.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use smallvec::SmallVec;

use super::end::EndState;
use super::heartbeat::{Heartbeat, HeartbeatState};
use super::idle::QueueMemory;
use super::outbox::{Entry, Hold, Offer, Outbox, OutboxCapacity};
use super::table::Common;
use super::{OutboxSink, SessionHandle, SessionTransport, SlotId};
use crate::model::close::Close;
use crate::publication::Payload;

/// The initial state of a connection.
#[derive(Debug)]
pub struct ConnectionSpec {
    /// The capacity of the outbox.
    pub bound: OutboxCapacity,
    /// The heartbeat; `None` sends no pings.
    pub heartbeat: Option<Arc<Heartbeat>>,
    /// The current time, ms by [`crate::runtime::clock::Clock::elapsed_ms`].
    pub elapsed: i64,
}

/// The place of a connection in the table of its worker.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionKey(u32);

impl ConnectionKey {
    pub(super) fn new(index: usize) -> Self {
        // The descriptors of the process bound connections far below 2^32.
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The sessions of a connection: one, or one for each namespace. Two need no allocation.
type Sessions = SmallVec<[Weak<SessionHandle>; 2]>;

/// A physical connection. It leaves its worker's table when its last reference is dropped.
pub struct Connection {
    /// Its place in the table of the worker.
    pub(super) key: ConnectionKey,
    outbox: RefCell<Outbox>,
    sink: Cell<Option<Rc<dyn OutboxSink>>>,
    sessions: Cell<Sessions>,
    /// The sink was woken and has not begun to write.
    is_woken: Cell<bool>,
    /// The transport has failed: nothing more reaches the client.
    is_broken: Cell<bool>,
    /// Reading is paused.
    is_paused: Cell<bool>,
    pub(super) end: EndState,
    pub(super) heartbeat: HeartbeatState,
    pub(super) queue_memory: QueueMemory,
    pub(super) common: Rc<Common>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("key", &self.key).field("outbox", &self.outbox).finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn new(spec: ConnectionSpec, key: ConnectionKey, common: Rc<Common>) -> Self {
        Self {
            key,
            outbox: RefCell::new(Outbox::new(spec.bound)),
            sink: Cell::default(),
            sessions: Cell::default(),
            is_woken: Cell::default(),
            is_broken: Cell::default(),
            is_paused: Cell::default(),
            end: EndState::default(),
            heartbeat: HeartbeatState::new(spec.heartbeat, spec.elapsed),
            queue_memory: QueueMemory::default(),
            common,
        }
    }

    pub(super) fn add_session(&self, session: &Rc<SessionHandle>) {
        let mut sessions = self.sessions.take();
        sessions.push(Rc::downgrade(session));
        self.sessions.set(sessions);
    }

    pub(super) fn remove_session(&self, session: &SessionHandle) {
        let mut sessions = self.sessions.take();
        sessions.retain(|other| !std::ptr::eq(other.as_ptr(), session));
        self.sessions.set(sessions);
    }

    /// Attaches the transport, and lets it write the outbox.
    pub fn attach(&self, sink: Rc<dyn OutboxSink>) {
        self.sink.set(Some(sink));
        self.is_woken.set(false);
        self.wake();
    }

    /// Detaches the transport, and drops the outbox.
    pub fn detach(&self) {
        drop(self.sink.take());
        self.with_outbox(Outbox::discard);
    }

    /// Gives the transport access to the outbox. Sessions that wait for room resume once there is some.
    pub fn with_outbox<T>(&self, access: impl FnOnce(&mut Outbox) -> T) -> T {
        let result = access(&mut self.outbox.borrow_mut());
        if self.outbox.borrow_mut().take_room_waiter() {
            self.for_each_session(|session| session.with_transport(SessionTransport::resume));
        }
        result
    }

    /// Whether the outbox is less than half full. If not, the transports of the sessions resume once it is.
    pub fn has_room(&self) -> bool {
        self.outbox.borrow_mut().has_room()
    }

    /// Whether nothing is ready to be written.
    pub fn is_drained(&self) -> bool {
        self.outbox.borrow().is_empty()
    }

    /// Takes no more entries. What is ready is still written.
    pub fn stop(&self) {
        self.with_outbox(Outbox::close);
    }

    /// Sends the last message, regardless of the capacity.
    pub fn send_last(&self, payload: Payload) {
        self.with_outbox(|outbox| outbox.close_with(Entry::of_connection(payload)));
    }

    fn sink(&self) -> Option<Rc<dyn OutboxSink>> {
        let sink = self.sink.take();
        self.sink.set(sink.clone());
        sink
    }

    fn for_each_session(&self, act: impl Fn(&SessionHandle)) {
        let sessions = self.sessions.take();
        self.sessions.set(sessions.clone());
        sessions.iter().filter_map(Weak::upgrade).for_each(|session| act(&session));
    }

    /// Offers an entry. With `accepted_us`, it is marked for measurement if it is ready. `true`: the outbox took it.
    pub(super) fn offer(&self, entry: Entry, hold: Option<Hold>, accepted_us: Option<u64>) -> bool {
        let mut outbox = self.outbox.borrow_mut();
        let offer = outbox.offer(entry, hold);
        if let (Offer::Ready, Some(accepted_us)) = (offer, accepted_us) {
            outbox.mark(accepted_us);
        }
        drop(outbox);
        self.handle_offer(offer);
        matches!(offer, Offer::Ready | Offer::Held)
    }

    /// Wakes the transport, or closes the connection when its outbox overflowed.
    pub(super) fn handle_offer(&self, offer: Offer) {
        match offer {
            Offer::Ready => {
                self.note_queue_use();
                self.wake();
            }
            Offer::Held => self.note_queue_use(),
            Offer::Overflowed { dropped } => {
                self.common.stats.slow_consumers.add(1);
                self.common.stats.dropped_slow_consumer.add(dropped as u64);
                self.close(Close::SlowConsumer);
            }
            Offer::Closed => {}
        }
    }

    /// Sends a message of the connection itself.
    pub fn send(&self, payload: Payload) {
        self.offer(Entry::of_connection(payload), None, None);
    }

    /// Releases entries of `session`: see [`Outbox::release_held`].
    pub(super) fn release_held(&self, session: SlotId, hold: Hold, next: Option<Hold>) {
        let is_ready = self.with_outbox(|outbox| {
            outbox.release_held(session, hold, next);
            !outbox.is_empty()
        });
        if is_ready {
            self.wake();
        }
    }

    /// Wakes the transport once, until it [begins to write](Connection::begin_write).
    pub fn wake(&self) {
        if self.is_woken.replace(true) {
            return;
        }
        let sink = self.sink();
        match sink {
            Some(sink) => sink.wake(),
            None => self.is_woken.set(false),
        }
    }

    /// The transport begins to write. The next entry wakes it again.
    pub fn begin_write(&self) {
        self.is_woken.set(false);
    }

    /// The transport has failed: nothing more reaches the client.
    pub fn set_broken(&self) {
        self.is_broken.set(true);
    }

    /// Whether the transport has failed.
    pub fn is_broken(&self) -> bool {
        self.is_broken.get()
    }

    /// Lets the transport read again.
    pub fn resume(&self) {
        let sink = self.sink();
        if let Some(sink) = sink {
            sink.resume();
        }
    }

    /// Pauses reading while the sessions of the connection are busy.
    pub fn pause(&self, is_paused: bool) {
        if self.is_paused.replace(is_paused) && !is_paused {
            self.resume();
        }
    }

    /// Whether reading is paused.
    pub fn is_paused(&self) -> bool {
        self.is_paused.get()
    }

    /// Closes the connection: the outbox is written, then the reason. Only the first reason counts.
    pub fn close(&self, close: Close) {
        self.close_with_rule(close, None);
    }

    /// As [`Connection::close`], with the configuration key for the log.
    pub fn close_by(&self, close: Close, rule: &'static str) {
        self.close_with_rule(close, Some(rule));
    }

    pub(super) fn close_with_rule(&self, close: Close, rule: Option<&'static str>) {
        if self.end.close(close, rule) {
            self.for_each_session(|session| session.connection_closed(&self.end));
            self.stop();
            self.wake();
        }
    }

    /// The reason of the close; `None` while the connection is open.
    pub fn closed(&self) -> Option<Close> {
        self.end.closed()
    }

    /// The reason of its end, and whether the log has it.
    pub fn end(&self) -> &EndState {
        &self.end
    }

    /// Whether the outbox is less than half full.
    pub fn is_under_half(&self) -> bool {
        self.outbox.borrow().is_under_half()
    }

    /// Whether `entries` more entries of `bytes` bytes leave half of the outbox free.
    pub fn fits_within_half(&self, entries: usize, bytes: usize) -> bool {
        self.outbox.borrow().fits_within_half(entries, bytes)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.common.connections.borrow_mut().try_remove(self.key.index());
    }
}

#[cfg(test)]
mod tests;
