//! Writes one log line for each refusal, at a bounded rate. The line has the client, the request, an id to find the
//! refusal by, and the rule that decided.
//!
//! [`rate`] limits the lines, [`counts`] counts refusals for the metrics, [`closes`] maps close reasons to refusals,
//! and [`hidden`] removes secrets. Lines have the log target [`TARGET`]. They have no token, no key and no payload: for
//! a malformed value, a line has the expected type and not the value.

pub mod closes;
pub mod counts;
mod hidden;
pub mod rate;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use log::Level;
use log::kv::Value;

use self::hidden::{without_query, without_tokens, without_values};
use self::rate::{Omitted, Rate, RefusalSource};
use crate::model::client::limit_key;
use crate::model::fault::{Code, Fault};
use crate::runtime::clock::Clock;
use crate::runtime::counters::Stats;
use crate::runtime::log_line::{self, Field};

/// The log target of the lines.
pub const TARGET: &str = "hubbub::refused";

/// Longest path, reason, and other text in a line, in bytes.
const PATH_MAX: usize = 256;
const REASON_MAX: usize = 256;
const TEXT_MAX: usize = 200;

/// A refusal, as it is logged. The line omits unknown fields.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// The fault.
    pub fault: &'a Fault,
    /// The code that the caller receives; by default the code of `fault`.
    pub code: &'static str,
    /// The surface: `raw`, `socket.io`, `/`, `/chat` or `http`.
    pub surface: &'a str,
    /// The `X-Request-Id` of an HTTP request, or the `requestId` of a `client:*` event.
    pub request: Option<&'a str>,
    /// The id of the session, or of a connection without a session.
    pub connection: Option<&'a str>,
    /// The client's address, behind trusted proxies.
    pub address: Option<IpAddr>,
    /// The user.
    pub user: Option<&'a str>,
    /// The name of the API key.
    pub key: Option<&'a str>,
    /// The method and the path of an HTTP request, without its query.
    pub target: Option<(&'a str, &'a str)>,
    /// The header that was refused: `origin` or `host`, and its value.
    pub header: Option<(&'static str, &'a str)>,
    /// The index of the command in a batch, from 0.
    pub item: Option<usize>,
    /// The requested event.
    pub event: Option<&'a str>,
    /// The room of a refused join.
    pub room: Option<&'a str>,
    /// The close code of the connection.
    pub close: Option<u16>,
}

impl<'a> Refusal<'a> {
    /// A refusal with only a surface and a fault.
    pub fn new(surface: &'a str, fault: &'a Fault) -> Self {
        Self {
            fault,
            code: fault.code.as_str(),
            surface,
            request: None,
            connection: None,
            address: None,
            user: None,
            key: None,
            target: None,
            header: fault.header(),
            item: None,
            event: None,
            room: None,
            close: None,
        }
    }

    /// The source that its rate limit applies to: the address, else the user, else the connection.
    fn source(&self) -> RefusalSource {
        match (self.address, self.user.or(self.connection)) {
            (Some(ip), _) => RefusalSource::Address(limit_key(ip)),
            (None, Some(name)) => RefusalSource::named(name),
            (None, None) => RefusalSource::Others,
        }
    }

    fn fields(&self, reason: &'a str) -> Vec<Field<'_>> {
        let text = |name, value: Option<&'a str>| Some((name, Value::from(truncate(value?, TEXT_MAX))));
        let number = |name, value: Option<u64>| Some((name, Value::from(value?)));
        let (method, path) = self.target.unzip();
        let path = path.map(|path| truncate(path, PATH_MAX));
        let all = [
            text("requestId", self.request),
            text("connection", self.connection),
            text("surface", Some(self.surface)),
            self.address.as_ref().map(|address| ("address", Value::from_display(address))),
            text("user", self.user.or(self.fault.user())),
            text("key", self.key),
            text("method", method),
            path.map(|path| ("path", Value::from(path))),
            self.header.and_then(|(name, value)| text(name, Some(value))),
            number("item", self.item.map(|item| item as u64)),
            text("event", self.event),
            text("room", self.room),
            number("close", self.close.map(u64::from)),
            text("code", Some(self.code)),
            Some(("reason", Value::from(reason))),
            self.fault.rule().map(|rule| ("rule", Value::from(rule))),
            text("cause", self.fault.cause()),
        ];
        all.into_iter().flatten().collect()
    }

    fn write(&self) {
        let message = without_values(&self.fault.message);
        let reason = without_tokens(truncate(&message, REASON_MAX));
        let shown = |text: Option<&'a str>| text.map(|text| without_tokens(truncate(text, TEXT_MAX)));
        let (event, room) = (shown(self.event), shown(self.room));
        let header = self.header.map(|(name, value)| (name, shown(Some(value)).unwrap_or_default()));
        let target =
            self.target.map(|(method, path)| (method, without_tokens(truncate(without_query(path), PATH_MAX))));
        let target = target.as_ref().map(|(method, path)| (*method, &**path));
        let header = header.as_ref().map(|(name, value)| (*name, &**value));
        let refusal = Refusal { event: event.as_deref(), room: room.as_deref(), header, target, ..*self };
        log_line::write(level(self.fault.code), TARGET, "refused", &refusal.fields(&reason));
    }
}

/// Writes refusals, at most [`rate::PER_SOURCE`] lines a minute for each source. It counts the omitted lines, and logs
/// their number once a minute for each source.
#[derive(Debug)]
pub struct RefusalLog {
    rate: Mutex<Rate>,
    clock: Clock,
    stats: Arc<Stats>,
}

impl RefusalLog {
    /// A log without refusals.
    pub fn new(clock: Clock, stats: Arc<Stats>) -> Self {
        Self { rate: Mutex::new(Rate::new(clock.elapsed_ms())), clock, stats }
    }

    /// Counts a refusal, and logs it if the rate limit allows it.
    pub fn log(&self, refusal: &Refusal<'_>) {
        self.stats.refusals.count(refusal.fault.code);
        if !log::log_enabled!(target: TARGET, level(refusal.fault.code)) {
            return;
        }
        let (source, now) = (refusal.source(), self.clock.elapsed_ms());
        let (is_logged, omitted) = self.rate().count(source, now);
        if let Some(omitted) = omitted {
            log_omitted(&omitted);
        }
        if is_logged {
            refusal.write();
        } else {
            self.stats.refusals_unlogged.add(1);
        }
    }

    /// Logs the number of lines that ended windows omitted. Call it periodically.
    pub fn sweep(&self) {
        let omitted = self.rate().sweep(self.clock.elapsed_ms());
        omitted.iter().for_each(log_omitted);
    }

    /// Logs the number of all omitted lines, at shutdown.
    pub fn finish(&self) {
        let omitted = self.rate().finish();
        omitted.iter().for_each(log_omitted);
    }

    fn rate(&self) -> MutexGuard<'_, Rate> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log_omitted(omitted: &Omitted) {
    let Omitted { source, count } = omitted;
    // When the log has no info lines, every counted refusal is a warning.
    let level = if log::log_enabled!(target: TARGET, Level::Info) { Level::Info } else { Level::Warn };
    log::log!(target: TARGET, level, omitted = *count, address:% = source; "refusals left out");
}

/// Info for a refusal that the caller can fix; warn for a refusal that the operator must fix.
const fn level(code: Code) -> Level {
    match code {
        Code::AuthUnavailable | Code::Overloaded | Code::StoreUnavailable | Code::OutcomeUnknown | Code::Internal => {
            Level::Warn
        }
        _ => Level::Info,
    }
}

/// The start of `text`: whole characters, at most `most` bytes.
fn truncate(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_line_has_the_known_fields_at_a_bounded_length() {
        let fault = Fault::field("topic", "x".repeat(1_000)).by("topics \"news.*\" subscribe");
        let long = "é".repeat(500);
        let refusal = Refusal {
            request: Some("r-1"),
            address: "203.0.113.7".parse().ok(),
            target: Some(("POST", &long)),
            item: Some(3),
            ..Refusal::new("http", &fault)
        };
        let fields = refusal.fields(truncate(&fault.message, REASON_MAX));
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.to_string())).collect();
        let expected = [
            ("requestId", "r-1"),
            ("surface", "http"),
            ("address", "203.0.113.7"),
            ("method", "POST"),
            ("path", &"é".repeat(PATH_MAX / 2)),
            ("item", "3"),
            ("code", "INVALID_REQUEST"),
            ("reason", &"x".repeat(REASON_MAX)),
            ("rule", "topics \"news.*\" subscribe"),
        ];
        assert_eq!(fields, expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn a_source_is_an_address_or_else_a_user_or_else_a_connection() {
        let fault = Fault::internal();
        let bare = Refusal::new("raw", &fault);
        let connection = Refusal { connection: Some("c"), ..bare };
        let user = Refusal { user: Some("u"), ..connection };
        let address = Refusal { address: "2001:db8::7".parse().ok(), ..user };
        let sources = [bare, connection, user, address].map(|refusal| refusal.source().to_string());
        assert_eq!(sources, ["others", "c", "u", "2001:db8::"]);
    }

    /// Stores the lines of [`TARGET`] as text.
    struct CapturedLines(Mutex<Vec<String>>, AtomicBool);

    /// The stored lines, and whether info lines are dropped.
    static CAPTURED: CapturedLines = CapturedLines(Mutex::new(Vec::new()), AtomicBool::new(false));

    impl log::Log for CapturedLines {
        fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
            metadata.target() == TARGET && (metadata.level() < Level::Info || !self.1.load(Ordering::Relaxed))
        }

        fn log(&self, record: &log::Record<'_>) {
            struct Text(String);

            impl<'kvs> log::kv::VisitSource<'kvs> for Text {
                fn visit_pair(&mut self, key: log::kv::Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
                    self.0.push_str(&format!(" {key}={value}"));
                    Ok(())
                }
            }

            let mut text = Text(format!("{} {}", record.level(), record.args()));
            record.key_values().visit(&mut text).unwrap();
            self.0.lock().unwrap().push(text.0);
        }

        fn flush(&self) {}
    }

    #[test]
    fn a_flood_logs_60_lines_and_then_the_number_of_omitted_lines() {
        // Other tests of this process may log; the address identifies the lines of this test.
        const ADDRESS: &str = "address=198.51.100.60";
        if log::set_logger(&CAPTURED).is_ok() {
            log::set_max_level(log::LevelFilter::Info);
        }
        let lines = || {
            let lines = CAPTURED.0.lock().unwrap();
            lines.iter().filter(|line| line.contains(ADDRESS)).cloned().collect::<Vec<_>>()
        };
        let (clock, stats) = (Clock::manual(0), Arc::new(Stats::default()));
        let log = RefusalLog::new(clock.clone(), stats.clone());
        let fault = Fault::rate_limited(1).by("limits.raw.messages_per_minute");
        let refusal = Refusal { address: "198.51.100.60".parse().ok(), ..Refusal::new("raw", &fault) };
        (0..70).for_each(|_| log.log(&refusal));
        let line = "INFO refused surface=raw address=198.51.100.60 code=RATE_LIMITED reason=Rate limit exceeded \
                    rule=limits.raw.messages_per_minute";
        assert_eq!(lines(), vec![line; 60]);
        let counted: Vec<_> = stats.refusals.iter().filter(|&(_, count)| count > 0).collect();
        assert_eq!(counted, [("RATE_LIMITED", 70)]);
        assert_eq!(stats.refusals_unlogged.get(), 10);
        log.sweep();
        assert_eq!(lines().len(), 60, "the minute is not over");
        clock.advance(rate::WINDOW_MS);
        log.sweep();
        log.sweep();
        log.finish();
        let omitted = "INFO refusals left out omitted=10 address=198.51.100.60";
        assert_eq!(lines().get(60..), Some(&[omitted.to_owned()][..]));
        log.log(&Refusal { fault: &Fault::internal().caused_by("the actor presence ended"), ..refusal });
        assert!(lines().last().unwrap().starts_with("WARN refused surface=raw"));
        assert!(lines().last().unwrap().ends_with("reason=Internal error cause=the actor presence ended"));
        const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.c2lnbmF0dXJl";
        let fault = Fault::field(
            "a",
            format!("`{TOKEN}`: invalid type: string \", expected {}\", expected a", TOKEN.repeat(9)),
        );
        let (event, room, target) = (Some(TOKEN), Some(TOKEN), Some(("GET", "/a/eyJhbGciOiJIUzI1NiJ9%3Fkey=s3cret")));
        log.log(&Refusal { event, room, target, address: refusal.address, ..Refusal::new("raw", &fault) });
        let line = "INFO refused surface=raw address=198.51.100.60 method=GET path=/a/[token] event=[token] room=[token] \
                    code=INVALID_REQUEST reason=`[token]`: invalid type, expected a";
        assert_eq!(lines().last().unwrap(), line);
        CAPTURED.1.store(true, Ordering::Relaxed);
        let fault = Fault::internal();
        (0..70).for_each(|_| log.log(&Refusal { fault: &fault, ..refusal }));
        log.finish();
        CAPTURED.1.store(false, Ordering::Relaxed);
        assert_eq!(lines().last().unwrap(), "WARN refusals left out omitted=12 address=198.51.100.60");
    }
}
