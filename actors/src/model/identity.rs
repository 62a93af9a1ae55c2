//! The identity and the permissions of a caller. It is independent of token formats: `auth` in the root crate converts
//! a token into an [`Identity`].

use serde::{Deserialize, Serialize};

use crate::model::fault::{Code, Fault};
use crate::model::ids::UserId;
use crate::model::topic_pattern::Pattern;

/// The claims of a verified token about its holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The user. One user may hold many tokens and sessions.
    pub user: UserId,
    /// The claim `name`.
    pub name: Option<Box<str>>,
    /// The claim `username`.
    pub username: Option<Box<str>>,
    /// The claim `email`.
    pub email: Option<Box<str>>,
    /// The claim `avatar`, unchanged.
    pub avatar: Option<Box<str>>,
    /// The claims `role` and `roles`.
    pub roles: Vec<String>,
    /// The claim `permissions`.
    pub permissions: Vec<String>,
    /// The claim `sid`: the sign-in session that issued the token.
    pub sign_in: Option<Box<str>>,
    /// The claim `jti`: the id of the token, if the issuer set it.
    pub token_id: Option<Box<str>>,
    /// The claim `iat`: when the token was issued, in ms since the epoch.
    pub issued_at: Option<i64>,
    /// When the session must end, in ms since the epoch, the leeway included; `None` when the token never expires.
    pub expires_at: Option<i64>,
    /// The claim `topics.subscribe`: limits the topics that the holder can subscribe to.
    pub subscribe: Option<Vec<Pattern>>,
    /// The claim `topics.publish`: limits the topics that the holder can publish to.
    pub publish: Option<Vec<Pattern>>,
}

impl Identity {
    /// An identity with only a user id.
    pub fn of(user: UserId) -> Self {
        Self {
            user,
            name: None,
            username: None,
            email: None,
            avatar: None,
            roles: Vec::new(),
            permissions: Vec::new(),
            sign_in: None,
            token_id: None,
            issued_at: None,
            expires_at: None,
            subscribe: None,
            publish: None,
        }
    }

    /// The display name: `name`, else `username`, else the id.
    pub fn display_name(&self) -> &str {
        self.name.as_deref().or(self.username.as_deref()).unwrap_or(self.user.as_str())
    }

    /// The user name: `username`, else `name`, else the id.
    pub fn username(&self) -> &str {
        self.username.as_deref().or(self.name.as_deref()).unwrap_or(self.user.as_str())
    }

    /// Whether the holder has the role `role`.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|held| held == role)
    }

    /// Whether the holder has the permission `permission`.
    pub fn has_permission(&self, permission: &str) -> bool {
        self.permissions.iter().any(|held| held == permission)
    }

    /// Checks that the holder has all the permissions `required`.
    ///
    /// # Errors
    /// [`Code::Forbidden`] naming a missing permission.
    pub fn require(&self, required: &[String]) -> Result<(), Fault> {
        match required.iter().find(|permission| !self.has_permission(permission)) {
            None => Ok(()),
            Some(lacking) => {
                let message = format!("The token lacks the permission `{lacking}`");
                Err(Fault::new(Code::Forbidden, message).by("auth.required_permissions"))
            }
        }
    }
}
