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
    /// Each with the bytes that it keeps.
    waiting: RefCell<VecDeque<(Inbound, usize)>>,
    /// Bytes that the requests in `waiting` keep.
    bytes: Cell<usize>,
    closed: Cell<bool>,
    reader: Cell<Option<Waker>>,
}

impl Inbox {
    /// Adds a request that keeps `bytes`, such as the message that its data is a slice of.
    pub(super) fn push(&self, inbound: Inbound, bytes: usize) {
        if !self.closed.get() {
            self.bytes.set(self.bytes.get() + bytes);
            self.waiting.borrow_mut().push_back((inbound, bytes));
            self.wake();
        }
    }

    pub(super) fn pop(&self) -> Option<Inbound> {
        let (inbound, bytes) = self.waiting.borrow_mut().pop_front()?;
        self.bytes.set(self.bytes.get() - bytes);
        Some(inbound)
    }

    /// No request follows; the session still reads the requests in the queue.
    pub(super) fn close(&self) {
        if !self.closed.replace(true) {
            self.waiting.borrow_mut().push_back((Inbound::Closing, 0));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::namespace;
    use crate::codec::socketio::PacketAssembler;

    #[test]
    fn a_request_counts_with_the_whole_message_that_it_keeps() {
        let inbox = Inbox::default();
        let long = "x".repeat(INBOX_BYTES_MAX);
        for packet in [format!(r#"2["event",{{}},"{long}"]"#), format!(r#"2["event",null,"{long}"]"#)] {
            let whole = PacketAssembler::new(1 << 20).text(packet.into()).unwrap().unwrap();
            let bytes = whole.bytes();
            inbox.push(namespace::request(whole), bytes);
            assert!(inbox.is_full());
            inbox.pop();
            assert!(!inbox.is_full());
        }
    }
}
