//! The command line: its commands, their output and the exit status.
//!
//! Standard output contains only the result, so that `TOKEN=$(hubbub token --user alice)` works; everything else goes
//! to standard error. The status is 0 for success, 1 for a failure (one line begins with `hubbub: `), 2 for a usage
//! error.

mod check;
mod health;
mod live;
mod openapi;
mod reference;
mod settings;
mod start_line;
mod users;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use hubbub_actors::model::ids::UserId;
use hubbub_actors::runtime::clock::Clock;
use log::Level;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use self::settings::{ConfigFlags, ServerFlags};
use self::start_line::StartLine;
use crate::auth::api_key::KEY_MAX;
use crate::auth::jwt::{self, Hmac};
use crate::config::warnings::warnings;
use crate::config::{Config, ConfigError, Sources, secrets};
use crate::logging;
use crate::serve::{Prepared, Serving, Shutdown};

/// A realtime hub: raw WebSocket and Socket.IO clients, HTTP push.
#[derive(Debug, Parser)]
#[command(name = "hubbub", version, about)]
struct Cli {
    #[command(flatten)]
    settings: ServerFlags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the hub; the default command
    Serve(ServerFlags),
    /// Check the configuration and print its errors
    Check(check::Check),
    /// Ask a running hub whether it is ready; the status is 0 if it is
    Health(health::HealthArgs),
    /// Print a token signed with the configured secret
    Token(Token),
    /// Create, change, list and disable the accounts that sign in with a password
    User(users::Users),
    /// Create or hash keys of the push API
    #[command(subcommand)]
    Key(KeyCommand),
    /// Print every event that clients and the hub send
    Events(reference::Events),
    /// Print every error code and close code
    Errors(reference::TablesArgs),
    /// Print every metric
    Metrics(reference::TablesArgs),
    /// Print every configuration key, and the scopes of API keys
    Settings(reference::TablesArgs),
    /// Print the description of the HTTP API
    Openapi(openapi::Openapi),
}

#[derive(Debug, Args)]
struct Token {
    #[command(flatten)]
    location: ConfigFlags,
    #[command(flatten)]
    claims: Claims,
}

/// The claims of the token.
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
    /// The lifetime, like 90s, 1h or 30days; default: auth.access_ttl_secs
    #[arg(long, value_parser = lifetime)]
    ttl: Option<Duration>,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Print a new key and its entry for the configuration
    New {
        /// The name of the key in logs and limits
        #[arg(long, default_value = "backend")]
        name: String,
    },
    /// Read a key from standard input and print its SHA-256
    Hash,
}

/// The error of a command: lines for standard error.
struct CommandError(Vec<String>);

impl CommandError {
    fn of(error: impl Display) -> Self {
        Self(vec![error.to_string()])
    }
}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        Self::of(error)
    }
}

/// Runs the command of this process.
pub fn run() -> ExitCode {
    run_with(std::env::args_os(), |_| ())
}

/// Runs the command in `args`; `started` is called once a hub serves.
pub fn run_with(args: impl Iterator<Item = OsString>, started: impl FnOnce(Serving)) -> ExitCode {
    let cli = parse(args).unwrap_or_else(|error| error.exit());
    let mut done = ExitCode::SUCCESS;
    let status = match execute(cli, &mut done, started) {
        Ok(text) if print(&text) == ExitCode::SUCCESS => done,
        Ok(_) => ExitCode::FAILURE,
        Err(CommandError(lines)) => {
            for line in lines {
                logging::print(Level::Error, &line);
            }
            ExitCode::FAILURE
        }
    };
    logging::finish();
    status
}

/// The parsed command line, or the usage error.
fn parse(args: impl Iterator<Item = OsString>) -> Result<Cli, clap::Error> {
    // Accepts `hubbub user list --data-dir DIR` and `hubbub user --data-dir DIR list`.
    let everywhere = |user: clap::Command| {
        ConfigFlags::ARGUMENTS.iter().fold(user, |user, name| user.mut_arg(name, |it| it.global(true)))
    };
    let command = Cli::command().mut_subcommand("user", everywhere);
    let cli = Cli::from_arg_matches(&command.try_get_matches_from(args)?)?;
    cli.command.as_ref().map_or(Ok(()), |command| command.check(&cli.settings))?;
    Ok(cli)
}

impl Command {
    /// Refuses flags before the command that have no effect on it.
    fn check(&self, before: &ServerFlags) -> Result<(), clap::Error> {
        let (name, allowed) = match self {
            Self::Serve(_) | Self::Check(_) | Self::Health(_) => return Ok(()),
            Self::Token(_) => ("token", &ConfigFlags::FLAGS[..]),
            Self::User(_) => ("user", &ConfigFlags::FLAGS[..]),
            Self::Key(_) => ("key", &[][..]),
            Self::Events(_) => ("events", &[][..]),
            Self::Errors(_) => ("errors", &[][..]),
            Self::Metrics(_) => ("metrics", &[][..]),
            Self::Settings(_) => ("settings", &[][..]),
            Self::Openapi(_) => ("openapi", &[][..]),
        };
        match before.given().find(|flag| !allowed.contains(flag)) {
            None => Ok(()),
            Some(flag) => {
                let text = format!("{flag} does nothing for `hubbub {name}`");
                Err(Cli::command().error(clap::error::ErrorKind::ArgumentConflict, text))
            }
        }
    }
}

/// Runs the command. Returns the text for standard output, and sets `status` to the exit status of a success.
fn execute(cli: Cli, status: &mut ExitCode, started: impl FnOnce(Serving)) -> Result<String, CommandError> {
    let before = cli.settings;
    let serve = |settings: ServerFlags| {
        *status = serve(settings.sources(), started)?;
        Ok(String::new())
    };
    match cli.command {
        None => serve(before),
        Some(Command::Serve(settings)) => serve(settings.over(before)),
        Some(Command::Check(check)) => check::run(before, check),
        Some(Command::Health(health)) => health::run(before, health),
        Some(Command::Token(Token { location, claims })) => token(&location.over(before).sources(), &claims),
        Some(Command::User(users)) => users::run(&users.location.over(before).sources(), users.action),
        Some(Command::Key(KeyCommand::New { name })) => key_new(&name),
        Some(Command::Key(KeyCommand::Hash)) => key_hash(io::stdin().lock()),
        Some(Command::Events(options)) => reference::events(options),
        Some(Command::Errors(tables)) => reference::errors(tables),
        Some(Command::Metrics(tables)) => reference::metrics(tables),
        Some(Command::Settings(tables)) => reference::settings(tables),
        Some(Command::Openapi(command)) => openapi::run(&command),
    }
}

/// Reads the configuration for a command, and prints its file's name.
fn configured(sources: &Sources) -> Result<Config, ConfigError> {
    print_note(sources.reading());
    Config::load(sources)
}

/// Writes a line to standard error.
fn print_note(line: impl Display) {
    logging::print(Level::Info, &line.to_string());
}

fn print(text: &str) -> ExitCode {
    let mut stdout = io::stdout().lock();
    let printed = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            print_note(format_args!("standard output: {error}"));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Runs the hub until it is stopped. Returns the exit status.
fn serve(sources: Sources, started: impl FnOnce(Serving)) -> Result<ExitCode, CommandError> {
    // Comes first: a SIGHUP before the hub serves must not end the process.
    let prepared = Prepared::new().map_err(CommandError::of)?;
    let sources = sources.pinned();
    let mut config = Config::load(&sources)?;
    logging::start(config.log.format, &config.log.level)
        .map_err(|error| CommandError::of(format!("the log: {error}")))?;
    for notice in secrets::ensure(&mut config)? {
        match (notice.made, notice.exposed) {
            // Printed at every log level: the operator must learn where a new secret is.
            (true, _) => print_note(notice),
            (false, true) => log::warn!("{notice}"),
            (false, false) => log::info!("{notice}"),
        }
    }
    let (line, warnings) = (StartLine::of(&config, &sources), warnings(&config, Clock::System.now_ms()));
    let started = |serving: Serving| {
        line.log(&serving.addresses);
        warnings.iter().for_each(|warning| log::warn!("{warning}"));
        started(serving);
    };
    match prepared.run(config, sources, started).map_err(CommandError::of)? {
        Shutdown::Drained => Ok(ExitCode::SUCCESS),
        Shutdown::Cut(stop) => Ok(ExitCode::from(stop.status())),
    }
}

fn token(sources: &Sources, claims: &Claims) -> Result<String, CommandError> {
    let mut config = configured(sources)?;
    // Checked before a secret is read, because other algorithms have no secret.
    let Some(algorithm) = hmac(&config) else {
        return Err(CommandError::of("auth.algorithm: the hub signs tokens only with HS256, HS384 or HS512"));
    };
    if let Some(notice) = secrets::find_jwt(&mut config)?
        && notice.exposed
    {
        print_note(notice);
    }
    let auth = &config.auth;
    let secret = auth.jwt_secret.as_ref().map(|secret| secret.expose()).unwrap_or_default();
    let ttl = claims.ttl.map_or(u64::from(auth.access_ttl_secs), |ttl| ttl.as_secs());
    let now = Clock::System.now_ms() / 1_000;
    let mut claims = claims.to_json(now, ttl);
    for (claim, text) in auth.own_claims() {
        claims[claim] = text.into();
    }
    jwt::sign(&claims, secret.as_bytes(), algorithm).map(|token| token + "\n").map_err(CommandError::of)
}

fn hmac(config: &Config) -> Option<Hmac> {
    let name = serde_json::to_value(config.auth.algorithm).ok()?;
    Hmac::parse(name.as_str()?)
}

impl Claims {
    /// The claims of a token created at `now` with a lifetime of `ttl`, in seconds.
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

fn key_new(name: &str) -> Result<String, CommandError> {
    let key = secrets::random()?;
    let (key, digest) = (key.expose(), digest_of(key.expose()));
    let name = toml::Value::String(name.to_owned());
    Ok(format!("key: {key}\n\n[[api.keys]]\nname = {name}\nsha256 = \"{digest}\"\n"))
}

/// The hash of the key in `input`, a single line. It is not an argument, because all users of the machine can read the
/// arguments.
fn key_hash(input: impl io::Read) -> Result<String, CommandError> {
    let mut key = String::new();
    // One byte and a line end more than the longest key, so that a longer key is detected.
    input
        .take(KEY_MAX as u64 + 3)
        .read_to_string(&mut key)
        .map_err(|error| CommandError::of(format!("standard input: {error}")))?;
    let key = key.trim_end_matches(['\r', '\n']);
    if key.is_empty() || key.len() > KEY_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(CommandError::of(format!(
            "standard input: expected one key of 1 to {KEY_MAX} printable ASCII characters without spaces"
        )));
    }
    Ok(digest_of(key) + "\n")
}

/// The digest of a key, for the configuration.
fn digest_of(key: &str) -> String {
    hex::encode(Sha256::digest(key))
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
