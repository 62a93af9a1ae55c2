//! Socket.IO over an Engine.IO session: puts packets together and hands them to the namespace they are for, connects and
//! disconnects. It knows no namespace of its own: who may connect where, and what is done there, is its [`Lobby`]'s.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use actix_rt::time::sleep;
use bytes::Bytes;
use hubbub_actors::close::Close;
use hubbub_actors::registry::PendingPlace;

use super::connects;
use super::engine::{Dialogue, Engine, Heard};
use super::line::Line;
use super::lobby::{Joined, Lobby, Member, Refused};
use super::timer::Timer;
use crate::wire::socket::{self, Assembler, Malformed, Namespace, Packet, Whole};

/// Namespaces that one connection may be in at once.
pub const NAMESPACES_MAX: usize = 16;

/// What the log calls the limit of those that joined nothing, where one gives way to a newer one.
const NEWCOMERS_RULE: &str = "a quarter of server.max_connections for those that joined nothing";

pub(super) enum Standing {
    /// Being judged; nothing is heard meanwhile.
    Asking,
    /// In it.
    In(Rc<dyn Member>),
    /// The hub put the client out; what it sent before it knew is not held against it.
    Out,
}

impl Standing {
    pub(super) fn member(&self) -> Option<Rc<dyn Member>> {
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
    pub(super) standings: RefCell<Vec<(Namespace, Standing)>>,
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
            Packet::Event { namespace, .. } | Packet::Ack { namespace, .. } => match self.member(namespace)? {
                Some(member) => {
                    member.hear(whole);
                    Ok(())
                }
                None => Ok(()),
            },
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
                member.start(Line::new(&self, self.engine.clone(), namespace));
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

    pub(super) fn set(&self, namespace: Namespace, standing: Standing) {
        let mut standings = self.standings.borrow_mut();
        // Most clients are in one, and a vector that grows by itself begins with room for four.
        standings.reserve_exact(1);
        standings.push((namespace, standing));
    }

    pub(super) fn remove(&self, namespace: &Namespace) -> Option<Standing> {
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
