//! Binary arguments in JSON text. Inside the hub, binary data is the object `{"$binary":"<base64>"}`; Socket.IO has
//! `{"_placeholder":true,"num":0}` instead and sends the data after the packet. A scan over valid JSON converts between
//! them. On invalid JSON the result is arbitrary, but nothing panics.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use memchr::{memchr2, memmem};

use super::{ATTACHMENTS_MAX, ILLEGAL_ATTACHMENTS, Malformed};

/// Replaces each placeholder in JSON text by its attachment. Attachments without a placeholder are dropped, as in
/// Socket.IO. Without attachments, the text is unchanged.
///
/// # Errors
/// A placeholder has no attachment, shares one with another placeholder, or has other members.
pub fn embed(json: Bytes, attachments: &[Bytes]) -> Result<Bytes, Malformed> {
    if attachments.is_empty() {
        return Ok(json);
    }
    let mut left: Vec<Option<&Bytes>> = attachments.iter().map(Some).collect();
    let encoded: usize = attachments.iter().map(|bytes| bytes.len().div_ceil(3) * 4).sum();
    let mut embedded = Vec::with_capacity(json.len() + encoded);
    let mut copied = 0;
    let mut scan = Scan { json: &json, at: 0 };
    while let Some(found) = scan.next() {
        match found {
            ScanHit::Object(start) => {
                let Some((number, end)) = placeholder(&json, start) else { continue };
                let bytes = left.get_mut(number).and_then(Option::take).ok_or(ILLEGAL_ATTACHMENTS)?;
                embedded.extend_from_slice(&json[copied..start]);
                embedded.extend_from_slice(b"{\"$binary\":\"");
                embedded.extend_from_slice(STANDARD.encode(bytes).as_bytes());
                embedded.extend_from_slice(b"\"}");
                copied = end;
                scan.at = end;
            }
            ScanHit::PlaceholderKey { is_true: true } => return Err(ILLEGAL_ATTACHMENTS),
            ScanHit::PlaceholderKey { .. } => {}
        }
    }
    embedded.extend_from_slice(&json[copied..]);
    Ok(embedded.into())
}

/// Moves binary data out of JSON text and leaves placeholders. At most [`ATTACHMENTS_MAX`] objects are moved; the rest
/// stays. An object counts as binary data only if `$binary`, without escapes, is its only key, and its value is padded
/// base64.
///
/// Text that already contains a possible placeholder is unchanged: a client would look for its attachment, and close
/// its connection when there is none.
pub fn extract(json: &[u8]) -> (Cow<'_, [u8]>, Vec<Bytes>) {
    let mut attachments = Vec::new();
    if memmem::find(json, b"\"$binary\"").is_none() {
        return (json.into(), attachments);
    }
    let mut extracted = Vec::new();
    let mut copied = 0;
    let mut scan = Scan { json, at: 0 };
    while let Some(found) = scan.next() {
        match found {
            ScanHit::Object(start) if attachments.len() < ATTACHMENTS_MAX => {
                let Some((bytes, end)) = binary(json, start) else { continue };
                extracted.extend_from_slice(&json[copied..start]);
                extracted
                    .extend_from_slice(format!("{{\"_placeholder\":true,\"num\":{}}}", attachments.len()).as_bytes());
                attachments.push(bytes);
                copied = end;
                scan.at = end;
            }
            ScanHit::Object(_) => {}
            ScanHit::PlaceholderKey { .. } => return (json.into(), Vec::new()),
        }
    }
    if attachments.is_empty() {
        return (json.into(), attachments);
    }
    extracted.extend_from_slice(&json[copied..]);
    (extracted.into(), attachments)
}

/// A position where a scan stops.
enum ScanHit {
    /// Start of an object.
    Object(usize),
    /// The key of a placeholder; some clients accept it even if its value is not `true`.
    PlaceholderKey { is_true: bool },
}

/// Scans JSON text for possible binary data and placeholders.
struct Scan<'a> {
    json: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn next(&mut self) -> Option<ScanHit> {
        loop {
            let start = self.at + memchr2(b'{', b'"', self.json.get(self.at..)?)?;
            if self.json[start] == b'{' {
                self.at = start + 1;
                return Some(ScanHit::Object(start));
            }
            let mut cursor = Cursor { json: self.json, at: start };
            let text = cursor.string()?;
            self.at = cursor.at;
            // A colon follows only a key.
            if cursor.byte(b':').is_some() && is_placeholder_key(text) {
                return Some(ScanHit::PlaceholderKey { is_true: cursor.word(b"true").is_some() });
            }
        }
    }
}

/// Whether the text between a string's quotes is `_placeholder`, possibly with escapes.
fn is_placeholder_key(spelled: &[u8]) -> bool {
    // A character takes at most six bytes.
    let spelled_otherwise = spelled.len() <= 12 * 6 && spelled.contains(&b'\\');
    spelled == b"_placeholder" || (spelled_otherwise && unescaped(spelled).as_deref() == Some("_placeholder"))
}

/// The value of a string with escapes, if they are valid.
fn unescaped(spelled: &[u8]) -> Option<String> {
    serde_json::from_slice(&[b"\"", spelled, b"\""].concat()).ok()
}

/// The placeholder at `start`: its attachment's number, and its end.
fn placeholder(json: &[u8], start: usize) -> Option<(usize, usize)> {
    let mut cursor = Cursor { json, at: start };
    cursor.byte(b'{')?;
    let mut number = None;
    let mut is_marked = false;
    for last in [false, true] {
        match cursor.key()? {
            b"_placeholder" if !is_marked => {
                cursor.word(b"true")?;
                is_marked = true;
            }
            b"num" if number.is_none() => number = Some(cursor.index()?),
            _ => return None,
        }
        cursor.byte(if last { b'}' } else { b',' })?;
    }
    Some((number?, cursor.at))
}

/// The binary data of the object at `start`, and its end.
fn binary(json: &[u8], start: usize) -> Option<(Bytes, usize)> {
    let mut cursor = Cursor { json, at: start };
    cursor.byte(b'{')?;
    if cursor.key()? != b"$binary" {
        return None;
    }
    let text = cursor.string()?;
    cursor.byte(b'}')?;
    // Some JSON writers escape every slash, which is a base64 character.
    let bytes = if text.contains(&b'\\') { STANDARD.decode(unescaped(text)?) } else { STANDARD.decode(text) };
    Some((bytes.ok()?.into(), cursor.at))
}

/// Reads JSON text token by token. `None`: another token follows.
struct Cursor<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The unread text, after leading white space.
    fn rest(&mut self) -> &'a [u8] {
        let rest = self.json.get(self.at..).unwrap_or_default();
        let space = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.at += space;
        &rest[space..]
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest().starts_with(word).then(|| self.at += word.len())
    }

    fn byte(&mut self, byte: u8) -> Option<()> {
        self.word(&[byte])
    }

    /// The text between a string's quotes, with its escapes.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.byte(b'"')?;
        let start = self.at;
        loop {
            self.at += memchr2(b'"', b'\\', self.json.get(self.at..)?)?;
            if self.json[self.at] == b'"' {
                let text = &self.json[start..self.at];
                self.at += 1;
                return Some(text);
            }
            self.at += 2;
        }
    }

    /// A string and the colon after it.
    fn key(&mut self) -> Option<&'a [u8]> {
        let key = self.string()?;
        self.byte(b':')?;
        Some(key)
    }

    /// A number below 100, in JavaScript's form.
    fn index(&mut self) -> Option<usize> {
        let rest = self.rest();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let text = std::str::from_utf8(&rest[..digits]).ok()?;
        self.at += digits;
        match rest.get(digits) {
            Some(b'.' | b'e' | b'E') => None,
            _ if digits > 2 => None,
            _ => text.parse().ok(),
        }
    }
}

#[cfg(test)]
mod tests;
