//! Stores revoked tokens. The running hub uses the copy in [`crate::revocations`].

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::health::StoreError;
use super::{Store, invalid, stored_id};
use crate::model::fault::Fault;
use crate::model::identity::Identity;
use crate::model::ids::UserId;

/// Longest `sid` or `jti` accepted from a client, in characters.
pub const SUBJECT_MAX: usize = 255;

/// The part of a token that a revocation matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RevocationScope {
    /// The user, for a disabled account.
    Account,
    /// The user and the time of issue.
    User,
    /// The `sid`: the sign-in that issued the token.
    SignIn,
    /// The `jti`.
    Token,
}

impl RevocationScope {
    /// All marks.
    pub const ALL: [Self; 4] = [Self::Account, Self::User, Self::SignIn, Self::Token];

    /// The name in the store.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::User => "user",
            Self::SignIn => "sign-in",
            Self::Token => "token",
        }
    }

    /// The value of this mark in a token with this `identity`.
    pub fn of(self, identity: &Identity) -> Option<&str> {
        match self {
            Self::Account | Self::User => Some(identity.user.as_str()),
            Self::SignIn => identity.sign_in.as_deref(),
            Self::Token => identity.token_id.as_deref(),
        }
    }
}

/// Revokes the tokens that have `subject` in `scope` and were issued before `before`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The part of a token to match.
    pub scope: RevocationScope,
    /// The value to match.
    pub subject: Arc<str>,
    /// The user of the tokens, if known.
    pub user: Option<UserId>,
    /// Tokens issued at this time or later stay valid, ms since the epoch; `i64::MAX` revokes all.
    pub before: i64,
    /// When the last of the tokens expires, ms since the epoch; `None` when unknown.
    pub until: Option<i64>,
    /// Creation time, ms since the epoch.
    pub made_at: i64,
}

impl Revocation {
    /// Revokes all tokens of a user while the account is disabled.
    pub fn of_account(user: &UserId, now: i64) -> Self {
        Self { before: i64::MAX, scope: RevocationScope::Account, ..Self::of_user(user, now, now) }
    }

    /// Revokes the user's tokens issued before `before`, and tokens without a time of issue.
    pub fn of_user(user: &UserId, before: i64, now: i64) -> Self {
        let subject = Arc::from(user.as_str());
        Self { scope: RevocationScope::User, subject, user: Some(user.clone()), before, until: None, made_at: now }
    }

    /// Revokes the tokens of a sign-in of `user`. The last of them expires at `until`.
    pub fn of_sign_in(id: &str, user: UserId, until: i64, now: i64) -> Self {
        Self { user: Some(user), until: Some(until), ..Self::outright(RevocationScope::SignIn, id, now) }
    }

    /// Revokes all tokens with this `sid`, of any issuer. `field` is its name in the request.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::InvalidRequest`] with `field`, when the `sid` is empty or longer than
    /// [`SUBJECT_MAX`].
    pub fn parse_sid(sid: &str, field: &str, now: i64) -> Result<Self, Fault> {
        check(sid, field).map(|()| Self::outright(RevocationScope::SignIn, sid, now))
    }

    /// Revokes all tokens with this `jti`. `field` is its name in the request.
    ///
    /// # Errors
    /// As [`Revocation::parse_sid`].
    pub fn parse_jti(jti: &str, field: &str, now: i64) -> Result<Self, Fault> {
        check(jti, field).map(|()| Self::outright(RevocationScope::Token, jti, now))
    }

    fn outright(scope: RevocationScope, subject: &str, now: i64) -> Self {
        Self { scope, subject: Arc::from(subject), user: None, before: i64::MAX, until: None, made_at: now }
    }

    /// Whether this revokes the token with this `identity`.
    pub fn hits(&self, identity: &Identity) -> bool {
        self.scope.of(identity) == Some(&*self.subject) && is_older(identity, self.before)
    }
}

fn check(subject: &str, field: &str) -> Result<(), Fault> {
    match subject.chars().count() {
        1..=SUBJECT_MAX => Ok(()),
        _ => Err(Fault::field(field, format!("`{field}` is not 1 to {SUBJECT_MAX} characters"))),
    }
}

/// Whether the token with this `identity` was issued before `before` or has no time of issue.
pub(crate) fn is_older(identity: &Identity, before: i64) -> bool {
    identity.issued_at.is_none_or(|issued| issued < before)
}

/// A revocation that was evicted for a new one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EvictedRevocation {
    /// Creation time, ms since the epoch.
    pub made_at: i64,
    /// The part of a token that it matched.
    pub scope: RevocationScope,
    /// The value that it matched.
    pub subject: Arc<str>,
}

impl Store {
    /// Stores a revocation, ends the sign-ins that it matches, and deletes the evicted one.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::StoreUnavailable`], [`crate::model::fault::Code::Overloaded`].
    pub async fn revoke(&self, revocation: Revocation, evicted: Option<EvictedRevocation>) -> Result<(), Fault> {
        self.write(move |conn| {
            if let Some(EvictedRevocation { made_at, scope, subject }) = evicted {
                // Not if it was stored again since.
                conn.prepare_cached("DELETE FROM revocations WHERE mark = ?1 AND subject = ?2 AND made_at <= ?3")?
                    .execute(params![scope.as_str(), &*subject, made_at])?;
            }
            end_matching(conn, &revocation)?;
            record(conn, &revocation)
        })
        .await
    }

    /// The revocations that have not expired at `now`.
    ///
    /// # Errors
    /// As [`Store::ping`].
    pub async fn revocations(&self, now: i64) -> Result<Vec<Revocation>, Fault> {
        self.read(move |conn| {
            let mut statement = conn.prepare_cached(
                "SELECT mark, subject, user_id, before, until, made_at FROM revocations
                 WHERE until IS NULL OR until > ?1 ORDER BY mark, subject",
            )?;
            let mut rows = statement.query([now])?;
            let mut revocations = Vec::new();
            while let Some(row) = rows.next()? {
                let (scope, subject): (String, String) = (row.get(0)?, row.get(1)?);
                let user: Option<String> = row.get(2)?;
                revocations.push(Revocation {
                    scope: stored_scope(&scope)?,
                    subject: subject.into(),
                    user: user.map(|user| stored_id(&user)).transpose()?,
                    before: row.get(3)?,
                    until: row.get(4)?,
                    made_at: row.get(5)?,
                });
            }
            Ok(revocations)
        })
        .await
    }
}

fn stored_scope(name: &str) -> Result<RevocationScope, StoreError> {
    RevocationScope::ALL
        .into_iter()
        .find(|scope| scope.as_str() == name)
        .ok_or_else(|| invalid(format!("the store holds a revocation with the unknown mark {name:?}")))
}

/// Ends the sign-ins that a revocation matches, because their refresh tokens are revoked too.
fn end_matching(conn: &Connection, revocation: &Revocation) -> Result<(), StoreError> {
    let subject = &*revocation.subject;
    match revocation.scope {
        RevocationScope::Account => conn.execute("DELETE FROM sign_ins WHERE user_id = ?1", [subject])?,
        // The row stays: a newer access token is still valid, and ending the sign-in needs its row.
        RevocationScope::User => conn
            .prepare_cached(
                "UPDATE sign_ins SET refresh = randomblob(32), refresh_until = min(refresh_until, ?3)
                 WHERE user_id = ?1 AND created_at < ?2",
            )?
            .execute(params![subject, revocation.before, revocation.made_at])?,
        RevocationScope::SignIn => conn.prepare_cached("DELETE FROM sign_ins WHERE id = ?1")?.execute([subject])?,
        RevocationScope::Token => 0,
    };
    Ok(())
}

/// Ends all sign-ins of a user and revokes their tokens.
pub(super) fn end_sign_ins(conn: &Connection, user: &UserId, now: i64) -> Result<(), StoreError> {
    let mut statement = conn.prepare("DELETE FROM sign_ins WHERE user_id = ?1 RETURNING id, tokens_until")?;
    let ended = statement.query_map([user.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let ended = ended.collect::<Result<Vec<(String, i64)>, _>>()?;
    for (id, until) in ended {
        record(conn, &Revocation::of_sign_in(&id, user.clone(), until, now))?;
    }
    Ok(())
}

/// Stores a revocation and deletes the expired ones. An existing revocation is only extended, so that every revoked
/// token stays revoked.
pub(super) fn record(conn: &Connection, revocation: &Revocation) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM revocations WHERE until <= ?1")?.execute([revocation.made_at])?;
    conn.prepare_cached(
        "INSERT INTO revocations (mark, subject, user_id, before, until, made_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET
            user_id = coalesce(?3, user_id),
            before = max(before, ?4),
            until = CASE WHEN until IS NULL OR ?5 IS NULL THEN NULL ELSE max(until, ?5) END,
            made_at = max(made_at, ?6)",
    )?
    .execute(params![
        revocation.scope.as_str(),
        &*revocation.subject,
        revocation.user.as_ref().map(UserId::as_str),
        revocation.before,
        revocation.until,
        revocation.made_at
    ])?;
    Ok(())
}

/// Removes the revocation that a disabled account caused.
pub(super) fn restore_account(conn: &Connection, user: &UserId) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM revocations WHERE mark = ?1 AND subject = ?2")?
        .execute(params![RevocationScope::Account.as_str(), user.as_str()])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock::Clock;
    use crate::store::Role;

    #[tokio::test]
    async fn revocations_survive_a_restart_except_evicted_and_expired_ones() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
        let alice = UserId::parse("alice", "user").unwrap();
        let later = Revocation::of_user(&alice, 20, 20);
        store.revoke(later.clone(), None).await.unwrap();
        store.revoke(Revocation::of_user(&alice, 10, 30), None).await.unwrap();
        store.revoke(Revocation::of_sign_in("ends", alice, 40, 30), None).await.unwrap();
        store.revoke(Revocation::parse_sid("s", "sid", 1).unwrap(), None).await.unwrap();
        let evicted = EvictedRevocation { made_at: 1, scope: RevocationScope::SignIn, subject: "s".into() };
        let token = Revocation::parse_jti("t", "jti", 40).unwrap();
        store.revoke(token.clone(), Some(evicted)).await.unwrap();
        store.close().await;

        let store = Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
        let kept = Revocation { made_at: 30, ..later };
        assert_eq!(store.revocations(0).await.unwrap(), [token, kept]);
    }

    #[test]
    fn a_subject_that_is_empty_or_too_long_is_refused() {
        assert!(Revocation::parse_sid(&"é".repeat(SUBJECT_MAX), "sid", 0).is_ok());
        for bad in ["", &"é".repeat(SUBJECT_MAX + 1)] {
            assert_eq!(Revocation::parse_jti(bad, "jti", 0).unwrap_err().field.as_deref(), Some("jti"));
        }
    }
}
