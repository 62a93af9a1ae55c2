//! Tests: the meaning of each claim, with right and wrong types.

use serde_json::json;

use super::*;

/// 2026-01-01T00:00:00Z, in seconds.
const NOW: i64 = 1_767_225_600;

const TERMS: ClaimRequirements =
    ClaimRequirements { require_exp: true, leeway_ms: 5_000, issuers: Vec::new(), audiences: Vec::new() };

/// The claims of a valid token, overridden by `more`; `"<absent>"` removes a claim.
fn claims(more: &Value) -> Map<String, Value> {
    let mut claims = Map::new();
    claims.insert("sub".into(), "alice".into());
    claims.insert("exp".into(), (NOW + 60).into());
    claims.extend(more.as_object().unwrap().clone());
    claims.retain(|_, value| value != "<absent>");
    claims
}

fn with_at(more: &Value, now_ms: i64) -> Result<Identity, Fault> {
    identity(&claims(more), &TERMS, now_ms)
}

fn with(more: Value) -> Result<Identity, Fault> {
    with_at(&more, NOW * 1_000)
}

fn pattern(text: String) -> hubbub_actors::model::topic_pattern::Pattern {
    hubbub_actors::model::topic_pattern::Pattern::new(text)
}

#[test]
fn a_token_is_valid_until_its_expiry_plus_the_leeway() {
    let expiry_ms = NOW * 1_000;
    let end_ms = expiry_ms + 5_000;
    let claims = json!({"exp": NOW});
    for (now_ms, code) in [
        (expiry_ms - 1, None),
        (expiry_ms, None),
        (end_ms - 1, None),
        (end_ms, Some(Code::TokenExpired)),
        (end_ms + 1, Some(Code::TokenExpired)),
        (i64::MAX, Some(Code::TokenExpired)),
    ] {
        let decision = with_at(&claims, now_ms);
        assert_eq!(decision.as_ref().err().map(|fault| fault.code), code, "{now_ms}");
        assert!(decision.is_err() || decision.unwrap().expires_at == Some(end_ms));
    }
}

#[test]
fn a_token_is_valid_from_nbf_minus_the_leeway() {
    let claims = json!({"nbf": NOW});
    let start_ms = NOW * 1_000 - 5_000;
    with_at(&claims, start_ms).unwrap();
    let fault = with_at(&claims, start_ms - 1).unwrap_err();
    assert_eq!(fault, Fault::new(Code::InvalidToken, "The token is not valid yet"));
}

#[test]
fn a_time_is_a_number_of_seconds_and_never_overflows() {
    let invalid = Err(Code::InvalidToken);
    for (exp, end_ms) in [
        (json!(NOW + 60), Ok((NOW + 65) * 1_000)),
        (json!(1_767_225_660.75), Ok((NOW + 65) * 1_000 + 750)),
        (json!(LATEST_SECONDS), Ok((LATEST_SECONDS + 5) * 1_000)),
        (json!(LATEST_SECONDS + 1), invalid),
        (json!(NOW * 1_000), invalid),
        (json!(i64::MAX), invalid),
        (json!(u64::MAX), invalid),
        (json!(1e300), invalid),
        (json!(0), Err(Code::TokenExpired)),
        (json!(-1), Err(Code::TokenExpired)),
        (json!(i64::MIN), Err(Code::TokenExpired)),
        (json!(-1e300), Err(Code::TokenExpired)),
        (json!("1767225660"), invalid),
        (json!(true), invalid),
        (json!([NOW + 60]), invalid),
        (json!(null), invalid),
        (json!("<absent>"), invalid),
    ] {
        let decision = with(json!({"exp": exp}));
        let decision = decision.map(|identity| identity.expires_at.unwrap());
        assert_eq!(decision.map_err(|fault| fault.code), end_ms, "{exp}");
    }
    for (nbf, holds) in [
        (json!(NOW), true),
        (json!(1_767_225_600.5), true),
        (json!(0), true),
        (json!(-1), true),
        (json!(i64::MIN), true),
        (json!(NOW + 60), false),
        (json!(i64::MAX), false),
        (json!(1e300), false),
        (json!("0"), false),
        (json!(null), false),
    ] {
        assert_eq!(with(json!({"nbf": nbf})).is_ok(), holds, "{nbf}");
    }
    for (iat, issued_at) in [
        (json!(NOW), Some(NOW * 1_000)),
        (json!(1.5), Some(1_500)),
        (json!(NOW + 5), Some((NOW + 5) * 1_000)),
        (json!("<absent>"), None),
    ] {
        assert_eq!(with(json!({"iat": iat})).unwrap().issued_at, issued_at, "{iat}");
    }
    for iat in [json!("today"), json!(null), json!([]), json!(NOW * 1_000), json!(NOW + 6), json!(NOW as f64 + 5.001)] {
        assert_eq!(with(json!({"iat": iat})).unwrap_err().code, Code::InvalidToken, "{iat}");
    }
    let fault = with(json!({"iat": NOW + 6})).unwrap_err();
    assert_eq!(fault.message, "The token's `iat` lies in the future; check the clock of its issuer");
}

#[test]
fn a_token_has_one_of_the_accepted_issuers_and_audiences() {
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let requirements = ClaimRequirements {
        issuers: texts(&["https://id.example", "b"]),
        audiences: texts(&["chat", "push"]),
        ..TERMS
    };
    let check =
        |iss: Value, aud: Value| identity(&claims(&json!({"iss": iss, "aud": aud})), &requirements, NOW * 1_000);
    for (iss, aud) in [
        (json!("https://id.example"), json!("chat")),
        (json!("b"), json!("push")),
        (json!("b"), json!(["mail", "push"])),
        (json!("b"), json!([7, "push"])),
    ] {
        check(iss.clone(), aud.clone()).unwrap_or_else(|fault| panic!("{iss} {aud}: {fault:?}"));
    }
    let (of_iss, of_aud) = ("The token's `iss` is not accepted here", "The token's `aud` is not accepted here");
    for (iss, aud, message) in [
        (json!("<absent>"), json!("chat"), "The token has no `iss`"),
        (json!(null), json!("chat"), "The token has no `iss`"),
        (json!("https://id.example/"), json!("chat"), of_iss),
        (json!("HTTPS://ID.EXAMPLE"), json!("chat"), of_iss),
        (json!(["b"]), json!("chat"), of_iss),
        (json!(7), json!("chat"), of_iss),
        (json!("b"), json!("<absent>"), "The token has no `aud`"),
        (json!("b"), json!("mail"), of_aud),
        (json!("b"), json!([]), of_aud),
        (json!("b"), json!(["mail", "chat "]), of_aud),
        (json!("b"), json!({"chat": true}), of_aud),
    ] {
        let fault = check(iss.clone(), aud.clone()).unwrap_err();
        assert_eq!((fault.code, &*fault.message), (Code::InvalidToken, message), "{iss} {aud}");
    }
    // Without configured names, no value of the claim is checked.
    for any in [json!("elsewhere"), json!(7), json!("<absent>")] {
        with(json!({"iss": any, "aud": any})).unwrap();
    }
    let expired = json!({"iss": "elsewhere", "aud": "chat", "exp": NOW - 60});
    assert_eq!(identity(&claims(&expired), &requirements, NOW * 1_000).unwrap_err().code, Code::InvalidToken);
}

#[test]
fn without_require_exp_a_token_needs_no_expiry_but_an_invalid_one_is_refused() {
    let requirements = ClaimRequirements { require_exp: false, ..TERMS };
    for (exp, decision) in [
        (json!("<absent>"), Ok(None)),
        (json!(NOW + 60), Ok(Some((NOW + 65) * 1_000))),
        (json!(NOW - 60), Err(Code::TokenExpired)),
        (json!("never"), Err(Code::InvalidToken)),
        (json!(null), Err(Code::InvalidToken)),
    ] {
        let found = identity(&claims(&json!({"exp": exp})), &requirements, NOW * 1_000);
        let found = found.map(|identity| identity.expires_at);
        assert_eq!(found.map_err(|fault| fault.code), decision, "{exp}");
    }
}

#[test]
fn the_user_is_the_first_id_claim_that_is_not_null() {
    for (more, user) in [
        (json!({"sub": "alice", "userId": "bob"}), Some("alice")),
        (json!({"sub": 42}), Some("42")),
        (json!({"sub": "42"}), Some("42")),
        (json!({"sub": u64::MAX}), Some("18446744073709551615")),
        (json!({"sub": -7}), Some("-7")),
        (json!({"sub": null, "userId": 7, "user_id": 8}), Some("7")),
        (json!({"sub": "<absent>", "user_id": "eve"}), Some("eve")),
        (json!({"sub": "x".repeat(195)}), Some("x".repeat(195)).as_deref()),
        (json!({"sub": "<absent>"}), None),
        (json!({"sub": null}), None),
        (json!({"sub": ""}), None),
        (json!({"sub": "", "userId": "bob"}), None),
        (json!({"sub": "a\u{0}b"}), None),
        (json!({"sub": "a\nb"}), None),
        (json!({"sub": "x".repeat(196)}), None),
        (json!({"sub": 42.0}), None),
        (json!({"sub": 4.5}), None),
        (json!({"sub": 1e30}), None),
        (json!({"sub": true}), None),
        (json!({"sub": ["alice"]}), None),
        (json!({"sub": {"id": 1}, "userId": "bob"}), None),
    ] {
        let found = with(more.clone());
        match user {
            Some(user) => assert_eq!(found.unwrap().user.as_str(), user, "{more}"),
            None => assert_eq!(found.unwrap_err().code, Code::InvalidToken, "{more}"),
        }
    }
}

#[test]
fn every_claim_of_a_token_is_read() {
    let identity = with(json!({
        "name": "Alice A.", "username": "alice", "email": "a@example.com", "avatar": "/a.png",
        "role": "admin", "roles": ["editor", "admin"], "permissions": ["posts.read", "posts.write"],
        "sid": "s1", "jti": 7, "iat": NOW, "aud": "elsewhere", "iss": "somebody",
        "topics": {"subscribe": ["news.*", "chat.*"], "publish": []},
    }));
    let patterns = |texts: &[&str]| Some(texts.iter().map(|&text| text.into()).map(pattern).collect());
    let expected = Identity {
        user: UserId::parse("alice", "sub").unwrap(),
        name: Some("Alice A.".into()),
        username: Some("alice".into()),
        email: Some("a@example.com".into()),
        avatar: Some("/a.png".into()),
        roles: vec!["admin".into(), "editor".into()],
        permissions: vec!["posts.read".into(), "posts.write".into()],
        sign_in: Some("s1".into()),
        token_id: Some("7".into()),
        issued_at: Some(NOW * 1_000),
        expires_at: Some((NOW + 65) * 1_000),
        subscribe: patterns(&["news.*", "chat.*"]),
        publish: patterns(&[]),
    };
    assert_eq!(identity.unwrap(), expected);
}

#[test]
fn a_mistyped_descriptive_claim_is_ignored() {
    for odd in [json!(null), json!(7), json!(true), json!({}), json!([1, null]), json!(""), json!(" ")] {
        let identity = with(json!({
            "name": odd, "username": odd, "email": odd, "avatar": odd,
        }));
        let identity = identity.unwrap();
        assert_eq!(identity.display_name(), "alice", "{odd}");
        assert_eq!((identity.email, identity.avatar), (None, None), "{odd}");
    }
}

#[test]
fn roles_and_permissions_are_lists_or_strings() {
    for (more, roles) in [
        (json!({"role": "admin"}), &["admin"][..]),
        (json!({"roles": "admin"}), &["admin"]),
        (json!({"role": ["a"], "roles": ["b", "a", "c"]}), &["a", "b", "c"]),
        (json!({"role": "two words"}), &["two words"]),
        (json!({"role": null, "roles": ["a", 1, null, "", ["b"]]}), &["a"]),
        (json!({"role": 1, "roles": {"admin": true}}), &[]),
        (json!({}), &[]),
    ] {
        assert_eq!(with(more.clone()).unwrap().roles, roles, "{more}");
    }
    for (permissions, held) in [
        (json!(["a", "b c", "a"]), &["a", "b c"][..]),
        (json!("a  b a"), &["a", "b"]),
        (json!(""), &[]),
        (json!([1, "a"]), &["a"]),
        (json!({"a": true}), &[]),
        (json!(null), &[]),
    ] {
        let identity = with(json!({"permissions": permissions})).unwrap();
        assert_eq!(identity.permissions, held, "{permissions}");
    }
}

#[test]
fn a_mistyped_restricting_claim_makes_the_token_invalid() {
    for topics in [
        json!(null),
        json!("news.*"),
        json!(["news.*"]),
        json!({"subscribe": null}),
        json!({"subscribe": "news.*"}),
        json!({"subscribe": ["news.*", 7]}),
        json!({"publish": {"0": "news.*"}}),
        json!({"subscribe": ["news.*"], "pubish": []}),
    ] {
        let fault = with(json!({"topics": topics})).unwrap_err();
        assert_eq!(fault.code, Code::InvalidToken, "{topics}");
    }
    let identity = with(json!({"topics": {"publish": ["chat.*"]}})).unwrap();
    assert_eq!(identity.subscribe, None);
    assert_eq!(identity.publish, Some(vec![pattern("chat.*".into())]));

    for sid in [json!(null), json!(true), json!(["s1"]), json!(1.5)] {
        for claim in ["sid", "jti"] {
            assert_eq!(with(json!({ claim: sid })).unwrap_err().code, Code::InvalidToken, "{claim}: {sid}");
        }
    }
    assert_eq!(with(json!({"sid": 12})).unwrap().sign_in.as_deref(), Some("12"));
}

#[test]
fn an_id_too_long_for_a_revocation_is_refused() {
    for claim in ["sid", "jti"] {
        assert!(with(json!({ claim: "é".repeat(SUBJECT_MAX) })).is_ok(), "{claim}");
        let fault = with(json!({ claim: "é".repeat(SUBJECT_MAX + 1) })).unwrap_err();
        assert_eq!(fault.code, Code::InvalidToken, "{claim}");
    }
}
