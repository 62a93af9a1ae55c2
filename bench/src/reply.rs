//! Every connection sends a request, waits for its reply, and sends the next.

use std::time::Instant;

use crate::clients::{MessageHandler, Outgoing};
use crate::latency::LatencyHistogram;
use crate::load::Load;
use crate::protocol::{JOIN, Protocol, ServerMessage};

#[derive(Debug)]
struct Requester {
    /// The number of sent requests.
    sent: u64,
    sent_at: Instant,
    is_waiting: bool,
}

/// The state of all connections.
#[derive(Debug)]
pub(crate) struct ReplyLoad {
    protocol: Protocol,
    requesters: Vec<Requester>,
    stopping: bool,
    replies: u64,
    latency: LatencyHistogram,
}

impl ReplyLoad {
    pub(crate) fn new(protocol: Protocol, connections: usize) -> Self {
        let requester = || Requester { sent: 0, sent_at: Instant::now(), is_waiting: false };
        let requesters = std::iter::repeat_with(requester).take(connections).collect();
        Self { protocol, requesters, stopping: false, replies: 0, latency: LatencyHistogram::new() }
    }
}

impl Requester {
    fn send(&mut self, index: usize, protocol: Protocol, now: Instant, outgoing: &mut Outgoing) {
        self.sent += 1;
        self.sent_at = now;
        self.is_waiting = true;
        outgoing.text(index, protocol, protocol.ping(self.sent).as_bytes());
    }
}

impl MessageHandler for ReplyLoad {
    fn message(
        &mut self,
        index: usize,
        message: ServerMessage<'_>,
        now: Instant,
        outgoing: &mut Outgoing,
    ) -> Result<(), String> {
        if matches!(message, ServerMessage::Reply(Some(JOIN), _)) {
            // The reply to a repeated first request.
            return Ok(());
        }
        let wrong = || format!("not the expected reply: {message:?}");
        let requester = self.requesters.get_mut(index).ok_or_else(wrong)?;
        if !requester.is_waiting
            || !matches!(message, ServerMessage::Reply(Some(number), _) if number == requester.sent)
        {
            return Err(wrong());
        }
        requester.is_waiting = false;
        self.replies += 1;
        self.latency.record_since(requester.sent_at, now);
        if !self.stopping {
            requester.send(index, self.protocol, now, outgoing);
        }
        Ok(())
    }
}

impl Load for ReplyLoad {
    fn start(&mut self, now: Instant, outgoing: &mut Outgoing) {
        for (index, requester) in self.requesters.iter_mut().enumerate() {
            requester.send(index, self.protocol, now, outgoing);
        }
    }

    fn stop(&mut self) {
        self.stopping = true;
    }

    fn is_settled(&self) -> bool {
        self.requesters.iter().all(|requester| !requester.is_waiting)
    }

    fn delivered(&self) -> u64 {
        self.replies
    }

    fn latency(&mut self) -> &mut LatencyHistogram {
        &mut self.latency
    }

    fn verify(&self) -> Result<(), String> {
        let sent: u64 = self.requesters.iter().map(|requester| requester.sent).sum();
        if sent == self.replies { Ok(()) } else { Err(format!("{sent} requests, {} replies", self.replies)) }
    }
}
