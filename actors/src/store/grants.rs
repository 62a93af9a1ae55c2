//! What an account may be and do: its roles and permissions, as they change.

use rusqlite::params;

use super::accounts::{end_sign_ins, find, written};
use super::{Account, Store};
use crate::model::fault::Fault;

/// A change of what an account may be and do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Roles to give.
    pub add_roles: Vec<String>,
    /// Roles to take away.
    pub remove_roles: Vec<String>,
    /// Permissions to give.
    pub add_permissions: Vec<String>,
    /// Permissions to take away.
    pub remove_permissions: Vec<String>,
}

impl Store {
    /// Changes what the account of that name may be and do; the account, or `None` when there is none. Where it gets
    /// something, `fits` must allow the result; something can always be taken away. Its sign-ins end where it lost
    /// something: their tokens say what it no longer may.
    ///
    /// # Errors
    /// What `fits` says; [`Code::StoreUnavailable`](crate::model::fault::Code::StoreUnavailable), [`Code::Overloaded`](crate::model::fault::Code::Overloaded).
    pub async fn change_grants(
        &self,
        name_key: String,
        grants: Grants,
        fits: impl Fn(&Account) -> Result<(), Fault> + Send + 'static,
        now: i64,
    ) -> Result<Option<Account>, Fault> {
        self.write(move |conn| {
            let Some(found) = find(conn, &name_key)? else { return Ok(None) };
            let mut account = found.account;
            let roles = change(&mut account.roles, &grants.add_roles, &grants.remove_roles);
            let permissions = change(&mut account.permissions, &grants.add_permissions, &grants.remove_permissions);
            if roles.got || permissions.got {
                fits(&account)?;
            }
            conn.execute(
                "UPDATE users SET roles = ?2, permissions = ?3, changed_at = ?4 WHERE id = ?1",
                params![account.id.as_str(), written(&account.roles), written(&account.permissions), now],
            )?;
            if roles.lost || permissions.lost {
                end_sign_ins(conn, &account.id, now)?;
            }
            Ok(Some(account))
        })
        .await
    }
}

/// What became of a list.
struct Changed {
    /// It has something that it did not have before.
    got: bool,
    /// It lost something that it had before.
    lost: bool,
}

/// Adds to a list what it lacks, and takes away what is to be removed.
fn change(list: &mut Vec<String>, add: &[String], remove: &[String]) -> Changed {
    let before = list.len();
    list.retain(|held| !remove.contains(held));
    let kept = list.len();
    for name in add {
        if !list.contains(name) && !remove.contains(name) {
            list.push(name.clone());
        }
    }
    Changed { got: list.len() > kept, lost: kept < before }
}

#[cfg(test)]
mod tests {
    use super::super::Revocation;
    use super::super::accounts::tests::{credentials, sign_in, with_store};
    use super::*;

    #[tokio::test]
    async fn what_an_account_may_changes_and_its_sign_ins_end_only_where_it_lost_something() {
        with_store(async |store| {
            let mut alice = credentials("alice");
            store.add_account(alice.clone()).await.unwrap();
            store.begin_sign_in(alice.clone(), sign_in("s1", 0)).await.unwrap();
            let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
            let change = |grants: Grants, at| store.change_grants("alice".into(), grants, |_| Ok(()), at);
            let given = Grants {
                add_roles: names(&["c", "a"]),
                add_permissions: names(&["q", "q"]),
                remove_permissions: names(&["unknown"]),
                ..Grants::default()
            };
            alice.account.roles = names(&["a", "b", "c"]);
            alice.account.permissions = names(&["p", "q"]);
            assert_eq!(change(given, 1).await.unwrap(), Some(alice.account.clone()));
            assert_eq!(store.account("alice".into()).await.unwrap(), Some(alice.clone()));
            assert_eq!(store.revocations(1).await.unwrap(), [], "it lost nothing");

            let refused = Grants { add_roles: names(&["d"]), remove_roles: names(&["a"]), ..Grants::default() };
            let fits = |_: &Account| Err(Fault::field("roles", "too many"));
            let fault = store.change_grants("alice".into(), refused, fits, 2).await.unwrap_err();
            assert_eq!(fault, Fault::field("roles", "too many"));
            assert_eq!(store.account("alice".into()).await.unwrap(), Some(alice.clone()), "nothing was changed");

            // A sign-in under way made its token before the change.
            let before = store.account("alice".into()).await.unwrap().unwrap();
            let taken = Grants { remove_permissions: names(&["p"]), ..Grants::default() };
            alice.account.permissions = names(&["q"]);
            // Also from an account that is beyond a bound which an earlier version did not have.
            let taken = store.change_grants("alice".into(), taken, fits, 3).await;
            assert_eq!(taken.unwrap(), Some(alice.account.clone()));
            assert_eq!(
                store.revocations(3).await.unwrap(),
                [Revocation::of_sign_in("s1", alice.account.id.clone(), 10, 3)]
            );
            assert!(!store.begin_sign_in(before, sign_in("s2", 3)).await.unwrap());
            assert!(store.begin_sign_in(alice, sign_in("s3", 3)).await.unwrap());
            let nobody = store.change_grants("bob".into(), Grants::default(), |_| Ok(()), 4).await;
            assert_eq!(nobody.unwrap(), None);
        })
        .await;
    }
}
