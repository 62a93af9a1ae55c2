//! Signed requests: whether a signature holds, is fresh, and comes for the first time.
//!
//! Signed is `METHOD + PATH + TIMESTAMP + NONCE`, one after the other; version `v2` appends the lowercase hex SHA-256 of
//! the body. `PATH` is the request's path exactly as sent, without the query; the query is signed by neither version.
//! Knows no framework and no request type: the edge hands in what came, an empty text for what did not.

mod nonces;

use std::sync::{Mutex, MutexGuard, PoisonError};

use hmac::{Hmac, KeyInit, Mac};
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::runtime::clock::Clock;
use hubbub_actors::store::StoredNonces;
use sha2::{Digest, Sha256};

use self::nonces::Nonces;

/// How far a timestamp may be from our clock, either way, in ms.
pub const WINDOW_MS: i64 = 5 * 60 * 1_000;

/// Longest nonce, in characters.
pub const NONCE_MAX: usize = 128;

/// Most nonces remembered at a time: some 13 MB, and 1,300 signed requests a second without a pause. One more is
/// refused rather than an old one forgotten, because a forgotten nonce could be used again.
pub const REMEMBERED_MAX: usize = 400_000;

/// Longest part of a timestamp that is given back, in characters.
const ECHO_MAX: usize = 40;

/// A SHA-256 in hex has this many digits.
const HEX_DIGEST: usize = 64;

/// A request as it came, with the headers that sign it. An absent header is an empty text.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// The HTTP method, in capitals.
    pub method: &'a str,
    /// The path as sent, without the query.
    pub path: &'a str,
    /// `X-Request-Timestamp`: ms since the epoch, in decimal digits.
    pub timestamp: &'a str,
    /// `X-Request-Nonce`: 1 to [`NONCE_MAX`] characters, never twice with one key.
    pub nonce: &'a str,
    /// `X-Signature-Version`: `v1` or `v2`.
    pub version: &'a str,
    /// `X-Signature`: the HMAC-SHA256 in hex.
    pub signature: &'a str,
    /// The whole body.
    pub body: &'a [u8],
}

/// Judges signed requests, and remembers the nonces of those that held.
///
/// Nonces outlast a planned restart. After a crash they are lost: then what was signed before the start is refused. A
/// request whose timestamp is ahead of the hub's clock by more than the restart took cannot be told from a new one.
pub struct Signatures {
    /// `None` once they were taken for the next start.
    nonces: Mutex<Option<Nonces>>,
}

impl Default for Signatures {
    fn default() -> Self {
        Self::new()
    }
}

impl Signatures {
    /// Remembers up to [`REMEMBERED_MAX`] nonces.
    pub fn new() -> Self {
        Self::remembering(REMEMBERED_MAX)
    }

    fn remembering(capacity: usize) -> Self {
        Self { nonces: Mutex::new(Some(Nonces::new(capacity))) }
    }

    fn nonces(&self) -> MutexGuard<'_, Option<Nonces>> {
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the request is signed with the key `key_text`, called `key_name`, is fresh by `clock`, and has not come
    /// before. Of several with one nonce, however they race, exactly one passes.
    ///
    /// # Errors
    /// `InvalidSignature` saying what is wrong; `Overloaded` when no more nonces can be remembered; `ShuttingDown` when
    /// they were taken.
    pub fn check(&self, signed: &Signed<'_>, key_text: &str, key_name: &str, clock: &Clock) -> Result<(), Fault> {
        signed.complete()?;
        let with_body = match signed.version {
            "v1" => false,
            "v2" => true,
            _ => return Err(refused("X-Signature-Version is neither v1 nor v2")),
        };
        check_nonce(signed.nonce, with_body)?;
        let timestamp = parse_timestamp(signed.timestamp)?;
        let now_ms = clock.now_ms();
        if timestamp.abs_diff(now_ms) > WINDOW_MS.unsigned_abs() {
            return Err(stale(timestamp, now_ms));
        }
        signed.verify(key_text, with_body)?;
        // Only now: a nonce is used up by whoever holds the key, not by whoever guesses it.
        let mut nonces = self.nonces();
        let nonces = nonces.as_mut().ok_or_else(Fault::shutting_down)?;
        nonces.remember(name_nonce(key_name, signed.nonce), timestamp, now_ms, clock.elapsed_ms())
    }

    /// Takes out all nonces, for the next start. From here on no request passes, so none is lost. `None` the second time.
    pub fn take(&self) -> Option<StoredNonces> {
        self.nonces().take().map(Nonces::into_stored)
    }

    /// Takes over the nonces of before the start. `None` when they are lost: what was signed before `now_ms` is refused.
    pub fn restore(&self, nonces: Option<StoredNonces>, now_ms: i64) {
        if let Some(memory) = &mut *self.nonces() {
            memory.restore(nonces.unwrap_or(StoredNonces { not_before: now_ms, used: Vec::new() }));
        }
    }
}

impl Signed<'_> {
    fn complete(&self) -> Result<(), Fault> {
        for (header, text) in [
            ("X-Signature", self.signature),
            ("X-Signature-Version", self.version),
            ("X-Request-Timestamp", self.timestamp),
            ("X-Request-Nonce", self.nonce),
        ] {
            if text.is_empty() {
                return Err(refused(format!("{header} is missing")));
            }
        }
        Ok(())
    }

    fn verify(&self, key_text: &str, with_body: bool) -> Result<(), Fault> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key_text.as_bytes())
            .map_err(|error| Fault::internal().caused_by(error.to_string()))?;
        for part in [self.method, self.path, self.timestamp, self.nonce] {
            mac.update(part.as_bytes());
        }
        if with_body {
            mac.update(hex::encode(Sha256::digest(self.body)).as_bytes());
        }
        let mut presented = [0; 32];
        hex::decode_to_slice(self.signature, &mut presented)
            .map_err(|_| refused("X-Signature is not 64 hex digits"))?;
        // Compares in constant time.
        mac.verify_slice(&presented).map_err(|_| refused("X-Signature does not match the request"))
    }
}

fn refused(message: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
    Fault::new(Code::InvalidSignature, message)
}

/// Refuses a time that is too far from ours, and says which unit it seems to be in where that is not milliseconds. The
/// bounds are far from each other: 10^11 ms are in 1973, 10^14 ms in the year 5138, 10^17 ms in none that matters.
fn stale(timestamp: i64, now_ms: i64) -> Fault {
    let unit = match timestamp {
        ..100_000_000_000 => "seconds",
        100_000_000_000_000..100_000_000_000_000_000 => "microseconds",
        100_000_000_000_000_000.. => "nanoseconds",
        _ => {
            let (off, way) = (timestamp.abs_diff(now_ms) / 1_000, if timestamp < now_ms { "behind" } else { "ahead" });
            return refused(format!(
                "X-Request-Timestamp is more than 5 minutes from the server's time: got {timestamp}, {off} s {way}"
            ));
        }
    };
    refused(format!("X-Request-Timestamp is in milliseconds since 1970: got {timestamp}, which looks like {unit}"))
}

/// Plain digits alone, so that one time has one text and nothing of it can pass for the path or the nonce.
fn parse_timestamp(text: &str) -> Result<i64, Fault> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| canonical).ok_or_else(|| {
        let got: String = text.chars().take(ECHO_MAX).collect();
        refused(format!("X-Request-Timestamp is not a whole number of milliseconds since 1970: got {got:?}"))
    })
}

fn check_nonce(nonce: &str, with_body: bool) -> Result<(), Fault> {
    if nonce.len() > NONCE_MAX && nonce.chars().count() > NONCE_MAX {
        return Err(refused(format!("X-Request-Nonce is longer than {NONCE_MAX} characters")));
    }
    // What `v2` signs ends in the body's digest. The same signature would hold for `v1` with the digest moved into the
    // nonce, and with any body; so no `v1` nonce may look like that.
    let digest =
        nonce.len().checked_sub(HEX_DIGEST).filter(|&start| start > 0).and_then(|start| nonce.as_bytes().get(start..));
    let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if !with_body && digest.is_some_and(|digest| digest.iter().all(hex)) {
        return Err(refused(
            "X-Request-Nonce ends in what could be a body's digest; take a nonce of at most 64 characters",
        ));
    }
    Ok(())
}

/// Half a SHA-256 of the key's name and the nonce: what is remembered has one size, whatever came.
fn name_nonce(key_name: &str, nonce: &str) -> [u8; 16] {
    let name_length = (key_name.len() as u64).to_be_bytes();
    let digest = Sha256::new().chain_update(name_length).chain_update(key_name).chain_update(nonce).finalize();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}

#[cfg(test)]
mod tests;
