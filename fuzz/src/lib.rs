//! Properties of the code that handles input from outside. Each target takes any bytes and panics when a property is
//! violated. libFuzzer calls the targets; the test `fuzz` calls them with the seeds and some mutations in every run.

mod address;
mod assembler;
mod claims;
mod cursors;
mod envelope;
mod http;
mod in_process;
mod json_text;
mod key_sets;
mod names;
mod origin;
mod sessions;
#[path = "../../benches/in_process/settings.rs"]
mod settings;
mod socketio;
mod stored;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// A fuzz target.
#[derive(Clone, Copy)]
pub struct FuzzTarget {
    /// Its name, also of its binary and of its folder of seeds.
    pub name: &'static str,
    /// Checks the properties for these bytes.
    pub check: fn(&[u8]),
    /// The mutations of its seeds in a test run, which takes about a second.
    pub mutations: usize,
}

const fn target(name: &'static str, check: fn(&[u8]), mutations: usize) -> FuzzTarget {
    FuzzTarget { name, check, mutations }
}

/// All targets.
pub const TARGETS: [FuzzTarget; 17] = [
    target("engine_decode", socketio::engine_decode, 10_000),
    target("engine_polling_body", socketio::engine_polling_body, 10_000),
    target("socket_decode", socketio::socket_decode, 10_000),
    target("socket_binary", socketio::socket_binary, 10_000),
    target("http_head", http::http_head, 4_000),
    target("http_body", http::http_body, 4_000),
    target("raw_assembler", assembler::raw_assembler, 4_000),
    target("raw_envelope", envelope::raw_envelope, 10_000),
    target("json_text", json_text::json_text, 10_000),
    target("names", names::names, 10_000),
    target("claims", claims::claims, 4_000),
    target("client_address", address::client_address, 10_000),
    target("origins", origin::origins, 10_000),
    target("cursors", cursors::cursors, 10_000),
    target("key_sets", key_sets::key_sets, 1_000),
    target("stored_records", stored::stored_records, 100),
    target("sessions", sessions::sessions, 100),
];

/// Runs the target of this name.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of that name");
    (target.check)(bytes);
}

/// The output of a future that is ready at its first poll.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future is pending"),
    }
}

/// Splits an input at line breaks; the last part has the rest.
fn lines<const N: usize>(bytes: &[u8]) -> [&[u8]; N] {
    let mut parts = bytes.splitn(N, |&byte| byte == b'\n');
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}
