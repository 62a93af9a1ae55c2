//! Publishers. Each keeps a number of messages in flight, or sends at fixed times without waiting. A message is complete
//! when every member has received it and its ack has arrived. Every delivery is checked: the right room, the whole
//! payload, no loss, no duplicate, in order.

use std::time::{Duration, Instant};

use crate::clients::{MessageHandler, Outgoing};
use crate::latency::LatencyHistogram;
use crate::load::Load;
use crate::protocol::{self, JOIN, Protocol, ServerMessage};
use crate::text::position;

/// The digits of the room number and of the message number in a payload: `@RRRRR@SSSSSSSSSS@…`.
const ROOM_DIGITS: usize = 5;
const NUMBER_DIGITS: usize = 10;

/// The limit of messages in flight at a fixed rate. Beyond it the run fails.
const FIXED_RATE_IN_FLIGHT_MAX: usize = 4096;

/// The bytes before the number of recipients in an ack.
const RECIPIENTS: &[u8] = br#""recipients":"#;

/// When a publisher sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PublishRate {
    /// When fewer messages than this are in flight.
    InFlight(usize),
    /// This number of messages a second. The latency of a message starts when it is due.
    PerSecond(u32),
}

/// A room of a scenario, with the indices of its connections.
#[derive(Debug, Clone)]
pub(crate) struct RoomPlan {
    pub(crate) publisher: usize,
    /// The protocol of the publisher.
    pub(crate) protocol: Protocol,
    pub(crate) members: Vec<usize>,
    /// The member that reads nothing, if any.
    pub(crate) stops_reading: Option<usize>,
}

#[derive(Debug)]
struct RoomProgress {
    plan: RoomPlan,
    topic: String,
    /// The valid numbers of recipients. Without the member that reads nothing it is one less.
    recipients: [u64; 2],
    /// The payload. Only the message number changes.
    payload: String,
    /// The deliveries of a message, and its ack.
    expected: usize,
    sent: u64,
    acked: u64,
    done: u64,
    /// The messages in flight, by their number modulo the limit.
    in_flight: Vec<InFlightMessage>,
}

#[derive(Debug, Clone, Copy)]
struct InFlightMessage {
    sent_at: Instant,
    remaining: usize,
}

/// A member's room, and the number of the next message.
#[derive(Debug, Clone, Copy)]
struct MemberState {
    room: usize,
    next: u64,
}

/// The publishers, rooms and members of a scenario.
#[derive(Debug)]
pub(crate) struct Broadcasts {
    rooms: Vec<RoomProgress>,
    /// By connection. `None` for a publisher outside its room.
    members: Vec<Option<MemberState>>,
    /// The room that a connection publishes to.
    publishes: Vec<Option<usize>>,
    /// The interval of the messages, and the time of the next.
    schedule: Option<(Duration, Instant)>,
    stopping: bool,
    delivered: u64,
    latency: LatencyHistogram,
}

/// The name of a room.
pub(crate) fn topic(room: usize) -> String {
    format!("room-{room}")
}

/// The start of a payload: its room and message number.
fn payload_prefix(room: usize, number: u64) -> String {
    format!("@{room:0ROOM_DIGITS$}@{number:0NUMBER_DIGITS$}@")
}

impl Broadcasts {
    /// Rooms with payloads of `size` bytes.
    pub(crate) fn new(plans: Vec<RoomPlan>, rate: PublishRate, size: usize) -> Self {
        let connections = plans.iter().flat_map(|plan| plan.members.iter().chain([&plan.publisher])).max();
        let connections = connections.map_or(0, |last| last + 1);
        let (mut members, mut publishes) = (vec![None; connections], vec![None; connections]);
        for (number, plan) in plans.iter().enumerate() {
            for &member in &plan.members {
                if let Some(slot) = members.get_mut(member) {
                    *slot = Some(MemberState { room: number, next: 0 });
                }
            }
            if let Some(publishes) = publishes.get_mut(plan.publisher) {
                *publishes = Some(number);
            }
        }
        let (in_flight, schedule) = match rate {
            PublishRate::InFlight(count) => (count, None),
            PublishRate::PerSecond(count) => {
                (FIXED_RATE_IN_FLIGHT_MAX, Some((Duration::from_secs(1) / count, Instant::now())))
            }
        };
        let rooms =
            plans.into_iter().enumerate().map(|(number, plan)| RoomProgress::new(number, plan, in_flight, size));
        let (rooms, latency) = (rooms.collect(), LatencyHistogram::new());
        Self { rooms, members, publishes, schedule, stopping: false, delivered: 0, latency }
    }

    /// Checks a delivery: it must be the next message of the member's room.
    fn delivery(&mut self, index: usize, text: &[u8], now: Instant, outgoing: &mut Outgoing) -> Result<(), String> {
        let wrong = |what: &str| format!("{what}: {}", String::from_utf8_lossy(text));
        let member = self.members.get_mut(index).and_then(Option::as_mut).ok_or_else(|| wrong("not a member"))?;
        let room = self.rooms.get_mut(member.room).ok_or_else(|| wrong("no such room"))?;
        if room.plan.publisher == index {
            return Err(wrong("a delivery to its publisher"));
        }
        let start = text.iter().position(|&byte| byte == b'@').ok_or_else(|| wrong("no payload"))?;
        let payload = text.get(start..start + room.payload.len()).ok_or_else(|| wrong("a truncated payload"))?;
        let (head, number, tail) = parts(payload).ok_or_else(|| wrong("a truncated payload"))?;
        if digits(number) != Some(member.next) {
            return Err(wrong(&format!("lost, duplicate or out of order; message {} was next", member.next)));
        }
        if parts(room.payload.as_bytes()).is_none_or(|(first, _, last)| first != head || last != tail) {
            return Err(wrong("not the payload that was sent"));
        }
        let number = member.next;
        member.next += 1;
        self.delivered += 1;
        if let Some(sent_at) = room.arrived(number) {
            self.latency.record_since(sent_at, now);
        }
        self.continue_room(index, number, now, outgoing);
        Ok(())
    }

    fn acknowledgement(
        &mut self,
        index: usize,
        (id, text): (Option<u64>, &[u8]),
        now: Instant,
        outgoing: &mut Outgoing,
    ) -> Result<(), String> {
        let wrong = |what: &str| format!("{what}: {}", String::from_utf8_lossy(text));
        let number = self.publishes.get(index).copied().flatten();
        let room = number.and_then(|number| self.rooms.get_mut(number)).ok_or_else(|| wrong("publishes nothing"))?;
        let count = position(text, RECIPIENTS).and_then(|at| protocol::number(text.get(at + RECIPIENTS.len()..)?));
        if !count.is_some_and(|count| room.recipients.contains(&count)) {
            return Err(wrong("a wrong number of recipients"));
        }
        let number = room.acked;
        if id.is_some_and(|id| id != request(number)) {
            return Err(wrong("the reply to another request"));
        }
        room.acked += 1;
        room.arrived(number);
        self.continue_room(index, number, now, outgoing);
        Ok(())
    }

    /// Counts message `number` if it is complete, and publishes the next.
    fn continue_room(&mut self, index: usize, number: u64, now: Instant, outgoing: &mut Outgoing) {
        let member = self.members.get(index).copied().flatten().map(|member| member.room);
        let room = member.or(self.publishes.get(index).copied().flatten());
        let room = room.and_then(|room| self.rooms.get_mut(room));
        if let Some(room) = room
            && room.is_done(number)
            && !self.stopping
            && self.schedule.is_none()
        {
            room.publish(now, outgoing);
        }
    }
}

/// The number of the request that publishes message `number`. Smaller numbers belong to joins.
fn request(number: u64) -> u64 {
    JOIN + 1 + number
}

/// A payload in three parts: before the message number, the number, and after it.
fn parts(payload: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (head, rest) = payload.split_at_checked(ROOM_DIGITS + 2)?;
    let (number, tail) = rest.split_at_checked(NUMBER_DIGITS)?;
    Some((head, number, tail))
}

fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0, |number, &byte| byte.is_ascii_digit().then(|| number * 10 + u64::from(byte - b'0')))
}

impl RoomProgress {
    fn new(number: usize, plan: RoomPlan, in_flight: usize, size: usize) -> Self {
        let audience = plan.members.iter().filter(|&&member| member != plan.publisher).count();
        let reading = audience - usize::from(plan.stops_reading.is_some());
        let prefix = payload_prefix(number, 0);
        let payload = format!("{prefix}{}@", "x".repeat(size.saturating_sub(prefix.len() + 1)));
        let message = InFlightMessage { sent_at: Instant::now(), remaining: 0 };
        Self {
            topic: topic(number),
            recipients: [audience, reading].map(|count| count as u64),
            payload,
            expected: reading + 1,
            plan,
            sent: 0,
            acked: 0,
            done: 0,
            in_flight: vec![message; in_flight],
        }
    }

    fn publish(&mut self, sent_at: Instant, outgoing: &mut Outgoing) {
        let number = format!("{:0NUMBER_DIGITS$}", self.sent);
        self.payload.replace_range(ROOM_DIGITS + 2..ROOM_DIGITS + 2 + NUMBER_DIGITS, &number);
        let index = self.index(self.sent);
        if let Some(slot) = self.in_flight.get_mut(index) {
            *slot = InFlightMessage { sent_at, remaining: self.expected };
        }
        let RoomPlan { publisher, protocol, .. } = self.plan;
        outgoing.text(publisher, protocol, protocol.publish(&self.topic, &self.payload, request(self.sent)).as_bytes());
        self.sent += 1;
    }

    fn index(&self, number: u64) -> usize {
        usize::try_from(number).unwrap_or(0) % self.in_flight.len().max(1)
    }

    /// Counts a delivery or an ack of message `number`. Returns its send time.
    fn arrived(&mut self, number: u64) -> Option<Instant> {
        let index = self.index(number);
        let message = self.in_flight.get_mut(index)?;
        message.remaining = message.remaining.checked_sub(1)?;
        Some(message.sent_at)
    }

    /// Whether message `number` is complete; then counts it.
    fn is_done(&mut self, number: u64) -> bool {
        let is_done = self.in_flight.get(self.index(number)).is_some_and(|message| message.remaining == 0);
        self.done += u64::from(is_done);
        is_done
    }
}

impl MessageHandler for Broadcasts {
    fn message(
        &mut self,
        index: usize,
        message: ServerMessage<'_>,
        now: Instant,
        outgoing: &mut Outgoing,
    ) -> Result<(), String> {
        match message {
            ServerMessage::Delivery(text) => self.delivery(index, text, now, outgoing),
            // The reply to a repeated join.
            ServerMessage::Reply(Some(JOIN), _) => Ok(()),
            ServerMessage::Reply(id, text) => self.acknowledgement(index, (id, text), now, outgoing),
            other => Err(format!("unexpected: {other:?}")),
        }
    }
}

impl Load for Broadcasts {
    fn start(&mut self, now: Instant, outgoing: &mut Outgoing) {
        if let Some((_, due)) = &mut self.schedule {
            *due = now;
            return;
        }
        for room in &mut self.rooms {
            for _ in 0..room.in_flight.len() {
                room.publish(now, outgoing);
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        self.schedule.filter(|_| !self.stopping).map(|(_, due)| due)
    }

    fn tick(&mut self, now: Instant, outgoing: &mut Outgoing) -> Result<(), String> {
        let Some((interval, due)) = &mut self.schedule else { return Ok(()) };
        while *due <= now && !self.stopping {
            for room in &mut self.rooms {
                if room.sent - room.done >= FIXED_RATE_IN_FLIGHT_MAX as u64 {
                    return Err(format!("more than {FIXED_RATE_IN_FLIGHT_MAX} messages in flight"));
                }
                room.publish(*due, outgoing);
            }
            *due += *interval;
        }
        Ok(())
    }

    fn stop(&mut self) {
        self.stopping = true;
    }

    fn is_settled(&self) -> bool {
        self.rooms.iter().all(|room| room.done == room.sent)
    }

    fn delivered(&self) -> u64 {
        self.delivered
    }

    fn latency(&mut self) -> &mut LatencyHistogram {
        &mut self.latency
    }

    fn verify(&self) -> Result<(), String> {
        for (index, member) in self.members.iter().enumerate() {
            let Some((member, room)) = member.and_then(|member| Some((member, self.rooms.get(member.room)?))) else {
                continue;
            };
            if room.plan.publisher != index && room.plan.stops_reading != Some(index) && member.next != room.sent {
                return Err(format!("connection {index} received {} of {} messages", member.next, room.sent));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
