//! Panics go into the log: the hook that a process begins with writes to standard error and waits for its reader.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;

/// What lines of panics are logged under.
const TARGET: &str = "hubbub::panic";

/// Has every panic of the process logged from now on.
pub(super) fn install() {
    panic::set_hook(Box::new(log_panic));
}

/// Logs where a panic happened. Of its words only those that stand in the source: others may hold what a client sent.
/// With `RUST_BACKTRACE` set, the backtrace follows, a line each.
fn log_panic(info: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let location = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let reason = info.payload().downcast_ref::<&'static str>().copied();
    log::error!(target: TARGET, thread = thread.name(), reason; "panicked at {location}");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        for frame in backtrace.to_string().lines() {
            log::error!(target: TARGET, "{frame}");
        }
    }
}
