//! Several sessions on one connection.

use std::rc::Rc;

use bytes::Bytes;

use super::*;
use crate::connection::encoded::EncodedPublication;
use crate::connection::outbox::{Content, Unwritten};
use crate::connection::tests::{connection_spec, session, session_table, text, waiting};
use crate::connection::{Cut, Recoverability, Served};
use crate::model::ids::{EventName, RoomName};
use crate::publication::{Event, Publication};

/// Records that its session was closed.
#[derive(Default)]
struct NamespaceTransport(std::cell::Cell<Option<Close>>);

impl SessionTransport for NamespaceTransport {
    fn closed(self: Rc<Self>, close: Close) {
        self.0.set(Some(close));
    }

    fn resume(self: Rc<Self>) {}
}

#[test]
fn the_sessions_of_a_connection_share_its_outbox() {
    let session_table = session_table();
    let connection = session_table.connect(connection_spec());
    let [one, two] = [(); 2].map(|()| session(&session_table, &connection));
    for handle in [&one, &two] {
        handle.attach(Rc::new(NamespaceTransport::default()));
    }
    one.send(text("1"));
    two.send(text("2"));
    connection.send(text("?"));
    one.send(text(&"x".repeat(60)));
    assert_eq!(waiting(&connection), format!("1|2|?|{}", "x".repeat(60)));
    assert!(!one.takes_requests() && !two.takes_requests(), "half of the outbox is full");
    let share = |handle: &SessionHandle| connection.with_outbox(|outbox| outbox.share(handle.addr().slot));
    assert_eq!(share(&one), OutboxCapacity { bytes: 61, entries: 2 });
    assert_eq!(share(&two), OutboxCapacity { bytes: 1, entries: 1 });
    two.send(text(&"y".repeat(60)));
    assert_eq!([one.closed(), two.closed(), connection.closed()], [Some(Close::SlowConsumer); 3]);
}

#[test]
fn the_entries_of_a_session_wait_for_its_start() {
    let session_table = session_table();
    let connection = session_table.connect(connection_spec());
    let handle = session(&session_table, &connection);
    let room = RoomName::parse("room", "room").unwrap();
    handle.send(text("greeting"));
    let join = handle.reserve(1);
    handle.defer([room.clone()], join);
    handle.deliver(&room, Content::of(text("message")));
    handle.fulfil(join, Some(text("joined")));
    connection.send(text("connected"));
    assert_eq!(waiting(&connection), "connected");
    handle.attach(Rc::new(NamespaceTransport::default()));
    assert_eq!(waiting(&connection), "connected|greeting|joined|message");
}

#[test]
fn a_session_that_its_client_left_takes_its_entries_along() {
    let session_table = session_table();
    let connection = session_table.connect(connection_spec());
    let [left, stays] = [(); 2].map(|()| session(&session_table, &connection));
    for handle in [&left, &stays] {
        handle.attach(Rc::new(NamespaceTransport::default()));
        handle.send(text("a"));
    }
    let room = RoomName::parse("room", "room").unwrap();
    let reply = left.reserve(1);
    left.defer([room.clone()], reply);
    left.deliver(&room, Content::of(text("b")));
    left.note_end(Close::Left);
    left.leave();
    left.end_connection();
    left.send(text("c"));
    assert_eq!((waiting(&connection).as_str(), connection.closed()), ("a", None));
    assert_eq!((left.end_reason(), connection.fits_within_half(49, 49)), (Some(Close::Left), true));
}

#[test]
fn a_session_that_the_hub_closes_keeps_its_ready_entries_and_its_connection() {
    let session_table = session_table();
    let connection = session_table.connect(connection_spec());
    let handle = session(&session_table, &connection);
    let transport = Rc::new(NamespaceTransport::default());
    handle.attach(transport.clone());
    handle.send(text("last"));
    handle.close(Close::DisconnectedByBackend);
    handle.send(text("late"));
    assert_eq!((waiting(&connection).as_str(), connection.closed()), ("last", None));
    assert_eq!(transport.0.get(), Some(Close::DisconnectedByBackend));

    let early = session(&session_table, &connection);
    early.send(text("unseen"));
    early.close(Close::TokenRevoked);
    let transport = Rc::new(NamespaceTransport::default());
    early.attach(transport.clone());
    assert_eq!((transport.0.get(), waiting(&connection).as_str()), (Some(Close::TokenRevoked), "last|unseen"));
}

#[test]
fn sessions_resume_once_the_outbox_has_room() {
    #[derive(Default)]
    struct Resumed(std::cell::Cell<u32>);
    impl SessionTransport for Resumed {
        fn closed(self: Rc<Self>, _: Close) {}
        fn resume(self: Rc<Self>) {
            self.0.set(self.0.get() + 1);
        }
    }
    let session_table = session_table();
    let connection = session_table.connect(connection_spec());
    let [full, waits] = [(); 2].map(|()| session(&session_table, &connection));
    let transport = Rc::new(Resumed::default());
    waits.attach(transport.clone());
    full.attach(Rc::new(NamespaceTransport::default()));
    full.send(text(&"x".repeat(30)));
    full.send(text(&"x".repeat(30)));
    assert!(!waits.takes_requests());
    connection.with_outbox(|outbox| outbox.advance(0, 5));
    assert_eq!(transport.0.get(), 0, "it is still more than half full");
    connection.with_outbox(|outbox| outbox.advance(1, 0));
    assert_eq!(transport.0.get(), 1);
    assert!(waits.takes_requests());
    full.send(text(&"x".repeat(30)));
    assert!(!waits.takes_requests());
    // The entries of a session that its client left make room, too.
    full.leave();
    assert_eq!((transport.0.get(), waits.takes_requests()), (2, true));
}

#[test]
fn held_messages_are_taken_back_after_the_connection_stops() {
    let session_table = session_table();
    let connection = session_table.connect(connection_spec());
    let handle = session(&session_table, &connection);
    handle.attach(Rc::new(NamespaceTransport::default()));
    handle.set_recoverable(Recoverability::ByCut);
    let room = RoomName::parse("chat", "room").unwrap();
    let reply = handle.reserve(1);
    handle.defer([room.clone()], reply);
    let data = Bytes::from_static(b"1");
    let event = Event { name: EventName::of_hub("message"), topic: None, data, timestamp: 0, offset: None };
    let publication = Publication::new(event).with_number(7).with_message(3);
    let mut encoded = EncodedPublication::new(&publication, &room);
    assert!(handle.hand_over(&room, &publication, &mut encoded, None));
    session_table.set_position(7);
    connection.stop();
    handle.fulfil(reply, Some(text("joined")));
    assert_eq!(waiting(&connection), "");
    handle.end_connection();
    let Cut { served, unwritten } = handle.suspend();
    assert_eq!(
        (served, unwritten),
        (Served { position: 7, offered: 7 }, vec![Unwritten { room, number: 7, message: 3 }])
    );
}

#[test]
fn a_connection_leaves_its_table_with_its_last_reference() {
    let session_table = session_table();
    let connection = session_table.connect(connection_spec());
    let handle = session(&session_table, &connection);
    let slot = handle.addr().slot;
    drop((connection, handle));
    assert_eq!(session_table.common.connections.borrow().len(), 1);
    session_table.release(slot);
    assert!(session_table.common.connections.borrow().is_empty());
    session_table.sweep(0, 0);
}
