//! A hub of one's own: the real binary in a directory of its own, on a port of its own choosing.

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tempfile::TempDir;
use toml::{Table, Value as Toml};

use super::http::{Http, Response};
use super::run::{FULL_DISK, hubbub, hubbub_after};
use super::wait::{DEADLINE, wait_until};

/// The secret of every test hub's tokens.
pub(crate) const JWT_SECRET: &str = "a secret that only tests know, of more than 32 bytes";
/// The API key of every test hub.
pub(crate) const API_KEY: &str = "test-key-0123456789abcdef0123456789abcdef";

/// What the hub says once it serves.
const LISTENING: &str = "listening on http://";

/// A running hub. Killed when dropped; when the test has failed by then, its log is shown.
pub(crate) struct Hub {
    child: Child,
    address: SocketAddr,
    said: Arc<Mutex<String>>,
    /// A log that was left unread is read again once this is gone, and closed by a message.
    reading: Option<SyncSender<()>>,
    readers: Vec<JoinHandle<()>>,
    dir: TempDir,
}

impl Hub {
    /// A hub with the defaults, a known secret and a known key.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// A hub whose configuration has these keys, in TOML, besides.
    #[track_caller]
    pub(crate) fn with(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.toml"), configuration(config)).unwrap();
        Self::in_dir(dir)
    }

    /// As [`Hub::with`], but not waited for until it is ready: some dependency of it is down.
    #[track_caller]
    pub(crate) fn unready(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.toml"), configuration(config)).unwrap();
        Self::listening_in(dir)
    }

    /// A hub in a directory that holds its `config.toml` and perhaps the data of an earlier one.
    #[track_caller]
    pub(crate) fn in_dir(dir: TempDir) -> Self {
        let hub = Self::listening_in(dir);
        hub.wait_ready();
        hub
    }

    /// As [`Hub::with`], on a system that allows it so many open files.
    #[track_caller]
    pub(crate) fn with_descriptors(most: usize, config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.toml"), configuration(config)).unwrap();
        let limited = hubbub_after(dir.path(), &format!("ulimit -n {most}"));
        let hub = Self::run_in(dir, limited);
        hub.wait_ready();
        hub
    }

    /// As [`Hub::with`], but nobody reads what it prints to standard error once it listens, until [`Hub::read_log`].
    #[track_caller]
    pub(crate) fn with_unread_log(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.toml"), configuration(config)).unwrap();
        let mut program = hubbub(dir.path());
        program.args(["--config", "config.toml"]);
        let (reading, read_on) = mpsc::sync_channel(0);
        let mut hub = Self::run_with(dir, program, Some(read_on));
        hub.reading = Some(reading);
        hub.wait_ready();
        hub
    }

    /// Reads what was left unread, and goes on.
    pub(crate) fn read_log(&mut self) {
        self.reading = None;
    }

    /// Closes what is left unread.
    pub(crate) fn close_log(&mut self) {
        self.reading.take().unwrap().send(()).unwrap();
    }

    /// A hub in a directory, for which no file can grow: as on a full disk. Not waited for until it is ready.
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

    /// Ends this hub in order, and gives back its directory.
    #[track_caller]
    pub(crate) fn shut_down(mut self) -> TempDir {
        self.shut_down_and_read();
        self.into_dir()
    }

    /// The directory of a hub that has ended.
    #[track_caller]
    pub(crate) fn into_dir(mut self) -> TempDir {
        std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap())
    }

    #[track_caller]
    fn listening_in(dir: TempDir) -> Self {
        let program = hubbub(dir.path());
        Self::run_in(dir, program)
    }

    /// A hub that is told of no file, in a directory with `config.toml` as given, or without one when `config` is empty.
    #[track_caller]
    pub(crate) fn without_config_flag(dir: TempDir, config: &str) -> Self {
        if !config.is_empty() {
            fs::write(dir.path().join("config.toml"), config).unwrap();
        }
        let mut program = hubbub(dir.path());
        program.args(["--port", "0"]);
        Self::run_with(dir, program, None)
    }

    #[track_caller]
    fn run_in(dir: TempDir, mut program: Command) -> Self {
        program.args(["--config", "config.toml"]);
        Self::run_with(dir, program, None)
    }

    #[track_caller]
    fn run_with(dir: TempDir, mut program: Command, read_on: Option<Receiver<()>>) -> Self {
        let mut child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (tell, told) = mpsc::sync_channel(1);
        let readers = vec![
            listen(child.stdout.take().unwrap(), Arc::clone(&said), tell.clone(), None),
            listen(child.stderr.take().unwrap(), Arc::clone(&said), tell, read_on),
        ];
        let Some(address) = serving(&told) else {
            let status = stop(&mut child);
            panic!("the hub did not start ({status}); it said:\n{}", said.lock().unwrap());
        };
        Self { child, address, said, reading: None, readers, dir }
    }

    /// Ends this hub at once, as a crash would, and starts another on what it left on disk.
    #[track_caller]
    pub(crate) fn restart(mut self) -> Self {
        stop(&mut self.child);
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        drop(self);
        Self::in_dir(dir)
    }

    /// Tells this hub to end, and starts another at the same address once it has.
    #[track_caller]
    pub(crate) fn restart_gracefully(mut self) -> Self {
        self.shut_down_and_read();
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        let config = dir.path().join("config.toml");
        let told = fs::read_to_string(&config).unwrap();
        fs::write(&config, told.replace("port = 0", &format!("port = {}", self.address.port()))).unwrap();
        drop(self);
        Self::in_dir(dir)
    }

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

    /// A WebSocket address on this hub, for a path that begins with `/`.
    pub(crate) fn ws(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }

    /// A client of its HTTP side.
    pub(crate) fn http(&self) -> Http {
        Http::new(format!("http://{}", self.address))
    }

    /// As [`Hub::http`], for answers that may take their time.
    pub(crate) fn patient_http(&self) -> Http {
        Http::patient(format!("http://{}", self.address), Duration::from_secs(120))
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.http().get(path)
    }

    /// Everything it has printed so far.
    pub(crate) fn output(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Tells it to end, and waits until it has; everything it has printed.
    #[track_caller]
    pub(crate) fn shut_down_and_read(&mut self) -> String {
        self.signal("TERM");
        assert_eq!(self.exit_status(DEADLINE * 2), Some(0), "{}", self.output());
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        self.output()
    }

    #[track_caller]
    pub(crate) fn wait_ready(&self) {
        wait_until(DEADLINE, "/health/ready answers 200", || self.get("/health/ready").status == 200);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends the process a signal by its name: `TERM`, `INT`, `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.pid());
        let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(status.success(), "{kill}");
    }

    /// Gives the hub another configuration, as [`Hub::with`] writes one, and has it reload; what it logged of that.
    #[track_caller]
    pub(crate) fn reload(&self, config: &str) -> String {
        fs::write(self.dir().join("config.toml"), configuration(config)).unwrap();
        self.sighup()
    }

    /// Has the hub reload what is there; what it logged of that.
    #[track_caller]
    pub(crate) fn sighup(&self) -> String {
        let before = self.output().len();
        self.signal("HUP");
        let mut said = String::new();
        wait_until(DEADLINE, "the hub says what came of a reload", || {
            said = self.output()[before..].to_owned();
            said.contains("reloaded")
        });
        said
    }

    /// Waits for the process to end; its exit status, or none when a signal ended it.
    #[track_caller]
    pub(crate) fn exit_status(&mut self, deadline: Duration) -> Option<i32> {
        let mut ended = None;
        wait_until(deadline, "the hub exits", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.and_then(|status| status.code())
    }

    /// Whether the process still runs.
    pub(crate) fn running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Memory that the hub allocated and that is resident, in KiB. Pages of the program file are not counted: they come
    /// in whenever code runs for the first time.
    pub(crate) fn rss_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// How many file descriptors it has open.
    pub(crate) fn open_fds(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// The raw document's counters: `GET /metrics` as JSON.
    #[track_caller]
    pub(crate) fn counters(&self) -> Value {
        self.http().request("GET", "/metrics").header("Accept", "application/json").send().json()
    }

    /// A sample of the Prometheus page, by its name (the sum over its labels) or with its labels; 0 when it has not
    /// appeared.
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

    /// Connections it counts now.
    #[track_caller]
    pub(crate) fn connections(&self) -> u64 {
        self.counters()["active_connections"].as_u64().unwrap()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let status = stop(&mut self.child);
        let said = self.said.lock().map(|said| said.clone()).unwrap_or_default();
        if thread::panicking() {
            eprintln!("---- the hub ({status}) said:\n{said}----");
        } else {
            assert!(!said.contains("panicked at"), "the hub panicked; it said:\n{said}");
        }
    }
}

/// The configuration that [`Hub::with`] writes: what every test hub has, then `more` over it.
#[track_caller]
pub(crate) fn configuration(more: &str) -> String {
    let mut whole: Table = toml::toml! {
        [server]
        host = "127.0.0.1"
        port = 0
        data_dir = "data"
        [auth]
        [api]
    };
    let mut set = |section: &str, key: &str, value: Toml| {
        whole[section].as_table_mut().unwrap().insert(key.to_owned(), value);
    };
    set("auth", "jwt_secret", JWT_SECRET.into());
    let key = Table::from_iter([("name".to_owned(), "tests".into()), ("key".to_owned(), API_KEY.into())]);
    set("api", "keys", vec![Toml::from(key)].into());
    overlay(&mut whole, more.parse().expect("a test's configuration is TOML"));
    whole.to_string()
}

/// Sections merge, everything else is replaced.
fn overlay(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Toml::Table(under)), Toml::Table(over)) => overlay(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// Keeps what a pipe says, and tells the address once it is named. With `read_on`, it reads no further then, until that
/// has no sender any more; a message ends the reading.
fn listen(
    pipe: impl Read + Send + 'static,
    said: Arc<Mutex<String>>,
    tell: SyncSender<SocketAddr>,
    mut read_on: Option<Receiver<()>>,
) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut lines = BufReader::new(pipe);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).into_owned();
            if let Some((_, address)) = text.split_once(LISTENING)
                && let Some(Ok(address)) = address.split([' ', '"', '\n']).next().map(str::parse)
            {
                // A second address line finds nobody waiting.
                let _ = tell.try_send(address);
                if read_on.take().is_some_and(|read_on| read_on.recv().is_ok()) {
                    return;
                }
            }
            said.lock().unwrap().push_str(&text);
            line.clear();
        }
    })
}

/// The address, or none when the hub ended or kept silent.
fn serving(told: &Receiver<SocketAddr>) -> Option<SocketAddr> {
    told.recv_timeout(DEADLINE).ok()
}

fn stop(child: &mut Child) -> String {
    let before = child.try_wait().unwrap();
    let _ = child.kill();
    let after = child.wait().unwrap();
    match before {
        Some(status) => format!("had ended: {status}"),
        None => format!("was running: {after}"),
    }
}
