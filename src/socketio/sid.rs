//! The id of an Engine.IO session. It authenticates its client, so it has 128 random bits. It also contains the number
//! of the session's worker, so that any worker can route a request without a shared table.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Bytes of an id: two for the worker, then the random ones.
const BYTES: usize = 18;

/// Characters of an id.
const LENGTH: usize = 24;

/// The id of an Engine.IO session.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sid([u8; BYTES]);

impl Sid {
    /// A new id of a session on `worker`. `None`: the system provides no randomness.
    pub fn random(worker: u16) -> Option<Self> {
        let mut bytes = [0; BYTES];
        let (prefix, secret) = bytes.split_at_mut(2);
        prefix.copy_from_slice(&worker.to_be_bytes());
        getrandom::fill(secret).ok()?;
        Some(Self(bytes))
    }

    /// Parses an id from a request.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; BYTES];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        (text.len() == LENGTH && length == BYTES).then_some(Self(bytes))
    }

    /// The worker of the session.
    pub fn worker(&self) -> usize {
        usize::from(u16::from_be_bytes([self.0[0], self.0[1]]))
    }
}

/// Characters of an id in the log: enough to find a connection, too few to take it over.
const SHORT: usize = 8;

/// The part of a query's `sid` that the log shows; `None` without a valid `sid`.
pub fn short_of_query(query: &str) -> Option<&str> {
    let sid = query.split('&').find_map(|pair| pair.strip_prefix("sid="))?;
    // An invalid id is not logged, because it may be anything.
    Sid::parse(sid).and_then(|_| sid.get(..SHORT))
}

impl Sid {
    /// The part that the log shows.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(SHORT);
        text
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// Never logs the secret part.
impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sid(worker {})", self.worker())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_a_round_trip_and_names_its_worker() {
        let sid = Sid::random(513).unwrap();
        assert_eq!(sid.to_string().len(), LENGTH);
        assert_eq!(Sid::parse(&sid.to_string()), Some(sid));
        assert_eq!(sid.worker(), 513);
        assert_ne!(Sid::random(513), Some(sid));
    }

    #[test]
    fn the_log_shows_a_third_of_a_valid_id() {
        let sid = Sid::random(513).unwrap();
        let query = format!("EIO=4&transport=polling&sid={sid}&t=1");
        assert_eq!(short_of_query(&query), Some(&*sid.short()));
        assert!(sid.to_string().starts_with(&sid.short()) && sid.short().len() == SHORT);
        for query in ["", "EIO=4", "sid=", "sid=a-token-of-some-length", "asid=AAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(short_of_query(query), None, "{query}");
        }
    }

    #[test]
    fn an_invalid_id_is_rejected() {
        for text in ["", "abc", "AAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAA", "AAAA AAAAAAAAAAAAAAAAAAA", "é"]
        {
            assert_eq!(Sid::parse(text), None, "{text}");
        }
    }
}
