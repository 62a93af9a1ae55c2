//! The servers under test. Each runs in a temporary directory and chooses its port.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;
use tempfile::TempDir;

use crate::connecting::CONNECTING_MAX;
use crate::protocol::{API_KEY, Protocol};

/// The log text of a server that listens, before its address.
const LISTENING: &str = "listening on http://";

/// The time limit of a start.
const START_TIME: Duration = Duration::from_secs(10);

/// The interval of the pings of every server, in seconds.
pub(crate) const HEARTBEAT_SECS: u32 = 25;

/// The secret that signs the hub's tokens.
const SECRET: &str = "a-secret-that-only-the-bench-knows-0123456789";

/// A server under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServerKind {
    /// The hub of this checkout, on `/ws`
    Hub,
    /// The hub of this checkout, on Socket.IO
    HubSocketio,
    /// Node's `ws` with a minimal server
    NodeWs,
    /// Node's `socket.io` with a minimal server
    NodeSocketio,
    /// The Rust crate `socketioxide` with a minimal server
    Socketioxide,
    /// The hub of this checkout, on Socket.IO by long-polling (fanout, rooms and reply)
    HubPolling,
}

impl ServerKind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Hub, Self::HubSocketio, Self::NodeWs, Self::NodeSocketio, Self::Socketioxide, Self::HubPolling];

    /// The servers of the tables: the first ones, so their numbers are their columns.
    pub(crate) const COMPARED: [Self; 5] =
        [Self::Hub, Self::HubSocketio, Self::NodeWs, Self::NodeSocketio, Self::Socketioxide];

    /// The hub on both surfaces.
    pub(crate) const HUB: [Self; 2] = [Self::Hub, Self::HubSocketio];

    /// Its name in the tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub `/ws`",
            Self::HubSocketio => "hub Socket.IO",
            Self::NodeWs => "Node `ws`",
            Self::NodeSocketio => "Node `socket.io`",
            Self::Socketioxide => "`socketioxide`",
            Self::HubPolling => "hub polling",
        }
    }

    /// The protocol of its clients.
    pub(crate) const fn protocol(self) -> Protocol {
        match self {
            Self::Hub | Self::NodeWs => Protocol::Raw,
            Self::HubSocketio | Self::NodeSocketio | Self::Socketioxide => Protocol::SocketIo,
            Self::HubPolling => Protocol::Polling,
        }
    }

    /// The directory of its server, below `peers/`; `None` for the hub.
    const fn peer(self) -> Option<&'static str> {
        match self {
            Self::Hub | Self::HubSocketio | Self::HubPolling => None,
            Self::NodeWs => Some("node-ws"),
            Self::NodeSocketio => Some("node-socketio"),
            Self::Socketioxide => Some("socketioxide"),
        }
    }
}

/// A running server. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    /// The unread end of its log, for [`Log::Unread`].
    _unread: Option<BufReader<ChildStderr>>,
    _dir: TempDir,
}

impl Server {
    /// Starts `target` with a limit for `connections`. `hub` is the hub's binary.
    pub(crate) fn start(target: ServerKind, hub: &Path, connections: usize) -> Result<Self, String> {
        Self::start_with(target, hub, connections, Log::Read)
    }

    /// As [`Server::start`], with this handling of the log.
    pub(crate) fn start_with(target: ServerKind, hub: &Path, connections: usize, log: Log) -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|error| format!("a temporary directory: {error}"))?;
        let mut command = match target.peer() {
            None => {
                // Connections without a namespace can take a quarter of the limit.
                let config = configuration(target, connections + 4 * CONNECTING_MAX) + log.level();
                fs::write(dir.path().join("config.toml"), config).map_err(|error| format!("config.toml: {error}"))?;
                Command::new(hub)
            }
            Some(peer) if target == ServerKind::Socketioxide => Command::new(peer_binary(peer)?),
            Some(peer) => {
                let mut command = Command::new("node");
                command.arg(peer_directory(peer).join("server.js"));
                command
            }
        };
        if target.peer().is_some() {
            command.arg((HEARTBEAT_SECS * 1000).to_string());
        }
        // A peer exits when its standard input closes, also when this process crashes.
        command.current_dir(dir.path()).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let address = child.stderr.take().ok_or("no standard error").and_then(|stderr| {
            let (sender, receiver) = mpsc::sync_channel(1);
            read_log(stderr, sender, log);
            receiver.recv_timeout(START_TIME).map_err(|_| "did not start; see above")
        });
        match address {
            Ok((address, unread)) => Ok(Self { child, address, _unread: unread, _dir: dir }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(format!("{target:?} {error}"))
            }
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The handling of a server's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    /// The bench reads it.
    Read,
    /// It is long, and the bench stops reading when the hub listens.
    Unread,
}

impl Log {
    /// Its configuration.
    const fn level(self) -> &'static str {
        match self {
            Self::Read => "",
            Self::Unread => "[log]\nlevel = \"debug,actix_http=trace\"\n",
        }
    }
}

/// The address of a server, and its log if it stays unread.
type Listening = (SocketAddr, Option<BufReader<ChildStderr>>);

/// Prints the warnings of a server, and sends its address.
fn read_log(stderr: ChildStderr, sender: mpsc::SyncSender<Listening>, log: Log) {
    thread::spawn(move || {
        let mut stderr = BufReader::new(stderr);
        for line in stderr.by_ref().lines().map_while(Result::ok) {
            match line.split_once(LISTENING).and_then(|(_, behind)| behind.split(' ').next()?.parse().ok()) {
                Some(address) if log == Log::Unread => {
                    let _ = sender.try_send((address, Some(stderr)));
                    return;
                }
                Some(address) => {
                    let _ = sender.try_send((address, None));
                }
                None if line.contains("INFO") || log == Log::Unread => {}
                None => eprintln!("  server: {line}"),
            }
        }
    });
}

/// The hub's defaults, without limits on one client, and with recovery for all Socket.IO clients (by default only for
/// JavaScript clients). Presence is off on Socket.IO, because no peer announces it. On `/ws` the bench does not request it.
fn configuration(target: ServerKind, connections: usize) -> String {
    let audience = if target == ServerKind::Hub { "all" } else { "off" };
    let limits = "messages_per_minute = 0\nconnections_per_minute = 0\n";
    format!(
        "[server]\nhost = \"127.0.0.1\"\nport = 0\ndata_dir = \"data\"\nmax_connections = {connections}\n\
         heartbeat_interval_secs = {HEARTBEAT_SECS}\n[socketio]\noffsets = \"always\"\nping_interval_ms = {}\n[auth]\njwt_secret = \"{SECRET}\"\n\
         [[api.keys]]\nname = \"bench\"\nkey = \"{API_KEY}\"\nper_minute = 0\n[presence]\naudience = \"{audience}\"\n\
         [limits]\nframes_per_second = 0\nbytes_per_second = 0\n[limits.raw]\n{limits}[limits.push]\n{limits}",
        HEARTBEAT_SECS * 1000
    )
}

/// A token of user `number`, valid for an hour.
pub(crate) fn token(number: usize) -> Result<String, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = json!({ "sub": format!("bench-{number}"), "exp": now + 3600 });
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).map_err(|error| error.to_string())
}

/// Builds the hub's release binary and installs the peers by their lockfiles. Returns the path of the hub's binary.
pub(crate) fn prepare(targets: &[ServerKind], hub: Option<PathBuf>) -> Result<PathBuf, String> {
    for (target, peer) in targets.iter().filter_map(|target| Some((target, target.peer()?))) {
        let directory = peer_directory(peer);
        if *target == ServerKind::Socketioxide {
            eprintln!("building the peer {peer}: cargo build --release");
            let mut command = Command::new("cargo");
            command.args(["build", "--release", "--locked", "--quiet", "--target-dir"]).arg(peer_target(peer)?);
            run_command(command.current_dir(directory))?;
        } else if !is_installed(&directory) {
            eprintln!("installing the peer {peer}: npm ci");
            run_command(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&directory))?;
        }
    }
    if let Some(hub) = hub {
        return hub.canonicalize().map_err(|error| format!("{}: {error}", hub.display()));
    }
    let bench = this_binary()?;
    let hub = bench.with_file_name("hubbub");
    let in_release = bench.parent().is_some_and(|directory| directory.ends_with("release"));
    if targets.iter().any(|target| target.peer().is_none()) {
        if !in_release {
            return Err("run the bench with --release, or name the hub's binary with --hub".into());
        }
        eprintln!("building the hub: cargo build --release");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        run_command(
            Command::new("cargo").args(["build", "--release", "--quiet", "--bin", "hubbub"]).current_dir(root),
        )?;
    }
    Ok(hub)
}

/// Whether npm has installed the packages since the last change of the lockfile.
fn is_installed(directory: &Path) -> bool {
    let changed = |file: &str| fs::metadata(directory.join(file)).and_then(|file| file.modified()).ok();
    changed("node_modules/.package-lock.json") >= changed("package-lock.json")
}

fn peer_directory(peer: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(peer)
}

/// The build directory of a Rust peer, below `target`.
fn peer_target(peer: &str) -> Result<PathBuf, String> {
    let bench = this_binary()?;
    let target = bench.ancestors().nth(2).ok_or("this binary has no target directory")?;
    Ok(target.join("peers").join(peer))
}

fn peer_binary(peer: &str) -> Result<PathBuf, String> {
    Ok(peer_target(peer)?.join("release").join(format!("hubbub-bench-{peer}")))
}

fn this_binary() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|error| format!("this binary: {error}"))
}

fn run_command(command: &mut Command) -> Result<(), String> {
    let status = command.stdout(Stdio::null()).status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}")) }
}
