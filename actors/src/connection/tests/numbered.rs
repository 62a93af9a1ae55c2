//! Publications on a numbered wire leave in the order of their numbers.

use std::collections::VecDeque;

use super::*;
use crate::connection::encoded::EncodedPublication;
use crate::model::ids::EventName;
use crate::publication::Publication;

/// As [`PlainEncoder`], with the number of each publication after its data.
#[derive(Debug)]
struct NumberedEncoder;

impl Encoder for NumberedEncoder {
    fn format(&self) -> Format {
        Format::RootNumbered
    }

    fn surface(&self) -> Surface {
        Surface::Root
    }

    fn is_numbered(&self) -> bool {
        true
    }

    fn event(&self, event: &Event, offset: Offset) -> Payload {
        Payload::text([&event.data[..], offset.number.to_string().as_bytes()])
    }

    fn answer(&self, name: &str, data: &[u8], correlation: &Correlation, timestamp: i64) -> Payload {
        PlainEncoder.answer(name, data, correlation, timestamp)
    }

    fn acknowledgement(&self, data: Option<&[u8]>, correlation: &Bytes, timestamp: i64) -> Payload {
        PlainEncoder.acknowledgement(data, correlation, timestamp)
    }

    fn refusal(&self, refusal: &EventError<'_>, timestamp: i64) -> Option<Payload> {
        PlainEncoder.refusal(refusal, timestamp)
    }
}

fn room(name: &str) -> RoomName {
    RoomName::parse(name, "room").unwrap()
}

/// A session that has not started, on a connection with room for all entries.
fn unstarted(session_table: &SessionTable, encoder: &'static dyn Encoder) -> (Rc<Connection>, Rc<SessionHandle>) {
    let bound = OutboxCapacity { bytes: 1 << 20, entries: 100_000 };
    let connection = session_table.connect(ConnectionSpec { bound, ..connection_spec() });
    let (session, expiry) = (SessionId::random(), Expiry::NEVER);
    let handle = session_table.insert(SessionSpec { session, encoder, connection: connection.clone(), expiry });
    (connection, handle)
}

fn start(connection: &Rc<Connection>, handle: &SessionHandle) {
    handle.attach(Rc::new(SoleTransport(connection.clone())));
}

fn started(session_table: &SessionTable, encoder: &'static dyn Encoder) -> Rc<SessionHandle> {
    let (connection, handle) = unstarted(session_table, encoder);
    start(&connection, &handle);
    handle
}

/// Delivers a publication of the room `name`, as the fan-out does. Its data is the name.
fn publish(handle: &SessionHandle, name: &str, number: u64) {
    let data = Bytes::copy_from_slice(name.as_bytes());
    let event = Event { name: EventName::of_hub("e"), topic: None, data, timestamp: 0, offset: None };
    let (room, publication) = (room(name), Publication::new(event).with_number(number));
    let mut copies = EncodedPublication::new(&publication, &room);
    assert!(handle.hand_over(&room, &publication, &mut copies, None));
}

#[test]
fn later_publications_of_all_rooms_follow_one_that_waits_for_a_join_reply() {
    let session_table = session_table();
    let handle = started(&session_table, &NumberedEncoder);
    let join = handle.reserve(1);
    handle.defer([room("new")], join);
    publish(&handle, "old", 1);
    publish(&handle, "new", 2);
    publish(&handle, "old", 3);
    assert_eq!(written(&handle), "old1");
    handle.fulfil(join, Some(text("joined")));
    assert_eq!(written(&handle), "old1|joined|new2|old3");
    publish(&handle, "old", 4);
    assert_eq!(written(&handle), "old1|joined|new2|old3|old4");
}

#[test]
fn a_publication_behind_a_later_reply_holds_back_those_behind_an_earlier_one() {
    let session_table = session_table();
    let handle = started(&session_table, &NumberedEncoder);
    let (first, second) = (handle.reserve(1), handle.reserve(1));
    handle.defer([room("a")], first);
    handle.defer([room("b")], second);
    publish(&handle, "a", 1);
    publish(&handle, "b", 2);
    publish(&handle, "a", 3);
    handle.fulfil(first, Some(text("first")));
    assert_eq!(written(&handle), "first|a1");
    publish(&handle, "c", 4);
    handle.fulfil(second, Some(text("second")));
    assert_eq!(written(&handle), "first|a1|second|b2|a3|c4");
}

#[test]
fn publications_follow_a_message_with_offsets_that_waits_for_a_reply() {
    let session_table = session_table();
    let handle = started(&session_table, &NumberedEncoder);
    let reply = handle.reserve(1);
    publish(&handle, "a", 1);
    handle.send_in_order(text("notices"));
    publish(&handle, "a", 2);
    assert_eq!(written(&handle), "a1");
    handle.fulfil(reply, Some(text("reply")));
    publish(&handle, "a", 3);
    assert_eq!(written(&handle), "a1|reply|notices|a2|a3");
}

#[test]
fn an_announcement_waits_for_the_replies_of_its_room_alone() {
    let session_table = session_table();
    let handle = started(&session_table, &NumberedEncoder);
    let join = handle.reserve(1);
    handle.defer([room("new")], join);
    handle.deliver(&room("new"), Content::of(text("early")));
    publish(&handle, "old", 1);
    publish(&handle, "new", 2);
    handle.deliver(&room("old"), Content::of(text("came")));
    assert_eq!(written(&handle), "old1|came");
    handle.fulfil(join, None);
    assert_eq!(written(&handle), "old1|came|early|new2");
}

#[test]
fn a_publication_without_a_number_follows_the_earlier_ones_and_holds_none_back() {
    let session_table = session_table();
    let handle = started(&session_table, &NumberedEncoder);
    let join = handle.reserve(1);
    handle.defer([room("new")], join);
    publish(&handle, "new", 0);
    publish(&handle, "old", 1);
    assert_eq!(written(&handle), "old1");
    publish(&handle, "new", 2);
    publish(&handle, "old", 0);
    assert_eq!(written(&handle), "old1");
    handle.fulfil(join, None);
    assert_eq!(written(&handle), "old1|new0|new2|old0");
}

#[test]
fn without_numbers_a_reply_holds_back_its_own_rooms_alone() {
    let session_table = session_table();
    let handle = started(&session_table, &PlainEncoder);
    let join = handle.reserve(1);
    handle.defer([room("new")], join);
    publish(&handle, "new", 1);
    publish(&handle, "old", 2);
    assert_eq!(written(&handle), "old");
    handle.fulfil(join, None);
    assert_eq!(written(&handle), "old|new");
}

/// What the client must receive.
#[derive(Default)]
struct Model {
    /// The number of the next reply.
    next: usize,
    /// The pending replies, and whether each is fulfilled.
    replies: VecDeque<(usize, bool)>,
    /// The rooms that wait for a reply.
    deferred: Vec<(&'static str, usize)>,
    /// What waits for a reply, and whether it has a number.
    held: Vec<(usize, bool, String)>,
    received: Vec<String>,
}

impl Model {
    fn reserve(&mut self, room: Option<&'static str>) {
        self.replies.push_back((self.next, false));
        self.deferred.extend(room.map(|room| (room, self.next)));
        self.next += 1;
    }

    fn send(&mut self, room: &str, is_numbered: bool, is_ordered: bool, text: String) {
        let of_room = self.deferred.iter().find(|(deferred, _)| *deferred == room).map(|&(_, reply)| reply);
        let numbered = self.held.iter().filter(|(_, is_numbered, _)| is_ordered && *is_numbered);
        match numbered.map(|&(reply, ..)| reply).chain(of_room).max() {
            Some(reply) => self.held.push((reply, is_numbered, text)),
            None => self.received.push(text),
        }
    }

    fn fulfil(&mut self, index: usize) {
        self.replies[index].1 = true;
        while let Some((reply, _)) = self.replies.pop_front_if(|(_, is_fulfilled)| *is_fulfilled) {
            self.received.push(format!("reply{reply}"));
            let released = self.held.extract_if(.., |(behind, ..)| *behind == reply);
            self.received.extend(released.map(|(.., text)| text));
            self.deferred.retain(|&(_, behind)| behind != reply);
        }
    }
}

/// A repeatable random number below `most` (xorshift).
fn below(random: &mut u64, most: usize) -> usize {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    (*random % most as u64) as usize
}

/// Runs random requests, replies and publications. Returns what the client received.
fn run(seed: u64) -> Vec<String> {
    let session_table = session_table();
    let (connection, handle) = unstarted(&session_table, &NumberedEncoder);
    let (mut random, mut model, mut slots) = (seed, Model::default(), VecDeque::new());
    let starts_at = below(&mut random, 60);
    for step in 0..400_u64 {
        if step == starts_at as u64 {
            start(&connection, &handle);
        }
        let room_name = ["a", "b", "c", "d"][below(&mut random, 4)];
        match below(&mut random, 12) {
            request @ 0..2 => {
                let joined = (request == 0).then_some(room_name);
                let slot = handle.reserve(1);
                handle.defer(joined.map(room), slot);
                model.reserve(joined);
                slots.push_back(slot);
            }
            2..5 if !slots.is_empty() => {
                let index = below(&mut random, slots.len());
                if !model.replies[index].1 {
                    let (slot, reply) = (slots[index], model.replies[index].0);
                    handle.fulfil(slot, Some(text(&format!("reply{reply}"))));
                    model.fulfil(index);
                    slots.drain(..slots.len() - model.replies.len());
                }
            }
            5 => {
                handle.deliver(&room(room_name), Content::of(text(&format!("notice{step}"))));
                model.send(room_name, false, false, format!("notice{step}"));
            }
            6 => {
                publish(&handle, room_name, 0);
                model.send(room_name, false, true, format!("{room_name}0"));
            }
            _ => {
                publish(&handle, room_name, step + 1);
                model.send(room_name, true, true, format!("{room_name}{}", step + 1));
            }
        }
        if step >= starts_at as u64 {
            assert_eq!(written(&handle), model.received.join("|"), "seed {seed}, step {step}");
        }
    }
    for (index, slot) in slots.into_iter().enumerate().rev() {
        if !model.replies[index].1 {
            handle.fulfil(slot, Some(text(&format!("reply{}", model.replies[index].0))));
            model.fulfil(index);
        }
    }
    assert_eq!(written(&handle), model.received.join("|"), "seed {seed}");
    assert!(model.held.is_empty() && handle.output.borrow().numbers_wait_for.is_none(), "seed {seed}");
    model.received
}

#[test]
fn numbers_ascend_in_any_interleaving_of_replies_and_publications() {
    for seed in 1..=50 {
        let numbers = run(seed).into_iter().filter_map(|text| text.strip_prefix(['a', 'b', 'c', 'd'])?.parse().ok());
        let numbers: Vec<u64> = numbers.filter(|number| *number > 0).collect();
        assert!(numbers.len() > 100 && numbers.is_sorted(), "seed {seed}: {numbers:?}");
    }
}
