//! A hub of a test's own: the real binary in a temporary directory, on a port that the system chooses; or the same
//! service inside the test's process, by a manual clock.

mod configuration;
mod in_process;
mod process;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hubbub_actors::runtime::clock::Clock;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) use self::configuration::configuration;
use self::in_process::InProcess;
use self::process::HubProcess;
use super::http::{Http, Response};
use super::run::{FULL_DISK, hubbub, hubbub_after};
use super::wait::{DEADLINE, wait_until};

/// The secret of every test hub's tokens.
pub(crate) const JWT_SECRET: &str = "a secret that only tests know, of more than 32 bytes";
/// The API key of every test hub.
pub(crate) const API_KEY: &str = "test-key-0123456789abcdef0123456789abcdef";

/// A running hub. Stopped when dropped; its output is then printed if the test has failed.
pub(crate) struct Hub {
    running: Running,
    address: SocketAddr,
    dir: TempDir,
}

/// What a hub runs in.
enum Running {
    Process(HubProcess),
    InProcess(InProcess),
}

impl Hub {
    /// A hub with the defaults, a known secret and a known key.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// A hub with these keys, in TOML, over its usual configuration.
    #[track_caller]
    pub(crate) fn with(config: &str) -> Self {
        Self::in_dir(configured(config))
    }

    /// As [`Hub::with`], inside the test's process. Its time stands still until [`Hub::advance`] moves it. Timers of
    /// HTTP, of upstream calls and of the shutdown run by the system's clock.
    #[track_caller]
    pub(crate) fn with_manual_clock(config: &str) -> Self {
        let dir = configured(config);
        let (running, address) = InProcess::start(dir.path());
        let hub = Self { running: Running::InProcess(running), address, dir };
        hub.wait_ready();
        hub
    }

    /// As [`Hub::with`], but not waited for until it is ready: something that it depends on is down.
    #[track_caller]
    pub(crate) fn unready(config: &str) -> Self {
        let dir = configured(config);
        let program = hubbub(dir.path());
        Self::run_in(dir, program)
    }

    /// A hub in a directory with a `config.toml`, and perhaps with the data of an earlier hub.
    #[track_caller]
    pub(crate) fn in_dir(dir: TempDir) -> Self {
        let program = hubbub(dir.path());
        Self::from_program(dir, program)
    }

    /// A hub in a directory with a `config.toml`, run by a prepared command.
    #[track_caller]
    pub(crate) fn from_program(dir: TempDir, program: Command) -> Self {
        let hub = Self::run_in(dir, program);
        hub.wait_ready();
        hub
    }

    /// As [`Hub::with`], where the system allows `most` open files.
    #[track_caller]
    pub(crate) fn with_descriptors(most: usize, config: &str) -> Self {
        let dir = configured(config);
        let limited = hubbub_after(dir.path(), &format!("ulimit -n {most}"));
        let hub = Self::run_in(dir, limited);
        hub.wait_ready();
        hub
    }

    /// As [`Hub::with`], but its log is not read once it listens, until [`Hub::read_log`].
    #[track_caller]
    pub(crate) fn with_unread_log(config: &str) -> Self {
        let dir = configured(config);
        let mut program = hubbub(dir.path());
        program.args(["--config", "config.toml"]);
        let hub = Self::run_with(dir, program, true);
        hub.wait_ready();
        hub
    }

    /// Reads the rest of the log.
    pub(crate) fn read_log(&mut self) {
        self.process_mut().read_log();
    }

    /// Closes the log unread.
    pub(crate) fn close_log(&mut self) {
        self.process_mut().close_log();
    }

    /// A hub in a directory where no file can grow, as on a full disk. Not waited for until it is ready.
    #[track_caller]
    pub(crate) fn on_full_disk(dir: TempDir) -> Self {
        let limited = hubbub_after(dir.path(), FULL_DISK);
        Self::run_in(dir, limited)
    }

    /// Lets files grow again.
    pub(crate) fn lift_file_limit(&self) {
        let pid = i32::try_from(self.pid()).unwrap();
        rlimit::prlimit(pid, rlimit::Resource::FSIZE, Some((rlimit::INFINITY, rlimit::INFINITY)), None).unwrap();
    }

    /// A hub that gets no `--config`, in a directory with this `config.toml`, or without one when `config` is empty.
    #[track_caller]
    pub(crate) fn without_config_flag(dir: TempDir, config: &str) -> Self {
        if !config.is_empty() {
            fs::write(dir.path().join("config.toml"), config).unwrap();
        }
        let mut program = hubbub(dir.path());
        program.args(["--port", "0"]);
        Self::run_with(dir, program, false)
    }

    #[track_caller]
    fn run_in(dir: TempDir, mut program: Command) -> Self {
        program.args(["--config", "config.toml"]);
        Self::run_with(dir, program, false)
    }

    #[track_caller]
    fn run_with(dir: TempDir, program: Command, is_unread: bool) -> Self {
        let (process, address) = HubProcess::start(program, is_unread);
        Self { running: Running::Process(process), address, dir }
    }

    fn process(&self) -> &HubProcess {
        match &self.running {
            Running::Process(process) => process,
            Running::InProcess(_) => panic!("this hub is no process of its own"),
        }
    }

    fn process_mut(&mut self) -> &mut HubProcess {
        match &mut self.running {
            Running::Process(process) => process,
            Running::InProcess(_) => panic!("this hub is no process of its own"),
        }
    }
}

/// The clock of a hub that runs in the test's process.
impl Hub {
    pub(crate) fn clock(&self) -> &Clock {
        match &self.running {
            Running::InProcess(running) => running.clock(),
            Running::Process(_) => panic!("this hub has the system's clock"),
        }
    }

    /// Moves its time on by `ms`. Timers that are due run soon after.
    pub(crate) fn advance(&self, ms: i64) {
        self.clock().advance(ms);
    }

    /// Its time, in whole seconds since the epoch.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.clock().now_ms()).unwrap() / 1_000
    }
}

/// Stops and restarts.
impl Hub {
    /// Stops this hub in order; its directory.
    #[track_caller]
    pub(crate) fn shut_down(mut self) -> TempDir {
        self.shut_down_and_read();
        self.into_dir()
    }

    /// Stops this hub in order; everything it has printed.
    #[track_caller]
    pub(crate) fn shut_down_and_read(&mut self) -> String {
        self.signal("TERM");
        assert_eq!(self.exit_status(DEADLINE * 2), Some(0), "{}", self.output());
        self.process_mut().read_to_end();
        self.output()
    }

    /// The directory of a hub that has ended, or that is killed now.
    #[track_caller]
    pub(crate) fn into_dir(mut self) -> TempDir {
        std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap())
    }

    /// Kills this hub, as a crash would, and starts another on the data that it left.
    #[track_caller]
    pub(crate) fn restart(mut self) -> Self {
        self.process_mut().kill();
        Self::in_dir(self.into_dir())
    }

    /// Stops this hub in order, and starts another at the same address once it has ended.
    #[track_caller]
    pub(crate) fn restart_gracefully(mut self) -> Self {
        self.shut_down_and_read();
        let config = self.dir().join("config.toml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, text.replace("port = 0", &format!("port = {}", self.address.port()))).unwrap();
        Self::in_dir(self.into_dir())
    }

    /// Sends it a signal by its name: `TERM`, `INT`, `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        match &self.running {
            Running::Process(process) => process.signal(name),
            Running::InProcess(running) => running.signal(name),
        }
    }

    /// Replaces the configuration by one as [`Hub::with`] writes it, and reloads; the log lines of the reload.
    #[track_caller]
    pub(crate) fn reload(&self, config: &str) -> String {
        fs::write(self.dir().join("config.toml"), configuration(config)).unwrap();
        self.sighup()
    }

    /// Has the hub reload its files as they are; the log lines of the reload.
    #[track_caller]
    pub(crate) fn sighup(&self) -> String {
        let before = self.output().len();
        self.signal("HUP");
        let mut lines = String::new();
        wait_until(DEADLINE, "the hub logs the result of a reload", || {
            lines = self.output()[before..].to_owned();
            lines.contains("reloaded")
        });
        lines
    }

    /// Waits for its end; its exit status, or none when a signal ended it.
    #[track_caller]
    pub(crate) fn exit_status(&mut self, deadline: Duration) -> Option<i32> {
        match &mut self.running {
            Running::Process(process) => process.exit_status(deadline),
            Running::InProcess(running) => Some(running.exit_status(deadline)),
        }
    }

    /// Whether the process still runs.
    pub(crate) fn running(&mut self) -> bool {
        self.process_mut().is_running()
    }
}

/// Addresses, output and metrics.
impl Hub {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The directory it runs in: `config.toml`, and its data in `data/`.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A WebSocket URL on this hub, for a path that begins with `/`.
    pub(crate) fn ws(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }

    /// A client of its HTTP side.
    pub(crate) fn http(&self) -> Http {
        Http::new(format!("http://{}", self.address))
    }

    /// As [`Hub::http`], with more time for each answer.
    pub(crate) fn patient_http(&self) -> Http {
        Http::with_timeout(format!("http://{}", self.address), Duration::from_secs(120))
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.http().get(path)
    }

    /// Everything it has printed so far.
    pub(crate) fn output(&self) -> String {
        self.process().output()
    }

    #[track_caller]
    pub(crate) fn wait_ready(&self) {
        wait_until(DEADLINE, "/health/ready answers 200", || self.get("/health/ready").status == 200);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process().id()
    }

    /// Memory that the hub allocated and that is resident, in KiB. Pages of the program file are not counted: they are
    /// loaded when code runs for the first time.
    pub(crate) fn rss_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// The number of its open file descriptors.
    pub(crate) fn open_fds(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// The raw document's counters: `GET /metrics` as JSON.
    #[track_caller]
    pub(crate) fn counters(&self) -> Value {
        self.http().request("GET", "/metrics").header("Accept", "application/json").send().json()
    }

    /// A sample of the Prometheus page, by its name (the sum over its labels) or with its labels; 0 when it is missing.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let page = self.get("/metrics").body;
        page.lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter(|(series, _)| *series == name || series.split('{').next() == Some(name))
            .map(|(_, value)| value.parse::<f64>().unwrap())
            .sum()
    }

    /// The number of its connections.
    #[track_caller]
    pub(crate) fn connections(&self) -> u64 {
        self.counters()["active_connections"].as_u64().unwrap()
    }
}

/// A directory with the configuration of a test hub.
#[track_caller]
fn configured(config: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.toml"), configuration(config)).unwrap();
    dir
}
