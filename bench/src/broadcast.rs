//! Closed-loop publishers: each keeps a number of messages in flight, and a message is done when every member has it and
//! its acknowledgement came. Every delivery is checked: the right room, whole, none lost, none doubled, in order.

use std::time::Instant;

use crate::latency::Histogram;
use crate::load::Load;
use crate::swarm::{Driver, Mail};

/// Bytes of a payload.
const PAYLOAD: usize = 100;

/// The digits of the room's number and of the message's in a payload: `@RRRRR@SSSSSSSSSS@…`.
const ROOM_DIGITS: usize = 5;
const NUMBER_DIGITS: usize = 10;

#[derive(Debug)]
struct Room {
    publisher: usize,
    /// What its acknowledgements must say.
    recipients: Vec<u8>,
    /// The request, but for the message's number.
    request: Vec<u8>,
    /// Where that goes.
    number_at: usize,
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
    stopping: bool,
    delivered: u64,
    latency: Histogram,
}

/// The name of room number `room`.
pub(crate) fn topic(room: usize) -> String {
    format!("room-{room}")
}

impl Broadcasts {
    /// `rooms` holds each room's publisher and members, as numbers of connections.
    pub(crate) fn new(rooms: &[(usize, Vec<usize>)], in_flight: usize) -> Self {
        let connections = rooms.iter().flat_map(|(publisher, members)| members.iter().chain([publisher])).max();
        let connections = connections.map_or(0, |last| last + 1);
        let (mut seats, mut publishes) = (vec![None; connections], vec![None; connections]);
        let rooms = rooms.iter().enumerate().map(|(number, (publisher, members))| {
            for &member in members {
                if let Some(seat) = seats.get_mut(member) {
                    *seat = Some(Member { room: number, next: 0 });
                }
            }
            if let Some(publishes) = publishes.get_mut(*publisher) {
                *publishes = Some(number);
            }
            let audience = members.iter().filter(|&member| member != publisher).count();
            let head = format!(r#"{{"type":"Broadcast","data":{{"topic":"{}","payload":""#, topic(number));
            let payload = format!("@{number:0ROOM_DIGITS$}@{:0NUMBER_DIGITS$}@", 0);
            let request = format!(r#"{head}{payload}{}"}}}}"#, "x".repeat(PAYLOAD - payload.len()));
            let flight = Flight { sent_at: Instant::now(), left: 0 };
            Room {
                publisher: *publisher,
                recipients: format!(r#""recipients":{audience}}}"#).into_bytes(),
                request: request.into_bytes(),
                number_at: head.len() + ROOM_DIGITS + 2,
                echoes: audience + 1,
                sent: 0,
                acked: 0,
                done: 0,
                flights: vec![flight; in_flight],
            }
        });
        let rooms = rooms.collect();
        Self { rooms, members: seats, publishes, stopping: false, delivered: 0, latency: Histogram::new() }
    }

    /// A member got a message: which must be the next of its room.
    fn delivery(&mut self, who: usize, text: &[u8], now: Instant, mail: &mut Mail) -> Result<(), String> {
        let wrong = |what: &str| format!("connection {who}: {what}: {}", String::from_utf8_lossy(text));
        let member = self.members.get_mut(who).and_then(Option::as_mut).ok_or_else(|| wrong("is no member"))?;
        let room = self.rooms.get_mut(member.room).ok_or_else(|| wrong("no such room"))?;
        let start = text.iter().position(|&byte| byte == b'@').ok_or_else(|| wrong("no payload"))?;
        let payload = text.get(start..start + PAYLOAD + 1).ok_or_else(|| wrong("a payload cut short"))?;
        let number = digits(payload.get(ROOM_DIGITS + 2..ROOM_DIGITS + 2 + NUMBER_DIGITS).unwrap_or_default());
        if number != Some(member.next) {
            return Err(wrong(&format!("lost, doubled or out of order; message {} was next", member.next)));
        }
        let (sent, from) = (room.request.as_slice(), room.number_at - ROOM_DIGITS - 2);
        let same = |range: std::ops::Range<usize>| sent.get(from + range.start..from + range.end) == payload.get(range);
        if !same(0..ROOM_DIGITS + 2) || !same(ROOM_DIGITS + 2 + NUMBER_DIGITS..PAYLOAD + 1) {
            return Err(wrong("not the payload that was sent"));
        }
        member.next += 1;
        self.delivered += 1;
        let number = member.next - 1;
        if let Some(sent_at) = room.echo(number) {
            self.latency.record(now.saturating_duration_since(sent_at));
        }
        if room.is_done(number) && !self.stopping {
            room.publish(now, mail);
        }
        Ok(())
    }

    fn acknowledgement(&mut self, who: usize, text: &[u8], now: Instant, mail: &mut Mail) -> Result<(), String> {
        let wrong = |what: &str| format!("connection {who}: {what}: {}", String::from_utf8_lossy(text));
        let number = self.publishes.get(who).copied().flatten();
        let room = number.and_then(|number| self.rooms.get_mut(number)).ok_or_else(|| wrong("publishes nothing"))?;
        if !text.windows(room.recipients.len()).any(|window| window == room.recipients) {
            return Err(wrong("another number of recipients"));
        }
        let number = room.acked;
        room.acked += 1;
        room.echo(number);
        if room.is_done(number) && !self.stopping {
            room.publish(now, mail);
        }
        Ok(())
    }
}

impl Room {
    fn publish(&mut self, now: Instant, mail: &mut Mail) {
        let digits = format!("{:0NUMBER_DIGITS$}", self.sent);
        if let Some(place) = self.request.get_mut(self.number_at..self.number_at + NUMBER_DIGITS) {
            place.copy_from_slice(digits.as_bytes());
        }
        let flight = Flight { sent_at: now, left: self.echoes };
        let index = self.index(self.sent);
        if let Some(slot) = self.flights.get_mut(index) {
            *slot = flight;
        }
        self.sent += 1;
        mail.text(self.publisher, &self.request);
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

fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0, |number, &byte| byte.is_ascii_digit().then(|| number * 10 + u64::from(byte - b'0')))
}

impl Driver for Broadcasts {
    fn message(&mut self, who: usize, text: &[u8], now: Instant, mail: &mut Mail) -> Result<(), String> {
        if text.starts_with(br#"{"type":"Broadcast","#) {
            self.delivery(who, text, now, mail)
        } else if text.starts_with(br#"{"type":"Ack","#) {
            self.acknowledgement(who, text, now, mail)
        } else {
            Err(format!("connection {who}: unexpected: {}", String::from_utf8_lossy(text)))
        }
    }
}

impl Load for Broadcasts {
    fn start(&mut self, now: Instant, mail: &mut Mail) {
        for room in &mut self.rooms {
            for _ in 0..room.flights.len() {
                room.publish(now, mail);
            }
        }
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
            if room.publisher != who && member.next != room.sent {
                return Err(format!("connection {who} got {} of {} messages", member.next, room.sent));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(room: usize, number: u64) -> Vec<u8> {
        let filler = "x".repeat(PAYLOAD - ROOM_DIGITS - NUMBER_DIGITS - 3);
        format!(r#"{{"type":"Broadcast","data":{{"topic":"t","payload":"@{room:05}@{number:010}@{filler}"}}}}"#).into()
    }

    fn ack(recipients: usize) -> Vec<u8> {
        format!(r#"{{"type":"Ack","data":{{"message_id":"m","recipients":{recipients}}}}}"#).into()
    }

    #[test]
    fn what_is_lost_doubled_or_wrong_fails_the_run() {
        let (now, mut mail) = (Instant::now(), Mail::default());
        let fresh = || {
            let mut load = Broadcasts::new(&[(2, vec![0, 1])], 1);
            load.start(now, &mut Mail::default());
            load
        };
        let mut load = fresh();
        for (who, text) in [(0, delivery(0, 0)), (2, ack(2)), (1, delivery(0, 0)), (1, delivery(0, 1))] {
            load.message(who, &text, now, &mut mail).unwrap();
        }
        assert!(!load.is_settled() && load.verify().is_err());
        load.stop();
        for (who, text) in [(0, delivery(0, 1)), (2, ack(2))] {
            load.message(who, &text, now, &mut mail).unwrap();
        }
        assert!(load.is_settled() && load.verify().is_ok());
        for (who, text) in [(0, delivery(0, 1)), (0, delivery(1, 0)), (2, delivery(0, 0)), (2, ack(1)), (1, ack(2))] {
            assert!(fresh().message(who, &text, now, &mut mail).is_err(), "{}", String::from_utf8_lossy(&text));
        }
    }
}
