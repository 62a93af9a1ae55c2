//! The command line: what is asked for, what goes to standard output, and the exit status.
//!
//! Standard output has the answer alone, so that `TOKEN=$(hubbub token --user alice)` works; everything else goes to
//! standard error. Status 0 is done, 1 failed (one line begins with `hubbub: `), 2 a usage that does not exist.

mod check;
mod users;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use hubbub_actors::clock::Clock;
use hubbub_actors::events::catalogue;
use hubbub_actors::ids::UserId;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::auth::api_key::KEY_MAX;
use crate::auth::jwt::{self, Hmac};
use crate::config::{Config, ConfigError, Flag, Sources, secrets};
use crate::logging;
use crate::server::{Ended, Prepared, Serving};

/// A realtime hub: raw WebSocket and Socket.IO clients, HTTP push.
#[derive(Debug, Parser)]
#[command(name = "hubbub", version, about)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Flags that set keys of the configuration; every command reads it, so every command takes them.
#[derive(Debug, Default, Args)]
struct Settings {
    /// The configuration to read instead of ./config.toml
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The address or host name to listen on (server.host)
    #[arg(long, global = true)]
    host: Option<String>,
    /// The TCP port; 0 lets the system choose (server.port)
    #[arg(long, global = true)]
    port: Option<u16>,
    /// Where secrets and the store are kept (server.data_dir)
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<String>,
    /// Worker threads; 0 is one a core (server.workers)
    #[arg(long, value_name = "N", global = true)]
    workers: Option<u16>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the hub; what `hubbub` alone does
    Serve,
    /// Read the configuration and say what is wrong
    Check(check::Check),
    /// Print a token signed with the configured secret
    Token(Claims),
    /// Make, list and disable the accounts that sign in with a password
    #[command(subcommand)]
    User(users::User),
    /// Make or hash keys of the push API
    #[command(subcommand)]
    Key(Key),
    /// Print every event that clients and the hub send
    Events {
        /// How to print them
        #[arg(long, value_enum, default_value_t = Format::Markdown)]
        format: Format,
    },
}

/// What the token says of its holder.
#[derive(Debug, Args)]
struct Claims {
    /// The user's id (sub)
    #[arg(long, value_name = "ID", value_parser = user_id)]
    user: UserId,
    /// The name to show
    #[arg(long)]
    name: Option<String>,
    /// The user name
    #[arg(long)]
    username: Option<String>,
    /// A role; may be given several times
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// A permission; may be given several times
    #[arg(long = "permission", value_name = "PERMISSION")]
    permissions: Vec<String>,
    /// How long it lives, like 90s, 1h or 30days; without it, auth.access_ttl_secs
    #[arg(long, value_parser = lifetime)]
    ttl: Option<Duration>,
}

#[derive(Debug, Subcommand)]
enum Key {
    /// Print a fresh key, and what to put in the configuration for it
    New {
        /// What the key goes by in logs and limits
        #[arg(long, default_value = "backend")]
        name: String,
    },
    /// Read a key from standard input and print its SHA-256
    Hash,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Markdown,
    JsonSchema,
}

/// Why a command failed: lines for standard error.
struct Failure(Vec<String>);

impl Failure {
    fn of(error: impl Display) -> Self {
        Self(vec![error.to_string()])
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::of(error)
    }
}

/// Does what the command line of this process asks for.
pub fn run() -> ExitCode {
    run_with(std::env::args_os(), |_| ())
}

/// Does what the command line `args` asks for; `started` is called once a hub serves.
pub fn run_with(args: impl Iterator<Item = OsString>, started: impl FnOnce(Serving)) -> ExitCode {
    let cli = Cli::parse_from(args);
    let mut status = ExitCode::SUCCESS;
    match answer(cli, &mut status, started) {
        Ok(text) if print(&text) == ExitCode::SUCCESS => status,
        Ok(_) => ExitCode::FAILURE,
        Err(Failure(lines)) => {
            for line in lines {
                eprintln!("hubbub: {line}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Does what is asked for; the answer is for standard output. Where that is done, `status` is the exit status.
fn answer(cli: Cli, status: &mut ExitCode, started: impl FnOnce(Serving)) -> Result<String, Failure> {
    let sources = cli.settings.sources();
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => {
            *status = serve(sources, started)?;
            Ok(String::new())
        }
        Command::Check(asked) => check::run(&sources, asked),
        Command::Token(claims) => token(&sources, &claims),
        Command::User(user) => users::run(&sources, user),
        Command::Key(Key::New { name }) => key_new(&name),
        Command::Key(Key::Hash) => key_hash(io::stdin().lock()),
        Command::Events { format } => events(format),
    }
}

fn print(text: &str) -> ExitCode {
    let mut stdout = io::stdout().lock();
    let printed = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("hubbub: standard output: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

impl Settings {
    fn sources(self) -> Sources {
        let text =
            |name, key, value: Option<String>| value.map(|value| Flag { name, key, value: toml::Value::String(value) });
        let number = |name, key, value: Option<u16>| {
            value.map(|value| Flag { name, key, value: toml::Value::Integer(value.into()) })
        };
        let flags = [
            text("--host", "server.host", self.host),
            number("--port", "server.port", self.port),
            text("--data-dir", "server.data_dir", self.data_dir),
            number("--workers", "server.workers", self.workers),
        ];
        Sources::of_process(self.config, flags.into_iter().flatten().collect())
    }
}

/// Runs the hub until it is told to stop; the exit status.
fn serve(sources: Sources, started: impl FnOnce(Serving)) -> Result<ExitCode, Failure> {
    // First: a SIGHUP that comes before the hub serves must not end it.
    let prepared = Prepared::new().map_err(Failure::of)?;
    let mut config = Config::load(&sources)?;
    logging::start(&config.log);
    for notice in secrets::ensure(&mut config)? {
        match (notice.made, notice.exposed) {
            // Whatever the log lets through: nobody could find a secret that was made in silence.
            (true, _) => eprintln!("hubbub: {notice}"),
            (false, true) => log::warn!("{notice}"),
            (false, false) => log::info!("{notice}"),
        }
    }
    match prepared.run(config, sources, started).map_err(Failure::of)? {
        Ended::Drained => Ok(ExitCode::SUCCESS),
        Ended::Cut(stop) => Ok(ExitCode::from(stop.status())),
    }
}

fn token(sources: &Sources, claims: &Claims) -> Result<String, Failure> {
    let mut config = Config::load(sources)?;
    for notice in secrets::ensure(&mut config)? {
        if notice.made || notice.exposed {
            eprintln!("hubbub: {notice}");
        }
    }
    let auth = &config.auth;
    let (Some(secret), Some(algorithm)) = (&auth.jwt_secret, hmac(&config)) else {
        return Err(Failure::of("auth.algorithm: tokens are signed with a shared secret only"));
    };
    let ttl = claims.ttl.map_or(u64::from(auth.access_ttl_secs), |ttl| ttl.as_secs());
    let now = Clock::System.now_ms() / 1_000;
    let claims = claims.to_json(now, ttl);
    jwt::sign(&claims, secret.expose().as_bytes(), algorithm).map(|token| token + "\n").map_err(Failure::of)
}

fn hmac(config: &Config) -> Option<Hmac> {
    let name = serde_json::to_value(config.auth.algorithm).ok()?;
    Hmac::parse(name.as_str()?)
}

impl Claims {
    /// The claims of a token that is made at `now` and lives for `ttl`, in seconds.
    fn to_json(&self, now: i64, ttl: u64) -> Value {
        let mut claims = json!({
            "sub": self.user,
            "iat": now,
            "exp": now.saturating_add_unsigned(ttl),
        });
        for (claim, value) in [("name", &self.name), ("username", &self.username)] {
            if let Some(value) = value {
                claims[claim] = json!(value);
            }
        }
        for (claim, values) in [("roles", &self.roles), ("permissions", &self.permissions)] {
            if !values.is_empty() {
                claims[claim] = json!(values);
            }
        }
        claims
    }
}

fn key_new(name: &str) -> Result<String, Failure> {
    let key = secrets::random()?;
    let (key, digest) = (key.expose(), digest_of(key.expose()));
    let name = toml::Value::String(name.to_owned());
    Ok(format!("key: {key}\n\n[[api.keys]]\nname = {name}\nsha256 = \"{digest}\"\n"))
}

/// The hash of the key that is the one line of `input`. It comes this way because arguments are seen by everybody.
fn key_hash(input: impl io::Read) -> Result<String, Failure> {
    let mut key = String::new();
    // One byte and a line end more than a key has, so that a longer one is told from the longest.
    input
        .take(KEY_MAX as u64 + 3)
        .read_to_string(&mut key)
        .map_err(|error| Failure::of(format!("standard input: {error}")))?;
    let key = key.trim_end_matches(['\r', '\n']);
    if key.is_empty() || key.len() > KEY_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::of(format!(
            "standard input: expected one key of 1 to {KEY_MAX} printable ASCII characters without spaces"
        )));
    }
    Ok(digest_of(key) + "\n")
}

/// What the configuration holds in place of a key.
fn digest_of(key: &str) -> String {
    hex::encode(Sha256::digest(key))
}

fn events(format: Format) -> Result<String, Failure> {
    match format {
        Format::Markdown => Ok(catalogue::markdown()),
        Format::JsonSchema => Ok(format!("{:#}\n", catalogue::json_schema())),
    }
}

fn user_id(text: &str) -> Result<UserId, String> {
    UserId::parse(text, "id").map_err(|fault| fault.message.into_owned())
}

fn lifetime(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(ttl) if ttl.as_secs() == 0 => Err("less than a second".into()),
        Ok(ttl) if ttl.as_secs() > u64::from(u32::MAX) => Err("longer than 136 years".into()),
        Ok(ttl) => Ok(ttl),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
