//! The time at which an API key expires.

use std::fmt;

use hubbub_actors::events::timestamp::{self, Iso};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::value::Datetime;

/// A time, ms since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyExpiry(pub i64);

impl fmt::Display for KeyExpiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Iso(self.0).fmt(f)
    }
}

impl Serialize for KeyExpiry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Accepts a string, and the dates and times of TOML.
impl<'de> Deserialize<'de> for KeyExpiry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ExpiryTime;

        impl<'de> Visitor<'de> for ExpiryTime {
            type Value = KeyExpiry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time like 2027-01-31T12:00:00Z, or a date")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<KeyExpiry, E> {
                let ms = timestamp::parse(text).and_then(|ms| i64::try_from(ms).ok());
                ms.map(KeyExpiry).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<KeyExpiry, A::Error> {
                let time = Datetime::deserialize(MapAccessDeserializer::new(map))?;
                self.visit_str(&time.to_string())
            }
        }

        deserializer.deserialize_any(ExpiryTime)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ApiKeyEntry, Scope};

    fn expires(value: &str) -> Option<String> {
        let text = format!("name = 'a'\nscopes = ['push', 'chats:read']\nexpires = {value}");
        let keys: [Result<ApiKeyEntry, _>; 2] =
            [toml::from_str(&text), toml::from_str::<toml::Value>(&text).unwrap().try_into()];
        let times = keys.map(|key| {
            let key = key.ok()?;
            assert_eq!(key.scopes.as_deref(), Some(&[Scope::Push, Scope::ChatsRead][..]));
            Some(key.expires.unwrap().to_string())
        });
        assert_eq!(times[0], times[1], "{value}");
        times[0].clone()
    }

    #[test]
    fn a_time_is_a_string_or_a_value_of_toml() {
        for (value, time) in [
            ("'2027-01-31T12:00:00Z'", "2027-01-31T12:00:00.000Z"),
            ("2027-01-31T12:00:00Z", "2027-01-31T12:00:00.000Z"),
            ("2027-01-31 12:00:00.5+02:00", "2027-01-31T10:00:00.500Z"),
            ("'2027-01-31'", "2027-01-31T00:00:00.000Z"),
            ("2027-01-31", "2027-01-31T00:00:00.000Z"),
        ] {
            assert_eq!(expires(value).as_deref(), Some(time), "{value}");
        }
    }

    #[test]
    fn a_time_without_an_offset_and_other_values_are_refused() {
        for value in ["2027-01-31T12:00:00", "12:00:00", "'tomorrow'", "''", "0", "true", "'1969-01-01'"] {
            assert_eq!(expires(value), None, "{value}");
        }
    }
}
