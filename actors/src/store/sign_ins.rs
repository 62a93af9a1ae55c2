//! Stores the sign-ins of users. Does not issue tokens: it stores only the digest of a refresh token.

use rusqlite::{Connection, OptionalExtension, params};

use super::accounts::{ACCOUNT, COLUMNS, account_of, encode_list, row};
use super::health::StoreError;
use super::revocations::{Revocation, record};
use super::{Account, Credentials, Store, stored_id};
use crate::model::fault::{Code, Fault};
use crate::model::ids::UserId;

/// Most sign-ins of a user that can be refreshed. A new one replaces the oldest.
pub const SIGN_INS_MAX: i64 = 1_000;

/// A sign-in: the tokens issued for one check of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// The id: the claim `sid` of its tokens.
    pub id: String,
    /// The SHA-256 of its refresh token.
    pub refresh: [u8; 32],
    /// Start time, ms since the epoch.
    pub created_at: i64,
    /// When the refresh token expires.
    pub refresh_until: i64,
    /// When the last access token of the sign-in has certainly expired.
    pub tokens_until: i64,
}

/// The result of a lookup by refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshedSignIn {
    /// The sign-in.
    pub sign_in: String,
    /// The current account of the sign-in's user.
    pub account: Account,
}

impl Store {
    /// Begins a sign-in of the account in `credentials`. `false` when the account was disabled, or its password, roles
    /// or permissions changed, since `credentials` were read.
    ///
    /// # Errors
    /// [`Code::StoreUnavailable`], [`Code::Overloaded`].
    pub async fn begin_sign_in(&self, credentials: Credentials, sign_in: SignIn) -> Result<bool, Fault> {
        self.write(move |conn| {
            let user = credentials.account.id.as_str();
            conn.prepare_cached("DELETE FROM sign_ins WHERE refresh_until <= ?1 AND tokens_until <= ?1")?
                .execute([sign_in.created_at])?;
            let begun = conn
                .prepare_cached(
                    "INSERT INTO sign_ins (id, user_id, refresh, created_at, refresh_until, tokens_until)
                     SELECT ?1, id, ?2, ?3, ?4, ?5 FROM users
                     WHERE id = ?6 AND password = ?7 AND roles = ?8 AND permissions = ?9 AND disabled = 0",
                )?
                .execute(params![
                    sign_in.id,
                    sign_in.refresh,
                    sign_in.created_at,
                    sign_in.refresh_until,
                    sign_in.tokens_until,
                    user,
                    credentials.password,
                    encode_list(&credentials.account.roles),
                    encode_list(&credentials.account.permissions),
                ])?;
            // The rows stay: their access tokens are still valid, and ending a sign-in needs its row.
            conn.prepare_cached(
                "UPDATE sign_ins SET refresh = randomblob(32), refresh_until = ?3 WHERE id IN
                 (SELECT id FROM sign_ins WHERE user_id = ?1 AND refresh_until > ?3
                  ORDER BY created_at DESC LIMIT -1 OFFSET ?2)",
            )?
            .execute(params![user, SIGN_INS_MAX, sign_in.created_at])?;
            Ok(begun > 0)
        })
        .await
    }

    /// Finds a sign-in by its refresh token, and records that one of its access tokens lives until `tokens_until`.
    ///
    /// # Errors
    /// [`Code::InvalidToken`] when no sign-in has the token, [`Code::TokenExpired`] when it has expired.
    pub async fn refresh(&self, refresh: [u8; 32], now: i64, tokens_until: i64) -> Result<RefreshedSignIn, Fault> {
        // Read first, so that a guessed token costs no write.
        self.read(move |conn| refreshable(conn, &refresh, now)).await?;
        self.write(move |conn| {
            let refreshed = refreshable(conn, &refresh, now)?;
            conn.prepare_cached("UPDATE sign_ins SET tokens_until = max(tokens_until, ?2) WHERE id = ?1")?
                .execute(params![refreshed.sign_in, tokens_until])?;
            Ok(refreshed)
        })
        .await
    }

    /// The user of a sign-in; `None` when no such sign-in exists.
    ///
    /// # Errors
    /// As [`Store::ping`].
    pub async fn holder_of_sign_in(&self, id: String) -> Result<Option<UserId>, Fault> {
        self.read(move |conn| {
            let user: Option<String> =
                conn.query_row("SELECT user_id FROM sign_ins WHERE id = ?1", [id], |row| row.get(0)).optional()?;
            user.map(|user| stored_id(&user)).transpose()
        })
        .await
    }

    /// Ends a sign-in and returns the revocation of its tokens; `None` when no such sign-in exists.
    ///
    /// # Errors
    /// [`Code::StoreUnavailable`], [`Code::Overloaded`].
    pub async fn end_sign_in(&self, id: String, now: i64) -> Result<Option<Revocation>, Fault> {
        self.write(move |conn| {
            let ended: Option<(String, i64)> = conn
                .query_row("DELETE FROM sign_ins WHERE id = ?1 RETURNING user_id, tokens_until", [&id], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            let Some((user, until)) = ended else { return Ok(None) };
            let revocation = Revocation::of_sign_in(&id, stored_id(&user)?, until, now);
            record(conn, &revocation)?;
            Ok(Some(revocation))
        })
        .await
    }
}

/// Finds a sign-in by its refresh token, with the current account of its user.
fn refreshable(conn: &Connection, refresh: &[u8; 32], now: i64) -> Result<RefreshedSignIn, StoreError> {
    let sql = format!(
        "SELECT {ACCOUNT}, sign_ins.id, sign_ins.refresh_until
         FROM sign_ins JOIN users ON users.id = sign_ins.user_id WHERE refresh = ?1"
    );
    let found = conn
        .prepare_cached(&sql)?
        .query_row([refresh], |found| Ok((row(found)?, found.get(COLUMNS)?, found.get::<_, i64>(COLUMNS + 1)?)))
        .optional()?;
    match found {
        None => Err(Fault::new(Code::InvalidToken, "The refresh token is invalid").by("refresh_token").into()),
        Some((.., until)) if until <= now => {
            Err(Fault::new(Code::TokenExpired, "The refresh token has expired").by("refresh_token").into())
        }
        Some((columns, sign_in, _)) => Ok(RefreshedSignIn { sign_in, account: account_of(columns)? }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::accounts::tests::{credentials, sign_in, with_store};
    use super::*;

    #[tokio::test]
    async fn a_sign_in_can_be_refreshed_until_it_expires_or_ends() {
        with_store(async |store| {
            let alice = credentials("alice");
            store.add_account(alice.clone()).await.unwrap();
            assert!(store.begin_sign_in(alice.clone(), sign_in("s1", 0)).await.unwrap());
            let refresh = |id: &str, now| store.refresh(sign_in(id, 0).refresh, now, now + 10);
            assert_eq!(refresh("s1", 99).await.unwrap().account, alice.account);
            assert_eq!(refresh("s1", 100).await.unwrap_err().code, Code::TokenExpired);
            assert_eq!(refresh("s2", 99).await.unwrap_err().code, Code::InvalidToken);
            assert_eq!(store.holder_of_sign_in("s1".into()).await.unwrap(), Some(alice.account.id.clone()));
            let ended = store.end_sign_in("s1".into(), 99).await.unwrap().unwrap();
            let expected = Revocation::of_sign_in("s1", alice.account.id, 109, 99);
            assert_eq!(ended, expected);
            assert_eq!(store.revocations(108).await.unwrap(), [expected]);
            assert_eq!(store.revocations(109).await.unwrap(), []);
            assert_eq!(refresh("s1", 99).await.unwrap_err().code, Code::InvalidToken);
            assert_eq!(store.end_sign_in("s1".into(), 99).await.unwrap(), None);
        })
        .await;
    }

    #[tokio::test]
    async fn ending_all_sign_ins_includes_sign_ins_without_a_valid_refresh_token() {
        with_store(async |store| {
            let alice = credentials("alice");
            store.add_account(alice.clone()).await.unwrap();
            let begin = async |id: &str, at| assert!(store.begin_sign_in(alice.clone(), sign_in(id, at)).await.unwrap());
            begin("revoked", 0).await;
            store.revoke(Revocation::of_user(&alice.account.id, 1, 2), None).await.unwrap();
            begin("first", 2).await;
            store
                .write(|conn| {
                    let mut more = conn.prepare(
                        "INSERT INTO sign_ins SELECT 'more' || ?1, user_id, randomblob(32), 3, 99, 3 FROM sign_ins WHERE id = 'first'",
                    )?;
                    (1..SIGN_INS_MAX).try_for_each(|number| more.execute([number]).map(drop))?;
                    Ok(())
                })
                .await
                .unwrap();
            begin("last", 4).await;
            for (id, good) in [("revoked", false), ("first", false), ("last", true)] {
                let refreshed = store.refresh(sign_in(id, 0).refresh, 5, 15).await;
                assert_eq!(refreshed.map_err(|fault| fault.code).err(), (!good).then_some(Code::InvalidToken), "{id}");
                assert_eq!(store.holder_of_sign_in(id.into()).await, Ok(Some(alice.account.id.clone())), "{id}");
            }
            store.set_password("alice".into(), "other".into(), 5).await.unwrap();
            let ended: Vec<_> = store.revocations(5).await.unwrap().into_iter().map(|it| it.subject).collect();
            for id in ["revoked", "first", "last"] {
                assert!(ended.iter().any(|ended| &**ended == id), "{id} is not in {ended:?}");
            }
        })
        .await;
    }
}
