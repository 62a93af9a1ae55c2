//! Reads the application's answer about a token. Pure.

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
pub(super) enum Verdict {
    /// The token belongs to this user.
    Holder(Box<Identity>),
    /// The application rejects the token.
    Refused(Fault),
    /// No decision, with the reason for the log.
    Unclear(Trouble, String),
}

/// Why an answer contains no decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The application or its proxy is unavailable, or does not answer. Counts for the circuit breaker.
    Down,
    /// The application failed on this request. A malformed token may cause that, and any client can send one. So the
    /// circuit breaker stays closed; otherwise that client would lock out all others.
    Failed,
    /// The hub does not understand the answer. A retry is of no use.
    NotUnderstood,
}

/// Reads an answer. A session may outlive the expiry in the answer by `leeway_ms`.
pub(super) fn read(answer: &HttpAnswer, leeway_ms: i64) -> Verdict {
    let trouble = match answer.status {
        200 => {
            return answer
                .body()
                .and_then(|body| holder(body, leeway_ms))
                .unwrap_or_else(|why| Verdict::Unclear(Trouble::NotUnderstood, why));
        }
        401 | 403 | 404 => return refused(),
        429 | 502..=504 => Trouble::Down,
        500..=599 => Trouble::Failed,
        _ => Trouble::NotUnderstood,
    };
    Verdict::Unclear(trouble, format!("status {}", answer.status))
}

fn refused() -> Verdict {
    Verdict::Refused(invalid("The token is not known to the application").by("auth.backend.url"))
}

/// The result of an answer with status 200.
fn holder(body: &Bytes, leeway_ms: i64) -> Result<Verdict, String> {
    // A display name may be cut within an emoji.
    let body = text::resolve(body.clone());
    let body: Value = serde_json::from_slice(&body).map_err(|_| "an answer that is no JSON")?;
    let body = body.as_object().ok_or("an answer that is no JSON object")?;
    if is_inactive(body) {
        return Ok(refused());
    }
    let User { user, place, around } = user_of(body)?;
    if is_inactive(around) || is_inactive(user) {
        return Ok(refused());
    }
    let id = claims::user(user, &USER_MEMBERS).map_err(|fault| match names_a_user(user) {
        // The fault is written for a token: "The token's `id` is too long".
        true => {
            format!("an answer whose user in {place} has no usable id: {}", fault.message.replace("The token's ", ""))
        }
        false => format!("an answer that names no user: {place} has none of `id`, `sub`, `userId`, `user_id`"),
    })?;
    let ends = [expiry(user)?, expiry(around)?, expiry(body)?].into_iter().flatten().min();
    let expires_at = ends.map(|end| end.saturating_add(leeway_ms));
    Ok(Verdict::Holder(Box::new(Identity { expires_at, ..claims::described(id, user) })))
}

/// Whether an object marks the token as inactive (RFC 7662, section 2.2). PHP writes 0 for `false` if a database column
/// is not cast.
fn is_inactive(object: &Map<String, Value>) -> bool {
    object.get("active").is_some_and(|active| *active == Value::Bool(false) || active.as_f64() == Some(0.0))
}

/// The user object of an answer, and its position.
struct User<'a> {
    user: &'a Map<String, Value>,
    /// The position of the user, for the log.
    place: &'static str,
    /// The object that contains the user, or the user itself.
    around: &'a Map<String, Value>,
}

/// The user of an answer: `user`; else `data`, which Laravel's resources add as a wrapper, or `data.user`; else the
/// answer itself. Deeper levels are not read. An answer with a user both in `data` and beside it is ambiguous, so it is
/// refused.
fn user_of(body: &Map<String, Value>) -> Result<User<'_>, String> {
    if let Some(user) = body.get("user") {
        let user = user.as_object().ok_or("an answer whose `user` is no object")?;
        return Ok(User { user, place: "`user`", around: body });
    }
    let bare = User { user: body, place: "it", around: body };
    let data = match body.get("data") {
        None | Some(Value::Null) => return Ok(bare),
        Some(Value::Object(data)) => data,
        Some(_) if names_a_user(body) => return Ok(bare),
        // Laravel also sends this for a collection.
        Some(_) => return Err("an answer whose `data` is no object".into()),
    };
    let wrapped = match data.get("user") {
        Some(user) => {
            let user = user.as_object().ok_or("an answer whose `data.user` is no object")?;
            User { user, place: "`data.user`", around: data }
        }
        None => User { user: data, place: "`data`", around: data },
    };
    match (names_a_user(wrapped.user), names_a_user(body)) {
        (true, true) => Err(format!("an answer that names a user in {} and another beside it", wrapped.place)),
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
        read(&HttpAnswer::plain(200, body.to_string().as_bytes()), 5_000)
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
        let Verdict::Holder(cut) = read(&HttpAnswer::plain(200, cut), 0) else { panic!("a user") };
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
            (json!({"data": {"id": 1, "exp": now}}), now * 1_000),
            (json!({"data": {"user": {"id": 1, "exp": now + 9}, "exp": now}}), now * 1_000),
            (json!({"data": {"id": 1, "exp": now + 9}, "exp": now}), now * 1_000),
            (json!({"id": 1, "exp": now, "data": {"exp": "another thing"}}), now * 1_000),
        ] {
            let Verdict::Holder(identity) = read_ok(body.clone()) else { panic!("{body}") };
            assert_eq!(identity.expires_at, Some(end + 5_000), "{body}");
        }
        for odd in [json!("soon"), json!(true), json!([]), json!("2026-01-01T00:00:00+02:00")] {
            let read = read_ok(json!({"id": 1, "expires_at": odd}));
            assert!(matches!(read, Verdict::Unclear(Trouble::NotUnderstood, _)), "{odd}");
        }
    }

    /// Laravel's resources wrap their content in `data`.
    #[test]
    fn a_user_may_be_wrapped_in_data_and_in_nothing_deeper() {
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
            let Verdict::Holder(identity) = read_ok(body.clone()) else { panic!("{body}") };
            assert_eq!(identity.user.as_str(), id, "{body}");
        }
        let Verdict::Holder(identity) = read_ok(json!({"data": {"id": 1, "role": "user"}, "role": "admin"})) else {
            panic!("a user")
        };
        assert_eq!(identity.roles, ["user"], "what stands beside the user says nothing of it");
    }

    #[test]
    fn what_an_answer_lacks_is_said_and_not_what_it_holds() {
        let members = "has none of `id`, `sub`, `userId`, `user_id`";
        for (body, why) in [
            (json!("s3cret"), "an answer that is no JSON object".to_owned()),
            (json!({"s3cret": 1}), format!("an answer that names no user: it {members}")),
            (json!({"user": {"name": "s3cret"}}), format!("an answer that names no user: `user` {members}")),
            (json!({"data": {"name": "s3cret"}}), format!("an answer that names no user: `data` {members}")),
            (json!({"data": {"user": {"a": 1}}}), format!("an answer that names no user: `data.user` {members}")),
            (json!({"data": {"data": {"id": 1}}}), format!("an answer that names no user: `data` {members}")),
            (json!({"user": "s3cret"}), "an answer whose `user` is no object".into()),
            (json!({"data": {"user": ["s3cret"]}}), "an answer whose `data.user` is no object".into()),
            (json!({"data": [{"id": 1}], "meta": {}}), "an answer whose `data` is no object".into()),
            (json!({"data": []}), "an answer whose `data` is no object".into()),
            (
                json!({"id": 5, "data": {"id": 42}}),
                "an answer that names a user in `data` and another beside it".into(),
            ),
            (
                json!({"sub": "a", "data": {"user": {"id": "a"}}}),
                "an answer that names a user in `data.user` and another beside it".into(),
            ),
            (
                json!({"data": {"id": ["s3cret"]}}),
                "an answer whose user in `data` has no usable id: `id` is no string and no integer".into(),
            ),
            (json!({"id": ""}), "an answer whose user in it has no usable id: `id` is empty".into()),
            (json!({"data": {"id": 1, "exp": "s3cret"}}), "an answer whose `exp` is no time".into()),
        ] {
            assert_eq!(read_ok(body.clone()), Verdict::Unclear(Trouble::NotUnderstood, why), "{body}");
        }
    }

    #[test]
    fn only_a_clear_no_is_a_no_and_all_else_lets_nobody_in() {
        for status in [401, 403, 404] {
            assert!(matches!(read(&HttpAnswer::plain(status, b"{\"id\": 1}"), 0), Verdict::Refused(_)), "{status}");
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
                assert!(matches!(read_ok(body.clone()), Verdict::Refused(_)), "{body}");
            }
        }
        for active in [json!(true), json!(1), json!(null)] {
            let body = json!({"data": {"active": active, "sub": "1"}});
            assert!(matches!(read_ok(body.clone()), Verdict::Holder(_)), "{body}");
        }
        use Trouble::{Down, Failed, NotUnderstood};
        for (status, expected) in [
            (201, NotUnderstood),
            (204, NotUnderstood),
            (302, NotUnderstood),
            (400, NotUnderstood),
            (429, Down),
            (500, Failed),
            (501, Failed),
            (502, Down),
            (503, Down),
            (504, Down),
        ] {
            let decision = read(&HttpAnswer::plain(status, b"{\"id\": 1}"), 0);
            assert_eq!(decision, Verdict::Unclear(expected, format!("status {status}")));
        }
        for body in
            ["", "null", "[]", "<html>", "{}", "{\"user\": null}", "{\"user\": 1}", "{\"id\": {}}", "\u{1f}\u{8b}"]
        {
            let decision = read(&HttpAnswer::plain(200, body.as_bytes()), 0);
            assert!(matches!(decision, Verdict::Unclear(NotUnderstood, _)), "{body}");
        }
        let decision = read(&HttpAnswer::plain(200, b"\x1f\x8b\x08\0"), 0);
        assert!(matches!(&decision, Verdict::Unclear(NotUnderstood, why) if why.contains("gzip")), "{decision:?}");
    }
}
