//! What a plain connection's stream and the application know of each other: which request is in work, how much of its body
//! may be read, and whether its answer is out.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use hubbub_actors::fault::{Code, Fault};

/// Where a connection is between a request and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No request is in work.
    Idle,
    /// A request was given to the application, which has not answered.
    Working,
    /// The application has answered; the answer is not written.
    Answered,
}

/// How much of the body in work may be read from the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permit {
    /// No more than came with the head.
    None,
    /// So many bytes of data.
    Bytes(u64),
}

/// One connection's exchange of requests and answers.
#[derive(Debug)]
pub struct Exchange {
    phase: Cell<Phase>,
    permit: Cell<Permit>,
    had_body: Cell<bool>,
    /// All of the body was given to the application.
    body_is_done: Cell<bool>,
    body_is_late: Cell<bool>,
    /// Why the request in work, which stands for one that was refused, is answered with an error.
    refusal: RefCell<Option<Fault>>,
    is_evicted: Cell<bool>,
    reader: RefCell<Option<Waker>>,
}

impl Exchange {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            phase: Cell::new(Phase::Idle),
            permit: Cell::new(Permit::None),
            had_body: Cell::new(false),
            body_is_done: Cell::new(true),
            body_is_late: Cell::new(false),
            refusal: RefCell::new(None),
            is_evicted: Cell::new(false),
            reader: RefCell::new(None),
        })
    }

    /// Why the request in work is to be answered with an error, and with nothing else.
    pub fn take_refusal(&self) -> Option<Fault> {
        self.refusal.borrow_mut().take()
    }

    /// Lets at most `most` bytes of the body be read: its sender was judged.
    pub fn permit_body(&self, most: usize) {
        // One more shows that there is too much.
        self.permit.set(Permit::Bytes(most as u64 + 1));
        self.wake();
    }

    /// Whether the body did not come in time.
    pub fn is_body_late(&self) -> bool {
        self.body_is_late.get()
    }

    /// Whether the request in work has a body.
    pub fn had_body(&self) -> bool {
        self.had_body.get()
    }

    /// The application has its answer: what follows on the connection is read once that is written. `false` when the
    /// connection can not go on, because the body was not read.
    pub fn answered(&self) -> bool {
        self.phase.set(Phase::Answered);
        self.wake();
        self.body_is_done.get()
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// A head is given to the application; `has_body` says whether more belongs to the request.
    pub(super) fn begin(&self, has_body: bool) {
        self.phase.set(Phase::Working);
        self.permit.set(Permit::None);
        self.had_body.set(has_body);
        self.body_is_done.set(!has_body);
    }

    /// A head is given that stands for a request which was refused.
    pub(super) fn begin_refused(&self, fault: Fault) {
        *self.refusal.borrow_mut() = Some(fault);
        self.begin(false);
    }

    pub(super) fn permit(&self) -> Permit {
        self.permit.get()
    }

    /// Bytes of data were given.
    pub(super) fn took_of_body(&self, taken: u64) {
        if let Permit::Bytes(most) = self.permit.get() {
            self.permit.set(Permit::Bytes(most.saturating_sub(taken)));
        }
    }

    pub(super) fn end_body(&self) {
        self.body_is_done.set(true);
    }

    pub(super) fn body_is_late(&self) {
        self.body_is_late.set(true);
    }

    /// The answer is written. `true` when there was one to write.
    pub(super) fn written(&self) -> bool {
        let was_answered = self.phase.get() == Phase::Answered;
        if was_answered {
            self.phase.set(Phase::Idle);
            self.wake();
        }
        was_answered
    }

    /// Has an idle connection make room for another one.
    pub(super) fn evict(&self) {
        self.is_evicted.set(true);
        self.wake();
    }

    pub(super) fn is_evicted(&self) -> bool {
        self.is_evicted.get()
    }

    /// Wakes the task of the connection when there may be something to read.
    pub(super) fn wait(&self, waker: &Waker) {
        let mut reader = self.reader.borrow_mut();
        match &mut *reader {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    fn wake(&self) {
        if let Some(reader) = self.reader.borrow_mut().take() {
            reader.wake();
        }
    }
}

/// The fault of a body that did not come in time.
pub fn body_too_slow() -> Fault {
    Fault::new(Code::RequestTimeout, "The request body did not come in time")
}
