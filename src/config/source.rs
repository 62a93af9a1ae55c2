//! Merges the sources of values: defaults, then a file, then variables, then flags; and names the source of an error.
//!
//! This module owns the order and the positions, not the valid values. An error is one line with the file and line, the
//! variable or the flag, then the dotted key: `config.toml:12: server.prot: unknown key; did you mean server.port?`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use toml::de::DeTable;
use toml::{Table, Value};

use super::check::{self, Problem};
use super::positions::{Lines, line_of, note_table};
use super::{Config, duplicate, nearest, read};

/// The default file. It is read only if it exists.
pub const DEFAULT_FILE: &str = "config.toml";

/// Most bytes of the file.
const FILE_MAX: usize = 16 << 20;

/// The prefix of variables that set a key: `HUBBUB_SERVER__PORT` sets `server.port`.
const PREFIX: &str = "HUBBUB_";

/// Secrets that can be in a file, named by a variable: `HUBBUB_AUTH__JWT_SECRET_FILE=/run/secrets/jwt`.
const IN_FILES: [&str; 2] = ["auth.jwt_secret", "backend.api_key"];

/// Most bytes of a secret's file.
const SECRET_FILE_MAX: usize = 64 << 10;

/// A command line flag that sets a key.
#[derive(Debug, Clone)]
pub struct Flag {
    /// Its name on the command line: `--port`.
    pub name: &'static str,
    /// The dotted key.
    pub key: &'static str,
    /// The value.
    pub value: Value,
}

/// All sources of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file of `--config`, which must exist. `None`: [`DEFAULT_FILE`], if it exists.
    pub file: Option<PathBuf>,
    /// The environment; only variables with the prefix `HUBBUB_` are read.
    pub variables: Vec<(OsString, OsString)>,
    /// The flags that were given.
    pub flags: Vec<Flag>,
}

impl Sources {
    /// The environment of this process, together with the file and flags of the command line.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<Flag>) -> Self {
        Self { file, variables: std::env::vars_os().collect(), flags }
    }
}

impl Sources {
    /// The name of the file, for the output of a command. It may differ from the running hub's file.
    pub fn reading(&self) -> String {
        match self.found() {
            Some(file) => format!("reading {}", file.display()),
            None => format!("no {DEFAULT_FILE} in {}: defaults", absolute(Path::new(".")).display()),
        }
    }

    /// The absolute path of the file; `None` when there is no file and the defaults apply.
    pub fn found(&self) -> Option<PathBuf> {
        self.existing().map(absolute)
    }

    /// The same sources, with an existing [`DEFAULT_FILE`] as a named file: it is an error if it is missing later.
    #[must_use]
    pub fn pinned(self) -> Self {
        Self { file: self.existing().map(Path::to_owned), ..self }
    }

    fn existing(&self) -> Option<&Path> {
        let default = Path::new(DEFAULT_FILE);
        self.file.as_deref().or_else(|| default.exists().then_some(default))
    }
}

/// The absolute path, independent of the working directory.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Why the configuration is invalid. Displays its first line; contains no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    lines: Vec<String>,
}

impl ConfigError {
    pub(super) fn new(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()] }
    }

    /// All known problems, one in each line; at least one.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.lines.first().map_or("", String::as_str))
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// `server.data_dir` by the `sources`, as far as they can be read. Other keys may have errors.
    pub fn data_dir(sources: &Sources) -> PathBuf {
        let mut layers = Layers::default();
        // A file that is not TOML has no values.
        let _ = layers.read_file(sources.file.as_deref());
        layers.read_overrides(sources);
        let named = layers.merged.get("server").and_then(|server| server.get("data_dir")?.as_str());
        named.map_or_else(|| Self::default().server.data_dir, PathBuf::from)
    }

    /// Reads, merges and checks the `sources`.
    ///
    /// # Errors
    /// When a file cannot be read or is not TOML, or a source has an unknown key, a wrong type or an impossible value.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        Self::load_noting_overrides(sources).map(|(config, _)| config)
    }

    /// As [`Config::load`]. Also returns the keys of the file that a variable or a flag overrides, one per line:
    /// `api.keys: HUBBUB_API__KEYS overrides config.toml:12`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_noting_overrides(sources: &Sources) -> Result<(Self, Vec<String>), ConfigError> {
        let mut layers = Layers::default();
        layers.read_file(sources.file.as_deref())?;
        let mut problems = layers.read_overrides(sources);
        let mut config = match read::typed(&layers.merged) {
            Ok(config) => config,
            Err(problem) => {
                problems.push(problem);
                Self::default()
            }
        };
        if problems.is_empty() {
            if !layers.positions.contains_key("limits.outbox_bytes") {
                config.limits.outbox_bytes =
                    config.limits.outbox_bytes.max(config.server.max_frame_size.saturating_mul(4));
            }
            if !layers.positions.contains_key("limits.rooms_per_user") {
                let half = (config.limits.rooms / 2).max(1);
                config.limits.rooms_per_user = config.limits.rooms_per_user.min(half);
            }
            problems = check::problems(&config);
        }
        if problems.is_empty() {
            return Ok((config, layers.overridden));
        }
        Err(ConfigError { lines: problems.iter().map(|it| layers.describe(it)).collect() })
    }
}

/// The values merged so far, and the last source of each.
#[derive(Default)]
struct Layers {
    merged: Table,
    /// The position of every dotted key: `config.toml:12` or `HUBBUB_SERVER__PORT`.
    positions: BTreeMap<String, String>,
    /// The beginning of the positions in the file; empty without a file.
    file: String,
    /// The keys of the file that a later source overrides.
    overridden: Vec<String>,
}

impl Layers {
    fn read_file(&mut self, named: Option<&Path>) -> Result<(), ConfigError> {
        let path = named.unwrap_or(Path::new(DEFAULT_FILE));
        let shown = path.display();
        let text = match read_bounded(path, FILE_MAX) {
            Ok(bytes) if bytes.len() > FILE_MAX => {
                return Err(ConfigError::new(format!("{shown}: is longer than {FILE_MAX} bytes")));
            }
            Ok(bytes) => String::from_utf8(bytes).map_err(|error| {
                let valid = error.utf8_error().valid_up_to();
                let line = line_of(error.as_bytes(), valid);
                ConfigError::new(format!("{shown}:{line}: not UTF-8"))
            })?,
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {
                return Ok(());
            }
            Err(error) => {
                return Err(ConfigError::new(format!("{shown}: cannot be read: {error}")));
            }
        };
        // The error's own display quotes the line, which may contain a secret.
        let syntax = |error: toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = line_of(text.as_bytes(), at);
            let before = text.get(..at).unwrap_or_default();
            let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
            if error.message() == "duplicate key" {
                return ConfigError::new(format!("{shown}:{line}: {}", duplicate::explain(&text, at)));
            }
            let message = match error.message() {
                large if large.starts_with("invalid type: integer") => "the number is too large".to_owned(),
                message => message.replace('\n', ", "),
            };
            ConfigError::new(format!("{shown}:{line}:{column}: {message}"))
        };
        let spans = DeTable::parse(&text).map_err(syntax)?;
        self.merged = toml::from_str(&text).map_err(syntax)?;
        let lines = Lines::of(text.as_bytes());
        self.file = format!("{shown}:");
        let position = |at: usize| format!("{shown}:{}", lines.number(at));
        note_table(&mut self.positions, "", spans.get_ref(), &position);
        Ok(())
    }

    /// Reads the variables, then the flags. Returns the problems of the variables.
    fn read_overrides(&mut self, sources: &Sources) -> Vec<Problem> {
        let problems = self.read_variables(&sources.variables);
        for flag in &sources.flags {
            self.set(flag.key, flag.value.clone(), flag.name);
        }
        problems
    }

    fn read_variables(&mut self, variables: &[(OsString, OsString)]) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut ours: Vec<_> =
            variables.iter().filter_map(|(name, value)| Some((name.to_str()?.strip_prefix(PREFIX)?, value))).collect();
        ours.sort();
        for (name, value) in ours {
            let mut key = name.to_lowercase().replace("__", ".");
            let value = value.to_str();
            if is_service_link(name, value.unwrap_or_default()) {
                continue;
            }
            let variable = format!("{PREFIX}{name}");
            let text = value.ok_or_else(|| Problem::new(&key, "not UTF-8"));
            let parsed = match IN_FILES.into_iter().find(|secret| key.strip_suffix("_file") == Some(secret)) {
                Some(secret) => {
                    secret.clone_into(&mut key);
                    text.and_then(|path| self.secret_in_file(secret, path))
                }
                None => text.and_then(|text| read::variable(&key, text)),
            };
            match parsed {
                Ok(value) => self.set(&key, value, &variable),
                Err(problem) => {
                    let meant = problem.is_unknown().then(|| nearest::variable(name)).flatten();
                    let problem = match meant {
                        Some(meant) if name.contains("__") => {
                            problem.with_text(format!("did you mean {PREFIX}{meant}?"))
                        }
                        Some(meant) => problem.with_text(format!(
                            "did you mean {PREFIX}{meant}, with two underscores between section and key?"
                        )),
                        None => problem,
                    };
                    problems.push(problem.at(variable));
                }
            }
        }
        problems
    }

    /// The secret `key` in a file, without the line end after it.
    fn secret_in_file(&self, key: &str, path: &str) -> Result<Value, Problem> {
        if let Some(other) = self.positions.get(key).filter(|position| !self.is_in_file(position)) {
            return Err(Problem::new(key, format!("{other} is set too; set only one of them")));
        }
        let bytes = read_bounded(Path::new(path), SECRET_FILE_MAX)
            .map_err(|error| Problem::new(key, format!("{path}: cannot be read: {error}")))?;
        match String::from_utf8(bytes) {
            Ok(text) if text.len() <= SECRET_FILE_MAX => Ok(text.trim_end_matches(['\r', '\n']).into()),
            Ok(_) => Err(Problem::new(key, format!("{path}: is longer than {SECRET_FILE_MAX} bytes"))),
            Err(_) => Err(Problem::new(key, format!("{path}: not UTF-8"))),
        }
    }

    fn is_in_file(&self, position: &str) -> bool {
        !self.file.is_empty() && position.starts_with(&self.file)
    }

    /// Sets a dotted key, and replaces earlier values of it and of its parts.
    fn set(&mut self, key: &str, value: Value, position: &str) {
        let mut table = &mut self.merged;
        let mut parts = key.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                table.insert(part.to_owned(), value);
                break;
            }
            let section = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
            // The file has a plain value in place of a section. The typed read reports this error.
            let Value::Table(section) = section else {
                return;
            };
            table = section;
        }
        let earlier = self.positions.get(key).filter(|earlier| self.is_in_file(earlier));
        self.overridden.extend(earlier.map(|earlier| format!("{key}: {position} overrides {earlier}")));
        self.positions.retain(|held, _| !(held.starts_with(key) && held[key.len()..].starts_with(['.', '['])));
        self.positions.insert(key.to_owned(), position.to_owned());
    }

    /// The line for a problem. It names the position of the key, else of the contradicted key, else of the enclosing
    /// section.
    fn describe(&self, problem: &Problem) -> String {
        let text = problem.text.replace(['\n', '\r'], " ");
        let position = problem
            .position
            .as_ref()
            .or_else(|| self.positions.get(&problem.key))
            .or_else(|| self.positions.get(problem.about?))
            .or_else(|| enclosing(&problem.key).find_map(|key| self.positions.get(key)));
        match position {
            Some(position) => format!("{position}: {}: {text}", problem.key),
            None => format!("{}: {text}", problem.key),
        }
    }
}

/// `a.b[0].c` → `a.b[0]`, `a.b`, `a`.
fn enclosing(key: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(key), |key| key.rfind(['.', '[']).map(|at| &key[..at])).skip(1)
}

/// The bytes of a file, at most one more than `most`.
fn read_bounded(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether an orchestrator set this variable for a service named `hubbub`. Kubernetes does so in every pod of the
/// namespace: `HUBBUB_SERVICE_HOST`, `HUBBUB_PORT=tcp://10.0.0.1:8081`, `HUBBUB_PORT_8081_TCP_ADDR`.
fn is_service_link(name: &str, value: &str) -> bool {
    let has_protocol = ["tcp://", "udp://", "sctp://"].iter().any(|protocol| value.starts_with(protocol));
    let is_detail = ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| name.contains(protocol) && name.contains("PORT_"));
    let is_service = name.ends_with("SERVICE_HOST") || name.contains("SERVICE_PORT");
    !name.contains("__") && (is_service || is_detail || (name.ends_with("PORT") && has_protocol))
}

#[cfg(test)]
mod tests;
