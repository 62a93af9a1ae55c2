//! `POST /api/revoke`: revokes tokens by user, by sign-in session or by token id.

use actix_web::web;
use hubbub_actors::events::timestamp::Iso;
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::model::ids::{IdText, OWNED_NAME_MAX, UserId};
use hubbub_actors::store::{Revocation, SUBJECT_MAX};
use log::Level;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::audit;
use super::call::Call;
use super::request::{Body, body_types};
use super::timestamps::Timestamp;
use crate::error::HttpError;
use crate::openapi::{Example, JsonReply, Operation, Tag, True};
use crate::state::SharedState;

/// How far the caller's clock may be ahead of the hub's, ms. A later time is a mistake that would lock a user out.
const AHEAD_MAX: i64 = 5 * 60 * 1000;

/// Exactly one of the three ids; `issuedBefore` goes with `userId` only. Unknown fields are refused: a misspelt `issuedBefore`
/// would revoke too much.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeCommand {
    /// The user of the tokens.
    #[serde(rename = "userId")]
    #[schemars(length(min = 1, max = OWNED_NAME_MAX))]
    user_id: Option<IdText>,
    /// The sign-in session of the tokens, their claim `sid`.
    #[schemars(length(min = 1, max = SUBJECT_MAX))]
    sid: Option<IdText>,
    /// The id of the token, its claim `jti`.
    #[schemars(length(min = 1, max = SUBJECT_MAX))]
    jti: Option<IdText>,
    /// With `userId`: tokens that were issued before this time are revoked. An ISO date, or seconds or milliseconds since 1970;
    /// at most 5 minutes in the future. Default: now plus `auth.leeway_secs`.
    #[serde(rename = "issuedBefore")]
    issued_before: Option<Timestamp>,
}

body_types!(RevokeCommand);

/// The response to a revocation.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RevokeReply {
    /// `true`.
    success: True,
    /// The sessions that were closed.
    closed: usize,
    /// The time of the response.
    timestamp: Iso,
}

impl RevokeCommand {
    /// The revocation at `now`, if an issuer's clock may be up to `leeway` ms ahead of the hub's.
    fn revocation(&self, now: i64, leeway: i64) -> Result<Revocation, Fault> {
        let revocation = match (&self.user_id, &self.sid, &self.jti) {
            (Some(id), None, None) => {
                let user = UserId::parse(&id.0, "userId")?;
                return self.before(now, leeway).map(|before| Revocation::of_user(&user, before, now));
            }
            (None, Some(sid), None) => Revocation::parse_sid(&sid.0, "sid", now),
            (None, None, Some(jti)) => Revocation::parse_jti(&jti.0, "jti", now),
            _ => Err(Fault::new(Code::InvalidRequest, "Exactly one of userId, sid and jti is needed")),
        }?;
        match self.issued_before {
            None => Ok(revocation),
            Some(_) => Err(Fault::field(
                "issuedBefore",
                "`issuedBefore` goes with `userId`: a sid and a jti are revoked whenever their tokens were issued",
            )),
        }
    }

    /// The first `iat` that stays valid. Without `issuedBefore`, `leeway` is added to `now`, so that tokens of an issuer with a
    /// fast clock are revoked too. `issuedBefore` is taken as it is.
    fn before(&self, now: i64, leeway: i64) -> Result<i64, Fault> {
        let Some(timestamp) = &self.issued_before else { return Ok(now + leeway + 1) };
        match timestamp.ms("issuedBefore")? {
            before if before > now + AHEAD_MAX => {
                Err(Fault::field("issuedBefore", "`issuedBefore` lies more than 5 minutes in the future"))
            }
            before => Ok(before),
        }
    }
}

pub(super) const REVOKE: Operation = Operation {
    id: "revoke",
    tag: Tag::Management,
    summary: "Revokes tokens by user, by sign-in session or by token id, and closes their sessions.",
    description: "Exactly one of `userId`, `sid` and `jti` is needed. The sessions close with 4401.",
    errors: &[Code::StoreUnavailable, Code::OutcomeUnknown],
    example: Example {
        target: "/api/revoke",
        body: r#"{"userId": "u1"}"#,
        status: 200,
        answer: r#"{"success": true, "closed": 2, "timestamp": "2026-01-02T03:04:05.678Z"}"#,
    },
};

/// `POST /api/revoke`.
pub(super) async fn revoke(
    state: web::Data<SharedState>,
    call: Call,
    body: Body<RevokeCommand>,
) -> Result<JsonReply<RevokeReply>, HttpError> {
    let command = body.parse()?;
    let revocation = command.revocation(state.now_ms(), state.policies().config.auth.leeway_ms())?;
    let closed = state.hub.store_and_revoke(revocation).await?;
    let subjects = [("user", &command.user_id), ("session", &command.sid), ("tokenId", &command.jti)];
    let mut fields: Vec<_> =
        subjects.iter().filter_map(|(name, id)| Some((*name, id.as_ref()?.0.as_str().into()))).collect();
    fields.push(("closed", (closed as u64).into()));
    audit::log(Level::Info, &call, "tokens revoked", &fields);
    Ok(JsonReply(RevokeReply { success: True, closed, timestamp: Iso(state.now_ms()) }))
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    const NOW: i64 = 1_752_921_000_000;

    fn read(body: &str) -> Result<Revocation, Fault> {
        json::parse::<RevokeCommand>(body.as_bytes())?.revocation(NOW, 5_000)
    }

    #[test]
    fn one_id_is_revoked_and_can_be_a_number() {
        let user = UserId::parse("42", "userId").unwrap();
        for (body, before) in [
            (r#"{"userId":42}"#, NOW + 5_001),
            (r#"{"userId":"42","issuedBefore":null,"sid":null}"#, NOW + 5_001),
            (r#"{"userId":42,"issuedBefore":1752920000}"#, NOW - 1_000_000),
            (r#"{"userId":42,"issuedBefore":"2025-07-19T10:31:00Z"}"#, NOW + 60_000),
        ] {
            assert_eq!(read(body), Ok(Revocation::of_user(&user, before, NOW)), "{body}");
        }
        assert_eq!(read(r#"{"sid":"s"}"#), Revocation::parse_sid("s", "sid", NOW));
        assert_eq!(read(r#"{"jti":7}"#), Revocation::parse_jti("7", "jti", NOW));
    }

    #[test]
    fn a_refused_time_gets_the_expected_forms() {
        for time in ["true", "{}", "[1]", r#""soon""#, "-1"] {
            let fault = read(&format!(r#"{{"userId":1,"issuedBefore":{time}}}"#)).unwrap_err();
            let expected = "expected an ISO date, or seconds or milliseconds since 1970";
            assert!(fault.message.contains("`issuedBefore`") && fault.message.ends_with(expected), "{}", fault.message);
        }
    }

    #[test]
    fn an_invalid_revocation_is_refused_with_its_field() {
        for (body, field) in [
            ("{}", None),
            (r#"{"userId":null}"#, None),
            (r#"{"userId":1,"sid":"s"}"#, None),
            (r#"{"userId":1,"sid":"s","jti":"j"}"#, None),
            (r#"{"issuedBefore":1}"#, None),
            (r#"{"userId":""}"#, Some("userId")),
            (r#"{"userId":true}"#, Some("userId")),
            (r#"{"sid":""}"#, Some("sid")),
            (r#"{"jti":["j"]}"#, Some("jti")),
            (r#"{"userId":1,"issuedBefore":"soon"}"#, Some("issuedBefore")),
            (r#"{"userId":1,"issuedBefore":{}}"#, Some("issuedBefore")),
            (r#"{"userId":1,"issuedBefore":1752922000}"#, Some("issuedBefore")),
            (r#"{"sid":"s","issuedBefore":1}"#, Some("issuedBefore")),
            (r#"{"userId":1,"issuedbefore":1}"#, Some("issuedbefore")),
        ] {
            let fault = read(body).unwrap_err();
            assert_eq!((fault.code, fault.field.as_deref()), (Code::InvalidRequest, field), "{body}");
        }
    }
}
