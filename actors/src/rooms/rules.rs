//! The access rules of rooms: which sessions may subscribe and publish, and what history is stored. They combine the
//! configured rules, the reserved names and the claims of the token. Pure.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::fault::{Code, Fault};
use crate::model::identity::Identity;
use crate::model::ids::RoomName;
use crate::model::topic_pattern::Pattern;

/// The claim that restricts subscriptions, as the log names it.
const TOKEN_SUBSCRIBE: &str = "token topics.subscribe";

/// The claim that restricts publications, as the log names it.
pub(crate) const TOKEN_PUBLISH: &str = "token topics.publish";

/// A condition that allows access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessRule {
    /// Every connected session.
    Anyone,
    /// Every session with an accepted token.
    Authenticated,
    /// Sessions in the room.
    Members,
    /// Only backends with an API key.
    Server,
    /// Users with this role.
    Role(String),
    /// Users with this permission.
    Permission(String),
}

impl FromStr for AccessRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("role", name)) if !name.is_empty() => Ok(Self::Role(name.into())),
            Some(("permission", name)) if !name.is_empty() => Ok(Self::Permission(name.into())),
            _ => match text {
                "anyone" => Ok(Self::Anyone),
                "authenticated" => Ok(Self::Authenticated),
                "members" => Ok(Self::Members),
                "server" => Ok(Self::Server),
                _ => Err(format!(
                    "expected anyone, authenticated, members, server, role:NAME or permission:NAME, got \"{text}\""
                )),
            },
        }
    }
}

impl fmt::Display for AccessRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("anyone"),
            Self::Authenticated => f.write_str("authenticated"),
            Self::Members => f.write_str("members"),
            Self::Server => f.write_str("server"),
            Self::Role(name) => write!(f, "role:{name}"),
            Self::Permission(name) => write!(f, "permission:{name}"),
        }
    }
}

impl Serialize for AccessRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AccessRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl AccessRule {
    fn allows(&self, identity: &Identity, is_member: bool) -> bool {
        match self {
            Self::Anyone | Self::Authenticated => true,
            Self::Members => is_member,
            Self::Server => false,
            Self::Role(name) => identity.has_role(name),
            Self::Permission(name) => identity.has_permission(name),
        }
    }
}

/// A rule for the topics that match a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRule {
    /// The topics.
    pub pattern: Pattern,
    /// The conditions for a subscription; one of them suffices.
    pub subscribe: Vec<AccessRule>,
    /// The conditions for a publication; one of them suffices.
    pub publish: Vec<AccessRule>,
    /// The history; `None`: no messages are stored.
    pub history: Option<HistoryRule>,
}

/// The bounds of one room's history, besides the bound in bytes of all rooms together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryRule {
    /// The newest messages that are stored; at least 1.
    pub messages: usize,
    /// How long a message is stored, ms; `None`: no limit.
    pub age_ms: Option<i64>,
}

/// The rules in their order. The first match applies; a topic without a match is closed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(pub Vec<TopicRule>);

impl Rules {
    /// Checks whether `identity` may subscribe to `room`; `may_join` checks the id of a chat.
    ///
    /// # Errors
    /// [`Code::Forbidden`].
    pub fn subscribe(
        &self,
        identity: &Identity,
        room: &RoomName,
        may_join: impl FnOnce(&str) -> bool,
    ) -> Result<(), Fault> {
        let narrowed = identity.subscribe.as_deref().is_none_or(|allowed| fits(allowed, room));
        let reserved = Reserved::of(room);
        let by_rule = match &reserved {
            Some(Reserved::User(id)) => *id == identity.user.as_str(),
            Some(Reserved::Thread) => true,
            Some(Reserved::Chat(id)) => narrowed && may_join(id),
            Some(Reserved::Hub) => room.as_str() == RoomName::PRESENCE,
            None => self.any(room, |rule| &rule.subscribe, identity, false),
        };
        // The token cannot close the user's own room.
        let allowed = by_rule && (narrowed || matches!(reserved, Some(Reserved::User(_))));
        let decided_by = || match &reserved {
            Some(Reserved::User(_)) => Cow::Borrowed("reserved user:"),
            _ if !narrowed => TOKEN_SUBSCRIBE.into(),
            Some(reserved) => reserved.rule().into(),
            None => self.name(room, "subscribe"),
        };
        decision(allowed, room, "subscribe to", decided_by)
    }

    /// Checks whether the rules let `identity` publish to `room`. [`check_token_publish`] checks the token.
    ///
    /// # Errors
    /// [`Code::Forbidden`].
    pub fn publish(&self, identity: &Identity, room: &RoomName, is_member: bool) -> Result<(), Fault> {
        let reserved = Reserved::of(room);
        // `DirectMessage` writes to users, threads and chats have their own events, and no client writes to internal rooms.
        let allowed = reserved.is_none() && self.any(room, |rule| &rule.publish, identity, is_member);
        let decided_by = || reserved.map_or_else(|| self.name(room, "publish"), |reserved| reserved.rule().into());
        decision(allowed, room, "publish to", decided_by)
    }

    /// The rule that decides about `act` in `room`, as the log names it.
    fn name(&self, room: &RoomName, act: &str) -> Cow<'static, str> {
        match self.of(room) {
            Some(rule) => format!("topics \"{}\" {act}", rule.pattern.as_str()).into(),
            None => "topics: no pattern matches".into(),
        }
    }

    /// The history rule of `room`; reserved rooms have none.
    pub fn history(&self, room: &RoomName) -> Option<HistoryRule> {
        if Reserved::of(room).is_some() {
            return None;
        }
        self.of(room)?.history
    }

    fn of(&self, room: &RoomName) -> Option<&TopicRule> {
        self.0.iter().find(|rule| rule.pattern.matches(room.as_str()))
    }

    fn any(
        &self,
        room: &RoomName,
        conditions: fn(&TopicRule) -> &Vec<AccessRule>,
        identity: &Identity,
        is_member: bool,
    ) -> bool {
        self.of(room).is_some_and(|rule| conditions(rule).iter().any(|condition| condition.allows(identity, is_member)))
    }
}

/// Reserved room names. Their rules cannot be configured.
enum Reserved<'a> {
    /// `user:ID`: all sessions of one user.
    User(&'a str),
    /// `chat:ID`: the members of a chat.
    Chat(&'a str),
    /// `thread:ID`: backends write, every user may read.
    Thread,
    /// `$…`: internal rooms.
    Hub,
}

impl<'a> Reserved<'a> {
    /// The name of the rule in the log.
    const fn rule(&self) -> &'static str {
        match self {
            Self::User(_) => "reserved user:",
            Self::Chat(_) => "chat participants",
            Self::Thread => "reserved thread:",
            Self::Hub => "reserved $",
        }
    }

    fn of(room: &'a RoomName) -> Option<Self> {
        let name = room.as_str();
        match name.split_once(':') {
            Some(("user", id)) => Some(Self::User(id)),
            Some(("chat", id)) => Some(Self::Chat(id)),
            Some(("thread", _)) => Some(Self::Thread),
            _ => name.starts_with('$').then_some(Self::Hub),
        }
    }
}

/// Checks whether the claim `topics.publish` of a token, `allowed`, permits a publication to `room`.
///
/// # Errors
/// [`Code::Forbidden`].
pub fn check_token_publish(allowed: &[Pattern], room: &RoomName) -> Result<(), Fault> {
    decision(fits(allowed, room), room, "publish to", || TOKEN_PUBLISH.into())
}

fn fits(allowed: &[Pattern], room: &RoomName) -> bool {
    allowed.iter().any(|pattern| pattern.matches(room.as_str()))
}

fn decision(
    allowed: bool,
    room: &RoomName,
    act: &str,
    decided_by: impl FnOnce() -> Cow<'static, str>,
) -> Result<(), Fault> {
    if allowed {
        return Ok(());
    }
    Err(Fault::new(Code::Forbidden, format!("Not allowed to {act} `{room}`")).by(decided_by()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::UserId;

    fn rules(rows: &[(&str, &str, &str)]) -> Rules {
        let parse = |text: &str| text.split(' ').map(|condition| condition.parse().unwrap()).collect();
        Rules(
            rows.iter()
                .map(|(pattern, subscribe, publish)| TopicRule {
                    pattern: Pattern::new(*pattern),
                    subscribe: parse(subscribe),
                    publish: parse(publish),
                    history: None,
                })
                .collect(),
        )
    }

    fn alice() -> Identity {
        Identity::of(UserId::parse("alice", "user").unwrap())
    }

    fn no_chat(_: &str) -> bool {
        false
    }

    fn room(name: &str) -> RoomName {
        RoomName::parse(name, "topic").unwrap()
    }

    #[test]
    fn the_first_matching_rule_applies_and_a_topic_without_one_is_closed() {
        let rules = rules(&[("news.*", "authenticated", "server"), ("n*", "anyone", "anyone")]);
        assert!(rules.subscribe(&alice(), &room("news.sport"), no_chat).is_ok());
        assert!(rules.publish(&alice(), &room("news.sport"), true).is_err());
        assert!(rules.publish(&alice(), &room("notes"), false).is_ok());
        assert_eq!(rules.subscribe(&alice(), &room("other"), no_chat).unwrap_err().code, Code::Forbidden);
    }

    #[test]
    fn roles_permissions_and_membership_open_a_topic() {
        let rules = rules(&[("*", "role:staff permission:read", "members")]);
        let staff = Identity { roles: vec!["staff".into()], ..alice() };
        let reader = Identity { permissions: vec!["read".into()], ..alice() };
        assert!(rules.subscribe(&alice(), &room("t"), no_chat).is_err());
        assert!(rules.subscribe(&staff, &room("t"), no_chat).is_ok());
        assert!(rules.subscribe(&reader, &room("t"), no_chat).is_ok());
        assert!(rules.publish(&staff, &room("t"), false).is_err());
        assert!(rules.publish(&staff, &room("t"), true).is_ok());
    }

    #[test]
    fn a_token_restricts_and_never_extends_access() {
        let rules = rules(&[("*", "authenticated", "authenticated")]);
        let narrowed = Identity {
            subscribe: Some(vec![Pattern::new("news.*")]),
            publish: Some(vec![Pattern::new("chat.*")]),
            ..alice()
        };
        assert!(rules.subscribe(&narrowed, &room("news.x"), no_chat).is_ok());
        assert!(rules.subscribe(&narrowed, &room("chat.x"), no_chat).is_err());
        let allowed = narrowed.publish.as_deref().unwrap();
        assert_eq!(check_token_publish(allowed, &room("chat.x")), Ok(()));
        let fault = super::check_token_publish(allowed, &room("news.x")).unwrap_err();
        assert_eq!((fault.code, &*fault.message), (Code::Forbidden, "Not allowed to publish to `news.x`"));
    }

    #[test]
    fn reserved_names_have_their_own_rules() {
        let rules = rules(&[("*", "anyone", "anyone")]);
        for (name, subscribe, publish) in [
            ("user:alice", true, false),
            ("user:bob", false, false),
            ("chat:general", false, false),
            ("thread:7", true, false),
            ("$all", false, false),
            ("$presence", true, false),
            ("users", true, true),
        ] {
            assert_eq!(rules.subscribe(&alice(), &room(name), no_chat).is_ok(), subscribe, "{name}");
            assert_eq!(rules.publish(&alice(), &room(name), true).is_ok(), publish, "{name}");
        }
    }

    #[test]
    fn the_first_matching_rule_sets_the_history_and_reserved_names_have_none() {
        let history = |messages| Some(HistoryRule { messages, age_ms: None });
        let mut rules = rules(&[("live.*", "anyone", "anyone"), ("*", "anyone", "anyone")]);
        rules.0[1].history = history(9);
        for (name, expected) in [
            ("news", history(9)),
            ("live.news", None),
            ("user:alice", None),
            ("chat:general", None),
            ("thread:7", None),
            ("$all", None),
        ] {
            assert_eq!(rules.history(&room(name)), expected, "{name}");
        }
        assert_eq!(Rules::default().history(&room("news")), None);
    }

    #[test]
    fn a_chat_decides_its_joins_and_no_token_extends_that() {
        let rules = rules(&[("*", "anyone", "anyone")]);
        let narrowed = |to: &str| Identity { subscribe: Some(vec![Pattern::new(to)]), ..alice() };
        let general = |chat: &str| chat == "general";
        for (identity, name, may) in [
            (alice(), "chat:general", true),
            (alice(), "chat:secret", false),
            (alice(), "chat:", false),
            (narrowed("chat:*"), "chat:general", true),
            (narrowed("chat:*"), "chat:secret", false),
            (narrowed("news.*"), "chat:general", false),
        ] {
            assert_eq!(rules.subscribe(&identity, &room(name), general).is_ok(), may, "{name}");
            assert!(rules.publish(&identity, &room(name), true).is_err(), "{name}");
        }
    }
}
