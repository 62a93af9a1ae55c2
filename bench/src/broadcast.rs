//! Publishers: each keeps a number of messages in flight, or sends at fixed times whatever came of the ones before. A
//! message is done when every member has it and its acknowledgement came. Every delivery is checked: the right room,
//! whole, none lost, none doubled, in order.

use std::time::{Duration, Instant};

use crate::dialect::{self, Dialect, Heard, JOIN, position};
use crate::latency::Histogram;
use crate::load::Load;
use crate::swarm::{Driver, Mail};

/// The digits of the room's number and of the message's in a payload: `@RRRRR@SSSSSSSSSS@…`.
const ROOM_DIGITS: usize = 5;
const NUMBER_DIGITS: usize = 10;

/// Messages that may be in flight where they are sent at fixed times, before the run has failed.
const BEHIND_MAX: usize = 4096;

/// What an acknowledgement says before the number of those it went to.
const RECIPIENTS: &[u8] = br#""recipients":"#;

/// When a publisher sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// When fewer than so many messages are in flight.
    InFlight(usize),
    /// So many a second. The time of a message counts from when it should have been sent.
    EachSecond(u32),
}

/// A room as a scenario has it, by the numbers of connections.
#[derive(Debug, Clone)]
pub(crate) struct Cast {
    pub(crate) publisher: usize,
    /// What the publisher speaks.
    pub(crate) dialect: Dialect,
    pub(crate) members: Vec<usize>,
    /// The member that reads nothing, if there is one.
    pub(crate) deaf: Option<usize>,
}

#[derive(Debug)]
struct Room {
    cast: Cast,
    topic: String,
    /// What its acknowledgements must say: without the deaf member, it may be one less.
    recipients: [u64; 2],
    /// The payload, but for the message's number.
    payload: String,
    /// Answers and deliveries that one message brings.
    echoes: usize,
    sent: u64,
    acked: u64,
    done: u64,
    /// The messages in flight, by their number modulo how many there may be.
    flights: Vec<Flight>,
}

#[derive(Debug, Clone, Copy)]
struct Flight {
    sent_at: Instant,
    left: usize,
}

/// A member: its room and the number of the message it waits for.
#[derive(Debug, Clone, Copy)]
struct Member {
    room: usize,
    next: u64,
}

/// The publishers, rooms and members of a scenario.
#[derive(Debug)]
pub(crate) struct Broadcasts {
    rooms: Vec<Room>,
    /// By connection; `None` is a publisher outside its room.
    members: Vec<Option<Member>>,
    /// The room that a connection publishes to.
    publishes: Vec<Option<usize>>,
    /// Between two messages, and when the next is due.
    schedule: Option<(Duration, Instant)>,
    stopping: bool,
    delivered: u64,
    latency: Histogram,
}

/// The name of room number `room`.
pub(crate) fn topic(room: usize) -> String {
    format!("room-{room}")
}

/// A payload's beginning, which says what it is.
fn mark(room: usize, number: u64) -> String {
    format!("@{room:0ROOM_DIGITS$}@{number:0NUMBER_DIGITS$}@")
}

impl Broadcasts {
    /// Rooms whose messages have payloads of `size` bytes.
    pub(crate) fn new(casts: Vec<Cast>, pace: Pace, size: usize) -> Self {
        let connections = casts.iter().flat_map(|cast| cast.members.iter().chain([&cast.publisher])).max();
        let connections = connections.map_or(0, |last| last + 1);
        let (mut seats, mut publishes) = (vec![None; connections], vec![None; connections]);
        for (number, cast) in casts.iter().enumerate() {
            for &member in &cast.members {
                if let Some(seat) = seats.get_mut(member) {
                    *seat = Some(Member { room: number, next: 0 });
                }
            }
            if let Some(publishes) = publishes.get_mut(cast.publisher) {
                *publishes = Some(number);
            }
        }
        let (in_flight, schedule) = match pace {
            Pace::InFlight(count) => (count, None),
            Pace::EachSecond(count) => (BEHIND_MAX, Some((Duration::from_secs(1) / count, Instant::now()))),
        };
        let rooms = casts.into_iter().enumerate().map(|(number, cast)| Room::new(number, cast, in_flight, size));
        let (rooms, latency) = (rooms.collect(), Histogram::new());
        Self { rooms, members: seats, publishes, schedule, stopping: false, delivered: 0, latency }
    }

    /// A member got a message: which must be the next of its room.
    fn delivery(&mut self, who: usize, text: &[u8], now: Instant, mail: &mut Mail) -> Result<(), String> {
        let wrong = |what: &str| format!("{what}: {}", String::from_utf8_lossy(text));
        let member = self.members.get_mut(who).and_then(Option::as_mut).ok_or_else(|| wrong("is no member"))?;
        let room = self.rooms.get_mut(member.room).ok_or_else(|| wrong("no such room"))?;
        if room.cast.publisher == who {
            return Err(wrong("an echo to who said it"));
        }
        let start = text.iter().position(|&byte| byte == b'@').ok_or_else(|| wrong("no payload"))?;
        let payload = text.get(start..start + room.payload.len()).ok_or_else(|| wrong("a payload cut short"))?;
        let (head, number, tail) = parts(payload).ok_or_else(|| wrong("a payload cut short"))?;
        if digits(number) != Some(member.next) {
            return Err(wrong(&format!("lost, doubled or out of order; message {} was next", member.next)));
        }
        if parts(room.payload.as_bytes()).is_none_or(|(first, _, last)| first != head || last != tail) {
            return Err(wrong("not the payload that was sent"));
        }
        let number = member.next;
        member.next += 1;
        self.delivered += 1;
        if let Some(sent_at) = room.echo(number) {
            self.latency.note(sent_at, now);
        }
        self.go_on(who, number, now, mail);
        Ok(())
    }

    fn acknowledgement(
        &mut self,
        who: usize,
        (id, text): (Option<u64>, &[u8]),
        now: Instant,
        mail: &mut Mail,
    ) -> Result<(), String> {
        let wrong = |what: &str| format!("{what}: {}", String::from_utf8_lossy(text));
        let number = self.publishes.get(who).copied().flatten();
        let room = number.and_then(|number| self.rooms.get_mut(number)).ok_or_else(|| wrong("publishes nothing"))?;
        let said = position(text, RECIPIENTS).and_then(|at| dialect::number(text.get(at + RECIPIENTS.len()..)?));
        if !said.is_some_and(|said| room.recipients.contains(&said)) {
            return Err(wrong("another number of recipients"));
        }
        let number = room.acked;
        if id.is_some_and(|id| id != request(number)) {
            return Err(wrong("the answer to another request"));
        }
        room.acked += 1;
        room.echo(number);
        self.go_on(who, number, now, mail);
        Ok(())
    }

    /// Counts the message of `who`'s room if that was the last of it, and sends another one.
    fn go_on(&mut self, who: usize, number: u64, now: Instant, mail: &mut Mail) {
        let member = self.members.get(who).copied().flatten().map(|member| member.room);
        let room = member.or(self.publishes.get(who).copied().flatten());
        let room = room.and_then(|room| self.rooms.get_mut(room));
        if let Some(room) = room
            && room.is_done(number)
            && !self.stopping
            && self.schedule.is_none()
        {
            room.publish(now, mail);
        }
    }
}

/// The number of the request that publishes message `number`: joins have one of their own.
fn request(number: u64) -> u64 {
    JOIN + 1 + number
}

/// A payload before, within and behind the message's number.
fn parts(payload: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (head, rest) = payload.split_at_checked(ROOM_DIGITS + 2)?;
    let (number, tail) = rest.split_at_checked(NUMBER_DIGITS)?;
    Some((head, number, tail))
}

fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0, |number, &byte| byte.is_ascii_digit().then(|| number * 10 + u64::from(byte - b'0')))
}

impl Room {
    fn new(number: usize, cast: Cast, in_flight: usize, size: usize) -> Self {
        let audience = cast.members.iter().filter(|&&member| member != cast.publisher).count();
        let reading = audience - usize::from(cast.deaf.is_some());
        let mark = mark(number, 0);
        let payload = format!("{mark}{}@", "x".repeat(size.saturating_sub(mark.len() + 1)));
        let flight = Flight { sent_at: Instant::now(), left: 0 };
        Self {
            topic: topic(number),
            recipients: [audience, reading].map(|count| count as u64),
            payload,
            echoes: reading + 1,
            cast,
            sent: 0,
            acked: 0,
            done: 0,
            flights: vec![flight; in_flight],
        }
    }

    fn publish(&mut self, sent_at: Instant, mail: &mut Mail) {
        let number = format!("{:0NUMBER_DIGITS$}", self.sent);
        self.payload.replace_range(ROOM_DIGITS + 2..ROOM_DIGITS + 2 + NUMBER_DIGITS, &number);
        let index = self.index(self.sent);
        if let Some(slot) = self.flights.get_mut(index) {
            *slot = Flight { sent_at, left: self.echoes };
        }
        let Cast { publisher, dialect, .. } = self.cast;
        mail.text(publisher, dialect, dialect.publish(&self.topic, &self.payload, request(self.sent)).as_bytes());
        self.sent += 1;
    }

    fn index(&self, number: u64) -> usize {
        usize::try_from(number).unwrap_or(0) % self.flights.len().max(1)
    }

    /// Notes something that message `number` brought; says when it was sent.
    fn echo(&mut self, number: u64) -> Option<Instant> {
        let index = self.index(number);
        let flight = self.flights.get_mut(index)?;
        flight.left = flight.left.checked_sub(1)?;
        Some(flight.sent_at)
    }

    /// Whether that was the last; counts it.
    fn is_done(&mut self, number: u64) -> bool {
        let is_done = self.flights.get(self.index(number)).is_some_and(|flight| flight.left == 0);
        self.done += u64::from(is_done);
        is_done
    }
}

impl Driver for Broadcasts {
    fn message(&mut self, who: usize, heard: Heard<'_>, now: Instant, mail: &mut Mail) -> Result<(), String> {
        match heard {
            Heard::Delivery(text) => self.delivery(who, text, now, mail),
            // A join that was asked for twice.
            Heard::Answer(Some(JOIN), _) => Ok(()),
            Heard::Answer(id, text) => self.acknowledgement(who, (id, text), now, mail),
            other => Err(format!("unexpected: {other:?}")),
        }
    }
}

impl Load for Broadcasts {
    fn start(&mut self, now: Instant, mail: &mut Mail) {
        if let Some((_, due)) = &mut self.schedule {
            *due = now;
            return;
        }
        for room in &mut self.rooms {
            for _ in 0..room.flights.len() {
                room.publish(now, mail);
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        self.schedule.filter(|_| !self.stopping).map(|(_, due)| due)
    }

    fn tick(&mut self, now: Instant, mail: &mut Mail) -> Result<(), String> {
        let Some((interval, due)) = &mut self.schedule else { return Ok(()) };
        while *due <= now && !self.stopping {
            for room in &mut self.rooms {
                if room.sent - room.done >= BEHIND_MAX as u64 {
                    return Err(format!("{BEHIND_MAX} messages behind"));
                }
                room.publish(*due, mail);
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

    fn latency(&mut self) -> &mut Histogram {
        &mut self.latency
    }

    fn verify(&self) -> Result<(), String> {
        for (who, member) in self.members.iter().enumerate() {
            let Some((member, room)) = member.and_then(|member| Some((member, self.rooms.get(member.room)?))) else {
                continue;
            };
            if room.cast.publisher != who && room.cast.deaf != Some(who) && member.next != room.sent {
                return Err(format!("connection {who} got {} of {} messages", member.next, room.sent));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
