use super::*;
use crate::model::ids::EventName;
use crate::model::position::Position;
use crate::model::topic_pattern::Pattern;
use crate::publication::Event;
use crate::rooms::rules::{AccessRule, TopicRule};

const RULE: HistoryRule = HistoryRule { messages: 10, age_ms: Some(1_000) };

/// The recovery window: positions are kept for so long, because [`RULE`] has a shorter age.
const WINDOW_MS: i64 = 3_000;

/// Histories with this bound in bytes.
fn histories_of(most: usize) -> Histories {
    with_rooms(most, usize::MAX, usize::MAX).0
}

/// Histories, and the counts with these limits of rooms.
fn with_rooms(most: usize, rooms: usize, rooms_per_user: usize) -> (Histories, Arc<RoomCounts>) {
    let counts = Arc::new(RoomCounts::new(rooms, rooms_per_user));
    (Histories::new(most, WINDOW_MS, counts.clone()), counts)
}

/// A room gets members.
fn enter(histories: &mut Histories, name: &str) {
    let anyone = || vec![AccessRule::Anyone];
    let (pattern, history) = (Pattern::new("*"), Some(RULE));
    let rules = Rules(vec![TopicRule { pattern, subscribe: anyone(), publish: anyone(), history }]);
    assert!(histories.open_for_members(&rules, &room(name)));
}

/// A room that `creator` created gets a member, who leaves.
fn visit(histories: &mut Histories, name: &str, creator: &str, elapsed: i64) {
    enter(histories, name);
    histories.leave(&room(name), Some(user(creator)), elapsed);
}

fn user(id: &str) -> UserId {
    UserId::parse(id, "user").unwrap()
}

/// The rooms with a history, sorted.
fn rooms(histories: &Histories) -> Vec<&str> {
    let mut rooms: Vec<_> = histories.entries.keys().map(RoomName::as_str).collect();
    rooms.sort_unstable();
    rooms
}

/// The size of a history with so many messages.
const fn size_of(messages: usize) -> usize {
    512 + messages * (512 + 2 * (100 + 1))
}

fn room(name: &str) -> RoomName {
    RoomName::parse(name, "room").unwrap()
}

fn message(timestamp: i64) -> Publication {
    let (name, data) = (EventName::of_hub("x"), vec![b'1'; 100].into());
    Publication::new(Event { name, topic: None, data, timestamp, offset: None })
}

/// Stores a message; its offset.
fn store(histories: &mut Histories, name: &str, elapsed: i64) -> u64 {
    histories.open(&room(name), RULE);
    histories.store(&room(name), message(elapsed), elapsed).offset().unwrap()
}

fn epoch(histories: &mut Histories, name: &str) -> String {
    histories.open(&room(name), RULE);
    histories.read(&room(name), 0).map(|history| history.position().epoch).unwrap_or_default()
}

fn has_messages(histories: &Histories, name: &str) -> bool {
    histories.entries.get(&room(name)).is_some_and(|entry| !entry.history.is_empty())
}

/// Whether all tables are empty.
fn is_clean(histories: &Histories) -> bool {
    histories.bytes == 0
        && histories.entries.is_empty()
        && histories.by_use.is_empty()
        && histories.by_expiry.is_empty()
        && histories.kept.is_clean()
}

#[test]
fn a_topic_that_falls_empty_keeps_its_position_for_the_window() {
    let mut histories = histories_of(usize::MAX);
    visit(&mut histories, "a", "alice", 0);
    let first = epoch(&mut histories, "a");
    assert_eq!((histories.bytes(), histories.due()), (512, Some(WINDOW_MS)));
    histories.sweep(WINDOW_MS - 1);
    assert_eq!((epoch(&mut histories, "a"), store(&mut histories, "a", WINDOW_MS - 1)), (first.clone(), 1));
    // The message expires, then the position.
    histories.sweep(WINDOW_MS + 999);
    assert_eq!((histories.bytes(), histories.due()), (512, Some(WINDOW_MS + 999 + WINDOW_MS)));
    assert_eq!(histories.read(&room("a"), WINDOW_MS + 999).unwrap().position().offset, 1);
    histories.sweep(2 * WINDOW_MS + 998);
    assert_eq!(store(&mut histories, "a", 2 * WINDOW_MS + 998), 2);
    histories.sweep(2 * WINDOW_MS + 1_998);
    histories.sweep(3 * WINDOW_MS + 1_998);
    assert!(is_clean(&histories));
    assert_ne!(epoch(&mut histories, "a"), first, "numbers that begin anew have another epoch");
    assert_eq!(store(&mut histories, "a", 0), 1);
}

#[test]
fn the_age_of_the_rule_keeps_a_position_longer_than_the_window() {
    let mut histories = histories_of(usize::MAX);
    visit(&mut histories, "a", "alice", 0);
    histories.set_rule(&room("a"), HistoryRule { messages: 5, age_ms: Some(WINDOW_MS + 1) }, 0);
    enter(&mut histories, "a");
    histories.leave(&room("a"), None, 10);
    assert_eq!(histories.due(), Some(10 + WINDOW_MS + 1));
    let mut without_window = Histories::new(usize::MAX, 0, Arc::new(RoomCounts::new(1, 1)));
    without_window.open(&room("b"), HistoryRule { messages: 5, age_ms: None });
    without_window.leave(&room("b"), None, 0);
    assert!(is_clean(&without_window));
}

#[test]
fn a_topic_with_members_keeps_its_position_and_costs_no_bytes() {
    let mut histories = histories_of(usize::MAX);
    visit(&mut histories, "a", "alice", 0);
    let first = epoch(&mut histories, "a");
    enter(&mut histories, "a");
    assert_eq!((histories.bytes(), histories.due()), (0, None));
    store(&mut histories, "a", 0);
    histories.sweep(1_000);
    assert_eq!((histories.bytes(), histories.due()), (0, None));
    histories.sweep(i64::MAX);
    assert_eq!((epoch(&mut histories, "a"), store(&mut histories, "a", 4_000)), (first, 2));
}

#[test]
fn kept_positions_and_rooms_together_stay_within_the_limits_of_rooms() {
    let (mut histories, counts) = with_rooms(usize::MAX, 5, 3);
    for name in ["a", "b", "c", "d"] {
        visit(&mut histories, name, "alice", 0);
    }
    assert_eq!(rooms(&histories), ["b", "c", "d"], "the user's oldest position goes");
    let of_alice = counts.take(&user("alice")).unwrap();
    histories.fit_rooms(Some(&user("alice")));
    assert_eq!(rooms(&histories), ["c", "d"]);
    visit(&mut histories, "e", "bob", 0);
    let of_bob = counts.take(&user("bob")).unwrap();
    histories.fit_rooms(Some(&user("bob")));
    assert_eq!(rooms(&histories), ["c", "d", "e"]);
    visit(&mut histories, "f", "bob", 0);
    assert_eq!(rooms(&histories), ["d", "e", "f"], "the hub's oldest position goes");
    let others = [counts.take(&user("carol")).unwrap(), counts.take(&user("carol")).unwrap()];
    histories.fit_rooms(Some(&user("carol")));
    assert_eq!(rooms(&histories), ["f"]);
    // A position without a user counts for the hub.
    drop((of_alice, of_bob));
    for name in ["g", "h", "i"] {
        enter(&mut histories, name);
        histories.leave(&room(name), None, 0);
    }
    assert_eq!(rooms(&histories), ["g", "h", "i"]);
    counts.set_limits(1, 1);
    histories.set_most(usize::MAX, 0);
    assert!(is_clean(&histories));
    drop(others);
}

#[test]
fn a_room_that_is_joined_again_counts_once() {
    let (mut histories, counts) = with_rooms(usize::MAX, 2, 2);
    for name in ["a", "b"] {
        visit(&mut histories, name, "alice", 0);
    }
    let alone = counts.take(&user("alice")).unwrap();
    enter(&mut histories, "b");
    histories.fit_rooms(Some(&user("alice")));
    assert_eq!(rooms(&histories), ["a", "b"]);
    drop(alone);
}

#[test]
fn kept_positions_are_forgotten_before_messages_are_evicted() {
    let mut histories = histories_of(2 * size_of(1) + 512);
    store(&mut histories, "old", 0);
    for name in ["a", "b"] {
        visit(&mut histories, name, "alice", 0);
    }
    store(&mut histories, "new", 0);
    assert_eq!((histories.take_evicted(), rooms(&histories)), (0, vec!["b", "new", "old"]));
    store(&mut histories, "new", 0);
    assert_eq!((histories.take_evicted(), rooms(&histories)), (1, vec!["new", "old"]));
    assert_eq!(histories.read(&room("old"), 0).map(TopicHistory::is_empty), Some(true), "its position is kept");
    histories.set_most(511, 0);
    assert!(is_clean(&histories));
}

#[test]
fn a_sweep_ends_after_a_slice_and_goes_on() {
    let mut histories = histories_of(usize::MAX);
    for number in 0..SWEEP_SLICE + 1 {
        visit(&mut histories, &number.to_string(), "alice", 0);
    }
    assert!(histories.sweep(WINDOW_MS));
    assert_eq!(histories.entries.len(), 1);
    assert!(!histories.sweep(WINDOW_MS));
    assert!(is_clean(&histories));
}

#[test]
fn the_least_recently_used_history_is_evicted_whole() {
    let mut histories = histories_of(size_of(2) + 2 * size_of(1));
    for name in ["a", "a", "b", "c"] {
        store(&mut histories, name, 0);
    }
    // A read is a use, too.
    histories.read(&room("a"), 0);
    assert_eq!((histories.bytes(), histories.take_evicted()), (size_of(2) + 2 * size_of(1), 0));
    store(&mut histories, "d", 0);
    assert_eq!(
        (histories.contains(&room("b")), histories.bytes(), histories.take_evicted()),
        (false, size_of(2) + 2 * size_of(1), 1)
    );
    store(&mut histories, "d", 0);
    assert_eq!((has_messages(&histories, "c"), histories.take_evicted()), (false, 1));
    store(&mut histories, "d", 0);
    assert_eq!((has_messages(&histories, "a"), histories.take_evicted()), (false, 1));
    assert_eq!((rooms(&histories), histories.bytes()), (vec!["a", "d"], 512 + size_of(3)), "one position fits");
    // The only history loses its oldest messages.
    for _ in 0..3 {
        store(&mut histories, "d", 0);
    }
    assert_eq!((histories.bytes(), histories.take_evicted(), histories.by_use.len()), (size_of(5), 0, 1));
    histories.sweep(1_000);
    histories.sweep(1_000 + WINDOW_MS);
    assert!(is_clean(&histories));
}

#[test]
fn a_new_rule_and_a_new_bound_apply_to_a_history() {
    let mut histories = histories_of(usize::MAX);
    for elapsed in [0, 100, 200] {
        store(&mut histories, "a", elapsed);
    }
    enter(&mut histories, "a");
    let position = histories.read(&room("a"), 200).unwrap().position();
    histories.set_rule(&room("a"), HistoryRule { messages: 2, age_ms: None }, 200);
    assert_eq!((histories.bytes(), histories.due()), (size_of(2), None));
    histories.set_rule(&room("a"), HistoryRule { messages: 2, age_ms: Some(100) }, 200);
    assert_eq!((histories.bytes(), histories.due()), (size_of(1), Some(300)));
    assert_eq!(histories.read(&room("a"), 200).unwrap().position(), position, "offsets continue");
    histories.set_most(0, 200);
    assert_eq!((histories.bytes(), histories.contains(&room("a"))), (0, true));
    histories.set_most(usize::MAX, 200);
    store(&mut histories, "a", 200);
    histories.remove(&room("a"));
    assert!(is_clean(&histories));
}

#[test]
fn an_evicted_history_of_a_room_with_members_keeps_its_epoch_and_offsets() {
    let mut histories = histories_of(size_of(1));
    store(&mut histories, "a", 0);
    enter(&mut histories, "a");
    let position = histories.read(&room("a"), 0).unwrap().position();
    store(&mut histories, "b", 0);
    assert_eq!((histories.take_evicted(), histories.bytes()), (1, size_of(1)));
    assert_eq!(histories.read(&room("a"), 0).unwrap().position(), position);
    assert_eq!(store(&mut histories, "a", 0), 2);
    assert!(!histories.contains(&room("b")));
}

#[test]
fn expired_and_removed_histories_leave_no_entries() {
    let mut histories = histories_of(size_of(20));
    enter(&mut histories, "stays");
    for turn in 0..1_000 {
        for name in ["stays", "a", "b"] {
            store(&mut histories, name, turn * 5_000);
        }
        histories.read(&room("a"), turn * 5_000);
        histories.sweep(turn * 5_000 + 1_000);
        histories.sweep(turn * 5_000 + 1_000 + WINDOW_MS);
        assert_eq!((histories.by_use.len(), histories.by_expiry.len(), histories.bytes()), (0, 0, 0));
    }
    assert_eq!(histories.entries.len(), 1);
}

#[test]
fn saved_histories_and_positions_are_restored_up_to_the_bound() {
    let mut first = histories_of(2 * 512 + size_of(2) + size_of(1));
    for name in ["a", "a", "b"] {
        store(&mut first, name, 100);
    }
    visit(&mut first, "oldest", "alice", 100);
    visit(&mut first, "older", "alice", 100);
    enter(&mut first, "joined");
    let epochs = ["older", "joined", "b"].map(|name| epoch(&mut first, name));
    let mut saved = first.saved(100);
    saved[2..].sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let names: Vec<_> = saved.iter().map(|(room, _)| room.as_str()).collect();
    assert_eq!(names, ["older", "joined", "a", "b"], "messages come last, what exceeds the bound is left out");

    let restore = |most| {
        let mut histories = histories_of(most);
        for (room, saved) in saved.clone() {
            histories.restore(room, RULE, saved, 100, 7);
        }
        histories
    };
    let mut all = restore(usize::MAX);
    assert_eq!((all.bytes(), all.kept.len(), all.due()), (2 * 512 + size_of(2) + size_of(1), 2, Some(1_007)));
    assert_eq!(["older", "joined", "b"].map(|name| epoch(&mut all, name)), epochs);
    assert_eq!((store(&mut all, "b", 7), store(&mut all, "joined", 7)), (2, 1));

    let few = restore(size_of(2));
    assert_eq!((rooms(&few), few.bytes(), few.due()), (vec!["a", "b"], 512 + size_of(1), Some(1_007)));
    assert!(has_messages(&few, "b") && !has_messages(&few, "a"));
}

/// Checks the counts and indexes of all histories against their entries.
fn check(histories: &Histories, counts: &RoomCounts, users: &[UserId]) {
    let entries = || histories.entries.values();
    let bytes: usize = entries().map(|entry| entry.history.bytes()).sum();
    assert_eq!(histories.bytes, bytes + 512 * histories.kept.len());
    assert!(histories.bytes <= histories.most);
    assert!(entries().all(|entry| entry.has_members || !entry.history.is_empty() || entry.kept_key.is_some()));
    assert!(histories.kept.len() <= counts.free());
    assert!(users.iter().all(|user| histories.kept.of_user(user) <= counts.free_for(user)));
    let count = |has_key: fn(&HistoryEntry) -> bool| entries().filter(|entry| has_key(entry)).count();
    assert_eq!(histories.kept.len(), count(|entry| entry.kept_key.is_some()));
    assert_eq!(histories.by_use.len(), count(|entry| entry.use_key.is_some()));
    assert_eq!(histories.by_expiry.len(), count(|entry| entry.expiry_key.is_some()));
}

#[test]
fn in_any_sequence_numbers_that_begin_anew_have_another_epoch() {
    const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let users = [user("alice"), user("bob")];
    for seed in 1..=20_u64 {
        let mut random = seed;
        let mut below = |most: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random % most as u64) as usize
        };
        let (mut histories, counts) = with_rooms(size_of(4), 9, 5);
        let (mut elapsed, mut rooms) = (0, AHashMap::new());
        let mut seen: AHashMap<&str, (String, u64)> = AHashMap::new();
        for _ in 0..2_000 {
            let name = NAMES[below(NAMES.len())];
            match below(4) {
                0 if !rooms.contains_key(name) => {
                    let creator = &users[below(2)];
                    if let Ok(counted) = counts.take(creator) {
                        enter(&mut histories, name);
                        histories.fit_rooms(Some(creator));
                        rooms.insert(name, counted);
                    }
                }
                0 => {
                    let creator = rooms.remove(name).map(|counted| counted.user().clone());
                    histories.leave(&room(name), creator, elapsed);
                }
                1 => {
                    store(&mut histories, name, elapsed);
                }
                2 => elapsed += below(800) as i64,
                _ => {
                    histories.sweep(elapsed);
                }
            }
            check(&histories, &counts, &users);
            for name in NAMES {
                let Some(entry) = histories.entries.get(&room(name)) else { continue };
                let Position { epoch, offset } = entry.history.position();
                if let Some((last_epoch, last)) = seen.insert(name, (epoch.clone(), offset)) {
                    assert!(if epoch == last_epoch { offset >= last } else { offset <= 1 }, "{name} {offset} {last}");
                }
            }
        }
        let elapsed = elapsed + 1_000;
        for (name, counted) in rooms {
            drop(counted);
            histories.leave(&room(name), None, elapsed);
        }
        histories.sweep(elapsed);
        histories.sweep(elapsed + WINDOW_MS);
        assert!(is_clean(&histories));
    }
}
