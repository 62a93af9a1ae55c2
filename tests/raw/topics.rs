//! Topic rules: the first matching pattern decides on subscribing and publishing.

use serde_json::{Value, json};

use crate::support::token::token_with;
use crate::support::{Client, Hub};

const RULES: &str = r#"
[[topics]]
pattern = "news.*"
subscribe = "anyone"
publish = "role:editor"

[[topics]]
pattern = "paid.*"
subscribe = "permission:paid"
publish = "members"

[[topics]]
pattern = "sys.*"
subscribe = "authenticated"
publish = "server"

[[topics]]
pattern = "staff"
subscribe = ["role:admin", "permission:staff"]
publish = ["role:admin", "permission:staff"]

[[topics]]
pattern = "a.*.z"
subscribe = "role:nobody"
publish = "role:nobody"

[[topics]]
pattern = "*"
subscribe = "authenticated"
publish = "authenticated"
"#;

async fn holder(hub: &Hub, claims: Value) -> Client {
    Client::connect(hub, &token_with(claims)).await
}

/// Subscribes to topics: the granted ones, and the error code of each denied one.
async fn ask_for(client: &mut Client, topics: &[&str]) -> (Value, Vec<(String, String)>) {
    let ask = json!({"type": "Subscribe", "data": {"topics": topics}});
    let mut status = client.ask(ask, "Status").await;
    assert_eq!(status["data"]["status"], "subscribed", "{status}");
    let details = status["data"]["details"].take();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let denied = details["denied"].as_array().unwrap();
    let denied = denied.iter().map(|one| (text(&one["topic"]), text(&one["code"]))).collect();
    (details["topics"].clone(), denied)
}

fn forbidden(topics: &[&str]) -> Vec<(String, String)> {
    topics.iter().map(|topic| ((*topic).to_owned(), "FORBIDDEN".to_owned())).collect()
}

async fn may_publish(client: &mut Client, topic: &str) -> bool {
    client.send(json!({"type": "Broadcast", "data": {"topic": topic, "payload": 1}})).await;
    let answer = client.next().await;
    let refused = answer["type"] == "Error";
    assert!(refused || answer["type"] == "Ack", "{answer}");
    assert!(!refused || answer["data"]["code"] == "FORBIDDEN", "{answer}");
    !refused
}

#[tokio::test]
async fn a_role_can_publish_where_others_can_only_subscribe() {
    let hub = Hub::with(RULES);
    let mut reader = Client::of(&hub, "reader").await;
    reader.subscribe(&["news.today"]).await;
    assert!(!may_publish(&mut reader, "news.today").await);
    let mut editor = holder(&hub, json!({"sub": "e", "role": "editor"})).await;
    assert!(may_publish(&mut editor, "news.today").await);
    reader.expect("Broadcast").await;
    reader.expect_silence().await;
}

#[tokio::test]
async fn a_permission_opens_a_topic_to_which_only_its_members_can_publish() {
    let hub = Hub::with(RULES);
    let mut guest = Client::of(&hub, "guest").await;
    let (topics, denied) = ask_for(&mut guest, &["paid.a", "free"]).await;
    assert_eq!((topics, denied), (json!(["free"]), forbidden(&["paid.a"])));
    assert!(!may_publish(&mut guest, "paid.a").await);

    let mut payer = holder(&hub, json!({"sub": "p", "permissions": ["paid"]})).await;
    assert!(!may_publish(&mut payer, "paid.a").await, "is no member yet");
    payer.subscribe(&["paid.a"]).await;
    assert!(may_publish(&mut payer, "paid.a").await);
    assert!(!may_publish(&mut payer, "paid.b").await, "is a member of another topic");
}

#[tokio::test]
async fn no_client_can_publish_to_a_topic_of_the_server() {
    let hub = Hub::with(RULES);
    let mut admin = holder(&hub, json!({"sub": "a", "role": "admin"})).await;
    admin.subscribe(&["sys.load"]).await;
    assert!(!may_publish(&mut admin, "sys.load").await);

    let room = json!({"room": "sys.load", "event": "load", "data": {"cpu": 1}});
    let answer = hub.http().request("POST", "/api/room").key().json(&room).send();
    assert_eq!((answer.status, &answer.json()["recipients"]), (200, &json!(1)), "{answer:?}");
    let event = crate::support::client::without_time(admin.expect("load").await);
    assert_eq!(event, json!({"type": "load", "topic": "sys.load", "data": {"cpu": 1}}));
}

#[tokio::test]
async fn one_right_of_a_list_is_enough() {
    let hub = Hub::with(RULES);
    let mut other = holder(&hub, json!({"sub": "n", "role": "staff", "permissions": ["admin"]})).await;
    assert_eq!(ask_for(&mut other, &["staff"]).await.1, forbidden(&["staff"]));
    for rights in [json!({"sub": "x", "roles": ["user", "admin"]}), json!({"sub": "y", "permissions": ["staff"]})] {
        let mut one = holder(&hub, rights).await;
        one.subscribe(&["staff"]).await;
        assert!(may_publish(&mut one, "staff").await);
    }
}

#[tokio::test]
async fn a_star_matches_any_characters_and_the_first_matching_rule_decides() {
    let hub = Hub::with(RULES);
    let mut client = Client::of(&hub, "client").await;
    let requested = ["a..z", "a.b.z", "a.b.c.z", "a.z", "a.b.zz", "ba.b.z", "staffx", "newsx"];
    let (topics, denied) = ask_for(&mut client, &requested).await;
    assert_eq!(topics, json!(["a.z", "a.b.zz", "ba.b.z", "staffx", "newsx"]));
    assert_eq!(denied, forbidden(&["a..z", "a.b.z", "a.b.c.z"]));
}

#[tokio::test]
async fn without_configured_rules_every_topic_is_open_to_authenticated_clients() {
    let hub = Hub::start();
    let mut client = Client::of(&hub, "client").await;
    client.subscribe(&["a", "b.c", "ü ☃ with spaces", &"x".repeat(200)]).await;
    assert!(may_publish(&mut client, "anything").await);
}

#[tokio::test]
async fn a_denied_topic_does_not_affect_the_other_topics_of_a_request() {
    let hub = Hub::start();
    let mut client = Client::of(&hub, "client").await;
    let long = "x".repeat(201);
    let requested = ["one", "", &long, "bell\u{7}", "line\nbreak", "user:somebody", "$all", "chat:secret", "two"];
    let (topics, denied) = ask_for(&mut client, &requested).await;
    assert_eq!(topics, json!(["one", "two"]));
    let named: Vec<_> = denied.iter().map(|(topic, _)| topic.as_str()).collect();
    assert_eq!(named, requested[1..8]);
    for (topic, code) in &denied[..4] {
        assert_eq!(code, "INVALID_REQUEST", "{topic:?}");
    }
    for (topic, code) in &denied[4..] {
        assert!(code == "FORBIDDEN" || code == "NOT_FOUND", "{topic:?}: {code}");
    }
    let mut other = Client::of(&hub, "other").await;
    assert_eq!(other.broadcast("two", json!(1)).await["data"]["recipients"], 1);
    for topic in ["user:client", "$all"] {
        assert!(!may_publish(&mut other, topic).await, "{topic}");
    }
}

#[tokio::test]
async fn the_topics_of_a_token_restrict_its_rights() {
    let hub = Hub::with(RULES);
    let topics = json!({"subscribe": ["news.*", "paid.*"], "publish": ["chat.*"]});
    let mut narrow = holder(&hub, json!({"sub": "n", "role": "editor", "topics": topics})).await;
    let (granted, denied) = ask_for(&mut narrow, &["news.a", "chat.a", "paid.a", "other"]).await;
    // A token only restricts: topics that the rules deny stay denied.
    assert_eq!((granted, denied), (json!(["news.a"]), forbidden(&["chat.a", "paid.a", "other"])));
    assert!(may_publish(&mut narrow, "chat.a").await);
    assert!(!may_publish(&mut narrow, "news.a").await, "an editor, but with a narrow token");

    let silent = json!({"sub": "s", "topics": {"subscribe": ["*"], "publish": []}});
    let mut silent = holder(&hub, silent).await;
    silent.subscribe(&["chat.a"]).await;
    assert!(!may_publish(&mut silent, "chat.a").await);

    let half = json!({"sub": "h", "topics": {"subscribe": ["x"]}});
    let mut half = holder(&hub, half).await;
    assert!(may_publish(&mut half, "chat.a").await, "the half that is not named is not restricted");
}

#[tokio::test]
async fn topics_of_a_session_and_of_a_message_are_bounded() {
    let hub = Hub::with("[limits]\nrooms_per_session = 3\ntopics_per_request = 4");
    let mut client = Client::of(&hub, "client").await;
    let (topics, denied) = ask_for(&mut client, &["a", "b", "c", "d"]).await;
    let reached = vec![("d".to_owned(), "LIMIT_REACHED".to_owned())];
    assert_eq!((topics, denied), (json!(["a", "b", "c"]), reached));
    let again = client.ask(json!({"type": "Subscribe", "data": {"topics": ["d"]}}), "Status").await;
    let d = json!({"topic": "d", "code": "LIMIT_REACHED", "details": {"limit": "limits.rooms_per_session"}});
    assert_eq!(again["data"]["details"]["denied"], json!([d]));
    client.ask(json!({"type": "Unsubscribe", "data": {"topics": ["a"]}}), "Status").await;
    client.subscribe(&["d"]).await;
    let many = json!({"type": "Subscribe", "data": {"topics": ["1", "2", "3", "4", "5"]}});
    let error = client.ask(many, "Error").await;
    assert_eq!(error["data"]["code"], "LIMIT_REACHED", "{error}");
    assert_eq!(error["data"]["details"], json!({"field": "topics", "limit": "limits.topics_per_request"}), "{error}");
}

#[tokio::test]
async fn the_rooms_of_a_session_from_its_start_cannot_be_left() {
    let hub = Hub::start();
    let mut alice = Client::of(&hub, "alice").await;
    let mut bob = Client::of(&hub, "bob").await;
    let own = ["user:alice", "$all"];
    alice.ask(json!({"type": "Unsubscribe", "data": {"topics": own}}), "Status").await;
    alice.send(json!({"type": "Subscribe", "data": {"topics": own}})).await;
    assert_eq!(alice.expect("Status").await["data"]["status"], "subscribed");

    let direct = json!({"type": "DirectMessage", "data": {"target_user": "alice", "payload": 1}});
    assert_eq!(bob.ask(direct, "Ack").await["data"]["recipients"], 1);
    alice.expect("DirectMessage").await;
    let everybody = json!({"event": "news", "data": {}});
    let answer = hub.http().request("POST", "/api/broadcast").key().json(&everybody).send();
    assert_eq!(answer.json()["recipients"], 2, "{answer:?}");
    alice.expect("news").await;
    alice.expect_silence().await;
}
