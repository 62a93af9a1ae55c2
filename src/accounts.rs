//! The accounts of users that sign in with a password: the rules for user names and passwords, the tokens of a sign-in,
//! and the errors that a client receives.
//!
//! The store keeps the accounts. This module knows no HTTP.

mod description;
mod name;
pub mod passwords;
mod terms;

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::model::ids::UserId;
use hubbub_actors::revocations::Revoked;
use hubbub_actors::runtime::clock::Clock;
use hubbub_actors::store::{Account, Credentials, Grants, Revocation, SignIn, Store};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use self::description::{Description, check_description};
pub use self::description::{EMAIL_MAX, GRANTS_MAX, NAME_MAX};
pub use self::name::{USERNAME_MAX, Username};
use self::passwords::{Cost, Passwords};
use self::terms::{Signing, Terms, claims, written_iat};
use crate::auth::jwt;
use crate::config;

/// Fewest and most bytes of a password. Argon2 shortens a long one first, so its length costs little.
pub const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 8..=1_024;

/// Longest refresh token that is read, in bytes.
const REFRESH_MAX: usize = 256;

/// The accounts, as the HTTP side and the command line use them.
#[derive(Debug)]
pub struct Accounts {
    store: Store,
    passwords: Passwords,
    terms: ArcSwap<Terms>,
    /// The revoked tokens, where a hub runs.
    revoked: Option<Revoked>,
}

/// The properties of a new account.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct NewUser {
    /// The name to sign in with.
    pub username: String,
    /// The password.
    pub password: String,
    /// The roles.
    pub roles: Vec<String>,
    /// The permissions.
    pub permissions: Vec<String>,
    /// The name to show.
    pub name: Option<String>,
    /// The mail address.
    pub email: Option<String>,
}

/// A sign-in that succeeded.
pub struct NewSignIn {
    /// Its id.
    pub session_id: String,
    /// Valid for [`NewSignIn::expires_in`].
    pub access_token: String,
    /// Requests further access tokens.
    pub refresh_token: String,
    /// Seconds that the access token is valid.
    pub expires_in: i64,
    /// The account of the user.
    pub account: Account,
}

/// A further access token.
pub struct RefreshedToken {
    /// Valid for [`RefreshedToken::expires_in`].
    pub access_token: String,
    /// Seconds that the access token is valid.
    pub expires_in: i64,
}

impl Accounts {
    /// The accounts in `store`, with tokens as `auth` configures them.
    ///
    /// # Errors
    /// The system starts no threads for the passwords.
    pub fn new(store: Store, auth: &config::Auth) -> io::Result<Self> {
        let terms = ArcSwap::from_pointee(Terms::of(auth));
        Ok(Self { store, passwords: Passwords::start()?, terms, revoked: None })
    }

    /// Makes tokens as `auth` configures them from now on.
    pub fn reconfigure(&self, auth: &config::Auth) {
        let terms = Terms::of(auth);
        if let Some(revoked) = &self.revoked {
            revoked.expect_life(auth.token_life_ms());
        }
        self.terms.store(Arc::new(terms));
    }

    /// Gives every new token an `iat` after the revocations in `revoked`: those are for earlier tokens only.
    #[must_use]
    pub fn with_revocations(self, revoked: Revoked) -> Self {
        Self { revoked: Some(revoked), ..self }
    }

    /// The hashing of passwords.
    pub fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// Checks that the hub can sign tokens. Without that, sign-in is off.
    ///
    /// # Errors
    /// [`Code::NotFound`].
    pub fn check_sign_in(&self) -> Result<(), Fault> {
        self.terms.load().signing().map(drop)
    }

    /// Signs a user in.
    ///
    /// # Errors
    /// [`Code::InvalidCredentials`] for an unknown or disabled user and for a wrong password. All three take the same
    /// time. [`Code::Overloaded`] and [`Code::StoreUnavailable`].
    pub async fn sign_in(&self, username: &Username, password: String, clock: &Clock) -> Result<NewSignIn, Fault> {
        self.check_sign_in()?;
        // Twice, because another sign-in of the user may renew the hash while this one verifies it.
        for _ in 0..2 {
            if let Some(signed_in) = self.try_sign_in(username, &password, clock).await? {
                return Ok(signed_in);
            }
        }
        Err(wrong_credentials())
    }

    /// Signs a user in; `None` when the account changed while its password was verified.
    async fn try_sign_in(
        &self,
        username: &Username,
        password: &str,
        clock: &Clock,
    ) -> Result<Option<NewSignIn>, Fault> {
        let found = self.store.account(username.key().to_owned()).await?;
        let hash = found.as_ref().map(|found| found.password.clone());
        let cost = self.terms.load().cost;
        let verified = self.passwords.verify(password.to_owned(), hash, cost).await?;
        let credentials = found.filter(|found| verified.matches && !found.account.disabled);
        let credentials = credentials.ok_or_else(wrong_credentials)?;

        // Read the time after the hashing: a revocation during the hashing must be older than the token created here, or
        // prevent it.
        let (now_ms, terms) = (clock.now_ms(), self.terms.load_full());
        let refresh_token = random()?;
        let sign_in = SignIn {
            id: format!("session_{}", Uuid::new_v4().simple()),
            refresh: digest(&refresh_token),
            created_at: now_ms,
            refresh_until: now_ms.saturating_add(terms.refresh_ttl_secs * 1_000),
            tokens_until: terms.tokens_until(now_ms),
        };
        let session_id = sign_in.id.clone();
        let expires_in = terms.access_ttl_secs;
        let access_token = self.access_token(&terms, &credentials.account, &session_id, now_ms)?;
        if !self.store.begin_sign_in(credentials.clone(), sign_in).await? {
            return Ok(None);
        }
        let Credentials { account, password: hash, .. } = credentials;
        if verified.is_outdated {
            self.renew_hash(&account, password.to_owned(), hash, terms.cost).await;
        }
        Ok(Some(NewSignIn { session_id, access_token, refresh_token, expires_in, account }))
    }

    /// Hashes a verified password again at the configured cost. If that fails, the next sign-in tries again.
    async fn renew_hash(&self, account: &Account, password: String, old: String, cost: Cost) {
        let renewed = match self.passwords.hash(password, cost).await {
            Ok(new) => self.store.renew_password(account.id.clone(), old, new).await,
            Err(fault) => Err(fault),
        };
        match renewed {
            Ok(true) => log::debug!(user = account.id.as_str(); "the hash of a password was renewed"),
            Ok(false) => {}
            Err(fault) => {
                log::info!(user = account.id.as_str(); "the hash of a password was not renewed: {fault}")
            }
        }
    }

    /// Returns a further access token for a refresh token.
    ///
    /// # Errors
    /// [`Code::InvalidToken`], [`Code::TokenExpired`]; [`Code::Overloaded`] and [`Code::StoreUnavailable`].
    pub async fn refresh(&self, refresh_token: &str, now_ms: i64) -> Result<RefreshedToken, Fault> {
        self.check_sign_in()?;
        if refresh_token.len() > REFRESH_MAX {
            return Err(Fault::new(Code::InvalidToken, "The refresh token is invalid").by("refresh_token"));
        }
        let terms = self.terms.load_full();
        let refreshed = self.store.refresh(digest(refresh_token), now_ms, terms.tokens_until(now_ms)).await?;
        let access_token = self.access_token(&terms, &refreshed.account, &refreshed.sign_in, now_ms)?;
        Ok(RefreshedToken { access_token, expires_in: terms.access_ttl_secs })
    }

    /// The user of a sign-in; `None` when there is no such sign-in.
    ///
    /// # Errors
    /// [`Code::Overloaded`] and [`Code::StoreUnavailable`].
    pub async fn user_of(&self, session_id: &str) -> Result<Option<UserId>, Fault> {
        self.store.holder_of_sign_in(session_id.to_owned()).await
    }

    /// Ends a sign-in in the store. Returns the revocation that the hub must apply, or `None` when there is no such
    /// sign-in.
    ///
    /// # Errors
    /// [`Code::Overloaded`] and [`Code::StoreUnavailable`].
    pub async fn end(&self, session_id: &str, now_ms: i64) -> Result<Option<Revocation>, Fault> {
        self.store.end_sign_in(session_id.to_owned(), now_ms).await
    }

    /// Makes an account.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`] with the field; [`Code::Conflict`] when the name is taken; [`Code::Overloaded`] and
    /// [`Code::StoreUnavailable`].
    pub async fn add(&self, new: NewUser, now_ms: i64) -> Result<Account, Fault> {
        let username = Username::parse(&new.username, "username")?;
        check_password(&new.password)?;
        let NewUser { roles, permissions, name, email, .. } = new;
        let Description { roles, permissions, name, email } =
            Description { roles, permissions, name, email }.checked(username.as_typed())?;
        if self.store.account(username.key().to_owned()).await?.is_some() {
            return Err(Fault::new(Code::Conflict, "The user name is taken"));
        }
        let password = self.passwords.hash(new.password, self.terms.load().cost).await?;
        let id = format!("user_{}", Uuid::new_v4().simple());
        let account = Account {
            id: UserId::parse(&id, "id")?,
            username: username.as_typed().to_owned(),
            name,
            email,
            roles,
            permissions,
            disabled: false,
            created_at: now_ms,
        };
        let credentials = Credentials { account, name_key: username.key().to_owned(), password };
        self.store.add_account(credentials.clone()).await?;
        Ok(credentials.account)
    }

    /// Sets the password of an account and ends all its sign-ins.
    ///
    /// # Errors
    /// As [`Accounts::add`]; [`Code::NotFound`] when there is no such account.
    pub async fn change_password(&self, username: &Username, password: String, now_ms: i64) -> Result<Account, Fault> {
        check_password(&password)?;
        let password = self.passwords.hash(password, self.terms.load().cost).await?;
        self.store.set_password(username.key().to_owned(), password, now_ms).await?.ok_or_else(no_such_user)
    }

    /// Adds roles and permissions to an account, and removes others. An addition takes effect with the next access
    /// token. A removal ends all sign-ins of the account.
    ///
    /// # Errors
    /// As [`Accounts::add`]; [`Code::NotFound`] when there is no such account.
    pub async fn change_grants(&self, username: &Username, grants: Grants, now_ms: i64) -> Result<Account, Fault> {
        let changed = self.store.change_grants(username.key().to_owned(), grants, check_description, now_ms);
        changed.await?.ok_or_else(no_such_user)
    }

    /// Disables an account and revokes all its tokens, or enables it again.
    ///
    /// # Errors
    /// [`Code::NotFound`] when there is no such account; [`Code::Overloaded`] and [`Code::StoreUnavailable`].
    pub async fn set_disabled(&self, username: &Username, disabled: bool, now_ms: i64) -> Result<Account, Fault> {
        self.store.set_disabled(username.key().to_owned(), disabled, now_ms).await?.ok_or_else(no_such_user)
    }

    /// All accounts, by name.
    ///
    /// # Errors
    /// [`Code::Overloaded`] and [`Code::StoreUnavailable`].
    pub async fn all(&self) -> Result<Vec<Account>, Fault> {
        self.store.accounts().await
    }

    fn access_token(&self, terms: &Terms, account: &Account, session_id: &str, now_ms: i64) -> Result<String, Fault> {
        let Signing { secret, algorithm, own_claims } = terms.signing()?;
        let mut claims = claims(account, session_id, now_ms / 1_000, terms.access_ttl_secs);
        for (claim, text) in own_claims {
            claims[*claim] = text.as_str().into();
        }
        // A revocation reaches some seconds into the future, because clocks of issuers differ. This token must be later
        // than that.
        let earliest = self.revoked.as_ref().map_or(i64::MIN, |revoked| revoked.earliest(&account.id));
        if now_ms / 1_000 * 1_000 < earliest {
            claims["iat"] = written_iat(earliest.min(now_ms.saturating_add(terms.leeway_ms)));
        }
        let token = jwt::sign(&claims, secret.expose().as_bytes(), *algorithm)?;
        if token.len() > jwt::TOKEN_MAX {
            return Err(token_too_long(account, token.len()));
        }
        Ok(token)
    }
}

/// Checks a new password.
///
/// # Errors
/// [`Code::InvalidRequest`] with the field.
pub fn check_password(password: &str) -> Result<(), Fault> {
    if PASSWORD_BYTES.contains(&password.len()) {
        return Ok(());
    }
    let (least, most) = (PASSWORD_BYTES.start(), PASSWORD_BYTES.end());
    Err(Fault::field("password", format!("`password` must have {least} to {most} bytes")))
}

fn wrong_credentials() -> Fault {
    Fault::new(Code::InvalidCredentials, "Invalid user name or password")
}

/// The error of a sign-in when its token would be too long to be accepted. The account is from a version without this
/// bound, or the configured issuer and audience are long.
fn token_too_long(account: &Account, bytes: usize) -> Fault {
    Fault::internal().caused_by(format!(
        "an access token of {bytes} bytes exceeds {}; remove roles or permissions of user {} (`hubbub user change`), or \
         shorten auth.issuer and auth.audience",
        jwt::TOKEN_MAX,
        account.id
    ))
}

fn no_such_user() -> Fault {
    Fault::new(Code::NotFound, "There is no such user")
}

/// 256 random bits in hex.
fn random() -> Result<String, Fault> {
    config::secrets::random()
        .map(|secret| secret.expose().to_owned())
        .map_err(|error| Fault::internal().caused_by(error.to_string()))
}

/// The store keeps only this digest of a refresh token, which cannot be used to refresh. The token has 256 random bits
/// and needs no slow hash.
fn digest(refresh_token: &str) -> [u8; 32] {
    Sha256::digest(refresh_token).into()
}

#[cfg(test)]
mod tests;
