//! What must hold of what comes from outside, whatever the bytes. Each target takes any bytes and panics when something does
//! not hold; libFuzzer calls it, and the test `fuzz` does so with the seeds and some mutations of them in every run.

mod address;
mod assembler;
mod claims;
mod cursors;
mod envelope;
mod http;
mod inside;
mod json_text;
mod key_sets;
mod names;
mod origin;
mod sessions;
#[path = "../../benches/inside/settings.rs"]
mod settings;
mod socketio;
mod stored;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Something that takes bytes from outside, and what is checked of it.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: that of its binary and of its folder of seeds.
    pub name: &'static str,
    /// Checks what must hold for these bytes.
    pub check: fn(&[u8]),
    /// Mutations of its seeds in a test run: so many that the run takes about a second.
    pub mutations: usize,
}

const fn target(name: &'static str, check: fn(&[u8]), mutations: usize) -> Target {
    Target { name, check, mutations }
}

/// All of them.
pub const TARGETS: [Target; 17] = [
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

/// Checks what must hold for these bytes.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of that name");
    (target.check)(bytes);
}

/// What a future resolves to that waits for nothing.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits for something"),
    }
}

/// The parts of an input that a line break separates; the last has the rest.
fn lines<const N: usize>(bytes: &[u8]) -> [&[u8]; N] {
    let mut parts = bytes.splitn(N, |&byte| byte == b'\n');
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}
