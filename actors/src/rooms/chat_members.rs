//! The members of a chat, and the users that type in it. Pure. The room actor owns it.
//!
//! It counts users, not sessions: the room actor reports a user's first session and the end of the last one.

use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::AHashMap;

use crate::connection::{Sender, SessionAddr};
use crate::events::chat::messages::{ChatUserTyping, TypingUser};
use crate::events::chat::presence::OnlineUser;
use crate::events::chat::rooms::{OnlineUpdate, RoomInfo, UserJoined, UserLeft};
use crate::events::timestamp::Iso;
use crate::limits::token_bucket::TokenBucket;
use crate::model::availability::Availability;
use crate::model::identity::Identity;
use crate::model::ids::{ChatId, UserId};

/// The most users in `room:online-update`.
pub const NAMED_MAX: usize = 100;

/// The most users in `room:online`.
pub const ONLINE_MAX: usize = 1_000;

/// Typing ends this long after the last typing event, ms. A user may send 10 typing events a minute, so this is longer
/// than the time between two of them.
pub const SILENCE_MS: i64 = 30_000;

/// Deliveries of receipts a second in one chat.
const RECEIPT_DELIVERIES: u32 = 10_000;

/// Deliveries of joins and leaves a second in one chat.
const MEMBER_DELIVERIES: u32 = 20_000;

/// The shortest time between two updates of a chat's users, in ms for each user: an update to n users names up to n.
const UPDATE_MS_A_USER: usize = 2;

/// The longest such time, ms.
const UPDATE_MS_MAX: usize = 2_000;

/// A chat with at most this number of users gets an update for every change.
const SMALL_CHAT: usize = 16;

#[derive(Debug)]
struct Participant {
    /// Its position in the order of joining.
    number: u64,
    username: Arc<str>,
    /// When its first session in the chat connected, ms since the epoch.
    connected_at: i64,
}

/// A session that types.
#[derive(Debug, Clone)]
struct Typist {
    sender: Sender,
    user: UserId,
    /// Ms since the epoch.
    started_at: i64,
    /// When it stops without another typing event, ms by [`crate::runtime::clock::Clock::elapsed_ms`].
    until: i64,
}

/// When the next update may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnouncementRate {
    /// Now.
    Now,
    /// In this number of ms: the caller starts a timer.
    In(i64),
    /// At the end of a timer that runs already.
    Scheduled,
}

/// The members of a chat.
#[derive(Debug)]
pub struct ChatMembers {
    chat: ChatId,
    users: AHashMap<UserId, Participant>,
    /// The users in the order of joining.
    order: BTreeMap<u64, UserId>,
    /// Joins so far.
    joins: u64,
    /// Each session at most once.
    typists: Vec<Typist>,
    /// Ms since the epoch.
    last_activity: i64,
    /// When the last update was sent, ms by [`crate::runtime::clock::Clock::elapsed_ms`].
    updated_at: Option<i64>,
    has_update_timer: bool,
    has_silence_timer: bool,
    receipts_bucket: TokenBucket,
    members_bucket: TokenBucket,
}

impl ChatMembers {
    /// A chat without members.
    pub fn new(chat: ChatId, now: i64, elapsed: i64) -> Self {
        Self {
            chat,
            users: AHashMap::new(),
            order: BTreeMap::new(),
            joins: 0,
            typists: Vec::new(),
            last_activity: now,
            updated_at: None,
            has_update_timer: false,
            has_silence_timer: false,
            receipts_bucket: TokenBucket::new(RECEIPT_DELIVERIES, elapsed),
            members_bucket: TokenBucket::new(MEMBER_DELIVERIES, elapsed),
        }
    }

    /// Adds a user; its first session connected at `connected_at`.
    pub fn join(&mut self, identity: &Identity, connected_at: i64, now: i64) -> UserJoined {
        self.last_activity = now;
        let username: Arc<str> = identity.username().into();
        self.joins += 1;
        let participant = Participant { number: self.joins, username: username.clone(), connected_at };
        self.order.insert(self.joins, identity.user.clone());
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

    /// Removes a user after the last session left.
    pub fn leave(&mut self, user: &UserId, now: i64) -> Option<UserLeft> {
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

    /// Notes a message.
    pub fn note_activity(&mut self, now: i64) {
        self.last_activity = now;
    }

    /// Users in the chat.
    pub fn users(&self) -> usize {
        self.users.len()
    }

    /// The chat for clients.
    pub fn info(&self) -> RoomInfo {
        RoomInfo {
            chat_id: self.chat.clone(),
            participant_count: self.users.len(),
            is_active: !self.users.is_empty(),
            last_activity: Iso(self.last_activity),
        }
    }

    /// The first `most` users, each with its `availability`.
    pub fn online(&self, most: usize, now: i64, availability: impl Fn(&UserId) -> Availability) -> Vec<OnlineUser> {
        let first = self.order.values().take(most).filter_map(|user| self.users.get_key_value(user));
        let named = first.map(|(user, participant)| OnlineUser {
            user_id: user.clone(),
            username: participant.username.clone(),
            // A user without a session stays in the chat until the leave is handled.
            status: Some(availability(user)).filter(|&status| status != Availability::Offline).unwrap_or_default(),
            last_seen: Iso(now),
            connected_at: Iso(participant.connected_at),
        });
        named.collect()
    }

    /// The update after a change of the users.
    pub fn update(&mut self, now: i64, elapsed: i64, availability: impl Fn(&UserId) -> Availability) -> OnlineUpdate {
        self.updated_at = Some(elapsed);
        self.has_update_timer = false;
        self.online_update(now, availability)
    }

    /// The present users.
    pub fn online_update(&self, now: i64, availability: impl Fn(&UserId) -> Availability) -> OnlineUpdate {
        OnlineUpdate {
            chat_id: self.chat.clone(),
            online_users: self.online(NAMED_MAX, now, availability),
            count: self.users.len(),
            timestamp: Iso(now),
        }
    }

    /// When the next update may be sent.
    pub fn announcement_rate(&mut self, elapsed: i64) -> AnnouncementRate {
        if self.has_update_timer {
            return AnnouncementRate::Scheduled;
        }
        let users = self.users.len();
        let between = if users <= SMALL_CHAT { 0 } else { (users * UPDATE_MS_A_USER).min(UPDATE_MS_MAX) };
        let due = self.updated_at.map_or(elapsed, |updated_at| updated_at + i64::try_from(between).unwrap_or(0));
        if due <= elapsed {
            return AnnouncementRate::Now;
        }
        self.has_update_timer = true;
        AnnouncementRate::In(due - elapsed)
    }

    /// Sets whether a session types. Returns the event when that changes whether its user types.
    pub fn set_typing(
        &mut self,
        sender: Sender,
        user: &UserId,
        is_typing: bool,
        now: i64,
        elapsed: i64,
    ) -> Option<ChatUserTyping> {
        let was_typing = self.is_typing(user);
        let known = self.typists.iter().position(|typist| typist.sender == sender);
        let until = elapsed + SILENCE_MS;
        match (known.and_then(|index| self.typists.get_mut(index)), is_typing) {
            (Some(typist), true) => typist.until = until,
            (None, true) => self.typists.push(Typist { sender, user: user.clone(), started_at: now, until }),
            (_, false) => self.typists.retain(|typist| typist.sender != sender),
        }
        (was_typing != self.is_typing(user)).then(|| self.typing_event(user, is_typing, now))
    }

    /// Ends the typing of a session that leaves.
    pub fn stop_typing(&mut self, addr: SessionAddr, now: i64) -> Option<(ChatUserTyping, Sender)> {
        let Typist { sender, user, .. } = self.typists.iter().find(|typist| typist.sender.addr == addr)?.clone();
        Some((self.set_typing(sender, &user, false, now, 0)?, sender))
    }

    /// Ends the typing of sessions that sent no typing event for [`SILENCE_MS`]; returns the events, each with the
    /// session that does not receive it.
    pub fn take_silent(&mut self, now: i64, elapsed: i64) -> Vec<(ChatUserTyping, Sender)> {
        self.has_silence_timer = false;
        let mut silent: Vec<_> = self.typists.extract_if(.., |typist| typist.until <= elapsed).collect();
        silent.sort_by(|one, other| one.user.cmp(&other.user));
        silent.dedup_by(|one, other| one.user == other.user);
        silent.retain(|typist| !self.is_typing(&typist.user));
        silent.iter().map(|typist| (self.typing_event(&typist.user, false, now), typist.sender)).collect()
    }

    /// The ms until the first typing ends: the caller starts a timer. `None` when no session types, or a timer runs.
    pub fn silence_wait(&mut self, elapsed: i64) -> Option<i64> {
        let first = self.typists.iter().map(|typist| typist.until).min().filter(|_| !self.has_silence_timer)?;
        self.has_silence_timer = true;
        Some(first - elapsed)
    }

    /// The users that type, in the order of their start.
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

    /// Whether a receipt with `deliveries` deliveries is within the rate; if so, counts it.
    pub fn may_announce_receipt(&mut self, deliveries: usize, elapsed: i64) -> bool {
        is_within(&mut self.receipts_bucket, deliveries, elapsed)
    }

    /// Whether a join or leave with `deliveries` deliveries is within the rate; if so, counts it. The update of the
    /// users is sent in any case.
    pub fn may_announce_member(&mut self, deliveries: usize, elapsed: i64) -> bool {
        is_within(&mut self.members_bucket, deliveries, elapsed)
    }

    fn is_typing(&self, user: &UserId) -> bool {
        self.typists.iter().any(|typist| typist.user == *user)
    }

    fn typing_event(&self, user: &UserId, is_typing: bool, now: i64) -> ChatUserTyping {
        ChatUserTyping {
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

fn is_within(bucket: &mut TokenBucket, deliveries: usize, elapsed: i64) -> bool {
    let deliveries = deliveries as u64;
    bucket.expect_cost(deliveries);
    let is_within = bucket.available(elapsed) > 0;
    if is_within {
        bucket.spend(1, deliveries);
    }
    is_within
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::SessionTable;
    use crate::model::ids::SessionId;

    fn identity(id: &str) -> Identity {
        Identity { name: Some(id.to_uppercase().into()), ..Identity::of(UserId::parse(id, "user").unwrap()) }
    }

    fn chat_members(users: &[&str]) -> ChatMembers {
        let mut chat_members = ChatMembers::new(ChatId::parse("c", "id").unwrap(), 1, 0);
        for user in users {
            chat_members.join(&identity(user), 5, 10);
        }
        chat_members
    }

    fn sender(index: u32) -> Sender {
        Sender { session: SessionId::random(), addr: SessionTable::addr_of(index) }
    }

    fn user(id: &str) -> UserId {
        UserId::parse(id, "user").unwrap()
    }

    #[test]
    fn users_are_listed_in_the_order_of_joining() {
        let mut chat_members = chat_members(&["a", "b", "c"]);
        assert_eq!(chat_members.leave(&user("a"), 20).map(|left| left.online_count), Some(2));
        assert!(chat_members.leave(&user("a"), 20).is_none());
        let away = |of: &UserId| if *of == user("c") { Availability::Away } else { Availability::Offline };
        let online = chat_members.online(9, 30, away);
        let listed: Vec<_> = online.iter().map(|user| (&*user.username, user.status)).collect();
        assert_eq!(listed, [("B", Availability::Online), ("C", Availability::Away)]);
        assert_eq!(chat_members.online(1, 30, away).len(), 1);
        assert_eq!((chat_members.info().participant_count, chat_members.info().last_activity), (2, Iso(20)));
    }

    #[test]
    fn a_user_types_while_any_of_its_sessions_types() {
        let mut chat_members = chat_members(&["a"]);
        let (one, two) = (sender(1), sender(2));
        let a = user("a");
        assert!(chat_members.set_typing(one, &a, true, 1, 0).is_some_and(|event| event.is_typing));
        assert!(chat_members.set_typing(two, &a, true, 2, 0).is_none());
        assert_eq!(chat_members.typing_users().len(), 1);
        assert!(chat_members.set_typing(one, &a, false, 3, 0).is_none());
        assert!(chat_members.stop_typing(two.addr, 4).is_some_and(|(event, _)| !event.is_typing));
        assert!(chat_members.set_typing(two, &a, false, 5, 0).is_none());
        assert!(chat_members.typists.is_empty());
    }

    #[test]
    fn typing_ends_without_new_typing_events() {
        let mut chat_members = chat_members(&["a", "b"]);
        let (one, two) = (sender(1), sender(2));
        chat_members.set_typing(one, &user("a"), true, 1, 0);
        chat_members.set_typing(two, &user("b"), true, 1, 10);
        chat_members.set_typing(one, &user("a"), true, 2, 20);
        assert_eq!((chat_members.silence_wait(20), chat_members.silence_wait(20)), (Some(SILENCE_MS - 10), None));
        let silent = chat_members.take_silent(3, SILENCE_MS + 10);
        let silent: Vec<_> = silent.iter().map(|(event, sender)| (event.user_id.as_str(), *sender)).collect();
        assert_eq!(silent, [("b", two)]);
        assert_eq!(chat_members.silence_wait(SILENCE_MS + 10), Some(10));
    }

    #[test]
    fn a_small_chat_gets_every_update_and_a_large_one_at_a_limited_rate() {
        let mut small = chat_members(&["a"]);
        small.update(1, 100, |_| Availability::Online);
        assert_eq!(small.announcement_rate(100), AnnouncementRate::Now);
        let mut large = ChatMembers::new(ChatId::parse("c", "id").unwrap(), 1, 0);
        for number in 0..100 {
            large.join(&identity(&number.to_string()), 5, 10);
        }
        assert_eq!(large.announcement_rate(100), AnnouncementRate::Now);
        assert_eq!(large.update(1, 100, |_| Availability::Online).online_users.len(), NAMED_MAX);
        assert_eq!(
            (large.announcement_rate(150), large.announcement_rate(160)),
            (AnnouncementRate::In(150), AnnouncementRate::Scheduled)
        );
        large.update(1, 300, |_| Availability::Online);
        assert_eq!(large.announcement_rate(500), AnnouncementRate::Now);
    }

    #[test]
    fn receipts_are_announced_up_to_the_deliveries_of_a_second() {
        let mut chat_members = chat_members(&["a"]);
        let count = (0..100).filter(|_| chat_members.may_announce_receipt(1_000, 0)).count();
        assert_eq!(count, 10);
        assert!(!chat_members.may_announce_receipt(1_000, 50));
        assert!(chat_members.may_announce_receipt(1_000, 100));
        assert!(!chat_members.may_announce_receipt(1_000, 100));
        let mut small = self::chat_members(&["a"]);
        assert!((0..1_000).all(|_| small.may_announce_receipt(10, 0)));
        assert_eq!((0..100).filter(|_| small.may_announce_member(1_000, 0)).count(), 20);
    }
}
