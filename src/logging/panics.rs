//! Writes panics into the log. The default hook writes to standard error and blocks if nothing reads it.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;

/// The target of lines about panics.
const TARGET: &str = "hubbub::panic";

/// Logs every panic of the process from now on.
pub(super) fn install() {
    panic::set_hook(Box::new(log_panic));
}

/// Logs the location of a panic. Its message is logged only if it is a literal: a formatted one may contain data of a client.
/// With `RUST_BACKTRACE`, each frame of the backtrace follows as a line.
fn log_panic(info: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let location = info.location().map_or_else(|| "an unknown location".to_owned(), ToString::to_string);
    let reason = info.payload().downcast_ref::<&'static str>().copied();
    log::error!(target: TARGET, thread = thread.name(), reason; "panicked at {location}");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        for frame in backtrace.to_string().lines() {
            log::error!(target: TARGET, "{frame}");
        }
    }
}
