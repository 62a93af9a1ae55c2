//! The structured values of the configuration: topic rules, access rules, algorithms, CIDR blocks.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use hubbub_actors::rooms::rules::AccessRule;
use ipnet::IpNet;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::keys::documented;
use crate::auth::jwt;

documented! {
    /// An item of `[[topics]]`: the access rules and history of the topics that match its pattern.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct TopicRuleEntry {
        /// The pattern of topics: `*` stands for any run of characters, dots included.
        pub pattern: String,
        /// Clients that may subscribe: `anyone`, `authenticated`, `members`, `server`, `role:NAME`, `permission:NAME`, or a
        /// list of them. Default `authenticated`.
        #[serde(default = "authenticated", deserialize_with = "one_or_several")]
        pub subscribe: Vec<AccessRule>,
        /// Clients that may publish, likewise. Default `authenticated`.
        #[serde(default = "authenticated", deserialize_with = "one_or_several")]
        pub publish: Vec<AccessRule>,
        /// Messages in the history of a topic; 0 keeps none. Default 0.
        #[serde(default)]
        pub history: u32,
        /// Seconds that a message is kept; 0 for as long as there is room. A topic without messages and members keeps
        /// its position for this time or for `recovery.window_secs`, whichever is longer. Default 0.
        #[serde(default)]
        pub history_secs: u32,
        /// Whether subscribers learn of each other's joins and leaves. Not supported yet: `true` is refused. Default
        /// false.
        #[serde(default)]
        pub presence: bool,
    }
}

impl TopicRuleEntry {
    /// The built-in rule: any topic, every authenticated user, no history.
    pub fn any() -> Self {
        Self {
            pattern: "*".into(),
            subscribe: authenticated(),
            publish: authenticated(),
            history: 0,
            history_secs: 0,
            presence: false,
        }
    }
}

fn authenticated() -> Vec<AccessRule> {
    vec![AccessRule::Authenticated]
}

/// Accepts one value where a list is possible: `"server"` for `["server"]`.
pub(super) fn one_or_several<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + FromStr<Err: fmt::Display>,
{
    struct OneOrSeveral<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de> + FromStr<Err: fmt::Display>> Visitor<'de> for OneOrSeveral<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string or a list of strings")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            text.parse().map(|value| vec![value]).map_err(E::custom)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut several = Vec::new();
            while let Some(value) = items.next_element()? {
                several.push(value);
            }
            Ok(several)
        }
    }

    deserializer.deserialize_any(OneOrSeveral(PhantomData))
}

/// The algorithm that tokens are signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519. RFC 9864 uses this name; `EdDSA` is the older name.
    #[serde(rename = "EdDSA", alias = "Ed25519")]
    EdDsa,
}

impl Algorithm {
    /// The same algorithm, for the verifier of tokens.
    pub fn to_jwt(self) -> jwt::Algorithm {
        match self {
            Self::Hs256 => jwt::Algorithm::HS256,
            Self::Hs384 => jwt::Algorithm::HS384,
            Self::Hs512 => jwt::Algorithm::HS512,
            Self::Rs256 => jwt::Algorithm::RS256,
            Self::Rs384 => jwt::Algorithm::RS384,
            Self::Rs512 => jwt::Algorithm::RS512,
            Self::Ps256 => jwt::Algorithm::PS256,
            Self::Ps384 => jwt::Algorithm::PS384,
            Self::Ps512 => jwt::Algorithm::PS512,
            Self::Es256 => jwt::Algorithm::ES256,
            Self::Es384 => jwt::Algorithm::ES384,
            Self::EdDsa => jwt::Algorithm::EdDSA,
        }
    }

    /// Whether it works with a shared secret, `auth.jwt_secret`.
    pub fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }
}

/// Which clients receive presence changes of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AudienceSetting {
    /// All clients.
    All,
    /// Clients that share a room with the user.
    SharedRooms,
    /// No client.
    Off,
}

/// Which clients receive events with offsets on `/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Offsets {
    /// Clients that expect offsets, judging by their handshake.
    Auto,
    /// All clients.
    Always,
    /// No client; no session on `/` can be recovered.
    Never,
}

/// Addresses (`10.0.0.7`) and CIDR blocks (`10.0.0.0/8`), both as blocks.
pub(super) fn blocks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    struct Block(IpNet);

    impl<'de> Deserialize<'de> for Block {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            let block = match text.parse::<std::net::IpAddr>() {
                Ok(address) => Some(IpNet::from(address)),
                Err(_) => text.parse::<IpNet>().ok(),
            };
            block.map(|block| Self(block.trunc())).ok_or_else(|| {
                D::Error::custom(format!("expected an address or a CIDR block like 10.0.0.0/8, got {text:?}"))
            })
        }
    }

    let blocks = Vec::<Block>::deserialize(deserializer)?;
    Ok(blocks.into_iter().map(|Block(block)| block).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Result<TopicRuleEntry, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_rule_accepts_one_or_several_values_and_defaults_to_authenticated() {
        let read = rule("pattern = 'news.*'\npublish = ['server', 'role:editor', 'permission:a:b']");
        let expected = TopicRuleEntry {
            pattern: "news.*".into(),
            publish: vec![AccessRule::Server, AccessRule::Role("editor".into()), AccessRule::Permission("a:b".into())],
            ..TopicRuleEntry::any()
        };
        assert_eq!(read.unwrap(), expected);
        assert_eq!(rule("pattern = '*'").unwrap(), TopicRuleEntry::any());
        let one = rule("pattern = '*'\nsubscribe = 'anyone'").unwrap();
        assert_eq!(one.subscribe, [AccessRule::Anyone]);
        assert!(rule("pattern = '*'\nsubscribe = 'everyone'").is_err());
    }

    #[test]
    fn an_address_is_a_block_of_one() {
        let server = "trusted_proxies = ['10.1.2.3', '10.1.2.3/8', '::1']";
        let server: super::super::Server = toml::from_str(server).unwrap();
        let shown: Vec<_> = server.trusted_proxies.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.1.2.3/32", "10.0.0.0/8", "::1/128"]);
    }

    #[test]
    fn algorithms_have_their_registered_names() {
        for name in ["HS256", "HS512", "RS384", "PS256", "ES384", "EdDSA"] {
            let json = format!("{name:?}");
            let read: Algorithm = serde_json::from_str(&json).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), json);
        }
        assert_eq!(serde_json::from_str::<Algorithm>("\"Ed25519\"").unwrap(), Algorithm::EdDsa);
        assert!(serde_json::from_str::<Algorithm>("\"Ed448\"").is_err());
    }
}
