//! What the application's answer about a token comes to. Pure.

use bytes::Bytes;
use hubbub_actors::events::text;
use hubbub_actors::fault::Fault;
use hubbub_actors::identity::Identity;
use serde_json::{Map, Value};

use crate::auth::claims::{self, LATEST_SECONDS, invalid};

/// The members of a user object that may name the user, in the order they are sought.
const USER_MEMBERS: [&str; 4] = ["id", "sub", "userId", "user_id"];

/// An answer, understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The token is this user's.
    Holder(Box<Identity>),
    /// The token is nobody's.
    Refused(Fault),
    /// The answer says nothing of the token, and this of the application. `broken` when it, or who answers for it, says
    /// that it cannot. A plain 500 does not say so: an odd token may be enough for one, and whoever can make one up
    /// would keep all others out.
    Unclear { why: String, broken: bool },
}

/// Reads an answer. A session of the token may last `leeway_ms` longer than the answer says.
pub(super) fn read(status: u16, body: &[u8], leeway_ms: i64) -> Verdict {
    match status {
        200 => match holder(body, leeway_ms) {
            Ok(identity) => Verdict::Holder(Box::new(identity)),
            Err(why) => Verdict::Unclear { why, broken: false },
        },
        401 | 403 | 404 => {
            Verdict::Refused(invalid("The token is not known to the application").by("auth.backend.url"))
        }
        _ => Verdict::Unclear { why: format!("status {status}"), broken: matches!(status, 429 | 502..=504) },
    }
}

/// The user of `{"user": {…}}` or of a bare user object.
fn holder(body: &[u8], leeway_ms: i64) -> Result<Identity, String> {
    // A display name may be cut within an emoji.
    let body = text::resolve(Bytes::copy_from_slice(body));
    let body: Value = serde_json::from_slice(&body).map_err(|_| "an answer that is no JSON")?;
    let body = body.as_object().ok_or("an answer that is no object")?;
    let user = match body.get("user") {
        Some(user) => user.as_object().ok_or("an answer whose `user` is no object")?,
        None => body,
    };
    let id = claims::user(user, &USER_MEMBERS).map_err(|_| "an answer that names no user")?;
    let ends = [expiry(user)?, expiry(body)?].into_iter().flatten().min();
    Ok(Identity { expires_at: ends.map(|end| end.saturating_add(leeway_ms)), ..claims::described(id, user) })
}

/// When the token expires, in ms: `exp` as a token has it, or `expires_at` as a time of RFC 3339, in seconds, or in ms
/// where seconds would lie after the year 9999. One that cannot be read refuses: the token must not outlive it.
fn expiry(object: &Map<String, Value>) -> Result<Option<i64>, String> {
    let unreadable = |name: &str| format!("an answer whose `{name}` is no time");
    let exp = match object.get("exp") {
        None | Some(Value::Null) => None,
        Some(_) => claims::time(object, "exp").map_err(|_| unreadable("exp"))?,
    };
    let expires_at = match object.get("expires_at") {
        None | Some(Value::Null) => None,
        Some(value) => Some(moment(value).ok_or_else(|| unreadable("expires_at"))?),
    };
    Ok([exp, expires_at].into_iter().flatten().min())
}

fn moment(value: &Value) -> Option<i64> {
    if let Some(text) = value.as_str() {
        let time = humantime::parse_rfc3339_weak(text).ok()?;
        return i64::try_from(time.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis()).ok();
    }
    match value.as_i64()? {
        ms if ms > LATEST_SECONDS => Some(ms),
        seconds => Some(seconds.max(0) * 1_000),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_ok(body: Value) -> Verdict {
        read(200, body.to_string().as_bytes(), 5_000)
    }

    #[test]
    fn a_user_is_named_in_an_envelope_or_bare() {
        let user = json!({
            "id": 42, "name": "Ann", "username": "ann", "email": "a@example.com", "avatar": "/a.png",
            "role": "admin", "roles": ["editor"], "permissions": ["read"], "topics": ["not", "ours"],
        });
        let Verdict::Holder(bare) = read_ok(user.clone()) else { panic!("a user") };
        assert_eq!((bare.user.as_str(), bare.display_name(), bare.expires_at), ("42", "Ann", None));
        assert_eq!((bare.roles.join(" "), bare.permissions.join(" ")), ("admin editor".into(), "read".into()));
        assert_eq!((bare.subscribe.as_ref(), bare.sign_in.as_ref()), (None, None));
        assert_eq!(read_ok(json!({"user": user})), Verdict::Holder(bare));
        let cut = br#"{"id": 42, "name": "Ann \ud83d"}"#;
        let Verdict::Holder(cut) = read(200, cut, 0) else { panic!("a user") };
        assert_eq!(cut.name.as_deref(), Some("Ann \u{fffd}"));
        for (user, id) in [
            (json!({"sub": "a", "userId": "b"}), "a"),
            (json!({"userId": "b", "user_id": "c"}), "b"),
            (json!({"user_id": 7}), "7"),
            (json!({"id": null, "user_id": 7}), "7"),
        ] {
            let Verdict::Holder(identity) = read_ok(user.clone()) else { panic!("{user}") };
            assert_eq!(identity.user.as_str(), id, "{user}");
        }
    }

    #[test]
    fn an_expiry_is_read_wherever_and_however_it_is_written() {
        let now = 1_767_225_600_i64;
        for (body, end) in [
            (json!({"id": 1, "exp": now}), now * 1_000),
            (json!({"id": 1, "expires_at": now}), now * 1_000),
            (json!({"id": 1, "expires_at": now * 1_000 + 7}), now * 1_000 + 7),
            (json!({"id": 1, "expires_at": "2026-01-01T00:00:00Z"}), now * 1_000),
            (json!({"id": 1, "expires_at": "2026-01-01T00:00:00.250000Z"}), now * 1_000 + 250),
            (json!({"id": 1, "expires_at": "2026-01-01 00:00:00"}), now * 1_000),
            (json!({"user": {"id": 1}, "expires_at": now}), now * 1_000),
            (json!({"user": {"id": 1, "exp": now + 9}, "exp": now}), now * 1_000),
        ] {
            let Verdict::Holder(identity) = read_ok(body.clone()) else { panic!("{body}") };
            assert_eq!(identity.expires_at, Some(end + 5_000), "{body}");
        }
        for odd in [json!("soon"), json!(true), json!([]), json!("2026-01-01T00:00:00+02:00")] {
            let read = read_ok(json!({"id": 1, "expires_at": odd}));
            assert!(matches!(read, Verdict::Unclear { .. }), "{odd}");
        }
    }

    #[test]
    fn only_a_clear_no_is_a_no_and_all_else_lets_nobody_in() {
        for status in [401, 403, 404] {
            assert!(matches!(read(status, b"{\"id\": 1}", 0), Verdict::Refused(_)), "{status}");
        }
        for (status, broken) in
            [(201, false), (204, false), (302, false), (400, false), (429, true), (500, false), (503, true)]
        {
            let Verdict::Unclear { broken: found, .. } = read(status, b"{\"id\": 1}", 0) else { panic!("{status}") };
            assert_eq!(found, broken, "{status}");
        }
        for body in
            ["", "null", "[]", "<html>", "{}", "{\"user\": null}", "{\"user\": 1}", "{\"id\": \"\"}", "{\"id\": {}}"]
        {
            assert!(matches!(read(200, body.as_bytes(), 0), Verdict::Unclear { broken: false, .. }), "{body}");
        }
    }
}
