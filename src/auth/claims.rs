//! Reads the claims of a token with a valid signature. This module knows no algorithm and no key.
//!
//! A claim of the wrong type is handled in two ways. A claim that only describes the user (`name`, `avatar`, a role) is
//! ignored, like `null`: the user gets fewer rights, never more. A claim that restricts the token (`exp`, `nbf`,
//! `topics`) or identifies it for revocation (`sid`, `jti`, `iat`) makes the token invalid, `null` included: it must
//! never widen the rights of the token.

use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::model::identity::Identity;
use hubbub_actors::model::ids::UserId;
use hubbub_actors::model::topic_pattern::Pattern;
use hubbub_actors::store::SUBJECT_MAX;
use serde_json::{Map, Value};

/// The claims that can contain the user's id, in order of preference.
const USER_CLAIMS: [&str; 3] = ["sub", "userId", "user_id"];

/// 9999-12-31T23:59:59Z. A later time is a mistake, usually milliseconds in place of seconds.
pub(super) const LATEST_SECONDS: i64 = 253_402_300_799;

/// Longest part of a time that an error repeats, in characters.
const ECHO_MAX: usize = 40;

/// The requirements for every token.
#[derive(Debug, Clone, Default)]
pub(super) struct ClaimRequirements {
    /// Whether a token needs an `exp`.
    pub(super) require_exp: bool,
    /// Allowed difference between the issuer's clock and ours, in ms.
    pub(super) leeway_ms: i64,
    /// The accepted issuers; empty: any.
    pub(super) issuers: Vec<String>,
    /// The accepted audiences; empty: any.
    pub(super) audiences: Vec<String>,
}

/// The error for an invalid token.
pub(super) fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
    Fault::new(Code::InvalidToken, message)
}

/// As [`invalid`], for an error in one claim.
fn of_claim(claim: &str, message: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
    invalid(message).by(format!("token {claim}"))
}

/// Turns verified claims into an identity, or returns why the token is not valid at `now_ms`.
pub(super) fn identity(
    claims: &Map<String, Value>,
    requirements: &ClaimRequirements,
    now_ms: i64,
) -> Result<Identity, Fault> {
    // The signature is valid, so the user in the log is the user of the token.
    checked(claims, requirements, now_ms).map_err(|fault| match user(claims, &USER_CLAIMS) {
        Ok(user) => fault.of_user(user.as_str()),
        Err(_) => fault,
    })
}

fn checked(claims: &Map<String, Value>, requirements: &ClaimRequirements, now_ms: i64) -> Result<Identity, Fault> {
    check_origin(claims, "iss", &requirements.issuers)?;
    check_origin(claims, "aud", &requirements.audiences)?;
    let expires_at = lifetime(claims, requirements, now_ms)?;
    let (subscribe, publish) = topics(claims)?;
    Ok(Identity {
        sign_in: revocable(claims, "sid")?,
        token_id: revocable(claims, "jti")?,
        issued_at: issue_time(claims, requirements, now_ms)?,
        expires_at,
        subscribe,
        publish,
        ..described(user(claims, &USER_CLAIMS)?, claims)
    })
}

/// The part of the identity in `claims` that only describes `user`.
pub(super) fn described(user: UserId, claims: &Map<String, Value>) -> Identity {
    Identity {
        name: text(claims, "name"),
        username: text(claims, "username"),
        email: text(claims, "email"),
        avatar: text(claims, "avatar"),
        roles: roles(claims),
        permissions: permissions(claims),
        ..Identity::of(user)
    }
}

/// Checks `exp` and `nbf`, and returns the end of the session, leeway included.
///
/// RFC 7519, section 4.1.4: a token is refused *on* or after its expiry; section 4.1.5: before `nbf`.
fn lifetime(claims: &Map<String, Value>, requirements: &ClaimRequirements, now_ms: i64) -> Result<Option<i64>, Fault> {
    let not_before = time(claims, "nbf")?;
    let expires_at = time(claims, "exp")?.map(|expiry_ms| expiry_ms.saturating_add(requirements.leeway_ms));
    if expires_at.is_none() && requirements.require_exp {
        return Err(invalid("The token has no `exp`").by("auth.require_exp"));
    }
    if expires_at.is_some_and(|end| now_ms >= end) {
        return Err(Fault::new(Code::TokenExpired, "The token has expired").by("token exp"));
    }
    if not_before.is_some_and(|start| now_ms < start.saturating_sub(requirements.leeway_ms)) {
        return Err(invalid("The token is not valid yet").by("token nbf"));
    }
    Ok(expires_at)
}

/// Checks `iss` or `aud`. If `accepted` is not empty, the claim must be one of its values, or a list that contains one
/// (RFC 7519, sections 4.1.1 and 4.1.3; compared exactly). The error does not show the accepted values.
fn check_origin(claims: &Map<String, Value>, claim: &str, accepted: &[String]) -> Result<(), Fault> {
    if accepted.is_empty() {
        return Ok(());
    }
    let is_accepted = |value: &Value| value.as_str().is_some_and(|text| accepted.iter().any(|other| other == text));
    let rule = if claim == "iss" { "auth.issuer" } else { "auth.audience" };
    let holds = match claims.get(claim) {
        None | Some(Value::Null) => return Err(invalid(format!("The token has no `{claim}`")).by(rule)),
        Some(Value::Array(several)) if claim == "aud" => several.iter().any(is_accepted),
        Some(value) => is_accepted(value),
    };
    if holds { Ok(()) } else { Err(invalid(format!("The token's `{claim}` is not accepted here")).by(rule)) }
}

/// Checks `iat`. A token from the future would survive a revocation of its user, so it is refused.
fn issue_time(
    claims: &Map<String, Value>,
    requirements: &ClaimRequirements,
    now_ms: i64,
) -> Result<Option<i64>, Fault> {
    let issued_at = time(claims, "iat")?;
    if issued_at.is_some_and(|issued| issued > now_ms.saturating_add(requirements.leeway_ms)) {
        let message = "The token's `iat` lies in the future; check the clock of its issuer";
        return Err(invalid(message).by("token iat"));
    }
    Ok(issued_at)
}

/// A claim with a NumericDate (RFC 7519, section 2: seconds, with or without a fraction), in ms. A time before 1970
/// counts as 1970.
pub(super) fn time(claims: &Map<String, Value>, claim: &str) -> Result<Option<i64>, Fault> {
    let Some(value) = claims.get(claim) else {
        return Ok(None);
    };
    let seconds = value.as_f64().filter(|seconds| seconds.is_finite());
    match (value.as_i64(), seconds) {
        (Some(whole), _) if whole <= LATEST_SECONDS => Ok(Some(whole.max(0) * 1_000)),
        // No overflow: the product is below 2^53, where floats represent every integer.
        (None, Some(seconds)) if seconds <= LATEST_SECONDS as f64 => {
            Ok(Some((seconds.max(0.0) * 1_000.0).floor() as i64))
        }
        (_, Some(_)) => {
            let got: String = value.to_string().chars().take(ECHO_MAX).collect();
            let message = format!(
                "The token's `{claim}` lies after the year 9999; it counts seconds, not milliseconds: got {got}"
            );
            Err(of_claim(claim, message))
        }
        (_, None) => Err(of_claim(claim, format!("The token's `{claim}` is not a number"))),
    }
}

/// The user's id: the first claim of `names` that is present and not `null`.
pub(super) fn user(claims: &Map<String, Value>, names: &[&'static str]) -> Result<UserId, Fault> {
    let found = names.iter().find_map(|&claim| Some((claim, claims.get(claim).filter(|value| !value.is_null())?)));
    let Some((claim, value)) = found else {
        return Err(invalid("The token names no user").by("token sub"));
    };
    let id =
        id_text(value).ok_or_else(|| of_claim(claim, format!("The token's `{claim}` is not a string or integer")))?;
    UserId::parse(&id, claim).map_err(|fault| of_claim(claim, format!("The token's {}", fault.message)))
}

/// The text of an id, which may be a string or an integer.
fn id_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// A claim for display. A blank text counts as absent.
fn text(claims: &Map<String, Value>, claim: &str) -> Option<Box<str>> {
    let text = claims.get(claim)?.as_str()?;
    (!text.trim().is_empty()).then(|| text.into())
}

/// `role` and `roles` together, each a string or a list of strings, in order and without repeats.
fn roles(claims: &Map<String, Value>) -> Vec<String> {
    let mut roles = Vec::new();
    for role in ["role", "roles"].into_iter().flat_map(|claim| texts(claims, claim)) {
        add(&mut roles, role);
    }
    roles
}

/// `permissions`: a list, or one string with spaces between the items, like an OAuth scope (RFC 6749, section 3.3).
fn permissions(claims: &Map<String, Value>) -> Vec<String> {
    let mut permissions = Vec::new();
    let one_string = claims.get("permissions").is_some_and(Value::is_string);
    for text in texts(claims, "permissions") {
        if one_string {
            text.split_whitespace().for_each(|permission| add(&mut permissions, permission));
        } else {
            add(&mut permissions, text);
        }
    }
    permissions
}

fn add(held: &mut Vec<String>, name: &str) {
    if !name.is_empty() && !held.iter().any(|other| other == name) {
        held.push(name.to_owned());
    }
}

/// The strings of a claim that is a string or a list; other values grant nothing.
fn texts<'a>(claims: &'a Map<String, Value>, claim: &str) -> impl Iterator<Item = &'a str> {
    let value = claims.get(claim);
    let list = value.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    value.and_then(Value::as_str).into_iter().chain(list.iter().filter_map(Value::as_str))
}

/// `sid` or `jti`. If it is unreadable, no revocation can match the token, so the token is refused.
fn revocable(claims: &Map<String, Value>, claim: &str) -> Result<Option<Box<str>>, Fault> {
    let unreadable = || of_claim(claim, format!("The token's `{claim}` is not a string or integer, or is too long"));
    // A longer id cannot be in a revocation, so its token could not be revoked.
    let read = |value| id_text(value).filter(|text| text.chars().count() <= SUBJECT_MAX).ok_or_else(unreadable);
    Ok(claims.get(claim).map(read).transpose()?.map(String::into_boxed_str))
}

/// The patterns that `topics` allows for `subscribe` and `publish`.
type Narrowed = (Option<Vec<Pattern>>, Option<Vec<Pattern>>);

/// Reads `topics`. An unknown key makes the token invalid, because a misspelt key would restrict nothing.
fn topics(claims: &Map<String, Value>) -> Result<Narrowed, Fault> {
    let Some(value) = claims.get("topics") else {
        return Ok((None, None));
    };
    let topics = value.as_object().ok_or_else(|| of_claim("topics", "The token's `topics` is not an object"))?;
    if topics.keys().any(|key| key != "subscribe" && key != "publish") {
        let message = "The token's `topics` has a key that is neither `subscribe` nor `publish`";
        return Err(of_claim("topics", message));
    }
    Ok((patterns(topics, "subscribe")?, patterns(topics, "publish")?))
}

fn patterns(topics: &Map<String, Value>, key: &str) -> Result<Option<Vec<Pattern>>, Fault> {
    let Some(value) = topics.get(key) else {
        return Ok(None);
    };
    value
        .as_array()
        .and_then(|list| list.iter().map(|pattern| pattern.as_str().map(Pattern::new)).collect())
        .map(Some)
        .ok_or_else(|| of_claim("topics", format!("The token's `topics.{key}` is not a list of strings")))
}

#[cfg(test)]
mod tests;
