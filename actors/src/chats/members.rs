//! Who is in a chat and who types there, pure: what a room is more when it is a chat's. Owned by the room's shard.
//!
//! Counts users, not sessions: the shard says when a user's first session came and the last one went.

use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::AHashMap;

use crate::connection::SessionAddr;
use crate::events::chat::messages::{TypingUser, UserTyping};
use crate::events::chat::presence::OnlineUser;
use crate::events::chat::rooms::{OnlineUpdate, RoomInfo, UserJoined, UserLeft};
use crate::events::moment::Iso;
use crate::model::availability::Availability;
use crate::model::identity::Identity;
use crate::model::ids::{ChatId, UserId};
use crate::presence::token_bucket::TokenBucket;

/// Users that `room:online-update` names.
pub const NAMED_MAX: usize = 100;

/// Users that `room:online` names.
pub const ONLINE_MAX: usize = 1_000;

/// After which silence a typist stops, ms. Longer than the time between two of the 10 typing events that a user has in a
/// minute.
pub const SILENCE_MS: i64 = 30_000;

/// Deliveries a second that tell all in one chat of receipts.
const RECEIPT_DELIVERIES: u32 = 10_000;

/// Deliveries a second that tell the others in one chat who came and went.
const COMING_DELIVERIES: u32 = 20_000;

/// Least time between two updates of who is in a chat, in ms for each user there: an update to n users names up to n.
const UPDATE_MS_A_USER: usize = 2;

/// The longest such time, ms.
const UPDATE_MS_MAX: usize = 2_000;

/// Chats of so few users are told of every change.
const UPDATED_AT_ONCE: usize = 16;

#[derive(Debug)]
struct Participant {
    /// Its place in the order of coming.
    number: u64,
    username: Arc<str>,
    /// When the session connected that joined first, ms since the epoch.
    connected_at: i64,
}

/// A session that types.
#[derive(Debug)]
struct Typist {
    place: SessionAddr,
    user: UserId,
    /// Ms since the epoch.
    started_at: i64,
    /// When it stops unless it says so again, ms by [`crate::runtime::clock::Clock::elapsed_ms`].
    until: i64,
}

/// When the next update may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnouncementRate {
    /// Now.
    Now,
    /// In so many ms; it is the caller's to come back then.
    In(i64),
    /// Somebody comes back already.
    Waits,
}

/// Who is in a chat.
#[derive(Debug)]
pub struct ChatMembers {
    chat: ChatId,
    users: AHashMap<UserId, Participant>,
    /// The users in the order they came.
    order: BTreeMap<u64, UserId>,
    /// Users that ever came.
    came: u64,
    /// At most one a session.
    typists: Vec<Typist>,
    /// Ms since the epoch.
    last_activity: i64,
    /// When the last update was told, ms by [`crate::runtime::clock::Clock::elapsed_ms`].
    told_at: Option<i64>,
    update_waits: bool,
    /// Somebody comes back when the first typist falls silent.
    watched: bool,
    receipts: TokenBucket,
    comings: TokenBucket,
}

impl ChatMembers {
    /// Nobody is in the chat.
    pub fn new(chat: ChatId, now: i64, elapsed: i64) -> Self {
        Self {
            chat,
            users: AHashMap::new(),
            order: BTreeMap::new(),
            came: 0,
            typists: Vec::new(),
            last_activity: now,
            told_at: None,
            update_waits: false,
            watched: false,
            receipts: TokenBucket::new(RECEIPT_DELIVERIES, elapsed),
            comings: TokenBucket::new(COMING_DELIVERIES, elapsed),
        }
    }

    /// A user's first session came, which connected at `connected_at`.
    pub fn came(&mut self, identity: &Identity, connected_at: i64, now: i64) -> UserJoined {
        self.last_activity = now;
        let username: Arc<str> = identity.username().into();
        self.came += 1;
        let participant = Participant { number: self.came, username: username.clone(), connected_at };
        self.order.insert(self.came, identity.user.clone());
        self.users.insert(identity.user.clone(), participant);
        UserJoined {
            user_id: identity.user.clone(),
            username,
            chat_id: self.chat.clone(),
            timestamp: Iso(now),
            room_info: self.info(),
            online_count: self.users.len(),
        }
    }

    /// A user's last session went.
    pub fn went(&mut self, user: &UserId, now: i64) -> Option<UserLeft> {
        let participant = self.users.remove(user)?;
        self.order.remove(&participant.number);
        self.last_activity = now;
        Some(UserLeft {
            user_id: user.clone(),
            username: participant.username,
            chat_id: self.chat.clone(),
            timestamp: Iso(now),
            online_count: self.users.len(),
        })
    }

    /// Something was said.
    pub fn said(&mut self, now: i64) {
        self.last_activity = now;
    }

    /// Users in the chat.
    pub fn users(&self) -> usize {
        self.users.len()
    }

    /// The chat as those in it see it.
    pub fn info(&self) -> RoomInfo {
        RoomInfo {
            chat_id: self.chat.clone(),
            participant_count: self.users.len(),
            is_active: !self.users.is_empty(),
            last_activity: Iso(self.last_activity),
        }
    }

    /// Who is in the chat: the first `most`, with what `availability` says of each.
    pub fn online(&self, most: usize, now: i64, availability: impl Fn(&UserId) -> Availability) -> Vec<OnlineUser> {
        let first = self.order.values().take(most).filter_map(|user| self.users.get_key_value(user));
        let named = first.map(|(user, participant)| OnlineUser {
            user_id: user.clone(),
            username: participant.username.clone(),
            // Whose session is ending is not yet out of the chat.
            status: Some(availability(user)).filter(|&said| said != Availability::Offline).unwrap_or_default(),
            last_seen: Iso(now),
            connected_at: Iso(participant.connected_at),
        });
        named.collect()
    }

    /// What all are told when the users changed.
    pub fn update(&mut self, now: i64, elapsed: i64, availability: impl Fn(&UserId) -> Availability) -> OnlineUpdate {
        self.told_at = Some(elapsed);
        self.update_waits = false;
        OnlineUpdate {
            chat_id: self.chat.clone(),
            online_users: self.online(NAMED_MAX, now, availability),
            count: self.users.len(),
            timestamp: Iso(now),
        }
    }

    /// The users changed: when all may be told.
    pub fn pace(&mut self, elapsed: i64) -> AnnouncementRate {
        if self.update_waits {
            return AnnouncementRate::Waits;
        }
        let users = self.users.len();
        let between = if users <= UPDATED_AT_ONCE { 0 } else { (users * UPDATE_MS_A_USER).min(UPDATE_MS_MAX) };
        let due = self.told_at.map_or(elapsed, |told_at| told_at + i64::try_from(between).unwrap_or(0));
        if due <= elapsed {
            return AnnouncementRate::Now;
        }
        self.update_waits = true;
        AnnouncementRate::In(due - elapsed)
    }

    /// A session types or does not any more; what the others are told, where that changes what is known of its user.
    pub fn types(
        &mut self,
        place: SessionAddr,
        user: &UserId,
        typing: bool,
        now: i64,
        elapsed: i64,
    ) -> Option<UserTyping> {
        let typed = self.is_typing(user);
        let known = self.typists.iter().position(|typist| typist.place == place);
        let until = elapsed + SILENCE_MS;
        match (known.and_then(|index| self.typists.get_mut(index)), typing) {
            (Some(typist), true) => typist.until = until,
            (None, true) => self.typists.push(Typist { place, user: user.clone(), started_at: now, until }),
            (_, false) => self.typists.retain(|typist| typist.place != place),
        }
        (typed != self.is_typing(user)).then(|| self.typing_of(user, typing, now))
    }

    /// A session left; what the others are told of its typing.
    pub fn stops(&mut self, place: SessionAddr, user: &UserId, now: i64) -> Option<UserTyping> {
        self.types(place, user, false, now, 0)
    }

    /// Typists who fell silent by `elapsed` stop; what the others are told, and whose session is not.
    pub fn fall_silent(&mut self, now: i64, elapsed: i64) -> Vec<(UserTyping, SessionAddr)> {
        self.watched = false;
        let mut silent: Vec<_> = self.typists.extract_if(.., |typist| typist.until <= elapsed).collect();
        silent.sort_by(|one, other| one.user.cmp(&other.user));
        silent.dedup_by(|one, other| one.user == other.user);
        silent.retain(|typist| !self.is_typing(&typist.user));
        silent.iter().map(|typist| (self.typing_of(&typist.user, false, now), typist.place)).collect()
    }

    /// In how many ms the first typist will have fallen silent: the caller comes back then. `None` when nobody types, or
    /// somebody comes back already.
    pub fn watch(&mut self, elapsed: i64) -> Option<i64> {
        let first = self.typists.iter().map(|typist| typist.until).min().filter(|_| !self.watched)?;
        self.watched = true;
        Some(first - elapsed)
    }

    /// Who types, in the order they began, each user once.
    pub fn typing_users(&self) -> Vec<TypingUser> {
        let mut users: Vec<TypingUser> = Vec::new();
        for typist in &self.typists {
            if !users.iter().any(|user| user.user_id == typist.user) {
                users.push(TypingUser {
                    user_id: typist.user.clone(),
                    username: self.username(&typist.user),
                    chat_id: self.chat.clone(),
                    started_at: Iso(typist.started_at),
                });
            }
        }
        users
    }

    /// Whether all may be told of one more receipt, which takes so many deliveries; then it is paid for.
    pub fn may_tell_of_receipt(&mut self, deliveries: usize, elapsed: i64) -> bool {
        may_tell(&mut self.receipts, deliveries, elapsed)
    }

    /// Whether the others may be told that one more user came or went, which takes so many deliveries; then it is paid for.
    /// An update tells all who is there in any case.
    pub fn may_tell_of_coming(&mut self, deliveries: usize, elapsed: i64) -> bool {
        may_tell(&mut self.comings, deliveries, elapsed)
    }

    fn is_typing(&self, user: &UserId) -> bool {
        self.typists.iter().any(|typist| typist.user == *user)
    }

    fn typing_of(&self, user: &UserId, is_typing: bool, now: i64) -> UserTyping {
        UserTyping {
            user_id: user.clone(),
            username: self.username(user),
            chat_id: self.chat.clone(),
            is_typing,
            timestamp: Iso(now),
        }
    }

    fn username(&self, user: &UserId) -> Arc<str> {
        self.users.get(user).map_or_else(|| user.as_str().into(), |participant| participant.username.clone())
    }
}

fn may_tell(allowance: &mut TokenBucket, deliveries: usize, elapsed: i64) -> bool {
    let deliveries = deliveries as u64;
    allowance.expect(deliveries);
    let may = allowance.notices(elapsed) > 0;
    if may {
        allowance.pay(1, deliveries);
    }
    may
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::SessionTable;

    fn identity(id: &str) -> Identity {
        Identity { name: Some(id.to_uppercase()), ..Identity::of(UserId::parse(id, "user").unwrap()) }
    }

    fn chat_members(users: &[&str]) -> ChatMembers {
        let mut chat_members = ChatMembers::new(ChatId::parse("c", "id").unwrap(), 1, 0);
        for user in users {
            chat_members.came(&identity(user), 5, 10);
        }
        chat_members
    }

    fn user(id: &str) -> UserId {
        UserId::parse(id, "user").unwrap()
    }

    #[test]
    fn users_are_named_in_the_order_they_came() {
        let mut chat_members = chat_members(&["a", "b", "c"]);
        assert_eq!(chat_members.went(&user("a"), 20).map(|left| left.online_count), Some(2));
        assert!(chat_members.went(&user("a"), 20).is_none());
        let away = |of: &UserId| if *of == user("c") { Availability::Away } else { Availability::Offline };
        let online = chat_members.online(9, 30, away);
        let named: Vec<_> = online.iter().map(|user| (&*user.username, user.status)).collect();
        assert_eq!(named, [("B", Availability::Online), ("C", Availability::Away)]);
        assert_eq!(chat_members.online(1, 30, away).len(), 1);
        assert_eq!((chat_members.info().participant_count, chat_members.info().last_activity), (2, Iso(20)));
    }

    #[test]
    fn a_user_types_from_the_first_session_that_does_to_the_last() {
        let mut chat_members = chat_members(&["a"]);
        let (one, two) = (SessionTable::addr_of(1), SessionTable::addr_of(2));
        let a = user("a");
        assert!(chat_members.types(one, &a, true, 1, 0).is_some_and(|told| told.is_typing));
        assert!(chat_members.types(two, &a, true, 2, 0).is_none());
        assert_eq!(chat_members.typing_users().len(), 1);
        assert!(chat_members.types(one, &a, false, 3, 0).is_none());
        assert!(chat_members.stops(two, &a, 4).is_some_and(|told| !told.is_typing));
        assert!(chat_members.types(two, &a, false, 5, 0).is_none());
        assert!(chat_members.typists.is_empty());
    }

    #[test]
    fn who_falls_silent_stops_typing() {
        let mut chat_members = chat_members(&["a", "b"]);
        let (one, two) = (SessionTable::addr_of(1), SessionTable::addr_of(2));
        chat_members.types(one, &user("a"), true, 1, 0);
        chat_members.types(two, &user("b"), true, 1, 10);
        chat_members.types(one, &user("a"), true, 2, 20);
        assert_eq!((chat_members.watch(20), chat_members.watch(20)), (Some(SILENCE_MS - 10), None));
        let silent = chat_members.fall_silent(3, SILENCE_MS + 10);
        let silent: Vec<_> = silent.iter().map(|(told, place)| (told.user_id.as_str(), *place)).collect();
        assert_eq!(silent, [("b", two)]);
        assert_eq!(chat_members.watch(SILENCE_MS + 10), Some(10));
    }

    #[test]
    fn a_small_chat_is_told_of_every_change_and_a_large_one_at_a_pace() {
        let mut small = chat_members(&["a"]);
        small.update(1, 100, |_| Availability::Online);
        assert_eq!(small.pace(100), AnnouncementRate::Now);
        let mut large = ChatMembers::new(ChatId::parse("c", "id").unwrap(), 1, 0);
        for number in 0..100 {
            large.came(&identity(&number.to_string()), 5, 10);
        }
        assert_eq!(large.pace(100), AnnouncementRate::Now);
        assert_eq!(large.update(1, 100, |_| Availability::Online).online_users.len(), NAMED_MAX);
        assert_eq!((large.pace(150), large.pace(160)), (AnnouncementRate::In(150), AnnouncementRate::Waits));
        large.update(1, 300, |_| Availability::Online);
        assert_eq!(large.pace(500), AnnouncementRate::Now);
    }

    #[test]
    fn receipts_are_told_to_all_as_far_as_a_second_of_deliveries_goes() {
        let mut chat_members = chat_members(&["a"]);
        let told = (0..100).filter(|_| chat_members.may_tell_of_receipt(1_000, 0)).count();
        assert_eq!(told, 10);
        assert!(!chat_members.may_tell_of_receipt(1_000, 50));
        assert!(chat_members.may_tell_of_receipt(1_000, 100));
        assert!(!chat_members.may_tell_of_receipt(1_000, 100));
        let mut small = self::chat_members(&["a"]);
        assert!((0..1_000).all(|_| small.may_tell_of_receipt(10, 0)));
        assert_eq!((0..100).filter(|_| small.may_tell_of_coming(1_000, 0)).count(), 20);
    }
}
