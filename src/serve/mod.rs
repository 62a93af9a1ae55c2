//! The server: listens, hands upgrades to the surfaces and the rest to the HTTP app, and ends in order.
//!
//! It goes away in four steps: not ready; every session is told when to come back, gets what was accepted for it and then
//! 1001, `server.drain_per_sec` of them a second, and while they go what topics keep is put into the store; the HTTP side
//! ends; what was done once is put into the store, and that is closed; and all of that within `server.shutdown_secs`. A central actor that dies makes it go the same
//! way, and fail.

mod listen;
pub mod reload;
pub mod settings;
pub mod signals;
mod upgrade;

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use actix_codec::Framed;
use actix_http::error::DispatchError;
use actix_http::{HttpService, Request, h1};
use actix_rt::net::TcpStream;
use actix_rt::time::{sleep, timeout};
use actix_server::{Server, ServerHandle};
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::web::Data;
use arc_swap::ArcSwap;
use bytes::BytesMut;
use hubbub_actors::application::Application;
use hubbub_actors::hub::{Authenticator, Hub};
use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::identity::Identity;
use hubbub_actors::revocations::Revoked;
use hubbub_actors::runtime::clock::Clock;
use hubbub_actors::shutdown::schedule::DrainRate;
use hubbub_actors::store::{OpenError, Store};
use tokio::io::AsyncWriteExt;

use self::listen::{BACKLOG, advice, share_descriptors};
pub(crate) use self::listen::{descriptors_needed, listen};
use self::reload::Reloader;
use self::upgrade::WorkerServices;
use crate::accounts::Accounts;
use crate::admission::{self, HandshakeRequest};
use crate::config::{Config, Sources};
use crate::http_stream::Exchange;
use crate::http_stream::{self, HttpStream, Listener};
use crate::peer::limit_key;
use crate::policies::Policies;
use crate::request_id::{HttpRequestId, REQUEST_ID};
use crate::serve::signals::{Signals, Stop, Stops};
use crate::socketio::router::EngineRouter;
use crate::state::{self, State};
use crate::websocket;
use crate::{api, error, socketio};

/// How many more connections a worker accepts than there may be plain ones, so that it can refuse them itself: actix-server
/// would stop accepting, and with it the sessions.
const ACCEPTED_BEYOND: usize = 1_024;

/// After how long without a request actix-http closes a connection. The stream beneath it does so before.
const KEEP_ALIVE: Duration = http_stream::KEEP_ALIVE.saturating_add(Duration::from_secs(15));

/// How often the central actors are looked at, by who is not asked for the hub's health.
const ACTOR_CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// How often it is looked whether the last connection is gone, while the hub ends.
const DRAIN_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The most of `server.shutdown_secs` that is left for the HTTP side.
const HTTP_TIME: Duration = Duration::from_secs(1);

/// The most of it that the store may take to write what waits. Nobody has been told that it is written.
const STORE_TIME: Duration = Duration::from_secs(2);

/// What may be written still after a second signal takes at most so long.
const CUT_TIME: Duration = Duration::from_secs(1);

/// Why the hub did not start, or ended by itself.
#[derive(Debug)]
pub enum ServeError {
    /// The address cannot be listened on.
    Listen(String, io::Error),
    /// The store cannot be opened.
    Store(OpenError),
    /// The system refused something else.
    System(io::Error),
    /// A value of the configuration that only shows when it is used.
    Config(String),
    /// A central actor died, and its state with it.
    ActorDied(String),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) => write!(f, "cannot listen on {address}: {error}{}", advice(error)),
            Self::Store(error) => write!(f, "{error}"),
            Self::System(error) => write!(f, "{error}"),
            Self::Config(error) => f.write_str(error),
            Self::ActorDied(name) => write!(f, "the actor {name} died; the hub went away because its state is lost"),
        }
    }
}

impl std::error::Error for ServeError {}

impl From<io::Error> for ServeError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// A hub that serves.
#[derive(Debug)]
pub struct Serving {
    /// Where: at least one address, and both of `localhost`.
    pub addresses: Vec<SocketAddr>,
    /// The hub.
    pub hub: Arc<Hub>,
}

/// What a hub runs on. From here on no signal but SIGTERM and SIGINT ends the process.
#[derive(Debug)]
pub struct Prepared {
    runtime: tokio::runtime::Runtime,
    signals: Signals,
}

impl Prepared {
    /// Prepares the process to run a hub.
    ///
    /// # Errors
    /// [`ServeError::System`].
    pub fn new() -> Result<Self, ServeError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let signals = {
            let _entered = runtime.enter();
            Signals::new()?
        };
        Ok(Self { runtime, signals })
    }

    /// Runs the hub until SIGTERM or SIGINT; `started` is called once connections are taken. On SIGHUP `sources` are read
    /// again, from which `config` came.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn run(self, config: Config, sources: Sources, started: impl FnOnce(Serving)) -> Result<Shutdown, ServeError> {
        let Self { runtime, signals } = self;
        let runtime = Arc::new(runtime);
        let system = actix_rt::System::with_tokio_rt(|| runtime.clone());
        let ended = system.block_on(serve(Arc::new(config), sources, signals, started));
        drop(system);
        // Dropped, it would wait for its threads, and one may hang: in a file, in a name that is looked up.
        if let Some(runtime) = Arc::into_inner(runtime) {
            runtime.shutdown_background();
        }
        ended
    }
}

/// How a hub that was told to stop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// All that was accepted reached its clients, as far as they read in time.
    Drained,
    /// It was told a second time, by this signal, and waited for no client any more.
    Cut(Stop),
}

async fn serve(
    config: Arc<Config>,
    sources: Sources,
    signals: Signals,
    started: impl FnOnce(Serving),
) -> Result<Shutdown, ServeError> {
    let workers = config.server.worker_count();
    let http_connections = share_descriptors(config.server.max_connections);
    let store = Store::open_or_wait(&config.server.data_dir, Clock::System).map_err(ServeError::Store)?;
    let listeners = listen(&config.server)?;
    let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
    let state = Data::new(assemble(&config, &store).await?);
    let (hub, kept) = (state.hub.clone(), state.clone());
    state.connections.bound(http_connections);
    let router = socketio::namespace_sessions::router(&state);
    let socketio = router.clone();
    let reloader = Reloader::new(sources, state.clone());

    let mut server = Server::build()
        .workers(workers)
        .max_concurrent_connections(state.connections.most() + ACCEPTED_BEYOND)
        .backlog(u32::try_from(BACKLOG).unwrap_or(1024))
        .shutdown_timeout(HTTP_TIME.as_secs())
        .disable_signals();
    for listener in listeners {
        let (state, router) = (state.clone(), router.clone());
        server = server.listen("hubbub", listener, move || service(state.clone(), router.clone()))?;
    }
    let server = server.run();
    let handle = server.handle();
    let mut ended = actix_rt::spawn(server);
    let mut stops = Stops::new()?;

    actix_rt::spawn(kept.notices.clone().run());
    reloader.note_start().await;
    actix_rt::spawn(signals.follow(reloader));
    started(Serving { addresses, hub: hub.clone() });
    let died = tokio::select! {
        _ = stops.next() => None,
        died = watch(&hub) => Some(died),
        ended = &mut ended => return Ok(ended.map_err(io::Error::other)?.map(|()| Shutdown::Drained)?),
    };
    match &died {
        Some(name) => log::error!("the actor {name} died; going away"),
        None => log::info!("told to stop; going away"),
    }
    let cut = shut_down(&kept, &socketio, &store, handle, &mut stops).await;
    match died {
        Some(name) => Err(ServeError::ActorDied(name)),
        None => Ok(cut.map_or(Shutdown::Drained, Shutdown::Cut)),
    }
}

/// Ends the sessions, then the HTTP side, then the store; the signal that cut this short, where one did.
async fn shut_down(
    state: &State,
    router: &EngineRouter,
    store: &Store,
    handle: ServerHandle,
    stops: &mut Stops,
) -> Option<Stop> {
    let config = state.policies().config.clone();
    let shares = ShutdownTimes::of(Duration::from_secs(config.server.shutdown_secs.into()));
    let pace = DrainRate { per_sec: config.server.drain_per_sec, within: shares.sessions };
    let cut = drain(&state.hub, router, pace, stops).await;
    let http_time = if cut.is_some() { Duration::ZERO } else { shares.http };
    let _ = timeout(http_time, handle.stop(cut.is_none())).await;
    state.notices.finish();
    let closed = async {
        // The last request is done: what it left behind is in.
        state.store_once().await;
        store.close().await;
    };
    let _ = timeout(shares.store, closed).await;
    state.hub.refusal_log().finish();
    reload::remove_running(&config);
    cut
}

/// Starts the hub on its store, and puts what judges and remembers around it.
async fn assemble(config: &Arc<Config>, store: &Store) -> Result<State, ServeError> {
    let wrong = |what: &dyn fmt::Display, fault: &dyn fmt::Display| ServeError::Config(format!("{what}: {fault}"));
    let revoked = Revoked::new(config.auth.token_life_ms());
    let revocations = revoked.clone();
    let tokens = state::tokens(&config.auth).map_err(ServeError::Config)?;
    let tokens = Arc::new(tokens.with_check(Arc::new(move |identity| revocations.check(identity))));
    let settings = settings::of(config);
    let backend = state::backend(&config.backend).map_err(ServeError::Config)?;
    let application = backend.clone().map(|backend| -> Arc<dyn Application> { backend });
    let policies = Policies::new(config.clone(), tokens.clone(), backend);
    let current = Arc::new(ArcSwap::from_pointee(policies.map_err(|error| ServeError::Config(error.to_string()))?));
    let late = SessionAuthenticator { current: current.clone(), clock: settings.clock.clone() };
    let hub = Hub::start(settings, Arc::new(late), application, store.clone(), revoked);

    let unreadable = |fault| wrong(&store.path().display(), &fault);
    let chats = config.chats.iter().map(|chat| chat.made(hub.clock().now_ms()));
    let chats: Vec<_> = chats.collect::<Result<_, _>>().map_err(|fault| wrong(&"[[chats]]", &fault))?;
    hub.open(chats.clone()).await.map_err(unreadable)?;
    let (following, late) = (hub.clone(), hub.clone());
    actix_rt::spawn(async move { following.follow_store().await });

    let alive = hub.clone();
    tokens.start(move || alive.report_dead("token-keys"));
    let accounts = Accounts::new(store.clone(), &config.auth)?.after(hub.revoked().clone());
    let state = State::new(hub, current, accounts);
    state.open_once().await.map_err(unreadable)?;
    actix_rt::spawn(async move { late.open_late(chats).await });
    Ok(state)
}

/// How `server.shutdown_secs` is shared by those who end one after the other.
#[derive(Debug, PartialEq, Eq)]
struct ShutdownTimes {
    sessions: Duration,
    http: Duration,
    store: Duration,
}

impl ShutdownTimes {
    /// Where time is short, half of it is for the sessions.
    fn of(time: Duration) -> Self {
        let (http, store) = (HTTP_TIME.min(time / 4), STORE_TIME.min(time / 4));
        Self { sessions: time.saturating_sub(http + store), http, store }
    }
}

/// Drains the hub until it is empty, its time is over or another signal comes; that signal.
async fn drain(hub: &Arc<Hub>, router: &EngineRouter, pace: DrainRate, stops: &mut Stops) -> Option<Stop> {
    let drained = async {
        router.close_idle();
        hub.drain(pace).await;
        // Those that lost their last session meanwhile by their client's doing.
        router.close_idle();
        // A session of Socket.IO is over before all that it said is written; its connection is not.
        while hub.stats().sessions.get() > 0 || hub.registry().connections() > 0 {
            sleep(DRAIN_CHECK_INTERVAL).await;
        }
    };
    let cut = tokio::select! {
        biased;
        _ = timeout(pace.within, drained) => None,
        stop = stops.next() => Some(stop),
    };
    // Those who are left owe an answer, or have not read to the end.
    let end = async {
        hub.close_remaining().await;
        hub.store_sessions().await;
    };
    if cut.is_some() {
        log::warn!("told to stop again; ending at once");
        let _ = timeout(CUT_TIME, end).await;
        return cut;
    }
    end.await;
    let left = hub.registry().connections();
    if left > 0 {
        log::warn!("{left} connections had not read all within {} s", pace.within.as_secs());
    }
    None
}

/// Resolves with the name of the first central actor that dies.
async fn watch(hub: &Hub) -> String {
    loop {
        if let Some(dead) = hub.find_dead() {
            return dead.to_owned();
        }
        sleep(ACTOR_CHECK_INTERVAL).await;
    }
}

/// What one worker serves: upgrades on the taken-over socket, everything else by the HTTP app.
fn service(
    state: Data<State>,
    router: Arc<EngineRouter>,
) -> impl actix_service::ServiceFactory<
    TcpStream,
    Config = (),
    Response = (),
    Error = actix_http::error::DispatchError,
    InitError = (),
> {
    let patience = Duration::from_secs(state.policies().config.server.client_timeout_secs.into());
    let base = state.policies().base.clone();
    let listener = Listener::new(state.connections.clone(), state.notices.clone(), base);
    let app = api::app(state.clone())
        .configure(socketio::polling::routes("/socket.io", router.clone()))
        .into_factory()
        .map_err(|error: actix_web::Error| error.error_response());
    let http = HttpService::build()
        .keep_alive(KEEP_ALIVE)
        // The stream times heads.
        .client_request_timeout(Duration::ZERO)
        .on_connect_ext(|stream: &HttpStream, data| drop(data.insert(stream.exchange().clone())))
        .upgrade(upgrades(state.clone(), &router))
        .h1(map_config(app, |()| AppConfig::default()));
    let takes = move |socket: TcpStream| {
        let stream = accept(&state, &listener, socket, patience);
        std::future::ready(stream.ok_or(DispatchError::DisconnectTimeout))
    };
    fn_service(takes).and_then(http)
}

/// Takes a connection, as what the HTTP service reads from; `None` when it is refused.
fn accept(
    state: &State,
    listener: &Rc<Listener>,
    socket: TcpStream,
    patience: Duration,
) -> Option<(HttpStream, Option<SocketAddr>)> {
    if let Err(error) = websocket::prepare(&socket, patience) {
        log::debug!("a socket could not be set up: {error}");
    }
    let peer = socket.peer_addr().ok();
    let ip = peer.map(|peer| peer.ip().to_canonical());
    let counted = ip.filter(|ip| !ip.is_loopback() && !state.policies().proxies.trusts(*ip)).map(limit_key);
    match listener.take(socket, counted) {
        Ok(stream) => Some((stream, peer)),
        Err((id, fault)) => {
            admission::note_refused_connection(state, ip, &id, &fault);
            None
        }
    }
}

type UpgradeRequest = (Request, Framed<HttpStream, h1::Codec>);

/// Hands an upgrade request to its surface, by its path.
fn upgrades(
    state: Data<State>,
    router: &Arc<EngineRouter>,
) -> impl actix_service::ServiceFactory<
    UpgradeRequest,
    Config = (),
    Response = (),
    Error = std::convert::Infallible,
    InitError = (),
> + use<> {
    let place = WorkerServices::of_thread(&state, router);
    fn_service(move |(request, framed): UpgradeRequest| {
        let (state, place) = (state.clone(), place.clone());
        // Boxed, so that the connection's task does not keep its size once the session lives on its own.
        Box::pin(async move {
            let (mut socket, early) = match take_socket(framed).await {
                Ok((socket, early)) => (Some(socket), early),
                // Its client has hung up.
                Err(_) => return Ok(()),
            };
            let peer = request.head().peer_addr.map(|peer| peer.ip());
            state.notices.forwarding(&state.policies().proxies, peer, request.head().headers());
            let id = HttpRequestId::of(request.head().headers());
            let is_host_last = request.conn_data::<Rc<Exchange>>().is_some_and(|exchange| exchange.is_host_last());
            let handshake = HandshakeRequest { id: &id, head: request.head(), is_host_last };
            let result = upgrade::hand_over(&state, place.as_deref(), &handshake, &mut socket, early).await;
            if let (Err(fault), Some(socket)) = (result, socket) {
                state.telemetry.count_request("GET", error::status(fault.code).as_u16());
                let (status, mut headers, body) = error::response_parts(&fault, upgrade::shape(&state, request.head()));
                headers.extend(id.as_str().parse().map(|id| (REQUEST_ID, id)));
                websocket::refuse(socket, &state.connections.lingering, status, headers, &body).await;
            }
            Ok(())
        }) as Pin<Box<dyn Future<Output = _>>>
    })
}

/// The socket of an upgrade, and what came behind its head. What was still to be written is.
async fn take_socket(framed: Framed<HttpStream, h1::Codec>) -> io::Result<(TcpStream, BytesMut)> {
    let parts = framed.into_parts();
    let (mut socket, behind) = parts.io.into_parts();
    let mut early = parts.read_buf;
    early.unsplit(behind);
    socket.write_all(&parts.write_buf).await?;
    Ok((socket, early))
}

/// Judges the tokens that sessions show while connected as the edge judges those they come with.
struct SessionAuthenticator {
    current: Arc<ArcSwap<Policies>>,
    clock: Clock,
}

impl Authenticator for SessionAuthenticator {
    fn authenticate(&self, token: String) -> Pin<Box<dyn Future<Output = Result<Identity, Fault>>>> {
        let (policies, now) = (self.current.load_full(), self.clock.now_ms());
        Box::pin(async move {
            let identity = policies.tokens.verify(&token, now).await?;
            identity.require(&policies.config.auth.required_permissions)?;
            Ok(identity)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_for_going_away_is_shared_and_not_exceeded() {
        let secs = Duration::from_secs_f64;
        for (time, sessions, http, store) in
            [(1.0, 0.5, 0.25, 0.25), (2.0, 1.0, 0.5, 0.5), (6.0, 3.5, 1.0, 1.5), (15.0, 12.0, 1.0, 2.0)]
        {
            let shares = ShutdownTimes { sessions: secs(sessions), http: secs(http), store: secs(store) };
            assert_eq!(ShutdownTimes::of(secs(time)), shares);
            assert_eq!(sessions + http + store, time);
        }
    }
}
