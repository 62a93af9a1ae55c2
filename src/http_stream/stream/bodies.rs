//! Reads request bodies, as far as the application permits.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncWrite, ReadBuf};

use super::{DeadlineKind, HttpStream, ReadStep};
use crate::http_stream::body::RemainingBody;
use crate::http_stream::exchange::Permit;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl HttpStream {
    pub(super) fn next_body(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> io::Result<ReadStep> {
        loop {
            if !self.buffer.is_empty() {
                return Ok(self.pass_body(out));
            }
            let Permit::Bytes(most) = self.exchange.permit() else { return Ok(ReadStep::Wait) };
            if self.waiting != DeadlineKind::Body {
                self.set_deadline(DeadlineKind::Body, self.context.connections.times().body);
                if std::mem::take(&mut self.expects_continue) {
                    self.interim = CONTINUE;
                }
            }
            if self.deadline.as_mut().poll(cx).is_ready() {
                self.exchange.mark_body_late();
                self.has_unread = true;
                return Ok(ReadStep::End);
            }
            if self.write_interim(cx)?.is_pending() {
                return Ok(ReadStep::Wait);
            }
            if most == 0 {
                // The body is too large; the handler detects it by the extra byte.
                return Ok(ReadStep::Wait);
            }
            match self.fill(cx)? {
                Poll::Ready(()) if self.has_ended => return Ok(ReadStep::End),
                Poll::Ready(()) => {}
                Poll::Pending => return Ok(ReadStep::Wait),
            }
        }
    }

    /// Passes on the buffered part of the body: bytes that arrived with the head or were permitted.
    fn pass_body(&mut self, out: &mut ReadBuf<'_>) -> ReadStep {
        let most = out.remaining().min(self.buffer.len());
        let ready = self.buffer.get(..most).unwrap_or_default();
        let mut data = u64::MAX;
        let Ok(taken) = self.rest.take(ready, &mut data) else {
            // The end of a malformed body is unknown: the handler receives an incomplete body.
            self.buffer = BytesMut::new();
            self.has_unread = true;
            return ReadStep::End;
        };
        out.put_slice(ready.get(..taken).unwrap_or_default());
        self.buffer.advance(taken);
        self.exchange.use_permit(u64::MAX - data);
        if self.rest == RemainingBody::Done {
            self.waiting = DeadlineKind::Nothing;
            self.exchange.mark_body_done();
        }
        ReadStep::Read
    }

    /// Writes the interim response.
    pub(super) fn write_interim(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        while !self.interim.is_empty() {
            match Pin::new(&mut self.socket).poll_write(cx, self.interim)? {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => self.interim = self.interim.get(written..).unwrap_or_default(),
            }
        }
        Ok(Poll::Ready(()))
    }
}
