//! The payload of a CONNECT_ERROR.

use bytes::Bytes;
use hubbub_actors::model::fault::{Code, Fault};
use serde_json::json;

use super::namespace_auth::ConnectRefusal;

/// `retryAfter` for a concurrency limit, in seconds. When a slot becomes free is unknown.
const SLOT_RETRY_SECS: u32 = 10;

/// The refusal for this fault: its message, and `data` with the code, the details, and in `retryAfter` the seconds
/// until another attempt can succeed. The client must retry by itself, because the library does not reconnect after a
/// CONNECT_ERROR.
pub(super) fn of(fault: &Fault) -> ConnectRefusal {
    let message = match fault.code {
        Code::InvalidToken | Code::TokenExpired | Code::TokenRevoked => "Unauthorized",
        _ => &fault.message,
    };
    let mut data = json!({ "code": fault.code });
    let slot_retry = (fault.code == Code::LimitReached).then_some(SLOT_RETRY_SECS);
    if let Some(seconds) = fault.retry_after.or(slot_retry) {
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

    fn payload(fault: &Fault) -> Value {
        match of(fault) {
            ConnectRefusal::Answered(text) => serde_json::from_slice(&text).unwrap(),
            refused => panic!("{refused:?}"),
        }
    }

    #[test]
    fn a_limit_has_the_time_of_the_next_attempt() {
        let limited = json!({"code": "RATE_LIMITED", "retryAfter": 42, "details": {"retryAfter": 42}});
        assert_eq!(payload(&Fault::rate_limited(42)), json!({"message": "Rate limit exceeded", "data": limited}));
        let full = payload(&Fault::limit_reached("limits.community.connections_per_address"));
        let details = json!({"limit": "limits.community.connections_per_address"});
        assert_eq!(full["data"], json!({"code": "LIMIT_REACHED", "retryAfter": 10, "details": details}));
        assert_eq!(payload(&Fault::overloaded())["data"]["retryAfter"], 1);
    }

    #[test]
    fn a_permanent_refusal_has_no_retry_time() {
        for fault in [Fault::new(Code::InvalidToken, "no"), Fault::new(Code::Forbidden, "no"), Fault::internal()] {
            assert_eq!(payload(&fault)["data"], json!({"code": fault.code}), "{fault:?}");
        }
    }
}
