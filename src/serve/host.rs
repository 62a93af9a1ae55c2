//! The host of a hub: a process of its own with its signals, or another program, such as a test.

use std::future::Future;
use std::io;
use std::sync::Arc;

use hubbub_actors::runtime::clock::Clock;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::service_manager::ServiceManager;
use super::signals::{Signals, Stop, Stops};

/// The host of a hub.
pub(super) enum HubHost {
    /// A process of its own, with its signals.
    Process(Signals),
    /// A program with its own clock, which sends a [`Stop`] instead of a signal.
    Program { clock: Clock, stops: mpsc::Receiver<Stop> },
}

impl HubHost {
    pub(super) fn clock(&self) -> Clock {
        match self {
            Self::Process(_) => Clock::System,
            Self::Program { clock, .. } => clock.clone(),
        }
    }

    /// The service manager. A program that embeds a hub reports to its own.
    pub(super) fn manager(&self) -> ServiceManager {
        match self {
            Self::Process(_) => ServiceManager::from_env(),
            Self::Program { .. } => ServiceManager::none(),
        }
    }

    /// The source of stops, and the signals that do not stop the hub.
    pub(super) fn into_stops(self) -> io::Result<(Stops, Option<Signals>)> {
        match self {
            Self::Process(signals) => Ok((Stops::new()?, Some(signals))),
            Self::Program { stops, .. } => Ok((Stops::Channel(stops), None)),
        }
    }
}

/// Runs `hub` to its end on `runtime`, in an actix system.
pub(super) fn run_on<T>(runtime: Runtime, hub: impl Future<Output = T>) -> T {
    let runtime = Arc::new(runtime);
    let system = actix_rt::System::with_tokio_rt(|| runtime.clone());
    let ended = system.block_on(hub);
    drop(system);
    // A plain drop would wait for its threads, and one may hang in a file or in a name lookup.
    if let Some(runtime) = Arc::into_inner(runtime) {
        runtime.shutdown_background();
    }
    ended
}
