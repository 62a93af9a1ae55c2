//! Closes a connection while its client may still be sending: closes the sending side, reads and drops data for a
//! bounded time and size, then closes the socket. Closing a socket with unread bytes resets it, and the reset can
//! destroy a response that the client has not read yet (RFC 9112 section 9.6).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_rt::net::TcpStream;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::time::{Sleep, sleep};

/// Longest time that a closing connection is read.
pub const LINGER_TIME: Duration = Duration::from_secs(2);

/// Most bytes that are read and dropped.
pub const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// Most lingering connections of the hub; any further one is closed immediately.
pub const LINGERING_MAX: usize = 256;

/// Bytes read at once.
const READ_SIZE: usize = 65_536;

/// Bytes read in one turn of the worker, before other tasks run.
const TURN_BYTES: usize = 262_144;

/// Counts the lingering connections.
#[derive(Debug, Clone, Default)]
pub struct Lingering(Arc<AtomicUsize>);

impl Lingering {
    /// A slot for one more; `None` when [`LINGERING_MAX`] connections linger.
    fn take_slot(&self) -> Option<LingerSlot> {
        let taken =
            self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| (now < LINGERING_MAX).then_some(now + 1));
        taken.ok().map(|_| LingerSlot(self.clone()))
    }

    /// Number of lingering connections.
    pub fn now(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

#[derive(Debug)]
struct LingerSlot(Lingering);

impl Drop for LingerSlot {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A lingering connection.
#[derive(Debug)]
pub(super) struct Linger {
    /// The deadline; `None` closes the connection immediately.
    until: Option<(Pin<Box<Sleep>>, LingerSlot)>,
    left: usize,
}

impl Linger {
    /// Begins to linger, if a slot is free. The sending side must be closed already.
    pub(super) fn begin(lingering: &Lingering) -> Self {
        let until = lingering.take_slot().map(|slot| (Box::pin(sleep(LINGER_TIME)), slot));
        Self { until, left: LINGER_BYTES }
    }

    /// Ready when the socket can be closed.
    pub(super) fn poll(&mut self, socket: &TcpStream, cx: &mut Context<'_>) -> Poll<()> {
        let Some((time, _)) = &mut self.until else { return Poll::Ready(()) };
        if time.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let turn_ends = self.left.saturating_sub(TURN_BYTES);
        while self.left > turn_ends {
            if ready!(socket.poll_read_ready(cx)).is_err() {
                return Poll::Ready(());
            }
            match read_some(socket) {
                Ok(0) => return Poll::Ready(()),
                Ok(read) => self.left = self.left.saturating_sub(read),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(()),
            }
        }
        if self.left == 0 {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Drops some bytes, on Linux without copying them (tcp(7), `MSG_TRUNC`).
fn read_some(socket: &TcpStream) -> io::Result<usize> {
    const FLAGS: i32 = if cfg!(target_os = "linux") { 0x20 } else { 0 };
    let mut dropped = [std::mem::MaybeUninit::uninit(); READ_SIZE];
    socket.try_io(Interest::READABLE, || SockRef::from(socket).recv_with_flags(&mut dropped, FLAGS))
}

/// Lingers on a socket that no HTTP service owns, then closes it.
pub async fn close(socket: TcpStream, lingering: &Lingering) {
    let mut linger = Linger::begin(lingering);
    std::future::poll_fn(|cx| linger.poll(&socket, cx)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_lingering_connections_is_bounded() {
        let lingering = Lingering::default();
        let all: Vec<_> = (0..LINGERING_MAX).map(|_| lingering.take_slot().unwrap()).collect();
        assert!(lingering.take_slot().is_none());
        drop(all);
        assert_eq!(lingering.now(), 0);
        assert!(lingering.take_slot().is_some());
    }
}
