//! The state that a plain connection's stream shares with the application: the current request, how much of its body
//! may be read, and whether its response is written.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

use hubbub_actors::model::fault::{Code, Fault};

/// A connection's phase between a request and its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No request is being processed.
    Idle,
    /// The application has the request and has not answered.
    Working,
    /// The application has answered; the response is not yet written.
    Answered,
}

/// How much of the current body may be read from the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permit {
    /// Only the bytes that arrived with the head.
    None,
    /// This many bytes of data.
    Bytes(u64),
}

/// The input after the current request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NextInput {
    /// Nothing so far.
    Nothing,
    /// The start of another request.
    Request,
    /// The client has closed its sending side.
    End,
}

/// Is notified when a response was written. Dropped with the connection if that ends first.
pub trait WatchAnswer: fmt::Debug {
    /// The whole response was written to the socket.
    fn mark_written(&self);
}

/// A request that was refused while it was read.
#[derive(Debug)]
pub(super) struct RefusedRequest {
    pub(super) fault: Fault,
    /// The input is HTTP, even if malformed.
    pub(super) is_http: bool,
}

/// The requests and responses of one connection.
#[derive(Debug)]
pub struct Exchange {
    phase: Cell<Phase>,
    permit: Cell<Permit>,
    has_body: Cell<bool>,
    /// The application has received the whole body.
    body_is_done: Cell<bool>,
    body_is_late: Cell<bool>,
    /// The sender of the last request is a known client.
    is_known: Cell<bool>,
    /// See [`Exchange::is_host_last`].
    is_host_last: Cell<bool>,
    /// The client has closed its sending side.
    client_has_ended: Cell<bool>,
    /// The reason why the current request, a stand-in for a refused one, is answered with an error.
    refusal: RefCell<Option<Fault>>,
    /// The refused input is not HTTP.
    is_not_http: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    next_input: Cell<NextInput>,
    /// Woken when input follows the current request.
    input_waiter: RefCell<Option<Waker>>,
    /// Notified when the response to the current request is written.
    answer_watcher: RefCell<Option<Box<dyn WatchAnswer>>>,
}

/// The application's side.
impl Exchange {
    /// The error with which the current request must be answered, if any.
    pub fn take_refusal(&self) -> Option<Fault> {
        self.refusal.borrow_mut().take()
    }

    /// Whether the current request stands for input that is not HTTP. Such input is counted and logged once a minute,
    /// so it needs no other log line.
    pub fn is_not_http(&self) -> bool {
        self.is_not_http.get()
    }

    /// Permits reading at most `most` bytes of the body. Its sender was checked.
    pub fn permit_body(&self, most: usize) {
        // One more byte reveals a body that is too large.
        self.permit.set(Permit::Bytes(most as u64 + 1));
        self.wake();
    }

    /// The sender of the current request is known: the next request on this connection needs no turn.
    pub fn mark_known(&self) {
        self.is_known.set(true);
    }

    /// Whether the body missed its deadline.
    pub fn is_body_late(&self) -> bool {
        self.body_is_late.get()
    }

    /// Whether the current request is an upgrade with `Host` as its last header line.
    pub fn is_host_last(&self) -> bool {
        self.is_host_last.get()
    }

    /// Whether the current request has a body.
    pub fn has_body(&self) -> bool {
        self.has_body.get()
    }

    /// Whether another request can follow: the whole body was read, and the client's sending side is open.
    pub fn can_continue(&self) -> bool {
        self.body_is_done.get() && !self.client_has_ended.get()
    }

    /// Resolves with the input after the current request, once it exceeds `seen`.
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

    /// Notifies `watch` when the response to the current request is written.
    pub fn watch_answer(&self, watch: Box<dyn WatchAnswer>) {
        *self.answer_watcher.borrow_mut() = Some(watch);
    }

    /// The application has answered. The next request is read once the response is written.
    pub fn mark_answered(&self) {
        self.phase.set(Phase::Answered);
        self.wake();
    }
}

/// The stream's side.
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

    /// The application receives a head. `has_body`: a body follows.
    pub(super) fn begin(&self, has_body: bool) {
        self.phase.set(Phase::Working);
        self.next_input.set(if self.client_has_ended.get() { NextInput::End } else { NextInput::Nothing });
        self.permit.set(Permit::None);
        self.has_body.set(has_body);
        self.is_not_http.set(false);
        self.body_is_done.set(!has_body);
    }

    /// The application receives a stand-in for a refused request.
    pub(super) fn begin_refused(&self, RefusedRequest { fault, is_http }: RefusedRequest) {
        *self.refusal.borrow_mut() = Some(fault);
        self.begin(false);
        self.is_not_http.set(!is_http);
    }

    /// Whether the sender of the last request is known. Read once per request.
    pub(super) fn take_known(&self) -> bool {
        self.is_known.take()
    }

    pub(super) fn permit(&self) -> Permit {
        self.permit.get()
    }

    /// The application received this many bytes of data.
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

    /// Another request follows the current one.
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

    /// The response is written.
    pub(super) fn notify_written(&self) {
        if let Some(watch) = self.answer_watcher.take() {
            watch.mark_written();
        }
    }

    /// The response is written, so the next request can be read.
    pub(super) fn mark_written(&self) {
        self.notify_written();
        self.phase.set(Phase::Idle);
        self.wake();
    }

    /// Registers the connection's task to be woken when reading may continue.
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

/// The fault of a body that missed its deadline.
pub fn body_too_slow() -> Fault {
    Fault::new(Code::RequestTimeout, "The request body did not arrive in time").by("server.body_secs")
}
