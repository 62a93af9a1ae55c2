//! The log of the process: what is logged, how a line looks, and where it goes.
//!
//! The only module that knows `env_logger`. A line has a message and fields (`log::info!(code = fault.code; "...")`):
//! `text` prints the fields behind the message as `name=value`, `json` prints them as members of the line's object.
//! What is logged can change while the hub runs; how a line looks cannot.

use std::env;
use std::io::{self, Write as _};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::SystemTime;

use env_logger::fmt::Formatter;
use log::kv::{self, Key, Value, VisitSource};
use log::{LevelFilter, Log, Metadata, Record};
use serde_json::Map;

use crate::config::{self, LogFormat};

/// What modules other than the hub's own log at most, unless they are named.
const OTHERS: LevelFilter = LevelFilter::Warn;

/// The variable that goes before `log.level`.
const VARIABLE: &str = "RUST_LOG";

/// The process's logger. There is one: a second hub in the same process logs with the first one's settings.
static LOGGER: OnceLock<Swappable> = OnceLock::new();

/// A logger that can be replaced by one with another filter.
struct Swappable {
    format: LogFormat,
    current: RwLock<env_logger::Logger>,
}

/// Starts to log. What is logged before is lost. Does nothing where the process has a logger.
pub fn start(log: &config::Log) {
    let logger = LOGGER
        .get_or_init(|| Swappable { format: log.format, current: RwLock::new(build(log.format, &chosen(&log.level))) });
    if log::set_logger(logger).is_ok() {
        log::set_max_level(logger.max_level());
    }
}

/// Changes what is logged to `level`, unless `RUST_LOG` chooses that.
pub fn set_level(level: &str) {
    let Some(logger) = LOGGER.get() else { return };
    let next = build(logger.format, &chosen(level));
    *logger.current.write().unwrap_or_else(PoisonError::into_inner) = next;
    log::set_max_level(logger.max_level());
}

/// The filter that `level` describes, in env_logger's syntax. A single level is that of the hub; other crates log
/// warnings and errors at most.
///
/// # Errors
/// What is wrong with it.
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

/// What is logged: by `RUST_LOG` where it is set to something that can be read, else by `level`.
fn chosen(level: &str) -> String {
    let variable = env::var(VARIABLE).ok().filter(|text| !text.is_empty());
    let variable = variable.and_then(|text| match filter(&text) {
        Ok(filter) => Some(filter),
        Err(why) => {
            eprintln!("hubbub: {VARIABLE} is ignored: {why}");
            None
        }
    });
    variable.or_else(|| filter(level).ok()).unwrap_or_else(|| "info".to_owned())
}

fn build(format: LogFormat, filter: &str) -> env_logger::Logger {
    let mut builder = env_logger::Builder::new();
    builder.parse_filters(filter).target(env_logger::Target::Stderr);
    match format {
        LogFormat::Text => builder.format_timestamp_millis(),
        LogFormat::Json => builder.format(json),
    };
    builder.build()
}

/// Writes a record as one JSON object and a line end.
fn json(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let mut fields = Fields(Map::new());
    fields.0.insert("time".into(), humantime::format_rfc3339_millis(SystemTime::now()).to_string().into());
    fields.0.insert("level".into(), record.level().as_str().into());
    fields.0.insert("target".into(), record.target().into());
    fields.0.insert("message".into(), record.args().to_string().into());
    record.key_values().visit(&mut fields).map_err(io::Error::other)?;
    serde_json::to_writer(&mut *out, &fields.0)?;
    out.write_all(b"\n")
}

/// The members of a line's object.
struct Fields(Map<String, serde_json::Value>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let value = match (value.to_u64(), value.to_i64(), value.to_f64(), value.to_bool()) {
            (Some(number), ..) => number.into(),
            (_, Some(number), ..) => number.into(),
            (_, _, Some(number), _) => number.into(),
            (.., Some(flag)) => flag.into(),
            _ => value.to_string().into(),
        };
        self.0.insert(key.to_string(), value);
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
        self.current.read().unwrap_or_else(PoisonError::into_inner).log(record);
    }

    fn flush(&self) {
        self.current.read().unwrap_or_else(PoisonError::into_inner).flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_level_is_that_of_the_hub_and_a_list_is_taken_as_it_is() {
        assert_eq!(filter("debug").unwrap(), "WARN,hubbub=DEBUG,hubbub_actors=DEBUG,rustls_platform_verifier=off");
        assert_eq!(filter("error").unwrap(), "ERROR,hubbub=ERROR,hubbub_actors=ERROR,rustls_platform_verifier=off");
        assert_eq!(filter("info,hubbub::refused=off").unwrap(), "info,hubbub::refused=off");
        for wrong in ["", " ", "info,hubbub=loud"] {
            filter(wrong).unwrap_err();
        }
    }
}
