//! Socket.IO over an Engine.IO session: puts packets together and hands them to the namespace they are for, connects and
//! disconnects. It knows no namespace of its own: who may connect where, and what is done there, is its [`NamespaceAuth`]'s.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use actix_rt::time::sleep;
use bytes::Bytes;
use hubbub_actors::model::close::Close;
use hubbub_actors::registry::PendingPlace;

use super::connects;
use super::engine::{Engine, Heard, PacketHandler};
use super::line::NamespaceSender;
use super::namespace_auth::{MemberEntry, NamespaceAuth, Refused};
use super::namespace_table::{NamespaceTable, Next, State, Step};
use super::timer::Timer;
use crate::codec::socketio::{self, Assembler, Malformed, Namespace, Packet, Whole};

/// What the log calls the limit of those that joined nothing, where one gives way to a newer one.
const NEWCOMERS_RULE: &str = "a quarter of server.max_connections for those that joined nothing";

/// What is spoken over one connection.
pub struct Namespaces {
    this: Weak<Self>,
    engine: Rc<Engine>,
    namespace_auth: Box<dyn NamespaceAuth>,
    assembler: RefCell<Assembler>,
    table: RefCell<NamespaceTable<Rc<dyn MemberEntry>>>,
    /// What waits until no CONNECT is being authorized. Nothing more is read meanwhile.
    held: RefCell<Option<Held>>,
    /// How long a client may be in no namespace.
    patience: Duration,
    /// Ends a connection whose client is in none.
    waiting: RefCell<Option<Timer>>,
    /// The client was let into a namespace, whether it is there still or not.
    has_joined: Cell<bool>,
    ended: Cell<bool>,
}

/// What waits for the outcome of a CONNECT.
enum Held {
    /// A message.
    Message(Heard),
    /// The refusal of another CONNECT for the namespace, of which there were too many.
    Refusal(Namespace, Refused),
}

/// Whether a client may send this before it was let into a namespace: it may ask to be, and take that back. All else is for
/// a namespace, and neither read nor waited for.
fn may_come_first(heard: &Heard) -> bool {
    matches!(heard, Heard::Text(text) if matches!(text.first(), Some(b'0' | b'1')))
}

impl Namespaces {
    /// A connection that is in no namespace yet, and is closed when it is in none after `patience`. `max_payload` bounds a
    /// packet with all its attachments, in bytes. Its place as one that has not joined anything is `pending`.
    pub fn new(
        engine: &Rc<Engine>,
        namespace_auth: Box<dyn NamespaceAuth>,
        patience: Duration,
        max_payload: usize,
        pending: Option<PendingPlace>,
    ) -> Rc<Self> {
        let this = Rc::new_cyclic(|this| Self {
            this: this.clone(),
            engine: engine.clone(),
            namespace_auth,
            assembler: RefCell::new(Assembler::new(max_payload)),
            table: RefCell::default(),
            held: RefCell::default(),
            patience,
            waiting: RefCell::default(),
            has_joined: Cell::new(false),
            ended: Cell::new(false),
        });
        this.await_join(pending);
        this
    }

    /// Ends the connection unless its client is in a namespace in time, or when it loses its place before.
    pub(super) fn await_join(&self, pending: Option<PendingPlace>) {
        if self.ended.get() || !self.is_idle() || self.waiting.borrow().is_some() {
            return;
        }
        let (engine, patience) = (Rc::downgrade(&self.engine), self.patience);
        let waiting = Timer::start(async move {
            let gives_way = async {
                match pending {
                    Some(mut place) => place.taken().await,
                    None => std::future::pending().await,
                }
            };
            let is_late = tokio::select! {
                () = sleep(patience) => true,
                () = gives_way => false,
            };
            match engine.upgrade() {
                Some(engine) if is_late => engine.handle().close(Close::Unused),
                Some(engine) => engine.give_way(NEWCOMERS_RULE),
                None => {}
            }
        });
        *self.waiting.borrow_mut() = Some(waiting);
    }

    fn await_no_longer(&self) {
        self.waiting.borrow_mut().take();
    }

    fn handle(&self, whole: Whole) -> Result<(), Malformed> {
        match &whole.packet {
            Packet::Connect { namespace, data } => self.connect(namespace, data.clone()),
            Packet::Disconnect { namespace } => {
                let left = self.table.borrow_mut().disconnect(namespace);
                if let Some(member) = left {
                    member.leave();
                    member.end(Some(Close::Left));
                }
                self.await_join(None);
                Ok(())
            }
            Packet::Event { namespace, .. } | Packet::Ack { namespace, .. } | Packet::Unreadable { namespace, .. } => {
                match self.member(namespace)? {
                    Some(member) => {
                        member.hear(whole);
                        Ok(())
                    }
                    None => Ok(()),
                }
            }
        }
    }

    /// The member in `namespace`; `None` for one that was put out.
    fn member(&self, namespace: &Namespace) -> Result<Option<Rc<dyn MemberEntry>>, Malformed> {
        match self.table.borrow().get(namespace) {
            Some(State::Connected(member)) => Ok(Some(member.clone())),
            Some(State::PutOut) => Ok(None),
            Some(State::Connecting(..)) | None => Err(Malformed("a packet for a namespace that was not joined")),
        }
    }

    fn connect(&self, namespace: &Namespace, auth: Option<Bytes>) -> Result<(), Malformed> {
        let namespace = namespace.detached();
        if let Err(refused) = self.namespace_auth.count(&namespace) {
            self.refuse_one_too_many(namespace, refused);
            self.await_join(None);
            return Ok(());
        }
        let step = self.table.borrow_mut().connect(&namespace, &auth);
        match step {
            Step::Authorize => self.authorize(namespace, auth),
            Step::Wait => {}
            Step::Connected(member) => self.answer_connect(&namespace, &*member),
            Step::Full => return Err(Malformed("too many namespaces")),
        }
        Ok(())
    }

    /// Refuses a CONNECT that is one too many. It changes nothing for a client that is in.
    fn refuse_one_too_many(&self, namespace: Namespace, refused: Refused) {
        let is_closed = matches!(refused, Refused::Closed(_));
        let table = self.table.borrow();
        match table.get(&namespace) {
            Some(State::Connected(_)) if !is_closed => {}
            Some(State::Connecting(_, Next::Join(_) | Next::Reconnect { .. })) if !is_closed => {
                *self.held.borrow_mut() = Some(Held::Refusal(namespace, refused));
            }
            _ => {
                drop(table);
                self.refuse(&namespace, refused);
            }
        }
    }

    fn answer_connect(&self, namespace: &Namespace, member: &dyn MemberEntry) {
        self.engine.send(socketio::connect(namespace, &member.sid(), member.pid()));
    }

    /// Begins to authorize a CONNECT.
    fn authorize(&self, namespace: Namespace, auth: Option<Bytes>) {
        let judgement = match self.namespace_auth.connect(&namespace, auth.clone()) {
            Ok(judgement) => judgement,
            Err(refused) => {
                self.refuse(&namespace, refused);
                return self.await_join(None);
            }
        };
        self.table.borrow_mut().begin(namespace.clone(), auth);
        let this = self.this.clone();
        actix_rt::spawn(async move {
            let judged = judgement.await;
            match (this.upgrade(), judged) {
                (Some(this), judged) => this.authorized(&namespace, judged),
                (None, Ok(member)) => member.end(None),
                (None, Err(_)) => {}
            }
        });
    }

    /// A CONNECT was authorized or refused. Its client may have changed its mind meanwhile: then it is told nothing of that.
    fn authorized(self: Rc<Self>, namespace: &Namespace, judged: Result<Rc<dyn MemberEntry>, Refused>) {
        let next = self.table.borrow_mut().finish(namespace);
        match judged {
            Ok(member) if matches!(next, Some(Next::Leave | Next::Reconnect { has_left: true, .. })) => {
                member.leave();
                member.end(Some(Close::Left));
            }
            Ok(member) => match next {
                Some(Next::Join(count)) if !self.ended.get() => self.join(namespace.clone(), member, count),
                _ => member.end(self.engine.handle().end_reason()),
            },
            Err(refused) => match next {
                Some(Next::Join(count)) => (0..count).for_each(|_| self.refuse(namespace, refused.clone())),
                _ if matches!(refused, Refused::Closed(_)) => self.refuse(namespace, refused),
                _ => {}
            },
        }
        if let Some(Next::Reconnect { auth, .. }) = next
            && self.engine.handle().closed().is_none()
        {
            self.authorize(namespace.clone(), auth);
        }
        self.await_join(None);
        self.hear_held();
        self.engine.relieve();
    }

    /// The client is in; `count` CONNECTs are answered.
    fn join(self: &Rc<Self>, namespace: Namespace, member: Rc<dyn MemberEntry>, count: u32) {
        self.has_joined.set(true);
        self.await_no_longer();
        self.answer_connect(&namespace, &*member);
        self.table.borrow_mut().join(namespace.clone(), member.clone());
        member.clone().start(NamespaceSender::new(self, self.engine.clone(), namespace.clone()));
        for _ in 1..count {
            self.answer_connect(&namespace, &*member);
        }
    }

    /// Goes on with what waited for CONNECTs.
    fn hear_held(&self) {
        if self.table.borrow().is_connecting() {
            return;
        }
        let held = self.held.borrow_mut().take();
        match held.filter(|_| self.engine.handle().closed().is_none()) {
            Some(Held::Message(heard)) => self.hear(heard),
            Some(Held::Refusal(namespace, refused)) => self.refuse_one_too_many(namespace, refused),
            None => {}
        }
    }

    fn refuse(&self, namespace: &Namespace, refused: Refused) {
        match refused {
            Refused::Told(data) => self.engine.send(socketio::connect_error(namespace, &data)),
            Refused::Unanswered => {}
            Refused::Closed(Close::Limit) => self.engine.handle().close_by(Close::Limit, connects::RULE),
            Refused::Closed(close) => self.engine.handle().close(close),
        }
    }

    fn for_each(&self, act: impl Fn(&dyn MemberEntry)) {
        for member in self.members() {
            act(&*member);
        }
    }

    /// What the client is in.
    pub(super) fn members(&self) -> Vec<Rc<dyn MemberEntry>> {
        self.table.borrow().members().cloned().collect()
    }

    /// The hub ended the client's session in `namespace`; whether the client is in no other one.
    pub(super) fn put_out(&self, namespace: Namespace) -> bool {
        let mut table = self.table.borrow_mut();
        table.put_out(namespace);
        table.is_out()
    }
}

impl PacketHandler for Namespaces {
    fn hear(&self, heard: Heard) {
        if !may_come_first(&heard) && self.table.borrow().is_connecting() && self.held.borrow().is_none() {
            *self.held.borrow_mut() = Some(Held::Message(heard));
            return;
        }
        if !self.has_joined.get() && !may_come_first(&heard) {
            return self.engine.handle().close(Close::Malformed);
        }
        let whole = match heard {
            Heard::Text(text) => self.assembler.borrow_mut().text(text),
            Heard::Binary(bytes) => self.assembler.borrow_mut().binary(bytes),
        };
        let handled = match whole {
            Ok(Some(whole)) => self.handle(whole),
            Ok(None) => Ok(()),
            Err(malformed) => Err(malformed),
        };
        if handled.is_err() {
            self.engine.handle().close(Close::Malformed);
        }
    }

    fn is_busy(&self) -> bool {
        let table = self.table.borrow();
        self.held.borrow().is_some() || table.has_waiting() || table.members().any(|member| member.is_busy())
    }

    fn drained(&self) {
        self.for_each(|member| member.drained());
    }

    fn confirm(&self) {
        self.for_each(|member| member.confirm());
    }

    fn is_connecting(&self) -> bool {
        self.table.borrow().is_connecting()
    }

    fn has_joined(&self) -> bool {
        self.has_joined.get()
    }

    fn is_idle(&self) -> bool {
        self.table.borrow().members().next().is_none()
    }

    fn end(&self) {
        self.ended.set(true);
        self.await_no_longer();
        self.held.borrow_mut().take();
        let table = std::mem::take(&mut *self.table.borrow_mut());
        let handle = self.engine.handle();
        // Those who are in a namespace, or about to be, note it themselves.
        if table.is_out()
            && !handle.is_close_logged()
            && let Some(close) = handle.end_reason()
        {
            self.namespace_auth.closed(close, handle.closed_by());
        }
        for member in table.members() {
            member.end(handle.end_reason());
        }
    }
}
