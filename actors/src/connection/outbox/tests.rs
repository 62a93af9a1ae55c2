use super::*;

pub(super) fn frame(text: &str) -> Frame {
    Rc::new(Bytes::copy_from_slice(text.as_bytes()))
}

fn waiting(outbox: &Outbox) -> String {
    outbox.slices().map(|slice| String::from_utf8_lossy(slice).into_owned()).collect::<Vec<_>>().join("|")
}

pub(super) fn deliver(outbox: &mut Outbox, text: &str) -> Offer {
    outbox.offer(frame(text), None)
}

pub(super) fn outbox(bytes: usize, frames: usize) -> Outbox {
    Outbox::new(OutboxCapacity { bytes, frames })
}

#[test]
fn frames_leave_in_order_and_in_parts() {
    let mut outbox = outbox(100, 100);
    for text in ["abc", "de", "f"] {
        assert_eq!(deliver(&mut outbox, text), Offer::Queued);
    }
    outbox.advance(4);
    assert_eq!(waiting(&outbox), "e|f");
    assert_eq!(outbox.bytes(), 2);
    outbox.advance(2);
    assert!(outbox.is_empty());
    assert_eq!(outbox.bytes(), 0);
}

#[test]
fn an_empty_queue_releases_its_memory() {
    let mut outbox = outbox(100, 100);
    deliver(&mut outbox, "abc");
    assert_eq!((outbox.release_idle_memory(), waiting(&outbox).as_str()), (false, "abc"));
    outbox.advance(3);
    assert!(outbox.release_idle_memory());
    assert_eq!(outbox.ready.capacity(), 0);
}

#[test]
fn frames_are_forwarded_whole() {
    let mut outbox = outbox(10, 100);
    deliver(&mut outbox, "12345");
    deliver(&mut outbox, "6789");
    assert_eq!(outbox.take(), Some((frame("12345"), None)));
    assert_eq!((waiting(&outbox).as_str(), outbox.bytes()), ("6789", 4));
    assert_eq!((outbox.take(), outbox.take()), (Some((frame("6789"), None)), None));
    assert_eq!(outbox.bytes(), 0);
}

#[test]
fn an_overflow_keeps_only_a_partly_written_frame() {
    let mut outbox = outbox(10, 100);
    deliver(&mut outbox, "12345");
    deliver(&mut outbox, "6789");
    outbox.advance(2);
    assert_eq!(deliver(&mut outbox, "abc"), Offer::Overflowed { dropped: 2 });
    assert_eq!(waiting(&outbox), "345");
    assert_eq!(deliver(&mut outbox, "x"), Offer::Closed);
}

#[test]
fn the_number_of_frames_is_bounded_too_and_one_large_frame_always_fits() {
    let mut outbox = outbox(10, 2);
    assert_eq!(deliver(&mut outbox, "a frame of more than ten bytes"), Offer::Queued);
    assert_eq!(deliver(&mut outbox, "x"), Offer::Overflowed { dropped: 2 });

    let mut outbox = self::outbox(1000, 2);
    deliver(&mut outbox, "1");
    deliver(&mut outbox, "2");
    assert_eq!(deliver(&mut outbox, "3"), Offer::Overflowed { dropped: 3 });
}

#[test]
fn an_outbox_below_half_takes_any_frame() {
    let mut outbox = outbox(10, 6);
    for (text, is_under_half) in [("1", true), ("234", true), ("a long one", false)] {
        assert_eq!(deliver(&mut outbox, text), Offer::Queued);
        assert_eq!(outbox.is_under_half(), is_under_half);
    }
    assert_eq!(deliver(&mut outbox, "x"), Offer::Overflowed { dropped: 4 });

    let mut frames = self::outbox(1_000, 6);
    for is_under_half in [true, true, false] {
        deliver(&mut frames, "x");
        assert_eq!(frames.is_under_half(), is_under_half);
    }
    let mut one = self::outbox(1_000, 1);
    assert!(one.is_under_half());
    deliver(&mut one, "x");
    assert!(!one.is_under_half());
}

#[test]
fn a_held_frame_waits_only_for_its_reply() {
    let mut outbox = outbox(100, 100);
    outbox.offer(frame("new room"), Some(7));
    outbox.offer(frame("newer room"), Some(8));
    deliver(&mut outbox, "old room");
    deliver(&mut outbox, "answer 7");
    outbox.release(7);
    assert_eq!(waiting(&outbox), "old room|answer 7|new room");
    outbox.release(8);
    assert_eq!(waiting(&outbox), "old room|answer 7|new room|newer room");
}

#[test]
fn recall_drops_frames_except_a_partly_written_one() {
    let mut outbox = Outbox::new(OutboxCapacity { bytes: 100, frames: 9 });
    for text in ["one", "two", "three"] {
        deliver(&mut outbox, text);
    }
    outbox.offer(frame("four"), Some(1));
    outbox.offer(frame("five"), Some(1));
    outbox.advance(1);
    outbox.recall(&mut |frame| [&b"one"[..], b"three", b"four"].contains(&&frame[..]));
    assert_eq!((waiting(&outbox).as_str(), outbox.bytes()), ("ne|two", 9));
    outbox.advance(5);
    outbox.release(1);
    assert_eq!((waiting(&outbox).as_str(), outbox.bytes()), ("five", 4));
    outbox.recall(&mut |_| true);
    assert_eq!((outbox.is_empty(), outbox.bytes()), (true, 0));
}

#[test]
fn a_closed_outbox_drops_frames_that_wait_for_a_reply() {
    let mut outbox = outbox(100, 100);
    deliver(&mut outbox, "ready");
    outbox.offer(frame("live"), Some(1));
    outbox.offer(frame("wanted"), Some(1));
    outbox.recall_held(&mut |held| &held[..] != b"live");
    outbox.close();
    assert_eq!((waiting(&outbox).as_str(), outbox.bytes()), ("ready", 5));
    assert_eq!(deliver(&mut outbox, "late"), Offer::Closed);
}
