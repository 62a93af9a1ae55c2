//! The input of a session. It pauses during a request that later requests must wait for.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use super::Inbound;

/// Pauses and resumes the input of a session.
#[derive(Debug, Default)]
pub(super) struct InputGate {
    is_paused: Cell<bool>,
    reader: RefCell<Option<Waker>>,
}

impl InputGate {
    /// Stops the input. The end of the connection waits, too.
    pub(super) fn pause(&self) {
        self.is_paused.set(true);
    }

    /// Continues the input.
    pub(super) fn resume(&self) {
        self.is_paused.set(false);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// The input behind its gate.
pub(super) struct GatedInput<S> {
    pub(super) inbound: S,
    pub(super) gate: Rc<InputGate>,
}

impl<S: Stream<Item = Inbound> + Unpin> Stream for GatedInput<S> {
    type Item = Inbound;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Inbound>> {
        if self.gate.is_paused.get() {
            self.gate.reader.replace(Some(cx.waker().clone()));
            return Poll::Pending;
        }
        Pin::new(&mut self.inbound).poll_next(cx)
    }
}
