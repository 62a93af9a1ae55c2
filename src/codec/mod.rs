//! Wire formats: pure codecs between bytes and typed messages. No I/O, no actor.

use std::borrow::Cow;

use bytestring::ByteString;
use serde_json::value::RawValue;

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

/// The text of the JSON string `json`, a part of `message`: a slice of it unless escapes were resolved.
fn text_in(message: &ByteString, json: &RawValue) -> serde_json::Result<ByteString> {
    /// A plain `Cow` would always copy.
    #[derive(serde::Deserialize)]
    struct BorrowedText<'a>(#[serde(borrow)] Cow<'a, str>);

    let BorrowedText(text) = serde_json::from_str(json.get())?;
    Ok(match text {
        Cow::Borrowed(text) => message.slice_ref(text),
        Cow::Owned(text) => text.into(),
    })
}
