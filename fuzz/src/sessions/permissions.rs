//! A second implementation of the permissions: the rules of the hub, and their results for the users of this target. It
//! calls no code of the hub.

use std::collections::BTreeMap;

use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::model::identity::Identity;
use hubbub_actors::model::ids::UserId;
use hubbub_actors::model::topic_pattern::Pattern;
use hubbub_actors::rooms::rules::{AccessRule, HistoryRule, Rules, TopicRule};

/// The users, one for each client.
pub(super) const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// The tokens of the clients.
pub(super) const TOKENS: [&str; 8] =
    ["alice", "bob", "bob-narrow_token", "carol", "carol-narrow_token", "expired", "bad", ""];

/// The rooms and chats in requests.
pub(super) const ROOMS: [&str; 16] = [
    "open.a",
    "open.b",
    "kept.a",
    "staff.a",
    "vip.a",
    "feed.a",
    "closed.a",
    "inner.a",
    "thread:1",
    "chat:general",
    "chat:club",
    "chat:none",
    "user:alice",
    "user:bob",
    "$presence",
    "$all",
];

/// The possible chats.
pub(super) const CHATS: [&str; 4] = ["general", "club", "none", "open"];

/// The rules of the hub.
pub(super) fn rules() -> Rules {
    let role = || vec![AccessRule::Role("admin".into())];
    let permission = || vec![AccessRule::Permission("vip".into())];
    let history = |messages| Some(HistoryRule { messages, age_ms: Some(60_000) });
    let rule = |pattern, subscribe, publish, history| TopicRule {
        pattern: Pattern::new(pattern),
        subscribe,
        publish,
        history,
    };
    Rules(vec![
        rule("staff.*", role(), role(), None),
        rule("vip.*", permission(), permission(), None),
        rule("feed.*", vec![AccessRule::Authenticated], vec![AccessRule::Server], history(3)),
        rule("closed.*", vec![AccessRule::Server], vec![AccessRule::Server], None),
        rule("inner.*", vec![AccessRule::Anyone], vec![AccessRule::Members], None),
        rule("kept.*", vec![AccessRule::Anyone], vec![AccessRule::Anyone], history(20)),
        rule("*", vec![AccessRule::Anyone], vec![AccessRule::Anyone], None),
    ])
}

/// The identity of a token.
///
/// # Errors
/// The token is invalid.
pub(super) fn identity_of(token: &str) -> Result<Identity, Fault> {
    let patterns = |list: &[&str]| Some(list.iter().map(|&pattern| Pattern::new(pattern)).collect::<Vec<_>>());
    let identity = |user| Identity {
        name: Some(format!("{user} of the target").into()),
        issued_at: Some(1_000_000),
        ..Identity::of(UserId::parse(user, "user").expect("a user"))
    };
    let identity = match token {
        "alice" => Identity { roles: vec!["admin".into()], ..identity("alice") },
        "bob" => Identity {
            permissions: vec!["vip".into()],
            subscribe: patterns(&["vip.*", "kept.*", "open.*", "inner.*", "chat:*", "thread:*"]),
            publish: patterns(&["kept.*", "open.*", "inner.*", "chat:*", "thread:*", "user:*"]),
            ..identity("bob")
        },
        "bob-narrow_token" => Identity { subscribe: patterns(&[]), publish: patterns(&[]), ..identity("bob") },
        "carol" => identity("carol"),
        "carol-narrow_token" => Identity { subscribe: patterns(&["open.*"]), ..identity("carol") },
        "expired" => return Err(Fault::new(Code::TokenExpired, "The token has expired")),
        _ => return Err(Fault::new(Code::InvalidToken, "The token is malformed")),
    };
    Ok(identity)
}

/// The user of a valid token.
pub(super) fn user_of(token: &str) -> Option<&'static str> {
    USERS.into_iter().find(|&user| token == user || token.strip_suffix("-narrow_token") == Some(user))
}

/// The existing chats: whether each is public, and its participants.
pub(super) type FuzzChats = BTreeMap<&'static str, (bool, Vec<&'static str>)>;

/// Whether a client with `token` may receive publications to `room`.
pub(super) fn may_subscribe(token: &str, room: &str, chats: &FuzzChats) -> bool {
    let Some(user) = user_of(token) else { return false };
    let matches_any = |patterns: &[&str]| patterns.iter().any(|pattern| room.starts_with(pattern));
    let is_within = match token {
        "bob" => matches_any(&["vip.", "kept.", "open.", "inner.", "chat:", "thread:"]),
        "bob-narrow_token" => false,
        "carol-narrow_token" => room.starts_with("open."),
        _ => true,
    };
    match room.split_once([':', '.']) {
        Some(("user", id)) => id == user,
        Some(("chat", id)) => {
            is_within && chats.get(id).is_some_and(|(public, participants)| *public || participants.contains(&user))
        }
        Some(("staff", _)) => is_within && user == "alice",
        Some(("vip", _)) => is_within && token == "bob",
        Some(("closed", _)) => false,
        _ => is_within && (!room.starts_with('$') || room == "$presence"),
    }
}

/// Whether a client with `token` may publish to `room`. `is_in`: it is a member.
pub(super) fn may_publish(token: &str, room: &str, is_in: bool) -> bool {
    let Some(user) = user_of(token) else { return false };
    let is_within = match token {
        "bob" => ["kept.", "open.", "inner.", "chat:"].iter().any(|prefix| room.starts_with(prefix)),
        "bob-narrow_token" => false,
        _ => true,
    };
    is_within
        && match room.split_once([':', '.']) {
            Some(("chat", _)) => is_in,
            Some(("user" | "thread", _)) => false,
            Some(("staff", _)) => user == "alice",
            Some(("vip", _)) => token == "bob",
            Some(("feed" | "closed", _)) => false,
            Some(("inner", _)) => is_in,
            _ => !room.starts_with('$'),
        }
}
