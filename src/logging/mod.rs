//! The log of the process: its filter, its format, and its output.
//!
//! The only module that knows `env_logger`. A line has a message and fields (`log::info!(code = fault.code; "...")`): `text`
//! prints the fields after the message as `name=value`, `json` as members of an object; see [`line`](mod@line). The filter can
//! change while the hub runs; the format cannot. Lines go to a bounded [`queue`], which a separate thread writes to standard
//! error, so that a slow reader never blocks the hub.

mod line;
mod panics;
pub mod periodic;
mod queue;

use std::env;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, SystemTime};

use log::kv::Source;
use log::{Level, LevelFilter, Log, Metadata, Record};
use serde::{Deserialize, Serialize};

use self::queue::LineQueue;
pub use self::queue::QueueCounts;

/// The format of a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Time, level, module, message, and fields as `name=value`.
    Text,
    /// A JSON object a line: `time`, `level`, `target`, `message`, and the fields by their names.
    Json,
}

/// The default level of other crates.
const OTHERS: LevelFilter = LevelFilter::Warn;

/// The environment variable that overrides `log.level`.
const VARIABLE: &str = "RUST_LOG";

/// The target of lines about the log itself.
const TARGET: &str = "hubbub::logging";

/// How long the end of the process waits for the log to be written.
const END_TIME: Duration = Duration::from_secs(1);

/// The lines of the process that wait to be written.
static QUEUE: LineQueue = LineQueue::new();

/// The format of lines, once the writer thread runs.
static WRITER: OnceLock<LogFormat> = OnceLock::new();

/// The logger of the process. A second hub in the same process uses the settings of the first.
static LOGGER: OnceLock<Swappable> = OnceLock::new();

/// A logger with a replaceable filter.
struct Swappable {
    format: LogFormat,
    current: RwLock<env_logger::Logger>,
}

/// Starts the log. Earlier lines are lost. Does nothing if the process has a logger.
///
/// # Errors
/// The system cannot start the writer thread.
pub fn start(format: LogFormat, level: &str) -> io::Result<()> {
    start_writer(format)?;
    let logger = LOGGER.get_or_init(|| Swappable { format, current: RwLock::new(build(format, &chosen(level))) });
    if log::set_logger(logger).is_ok() {
        log::set_max_level(logger.max_level());
        panics::install();
    }
    Ok(())
}

/// Starts the writer thread, unless the process has one.
fn start_writer(format: LogFormat) -> io::Result<()> {
    static STARTING: Mutex<()> = Mutex::new(());

    let _one = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if WRITER.get().is_some() {
        return Ok(());
    }
    // Not the standard library's handle: other users of that would wait for its lock.
    let mut sink: Box<dyn Write + Send> = match io::stderr().as_fd().try_clone_to_owned() {
        Ok(descriptor) => Box::new(File::from(descriptor)),
        Err(_) => Box::new(io::stderr()),
    };
    let write = move || QUEUE.write_to(&mut *sink, &|dropped| dropped_notice(format, dropped));
    thread::Builder::new().name("log".into()).spawn(write)?;
    WRITER.get_or_init(|| format);
    Ok(())
}

/// The line about dropped lines; `None` if it is filtered out.
fn dropped_notice(format: LogFormat, dropped: u64) -> Option<String> {
    let text = format_args!("lines of the log were dropped because standard error was too slow");
    log::log_enabled!(target: TARGET, Level::Warn)
        .then(|| own_line(format, Level::Warn, TARGET, &[("dropped", dropped)], text))
}

/// A line that bypasses the filter.
fn own_line(
    format: LogFormat,
    level: Level,
    target: &str,
    fields: &dyn Source,
    text: std::fmt::Arguments<'_>,
) -> String {
    let mut record = Record::builder();
    record.level(level).target(target).key_values(&fields);
    line::write(format, SystemTime::now(), &record.args(text).build())
}

/// Prints a line regardless of the filter: `hubbub: ` and the line or, if the log is JSON, an object like all others. A process
/// without a log prints it at once and ignores a failure: the disk behind standard error may be full.
pub fn print(level: Level, text: &str) {
    const NO_FIELDS: &[(&str, u64)] = &[];

    match WRITER.get() {
        Some(LogFormat::Json) => {
            let line = own_line(LogFormat::Json, level, "hubbub", &NO_FIELDS, format_args!("{text}"));
            QUEUE.push(line.as_bytes());
        }
        Some(LogFormat::Text) => QUEUE.push(format!("hubbub: {}\n", text.replace(['\n', '\r'], " ")).as_bytes()),
        None => drop(writeln!(io::stderr(), "hubbub: {text}")),
    }
}

/// `text` of another program as one line for a terminal: control characters are escaped, and at most 4 KiB are kept.
pub fn escaped(text: &str) -> String {
    line::escaped(text)
}

/// Waits at the end of the process until the log is written, at most one second.
pub fn finish() {
    if WRITER.get().is_some() {
        QUEUE.wait_empty(END_TIME);
    }
}

/// The waiting and the dropped lines of the process.
pub fn counts() -> QueueCounts {
    QUEUE.counts()
}

/// Changes the filter to `level`, unless `RUST_LOG` is set.
pub fn set_level(level: &str) {
    let Some(logger) = LOGGER.get() else { return };
    let next = build(logger.format, &chosen(level));
    *logger.current.write().unwrap_or_else(PoisonError::into_inner) = next;
    log::set_max_level(logger.max_level());
}

/// The filter for `level`, in env_logger's syntax. A single level applies to the hub; other crates log at most warnings.
///
/// # Errors
/// Why it is invalid.
pub fn filter(level: &str) -> Result<String, String> {
    let checked = env_filter::Builder::new().try_parse(level).map(|_| ()).map_err(|error| error.to_string());
    match level.parse::<LevelFilter>() {
        Ok(level) => {
            let others = level.min(OTHERS);
            Ok(format!("{others},hubbub={level},hubbub_actors={level},rustls_platform_verifier=off"))
        }
        Err(_) if level.trim().is_empty() => Err("expected a level such as info, got nothing".into()),
        Err(_) => checked.map(|()| level.to_owned()),
    }
}

/// Checks `log.level`. A single name that is no level is an error here: it is a mistyped level, and would silence the hub. In
/// `RUST_LOG` it is the name of a module.
///
/// # Errors
/// Why it is invalid.
pub fn check_level(level: &str) -> Result<(), String> {
    let directives = level.split('/').next().unwrap_or_default().split(',').map(str::trim);
    for word in directives.filter(|directive| !directive.is_empty() && !directive.contains('=')) {
        if word.parse::<LevelFilter>().is_err() {
            return Err(format!("expected error, warn, info, debug, trace, off or MODULE=LEVEL, got {word:?}"));
        }
    }
    filter(level).map(drop)
}

/// The filter: from `RUST_LOG` if it is set and valid, else from `level`.
fn chosen(level: &str) -> String {
    let variable = env::var(VARIABLE).ok().filter(|text| !text.is_empty());
    let variable = variable.and_then(|text| match filter(&text) {
        Ok(filter) => Some(filter),
        Err(why) => {
            print(Level::Warn, &format!("{VARIABLE} is ignored: {why}"));
            None
        }
    });
    variable.or_else(|| filter(level).ok()).unwrap_or_else(|| "info".to_owned())
}

fn build(format: LogFormat, filter: &str) -> env_logger::Logger {
    let mut builder = env_logger::Builder::new();
    builder.parse_filters(filter).target(env_logger::Target::Pipe(Box::new(ToQueue)));
    builder.format(move |out, record| out.write_all(line::write(format, SystemTime::now(), record).as_bytes()));
    builder.build()
}

/// The output of the logger: each write is one line.
struct ToQueue;

impl Write for ToQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        QUEUE.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Swappable {
    fn max_level(&self) -> LevelFilter {
        self.current.read().unwrap_or_else(PoisonError::into_inner).filter()
    }
}

impl Log for Swappable {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.current.read().unwrap_or_else(PoisonError::into_inner).enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let logger = self.current.read().unwrap_or_else(PoisonError::into_inner);
        // While the queue is full, a line is only counted and not formatted.
        if logger.matches(record) && !QUEUE.drop_when_full() {
            logger.log(record);
        }
    }

    fn flush(&self) {
        self.current.read().unwrap_or_else(PoisonError::into_inner).flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_level_applies_to_the_hub_and_a_list_is_used_unchanged() {
        assert_eq!(filter("debug").unwrap(), "WARN,hubbub=DEBUG,hubbub_actors=DEBUG,rustls_platform_verifier=off");
        assert_eq!(filter("error").unwrap(), "ERROR,hubbub=ERROR,hubbub_actors=ERROR,rustls_platform_verifier=off");
        assert_eq!(filter("info,hubbub::refused=off").unwrap(), "info,hubbub::refused=off");
        for wrong in ["", " ", "info,hubbub=loud"] {
            filter(wrong).unwrap_err();
        }
    }

    #[test]
    fn a_mistyped_level_is_not_taken_for_a_module() {
        for right in ["info", "OFF", "warn,hubbub=debug", "hubbub::http=trace/GET"] {
            check_level(right).unwrap();
        }
        for wrong in ["loud", "info,hubbub", "debug2", ""] {
            check_level(wrong).unwrap_err();
        }
    }
}
