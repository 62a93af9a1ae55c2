//! Who may subscribe and publish to a room, and what of it is kept: the configured rules, the reserved names, the token's
//! own narrowing. Pure.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::fault::{Code, Fault};
use crate::model::identity::Identity;
use crate::model::ids::RoomName;
use crate::model::topic_pattern::Pattern;

/// The claim that narrows what its holder may subscribe to, as the log names it.
const TOKEN_SUBSCRIBE: &str = "token topics.subscribe";

/// The claim that narrows what its holder may publish to, as the log names it.
pub(crate) const TOKEN_PUBLISH: &str = "token topics.publish";

/// Someone a rule lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Everyone who is connected.
    Anyone,
    /// Everyone whose token was accepted.
    Authenticated,
    /// Sessions that are in the room.
    Members,
    /// Backends with an API key, and nobody else.
    Server,
    /// Holders of a role.
    Role(String),
    /// Holders of a permission.
    Permission(String),
}

impl FromStr for Who {
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

impl fmt::Display for Who {
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

impl Serialize for Who {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Who {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Who {
    fn lets_in(&self, identity: &Identity, is_member: bool) -> bool {
        match self {
            Self::Anyone | Self::Authenticated => true,
            Self::Members => is_member,
            Self::Server => false,
            Self::Role(name) => identity.has_role(name),
            Self::Permission(name) => identity.has_permission(name),
        }
    }
}

/// A rule for the topics that fit a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRule {
    /// Which topics.
    pub pattern: Pattern,
    /// Who may subscribe; any one of them suffices.
    pub subscribe: Vec<Who>,
    /// Who may publish; any one of them suffices.
    pub publish: Vec<Who>,
    /// What is kept of the messages; `None` keeps none.
    pub history: Option<HistoryRule>,
}

/// How much of a room's messages is kept, beside the bound in bytes that all rooms share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryRule {
    /// Messages, the newest; at least 1.
    pub messages: usize,
    /// How long one is kept, ms; `None` for as long as there is room.
    pub age_ms: Option<i64>,
}

/// The rules in their order; the first that fits a topic holds, and a topic that none fits is closed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(pub Vec<TopicRule>);

impl Rules {
    /// Whether `identity` may subscribe to `room`; `may_join` says so of a chat's id.
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
        // The user's own room is open, whatever the token says.
        let allowed = by_rule && (narrowed || matches!(reserved, Some(Reserved::User(_))));
        let decided_by = || match &reserved {
            Some(Reserved::User(_)) => Cow::Borrowed("reserved user:"),
            _ if !narrowed => TOKEN_SUBSCRIBE.into(),
            Some(reserved) => reserved.rule().into(),
            None => self.name(room, "subscribe"),
        };
        decision(allowed, room, "subscribe to", decided_by)
    }

    /// Whether the rules let `identity` publish to `room`. What its token says of that is [`narrowed`].
    ///
    /// # Errors
    /// [`Code::Forbidden`].
    pub fn publish(&self, identity: &Identity, room: &RoomName, is_member: bool) -> Result<(), Fault> {
        let reserved = Reserved::of(room);
        // Users are written to by `DirectMessage`, threads and chats by their own events, the hub's rooms by nobody.
        let allowed = reserved.is_none() && self.any(room, |rule| &rule.publish, identity, is_member);
        let decided_by = || reserved.map_or_else(|| self.name(room, "publish"), |reserved| reserved.rule().into());
        decision(allowed, room, "publish to", decided_by)
    }

    /// The rule that decides who may `act` in `room`, as the log names it.
    fn name(&self, room: &RoomName, act: &str) -> Cow<'static, str> {
        match self.of(room) {
            Some(rule) => format!("topics \"{}\" {act}", rule.pattern.as_str()).into(),
            None => "topics: no pattern fits".into(),
        }
    }

    /// What is kept of the messages of `room`; of those with reserved names nothing is.
    pub fn history(&self, room: &RoomName) -> Option<HistoryRule> {
        if Reserved::of(room).is_some() {
            return None;
        }
        self.of(room)?.history
    }

    fn of(&self, room: &RoomName) -> Option<&TopicRule> {
        self.0.iter().find(|rule| rule.pattern.matches(room.as_str()))
    }

    fn any(&self, room: &RoomName, who: fn(&TopicRule) -> &Vec<Who>, identity: &Identity, is_member: bool) -> bool {
        self.of(room).is_some_and(|rule| who(rule).iter().any(|who| who.lets_in(identity, is_member)))
    }
}

/// Room names with rules of their own, which no configuration changes.
enum Reserved<'a> {
    /// `user:ID`: all sessions of one user.
    User(&'a str),
    /// `chat:ID`: the members of a chat.
    Chat(&'a str),
    /// `thread:ID`: written by backends, open to every user.
    Thread,
    /// `$…`: the hub's own.
    Hub,
}

impl<'a> Reserved<'a> {
    /// What the log calls the rule for these rooms.
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

/// Whether a token whose claim `topics.publish` is `allowed` lets its holder write to `room`.
///
/// # Errors
/// [`Code::Forbidden`].
pub fn narrowed(allowed: &[Pattern], room: &RoomName) -> Result<(), Fault> {
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
        let parse = |text: &str| text.split(' ').map(|who| who.parse().unwrap()).collect();
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
    fn the_first_rule_that_fits_holds_and_a_topic_without_one_is_closed() {
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
    fn a_token_narrows_and_never_widens() {
        let rules = rules(&[("*", "authenticated", "authenticated")]);
        let narrowed = Identity {
            subscribe: Some(vec![Pattern::new("news.*")]),
            publish: Some(vec![Pattern::new("chat.*")]),
            ..alice()
        };
        assert!(rules.subscribe(&narrowed, &room("news.x"), no_chat).is_ok());
        assert!(rules.subscribe(&narrowed, &room("chat.x"), no_chat).is_err());
        let allowed = narrowed.publish.as_deref().unwrap();
        assert_eq!(super::narrowed(allowed, &room("chat.x")), Ok(()));
        let fault = super::narrowed(allowed, &room("news.x")).unwrap_err();
        assert_eq!((fault.code, &*fault.message), (Code::Forbidden, "Not allowed to publish to `news.x`"));
    }

    #[test]
    fn reserved_names_have_rules_of_their_own() {
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
    fn the_first_rule_that_fits_says_what_is_kept_and_of_reserved_names_nothing_is() {
        let keeps = |messages| Some(HistoryRule { messages, age_ms: None });
        let mut rules = rules(&[("live.*", "anyone", "anyone"), ("*", "anyone", "anyone")]);
        rules.0[1].history = keeps(9);
        for (name, kept) in [
            ("news", keeps(9)),
            ("live.news", None),
            ("user:alice", None),
            ("chat:general", None),
            ("thread:7", None),
            ("$all", None),
        ] {
            assert_eq!(rules.history(&room(name)), kept, "{name}");
        }
        assert_eq!(Rules::default().history(&room("news")), None);
    }

    #[test]
    fn a_chat_is_joined_by_whom_it_lets_in_and_no_token_widens_that() {
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
