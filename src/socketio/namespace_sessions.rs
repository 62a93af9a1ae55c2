//! The namespaces of this hub: `/` for the push and community systems, `/chat` for the chat system. Each client that is
//! connected to one is a session actor, as on `/ws`; this file is what stands between that and its connection.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Data;
use bytes::Bytes;
use hubbub_actors::events::{Surface, Transport};
use hubbub_actors::hub::LimitKey;
use hubbub_actors::limits::concurrency::{ConcurrencyKey, ConcurrencySlot};
use hubbub_actors::limits::fixed_window::Rule;
use hubbub_actors::model::close::Close;
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::model::ids::{RecoveryToken, UserId};
use hubbub_actors::refusal_log::Refusal;
use hubbub_actors::refusal_log::closes::of_close;
use hubbub_actors::refusal_log::counts::RefusedAt;
use hubbub_actors::session::{AuthState, RateUsage, RecoveryRequest, Session, SessionStart};
use hubbub_actors::worker::Worker;
use serde_json::Value;

use super::auth::{Auth, unauthorized};
use super::connect_error;
use super::connects::{Attempt, Connects, RULE as CONNECTS_RULE};
use super::context::{OutboxBound, Settings};
use super::engine::{Engine, PacketHandler};
use super::front_door::FrontDoor;
use super::namespace_auth::{Judgement, MemberEntry, NamespaceAuth, Refused};
use super::namespace_session::NamespaceSession;
use super::namespaces::Namespaces;
use super::router::{Caller, EngineRouter, EngineWorker, Speaker};
use crate::admission;
use crate::admission::ClientInfo;
use crate::codec::namespace::{self, CHAT, NamespaceWire, ROOT, ROOT_NUMBERED};
use crate::codec::socketio::Namespace;
use crate::policies::Policies;
use crate::state::State;
use crate::websocket::Flusher;

/// What an address reads that has come to `/chat` too often.
const TOO_MANY_ATTEMPTS: &str = "Too many connection attempts. Please try again later.";

/// The way to the Socket.IO sessions of a hub.
pub fn router(state: &Data<State>) -> Arc<EngineRouter> {
    let policies = state.policies();
    let (socketio, limits) = (&policies.config.socketio, &policies.config.limits);
    let settings = Settings {
        ping_interval_ms: socketio.ping_interval_ms,
        ping_timeout_ms: socketio.ping_timeout_ms,
        max_payload: socketio.max_payload,
        traffic: state.traffic.clone(),
        outbox: OutboxBound::Of(state.hub.clone()),
        mailbox: limits.mailbox,
    };
    EngineRouter::new(settings, Box::new(FrontDoor(state.clone())), state.hub.settings().workers)
}

/// Opens a worker's house on its thread.
pub fn open_house(
    router: &Arc<EngineRouter>,
    state: &Data<State>,
    worker: &Worker,
    flusher: &Rc<Flusher>,
) -> Rc<EngineWorker> {
    let speaker = Hosts { state: state.clone(), worker: worker.clone() };
    let lingering = state.connections.lingering.clone();
    let shared = (worker.session_table().clone(), flusher.clone(), state.hub.clock().clone(), lingering);
    let house = EngineWorker::open(router, worker.number(), shared, Box::new(speaker));
    if let Some(mailbox) = router.mailbox(worker.number()) {
        state.hub.watch_edge(worker.number(), Box::new(mailbox));
    }
    house
}

/// Receives the clients of one worker.
struct Hosts {
    state: Data<State>,
    worker: Worker,
}

impl Speaker for Hosts {
    fn begin(&self, engine: &Rc<Engine>, caller: Caller) -> Rc<dyn PacketHandler> {
        let policies = self.state.policies();
        let socketio = &policies.config.socketio;
        let patience = Duration::from_millis(socketio.connect_timeout_ms.into());
        let host = Host {
            state: self.state.clone(),
            worker: self.worker.clone(),
            client: Rc::new(caller.client),
            token: caller.token.map(Rc::from),
            transport: caller.transport,
            root: if caller.is_numbered { &ROOT_NUMBERED } else { &ROOT },
            connects: Rc::default(),
            drawn: Default::default(),
        };
        Namespaces::new(engine, Box::new(host), patience, socketio.max_payload, caller.pending)
    }
}

/// Receives one client.
#[derive(Clone)]
struct Host {
    state: Data<State>,
    worker: Worker,
    client: Rc<ClientInfo>,
    /// The token of the handshake.
    token: Option<Rc<str>>,
    /// How the connection began.
    transport: Transport,
    /// The wire of `/` that it reads.
    root: &'static NamespaceWire,
    /// How often it asked to be let in.
    connects: Rc<RefCell<Connects>>,
    /// What it drew from the limits of `/` and of `/chat`.
    drawn: [RateUsage; 2],
}

impl NamespaceAuth for Host {
    fn count(&self, namespace: &Namespace) -> Result<(), Refused> {
        self.count_connect(self.wire(namespace))
    }

    fn connect(&self, namespace: &Namespace, auth: Option<Bytes>) -> Result<Judgement, Refused> {
        let wire = self.wire(namespace).ok_or_else(|| {
            self.note_refused(RefusedAt::SocketIo, &Fault::new(Code::NotFound, "Invalid namespace"), None);
            Refused::invalid_namespace()
        })?;
        let host = self.clone();
        Ok(Box::pin(async move {
            let user = OnceCell::new();
            let session = match host.admit(wire, auth, &user).await {
                Ok(session) => session,
                Err(fault) => {
                    host.note_refused(wire.surface().into(), &fault, user.get());
                    // A client that is refused does not come back by itself; one whose connection ends does.
                    return Err(match fault.code {
                        Code::ShuttingDown => Refused::Closed(Close::GoingAway),
                        _ => connect_error::of(&fault),
                    });
                }
            };
            Ok(NamespaceSession::run(session, wire, host.state) as Rc<dyn MemberEntry>)
        }))
    }

    fn closed(&self, close: Close, rule: Option<&'static str>) {
        let at = RefusedAt::SocketIo;
        if let Some(fault) = of_close(close, at, rule) {
            let with = |refusal| Refusal { close: Some(close.code()), ..refusal };
            self.client.log_refused(&self.state, at, &fault, with);
        }
    }
}

impl Host {
    /// The wire of a namespace, where there is one.
    fn wire(&self, namespace: &Namespace) -> Option<&'static NamespaceWire> {
        match namespace.as_str() {
            "/" => Some(self.root),
            "/chat" => Some(&CHAT),
            _ => None,
        }
    }

    /// Counts a CONNECT, whatever namespace it names.
    fn count_connect(&self, wire: Option<&NamespaceWire>) -> Result<(), Refused> {
        let attempt = self.connects.borrow_mut().count(self.state.hub.clock().elapsed_ms());
        let at = wire.map_or(RefusedAt::SocketIo, |wire| wire.surface().into());
        let too_many = |seconds| {
            let fault = Fault::rate_limited(seconds).by(CONNECTS_RULE);
            self.note_refused(at, &fault, None);
            fault
        };
        let refused = match attempt {
            Attempt::Judged => return Ok(()),
            Attempt::Refused(seconds) => connect_error::of(&too_many(seconds)),
            Attempt::Unanswered(seconds) => {
                too_many(seconds);
                Refused::Unanswered
            }
            // The end of the connection is what is noted.
            Attempt::Flood => Refused::Closed(Close::Limit),
        };
        self.state.hub.stats().rate_limited.add(1);
        Err(refused)
    }

    /// Notes that the client is not let in.
    fn note_refused(&self, at: RefusedAt, fault: &Fault, user: Option<&UserId>) {
        self.client.note_refused(&self.state, at, fault);
        let user = user.map(UserId::as_str);
        self.client.log_refused(&self.state, at, fault, |refusal| Refusal { user, ..refusal });
    }

    /// Whom a client is, and whether it may come now; `user` is set once a token said that.
    async fn admit(
        &self,
        wire: &'static NamespaceWire,
        auth: Option<Bytes>,
        user: &OnceCell<UserId>,
    ) -> Result<Session, Fault> {
        let surface = wire.surface();
        let policies = self.state.policies();
        if surface == Surface::Chat {
            self.count_attempt(&policies).await?;
        }
        let Auth { token, pid, offset } = auth.map(Auth::read).transpose()?.unwrap_or_default();
        let returning = pid.as_ref().and_then(Value::as_str).map(|pid| RecoveryRequest {
            pid: RecoveryToken::read(pid),
            // What is none was the last argument of an event without a number.
            last: offset.as_ref().map(|offset| offset.as_str().map_or(u64::MAX, namespace::number)),
        });
        let returning = returning.filter(|_| surface == Surface::Root);
        let token = token.filter(|token| !token.is_empty());
        let token = token.or_else(|| self.token.as_deref().map(str::to_owned));
        if token.is_none() && surface == Surface::Chat {
            return Err(unauthorized());
        }
        let held = if token.is_none() { self.receive_guest(&policies).await? } else { None };
        let auth_state = match token {
            Some(token) => {
                let verified = policies.tokens.verify(&token, self.state.now_ms()).await.and_then(|identity| {
                    let _ = user.set(identity.user.clone());
                    identity.require(&policies.config.auth.required_permissions)?;
                    Ok(identity)
                });
                let identity = verified.inspect_err(|_| self.note_attempt(returning.as_ref()))?;
                AuthState::Known(Arc::new(identity))
            }
            None => AuthState::Guest,
        };
        let transport = self.transport;
        let [root, chat] = &self.drawn;
        let drawn = if surface == Surface::Chat { chat } else { root }.clone();
        let peer = self.client.peer.clone();
        let opening = SessionStart {
            surface,
            encoder: wire,
            auth: auth_state,
            transport,
            peer,
            slot: held,
            heartbeat: None,
            rate_usage: drawn,
            recovery: returning,
        };
        Session::open(&self.worker, opening).await
    }

    /// Notes that a client which wants to go on with its session is not let in.
    fn note_attempt(&self, returning: Option<&RecoveryRequest>) {
        if let Some(RecoveryRequest { pid, .. }) = returning {
            self.state.hub.note_attempt(pid.clone());
        }
    }

    /// Counts an attempt to connect to `/chat`, whatever becomes of it, unless its address is exempt.
    async fn count_attempt(&self, policies: &Policies) -> Result<(), Fault> {
        let (state, limits) = (&self.state, &policies.config.limits.chat);
        let Some(address) = admission::limit_address(policies, self.client.address.as_ref()) else { return Ok(()) };
        let millis = |seconds: u32| i64::from(seconds) * 1_000;
        let rule = Rule {
            most: limits.connection_attempts,
            window_ms: millis(limits.attempts_window_secs),
            block_ms: millis(limits.block_secs),
        };
        let counted = state.hub.admit_by(LimitKey::ChatAttempt(address), rule).await;
        counted.map_err(|fault| match fault.code {
            Code::RateLimited => Fault { message: TOO_MANY_ATTEMPTS.into(), ..fault },
            _ => fault,
        })
    }

    /// Counts a client that shows no token, unless its address is exempt; the place it holds among those of its address.
    async fn receive_guest(&self, policies: &Policies) -> Result<Option<ConcurrencySlot>, Fault> {
        let (state, limits) = (&self.state, &policies.config.limits.community);
        let Some(address) = admission::limit_address(policies, self.client.address.as_ref()) else { return Ok(None) };
        // First the place, which comes back: who has none is not counted either.
        let hold = state.hub.take_slot(ConcurrencyKey::Address(address), limits.connections_per_address);
        let hold = hold.inspect_err(|_| state.hub.stats().rate_limited.add(1))?;
        state.hub.admit(LimitKey::Guest(address), limits.connections_per_minute).await?;
        Ok(Some(hold))
    }
}
