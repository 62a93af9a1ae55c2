//! Socket.IO over an Engine.IO session: puts packets together and hands them to the namespace they are for, connects and
//! disconnects. It knows no namespace of its own: who may connect where, and what is done there, is its [`Lobby`]'s.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::time::Duration;

use actix_rt::time::sleep;
use bytes::Bytes;
use hubbub_actors::close::Close;
use hubbub_actors::registry::PendingPlace;

use super::connects;
use super::engine::{Dialogue, Engine, Heard};
use super::timer::Timer;
use crate::wire::socket::{self, Assembler, Malformed, Namespace, Packet, Whole};

/// Namespaces that one connection may be in at once.
pub const NAMESPACES_MAX: usize = 16;

/// What the log calls the limit of those that joined nothing, where one gives way to a newer one.
const NEWCOMERS_RULE: &str = "a quarter of server.max_connections for those that joined nothing";

/// What is done in a namespace for one client.
pub trait Member {
    /// The client was told that it is connected: what it is to be told next may go.
    fn start(self: Rc<Self>, line: Line);

    /// The client sent an event, or answered one.
    fn hear(&self, whole: Whole);

    /// Whether the client should say nothing more for now.
    fn is_busy(&self) -> bool;

    /// The connection has room again for answers: requests that waited for that can be taken.
    fn drained(&self) {}

    /// The connection ends, and with it this namespace, once what is owed to the client was said.
    fn go(&self, close: Close);

    /// The client has all that it was sent before it last said so.
    fn confirm(&self) {}

    /// The client left the namespace; [`Member::end`] follows.
    fn leave(&self) {}

    /// The client left, or its connection ended, for this reason where one is known. Nothing more is heard or sent.
    fn end(&self, why: Option<Close>);
}

/// A member that was let in, and the id it goes by there.
pub struct Joined {
    /// The `sid` of the namespace.
    pub sid: String,
    /// The private id by which its client may come back to it, where it may.
    pub pid: Option<String>,
    /// What is done there.
    pub member: Rc<dyn Member>,
}

/// Why a client is not let in.
#[derive(Debug)]
pub enum Refused {
    /// What it is told: JSON text, `{"message": …}`.
    Told(Bytes),
    /// It is not told.
    Unanswered,
    /// It is not told; its connection ends.
    Closed(Close),
}

impl Refused {
    /// There is no such namespace.
    pub fn invalid_namespace() -> Self {
        Self::Told(Bytes::from_static(br#"{"message":"Invalid namespace"}"#))
    }
}

/// A judgement that comes.
pub type Judgement = Pin<Box<dyn Future<Output = Result<Joined, Refused>>>>;

/// Lets a connection's client into namespaces.
pub trait Lobby {
    /// Judges a client that asks to be let into `namespace`; `auth` is JSON text of an object, if it sent one.
    ///
    /// # Errors
    /// Why it is refused, where that is known at once.
    fn connect(&self, namespace: &Namespace, auth: Option<Bytes>) -> Result<Judgement, Refused>;

    /// The connection ended for this reason while its client was in no namespace; `rule` is what decided, where that is
    /// not the reason's usual one.
    fn closed(&self, _close: Close, _rule: Option<&'static str>) {}
}

enum Standing {
    /// Being judged; nothing is heard meanwhile.
    Asking,
    /// In it.
    In(Rc<dyn Member>),
    /// The hub put the client out; what it sent before it knew is not held against it.
    Out,
}

impl Standing {
    fn member(&self) -> Option<Rc<dyn Member>> {
        match self {
            Self::In(member) => Some(member.clone()),
            Self::Asking | Self::Out => None,
        }
    }
}

/// What is spoken over one connection.
pub struct Namespaces {
    this: Weak<Self>,
    engine: Rc<Engine>,
    lobby: Box<dyn Lobby>,
    assembler: RefCell<Assembler>,
    standings: RefCell<Vec<(Namespace, Standing)>>,
    /// How long a client may be in no namespace.
    patience: Duration,
    /// Ends a connection whose client is in none.
    waiting: RefCell<Option<Timer>>,
    /// The client was let into a namespace, whether it is there still or not.
    has_joined: Cell<bool>,
    ended: Cell<bool>,
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
        lobby: Box<dyn Lobby>,
        patience: Duration,
        max_payload: usize,
        pending: Option<PendingPlace>,
    ) -> Rc<Self> {
        let this = Rc::new_cyclic(|this| Self {
            this: this.clone(),
            engine: engine.clone(),
            lobby,
            assembler: RefCell::new(Assembler::new(max_payload)),
            standings: RefCell::default(),
            patience,
            waiting: RefCell::default(),
            has_joined: Cell::new(false),
            ended: Cell::new(false),
        });
        this.await_join(pending);
        this
    }

    /// Ends the connection unless its client is in a namespace in time, or when it loses its place before.
    fn await_join(&self, pending: Option<PendingPlace>) {
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
                Some(engine) if is_late => engine.seat().close(Close::Unused),
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
                if let Some(Standing::In(member)) = self.remove(namespace) {
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
    fn member(&self, namespace: &Namespace) -> Result<Option<Rc<dyn Member>>, Malformed> {
        let standings = self.standings.borrow();
        match standings.iter().find(|(name, _)| name == namespace) {
            Some((_, Standing::In(member))) => Ok(Some(member.clone())),
            Some((_, Standing::Out)) => Ok(None),
            Some((_, Standing::Asking)) | None => Err(Malformed("a packet for a namespace that was not joined")),
        }
    }

    fn connect(&self, namespace: &Namespace, auth: Option<Bytes>) -> Result<(), Malformed> {
        let namespace = namespace.detached();
        match self.remove(&namespace) {
            None | Some(Standing::Out) => {}
            Some(standing) => {
                self.set(namespace, standing);
                return Err(Malformed("a namespace that was joined already"));
            }
        }
        if self.standings.borrow().len() >= NAMESPACES_MAX {
            return Err(Malformed("too many namespaces"));
        }
        let judgement = match self.lobby.connect(&namespace, auth) {
            Ok(judgement) => judgement,
            Err(refused) => {
                self.refuse(&namespace, refused);
                self.await_join(None);
                return Ok(());
            }
        };
        self.set(namespace.clone(), Standing::Asking);
        let this = self.this.clone();
        actix_rt::spawn(async move {
            let judged = judgement.await;
            match (this.upgrade(), judged) {
                (Some(this), judged) => this.judged(namespace, judged),
                (None, Ok(joined)) => joined.member.end(None),
                (None, Err(_)) => {}
            }
        });
        Ok(())
    }

    fn judged(self: Rc<Self>, namespace: Namespace, judged: Result<Joined, Refused>) {
        self.remove(&namespace);
        match judged {
            Ok(joined) if self.ended.get() => joined.member.end(self.engine.seat().ended()),
            Ok(Joined { sid, pid, member }) => {
                self.has_joined.set(true);
                self.await_no_longer();
                self.engine.send(socket::connect(&namespace, &sid, pid.as_deref()));
                self.set(namespace.clone(), Standing::In(member.clone()));
                member.start(Line { namespaces: Rc::downgrade(&self), engine: self.engine.clone(), namespace });
            }
            Err(refused) => self.refuse(&namespace, refused),
        }
        self.await_join(None);
        self.engine.relieve();
    }

    fn refuse(&self, namespace: &Namespace, refused: Refused) {
        match refused {
            Refused::Told(data) => self.engine.send(socket::connect_error(namespace, &data)),
            Refused::Unanswered => {}
            Refused::Closed(Close::Limit) => self.engine.seat().close_by(Close::Limit, connects::RULE),
            Refused::Closed(close) => self.engine.seat().close(close),
        }
    }

    fn for_each(&self, act: impl Fn(&dyn Member)) {
        let standings = self.standings.borrow();
        for (_, standing) in &*standings {
            if let Standing::In(member) = standing {
                act(&**member);
            }
        }
    }

    fn set(&self, namespace: Namespace, standing: Standing) {
        let mut standings = self.standings.borrow_mut();
        // Most clients are in one, and a vector that grows by itself begins with room for four.
        standings.reserve_exact(1);
        standings.push((namespace, standing));
    }

    fn remove(&self, namespace: &Namespace) -> Option<Standing> {
        let mut standings = self.standings.borrow_mut();
        let place = standings.iter().position(|(name, _)| name == namespace)?;
        Some(standings.swap_remove(place).1)
    }
}

impl Dialogue for Namespaces {
    fn hear(&self, heard: Heard) {
        if !self.has_joined.get() && !may_come_first(&heard) {
            return self.engine.seat().close(Close::Malformed);
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
            self.engine.seat().close(Close::Malformed);
        }
    }

    fn is_busy(&self) -> bool {
        self.standings.borrow().iter().any(|(_, standing)| match standing {
            Standing::Asking => true,
            Standing::In(member) => member.is_busy(),
            Standing::Out => false,
        })
    }

    fn drained(&self) {
        self.for_each(|member| member.drained());
    }

    fn confirm(&self) {
        self.for_each(|member| member.confirm());
    }

    fn has_joined(&self) -> bool {
        self.has_joined.get()
    }

    fn is_idle(&self) -> bool {
        !self.standings.borrow().iter().any(|(_, standing)| matches!(standing, Standing::In(_)))
    }

    fn end(&self) {
        self.ended.set(true);
        self.await_no_longer();
        let standings = std::mem::take(&mut *self.standings.borrow_mut());
        let seat = self.engine.seat();
        // Those who are in a namespace, or about to be, note it themselves.
        if standings.iter().all(|(_, standing)| matches!(standing, Standing::Out))
            && !seat.is_close_told()
            && let Some(close) = seat.ended()
        {
            self.lobby.closed(close, seat.closed_by());
        }
        for (_, standing) in standings {
            if let Standing::In(member) = standing {
                member.end(self.engine.seat().ended());
            }
        }
    }
}

/// A member's way to its client.
#[derive(Clone)]
pub struct Line {
    namespaces: Weak<Namespaces>,
    engine: Rc<Engine>,
    namespace: Namespace,
}

impl Line {
    /// The namespace's name.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The connection.
    pub fn engine(&self) -> &Rc<Engine> {
        &self.engine
    }

    /// Puts the client out of the namespace, and ends a connection that is in no other.
    pub fn disconnect(&self, close: Close) {
        self.engine.send(socket::disconnect(&self.namespace));
        self.leave(close);
    }

    /// Ends the connection with all that its client is in, each once what is owed there was said. A client that was told
    /// nothing of this namespace would else speak to nobody there for as long as another one lasts.
    pub fn leave_for_good(&self, close: Close) {
        self.leave(close);
        let Some(namespaces) = self.namespaces.upgrade() else { return };
        let others: Vec<_> =
            namespaces.standings.borrow().iter().filter_map(|(_, standing)| standing.member()).collect();
        for member in others {
            member.go(close);
        }
    }

    /// Ends the connection, once its client is in no other namespace. The client is told nothing of this one.
    pub fn leave(&self, close: Close) {
        let Some(namespaces) = self.namespaces.upgrade() else { return };
        namespaces.remove(&self.namespace);
        namespaces.set(self.namespace.clone(), Standing::Out);
        let is_out = |(_, standing): &(_, Standing)| matches!(standing, Standing::Out);
        let in_no_other = namespaces.standings.borrow().iter().all(is_out);
        if in_no_other {
            // The member that is put out notes why.
            self.engine.seat().mark_close_told();
            self.engine.seat().close(close);
        } else {
            namespaces.await_join(None);
            // Those who are left may have waited for this one alone.
            self.engine.relieve();
        }
    }
}
