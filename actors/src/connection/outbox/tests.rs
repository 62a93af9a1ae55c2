use super::*;
use crate::connection::SessionTable;
use crate::model::ids::RoomName;
use crate::publication::Payload;

/// An entry of the session number `session`.
fn entry_of(session: u32, text: &str) -> Entry {
    Entry::new(SessionTable::addr_of(session).slot, Content::of(Payload::text([text.as_bytes()])))
}

fn slot(session: u32) -> SlotId {
    SessionTable::addr_of(session).slot
}

fn waiting(outbox: &Outbox) -> String {
    let messages = outbox.messages().map(|(_, message)| String::from_utf8_lossy(message).into_owned());
    messages.collect::<Vec<_>>().join("|")
}

pub(super) fn deliver(outbox: &mut Outbox, text: &str) -> Offer {
    outbox.offer(entry_of(0, text), None)
}

pub(super) fn outbox(bytes: usize, entries: usize) -> Outbox {
    Outbox::new(OutboxCapacity { bytes, entries })
}

#[test]
fn messages_leave_in_order_and_in_parts() {
    let mut outbox = outbox(100, 100);
    for text in ["abc", "de", "f"] {
        assert_eq!(deliver(&mut outbox, text), Offer::Ready);
    }
    outbox.advance(1, 3);
    assert_eq!((waiting(&outbox).as_str(), outbox.begun(), outbox.bytes), ("de|f", 3, 3));
    outbox.advance(2, 0);
    assert_eq!((outbox.is_empty(), outbox.begun(), outbox.bytes), (true, 0, 0));
}

#[test]
fn an_entry_of_several_messages_is_written_message_by_message() {
    let mut outbox = outbox(100, 100);
    let packet = Payload::packet([&b"text"[..]], &["one".into(), "two".into()]);
    outbox.offer(Entry::of_connection(packet), None);
    deliver(&mut outbox, "next");
    assert_eq!(waiting(&outbox), "text|one|two|next");
    outbox.advance(1, 0);
    outbox.advance(0, 2);
    assert_eq!((waiting(&outbox).as_str(), outbox.begun(), outbox.bytes), ("one|two|next", 2, 14));
    // The rest of the packet stays, so that the client can read it.
    assert_eq!(outbox.overflow(), Offer::Overflowed { dropped: 1 });
    assert_eq!(waiting(&outbox), "one|two");
    outbox.advance(2, 0);
    assert_eq!((outbox.is_empty(), outbox.bytes), (true, 0));
}

#[test]
fn an_empty_queue_releases_its_memory() {
    let mut outbox = outbox(100, 100);
    deliver(&mut outbox, "abc");
    assert_eq!((outbox.release_idle_memory(), waiting(&outbox).as_str()), (false, "abc"));
    outbox.advance(1, 0);
    assert!(outbox.release_idle_memory());
    assert_eq!(outbox.ready.capacity(), 0);
}

#[test]
fn an_overflow_keeps_only_a_partly_written_entry() {
    let mut outbox = outbox(10, 100);
    deliver(&mut outbox, "12345");
    deliver(&mut outbox, "6789");
    outbox.advance(0, 2);
    assert_eq!(deliver(&mut outbox, "abc"), Offer::Overflowed { dropped: 2 });
    assert_eq!((waiting(&outbox).as_str(), outbox.begun()), ("12345", 2));
    assert_eq!(deliver(&mut outbox, "x"), Offer::Closed);
}

#[test]
fn the_number_of_entries_is_bounded_too_and_one_large_entry_always_fits() {
    let mut outbox = outbox(10, 2);
    assert_eq!(deliver(&mut outbox, "a text of more than ten bytes"), Offer::Ready);
    assert_eq!(deliver(&mut outbox, "x"), Offer::Overflowed { dropped: 2 });

    let mut outbox = self::outbox(1000, 2);
    deliver(&mut outbox, "1");
    deliver(&mut outbox, "2");
    assert_eq!(deliver(&mut outbox, "3"), Offer::Overflowed { dropped: 3 });
}

#[test]
fn an_outbox_below_half_takes_any_entry() {
    let mut outbox = outbox(10, 6);
    for (text, is_under_half) in [("1", true), ("234", true), ("a long one", false)] {
        assert_eq!(deliver(&mut outbox, text), Offer::Ready);
        assert_eq!(outbox.is_under_half(), is_under_half);
    }
    assert_eq!(deliver(&mut outbox, "x"), Offer::Overflowed { dropped: 4 });

    let mut entries = self::outbox(1_000, 6);
    for is_under_half in [true, true, false] {
        deliver(&mut entries, "x");
        assert_eq!(entries.is_under_half(), is_under_half);
    }
    let mut one = self::outbox(1_000, 1);
    assert!(one.is_under_half());
    deliver(&mut one, "x");
    assert!(!one.is_under_half());
}

#[test]
fn a_held_entry_waits_only_for_its_own_session_and_reply() {
    let mut outbox = outbox(100, 100);
    assert_eq!(outbox.offer(entry_of(0, "new room"), Some(Hold::Reply(7))), Offer::Held);
    outbox.offer(entry_of(0, "newer room"), Some(Hold::Reply(8)));
    outbox.offer(entry_of(1, "other session"), Some(Hold::Reply(7)));
    deliver(&mut outbox, "old room");
    deliver(&mut outbox, "answer 7");
    outbox.release_held(slot(0), Hold::Reply(7), None);
    assert_eq!(waiting(&outbox), "old room|answer 7|new room");
    outbox.release_held(slot(0), Hold::Reply(8), Some(Hold::Start));
    outbox.release_held(slot(1), Hold::Reply(7), None);
    assert_eq!(waiting(&outbox), "old room|answer 7|new room|other session");
    outbox.release_held(slot(0), Hold::Start, None);
    assert_eq!(waiting(&outbox), "old room|answer 7|new room|other session|newer room");
}

#[test]
fn the_entries_of_a_session_are_removed_except_a_partly_written_one() {
    let mut outbox = outbox(100, 9);
    for (session, text) in [(0, "one"), (1, "two"), (0, "three")] {
        outbox.offer(entry_of(session, text), None);
    }
    outbox.offer(entry_of(0, "four"), Some(Hold::Reply(1)));
    outbox.offer(entry_of(1, "five"), Some(Hold::Reply(1)));
    outbox.advance(0, 1);
    outbox.remove_session(slot(0));
    assert_eq!((waiting(&outbox).as_str(), outbox.begun(), outbox.bytes), ("one|two", 1, 10));
    outbox.offer(entry_of(1, "six"), Some(Hold::Start));
    outbox.remove_behind_replies(slot(1));
    assert_eq!((outbox.held.len(), outbox.bytes), (1, 9));
    outbox.remove_held(slot(1));
    assert_eq!((waiting(&outbox).as_str(), outbox.bytes), ("one|two", 6));
    assert_eq!(outbox.share(slot(1)), OutboxCapacity { bytes: 3, entries: 1 });
}

#[test]
fn a_closed_outbox_releases_nothing() {
    let mut outbox = outbox(100, 100);
    deliver(&mut outbox, "ready");
    outbox.offer(entry_of(0, "held"), Some(Hold::Reply(1)));
    outbox.close();
    outbox.release_held(slot(0), Hold::Reply(1), None);
    assert_eq!(waiting(&outbox), "ready");
    assert_eq!(deliver(&mut outbox, "late"), Offer::Closed);
}

#[test]
fn unwritten_chat_messages_are_taken_back_and_the_first_of_each_room_is_returned() {
    let offer = |outbox: &mut Outbox, session: u32, room: &str, number: u64, hold| {
        let payload = Payload::text([number.to_string().as_bytes()]);
        let room = RoomName::parse(room, "room").unwrap();
        let content = Content::published(payload, Origin { room, number, message: number % 10 });
        outbox.offer(Entry::new(slot(session), content), hold);
    };
    let filled = || {
        let mut outbox = outbox(100, 100);
        offer(&mut outbox, 0, "a", 11, None);
        deliver(&mut outbox, "reply");
        offer(&mut outbox, 1, "a", 12, None);
        offer(&mut outbox, 0, "b", 20, None);
        offer(&mut outbox, 0, "a", 12, None);
        offer(&mut outbox, 0, "b", 21, Some(Hold::Reply(1)));
        outbox
    };
    let first = |taken: Vec<Unwritten>| -> Vec<_> {
        taken.into_iter().map(|first| format!("{} {} {}", first.room, first.number, first.message)).collect()
    };
    let mut all = filled();
    assert_eq!(first(all.take_back(slot(0), TakeBack::Unwritten)), ["a 11 1", "b 21 1"]);
    assert_eq!((waiting(&all).as_str(), all.bytes), ("reply|12|20", 9), "20 is no message of a chat");
    let mut held = filled();
    assert_eq!(first(held.take_back(slot(0), TakeBack::Held)), ["b 21 1"]);
    let mut begun = filled();
    begun.advance(0, 1);
    assert_eq!(first(begun.take_back(slot(0), TakeBack::Unwritten)), ["a 12 2", "b 21 1"], "the first is written");
    let mut broken = filled();
    broken.advance(0, 1);
    assert_eq!(first(broken.take_back(slot(0), TakeBack::Incomplete)), ["a 11 1", "b 21 1"]);
    let mut closed = filled();
    closed.close();
    assert_eq!(first(closed.take_back(slot(0), TakeBack::Held)), ["b 21 1"]);
}
