//! What a plain connection's stream and the application know of each other: which request is in work, how much of its body
//! may be read, and whether its answer is out.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

use hubbub_actors::model::fault::{Code, Fault};

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

/// What came behind the request in work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NextInput {
    /// Nothing yet.
    Nothing,
    /// The beginning of another request.
    Request,
    /// The client sends nothing more.
    End,
}

/// Learns that an answer was written. It is dropped with the connection when that ends before.
pub trait WatchAnswer: fmt::Debug {
    /// All of the answer was written to the socket.
    fn mark_written(&self);
}

/// Why a request was refused as it was read.
#[derive(Debug)]
pub(super) struct RefusedRequest {
    pub(super) fault: Fault,
    /// What came is HTTP, be it malformed.
    pub(super) is_http: bool,
}

/// One connection's exchange of requests and answers.
#[derive(Debug)]
pub struct Exchange {
    phase: Cell<Phase>,
    permit: Cell<Permit>,
    has_body: Cell<bool>,
    /// All of the body was given to the application.
    body_is_done: Cell<bool>,
    body_is_late: Cell<bool>,
    /// Whoever sent the last request was found to be known.
    is_known: Cell<bool>,
    /// See [`Exchange::is_host_last`].
    is_host_last: Cell<bool>,
    /// The client sends nothing more.
    client_has_ended: Cell<bool>,
    /// Why the request in work, which stands for one that was refused, is answered with an error.
    refusal: RefCell<Option<Fault>>,
    /// What it stands for is no HTTP.
    is_not_http: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    next_input: Cell<NextInput>,
    /// Who waits for what comes behind the request in work.
    input_waiter: RefCell<Option<Waker>>,
    /// Who waits until the answer to the request in work is written.
    answer_watcher: RefCell<Option<Box<dyn WatchAnswer>>>,
}

/// What the application asks and tells.
impl Exchange {
    /// Why the request in work is to be answered with an error, and with nothing else.
    pub fn take_refusal(&self) -> Option<Fault> {
        self.refusal.borrow_mut().take()
    }

    /// Whether the request in work stands for bytes that are no HTTP. They are counted, and the log tells of them once a
    /// minute: no other line is needed.
    pub fn is_not_http(&self) -> bool {
        self.is_not_http.get()
    }

    /// Lets at most `most` bytes of the body be read: its sender was judged.
    pub fn permit_body(&self, most: usize) {
        // One more shows that there is too much.
        self.permit.set(Permit::Bytes(most as u64 + 1));
        self.wake();
    }

    /// Whoever sent the request in work is known: the next one on this connection waits for no turn.
    pub fn mark_known(&self) {
        self.is_known.set(true);
    }

    /// Whether the body did not come in time.
    pub fn is_body_late(&self) -> bool {
        self.body_is_late.get()
    }

    /// Whether the request in work is an upgrade whose last header line is `Host`.
    pub fn is_host_last(&self) -> bool {
        self.is_host_last.get()
    }

    /// Whether the request in work has a body.
    pub fn has_body(&self) -> bool {
        self.has_body.get()
    }

    /// Whether another request can follow: all of the body was read, and the client has not ended.
    pub fn can_continue(&self) -> bool {
        self.body_is_done.get() && !self.client_has_ended.get()
    }

    /// Resolves when more came behind the request in work than `seen`; with what came.
    pub fn next_input(&self, seen: NextInput) -> impl Future<Output = NextInput> {
        poll_fn(move |cx| {
            let behind = self.next_input.get();
            if behind > seen {
                return Poll::Ready(behind);
            }
            *self.input_waiter.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
    }

    /// Has `watch` learn when the answer to the request in work is written.
    pub fn watch_answer(&self, watch: Box<dyn WatchAnswer>) {
        *self.answer_watcher.borrow_mut() = Some(watch);
    }

    /// The application has its answer: what follows on the connection is read once that is written.
    pub fn mark_answered(&self) {
        self.phase.set(Phase::Answered);
        self.wake();
    }
}

/// What the stream asks and tells.
impl Exchange {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            phase: Cell::new(Phase::Idle),
            permit: Cell::new(Permit::None),
            has_body: Cell::new(false),
            body_is_done: Cell::new(true),
            body_is_late: Cell::new(false),
            is_known: Cell::new(false),
            is_host_last: Cell::new(false),
            client_has_ended: Cell::new(false),
            refusal: RefCell::new(None),
            is_not_http: Cell::new(false),
            reader: RefCell::new(None),
            next_input: Cell::new(NextInput::Nothing),
            input_waiter: RefCell::new(None),
            answer_watcher: RefCell::new(None),
        })
    }

    pub(super) fn set_host_last(&self, is_host_last: bool) {
        self.is_host_last.set(is_host_last);
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// A head is given to the application; `has_body` says whether more belongs to the request.
    pub(super) fn begin(&self, has_body: bool) {
        self.phase.set(Phase::Working);
        self.next_input.set(if self.client_has_ended.get() { NextInput::End } else { NextInput::Nothing });
        self.permit.set(Permit::None);
        self.has_body.set(has_body);
        self.is_not_http.set(false);
        self.body_is_done.set(!has_body);
    }

    /// A head is given that stands for a request which was refused.
    pub(super) fn begin_refused(&self, RefusedRequest { fault, is_http }: RefusedRequest) {
        *self.refusal.borrow_mut() = Some(fault);
        self.begin(false);
        self.is_not_http.set(!is_http);
    }

    /// Whether whoever sent the last request is known; asked once for each request.
    pub(super) fn take_known(&self) -> bool {
        self.is_known.take()
    }

    pub(super) fn permit(&self) -> Permit {
        self.permit.get()
    }

    /// Bytes of data were given.
    pub(super) fn use_permit(&self, given: u64) {
        if let Permit::Bytes(most) = self.permit.get() {
            self.permit.set(Permit::Bytes(most.saturating_sub(given)));
        }
    }

    pub(super) fn mark_body_done(&self) {
        self.body_is_done.set(true);
    }

    pub(super) fn mark_body_late(&self) {
        self.body_is_late.set(true);
    }

    pub(super) fn mark_client_ended(&self) {
        self.client_has_ended.set(true);
        self.report_input(NextInput::End);
    }

    /// Another request begins behind the one in work.
    pub(super) fn mark_next_request(&self) {
        self.report_input(NextInput::Request);
    }

    fn report_input(&self, behind: NextInput) {
        if behind > self.next_input.get() {
            self.next_input.set(behind);
            if let Some(follower) = self.input_waiter.borrow_mut().take() {
                follower.wake();
            }
        }
    }

    /// The answer is written.
    pub(super) fn notify_written(&self) {
        if let Some(watch) = self.answer_watcher.take() {
            watch.mark_written();
        }
    }

    /// The answer is written: the next request can be read.
    pub(super) fn mark_written(&self) {
        self.notify_written();
        self.phase.set(Phase::Idle);
        self.wake();
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
    Fault::new(Code::RequestTimeout, "The request body did not come in time").by("server.body_secs")
}
