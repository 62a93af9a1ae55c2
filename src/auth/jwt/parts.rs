//! A signed token, taken apart (RFC 7515, section 3.1): its header, the bytes that are signed, its claims.
//!
//! The header is read here and not by `jsonwebtoken`, which refuses names of algorithms that it does not know. What is
//! verified are the token's own bytes, never a header or claims that were written anew.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hubbub_actors::events::text;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// The members of a header that decide. Those that offer a key or a way to one (`jwk`, `jku`, `x5c`, `x5u`) are never
/// read. A member that is there twice makes the header malformed.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    /// The name of the algorithm, as it came.
    pub(super) alg: String,
    /// Which key it is signed with.
    pub(super) kid: Option<String>,
    /// Whether there is a `crit`, whatever it holds.
    #[serde(default, rename = "crit", deserialize_with = "present")]
    pub(super) has_crit: bool,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// The parts of a token, each as it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    header: &'a str,
    claims: &'a str,
    /// What is signed: header and claims with the dot between them.
    pub(super) message: &'a str,
    /// The signature in base64url.
    pub(super) signature: &'a str,
}

impl<'a> Parts<'a> {
    /// The three parts of `token`; `None` where it has not three.
    pub(super) fn of(token: &'a str) -> Option<Self> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        (!claims.contains('.')).then_some(Self { header, claims, message, signature })
    }

    /// The header; `None` where it is malformed.
    pub(super) fn header(&self) -> Option<Header> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(self.header).ok()?).ok()
    }

    /// The claims, to be read once the signature holds; `None` where they are no object, or one has a claim twice (RFC
    /// 7519, section 4). Their escapes are [resolved](text::resolve): a name that was cut within an emoji shuts nobody out.
    pub(super) fn claims(&self) -> Option<Map<String, Value>> {
        let claims = text::resolve(URL_SAFE_NO_PAD.decode(self.claims).ok()?.into());
        let claims: Unique = serde_json::from_slice(&claims).ok()?;
        Some(claims.0)
    }
}

/// An object without a name that is there twice.
struct Unique(Map<String, Value>);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Unique;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unique, A::Error> {
                let mut unique = Map::new();
                while let Some((name, value)) = members.next_entry::<String, Value>()? {
                    if unique.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member that is there twice"));
                    }
                }
                Ok(Unique(unique))
            }
        }

        deserializer.deserialize_map(Members)
    }
}
