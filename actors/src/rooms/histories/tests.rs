use super::*;
use crate::model::ids::EventName;
use crate::publication::Event;

const RULE: HistoryRule = HistoryRule { messages: 10, age_ms: Some(1_000) };

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

/// Whether all tables are empty.
fn is_clean(histories: &Histories) -> bool {
    histories.bytes == 0
        && histories.entries.is_empty()
        && histories.by_use.is_empty()
        && histories.by_expiry.is_empty()
}

#[test]
fn a_history_exists_while_its_room_has_a_member_or_a_message() {
    let mut histories = Histories::new(usize::MAX);
    histories.open(&room("a"), RULE);
    histories.set_members(&room("a"), true);
    histories.set_members(&room("a"), false);
    assert!(is_clean(&histories));
    assert_eq!((store(&mut histories, "a", 0), store(&mut histories, "a", 500)), (1, 2));
    histories.set_members(&room("a"), true);
    histories.set_members(&room("a"), false);
    histories.sweep(1_499);
    assert!(histories.contains(&room("a")));
    histories.sweep(1_500);
    assert!(is_clean(&histories));

    store(&mut histories, "a", 2_000);
    histories.set_members(&room("a"), true);
    histories.sweep(3_000);
    assert_eq!((histories.bytes(), histories.due()), (0, None));
    assert_eq!(store(&mut histories, "a", 4_000), 2, "offsets continue while the room has members");
    histories.sweep(5_000);
    histories.set_members(&room("a"), false);
    assert!(is_clean(&histories));
}

#[test]
fn offsets_that_start_again_have_a_new_epoch() {
    let mut histories = Histories::new(usize::MAX);
    store(&mut histories, "a", 0);
    let first = epoch(&mut histories, "a");
    assert_eq!(epoch(&mut histories, "a"), first);
    histories.sweep(1_000);
    assert_eq!(store(&mut histories, "a", 2_000), 1);
    assert_ne!(epoch(&mut histories, "a"), first);
}

#[test]
fn the_least_recently_used_history_is_evicted_whole() {
    let mut histories = Histories::new(size_of(2) + 2 * size_of(1));
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
    assert_eq!((histories.contains(&room("c")), histories.take_evicted()), (false, 1));
    store(&mut histories, "d", 0);
    assert_eq!((histories.contains(&room("a")), histories.bytes(), histories.take_evicted()), (false, size_of(3), 1));
    // The only history loses its oldest messages.
    for _ in 0..3 {
        store(&mut histories, "d", 0);
    }
    assert_eq!((histories.bytes(), histories.take_evicted(), histories.by_use.len()), (size_of(5), 0, 1));
    histories.sweep(1_000);
    assert!(is_clean(&histories));
}

#[test]
fn a_new_rule_and_a_new_bound_apply_to_a_history() {
    let mut histories = Histories::new(usize::MAX);
    for elapsed in [0, 100, 200] {
        store(&mut histories, "a", elapsed);
    }
    histories.set_members(&room("a"), true);
    let position = histories.read(&room("a"), 200).unwrap().position();
    histories.set_rule(&room("a"), HistoryRule { messages: 2, age_ms: None }, 200);
    assert_eq!((histories.bytes(), histories.due()), (size_of(2), None));
    histories.set_rule(&room("a"), HistoryRule { messages: 2, age_ms: Some(100) }, 200);
    assert_eq!((histories.bytes(), histories.due()), (size_of(1), Some(300)));
    assert_eq!(histories.read(&room("a"), 200).unwrap().position(), position, "offsets continue");
    histories.set_most(0);
    assert_eq!((histories.bytes(), histories.contains(&room("a"))), (0, true));
    histories.set_most(usize::MAX);
    store(&mut histories, "a", 200);
    histories.remove(&room("a"));
    assert!(is_clean(&histories));
}

#[test]
fn an_evicted_history_of_a_room_with_members_keeps_its_epoch_and_offsets() {
    let mut histories = Histories::new(size_of(1));
    store(&mut histories, "a", 0);
    histories.set_members(&room("a"), true);
    let position = histories.read(&room("a"), 0).unwrap().position();
    store(&mut histories, "b", 0);
    assert_eq!((histories.take_evicted(), histories.bytes()), (1, size_of(1)));
    assert_eq!(histories.read(&room("a"), 0).unwrap().position(), position);
    assert_eq!(store(&mut histories, "a", 0), 2);
    assert!(!histories.contains(&room("b")));
}

#[test]
fn expired_and_removed_histories_leave_no_entries() {
    let mut histories = Histories::new(size_of(20));
    histories.open(&room("stays"), RULE);
    histories.set_members(&room("stays"), true);
    for turn in 0..1_000 {
        for name in ["stays", "a", "b"] {
            store(&mut histories, name, turn * 2_000);
        }
        histories.read(&room("a"), turn * 2_000);
        histories.sweep(turn * 2_000 + 1_000);
        assert_eq!((histories.by_use.len(), histories.by_expiry.len(), histories.bytes()), (0, 0, 0));
    }
    assert_eq!(histories.entries.len(), 1);
}

#[test]
fn saved_histories_are_restored_up_to_the_bound() {
    let mut first = Histories::new(usize::MAX);
    for name in ["a", "a", "b"] {
        store(&mut first, name, 100);
    }
    first.open(&room("empty"), RULE);
    first.set_members(&room("empty"), true);
    let mut saved = first.saved(100);
    saved.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    assert_eq!(saved.iter().map(|(room, _)| room.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let epoch_of_b = epoch(&mut first, "b");

    let mut second = Histories::new(size_of(2));
    for (room, saved) in saved {
        second.restore(room, RULE, saved, 100, 7);
    }
    assert_eq!((second.contains(&room("a")), second.bytes(), second.due()), (false, size_of(1), Some(1_007)));
    assert_eq!(epoch(&mut second, "b"), epoch_of_b);
    assert_eq!(store(&mut second, "b", 7), 2);
}
