use super::*;
use crate::model::ids::EventName;
use crate::publication::Event;

const RULE: HistoryRule = HistoryRule { messages: 10, age_ms: Some(1_000) };

/// What a history of so many messages of these tests is counted as.
const fn of(messages: usize) -> usize {
    512 + messages * (512 + 2 * (100 + 1))
}

fn room(name: &str) -> RoomName {
    RoomName::parse(name, "room").unwrap()
}

fn message(timestamp: i64) -> Publication {
    let (name, data) = (EventName::of_hub("x"), vec![b'1'; 100].into());
    Publication::new(Event { name, topic: None, data, timestamp, offset: None })
}

/// Says something where nobody need be; its offset.
fn say(archive: &mut Archive, name: &str, elapsed: i64) -> u64 {
    archive.open(&room(name), RULE);
    archive.keep(&room(name), message(elapsed), elapsed).offset().unwrap()
}

fn epoch(archive: &mut Archive, name: &str) -> String {
    archive.open(&room(name), RULE);
    archive.look(&room(name), 0).map(|history| history.position().epoch).unwrap_or_default()
}

/// That nothing is left of what there was.
fn is_clean(archive: &Archive) -> bool {
    archive.bytes == 0 && archive.histories.is_empty() && archive.untouched.is_empty() && archive.aging.is_empty()
}

#[test]
fn a_history_lasts_as_long_as_its_room_has_a_member_or_a_message() {
    let mut archive = Archive::new(usize::MAX);
    archive.open(&room("a"), RULE);
    archive.inhabit(&room("a"));
    archive.desert(&room("a"));
    assert!(is_clean(&archive));
    assert_eq!((say(&mut archive, "a", 0), say(&mut archive, "a", 500)), (1, 2));
    archive.inhabit(&room("a"));
    archive.desert(&room("a"));
    archive.sweep(1_499);
    assert!(archive.holds(&room("a")));
    archive.sweep(1_500);
    assert!(is_clean(&archive));

    say(&mut archive, "a", 2_000);
    archive.inhabit(&room("a"));
    archive.sweep(3_000);
    assert_eq!((archive.bytes(), archive.due()), (0, None));
    assert_eq!(say(&mut archive, "a", 4_000), 2, "the numbering goes on while somebody is there");
    archive.sweep(5_000);
    archive.desert(&room("a"));
    assert!(is_clean(&archive));
}

#[test]
fn a_numbering_that_begins_again_has_another_epoch() {
    let mut archive = Archive::new(usize::MAX);
    say(&mut archive, "a", 0);
    let first = epoch(&mut archive, "a");
    assert_eq!(epoch(&mut archive, "a"), first);
    archive.sweep(1_000);
    assert_eq!(say(&mut archive, "a", 2_000), 1);
    assert_ne!(epoch(&mut archive, "a"), first);
}

#[test]
fn the_history_that_was_not_touched_for_longest_goes_whole() {
    let mut archive = Archive::new(of(2) + 2 * of(1));
    for name in ["a", "a", "b", "c"] {
        say(&mut archive, name, 0);
    }
    // Touched without a word.
    archive.look(&room("a"), 0);
    assert_eq!((archive.bytes(), archive.take_evicted()), (of(2) + 2 * of(1), 0));
    say(&mut archive, "d", 0);
    assert_eq!((archive.holds(&room("b")), archive.bytes(), archive.take_evicted()), (false, of(2) + 2 * of(1), 1));
    say(&mut archive, "d", 0);
    assert_eq!((archive.holds(&room("c")), archive.take_evicted()), (false, 1));
    say(&mut archive, "d", 0);
    assert_eq!((archive.holds(&room("a")), archive.bytes(), archive.take_evicted()), (false, of(3), 1));
    // Alone, it gives up its oldest.
    for _ in 0..3 {
        say(&mut archive, "d", 0);
    }
    assert_eq!((archive.bytes(), archive.take_evicted(), archive.untouched.len()), (of(5), 0, 1));
    archive.sweep(1_000);
    assert!(is_clean(&archive));
}

#[test]
fn a_history_follows_another_rule_and_another_bound() {
    let mut archive = Archive::new(usize::MAX);
    for elapsed in [0, 100, 200] {
        say(&mut archive, "a", elapsed);
    }
    archive.inhabit(&room("a"));
    let position = archive.look(&room("a"), 200).unwrap().position();
    archive.set_rule(&room("a"), HistoryRule { messages: 2, age_ms: None }, 200);
    assert_eq!((archive.bytes(), archive.due()), (of(2), None));
    archive.set_rule(&room("a"), HistoryRule { messages: 2, age_ms: Some(100) }, 200);
    assert_eq!((archive.bytes(), archive.due()), (of(1), Some(300)));
    assert_eq!(archive.look(&room("a"), 200).unwrap().position(), position, "the numbering goes on");
    archive.set_most(0);
    assert_eq!((archive.bytes(), archive.holds(&room("a"))), (0, true));
    archive.set_most(usize::MAX);
    say(&mut archive, "a", 200);
    archive.remove(&room("a"));
    assert!(is_clean(&archive));
}

#[test]
fn a_history_that_goes_while_somebody_is_there_keeps_its_numbering() {
    let mut archive = Archive::new(of(1));
    say(&mut archive, "a", 0);
    archive.inhabit(&room("a"));
    let position = archive.look(&room("a"), 0).unwrap().position();
    say(&mut archive, "b", 0);
    assert_eq!((archive.take_evicted(), archive.bytes()), (1, of(1)));
    assert_eq!(archive.look(&room("a"), 0).unwrap().position(), position);
    assert_eq!(say(&mut archive, "a", 0), 2);
    assert!(!archive.holds(&room("b")));
}

#[test]
fn what_comes_and_goes_leaves_nothing_behind() {
    let mut archive = Archive::new(of(20));
    archive.open(&room("stays"), RULE);
    archive.inhabit(&room("stays"));
    for turn in 0..1_000 {
        for name in ["stays", "a", "b"] {
            say(&mut archive, name, turn * 2_000);
        }
        archive.look(&room("a"), turn * 2_000);
        archive.sweep(turn * 2_000 + 1_000);
        assert_eq!((archive.untouched.len(), archive.aging.len(), archive.bytes()), (0, 0, 0));
    }
    assert_eq!(archive.histories.len(), 1);
}

#[test]
fn what_was_saved_is_put_back_as_far_as_there_is_room() {
    let mut first = Archive::new(usize::MAX);
    for name in ["a", "a", "b"] {
        say(&mut first, name, 100);
    }
    first.open(&room("nothing said"), RULE);
    first.inhabit(&room("nothing said"));
    let mut saved = first.saved(100);
    saved.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    assert_eq!(saved.iter().map(|(room, _)| room.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let epoch_of_b = epoch(&mut first, "b");

    let mut second = Archive::new(of(2));
    for (room, saved) in saved {
        second.restore(room, RULE, saved, 100, 7);
    }
    assert_eq!((second.holds(&room("a")), second.bytes(), second.due()), (false, of(1), Some(1_007)));
    assert_eq!(epoch(&mut second, "b"), epoch_of_b);
    assert_eq!(say(&mut second, "b", 7), 2);
}
