//! What a token of a sign-in says, and what may be in an account.

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
    let store = Store::open(directory.path(), Role::Command, Clock::System).unwrap();
    let auth = config::Auth { algorithm: config::Algorithm::Rs256, ..config::Auth::default() };
    let accounts = Accounts::new(store, &auth).unwrap();
    let new = NewUser { username: "alice".into(), password: "password".into(), ..NewUser::default() };
    accounts.add(new, 0).await.unwrap();
    let alice = Username::parse("alice", "username").unwrap();
    let refused = accounts.sign_in(&alice, "password".into(), &Clock::manual(0)).await.err().unwrap();
    assert_eq!(refused.code, Code::NotFound);
    assert_eq!(accounts.refresh("any", 0).await.err().unwrap().code, Code::NotFound);
}
