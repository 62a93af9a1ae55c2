//! The events on `/` for Socket.IO's connection state recovery.

use schemars::JsonSchema;
use serde::Serialize;

use super::timestamp::Iso;
use crate::model::ids::UserId;

/// The recommended wait after the first attempt, ms. Each further wait is [`DELAY_GROWTH`] times as long, up to
/// [`DELAY_MAX_MS`].
const DELAY_MS: f64 = 1_000.0;
const DELAY_GROWTH: f64 = 1.5;
const DELAY_MAX_MS: f64 = 30_000.0;

/// The first event for a client that attempts to recover its session.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReconnectStatus {
    /// The number of the attempt since the session lost its connection, as counted by the hub, from 1.
    pub attempt: u32,
    /// The recommended wait before the next attempt, ms.
    pub delay: u64,
    /// The time of the event.
    pub timestamp: Iso,
}

impl ReconnectStatus {
    /// The status of the attempt with the number `attempt`.
    pub fn new(attempt: u32, now: i64) -> Self {
        let grown = DELAY_GROWTH.powf(f64::from(attempt.saturating_sub(1)));
        Self { attempt, delay: (DELAY_MS * grown).min(DELAY_MAX_MS) as u64, timestamp: Iso(now) }
    }
}

/// The session is recovered: it is in its rooms again, and missed messages follow.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StateRecovered {
    /// The user of the session.
    #[serde(rename = "userId")]
    #[schemars(with = "String")]
    pub user_id: UserId,
    /// The time of the event.
    pub timestamp: Iso,
}

/// The session is not recovered: this is a new session, in no room, and the client may have missed messages.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StateRecoveryFailed {
    /// The fixed message.
    pub message: &'static str,
    /// The time of the event.
    pub timestamp: Iso,
}

impl StateRecoveryFailed {
    /// A failure at `now`, ms since the epoch.
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
