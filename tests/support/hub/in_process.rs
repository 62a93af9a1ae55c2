//! A hub that runs inside the test's process, by a clock that the test moves: the whole service on a port of its own.
//! It logs nothing, reads no environment and catches no signal.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hubbub::config::{Config, Sources};
use hubbub::serve::signals::Stop;
use hubbub::serve::{self, ServeError, Shutdown};
use hubbub_actors::runtime::clock::Clock;
use tokio::sync::mpsc::{Sender, channel};

use crate::support::token::now;
use crate::support::wait::{DEADLINE, wait_until};

/// A running hub. Stopped when dropped.
pub(super) struct InProcess {
    clock: Clock,
    stops: Sender<Stop>,
    /// Taken once the hub has ended.
    thread: Option<JoinHandle<Result<Shutdown, ServeError>>>,
}

impl InProcess {
    /// Starts a hub on the `config.toml` of `dir`, with its data in there; and its address.
    #[track_caller]
    pub(super) fn start(dir: &Path) -> (Self, SocketAddr) {
        let sources = Sources { file: Some(dir.join("config.toml")), ..Sources::default() };
        let mut config = Config::load(&sources).unwrap();
        config.server.data_dir = dir.join(&config.server.data_dir);
        std::fs::create_dir_all(&config.server.data_dir).unwrap();
        // A whole second, as times in tokens are.
        let clock = Clock::manual(i64::try_from(now()).unwrap() * 1_000);
        let (stops, receiver) = channel(2);
        let (send_address, address) = mpsc::sync_channel(1);
        let hub_clock = clock.clone();
        let thread = thread::spawn(move || {
            let started = |serving: serve::Serving| send_address.send(serving.addresses[0]).unwrap();
            serve::run_embedded(config, hub_clock, receiver, started)
        });
        let Ok(address) = address.recv_timeout(DEADLINE) else {
            panic!("the hub did not start: {:?}", thread.is_finished().then(|| thread.join()));
        };
        (Self { clock, stops, thread: Some(thread) }, address)
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Sends it what stands for SIGTERM or SIGINT.
    pub(super) fn signal(&self, name: &str) {
        let stop = match name {
            "TERM" => Stop::Terminate,
            "INT" => Stop::Interrupt,
            other => panic!("a hub in the test's process receives no SIG{other}"),
        };
        self.stops.try_send(stop).unwrap();
    }

    /// Waits for its end; the exit status that a process would have.
    #[track_caller]
    pub(super) fn exit_status(&mut self, deadline: Duration) -> i32 {
        match self.end(deadline) {
            Ok(Shutdown::Drained) => 0,
            Ok(Shutdown::Cut(stop)) => stop.status().into(),
            Err(error) => panic!("the hub failed: {error}"),
        }
    }

    #[track_caller]
    fn end(&mut self, deadline: Duration) -> Result<Shutdown, ServeError> {
        let thread = self.thread.take().expect("a hub ends once");
        wait_until(deadline, "the hub ends", || thread.is_finished());
        thread.join().expect("the hub's thread does not panic")
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        if self.thread.is_none() {
            return;
        }
        // The second one ends it at once.
        for _ in 0..2 {
            let _ = self.stops.try_send(Stop::Terminate);
        }
        if !thread::panicking() {
            self.end(DEADLINE).expect("the hub does not fail");
        }
    }
}
