//! Stores users and their sign-ins. Does not hash passwords and does not issue tokens.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::health::StoreError;
use super::revocations::{Revocation, record, restore_account};
use super::{Store, stored_id};
use crate::model::fault::{Code, Fault};
use crate::model::ids::UserId;

/// Most sign-ins of a user that can be refreshed. A new one replaces the oldest.
pub const SIGN_INS_MAX: i64 = 1_000;

/// A user account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The id: the subject of the user's tokens.
    pub id: UserId,
    /// The user name as typed when the account was created.
    pub username: String,
    /// The display name.
    pub name: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The roles.
    pub roles: Vec<String>,
    /// The permissions, named as in the configuration's rules.
    pub permissions: Vec<String>,
    /// Whether the user cannot sign in and all of the user's tokens are refused.
    pub disabled: bool,
    /// Creation time, ms since the epoch.
    pub created_at: i64,
}

/// An account with its login name and password hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The account.
    pub account: Account,
    /// The user name in the form used for comparison.
    pub name_key: String,
    /// The password's hash, a PHC string.
    pub password: String,
}

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

/// The columns of an account, in the order of [`Columns`].
const ACCOUNT: &str = "users.id, users.username, users.name, users.email, users.roles, users.permissions, users.disabled, users.created_at";

impl Store {
    /// Creates an account.
    ///
    /// # Errors
    /// [`Code::Conflict`] when the name is taken.
    pub async fn add_account(&self, new: Credentials) -> Result<(), Fault> {
        self.write(move |conn| {
            let account = &new.account;
            let added = conn
                .prepare_cached(
                    "INSERT INTO users
                     (id, username, name_key, password, name, email, roles, permissions, created_at, changed_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9) ON CONFLICT (name_key) DO NOTHING",
                )?
                .execute(params![
                    account.id.as_str(),
                    account.username,
                    new.name_key,
                    new.password,
                    account.name,
                    account.email,
                    written(&account.roles),
                    written(&account.permissions),
                    account.created_at,
                ])?;
            match added {
                0 => Err(Fault::new(Code::Conflict, "The user name is taken").into()),
                _ => Ok(()),
            }
        })
        .await
    }

    /// The account with this name, in the form used for comparison.
    ///
    /// # Errors
    /// As [`Store::ping`].
    pub async fn account(&self, name_key: String) -> Result<Option<Credentials>, Fault> {
        self.read(move |conn| find(conn, &name_key)).await
    }

    /// The account of `user`; `None` for a user without an account here, for example with tokens from another issuer.
    ///
    /// # Errors
    /// As [`Store::ping`].
    pub async fn account_of(&self, user: UserId) -> Result<Option<Account>, Fault> {
        self.read(move |conn| {
            let sql = format!("SELECT {ACCOUNT} FROM users WHERE id = ?1");
            let found = conn.prepare_cached(&sql)?.query_row([user.as_str()], row).optional()?;
            found.map(account_of).transpose()
        })
        .await
    }

    /// All accounts, ordered by name.
    ///
    /// # Errors
    /// As [`Store::ping`].
    pub async fn accounts(&self) -> Result<Vec<Account>, Fault> {
        self.read(|conn| {
            let mut statement = conn.prepare(&format!("SELECT {ACCOUNT} FROM users ORDER BY name_key"))?;
            let rows = statement.query_map((), row)?.collect::<Result<Vec<_>, _>>()?;
            rows.into_iter().map(account_of).collect()
        })
        .await
    }

    /// Sets a new password for the account with this name and ends its sign-ins; `None` when no such account exists.
    ///
    /// # Errors
    /// [`Code::StoreUnavailable`], [`Code::Overloaded`].
    pub async fn set_password(&self, name_key: String, password: String, now: i64) -> Result<Option<Account>, Fault> {
        self.write(move |conn| {
            let Some(found) = find(conn, &name_key)? else { return Ok(None) };
            let user = &found.account.id;
            conn.execute(
                "UPDATE users SET password = ?2, changed_at = ?3 WHERE id = ?1",
                params![user.as_str(), password, now],
            )?;
            end_sign_ins(conn, user, now)?;
            Ok(Some(found.account))
        })
        .await
    }

    /// Replaces the hash `old` by a new hash of the same password; `false` when the hash has changed since. The
    /// account's sign-ins continue.
    ///
    /// # Errors
    /// [`Code::StoreUnavailable`], [`Code::Overloaded`].
    pub async fn renew_password(&self, user: UserId, old: String, new: String) -> Result<bool, Fault> {
        self.write(move |conn| {
            let renewed = conn.execute(
                "UPDATE users SET password = ?3 WHERE id = ?1 AND password = ?2",
                params![user.as_str(), old, new],
            )?;
            Ok(renewed > 0)
        })
        .await
    }

    /// Disables or enables the account with this name; `None` when no such account exists. A disabled account ends its
    /// sign-ins and revokes all tokens of its user. Enabling it does not restore ended sign-ins.
    ///
    /// # Errors
    /// [`Code::StoreUnavailable`], [`Code::Overloaded`].
    pub async fn set_disabled(&self, name_key: String, disabled: bool, now: i64) -> Result<Option<Account>, Fault> {
        self.write(move |conn| {
            let Some(found) = find(conn, &name_key)? else { return Ok(None) };
            let user = &found.account.id;
            conn.execute(
                "UPDATE users SET disabled = ?2, changed_at = ?3 WHERE id = ?1",
                params![user.as_str(), disabled, now],
            )?;
            if disabled {
                end_sign_ins(conn, user, now)?;
                record(conn, &Revocation::of_account(user, now))?;
            } else {
                restore_account(conn, user)?;
            }
            Ok(Some(Account { disabled, ..found.account }))
        })
        .await
    }

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
                    written(&credentials.account.roles),
                    written(&credentials.account.permissions),
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

pub(super) fn end_sign_ins(conn: &Connection, user: &UserId, now: i64) -> Result<(), StoreError> {
    let mut statement = conn.prepare("DELETE FROM sign_ins WHERE user_id = ?1 RETURNING id, tokens_until")?;
    let ended = statement.query_map([user.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let ended = ended.collect::<Result<Vec<(String, i64)>, _>>()?;
    for (id, until) in ended {
        record(conn, &Revocation::of_sign_in(&id, user.clone(), until, now))?;
    }
    Ok(())
}

pub(super) fn find(conn: &Connection, name_key: &str) -> Result<Option<Credentials>, StoreError> {
    let sql = format!("SELECT {ACCOUNT}, users.password FROM users WHERE name_key = ?1");
    let found =
        conn.prepare_cached(&sql)?.query_row([name_key], |found| Ok((row(found)?, found.get(COLUMNS)?))).optional()?;
    let Some((columns, password)) = found else { return Ok(None) };
    Ok(Some(Credentials { account: account_of(columns)?, name_key: name_key.to_owned(), password }))
}

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
        None => Err(Fault::new(Code::InvalidToken, "The refresh token does not hold").by("refresh_token").into()),
        Some((.., until)) if until <= now => {
            Err(Fault::new(Code::TokenExpired, "The refresh token has expired").by("refresh_token").into())
        }
        Some((columns, sign_in, _)) => Ok(RefreshedSignIn { sign_in, account: account_of(columns)? }),
    }
}

/// Number of columns in [`ACCOUNT`].
const COLUMNS: usize = 8;

type Columns = (String, String, Option<String>, Option<String>, String, String, bool, i64);

fn row(row: &Row<'_>) -> Result<Columns, rusqlite::Error> {
    let (id, username, name, email) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
    Ok((id, username, name, email, row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?))
}

fn account_of(
    (id, username, name, email, roles, permissions, disabled, created_at): Columns,
) -> Result<Account, StoreError> {
    let roles = read_list(&roles, "roles", &id)?;
    let permissions = read_list(&permissions, "permissions", &id)?;
    Ok(Account { id: stored_id(&id)?, username, name, email, roles, permissions, disabled, created_at })
}

pub(super) fn written(list: &[String]) -> String {
    serde_json::json!(list).to_string()
}

fn read_list(list: &str, what: &str, id: &str) -> Result<Vec<String>, StoreError> {
    serde_json::from_str(list).map_err(|error| {
        log::error!("the store holds {what} of {id} that are no list: {error}");
        StoreError::from(Fault::internal())
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{Role, Store};
    use super::*;
    use crate::runtime::clock::Clock;

    pub(in super::super) fn credentials(name: &str) -> Credentials {
        Credentials {
            account: Account {
                id: UserId::parse(&format!("user_{name}"), "id").unwrap(),
                username: name.to_uppercase(),
                name: Some("Name".into()),
                email: None,
                roles: vec!["a".into(), "b".into()],
                permissions: vec!["p".into()],
                disabled: false,
                created_at: 5,
            },
            name_key: name.into(),
            password: "phc".into(),
        }
    }

    pub(in super::super) fn sign_in(id: &str, at: i64) -> SignIn {
        let mut refresh = [0; 32];
        refresh[..id.len()].copy_from_slice(id.as_bytes());
        SignIn { id: id.into(), refresh, created_at: at, refresh_until: at + 100, tokens_until: at + 10 }
    }

    pub(in super::super) async fn with_store<T>(test: impl AsyncFnOnce(Store) -> T) -> T {
        let directory = tempfile::tempdir().unwrap();
        test(Store::open(directory.path(), Role::Hub, Clock::System).unwrap()).await
    }

    #[tokio::test]
    async fn an_account_is_found_by_its_name_which_is_given_once_and_by_its_user() {
        with_store(async |store| {
            let alice = credentials("alice");
            store.add_account(alice.clone()).await.unwrap();
            let mut other = alice.clone();
            other.account.id = UserId::parse("other", "id").unwrap();
            assert_eq!(store.add_account(other).await.unwrap_err().code, Code::Conflict);
            assert_eq!(store.account("alice".into()).await.unwrap(), Some(alice.clone()));
            assert_eq!(store.account("bob".into()).await.unwrap(), None);
            let of = |user: &str| store.account_of(UserId::parse(user, "id").unwrap());
            assert_eq!(of("user_alice").await.unwrap().as_ref(), Some(&alice.account));
            assert_eq!(of("alice").await.unwrap(), None);
            assert_eq!(store.accounts().await.unwrap(), [alice.account]);
        })
        .await;
    }

    #[tokio::test]
    async fn a_sign_in_is_refreshed_until_it_ends_or_is_ended() {
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
    async fn a_hash_is_renewed_where_it_is_still_the_one_that_was_verified() {
        with_store(async |store| {
            let alice = credentials("alice");
            store.add_account(alice.clone()).await.unwrap();
            store.begin_sign_in(alice.clone(), sign_in("s1", 0)).await.unwrap();
            let renew = |old: &str, new: &str| store.renew_password(alice.account.id.clone(), old.into(), new.into());
            assert!(renew("phc", "new").await.unwrap());
            assert!(!renew("phc", "third").await.unwrap(), "somebody else was first");
            assert_eq!(store.account("alice".into()).await.unwrap().unwrap().password, "new");
            assert_eq!(store.revocations(0).await.unwrap(), [], "the sign-ins go on");
            assert!(store.refresh(sign_in("s1", 0).refresh, 1, 2).await.is_ok());
        })
        .await;
    }

    #[tokio::test]
    async fn another_password_or_disabling_ends_the_sign_ins_and_lets_none_in_that_was_under_way() {
        with_store(async |store| {
            let alice = credentials("alice");
            store.add_account(alice.clone()).await.unwrap();
            store.begin_sign_in(alice.clone(), sign_in("s1", 0)).await.unwrap();
            store.set_password("alice".into(), "other".into(), 1).await.unwrap().unwrap();
            assert!(!store.begin_sign_in(alice.clone(), sign_in("s2", 1)).await.unwrap());
            let ended = Revocation::of_sign_in("s1", alice.account.id.clone(), 10, 1);
            assert_eq!(store.revocations(1).await.unwrap(), std::slice::from_ref(&ended));

            let current = store.account("alice".into()).await.unwrap().unwrap();
            let disabled = store.set_disabled("alice".into(), true, 2).await.unwrap().unwrap();
            assert!(disabled.disabled);
            assert!(!store.begin_sign_in(current.clone(), sign_in("s3", 2)).await.unwrap());
            let expected = [Revocation::of_account(&alice.account.id, 2), ended];
            assert_eq!(store.revocations(2).await.unwrap(), expected);
            store.set_disabled("alice".into(), false, 3).await.unwrap().unwrap();
            assert_eq!(store.revocations(3).await.unwrap(), expected[1..]);
            assert!(store.begin_sign_in(current, sign_in("s4", 3)).await.unwrap());
            assert_eq!(store.set_disabled("bob".into(), true, 4).await.unwrap(), None);
        })
        .await;
    }

    #[tokio::test]
    async fn a_sign_in_that_cannot_be_refreshed_any_more_is_ended_with_its_access_tokens() {
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
