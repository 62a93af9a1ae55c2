//! Which tokens no longer hold. What the hub goes by while it runs is [`crate::revocations`].

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::health::StoreError;
use super::{Store, stored_id};
use crate::model::fault::Fault;
use crate::model::identity::Identity;
use crate::model::ids::UserId;

/// Longest `sid` or `jti` that can be revoked from outside, in characters.
pub const MARK_MAX: usize = 255;

/// What of a token a revocation looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mark {
    /// Its user, whose account is disabled.
    Account,
    /// Its user, and when it was issued.
    User,
    /// Its `sid`: the sign-in that it came from.
    SignIn,
    /// Its `jti`.
    Token,
}

impl Mark {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Account, Self::User, Self::SignIn, Self::Token];

    /// Its name in the file.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::User => "user",
            Self::SignIn => "sign-in",
            Self::Token => "token",
        }
    }

    /// What it is of a token that says `identity`.
    pub fn of(self, identity: &Identity) -> Option<&str> {
        match self {
            Self::Account | Self::User => Some(identity.user.as_str()),
            Self::SignIn => identity.sign_in.as_deref(),
            Self::Token => identity.token_id.as_deref(),
        }
    }
}

/// Tokens that no longer hold: those whose `mark` is `subject` and that were issued before `before`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// What of a token it looks at.
    pub mark: Mark,
    /// What that is in the tokens that no longer hold.
    pub subject: Arc<str>,
    /// Whose they are, where that is known.
    pub user: Option<UserId>,
    /// Tokens that were issued from this moment on hold, ms since the epoch; `i64::MAX` when none does.
    pub before: i64,
    /// When the last of them has ended by itself, ms since the epoch; `None` when that is not known.
    pub until: Option<i64>,
    /// When it was made, ms since the epoch.
    pub made_at: i64,
}

impl Revocation {
    /// All tokens of a user, for as long as the account is disabled.
    pub fn of_account(user: &UserId, now: i64) -> Self {
        Self { before: i64::MAX, mark: Mark::Account, ..Self::of_user(user, now, now) }
    }

    /// The user's tokens that were issued before `before`. One that does not say when it was issued counts as old.
    pub fn of_user(user: &UserId, before: i64, now: i64) -> Self {
        let subject = Arc::from(user.as_str());
        Self { mark: Mark::User, subject, user: Some(user.clone()), before, until: None, made_at: now }
    }

    /// The tokens of a sign-in of `user`, the last of which ends by itself at `until`.
    pub fn of_sign_in(id: &str, user: UserId, until: i64, now: i64) -> Self {
        Self { user: Some(user), until: Some(until), ..Self::outright(Mark::SignIn, id, now) }
    }

    /// All tokens with this `sid`, whoever made them; it came in as `field`.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::InvalidRequest`] naming the field when it is empty or longer than [`MARK_MAX`].
    pub fn parse_sid(sid: &str, field: &str, now: i64) -> Result<Self, Fault> {
        check(sid, field).map(|()| Self::outright(Mark::SignIn, sid, now))
    }

    /// All tokens with this `jti`; it came in as `field`.
    ///
    /// # Errors
    /// As [`Revocation::parse_sid`].
    pub fn parse_jti(jti: &str, field: &str, now: i64) -> Result<Self, Fault> {
        check(jti, field).map(|()| Self::outright(Mark::Token, jti, now))
    }

    fn outright(mark: Mark, subject: &str, now: i64) -> Self {
        Self { mark, subject: Arc::from(subject), user: None, before: i64::MAX, until: None, made_at: now }
    }

    /// Whether a token that says `identity` is one of those.
    pub fn hits(&self, identity: &Identity) -> bool {
        self.mark.of(identity) == Some(&*self.subject) && is_older(identity, self.before)
    }
}

fn check(subject: &str, field: &str) -> Result<(), Fault> {
    match subject.chars().count() {
        1..=MARK_MAX => Ok(()),
        _ => Err(Fault::field(field, format!("`{field}` is not 1 to {MARK_MAX} characters"))),
    }
}

/// Whether the token that says `identity` was issued before `before`, or does not say when it was.
pub(crate) fn is_older(identity: &Identity, before: i64) -> bool {
    identity.issued_at.is_none_or(|issued| issued < before)
}

/// A revocation that made room for another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Forgotten {
    /// When it was made, ms since the epoch.
    pub made_at: i64,
    /// What of a token it looked at.
    pub mark: Mark,
    /// What that was.
    pub subject: Arc<str>,
}

impl Store {
    /// Keeps a revocation, ends the sign-ins that it hits, and drops the one that made room for it.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::StoreUnavailable`], [`crate::model::fault::Code::Overloaded`].
    pub async fn revoke(&self, revocation: Revocation, forgotten: Option<Forgotten>) -> Result<(), Fault> {
        self.write(move |conn| {
            if let Some(Forgotten { made_at, mark, subject }) = forgotten {
                // Unless it was made anew meanwhile.
                conn.prepare_cached("DELETE FROM revocations WHERE mark = ?1 AND subject = ?2 AND made_at <= ?3")?
                    .execute(params![mark.as_str(), &*subject, made_at])?;
            }
            end_sign_ins(conn, &revocation)?;
            record(conn, &revocation)
        })
        .await
    }

    /// The revocations that matter at `now`.
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
                let (mark, subject): (String, String) = (row.get(0)?, row.get(1)?);
                let user: Option<String> = row.get(2)?;
                revocations.push(Revocation {
                    mark: stored_mark(&mark)?,
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

fn stored_mark(name: &str) -> Result<Mark, StoreError> {
    Mark::ALL.into_iter().find(|mark| mark.as_str() == name).ok_or_else(|| {
        log::error!("the store holds a revocation by {name:?}");
        Fault::internal().into()
    })
}

/// Ends the sign-ins that a revocation hits: a refresh token is a token too.
fn end_sign_ins(conn: &Connection, revocation: &Revocation) -> Result<(), StoreError> {
    let subject = &*revocation.subject;
    match revocation.mark {
        Mark::Account => conn.execute("DELETE FROM sign_ins WHERE user_id = ?1", [subject])?,
        // Not deleted: an access token that was made since holds, and whoever ends the sign-in must find it.
        Mark::User => conn
            .prepare_cached(
                "UPDATE sign_ins SET refresh = randomblob(32), refresh_until = min(refresh_until, ?3)
                 WHERE user_id = ?1 AND created_at < ?2",
            )?
            .execute(params![subject, revocation.before, revocation.made_at])?,
        Mark::SignIn => conn.prepare_cached("DELETE FROM sign_ins WHERE id = ?1")?.execute([subject])?,
        Mark::Token => 0,
    };
    Ok(())
}

/// Keeps a revocation, and forgets those that matter no more when it is made. One is never moved back: what it
/// refused once it goes on to refuse.
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
        revocation.mark.as_str(),
        &*revocation.subject,
        revocation.user.as_ref().map(UserId::as_str),
        revocation.before,
        revocation.until,
        revocation.made_at
    ])?;
    Ok(())
}

/// Lets the tokens of a user hold again that an account's disabling refused.
pub(super) fn restore_account(conn: &Connection, user: &UserId) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM revocations WHERE mark = ?1 AND subject = ?2")?
        .execute(params![Mark::Account.as_str(), user.as_str()])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock::Clock;
    use crate::store::Role;

    #[tokio::test]
    async fn revocations_are_there_again_but_for_one_that_made_room_and_one_that_ended() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
        let alice = UserId::parse("alice", "user").unwrap();
        let later = Revocation::of_user(&alice, 20, 20);
        store.revoke(later.clone(), None).await.unwrap();
        store.revoke(Revocation::of_user(&alice, 10, 30), None).await.unwrap();
        store.revoke(Revocation::of_sign_in("ends", alice, 40, 30), None).await.unwrap();
        store.revoke(Revocation::parse_sid("s", "sid", 1).unwrap(), None).await.unwrap();
        let forgotten = Forgotten { made_at: 1, mark: Mark::SignIn, subject: "s".into() };
        let token = Revocation::parse_jti("t", "jti", 40).unwrap();
        store.revoke(token.clone(), Some(forgotten)).await.unwrap();
        store.close().await;

        let store = Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
        let kept = Revocation { made_at: 30, ..later };
        assert_eq!(store.revocations(0).await.unwrap(), [token, kept]);
    }

    #[test]
    fn what_cannot_be_revoked_is_refused() {
        assert!(Revocation::parse_sid(&"é".repeat(MARK_MAX), "sid", 0).is_ok());
        for bad in ["", &"é".repeat(MARK_MAX + 1)] {
            assert_eq!(Revocation::parse_jti(bad, "jti", 0).unwrap_err().field.as_deref(), Some("jti"));
        }
    }
}
