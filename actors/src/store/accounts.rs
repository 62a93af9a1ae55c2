//! Stores user accounts. Does not hash passwords.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::health::StoreError;
use super::revocations::{Revocation, end_sign_ins, record, restore_account};
use super::{Store, invalid, stored_id};
use crate::model::fault::{Code, Fault};
use crate::model::ids::UserId;

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

/// The columns of an account, in the order of [`Columns`].
pub(super) const ACCOUNT: &str = "users.id, users.username, users.name, users.email, users.roles, users.permissions, users.disabled, users.created_at";

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
                    encode_list(&account.roles),
                    encode_list(&account.permissions),
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
}

pub(super) fn find(conn: &Connection, name_key: &str) -> Result<Option<Credentials>, StoreError> {
    let sql = format!("SELECT {ACCOUNT}, users.password FROM users WHERE name_key = ?1");
    let found =
        conn.prepare_cached(&sql)?.query_row([name_key], |found| Ok((row(found)?, found.get(COLUMNS)?))).optional()?;
    let Some((columns, password)) = found else { return Ok(None) };
    Ok(Some(Credentials { account: account_of(columns)?, name_key: name_key.to_owned(), password }))
}

/// Number of columns in [`ACCOUNT`].
pub(super) const COLUMNS: usize = 8;

pub(super) type Columns = (String, String, Option<String>, Option<String>, String, String, bool, i64);

pub(super) fn row(row: &Row<'_>) -> Result<Columns, rusqlite::Error> {
    let (id, username, name, email) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
    Ok((id, username, name, email, row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?))
}

pub(super) fn account_of(
    (id, username, name, email, roles, permissions, disabled, created_at): Columns,
) -> Result<Account, StoreError> {
    let roles = decode_list(&roles, "roles", &id)?;
    let permissions = decode_list(&permissions, "permissions", &id)?;
    Ok(Account { id: stored_id(&id)?, username, name, email, roles, permissions, disabled, created_at })
}

pub(super) fn encode_list(list: &[String]) -> String {
    serde_json::json!(list).to_string()
}

fn decode_list(list: &str, column: &str, id: &str) -> Result<Vec<String>, StoreError> {
    serde_json::from_str(list)
        .map_err(|error| invalid(format!("the store holds {column} of the user {id} that are not a list: {error}")))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{Role, SignIn, Store};
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
    async fn an_account_is_found_by_name_and_by_user_id_unless_it_is_damaged() {
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

            store.write(|conn| Ok(conn.execute("UPDATE users SET roles = '{'", ())?)).await.unwrap();
            let fault = store.account("alice".into()).await.unwrap_err();
            let cause = fault.cause().unwrap_or_default();
            assert_eq!(fault.code, Code::Internal);
            assert!(cause.starts_with("the store holds roles of the user user_alice that are not a list"), "{cause}");
        })
        .await;
    }

    #[tokio::test]
    async fn a_password_hash_is_renewed_only_if_it_is_still_the_verified_hash() {
        with_store(async |store| {
            let alice = credentials("alice");
            store.add_account(alice.clone()).await.unwrap();
            store.begin_sign_in(alice.clone(), sign_in("s1", 0)).await.unwrap();
            let renew = |old: &str, new: &str| store.renew_password(alice.account.id.clone(), old.into(), new.into());
            assert!(renew("phc", "new").await.unwrap());
            assert!(!renew("phc", "third").await.unwrap(), "the hash has changed");
            assert_eq!(store.account("alice".into()).await.unwrap().unwrap().password, "new");
            assert_eq!(store.revocations(0).await.unwrap(), [], "the sign-ins continue");
            assert!(store.refresh(sign_in("s1", 0).refresh, 1, 2).await.is_ok());
        })
        .await;
    }

    #[tokio::test]
    async fn a_new_password_or_disabling_ends_sign_ins_and_refuses_concurrent_ones() {
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
}
