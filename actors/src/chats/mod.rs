//! The chats and their participants in memory: a copy of the store, so that a join reads no disk. Only [`writer`]
//! changes it.

pub mod writer;

use std::sync::atomic::{AtomicUsize, Ordering};

use ahash::{AHashSet, RandomState};
use dashmap::{DashMap, Entry};

use crate::model::fault::{Code, Fault};
use crate::model::ids::{ChatId, UserId};
use crate::store::{Chat, ChatAccessRules};

/// The most chats.
pub const CHATS_MAX: usize = 100_000;
/// The most participants of all private chats together. They bound the memory of the table.
pub const PARTICIPANTS_TOTAL_MAX: usize = 1_000_000;

/// The chat does not exist, or the user may not join it. Both have the same text, so that the text does not reveal
/// which.
pub(crate) fn no_such_chat() -> Fault {
    Fault::new(Code::NotFound, "Chat not found or access denied")
}

/// The session is not in a chat that it may join.
pub(crate) fn not_in_chat() -> Fault {
    Fault::new(Code::Forbidden, "User not in this room")
}

/// The message does not exist, or the user may not read its chat.
pub(crate) fn no_such_message() -> Fault {
    Fault::new(Code::NotFound, "Message not found")
}

/// The table.
#[derive(Debug, Default)]
pub struct Chats {
    chats: DashMap<ChatId, ChatEntry, RandomState>,
    participants: AtomicUsize,
    /// The most chats that one user may create by joining them.
    created_max: AtomicUsize,
    /// The number of chats that each user created by joining them.
    made_by: DashMap<UserId, usize, RandomState>,
}

#[derive(Debug)]
struct ChatEntry {
    access: JoinRule,
    made_by: Option<UserId>,
}

/// The users that may join a chat.
#[derive(Debug)]
enum JoinRule {
    Everyone,
    Participants(AHashSet<UserId>),
}

impl ChatEntry {
    fn participants(&self) -> usize {
        match &self.access {
            JoinRule::Everyone => 0,
            JoinRule::Participants(participants) => participants.len(),
        }
    }
}

impl Chats {
    /// A table without chats. One user may create `created_max` chats by joining them.
    pub(crate) fn new(created_max: usize) -> Self {
        Self { created_max: AtomicUsize::new(created_max), ..Self::default() }
    }

    /// Whether `user` may join the chat with the id `chat`; `false` when it does not exist.
    pub fn may_join(&self, chat: &str, user: &UserId) -> bool {
        self.chats.get(chat).is_some_and(|entry| match &entry.access {
            JoinRule::Everyone => true,
            JoinRule::Participants(participants) => participants.contains(user),
        })
    }

    /// Whether a chat with the id `chat` exists.
    pub fn exists(&self, chat: &str) -> bool {
        self.chats.contains_key(chat)
    }

    /// The number of chats.
    pub fn count(&self) -> usize {
        self.chats.len()
    }

    /// Checks the limits for a new or changed chat.
    ///
    /// # Errors
    /// [`Code::LimitReached`].
    fn check_limits(&self, chat: &Chat) -> Result<(), Fault> {
        let old = self.chats.get(&chat.id).map(|entry| entry.participants());
        if old.is_none() && self.count() >= CHATS_MAX {
            let message = format!("At most {CHATS_MAX} chats are allowed; delete one first").into();
            return Err(Fault { message, ..Fault::limit_reached("chats") });
        }
        let others = self.participants.load(Ordering::Relaxed) - old.unwrap_or(0);
        if !chat.public && others + chat.participants.len() > PARTICIPANTS_TOTAL_MAX {
            let message =
                format!("Private chats may have at most {PARTICIPANTS_TOTAL_MAX} participants in total").into();
            return Err(Fault { message, ..Fault::limit_reached("chats.participants") });
        }
        Ok(())
    }

    /// Sets the most chats that one user may create by joining them. Chats beyond it stay.
    pub(crate) fn set_created_max(&self, most: usize) {
        self.created_max.store(most, Ordering::Relaxed);
    }

    /// Checks whether `user` may create one more chat by joining it.
    ///
    /// # Errors
    /// [`Code::LimitReached`].
    fn check_made_by(&self, user: &UserId) -> Result<(), Fault> {
        let most = self.created_max.load(Ordering::Relaxed);
        if self.made_by.get(user).is_some_and(|made| *made >= most) {
            let message = format!("A user may create at most {most} chats by joining them").into();
            return Err(Fault { message, ..Fault::limit_reached("limits.chats_per_user") });
        }
        Ok(())
    }

    /// Adds a chat, or replaces its participants.
    fn set(&self, access: ChatAccessRules) {
        let participants = if access.public {
            JoinRule::Everyone
        } else {
            JoinRule::Participants(access.participants.into_iter().collect())
        };
        let entry = ChatEntry { access: participants, made_by: access.made_by };
        self.participants.fetch_add(entry.participants(), Ordering::Relaxed);
        match self.chats.entry(access.id) {
            Entry::Occupied(mut chat) => {
                self.participants.fetch_sub(chat.get().participants(), Ordering::Relaxed);
                chat.get_mut().access = entry.access;
            }
            Entry::Vacant(vacant) => {
                if let Some(user) = &entry.made_by {
                    *self.made_by.entry(user.clone()).or_insert(0) += 1;
                }
                vacant.insert(entry);
            }
        }
    }

    fn remove(&self, id: &ChatId) {
        let Some((_, old)) = self.chats.remove(id) else { return };
        self.participants.fetch_sub(old.participants(), Ordering::Relaxed);
        if let Some(user) = old.made_by {
            self.made_by.remove_if_mut(&user, |_, made| {
                *made = made.saturating_sub(1);
                *made == 0
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> UserId {
        UserId::parse(id, "user").unwrap()
    }

    fn access(public: bool, users: &[&str]) -> ChatAccessRules {
        let participants = users.iter().map(|id| user(id)).collect();
        ChatAccessRules { id: ChatId::parse("c", "id").unwrap(), public, participants, made_by: None }
    }

    #[test]
    fn every_user_may_join_a_public_chat_and_only_participants_a_private_one() {
        let chats = Chats::default();
        let may = || ["alice", "bob"].map(|id| chats.may_join("c", &user(id)));
        assert_eq!(may(), [false, false]);
        chats.set(access(false, &["alice"]));
        assert_eq!((may(), chats.participants.load(Ordering::Relaxed)), ([true, false], 1));
        chats.set(access(true, &[]));
        assert_eq!((may(), chats.participants.load(Ordering::Relaxed)), ([true, true], 0));
        chats.set(access(false, &["alice", "bob"]));
        chats.remove(&ChatId::parse("c", "id").unwrap());
        assert_eq!((may(), chats.participants.load(Ordering::Relaxed)), ([false, false], 0));
    }

    #[test]
    fn chats_of_a_user_count_until_they_are_deleted() {
        let chats = Chats::new(2);
        let id = |text: &str| ChatId::parse(text, "id").unwrap();
        let made = |text: &str, by: Option<&str>| {
            let made_by = by.map(user);
            chats.set(ChatAccessRules { id: id(text), public: true, participants: Vec::new(), made_by });
        };
        let limit = |by: &str| chats.check_made_by(&user(by)).err().and_then(|fault| fault.limit);
        made("a", Some("alice"));
        made("b", Some("alice"));
        // Alice remains the creator of a chat that is replaced over HTTP.
        made("b", None);
        assert_eq!((limit("alice"), limit("bob")), (Some("limits.chats_per_user"), None));
        chats.remove(&id("b"));
        assert_eq!(limit("alice"), None);
        chats.remove(&id("a"));
        assert!(chats.made_by.is_empty());
    }

    #[test]
    fn the_participants_of_private_chats_are_bounded() {
        let chats = Chats::default();
        chats.participants.store(PARTICIPANTS_TOTAL_MAX, Ordering::Relaxed);
        let chat = Chat::new(ChatId::parse("d", "id").unwrap(), String::new(), String::new(), 0).unwrap();
        assert_eq!(chats.check_limits(&chat), Ok(()));
        let chat = chat.with_participants(vec![user("alice")]).unwrap();
        assert_eq!(chats.check_limits(&chat).unwrap_err().code, Code::LimitReached);
        assert_eq!(chats.check_limits(&Chat { public: true, ..chat }), Ok(()));
    }
}
