//! Binary arguments in JSON text. Inside the hub, bytes are the object `{"$binary":"<base64>"}`; Socket.IO has
//! `{"_placeholder":true,"num":0}` instead and sends the bytes behind the packet. Each is turned into the other by a scan
//! over text that is known to be JSON; of what is not, anything may become, but nothing panics.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use memchr::{memchr2, memmem};

use super::{ATTACHMENTS_MAX, ILLEGAL_ATTACHMENTS, Malformed};

/// Writes the attachments into JSON text, each where its placeholder is. An attachment that has none is dropped, as
/// Socket.IO does; without attachments, the text stays as it is.
///
/// # Errors
/// When a placeholder names no attachment or one that another names too, or has other members.
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

/// Takes the bytes out of JSON text and leaves placeholders. At most [`ATTACHMENTS_MAX`] are taken; what exceeds stays as
/// it is. An object is taken for bytes only when `$binary`, so spelled, is its only key and its value is padded base64.
///
/// Nothing is taken out of text that has placeholders of its own, or what a client may take for some: it would look for
/// the attachments of those, and close its connection when it finds none.
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

/// What a scan stops at.
enum ScanHit {
    /// An object begins here.
    Object(usize),
    /// The key of a member that makes an object a placeholder when it is true; some clients are content with less.
    PlaceholderKey { is_true: bool },
}

/// Goes over JSON text and stops at what may have to do with bytes.
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
            // Only a key has a colon behind it.
            if cursor.byte(b':').is_some() && is_placeholder_key(text) {
                return Some(ScanHit::PlaceholderKey { is_true: cursor.word(b"true").is_some() });
            }
        }
    }
}

/// Whether a string, as it is spelled between its quotes, says `_placeholder`.
fn is_placeholder_key(spelled: &[u8]) -> bool {
    // Nothing is longer than six bytes a character.
    let spelled_otherwise = spelled.len() <= 12 * 6 && spelled.contains(&b'\\');
    spelled == b"_placeholder" || (spelled_otherwise && unescaped(spelled).as_deref() == Some("_placeholder"))
}

/// What a string with escapes says, when it says something.
fn unescaped(spelled: &[u8]) -> Option<String> {
    serde_json::from_slice(&[b"\"", spelled, b"\""].concat()).ok()
}

/// The placeholder that is the object at `start`: which attachment it names, and where it ends.
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

/// The bytes that the object at `start` is, and where it ends.
fn binary(json: &[u8], start: usize) -> Option<(Bytes, usize)> {
    let mut cursor = Cursor { json, at: start };
    cursor.byte(b'{')?;
    if cursor.key()? != b"$binary" {
        return None;
    }
    let text = cursor.string()?;
    cursor.byte(b'}')?;
    // Some writers of JSON escape every slash, which is a letter of base64.
    let bytes = if text.contains(&b'\\') { STANDARD.decode(unescaped(text)?) } else { STANDARD.decode(text) };
    Some((bytes.ok()?.into(), cursor.at))
}

/// Reads JSON text token by token; `None` when something else is there.
struct Cursor<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// What was not read, behind the space at its front.
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

    /// A string, as it is spelled between its quotes.
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

    /// A string and the colon behind it.
    fn key(&mut self) -> Option<&'a [u8]> {
        let key = self.string()?;
        self.byte(b':')?;
        Some(key)
    }

    /// A number below a hundred, as JavaScript writes it.
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
