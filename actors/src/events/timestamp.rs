//! Timestamps in the format of the documents.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Serialize, Serializer};

/// 9999-12-31T23:59:59.999Z, in ms since the epoch: the last timestamp with a four-digit year.
pub const LATEST_MS: u64 = 253_402_300_799_999;

/// A timestamp in ms since the epoch, written as ISO 8601 in UTC with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Iso(pub i64);

impl fmt::Display for Iso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = Duration::from_millis(u64::try_from(self.0).unwrap_or(0).min(LATEST_MS));
        humantime::format_rfc3339_millis(UNIX_EPOCH + since).fmt(f)
    }
}

impl Serialize for Iso {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl schemars::JsonSchema for Iso {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Iso".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_has_milliseconds_and_a_four_digit_year() {
        assert_eq!(Iso(1_752_921_000_000).to_string(), "2025-07-19T10:30:00.000Z");
        assert_eq!(Iso(-1).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Iso(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }
}
