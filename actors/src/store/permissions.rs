//! Changes the roles and permissions of an account.

use rusqlite::params;

use super::accounts::{encode_list, find};
use super::revocations::end_sign_ins;
use super::{Account, Store};
use crate::model::fault::Fault;

/// A change of an account's roles and permissions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Roles to add.
    pub add_roles: Vec<String>,
    /// Roles to remove.
    pub remove_roles: Vec<String>,
    /// Permissions to add.
    pub add_permissions: Vec<String>,
    /// Permissions to remove.
    pub remove_permissions: Vec<String>,
}

impl Store {
    /// Changes the roles and permissions of the account with this name; `None` when no such account exists. `fits` must
    /// accept the result when something is added. A removal is always accepted. The account's sign-ins end when
    /// something is removed, because their tokens still contain it.
    ///
    /// # Errors
    /// The error of `fits`; [`Code::StoreUnavailable`](crate::model::fault::Code::StoreUnavailable),
    /// [`Code::Overloaded`](crate::model::fault::Code::Overloaded).
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
                params![account.id.as_str(), encode_list(&account.roles), encode_list(&account.permissions), now],
            )?;
            if roles.lost || permissions.lost {
                end_sign_ins(conn, &account.id, now)?;
            }
            Ok(Some(account))
        })
        .await
    }
}

/// The effect of a change on a list.
struct Changed {
    /// Whether the list has a new entry.
    got: bool,
    /// Whether the list lost an entry.
    lost: bool,
}

/// Adds the missing entries to a list, then removes the entries of `remove`.
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
    async fn grants_change_an_account_and_only_a_removal_ends_its_sign_ins() {
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
            assert_eq!(store.revocations(1).await.unwrap(), [], "nothing was removed");

            let refused = Grants { add_roles: names(&["d"]), remove_roles: names(&["a"]), ..Grants::default() };
            let fits = |_: &Account| Err(Fault::field("roles", "too many"));
            let fault = store.change_grants("alice".into(), refused, fits, 2).await.unwrap_err();
            assert_eq!(fault, Fault::field("roles", "too many"));
            assert_eq!(store.account("alice".into()).await.unwrap(), Some(alice.clone()), "nothing was changed");

            // A concurrent sign-in issued its token before the change.
            let before = store.account("alice".into()).await.unwrap().unwrap();
            let taken = Grants { remove_permissions: names(&["p"]), ..Grants::default() };
            alice.account.permissions = names(&["q"]);
            // A removal also works on an account over a bound that earlier versions did not have.
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
