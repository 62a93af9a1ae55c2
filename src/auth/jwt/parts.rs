//! Splits a signed token (RFC 7515, section 3.1) into its header, the signed bytes and its claims.
//!
//! The hub parses the header itself, because `jsonwebtoken` refuses unknown algorithm names. The verified bytes are the
//! token's own bytes, never a re-encoded header or claims.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hubbub_actors::events::text;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// The header members that the hub uses. Members with a key or its address (`jwk`, `jku`, `x5c`, `x5u`) are never read.
#[derive(Debug)]
pub(super) struct Header {
    /// The name of the algorithm, as received.
    pub(super) alg: String,
    /// The id of the signing key.
    pub(super) kid: Option<String>,
    /// Whether there is a `crit` member, with any value.
    pub(super) has_crit: bool,
}

/// The parts of a token, as received.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    header: &'a str,
    claims: &'a str,
    /// The signed bytes: header and claims with the dot between them.
    pub(super) message: &'a str,
    /// The signature in base64url.
    pub(super) signature: &'a str,
}

impl<'a> Parts<'a> {
    /// The three parts of `token`; `None` if there are not exactly three.
    pub(super) fn of(token: &'a str) -> Option<Self> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        (!claims.contains('.')).then_some(Self { header, claims, message, signature })
    }

    /// The header; `None` if it is malformed: not an object, a repeated member, or an `alg` or `kid` that is not a
    /// string.
    pub(super) fn header(&self) -> Option<Header> {
        let Unique(mut members) = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(self.header).ok()?).ok()?;
        let Some(Value::String(alg)) = members.remove("alg") else { return None };
        let kid = match members.remove("kid") {
            None | Some(Value::Null) => None,
            Some(Value::String(kid)) => Some(kid),
            Some(_) => return None,
        };
        Some(Header { alg, kid, has_crit: members.contains_key("crit") })
    }

    /// The claims, to be read after the signature is verified; `None` if they are not an object or repeat a claim (RFC
    /// 7519, section 4). Half of a surrogate pair, as in a name cut within an emoji, becomes U+FFFD.
    pub(super) fn claims(&self) -> Option<Map<String, Value>> {
        let claims = text::resolve(URL_SAFE_NO_PAD.decode(self.claims).ok()?.into());
        let Unique(claims) = serde_json::from_slice(&claims).ok()?;
        Some(claims)
    }
}

/// An object without repeated names.
struct Unique(Map<String, Value>);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UniqueMembers;

        impl<'de> Visitor<'de> for UniqueMembers {
            type Value = Unique;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unique, A::Error> {
                let mut unique = Map::new();
                while let Some((name, value)) = members.next_entry::<String, Value>()? {
                    if unique.insert(name, value).is_some() {
                        return Err(A::Error::custom("a duplicate member"));
                    }
                }
                Ok(Unique(unique))
            }
        }

        deserializer.deserialize_map(UniqueMembers)
    }
}
