//! The description of a user in its account. Every access token contains all of it, so its total size has a bound.

use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::ids::printable;
use hubbub_actors::store::Account;
use serde_json::json;

/// Most roles and most permissions of a user.
pub const GRANTS_MAX: usize = 32;
/// Longest name of a role or a permission, in characters.
const GRANT_MAX: usize = 100;

/// Longest name to show, in characters.
pub const NAME_MAX: usize = 200;
/// Longest mail address, in characters.
pub const EMAIL_MAX: usize = 320;

/// Most bytes of names, mail address, roles and permissions together, as JSON. With more, a token could exceed
/// [`crate::auth::jwt::TOKEN_MAX`], and the user could not connect.
const BYTES_MAX: usize = 4_096;

/// Roles, permissions and names of an account.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Description {
    pub(super) roles: Vec<String>,
    pub(super) permissions: Vec<String>,
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
}

impl Description {
    /// Checks all bounds for the user with that name, and removes repeats.
    ///
    /// # Errors
    /// [`hubbub_actors::model::fault::Code::InvalidRequest`] with the field.
    pub(super) fn checked(self, username: &str) -> Result<Self, Fault> {
        let roles = distinct(self.roles, "roles")?;
        let permissions = distinct(self.permissions, "permissions")?;
        for (field, value, most) in [("name", &self.name, NAME_MAX), ("email", &self.email, EMAIL_MAX)] {
            if let Some(value) = value {
                printable(value, field, most)?;
            }
        }
        let Self { name, email, .. } = self;
        let bytes = json!([username, name, email, roles, permissions]).to_string().len();
        if bytes > BYTES_MAX {
            let field = if permissions.is_empty() { "roles" } else { "permissions" };
            let message = format!(
                "`{field}` is too long: roles, permissions and names have {bytes} bytes, and at most {BYTES_MAX} fit into a token"
            );
            return Err(Fault::field(field, message));
        }
        Ok(Self { roles, permissions, name, email })
    }
}

/// Checks that an account is within all bounds.
///
/// # Errors
/// As [`Description::checked`].
pub(super) fn check_description(account: &Account) -> Result<(), Fault> {
    let Account { username, roles, permissions, name, email, .. } = account.clone();
    Description { roles, permissions, name, email }.checked(&username).map(drop)
}

fn distinct(names: Vec<String>, field: &str) -> Result<Vec<String>, Fault> {
    if names.len() > GRANTS_MAX {
        return Err(Fault::field(field, format!("`{field}` has more than {GRANTS_MAX} {field}")));
    }
    let mut distinct: Vec<String> = Vec::new();
    for (index, name) in names.into_iter().enumerate() {
        printable(&name, &format!("{field}[{index}]"), GRANT_MAX)?;
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    Ok(distinct)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::jwt::{Hmac, TOKEN_MAX, sign};

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_invalid_property_of_an_account_is_named() {
        let field = |roles: &[&str], permissions: &[&str], name: Option<&str>, email: Option<&str>| {
            let (roles, permissions) = (names(roles), names(permissions));
            let (name, email) = (name.map(Into::into), email.map(Into::into));
            Description { roles, permissions, name, email }.checked("alice").unwrap_err().field.unwrap()
        };
        assert_eq!(field(&["a", ""], &[], None, None), "roles[1]");
        assert_eq!(field(&["a"; 33], &[], None, None), "roles");
        assert_eq!(field(&[], &["a", "b", "c\nd"], None, None), "permissions[2]");
        assert_eq!(field(&[], &["a"; 33], None, None), "permissions");
        assert_eq!(field(&[], &[&"x".repeat(101)], None, None), "permissions[0]");
        assert_eq!(field(&[], &[], Some(""), None), "name");
        assert_eq!(field(&[], &[], None, Some("a\nb")), "email");
        let twice =
            Description { roles: names(&["a", "b", "a"]), permissions: names(&["p", "p"]), ..Default::default() };
        let checked = twice.checked("alice").unwrap();
        assert_eq!((checked.roles, checked.permissions), (names(&["a", "b"]), names(&["p"])));
    }

    /// The longest possible account, with the longest claims that do not depend on it.
    #[test]
    fn the_token_of_the_longest_account_is_accepted() {
        let of = |count: usize, length: usize| {
            let permissions = (0..count).map(|n| format!("{n:0length$}")).collect();
            Description { permissions, name: Some("n".repeat(200)), ..Default::default() }
        };
        let username = "u".repeat(200);
        let long = Description { roles: of(7, 100).permissions, ..of(32, 88) };
        let account = Account {
            id: hubbub_actors::model::ids::UserId::parse(&format!("user_{}", "a".repeat(32)), "id").unwrap(),
            username: username.clone(),
            name: long.name.clone(),
            email: None,
            roles: long.roles.clone(),
            permissions: long.permissions.clone(),
            disabled: false,
            created_at: 0,
        };
        let bytes = json!([username, long.name, long.email, long.roles, long.permissions]).to_string().len();
        assert!((BYTES_MAX - 100..=BYTES_MAX).contains(&bytes), "{bytes}");
        let mut claims = super::super::claims(&account, &format!("session_{}", "a".repeat(32)), 4_000_000_000, 1);
        claims["iss"] = "i".repeat(500).into();
        let token = sign(&claims, b"0123456789abcdef", Hmac::Hs512).unwrap();
        assert!(token.len() <= TOKEN_MAX, "{}", token.len());
        assert_eq!(check_description(&account), Ok(()));
        let fault = check_description(&Account { name: Some("é".repeat(200)), ..account }).unwrap_err();
        assert_eq!(fault.field.as_deref(), Some("permissions"));
    }
}
