//! What a token of a sign-in says, and what may be in an account.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hubbub_actors::clock::Clock;
use hubbub_actors::store::Role;

use super::*;

fn account() -> Account {
    Account {
        id: UserId::parse("user_1", "id").unwrap(),
        username: "Alice".into(),
        name: Some("Alice A.".into()),
        email: None,
        roles: vec!["admin".into()],
        disabled: false,
        created_at: 0,
    }
}

#[test]
fn a_token_says_who_it_is_for_which_sign_in_and_until_when() {
    let mut claims = claims(&account(), "session_1", 1_000, 3_600);
    assert!(claims["jti"].take().as_str().is_some_and(|id| id.len() == 36));
    let expected = json!({
        "sub": "user_1",
        "username": "Alice",
        "name": "Alice A.",
        "roles": ["admin"],
        "sid": "session_1",
        "jti": null,
        "iat": 1_000,
        "exp": 4_600,
    });
    assert_eq!(claims, expected);
}

#[test]
fn a_token_that_follows_a_revocation_is_issued_no_earlier_than_that_allows() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
    let auth = config::Auth { jwt_secret: Some(Secret::new("0123456789abcdef")), ..config::Auth::default() };
    let (revoked, now) = (Revoked::new(0), 1_767_225_600_123);
    let accounts = Accounts::new(store, &auth).unwrap().after(revoked.clone());
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
    assert_eq!(iat(now + 6_000), 1_767_225_606, "no sooner than now");
    // Nobody would believe it before that time.
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
fn tokens_are_made_as_the_configuration_says_now() {
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
    accounts.follow(&config::Auth { access_ttl_secs: 60, ..auth.clone() });
    assert_eq!(life(), 60);
    accounts.follow(&config::Auth { algorithm: config::Algorithm::Rs256, ..auth });
    assert_eq!(accounts.check_sign_in().unwrap_err().code, Code::NotFound);
}

#[test]
fn what_an_account_may_not_hold_is_named() {
    let field = |roles: &[&str], name: Option<&str>, email: Option<&str>| {
        let roles = roles.iter().map(ToString::to_string).collect();
        described(roles, name.map(Into::into), email.map(Into::into)).unwrap_err().field.unwrap()
    };
    assert_eq!(field(&["a", ""], None, None), "roles[1]");
    assert_eq!(field(&["a"; 33], None, None), "roles");
    assert_eq!(field(&[], Some(""), None), "name");
    assert_eq!(field(&[], None, Some("a\nb")), "email");
    let (roles, ..) = described(vec!["a".into(), "b".into(), "a".into()], None, None).unwrap();
    assert_eq!(roles, ["a", "b"]);
    for bad in ["1234567", &"x".repeat(1_025)] {
        assert_eq!(check_password(bad).unwrap_err().field.as_deref(), Some("password"));
    }
    assert!(check_password("12345678").is_ok() && check_password(&"x".repeat(1_024)).is_ok());
}

#[tokio::test]
async fn without_a_shared_secret_nobody_signs_in_and_accounts_can_still_be_made() {
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
