//! Frames the messages of an outbox for one write. Small messages are copied behind their headers. Large ones are written
//! from where they are, because a copy would cost more than another slice.

use std::cell::RefCell;
use std::io::{self, IoSlice};

use hubbub_actors::connection::outbox::Outbox;
use hubbub_actors::publication::{FRAME_HEADER_MAX, FrameHeader};

/// Largest message that is copied, bytes.
const COPIED_MAX: usize = 2_048;

/// Headers and copied messages of one write, bytes.
const COPIES: usize = 16_384;

/// Large messages of one write.
const LARGE: usize = 16;

thread_local! {
    /// A worker's buffer for headers and copied messages.
    static COPIED: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(COPIES));
}

/// Writes the first messages of `outbox` with one call of `write`, and records what was written. Returns the value of the
/// outbox's mark if its frame is written completely.
///
/// # Errors
/// Those of `write`.
pub(super) fn write_messages(
    outbox: &mut Outbox,
    write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>,
) -> io::Result<Option<u64>> {
    let (messages, begun) = COPIED.with_borrow_mut(|copied| write_framed(outbox, copied, write))?;
    Ok(outbox.advance(messages, begun))
}

/// Returns the messages that are written completely, and the bytes of the next one that are written.
fn write_framed(
    outbox: &Outbox,
    copied: &mut Vec<u8>,
    write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>,
) -> io::Result<(usize, usize)> {
    copied.clear();
    // Large messages, each with its position between the copied bytes.
    let mut large: [(usize, &[u8]); LARGE] = [(0, &[]); LARGE];
    let (mut messages, mut count, mut begun) = (0, 0, outbox.begun());
    for (kind, message) in outbox.messages() {
        if count == LARGE || copied.len() + FRAME_HEADER_MAX + COPIED_MAX > COPIES {
            break;
        }
        let header = FrameHeader::new(kind, message.len());
        copied.extend_from_slice(header.get(begun..).unwrap_or_default());
        let message = message.get(begun.saturating_sub(header.len())..).unwrap_or_default();
        (messages, begun) = (messages + 1, 0);
        if message.len() <= COPIED_MAX {
            copied.extend_from_slice(message);
        } else {
            large[count] = (copied.len(), message);
            count += 1;
        }
    }
    if count == 0 {
        let written = write(&[IoSlice::new(copied)])?;
        // Usually the kernel takes everything.
        return Ok(if written == copied.len() { (messages, 0) } else { progress(outbox, written) });
    }
    let mut slices = [IoSlice::new(&[]); 2 * LARGE + 1];
    let mut from = 0;
    for (pair, &(at, message)) in slices.chunks_exact_mut(2).zip(&large[..count]) {
        pair.copy_from_slice(&[IoSlice::new(&copied[from..at]), IoSlice::new(message)]);
        from = at;
    }
    slices[2 * count] = IoSlice::new(&copied[from..]);
    Ok(progress(outbox, write(&slices[..=2 * count])?))
}

/// The messages that `written` bytes complete, and the bytes of the next one that are written, its header included.
fn progress(outbox: &Outbox, written: usize) -> (usize, usize) {
    let mut left = outbox.begun() + written;
    let mut messages = 0;
    for (kind, message) in outbox.messages() {
        let length = FrameHeader::new(kind, message.len()).len() + message.len();
        if left < length {
            break;
        }
        left -= length;
        messages += 1;
    }
    (messages, left)
}

#[cfg(test)]
mod tests {
    use hubbub_actors::connection::outbox::{Entry, OutboxCapacity};
    use hubbub_actors::publication::Payload;

    use super::*;
    use crate::codec::frame;

    /// Payloads around each bound, with attachments, and more of them than one write takes.
    fn payloads() -> Vec<Payload> {
        let sizes = [0, 1, 125, 126, COPIED_MAX, COPIED_MAX + 1, 0xFFFF, 0x1_0000];
        let text = |size: usize| Payload::text([&vec![b'x'; size][..]]);
        let packet = |size: usize| Payload::packet([&b"packet"[..]], &[vec![7; size].into(), vec![8; 3].into()]);
        let few = sizes.iter().flat_map(|&size| [text(size), packet(size)]);
        few.chain((0..100).map(|_| text(300))).chain((0..20).map(|_| text(COPIED_MAX + 1))).collect()
    }

    /// Everything that is written when each call takes at most `most` bytes.
    fn written(most: usize) -> Vec<u8> {
        let mut outbox = Outbox::new(OutboxCapacity { bytes: 1 << 30, entries: 1_000 });
        for payload in payloads() {
            outbox.offer(Entry::of_connection(payload), None);
        }
        let mut all = Vec::new();
        while !outbox.is_empty() {
            let marked = write_messages(&mut outbox, |slices| {
                let bytes = slices.iter().flat_map(|slice| slice.iter().copied()).take(most);
                let before = all.len();
                all.extend(bytes);
                Ok(all.len() - before)
            });
            assert!(marked.is_ok_and(|marked| marked.is_none()));
        }
        all
    }

    #[test]
    fn messages_are_framed_whole_in_order_however_much_a_write_takes() {
        let wanted: Vec<u8> = payloads().iter().flat_map(frame::encode).collect();
        for most in [1, 2, 3, 7, 1_000, COPIED_MAX, COPIES, usize::MAX] {
            assert!(written(most) == wanted, "at most {most} bytes a write");
        }
    }

    #[test]
    fn small_messages_share_a_slice_and_large_ones_are_not_copied() {
        let mut outbox = Outbox::new(OutboxCapacity { bytes: 1 << 30, entries: 1_000 });
        let large = Payload::text([&[b'x'; COPIED_MAX + 1][..]]);
        for payload in
            [Payload::text([&b"a"[..]]), Payload::text([&b"b"[..]]), large.clone(), Payload::text([&b"c"[..]])]
        {
            outbox.offer(Entry::of_connection(payload), None);
        }
        let _ = write_messages(&mut outbox, |slices| {
            let sizes: Vec<_> = slices.iter().map(|slice| slice.len()).collect();
            assert_eq!(sizes, [3 + 3 + 4, COPIED_MAX + 1, 3]);
            assert_eq!(slices[1].as_ptr(), large.bytes().as_ptr());
            Ok(sizes.iter().sum())
        });
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_failed_write_changes_nothing() {
        let mut outbox = Outbox::new(OutboxCapacity { bytes: 100, entries: 10 });
        outbox.offer(Entry::of_connection(Payload::text([&b"abc"[..]])), None);
        assert!(write_messages(&mut outbox, |_| Ok(2)).is_ok());
        assert!(write_messages(&mut outbox, |_| Err(io::ErrorKind::WouldBlock.into())).is_err());
        assert_eq!((outbox.begun(), outbox.messages().count()), (2, 1));
    }
}
