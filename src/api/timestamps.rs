//! Timestamps as callers write them. Knows no endpoint.

use hubbub_actors::events::timestamp::{self, LATEST_MS};
use hubbub_actors::model::fault::Fault;
use schemars::JsonSchema;
use serde::Deserialize;

/// Numbers from here on are milliseconds (from 1973 on), numbers below are seconds (until the year 5138).
const MILLISECONDS_FROM: f64 = 1e11;

/// A timestamp of a caller: an ISO date, or seconds or milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected an ISO date, or seconds or milliseconds since 1970")]
pub(super) enum Timestamp {
    /// Seconds or milliseconds.
    Number(#[schemars(range(min = 0))] f64),
    /// An ISO date.
    Text(String),
}

impl Timestamp {
    /// The timestamp in ms since the epoch. `field` is its name in the request.
    ///
    /// # Errors
    /// `INVALID_REQUEST` naming the field.
    pub(super) fn ms(&self, field: &str) -> Result<i64, Fault> {
        let ms = match self {
            Self::Number(number) if *number < 0.0 => None,
            // Truncates to whole milliseconds.
            Self::Number(ms) if *ms >= MILLISECONDS_FROM => Some(*ms as u64),
            Self::Number(seconds) => Some((seconds * 1000.0) as u64),
            Self::Text(text) => timestamp::parse(text),
        };
        ms.filter(|ms| *ms <= LATEST_MS).and_then(|ms| i64::try_from(ms).ok()).ok_or_else(|| {
            let expected = "expected an ISO date, or seconds or milliseconds since 1970";
            Fault::field(field, format!("`{field}`: {expected}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<i64> {
        serde_json::from_str::<Timestamp>(json).unwrap().ms("at").ok()
    }

    #[test]
    fn a_timestamp_is_an_iso_date_or_a_number() {
        for (json, ms) in [
            ("1752921000", 1_752_921_000_000),
            ("1752921000.25", 1_752_921_000_250),
            ("1752921000123", 1_752_921_000_123),
            ("0", 0),
            ("\"2025-07-19T10:30:00Z\"", 1_752_921_000_000),
            ("\"2025-07-19T10:30:00.250000Z\"", 1_752_921_000_250),
            ("\"2025-07-19T12:30:00+02:00\"", 1_752_921_000_000),
            ("\"2025-07-19T05:00:00.250-05:30\"", 1_752_921_000_250),
            ("\"2025-07-19\"", 1_752_883_200_000),
        ] {
            assert_eq!(read(json), Some(ms), "{json}");
        }
    }

    #[test]
    fn an_invalid_timestamp_is_refused_and_its_field_is_named() {
        for json in [
            "-1",
            "1e300",
            "\"\"",
            "\"yesterday\"",
            "\"2025-13-01\"",
            "\"2025-07-19T10:30:00+2:00\"",
            "\"2025-07-19T10:30:00+24:00\"",
            "\"2025-07-19T10:30:00+0é:0\"",
            "\"1969-12-31T23:59:59Z\"",
            "\"1970-01-01T00:00:00+01:00\"",
        ] {
            assert_eq!(read(json), None, "{json}");
        }
        let fault = Timestamp::Text("soon".into()).ms("issuedBefore").unwrap_err();
        assert_eq!(fault.field.as_deref(), Some("issuedBefore"));
    }
}
