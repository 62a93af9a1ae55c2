use std::sync::Arc;

use super::*;
use crate::connection::SessionTable;
use crate::connection::retained::Ledger;
use crate::connection::retained::tests::retained;
use crate::publication::Payload;
use crate::runtime::counters::Stats;

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
fn unwritten_publications_are_taken_back_in_order() {
    let ledger = Ledger::new(10_000, Arc::new(Stats::default()));
    let offer = |outbox: &mut Outbox, session: u32, text: &'static str, hold| {
        let recoverable = Recoverable { copy: Some(retained(&ledger, 0, text)) };
        let content = Content::of(Payload::text([text.as_bytes()]));
        outbox.offer(Entry::recoverable(slot(session), content, Some(recoverable)), hold);
    };
    let filled = || {
        let mut outbox = outbox(100, 100);
        offer(&mut outbox, 0, "1", None);
        deliver(&mut outbox, "reply");
        offer(&mut outbox, 1, "other", None);
        offer(&mut outbox, 0, "2", None);
        offer(&mut outbox, 0, "3", Some(Hold::Reply(1)));
        outbox
    };
    let texts = |taken: Vec<Option<Rc<Retained>>>| -> Vec<_> {
        let text = |copy: Rc<Retained>| String::from_utf8_lossy(copy.payload.bytes()).into_owned();
        taken.into_iter().map(|copy| copy.map_or("freed".into(), text)).collect()
    };
    let mut all = filled();
    assert_eq!(texts(all.take_back(slot(0), TakeBack::Unwritten)), ["1", "2", "3"]);
    assert_eq!((waiting(&all).as_str(), all.bytes), ("reply|other", 10));
    let mut held = filled();
    assert_eq!(texts(held.take_back(slot(0), TakeBack::Held)), ["3"]);
    let mut begun = filled();
    begun.advance(0, 1);
    assert_eq!(texts(begun.take_back(slot(0), TakeBack::Unwritten)), ["2", "3"], "the first reaches the client");
    let mut broken = filled();
    broken.advance(0, 1);
    assert_eq!(texts(broken.take_back(slot(0), TakeBack::Incomplete)), ["1", "2", "3"]);
    let mut closed = filled();
    closed.close();
    assert_eq!(texts(closed.take_back(slot(0), TakeBack::Held)), ["3"]);
    let mut freed = filled();
    freed.advance(1, 0);
    freed.free_copies(slot(0));
    assert_eq!(texts(freed.take_back(slot(0), TakeBack::Unwritten)), ["freed", "freed"]);
    assert_eq!(texts(freed.take_back(slot(1), TakeBack::Unwritten)), ["other"]);
}
