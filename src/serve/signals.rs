//! The signals of the process, and what each of them does.
//!
//! SIGTERM and SIGINT stop the hub: the first one in order, the second one at once. SIGHUP reloads the configuration. SIGUSR1
//! writes the main metrics into the log. SIGUSR2 does nothing, and neither does SIGPIPE, which Rust ignores.

use std::io;
use std::rc::Rc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::serve::reload::{self, Reloader};
use crate::serve::service_manager::ServiceManager;

/// What the service manager shows for a hub that serves.
pub(super) const SERVING: &str = "Serving";

/// What it shows after a reload that changed nothing because of an error.
const NOT_RELOADED: &str = "Serving; the configuration was not reloaded, see the log";

/// The signals that do not stop a hub. They are caught from the creation of this value until the process ends.
#[derive(Debug)]
pub struct Signals {
    hangup: Signal,
    usr1: Signal,
    usr2: Signal,
}

impl Signals {
    /// Catches the signals. Must be called on a runtime.
    ///
    /// # Errors
    /// The system refuses.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Handles the signals as long as the hub runs. Signals of one kind that arrive while one is being handled count as one.
    /// A reload may wait for a file or a key set; SIGUSR1 does not wait for a reload.
    pub(super) async fn follow(self, mut reloader: Reloader, manager: Rc<ServiceManager>) {
        let Self { mut hangup, mut usr1, mut usr2 } = self;
        let state = reloader.state();
        let reloads = async {
            while hangup.recv().await.is_some() {
                manager.reloading();
                let is_reloaded = reloader.reload().await;
                manager.ready(if is_reloaded { SERVING } else { NOT_RELOADED });
            }
        };
        let others = async {
            loop {
                tokio::select! {
                    Some(()) = usr1.recv() => reload::log_metrics(&state),
                    Some(()) = usr2.recv() => {}
                    else => break,
                }
            }
        };
        tokio::join!(reloads, others);
    }
}

/// A signal that stops a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
}

impl Stop {
    /// The exit status of a process that this signal ended: 128 and its number.
    pub fn status(self) -> u8 {
        match self {
            Self::Terminate => 143,
            Self::Interrupt => 130,
        }
    }
}

/// The signals that stop a hub, or their substitute if the hub runs inside another program.
#[derive(Debug)]
pub enum Stops {
    /// The signals of the process.
    Process {
        /// SIGTERM.
        terminate: Signal,
        /// SIGINT.
        interrupt: Signal,
    },
    /// A channel of the program. A closed channel stops nothing.
    Channel(mpsc::Receiver<Stop>),
}

impl Stops {
    /// Catches the signals of the process. Must be called on a runtime.
    ///
    /// # Errors
    /// The system refuses.
    pub fn new() -> io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self::Process { terminate, interrupt })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Stop {
        match self {
            Self::Process { terminate, interrupt } => tokio::select! {
                _ = terminate.recv() => Stop::Terminate,
                _ = interrupt.recv() => Stop::Interrupt,
            },
            Self::Channel(stops) => match stops.recv().await {
                Some(stop) => stop,
                None => std::future::pending().await,
            },
        }
    }
}
