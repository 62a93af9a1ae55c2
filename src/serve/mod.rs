//! The server: listens, serves, and shuts down in order; see [`shutdown`]. If a central actor dies, the hub shuts down the
//! same way and the process fails.

mod compose;
mod host;
mod listen;
pub mod reload;
mod service_manager;
mod services;
pub mod settings;
mod shutdown;
pub mod signals;
mod upgrade;

use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use actix_rt::time::sleep;
use actix_server::Server;
use actix_web::web::Data;
use hubbub_actors::hub::Hub;
use hubbub_actors::runtime::clock::Clock;
use hubbub_actors::store::{OpenError, Store};
use tokio::sync::mpsc;

use self::host::HubHost;
use self::listen::{BACKLOG, advice, share_descriptors};
pub(crate) use self::listen::{descriptors_needed, listen};
use self::reload::Reloader;
use crate::config::{Config, Sources};
use crate::serve::signals::{Signals, Stop};
use crate::socketio;
use crate::socketio::router::EngineRouter;
use crate::state::SharedState;

/// How many more connections a worker accepts than there may be plain ones. The hub refuses these itself; actix-server would
/// stop accepting, and no session could be opened.
const EXTRA_ACCEPTED: usize = 1_024;

/// How often the central actors are checked. Health checks do so too, but the hub may receive none.
const ACTOR_CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// Why the hub did not start, or shut down without a signal.
#[derive(Debug)]
pub enum ServeError {
    /// The address cannot be listened on.
    Listen(String, io::Error),
    /// The store cannot be opened.
    Store(OpenError),
    /// Another operation of the system failed.
    System(io::Error),
    /// A value of the configuration that fails only when it is used.
    Config(String),
    /// A central actor died, and its state is lost.
    ActorDied(String),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) => write!(f, "cannot listen on {address}: {error}{}", advice(error)),
            Self::Store(error) => write!(f, "{error}"),
            Self::System(error) => write!(f, "{error}"),
            Self::Config(error) => f.write_str(error),
            Self::ActorDied(name) => {
                write!(f, "the actor {name} died; the hub shut down because the actor's state is lost")
            }
        }
    }
}

impl std::error::Error for ServeError {}

impl From<io::Error> for ServeError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// A running hub.
#[derive(Debug)]
pub struct Serving {
    /// The addresses that it listens on: at least one; two for `localhost`.
    pub addresses: Vec<SocketAddr>,
    /// The hub.
    pub hub: Arc<Hub>,
}

/// The runtime of a hub, and its signal handlers. Once it exists, only SIGTERM and SIGINT end the process.
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

    /// Runs the hub until SIGTERM or SIGINT. Calls `started` once connections are accepted. On SIGHUP it reads `sources`
    /// again, from which `config` was read.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn run(self, config: Config, sources: Sources, started: impl FnOnce(Serving)) -> Result<Shutdown, ServeError> {
        let Self { runtime, signals } = self;
        host::run_on(runtime, serve(Arc::new(config), sources, HubHost::Process(signals), started))
    }
}

/// Runs a hub inside another program, by its `clock`, until the program sends a [`Stop`]. Catches no signals and reloads
/// nothing. Blocks this thread; calls `started` once connections are accepted.
///
/// # Errors
/// See [`ServeError`].
pub fn run_embedded(
    config: Config,
    clock: Clock,
    stops: mpsc::Receiver<Stop>,
    started: impl FnOnce(Serving),
) -> Result<Shutdown, ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    host::run_on(runtime, serve(Arc::new(config), Sources::default(), HubHost::Program { clock, stops }, started))
}

/// How a hub ended after a stop signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// In order: what was accepted reached the clients that read in time.
    Drained,
    /// At once, because of this second signal.
    Cut(Stop),
}

async fn serve(
    config: Arc<Config>,
    sources: Sources,
    host: HubHost,
    started: impl FnOnce(Serving),
) -> Result<Shutdown, ServeError> {
    let clock = host.clock();
    let http_connections = share_descriptors(config.server.max_connections);
    let store = Store::open_or_wait(&config.server.data_dir, clock.clone()).map_err(ServeError::Store)?;
    let listeners = listen(&config.server)?;
    let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
    let state = Data::new(compose::assemble(&config, &store, clock).await?);
    let hub = state.hub.clone();
    state.connections.lower_max(http_connections);
    let router = socketio::namespace_sessions::router(&state);
    let reloader = Reloader::new(sources, state.clone());

    let server = server(&state, &router, listeners, config.server.worker_count())?;
    let handle = server.handle();
    let mut ended = actix_rt::spawn(server);
    let manager = Rc::new(host.manager());
    let (mut stops, signals) = host.into_stops()?;

    actix_rt::spawn(state.notices.clone().run());
    reloader.note_start().await;
    if let Some(signals) = signals {
        actix_rt::spawn(signals.follow(reloader, manager.clone()));
    }
    started(Serving { addresses, hub: hub.clone() });
    manager.ready(signals::SERVING);
    let watched = manager.clone();
    actix_rt::spawn(async move { watched.watch().await });
    let died = tokio::select! {
        _ = stops.next() => None,
        died = watch(&hub) => Some(died),
        ended = &mut ended => return Ok(ended.map_err(io::Error::other)?.map(|()| Shutdown::Drained)?),
    };
    match &died {
        Some(name) => log::error!("the actor {name} died; shutting down"),
        None => log::info!("stop signal; shutting down"),
    }
    manager.stopping(shutdown::longest(&state));
    let cut = shutdown::shut_down(&state, &router, &store, handle, &mut stops).await;
    match died {
        Some(name) => Err(ServeError::ActorDied(name)),
        None => Ok(cut.map_or(Shutdown::Drained, Shutdown::Cut)),
    }
}

/// Starts the workers, each with a service for every listening socket.
fn server(
    state: &Data<SharedState>,
    router: &Arc<EngineRouter>,
    listeners: Vec<TcpListener>,
    workers: usize,
) -> io::Result<Server> {
    let mut server = Server::build()
        .workers(workers)
        .max_concurrent_connections(state.connections.max() + EXTRA_ACCEPTED)
        .backlog(u32::try_from(BACKLOG).unwrap_or(1024))
        .shutdown_timeout(shutdown::HTTP_TIME.as_secs())
        .disable_signals();
    for listener in listeners {
        let (state, router) = (state.clone(), router.clone());
        server = server.listen("hubbub", listener, move || services::service(state.clone(), router.clone()))?;
    }
    Ok(server.run())
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
