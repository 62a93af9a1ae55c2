//! The namespaces of this hub: `/` for the push and community systems, `/chat` for the chat system. Each connected
//! client is a session actor, as on `/ws`; this file authorizes it and opens its session.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Data;
use bytes::Bytes;
use hubbub_actors::connection::Connection;
use hubbub_actors::hub::LimitKey;
use hubbub_actors::limits::concurrency::{ConcurrencyKey, ConcurrencySlot};
use hubbub_actors::limits::fixed_window::Rule;
use hubbub_actors::model::close::Close;
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::model::identity::Identity;
use hubbub_actors::model::ids::{RecoveryToken, UserId};
use hubbub_actors::model::surface::{Surface, Transport};
use hubbub_actors::refusal_log::Refusal;
use hubbub_actors::refusal_log::closes::of_close;
use hubbub_actors::refusal_log::counts::RefusedAt;
use hubbub_actors::session::{AuthState, RateUsage, RecoveryRequest, Session, SessionStart};
use hubbub_actors::worker::Worker;
use serde_json::Value;

use super::auth::{Auth, unauthorized};
use super::connect_error;
use super::connects::{Attempt, Connects, RULE as CONNECTS_RULE};
use super::context::{EngineSettings, OutboxBound};
use super::engine::{Engine, PacketHandler};
use super::handshake_auth::HubHandshakeAuth;
use super::namespace_auth::{ConnectFuture, ConnectRefusal, NamespaceAuth};
use super::namespace_member::NamespaceMember;
use super::namespace_session::NamespaceSession;
use super::namespaces::Namespaces;
use super::router::{AdmittedClient, EngineRouter, EngineWorker, PacketHandlerFactory};
use crate::admission;
use crate::admission::ClientInfo;
use crate::codec::namespace::{self, CHAT, NamespaceWire, ROOT, ROOT_NUMBERED};
use crate::codec::socketio::Namespace;
use crate::policies::Policies;
use crate::state::SharedState;
use crate::websocket::Flusher;

/// The error message for an address with too many attempts to connect to `/chat`.
const TOO_MANY_ATTEMPTS: &str = "Too many connection attempts. Please try again later.";

/// The router to the hub's Socket.IO sessions.
pub fn router(state: &Data<SharedState>) -> Arc<EngineRouter> {
    let policies = state.policies();
    let (socketio, limits) = (&policies.config.socketio, &policies.config.limits);
    let settings = EngineSettings {
        ping_interval_ms: socketio.ping_interval_ms,
        ping_timeout_ms: socketio.ping_timeout_ms,
        max_payload: socketio.max_payload,
        traffic: state.traffic.clone(),
        outbox: OutboxBound::Of(state.hub.clone()),
        mailbox: limits.mailbox,
    };
    EngineRouter::new(settings, Box::new(HubHandshakeAuth(state.clone())), state.hub.settings().workers)
}

/// Starts a worker's Socket.IO sessions on its thread.
pub fn open_worker(
    router: &Arc<EngineRouter>,
    state: &Data<SharedState>,
    worker: &Worker,
    flusher: &Rc<Flusher>,
) -> Rc<EngineWorker> {
    let handlers = HubHandlerFactory { state: state.clone(), worker: worker.clone() };
    let lingering = state.connections.lingering.clone();
    let shared = (worker.session_table().clone(), flusher.clone(), state.hub.clock().clone(), lingering);
    let engine_worker = EngineWorker::open(router, worker.number(), shared, Box::new(handlers));
    if let Some(mailbox) = router.mailbox(worker.number()) {
        state.hub.watch_edge(worker.number(), Box::new(mailbox));
    }
    engine_worker
}

/// Creates the packet handlers of one worker.
struct HubHandlerFactory {
    state: Data<SharedState>,
    worker: Worker,
}

impl PacketHandlerFactory for HubHandlerFactory {
    fn create(&self, engine: &Rc<Engine>, client: AdmittedClient) -> Rc<dyn PacketHandler> {
        let policies = self.state.policies();
        let socketio = &policies.config.socketio;
        let patience = Duration::from_millis(socketio.connect_timeout_ms.into());
        let host = HubNamespaceAuth {
            state: self.state.clone(),
            worker: self.worker.clone(),
            connection: engine.connection().clone(),
            client: Rc::new(client.client),
            token: client.token.map(Rc::from),
            transport: client.transport,
            root_wire: if client.is_numbered { &ROOT_NUMBERED } else { &ROOT },
            connects: Rc::default(),
            rate_usage: Default::default(),
        };
        Namespaces::new(engine, Box::new(host), patience, socketio.max_payload, client.pending)
    }
}

/// Authorizes the CONNECTs of one connection.
#[derive(Clone)]
struct HubNamespaceAuth {
    state: Data<SharedState>,
    worker: Worker,
    connection: Rc<Connection>,
    client: Rc<ClientInfo>,
    /// The token of the handshake.
    token: Option<Rc<str>>,
    /// The transport of the handshake.
    transport: Transport,
    /// The wire format of `/` for this client.
    root_wire: &'static NamespaceWire,
    /// Counts the CONNECTs of the connection.
    connects: Rc<RefCell<Connects>>,
    /// Usage of the rate limits of `/` and of `/chat`.
    rate_usage: [RateUsage; 2],
}

impl NamespaceAuth for HubNamespaceAuth {
    fn count(&self, namespace: &Namespace) -> Result<(), ConnectRefusal> {
        self.count_connect(self.wire(namespace))
    }

    fn connect(&self, namespace: &Namespace, auth: Option<Bytes>) -> Result<ConnectFuture, ConnectRefusal> {
        let wire = self.wire(namespace).ok_or_else(|| {
            self.note_refused(RefusedAt::SocketIo, &Fault::new(Code::NotFound, "Invalid namespace"), None);
            ConnectRefusal::invalid_namespace()
        })?;
        let host = self.clone();
        Ok(Box::pin(async move {
            let user = OnceCell::new();
            let session = match host.authorize(wire, auth, &user).await {
                Ok(session) => session,
                Err(fault) => {
                    host.note_refused(wire.surface().into(), &fault, user.get());
                    // A refused client does not reconnect by itself; a client without a connection does.
                    return Err(match fault.code {
                        Code::ShuttingDown => ConnectRefusal::Closed(Close::GoingAway),
                        _ => connect_error::of(&fault),
                    });
                }
            };
            Ok(NamespaceSession::run(session, wire, host.state) as Rc<dyn NamespaceMember>)
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

impl HubNamespaceAuth {
    /// The wire format of a namespace, if it exists.
    fn wire(&self, namespace: &Namespace) -> Option<&'static NamespaceWire> {
        match namespace.as_str() {
            "/" => Some(self.root_wire),
            "/chat" => Some(&CHAT),
            _ => None,
        }
    }

    /// Counts a CONNECT to any namespace.
    fn count_connect(&self, wire: Option<&NamespaceWire>) -> Result<(), ConnectRefusal> {
        let attempt = self.connects.borrow_mut().count(self.state.hub.clock().elapsed_ms());
        let at = wire.map_or(RefusedAt::SocketIo, |wire| wire.surface().into());
        let too_many = |seconds| {
            let fault = Fault::rate_limited(seconds).by(CONNECTS_RULE);
            self.note_refused(at, &fault, None);
            fault
        };
        let refused = match attempt {
            Attempt::Allowed => return Ok(()),
            Attempt::Refused(seconds) => connect_error::of(&too_many(seconds)),
            Attempt::Unanswered(seconds) => {
                too_many(seconds);
                ConnectRefusal::Unanswered
            }
            // The end of the connection is recorded instead.
            Attempt::Flood => ConnectRefusal::Closed(Close::Limit),
        };
        self.state.hub.stats().rate_limited.add(1);
        Err(refused)
    }

    /// Records a refused CONNECT.
    fn note_refused(&self, at: RefusedAt, fault: &Fault, user: Option<&UserId>) {
        self.client.note_refused(&self.state, at, fault);
        let user = user.map(UserId::as_str);
        self.client.log_refused(&self.state, at, fault, |refusal| Refusal { user, ..refusal });
    }

    /// Authorizes a CONNECT and opens its session. `user` is set once a token identifies the user.
    async fn authorize(
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
        let recovery = pid.as_ref().and_then(Value::as_str).map(|pid| RecoveryRequest {
            pid: RecoveryToken::read(pid),
            // An offset that is not a string was the last argument of an unnumbered event.
            last: offset.as_ref().map(|offset| offset.as_str().map_or(namespace::NO_OFFSET, namespace::offset)),
        });
        let recovery = recovery.filter(|_| surface == Surface::Root);
        let token = token.filter(|token| !token.is_empty());
        let token = token.or_else(|| self.token.as_deref().map(str::to_owned));
        if token.is_none() && surface == Surface::Chat {
            return Err(unauthorized());
        }
        let slot = if token.is_none() { self.admit_guest(&policies).await? } else { None };
        let auth_state = match token {
            Some(token) => {
                let verified = self.verify(&policies, &token, user).await;
                AuthState::Known(Arc::new(verified.inspect_err(|_| self.note_attempt(recovery.as_ref()))?))
            }
            None => AuthState::Guest,
        };
        let [root, chat] = &self.rate_usage;
        let session = SessionStart {
            surface,
            encoder: wire,
            auth: auth_state,
            transport: self.transport,
            peer: self.client.peer.clone(),
            slot,
            connection: self.connection.clone(),
            rate_usage: if surface == Surface::Chat { chat } else { root }.clone(),
            recovery,
        };
        Session::open(&self.worker, session).await
    }

    /// Verifies a token and its permissions. `user` is set once the token identifies the user.
    async fn verify(&self, policies: &Policies, token: &str, user: &OnceCell<UserId>) -> Result<Identity, Fault> {
        let identity = policies.tokens.verify(token, self.state.now_ms()).await?;
        let _ = user.set(identity.user.clone());
        identity.require(&policies.config.auth.required_permissions)?;
        Ok(identity)
    }

    /// Records the failed attempt of a client to recover its session.
    fn note_attempt(&self, recovery: Option<&RecoveryRequest>) {
        if let Some(RecoveryRequest { pid, .. }) = recovery {
            self.state.hub.note_attempt(pid.clone());
        }
    }

    /// Counts an attempt to connect to `/chat`, whatever its outcome, unless its address is exempt.
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

    /// Counts a client without a token, unless its address is exempt. Returns its slot among the connections of its
    /// address.
    async fn admit_guest(&self, policies: &Policies) -> Result<Option<ConcurrencySlot>, Fault> {
        let (state, limits) = (&self.state, &policies.config.limits.community);
        let Some(address) = admission::limit_address(policies, self.client.address.as_ref()) else { return Ok(None) };
        // The slot comes first because it is released again: a client without a slot is not counted.
        let slot = state.hub.take_slot(ConcurrencyKey::Address(address), limits.connections_per_address);
        let slot = slot.inspect_err(|_| state.hub.stats().rate_limited.add(1))?;
        state.hub.admit(LimitKey::Guest(address), limits.connections_per_minute).await?;
        Ok(Some(slot))
    }
}
