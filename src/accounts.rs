//! Users who sign in with a password: what may be a name and a password, which tokens a sign-in gets, and what a refusal
//! may tell. Where they are kept is the store's matter, and HTTP is not known here.

mod name;
pub mod passwords;

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hubbub_actors::clock::Clock;
use hubbub_actors::fault::{Code, Fault};
use hubbub_actors::ids::{UserId, printable};
use hubbub_actors::revoked::Revoked;
use hubbub_actors::store::{Account, Credentials, Revocation, SignIn, Store};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use self::name::Username;
use self::passwords::Passwords;
use crate::auth::jwt::{self, Hmac};
use crate::config::{self, Secret};

/// Fewest and most bytes of a password. More than fits a hash's block costs nothing but its hashing.
pub const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 8..=1_024;

/// Most roles of a user, and longest role in characters: all of them go into every token.
const ROLES_MAX: usize = 32;
const ROLE_MAX: usize = 100;
/// Longest name to show and longest mail address, in characters.
const NAME_MAX: usize = 200;
const EMAIL_MAX: usize = 320;

/// The largest `auth.leeway_secs` there may ever be: for so much longer than it says a token may be believed.
const LEEWAY_MAX_SECS: i64 = 3_600;

/// Longest refresh token that is looked at, in bytes.
const REFRESH_MAX: usize = 256;

/// The accounts, as the edge uses them.
#[derive(Debug)]
pub struct Accounts {
    store: Store,
    passwords: Passwords,
    terms: ArcSwap<Terms>,
    /// Which tokens no longer hold, where a hub runs.
    revoked: Option<Revoked>,
}

/// How tokens are made.
#[derive(Debug)]
struct Terms {
    signing: Option<Signing>,
    access_ttl_secs: i64,
    refresh_ttl_secs: i64,
    leeway_ms: i64,
}

impl Terms {
    fn of(auth: &config::Auth) -> Self {
        let algorithm = match auth.algorithm {
            config::Algorithm::Hs256 => Some(Hmac::Hs256),
            config::Algorithm::Hs384 => Some(Hmac::Hs384),
            config::Algorithm::Hs512 => Some(Hmac::Hs512),
            _ => None,
        };
        let signing = algorithm.zip(auth.jwt_secret.clone());
        Self {
            signing: signing.map(|(algorithm, secret)| Signing {
                secret,
                algorithm,
                own_claims: auth.own_claims().map(|(claim, text)| (claim, text.to_owned())).collect(),
            }),
            access_ttl_secs: auth.access_ttl_secs.into(),
            refresh_ttl_secs: auth.refresh_ttl_secs.into(),
            leeway_ms: auth.leeway_ms(),
        }
    }

    fn signing(&self) -> Result<&Signing, Fault> {
        self.signing.as_ref().ok_or_else(|| {
            let message = "Sign-in is off: auth.algorithm is not one that the hub signs tokens with";
            Fault::new(Code::NotFound, message).by("auth.algorithm")
        })
    }

    fn tokens_until(&self, now_ms: i64) -> i64 {
        now_ms.saturating_add((self.access_ttl_secs + LEEWAY_MAX_SECS + 1) * 1_000)
    }
}

#[derive(Debug)]
struct Signing {
    secret: Secret,
    algorithm: Hmac,
    /// What every token says of who made it and for whom.
    own_claims: Vec<(&'static str, String)>,
}

/// What a new account is to be.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct NewUser {
    /// The name to sign in with.
    pub username: String,
    /// The password.
    pub password: String,
    /// The roles.
    pub roles: Vec<String>,
    /// The name to show.
    pub name: Option<String>,
    /// Where mail goes.
    pub email: Option<String>,
}

/// A sign-in that succeeded.
pub struct SignedIn {
    /// Its id.
    pub session_id: String,
    /// Lets its holder in for [`SignedIn::expires_in`].
    pub access_token: String,
    /// Gets further access tokens.
    pub refresh_token: String,
    /// Seconds that the access token lives.
    pub expires_in: i64,
    /// Who it is.
    pub account: Account,
}

/// A further access token.
pub struct Refreshed {
    /// Lets its holder in for [`Refreshed::expires_in`].
    pub access_token: String,
    /// Seconds that it lives.
    pub expires_in: i64,
}

impl Accounts {
    /// The accounts in `store`, with tokens as `auth` says.
    ///
    /// # Errors
    /// The system has no threads for the passwords.
    pub fn new(store: Store, auth: &config::Auth) -> io::Result<Self> {
        let terms = ArcSwap::from_pointee(Terms::of(auth));
        Ok(Self { store, passwords: Passwords::start()?, terms, revoked: None })
    }

    /// Makes tokens as `auth` says from now on.
    pub fn follow(&self, auth: &config::Auth) {
        let terms = Terms::of(auth);
        if let Some(revoked) = &self.revoked {
            revoked.expect_life(auth.token_life_ms());
        }
        self.terms.store(Arc::new(terms));
    }

    /// Makes tokens that hold in spite of the revocations in `revoked`: those are of tokens that were made before.
    #[must_use]
    pub fn after(self, revoked: Revoked) -> Self {
        Self { revoked: Some(revoked), ..self }
    }

    /// The hashing of passwords.
    pub fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// That the hub can sign tokens, without which nobody signs in.
    ///
    /// # Errors
    /// [`Code::NotFound`].
    pub fn check_sign_in(&self) -> Result<(), Fault> {
        self.terms.load().signing().map(drop)
    }

    /// Signs a user in.
    ///
    /// # Errors
    /// [`Code::InvalidCredentials`] for an unknown or disabled user and for a wrong password alike, and as late;
    /// [`Code::Overloaded`] and [`Code::StoreUnavailable`].
    pub async fn sign_in(&self, username: &Username, password: String, clock: &Clock) -> Result<SignedIn, Fault> {
        self.check_sign_in()?;
        let refused = || Fault::new(Code::InvalidCredentials, "Invalid user name or password");
        let found = self.store.account(username.key().to_owned()).await?;
        let hash = found.as_ref().map(|found| found.password.clone());
        let holds = self.passwords.verify(password, hash).await?;
        let credentials = found.filter(|found| holds && !found.account.disabled).ok_or_else(refused)?;

        // Now, not before the hashing: a revocation meanwhile must find what is made here newer than itself, or not at all.
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
        let account = credentials.account.clone();
        let expires_in = terms.access_ttl_secs;
        let access_token = self.access_token(&terms, &account, &session_id, now_ms)?;
        match self.store.begin_sign_in(credentials, sign_in).await? {
            true => Ok(SignedIn { session_id, access_token, refresh_token, expires_in, account }),
            false => Err(refused()),
        }
    }

    /// Gives a further access token for a refresh token.
    ///
    /// # Errors
    /// [`Code::InvalidToken`], [`Code::TokenExpired`]; [`Code::Overloaded`] and [`Code::StoreUnavailable`].
    pub async fn refresh(&self, refresh_token: &str, now_ms: i64) -> Result<Refreshed, Fault> {
        self.check_sign_in()?;
        if refresh_token.len() > REFRESH_MAX {
            return Err(Fault::new(Code::InvalidToken, "The refresh token does not hold").by("refresh_token"));
        }
        let terms = self.terms.load_full();
        let refreshed = self.store.refresh(digest(refresh_token), now_ms, terms.tokens_until(now_ms)).await?;
        let access_token = self.access_token(&terms, &refreshed.account, &refreshed.sign_in, now_ms)?;
        Ok(Refreshed { access_token, expires_in: terms.access_ttl_secs })
    }

    /// Whose a sign-in is; `None` when there is no such sign-in.
    ///
    /// # Errors
    /// [`Code::Overloaded`] and [`Code::StoreUnavailable`].
    pub async fn holder(&self, session_id: &str) -> Result<Option<UserId>, Fault> {
        self.store.holder_of_sign_in(session_id.to_owned()).await
    }

    /// Ends a sign-in in the store; what the hub must revoke now, or `None` when there is no such sign-in.
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
        let (roles, name, email) = described(new.roles, new.name, new.email)?;
        if self.store.account(username.key().to_owned()).await?.is_some() {
            return Err(Fault::new(Code::Conflict, "The user name is taken"));
        }
        let password = self.passwords.hash(new.password).await?;
        let id = format!("user_{}", Uuid::new_v4().simple());
        let account = Account {
            id: UserId::parse(&id, "id")?,
            username: username.as_typed().to_owned(),
            name,
            email,
            roles,
            disabled: false,
            created_at: now_ms,
        };
        let credentials = Credentials { account, name_key: username.key().to_owned(), password };
        self.store.add_account(credentials.clone()).await?;
        Ok(credentials.account)
    }

    /// Gives an account another password; every sign-in of it ends.
    ///
    /// # Errors
    /// As [`Accounts::add`]; [`Code::NotFound`] when there is no such account.
    pub async fn change_password(&self, username: &Username, password: String, now_ms: i64) -> Result<Account, Fault> {
        check_password(&password)?;
        let password = self.passwords.hash(password).await?;
        self.store.set_password(username.key().to_owned(), password, now_ms).await?.ok_or_else(no_such_user)
    }

    /// Disables an account and every token of its user, or enables it again.
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
        // A revocation looks some seconds ahead, for the sake of issuers whose clocks are. This token was made after it.
        let earliest = self.revoked.as_ref().map_or(i64::MIN, |revoked| revoked.earliest(&account.id));
        if now_ms / 1_000 * 1_000 < earliest {
            claims["iat"] = written_iat(earliest.min(now_ms.saturating_add(terms.leeway_ms)));
        }
        jwt::sign(&claims, secret.expose().as_bytes(), *algorithm)
    }
}

/// A moment in ms as an `iat` in seconds, with a fraction that is read as the same moment again.
fn written_iat(ms: i64) -> Value {
    (ms as f64 / 1_000.0 + 0.000_5).into()
}

fn claims(account: &Account, session_id: &str, now: i64, ttl: i64) -> Value {
    let mut claims = json!({
        "sub": account.id,
        "username": account.username,
        "roles": account.roles,
        "sid": session_id,
        "jti": Uuid::new_v4().to_string(),
        "iat": now,
        "exp": now.saturating_add(ttl),
    });
    for (claim, value) in [("name", &account.name), ("email", &account.email)] {
        if let Some(value) = value {
            claims[claim] = value.as_str().into();
        }
    }
    claims
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
    Err(Fault::field("password", format!("`password` has not {least} to {most} bytes")))
}

type Described = (Vec<String>, Option<String>, Option<String>);

fn described(roles: Vec<String>, name: Option<String>, email: Option<String>) -> Result<Described, Fault> {
    if roles.len() > ROLES_MAX {
        return Err(Fault::field("roles", format!("`roles` has more than {ROLES_MAX} roles")));
    }
    let mut distinct: Vec<String> = Vec::new();
    for (index, role) in roles.into_iter().enumerate() {
        printable(&role, &format!("roles[{index}]"), ROLE_MAX)?;
        if !distinct.contains(&role) {
            distinct.push(role);
        }
    }
    for (field, value, most) in [("name", &name, NAME_MAX), ("email", &email, EMAIL_MAX)] {
        if let Some(value) = value {
            printable(value, field, most)?;
        }
    }
    Ok((distinct, name, email))
}

fn no_such_user() -> Fault {
    Fault::new(Code::NotFound, "There is no such user")
}

/// 256 random bits in hex.
fn random() -> Result<String, Fault> {
    config::secrets::random().map(|secret| secret.expose().to_owned()).map_err(|error| {
        log::error!("{error}");
        Fault::internal()
    })
}

/// What is kept of a refresh token: whoever reads the file cannot use it. Its 256 random bits need no slow hash.
fn digest(refresh_token: &str) -> [u8; 32] {
    Sha256::digest(refresh_token).into()
}

#[cfg(test)]
mod tests;
