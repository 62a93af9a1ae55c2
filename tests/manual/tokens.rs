//! docs/tokens.md: its blocks sign tokens that a hub with the page's configuration accepts, and its table has the errors.

use std::net::TcpStream;

use serde_json::{Value, json};

use super::snippets::{Snippet, text};
use crate::support::blocks::page;
use crate::support::http::{Http, Response};
use crate::support::port::ReservedPort;
use crate::support::run::hubbub;
use crate::support::token::{now, signed};
use crate::support::{Client, DEADLINE, Hub, JWT_SECRET, MockUpstream, UpstreamReply, wait_until};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};

/// The secret in the page's configuration.
fn secret() -> String {
    let config: toml::Table = text("tokens", "secret-config").parse().unwrap();
    config["auth"]["jwt_secret"].as_str().unwrap().to_owned()
}

/// What prints a token for the user 42 by the function of a block.
const CALLS: [(&str, &str); 4] = [
    ("jsonwebtoken", "console.log(token({ id: 42, name: \"Alice\", roles: [\"editor\"] }));"),
    ("jose", "console.log(await token({ id: 42, name: \"Alice\", roles: [\"editor\"] }));"),
    ("pyjwt", "print(token({\"id\": 42, \"name\": \"Alice\", \"roles\": [\"editor\"]}))"),
    ("php", "echo token(['id' => 42, 'name' => 'Alice', 'roles' => ['editor']]), \"\\n\";"),
];

#[tokio::test]
async fn tokens_of_each_library_are_accepted_with_their_claims() {
    let rule = "[[topics]]\npattern = \"*\"\nsubscribe = \"role:editor\"";
    let hub = Hub::with(&format!("{}{rule}", text("tokens", "secret-config")));
    for (name, call) in CALLS {
        let snippet = Snippet::changed("tokens", name, |text| text + "\n" + call + "\n");
        let token = snippet.env("JWT_SECRET", &secret()).output();
        let mut client = Client::connect(&hub, token.trim()).await;
        let user = &client.welcome["data"]["details"];
        assert!(user.to_string().contains("42"), "{name}: {user}");
        client.subscribe(&["news"]).await;
    }
}

#[tokio::test]
async fn the_command_prints_a_token_of_the_hub() {
    let hub = Hub::start();
    let command = text("tokens", "token");
    let mut words = command.split_whitespace();
    assert_eq!(words.next(), Some("hubbub"));
    let output = hubbub(hub.dir()).args(words).output().unwrap();
    let token = String::from_utf8(output.stdout).unwrap();
    Client::connect(&hub, token.trim()).await;
}

#[tokio::test]
async fn a_token_by_the_private_key_of_the_page_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    Snippet::of("tokens", "make-key").within(dir.path()).output();
    let public = dir.path().join("public.pem");
    let config = text("tokens", "key-config").replace("public.pem", public.to_str().unwrap());
    let hub = Hub::with(&config);
    let private = std::fs::read(dir.path().join("private.pem")).unwrap();
    let key = EncodingKey::from_ec_pem(&private).unwrap();
    let token = encode(&Header::new(Algorithm::ES256), &json!({"sub": "alice", "exp": now() + 60}), &key).unwrap();
    Client::connect(&hub, &token).await;
}

#[tokio::test]
async fn a_token_of_the_stand_in_for_a_provider_is_accepted() {
    let port = ReservedPort::reserve();
    let (issuer, _dir) = Snippet::of("tokens", "issuer").env("PORT", &port.address().port().to_string()).start();
    wait_until(DEADLINE, "the issuer listens", || TcpStream::connect(port.address()).is_ok());
    let config = text("tokens", "jwks-config");
    let key_set = format!("jwks = \"http://{}/", port.address());
    let hub = Hub::with(&config.replace("jwks = \"https://id.example.com/", &key_set));
    let mut token = String::new();
    wait_until(DEADLINE, "the issuer prints a token", || {
        token = issuer.output().trim().to_owned();
        !token.is_empty()
    });
    Client::connect(&hub, &token).await;
    let answer = Http::new(format!("http://{}", port.address())).get("/token?user=bob");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.json()["expires_in"], 3600);
    let bob = Client::connect(&hub, answer.json()["access_token"].as_str().unwrap()).await;
    assert_eq!(bob.welcome["data"]["details"]["user"]["id"], "bob");
    for (from, to, claim) in [("example.com/\"\naud", "example.com\"\naud", "iss"), ("\"hub\"", "\"other\"", "aud")] {
        let strict = config.replace("jwks = \"https://id.example.com/", &key_set).replace(from, to);
        let hub = Hub::with(&strict);
        assert_eq!(message(&tried(&hub, &token)), format!("The token's `{claim}` is not accepted here"));
    }
}

#[tokio::test]
async fn an_opaque_token_is_verified_by_the_application() {
    let user = json!({"user": {"id": 7, "name": "Alice"}, "expires_at": "2100-01-01T00:00:00.000000Z"});
    let application = MockUpstream::replying(UpstreamReply::Json(200, user));
    let config = text("tokens", "opaque-config");
    let hub = Hub::with(&config.replace("https://app.example.com/api/user", &application.url("/api/user")));
    Client::connect(&hub, "12|abc").await;
    let request = &application.requests()[0];
    assert_eq!((request.path.as_str(), request.token()), ("/api/user", Some("12|abc")));
    assert_eq!(request.header("accept"), Some("application/json"));
    for (reply, message_in_page) in [
        (UpstreamReply::Json(401, Value::Null), "The token is not known to the application"),
        (UpstreamReply::HangUp, "The token cannot be verified at the moment; try again"),
        (UpstreamReply::Json(200, json!({})), "The token cannot be verified: the answer about it was not understood"),
    ] {
        application.set_reply(reply);
        let refused = tried(&hub, &format!("12|{}", message_in_page.len()));
        assert_eq!(message(&refused), message_in_page, "{}", refused.body);
        assert_documented(message_in_page);
    }
}

/// The response to the page's request that tries a token.
#[track_caller]
fn tried(hub: &Hub, token: &str) -> Response {
    let block = text("tokens", "try");
    assert!(block.contains("-X DELETE \"$HUB_URL/sessions/none\" -H \"Authorization: Bearer $TOKEN\""), "{block}");
    hub.http().request("DELETE", "/sessions/none").bearer(token).send()
}

#[track_caller]
fn message(refused: &Response) -> String {
    refused.json()["error"]["message"].as_str().unwrap().to_owned()
}

/// Asserts that the page's table has this message.
#[track_caller]
fn assert_documented(message: &str) {
    assert!(page("tokens").lines().any(|line| line.starts_with("| `") && line.contains(message)), "{message}");
}

#[test]
fn the_table_of_errors_has_the_messages_of_the_hub() {
    let hub = Hub::with("auth.audience = \"hub\"");
    let with = |claims: Value| {
        let mut whole = json!({"sub": "alice", "aud": "hub", "exp": now() + 60});
        whole.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        signed(Algorithm::HS256, JWT_SECRET, &whole)
    };
    let valid = with(json!({}));
    assert_eq!(tried(&hub, &valid).status, 404);
    let output = Snippet::of("tokens", "try").env("TOKEN", &valid).for_hub(&hub, "").output();
    assert!(output.contains("\"NOT_FOUND\"") && page("tokens").contains(output.trim()), "{output}");
    let missing = message(&hub.http().request("DELETE", "/sessions/none").send());
    assert_eq!(
        missing,
        message(&hub.http().request("DELETE", "/sessions/none").header("Authorization", "Bearer ").send())
    );
    assert_documented(&missing);
    let longer = format!("{JWT_SECRET}, longer");
    let claims = json!({"sub": "alice", "exp": now() + 60});
    for (token, documented) in [
        (signed(Algorithm::HS512, &longer, &claims), "The token is not signed with HS256, but with HS512"),
        (signed(Algorithm::HS256, &longer, &claims), "The token's signature is invalid"),
        (signed(Algorithm::HS256, JWT_SECRET, &json!({"sub": "alice", "aud": "hub"})), "The token has no `exp`"),
        (with(json!({"exp": now() - 60})), "The token has expired"),
        (
            with(json!({"exp": now() * 1_000})),
            "The token's `exp` lies after the year 9999; it counts seconds, not milliseconds",
        ),
        (with(json!({"nbf": now() + 60})), "The token is not valid yet"),
        (with(json!({"iat": now() + 60})), "The token's `iat` lies in the future; check the clock of its issuer"),
        (with(json!({"sub": null})), "The token names no user"),
        ("12|abc".to_owned(), "The token is malformed"),
        ("\"a.b.c\"".to_owned(), "The token is malformed"),
    ] {
        let refused = tried(&hub, &token);
        assert_eq!(refused.status, 401, "{documented}");
        assert!(message(&refused).starts_with(documented), "{documented}: {}", refused.body);
        assert_documented(documented);
    }
}
