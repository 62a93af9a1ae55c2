//! Normalizes JSON text from clients and backends before the hub counts, stores or sends it.
//!
//! Recipients may parse JSON with any library. A sender's text is therefore treated in two ways:
//!
//! * [`resolve`], wherever text enters the hub, removes the escapes that JSON does not need. `\u00e9` becomes `é`, so a
//!   limit means the same for every language. Half of a surrogate pair becomes U+FFFD, because many parsers reject the
//!   whole message for it.
//! * [`check_members`] and [`check_value`], for text that may be sent on, reject values that many parsers cannot
//!   represent: arrays and objects nested more than [`DEPTH_MAX`] levels deep, and numbers beyond the range of a
//!   double.
//!
//! Text without a backslash is not copied. This module builds no values and knows no events.

use std::borrow::Cow;

use bytes::Bytes;
use bytestring::ByteString;
use memchr::{memchr, memchr2};

use super::json::is_json;
use crate::model::fault::Fault;

/// Deepest nesting of arrays and objects in a sender's text. Many clients parse recursively; the bound keeps a sender
/// from overflowing their stacks.
pub const DEPTH_MAX: usize = 128;

/// Longest path to a field in an error message, in characters.
const PATH_MAX: usize = 200;

/// A number with fewer digits is within a double's range unless it has an exponent.
const SAFE_DIGITS: usize = 308;

/// Rewrites `text` with only the escapes that JSON needs: `\"`, `\\` and the escapes of U+0000 to U+001F. Half of a
/// surrogate pair becomes U+FFFD. The result is never longer, and a second call changes nothing. Text that is not JSON
/// stays the same.
pub fn resolve(text: Bytes) -> Bytes {
    match resolved(&text) {
        // Only rewritten text is validated here; the later parser validates all text.
        Some(resolved) if is_json(&text) => resolved.into(),
        _ => text,
    }
}

/// As [`resolve`], for text that is known to be UTF-8.
pub fn resolve_str(text: ByteString) -> ByteString {
    match resolved(text.as_bytes()) {
        Some(resolved) if is_json(text.as_bytes()) => String::from_utf8(resolved).map_or(text, ByteString::from),
        _ => text,
    }
}

/// The text `json` without unneeded escapes; `None` if it has none. The result for text that is not JSON is
/// meaningless.
fn resolved(json: &[u8]) -> Option<Vec<u8>> {
    let (mut written, mut copied, mut at) = (Vec::new(), 0, 0);
    // In JSON, a backslash begins an escape wherever it occurs.
    while let Some(found) = json.get(at..).and_then(|rest| memchr(b'\\', rest)) {
        let start = at + found;
        let (char, length) = unescape(&json[start..]);
        at = (start + length).min(json.len());
        let mut buffer = [0; 6];
        let needed = escape(char, &mut buffer);
        if json.get(start..at) == Some(needed) {
            continue;
        }
        if written.is_empty() {
            written.reserve_exact(json.len());
        }
        written.extend_from_slice(&json[copied..start]);
        written.extend_from_slice(needed);
        copied = at;
    }
    if copied == 0 {
        return None;
    }
    written.extend_from_slice(&json[copied..]);
    Some(written)
}

/// The character of the escape at the front of `text`, and the length of the escape in bytes.
fn unescape(text: &[u8]) -> (char, usize) {
    let char = match text.get(1) {
        Some(b'u') => return unescape_hex(text),
        Some(b'b') => '\u{8}',
        Some(b't') => '\t',
        Some(b'n') => '\n',
        Some(b'f') => '\u{c}',
        Some(b'r') => '\r',
        Some(&byte) => char::from(byte),
        None => return (char::REPLACEMENT_CHARACTER, 1),
    };
    (char, 2)
}

/// As [`unescape`], for `\uXXXX` and for a surrogate pair of two such escapes.
fn unescape_hex(text: &[u8]) -> (char, usize) {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let units = [unit(0), unit(6)];
    match char::decode_utf16(units.into_iter().map_while(|unit| unit)).next() {
        Some(Ok(char)) => (char, 6 * char.len_utf16()),
        Some(Err(_)) | None => (char::REPLACEMENT_CHARACTER, 6),
    }
}

/// The character for a JSON string: unchanged, or as an escape where JSON needs it.
fn escape(char: char, buffer: &mut [u8; 6]) -> &[u8] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match char {
        '"' | '\\' => char as u8,
        '\u{8}' => b'b',
        '\t' => b't',
        '\n' => b'n',
        '\u{c}' => b'f',
        '\r' => b'r',
        '\0'..='\u{1f}' => {
            let code = char as usize;
            *buffer = [b'\\', b'u', b'0', b'0', HEX[code >> 4], HEX[code & 15]];
            return buffer;
        }
        _ => return char.encode_utf8(buffer).as_bytes(),
    };
    [buffer[0], buffer[1]] = [b'\\', short];
    &buffer[..2]
}

/// Checks that recipients can represent the value of the JSON text `text`. The error names an invalid part by its path,
/// such as `topics[3]`, and the whole value by `whole`.
///
/// # Errors
/// [`crate::model::fault::Code::InvalidRequest`] naming the field: it is nested more than [`DEPTH_MAX`] levels deep, or
/// it is a number beyond the range of a double.
pub fn check_members(text: &[u8], whole: &str) -> Result<(), Fault> {
    scan(text).map_err(|invalid| invalid.fault(text, whole, false))
}

/// As [`check_members`], for the value of the field `field`. The path of an invalid part starts with the field, such as
/// `data.items[3]`.
///
/// # Errors
/// As [`check_members`].
pub fn check_value(text: &[u8], field: &str) -> Result<(), Fault> {
    scan(text).map_err(|invalid| invalid.fault(text, field, true))
}

/// A value that recipients may be unable to represent.
#[derive(Debug, PartialEq, Eq)]
enum InvalidValue {
    Deep,
    /// A number, by its byte position in the text.
    Number(usize),
}

impl InvalidValue {
    fn fault(self, text: &[u8], whole: &str, is_prefixed: bool) -> Fault {
        let Self::Number(at) = self else {
            return Fault::field(whole, format!("`{whole}` is nested more than {DEPTH_MAX} levels deep"));
        };
        let path = path_to(text, at);
        let field = match (path.is_empty(), is_prefixed) {
            (true, _) => whole.to_owned(),
            (false, true) if path.starts_with('[') => format!("{whole}{path}"),
            (false, true) => format!("{whole}.{path}"),
            (false, false) => path,
        };
        let field: String = field.chars().take(PATH_MAX).collect();
        let words = format!("`{field}`: a number beyond the range of a double");
        Fault::field(field, words)
    }
}

/// Checks every bracket and number outside strings.
fn scan(text: &[u8]) -> Result<(), InvalidValue> {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => at += string_length(&text[at..]),
            b'[' | b'{' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(InvalidValue::Deep);
                }
                at += 1;
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let number = number_at(&text[at..]);
                if !is_within_range(number) {
                    return Err(InvalidValue::Number(at));
                }
                at += number.len();
            }
            _ => at += 1,
        }
    }
    Ok(())
}

/// The length of the string at the front of `text`, its quotes included; all of `text` if the string has no end.
fn string_length(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = text.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if text[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

/// The number at the front of `text`.
fn number_at(text: &[u8]) -> &[u8] {
    let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    &text[..text.iter().take_while(is_part).count()]
}

fn is_within_range(number: &[u8]) -> bool {
    if number.len() <= SAFE_DIGITS && !number.iter().any(|byte| matches!(byte, b'e' | b'E')) {
        return true;
    }
    let parsed = std::str::from_utf8(number).ok().and_then(|number| number.parse::<f64>().ok());
    parsed.is_some_and(f64::is_finite)
}

/// An array or object around a position in JSON text.
enum Around<'a> {
    /// The number of items before the position.
    Array(usize),
    /// The last key, with its quotes, and whether another key comes next.
    Object(&'a [u8], bool),
}

/// The path to the value at `target` in the JSON text `text`: `a.b[3]`, empty for the whole value.
fn path_to(text: &[u8], target: usize) -> String {
    let (mut around, mut at) = (Vec::new(), 0);
    while at < target {
        let mut length = 1;
        match (text[at], around.last_mut()) {
            (b'"', top) => {
                length = string_length(&text[at..]);
                if let Some(Around::Object(key, true)) = top {
                    *key = text.get(at..at + length).unwrap_or_default();
                }
            }
            (b'{', _) => around.push(Around::Object(b"", true)),
            (b'[', _) => around.push(Around::Array(0)),
            (b'}' | b']', _) => drop(around.pop()),
            (b':', Some(Around::Object(_, is_key_next))) => *is_key_next = false,
            (b',', Some(Around::Object(_, is_key_next))) => *is_key_next = true,
            (b',', Some(Around::Array(index))) => *index += 1,
            _ => {}
        }
        at += length;
    }
    let mut path = String::new();
    for step in around {
        match step {
            Around::Array(index) => path.push_str(&format!("[{index}]")),
            Around::Object(key, _) => {
                let key = serde_json::from_slice(key).map_or_else(|_| String::from_utf8_lossy(key), Cow::<str>::Owned);
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&key);
            }
        }
        // The error message has at most this much of the path; keys can be long.
        if path.chars().nth(PATH_MAX).is_some() {
            break;
        }
    }
    path
}

#[cfg(test)]
mod tests;
