//! Tests: the claims of a sign-in's token, and the bounds of an account.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hubbub_actors::runtime::clock::Clock;
use hubbub_actors::store::Role;
use serde_json::{Value, json};

use super::*;
use crate::config::Secret;

fn account() -> Account {
    Account {
        id: UserId::parse("user_1", "id").unwrap(),
        username: "Alice".into(),
        name: Some("Alice A.".into()),
        email: None,
        roles: vec!["admin".into()],
        permissions: vec!["connect".into()],
        disabled: false,
        created_at: 0,
    }
}

#[test]
fn a_token_names_its_user_its_sign_in_and_its_expiry() {
    let mut claims = claims(&account(), "session_1", 1_000, 3_600);
    assert!(claims["jti"].take().as_str().is_some_and(|id| id.len() == 36));
    let expected = json!({
        "sub": "user_1",
        "username": "Alice",
        "name": "Alice A.",
        "roles": ["admin"],
        "permissions": ["connect"],
        "sid": "session_1",
        "jti": null,
        "iat": 1_000,
        "exp": 4_600,
    });
    assert_eq!(claims, expected);
}

#[test]
fn a_token_after_a_revocation_has_a_later_iat() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
    let auth = config::Auth { jwt_secret: Some(Secret::new("0123456789abcdef")), ..config::Auth::default() };
    let (revoked, now) = (Revoked::new(0), 1_767_225_600_123);
    let accounts = Accounts::new(store, &auth).unwrap().with_revocations(revoked.clone());
    let iat = |now_ms| {
        let token = accounts.access_token(&accounts.terms.load(), &account(), "session_1", now_ms).unwrap();
        let claims = token.split('.').nth(1).unwrap();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        claims["iat"].clone()
    };
    assert_eq!(iat(now), 1_767_225_600);
    revoked.add(&Revocation::of_user(&account().id, now + 5_001, now));
    let ms = |iat: Value| (iat.as_f64().unwrap() * 1_000.0).floor() as i64;
    assert_eq!(ms(iat(now + 1)), now + 5_001);
    assert_eq!(iat(now + 6_000), 1_767_225_606, "not before now");
    // No token with a later `iat` would be accepted yet.
    revoked.add(&Revocation::of_user(&account().id, now + 60_000, now));
    assert_eq!(ms(iat(now)), now + 5_000);
}

#[test]
fn a_token_names_the_first_issuer_and_audience_of_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
    let auth = config::Auth {
        jwt_secret: Some(Secret::new("0123456789abcdef")),
        issuer: vec!["https://hub.example".into()],
        audience: vec!["chat".into(), "push".into()],
        ..config::Auth::default()
    };
    let accounts = Accounts::new(store, &auth).unwrap();
    let token = accounts.access_token(&accounts.terms.load(), &account(), "session_1", 1_000_000).unwrap();
    let claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap();
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!("https://hub.example"), &json!("chat")));
}

#[test]
fn new_tokens_follow_a_reloaded_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
    let auth = config::Auth { jwt_secret: Some(Secret::new("0123456789abcdef")), ..config::Auth::default() };
    let accounts = Accounts::new(store, &auth).unwrap();
    let life = || {
        let token = accounts.access_token(&accounts.terms.load(), &account(), "session_1", 1_000_000).unwrap();
        let claims = token.split('.').nth(1).unwrap();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        claims["exp"].as_i64().unwrap() - 1_000
    };
    assert_eq!(life(), 3_600);
    accounts.reconfigure(&config::Auth { access_ttl_secs: 60, ..auth.clone() });
    assert_eq!(life(), 60);
    accounts.reconfigure(&config::Auth { algorithm: config::Algorithm::Rs256, ..auth });
    assert_eq!(accounts.check_sign_in().unwrap_err().code, Code::NotFound);
}

#[test]
fn a_password_has_8_to_1024_bytes() {
    for bad in ["1234567", &"x".repeat(1_025)] {
        assert_eq!(check_password(bad).unwrap_err().field.as_deref(), Some("password"));
    }
    assert!(check_password("12345678").is_ok() && check_password(&"x".repeat(1_024)).is_ok());
}

#[tokio::test]
async fn without_a_shared_secret_sign_in_is_off_and_accounts_can_be_made() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
    let auth = config::Auth { algorithm: config::Algorithm::Rs256, ..config::Auth::default() };
    let accounts = Accounts::new(store, &auth).unwrap();
    let new = NewUser { username: "alice".into(), password: "password".into(), ..NewUser::default() };
    accounts.add(new, 0).await.unwrap();
    let alice = Username::parse("alice", "username").unwrap();
    let refused = accounts.sign_in(&alice, "password".into(), &Clock::manual(0)).await.err().unwrap();
    assert_eq!(refused.code, Code::NotFound);
    assert_eq!(accounts.refresh("any", 0).await.err().unwrap().code, Code::NotFound);
}

/// Accounts with one user, `alice`.
async fn with_alice(auth: &config::Auth) -> (tempfile::TempDir, Accounts, Username) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
    let accounts = Accounts::new(store, auth).unwrap();
    let new = NewUser { username: "alice".into(), password: "password".into(), ..NewUser::default() };
    accounts.add(new, 0).await.unwrap();
    (directory, accounts, Username::parse("alice", "username").unwrap())
}

fn with_secret() -> config::Auth {
    config::Auth { jwt_secret: Some(Secret::new("0123456789abcdef")), ..config::Auth::default() }
}

#[tokio::test]
async fn the_hash_of_a_password_is_renewed_at_the_sign_in_after_its_cost_changed() {
    let auth = with_secret();
    let (_directory, accounts, alice) = with_alice(&auth).await;
    let hash = async || accounts.store.account("alice".into()).await.unwrap().unwrap().password;
    let sign_in = |password: &str| accounts.sign_in(&alice, password.to_owned(), &Clock::System);
    let first = hash().await;
    assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{first}");
    let earlier = sign_in("password").await.unwrap();
    assert_eq!(hash().await, first, "nothing changed");

    accounts.reconfigure(&config::Auth { password_passes: 3, password_memory_kib: 20_000, ..auth.clone() });
    assert!(sign_in("wrong password").await.is_err());
    assert_eq!(hash().await, first, "a wrong password renews no hash");
    sign_in("password").await.unwrap();
    let second = hash().await;
    assert!(second.starts_with("$argon2id$v=19$m=20000,t=3,p=1$"), "{second}");
    sign_in("password").await.unwrap();
    assert_eq!(hash().await, second);
    assert!(sign_in("wrong password").await.is_err());
    assert!(accounts.refresh(&earlier.refresh_token, Clock::System.now_ms()).await.is_ok(), "no sign-in ended");

    accounts.reconfigure(&auth);
    sign_in("password").await.unwrap();
    assert!(hash().await.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "a cost may be lowered, too");
}

#[tokio::test]
async fn concurrent_sign_ins_succeed_while_the_hash_is_renewed() {
    let auth = with_secret();
    let (_directory, accounts, alice) = with_alice(&auth).await;
    accounts.reconfigure(&config::Auth { password_passes: 3, ..auth });
    let sign_in = || accounts.sign_in(&alice, "password".into(), &Clock::System);
    let (one, two, three, four) = tokio::join!(sign_in(), sign_in(), sign_in(), sign_in());
    for signed_in in [one, two, three, four] {
        signed_in.map(drop).unwrap();
    }
}

#[tokio::test]
async fn a_token_that_would_be_too_long_is_not_made() {
    let issuer = |length: usize| config::Auth {
        issuer: vec!["é".repeat(length)],
        audience: vec!["é".repeat(length)],
        ..with_secret()
    };
    let (_directory, accounts, alice) = with_alice(&issuer(1_024)).await;
    let permissions = (0..32).map(|n| format!("{n:0100}")).collect();
    accounts.change_grants(&alice, Grants { add_permissions: permissions, ..Grants::default() }, 1).await.unwrap();
    let sign_in = || accounts.sign_in(&alice, "password".into(), &Clock::System);
    let fault = sign_in().await.map(drop).unwrap_err();
    assert_eq!(fault, Fault::internal());
    assert!(fault.cause().is_some_and(|cause| cause.starts_with("an access token of ")), "{fault}");
    accounts.reconfigure(&issuer(100));
    let refresh_token = sign_in().await.unwrap().refresh_token;
    accounts.reconfigure(&issuer(1_024));
    assert!(accounts.refresh(&refresh_token, Clock::System.now_ms()).await.is_err());
}

#[tokio::test]
async fn added_permissions_are_in_the_next_token_and_bounded() {
    let (_directory, accounts, alice) = with_alice(&with_secret()).await;
    let signed_in = accounts.sign_in(&alice, "password".into(), &Clock::System).await.unwrap();
    let permissions = |token: &str| {
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        serde_json::from_slice::<Value>(&claims).unwrap()["permissions"].clone()
    };
    assert_eq!(permissions(&signed_in.access_token), json!([]));
    let change = |grants| accounts.change_grants(&alice, grants, 1);
    change(Grants { add_permissions: vec!["connect".into()], ..Grants::default() }).await.unwrap();
    let refreshed = accounts.refresh(&signed_in.refresh_token, Clock::System.now_ms()).await.unwrap();
    assert_eq!(permissions(&refreshed.access_token), json!(["connect"]));

    let odd = Grants { add_permissions: vec!["a\nb".into()], ..Grants::default() };
    assert_eq!(change(odd).await.unwrap_err().field.as_deref(), Some("permissions[1]"));
    let many = Grants { add_permissions: (0..32).map(|n| n.to_string()).collect(), ..Grants::default() };
    assert_eq!(change(many).await.unwrap_err().field.as_deref(), Some("permissions"));
    let nobody = Username::parse("bob", "username").unwrap();
    let fault = accounts.change_grants(&nobody, Grants::default(), 1).await.unwrap_err();
    assert_eq!(fault.code, Code::NotFound);
}

#[tokio::test]
async fn a_refused_sign_in_hashes_the_password_even_for_an_unknown_user() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
    let auth = config::Auth { jwt_secret: Some(Secret::new("0123456789abcdef")), ..config::Auth::default() };
    let accounts = Accounts::new(store.clone(), &auth).unwrap();
    let clock = Clock::manual(1_000_000);
    let name = |name: &str| Username::parse(name, "username").unwrap();
    for (user, disabled) in [("alice", false), ("gone", true)] {
        let new = NewUser {
            username: user.into(),
            password: "correct horse".into(),
            roles: vec![],
            permissions: vec![],
            name: None,
            email: None,
        };
        accounts.add(new, clock.now_ms()).await.unwrap();
        accounts.set_disabled(&name(user), disabled, clock.now_ms()).await.unwrap();
    }
    // Every password that must be hashed is refused here, because its waiting time is zero.
    let overloaded = Accounts {
        passwords: Passwords::with_waiting_time(std::time::Duration::ZERO).unwrap(),
        ..Accounts::new(store, &auth).unwrap()
    };
    for user in ["alice", "gone", "nobody"] {
        for (accounts, code) in [(&accounts, Code::InvalidCredentials), (&overloaded, Code::Overloaded)] {
            let refused = accounts.sign_in(&name(user), "wrong password".into(), &clock).await;
            assert_eq!(refused.map(|_| ()).unwrap_err().code, code, "{user}");
        }
    }
}
