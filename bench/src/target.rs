//! The systems under test: started on a port of their own choosing, in a directory of their own, and stopped.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;
use tempfile::TempDir;

/// What a server says once it serves.
const LISTENING: &str = "listening on http://";

/// How long it may take to say so.
const START_TIME: Duration = Duration::from_secs(10);

/// Between two pings to each connection: both servers do what the hub does by default.
const HEARTBEAT_SECS: u32 = 30;

/// What the hub's tokens are signed with, and a key of its API, so that it makes none.
const SECRET: &str = "a-secret-that-only-the-bench-knows-0123456789";

/// A system under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// The hub of this checkout.
    Hub,
    /// Node's `ws` with a minimal server.
    NodeWs,
}

/// A running server. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    _dir: TempDir,
}

impl Server {
    /// Starts `target` with room for `connections`. `hub` is the hub's binary.
    pub(crate) fn start(target: Target, hub: &Path, connections: usize) -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|error| format!("a temporary directory: {error}"))?;
        let mut command = match target {
            Target::Hub => {
                let config = configuration(connections + 64);
                fs::write(dir.path().join("config.toml"), config).map_err(|error| format!("config.toml: {error}"))?;
                Command::new(hub)
            }
            Target::NodeWs => {
                let mut command = Command::new("node");
                command.arg(peer_directory().join("server.js")).arg((HEARTBEAT_SECS * 1000).to_string());
                command
            }
        };
        // The peer ends with its standard input, and that with this process.
        command.current_dir(dir.path()).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let address = child.stderr.take().ok_or("no standard error").and_then(|pipe| {
            let (tell, told) = mpsc::sync_channel(1);
            listen(pipe, tell);
            told.recv_timeout(START_TIME).map_err(|_| "did not start; see above")
        });
        match address {
            Ok(address) => Ok(Self { child, address, _dir: dir }),
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

/// Passes on what a server says, and tells its address.
fn listen(pipe: impl Read + Send + 'static, tell: mpsc::SyncSender<SocketAddr>) {
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            match line.split_once(LISTENING).and_then(|(_, address)| address.trim().parse().ok()) {
                Some(address) => {
                    let _ = tell.try_send(address);
                }
                None if line.contains("INFO") => {}
                None => eprintln!("  server: {line}"),
            }
        }
    });
}

fn configuration(connections: usize) -> String {
    format!(
        "[server]\nhost = \"127.0.0.1\"\nport = 0\ndata_dir = \"data\"\nmax_connections = {connections}\n\
         heartbeat_interval_secs = {HEARTBEAT_SECS}\n[auth]\njwt_secret = \"{SECRET}\"\n\
         [[api.keys]]\nname = \"bench\"\nkey = \"{SECRET}\"\n\
         [limits.raw]\nmessages_per_minute = 0\nconnections_per_minute = 0\n"
    )
}

/// A token of user number `number`, for an hour.
pub(crate) fn token(number: usize) -> Result<String, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = json!({ "sub": format!("bench-{number}"), "exp": now + 3600 });
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).map_err(|error| error.to_string())
}

/// Makes the targets ready to start: builds the hub's release binary, installs the peer's one package. Says where the
/// hub's binary is.
pub(crate) fn prepare(targets: &[Target], hub: Option<PathBuf>) -> Result<PathBuf, String> {
    let peer = peer_directory();
    if targets.contains(&Target::NodeWs) && !peer.join("node_modules/ws").is_dir() {
        eprintln!("installing the peer: npm ci");
        succeed(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&peer))?;
    }
    if let Some(hub) = hub {
        return hub.canonicalize().map_err(|error| format!("{}: {error}", hub.display()));
    }
    let bench = std::env::current_exe().map_err(|error| format!("this binary: {error}"))?;
    let hub = bench.with_file_name("hubbub");
    let in_release = bench.parent().is_some_and(|directory| directory.ends_with("release"));
    if targets.contains(&Target::Hub) {
        if !in_release {
            return Err("run the bench with --release, or name the hub's binary with --hub".into());
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        succeed(Command::new("cargo").args(["build", "--release", "--quiet", "--bin", "hubbub"]).current_dir(root))?;
    }
    Ok(hub)
}

fn peer_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/node-ws")
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let status = command.stdout(Stdio::null()).status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}")) }
}
