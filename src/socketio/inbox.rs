//! The bounded queue of one client's requests that its session has not read yet.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::task::Waker;

use hubbub_actors::connection::PENDING_REPLY_BYTES_MAX;
use hubbub_actors::session::Inbound;

/// Bounds of an inbox: requests, and their bytes.
const INBOX_MAX: usize = 32;
const INBOX_BYTES_MAX: usize = PENDING_REPLY_BYTES_MAX;

/// Requests that wait for their session.
#[derive(Default)]
pub(super) struct Inbox {
    waiting: RefCell<VecDeque<Inbound>>,
    /// Bytes of the requests in `waiting`.
    bytes: Cell<usize>,
    closed: Cell<bool>,
    reader: Cell<Option<Waker>>,
}

impl Inbox {
    pub(super) fn push(&self, inbound: Inbound) {
        if !self.closed.get() {
            self.bytes.set(self.bytes.get() + weight(&inbound));
            self.waiting.borrow_mut().push_back(inbound);
            self.wake();
        }
    }

    pub(super) fn pop(&self) -> Option<Inbound> {
        let inbound = self.waiting.borrow_mut().pop_front()?;
        self.bytes.set(self.bytes.get() - weight(&inbound));
        Some(inbound)
    }

    /// No request follows; the session still reads the requests in the queue.
    pub(super) fn close(&self) {
        if !self.closed.replace(true) {
            self.waiting.borrow_mut().push_back(Inbound::Closing);
            self.wake();
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.borrow().len() >= INBOX_MAX || self.bytes.get() >= INBOX_BYTES_MAX
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Closes the inbox without [`Inbound::Closing`], because its session is gone. `true`: it was open.
    pub(super) fn close_without_notice(&self) -> bool {
        !self.closed.replace(true)
    }

    /// Registers `reader` to be woken by the next request. An empty inbox holds no memory.
    pub(super) fn await_next(&self, reader: &Waker) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.is_empty() {
            *waiting = VecDeque::new();
        }
        self.reader.set(Some(reader.clone()));
    }

    pub(super) fn wake(&self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

fn weight(inbound: &Inbound) -> usize {
    match inbound {
        Inbound::Request(request) => request.data.len(),
        Inbound::Malformed { .. } | Inbound::Closing => 0,
    }
}
