//! The binary: all of it is in the library.

use std::process::ExitCode;

/// Returns freed memory to the system after 10 s, whether or not the hub is busy then.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    hubbub::cli::run()
}
