//! Verifies signed requests: a valid signature, a fresh timestamp, and a new nonce.
//!
//! The signature covers `METHOD + PATH + TIMESTAMP + NONCE`, concatenated; version `v2` appends the lowercase hex
//! SHA-256 of the body. `PATH` is the request's path exactly as sent, without the query; no version signs the query.
//! This module knows no framework and no request type: the HTTP side passes the values, and an empty text for an absent
//! one.

mod nonces;

use std::sync::{Mutex, MutexGuard, PoisonError};

use hmac::{Hmac, KeyInit, Mac};
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::runtime::clock::Clock;
use hubbub_actors::store::StoredNonces;
use sha2::{Digest, Sha256};

use self::nonces::Nonces;

/// Largest difference between a timestamp and our clock, in both directions, in ms.
pub const WINDOW_MS: i64 = 5 * 60 * 1_000;

/// Longest nonce, in characters.
pub const NONCE_MAX: usize = 128;

/// Most nonces kept at a time: about 13 MB, or 1,300 signed requests a second without a pause. The next request is
/// refused. Evicting an old nonce would allow its reuse.
pub const NONCES_MAX: usize = 400_000;

/// Longest part of a timestamp that an error repeats, in characters.
const ECHO_MAX: usize = 40;

/// The number of hex digits of a SHA-256.
const HEX_DIGEST: usize = 64;

/// A received request, with its signature headers. An absent header is an empty text.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// The HTTP method, in capitals.
    pub method: &'a str,
    /// The path as sent, without the query.
    pub path: &'a str,
    /// `X-Request-Timestamp`: ms since the epoch, in decimal digits.
    pub timestamp: &'a str,
    /// `X-Request-Nonce`: 1 to [`NONCE_MAX`] characters, used once for each key.
    pub nonce: &'a str,
    /// `X-Signature-Version`: `v1` or `v2`.
    pub version: &'a str,
    /// `X-Signature`: the HMAC-SHA256 in hex.
    pub signature: &'a str,
    /// The whole body.
    pub body: &'a [u8],
}

/// Verifies signed requests, and keeps the nonces of accepted requests.
///
/// Nonces survive a planned restart. A crash loses them, so requests signed before the start are then refused. If a
/// timestamp is ahead of the hub's clock by more than the duration of the restart, a replay cannot be detected.
pub struct Signatures {
    /// `None` after they were taken for the next start.
    nonces: Mutex<Option<Nonces>>,
}

impl Default for Signatures {
    fn default() -> Self {
        Self::new()
    }
}

impl Signatures {
    /// Keeps up to [`NONCES_MAX`] nonces.
    pub fn new() -> Self {
        Self::with_capacity(NONCES_MAX)
    }

    fn with_capacity(capacity: usize) -> Self {
        Self { nonces: Mutex::new(Some(Nonces::new(capacity))) }
    }

    fn nonces(&self) -> MutexGuard<'_, Option<Nonces>> {
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks that the request is signed with the key `key_text`, named `key_name`, is fresh by `clock`, and is not a
    /// replay. Of several concurrent requests with one nonce, exactly one passes.
    ///
    /// # Errors
    /// `InvalidSignature` with the reason; `Overloaded` when no more nonces can be kept; `ShuttingDown` after they were
    /// taken.
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
        // Stored after the signature check: only a holder of the key can use up a nonce.
        let mut nonces = self.nonces();
        let nonces = nonces.as_mut().ok_or_else(Fault::shutting_down)?;
        nonces.record(name_nonce(key_name, signed.nonce), timestamp, now_ms, clock.elapsed_ms())
    }

    /// Takes all nonces for the next start. After this, no request passes, so no nonce is lost. `None` the second time.
    pub fn take(&self) -> Option<StoredNonces> {
        self.nonces().take().map(Nonces::into_stored)
    }

    /// Restores the nonces from before the start. `None` if they are lost: requests signed before `now_ms` are refused.
    pub fn restore(&self, nonces: Option<StoredNonces>, now_ms: i64) {
        if let Some(current) = &mut *self.nonces() {
            current.restore(nonces.unwrap_or(StoredNonces { not_before: now_ms, used: Vec::new() }));
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
        // A comparison in constant time.
        mac.verify_slice(&presented).map_err(|_| {
            let Signed { method, path, version, .. } = self;
            // The log shows this message, and no query, also if its `?` is encoded.
            let path = path.to_ascii_lowercase().find("%3f").map_or(*path, |end| &path[..end]);
            refused(format!("X-Signature does not match {method} {path} as {version}"))
        })
    }
}

fn refused(message: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
    Fault::new(Code::InvalidSignature, message)
}

/// Refuses a timestamp outside the window, and names its probable unit if that is not milliseconds. The bounds are far
/// apart: 10^11 ms are in 1973, 10^14 ms in the year 5138, and 10^17 ms beyond any realistic date.
fn stale(timestamp: i64, now_ms: i64) -> Fault {
    let unit = match timestamp {
        ..100_000_000_000 => "seconds",
        100_000_000_000_000..100_000_000_000_000_000 => "microseconds",
        100_000_000_000_000_000.. => "nanoseconds",
        _ => {
            let (off, direction) =
                (timestamp.abs_diff(now_ms) / 1_000, if timestamp < now_ms { "behind" } else { "ahead" });
            return refused(format!(
                "X-Request-Timestamp is more than 5 minutes from the server's time: got {timestamp}, {off} s {direction}"
            ));
        }
    };
    refused(format!("X-Request-Timestamp is in milliseconds since 1970: got {timestamp}, which looks like {unit}"))
}

/// Accepts only plain digits, so that a time has a single text and no part of it can belong to the path or the nonce.
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
    // The text of `v2` ends with the body's digest. The same signature would be valid for `v1` with the digest as the
    // end of the nonce, and with any body. So a `v1` nonce must not end like a digest.
    let digest =
        nonce.len().checked_sub(HEX_DIGEST).filter(|&start| start > 0).and_then(|start| nonce.as_bytes().get(start..));
    let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if !with_body && digest.is_some_and(|digest| digest.iter().all(hex)) {
        return Err(refused(
            "X-Request-Nonce ends in what could be a body's digest; use a nonce of at most 64 characters",
        ));
    }
    Ok(())
}

/// Half of the SHA-256 of the key's name and the nonce: a fixed size for every nonce.
fn name_nonce(key_name: &str, nonce: &str) -> [u8; 16] {
    let name_length = (key_name.len() as u64).to_be_bytes();
    let digest = Sha256::new().chain_update(name_length).chain_update(key_name).chain_update(nonce).finalize();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}

#[cfg(test)]
mod tests;
