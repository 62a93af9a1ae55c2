//! What a client that comes back with Socket.IO's connection state recovery is told on `/`.

use schemars::JsonSchema;
use serde::Serialize;

use super::moment::Iso;
use crate::model::ids::UserId;

/// What it is advised to wait before its first attempt but one, ms; before each that follows, half as long again.
const DELAY_MS: f64 = 1_000.0;
const DELAY_GROWTH: f64 = 1.5;
const DELAY_MAX_MS: f64 = 30_000.0;

/// Comes first to a client that wants to go on with its session.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReconnectStatus {
    /// Which attempt it was since the session was cut off, as far as the hub saw them; from 1.
    pub attempt: u32,
    /// How long to wait before another, ms.
    pub delay: u64,
    /// When.
    pub timestamp: Iso,
}

impl ReconnectStatus {
    /// Of the attempt number `attempt`.
    pub fn new(attempt: u32, now: i64) -> Self {
        let grown = DELAY_GROWTH.powf(f64::from(attempt.saturating_sub(1)));
        Self { attempt, delay: (DELAY_MS * grown).min(DELAY_MAX_MS) as u64, timestamp: Iso(now) }
    }
}

/// The session goes on: its rooms are joined, and what its client missed follows.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StateRecovered {
    /// Whose session it is.
    #[serde(rename = "userId")]
    #[schemars(with = "String")]
    pub user_id: UserId,
    /// When.
    pub timestamp: Iso,
}

/// The session does not go on: this is another, in no room, and something may have been missed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StateRecoveryFailed {
    /// Says so.
    pub message: &'static str,
    /// When.
    pub timestamp: Iso,
}

impl StateRecoveryFailed {
    /// At `now`, ms since the epoch.
    pub fn new(now: i64) -> Self {
        Self { message: "Failed to recover connection state", timestamp: Iso(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_by_half_up_to_half_a_minute() {
        let delays = [1, 2, 3, 9, 10, u32::MAX].map(|attempt| ReconnectStatus::new(attempt, 0).delay);
        assert_eq!(delays, [1_000, 1_500, 2_250, 25_628, 30_000, 30_000]);
    }
}
