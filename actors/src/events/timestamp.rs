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

/// Reads `2026-11-21T00:20:31.5Z`, the same with `+01:00` for `Z`, or `2026-11-21`, as ms since the epoch. `None` for any other
/// text and for a time before 1970.
pub fn parse(text: &str) -> Option<u64> {
    if text.len() == "2026-11-21".len() {
        return parse(&format!("{text}T00:00:00Z"));
    }
    let (local, east_ms) = match text.len().checked_sub("+01:00".len()).and_then(|at| text.split_at_checked(at)) {
        Some((local, offset)) if offset.starts_with(['+', '-']) => (format!("{local}Z"), offset_ms(offset)?),
        _ => (text.to_owned(), 0),
    };
    let time = humantime::parse_rfc3339(&local).ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(time.as_millis()).ok()?.checked_add_signed(-east_ms)
}

/// `+01:30` in ms.
fn offset_ms(offset: &str) -> Option<i64> {
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let two_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<i64>().ok())?;
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    let ms = (hours * 60 + minutes) * 60_000;
    (hours < 24 && minutes < 60).then_some(if offset.starts_with('-') { -ms } else { ms })
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
