//! The signals of the process: what each of them does to a hub.
//!
//! SIGTERM and SIGINT stop it, in order the first time and at once the second. SIGHUP reloads its configuration. SIGUSR1
//! writes its figures into the log. SIGUSR2 does nothing, and neither does SIGPIPE, which Rust ignores.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

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

/// The signals that stop a hub.
#[derive(Debug)]
pub struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    /// Catches them. To be called on a runtime.
    ///
    /// # Errors
    /// The system refuses.
    pub fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Resolves with the next one.
    pub async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.terminate.recv() => Stop::Terminate,
            _ = self.interrupt.recv() => Stop::Interrupt,
        }
    }
}
