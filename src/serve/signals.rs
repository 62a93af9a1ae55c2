//! The signals of the process: what each of them does to a hub.
//!
//! SIGTERM and SIGINT stop it, in order the first time and at once the second. SIGHUP reloads its configuration. SIGUSR1
//! writes its figures into the log. SIGUSR2 does nothing, and neither does SIGPIPE, which Rust ignores.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::serve::reload::{self, Reloader};

/// The signals that do not stop a hub. They are caught as long as the process runs, from when this is made.
#[derive(Debug)]
pub struct Signals {
    hangup: Signal,
    usr1: Signal,
    usr2: Signal,
}

impl Signals {
    /// Catches the signals. To be called on a runtime.
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

    /// Does what they ask for, as long as the hub runs. Those of one kind that come while one of them is under way count as
    /// one. A reload may have to wait for a file or a key set; figures wait for no reload.
    pub async fn follow(self, mut reloader: Reloader) {
        let Self { mut hangup, mut usr1, mut usr2 } = self;
        let state = reloader.state();
        let reloads = async {
            while hangup.recv().await.is_some() {
                reloader.reload().await;
            }
        };
        let others = async {
            loop {
                tokio::select! {
                    Some(()) = usr1.recv() => reload::log_figures(&state),
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

/// The signals that stop a hub, or what stands for them where a hub runs inside another program.
#[derive(Debug)]
pub enum Stops {
    /// The signals of the process.
    Process {
        /// SIGTERM.
        terminate: Signal,
        /// SIGINT.
        interrupt: Signal,
    },
    /// A channel of the program. A closed one stops nothing.
    Channel(mpsc::Receiver<Stop>),
}

impl Stops {
    /// Catches the signals of the process. To be called on a runtime.
    ///
    /// # Errors
    /// The system refuses.
    pub fn new() -> io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self::Process { terminate, interrupt })
    }

    /// Resolves with the next one.
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
