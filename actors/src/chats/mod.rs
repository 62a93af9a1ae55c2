//! Who may join which chat, in memory: a table that follows the store, so that nobody reads the store to join. Written by
//! [`writer`] alone.

pub mod members;
pub mod writer;

use std::sync::atomic::{AtomicUsize, Ordering};

use ahash::{AHashSet, RandomState};
use dashmap::{DashMap, Entry};

use crate::model::fault::{Code, Fault};
use crate::model::ids::{ChatId, UserId};
use crate::store::{Access, Chat};

/// Chats that there may be.
pub const CHATS_MAX: usize = 100_000;
/// Participants of all chats that are not public: what the table costs is bounded by them.
pub const PARTICIPANTS_TOTAL_MAX: usize = 1_000_000;

/// A chat that was not made, or that is not for who asks: the same words, so that they do not tell which.
pub(crate) fn no_such_chat() -> Fault {
    Fault::new(Code::NotFound, "Chat not found or access denied")
}

/// A chat that the session could join, and has not.
pub(crate) fn not_in_chat() -> Fault {
    Fault::new(Code::Forbidden, "User not in this room")
}

/// A message that was never said, or not where who asks may read.
pub(crate) fn no_such_message() -> Fault {
    Fault::new(Code::NotFound, "Message not found")
}

/// The table.
#[derive(Debug, Default)]
pub struct Chats {
    chats: DashMap<ChatId, ChatEntry, RandomState>,
    participants: AtomicUsize,
    /// Chats that one user may make by joining them.
    made_max: AtomicUsize,
    /// Users who made chats by joining them, and how many of those there are.
    made_by: DashMap<UserId, usize, RandomState>,
}

#[derive(Debug)]
struct ChatEntry {
    door: Door,
    made_by: Option<UserId>,
}

#[derive(Debug)]
enum Door {
    Open,
    For(AHashSet<UserId>),
}

impl ChatEntry {
    fn participants(&self) -> usize {
        match &self.door {
            Door::Open => 0,
            Door::For(participants) => participants.len(),
        }
    }
}

impl Chats {
    /// Whether `user` may join the chat of the id `chat`. Of one that does not exist nobody may.
    pub fn may_join(&self, chat: &str, user: &UserId) -> bool {
        self.chats.get(chat).is_some_and(|entry| match &entry.door {
            Door::Open => true,
            Door::For(participants) => participants.contains(user),
        })
    }

    /// Whether there is a chat of the id `chat`.
    pub fn exists(&self, chat: &str) -> bool {
        self.chats.contains_key(chat)
    }

    /// How many chats there are.
    pub fn count(&self) -> usize {
        self.chats.len()
    }

    /// Whether there is room for the chat as it would become.
    ///
    /// # Errors
    /// [`Code::LimitReached`].
    fn check_room(&self, chat: &Chat) -> Result<(), Fault> {
        let old = self.chats.get(&chat.id).map(|entry| entry.participants());
        if old.is_none() && self.count() >= CHATS_MAX {
            let message = format!("There may be {CHATS_MAX} chats; delete one first").into();
            return Err(Fault { message, ..Fault::limit_reached("chats") });
        }
        let others = self.participants.load(Ordering::Relaxed) - old.unwrap_or(0);
        if !chat.public && others + chat.participants.len() > PARTICIPANTS_TOTAL_MAX {
            let message = format!("Private chats may have {PARTICIPANTS_TOTAL_MAX} participants in all").into();
            return Err(Fault { message, ..Fault::limit_reached("chats.participants") });
        }
        Ok(())
    }

    /// Sets how many chats one user may make by joining them. Chats beyond that stay.
    pub(crate) fn set_made_max(&self, most: usize) {
        self.made_max.store(most, Ordering::Relaxed);
    }

    /// Whether `user` may make one more chat by joining it.
    ///
    /// # Errors
    /// [`Code::LimitReached`].
    fn check_made_by(&self, user: &UserId) -> Result<(), Fault> {
        let most = self.made_max.load(Ordering::Relaxed);
        if self.made_by.get(user).is_some_and(|made| *made >= most) {
            let message = format!("A user may make {most} chats by joining them").into();
            return Err(Fault { message, ..Fault::limit_reached("limits.chats_per_user") });
        }
        Ok(())
    }

    /// Adds a chat, or replaces who may join it.
    fn set(&self, access: Access) {
        let door = if access.public { Door::Open } else { Door::For(access.participants.into_iter().collect()) };
        let entry = ChatEntry { door, made_by: access.made_by };
        self.participants.fetch_add(entry.participants(), Ordering::Relaxed);
        match self.chats.entry(access.id) {
            Entry::Occupied(mut chat) => {
                self.participants.fetch_sub(chat.get().participants(), Ordering::Relaxed);
                chat.get_mut().door = entry.door;
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

    fn access(public: bool, users: &[&str]) -> Access {
        let participants = users.iter().map(|id| user(id)).collect();
        Access { id: ChatId::parse("c", "id").unwrap(), public, participants, made_by: None }
    }

    #[test]
    fn a_public_chat_is_for_everybody_a_private_one_for_its_participants_and_a_missing_one_for_nobody() {
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
    fn chats_that_a_user_made_count_until_they_are_deleted() {
        let chats = Chats::default();
        chats.set_made_max(2);
        let id = |text: &str| ChatId::parse(text, "id").unwrap();
        let made = |text: &str, by: Option<&str>| {
            let made_by = by.map(user);
            chats.set(Access { id: id(text), public: true, participants: Vec::new(), made_by });
        };
        let limit = |by: &str| chats.check_made_by(&user(by)).err().and_then(|fault| fault.limit);
        made("a", Some("alice"));
        made("b", Some("alice"));
        // Replaced over HTTP, it is still the one that Alice made.
        made("b", None);
        assert_eq!((limit("alice"), limit("bob")), (Some("limits.chats_per_user"), None));
        chats.remove(&id("b"));
        assert_eq!(limit("alice"), None);
        chats.remove(&id("a"));
        assert!(chats.made_by.is_empty());
    }

    #[test]
    fn what_the_table_costs_is_bounded() {
        let chats = Chats::default();
        chats.participants.store(PARTICIPANTS_TOTAL_MAX, Ordering::Relaxed);
        let chat = Chat::new(ChatId::parse("d", "id").unwrap(), String::new(), String::new(), 0).unwrap();
        assert_eq!(chats.check_room(&chat), Ok(()));
        let chat = chat.with_participants(vec![user("alice")]).unwrap();
        assert_eq!(chats.check_room(&chat).unwrap_err().code, Code::LimitReached);
        assert_eq!(chats.check_room(&Chat { public: true, ..chat }), Ok(()));
    }
}
