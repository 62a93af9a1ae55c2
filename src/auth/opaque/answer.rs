//! Reads the application's response about a token. Pure.

use bytes::Bytes;
use hubbub_actors::events::text;
use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::identity::Identity;
use serde_json::{Map, Value};

use crate::auth::claims::{self, LATEST_SECONDS, invalid};
use crate::upstream::http_client::HttpAnswer;

/// The members of a user object that can contain the user's id, in order of preference.
const USER_MEMBERS: [&str; 4] = ["id", "sub", "userId", "user_id"];

/// The result of a request about a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TokenDecision {
    /// The token belongs to this user.
    Accepted(Box<Identity>),
    /// The application refuses the token.
    Rejected(Fault),
    /// No decision, with the reason for the log.
    Undecided(BackendFailure, String),
}

/// Why a response contains no decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BackendFailure {
    /// The application or its proxy is unavailable, or does not answer. Counts for the circuit breaker.
    Unavailable,
    /// The application failed on this request. A malformed token may cause that, and any client can send one. So the
    /// circuit breaker stays closed; otherwise that client would lock out all others.
    Failed,
    /// The hub does not understand the response. A retry is of no use.
    NotUnderstood,
}

/// Reads a response. A session may outlive the expiry in the response by `leeway_ms`.
pub(super) fn read(answer: &HttpAnswer, leeway_ms: i64) -> TokenDecision {
    let failure = match answer.status {
        200 => {
            return answer
                .body()
                .and_then(|body| read_user(body, leeway_ms))
                .unwrap_or_else(|why| TokenDecision::Undecided(BackendFailure::NotUnderstood, why));
        }
        401 | 403 | 404 => return rejected(),
        429 | 502..=504 => BackendFailure::Unavailable,
        500..=599 => BackendFailure::Failed,
        _ => BackendFailure::NotUnderstood,
    };
    TokenDecision::Undecided(failure, format!("status {}", answer.status))
}

fn rejected() -> TokenDecision {
    TokenDecision::Rejected(invalid("The token is not known to the application").by("auth.backend.url"))
}

/// The result of a response with status 200.
fn read_user(body: &Bytes, leeway_ms: i64) -> Result<TokenDecision, String> {
    // A display name may be cut within an emoji.
    let body = text::resolve(body.clone());
    let body: Value = serde_json::from_slice(&body).map_err(|_| "the answer is not JSON")?;
    let body = body.as_object().ok_or("the answer is not a JSON object")?;
    if is_inactive(body) {
        return Ok(rejected());
    }
    let UserObject { user, position, container } = user_of(body)?;
    if is_inactive(container) || is_inactive(user) {
        return Ok(rejected());
    }
    let id = claims::user(user, &USER_MEMBERS).map_err(|fault| match names_a_user(user) {
        // The fault is written for a token: "The token's `id` is too long".
        true => {
            format!("the user in {position} has no usable id: {}", fault.message.replace("The token's ", ""))
        }
        false => format!("no user: {position} has none of `id`, `sub`, `userId`, `user_id`"),
    })?;
    let ends = [expiry(user)?, expiry(container)?, expiry(body)?].into_iter().flatten().min();
    let expires_at = ends.map(|end| end.saturating_add(leeway_ms));
    Ok(TokenDecision::Accepted(Box::new(Identity { expires_at, ..claims::described(id, user) })))
}

/// Whether an object marks the token as inactive (RFC 7662, section 2.2). PHP writes 0 for `false` if a database column
/// is not cast.
fn is_inactive(object: &Map<String, Value>) -> bool {
    object.get("active").is_some_and(|active| *active == Value::Bool(false) || active.as_f64() == Some(0.0))
}

/// The user object of a response, and its position.
struct UserObject<'a> {
    user: &'a Map<String, Value>,
    /// The position of the user, for the log.
    position: &'static str,
    /// The object that contains the user, or the user itself.
    container: &'a Map<String, Value>,
}

/// The user of a response: `user`; else `data`, which Laravel's resources add as a wrapper, or `data.user`; else the
/// response itself. Deeper levels are not read. A response with a user both in `data` and beside it is ambiguous, so it is
/// refused.
fn user_of(body: &Map<String, Value>) -> Result<UserObject<'_>, String> {
    if let Some(user) = body.get("user") {
        let user = user.as_object().ok_or("`user` is not an object")?;
        return Ok(UserObject { user, position: "`user`", container: body });
    }
    let bare = UserObject { user: body, position: "the answer", container: body };
    let data = match body.get("data") {
        None | Some(Value::Null) => return Ok(bare),
        Some(Value::Object(data)) => data,
        Some(_) if names_a_user(body) => return Ok(bare),
        // Laravel also sends this for a collection.
        Some(_) => return Err("`data` is not an object".into()),
    };
    let wrapped = match data.get("user") {
        Some(user) => {
            let user = user.as_object().ok_or("`data.user` is not an object")?;
            UserObject { user, position: "`data.user`", container: data }
        }
        None => UserObject { user: data, position: "`data`", container: data },
    };
    match (names_a_user(wrapped.user), names_a_user(body)) {
        (true, true) => Err(format!("the answer names a user in {} and another outside it", wrapped.position)),
        (false, true) => Ok(bare),
        (_, false) => Ok(wrapped),
    }
}

/// Whether an object has a member with a user's id.
fn names_a_user(object: &Map<String, Value>) -> bool {
    USER_MEMBERS.iter().any(|member| object.get(*member).is_some_and(|id| !id.is_null()))
}

/// The expiry of the token in ms: `exp` as in a token, or `expires_at`. The latter is an RFC 3339 time, or a number in
/// seconds, or in ms if it would be after the year 9999 in seconds. An unreadable expiry is an error: the session must
/// not outlive the token.
fn expiry(object: &Map<String, Value>) -> Result<Option<i64>, String> {
    let unreadable = |name: &str| format!("`{name}` is not a time");
    let exp = match object.get("exp") {
        None | Some(Value::Null) => None,
        Some(_) => claims::time(object, "exp").map_err(|_| unreadable("exp"))?,
    };
    let expires_at = match object.get("expires_at") {
        None | Some(Value::Null) => None,
        Some(value) => Some(timestamp(value).ok_or_else(|| unreadable("expires_at"))?),
    };
    Ok([exp, expires_at].into_iter().flatten().min())
}

fn timestamp(value: &Value) -> Option<i64> {
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

    fn read_ok(body: Value) -> TokenDecision {
        read(&HttpAnswer::plain(200, body.to_string().as_bytes()), 5_000)
    }

    #[test]
    fn a_user_is_read_from_a_wrapper_or_from_the_answer_itself() {
        let user = json!({
            "id": 42, "name": "Ann", "username": "ann", "email": "a@example.com", "avatar": "/a.png",
            "role": "admin", "roles": ["editor"], "permissions": ["read"], "topics": ["not", "ours"],
        });
        let TokenDecision::Accepted(bare) = read_ok(user.clone()) else { panic!("a user") };
        assert_eq!((bare.user.as_str(), bare.display_name(), bare.expires_at), ("42", "Ann", None));
        assert_eq!((bare.roles.join(" "), bare.permissions.join(" ")), ("admin editor".into(), "read".into()));
        assert_eq!((bare.subscribe.as_ref(), bare.sign_in.as_ref()), (None, None));
        assert_eq!(read_ok(json!({"user": user})), TokenDecision::Accepted(bare));
        let cut = br#"{"id": 42, "name": "Ann \ud83d"}"#;
        let TokenDecision::Accepted(cut) = read(&HttpAnswer::plain(200, cut), 0) else { panic!("a user") };
        assert_eq!(cut.name.as_deref(), Some("Ann \u{fffd}"));
        for (user, id) in [
            (json!({"sub": "a", "userId": "b"}), "a"),
            (json!({"userId": "b", "user_id": "c"}), "b"),
            (json!({"user_id": 7}), "7"),
            (json!({"id": null, "user_id": 7}), "7"),
        ] {
            let TokenDecision::Accepted(identity) = read_ok(user.clone()) else { panic!("{user}") };
            assert_eq!(identity.user.as_str(), id, "{user}");
        }
    }

    #[test]
    fn an_expiry_is_read_in_every_position_and_format() {
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
            (json!({"data": {"id": 1, "exp": now}}), now * 1_000),
            (json!({"data": {"user": {"id": 1, "exp": now + 9}, "exp": now}}), now * 1_000),
            (json!({"data": {"id": 1, "exp": now + 9}, "exp": now}), now * 1_000),
            (json!({"id": 1, "exp": now, "data": {"exp": "another thing"}}), now * 1_000),
        ] {
            let TokenDecision::Accepted(identity) = read_ok(body.clone()) else { panic!("{body}") };
            assert_eq!(identity.expires_at, Some(end + 5_000), "{body}");
        }
        for odd in [json!("soon"), json!(true), json!([]), json!("2026-01-01T00:00:00+02:00")] {
            let read = read_ok(json!({"id": 1, "expires_at": odd}));
            assert!(matches!(read, TokenDecision::Undecided(BackendFailure::NotUnderstood, _)), "{odd}");
        }
    }

    /// Laravel's resources wrap their content in `data`.
    #[test]
    fn a_user_is_read_from_data_and_from_no_deeper_level() {
        for (body, id) in [
            (json!({"data": {"id": 42}}), "42"),
            (json!({"data": {"id": 42, "user": null}, "user": {"id": 7}}), "7"),
            (json!({"data": {"user": {"id": 42}}, "success": true}), "42"),
            // The id beside `user` is the id of the token.
            (json!({"data": {"id": 9, "user": {"id": 42}}}), "42"),
            // The user object has a member named `data`.
            (json!({"id": 42, "data": {"theme": "dark"}}), "42"),
            (json!({"id": 42, "data": []}), "42"),
            (json!({"id": 42, "data": {"id": null}}), "42"),
        ] {
            let TokenDecision::Accepted(identity) = read_ok(body.clone()) else { panic!("{body}") };
            assert_eq!(identity.user.as_str(), id, "{body}");
        }
        let TokenDecision::Accepted(identity) = read_ok(json!({"data": {"id": 1, "role": "user"}, "role": "admin"}))
        else {
            panic!("a user")
        };
        assert_eq!(identity.roles, ["user"], "members beside the user are ignored");
    }

    #[test]
    fn the_reason_names_the_missing_member_and_repeats_no_content() {
        let members = "has none of `id`, `sub`, `userId`, `user_id`";
        for (body, why) in [
            (json!("s3cret"), "the answer is not a JSON object".to_owned()),
            (json!({"s3cret": 1}), format!("no user: the answer {members}")),
            (json!({"user": {"name": "s3cret"}}), format!("no user: `user` {members}")),
            (json!({"data": {"name": "s3cret"}}), format!("no user: `data` {members}")),
            (json!({"data": {"user": {"a": 1}}}), format!("no user: `data.user` {members}")),
            (json!({"data": {"data": {"id": 1}}}), format!("no user: `data` {members}")),
            (json!({"user": "s3cret"}), "`user` is not an object".into()),
            (json!({"data": {"user": ["s3cret"]}}), "`data.user` is not an object".into()),
            (json!({"data": [{"id": 1}], "meta": {}}), "`data` is not an object".into()),
            (json!({"data": []}), "`data` is not an object".into()),
            (json!({"id": 5, "data": {"id": 42}}), "the answer names a user in `data` and another outside it".into()),
            (
                json!({"sub": "a", "data": {"user": {"id": "a"}}}),
                "the answer names a user in `data.user` and another outside it".into(),
            ),
            (
                json!({"data": {"id": ["s3cret"]}}),
                "the user in `data` has no usable id: `id` is not a string or integer".into(),
            ),
            (json!({"id": ""}), "the user in the answer has no usable id: `id` is empty".into()),
            (json!({"data": {"id": 1, "exp": "s3cret"}}), "`exp` is not a time".into()),
        ] {
            assert_eq!(read_ok(body.clone()), TokenDecision::Undecided(BackendFailure::NotUnderstood, why), "{body}");
        }
    }

    #[test]
    fn only_a_clear_rejection_rejects_and_no_other_answer_authenticates() {
        for status in [401, 403, 404] {
            assert!(
                matches!(read(&HttpAnswer::plain(status, b"{\"id\": 1}"), 0), TokenDecision::Rejected(_)),
                "{status}"
            );
        }
        for active in [json!(false), json!(0)] {
            for body in [
                json!({"active": active}),
                json!({"active": active, "sub": "1"}),
                json!({"data": {"active": active}}),
                json!({"data": {"active": active, "sub": "1"}}),
                json!({"data": {"active": active, "user": {"id": 1}}}),
                json!({"user": {"active": active, "id": 1}}),
                json!({"active": active, "data": {"user": {"id": 1}}}),
            ] {
                assert!(matches!(read_ok(body.clone()), TokenDecision::Rejected(_)), "{body}");
            }
        }
        for active in [json!(true), json!(1), json!(null)] {
            let body = json!({"data": {"active": active, "sub": "1"}});
            assert!(matches!(read_ok(body.clone()), TokenDecision::Accepted(_)), "{body}");
        }
        use BackendFailure::{Failed, NotUnderstood, Unavailable};
        for (status, expected) in [
            (201, NotUnderstood),
            (204, NotUnderstood),
            (302, NotUnderstood),
            (400, NotUnderstood),
            (429, Unavailable),
            (500, Failed),
            (501, Failed),
            (502, Unavailable),
            (503, Unavailable),
            (504, Unavailable),
        ] {
            let decision = read(&HttpAnswer::plain(status, b"{\"id\": 1}"), 0);
            assert_eq!(decision, TokenDecision::Undecided(expected, format!("status {status}")));
        }
        for body in
            ["", "null", "[]", "<html>", "{}", "{\"user\": null}", "{\"user\": 1}", "{\"id\": {}}", "\u{1f}\u{8b}"]
        {
            let decision = read(&HttpAnswer::plain(200, body.as_bytes()), 0);
            assert!(matches!(decision, TokenDecision::Undecided(NotUnderstood, _)), "{body}");
        }
        let decision = read(&HttpAnswer::plain(200, b"\x1f\x8b\x08\0"), 0);
        assert!(
            matches!(&decision, TokenDecision::Undecided(NotUnderstood, why) if why.contains("gzip")),
            "{decision:?}"
        );
    }
}
