//! Maps close reasons to refusals: which reasons are refusals, and which rule decided.

use super::counts::RefusedAt;
use crate::model::close::Close;
use crate::model::fault::{Code, Fault};

/// The refusal for a connection that the hub closes at `at` with the reason `close`; `None` when the close refuses
/// nothing. `rule` is the rule that decided, where the caller knows it.
pub fn of_close(close: Close, at: RefusedAt, rule: Option<&'static str>) -> Option<Fault> {
    let is_raw = at == RefusedAt::Raw;
    let (code, usual) = match close {
        Close::TokenExpired => (Code::TokenExpired, Some("token exp")),
        Close::TokenRevoked => (Code::TokenRevoked, Some("token revoked")),
        Close::DisconnectedByBackend => (Code::Forbidden, Some("POST /api/disconnect")),
        Close::NoHeartbeat if is_raw => (Code::RequestTimeout, Some("server.client_timeout_secs")),
        Close::NoHeartbeat => (Code::RequestTimeout, Some("socketio.ping_timeout_ms")),
        Close::NotAuthenticated => (Code::Unauthenticated, Some("auth.grace_secs")),
        Close::Unused => (Code::RequestTimeout, Some("socketio.connect_timeout_ms")),
        Close::Limit => (Code::RateLimited, None),
        Close::SlowConsumer => (Code::LimitReached, Some("limits.outbox_bytes, limits.outbox_frames")),
        Close::Malformed | Close::NotUtf8 => (Code::InvalidRequest, None),
        Close::TooLarge if is_raw => (Code::PayloadTooLarge, Some("server.max_frame_size")),
        Close::TooLarge => (Code::PayloadTooLarge, Some("socketio.max_payload")),
        Close::Failed => (Code::Internal, None),
        Close::GoingAway | Close::Left | Close::Recovered => return None,
    };
    let fault = Fault::new(code, close.reason());
    Some(match rule.or(usual) {
        Some(rule) => fault.by(rule),
        None => fault,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_for_a_fault_is_a_refusal_that_names_its_rule() {
        for &close in Close::ALL {
            let raw = of_close(close, RefusedAt::Raw, None);
            let is_refusal = !matches!(close, Close::GoingAway | Close::Left | Close::Recovered);
            assert_eq!(raw.is_some(), is_refusal, "{close:?}");
            assert!(raw.is_none_or(|fault| fault.message == close.reason()), "{close:?}");
        }
        let rule = |close, at, rule| of_close(close, at, rule).and_then(|fault| fault.rule().map(str::to_owned));
        for (close, at, known_rule, expected) in [
            (Close::NoHeartbeat, RefusedAt::Raw, None, "server.client_timeout_secs"),
            (Close::NoHeartbeat, RefusedAt::Chat, None, "socketio.ping_timeout_ms"),
            (Close::TooLarge, RefusedAt::Raw, None, "server.max_frame_size"),
            (Close::TooLarge, RefusedAt::Root, None, "socketio.max_payload"),
            (Close::Limit, RefusedAt::Raw, Some("limits.raw.messages_per_minute"), "limits.raw.messages_per_minute"),
        ] {
            assert_eq!(rule(close, at, known_rule).as_deref(), Some(expected));
        }
    }
}
