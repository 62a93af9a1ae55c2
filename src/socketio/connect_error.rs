//! What a client that is not let into a namespace reads in `connect_error`.

use bytes::Bytes;
use hubbub_actors::model::fault::{Code, Fault};
use serde_json::json;

use super::namespace_auth::ConnectRefusal;

/// Seconds after which another attempt makes sense where a limit is reached of how many there may be at once: nobody knows
/// when a place will be free.
const SLOT_RETRY_SECS: u32 = 10;

/// The refusal for this fault: its message, and in `data` the code, the details, and as `retryAfter` the seconds until another
/// attempt can succeed. A client has to come back by itself: after a CONNECT_ERROR the library does not.
pub(super) fn of(fault: &Fault) -> ConnectRefusal {
    let message = match fault.code {
        Code::InvalidToken | Code::TokenExpired | Code::TokenRevoked => "Unauthorized",
        _ => &fault.message,
    };
    let mut data = json!({ "code": fault.code });
    let place = (fault.code == Code::LimitReached).then_some(SLOT_RETRY_SECS);
    if let Some(seconds) = fault.retry_after.or(place) {
        data["retryAfter"] = seconds.into();
    }
    if let Some(details) = fault.details() {
        data["details"] = details;
    }
    ConnectRefusal::Answered(Bytes::from(json!({ "message": message, "data": data }).to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn told(fault: &Fault) -> Value {
        match of(fault) {
            ConnectRefusal::Answered(text) => serde_json::from_slice(&text).unwrap(),
            refused => panic!("{refused:?}"),
        }
    }

    #[test]
    fn a_limit_says_when_another_attempt_can_succeed() {
        let limited = json!({"code": "RATE_LIMITED", "retryAfter": 42, "details": {"retryAfter": 42}});
        assert_eq!(told(&Fault::rate_limited(42)), json!({"message": "Rate limit exceeded", "data": limited}));
        let full = told(&Fault::limit_reached("limits.community.connections_per_address"));
        let details = json!({"limit": "limits.community.connections_per_address"});
        assert_eq!(full["data"], json!({"code": "LIMIT_REACHED", "retryAfter": 10, "details": details}));
        assert_eq!(told(&Fault::overloaded())["data"]["retryAfter"], 1);
    }

    #[test]
    fn what_time_does_not_mend_has_no_time() {
        for fault in [Fault::new(Code::InvalidToken, "no"), Fault::new(Code::Forbidden, "no"), Fault::internal()] {
            assert_eq!(told(&fault)["data"], json!({"code": fault.code}), "{fault:?}");
        }
    }
}
