//! Wire formats: pure codecs between bytes and typed messages. No I/O, no actor.

pub mod engineio;
pub mod frame;
pub mod namespace;
pub mod raw;
pub mod socketio;

/// The JSON string of a text.
fn quoted(text: &str) -> String {
    // No text fails.
    serde_json::to_string(text).unwrap_or_default()
}
